/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The record of what is in flight (vhost-user, "Inflight I/O tracking"). The ring's
 * sources are built with VRING_KILL_POINTS for this program, so that what shared memory
 * holds between any two stores of the device can be kept, and recovered from.
 */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leak.h"
#include "mem/inflight.h"
#include "ring-driver.h"
#include "ring/vring.h"

#define MAX_COOKIES 256u
#define COOKIE_SPAN 0x40u
#define MAX_IMAGES 4096u
#define AREA_SIZE 16u			/* descriptors that the record has room for */

/* Where a front-end whose back-end was killed says that the ring stands. */
enum guess {
	GUESS_USED,			/* at what the driver has seen used: QEMU, split */
	GUESS_FIRST,			/* where the ring was started first: QEMU, packed */
	GUESS_USED_LOW,			/* as the first, in 16 bits */
	N_GUESSES
};

enum shape { SHAPE_ONE, SHAPE_CHAIN, SHAPE_TABLE, N_SHAPES };

struct ledger {
	unsigned int n_added;
	uint8_t got[MAX_COOKIES];	/* how many times the driver saw it completed */
};

/* All that outlives the device. */
struct image {
	uint8_t *shared;
	struct ring_driver driver;
	struct ledger ledger;
};

static struct {
	struct guest_mem gm;
	struct inflight_area *area;
	struct ring_driver d;
	struct ledger l;
	struct vring_run *run;
	struct vhost_req held[64];
	unsigned int n_held;
	uint32_t first_base;
	enum shape shape;
	uint64_t run_id;
	/* At each kill point while recording. */
	bool recording;
	struct image images[MAX_IMAGES];
	unsigned int n_images;
} w;

static struct leak leak;

/* libcheck's assertions write a record each; these are for what is checked often. */
#define must(c, fmt, ...) do { \
	if (!(c)) \
		ck_abort_msg("%s: " fmt, #c, ##__VA_ARGS__); \
} while (0)

static size_t area_bytes(void)
{
	return (size_t)inflight_stride(AREA_SIZE, w.d.packed);
}

static const struct { uint64_t at; size_t len; } parts[] = {
	{ GM_DESC, 16 * AREA_SIZE },
	{ GM_DRIVER, 6 + 2 * AREA_SIZE },
	{ GM_DEVICE, 6 + 8 * AREA_SIZE },
};

static void image_take(struct image *im)
{
	uint8_t *p;
	size_t i;

	im->shared = p = malloc(4096);
	must(p, "no memory");
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		memcpy(p, gm_ptr(&w.gm, parts[i].at), parts[i].len);
		p += parts[i].len;
	}
	must((size_t)(p - im->shared) + area_bytes() <= 4096, "an image is larger than thought");
	memcpy(p, inflight_area_queue(w.area, 0), area_bytes());
	im->driver = w.d;
	im->ledger = w.l;
}

static void image_restore(const struct image *im)
{
	const uint8_t *p = im->shared;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		memcpy(gm_ptr(&w.gm, parts[i].at), p, parts[i].len);
		p += parts[i].len;
	}
	memcpy(inflight_area_queue(w.area, 0), p, area_bytes());
	w.d = im->driver;
	w.l = im->ledger;
}

void vring_kill_point(void);
void vring_kill_point(void)
{
	if (!w.recording)
		return;
	must(w.n_images < MAX_IMAGES, "more kill points than there is room for");
	image_take(&w.images[w.n_images++]);
}

static void images_drop(unsigned int from)
{
	while (w.n_images > from)
		free(w.images[--w.n_images].shared);
}

/* ------------------------------------------------------------- both sides */

static void world_begin(uint32_t size, uint64_t features, uint32_t at, enum shape shape)
{
	gm_init(&w.gm);
	rd_init(&w.d, &w.gm, size, features | RING_F_VERSION_1 | RING_F_INDIRECT);
	rd_set_position(&w.d, at);
	ck_assert_int_eq(inflight_area_new(1, AREA_SIZE, w.d.packed, &w.area), 0);
	memset(&w.l, 0, sizeof(w.l));
	w.first_base = rd_base(&w.d);
	w.shape = shape;
	w.n_held = 0;
	w.run = NULL;
}

static void world_end(void)
{
	if (w.run)
		vring_run_free(w.run);
	w.run = NULL;
	inflight_area_unref(w.area);
	gm_fini(&w.gm);
}

static int start(uint32_t base, char *why, size_t why_size)
{
	struct vring_memory mem = { .map = w.gm.map };
	struct vring_config config = rd_config(&w.d, &mem);

	config.base = base;
	config.inflight = w.area;
	config.id = ++w.run_id;
	w.n_held = 0;
	return vring_run_new(&config, &mem, &w.run, why, why_size);
}

static void must_start(uint32_t base)
{
	char why[160] = "";
	int r = start(base, why, sizeof(why));

	must(r == 0, "%d: %s", r, why);
}

/* The device is gone, and what only it knew. */
static void die(void)
{
	vring_run_free(w.run);
	w.run = NULL;
	w.n_held = 0;
}

static bool add(void)
{
	uint32_t cookie = w.l.n_added;
	uint64_t at = GM_DATA + cookie * COOKIE_SPAN;
	struct rd_seg segs[3] = { { at, 16, w.shape == SHAPE_ONE ? DESC_F_WRITE : 0 },
				  { at + 16, 16, DESC_F_WRITE }, { at + 32, 16, DESC_F_WRITE } };

	must(cookie < MAX_COOKIES, "too many requests");
	if (!rd_add(&w.d, segs, w.shape == SHAPE_ONE ? 1 : 3,
		    w.shape == SHAPE_TABLE ? GM_TABLES + cookie * 48 : 0, cookie))
		return false;
	w.l.n_added++;
	return true;
}

static uint32_t cookie_of(const struct vhost_req *req)
{
	ptrdiff_t at = (uint8_t *)req->iov[0].iov_base - gm_device_ptr(&w.gm, GM_DATA);

	must(at >= 0 && at % COOKIE_SPAN == 0 && at / COOKIE_SPAN < MAX_COOKIES,
	     "a buffer at %td", at);
	return (uint32_t)(at / COOKIE_SPAN);
}

static void check_shape(const struct vhost_req *req)
{
	must(req->out + req->in == (w.shape == SHAPE_ONE ? 1 : 3), "%u buffers",
	     req->out + req->in);
	must(req->in_len == (w.shape == SHAPE_ONE ? 16 : 32), "%u bytes", req->in_len);
}

static int pop(unsigned int n)
{
	int r = vring_pop(w.run, &w.held[w.n_held], n), i;

	must(r >= 0, "%s", vring_broken(w.run));
	for (i = 0; i < r; i++)
		check_shape(&w.held[w.n_held + i]);
	w.n_held += r;
	return r;
}

/* Push @n of those that are held, from the @i th on, in this order or from the last. */
static void push(unsigned int i, unsigned int n, bool backwards)
{
	struct vhost_req reqs[64];
	unsigned int j;
	bool gone = true;
	int r;

	if (i >= w.n_held)
		return;
	if (n > w.n_held - i)
		n = w.n_held - i;
	for (j = 0; j < n; j++) {
		reqs[j] = w.held[i + (backwards ? n - 1 - j : j)];
		reqs[j].written = 1 + cookie_of(&reqs[j]) % 16;
	}
	memmove(&w.held[i], &w.held[i + n], (w.n_held - i - n) * sizeof(w.held[0]));
	w.n_held -= n;
	r = vring_push(w.run, reqs, n, &gone);
	must(r == 0 && !gone, "%d", r);
}

static void get_all(void)
{
	uint32_t cookie, len;
	int r;

	while ((r = rd_get(&w.d, &cookie, &len)) > 0) {
		w.l.got[cookie]++;
		must(w.l.got[cookie] == 1, "request %u completed twice", cookie);
		must(w.d.in_order || len == 1 + cookie % 16, "request %u has %u bytes", cookie, len);
	}
	must(r == 0, "%s", w.d.violation);
}

static uint32_t guess_base(enum guess guess)
{
	struct ring_driver d = w.d;

	if (guess == GUESS_FIRST && d.packed)
		return w.first_base;
	if (!d.packed)
		return rd_used_idx(&d);
	d.avail = d.used;
	d.avail_wrap = d.used_wrap;
	return guess == GUESS_USED_LOW ? rd_base(&d) & 0xffff : rd_base(&d);
}

/*
 * On the memory as it is: a new device takes what was not completed, in order, and
 * nothing else, and brings it to its end; then the ring goes on as ever.
 */
static void recover_and_finish(enum guess guess, unsigned int burst, bool backwards)
{
	bool expected[MAX_COOKIES] = { false };
	unsigned int n_expected = 0, i, round;
	uint32_t last = 0;

	get_all();
	for (i = 0; i < w.l.n_added; i++) {
		expected[i] = !w.l.got[i];
		n_expected += expected[i];
	}
	must_start(guess_base(guess));
	while (pop(burst))
		;
	for (i = 0; i < w.n_held; i++) {
		uint32_t cookie = cookie_of(&w.held[i]);

		must(cookie < w.l.n_added && expected[cookie], "request %u was done already, %s",
		     cookie, w.l.got[cookie] ? "and the driver saw it" : "or comes twice");
		must(!i || cookie > last, "request %u after %u", cookie, last);
		expected[cookie] = false;
		last = cookie;
	}
	must(w.n_held == n_expected, "%u requests came, of %u", w.n_held, n_expected);
	/* The driver looks after each: nothing of what was not published may be left. */
	while (w.n_held) {
		push(0, burst, backwards && !w.d.in_order);
		get_all();
	}
	/* Once around at least, so that every place has been used since. */
	for (round = 0; round < w.d.size / 2 + 1; round++) {
		add();
		add();
		while (pop(burst))
			;
		push(0, 64, backwards && !w.d.in_order);
		get_all();
	}
	for (i = 0; i < w.l.n_added; i++)
		must(w.l.got[i] == 1, "request %u of %u was lost", i, w.l.n_added);
	must(w.d.n_free == w.d.size, "%u descriptors are free", w.d.n_free);
	must(vring_in_flight(w.run) == 0, "%u in flight", vring_in_flight(w.run));
	die();
}

/* ------------------------------------------------------------- kill points */

struct kill_case {
	uint64_t features;
	uint32_t size;
	uint32_t at;
	unsigned int batch;
	bool out_of_order;
	enum shape shape;
};

#define N_KILL_CASES (2u * 3 * 2 * N_SHAPES * 3)

static struct kill_case kill_case(unsigned int i)
{
	static const uint32_t sizes[] = { 4, 8, 16 }, packed_sizes[] = { 3, 5, 16 };
	struct kill_case c = { .features = i & 1 ? RING_F_PACKED : 0 };
	bool packed = i & 1;

	i /= 2;
	c.batch = (unsigned int[]){ 1, 3, 8 }[i % 3];
	i /= 3;
	c.out_of_order = i % 2;
	i /= 2;
	c.shape = i % N_SHAPES;
	i /= N_SHAPES;
	c.size = packed ? packed_sizes[i] : sizes[i];
	c.at = packed ? 2 * c.size - 2 : 65533;
	return c;
}

/* What is done over and over; a kill may come in the middle of it. */
static void work(const struct kill_case *c, unsigned int rounds)
{
	unsigned int round, i;

	for (round = 0; round < rounds; round++) {
		for (i = 0; i < c->batch + 1; i++)
			add();
		pop(c->batch);
		if (c->batch > 1)
			pop(1);
		/* One stays for long, so that others pass it. */
		push(c->out_of_order && w.n_held > 1 ? 1 : 0, c->batch, c->out_of_order);
		if (round % 3)
			get_all();
	}
}

static void world_of(const struct kill_case *c)
{
	world_begin(c->size, c->features, c->at, c->shape);
	must_start(w.first_base);
}

START_TEST(f35_killed_between_any_two_stores_no_request_is_lost_or_done_twice)
{
	struct kill_case c = kill_case((unsigned int)_i);
	unsigned int i, guess;

	if (c.shape == SHAPE_CHAIN && c.size < 3)
		return;
	world_begin(c.size, c.features, c.at, c.shape);
	w.recording = true;
	must_start(w.first_base);
	work(&c, 6);
	w.recording = false;
	die();
	must(w.n_images > 12, "only %u kill points: is VRING_KILL_POINTS set?", w.n_images);
	for (i = 0; i < w.n_images; i++)
		for (guess = 0; guess < (w.d.packed ? N_GUESSES : 1); guess++) {
			image_restore(&w.images[i]);
			recover_and_finish(guess, 1 + 7 * (i % 2), i & 2);
		}
	images_drop(0);
	world_end();
}
END_TEST

START_TEST(f35_killed_while_it_recovers_no_request_is_lost_or_done_twice)
{
	struct kill_case c = kill_case((unsigned int)_i);
	unsigned int i, first, j;

	world_begin(c.size, c.features, c.at, c.shape);
	w.recording = true;
	must_start(w.first_base);
	work(&c, 3);
	w.recording = false;
	die();
	first = w.n_images;
	for (i = 0; i < first; i++) {
		image_restore(&w.images[i]);
		w.recording = true;
		must_start(guess_base(GUESS_USED));
		pop(2);
		push(w.n_held > 1 && c.out_of_order ? 1 : 0, 1, false);
		w.recording = false;
		die();
		for (j = first; j < w.n_images; j++) {
			image_restore(&w.images[j]);
			recover_and_finish(GUESS_USED, 8, false);
		}
		images_drop(first);
	}
	images_drop(0);
	world_end();
}
END_TEST

START_TEST(f35_killed_between_any_two_stores_with_in_order_no_request_is_lost)
{
	struct kill_case c = kill_case((unsigned int)_i);
	unsigned int i;

	if (c.out_of_order)
		return;
	c.features |= RING_F_IN_ORDER;
	world_begin(c.size, c.features, c.at, c.shape);
	w.recording = true;
	must_start(w.first_base);
	work(&c, 6);
	w.recording = false;
	die();
	for (i = 0; i < w.n_images; i++) {
		image_restore(&w.images[i]);
		recover_and_finish(GUESS_USED, 1 + 7 * (i % 2), false);
	}
	images_drop(0);
	world_end();
}
END_TEST

/* Where sanitizers are, most instructions are theirs. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STEPPING 0
#else
#define STEPPING 1
#endif

static bool image_is_now(const struct image *im)
{
	const uint8_t *p = im->shared;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		if (memcmp(p, gm_ptr(&w.gm, parts[i].at), parts[i].len))
			return false;
		p += parts[i].len;
	}
	return !memcmp(p, inflight_area_queue(w.area, 0), area_bytes());
}

/* Take an image after each instruction of the child that changed something. */
static bool step_through(pid_t pid)
{
	int status = 0;

	must(waitpid(pid, &status, 0) == pid, "wait");
	if (!WIFSTOPPED(status))
		return false;	/* it may not be traced here */
	image_take(&w.images[w.n_images++]);
	for (;;) {
		must(ptrace(PTRACE_SINGLESTEP, pid, 0, 0) == 0, "no single steps");
		must(waitpid(pid, &status, 0) == pid, "wait");
		if (!WIFSTOPPED(status))
			break;
		must(WSTOPSIG(status) == SIGTRAP, "signal %d", WSTOPSIG(status));
		if (image_is_now(&w.images[w.n_images - 1]))
			continue;
		must(w.n_images < MAX_IMAGES, "more stores than there is room for");
		image_take(&w.images[w.n_images++]);
	}
	must(WIFEXITED(status) && !WEXITSTATUS(status), "the child ended with %#x", status);
	return true;
}

/* The kill points of the source are not trusted: each instruction is one. */
START_TEST(f35_killed_after_any_instruction_no_request_is_lost_or_done_twice)
{
	struct kill_case c = kill_case((unsigned int)_i);
	unsigned int i;
	bool stepped;
	pid_t pid;

	if (!STEPPING || leak_emulated())
		return;
	world_of(&c);
	work(&c, 2);
	while (add())
		;
	pid = fork();
	must(pid >= 0, "no fork");
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
			_exit(77);
		raise(SIGSTOP);
		pop(2);
		push(c.out_of_order && w.n_held > 1 ? 1 : 0, c.batch, c.out_of_order);
		pop(1);
		if (w.n_held > 1)
			vring_unpop(w.run, &w.held[--w.n_held], 1);
		push(0, c.batch, false);
		_exit(0);
	}
	stepped = step_through(pid);
	die();
	if (stepped)
		must(w.n_images > 6, "%u states in all", w.n_images);
	for (i = 0; i < w.n_images; i++) {
		image_restore(&w.images[i]);
		recover_and_finish(GUESS_USED, 8, false);
	}
	images_drop(0);
	world_end();
}
END_TEST

START_TEST(f35_killed_again_and_again_no_request_is_lost_or_done_twice)
{
	struct kill_case c = kill_case((unsigned int)_i);
	unsigned int life;

	world_of(&c);
	for (life = 0; life < 8; life++) {
		work(&c, 1 + life % 3);
		die();
		must_start(guess_base(GUESS_USED));
		pop(1 + life % 4);
		if (life & 1)
			push(0, 2, c.out_of_order);
	}
	die();
	recover_and_finish(GUESS_USED, 3, c.out_of_order);
	world_end();
}
END_TEST

START_TEST(unpop_is_no_completion_and_the_record_knows)
{
	struct kill_case c = kill_case((unsigned int)_i);
	unsigned int i;

	world_begin(c.size, c.features, c.at, c.shape);
	must_start(w.first_base);
	while (add())
		;
	w.recording = true;
	while (pop(2))
		;
	must(w.n_held > 0, "nothing to pop");
	i = w.n_held > 1 ? w.n_held / 2 : 0;
	ck_assert_int_eq(vring_unpop(w.run, &w.held[i], w.n_held - i), 0);
	w.n_held = i;
	pop(1);
	push(0, 1, false);
	w.recording = false;
	die();
	for (i = 0; i < w.n_images; i++) {
		image_restore(&w.images[i]);
		recover_and_finish(GUESS_USED, 8, false);
	}
	images_drop(0);
	world_end();
}
END_TEST

/* The base that GET_VRING_BASE_INFLIGHT hands over, with requests in the record. */
START_TEST(a_stop_with_requests_in_flight_goes_on_elsewhere)
{
	struct kill_case c = kill_case((unsigned int)_i);
	uint32_t base;

	world_of(&c);
	work(&c, 4);
	add();
	pop(1);
	base = vring_base(w.run);
	die();
	get_all();
	must_start(base);
	w.n_held = 0;
	while (pop(4))
		;
	push(0, 64, c.out_of_order);
	get_all();
	ck_assert_uint_eq(w.d.n_free, w.d.size);
	ck_assert_uint_eq(vring_in_flight(w.run), 0);
	world_end();
}
END_TEST

/* ------------------------------------- records that other programs have left */

/*
 * The layout, in bytes, from the specification's text: with the padding that C compilers
 * give it, which is what its authors' programs have.
 */
static uint8_t *record(void)
{
	return inflight_area_queue(w.area, 0);
}

static void record_put(size_t at, size_t width, uint64_t v)
{
	/* The record has the byte order of the machine that both programs run on. */
	uint8_t v8 = (uint8_t)v;
	uint16_t v16 = (uint16_t)v;
	uint32_t v32 = (uint32_t)v;

	switch (width) {
	case 1: memcpy(record() + at, &v8, 1); break;
	case 2: memcpy(record() + at, &v16, 2); break;
	case 4: memcpy(record() + at, &v32, 4); break;
	default: memcpy(record() + at, &v, 8); break;
	}
}

static uint64_t record_get(size_t at, size_t width)
{
	uint64_t v64;
	uint16_t v16;

	if (width == 1)
		return record()[at];
	if (width == 2) {
		memcpy(&v16, record() + at, 2);
		return v16;
	}
	memcpy(&v64, record() + at, 8);
	return v64;
}

#define AT_VERSION 8
#define AT_DESC_NUM 10
#define SPLIT_LAST_BATCH_HEAD 12
#define SPLIT_USED_IDX 14
#define SPLIT_DESC(i, field) (16 + 16 * (i) + (field))
#define SPLIT_INFLIGHT 0
#define SPLIT_NEXT 6
#define SPLIT_COUNTER 8
#define PACKED_FREE_HEAD 12
#define PACKED_OLD_FREE_HEAD 14
#define PACKED_USED_IDX 16
#define PACKED_OLD_USED_IDX 18
#define PACKED_USED_WRAP 20
#define PACKED_OLD_USED_WRAP 21
#define PACKED_DESC(i, field) (32 + 32 * (i) + (field))
#define PACKED_INFLIGHT 0
#define PACKED_NEXT 2
#define PACKED_LAST 4
#define PACKED_NUM 6
#define PACKED_COUNTER 8
#define PACKED_ID 16
#define PACKED_FLAGS 18
#define PACKED_LEN 20
#define PACKED_ADDR 24

static void split_record(uint16_t last_batch_head, uint16_t used_idx)
{
	memset(record(), 0, area_bytes());
	record_put(AT_VERSION, 2, 1);
	record_put(AT_DESC_NUM, 2, AREA_SIZE);
	record_put(SPLIT_LAST_BATCH_HEAD, 2, last_batch_head);
	record_put(SPLIT_USED_IDX, 2, used_idx);
}

static void split_entry(unsigned int i, uint16_t next, uint64_t counter)
{
	record_put(SPLIT_DESC(i, SPLIT_INFLIGHT), 1, 1);
	record_put(SPLIT_DESC(i, SPLIT_NEXT), 2, next);
	record_put(SPLIT_DESC(i, SPLIT_COUNTER), 8, counter);
}

/* Pop all, and expect these cookies in this order. */
static void expect_cookies(const uint32_t *cookies, unsigned int n)
{
	unsigned int i;

	while (pop(2))
		;
	ck_assert_uint_eq(w.n_held, n);
	for (i = 0; i < n; i++)
		ck_assert_uint_eq(cookie_of(&w.held[i]), cookies[i]);
}

/* What is left of them is collected by the driver, once. */
static void finish(void)
{
	push(0, 64, true);
	get_all();
	ck_assert_uint_eq(w.d.n_free, w.d.size);
	ck_assert_uint_eq(w.d.n_order, 0);
}

START_TEST(slot_0_of_a_split_record_is_not_taken_for_one_that_was_completed)
{
	const uint32_t all[] = { 0, 1 };
	uint32_t at;

	/* Records begin with last_batch_head and used_idx 0, which name slot 0. */
	for (at = 0; at < 3; at++) {
		world_begin(4, 0, at, SHAPE_ONE);
		add();
		split_record(0, (uint16_t)at);
		split_entry(0, 0, 0);
		must_start(guess_base(GUESS_USED));
		add();
		expect_cookies(all, 2);
		finish();
		world_end();
	}
}
END_TEST

START_TEST(a_split_record_of_a_batch_that_was_published_is_brought_to_its_end)
{
	const uint32_t left[] = { 3, 0, 4 };
	unsigned int i;

	world_begin(8, 0, 65534, SHAPE_ONE);
	for (i = 0; i < 5; i++)
		add();
	split_record(1, 65534);
	split_entry(0, 0, 7);
	split_entry(1, 2, 6);
	split_entry(2, 0, 9);
	split_entry(3, 0, 5);		/* fetched before 0: the counter says so */
	/* Heads 2 and 1 are in the used ring; the index is out, the flags are not cleared. */
	for (i = 0; i < 2; i++) {
		rd_put32(&w.d, rd_used_entry(&w.d, (uint16_t)(65534 + i)), 2 - i);
		rd_put32(&w.d, rd_used_entry(&w.d, (uint16_t)(65534 + i)) + 4, 3 - i);
	}
	rd_put16(&w.d, w.d.device_p + 2, 0);
	must_start(guess_base(GUESS_USED));
	expect_cookies(left, 3);
	finish();
	world_end();
}
END_TEST

START_TEST(a_split_record_of_a_batch_that_was_not_published_has_it_done_again)
{
	const uint32_t all[] = { 0, 1, 2 };
	unsigned int i;

	world_begin(8, 0, 65535, SHAPE_ONE);
	for (i = 0; i < 3; i++)
		add();
	split_record(1, 65535);
	for (i = 0; i < 3; i++)
		split_entry(i, i == 1 ? 2 : 0, i);
	rd_put32(&w.d, rd_used_entry(&w.d, 65535), 2);
	rd_put32(&w.d, rd_used_entry(&w.d, 0), 1);
	must_start(guess_base(GUESS_USED));
	expect_cookies(all, 3);
	finish();
	world_end();
}
END_TEST

static void packed_record(uint16_t free_head, uint16_t used_idx, uint8_t wrap)
{
	unsigned int i;

	memset(record(), 0, area_bytes());
	record_put(AT_VERSION, 2, 1);
	record_put(AT_DESC_NUM, 2, AREA_SIZE);
	record_put(PACKED_FREE_HEAD, 2, free_head);
	record_put(PACKED_OLD_FREE_HEAD, 2, free_head);
	record_put(PACKED_USED_IDX, 2, used_idx);
	record_put(PACKED_OLD_USED_IDX, 2, used_idx);
	record_put(PACKED_USED_WRAP, 1, wrap);
	record_put(PACKED_OLD_USED_WRAP, 1, wrap);
	for (i = 0; i < AREA_SIZE; i++)
		record_put(PACKED_DESC(i, PACKED_NEXT), 2, i + 1);
}

/* Entry @i has what the descriptor at @pos of the ring has now. */
static void packed_entry(unsigned int i, unsigned int pos)
{
	memcpy(record() + PACKED_DESC(i, PACKED_ADDR), rd_desc(&w.d, pos), 8);
	memcpy(record() + PACKED_DESC(i, PACKED_LEN), rd_desc(&w.d, pos) + 8, 4);
	memcpy(record() + PACKED_DESC(i, PACKED_ID), rd_desc(&w.d, pos) + 12, 4);
}

static void packed_head(unsigned int i, uint16_t num, uint16_t last, uint64_t counter)
{
	record_put(PACKED_DESC(i, PACKED_INFLIGHT), 1, 1);
	record_put(PACKED_DESC(i, PACKED_NUM), 2, num);
	record_put(PACKED_DESC(i, PACKED_LAST), 2, last);
	record_put(PACKED_DESC(i, PACKED_COUNTER), 8, counter);
}

/* Three chains of three descriptors in a ring of 16, all fetched: entries 0 to 8. */
static void three_chains(void)
{
	unsigned int i;

	world_begin(16, RING_F_PACKED, 0, SHAPE_CHAIN);
	for (i = 0; i < 3; i++)
		add();
	packed_record(9, 0, 1);
	for (i = 0; i < 9; i++)
		packed_entry(i, i);
	for (i = 0; i < 3; i++)
		packed_head(3 * i, 3, (uint16_t)(3 * i + 2), i);
}

static void packed_used(unsigned int pos, unsigned int id, uint32_t len, bool publish)
{
	rd_put32(&w.d, rd_desc(&w.d, pos) + 8, len);
	rd_put16(&w.d, rd_desc(&w.d, pos) + 12, (uint16_t)id);
	if (publish)
		rd_put16(&w.d, rd_desc(&w.d, pos) + 14, DESC_F_AVAIL | DESC_F_USED);
}

START_TEST(a_packed_record_has_the_descriptors_that_the_ring_has_no_more)
{
	const uint32_t left[] = { 0, 1, 3 };

	/* The third was completed first, over the first one's descriptor. */
	three_chains();
	record_put(PACKED_DESC(6, PACKED_INFLIGHT), 1, 0);
	record_put(PACKED_DESC(8, PACKED_NEXT), 2, 9);
	record_put(PACKED_FREE_HEAD, 2, 6);
	record_put(PACKED_OLD_FREE_HEAD, 2, 6);
	record_put(PACKED_USED_IDX, 2, 3);
	record_put(PACKED_OLD_USED_IDX, 2, 3);
	packed_used(0, 2, 3, true);
	add();
	must_start(guess_base(GUESS_FIRST));
	expect_cookies(left, 3);
	finish();
	world_end();
}
END_TEST

/* Killed between the record's new place and the end of the update. */
static void packed_half_done(bool published)
{
	three_chains();
	record_put(PACKED_DESC(5, PACKED_NEXT), 2, 9);
	record_put(PACKED_FREE_HEAD, 2, 3);
	record_put(PACKED_USED_IDX, 2, 3);
	packed_used(0, 1, 2, published);
}

START_TEST(a_packed_record_of_an_update_that_was_published_is_brought_to_its_end)
{
	const uint32_t left[] = { 0, 2 };

	packed_half_done(true);
	must_start(guess_base(GUESS_FIRST));
	expect_cookies(left, 2);
	finish();
	world_end();
}
END_TEST

START_TEST(a_packed_record_of_an_update_that_was_not_published_is_rolled_back)
{
	const uint32_t all[] = { 0, 1, 2 };

	packed_half_done(false);
	must_start(guess_base(GUESS_FIRST));
	expect_cookies(all, 3);
	finish();
	world_end();
}
END_TEST

START_TEST(what_is_recorded_is_what_the_specification_says)
{
	unsigned int i;

	world_begin(8, 0, 65535, SHAPE_ONE);
	must_start(w.first_base);
	ck_assert_uint_eq(record_get(AT_VERSION, 2), 1);
	for (i = 0; i < 4; i++)
		add();
	pop(3);
	for (i = 0; i < 4; i++)
		ck_assert_uint_eq(record_get(SPLIT_DESC(i, SPLIT_INFLIGHT), 1), i < 3);
	ck_assert_uint_lt(record_get(SPLIT_DESC(0, SPLIT_COUNTER), 8),
			  record_get(SPLIT_DESC(1, SPLIT_COUNTER), 8));
	ck_assert_uint_lt(record_get(SPLIT_DESC(1, SPLIT_COUNTER), 8),
			  record_get(SPLIT_DESC(2, SPLIT_COUNTER), 8));
	push(1, 1, false);
	ck_assert_uint_eq(record_get(SPLIT_DESC(1, SPLIT_INFLIGHT), 1), 0);
	ck_assert_uint_eq(record_get(SPLIT_LAST_BATCH_HEAD, 2), 1);
	ck_assert_uint_eq(record_get(SPLIT_USED_IDX, 2), 0);
	push(0, 2, false);
	for (i = 0; i < 4; i++)
		ck_assert_uint_eq(record_get(SPLIT_DESC(i, SPLIT_INFLIGHT), 1), 0);
	ck_assert_uint_eq(record_get(SPLIT_USED_IDX, 2), 2);
	world_end();

	world_begin(8, RING_F_PACKED, 0, SHAPE_CHAIN);
	must_start(w.first_base);
	ck_assert_uint_eq(record_get(AT_VERSION, 2), 1);
	add();
	add();
	pop(2);
	for (i = 0; i < 2; i++) {
		unsigned int head = i ? 3 : 0;	/* from a list that was in order */

		ck_assert_uint_eq(record_get(PACKED_DESC(head, PACKED_INFLIGHT), 1), 1);
		ck_assert_uint_eq(record_get(PACKED_DESC(head, PACKED_NUM), 2), 3);
		ck_assert_uint_eq(record_get(PACKED_DESC(head, PACKED_LAST), 2), head + 2);
		ck_assert_uint_eq(record_get(PACKED_DESC(head, PACKED_ADDR), 8),
				  GM_DATA + i * COOKIE_SPAN);
	}
	ck_assert_uint_eq(record_get(PACKED_FREE_HEAD, 2), 6);
	ck_assert_uint_eq(record_get(PACKED_OLD_FREE_HEAD, 2), 6);
	push(1, 1, false);
	ck_assert_uint_eq(record_get(PACKED_DESC(3, PACKED_INFLIGHT), 1), 0);
	ck_assert_uint_eq(record_get(PACKED_DESC(0, PACKED_INFLIGHT), 1), 1);
	ck_assert_uint_eq(record_get(PACKED_USED_IDX, 2), 3);
	ck_assert_uint_eq(record_get(PACKED_OLD_USED_IDX, 2), 3);
	ck_assert_uint_eq(record_get(PACKED_USED_WRAP, 1), 1);
	ck_assert_uint_eq(record_get(PACKED_FREE_HEAD, 2), 3);
	ck_assert_uint_eq(record_get(PACKED_DESC(5, PACKED_NEXT), 2), 6);
	world_end();
}
END_TEST

/* --------------------------------------------------------- hostile records */

static uint64_t rng_state;

static unsigned int rng(unsigned int below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (unsigned int)(rng_state >> 33) % below;
}

/* Four requests, of which a device that died had fetched two and completed another. */
static void world_with_record(bool packed)
{
	unsigned int i;

	world_begin(8, packed ? RING_F_PACKED : 0, packed ? 13 : 65533, SHAPE_ONE);
	must_start(w.first_base);
	for (i = 0; i < 5; i++)
		add();
	pop(3);
	push(1, 1, false);
	die();
	get_all();
}

/*
 * Whatever the record says: starting ends, popping ends, nobody is given a request twice
 * or more of them than the ring has, and nothing is written outside of the record.
 * How many requests came, or -EINVAL when it was refused, or -EBADMSG when the ring broke.
 */
static int survive(void)
{
	const uint8_t *beyond = record() + area_bytes(), *end = (uint8_t *)w.area->map + w.area->map_len;
	char why[160] = "";
	int r = start(guess_base(GUESS_USED), why, sizeof(why));
	unsigned int i, j, steps = 0;
	bool gone;

	if (r) {
		must(r == -EINVAL, "%d", r);
		must(why[0], "no sentence");
		return r;
	}
	while ((r = vring_pop(w.run, &w.held[w.n_held], 3)) > 0) {
		w.n_held += r;
		must(w.n_held <= w.d.size, "more requests than the ring can have");
		must(++steps <= w.d.size, "no end");
	}
	for (i = 0; i < w.n_held; i++)
		for (j = 0; j < i; j++)
			must(w.held[i].id != w.held[j].id, "%u twice", w.held[i].id);
	must(vring_in_flight(w.run) == w.n_held || r < 0, "%u in flight", vring_in_flight(w.run));
	if (r < 0)
		must(r == -EBADMSG && vring_broken(w.run), "%d", r);
	else
		r = (int)w.n_held;
	if (w.n_held)
		vring_push(w.run, w.held, w.n_held, &gone);
	die();
	for (; beyond < end; beyond++)
		must(!*beyond, "written at %td after the record", beyond - record());
	return r;
}

START_TEST(f35_an_uninitialized_record_is_begun)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		world_with_record(i);
		memset(record(), 0xff, area_bytes());
		record_put(AT_VERSION, 2, 0);
		must(survive() >= 0, "refused");
		must(record_get(AT_VERSION, 2) == 1, "version %ju", (uintmax_t)record_get(AT_VERSION, 2));
		must(record_get(AT_DESC_NUM, 2) >= 8 && record_get(AT_DESC_NUM, 2) <= AREA_SIZE,
		     "%ju", (uintmax_t)record_get(AT_DESC_NUM, 2));
		world_end();
	}
}
END_TEST

START_TEST(f35_desc_num_of_the_record_is_not_believed)
{
	static const uint16_t values[] = { 0, 1, 2, 7, 8, 9, 17, 255, 32768, 65535 };
	unsigned int i, packed;

	for (packed = 0; packed < 2; packed++)
		for (i = 0; i < ARRAY_SIZE(values); i++) {
			int r;

			world_with_record(packed);
			record_put(AT_DESC_NUM, 2, values[i]);
			r = survive();
			must(r == 4 || r == -EINVAL, "%d", r);
			world_end();
		}
}
END_TEST

static const struct {
	bool packed;
	size_t at, width;
	uint64_t value;
} pokes[] = {
	{ 0, AT_VERSION, 2, 2 }, { 0, AT_VERSION, 2, 65535 }, { 0, 0, 8, UINT64_MAX },
	{ 0, SPLIT_LAST_BATCH_HEAD, 2, 8 }, { 0, SPLIT_LAST_BATCH_HEAD, 2, 16 },
	{ 0, SPLIT_LAST_BATCH_HEAD, 2, 65535 },
	{ 0, SPLIT_USED_IDX, 2, 0 }, { 0, SPLIT_USED_IDX, 2, 32768 }, { 0, SPLIT_USED_IDX, 2, 65535 },
	{ 0, SPLIT_DESC(0, SPLIT_INFLIGHT), 1, 2 }, { 0, SPLIT_DESC(0, SPLIT_INFLIGHT), 1, 255 },
	{ 0, SPLIT_DESC(7, SPLIT_INFLIGHT), 1, 1 }, { 0, SPLIT_DESC(8, SPLIT_INFLIGHT), 1, 1 },
	{ 0, SPLIT_DESC(2, SPLIT_COUNTER), 8, 0 }, { 0, SPLIT_DESC(0, SPLIT_COUNTER), 8, UINT64_MAX },
	{ 1, AT_VERSION, 2, 2 }, { 1, AT_VERSION, 2, 65535 }, { 1, 0, 8, UINT64_MAX },
	{ 1, PACKED_FREE_HEAD, 2, 8 }, { 1, PACKED_FREE_HEAD, 2, 16 }, { 1, PACKED_FREE_HEAD, 2, 65535 },
	{ 1, PACKED_OLD_FREE_HEAD, 2, 8 }, { 1, PACKED_OLD_FREE_HEAD, 2, 16 },
	{ 1, PACKED_OLD_FREE_HEAD, 2, 65535 }, { 1, PACKED_OLD_FREE_HEAD, 2, 0 },
	{ 1, PACKED_USED_IDX, 2, 8 }, { 1, PACKED_USED_IDX, 2, 65535 }, { 1, PACKED_USED_IDX, 2, 0x8000 },
	{ 1, PACKED_OLD_USED_IDX, 2, 8 }, { 1, PACKED_OLD_USED_IDX, 2, 65535 },
	{ 1, PACKED_USED_WRAP, 1, 2 }, { 1, PACKED_USED_WRAP, 1, 255 },
	{ 1, PACKED_OLD_USED_WRAP, 1, 2 }, { 1, PACKED_OLD_USED_WRAP, 1, 255 },
	{ 1, PACKED_DESC(0, PACKED_INFLIGHT), 1, 2 }, { 1, PACKED_DESC(0, PACKED_INFLIGHT), 1, 255 },
	{ 1, PACKED_DESC(7, PACKED_INFLIGHT), 1, 1 },
	{ 1, PACKED_DESC(0, PACKED_NEXT), 2, 0 }, { 1, PACKED_DESC(0, PACKED_NEXT), 2, 65535 },
	{ 1, PACKED_DESC(3, PACKED_NEXT), 2, 3 }, { 1, PACKED_DESC(3, PACKED_NEXT), 2, 0 },
	{ 1, PACKED_DESC(5, PACKED_NEXT), 2, 3 }, { 1, PACKED_DESC(3, PACKED_NEXT), 2, 16 },
	{ 1, PACKED_DESC(0, PACKED_LAST), 2, 1 }, { 1, PACKED_DESC(0, PACKED_LAST), 2, 16 },
	{ 1, PACKED_DESC(0, PACKED_LAST), 2, 65535 },
	{ 1, PACKED_DESC(0, PACKED_NUM), 2, 0 }, { 1, PACKED_DESC(0, PACKED_NUM), 2, 2 },
	{ 1, PACKED_DESC(0, PACKED_NUM), 2, 9 }, { 1, PACKED_DESC(0, PACKED_NUM), 2, 65535 },
	{ 1, PACKED_DESC(0, PACKED_ID), 2, 8 }, { 1, PACKED_DESC(0, PACKED_ID), 2, 65535 },
	{ 1, PACKED_DESC(0, PACKED_ID), 2, 2 },	/* the other one's */
	{ 1, PACKED_DESC(0, PACKED_FLAGS), 2, 0xffff }, { 1, PACKED_DESC(0, PACKED_FLAGS), 2, 4 },
	{ 1, PACKED_DESC(0, PACKED_LEN), 4, 0xffffffff }, { 1, PACKED_DESC(0, PACKED_ADDR), 8, 0 },
	{ 1, PACKED_DESC(0, PACKED_ADDR), 8, UINT64_MAX },
	{ 1, PACKED_DESC(0, PACKED_COUNTER), 8, UINT64_MAX },
};

START_TEST(f35_no_field_of_the_record_is_believed)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pokes); i++) {
		world_with_record(pokes[i].packed);
		record_put(pokes[i].at, pokes[i].width, pokes[i].value);
		survive();
		world_end();
	}
}
END_TEST

START_TEST(f35_entries_with_one_counter_all_come_once)
{
	unsigned int i, packed;

	for (packed = 0; packed < 2; packed++) {
		world_with_record(packed);
		for (i = 0; i < 8; i++)
			record_put(packed ? PACKED_DESC(i, PACKED_COUNTER) :
				   SPLIT_DESC(i, SPLIT_COUNTER), 8, 5);
		ck_assert_int_eq(survive(), 4);
		world_end();
	}
}
END_TEST

START_TEST(f35_list_of_the_last_batch_that_loops_ends)
{
	unsigned int len, step, i;

	for (len = 1; len <= 8; len++)
		for (step = 0; step < 8; step++) {
			world_with_record(false);
			for (i = 0; i < 8; i++)
				record_put(SPLIT_DESC(i, SPLIT_NEXT), 2, (i + step) % 8);
			record_put(SPLIT_LAST_BATCH_HEAD, 2, len % 8);
			record_put(SPLIT_USED_IDX, 2, (uint16_t)(rd_used_idx(&w.d) - len * 4096));
			survive();
			world_end();
		}
}
END_TEST

START_TEST(f35_list_of_free_entries_that_loops_ends)
{
	unsigned int step, i, head;

	for (step = 0; step < 16; step++)
		for (head = 0; head < 16; head++) {
			world_with_record(true);
			for (i = 0; i < AREA_SIZE; i++)
				record_put(PACKED_DESC(i, PACKED_NEXT), 2, (i + step) % AREA_SIZE);
			record_put(PACKED_FREE_HEAD, 2, head);
			record_put(PACKED_OLD_FREE_HEAD, 2, head);
			survive();
			world_end();
		}
}
END_TEST

START_TEST(f35_every_entry_in_flight_is_survived)
{
	unsigned int i, packed;

	for (packed = 0; packed < 2; packed++) {
		world_with_record(packed);
		for (i = 0; i < AREA_SIZE; i++)
			record_put(packed ? PACKED_DESC(i, PACKED_INFLIGHT) :
				   SPLIT_DESC(i, SPLIT_INFLIGHT), 1, 1);
		survive();
		world_end();
	}
}
END_TEST

START_TEST(f35_records_of_any_bytes_are_survived)
{
	unsigned int round, i;

	rng_state = 88172645463325252ull + (unsigned int)_i;
	world_begin(8, _i ? RING_F_PACKED : 0, 5, SHAPE_ONE);
	for (round = 0; round < 3000; round++) {
		rd_init(&w.d, &w.gm, 8, w.d.features);
		rd_set_position(&w.d, rng(65536));
		w.l.n_added = 0;
		for (i = rng(9); i; i--)
			add();
		for (i = 0; i < area_bytes(); i++)
			record()[i] = (uint8_t)(rng(2) ? rng(16) : rng(3) ? 0 : rng(256));
		if (rng(8))
			record_put(AT_VERSION, 2, 1);
		if (!_i && rng(2))
			record_put(SPLIT_USED_IDX, 2, (uint16_t)(rd_used_idx(&w.d) - rng(4)));
		survive();
		/* What was made of it is a record again. */
		if (rng(4) == 0)
			survive();
	}
	world_end();
}
END_TEST

START_TEST(f35_record_that_changes_while_the_ring_runs_changes_nothing)
{
	struct kill_case c = kill_case((unsigned int)_i);
	unsigned int round, i;

	world_of(&c);
	rng_state = 1234567 + (unsigned int)_i;
	for (round = 0; round < 20; round++) {
		for (i = rng(64); i; i--)
			record()[rng((unsigned int)area_bytes())] = (uint8_t)rng(256);
		work(&c, 1);
	}
	memset(record(), 0xff, area_bytes());
	while (w.n_held || pop(4))
		push(0, 64, c.out_of_order);
	get_all();
	for (i = 0; i < w.l.n_added; i++)
		must(w.l.got[i] == 1, "request %u was lost", i);
	ck_assert_uint_eq(w.d.n_free, w.d.size);
	world_end();
}
END_TEST

START_TEST(f52_a_ring_of_more_descriptors_than_the_record_has_does_not_start)
{
	char why[160] = "";
	unsigned int i;

	for (i = 0; i < 2; i++) {
		world_begin(2 * AREA_SIZE, i ? RING_F_PACKED : 0, 0, SHAPE_ONE);
		ck_assert_int_eq(start(w.first_base, why, sizeof(why)), -EINVAL);
		ck_assert_str_ne(why, "");
		ck_assert_ptr_null(w.run);
		world_end();
	}
}
END_TEST

START_TEST(f52_a_ring_of_fewer_descriptors_than_the_record_has_runs)
{
	struct kill_case c = { .batch = 1, .size = 4 };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		c.features = i ? RING_F_PACKED : 0;
		world_of(&c);
		work(&c, 5);
		die();
		recover_and_finish(GUESS_USED, 8, false);
		world_end();
	}
}
END_TEST

START_TEST(f52_an_index_that_the_record_does_not_have_does_not_start)
{
	struct vring_memory mem;
	struct vring_config config;
	char why[160] = "";

	world_begin(4, 0, 0, SHAPE_ONE);
	mem = (struct vring_memory){ .map = w.gm.map };
	config = rd_config(&w.d, &mem);
	config.inflight = w.area;
	config.index = 1;
	ck_assert_int_eq(vring_run_new(&config, &mem, &w.run, why, sizeof(why)), -EINVAL);
	ck_assert_str_ne(why, "");
	w.run = NULL;
	world_end();
}
END_TEST

static void setup(void)
{
	leak = leak_begin();
}

static void teardown(void)
{
	images_drop(0);
	ck_assert_int_eq(leak_check(&leak), 0);
}

int main(void)
{
	Suite *s = suite_create("inflight");
	SRunner *sr;
	TCase *tc;
	int failed;

	tc = tcase_create("kill");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, f35_killed_between_any_two_stores_no_request_is_lost_or_done_twice,
			    0, N_KILL_CASES);
	tcase_add_loop_test(tc, f35_killed_while_it_recovers_no_request_is_lost_or_done_twice,
			    0, N_KILL_CASES);
	tcase_add_loop_test(tc, f35_killed_between_any_two_stores_with_in_order_no_request_is_lost,
			    0, N_KILL_CASES);
	tcase_add_loop_test(tc, f35_killed_after_any_instruction_no_request_is_lost_or_done_twice,
			    0, N_KILL_CASES);
	tcase_add_loop_test(tc, f35_killed_again_and_again_no_request_is_lost_or_done_twice,
			    0, N_KILL_CASES);
	tcase_add_loop_test(tc, unpop_is_no_completion_and_the_record_knows, 0, N_KILL_CASES);
	tcase_add_loop_test(tc, a_stop_with_requests_in_flight_goes_on_elsewhere, 0, N_KILL_CASES);
	suite_add_tcase(s, tc);

	tc = tcase_create("format");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, slot_0_of_a_split_record_is_not_taken_for_one_that_was_completed);
	tcase_add_test(tc, a_split_record_of_a_batch_that_was_published_is_brought_to_its_end);
	tcase_add_test(tc, a_split_record_of_a_batch_that_was_not_published_has_it_done_again);
	tcase_add_test(tc, a_packed_record_has_the_descriptors_that_the_ring_has_no_more);
	tcase_add_test(tc, a_packed_record_of_an_update_that_was_published_is_brought_to_its_end);
	tcase_add_test(tc, a_packed_record_of_an_update_that_was_not_published_is_rolled_back);
	tcase_add_test(tc, what_is_recorded_is_what_the_specification_says);
	suite_add_tcase(s, tc);

	tc = tcase_create("hostile");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, f35_an_uninitialized_record_is_begun);
	tcase_add_test(tc, f35_desc_num_of_the_record_is_not_believed);
	tcase_add_test(tc, f35_no_field_of_the_record_is_believed);
	tcase_add_test(tc, f35_entries_with_one_counter_all_come_once);
	tcase_add_test(tc, f35_list_of_the_last_batch_that_loops_ends);
	tcase_add_test(tc, f35_list_of_free_entries_that_loops_ends);
	tcase_add_test(tc, f35_every_entry_in_flight_is_survived);
	tcase_add_loop_test(tc, f35_records_of_any_bytes_are_survived, 0, 2);
	tcase_add_loop_test(tc, f35_record_that_changes_while_the_ring_runs_changes_nothing,
			    0, N_KILL_CASES);
	tcase_add_test(tc, f52_a_ring_of_more_descriptors_than_the_record_has_does_not_start);
	tcase_add_test(tc, f52_a_ring_of_fewer_descriptors_than_the_record_has_runs);
	tcase_add_test(tc, f52_an_index_that_the_record_does_not_have_does_not_start);
	suite_add_tcase(s, tc);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
