/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* vhostctl blk info, read and write */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blk.h"

#define CHUNK (128u << 10)
#define DEPTH 16u

#define F_RO (1ULL << 5)
#define F_FLUSH (1ULL << 9)

/* -------------------------------------------------------------------- info */

#ifdef HAVE_JSON_C
static int info_json(const struct blk *blk)
{
	json_object *top = json_object_new_object();

	json_object_object_add(top, "address", json_object_new_string(blk->opts->address));
	json_object_object_add(top, "capacity", json_u64(blk->capacity));
	json_object_object_add(top, "block_size", json_u64(blk->block_size));
	json_object_object_add(top, "read_only", json_object_new_boolean(!!(blk->offered & F_RO)));
	json_object_object_add(top, "flush", json_object_new_boolean(!!(blk->offered & F_FLUSH)));
	json_object_object_add(top, "packed",
			       json_object_new_boolean(!!(blk->offered & 1ULL << 34)));
	json_object_object_add(top, "queues", json_u64(blk->max_queues));
	json_object_object_add(top, "seg_max", json_u64(blk->seg_max));
	json_object_object_add(top, "size_max",
			       blk->size_max == UINT32_MAX ? NULL : json_u64(blk->size_max));
	return json_print(top);
}
#endif

static int info_text(const struct blk *blk)
{
	char a[32];

	printf("%-14s%" PRIu64 " bytes (%s)\n", "capacity", blk->capacity,
	       format_bytes(blk->capacity, a, sizeof(a)));
	printf("%-14s%" PRIu32 " bytes\n", "block size", blk->block_size);
	printf("%-14s%s\n", "access", blk->offered & F_RO ? "read only" : "read and write");
	printf("%-14s%s\n", "write cache", blk->offered & F_FLUSH ? "yes, flushed on request" : "none told");
	printf("%-14s%u\n", "queues", blk->max_queues);
	printf("%-14s%s\n", "packed rings", blk->offered & 1ULL << 34 ? "yes" : "no");
	printf("%-14sup to %" PRIu32 " pieces of data", "requests", blk->seg_max);
	if (blk->size_max != UINT32_MAX)
		printf(", each up to %" PRIu32 " bytes", blk->size_max);
	putchar('\n');
	if (fflush(stdout)) {
		complain("cannot write to the standard output: %s", strerror(errno));
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

int cmd_blk_info(const struct options *opts)
{
	struct blk blk;
	int code;

	if (blk_open(&blk, opts) < 0)
		return EXIT_FAILED;
#ifdef HAVE_JSON_C
	code = opts->json ? info_json(&blk) : info_text(&blk);
#else
	code = info_text(&blk);
#endif
	blk_close(&blk);
	return code;
}

/* ------------------------------------------------------------- read, write */

/* A run over a part of the disk, with chunk i in slot i % DEPTH. */
struct run {
	struct blk blk;
	uint64_t offset;
	uint64_t length;
	uint32_t chunk;
	uint64_t issued;	/* bytes */
	uint64_t finished;	/* bytes, from the first on without a gap */
	unsigned int head;	/* slot of the next chunk to issue */
	unsigned int tail;	/* slot of the next to finish */
	unsigned int busy;	/* slots between the two */
	struct progress progress;
};

static int write_all(const uint8_t *buf, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, buf, len);

		if (n < 0 && errno == EINTR && !interrupted)
			continue;
		if (n < 0) {
			int r = -errno;

			if (r != -EINTR)
				complain("cannot write to the standard output: %s", strerror(-r));
			return r;
		}
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Return: bytes, fewer than @len at the end of the input; or a negative errno. */
static int64_t read_all(uint8_t *buf, size_t len)
{
	size_t have = 0;

	while (have < len) {
		ssize_t n = read(STDIN_FILENO, buf + have, len - have);

		if (n == 0)
			break;
		if (n < 0 && errno == EINTR && !interrupted)
			continue;
		if (n < 0) {
			int r = -errno;

			if (r != -EINTR)
				complain("cannot read from the standard input: %s", strerror(-r));
			return r;
		}
		have += (size_t)n;
	}
	return (int64_t)have;
}

/* How much of the input there is, if it is a file; 0 if that is not known. */
static uint64_t input_size(void)
{
	struct stat st;
	off_t at;

	if (fstat(STDIN_FILENO, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	at = lseek(STDIN_FILENO, 0, SEEK_CUR);
	return at >= 0 && at < st.st_size ? (uint64_t)(st.st_size - at) : 0;
}

/* @sized: the length is known; otherwise it is that of the input. */
static int run_begin(struct run *run, const struct options *opts, const char *verb, bool sized)
{
	int r = blk_open(&run->blk, opts);

	if (r < 0)
		return r;
	r = blk_range(&run->blk, opts, &run->offset, &run->length);
	if (r < 0)
		goto fail;
	run->chunk = blk_request_fit(&run->blk, CHUNK > run->blk.block_size ? CHUNK :
						run->blk.block_size, DEPTH);
	if (!run->chunk) {
		complain("%s: the device takes no request of a whole block", opts->address);
		r = -ENOTSUP;
		goto fail;
	}
	r = blk_start(&run->blk, 1, DEPTH, run->chunk);
	if (r < 0)
		goto fail;
	progress_begin(&run->progress, opts, verb, sized ? run->length : input_size());
	return 0;
fail:
	blk_close(&run->blk);
	return r;
}

static int run_end(struct run *run, int r)
{
	bool ok = r == 0;

	if (blk_close(&run->blk) < 0)
		ok = false;
	progress_end(&run->progress, run->finished, ok);
	if (r == -EINTR)
		complain("interrupted after %" PRIu64 " bytes", run->finished);
	return ok ? EXIT_OK : EXIT_FAILED;
}

static int issue(struct run *run, uint32_t type, uint32_t len)
{
	struct vhost_virtq_req req;
	int r;

	blk_prepare(&run->blk.queues[0].slots[run->head], &run->blk, type,
		    run->offset + run->issued, len, &req);
	r = blk_submit(&run->blk, 0, &req, 1);
	if (r < 0)
		return r;
	run->head = (run->head + 1) % DEPTH;
	run->busy++;
	run->issued += len;
	return 0;
}

/*
 * Take what is complete, and finish it in order: what was read is written out. With
 * @wait, until at least one slot is free.
 */
static int reap(struct run *run, bool wait)
{
	struct vhost_virtq_done done[DEPTH];

	for (;;) {
		int n = blk_collect(&run->blk, 0, done, DEPTH);
		bool freed = false;

		if (n < 0)
			return n;
		for (int i = 0; i < n; i++)
			((struct blk_slot *)done[i].cookie)->done = true;
		while (run->busy) {
			struct blk_slot *slot = &run->blk.queues[0].slots[run->tail];
			int r;

			if (!slot->done)
				break;
			if (slot->type == BLK_IN) {
				r = write_all(slot->data, slot->len);
				if (r < 0)
					return r;
			}
			run->finished += slot->len;
			run->tail = (run->tail + 1) % DEPTH;
			run->busy--;
			freed = true;
		}
		progress_update(&run->progress, run->finished);
		if (interrupted)
			return -EINTR;
		if (freed || !wait || !run->busy)
			return 0;
		if (n == 0) {
			int r = blk_wait(&run->blk);

			if (r < 0)
				return r;
		}
	}
}

int cmd_blk_read(const struct options *opts)
{
	struct run run = { .busy = 0 };
	int r = 0;

	if (isatty(STDOUT_FILENO)) {
		complain("blk read writes the disk's bytes: send them to a file or a pipe");
		return EXIT_USAGE;
	}
	if (run_begin(&run, opts, "read", true) < 0)
		return EXIT_FAILED;
	while (r == 0 && (run.issued < run.length || run.busy)) {
		while (r == 0 && run.busy < DEPTH && run.issued < run.length) {
			uint64_t left = run.length - run.issued;

			r = issue(&run, BLK_IN, left < run.chunk ? (uint32_t)left : run.chunk);
		}
		if (r == 0)
			r = reap(&run, true);
	}
	return run_end(&run, r);
}

/* Fill a slot from the input. Return: bytes, 0 at its end; or a negative errno. */
static int64_t fill(struct run *run, const struct options *opts)
{
	uint64_t left = run->length - run->issued;
	uint32_t want = left < run->chunk ? (uint32_t)left : run->chunk;
	struct blk_slot *slot = &run->blk.queues[0].slots[run->head];
	int64_t n;

	if (!want) {
		uint8_t more;

		/* With --length the rest of the input is not ours. */
		n = opts->has_length ? 0 : read_all(&more, 1);
		if (n > 0)
			complain("the input is larger than the disk: %" PRIu64 " bytes fit",
				 run->length);
		return n > 0 ? -ENOSPC : n;
	}
	n = read_all(slot->data, want);
	if (n < 0 || n == want)
		return n;
	if (opts->has_length) {
		complain("the input ended after %" PRIu64 " of %" PRIu64 " bytes",
			 run->issued + (uint64_t)n, run->length);
		return -ENODATA;
	}
	if (n % run->blk.block_size) {
		complain("the input, %" PRIu64 " bytes, is not a multiple of the disk's block size, %"
			 PRIu32, run->issued + (uint64_t)n, run->blk.block_size);
		return -EINVAL;
	}
	return n;
}

/* What was written may be in the device's cache still (VIRTIO 1.3, 5.2.6.2). */
static int flush(struct run *run)
{
	int r = 0;

	if (run->blk.features & F_FLUSH)
		r = issue(run, BLK_FLUSH, 0);
	while (r == 0 && run->busy)
		r = reap(run, true);
	return r;
}

int cmd_blk_write(const struct options *opts)
{
	struct run run = { .busy = 0 };
	int64_t n = 0;
	int r = 0;

	if (run_begin(&run, opts, "written", opts->has_length) < 0)
		return EXIT_FAILED;
	if (run.blk.features & F_RO) {
		complain("%s: the disk is read only", opts->address);
		run.progress.quiet = true;
		return run_end(&run, -EROFS);
	}
	for (;;) {
		if (run.busy == DEPTH)
			r = reap(&run, true);
		if (r < 0)
			break;
		n = fill(&run, opts);
		if (n <= 0)
			break;
		r = issue(&run, BLK_OUT, (uint32_t)n);
		if (r == 0)
			r = reap(&run, false);
		if (r < 0)
			break;
	}
	if (r == 0 && n < 0)
		r = (int)n;
	/* What was written before a mistake in the input is written: say so. */
	while (r < 0 && r != -EINTR && n < 0 && run.busy && reap(&run, true) == 0)
		;
	if (r == 0)
		while (r == 0 && run.busy)
			r = reap(&run, true);
	if (r == 0)
		r = flush(&run);
	if (r < 0 && r != -EINTR && run.finished)
		complain("the first %" PRIu64 " bytes were written", run.finished);
	return run_end(&run, r);
}
