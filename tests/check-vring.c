/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The device's side of a queue, in good order, and against our own driver's side. */
#include <vhost/virtq.h>

#include "ring/virtq.h"
#include "vring-bench.h"

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
	tcase_add_loop_test(tc, virtio_user_starts_a_split_ring_behind_what_was_used, 0, 2);
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

int main(void)
{
	Suite *s = suite_create("vring");
	SRunner *sr;
	TCase *tc;
	int failed;

	add_positive(s);

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
