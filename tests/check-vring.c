/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The device's side of a queue, against a driver that can lie, and against our own. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vhost/dev.h>
#include <vhost/user.h>
#include <vhost/virtq.h>

#include "leak.h"
#include "mem/dirty.h"
#include "mem/iotlb.h"
#include "ring-driver.h"
#include "ring/virtq.h"
#include "ring/vring.h"

static struct guest_mem gm;
static struct ring_driver d;
static struct vring_run *run;
static struct vhost_req reqs[64];
static struct leak leak;

static void setup(void)
{
	leak = leak_begin();
	gm_init(&gm);
	run = NULL;
}

static void end_run(void)
{
	if (run)
		vring_run_free(run);
	run = NULL;
}

static void teardown(void)
{
	end_run();
	gm_fini(&gm);
	ck_assert_int_eq(leak_check(&leak), 0);
}

/* Both layouts, as the number of a loop. */
#define SPLIT 0
#define PACKED 1
#define tcase_add_both(tc, test) tcase_add_loop_test(tc, test, 0, 2)

static uint64_t layout_of(int i)
{
	return RING_F_VERSION_1 | RING_F_INDIRECT | (i & 1 ? RING_F_PACKED : 0);
}

#define N_FEATURES 16

static uint64_t features_of(int i)
{
	return RING_F_VERSION_1 | (i & 1 ? RING_F_PACKED : 0) | (i & 2 ? RING_F_EVENT_IDX : 0) |
	       (i & 4 ? RING_F_IN_ORDER : 0) | (i & 8 ? RING_F_INDIRECT : 0);
}

/* A driver and a device of this moment. */
static void begin_at(uint32_t size, uint64_t features, uint32_t at)
{
	end_run();
	rd_init(&d, &gm, size, features);
	rd_set_position(&d, at);
	run = rd_start(&d);
}

static void begin(uint32_t size, uint64_t features)
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

static unsigned int rng(unsigned int below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (unsigned int)(rng_state >> 33) % below;
}

/* Buffers of request @cookie, from which the device's side can tell it. */
static uint64_t data_of(uint32_t cookie)
{
	return GM_DATA + (uint64_t)cookie * 64;
}

static uint32_t cookie_of(const struct vhost_req *req)
{
	return (uint32_t)(((uint8_t *)req->iov[0].iov_base - gm_device_ptr(&gm, GM_DATA)) / 64);
}

static bool add(uint32_t cookie)
{
	struct rd_seg seg = { data_of(cookie), 64, DESC_F_WRITE };

	return rd_add(&d, &seg, 1, 0, cookie);
}

static int pop(unsigned int n)
{
	return vring_pop(run, reqs, n);
}

static int push(const struct vhost_req *req, unsigned int n)
{
	bool gone = true;
	int r = vring_push(run, req, n, &gone);

	must(!gone, "a running ring's run is gone");
	return r;
}

static void expect_get(uint32_t cookie, uint32_t len)
{
	uint32_t got = ~0u, got_len = ~0u;

	must(rd_get(&d, &got, &got_len) == 1, "%s", d.violation ? d.violation : "nothing is used");
	must_eq(got, cookie);
	must_eq(got_len, len);
}

static void expect_get_none(void)
{
	uint32_t cookie, len;

	must(rd_get(&d, &cookie, &len) == 0, "%s", d.violation ? d.violation : "something is used");
}

/* The driver broke the ring, for every call from now on. */
static void expect_broken(void)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		must(pop(8) == -EBADMSG, "the ring is whole");
	must(vring_broken(run) && vring_broken(run)[0], "no sentence");
	must(!vring_needs_notify(run), "a broken ring is about to notify");
	end_run();
}

/* Play a chain behind one that is in order: that one comes, and then the ring is broken. */
static void expect_chain_breaks(const struct rd_seg *segs, unsigned int n)
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
static void expect_chain(const struct rd_seg *segs, unsigned int n)
{
	rd_offer_chain(&d, 1, segs, n);
	must(pop(8) == 1, "%s", vring_broken(run) ? vring_broken(run) : "nothing");
}

/* ------------------------------------------------------------- in good order */

START_TEST(pop_gives_the_buffers_of_a_request)
{
	const struct rd_seg segs[] = { { data_of(1), 10, 0 }, { GM_FAR + 5, 20, 0 },
				       { GM_NEXT, 30, DESC_F_WRITE }, { GM_HIGH, 1, DESC_F_WRITE } };
	unsigned int table;

	for (table = 0; table < 2; table++) {
		begin(8, layout_of(_i));
		ck_assert(rd_add(&d, segs, 4, table ? GM_TABLES : 0, 9));
		ck_assert_int_eq(pop(8), 1);
		ck_assert_uint_eq(reqs[0].out, 2);
		ck_assert_uint_eq(reqs[0].in, 2);
		ck_assert_uint_eq(reqs[0].out_len, 30);
		ck_assert_uint_eq(reqs[0].in_len, 31);
		ck_assert_uint_eq(reqs[0].written, 0);
		ck_assert_uint_eq(reqs[0].run, 1);
		ck_assert_ptr_eq(reqs[0].iov[0].iov_base, gm_device_ptr(&gm, data_of(1)));
		ck_assert_uint_eq(reqs[0].iov[0].iov_len, 10);
		ck_assert_ptr_eq(reqs[0].iov[1].iov_base, gm_device_ptr(&gm, GM_FAR + 5));
		ck_assert_ptr_eq(reqs[0].iov[2].iov_base, gm_device_ptr(&gm, GM_NEXT));
		ck_assert_ptr_eq(reqs[0].iov[3].iov_base, gm_device_ptr(&gm, GM_HIGH));
		ck_assert_uint_eq(reqs[0].iov[3].iov_len, 1);
		ck_assert_uint_eq(vring_in_flight(run), 1);
		ck_assert_int_eq(pop(8), 0);
		reqs[0].written = 17;
		ck_assert_int_eq(push(reqs, 1), 0);
		ck_assert_uint_eq(vring_in_flight(run), 0);
		expect_get(9, 17);
		expect_get_none();
		ck_assert_uint_eq(d.n_free, 8);
	}
}
END_TEST

START_TEST(requests_come_and_go_in_bursts)
{
	uint32_t i;

	begin(8, layout_of(_i));
	ck_assert_int_eq(pop(8), 0);
	for (i = 0; i < 8; i++)
		ck_assert(add(i));
	ck_assert(!add(8));
	ck_assert_int_eq(vring_pop(run, reqs, 3), 3);
	ck_assert_int_eq(vring_pop(run, reqs + 3, 1), 1);
	ck_assert_int_eq(vring_pop(run, reqs + 4, 64 - 4), 4);
	for (i = 0; i < 8; i++) {
		ck_assert_uint_eq(cookie_of(&reqs[i]), i);
		reqs[i].written = i;
	}
	ck_assert_int_eq(push(reqs, 5), 0);
	for (i = 0; i < 5; i++)
		expect_get(i, i);
	expect_get_none();
	ck_assert_int_eq(push(reqs, 0), 0);
	ck_assert_int_eq(push(reqs + 5, 3), 0);
	for (i = 5; i < 8; i++)
		expect_get(i, i);
	ck_assert_int_eq(vring_pop(run, reqs, 0), 0);
}
END_TEST

START_TEST(requests_are_pushed_in_any_order)
{
	static const uint8_t order[] = { 3, 1, 4, 0, 7, 6, 2, 5 };
	struct rd_seg segs[2] = { { 0, 32, 0 }, { 0, 32, DESC_F_WRITE } };
	struct vhost_req one[8];
	unsigned int round, i;

	/* Chains of one and two descriptors by turns. */
	begin(_i ? 12 : 16, layout_of(_i));
	for (round = 0; round < 40; round++) {
		for (i = 0; i < 8; i++) {
			segs[0].addr = data_of(i);
			segs[1].addr = data_of(i) + 32;
			ck_assert(rd_add(&d, segs, 1 + (i + round) % 2, 0, i));
		}
		ck_assert_int_eq(pop(64), 8);
		for (i = 0; i < 8; i++) {
			one[i] = reqs[order[i]];
			one[i].written = one[i].in_len;
		}
		ck_assert_int_eq(push(one, 3), 0);
		ck_assert_int_eq(push(one + 3, 1), 0);
		ck_assert_int_eq(push(one + 4, 4), 0);
		for (i = 0; i < 8; i++)
			expect_get(order[i], one[i].in_len);
		expect_get_none();
	}
}
END_TEST

START_TEST(a_table_may_straddle_regions_and_lie_anywhere)
{
	/* Inside a region, unaligned, over a border, over a border in a descriptor's middle. */
	static const uint64_t places[] = { GM_TABLES, GM_TABLES + 1, GM_TABLES + 7, GM_NEXT - 32,
					   GM_NEXT - 8, GM_NEXT - 33, GM_HOLE - 64,
					   GM_HIGH + GM_HIGH_SIZE - 64, GM_LOW };
	struct rd_seg segs[4];
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		if (places[i] == GM_LOW)	/* the ring is there */
			continue;
		begin(4, layout_of(_i));
		for (j = 0; j < 4; j++)
			segs[j] = (struct rd_seg){ data_of(j), j + 1, j > 1 ? DESC_F_WRITE : 0 };
		ck_assert(rd_add(&d, segs, 4, places[i], 1));
		must(pop(1) == 1, "%#jx: %s", (uintmax_t)places[i], vring_broken(run));
		ck_assert_uint_eq(reqs[0].out, 2);
		ck_assert_uint_eq(reqs[0].in, 2);
		for (j = 0; j < 4; j++) {
			ck_assert_ptr_eq(reqs[0].iov[j].iov_base, gm_device_ptr(&gm, data_of(j)));
			ck_assert_uint_eq(reqs[0].iov[j].iov_len, j + 1);
		}
		ck_assert_int_eq(push(reqs, 1), 0);
		expect_get(1, 0);
	}
}
END_TEST

START_TEST(a_request_of_many_buffers_comes_whole)
{
	enum { N = 1024 };
	struct rd_seg table = { GM_TABLES, 16 * N, DESC_F_INDIRECT };
	unsigned int i;

	begin(4, layout_of(_i));
	for (i = 0; i < N; i++) {
		struct rd_seg seg = { data_of(i), 1 + i % 64, i >= N / 2 ? DESC_F_WRITE : 0 };

		rd_write_table(&d, GM_TABLES + 16 * i, &seg, 1);
		if (!d.packed && i + 1 < N) {
			rd_put16(&d, gm_ptr(&gm, GM_TABLES + 16 * i + 12), seg.flags | DESC_F_NEXT);
			rd_put16(&d, gm_ptr(&gm, GM_TABLES + 16 * i + 14), (uint16_t)(i + 1));
		}
	}
	expect_chain(&table, 1);
	ck_assert_uint_eq(reqs[0].out, N / 2);
	ck_assert_uint_eq(reqs[0].in, N / 2);
	for (i = 0; i < N; i++) {
		must_eq((uintptr_t)reqs[0].iov[i].iov_base,
			(uintptr_t)gm_device_ptr(&gm, data_of(i)));
		must_eq(reqs[0].iov[i].iov_len, 1 + i % 64);
	}
	ck_assert_int_eq(push(reqs, 1), 0);
	ck_assert_uint_eq(vring_in_flight(run), 0);
}
END_TEST

START_TEST(a_chain_as_long_as_the_ring_is_in_order)
{
	static const uint32_t sizes[] = { 1, 2, 4, 32768, 3, 7, 32767 };
	static struct rd_seg segs[32768];
	unsigned int i, j;

	for (i = 0; i < (_i ? ARRAY_SIZE(sizes) : 4); i++) {
		begin(sizes[i], layout_of(_i));
		for (j = 0; j < sizes[i]; j++)
			segs[j] = (struct rd_seg){ data_of(j % 1024), 1, DESC_F_WRITE };
		rd_offer_chain(&d, 0, segs, sizes[i]);
		must(pop(1) == 1, "%u: %s", sizes[i], vring_broken(run));
		ck_assert_uint_eq(reqs[0].in, sizes[i]);
		ck_assert_uint_eq(reqs[0].in_len, sizes[i]);
		ck_assert_int_eq(push(reqs, 1), 0);
	}
}
END_TEST

START_TEST(unpop_puts_the_last_ones_back)
{
	struct vhost_req first[4];
	uint32_t base;
	unsigned int i;

	begin_at(4, layout_of(_i), _i ? 6 : 65534);
	base = vring_base(run);
	for (i = 0; i < 4; i++)
		add(i);
	ck_assert_int_eq(vring_pop(run, first, 4), 4);
	ck_assert_int_eq(vring_unpop(run, first + 2, 2), 0);
	ck_assert_uint_eq(vring_in_flight(run), 2);
	ck_assert_int_eq(vring_unpop(run, first, 1), -EINVAL);	/* not the last */
	ck_assert_int_eq(vring_unpop(run, first + 2, 1), -EINVAL);	/* not in flight */
	ck_assert_int_eq(pop(1), 1);
	ck_assert_uint_eq(cookie_of(&reqs[0]), 2);
	ck_assert_int_eq(vring_unpop(run, reqs, 1), 0);
	ck_assert_int_eq(vring_unpop(run, first, 2), 0);
	ck_assert_uint_eq(vring_in_flight(run), 0);
	ck_assert_uint_eq(vring_base(run), base);
	ck_assert(vring_has_requests(run));
	ck_assert_int_eq(pop(4), 4);
	for (i = 0; i < 4; i++)
		ck_assert_uint_eq(cookie_of(&reqs[i]), i);
	ck_assert_int_eq(push(reqs, 3), 0);
	ck_assert_int_eq(vring_unpop(run, reqs, 4), -EINVAL);	/* some were pushed */
	ck_assert_uint_eq(vring_in_flight(run), 1);
	ck_assert_int_eq(vring_unpop(run, reqs + 3, 1), 0);
	ck_assert_int_eq(pop(4), 1);
	ck_assert_uint_eq(cookie_of(&reqs[0]), 3);
	ck_assert_int_eq(push(reqs, 1), 0);
	for (i = 0; i < 4; i++)
		expect_get(i, 0);
}
END_TEST

START_TEST(requests_that_the_driver_took_back_in_the_meantime_are_read_anew)
{
	/* After unpop nothing that was read before is relied upon. */
	begin(4, layout_of(_i));
	add(1);
	ck_assert_int_eq(pop(1), 1);
	ck_assert_int_eq(vring_unpop(run, reqs, 1), 0);
	rd_put64(&d, rd_desc(&d, 0), data_of(2));
	ck_assert_int_eq(pop(1), 1);
	ck_assert_uint_eq(cookie_of(&reqs[0]), 2);
	ck_assert_int_eq(vring_unpop(run, reqs, 1), 0);
	rd_put64(&d, rd_desc(&d, 0), GM_HOLE);
	expect_broken();
}
END_TEST

START_TEST(f19_a_stopped_ring_goes_on_where_it_was)
{
	unsigned int at, n;

	for (at = 0; at < (_i ? 10 : 9); at++)
		for (n = 0; n < 4; n++) {
			unsigned int i;
			uint32_t base;

			begin_at(_i ? 5 : 4, layout_of(_i), _i ? at : 65532 + at);
			for (i = 0; i < 4; i++)
				add(i);
			must_eq(pop(n), n);
			must_eq(push(reqs, n), 0);
			base = vring_base(run);
			must(vring_run_stop(run), "nothing is in flight");
			run = NULL;
			for (i = 0; i < n; i++)
				expect_get(i, 0);
			{
				struct vring_memory mem = { .map = gm.map };
				struct vring_config config = rd_config(&d, &mem);
				char why[160] = "";

				config.base = base;
				must(vring_run_new(&config, &mem, &run, why, sizeof(why)) == 0,
				     "%s", why);
			}
			must_eq(vring_base(run), base);
			must_eq(pop(8), 4 - n);
			for (i = n; i < 4; i++)
				must_eq(cookie_of(&reqs[i - n]), i);
			must_eq(push(reqs, 4 - n), 0);
			for (i = n; i < 4; i++)
				expect_get(i, 0);
			end_run();
		}
}
END_TEST

static int start_at(uint32_t base, char *why, size_t why_size)
{
	struct vring_memory mem = { .map = gm.map };
	struct vring_config config = rd_config(&d, &mem);

	config.base = base;
	end_run();
	return vring_run_new(&config, &mem, &run, why, why_size);
}

START_TEST(f19_any_16_bit_base_starts_a_split_ring)
{
	uint32_t base;
	char why[160];

	for (base = 0; base < 65536; base += 251) {
		rd_init(&d, &gm, 8, layout_of(SPLIT));
		rd_set_position(&d, base);
		must_eq(start_at(base, why, sizeof(why)), 0);
		must_eq(vring_base(run), base);
		add(1);
		must_eq(pop(2), 1);
		must_eq(push(reqs, 1), 0);
		expect_get(1, 0);
		must_eq(vring_base(run), (base + 1) & 0xffff);
	}
}
END_TEST

START_TEST(f19_base_beyond_a_packed_ring_is_refused)
{
	static const uint32_t bad[] = { 0x80068006, 0x80058006, 0x80068005, 0xffffffff, 0x7fff8000,
					0x80007fff, 0x00060000, 0x80060000, 0x80000006 };
	static const uint32_t good[] = { 0x80008000, 0x80058005, 0x00050005, 0x80050005, 0x00000005 };
	char why[160];
	unsigned int i;

	rd_init(&d, &gm, 6, layout_of(PACKED));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		why[0] = '\0';
		must(start_at(bad[i], why, sizeof(why)) == -EINVAL, "%#x", bad[i]);
		must(why[0], "no sentence");
		run = NULL;
	}
	for (i = 0; i < ARRAY_SIZE(good); i++)
		must(start_at(good[i], why, sizeof(why)) == 0, "%#x: %s", good[i], why);
}
END_TEST

START_TEST(f19_packed_base_of_16_bits_is_both_halves)
{
	uint32_t at;
	char why[160];

	/* What a front-end sends that knows of the lower half alone. */
	for (at = 0; at < 10; at++) {
		rd_init(&d, &gm, 5, layout_of(PACKED));
		rd_set_position(&d, at);
		must_eq(start_at(rd_base(&d) & 0xffff, why, sizeof(why)), 0);
		add(1);
		add(2);
		must_eq(pop(8), 2);
		must_eq(push(reqs, 2), 0);
		expect_get(1, 0);
		expect_get(2, 0);
		must_eq(vring_base(run), rd_base(&d));
	}
}
END_TEST

START_TEST(a_stopped_run_lasts_until_the_last_request_and_leaves_the_ring_alone)
{
	uint8_t before[4 * 16 + 6 + 4 * 8];
	bool gone;

	begin(4, layout_of(_i));
	add(0);
	add(1);
	ck_assert_int_eq(pop(4), 2);
	ck_assert(!vring_run_stop(run));
	memcpy(before, d.desc_p, 64);
	memcpy(before + 64, d.device_p, 6 + 4 * 8);
	reqs[0].written = 3;
	/* Buffers are there still. */
	memset(reqs[0].iov[0].iov_base, 1, 64);
	ck_assert_int_eq(vring_pop(run, reqs + 2, 4), 0);
	ck_assert_int_eq(vring_push(run, reqs, 1, &gone), 0);
	ck_assert(!gone);
	ck_assert_int_eq(vring_push(run, reqs + 1, 1, &gone), 0);
	ck_assert(gone);
	run = NULL;
	ck_assert_int_eq(memcmp(before, d.desc_p, 64), 0);
	ck_assert_int_eq(memcmp(before + 64, d.device_p, 6 + 4 * 8), 0);
	expect_get_none();
}
END_TEST

START_TEST(g24_rings_wrap_at_every_place)
{
	static const uint32_t sizes[] = { 1, 2, 4, 3, 5 };
	unsigned int s, at, n, i;

	/* g24: each size, from each place, with each length of burst, twice around. */
	for (s = 0; s < (_i & 1 ? ARRAY_SIZE(sizes) : 3); s++)
		for (at = 0; at < 2 * sizes[s]; at++)
			for (n = 1; n <= sizes[s]; n++) {
				unsigned int round;

				begin_at(sizes[s], features_of(_i), _i & 1 ? at : 65536 - at);
				for (round = 0; round < 2 * sizes[s] + 2; round++) {
					for (i = 0; i < n; i++)
						must(add(i), "no room");
					must_eq(pop(64), n);
					for (i = 0; i < n; i++) {
						must_eq(cookie_of(&reqs[i]), i);
						reqs[i].written = 64;
					}
					must_eq(push(reqs, n), 0);
					for (i = 0; i < n; i++)
						expect_get(i, 64);
				}
				must_eq(vring_base(run), rd_base(&d));
			}
}
END_TEST

/* ---------------------------------------------------------- notifications */

START_TEST(notify_follows_the_drivers_flag)
{
	begin(4, layout_of(_i));
	ck_assert(!vring_needs_notify(run));
	add(0);
	add(1);
	add(2);
	ck_assert_int_eq(pop(4), 3);
	rd_always_call(&d);
	push(reqs, 1);
	ck_assert(vring_needs_notify(run));
	ck_assert(!vring_needs_notify(run));	/* asked for once */
	rd_never_call(&d);
	push(reqs + 1, 1);
	ck_assert(!vring_needs_notify(run));
	rd_always_call(&d);
	push(reqs + 2, 1);
	ck_assert(vring_needs_notify(run));
}
END_TEST

/* Place @at of the ring as used_event has it. */
static uint16_t event_of(uint32_t at)
{
	if (!d.packed)
		return (uint16_t)at;
	return (uint16_t)(at % d.size | (at / d.size & 1 ? 0 : 0x8000));
}

START_TEST(notify_comes_when_the_event_is_passed_and_only_then)
{
	const uint32_t size = 4, from = _i ? 0 : 65536 - 4, places = _i ? 8 : 65536;
	uint32_t at, event, n, i;

	for (at = from; at < from + 8; at++)
		for (event = from; event < from + 8; event++)
			for (n = 1; n <= size; n++) {
				uint32_t ago = (at + n + places - event) % places;

				/* A new run may notify once more than it must. */
				begin_at(size, layout_of(_i) | RING_F_EVENT_IDX, at + places - 1);
				add(0);
				pop(1);
				push(reqs, 1);
				vring_needs_notify(run);
				expect_get(0, 0);
				for (i = 0; i < n; i++)
					add(i);
				must_eq(pop(8), n);
				rd_call_at(&d, event_of(event));
				/* One decision for them all, however they were pushed. */
				must_eq(push(reqs, n / 2), 0);
				must_eq(push(reqs + n / 2, n - n / 2), 0);
				/* A whole lap of a packed ring may notify in any case. */
				must(vring_needs_notify(run) == (ago >= 1 && ago <= n) ||
				     (_i && n == size),
				     "at %u, %u pushed, event %u", at, n, event);
				must(!vring_needs_notify(run), "twice");
			}
}
END_TEST

START_TEST(set_notify_is_what_the_driver_reads)
{
	uint64_t features = layout_of(_i) | (_i & 2 ? RING_F_EVENT_IDX : 0);

	begin_at(4, features, _i & 1 ? 3 : 65535);
	ck_assert_int_eq(pop(4), 0);
	add(0);
	ck_assert(rd_needs_kick(&d, 1));
	ck_assert_int_eq(pop(1), 1);
	ck_assert(!vring_set_notify(run, false));
	add(1);
	ck_assert(!rd_needs_kick(&d, 1));
	ck_assert(vring_set_notify(run, true));		/* one waits */
	ck_assert_int_eq(vring_pop(run, reqs + 1, 4), 1);
	ck_assert(!vring_set_notify(run, true));
	add(2);
	ck_assert(rd_needs_kick(&d, 1));
	ck_assert_int_eq(vring_pop(run, reqs + 2, 4), 1);
	/* Fewer than asked for: the next one is notified of, by itself. */
	add(3);
	ck_assert(rd_needs_kick(&d, 1));
	ck_assert_int_eq(vring_pop(run, reqs + 3, 4), 1);
	ck_assert_int_eq(push(reqs, 4), 0);
	ck_assert(!vring_set_notify(run, false));
	ck_assert_int_eq(pop(4), 0);
	expect_get(0, 0);
	add(4);
	ck_assert(!rd_needs_kick(&d, 1));
}
END_TEST

START_TEST(a_run_begins_with_the_notifications_that_it_is_told)
{
	uint64_t features = layout_of(_i) | (_i & 2 ? RING_F_EVENT_IDX : 0);
	struct vring_memory mem = { .map = gm.map };
	struct vring_config config;
	char why[160];

	rd_init(&d, &gm, 4, features);
	config = rd_config(&d, &mem);
	config.notify = false;
	ck_assert_int_eq(vring_run_new(&config, &mem, &run, why, sizeof(why)), 0);
	add(0);
	ck_assert_int_eq(pop(4), 1);
	add(1);
	ck_assert(!rd_needs_kick(&d, 1));
}
END_TEST

/* -------------------------------------------------------------- IN_ORDER */

START_TEST(g23_in_order_is_kept)
{
	bool gone;
	uint32_t i;

	/* g23: one out of its turn is refused with those behind it. */
	begin(8, layout_of(_i) | RING_F_IN_ORDER);
	for (i = 0; i < 6; i++)
		add(i);
	ck_assert_int_eq(pop(8), 6);
	for (i = 0; i < 6; i++)
		reqs[i].written = 64;
	ck_assert_int_eq(vring_push(run, reqs + 1, 1, &gone), -EINVAL);
	expect_get_none();
	ck_assert_int_eq(push(reqs, 2), 0);
	expect_get(0, 64);
	expect_get(1, 64);
	{
		struct vhost_req mixed[3] = { reqs[2], reqs[4], reqs[3] };

		ck_assert_int_eq(vring_push(run, mixed, 3, &gone), -EINVAL);
	}
	expect_get(2, 64);
	expect_get_none();
	ck_assert_uint_eq(vring_in_flight(run), 3);
	ck_assert_int_eq(push(reqs + 3, 3), 0);
	for (i = 3; i < 6; i++)
		expect_get(i, 64);
	ck_assert_uint_eq(vring_in_flight(run), 0);
}
END_TEST

START_TEST(in_order_batches_keep_the_length_of_each)
{
	uint32_t i;

	/* Only a request that was used completely may be passed over (2.7.9, 2.8.8). */
	begin(8, layout_of(_i) | RING_F_IN_ORDER);
	for (i = 0; i < 8; i++)
		add(i);
	ck_assert_int_eq(pop(8), 8);
	for (i = 0; i < 8; i++)
		reqs[i].written = i % 3 ? 64 : i;
	ck_assert_int_eq(push(reqs, 8), 0);
	for (i = 0; i < 8; i++)
		expect_get(i, i % 3 ? 64 : i);
	expect_get_none();
}
END_TEST

/* ------------------------------------------------------- G: hostile guests */

static const struct {
	uint64_t addr;
	uint32_t len;
	int pieces;		/* or -1 */
	uint32_t first;
} spans[] = {
	{ GM_NEXT - 1, 1, 1, 1 },
	{ GM_NEXT - 1, 2, 2, 1 },
	{ GM_NEXT - 16, 16 + GM_NEXT_SIZE, 2, 16 },
	{ GM_LOW, GM_LOW_SIZE + GM_NEXT_SIZE, 2, GM_LOW_SIZE },
	{ GM_NEXT - 16, 16 + GM_NEXT_SIZE + 1, -1, 0 },
	{ GM_HOLE - 1, 1, 1, 1 },
	{ GM_HOLE - 1, 2, -1, 0 },
	{ GM_HOLE, 1, -1, 0 },
	{ GM_LOW - 1, 2, -1, 0 },
	{ GM_LOW - 1, 1, -1, 0 },
	{ 0, 1, -1, 0 },
	{ GM_FAR, GM_FAR_SIZE, 1, GM_FAR_SIZE },
	{ GM_FAR, GM_FAR_SIZE + 1, -1, 0 },
	{ GM_HOLE - 1, GM_FAR - GM_HOLE + 2, -1, 0 },		/* over a hole */
	{ GM_HIGH + GM_HIGH_SIZE - 1, 1, 1, 1 },
	{ GM_HIGH + GM_HIGH_SIZE - 1, 2, -1, 0 },
	{ GM_HIGH, 0xffffffff, -1, 0 },
	{ UINT64_MAX, 1, -1, 0 },
	{ UINT64_MAX, 0xffffffff, -1, 0 },
	{ UINT64_MAX - 15, 32, -1, 0 },
	{ 1ull << 63, 16, -1, 0 },
};

START_TEST(g1_a_buffer_is_split_at_regions_and_never_reaches_beyond)
{
	unsigned int i, how;

	for (i = 0; i < ARRAY_SIZE(spans); i++)
		for (how = 0; how < 4; how++) {
			uint16_t flags = how & 1 ? DESC_F_WRITE : 0;
			struct rd_seg seg = { spans[i].addr, spans[i].len, flags };
			struct rd_seg table = { GM_TABLES, 16, DESC_F_INDIRECT };

			begin(4, layout_of(_i));
			if (how & 2)
				rd_write_table(&d, GM_TABLES, &seg, 1);
			if (spans[i].pieces < 0) {
				expect_chain_breaks(how & 2 ? &table : &seg, 1);
				continue;
			}
			expect_chain(how & 2 ? &table : &seg, 1);
			must_eq(flags ? reqs[0].in : reqs[0].out, spans[i].pieces);
			must_eq(flags ? reqs[0].out : reqs[0].in, 0);
			must_eq(flags ? reqs[0].in_len : reqs[0].out_len, spans[i].len);
			must_eq(reqs[0].iov[0].iov_len, spans[i].first);
			must_eq((uintptr_t)reqs[0].iov[0].iov_base,
				(uintptr_t)gm_device_ptr(&gm, spans[i].addr));
			if (spans[i].pieces > 1)
				must_eq((uintptr_t)reqs[0].iov[1].iov_base,
					(uintptr_t)gm_device_ptr(&gm, GM_NEXT));
		}
}
END_TEST

START_TEST(g2_an_empty_buffer_is_left_out_wherever_it_is)
{
	static const uint64_t at[] = { 0, GM_HOLE, UINT64_MAX, 1ull << 63, GM_HIGH };
	unsigned int i, how;

	/* g2: its address is not looked at; but where it stands among the others is. */
	for (i = 0; i < ARRAY_SIZE(at); i++)
		for (how = 0; how < 3; how++) {
			const struct rd_seg segs[3] = {
				{ at[i], 0, 0 }, { data_of(1), 16, 0 }, { at[i], 0, DESC_F_WRITE },
			};
			const struct rd_seg table = { GM_TABLES, 48, DESC_F_INDIRECT };
			const struct rd_seg late[2] = { segs[2], segs[1] };

			begin(4, layout_of(_i));
			rd_write_table(&d, GM_TABLES, segs, 3);
			if (how == 0) {
				expect_chain(segs, 3);
			} else if (how == 1) {
				expect_chain(&table, 1);
			} else {
				expect_chain_breaks(late, 2);
				continue;
			}
			must_eq(reqs[0].out, 1);
			must_eq(reqs[0].in, 0);
			must_eq(reqs[0].out_len, 16);
			must_eq(reqs[0].in_len, 0);
			reqs[0].written = 1;
			must_eq(push(reqs, 1), 0);
		}
}
END_TEST

START_TEST(g3_chains_of_empty_buffers_are_bounded)
{
	static struct rd_seg segs[4096];
	struct rd_seg table = { GM_TABLES, 16 * 1025, DESC_F_INDIRECT };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(segs); i++)
		segs[i] = (struct rd_seg){ GM_HOLE, 0, i < 1000 ? 0 : DESC_F_WRITE };
	begin(4096, layout_of(_i));
	expect_chain(segs, 4096);
	ck_assert_uint_eq(reqs[0].out + reqs[0].in, 0);
	ck_assert_int_eq(push(reqs, 1), 0);
	/* A table may be longer than the ring, but not by any length. */
	begin(4, layout_of(_i));
	rd_write_table(&d, GM_TABLES, segs, 1025);
	expect_chain_breaks(&table, 1);
	begin(4, layout_of(_i));
	rd_write_table(&d, GM_TABLES, segs, 1024);
	table.len = 16 * 1024;
	expect_chain(&table, 1);
	ck_assert_uint_eq(reqs[0].out + reqs[0].in, 0);
}
END_TEST

START_TEST(g4_chains_that_loop_break_the_ring)
{
	static const uint8_t nexts[][4] = {
		{ 0, 1, 1, 3 },		/* 1 on itself */
		{ 0, 2, 1, 3 },		/* on two */
		{ 1, 2, 3, 0 },		/* on the whole table */
		{ 0, 2, 3, 2 },		/* a tail that loops */
	};
	struct rd_seg table = { GM_TABLES, 64, DESC_F_INDIRECT };
	unsigned int i, j, indirect;

	for (i = 0; i < ARRAY_SIZE(nexts); i++)
		for (indirect = 0; indirect < 2; indirect++) {
			uint8_t *at = indirect ? gm_ptr(&gm, GM_TABLES) : NULL;

			begin(4, layout_of(SPLIT));
			if (!at)
				at = d.desc_p;
			for (j = 0; j < 4; j++)
				rd_put_desc(&d, at + 16 * j, data_of(j), 16, DESC_F_NEXT, nexts[i][j]);
			if (indirect)
				rd_write_chain(&d, 1, &table, 1);
			rd_offer(&d, 1, 1);
			expect_broken();
		}
}
END_TEST

START_TEST(g4_next_beyond_the_ring_breaks_it)
{
	static const uint16_t nexts[] = { 4, 5, 8, 255, 256, 32768, 65535 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(nexts); i++) {
		begin(4, layout_of(SPLIT));
		rd_put_desc(&d, rd_desc(&d, 1), data_of(1), 16, DESC_F_NEXT, nexts[i]);
		rd_offer(&d, 1, 1);
		expect_broken();
	}
}
END_TEST

START_TEST(g27_next_beyond_a_table_breaks_the_ring)
{
	static const uint16_t nexts[] = { 2, 3, 4, 32768, 65535 };
	struct rd_seg table = { GM_TABLES, 32, DESC_F_INDIRECT };
	unsigned int i;

	/* g27: that there is memory behind it, even good descriptors, makes no difference. */
	for (i = 0; i < ARRAY_SIZE(nexts); i++) {
		begin(8, layout_of(SPLIT));
		rd_put_desc(&d, gm_ptr(&gm, GM_TABLES), data_of(0), 16, DESC_F_NEXT, nexts[i]);
		rd_put_desc(&d, gm_ptr(&gm, GM_TABLES + 32), data_of(0), 16, 0, 0);
		rd_put_desc(&d, gm_ptr(&gm, GM_TABLES + 48), data_of(0), 16, 0, 0);
		rd_write_chain(&d, 1, &table, 1);
		rd_offer(&d, 1, 1);
		expect_broken();
	}
}
END_TEST

START_TEST(g5_a_ring_that_is_always_full_is_taken_in_the_callers_steps)
{
	struct rd_seg seg = { data_of(1), 16, 0 };
	unsigned int i, round, head = 0;
	int r;

	/* g5: what comes while a burst is taken belongs to the next one. */
	begin(4, layout_of(_i));
	for (i = 0; i < 4; i++)
		rd_offer_chain(&d, (uint16_t)i, &seg, 1);
	for (round = 0; round < 1000; round++) {
		r = pop(3);
		must(r > 0 && r <= 3, "%d", r);
		must_eq(push(reqs, r), 0);
		for (i = 0; i < (unsigned int)r; i++)
			rd_offer_chain(&d, head++ % 4, &seg, 1);
	}
}
END_TEST

START_TEST(g6_available_index_that_jumps_breaks_the_split_ring)
{
	static const uint16_t jumps[] = { 5, 6, 255, 256, 32767, 32768, 65534, 65535 };
	unsigned int i, at;

	/* g6: by more than the size, to the other end, backwards. */
	for (i = 0; i < ARRAY_SIZE(jumps); i++)
		for (at = 65534; at < 65540; at++) {
			begin_at(4, layout_of(SPLIT), at);
			add(0);
			must_eq(pop(1), 1);
			rd_set_avail_idx(&d, (uint16_t)(d.avail + jumps[i]));
			expect_broken();
		}
	/* By the size it may. */
	begin_at(4, layout_of(SPLIT), 65534);
	for (i = 0; i < 4; i++)
		add(i);
	ck_assert_int_eq(pop(8), 4);
}
END_TEST

START_TEST(g6_more_in_flight_than_the_ring_has_breaks_it)
{
	struct rd_seg seg = { data_of(1), 16, 0 };
	unsigned int i;

	begin(4, layout_of(_i));
	for (i = 0; i < 4; i++)
		add(i);
	ck_assert_int_eq(pop(8), 4);
	/* g6: no descriptor is free; whichever this uses is somebody else's. */
	rd_offer_chain(&d, 2, &seg, 1);
	ck_assert_int_eq(pop(8), -EBADMSG);
	ck_assert_uint_eq(vring_in_flight(run), 4);
	expect_broken();
}
END_TEST

START_TEST(g7_head_beyond_the_ring_breaks_it)
{
	static const uint16_t heads[] = { 4, 5, 255, 256, 32768, 65535 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(heads); i++) {
		begin(4, layout_of(SPLIT));
		rd_offer(&d, heads[i], 1);
		expect_broken();
	}
}
END_TEST

START_TEST(g8_request_offered_again_before_its_completion_breaks_the_ring)
{
	struct rd_seg seg = { data_of(0), 16, DESC_F_WRITE };
	unsigned int apart;

	/* g8; and g18: an id that is reused. In one burst, or in two. */
	for (apart = 0; apart < 2; apart++) {
		begin(4, layout_of(_i));
		rd_offer_chain(&d, 2, &seg, 1);
		if (apart)
			ck_assert_int_eq(pop(8), 1);
		rd_offer_chain(&d, 2, &seg, 1);
		if (!apart)
			ck_assert_int_eq(pop(8), 1);
		ck_assert_uint_eq(vring_in_flight(run), 1);
		expect_broken();
	}
	/* After it, it is a new one. */
	begin(4, layout_of(_i));
	for (apart = 0; apart < 9; apart++) {
		rd_offer_chain(&d, 2, &seg, 1);
		ck_assert_int_eq(pop(8), 1);
		ck_assert_int_eq(push(reqs, 1), 0);
	}
}
END_TEST

START_TEST(g10_a_chain_of_4_gib_breaks_the_ring)
{
	/* g10: 2730 times all of a region is 1 MiB short of 4 GiB. */
	enum { N = 2730 };
	static struct rd_seg segs[N + 1];
	static const uint32_t lasts[] = { 1, 0xfffff, 0x100000, 0x100001, GM_LOW_SIZE };
	unsigned int i, write;

	for (write = 0; write < 2; write++)
		for (i = 0; i < ARRAY_SIZE(lasts); i++) {
			unsigned int j;

			begin(4096, layout_of(_i));
			for (j = 0; j <= N; j++)
				segs[j] = (struct rd_seg){ GM_LOW, j < N ? GM_LOW_SIZE : lasts[i],
							   write ? DESC_F_WRITE : 0 };
			rd_offer_chain(&d, 0, segs, N + 1);
			if (lasts[i] >= 0x100000) {
				expect_broken();
				continue;
			}
			must(pop(1) == 1, "%s", vring_broken(run));
			must_eq(write ? reqs[0].in_len : reqs[0].out_len,
				N * GM_LOW_SIZE + lasts[i]);
			must_eq(push(reqs, 1), 0);
		}
	/* Readable and writable ones count together. */
	begin(4096, layout_of(_i));
	for (i = 0; i <= N; i++)
		segs[i] = (struct rd_seg){ GM_LOW, GM_LOW_SIZE, i > N / 2 ? DESC_F_WRITE : 0 };
	rd_offer_chain(&d, 0, segs, N + 1);
	expect_broken();
}
END_TEST

START_TEST(g11_a_header_in_single_bytes_is_read_and_written_whole)
{
	struct rd_seg segs[16];
	uint8_t in[32], out[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	unsigned int i, table;

	for (table = 0; table < 2; table++) {
		begin(16, layout_of(_i));
		for (i = 0; i < 16; i++) {
			segs[i] = (struct rd_seg){ data_of(15 - i), 1, i < 10 ? 0 : DESC_F_WRITE };
			*gm_ptr(&gm, data_of(15 - i)) = (uint8_t)(100 + i);
		}
		ck_assert(rd_add(&d, segs, 16, table ? GM_TABLES + 3 : 0, 1));
		ck_assert_int_eq(pop(1), 1);
		memset(in, 0, sizeof(in));
		ck_assert_uint_eq(vhost_req_read(reqs, 0, in, 10), 10);
		for (i = 0; i < 10; i++)
			ck_assert_uint_eq(in[i], 100 + i);
		ck_assert_uint_eq(vhost_req_read(reqs, 7, in, 32), 3);
		ck_assert_uint_eq(in[2], 109);
		ck_assert_uint_eq(in[3], 103);
		ck_assert_uint_eq(vhost_req_read(reqs, 10, in, 1), 0);
		ck_assert_uint_eq(vhost_req_read(reqs, SIZE_MAX, in, 1), 0);
		ck_assert_uint_eq(vhost_req_read(reqs, 1, in, SIZE_MAX), 9);
		ck_assert_uint_eq(vhost_req_write(reqs, 0, out, 3), 3);
		ck_assert_uint_eq(vhost_req_write(reqs, 4, out + 4, 4), 2);
		ck_assert_uint_eq(vhost_req_write(reqs, 6, out, 1), 0);
		for (i = 0; i < 6; i++)
			ck_assert_uint_eq(*gm_ptr(&gm, data_of(5 - i)), i == 3 ? 113u : i + 1);
		ck_assert_uint_eq(reqs[0].written, 0);
	}
}
END_TEST

START_TEST(g12_request_shorter_than_the_devices_header_says_so_by_its_lengths)
{
	struct rd_seg only_in = { data_of(0), 1, DESC_F_WRITE }, only_out = { data_of(0), 4, 0 };
	uint8_t header[16];

	begin(4, layout_of(_i));
	expect_chain(&only_out, 1);
	ck_assert_uint_eq(reqs[0].out_len, 4);
	ck_assert_uint_eq(reqs[0].in, 0);
	ck_assert_uint_eq(reqs[0].in_len, 0);
	ck_assert_uint_eq(vhost_req_read(reqs, 0, header, 16), 4);
	ck_assert_uint_eq(vhost_req_write(reqs, 0, header, 1), 0);
	ck_assert_int_eq(push(reqs, 1), 0);

	begin(4, layout_of(_i));
	expect_chain(&only_in, 1);
	ck_assert_uint_eq(reqs[0].out, 0);
	ck_assert_uint_eq(vhost_req_read(reqs, 0, header, 16), 0);
	ck_assert_uint_eq(vhost_req_write(reqs, 0, header, 16), 1);
}
END_TEST

START_TEST(g14_buffers_over_the_ring_itself_hurt_the_guest_alone)
{
	static const struct rd_seg segs[] = {
		{ GM_DESC, 4 * 16, DESC_F_WRITE }, { GM_DRIVER, 6 + 2 * 4, DESC_F_WRITE },
		{ GM_DEVICE, 6 + 8 * 4, DESC_F_WRITE }, { GM_TABLES, 64, DESC_F_WRITE },
	};
	static const uint8_t fills[] = { 0, 1, 0x80, 0xff };
	unsigned int i, j;
	bool gone;

	for (i = 0; i < ARRAY_SIZE(segs); i++)
		for (j = 0; j < ARRAY_SIZE(fills); j++) {
			int r, steps = 0;

			begin(4, layout_of(_i) | RING_F_EVENT_IDX);
			add(7);
			rd_add(&d, &segs[i], 1, GM_TABLES, 8);
			must_eq(pop(8), 2);
			memset(reqs[1].iov[0].iov_base, fills[j], reqs[1].iov[0].iov_len);
			reqs[1].written = reqs[1].in_len;
			must_eq(cookie_of(&reqs[0]), 7);
			r = vring_push(run, reqs, 2, &gone);
			must(r == 0 || r == -EBADMSG, "%d", r);
			must_eq(vring_in_flight(run), 0);
			while ((r = pop(4)) > 0) {
				must(++steps < 100, "no end");
				vring_push(run, reqs, r, &gone);
				vring_needs_notify(run);
			}
			must(r == 0 || r == -EBADMSG, "%d", r);
		}
}
END_TEST

START_TEST(g15_an_error_in_the_middle_of_a_chain_leaves_nothing_in_flight)
{
	const struct rd_seg segs[] = { { data_of(1), 16, 0 }, { GM_HOLE, 16, 0 },
				       { data_of(3), 16, DESC_F_WRITE } };
	struct rd_seg table = { GM_TABLES, 48, DESC_F_INDIRECT };
	bool gone;

	begin(8, layout_of(_i));
	expect_chain_breaks(segs, 3);
	begin(8, layout_of(_i));
	rd_write_table(&d, GM_TABLES, segs, 3);
	expect_chain_breaks(&table, 1);
	/* What was in flight before is released, and the ring is left alone. */
	begin(8, layout_of(_i));
	add(0);
	ck_assert_int_eq(pop(1), 1);
	rd_offer_chain(&d, 3, segs, 3);
	ck_assert_int_eq(vring_pop(run, reqs + 1, 1), -EBADMSG);
	ck_assert_int_eq(vring_push(run, reqs, 1, &gone), -EBADMSG);
	ck_assert_uint_eq(vring_in_flight(run), 0);
	expect_get_none();
	ck_assert(vring_run_stop(run));
	run = NULL;
}
END_TEST

START_TEST(g16_writable_buffer_before_a_readable_one_breaks_the_ring)
{
	const struct rd_seg segs[] = { { data_of(1), 16, 0 }, { data_of(2), 16, DESC_F_WRITE },
				       { data_of(3), 16, 0 } };
	struct rd_seg table = { GM_TABLES, 48, DESC_F_INDIRECT };

	begin(8, layout_of(_i));
	expect_chain_breaks(segs, 3);
	begin(8, layout_of(_i));
	expect_chain_breaks(segs + 1, 2);
	begin(8, layout_of(_i));
	rd_write_table(&d, GM_TABLES, segs, 3);
	/* a table of a packed ring: see the next test */
	if (!(layout_of(_i) & RING_F_PACKED))
		expect_chain_breaks(&table, 1);
}
END_TEST

/* DPDK's virtio_user marks a header so, or what was one, in tables of packed rings alone. */
START_TEST(virtio_user_has_writable_entries_before_readable_ones_in_packed_tables)
{
	static const struct {
		const char *entries;	/* r and w; R: readable and empty */
		uint32_t out, in;
	} cases[] = {
		{ "wrr", 3, 0 }, { "wr", 2, 0 }, { "rwr", 3, 0 }, { "wrw", 2, 1 },
		{ "rwrww", 3, 2 }, { "wwwwwwwr", 8, 0 }, { "wrrrrrrrww", 8, 2 }, { "wR", 1, 0 },
		{ "wRw", 1, 1 }, { "rw", 1, 1 }, { "ww", 0, 2 },
	};
	unsigned int i, k;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned int n = (unsigned int)strlen(cases[i].entries);
		struct rd_seg table = { GM_TABLES, 16 * n, DESC_F_INDIRECT }, segs[16];

		for (k = 0; k < n; k++)
			segs[k] = (struct rd_seg){ data_of(k + 1),
						   cases[i].entries[k] == 'R' ? 0 : 16,
						   cases[i].entries[k] == 'w' ? DESC_F_WRITE : 0 };
		begin(8, layout_of(PACKED));
		rd_write_table(&d, GM_TABLES, segs, n);
		expect_chain(&table, 1);
		must_eq(reqs[0].out, cases[i].out);
		must_eq(reqs[0].in, cases[i].in);
		must_eq(reqs[0].out_len, 16 * cases[i].out);
		must_eq(reqs[0].in_len, 16 * cases[i].in);
		must_eq(push(reqs, 1), 0);
	}
}
END_TEST

/* _i: a big-endian driver */
START_TEST(virtio_user_starts_a_split_ring_behind_what_was_used)
{
	static const struct {
		uint16_t used, avail, base, want;
	} cases[] = {
		{ 1, 1, 0, 1 }, { 16300, 16304, 0, 16300 },
		{ 2, 2, 0xfff0, 2 },			/* around the end */
		{ 0x8000, 0x8004, 0, 0x8000 },		/* too far to say which is behind */
		{ 0x9000, 0x9004, 0, 0x9000 },
		{ 0, 3, 2, 2 }, { 5, 8, 5, 5 }, { 0xfffe, 2, 0, 0 },	/* these can be */
	};
	unsigned int i;
	char why[160];

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(8, _i ? 0 : RING_F_VERSION_1);
		d.big_endian = _i;
		rd_put16(&d, d.device_p + 2, cases[i].used);
		rd_set_avail_idx(&d, cases[i].avail);
		ck_assert_int_eq(start_at(cases[i].base, why, sizeof(why)), 0);
		must(vring_base(run) == cases[i].want, "case %u: %u", i, vring_base(run));
	}
}
END_TEST

START_TEST(g16_write_on_an_indirect_descriptor_and_unknown_flags_are_ignored)
{
	const struct rd_seg inside = { data_of(1), 16, 0 };
	struct rd_seg table = { GM_TABLES, 16, DESC_F_INDIRECT | DESC_F_WRITE };
	struct rd_seg odd = { data_of(1), 16, 0x7f78 };

	begin(8, layout_of(_i));
	rd_write_table(&d, GM_TABLES, &inside, 1);
	expect_chain(&table, 1);
	ck_assert_uint_eq(reqs[0].out, 1);
	ck_assert_uint_eq(reqs[0].in, 0);
	begin(8, layout_of(_i));
	expect_chain(&odd, 1);
	ck_assert_uint_eq(reqs[0].out, 1);
	begin(8, layout_of(_i));
	rd_write_table(&d, GM_TABLES, &odd, 1);
	expect_chain(&table, 1);
	ck_assert_uint_eq(reqs[0].out, 1);
}
END_TEST

START_TEST(g17_indirect_without_negotiation_breaks_the_ring)
{
	const struct rd_seg inside = { data_of(1), 16, 0 };
	struct rd_seg table = { GM_TABLES, 16, DESC_F_INDIRECT };

	begin(8, layout_of(_i) & ~RING_F_INDIRECT);
	rd_write_table(&d, GM_TABLES, &inside, 1);
	expect_chain_breaks(&table, 1);
}
END_TEST

START_TEST(g17_table_of_a_bad_size_or_place_breaks_the_ring)
{
	static const struct rd_seg tables[] = {
		{ GM_TABLES, 0, DESC_F_INDIRECT }, { GM_TABLES, 1, DESC_F_INDIRECT },
		{ GM_TABLES, 15, DESC_F_INDIRECT }, { GM_TABLES, 17, DESC_F_INDIRECT },
		{ GM_TABLES, 40, DESC_F_INDIRECT }, { GM_TABLES, 0xffffffff, DESC_F_INDIRECT },
		{ GM_TABLES, 0xfffffff0, DESC_F_INDIRECT }, { GM_TABLES, 0x80000000, DESC_F_INDIRECT },
		{ GM_LOW, 16 * 32769, DESC_F_INDIRECT },
		{ GM_HOLE, 16, DESC_F_INDIRECT }, { GM_HOLE - 16, 32, DESC_F_INDIRECT },
		{ GM_HOLE - 8, 16, DESC_F_INDIRECT }, { UINT64_MAX - 7, 16, DESC_F_INDIRECT },
		{ UINT64_MAX - 15, 32, DESC_F_INDIRECT }, { 0, 16, DESC_F_INDIRECT },
	};
	const struct rd_seg inside[3] = { { data_of(1), 1, 0 }, { data_of(2), 1, 0 },
					  { data_of(3), 1, 0 } };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(tables); i++) {
		begin(8, layout_of(_i));
		rd_write_table(&d, GM_TABLES, inside, 3);
		/* A chain that goes on into what cannot be read. */
		rd_put_desc(&d, gm_ptr(&gm, GM_HOLE - 16), data_of(1), 1, _i ? 0 : DESC_F_NEXT, 1);
		expect_chain_breaks(&tables[i], 1);
	}
}
END_TEST

START_TEST(g17_table_in_a_table_or_with_next_breaks_the_ring)
{
	const struct rd_seg nested[2] = { { data_of(1), 16, 0 }, { GM_TABLES + 64, 16, DESC_F_INDIRECT } };
	const struct rd_seg inside = { data_of(1), 16, 0 };
	struct rd_seg two[2] = { { GM_TABLES, 16, DESC_F_INDIRECT }, { data_of(2), 16, 0 } };
	struct rd_seg table = { GM_TABLES, 32, DESC_F_INDIRECT };

	if (_i == SPLIT) {	/* packed: flags other than WRITE are reserved in a table */
		begin(8, layout_of(_i));
		rd_write_table(&d, GM_TABLES, nested, 2);
		rd_write_table(&d, GM_TABLES + 64, &inside, 1);
		expect_chain_breaks(&table, 1);
	}
	begin(8, layout_of(_i));
	rd_write_table(&d, GM_TABLES, &inside, 1);
	expect_chain_breaks(two, 2);
}
END_TEST

START_TEST(g17_a_table_at_the_end_of_a_chain_is_followed)
{
	const struct rd_seg inside[2] = { { data_of(2), 16, 0 }, { data_of(3), 16, DESC_F_WRITE } };
	const struct rd_seg chain[2] = { { data_of(1), 16, 0 }, { GM_TABLES, 32, DESC_F_INDIRECT } };

	/* VIRTIO 1.3, 2.7.5.3.2: "The device MUST handle [...]"; not so in a packed ring. */
	begin(8, layout_of(SPLIT));
	rd_write_table(&d, GM_TABLES, inside, 2);
	expect_chain(chain, 2);
	ck_assert_uint_eq(reqs[0].out, 2);
	ck_assert_uint_eq(reqs[0].in, 1);
	ck_assert_uint_eq(reqs[0].out_len, 32);
	begin(8, layout_of(PACKED));
	rd_write_table(&d, GM_TABLES, inside, 2);
	expect_chain_breaks(chain, 2);
}
END_TEST

START_TEST(g18_buffer_id_beyond_the_ring_breaks_it)
{
	static const uint16_t ids[] = { 5, 6, 255, 256, 32767, 32768, 65535 };
	const struct rd_seg segs[2] = { { data_of(1), 16, 0 }, { data_of(2), 16, 0 } };
	unsigned int i, n;

	for (n = 1; n <= 2; n++)
		for (i = 0; i < ARRAY_SIZE(ids); i++) {
			begin(5, layout_of(PACKED));
			rd_offer_chain(&d, ids[i], segs, n);
			expect_broken();
		}
}
END_TEST

START_TEST(g18_descriptor_of_the_wrong_wrap_counter_is_not_available)
{
	static const uint16_t bits[] = { 0, DESC_F_USED, DESC_F_AVAIL | DESC_F_USED, DESC_F_AVAIL };
	unsigned int i, lap;

	for (lap = 0; lap < 2; lap++)
		for (i = 0; i < ARRAY_SIZE(bits); i++) {
			begin_at(3, layout_of(PACKED), 3 * lap + 1);
			rd_put_desc(&d, rd_desc(&d, 1), data_of(1), 16, bits[i], 1);
			must_eq(pop(4), bits[i] == (lap ? DESC_F_USED : DESC_F_AVAIL));
			must(!vring_broken(run), "%s", vring_broken(run));
		}
}
END_TEST

START_TEST(g18_chain_that_goes_on_into_what_is_not_available_breaks_the_ring)
{
	const struct rd_seg segs[3] = { { data_of(1), 16, 0 }, { data_of(2), 16, 0 },
					{ data_of(3), 16, 0 } };
	unsigned int at;

	for (at = 0; at < 8; at++) {
		begin_at(4, layout_of(PACKED), at);
		rd_write_chain(&d, 1, segs, 3);
		rd_put16(&d, rd_desc(&d, at + 1) + 14, 0 | DESC_F_NEXT |
			 (rd_avail_bits(&d, 1) ^ (DESC_F_AVAIL | DESC_F_USED)));
		rd_offer(&d, 1, 3);
		expect_broken();
	}
}
END_TEST

START_TEST(g18_chain_without_an_end_breaks_the_ring)
{
	struct rd_seg segs[7];
	unsigned int size, at, i;

	/* g18: NEXT in the last of all; its next is the first of the chain again. */
	for (size = 1; size <= 7; size += 2)
		for (at = 0; at < 2 * size; at++) {
			begin_at(size, layout_of(PACKED), at);
			for (i = 0; i < size; i++)
				segs[i] = (struct rd_seg){ data_of(i), 16, DESC_F_NEXT };
			rd_offer_chain(&d, 0, segs, size);
			expect_broken();
		}
}
END_TEST

START_TEST(g18_flags_that_change_after_the_pop_change_nothing)
{
	const struct rd_seg segs[2] = { { data_of(1), 16, 0 }, { data_of(2), 16, DESC_F_WRITE } };
	unsigned int i;

	begin(4, layout_of(PACKED));
	rd_offer_chain(&d, 3, segs, 2);
	ck_assert_int_eq(pop(1), 1);
	for (i = 0; i < 4; i++)
		rd_put_desc(&d, rd_desc(&d, i), GM_HOLE, 0xffffffff, i ? 0x7fff : 0, 0xffff);
	reqs[0].written = 16;
	ck_assert_int_eq(push(reqs, 1), 0);
	ck_assert_uint_eq(rd_get16(&d, rd_desc(&d, 0) + 12), 3);
	ck_assert_uint_eq(rd_get32(&d, rd_desc(&d, 0) + 8), 16);
	ck_assert_uint_eq(rd_get16(&d, rd_desc(&d, 0) + 14) & (DESC_F_AVAIL | DESC_F_USED),
			  DESC_F_AVAIL | DESC_F_USED);
	ck_assert_uint_eq(rd_get16(&d, rd_desc(&d, 1) + 14), 0x7fff);
}
END_TEST

START_TEST(g19_events_of_any_value_are_survived)
{
	uint64_t features = layout_of(_i) | RING_F_EVENT_IDX;
	unsigned int i;

	/* g19: at worst the guest is notified too often, or sleeps. */
	rng_state = 88172645463325252ull;
	begin_at(_i ? 7 : 8, features, 65530);
	for (i = 0; i < 20000; i++) {
		add(i % 4);
		must_eq(pop(1), 1);
		rd_call_at(&d, (uint16_t)rng(65536));
		if (_i)
			rd_put16(&d, d.driver_p + 2, (uint16_t)(rng(2) ? rng(4) : rng(65536)));
		else
			rd_put16(&d, d.driver_p, (uint16_t)rng(65536));
		must_eq(push(reqs, 1), 0);
		vring_needs_notify(run);
		expect_get(i % 4, 0);
	}
	/* Without EVENT_IDX in a packed ring, an offset is not looked at; flags 3 are reserved. */
	must(!vring_broken(run), "%s", vring_broken(run));
}
END_TEST

START_TEST(g20_a_driver_that_never_collects_makes_nothing_grow)
{
	struct rd_seg seg = { data_of(1), 16, DESC_F_WRITE };
	unsigned int i;

	begin(4, layout_of(_i));
	rd_never_call(&d);
	for (i = 0; i < 10000; i++) {
		rd_offer_chain(&d, i % 4, &seg, 1);
		must_eq(pop(4), 1);
		must_eq(push(reqs, 1), 0);
		must(!vring_needs_notify(run), "notified");
		must_eq(vring_in_flight(run), 0);
	}
}
END_TEST

START_TEST(g21_what_the_guest_writes_to_the_used_ring_is_not_read)
{
	static const uint8_t fills[] = { 0, 0xff, 0x5a };
	unsigned int i, j;

	for (j = 0; j < ARRAY_SIZE(fills); j++) {
		begin_at(4, layout_of(_i), _i ? 3 : 65534);
		for (i = 0; i < 12; i++) {
			add(i);
			must_eq(pop(4), 1);
			if (_i)	/* used descriptors behind the device, and its own suppression */
				rd_put_desc(&d, rd_desc(&d, d.used + 3), fills[j], fills[j],
					    rd_get16(&d, rd_desc(&d, d.used + 3) + 14), fills[j]);
			else
				memset(d.device_p, fills[j], 6 + 8 * 4);
			reqs[0].written = i;
			must_eq(push(reqs, 1), 0);
			expect_get(i, i);
		}
		must_eq(vring_base(run), rd_base(&d));
	}
}
END_TEST

START_TEST(g23_requests_that_are_not_in_flight_are_refused)
{
	struct vhost_req forged;
	unsigned int i;
	bool gone;

	/* g23: never popped, pushed before, of no ring; those in front are pushed. */
	begin(4, layout_of(_i));
	for (i = 0; i < 3; i++)
		add(i);
	ck_assert_int_eq(pop(4), 3);
	ck_assert_int_eq(push(reqs, 1), 0);
	ck_assert_int_eq(vring_push(run, reqs, 1, &gone), -EINVAL);
	expect_get(0, 0);
	expect_get_none();
	for (i = 0; i < 4; i++) {
		static const uint32_t ids[] = { 4, 65535, 65536, UINT32_MAX };
		struct vhost_req two[3] = { reqs[1], reqs[1], reqs[2] };

		forged = reqs[1];
		forged.id = ids[i];
		ck_assert_int_eq(vring_push(run, &forged, 1, &gone), -EINVAL);
		if (i < 3)
			continue;
		ck_assert_int_eq(vring_push(run, two, 3, &gone), -EINVAL);
		expect_get(1, 0);
		expect_get_none();
	}
	ck_assert_uint_eq(vring_in_flight(run), 1);
	ck_assert_int_eq(push(reqs + 2, 1), 0);
	expect_get(2, 0);
	ck_assert(!vring_broken(run));
}
END_TEST

START_TEST(g23_written_beyond_the_room_is_cut)
{
	static const uint32_t lens[] = { 64, 65, 0x80000000, UINT32_MAX };
	const struct rd_seg readable = { data_of(1), 64, 0 };
	unsigned int i;

	begin(4, layout_of(_i));
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		add(i);
		ck_assert_int_eq(pop(1), 1);
		reqs[0].written = lens[i];
		ck_assert_int_eq(push(reqs, 1), 0);
		expect_get(i, 64);
		ck_assert(rd_add(&d, &readable, 1, 0, 9));
		ck_assert_int_eq(pop(1), 1);
		reqs[0].written = lens[i];
		ck_assert_int_eq(push(reqs, 1), 0);
		expect_get(9, 0);
	}
}
END_TEST

START_TEST(the_callers_changes_to_the_buffers_change_nothing)
{
	const struct rd_seg segs[2] = { { data_of(0), 16, 0 }, { data_of(1), 16, DESC_F_WRITE } };
	unsigned int i;

	/* A device may move along in iov, and the ring must not rely on it. */
	begin(4, layout_of(_i));
	for (i = 0; i < 20; i++) {
		ck_assert(rd_add(&d, segs, 2, i & 1 ? GM_TABLES : 0, i));
		ck_assert_int_eq(pop(1), 1);
		ck_assert_ptr_eq(reqs[0].iov[1].iov_base, gm_device_ptr(&gm, data_of(1)));
		ck_assert_uint_eq(reqs[0].iov[1].iov_len, 16);
		memset(reqs[0].iov, 0xff, 2 * sizeof(struct iovec));
		reqs[0].written = 16;
		ck_assert_int_eq(push(reqs, 1), 0);
		expect_get(i, 16);
	}
}
END_TEST

/* ------------------------------------------- rings written to while they are used */

static struct {
	pthread_t thread;
	uint32_t stop;
	uint64_t seed;
} scribbler;

/* Bytes that have a chance to mean something, all over the ring and its tables. */
static void *scribble(void *arg)
{
	static const struct { uint64_t at; uint32_t len; } where[] = {
		{ GM_DESC, 16 * 8 }, { GM_DRIVER, 6 + 2 * 8 }, { GM_DEVICE, 6 + 8 * 8 },
		{ GM_TABLES, 16 * 8 },
	};
	uint64_t x = scribbler.seed;
	unsigned int n = 0;

	(void)arg;
	while (!__atomic_load_n(&scribbler.stop, __ATOMIC_RELAXED)) {
		static const uint8_t values[] = { 0, 1, 2, 3, 4, 5, 7, 8, 16, 0x80, 0x81, 0x82, 0xff };
		unsigned int i;
		uint8_t *p;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		i = (x >> 20) % ARRAY_SIZE(where);
		p = gm_ptr(&gm, where[i].at + (x >> 32) % where[i].len);
		__atomic_store_n(p, x >> 60 ? values[(x >> 40) % ARRAY_SIZE(values)] :
				 (uint8_t)(x >> 48), __ATOMIC_RELAXED);
		if (++n % 64 == 0)	/* and whole descriptors that are right */
			rd_put_desc(&d, gm_ptr(&gm, where[i % 2 ? 3 : 0].at + 16 * ((x >> 8) % 8)),
				    data_of((x >> 12) % 8), 16, (x >> 16) & 7, (x >> 24) % 8);
	}
	return NULL;
}

/* Touch what was popped, as a device does. */
static void use(const struct vhost_req *req)
{
	uint8_t sum = 0;
	uint32_t i;

	for (i = 0; i < req->out + req->in; i++) {
		uint8_t *p = req->iov[i].iov_base;
		size_t len = req->iov[i].iov_len;

		if (!len)
			continue;
		sum = (uint8_t)(sum + *(volatile uint8_t *)p);
		sum = (uint8_t)(sum + *(volatile uint8_t *)(p + len - 1));
		if (i >= req->out)
			*(volatile uint8_t *)(p + len - 1) = sum;
	}
}

/* One run of a ring that somebody writes to: until it breaks, or for so long. */
static void run_under_scribbles(uint64_t features, struct dirty_log *log)
{
	struct vhost_req held[16];
	unsigned int i, n = 0;
	int r;

	rd_init(&d, &gm, 8, features);
	rd_set_position(&d, rng(65536));
	run = rd_start(&d);
	if (log)
		vring_set_log(run, log, true, d.device);
	for (i = 0; i < 300; i++) {
		bool gone;

		if (d.packed)
			rd_put16(&d, rd_desc(&d, i) + 14, (uint16_t)(rd_avail_bits(&d, 0) ^ (i & 8 ?
				 DESC_F_AVAIL | DESC_F_USED : 0)));
		else
			rd_set_avail_idx(&d, (uint16_t)(d.avail + i / 2));
		r = vring_pop(run, held + n, 1 + rng(4));
		must(r >= 0 || r == -EBADMSG || r == -ENOMEM, "%d", r);
		if (r == -EBADMSG)
			break;
		for (; r > 0; r--, n++)
			use(&held[n]);
		must(n <= 8, "%u of 8 in flight", n);
		must_eq(vring_in_flight(run), n);
		if (n > 4 || (n && rng(2))) {
			unsigned int k = 1 + rng(n);

			if (rng(8) == 0) {
				r = vring_unpop(run, held + n - k, k);
			} else {
				r = vring_push(run, held, k, &gone);
				memmove(held, held + k, (n - k) * sizeof(held[0]));
			}
			/* A burst may have ended before a chain that broke the ring. */
			must(r == (vring_broken(run) ? -EBADMSG : 0), "%d", r);
			n -= k;
		}
		vring_needs_notify(run);
		if (rng(4) == 0)
			vring_set_notify(run, rng(2));
		vring_has_requests(run);
	}
	end_run();
}

START_TEST(g9_a_ring_that_is_written_to_all_the_time_is_survived)
{
	uint64_t features = features_of(_i);
	struct dirty_log *log = NULL;
	const char *why = "";
	unsigned int round;
	int fd;

	/* g9, g25, g27: every field is fetched once, and what was checked is what is used. */
	fd = memfd_create("log", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	ck_assert_int_eq(dirty_log_new(fd, 0, 4096, &log, &why), 0);
	close(fd);
	rng_state = scribbler.seed = 88172645463325252ull + (unsigned int)_i;
	rd_init(&d, &gm, 8, features);
	scribbler.stop = 0;
	ck_assert_int_eq(pthread_create(&scribbler.thread, NULL, scribble, NULL), 0);
	for (round = 0; round < 300; round++)
		run_under_scribbles(features, round & 1 ? log : NULL);
	__atomic_store_n(&scribbler.stop, 1, __ATOMIC_RELAXED);
	pthread_join(scribbler.thread, NULL);
	dirty_log_unref(log);
}
END_TEST

static void *toggle(void *arg)
{
	uint16_t *idx = arg;

	while (!__atomic_load_n(&scribbler.stop, __ATOMIC_RELAXED)) {
		__atomic_store_n(idx, htole16(0x0100), __ATOMIC_RELAXED);
		__atomic_store_n(idx, htole16(0x00ff), __ATOMIC_RELAXED);
	}
	return NULL;
}

START_TEST(g25_an_index_is_read_whole)
{
	struct rd_seg seg = { data_of(1), 16, 0 };
	unsigned int i, got = 0;

	/* g25: half of one and half of the other, 0x0000 or 0x01ff, would break the ring. */
	begin_at(64, layout_of(SPLIT), 0xff);
	rd_offer_chain(&d, 0, &seg, 1);
	scribbler.stop = 0;
	ck_assert_int_eq(pthread_create(&scribbler.thread, NULL, toggle, d.driver_p + 2), 0);
	for (i = 0; i < 2000000 && (i < 20000 || got < 1000); i++) {
		int r = pop(1);

		must(r >= 0, "%s", vring_broken(run));
		if (r)
			must_eq(vring_unpop(run, reqs, 1), 0);
		got += r;
	}
	__atomic_store_n(&scribbler.stop, 1, __ATOMIC_RELAXED);
	pthread_join(scribbler.thread, NULL);
}
END_TEST

/* Without a thread: every byte of a ring in use, with every kind of value. */
START_TEST(g9_every_single_byte_that_is_wrong_is_survived)
{
	static const uint8_t values[] = { 0, 1, 2, 3, 4, 7, 8, 0x7f, 0x80, 0x81, 0x82, 0x84, 0xff };
	const struct rd_seg segs[3] = { { data_of(0), 16, 0 }, { GM_NEXT - 8, 16, DESC_F_WRITE },
					{ data_of(2), 16, DESC_F_WRITE } };
	static const struct { uint64_t at; uint32_t len; } where[] = {
		{ GM_DESC, 16 * 8 }, { GM_DRIVER, 6 + 2 * 8 }, { GM_DEVICE, 6 + 8 * 8 },
		{ GM_TABLES, 16 * 3 },
	};
	unsigned int w, at, v;

	for (w = 0; w < ARRAY_SIZE(where); w++)
		for (at = 0; at < where[w].len; at++)
			for (v = 0; v < ARRAY_SIZE(values); v++) {
				unsigned int steps = 0;
				bool gone;
				int r;

				begin_at(8, features_of(_i) | RING_F_INDIRECT, 6);
				rd_add(&d, segs, 3, 0, 1);
				rd_add(&d, segs, 3, GM_TABLES, 2);
				must_eq(pop(1), 1);
				*gm_ptr(&gm, where[w].at + at) = values[v];
				while ((r = vring_pop(run, reqs + 1, 4)) > 0 && ++steps < 16) {
					must(r <= 8, "%d", r);
					for (; r > 0; r--)
						use(&reqs[r]);
				}
				must(steps < 16, "no end");
				must(r == 0 || r == -EBADMSG, "%d", r);
				r = vring_push(run, reqs, 1, &gone);
				must(r == 0 || r == -EBADMSG, "%d", r);
				vring_needs_notify(run);
			}
}
END_TEST

/* ------------------------------------------------------ where the areas may be */

static int find(enum vring_address kind, const struct vring_memory *mem, uint64_t desc,
		uint64_t driver, uint64_t device, uint32_t size, uint64_t features,
		struct vring_miss *miss, char *why, size_t why_size)
{
	struct vring_areas areas = { desc, driver, device };
	void *p[3] = { NULL, NULL, NULL };
	int r;

	why[0] = '\0';
	r = vring_find_areas(mem, kind, &areas, size, features, p, miss, why, why_size);
	if (!r && kind == VRING_ADDRESS_GUEST) {
		must_eq((uintptr_t)p[0], (uintptr_t)gm_device_ptr(&gm, desc));
		must_eq((uintptr_t)p[1], (uintptr_t)gm_device_ptr(&gm, driver));
		must_eq((uintptr_t)p[2], (uintptr_t)gm_device_ptr(&gm, device));
	}
	return r;
}

/* For rings of 8: split has 128, 22 and 70 bytes, packed 128, 4 and 4. */
static const struct {
	int layout;		/* or 2: both */
	int area;		/* which one it is */
	uint64_t at;
	bool ok;
} places[] = {
	{ 2, 0, GM_LOW, true }, { 2, 0, GM_NEXT, true }, { 2, 0, GM_HIGH, true },
	{ 2, 0, GM_HOLE - 128, true },			/* ends with the region */
	{ 2, 0, GM_HOLE - 112, false }, { 2, 0, GM_HOLE - 16, false },
	{ 2, 0, GM_NEXT - 128, true },
	{ 2, 0, GM_NEXT - 112, false },			/* into the next region, which is elsewhere */
	{ 2, 0, GM_NEXT - 16, false },
	{ 2, 0, GM_HOLE - 1, false },			/* in a region's last byte */
	{ 2, 0, GM_LOW + 1, false }, { 2, 0, GM_LOW + 2, false }, { 2, 0, GM_LOW + 8, false },
	{ 2, 0, GM_LOW - 16, false }, { 2, 0, GM_HOLE, false }, { 2, 0, 0, false },
	{ 2, 0, UINT64_MAX, false }, { 2, 0, UINT64_MAX - 15, false },
	{ 2, 0, UINT64_MAX - 127, false }, { 2, 0, 1ull << 63, false },
	{ SPLIT, 1, GM_FAR + 2, true }, { SPLIT, 1, GM_FAR + 1, false },
	{ SPLIT, 1, GM_HOLE - 22, true }, { SPLIT, 1, GM_HOLE - 20, false },
	{ SPLIT, 1, GM_HOLE - 2, false }, { SPLIT, 1, GM_NEXT - 4, false },
	{ SPLIT, 1, GM_HOLE, false }, { SPLIT, 1, UINT64_MAX - 1, false },
	{ SPLIT, 1, UINT64_MAX - 3, false },
	{ SPLIT, 2, GM_FAR + 4, true }, { SPLIT, 2, GM_FAR + 1, false }, { SPLIT, 2, GM_FAR + 2, false },
	{ SPLIT, 2, GM_HOLE - 72, true }, { SPLIT, 2, GM_HOLE - 68, false },
	{ SPLIT, 2, GM_NEXT - 4, false }, { SPLIT, 2, GM_HOLE, false },
	{ SPLIT, 2, UINT64_MAX - 3, false },
	{ PACKED, 1, GM_FAR + 4, true }, { PACKED, 1, GM_HOLE - 4, true },
	{ PACKED, 1, GM_FAR + 1, false }, { PACKED, 1, GM_FAR + 2, false },
	{ PACKED, 1, GM_HOLE - 2, false }, { PACKED, 1, GM_HOLE, false },
	{ PACKED, 2, GM_FAR + 4, true }, { PACKED, 2, GM_HOLE - 4, true },
	{ PACKED, 2, GM_FAR + 1, false }, { PACKED, 2, GM_FAR + 2, false },
	{ PACKED, 2, GM_HOLE - 2, false }, { PACKED, 2, UINT64_MAX - 3, false },
};

static const char *const area_names[2][3] = {
	{ "descriptor", "available", "used" }, { "descriptor", "driver", "device" },
};

START_TEST(f17_areas_are_aligned_mapped_and_in_one_piece_or_named)
{
	struct vring_memory mem = { .map = gm.map };
	struct vring_miss miss = { .waiting = false };
	char why[160];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		uint64_t at[3] = { GM_DESC, GM_DRIVER, GM_DEVICE };
		int r;

		if (places[i].layout == 1 - _i)
			continue;
		at[places[i].area] = places[i].at;
		if (places[i].at == GM_LOW)
			at[1] = GM_DRIVER;
		r = find(VRING_ADDRESS_GUEST, &mem, at[0], at[1], at[2], 8,
			 layout_of(_i) | RING_F_EVENT_IDX, &miss, why, sizeof(why));
		must(r == (places[i].ok ? 0 : -EINVAL), "case %u: %d, %s", i, r, why);
		must(!miss.waiting, "a miss without an IOTLB");
		must(places[i].ok || strstr(why, area_names[_i][places[i].area]),
		     "case %u: '%s' does not name the %s", i, why, area_names[_i][places[i].area]);
	}
}
END_TEST

START_TEST(f17_areas_that_overlap_are_refused)
{
	struct vring_memory mem = { .map = gm.map };
	static const uint64_t at[][3] = {
		{ GM_LOW, GM_LOW, GM_FAR }, { GM_LOW, GM_FAR, GM_LOW }, { GM_LOW, GM_FAR, GM_FAR },
		{ GM_LOW, GM_LOW + 124, GM_FAR }, { GM_LOW, GM_FAR, GM_LOW + 124 },
	};
	struct vring_miss miss = { .waiting = false };
	char why[160];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		must(find(VRING_ADDRESS_GUEST, &mem, at[i][0], at[i][1], at[i][2], 8, layout_of(_i),
			  &miss, why, sizeof(why)) == -EINVAL, "case %u", i);
		must(why[0], "no sentence");
	}
	/* Next to each other they may be. */
	must(find(VRING_ADDRESS_GUEST, &mem, GM_LOW, GM_LOW + 128, GM_LOW + 152, 8, layout_of(_i),
		  &miss, why, sizeof(why)) == 0, "%s", why);
}
END_TEST

START_TEST(f17_areas_by_user_address_are_found_by_it)
{
	struct vring_memory mem = { .map = gm.map };
	uint64_t driver = gm_user(GM_DRIVER), device = gm_user(GM_DEVICE);
	struct vring_miss miss = { .waiting = false };
	char why[160];

	/* LOW and FAR are neighbours there. */
	must(find(VRING_ADDRESS_USER, &mem, gm_user(GM_DESC), driver, device, 8, layout_of(_i), &miss,
		  why, sizeof(why)) == 0, "%s", why);
	must(find(VRING_ADDRESS_USER, &mem, gm_user(GM_FAR) - 128, driver, device, 8, layout_of(_i),
		  &miss, why, sizeof(why)) == 0, "%s", why);
	must(find(VRING_ADDRESS_USER, &mem, gm_user(GM_FAR) - 64, driver, device, 8, layout_of(_i),
		  &miss, why, sizeof(why)) == -EINVAL, "over a border");
	must(find(VRING_ADDRESS_USER, &mem, GM_LOW, driver, device, 8, layout_of(_i), &miss, why,
		  sizeof(why)) == 0 || strstr(why, "descriptor"), "%s", why);
	must(find(VRING_ADDRESS_GUEST, &mem, GM_DESC, driver, GM_DEVICE, 8, layout_of(_i), &miss, why,
		  sizeof(why)) == -EINVAL, "a user address as a guest's");
}
END_TEST

#define IOVA 0x4000000000ull

START_TEST(f17_areas_by_iova_wait_for_their_translations)
{
	static const struct { uint64_t guest; uint32_t perm; } parts[3] = {
		{ GM_DESC, VHOST_IOTLB_PERM_READ }, { GM_DRIVER, VHOST_IOTLB_PERM_READ },
		{ GM_DEVICE, VHOST_IOTLB_PERM_READ | VHOST_IOTLB_PERM_WRITE },
	};
	struct iotlb tlb = { .entries = NULL };
	struct vring_memory mem = { .map = gm.map, .iotlb = &tlb };
	struct vring_miss miss;
	char why[160];
	unsigned int i;

	for (i = 0; i < 3; i++) {
		uint32_t perm = parts[i].perm | (_i && i == 0 ? VHOST_IOTLB_PERM_WRITE : 0);

		memset(&miss, 0, sizeof(miss));
		ck_assert_int_eq(find(VRING_ADDRESS_IOVA, &mem, IOVA, IOVA + 0x1000, IOVA + 0x2000, 8,
				      layout_of(_i), &miss, why, sizeof(why)), -EAGAIN);
		ck_assert(miss.waiting);
		ck_assert_uint_eq(miss.iova, IOVA + 0x1000 * i);
		ck_assert_uint_ne(miss.perm & (i == 2 ? VHOST_IOTLB_PERM_WRITE :
					       VHOST_IOTLB_PERM_READ), 0);
		ck_assert_int_eq(iotlb_add(&tlb, IOVA + 0x1000 * i, IOVA + 0x1000 * i + 0xfff,
					   gm_user(parts[i].guest), perm), 0);
	}
	memset(&miss, 0, sizeof(miss));
	must(find(VRING_ADDRESS_IOVA, &mem, IOVA, IOVA + 0x1000, IOVA + 0x2000, 8, layout_of(_i), &miss,
		  why, sizeof(why)) == 0, "%s", why);
	ck_assert(!miss.waiting);
	/* Its second page is missing, or not to be written to. */
	ck_assert_int_eq(find(VRING_ADDRESS_IOVA, &mem, IOVA, IOVA + 0x1000, IOVA + 0x2fd0, 8,
			      layout_of(_i), &miss, why, sizeof(why)), _i ? 0 : -EAGAIN);
	iotlb_clear(&tlb);
	ck_assert_int_eq(iotlb_add(&tlb, IOVA, IOVA + 0xffff, gm_user(GM_DESC), VHOST_IOTLB_PERM_READ), 0);
	memset(&miss, 0, sizeof(miss));
	ck_assert_int_eq(find(VRING_ADDRESS_IOVA, &mem, IOVA, IOVA + 0x1000, IOVA + 0x2000, 8,
			      layout_of(_i), &miss, why, sizeof(why)), -EAGAIN);
	ck_assert_uint_ne(miss.perm & VHOST_IOTLB_PERM_WRITE, 0);
	/* A translation to nowhere is an error, not a wait. */
	iotlb_clear(&tlb);
	ck_assert_int_eq(iotlb_add(&tlb, IOVA, IOVA + 0xffff, 0x666000, 3), 0);
	ck_assert_int_eq(find(VRING_ADDRESS_IOVA, &mem, IOVA, IOVA + 0x1000, IOVA + 0x2000, 8,
			      layout_of(_i), &miss, why, sizeof(why)), -EINVAL);
	iotlb_clear(&tlb);
	free(tlb.entries);
}
END_TEST

/* --------------------------------------------------------------- the IOTLB */

static struct iotlb tlb;

static void begin_iotlb(uint64_t features)
{
	struct vring_memory mem = { .map = gm.map, .iotlb = &tlb };
	struct vring_config config;
	char why[160];

	end_run();
	rd_init(&d, &gm, 8, features);
	config = rd_config(&d, &mem);
	must(vring_run_new(&config, &mem, &run, why, sizeof(why)) == 0, "%s", why);
}

static void tlb_add(uint64_t iova, uint64_t len, uint64_t guest, uint32_t perm)
{
	ck_assert_int_eq(iotlb_add(&tlb, iova, iova + len - 1, gm_user(guest), perm), 0);
	vring_iotlb_changed(run);
}

static void end_iotlb(void)
{
	end_run();
	iotlb_clear(&tlb);
	free(tlb.entries);
	memset(&tlb, 0, sizeof(tlb));
}

static void expect_miss(uint64_t iova, uint32_t perm)
{
	const struct vring_miss *miss;

	ck_assert_int_eq(pop(8), 0);
	miss = vring_miss(run);
	ck_assert_ptr_nonnull(miss);
	ck_assert(miss->waiting);
	ck_assert_uint_eq(miss->iova, iova);
	ck_assert_uint_eq(miss->perm & perm, perm);
}

START_TEST(iotlb_translates_buffers_and_tables)
{
	const struct rd_seg segs[3] = { { IOVA + 0xff0, 32, 0 }, { IOVA + 0x2000, 16, 0 },
					{ IOVA + 0x3000, 16, DESC_F_WRITE } };
	struct rd_seg table = { IOVA + 0x4ff8, 48, DESC_F_INDIRECT };
	unsigned int indirect;

	for (indirect = 0; indirect < 2; indirect++) {
		begin_iotlb(layout_of(_i));
		/* Neighbours that lie apart; and (the table) those that lie together. */
		tlb_add(IOVA, 0x1000, GM_FAR, VHOST_IOTLB_PERM_READ);
		tlb_add(IOVA + 0x1000, 0x1000, GM_NEXT, VHOST_IOTLB_PERM_READ);
		tlb_add(IOVA + 0x2000, 0x1000, GM_DATA, VHOST_IOTLB_PERM_READ | VHOST_IOTLB_PERM_WRITE);
		tlb_add(IOVA + 0x3000, 0x1000, GM_HIGH, VHOST_IOTLB_PERM_WRITE);
		tlb_add(IOVA + 0x4000, 0x1000, GM_TABLES, VHOST_IOTLB_PERM_READ);
		tlb_add(IOVA + 0x5000, 0x1000, GM_TABLES + 0x1000, VHOST_IOTLB_PERM_READ);
		rd_write_table(&d, GM_TABLES + 0xff8, segs, 3);
		if (indirect)
			expect_chain(&table, 1);
		else
			expect_chain(segs, 3);
		ck_assert_uint_eq(reqs[0].out, 3);
		ck_assert_uint_eq(reqs[0].in, 1);
		ck_assert_uint_eq(reqs[0].out_len, 48);
		ck_assert_ptr_eq(reqs[0].iov[0].iov_base, gm_device_ptr(&gm, GM_FAR + 0xff0));
		ck_assert_uint_eq(reqs[0].iov[0].iov_len, 16);
		ck_assert_ptr_eq(reqs[0].iov[1].iov_base, gm_device_ptr(&gm, GM_NEXT));
		ck_assert_ptr_eq(reqs[0].iov[2].iov_base, gm_device_ptr(&gm, GM_DATA));
		ck_assert_ptr_eq(reqs[0].iov[3].iov_base, gm_device_ptr(&gm, GM_HIGH));
		ck_assert_int_eq(push(reqs, 1), 0);
		end_iotlb();
	}
}
END_TEST

START_TEST(a_request_waits_for_its_translation_and_those_before_do_not)
{
	const struct rd_seg first = { IOVA, 16, DESC_F_WRITE };
	const struct rd_seg second[3] = { { IOVA + 0x10, 16, 0 }, { IOVA + 0x2ff8, 16, 0 },
					  { IOVA + 0x5000, 16, DESC_F_WRITE } };
	struct rd_seg table = { IOVA + 0x7000, 48, DESC_F_INDIRECT };

	begin_iotlb(layout_of(_i));
	tlb_add(IOVA, 0x1000, GM_FAR, VHOST_IOTLB_PERM_READ | VHOST_IOTLB_PERM_WRITE);
	rd_offer_chain(&d, 1, &first, 1);
	rd_write_table(&d, GM_TABLES, second, 3);
	rd_offer_chain(&d, 2, &table, 1);
	ck_assert_int_eq(pop(8), 1);
	ck_assert_uint_eq(vring_in_flight(run), 1);
	expect_miss(IOVA + 0x7000, VHOST_IOTLB_PERM_READ);
	tlb_add(IOVA + 0x7000, 0x1000, GM_TABLES, VHOST_IOTLB_PERM_READ);
	expect_miss(IOVA + 0x2ff8, VHOST_IOTLB_PERM_READ);
	/* What others change is no answer. */
	tlb_add(IOVA + 0x9000, 0x1000, GM_TABLES, VHOST_IOTLB_PERM_READ);
	expect_miss(IOVA + 0x2ff8, VHOST_IOTLB_PERM_READ);
	tlb_add(IOVA + 0x2000, 0x1000, GM_DATA, VHOST_IOTLB_PERM_READ);
	expect_miss(IOVA + 0x3000, VHOST_IOTLB_PERM_READ);
	tlb_add(IOVA + 0x3000, 0x1000, GM_DATA, VHOST_IOTLB_PERM_READ);
	expect_miss(IOVA + 0x5000, VHOST_IOTLB_PERM_WRITE);
	/* Readable alone will not do. */
	tlb_add(IOVA + 0x5000, 0x1000, GM_DATA, VHOST_IOTLB_PERM_READ);
	expect_miss(IOVA + 0x5000, VHOST_IOTLB_PERM_WRITE);
	ck_assert_uint_eq(vring_in_flight(run), 1);
	tlb_add(IOVA + 0x5000, 0x1000, GM_DATA, VHOST_IOTLB_PERM_WRITE);
	ck_assert_int_eq(vring_pop(run, reqs + 1, 8), 1);
	ck_assert_uint_eq(reqs[1].out_len, 32);
	ck_assert_uint_eq(reqs[1].in_len, 16);
	ck_assert(!vring_miss(run) || !vring_miss(run)->waiting);
	ck_assert_int_eq(push(reqs, 2), 0);
	end_iotlb();
}
END_TEST

START_TEST(a_translation_that_is_withdrawn_holds_no_more)
{
	const struct rd_seg seg = { IOVA, 16, DESC_F_WRITE };

	begin_iotlb(layout_of(_i));
	tlb_add(IOVA, 0x1000, GM_FAR, VHOST_IOTLB_PERM_READ | VHOST_IOTLB_PERM_WRITE);
	expect_chain(&seg, 1);
	iotlb_remove(&tlb, IOVA, IOVA + 0xfff);
	vring_iotlb_changed(run);
	ck_assert_int_eq(push(reqs, 1), 0);
	rd_offer_chain(&d, 1, &seg, 1);
	expect_miss(IOVA, VHOST_IOTLB_PERM_WRITE);
	/* It is elsewhere now. */
	tlb_add(IOVA, 0x1000, GM_NEXT, VHOST_IOTLB_PERM_WRITE);
	ck_assert_int_eq(pop(1), 1);
	ck_assert_ptr_eq(reqs[0].iov[0].iov_base, gm_device_ptr(&gm, GM_NEXT));
	ck_assert_int_eq(push(reqs, 1), 0);
	end_iotlb();
}
END_TEST

START_TEST(a_translation_to_where_no_memory_is_breaks_the_ring)
{
	const struct rd_seg segs[] = { { IOVA, 16, 0 }, { IOVA + 0x1ff8, 16, 0 },
				       { UINT64_MAX - 7, 16, 0 } };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(segs); i++) {
		begin_iotlb(layout_of(_i));
		ck_assert_int_eq(iotlb_add(&tlb, IOVA, IOVA + 0xfff, 0x666000, 3), 0);
		tlb_add(IOVA + 0x1000, 0x2000, GM_HIGH + GM_HIGH_SIZE - 0x1000, 3);
		vring_iotlb_changed(run);
		ck_assert_int_eq(iotlb_add(&tlb, UINT64_MAX - 7, UINT64_MAX, gm_user(GM_LOW), 3), 0);
		vring_iotlb_changed(run);
		rd_offer_chain(&d, 1, &segs[i], 1);
		expect_broken();
		end_iotlb();
	}
}
END_TEST

/* ------------------------------------------------------------ the dirty log */

#define LOG_BYTES 4096u
#define PAGE(addr) ((addr) >> DIRTY_PAGE_SHIFT)

static struct dirty_log *new_log(void)
{
	struct dirty_log *log;
	const char *why = "";
	int fd = memfd_create("log", MFD_CLOEXEC);

	ck_assert_int_eq(ftruncate(fd, LOG_BYTES), 0);
	must(dirty_log_new(fd, 0, LOG_BYTES, &log, &why) == 0, "%s", why);
	close(fd);
	return log;
}

static bool logged(const struct dirty_log *log, uint64_t addr)
{
	return log->bits[PAGE(addr) / 8] >> PAGE(addr) % 8 & 1;
}

static unsigned int n_logged(const struct dirty_log *log)
{
	unsigned int i, n = 0;

	for (i = 0; i < LOG_BYTES * 8; i++)
		n += log->bits[i / 8] >> i % 8 & 1;
	return n;
}

/* Requests whose buffers are anywhere, that know where the device wrote. */
struct write_plan {
	uint64_t addr[4];
	uint32_t len[4];
	unsigned int n;
};

static void plan_marks(const struct write_plan *w, uint32_t written, uint8_t *pages)
{
	unsigned int i;
	uint64_t at;

	for (i = 0; i < w->n && written; i++) {
		uint32_t len = w->len[i] < written ? w->len[i] : written;

		for (at = w->addr[i]; at < w->addr[i] + len; at++)
			pages[PAGE(at)] = 1;
		written -= len;
	}
}

static void device_writes(const struct vhost_req *req, uint32_t written)
{
	static uint8_t bytes[65536];
	uint32_t done = 0;

	while (done < written) {
		uint32_t n = written - done < sizeof(bytes) ? written - done : sizeof(bytes), i;

		for (i = 0; i < n; i++)
			bytes[i] = (uint8_t)(1 + rng(255));
		vhost_req_write(req, done, bytes, n);
		done += n;
	}
}

/* All of the ring's memory that the device writes to; the driver's side is left out. */
static void shadow_copy(uint8_t *to)
{
	memcpy(to, gm_ptr(&gm, GM_DESC), 0x2000);
	memcpy(to + 0x2000, gm_ptr(&gm, GM_DEVICE), 0x2000);
}

static void shadow_diff(const uint8_t *before, uint8_t *pages)
{
	unsigned int i;

	for (i = 0; i < 0x4000; i++) {
		uint64_t at = i < 0x2000 ? GM_DESC + i : GM_DEVICE + (i - 0x2000);

		if (before[i] != *gm_ptr(&gm, at))
			pages[PAGE(at)] = 1;
	}
}

START_TEST(every_page_that_the_device_wrote_to_is_in_the_log_and_no_other)
{
	/* Packed: 512 descriptors are two pages. Split: so are 512 used entries. */
	static uint8_t changed[LOG_BYTES * 8], written_to[LOG_BYTES * 8], shadow[0x4000];
	static uint8_t before[GM_FILE_SIZE];
	struct write_plan plan[32] = { { .n = 0 } };
	struct vhost_req held[32];
	uint64_t features = features_of(_i) | RING_F_INDIRECT;
	struct dirty_log *log = new_log();
	unsigned int n = 0, i, round, n_plans = 0;
	uint64_t at;

	rng_state = 88172645463325252ull + (unsigned int)_i;
	memset(changed, 0, sizeof(changed));
	memset(written_to, 0, sizeof(written_to));
	rd_init(&d, &gm, 512, features);
	rd_set_position(&d, _i & 1 ? 900 : 65300);
	run = rd_start(&d);
	vring_set_log(run, log, true, d.device);
	memcpy(before, gm.file, sizeof(before));
	for (round = 0; round < 2000; round++) {
		struct rd_seg table = { GM_TABLES + (round % 32) * 64, 0, DESC_F_INDIRECT };
		unsigned int id = round % 32, pushed;
		struct rd_seg segs[4];

		/* One more, in the table of a place that is free: at most 16 are out. */
		if (n < 16) {
			struct write_plan *w = &plan[n_plans++ % 32];

			w->n = 1 + rng(4);
			for (i = 0; i < w->n; i++) {
				uint64_t base = rng(3) ? GM_DATA : rng(2) ? GM_NEXT - 0x4000 : GM_FAR;

				w->addr[i] = base + rng(0x8000);
				w->len[i] = 1 + (rng(4) ? rng(100) : rng(12000));
				segs[i] = (struct rd_seg){ w->addr[i], w->len[i], DESC_F_WRITE };
			}
			table.len = 16 * w->n;
			rd_write_table(&d, table.addr, segs, w->n);
			rd_offer_chain(&d, (uint16_t)id, &table, 1);
		}
		shadow_copy(shadow);
		i = (unsigned int)vring_pop(run, held + n, 4);
		must(i <= 4, "%d", (int)i);
		n += i;
		pushed = rng(4) ? rng(4) : n;
		if (n < pushed)
			pushed = n;
		for (i = 0; i < pushed; i++) {
			struct write_plan *w = &plan[(n_plans - n + i) % 32];

			held[i].written = rng(8) ? rng(held[i].in_len + 1) : 0;
			device_writes(&held[i], held[i].written);
			plan_marks(w, held[i].written, written_to);
		}
		must_eq(push(held, pushed), 0);
		memmove(held, held + pushed, (n - pushed) * sizeof(held[0]));
		n -= pushed;
		vring_needs_notify(run);
		if (rng(4) == 0)
			vring_set_notify(run, rng(2));
		shadow_diff(shadow, changed);
	}
	/* Memory that only the device writes to, from the first moment to the last. */
	for (i = 0; i < 3; i++) {
		const uint64_t from = (uint64_t[]){ GM_DATA, GM_NEXT, GM_FAR }[i];
		const uint64_t to = (uint64_t[]){ GM_NEXT, GM_HOLE, GM_FAR + GM_FAR_SIZE }[i];
		size_t offset = (size_t)(gm_ptr(&gm, from) - gm.file);

		for (at = from; at < to; at++)
			if (gm.file[offset + (at - from)] != before[offset + (at - from)])
				changed[PAGE(at)] = 1;
	}
	for (i = 0; i < LOG_BYTES * 8; i++) {
		uint64_t addr = (uint64_t)i << DIRTY_PAGE_SHIFT;
		bool ring = addr - GM_DEVICE < 0x2000 || (d.packed && addr - GM_DESC < 0x2000);

		must(!changed[i] || logged(log, addr), "page %#jx changed", (uintmax_t)addr);
		must(!logged(log, addr) || written_to[i] || ring, "page %#jx did not change",
		     (uintmax_t)addr);
	}
	must(logged(log, GM_DEVICE) || d.packed, "the used ring");
	if (d.packed)
		must(logged(log, GM_DESC) && logged(log, GM_DESC + 0x1000), "the descriptor ring");
	must(log->dropped == 0, "%ju were dropped", (uintmax_t)log->dropped);
	end_run();
	dirty_log_unref(log);
}
END_TEST

START_TEST(the_log_is_kept_only_while_there_is_one)
{
	struct dirty_log *log = new_log(), *second = new_log();
	uint32_t i;

	/* A pushed request is logged where the log is at that time. */
	begin(8, layout_of(_i));
	for (i = 0; i < 4; i++)
		add(64 * i);			/* a page each */
	ck_assert_int_eq(pop(8), 4);
	for (i = 0; i < 4; i++)
		reqs[i].written = 64;
	ck_assert_int_eq(push(reqs, 1), 0);
	vring_set_log(run, log, false, 0);
	ck_assert_uint_eq(n_logged(log), 0);
	ck_assert_int_eq(push(reqs + 1, 1), 0);
	ck_assert(!logged(log, data_of(0)));
	ck_assert(logged(log, data_of(64)));
	ck_assert(!logged(log, d.device));	/* not asked for */
	vring_set_log(run, second, true, d.device);
	dirty_log_unref(log);			/* the run has let go of it */
	ck_assert_int_eq(push(reqs + 2, 1), 0);
	ck_assert(!logged(second, data_of(64)));
	ck_assert(logged(second, data_of(128)));
	ck_assert(logged(second, d.packed ? d.desc : d.device));
	vring_set_log(run, NULL, false, 0);
	memset(second->bits, 0, LOG_BYTES);
	ck_assert_int_eq(push(reqs + 3, 1), 0);
	ck_assert_uint_eq(n_logged(second), 0);
	dirty_log_unref(second);
}
END_TEST

START_TEST(f31_device_area_is_logged_where_the_front_end_says)
{
	static const uint64_t at[] = { GM_FAR, GM_FAR + 0xffe, GM_FAR + 3, GM_FAR + 0xfff };
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		struct dirty_log *log = new_log();

		begin(8, layout_of(_i));
		vring_set_log(run, log, true, at[i]);
		for (j = 0; j < 8; j++) {
			add(j);
			must_eq(pop(1), 1);
			must_eq(push(reqs, 1), 0);	/* nothing written but the ring */
		}
		vring_set_notify(run, false);
		vring_set_notify(run, true);
		must(logged(log, at[i]) || logged(log, at[i] + 4), "%#jx", (uintmax_t)at[i]);
		must(!logged(log, GM_DEVICE), "the address that was not said");
		end_run();
		dirty_log_unref(log);
	}
}
END_TEST

START_TEST(f31_pages_beyond_the_log_are_dropped_and_counted)
{
	const struct rd_seg high = { GM_HIGH, GM_HIGH_SIZE, DESC_F_WRITE };
	struct dirty_log *log = new_log();
	/* Of the device area: nowhere, at the end, unaligned. */
	static const uint64_t at[] = { UINT64_MAX, UINT64_MAX - 3, UINT64_MAX - 69, 1ull << 63,
				       LOG_BYTES * 8ull << 12, (LOG_BYTES * 8ull << 12) - 1 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		begin(8, layout_of(_i));
		vring_set_log(run, log, true, at[i]);
		ck_assert(rd_add(&d, &high, 1, 0, 1));
		must_eq(pop(1), 1);
		reqs[0].written = UINT32_MAX;
		must_eq(push(reqs, 1), 0);
		vring_needs_notify(run);
		vring_set_notify(run, false);
		expect_get(1, GM_HIGH_SIZE);
		must(log->dropped > 0, "nothing was counted");
	}
	end_run();
	dirty_log_unref(log);
}
END_TEST

START_TEST(translated_buffers_are_logged_by_guest_address)
{
	const struct rd_seg seg = { IOVA + 0xff0, 32, DESC_F_WRITE };
	struct dirty_log *log = new_log();

	begin_iotlb(layout_of(_i));
	tlb_add(IOVA, 0x1000, GM_FAR, 3);
	tlb_add(IOVA + 0x1000, 0x1000, GM_NEXT, 3);
	vring_set_log(run, log, true, d.device);
	expect_chain(&seg, 1);
	reqs[0].written = 17;
	ck_assert_int_eq(push(reqs, 1), 0);
	ck_assert(logged(log, GM_FAR));
	ck_assert(logged(log, GM_NEXT));
	ck_assert(!logged(log, GM_FAR + 0x1000));
	expect_chain(&seg, 1);
	memset(log->bits, 0, LOG_BYTES);
	reqs[0].written = 16;
	ck_assert_int_eq(push(reqs, 1), 0);
	ck_assert(logged(log, GM_FAR));
	ck_assert(!logged(log, GM_NEXT));
	end_iotlb();
	dirty_log_unref(log);
}
END_TEST

/* ------------------------------------------------------------ other memory */

START_TEST(requests_in_flight_keep_the_memory_they_came_with)
{
	struct guest_map *first = gm_map_again(&gm, 0), *second = gm_map_again(&gm, 0);
	struct vring_memory mem = { .map = first };
	struct vring_config config;
	void *areas[3];
	char why[160];
	int maps;

	rd_init(&d, &gm, 4, layout_of(_i));
	config = rd_config(&d, &mem);
	must(vring_run_new(&config, &mem, &run, why, sizeof(why)) == 0, "%s", why);
	guest_map_unref(first);
	add(0);
	add(1);
	ck_assert_int_eq(pop(8), 2);
	mem.map = second;
	config = rd_config(&d, &mem);
	areas[0] = config.desc;
	areas[1] = config.driver;
	areas[2] = config.device;
	vring_set_memory(run, &mem, areas);
	guest_map_unref(second);
	maps = leak_count_maps();
	add(2);
	ck_assert_int_eq(vring_pop(run, reqs + 2, 8), 1);
	ck_assert_ptr_ne(reqs[2].iov[0].iov_base, (uint8_t *)reqs[0].iov[0].iov_base + 128);
	memset(reqs[0].iov[0].iov_base, 0x11, 64);
	reqs[0].written = 64;
	ck_assert_int_eq(push(reqs, 1), 0);
	ck_assert_int_eq(leak_count_maps(), maps);	/* one is still there */
	memset(reqs[1].iov[0].iov_base, 0x22, 64);
	reqs[1].written = 64;
	ck_assert_int_eq(push(reqs + 1, 1), 0);
	ck_assert_int_lt(leak_count_maps(), maps);
	memset(reqs[2].iov[0].iov_base, 0x33, 64);
	ck_assert_int_eq(push(reqs + 2, 1), 0);
	expect_get(0, 64);
	expect_get(1, 64);
	expect_get(2, 0);
	ck_assert_uint_eq(*gm_ptr(&gm, data_of(1)), 0x22);
	ck_assert(!vring_broken(run));
}
END_TEST

START_TEST(unpop_and_pop_read_from_the_memory_of_now)
{
	struct guest_map *second = gm_map_again(&gm, GM_FAR);
	const struct rd_seg seg = { GM_FAR, 16, 0 };
	struct vring_memory mem = { .map = second };
	struct vring_config config;
	void *areas[3];

	/* A region that the request needs has gone: unpop does not bring it back. */
	begin(4, layout_of(_i));
	expect_chain(&seg, 1);
	config = rd_config(&d, &mem);
	areas[0] = config.desc;
	areas[1] = config.driver;
	areas[2] = config.device;
	vring_set_memory(run, &mem, areas);
	guest_map_unref(second);
	if (vring_unpop(run, reqs, 1) == 0)
		expect_broken();
	else
		ck_assert_int_eq(push(reqs, 1), 0);
}
END_TEST

START_TEST(memory_changes_often_with_requests_of_many_ages)
{
	struct vhost_req held[16];
	unsigned int i, n = 0;
	int maps;

	rng_state = 1234567;
	begin(16, layout_of(_i));
	for (i = 0; i < 60; i++) {
		struct guest_map *map = gm_map_again(&gm, 0);
		struct vring_memory mem = { .map = map };
		struct vring_config config = rd_config(&d, &mem);
		void *areas[3] = { config.desc, config.driver, config.device };

		add(i % 16);
		n += (unsigned int)vring_pop(run, held + n, 1);
		vring_set_memory(run, &mem, areas);
		guest_map_unref(map);
		while (n > 4 + rng(8)) {
			unsigned int k = rng(n);
			uint32_t cookie, len;

			memset(held[k].iov[0].iov_base, 1, 64);
			must_eq(push(&held[k], 1), 0);
			memmove(held + k, held + k + 1, (n - k - 1) * sizeof(held[0]));
			n--;
			must_eq(rd_get(&d, &cookie, &len), 1);
		}
	}
	maps = leak_count_maps();
	must_eq(push(held, n), 0);
	must(n == 0 || leak_count_maps() < maps, "the old maps stay");
	must(!vring_broken(run), "%s", vring_broken(run));
}
END_TEST

START_TEST(a_region_that_was_cut_short_breaks_the_ring)
{
	bool gone;

	/* As guest_handle_sigbus() leaves it. */
	begin(4, layout_of(_i));
	add(0);
	add(1);
	ck_assert_int_eq(pop(1), 1);
	__atomic_store_n(gm.regions[2]->dead, 1, __ATOMIC_RELEASE);
	__atomic_fetch_add(&guest_faults, 1, __ATOMIC_RELEASE);
	ck_assert_int_eq(vring_pop(run, reqs + 1, 1), -EBADMSG);
	ck_assert_int_eq(vring_push(run, reqs, 1, &gone), -EBADMSG);
	ck_assert_uint_eq(vring_in_flight(run), 0);
	expect_broken();
}
END_TEST

START_TEST(faults_in_others_memory_leave_the_ring_whole)
{
	begin(4, layout_of(_i));
	add(0);
	__atomic_fetch_add(&guest_faults, 1, __ATOMIC_RELEASE);
	ck_assert_int_eq(pop(1), 1);
	ck_assert_int_eq(push(reqs, 1), 0);
	expect_get(0, 0);
}
END_TEST

START_TEST(a_device_breaks_its_ring_with_a_sentence_and_the_first_one_stays)
{
	bool gone;

	begin(4, layout_of(_i));
	add(0);
	add(1);
	ck_assert_int_eq(pop(1), 1);
	ck_assert_int_eq(vring_break(run, "request %d has no room for a status", 7), -EBADMSG);
	ck_assert_str_eq(vring_broken(run), "request 7 has no room for a status");
	vring_break(run, "another");
	ck_assert_str_eq(vring_broken(run), "request 7 has no room for a status");
	ck_assert_int_eq(vring_pop(run, reqs + 1, 1), -EBADMSG);
	ck_assert_int_eq(vring_push(run, reqs, 1, &gone), -EBADMSG);
	expect_get_none();
	ck_assert(vring_run_stop(run));
	run = NULL;
}
END_TEST

/* ----------------------------------------------------------- legacy guests */

START_TEST(a_big_endian_legacy_ring_is_served)
{
	const struct rd_seg segs[2] = { { data_of(1), 10, 0 }, { GM_NEXT - 8, 20, DESC_F_WRITE } };
	uint64_t features = (_i & 1 ? RING_F_EVENT_IDX : 0) | RING_F_INDIRECT;
	struct dirty_log *log = new_log();
	unsigned int i;

	end_run();
	rd_init(&d, &gm, 4, features);
	d.big_endian = true;
	rd_set_position(&d, 65534);
	run = rd_start(&d);
	if (_i & 2)
		vring_set_log(run, log, true, d.device);
	for (i = 0; i < 9; i++) {
		ck_assert(rd_add(&d, segs, 2, i & 1 ? GM_TABLES : 0, i));
		ck_assert(rd_needs_kick(&d, 1));
		ck_assert_int_eq(pop(4), 1);
		ck_assert_uint_eq(reqs[0].out_len, 10);
		ck_assert_uint_eq(reqs[0].in_len, 20);
		ck_assert_uint_eq(reqs[0].in, 2);
		ck_assert_ptr_eq(reqs[0].iov[0].iov_base, gm_device_ptr(&gm, data_of(1)));
		reqs[0].written = i;
		rd_always_call(&d);
		ck_assert_int_eq(push(reqs, 1), 0);
		ck_assert(vring_needs_notify(run));
		expect_get(i, i);
		ck_assert_int_eq(pop(4), 0);
	}
	ck_assert_uint_eq(vring_base(run), rd_base(&d));
	/* And what is wrong is wrong there, too. */
	rd_put_desc(&d, rd_desc(&d, 1), data_of(1), 16, DESC_F_NEXT, 4);
	rd_offer(&d, 1, 1);
	expect_broken();
	dirty_log_unref(log);
}
END_TEST

/* -------------------------------------------- our own driver's side as the model */

#define MAX_REQS 4096		/* of one run */
#define MAX_SEGS 3		/* each way */
#define DATA_SIZE (1u << 20)

/* Both sides together, and what we know of each request. Cookies are numbers + 1. */
static struct {
	vhost_mem_t *mem;
	struct guest_map *map;
	struct inflight_area *area;
	uint8_t *data;			/* where buffers are; in three regions */
	uint8_t *device_data;
	vhost_virtq_t *vq;
	uint64_t features;
	uint32_t size;
	unsigned int n_added;
	struct {
		uint16_t out, in;
		uint32_t at[2 * MAX_SEGS], len[2 * MAX_SEGS];	/* in the data */
		uint32_t room, written;
		bool got;
	} reqs[MAX_REQS];
	unsigned int next_pop;
	struct vhost_req held[256];
	unsigned int held_no[256], n_held;
	unsigned int to_get[MAX_REQS], get_at, get_n;
	bool device_sleeps, driver_sleeps;
	unsigned int kicks, calls;
} sim;

static void sim_map(void)
{
	uint64_t size = vhost_mem_size(sim.mem), iova = vhost_mem_iova(sim.mem);
	uint64_t data = (uint64_t)(sim.data - (uint8_t *)vhost_mem_addr(sim.mem));
	uint64_t cuts[4] = { 0, data + DATA_SIZE / 2, data + DATA_SIZE / 2 + 8192, size };
	struct guest_region *regions[3];
	const char *why = "";
	unsigned int i;

	for (i = 0; i < 3; i++) {
		struct guest_region_desc desc = { .guest = iova + cuts[i], .size = cuts[i + 1] - cuts[i],
						  .user = 0x10000 + cuts[i], .fd_offset = cuts[i],
						  .fd = vhost_mem_fd(sim.mem) };

		must(guest_region_new(&desc, &regions[i], &why) == 0, "%s", why);
	}
	must(guest_map_new(regions, 3, &sim.map, &why) == 0, "%s", why);
	for (i = 0; i < 3; i++)
		guest_region_unref(regions[i]);
}

static void sim_device(uint32_t base)
{
	struct vring_memory mem = { .map = sim.map };
	struct vring_config config = { .size = sim.size, .features = sim.features, .base = base,
				       .id = 77, .notify = true, .inflight = sim.area };
	struct vhost_virtq_layout layout;
	struct vring_areas areas;
	struct vring_miss miss = { .waiting = false };
	char why[160] = "";
	void *p[3];

	vhost_virtq_layout(sim.vq, &layout, sizeof(layout));
	areas = (struct vring_areas){ layout.desc, layout.driver, layout.device };
	must(vring_find_areas(&mem, VRING_ADDRESS_GUEST, &areas, sim.size, sim.features, p, &miss, why,
			      sizeof(why)) == 0, "%s", why);
	config.desc = p[0];
	config.driver = p[1];
	config.device = p[2];
	must(vring_run_new(&config, &mem, &run, why, sizeof(why)) == 0, "%s", why);
	/* It will be woken for what came before it, or finds it. */
	sim.device_sleeps = false;
}

static void sim_begin(uint32_t size, uint64_t features, uint16_t at, bool prefer, bool record)
{
	struct vhost_virtq_opts opts = { .size = size, .features = features,
					 .flags = VHOST_VIRTQ_NO_FDS |
						  (prefer ? VHOST_VIRTQ_INDIRECT : 0) };
	struct vhost_virtq_layout layout;
	struct vhost_virtq_done done;

	end_run();
	memset(&sim, 0, sizeof(sim));
	ck_assert_int_eq(vhost_mem_new(8 << 20, 0, 1ull << 32, &sim.mem), 0);
	sim.data = vhost_mem_alloc(sim.mem, DATA_SIZE, 4096);
	ck_assert_ptr_nonnull(sim.data);
	ck_assert_int_eq(vhost_virtq_new(sim.mem, &opts, sizeof(opts), &sim.vq), 0);
	vq_set_position(sim.vq, at);
	sim.size = size;
	sim.features = features;
	sim_map();
	if (record)
		ck_assert_int_eq(inflight_area_new(1, (uint16_t)size, features & RING_F_PACKED,
						   &sim.area), 0);
	vhost_virtq_layout(sim.vq, &layout, sizeof(layout));
	sim_device(layout.base);
	vhost_virtq_get(sim.vq, &done, 1);	/* it sleeps */
	sim.driver_sleeps = true;
}

static void sim_end(void)
{
	end_run();
	vhost_virtq_unref(sim.vq);
	inflight_area_unref(sim.area);
	guest_map_unref(sim.map);
	vhost_mem_unref(sim.mem);
}

static void sim_add(unsigned int n)
{
	struct vhost_sg sg[2 * MAX_SEGS];
	unsigned int added = 0;
	bool kick;

	for (; n && sim.n_added < MAX_REQS; n--) {
		unsigned int no = sim.n_added, out = rng(MAX_SEGS + 1), in = rng(MAX_SEGS + 1), i;
		struct vhost_virtq_req req = { .sg = sg, .cookie = (void *)(uintptr_t)(no + 1) };

		if (!out && !in)
			in = 1;
		if (out + in > sim.size) {
			out = 0;
			in = 1;
		}
		sim.reqs[no].room = 0;
		for (i = 0; i < out + in; i++) {
			uint32_t len = 1 + (rng(8) ? rng(200) : rng(9000)), at;

			/* Near the borders of the regions, often. */
			at = rng(2) ? rng(DATA_SIZE - len) :
			     DATA_SIZE / 2 + (rng(2) ? 8192 : 0) - rng(len);
			sim.reqs[no].at[i] = at;
			sim.reqs[no].len[i] = len;
			if (i >= out)
				sim.reqs[no].room += len;
			sg[i] = (struct vhost_sg){ .iova = vhost_mem_to_iova(sim.mem, sim.data + at),
						   .len = len };
		}
		req.out = sim.reqs[no].out = (uint16_t)out;
		req.in = sim.reqs[no].in = (uint16_t)in;
		sim.reqs[no].got = false;
		if (vhost_virtq_add(sim.vq, &req, 1) != 1)
			break;
		sim.n_added++;
		added++;
	}
	if (!added)
		return;
	kick = vhost_virtq_needs_kick(sim.vq);
	must(kick || !sim.device_sleeps, "a device that sleeps is not woken");
	sim.kicks += kick;
	sim.device_sleeps = false;
}

/* The pieces are the buffers, cut where a region ends. */
static void sim_check_buffers(const struct vhost_req *req, unsigned int no)
{
	const unsigned int n = sim.reqs[no].out + sim.reqs[no].in;
	unsigned int i, piece = 0, out = 0;
	uint32_t out_len = 0;

	for (i = 0; i < n; i++) {
		uint32_t left = sim.reqs[no].len[i];
		uint64_t at = (uint64_t)(sim.data - (uint8_t *)vhost_mem_addr(sim.mem)) +
			      sim.reqs[no].at[i];

		if (i < sim.reqs[no].out)
			out_len += left;
		while (left) {
			const struct guest_span *s =
				guest_index_find_slow(&sim.map->by_guest, sim.map->n,
						      vhost_mem_iova(sim.mem) + at);
			uint64_t room = s->last - (vhost_mem_iova(sim.mem) + at) + 1;
			uint32_t len = left < room ? left : (uint32_t)room;

			must(piece < req->out + req->in, "too few pieces");
			must_eq((uintptr_t)req->iov[piece].iov_base,
				(uintptr_t)(s->addr + (vhost_mem_iova(sim.mem) + at - s->first)));
			must_eq(req->iov[piece].iov_len, len);
			piece++;
			left -= len;
			at += len;
		}
		if (i + 1 == sim.reqs[no].out)
			out = piece;
	}
	must_eq(req->out, out);
	must_eq(req->in, piece - out);
	must_eq(req->out_len, out_len);
	must_eq(req->in_len, sim.reqs[no].room);
	must_eq(req->run, 77);
}

static int sim_pop(unsigned int n)
{
	struct vhost_req *first = &sim.held[sim.n_held];
	unsigned int waiting = sim.n_added - sim.next_pop, i;
	int r = vring_pop(run, first, n);

	must(r >= 0, "%s", vring_broken(run));
	must_eq(r, waiting < n ? waiting : n);
	for (i = 0; i < (unsigned int)r; i++) {
		sim_check_buffers(&first[i], sim.next_pop);
		sim.held_no[sim.n_held++] = sim.next_pop++;
	}
	sim.device_sleeps = (unsigned int)r < n;
	must_eq(vring_in_flight(run), sim.n_held);
	return r;
}

static void sim_unpop(unsigned int n)
{
	if (n > sim.n_held)
		n = sim.n_held;
	/* Only if they are the last that were popped, and none was pushed since. */
	if (!n || sim.held_no[sim.n_held - n] != sim.next_pop - n)
		return;
	must_eq(vring_unpop(run, &sim.held[sim.n_held - n], n), 0);
	sim.n_held -= n;
	sim.next_pop -= n;
	sim.device_sleeps = false;
}

static void sim_push(unsigned int n)
{
	struct vhost_req batch[64];
	unsigned int i, at;
	bool call, gone;

	if (n > sim.n_held)
		n = sim.n_held;
	for (i = 0; i < n; i++) {
		unsigned int no;

		at = sim.features & RING_F_IN_ORDER ? 0 : rng(sim.n_held);
		no = sim.held_no[at];
		batch[i] = sim.held[at];
		/* "Used completely" is what lets a driver skip it. */
		batch[i].written = rng(3) ? sim.reqs[no].room : rng(sim.reqs[no].room + 1);
		if (sim.reqs[no].room && !batch[i].written)
			batch[i].written = 1;
		sim.reqs[no].written = batch[i].written;
		sim.to_get[sim.get_n++] = no;
		sim.n_held--;
		memmove(&sim.held[at], &sim.held[at + 1], (sim.n_held - at) * sizeof(sim.held[0]));
		memmove(&sim.held_no[at], &sim.held_no[at + 1],
			(sim.n_held - at) * sizeof(sim.held_no[0]));
	}
	must_eq(vring_push(run, batch, n, &gone), 0);
	if (rng(4) == 0)
		return;		/* notify later */
	call = vring_needs_notify(run);
	if (sim.driver_sleeps && sim.get_at < sim.get_n)
		must(call, "a driver that sleeps is not notified");
	if (sim.get_at < sim.get_n || call)
		sim.driver_sleeps = false;
	sim.calls += call;
}

static void sim_get(unsigned int n)
{
	struct vhost_virtq_done done[64];
	unsigned int expect = sim.get_n - sim.get_at, i;
	int r = vhost_virtq_get(sim.vq, done, n);

	if (expect > n)
		expect = n;
	must(r >= 0, "%s", vhost_virtq_error(sim.vq));
	must_eq(r, expect);
	for (i = 0; i < expect; i++) {
		unsigned int no = sim.to_get[sim.get_at++];

		must_eq((uintptr_t)done[i].cookie, no + 1);
		must_eq(done[i].len, sim.reqs[no].written);
		must_eq(done[i].flags, 0);
		sim.reqs[no].got = true;
	}
	/* What was pushed, but is to be notified of yet, was just collected. */
	sim.driver_sleeps = expect < n;
	if (sim.driver_sleeps)
		vring_needs_notify(run);
}

/* The ring stops with what is in flight finished, and goes on where it was. */
static void sim_restart(void)
{
	uint32_t base;

	while (sim.n_held)
		sim_push(64);
	if (vring_needs_notify(run))	/* the last moment to say so */
		sim.driver_sleeps = false;
	base = vring_base(run);
	must(vring_run_stop(run), "something is in flight");
	run = NULL;
	sim_device(base);
}

static void sim_finish(void)
{
	unsigned int i;

	while (sim_pop(5) || sim.n_held)
		sim_push(7);
	do
		sim_get(3);
	while (sim.get_at < sim.get_n);
	for (i = 0; i < sim.n_added; i++)
		must(sim.reqs[i].got, "request %u was lost", i);
	must_eq(vhost_virtq_outstanding(sim.vq), 0);
	must_eq(vhost_virtq_free_slots(sim.vq), sim.size);
	must(!vring_broken(run), "%s", vring_broken(run));
}

static void sim_run(uint32_t size, uint64_t features, bool prefer, bool record)
{
	unsigned int round;

	rng_state = 88172645463325252ull + size + features;
	for (round = 0; round < 3; round++) {
		sim_begin(size, features, (uint16_t)rng(65536), prefer, record);
		while (sim.n_added < MAX_REQS) {
			unsigned int op = rng(256);

			if (op < 80)
				sim_add(1 + rng(32));
			else if (op < 140)
				sim_pop(sim.n_held > 200 ? 1 : 1 + rng(40));
			else if (op < 200)
				sim_push(rng(40));
			else if (op < 240)
				sim_get(1 + rng(64));
			else if (op < 248)
				sim_unpop(1 + rng(5));
			else if (op < 252)
				/* What is hinted at is what was asked for last. */
				sim.device_sleeps = !vring_set_notify(run, true) &&
						    sim.next_pop == sim.n_added;
			else if (op < 254)
				vring_set_notify(run, false), sim.device_sleeps = false,
				vring_set_notify(run, true);
			else
				sim_restart();
			if (sim.get_n > MAX_REQS - 64 || sim.n_held > 250)
				break;
		}
		sim_finish();
		sim_end();
	}
}

START_TEST(random_runs_agree_with_our_own_driver)
{
	static const uint32_t sizes[] = { 1, 2, 4, 64, 256 }, packed_sizes[] = { 1, 2, 3, 7, 100 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		sim_run(_i & 1 ? packed_sizes[i] : sizes[i], features_of(_i), false, false);
		if (_i & 8)
			sim_run(_i & 1 ? packed_sizes[i] : sizes[i], features_of(_i), true, false);
	}
}
END_TEST

START_TEST(random_runs_with_a_record_of_what_is_in_flight_agree_with_our_own_driver)
{
	sim_run(_i & 1 ? 100 : 128, features_of(_i), false, true);
	sim_run(_i & 1 ? 3 : 4, features_of(_i), true, true);
}
END_TEST

START_TEST(g24_the_largest_rings_agree_with_our_own_driver)
{
	sim_run(32768, features_of(_i) & ~RING_F_INDIRECT, false, false);
}
END_TEST

/* ------------------------------------------------------------------------- */

static void add_positive(Suite *s)
{
	TCase *tc = tcase_create("order");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_both(tc, pop_gives_the_buffers_of_a_request);
	tcase_add_both(tc, requests_come_and_go_in_bursts);
	tcase_add_both(tc, requests_are_pushed_in_any_order);
	tcase_add_both(tc, a_table_may_straddle_regions_and_lie_anywhere);
	tcase_add_both(tc, a_request_of_many_buffers_comes_whole);
	tcase_add_both(tc, a_chain_as_long_as_the_ring_is_in_order);
	tcase_add_both(tc, unpop_puts_the_last_ones_back);
	tcase_add_both(tc, requests_that_the_driver_took_back_in_the_meantime_are_read_anew);
	tcase_add_both(tc, f19_a_stopped_ring_goes_on_where_it_was);
	tcase_add_test(tc, f19_any_16_bit_base_starts_a_split_ring);
	tcase_add_test(tc, f19_base_beyond_a_packed_ring_is_refused);
	tcase_add_test(tc, f19_packed_base_of_16_bits_is_both_halves);
	tcase_add_both(tc, a_stopped_run_lasts_until_the_last_request_and_leaves_the_ring_alone);
	tcase_add_loop_test(tc, g24_rings_wrap_at_every_place, 0, N_FEATURES);
	tcase_add_both(tc, notify_follows_the_drivers_flag);
	tcase_add_both(tc, notify_comes_when_the_event_is_passed_and_only_then);
	tcase_add_loop_test(tc, set_notify_is_what_the_driver_reads, 0, 4);
	tcase_add_loop_test(tc, a_run_begins_with_the_notifications_that_it_is_told, 0, 4);
	tcase_add_both(tc, g23_in_order_is_kept);
	tcase_add_both(tc, in_order_batches_keep_the_length_of_each);
	tcase_add_both(tc, the_callers_changes_to_the_buffers_change_nothing);
	tcase_add_loop_test(tc, a_big_endian_legacy_ring_is_served, 0, 4);
	suite_add_tcase(s, tc);
}

static void add_hostile(Suite *s)
{
	TCase *tc = tcase_create("hostile");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_both(tc, g1_a_buffer_is_split_at_regions_and_never_reaches_beyond);
	tcase_add_both(tc, g2_an_empty_buffer_is_left_out_wherever_it_is);
	tcase_add_both(tc, g3_chains_of_empty_buffers_are_bounded);
	tcase_add_test(tc, g4_chains_that_loop_break_the_ring);
	tcase_add_test(tc, g4_next_beyond_the_ring_breaks_it);
	tcase_add_both(tc, g5_a_ring_that_is_always_full_is_taken_in_the_callers_steps);
	tcase_add_test(tc, g6_available_index_that_jumps_breaks_the_split_ring);
	tcase_add_both(tc, g6_more_in_flight_than_the_ring_has_breaks_it);
	tcase_add_test(tc, g7_head_beyond_the_ring_breaks_it);
	tcase_add_both(tc, g8_request_offered_again_before_its_completion_breaks_the_ring);
	tcase_add_both(tc, g10_a_chain_of_4_gib_breaks_the_ring);
	tcase_add_both(tc, g11_a_header_in_single_bytes_is_read_and_written_whole);
	tcase_add_both(tc, g12_request_shorter_than_the_devices_header_says_so_by_its_lengths);
	tcase_add_both(tc, g14_buffers_over_the_ring_itself_hurt_the_guest_alone);
	tcase_add_both(tc, g15_an_error_in_the_middle_of_a_chain_leaves_nothing_in_flight);
	tcase_add_both(tc, g16_writable_buffer_before_a_readable_one_breaks_the_ring);
	tcase_add_test(tc, virtio_user_has_writable_entries_before_readable_ones_in_packed_tables);
	tcase_add_loop_test(tc, virtio_user_starts_a_split_ring_behind_what_was_used, 0, 2);
	tcase_add_both(tc, g16_write_on_an_indirect_descriptor_and_unknown_flags_are_ignored);
	tcase_add_both(tc, g17_indirect_without_negotiation_breaks_the_ring);
	tcase_add_both(tc, g17_table_of_a_bad_size_or_place_breaks_the_ring);
	tcase_add_both(tc, g17_table_in_a_table_or_with_next_breaks_the_ring);
	tcase_add_test(tc, g17_a_table_at_the_end_of_a_chain_is_followed);
	tcase_add_test(tc, g18_buffer_id_beyond_the_ring_breaks_it);
	tcase_add_test(tc, g18_descriptor_of_the_wrong_wrap_counter_is_not_available);
	tcase_add_test(tc, g18_chain_that_goes_on_into_what_is_not_available_breaks_the_ring);
	tcase_add_test(tc, g18_chain_without_an_end_breaks_the_ring);
	tcase_add_test(tc, g18_flags_that_change_after_the_pop_change_nothing);
	tcase_add_both(tc, g19_events_of_any_value_are_survived);
	tcase_add_both(tc, g20_a_driver_that_never_collects_makes_nothing_grow);
	tcase_add_both(tc, g21_what_the_guest_writes_to_the_used_ring_is_not_read);
	tcase_add_both(tc, g23_requests_that_are_not_in_flight_are_refused);
	tcase_add_both(tc, g23_written_beyond_the_room_is_cut);
	tcase_add_test(tc, g27_next_beyond_a_table_breaks_the_ring);
	suite_add_tcase(s, tc);

	tc = tcase_create("scribbles");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, g9_every_single_byte_that_is_wrong_is_survived, 0, N_FEATURES);
#ifndef __SANITIZE_THREAD__	/* these race by design */
	tcase_add_loop_test(tc, g9_a_ring_that_is_written_to_all_the_time_is_survived, 0, N_FEATURES);
	tcase_add_test(tc, g25_an_index_is_read_whole);
#endif
	suite_add_tcase(s, tc);
}

static void add_memory(Suite *s)
{
	TCase *tc = tcase_create("memory");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_both(tc, f17_areas_are_aligned_mapped_and_in_one_piece_or_named);
	tcase_add_both(tc, f17_areas_that_overlap_are_refused);
	tcase_add_both(tc, f17_areas_by_user_address_are_found_by_it);
	tcase_add_both(tc, f17_areas_by_iova_wait_for_their_translations);
	tcase_add_both(tc, iotlb_translates_buffers_and_tables);
	tcase_add_both(tc, a_request_waits_for_its_translation_and_those_before_do_not);
	tcase_add_both(tc, a_translation_that_is_withdrawn_holds_no_more);
	tcase_add_both(tc, a_translation_to_where_no_memory_is_breaks_the_ring);
	tcase_add_loop_test(tc, every_page_that_the_device_wrote_to_is_in_the_log_and_no_other,
			    0, N_FEATURES);
	tcase_add_both(tc, the_log_is_kept_only_while_there_is_one);
	tcase_add_both(tc, f31_device_area_is_logged_where_the_front_end_says);
	tcase_add_both(tc, f31_pages_beyond_the_log_are_dropped_and_counted);
	tcase_add_both(tc, translated_buffers_are_logged_by_guest_address);
	tcase_add_both(tc, requests_in_flight_keep_the_memory_they_came_with);
	tcase_add_both(tc, unpop_and_pop_read_from_the_memory_of_now);
	tcase_add_both(tc, memory_changes_often_with_requests_of_many_ages);
	tcase_add_both(tc, a_region_that_was_cut_short_breaks_the_ring);
	tcase_add_both(tc, faults_in_others_memory_leave_the_ring_whole);
	tcase_add_both(tc, a_device_breaks_its_ring_with_a_sentence_and_the_first_one_stays);
	suite_add_tcase(s, tc);
}

int main(void)
{
	Suite *s = suite_create("vring");
	SRunner *sr;
	TCase *tc;
	int failed;

	add_positive(s);
	add_hostile(s);
	add_memory(s);

	tc = tcase_create("model");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, random_runs_agree_with_our_own_driver, 0, N_FEATURES);
	tcase_add_loop_test(tc, random_runs_with_a_record_of_what_is_in_flight_agree_with_our_own_driver,
			    0, N_FEATURES);
	tcase_add_loop_test(tc, g24_the_largest_rings_agree_with_our_own_driver, 0, 8);
	suite_add_tcase(s, tc);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
