/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* A message's text: what a trace shows. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/vu-msg.h"

static const struct { struct vu_mem_table head; struct vu_region r[2]; } table = {
	{ 2, 0 }, { { 0x1000, 0x2000, 0x3000, 0x4000 }, { 0xa000, 0xb000, 0xc000, 0xd000 } } };
static const struct vu_mem_reg reg = { 0, { 0x1000, 0x2000, 0x3000, 0x4000 } };
static const struct vu_log log_area = { 0x8000, 0x1000 };
static const struct vu_vring_state state = { 3, 256 };
static const struct vu_vring_addr addr = { 1, 1, 0x10, 0x20, 0x30, 0x40 };
static const struct vu_iotlb iotlb = { 0x5000, 0x1000, 0x7000, 3, 2, { 0 } };
static const struct { struct vu_config head; uint8_t data[20]; } config = {
	{ 8, 20, 1 }, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 } };
static const struct vu_inflight inflight = { 0x2000, 0x1000, 4, 128, 0 };
static const struct vu_transfer transfer = { 1, 0 };
static const struct vu_shmem_config shmem = { .n_regions = 5 };
static const uint8_t uuid[16] = { 0xde, 0xad, 0xbe, 0xef, [15] = 0x0f };
static const struct vu_vring_area area = { 2, 0x1000, 0x3000 };
static const struct vu_mmap mapping = { 7, { 0 }, 0x100, 0x200, 0x300, 1 };
static const uint64_t number = 0x1234, vring = 5, vring_nofd = 5 | 0x100, zero;

#define M(dir, req, flags, data, fds, text) { dir, req, flags, &(data), sizeof(data), fds, text }
#define E(dir, req, flags, fds, text) { dir, req, flags, NULL, 0, fds, text }
#define F VU_FRONTEND
#define B VU_BACKEND

static const struct {
	enum vu_direction dir;
	uint32_t request, flags;
	const void *payload;
	uint32_t size;
	unsigned int n_fds;
	const char *text;
} cases[] = {
	E(F, 1, 1, 0, "GET_FEATURES"),
	M(F, 1, 5, number, 0, "GET_FEATURES reply 0x1234"),
	M(F, 2, 9, number, 0, "SET_FEATURES need_reply 0x1234"),
	M(F, 2, 5, zero, 0, "SET_FEATURES reply 0x0"),
	E(F, 3, 1, 0, "SET_OWNER"),
	E(F, 4, 1, 0, "RESET_OWNER"),
	M(F, 5, 9, table, 2, "SET_MEM_TABLE need_reply regions 2 "
	  "{guest 0x1000 size 0x2000 user 0x3000 offset 0x4000} "
	  "{guest 0xa000 size 0xb000 user 0xc000 offset 0xd000} +2 fds"),
	M(F, 5, 5, zero, 0, "SET_MEM_TABLE reply 0x0"),
	M(F, 6, 1, log_area, 1, "SET_LOG_BASE size 0x8000 offset 0x1000 +1 fd"),
	M(F, 6, 1, number, 0, "SET_LOG_BASE 0x1234"),
	E(F, 6, 5, 0, "SET_LOG_BASE reply"),
	E(F, 7, 1, 1, "SET_LOG_FD +1 fd"),
	M(F, 8, 1, state, 0, "SET_VRING_NUM queue 3 num 0x100"),
	M(F, 9, 1, addr, 0,
	  "SET_VRING_ADDR queue 1 flags 0x1 desc 0x10 used 0x20 avail 0x30 log 0x40"),
	M(F, 10, 1, state, 0, "SET_VRING_BASE queue 3 num 0x100"),
	M(F, 11, 1, state, 0, "GET_VRING_BASE queue 3 num 0x100"),
	M(F, 11, 5, state, 0, "GET_VRING_BASE reply queue 3 num 0x100"),
	M(F, 12, 9, vring, 1, "SET_VRING_KICK need_reply queue 5 +1 fd"),
	M(F, 12, 5, zero, 0, "SET_VRING_KICK reply 0x0"),
	M(F, 13, 1, vring_nofd, 0, "SET_VRING_CALL queue 5 no descriptor"),
	M(F, 14, 1, vring, 1, "SET_VRING_ERR queue 5 +1 fd"),
	E(F, 15, 1, 0, "GET_PROTOCOL_FEATURES"),
	M(F, 16, 1, number, 0, "SET_PROTOCOL_FEATURES 0x1234"),
	M(F, 17, 5, number, 0, "GET_QUEUE_NUM reply 0x1234"),
	M(F, 18, 1, state, 0, "SET_VRING_ENABLE queue 3 num 0x100"),
	M(F, 19, 1, number, 0, "SEND_RARP 0x1234"),
	M(F, 20, 1, number, 0, "NET_SET_MTU 0x1234"),
	E(F, 21, 9, 1, "SET_BACKEND_REQ_FD need_reply +1 fd"),
	M(F, 22, 1, iotlb, 0, "IOTLB_MSG update iova 0x5000 size 0x1000 user 0x7000 perm 3"),
	M(F, 22, 5, zero, 0, "IOTLB_MSG reply 0x0"),
	M(F, 23, 1, state, 0, "SET_VRING_ENDIAN queue 3 num 0x100"),
	M(F, 24, 5, config, 0, "GET_CONFIG reply offset 8 size 20 flags 0x1 data "
	  "01020304 05060708 090a0b0c 0d0e0f10..."),
	M(F, 25, 1, config, 0, "SET_CONFIG offset 8 size 20 flags 0x1 data "
	  "01020304 05060708 090a0b0c 0d0e0f10..."),
	M(F, 25, 5, zero, 0, "SET_CONFIG reply 0x0"),
	M(F, 26, 1, uuid, 0, "CREATE_CRYPTO_SESSION (16 bytes)"),
	M(F, 27, 1, number, 0, "CLOSE_CRYPTO_SESSION 0x1234"),
	E(F, 28, 5, 1, "POSTCOPY_ADVISE reply +1 fd"),
	E(F, 29, 1, 0, "POSTCOPY_LISTEN"),
	M(F, 30, 5, zero, 0, "POSTCOPY_END reply 0x0"),
	M(F, 31, 5, inflight, 1, "GET_INFLIGHT_FD reply size 0x2000 offset 0x1000 queues 4 of 128 +1 fd"),
	M(F, 32, 1, inflight, 1, "SET_INFLIGHT_FD size 0x2000 offset 0x1000 queues 4 of 128 +1 fd"),
	E(F, 33, 1, 1, "GPU_SET_SOCKET +1 fd"),
	E(F, 34, 1, 0, "RESET_DEVICE"),
	M(F, 35, 1, state, 0, "VRING_KICK queue 3 num 0x100"),
	M(F, 36, 5, number, 0, "GET_MAX_MEM_SLOTS reply 0x1234"),
	M(F, 37, 1, reg, 1,
	  "ADD_MEM_REG {guest 0x1000 size 0x2000 user 0x3000 offset 0x4000} +1 fd"),
	M(F, 38, 1, reg, 0, "REM_MEM_REG {guest 0x1000 size 0x2000 user 0x3000 offset 0x4000}"),
	M(F, 39, 1, number, 0, "SET_STATUS 0x1234"),
	M(F, 40, 5, number, 0, "GET_STATUS reply 0x1234"),
	M(F, 41, 1, uuid, 0, "GET_SHARED_OBJECT deadbeef00000000000000000000000f"),
	E(F, 41, 5, 1, "GET_SHARED_OBJECT reply +1 fd"),
	M(F, 42, 1, transfer, 1, "SET_DEVICE_STATE_FD direction 1 phase 0 +1 fd"),
	M(F, 43, 5, zero, 0, "CHECK_DEVICE_STATE reply 0x0"),
	M(F, 44, 5, shmem, 0, "GET_SHMEM_CONFIG reply regions 5"),
	M(B, 1, 9, iotlb, 0,
	  "BACKEND_IOTLB_MSG need_reply update iova 0x5000 size 0x1000 user 0x7000 perm 3"),
	M(B, 1, 5, zero, 0, "BACKEND_IOTLB_MSG reply 0x0"),
	E(B, 2, 1, 0, "BACKEND_CONFIG_CHANGE_MSG"),
	M(B, 3, 1, area, 1,
	  "BACKEND_VRING_HOST_NOTIFIER_MSG queue 2 size 0x1000 offset 0x3000 +1 fd"),
	M(B, 4, 1, state, 0, "BACKEND_VRING_CALL queue 3"),
	M(B, 5, 1, state, 0, "BACKEND_VRING_ERR queue 3"),
	M(B, 6, 1, uuid, 0, "BACKEND_SHARED_OBJECT_ADD deadbeef00000000000000000000000f"),
	M(B, 7, 1, uuid, 0, "BACKEND_SHARED_OBJECT_REMOVE deadbeef00000000000000000000000f"),
	M(B, 8, 1, uuid, 0, "BACKEND_SHARED_OBJECT_LOOKUP deadbeef00000000000000000000000f"),
	M(B, 8, 5, zero, 1, "BACKEND_SHARED_OBJECT_LOOKUP reply 0x0 +1 fd"),
	M(B, 9, 1, mapping, 1, "BACKEND_SHMEM_MAP region 7 fd offset 0x100 offset 0x200 "
	  "size 0x300 flags 0x1 +1 fd"),
	M(B, 10, 1, mapping, 0, "BACKEND_SHMEM_UNMAP region 7 fd offset 0x100 offset 0x200 "
	  "size 0x300 flags 0x1"),
	E(F, 45, 1, 0, "message 45"),
	M(B, 11, 1, number, 0, "message 11 0x1234"),
};

#define N_CASES ((int)(sizeof(cases) / sizeof(cases[0])))

START_TEST(a_message_is_told_by_its_name_flags_fields_and_descriptors)
{
	struct vu_header hdr = { cases[_i].request, cases[_i].flags, cases[_i].size };
	char text[400];
	int n = vu_text(cases[_i].dir, &hdr, cases[_i].payload, cases[_i].n_fds, text, sizeof(text));

	ck_assert_str_eq(text, cases[_i].text);
	ck_assert_int_eq(n, (int)strlen(text));
}
END_TEST

START_TEST(a_text_that_does_not_fit_is_cut_terminated_and_its_length_is_told)
{
	struct vu_header hdr = { cases[_i].request, cases[_i].flags, cases[_i].size };
	size_t full = strlen(cases[_i].text), size;

	for (size = 0; size <= full + 1; size++) {
		char *text = malloc(size ? size : 1);	/* of this size, for the sanitizers */

		ck_assert_int_eq(vu_text(cases[_i].dir, &hdr, cases[_i].payload, cases[_i].n_fds,
					 size ? text : NULL, size), (int)full);
		if (size) {
			size_t want = full < size - 1 ? full : size - 1;

			ck_assert_uint_eq(strlen(text), want);
			ck_assert_mem_eq(text, cases[_i].text, want);
		}
		free(text);
	}
}
END_TEST

/* What is traced is not checked yet: any payload must do, and be read no further than it is. */
START_TEST(a_payload_of_any_size_is_read_within_its_bounds)
{
	enum vu_direction dir = _i < 46 ? VU_FRONTEND : VU_BACKEND;
	uint32_t request = (uint32_t)(_i < 46 ? _i : _i - 46), size;
	int fill;

	for (size = 0; size <= 300; size++) {
		uint8_t *payload = malloc(size ? size : 1);

		for (fill = 0; fill < 256; fill += 255) {
			struct vu_header hdr = { request, 1, size };
			char text[400];

			memset(payload, fill, size);
			ck_assert_int_gt(vu_text(dir, &hdr, payload, 0, text, sizeof(text)), 0);
			hdr.flags = 5;
			ck_assert_int_gt(vu_text(dir, &hdr, payload, 0, text, sizeof(text)), 0);
		}
		free(payload);
	}
}
END_TEST

START_TEST(every_kind_of_translation_has_a_name)
{
	static const char *const names[] = { "?", "miss", "update", "invalidate", "fault", "?" };
	struct vu_iotlb m = { .type = (uint8_t)_i };
	struct vu_header hdr = { 1, 1, sizeof(m) };
	char text[400];

	vu_text(VU_BACKEND, &hdr, &m, 0, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, names[_i]));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("text");
	TCase *tc = tcase_create("text");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, a_message_is_told_by_its_name_flags_fields_and_descriptors, 0, N_CASES);
	tcase_add_loop_test(tc, a_text_that_does_not_fit_is_cut_terminated_and_its_length_is_told, 0,
			    N_CASES);
	tcase_add_loop_test(tc, a_payload_of_any_size_is_read_within_its_bounds, 0, 46 + 12);
	tcase_add_loop_test(tc, every_kind_of_translation_has_a_name, 0, 6);
	suite_add_tcase(s, tc);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
