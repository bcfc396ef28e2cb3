/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A hostile front-end against the back-end: each case is a test, F1 to F55 by the number in
 * its comment. After each the process is whole, nothing is left open or mapped, and what
 * was refused has changed nothing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <vhost/backend.h>
#include <vhost/vhost.h>

#include "backend-bench.h"
#include "proto/vu-msg.h"
#include "ring/layout.h"

#define FEATURES (F_PROTOCOL | F_VERSION_1 | F_INDIRECT)
#define N_REQUESTS (VU_REQUEST_LAST + 1)

/* A new connection, if the last message ended the old one; else it has to stand. */
static void alive_or_again(void)
{
	if (vhost_backend_is_connected(front.be)) {
		front_alive(&front);
		return;
	}
	front_attach(&front);
}

/* A payload that this message can have, as far as its size goes. */
static uint32_t plain_payload(uint32_t request, uint8_t *buf)
{
	const struct vu_row *row = vu_row(VU_FRONTEND, request);

	memset(buf, 0, 8192);
	return row ? row->size.min : 0;
}

/* A message that is refused: the refusal is told if it can be, else the connection ends. */
static void is_refused(enum front_outcome o, uint32_t request, const char *what)
{
	const struct vu_row *row = vu_row(VU_FRONTEND, request);

	if (o == FRONT_REFUSED || o == FRONT_CLOSED)
		return;
	/* replies of their own that say no: without payload, or all zeros without descriptor */
	ck_assert_msg(o == FRONT_REPLIED && row && row->reply == VU_REPLY_ALWAYS,
		      "message %u (%s): outcome %d: %s", request, what, o,
		      vhost_backend_error(front.be));
}

/* F1: every message with a number of descriptors that it cannot have */
START_TEST(f1_descriptors_that_a_message_cannot_have_are_closed_and_it_is_refused)
{
	static const unsigned int counts[] = { 0, 1, 2, 8, 9, 32, 253 };
	unsigned int n = counts[_i], i;
	uint32_t request;
	uint8_t payload[8192];
	int fds[253], before;

	if (n > 8 && leak_emulated())
		return;
	for (i = 0; i < n; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	open_back_end();
	for (request = 1; request < N_REQUESTS; request++) {
		const struct vu_row *row = vu_row(VU_FRONTEND, request);
		uint32_t size = plain_payload(request, payload);
		struct front_msg msg;
		enum front_outcome o;
		unsigned int most = row->fds == VU_FD_NONE ? 0 : 1;
		unsigned int least = row->fds == VU_FD_ONE || row->fds == VU_FD_NOFD_BIT;

		if (n >= least && n <= most)
			continue;
		if (row->fds == VU_FD_TABLE && n == 0)
			continue;
		front_set_u64(&front, VU_SET_PROTOCOL_FEATURES, PF_DEFAULT | PF(SHMEM));
		before = leak_count_fds();
		o = front_do(&front, request, FRONT_NEED_REPLY, payload, size, fds, n, &msg);
		if (o != FRONT_CLOSED && o != FRONT_SILENT) {
			ck_assert_uint_eq(msg.n_fds, 0);
			front_drop_fds(&msg);
		}
		is_refused(o, request, "descriptors");
		if (o != FRONT_CLOSED)
			ck_assert_int_eq(leak_count_fds(), before);
		alive_or_again();
	}
	for (i = 0; i < n; i++)
		close(fds[i]);
}
END_TEST

static unsigned int fill_descriptors(int *fds, unsigned int room)
{
	unsigned int n = 0;

	while (n < room) {
		fds[n] = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
		if (fds[n] < 0)
			break;
		n++;
	}
	return n;
}

/* F2, F3: descriptors that the kernel could not deliver */
START_TEST(f3_descriptors_that_do_not_fit_end_the_connection_and_are_not_half_applied)
{
	static int filler[4096];
	struct rlimit old, low;
	struct vu_mem_reg reg;
	unsigned int n;

	if (leak_emulated())
		return;
	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_mem_new(&mem, 0x10000, 0x100000, 0x7f0000000000);
	reg = front_mem_reg(&mem);
	front_put(front.fd, VU_ADD_MEM_REG, FRONT_NEED_REPLY, &reg, sizeof(reg), &mem.fd, 1);
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = 256;
	setrlimit(RLIMIT_NOFILE, &low);
	n = fill_descriptors(filler, 4096);
	front_pump(&front);
	while (n)
		close(filler[--n]);
	setrlimit(RLIMIT_NOFILE, &old);
	front_gone(&front);
	ck_assert_int_eq(device.gone < 0, 1);
	ck_assert_str_ne(vhost_backend_error(front.be), "");
	front_attach(&front);
	front_alive(&front);
}
END_TEST

/* F4: descriptors of the wrong kind; _i: which */
START_TEST(f4_descriptors_of_the_wrong_kind_are_refused)
{
	static const uint32_t requests[] = { VU_SET_VRING_KICK, VU_SET_VRING_CALL, VU_SET_VRING_ERR,
		VU_SET_LOG_FD };
	struct vu_mem_reg reg = { .region = { 0x100000, 0x1000, 0x7f0000000000, 0 } };
	uint64_t index = 0;
	int fd = -1, p[2] = { -1, -1 };
	unsigned int i;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	switch (_i) {
	case 0:
		fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		break;
	case 1:
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
		fd = p[0];
		break;
	case 2:
		ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
		fd = p[0];
		break;
	case 3:
		fd = epoll_create1(EPOLL_CLOEXEC);
		break;
	case 4:
		fd = open("/", O_PATH | O_CLOEXEC);
		break;
	case 5:
		fd = front.fd;		/* our own end of the channel */
		break;
	case 6:
		fd = eventfd(0, EFD_CLOEXEC);
		break;
	default:
		fd = memfd_create("file", MFD_CLOEXEC);
		ck_assert_int_eq(ftruncate(fd, 0x1000), 0);
		break;
	}
	ck_assert_int_ge(fd, 0);
	if (_i != 7)
		front_refused_fd(&front, VU_ADD_MEM_REG, &reg, sizeof(reg), fd);
	if (_i == 7 || _i == 0 || _i == 4)
		for (i = 0; i < 4; i++)
			front_refused_fd(&front, requests[i], &index, i == 3 ? 0 : 8, fd);
	if (_i != 1 && _i != 5)
		front_refused_fd(&front, VU_SET_BACKEND_REQ_FD, NULL, 0, fd);
	front_alive(&front);
	if (_i != 5)
		close(fd);
	if (p[1] >= 0)
		close(p[1]);
	if (p[0] >= 0 && p[0] != fd)
		close(p[0]);
}
END_TEST

/* F4: a kick that would block whoever reads it; F22: one that counts like a semaphore */
START_TEST(f4_a_kick_descriptor_in_blocking_or_semaphore_mode_blocks_nobody)
{
	int fd = eventfd(0, EFD_CLOEXEC | (_i ? EFD_SEMAPHORE : 0));
	uint64_t index = 0, many = 1000, max = UINT64_MAX - 1;

	bring_up(FEATURES, PF_QUIET);
	close(ring.kick);
	ring.kick = fd;
	front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, fd);
	front_roundtrip(&front, &ring);
	if (_i) {
		ck_assert_int_eq(write(fd, &many, 8), 8);
		front_turns(&front, 10);
		front_alive(&front);
		/* stuffed to its end (F22) */
		fcntl(fd, F_SETFL, O_NONBLOCK);
		(void)!write(fd, &max, 8);
		front_turns(&front, 10);
	}
	front_alive(&front);
	front_get_base(&front, 0);
	front_pump(&front);
}
END_TEST

/* F5: descriptors with bytes that are no header */
START_TEST(f5_descriptors_in_the_middle_of_a_message_are_closed)
{
	uint64_t index = 0;
	struct vu_header hdr = { VU_SET_VRING_CALL, FRONT_NEED_REPLY, 8 };
	int fd = eventfd(0, EFD_CLOEXEC), before;

	open_back_end();
	before = leak_count_fds();
	front_put_bytes(front.fd, &hdr, sizeof(hdr), NULL, 0);
	if (_i)
		front_pump(&front);
	front_put_bytes(front.fd, &index, 8, &fd, 1);
	front_pump(&front);
	/* whether it is refused or the connection ends, nothing stays open */
	if (vhost_backend_is_connected(front.be)) {
		front_expect_on(front.fd, VU_SET_VRING_CALL, FRONT_REPLY, NULL, 8, NULL, 0);
		front_alive(&front);
		front_hang_up(&front);
	}
	close(fd);
	ck_assert_int_le(leak_count_fds(), before);
}
END_TEST

/* F6: other control messages */
START_TEST(f6_credentials_that_come_along_are_ignored)
{
	struct vu_header hdr = { VU_GET_FEATURES, FRONT_PLAIN, 0 };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(struct ucred))];
	} control = { .buf = { 0 } };
	struct ucred cred = { getpid(), getuid(), getgid() };
	struct iovec iov = { &hdr, sizeof(hdr) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			     .msg_controllen = sizeof(control) };

	open_back_end();
	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_CREDENTIALS;
	control.align.cmsg_len = CMSG_LEN(sizeof(cred));
	memcpy(CMSG_DATA(&control.align), &cred, sizeof(cred));
	ck_assert_int_eq(sendmsg(front.fd, &mh, MSG_NOSIGNAL), sizeof(hdr));
	front_pump(&front);
	front_expect_on(front.fd, VU_GET_FEATURES, FRONT_REPLY, NULL, 8, NULL, 0);
	front_alive(&front);
}
END_TEST

/* F7: split anywhere */
START_TEST(f7_a_message_may_come_in_pieces)
{
	struct { struct vu_header hdr; struct vu_vring_state s; } m = {
		{ VU_SET_VRING_NUM, FRONT_NEED_REPLY, 8 }, { 0, 16 },
	};
	const uint8_t *bytes = (const uint8_t *)&m;
	size_t cut, i;

	open_back_end();
	for (cut = 1; cut < sizeof(m); cut++) {
		front_put_bytes(front.fd, bytes, cut, NULL, 0);
		front_pump(&front);
		front_expect_nothing(front.fd);
		front_put_bytes(front.fd, bytes + cut, sizeof(m) - cut, NULL, 0);
		front_pump(&front);
		front_expect_on(front.fd, VU_SET_VRING_NUM, FRONT_REPLY, NULL, 8, NULL, 0);
	}
	for (i = 0; i < sizeof(m); i++) {
		front_put_bytes(front.fd, bytes + i, 1, NULL, 0);
		front_pump(&front);
	}
	front_expect_on(front.fd, VU_SET_VRING_NUM, FRONT_REPLY, NULL, 8, NULL, 0);
}
END_TEST

/* F8: several messages in one segment, with descriptors */
START_TEST(f8_descriptors_belong_to_the_message_that_they_came_with)
{
	uint64_t a = 0, b = 1;
	int call0 = eventfd(0, EFD_CLOEXEC), call1 = eventfd(0, EFD_CLOEXEC);

	open_back_end();
	front_put(front.fd, VU_GET_FEATURES, FRONT_PLAIN, NULL, 0, NULL, 0);
	front_put(front.fd, VU_SET_VRING_CALL, FRONT_NEED_REPLY, &a, 8, &call0, 1);
	front_put(front.fd, VU_GET_FEATURES, FRONT_PLAIN, NULL, 0, NULL, 0);
	front_put(front.fd, VU_SET_VRING_CALL, FRONT_NEED_REPLY, &b, 8, &call1, 1);
	front_put(front.fd, VU_GET_FEATURES, FRONT_PLAIN, NULL, 0, NULL, 0);
	front_pump(&front);
	front_expect_on(front.fd, VU_GET_FEATURES, FRONT_REPLY, NULL, 8, NULL, 0);
	front_expect_on(front.fd, VU_SET_VRING_CALL, FRONT_REPLY, "\0\0\0\0\0\0\0\0", 8, NULL, 0);
	front_expect_on(front.fd, VU_GET_FEATURES, FRONT_REPLY, NULL, 8, NULL, 0);
	front_expect_on(front.fd, VU_SET_VRING_CALL, FRONT_REPLY, "\0\0\0\0\0\0\0\0", 8, NULL, 0);
	front_expect_on(front.fd, VU_GET_FEATURES, FRONT_REPLY, NULL, 8, NULL, 0);
	close(call0);
	close(call1);
}
END_TEST

/* F9: what is sent has no byte that was not written; padding is zero */
START_TEST(f9_padding_in_answers_is_zero)
{
	struct vu_inflight inflight = { .num_queues = 1, .queue_size = 8, .padding = 0xffffffff };
	struct front_msg msg;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET | PF(SHMEM));
	front_do(&front, VU_GET_INFLIGHT_FD, FRONT_PLAIN, &inflight, sizeof(inflight), NULL, 0, &msg);
	memcpy(&inflight, msg.payload, sizeof(inflight));
	ck_assert_uint_eq(inflight.padding, 0);
	front_drop_fds(&msg);
	front_do(&front, VU_GET_SHMEM_CONFIG, FRONT_PLAIN, NULL, 0, NULL, 0, &msg);
	ck_assert_int_eq(msg.payload[4] | msg.payload[5] | msg.payload[6] | msg.payload[7], 0);
}
END_TEST

/* F10: sizes around what each message has */
START_TEST(f10_payloads_of_the_wrong_size_are_refused)
{
	uint32_t request;
	uint8_t payload[8192];

	open_back_end();
	for (request = 1; request < N_REQUESTS; request++) {
		const struct vu_row *row = vu_row(VU_FRONTEND, request);
		uint32_t sizes[5] = { 0, row->size.min - 1, row->size.max + 1, row->size.max + 64,
				      4600 };
		unsigned int i;

		for (i = 0; i < 5; i++) {
			enum front_outcome o;
			int fd = -1;

			if (sizes[i] > 4608 ||
			    (sizes[i] >= row->size.min && sizes[i] <= row->size.max))
				continue;
			front_set_u64(&front, VU_SET_PROTOCOL_FEATURES, PF_DEFAULT | PF(SHMEM));
			if (row->fds == VU_FD_ONE || row->fds == VU_FD_NOFD_BIT)
				fd = eventfd(0, EFD_CLOEXEC);
			plain_payload(request, payload);
			o = front_do(&front, request, FRONT_NEED_REPLY, payload, sizes[i], &fd, fd >= 0,
				     NULL);
			is_refused(o, request, "size");
			if (fd >= 0)
				close(fd);
			alive_or_again();
		}
	}
}
END_TEST

/* F10: larger than any message */
START_TEST(f10_a_payload_larger_than_any_ends_the_connection)
{
	static const uint32_t sizes[] = { VU_MAX_PAYLOAD + 1, 65536, 0x7fffffff, 0xffffffff };
	struct vu_header hdr = { VU_SET_FEATURES, FRONT_NEED_REPLY, sizes[_i] };

	open_back_end();
	front_put_bytes(front.fd, &hdr, sizeof(hdr), NULL, 0);
	front_gone(&front);
	ck_assert_int_eq(device.gone, -EPROTO);
}
END_TEST

/* F11: flags of the header */
START_TEST(f11_versions_end_the_connection_and_replies_are_refused)
{
	static const uint32_t versions[] = { 0, 2, 3 };
	unsigned int i;

	open_back_end();
	ck_assert_int_eq(front_do(&front, VU_SET_OWNER, FRONT_PLAIN | VU_REPLY | VU_NEED_REPLY,
				  NULL, 0, NULL, 0, NULL), FRONT_REFUSED);
	ck_assert_int_eq(front_do(&front, VU_SET_OWNER, FRONT_PLAIN | VU_REPLY, NULL, 0, NULL, 0,
				  NULL), FRONT_SILENT);
	/* reserved bits are ignored */
	ck_assert_int_eq(front_do(&front, VU_SET_OWNER, 0xfffffff0 | FRONT_NEED_REPLY, NULL, 0,
				  NULL, 0, NULL), FRONT_ACKED);
	for (i = 0; i < 3; i++) {
		front_put(front.fd, VU_GET_FEATURES, versions[i], NULL, 0, NULL, 0);
		front_gone(&front);
		ck_assert_int_eq(device.gone, -EPROTO);
		front_attach(&front);
	}
}
END_TEST

/* F12: setters over and over cost nothing that stays */
START_TEST(f12_setters_that_are_repeated_leave_nothing_behind)
{
	struct vu_inflight inflight = { .num_queues = 2, .queue_size = 16 };
	struct vu_log log = { 4096, 0 };
	struct vu_vring_addr addr;
	struct leak here;
	int log_fd = memfd_create("log", MFD_CLOEXEC), i, pair[2];
	uint64_t index = 1;

	ck_assert_int_eq(ftruncate(log_fd, 4096), 0);
	open_back_end();
	front_negotiate(&front, FEATURES, PF_DEFAULT);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_ring_new(&ring, &mem, 0, 1, 16);
	addr = front_ring_addr(&ring);
	for (i = 0; i < 300; i++) {
		struct front_msg msg;

		front_set(&front, VU_SET_OWNER, NULL, 0);
		front_set_u64(&front, VU_SET_FEATURES, FEATURES);
		front_mem_table(&front, (const struct front_mem *const[]){ &mem }, 1);
		front_do(&front, VU_SET_LOG_BASE, FRONT_PLAIN, &log, sizeof(log), &log_fd, 1, &msg);
		front_set_fd(&front, VU_SET_LOG_FD, NULL, 0, ring.err);
		front_set_state(&front, VU_SET_VRING_NUM, 1, 16);
		front_set_state(&front, VU_SET_VRING_BASE, 1, 0);
		front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
		front_set_fd(&front, VU_SET_VRING_CALL, &index, 8, ring.call);
		front_set_fd(&front, VU_SET_VRING_ERR, &index, 8, ring.err);
		front_set_state(&front, VU_SET_VRING_ENABLE, 1, i % 2);
		front_set_u64(&front, VU_SET_STATUS, 15);
		front_do(&front, VU_GET_INFLIGHT_FD, FRONT_PLAIN, &inflight, sizeof(inflight), NULL,
			 0, &msg);
		memcpy(&inflight, msg.payload, sizeof(inflight));
		front_set_fd(&front, VU_SET_INFLIGHT_FD, &inflight, sizeof(inflight), msg.fds[0]);
		front_drop_fds(&msg);
		front_open_channel(&front);
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		front_set_fd(&front, VU_GPU_SET_SOCKET, NULL, 0, pair[0]);
		close(pair[0]);
		close(pair[1]);
		front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
		front_get_base(&front, 1);
		device.calls[0] = '\0';
		if (i == 0)
			here = leak_begin();
	}
	ck_assert_int_eq(leak_check(&here), 0);
	close(log_fd);
}
END_TEST

/* F13: numbers that are no message */
START_TEST(f13_unknown_messages_are_refused)
{
	static const uint32_t requests[] = { 0, 45, 46, 100, 1000, 0x7fffffff, 0xffffffff };
	unsigned int i;

	open_back_end();
	for (i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		uint64_t x = 1;

		ck_assert_int_eq(front_do(&front, requests[i], FRONT_NEED_REPLY, &x, 8, NULL, 0,
					  NULL), FRONT_REFUSED);
		ck_assert_int_eq(front_do(&front, requests[i], FRONT_PLAIN, NULL, 0, NULL, 0, NULL),
				 FRONT_SILENT);
	}
	front_alive(&front);
}
END_TEST

/* F14: rings that there are not */
START_TEST(f14_rings_that_there_are_not_are_refused)
{
	static const uint32_t indexes[] = { DEVICE_QUEUES, 0xff, 0x100, 0xffff, 0x10000, 0xffffffff };
	static const uint32_t states[] = { VU_SET_VRING_NUM, VU_SET_VRING_BASE,
		VU_SET_VRING_ENABLE, VU_SET_VRING_ADDR };
	unsigned int i, k;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_DEFAULT | PF(INBAND_NOTIFICATIONS));
	for (i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
		struct vu_vring_addr addr = { .index = indexes[i] };
		uint64_t fd_index = indexes[i] | VU_VRING_NOFD;

		for (k = 0; k < 3; k++)
			front_refused_state(&front, states[k], indexes[i], 1);
		front_refused(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
		front_refused_state(&front, VU_VRING_KICK, indexes[i], 0);
		if ((indexes[i] & 0xff) >= DEVICE_QUEUES) {
			front_refused(&front, VU_SET_VRING_KICK, &fd_index, 8);
			front_refused(&front, VU_SET_VRING_CALL, &fd_index, 8);
			front_refused(&front, VU_SET_VRING_ERR, &fd_index, 8);
		}
	}
	/* there is no base to tell, and no way to say so */
	for (i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
		struct vu_vring_state s = { indexes[i], 0 };

		front_put(front.fd, VU_GET_VRING_BASE, FRONT_PLAIN, &s, sizeof(s), NULL, 0);
		front_gone(&front);
		front_attach(&front);
	}
}
END_TEST

/* F15: every message in every state; _i: which state */
START_TEST(f15_every_message_in_every_state_leaves_the_process_whole)
{
	uint32_t request;
	uint8_t payload[8192];
	int log_fd = memfd_create("log", MFD_CLOEXEC);

	ck_assert_int_eq(ftruncate(log_fd, 4096), 0);
	for (request = 0; request < N_REQUESTS + 1; request++) {
		uint32_t size = plain_payload(request, payload);
		const struct vu_row *row = vu_row(VU_FRONTEND, request);
		struct vu_log log = { 4096, 0 };
		struct front_msg msg;
		enum front_outcome o;
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		device_close(&device);
		device_init(&device);
		open_back_end();
		if (_i >= 1)
			front_negotiate(&front, FEATURES, PF_DEFAULT | PF(SHMEM));
		if (_i >= 2) {
			front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
			front_mem_add(&front, &mem);
			front_ring_new(&ring, &mem, 0, 0, 16);
			front_ring_start(&front, &ring, 0);
		}
		if (_i >= 3)
			front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
		if (_i == 4) {
			device.mode = DEVICE_HOLD;
			front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
			front_ring_kick(&ring);
			front_pump(&front);
		}
		if (_i == 5)
			front_get_base(&front, 0);
		if (_i == 6) {
			front_do(&front, VU_SET_LOG_BASE, FRONT_PLAIN, &log, sizeof(log), &log_fd, 1,
				 &msg);
			front_set_u64(&front, VU_SET_FEATURES, FEATURES | F_LOG_ALL);
		}
		o = front_do(&front, request, FRONT_NEED_REPLY, payload, size, &fd,
			     row && (row->fds == VU_FD_ONE || row->fds == VU_FD_NOFD_BIT), NULL);
		/* an answer or the end; silence only where the answer waits for the device */
		if (o == FRONT_SILENT) {
			ck_assert_msg(request == VU_GET_VRING_BASE && _i == 4, "%u: no answer",
				      request);
			device_release(&device);
			front_pump(&front);
			front_expect_on(front.fd, request, FRONT_REPLY, NULL, 8, NULL, 0);
		}
		if (o != FRONT_CLOSED)
			front_alive(&front);
		front_close(&front);
		front_ring_close(&ring);
		front_mem_close(&mem);
		close(fd);
	}
	close(log_fd);
}
END_TEST

/* F16: sizes of rings */
START_TEST(f16_sizes_of_rings_are_bounded_and_of_split_ones_powers_of_two)
{
	static const uint32_t bad[] = { 0, 32769, 65535, 65536, 0xffffffff };
	struct vu_vring_addr addr;
	uint64_t index = 0;
	unsigned int i;

	open_back_end();
	front_negotiate(&front, FEATURES | (_i ? F_PACKED : 0), PF_QUIET);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		front_refused_state(&front, VU_SET_VRING_NUM, 0, bad[i]);
	front_set_state(&front, VU_SET_VRING_NUM, 0, 1);
	front_set_state(&front, VU_SET_VRING_NUM, 0, 32768);
	/* 12 is for packed rings only: found out at the start, at the latest */
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	front_ring_new(&ring, &mem, 0, 0, 16);
	addr = front_ring_addr(&ring);
	front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	if (_i) {
		front_set_state(&front, VU_SET_VRING_NUM, 0, 12);
		front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
		ck_assert(vhost_vring_is_running(vr(0)));
	} else {
		struct vu_vring_state s = { 0, 12 };

		front_do(&front, VU_SET_VRING_NUM, FRONT_PLAIN, &s, sizeof(s), NULL, 0, NULL);
		front_set_state(&front, VU_SET_VRING_NUM, 0, 12);
		front_refused_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
		ck_assert(!vhost_vring_is_running(vr(0)));
		front_set_state(&front, VU_SET_VRING_NUM, 0, 16);
		front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
		front_roundtrip(&front, &ring);
	}
}
END_TEST

/* F17: addresses of rings; _i: which is wrong */
START_TEST(f17_a_ring_at_a_bad_address_is_not_started_and_the_area_is_named)
{
	static const struct {
		int64_t desc, avail, used;	/* added to what is right */
		const char *area;
	} cases[] = {
		{ 0x3fff0, 0, 0, "descriptor" }, { 0, 0x3fffe, 0, "avail" },
		{ 0, 0, 0x3fffc, "used" }, { 1, 0, 0, "descriptor" }, { 8, 0, 0, "descriptor" },
		{ 0, 1, 0, "avail" }, { 0, 0, 2, "used" }, { 0, 0, 1, "used" },
		{ -0x7f0000000000 - 16, 0, 0, "descriptor" },
		{ -0x7f0000000000, 0, 0, "descriptor" }, { 0, -0x7f0000000000, 0, "avail" },
		{ 0, 0, -0x7f0000000000, "used" }, { 0x100000, 0, 0, "descriptor" },
	};
	struct vu_vring_addr addr;
	uint64_t index = 0;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	front_ring_new(&ring, &mem, 0, 0, 16);
	addr = front_ring_addr(&ring);
	addr.desc += (uint64_t)cases[_i].desc;
	addr.avail += (uint64_t)cases[_i].avail;
	addr.used += (uint64_t)cases[_i].used;
	front_set_state(&front, VU_SET_VRING_NUM, 0, 16);
	front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	front_refused_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
	ck_assert(!vhost_vring_is_running(vr(0)));
	ck_assert_msg(strstr(vhost_vring_error(vr(0)), cases[_i].area) != NULL, "%s",
		      vhost_vring_error(vr(0)));
	front_alive(&front);
	/* put right, it runs */
	addr = front_ring_addr(&ring);
	front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
	front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
	front_roundtrip(&front, &ring);
}
END_TEST

/* F17: areas that lie over each other are the driver's own trouble; unknown flags are not */
START_TEST(f17_areas_that_overlap_hurt_nobody_and_unknown_flags_are_refused)
{
	struct vu_vring_addr addr;
	uint64_t index = 0;
	int i;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	front_ring_new(&ring, &mem, 0, 0, 16);
	addr = front_ring_addr(&ring);
	addr.flags = 2;
	front_refused(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
	addr.flags = 0;
	addr.avail = addr.used = addr.desc;
	front_set_state(&front, VU_SET_VRING_NUM, 0, 16);
	front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	front_do(&front, VU_SET_VRING_KICK, FRONT_PLAIN, &index, 8, &ring.kick, 1, NULL);
	for (i = 0; i < 16; i++) {
		memset(mem.addr, i * 0x11, 512);
		front_ring_kick(&ring);
		front_turns(&front, 20);
	}
	front_alive(&front);
}
END_TEST

/* F18: what is frozen while a ring runs */
START_TEST(f18_a_running_ring_is_not_changed)
{
	struct vu_vring_addr addr;

	bring_up(FEATURES, PF_QUIET);
	front_refused_state(&front, VU_SET_VRING_NUM, 0, 8);
	front_refused_state(&front, VU_SET_VRING_BASE, 0, 8);
	front_refused_u64(&front, VU_SET_FEATURES, FEATURES | F_EVENT_IDX);
	front_set_u64(&front, VU_SET_FEATURES, FEATURES | F_LOG_ALL);
	front_set_u64(&front, VU_SET_FEATURES, FEATURES);
	addr = front_ring_addr(&ring);
	addr.flags = VU_VRING_ADDR_LOG;
	addr.log = mem.guest + ring.used;
	front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
	addr.desc += 0x1000;
	front_refused(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
	front_roundtrip(&front, &ring);
}
END_TEST

/* F19: where rings begin */
START_TEST(f19_a_base_of_a_split_ring_is_any_of_16_bits_and_of_a_packed_one_inside_it)
{
	static const uint32_t good[] = { 0, 1, 15, 16, 0x7fff, 0x8000, 0xffff };
	static const uint32_t bad[] = { 16 | 0x80008000, 0x80108000, 0x7fff | 0x80000000 };
	uint64_t index = 0;
	unsigned int i;

	open_back_end();
	front_negotiate(&front, FEATURES | (_i ? F_PACKED : 0), PF_QUIET);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	front_ring_new(&ring, &mem, 0, 0, 16);
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	if (!_i) {
		for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
			struct split_avail *avail = (void *)(mem.addr + ring.avail);
			struct split_used *used = (void *)(mem.addr + ring.used);

			avail->idx = used->idx = htole16((uint16_t)good[i]);
			front_ring_start(&front, &ring, good[i]);
			ck_assert_uint_eq(front_get_base(&front, 0), good[i]);
		}
		front_refused_state(&front, VU_SET_VRING_BASE, 0, 0x10000);
		return;
	}
	front_ring_start(&front, &ring, 0x80008000 | 15);
	ck_assert(vhost_vring_is_running(vr(0)));
	ck_assert_uint_eq(front_get_base(&front, 0) & 0xffff, 0x800f);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vu_vring_state s = { 0, bad[i] };

		/* at once, or when it is to start */
		if (front_do(&front, VU_SET_VRING_BASE, FRONT_NEED_REPLY, &s, 8, NULL, 0, NULL) ==
		    FRONT_ACKED)
			front_refused_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
		ck_assert(!vhost_vring_is_running(vr(0)));
	}
	front_alive(&front);
}
END_TEST

/* F20: the base, asked for too often */
START_TEST(f20_a_base_that_is_asked_for_twice_is_the_same)
{
	struct vu_vring_state s = { 0, 0 }, want = { 0, 1 };

	bring_up(FEATURES, PF_QUIET);
	device.mode = DEVICE_HOLD;
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	front_put(front.fd, VU_GET_VRING_BASE, FRONT_PLAIN, &s, sizeof(s), NULL, 0);
	front_put(front.fd, VU_GET_VRING_BASE, FRONT_PLAIN, &s, sizeof(s), NULL, 0);
	front_pump(&front);
	front_expect_nothing(front.fd);
	device_release(&device);
	front_pump(&front);
	front_expect_on(front.fd, VU_GET_VRING_BASE, FRONT_REPLY, &want, 8, NULL, 0);
	front_expect_on(front.fd, VU_GET_VRING_BASE, FRONT_REPLY, &want, 8, NULL, 0);
	ck_assert_uint_eq(front_get_base(&front, 1), 0);
}
END_TEST

/* F21: toggled under load */
START_TEST(f21_enabling_over_and_over_loses_no_request)
{
	unsigned int i, back = 0;

	bring_up(FEATURES, PF_QUIET);
	front_refused_state(&front, VU_SET_VRING_ENABLE, 0, 2);
	for (i = 0; i < 2000; i++) {
		front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
		front_ring_kick(&ring);
		front_set_state(&front, VU_SET_VRING_ENABLE, 0, i % 2);
		while (front_ring_used(&ring, NULL, NULL))
			back++;
		device.calls[0] = '\0';
	}
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	while (front_ring_used(&ring, NULL, NULL))
		back++;
	ck_assert_uint_eq(back, i);
}
END_TEST

/* F22: a kick before the addresses; no call and no err; and a kick whose peer has gone */
START_TEST(f22_a_kick_that_comes_first_is_not_lost)
{
	struct vu_vring_addr addr;
	uint64_t index = 0;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_ring_new(&ring, &mem, 0, 0, 16);
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
	front_pump(&front);
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	front_set_state(&front, VU_SET_VRING_NUM, 0, 16);
	addr = front_ring_addr(&ring);
	front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
	ck_assert(!vhost_vring_is_running(vr(0)));
	front_mem_add(&front, &mem);
	ck_assert(vhost_vring_is_running(vr(0)));
	ck_assert(front_ring_used(&ring, NULL, NULL));
	close(ring.kick);
	ring.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	front_pump(&front);
	front_alive(&front);
}
END_TEST

/* F23: a call that would block who writes to it */
START_TEST(f23_a_call_descriptor_that_is_full_blocks_nobody)
{
	int fd = eventfd(0, EFD_CLOEXEC);	/* blocking */
	uint64_t index = 0, max = UINT64_MAX - 1;

	bring_up(FEATURES, PF_QUIET);
	ck_assert_int_eq(write(fd, &max, 8), 8);
	front_set_fd(&front, VU_SET_VRING_CALL, &index, 8, fd);
	alarm(20);
	front_roundtrip(&front, &ring);
	alarm(0);
	close(fd);
}
END_TEST

/* F24: counts of regions */
START_TEST(f24_a_table_has_as_many_descriptors_as_regions)
{
	struct { struct vu_mem_table head; struct vu_region region[12]; } t = { .head = { 0, 0 } };
	static const struct { uint32_t n, bytes; unsigned int fds; } cases[] = {
		{ 1, 1, 0 }, { 1, 1, 2 }, { 2, 2, 1 }, { 2, 1, 1 }, { 1, 2, 1 }, { 9, 9, 8 },
		{ 509, 1, 1 }, { 0xffffffff, 1, 1 }, { 0, 1, 1 }, { 8, 8, 7 },
	};
	struct vhost_mem_desc d;
	int fds[8];
	unsigned int i;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET & ~PF(CONFIGURE_MEM_SLOTS));
	front_mem_new(&mem, 0x10000, 0x100000, 0x7f0000000000);
	for (i = 0; i < 8; i++)
		fds[i] = mem.fd;
	for (i = 0; i < 12; i++)
		t.region[i] = (struct vu_region){ 0x100000 * (i + 1), 0x10000,
						  0x7f0000000000 + 0x100000 * i, 0 };
	front_mem_table(&front, (const struct front_mem *const[]){ &mem }, 1);
	t.head.n_regions = cases[_i].n;
	ck_assert_int_eq(front_do(&front, VU_SET_MEM_TABLE, FRONT_NEED_REPLY, &t,
				  (uint32_t)(8 + 32 * cases[_i].bytes), fds, cases[_i].fds, NULL),
			 FRONT_REFUSED);
	/* what there was is still there */
	ck_assert_int_eq(vhost_backend_get_mem(front.be, 0, &d, sizeof(d)), 0);
	ck_assert_uint_eq(d.iova, 0x100000);
	t.head.n_regions = 8;
	ck_assert_int_eq(front_do(&front, VU_SET_MEM_TABLE, FRONT_NEED_REPLY, &t, 8 + 32 * 8, fds,
				  8, NULL), FRONT_ACKED);
	front_mem_table(&front, NULL, 0);
	ck_assert_int_eq(vhost_backend_get_mem(front.be, 0, &d, sizeof(d)), -ENOENT);
}
END_TEST

/* F25, F54: regions that cannot be */
START_TEST(f25_a_region_that_cannot_be_is_refused)
{
	static const struct vu_region cases[] = {
		{ 0x100000, 0, 0x7f0000000000, 0 },
		{ UINT64_MAX - 0xfff, 0x10000, 0x7f0000000000, 0 },
		{ 0x100000, 0x10000, UINT64_MAX - 0xfff, 0 },
		{ 0x100000, 0x10000, 0x7f0000000000, UINT64_MAX - 0xfff },
		{ 0x100000, 0x10000, 0x7f0000000000, 0x100000 },
		{ 0x100000, 0x20000, 0x7f0000000000, 0 },
		{ 0x100000, 1ull << 63, 0x7f0000000000, 0 },
		{ 0x100000, 1ull << 32, 0x7f0000000000, 0 },
		{ 0x100000, 1ull << 31, 0x7f0000000000, 0 },
		{ 0x100000, UINT64_MAX, 0x7f0000000000, 0 },
		{ 0, 1ull << 62, 0, 1ull << 62 },
	};
	struct vu_mem_reg reg = { .region = cases[_i] };
	struct vhost_mem_desc d;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_mem_new(&mem, 0x10000, 0x100000, 0x7f0000000000);
	front_refused_fd(&front, VU_ADD_MEM_REG, &reg, sizeof(reg), mem.fd);
	ck_assert_int_eq(vhost_backend_get_mem(front.be, 0, &d, sizeof(d)), -ENOENT);
	front_mem_add(&front, &mem);
}
END_TEST

/* F25: an offset that is no page's */
START_TEST(f25_a_region_need_not_start_on_a_page)
{
	struct vu_mem_reg reg = { .region = { 0x100800, 0x8000, 0x7f0000000800, 0x800 } };
	void *p;
	uint64_t len;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_mem_new(&mem, 0x10000, 0x100000, 0x7f0000000000);
	strcpy((char *)mem.addr + 0x800, "here");
	front_set_fd(&front, VU_ADD_MEM_REG, &reg, sizeof(reg), mem.fd);
	ck_assert_int_eq(vhost_backend_translate(front.be, 0x100800, VHOST_IOTLB_PERM_READ, &p, &len),
			 0);
	ck_assert_str_eq(p, "here");
	ck_assert_uint_eq(len, 0x8000);
}
END_TEST

/* F26: regions over each other */
START_TEST(f26_regions_that_overlap_are_refused_and_one_file_many_times_is_fine)
{
	struct vu_mem_reg reg;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_mem_new(&mem, 0x10000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	reg = front_mem_reg(&mem);
	/* the very same is no new one: QEMU adds it once for each pair of queues */
	front_set_fd(&front, VU_ADD_MEM_REG, &reg, sizeof(reg), mem.fd);
	front_mem_remove(&front, &mem);
	front_set_fd(&front, VU_ADD_MEM_REG, &reg, sizeof(reg), mem.fd);
	reg.region.user_addr += 0x100000;
	front_refused_fd(&front, VU_ADD_MEM_REG, &reg, sizeof(reg), mem.fd);
	reg.region.guest_addr += 0xffff;
	front_refused_fd(&front, VU_ADD_MEM_REG, &reg, sizeof(reg), mem.fd);
	reg = front_mem_reg(&mem);
	reg.region.guest_addr += 0x100000;
	reg.region.user_addr += 0xf000;
	front_refused_fd(&front, VU_ADD_MEM_REG, &reg, sizeof(reg), mem.fd);
	reg.region.user_addr += 0x1000;
	front_set_fd(&front, VU_ADD_MEM_REG, &reg, sizeof(reg), mem.fd);
}
END_TEST

/* F27: slots */
START_TEST(f27_slots_are_counted_and_only_what_is_there_is_removed)
{
	struct vu_mem_reg reg, wrong;
	unsigned int i;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_mem_new(&mem, 0x1000, 0x100000, 0x7f0000000000);
	reg = front_mem_reg(&mem);
	for (i = 0; i < 509; i++) {
		front_set_fd(&front, VU_ADD_MEM_REG, &reg, sizeof(reg), mem.fd);
		device.calls[0] = '\0';
		reg.region.guest_addr += 0x1000;
		reg.region.user_addr += 0x1000;
	}
	front_refused_fd(&front, VU_ADD_MEM_REG, &reg, sizeof(reg), mem.fd);
	front_refused(&front, VU_REM_MEM_REG, &reg, sizeof(reg));
	reg = front_mem_reg(&mem);
	wrong = reg;
	wrong.region.size = 0x2000;
	front_refused(&front, VU_REM_MEM_REG, &wrong, sizeof(wrong));
	wrong = reg;
	wrong.region.user_addr++;
	front_refused(&front, VU_REM_MEM_REG, &wrong, sizeof(wrong));
	front_set(&front, VU_REM_MEM_REG, &reg, sizeof(reg));
	front_set_fd(&front, VU_ADD_MEM_REG, &reg, sizeof(reg), mem.fd);
}
END_TEST

/* F27: the memory that a ring lies in is taken away */
START_TEST(f27_a_ring_whose_memory_is_removed_ends_and_touches_it_no_more)
{
	bring_up(FEATURES, PF_QUIET);
	front_roundtrip(&front, &ring);
	device.mode = DEVICE_HOLD;
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	front_mem_remove(&front, &mem);
	ck_assert(!vhost_vring_is_running(vr(0)));
	device_release(&device);
	front_pump(&front);
	front_ring_kick(&ring);
	front_pump(&front);
	front_alive(&front);
	front_get_base(&front, 0);
}
END_TEST

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	if (!vhost_backend_handle_sigbus(info->si_addr))
		_exit(42);
}

/* F29: files that are cut short */
START_TEST(f29_a_file_that_is_cut_short_breaks_the_ring_with_the_helper)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
	struct sigaction old;
	struct vhost_req req;

	if (leak_emulated())
		return;		/* qemu-user has the fault itself */
	sigaction(SIGBUS, &sa, &old);
	bring_up(FEATURES, PF_QUIET);
	front_mem_new(&more, 0x10000, 0x800000, 0x60000000);
	front_mem_add(&front, &more);
	front_roundtrip(&front, &ring);
	ck_assert_int_eq(ftruncate(more.fd, 0), 0);
	/* the ring itself is whole; a buffer is not */
	front_ring_add(&ring, (struct front_buf[]){ { more.guest, 16, 0 },
						    { more.guest + 0x1000, 16, DESC_F_WRITE } }, 2);
	front_ring_kick(&ring);
	front_pump(&front);
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	ck_assert_int_eq(vhost_vring_pop(vr(0), &req, 1), -EBADMSG);
	ck_assert_str_ne(vhost_vring_error(vr(0)), "");
	front_alive(&front);
	ck_assert_int_eq(vhost_backend_handle_sigbus(&sa), 0);
	sigaction(SIGBUS, &old, NULL);
}
END_TEST

/* F29: seals where they are required */
START_TEST(f29_a_file_that_can_shrink_is_refused_where_seals_are_required)
{
	struct vu_mem_reg reg;

	device.ops.flags = VHOST_BACKEND_SEALED_MEM;
	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_mem_new(&mem, 0x10000, 0x100000, 0x7f0000000000);
	reg = front_mem_reg(&mem);
	front_refused_fd(&front, VU_ADD_MEM_REG, &reg, sizeof(reg), mem.fd);
	ck_assert_int_eq(fcntl(mem.fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	front_mem_add(&front, &mem);
}
END_TEST

static int make_log(size_t size, uint8_t **ret)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	*ret = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(*ret, MAP_FAILED);
	return fd;
}

static enum front_outcome set_log(uint64_t size, uint64_t offset, int fd)
{
	struct vu_log log = { size, offset };

	return front_do(&front, VU_SET_LOG_BASE, FRONT_NEED_REPLY, &log, sizeof(log), &fd, fd >= 0,
			NULL);
}

/* F30: logs that cannot be; F53: an offset that is applied once */
START_TEST(f30_a_log_that_cannot_be_is_refused)
{
	static const struct { uint64_t size, offset; bool no_fd; } cases[] = {
		{ 0, 0, false }, { 4096, UINT64_MAX - 100, false }, { UINT64_MAX, 1, false },
		{ 0x20000, 0, false }, { 4096, 0x10000, false }, { 4096, 0, true },
		{ 1ull << 32, 0, false }, { 1ull << 63, 1ull << 63, false },
	};
	uint8_t *bits;
	int fd = make_log(0x4000, &bits);
	enum front_outcome o;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	o = set_log(cases[_i].size, cases[_i].offset, cases[_i].no_fd ? -1 : fd);
	ck_assert_msg(o == FRONT_CLOSED || o == FRONT_REFUSED, "outcome %d", o);
	alive_or_again();
	munmap(bits, 0x4000);
	close(fd);
}
END_TEST

/* Is the page that a round trip writes to marked in this log, and in no other? */
static bool marked(uint8_t *bits)
{
	const uint64_t page = (0x100000 + 0x21000) >> 12;
	bool yes = bits[page / 8] & 1 << page % 8;

	memset(bits, 0, 0x1000);
	return yes;
}

/* F32: logging is switched, and its file replaced, while requests come and are held */
START_TEST(f32_logging_follows_its_switch_and_its_file_in_traffic)
{
	uint8_t *bits[2];
	int fds[2] = { make_log(0x1000, &bits[0]), make_log(0x1000, &bits[1]) }, i;

	bring_up(FEATURES, PF_QUIET);
	for (i = 0; i < 20; i++) {
		int now = i & 1;

		ck_assert_int_eq(set_log(0x1000, 0, fds[now]), FRONT_REPLIED);
		/* what was popped before is marked where the log is when it is pushed */
		device.mode = DEVICE_HOLD;
		front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
		front_ring_kick(&ring);
		front_pump(&front);
		front_set_u64(&front, VU_SET_FEATURES, FEATURES | F_LOG_ALL);
		device_release(&device);
		device.mode = DEVICE_ECHO;
		ck_assert(front_ring_used(&ring, NULL, NULL));
		ck_assert(marked(bits[now]));
		ck_assert(!marked(bits[!now]));
		front_roundtrip(&front, &ring);
		ck_assert(marked(bits[now]));
		front_set_u64(&front, VU_SET_FEATURES, FEATURES);
		front_roundtrip(&front, &ring);
		ck_assert(!marked(bits[now]));
		ck_assert(!marked(bits[!now]));
	}
	for (i = 0; i < 2; i++) {
		munmap(bits[i], 0x1000);
		close(fds[i]);
	}
}
END_TEST

/* G22: what a driver makes available before a ring is started, and after a reset */
START_TEST(g22_a_ring_that_is_not_started_is_not_touched)
{
	struct vhost_req req;

	bring_up(FEATURES, PF_QUIET);
	front_get_base(&front, 0);
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	ck_assert_int_eq(vhost_vring_pop(vr(0), &req, 1), 0);
	front_ring_start(&front, &ring, 0);
	ck_assert(front_ring_used(&ring, NULL, NULL));
	front_set(&front, VU_RESET_DEVICE, NULL, 0);
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	ck_assert_int_eq(vhost_vring_pop(vr(0), &req, 1), 0);
	ck_assert(!front_ring_used(&ring, NULL, NULL));
	front_alive(&front);
}
END_TEST

/* F53: the exact byte */
START_TEST(f53_the_offset_of_a_log_counts_once)
{
	static const uint64_t offsets[] = { 0, 0x1000, 24, 0x1001, 4095 };
	uint64_t offset = offsets[_i], page = (0x100000 + 0x21000) >> 12, i;
	uint8_t *bits;
	int fd = make_log(0x4000, &bits);

	bring_up(FEATURES, PF_QUIET);
	ck_assert_int_eq(set_log(0x1000, offset, fd), FRONT_REPLIED);
	front_set_u64(&front, VU_SET_FEATURES, FEATURES | F_LOG_ALL);
	front_roundtrip(&front, &ring);
	for (i = 0; i < 0x4000; i++)
		ck_assert_msg(bits[i] == (i == offset + page / 8 ? 1 << page % 8 : 0),
			      "byte %u is 0x%x", (unsigned int)i, bits[i]);
	munmap(bits, 0x4000);
	close(fd);
}
END_TEST

/* F30: a log too small for the memory; F31: marks of the last page, of nothing, far away */
START_TEST(f31_what_lies_beyond_the_log_is_not_marked)
{
	struct vu_vring_addr addr;
	uint8_t *bits;
	int fd = make_log(0x1000, &bits);
	unsigned int i;
	void *p;
	uint64_t len;

	bring_up(FEATURES, PF_QUIET);
	/* covers up to page 0x120: what is written is at 0x121 */
	ck_assert_int_eq(set_log(0x24, 0, fd), FRONT_REPLIED);
	front_set_u64(&front, VU_SET_FEATURES, FEATURES | F_LOG_ALL);
	addr = front_ring_addr(&ring);
	addr.flags = VU_VRING_ADDR_LOG;
	addr.log = 0xfffffffffffff001;
	front_do(&front, VU_SET_VRING_ADDR, FRONT_NEED_REPLY, &addr, sizeof(addr), NULL, 0, NULL);
	front_roundtrip(&front, &ring);
	ck_assert_int_eq(vhost_backend_translate(front.be, mem.guest + mem.size - 1,
						 VHOST_IOTLB_PERM_WRITE, &p, &len), 0);
	vhost_backend_mark_dirty(front.be, p, 1);
	vhost_backend_mark_dirty(front.be, p, 0);
	vhost_backend_mark_dirty(front.be, p, UINT64_MAX);
	vhost_backend_mark_dirty(front.be, &addr, 1ull << 32);
	vhost_backend_mark_dirty(front.be, NULL, 1);
	for (i = 0x24; i < 0x1000; i++)
		ck_assert_int_eq(bits[i], 0);
	munmap(bits, 0x1000);
	close(fd);
}
END_TEST

/* F33, F34: numbers of the record */
START_TEST(f33_a_record_with_impossible_numbers_is_refused)
{
	static const struct { uint16_t queues, size; } cases[] = {
		{ 0, 16 }, { 65535, 16 }, { DEVICE_QUEUES + 1, 16 }, { 1, 0 }, { 1, 32769 },
		{ 1, 65535 }, { 65535, 65535 },
	};
	struct vu_inflight w = { 0 };
	struct front_msg msg;
	unsigned int i;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		w = (struct vu_inflight){ 0, 0, cases[i].queues, cases[i].size, 0 };
		front_do(&front, VU_GET_INFLIGHT_FD, FRONT_PLAIN, &w, sizeof(w), NULL, 0, &msg);
		ck_assert_uint_eq(msg.n_fds, 0);
		memcpy(&w, msg.payload, sizeof(w));
		ck_assert_uint_eq(w.mmap_size, 0);
	}
	w = (struct vu_inflight){ 0, 0, 2, 64, 0 };
	for (i = 0; i < 100; i++) {
		front_do(&front, VU_GET_INFLIGHT_FD, FRONT_PLAIN, &w, sizeof(w), NULL, 0, &msg);
		ck_assert_uint_eq(msg.n_fds, 1);
		front_drop_fds(&msg);
	}
}
END_TEST

START_TEST(f34_a_record_that_does_not_fit_is_refused)
{
	struct vu_inflight good = { 0, 0, 2, 16, 0 }, w;
	struct front_msg msg;
	unsigned int i;
	int fd;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_do(&front, VU_GET_INFLIGHT_FD, FRONT_PLAIN, &good, sizeof(good), NULL, 0, &msg);
	memcpy(&good, msg.payload, sizeof(good));
	fd = msg.fds[0];
	for (i = 0; i < 7; i++) {
		w = good;
		switch (i) {
		case 0:
			w.num_queues = DEVICE_QUEUES + 1;
			break;
		case 1:
			w.mmap_size = 64;
			break;
		case 2:
			w.mmap_offset = UINT64_MAX - 63;
			break;
		case 3:
			w.mmap_offset = 1 << 20;
			break;
		case 4:
			w.queue_size = 32768;
			break;
		case 5:
			w.mmap_size = 1ull << 40;
			break;
		default:
			w.mmap_size = 0;
			break;
		}
		front_refused_fd(&front, VU_SET_INFLIGHT_FD, &w, sizeof(w), fd);
	}
	front_set_fd(&front, VU_SET_INFLIGHT_FD, &good, sizeof(good), fd);
	front_set_fd(&front, VU_SET_INFLIGHT_FD, &good, sizeof(good), fd);
	/* not any more, once rings run */
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	front_ring_new(&ring, &mem, 0, 0, 16);
	front_ring_start(&front, &ring, 0);
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	front_refused_fd(&front, VU_SET_INFLIGHT_FD, &good, sizeof(good), fd);
	front_roundtrip(&front, &ring);
	close(fd);
}
END_TEST

/* F35: what is written in the record; _i: what of it is wrong */
START_TEST(f35_a_record_full_of_lies_is_survived)
{
	struct vu_inflight w = { 0, 0, 1, 16, 0 };
	struct front_msg msg;
	uint64_t index = 0;
	uint16_t *words;
	uint8_t *map;
	int fd;
	unsigned int i;

	open_back_end();
	front_negotiate(&front, FEATURES | (_i & 1 ? F_PACKED : 0), PF_QUIET);
	front_do(&front, VU_GET_INFLIGHT_FD, FRONT_PLAIN, &w, sizeof(w), NULL, 0, &msg);
	memcpy(&w, msg.payload, sizeof(w));
	fd = msg.fds[0];
	map = mmap(NULL, (size_t)w.mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	words = (uint16_t *)(void *)map;
	switch (_i / 2) {
	case 0:
		memset(map, 0xff, (size_t)w.mmap_size);
		break;
	case 1:
		memset(map, 1, (size_t)w.mmap_size);
		words[4] = 1;
		break;
	case 2:			/* version 1, and more descriptors than there are */
		words[4] = 1;
		words[5] = 0xffff;
		break;
	case 3:			/* the last batch, or the free list, is far away */
		words[4] = 1;
		words[5] = 16;
		words[6] = 0x7fff;
		words[7] = 0xffff;
		break;
	default:		/* all in flight, with one counter */
		memset(map + 16, 1, (size_t)w.mmap_size - 16);
		words[4] = 1;
		words[5] = 16;
		break;
	}
	front_set_fd(&front, VU_SET_INFLIGHT_FD, &w, sizeof(w), fd);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	front_ring_new(&ring, &mem, 0, 0, 16);
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	front_set_state(&front, VU_SET_VRING_NUM, 0, 16);
	{
		struct vu_vring_addr addr = front_ring_addr(&ring);

		front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
	}
	front_do(&front, VU_SET_VRING_KICK, FRONT_NEED_REPLY, &index, 8, &ring.kick, 1, NULL);
	/* and more of them while it runs */
	for (i = 0; i < 50; i++) {
		map[(i * 37) % w.mmap_size] ^= (uint8_t)(i * 13 + 1);
		front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
		front_ring_kick(&ring);
		front_pump(&front);
	}
	front_alive(&front);
	munmap(map, (size_t)w.mmap_size);
	close(fd);
}
END_TEST

static int done_calls, done_status;

static void done(vhost_backend_t *be, int status, int fd, void *opaque)
{
	(void)be;
	(void)opaque;
	done_calls++;
	done_status = status;
	if (fd >= 0)
		close(fd);
}

/* F36: the channel */
START_TEST(f36_a_channel_that_floods_lies_or_breaks_harms_itself_only)
{
	static const uint8_t uuid[16] = { 1 };
	struct vu_header hdr = { VU_BACKEND_SHARED_OBJECT_LOOKUP, FRONT_REPLY, 8 };
	uint64_t value = 0;
	int i, fds[8];

	bring_up(FEATURES, PF_DEFAULT);
	for (i = 0; i < 8; i++)
		fds[i] = ring.call;
	done_calls = 0;
	ck_assert_int_eq(vhost_backend_lookup_shared_object(front.be, uuid, done, NULL), 0);
	front_pump(&front);
	front_expect_on(front.chan, VU_BACKEND_SHARED_OBJECT_LOOKUP, FRONT_PLAIN, NULL, 16, NULL, 0);
	switch (_i) {
	case 0:			/* another's answer */
		front_put(front.chan, VU_BACKEND_SHMEM_MAP, FRONT_REPLY, &value, 8, NULL, 0);
		break;
	case 1:			/* a request where an answer belongs */
		front_put(front.chan, VU_BACKEND_SHARED_OBJECT_LOOKUP, FRONT_PLAIN, &value, 8, NULL,
			  0);
		break;
	case 2:			/* too many descriptors */
		front_put(front.chan, VU_BACKEND_SHARED_OBJECT_LOOKUP, FRONT_REPLY, &value, 8, fds,
			  8);
		break;
	case 3:			/* a version */
		front_put(front.chan, VU_BACKEND_SHARED_OBJECT_LOOKUP, 6, &value, 8, NULL, 0);
		break;
	case 4:			/* a size */
		hdr.size = 0xffffffff;
		front_put_bytes(front.chan, &hdr, sizeof(hdr), NULL, 0);
		break;
	case 5:			/* half of an answer, and the end */
		front_put_bytes(front.chan, &hdr, 5, NULL, 0);
		shutdown(front.chan, SHUT_WR);
		break;
	case 6:			/* answers that nobody asked for */
		front_put(front.chan, VU_BACKEND_SHARED_OBJECT_LOOKUP, FRONT_REPLY, &value, 8, NULL,
			  0);
		front_put(front.chan, VU_BACKEND_SHARED_OBJECT_LOOKUP, FRONT_REPLY, &value, 8, NULL,
			  0);
		break;
	default:		/* nobody reads, and then it is closed: no SIGPIPE */
		for (i = 0; i < 100000 && !vhost_backend_config_changed(front.be); i++)
			front_turns(&front, 1);
		close(front.chan);
		front.chan = -1;
		vhost_backend_config_changed(front.be);
		break;
	}
	front_pump(&front);
	ck_assert_int_eq(done_calls, 1);
	if (_i != 6)
		ck_assert_int_ne(done_status, 0);
	/* the session and its rings go on */
	front_alive(&front);
	front_roundtrip(&front, &ring);
}
END_TEST

/* F36: without its feature, or with two descriptors */
START_TEST(f36_a_channel_needs_its_feature_and_one_descriptor)
{
	int pair[2];

	open_back_end();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	front_refused_fd(&front, VU_SET_BACKEND_REQ_FD, NULL, 0, pair[0]);
	front_set_u64(&front, VU_SET_PROTOCOL_FEATURES, PF_DEFAULT);
	ck_assert_int_eq(front_do(&front, VU_SET_BACKEND_REQ_FD, FRONT_NEED_REPLY, NULL, 0, pair, 2,
				  NULL), FRONT_REFUSED);
	front_refused(&front, VU_SET_BACKEND_REQ_FD, NULL, 0);
	close(pair[0]);
	close(pair[1]);
}
END_TEST

static uint64_t iotlb(uint64_t iova, uint64_t size, uint64_t user, uint8_t perm, uint8_t type)
{
	struct vu_iotlb m = { iova, size, user, perm, type, { 0 } };

	return front_get(&front, VU_IOTLB_MSG, &m, sizeof(m));
}

/* F37: translations that cannot be */
START_TEST(f37_translations_that_cannot_be_are_refused_and_many_are_bounded)
{
	struct vu_iotlb m = { 0, 4096, 0x7f0000000000, 3, VU_IOTLB_UPDATE, { 0 } };
	unsigned int i;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	ck_assert_uint_ne(front_get(&front, VU_IOTLB_MSG, &m, sizeof(m)), 0);
	front_set_u64(&front, VU_SET_FEATURES, FEATURES | F_ACCESS_PLATFORM);
	ck_assert_uint_ne(iotlb(0x1000, 0, 0x7f0000000000, 3, VU_IOTLB_UPDATE), 0);
	ck_assert_uint_ne(iotlb(UINT64_MAX, 4096, 0x7f0000000000, 3, VU_IOTLB_UPDATE), 0);
	ck_assert_uint_ne(iotlb(0x1000, 4096, UINT64_MAX - 1, 3, VU_IOTLB_UPDATE), 0);
	ck_assert_uint_ne(iotlb(0x1000, 4096, 0x7f0000000000, 0, VU_IOTLB_UPDATE), 0);
	ck_assert_uint_ne(iotlb(0x1000, 4096, 0x7f0000000000, 0xff, VU_IOTLB_UPDATE), 0);
	ck_assert_uint_ne(iotlb(0x1000, 4096, 0x7f0000000000, 3, 0), 0);
	ck_assert_uint_ne(iotlb(0x1000, 4096, 0x7f0000000000, 3, VU_IOTLB_MISS), 0);
	ck_assert_uint_ne(iotlb(0x1000, 4096, 0x7f0000000000, 3, 200), 0);
	for (i = 0; i < 20000; i++)
		ck_assert_uint_eq(iotlb(0x10000000ull + i * 0x2000, 0x1000 + i % 3 * 0x1000,
					0x7f0000000000ull + i * 0x1000, 3, VU_IOTLB_UPDATE), 0);
	/* all of it goes */
	ck_assert_uint_eq(iotlb(0, UINT64_MAX, 0, 0, VU_IOTLB_INVALIDATE), 0);
	ck_assert_uint_eq(iotlb(5, 3, 0, 0, VU_IOTLB_INVALIDATE), 0);
	front_alive(&front);
}
END_TEST

/* F38: misses that are never answered */
START_TEST(f38_misses_are_bounded)
{
	struct front_msg msg;
	unsigned int asked = 0, i;
	uint64_t len;
	void *p;

	bring_up(FEATURES | F_ACCESS_PLATFORM, PF_DEFAULT);
	for (i = 0; i < 20000; i++) {
		vhost_backend_translate(front.be, 0x40000000ull + i * 0x1000,
					VHOST_IOTLB_PERM_READ, &p, &len);
		if (i % 64 == 0)
			front_turns(&front, 2);
		while (front_take(front.chan, &msg) == 1)
			asked++;
	}
	front_pump(&front);
	while (front_take(front.chan, &msg) == 1)
		asked++;
	ck_assert_uint_gt(asked, 0);
	ck_assert_uint_lt(asked, 20000);
	front_alive(&front);
}
END_TEST

/* ----------------------------------------------------------------- F39: callbacks */

/* All that may be called in a callback, by number; false past the last one. */
static bool call_api(unsigned int n, vhost_backend_t *be)
{
	static const uint8_t uuid[16] = { 9 };
	vhost_vring_t *v = vhost_backend_get_vring(be, 0);
	struct vhost_mem_desc desc;
	struct vhost_req req;
	uint8_t buf[8] = { 1 };
	uint64_t a, b;
	void *p;

	switch (n) {
	case 0: vhost_backend_disconnect(be); break;
	case 1: vhost_backend_close(be); break;
	case 2: vhost_backend_process(be); break;
	case 3: vhost_backend_answer(be, 0); break;
	case 4: vhost_backend_answer(be, -EIO); break;
	case 5: vhost_backend_state_done(be, 0); break;
	case 6: vhost_backend_needs_reset(be); break;
	case 7: vhost_backend_set_config(be, 0, buf, 8); break;
	case 8: vhost_backend_config_changed(be); break;
	case 9: vhost_backend_listen(be, "/nonexistent/libvhost"); break;
	case 10: vhost_backend_connect(be, "/nonexistent/libvhost"); break;
	case 11: vhost_backend_attach_fd(be, STDIN_FILENO); break;
	case 12: vhost_backend_listen_fd(be, STDIN_FILENO); break;
	case 13: vhost_backend_get_mem(be, 0, &desc, sizeof(desc)); break;
	case 14: vhost_backend_translate(be, 0x100000, 1, &p, &a); break;
	case 15: vhost_backend_mark_dirty(be, buf, 8); break;
	case 16: vhost_backend_set_host_notifier(be, 0, -1, 0, 0, done, NULL); break;
	case 17: vhost_backend_add_shared_object(be, uuid, done, NULL); break;
	case 18: vhost_backend_lookup_shared_object(be, uuid, done, NULL); break;
	case 19: vhost_backend_shmem_map(be, 0, 0, 4096, STDIN_FILENO, 0, 0, done, NULL); break;
	case 20: vhost_backend_shmem_unmap(be, 0, 0, 4096, done, NULL); break;
	case 21: vhost_backend_set_log(be, NULL, NULL); break;
	case 22: vhost_backend_set_trace(be, NULL, NULL); break;
	case 23:
		vhost_backend_get_features(be, &a, &b);
		vhost_backend_get_protocol_features(be, &a, &b);
		vhost_backend_get_status(be);
		vhost_backend_is_connected(be);
		vhost_backend_get_fd(be);
		vhost_backend_error(be);
		break;
	case 24:
		if (vhost_vring_pop(v, &req, 1) == 1)
			vhost_vring_push(v, &req, 1);
		break;
	case 25:
		if (vhost_vring_pop(v, &req, 1) == 1)
			vhost_vring_unpop(v, &req, 1);
		break;
	case 26: vhost_vring_notify(v); break;
	case 27: vhost_vring_set_notify(v, true); vhost_vring_set_notify(v, false); break;
	case 28: vhost_vring_break(v, "by a callback"); break;
	case 29:
		vhost_vring_error(v);
		vhost_vring_is_running(v);
		vhost_vring_in_flight(v);
		vhost_vring_get_size(v);
		vhost_vring_get_fd(v);
		break;
	case 30: vhost_backend_unref(vhost_backend_ref(be)); break;
	case 31: vhost_backend_remove_shared_object(be, uuid, done, NULL); break;
	default:
		return false;
	}
	return true;
}

#define N_API 32

static struct {
	const char *word;	/* the callback, without the number of its ring */
	unsigned int api;	/* N_API: the last reference is dropped */
	int depth;
	int times;
} reentrancy;

static void reenter(struct device *d, vhost_backend_t *be, const char *word)
{
	size_t n = strlen(reentrancy.word);

	(void)d;
	if (strncmp(word, reentrancy.word, n) || (word[n] && (word[n] < '0' || word[n] > '9')) ||
	    reentrancy.depth)
		return;
	reentrancy.depth++;
	reentrancy.times++;
	if (reentrancy.api < N_API)
		call_api(reentrancy.api, be);
	else if (front.be)
		front.be = vhost_backend_unref(front.be);
	reentrancy.depth--;
}

/* One message; whatever comes of it. */
static void poke(uint32_t request, const void *payload, uint32_t size, int fd)
{
	struct front_msg msg;
	int i;

	if (front.fd < 0 ||
	    !front_try_put(front.fd, request, FRONT_NEED_REPLY, payload, size, &fd, fd >= 0))
		return;
	for (i = 0; i < 200 && front.be; i++)
		if (vhost_backend_process(front.be) == -ENOTCONN)
			break;
	while (front_take(front.fd, &msg) == 1)
		front_drop_fds(&msg);
	if (front.chan >= 0)
		while (front_take(front.chan, &msg) == 1)
			front_drop_fds(&msg);
}

static void poke_u64(uint32_t request, uint64_t value)
{
	poke(request, &value, 8, -1);
}

static void poke_state(uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_vring_state s = { index, num };

	poke(request, &s, sizeof(s), -1);
}

/* Messages that have every callback called. */
static void play_everything(void)
{
	struct { struct vu_config hdr; uint8_t data[8]; } config = { .hdr = { 0, 8, 0 } };
	struct vu_transfer save = { 0, 0 }, load = { 1, 0 };
	struct vu_mem_reg reg = front_mem_reg(&mem);
	struct vu_vring_addr addr = front_ring_addr(&ring);
	uint8_t uuid[16] = { 1 }, desc[64] = { 0 };
	uint64_t index = 0;
	int pair[2], p[2];

	poke_u64(VU_SET_PROTOCOL_FEATURES, PF_DEFAULT | PF(SHMEM));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	front.chan = pair[0];
	poke(VU_SET_BACKEND_REQ_FD, NULL, 0, pair[1]);
	poke(VU_GPU_SET_SOCKET, NULL, 0, pair[1]);
	close(pair[1]);
	poke_u64(VU_SET_FEATURES, FEATURES);
	poke(VU_ADD_MEM_REG, &reg, sizeof(reg), mem.fd);
	poke_state(VU_SET_VRING_NUM, 0, 16);
	poke(VU_SET_VRING_ADDR, &addr, sizeof(addr), -1);
	poke(VU_SET_VRING_CALL, &index, 8, ring.call);
	poke(VU_SET_VRING_KICK, &index, 8, ring.kick);
	poke_u64(VU_SET_STATUS, 15);
	poke(VU_GET_CONFIG, &config, sizeof(config), -1);
	poke(VU_SET_CONFIG, &config, sizeof(config), -1);
	poke(VU_SEND_RARP, desc, 8, -1);
	poke_u64(VU_NET_SET_MTU, 1500);
	poke(VU_CREATE_CRYPTO_SESSION, desc, sizeof(desc), -1);
	poke_u64(VU_CLOSE_CRYPTO_SESSION, 77);
	poke(VU_GET_SHARED_OBJECT, uuid, 16, -1);
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	poke_state(VU_SET_VRING_ENABLE, 0, 1);
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	poke(VU_GET_FEATURES, NULL, 0, -1);
	poke_state(VU_GET_VRING_BASE, 0, 0);
	if (pipe2(p, O_CLOEXEC) == 0) {
		poke(VU_SET_DEVICE_STATE_FD, &save, sizeof(save), p[1]);
		close(p[1]);
		poke(VU_CHECK_DEVICE_STATE, NULL, 0, -1);
		close(p[0]);
	}
	if (pipe2(p, O_CLOEXEC) == 0) {
		close(p[1]);
		poke(VU_SET_DEVICE_STATE_FD, &load, sizeof(load), p[0]);
		close(p[0]);
		poke(VU_CHECK_DEVICE_STATE, NULL, 0, -1);
	}
	poke(VU_SET_VRING_KICK, &index, 8, ring.kick);
	poke(VU_RESET_DEVICE, NULL, 0, -1);
	poke(VU_REM_MEM_REG, &reg, sizeof(reg), -1);
	if (front.fd >= 0)
		close(front.fd);
	front.fd = -1;
	if (front.be)
		front_turns(&front, 20);
}

static const char *const words[] = {
	"connected", "disconnected", "features", "status", "reset", "start", "ready", "stop",
	"get_config", "set_config", "save", "load", "mem", "rarp", "mtu", "crypto",
	"close_crypto", "gpu", "object",
};

/* F39: every callback calls every function, and drops the last reference; _i: the callback */
START_TEST(f39_every_callback_may_call_everything)
{
	unsigned int api;

	for (api = 0; api <= N_API; api++) {
		struct leak here = leak_begin();
		int pair[2];

		device_init(&device);
		device.record_ready = true;
		device.object_fd = memfd_create("object", MFD_CLOEXEC);
		front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
		front_ring_new(&ring, &mem, 0, 0, 16);
		reentrancy.word = words[_i];
		reentrancy.api = api;
		reentrancy.depth = reentrancy.times = 0;
		device.in_call = reenter;
		ck_assert_int_eq(vhost_backend_new(&device.ops, sizeof(device.ops), &device,
						   &front.be), 0);
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		front.fd = pair[0];
		front.chan = -1;
		ck_assert_int_eq(vhost_backend_attach_fd(front.be, pair[1]), 0);
		close(pair[1]);
		play_everything();
		ck_assert_msg(reentrancy.times > 0, "%s was never called", words[_i]);
		front_close(&front);
		front_ring_close(&ring);
		front_mem_close(&mem);
		device_close(&device);
		ck_assert_msg(leak_check(&here) == 0, "%s, call %u", words[_i], api);
	}
}
END_TEST

/* F40: ranges of the configuration */
START_TEST(f40_accesses_outside_of_the_configuration_are_refused)
{
	static const struct { uint32_t offset, size, bytes; bool bad_size; } cases[] = {
		{ 0, 65, 65, false }, { 0, 256, 256, false }, { 0, 257, 257, false },
		{ 0, 4096, 4096, false }, { 64, 1, 1, false }, { 60, 8, 8, false },
		{ 0xffffffff, 1, 1, false }, { 0xfffffffe, 8, 8, false }, { 0, 8, 4, true },
		{ 0, 4, 8, true }, { 0, 0xffffffff, 8, true },
	};
	static struct { struct vu_config hdr; uint8_t data[4096]; } c;
	struct front_msg msg;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	device.calls[0] = '\0';
	c.hdr = (struct vu_config){ cases[_i].offset, cases[_i].size, 0 };
	ck_assert_int_eq(front_do(&front, VU_GET_CONFIG, FRONT_PLAIN, &c, 12 + cases[_i].bytes, NULL,
				  0, &msg), FRONT_REPLIED);
	ck_assert_uint_eq(msg.hdr.size, 0);
	front_refused(&front, VU_SET_CONFIG, &c, 12 + cases[_i].bytes);
	device_expect(&device, "");
	front_alive(&front);
}
END_TEST

/* F41: protocol features at odd times */
START_TEST(f41_protocol_features_may_narrow_and_unoffered_ones_are_refused)
{
	bring_up(FEATURES, PF_QUIET);
	front_refused_u64(&front, VU_SET_PROTOCOL_FEATURES, BIT(63));
	front_refused_u64(&front, VU_SET_PROTOCOL_FEATURES, PF(XEN_MMAP));
	front_set_u64(&front, VU_SET_PROTOCOL_FEATURES, PF(REPLY_ACK));
	front_roundtrip(&front, &ring);
	front_set_u64(&front, VU_SET_PROTOCOL_FEATURES, 0);
	front_set_u64(&front, VU_SET_PROTOCOL_FEATURES, PF_QUIET);
	front_roundtrip(&front, &ring);
}
END_TEST

/* F42: features that were not offered, or change under a ring */
START_TEST(f42_features_that_were_not_offered_or_change_under_a_ring_are_refused)
{
	uint64_t acked;

	bring_up(FEATURES, PF_QUIET);
	front_refused_u64(&front, VU_SET_FEATURES, FEATURES | BIT(63));
	front_refused_u64(&front, VU_SET_FEATURES, FEATURES | F_PACKED);
	front_refused_u64(&front, VU_SET_FEATURES, FEATURES & ~F_INDIRECT);
	vhost_backend_get_features(front.be, NULL, &acked);
	ck_assert_uint_eq(acked & ~F_PROTOCOL, FEATURES & ~F_PROTOCOL);
	front_roundtrip(&front, &ring);
}
END_TEST

/* F43: the status */
START_TEST(f43_a_status_may_go_anywhere_and_0_resets_in_mid_traffic)
{
	bring_up(FEATURES, PF_QUIET);
	device.mode = DEVICE_HOLD;
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	front_refused_u64(&front, VU_SET_STATUS, 0x100);
	front_refused_u64(&front, VU_SET_STATUS, UINT64_MAX);
	front_set_u64(&front, VU_SET_STATUS, 15);
	front_set_u64(&front, VU_SET_STATUS, 1);
	front_set_u64(&front, VU_SET_STATUS, 128);
	front_set_u64(&front, VU_SET_STATUS, 0);
	ck_assert(!vhost_vring_is_running(vr(0)));
	/* QEMU resets the device before it asks for the position, and waits for this one */
	device_release(&device);
	ck_assert(front_ring_used(&ring, NULL, NULL));
	ck_assert_uint_eq(front_get_base(&front, 0), 1);
	front_alive(&front);
}
END_TEST

/* After a reset the ring has the features no more that say how long its areas are. */
START_TEST(f43_memory_that_changes_after_a_reset_is_not_the_ring_s)
{
	struct vhost_req req;

	open_back_end();
	front_negotiate(&front, FEATURES | F_EVENT_IDX, PF_QUIET);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	front_ring_new(&ring, &mem, 0, 0, 16);
	/* all of the available ring but the event is before the end of a page */
	ring.avail = 0x2000 - (4 + 2 * ring.size);
	front_ring_start(&front, &ring, 0);
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	device.mode = DEVICE_HOLD;
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	front_set_u64(&front, VU_SET_STATUS, 0);
	/* other memory at the same addresses, which ends there */
	front_mem_new(&more, 0x2000, mem.guest, mem.user);
	front_mem_table(&front, (const struct front_mem *const[]){ &more }, 1);
	device_release(&device);
	ck_assert(front_ring_used(&ring, NULL, NULL));
	ck_assert_int_eq(vhost_vring_pop(vr(0), &req, 1), 0);
	ck_assert_uint_eq(front_get_base(&front, 0), 1);
	front_alive(&front);
}
END_TEST

/* A refused message has not set the ring up anew. */
START_TEST(f43_what_is_refused_after_a_reset_keeps_the_position)
{
	bring_up(FEATURES, PF_QUIET);
	front_roundtrip(&front, &ring);
	device.mode = DEVICE_HOLD;
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	front_set_u64(&front, VU_SET_STATUS, 0);
	front_refused_state(&front, VU_SET_VRING_NUM, 0, 0);
	front_refused_state(&front, VU_SET_VRING_NUM, 0, 40000);
	device_release(&device);
	ck_assert(front_ring_used(&ring, NULL, NULL));
	ck_assert_uint_eq(front_get_base(&front, 0), 2);
	/* and this one does */
	front_set_state(&front, VU_SET_VRING_NUM, 0, 16);
	ck_assert_uint_eq(front_get_base(&front, 0), 0);
}
END_TEST

/* F44: resets */
START_TEST(f44_resets_in_mid_traffic_twice_and_before_all_are_harmless)
{
	open_back_end();
	front_set(&front, VU_RESET_OWNER, NULL, 0);
	front_set_u64(&front, VU_SET_PROTOCOL_FEATURES, PF_QUIET);
	front_set(&front, VU_RESET_DEVICE, NULL, 0);
	front_close(&front);
	bring_up(FEATURES, PF_QUIET);
	device.mode = DEVICE_HOLD;
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	front_set(&front, VU_RESET_OWNER, NULL, 0);
	front_set(&front, VU_RESET_DEVICE, NULL, 0);
	front_set(&front, VU_RESET_DEVICE, NULL, 0);
	device_release(&device);
	ck_assert(!front_ring_used(&ring, NULL, NULL));
	front_alive(&front);
}
END_TEST

/* F45: messages for what the device does not do */
START_TEST(f45_messages_for_what_the_device_does_not_do_are_refused)
{
	struct vhost_backend_ops ops = { .device_id = 4, .max_queues = 1 };
	uint8_t buf[64] = { 0 };
	struct front_msg msg;
	int pair[2];

	device.ops = ops;
	open_back_end();
	front_refused(&front, VU_SEND_RARP, buf, 8);
	front_refused_u64(&front, VU_NET_SET_MTU, 1500);
	front_refused_u64(&front, VU_CLOSE_CRYPTO_SESSION, 1);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	front_refused_fd(&front, VU_GPU_SET_SOCKET, NULL, 0, pair[0]);
	close(pair[0]);
	close(pair[1]);
	front_do(&front, VU_CREATE_CRYPTO_SESSION, FRONT_PLAIN, buf, sizeof(buf), NULL, 0, &msg);
	ck_assert_int_eq((int8_t)msg.payload[sizeof(buf) - 1], -1);
	front_close(&front);

	device_init(&device);
	open_back_end();
	front_negotiate(&front, FEATURES | 1u << 3, PF_QUIET);
	front_refused_u64(&front, VU_NET_SET_MTU, 65536);
	front_refused_u64(&front, VU_NET_SET_MTU, UINT64_MAX);
	pair[0] = eventfd(0, EFD_CLOEXEC);
	front_refused_fd(&front, VU_GPU_SET_SOCKET, NULL, 0, pair[0]);
	close(pair[0]);
}
END_TEST

/* F46: postcopy out of order */
START_TEST(f46_postcopy_out_of_order_is_refused)
{
	struct front_msg msg;

	open_back_end();
	if (!(front_get(&front, VU_GET_PROTOCOL_FEATURES, NULL, 0) & PF(PAGEFAULT))) {
		/* not permitted to this process: not offered, and refused */
		front_negotiate(&front, FEATURES, PF_QUIET);
		front_refused(&front, VU_POSTCOPY_LISTEN, NULL, 0);
		return;
	}
	front_negotiate(&front, FEATURES, PF_QUIET | PF(PAGEFAULT));
	front_refused(&front, VU_POSTCOPY_LISTEN, NULL, 0);
	ck_assert_uint_ne(front_get(&front, VU_POSTCOPY_END, NULL, 0), 0);
	front_do(&front, VU_POSTCOPY_ADVISE, FRONT_PLAIN, NULL, 0, NULL, 0, &msg);
	ck_assert_uint_eq(msg.n_fds, 1);
	front_drop_fds(&msg);
	front_do(&front, VU_POSTCOPY_ADVISE, FRONT_PLAIN, NULL, 0, NULL, 0, &msg);
	ck_assert_uint_eq(msg.n_fds, 0);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	front_refused(&front, VU_POSTCOPY_LISTEN, NULL, 0);
	front_mem_remove(&front, &mem);
	front_set(&front, VU_POSTCOPY_LISTEN, NULL, 0);
	front_refused(&front, VU_POSTCOPY_LISTEN, NULL, 0);
	front_hang_up(&front);
}
END_TEST

/* F47: transfers of state */
START_TEST(f47_transfers_of_state_that_cannot_be_are_refused)
{
	static const struct vu_transfer bad[] = { { 2, 0 }, { 0, 1 }, { 1, 1 }, { ~0u, ~0u } };
	struct vu_transfer save = { 0, 0 };
	unsigned int i;
	int p[2];

	signal(SIGPIPE, SIG_IGN);	/* the device's own write, to a pipe without a reader */
	bring_up(FEATURES, PF_QUIET);
	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	/* while it runs */
	ck_assert_int_eq(front_do(&front, VU_SET_DEVICE_STATE_FD, FRONT_PLAIN, &save, sizeof(save),
				  &p[1], 1, NULL), FRONT_REFUSED);
	front_get_base(&front, 0);
	ck_assert_uint_ne(front_get(&front, VU_CHECK_DEVICE_STATE, NULL, 0), 0);
	for (i = 0; i < 4; i++) {
		struct front_msg msg;
		uint64_t value;

		front_do(&front, VU_SET_DEVICE_STATE_FD, FRONT_PLAIN, &bad[i], sizeof(bad[i]), &p[1],
			 1, &msg);
		memcpy(&value, msg.payload, 8);
		ck_assert_uint_ne(value & VU_DEVICE_STATE_ERROR, 0);
	}
	/* the read end, to write to */
	ck_assert_int_eq(front_do(&front, VU_SET_DEVICE_STATE_FD, FRONT_PLAIN, &save, sizeof(save),
				  &p[0], 1, NULL), FRONT_REFUSED);
	ck_assert_ptr_null(strstr(device.calls, "save"));
	/* an end that nobody reads */
	close(p[0]);
	device.state_len = 100;
	front_do(&front, VU_SET_DEVICE_STATE_FD, FRONT_PLAIN, &save, sizeof(save), &p[1], 1, NULL);
	close(p[1]);
	ck_assert_uint_ne(front_get(&front, VU_CHECK_DEVICE_STATE, NULL, 0), 0);
	front_alive(&front);
}
END_TEST

/* F48: objects that there are not */
START_TEST(f48_an_unknown_object_is_answered_without_a_descriptor)
{
	uint8_t uuid[16] = { 7 };
	struct front_msg msg;
	int i;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	for (i = 0; i < 1000; i++) {
		ck_assert_int_eq(front_do(&front, VU_GET_SHARED_OBJECT, FRONT_PLAIN, uuid, 16, NULL, 0,
					  &msg), FRONT_REPLIED);
		ck_assert_uint_eq(msg.n_fds, 0);
		device.calls[0] = '\0';
	}
}
END_TEST

/* F49: connections that say nothing, or half of a header */
START_TEST(f49_silent_connections_cost_no_time_and_end_in_order)
{
	struct vu_header hdr = { VU_GET_FEATURES, FRONT_PLAIN, 0 };
	int i;

	open_back_end();
	for (i = 0; i < 100; i++) {
		if (i % 2)
			front_put_bytes(front.fd, &hdr, 1 + (size_t)i % 11, NULL, 0);
		front_pump(&front);
		front_hang_up(&front);
		ck_assert_int_eq(device.gone, i % 2 ? -ECONNABORTED : -ECONNRESET);
		device.calls[0] = '\0';
		front_attach(&front);
	}
	front_alive(&front);
}
END_TEST

/* F49: a thousand of them in one process */
START_TEST(f49_a_thousand_connections_in_one_process)
{
	static struct front many[1000];
	static struct device devices[1000];
	struct rlimit lim;
	int i, n = 1000;

	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	if (lim.rlim_cur < 5000)
		n = (int)(lim.rlim_cur / 5);
	for (i = 0; i < n; i++) {
		device_init(&devices[i]);
		front_new(&many[i], &devices[i]);
	}
	for (i = 0; i < n; i++)
		front_alive(&many[i]);
	for (i = 0; i < n; i++)
		front_close(&many[i]);
}
END_TEST

/* F50, F55: answers that nobody reads */
START_TEST(f50_answers_that_nobody_reads_are_bounded_and_nothing_piles_up)
{
	uint64_t index = VU_VRING_INDEX_MASK & 0;
	int fd = eventfd(0, EFD_CLOEXEC), before, i, sent = 0;
	struct front_msg msg;

	open_back_end();
	before = leak_count_fds();
	for (i = 0; i < 200000; i++) {
		if (!front_try_put(front.fd, _i ? VU_SET_VRING_CALL : VU_GET_FEATURES,
				   FRONT_NEED_REPLY, &index, _i ? 8 : 0, &fd, (unsigned int)_i))
			break;
		sent++;
		front_turns(&front, 1);
		ck_assert_int_lt(leak_count_fds() - before, 40);
	}
	/* reads have stopped: the socket is full in both directions */
	ck_assert_int_lt(i, 200000);
	ck_assert(vhost_backend_is_connected(front.be));
	for (i = 0; i < sent; ) {
		int r = front_take(front.fd, &msg);

		ck_assert_int_ge(r, 0);
		if (r == 1)
			i++;
		else
			front_turns(&front, 4);
	}
	front_alive(&front);
	close(fd);
}
END_TEST

/* F50: NEED_REPLY on what has an answer of its own: one answer */
START_TEST(f50_a_message_is_answered_once)
{
	uint32_t request;
	uint8_t payload[8192];

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET | PF(SHMEM));
	for (request = 1; request < N_REQUESTS; request++) {
		const struct vu_row *row = vu_row(VU_FRONTEND, request);
		uint32_t size = plain_payload(request, payload);

		if (row->reply != VU_REPLY_ALWAYS || request == VU_POSTCOPY_ADVISE ||
		    row->fds != VU_FD_NONE)
			continue;
		/* front_do() sees to it that nothing follows */
		ck_assert_int_ne(front_do(&front, request, FRONT_NEED_REPLY, payload, size, NULL, 0,
					  NULL), FRONT_SILENT);
		alive_or_again();
	}
}
END_TEST

/* F51: Xen's way of mapping, not negotiated, or wrong */
START_TEST(f51_a_xen_mapping_is_refused_unless_it_was_negotiated)
{
	struct { uint64_t padding; struct vu_region_xen r; } reg = {
		.r = { { 0x100000, 0x10000, 0x7f0000000000, 0 }, 1, 5 },
	};

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_mem_new(&mem, 0x10000, 0x100000, 0x7f0000000000);
	front_refused_fd(&front, VU_ADD_MEM_REG, &reg, sizeof(reg), mem.fd);
	ck_assert_uint_eq(front_get(&front, VU_GET_PROTOCOL_FEATURES, NULL, 0) & PF(XEN_MMAP), 0);
}
END_TEST

/* F52: a record for fewer descriptors than the ring has */
START_TEST(f52_a_ring_larger_than_its_record_is_not_started)
{
	struct vu_inflight w = { 0, 0, 1, 8, 0 };
	struct vu_vring_addr addr;
	struct front_msg msg;
	uint64_t index = 0;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	front_ring_new(&ring, &mem, 0, 0, 16);
	addr = front_ring_addr(&ring);
	front_do(&front, VU_GET_INFLIGHT_FD, FRONT_PLAIN, &w, sizeof(w), NULL, 0, &msg);
	memcpy(&w, msg.payload, sizeof(w));
	if (_i)
		front_set_state(&front, VU_SET_VRING_NUM, 0, 16);
	front_set_fd(&front, VU_SET_INFLIGHT_FD, &w, sizeof(w), msg.fds[0]);
	front_drop_fds(&msg);
	front_set_state(&front, VU_SET_VRING_NUM, 0, 16);
	front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	front_refused_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
	ck_assert(!vhost_vring_is_running(vr(0)));
	/* a queue that the record does not have runs without */
	front_set_state(&front, VU_SET_VRING_NUM, 0, 8);
	front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
	ck_assert(vhost_vring_is_running(vr(0)));
}
END_TEST

/* Bytes at random, in messages whose headers are mostly right; _i: the seed */
START_TEST(random_messages_leave_the_process_whole)
{
	unsigned int i, k;

	srand((unsigned int)_i + 1);
	bring_up(FEATURES, PF_DEFAULT | PF(SHMEM));
	for (i = 0; i < 1500; i++) {
		uint32_t request = (uint32_t)rand() % (N_REQUESTS + 2);
		const struct vu_row *row = vu_row(VU_FRONTEND, request);
		uint8_t payload[8192] = { 0 };
		uint32_t size = row ? row->size.min : 8;
		int fds[2] = { rand() % 2 ? ring.call : mem.fd, ring.kick };
		unsigned int n = row && row->fds != VU_FD_NONE ? (unsigned int)rand() % 2 : 0;
		struct front_msg msg;

		for (k = 0; k < size; k++)
			if (rand() % 6 == 0)
				payload[k] = (uint8_t)(rand() % 3 ? rand() % 4 : rand());
		if (!front_try_put(front.fd, request, FRONT_NEED_REPLY, payload, size, fds, n)) {
			front_attach(&front);
			continue;
		}
		front_turns(&front, 8);
		device.calls[0] = '\0';
		while (front_take(front.fd, &msg) == 1)
			front_drop_fds(&msg);
		if (front.chan >= 0)
			while (front_take(front.chan, &msg) == 1)
				front_drop_fds(&msg);
		if (!vhost_backend_is_connected(front.be)) {
			front_attach(&front);
			front_negotiate(&front, FEATURES, PF_DEFAULT | PF(SHMEM));
			front_mem_add(&front, &mem);
			device.calls[0] = '\0';
		}
	}
	alive_or_again();
}
END_TEST

/* -------------------------------------------------------------------------- main */

static TCase *new_case(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(s, tc);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("backend-hostile");
	TCase *tc = new_case(s, "framing");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, f1_descriptors_that_a_message_cannot_have_are_closed_and_it_is_refused,
			    0, 7);
	tcase_add_test(tc, f3_descriptors_that_do_not_fit_end_the_connection_and_are_not_half_applied);
	tcase_add_loop_test(tc, f4_descriptors_of_the_wrong_kind_are_refused, 0, 8);
	tcase_add_loop_test(tc, f4_a_kick_descriptor_in_blocking_or_semaphore_mode_blocks_nobody, 0, 2);
	tcase_add_loop_test(tc, f5_descriptors_in_the_middle_of_a_message_are_closed, 0, 2);
	tcase_add_test(tc, f6_credentials_that_come_along_are_ignored);
	tcase_add_test(tc, f7_a_message_may_come_in_pieces);
	tcase_add_test(tc, f8_descriptors_belong_to_the_message_that_they_came_with);
	tcase_add_test(tc, f9_padding_in_answers_is_zero);
	tcase_add_test(tc, f10_payloads_of_the_wrong_size_are_refused);
	tcase_add_loop_test(tc, f10_a_payload_larger_than_any_ends_the_connection, 0, 4);
	tcase_add_test(tc, f11_versions_end_the_connection_and_replies_are_refused);
	tcase_add_test(tc, f12_setters_that_are_repeated_leave_nothing_behind);
	tcase_add_test(tc, f13_unknown_messages_are_refused);
	tcase_add_test(tc, f48_an_unknown_object_is_answered_without_a_descriptor);
	tcase_add_test(tc, f49_silent_connections_cost_no_time_and_end_in_order);
	tcase_add_test(tc, f49_a_thousand_connections_in_one_process);
	tcase_add_loop_test(tc, f50_answers_that_nobody_reads_are_bounded_and_nothing_piles_up, 0, 2);
	tcase_add_test(tc, f50_a_message_is_answered_once);
	tcase_add_loop_test(tc, random_messages_leave_the_process_whole, 0, 4);

	tc = new_case(s, "rings");
	tcase_add_test(tc, f14_rings_that_there_are_not_are_refused);
	tcase_add_loop_test(tc, f15_every_message_in_every_state_leaves_the_process_whole, 0, 7);
	tcase_add_loop_test(tc, f16_sizes_of_rings_are_bounded_and_of_split_ones_powers_of_two, 0, 2);
	tcase_add_loop_test(tc, f17_a_ring_at_a_bad_address_is_not_started_and_the_area_is_named, 0,
			    13);
	tcase_add_test(tc, f17_areas_that_overlap_hurt_nobody_and_unknown_flags_are_refused);
	tcase_add_test(tc, f18_a_running_ring_is_not_changed);
	tcase_add_loop_test(tc, f19_a_base_of_a_split_ring_is_any_of_16_bits_and_of_a_packed_one_inside_it,
			    0, 2);
	tcase_add_test(tc, f20_a_base_that_is_asked_for_twice_is_the_same);
	tcase_add_test(tc, f21_enabling_over_and_over_loses_no_request);
	tcase_add_test(tc, f22_a_kick_that_comes_first_is_not_lost);
	tcase_add_test(tc, f23_a_call_descriptor_that_is_full_blocks_nobody);

	tc = new_case(s, "memory");
	tcase_add_loop_test(tc, f24_a_table_has_as_many_descriptors_as_regions, 0, 10);
	tcase_add_loop_test(tc, f25_a_region_that_cannot_be_is_refused, 0, 11);
	tcase_add_test(tc, f25_a_region_need_not_start_on_a_page);
	tcase_add_test(tc, f26_regions_that_overlap_are_refused_and_one_file_many_times_is_fine);
	tcase_add_test(tc, f27_slots_are_counted_and_only_what_is_there_is_removed);
	tcase_add_test(tc, f27_a_ring_whose_memory_is_removed_ends_and_touches_it_no_more);
	tcase_add_test(tc, f29_a_file_that_is_cut_short_breaks_the_ring_with_the_helper);
	tcase_add_test(tc, f29_a_file_that_can_shrink_is_refused_where_seals_are_required);
	tcase_add_test(tc, f37_translations_that_cannot_be_are_refused_and_many_are_bounded);
	tcase_add_test(tc, f38_misses_are_bounded);
	tcase_add_test(tc, f51_a_xen_mapping_is_refused_unless_it_was_negotiated);

	tc = new_case(s, "migration");
	tcase_add_test(tc, f32_logging_follows_its_switch_and_its_file_in_traffic);
	tcase_add_test(tc, g22_a_ring_that_is_not_started_is_not_touched);
	tcase_add_loop_test(tc, f30_a_log_that_cannot_be_is_refused, 0, 8);
	tcase_add_test(tc, f31_what_lies_beyond_the_log_is_not_marked);
	tcase_add_loop_test(tc, f53_the_offset_of_a_log_counts_once, 0, 5);
	tcase_add_test(tc, f33_a_record_with_impossible_numbers_is_refused);
	tcase_add_test(tc, f34_a_record_that_does_not_fit_is_refused);
	tcase_add_loop_test(tc, f35_a_record_full_of_lies_is_survived, 0, 10);
	tcase_add_test(tc, f46_postcopy_out_of_order_is_refused);
	tcase_add_test(tc, f47_transfers_of_state_that_cannot_be_are_refused);
	tcase_add_loop_test(tc, f52_a_ring_larger_than_its_record_is_not_started, 0, 2);

	tc = new_case(s, "device");
	tcase_add_loop_test(tc, f36_a_channel_that_floods_lies_or_breaks_harms_itself_only, 0, 8);
	tcase_add_test(tc, f36_a_channel_needs_its_feature_and_one_descriptor);
	tcase_add_loop_test(tc, f39_every_callback_may_call_everything, 0,
			    (int)(sizeof(words) / sizeof(words[0])));
	tcase_add_loop_test(tc, f40_accesses_outside_of_the_configuration_are_refused, 0, 11);
	tcase_add_test(tc, f41_protocol_features_may_narrow_and_unoffered_ones_are_refused);
	tcase_add_test(tc, f42_features_that_were_not_offered_or_change_under_a_ring_are_refused);
	tcase_add_test(tc, f43_a_status_may_go_anywhere_and_0_resets_in_mid_traffic);
	tcase_add_test(tc, f43_memory_that_changes_after_a_reset_is_not_the_ring_s);
	tcase_add_test(tc, f43_what_is_refused_after_a_reset_keeps_the_position);
	tcase_add_test(tc, f44_resets_in_mid_traffic_twice_and_before_all_are_harmless);
	tcase_add_test(tc, f45_messages_for_what_the_device_does_not_do_are_refused);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
