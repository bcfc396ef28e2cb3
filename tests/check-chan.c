/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* Framing: messages out of segments, and descriptors to the message they belong to. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/mman.h>
#include <unistd.h>

#include "leak.h"
#include "proto/vu-chan.h"

static struct vu_chan chan;
static int peer;
static struct leak leak;
static struct vu_msg msg;
static const char *why;

static void setup(void)
{
	int fds[2];

	leak = leak_begin();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	vu_chan_init(&chan, VU_FRONTEND);
	vu_chan_open(&chan, fds[0]);
	peer = fds[1];
}

static void teardown(void)
{
	vu_chan_close(&chan);
	if (peer >= 0)
		close(peer);
	ck_assert_int_eq(leak_check(&leak), 0);
}

/* A file that can be told from others: by its size. */
static int make_file(off_t size)
{
	int fd = memfd_create("chan", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	return fd;
}

static off_t file_size(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	return st.st_size;
}

/* One segment from the peer, with files of the sizes @first, @first + 1, ... */
static void peer_send(const void *buf, size_t len, unsigned int n_fds, off_t first)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(64 * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[64];
	unsigned int i;

	for (i = 0; i < n_fds; i++)
		fds[i] = make_file(first + (off_t)i);
	if (n_fds) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, n_fds * sizeof(int));
	}
	ck_assert_int_eq(sendmsg(peer, &mh, MSG_NOSIGNAL), (ssize_t)len);
	for (i = 0; i < n_fds; i++)
		close(fds[i]);
}

/* A message in @buf; its payload counts up from @seed. */
static size_t put(uint8_t *buf, uint32_t request, uint32_t flags, uint32_t size, uint8_t seed)
{
	struct vu_header hdr = { request, flags, size };
	uint32_t i;

	memcpy(buf, &hdr, sizeof(hdr));
	for (i = 0; i < size; i++)
		buf[sizeof(hdr) + i] = (uint8_t)(seed + i);
	return sizeof(hdr) + size;
}

static void expect(uint32_t request, uint32_t size, uint8_t seed, unsigned int n_fds, off_t first)
{
	unsigned int i;

	ck_assert_int_eq(vu_chan_recv(&chan, &msg, &why), 1);
	ck_assert_uint_eq(msg.hdr.request, request);
	ck_assert_uint_eq(msg.hdr.size, size);
	for (i = 0; i < size; i++)
		ck_assert_uint_eq(((const uint8_t *)msg.payload)[i], (uint8_t)(seed + i));
	ck_assert_uint_eq(msg.n_fds, n_fds);
	for (i = 0; i < n_fds; i++) {
		ck_assert_int_eq(file_size(msg.fds[i]), first + (off_t)i);
		ck_assert_int_eq(fcntl(msg.fds[i], F_GETFD), FD_CLOEXEC);
	}
}

static void expect_none(void)
{
	ck_assert_int_eq(vu_chan_recv(&chan, &msg, &why), -EAGAIN);
}

/* What the peer receives next. Its descriptors are closed; their number is returned. */
static unsigned int peer_recv(void *buf, size_t want)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(64 * sizeof(int))];
	} control;
	size_t have = 0;
	unsigned int n_fds = 0;

	while (have < want) {
		struct iovec iov = { .iov_base = (char *)buf + have, .iov_len = want - have };
		struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
				     .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(peer, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		struct cmsghdr *cmsg;
		int fd;

		ck_assert_int_gt(n, 0);
		for (cmsg = CMSG_FIRSTHDR(&mh); cmsg; cmsg = CMSG_NXTHDR(&mh, cmsg)) {
			size_t k = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int), i;

			ck_assert_uint_eq(have, 0);	/* on the first byte */
			for (i = 0; i < k; i++, n_fds++) {
				memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
				close(fd);
			}
		}
		have += (size_t)n;
	}
	return n_fds;
}

static void peer_expect(uint32_t request, uint32_t size, uint8_t seed, unsigned int n_fds)
{
	uint8_t want[8192], got[8192];
	size_t len = put(want, request, 1, size, seed);

	ck_assert_uint_eq(peer_recv(got, len), n_fds);
	ck_assert_mem_eq(got, want, len);
}

static void peer_expect_none(void)
{
	char c;

	ck_assert_int_eq(recv(peer, &c, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
}

static int send_one(uint32_t request, uint32_t size, uint8_t seed, const int *fds,
		    unsigned int n_fds, bool now)
{
	uint8_t buf[8192];
	struct vu_header hdr;

	put(buf, request, 1, size, seed);
	memcpy(&hdr, buf, sizeof(hdr));
	return vu_chan_send(&chan, &hdr, buf + sizeof(hdr), fds, n_fds, now);
}

/* ----------------------------------------------------------------- receiving */

START_TEST(a_message_in_two_segments_split_at_any_byte_is_one_message)
{
	uint8_t buf[64];
	size_t len = put(buf, VU_GET_VRING_BASE, 5, 8, 3);

	peer_send(buf, (size_t)_i, 0, 0);
	expect_none();
	ck_assert(!vu_chan_has_msg(&chan));
	expect_none();
	peer_send(buf + _i, len - (size_t)_i, 0, 0);
	expect(VU_GET_VRING_BASE, 8, 3, 0, 0);
	expect_none();
}
END_TEST

START_TEST(a_message_with_a_descriptor_split_at_any_byte_keeps_it)
{
	uint8_t buf[64];
	size_t len = put(buf, VU_GET_INFLIGHT_FD, 5, 24, 9);

	peer_send(buf, (size_t)_i, 1, 100);
	expect_none();
	peer_send(buf + _i, len - (size_t)_i, 0, 0);
	expect(VU_GET_INFLIGHT_FD, 24, 9, 1, 100);
	expect_none();
}
END_TEST

START_TEST(a_message_that_comes_byte_by_byte_is_one_message)
{
	uint8_t buf[128];
	size_t len = put(buf, VU_GET_VRING_BASE, 5, 8, 3), i;

	len += put(buf + len, VU_GET_CONFIG, 5, 20, 50);
	for (i = 0; i < 19; i++) {
		peer_send(buf + i, 1, 0, 0);
		expect_none();
	}
	peer_send(buf + i++, 1, 0, 0);
	expect(VU_GET_VRING_BASE, 8, 3, 0, 0);
	for (; i < len - 1; i++) {
		peer_send(buf + i, 1, 0, 0);
		expect_none();
	}
	peer_send(buf + i, 1, 0, 0);
	expect(VU_GET_CONFIG, 20, 50, 0, 0);
}
END_TEST

START_TEST(several_messages_in_one_segment_come_one_after_the_other)
{
	uint8_t buf[2048];
	size_t len = 0;
	uint32_t i;

	for (i = 0; i < 50; i++)
		len += put(buf + len, VU_SET_VRING_NUM, 5, i % 3 ? 8 : 0, (uint8_t)i);
	peer_send(buf, len, 0, 0);
	for (i = 0; i < 50; i++) {
		expect(VU_SET_VRING_NUM, i % 3 ? 8 : 0, (uint8_t)i, 0, 0);
		ck_assert_int_eq(vu_chan_has_msg(&chan), i < 49);
	}
	expect_none();
}
END_TEST

START_TEST(a_burst_larger_than_the_buffer_is_taken_piece_by_piece)
{
	static uint8_t buf[40 * (12 + 4000)];
	size_t len = 0;
	uint32_t i;

	for (i = 0; i < 40; i++)
		len += put(buf + len, VU_GET_CONFIG, 5, 3000 + 13 * i, (uint8_t)i);
	peer_send(buf, len, 0, 0);
	for (i = 0; i < 40; i++)
		expect(VU_GET_CONFIG, 3000 + 13 * i, (uint8_t)i, 0, 0);
	expect_none();
}
END_TEST

START_TEST(descriptors_go_to_the_message_of_a_segment_whose_row_takes_them)
{
	uint8_t buf[256];
	size_t len = 0;

	/* the one that takes a descriptor is first, in the middle, or last */
	for (int i = 0; i < 3; i++)
		len += i == _i ? put(buf + len, VU_GET_INFLIGHT_FD, 5, 24, 9) :
				 put(buf + len, VU_SET_FEATURES, 5, 8, (uint8_t)i);
	peer_send(buf, len, 1, 77);
	for (int i = 0; i < 3; i++) {
		if (i == _i)
			expect(VU_GET_INFLIGHT_FD, 24, 9, 1, 77);
		else
			expect(VU_SET_FEATURES, 8, (uint8_t)i, 0, 0);
	}
	expect_none();
}
END_TEST

START_TEST(descriptors_that_no_row_takes_are_seen_with_the_last_message)
{
	uint8_t buf[256];
	size_t len = put(buf, VU_SET_FEATURES, 5, 8, 1);

	len += put(buf + len, VU_SET_OWNER, 5, 8, 2);
	peer_send(buf, len, 2, 5);
	expect(VU_SET_FEATURES, 8, 1, 0, 0);
	expect(VU_SET_OWNER, 8, 2, 2, 5);
	expect_none();
}
END_TEST

START_TEST(each_segment_keeps_its_own_descriptors)
{
	uint8_t buf[256];
	size_t len;
	int i;

	for (i = 0; i < 6; i++) {
		len = put(buf, VU_GET_INFLIGHT_FD, 5, 24, (uint8_t)i);
		peer_send(buf, len, 1, 200 + i);
		len = put(buf, VU_GET_FEATURES, 5, 8, (uint8_t)i);
		peer_send(buf, len, 0, 0);
	}
	for (i = 0; i < 6; i++) {
		expect(VU_GET_INFLIGHT_FD, 24, (uint8_t)i, 1, 200 + i);
		expect(VU_GET_FEATURES, 8, (uint8_t)i, 0, 0);
	}
	expect_none();
}
END_TEST

START_TEST(the_rest_of_one_message_and_the_next_with_descriptors_may_share_a_segment)
{
	uint8_t buf[256];
	size_t len = put(buf, VU_GET_FEATURES, 5, 8, 1);
	size_t all = len + put(buf + len, VU_GET_INFLIGHT_FD, 5, 24, 9);

	peer_send(buf, (size_t)_i, 0, 0);
	expect_none();
	peer_send(buf + _i, all - (size_t)_i, 1, 33);
	expect(VU_GET_FEATURES, 8, 1, 0, 0);
	expect(VU_GET_INFLIGHT_FD, 24, 9, 1, 33);
	expect_none();
}
END_TEST

START_TEST(descriptors_in_the_middle_of_a_message_are_refused)
{
	uint8_t buf[256];
	size_t len = put(buf, VU_GET_INFLIGHT_FD, 5, 24, 9);

	peer_send(buf, (size_t)_i, 0, 0);
	expect_none();
	peer_send(buf + _i, len - (size_t)_i, 1, 33);
	ck_assert_int_eq(vu_chan_recv(&chan, &msg, &why), -EPROTO);
	ck_assert_ptr_nonnull(strstr(why, "descriptors"));
}
END_TEST

START_TEST(descriptors_nobody_took_are_closed_with_the_next_read)
{
	uint8_t buf[256];
	size_t len = put(buf, VU_GET_INFLIGHT_FD, 5, 24, 9);
	int before, taken;

	before = leak_count_fds();
	peer_send(buf, len, 1, 33);
	expect(VU_GET_INFLIGHT_FD, 24, 9, 1, 33);
	ck_assert_int_eq(leak_count_fds(), before + 1);
	expect_none();
	ck_assert_int_eq(leak_count_fds(), before);
	/* and what was taken stays */
	peer_send(buf, len, 1, 34);
	expect(VU_GET_INFLIGHT_FD, 24, 9, 1, 34);
	taken = msg.fds[0];
	msg.fds[0] = -1;
	expect_none();
	ck_assert_int_eq(file_size(taken), 34);
	close(taken);
}
END_TEST

START_TEST(descriptors_of_a_message_never_read_are_closed_with_the_channel)
{
	uint8_t buf[256];
	size_t len = put(buf, VU_GET_INFLIGHT_FD, 5, 24, 9);

	peer_send(buf, len - 4, 1, 33);
	expect_none();
	vu_chan_close(&chan);	/* the fixture counts */
}
END_TEST

START_TEST(more_descriptors_than_there_is_room_for_break_the_channel_and_leak_none)
{
	uint8_t buf[256];
	size_t len = put(buf, VU_GET_INFLIGHT_FD, 5, 24, 9);

	peer_send(buf, len, 40, 1);
	ck_assert_int_eq(vu_chan_recv(&chan, &msg, &why), -EPROTO);
	ck_assert_ptr_nonnull(strstr(why, "more file descriptors"));
}
END_TEST

START_TEST(thirty_two_descriptors_are_received_so_that_the_table_can_refuse_them)
{
	uint8_t buf[256];
	size_t len = put(buf, VU_GET_INFLIGHT_FD, 5, 24, 9);

	peer_send(buf, len, VU_RX_FDS, 1);
	expect(VU_GET_INFLIGHT_FD, 24, 9, VU_RX_FDS, 1);
	expect_none();
}
END_TEST

START_TEST(closed_between_messages_is_a_reset)
{
	uint8_t buf[64];
	size_t len = put(buf, VU_GET_FEATURES, 5, 8, 1);

	peer_send(buf, len, 0, 0);
	close(peer);
	peer = -1;
	expect(VU_GET_FEATURES, 8, 1, 0, 0);
	ck_assert_int_eq(vu_chan_recv(&chan, &msg, &why), -ECONNRESET);
}
END_TEST

START_TEST(closed_inside_a_message_is_an_abort)
{
	uint8_t buf[64];

	put(buf, VU_GET_FEATURES, 5, 8, 1);
	peer_send(buf, (size_t)_i, 0, 0);
	close(peer);
	peer = -1;
	ck_assert_int_eq(vu_chan_recv(&chan, &msg, &why), -ECONNABORTED);
}
END_TEST

START_TEST(a_payload_larger_than_any_message_is_refused_by_its_header)
{
	struct vu_header hdr = { VU_GET_CONFIG, 5, VU_MAX_PAYLOAD + 1 };

	peer_send(&hdr, sizeof(hdr), 0, 0);
	ck_assert_int_eq(vu_chan_recv(&chan, &msg, &why), -EPROTO);
	ck_assert_ptr_nonnull(strstr(why, "larger"));
	vu_chan_close(&chan);
}
END_TEST

START_TEST(a_payload_of_4_gigabytes_is_refused_by_its_header)
{
	struct vu_header hdr = { VU_GET_CONFIG, 5, UINT32_MAX };

	peer_send(&hdr, sizeof(hdr), 0, 0);
	ck_assert_int_eq(vu_chan_recv(&chan, &msg, &why), -EPROTO);
}
END_TEST

START_TEST(the_largest_payload_is_taken)
{
	static uint8_t buf[sizeof(struct vu_header) + VU_MAX_PAYLOAD];
	size_t len = put(buf, VU_GET_CONFIG, 5, VU_MAX_PAYLOAD, 1);

	peer_send(buf, 4000, 0, 0);
	expect_none();
	peer_send(buf + 4000, len - 4000, 0, 0);
	expect(VU_GET_CONFIG, VU_MAX_PAYLOAD, 1, 0, 0);
}
END_TEST

/* ------------------------------------------------------------------- sending */

START_TEST(one_message_is_one_segment_with_its_descriptors_on_the_first_byte)
{
	int fds[8];
	int i;

	for (i = 0; i < 8; i++)
		fds[i] = make_file(i);
	ck_assert_int_eq(send_one(VU_SET_MEM_TABLE, 264, 1, fds, 8, false), 0);
	ck_assert_int_eq(send_one(VU_SET_OWNER, 0, 0, NULL, 0, false), 0);
	ck_assert_int_eq(send_one(VU_SET_LOG_FD, 0, 0, fds, 1, false), 0);
	for (i = 0; i < 8; i++)
		close(fds[i]);
	peer_expect(VU_SET_MEM_TABLE, 264, 1, 8);
	peer_expect(VU_SET_OWNER, 0, 0, 0);
	peer_expect(VU_SET_LOG_FD, 0, 0, 1);
	peer_expect_none();
}
END_TEST

START_TEST(a_peer_that_is_gone_is_an_error_and_no_signal)
{
	close(peer);
	peer = -1;
	ck_assert_int_eq(send_one(VU_SET_OWNER, 0, 0, NULL, 0, false), -EPIPE);
}
END_TEST

START_TEST(a_closed_channel_sends_nothing)
{
	vu_chan_close(&chan);
	ck_assert_int_eq(send_one(VU_SET_OWNER, 0, 0, NULL, 0, false), -ENOTCONN);
}
END_TEST

START_TEST(what_the_socket_does_not_take_is_queued_in_order_with_descriptors)
{
	int small = 4096, fd = make_file(1), r = 0;
	unsigned int sent = 0, i;

	ck_assert_int_eq(setsockopt(chan.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	while (!vu_chan_wants_out(&chan) && sent < 10000)
		ck_assert_int_eq(send_one(VU_GET_INFLIGHT_FD, 24, (uint8_t)sent++, &fd, 1, false), 0);
	ck_assert(vu_chan_wants_out(&chan));
	for (i = 0; i < 20; i++)
		ck_assert_int_eq(send_one(VU_SET_CONFIG, 4000, (uint8_t)sent++, NULL, 0, false), 0);
	close(fd);
	ck_assert_int_eq(vu_chan_flush(&chan), -EAGAIN);
	for (i = 0; i < sent - 20; i++) {
		if (i >= 4)
			vu_chan_flush(&chan);
		peer_expect(VU_GET_INFLIGHT_FD, 24, (uint8_t)i, 1);
	}
	for (; i < sent; i++) {
		uint8_t got[4012], want[4012];
		size_t have = 0;

		put(want, VU_SET_CONFIG, 1, 4000, (uint8_t)i);
		while (have < sizeof(got)) {
			ssize_t n;

			r = vu_chan_flush(&chan);
			ck_assert(r == 0 || r == -EAGAIN);
			n = recv(peer, got + have, sizeof(got) - have, MSG_DONTWAIT);
			ck_assert_int_gt(n, 0);
			have += (size_t)n;
		}
		ck_assert_mem_eq(got, want, sizeof(got));
	}
	ck_assert_int_eq(vu_chan_flush(&chan), 0);
	ck_assert(!vu_chan_wants_out(&chan));
	ck_assert_uint_eq(chan.out_bytes, 0);
	peer_expect_none();
}
END_TEST

START_TEST(the_queue_is_bounded)
{
	unsigned int n = 0;
	int r;

	while ((r = send_one(VU_SET_CONFIG, 4096, 0, NULL, 0, false)) == 0 && n < 2000)
		n++;
	ck_assert_int_eq(r, -ENOBUFS);
	ck_assert_uint_le(chan.out_bytes, VU_TX_LIMIT);
}
END_TEST

START_TEST(what_is_queued_when_the_channel_closes_leaks_no_descriptor)
{
	int fd = make_file(1);

	vu_chan_hold(&chan);
	ck_assert_int_eq(send_one(VU_SET_LOG_FD, 0, 0, &fd, 1, false), 0);
	close(fd);
	vu_chan_close(&chan);
	ck_assert_uint_eq(chan.out_bytes, 0);
}
END_TEST

START_TEST(messages_are_held_until_released_and_urgent_ones_overtake_them)
{
	vu_chan_hold(&chan);
	ck_assert_int_eq(send_one(VU_SET_VRING_NUM, 8, 1, NULL, 0, false), 0);
	ck_assert_int_eq(send_one(VU_SET_VRING_NUM, 8, 2, NULL, 0, false), 0);
	ck_assert(!vu_chan_wants_out(&chan));
	ck_assert_int_eq(vu_chan_flush(&chan), 0);
	peer_expect_none();
	ck_assert_int_eq(send_one(VU_IOTLB_MSG, 32, 9, NULL, 0, true), 0);
	peer_expect(VU_IOTLB_MSG, 32, 9, 0);
	peer_expect_none();
	vu_chan_release(&chan);
	ck_assert(vu_chan_wants_out(&chan));
	ck_assert_int_eq(vu_chan_flush(&chan), 0);
	peer_expect(VU_SET_VRING_NUM, 8, 1, 0);
	peer_expect(VU_SET_VRING_NUM, 8, 2, 0);
	ck_assert_int_eq(send_one(VU_SET_OWNER, 0, 0, NULL, 0, false), 0);
	peer_expect(VU_SET_OWNER, 0, 0, 0);
}
END_TEST

START_TEST(held_messages_that_are_dropped_were_never_sent)
{
	int fd = make_file(1);

	vu_chan_hold(&chan);
	ck_assert_int_eq(send_one(VU_SET_LOG_FD, 0, 0, &fd, 1, false), 0);
	ck_assert_int_eq(send_one(VU_SET_VRING_NUM, 8, 2, NULL, 0, false), 0);
	vu_chan_drop_held(&chan);
	close(fd);
	ck_assert_uint_eq(chan.out_bytes, 0);
	ck_assert_int_eq(vu_chan_flush(&chan), 0);
	peer_expect_none();
	ck_assert_int_eq(send_one(VU_SET_OWNER, 0, 0, NULL, 0, false), 0);
	peer_expect(VU_SET_OWNER, 0, 0, 0);
}
END_TEST

/* With the socket full: what was queued before the hold, urgent ones, and held ones. */
START_TEST(urgent_messages_go_between_what_was_queued_and_what_is_held)
{
	int small = 4096;
	unsigned int sent = 0, i;
	uint8_t seed;

	ck_assert_int_eq(setsockopt(chan.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	while (!vu_chan_wants_out(&chan) && sent < 10000)
		ck_assert_int_eq(send_one(VU_SET_VRING_NUM, 8, (uint8_t)sent++, NULL, 0, false), 0);
	vu_chan_hold(&chan);
	ck_assert_int_eq(send_one(VU_SET_VRING_BASE, 8, 1, NULL, 0, false), 0);
	ck_assert_int_eq(send_one(VU_IOTLB_MSG, 32, 5, NULL, 0, true), 0);
	ck_assert_int_eq(send_one(VU_SET_VRING_BASE, 8, 2, NULL, 0, false), 0);
	ck_assert_int_eq(send_one(VU_IOTLB_MSG, 32, 6, NULL, 0, true), 0);
	for (i = 0; i < sent; i++) {
		vu_chan_flush(&chan);
		peer_expect(VU_SET_VRING_NUM, 8, (uint8_t)i, 0);
	}
	ck_assert_int_eq(vu_chan_flush(&chan), 0);
	for (seed = 5; seed <= 6; seed++)
		peer_expect(VU_IOTLB_MSG, 32, seed, 0);
	peer_expect_none();
	if (_i) {
		vu_chan_drop_held(&chan);
		ck_assert_int_eq(vu_chan_flush(&chan), 0);
	} else {
		vu_chan_release(&chan);
		ck_assert_int_eq(vu_chan_flush(&chan), 0);
		peer_expect(VU_SET_VRING_BASE, 8, 1, 0);
		peer_expect(VU_SET_VRING_BASE, 8, 2, 0);
	}
	peer_expect_none();
	ck_assert_int_eq(send_one(VU_SET_OWNER, 0, 0, NULL, 0, false), 0);
	peer_expect(VU_SET_OWNER, 0, 0, 0);
	ck_assert_uint_eq(chan.out_bytes, 0);
}
END_TEST

START_TEST(a_new_socket_starts_with_nothing_of_the_old_one)
{
	uint8_t buf[64];
	int fds[2];

	put(buf, VU_GET_INFLIGHT_FD, 5, 24, 1);
	peer_send(buf, 20, 1, 4);
	expect_none();
	vu_chan_hold(&chan);
	ck_assert_int_eq(send_one(VU_SET_OWNER, 0, 0, NULL, 0, false), 0);
	close(peer);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	peer = fds[1];
	vu_chan_open(&chan, fds[0]);
	ck_assert_int_eq(vu_chan_flush(&chan), 0);
	peer_expect_none();
	peer_send(buf, put(buf, VU_GET_FEATURES, 5, 8, 7), 0, 0);
	expect(VU_GET_FEATURES, 8, 7, 0, 0);
}
END_TEST

/* ------------------------------------------------------------------- tracing */

static unsigned int traced[2];

static void count(void *opaque, bool received, enum vu_direction dir, const struct vu_header *hdr,
		  const void *payload, const int *fds, unsigned int n_fds)
{
	(void)payload;
	(void)fds;
	ck_assert_ptr_eq(opaque, traced);
	ck_assert_int_eq(dir, VU_FRONTEND);
	ck_assert_uint_eq(hdr->request, received ? VU_GET_INFLIGHT_FD : VU_SET_OWNER);
	ck_assert_uint_eq(n_fds, received ? 1 : 0);
	traced[received]++;
}

START_TEST(every_message_is_traced_once_sent_queued_or_received)
{
	uint8_t buf[64];
	size_t len = put(buf, VU_GET_INFLIGHT_FD, 5, 24, 1);

	chan.trace = count;
	chan.trace_opaque = traced;
	ck_assert_int_eq(send_one(VU_SET_OWNER, 0, 0, NULL, 0, false), 0);
	vu_chan_hold(&chan);
	ck_assert_int_eq(send_one(VU_SET_OWNER, 0, 0, NULL, 0, false), 0);
	vu_chan_release(&chan);
	ck_assert_int_eq(vu_chan_flush(&chan), 0);
	ck_assert_uint_eq(traced[0], 2);
	peer_send(buf, 10, 1, 1);
	expect_none();
	peer_send(buf + 10, len - 10, 0, 0);
	expect(VU_GET_INFLIGHT_FD, 24, 1, 1, 1);
	expect_none();
	ck_assert_uint_eq(traced[1], 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("chan");
	TCase *in = tcase_create("receiving"), *out = tcase_create("sending");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(in, setup, teardown);
	tcase_set_timeout(in, 60);
	tcase_add_loop_test(in, a_message_in_two_segments_split_at_any_byte_is_one_message, 1, 20);
	tcase_add_loop_test(in, a_message_with_a_descriptor_split_at_any_byte_keeps_it, 1, 36);
	tcase_add_test(in, a_message_that_comes_byte_by_byte_is_one_message);
	tcase_add_test(in, several_messages_in_one_segment_come_one_after_the_other);
	tcase_add_test(in, a_burst_larger_than_the_buffer_is_taken_piece_by_piece);
	tcase_add_loop_test(in, descriptors_go_to_the_message_of_a_segment_whose_row_takes_them, 0, 3);
	tcase_add_test(in, descriptors_that_no_row_takes_are_seen_with_the_last_message);
	tcase_add_test(in, each_segment_keeps_its_own_descriptors);
	tcase_add_loop_test(in, the_rest_of_one_message_and_the_next_with_descriptors_may_share_a_segment,
			    1, 20);
	tcase_add_loop_test(in, descriptors_in_the_middle_of_a_message_are_refused, 1, 36);
	tcase_add_test(in, descriptors_nobody_took_are_closed_with_the_next_read);
	tcase_add_test(in, descriptors_of_a_message_never_read_are_closed_with_the_channel);
	if (!leak_emulated())
		tcase_add_test(in, more_descriptors_than_there_is_room_for_break_the_channel_and_leak_none);
	tcase_add_test(in, thirty_two_descriptors_are_received_so_that_the_table_can_refuse_them);
	tcase_add_test(in, closed_between_messages_is_a_reset);
	tcase_add_loop_test(in, closed_inside_a_message_is_an_abort, 1, 20);
	tcase_add_test(in, a_payload_larger_than_any_message_is_refused_by_its_header);
	tcase_add_test(in, a_payload_of_4_gigabytes_is_refused_by_its_header);
	tcase_add_test(in, the_largest_payload_is_taken);
	suite_add_tcase(s, in);

	tcase_add_checked_fixture(out, setup, teardown);
	tcase_set_timeout(out, 60);
	tcase_add_test(out, one_message_is_one_segment_with_its_descriptors_on_the_first_byte);
	tcase_add_test(out, a_peer_that_is_gone_is_an_error_and_no_signal);
	tcase_add_test(out, a_closed_channel_sends_nothing);
	tcase_add_test(out, what_the_socket_does_not_take_is_queued_in_order_with_descriptors);
	tcase_add_test(out, the_queue_is_bounded);
	tcase_add_test(out, what_is_queued_when_the_channel_closes_leaks_no_descriptor);
	tcase_add_test(out, messages_are_held_until_released_and_urgent_ones_overtake_them);
	tcase_add_test(out, held_messages_that_are_dropped_were_never_sent);
	tcase_add_loop_test(out, urgent_messages_go_between_what_was_queued_and_what_is_held, 0, 2);
	tcase_add_test(out, a_new_socket_starts_with_nothing_of_the_old_one);
	tcase_add_test(out, every_message_is_traced_once_sent_queued_or_received);
	suite_add_tcase(s, out);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
