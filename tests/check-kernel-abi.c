/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * Our definitions of the kernel's interface: against the kernel's own headers, as far as
 * those of this machine go, and against the numbers, which hold everywhere.
 */
#include <check.h>
#include <linux/vhost.h>
#include <linux/vhost_types.h>
#include <stddef.h>
#include <stdlib.h>

#include "proto/kernel-abi.h"

/* What Linux 6.1, the oldest whose headers we are built with, does not have: 0. */
#ifndef VHOST_NEW_WORKER
#define VHOST_NEW_WORKER 0
#define VHOST_FREE_WORKER 0
#define VHOST_ATTACH_VRING_WORKER 0
#define VHOST_GET_VRING_WORKER 0
#else
#define HEADERS_HAVE_WORKERS
#endif
#ifndef VHOST_VDPA_RESUME
#define VHOST_VDPA_RESUME 0
#endif
#ifndef VHOST_VDPA_GET_VRING_DESC_GROUP
#define VHOST_VDPA_GET_VRING_DESC_GROUP 0
#endif
#ifndef VHOST_VDPA_GET_VRING_SIZE
#define VHOST_VDPA_GET_VRING_SIZE 0
#endif
#ifndef VHOST_GET_FEATURES_ARRAY
#define VHOST_GET_FEATURES_ARRAY 0
#define VHOST_SET_FEATURES_ARRAY 0
#else
#define HEADERS_HAVE_ARRAY
#endif
#ifndef VHOST_SET_FORK_FROM_OWNER
#define VHOST_SET_FORK_FROM_OWNER 0
#define VHOST_GET_FORK_FROM_OWNER 0
#endif

#define ROW(name, number) { #name, KV_##name, VHOST_##name, number }

static const struct {
	const char *name;
	unsigned long ours;
	unsigned long headers;
	unsigned long number;
} requests[] = {
	ROW(GET_FEATURES, 0x8008af00),
	ROW(SET_FEATURES, 0x4008af00),
	ROW(SET_OWNER, 0xaf01),
	ROW(RESET_OWNER, 0xaf02),
	ROW(SET_MEM_TABLE, 0x4008af03),
	ROW(SET_LOG_BASE, 0x4008af04),
	ROW(SET_LOG_FD, 0x4004af07),
	ROW(NEW_WORKER, 0x8004af08),
	ROW(FREE_WORKER, 0x4004af09),
	ROW(SET_VRING_NUM, 0x4008af10),
	ROW(SET_VRING_ADDR, 0x4028af11),
	ROW(SET_VRING_BASE, 0x4008af12),
	ROW(GET_VRING_BASE, 0xc008af12),
	ROW(SET_VRING_ENDIAN, 0x4008af13),
	ROW(GET_VRING_ENDIAN, 0x4008af14),
	ROW(ATTACH_VRING_WORKER, 0x4008af15),
	ROW(GET_VRING_WORKER, 0xc008af16),
	ROW(SET_VRING_KICK, 0x4008af20),
	ROW(SET_VRING_CALL, 0x4008af21),
	ROW(SET_VRING_ERR, 0x4008af22),
	{ "SET_VRING_BUSYLOOP", KV_SET_VRING_BUSYLOOP, VHOST_SET_VRING_BUSYLOOP_TIMEOUT,
	  0x4008af23 },
	{ "GET_VRING_BUSYLOOP", KV_GET_VRING_BUSYLOOP, VHOST_GET_VRING_BUSYLOOP_TIMEOUT,
	  0x4008af24 },
	ROW(SET_BACKEND_FEATURES, 0x4008af25),
	ROW(GET_BACKEND_FEATURES, 0x8008af26),
	ROW(NET_SET_BACKEND, 0x4008af30),
	ROW(SCSI_SET_ENDPOINT, 0x40e8af40),
	ROW(SCSI_CLEAR_ENDPOINT, 0x40e8af41),
	ROW(SCSI_GET_ABI_VERSION, 0x4004af42),
	ROW(SCSI_SET_EVENTS_MISSED, 0x4004af43),
	ROW(SCSI_GET_EVENTS_MISSED, 0x4004af44),
	ROW(VSOCK_SET_GUEST_CID, 0x4008af60),
	ROW(VSOCK_SET_RUNNING, 0x4004af61),
	ROW(VDPA_GET_DEVICE_ID, 0x8004af70),
	ROW(VDPA_GET_STATUS, 0x8001af71),
	ROW(VDPA_SET_STATUS, 0x4001af72),
	ROW(VDPA_GET_CONFIG, 0x8008af73),
	ROW(VDPA_SET_CONFIG, 0x4008af74),
	ROW(VDPA_SET_VRING_ENABLE, 0x4008af75),
	ROW(VDPA_GET_VRING_NUM, 0x8002af76),
	ROW(VDPA_SET_CONFIG_CALL, 0x4004af77),
	ROW(VDPA_GET_IOVA_RANGE, 0x8010af78),
	ROW(VDPA_GET_CONFIG_SIZE, 0x8004af79),
	ROW(VDPA_GET_AS_NUM, 0x8004af7a),
	ROW(VDPA_GET_VRING_GROUP, 0xc008af7b),
	ROW(VDPA_SET_GROUP_ASID, 0x4008af7c),
	ROW(VDPA_SUSPEND, 0xaf7d),
	ROW(VDPA_RESUME, 0xaf7e),
	ROW(VDPA_GET_VRING_DESC_GROUP, 0xc008af7f),
	ROW(VDPA_GET_VQS_COUNT, 0x8004af80),
	ROW(VDPA_GET_GROUP_NUM, 0x8004af81),
	ROW(VDPA_GET_VRING_SIZE, 0xc008af82),
	ROW(GET_FEATURES_ARRAY, 0x8008af83),
	ROW(SET_FEATURES_ARRAY, 0x4008af83),
	ROW(SET_FORK_FROM_OWNER, 0x4001af84),
	ROW(GET_FORK_FROM_OWNER, 0x8001af85),
};
#define N_REQUESTS (sizeof(requests) / sizeof(requests[0]))

/* Where another architecture has other direction bits (MIPS, PowerPC, SPARC, Alpha). */
static unsigned long portable(unsigned long request)
{
	unsigned long dir = (_IOC_DIR(request) & _IOC_WRITE ? 1ul : 0) |
			    (_IOC_DIR(request) & _IOC_READ ? 2ul : 0);

	return dir << 30 | (unsigned long)_IOC_SIZE(request) << 16 |
	       (unsigned long)_IOC_TYPE(request) << 8 | _IOC_NR(request);
}

START_TEST(a_request_has_the_kernel_s_number)
{
	ck_assert_msg(portable(requests[_i].ours) == requests[_i].number,
		      "%s is 0x%lx: 0x%lx is expected", requests[_i].name,
		      portable(requests[_i].ours), requests[_i].number);
	if (requests[_i].headers)
		ck_assert_msg(requests[_i].ours == requests[_i].headers,
			      "%s is 0x%lx: the headers say 0x%lx", requests[_i].name,
			      requests[_i].ours, requests[_i].headers);
}
END_TEST

/* Direction, size, type and number: no two calls can be taken for one. */
START_TEST(no_two_requests_are_the_same)
{
	unsigned int i, j;

	for (i = 0; i < N_REQUESTS; i++)
		for (j = i + 1; j < N_REQUESTS; j++)
			ck_assert_msg(requests[i].ours != requests[j].ours, "%s and %s",
				      requests[i].name, requests[j].name);
}
END_TEST

#define FIELD(ours, our_field, theirs, their_field) do { \
	ck_assert_uint_eq(offsetof(ours, our_field), offsetof(theirs, their_field)); \
	ck_assert_uint_eq(sizeof(((ours *)0)->our_field), sizeof(((theirs *)0)->their_field)); \
} while (0)

struct aligned {
	char before;
	uint64_t u64;
};

START_TEST(structs_are_laid_out_as_the_headers_have_them)
{
	ck_assert_uint_eq(sizeof(struct kv_vring_state), sizeof(struct vhost_vring_state));
	FIELD(struct kv_vring_state, index, struct vhost_vring_state, index);
	FIELD(struct kv_vring_state, num, struct vhost_vring_state, num);

	ck_assert_uint_eq(sizeof(struct kv_vring_file), sizeof(struct vhost_vring_file));
	FIELD(struct kv_vring_file, index, struct vhost_vring_file, index);
	FIELD(struct kv_vring_file, fd, struct vhost_vring_file, fd);

	ck_assert_uint_eq(sizeof(struct kv_vring_addr), sizeof(struct vhost_vring_addr));
	FIELD(struct kv_vring_addr, index, struct vhost_vring_addr, index);
	FIELD(struct kv_vring_addr, flags, struct vhost_vring_addr, flags);
	FIELD(struct kv_vring_addr, desc, struct vhost_vring_addr, desc_user_addr);
	FIELD(struct kv_vring_addr, used, struct vhost_vring_addr, used_user_addr);
	FIELD(struct kv_vring_addr, avail, struct vhost_vring_addr, avail_user_addr);
	FIELD(struct kv_vring_addr, log, struct vhost_vring_addr, log_guest_addr);

	ck_assert_uint_eq(sizeof(struct kv_mem_region), sizeof(struct vhost_memory_region));
	FIELD(struct kv_mem_region, guest_addr, struct vhost_memory_region, guest_phys_addr);
	FIELD(struct kv_mem_region, size, struct vhost_memory_region, memory_size);
	FIELD(struct kv_mem_region, user_addr, struct vhost_memory_region, userspace_addr);
	FIELD(struct kv_mem_region, padding, struct vhost_memory_region, flags_padding);
	ck_assert_uint_eq(sizeof(struct kv_mem_table), sizeof(struct vhost_memory));
	FIELD(struct kv_mem_table, n, struct vhost_memory, nregions);
	FIELD(struct kv_mem_table, padding, struct vhost_memory, padding);
	ck_assert_uint_eq(offsetof(struct kv_mem_table, regions),
			  offsetof(struct vhost_memory, regions));

	ck_assert_uint_eq(sizeof(struct kv_scsi_target), sizeof(struct vhost_scsi_target));
	FIELD(struct kv_scsi_target, abi_version, struct vhost_scsi_target, abi_version);
	FIELD(struct kv_scsi_target, wwpn, struct vhost_scsi_target, vhost_wwpn);
	FIELD(struct kv_scsi_target, tpgt, struct vhost_scsi_target, vhost_tpgt);
	FIELD(struct kv_scsi_target, reserved, struct vhost_scsi_target, reserved);

	ck_assert_uint_eq(sizeof(struct kv_config), sizeof(struct vhost_vdpa_config));
	FIELD(struct kv_config, offset, struct vhost_vdpa_config, off);
	FIELD(struct kv_config, len, struct vhost_vdpa_config, len);
	ck_assert_uint_eq(offsetof(struct kv_config, data),
			  offsetof(struct vhost_vdpa_config, buf));

	ck_assert_uint_eq(sizeof(struct kv_iova_range), sizeof(struct vhost_vdpa_iova_range));
	FIELD(struct kv_iova_range, first, struct vhost_vdpa_iova_range, first);
	FIELD(struct kv_iova_range, last, struct vhost_vdpa_iova_range, last);

	FIELD(struct kv_iotlb, iova, struct vhost_iotlb_msg, iova);
	FIELD(struct kv_iotlb, size, struct vhost_iotlb_msg, size);
	FIELD(struct kv_iotlb, user_addr, struct vhost_iotlb_msg, uaddr);
	FIELD(struct kv_iotlb, perm, struct vhost_iotlb_msg, perm);
	FIELD(struct kv_iotlb, type, struct vhost_iotlb_msg, type);

	/* Where 64 bits are aligned to 4 bytes the headers have not what a 64-bit kernel reads. */
	if (offsetof(struct aligned, u64) == sizeof(uint64_t)) {
		ck_assert_uint_eq(sizeof(struct kv_iotlb), sizeof(struct vhost_iotlb_msg));
		ck_assert_uint_eq(sizeof(struct kv_msg), sizeof(struct vhost_msg));
		FIELD(struct kv_msg, type, struct vhost_msg, type);
		FIELD(struct kv_msg, iotlb, struct vhost_msg, iotlb);
	}
	ck_assert_uint_eq(sizeof(struct kv_msg), sizeof(struct vhost_msg_v2));
	FIELD(struct kv_msg, type, struct vhost_msg_v2, type);
	FIELD(struct kv_msg, asid, struct vhost_msg_v2, asid);
	ck_assert_uint_eq(offsetof(struct kv_msg, iotlb), offsetof(struct vhost_msg_v2, iotlb));
#ifdef HEADERS_HAVE_WORKERS
	ck_assert_uint_eq(sizeof(struct kv_worker), sizeof(struct vhost_worker_state));
	FIELD(struct kv_worker, id, struct vhost_worker_state, worker_id);
	ck_assert_uint_eq(sizeof(struct kv_vring_worker), sizeof(struct vhost_vring_worker));
	FIELD(struct kv_vring_worker, index, struct vhost_vring_worker, index);
	FIELD(struct kv_vring_worker, id, struct vhost_vring_worker, worker_id);
#endif
#ifdef HEADERS_HAVE_ARRAY
	ck_assert_uint_eq(sizeof(struct kv_features), sizeof(struct vhost_features_array));
	FIELD(struct kv_features, n, struct vhost_features_array, count);
	ck_assert_uint_eq(offsetof(struct kv_features, words),
			  offsetof(struct vhost_features_array, features));
#endif
}
END_TEST

/* The same without headers: these numbers are the interface. */
START_TEST(structs_have_the_sizes_of_the_interface)
{
	ck_assert_uint_eq(sizeof(struct kv_vring_state), 8);
	ck_assert_uint_eq(sizeof(struct kv_vring_file), 8);
	ck_assert_uint_eq(sizeof(struct kv_vring_addr), 40);
	ck_assert_uint_eq(sizeof(struct kv_worker), 4);
	ck_assert_uint_eq(sizeof(struct kv_vring_worker), 8);
	ck_assert_uint_eq(offsetof(struct kv_vring_worker, id), 4);
	ck_assert_uint_eq(sizeof(struct kv_mem_region), 32);
	ck_assert_uint_eq(sizeof(struct kv_mem_table), 8);
	ck_assert_uint_eq(sizeof(struct kv_features), 8);
	ck_assert_uint_eq(offsetof(struct kv_features, words), 8);
	ck_assert_uint_eq(sizeof(struct kv_scsi_target), 232);
	ck_assert_uint_eq(sizeof(struct kv_config), 8);
	ck_assert_uint_eq(sizeof(struct kv_iova_range), 16);
	ck_assert_uint_eq(sizeof(struct kv_iotlb), 32);
	ck_assert_uint_eq(offsetof(struct kv_iotlb, perm), 24);
	ck_assert_uint_eq(offsetof(struct kv_iotlb, type), 25);
	ck_assert_uint_eq(sizeof(struct kv_msg), 72);
	ck_assert_uint_eq(offsetof(struct kv_msg, iotlb), 8);
}
END_TEST

START_TEST(constants_are_the_kernel_s)
{
	ck_assert_uint_eq(KV_VRING_F_LOG, 1u << VHOST_VRING_F_LOG);
	ck_assert_uint_eq(KV_IOTLB_MISS, VHOST_IOTLB_MISS);
	ck_assert_uint_eq(KV_IOTLB_UPDATE, VHOST_IOTLB_UPDATE);
	ck_assert_uint_eq(KV_IOTLB_INVALIDATE, VHOST_IOTLB_INVALIDATE);
	ck_assert_uint_eq(KV_IOTLB_ACCESS_FAIL, VHOST_IOTLB_ACCESS_FAIL);
	ck_assert_uint_eq(KV_IOTLB_BATCH_BEGIN, VHOST_IOTLB_BATCH_BEGIN);
	ck_assert_uint_eq(KV_IOTLB_BATCH_END, VHOST_IOTLB_BATCH_END);
	ck_assert_uint_eq(KV_MSG_V1, VHOST_IOTLB_MSG);
	ck_assert_uint_eq(KV_MSG_V2, VHOST_IOTLB_MSG_V2);
	ck_assert_uint_eq(KV_F_LOG_ALL, 1ull << VHOST_F_LOG_ALL);
	ck_assert_uint_eq(KV_NET_F_HEADER, 1ull << VHOST_NET_F_VIRTIO_NET_HDR);
	ck_assert_uint_eq(KV_BF_IOTLB_MSG_V2, VHOST_BACKEND_F_IOTLB_MSG_V2);
	ck_assert_uint_eq(KV_BF_IOTLB_BATCH, VHOST_BACKEND_F_IOTLB_BATCH);
	ck_assert_uint_eq(KV_BF_IOTLB_ASID, VHOST_BACKEND_F_IOTLB_ASID);
	ck_assert_uint_eq(KV_BF_SUSPEND, VHOST_BACKEND_F_SUSPEND);
#ifdef VHOST_BACKEND_F_RESUME
	ck_assert_uint_eq(KV_BF_RESUME, VHOST_BACKEND_F_RESUME);
#endif
#ifdef VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK
	ck_assert_uint_eq(KV_BF_ENABLE_AFTER_DRIVER_OK, VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK);
#endif
#ifdef VHOST_BACKEND_F_DESC_ASID
	ck_assert_uint_eq(KV_BF_DESC_ASID, VHOST_BACKEND_F_DESC_ASID);
#endif
#ifdef VHOST_BACKEND_F_IOTLB_PERSIST
	ck_assert_uint_eq(KV_BF_IOTLB_PERSIST, VHOST_BACKEND_F_IOTLB_PERSIST);
#endif
	ck_assert_uint_eq(KV_BF_RESUME, 5);
	ck_assert_uint_eq(KV_BF_ENABLE_AFTER_DRIVER_OK, 6);
	ck_assert_uint_eq(KV_BF_DESC_ASID, 7);
	ck_assert_uint_eq(KV_BF_IOTLB_PERSIST, 8);
	ck_assert_uint_eq(KV_BF_KNOWN, 0x1fe);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("kernel-abi");
	TCase *tc = tcase_create("kernel-abi");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, a_request_has_the_kernel_s_number, 0, (int)N_REQUESTS);
	tcase_add_test(tc, no_two_requests_are_the_same);
	tcase_add_test(tc, structs_are_laid_out_as_the_headers_have_them);
	tcase_add_test(tc, structs_have_the_sizes_of_the_interface);
	tcase_add_test(tc, constants_are_the_kernel_s);
	suite_add_tcase(s, tc);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
