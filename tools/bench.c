/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* vhostctl blk bench: how fast a disk is, and what that costs on our side */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "blk.h"

#define BURST 32u
#define F_RO (1ULL << 5)

/* ----------------------------------------------------------------- latency */

/*
 * Buckets of a width that grows with the value: 64 to each power of two, so that none
 * is off by more than 1.6 %; below 64 ns they are exact.
 */
#define SUB_BITS 6
#define SUB (1u << SUB_BITS)
#define N_BUCKETS ((64u - SUB_BITS + 1) * SUB)

struct histogram {
	uint64_t count;
	uint64_t sum;
	uint64_t min;
	uint64_t max;
	uint64_t buckets[N_BUCKETS];
};

static unsigned int bucket_of(uint64_t value)
{
	unsigned int shift;

	if (value < SUB)
		return (unsigned int)value;
	shift = 63u - (unsigned int)__builtin_clzll(value) - SUB_BITS;
	return (shift + 1) * SUB + (unsigned int)((value >> shift) - SUB);
}

/* The greatest value that is in a bucket. */
static uint64_t bucket_end(unsigned int index)
{
	unsigned int shift;

	if (index < SUB)
		return index;
	shift = index / SUB - 1;
	return ((uint64_t)(SUB + index % SUB) << shift) + ((1ULL << shift) - 1);
}

static void record(struct histogram *h, uint64_t value)
{
	h->buckets[bucket_of(value)]++;
	h->count++;
	h->sum += value;
	if (value < h->min)
		h->min = value;
	if (value > h->max)
		h->max = value;
}

static uint64_t percentile(const struct histogram *h, double percent)
{
	uint64_t rank = (uint64_t)((double)h->count * percent / 100 + 0.9999999), seen = 0;

	for (unsigned int i = 0; i < N_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= rank && seen)
			return bucket_end(i) < h->max ? bucket_end(i) : h->max;
	}
	return h->max;
}

/* -------------------------------------------------------------------- load */

struct load {
	struct blk blk;
	const struct options *opts;
	uint64_t blocks;	/* how many */
	uint64_t next;		/* for runs in order */
	uint64_t random;
	uint64_t in_flight;
	uint64_t elapsed_ns;
	uint64_t cpu_ns;
	struct histogram latency;
};

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* xorshift64*: quick, and random enough to defeat read-ahead */
static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dULL;
}

static uint64_t next_offset(struct load *load)
{
	uint64_t block;

	if (load->opts->rw == RW_RANDREAD || load->opts->rw == RW_RANDWRITE) {
		block = next_random(&load->random) % load->blocks;
	} else {
		block = load->next;
		load->next = (load->next + 1) % load->blocks;
	}
	return load->opts->offset + block * load->opts->bs;
}

static void prepare(struct load *load, struct blk_slot *slot, uint64_t now,
		    struct vhost_virtq_req *ret)
{
	bool write = load->opts->rw == RW_WRITE || load->opts->rw == RW_RANDWRITE;

	slot->began = now;
	blk_prepare(slot, &load->blk, write ? BLK_OUT : BLK_IN, next_offset(load),
		    (uint32_t)load->opts->bs, ret);
}

static int fill_queue(struct load *load, unsigned int queue)
{
	struct vhost_virtq_req reqs[BURST];
	unsigned int n = 0;
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < load->blk.depth; i++) {
		prepare(load, &load->blk.queues[queue].slots[i], now_ns(), &reqs[n++]);
		if (n == BURST || i + 1 == load->blk.depth) {
			r = blk_submit(&load->blk, queue, reqs, n);
			load->in_flight += n;
			n = 0;
		}
	}
	return r;
}

/* One burst of @queue: each completion makes a new request. Return: how many. */
static int turn(struct load *load, unsigned int queue, uint64_t end)
{
	struct vhost_virtq_done done[BURST];
	struct vhost_virtq_req reqs[BURST];
	int n = blk_collect(&load->blk, queue, done, BURST);
	uint64_t now;
	int r = 0;

	if (n <= 0)
		return n;
	now = now_ns();
	for (int i = 0; i < n; i++) {
		struct blk_slot *slot = done[i].cookie;

		record(&load->latency, now - slot->began);
		if (now < end && !interrupted)
			prepare(load, slot, now, &reqs[i]);
	}
	if (now < end && !interrupted)
		r = blk_submit(&load->blk, queue, reqs, (unsigned int)n);
	else
		load->in_flight -= (unsigned int)n;
	return r < 0 ? r : n;
}

/* The busy loop's way to see that the device is gone, or silent. */
static int look_around(struct load *load, uint64_t last)
{
	int r = vhost_dev_process(load->blk.dev);

	if (r < 0) {
		complain_dev(load->opts, load->blk.dev);
		return r;
	}
	if (now_ns() - last < (uint64_t)load->opts->timeout_ms * 1000000u)
		return 0;
	complain("%s: the device completed no request within %g s", load->opts->address,
		 load->opts->timeout_ms / 1e3);
	return -ETIMEDOUT;
}

static int run_load(struct load *load)
{
	uint64_t cpu = cpu_ns(), began = now_ns(), last = began;
	uint64_t end = began + (uint64_t)(load->opts->runtime * 1e9);
	unsigned int idle = 0;
	int r = 0;

	load->random = began | 1;
	load->latency.min = UINT64_MAX;
	for (unsigned int q = 0; q < load->blk.n_queues; q++) {
		r = fill_queue(load, q);
		if (r < 0)
			return r;
	}
	while (load->in_flight) {
		int any = 0;

		for (unsigned int q = 0; q < load->blk.n_queues; q++) {
			r = turn(load, q, end);
			if (r < 0)
				return r;
			any |= r;
		}
		if (any) {
			idle = 0;
			continue;
		}
		if (!load->opts->busy) {
			r = blk_wait(&load->blk);
			/* Interrupted: issue no more, and wait for what is out. */
			if (r == -EINTR)
				break;
			if (r < 0)
				return r;
		} else if (idle++ % 65536 == 0) {
			if (idle == 1)
				last = now_ns();
			r = look_around(load, last);
			if (r < 0)
				return r;
		}
	}
	load->elapsed_ns = now_ns() - began;
	load->cpu_ns = cpu_ns() - cpu;
	return 0;
}

/* ----------------------------------------------------------------- results */

static const struct {
	const char *name;
	double percent;
} percentiles[] = {
	{ "p50", 50 }, { "p90", 90 }, { "p99", 99 }, { "p99.9", 99.9 }
};

#define N_PERCENTILES (sizeof(percentiles) / sizeof(percentiles[0]))

static double iops(const struct load *load)
{
	return load->elapsed_ns ? (double)load->latency.count * 1e9 / (double)load->elapsed_ns : 0;
}

static int report_text(const struct load *load)
{
	const struct histogram *h = &load->latency;
	const struct options *o = load->opts;
	char a[32], b[32];

	printf("%s, requests of %s, depth %u, %u %s, %s ring%s, %.1f s\n", o->rw_name,
	       format_bytes(o->bs, a, sizeof(a)), o->iodepth, o->queues,
	       o->queues == 1 ? "queue" : "queues", o->packed ? "packed" : "split",
	       o->queues == 1 ? "" : "s", (double)load->elapsed_ns / 1e9);
	printf("  %-12s%.0f\n", "IOPS", iops(load));
	printf("  %-12s%.1f MB/s\n", "throughput", iops(load) * (double)o->bs / 1e6);
	printf("  %-12smin %s", "latency", format_time(h->min, a, sizeof(a)));
	for (unsigned int i = 0; i < N_PERCENTILES; i++)
		printf("  %s %s", percentiles[i].name,
		       format_time(percentile(h, percentiles[i].percent), b, sizeof(b)));
	printf("  max %s\n", format_time(h->max, a, sizeof(a)));
	printf("  %-12s%.2f us per request, on our side\n", "CPU time",
	       (double)load->cpu_ns / (double)h->count / 1e3);
	if (fflush(stdout)) {
		complain("cannot write to the standard output: %s", strerror(errno));
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

#ifdef HAVE_JSON_C
static int report_json(const struct load *load)
{
	json_object *top = json_object_new_object(), *latency = json_object_new_object();
	const struct histogram *h = &load->latency;
	const struct options *o = load->opts;

	json_object_object_add(top, "rw", json_object_new_string(o->rw_name));
	json_object_object_add(top, "bs", json_u64(o->bs));
	json_object_object_add(top, "iodepth", json_u64(o->iodepth));
	json_object_object_add(top, "queues", json_u64(o->queues));
	json_object_object_add(top, "packed", json_object_new_boolean(o->packed));
	json_object_object_add(top, "busy_poll", json_object_new_boolean(o->busy));
	json_object_object_add(top, "runtime_ns", json_u64(load->elapsed_ns));
	json_object_object_add(top, "requests", json_u64(h->count));
	json_object_object_add(top, "iops", json_object_new_double(iops(load)));
	json_object_object_add(top, "bytes_per_second",
			       json_object_new_double(iops(load) * (double)o->bs));
	json_object_object_add(latency, "min", json_u64(h->min));
	json_object_object_add(latency, "mean", json_u64(h->sum / h->count));
	for (unsigned int i = 0; i < N_PERCENTILES; i++)
		json_object_object_add(latency, percentiles[i].name,
				       json_u64(percentile(h, percentiles[i].percent)));
	json_object_object_add(latency, "max", json_u64(h->max));
	json_object_object_add(top, "latency_ns", latency);
	json_object_object_add(top, "cpu_ns_per_request",
			       json_object_new_double((double)load->cpu_ns / (double)h->count));
	return json_print(top);
}
#endif

static int set_up(struct load *load)
{
	const struct options *opts = load->opts;
	struct blk *blk = &load->blk;
	uint64_t offset, length;
	int r = blk_range(blk, opts, &offset, &length);

	if (r < 0)
		return r;
	if ((opts->rw == RW_WRITE || opts->rw == RW_RANDWRITE) && blk->features & F_RO) {
		complain("%s: the disk is read only", opts->address);
		return -EROFS;
	}
	if (!opts->bs || opts->bs % blk->block_size) {
		complain("--bs %" PRIu64 " is not a multiple of the disk's block size, %" PRIu32,
			 opts->bs, blk->block_size);
		return -EINVAL;
	}
	if (opts->bs > 16u << 20 || blk_request_max(blk, (uint32_t)opts->bs) < opts->bs) {
		complain("--bs %" PRIu64 " is more than a request can have, %" PRIu32, opts->bs,
			 blk_request_max(blk, 16u << 20));
		return -EINVAL;
	}
	load->blocks = length / opts->bs;
	if (!load->blocks) {
		complain("not one request of %" PRIu64 " bytes fits into %" PRIu64, opts->bs, length);
		return -EINVAL;
	}
	if (opts->queues > blk->max_queues) {
		complain("--queues %u: the disk has %u", opts->queues, blk->max_queues);
		return -EINVAL;
	}
	return blk_start(blk, opts->queues, opts->iodepth, (uint32_t)opts->bs);
}

int cmd_blk_bench(const struct options *opts)
{
	struct load *load = calloc(1, sizeof(*load));
	int code = EXIT_FAILED;
	int r;

	if (!load) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	load->opts = opts;
	if (blk_open(&load->blk, opts) < 0) {
		free(load);
		return EXIT_FAILED;
	}
	r = set_up(load);
	if (r == 0)
		r = run_load(load);
	if (blk_close(&load->blk) < 0)
		r = -EIO;
	if (r == 0 && interrupted)
		complain("interrupted");
	if (r == 0 && load->latency.count) {
#ifdef HAVE_JSON_C
		code = opts->json ? report_json(load) : report_text(load);
#else
		code = report_text(load);
#endif
	}
	free(load);
	return interrupted ? EXIT_FAILED : code;
}
