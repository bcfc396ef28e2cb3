/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* What the tests of the device's side of a queue have on their bench: a driver that can lie. */
#ifndef LIBVHOST_TESTS_VRING_BENCH_H
#define LIBVHOST_TESTS_VRING_BENCH_H

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vhost/dev.h>
#include <vhost/user.h>

#include "leak.h"
#include "mem/dirty.h"
#include "mem/iotlb.h"
#include "ring-driver.h"
#include "ring/vring.h"

static struct guest_mem gm;
static struct ring_driver d;
static struct vring_run *run;
static struct vhost_req reqs[64];
static struct leak leak;

static inline void setup(void)
{
	leak = leak_begin();
	gm_init(&gm);
	run = NULL;
}

static inline void end_run(void)
{
	if (run)
		vring_run_free(run);
	run = NULL;
}

static inline void teardown(void)
{
	end_run();
	gm_fini(&gm);
	ck_assert_int_eq(leak_check(&leak), 0);
}

/* Both layouts, as the number of a loop. */
#define SPLIT 0
#define PACKED 1
#define tcase_add_both(tc, test) tcase_add_loop_test(tc, test, 0, 2)

static inline uint64_t layout_of(int i)
{
	return RING_F_VERSION_1 | RING_F_INDIRECT | (i & 1 ? RING_F_PACKED : 0);
}

#define N_FEATURES 16

static inline uint64_t features_of(int i)
{
	return RING_F_VERSION_1 | (i & 1 ? RING_F_PACKED : 0) | (i & 2 ? RING_F_EVENT_IDX : 0) |
	       (i & 4 ? RING_F_IN_ORDER : 0) | (i & 8 ? RING_F_INDIRECT : 0);
}

/* A driver and a device of this moment. */
static inline void begin_at(uint32_t size, uint64_t features, uint32_t at)
{
	end_run();
	rd_init(&d, &gm, size, features);
	rd_set_position(&d, at);
	run = rd_start(&d);
}

static inline void begin(uint32_t size, uint64_t features)
{
	begin_at(size, features, 0);
}

/* libcheck's assertions write a record each; these are for what is checked often. */
#define must(c, fmt, ...) do { \
	if (!(c)) \
		ck_abort_msg("%s: " fmt, #c, ##__VA_ARGS__); \
} while (0)
#define must_eq(a, b) do { \
	uint64_t a_ = (uint64_t)(a), b_ = (uint64_t)(b); \
	if (a_ != b_) \
		ck_abort_msg("%s is %#jx, %s is %#jx", #a, (uintmax_t)a_, #b, (uintmax_t)b_); \
} while (0)

static uint64_t rng_state;

static inline unsigned int rng(unsigned int below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (unsigned int)(rng_state >> 33) % below;
}

/* Buffers of request @cookie, from which the device's side can tell it. */
static inline uint64_t data_of(uint32_t cookie)
{
	return GM_DATA + (uint64_t)cookie * 64;
}

static inline uint32_t cookie_of(const struct vhost_req *req)
{
	return (uint32_t)(((uint8_t *)req->iov[0].iov_base - gm_device_ptr(&gm, GM_DATA)) / 64);
}

static inline bool add(uint32_t cookie)
{
	struct rd_seg seg = { data_of(cookie), 64, DESC_F_WRITE };

	return rd_add(&d, &seg, 1, 0, cookie);
}

static inline int pop(unsigned int n)
{
	return vring_pop(run, reqs, n);
}

static inline int push(const struct vhost_req *req, unsigned int n)
{
	bool gone = true;
	int r = vring_push(run, req, n, &gone);

	must(!gone, "a running ring's run is gone");
	return r;
}

static inline void expect_get(uint32_t cookie, uint32_t len)
{
	uint32_t got = ~0u, got_len = ~0u;

	must(rd_get(&d, &got, &got_len) == 1, "%s", d.violation ? d.violation : "nothing is used");
	must_eq(got, cookie);
	must_eq(got_len, len);
}

static inline void expect_get_none(void)
{
	uint32_t cookie, len;

	must(rd_get(&d, &cookie, &len) == 0, "%s", d.violation ? d.violation : "something is used");
}

/* The driver broke the ring, for every call from now on. */
static inline void expect_broken(void)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		must(pop(8) == -EBADMSG, "the ring is whole");
	must(vring_broken(run) && vring_broken(run)[0], "no sentence");
	must(!vring_needs_notify(run), "a broken ring is about to notify");
	end_run();
}

/* Play a chain behind one that is in order: that one comes, and then the ring is broken. */
static inline void expect_chain_breaks(const struct rd_seg *segs, unsigned int n)
{
	struct rd_seg good = { data_of(0), 64, DESC_F_WRITE };
	int r;

	rd_offer_chain(&d, 0, &good, 1);
	rd_offer_chain(&d, 1, segs, n);
	r = pop(8);
	must(r == 1, "%d instead of the good one alone", r);
	must_eq(cookie_of(&reqs[0]), 0);
	must_eq(vring_in_flight(run), 1);
	expect_broken();
}

/* The chain comes, whole. */
static inline void expect_chain(const struct rd_seg *segs, unsigned int n)
{
	rd_offer_chain(&d, 1, segs, n);
	must(pop(8) == 1, "%s", vring_broken(run) ? vring_broken(run) : "nothing");
}

#define LOG_BYTES 4096u

static inline struct dirty_log *new_log(void)
{
	struct dirty_log *log;
	const char *why = "";
	int fd = memfd_create("log", MFD_CLOEXEC);

	ck_assert_int_eq(ftruncate(fd, LOG_BYTES), 0);
	must(dirty_log_new(fd, 0, LOG_BYTES, &log, &why) == 0, "%s", why);
	close(fd);
	return log;
}

#endif
