/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* What the tests of the back-end have on their bench: one device, one scripted front-end. */
#ifndef LIBVHOST_TESTS_BACKEND_BENCH_H
#define LIBVHOST_TESTS_BACKEND_BENCH_H

#include <check.h>
#include <string.h>

#include "frontend.h"
#include "leak.h"

#define PF_DEFAULT (VHOST_USER_PROTOCOL_DEFAULT & ~PF(CROSS_ENDIAN) & ~PF(PAGEFAULT))
#define PF_QUIET (PF_DEFAULT & ~PF(BACKEND_REQ))	/* no channel */

static struct leak leak;
static struct device device;
static struct front front;
static struct front_mem mem, more;
static struct front_ring ring, ring1;

static void setup(void)
{
	leak = leak_begin();
	device_init(&device);
	memset(&front, 0, sizeof(front));
	front.fd = front.chan = -1;
}

static void teardown(void)
{
	front_close(&front);
	front_ring_close(&ring);
	front_ring_close(&ring1);
	front_mem_close(&mem);
	front_mem_close(&more);
	device_close(&device);
	ck_assert_int_eq(leak_check(&leak), 0);
}

static void open_back_end(void)
{
	front_new(&front, &device);
	device_expect(&device, device.ops.connected ? " connected" : "");
}

static void bring_up(uint64_t features, uint64_t pf)
{
	front_new(&front, &device);
	front_bring_up(&front, &mem, &ring, features, pf);
	device.calls[0] = '\0';
}

static vhost_vring_t *vr(unsigned int index)
{
	return vhost_backend_get_vring(front.be, index);
}

#endif
