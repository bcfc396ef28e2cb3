/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The message table. What each message must look like is written down here a second
 * time, as numbers from the vhost-user specification, and every row is tried at the
 * edges of its rules.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/vu-msg.h"

enum fd_rule { NONE, ONE, MAYBE, NOFD, TABLE };
enum reply_rule { ACK, OWN, LOG };

struct expected {
	const char *name;
	uint32_t number;
	int gate;		/* protocol feature, -1 none */
	enum fd_rule fds;
	uint32_t min, max;	/* payload */
	enum reply_rule reply;
	uint32_t reply_min, reply_max;
	enum fd_rule reply_fds;
	enum { PLAIN, REGIONS, CONFIG, XEN } shape;
};

#define CONFIG_MAX (12 + 4096)

/* vhost-user, "Front-end message types" */
static const struct expected frontend[] = {
	{ "GET_FEATURES", 1, -1, NONE, 0, 0, OWN, 8, 8, NONE, PLAIN },
	{ "SET_FEATURES", 2, -1, NONE, 8, 8, ACK, 8, 8, NONE, PLAIN },
	{ "SET_OWNER", 3, -1, NONE, 0, 0, ACK, 8, 8, NONE, PLAIN },
	{ "RESET_OWNER", 4, -1, NONE, 0, 0, ACK, 8, 8, NONE, PLAIN },
	{ "SET_MEM_TABLE", 5, -1, TABLE, 8, 8 + 8 * 32, ACK, 8, 8, NONE, REGIONS },
	{ "SET_LOG_BASE", 6, -1, MAYBE, 8, 16, LOG, 0, 16, NONE, PLAIN },
	{ "SET_LOG_FD", 7, -1, ONE, 0, 0, ACK, 8, 8, NONE, PLAIN },
	{ "SET_VRING_NUM", 8, -1, NONE, 8, 8, ACK, 8, 8, NONE, PLAIN },
	{ "SET_VRING_ADDR", 9, -1, NONE, 40, 40, ACK, 8, 8, NONE, PLAIN },
	{ "SET_VRING_BASE", 10, -1, NONE, 8, 8, ACK, 8, 8, NONE, PLAIN },
	{ "GET_VRING_BASE", 11, -1, NONE, 8, 8, OWN, 8, 8, NONE, PLAIN },
	{ "SET_VRING_KICK", 12, -1, NOFD, 8, 8, ACK, 8, 8, NONE, PLAIN },
	{ "SET_VRING_CALL", 13, -1, NOFD, 8, 8, ACK, 8, 8, NONE, PLAIN },
	{ "SET_VRING_ERR", 14, -1, NOFD, 8, 8, ACK, 8, 8, NONE, PLAIN },
	{ "GET_PROTOCOL_FEATURES", 15, -1, NONE, 0, 0, OWN, 8, 8, NONE, PLAIN },
	{ "SET_PROTOCOL_FEATURES", 16, -1, NONE, 8, 8, ACK, 8, 8, NONE, PLAIN },
	{ "GET_QUEUE_NUM", 17, 0, NONE, 0, 0, OWN, 8, 8, NONE, PLAIN },
	{ "SET_VRING_ENABLE", 18, -1, NONE, 8, 8, ACK, 8, 8, NONE, PLAIN },
	{ "SEND_RARP", 19, 2, NONE, 8, 8, ACK, 8, 8, NONE, PLAIN },
	{ "NET_SET_MTU", 20, 4, NONE, 8, 8, ACK, 8, 8, NONE, PLAIN },
	{ "SET_BACKEND_REQ_FD", 21, 5, ONE, 0, 0, ACK, 8, 8, NONE, PLAIN },
	{ "IOTLB_MSG", 22, -1, NONE, 32, 32, OWN, 8, 8, NONE, PLAIN },
	{ "SET_VRING_ENDIAN", 23, 6, NONE, 8, 8, ACK, 8, 8, NONE, PLAIN },
	{ "GET_CONFIG", 24, 9, NONE, 12, CONFIG_MAX, OWN, 0, CONFIG_MAX, NONE, CONFIG },
	{ "SET_CONFIG", 25, 9, NONE, 12, CONFIG_MAX, ACK, 8, 8, NONE, CONFIG },
	{ "CREATE_CRYPTO_SESSION", 26, 7, NONE, 8, 4096, OWN, 8, 4096, NONE, PLAIN },
	{ "CLOSE_CRYPTO_SESSION", 27, 7, NONE, 8, 8, ACK, 8, 8, NONE, PLAIN },
	{ "POSTCOPY_ADVISE", 28, 8, NONE, 0, 0, OWN, 0, 8, MAYBE, PLAIN },
	{ "POSTCOPY_LISTEN", 29, 8, NONE, 0, 0, ACK, 8, 8, NONE, PLAIN },
	{ "POSTCOPY_END", 30, 8, NONE, 0, 0, OWN, 8, 8, NONE, PLAIN },
	{ "GET_INFLIGHT_FD", 31, 12, NONE, 20, 24, OWN, 20, 24, MAYBE, PLAIN },
	{ "SET_INFLIGHT_FD", 32, 12, ONE, 20, 24, ACK, 8, 8, NONE, PLAIN },
	{ "GPU_SET_SOCKET", 33, -1, ONE, 0, 0, ACK, 8, 8, NONE, PLAIN },
	{ "RESET_DEVICE", 34, 13, NONE, 0, 0, ACK, 8, 8, NONE, PLAIN },
	{ "VRING_KICK", 35, 14, NONE, 8, 8, ACK, 8, 8, NONE, PLAIN },
	{ "GET_MAX_MEM_SLOTS", 36, 15, NONE, 0, 0, OWN, 8, 8, NONE, PLAIN },
	{ "ADD_MEM_REG", 37, 15, ONE, 40, 40, ACK, 8, 8, NONE, XEN },
	{ "REM_MEM_REG", 38, 15, MAYBE, 40, 40, ACK, 8, 8, NONE, XEN },
	{ "SET_STATUS", 39, 16, NONE, 8, 8, ACK, 8, 8, NONE, PLAIN },
	{ "GET_STATUS", 40, 16, NONE, 0, 0, OWN, 8, 8, NONE, PLAIN },
	{ "GET_SHARED_OBJECT", 41, 18, NONE, 16, 16, OWN, 0, 16, MAYBE, PLAIN },
	{ "SET_DEVICE_STATE_FD", 42, 19, ONE, 8, 8, OWN, 8, 8, MAYBE, PLAIN },
	{ "CHECK_DEVICE_STATE", 43, 19, NONE, 0, 0, OWN, 8, 8, NONE, PLAIN },
	{ "GET_SHMEM_CONFIG", 44, 22, NONE, 0, 0, OWN, 8 + 256 * 8, 8 + 256 * 8, NONE, PLAIN },
};

/* vhost-user, "Back-end message types" */
static const struct expected backend[] = {
	{ "BACKEND_IOTLB_MSG", 1, -1, NONE, 32, 32, ACK, 8, 8, NONE, PLAIN },
	{ "BACKEND_CONFIG_CHANGE_MSG", 2, 9, NONE, 0, 0, ACK, 8, 8, NONE, PLAIN },
	{ "BACKEND_VRING_HOST_NOTIFIER_MSG", 3, 11, NOFD, 24, 24, ACK, 8, 8, NONE, PLAIN },
	{ "BACKEND_VRING_CALL", 4, 14, NONE, 8, 8, ACK, 8, 8, NONE, PLAIN },
	{ "BACKEND_VRING_ERR", 5, 14, NONE, 8, 8, ACK, 8, 8, NONE, PLAIN },
	{ "BACKEND_SHARED_OBJECT_ADD", 6, 18, NONE, 16, 16, ACK, 8, 8, NONE, PLAIN },
	{ "BACKEND_SHARED_OBJECT_REMOVE", 7, 18, NONE, 16, 16, ACK, 8, 8, NONE, PLAIN },
	{ "BACKEND_SHARED_OBJECT_LOOKUP", 8, 18, NONE, 16, 16, OWN, 8, 8, MAYBE, PLAIN },
	{ "BACKEND_SHMEM_MAP", 9, 22, ONE, 40, 40, ACK, 8, 8, NONE, PLAIN },
	{ "BACKEND_SHMEM_UNMAP", 10, 22, NONE, 40, 40, ACK, 8, 8, NONE, PLAIN },
};

#define N_FRONTEND 44
#define N_BACKEND 10
#define ALL_PF ((uint64_t)0x7fffff & ~((uint64_t)1 << 17))	/* 0 to 22, less XEN_MMAP */
#define XEN_PF ((uint64_t)1 << 17)

static enum vu_direction dir;
static const struct expected *e;
static uint8_t payload[16384];
static int fds[16];

/* Loop tests run over the front-end's messages, then over the back-end's. */
static void choose(int i)
{
	dir = i < N_FRONTEND ? VU_FRONTEND : VU_BACKEND;
	e = dir == VU_FRONTEND ? &frontend[i] : &backend[i - N_FRONTEND];
	memset(payload, 0, sizeof(payload));
}

/* A payload of @size that agrees with itself, as far as one of that size can. */
static void fill(uint32_t size, bool xen)
{
	uint32_t value;

	memset(payload, 0, sizeof(payload));
	if (e->shape == REGIONS && size >= 8) {
		value = (size - 8) / (xen ? 40 : 32);
		memcpy(payload, &value, sizeof(value));
	}
	if (e->shape == CONFIG && size >= 12) {
		value = size - 12;
		memcpy(payload + 4, &value, sizeof(value));
	}
}

static unsigned int right_fds(void)
{
	uint32_t n;

	switch (e->fds) {
	case ONE:
	case NOFD:	/* the payload of zeros has no such bit */
		return 1;
	case TABLE:
		memcpy(&n, payload, sizeof(n));
		return n;
	default:
		return 0;
	}
}

static enum vu_verdict request(uint32_t flags, uint32_t size, unsigned int n_fds, uint64_t pf)
{
	struct vu_msg msg = {
		.hdr = { .request = e->number, .flags = flags, .size = size },
		.payload = payload, .fds = fds, .n_fds = n_fds,
	};

	return vu_check_request(dir, &msg, pf);
}

static enum vu_verdict reply(enum vu_expect expect, uint32_t flags, uint32_t size,
			     unsigned int n_fds)
{
	struct vu_msg msg = {
		.hdr = { .request = e->number, .flags = flags, .size = size },
		.payload = payload, .fds = fds, .n_fds = n_fds,
	};

	return vu_check_reply(dir, e->number, expect, &msg, ALL_PF);
}

START_TEST(every_message_has_the_number_and_name_of_the_specification)
{
	const struct vu_row *row;

	choose(_i);
	ck_assert_uint_eq(e->number, (uint32_t)(_i < N_FRONTEND ? _i + 1 : _i - N_FRONTEND + 1));
	row = vu_row(dir, e->number);
	ck_assert_ptr_nonnull(row);
	ck_assert_str_eq(row->name, e->name);
}
END_TEST

START_TEST(no_other_message_exists)
{
	static const uint32_t front[] = { 0, 45, 46, 255, 256, 0x10001, 0x80000001, UINT32_MAX };
	static const uint32_t back[] = { 0, 11, 12, 44, 256, 0x80000001, UINT32_MAX };
	size_t i;

	for (i = 0; i < sizeof(front) / sizeof(front[0]); i++)
		ck_assert_ptr_null(vu_row(VU_FRONTEND, front[i]));
	for (i = 0; i < sizeof(back) / sizeof(back[0]); i++)
		ck_assert_ptr_null(vu_row(VU_BACKEND, back[i]));
}
END_TEST

START_TEST(an_unknown_message_is_refused_whatever_it_carries)
{
	struct vu_msg msg = { .hdr = { 45, 1, 0 }, .payload = payload, .fds = fds };

	ck_assert_int_eq(vu_check_request(VU_FRONTEND, &msg, UINT64_MAX), VU_BAD_REQUEST);
	msg.hdr.request = 0;
	ck_assert_int_eq(vu_check_request(VU_FRONTEND, &msg, UINT64_MAX), VU_BAD_REQUEST);
	msg.hdr.request = 11;
	ck_assert_int_eq(vu_check_request(VU_BACKEND, &msg, UINT64_MAX), VU_BAD_REQUEST);
}
END_TEST

START_TEST(the_least_and_the_largest_payload_are_taken_and_no_other)
{
	choose(_i);
	fill(e->min, false);
	ck_assert_int_eq(request(1, e->min, right_fds(), ALL_PF), VU_OK);
	fill(e->max, false);
	ck_assert_int_eq(request(1, e->max, right_fds(), ALL_PF), VU_OK);
	fill(e->max + 1, false);
	ck_assert_int_eq(request(1, e->max + 1, right_fds(), ALL_PF), VU_BAD_SIZE);
	if (e->min) {
		fill(e->min - 1, false);
		ck_assert_int_eq(request(1, e->min - 1, right_fds(), ALL_PF), VU_BAD_SIZE);
		ck_assert_int_eq(request(1, 0, right_fds(), ALL_PF), VU_BAD_SIZE);
	}
	ck_assert_int_eq(request(1, UINT32_MAX, 0, ALL_PF), VU_BAD_SIZE);
	ck_assert_uint_ge(vu_row_max(vu_row(dir, e->number)), e->max);
	ck_assert_uint_ge(vu_row_max(vu_row(dir, e->number)), e->reply_max);
	ck_assert_uint_le(vu_row_max(vu_row(dir, e->number)), VU_MAX_PAYLOAD);
}
END_TEST

START_TEST(the_number_of_descriptors_is_the_one_of_the_rule)
{
	unsigned int n;

	choose(_i);
	fill(e->min, false);
	for (n = 0; n <= 9; n++) {
		bool ok = e->fds == NONE || e->fds == TABLE ? n == 0 : e->fds == MAYBE ? n <= 1 : n == 1;

		ck_assert_int_eq(request(1, e->min, n, ALL_PF), ok ? VU_OK : VU_BAD_FDS);
	}
	if (e->fds != NOFD)
		return;
	payload[1] = 1;		/* bit 8: no descriptor */
	ck_assert_int_eq(request(1, e->min, 0, ALL_PF), VU_OK);
	ck_assert_int_eq(request(1, e->min, 1, ALL_PF), VU_BAD_FDS);
}
END_TEST

START_TEST(the_protocol_feature_opens_the_message_and_nothing_else_does)
{
	const struct vu_row *row;

	choose(_i);
	row = vu_row(dir, e->number);
	fill(e->min, false);
	if (e->gate < 0) {
		ck_assert(vu_row_is_open(row, 0));
		ck_assert_int_eq(request(1, e->min, right_fds(), 0), VU_OK);
		return;
	}
	ck_assert(vu_row_is_open(row, (uint64_t)1 << e->gate));
	ck_assert(!vu_row_is_open(row, ~((uint64_t)1 << e->gate)));
	ck_assert_int_eq(request(1, e->min, right_fds(), (uint64_t)1 << e->gate), VU_OK);
	ck_assert_int_eq(request(1, e->min, right_fds(), ALL_PF & ~((uint64_t)1 << e->gate)),
			 VU_BAD_GATE);
	ck_assert_int_eq(request(1, e->min, right_fds(), 0), VU_BAD_GATE);
}
END_TEST

START_TEST(the_version_is_1_and_a_request_is_no_reply)
{
	choose(_i);
	fill(e->min, false);
	ck_assert_int_eq(request(1 | 8, e->min, right_fds(), ALL_PF), VU_OK);
	ck_assert_int_eq(request(0, e->min, right_fds(), ALL_PF), VU_BAD_VERSION);
	ck_assert_int_eq(request(2, e->min, right_fds(), ALL_PF), VU_BAD_VERSION);
	ck_assert_int_eq(request(3, e->min, right_fds(), ALL_PF), VU_BAD_VERSION);
	ck_assert_int_eq(request(1 | 4, e->min, right_fds(), ALL_PF), VU_BAD_REPLY_FLAG);
}
END_TEST

START_TEST(the_reply_is_as_long_as_the_specification_and_real_peers_have_it)
{
	const struct vu_row *row;

	choose(_i);
	row = vu_row(dir, e->number);
	ck_assert_int_eq(row->reply, e->reply == ACK ? VU_REPLY_ACK :
			 e->reply == OWN ? VU_REPLY_ALWAYS : VU_REPLY_LOG);
	ck_assert_int_eq(reply(VU_EXPECT_ROW, 5, e->reply_min, 0), VU_OK);
	ck_assert_int_eq(reply(VU_EXPECT_ROW, 5, e->reply_max, 0), VU_OK);
	ck_assert_int_eq(reply(VU_EXPECT_ROW, 5, e->reply_max + 1, 0), VU_BAD_SIZE);
	if (e->reply_min)
		ck_assert_int_eq(reply(VU_EXPECT_ROW, 5, e->reply_min - 1, 0), VU_BAD_SIZE);
}
END_TEST

START_TEST(a_reply_has_its_flag_version_and_number)
{
	struct vu_msg other = { .payload = payload, .fds = fds };

	choose(_i);
	ck_assert_int_eq(reply(VU_EXPECT_ROW, 1, e->reply_min, 0), VU_BAD_REPLY_FLAG);
	ck_assert_int_eq(reply(VU_EXPECT_ROW, 4, e->reply_min, 0), VU_BAD_VERSION);
	ck_assert_int_eq(reply(VU_EXPECT_ROW, 6, e->reply_min, 0), VU_BAD_VERSION);
	other.hdr = (struct vu_header){ e->number + 1, 5, e->reply_min };
	ck_assert_int_eq(vu_check_reply(dir, e->number, VU_EXPECT_ROW, &other, ALL_PF),
			 VU_BAD_REQUEST);
	/* some back-ends copy NEED_REPLY from the request: harmless */
	ck_assert_int_eq(reply(VU_EXPECT_ROW, 5 | 8, e->reply_min, 0), VU_OK);
}
END_TEST

START_TEST(a_reply_carries_a_descriptor_where_the_rule_says_so)
{
	choose(_i);
	ck_assert_int_eq(reply(VU_EXPECT_ROW, 5, e->reply_min, 0), VU_OK);
	ck_assert_int_eq(reply(VU_EXPECT_ROW, 5, e->reply_min, 1),
			 e->reply_fds == MAYBE ? VU_OK : VU_BAD_FDS);
	ck_assert_int_eq(reply(VU_EXPECT_ROW, 5, e->reply_min, 2), VU_BAD_FDS);
}
END_TEST

START_TEST(an_acknowledgement_is_a_u64_without_descriptors)
{
	choose(_i);
	ck_assert_int_eq(reply(VU_EXPECT_ACK, 5, 8, 0), VU_OK);
	ck_assert_int_eq(reply(VU_EXPECT_ACK, 5, 0, 0), VU_BAD_SIZE);
	ck_assert_int_eq(reply(VU_EXPECT_ACK, 5, 7, 0), VU_BAD_SIZE);
	ck_assert_int_eq(reply(VU_EXPECT_ACK, 5, 9, 0), VU_BAD_SIZE);
	ck_assert_int_eq(reply(VU_EXPECT_ACK, 5, 16, 0), VU_BAD_SIZE);
	ck_assert_int_eq(reply(VU_EXPECT_ACK, 5, 8, 1), VU_BAD_FDS);
}
END_TEST

START_TEST(memory_under_postcopy_is_answered_with_its_own_payload)
{
	choose(36);	/* ADD_MEM_REG */
	ck_assert_int_eq(reply(VU_EXPECT_ECHO, 5, 40, 0), VU_OK);
	ck_assert_int_eq(reply(VU_EXPECT_ECHO, 5, 8, 0), VU_BAD_SIZE);
	ck_assert_int_eq(reply(VU_EXPECT_ECHO, 5, 40, 1), VU_BAD_FDS);
	choose(4);	/* SET_MEM_TABLE */
	fill(8 + 2 * 32, false);
	ck_assert_int_eq(reply(VU_EXPECT_ECHO, 5, 8 + 2 * 32, 0), VU_OK);
	ck_assert_int_eq(reply(VU_EXPECT_ECHO, 5, 8 + 32, 0), VU_BAD_SIZE);
	ck_assert_int_eq(reply(VU_EXPECT_ECHO, 5, 8 + 2 * 32, 2), VU_BAD_FDS);
}
END_TEST

START_TEST(a_memory_table_has_as_many_regions_and_descriptors_as_it_counts)
{
	uint32_t n, n_fds, size;

	choose(4);
	for (n = 0; n <= 10; n++) {
		memcpy(payload, &n, sizeof(n));
		for (size = 0; size <= 8 + 10 * 32; size++)
			ck_assert_int_eq(request(1, size, n, ALL_PF),
					 n <= 8 && size == 8 + n * 32 ? VU_OK : VU_BAD_SIZE);
		for (n_fds = 0; n <= 8 && n_fds <= 9; n_fds++)
			ck_assert_int_eq(request(1, 8 + n * 32, n_fds, ALL_PF),
					 n_fds == n ? VU_OK : VU_BAD_FDS);
	}
	n = 0x08000001;		/* times 32 it wraps to 32 */
	memcpy(payload, &n, sizeof(n));
	ck_assert_int_eq(request(1, 8 + 32, 1, ALL_PF), VU_BAD_SIZE);
}
END_TEST

START_TEST(with_xen_mmap_regions_have_8_bytes_more)
{
	uint32_t one = 1;

	choose(4);
	memcpy(payload, &one, sizeof(one));
	ck_assert_int_eq(request(1, 8 + 40, 1, ALL_PF | XEN_PF), VU_OK);
	ck_assert_int_eq(request(1, 8 + 32, 1, ALL_PF | XEN_PF), VU_BAD_SIZE);
	ck_assert_int_eq(request(1, 8 + 40, 1, ALL_PF), VU_BAD_SIZE);
	choose(36);
	ck_assert_int_eq(request(1, 48, 1, ALL_PF | XEN_PF), VU_OK);
	ck_assert_int_eq(request(1, 40, 1, ALL_PF | XEN_PF), VU_BAD_SIZE);
	ck_assert_int_eq(request(1, 44, 1, ALL_PF | XEN_PF), VU_BAD_SIZE);
	ck_assert_int_eq(request(1, 44, 1, ALL_PF), VU_BAD_SIZE);
	choose(37);
	ck_assert_int_eq(request(1, 48, 0, ALL_PF | XEN_PF), VU_OK);
	ck_assert_int_eq(request(1, 48, 0, ALL_PF), VU_BAD_SIZE);
}
END_TEST

START_TEST(a_config_access_carries_as_many_bytes_as_it_says)
{
	uint32_t says = 16;

	choose(_i);	/* GET_CONFIG, SET_CONFIG */
	memcpy(payload + 4, &says, sizeof(says));
	ck_assert_int_eq(request(1, 12 + 16, 0, ALL_PF), VU_OK);
	ck_assert_int_eq(request(1, 12 + 15, 0, ALL_PF), VU_BAD_SIZE);
	ck_assert_int_eq(request(1, 12 + 17, 0, ALL_PF), VU_BAD_SIZE);
	ck_assert_int_eq(request(1, 12, 0, ALL_PF), VU_BAD_SIZE);
	says = UINT32_MAX;
	memcpy(payload + 4, &says, sizeof(says));
	ck_assert_int_eq(request(1, 12, 0, ALL_PF), VU_BAD_SIZE);
	ck_assert_int_eq(request(1, 11, 0, ALL_PF), VU_BAD_SIZE);
}
END_TEST

START_TEST(every_verdict_has_a_text)
{
	int v;

	for (v = VU_OK; v <= VU_BAD_FDS; v++)
		ck_assert_uint_gt(strlen(vu_verdict_text((enum vu_verdict)v)), 5);
}
END_TEST

START_TEST(the_constants_are_those_of_the_specification)
{
	ck_assert_uint_eq(VU_VERSION, 1);
	ck_assert_uint_eq(VU_REPLY, 1 << 2);
	ck_assert_uint_eq(VU_NEED_REPLY, 1 << 3);
	ck_assert_uint_eq(VU_F_LOG_ALL, (uint64_t)1 << 26);
	ck_assert_uint_eq(VU_F_PROTOCOL_FEATURES, (uint64_t)1 << 30);
	ck_assert_uint_eq(VU_VRING_NOFD, 1 << 8);
	ck_assert_uint_eq(VU_VRING_ADDR_LOG, 1);
	ck_assert_uint_eq(VU_IOTLB_MISS, 1);
	ck_assert_uint_eq(VU_IOTLB_UPDATE, 2);
	ck_assert_uint_eq(VU_IOTLB_INVALIDATE, 3);
	ck_assert_uint_eq(VU_IOTLB_ACCESS_FAIL, 4);
	ck_assert_uint_eq(offsetof(struct vu_vring_addr, used), 16);
	ck_assert_uint_eq(offsetof(struct vu_vring_addr, avail), 24);
	ck_assert_uint_eq(offsetof(struct vu_vring_addr, log), 32);
	ck_assert_uint_eq(offsetof(struct vu_region, user_addr), 16);
	ck_assert_uint_eq(offsetof(struct vu_region, mmap_offset), 24);
	ck_assert_uint_eq(offsetof(struct vu_iotlb, perm), 24);
	ck_assert_uint_eq(offsetof(struct vu_iotlb, type), 25);
	ck_assert_uint_eq(offsetof(struct vu_mmap, fd_offset), 8);
	ck_assert_uint_eq(offsetof(struct vu_mmap, shm_offset), 16);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("msg");
	TCase *tc = tcase_create("table");
	SRunner *sr;
	int failed, all = N_FRONTEND + N_BACKEND;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, every_message_has_the_number_and_name_of_the_specification, 0, all);
	tcase_add_test(tc, no_other_message_exists);
	tcase_add_test(tc, an_unknown_message_is_refused_whatever_it_carries);
	tcase_add_loop_test(tc, the_least_and_the_largest_payload_are_taken_and_no_other, 0, all);
	tcase_add_loop_test(tc, the_number_of_descriptors_is_the_one_of_the_rule, 0, all);
	tcase_add_loop_test(tc, the_protocol_feature_opens_the_message_and_nothing_else_does, 0, all);
	tcase_add_loop_test(tc, the_version_is_1_and_a_request_is_no_reply, 0, all);
	tcase_add_loop_test(tc, the_reply_is_as_long_as_the_specification_and_real_peers_have_it,
			    0, all);
	tcase_add_loop_test(tc, a_reply_has_its_flag_version_and_number, 0, all);
	tcase_add_loop_test(tc, a_reply_carries_a_descriptor_where_the_rule_says_so, 0, all);
	tcase_add_loop_test(tc, an_acknowledgement_is_a_u64_without_descriptors, 0, all);
	tcase_add_test(tc, memory_under_postcopy_is_answered_with_its_own_payload);
	tcase_add_test(tc, a_memory_table_has_as_many_regions_and_descriptors_as_it_counts);
	tcase_add_test(tc, with_xen_mmap_regions_have_8_bytes_more);
	tcase_add_loop_test(tc, a_config_access_carries_as_many_bytes_as_it_says, 23, 25);
	tcase_add_test(tc, every_verdict_has_a_text);
	tcase_add_test(tc, the_constants_are_those_of_the_specification);
	suite_add_tcase(s, tc);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
