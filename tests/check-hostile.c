/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * Back-ends that lie. Each is a socket into which its answers are written before the
 * call that they are for: requests do not block, and answers are taken in order, so one
 * thread plays both sides and no test can hang for longer than the device's deadline.
 * Descriptors and mappings are counted before and after each.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <vhost/vhost.h>

#include "leak.h"
#include "proto/vu-wire.h"

#define OK_FLAGS (VU_VERSION | VU_REPLY)
#define F_VERSION_1 (1ULL << 32)
#define F_ACCESS_PLATFORM (1ULL << 33)
#define F_RING_PACKED (1ULL << 34)
#define PF(name) VHOST_USER_PF_BIT(VHOST_USER_PF_##name)
#define TIMEOUT 150

static struct leak before;
static vhost_dev_t *dev;
static vhost_mem_t *mem;
static int peer = -1;		/* the back-end's end of the main socket */
static int chan = -1;		/* and of the channel for its own requests */
static uint64_t features, pf, n_queues, n_slots;
static uint32_t when_sent;	/* the request that is acknowledged once it is sent */

static int n_closed, n_config, n_notifier, n_object, n_shmem, n_fault, n_call, n_done;

/* -------------------------------------------------------------------- the liar */

static void put_fds(int fd, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
		    uint32_t said, const int *fds, unsigned int n_fds)
{
	struct vu_header hdr = { .request = request, .flags = flags, .size = said };
	struct iovec iov[2] = { { &hdr, sizeof(hdr) }, { (void *)payload, size } };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(64 * sizeof(int))];
	} control;
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = size ? 2 : 1 };

	if (n_fds) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, n_fds * sizeof(int));
	}
	ck_assert_int_eq(sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT),
			 (ssize_t)(sizeof(hdr) + size));
}

static void put(uint32_t request, uint32_t flags, const void *payload, uint32_t size)
{
	put_fds(peer, request, flags, payload, size, size, NULL, 0);
}

static void say(uint32_t request, uint64_t value)
{
	put(request, OK_FLAGS, &value, sizeof(value));
}

/* A request of the back-end's own. */
static void ask_fds(uint32_t request, const void *payload, uint32_t size, const int *fds,
		    unsigned int n_fds)
{
	put_fds(chan, request, VU_VERSION | VU_NEED_REPLY, payload, size, size, fds, n_fds);
}

static void ask(uint32_t request, const void *payload, uint32_t size)
{
	ask_fds(request, payload, size, NULL, 0);
}

/* What was answered to it: the value, or -1 if nothing was. */
static int64_t answered(void)
{
	struct {
		struct vu_header hdr;
		uint64_t value;
	} __attribute__((packed)) m;

	if (recv(chan, &m, sizeof(m), MSG_DONTWAIT) != sizeof(m))
		return -1;
	ck_assert_uint_eq(m.hdr.flags, OK_FLAGS);
	ck_assert_uint_eq(m.hdr.size, 8);
	return (int64_t)m.value;
}

/* Read the socket empty. Returns how many requests of that kind there were. */
static unsigned int drain(uint32_t wanted, void *ret_payload, size_t size)
{
	unsigned int n = 0;

	for (;;) {
		union {
			struct cmsghdr align;
			char buf[CMSG_SPACE(8 * sizeof(int))];
		} control;
		uint8_t payload[VU_MAX_PAYLOAD];
		struct vu_header hdr;
		struct iovec iov = { &hdr, sizeof(hdr) };
		struct msghdr mh = {
			.msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = &control, .msg_controllen = sizeof(control),
		};
		struct cmsghdr *c;

		if (recvmsg(peer, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof(hdr))
			return n;
		for (c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c)) {
			size_t i, n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

			for (i = 0; i < n_fds; i++) {
				int fd;

				memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
				if (hdr.request == VU_SET_BACKEND_REQ_FD && chan < 0)
					chan = fd;
				else
					close(fd);
			}
		}
		if (hdr.size)
			ck_assert_int_eq(recv(peer, payload, hdr.size, MSG_DONTWAIT),
					 (ssize_t)hdr.size);
		if (hdr.request != wanted)
			continue;
		n++;
		if (ret_payload)
			memcpy(ret_payload, payload, size);
	}
}

static void on_closed(vhost_dev_t *d, int status, void *opaque)
{
	(void)d, (void)opaque;
	ck_assert_int_lt(status, 0);
	n_closed++;
}

static void on_done(vhost_dev_t *d, int status, void *opaque)
{
	(void)d, (void)status, (void)opaque;
	n_done++;
}

static void on_config(vhost_dev_t *d, void *opaque)
{
	(void)d, (void)opaque;
	n_config++;
}

static void on_notifier(vhost_dev_t *d, unsigned int index, void *opaque)
{
	(void)d, (void)index, (void)opaque;
	n_notifier++;
}

static void on_object(vhost_dev_t *d, const uint8_t *uuid, int added, void *opaque)
{
	(void)d, (void)uuid, (void)opaque;
	n_object += added ? 1 : -1;
}

static int on_shmem(vhost_dev_t *d, unsigned int id, int map, uint64_t offset, uint64_t size,
		    int fd, uint64_t fd_offset, int writable, void *opaque)
{
	(void)d, (void)id, (void)offset, (void)size, (void)fd, (void)fd_offset, (void)writable;
	(void)opaque;
	n_shmem += map ? 1 : -1;
	return 0;
}

static void on_fault(vhost_dev_t *d, uint64_t iova, uint32_t perm, void *opaque)
{
	(void)d, (void)iova, (void)perm, (void)opaque;
	n_fault++;
}

static void on_call(vhost_dev_t *d, unsigned int index, void *opaque)
{
	(void)d, (void)opaque;
	ck_assert_uint_lt(index, 256);
	n_call++;
}

static const struct vhost_dev_events events = {
	.closed = on_closed, .config_changed = on_config, .host_notifier = on_notifier,
	.shared_object = on_object, .shmem_map = on_shmem, .iotlb_fault = on_fault,
	.vring_call = on_call, .vring_error = on_call,
};

static void quiet_trace(const struct vhost_trace_event *event, void *opaque)
{
	char line[512];

	(void)opaque;
	vhost_trace_format(event, line, sizeof(line));
	if (event->channel != VHOST_TRACE_MAIN || event->direction != VHOST_TRACE_SENT ||
	    event->request != when_sent)
		return;
	if (when_sent == VU_GET_VRING_BASE) {
		/* a start is taken back: it was disabled before */
		uint64_t base = 0;

		say(VU_SET_VRING_ENABLE, 0);
		say(VU_GET_VRING_BASE, base);
	} else {
		say(when_sent, 0);
	}
}

static struct vhost_dev_opts options(void)
{
	return (struct vhost_dev_opts){
		.timeout_ms = TIMEOUT, .protocol_features = VHOST_USER_PROTOCOL_ALL,
		.events = &events, .events_size = sizeof(events), .trace = quiet_trace,
	};
}

/* What a back-end says while it is connected to. */
static void greet(void)
{
	say(VU_GET_FEATURES, features);
	if (!(features & VU_F_PROTOCOL_FEATURES))
		return;
	say(VU_GET_PROTOCOL_FEATURES, pf);
	if (pf & PF(MQ))
		say(VU_GET_QUEUE_NUM, n_queues);
	if (pf & PF(CONFIGURE_MEM_SLOTS))
		say(VU_GET_MAX_MEM_SLOTS, n_slots);
	if (pf & PF(BACKEND_REQ) && pf & PF(REPLY_ACK))
		say(VU_SET_BACKEND_REQ_FD, 0);
	if (!(pf & (PF(MQ) | PF(CONFIGURE_MEM_SLOTS) | PF(BACKEND_REQ))))
		say(VU_GET_FEATURES, features);
}

static int pair(void)
{
	int s[2];

	if (peer >= 0)
		close(peer);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	peer = s[1];
	return s[0];
}

static int connect_now(void)
{
	struct vhost_dev_opts o = options();
	int fd = pair(), r;

	greet();
	r = vhost_dev_open_fd(fd, &o, sizeof(o), &dev);
	close(fd);
	if (r >= 0) {
		uint64_t value;

		/* what was learnt while connecting is given once without asking */
		ck_assert_int_eq(vhost_dev_get_features(dev, &value), 0);
		drain(0, NULL, 0);
	}
	return r;
}

static void up(void)
{
	ck_assert_msg(connect_now() == 0, "%s", vhost_last_error());
}

static void give_memory(void)
{
	ck_assert_int_eq(vhost_mem_new(65536, 0, 0x10000, &mem), 0);
	say(VU_ADD_MEM_REG, 0);
	ck_assert_msg(vhost_dev_mem_add_mem(dev, mem) == 0, "%s", vhost_dev_error(dev));
}

static void describe_queue(unsigned int index)
{
	struct vhost_vq_config c = {
		.size = 8, .desc = 0x10000 + 0x3000 * index, .driver = 0x11000 + 0x3000 * index,
		.device = 0x12000 + 0x3000 * index, .kick_fd = -1, .call_fd = -1, .err_fd = -1,
	};

	ck_assert_msg(vhost_dev_vq_setup(dev, index, &c, sizeof(c)) == 0, "%s",
		      vhost_dev_error(dev));
}

/* The acknowledgements of a start with one queue, in order. */
static const uint32_t start_requests[] = {
	VU_SET_VRING_NUM, VU_SET_VRING_BASE, VU_SET_VRING_ADDR, VU_SET_VRING_CALL,
	VU_SET_VRING_KICK, VU_SET_VRING_ENABLE,
};

static void say_base(unsigned int index, uint32_t num)
{
	struct vu_vring_state state = { index, num };

	put(VU_GET_VRING_BASE, OK_FLAGS, &state, sizeof(state));
}

static void start(void)
{
	unsigned int i;

	for (i = 0; i < sizeof(start_requests) / sizeof(start_requests[0]); i++)
		say(start_requests[i], 0);
	ck_assert_msg(vhost_dev_start(dev) == 0, "%s", vhost_dev_error(dev));
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
}

/* The connection is closed for that, with a sentence, and the device can be used again. */
static void must_close(int r, int want, int kind)
{
	ck_assert_msg(r == want, "%d instead of %d: %s", r, want, vhost_dev_error(dev));
	ck_assert_int_eq(vhost_dev_error_kind(dev), kind);
	ck_assert_str_ne(vhost_dev_error(dev), "");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_CLOSED);
	ck_assert_int_eq(n_closed, 1);
}

static void must_break(int r)
{
	must_close(r, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL);
}

/* Refused, and the connection goes on. */
static void must_refuse(int r, int want)
{
	uint64_t value;

	ck_assert_msg(r == want, "%d instead of %d: %s", r, want, vhost_dev_error(dev));
	ck_assert_str_ne(vhost_dev_error(dev), "");
	ck_assert_int_ne(vhost_dev_get_state(dev), VHOST_DEV_CLOSED);
	say(VU_GET_FEATURES, features);
	ck_assert_int_eq(vhost_dev_get_features(dev, &value), 0);
}

static int make_memfd(off_t size)
{
	int fd = memfd_create("liar", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	return fd;
}

static void setup(void)
{
	before = leak_begin();
	dev = NULL;
	mem = NULL;
	peer = chan = -1;
	when_sent = 0;
	features = F_VERSION_1 | VU_F_PROTOCOL_FEATURES | VU_F_LOG_ALL | F_ACCESS_PLATFORM |
		   F_RING_PACKED;
	pf = VHOST_USER_PROTOCOL_DEFAULT & ~PF(STATUS);
	n_queues = 4;
	n_slots = 32;
	n_closed = n_config = n_notifier = n_object = n_shmem = n_fault = n_call = n_done = 0;
}

static void teardown(void)
{
	vhost_dev_unref(dev);
	vhost_mem_unref(mem);
	if (peer >= 0)
		close(peer);
	if (chan >= 0)
		close(chan);
	ck_assert_int_eq(leak_check(&before), 0);
}

/* ---------------------------------------------------------------------- B1 to B5 */

START_TEST(B1_reply_of_another_type_closes)
{
	uint64_t value = 99;

	up();
	say(VU_GET_QUEUE_NUM, 4);
	must_break(vhost_dev_get_features(dev, &value));
	ck_assert_uint_eq(value, 99);
}
END_TEST

START_TEST(B1_second_reply_is_not_taken_for_the_next_request)
{
	uint64_t value = 99;

	up();
	say(VU_GET_FEATURES, features);
	say(VU_GET_FEATURES, 1);
	ck_assert_int_eq(vhost_dev_get_features(dev, &value), 0);
	ck_assert_uint_eq(value, features & ~(VU_F_PROTOCOL_FEATURES | VU_F_LOG_ALL));
	must_break(vhost_dev_get_features(dev, &value));
}
END_TEST

START_TEST(B1_unsolicited_reply_closes)
{
	up();
	say(VU_GET_FEATURES, features);
	must_break(vhost_dev_process(dev));
}
END_TEST

START_TEST(B1_reply_after_the_deadline_is_nobodys)
{
	uint64_t value = 99;
	int fd;

	up();
	must_close(vhost_dev_get_features(dev, &value), -ETIMEDOUT, VHOST_ERR_DEADLINE);
	/* the socket it would come on is gone; a new one starts with nothing owed */
	fd = pair();
	greet();
	ck_assert_int_eq(vhost_dev_reconnect_fd(dev, fd, 0), 0);
	close(fd);
	say(VU_SET_FEATURES, 0);
	ck_assert_int_eq(vhost_dev_set_features(dev, F_VERSION_1), 0);
}
END_TEST

static const uint32_t bad_sizes[] = { 0, 1, 7, 9, 16, 4096 };

START_TEST(B2_reply_of_another_size_closes)
{
	static const uint8_t bytes[4096];
	uint64_t value = 99;

	up();
	put(VU_GET_FEATURES, OK_FLAGS, bytes, bad_sizes[_i]);
	must_break(vhost_dev_get_features(dev, &value));
	ck_assert_uint_eq(value, 99);
}
END_TEST

static const uint32_t huge_sizes[] = { 4609, 65536, 0x7fffffff, 0xffffffff };

START_TEST(B2_reply_that_says_it_is_huge_closes)
{
	uint64_t value = 99;

	up();
	put_fds(peer, VU_GET_FEATURES, OK_FLAGS, &value, 8, huge_sizes[_i], NULL, 0);
	must_break(vhost_dev_get_features(dev, &value));
}
END_TEST

START_TEST(B2_acknowledgement_of_another_size_closes)
{
	static const uint8_t bytes[4096];

	up();
	put(VU_SET_FEATURES, OK_FLAGS, bytes, bad_sizes[_i]);
	must_break(vhost_dev_set_features(dev, F_VERSION_1));
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), 0);
}
END_TEST

/* Every reply of a row of the table, shorter and longer than it can be. */
START_TEST(B2_no_reply_of_garbage_is_believed)
{
	uint8_t bytes[64], uuid[16] = { 0 };
	uint64_t out = 99, size = (uint64_t)_i;
	uint8_t status = 99, config[4];
	int fd = -1, r;
	unsigned int which;

	memset(bytes, 0xee, sizeof(bytes));
	pf |= PF(STATUS) | PF(SHMEM);
	for (which = 0; which < 9; which++) {
		static const uint32_t requests[] = {
			VU_GET_STATUS, VU_GET_CONFIG, VU_CREATE_CRYPTO_SESSION, VU_POSTCOPY_ADVISE,
			VU_GET_INFLIGHT_FD, VU_GET_SHARED_OBJECT, VU_SET_DEVICE_STATE_FD,
			VU_CHECK_DEVICE_STATE, VU_GET_SHMEM_CONFIG,
		};

		up();
		n_closed = 0;
		put(requests[which], OK_FLAGS, bytes, (uint32_t)size);
		switch (requests[which]) {
		case VU_GET_STATUS:
			r = vhost_dev_get_status(dev, &status);
			break;
		case VU_GET_CONFIG:
			r = vhost_dev_get_config(dev, 0, config, sizeof(config));
			break;
		case VU_CREATE_CRYPTO_SESSION:
			r = vhost_user_create_crypto_session(dev, bytes, 64, &out);
			break;
		case VU_POSTCOPY_ADVISE:
			r = vhost_user_postcopy_advise(dev, &fd);
			break;
		case VU_GET_INFLIGHT_FD:
			r = vhost_dev_inflight_enable(dev, 1, 8);
			break;
		case VU_GET_SHARED_OBJECT:
			r = vhost_user_get_shared_object(dev, uuid, &fd);
			break;
		case VU_SET_DEVICE_STATE_FD:
			r = vhost_dev_device_state_fd(dev, VHOST_DEVICE_STATE_SAVE, peer, &fd);
			break;
		case VU_CHECK_DEVICE_STATE:
			r = vhost_dev_device_state_check(dev);
			break;
		default:
			r = vhost_user_get_shmem_size(dev, 0, &out);
			break;
		}
		ck_assert_msg(r == -EPROTO || r == -EREMOTEIO || r == -ENOENT, "%u: %d: %s",
			      requests[which], r, vhost_dev_error(dev));
		ck_assert_str_ne(vhost_dev_error(dev), "");
		ck_assert_int_eq(n_closed, r == -EPROTO);
		ck_assert_uint_eq(out, 99);
		ck_assert_uint_eq(status, 99);
		ck_assert_int_eq(fd, -1);
		dev = vhost_dev_unref(dev);
		close(chan);
		chan = -1;
	}
}
END_TEST

static const struct {
	uint32_t flags;
	bool taken;
} flags[] = {
	{ OK_FLAGS, true },
	{ OK_FLAGS | VU_NEED_REPLY, true },	/* echoed by back-ends that copy the header */
	{ OK_FLAGS | 0xfffffff0, true },	/* reserved: ignored */
	{ VU_REPLY, false },
	{ VU_REPLY | 2, false },
	{ VU_REPLY | 3, false },
	{ VU_VERSION, false },
	{ VU_VERSION | VU_NEED_REPLY, false },
	{ 0, false },
};

START_TEST(B3_version_and_reply_flag_are_required_and_the_rest_tolerated)
{
	uint64_t value = 99;

	up();
	put(VU_GET_FEATURES, flags[_i].flags, &features, sizeof(features));
	if (flags[_i].taken) {
		ck_assert_int_eq(vhost_dev_get_features(dev, &value), 0);
	} else {
		must_break(vhost_dev_get_features(dev, &value));
		ck_assert_uint_eq(value, 99);
	}
}
END_TEST

static const unsigned int fd_counts[] = { 1, 2, 8, 9, 32, 33, 64 };

START_TEST(B4_descriptors_on_a_reply_that_has_none_are_closed)
{
	uint64_t value = 99;
	int fds[64];
	unsigned int i;

	up();
	for (i = 0; i < 64; i++)
		fds[i] = peer;
	put_fds(peer, VU_GET_FEATURES, OK_FLAGS, &features, 8, 8, fds, fd_counts[_i]);
	must_break(vhost_dev_get_features(dev, &value));
	ck_assert_uint_eq(value, 99);
}
END_TEST

START_TEST(B4_two_descriptors_where_one_belongs_are_closed)
{
	uint8_t uuid[16] = { 0 };
	int fd = -1, fds[2];

	up();
	fds[0] = fds[1] = peer;
	put_fds(peer, VU_GET_SHARED_OBJECT, OK_FLAGS, NULL, 0, 0, fds, 2);
	must_break(vhost_user_get_shared_object(dev, uuid, &fd));
	ck_assert_int_eq(fd, -1);
}
END_TEST

START_TEST(B4_descriptors_in_the_middle_of_a_message_are_closed)
{
	uint64_t value = 99;
	struct vu_header hdr = { VU_GET_FEATURES, OK_FLAGS, 8 };
	/* the last bytes of the payload travel with the descriptor */
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { .align = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
				 .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { &features, 8 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			     .msg_controllen = sizeof(control) };

	up();
	memcpy(CMSG_DATA(&control.align), &peer, sizeof(peer));
	ck_assert_int_eq(send(peer, &hdr, sizeof(hdr), 0), sizeof(hdr));
	ck_assert_int_eq(sendmsg(peer, &mh, 0), 8);
	must_break(vhost_dev_get_features(dev, &value));
}
END_TEST

START_TEST(B4_missing_descriptor_is_a_refusal)
{
	uint8_t uuid[16] = { 0 };
	int fd = -1;

	up();
	put(VU_GET_SHARED_OBJECT, OK_FLAGS, NULL, 0);
	must_refuse(vhost_user_get_shared_object(dev, uuid, &fd), -ENOENT);
	ck_assert_int_eq(fd, -1);
}
END_TEST

START_TEST(B5_unknown_features_are_never_sent_back)
{
	uint64_t sent = 0, acked, all = ~0ULL;

	features = all;
	pf = all;
	up();
	ck_assert_int_eq(vhost_user_get_protocol_features(dev, &sent, &acked), 0);
	ck_assert_uint_eq(acked & ~VHOST_USER_PROTOCOL_ALL, 0);
	say(VU_SET_FEATURES, 0);
	ck_assert_int_eq(vhost_dev_set_features(dev, F_VERSION_1), 0);
	ck_assert_uint_eq(drain(VU_SET_FEATURES, &sent, 8), 1);
	ck_assert_uint_eq(sent, F_VERSION_1 | VU_F_PROTOCOL_FEATURES);
}
END_TEST

/* --------------------------------------------------------------------- B6 to B9 */

START_TEST(B6_no_queues_is_an_error)
{
	n_queues = 0;
	ck_assert_int_eq(connect_now(), -EPROTO);
	ck_assert_str_ne(vhost_last_error(), "");
	ck_assert_ptr_null(dev);
}
END_TEST

START_TEST(B6_endless_queues_and_slots_are_clamped)
{
	uint64_t value;

	n_queues = n_slots = _i ? UINT64_MAX : 1ULL << 63;
	up();
	ck_assert_int_eq(vhost_dev_get_cap(dev, VHOST_CAP_MAX_QUEUES, &value), 0);
	ck_assert_uint_eq(value, 256);
	ck_assert_int_eq(vhost_dev_get_cap(dev, VHOST_CAP_MAX_MEM_REGIONS, &value), 0);
	ck_assert_uint_le(value, 65536);
	ck_assert_uint_ge(value, 509);
}
END_TEST

START_TEST(B6_no_slots_means_the_table)
{
	uint64_t value;

	n_slots = 0;
	up();
	ck_assert_int_eq(vhost_dev_get_cap(dev, VHOST_CAP_MAX_MEM_REGIONS, &value), 0);
	ck_assert_uint_eq(value, 8);
	ck_assert_int_eq(vhost_mem_new(65536, 0, 0x10000, &mem), 0);
	say(VU_SET_MEM_TABLE, 0);
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
}
END_TEST

static const struct {
	uint32_t offset, size, bytes;
	int result;
} configs[] = {
	{ 4, 8, 8, 0 },
	{ 4, 4, 4, -EPROTO },
	{ 4, 16, 16, -EPROTO },
	{ 4, 16, 8, -EPROTO },
	{ 4, 8, 4, -EPROTO },
	{ 0, 8, 8, -EPROTO },
	{ 4, 0, 8, -EPROTO },
	{ 0xfffffffc, 8, 8, -EPROTO },
	{ 4, 0xffffffff, 8, -EPROTO },
	{ 4, 8, 4096, -EPROTO },
	{ 4, 0, 0, -EREMOTEIO },
};

START_TEST(B7_config_reply_of_another_range_is_refused)
{
	struct {
		struct vu_config head;
		uint8_t data[4096];
	} reply = { .head = { .offset = configs[_i].offset, .size = configs[_i].size } };
	uint8_t buf[8] = { 77 };

	memset(reply.data, 5, sizeof(reply.data));
	up();
	put(VU_GET_CONFIG, OK_FLAGS, &reply, (uint32_t)sizeof(reply.head) + configs[_i].bytes);
	if (configs[_i].result == -EPROTO)
		must_break(vhost_dev_get_config(dev, 4, buf, 8));
	else if (configs[_i].result)
		must_refuse(vhost_dev_get_config(dev, 4, buf, 8), configs[_i].result);
	else
		ck_assert_int_eq(vhost_dev_get_config(dev, 4, buf, 8), 0);
	ck_assert_int_eq(buf[0], configs[_i].result ? 77 : 5);
}
END_TEST

START_TEST(B7_config_reply_without_payload_is_a_refusal)
{
	uint8_t buf[8];

	up();
	put(VU_GET_CONFIG, OK_FLAGS, NULL, 0);
	must_refuse(vhost_dev_get_config(dev, 4, buf, 8), -EREMOTEIO);
}
END_TEST

static const struct {
	bool packed;
	uint32_t index, num;
} bases[] = {
	{ false, 1, 0 }, { false, 0x100, 0 }, { false, 0xffffffff, 0 },
	{ false, 0, 0x10000 }, { false, 0, 0xffffffff }, { false, 0, 0x80000000 },
	{ true, 0, 8 }, { true, 0, 0x80008 }, { true, 0, 0x00088000 }, { true, 0, 0x7fff },
	{ true, 0, 0xffffffff },
};

START_TEST(B8_base_of_another_queue_or_beyond_the_ring_is_refused)
{
	uint32_t base = 77;

	up();
	give_memory();
	say(VU_SET_FEATURES, 0);
	ck_assert_int_eq(vhost_dev_set_features(dev, F_VERSION_1 |
						(bases[_i].packed ? F_RING_PACKED : 0)), 0);
	describe_queue(0);
	start();
	say(VU_SET_VRING_ENABLE, 0);
	say_base(bases[_i].index, bases[_i].num);
	must_break(vhost_dev_stop(dev));
	ck_assert_int_eq(vhost_dev_vq_get_base(dev, 0, &base), 0);
	ck_assert_uint_eq(base, 0);
}
END_TEST

static const struct {
	uint64_t size, offset;
	uint16_t queues;
	int fd;			/* 0 none, 1 memory, 2 a socket, 3 a pipe */
	int result;
} inflights[] = {
	{ 4096, 0, 1, 1, 0 },
	{ 4096, 0, 1, 0, -EREMOTEIO },
	{ 0, 0, 1, 1, -EREMOTEIO },
	{ 16, 0, 1, 1, -EPROTO },
	{ 4097, 0, 1, 1, -EPROTO },
	{ 4096, 1, 1, 1, -EPROTO },
	{ 4096, UINT64_MAX - 4095, 1, 1, -EPROTO },
	{ UINT64_MAX, 0, 1, 1, -EPROTO },
	{ UINT64_MAX, 4096, 1, 1, -EPROTO },
	{ 1ULL << 63, 0, 1, 1, -EPROTO },
	{ 4096, 0, 2, 1, -EPROTO },
	{ 4096, 0, 0, 1, -EPROTO },
	{ 4096, 0, 1, 2, -EPROTO },
	{ 4096, 0, 1, 3, -EPROTO },
};

START_TEST(B9_inflight_record_that_cannot_be_is_refused)
{
	struct vu_inflight w = {
		.mmap_size = inflights[_i].size, .mmap_offset = inflights[_i].offset,
		.num_queues = inflights[_i].queues, .queue_size = 8,
	};
	int memfd = make_memfd(4096), pipes[2], fd, want = inflights[_i].result;
	uint64_t size, offset;

	ck_assert_int_eq(pipe(pipes), 0);
	up();
	fd = inflights[_i].fd == 2 ? peer : inflights[_i].fd == 3 ? pipes[0] : memfd;
	put_fds(peer, VU_GET_INFLIGHT_FD, OK_FLAGS, &w, sizeof(w), sizeof(w), &fd,
		inflights[_i].fd ? 1 : 0);
	when_sent = VU_SET_INFLIGHT_FD;
	if (want == -EPROTO)
		must_break(vhost_dev_inflight_enable(dev, 1, 8));
	else if (want)
		must_refuse(vhost_dev_inflight_enable(dev, 1, 8), want);
	else
		ck_assert_int_eq(vhost_dev_inflight_enable(dev, 1, 8), 0);
	ck_assert_int_eq(vhost_dev_inflight_get(dev, &fd, &size, &offset), want ? -ENOENT : 0);
	close(memfd);
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

/* ---------------------------------------------------------------- B10 and B11 */

START_TEST(B10_silence_ends_at_the_deadline)
{
	uint64_t value;

	up();
	must_close(vhost_dev_get_features(dev, &value), -ETIMEDOUT, VHOST_ERR_DEADLINE);
}
END_TEST

START_TEST(B10_silence_while_connecting_ends_at_the_deadline)
{
	struct vhost_dev_opts o = options();
	int fd = pair();

	ck_assert_int_eq(vhost_dev_open_fd(fd, &o, sizeof(o), &dev), -ETIMEDOUT);
	close(fd);
	ck_assert_str_ne(vhost_last_error(), "");
	ck_assert_ptr_null(dev);
}
END_TEST

START_TEST(B10_silence_without_waiting_ends_at_the_deadline)
{
	uint64_t value;
	int fd, i;
	struct pollfd p;

	up();
	fd = vhost_dev_get_fd(dev);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	ck_assert_int_eq(vhost_dev_get_features(dev, &value), 0);
	ck_assert_int_eq(vhost_dev_commit_async(dev, on_closed, NULL), 0);
	for (i = 0; i < 20 && vhost_dev_get_state(dev) != VHOST_DEV_CLOSED; i++) {
		int timeout = vhost_dev_get_timeout(dev);

		ck_assert_int_ge(timeout, 0);
		p = (struct pollfd){ .fd = fd, .events = POLLIN };
		poll(&p, 1, timeout);
		vhost_dev_process(dev);
	}
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_CLOSED);
	/* the connection's end, and the transaction's */
	ck_assert_int_eq(n_closed, 2);
}
END_TEST

/* Four bytes of an answer each 40 ms: more of them than the deadline has time for. */
static void *drip(void *arg)
{
	struct vu_header hdr = { VU_GET_FEATURES, OK_FLAGS, 8 };
	struct timespec pause = { .tv_nsec = 40000000 };
	size_t i;

	for (i = 0; i < sizeof(hdr); i++) {
		nanosleep(&pause, NULL);
		if (send(*(int *)arg, (uint8_t *)&hdr + i, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
			break;
	}
	return NULL;
}

START_TEST(B10_an_answer_that_drips_ends_at_the_deadline)
{
	uint64_t value;
	pthread_t thread;

	up();
	ck_assert_int_eq(pthread_create(&thread, NULL, drip, &peer), 0);
	must_close(vhost_dev_get_features(dev, &value), -ETIMEDOUT, VHOST_ERR_DEADLINE);
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(B10_an_answer_split_at_any_byte_is_an_answer)
{
	struct {
		struct vu_header hdr;
		uint64_t value;
	} __attribute__((packed)) m = { { VU_GET_FEATURES, OK_FLAGS, 8 }, features };
	uint64_t value = 0;
	size_t at;

	up();
	for (at = 1; at < sizeof(m); at++) {
		ck_assert_int_eq(vhost_dev_begin(dev), 0);
		ck_assert_int_eq(vhost_dev_get_features(dev, &value), 0);
		ck_assert_int_eq(vhost_dev_commit_async(dev, on_done, NULL), 0);
		ck_assert_int_eq(send(peer, &m, at, 0), (ssize_t)at);
		ck_assert_int_eq(vhost_dev_process(dev), 0);
		ck_assert_int_eq(send(peer, (uint8_t *)&m + at, sizeof(m) - at, 0),
				 (ssize_t)(sizeof(m) - at));
		value = 0;
		ck_assert_int_eq(vhost_dev_process(dev), 0);
		ck_assert_uint_ne(value, 0);
	}
}
END_TEST

/* It reads nothing any more: our side fills the socket, then its queue, and then says so. */
START_TEST(B10_a_peer_that_stops_reading_bounds_what_is_queued)
{
	uint8_t config[256] = { 0 };
	unsigned int i;
	int r = 0;

	pf &= ~PF(REPLY_ACK);
	up();
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	for (i = 0; i < 20000 && !r; i++)
		r = vhost_dev_set_config(dev, 0, config, sizeof(config), 0);
	ck_assert_int_eq(r, -ENOBUFS);
	ck_assert_str_ne(vhost_dev_error(dev), "");
	r = vhost_dev_commit(dev);
	ck_assert_msg(r == -ETIMEDOUT || r == -ENOTCONN || r == -ENOBUFS, "%d: %s", r,
		      vhost_dev_error(dev));
}
END_TEST

/* It closes after answering @_i of what connecting asks. */
START_TEST(B11_closed_while_connecting)
{
	static const uint32_t requests[] = {
		VU_GET_FEATURES, VU_GET_PROTOCOL_FEATURES, VU_GET_QUEUE_NUM, VU_GET_MAX_MEM_SLOTS,
	};
	uint64_t values[] = { features, pf, n_queues, n_slots };
	struct vhost_dev_opts o = options();
	int fd = pair(), i, r;

	for (i = 0; i < _i; i++)
		say(requests[i], values[i]);
	shutdown(peer, SHUT_WR);
	r = vhost_dev_open_fd(fd, &o, sizeof(o), &dev);
	ck_assert_int_eq(r, -ECONNRESET);
	ck_assert_str_ne(vhost_last_error(), "");
	close(fd);
}
END_TEST

START_TEST(B11_gone_while_connecting)
{
	struct vhost_dev_opts o = options();
	int fd = pair(), r;

	say(VU_GET_FEATURES, features);
	close(peer);
	peer = -1;
	r = vhost_dev_open_fd(fd, &o, sizeof(o), &dev);
	ck_assert_int_eq(r, -ECONNRESET);
	close(fd);
}
END_TEST

START_TEST(B11_closed_inside_of_a_message)
{
	struct {
		struct vu_header hdr;
		uint64_t value;
	} __attribute__((packed)) m = { { VU_GET_FEATURES, OK_FLAGS, 8 }, features };
	uint64_t value = 99;

	up();
	ck_assert_int_eq(send(peer, &m, (size_t)_i, 0), _i);
	shutdown(peer, SHUT_WR);
	must_close(vhost_dev_get_features(dev, &value), -ECONNABORTED, VHOST_ERR_PEER_CLOSED);
	ck_assert_uint_eq(value, 99);
}
END_TEST

/* It closes after @_i acknowledgements of a start; then the device starts elsewhere. */
static void closed_in_a_start(int answers, bool txn, bool gone)
{
	int i, r = 0, fd;

	up();
	give_memory();
	describe_queue(0);
	for (i = 0; i < answers; i++)
		say(start_requests[i], 0);
	if (txn)
		ck_assert_int_eq(vhost_dev_begin(dev), 0);
	if (gone) {
		close(peer);
		peer = -1;
	} else {
		shutdown(peer, SHUT_WR);
	}
	r = vhost_dev_start(dev);
	if (txn && !r)
		r = vhost_dev_commit(dev);
	must_close(r, -ECONNRESET, VHOST_ERR_PEER_CLOSED);
	/* one error, and another back-end can be had */
	n_closed = 0;
	fd = pair();
	greet();
	say(VU_ADD_MEM_REG, 0);
	r = vhost_dev_reconnect_fd(dev, fd, VHOST_RECONNECT_FROM_USED);
	if (r == -ETIMEDOUT) {
		/* it counted as started: the replay has the queue as well */
		close(fd);
		fd = pair();
		greet();
		say(VU_ADD_MEM_REG, 0);
		for (i = 0; i < 6; i++)
			say(start_requests[i], 0);
		r = vhost_dev_reconnect_fd(dev, fd, VHOST_RECONNECT_FROM_USED);
	}
	ck_assert_msg(r == 0, "%s", vhost_dev_error(dev));
	close(fd);
}

START_TEST(B11_closed_in_the_middle_of_a_start)
{
	closed_in_a_start(_i, false, false);
}
END_TEST

START_TEST(B11_closed_in_the_middle_of_a_transaction)
{
	closed_in_a_start(_i, true, false);
}
END_TEST

START_TEST(B11_gone_before_a_start)
{
	closed_in_a_start(0, false, true);
}
END_TEST

START_TEST(B11_gone_between_begin_and_commit)
{
	closed_in_a_start(0, true, true);
}
END_TEST

/* ---------------------------------------------------- B12 to B18: its own channel */

START_TEST(B12_unknown_requests_are_refused)
{
	static const uint32_t unknown[] = { 0, 11, 44, 0x7fffffff, 0xffffffff };
	unsigned int i;

	up();
	for (i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		ask(unknown[i], "12345678", 8);
		ck_assert_msg(vhost_dev_process(dev) == 0, "%s", vhost_dev_error(dev));
		ck_assert_int_gt(answered(), 0);
	}
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
}
END_TEST

START_TEST(B12_descriptors_on_requests_that_have_none_are_closed)
{
	int fds[2];

	up();
	fds[0] = fds[1] = peer;
	ask_fds(VU_BACKEND_CONFIG_CHANGE_MSG, NULL, 0, fds, 2);
	ck_assert_int_eq(vhost_dev_process(dev), 0);
	ck_assert_int_gt(answered(), 0);
	ck_assert_int_eq(n_config, 0);
}
END_TEST

/* What is no request closes the channel, and the device goes on without. */
START_TEST(B12_what_is_no_request_closes_the_channel_only)
{
	static const uint32_t bad_flags[] = { 0, 2, 3, VU_VERSION | VU_REPLY };
	uint64_t value;

	up();
	if (_i < 4)
		put_fds(chan, VU_BACKEND_CONFIG_CHANGE_MSG, bad_flags[_i], NULL, 0, 0, NULL, 0);
	else
		put_fds(chan, VU_BACKEND_CONFIG_CHANGE_MSG, VU_VERSION, NULL, 0,
			_i == 4 ? 0xffffffff : 4609, NULL, 0);
	ck_assert_int_eq(vhost_dev_process(dev), 0);
	ck_assert_int_eq(recv(chan, &value, 1, MSG_DONTWAIT), 0);
	ck_assert_int_eq(n_config, 0);
	say(VU_GET_FEATURES, features);
	ck_assert_int_eq(vhost_dev_get_features(dev, &value), 0);
}
END_TEST

START_TEST(B12_too_many_descriptors_close_the_channel)
{
	int fds[64];
	unsigned int i;
	char byte;

	up();
	for (i = 0; i < 64; i++)
		fds[i] = peer;
	ask_fds(VU_BACKEND_CONFIG_CHANGE_MSG, NULL, 0, fds, 64);
	ck_assert_int_eq(vhost_dev_process(dev), 0);
	ck_assert_int_eq(recv(chan, &byte, 1, MSG_DONTWAIT), 0);
}
END_TEST

/* Requests without end, whose answers nobody reads: each call ends, and memory is bounded. */
START_TEST(B12_a_flood_that_reads_no_answers_is_bounded)
{
	struct vu_header hdr = { VU_BACKEND_CONFIG_CHANGE_MSG, VU_VERSION | VU_NEED_REPLY, 0 };
	unsigned int i, sent = 0, n;

	up();
	for (i = 0; i < 4000; i++) {
		while (send(chan, &hdr, sizeof(hdr), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(hdr))
			sent++;
		n = (unsigned int)n_config;
		ck_assert_int_eq(vhost_dev_process(dev), 0);
		ck_assert_uint_le((unsigned int)n_config - n, 2000);
		if ((unsigned int)n_config == n)
			break;
	}
	/* it reads no more than it can answer */
	ck_assert_uint_lt(i, 4000);
	ck_assert_uint_gt(sent, (unsigned int)n_config);
	/* once they are read it goes on */
	while (answered() == 0)
		;
	ck_assert_int_eq(vhost_dev_process(dev), 0);
	ck_assert_int_gt(n_config, (int)n);
}
END_TEST

/* The channel is flooded while a call waits: the call still has its deadline. */
static void *flood(void *arg)
{
	struct vu_header hdr = { VU_BACKEND_CONFIG_CHANGE_MSG, VU_VERSION, 0 };
	struct timespec begin, now;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		if (send(*(int *)arg, &hdr, sizeof(hdr), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
		    errno != EAGAIN)
			break;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - begin.tv_sec < 3);
	return (void *)(intptr_t)(now.tv_sec - begin.tv_sec);
}

START_TEST(B12_a_flood_does_not_move_the_deadline)
{
	pthread_t thread;
	uint64_t value;
	void *took;

	up();
	ck_assert_int_eq(pthread_create(&thread, NULL, flood, &chan), 0);
	must_close(vhost_dev_get_features(dev, &value), -ETIMEDOUT, VHOST_ERR_DEADLINE);
	pthread_join(thread, &took);
	ck_assert_int_lt((intptr_t)took, 3);
}
END_TEST

static void accept_platform(void)
{
	give_memory();
	say(VU_SET_FEATURES, 0);
	ck_assert_int_eq(vhost_dev_set_features(dev, F_VERSION_1 | F_ACCESS_PLATFORM), 0);
	drain(0, NULL, 0);
}

static int64_t miss(uint64_t iova, uint8_t perm, uint8_t type)
{
	struct vu_iotlb m = { .iova = iova, .perm = perm, .type = type };

	ask(VU_BACKEND_IOTLB_MSG, &m, sizeof(m));
	ck_assert_int_eq(vhost_dev_process(dev), 0);
	return answered();
}

START_TEST(B13_bogus_misses_are_refused)
{
	up();
	/* without the feature */
	ck_assert_int_gt(miss(0x10000, 1, VU_IOTLB_MISS), 0);
	accept_platform();
	ck_assert_int_gt(miss(0, 1, VU_IOTLB_MISS), 0);
	ck_assert_int_gt(miss(0x20000, 1, VU_IOTLB_MISS), 0);
	ck_assert_int_gt(miss(UINT64_MAX, 1, VU_IOTLB_MISS), 0);
	ck_assert_int_gt(miss(0x10000, 0, VU_IOTLB_MISS), 0);
	ck_assert_int_gt(miss(0x10000, 4, VU_IOTLB_MISS), 0);
	ck_assert_int_gt(miss(0x10000, 255, VU_IOTLB_MISS), 0);
	ck_assert_int_gt(miss(0x10000, 3, 0), 0);
	ck_assert_int_gt(miss(0x10000, 3, VU_IOTLB_UPDATE), 0);
	ck_assert_int_gt(miss(0x10000, 3, VU_IOTLB_INVALIDATE), 0);
	ck_assert_int_gt(miss(0x10000, 3, 255), 0);
	ck_assert_uint_eq(drain(VU_IOTLB_MSG, NULL, 0), 0);
	ck_assert_int_eq(miss(UINT64_MAX, 3, VU_IOTLB_ACCESS_FAIL), 0);
	ck_assert_int_eq(n_fault, 1);
}
END_TEST

START_TEST(B13_a_miss_is_answered_with_what_is_there)
{
	struct vu_iotlb update;

	up();
	accept_platform();
	ck_assert_int_eq(miss(0x1ffff, 3, VU_IOTLB_MISS), 0);
	ck_assert_uint_eq(drain(VU_IOTLB_MSG, &update, sizeof(update)), 1);
	ck_assert_uint_eq(update.iova, 0x10000);
	ck_assert_uint_eq(update.size, 65536);
	ck_assert_uint_eq(update.perm, 3);
	ck_assert_uint_eq(update.type, VU_IOTLB_UPDATE);
	say(VU_IOTLB_MSG, 0);
	ck_assert_int_eq(vhost_dev_process(dev), 0);
}
END_TEST

START_TEST(B13_a_miss_of_a_permission_that_is_not_there_is_refused)
{
	struct vhost_mem_desc desc;

	up();
	accept_platform();
	say(VU_REM_MEM_REG, 0);
	ck_assert_int_eq(vhost_dev_mem_remove(dev, 0x10000, 65536), 0);
	vhost_mem_describe(mem, &desc, sizeof(desc));
	desc.flags = VHOST_MEM_READONLY;
	say(VU_ADD_MEM_REG, 0);
	ck_assert_int_eq(vhost_dev_mem_add(dev, &desc, sizeof(desc)), 0);
	ck_assert_int_eq(miss(0x10000, 1, VU_IOTLB_MISS), 0);
	ck_assert_int_gt(miss(0x10000, 2, VU_IOTLB_MISS), 0);
	ck_assert_int_gt(miss(0x10000, 3, VU_IOTLB_MISS), 0);
}
END_TEST

/* It reads what it asked for, and never acknowledges any of it. */
START_TEST(B13_a_flood_of_misses_is_bounded)
{
	struct vu_iotlb m = { .iova = 0x10000, .perm = 3, .type = VU_IOTLB_MISS };
	unsigned int i, n = 0, last = 1;

	up();
	accept_platform();
	for (i = 0; i < 20000 && last; i++) {
		ask(VU_BACKEND_IOTLB_MSG, &m, sizeof(m));
		ck_assert_int_eq(vhost_dev_process(dev), 0);
		last = drain(VU_IOTLB_MSG, NULL, 0);
		n += last;
		last = answered() == 0;
	}
	ck_assert_uint_lt(n, 20000);
	/* and once it does, there are more to be had */
	for (i = 0; i < n; i++) {
		say(VU_IOTLB_MSG, 0);
		ck_assert_int_eq(vhost_dev_process(dev), 0);
	}
	ck_assert_int_eq(miss(0x10000, 3, VU_IOTLB_MISS), 0);
}
END_TEST

static void get_config_again(vhost_dev_t *d, void *opaque)
{
	struct {
		struct vu_config head;
		uint8_t data[8];
	} reply = { .head = { .size = 8 } };
	uint8_t buf[8];

	(void)opaque;
	n_config++;
	/* the answer to the request is out before this is asked */
	ck_assert_int_eq(answered(), 0);
	put(VU_GET_CONFIG, OK_FLAGS, &reply, sizeof(reply));
	ck_assert_int_eq(vhost_dev_get_config(d, 0, buf, 8), 0);
}

START_TEST(B14_config_changes_while_the_config_is_read_do_not_deadlock)
{
	struct vhost_dev_events e = events;
	unsigned int i;

	up();
	e.config_changed = get_config_again;
	ck_assert_int_eq(vhost_dev_set_events(dev, &e, sizeof(e), NULL), 0);
	for (i = 0; i < 100; i++) {
		ask(VU_BACKEND_CONFIG_CHANGE_MSG, NULL, 0);
		ck_assert_int_eq(vhost_dev_process(dev), 0);
	}
	ck_assert_int_eq(n_config, 100);
}
END_TEST

static int64_t notify(uint64_t index, uint64_t size, uint64_t offset, int fd)
{
	struct vu_vring_area area = { index, size, offset };

	ask_fds(VU_BACKEND_VRING_HOST_NOTIFIER_MSG, &area, sizeof(area), &fd, fd >= 0 ? 1 : 0);
	ck_assert_int_eq(vhost_dev_process(dev), 0);
	return answered();
}

START_TEST(B15_bad_host_notifiers_are_refused)
{
	int fd = make_memfd(8192), read_only, page = (int)sysconf(_SC_PAGESIZE);
	char path[64];
	size_t size;
	void *addr;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	read_only = open(path, O_RDONLY | O_CLOEXEC);
	up();
	ck_assert_int_gt(notify(0, (uint64_t)page, 0, -1), 0);
	ck_assert_int_gt(notify(VU_VRING_NOFD, (uint64_t)page, 0, fd), 0);
	ck_assert_int_gt(notify(4, (uint64_t)page, 0, fd), 0);
	ck_assert_int_gt(notify(0x200, (uint64_t)page, 0, fd), 0);
	ck_assert_int_gt(notify(1ULL << 32, (uint64_t)page, 0, fd), 0);
	ck_assert_int_gt(notify(0, 0, 0, fd), 0);
	ck_assert_int_gt(notify(0, (uint64_t)page - 1, 0, fd), 0);
	ck_assert_int_gt(notify(0, UINT64_MAX, 0, fd), 0);
	ck_assert_int_gt(notify(0, (uint64_t)page, 1, fd), 0);
	ck_assert_int_gt(notify(0, (uint64_t)page, UINT64_MAX - (uint64_t)page + 1, fd), 0);
	ck_assert_int_gt(notify(0, (uint64_t)page, 1ULL << 63, fd), 0);
	/* beyond the file: the first write to the doorbell would be SIGBUS */
	ck_assert_int_gt(notify(0, (uint64_t)page, 8192, fd), 0);
	ck_assert_int_gt(notify(0, (uint64_t)page, 0, peer), 0);
	ck_assert_int_gt(notify(0, (uint64_t)page, 0, read_only), 0);
	ck_assert_int_eq(n_notifier, 0);
	ck_assert_int_eq(vhost_user_get_host_notifier(dev, 0, &addr, &size), -ENOENT);
	close(fd);
	close(read_only);
}
END_TEST

START_TEST(B15_host_notifiers_set_and_unset_leave_nothing_behind)
{
	int fd = make_memfd(4096), i;
	struct leak now;
	size_t size;
	void *addr;

	up();
	now = leak_begin();
	for (i = 0; i < 200; i++) {
		ck_assert_int_eq(notify(3, 4096, 0, fd), 0);
		ck_assert_int_eq(vhost_user_get_host_notifier(dev, 3, &addr, &size), 0);
	}
	ck_assert_int_eq(notify(VU_VRING_NOFD | 3, 4096, 0, -1), 0);
	ck_assert_int_eq(vhost_user_get_host_notifier(dev, 3, &addr, &size), -ENOENT);
	ck_assert_int_eq(leak_check(&now), 0);
	/* and one that is left goes with the connection */
	ck_assert_int_eq(notify(2, 4096, 0, fd), 0);
	close(fd);
}
END_TEST

START_TEST(B15_host_notifier_without_the_feature_is_refused)
{
	int fd = make_memfd(4096);

	pf &= ~(_i ? PF(HOST_NOTIFIER) : PF(BACKEND_SEND_FD));
	up();
	ck_assert_int_gt(notify(0, 4096, 0, fd), 0);
	ck_assert_int_eq(n_notifier, 0);
	close(fd);
}
END_TEST

static int64_t shmem(uint32_t request, uint8_t id, uint64_t fd_offset, uint64_t offset,
		     uint64_t len, uint64_t mode, int fd)
{
	struct vu_mmap m = { .shmid = id, .fd_offset = fd_offset, .shm_offset = offset,
			     .len = len, .flags = mode };

	ask_fds(request, &m, sizeof(m), &fd, fd >= 0 ? 1 : 0);
	ck_assert_int_eq(vhost_dev_process(dev), 0);
	return answered();
}

#define MAP(id, fd_offset, offset, len, mode, fd) \
	shmem(VU_BACKEND_SHMEM_MAP, id, fd_offset, offset, len, mode, fd)
#define UNMAP(id, offset, len) shmem(VU_BACKEND_SHMEM_UNMAP, id, 0, offset, len, 0, -1)

START_TEST(B16_shared_memory_is_mapped_only_where_it_may_be)
{
	int fd = make_memfd(65536), read_only;
	uint64_t size = 65536, i;
	char path[64];
	uint8_t *at;

	pf |= PF(SHMEM);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	read_only = open(path, O_RDONLY | O_CLOEXEC);
	at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(at, MAP_FAILED);
	up();
	ck_assert_int_gt(MAP(1, 0, 0, 4096, 0, fd), 0);	/* nowhere yet */
	ck_assert_int_eq(vhost_user_set_shmem(dev, 1, at, size), 0);
	ck_assert_int_gt(MAP(0, 0, 0, 4096, 0, fd), 0);
	ck_assert_int_gt(MAP(255, 0, 0, 4096, 0, fd), 0);
	ck_assert_int_gt(MAP(1, 0, 0, 0, 0, fd), 0);
	ck_assert_int_gt(MAP(1, 0, 0, 1, 0, fd), 0);
	ck_assert_int_gt(MAP(1, 0, 1, 4096, 0, fd), 0);
	ck_assert_int_gt(MAP(1, 1, 0, 4096, 0, fd), 0);
	ck_assert_int_gt(MAP(1, 0, 65536, 4096, 0, fd), 0);
	ck_assert_int_gt(MAP(1, 0, 61440, 8192, 0, fd), 0);
	ck_assert_int_gt(MAP(1, 0, UINT64_MAX - 4095, 8192, 0, fd), 0);
	ck_assert_int_gt(MAP(1, 0, 4096, UINT64_MAX - 4095, 0, fd), 0);
	ck_assert_int_gt(MAP(1, UINT64_MAX - 4095, 0, 8192, 0, fd), 0);
	ck_assert_int_gt(MAP(1, 1ULL << 63, 0, 4096, 0, fd), 0);
	ck_assert_int_gt(MAP(1, 65536, 0, 4096, 0, fd), 0);	/* beyond the file */
	ck_assert_int_gt(MAP(1, 61440, 0, 8192, 0, fd), 0);
	ck_assert_int_gt(MAP(1, 0, 0, 4096, 2, fd), 0);
	ck_assert_int_gt(MAP(1, 0, 0, 4096, 1, read_only), 0);
	ck_assert_int_gt(MAP(1, 0, 0, 4096, 0, peer), 0);
	ck_assert_int_gt(MAP(1, 0, 0, 4096, 0, -1), 0);
	ck_assert_int_eq(n_shmem, 0);

	ck_assert_int_eq(MAP(1, 0, 8192, 8192, 1, fd), 0);
	at[8192] = 1;
	ck_assert_int_gt(MAP(1, 0, 8192, 8192, 0, fd), 0);
	ck_assert_int_gt(MAP(1, 0, 4096, 8192, 0, fd), 0);
	ck_assert_int_gt(MAP(1, 0, 12288, 8192, 0, fd), 0);
	ck_assert_int_gt(MAP(1, 0, 0, 65536, 0, fd), 0);
	ck_assert_int_gt(UNMAP(1, 8192, 4096), 0);	/* a part */
	ck_assert_int_gt(UNMAP(1, 0, 65536), 0);
	ck_assert_int_gt(UNMAP(2, 8192, 8192), 0);
	ck_assert_int_eq(n_shmem, 1);
	ck_assert_int_eq(UNMAP(1, 8192, 8192), 0);
	ck_assert_int_gt(UNMAP(1, 8192, 8192), 0);
	ck_assert_int_eq(n_shmem, 0);
	/* what is left goes with the connection */
	for (i = 0; i < size; i += 4096)
		ck_assert_int_eq(MAP(1, 0, i, 4096, 0, fd), 0);
	ck_assert_int_eq(n_shmem, 16);
	dev = vhost_dev_unref(dev);
	ck_assert_int_eq(n_shmem, 0);
	munmap(at, size);
	close(fd);
	close(read_only);
}
END_TEST

START_TEST(B16_thousands_of_mappings_are_bounded)
{
	int fd = make_memfd(4096), n = 0;

	pf |= PF(SHMEM);
	up();
	ck_assert_int_eq(vhost_user_set_shmem(dev, 0, NULL, 1ULL << 30), 0);
	while (n < 10000 && MAP(0, 0, (uint64_t)n * 4096, 4096, 0, fd) == 0)
		n++;
	ck_assert_int_eq(n, 4096);
	ck_assert_int_eq(n_shmem, n);
	ck_assert_int_eq(UNMAP(0, 0, 4096), 0);
	ck_assert_int_eq(MAP(0, 0, 0, 4096, 0, fd), 0);
	close(fd);
}
END_TEST

START_TEST(B17_requests_of_others_numbering_are_refused)
{
	/* virtiofsd's FS_MAP and FS_UNMAP had 6 to 9 before those had other names */
	uint8_t payload[260] = { 0 };
	uint32_t request;
	int fd = make_memfd(4096);

	pf &= ~(PF(SHARED_OBJECT) | PF(SHMEM));
	up();
	for (request = 6; request <= 9; request++) {
		ask_fds(request, payload, sizeof(payload), &fd, 1);
		ck_assert_int_eq(vhost_dev_process(dev), 0);
		ck_assert_int_gt(answered(), 0);
	}
	close(fd);
}
END_TEST

static int64_t object(uint32_t request, unsigned int n)
{
	uint8_t uuid[16] = { (uint8_t)n, (uint8_t)(n >> 8) };

	ask(request, uuid, sizeof(uuid));
	ck_assert_int_eq(vhost_dev_process(dev), 0);
	return answered();
}

START_TEST(B18_shared_objects_are_bounded_and_owned)
{
	unsigned int n = 0;

	up();
	ck_assert_int_gt(object(VU_BACKEND_SHARED_OBJECT_REMOVE, 7), 0);
	while (n < 10000 && object(VU_BACKEND_SHARED_OBJECT_ADD, n) == 0)
		n++;
	ck_assert_uint_eq(n, 1024);
	ck_assert_int_eq(n_object, 1024);
	ck_assert_int_gt(object(VU_BACKEND_SHARED_OBJECT_ADD, 5), 0);	/* twice */
	ck_assert_int_eq(object(VU_BACKEND_SHARED_OBJECT_REMOVE, 5), 0);
	ck_assert_int_gt(object(VU_BACKEND_SHARED_OBJECT_REMOVE, 5), 0);
	ck_assert_int_eq(object(VU_BACKEND_SHARED_OBJECT_ADD, 5), 0);
	ck_assert_int_gt(object(VU_BACKEND_SHARED_OBJECT_LOOKUP, 5), 0);
	/* they end with the connection */
	ck_assert_int_eq(n_object, 1024);
	dev = vhost_dev_unref(dev);
	ck_assert_int_eq(n_object, 0);
}
END_TEST

START_TEST(B18_a_lookup_is_always_answered)
{
	unsigned int i;
	struct vu_header hdr = { VU_BACKEND_SHARED_OBJECT_LOOKUP, VU_VERSION, 16 };
	uint8_t uuid[16] = { 1 };

	up();
	for (i = 0; i < 500; i++) {
		put_fds(chan, hdr.request, hdr.flags, uuid, 16, 16, NULL, 0);
		ck_assert_int_eq(vhost_dev_process(dev), 0);
		ck_assert_int_gt(answered(), 0);
	}
}
END_TEST

/* -------------------------------------------------------------------- B20 to B28 */

START_TEST(B20_a_storm_of_calls_is_for_queues_that_are_there)
{
	struct vu_vring_state state = { 0, 0 };
	unsigned int i;

	pf |= PF(INBAND_NOTIFICATIONS);
	up();
	give_memory();
	describe_queue(0);
	for (i = 0; i < 500; i++) {
		ask(i & 1 ? VU_BACKEND_VRING_CALL : VU_BACKEND_VRING_ERR, &state, sizeof(state));
		ck_assert_int_eq(vhost_dev_process(dev), 0);
		ck_assert_int_eq(answered(), 0);
	}
	ck_assert_int_eq(n_call, 500);
	for (state.index = 1; state.index; state.index <<= 1) {
		ask(VU_BACKEND_VRING_CALL, &state, sizeof(state));
		ck_assert_int_eq(vhost_dev_process(dev), 0);
		ck_assert_int_gt(answered(), 0);
	}
	ck_assert_int_eq(n_call, 500);
}
END_TEST

/* It fills the kick eventfd, which it shares, and has it block. */
START_TEST(B20_a_kick_eventfd_that_is_full_does_not_block)
{
	struct vhost_vq_config c = {
		.size = 8, .desc = 0x10000, .driver = 0x11000, .device = 0x12000,
		.call_fd = -1, .err_fd = -1, .kick_fd = eventfd(0, EFD_CLOEXEC),
	};
	uint64_t full = UINT64_MAX - 1;

	up();
	give_memory();
	ck_assert_int_eq(vhost_dev_vq_setup(dev, 0, &c, sizeof(c)), 0);
	ck_assert_int_eq(write(c.kick_fd, &full, sizeof(full)), sizeof(full));
	start();
	ck_assert_int_eq(vhost_dev_vq_kick(dev, 0), 0);
	close(c.kick_fd);
}
END_TEST

START_TEST(B21_a_log_is_taken_once_and_only_within_its_size)
{
	uint64_t words[2] = { 0 }, n = 99;

	up();
	give_memory();
	say(VU_SET_LOG_BASE, 0);
	say(VU_SET_FEATURES, 0);
	ck_assert_msg(vhost_dev_log_start(dev) == 0, "%s", vhost_dev_error(dev));
	ck_assert_int_eq(vhost_dev_log_collect(dev, 0, words, 1, &n), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(vhost_dev_log_collect(dev, 1, words, 1, &n), -EINVAL);
	ck_assert_int_eq(vhost_dev_log_collect(dev, 0, words, SIZE_MAX, &n), -EINVAL);
	ck_assert_int_eq(vhost_dev_log_collect(dev, UINT64_MAX - 262143, words, 2, &n), -EINVAL);
	say(VU_SET_FEATURES, 0);
	ck_assert_int_eq(vhost_dev_log_stop(dev), 0);
}
END_TEST

/* All bits set, by a back-end that has the log's memory; it can neither shrink nor grow it. */
START_TEST(B21_a_log_that_says_everything_is_everything)
{
	uint64_t words[1] = { 0 }, n = 99, all = ~0ULL;
	int log = -1;
	struct vu_header hdr;
	struct vu_log said;
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct iovec iov[2] = { { &hdr, sizeof(hdr) }, { &said, sizeof(said) } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = &control,
			     .msg_controllen = sizeof(control) };

	up();
	give_memory();
	drain(0, NULL, 0);
	say(VU_SET_LOG_BASE, 0);
	say(VU_SET_FEATURES, 0);
	ck_assert_int_eq(vhost_dev_log_start(dev), 0);
	ck_assert_int_gt(recvmsg(peer, &mh, MSG_DONTWAIT), 0);
	ck_assert_uint_eq(hdr.request, VU_SET_LOG_BASE);
	memcpy(&log, CMSG_DATA(&control.align), sizeof(log));
	ck_assert_int_lt(ftruncate(log, 0), 0);
	ck_assert_int_lt(ftruncate(log, 1 << 20), 0);
	ck_assert_int_eq(pwrite(log, &all, 8, 0), 8);
	ck_assert_int_eq(vhost_dev_log_collect(dev, 0, words, 1, &n), 0);
	ck_assert_uint_eq(n, 64);
	ck_assert_uint_eq(words[0], all);
	ck_assert_int_eq(vhost_dev_log_collect(dev, 0, words, 1, &n), 0);
	ck_assert_uint_eq(n, 0);
	close(log);
}
END_TEST

START_TEST(B21_a_log_is_given_again_on_reconnection)
{
	int fd;

	up();
	give_memory();
	say(VU_SET_FEATURES, 0);
	ck_assert_int_eq(vhost_dev_set_features(dev, F_VERSION_1), 0);
	say(VU_SET_LOG_BASE, 0);
	say(VU_SET_FEATURES, 0);
	ck_assert_int_eq(vhost_dev_log_start(dev), 0);
	fd = pair();
	greet();
	say(VU_SET_FEATURES, 0);
	say(VU_ADD_MEM_REG, 0);
	if (_i)
		put(VU_SET_LOG_BASE, OK_FLAGS, NULL, 0);	/* as DPDK has it */
	else
		say(VU_SET_LOG_BASE, 0);
	ck_assert_msg(vhost_dev_reconnect_fd(dev, fd, 0) == 0, "%s", vhost_dev_error(dev));
	close(fd);
}
END_TEST

static const struct {
	uint64_t value;
	bool fd;
	int result;
} states[] = {
	{ 0, false, -EPROTO },		/* says that a descriptor comes */
	{ VU_DEVICE_STATE_NOFD, true, -EPROTO },
	{ 1, true, -EREMOTEIO },
	{ 0xff, false, -EREMOTEIO },
	{ VU_DEVICE_STATE_NOFD | 1, false, -EREMOTEIO },
};

START_TEST(B22_a_state_channel_that_contradicts_itself_is_refused)
{
	int fd = -1, theirs;

	up();
	theirs = peer;
	put_fds(peer, VU_SET_DEVICE_STATE_FD, OK_FLAGS, &states[_i].value, 8, 8, &theirs,
		states[_i].fd);
	if (states[_i].result == -EPROTO)
		must_break(vhost_dev_device_state_fd(dev, VHOST_DEVICE_STATE_SAVE, peer, &fd));
	else
		must_refuse(vhost_dev_device_state_fd(dev, VHOST_DEVICE_STATE_SAVE, peer, &fd),
			    states[_i].result);
	ck_assert_int_eq(fd, -1);
}
END_TEST

/* The back-end has a pipe of its own for the state, and gives us its end. */
static void state_channel(int fd)
{
	uint64_t value = 0;

	put_fds(peer, VU_SET_DEVICE_STATE_FD, OK_FLAGS, &value, 8, 8, &fd, 1);
}

START_TEST(B22_a_state_without_end_ends_at_the_limit)
{
	char bytes[8192] = { 0 };
	size_t size = 99;
	void *state = NULL;
	int p[2];

	ck_assert_int_eq(pipe(p), 0);
	up();
	ck_assert_int_eq(write(p[1], bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
	state_channel(p[0]);
	must_refuse(vhost_dev_device_state_save(dev, 4096, &state, &size), -EFBIG);
	ck_assert_ptr_null(state);
	ck_assert_uint_eq(size, 99);
	close(p[0]);
	close(p[1]);
}
END_TEST

START_TEST(B22_a_state_that_does_not_come_ends_at_the_deadline)
{
	size_t size = 99;
	void *state = NULL;
	int p[2];

	ck_assert_int_eq(pipe(p), 0);
	up();
	state_channel(p[0]);
	must_refuse(vhost_dev_device_state_save(dev, 4096, &state, &size), -ETIMEDOUT);
	ck_assert_ptr_null(state);
	close(p[0]);
	close(p[1]);
}
END_TEST

START_TEST(B22_a_state_that_is_not_taken_ends_at_the_deadline)
{
	size_t size = 1 << 20;
	void *state = calloc(1, size);
	int p[2], r;

	ck_assert_int_eq(pipe(p), 0);
	up();
	state_channel(p[1]);
	if (_i)
		close(p[0]);	/* or by nobody ever */
	r = vhost_dev_device_state_load(dev, state, size);
	ck_assert_msg(r == (_i ? -EPIPE : -ETIMEDOUT), "%d: %s", r, vhost_dev_error(dev));
	if (!_i)
		close(p[0]);
	close(p[1]);
	free(state);
}
END_TEST

START_TEST(B22_a_check_that_fails_is_told)
{
	up();
	say(VU_CHECK_DEVICE_STATE, _i ? UINT64_MAX : 1);
	must_refuse(vhost_dev_device_state_check(dev), -EREMOTEIO);
}
END_TEST

START_TEST(B23_postcopy_without_userfaultfd_is_refused)
{
	int fd = -1;

	up();
	put(VU_POSTCOPY_ADVISE, OK_FLAGS, NULL, 0);
	must_refuse(vhost_user_postcopy_advise(dev, &fd), -EREMOTEIO);
	ck_assert_int_eq(fd, -1);
	ck_assert_int_eq(vhost_user_postcopy_listen(dev), -EINVAL);
}
END_TEST

static void listen_now(void)
{
	int fd = -1, memfd = make_memfd(4096);

	put_fds(peer, VU_POSTCOPY_ADVISE, OK_FLAGS, NULL, 0, 0, &memfd, 1);
	ck_assert_int_eq(vhost_user_postcopy_advise(dev, &fd), 0);
	close(fd);
	close(memfd);
	say(VU_POSTCOPY_LISTEN, 0);
	ck_assert_int_eq(vhost_user_postcopy_listen(dev), 0);
}

static const struct {
	uint64_t guest, size, user;
	int result;
} echoes[] = {
	{ 0x10000, 65536, 0x7f0000000000, 0 },
	{ 0x20000, 65536, 0x7f0000000000, -EPROTO },
	{ 0x10000, 65535, 0x7f0000000000, -EPROTO },
	{ 0x10000, 65536, UINT64_MAX - 4095, -EPROTO },
	{ UINT64_MAX, UINT64_MAX, 0, -EPROTO },
};

START_TEST(B23_postcopy_addresses_that_cannot_be_are_refused)
{
	struct vu_mem_reg echo = { .region = {
		echoes[_i].guest, echoes[_i].size, echoes[_i].user, 0 } };
	uint64_t base;

	up();
	listen_now();
	ck_assert_int_eq(vhost_mem_new(65536, 0, 0x10000, &mem), 0);
	put(VU_ADD_MEM_REG, OK_FLAGS, &echo, sizeof(echo));
	if (echoes[_i].result) {
		must_break(vhost_dev_mem_add_mem(dev, mem));
		ck_assert_int_eq(vhost_user_postcopy_get_base(dev, 0x10000, &base), -ENOENT);
	} else {
		ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
		ck_assert_int_eq(vhost_user_postcopy_get_base(dev, 0x10000, &base), 0);
		ck_assert_uint_eq(base, echoes[_i].user);
	}
}
END_TEST

START_TEST(B23_postcopy_table_of_another_count_or_overlapping_is_refused)
{
	struct {
		struct vu_mem_table head;
		struct vu_region regions[3];
	} echo = {
		.head.n_regions = _i ? 2 : 3,
		.regions = { { 0x10000, 65536, 0x7f0000000000, 0 },
			     { 0x30000, 65536, 0x7f0000001000, 0 },
			     { 0x50000, 65536, 0x7f0000f00000, 0 } },
	};
	struct vhost_mem_desc descs[2];

	n_slots = 0;
	up();
	listen_now();
	ck_assert_int_eq(vhost_mem_new(65536, 0, 0x10000, &mem), 0);
	vhost_mem_describe(mem, &descs[0], sizeof(descs[0]));
	descs[1] = descs[0];
	descs[1].iova = 0x30000;
	put(VU_SET_MEM_TABLE, OK_FLAGS, &echo,
	    (uint32_t)(sizeof(echo.head) + echo.head.n_regions * sizeof(echo.regions[0])));
	must_break(vhost_dev_mem_set(dev, descs, 2, sizeof(descs[0])));
}
END_TEST

/* Each step of a start refused in turn. */
static void refused_start(int at, bool txn, bool silent)
{
	unsigned int i;
	int r = 0;

	up();
	give_memory();
	describe_queue(0);
	for (i = 0; i < 6; i++)
		say(start_requests[i], (int)i == at);
	when_sent = silent ? 0 : VU_GET_VRING_BASE;
	if (txn)
		ck_assert_int_eq(vhost_dev_begin(dev), 0);
	drain(0, NULL, 0);
	r = vhost_dev_start(dev);
	if (txn) {
		ck_assert_int_eq(r, 0);
		r = vhost_dev_commit(dev);
	}
	ck_assert_msg(r == -EREMOTEIO, "%d: %s", r, vhost_dev_error(dev));
	ck_assert_str_ne(vhost_dev_error(dev), "");
	if (silent) {
		ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_CLOSED);
		return;
	}
	ck_assert_int_eq(vhost_dev_error_kind(dev), VHOST_ERR_PEER_REFUSED);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	ck_assert_uint_eq(drain(VU_GET_VRING_BASE, NULL, 0), 1);
	/* and it can be tried again */
	start();
}

START_TEST(B24_a_start_refused_at_any_step_is_taken_back)
{
	refused_start(_i, false, false);
}
END_TEST

START_TEST(B24_a_start_refused_in_a_transaction_is_taken_back)
{
	refused_start(_i, true, false);
}
END_TEST

START_TEST(B24_a_taking_back_that_is_never_answered_ends_at_the_deadline)
{
	refused_start(2, _i, true);
}
END_TEST

/* The refusal comes while another transaction is begun, which is then given up. */
START_TEST(B24_a_start_refused_while_another_transaction_is_begun_is_taken_back)
{
	uint64_t value;
	unsigned int i;

	up();
	give_memory();
	describe_queue(0);
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	ck_assert_int_eq(vhost_dev_start(dev), 0);
	ck_assert_int_eq(vhost_dev_commit_async(dev, on_done, NULL), 0);
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	ck_assert_int_eq(vhost_dev_get_features(dev, &value), 0);
	for (i = 0; i < 6; i++)
		say(start_requests[i], i == 3);
	ck_assert_int_eq(vhost_dev_process(dev), 0);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	ck_assert_uint_eq(drain(VU_GET_VRING_BASE, NULL, 0), 1);
	if (_i) {
		ck_assert_int_eq(vhost_dev_cancel(dev), 0);
		say(VU_SET_VRING_ENABLE, 0);
		say_base(0, 0);
	} else {
		say(VU_SET_VRING_ENABLE, 0);
		say_base(0, 0);
		say(VU_GET_FEATURES, features);
		ck_assert_int_eq(vhost_dev_commit(dev), 0);
	}
	ck_assert_int_eq(vhost_dev_process(dev), 0);
	start();
}
END_TEST

START_TEST(B24_refused_memory_is_not_the_devices)
{
	up();
	ck_assert_int_eq(vhost_mem_new(65536, 0, 0x10000, &mem), 0);
	say(VU_ADD_MEM_REG, 1);
	must_refuse(vhost_dev_mem_add_mem(dev, mem), -EREMOTEIO);
	describe_queue(0);
	ck_assert_int_eq(vhost_dev_start(dev), -EFAULT);
	say(VU_ADD_MEM_REG, 0);
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	start();
}
END_TEST

START_TEST(B24_refused_memory_table_leaves_the_old_one)
{
	struct vhost_mem_desc desc;

	n_slots = 0;
	up();
	ck_assert_int_eq(vhost_mem_new(65536, 0, 0x10000, &mem), 0);
	say(VU_SET_MEM_TABLE, 0);
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	vhost_mem_describe(mem, &desc, sizeof(desc));
	desc.iova = 0x100000;
	say(VU_SET_MEM_TABLE, 1);
	must_refuse(vhost_dev_mem_set(dev, &desc, 1, sizeof(desc)), -EREMOTEIO);
	describe_queue(0);
	start();
}
END_TEST

START_TEST(B25_a_back_end_that_lost_something_is_incompatible)
{
	int fd, r;

	up();
	give_memory();
	say(VU_SET_FEATURES, 0);
	ck_assert_int_eq(vhost_dev_set_features(dev, F_VERSION_1), 0);
	describe_queue(0);
	describe_queue(1);
	fd = pair();
	switch (_i) {
	case 0:
		features &= ~F_VERSION_1;
		break;
	case 1:
		pf &= ~PF(CONFIG);
		break;
	case 2:
		n_queues = 1;
		break;
	default:
		features &= ~VU_F_PROTOCOL_FEATURES;
		break;
	}
	greet();
	r = vhost_dev_reconnect_fd(dev, fd, 0);
	close(fd);
	ck_assert_msg(r == -EPROTONOSUPPORT, "%d: %s", r, vhost_dev_error(dev));
	ck_assert_int_eq(vhost_dev_error_kind(dev), VHOST_ERR_INCOMPATIBLE);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_CLOSED);
}
END_TEST

/* Documented at vhost_dev_mem_remove(); what we can see to is that it cannot shrink it. */
START_TEST(B26_memory_kept_for_ever_can_neither_shrink_nor_grow)
{
	int fd;

	ck_assert_int_eq(vhost_mem_new(65536, 0, 0, &mem), 0);
	fd = vhost_mem_fd(mem);
	ck_assert_int_lt(ftruncate(fd, 0), 0);
	ck_assert_int_lt(ftruncate(fd, 1 << 20), 0);
	*(volatile uint8_t *)vhost_mem_addr(mem) = 1;
}
END_TEST

/* QEMU's and DPDK's private extensions carry pointers of their own: none is known here. */
START_TEST(B28_private_extensions_are_refused)
{
	uint64_t pointer = (uintptr_t)&peer;
	static const uint32_t private[] = { 1000, 1001, 0x40000001 };
	uint64_t value;

	up();
	ask(private[_i], &pointer, sizeof(pointer));
	ck_assert_int_eq(vhost_dev_process(dev), 0);
	ck_assert_int_gt(answered(), 0);
	say(private[_i], pointer);
	must_break(vhost_dev_get_features(dev, &value));
}
END_TEST

/* Any message number, any size, any flags, on both sockets, with the tracer reading along. */
START_TEST(garbage_of_any_kind_ends_well)
{
	unsigned int seed = (unsigned int)_i * 7919 + 1, i;
	uint8_t bytes[4608];

	pf |= PF(SHMEM) | PF(INBAND_NOTIFICATIONS);
	for (i = 0; i < 60; i++) {
		uint32_t request = (uint32_t)rand_r(&seed) % 48;
		uint32_t size = (uint32_t)rand_r(&seed) % (i % 2 ? 64 : 4608);
		int fds[2] = { -1, -1 }, n_fds = rand_r(&seed) % 3;
		uint64_t value;
		size_t k;

		if (!dev)
			up();
		fds[0] = fds[1] = peer;
		for (k = 0; k < size; k++)
			bytes[k] = (uint8_t)(rand_r(&seed) & (i % 3 ? 0xff : 0x03));
		if (i % 4) {
			ask_fds(request % 12, bytes, size, fds, (unsigned int)n_fds);
			vhost_dev_process(dev);
			while (answered() >= 0)
				;
		} else {
			put_fds(peer, request, OK_FLAGS, bytes, size, size, fds,
				(unsigned int)n_fds);
			vhost_dev_get_features(dev, &value);
		}
		if (i % 4 == 0 || vhost_dev_get_state(dev) == VHOST_DEV_CLOSED ||
		    send(chan, bytes, 0, MSG_NOSIGNAL) < 0 || i % 8 == 7) {
			dev = vhost_dev_unref(dev);
			close(chan);
			chan = -1;
		}
	}
}
END_TEST

#define LOOP(tc, fn, array) tcase_add_loop_test(tc, fn, 0, sizeof(array) / sizeof((array)[0]))

static TCase *add_case(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	suite_add_tcase(s, tc);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("hostile");
	SRunner *runner;
	int failed;
	TCase *tc;

	tc = add_case(s, "replies");
	tcase_add_test(tc, B1_reply_of_another_type_closes);
	tcase_add_test(tc, B1_second_reply_is_not_taken_for_the_next_request);
	tcase_add_test(tc, B1_unsolicited_reply_closes);
	tcase_add_test(tc, B1_reply_after_the_deadline_is_nobodys);
	LOOP(tc, B2_reply_of_another_size_closes, bad_sizes);
	LOOP(tc, B2_reply_that_says_it_is_huge_closes, huge_sizes);
	LOOP(tc, B2_acknowledgement_of_another_size_closes, bad_sizes);
	tcase_add_loop_test(tc, B2_no_reply_of_garbage_is_believed, 1, 64);
	LOOP(tc, B3_version_and_reply_flag_are_required_and_the_rest_tolerated, flags);
	/* the last two are more than there is room for */
	tcase_add_loop_test(tc, B4_descriptors_on_a_reply_that_has_none_are_closed, 0,
			    (int)(sizeof(fd_counts) / sizeof(fd_counts[0])) - (leak_emulated() ? 2 : 0));
	tcase_add_test(tc, B4_two_descriptors_where_one_belongs_are_closed);
	tcase_add_test(tc, B4_descriptors_in_the_middle_of_a_message_are_closed);
	tcase_add_test(tc, B4_missing_descriptor_is_a_refusal);
	tcase_add_test(tc, B5_unknown_features_are_never_sent_back);
	tcase_add_test(tc, B6_no_queues_is_an_error);
	tcase_add_loop_test(tc, B6_endless_queues_and_slots_are_clamped, 0, 2);
	tcase_add_test(tc, B6_no_slots_means_the_table);
	LOOP(tc, B7_config_reply_of_another_range_is_refused, configs);
	tcase_add_test(tc, B7_config_reply_without_payload_is_a_refusal);
	LOOP(tc, B8_base_of_another_queue_or_beyond_the_ring_is_refused, bases);
	LOOP(tc, B9_inflight_record_that_cannot_be_is_refused, inflights);

	tc = add_case(s, "silence and endings");
	tcase_add_test(tc, B10_silence_ends_at_the_deadline);
	tcase_add_test(tc, B10_silence_while_connecting_ends_at_the_deadline);
	tcase_add_test(tc, B10_silence_without_waiting_ends_at_the_deadline);
	tcase_add_test(tc, B10_an_answer_that_drips_ends_at_the_deadline);
	tcase_add_test(tc, B10_an_answer_split_at_any_byte_is_an_answer);
	tcase_add_test(tc, B10_a_peer_that_stops_reading_bounds_what_is_queued);
	tcase_add_loop_test(tc, B11_closed_while_connecting, 0, 5);
	tcase_add_test(tc, B11_gone_while_connecting);
	tcase_add_loop_test(tc, B11_closed_inside_of_a_message, 1, 20);
	tcase_add_loop_test(tc, B11_closed_in_the_middle_of_a_start, 0, 6);
	tcase_add_loop_test(tc, B11_closed_in_the_middle_of_a_transaction, 0, 6);
	tcase_add_test(tc, B11_gone_before_a_start);
	tcase_add_test(tc, B11_gone_between_begin_and_commit);

	tc = add_case(s, "the back-end's channel");
	tcase_add_test(tc, B12_unknown_requests_are_refused);
	tcase_add_test(tc, B12_descriptors_on_requests_that_have_none_are_closed);
	tcase_add_loop_test(tc, B12_what_is_no_request_closes_the_channel_only, 0, 6);
	if (!leak_emulated())
		tcase_add_test(tc, B12_too_many_descriptors_close_the_channel);
	tcase_add_test(tc, B12_a_flood_that_reads_no_answers_is_bounded);
	tcase_add_test(tc, B12_a_flood_does_not_move_the_deadline);
	tcase_add_test(tc, B13_bogus_misses_are_refused);
	tcase_add_test(tc, B13_a_miss_is_answered_with_what_is_there);
	tcase_add_test(tc, B13_a_miss_of_a_permission_that_is_not_there_is_refused);
	tcase_add_test(tc, B13_a_flood_of_misses_is_bounded);
	tcase_add_test(tc, B14_config_changes_while_the_config_is_read_do_not_deadlock);
	tcase_add_test(tc, B15_bad_host_notifiers_are_refused);
	tcase_add_test(tc, B15_host_notifiers_set_and_unset_leave_nothing_behind);
	tcase_add_loop_test(tc, B15_host_notifier_without_the_feature_is_refused, 0, 2);
	tcase_add_test(tc, B16_shared_memory_is_mapped_only_where_it_may_be);
	tcase_add_test(tc, B16_thousands_of_mappings_are_bounded);
	tcase_add_test(tc, B17_requests_of_others_numbering_are_refused);
	tcase_add_test(tc, B18_shared_objects_are_bounded_and_owned);
	tcase_add_test(tc, B18_a_lookup_is_always_answered);

	tc = add_case(s, "rings, state, start");
	tcase_add_test(tc, B20_a_storm_of_calls_is_for_queues_that_are_there);
	tcase_add_test(tc, B20_a_kick_eventfd_that_is_full_does_not_block);
	tcase_add_test(tc, B21_a_log_is_taken_once_and_only_within_its_size);
	tcase_add_test(tc, B21_a_log_that_says_everything_is_everything);
	tcase_add_loop_test(tc, B21_a_log_is_given_again_on_reconnection, 0, 2);
	LOOP(tc, B22_a_state_channel_that_contradicts_itself_is_refused, states);
	tcase_add_test(tc, B22_a_state_without_end_ends_at_the_limit);
	tcase_add_test(tc, B22_a_state_that_does_not_come_ends_at_the_deadline);
	tcase_add_loop_test(tc, B22_a_state_that_is_not_taken_ends_at_the_deadline, 0, 2);
	tcase_add_loop_test(tc, B22_a_check_that_fails_is_told, 0, 2);
	tcase_add_test(tc, B23_postcopy_without_userfaultfd_is_refused);
	LOOP(tc, B23_postcopy_addresses_that_cannot_be_are_refused, echoes);
	tcase_add_loop_test(tc, B23_postcopy_table_of_another_count_or_overlapping_is_refused, 0, 2);
	tcase_add_loop_test(tc, B24_a_start_refused_at_any_step_is_taken_back, 0, 6);
	tcase_add_loop_test(tc, B24_a_start_refused_in_a_transaction_is_taken_back, 0, 6);
	tcase_add_loop_test(tc, B24_a_taking_back_that_is_never_answered_ends_at_the_deadline, 0, 2);
	tcase_add_loop_test(tc, B24_a_start_refused_while_another_transaction_is_begun_is_taken_back,
			    0, 2);
	tcase_add_test(tc, B24_refused_memory_is_not_the_devices);
	tcase_add_test(tc, B24_refused_memory_table_leaves_the_old_one);
	tcase_add_loop_test(tc, B25_a_back_end_that_lost_something_is_incompatible, 0, 4);
	tcase_add_test(tc, B26_memory_kept_for_ever_can_neither_shrink_nor_grow);
	tcase_add_loop_test(tc, B28_private_extensions_are_refused, 0, 3);
	tcase_add_loop_test(tc, garbage_of_any_kind_ends_well, 0, 20);

	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
