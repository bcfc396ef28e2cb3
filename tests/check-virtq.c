/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The driver's side of a queue, against a device model of its own. */
#include <check.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <vhost/virtq.h>

#include "leak.h"
#include "ring-model.h"
#include "ring/virtq.h"

#define F_VERSION_1 (1ull << 32)
#define F_PACKED (1ull << 34 | F_VERSION_1)
#define F_EVENT (1ull << 29)
#define F_IN_ORDER (1ull << 35)
#define F_INDIRECT (1ull << 28)
#define F_PLATFORM (1ull << 36)

static vhost_mem_t *mem;
static struct leak leak;

static void setup(void)
{
	leak = leak_begin();
	ck_assert_int_eq(vhost_mem_new(4 << 20, 0, 1ull << 32, &mem), 0);
}

static void teardown(void)
{
	mem = vhost_mem_unref(mem);
	ck_assert_int_eq(leak_check(&leak), 0);
}

static vhost_virtq_t *new_vq(uint32_t size, uint64_t features, uint32_t flags)
{
	struct vhost_virtq_opts opts = { .size = size, .features = features | F_VERSION_1,
					 .flags = flags };
	vhost_virtq_t *vq;

	ck_assert_int_eq(vhost_virtq_new(mem, &opts, sizeof(opts), &vq), 0);
	return vq;
}

static void attach_model(struct model *m, vhost_virtq_t *vq, uint64_t features)
{
	struct vhost_virtq_layout layout;

	vhost_virtq_layout(vq, &layout, sizeof(layout));
	model_init(m, mem, &layout, features);
}

/* ------------------------------------------------- the two sides together */

#define MAX_REQS 4096		/* of one run */
#define MAX_OUT 3
#define MAX_IN 3

/* A queue, a device, and what we know of each request. Cookies are their numbers + 1. */
struct sim {
	vhost_virtq_t *vq;
	struct model m;
	uint64_t features;
	uint32_t size;
	bool prefer;			/* VHOST_VIRTQ_INDIRECT */
	unsigned int n_added;
	struct {
		uint16_t out, in;
		uint32_t room;		/* writable bytes */
		uint32_t len;		/* that the device says it wrote */
		uint16_t n_desc;
		bool done, got;
	} reqs[MAX_REQS];
	unsigned int to_pop[MAX_REQS], pop_at, pop_n;	/* what the device is to see, in order */
	struct model_req held[256];	/* what the device works on, in order */
	unsigned int held_no[256], n_held;
	unsigned int to_get[MAX_REQS], get_at, get_n;	/* what get() is to return, in order */
	uint32_t used_desc;
	unsigned int stash_end;		/* of to_get: completions from before a requeue */
	bool device_sleeps, driver_sleeps;
	unsigned int kicks, calls;
};

static struct sim sim;

/*
 * libcheck's own assertions write a record each time. These are for what is checked
 * millions of times.
 */
#define sim_check(c) do { \
	if (!(c)) \
		ck_abort_msg("%s (model: %s)", #c, sim.m.violation ? sim.m.violation : "content"); \
} while (0)
#define sim_eq(a, b) do { \
	uint64_t a_ = (uint64_t)(a), b_ = (uint64_t)(b); \
	if (a_ != b_) \
		ck_abort_msg("%s is %#jx, %s is %#jx", #a, (uintmax_t)a_, #b, (uintmax_t)b_); \
} while (0)

static void sim_start(struct sim *s, vhost_virtq_t *vq, uint64_t features, uint16_t at)
{
	memset(s, 0, offsetof(struct sim, reqs));
	s->pop_at = s->pop_n = s->n_held = s->get_at = s->get_n = 0;
	s->used_desc = 0;
	s->stash_end = 0;
	s->device_sleeps = s->driver_sleeps = false;
	s->kicks = s->calls = 0;
	s->vq = vq;
	s->features = features;
	s->size = vq->size;
	vq_set_position(vq, at);
	attach_model(&s->m, vq, features);
}

static void sim_buffers(unsigned int no, struct vhost_sg *sg, unsigned int out, unsigned int in)
{
	unsigned int i;

	for (i = 0; i < out + in; i++)
		sg[i] = (struct vhost_sg){ .iova = ((uint64_t)no << 32) + i * 4096,
					   .len = 16 * (no % 64 + 1) + i };
}

static void sim_after_add(struct sim *s, unsigned int n)
{
	bool kick = vhost_virtq_needs_kick(s->vq);

	sim_check(!s->m.violation);
	if (!n) {
		sim_check(!kick);
		return;
	}
	/*
	 * A device that sleeps is never left asleep; with EVENT_IDX nor is one disturbed,
	 * except that a packed ring comes past the same offset again.
	 */
	if (s->device_sleeps)
		sim_check(kick);
	else if (s->features & F_EVENT && !s->m.packed && s->n_added > n)
		sim_check(!kick);
	s->device_sleeps = false;
	s->kicks += kick;
}

/* Add a burst of @n requests of the same shape; as many as there is room for go in. */
static unsigned int sim_add(struct sim *s, unsigned int n, unsigned int out, unsigned int in)
{
	struct vhost_sg sg[32][MAX_OUT + MAX_IN];
	struct vhost_virtq_req reqs[32] = { { .sg = NULL } };
	unsigned int i, fit = 0, j;
	uint32_t used = s->used_desc;

	for (i = 0; i < n; i++) {
		sim_buffers(s->n_added + i, sg[i], out, in);
		reqs[i] = (struct vhost_virtq_req){ .sg = sg[i], .out = (uint16_t)out,
						    .in = (uint16_t)in,
						    .cookie = (void *)(uintptr_t)(s->n_added + i + 1) };
	}
	/* Nothing can be added before what the old device completed has been collected. */
	for (i = 0; i < n && s->get_at >= s->stash_end; i++) {
		uint32_t need = out + in;
		bool table = s->features & F_INDIRECT && need > 1 &&
			     need <= s->vq->indirect_max && (s->prefer || need > s->size - used);

		if (table)
			need = 1;
		if (used + need > s->size)
			break;
		used += need;
		s->reqs[s->n_added + i].n_desc = (uint16_t)need;
		fit++;
	}
	sim_eq(vhost_virtq_add(s->vq, reqs, n), (int)fit);
	for (i = 0; i < fit; i++) {
		unsigned int no = s->n_added + i;

		s->reqs[no].out = (uint16_t)out;
		s->reqs[no].in = (uint16_t)in;
		s->reqs[no].done = s->reqs[no].got = false;
		s->reqs[no].room = 0;
		for (j = out; j < out + in; j++)
			s->reqs[no].room += sg[i][j].len;
		s->to_pop[s->pop_n++] = no;
	}
	s->n_added += fit;
	s->used_desc = used;
	sim_after_add(s, fit);
	return fit;
}

static bool sim_pop(struct sim *s)
{
	struct model_req *req = &s->held[s->n_held];
	struct vhost_sg sg[MAX_OUT + MAX_IN];
	int r = model_pop(&s->m, req);
	unsigned int no, i;

	sim_check(r >= 0);
	sim_eq(r, s->pop_at < s->pop_n);
	if (!r) {
		s->device_sleeps = true;
		return false;
	}
	no = s->to_pop[s->pop_at++];
	sim_buffers(no, sg, s->reqs[no].out, s->reqs[no].in);
	sim_eq(req->n_segs, s->reqs[no].out + s->reqs[no].in);
	sim_eq(req->n_desc, s->reqs[no].n_desc);
	for (i = 0; i < req->n_segs; i++) {
		sim_eq(req->segs[i].addr, sg[i].iova);
		sim_eq(req->segs[i].len, sg[i].len);
		sim_eq(req->segs[i].write, i >= s->reqs[no].out);
	}
	s->held_no[s->n_held++] = no;
	return true;
}

static void sim_after_push(struct sim *s)
{
	bool call = model_should_call(&s->m);

	if (s->driver_sleeps)
		sim_check(call);
	s->driver_sleeps = false;
	s->calls += call;
}

static void sim_done(struct sim *s, unsigned int no, uint32_t len)
{
	s->reqs[no].done = true;
	s->reqs[no].len = len;
	s->to_get[s->get_n++] = no;
}

/* Complete held request @i; with IN_ORDER the @i + 1 oldest with one entry. */
static void sim_push(struct sim *s, unsigned int i)
{
	const struct model_req *batch[256];
	unsigned int n = 1, at = i, j;
	uint32_t len;

	if (i >= s->n_held)
		return;
	if (s->features & F_IN_ORDER) {
		n = i + 1;
		at = 0;
	}
	len = s->reqs[s->held_no[i]].room ? 1 + s->held_no[i] % s->reqs[s->held_no[i]].room : 0;
	for (j = 0; j < n; j++) {
		batch[j] = &s->held[at + j];
		sim_done(s, s->held_no[at + j],
			 j + 1 < n ? s->reqs[s->held_no[at + j]].room : len);
	}
	model_push_batch(&s->m, batch, n, len);
	memmove(&s->held[at], &s->held[at + n], (s->n_held - at - n) * sizeof(s->held[0]));
	memmove(&s->held_no[at], &s->held_no[at + n], (s->n_held - at - n) * sizeof(s->held_no[0]));
	s->n_held -= n;
	sim_after_push(s);
}

static void sim_get(struct sim *s, unsigned int n)
{
	struct vhost_virtq_done done[64];
	unsigned int expect = s->get_n - s->get_at, i;

	if (expect > n)
		expect = n;
	sim_eq(vhost_virtq_get(s->vq, done, n), (int)expect);
	for (i = 0; i < expect; i++) {
		unsigned int no = s->to_get[s->get_at++];

		sim_eq((uintptr_t)done[i].cookie, no + 1);
		sim_eq(done[i].len, s->reqs[no].len);
		sim_eq(done[i].flags, 0);
		s->reqs[no].got = true;
		s->used_desc -= s->reqs[no].n_desc;
	}
	s->driver_sleeps = expect < n;
}

static int by_number(const void *a, const void *b)
{
	unsigned int x = *(const unsigned int *)a, y = *(const unsigned int *)b;

	return x < y ? -1 : x > y;
}

/* The device dies with all it holds, and another one starts. */
static void sim_requeue(struct sim *s)
{
	unsigned int undone[256], n = 0, i;
	struct vhost_virtq_layout layout;
	uint32_t base;

	for (i = 0; i < s->n_held; i++)
		undone[n++] = s->held_no[i];
	for (i = s->pop_at; i < s->pop_n; i++)
		undone[n++] = s->to_pop[i];
	qsort(undone, n, sizeof(undone[0]), by_number);
	sim_eq(vhost_virtq_requeue(s->vq, &base), (int)n);
	vhost_virtq_layout(s->vq, &layout, sizeof(layout));
	sim_eq(layout.base, base);
	if (s->features & 1ull << 34)
		sim_eq(base, 0x80008000);
	attach_model(&s->m, s->vq, s->features);
	if (!s->m.packed)
		sim_eq(s->m.used, base);
	s->n_held = 0;
	s->pop_at = s->pop_n = 0;
	for (i = 0; i < n; i++)
		s->to_pop[s->pop_n++] = undone[i];
	s->stash_end = s->get_n;
	/* The descriptors of the stashed ones are free at once. */
	s->driver_sleeps = false;
	s->device_sleeps = !n;		/* a new device wants to know of the first request */
	if (n)
		sim_check(vhost_virtq_needs_kick(s->vq));
	for (i = s->get_at; i < s->get_n; i++) {
		s->used_desc -= s->reqs[s->to_get[i]].n_desc;
		s->reqs[s->to_get[i]].n_desc = 0;
	}
}

/* Let everything come to its end, and see that nothing was lost. */
static void sim_finish(struct sim *s)
{
	unsigned int i;

	while (sim_pop(s))
		;
	while (s->n_held)
		sim_push(s, s->features & F_IN_ORDER ? 0 : s->n_held / 2);
	do
		sim_get(s, 3);
	while (s->get_at < s->get_n);
	for (i = 0; i < s->n_added; i++)
		sim_check(s->reqs[i].got);
	sim_eq(s->used_desc, 0);
	sim_eq(vhost_virtq_outstanding(s->vq), 0);
	sim_eq(vhost_virtq_free_slots(s->vq), s->size);
	sim_check(!s->m.violation);
}

static void sim_step(struct sim *s, unsigned int op)
{
	switch (op) {
	case 0:
		sim_add(s, 1, 1, 0);
		break;
	case 1:
		sim_add(s, 2, s->size > 2 && s->features & F_INDIRECT ? 2 : 0, 1);
		break;
	case 2:
		if (s->size > 1)
			sim_add(s, 1, 1, s->size > 2 ? 2 : 1);
		break;
	case 3:
		sim_pop(s);
		break;
	case 4:
		sim_push(s, 0);
		break;
	case 5:
		if (s->n_held > 1)
			sim_push(s, s->n_held - 1);
		break;
	case 6:
		sim_get(s, 1);
		break;
	case 7:
		sim_get(s, 8);
		break;
	case 8:
		sim_requeue(s);
		break;
	}
}

#define N_OPS 9

/* A combination of features for each loop of a test. */
static uint64_t features_of(int i)
{
	return (i & 1 ? F_PACKED : F_VERSION_1) | (i & 2 ? F_EVENT : 0) | (i & 4 ? F_IN_ORDER : 0) |
	       (i & 8 ? F_INDIRECT : 0);
}

#define N_FEATURES 16
#define IS_PACKED(i) ((i) & 1)

START_TEST(every_short_interleaving_agrees_with_the_model)
{
	static const uint16_t starts[] = { 0, 1, 65533, 65535 };
	uint64_t features = features_of(_i);
	const unsigned int depth = 5;
	unsigned int size, i, seq, n = 1;

	for (i = 0; i < depth; i++)
		n *= N_OPS;
	for (size = 1; size <= 4; size++) {
		vhost_virtq_t *vq;

		if (size == 3 && !IS_PACKED(_i))
			continue;
		vq = new_vq(size, features, VHOST_VIRTQ_NO_FDS);
		for (seq = 0; seq < n; seq++) {
			unsigned int rest = seq, ops[16];

			/* What starts with nothing to do is a shorter one done already. */
			if (seq % N_OPS > 3)
				continue;
			for (i = 0; i < depth; i++, rest /= N_OPS)
				ops[i] = rest % N_OPS;
			sim_start(&sim, vq, features, starts[seq % ARRAY_SIZE(starts)]);
			for (i = 0; i < depth; i++)
				sim_step(&sim, ops[i]);
			sim_finish(&sim);
		}
		vhost_virtq_unref(vq);
	}
}
END_TEST

/* Longer than all of depth 5: each run of adds, takes, completions and collections. */
START_TEST(a_ring_that_is_filled_and_emptied_in_every_order_agrees_with_the_model)
{
	uint64_t features = features_of(_i);
	unsigned int size, seq;

	for (size = 1; size <= 4; size++) {
		vhost_virtq_t *vq;

		if (size == 3 && !IS_PACKED(_i))
			continue;
		vq = new_vq(size, features, VHOST_VIRTQ_NO_FDS);
		for (seq = 0; seq < 4 * 4 * 4 * 4 * 4 * 4; seq++) {
			unsigned int rest = seq, i, j;

			sim_start(&sim, vq, features, (uint16_t)(65530 + seq % 8));
			for (i = 0; i < 6; i++, rest /= 4) {
				sim_step(&sim, rest & 1 ? 2 : 0);
				sim_step(&sim, 0);
				for (j = 0; j < 3; j++)
					sim_step(&sim, 3);
				sim_step(&sim, rest & 2 ? 5 : 4);
				sim_step(&sim, 7);
			}
			sim_finish(&sim);
		}
		vhost_virtq_unref(vq);
	}
}
END_TEST

static uint64_t rng_state;

static unsigned int rng(unsigned int below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (unsigned int)(rng_state >> 33) % below;
}

static void random_run(int i, uint32_t size, bool prefer, bool requeue, uint64_t more)
{
	uint64_t features = features_of(i) | more;
	vhost_virtq_t *vq = new_vq(size, features, VHOST_VIRTQ_NO_FDS |
				   (prefer ? VHOST_VIRTQ_INDIRECT : 0));
	unsigned int round;

	rng_state = 88172645463325252ull + (unsigned int)i;
	for (round = 0; round < 12; round++) {
		sim_start(&sim, vq, features, (uint16_t)rng(65536));
		sim.prefer = prefer;
		while (sim.n_added < MAX_REQS - 64) {
			unsigned int op = rng(requeue ? 200 : 199), j, n;

			if (op < 60) {
				unsigned int out = rng(MAX_OUT + 1), in = rng(MAX_IN + 1);

				if (out + in && out + in <= size)
					sim_add(&sim, 1 + rng(32), out, in);
			} else if (op < 110) {
				for (j = 0, n = rng(40); j < n && sim_pop(&sim); j++)
					;
			} else if (op < 160) {
				for (j = 0, n = rng(40); j < n && sim.n_held; j++)
					sim_push(&sim, rng(features & F_IN_ORDER && sim.n_held > 4 ?
							   4 : sim.n_held));
			} else if (op < 199) {
				sim_get(&sim, 1 + rng(64));
			} else {
				sim_requeue(&sim);
			}
		}
		sim_finish(&sim);
	}
	vhost_virtq_unref(vq);
}

START_TEST(long_random_runs_agree_with_the_model)
{
	random_run(_i, 256, false, false, 0);
	random_run(_i, IS_PACKED(_i) ? 7 : 8, false, false, F_PLATFORM);
}
END_TEST

START_TEST(long_random_runs_with_a_table_for_each_chain_agree_with_the_model)
{
	random_run(_i, 64, true, false, 0);
}
END_TEST

START_TEST(long_random_runs_with_devices_that_die_agree_with_the_model)
{
	random_run(_i, IS_PACKED(_i) ? 100 : 128, false, true, 0);
	random_run(_i, 64, true, true, 0);
}
END_TEST

/* ------------------------------------------------------------- hostile devices */

static const struct vhost_sg readable = { .iova = 0x1000, .len = 64 };
static const struct vhost_sg two_sg[2] = { { .iova = 0x1000, .len = 64 },
					   { .iova = 0x2000, .len = 512 } };

static void add_one(vhost_virtq_t *vq, uintptr_t cookie)
{
	struct vhost_virtq_req req = { .sg = two_sg, .out = 1, .in = 1, .cookie = (void *)cookie };

	ck_assert_int_eq(vhost_virtq_add(vq, &req, 1), 1);
}

/* Broken for every call, with a sentence, until it is reset; then it works. */
static void expect_broken_then_reset(vhost_virtq_t *vq, uint64_t features, const char *word)
{
	struct vhost_virtq_req req = { .sg = &readable, .out = 1, .cookie = vq };
	struct vhost_virtq_done done[8];
	struct model_req held;
	struct model m;

	ck_assert_int_eq(vhost_virtq_get(vq, done, 8), -EBADMSG);
	ck_assert_int_eq(vhost_virtq_get(vq, done, 8), -EBADMSG);
	ck_assert_int_eq(vhost_virtq_add(vq, &req, 1), -EBADMSG);
	ck_assert_int_eq(vhost_virtq_kick(vq), -EBADMSG);
	ck_assert(!vhost_virtq_needs_kick(vq));
	ck_assert_int_eq(vhost_virtq_set_notify(vq, true), -EBADMSG);
	ck_assert_uint_eq(vhost_virtq_free_slots(vq), 0);
	ck_assert_ptr_nonnull(strstr(vhost_virtq_error(vq), word));

	vhost_virtq_reset(vq);
	ck_assert_str_eq(vhost_virtq_error(vq), "");
	ck_assert_uint_eq(vhost_virtq_outstanding(vq), 0);
	attach_model(&m, vq, features);
	ck_assert_int_eq(vhost_virtq_add(vq, &req, 1), 1);
	ck_assert_int_eq(model_pop(&m, &held), 1);
	model_push(&m, &held, 0);
	ck_assert_int_eq(vhost_virtq_get(vq, done, 8), 1);
	ck_assert_ptr_eq(done[0].cookie, vq);
	vhost_virtq_unref(vq);
}

/* Both layouts, each with and without IN_ORDER and EVENT_IDX. */
static vhost_virtq_t *hostile_vq(int i, struct model *m, uint64_t *features)
{
	vhost_virtq_t *vq;

	*features = features_of(i);
	vq = new_vq(8, *features, 0);
	attach_model(m, vq, *features);
	add_one(vq, 1);
	add_one(vq, 2);
	return vq;
}

#define N_HOSTILE 8

START_TEST(b19_used_index_that_jumps_beyond_what_is_outstanding_breaks_the_split_ring)
{
	static const uint16_t jumps[] = { 3, 4, 9, 256, 32768, 65535 };
	unsigned int i;

	if (IS_PACKED(_i))
		return;
	for (i = 0; i < ARRAY_SIZE(jumps); i++) {
		uint64_t features;
		struct model m;
		vhost_virtq_t *vq = hostile_vq(_i, &m, &features);

		model_bump_used_idx(&m, jumps[i]);
		expect_broken_then_reset(vq, features, "used index");
	}
}
END_TEST

static void write_used(struct model *m, uint32_t id, uint32_t len)
{
	model_write_used(m, id, len);
	if (!m->packed)
		model_bump_used_idx(m, 1);
}

START_TEST(b19_used_id_beyond_the_ring_breaks_it)
{
	static const uint32_t ids[] = { 8, 9, 4096, 65535, 0x10000, 0x80000000, 0xffffffff };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		uint64_t features;
		struct model m;
		vhost_virtq_t *vq = hostile_vq(_i, &m, &features);

		if (IS_PACKED(_i) && ids[i] > 65535) {	/* 16 bits there */
			vhost_virtq_unref(vq);
			continue;
		}
		write_used(&m, ids[i], 0);
		expect_broken_then_reset(vq, features, "returned");
	}
}
END_TEST

START_TEST(b19_used_id_that_is_not_outstanding_breaks_the_ring)
{
	uint32_t id;

	/* 0 and 2 are the heads; 1 and 3 the rest of the chains; the others are free. */
	for (id = 0; id < 8; id++) {
		uint64_t features;
		struct model m;
		vhost_virtq_t *vq;

		if (id == 0 || id == 2)
			continue;
		vq = hostile_vq(_i, &m, &features);
		write_used(&m, id, 0);
		expect_broken_then_reset(vq, features, "returned");
	}
}
END_TEST

START_TEST(b19_second_completion_of_a_request_breaks_the_ring)
{
	struct vhost_virtq_done done[8];
	struct model_req held;
	uint64_t features;
	struct model m;
	vhost_virtq_t *vq = hostile_vq(_i, &m, &features);

	ck_assert_int_eq(model_pop(&m, &held), 1);
	model_push(&m, &held, 10);
	write_used(&m, held.id, 10);
	/* The first one counts. */
	ck_assert_int_eq(vhost_virtq_get(vq, done, 8), 1);
	ck_assert_ptr_eq(done[0].cookie, (void *)1);
	expect_broken_then_reset(vq, features, "returned");

	vq = hostile_vq(_i, &m, &features);
	ck_assert_int_eq(model_pop(&m, &held), 1);
	model_push(&m, &held, 10);
	ck_assert_int_eq(vhost_virtq_get(vq, done, 8), 1);
	write_used(&m, held.id, 10);
	expect_broken_then_reset(vq, features, "returned");
}
END_TEST

START_TEST(b19_completion_when_nothing_is_outstanding_breaks_the_ring)
{
	uint64_t features = features_of(_i);
	vhost_virtq_t *vq = new_vq(8, features, 0);
	struct model m;

	attach_model(&m, vq, features);
	write_used(&m, 0, 0);
	expect_broken_then_reset(vq, features, "device");
}
END_TEST

START_TEST(b19_in_order_batch_longer_than_the_used_index_says_breaks_the_split_ring)
{
	uint64_t features;
	struct model m;
	vhost_virtq_t *vq;

	if (IS_PACKED(_i) || !(_i & 4))
		return;
	vq = hostile_vq(_i, &m, &features);
	write_used(&m, 2, 0);	/* ends the second request, but the index moved by one */
	expect_broken_then_reset(vq, features, "batch");
}
END_TEST

START_TEST(b19_descriptors_scribbled_over_do_not_lead_the_driver_astray)
{
	struct vhost_virtq_done done[8];
	struct model_req held[2];
	uint64_t features;
	struct model m;
	vhost_virtq_t *vq = hostile_vq(_i, &m, &features);
	int i;

	ck_assert_int_eq(model_pop(&m, &held[0]), 1);
	ck_assert_int_eq(model_pop(&m, &held[1]), 1);
	memset(m.desc, IS_PACKED(_i) ? 0 : 0xff, 8 * 16);
	for (i = 0; i < 2; i++)
		model_push(&m, &held[i], 512);
	ck_assert_int_eq(vhost_virtq_get(vq, done, 8), 2);
	for (i = 0; i < 2; i++) {
		ck_assert_ptr_eq(done[i].cookie, (void *)(uintptr_t)(i + 1));
		ck_assert_uint_eq(done[i].len, 512);
	}
	ck_assert_uint_eq(vhost_virtq_free_slots(vq), 8);
	for (i = 0; i < 4; i++)
		add_one(vq, 1);
	ck_assert_uint_eq(vhost_virtq_free_slots(vq), 0);
	vhost_virtq_unref(vq);
}
END_TEST

START_TEST(b19_any_memory_under_the_ring_is_survived)
{
	uint64_t features = features_of(_i);
	vhost_virtq_t *vq = new_vq(8, features, VHOST_VIRTQ_NO_FDS);
	struct vhost_virtq_done done[16];
	unsigned int round, j;
	struct model m;

	attach_model(&m, vq, features);
	rng_state = 1234567 + (unsigned int)_i;
	for (round = 0; round < 20000; round++) {
		struct vhost_virtq_req req = { .sg = two_sg, .out = 1, .in = 1, .cookie = &m };
		int r = vhost_virtq_add(vq, &req, 1), got = 0;
		uint32_t base;

		vhost_virtq_needs_kick(vq);
		for (j = rng(8); j; j--) {
			m.desc[rng(8 * 16)] = (unsigned char)rng(256);
			m.driver[rng(IS_PACKED(_i) ? 4 : 22)] = (unsigned char)rng(256);
			m.device[rng(IS_PACKED(_i) ? 4 : 70)] = (unsigned char)(rng(2) ? rng(8) : rng(256));
		}
		do {
			got = vhost_virtq_get(vq, done, 16);
			for (j = 0; got > 0 && j < (unsigned int)got; j++) {
				ck_assert_ptr_eq(done[j].cookie, &m);
				ck_assert_uint_le(done[j].len, 512);
			}
		} while (got == 16);
		ck_assert(r >= 0 || r == -EBADMSG);
		ck_assert_uint_le(vhost_virtq_outstanding(vq), 8);
		ck_assert_uint_le(vhost_virtq_free_slots(vq), 8);
		if (rng(8) == 0)
			vhost_virtq_requeue(vq, &base);
		else if (rng(16) == 0)
			vhost_virtq_reset(vq);
		else if (rng(16) == 0)
			while (vhost_virtq_drain(vq, done, 3) > 0)
				;
		else if (rng(4) == 0)
			vhost_virtq_set_notify(vq, rng(2));
	}
	vhost_virtq_unref(vq);
}
END_TEST

START_TEST(b27_used_len_beyond_the_posted_bytes_is_clamped_and_flagged)
{
	static const uint32_t lens[] = { 513, 576, 0x80000000, 0xffffffff };
	struct vhost_virtq_done done[8];
	struct model_req held;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		uint64_t features;
		struct model m;
		vhost_virtq_t *vq = hostile_vq(_i, &m, &features);

		ck_assert_int_eq(model_pop(&m, &held), 1);
		model_push(&m, &held, lens[i]);
		ck_assert_int_eq(vhost_virtq_get(vq, done, 8), 1);
		ck_assert_uint_eq(done[0].len, 512);
		ck_assert_uint_eq(done[0].flags, VHOST_VIRTQ_DONE_CLAMPED);
		ck_assert_int_eq(model_pop(&m, &held), 1);
		model_push(&m, &held, 512);
		ck_assert_int_eq(vhost_virtq_get(vq, done, 8), 1);
		ck_assert_uint_eq(done[0].len, 512);
		ck_assert_uint_eq(done[0].flags, 0);
		vhost_virtq_unref(vq);
	}
}
END_TEST

START_TEST(b27_used_len_of_zero_where_bytes_were_posted_is_flagged)
{
	struct vhost_virtq_done done[8];
	struct model_req held;
	uint64_t features;
	struct model m;
	vhost_virtq_t *vq = hostile_vq(_i, &m, &features);

	ck_assert_int_eq(model_pop(&m, &held), 1);
	model_push(&m, &held, 0);
	ck_assert_int_eq(vhost_virtq_get(vq, done, 8), 1);
	ck_assert_uint_eq(done[0].len, 0);
	ck_assert_uint_eq(done[0].flags, VHOST_VIRTQ_DONE_EMPTY);
	vhost_virtq_unref(vq);
}
END_TEST

START_TEST(used_len_of_a_request_without_writable_buffers_is_ignored)
{
	struct vhost_virtq_req req = { .sg = &readable, .out = 1, .cookie = &req };
	struct vhost_virtq_done done[8];
	uint64_t features = features_of(_i);
	vhost_virtq_t *vq = new_vq(8, features, VHOST_VIRTQ_NO_FDS);
	struct model_req held;
	struct model m;

	attach_model(&m, vq, features);
	ck_assert_int_eq(vhost_virtq_add(vq, &req, 1), 1);
	ck_assert_int_eq(model_pop(&m, &held), 1);
	model_push(&m, &held, 64);
	ck_assert_int_eq(vhost_virtq_get(vq, done, 8), 1);
	ck_assert_uint_eq(done[0].len, 0);
	ck_assert_uint_eq(done[0].flags, 0);
	vhost_virtq_unref(vq);
}
END_TEST

/* -------------------------------------------------------- requeue, drain, reset */

START_TEST(requeue_after_a_scribble_restores_every_descriptor_in_order)
{
	struct vhost_sg sg[4] = { { 0x1000, 16, 0 }, { 0x2000, 32, 0 }, { 0x3000, 64, 0 }, { 0x4000, 8, 0 } };
	struct vhost_virtq_req reqs[3] = {
		{ .sg = sg, .out = 1, .in = 1, .cookie = &sg[0] },
		{ .sg = sg + 1, .out = 2, .in = 1, .cookie = &sg[1] },
		{ .sg = sg, .out = 0, .in = 4, .cookie = &sg[2] },
	};
	uint64_t features = features_of(_i);
	vhost_virtq_t *vq = new_vq(16, features, _i & 8 ? VHOST_VIRTQ_INDIRECT : 0);
	struct vhost_virtq_done done[8];
	struct model_req held[3];
	struct model m;
	uint32_t base;
	int i;

	attach_model(&m, vq, features);
	ck_assert_int_eq(vhost_virtq_add(vq, reqs, 3), 3);
	ck_assert_int_eq(model_pop(&m, &held[0]), 1);
	ck_assert_int_eq(model_pop(&m, &held[1]), 1);
	/* The second is completed, out of order where that is allowed; the device dies. */
	if (!(features & F_IN_ORDER)) {
		model_push(&m, &held[1], 8);
	} else {
		model_push(&m, &held[0], 8);
	}
	if (vq->tables)
		memset(vq->tables, 0xee, (size_t)vq->size * vq->indirect_max * 16);
	if (!IS_PACKED(_i)) {
		memset(m.desc, 0xee, 16 * 16);
		memset(m.driver + 4, 0xee, 16 * 2);
	}
	ck_assert_int_eq(vhost_virtq_requeue(vq, &base), 2);
	ck_assert_uint_eq(base, IS_PACKED(_i) ? 0x80008000 : 1);
	ck_assert_uint_eq(vhost_virtq_outstanding(vq), 3);
	ck_assert_int_eq(vhost_virtq_add(vq, reqs, 1), 0);	/* collect first */
	ck_assert_int_eq(vhost_virtq_get(vq, done, 1), 1);
	ck_assert_ptr_eq(done[0].cookie, features & F_IN_ORDER ? &sg[0] : &sg[1]);
	ck_assert_uint_eq(done[0].len, 8);

	attach_model(&m, vq, features);
	ck_assert_int_eq(vhost_virtq_add(vq, reqs, 1), 1);
	for (i = 0; i < 3; i++) {
		ck_assert_msg(model_pop(&m, &held[i]) == 1, "%s", m.violation);
		if (i == 0)
			ck_assert_uint_eq(held[0].n_segs, features & F_IN_ORDER ? 3 : 2);
	}
	ck_assert_uint_eq(held[1].n_segs, 4);
	ck_assert_uint_eq(held[1].segs[3].addr, 0x4000);
	ck_assert_uint_eq(held[1].segs[3].len, 8);
	ck_assert_int_eq(model_pop(&m, &held[0]), 0);
	vhost_virtq_unref(vq);
}
END_TEST

START_TEST(requeue_heals_a_queue_that_the_old_device_broke)
{
	struct vhost_virtq_done done[8];
	struct model_req held;
	uint64_t features;
	struct model m;
	vhost_virtq_t *vq = hostile_vq(_i, &m, &features);
	uint32_t base;
	int i;

	write_used(&m, 7, 0);
	ck_assert_int_eq(vhost_virtq_get(vq, done, 8), -EBADMSG);
	ck_assert_int_eq(vhost_virtq_requeue(vq, &base), 2);
	attach_model(&m, vq, features);
	for (i = 1; i <= 2; i++) {
		ck_assert_int_eq(model_pop(&m, &held), 1);
		model_push(&m, &held, 100);
		ck_assert_int_eq(vhost_virtq_get(vq, done, 8), 1);
		ck_assert_ptr_eq(done[0].cookie, (void *)(uintptr_t)i);
	}
	vhost_virtq_unref(vq);
}
END_TEST

START_TEST(drain_gives_completed_requests_and_then_the_rest_in_order)
{
	uint64_t features = features_of(_i);
	vhost_virtq_t *vq = new_vq(16, features, 0);
	struct vhost_virtq_done done[8];
	struct model_req held;
	struct model m;
	uintptr_t i;

	attach_model(&m, vq, features);
	for (i = 1; i <= 5; i++)
		add_one(vq, i);
	ck_assert_int_eq(model_pop(&m, &held), 1);
	model_push(&m, &held, 7);
	ck_assert_int_eq(vhost_virtq_drain(vq, done, 2), 2);
	ck_assert_ptr_eq(done[0].cookie, (void *)1);
	ck_assert_uint_eq(done[0].len, 7);
	ck_assert_uint_eq(done[0].flags, 0);
	ck_assert_ptr_eq(done[1].cookie, (void *)2);
	ck_assert_uint_eq(done[1].flags, VHOST_VIRTQ_DONE_DROPPED);
	ck_assert_uint_eq(vhost_virtq_outstanding(vq), 3);
	ck_assert_int_eq(vhost_virtq_drain(vq, done, 8), 3);
	for (i = 0; i < 3; i++)
		ck_assert_ptr_eq(done[i].cookie, (void *)(i + 3));
	ck_assert_int_eq(vhost_virtq_drain(vq, done, 8), 0);
	ck_assert_uint_eq(vhost_virtq_free_slots(vq), 16);
	attach_model(&m, vq, features);
	add_one(vq, 9);
	ck_assert_int_eq(model_pop(&m, &held), 1);
	vhost_virtq_unref(vq);
}
END_TEST

/* ------------------------------------------------------------ notifications */

START_TEST(kick_writes_the_eventfd_only_when_the_device_wants_it)
{
	uint64_t features = features_of(_i), count;
	vhost_virtq_t *vq = new_vq(8, features, 0);
	struct vhost_virtq_layout layout;
	struct model_req held;
	struct model m;

	vhost_virtq_layout(vq, &layout, sizeof(layout));
	attach_model(&m, vq, features);
	ck_assert_int_eq(vhost_virtq_kick(vq), 0);	/* nothing was added */
	add_one(vq, 1);
	ck_assert_int_eq(vhost_virtq_kick(vq), 1);
	ck_assert_int_eq(vhost_virtq_kick(vq), 0);
	ck_assert_int_eq(read(layout.kick_fd, &count, 8), 8);
	ck_assert_uint_eq(count, 1);
	ck_assert_int_eq(model_pop(&m, &held), 1);
	model_want_kick(&m, false);
	add_one(vq, 2);
	ck_assert_int_eq(vhost_virtq_kick(vq), 0);
	ck_assert_int_eq(read(layout.kick_fd, &count, 8), -1);
	/* A counter that is full does not block. */
	count = UINT64_MAX - 1;
	ck_assert_int_eq(write(layout.kick_fd, &count, 8), 8);
	model_want_kick(&m, true);
	ck_assert_int_eq(model_pop(&m, &held), 1);
	ck_assert_int_eq(model_pop(&m, &held), 0);
	add_one(vq, 3);
	ck_assert_int_eq(vhost_virtq_kick(vq), 1);
	vhost_virtq_unref(vq);
}
END_TEST

START_TEST(set_notify_tells_of_what_came_in_the_meantime)
{
	uint64_t features = features_of(_i);
	vhost_virtq_t *vq = new_vq(8, features, 0);
	struct vhost_virtq_done done[8];
	struct model_req held;
	struct model m;

	attach_model(&m, vq, features);
	ck_assert_int_eq(vhost_virtq_set_notify(vq, false), 0);
	add_one(vq, 1);
	add_one(vq, 2);
	ck_assert_int_eq(model_pop(&m, &held), 1);
	model_push(&m, &held, 1);
	ck_assert(!model_should_call(&m));
	ck_assert_int_eq(vhost_virtq_set_notify(vq, true), 1);
	ck_assert_int_eq(vhost_virtq_get(vq, done, 8), 1);
	ck_assert_int_eq(vhost_virtq_set_notify(vq, true), 0);
	ck_assert_int_eq(model_pop(&m, &held), 1);
	model_push(&m, &held, 1);
	ck_assert(model_should_call(&m));
	ck_assert_int_eq(vhost_virtq_get(vq, done, 8), 1);
	vhost_virtq_unref(vq);
}
END_TEST

/* ------------------------------------------------------------------ arguments */

START_TEST(requests_that_are_not_valid_are_refused_and_leave_no_trace)
{
	uint64_t features = features_of(_i);
	vhost_virtq_t *vq = new_vq(4, features, VHOST_VIRTQ_NO_FDS);
	struct vhost_sg sg[5] = { { 0, 16, 0 }, { 16, 16, 0 }, { 32, 16, 0 }, { 48, 16, 0 }, { 64, 16, 0 } };
	struct vhost_sg empty[2] = { { 0, 16, 0 }, { 16, 0, 0 } };
	struct vhost_sg flags[2] = { { 0, 16, 0 }, { 16, 16, 1 } };
	struct vhost_sg huge[2] = { { 0, 0x80000000, 0 }, { 0, 0x80000000, 0 } };
	struct vhost_virtq_req bad[] = {
		{ .sg = sg }, { .sg = sg, .out = 5 }, { .sg = sg, .out = 65535, .in = 65535 },
		{ .sg = sg, .in = 1, .flags = 1 }, { .sg = empty, .out = 1, .in = 1 },
		{ .sg = empty, .in = 2 }, { .sg = flags, .out = 2 }, { .sg = huge, .out = 1, .in = 1 },
		{ .sg = huge, .in = 2 }, { .sg = NULL },
	};
	struct vhost_virtq_req good = { .sg = sg, .out = 1, .cookie = sg };
	struct model_req held;
	struct model m;
	unsigned int i;

	attach_model(&m, vq, features);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct vhost_virtq_req burst[3] = { good, bad[i], good };

		ck_assert_int_eq(vhost_virtq_add(vq, &bad[i], 1), -EINVAL);
		ck_assert_str_ne(vhost_virtq_error(vq), "");
		ck_assert_uint_eq(vhost_virtq_free_slots(vq), 4);
		ck_assert_int_eq(model_pop(&m, &held), 0);
		/* In a burst those before it are added, and it does not follow them. */
		ck_assert_int_eq(vhost_virtq_add(vq, burst, 3), 1);
		ck_assert_int_eq(model_pop(&m, &held), 1);
		ck_assert_msg(model_pop(&m, &held) == 0, "request %u got through", i);
		vhost_virtq_reset(vq);
		attach_model(&m, vq, features);
	}
	ck_assert_int_eq(vhost_virtq_add(vq, &good, 0), 0);
	vhost_virtq_unref(vq);
}
END_TEST

START_TEST(options_that_are_not_valid_are_refused)
{
	static const struct {
		struct vhost_virtq_opts opts;
		int r;
	} cases[] = {
		{ { .size = 0 }, -EINVAL },
		{ { .size = 3 }, -EINVAL },
		{ { .size = 65536 }, -EINVAL },
		{ { .size = 32769, .features = F_PACKED }, -EINVAL },
		{ { .size = 0, .features = F_PACKED }, -EINVAL },
		{ { .size = 4, .features = 1ull << 34 }, -EINVAL },
		{ { .size = 4, .flags = 4 }, -EINVAL },
		{ { .size = 4, .indirect_max = 5 }, -EINVAL },
		{ { .size = 4, .reserved = 1 }, -EINVAL },
		{ { .size = 3, .features = F_PACKED }, 0 },
		{ { .size = 1 }, 0 },
		{ { .size = 32768 }, 0 },
		{ { .size = 32768, .features = F_PACKED | F_INDIRECT }, 0 },
		{ { .size = 32768, .features = F_INDIRECT, .indirect_max = 32 }, -ENOSPC },
	};
	struct { struct vhost_virtq_opts opts; uint64_t more; } newer = { { .size = 4 }, 1 };
	vhost_virtq_t *vq = NULL;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		ck_assert_int_eq(vhost_virtq_new(mem, &cases[i].opts, sizeof(cases[i].opts), &vq),
				 cases[i].r);
		if (cases[i].r)
			ck_assert_ptr_null(vq);
		vq = vhost_virtq_unref(vq);
	}
	ck_assert_int_eq(vhost_virtq_new(mem, &newer.opts, sizeof(newer), &vq), -E2BIG);
	newer.more = 0;
	ck_assert_int_eq(vhost_virtq_new(mem, &newer.opts, sizeof(newer), &vq), 0);
	vhost_virtq_unref(vq);
	/* All that failed has given its memory back. */
	ck_assert_ptr_nonnull(vhost_mem_alloc(mem, (size_t)vhost_mem_size(mem), 0));
}
END_TEST

START_TEST(a_queue_keeps_its_memory)
{
	vhost_virtq_t *vq = new_vq(8, F_VERSION_1, 0);
	vhost_mem_t *kept = mem;
	struct vhost_virtq_layout layout;

	mem = vhost_mem_unref(mem);
	ck_assert_ptr_eq(vhost_virtq_mem(vq), kept);
	add_one(vq, 1);
	vhost_virtq_layout(vq, &layout, sizeof(layout));
	ck_assert_uint_eq(layout.desc % 16, 0);
	ck_assert_uint_ge(layout.desc, 1ull << 32);
	ck_assert_int_ge(layout.err_fd, 0);
	ck_assert_ptr_eq(vhost_virtq_ref(vq), vq);
	ck_assert_ptr_null(vhost_virtq_unref(vq));
	ck_assert_ptr_null(vhost_virtq_unref(vq));
	ck_assert_ptr_null(vhost_virtq_unref(NULL));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("virtq");
	SRunner *sr;
	TCase *tc;
	int failed;

	tc = tcase_create("model");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, every_short_interleaving_agrees_with_the_model, 0, N_FEATURES);
	tcase_add_loop_test(tc, a_ring_that_is_filled_and_emptied_in_every_order_agrees_with_the_model,
			    0, N_FEATURES);
	tcase_add_loop_test(tc, long_random_runs_agree_with_the_model, 0, N_FEATURES);
	tcase_add_loop_test(tc, long_random_runs_with_a_table_for_each_chain_agree_with_the_model,
			    8, N_FEATURES);
	tcase_add_loop_test(tc, long_random_runs_with_devices_that_die_agree_with_the_model,
			    0, N_FEATURES);
	suite_add_tcase(s, tc);

	tc = tcase_create("hostile");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, b19_used_index_that_jumps_beyond_what_is_outstanding_breaks_the_split_ring,
			    0, N_HOSTILE);
	tcase_add_loop_test(tc, b19_used_id_beyond_the_ring_breaks_it, 0, N_HOSTILE);
	tcase_add_loop_test(tc, b19_used_id_that_is_not_outstanding_breaks_the_ring, 0, N_HOSTILE);
	tcase_add_loop_test(tc, b19_second_completion_of_a_request_breaks_the_ring, 0, N_HOSTILE);
	tcase_add_loop_test(tc, b19_completion_when_nothing_is_outstanding_breaks_the_ring, 0, N_HOSTILE);
	tcase_add_loop_test(tc, b19_in_order_batch_longer_than_the_used_index_says_breaks_the_split_ring,
			    0, N_HOSTILE);
	tcase_add_loop_test(tc, b19_descriptors_scribbled_over_do_not_lead_the_driver_astray, 0, N_HOSTILE);
	tcase_add_loop_test(tc, b19_any_memory_under_the_ring_is_survived, 0, N_FEATURES);
	tcase_add_loop_test(tc, b27_used_len_beyond_the_posted_bytes_is_clamped_and_flagged, 0, N_HOSTILE);
	tcase_add_loop_test(tc, b27_used_len_of_zero_where_bytes_were_posted_is_flagged, 0, N_HOSTILE);
	tcase_add_loop_test(tc, used_len_of_a_request_without_writable_buffers_is_ignored, 0, N_HOSTILE);
	suite_add_tcase(s, tc);

	tc = tcase_create("life");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, requeue_after_a_scribble_restores_every_descriptor_in_order, 0, N_FEATURES);
	tcase_add_loop_test(tc, requeue_heals_a_queue_that_the_old_device_broke, 0, N_FEATURES);
	tcase_add_loop_test(tc, drain_gives_completed_requests_and_then_the_rest_in_order, 0, N_FEATURES);
	tcase_add_loop_test(tc, kick_writes_the_eventfd_only_when_the_device_wants_it, 0, N_FEATURES);
	tcase_add_loop_test(tc, set_notify_tells_of_what_came_in_the_meantime, 0, N_FEATURES);
	tcase_add_loop_test(tc, requests_that_are_not_valid_are_refused_and_leave_no_trace, 0, N_FEATURES);
	tcase_add_test(tc, options_that_are_not_valid_are_refused);
	tcase_add_test(tc, a_queue_keeps_its_memory);
	suite_add_tcase(s, tc);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
