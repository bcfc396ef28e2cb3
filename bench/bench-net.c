/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * Small frames through the kernel's vhost-net to a tap that nobody reads: our queue
 * against a loop that checks nothing (the floor), in turn, on the same device. Run as
 * root; the network that it uses is its own.
 */
#include <endian.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

#include <vhost/vhost.h>

#include "vm/tap.h"

#define TX 1u
#define RING 256u
#define BURST 32u
#define HEADER 12
#define FRAME 60u
#define F_VERSION_1 (1ull << 32)
#define MOST_ROUNDS 101u
#define PATIENCE_MS 10000	/* without a frame that completes */

enum variant { OURS, FLOOR };

/* VIRTIO 1.3, 2.7 */
struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

static struct {
	vhost_dev_t *dev;
	vhost_mem_t *mem;
	vhost_virtq_t *vq;
	struct tap tap;
	struct vhost_sg sg[BURST];
	struct vhost_virtq_req reqs[BURST];
	/* The floor's ring. */
	struct desc *desc;
	uint16_t *avail, *used;
	uint16_t f_avail, f_used;
	int kick_fd, call_fd;
} b = { .kick_fd = -1, .call_fd = -1, .tap = { .fd = -1, .sock = -1 } };

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int fail(const char *what)
{
	fprintf(stderr, "bench-net: %s: %s\n", what, vhost_last_error());
	return -1;
}

static int prepare(void)
{
	struct vhost_virtq_opts opts = { .size = RING, .features = F_VERSION_1 };
	unsigned char *frames;
	unsigned int i;
	int r;

	r = tap_own_network();
	if (!r)
		r = tap_new(&b.tap, HEADER, 0);
	if (r < 0) {
		fprintf(stderr, "bench-net: no tap: %s\n", strerror(-r));
		return r;
	}
	if (vhost_dev_open("/dev/vhost-net", NULL, 0, &b.dev) < 0)
		return fail("cannot open vhost-net");
	if (vhost_mem_new(1 << 20, 0, 0, &b.mem) < 0 ||
	    vhost_virtq_new(b.mem, &opts, sizeof(opts), &b.vq) < 0 ||
	    vhost_dev_set_features(b.dev, F_VERSION_1) < 0 ||
	    vhost_dev_mem_add_mem(b.dev, b.mem) < 0 ||
	    vhost_net_set_backend(b.dev, TX, b.tap.fd) < 0)
		return fail("cannot set up");
	b.desc = vhost_mem_alloc(b.mem, RING * sizeof(*b.desc), 0);
	b.avail = vhost_mem_alloc(b.mem, 6 + 2 * RING, 0);
	b.used = vhost_mem_alloc(b.mem, 6 + 8 * RING, 0);
	frames = vhost_mem_alloc(b.mem, (size_t)BURST * 128, 0);
	b.kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	b.call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!b.desc || !b.avail || !b.used || !frames || b.kick_fd < 0 || b.call_fd < 0)
		return fail("no memory");
	for (i = 0; i < BURST; i++) {
		unsigned char *frame = frames + (size_t)i * 128;

		tap_frame(frame + HEADER, FRAME, i);
		b.sg[i] = (struct vhost_sg){ vhost_mem_to_iova(b.mem, frame), HEADER + FRAME, 0 };
		b.reqs[i] = (struct vhost_virtq_req){ .sg = &b.sg[i], .out = 1, .cookie = frame };
	}
	return 0;
}

static int start(enum variant variant)
{
	struct vhost_vq_config c = {
		.size = RING, .kick_fd = b.kick_fd, .call_fd = b.call_fd, .err_fd = -1,
	};
	int r;

	if (variant == OURS) {
		vhost_virtq_reset(b.vq);
		r = vhost_dev_vq_attach(b.dev, TX, b.vq);
	} else {
		memset(b.avail, 0, 6 + 2 * RING);
		memset(b.used, 0, 6 + 8 * RING);
		b.f_avail = b.f_used = 0;
		c.desc = vhost_mem_to_iova(b.mem, b.desc);
		c.driver = vhost_mem_to_iova(b.mem, b.avail);
		c.device = vhost_mem_to_iova(b.mem, b.used);
		r = vhost_dev_vq_attach(b.dev, TX, NULL);
		if (!r)
			r = vhost_dev_vq_setup(b.dev, TX, &c, sizeof(c));
	}
	if (!r)
		r = vhost_dev_start(b.dev);
	return r < 0 ? fail("cannot start") : 0;
}

/* Each adds a burst if there is room, and returns how many frames completed. */
static unsigned int turn_ours(bool more, unsigned long *sent)
{
	struct vhost_virtq_done done[BURST];
	int n;

	if (more && vhost_virtq_free_slots(b.vq) >= BURST) {
		n = vhost_virtq_add(b.vq, b.reqs, BURST);
		*sent += n > 0 ? (unsigned int)n : 0;
		vhost_virtq_kick(b.vq);
	}
	n = vhost_virtq_get(b.vq, done, BURST);
	return n > 0 ? (unsigned int)n : 0;
}

static unsigned int turn_floor(bool more, unsigned long *sent)
{
	unsigned int i, n;
	uint16_t used;

	if (more && RING - (uint16_t)(b.f_avail - b.f_used) >= BURST) {
		for (i = 0; i < BURST; i++) {
			uint16_t at = (uint16_t)(b.f_avail + i) % RING;

			b.desc[at].addr = htole64(b.sg[i].iova);
			b.desc[at].len = htole32(b.sg[i].len);
			b.desc[at].flags = 0;
			b.avail[2 + at] = htole16(at);
		}
		b.f_avail = (uint16_t)(b.f_avail + BURST);
		*sent += BURST;
		__atomic_store_n(&b.avail[1], htole16(b.f_avail), __ATOMIC_RELEASE);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (!(__atomic_load_n(&b.used[0], __ATOMIC_RELAXED) & htole16(1)))
			eventfd_write(b.kick_fd, 1);
	}
	/* vhost-net completes what it transmits in order: ids need not be looked at */
	used = le16toh(__atomic_load_n(&b.used[1], __ATOMIC_ACQUIRE));
	n = (uint16_t)(used - b.f_used);
	n = n < BURST ? n : BURST;
	b.f_used = (uint16_t)(b.f_used + n);
	return n;
}

/* Frames per second; 0 if it went wrong. */
static double run(enum variant variant, unsigned long count)
{
	unsigned long sent = 0, done = 0;
	struct vhost_virtq_layout layout;
	struct pollfd p = { b.call_fd, POLLIN, 0 };
	double began;

	if (start(variant) < 0)
		return 0;
	if (variant == OURS) {
		vhost_virtq_layout(b.vq, &layout, sizeof(layout));
		p.fd = layout.call_fd;
	}
	began = now();
	while (done < count) {
		unsigned long before = sent;
		bool more = sent < count;
		unsigned int n = variant == OURS ? turn_ours(more, &sent) : turn_floor(more, &sent);
		uint64_t calls;

		done += n;
		if (n || sent != before)
			continue;
		/* the ring is full, or all was sent: nothing to do before the device is heard of */
		if (poll(&p, 1, PATIENCE_MS) <= 0)
			break;
		if (read(p.fd, &calls, sizeof(calls)) < 0 && errno != EAGAIN)
			break;
	}
	began = now() - began;
	if (done < count) {
		fprintf(stderr, "bench-net: %lu of %lu frames completed\n", done, count);
		return 0;
	}
	if (vhost_dev_stop(b.dev) < 0) {
		fail("cannot stop");
		return 0;
	}
	return (double)count / began;
}

static int ascending(const void *x, const void *y)
{
	double a = *(const double *)x, c = *(const double *)y;

	return (a > c) - (a < c);
}

static double median(double *values, unsigned int n)
{
	qsort(values, n, sizeof(*values), ascending);
	return values[n / 2];
}

static int usage(FILE *f)
{
	fputs("Usage: bench-net [--count FRAMES] [--rounds N]\n"
	      "Frames per second to a tap through vhost-net, in bursts of 32: our queue against a\n"
	      "loop that checks nothing, in turn. Prints the median of the rounds.\n", f);
	return f == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'c' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	static double rate[2][MOST_ROUNDS], ratio[MOST_ROUNDS];
	unsigned long count = 6400;
	unsigned int rounds = 51, i, v;
	int opt, r = 1;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			count = strtoul(optarg, NULL, 10);
			break;
		case 'r':
			rounds = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 'h':
			return usage(stdout);
		default:
			return usage(stderr);
		}
	}
	count -= count % BURST;
	if (!count || !rounds || rounds > MOST_ROUNDS || optind != argc)
		return usage(stderr);
	if (geteuid() || access("/dev/vhost-net", F_OK) < 0) {
		puts("skip: needs root and /dev/vhost-net");
		return 77;
	}
	if (prepare() < 0)
		goto out;
	/* The first is for what the kernel has to set up; then each begins every other time. */
	if (run(OURS, count) <= 0 || run(FLOOR, count) <= 0)
		goto out;
	for (i = 0; i < rounds; i++) {
		for (v = 0; v < 2; v++) {
			enum variant variant = (v + i) % 2 ? FLOOR : OURS;

			rate[variant][i] = run(variant, count);
			if (rate[variant][i] <= 0)
				goto out;
		}
		ratio[i] = rate[OURS][i] / rate[FLOOR][i];
	}
	printf("%-22s %12s %12s %7s\n", "vhost-net, 60 bytes", "ours/s", "floor/s", "ratio");
	printf("%-22s %12.0f %12.0f %7.3f\n", "median of the rounds",
	       median(rate[OURS], rounds), median(rate[FLOOR], rounds), median(ratio, rounds));
	printf("%-22s %12s %12s %7.3f to %.3f\n", "the middle half", "", "", ratio[rounds / 4],
	       ratio[rounds - 1 - rounds / 4]);
	r = 0;
out:
	vhost_dev_unref(b.dev);
	vhost_virtq_unref(b.vq);
	vhost_mem_unref(b.mem);
	if (b.kick_fd >= 0)
		close(b.kick_fd);
	if (b.call_fd >= 0)
		close(b.call_fd);
	tap_close(&b.tap);
	return r;
}
