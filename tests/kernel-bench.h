/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The bench that a device of the kernel's is put on: a kernel that is made up, memory at
 * IOVA that has the rings of up to BENCH_QUEUES queues, and their descriptors. For the
 * one file of a program that includes it.
 */
#ifndef LIBVHOST_TESTS_KERNEL_BENCH_H
#define LIBVHOST_TESTS_KERNEL_BENCH_H

#include <check.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vhost/vhost.h>

#include "expect.h"
#include "fake-kernel.h"
#include "leak.h"

#define IOVA 0x10000u
#define SIZE 0x10000u
#define BENCH_QUEUES 3u

static struct leak before;
static struct fake_kernel *fk;
static vhost_dev_t *dev;
static vhost_mem_t *mem;
static struct vhost_dev_events events;
static int kick[BENCH_QUEUES], call[BENCH_QUEUES], err;

static int event_fd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* How often an eventfd was signalled since the last time. */
static unsigned int signals(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) < 0 ? 0 : (unsigned int)n;
}

static void bench_begin(enum kdev_kind kind)
{
	unsigned int i;

	before = leak_begin();
	fk = fake_kernel_new(kind);
	ck_assert_int_eq(vhost_mem_new(SIZE, 0, IOVA, &mem), 0);
	fake_kernel_name(fk, "mem", vhost_mem_addr(mem), SIZE);
	for (i = 0; i < BENCH_QUEUES; i++) {
		kick[i] = event_fd();
		call[i] = event_fd();
	}
	err = event_fd();
	memset(&events, 0, sizeof(events));
	dev = NULL;
}

static void bench_end(void)
{
	unsigned int i;

	dev = vhost_dev_unref(dev);
	for (i = 0; i < BENCH_QUEUES; i++) {
		close(kick[i]);
		close(call[i]);
	}
	close(err);
	vhost_mem_unref(mem);
	fake_kernel_free(fk);
	ck_assert_int_eq(leak_check(&before), 0);
}

static int open_with(const struct vhost_dev_opts *opts)
{
	return kdev_new(fk->kind, "/dev/vhost-test", fake_kernel_open(fk), opts, &events, &dev);
}

static int open_flags(uint32_t flags)
{
	struct vhost_dev_opts opts = { .flags = flags };

	return open_with(&opts);
}

static struct vhost_vq_config queue(unsigned int i)
{
	return (struct vhost_vq_config){
		.size = 8, .desc = IOVA + i * 0x3000, .driver = IOVA + 0x1000 + i * 0x3000,
		.device = IOVA + 0x2000 + i * 0x3000,
		.kick_fd = kick[i], .call_fd = call[i], .err_fd = -1,
	};
}

static int set_up(unsigned int i)
{
	struct vhost_vq_config c = queue(i);

	return vhost_dev_vq_setup(dev, i, &c, sizeof(c));
}

#endif
