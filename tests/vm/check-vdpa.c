/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * vDPA on a real kernel: the kernel's simulators of a disk and of a network card, with
 * this program as their driver. Run as root in the test guest.
 *
 * No simulator raises a configuration interrupt, and none has a doorbell page, a
 * limited IOVA range or descriptor groups: the interrupt is tested with VDUSE
 * (check-vduse-disk.c), the rest without a kernel.
 */
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "bus.h"
#include "disk.h"

#define BLK "lvh-blk"
#define NET "lvh-net"
#define SPARE "lvh-spare"
#define PAGE 4096u
#define CAPACITY 0x40000u		/* sectors of the simulated disk */

/* Expect a failure, and a sentence about it. */
#define DEV_REFUSES(dev, call, error) do { \
	int r_ = (call); \
	ck_assert_msg(r_ == (error), "%s: %d: %s", #call, r_, vhost_dev_error(dev)); \
	ck_assert_msg(*vhost_dev_error(dev), "%s: no sentence", #call); \
} while (0)

/* ... of one kind. */
#define DEV_REFUSES_AS(dev, call, error, kind) do { \
	DEV_REFUSES(dev, call, error); \
	ck_assert_msg(vhost_dev_error_kind(dev) == (kind), "%s: kind %d: %s", #call, \
		      vhost_dev_error_kind(dev), vhost_dev_error(dev)); \
} while (0)

#define LAST_SAYS(word) \
	ck_assert_msg(strstr(vhost_last_error(), word), "\"%s\" is not in: %s", word, \
		      vhost_last_error())

static struct leak before;
static struct disk disk;

/* How many write(2)s this process made. An assertion makes some, too. */
static unsigned long writes_made(void)
{
	FILE *f = fopen("/proc/self/io", "re");
	unsigned long n = 0;
	char line[64];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "syscw: %lu", &n) == 1)
			break;
	if (f)
		fclose(f);
	return n;
}

static bool add_devices(void)
{
	return bus_sh("vdpa dev add name " BLK " mgmtdev vdpasim_blk") == 0 &&
	       bus_sh("vdpa dev add name " NET " mgmtdev vdpasim_net mac 02:aa:bb:cc:dd:ee") == 0;
}

static bool remove_devices(void)
{
	return bus_sh("vdpa dev del " BLK) == 0 && bus_sh("vdpa dev del " NET) == 0;
}

static void setup(void)
{
	if (bus_has(SPARE))	/* a test that failed left it */
		bus_sh("vdpa dev del " SPARE);
	before = leak_begin();
}

static void teardown(void)
{
	ck_assert_int_eq(leak_check(&before), 0);
}

static void setup_disk(void)
{
	setup();
	disk_open(&disk, "vdpa:" BLK, 0, 0);
}

static void teardown_disk(void)
{
	disk_close(&disk);
	teardown();
}

/* ------------------------------------------------------------------------ opening */

START_TEST(it_opens_by_path_and_by_name)
{
	char path[64], small[4];
	vhost_dev_t *dev;

	ck_assert_int_eq(vhost_vdpa_find(BLK, path, sizeof(path)), 0);
	ck_assert_str_eq(path, bus_node(BLK));
	ck_assert_int_eq(vhost_vdpa_find(BLK, small, sizeof(small)), -ENOSPC);
	ck_assert_int_eq(vhost_dev_open(path, NULL, 0, &dev), 0);
	ck_assert_str_eq(vhost_dev_get_transport(dev), "vhost-vdpa");
	ck_assert_str_eq(vhost_dev_get_address(dev), path);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_DEVICE_ID), 2);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	dev = vhost_dev_unref(dev);
	ck_assert_int_eq(vhost_dev_open("vdpa:" NET, NULL, 0, &dev), 0);
	ck_assert_str_eq(vhost_dev_get_address(dev), "vdpa:" NET);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_DEVICE_ID), 1);
	vhost_dev_unref(dev);
}
END_TEST

START_TEST(it_opens_by_descriptor)
{
	int fd = open(bus_node(BLK), O_RDWR | O_CLOEXEC);
	char address[16];
	vhost_dev_t *dev;

	ck_assert_int_ge(fd, 0);
	snprintf(address, sizeof(address), "fd:%d", fd);
	ck_assert_int_eq(vhost_dev_open(address, NULL, 0, &dev), 0);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_DEVICE_ID), 2);
	vhost_dev_unref(dev);
	ck_assert_int_ge(fcntl(fd, F_GETFD), 0);	/* it was borrowed */
	close(fd);
}
END_TEST

static void connected(vhost_dev_t *dev, int status, void *opaque)
{
	(void)dev;
	ck_assert_int_eq(status, 0);
	++*(int *)opaque;
}

START_TEST(it_opens_without_waiting)
{
	static const struct vhost_dev_events events = { .connected = connected };
	int n = 0;
	struct vhost_dev_opts opts = {
		.flags = VHOST_OPEN_NONBLOCK, .events = &events,
		.events_size = sizeof(events), .events_opaque = &n,
	};
	vhost_dev_t *dev;

	ck_assert_int_eq(vhost_dev_open("vdpa:" BLK, &opts, sizeof(opts), &dev), 0);
	ck_assert_int_eq(poll(&(struct pollfd){ vhost_dev_get_fd(dev), POLLIN, 0 }, 1, 1000), 1);
	DEV_OK(dev, vhost_dev_process(dev));
	ck_assert_int_eq(n, 1);
	DEV_OK(dev, vhost_dev_process(dev));
	ck_assert_int_eq(n, 1);
	vhost_dev_unref(dev);
}
END_TEST

START_TEST(a_name_that_is_not_on_the_bus_is_said_so)
{
	static const char *const bad[] = { "", ".", "..", "../x", "a/b" };
	char path[64], name[300];
	vhost_dev_t *dev = NULL;
	size_t i;

	ck_assert_int_eq(vhost_vdpa_find("nobody", path, sizeof(path)), -ENODEV);
	LAST_SAYS("nobody");
	ck_assert_int_eq(vhost_dev_open("vdpa:nobody", NULL, 0, &dev), -ENODEV);
	LAST_SAYS("nobody");
	ck_assert_int_eq(vhost_dev_open("/dev/vhost-vdpa-99", NULL, 0, &dev), -ENOENT);
	LAST_SAYS("/dev/vhost-vdpa-99");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(vhost_vdpa_find(bad[i], path, sizeof(path)), -EINVAL);
		ck_assert_int_ne(*vhost_last_error(), 0);
	}
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	ck_assert_int_eq(vhost_vdpa_find(name, path, sizeof(path)), -EINVAL);
	ck_assert_int_eq(vhost_dev_open("vdpa:", NULL, 0, &dev), -EINVAL);
	ck_assert_int_eq(vhost_dev_open("/dev/null", NULL, 0, &dev), -ENOTTY);
	ck_assert_ptr_null(dev);
}
END_TEST

START_TEST(a_device_with_another_driver_or_none_is_said_so)
{
	vhost_dev_t *dev = NULL;
	int r;

	ck_assert_int_eq(bus_sh("vdpa dev add name " SPARE " mgmtdev vdpasim_blk"), 0);
	ck_assert_int_eq(bus_sh("echo " SPARE " >/sys/bus/vdpa/drivers/vhost_vdpa/unbind"), 0);
	r = vhost_dev_open("vdpa:" SPARE, NULL, 0, &dev);
	ck_assert_int_eq(r, -ENXIO);
	LAST_SAYS(SPARE);
	LAST_SAYS("vhost_vdpa");
	if (bus_sh("modprobe virtio_vdpa 2>/dev/null") == 0) {
		ck_assert_int_eq(bus_sh("cd /sys/bus/vdpa && [ -e devices/" SPARE "/driver ] || "
					"echo " SPARE " >drivers/virtio_vdpa/bind"), 0);
		r = vhost_dev_open("vdpa:" SPARE, NULL, 0, &dev);
		ck_assert_int_eq(r, -ENXIO);
		LAST_SAYS(SPARE);
	} else {
		guest_skip_case("there is no virtio_vdpa");
	}
	ck_assert_int_eq(bus_sh("vdpa dev del " SPARE), 0);
	bus_sh("modprobe -r virtio_vdpa 2>/dev/null");
}
END_TEST

START_TEST(a_device_is_opened_once)
{
	vhost_dev_t *first, *second = NULL;

	ck_assert_int_eq(vhost_dev_open("vdpa:" BLK, NULL, 0, &first), 0);
	ck_assert_int_eq(vhost_dev_open("vdpa:" BLK, NULL, 0, &second), -EBUSY);
	ck_assert_int_eq(vhost_last_error_kind(), VHOST_ERR_IN_USE);
	LAST_SAYS(bus_node(BLK));
	ck_assert_int_eq(vhost_dev_open(bus_node(BLK), NULL, 0, &second), -EBUSY);
	ck_assert_int_eq(vhost_last_error_kind(), VHOST_ERR_IN_USE);
	ck_assert_ptr_null(second);
	vhost_dev_unref(first);
	ck_assert_int_eq(vhost_dev_open("vdpa:" BLK, NULL, 0, &second), 0);
	vhost_dev_unref(second);
}
END_TEST

static bool is_refused_as_no_owner(void)
{
	return vhost_dev_mem_add_mem(disk.dev, disk.mem) == -EPERM &&
	       vhost_dev_error_kind(disk.dev) == VHOST_ERR_NOT_OWNER;
}

START_TEST(a_forked_process_is_told_that_it_is_not_the_owner)
{
	disk_open(&disk, "vdpa:" BLK, 0, 0);
	ck_assert(guest_in_child(is_refused_as_no_owner));
	disk_start(&disk);	/* ours it is still */
	disk_works(&disk, 0, 0);
	disk_close(&disk);
}
END_TEST

START_TEST(a_device_is_removed_while_it_is_open)
{
	const char *argv[] = { program_find("vdpa"), "dev", "del", SPARE, NULL };
	vhost_dev_t *second = NULL;
	uint64_t features, end;
	uint8_t status;
	pid_t pid;

	ck_assert_int_eq(bus_sh("vdpa dev add name " SPARE " mgmtdev vdpasim_blk"), 0);
	disk_open(&disk, "vdpa:" SPARE, 0, 0);
	disk_start(&disk);
	disk_works(&disk, 0, 1);
	pid = program_start(argv, -1);
	end = program_now_ms() + PROGRAM_PATIENCE_MS;
	while (*bus_node(SPARE) && program_now_ms() < end)
		poll(NULL, 0, 10);
	ck_assert_str_eq(bus_node(SPARE), "");
	ck_assert(program_is_alive(pid));

	/* It is gone for others. For us it goes on as long as we have it. */
	ck_assert_int_lt(vhost_dev_open("vdpa:" SPARE, NULL, 0, &second), 0);
	LAST_SAYS(SPARE);
	disk_works(&disk, 64, 2);
	DEV_OK(disk.dev, vhost_dev_get_features(disk.dev, &features));
	DEV_OK(disk.dev, vhost_dev_stop(disk.dev));
	DEV_OK(disk.dev, vhost_dev_get_status(disk.dev, &status));
	DEV_OK(disk.dev, vhost_dev_start(disk.dev));
	disk_works(&disk, 0, 3);
	ck_assert(program_is_alive(pid));
	disk_close(&disk);
	end = program_now_ms() + PROGRAM_PATIENCE_MS;
	while (program_is_alive(pid) && program_now_ms() < end)
		poll(NULL, 0, 10);
	ck_assert_msg(!program_is_alive(pid), "vdpa dev del still waits");
	program_end(pid, SIGTERM);
	ck_assert(!bus_has(SPARE));
}
END_TEST

/* --------------------------------------------------------------------- what it says */

START_TEST(a_disk_says_what_it_can)
{
	vhost_dev_t *dev = disk.dev;
	uint64_t offered, acked, features;
	uint32_t size;

	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_MAX_QUEUES), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_MAX_QUEUE_SIZE), 256);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_IOVA_FIRST), 0);
	/* The kernel says 2^64 - 1; a region ends below 2^64. */
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_IOVA_LAST), UINT64_MAX - 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_GROUPS), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_ADDRESS_SPACES), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_CONFIG), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_STATUS), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_RESET), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_MEM_HOTPLUG), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_MEM_NEEDS_ADDR), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_MEM_NEEDS_SHARED), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_MEM_PINNED), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_IOTLB), 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_LOG), 0);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_INFLIGHT), 0);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_WORKERS), 0);

	/* What is in use is what is offered, as far as it is known. */
	DEV_OK(dev, vhost_dev_get_backend_features(dev, &offered, &acked));
	ck_assert_uint_eq(acked, offered & 0x1fe);
	ck_assert_uint_ne(acked & 1 << 1, 0);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_SUSPEND), offered >> 4 & 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_RESUME), offered >> 5 & 1);
	ck_assert_uint_eq(guest_cap(dev, VHOST_CAP_ENABLE_RUNNING), offered >> 6 & 1);

	DEV_OK(dev, vhost_dev_get_features(dev, &features));
	ck_assert_uint_eq(features & (F_VERSION_1 | F_ACCESS_PLATFORM),
			  F_VERSION_1 | F_ACCESS_PLATFORM);
	ck_assert_uint_eq(features >> 50 & 1, 0);
	DEV_REFUSES(dev, vhost_dev_set_features(dev, F_VERSION_1 | F_ACCESS_PLATFORM | 1ull << 50),
		  -EINVAL);
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), 0);

	DEV_OK(dev, vhost_vdpa_get_queue_size(dev, 0, &size));
	ck_assert_uint_eq(size, 256);
}
END_TEST

START_TEST(its_configuration_is_read_within_its_bounds)
{
	vhost_dev_t *dev = disk.dev;
	size_t max = (size_t)guest_cap(dev, VHOST_CAP_CONFIG_MAX);
	uint64_t capacity;
	uint8_t byte = 0, all[512];

	DEV_OK(dev, vhost_dev_get_config(dev, 0, &capacity, sizeof(capacity)));
	ck_assert_uint_eq(le64toh(capacity), CAPACITY);
	ck_assert_uint_ge(max, 60);
	ck_assert_uint_lt(max, sizeof(all));
	DEV_OK(dev, vhost_dev_get_config(dev, 0, all, max));
	DEV_OK(dev, vhost_dev_get_config(dev, (uint32_t)max - 1, &byte, 1));
	ck_assert_uint_eq(byte, all[max - 1]);
	ck_assert_int_lt(vhost_dev_get_config(dev, (uint32_t)max, &byte, 1), 0);
	ck_assert_int_lt(vhost_dev_get_config(dev, 1, all, max), 0);
	ck_assert_int_lt(vhost_dev_get_config(dev, UINT32_MAX, &byte, 1), 0);
	ck_assert_int_lt(vhost_dev_get_config(dev, UINT32_MAX - 3, all, 8), 0);
	ck_assert_int_ne(*vhost_dev_error(dev), 0);
	DEV_REFUSES(dev, vhost_dev_get_config(dev, 0, all, 0), -EINVAL);
	DEV_OK(dev, vhost_dev_set_config(dev, 32, &all[32], 1, 0));
	ck_assert_int_lt(vhost_dev_set_config(dev, (uint32_t)max, &byte, 1, 0), 0);
}
END_TEST

START_TEST(what_the_device_lacks_is_answered_with_enotsup)
{
	vhost_dev_t *dev = disk.dev;
	uint32_t n;
	size_t size;
	void *page;
	int mode;

	DEV_REFUSES(dev, vhost_vdpa_map_doorbell(dev, 0, &page, &size), -ENOTSUP);
	DEV_REFUSES(dev, vhost_vdpa_get_desc_group(dev, 0, &n), -ENOTSUP);
	DEV_REFUSES(dev, vhost_dev_log_start(dev), -ENOTSUP);
	DEV_REFUSES(dev, vhost_dev_inflight_enable(dev, 1, 128), -ENOTSUP);
	DEV_REFUSES(dev, vhost_worker_new(dev, &n), -ENOTSUP);
	DEV_REFUSES(dev, vhost_worker_get_mode(dev, &mode), -ENOTSUP);
	DEV_REFUSES(dev, vhost_net_set_backend(dev, 0, -1), -ENOTSUP);
	DEV_REFUSES(dev, vhost_vsock_set_cid(dev, 42), -ENOTSUP);
	DEV_OK(dev, vhost_vdpa_unmap_doorbell(dev, 0));
	disk_start(&disk);		/* and is none the worse for it */
	disk_works(&disk, 0, 4);
}
END_TEST

START_TEST(an_index_equal_to_the_count_is_refused)
{
	vhost_dev_t *dev = disk.dev;
	struct vhost_vq_config config = {
		.size = 256, .desc = 0x10000, .driver = 0x20000, .device = 0x30000,
		.kick_fd = -1, .call_fd = -1, .err_fd = -1,
	};
	struct vhost_iotlb_entry entry;
	uint32_t n;
	size_t size;
	void *page;

	DEV_REFUSES(dev, vhost_vdpa_get_queue_size(dev, 1, &n), -EINVAL);
	DEV_REFUSES(dev, vhost_vdpa_get_group(dev, 1, &n), -EINVAL);
	DEV_REFUSES(dev, vhost_vdpa_get_desc_group(dev, 1, &n), -EINVAL);
	DEV_REFUSES(dev, vhost_vdpa_map_doorbell(dev, 1, &page, &size), -EINVAL);
	DEV_REFUSES(dev, vhost_vdpa_unmap_doorbell(dev, 1), -EINVAL);
	DEV_REFUSES(dev, vhost_vdpa_set_group_asid(dev, 1, 0), -EINVAL);
	DEV_REFUSES(dev, vhost_vdpa_set_group_asid(dev, 0, 1), -EINVAL);
	DEV_REFUSES(dev, vhost_dev_vq_setup(dev, 1, &config, sizeof(config)), -EINVAL);
	DEV_REFUSES(dev, vhost_dev_vq_attach(dev, 1, disk.vq), -EINVAL);
	config.size = 512;	/* the device has 256 */
	DEV_REFUSES(dev, vhost_dev_vq_setup(dev, 0, &config, sizeof(config)), -EINVAL);
	DEV_OK(dev, vhost_dev_mem_add_mem(dev, disk.mem));
	entry = (struct vhost_iotlb_entry){
		.iova = 0x10000, .size = PAGE, .target = vhost_mem_iova(disk.mem),
		.perm = VHOST_IOTLB_PERM_READ, .asid = 1,
	};
	DEV_REFUSES(dev, vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), -EINVAL);
	DEV_REFUSES(dev, vhost_dev_iotlb_invalidate(dev, 0x10000, PAGE, 1), -EINVAL);
}
END_TEST

/* --------------------------------------------------------------------------- data */

START_TEST(a_disk_says_its_name_and_reads_back_what_was_written)
{
	uint32_t base;
	uint8_t status;

	disk_start(&disk);
	DEV_OK(disk.dev, vhost_dev_get_status(disk.dev, &status));
	ck_assert_uint_eq(status, 0xf);
	disk_post(&disk, 0, DISK_T_GET_ID, 0);
	disk_settle(&disk);
	ck_assert_str_eq((char *)disk.reqs[0].data, "vdpa_blk_sim");
	disk_works(&disk, CAPACITY / 8 - DISK_DEPTH, 5);
	DEV_OK(disk.dev, vhost_dev_stop(disk.dev));
	DEV_OK(disk.dev, vhost_dev_vq_get_base(disk.dev, 0, &base));
	ck_assert_uint_eq(base, 1 + 2 * DISK_DEPTH);
}
END_TEST

START_TEST(it_goes_on_from_its_base_after_a_stop)
{
	uint32_t base, expected = 0, seed;

	disk_start(&disk);
	for (seed = 1; seed <= 5; seed++) {
		disk_works(&disk, 0, seed);
		DEV_OK(disk.dev, vhost_dev_stop(disk.dev));
		ck_assert_int_eq(vhost_dev_get_state(disk.dev), VHOST_DEV_STOPPED);
		DEV_OK(disk.dev, vhost_dev_vq_get_base(disk.dev, 0, &base));
		expected += 2 * DISK_DEPTH;
		ck_assert_uint_eq(base, expected);
		/* Posted meanwhile: the start's own kick is enough. */
		disk_clear(&disk, 0);
		disk_post(&disk, 0, DISK_T_IN, 0);
		ck_assert(!disk_wait(&disk, 20));
		DEV_OK(disk.dev, vhost_dev_start(disk.dev));
		ck_assert(disk_wait(&disk, PROGRAM_PATIENCE_MS));
		disk_check(&disk, 0, seed);
		expected++;
	}
	DEV_OK(disk.dev, vhost_dev_stop(disk.dev));
	DEV_OK(disk.dev, vhost_dev_vq_get_base(disk.dev, 0, &base));
	ck_assert_uint_eq(base, expected);
}
END_TEST

START_TEST(nothing_is_lost_by_stops_under_load)
{
	unsigned int round, i;

	disk_start(&disk);
	for (round = 0; round < 20; round++) {
		for (i = 0; i < DISK_DEPTH; i++) {
			if (disk.reqs[i].busy)
				continue;
			disk_fill(&disk, i, i);
			disk_post(&disk, i, DISK_T_OUT, disk_sector(i));
		}
		vhost_virtq_kick(disk.vq);
		DEV_OK(disk.dev, vhost_dev_stop(disk.dev));
		disk_collect(&disk);
		DEV_OK(disk.dev, vhost_dev_start(disk.dev));
	}
	disk_settle(&disk);
	disk_works(&disk, 0, 6);
}
END_TEST

/* False, with the reason said, if the device cannot. */
static bool can(vhost_dev_t *dev, uint32_t which)
{
	char why[64];

	if (guest_cap(dev, which))
		return true;
	snprintf(why, sizeof(why), "the simulator has no %s", vhost_cap_name(which));
	guest_skip_case(why);
	return false;
}

START_TEST(a_suspended_disk_does_nothing_until_it_is_resumed)
{
	vhost_dev_t *dev = disk.dev;
	unsigned int round;

	if (!can(dev, VHOST_CAP_SUSPEND) || !can(dev, VHOST_CAP_RESUME))
		return;
	disk_prepare(&disk, 0);
	DEV_REFUSES(dev, vhost_dev_suspend(dev), -EINVAL);	/* not started */
	DEV_REFUSES(dev, vhost_dev_resume(dev), -EINVAL);
	DEV_OK(dev, vhost_dev_start(dev));
	DEV_OK(dev, vhost_dev_resume(dev));			/* it runs */
	for (round = 1; round <= 3; round++) {
		uint32_t base;

		disk_works(&disk, 0, round);
		DEV_OK(dev, vhost_dev_suspend(dev));
		ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_SUSPENDED);
		DEV_OK(dev, vhost_dev_suspend(dev));
		DEV_OK(dev, vhost_dev_vq_get_base(dev, 0, &base));
		ck_assert_uint_eq(base, round * 2 * DISK_DEPTH + round - 1);
		DEV_REFUSES(dev, vhost_dev_start(dev), -EBUSY);
		disk_clear(&disk, 0);
		disk_post(&disk, 0, DISK_T_IN, 0);
		vhost_virtq_kick(disk.vq);
		ck_assert(!disk_wait(&disk, 100));
		DEV_OK(dev, vhost_dev_resume(dev));
		ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
		ck_assert(disk_wait(&disk, PROGRAM_PATIENCE_MS));
		disk_check(&disk, 0, round);
	}
	DEV_OK(dev, vhost_dev_suspend(dev));
	DEV_OK(dev, vhost_dev_stop(dev));
	DEV_OK(dev, vhost_dev_start(dev));
	disk_works(&disk, 0, 8);
}
END_TEST

START_TEST(a_queue_is_enabled_while_the_device_runs)
{
	vhost_dev_t *dev = disk.dev;

	if (!can(dev, VHOST_CAP_ENABLE_RUNNING))
		return;
	disk_prepare(&disk, 0);
	DEV_OK(dev, vhost_dev_vq_enable(dev, 0, 0));
	DEV_OK(dev, vhost_dev_start(dev));
	disk_post(&disk, 0, DISK_T_GET_ID, 0);
	vhost_virtq_kick(disk.vq);
	ck_assert(!disk_wait(&disk, 100));
	DEV_OK(dev, vhost_dev_vq_enable(dev, 0, 1));
	DEV_OK(dev, vhost_dev_vq_kick(dev, 0));
	ck_assert(disk_wait(&disk, PROGRAM_PATIENCE_MS));
	disk_works(&disk, 0, 9);
}
END_TEST

START_TEST(it_is_closed_with_requests_in_flight_and_opened_again)
{
	unsigned int round, i;

	for (round = 0; round < 10; round++) {
		disk_start(&disk);
		for (i = 0; i < DISK_DEPTH; i++)
			disk_post(&disk, i, DISK_T_IN, disk_sector(i));
		vhost_virtq_kick(disk.vq);
		disk_close(&disk);
		disk_open(&disk, "vdpa:" BLK, 0, 0);
	}
	disk_start(&disk);
	disk_works(&disk, 0, 24);
}
END_TEST

START_TEST(a_reset_disk_is_set_up_anew)
{
	uint32_t base;
	uint8_t status;

	disk_start(&disk);
	disk_works(&disk, 0, 10);
	DEV_OK(disk.dev, vhost_dev_reset(disk.dev));
	DEV_OK(disk.dev, vhost_dev_get_status(disk.dev, &status));
	ck_assert_uint_eq(status, 0);
	DEV_REFUSES(disk.dev, vhost_dev_vq_get_base(disk.dev, 0, &base), -ENOENT);
	DEV_REFUSES(disk.dev, vhost_dev_start(disk.dev), -EINVAL);
	vhost_virtq_reset(disk.vq);
	DEV_OK(disk.dev, vhost_dev_set_features(disk.dev, F_VERSION_1 | F_ACCESS_PLATFORM));
	DEV_OK(disk.dev, vhost_dev_vq_attach(disk.dev, 0, disk.vq));
	DEV_OK(disk.dev, vhost_dev_start(disk.dev));	/* the memory stayed */
	disk_works(&disk, 32, 11);
}
END_TEST

START_TEST(there_is_no_connection_to_make_again)
{
	disk_start(&disk);
	disk_works(&disk, 0, 12);
	ck_assert_uint_eq(guest_cap(disk.dev, VHOST_CAP_RECONNECT), 0);
	DEV_REFUSES(disk.dev, vhost_dev_reconnect(disk.dev, 0), -ENOTSUP);
	ck_assert_int_eq(vhost_dev_get_state(disk.dev), VHOST_DEV_STARTED);
	disk_works(&disk, 64, 13);
}
END_TEST

START_TEST(a_bring_up_is_one_transaction)
{
	DEV_OK(disk.dev, vhost_dev_begin(disk.dev));
	disk_prepare(&disk, 0);
	DEV_OK(disk.dev, vhost_dev_start(disk.dev));
	DEV_OK(disk.dev, vhost_dev_commit(disk.dev));
	disk_works(&disk, 0, 14);
}
END_TEST

/* -------------------------------------------------------------------------- memory */

/* A file of @size bytes in memory, mapped as @flags say. The file is closed. */
static void *map_file(size_t size, int flags)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	void *p;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	close(fd);
	return p;
}

static void *map_anonymous(size_t size, int flags)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

static struct vhost_mem_desc describe(uint64_t iova, void *addr, uint64_t size)
{
	return (struct vhost_mem_desc){ .iova = iova, .size = size, .addr = addr, .fd = -1 };
}

/* Write @buf, which the device has at @iova, to a block, and read it into there again. */
static void works_at(struct disk *d, uint8_t *buf, uint64_t iova, unsigned int block)
{
	unsigned int at;

	for (at = 0; at < DISK_BLOCK; at++)
		buf[at] = disk_byte(block, at);
	disk_post_at(d, 0, DISK_T_OUT, disk_sector(block), iova, DISK_BLOCK);
	disk_settle(d);
	memset(buf, 0, DISK_BLOCK);
	disk_post_at(d, 0, DISK_T_IN, disk_sector(block), iova, DISK_BLOCK);
	disk_settle(d);
	for (at = 0; at < DISK_BLOCK; at++)
		if (buf[at] != disk_byte(block, at))
			break;
	ck_assert_msg(at == DISK_BLOCK, "byte %u of block %u is wrong", at, block);
}

START_TEST(memory_comes_and_goes_while_the_disk_runs)
{
	size_t size = 16 * PAGE;
	uint8_t *file = map_file(size, MAP_SHARED), *anon = map_anonymous(size, MAP_SHARED);
	struct vhost_mem_desc desc;
	uint64_t iova;
	int i;

	disk_start(&disk);
	DEV_OK(disk.dev, vhost_dev_iova_alloc(disk.dev, 2 * size, 0, &iova));
	for (i = 0; i < 5; i++) {
		desc = describe(iova, file, size);
		DEV_OK(disk.dev, vhost_dev_mem_add(disk.dev, &desc, sizeof(desc)));
		desc = describe(iova + size, anon, size);
		DEV_OK(disk.dev, vhost_dev_mem_add(disk.dev, &desc, sizeof(desc)));
		works_at(&disk, file + PAGE, iova + PAGE, 100);
		works_at(&disk, anon + 5 * PAGE, iova + size + 5 * PAGE, 101);
		/* One request across the seam. */
		works_at(&disk, file, iova, 102);
		disk_post_at(&disk, 0, DISK_T_IN, disk_sector(102), iova + size - 1024, DISK_BLOCK);
		disk_settle(&disk);
		ck_assert_uint_eq(file[size - 1024], disk_byte(102, 0));
		ck_assert_uint_eq(anon[0], disk_byte(102, 1024));
		DEV_OK(disk.dev, vhost_dev_mem_remove(disk.dev, iova, size));
		DEV_OK(disk.dev, vhost_dev_mem_remove(disk.dev, iova + size, size));
	}
	DEV_REFUSES(disk.dev, vhost_dev_mem_remove(disk.dev, iova, size), -ENOENT);
	DEV_REFUSES(disk.dev, vhost_dev_mem_remove(disk.dev, vhost_mem_iova(disk.mem),
						   DISK_MEM_SIZE), -EBUSY);
	disk_works(&disk, 0, 15);
	munmap(file, size);
	munmap(anon, size);
}
END_TEST

START_TEST(memory_is_used_up_to_the_last_address)
{
	uint8_t *page = map_file(PAGE, MAP_SHARED);
	uint64_t end = guest_cap(disk.dev, VHOST_CAP_IOVA_LAST) + 1;
	struct vhost_mem_desc desc = describe(end - end % PAGE - PAGE, page, PAGE);

	disk_start(&disk);
	DEV_OK(disk.dev, vhost_dev_mem_add(disk.dev, &desc, sizeof(desc)));
	works_at(&disk, page, desc.iova, 103);
	desc.iova += PAGE;
	DEV_REFUSES(disk.dev, vhost_dev_mem_add(disk.dev, &desc, sizeof(desc)), -EINVAL);
	desc.size = 2 * PAGE;	/* wraps */
	DEV_REFUSES(disk.dev, vhost_dev_mem_add(disk.dev, &desc, sizeof(desc)), -EINVAL);
	works_at(&disk, page, desc.iova - PAGE, 104);
	munmap(page, PAGE);
}
END_TEST

START_TEST(memory_that_cannot_be_is_refused)
{
	vhost_dev_t *dev = disk.dev;
	uint8_t *p = map_file(16 * PAGE, MAP_SHARED);
	const uint64_t at = 0x200000000000;
	const struct {
		struct vhost_mem_desc desc;
		int error;
	} bad[] = {
		{ describe(at, p, 0), -EINVAL },
		{ describe(2 * at + 512, p, PAGE), -EINVAL },
		{ describe(2 * at, p, PAGE + 512), -EINVAL },
		{ describe(2 * at, p + 512, PAGE), -EINVAL },
		{ describe(2 * at, NULL, PAGE), -EINVAL },
		{ describe(at + PAGE, p, PAGE), -EEXIST },		/* inside */
		{ describe(at - PAGE, p, 2 * PAGE), -EEXIST },		/* its start */
		{ describe(at + 3 * PAGE, p, 2 * PAGE), -EEXIST },	/* its end */
		{ describe(at - PAGE, p, 8 * PAGE), -EEXIST },		/* around it */
	};
	struct vhost_mem_desc good = describe(at, p, 4 * PAGE);
	size_t i;

	disk_start(&disk);
	DEV_OK(dev, vhost_dev_mem_add(dev, &good, sizeof(good)));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int r = vhost_dev_mem_add(dev, &bad[i].desc, sizeof(bad[i].desc));

		ck_assert_msg(r == bad[i].error, "row %zu: %d: %s", i, r, vhost_dev_error(dev));
		ck_assert_int_ne(*vhost_dev_error(dev), 0);
	}
	works_at(&disk, p, at, 104);
	munmap(p, 16 * PAGE);
}
END_TEST

START_TEST(memory_that_is_not_mapped_is_refused)
{
	uint8_t *p = map_anonymous(4 * PAGE, MAP_SHARED);
	struct vhost_mem_desc desc = describe(0x200000000000, p, 4 * PAGE);

	ck_assert_int_eq(munmap(p + 2 * PAGE, PAGE), 0);	/* a hole */
	disk_start(&disk);
	DEV_REFUSES(disk.dev, vhost_dev_mem_add(disk.dev, &desc, sizeof(desc)), -EFAULT);
	disk_works(&disk, 0, 16);
	munmap(p, 2 * PAGE);
	munmap(p + 3 * PAGE, PAGE);
}
END_TEST

/* The kernel takes it, and then the device never answers: ours must say so first. */
START_TEST(private_memory_is_refused_by_name)
{
	uint8_t *anon = map_anonymous(4 * PAGE, MAP_PRIVATE);
	uint8_t *file = map_file(4 * PAGE, MAP_PRIVATE);
	uint8_t *mixed = map_anonymous(4 * PAGE, MAP_SHARED);
	struct vhost_mem_desc desc = describe(0x200000000000, anon, 4 * PAGE);

	disk_start(&disk);
	DEV_REFUSES_AS(disk.dev, vhost_dev_mem_add(disk.dev, &desc, sizeof(desc)), -EINVAL,
		     VHOST_ERR_MEM_NOT_SHARED);
	desc.addr = file;
	DEV_REFUSES_AS(disk.dev, vhost_dev_mem_add(disk.dev, &desc, sizeof(desc)), -EINVAL,
		     VHOST_ERR_MEM_NOT_SHARED);
	ck_assert_ptr_eq(mmap(mixed + PAGE, PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), mixed + PAGE);
	desc.addr = mixed;
	DEV_REFUSES_AS(disk.dev, vhost_dev_mem_add(disk.dev, &desc, sizeof(desc)), -EINVAL,
		     VHOST_ERR_MEM_NOT_SHARED);
	DEV_REFUSES_AS(disk.dev, vhost_dev_mem_set(disk.dev, &desc, 1, sizeof(desc)), -EINVAL,
		     VHOST_ERR_MEM_NOT_SHARED);
	disk_works(&disk, 0, 17);
	munmap(anon, 4 * PAGE);
	munmap(file, 4 * PAGE);
	munmap(mixed, 4 * PAGE);
}
END_TEST

#define N_REGIONS 64u

START_TEST(many_regions_are_one_batch)
{
	uint8_t *p = map_file(2 * N_REGIONS * PAGE, MAP_SHARED);
	struct vhost_mem_desc descs[N_REGIONS + 1];
	uint64_t iova;
	unsigned int i;
	unsigned long n;
	int r;

	disk_start(&disk);
	vhost_mem_describe(disk.mem, &descs[N_REGIONS], sizeof(descs[0]));
	DEV_OK(disk.dev, vhost_dev_iova_alloc(disk.dev, (uint64_t)2 * N_REGIONS * PAGE, 0, &iova));
	for (i = 0; i < N_REGIONS; i++)
		descs[i] = describe(iova + (uint64_t)2 * i * PAGE, p + (size_t)2 * i * PAGE, PAGE);
	n = writes_made();
	r = vhost_dev_mem_set(disk.dev, descs, N_REGIONS + 1, sizeof(descs[0]));
	n = writes_made() - n;
	DEV_OK(disk.dev, r);
	/* A message for each region that is new, one that begins and one that ends. */
	ck_assert_uint_eq(n, N_REGIONS + 2);
	for (i = 0; i < N_REGIONS; i += 9)
		works_at(&disk, descs[i].addr, descs[i].iova, 200 + i);

	/* Only what differs is sent. */
	descs[3].iova += PAGE;
	n = writes_made();
	r = vhost_dev_mem_set(disk.dev, descs, N_REGIONS + 1, sizeof(descs[0]));
	n = writes_made() - n;
	DEV_OK(disk.dev, r);
	ck_assert_uint_eq(n, 4);
	works_at(&disk, descs[3].addr, descs[3].iova, 300);
	works_at(&disk, descs[4].addr, descs[4].iova, 301);

	n = writes_made();
	r = vhost_dev_mem_set(disk.dev, &descs[N_REGIONS], 1, sizeof(descs[0]));
	n = writes_made() - n;
	DEV_OK(disk.dev, r);
	ck_assert_uint_eq(n, N_REGIONS + 2);
	disk_works(&disk, 0, 18);
	munmap(p, (size_t)2 * N_REGIONS * PAGE);
}
END_TEST

START_TEST(iotlb_entries_of_a_transaction_are_one_batch)
{
	vhost_dev_t *dev = disk.dev;
	uint8_t *p = map_file(16 * PAGE, MAP_SHARED);
	struct vhost_mem_desc desc = describe(0x200000000000, p, 16 * PAGE);
	struct vhost_iotlb_entry entry = {
		.size = PAGE, .perm = VHOST_IOTLB_PERM_READ | VHOST_IOTLB_PERM_WRITE,
	};
	const uint64_t at = 0x300000000000;
	unsigned long n;
	unsigned int i;
	int r;

	desc.flags = VHOST_MEM_UNMAPPED;
	disk_start(&disk);
	n = writes_made();
	r = vhost_dev_mem_add(dev, &desc, sizeof(desc));
	n = writes_made() - n;
	DEV_OK(dev, r);
	ck_assert_uint_eq(n, 0);
	n = writes_made();
	r = vhost_dev_begin(dev);
	for (i = 0; !r && i < 16; i++) {	/* in reverse order */
		entry.iova = at + (uint64_t)i * PAGE;
		entry.target = desc.iova + (15 - i) * PAGE;
		r = vhost_dev_iotlb_update(dev, &entry, sizeof(entry));
	}
	if (!r)
		r = vhost_dev_commit(dev);
	n = writes_made() - n;
	DEV_OK(dev, r);
	ck_assert_uint_eq(n, 18);
	for (i = 0; i < 16; i += 5)
		works_at(&disk, p + (15 - i) * PAGE, at + i * PAGE, 400 + i);

	DEV_REFUSES(dev, vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), -EEXIST);
	entry.iova = at + 16 * PAGE;
	entry.target = desc.iova + 16 * PAGE;		/* past the memory */
	DEV_REFUSES(dev, vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), -EINVAL);
	entry.target = desc.iova;
	entry.size = 0;
	DEV_REFUSES(dev, vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), -EINVAL);
	entry.size = PAGE;
	entry.iova = UINT64_MAX - PAGE + 2;		/* wraps */
	DEV_REFUSES(dev, vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), -EINVAL);

	/* It stays over a stop, */
	DEV_OK(dev, vhost_dev_stop(dev));
	DEV_OK(dev, vhost_dev_start(dev));
	works_at(&disk, p + 15 * PAGE, at, 410);
	/* and goes when it is said so; then it can be given again. */
	DEV_OK(dev, vhost_dev_iotlb_invalidate(dev, at, 16 * PAGE, 0));
	entry.iova = at;
	DEV_OK(dev, vhost_dev_iotlb_update(dev, &entry, sizeof(entry)));
	works_at(&disk, p, at, 411);
	disk_works(&disk, 0, 19);
	munmap(p, 16 * PAGE);
}
END_TEST

START_TEST(addresses_are_found_for_a_program_without_a_guest)
{
	uint64_t iova[8], again;
	unsigned int i, k;

	for (i = 0; i < 8; i++) {
		uint64_t size = (uint64_t)PAGE << i, align = i & 1 ? 1 << 21 : PAGE;

		DEV_OK(disk.dev, vhost_dev_iova_alloc(disk.dev, size, i & 1 ? align : 0, &iova[i]));
		ck_assert_uint_eq(iova[i] % align, 0);
		ck_assert_uint_ge(iova[i], 1ull << 32);
		for (k = 0; k < i; k++)
			ck_assert(iova[i] >= iova[k] + ((uint64_t)PAGE << k) ||
				  iova[i] + size <= iova[k]);
	}
	DEV_OK(disk.dev, vhost_dev_iova_free(disk.dev, iova[3]));
	DEV_REFUSES(disk.dev, vhost_dev_iova_free(disk.dev, iova[3]), -ENOENT);
	DEV_OK(disk.dev, vhost_dev_iova_alloc(disk.dev, PAGE << 3, 0, &again));
	DEV_REFUSES(disk.dev, vhost_dev_iova_alloc(disk.dev, 0, 0, &again), -EINVAL);
	DEV_REFUSES(disk.dev, vhost_dev_iova_alloc(disk.dev, PAGE, 3, &again), -EINVAL);
}
END_TEST

/* ---------------------------------------------------------------- pinned memory */

static void reload(int use_va)
{
	ck_assert(remove_devices());
	ck_assert_int_eq(bus_reload_simulators(use_va), 0);
	ck_assert(add_devices());
}

static void reload_pinning(void)
{
	reload(0);
}

static void reload_plain(void)
{
	reload(1);
}

START_TEST(a_disk_that_pins_reads_back_what_was_written)
{
	disk_start(&disk);
	disk_works(&disk, 0, 20);
	DEV_OK(disk.dev, vhost_dev_stop(disk.dev));
	DEV_OK(disk.dev, vhost_dev_start(disk.dev));
	disk_works(&disk, 0, 21);
}
END_TEST

START_TEST(private_memory_works_where_the_user_vouches_for_pinning)
{
	uint8_t *p = map_anonymous(4 * PAGE, MAP_PRIVATE);
	struct vhost_mem_desc desc = describe(0x200000000000, p, 4 * PAGE);

	disk_start(&disk);
	DEV_REFUSES_AS(disk.dev, vhost_dev_mem_add(disk.dev, &desc, sizeof(desc)), -EINVAL,
		     VHOST_ERR_MEM_NOT_SHARED);
	disk_close(&disk);
	disk_open(&disk, "vdpa:" BLK, VHOST_OPEN_PRIVATE_MEM, 0);
	disk_start(&disk);
	DEV_OK(disk.dev, vhost_dev_mem_add(disk.dev, &desc, sizeof(desc)));
	works_at(&disk, p, desc.iova, 105);
	works_at(&disk, p + 3 * PAGE, desc.iova + 3 * PAGE, 106);
	munmap(p, 4 * PAGE);
}
END_TEST

static void set_memlock(rlim_t bytes)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
}

START_TEST(too_low_a_limit_on_locked_memory_is_named)
{
	size_t size = 64 * PAGE;
	uint8_t *p = map_file(size, MAP_SHARED);
	struct vhost_mem_desc descs[3] = {
		describe(0x200000000000, p, PAGE),
		describe(0x200000100000, p + PAGE, size - PAGE),
	};

	set_memlock(16 * PAGE);
	DEV_REFUSES_AS(disk.dev, vhost_dev_mem_add_mem(disk.dev, disk.mem), -ENOMEM,
		       VHOST_ERR_MEMLOCK);
	ck_assert_msg(strstr(vhost_dev_error(disk.dev), "RLIMIT_MEMLOCK"), "%s",
		      vhost_dev_error(disk.dev));
	set_memlock(RLIM_INFINITY);
	disk_start(&disk);
	disk_works(&disk, 0, 22);

	/* The same in the midst of a batch, while it runs. */
	set_memlock(DISK_MEM_SIZE + 16 * PAGE);
	vhost_mem_describe(disk.mem, &descs[2], sizeof(descs[2]));
	DEV_REFUSES_AS(disk.dev, vhost_dev_mem_set(disk.dev, descs, 3, sizeof(descs[0])), -ENOMEM,
		     VHOST_ERR_MEMLOCK);
	disk_works(&disk, 0, 23);
	set_memlock(RLIM_INFINITY);
	DEV_OK(disk.dev, vhost_dev_mem_set(disk.dev, descs, 3, sizeof(descs[0])));
	works_at(&disk, p + PAGE, descs[1].iova, 107);
	works_at(&disk, p, descs[0].iova, 108);
	munmap(p, size);
}
END_TEST

/* -------------------------------------------------------------------- network card */

#define NET_MEM_SIZE (64 * PAGE)
#define NET_HEADER 12u
#define FRAME 200u
#define NET_F_MAC (1ull << 5)
#define NET_F_CTRL_VQ (1ull << 17)
#define NET_F_CTRL_MAC_ADDR (1ull << 23)
#define MAC_LEN 6u
#define NET_CTRL_MAC 1u
#define NET_CTRL_MAC_ADDR_SET 1u

enum { RX, TX, CTRL, NET_QUEUES };

static const uint8_t first_mac[MAC_LEN] = { 0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee };
static const uint8_t new_mac[MAC_LEN] = { 0x06, 0x11, 0x22, 0x33, 0x44, 0x55 };

static struct {
	vhost_dev_t *dev;
	vhost_mem_t *mem[NET_QUEUES];	/* of each queue */
	vhost_virtq_t *vq[NET_QUEUES];
	uint8_t *buf[NET_QUEUES];
} net;

static void setup_net(void)
{
	struct vhost_virtq_opts opts = { .size = 64, .features = F_VERSION_1 };
	unsigned int q;
	uint64_t iova;

	setup();
	memset(&net, 0, sizeof(net));
	ck_assert_int_eq(vhost_dev_open("vdpa:" NET, NULL, 0, &net.dev), 0);
	for (q = 0; q < NET_QUEUES; q++) {
		DEV_OK(net.dev, vhost_dev_iova_alloc(net.dev, NET_MEM_SIZE, 0, &iova));
		ck_assert_int_eq(vhost_mem_new(NET_MEM_SIZE, 0, iova, &net.mem[q]), 0);
		ck_assert_int_eq(vhost_virtq_new(net.mem[q], &opts, sizeof(opts), &net.vq[q]), 0);
		net.buf[q] = vhost_mem_alloc(net.mem[q], PAGE, PAGE);
		ck_assert_ptr_nonnull(net.buf[q]);
	}
}

static void teardown_net(void)
{
	unsigned int q;

	net.dev = vhost_dev_unref(net.dev);
	for (q = 0; q < NET_QUEUES; q++) {
		net.vq[q] = vhost_virtq_unref(net.vq[q]);
		net.mem[q] = vhost_mem_unref(net.mem[q]);
	}
	teardown();
}

/* All but the control queue's memory, and the start. */
static void net_prepare(void)
{
	unsigned int q;

	DEV_OK(net.dev, vhost_dev_set_features(net.dev, F_VERSION_1 | F_ACCESS_PLATFORM |
					       NET_F_MAC | NET_F_CTRL_VQ | NET_F_CTRL_MAC_ADDR));
	DEV_OK(net.dev, vhost_dev_mem_add_mem(net.dev, net.mem[RX]));
	DEV_OK(net.dev, vhost_dev_mem_add_mem(net.dev, net.mem[TX]));
	for (q = 0; q < NET_QUEUES; q++)
		DEV_OK(net.dev, vhost_dev_vq_attach(net.dev, q, net.vq[q]));
}

static void net_post(unsigned int q, unsigned int out, unsigned int in)
{
	uint64_t at = vhost_mem_to_iova(net.mem[q], net.buf[q]);
	struct vhost_sg sg[2] = { { at, out ? out : in, 0 }, { at + out, in, 0 } };
	struct vhost_virtq_req req = {
		.sg = sg, .out = out ? 1 : 0, .in = in ? 1 : 0, .cookie = net.buf[q],
	};

	ck_assert_msg(vhost_virtq_add(net.vq[q], &req, 1) == 1, "%s", vhost_virtq_error(net.vq[q]));
	vhost_virtq_kick(net.vq[q]);
}

/* How many bytes were written to it; -1 if it is not done in time. */
static int net_get(unsigned int q, unsigned int ms)
{
	uint64_t end = program_now_ms() + ms;
	struct vhost_virtq_done done;
	int n;

	while ((n = vhost_virtq_get(net.vq[q], &done, 1)) == 0 && program_now_ms() < end)
		poll(NULL, 0, 1);
	ck_assert_msg(n >= 0, "%s", vhost_virtq_error(net.vq[q]));
	return n ? (int)done.len : -1;
}

/* Send a frame to @mac. True if the card looped it. There must be a buffer for it. */
static bool loops(const uint8_t *mac)
{
	static uint8_t n;
	unsigned int i;

	n++;
	memset(net.buf[RX], 0, PAGE);
	memset(net.buf[TX], 0, NET_HEADER);
	for (i = NET_HEADER; i < NET_HEADER + FRAME; i++)
		net.buf[TX][i] = (uint8_t)(n + i * 7);
	memcpy(net.buf[TX] + NET_HEADER, mac, MAC_LEN);
	net_post(TX, NET_HEADER + FRAME, 0);
	ck_assert_int_eq(net_get(TX, PROGRAM_PATIENCE_MS), 0);
	i = (unsigned int)net_get(RX, 100);
	if (i == (unsigned int)-1)
		return false;
	ck_assert_uint_eq(i, NET_HEADER + FRAME);
	ck_assert_mem_eq(net.buf[RX] + NET_HEADER, net.buf[TX] + NET_HEADER, FRAME);
	net_post(RX, 0, PAGE);
	return true;
}

static void set_mac(const uint8_t *mac)
{
	uint8_t *c = net.buf[CTRL];

	c[0] = NET_CTRL_MAC;
	c[1] = NET_CTRL_MAC_ADDR_SET;
	memcpy(c + 2, mac, MAC_LEN);
	c[2 + MAC_LEN] = 0xff;
	net_post(CTRL, 2 + MAC_LEN, 1);
	ck_assert_int_eq(net_get(CTRL, PROGRAM_PATIENCE_MS), 1);
	ck_assert_uint_eq(c[2 + MAC_LEN], 0);
}

static void expect_mac(const uint8_t *mac)
{
	uint8_t config[MAC_LEN];

	DEV_OK(net.dev, vhost_dev_get_config(net.dev, 0, config, MAC_LEN));
	ck_assert_mem_eq(config, mac, MAC_LEN);
}

START_TEST(a_network_card_says_what_it_can)
{
	uint32_t group, size;
	unsigned int q;

	ck_assert_uint_eq(guest_cap(net.dev, VHOST_CAP_MAX_QUEUES), 3);
	ck_assert_uint_eq(guest_cap(net.dev, VHOST_CAP_GROUPS), 2);
	ck_assert_uint_eq(guest_cap(net.dev, VHOST_CAP_ADDRESS_SPACES), 2);
	ck_assert_uint_eq(guest_cap(net.dev, VHOST_CAP_CONFIG_MAX), 24);
	for (q = 0; q < NET_QUEUES; q++) {
		DEV_OK(net.dev, vhost_vdpa_get_group(net.dev, q, &group));
		ck_assert_uint_eq(group, q == CTRL);
		DEV_OK(net.dev, vhost_vdpa_get_queue_size(net.dev, q, &size));
		ck_assert_uint_eq(size, 256);
	}
	DEV_REFUSES(net.dev, vhost_vdpa_get_group(net.dev, NET_QUEUES, &group), -EINVAL);
	DEV_REFUSES(net.dev, vhost_vdpa_set_group_asid(net.dev, 2, 0), -EINVAL);
	DEV_REFUSES(net.dev, vhost_vdpa_set_group_asid(net.dev, 0, 2), -EINVAL);
	DEV_OK(net.dev, vhost_vdpa_set_group_asid(net.dev, 1, 1));
	DEV_OK(net.dev, vhost_vdpa_set_group_asid(net.dev, 1, 0));
	expect_mac(first_mac);
}
END_TEST

START_TEST(a_frame_is_looped)
{
	static const uint8_t other[MAC_LEN] = { 0x02, 0x99, 0x99, 0x99, 0x99, 0x99 };
	int i;

	net_prepare();
	DEV_OK(net.dev, vhost_dev_mem_add_mem(net.dev, net.mem[CTRL]));
	DEV_OK(net.dev, vhost_dev_start(net.dev));
	net_post(RX, 0, PAGE);
	for (i = 0; i < 100; i++)
		ck_assert_msg(loops(first_mac), "frame %d", i);
	ck_assert(!loops(other));
	ck_assert(loops(first_mac));
	DEV_OK(net.dev, vhost_dev_stop(net.dev));
	DEV_OK(net.dev, vhost_dev_start(net.dev));
	ck_assert(loops(first_mac));
	if (can(net.dev, VHOST_CAP_SUSPEND) && can(net.dev, VHOST_CAP_RESUME)) {
		DEV_OK(net.dev, vhost_dev_suspend(net.dev));
		DEV_OK(net.dev, vhost_dev_resume(net.dev));
		ck_assert(loops(first_mac));
	}
}
END_TEST

START_TEST(the_control_queue_sets_the_mac_address)
{
	net_prepare();
	DEV_OK(net.dev, vhost_dev_mem_add_mem(net.dev, net.mem[CTRL]));
	DEV_OK(net.dev, vhost_dev_start(net.dev));
	net_post(RX, 0, PAGE);
	set_mac(new_mac);
	expect_mac(new_mac);
	ck_assert(loops(new_mac));
	ck_assert(!loops(first_mac));
	set_mac(first_mac);
	expect_mac(first_mac);
}
END_TEST

static struct vhost_iotlb_entry ctrl_entry(void)
{
	return (struct vhost_iotlb_entry){
		.iova = vhost_mem_iova(net.mem[CTRL]), .size = NET_MEM_SIZE,
		.target = vhost_mem_iova(net.mem[CTRL]),
		.perm = VHOST_IOTLB_PERM_READ | VHOST_IOTLB_PERM_WRITE, .asid = 1,
	};
}

static void add_ctrl_unmapped(void)
{
	struct vhost_mem_desc desc;

	vhost_mem_describe(net.mem[CTRL], &desc, sizeof(desc));
	desc.flags |= VHOST_MEM_UNMAPPED;
	DEV_OK(net.dev, vhost_dev_mem_add(net.dev, &desc, sizeof(desc)));
}

START_TEST(the_control_queue_has_an_address_space_of_its_own)
{
	struct vhost_iotlb_entry entry = ctrl_entry();
	uint32_t group;

	net_prepare();
	add_ctrl_unmapped();
	DEV_OK(net.dev, vhost_dev_iotlb_update(net.dev, &entry, sizeof(entry)));
	DEV_REFUSES(net.dev, vhost_dev_iotlb_update(net.dev, &entry, sizeof(entry)), -EEXIST);
	DEV_OK(net.dev, vhost_vdpa_get_group(net.dev, CTRL, &group));
	DEV_OK(net.dev, vhost_vdpa_set_group_asid(net.dev, group, 1));
	DEV_OK(net.dev, vhost_dev_start(net.dev));
	DEV_REFUSES(net.dev, vhost_vdpa_set_group_asid(net.dev, group, 0), -EBUSY);
	net_post(RX, 0, PAGE);
	ck_assert(loops(first_mac));
	set_mac(new_mac);
	expect_mac(new_mac);
	ck_assert(loops(new_mac));

	/* It is as well after a stop, when the kernel may have forgotten. */
	DEV_OK(net.dev, vhost_dev_stop(net.dev));
	DEV_OK(net.dev, vhost_dev_start(net.dev));
	set_mac(first_mac);
	expect_mac(first_mac);
	ck_assert(loops(first_mac));
	DEV_OK(net.dev, vhost_dev_stop(net.dev));
	DEV_OK(net.dev, vhost_dev_iotlb_invalidate(net.dev, entry.iova, entry.size, 1));
}
END_TEST

START_TEST(one_address_means_different_memory_in_different_spaces)
{
	struct vhost_iotlb_entry entry = ctrl_entry();

	net_prepare();
	add_ctrl_unmapped();
	DEV_OK(net.dev, vhost_dev_iotlb_update(net.dev, &entry, sizeof(entry)));
	/* Each space has the other queue's memory where that one has its own. */
	entry.iova = vhost_mem_iova(net.mem[RX]);
	DEV_OK(net.dev, vhost_dev_iotlb_update(net.dev, &entry, sizeof(entry)));
	entry = ctrl_entry();
	entry.target = vhost_mem_iova(net.mem[RX]);
	entry.asid = 0;
	DEV_OK(net.dev, vhost_dev_iotlb_update(net.dev, &entry, sizeof(entry)));
	DEV_OK(net.dev, vhost_vdpa_set_group_asid(net.dev, 1, 1));
	DEV_OK(net.dev, vhost_dev_start(net.dev));
	net_post(RX, 0, PAGE);
	ck_assert(loops(first_mac));
	set_mac(new_mac);
	ck_assert(loops(new_mac));
	/* What is taken from one space stays in the other. */
	DEV_OK(net.dev, vhost_dev_iotlb_invalidate(net.dev, entry.iova, entry.size, 0));
	DEV_OK(net.dev, vhost_dev_iotlb_invalidate(net.dev, vhost_mem_iova(net.mem[RX]),
						   entry.size, 1));
	ck_assert(loops(new_mac));
	set_mac(first_mac);
	expect_mac(first_mac);
}
END_TEST

START_TEST(a_ring_outside_of_its_address_space_does_not_start)
{
	net_prepare();
	DEV_OK(net.dev, vhost_dev_mem_add_mem(net.dev, net.mem[CTRL]));	/* space 0 */
	DEV_OK(net.dev, vhost_vdpa_set_group_asid(net.dev, 1, 1));
	DEV_REFUSES(net.dev, vhost_dev_start(net.dev), -EFAULT);
	ck_assert_int_eq(vhost_dev_get_state(net.dev), VHOST_DEV_STOPPED);
	DEV_OK(net.dev, vhost_vdpa_set_group_asid(net.dev, 1, 0));
	DEV_OK(net.dev, vhost_dev_start(net.dev));
	net_post(RX, 0, PAGE);
	ck_assert(loops(first_mac));
}
END_TEST

START_TEST(a_queue_pair_is_disabled_while_the_card_runs)
{
	if (!can(net.dev, VHOST_CAP_ENABLE_RUNNING))
		return;
	net_prepare();
	DEV_OK(net.dev, vhost_dev_mem_add_mem(net.dev, net.mem[CTRL]));
	DEV_OK(net.dev, vhost_dev_vq_enable(net.dev, TX, 0));
	DEV_OK(net.dev, vhost_dev_start(net.dev));
	net_post(RX, 0, PAGE);
	net_post(TX, NET_HEADER + FRAME, 0);
	ck_assert_int_eq(net_get(TX, 100), -1);
	DEV_OK(net.dev, vhost_dev_vq_enable(net.dev, TX, 1));
	DEV_OK(net.dev, vhost_dev_vq_kick(net.dev, TX));
	ck_assert_int_eq(net_get(TX, PROGRAM_PATIENCE_MS), 0);
	ck_assert(loops(first_mac));
}
END_TEST

/* The simulators take the eventfd, and never signal it. */
START_TEST(the_configuration_interrupt_goes_where_it_is_said)
{
	int fd = memfd_create("no eventfd", MFD_CLOEXEC), event = eventfd(0, EFD_CLOEXEC);

	DEV_REFUSES(net.dev, vhost_vdpa_set_config_call(net.dev, 9999), -EBADF);
	ck_assert_int_lt(vhost_vdpa_set_config_call(net.dev, fd), 0);
	DEV_OK(net.dev, vhost_vdpa_set_config_call(net.dev, event));
	DEV_OK(net.dev, vhost_vdpa_set_config_call(net.dev, event));
	DEV_OK(net.dev, vhost_vdpa_set_config_call(net.dev, -1));
	close(fd);
	close(event);
}
END_TEST

/* ---------------------------------------------------------------------------- main */

int main(void)
{
	Suite *suite = suite_create("vDPA simulators");
	TCase *opening = tcase_create("opening"), *blk = tcase_create("disk");
	TCase *pinning = tcase_create("disk, pinned memory"), *card = tcase_create("network card");
	TCase *card_pinning = tcase_create("network card, pinned memory");
	int failed = bus_must_be();

	if (failed)
		return failed;

	tcase_add_checked_fixture(opening, setup, teardown);
	tcase_add_test(opening, it_opens_by_path_and_by_name);
	tcase_add_test(opening, it_opens_by_descriptor);
	tcase_add_test(opening, it_opens_without_waiting);
	tcase_add_test(opening, a_name_that_is_not_on_the_bus_is_said_so);
	tcase_add_test(opening, a_device_with_another_driver_or_none_is_said_so);
	tcase_add_test(opening, a_device_is_opened_once);
	tcase_add_test(opening, a_forked_process_is_told_that_it_is_not_the_owner);
	tcase_add_test(opening, a_device_is_removed_while_it_is_open);

	tcase_add_checked_fixture(blk, setup_disk, teardown_disk);
	tcase_add_test(blk, a_disk_says_what_it_can);
	tcase_add_test(blk, its_configuration_is_read_within_its_bounds);
	tcase_add_test(blk, what_the_device_lacks_is_answered_with_enotsup);
	tcase_add_test(blk, an_index_equal_to_the_count_is_refused);
	tcase_add_test(blk, a_disk_says_its_name_and_reads_back_what_was_written);
	tcase_add_test(blk, it_goes_on_from_its_base_after_a_stop);
	tcase_add_test(blk, nothing_is_lost_by_stops_under_load);
	tcase_add_test(blk, a_suspended_disk_does_nothing_until_it_is_resumed);
	tcase_add_test(blk, a_queue_is_enabled_while_the_device_runs);
	tcase_add_test(blk, it_is_closed_with_requests_in_flight_and_opened_again);
	tcase_add_test(blk, a_reset_disk_is_set_up_anew);
	tcase_add_test(blk, there_is_no_connection_to_make_again);
	tcase_add_test(blk, a_bring_up_is_one_transaction);
	tcase_add_test(blk, memory_comes_and_goes_while_the_disk_runs);
	tcase_add_test(blk, memory_is_used_up_to_the_last_address);
	tcase_add_test(blk, memory_that_cannot_be_is_refused);
	tcase_add_test(blk, memory_that_is_not_mapped_is_refused);
	tcase_add_test(blk, private_memory_is_refused_by_name);
	tcase_add_test(blk, many_regions_are_one_batch);
	tcase_add_test(blk, iotlb_entries_of_a_transaction_are_one_batch);
	tcase_add_test(blk, addresses_are_found_for_a_program_without_a_guest);

	tcase_add_unchecked_fixture(pinning, reload_pinning, NULL);
	tcase_add_checked_fixture(pinning, setup_disk, teardown_disk);
	tcase_add_test(pinning, a_disk_that_pins_reads_back_what_was_written);
	tcase_add_test(pinning, private_memory_works_where_the_user_vouches_for_pinning);
	tcase_add_test(pinning, too_low_a_limit_on_locked_memory_is_named);
	tcase_add_test(pinning, memory_comes_and_goes_while_the_disk_runs);
	tcase_add_test(pinning, memory_that_cannot_be_is_refused);
	tcase_add_test(pinning, many_regions_are_one_batch);
	tcase_add_test(pinning, iotlb_entries_of_a_transaction_are_one_batch);

	tcase_add_checked_fixture(card, setup_net, teardown_net);
	tcase_add_test(card, a_network_card_says_what_it_can);
	tcase_add_test(card, a_frame_is_looped);
	tcase_add_test(card, the_control_queue_sets_the_mac_address);
	tcase_add_test(card, the_control_queue_has_an_address_space_of_its_own);
	tcase_add_test(card, one_address_means_different_memory_in_different_spaces);
	tcase_add_test(card, a_ring_outside_of_its_address_space_does_not_start);
	tcase_add_test(card, a_queue_pair_is_disabled_while_the_card_runs);
	tcase_add_test(card, the_configuration_interrupt_goes_where_it_is_said);

	tcase_add_unchecked_fixture(card_pinning, NULL, reload_plain);
	tcase_add_checked_fixture(card_pinning, setup_net, teardown_net);
	tcase_add_test(card_pinning, a_frame_is_looped);
	tcase_add_test(card_pinning, the_control_queue_has_an_address_space_of_its_own);

	tcase_set_timeout(opening, 60);
	tcase_set_timeout(blk, 60);
	tcase_set_timeout(pinning, 60);
	tcase_set_timeout(card, 60);
	tcase_set_timeout(card_pinning, 60);
	suite_add_tcase(suite, opening);
	suite_add_tcase(suite, blk);
	suite_add_tcase(suite, card);
	suite_add_tcase(suite, pinning);
	suite_add_tcase(suite, card_pinning);

	failed = !add_devices();
	if (!failed)
		failed = program_run_suite(suite);
	remove_devices();
	return failed;
}
