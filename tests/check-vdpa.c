/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * vDPA, with a kernel and a device that are made up: among it what no simulator of the
 * kernel's has (doorbells, a limited range of addresses, groups of rings, a device that
 * fails, or goes away).
 */
#include <check.h>
#include <endian.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <vhost/vdpa.h>
#include <vhost/vhost.h>

#include "kernel-bench.h"

#define FEATURES (1ull << VIRTIO_BIT_VERSION_1 | 1ull << VIRTIO_BIT_ACCESS_PLATFORM)
#define BF(name) (1ull << KV_BF_##name)
#define NEEDS_RESET 64u

/* ------------------------------------------------------------------- the bench */

static void begin(void)
{
	bench_begin(KDEV_VDPA);
}

static void open_it(void)
{
	OK(open_flags(0));
	fake_kernel_forget(fk);
}

static void prepare(void)
{
	open_it();
	OK(vhost_dev_set_features(dev, FEATURES));
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(set_up(0));
	OK(set_up(1));
}

static void prepare_and_start(void)
{
	prepare();
	OK(vhost_dev_start(dev));
	fake_kernel_forget(fk);
}

static uint64_t cap(uint32_t which)
{
	uint64_t value = 77;

	OK(vhost_dev_get_cap(dev, which, &value));
	return value;
}

static bool called(const char *what)
{
	return strstr(fake_kernel_log(fk), what) != NULL;
}

/* The used index of a queue's split ring. */
static void set_used(unsigned int i, uint16_t idx)
{
	((uint16_t *)vhost_mem_addr(mem))[(0x2000 + i * 0x3000) / 2 + 1] = htole16(idx);
}

#define VRING(i, base, desc, driver, device) \
	"SET_VRING_NUM " i " 8\n" \
	"SET_VRING_BASE " i " " base "\n" \
	"SET_VRING_ADDR " i " " desc " " driver " " device "\n" \
	"SET_VRING_CALL " i " fd\n" \
	"SET_VRING_KICK " i " fd\n" \
	"VDPA_SET_VRING_ENABLE " i " 1\n"
#define VRING_0(base) VRING("0", base, "0x10000", "0x11000", "0x12000")
#define VRING_1(base) VRING("1", base, "0x13000", "0x14000", "0x15000")
#define FEATURES_OK "VDPA_SET_STATUS 0xb\nVDPA_GET_STATUS\n"
#define DRIVER_OK "VDPA_SET_STATUS 0xf\nVDPA_GET_STATUS\n"
#define SEND_FEATURES "VDPA_SET_STATUS 0x3\nSET_FEATURES 0x300000000\n"
#define MAP "IOTLB update 0x10000+0x10000=mem+0x0 rw\n"
#define UNMAP "IOTLB invalidate 0x10000+0x10000\n"

/* --------------------------------------------------------------------- bring-up */

START_TEST(opening_asks_for_what_the_device_is)
{
	uint64_t offered, acked;

	OK(open_flags(0));
	fake_kernel_expect(fk, "SET_OWNER\nGET_BACKEND_FEATURES\nSET_BACKEND_FEATURES 0x17e\n"
			   "VDPA_GET_DEVICE_ID\nVDPA_GET_VQS_COUNT\nVDPA_GET_VRING_NUM\n"
			   "VDPA_GET_IOVA_RANGE\nVDPA_GET_CONFIG_SIZE\n");
	OK(vhost_dev_get_backend_features(dev, &offered, &acked));
	ck_assert_uint_eq(acked, 0x17e);
	ck_assert_str_eq(vhost_dev_get_transport(dev), "vhost-vdpa");
	ck_assert_uint_eq(cap(VHOST_CAP_DEVICE_ID), 1);
	ck_assert_uint_eq(cap(VHOST_CAP_MAX_QUEUES), 3);
	ck_assert_uint_eq(cap(VHOST_CAP_MAX_QUEUE_SIZE), 256);
	ck_assert_uint_eq(cap(VHOST_CAP_IOVA_FIRST), 0);
	ck_assert_uint_eq(cap(VHOST_CAP_IOVA_LAST), UINT64_MAX - 1);
	ck_assert_uint_eq(cap(VHOST_CAP_CONFIG_MAX), 24);
	ck_assert_uint_eq(cap(VHOST_CAP_MEM_NEEDS_SHARED), 1);
	ck_assert_uint_eq(cap(VHOST_CAP_MEM_NEEDS_ADDR), 1);
	ck_assert_uint_eq(cap(VHOST_CAP_MEM_PINNED), 1);
	ck_assert_uint_eq(cap(VHOST_CAP_STATUS), 1);
	ck_assert_uint_eq(cap(VHOST_CAP_LOG), 0);
	fake_kernel_expect(fk, "");
	ck_assert_uint_eq(cap(VHOST_CAP_GROUPS), 2);
	ck_assert_uint_eq(cap(VHOST_CAP_ADDRESS_SPACES), 2);
}
END_TEST

START_TEST(an_old_kernel_is_taken_as_it_is)
{
	uint32_t value;

	fk->old = true;
	fk->backend_offers = BF(IOTLB_MSG_V2) | BF(IOTLB_BATCH);
	prepare_and_start();
	ck_assert_uint_eq(cap(VHOST_CAP_MAX_QUEUES), 256);
	ck_assert_uint_eq(cap(VHOST_CAP_IOVA_FIRST), 0);
	ck_assert_uint_eq(cap(VHOST_CAP_IOVA_LAST), UINT64_MAX - 1);
	ck_assert_uint_eq(cap(VHOST_CAP_GROUPS), 1);
	ck_assert_uint_eq(cap(VHOST_CAP_ADDRESS_SPACES), 1);
	ck_assert_uint_eq(cap(VHOST_CAP_SUSPEND), 0);
	OK(vhost_vdpa_get_queue_size(dev, 0, &value));
	ck_assert_uint_eq(value, 256);
	FAILS(vhost_vdpa_get_group(dev, 0, &value), ENOTSUP, VHOST_ERR_UNSUPPORTED, "queue 0");
	FAILS(vhost_vdpa_get_desc_group(dev, 0, &value), ENOTSUP, VHOST_ERR_UNSUPPORTED, "queue 0");
}
END_TEST

START_TEST(a_kernel_without_back_end_features_gets_the_first_layout)
{
	fk->has_backend_features = false;
	prepare();
	ck_assert(called("IOTLB v1 update 0x10000+0x10000=mem+0x0 rw\n"));
	OK(vhost_dev_start(dev));
}
END_TEST

START_TEST(the_device_is_brought_up_in_this_order)
{
	open_it();
	OK(vhost_dev_set_features(dev, FEATURES));
	fake_kernel_expect(fk, "GET_FEATURES\n" SEND_FEATURES);
	OK(vhost_dev_mem_add_mem(dev, mem));
	fake_kernel_expect(fk, MAP);
	OK(set_up(0));
	OK(set_up(1));
	fake_kernel_expect(fk, "");
	OK(vhost_dev_start(dev));
	fake_kernel_expect(fk, FEATURES_OK VRING_0("0") VRING_1("0") DRIVER_OK);
	ck_assert_uint_eq(signals(kick[0]), 1);
	ck_assert_uint_eq(signals(kick[1]), 1);
	ck_assert(fk->vqs[0].ready && fk->vqs[1].ready && !fk->vqs[2].ready);
	fake_kernel_signal(fk->vqs[1].call);
	ck_assert_uint_eq(signals(call[1]), 1);
}
END_TEST

START_TEST(features_are_set_again_from_the_beginning)
{
	open_it();
	OK(vhost_dev_set_features(dev, FEATURES));
	OK(vhost_dev_set_status(dev, 0xb));
	fake_kernel_forget(fk);
	OK(vhost_dev_set_features(dev, FEATURES));
	fake_kernel_expect(fk, "VDPA_SET_STATUS 0x0\n" SEND_FEATURES);
	FAILS(vhost_dev_set_features(dev, 1ull << 60), EINVAL, VHOST_ERR_ARGUMENT, "0x1000");
}
END_TEST

START_TEST(features_past_64_are_not_carried)
{
	uint64_t words[2] = { 7, 7 };

	open_it();
	OK(vhost_dev_get_features_array(dev, words, 2));
	ck_assert_uint_eq(words[0], fk->offers[0]);
	ck_assert_uint_eq(words[1], 0);
	words[0] = FEATURES;
	words[1] = 1;
	FAILS(vhost_dev_set_features_array(dev, words, 2), EINVAL, VHOST_ERR_ARGUMENT, "63");
}
END_TEST

START_TEST(what_vdpa_has_not_is_not_supported)
{
	prepare();
	fake_kernel_forget(fk);
	FAILS(vhost_dev_log_start(dev), ENOTSUP, VHOST_ERR_UNSUPPORTED, "log");	/* K12 */
	FAILS(vhost_dev_vq_set_endian(dev, 0, 1), ENOTSUP, VHOST_ERR_UNSUPPORTED, "");
	FAILS(vhost_dev_inflight_enable(dev, 1, 8), ENOTSUP, VHOST_ERR_UNSUPPORTED, "");
	fake_kernel_expect(fk, "");
}
END_TEST

/* ------------------------------------------------------------------------- status */

START_TEST(features_that_the_device_does_not_take_fail_the_start)
{
	prepare();
	fk->keeps_status = 0xff & ~VIRTIO_STATUS_FEATURES_OK;
	fake_kernel_forget(fk);
	FAILS(vhost_dev_start(dev), EREMOTEIO, VHOST_ERR_PEER_REFUSED, "FEATURES_OK");
	fake_kernel_expect(fk, FEATURES_OK "VDPA_SET_STATUS 0x0\n");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	fk->keeps_status = 0xff;
	OK(vhost_dev_start(dev));
}
END_TEST

START_TEST(a_device_that_does_not_keep_driver_ok_did_not_start)
{
	prepare();
	fk->keeps_status = 0xff & ~VIRTIO_STATUS_DRIVER_OK;
	FAILS(vhost_dev_start(dev), EIO, VHOST_ERR_OTHER, "did not start");
	ck_assert_uint_eq(fk->status, 0);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	fk->keeps_status = 0xff;
	fake_kernel_forget(fk);
	OK(vhost_dev_start(dev));
	fake_kernel_expect(fk, SEND_FEATURES FEATURES_OK VRING_0("0") VRING_1("0") DRIVER_OK);
}
END_TEST

START_TEST(a_device_that_fails_at_its_start_is_named)
{
	prepare();
	fk->adds_status = _i ? 128 : NEEDS_RESET;
	FAILS(vhost_dev_start(dev), EIO, VHOST_ERR_NEEDS_RESET, "failed");
	ck_assert_uint_eq(fk->status, 0);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	fk->adds_status = 0;
	OK(vhost_dev_start(dev));
}
END_TEST

static unsigned int reset_events, config_events;

static void on_needs_reset(vhost_dev_t *d, void *opaque)
{
	(void)opaque;
	ck_assert_ptr_eq(d, dev);
	reset_events++;
}

static void on_config(vhost_dev_t *d, void *opaque)
{
	(void)opaque;
	ck_assert_ptr_eq(d, dev);
	config_events++;
}

static bool readable(void)
{
	struct pollfd p = { .fd = vhost_dev_get_fd(dev), .events = POLLIN };

	ck_assert_int_ge(p.fd, 0);
	return poll(&p, 1, 0) == 1;
}

START_TEST(a_config_interrupt_is_an_event)
{
	events.config_changed = on_config;
	events.needs_reset = on_needs_reset;
	config_events = reset_events = 0;
	prepare_and_start();
	ck_assert(!readable());
	fake_kernel_expect(fk, "VDPA_SET_CONFIG_CALL fd\n");
	fake_kernel_signal(fk->config_call);
	fake_kernel_signal(fk->config_call);
	ck_assert(readable());
	OK(vhost_dev_process(dev));
	ck_assert_uint_eq(config_events, 1);
	ck_assert_uint_eq(reset_events, 0);
	ck_assert(!readable());
	OK(vhost_dev_process(dev));
	ck_assert_uint_eq(config_events, 1);
}
END_TEST

START_TEST(process_alone_listens_as_well)
{
	events.config_changed = on_config;
	config_events = 0;
	prepare_and_start();
	OK(vhost_dev_process(dev));
	fake_kernel_signal(fk->config_call);
	ck_assert(readable());
	OK(vhost_dev_process(dev));
	ck_assert_uint_eq(config_events, 1);
}
END_TEST

START_TEST(a_device_that_needs_a_reset_says_so_once)
{
	events.needs_reset = on_needs_reset;
	reset_events = 0;
	prepare_and_start();
	ck_assert(!readable());
	fk->status |= NEEDS_RESET;
	fake_kernel_signal(fk->config_call);
	OK(vhost_dev_process(dev));
	ck_assert_uint_eq(reset_events, 1);
	ck_assert_int_eq(vhost_dev_error_kind(dev), VHOST_ERR_NEEDS_RESET);
	ck_assert_ptr_nonnull(strstr(vhost_dev_error(dev), "reset"));
	fake_kernel_signal(fk->config_call);
	OK(vhost_dev_process(dev));
	ck_assert_uint_eq(reset_events, 1);
	/* a stop and a start mend it, and it may fail again */
	OK(vhost_dev_stop(dev));
	OK(vhost_dev_start(dev));
	fk->status |= NEEDS_RESET;
	fake_kernel_signal(fk->config_call);
	OK(vhost_dev_process(dev));
	ck_assert_uint_eq(reset_events, 2);
	OK(vhost_dev_reset(dev));
	ck_assert_uint_eq(fk->status, 0);
}
END_TEST

static void drop_in_event(vhost_dev_t *d, void *opaque)
{
	(void)opaque;
	config_events++;
	dev = vhost_dev_unref(d);
}

START_TEST(an_event_may_drop_the_device)
{
	events.config_changed = drop_in_event;
	config_events = 0;
	prepare_and_start();
	ck_assert(!readable());
	fake_kernel_signal(fk->config_call);
	vhost_dev_process(dev);
	ck_assert_uint_eq(config_events, 1);
	ck_assert_ptr_null(dev);
}
END_TEST

START_TEST(the_config_interrupt_goes_where_the_user_wants_it)
{
	events.config_changed = on_config;
	config_events = 0;
	prepare_and_start();
	ck_assert(!readable());
	fake_kernel_forget(fk);
	OK(vhost_vdpa_set_config_call(dev, err));
	fake_kernel_expect(fk, "VDPA_SET_CONFIG_CALL fd\n");
	fake_kernel_signal(fk->config_call);
	ck_assert_uint_eq(signals(err), 1);
	ck_assert(!readable());
	OK(vhost_dev_process(dev));
	ck_assert_uint_eq(config_events, 0);
	OK(vhost_vdpa_set_config_call(dev, -1));
	fake_kernel_signal(fk->config_call);
	ck_assert_uint_eq(signals(err), 0);
	ck_assert(readable());
	OK(vhost_dev_process(dev));
	ck_assert_uint_eq(config_events, 1);
	ck_assert_int_eq(vhost_vdpa_set_config_call(dev, 9999), -EBADF);
}
END_TEST

START_TEST(status_0_resets_the_device)
{
	uint8_t status;

	prepare_and_start();
	OK(vhost_dev_get_status(dev, &status));
	ck_assert_uint_eq(status, 0xf);
	OK(vhost_dev_set_status(dev, 0));
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	OK(vhost_dev_get_status(dev, &status));
	ck_assert_uint_eq(status, 0);
	fake_kernel_forget(fk);
	OK(vhost_dev_start(dev));
	ck_assert(called(SEND_FEATURES));
}
END_TEST

/* ------------------------------------------------------------------------- config */

START_TEST(config_is_read_and_written_within_its_bounds)
{
	uint8_t buf[32] = { 0 };

	fk->config[20] = 0x5a;
	open_it();
	OK(vhost_dev_get_config(dev, 20, buf, 4));
	ck_assert_uint_eq(buf[0], 0x5a);
	buf[0] = 0xa5;
	OK(vhost_dev_set_config(dev, 23, buf, 1, 0));
	ck_assert_uint_eq(fk->config[23], 0xa5);
	OK(vhost_dev_get_config(dev, 0, buf, 24));
	fake_kernel_expect(fk, "VDPA_GET_CONFIG 20+4\nVDPA_SET_CONFIG 23+1\n"
			   "VDPA_GET_CONFIG 0+24\n");
	FAILS(vhost_dev_get_config(dev, 20, buf, 5), EREMOTEIO, VHOST_ERR_PEER_REFUSED, "24");
	FAILS(vhost_dev_get_config(dev, 24, buf, 1), EREMOTEIO, VHOST_ERR_PEER_REFUSED, "24");
	FAILS(vhost_dev_get_config(dev, UINT32_MAX - 8, buf, 1), EREMOTEIO, VHOST_ERR_PEER_REFUSED,
	      "24");
	FAILS(vhost_dev_set_config(dev, 24, buf, 1, 0), EREMOTEIO, VHOST_ERR_PEER_REFUSED, "24");
	FAILS(vhost_dev_get_config(dev, 0, buf, 25), EINVAL, VHOST_ERR_ARGUMENT, "24");
	FAILS(vhost_dev_get_config(dev, 0, buf, 0), EINVAL, VHOST_ERR_ARGUMENT, "24");
	fake_kernel_expect(fk, "");
	/* what the kernel says has the last word */
	fk->config_size = 16;
	FAILS(vhost_dev_get_config(dev, 12, buf, 8), EREMOTEIO, VHOST_ERR_PEER_REFUSED, "read");
	FAILS(vhost_dev_set_config(dev, 17, buf, 1, 0), EREMOTEIO, VHOST_ERR_PEER_REFUSED,
	      "written");
}
END_TEST

START_TEST(a_device_without_config_has_none)
{
	uint8_t byte;

	fk->config_size = 0;
	open_it();
	ck_assert_uint_eq(cap(VHOST_CAP_CONFIG), 0);
	FAILS(vhost_dev_get_config(dev, 0, &byte, 1), ENOTSUP, VHOST_ERR_UNSUPPORTED, "config");
}
END_TEST

/* ------------------------------------------------------------------------- memory */

static struct vhost_mem_desc piece(uint64_t iova, uint64_t offset, uint64_t size)
{
	struct vhost_mem_desc desc;

	vhost_mem_describe(mem, &desc, sizeof(desc));
	desc.iova = iova;
	desc.addr = (uint8_t *)desc.addr + offset;
	desc.fd_offset += offset;
	desc.size = size;
	return desc;
}

static int add(uint64_t iova, uint64_t offset, uint64_t size, uint32_t flags)
{
	struct vhost_mem_desc desc = piece(iova, offset, size);

	desc.flags = flags;
	return vhost_dev_mem_add(dev, &desc, sizeof(desc));
}

START_TEST(k20_memory_outside_of_the_range_is_refused_first)
{
	fk->range = (struct kv_iova_range){ 0x1000, 0xffffffff };
	open_it();
	ck_assert_uint_eq(cap(VHOST_CAP_IOVA_FIRST), 0x1000);
	ck_assert_uint_eq(cap(VHOST_CAP_IOVA_LAST), 0xffffffff);
	fake_kernel_forget(fk);
	FAILS(add(0, 0, 0x2000, 0), EINVAL, VHOST_ERR_LIMIT, "0x1000 to 0xffffffff");
	FAILS(add(0xfffff000, 0, 0x2000, 0), EINVAL, VHOST_ERR_LIMIT, "0x1000 to 0xffffffff");
	FAILS(add(0x100000000, 0, 0x1000, 0), EINVAL, VHOST_ERR_LIMIT, "0x1000 to 0xffffffff");
	fake_kernel_expect(fk, "");
	OK(add(0x1000, 0, 0x1000, 0));
	OK(add(0xfffff000, 0x1000, 0x1000, 0));
	fake_kernel_expect(fk, "IOTLB update 0x1000+0x1000=mem+0x0 rw\n"
			   "IOTLB update 0xfffff000+0x1000=mem+0x1000 rw\n");
}
END_TEST

START_TEST(k20_translations_outside_of_the_range_are_refused_first)
{
	struct vhost_iotlb_entry entry = { .size = 0x1000, .target = 0x4000, .perm = 3 };

	fk->range = (struct kv_iova_range){ 0x1000, 0xffffffff };
	open_it();
	/* memory that is only referred to may stand anywhere */
	OK(add(0, 0, 0x8000, VHOST_MEM_UNMAPPED));
	fake_kernel_forget(fk);
	entry.iova = 0;
	FAILS(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), EINVAL, VHOST_ERR_LIMIT,
	      "0x1000");
	entry.iova = 0x100000000;
	FAILS(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), EINVAL, VHOST_ERR_LIMIT,
	      "0x1000");
	fake_kernel_expect(fk, "");
	entry.iova = 0x1000;
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	fake_kernel_expect(fk, "IOTLB update 0x1000+0x1000=mem+0x4000 rw\n");
}
END_TEST

START_TEST(k20_the_last_page_of_all_can_be_used)
{
	struct vhost_iotlb_entry entry = {
		.iova = UINT64_MAX - 0xfff, .size = 0x1000, .target = IOVA, .perm = 1,
	};

	open_it();
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	ck_assert(fake_kernel_maps(fk, 0, UINT64_MAX - 0xfff, 0x1000));
	ck_assert_int_eq(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), -EEXIST);
	OK(vhost_dev_iotlb_invalidate(dev, UINT64_MAX - 0xfff, 0x1000, 0));
	ck_assert(!fake_kernel_maps(fk, 0, UINT64_MAX - 0xfff, 1));
	entry.size = 0x2000;
	ck_assert_int_eq(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), -EINVAL);
}
END_TEST

START_TEST(a_range_that_is_none_is_not_believed)
{
	fk->range = (struct kv_iova_range){ 2, 1 };
	FAILS(open_flags(0), EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL, "0x2 to 0x1");
}
END_TEST

START_TEST(k12_memory_that_overlaps_is_refused_first)
{
	struct vhost_iotlb_entry entry = {
		.iova = IOVA + 0x1000, .size = 0x1000, .target = IOVA, .perm = 3,
	};

	open_it();
	OK(vhost_dev_mem_add_mem(dev, mem));
	fake_kernel_forget(fk);
	FAILS(add(IOVA + 0xf000, 0, 0x2000, 0), EEXIST, VHOST_ERR_ARGUMENT, "overlaps");
	FAILS(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), EEXIST, VHOST_ERR_ARGUMENT,
	      "overlaps");
	fake_kernel_expect(fk, "");
	entry.iova = 0x100000;
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	fake_kernel_forget(fk);
	FAILS(add(0x100000, 0, 0x1000, 0), EEXIST, VHOST_ERR_ARGUMENT, "overlaps");
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(memory_that_is_not_whole_pages_is_refused_first)
{
	open_it();
	FAILS(add(IOVA, 0, 0x1800, 0), EINVAL, VHOST_ERR_ARGUMENT, "pages");
	FAILS(add(IOVA + 0x800, 0, 0x1000, 0), EINVAL, VHOST_ERR_ARGUMENT, "pages");
	FAILS(add(IOVA, 0x800, 0x1000, 0), EINVAL, VHOST_ERR_ARGUMENT, "pages");
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(private_memory_is_refused_by_name_unless_it_is_wanted)
{
	struct vhost_mem_desc desc = { .iova = IOVA, .size = 0x1000, .fd = -1 };

	desc.addr = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(desc.addr, MAP_FAILED);
	open_it();
	FAILS(vhost_dev_mem_add(dev, &desc, sizeof(desc)), EINVAL, VHOST_ERR_MEM_NOT_SHARED,
	      "private");
	fake_kernel_expect(fk, "");
	dev = vhost_dev_unref(dev);
	fk->owned = false;
	OK(open_flags(VHOST_OPEN_PRIVATE_MEM));
	ck_assert_uint_eq(cap(VHOST_CAP_MEM_NEEDS_SHARED), 0);
	OK(vhost_dev_mem_add(dev, &desc, sizeof(desc)));
	ck_assert(fake_kernel_maps(fk, 0, IOVA, 0x1000));
	munmap(desc.addr, 0x1000);
}
END_TEST

START_TEST(memory_without_an_address_is_refused)
{
	struct vhost_mem_desc desc = piece(IOVA, 0, 0x1000);

	desc.addr = NULL;
	open_it();
	ck_assert_int_eq(vhost_dev_mem_add(dev, &desc, sizeof(desc)), -EINVAL);
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(k12_the_limit_on_pinned_memory_is_named)
{
	struct rlimit old, limit;

	ck_assert_int_eq(getrlimit(RLIMIT_MEMLOCK, &old), 0);
	limit = old;
	limit.rlim_cur = 0x8000;
	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	fk->pin_limit = 0x8000;
	open_it();
	FAILS(vhost_dev_mem_add_mem(dev, mem), ENOMEM, VHOST_ERR_MEMLOCK,
	      "RLIMIT_MEMLOCK is 32 KiB");
	OK(add(IOVA, 0, 0x1000, 0));
	/* a failure that the limit does not explain is not blamed on it */
	fk->pin_limit = 0x1000;
	ck_assert_int_eq(add(IOVA + 0x1000, 0x1000, 0x1000, 0), -EFAULT);
	ck_assert_int_ne(vhost_dev_error_kind(dev), VHOST_ERR_MEMLOCK);
	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &old), 0);
}
END_TEST

START_TEST(memory_that_the_kernel_refuses_is_not_recorded)
{
	open_it();
	fk->pin_limit = 0;
	ck_assert_int_lt(vhost_dev_mem_add_mem(dev, mem), 0);
	ck_assert_ptr_nonnull(strstr(vhost_dev_error(dev), "0x10000"));
	FAILS(vhost_dev_mem_remove(dev, IOVA, SIZE), ENOENT, VHOST_ERR_ARGUMENT,
	      "no memory region");
	fk->pin_limit = UINT64_MAX;
	OK(vhost_dev_mem_add_mem(dev, mem));
}
END_TEST

START_TEST(memory_is_read_only_where_it_says_so)
{
	struct vhost_iotlb_entry entry = {
		.iova = 0x100000, .size = 0x1000, .target = IOVA, .perm = 3,
	};

	open_it();
	OK(add(IOVA, 0, 0x1000, VHOST_MEM_READONLY));
	fake_kernel_expect(fk, "IOTLB update 0x10000+0x1000=mem+0x0 r\n");
	FAILS(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), EINVAL, VHOST_ERR_ARGUMENT,
	      "read");
	entry.perm = 1;
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
}
END_TEST

START_TEST(memory_is_taken_back_with_what_leads_to_it)
{
	struct vhost_iotlb_entry entry = {
		.iova = 0x100000, .size = 0x1000, .target = IOVA + 0x3000, .perm = 3,
	};

	open_it();
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	fake_kernel_forget(fk);
	OK(vhost_dev_mem_remove(dev, IOVA, SIZE));
	fake_kernel_expect(fk, "IOTLB begin\n" UNMAP
			   "IOTLB invalidate 0x100000+0x1000\nIOTLB end\n");
	ck_assert_uint_eq(fk->n_entries, 0);
}
END_TEST

/* The same memory twice: each region has a life of its own. */
START_TEST(a_region_is_taken_back_and_its_alias_stays)
{
	open_it();
	OK(add(IOVA, 0, 0x1000, 0));
	OK(add(0x40000, 0, 0x1000, 0));
	OK(vhost_dev_mem_remove(dev, IOVA, 0x1000));
	ck_assert(!fake_kernel_maps(fk, 0, IOVA, 1));
	ck_assert(fake_kernel_maps(fk, 0, 0x40000, 0x1000));
	OK(vhost_dev_mem_remove(dev, 0x40000, 0x1000));
	ck_assert_uint_eq(fk->n_entries, 0);
}
END_TEST

START_TEST(memory_with_the_rings_of_a_queue_that_runs_stays)
{
	prepare_and_start();
	FAILS(vhost_dev_mem_remove(dev, IOVA, SIZE), EBUSY, VHOST_ERR_STATE, "queue 0");
	fake_kernel_expect(fk, "");
	OK(add(0x100000, 0, 0x1000, 0));
	OK(vhost_dev_mem_remove(dev, 0x100000, 0x1000));
}
END_TEST

START_TEST(a_part_of_an_entry_is_taken_back_and_the_rest_stays)
{
	open_it();
	OK(vhost_dev_mem_add_mem(dev, mem));
	fake_kernel_forget(fk);
	OK(vhost_dev_iotlb_invalidate(dev, IOVA + 0x4000, 0x1000, 0));
	fake_kernel_expect(fk, "IOTLB begin\n" UNMAP
			   "IOTLB update 0x10000+0x4000=mem+0x0 rw\n"
			   "IOTLB update 0x15000+0xb000=mem+0x5000 rw\n"
			   "IOTLB end\n");
	OK(vhost_dev_iotlb_invalidate(dev, 0, 0, 0));
	ck_assert_uint_eq(fk->n_entries, 0);
	fake_kernel_forget(fk);
	OK(vhost_dev_iotlb_invalidate(dev, 0, 0, 0));
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(a_translation_to_what_is_not_there_is_refused)
{
	struct vhost_iotlb_entry entry = {
		.iova = 0x100000, .size = 0x2000, .target = IOVA + SIZE - 0x1000, .perm = 3,
	};

	open_it();
	OK(vhost_dev_mem_add_mem(dev, mem));
	fake_kernel_forget(fk);
	FAILS(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), EINVAL, VHOST_ERR_ARGUMENT,
	      "0x1f000");
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(k15_a_message_that_is_written_in_part_is_an_error)
{
	open_it();
	fk->short_write = 8;
	ck_assert_int_lt(vhost_dev_mem_add_mem(dev, mem), 0);
	fk->short_write = 0;
	OK(vhost_dev_mem_add_mem(dev, mem));
}
END_TEST

/* ------------------------------------------------------------------------ batches */

START_TEST(a_new_memory_map_is_one_batch)
{
	struct vhost_mem_desc descs[2] = { piece(IOVA, 0, 0x1000), piece(0x40000, 0x1000, 0x2000) };

	open_it();
	OK(vhost_dev_mem_set(dev, descs, 2, sizeof(descs[0])));
	fake_kernel_expect(fk, "IOTLB begin\nIOTLB update 0x10000+0x1000=mem+0x0 rw\n"
			   "IOTLB update 0x40000+0x2000=mem+0x1000 rw\nIOTLB end\n");
	descs[1].iova = 0x50000;
	OK(vhost_dev_mem_set(dev, descs, 2, sizeof(descs[0])));
	fake_kernel_expect(fk, "IOTLB begin\nIOTLB invalidate 0x40000+0x2000\n"
			   "IOTLB update 0x50000+0x2000=mem+0x1000 rw\nIOTLB end\n");
	OK(vhost_dev_mem_set(dev, descs, 2, sizeof(descs[0])));
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(without_the_feature_there_are_no_batches)
{
	struct vhost_mem_desc descs[2] = { piece(IOVA, 0, 0x1000), piece(0x40000, 0x1000, 0x2000) };

	fk->backend_offers &= ~BF(IOTLB_BATCH);
	open_it();
	OK(vhost_dev_mem_set(dev, descs, 2, sizeof(descs[0])));
	fake_kernel_expect(fk, "IOTLB update 0x10000+0x1000=mem+0x0 rw\n"
			   "IOTLB update 0x40000+0x2000=mem+0x1000 rw\n");
}
END_TEST

START_TEST(a_transaction_is_one_batch)
{
	struct vhost_iotlb_entry entry = {
		.iova = 0x100000, .size = 0x1000, .target = IOVA, .perm = 1,
	};

	open_it();
	OK(vhost_dev_begin(dev));
	fake_kernel_expect(fk, "");
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	fake_kernel_expect(fk, "IOTLB begin\n" MAP "IOTLB update 0x100000+0x1000=mem+0x0 r\n");
	OK(vhost_dev_commit(dev));
	fake_kernel_expect(fk, "IOTLB end\n");
	/* one with nothing to map has no batch */
	OK(vhost_dev_begin(dev));
	OK(set_up(0));
	OK(vhost_dev_commit(dev));
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(a_transaction_that_is_cancelled_ends_its_batch)
{
	open_it();
	OK(vhost_dev_begin(dev));
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(vhost_dev_cancel(dev));
	ck_assert(!fk->in_batch);
	fake_kernel_forget(fk);
	OK(add(0x40000, 0, 0x1000, 0));
	fake_kernel_expect(fk, "IOTLB update 0x40000+0x1000=mem+0x0 rw\n");
}
END_TEST

START_TEST(a_start_within_a_transaction_finds_its_memory)
{
	open_it();
	OK(vhost_dev_begin(dev));
	OK(vhost_dev_set_features(dev, FEATURES));
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(set_up(0));
	OK(vhost_dev_start(dev));
	OK(vhost_dev_commit(dev));
	ck_assert_uint_eq(fk->status, 0xf);
	ck_assert(!fk->in_batch);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
}
END_TEST

START_TEST(a_batch_that_the_device_does_not_take_fails_the_commit)
{
	open_it();
	OK(vhost_dev_begin(dev));
	OK(vhost_dev_mem_add_mem(dev, mem));
	fk->fail_at = fk->calls + 1;
	fk->fail_errno = EFAULT;
	FAILS(vhost_dev_commit(dev), EFAULT, VHOST_ERR_OTHER, "memory");
}
END_TEST

START_TEST(a_batch_is_of_one_address_space)
{
	struct vhost_iotlb_entry entry = {
		.iova = 0x100000, .size = 0x1000, .target = IOVA, .perm = 3, .asid = 1,
	};

	open_it();
	OK(vhost_dev_begin(dev));
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	entry.iova += 0x1000;
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	entry.asid = 0;
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	OK(vhost_dev_commit(dev));
	ck_assert(!fk->in_batch);
	ck_assert(fake_kernel_maps(fk, 0, IOVA, SIZE));
	ck_assert(fake_kernel_maps(fk, 0, 0x101000, 0x1000));
	ck_assert(fake_kernel_maps(fk, 1, 0x100000, 0x2000));
	/* and so it is when all of it goes */
	OK(vhost_dev_mem_remove(dev, IOVA, SIZE));
	ck_assert_uint_eq(fk->n_entries, 0);
	ck_assert(!fk->in_batch);
}
END_TEST

/* ------------------------------------------------------------ after a reset */

START_TEST(after_a_reset_the_memory_is_mapped_anew)
{
	fk->backend_offers &= ~BF(IOTLB_PERSIST);
	prepare_and_start();
	OK(vhost_dev_stop(dev));
	ck_assert_uint_eq(fake_kernel_lost(fk), 1);
	fake_kernel_forget(fk);
	OK(vhost_dev_start(dev));
	fake_kernel_expect(fk, SEND_FEATURES "IOTLB begin\n" UNMAP MAP "IOTLB end\n"
			   FEATURES_OK VRING_0("0") VRING_1("0") DRIVER_OK);
	ck_assert_uint_eq(fake_kernel_lost(fk), 0);
}
END_TEST

START_TEST(after_a_reset_the_memory_of_all_address_spaces_is_mapped_anew)
{
	struct vhost_iotlb_entry entry = {
		.iova = 0x100000, .size = 0x1000, .target = IOVA, .perm = 3, .asid = 1,
	};

	fk->backend_offers &= ~BF(IOTLB_PERSIST);
	prepare();
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	OK(vhost_dev_start(dev));
	OK(vhost_dev_stop(dev));
	ck_assert_uint_eq(fake_kernel_lost(fk), 2);
	OK(vhost_dev_start(dev));
	ck_assert_uint_eq(fake_kernel_lost(fk), 0);
	ck_assert(fake_kernel_maps(fk, 1, 0x100000, 0x1000));
}
END_TEST

START_TEST(memory_that_persists_is_not_mapped_anew)
{
	prepare_and_start();
	OK(vhost_dev_stop(dev));
	fake_kernel_forget(fk);
	OK(vhost_dev_start(dev));
	fake_kernel_expect(fk, SEND_FEATURES FEATURES_OK VRING_0("0") VRING_1("0") DRIVER_OK);
}
END_TEST

START_TEST(a_reset_forgets_the_queues_and_keeps_the_memory)
{
	prepare_and_start();
	OK(vhost_dev_reset(dev));
	ck_assert_uint_eq(fk->status, 0);
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), 0);
	FAILS(vhost_dev_start(dev), EINVAL, VHOST_ERR_STATE, "no queue");
	OK(vhost_dev_set_features(dev, FEATURES));
	OK(set_up(0));
	OK(vhost_dev_start(dev));
	ck_assert(fake_kernel_maps(fk, 0, IOVA, SIZE));
}
END_TEST

/* ------------------------------------------------------- groups, address spaces */

START_TEST(k20_a_group_or_address_space_that_is_not_there_is_refused_first)
{
	struct vhost_iotlb_entry entry = {
		.iova = 0x100000, .size = 0x1000, .target = IOVA, .perm = 3, .asid = 2,
	};
	uint32_t value = 77;

	open_it();
	OK(vhost_dev_mem_add_mem(dev, mem));
	ck_assert_uint_eq(cap(VHOST_CAP_GROUPS), 2);
	fake_kernel_forget(fk);
	FAILS(vhost_vdpa_set_group_asid(dev, 2, 0), EINVAL, VHOST_ERR_LIMIT, "2 groups");
	FAILS(vhost_vdpa_set_group_asid(dev, 0, 2), EINVAL, VHOST_ERR_LIMIT, "2 address spaces");
	FAILS(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), EINVAL, VHOST_ERR_LIMIT,
	      "address space 2");
	FAILS(vhost_dev_iotlb_invalidate(dev, 0, 0, 2), EINVAL, VHOST_ERR_LIMIT, "address space 2");
	FAILS(vhost_vdpa_get_group(dev, 3, &value), EINVAL, VHOST_ERR_LIMIT, "queue 3");
	FAILS(vhost_vdpa_get_desc_group(dev, 3, &value), EINVAL, VHOST_ERR_LIMIT, "queue 3");
	FAILS(vhost_vdpa_get_queue_size(dev, 3, &value), EINVAL, VHOST_ERR_LIMIT, "queue 3");
	fake_kernel_expect(fk, "");
	ck_assert_uint_eq(value, 77);
}
END_TEST

START_TEST(groups_have_address_spaces_and_keep_them)
{
	struct vhost_iotlb_entry entry = {
		.iova = 0x100000, .size = 0x1000, .target = IOVA, .perm = 3, .asid = 1,
	};
	uint32_t group = 77;

	prepare();
	OK(vhost_vdpa_get_group(dev, 2, &group));
	ck_assert_uint_eq(group, 1);
	fake_kernel_forget(fk);
	OK(vhost_vdpa_set_group_asid(dev, 1, 1));
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	fake_kernel_expect(fk, "VDPA_SET_GROUP_ASID 1 1\n"
			   "IOTLB asid 1 update 0x100000+0x1000=mem+0x0 rw\n");
	/* the same address in another space is no overlap */
	entry.asid = 0;
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	OK(vhost_dev_start(dev));
	ck_assert_uint_eq(fk->group_asid[1], 1);
	FAILS(vhost_vdpa_set_group_asid(dev, 1, 0), EBUSY, VHOST_ERR_STATE, "starts");
	OK(vhost_dev_stop(dev));
	ck_assert_uint_eq(fk->group_asid[1], 0);	/* the reset's doing */
	OK(vhost_dev_start(dev));
	ck_assert_uint_eq(fk->group_asid[1], 1);
	OK(vhost_dev_reset(dev));
	OK(vhost_dev_set_features(dev, FEATURES));
	OK(set_up(0));
	OK(vhost_dev_start(dev));
	ck_assert_uint_eq(fk->group_asid[1], 0);
}
END_TEST

START_TEST(rings_are_looked_for_in_their_own_address_space)
{
	struct vhost_iotlb_entry entry = {
		.iova = IOVA, .size = SIZE, .target = IOVA, .perm = 3, .asid = 1,
	};
	uint32_t group;

	fk->backend_offers |= BF(DESC_ASID);
	fk->vqs[0].desc_group = fk->vqs[1].desc_group = 1;
	prepare();
	OK(vhost_vdpa_get_desc_group(dev, 0, &group));
	ck_assert_uint_eq(group, 1);
	OK(vhost_vdpa_set_group_asid(dev, 1, 1));
	FAILS(vhost_dev_start(dev), EFAULT, VHOST_ERR_ARGUMENT, "address space 1");
	ck_assert_ptr_nonnull(strstr(vhost_dev_error(dev), "queue 0"));
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	OK(vhost_dev_start(dev));
}
END_TEST

START_TEST(rings_that_are_not_mapped_are_found_at_the_start)
{
	open_it();
	OK(vhost_dev_set_features(dev, FEATURES));
	OK(add(IOVA, 0, 0x2000, 0));	/* the used ring is missing */
	OK(set_up(0));
	FAILS(vhost_dev_start(dev), EFAULT, VHOST_ERR_ARGUMENT, "queue 0");
	ck_assert_ptr_nonnull(strstr(vhost_dev_error(dev), "0x12000"));
	ck_assert(!called("VDPA_SET_STATUS 0xf"));
}
END_TEST

START_TEST(a_group_that_cannot_be_is_not_believed)
{
	uint32_t group = 77;

	open_it();
	fk->n_groups = 8;	/* the kernel's own check */
	fk->vqs[0].group = 5;
	fk->backend_offers |= BF(DESC_ASID);
	cap(VHOST_CAP_GROUPS);
	fk->n_groups = 100;
	fk->vqs[0].group = 50;
	FAILS(vhost_vdpa_get_group(dev, 0, &group), EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL, "50");
	ck_assert_uint_eq(group, 77);
}
END_TEST

START_TEST(a_queue_s_size_is_its_own_where_the_device_says_it)
{
	uint32_t size = 77;

	open_it();
	fk->vqs[1].max = 64;
	OK(vhost_vdpa_get_queue_size(dev, 1, &size));
	fake_kernel_expect(fk, "VDPA_GET_VRING_SIZE 1: EOPNOTSUPP\n");
	ck_assert_uint_eq(size, 256);
	fk->has_vring_size = true;
	OK(vhost_vdpa_get_queue_size(dev, 1, &size));
	ck_assert_uint_eq(size, 64);
}
END_TEST

/* ------------------------------------------------------------------ stop, suspend */

START_TEST(a_device_that_can_be_suspended_stops_where_it_is)
{
	uint32_t base;

	prepare_and_start();
	fk->vqs[0].base = 5;
	OK(vhost_dev_stop(dev));
	fake_kernel_expect(fk, "VDPA_SUSPEND\nGET_VRING_BASE 0\nGET_VRING_BASE 1\n"
			   "VDPA_SET_STATUS 0x0\n");
	OK(vhost_dev_vq_get_base(dev, 0, &base));
	ck_assert_uint_eq(base, 5);
	OK(vhost_dev_start(dev));
	fake_kernel_expect(fk, SEND_FEATURES FEATURES_OK VRING_0("5") VRING_1("0") DRIVER_OK);
}
END_TEST

START_TEST(a_device_that_cannot_be_suspended_stops_by_a_reset)
{
	fk->backend_offers &= ~(BF(SUSPEND) | BF(RESUME));
	prepare_and_start();
	fk->vqs[0].base = 3;
	set_used(0, 3);
	OK(vhost_dev_stop(dev));
	fake_kernel_expect(fk, "GET_VRING_BASE 0\nGET_VRING_BASE 1\nVDPA_SET_STATUS 0x0\n");
	/* nothing was in flight: it goes on */
	OK(vhost_dev_start(dev));
	fake_kernel_expect(fk, SEND_FEATURES FEATURES_OK VRING_0("3") VRING_1("0") DRIVER_OK);
}
END_TEST

START_TEST(what_a_reset_lost_is_not_forgotten)
{
	fk->backend_offers &= ~(BF(SUSPEND) | BF(RESUME));
	prepare_and_start();
	fk->vqs[0].base = 3;
	set_used(0, 2);
	OK(vhost_dev_stop(dev));
	FAILS(vhost_dev_start(dev), ESTALE, VHOST_ERR_REQUESTS_LOST, "queue 0");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	ck_assert_uint_eq(fk->status, 0);
	FAILS(vhost_dev_start(dev), ESTALE, VHOST_ERR_REQUESTS_LOST, "queue 0");
	OK(vhost_dev_vq_set_base(dev, 0, 2));
	OK(vhost_dev_start(dev));
	ck_assert_uint_eq(fk->vqs[0].base, 2);
}
END_TEST

START_TEST(with_in_order_the_used_index_says_where_to_go_on)
{
	fk->backend_offers &= ~(BF(SUSPEND) | BF(RESUME));
	fk->offers[0] |= 1ull << VIRTIO_BIT_IN_ORDER;
	prepare();
	OK(vhost_dev_set_features(dev, FEATURES | 1ull << VIRTIO_BIT_IN_ORDER));
	OK(vhost_dev_start(dev));
	fk->vqs[0].base = 3;
	set_used(0, 2);
	OK(vhost_dev_stop(dev));
	OK(vhost_dev_start(dev));
	ck_assert_uint_eq(fk->vqs[0].base, 2);
}
END_TEST

/* A packed ring's two positions tell whether something was in flight. */
START_TEST(a_packed_ring_goes_on_where_nothing_was_in_flight)
{
	uint64_t packed = 1ull << VIRTIO_BIT_RING_PACKED;

	fk->backend_offers &= ~(BF(SUSPEND) | BF(RESUME));
	fk->offers[0] |= packed;
	prepare();
	OK(vhost_dev_set_features(dev, FEATURES | packed));
	OK(vhost_dev_start(dev));
	fk->vqs[0].base = _i ? 0x80028003 : 0x80038003;
	OK(vhost_dev_stop(dev));
	if (_i) {
		FAILS(vhost_dev_start(dev), ESTALE, VHOST_ERR_REQUESTS_LOST, "queue 0");
		OK(vhost_dev_vq_set_base(dev, 0, 0x80028002));
	}
	OK(vhost_dev_start(dev));
	ck_assert_uint_eq(fk->vqs[0].base, _i ? 0x80028002 : 0x80038003);
	fk->vqs[0].base = 0x80088003;
	FAILS(vhost_dev_stop(dev), EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL, "queue 0");
	ck_assert_uint_eq(fk->status, 0);
}
END_TEST

START_TEST(an_attached_virtq_has_its_requests_done_again)
{
	struct vhost_virtq_opts opts = { .size = 8, .features = FEATURES };
	struct vhost_sg sg = { .iova = IOVA + 0xf000, .len = 64 };
	struct vhost_virtq_req req = { .sg = &sg, .in = 1 };
	struct vhost_virtq_layout layout;
	vhost_virtq_t *vq;

	fk->backend_offers &= ~(BF(SUSPEND) | BF(RESUME));
	open_it();
	OK(vhost_dev_set_features(dev, FEATURES));
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(vhost_virtq_new(mem, &opts, sizeof(opts), &vq));
	OK(vhost_dev_vq_attach(dev, 0, vq));
	OK(vhost_dev_start(dev));
	ck_assert_int_eq(vhost_virtq_add(vq, &req, 1), 1);
	ck_assert_int_eq(vhost_virtq_add(vq, &req, 1), 1);
	fk->vqs[0].base = 2;	/* taken, and not used */
	OK(vhost_dev_stop(dev));
	vhost_virtq_layout(vq, &layout, sizeof(layout));
	signals(layout.kick_fd);
	OK(vhost_dev_start(dev));
	ck_assert_uint_eq(fk->vqs[0].base, 0);
	ck_assert_uint_eq(vhost_virtq_outstanding(vq), 2);
	ck_assert_uint_eq(signals(layout.kick_fd), 1);
	OK(vhost_dev_stop(dev));
	vhost_virtq_unref(vq);
}
END_TEST

START_TEST(a_device_is_suspended_and_resumed)
{
	uint32_t base;

	prepare_and_start();
	signals(kick[0]);
	fk->vqs[0].base = 4;
	OK(vhost_dev_suspend(dev));
	fake_kernel_expect(fk, "VDPA_SUSPEND\nGET_VRING_BASE 0\nGET_VRING_BASE 1\n");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_SUSPENDED);
	OK(vhost_dev_vq_get_base(dev, 0, &base));
	ck_assert_uint_eq(base, 4);
	OK(vhost_dev_suspend(dev));
	fake_kernel_expect(fk, "");
	OK(vhost_dev_resume(dev));
	fake_kernel_expect(fk, "SET_VRING_CALL 0 fd\nVDPA_SET_VRING_ENABLE 0 1\n"
			   "SET_VRING_CALL 1 fd\nVDPA_SET_VRING_ENABLE 1 1\nVDPA_RESUME\n");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
	ck_assert_uint_ge(signals(kick[0]), 1);
	ck_assert_uint_ge(signals(call[0]), 1);
	OK(vhost_dev_resume(dev));
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(a_suspended_device_is_stopped_and_started)
{
	prepare_and_start();
	fk->vqs[0].base = 4;
	OK(vhost_dev_suspend(dev));
	fake_kernel_forget(fk);
	OK(vhost_dev_stop(dev));
	fake_kernel_expect(fk, "VDPA_SET_STATUS 0x0\n");
	OK(vhost_dev_start(dev));
	ck_assert_uint_eq(fk->vqs[0].base, 4);
}
END_TEST

START_TEST(k14_a_device_that_cannot_be_suspended_is_not)
{
	fk->backend_offers &= ~(BF(SUSPEND) | BF(RESUME));
	prepare_and_start();
	ck_assert_uint_eq(cap(VHOST_CAP_SUSPEND), 0);
	FAILS(vhost_dev_suspend(dev), ENOTSUP, VHOST_ERR_UNSUPPORTED, "suspend");
	fake_kernel_expect(fk, "");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
}
END_TEST

START_TEST(k14_a_device_that_cannot_be_resumed_is_not)
{
	fk->backend_offers &= ~BF(RESUME);
	prepare_and_start();
	ck_assert_uint_eq(cap(VHOST_CAP_RESUME), 0);
	OK(vhost_dev_suspend(dev));
	fake_kernel_forget(fk);
	FAILS(vhost_dev_resume(dev), ENOTSUP, VHOST_ERR_UNSUPPORTED, "stop it and start it");
	fake_kernel_expect(fk, "");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_SUSPENDED);
	OK(vhost_dev_stop(dev));
	OK(vhost_dev_start(dev));
}
END_TEST

START_TEST(k14_suspend_and_resume_come_in_pairs)
{
	prepare();
	fake_kernel_forget(fk);
	ck_assert_int_eq(vhost_dev_suspend(dev), -EINVAL);
	ck_assert_int_eq(vhost_dev_resume(dev), -EINVAL);
	fake_kernel_expect(fk, "");
	OK(vhost_dev_start(dev));
	OK(vhost_dev_suspend(dev));
	FAILS(vhost_dev_start(dev), EBUSY, VHOST_ERR_STATE, "suspended");
	FAILS(set_up(0), EBUSY, VHOST_ERR_STATE, "queue 0");
}
END_TEST

START_TEST(a_suspend_that_fails_leaves_the_device_running)
{
	prepare_and_start();
	fk->fail_request = KV_VDPA_SUSPEND;
	fk->fail_errno = EIO;
	fk->fail_nth = 1;
	FAILS(vhost_dev_suspend(dev), EIO, VHOST_ERR_OTHER, "VDPA_SUSPEND");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
	OK(vhost_dev_vq_kick(dev, 0));
	OK(vhost_dev_suspend(dev));
	fk->fail_request = KV_VDPA_RESUME;
	fk->fail_seen = 0;
	FAILS(vhost_dev_resume(dev), EIO, VHOST_ERR_OTHER, "VDPA_RESUME");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_SUSPENDED);
	OK(vhost_dev_resume(dev));
}
END_TEST

START_TEST(a_stop_whose_suspend_fails_stops_all_the_same)
{
	prepare_and_start();
	fk->fail_request = KV_VDPA_SUSPEND;
	fk->fail_errno = EIO;
	fk->vqs[0].base = 3;
	FAILS(vhost_dev_stop(dev), EIO, VHOST_ERR_OTHER, "VDPA_SUSPEND");
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	ck_assert_uint_eq(fk->status, 0);
	/* nobody knows where it stopped */
	FAILS(vhost_dev_start(dev), ESTALE, VHOST_ERR_REQUESTS_LOST, "queue 0");
}
END_TEST

START_TEST(status_0_stops_and_keeps_where_the_queues_stopped)
{
	uint32_t base;

	prepare_and_start();
	fk->vqs[0].base = 4;
	OK(vhost_dev_set_status(dev, 0));
	ck_assert_uint_eq(fk->status, 0);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	OK(vhost_dev_vq_get_base(dev, 0, &base));
	ck_assert_uint_eq(base, 4);
}
END_TEST

/* A VMM passes on what its guest writes: the device is live with its queues only. */
START_TEST(driver_ok_comes_with_the_queues)
{
	prepare();
	OK(vhost_dev_set_status(dev, 15));
	ck_assert_uint_eq(fk->status & 4, 0);
	OK(vhost_dev_start(dev));
	ck_assert_uint_eq(fk->status, 15);
}
END_TEST

START_TEST(a_reset_does_not_mind_a_device_that_does_not_stop)
{
	prepare_and_start();
	fk->fail_request = KV_VDPA_SUSPEND;
	fk->fail_errno = EIO;
	OK(vhost_dev_reset(dev));
	ck_assert_uint_eq(fk->status, 0);
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), 0);
}
END_TEST

START_TEST(what_changes_while_suspended_holds_after_it)
{
	struct vhost_vq_config c = queue(1);
	uint32_t base;

	open_it();
	OK(vhost_dev_set_features(dev, FEATURES));
	OK(vhost_dev_mem_add_mem(dev, mem));
	OK(set_up(0));
	OK(vhost_dev_start(dev));
	/* described while the device runs, and started with the next start only */
	c.base = 7;
	OK(vhost_dev_vq_setup(dev, 1, &c, sizeof(c)));
	OK(vhost_dev_suspend(dev));
	OK(vhost_dev_vq_set_call(dev, 0, err));
	OK(vhost_dev_vq_enable(dev, 0, 0));
	FAILS(vhost_dev_mem_remove(dev, IOVA, SIZE), EBUSY, VHOST_ERR_STATE, "queue 0");
	fake_kernel_forget(fk);
	OK(vhost_dev_resume(dev));
	fake_kernel_expect(fk, "SET_VRING_CALL 0 fd\nVDPA_SET_VRING_ENABLE 0 0\nVDPA_RESUME\n");
	ck_assert_uint_ge(signals(err), 1);
	fake_kernel_signal(fk->vqs[0].call);
	ck_assert_uint_eq(signals(err), 1);
	ck_assert_int_eq(vhost_dev_vq_kick(dev, 1), -ENOTCONN);
	OK(vhost_dev_stop(dev));
	OK(vhost_dev_vq_get_base(dev, 1, &base));
	ck_assert_uint_eq(base, 7);
}
END_TEST

START_TEST(memory_behind_the_rings_is_not_taken_while_they_run)
{
	struct vhost_mem_desc desc;
	struct vhost_iotlb_entry entry = { .iova = IOVA, .size = SIZE, .target = 0x900000, .perm = 3 };

	vhost_mem_describe(mem, &desc, sizeof(desc));
	desc.iova = entry.target;
	desc.flags = VHOST_MEM_UNMAPPED;
	/* the used index is read where the entry leads to */
	fk->backend_offers &= ~BF(SUSPEND);
	open_it();
	OK(vhost_dev_set_features(dev, FEATURES));
	OK(vhost_dev_mem_add(dev, &desc, sizeof(desc)));
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	OK(set_up(0));
	OK(vhost_dev_start(dev));
	FAILS(vhost_dev_mem_remove(dev, entry.target, SIZE), EBUSY, VHOST_ERR_STATE, "queue 0");
	OK(vhost_dev_stop(dev));
	OK(vhost_dev_start(dev));
	OK(vhost_dev_stop(dev));
	OK(vhost_dev_mem_remove(dev, entry.target, SIZE));
	ck_assert(!fake_kernel_maps(fk, 0, IOVA, SIZE));
}
END_TEST

START_TEST(a_batch_ends_before_the_device_goes_on)
{
	struct vhost_iotlb_entry entry = { .iova = 0x100000, .size = 0x1000, .target = IOVA, .perm = 1 };
	const char *end, *resume;

	prepare_and_start();
	OK(vhost_dev_suspend(dev));
	fake_kernel_forget(fk);
	OK(vhost_dev_begin(dev));
	OK(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	OK(vhost_dev_resume(dev));
	OK(vhost_dev_commit(dev));
	end = strstr(fake_kernel_log(fk), "IOTLB end");
	resume = strstr(fake_kernel_log(fk), "VDPA_RESUME");
	ck_assert_ptr_nonnull(end);
	ck_assert_ptr_nonnull(resume);
	ck_assert(end < resume);
}
END_TEST

START_TEST(a_descriptor_that_is_refused_does_not_take_the_place_of_the_last)
{
	prepare_and_start();
	fk->fail_request = KV_SET_VRING_CALL;
	fk->fail_errno = EINVAL;
	ck_assert_int_eq(vhost_dev_vq_set_call(dev, 0, err), -EINVAL);
	fk->fail_request = 0;
	OK(vhost_dev_stop(dev));
	OK(vhost_dev_start(dev));
	fake_kernel_signal(fk->vqs[0].call);
	ck_assert_uint_eq(signals(err), 0);
	ck_assert_uint_ge(signals(call[0]), 1);
}
END_TEST

/* ------------------------------------------------------------------------- queues */

START_TEST(a_queue_is_enabled_while_it_runs_where_the_device_can)
{
	prepare_and_start();
	ck_assert_uint_eq(cap(VHOST_CAP_ENABLE_RUNNING), 1);
	OK(vhost_dev_vq_enable(dev, 1, 0));
	signals(kick[1]);
	OK(vhost_dev_vq_enable(dev, 1, 1));
	fake_kernel_expect(fk, "VDPA_SET_VRING_ENABLE 1 0\nVDPA_SET_VRING_ENABLE 1 1\n");
	ck_assert_uint_eq(signals(kick[1]), 1);
}
END_TEST

START_TEST(a_queue_is_not_enabled_while_it_runs_where_the_device_cannot)
{
	fk->backend_offers &= ~BF(ENABLE_AFTER_DRIVER_OK);
	prepare();
	OK(vhost_dev_vq_enable(dev, 1, 0));
	OK(vhost_dev_start(dev));
	ck_assert(fk->vqs[0].ready && !fk->vqs[1].ready);
	fake_kernel_forget(fk);
	FAILS(vhost_dev_vq_enable(dev, 1, 1), ENOTSUP, VHOST_ERR_UNSUPPORTED, "queue 1");
	fake_kernel_expect(fk, "");
}
END_TEST

START_TEST(the_call_eventfd_is_exchanged_while_it_runs)
{
	prepare_and_start();
	OK(vhost_dev_vq_set_call(dev, 0, err));
	fake_kernel_expect(fk, "SET_VRING_CALL 0 fd\n");
	fake_kernel_signal(fk->vqs[0].call);
	ck_assert_uint_eq(signals(err), 1);
}
END_TEST

START_TEST(a_size_above_the_device_s_is_refused)
{
	struct vhost_vq_config c = queue(0);

	prepare();
	c.size = 512;
	FAILS(vhost_dev_vq_setup(dev, 0, &c, sizeof(c)), EINVAL, VHOST_ERR_ARGUMENT, "256");
	FAILS(vhost_dev_vq_setup(dev, 3, &c, sizeof(c)), EINVAL, VHOST_ERR_LIMIT, "queue 3");
}
END_TEST

START_TEST(doorbells_are_mapped_once)
{
	void *page = NULL, *again = NULL;
	size_t size = 0;

	fk->has_doorbell = true;
	open_it();
	OK(vhost_vdpa_map_doorbell(dev, 2, &page, &size));
	ck_assert_uint_eq(size, (size_t)sysconf(_SC_PAGESIZE));
	*(volatile uint16_t *)page = 2;
	OK(vhost_vdpa_map_doorbell(dev, 2, &again, &size));
	ck_assert_ptr_eq(page, again);
	fake_kernel_expect(fk, "MMAP 2\n");
	OK(vhost_vdpa_unmap_doorbell(dev, 2));
	OK(vhost_vdpa_unmap_doorbell(dev, 2));
	OK(vhost_vdpa_unmap_doorbell(dev, 0));
	OK(vhost_vdpa_map_doorbell(dev, 0, &page, &size));
	OK(vhost_vdpa_map_doorbell(dev, 1, &again, &size));
	ck_assert_ptr_ne(page, again);
	fake_kernel_expect(fk, "MMAP 0\nMMAP 1\n");
}
END_TEST

START_TEST(k20_the_doorbell_of_a_queue_that_is_not_there_is_refused)
{
	void *page = &page;
	size_t size = 77;

	fk->has_doorbell = true;
	open_it();
	FAILS(vhost_vdpa_map_doorbell(dev, 3, &page, &size), EINVAL, VHOST_ERR_LIMIT, "queue 3");
	FAILS(vhost_vdpa_unmap_doorbell(dev, 3), EINVAL, VHOST_ERR_LIMIT, "queue 3");
	fake_kernel_expect(fk, "");
	ck_assert_ptr_eq(page, &page);
	ck_assert_uint_eq(size, 77);
}
END_TEST

START_TEST(a_device_without_doorbells_has_none)
{
	void *page;
	size_t size;

	open_it();
	/* errno 524: the kernel's own, for which user space has no name */
	FAILS(vhost_vdpa_map_doorbell(dev, 0, &page, &size), ENOTSUP, VHOST_ERR_UNSUPPORTED,
	      "queue 0");
	fk->fail_at = fk->calls + 1;
	fk->fail_errno = ENOMEM;
	ck_assert_int_eq(vhost_vdpa_map_doorbell(dev, 0, &page, &size), -ENOMEM);
}
END_TEST

START_TEST(a_device_is_not_found_by_a_name_that_is_none)
{
	static const char *const names[] = { "", ".", "..", "a/b", "../x" };
	char buf[64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		ck_assert_int_eq(vhost_vdpa_find(names[i], buf, sizeof(buf)), -EINVAL);
	FAILS(vhost_vdpa_find("there-is-no-such-device", buf, sizeof(buf)), ENODEV,
	      VHOST_ERR_CONNECT, "there-is-no-such-device");
}
END_TEST

/* ------------------------------------------------------- each call failing in turn */

static bool failed_in_reset;

/* All that a device does in its life; the first error, and which step had it. */
static int life(const char **step)
{
	struct vhost_iotlb_entry entry = {
		.iova = 0x100000, .size = 0x1000, .target = IOVA, .perm = 3, .asid = 1,
	};
	uint64_t features;
	uint8_t buf[4], status;
	uint32_t value;
	size_t size;
	void *page;
	int r;

#define STEP(expr) do { \
	*step = #expr; \
	r = (expr); \
	if (r < 0) \
		return r; \
} while (0)
	STEP(open_flags(0));
	STEP(vhost_dev_get_features(dev, &features));
	STEP(vhost_dev_set_features(dev, FEATURES));
	STEP(vhost_dev_get_config(dev, 0, buf, sizeof(buf)));
	STEP(vhost_dev_set_config(dev, 0, buf, sizeof(buf), 0));
	STEP(vhost_dev_begin(dev));
	STEP(vhost_dev_mem_add_mem(dev, mem));
	STEP(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	STEP(vhost_dev_commit(dev));
	STEP(vhost_dev_iotlb_invalidate(dev, 0x100000, 0x1000, 1));
	STEP(set_up(0));
	STEP(set_up(1));
	STEP(vhost_vdpa_get_queue_size(dev, 0, &value));
	STEP(vhost_vdpa_get_group(dev, 0, &value));
	STEP(vhost_vdpa_set_group_asid(dev, 1, 1));
	STEP(vhost_vdpa_map_doorbell(dev, 0, &page, &size));
	*step = "vhost_dev_get_fd(dev)";
	r = vhost_dev_get_fd(dev);
	if (r < 0)
		return r;
	STEP(vhost_dev_start(dev));
	fake_kernel_signal(fk->config_call);
	STEP(vhost_dev_process(dev));
	STEP(vhost_dev_get_status(dev, &status));
	STEP(vhost_dev_vq_enable(dev, 0, 0));
	STEP(vhost_dev_vq_enable(dev, 0, 1));
	STEP(vhost_dev_vq_set_call(dev, 0, call[1]));
	STEP(vhost_dev_suspend(dev));
	STEP(vhost_dev_resume(dev));
	STEP(vhost_dev_stop(dev));
	STEP(vhost_dev_start(dev));
	STEP(vhost_vdpa_set_config_call(dev, err));
	failed_in_reset = !fk->failed;
	STEP(vhost_dev_reset(dev));
	failed_in_reset &= fk->failed != NULL;
	STEP(vhost_dev_mem_remove(dev, IOVA, SIZE));
#undef STEP
	return 0;
}

static void device_for_life(void)
{
	begin();
	fk->has_doorbell = fk->has_vring_size = true;
	fk->backend_offers &= ~BF(IOTLB_PERSIST);
}

/* What may fail unseen: those that tell a number for which there is another. */
static bool is_tolerated(const char *name)
{
	return strcmp(name, "VDPA_GET_GROUP_NUM") == 0 || strcmp(name, "VDPA_GET_AS_NUM") == 0;
}

static bool fail_one(unsigned int n, int error)
{
	const char *step = "";
	char queue_text[16];
	int r;

	device_for_life();
	fk->fail_at = n;
	fk->fail_errno = error;
	r = life(&step);
	if (!fk->failed) {
		ck_assert_msg(r == 0, "%s: %d: %s", step, r, vhost_last_error());
		bench_end();
		return false;
	}
	if (r == 0)	/* a reset does not mind a stop that fails */
		ck_assert_msg(is_tolerated(fk->failed) || failed_in_reset, "%s fails, and nobody is told", fk->failed);
	if (r < 0 && !is_tolerated(fk->failed)) {
		bool named = strcmp(fk->failed, "IOTLB") == 0 || strcmp(fk->failed, "MMAP") == 0 ||
			     strstr(vhost_last_error(), fk->failed) ||
			     (strcmp(fk->failed, "SET_OWNER") == 0 && error == EBUSY);

		ck_assert_msg(named, "%s fails in %s: %s", fk->failed, step, vhost_last_error());
		snprintf(queue_text, sizeof(queue_text), "queue %d:", fk->failed_index);
		ck_assert_msg(fk->failed_index < 0 || strstr(vhost_last_error(), queue_text),
			      "%s of queue %d fails in %s: %s", fk->failed, fk->failed_index, step,
			      vhost_last_error());
	}
	/* a start that failed leaves a device that is reset */
	if (strstr(step, "start") && r < 0 && strcmp(fk->failed, "VDPA_SET_STATUS") != 0) {
		ck_assert_uint_eq(fk->status, 0);
		ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	}
	if (dev && vhost_dev_get_state(dev) > VHOST_DEV_STOPPED) {
		OK(vhost_dev_stop(dev));
		ck_assert_uint_eq(fk->status, 0);
	}
	if (dev)
		ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	bench_end();
	return true;
}

START_TEST(each_call_fails_in_turn)
{
	static const int errors[] = { EIO, ENODEV, EBUSY };
	unsigned int n;

	for (n = 1; fail_one(n, errors[_i]); n++)
		ck_assert_uint_lt(n, 1000);
	ck_assert_uint_gt(n, 60);
}
END_TEST

START_TEST(k13_a_device_that_goes_away_leaves_nothing)
{
	static const int errors[] = { ENODEV, EIO };
	const char *step;
	unsigned int n;

	for (n = 1; n < 1000; n++) {
		uint8_t byte;
		bool more;
		int r;

		device_for_life();
		fk->fail_at = n;
		fk->fail_on = true;
		fk->fail_errno = errors[_i];
		r = life(&step);
		more = fk->failed;
		ck_assert_msg(!more || r < 0,
			      "call %u and all after it fail, and nobody is told", n);
		if (dev && more) {
			ck_assert_int_lt(vhost_dev_get_status(dev, &byte), 0);
			ck_assert_int_lt(vhost_dev_get_config(dev, 0, &byte, 1), 0);
			vhost_dev_stop(dev);
			ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
			ck_assert_int_lt(vhost_dev_reset(dev), 0);
		}
		bench_end();
		if (!more)
			return;
	}
	ck_abort_msg("it never ends");
}
END_TEST

/* ----------------------------------------------------------------------- the suite */

int main(void)
{
	Suite *s = suite_create("vdpa");
	TCase *tc = tcase_create("vdpa"), *own = tcase_create("each");
	SRunner *runner;
	int failed;

	if (sysconf(_SC_PAGESIZE) != 4096) {
		printf("skip: the addresses here are made for pages of 4096 bytes\n");
		return 77;
	}
	tcase_add_checked_fixture(tc, begin, bench_end);
	tcase_set_timeout(own, 120);

	tcase_add_test(tc, opening_asks_for_what_the_device_is);
	tcase_add_test(tc, an_old_kernel_is_taken_as_it_is);
	tcase_add_test(tc, a_kernel_without_back_end_features_gets_the_first_layout);
	tcase_add_test(tc, the_device_is_brought_up_in_this_order);
	tcase_add_test(tc, features_are_set_again_from_the_beginning);
	tcase_add_test(tc, features_past_64_are_not_carried);
	tcase_add_test(tc, what_vdpa_has_not_is_not_supported);

	tcase_add_test(tc, features_that_the_device_does_not_take_fail_the_start);
	tcase_add_test(tc, a_device_that_does_not_keep_driver_ok_did_not_start);
	tcase_add_loop_test(tc, a_device_that_fails_at_its_start_is_named, 0, 2);
	tcase_add_test(tc, a_config_interrupt_is_an_event);
	tcase_add_test(tc, process_alone_listens_as_well);
	tcase_add_test(tc, a_device_that_needs_a_reset_says_so_once);
	tcase_add_test(tc, an_event_may_drop_the_device);
	tcase_add_test(tc, the_config_interrupt_goes_where_the_user_wants_it);
	tcase_add_test(tc, status_0_resets_the_device);

	tcase_add_test(tc, config_is_read_and_written_within_its_bounds);
	tcase_add_test(tc, a_device_without_config_has_none);

	tcase_add_test(tc, k20_memory_outside_of_the_range_is_refused_first);
	tcase_add_test(tc, k20_translations_outside_of_the_range_are_refused_first);
	tcase_add_test(tc, k20_the_last_page_of_all_can_be_used);
	tcase_add_test(tc, a_range_that_is_none_is_not_believed);
	tcase_add_test(tc, k12_memory_that_overlaps_is_refused_first);
	tcase_add_test(tc, memory_that_is_not_whole_pages_is_refused_first);
	tcase_add_test(tc, private_memory_is_refused_by_name_unless_it_is_wanted);
	tcase_add_test(tc, memory_without_an_address_is_refused);
	tcase_add_test(tc, k12_the_limit_on_pinned_memory_is_named);
	tcase_add_test(tc, memory_that_the_kernel_refuses_is_not_recorded);
	tcase_add_test(tc, memory_is_read_only_where_it_says_so);
	tcase_add_test(tc, memory_is_taken_back_with_what_leads_to_it);
	tcase_add_test(tc, a_region_is_taken_back_and_its_alias_stays);
	tcase_add_test(tc, memory_with_the_rings_of_a_queue_that_runs_stays);
	tcase_add_test(tc, a_part_of_an_entry_is_taken_back_and_the_rest_stays);
	tcase_add_test(tc, a_translation_to_what_is_not_there_is_refused);
	tcase_add_test(tc, k15_a_message_that_is_written_in_part_is_an_error);

	tcase_add_test(tc, a_new_memory_map_is_one_batch);
	tcase_add_test(tc, without_the_feature_there_are_no_batches);
	tcase_add_test(tc, a_transaction_is_one_batch);
	tcase_add_test(tc, a_transaction_that_is_cancelled_ends_its_batch);
	tcase_add_test(tc, a_start_within_a_transaction_finds_its_memory);
	tcase_add_test(tc, a_batch_that_the_device_does_not_take_fails_the_commit);
	tcase_add_test(tc, a_batch_is_of_one_address_space);

	tcase_add_test(tc, after_a_reset_the_memory_is_mapped_anew);
	tcase_add_test(tc, after_a_reset_the_memory_of_all_address_spaces_is_mapped_anew);
	tcase_add_test(tc, memory_that_persists_is_not_mapped_anew);
	tcase_add_test(tc, a_reset_forgets_the_queues_and_keeps_the_memory);

	tcase_add_test(tc, k20_a_group_or_address_space_that_is_not_there_is_refused_first);
	tcase_add_test(tc, groups_have_address_spaces_and_keep_them);
	tcase_add_test(tc, rings_are_looked_for_in_their_own_address_space);
	tcase_add_test(tc, rings_that_are_not_mapped_are_found_at_the_start);
	tcase_add_test(tc, a_group_that_cannot_be_is_not_believed);
	tcase_add_test(tc, a_queue_s_size_is_its_own_where_the_device_says_it);

	tcase_add_test(tc, a_device_that_can_be_suspended_stops_where_it_is);
	tcase_add_test(tc, a_device_that_cannot_be_suspended_stops_by_a_reset);
	tcase_add_test(tc, what_a_reset_lost_is_not_forgotten);
	tcase_add_test(tc, with_in_order_the_used_index_says_where_to_go_on);
	tcase_add_loop_test(tc, a_packed_ring_goes_on_where_nothing_was_in_flight, 0, 2);
	tcase_add_test(tc, an_attached_virtq_has_its_requests_done_again);
	tcase_add_test(tc, a_device_is_suspended_and_resumed);
	tcase_add_test(tc, a_suspended_device_is_stopped_and_started);
	tcase_add_test(tc, k14_a_device_that_cannot_be_suspended_is_not);
	tcase_add_test(tc, k14_a_device_that_cannot_be_resumed_is_not);
	tcase_add_test(tc, k14_suspend_and_resume_come_in_pairs);
	tcase_add_test(tc, a_suspend_that_fails_leaves_the_device_running);
	tcase_add_test(tc, a_stop_whose_suspend_fails_stops_all_the_same);
	tcase_add_test(tc, status_0_stops_and_keeps_where_the_queues_stopped);
	tcase_add_test(tc, driver_ok_comes_with_the_queues);
	tcase_add_test(tc, a_reset_does_not_mind_a_device_that_does_not_stop);
	tcase_add_test(tc, what_changes_while_suspended_holds_after_it);
	tcase_add_test(tc, memory_behind_the_rings_is_not_taken_while_they_run);
	tcase_add_test(tc, a_batch_ends_before_the_device_goes_on);
	tcase_add_test(tc, a_descriptor_that_is_refused_does_not_take_the_place_of_the_last);

	tcase_add_test(tc, a_queue_is_enabled_while_it_runs_where_the_device_can);
	tcase_add_test(tc, a_queue_is_not_enabled_while_it_runs_where_the_device_cannot);
	tcase_add_test(tc, the_call_eventfd_is_exchanged_while_it_runs);
	tcase_add_test(tc, a_size_above_the_device_s_is_refused);
	tcase_add_test(tc, doorbells_are_mapped_once);
	tcase_add_test(tc, k20_the_doorbell_of_a_queue_that_is_not_there_is_refused);
	tcase_add_test(tc, a_device_without_doorbells_has_none);
	tcase_add_test(tc, a_device_is_not_found_by_a_name_that_is_none);

	tcase_add_loop_test(own, each_call_fails_in_turn, 0, 3);
	tcase_add_loop_test(own, k13_a_device_that_goes_away_leaves_nothing, 0, 2);

	suite_add_tcase(s, tc);
	suite_add_tcase(s, own);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
