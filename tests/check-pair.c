/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * Our front-end against our back-end: two threads, one socket, every message and feature
 * that both sides have, and rings in every format.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vhost/backend.h>
#include <vhost/vhost.h>

#include "expect.h"
#include "leak.h"

#define PF(name) VHOST_USER_PF_BIT(VHOST_USER_PF_##name)
#define BIT(n) ((uint64_t)1 << (n))
#define F_INDIRECT BIT(28)
#define F_EVENT_IDX BIT(29)
#define F_VERSION_1 BIT(32)
#define F_ACCESS_PLATFORM BIT(33)
#define F_PACKED BIT(34)
#define F_IN_ORDER BIT(35)
#define F_MTU BIT(3)

#define QUEUES 2u
#define SIZE 32u
#define MEM_IOVA 0x100000u
#define MEM_SIZE 0x400000u

/* ----------------------------------------------------------------- the back-end */

struct back {
	struct vhost_backend_ops ops;
	vhost_backend_t *be;
	pthread_t thread;
	bool running;
	int stop;			/* eventfd */
	pthread_mutex_t lock;		/* around everything that is done with it */

	bool hold;			/* keep what is popped */
	struct vhost_req held[SIZE];
	unsigned int n_held;
	uint8_t config[32];
	char state[4096];
	size_t state_len;
	uint8_t mac[6];
	uint16_t mtu;
	uint64_t closed;
	int gpu, object, gone;
	bool reset;
};

static void complete(struct vhost_req *req)
{
	uint8_t buf[8192];
	size_t n = vhost_req_read(req, 0, buf, sizeof(buf));

	req->written = (uint32_t)vhost_req_write(req, 0, buf, n);
}

static void ready(vhost_vring_t *vr, void *opaque)
{
	struct back *b = opaque;
	struct vhost_req reqs[8];
	int i, n;

	do {
		n = vhost_vring_pop(vr, reqs, b->hold ? 1 : 8);
		if (n <= 0)
			break;
		if (b->hold) {
			ck_assert_uint_lt(b->n_held, SIZE);
			b->held[b->n_held++] = reqs[0];
			continue;
		}
		for (i = 0; i < n; i++)
			complete(&reqs[i]);
		vhost_vring_push(vr, reqs, (unsigned int)n);
		vhost_vring_notify(vr);
	} while (b->hold || n == 8);
}

static void gone(vhost_backend_t *be, int status, void *opaque)
{
	(void)be;
	((struct back *)opaque)->gone = status;
}

static void reset(vhost_backend_t *be, void *opaque)
{
	(void)be;
	((struct back *)opaque)->reset = true;
}

static int get_config(vhost_backend_t *be, uint32_t offset, void *buf, uint32_t size, void *opaque)
{
	(void)be;
	memcpy(buf, ((struct back *)opaque)->config + offset, size);
	return 0;
}

static int set_config(vhost_backend_t *be, uint32_t offset, const void *buf, uint32_t size,
		      uint32_t flags, void *opaque)
{
	(void)be;
	(void)flags;
	memcpy(((struct back *)opaque)->config + offset, buf, size);
	return 0;
}

static int save_state(vhost_backend_t *be, int fd, void *opaque)
{
	struct back *b = opaque;
	ssize_t n = write(fd, b->state, b->state_len);

	(void)be;
	close(fd);
	return n == (ssize_t)b->state_len ? 0 : -EIO;
}

/* Late: a program of one thread reads what is there, and comes back. */
static int load_fd = -1;

static int load_state(vhost_backend_t *be, int fd, void *opaque)
{
	(void)be;
	((struct back *)opaque)->state_len = 0;
	load_fd = fd;
	return -EINPROGRESS;
}

static void go_on_loading(struct back *b)
{
	ssize_t n = read(load_fd, b->state + b->state_len, sizeof(b->state) - b->state_len);

	if (n < 0)
		return;
	if (n > 0) {
		b->state_len += (size_t)n;
		return;
	}
	close(load_fd);
	load_fd = -1;
	vhost_backend_state_done(b->be, 0);
}

static int send_rarp(vhost_backend_t *be, const uint8_t *mac, void *opaque)
{
	(void)be;
	memcpy(((struct back *)opaque)->mac, mac, 6);
	return 0;
}

static int set_mtu(vhost_backend_t *be, uint16_t mtu, void *opaque)
{
	(void)be;
	((struct back *)opaque)->mtu = mtu;
	return 0;
}

static int create_crypto(vhost_backend_t *be, const void *desc, size_t size, uint64_t *ret,
			 void *opaque)
{
	(void)be;
	(void)opaque;
	if (size < 16 || *(const uint8_t *)desc == 0xff)
		return -EINVAL;
	*ret = 1234;
	return 0;
}

static int close_crypto(vhost_backend_t *be, uint64_t id, void *opaque)
{
	(void)be;
	((struct back *)opaque)->closed = id;
	return id == 1234 ? 0 : -ENOENT;
}

static int set_gpu(vhost_backend_t *be, int fd, void *opaque)
{
	struct back *b = opaque;

	(void)be;
	if (b->gpu >= 0)
		close(b->gpu);
	b->gpu = fd;
	return 0;
}

static int get_object(vhost_backend_t *be, const uint8_t *uuid, void *opaque)
{
	struct back *b = opaque;

	(void)be;
	return uuid[0] == 1 ? fcntl(b->object, F_DUPFD_CLOEXEC, 0) : -ENOENT;
}

static const uint64_t shmem_sizes[] = { 0x10000 };

static void *run(void *opaque)
{
	struct back *b = opaque;

	for (;;) {
		struct pollfd p[3] = {
			{ .fd = vhost_backend_get_fd(b->be), .events = POLLIN },
			{ .fd = b->stop, .events = POLLIN },
			{ .fd = load_fd, .events = POLLIN },
		};

		poll(p, load_fd >= 0 ? 3 : 2, -1);
		if (p[1].revents)
			return NULL;
		pthread_mutex_lock(&b->lock);
		if (load_fd >= 0)
			go_on_loading(b);
		vhost_backend_process(b->be);
		pthread_mutex_unlock(&b->lock);
	}
}

static void back_init(struct back *b)
{
	memset(b, 0, sizeof(*b));
	b->gpu = b->object = -1;
	b->ops = (struct vhost_backend_ops){
		.device_id = 1, .max_queues = QUEUES, .features = F_IN_ORDER | F_MTU,
		.protocol_features = VHOST_USER_PROTOCOL_ALL & ~PF(XEN_MMAP),
		.config_size = sizeof(b->config), .shmem_sizes = shmem_sizes, .n_shmem_sizes = 1,
		.queue_ready = ready, .disconnected = gone, .reset = reset,
		.get_config = get_config, .set_config = set_config, .save_state = save_state,
		.load_state = load_state, .send_rarp = send_rarp, .set_mtu = set_mtu,
		.create_crypto_session = create_crypto, .close_crypto_session = close_crypto,
		.set_gpu_socket = set_gpu, .get_shared_object = get_object,
	};
}

/* The back-end, on its own thread; the front-end's end of the socket is returned. */
static int back_begin(struct back *b)
{
	int fds[2];

	ck_assert_int_eq(vhost_backend_new(&b->ops, sizeof(b->ops), b, &b->be), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(vhost_backend_attach_fd(b->be, fds[0]), 0);
	close(fds[0]);
	pthread_mutex_init(&b->lock, NULL);
	b->stop = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_eq(pthread_create(&b->thread, NULL, run, b), 0);
	b->running = true;
	return fds[1];
}

static void back_end(struct back *b)
{
	if (!b->running)
		return;
	eventfd_write(b->stop, 1);
	pthread_join(b->thread, NULL);
	vhost_backend_unref(b->be);
	close(b->stop);
	pthread_mutex_destroy(&b->lock);
	if (b->gpu >= 0)
		close(b->gpu);
	if (b->object >= 0)
		close(b->object);
	b->gpu = b->object = -1;
	b->be = NULL;
	b->running = false;
}

/* What is done with the back-end, from the test's thread. */
#define WITH(b, expr) do { \
	pthread_mutex_lock(&(b)->lock); \
	expr; \
	pthread_mutex_unlock(&(b)->lock); \
} while (0)

/* Wait for what its thread does; bounded. */
#define UNTIL(b, condition) do { \
	int tries_ = 0; \
	bool met_ = false; \
	while (!met_ && tries_++ < 10000) { \
		WITH(b, met_ = (condition)); \
		if (!met_) { \
			vhost_dev_process(dev); \
			usleep(1000); \
		} \
	} \
	ck_assert_msg(met_, "%s: %s", #condition, vhost_dev_error(dev)); \
} while (0)

/* ---------------------------------------------------------------- the front-end */

static struct leak leak;
static struct back back;
static vhost_dev_t *dev;
static vhost_mem_t *mem;
static vhost_virtq_t *vq[QUEUES];
static int config_changes, calls[QUEUES], misses, maps, notifiers, objects;
static int lookup_fd = -1;

static void on_config(vhost_dev_t *d, void *opaque)
{
	(void)d;
	(void)opaque;
	config_changes++;
}

static void on_call(vhost_dev_t *d, unsigned int index, void *opaque)
{
	(void)d;
	(void)opaque;
	calls[index]++;
}

static int on_miss(vhost_dev_t *d, uint64_t iova, uint32_t perm, struct vhost_iotlb_entry *ret,
		   void *opaque)
{
	(void)d;
	(void)opaque;
	(void)perm;	/* all that the range has: a later answer takes the place of this one */
	misses++;
	*ret = (struct vhost_iotlb_entry){ .iova = iova & ~0xfffull, .size = 0x1000,
					   .target = iova & ~0xfffull, .perm = 3 };
	return 0;
}

static void on_notifier(vhost_dev_t *d, unsigned int index, void *opaque)
{
	(void)d;
	(void)index;
	(void)opaque;
	notifiers++;
}

static void on_object(vhost_dev_t *d, const uint8_t *uuid, int added, void *opaque)
{
	(void)d;
	(void)uuid;
	(void)opaque;
	objects += added ? 1 : -1;
}

static int on_lookup(vhost_dev_t *d, const uint8_t *uuid, void *opaque)
{
	(void)d;
	(void)opaque;
	return uuid[0] == 5 ? fcntl(lookup_fd, F_DUPFD_CLOEXEC, 0) : -ENOENT;
}

static int on_shmem(vhost_dev_t *d, unsigned int id, int map, uint64_t offset, uint64_t size,
		    int fd, uint64_t fd_offset, int writable, void *opaque)
{
	(void)d;
	(void)id;
	(void)offset;
	(void)size;
	(void)fd;
	(void)fd_offset;
	(void)writable;
	(void)opaque;
	maps += map ? 1 : -1;
	return 0;
}

static const struct vhost_dev_events events = {
	.config_changed = on_config, .vring_call = on_call, .iotlb_miss = on_miss,
	.host_notifier = on_notifier, .shared_object = on_object, .shared_lookup = on_lookup,
	.shmem_map = on_shmem,
};

static void setup(void)
{
	leak = leak_begin();
	back_init(&back);
	config_changes = misses = maps = notifiers = objects = 0;
	memset(calls, 0, sizeof(calls));
}

static void teardown(void)
{
	unsigned int i;

	dev = vhost_dev_unref(dev);
	for (i = 0; i < QUEUES; i++)
		vq[i] = vhost_virtq_unref(vq[i]);
	mem = vhost_mem_unref(mem);
	back_end(&back);
	ck_assert_int_eq(leak_check(&leak), 0);
}

static void open_pair(uint64_t pf)
{
	struct vhost_dev_opts o = { .protocol_features = pf, .timeout_ms = 20000,
				    .events = &events, .events_size = sizeof(events) };
	int fd = back_begin(&back);

	OK(vhost_dev_open_fd(fd, &o, sizeof(o), &dev));
	close(fd);
}

static void start_pair(uint64_t features, uint32_t flags)
{
	struct vhost_virtq_opts o = { .size = SIZE, .features = features, .flags = flags };
	unsigned int i;

	OK(vhost_dev_set_features(dev, features));
	if (!mem)
		OK(vhost_mem_new(MEM_SIZE, 0, MEM_IOVA, &mem));
	OK(vhost_dev_mem_add_mem(dev, mem));
	for (i = 0; i < QUEUES; i++) {
		ck_assert_int_eq(vhost_virtq_new(mem, &o, sizeof(o), &vq[i]), 0);
		OK(vhost_dev_vq_attach(dev, i, vq[i]));
	}
	OK(vhost_dev_start(dev));
}

static uint8_t *buffers;

/* A request of @out and @in buffers, number @n of a queue. */
static void add(unsigned int queue, unsigned int n, unsigned int out, unsigned int in)
{
	struct vhost_sg sg[8];
	struct vhost_virtq_req req = { .sg = sg, .out = (uint16_t)out, .in = (uint16_t)in,
				       .cookie = (void *)(uintptr_t)(n + 1) };
	unsigned int i;

	ck_assert_uint_le(out + in, 8);
	if (!buffers)
		buffers = vhost_mem_alloc(mem, 0x100000, 4096);
	ck_assert_ptr_nonnull(buffers);
	for (i = 0; i < out + in; i++) {
		uint8_t *p = buffers + (queue * SIZE + n) * 0x2000 + i * 0x400;

		if (i < out)
			memset(p, (int)(n * 7 + i + queue + 1), 64);
		else
			memset(p, 0, 64);
		sg[i] = (struct vhost_sg){ vhost_mem_to_iova(mem, p), 64, 0 };
	}
	ck_assert_msg(vhost_virtq_add(vq[queue], &req, 1) == 1, "%s", vhost_virtq_error(vq[queue]));
}

static void check_echo(unsigned int queue, unsigned int n, unsigned int out, unsigned int in,
		       uint32_t len)
{
	unsigned int least = out < in ? out : in, i;
	uint8_t *p = buffers + (queue * SIZE + n) * 0x2000;

	ck_assert_uint_eq(len, 64 * least);
	for (i = 0; i < least; i++)
		ck_assert_mem_eq(p + (out + i) * 0x400, p + i * 0x400, 64);
}

/* @want completions of a queue, waited for. */
static void collect(unsigned int queue, unsigned int want, unsigned int out, unsigned int in)
{
	unsigned int have = 0, tries = 0;

	while (have < want) {
		struct vhost_virtq_done done[SIZE];
		int n = vhost_virtq_get(vq[queue], done, SIZE), i;

		ck_assert_msg(n >= 0, "%s", vhost_virtq_error(vq[queue]));
		for (i = 0; i < n; i++)
			check_echo(queue, (unsigned int)(uintptr_t)done[i].cookie - 1, out, in,
				   done[i].len);
		have += (unsigned int)n;
		if (!n) {
			vhost_dev_process(dev);
			usleep(500);
			ck_assert_msg(++tries < 20000, "%u of %u came back: %s / %s / %s", have, want,
				      vhost_dev_error(dev), vhost_backend_error(back.be),
				      vhost_vring_error(vhost_backend_get_vring(back.be, queue)));
		}
	}
}

static void traffic(unsigned int rounds)
{
	unsigned int r, q, i;

	for (r = 0; r < rounds; r++) {
		unsigned int out = 1 + r % 3, in = 1 + r / 3 % 2, n = SIZE / (out + in);

		for (q = 0; q < QUEUES; q++) {
			for (i = 0; i < n; i++)
				add(q, i, out, in);
			OK(vhost_dev_vq_kick(dev, q) < 0 ? -EIO : 0);
		}
		for (q = 0; q < QUEUES; q++)
			collect(q, n, out, in);
	}
}

static uint64_t ring_features(int i)
{
	return F_VERSION_1 | (i & 1 ? F_PACKED : 0) | (i & 2 ? F_INDIRECT : 0) |
	       (i & 4 ? F_EVENT_IDX : 0) | (i & 8 ? F_IN_ORDER : 0);
}

#define PF_ALL (VHOST_USER_PROTOCOL_ALL & ~PF(XEN_MMAP) & ~PF(INBAND_NOTIFICATIONS) & \
		~PF(GET_VRING_BASE_INFLIGHT) & ~PF(GPA_ADDRESSES))

/* ------------------------------------------------------------------------ rings */

/* _i: the format's bits; 16: the whole table instead of slots; 32: guest addresses */
START_TEST(requests_go_through_rings_of_every_format)
{
	uint64_t pf = PF_ALL;

	buffers = NULL;
	if (_i & 16)
		pf &= ~PF(CONFIGURE_MEM_SLOTS);
	if (_i & 32)
		pf |= PF(GPA_ADDRESSES);
	open_pair(pf);
	start_pair(ring_features(_i), _i & 2 ? VHOST_VIRTQ_INDIRECT : 0);
	traffic(12);
}
END_TEST

/* _i: the format's bits */
START_TEST(rings_go_on_after_suspending_and_stopping)
{
	int i;

	buffers = NULL;
	open_pair(PF_ALL);
	start_pair(ring_features(_i), 0);
	for (i = 0; i < 6; i++) {
		traffic(3);
		OK(vhost_dev_suspend(dev));
		add(0, 0, 1, 1);		/* made available meanwhile */
		OK(vhost_dev_resume(dev));
		collect(0, 1, 1, 1);
	}
	for (i = 0; i < 3; i++) {
		traffic(2);
		OK(vhost_dev_stop(dev));
		OK(vhost_dev_start(dev));
	}
	OK(vhost_dev_vq_enable(dev, 1, 0));
	add(1, 0, 1, 1);
	vhost_dev_vq_kick(dev, 1);
	OK(vhost_dev_vq_enable(dev, 1, 1));
	collect(1, 1, 1, 1);
	traffic(2);
}
END_TEST

static void was_suspended(vhost_dev_t *d, int status, void *opaque)
{
	(void)d;
	*(int *)opaque = status;
}

/* _i: packed or split */
START_TEST(suspending_waits_for_what_is_in_flight)
{
	int status = 1;
	uint32_t base;
	unsigned int i;

	buffers = NULL;
	open_pair(PF_ALL);
	start_pair(ring_features(_i), 0);
	WITH(&back, back.hold = true);
	for (i = 0; i < 3; i++)
		add(0, i, 1, 1);
	vhost_dev_vq_kick(dev, 0);
	UNTIL(&back, back.n_held == 3);
	OK(vhost_dev_begin(dev));
	OK(vhost_dev_suspend(dev));
	OK(vhost_dev_commit_async(dev, was_suspended, &status));
	for (i = 0; i < 20; i++) {
		vhost_dev_process(dev);
		usleep(1000);
	}
	ck_assert_int_eq(status, 1);
	WITH(&back, {
		vhost_vring_t *vr = vhost_backend_get_vring(back.be, 0);

		for (i = 0; i < 3; i++)
			complete(&back.held[i]);
		ck_assert_int_eq(vhost_vring_push(vr, back.held, 3), 0);
		back.n_held = 0;
		back.hold = false;
	});
	UNTIL(&back, status == 0);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_SUSPENDED);
	OK(vhost_dev_vq_get_base(dev, 0, &base));
	ck_assert_uint_eq(base, _i ? 0x80068006 : 3);
	collect(0, 3, 1, 1);
	OK(vhost_dev_resume(dev));
	traffic(2);
}
END_TEST

/* _i: packed or split */
START_TEST(addresses_that_are_not_translated_yet_are_asked_for)
{
	buffers = NULL;
	open_pair(PF_ALL);
	start_pair(ring_features(_i) | F_ACCESS_PLATFORM, 0);
	traffic(6);
	ck_assert_int_gt(misses, 0);
	OK(vhost_dev_iotlb_invalidate(dev, 0, 0, 0));
	traffic(3);
}
END_TEST

START_TEST(in_band_notifications_need_no_eventfds)
{
	unsigned int i;

	buffers = NULL;
	open_pair(PF_ALL | PF(INBAND_NOTIFICATIONS));
	start_pair(ring_features(0), VHOST_VIRTQ_NO_FDS);
	for (i = 0; i < 4; i++)
		add(0, i, 1, 1);
	ck_assert_int_ge(vhost_dev_vq_kick(dev, 0), 0);
	collect(0, 4, 1, 1);
	UNTIL(&back, calls[0] > 0);
}
END_TEST

/* --------------------------------------------------------------------- device */

START_TEST(config_changes_both_ways)
{
	uint8_t buf[32];
	int i;

	open_pair(PF_ALL);
	start_pair(F_VERSION_1, 0);
	WITH(&back, memcpy(back.config, "0123456789abcdef", 16));
	OK(vhost_dev_get_config(dev, 4, buf, 8));
	ck_assert_mem_eq(buf, "456789ab", 8);
	OK(vhost_dev_set_config(dev, 2, "xy", 2, 0));
	WITH(&back, ck_assert_mem_eq(back.config, "01xy4", 5));
	for (i = 1; i < 5; i++) {
		WITH(&back, ck_assert_int_eq(vhost_backend_config_changed(back.be), 0));
		UNTIL(&back, config_changes == i);
	}
	ck_assert_int_lt(vhost_dev_get_config(dev, 30, buf, 8), 0);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
}
END_TEST

START_TEST(status_and_reset_reach_the_device)
{
	uint8_t status;

	buffers = NULL;
	open_pair(PF_ALL);
	start_pair(F_VERSION_1, 0);
	OK(vhost_dev_get_status(dev, &status));
	WITH(&back, vhost_backend_needs_reset(back.be));
	OK(vhost_dev_get_status(dev, &status));
	ck_assert_int_eq(status & 64, 64);
	OK(vhost_dev_reset(dev));
	WITH(&back, ck_assert(back.reset));
	OK(vhost_dev_get_status(dev, &status));
	ck_assert_int_eq(status & 64, 0);
}
END_TEST

START_TEST(messages_of_one_device_class_arrive)
{
	static const uint8_t mac[6] = { 2, 4, 6, 8, 10, 12 }, one[16] = { 1 }, two[16] = { 2 };
	uint8_t desc[64] = { 1 };
	uint64_t id, size;
	int pair[2], fd;

	back.object = memfd_create("object", MFD_CLOEXEC);
	open_pair(PF_ALL);
	OK(vhost_dev_set_features(dev, F_VERSION_1 | F_MTU));
	OK(vhost_user_send_rarp(dev, mac));
	WITH(&back, ck_assert_mem_eq(back.mac, mac, 6));
	OK(vhost_user_set_mtu(dev, 9000));
	WITH(&back, ck_assert_uint_eq(back.mtu, 9000));
	OK(vhost_user_create_crypto_session(dev, desc, sizeof(desc), &id));
	ck_assert_uint_eq(id, 1234);
	OK(vhost_user_close_crypto_session(dev, id));
	WITH(&back, ck_assert_uint_eq(back.closed, 1234));
	desc[0] = 0xff;
	ck_assert_int_eq(vhost_user_create_crypto_session(dev, desc, sizeof(desc), &id),
			 -EREMOTEIO);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	OK(vhost_user_set_gpu_socket(dev, pair[0]));
	close(pair[0]);
	close(pair[1]);
	OK(vhost_user_get_shared_object(dev, one, &fd));
	close(fd);
	ck_assert_int_eq(vhost_user_get_shared_object(dev, two, &fd), -ENOENT);
	OK(vhost_user_get_shmem_size(dev, 0, &size));
	ck_assert_uint_eq(size, 0x10000);
	OK(vhost_user_get_shmem_size(dev, 1, &size));
	ck_assert_uint_eq(size, 0);
	OK(vhost_user_reset_owner(dev));
}
END_TEST

static int done_calls, done_status, done_fd;

static void done(vhost_backend_t *be, int status, int fd, void *opaque)
{
	(void)be;
	(void)opaque;
	done_status = status;
	done_fd = fd;
	done_calls++;
}

START_TEST(requests_of_the_back_end_are_carried_out)
{
	static const uint8_t uuid[16] = { 5 }, unknown[16] = { 6 };
	int file = memfd_create("file", MFD_CLOEXEC), n = 0;
	size_t size;
	void *page;

	ck_assert_int_eq(ftruncate(file, 0x10000), 0);
	lookup_fd = file;
	done_calls = 0;
	open_pair(PF_ALL);
	start_pair(F_VERSION_1, 0);
	OK(vhost_user_set_shmem(dev, 0, NULL, 0x10000));
#define ASK(expr, status) do { \
	WITH(&back, ck_assert_msg((expr) == 0, "%s", vhost_backend_error(back.be))); \
	n++; \
	UNTIL(&back, done_calls == n); \
	ck_assert_msg(done_status == (status), "%s: %d", #expr, done_status); \
} while (0)
	ASK(vhost_backend_set_host_notifier(back.be, 1, file, 0, 4096, done, NULL), 0);
	ck_assert_int_eq(notifiers, 1);
	OK(vhost_user_get_host_notifier(dev, 1, &page, &size));
	ck_assert_uint_eq(size, 4096);
	ASK(vhost_backend_set_host_notifier(back.be, 1, -1, 0, 0, done, NULL), 0);
	ck_assert_int_eq(vhost_user_get_host_notifier(dev, 1, &page, &size), -ENOENT);
	ASK(vhost_backend_add_shared_object(back.be, uuid, done, NULL), 0);
	ck_assert_int_eq(objects, 1);
	ASK(vhost_backend_remove_shared_object(back.be, uuid, done, NULL), 0);
	ck_assert_int_eq(objects, 0);
	ASK(vhost_backend_lookup_shared_object(back.be, uuid, done, NULL), 0);
	ck_assert_int_ge(done_fd, 0);
	close(done_fd);
	ASK(vhost_backend_lookup_shared_object(back.be, unknown, done, NULL), -EREMOTEIO);
	ASK(vhost_backend_shmem_map(back.be, 0, 0x1000, 0x2000, file, 0, 1, done, NULL), 0);
	ck_assert_int_eq(maps, 1);
	ASK(vhost_backend_shmem_unmap(back.be, 0, 0x1000, 0x2000, done, NULL), 0);
	ck_assert_int_eq(maps, 0);
#undef ASK
	close(file);
}
END_TEST

START_TEST(state_is_saved_and_loaded_over_a_pipe)
{
	void *state;
	size_t size, i;

	open_pair(PF_ALL);
	start_pair(F_VERSION_1, 0);
	OK(vhost_dev_suspend(dev));
	WITH(&back, {
		for (i = 0; i < sizeof(back.state); i++)
			back.state[i] = (char)(i * 31);
		back.state_len = sizeof(back.state) - 5;
	});
	OK(vhost_dev_device_state_save(dev, 1 << 20, &state, &size));
	ck_assert_uint_eq(size, sizeof(back.state) - 5);
	ck_assert_mem_eq(state, back.state, size);
	WITH(&back, memset(back.state, 0, sizeof(back.state)));
	/* the transfer is late: its end is waited for */
	OK(vhost_dev_device_state_load(dev, state, size));
	WITH(&back, ck_assert_uint_eq(back.state_len, size));
	ck_assert_mem_eq(back.state, state, size);
	free(state);
	OK(vhost_dev_resume(dev));
}
END_TEST

/* ------------------------------------------------------------------- migration */

/* _i: packed or split */
START_TEST(every_page_that_changes_under_traffic_is_logged)
{
	size_t pages = MEM_SIZE / 4096, words, i;
	uint64_t *bits, dirty;
	uint8_t *before = malloc(MEM_SIZE);
	unsigned int round;

	buffers = NULL;
	open_pair(PF_ALL);
	start_pair(ring_features(_i), 0);
	traffic(2);
	words = vhost_dev_log_get_size(dev) / 262144;
	for (round = 0; round < 3; round++) {
		uint64_t first = 0;

		OK(vhost_dev_log_start(dev));
		words = (size_t)(vhost_dev_log_get_size(dev) / 262144);
		ck_assert_uint_ge(words * 64, (MEM_IOVA + MEM_SIZE) / 4096);
		bits = calloc(words, 8);
		memcpy(before, vhost_mem_addr(mem), MEM_SIZE);
		traffic(3 + round);
		OK(vhost_dev_log_collect(dev, first, bits, words, &dirty));
		ck_assert_uint_gt(dirty, 0);
		for (i = 0; i < pages; i++) {
			size_t page = MEM_IOVA / 4096 + i;
			const uint8_t *now = (const uint8_t *)vhost_mem_addr(mem) + i * 4096;
			bool marked = bits[page / 64] >> page % 64 & 1;
			size_t k;

			if (marked || !memcmp(before + i * 4096, now, 4096))
				continue;
			/* what changed here is the driver's: rings, and what is to be read */
			for (k = 0; k < 4096; k++)
				if (before[i * 4096 + k] != now[k])
					break;
			ck_assert_msg(buffers > now + 4095 || now >= buffers + 0x100000 ||
				      k % 0x400 < 64, "page %zu changed and is not marked", i);
		}
		/* each buffer that was written is in a page that is marked */
		for (i = 0; i < SIZE / 2; i++) {
			size_t page = (size_t)(vhost_mem_to_iova(mem, buffers + i * 0x2000 + 0x400) /
					       4096);

			if (round == 0)
				ck_assert_msg(bits[page / 64] >> page % 64 & 1,
					      "the buffer of request %zu is not marked", i);
		}
		free(bits);
		OK(vhost_dev_log_stop(dev));
	}
	free(before);
}
END_TEST

/* _i: 1 packed; 2: what is in flight is in the record, and its base is not waited for */
START_TEST(what_was_in_flight_is_done_after_a_reconnection)
{
	unsigned int i;
	int fd;

	buffers = NULL;
	open_pair(PF_ALL);
	OK(vhost_dev_set_features(dev, ring_features(_i & 1)));
	OK(vhost_dev_inflight_enable(dev, QUEUES, SIZE));
	start_pair(ring_features(_i & 1), 0);
	traffic(2);
	WITH(&back, back.hold = true);
	for (i = 0; i < 5; i++)
		add(0, i, 1, 1);
	vhost_dev_vq_kick(dev, 0);
	UNTIL(&back, back.n_held == 5);
	WITH(&back, {
		vhost_vring_t *vr = vhost_backend_get_vring(back.be, 0);

		complete(&back.held[2]);
		ck_assert_int_eq(vhost_vring_push(vr, &back.held[2], 1), 0);
	});
	back_end(&back);		/* killed */
	for (i = 0; i < 1000 && vhost_dev_get_state(dev) != VHOST_DEV_CLOSED; i++) {
		vhost_dev_process(dev);
		usleep(1000);
	}
	back_init(&back);
	fd = back_begin(&back);
	OK(vhost_dev_reconnect_fd(dev, fd, 0));
	close(fd);
	collect(0, 5, 1, 1);
	traffic(4);
}
END_TEST

/* _i: which of the memories comes late */
START_TEST(memory_arrives_by_postcopy)
{
	uint64_t base;
	int uffd, r;

	open_pair(PF_ALL);
	r = vhost_user_postcopy_advise(dev, &uffd);
	if (r == -ENOTSUP || r == -EREMOTEIO) {
		printf("postcopy: not tested: this process may not use userfaultfd\n");
		return;
	}
	OK(r);
	OK(vhost_user_postcopy_listen(dev));
	OK(vhost_mem_new(MEM_SIZE, 0, MEM_IOVA, &mem));
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(vhost_user_postcopy_get_base(dev, MEM_IOVA, &base));
	ck_assert_uint_ne(base, 0);
	OK(vhost_user_postcopy_end(dev));
	close(uffd);
}
END_TEST

/* ------------------------------------------------------------------------- many */

START_TEST(many_pairs_live_in_one_process)
{
	static struct back backs[24];
	vhost_dev_t *devs[24];
	struct vhost_dev_opts o = { .timeout_ms = 20000 };
	unsigned int i;
	uint64_t features;

	for (i = 0; i < 24; i++) {
		int fd;

		back_init(&backs[i]);
		fd = back_begin(&backs[i]);
		OK(vhost_dev_open_fd(fd, &o, sizeof(o), &devs[i]));
		close(fd);
	}
	for (i = 0; i < 24; i++)
		OK(vhost_dev_get_features(devs[i], &features));
	for (i = 0; i < 24; i++) {
		vhost_dev_unref(devs[i]);
		back_end(&backs[i]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pair");
	TCase *tc = tcase_create("rings");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(s, tc);
	tcase_add_loop_test(tc, requests_go_through_rings_of_every_format, 0, 64);
	tcase_add_loop_test(tc, rings_go_on_after_suspending_and_stopping, 0, 16);
	tcase_add_loop_test(tc, suspending_waits_for_what_is_in_flight, 0, 2);
	tcase_add_loop_test(tc, addresses_that_are_not_translated_yet_are_asked_for, 0, 2);
	tcase_add_test(tc, in_band_notifications_need_no_eventfds);

	tc = tcase_create("device");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(s, tc);
	tcase_add_test(tc, config_changes_both_ways);
	tcase_add_test(tc, status_and_reset_reach_the_device);
	tcase_add_test(tc, messages_of_one_device_class_arrive);
	tcase_add_test(tc, requests_of_the_back_end_are_carried_out);
	tcase_add_test(tc, state_is_saved_and_loaded_over_a_pipe);
	tcase_add_loop_test(tc, every_page_that_changes_under_traffic_is_logged, 0, 2);
	tcase_add_loop_test(tc, what_was_in_flight_is_done_after_a_reconnection, 0, 2);
	tcase_add_test(tc, memory_arrives_by_postcopy);
	tcase_add_test(tc, many_pairs_live_in_one_process);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
