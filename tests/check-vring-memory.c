/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The device's side of a queue and its memory: areas, translations, the dirty log, changes. */
#include "vring-bench.h"

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

#define PAGE(addr) ((addr) >> DIRTY_PAGE_SHIFT)

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

/* ------------------------------------------------------------------------- */

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
	Suite *s = suite_create("vring-memory");
	SRunner *sr;
	int failed;

	add_memory(s);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
