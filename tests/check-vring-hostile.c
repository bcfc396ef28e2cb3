/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The device's side of a queue, against a driver that lies: G1 to G27, by their numbers. */
#include <pthread.h>

#include "vring-bench.h"

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

/* ------------------------------------------------------------------------- */

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

int main(void)
{
	Suite *s = suite_create("vring-hostile");
	SRunner *sr;
	int failed;

	add_hostile(s);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
