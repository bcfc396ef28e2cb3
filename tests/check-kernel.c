/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The kernel's vhost-net, -vsock and -scsi, with a kernel that is made up: each call of
 * the library against the system calls that it is to make, in their order, and each of
 * these failing. The numbers K1 to K19 are cases of kernels' behaviour that is easily
 * got wrong.
 */
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vhost/net.h>
#include <vhost/scsi.h>
#include <vhost/vhost.h>
#include <vhost/vsock.h>
#include <vhost/worker.h>

#include "kernel-bench.h"

#define F_VERSION_1 (1ull << VIRTIO_BIT_VERSION_1)
#define F_ACCESS_PLATFORM (1ull << VIRTIO_BIT_ACCESS_PLATFORM)
#define WWPN "naa.5001405aabbccdd0"

static int tap[2];

/* ------------------------------------------------------------------- the bench */

static void begin(enum kdev_kind kind)
{
	bench_begin(kind);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, tap), 0);
}

static void end(void)
{
	close(tap[0]);
	close(tap[1]);
	bench_end();
}

static void open_it(void)
{
	ck_assert_int_eq(open_flags(0), 0);
}

static unsigned int n_queues(void)
{
	return fk->kind == KDEV_SCSI ? 3 : 2;
}

/* All that a device needs before its start. */
static void prepare(uint64_t features)
{
	unsigned int i;

	open_it();
	OK(vhost_dev_set_features(dev, features));
	OK(vhost_dev_mem_add_mem(dev, mem));
	for (i = 0; i < n_queues(); i++)
		OK(set_up(i));
	if (fk->kind == KDEV_NET) {
		OK(vhost_net_set_backend(dev, 0, tap[0]));
		OK(vhost_net_set_backend(dev, 1, tap[0]));
	} else if (fk->kind == KDEV_VSOCK) {
		OK(vhost_vsock_set_cid(dev, 42));
	} else {
		OK(vhost_scsi_set_endpoint(dev, WWPN, 7));
	}
}

static void prepare_and_start(uint64_t features)
{
	prepare(features);
	OK(vhost_dev_start(dev));
	fake_kernel_forget(fk);
}

/* Does the kernel's thread still have a queue? */
static bool runs(void)
{
	return fk->vqs[0].backend >= 0 || fk->vqs[1].backend >= 0 || fk->running ||
	       fk->endpoint[0];
}

static void begin_net(void)
{
	begin(KDEV_NET);
}

static void begin_vsock(void)
{
	begin(KDEV_VSOCK);
}

static void begin_scsi(void)
{
	begin(KDEV_SCSI);
}

#define VRING(i, base, desc, driver, device) \
	"SET_VRING_NUM " i " 8\n" \
	"SET_VRING_BASE " i " " base "\n" \
	"SET_VRING_ADDR " i " " desc " " driver " " device "\n" \
	"SET_VRING_CALL " i " fd\n" \
	"SET_VRING_KICK " i " fd\n"
#define VRING_0(base) VRING("0", base, "mem+0x0", "mem+0x1000", "mem+0x2000")
#define VRING_1(base) VRING("1", base, "mem+0x3000", "mem+0x4000", "mem+0x5000")
#define VRING_2(base) VRING("2", base, "mem+0x6000", "mem+0x7000", "mem+0x8000")
#define TABLE "SET_MEM_TABLE 0x10000+0x10000=mem+0x0\n"

/* --------------------------------------------------------------------- bring-up */

START_TEST(opening_owns_the_device_and_takes_the_back_end_features)
{
	uint64_t offered, acked;

	open_it();
	fake_kernel_expect(fk, "SET_OWNER\nGET_BACKEND_FEATURES\nSET_BACKEND_FEATURES 0x2\n");
	OK(vhost_dev_get_backend_features(dev, &offered, &acked));
	ck_assert_uint_eq(offered, 2);
	ck_assert_uint_eq(acked, 2);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	ck_assert_str_eq(vhost_dev_get_transport(dev), "vhost-net");
}
END_TEST

START_TEST(a_kernel_without_back_end_features_is_taken_as_it_is)
{
	uint64_t offered, acked;

	fk->has_backend_features = false;
	open_it();
	fake_kernel_expect(fk, "SET_OWNER\nGET_BACKEND_FEATURES: ENOTTY\n");
	OK(vhost_dev_get_backend_features(dev, &offered, &acked));
	ck_assert_uint_eq(offered, 0);
	ck_assert_uint_eq(acked, 0);
}
END_TEST

START_TEST(back_end_features_that_are_not_known_are_not_taken)
{
	fk->backend_offers = 1ull << 40 | 2;
	open_it();
	ck_assert_uint_eq(fk->backend, 2);
}
END_TEST

START_TEST(net_is_brought_up_in_this_order)
{
	prepare(F_VERSION_1);
	fake_kernel_expect(fk,
		"SET_OWNER\nGET_BACKEND_FEATURES\nSET_BACKEND_FEATURES 0x2\n"
		"GET_FEATURES\nSET_FEATURES 0x100000000\n" TABLE);
	OK(vhost_dev_start(dev));
	fake_kernel_expect(fk, VRING_0("0") VRING_1("0")
			   "NET_SET_BACKEND 0 fd\nNET_SET_BACKEND 1 fd\n");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
	/* what is available already is to be seen */
	ck_assert_uint_eq(signals(kick[0]), 1);
	ck_assert_uint_eq(signals(kick[1]), 1);
	fake_kernel_signal(fk->vqs[1].call);
	ck_assert_uint_eq(signals(call[1]), 1);
	ck_assert_uint_eq(signals(call[0]), 0);
	OK(vhost_dev_start(dev));
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(vsock_is_brought_up_in_this_order)
{
	prepare(F_VERSION_1);
	fake_kernel_expect(fk,
		"SET_OWNER\nGET_BACKEND_FEATURES\nSET_BACKEND_FEATURES 0x2\n"
		"GET_FEATURES\nSET_FEATURES 0x100000000\n" TABLE "VSOCK_SET_GUEST_CID 42\n");
	OK(vhost_dev_start(dev));
	fake_kernel_expect(fk, VRING_0("0") VRING_1("0") "VSOCK_SET_RUNNING 1\n");
	ck_assert_str_eq(vhost_dev_get_transport(dev), "vhost-vsock");
	ck_assert_uint_eq(signals(kick[0]), 1);
}
END_TEST

START_TEST(scsi_is_brought_up_in_this_order)
{
	prepare(F_VERSION_1);
	fake_kernel_expect(fk, "SET_OWNER\nSCSI_GET_ABI_VERSION\n"
			   "GET_FEATURES\nSET_FEATURES 0x100000000\n" TABLE);
	OK(vhost_dev_start(dev));
	fake_kernel_expect(fk, VRING_0("0") VRING_1("0") VRING_2("0")
			   "SCSI_SET_ENDPOINT " WWPN " 7\n");
	ck_assert_str_eq(vhost_dev_get_transport(dev), "vhost-scsi");
	ck_assert_uint_eq(signals(kick[2]), 1);
}
END_TEST

START_TEST(an_error_eventfd_is_sent_where_there_is_one_and_taken_back)
{
	struct vhost_vq_config c = queue(0);

	prepare(F_VERSION_1);
	c.err_fd = err;
	OK(vhost_dev_vq_setup(dev, 0, &c, sizeof(c)));
	OK(vhost_dev_start(dev));
	ck_assert_ptr_nonnull(strstr(fake_kernel_log(fk), "SET_VRING_ERR 0 fd\n"));
	ck_assert_ptr_null(strstr(fake_kernel_log(fk), "SET_VRING_ERR 1"));
	fake_kernel_signal(fk->vqs[0].err);
	ck_assert_uint_eq(signals(err), 1);
	OK(vhost_dev_stop(dev));
	OK(set_up(0));
	fake_kernel_forget(fk);
	OK(vhost_dev_start(dev));
	ck_assert_ptr_nonnull(strstr(fake_kernel_log(fk), "SET_VRING_ERR 0 -1\n"));
	ck_assert_int_eq(fk->vqs[0].err, -1);
	/* after a reset the kernel has none to be taken back */
	OK(vhost_dev_reset(dev));
	OK(set_up(0));
	fake_kernel_forget(fk);
	OK(vhost_dev_start(dev));
	ck_assert_ptr_null(strstr(fake_kernel_log(fk), "SET_VRING_ERR"));
}
END_TEST

/* ------------------------------------------------------------ stop, restart, reset */

START_TEST(net_stops_and_goes_on_where_it_stopped)
{
	uint32_t base;

	prepare_and_start(F_VERSION_1);
	fk->vqs[0].base = 5;
	fk->vqs[1].base = 65535;
	OK(vhost_dev_stop(dev));
	fake_kernel_expect(fk, "NET_SET_BACKEND 0 -1\nNET_SET_BACKEND 1 -1\n"
			   "GET_VRING_BASE 0\nGET_VRING_BASE 1\n");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	ck_assert(!runs());
	OK(vhost_dev_vq_get_base(dev, 0, &base));
	ck_assert_uint_eq(base, 5);
	OK(vhost_dev_vq_get_base(dev, 1, &base));
	ck_assert_uint_eq(base, 65535);
	OK(vhost_dev_stop(dev));
	fake_kernel_expect(fk, "");
	OK(vhost_dev_start(dev));
	fake_kernel_expect(fk, VRING_0("5") VRING_1("65535")
			   "NET_SET_BACKEND 0 fd\nNET_SET_BACKEND 1 fd\n");
}
END_TEST

START_TEST(vsock_stops_and_goes_on_where_it_stopped)
{
	prepare_and_start(F_VERSION_1);
	fk->vqs[1].base = 7;
	OK(vhost_dev_stop(dev));
	fake_kernel_expect(fk, "VSOCK_SET_RUNNING 0\nGET_VRING_BASE 0\nGET_VRING_BASE 1\n");
	OK(vhost_dev_start(dev));
	fake_kernel_expect(fk, VRING_0("0") VRING_1("7") "VSOCK_SET_RUNNING 1\n");
}
END_TEST

START_TEST(scsi_stops_and_goes_on_where_it_stopped)
{
	prepare_and_start(F_VERSION_1);
	fk->vqs[2].base = 9;
	OK(vhost_dev_stop(dev));
	fake_kernel_expect(fk, "SCSI_CLEAR_ENDPOINT " WWPN " 7\n"
			   "GET_VRING_BASE 0\nGET_VRING_BASE 1\nGET_VRING_BASE 2\n");
	OK(vhost_dev_start(dev));
	fake_kernel_expect(fk, VRING_0("0") VRING_1("0") VRING_2("9")
			   "SCSI_SET_ENDPOINT " WWPN " 7\n");
}
END_TEST

START_TEST(a_device_is_suspended_by_taking_its_queues_and_resumed)
{
	prepare_and_start(F_VERSION_1);
	signals(kick[0]);
	fk->vqs[0].base = 3;
	OK(vhost_dev_suspend(dev));
	fake_kernel_expect(fk, "NET_SET_BACKEND 0 -1\nNET_SET_BACKEND 1 -1\n"
			   "GET_VRING_BASE 0\nGET_VRING_BASE 1\n");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_SUSPENDED);
	OK(vhost_dev_resume(dev));
	ck_assert_ptr_nonnull(strstr(fake_kernel_log(fk), "SET_VRING_BASE 0 3\n"));
	ck_assert_ptr_nonnull(strstr(fake_kernel_log(fk), "NET_SET_BACKEND 1 fd\n"));
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
	ck_assert_uint_ge(signals(kick[0]), 1);
	ck_assert_uint_ge(signals(call[0]), 1);
}
END_TEST

START_TEST(net_is_reset_by_giving_up_its_owner_and_keeps_its_memory)
{
	prepare_and_start(F_VERSION_1);
	OK(vhost_dev_reset(dev));
	fake_kernel_expect(fk,
		"NET_SET_BACKEND 0 -1\nNET_SET_BACKEND 1 -1\nGET_VRING_BASE 0\nGET_VRING_BASE 1\n"
		"RESET_OWNER\nSET_OWNER\nGET_BACKEND_FEATURES\nSET_BACKEND_FEATURES 0x2\n" TABLE);
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), 0);
	/* nothing is left of the queues, and it can all be done again */
	FAILS(vhost_dev_start(dev), EINVAL, VHOST_ERR_STATE, "no queue");
	OK(vhost_dev_set_features(dev, F_VERSION_1));
	OK(set_up(0));
	OK(set_up(1));
	OK(vhost_dev_start(dev));
	ck_assert(runs());
}
END_TEST

START_TEST(vsock_and_scsi_forget_their_features_in_a_reset)
{
	begin(_i ? KDEV_SCSI : KDEV_VSOCK);
	prepare_and_start(F_VERSION_1);
	OK(vhost_dev_reset(dev));
	ck_assert(!runs());
	ck_assert_uint_eq(fk->features[0], 0);
	ck_assert(fk->owned);
	ck_assert_uint_eq(fk->n_regions, 1);
	end();
}
END_TEST

START_TEST(status_0_stops_a_device_that_runs)
{
	uint8_t status;

	prepare_and_start(F_VERSION_1);
	OK(vhost_dev_get_status(dev, &status));
	ck_assert_uint_eq(status & VIRTIO_STATUS_DRIVER_OK, VIRTIO_STATUS_DRIVER_OK);
	OK(vhost_dev_set_status(dev, 0));
	ck_assert(!runs());
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	OK(vhost_dev_get_status(dev, &status));
	ck_assert_uint_eq(status, 0);
}
END_TEST

START_TEST(a_device_that_is_dropped_while_it_runs_leaves_nothing)
{
	prepare_and_start(F_VERSION_1);
	dev = vhost_dev_unref(dev);
	fake_kernel_expect(fk, "");
}
END_TEST

/* ------------------------------------------------------- features, capabilities */

START_TEST(the_transport_s_own_bits_are_not_features)
{
	uint64_t features;

	open_it();
	OK(vhost_dev_get_features(dev, &features));
	ck_assert_uint_eq(features, fk->offers[0] & ~(1ull << 26) & ~(1ull << 27) & ~(1ull << 35));
	FAILS(vhost_dev_set_features(dev, 1ull << 27), EINVAL, VHOST_ERR_ARGUMENT, "0x8000000");
	FAILS(vhost_dev_set_features(dev, 1ull << 26), EINVAL, VHOST_ERR_ARGUMENT, "0x4000000");
	FAILS(vhost_dev_set_features(dev, 1ull << 60), EINVAL, VHOST_ERR_ARGUMENT, "0x1000");
	ck_assert_ptr_null(strstr(fake_kernel_log(fk), "SET_FEATURES"));
}
END_TEST

START_TEST(bit_27_is_a_feature_of_vsock)
{
	uint64_t features;

	open_it();
	OK(vhost_dev_get_features(dev, &features));
	ck_assert_uint_eq(features >> 27 & 1, fk->offers[0] >> 27 & 1);
}
END_TEST

START_TEST(the_header_bit_goes_with_the_features_when_it_is_asked_for)
{
	open_it();
	OK(vhost_net_set_header(dev, 1));
	OK(vhost_dev_set_features(dev, F_VERSION_1));
	ck_assert_uint_eq(fk->features[0], F_VERSION_1 | 1ull << 27);
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), F_VERSION_1);
	OK(vhost_net_set_header(dev, 0));
	OK(vhost_dev_set_features(dev, F_VERSION_1));
	ck_assert_uint_eq(fk->features[0], F_VERSION_1);
}
END_TEST

START_TEST(features_past_64_go_by_the_array)
{
	uint64_t words[8] = { 0 };

	open_it();
	fake_kernel_forget(fk);
	OK(vhost_dev_get_features_array(dev, words, 8));
	fake_kernel_expect(fk, "GET_FEATURES_ARRAY 2\n");
	ck_assert_uint_eq(words[1], 0xa);
	ck_assert_uint_eq(words[2], 0);
	words[0] = F_VERSION_1;
	words[1] = 2;
	OK(vhost_dev_set_features_array(dev, words, 2));
	fake_kernel_expect(fk, "SET_FEATURES_ARRAY 0x100000000 0x2\n");
	words[1] = 4;
	FAILS(vhost_dev_set_features_array(dev, words, 2), EINVAL, VHOST_ERR_ARGUMENT, "word 1");
	words[1] = 0;
	words[7] = 1;
	FAILS(vhost_dev_set_features_array(dev, words, 8), EINVAL, VHOST_ERR_ARGUMENT, "word 7");
	ck_assert_uint_eq(fk->features[1], 2);
}
END_TEST

/* K16: there is no one errno for it. */
START_TEST(k16_features_past_64_are_none_on_a_kernel_without_the_array)
{
	uint64_t words[2] = { 7, 7 };

	fk->has_array = false;
	open_it();
	fake_kernel_forget(fk);
	OK(vhost_dev_get_features_array(dev, words, 2));
	fake_kernel_expect(fk, "GET_FEATURES_ARRAY 2: ENOBUFS\nGET_FEATURES\n");
	ck_assert_uint_eq(words[1], 0);
	words[0] = F_VERSION_1;
	words[1] = 2;
	FAILS(vhost_dev_set_features_array(dev, words, 2), EINVAL, VHOST_ERR_ARGUMENT, "word 1");
}
END_TEST

START_TEST(features_that_the_kernel_refuses_are_not_recorded)
{
	open_it();
	OK(vhost_dev_set_features(dev, F_VERSION_1));
	fk->fail_request = KV_SET_FEATURES;
	fk->fail_errno = EOPNOTSUPP;
	FAILS(vhost_dev_set_features(dev, F_VERSION_1 | 1 << 28), ENOTSUP, VHOST_ERR_UNSUPPORTED,
	      "SET_FEATURES");
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), F_VERSION_1);
}
END_TEST

static uint64_t cap(uint32_t which)
{
	uint64_t value = 77;

	OK(vhost_dev_get_cap(dev, which, &value));
	return value;
}

START_TEST(capabilities_are_those_of_the_kind)
{
	open_it();
	ck_assert_uint_eq(cap(VHOST_CAP_DEVICE_ID), 1);
	ck_assert_uint_eq(cap(VHOST_CAP_MAX_QUEUES), 2);
	ck_assert_uint_eq(cap(VHOST_CAP_MAX_QUEUE_SIZE), 32768);
	ck_assert_uint_ge(cap(VHOST_CAP_MAX_MEM_REGIONS), 1);
	ck_assert_uint_eq(cap(VHOST_CAP_MEM_NEEDS_ADDR), 1);
	ck_assert_uint_eq(cap(VHOST_CAP_MEM_NEEDS_SHARED), 0);
	ck_assert_uint_eq(cap(VHOST_CAP_CONFIG), 0);
	ck_assert_uint_eq(cap(VHOST_CAP_LOG), 1);
	ck_assert_uint_eq(cap(VHOST_CAP_IOTLB), 1);
	ck_assert_uint_eq(cap(VHOST_CAP_WORKERS), 0);
	ck_assert_uint_eq(cap(VHOST_CAP_CROSS_ENDIAN), 0);
	ck_assert_uint_eq(cap(VHOST_CAP_ENABLE_RUNNING), 1);
	ck_assert_uint_eq(cap(VHOST_CAP_ADDRESS_SPACES), 1);
}
END_TEST

START_TEST(scsi_has_workers_and_no_iotlb)
{
	open_it();
	ck_assert_uint_eq(cap(VHOST_CAP_DEVICE_ID), 8);
	ck_assert_uint_gt(cap(VHOST_CAP_MAX_QUEUES), 2);
	ck_assert_uint_eq(cap(VHOST_CAP_WORKERS), 1);
	ck_assert_uint_eq(cap(VHOST_CAP_IOTLB), 0);
	ck_assert_uint_eq(cap(VHOST_CAP_ENABLE_RUNNING), 0);
}
END_TEST

/* ----------------------------------------------------------------------- memory */

START_TEST(each_change_of_memory_is_a_new_table)
{
	struct vhost_mem_desc descs[2];
	vhost_mem_t *other;

	open_it();
	ck_assert_int_eq(vhost_mem_new(0x2000, 0, 0x8000, &other), 0);
	fake_kernel_name(fk, "other", vhost_mem_addr(other), 0x2000);
	fake_kernel_forget(fk);
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(vhost_dev_mem_add_mem(dev, other));
	OK(vhost_dev_mem_remove(dev, IOVA, SIZE));
	fake_kernel_expect(fk, TABLE
			   "SET_MEM_TABLE 0x8000+0x2000=other+0x0 0x10000+0x10000=mem+0x0\n"
			   "SET_MEM_TABLE 0x8000+0x2000=other+0x0\n");
	vhost_mem_describe(mem, &descs[0], sizeof(descs[0]));
	vhost_mem_describe(other, &descs[1], sizeof(descs[1]));
	descs[1].iova = 0x4000;
	OK(vhost_dev_mem_set(dev, descs, 2, sizeof(descs[0])));
	fake_kernel_expect(fk, "SET_MEM_TABLE 0x4000+0x2000=other+0x0 0x10000+0x10000=mem+0x0\n");
	OK(vhost_dev_mem_set(dev, NULL, 0, sizeof(descs[0])));
	fake_kernel_expect(fk, "SET_MEM_TABLE\n");
	vhost_mem_unref(other);
}
END_TEST

START_TEST(memory_needs_an_address_and_no_file)
{
	static char page[4096];
	struct vhost_mem_desc desc = { .iova = 0x1000, .size = sizeof(page), .fd = -1 };

	open_it();
	fake_kernel_forget(fk);
	ck_assert_int_lt(vhost_dev_mem_add(dev, &desc, sizeof(desc)), 0);
	fake_kernel_expect(fk, "");
	desc.addr = page;
	OK(vhost_dev_mem_add(dev, &desc, sizeof(desc)));
	ck_assert_uint_eq(fk->regions[0].user_addr, (uintptr_t)page);
}
END_TEST

START_TEST(memory_that_the_kernel_refuses_is_not_recorded)
{
	open_it();
	fk->fail_request = KV_SET_MEM_TABLE;
	fk->fail_errno = EFAULT;
	fk->fail_nth = 1;
	FAILS(vhost_dev_mem_add_mem(dev, mem), EFAULT, VHOST_ERR_ARGUMENT, "memory");
	FAILS(vhost_dev_mem_remove(dev, IOVA, SIZE), ENOENT, VHOST_ERR_ARGUMENT,
	      "no memory region");
	OK(vhost_dev_mem_add_mem(dev, mem));
}
END_TEST

START_TEST(k6_more_regions_than_the_module_s_parameter_says)
{
	struct vhost_mem_desc desc;
	unsigned int i;

	open_it();
	fk->max_regions = 2;
	vhost_mem_describe(mem, &desc, sizeof(desc));
	desc.size = 0x1000;
	for (i = 0; i < 2; i++, desc.iova += 0x1000)
		OK(vhost_dev_mem_add(dev, &desc, sizeof(desc)));
	FAILS(vhost_dev_mem_add(dev, &desc, sizeof(desc)), ENOSPC, VHOST_ERR_LIMIT,
	      "max_mem_regions");
	ck_assert_uint_eq(fk->n_regions, 2);
}
END_TEST

START_TEST(k6_more_regions_than_the_capability_says)
{
	struct vhost_mem_desc desc;
	unsigned int i, most;

	open_it();
	fk->max_regions = FAKE_REGIONS;
	most = (unsigned int)cap(VHOST_CAP_MAX_MEM_REGIONS);
	ck_assert_uint_lt(most, FAKE_REGIONS);
	vhost_mem_describe(mem, &desc, sizeof(desc));
	desc.size = 0x1000;
	for (i = 0; i < most; i++, desc.iova += 0x1000)
		OK(vhost_dev_mem_add(dev, &desc, sizeof(desc)));
	fake_kernel_forget(fk);
	FAILS(vhost_dev_mem_add(dev, &desc, sizeof(desc)), ENOSPC, VHOST_ERR_LIMIT, "regions");
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(k7_a_region_that_is_empty_or_wraps_is_refused_first)
{
	static char page[4096];
	struct vhost_mem_desc desc = { .iova = 0x1000, .size = 0, .addr = page, .fd = -1 };

	open_it();
	fake_kernel_forget(fk);
	FAILS(vhost_dev_mem_add(dev, &desc, sizeof(desc)), EINVAL, VHOST_ERR_ARGUMENT, "empty");
	desc.size = 0x2000;
	desc.iova = UINT64_MAX - 0xfff;
	FAILS(vhost_dev_mem_add(dev, &desc, sizeof(desc)), EINVAL, VHOST_ERR_ARGUMENT, "wraps");
	fake_kernel_expect(fk, "");
}
END_TEST

/* ----------------------------------------------------------------------- queues */

START_TEST(a_queue_of_net_is_enabled_and_disabled_while_it_runs)
{
	prepare_and_start(F_VERSION_1);
	OK(vhost_dev_vq_enable(dev, 1, 0));
	fake_kernel_expect(fk, "NET_SET_BACKEND 1 -1\n");
	signals(kick[1]);
	OK(vhost_dev_vq_enable(dev, 1, 1));
	fake_kernel_expect(fk, "NET_SET_BACKEND 1 fd\n");
	/* what came in between must be seen */
	ck_assert_uint_eq(signals(kick[1]), 1);
}
END_TEST

START_TEST(a_queue_of_net_that_is_disabled_is_not_attached_at_the_start)
{
	prepare(F_VERSION_1);
	OK(vhost_dev_vq_enable(dev, 1, 0));
	OK(vhost_dev_start(dev));
	ck_assert_int_ge(fk->vqs[0].backend, 0);
	ck_assert_int_eq(fk->vqs[1].backend, -1);
	OK(vhost_dev_vq_enable(dev, 1, 1));
	ck_assert_int_ge(fk->vqs[1].backend, 0);
}
END_TEST

START_TEST(vsock_cannot_leave_a_queue_disabled)
{
	prepare_and_start(F_VERSION_1);
	FAILS(vhost_dev_vq_enable(dev, 1, 0), ENOTSUP, VHOST_ERR_UNSUPPORTED, "vhost-vsock");
	OK(vhost_dev_stop(dev));
	OK(vhost_dev_vq_enable(dev, 1, 0));
	fake_kernel_forget(fk);
	FAILS(vhost_dev_start(dev), ENOTSUP, VHOST_ERR_UNSUPPORTED, "queue 1");
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(vsock_needs_both_queues)
{
	open_it();
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(vhost_vsock_set_cid(dev, 3));
	OK(set_up(1));
	FAILS(vhost_dev_start(dev), EINVAL, VHOST_ERR_STATE, "queue 0");
}
END_TEST

START_TEST(the_call_eventfd_is_exchanged_while_it_runs)
{
	prepare_and_start(F_VERSION_1);
	OK(vhost_dev_vq_set_call(dev, 0, call[2]));
	fake_kernel_expect(fk, "SET_VRING_CALL 0 fd\n");
	fake_kernel_signal(fk->vqs[0].call);
	ck_assert_uint_eq(signals(call[2]), 1);
	ck_assert_uint_eq(signals(call[0]), 0);
	OK(vhost_dev_vq_set_call(dev, 0, -1));
	fake_kernel_expect(fk, "SET_VRING_CALL 0 -1\n");
	ck_assert_int_eq(fk->vqs[0].call, -1);
}
END_TEST

START_TEST(a_kick_is_the_eventfd_s)
{
	prepare_and_start(F_VERSION_1);
	signals(kick[0]);
	OK(vhost_dev_vq_kick(dev, 0));
	fake_kernel_expect(fk, "");
	ck_assert_uint_eq(signals(kick[0]), 1);
	OK(vhost_dev_stop(dev));
	FAILS(vhost_dev_vq_kick(dev, 0), ENOTCONN, VHOST_ERR_STATE, "queue 0");
}
END_TEST

START_TEST(the_byte_order_of_rings_where_the_kernel_has_it)
{
	fk->has_endian = true;
	prepare(0);
	ck_assert_uint_eq(cap(VHOST_CAP_CROSS_ENDIAN), 1);
	fake_kernel_forget(fk);
	OK(vhost_dev_vq_set_endian(dev, 0, 1));
	fake_kernel_expect(fk, "SET_VRING_ENDIAN 0 1\n");
	OK(vhost_dev_start(dev));
	ck_assert_uint_eq(fk->vqs[0].endian, 1);
	ck_assert_ptr_nonnull(strstr(fake_kernel_log(fk), "SET_VRING_ENDIAN 0 1\nSET_VRING_NUM 0"));
	ck_assert_ptr_null(strstr(fake_kernel_log(fk), "SET_VRING_ENDIAN 1"));
}
END_TEST

START_TEST(k16_the_byte_order_where_the_kernel_has_it_not)
{
	prepare(0);
	ck_assert_uint_eq(cap(VHOST_CAP_CROSS_ENDIAN), 0);
	FAILS(vhost_dev_vq_set_endian(dev, 0, 1), ENOTSUP, VHOST_ERR_UNSUPPORTED, "ENDIAN");
	OK(vhost_dev_start(dev));
	ck_assert_ptr_null(strstr(fake_kernel_log(fk), "SET_VRING_ENDIAN 0 1\nSET_VRING_NUM"));
}
END_TEST

START_TEST(k3_a_size_that_cannot_be_is_refused_first)
{
	static const uint32_t sizes[] = { 0, 3, 32769, 65536, 65537 };
	struct vhost_vq_config c = queue(0);

	prepare(F_VERSION_1);
	fake_kernel_forget(fk);
	c.size = sizes[_i];
	FAILS(vhost_dev_vq_setup(dev, 0, &c, sizeof(c)), EINVAL, VHOST_ERR_ARGUMENT, "queue 0");
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(k3_a_size_is_not_changed_while_it_runs)
{
	prepare_and_start(F_VERSION_1);
	FAILS(set_up(0), EBUSY, VHOST_ERR_STATE, "queue 0");
	FAILS(vhost_dev_vq_set_base(dev, 0, 1), EBUSY, VHOST_ERR_STATE, "queue 0");	/* K4 */
	fake_kernel_expect(fk, "");
}
END_TEST

static const struct {
	unsigned long request;
	int error;
	int result;
	const char *words;
} refusals[] = {
	{ KV_SET_VRING_NUM, EINVAL, EINVAL, "SET_VRING_NUM" },		/* K3 */
	{ KV_SET_VRING_NUM, EBUSY, EBUSY, "runs" },
	{ KV_SET_VRING_BASE, EINVAL, EINVAL, "SET_VRING_BASE" },	/* K4 */
	{ KV_SET_VRING_BASE, EBUSY, EBUSY, "runs" },
	{ KV_SET_VRING_ADDR, EOPNOTSUPP, ENOTSUP, "SET_VRING_ADDR" },	/* K5 */
	{ KV_SET_VRING_ADDR, EINVAL, EINVAL, "SET_VRING_ADDR" },
	{ KV_SET_VRING_KICK, ENOBUFS, EINVAL, "no such queue" },	/* K9 */
	{ KV_SET_VRING_CALL, EBADF, EBADF, "SET_VRING_CALL" },
	{ KV_NET_SET_BACKEND, EFAULT, EFAULT, "rings" },		/* K8 */
	{ KV_NET_SET_BACKEND, ENOTSOCK, EINVAL, "tap" },
};

START_TEST(k3_k4_k5_k8_k9_what_the_kernel_refuses_at_the_start_is_named)
{
	prepare(F_VERSION_1);
	fk->fail_request = refusals[_i].request;
	fk->fail_nth = 2;	/* queue 1 */
	fk->fail_errno = refusals[_i].error;
	ck_assert_int_eq(vhost_dev_start(dev), -refusals[_i].result);
	ck_assert_msg(strstr(vhost_dev_error(dev), refusals[_i].words) &&
		      strstr(vhost_dev_error(dev), "queue 1"), "%s", vhost_dev_error(dev));
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	ck_assert(!runs());
	fk->fail_request = KV_GET_FEATURES;
	OK(vhost_dev_start(dev));
	ck_assert(runs());
}
END_TEST

START_TEST(k4_a_split_ring_s_base_has_16_bits)
{
	prepare(F_VERSION_1);
	FAILS(vhost_dev_vq_set_base(dev, 0, 0x10000), EINVAL, VHOST_ERR_ARGUMENT, "queue 0");
	OK(vhost_dev_vq_set_base(dev, 0, 0xffff));
	OK(vhost_dev_start(dev));
	ck_assert_uint_eq(fk->vqs[0].base, 0xffff);
}
END_TEST

START_TEST(k8_rings_outside_of_memory_are_found_at_the_start)
{
	open_it();
	OK(vhost_net_set_backend(dev, 0, tap[0]));
	OK(set_up(0));
	fake_kernel_forget(fk);
	FAILS(vhost_dev_start(dev), EFAULT, VHOST_ERR_ARGUMENT, "queue 0");
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(k9_a_queue_that_is_not_there_is_refused_first)
{
	struct vhost_vq_config c = queue(0);
	uint32_t value;

	open_it();
	fake_kernel_forget(fk);
	FAILS(vhost_dev_vq_setup(dev, 2, &c, sizeof(c)), EINVAL, VHOST_ERR_LIMIT, "queue 2");
	FAILS(vhost_net_set_backend(dev, 2, tap[0]), EINVAL, VHOST_ERR_LIMIT, "queue 2");
	FAILS(vhost_worker_attach(dev, 2, 0), EINVAL, VHOST_ERR_LIMIT, "queue 2");
	FAILS(vhost_worker_get(dev, UINT32_MAX, &value), EINVAL, VHOST_ERR_LIMIT, "queue");
	FAILS(vhost_worker_set_busyloop(dev, 2, 1), EINVAL, VHOST_ERR_LIMIT, "queue 2");
	FAILS(vhost_worker_get_busyloop(dev, 2, &value), EINVAL, VHOST_ERR_LIMIT, "queue 2");
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(k10_no_descriptor_is_minus_one)
{
	struct vhost_vq_config c = queue(0);

	prepare(F_VERSION_1);
	c.kick_fd = c.call_fd = -1;
	OK(vhost_dev_vq_setup(dev, 0, &c, sizeof(c)));
	OK(vhost_dev_start(dev));
	ck_assert_ptr_nonnull(strstr(fake_kernel_log(fk), "SET_VRING_CALL 0 -1\n"
				     "SET_VRING_KICK 0 -1\n"));
}
END_TEST

START_TEST(k10_descriptor_0_is_one)
{
	struct vhost_vq_config c = queue(0);
	int kept = fcntl(0, F_DUPFD_CLOEXEC, 3);

	prepare(F_VERSION_1);
	ck_assert_int_eq(dup2(tap[1], 0), 0);
	OK(vhost_net_set_backend(dev, 0, 0));
	ck_assert_int_eq(dup2(kick[2], 0), 0);
	c.kick_fd = 0;
	OK(vhost_dev_vq_setup(dev, 0, &c, sizeof(c)));
	ck_assert_int_eq(dup2(call[2], 0), 0);
	OK(vhost_dev_start(dev));
	ck_assert_int_ge(fk->vqs[0].backend, 0);
	ck_assert_uint_eq(signals(kick[2]), 1);
	OK(vhost_dev_vq_set_call(dev, 0, 0));
	fake_kernel_signal(fk->vqs[0].call);
	ck_assert_uint_eq(signals(call[2]), 1);
	if (kept >= 0) {
		dup2(kept, 0);
		close(kept);
	} else {
		close(0);
	}
}
END_TEST

START_TEST(a_base_that_cannot_be_is_not_believed)
{
	prepare_and_start(F_VERSION_1);
	fk->vqs[1].base = 0x10000;
	FAILS(vhost_dev_stop(dev), EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL, "queue 1");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	ck_assert(!runs());
}
END_TEST

/* ------------------------------------------------------------- net, vsock, scsi */

START_TEST(net_does_not_start_without_a_tap)
{
	prepare(F_VERSION_1);
	OK(vhost_net_set_backend(dev, 1, -1));
	fake_kernel_forget(fk);
	FAILS(vhost_dev_start(dev), EINVAL, VHOST_ERR_STATE, "queue 1");
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(a_tap_is_exchanged_while_it_runs)
{
	prepare_and_start(F_VERSION_1);
	OK(vhost_net_set_backend(dev, 0, tap[1]));
	fake_kernel_expect(fk, "NET_SET_BACKEND 0 fd\n");
	OK(vhost_net_set_backend(dev, 0, -1));
	fake_kernel_expect(fk, "NET_SET_BACKEND 0 -1\n");
	ck_assert_int_eq(fk->vqs[0].backend, -1);
	FAILS(vhost_dev_vq_enable(dev, 0, 0) ? 0 : vhost_dev_vq_enable(dev, 0, 1), EINVAL,
	      VHOST_ERR_STATE, "vhost_net_set_backend");
}
END_TEST

START_TEST(a_tap_that_is_none_is_refused_and_the_old_one_stays)
{
	prepare_and_start(F_VERSION_1);
	FAILS(vhost_net_set_backend(dev, 0, err), EINVAL, VHOST_ERR_ARGUMENT, "queue 0");
	ck_assert_int_ge(fk->vqs[0].backend, 0);
	ck_assert_int_eq(vhost_net_set_backend(dev, 0, 9999), -EBADF);
	OK(vhost_dev_stop(dev));
	OK(vhost_dev_start(dev));
}
END_TEST

START_TEST(the_header_is_not_changed_while_it_runs)
{
	prepare_and_start(F_VERSION_1);
	FAILS(vhost_net_set_header(dev, 1), EBUSY, VHOST_ERR_STATE, "runs");
}
END_TEST

START_TEST(k11_a_cid_is_checked_and_one_in_use_is_named)
{
	static const uint64_t wrong[] = { 0, 1, 2, UINT32_MAX, 1ull << 32, UINT64_MAX };
	unsigned int i;

	open_it();
	fake_kernel_forget(fk);
	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		FAILS(vhost_vsock_set_cid(dev, wrong[i]), EINVAL, VHOST_ERR_ARGUMENT, "address");
	fake_kernel_expect(fk, "");
	fk->taken_cid = 42;
	FAILS(vhost_vsock_set_cid(dev, 42), EADDRINUSE, VHOST_ERR_IN_USE, "42");
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(set_up(0));
	OK(set_up(1));
	FAILS(vhost_dev_start(dev), EINVAL, VHOST_ERR_STATE, "vhost_vsock_set_cid");
	OK(vhost_vsock_set_cid(dev, UINT32_MAX - 1));
	OK(vhost_dev_start(dev));
	FAILS(vhost_vsock_set_cid(dev, 43), EBUSY, VHOST_ERR_STATE, "runs");
	ck_assert_uint_eq(fk->cid, UINT32_MAX - 1);
}
END_TEST

START_TEST(an_endpoint_is_checked_and_needed)
{
	char name[225];

	memset(name, 'n', sizeof(name) - 1);
	name[224] = 0;
	open_it();
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(set_up(0));
	fake_kernel_forget(fk);
	FAILS(vhost_dev_start(dev), EINVAL, VHOST_ERR_STATE, "vhost_scsi_set_endpoint");
	FAILS(vhost_scsi_set_endpoint(dev, "", 0), EINVAL, VHOST_ERR_ARGUMENT, "223");
	FAILS(vhost_scsi_set_endpoint(dev, name, 0), EINVAL, VHOST_ERR_ARGUMENT, "223");
	name[223] = 0;
	OK(vhost_scsi_set_endpoint(dev, name, 0));
	fake_kernel_expect(fk, "");
	OK(vhost_scsi_set_endpoint(dev, NULL, 0));
	FAILS(vhost_dev_start(dev), EINVAL, VHOST_ERR_STATE, "vhost_scsi_set_endpoint");
}
END_TEST

START_TEST(a_target_that_is_not_there_or_in_use_is_named)
{
	prepare(F_VERSION_1);
	/* the kernel says one errno for both: the library looks for itself which it is */
	fk->target = "naa.0";
	ck_assert_int_eq(vhost_dev_start(dev), -ENODEV);
	ck_assert_ptr_nonnull(strstr(vhost_dev_error(dev), "target " WWPN));
	fk->target = WWPN;
	fk->target_in_use = true;
	ck_assert_int_eq(vhost_dev_start(dev), -ENODEV);
	ck_assert_ptr_nonnull(strstr(vhost_dev_error(dev), "target " WWPN));
	ck_assert(!runs());
	fk->target_in_use = false;
	OK(vhost_dev_start(dev));
	FAILS(vhost_scsi_set_endpoint(dev, WWPN, 1), EBUSY, VHOST_ERR_STATE, "runs");
}
END_TEST

START_TEST(scsi_has_its_version_and_its_missed_events)
{
	uint32_t missed = 77;
	int version = 77;

	open_it();
	fake_kernel_forget(fk);
	OK(vhost_scsi_get_abi_version(dev, &version));
	ck_assert_int_eq(version, 1);
	FAILS(vhost_scsi_set_events_missed(dev, 2), EINVAL, VHOST_ERR_ARGUMENT, "0 or 1");
	OK(vhost_scsi_set_events_missed(dev, 1));
	OK(vhost_scsi_get_events_missed(dev, &missed));
	ck_assert_uint_eq(missed, 1);
	fake_kernel_expect(fk, "SCSI_GET_ABI_VERSION\nSCSI_SET_EVENTS_MISSED 1\n"
			   "SCSI_GET_EVENTS_MISSED\n");
}
END_TEST

START_TEST(a_call_of_another_kind_of_device_is_not_supported)
{
	uint32_t value;
	int number;

	begin((enum kdev_kind)_i);
	open_it();
	fake_kernel_forget(fk);
	if (_i != KDEV_NET) {
		FAILS(vhost_net_set_backend(dev, 0, tap[0]), ENOTSUP, VHOST_ERR_UNSUPPORTED,
		      "vhost-net");
		FAILS(vhost_net_set_header(dev, 1), ENOTSUP, VHOST_ERR_UNSUPPORTED, "vhost-net");
	}
	if (_i != KDEV_VSOCK)
		FAILS(vhost_vsock_set_cid(dev, 42), ENOTSUP, VHOST_ERR_UNSUPPORTED, "vhost-vsock");
	if (_i != KDEV_SCSI) {
		FAILS(vhost_scsi_set_endpoint(dev, WWPN, 1), ENOTSUP, VHOST_ERR_UNSUPPORTED,
		      "vhost-scsi");
		FAILS(vhost_scsi_get_abi_version(dev, &number), ENOTSUP, VHOST_ERR_UNSUPPORTED,
		      "vhost-scsi");
		FAILS(vhost_scsi_get_events_missed(dev, &value), ENOTSUP, VHOST_ERR_UNSUPPORTED,
		      "vhost-scsi");
		FAILS(vhost_scsi_set_events_missed(dev, 1), ENOTSUP, VHOST_ERR_UNSUPPORTED,
		      "vhost-scsi");
	}
	if (_i == KDEV_VDPA) {
		FAILS(vhost_worker_new(dev, &value), ENOTSUP, VHOST_ERR_UNSUPPORTED, "vhost");
		FAILS(vhost_worker_free(dev, 0), ENOTSUP, VHOST_ERR_UNSUPPORTED, "vhost");
		FAILS(vhost_worker_attach(dev, 0, 0), ENOTSUP, VHOST_ERR_UNSUPPORTED, "vhost");
		FAILS(vhost_worker_get(dev, 0, &value), ENOTSUP, VHOST_ERR_UNSUPPORTED, "vhost");
		FAILS(vhost_worker_get_mode(dev, &number), ENOTSUP, VHOST_ERR_UNSUPPORTED, "vhost");
		FAILS(vhost_worker_set_busyloop(dev, 0, 1), ENOTSUP, VHOST_ERR_UNSUPPORTED,
		      "vhost");
		FAILS(vhost_worker_get_busyloop(dev, 0, &value), ENOTSUP, VHOST_ERR_UNSUPPORTED,
		      "vhost");
	}
	fake_kernel_expect(fk, "");
	end();
}
END_TEST

/* ----------------------------------------------------------------------- workers */

START_TEST(workers_are_made_attached_read_back_and_freed)
{
	uint32_t id, got = 77;

	open_it();
	cap(VHOST_CAP_WORKERS);
	fake_kernel_forget(fk);
	OK(vhost_worker_new(dev, &id));
	ck_assert_uint_eq(id, 1);
	OK(vhost_worker_attach(dev, 2, id));
	OK(vhost_worker_get(dev, 2, &got));
	ck_assert_uint_eq(got, 1);
	FAILS(vhost_worker_free(dev, id), EBUSY, VHOST_ERR_STATE, "queue");
	OK(vhost_worker_attach(dev, 2, 0));
	OK(vhost_worker_free(dev, id));
	fake_kernel_expect(fk, "NEW_WORKER\nATTACH_VRING_WORKER 2 1\nGET_VRING_WORKER 2\n"
			   "FREE_WORKER 1: EBUSY\nATTACH_VRING_WORKER 2 0\nFREE_WORKER 1\n");
	FAILS(vhost_worker_free(dev, 6), ENODEV, VHOST_ERR_ARGUMENT, "worker");
	FAILS(vhost_worker_attach(dev, 0, 6), ENODEV, VHOST_ERR_ARGUMENT, "worker");
	fk->fail_request = KV_NEW_WORKER;
	fk->fail_errno = EAGAIN;
	ck_assert_int_eq(vhost_worker_new(dev, &id), -EAGAIN);
}
END_TEST

START_TEST(k17_workers_that_a_kernel_has_not)
{
	uint32_t value = 77;

	fk->has_workers = false;
	open_it();
	ck_assert_uint_eq(cap(VHOST_CAP_WORKERS), 0);
	FAILS(vhost_worker_new(dev, &value), ENOTSUP, VHOST_ERR_UNSUPPORTED, "worker");
	FAILS(vhost_worker_attach(dev, 0, 0), ENOTSUP, VHOST_ERR_UNSUPPORTED, "worker");
	FAILS(vhost_worker_get(dev, 0, &value), ENOTSUP, VHOST_ERR_UNSUPPORTED, "worker");
	/* an id is a queue's index to such a kernel: it must not find one */
	FAILS(vhost_worker_free(dev, 0), ENOTSUP, VHOST_ERR_UNSUPPORTED, "worker");
	FAILS(vhost_worker_free(dev, 9999), ENOTSUP, VHOST_ERR_UNSUPPORTED, "worker");
	ck_assert_ptr_null(strstr(fake_kernel_log(fk), "FREE_WORKER"));
	ck_assert_uint_eq(value, 77);
}
END_TEST

static const int no_such[] = { ENOTTY, ENOBUFS, EFAULT };

START_TEST(k16_each_errno_for_no_such_call_is_not_supported)
{
	uint32_t value;
	int mode;

	open_it();
	fk->fail_errno = no_such[_i];
	fk->fail_request = KV_NEW_WORKER;
	FAILS(vhost_worker_new(dev, &value), ENOTSUP, VHOST_ERR_UNSUPPORTED, "worker");
	fk->fail_request = KV_GET_FORK_FROM_OWNER;
	FAILS(vhost_worker_get_mode(dev, &mode), ENOTSUP, VHOST_ERR_UNSUPPORTED, "worker");
	fk->fail_request = KV_GET_VRING_WORKER;
	ck_assert_uint_eq(cap(VHOST_CAP_WORKERS), 0);
}
END_TEST

START_TEST(busy_polling_is_set_and_read_back)
{
	uint32_t us = 77;

	open_it();
	fake_kernel_forget(fk);
	OK(vhost_worker_set_busyloop(dev, 1, 50));
	OK(vhost_worker_get_busyloop(dev, 1, &us));
	ck_assert_uint_eq(us, 50);
	fake_kernel_expect(fk, "SET_VRING_BUSYLOOP_TIMEOUT 1 50\nGET_VRING_BUSYLOOP_TIMEOUT 1\n");
	FAILS(vhost_worker_set_busyloop(dev, 1, 1u << 31), EINVAL, VHOST_ERR_ARGUMENT,
	      "2147483648");
	OK(vhost_worker_set_busyloop(dev, 1, INT32_MAX));
}
END_TEST

START_TEST(the_kind_of_worker_is_chosen_before_the_device_is_owned)
{
	int mode = 77;

	OK(open_flags(_i ? VHOST_OPEN_WORKER_TASK : VHOST_OPEN_WORKER_KTHREAD));
	ck_assert_int_eq(strncmp(fake_kernel_log(fk), _i ? "SET_FORK_FROM_OWNER 1\nSET_OWNER\n" :
				 "SET_FORK_FROM_OWNER 0\nSET_OWNER\n", 32), 0);
	OK(vhost_worker_get_mode(dev, &mode));
	ck_assert_int_eq(mode, _i ? VHOST_WORKER_TASK : VHOST_WORKER_KTHREAD);
}
END_TEST

START_TEST(a_kind_of_worker_that_cannot_be_chosen_fails_the_opening)
{
	int mode = 77;

	fk->has_fork = false;
	FAILS(open_flags(VHOST_OPEN_WORKER_TASK), ENOTSUP, VHOST_ERR_UNSUPPORTED, "6.17");
	ck_assert(!fk->owned);
	OK(open_flags(0));
	FAILS(vhost_worker_get_mode(dev, &mode), ENOTSUP, VHOST_ERR_UNSUPPORTED, "worker");
	ck_assert_int_eq(mode, 77);
}
END_TEST

/* ---------------------------------------------------------------------- the owner */

START_TEST(k2_a_device_that_has_an_owner_is_in_use)
{
	fk->owned = true;
	FAILS(open_flags(0), EBUSY, VHOST_ERR_IN_USE, "owner");
}
END_TEST

/* Nothing that it did not open is closed: descriptor 0 is not its own. */
START_TEST(k2_an_opening_that_fails_early_closes_only_its_own)
{
	struct vhost_dev_opts opts = { .device_id = 1 };
	int kept = fcntl(0, F_DUPFD_CLOEXEC, 3);

	ck_assert_int_eq(dup2(err, 0), 0);
	fk->owned = true;
	FAILS(open_with(&opts), EBUSY, VHOST_ERR_IN_USE, "owner");
	ck_assert_int_ge(fcntl(0, F_GETFD), 0);
	if (kept >= 0) {
		dup2(kept, 0);
		close(kept);
	} else {
		close(0);
	}
}
END_TEST

START_TEST(k2_a_call_from_another_process_is_named)
{
	prepare(F_VERSION_1);
	fk->owned = false;
	FAILS(vhost_dev_mem_remove(dev, IOVA, SIZE), EPERM, VHOST_ERR_NOT_OWNER, "fork");
	FAILS(vhost_dev_start(dev), EPERM, VHOST_ERR_NOT_OWNER, "fork");
	fk->owned = true;
	OK(vhost_dev_start(dev));
}
END_TEST

/* ------------------------------------------------------------------------- IOTLB */

static uint64_t missed_iova;
static uint32_t missed_perm;
static unsigned int misses, faults;
static int miss_result;

/* The same addresses stand 1 MiB above the memory's once more, in pages. */
#define ABOVE 0x100000u

static int on_miss(vhost_dev_t *d, uint64_t iova, uint32_t perm, struct vhost_iotlb_entry *ret,
		   void *opaque)
{
	ck_assert_ptr_eq(d, dev);
	ck_assert_ptr_null(opaque);
	missed_iova = iova;
	missed_perm = perm;
	misses++;
	if (miss_result < 0)
		return miss_result;
	*ret = (struct vhost_iotlb_entry){
		.iova = iova & ~0xfffull, .size = 0x1000,
		.target = (iova & ~0xfffull) - (iova >= ABOVE ? ABOVE : 0), .perm = 3,
	};
	return 0;
}

static void on_fault(vhost_dev_t *d, uint64_t iova, uint32_t perm, void *opaque)
{
	(void)d;
	(void)opaque;
	missed_iova = iova;
	missed_perm = perm;
	faults++;
}

static void listen_for_misses(void)
{
	events.iotlb_miss = on_miss;
	events.iotlb_fault = on_fault;
	misses = faults = 0;
	miss_result = 0;
}

/* The descriptor says that there is something, and process() does it. */
static bool readable(void)
{
	struct pollfd p = { .fd = vhost_dev_get_fd(dev), .events = POLLIN };

	ck_assert_int_ge(p.fd, 0);
	return poll(&p, 1, 0) == 1;
}

START_TEST(rings_are_translated_before_the_queues_are_attached)
{
	prepare(F_VERSION_1 | F_ACCESS_PLATFORM);
	fake_kernel_forget(fk);
	OK(vhost_dev_start(dev));
	/* the rings are IOVAs; and with no callback the map is what they stand for */
	ck_assert_ptr_nonnull(strstr(fake_kernel_log(fk),
				     "SET_VRING_ADDR 0 0x10000 0x11000 0x12000\n"));
	ck_assert_ptr_nonnull(strstr(fake_kernel_log(fk),
				     "IOTLB update 0x10000+0x10000=mem+0x0 rw\n"));
	ck_assert_ptr_null(strstr(strstr(fake_kernel_log(fk), "NET_SET_BACKEND"), "IOTLB"));
	ck_assert(runs());
}
END_TEST

START_TEST(rings_are_translated_by_the_callback_before_the_queues_are_attached)
{
	struct vhost_vq_config c;
	unsigned int i;

	listen_for_misses();
	prepare(F_VERSION_1 | F_ACCESS_PLATFORM);
	for (i = 0; i < 2; i++) {
		c = queue(i);
		c.desc += ABOVE;
		c.driver += ABOVE;
		c.device += ABOVE;
		OK(vhost_dev_vq_setup(dev, i, &c, sizeof(c)));
	}
	fake_kernel_forget(fk);
	OK(vhost_dev_start(dev));
	fake_kernel_expect(fk,
		VRING("0", "0", "0x110000", "0x111000", "0x112000")
		VRING("1", "0", "0x113000", "0x114000", "0x115000")
		"IOTLB update 0x110000+0x1000=mem+0x0 rw\n"
		"IOTLB update 0x111000+0x1000=mem+0x1000 rw\n"
		"IOTLB update 0x112000+0x1000=mem+0x2000 rw\n"
		"IOTLB update 0x113000+0x1000=mem+0x3000 rw\n"
		"IOTLB update 0x114000+0x1000=mem+0x4000 rw\n"
		"IOTLB update 0x115000+0x1000=mem+0x5000 rw\n"
		"NET_SET_BACKEND 0 fd\nNET_SET_BACKEND 1 fd\n");
	ck_assert_uint_eq(misses, 6);
}
END_TEST

START_TEST(a_ring_without_a_translation_fails_the_start)
{
	listen_for_misses();
	prepare(F_VERSION_1 | F_ACCESS_PLATFORM);
	miss_result = -EACCES;
	FAILS(vhost_dev_start(dev), EFAULT, VHOST_ERR_ARGUMENT, "queue 0");
	ck_assert(!runs());
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
}
END_TEST

START_TEST(a_miss_is_answered_from_the_map_where_there_is_no_callback)
{
	prepare_and_start(F_VERSION_1 | F_ACCESS_PLATFORM);
	ck_assert(!readable());
	fake_kernel_push_miss(fk, KV_MSG_V2, 0x18123, 1);
	ck_assert(readable());
	OK(vhost_dev_process(dev));
	/* the kernel had it, with the rings, and has it no more: the old one goes first */
	fake_kernel_expect(fk, "READ\nIOTLB invalidate 0x10000+0x10000\n"
			   "IOTLB update 0x10000+0x10000=mem+0x0 rw\n");
	ck_assert(!readable());
}
END_TEST

START_TEST(a_miss_is_answered_by_the_callback)
{
	listen_for_misses();
	prepare_and_start(F_VERSION_1 | F_ACCESS_PLATFORM);
	misses = 0;
	fake_kernel_push_miss(fk, KV_MSG_V2, 0x118123, 2);
	OK(vhost_dev_process(dev));
	fake_kernel_expect(fk, "READ\nIOTLB update 0x118000+0x1000=mem+0x8000 rw\n");
	ck_assert_uint_eq(misses, 1);
	ck_assert_uint_eq(missed_iova, 0x118123);
	ck_assert_uint_eq(missed_perm, 2);
}
END_TEST

START_TEST(a_miss_that_the_callback_refuses_gets_no_answer)
{
	listen_for_misses();
	prepare_and_start(F_VERSION_1 | F_ACCESS_PLATFORM);
	misses = 0;
	miss_result = -EACCES;
	fake_kernel_push_miss(fk, KV_MSG_V2, 0x118123, 2);
	OK(vhost_dev_process(dev));
	fake_kernel_expect(fk, "READ\n");
	ck_assert_uint_eq(misses, 1);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
}
END_TEST

START_TEST(a_miss_outside_of_the_memory_gets_no_answer)
{
	prepare_and_start(F_VERSION_1 | F_ACCESS_PLATFORM);
	fake_kernel_push_miss(fk, KV_MSG_V2, IOVA + SIZE, 1);
	fake_kernel_push_miss(fk, KV_MSG_V2, UINT64_MAX, 1);
	OK(vhost_dev_process(dev));
	fake_kernel_expect(fk, "READ\nREAD\n");
}
END_TEST

static int wrong_answer(vhost_dev_t *d, uint64_t iova, uint32_t perm,
			struct vhost_iotlb_entry *ret, void *opaque)
{
	const struct vhost_iotlb_entry *answer = opaque;

	(void)d;
	(void)iova;
	(void)perm;
	misses++;
	*ret = *answer;
	return 0;
}

static const struct vhost_iotlb_entry wrong_answers[] = {
	{ .iova = 0x119000, .size = 0x1000, .target = IOVA, .perm = 3 },	/* another page */
	{ .iova = 0x118000, .size = 0, .target = IOVA, .perm = 3 },
	{ .iova = 0x118000, .size = UINT64_MAX, .target = IOVA, .perm = 3 },
	{ .iova = 0x118000, .size = 0x1000, .target = IOVA, .perm = 0 },
	{ .iova = 0x118000, .size = 0x1000, .target = IOVA, .perm = 1 },	/* not enough */
	{ .iova = 0x118000, .size = 0x1000, .target = IOVA, .perm = 7 },
	{ .iova = 0x118000, .size = 0x1000, .target = IOVA, .perm = 3, .asid = 1 },
	{ .iova = 0x118000, .size = 0x1000, .target = 0x40000, .perm = 3 },	/* not in memory */
	{ .iova = 0x118000, .size = SIZE + 1, .target = IOVA, .perm = 3 },
};

START_TEST(an_answer_that_is_none_is_not_passed_on)
{
	struct vhost_iotlb_entry answer = wrong_answers[_i];

	prepare_and_start(F_VERSION_1 | F_ACCESS_PLATFORM);
	events.iotlb_miss = wrong_answer;
	misses = 0;
	OK(vhost_dev_set_events(dev, &events, sizeof(events), &answer));
	fake_kernel_push_miss(fk, KV_MSG_V2, 0x118123, 2);
	OK(vhost_dev_process(dev));
	ck_assert_uint_eq(misses, 1);
	fake_kernel_expect(fk, "READ\n");
}
END_TEST

START_TEST(a_fault_is_told)
{
	struct kv_msg msg = {
		.type = KV_MSG_V2,
		.iotlb = { .iova = 0x7000, .perm = 2, .type = KV_IOTLB_ACCESS_FAIL },
	};

	listen_for_misses();
	prepare_and_start(F_VERSION_1 | F_ACCESS_PLATFORM);
	fake_kernel_push(fk, &msg, sizeof(msg));
	OK(vhost_dev_process(dev));
	ck_assert_uint_eq(faults, 1);
	ck_assert_uint_eq(missed_iova, 0x7000);
	ck_assert_uint_eq(missed_perm, 2);
}
END_TEST

START_TEST(k15_the_first_layout_is_for_a_kernel_without_the_second)
{
	struct vhost_iotlb_entry entry = {
		.iova = ABOVE, .size = 0x2000, .target = IOVA, .perm = 1,
	};

	fk->backend_offers = 0;
	prepare_and_start(F_VERSION_1 | F_ACCESS_PLATFORM);
	fake_kernel_push_miss(fk, KV_MSG_V1, 0x18123, 1);
	OK(vhost_dev_process(dev));
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	OK(vhost_dev_iotlb_invalidate(dev, ABOVE, 0x1000, 0));
	fake_kernel_expect(fk, "READ\nIOTLB v1 invalidate 0x10000+0x10000\n"
			   "IOTLB v1 update 0x10000+0x10000=mem+0x0 rw\n"
			   "IOTLB v1 update 0x100000+0x2000=mem+0x0 r\n"
			   "IOTLB v1 invalidate 0x100000+0x1000\n");
}
END_TEST

START_TEST(k15_the_second_layout_where_the_kernel_has_it)
{
	struct vhost_iotlb_entry entry = {
		.iova = ABOVE, .size = 0x2000, .target = IOVA, .perm = 2,
	};

	prepare_and_start(F_VERSION_1 | F_ACCESS_PLATFORM);
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	OK(vhost_dev_iotlb_invalidate(dev, ABOVE, 0, 0));
	fake_kernel_expect(fk, "IOTLB update 0x100000+0x2000=mem+0x0 w\n"
			   "IOTLB invalidate 0x100000+0xffffffffffefffff\n");
	ck_assert(!fake_kernel_maps(fk, 0, ABOVE, 0x2000));
	entry.asid = 1;
	ck_assert_int_eq(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), -EINVAL);
	entry.asid = 0;
	entry.target = 0x40000;
	ck_assert_int_eq(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), -EINVAL);
	ck_assert_int_eq(vhost_dev_iotlb_invalidate(dev, ABOVE, 0x1000, 1), -EINVAL);
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(there_is_no_iotlb_without_access_platform)
{
	struct vhost_iotlb_entry entry = {
		.iova = ABOVE, .size = 0x2000, .target = IOVA, .perm = 2,
	};

	prepare_and_start(F_VERSION_1);
	FAILS(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), ENOTSUP, VHOST_ERR_UNSUPPORTED,
	      "ACCESS_PLATFORM");
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(k15_a_message_that_is_written_in_part_is_an_error)
{
	struct vhost_iotlb_entry entry = {
		.iova = ABOVE, .size = 0x2000, .target = IOVA, .perm = 2,
	};

	prepare_and_start(F_VERSION_1 | F_ACCESS_PLATFORM);
	fk->short_write = 71;
	ck_assert_int_lt(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), 0);
	ck_assert_ptr_nonnull(strstr(vhost_dev_error(dev), "0x100000"));
	fk->short_write = 0;
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
}
END_TEST

static const struct {
	uint32_t version;
	uint8_t type;
	size_t size;
	int result;
} odd_messages[] = {
	{ 0, KV_IOTLB_MISS, sizeof(struct kv_msg), -EPROTO },
	{ 3, KV_IOTLB_MISS, sizeof(struct kv_msg), -EPROTO },
	{ KV_MSG_V2, KV_IOTLB_MISS, sizeof(struct kv_msg) - 1, -EPROTO },
	{ KV_MSG_V2, KV_IOTLB_MISS, 4, -EPROTO },
	{ KV_MSG_V2, 0, sizeof(struct kv_msg), 0 },
	{ KV_MSG_V2, KV_IOTLB_UPDATE, sizeof(struct kv_msg), 0 },
	{ KV_MSG_V2, 255, sizeof(struct kv_msg), 0 },
};

START_TEST(k15_a_message_that_the_kernel_does_not_send_does_no_harm)
{
	struct kv_msg msg = {
		.type = odd_messages[_i].version,
		.iotlb = { .iova = IOVA, .size = SIZE, .perm = 3, .type = odd_messages[_i].type },
	};

	listen_for_misses();
	prepare_and_start(F_VERSION_1 | F_ACCESS_PLATFORM);
	misses = 0;
	fake_kernel_push(fk, &msg, odd_messages[_i].size);
	ck_assert_int_eq(vhost_dev_process(dev), odd_messages[_i].result);
	ck_assert_uint_eq(misses, 0);
	ck_assert_ptr_null(strstr(fake_kernel_log(fk), "IOTLB"));
	OK(vhost_dev_stop(dev));
}
END_TEST

START_TEST(a_flood_of_misses_is_taken_in_portions)
{
	unsigned int i;

	prepare_and_start(F_VERSION_1 | F_ACCESS_PLATFORM);
	ck_assert(!readable());
	for (i = 0; i < FAKE_MSGS; i++)
		fake_kernel_push_miss(fk, KV_MSG_V2, 0x18123, 1);
	for (i = 0; i < FAKE_MSGS && readable(); i++)
		OK(vhost_dev_process(dev));
	ck_assert_uint_eq(fk->n_msgs, 0);
	ck_assert(!readable());
}
END_TEST

/* The user's reference goes inside of the callback, which may come once more. */
static int drop_in_miss(vhost_dev_t *d, uint64_t iova, uint32_t perm,
			struct vhost_iotlb_entry *ret, void *opaque)
{
	(void)iova;
	(void)perm;
	(void)ret;
	(void)opaque;
	if (misses++ == 0)
		dev = vhost_dev_unref(d);
	return -EACCES;
}

START_TEST(a_callback_may_drop_the_device)
{
	prepare_and_start(F_VERSION_1 | F_ACCESS_PLATFORM);
	events.iotlb_miss = drop_in_miss;
	misses = 0;
	OK(vhost_dev_set_events(dev, &events, sizeof(events), NULL));
	fake_kernel_push_miss(fk, KV_MSG_V2, 0x18123, 1);
	fake_kernel_push_miss(fk, KV_MSG_V2, 0x18123, 1);
	vhost_dev_process(dev);
	ck_assert_uint_ge(misses, 1);
	ck_assert_ptr_null(dev);
}
END_TEST

static int stop_in_miss(vhost_dev_t *d, uint64_t iova, uint32_t perm,
			struct vhost_iotlb_entry *ret, void *opaque)
{
	(void)iova;
	(void)perm;
	(void)ret;
	(void)opaque;
	OK(vhost_dev_stop(d));
	return -EACCES;
}

START_TEST(a_callback_may_stop_the_device)
{
	prepare_and_start(F_VERSION_1 | F_ACCESS_PLATFORM);
	events.iotlb_miss = stop_in_miss;
	OK(vhost_dev_set_events(dev, &events, sizeof(events), NULL));
	fake_kernel_push_miss(fk, KV_MSG_V2, 0x18123, 1);
	OK(vhost_dev_process(dev));
	ck_assert(!runs());
}
END_TEST

START_TEST(a_descriptor_of_somebody_else_s_may_block)
{
	struct vhost_dev_opts opts = { 0 };
	int fd = fake_kernel_open(fk);

	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	OK(kdev_new(fk->kind, "fd:9", fd, &opts, &events, &dev));
	OK(vhost_dev_set_features(dev, F_VERSION_1 | F_ACCESS_PLATFORM));
	OK(vhost_dev_process(dev));
}
END_TEST

START_TEST(k18_what_a_queue_looks_at_is_not_moved_while_it_runs)
{
	prepare_and_start(F_VERSION_1 | F_ACCESS_PLATFORM);
	FAILS(set_up(0), EBUSY, VHOST_ERR_STATE, "queue 0");
	FAILS(vhost_dev_set_features(dev, F_VERSION_1), EBUSY, VHOST_ERR_STATE, "runs");
	fake_kernel_expect(fk, "");
}
END_TEST

/* ---------------------------------------------------------------------- dirty log */

START_TEST(the_log_is_turned_on_and_off_while_it_runs)
{
	uint64_t dirty[1] = { 0 }, n = 0;

	prepare_and_start(F_VERSION_1);
	OK(vhost_dev_log_start(dev));
	fake_kernel_expect(fk,
		"SET_LOG_BASE log\nSET_FEATURES 0x104000000\n"
		"SET_VRING_ADDR 0 mem+0x0 mem+0x1000 mem+0x2000 log 0x12000\n"
		"SET_VRING_ADDR 1 mem+0x3000 mem+0x4000 mem+0x5000 log 0x15000\n");
	ck_assert_uint_eq(vhost_dev_log_get_size(dev) >= IOVA + SIZE, 1);
	/* as the kernel: page 0x12 of memory is bit 2 of byte 2 */
	((uint8_t *)(uintptr_t)fk->log_base)[2] |= 4;
	OK(vhost_dev_log_collect(dev, 0, dirty, 1, &n));
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(dirty[0], 1ull << 0x12);
	ck_assert_int_eq(vhost_dev_log_start(dev), -EALREADY);
	fake_kernel_expect(fk, "");
	OK(vhost_dev_log_stop(dev));
	fake_kernel_expect(fk,
		"SET_FEATURES 0x100000000\n"
		"SET_VRING_ADDR 0 mem+0x0 mem+0x1000 mem+0x2000\n"
		"SET_VRING_ADDR 1 mem+0x3000 mem+0x4000 mem+0x5000\n");
	ck_assert(runs());
	OK(vhost_dev_log_stop(dev));
	fake_kernel_expect(fk, "");
}
END_TEST

/* What the library gave of itself is taken back with the memory. */
START_TEST(memory_that_goes_takes_its_translations_along)
{
	prepare_and_start(F_VERSION_1 | F_ACCESS_PLATFORM);
	FAILS(vhost_dev_mem_remove(dev, IOVA, SIZE), EBUSY, VHOST_ERR_STATE, "queue 0");
	OK(vhost_dev_stop(dev));
	ck_assert(fake_kernel_maps(fk, 0, IOVA, SIZE));
	OK(vhost_dev_mem_remove(dev, IOVA, SIZE));
	ck_assert(!fake_kernel_maps(fk, 0, IOVA, 0x1000));
	/* one set is as good as the other */
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(vhost_dev_start(dev));
	ck_assert(fake_kernel_maps(fk, 0, IOVA, SIZE));
	OK(vhost_dev_stop(dev));
	OK(vhost_dev_mem_set(dev, NULL, 0, sizeof(struct vhost_mem_desc)));
	ck_assert(!fake_kernel_maps(fk, 0, IOVA, 0x1000));
}
END_TEST

START_TEST(translations_that_were_given_unasked_count)
{
	struct vhost_iotlb_entry entry = { .iova = IOVA, .size = SIZE, .target = IOVA, .perm = 3 };

	listen_for_misses();
	miss_result = -EACCES;
	prepare(F_VERSION_1 | F_ACCESS_PLATFORM);
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	OK(vhost_dev_start(dev));
	/* the features for the log empty the kernel's IOTLB */
	OK(vhost_dev_log_start(dev));
	ck_assert(fake_kernel_maps(fk, 0, IOVA, SIZE));
	OK(vhost_dev_log_stop(dev));
	ck_assert(fake_kernel_maps(fk, 0, IOVA, SIZE));
}
END_TEST

START_TEST(memory_beyond_the_log_is_refused)
{
	struct vhost_vq_config c = queue(0);
	struct vhost_mem_desc desc;

	vhost_mem_describe(mem, &desc, sizeof(desc));
	desc.iova = 1ull << 40;
	prepare(F_VERSION_1);
	OK(vhost_dev_log_start(dev));
	FAILS(vhost_dev_mem_add(dev, &desc, sizeof(desc)), EINVAL, VHOST_ERR_STATE, "log");
	FAILS(vhost_dev_mem_set(dev, &desc, 1, sizeof(desc)), EINVAL, VHOST_ERR_STATE, "log");
	c.log = 1ull << 40;
	OK(vhost_dev_vq_setup(dev, 0, &c, sizeof(c)));
	FAILS(vhost_dev_start(dev), EINVAL, VHOST_ERR_ARGUMENT, "queue 0");
	OK(vhost_dev_log_stop(dev));
	OK(vhost_dev_mem_add(dev, &desc, sizeof(desc)));
	OK(vhost_dev_start(dev));
	OK(vhost_dev_stop(dev));
	OK(vhost_dev_mem_remove(dev, desc.iova, desc.size));
	FAILS(vhost_dev_log_start(dev), EINVAL, VHOST_ERR_ARGUMENT, "queue 0");
}
END_TEST

START_TEST(a_start_that_fails_keeps_what_one_queue_did)
{
	uint32_t base;

	prepare(F_VERSION_1);
	fk->fail_request = KV_NET_SET_BACKEND;
	fk->fail_nth = 2;
	fk->fail_errno = EIO;
	fake_kernel_forget(fk);
	FAILS(vhost_dev_start(dev), EIO, VHOST_ERR_OTHER, "queue 1");
	ck_assert(!runs());
	ck_assert_ptr_nonnull(strstr(fake_kernel_log(fk), "GET_VRING_BASE 0"));
	OK(vhost_dev_vq_get_base(dev, 0, &base));
	ck_assert_uint_eq(base, fk->vqs[0].base);
}
END_TEST

START_TEST(a_stop_that_fails_is_made_up_for_by_the_next_start)
{
	prepare_and_start(F_VERSION_1);
	fk->fail_request = KV_NET_SET_BACKEND;
	fk->fail_errno = EIO;
	FAILS(vhost_dev_stop(dev), EIO, VHOST_ERR_OTHER, "NET_SET_BACKEND");
	fk->fail_request = 0;
	OK(vhost_dev_start(dev));
	ck_assert(runs());
	OK(vhost_dev_stop(dev));
	ck_assert(!runs());
}
END_TEST

START_TEST(a_reset_keeps_the_log)
{
	prepare_and_start(F_VERSION_1);
	OK(vhost_dev_log_start(dev));
	OK(vhost_dev_reset(dev));
	ck_assert_uint_ne(fk->log_base, 0);
	ck_assert_uint_eq(vhost_dev_log_get_size(dev) > 0, 1);
}
END_TEST

START_TEST(a_reset_that_could_not_be_finished_is_finished_by_the_next)
{
	prepare(F_VERSION_1);
	fk->fail_request = KV_SET_OWNER;
	fk->fail_errno = ENOMEM;
	ck_assert_int_eq(vhost_dev_reset(dev), -ENOMEM);
	fk->fail_request = 0;
	FAILS(vhost_dev_mem_remove(dev, IOVA, SIZE), EPERM, VHOST_ERR_NOT_OWNER, "reset");
	OK(vhost_dev_reset(dev));
	OK(vhost_dev_mem_remove(dev, IOVA, SIZE));
}
END_TEST

static int miss_in_transaction(vhost_dev_t *d, uint64_t iova, uint32_t perm,
			       struct vhost_iotlb_entry *ret, void *opaque)
{
	(void)iova;
	(void)perm;
	(void)opaque;
	ck_assert_int_eq(vhost_dev_cancel(d), -EBUSY);
	ck_assert_int_eq(vhost_dev_commit(d), -EBUSY);
	*ret = (struct vhost_iotlb_entry){ .iova = IOVA, .size = SIZE, .target = IOVA, .perm = 3 };
	return 0;
}

START_TEST(a_transaction_is_not_ended_by_what_its_calls_run)
{
	events.iotlb_miss = miss_in_transaction;
	prepare(F_VERSION_1 | F_ACCESS_PLATFORM);
	OK(vhost_dev_begin(dev));
	OK(vhost_dev_start(dev));
	OK(vhost_dev_commit(dev));
	ck_assert(runs());
}
END_TEST

static unsigned int dones;

static void done_again(vhost_dev_t *d, int status, void *opaque)
{
	(void)status;
	(void)opaque;
	if (++dones > 100)
		return;
	OK(vhost_dev_begin(d));
	OK(vhost_dev_commit_async(d, done_again, NULL));
}

START_TEST(transactions_without_end_are_done_one_by_one)
{
	prepare(F_VERSION_1);
	dones = 0;
	OK(vhost_dev_begin(dev));
	OK(vhost_dev_commit_async(dev, done_again, NULL));
	ck_assert(readable());
	OK(vhost_dev_process(dev));
	ck_assert_uint_eq(dones, 1);
	ck_assert(readable());
	OK(vhost_dev_process(dev));
	ck_assert_uint_eq(dones, 2);
	ck_assert_int_eq(vhost_dev_get_timeout(dev), 0);
	dones = 100;
}
END_TEST

/* Else the kernel serves it again, in memory that may be another's. */
START_TEST(scsi_forgets_the_queues_of_before_a_reset)
{
	prepare_and_start(F_VERSION_1);
	OK(vhost_dev_reset(dev));
	OK(vhost_dev_set_features(dev, F_VERSION_1));
	OK(set_up(0));
	OK(vhost_dev_start(dev));
	ck_assert_uint_ne(fk->vqs[0].addr.desc, 0);
	ck_assert_uint_eq(fk->vqs[2].addr.desc, 0);
	ck_assert_int_eq(fk->vqs[2].kick, -1);
	ck_assert_int_eq(fk->vqs[2].call, -1);
}
END_TEST

START_TEST(with_an_iotlb_the_queues_pause_for_the_log)
{
	prepare_and_start(F_VERSION_1 | F_ACCESS_PLATFORM);
	OK(vhost_dev_log_start(dev));
	fake_kernel_expect(fk,
		"SET_LOG_BASE log\nNET_SET_BACKEND 0 -1\nNET_SET_BACKEND 1 -1\n"
		"SET_FEATURES 0x304000000\nIOTLB update 0x10000+0x10000=mem+0x0 rw\n"
		"SET_VRING_ADDR 0 0x10000 0x11000 0x12000 log 0x12000\n"
		"SET_VRING_ADDR 1 0x13000 0x14000 0x15000 log 0x15000\n"
		"NET_SET_BACKEND 0 fd\nNET_SET_BACKEND 1 fd\n");
	signals(kick[0]);
	OK(vhost_dev_log_stop(dev));
	ck_assert_uint_eq(fk->features[0], F_VERSION_1 | F_ACCESS_PLATFORM);
	ck_assert_uint_eq(fk->vqs[0].addr.flags, 0);
	ck_assert(runs());
}
END_TEST

START_TEST(a_log_that_is_on_is_kept_by_a_start_and_features)
{
	prepare(F_VERSION_1);
	OK(vhost_dev_log_start(dev));
	OK(vhost_dev_set_features(dev, F_VERSION_1));
	ck_assert_uint_eq(fk->features[0], F_VERSION_1 | KV_F_LOG_ALL);
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), F_VERSION_1);
	OK(vhost_dev_start(dev));
	ck_assert_uint_eq(fk->vqs[0].addr.flags, KV_VRING_F_LOG);
	ck_assert_uint_eq(fk->vqs[1].addr.log, 0x15000);
}
END_TEST

START_TEST(the_log_address_may_be_another)
{
	struct vhost_vq_config c = queue(0);

	prepare(F_VERSION_1);
	c.log = 0x1f000;
	OK(vhost_dev_vq_setup(dev, 0, &c, sizeof(c)));
	OK(vhost_dev_log_start(dev));
	OK(vhost_dev_start(dev));
	ck_assert_uint_eq(fk->vqs[0].addr.log, 0x1f000);
}
END_TEST

START_TEST(the_log_has_an_eventfd_of_its_own)
{
	prepare_and_start(F_VERSION_1);
	OK(vhost_dev_log_set_fd(dev, err));
	fake_kernel_signal(fk->log_fd);
	ck_assert_uint_eq(signals(err), 1);
}
END_TEST

START_TEST(there_is_no_log_where_the_kernel_has_none)
{
	fk->offers[0] &= ~KV_F_LOG_ALL;
	prepare_and_start(F_VERSION_1);
	ck_assert_uint_eq(cap(VHOST_CAP_LOG), 0);
	fake_kernel_forget(fk);
	FAILS(vhost_dev_log_start(dev), ENOTSUP, VHOST_ERR_UNSUPPORTED, "log");
	fake_kernel_expect(fk, "");
}
END_TEST

/* Whatever fails: the kernel writes to no log that is gone. */
START_TEST(a_log_that_cannot_be_turned_on_is_written_by_nobody)
{
	static const unsigned long requests[] = {
		KV_SET_LOG_BASE, KV_SET_FEATURES, KV_SET_VRING_ADDR, KV_SET_VRING_ADDR,
	};
	uint64_t features = F_VERSION_1 | (_i >= 4 ? F_ACCESS_PLATFORM : 0);

	prepare_and_start(features);
	fk->fail_request = requests[_i % 4];
	fk->fail_nth = _i % 4 == 3 ? 2 : 1;
	fk->fail_errno = EIO;
	ck_assert_int_eq(vhost_dev_log_start(dev), -EIO);
	ck_assert_ptr_nonnull(strstr(vhost_dev_error(dev), fake_kernel_request(fk->fail_request)));
	ck_assert_uint_eq(fk->features[0], features);
	ck_assert_uint_eq(fk->vqs[0].addr.flags, 0);
	ck_assert_uint_eq(fk->vqs[1].addr.flags, 0);
	ck_assert_uint_eq(vhost_dev_log_get_size(dev), 0);
	ck_assert(runs());
	OK(vhost_dev_log_start(dev));
	ck_assert(runs());
}
END_TEST

/* ---------------------------------------------------------- transactions, events */

START_TEST(the_calls_of_a_transaction_act_at_once)
{
	open_it();
	fake_kernel_forget(fk);
	OK(vhost_dev_begin(dev));
	OK(vhost_dev_set_features(dev, F_VERSION_1));
	OK(vhost_dev_mem_add_mem(dev, mem));
	fake_kernel_expect(fk, "GET_FEATURES\nSET_FEATURES 0x100000000\n" TABLE);
	OK(vhost_dev_commit(dev));
	fake_kernel_expect(fk, "");
}
END_TEST

static unsigned int done_calls;
static int done_status;

static void on_done(vhost_dev_t *d, int status, void *opaque)
{
	(void)d;
	(void)opaque;
	done_calls++;
	done_status = status;
}

START_TEST(a_transaction_without_waiting_completes_in_process)
{
	done_calls = 0;
	open_it();
	ck_assert(!readable());
	OK(vhost_dev_begin(dev));
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(vhost_dev_commit_async(dev, on_done, NULL));
	ck_assert_uint_eq(done_calls, 0);
	ck_assert(readable());
	OK(vhost_dev_process(dev));
	ck_assert_uint_eq(done_calls, 1);
	ck_assert_int_eq(done_status, 0);
	ck_assert(!readable());
}
END_TEST

static unsigned int connected_calls;

static void on_connected(vhost_dev_t *d, int status, void *opaque)
{
	(void)opaque;
	ck_assert_ptr_eq(d, dev);
	ck_assert_int_eq(status, 0);
	connected_calls++;
}

START_TEST(a_device_opened_without_waiting_is_ready_and_says_so)
{
	connected_calls = 0;
	events.connected = on_connected;
	OK(open_flags(VHOST_OPEN_NONBLOCK));
	ck_assert_uint_eq(connected_calls, 0);
	ck_assert_int_eq(vhost_dev_get_timeout(dev), 0);
	OK(vhost_dev_set_features(dev, F_VERSION_1));
	ck_assert(readable());
	OK(vhost_dev_process(dev));
	ck_assert_uint_eq(connected_calls, 1);
	OK(vhost_dev_process(dev));
	ck_assert_uint_eq(connected_calls, 1);
	ck_assert_int_eq(vhost_dev_get_timeout(dev), -1);
	ck_assert(!readable());
}
END_TEST

/* Our own driver's side, with a device that does nothing: one look is enough. */
START_TEST(k19_a_ring_without_progress_keeps_nobody_busy)
{
	struct vhost_virtq_opts opts = { .size = 8, .features = F_VERSION_1 };
	struct vhost_sg sg = { .iova = IOVA + 0xf000, .len = 64 };
	struct vhost_virtq_req req = { .sg = &sg, .in = 1 };
	struct vhost_virtq_layout layout;
	struct vhost_virtq_done done;
	vhost_virtq_t *vq;

	open_it();
	OK(vhost_dev_set_features(dev, F_VERSION_1));
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(vhost_virtq_new(mem, &opts, sizeof(opts), &vq));
	OK(vhost_dev_vq_attach(dev, 0, vq));
	OK(vhost_net_set_backend(dev, 0, tap[0]));
	ck_assert_int_eq(vhost_virtq_add(vq, &req, 1), 1);
	OK(vhost_dev_start(dev));
	vhost_virtq_layout(vq, &layout, sizeof(layout));
	ck_assert_uint_eq(signals(layout.kick_fd), 1);
	ck_assert(!readable());
	OK(vhost_dev_process(dev));
	ck_assert_int_eq(vhost_virtq_set_notify(vq, true), 0);
	ck_assert_int_eq(vhost_virtq_get(vq, &done, 1), 0);
	ck_assert_int_eq(vhost_virtq_set_notify(vq, true), 0);
	ck_assert_uint_eq(signals(layout.kick_fd), 0);
	OK(vhost_dev_stop(dev));
	vhost_virtq_unref(vq);
}
END_TEST

static unsigned int traced;
static char trace_text[16384];

static void on_trace(const struct vhost_trace_event *event, void *opaque)
{
	size_t used = strlen(trace_text);

	ck_assert_ptr_eq(opaque, &traced);
	ck_assert_uint_eq(event->channel, VHOST_TRACE_KERNEL);
	ck_assert_str_ne(event->name, "?");
	snprintf(trace_text + used, sizeof(trace_text) - used, "%s\n", event->text);
	traced++;
}

START_TEST(each_call_is_traced)
{
	struct vhost_dev_opts opts = { .trace = on_trace, .trace_opaque = &traced };

	traced = 0;
	trace_text[0] = 0;
	OK(open_with(&opts));
	ck_assert_uint_eq(traced, fk->calls);
	OK(vhost_dev_set_features(dev, F_VERSION_1 | F_ACCESS_PLATFORM));
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(set_up(0));
	OK(vhost_net_set_backend(dev, 0, tap[0]));
	OK(vhost_dev_start(dev));
	ck_assert_uint_eq(traced, fk->calls);
	fake_kernel_push_miss(fk, KV_MSG_V2, 0x18123, 1);
	OK(vhost_dev_process(dev));
	OK(vhost_dev_stop(dev));
	ck_assert_uint_eq(traced, fk->calls);
	ck_assert_ptr_nonnull(strstr(trace_text, "SET_VRING_NUM"));
	ck_assert_ptr_nonnull(strstr(trace_text, "IOTLB_MISS"));
	fk->fail_request = KV_SET_MEM_TABLE;
	fk->fail_errno = EFAULT;
	ck_assert_int_lt(vhost_dev_mem_remove(dev, IOVA, SIZE), 0);
	ck_assert_ptr_nonnull(strstr(trace_text, strerror(EFAULT)));
}
END_TEST

/* -------------------------------------------------------------- opening by a path */

static const struct {
	const char *path;
	int error;
	int kind;
	const char *words;
} open_failures[] = {
	{ "/dev/vhost-net", ENOENT, VHOST_ERR_CONNECT, "modprobe vhost_net" },
	{ "/dev/vhost-vsock", ENODEV, VHOST_ERR_CONNECT, "modprobe vhost_vsock" },
	{ "/dev/vhost-scsi", ENXIO, VHOST_ERR_CONNECT, "modprobe vhost_scsi" },
	{ "/dev/vhost-vdpa-3", ENOENT, VHOST_ERR_CONNECT, "modprobe vhost_vdpa" },
	{ "/dev/vhost-net", EACCES, VHOST_ERR_PERMISSION, "permission" },
	{ "/dev/vhost-net", EPERM, VHOST_ERR_PERMISSION, "permission" },
	{ "/dev/vhost-vdpa-0", EBUSY, VHOST_ERR_IN_USE, "one user" },	/* K12 */
	{ "/dev/vhost-net", EMFILE, VHOST_ERR_CONNECT, "/dev/vhost-net" },
};

START_TEST(an_opening_that_fails_says_what_would_help)
{
	struct vhost_dev_opts opts = { 0 };

	fk->open_errno = open_failures[_i].error;
	ck_assert_int_eq(kdev_open(open_failures[_i].path, open_failures[_i].path, &opts, &events,
				   &dev), -open_failures[_i].error);
	ck_assert_ptr_null(dev);
	ck_assert_int_eq(vhost_last_error_kind(), open_failures[_i].kind);
	ck_assert_msg(strstr(vhost_last_error(), open_failures[_i].words) &&
		      strstr(vhost_last_error(), open_failures[_i].path), "%s", vhost_last_error());
}
END_TEST

START_TEST(what_is_no_character_device_is_none_of_the_kernel_s)
{
	struct vhost_dev_opts opts = { 0 };

	FAILS(kdev_open("/dev/vhost-net", "/dev/vhost-net", &opts, &events, &dev), ENOTTY,
	      VHOST_ERR_ARGUMENT, "/dev/vhost-net");
	FAILS(kdev_open_fd("fd:7", err, &opts, &events, &dev), ENOTTY, VHOST_ERR_ARGUMENT, "fd:7");
	ck_assert_int_eq(kdev_open_fd("fd:9999", 9999, &opts, &events, &dev), -EBADF);
	fake_kernel_expect(fk, "OPEN /dev/vhost-net\n");
}
END_TEST

START_TEST(a_scsi_interface_of_another_version_is_refused)
{
	fk->fail_request = KV_SCSI_GET_ABI_VERSION;
	fk->fail_errno = EIO;
	FAILS(open_flags(0), EIO, VHOST_ERR_OTHER, "SCSI_GET_ABI_VERSION");
}
END_TEST

/* ------------------------------------------------------- each call failing in turn */

static bool failed_in_reset;

/* All that a device does in its life; the first error, and which step had it. */
static int life(const char **step)
{
	struct vhost_iotlb_entry entry = {
		.iova = ABOVE, .size = 0x1000, .target = IOVA, .perm = 3,
	};
	uint64_t features = F_VERSION_1, words[2];
	uint32_t id;
	unsigned int i;
	int r, mode;

#define STEP(expr) do { \
	*step = #expr; \
	r = (expr); \
	if (r < 0) \
		return r; \
} while (0)
	STEP(open_flags(fk->kind == KDEV_NET ? VHOST_OPEN_WORKER_TASK : 0));
	STEP(vhost_dev_get_features_array(dev, words, 2));
	if (fk->kind != KDEV_SCSI) {
		features |= F_ACCESS_PLATFORM;
		STEP(vhost_worker_get_mode(dev, &mode));
		STEP(vhost_worker_set_busyloop(dev, 0, 50));
		STEP(vhost_worker_get_busyloop(dev, 0, &id));
	}
	STEP(vhost_dev_set_features(dev, features));
	STEP(vhost_dev_mem_add_mem(dev, mem));
	for (i = 0; i < n_queues(); i++)
		STEP(set_up(i));
	if (fk->kind == KDEV_NET) {
		STEP(vhost_net_set_backend(dev, 0, tap[0]));
		STEP(vhost_net_set_backend(dev, 1, tap[0]));
	} else if (fk->kind == KDEV_VSOCK) {
		STEP(vhost_vsock_set_cid(dev, 42));
	} else {
		STEP(vhost_scsi_set_endpoint(dev, WWPN, 1));
		STEP(vhost_worker_new(dev, &id));
		STEP(vhost_worker_attach(dev, 0, id));
		STEP(vhost_worker_get(dev, 0, &id));
	}
	STEP(vhost_dev_start(dev));
	if (fk->kind != KDEV_SCSI) {
		STEP(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
		STEP(vhost_dev_iotlb_invalidate(dev, ABOVE, 0x1000, 0));
		fake_kernel_push_miss(fk, KV_MSG_V2, 0x18123, 1);
		STEP(vhost_dev_process(dev));
	}
	STEP(vhost_dev_log_start(dev));
	STEP(vhost_dev_log_set_fd(dev, err));
	STEP(vhost_dev_log_stop(dev));
	if (fk->kind == KDEV_NET) {
		STEP(vhost_dev_vq_enable(dev, 0, 0));
		STEP(vhost_dev_vq_enable(dev, 0, 1));
		STEP(vhost_net_set_backend(dev, 0, tap[1]));
	}
	STEP(vhost_dev_vq_set_call(dev, 0, call[1]));
	STEP(vhost_dev_stop(dev));
	STEP(vhost_dev_start(dev));
	failed_in_reset = !fk->failed;
	STEP(vhost_dev_reset(dev));
	failed_in_reset &= fk->failed != NULL;
	STEP(vhost_dev_mem_remove(dev, IOVA, SIZE));
#undef STEP
	return 0;
}

/*
 * Is the device left in order? Its queues count as stopped, and are: unless what failed
 * is the very call that takes one back.
 */
static void check_left(const char *step)
{
	bool stopping = strstr(fk->failed, "SET_BACKEND") || strstr(fk->failed, "SET_RUNNING") ||
			strstr(fk->failed, "CLEAR_ENDPOINT");

	if (dev && vhost_dev_get_state(dev) == VHOST_DEV_STARTED) {
		OK(vhost_dev_stop(dev));
		ck_assert_msg(!runs(), "%s fails in %s: it runs after a stop", fk->failed, step);
	}
	if (dev)
		ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	ck_assert_msg(!dev || stopping || !runs(), "%s fails in %s: it runs still", fk->failed,
		      step);
}

/* With the failure of a call nothing changes but that. */
static bool fail_one(enum kdev_kind kind, unsigned int n, int error)
{
	const char *step = "";
	char queue_text[16];
	int r;

	begin(kind);
	fk->fail_at = n;
	fk->fail_errno = error;
	r = life(&step);
	if (!fk->failed) {
		ck_assert_msg(r == 0, "%s: %d: %s", step, r, vhost_last_error());
		ck_assert(!runs());
		end();
		return false;
	}
	/* the answer to a miss has nobody to tell; a reset does not mind a stop; and this kernel has no such call */
	if (r == 0)
		ck_assert_msg(strcmp(fk->failed, "IOTLB") == 0 || failed_in_reset ||
			      (error != EIO && (strcmp(fk->failed, "GET_BACKEND_FEATURES") == 0 ||
						strcmp(fk->failed, "GET_FEATURES_ARRAY") == 0)),
			      "%s fails, and nobody is told", fk->failed);
	if (r < 0 && error == EIO) {
		ck_assert_msg(r == -EIO, "%s fails in %s: %d", fk->failed, step, r);
		ck_assert_msg(strcmp(fk->failed, "IOTLB") == 0 || strcmp(fk->failed, "READ") == 0 ||
			      strstr(vhost_last_error(), fk->failed) ||
			      strstr(vhost_last_error(), "worker"),
			      "%s fails in %s: %s", fk->failed, step, vhost_last_error());
		snprintf(queue_text, sizeof(queue_text), "queue %d:", fk->failed_index);
		ck_assert_msg(fk->failed_index < 0 || strstr(vhost_last_error(), queue_text),
			      "%s of queue %d fails in %s: %s", fk->failed, fk->failed_index, step,
			      vhost_last_error());
	}
	if (r < 0)
		ck_assert_msg(strlen(vhost_last_error()) > 10, "%s: %s", step, vhost_last_error());
	check_left(step);
	end();
	return true;
}

static const struct {
	enum kdev_kind kind;
	int error;
} turns[] = {
	{ KDEV_NET, EIO }, { KDEV_VSOCK, EIO }, { KDEV_SCSI, EIO },
	{ KDEV_NET, ENOMEM }, { KDEV_VSOCK, EFAULT }, { KDEV_SCSI, ENODEV },
	{ KDEV_NET, EPERM }, { KDEV_NET, EBUSY }, { KDEV_NET, ENOBUFS },
};

START_TEST(each_call_fails_in_turn)
{
	unsigned int n;

	for (n = 1; fail_one(turns[_i].kind, n, turns[_i].error); n++)
		ck_assert_uint_lt(n, 1000);
	ck_assert_uint_gt(n, 30);
}
END_TEST

/* From some point on all fail: a handle can still be let go of. */
START_TEST(all_calls_fail_from_some_point_on)
{
	const char *step;
	unsigned int n;

	for (n = 1; n < 1000; n++) {
		bool more;

		begin(turns[_i].kind);
		fk->fail_at = n;
		fk->fail_on = true;
		fk->fail_errno = ENODEV;
		life(&step);
		more = fk->failed;
		if (dev) {
			vhost_dev_stop(dev);
			ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
		}
		end();
		if (!more)
			return;
	}
	ck_abort_msg("it never ends");
}
END_TEST

/* ----------------------------------------------------------------------- the suite */

#define LOOP(tc, test, array) tcase_add_loop_test(tc, test, 0, (int)ARRAY_SIZE(array))

int main(void)
{
	Suite *s = suite_create("kernel");
	TCase *net = tcase_create("net"), *vsock = tcase_create("vsock");
	TCase *scsi = tcase_create("scsi"), *own = tcase_create("each");
	SRunner *runner;
	int failed;

	if (sysconf(_SC_PAGESIZE) != 4096) {
		printf("skip: the addresses here are made for pages of 4096 bytes\n");
		return 77;
	}
	tcase_add_checked_fixture(net, begin_net, end);
	tcase_add_checked_fixture(vsock, begin_vsock, end);
	tcase_add_checked_fixture(scsi, begin_scsi, end);
	tcase_set_timeout(own, 120);

	tcase_add_test(net, opening_owns_the_device_and_takes_the_back_end_features);
	tcase_add_test(net, a_kernel_without_back_end_features_is_taken_as_it_is);
	tcase_add_test(net, back_end_features_that_are_not_known_are_not_taken);
	tcase_add_test(net, net_is_brought_up_in_this_order);
	tcase_add_test(vsock, vsock_is_brought_up_in_this_order);
	tcase_add_test(scsi, scsi_is_brought_up_in_this_order);
	tcase_add_test(net, an_error_eventfd_is_sent_where_there_is_one_and_taken_back);
	tcase_add_test(net, net_stops_and_goes_on_where_it_stopped);
	tcase_add_test(vsock, vsock_stops_and_goes_on_where_it_stopped);
	tcase_add_test(scsi, scsi_stops_and_goes_on_where_it_stopped);
	tcase_add_test(scsi, scsi_forgets_the_queues_of_before_a_reset);
	tcase_add_test(net, a_device_is_suspended_by_taking_its_queues_and_resumed);
	tcase_add_test(net, net_is_reset_by_giving_up_its_owner_and_keeps_its_memory);
	tcase_add_loop_test(own, vsock_and_scsi_forget_their_features_in_a_reset, 0, 2);
	tcase_add_test(net, status_0_stops_a_device_that_runs);
	tcase_add_test(net, a_device_that_is_dropped_while_it_runs_leaves_nothing);

	tcase_add_test(net, the_transport_s_own_bits_are_not_features);
	tcase_add_test(vsock, bit_27_is_a_feature_of_vsock);
	tcase_add_test(net, the_header_bit_goes_with_the_features_when_it_is_asked_for);
	tcase_add_test(net, features_past_64_go_by_the_array);
	tcase_add_test(net, k16_features_past_64_are_none_on_a_kernel_without_the_array);
	tcase_add_test(net, features_that_the_kernel_refuses_are_not_recorded);
	tcase_add_test(net, capabilities_are_those_of_the_kind);
	tcase_add_test(scsi, scsi_has_workers_and_no_iotlb);

	tcase_add_test(net, each_change_of_memory_is_a_new_table);
	tcase_add_test(net, memory_needs_an_address_and_no_file);
	tcase_add_test(net, memory_that_the_kernel_refuses_is_not_recorded);
	tcase_add_test(net, k6_more_regions_than_the_module_s_parameter_says);
	tcase_add_test(net, k6_more_regions_than_the_capability_says);
	tcase_add_test(net, k7_a_region_that_is_empty_or_wraps_is_refused_first);

	tcase_add_test(net, a_queue_of_net_is_enabled_and_disabled_while_it_runs);
	tcase_add_test(net, a_queue_of_net_that_is_disabled_is_not_attached_at_the_start);
	tcase_add_test(vsock, vsock_cannot_leave_a_queue_disabled);
	tcase_add_test(vsock, vsock_needs_both_queues);
	tcase_add_test(net, the_call_eventfd_is_exchanged_while_it_runs);
	tcase_add_test(net, a_kick_is_the_eventfd_s);
	tcase_add_test(net, the_byte_order_of_rings_where_the_kernel_has_it);
	tcase_add_test(net, k16_the_byte_order_where_the_kernel_has_it_not);
	tcase_add_loop_test(net, k3_a_size_that_cannot_be_is_refused_first, 0, 5);
	tcase_add_test(net, k3_a_size_is_not_changed_while_it_runs);
	LOOP(net, k3_k4_k5_k8_k9_what_the_kernel_refuses_at_the_start_is_named, refusals);
	tcase_add_test(net, k4_a_split_ring_s_base_has_16_bits);
	tcase_add_test(net, k8_rings_outside_of_memory_are_found_at_the_start);
	tcase_add_test(net, k9_a_queue_that_is_not_there_is_refused_first);
	tcase_add_test(net, k10_no_descriptor_is_minus_one);
	tcase_add_test(net, k10_descriptor_0_is_one);
	tcase_add_test(net, a_base_that_cannot_be_is_not_believed);

	tcase_add_test(net, net_does_not_start_without_a_tap);
	tcase_add_test(net, a_tap_is_exchanged_while_it_runs);
	tcase_add_test(net, a_tap_that_is_none_is_refused_and_the_old_one_stays);
	tcase_add_test(net, the_header_is_not_changed_while_it_runs);
	tcase_add_test(vsock, k11_a_cid_is_checked_and_one_in_use_is_named);
	tcase_add_test(scsi, an_endpoint_is_checked_and_needed);
	tcase_add_test(scsi, a_target_that_is_not_there_or_in_use_is_named);
	tcase_add_test(scsi, scsi_has_its_version_and_its_missed_events);
	tcase_add_loop_test(own, a_call_of_another_kind_of_device_is_not_supported, KDEV_NET,
			    KDEV_VDPA + 1);

	tcase_add_test(scsi, workers_are_made_attached_read_back_and_freed);
	tcase_add_test(scsi, k17_workers_that_a_kernel_has_not);
	LOOP(scsi, k16_each_errno_for_no_such_call_is_not_supported, no_such);
	tcase_add_test(net, busy_polling_is_set_and_read_back);
	tcase_add_loop_test(net, the_kind_of_worker_is_chosen_before_the_device_is_owned, 0, 2);
	tcase_add_test(net, a_kind_of_worker_that_cannot_be_chosen_fails_the_opening);

	tcase_add_test(net, k2_a_device_that_has_an_owner_is_in_use);
	tcase_add_test(net, k2_an_opening_that_fails_early_closes_only_its_own);
	tcase_add_test(net, k2_a_call_from_another_process_is_named);

	tcase_add_test(net, rings_are_translated_before_the_queues_are_attached);
	tcase_add_test(net, rings_are_translated_by_the_callback_before_the_queues_are_attached);
	tcase_add_test(net, a_ring_without_a_translation_fails_the_start);
	tcase_add_test(net, a_miss_is_answered_from_the_map_where_there_is_no_callback);
	tcase_add_test(net, a_miss_is_answered_by_the_callback);
	tcase_add_test(net, a_miss_that_the_callback_refuses_gets_no_answer);
	tcase_add_test(net, a_miss_outside_of_the_memory_gets_no_answer);
	LOOP(net, an_answer_that_is_none_is_not_passed_on, wrong_answers);
	tcase_add_test(net, a_fault_is_told);
	tcase_add_test(net, k15_the_first_layout_is_for_a_kernel_without_the_second);
	tcase_add_test(net, k15_the_second_layout_where_the_kernel_has_it);
	tcase_add_test(net, there_is_no_iotlb_without_access_platform);
	tcase_add_test(net, k15_a_message_that_is_written_in_part_is_an_error);
	LOOP(net, k15_a_message_that_the_kernel_does_not_send_does_no_harm, odd_messages);
	tcase_add_test(net, a_flood_of_misses_is_taken_in_portions);
	tcase_add_test(net, a_callback_may_drop_the_device);
	tcase_add_test(net, a_callback_may_stop_the_device);
	tcase_add_test(net, a_descriptor_of_somebody_else_s_may_block);
	tcase_add_test(net, k18_what_a_queue_looks_at_is_not_moved_while_it_runs);

	tcase_add_test(net, the_log_is_turned_on_and_off_while_it_runs);
	tcase_add_test(net, with_an_iotlb_the_queues_pause_for_the_log);
	tcase_add_test(net, memory_that_goes_takes_its_translations_along);
	tcase_add_test(net, translations_that_were_given_unasked_count);
	tcase_add_test(net, memory_beyond_the_log_is_refused);
	tcase_add_test(net, a_start_that_fails_keeps_what_one_queue_did);
	tcase_add_test(net, a_stop_that_fails_is_made_up_for_by_the_next_start);
	tcase_add_test(net, a_reset_keeps_the_log);
	tcase_add_test(net, a_reset_that_could_not_be_finished_is_finished_by_the_next);
	tcase_add_test(net, a_transaction_is_not_ended_by_what_its_calls_run);
	tcase_add_test(net, transactions_without_end_are_done_one_by_one);
	tcase_add_test(net, a_log_that_is_on_is_kept_by_a_start_and_features);
	tcase_add_test(net, the_log_address_may_be_another);
	tcase_add_test(net, the_log_has_an_eventfd_of_its_own);
	tcase_add_test(net, there_is_no_log_where_the_kernel_has_none);
	tcase_add_loop_test(net, a_log_that_cannot_be_turned_on_is_written_by_nobody, 0, 8);

	tcase_add_test(net, the_calls_of_a_transaction_act_at_once);
	tcase_add_test(net, a_transaction_without_waiting_completes_in_process);
	tcase_add_test(net, a_device_opened_without_waiting_is_ready_and_says_so);
	tcase_add_test(net, k19_a_ring_without_progress_keeps_nobody_busy);
	tcase_add_test(net, each_call_is_traced);

	LOOP(net, an_opening_that_fails_says_what_would_help, open_failures);
	tcase_add_test(net, what_is_no_character_device_is_none_of_the_kernel_s);
	tcase_add_test(scsi, a_scsi_interface_of_another_version_is_refused);

	LOOP(own, each_call_fails_in_turn, turns);
	tcase_add_loop_test(own, all_calls_fail_from_some_point_on, 0, 3);

	suite_add_tcase(s, net);
	suite_add_tcase(s, vsock);
	suite_add_tcase(s, scsi);
	suite_add_tcase(s, own);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
