/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* What the handle does for every transport: checks, states, record, transactions. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include <vhost/vhost.h>

#include "fake.h"
#include "leak.h"

static struct leak before;
static struct fake *fake;
static vhost_dev_t *dev;
static vhost_mem_t *mem;
static int done_calls, done_status;

static void setup(void)
{
	before = leak_begin();
	fake = fake_new(false);
	ck_assert_ptr_nonnull(fake);
	dev = &fake->dev;
	ck_assert_int_eq(vhost_mem_new(65536, 0, 0x10000, &mem), 0);
	done_calls = done_status = 0;
}

static void teardown(void)
{
	vhost_dev_unref(dev);
	vhost_mem_unref(mem);
	ck_assert_int_eq(leak_check(&before), 0);
}

static struct vhost_vq_config queue(void)
{
	return (struct vhost_vq_config){
		.size = 8, .desc = 0x10000, .driver = 0x11000, .device = 0x12000,
		.kick_fd = -1, .call_fd = -1, .err_fd = -1,
	};
}

static int set_up(unsigned int index)
{
	struct vhost_vq_config c = queue();

	return vhost_dev_vq_setup(dev, index, &c, sizeof(c));
}

static void done(vhost_dev_t *d, int status, void *opaque)
{
	ck_assert_ptr_eq(d, dev);
	ck_assert_ptr_eq(opaque, &done_calls);
	done_calls++;
	done_status = status;
}

START_TEST(a_slot_that_is_not_there_is_not_supported)
{
	struct fake *bare = fake_new(true);
	uint64_t features;
	uint8_t config;

	ck_assert_int_eq(vhost_dev_get_features(&bare->dev, &features), -ENOTSUP);
	ck_assert_int_eq(vhost_dev_set_features(&bare->dev, 0), -ENOTSUP);
	ck_assert_int_eq(vhost_dev_get_config(&bare->dev, 0, &config, 1), -ENOTSUP);
	ck_assert_int_eq(vhost_dev_error_kind(&bare->dev), VHOST_ERR_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(vhost_dev_error(&bare->dev), "bare"));
	ck_assert_str_eq(vhost_dev_error(&bare->dev), vhost_last_error());
	vhost_dev_unref(&bare->dev);
}
END_TEST

START_TEST(every_capability_has_a_name_and_an_answer)
{
	uint64_t value;
	uint32_t cap;

	for (cap = 0; vhost_cap_name(cap); cap++)
		ck_assert_int_eq(vhost_dev_get_cap(dev, cap, &value), 0);
	ck_assert_uint_eq(cap, VHOST_CAP_MEM_NEEDS_ADDR + 1);
	ck_assert_int_eq(vhost_dev_get_cap(dev, cap, &value), -EINVAL);
}
END_TEST

START_TEST(outputs_are_not_written_by_a_call_that_is_refused_first)
{
	uint64_t words[9] = { 77 };

	ck_assert_int_eq(vhost_dev_get_features_array(dev, words, 0), -EINVAL);
	ck_assert_int_eq(vhost_dev_get_features_array(dev, words, 9), -EINVAL);
	ck_assert_uint_eq(words[0], 77);
	ck_assert_uint_eq(fake->calls[FAKE_GET_FEATURES], 0);
}
END_TEST

START_TEST(refused_features_leave_those_accepted_before)
{
	ck_assert_int_eq(vhost_dev_set_features(dev, 5), 0);
	fake->refuse[FAKE_SET_FEATURES] = -EREMOTEIO;
	ck_assert_int_eq(vhost_dev_set_features(dev, 7), -EREMOTEIO);
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), 5);
}
END_TEST

START_TEST(features_are_not_changed_while_the_device_runs)
{
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	ck_assert_int_eq(set_up(0), 0);
	ck_assert_int_eq(vhost_dev_start(dev), 0);
	ck_assert_int_eq(vhost_dev_set_features(dev, 1), -EBUSY);
	ck_assert_int_eq(vhost_dev_stop(dev), 0);
	ck_assert_int_eq(vhost_dev_set_features(dev, 1), 0);
}
END_TEST

START_TEST(a_config_access_is_bounded)
{
	uint8_t buf[65] = { 1 };

	ck_assert_int_eq(vhost_dev_get_config(dev, 0, buf, 0), -EINVAL);
	ck_assert_int_eq(vhost_dev_get_config(dev, 0, buf, 65), -EINVAL);
	ck_assert_int_eq(vhost_dev_get_config(dev, UINT32_MAX, buf, 2), -EINVAL);
	ck_assert_int_eq(vhost_dev_set_config(dev, 0, buf, 1, 8), -EINVAL);
	ck_assert_int_eq(vhost_dev_get_config(dev, 7, buf, 64), 0);
	ck_assert_int_eq(buf[0], 7);
}
END_TEST

static const struct {
	const char *what;
	uint32_t size;
	uint64_t desc, driver, device;
	int result;
} queues[] = {
	{ "no entries", 0, 0x10000, 0x11000, 0x12000, -EINVAL },
	{ "not a power of two", 6, 0x10000, 0x11000, 0x12000, -EINVAL },
	{ "more than the device takes", 512, 0x10000, 0x11000, 0x12000, -EINVAL },
	{ "descriptors not aligned", 8, 0x10008, 0x11000, 0x12000, -EINVAL },
	{ "available ring not aligned", 8, 0x10000, 0x11001, 0x12000, -EINVAL },
	{ "used ring not aligned", 8, 0x10000, 0x11000, 0x12002, -EINVAL },
	{ "wraps", 8, UINT64_MAX - 15, 0x11000, 0x12000, -EINVAL },
	{ "least", 1, 0x10000, 0x11000, 0x12000, 0 },
	{ "most", 256, 0x10000, 0x12000, 0x14000, 0 },
};

START_TEST(a_queue_is_checked_when_it_is_set_up)
{
	struct vhost_vq_config c = queue();

	c.size = queues[_i].size;
	c.desc = queues[_i].desc;
	c.driver = queues[_i].driver;
	c.device = queues[_i].device;
	ck_assert_msg(vhost_dev_vq_setup(dev, 0, &c, sizeof(c)) == queues[_i].result, "%s: %s",
		      queues[_i].what, vhost_dev_error(dev));
}
END_TEST

START_TEST(a_packed_queue_may_have_any_size)
{
	struct vhost_vq_config c = queue();

	ck_assert_int_eq(vhost_dev_set_features(dev, 1ULL << 34), 0);
	c.size = 7;
	ck_assert_int_eq(vhost_dev_vq_setup(dev, 0, &c, sizeof(c)), 0);
	c.driver += 2;
	ck_assert_int_eq(vhost_dev_vq_setup(dev, 0, &c, sizeof(c)), -EINVAL);
}
END_TEST

START_TEST(a_queue_beyond_the_last_is_refused)
{
	uint32_t base;

	ck_assert_int_eq(set_up(4), -EINVAL);
	ck_assert_int_eq(vhost_dev_error_kind(dev), VHOST_ERR_LIMIT);
	ck_assert_int_eq(vhost_dev_vq_get_base(dev, 4, &base), -EINVAL);
	ck_assert_int_eq(vhost_dev_vq_get_base(dev, 3, &base), -ENOENT);
	ck_assert_int_eq(vhost_dev_vq_enable(dev, 3, 1), -ENOENT);
	ck_assert_int_eq(vhost_dev_vq_kick(dev, 3), -ENOENT);
}
END_TEST

START_TEST(a_bad_descriptor_leaves_the_queue_as_it_was)
{
	struct vhost_vq_config c = queue();
	uint32_t base = 0;

	c.base = 5;
	ck_assert_int_eq(vhost_dev_vq_setup(dev, 0, &c, sizeof(c)), 0);
	c.base = 6;
	c.call_fd = 9999;
	ck_assert_int_eq(vhost_dev_vq_setup(dev, 0, &c, sizeof(c)), -EBADF);
	ck_assert_int_eq(vhost_dev_vq_get_base(dev, 0, &base), 0);
	ck_assert_uint_eq(base, 5);
}
END_TEST

START_TEST(a_struct_of_a_newer_library_is_refused_unless_what_is_new_is_zero)
{
	struct {
		struct vhost_vq_config c;
		uint64_t more;
	} newer = { queue(), 0 };

	ck_assert_int_eq(vhost_dev_vq_setup(dev, 0, &newer.c, sizeof(newer)), 0);
	newer.more = 1;
	ck_assert_int_eq(vhost_dev_vq_setup(dev, 0, &newer.c, sizeof(newer)), -E2BIG);
}
END_TEST

START_TEST(a_start_needs_a_queue_and_its_memory)
{
	ck_assert_int_eq(vhost_dev_start(dev), -EINVAL);
	ck_assert_int_eq(set_up(1), 0);
	ck_assert_int_eq(vhost_dev_start(dev), -EFAULT);
	ck_assert_ptr_nonnull(strstr(vhost_dev_error(dev), "queue 1: the descriptor area"));
	ck_assert_uint_eq(fake->calls[FAKE_START], 0);
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	ck_assert_int_eq(vhost_dev_start(dev), 0);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
	ck_assert_int_eq(vhost_dev_start(dev), 0);
	ck_assert_uint_eq(fake->calls[FAKE_START], 1);
}
END_TEST

START_TEST(a_start_that_is_refused_is_taken_back)
{
	fake->later = _i;
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	ck_assert_int_eq(set_up(0), 0);
	fake->refuse[FAKE_START] = -EREMOTEIO;
	ck_assert_int_eq(vhost_dev_start(dev), -EREMOTEIO);
	ck_assert_uint_eq(fake->calls[FAKE_STOP], 1);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	ck_assert_str_eq(vhost_dev_error(dev), "slot 6 is refused");
	fake->refuse[FAKE_START] = 0;
	ck_assert_int_eq(vhost_dev_start(dev), 0);
}
END_TEST

START_TEST(a_queue_that_runs_is_not_changed)
{
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	ck_assert_int_eq(set_up(0), 0);
	ck_assert_int_eq(vhost_dev_start(dev), 0);
	ck_assert_int_eq(set_up(0), -EBUSY);
	ck_assert_int_eq(vhost_dev_vq_set_base(dev, 0, 1), -EBUSY);
	ck_assert_int_eq(vhost_dev_vq_attach(dev, 0, NULL), -EBUSY);
	ck_assert_int_eq(vhost_dev_mem_remove(dev, 0x10000, 65536), -EBUSY);
	ck_assert_int_eq(vhost_dev_suspend(dev), 0);
	ck_assert_int_eq(set_up(0), -EBUSY);
	ck_assert_int_eq(vhost_dev_start(dev), -EBUSY);
	ck_assert_int_eq(vhost_dev_resume(dev), 0);
	ck_assert_int_eq(vhost_dev_stop(dev), 0);
	ck_assert_int_eq(set_up(0), 0);
}
END_TEST

START_TEST(an_enable_that_is_refused_leaves_the_queue_as_it_was)
{
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	ck_assert_int_eq(set_up(0), 0);
	ck_assert_int_eq(vhost_dev_vq_enable(dev, 0, 0), 0);
	ck_assert_uint_eq(fake->calls[FAKE_VQ_ENABLE], 0);
	ck_assert_int_eq(vhost_dev_start(dev), 0);
	fake->refuse[FAKE_VQ_ENABLE] = -EREMOTEIO;
	ck_assert_int_eq(vhost_dev_vq_enable(dev, 0, 1), -EREMOTEIO);
	ck_assert_uint_eq(fake->calls[FAKE_VQ_ENABLE], 1);
	ck_assert(!dev->rec.vqs[0].enabled);
}
END_TEST

START_TEST(private_memory_is_refused_by_name_before_anything_is_sent)
{
	void *private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vhost_mem_desc desc = { .iova = 0x100000, .size = 4096, .addr = private, .fd = -1 };
	int fd = memfd_create("private", MFD_CLOEXEC);

	ck_assert_int_eq(vhost_dev_mem_add(dev, &desc, sizeof(desc)), -EINVAL);
	ck_assert_int_eq(vhost_dev_error_kind(dev), VHOST_ERR_MEM_NOT_SHARED);

	/* a memfd does not help if it is mapped privately */
	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	munmap(private, 4096);
	desc.fd = fd;
	desc.addr = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ck_assert_int_eq(vhost_dev_mem_add(dev, &desc, sizeof(desc)), -EINVAL);
	ck_assert_int_eq(vhost_dev_error_kind(dev), VHOST_ERR_MEM_NOT_SHARED);
	ck_assert_ptr_nonnull(strstr(vhost_dev_error(dev), "MAP_SHARED"));
	munmap(desc.addr, 4096);
	ck_assert_int_eq(vhost_dev_mem_add(dev, &desc, sizeof(desc)), -EFAULT);
	desc.addr = NULL;
	ck_assert_int_eq(vhost_dev_mem_add(dev, &desc, sizeof(desc)), 0);
	close(fd);
	ck_assert_uint_eq(fake->calls[FAKE_MEM_ADD], 1);
}
END_TEST

START_TEST(memory_is_checked_before_anything_is_sent)
{
	int fd = memfd_create("memory", MFD_CLOEXEC), dir = open("/", O_RDONLY);
	struct vhost_mem_desc good = { .iova = 0x100000, .size = 8192, .fd = fd }, d;

	ck_assert_int_eq(ftruncate(fd, 8192), 0);
	d = good, d.size = 0;
	ck_assert_int_eq(vhost_dev_mem_add(dev, &d, sizeof(d)), -EINVAL);
	d = good, d.iova = UINT64_MAX - 100;
	ck_assert_int_eq(vhost_dev_mem_add(dev, &d, sizeof(d)), -EINVAL);
	d = good, d.fd_offset = 4096;
	ck_assert_int_eq(vhost_dev_mem_add(dev, &d, sizeof(d)), -EINVAL);
	d = good, d.fd_offset = UINT64_MAX;
	ck_assert_int_eq(vhost_dev_mem_add(dev, &d, sizeof(d)), -EINVAL);
	d = good, d.fd = dir;
	ck_assert_int_eq(vhost_dev_mem_add(dev, &d, sizeof(d)), -EINVAL);
	d = good, d.fd = 9999;
	ck_assert_int_eq(vhost_dev_mem_add(dev, &d, sizeof(d)), -EBADF);
	d = good, d.iova = 0;	/* below what the device can use */
	ck_assert_int_eq(vhost_dev_mem_add(dev, &d, sizeof(d)), -EINVAL);
	ck_assert_int_eq(vhost_dev_error_kind(dev), VHOST_ERR_LIMIT);
	ck_assert_uint_eq(fake->calls[FAKE_MEM_ADD], 0);

	ck_assert_int_eq(vhost_dev_mem_add(dev, &good, sizeof(good)), 0);
	ck_assert_int_eq(vhost_dev_mem_add(dev, &good, sizeof(good)), -EEXIST);
	d = good, d.iova += 4096;
	ck_assert_int_eq(vhost_dev_mem_add(dev, &d, sizeof(d)), -EEXIST);
	d = good, d.iova += 8192;
	ck_assert_int_eq(vhost_dev_mem_add(dev, &d, sizeof(d)), 0);
	d.iova += 8192;
	ck_assert_int_eq(vhost_dev_mem_add(dev, &d, sizeof(d)), -ENOSPC);
	ck_assert_int_eq(vhost_dev_mem_remove(dev, 0x100000, 4096), -ENOENT);
	ck_assert_int_eq(vhost_dev_mem_remove(dev, 0x100000, 8192), 0);
	close(fd);
	close(dir);
}
END_TEST

START_TEST(memory_that_is_refused_is_not_kept_and_a_removal_that_is_refused_is_undone)
{
	fake->refuse[FAKE_MEM_ADD] = -EREMOTEIO;
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), -EREMOTEIO);
	fake->refuse[FAKE_MEM_ADD] = 0;
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	fake->refuse[FAKE_MEM_REMOVE] = -EREMOTEIO;
	ck_assert_int_eq(vhost_dev_mem_remove(dev, 0x10000, 65536), -EREMOTEIO);
	fake->refuse[FAKE_MEM_REMOVE] = 0;
	ck_assert_int_eq(vhost_dev_mem_remove(dev, 0x10000, 65536), 0);
}
END_TEST

START_TEST(a_transaction_is_over_when_all_of_it_is_answered)
{
	uint64_t features = 0;

	ck_assert_int_eq(vhost_dev_commit(dev), -EINVAL);
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	ck_assert_int_eq(vhost_dev_begin(dev), -EBUSY);
	ck_assert_int_eq(vhost_dev_get_features(dev, &features), 0);
	ck_assert_int_eq(vhost_dev_set_features(dev, 3), 0);
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	ck_assert_int_eq(set_up(0), 0);
	ck_assert_int_eq(vhost_dev_start(dev), 0);
	ck_assert_int_eq(vhost_dev_reset(dev), -EBUSY);
	ck_assert_int_eq(vhost_dev_commit_async(dev, NULL, NULL), -EINVAL);
	ck_assert_int_eq(vhost_dev_commit_async(dev, done, &done_calls), 0);
	ck_assert_int_eq(done_calls, 0);
	ck_assert_int_ge(vhost_dev_get_timeout(dev), 1);
	ck_assert_int_eq(vhost_dev_process(dev), 0);
	ck_assert_int_eq(done_calls, 1);
	ck_assert_int_eq(done_status, 0);
	ck_assert_int_eq(vhost_dev_get_timeout(dev), -1);
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), 3);
}
END_TEST

START_TEST(a_transaction_starts_or_stops_the_device_once)
{
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	ck_assert_int_eq(set_up(0), 0);
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	ck_assert_int_eq(vhost_dev_start(dev), 0);
	ck_assert_int_eq(vhost_dev_stop(dev), -EBUSY);
	ck_assert_int_eq(vhost_dev_commit(dev), 0);
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	ck_assert_int_eq(vhost_dev_stop(dev), 0);
	ck_assert_int_eq(vhost_dev_start(dev), -EBUSY);
	ck_assert_int_eq(vhost_dev_cancel(dev), 0);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
	ck_assert(dev->rec.vqs[0].running);
}
END_TEST

START_TEST(an_empty_transaction_completes_later_and_without_error)
{
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	ck_assert_int_eq(vhost_dev_commit_async(dev, done, &done_calls), 0);
	ck_assert_int_eq(done_calls, 0);
	ck_assert_int_eq(vhost_dev_get_timeout(dev), 0);
	ck_assert_int_eq(vhost_dev_process(dev), 0);
	ck_assert_int_eq(done_calls, 1);
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	ck_assert_int_eq(vhost_dev_commit(dev), 0);
}
END_TEST

START_TEST(what_is_refused_in_a_transaction_is_told_and_the_rest_stays)
{
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	ck_assert_int_eq(vhost_dev_set_features(dev, 3), 0);
	fake->refuse[FAKE_MEM_ADD] = -EREMOTEIO;
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	ck_assert_int_eq(vhost_dev_commit(dev), -EREMOTEIO);
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), 3);
	ck_assert_int_eq(vhost_dev_mem_remove(dev, 0x10000, 65536), -ENOENT);
}
END_TEST

START_TEST(a_call_that_cannot_be_queued_leaves_the_transaction_as_it_is)
{
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	ck_assert_int_eq(vhost_dev_set_features(dev, 3), 0);
	fake->fail[FAKE_MEM_ADD] = -ENOMEM;
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), -ENOMEM);
	ck_assert_int_eq(vhost_dev_commit(dev), 0);
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), 3);
}
END_TEST

START_TEST(a_transaction_that_is_cancelled_before_it_is_committed_never_was)
{
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	ck_assert_int_eq(vhost_dev_set_features(dev, 3), 0);
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	ck_assert_int_eq(vhost_dev_cancel(dev), 0);
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), 0);
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
}
END_TEST

START_TEST(what_is_under_way_completes_once_when_the_device_goes)
{
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	ck_assert_int_eq(vhost_dev_set_features(dev, 3), 0);
	ck_assert_int_eq(vhost_dev_commit_async(dev, done, &done_calls), 0);
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	ck_assert_int_eq(vhost_dev_set_features(dev, 1), 0);
	if (_i)
		ck_assert_int_eq(vhost_dev_cancel(dev), 0);
	vhost_dev_unref(dev);
	ck_assert_int_eq(done_calls, 1);
	ck_assert_int_eq(done_status, -ECANCELED);
	dev = NULL;
}
END_TEST

static void done_and_unref(vhost_dev_t *d, int status, void *opaque)
{
	(void)opaque;
	done_calls++;
	done_status = status;
	ck_assert_int_eq(vhost_dev_begin(d), 0);
	ck_assert_int_eq(vhost_dev_commit(d), -EBUSY);
	vhost_dev_unref(d);
}

START_TEST(a_callback_may_drop_the_last_reference)
{
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	ck_assert_int_eq(vhost_dev_commit_async(dev, done_and_unref, NULL), 0);
	ck_assert_int_eq(vhost_dev_process(dev), 0);
	ck_assert_int_eq(done_calls, 1);
	dev = NULL;
}
END_TEST

START_TEST(a_state_that_was_saved_is_loaded_into_another_device)
{
	struct fake *other = fake_new(false);
	struct vhost_vq_config c = queue();
	uint8_t buf[1024];
	size_t size, need;
	uint32_t base;

	ck_assert_int_eq(vhost_dev_set_features(dev, 1ULL << 34 | 5), 0);
	c.base = 0x80018001;
	ck_assert_int_eq(vhost_dev_vq_setup(dev, 2, &c, sizeof(c)), 0);
	ck_assert_int_eq(vhost_dev_vq_enable(dev, 2, 0), 0);
	ck_assert_int_eq(vhost_dev_save(dev, NULL, 0, &need), 0);
	ck_assert_int_eq(vhost_dev_save(dev, buf, need - 1, &size), -ENOSPC);
	ck_assert_int_eq(vhost_dev_save(dev, buf, sizeof(buf), &size), 0);
	ck_assert_uint_eq(size, need);

	ck_assert_int_eq(vhost_dev_load(&other->dev, buf, size), 0);
	ck_assert_uint_eq(vhost_dev_get_acked_features(&other->dev), 1ULL << 34 | 5);
	ck_assert_int_eq(vhost_dev_vq_get_base(&other->dev, 2, &base), 0);
	ck_assert_uint_eq(base, 0x80018001);
	ck_assert_int_eq(vhost_dev_vq_get_base(&other->dev, 1, &base), -ENOENT);
	ck_assert(!other->dev.rec.vqs[2].enabled);
	vhost_dev_unref(&other->dev);
}
END_TEST

START_TEST(a_saved_state_that_is_damaged_changes_nothing)
{
	struct fake *other = fake_new(false);
	uint8_t buf[1024], bad[1024];
	size_t size, i;

	ck_assert_int_eq(vhost_dev_set_features(dev, 5), 0);
	ck_assert_int_eq(set_up(1), 0);
	ck_assert_int_eq(vhost_dev_save(dev, buf, sizeof(buf), &size), 0);
	ck_assert_int_eq(vhost_dev_set_features(&other->dev, 9), 0);
	for (i = 0; i < size; i++) {
		int r;

		memcpy(bad, buf, size);
		bad[i] ^= 0x10;
		r = vhost_dev_load(&other->dev, bad, size);
		ck_assert_msg(r == -EBADMSG || r == -EPROTONOSUPPORT, "byte %zu: %d", i, r);
		r = vhost_dev_load(&other->dev, buf, i);
		ck_assert_int_eq(r, -EBADMSG);
		ck_assert_uint_eq(vhost_dev_get_acked_features(&other->dev), 9);
		ck_assert_uint_eq(other->dev.rec.n_vqs, 0);
	}
	fake->refuse[FAKE_SET_FEATURES] = -EREMOTEIO;
	ck_assert_int_eq(vhost_dev_load(dev, buf, size), -EREMOTEIO);
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), 5);
	vhost_dev_unref(&other->dev);
}
END_TEST

START_TEST(an_address_of_no_known_form_is_refused_with_help)
{
	static const struct {
		const char *address;
		int result;
	} bad[] = {
		{ "", -EINVAL }, { "disk.sock", -EINVAL }, { "fd:", -EINVAL }, { "fd:x", -EINVAL },
		{ "fd:-1", -EINVAL }, { "fd:99999999999", -EINVAL }, { "fd:9999", -EBADF },
		{ "unix:", -EINVAL }, { "unix:/nonexistent/socket", -ENOENT },
		{ "unix-listen:/nonexistent/socket", -ENOENT }, { "/dev/null", -ENOTTY },
		{ "/dev/vhost-nothing", -ENOENT }, { "vdpa:", -EINVAL }, { "vdpa:a/b", -EINVAL },
		{ "vdpa:..", -EINVAL }, { "vdpa:nonexistent", -ENODEV },
	};
	char longest[200] = "unix:/";
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		vhost_dev_t *d = NULL;

		ck_assert_msg(vhost_dev_open(bad[i].address, NULL, 0, &d) == bad[i].result,
			      "%s: %s", bad[i].address, vhost_last_error());
		ck_assert_ptr_null(d);
		ck_assert_str_ne(vhost_last_error(), "");
	}
	memset(longest + 6, 'x', sizeof(longest) - 7);
	ck_assert_int_eq(vhost_dev_open(longest, NULL, 0, &dev), -ENAMETOOLONG);
	ck_assert_int_eq(vhost_dev_open(NULL, NULL, 0, &dev), -EINVAL);
	ck_assert_int_eq(vhost_dev_open_fd(-1, NULL, 0, &dev), -EBADF);
	ck_assert_int_eq(vhost_dev_open_fd(0x7fffffff, NULL, 0, &dev), -EBADF);
}
END_TEST

START_TEST(options_that_are_not_known_are_refused)
{
	struct {
		struct vhost_dev_opts o;
		uint64_t more;
	} newer = { .more = 1 };
	struct vhost_dev_opts flags = { .flags = 1u << 20 }, late = { .timeout_ms = -2 };
	vhost_dev_t *d;

	ck_assert_int_eq(vhost_dev_open("unix:/x", &newer.o, sizeof(newer), &d), -E2BIG);
	ck_assert_int_eq(vhost_dev_open("unix:/x", &flags, sizeof(flags), &d), -EINVAL);
	ck_assert_int_eq(vhost_dev_open("unix:/x", &late, sizeof(late), &d), -EINVAL);
	ck_assert_int_eq(vhost_dev_set_timeout(dev, -2), -EINVAL);
}
END_TEST

START_TEST(the_versions_of_library_and_header_agree)
{
	char version[32];

	snprintf(version, sizeof(version), "%d.%d.%d", VHOST_VERSION_MAJOR, VHOST_VERSION_MINOR,
		 VHOST_VERSION_PATCH);
	ck_assert_str_eq(vhost_version(), version);
}
END_TEST

START_TEST(releasing_nothing_is_allowed)
{
	ck_assert_ptr_null(vhost_dev_unref(NULL));
	ck_assert_ptr_null(vhost_dev_ref(NULL));
	vhost_dev_ref(dev);
	ck_assert_ptr_null(vhost_dev_unref(dev));
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dev");
	TCase *t = tcase_create("handle");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_slot_that_is_not_there_is_not_supported);
	tcase_add_test(t, every_capability_has_a_name_and_an_answer);
	tcase_add_test(t, outputs_are_not_written_by_a_call_that_is_refused_first);
	tcase_add_test(t, refused_features_leave_those_accepted_before);
	tcase_add_test(t, features_are_not_changed_while_the_device_runs);
	tcase_add_test(t, a_config_access_is_bounded);
	tcase_add_loop_test(t, a_queue_is_checked_when_it_is_set_up, 0, ARRAY_SIZE(queues));
	tcase_add_test(t, a_packed_queue_may_have_any_size);
	tcase_add_test(t, a_queue_beyond_the_last_is_refused);
	tcase_add_test(t, a_bad_descriptor_leaves_the_queue_as_it_was);
	tcase_add_test(t, a_struct_of_a_newer_library_is_refused_unless_what_is_new_is_zero);
	tcase_add_test(t, a_start_needs_a_queue_and_its_memory);
	tcase_add_loop_test(t, a_start_that_is_refused_is_taken_back, 0, 2);
	tcase_add_test(t, a_queue_that_runs_is_not_changed);
	tcase_add_test(t, an_enable_that_is_refused_leaves_the_queue_as_it_was);
	tcase_add_test(t, private_memory_is_refused_by_name_before_anything_is_sent);
	tcase_add_test(t, memory_is_checked_before_anything_is_sent);
	tcase_add_test(t, memory_that_is_refused_is_not_kept_and_a_removal_that_is_refused_is_undone);
	tcase_add_test(t, a_transaction_is_over_when_all_of_it_is_answered);
	tcase_add_test(t, a_transaction_starts_or_stops_the_device_once);
	tcase_add_test(t, an_empty_transaction_completes_later_and_without_error);
	tcase_add_test(t, what_is_refused_in_a_transaction_is_told_and_the_rest_stays);
	tcase_add_test(t, a_call_that_cannot_be_queued_leaves_the_transaction_as_it_is);
	tcase_add_test(t, a_transaction_that_is_cancelled_before_it_is_committed_never_was);
	tcase_add_loop_test(t, what_is_under_way_completes_once_when_the_device_goes, 0, 2);
	tcase_add_test(t, a_callback_may_drop_the_last_reference);
	tcase_add_test(t, a_state_that_was_saved_is_loaded_into_another_device);
	tcase_add_test(t, a_saved_state_that_is_damaged_changes_nothing);
	tcase_add_test(t, an_address_of_no_known_form_is_refused_with_help);
	tcase_add_test(t, options_that_are_not_known_are_refused);
	tcase_add_test(t, the_versions_of_library_and_header_agree);
	tcase_add_test(t, releasing_nothing_is_allowed);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
