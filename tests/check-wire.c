/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * Our front-end against a scripted back-end: what each public call sends, byte for byte,
 * and what it makes of the answers that real back-ends give.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <vhost/user.h>
#include <vhost/vhost.h>

#include "leak.h"
#include "peer.h"
#include "proto/vu-wire.h"

#define PF(name) VHOST_USER_PF_BIT(VHOST_USER_PF_##name)
#define BIT(n) ((uint64_t)1 << (n))
#define F_PROTOCOL BIT(30)
#define F_LOG_ALL BIT(26)
#define F_VERSION_1 BIT(32)
#define F_ACCESS_PLATFORM BIT(33)
#define F_PACKED BIT(34)
#define F_INDIRECT BIT(28)
#define OFFERED (F_PROTOCOL | F_LOG_ALL | F_VERSION_1 | F_ACCESS_PLATFORM | F_PACKED | F_INDIRECT)

#define MEM_IOVA 0x100000u
#define MEM_SIZE 0x40000u
#define QUEUE 16u

static struct leak leak;
static struct peer peer;
static vhost_dev_t *dev;
static vhost_mem_t *mem;
static struct vu_region region;	/* as it was last announced */
static int kick_fd, call_fd, err_fd;

static void setup(void)
{
	leak = leak_begin();
	peer.fd = peer.front = peer.chan = -1;
	kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ck_assert_int_eq(vhost_mem_new(MEM_SIZE, 0, MEM_IOVA, &mem), 0);
}

static void teardown(void)
{
	dev = vhost_dev_unref(dev);
	mem = vhost_mem_unref(mem);
	peer_close(&peer);
	close(kick_fd);
	close(call_fd);
	close(err_fd);
	ck_assert_int_eq(leak_check(&leak), 0);
}

static void open_opts(uint64_t pf, struct vhost_dev_opts *opts)
{
	opts->protocol_features = VHOST_USER_PROTOCOL_ALL;
	opts->timeout_ms = opts->timeout_ms ? opts->timeout_ms : 5000;
	peer_new(&peer, OFFERED, pf);
	peer_open(&peer, opts, pf, &dev);
}

static void open_with(uint64_t pf)
{
	struct vhost_dev_opts opts = { 0 };

	open_opts(pf, &opts);
}

/* Loop tests run once with acknowledgements (_i is 1), and once without. */
static uint64_t ack_if(int i)
{
	return i ? PF(REPLY_ACK) : 0;
}

static uint32_t set_flags(void)
{
	return peer_has(&peer, VHOST_USER_PF_REPLY_ACK) ? PEER_NEED_REPLY : PEER_PLAIN;
}

static void accept_features(uint64_t features)
{
	peer_ack(&peer, VU_SET_FEATURES);
	ck_assert_int_eq(vhost_dev_set_features(dev, features), 0);
	peer_expect_u64(&peer, VU_SET_FEATURES, features | F_PROTOCOL);
	peer_expect_barrier(&peer);
	peer_expect_nothing(&peer);
}

/* ADD_MEM_REG or a table of one region, into @region. */
static void take_region(void)
{
	struct vu_mem_reg reg;
	struct { struct vu_mem_table head; struct vu_region region; } table;
	int fd;

	if (peer_has(&peer, VHOST_USER_PF_CONFIGURE_MEM_SLOTS)) {
		peer_take(&peer, VU_ADD_MEM_REG, set_flags(), &reg, sizeof(reg), &fd, 1);
		ck_assert_uint_eq(reg.padding, 0);
		region = reg.region;
	} else {
		peer_take(&peer, VU_SET_MEM_TABLE, set_flags(), &table, sizeof(table), &fd, 1);
		ck_assert_uint_eq(table.head.n_regions, 1);
		ck_assert_uint_eq(table.head.padding, 0);
		region = table.region;
	}
	ck_assert(peer_same_file(fd, vhost_mem_fd(mem)));
	close(fd);
	ck_assert_uint_eq(region.guest_addr, MEM_IOVA);
	ck_assert_uint_eq(region.size, MEM_SIZE);
	ck_assert_uint_eq(region.mmap_offset, 0);
	if (peer_has(&peer, VHOST_USER_PF_GPA_ADDRESSES))
		ck_assert_uint_eq(region.user_addr, MEM_IOVA);
	else
		ck_assert_uint_ne(region.user_addr, (uintptr_t)vhost_mem_addr(mem));
}

static uint32_t mem_request(void)
{
	return peer_has(&peer, VHOST_USER_PF_CONFIGURE_MEM_SLOTS) ? VU_ADD_MEM_REG :
								    VU_SET_MEM_TABLE;
}

static void give_memory(void)
{
	peer_ack(&peer, mem_request());
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	take_region();
	peer_expect_barrier(&peer);
	peer_expect_nothing(&peer);
}

static struct vhost_vq_config vq_config(unsigned int index, bool fds)
{
	uint64_t at = MEM_IOVA + index * 0x1000;

	return (struct vhost_vq_config){
		.size = QUEUE, .desc = at, .driver = at + 0x400, .device = at + 0x800,
		.base = 3, .kick_fd = fds ? kick_fd : -1, .call_fd = fds ? call_fd : -1,
		.err_fd = fds ? err_fd : -1,
	};
}

static void set_up(unsigned int index, bool fds)
{
	struct vhost_vq_config config = vq_config(index, fds);

	ck_assert_int_eq(vhost_dev_vq_setup(dev, index, &config, sizeof(config)), 0);
	peer_expect_nothing(&peer);
}

/* What a start is answered with, or nothing. */
static void answer_vqs(unsigned int n, bool fds)
{
	unsigned int i;

	if (peer_has(&peer, VHOST_USER_PF_STATUS))
		peer_ack_each(&peer, VU_SET_STATUS);
	for (i = 0; i < n; i++) {
		peer_ack_each(&peer, VU_SET_VRING_NUM);
		peer_ack_each(&peer, VU_SET_VRING_BASE);
		peer_ack_each(&peer, VU_SET_VRING_ADDR);
		if (fds)
			peer_ack_each(&peer, VU_SET_VRING_ERR);
		peer_ack_each(&peer, VU_SET_VRING_CALL);
		peer_ack_each(&peer, VU_SET_VRING_KICK);
	}
	for (i = 0; i < n; i++)
		peer_ack_each(&peer, VU_SET_VRING_ENABLE);
	if (peer_has(&peer, VHOST_USER_PF_STATUS))
		peer_ack_each(&peer, VU_SET_STATUS);
	peer_barrier(&peer);
}

static void expect_addr(unsigned int index, uint64_t base, bool log)
{
	uint64_t at = base + index * 0x1000;
	struct vu_vring_addr addr = {
		.index = index, .flags = log, .desc = at, .avail = at + 0x400, .used = at + 0x800,
		.log = log ? MEM_IOVA + index * 0x1000 + 0x800 : 0,
	};

	peer_expect_set(&peer, VU_SET_VRING_ADDR, &addr, sizeof(addr));
}

static void expect_vring_fd(uint32_t request, unsigned int index, int fd)
{
	uint64_t value = index | (fd < 0 ? 0x100 : 0);
	int got;

	if (fd < 0) {
		peer_expect_u64(&peer, request, value);
		return;
	}
	peer_expect_set_fd(&peer, request, &value, sizeof(value), &got);
	ck_assert(peer_same_file(got, fd));
	close(got);
}

static void expect_vqs(unsigned int n, bool fds, uint64_t ring_base, uint32_t vring_base)
{
	unsigned int i;

	if (peer_has(&peer, VHOST_USER_PF_STATUS))
		peer_expect_u64(&peer, VU_SET_STATUS, 1 | 2 | 8);
	for (i = 0; i < n; i++) {
		peer_expect_state(&peer, VU_SET_VRING_NUM, i, QUEUE);
		peer_expect_state(&peer, VU_SET_VRING_BASE, i, vring_base);
		expect_addr(i, ring_base, false);
		if (fds)
			expect_vring_fd(VU_SET_VRING_ERR, i, err_fd);
		expect_vring_fd(VU_SET_VRING_CALL, i, fds ? call_fd : -1);
		/* the eventfd that was just kicked stays readable */
		if (fds) {
			uint64_t value = i;
			int got;

			peer_expect_set_fd(&peer, VU_SET_VRING_KICK, &value, sizeof(value), &got);
			close(got);
		} else {
			expect_vring_fd(VU_SET_VRING_KICK, i, -1);
		}
	}
	for (i = 0; i < n; i++)
		peer_expect_state(&peer, VU_SET_VRING_ENABLE, i, 1);
	if (peer_has(&peer, VHOST_USER_PF_STATUS))
		peer_expect_u64(&peer, VU_SET_STATUS, 1 | 2 | 4 | 8);
	peer_expect_barrier(&peer);
	peer_expect_nothing(&peer);
}

static void start(unsigned int n, bool fds)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		set_up(i, fds);
	answer_vqs(n, fds);
	ck_assert_int_eq(vhost_dev_start(dev), 0);
	expect_vqs(n, fds, region.user_addr, 3);
}

/* A started device with @n queues, all with eventfds. */
static void bring_up(uint64_t pf, unsigned int n)
{
	open_with(pf);
	accept_features(F_VERSION_1);
	give_memory();
	start(n, true);
}

/* ------------------------------------------------------------------- opening */

static const struct {
	uint64_t offered, allowed, acked;
	uint32_t flags;
} choices[] = {
	{ 0, 0, 0, 0 },
	{ 0x7fffff, 0, 0x0dbfff, 0 },
	{ UINT64_MAX, 0, 0x0dbfff, 0 },
	{ 0x7fffff, VHOST_USER_PROTOCOL_ALL, 0x7fffff, 0 },
	{ PF(MQ) | PF(CONFIG), VHOST_USER_PROTOCOL_ALL, PF(MQ) | PF(CONFIG), 0 },
	{ 0x7fffff, PF(REPLY_ACK), PF(REPLY_ACK), 0 },
	/* a channel is needed for what travels on it */
	{ 0x7fffff, VHOST_USER_PROTOCOL_ALL,
	  0x7fffff & ~(PF(BACKEND_REQ) | PF(INBAND_NOTIFICATIONS) | PF(BACKEND_SEND_FD) |
		       PF(HOST_NOTIFIER) | PF(SHMEM)), VHOST_OPEN_NO_BACKEND_CHANNEL },
	{ PF(INBAND_NOTIFICATIONS) | PF(BACKEND_REQ), VHOST_USER_PROTOCOL_ALL, PF(BACKEND_REQ), 0 },
	{ PF(INBAND_NOTIFICATIONS) | PF(REPLY_ACK), VHOST_USER_PROTOCOL_ALL, PF(REPLY_ACK), 0 },
	{ PF(INBAND_NOTIFICATIONS) | PF(REPLY_ACK) | PF(BACKEND_REQ), VHOST_USER_PROTOCOL_ALL,
	  PF(INBAND_NOTIFICATIONS) | PF(REPLY_ACK) | PF(BACKEND_REQ), 0 },
	{ PF(GET_VRING_BASE_INFLIGHT), VHOST_USER_PROTOCOL_ALL, 0, 0 },
	{ PF(GET_VRING_BASE_INFLIGHT) | PF(INFLIGHT_SHMFD), VHOST_USER_PROTOCOL_ALL,
	  PF(GET_VRING_BASE_INFLIGHT) | PF(INFLIGHT_SHMFD), 0 },
};

START_TEST(opening_negotiates_what_both_sides_have_and_the_rules_allow)
{
	struct vhost_dev_opts opts = {
		.flags = choices[_i].flags, .protocol_features = choices[_i].allowed,
	};
	uint64_t offered, acked;

	peer_new(&peer, OFFERED, choices[_i].offered);
	peer_open(&peer, &opts, choices[_i].acked, &dev);
	ck_assert_int_eq(vhost_user_get_protocol_features(dev, &offered, &acked), 0);
	ck_assert_uint_eq(offered, choices[_i].offered);
	ck_assert_uint_eq(acked, choices[_i].acked);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
}
END_TEST

START_TEST(a_back_end_without_protocol_features_is_opened_by_two_messages)
{
	uint64_t value;

	peer_new(&peer, F_VERSION_1, 0);
	peer_open(&peer, NULL, 0, &dev);
	ck_assert_int_eq(vhost_dev_get_cap(dev, VHOST_CAP_MAX_QUEUES, &value), 0);
	ck_assert_uint_eq(value, 256);
	ck_assert_int_eq(vhost_dev_get_cap(dev, VHOST_CAP_MAX_MEM_REGIONS, &value), 0);
	ck_assert_uint_eq(value, 8);
	/* and is then started without SET_VRING_ENABLE */
	peer_reply_u64(&peer, VU_GET_FEATURES, peer.features);
	ck_assert_int_eq(vhost_dev_set_features(dev, F_VERSION_1), 0);
	peer_expect_u64(&peer, VU_SET_FEATURES, F_VERSION_1);
	peer_expect_barrier(&peer);
	give_memory();
	set_up(0, false);
	peer_barrier(&peer);
	ck_assert_int_eq(vhost_dev_start(dev), 0);
	peer_expect_state(&peer, VU_SET_VRING_NUM, 0, QUEUE);
	peer_expect_state(&peer, VU_SET_VRING_BASE, 0, 3);
	expect_addr(0, region.user_addr, false);
	expect_vring_fd(VU_SET_VRING_CALL, 0, -1);
	expect_vring_fd(VU_SET_VRING_KICK, 0, -1);
	peer_expect_barrier(&peer);
	peer_expect_nothing(&peer);
	/* nor can a queue be switched while it runs */
	ck_assert_int_eq(vhost_dev_vq_enable(dev, 0, 0), -ENOTSUP);
	peer_expect_nothing(&peer);
}
END_TEST

START_TEST(limits_are_those_the_back_end_gave)
{
	static const struct { unsigned int said, is; } slots[] = {
		{ 0, 8 }, { 1, 1 }, { 8, 8 }, { 32, 32 }, { 509, 509 }, { 65536, 65536 },
		{ 100000, 65536 },
	};
	uint64_t value;

	peer_new(&peer, OFFERED, PF(MQ) | PF(CONFIGURE_MEM_SLOTS));
	peer.slots = slots[_i].said;
	peer.queues = _i ? 64 : 1000;
	peer_open(&peer, NULL, PF(MQ) | PF(CONFIGURE_MEM_SLOTS), &dev);
	ck_assert_int_eq(vhost_dev_get_cap(dev, VHOST_CAP_MAX_MEM_REGIONS, &value), 0);
	ck_assert_uint_eq(value, slots[_i].is);
	ck_assert_int_eq(vhost_dev_get_cap(dev, VHOST_CAP_MAX_QUEUES, &value), 0);
	ck_assert_uint_eq(value, _i ? 64 : 256);
	ck_assert_int_eq(vhost_dev_get_cap(dev, VHOST_CAP_MEM_HOTPLUG, &value), 0);
	ck_assert_uint_eq(value, slots[_i].said > 0);
}
END_TEST

/* ---------------------------------------------------- features, status, config */

START_TEST(features_are_asked_for_and_the_transports_own_are_hidden)
{
	uint64_t features;

	open_with(0);
	/* what was learnt when it was opened is not asked for twice */
	ck_assert_int_eq(vhost_dev_get_features(dev, &features), 0);
	ck_assert_uint_eq(features, OFFERED & ~(F_PROTOCOL | F_LOG_ALL));
	peer_expect_nothing(&peer);
	peer_reply_u64(&peer, VU_GET_FEATURES, OFFERED & ~F_PACKED);
	ck_assert_int_eq(vhost_dev_get_features(dev, &features), 0);
	ck_assert_uint_eq(features, OFFERED & ~(F_PACKED | F_PROTOCOL | F_LOG_ALL));
	peer_expect(&peer, VU_GET_FEATURES, PEER_PLAIN, NULL, 0);
	peer_expect_nothing(&peer);
}
END_TEST

START_TEST(features_are_accepted_with_the_bit_that_opens_the_protocols_own)
{
	open_with(ack_if(_i));
	accept_features(F_VERSION_1 | F_INDIRECT);
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), F_VERSION_1 | F_INDIRECT);
	ck_assert_int_eq(vhost_dev_set_features(dev, BIT(0)), -EINVAL);
	ck_assert_int_eq(vhost_dev_set_features(dev, F_LOG_ALL), -EINVAL);
	ck_assert_int_eq(vhost_dev_set_features(dev, F_PROTOCOL), -EINVAL);
	peer_expect_nothing(&peer);
}
END_TEST

START_TEST(features_that_are_refused_are_not_recorded)
{
	open_with(PF(REPLY_ACK));
	accept_features(F_VERSION_1);
	peer_reply_u64(&peer, VU_SET_FEATURES, 1);
	ck_assert_int_eq(vhost_dev_set_features(dev, F_INDIRECT), -EREMOTEIO);
	ck_assert_int_eq(vhost_dev_error_kind(dev), VHOST_ERR_PEER_REFUSED);
	ck_assert_ptr_nonnull(strstr(vhost_dev_error(dev), "SET_FEATURES"));
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), F_VERSION_1);
}
END_TEST

START_TEST(status_is_a_u64_of_one_byte)
{
	uint8_t status;

	open_with(PF(STATUS) | ack_if(_i));
	peer_reply_u64(&peer, VU_GET_STATUS, 0x4f);
	ck_assert_int_eq(vhost_dev_get_status(dev, &status), 0);
	ck_assert_uint_eq(status, 0x4f);
	peer_expect(&peer, VU_GET_STATUS, PEER_PLAIN, NULL, 0);
	peer_ack(&peer, VU_SET_STATUS);
	ck_assert_int_eq(vhost_dev_set_status(dev, 0x83), 0);
	peer_expect_u64(&peer, VU_SET_STATUS, 0x83);
	peer_expect_barrier(&peer);
	peer_expect_nothing(&peer);
	peer_reply_u64(&peer, VU_GET_STATUS, 0x100);
	ck_assert_int_eq(vhost_dev_get_status(dev, &status), -EPROTO);
	ck_assert_uint_eq(status, 0x4f);
}
END_TEST

START_TEST(without_a_status_nothing_is_sent_for_it)
{
	uint8_t status;

	open_with(ack_if(_i));
	ck_assert_int_eq(vhost_dev_set_status(dev, 3), 0);
	ck_assert_int_eq(vhost_dev_get_status(dev, &status), 0);
	ck_assert_uint_eq(status, 3);
	peer_expect_nothing(&peer);
}
END_TEST

struct config {
	struct vu_config head;
	uint8_t data[256];
};

START_TEST(config_is_read_with_room_for_as_many_bytes_as_are_wanted)
{
	struct config request = { .head = { 8, 20, 0 } }, reply = { .head = { 8, 20, 0 } };
	uint8_t got[20];

	open_with(PF(CONFIG) | ack_if(_i));
	memset(reply.data, 0x5a, 20);
	peer_reply(&peer, VU_GET_CONFIG, &reply, 12 + 20);
	ck_assert_int_eq(vhost_dev_get_config(dev, 8, got, 20), 0);
	ck_assert_mem_eq(got, reply.data, 20);
	peer_expect(&peer, VU_GET_CONFIG, PEER_PLAIN, &request, 12 + 20);
	peer_expect_nothing(&peer);
	ck_assert_int_eq(vhost_dev_get_config(dev, 0, got, 0), -EINVAL);
	ck_assert_int_eq(vhost_dev_get_config(dev, 0, got, 257), -EINVAL);
	peer_expect_nothing(&peer);
}
END_TEST

START_TEST(config_that_the_back_end_lacks_is_refused_in_either_way_of_saying_so)
{
	struct config reply = { .head = { 8, 0, 0 } };
	uint8_t got[4] = { 9 };

	open_with(PF(CONFIG));
	peer_reply(&peer, VU_GET_CONFIG, &reply, _i ? 12 : 0);
	ck_assert_int_eq(vhost_dev_get_config(dev, 8, got, 4), -EREMOTEIO);
	ck_assert_uint_eq(got[0], 9);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
}
END_TEST

START_TEST(config_is_written_for_the_driver_or_for_migration)
{
	struct config want = { .head = { 0x20, 4, 0 }, .data = { 1, 2, 3, 4 } };

	open_with(PF(CONFIG) | ack_if(_i));
	peer_ack(&peer, VU_SET_CONFIG);
	ck_assert_int_eq(vhost_dev_set_config(dev, 0x20, want.data, 4, 0), 0);
	peer_expect_set(&peer, VU_SET_CONFIG, &want, 12 + 4);
	peer_expect_barrier(&peer);
	peer_ack(&peer, VU_SET_CONFIG);
	want.head.flags = 1;
	ck_assert_int_eq(vhost_dev_set_config(dev, 0x20, want.data, 4, VHOST_CONFIG_MIGRATION), 0);
	peer_expect_set(&peer, VU_SET_CONFIG, &want, 12 + 4);
	peer_expect_barrier(&peer);
	peer_expect_nothing(&peer);
}
END_TEST

/* -------------------------------------------------------------------- memory */

START_TEST(memory_is_added_and_removed_by_slots)
{
	struct vu_mem_reg want = { 0 };

	open_with(PF(CONFIGURE_MEM_SLOTS) | ack_if(_i & 1) | (_i & 2 ? PF(GPA_ADDRESSES) : 0));
	give_memory();
	want.region = region;
	peer_ack(&peer, VU_REM_MEM_REG);
	ck_assert_int_eq(vhost_dev_mem_remove(dev, MEM_IOVA, MEM_SIZE), 0);
	peer_expect_set(&peer, VU_REM_MEM_REG, &want, sizeof(want));
	peer_expect_barrier(&peer);
	peer_expect_nothing(&peer);
}
END_TEST

START_TEST(without_slots_the_whole_table_is_sent_each_time)
{
	struct vhost_mem_desc second;
	struct { struct vu_mem_table head; struct vu_region r[2]; } table;
	int fds[2];

	open_with(ack_if(_i & 1) | (_i & 2 ? PF(GPA_ADDRESSES) : 0));
	give_memory();
	vhost_mem_describe(mem, &second, sizeof(second));
	second.iova = 0x1000000;
	second.size = 0x1000;
	second.fd_offset = 0x2000;
	second.addr = NULL;
	peer_ack(&peer, VU_SET_MEM_TABLE);
	ck_assert_int_eq(vhost_dev_mem_add(dev, &second, sizeof(second)), 0);
	peer_take(&peer, VU_SET_MEM_TABLE, set_flags(), &table, sizeof(table), fds, 2);
	close(fds[0]);
	close(fds[1]);
	ck_assert_uint_eq(table.head.n_regions, 2);
	ck_assert_mem_eq(&table.r[0], &region, sizeof(region));
	ck_assert_uint_eq(table.r[1].guest_addr, 0x1000000);
	ck_assert_uint_eq(table.r[1].size, 0x1000);
	ck_assert_uint_eq(table.r[1].mmap_offset, 0x2000);
	if (_i & 2)
		ck_assert_uint_eq(table.r[1].user_addr, 0x1000000);
	else
		ck_assert(table.r[1].user_addr >= region.user_addr + MEM_SIZE ||
			  table.r[1].user_addr + 0x1000 <= region.user_addr);
	peer_expect_barrier(&peer);
	peer_ack(&peer, VU_SET_MEM_TABLE);
	ck_assert_int_eq(vhost_dev_mem_remove(dev, 0x1000000, 0x1000), 0);
	take_region();
	peer_expect_barrier(&peer);
	peer_expect_nothing(&peer);
}
END_TEST

START_TEST(as_many_regions_are_taken_as_there_are_slots_or_eight)
{
	struct vhost_mem_desc d;
	unsigned int most = _i ? 509 : 8, i;
	uint8_t junk[8192];
	int fds[8], k;

	peer_new(&peer, OFFERED, PF(REPLY_ACK) | (_i ? PF(CONFIGURE_MEM_SLOTS) : 0));
	peer.slots = 509;
	peer_open(&peer, NULL, peer.pf, &dev);
	vhost_mem_describe(mem, &d, sizeof(d));
	d.size = 0x1000;
	d.addr = NULL;
	for (i = 0; i < most; i++) {
		d.iova = i * 0x10000;
		peer_ack(&peer, mem_request());
		ck_assert_int_eq(vhost_dev_mem_add(dev, &d, sizeof(d)), 0);
		if (_i) {
			peer_take(&peer, VU_ADD_MEM_REG, set_flags(), junk, 40, fds, 1);
			close(fds[0]);
		} else {
			peer_take(&peer, VU_SET_MEM_TABLE, set_flags(), junk, 8 + 32 * (i + 1), fds,
				  i + 1);
			for (k = 0; k <= (int)i; k++)
				close(fds[k]);
		}
	}
	d.iova = i * 0x10000;
	ck_assert_int_eq(vhost_dev_mem_add(dev, &d, sizeof(d)), -ENOSPC);
	peer_expect_nothing(&peer);
}
END_TEST

START_TEST(memory_that_is_not_shared_is_refused_before_anything_is_sent)
{
	struct vhost_mem_desc d = { .iova = 0, .size = 0x1000, .fd = -1 };

	open_with(PF(REPLY_ACK));
	d.addr = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_int_lt(vhost_dev_mem_add(dev, &d, sizeof(d)), 0);
	ck_assert_int_eq(vhost_dev_error_kind(dev), VHOST_ERR_MEM_NOT_SHARED);
	peer_expect_nothing(&peer);
	munmap(d.addr, 0x1000);
}
END_TEST

START_TEST(memory_that_is_refused_is_not_recorded)
{
	open_with(PF(REPLY_ACK) | (_i ? PF(CONFIGURE_MEM_SLOTS) : 0));
	peer_reply_u64(&peer, mem_request(), 1);
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), -EREMOTEIO);
	take_region();
	ck_assert_int_eq(vhost_dev_mem_remove(dev, MEM_IOVA, MEM_SIZE), -ENOENT);
	give_memory();
}
END_TEST

START_TEST(translations_are_sent_as_iotlb_messages_and_answered)
{
	struct vhost_iotlb_entry entry = { .iova = 0x5000, .size = 0x2000, .perm = 3,
					   .target = MEM_IOVA + 0x3000 };
	const uint32_t flags = _i & 1 ? PEER_NEED_REPLY : PEER_PLAIN;
	struct vu_iotlb want = { .iova = 0x5000, .size = 0x2000, .perm = 3, .type = 2 };

	open_with(ack_if(_i & 1) | (_i & 2 ? PF(GPA_ADDRESSES) : 0));
	ck_assert_int_eq(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), -ENOTSUP);
	accept_features(F_VERSION_1 | F_ACCESS_PLATFORM);
	give_memory();
	peer_reply_u64(&peer, VU_IOTLB_MSG, 0);
	ck_assert_int_eq(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), 0);
	want.user_addr = region.user_addr + 0x3000;
	peer_expect(&peer, VU_IOTLB_MSG, flags, &want, sizeof(want));
	peer_reply_u64(&peer, VU_IOTLB_MSG, 0);
	ck_assert_int_eq(vhost_dev_iotlb_invalidate(dev, 0x5000, 0x1000, 0), 0);
	want = (struct vu_iotlb){ .iova = 0x5000, .size = 0x1000, .type = 3 };
	peer_expect(&peer, VU_IOTLB_MSG, flags, &want, sizeof(want));
	peer_reply_u64(&peer, VU_IOTLB_MSG, 1);
	ck_assert_int_eq(vhost_dev_iotlb_invalidate(dev, 0, 0, 0), -EREMOTEIO);
	want = (struct vu_iotlb){ .iova = 0, .size = UINT64_MAX, .type = 3 };
	peer_expect(&peer, VU_IOTLB_MSG, flags, &want, sizeof(want));
	entry.target = MEM_IOVA + MEM_SIZE;
	ck_assert_int_eq(vhost_dev_iotlb_update(dev, &entry, sizeof(entry)), -EINVAL);
	peer_expect_nothing(&peer);
}
END_TEST

/* -------------------------------------------------------------------- queues */

START_TEST(starting_sends_each_queue_then_enables_all)
{
	open_with((_i & 1 ? PF(REPLY_ACK) : 0) | (_i & 2 ? PF(STATUS) : 0) |
		  (_i & 4 ? PF(CONFIGURE_MEM_SLOTS) : 0) | (_i & 8 ? PF(GPA_ADDRESSES) : 0));
	accept_features(F_VERSION_1);
	give_memory();
	start(3, _i & 16);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
	ck_assert_int_eq(vhost_dev_start(dev), 0);	/* again: nothing */
	peer_expect_nothing(&peer);
}
END_TEST

START_TEST(starting_kicks_each_queue_once)
{
	uint64_t value = 0;

	bring_up(PF(REPLY_ACK), 1);
	ck_assert_int_eq(read(kick_fd, &value, sizeof(value)), sizeof(value));
	ck_assert_uint_eq(value, 1);
}
END_TEST

START_TEST(with_an_iommu_ring_addresses_are_iovas)
{
	open_with(PF(REPLY_ACK));
	accept_features(F_VERSION_1 | F_ACCESS_PLATFORM);
	give_memory();
	set_up(0, true);
	answer_vqs(1, true);
	ck_assert_int_eq(vhost_dev_start(dev), 0);
	expect_vqs(1, true, MEM_IOVA, 3);
}
END_TEST

START_TEST(the_base_of_a_packed_ring_has_32_bits_and_of_a_split_one_16)
{
	struct vhost_vq_config config = vq_config(0, true);

	open_with(PF(REPLY_ACK));
	accept_features(F_VERSION_1 | (_i ? F_PACKED : 0));
	give_memory();
	config.base = 0x80058003;
	ck_assert_int_eq(vhost_dev_vq_setup(dev, 0, &config, sizeof(config)), 0);
	if (!_i) {
		ck_assert_int_eq(vhost_dev_start(dev), -EINVAL);
		ck_assert_int_eq(vhost_dev_vq_set_base(dev, 0, 0x10000), -EINVAL);
		config.base = 0x8003;
		ck_assert_int_eq(vhost_dev_vq_set_base(dev, 0, config.base), 0);
	}
	answer_vqs(1, true);
	ck_assert_int_eq(vhost_dev_start(dev), 0);
	expect_vqs(1, true, region.user_addr, config.base);
}
END_TEST

START_TEST(byte_order_is_sent_first_where_it_was_said)
{
	open_with(PF(REPLY_ACK) | PF(CROSS_ENDIAN));
	accept_features(F_VERSION_1);
	give_memory();
	set_up(0, false);
	peer_ack(&peer, VU_SET_VRING_ENDIAN);
	ck_assert_int_eq(vhost_dev_vq_set_endian(dev, 0, _i), 0);
	peer_expect_state(&peer, VU_SET_VRING_ENDIAN, 0, (uint32_t)_i);
	peer_ack_each(&peer, VU_SET_VRING_ENDIAN);
	answer_vqs(1, false);
	ck_assert_int_eq(vhost_dev_start(dev), 0);
	peer_expect_state(&peer, VU_SET_VRING_ENDIAN, 0, (uint32_t)_i);
	expect_vqs(1, false, region.user_addr, 3);
}
END_TEST

START_TEST(stopping_disables_every_queue_and_asks_where_each_stopped)
{
	struct vu_vring_state state[2] = { { 0, 7 }, { 1, 65535 } };
	uint32_t base;
	unsigned int i;

	bring_up(ack_if(_i), 2);
	peer_ack_each(&peer, VU_SET_VRING_ENABLE);
	peer_ack_each(&peer, VU_SET_VRING_ENABLE);
	for (i = 0; i < 2; i++)
		peer_reply(&peer, VU_GET_VRING_BASE, &state[i], 8);
	ck_assert_int_eq(vhost_dev_stop(dev), 0);
	for (i = 0; i < 2; i++)
		peer_expect_state(&peer, VU_SET_VRING_ENABLE, i, 0);
	for (i = 0; i < 2; i++) {
		struct vu_vring_state want = { i, 0 };

		peer_expect(&peer, VU_GET_VRING_BASE, PEER_PLAIN, &want, 8);
	}
	peer_expect_nothing(&peer);
	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(vhost_dev_vq_get_base(dev, i, &base), 0);
		ck_assert_uint_eq(base, state[i].num);
	}
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	ck_assert_int_eq(vhost_dev_stop(dev), 0);
	peer_expect_nothing(&peer);
}
END_TEST

START_TEST(suspending_asks_for_the_base_alone_and_resuming_sends_the_queues_again)
{
	struct vu_vring_state state = { 0, 9 }, want = { 0, 0 };
	uint64_t value;

	bring_up(ack_if(_i), 1);
	peer_reply(&peer, VU_GET_VRING_BASE, &state, 8);
	ck_assert_int_eq(vhost_dev_suspend(dev), 0);
	peer_expect(&peer, VU_GET_VRING_BASE, PEER_PLAIN, &want, 8);
	peer_expect_nothing(&peer);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_SUSPENDED);
	ck_assert_int_eq(vhost_dev_start(dev), -EBUSY);
	answer_vqs(1, true);
	while (read(call_fd, &value, sizeof(value)) > 0)
		;
	ck_assert_int_eq(vhost_dev_resume(dev), 0);
	ck_assert_int_eq(read(call_fd, &value, sizeof(value)), sizeof(value));
	expect_vqs(1, true, region.user_addr, 9);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
}
END_TEST

START_TEST(a_running_queue_is_enabled_disabled_kicked_and_given_another_call)
{
	uint64_t value;
	int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	bring_up(ack_if(_i), 2);
	peer_ack(&peer, VU_SET_VRING_ENABLE);
	ck_assert_int_eq(vhost_dev_vq_enable(dev, 1, 0), 0);
	peer_expect_state(&peer, VU_SET_VRING_ENABLE, 1, 0);
	peer_expect_barrier(&peer);
	peer_ack(&peer, VU_SET_VRING_ENABLE);
	ck_assert_int_eq(vhost_dev_vq_enable(dev, 1, 1), 0);
	peer_expect_state(&peer, VU_SET_VRING_ENABLE, 1, 1);
	peer_expect_barrier(&peer);
	peer_ack(&peer, VU_SET_VRING_CALL);
	ck_assert_int_eq(vhost_dev_vq_set_call(dev, 1, other), 0);
	expect_vring_fd(VU_SET_VRING_CALL, 1, other);
	peer_expect_barrier(&peer);
	while (read(kick_fd, &value, sizeof(value)) > 0)
		;
	ck_assert_int_eq(vhost_dev_vq_kick(dev, 0), 0);
	ck_assert_int_eq(read(kick_fd, &value, sizeof(value)), sizeof(value));
	peer_expect_nothing(&peer);
	close(other);
}
END_TEST

START_TEST(without_eventfds_a_kick_is_a_message_if_that_was_negotiated)
{
	struct vu_vring_state want = { 0, 0 };

	open_with(PF(REPLY_ACK) | (_i ? PF(BACKEND_REQ) | PF(INBAND_NOTIFICATIONS) : 0));
	accept_features(F_VERSION_1);
	give_memory();
	start(1, false);
	ck_assert_int_eq(vhost_dev_vq_kick(dev, 0), 0);
	if (_i) {
		peer_expect(&peer, VU_VRING_KICK, PEER_NEED_REPLY, &want, 8);
		peer_ack(&peer, VU_VRING_KICK);
		ck_assert_int_eq(vhost_dev_process(dev), 0);
	}
	peer_expect_nothing(&peer);
}
END_TEST

START_TEST(resetting_uses_what_the_back_end_has_for_it)
{
	uint64_t pf = (_i & 1 ? PF(REPLY_ACK) : 0) | (_i & 2 ? PF(RESET_DEVICE) : 0) |
		      (_i & 4 ? PF(STATUS) : 0);

	open_with(pf);
	accept_features(F_VERSION_1);
	if (_i & 2)
		peer_ack_each(&peer, VU_RESET_DEVICE);
	if (_i & 4)
		peer_ack_each(&peer, VU_SET_STATUS);
	peer_barrier(&peer);
	ck_assert_int_eq(vhost_dev_reset(dev), 0);
	if (_i & 2)
		peer_expect_set(&peer, VU_RESET_DEVICE, NULL, 0);
	if (_i & 4)
		peer_expect_u64(&peer, VU_SET_STATUS, 0);
	peer_expect_barrier(&peer);
	peer_expect_nothing(&peer);
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), 0);
}
END_TEST

/* ----------------------------------------------------------------- dirty log */

static void take_log(uint64_t size, int *fd)
{
	struct vu_log want = { .size = size, .offset = 0 };

	peer_expect_fd(&peer, VU_SET_LOG_BASE, PEER_PLAIN, &want, sizeof(want), fd);
}

START_TEST(logging_goes_on_with_the_log_the_feature_and_every_ring_address)
{
	static const uint32_t replies[] = { 0, 8, 16 };	/* DPDK, libvhost-user, rust-vmm */
	struct vu_log log = { 0 };
	uint64_t bitmap[2] = { 0 }, n;
	uint32_t size = replies[_i % 3];
	uint8_t *map;
	int fd;

	bring_up(PF(LOG_SHMFD) | ack_if(_i / 3), 2);
	peer_reply(&peer, VU_SET_LOG_BASE, &log, size);
	peer_ack_each(&peer, VU_SET_FEATURES);
	peer_ack_each(&peer, VU_SET_VRING_ADDR);
	peer_ack_each(&peer, VU_SET_VRING_ADDR);
	peer_barrier(&peer);
	ck_assert_int_eq(vhost_dev_log_start(dev), 0);
	take_log((uint64_t)sysconf(_SC_PAGESIZE), &fd);
	peer_expect_u64(&peer, VU_SET_FEATURES, F_VERSION_1 | F_PROTOCOL | F_LOG_ALL);
	expect_addr(0, region.user_addr, true);
	expect_addr(1, region.user_addr, true);
	peer_expect_barrier(&peer);
	peer_expect_nothing(&peer);
	/* page 0x102 is byte 0x20, bit 2 */
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	map[0x20] = 4;
	ck_assert_int_eq(vhost_dev_log_collect(dev, 0x100000, bitmap, 2, &n), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(bitmap[0], 4);
	ck_assert_uint_eq(map[0x20], 0);
	munmap(map, 4096);
	close(fd);
	ck_assert_int_eq(vhost_dev_log_start(dev), -EALREADY);
	peer_ack_each(&peer, VU_SET_FEATURES);
	peer_ack_each(&peer, VU_SET_VRING_ADDR);
	peer_ack_each(&peer, VU_SET_VRING_ADDR);
	peer_barrier(&peer);
	ck_assert_int_eq(vhost_dev_log_stop(dev), 0);
	peer_expect_u64(&peer, VU_SET_FEATURES, F_VERSION_1 | F_PROTOCOL);
	expect_addr(0, region.user_addr, false);
	expect_addr(1, region.user_addr, false);
	peer_expect_barrier(&peer);
	peer_expect_nothing(&peer);
}
END_TEST

START_TEST(the_log_has_a_descriptor_that_tells_of_it)
{
	int fd;

	open_with(PF(LOG_SHMFD) | ack_if(_i));
	peer_ack(&peer, VU_SET_LOG_FD);
	ck_assert_int_eq(vhost_dev_log_set_fd(dev, call_fd), 0);
	peer_expect_set_fd(&peer, VU_SET_LOG_FD, NULL, 0, &fd);
	ck_assert(peer_same_file(fd, call_fd));
	close(fd);
	peer_expect_barrier(&peer);
	peer_expect_nothing(&peer);
}
END_TEST

/* ----------------------------------------------------------- in-flight record */

START_TEST(the_in_flight_record_is_got_and_handed_back_in_20_or_24_bytes)
{
	struct vu_inflight ask = { .num_queues = 2, .queue_size = QUEUE };
	struct vu_inflight give = { .mmap_size = 0x1000, .mmap_offset = 0x1000, .num_queues = 2,
				    .queue_size = QUEUE };
	int fd = memfd_create("inflight", MFD_CLOEXEC), got;
	uint64_t size, offset;

	ck_assert_int_eq(ftruncate(fd, 0x2000), 0);
	open_with(PF(INFLIGHT_SHMFD) | ack_if(_i & 1));
	peer_reply_fd(&peer, VU_GET_INFLIGHT_FD, &give, _i & 2 ? 20 : 24, fd);
	peer_ack(&peer, VU_SET_INFLIGHT_FD);
	ck_assert_int_eq(vhost_dev_inflight_enable(dev, 2, QUEUE), 0);
	peer_expect(&peer, VU_GET_INFLIGHT_FD, PEER_PLAIN, &ask, sizeof(ask));
	peer_expect_set_fd(&peer, VU_SET_INFLIGHT_FD, &give, sizeof(give), &got);
	ck_assert(peer_same_file(got, fd));
	close(got);
	peer_expect_barrier(&peer);
	peer_expect_nothing(&peer);
	ck_assert_int_eq(vhost_dev_inflight_get(dev, &got, &size, &offset), 0);
	ck_assert(peer_same_file(got, fd));
	ck_assert_uint_eq(size, 0x1000);
	ck_assert_uint_eq(offset, 0x1000);
	/* one that was kept from elsewhere */
	peer_ack(&peer, VU_SET_INFLIGHT_FD);
	ck_assert_int_eq(vhost_dev_inflight_set(dev, fd, 0x1000, 0x1000, 2, QUEUE), 0);
	peer_expect_set_fd(&peer, VU_SET_INFLIGHT_FD, &give, sizeof(give), NULL);
	peer_expect_barrier(&peer);
	peer_expect_nothing(&peer);
	close(fd);
}
END_TEST

START_TEST(a_back_end_without_a_record_says_so_by_its_answer)
{
	struct vu_inflight give = { .num_queues = 2, .queue_size = QUEUE };

	open_with(PF(INFLIGHT_SHMFD));
	peer_reply(&peer, VU_GET_INFLIGHT_FD, &give, 24);
	ck_assert_int_eq(vhost_dev_inflight_enable(dev, 2, QUEUE), -EREMOTEIO);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
}
END_TEST

/* --------------------------------------------------- what only vhost-user has */

START_TEST(calls_of_vhost_user_send_their_message)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
	uint8_t rarp[8] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
	uint64_t id = 77;
	int sv[2], got;

	open_with(PF(RARP) | PF(NET_MTU) | PF(CRYPTO_SESSION) | ack_if(_i));
	peer_ack(&peer, VU_SEND_RARP);
	ck_assert_int_eq(vhost_user_send_rarp(dev, mac), 0);
	peer_expect_set(&peer, VU_SEND_RARP, rarp, 8);
	peer_expect_barrier(&peer);
	peer_ack(&peer, VU_NET_SET_MTU);
	ck_assert_int_eq(vhost_user_set_mtu(dev, 9000), 0);
	peer_expect_u64(&peer, VU_NET_SET_MTU, 9000);
	peer_expect_barrier(&peer);
	ck_assert_int_eq(vhost_user_set_mtu(dev, 67), -EINVAL);
	peer_ack(&peer, VU_CLOSE_CRYPTO_SESSION);
	ck_assert_int_eq(vhost_user_close_crypto_session(dev, id), 0);
	peer_expect_u64(&peer, VU_CLOSE_CRYPTO_SESSION, id);
	peer_expect_barrier(&peer);
	peer_ack(&peer, VU_RESET_OWNER);
	ck_assert_int_eq(vhost_user_reset_owner(dev), 0);
	peer_expect_set(&peer, VU_RESET_OWNER, NULL, 0);
	peer_expect_barrier(&peer);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	peer_ack(&peer, VU_GPU_SET_SOCKET);
	ck_assert_int_eq(vhost_user_set_gpu_socket(dev, sv[0]), 0);
	peer_expect_set_fd(&peer, VU_GPU_SET_SOCKET, NULL, 0, &got);
	ck_assert(peer_same_file(got, sv[0]));
	peer_expect_barrier(&peer);
	ck_assert_int_eq(vhost_user_set_gpu_socket(dev, call_fd), -ENOTSOCK);
	peer_expect_nothing(&peer);
	close(got);
	close(sv[0]);
	close(sv[1]);
}
END_TEST

START_TEST(a_crypto_session_is_described_and_its_id_comes_last_in_the_answer)
{
	uint8_t desc[200], reply[200];
	int64_t id = _i ? -1 : 4711;
	uint64_t ret = 5;

	memset(desc, 0x11, sizeof(desc));
	memcpy(reply, desc, sizeof(desc));
	memcpy(reply + 192, &id, sizeof(id));
	open_with(PF(CRYPTO_SESSION));
	peer_reply(&peer, VU_CREATE_CRYPTO_SESSION, reply, sizeof(reply));
	ck_assert_int_eq(vhost_user_create_crypto_session(dev, desc, sizeof(desc), &ret),
			 _i ? -EREMOTEIO : 0);
	ck_assert_uint_eq(ret, _i ? 5 : 4711);
	peer_expect(&peer, VU_CREATE_CRYPTO_SESSION, PEER_PLAIN, desc, sizeof(desc));
	peer_expect_nothing(&peer);
}
END_TEST

static const uint8_t uuid[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

START_TEST(a_shared_object_comes_with_0_or_16_bytes_or_not_at_all)
{
	int fd = -1;

	open_with(PF(SHARED_OBJECT));
	peer_reply_fd(&peer, VU_GET_SHARED_OBJECT, uuid, _i ? 16 : 0, call_fd);
	ck_assert_int_eq(vhost_user_get_shared_object(dev, uuid, &fd), 0);
	ck_assert(peer_same_file(fd, call_fd));
	close(fd);
	peer_expect(&peer, VU_GET_SHARED_OBJECT, PEER_PLAIN, uuid, 16);
	peer_reply(&peer, VU_GET_SHARED_OBJECT, uuid, _i ? 16 : 0);
	ck_assert_int_eq(vhost_user_get_shared_object(dev, uuid, &fd), -ENOENT);
}
END_TEST

START_TEST(the_sizes_of_shared_memory_are_asked_for_once)
{
	struct vu_shmem_config config = { .n_regions = 2 };
	uint64_t size;

	config.size[3] = 0x10000;
	config.size[255] = 0x2000;
	open_with(PF(SHMEM) | PF(BACKEND_REQ));
	peer_reply(&peer, VU_GET_SHMEM_CONFIG, &config, sizeof(config));
	ck_assert_int_eq(vhost_user_get_shmem_size(dev, 3, &size), 0);
	ck_assert_uint_eq(size, 0x10000);
	peer_expect(&peer, VU_GET_SHMEM_CONFIG, PEER_PLAIN, NULL, 0);
	ck_assert_int_eq(vhost_user_get_shmem_size(dev, 255, &size), 0);
	ck_assert_uint_eq(size, 0x2000);
	ck_assert_int_eq(vhost_user_get_shmem_size(dev, 256, &size), -EINVAL);
	peer_expect_nothing(&peer);
}
END_TEST

START_TEST(postcopy_is_advised_listened_for_and_ended)
{
	struct vu_mem_reg reg = { .region = { MEM_IOVA, MEM_SIZE, 0x7f0000000000, 0 } }, got;
	uint64_t base = 0, ok = 0;
	int fd = -1, mem_fd;

	open_with(PF(PAGEFAULT) | PF(CONFIGURE_MEM_SLOTS) | ack_if(_i & 1));
	ck_assert_int_eq(vhost_user_postcopy_listen(dev), -EINVAL);
	peer_reply_fd(&peer, VU_POSTCOPY_ADVISE, &ok, _i & 2 ? 8 : 0, call_fd);
	ck_assert_int_eq(vhost_user_postcopy_advise(dev, &fd), 0);
	ck_assert(peer_same_file(fd, call_fd));
	close(fd);
	peer_expect(&peer, VU_POSTCOPY_ADVISE, PEER_PLAIN, NULL, 0);
	peer_ack(&peer, VU_POSTCOPY_LISTEN);
	ck_assert_int_eq(vhost_user_postcopy_listen(dev), 0);
	peer_expect_set(&peer, VU_POSTCOPY_LISTEN, NULL, 0);
	peer_expect_barrier(&peer);
	/* memory: the region comes back with its address there, and is confirmed */
	peer_reply(&peer, VU_ADD_MEM_REG, &reg, sizeof(reg));
	peer_barrier(&peer);
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	peer_take(&peer, VU_ADD_MEM_REG, PEER_PLAIN, &got, sizeof(got), &mem_fd, 1);
	close(mem_fd);
	peer_expect_barrier(&peer);
	peer_expect(&peer, VU_ADD_MEM_REG, PEER_PLAIN, &ok, 8);
	peer_expect_nothing(&peer);
	ck_assert_int_eq(vhost_user_postcopy_get_base(dev, MEM_IOVA, &base), 0);
	ck_assert_uint_eq(base, 0x7f0000000000);
	peer_reply_u64(&peer, VU_POSTCOPY_END, 0);
	ck_assert_int_eq(vhost_user_postcopy_end(dev), 0);
	peer_expect(&peer, VU_POSTCOPY_END, PEER_PLAIN, NULL, 0);
	peer_expect_nothing(&peer);
}
END_TEST

START_TEST(postcopy_gets_the_whole_table_back_without_slots)
{
	struct { struct vu_mem_table head; struct vu_region r; } table = {
		.head = { 1, 0 }, .r = { MEM_IOVA, MEM_SIZE, 0x7f0000000000, 0 } }, got;
	uint64_t base, ok = 0;
	int fd;

	open_with(PF(PAGEFAULT) | PF(REPLY_ACK));
	peer_reply_fd(&peer, VU_POSTCOPY_ADVISE, NULL, 0, call_fd);
	ck_assert_int_eq(vhost_user_postcopy_advise(dev, &fd), 0);
	close(fd);
	peer_expect(&peer, VU_POSTCOPY_ADVISE, PEER_PLAIN, NULL, 0);
	peer_ack(&peer, VU_POSTCOPY_LISTEN);
	ck_assert_int_eq(vhost_user_postcopy_listen(dev), 0);
	peer_expect_set(&peer, VU_POSTCOPY_LISTEN, NULL, 0);
	peer_reply(&peer, VU_SET_MEM_TABLE, &table, sizeof(table));
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	peer_take(&peer, VU_SET_MEM_TABLE, PEER_PLAIN, &got, sizeof(got), &fd, 1);
	close(fd);
	peer_expect(&peer, VU_SET_MEM_TABLE, PEER_PLAIN, &ok, 8);
	peer_expect_nothing(&peer);
	ck_assert_int_eq(vhost_user_postcopy_get_base(dev, MEM_IOVA, &base), 0);
	ck_assert_uint_eq(base, 0x7f0000000000);
}
END_TEST

START_TEST(a_message_behind_a_feature_that_is_not_there_is_not_sent)
{
	uint8_t byte = 0;
	uint64_t value;
	int fd;

	open_with(PF(REPLY_ACK));
	ck_assert_int_eq(vhost_user_send_rarp(dev, uuid), -ENOTSUP);
	ck_assert_int_eq(vhost_user_set_mtu(dev, 1500), -ENOTSUP);
	ck_assert_int_eq(vhost_user_create_crypto_session(dev, uuid, 16, &value), -ENOTSUP);
	ck_assert_int_eq(vhost_user_close_crypto_session(dev, 1), -ENOTSUP);
	ck_assert_int_eq(vhost_user_get_shared_object(dev, uuid, &fd), -ENOTSUP);
	ck_assert_int_eq(vhost_user_get_shmem_size(dev, 0, &value), -ENOTSUP);
	ck_assert_int_eq(vhost_user_postcopy_advise(dev, &fd), -ENOTSUP);
	ck_assert_int_eq(vhost_user_postcopy_listen(dev), -ENOTSUP);
	ck_assert_int_eq(vhost_user_postcopy_end(dev), -ENOTSUP);
	ck_assert_int_eq(vhost_dev_get_config(dev, 0, &byte, 1), -ENOTSUP);
	ck_assert_int_eq(vhost_dev_set_config(dev, 0, &byte, 1, 0), -ENOTSUP);
	ck_assert_int_eq(vhost_dev_log_start(dev), -ENOTSUP);
	ck_assert_int_eq(vhost_dev_log_set_fd(dev, call_fd), -ENOTSUP);
	ck_assert_int_eq(vhost_dev_inflight_enable(dev, 1, 16), -ENOTSUP);
	ck_assert_int_eq(vhost_dev_device_state_fd(dev, 0, call_fd, &fd), -ENOTSUP);
	ck_assert_int_eq(vhost_dev_device_state_check(dev), -ENOTSUP);
	set_up(0, false);
	ck_assert_int_eq(vhost_dev_vq_set_endian(dev, 0, 1), -ENOTSUP);
	peer_expect_nothing(&peer);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
}
END_TEST

/* ---------------------------------------------------------------- device state */

struct mover {
	int sock;		/* the back-end's end */
	bool own;		/* answer with a pipe of its own */
	char got[64];
	ssize_t n;
	int bad;
};

/* The back-end's side of a transfer; it answers while the front-end waits. */
static void *move_state(void *opaque)
{
	struct mover *m = opaque;
	union { struct cmsghdr align; char buf[CMSG_SPACE(sizeof(int))]; } control;
	uint32_t buf[5], request = 42;
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			     .msg_controllen = sizeof(control) };
	uint32_t reply[5] = { request, PEER_REPLY, 8, 0x100, 0 }, check[3];
	int fd, fds[2];

	if (recvmsg(m->sock, &mh, MSG_CMSG_CLOEXEC) != sizeof(buf) || buf[0] != request ||
	    buf[1] != 1 || buf[2] != 8 || buf[4] != 0 || !CMSG_FIRSTHDR(&mh)) {
		m->bad = 1;
		return NULL;
	}
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&mh)), sizeof(fd));
	if (m->own) {
		struct iovec out = { reply, sizeof(reply) };
		struct msghdr with = { .msg_iov = &out, .msg_iovlen = 1, .msg_control = &control,
				       .msg_controllen = sizeof(control) };

		close(fd);
		m->bad |= pipe2(fds, O_CLOEXEC) < 0;
		reply[3] = 0;	/* a descriptor comes along */
		memcpy(CMSG_DATA(&control.align), &fds[buf[3] ? 1 : 0], sizeof(int));
		m->bad |= sendmsg(m->sock, &with, MSG_NOSIGNAL) != sizeof(reply);
		close(fds[buf[3] ? 1 : 0]);
		fd = fds[buf[3] ? 0 : 1];
	} else {
		m->bad |= send(m->sock, reply, sizeof(reply), MSG_NOSIGNAL) != sizeof(reply);
	}
	if (buf[3] == 0) {
		m->bad |= write(fd, "the state", 9) != 9;
	} else {
		ssize_t n;

		while ((n = read(fd, m->got + m->n, sizeof(m->got) - (size_t)m->n)) > 0)
			m->n += n;
	}
	close(fd);
	m->bad |= recv(m->sock, check, sizeof(check), MSG_WAITALL) != sizeof(check) ||
		  check[0] != 43 || check[1] != 1 || check[2] != 0;
	reply[0] = 43;
	reply[3] = 0;
	m->bad |= send(m->sock, reply, sizeof(reply), MSG_NOSIGNAL) != sizeof(reply);
	return NULL;
}

START_TEST(device_state_is_saved_and_loaded_over_our_pipe_or_theirs)
{
	struct mover m = { .own = _i };
	pthread_t thread;
	void *state;
	size_t size;

	open_with(PF(DEVICE_STATE));
	m.sock = peer.fd;
	ck_assert_int_eq(pthread_create(&thread, NULL, move_state, &m), 0);
	ck_assert_int_eq(vhost_dev_device_state_save(dev, 4096, &state, &size), 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(m.bad, 0);
	ck_assert_uint_eq(size, 9);
	ck_assert_mem_eq(state, "the state", 9);

	ck_assert_int_eq(pthread_create(&thread, NULL, move_state, &m), 0);
	ck_assert_int_eq(vhost_dev_device_state_load(dev, state, size), 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(m.bad, 0);
	ck_assert_int_eq(m.n, 9);
	ck_assert_mem_eq(m.got, "the state", 9);
	free(state);
	peer_expect_nothing(&peer);
}
END_TEST

START_TEST(a_transfer_of_state_that_is_refused_is_an_error)
{
	struct vu_transfer want = { 0, 0 };
	int fd = -1;

	open_with(PF(DEVICE_STATE));
	peer_reply_u64(&peer, VU_SET_DEVICE_STATE_FD, 0x101);
	ck_assert_int_eq(vhost_dev_device_state_fd(dev, VHOST_DEVICE_STATE_SAVE, call_fd, &fd),
			 -EREMOTEIO);
	ck_assert_int_eq(fd, -1);
	peer_expect_fd(&peer, VU_SET_DEVICE_STATE_FD, PEER_PLAIN, &want, sizeof(want), &fd);
	ck_assert(peer_same_file(fd, call_fd));
	close(fd);
	peer_reply_u64(&peer, VU_CHECK_DEVICE_STATE, 1);
	ck_assert_int_eq(vhost_dev_device_state_check(dev), -EREMOTEIO);
	peer_expect(&peer, VU_CHECK_DEVICE_STATE, PEER_PLAIN, NULL, 0);
	peer_expect_nothing(&peer);
}
END_TEST

/* ----------------------------------------------------------- back-end's channel */

static struct {
	unsigned int config, notifier, object, fault, calls[4], errors[4];
	int added;
	unsigned int maps, unmaps;
	int closed, connected;
	int lookup_fd;
} seen;

static void on_config(vhost_dev_t *d, void *opaque)
{
	(void)d;
	(void)opaque;
	seen.config++;
}

static void on_notifier(vhost_dev_t *d, unsigned int index, void *opaque)
{
	(void)d;
	(void)opaque;
	seen.notifier = index + 1;
}

static void on_object(vhost_dev_t *d, const uint8_t *id, int added, void *opaque)
{
	(void)d;
	(void)opaque;
	ck_assert_mem_eq(id, uuid, 16);
	seen.object++;
	seen.added = added;
}

static int on_lookup(vhost_dev_t *d, const uint8_t *id, void *opaque)
{
	(void)d;
	(void)opaque;
	ck_assert_mem_eq(id, uuid, 16);
	return seen.lookup_fd < 0 ? -ENOENT : fcntl(seen.lookup_fd, F_DUPFD_CLOEXEC, 3);
}

static int on_miss(vhost_dev_t *d, uint64_t iova, uint32_t perm, struct vhost_iotlb_entry *ret,
		   void *opaque)
{
	(void)d;
	(void)opaque;
	if (iova != 0x5123)
		return -EFAULT;
	ck_assert_uint_eq(perm, VHOST_IOTLB_PERM_WRITE);
	*ret = (struct vhost_iotlb_entry){ .iova = 0x5000, .size = 0x1000, .perm = 3,
					   .target = MEM_IOVA + 0x2000 };
	return 0;
}

static void on_fault(vhost_dev_t *d, uint64_t iova, uint32_t perm, void *opaque)
{
	(void)d;
	(void)opaque;
	ck_assert_uint_eq(iova, 0x77000);
	ck_assert_uint_eq(perm, 1);
	seen.fault++;
}

static void on_call(vhost_dev_t *d, unsigned int index, void *opaque)
{
	(void)d;
	(void)opaque;
	seen.calls[index]++;
}

static void on_error(vhost_dev_t *d, unsigned int index, void *opaque)
{
	(void)d;
	(void)opaque;
	seen.errors[index]++;
}

static int on_map(vhost_dev_t *d, unsigned int id, int map, uint64_t offset, uint64_t size, int fd,
		  uint64_t fd_offset, int writable, void *opaque)
{
	(void)d;
	(void)opaque;
	(void)fd_offset;
	ck_assert_uint_eq(id, 2);
	ck_assert_uint_eq(offset, 0x1000);
	ck_assert_uint_eq(size, 0x1000);
	if (map) {
		ck_assert_int_ge(fd, 0);
		ck_assert_int_ne(writable, 0);
		seen.maps++;
	} else {
		seen.unmaps++;
	}
	return 0;
}

static void on_closed(vhost_dev_t *d, int status, void *opaque)
{
	(void)d;
	(void)opaque;
	seen.closed = status;
}

static void on_connected(vhost_dev_t *d, int status, void *opaque)
{
	(void)d;
	(void)opaque;
	seen.connected = status ? status : 1;
}

static const struct vhost_dev_events all_events = {
	.closed = on_closed, .connected = on_connected, .config_changed = on_config,
	.iotlb_miss = on_miss, .iotlb_fault = on_fault, .vring_call = on_call,
	.vring_error = on_error, .host_notifier = on_notifier, .shared_object = on_object,
	.shared_lookup = on_lookup, .shmem_map = on_map,
};

#define CHANNEL (PF(BACKEND_REQ) | PF(BACKEND_SEND_FD) | PF(REPLY_ACK))

static void open_events(uint64_t pf)
{
	struct vhost_dev_opts opts = {
		.events = &all_events, .events_size = sizeof(all_events),
	};

	memset(&seen, 0, sizeof(seen));
	seen.lookup_fd = -1;
	open_opts(pf, &opts);
}

static void expect_channel(uint32_t request, uint64_t value)
{
	peer_expect_on(peer.chan, request, PEER_REPLY, &value, 8, NULL, 0);
}

static void expect_channel_nothing(void)
{
	char c;

	ck_assert_int_eq(recv(peer.chan, &c, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
}

static void ask(uint32_t request, uint32_t flags, const void *payload, uint32_t size, int fd)
{
	peer_send(peer.chan, request, flags, payload, size, &fd, fd >= 0 ? 1 : 0);
	ck_assert_int_eq(vhost_dev_process(dev), 0);
}

START_TEST(a_change_of_config_is_told_and_answered_if_asked_for)
{
	open_events(CHANNEL | PF(CONFIG));
	ask(VU_BACKEND_CONFIG_CHANGE_MSG, PEER_PLAIN, NULL, 0, -1);
	ck_assert_uint_eq(seen.config, 1);
	expect_channel_nothing();
	ask(VU_BACKEND_CONFIG_CHANGE_MSG, PEER_NEED_REPLY, NULL, 0, -1);
	ck_assert_uint_eq(seen.config, 2);
	expect_channel(VU_BACKEND_CONFIG_CHANGE_MSG, 0);
	expect_channel_nothing();
}
END_TEST

START_TEST(a_miss_is_answered_on_the_main_socket_before_its_own_answer)
{
	struct vu_iotlb miss = { .iova = 0x5123, .perm = 2, .type = 1 };
	struct vu_iotlb want = { .iova = 0x5000, .size = 0x1000, .perm = 3, .type = 2 };

	open_events(CHANNEL);
	if (!_i)
		ck_assert_int_eq(vhost_dev_set_events(dev, NULL, 0, NULL), 0);
	accept_features(F_VERSION_1 | F_ACCESS_PLATFORM);
	give_memory();
	if (_i) {
		want.user_addr = region.user_addr + 0x2000;
	} else {
		/* without a callback the memory map is the translation */
		miss.iova = MEM_IOVA + 0x123;
		want.iova = MEM_IOVA;
		want.size = MEM_SIZE;
		want.user_addr = region.user_addr;
	}
	ask(VU_BACKEND_IOTLB_MSG, PEER_NEED_REPLY, &miss, sizeof(miss), -1);
	peer_expect(&peer, VU_IOTLB_MSG, PEER_NEED_REPLY, &want, sizeof(want));
	expect_channel(VU_BACKEND_IOTLB_MSG, 0);
	peer_reply_u64(&peer, VU_IOTLB_MSG, 0);
	/* one that has no translation */
	miss.iova = 0x99999999000;
	ask(VU_BACKEND_IOTLB_MSG, PEER_NEED_REPLY, &miss, sizeof(miss), -1);
	expect_channel(VU_BACKEND_IOTLB_MSG, 1);
	peer_expect_nothing(&peer);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
}
END_TEST

START_TEST(a_miss_is_served_while_a_call_waits)
{
	struct vu_iotlb miss = { .iova = 0x5123, .perm = 2, .type = 1 };
	struct vhost_dev_opts opts = {
		.events = &all_events, .events_size = sizeof(all_events), .timeout_ms = 200,
	};
	uint64_t features = F_VERSION_1 | F_ACCESS_PLATFORM | F_PROTOCOL;

	open_opts(CHANNEL, &opts);
	accept_features(F_VERSION_1 | F_ACCESS_PLATFORM);
	give_memory();
	peer_send(peer.chan, VU_BACKEND_IOTLB_MSG, PEER_PLAIN, &miss, sizeof(miss), NULL, 0);
	/* never answered: it waits, serves the channel, and gives up */
	ck_assert_int_eq(vhost_dev_set_features(dev, F_VERSION_1 | F_ACCESS_PLATFORM), -ETIMEDOUT);
	peer_expect_u64(&peer, VU_SET_FEATURES, features);
	peer_expect(&peer, VU_IOTLB_MSG, PEER_NEED_REPLY, NULL, sizeof(struct vu_iotlb));
}
END_TEST

START_TEST(a_fault_is_told)
{
	struct vu_iotlb fault = { .iova = 0x77000, .perm = 1, .type = 4 };

	open_events(CHANNEL);
	accept_features(F_VERSION_1 | F_ACCESS_PLATFORM);
	ask(VU_BACKEND_IOTLB_MSG, PEER_NEED_REPLY, &fault, sizeof(fault), -1);
	expect_channel(VU_BACKEND_IOTLB_MSG, 0);
	ck_assert_uint_eq(seen.fault, 1);
}
END_TEST

START_TEST(in_band_notifications_name_their_queue)
{
	struct vu_vring_state state = { 1, 0 };

	open_events(CHANNEL | PF(INBAND_NOTIFICATIONS));
	set_up(0, false);
	set_up(1, false);
	ask(VU_BACKEND_VRING_CALL, PEER_PLAIN, &state, 8, -1);
	ck_assert_uint_eq(seen.calls[1], 1);
	expect_channel_nothing();
	ask(VU_BACKEND_VRING_ERR, PEER_NEED_REPLY, &state, 8, -1);
	ck_assert_uint_eq(seen.errors[1], 1);
	expect_channel(VU_BACKEND_VRING_ERR, 0);
	state.index = 2;
	ask(VU_BACKEND_VRING_CALL, PEER_NEED_REPLY, &state, 8, -1);
	expect_channel(VU_BACKEND_VRING_CALL, 1);
}
END_TEST

START_TEST(a_host_notifier_is_mapped_and_taken_away_again)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct vu_vring_area area = { 2, page, page };
	int fd = memfd_create("doorbell", MFD_CLOEXEC);
	void *addr = NULL;
	size_t size;

	ck_assert_int_eq(ftruncate(fd, (off_t)(2 * page)), 0);
	open_events(CHANNEL | PF(MQ) | PF(HOST_NOTIFIER));
	ask(VU_BACKEND_VRING_HOST_NOTIFIER_MSG, PEER_NEED_REPLY, &area, sizeof(area), fd);
	expect_channel(VU_BACKEND_VRING_HOST_NOTIFIER_MSG, 0);
	ck_assert_uint_eq(seen.notifier, 3);
	ck_assert_int_eq(vhost_user_get_host_notifier(dev, 2, &addr, &size), 0);
	ck_assert_uint_eq(size, page);
	*(volatile uint32_t *)addr = 0x1234;
	ck_assert_int_eq(vhost_user_get_host_notifier(dev, 1, &addr, &size), -ENOENT);
	area.index = 2 | 0x100;
	ask(VU_BACKEND_VRING_HOST_NOTIFIER_MSG, PEER_NEED_REPLY, &area, sizeof(area), -1);
	expect_channel(VU_BACKEND_VRING_HOST_NOTIFIER_MSG, 0);
	ck_assert_int_eq(vhost_user_get_host_notifier(dev, 2, &addr, &size), -ENOENT);
	/* a queue that is not there; more than a page */
	area.index = 4;
	ask(VU_BACKEND_VRING_HOST_NOTIFIER_MSG, PEER_NEED_REPLY, &area, sizeof(area), fd);
	expect_channel(VU_BACKEND_VRING_HOST_NOTIFIER_MSG, 1);
	area.index = 1;
	area.size = 2 * page;
	ask(VU_BACKEND_VRING_HOST_NOTIFIER_MSG, PEER_NEED_REPLY, &area, sizeof(area), fd);
	expect_channel(VU_BACKEND_VRING_HOST_NOTIFIER_MSG, 1);
	close(fd);
}
END_TEST

START_TEST(shared_objects_are_added_removed_and_looked_up)
{
	int fd;
	uint64_t ok = 0;

	open_events(CHANNEL | PF(SHARED_OBJECT));
	ask(VU_BACKEND_SHARED_OBJECT_ADD, PEER_NEED_REPLY, uuid, 16, -1);
	expect_channel(VU_BACKEND_SHARED_OBJECT_ADD, 0);
	ck_assert_int_eq(seen.added, 1);
	ask(VU_BACKEND_SHARED_OBJECT_ADD, PEER_NEED_REPLY, uuid, 16, -1);
	expect_channel(VU_BACKEND_SHARED_OBJECT_ADD, 1);
	ck_assert_uint_eq(seen.object, 1);
	ask(VU_BACKEND_SHARED_OBJECT_REMOVE, PEER_NEED_REPLY, uuid, 16, -1);
	expect_channel(VU_BACKEND_SHARED_OBJECT_REMOVE, 0);
	ck_assert_int_eq(seen.added, 0);
	ask(VU_BACKEND_SHARED_OBJECT_REMOVE, PEER_NEED_REPLY, uuid, 16, -1);
	expect_channel(VU_BACKEND_SHARED_OBJECT_REMOVE, 1);
	/* always answered */
	ask(VU_BACKEND_SHARED_OBJECT_LOOKUP, PEER_PLAIN, uuid, 16, -1);
	expect_channel(VU_BACKEND_SHARED_OBJECT_LOOKUP, 1);
	seen.lookup_fd = call_fd;
	ask(VU_BACKEND_SHARED_OBJECT_LOOKUP, PEER_PLAIN, uuid, 16, -1);
	peer_expect_on(peer.chan, VU_BACKEND_SHARED_OBJECT_LOOKUP, PEER_REPLY, &ok, 8, &fd, 1);
	ck_assert(peer_same_file(fd, call_fd));
	close(fd);
}
END_TEST

START_TEST(files_are_mapped_into_shared_memory_and_taken_out)
{
	struct vu_mmap m = { .shmid = 2, .fd_offset = 0x1000, .shm_offset = 0x1000, .len = 0x1000,
			     .flags = 1 };
	char *at = mmap(NULL, 0x4000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create("shm", MFD_CLOEXEC);

	ck_assert_int_eq(ftruncate(fd, 0x2000), 0);
	ck_assert_int_eq(pwrite(fd, "hello", 5, 0x1000), 5);
	open_events(CHANNEL | PF(SHMEM));
	ck_assert_int_eq(vhost_user_set_shmem(dev, 2, _i ? at : NULL, 0x4000), 0);
	ask(VU_BACKEND_SHMEM_MAP, PEER_NEED_REPLY, &m, sizeof(m), fd);
	expect_channel(VU_BACKEND_SHMEM_MAP, 0);
	ck_assert_uint_eq(seen.maps, 1);
	if (_i)
		ck_assert_mem_eq(at + 0x1000, "hello", 5);
	/* what overlaps is refused, and so is what leaves the region */
	ask(VU_BACKEND_SHMEM_MAP, PEER_NEED_REPLY, &m, sizeof(m), fd);
	expect_channel(VU_BACKEND_SHMEM_MAP, 1);
	m.shm_offset = 0x4000;
	ask(VU_BACKEND_SHMEM_MAP, PEER_NEED_REPLY, &m, sizeof(m), fd);
	expect_channel(VU_BACKEND_SHMEM_MAP, 1);
	m.shm_offset = 0x1000;
	ask(VU_BACKEND_SHMEM_UNMAP, PEER_NEED_REPLY, &m, sizeof(m), -1);
	expect_channel(VU_BACKEND_SHMEM_UNMAP, 0);
	ck_assert_uint_eq(seen.unmaps, 1);
	ask(VU_BACKEND_SHMEM_UNMAP, PEER_NEED_REPLY, &m, sizeof(m), -1);
	expect_channel(VU_BACKEND_SHMEM_UNMAP, 1);
	close(fd);
	dev = vhost_dev_unref(dev);
	munmap(at, 0x4000);
}
END_TEST

START_TEST(a_channel_that_closes_leaves_the_device_working)
{
	open_events(CHANNEL | PF(CONFIG));
	close(peer.chan);
	peer.chan = -1;
	ck_assert_int_eq(vhost_dev_process(dev), 0);
	accept_features(F_VERSION_1);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
}
END_TEST

/* ---------------------------------------------------------------- transactions */

static int done_status;
static unsigned int done_count;

static void on_done(vhost_dev_t *d, int status, void *opaque)
{
	ck_assert_ptr_eq(d, dev);
	ck_assert_ptr_eq(opaque, &done_status);
	done_status = status;
	done_count++;
}

/* Features, memory and a start in one go; nothing is sent before it is committed. */
static void begin_all(unsigned int n)
{
	unsigned int i;

	done_count = 0;
	done_status = 1;
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	ck_assert_int_eq(vhost_dev_set_features(dev, F_VERSION_1), 0);
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	for (i = 0; i < n; i++)
		set_up(i, true);
	ck_assert_int_eq(vhost_dev_start(dev), 0);
	peer_expect_nothing(&peer);
	ck_assert_int_eq(vhost_dev_begin(dev), -EBUSY);
}

static void expect_all(unsigned int n)
{
	peer_expect_u64(&peer, VU_SET_FEATURES, F_VERSION_1 | F_PROTOCOL);
	peer_expect_barrier(&peer);
	take_region();
	peer_expect_barrier(&peer);
	expect_vqs(n, true, region.user_addr, 3);
}

static void answer_all(unsigned int n)
{
	peer_ack(&peer, VU_SET_FEATURES);
	peer_ack(&peer, mem_request());
	answer_vqs(n, true);
}

static uint64_t txn_pf(int i)
{
	return PF(MQ) | ack_if(i & 1) | (i & 2 ? PF(CONFIGURE_MEM_SLOTS) : 0) |
	       (i & 4 ? PF(STATUS) : 0);
}

START_TEST(a_transaction_sends_everything_before_anything_is_answered)
{
	struct pollfd p = { .events = POLLIN };

	open_with(txn_pf(_i));
	p.fd = vhost_dev_get_fd(dev);
	ck_assert_int_ge(p.fd, 0);
	begin_all(4);
	ck_assert_int_eq(vhost_dev_commit_async(dev, on_done, &done_status), 0);
	expect_all(4);
	ck_assert_int_eq(vhost_dev_process(dev), 0);
	ck_assert_uint_eq(done_count, 0);
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	ck_assert_int_gt(vhost_dev_get_timeout(dev), 0);
	answer_all(4);
	ck_assert_int_eq(poll(&p, 1, 0), 1);
	while (!done_count && poll(&p, 1, 0) == 1)
		ck_assert_int_eq(vhost_dev_process(dev), 0);
	ck_assert_uint_eq(done_count, 1);
	ck_assert_int_eq(done_status, 0);
	ck_assert_int_eq(vhost_dev_get_timeout(dev), -1);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
	/* it may have woken us for the callback; then it is quiet */
	ck_assert_int_eq(vhost_dev_process(dev), 0);
	ck_assert_int_eq(poll(&p, 1, 0), 0);
}
END_TEST

START_TEST(a_transaction_can_be_waited_for)
{
	open_with(txn_pf(_i));
	begin_all(2);
	answer_all(2);
	ck_assert_int_eq(vhost_dev_commit(dev), 0);
	expect_all(2);
	ck_assert_int_eq(vhost_dev_commit(dev), -EINVAL);
}
END_TEST

START_TEST(a_transaction_that_is_cancelled_before_its_commit_never_was)
{
	open_with(txn_pf(_i));
	begin_all(1);
	ck_assert_int_eq(vhost_dev_cancel(dev), 0);
	peer_expect_nothing(&peer);
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), 0);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
	accept_features(F_VERSION_1);
	give_memory();
}
END_TEST

START_TEST(a_stop_that_is_cancelled_before_its_commit_leaves_the_device_running)
{
	struct vu_vring_state state = { 0, 7 };

	bring_up(PF(REPLY_ACK), 1);
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	ck_assert_int_eq(vhost_dev_stop(dev), 0);
	ck_assert_int_eq(vhost_dev_cancel(dev), 0);
	peer_expect_nothing(&peer);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
	ck_assert_int_eq(vhost_dev_vq_kick(dev, 0), 0);
	peer_ack_each(&peer, VU_SET_VRING_ENABLE);
	peer_reply(&peer, VU_GET_VRING_BASE, &state, 8);
	ck_assert_int_eq(vhost_dev_stop(dev), 0);
	peer_expect_state(&peer, VU_SET_VRING_ENABLE, 0, 0);
	peer_expect(&peer, VU_GET_VRING_BASE, PEER_PLAIN, NULL, 8);
	peer_expect_nothing(&peer);
}
END_TEST

START_TEST(a_transaction_that_is_cancelled_later_closes_the_connection)
{
	open_with(txn_pf(_i));
	begin_all(1);
	ck_assert_int_eq(vhost_dev_commit_async(dev, on_done, &done_status), 0);
	ck_assert_int_eq(vhost_dev_cancel(dev), 0);
	ck_assert_uint_eq(done_count, 1);
	ck_assert_int_eq(done_status, -ECANCELED);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_CLOSED);
}
END_TEST

START_TEST(a_refusal_inside_a_transaction_is_its_result)
{
	open_with(PF(REPLY_ACK));
	ck_assert_int_eq(vhost_dev_begin(dev), 0);
	ck_assert_int_eq(vhost_dev_set_features(dev, F_VERSION_1), 0);
	ck_assert_int_eq(vhost_dev_mem_add_mem(dev, mem), 0);
	peer_reply_u64(&peer, VU_SET_FEATURES, 0);
	peer_reply_u64(&peer, VU_SET_MEM_TABLE, 1);
	ck_assert_int_eq(vhost_dev_commit(dev), -EREMOTEIO);
	ck_assert_ptr_nonnull(strstr(vhost_dev_error(dev), "SET_MEM_TABLE"));
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), F_VERSION_1);
}
END_TEST

START_TEST(a_deadline_closes_the_connection_and_says_which_answer_was_late)
{
	struct vhost_dev_opts opts = {
		.timeout_ms = 100, .events = &all_events, .events_size = sizeof(all_events),
	};

	memset(&seen, 0, sizeof(seen));
	open_opts(PF(REPLY_ACK), &opts);
	if (_i) {
		done_count = 0;
		ck_assert_int_eq(vhost_dev_begin(dev), 0);
		ck_assert_int_eq(vhost_dev_set_features(dev, F_VERSION_1), 0);
		ck_assert_int_eq(vhost_dev_commit_async(dev, on_done, &done_status), 0);
		poll(NULL, 0, vhost_dev_get_timeout(dev) + 5);
		ck_assert_int_eq(vhost_dev_get_timeout(dev), 0);
		ck_assert_int_eq(vhost_dev_process(dev), -ETIMEDOUT);
		ck_assert_uint_eq(done_count, 1);
		ck_assert_int_eq(done_status, -ETIMEDOUT);
	} else {
		ck_assert_int_eq(vhost_dev_set_features(dev, F_VERSION_1), -ETIMEDOUT);
	}
	ck_assert_int_eq(vhost_dev_error_kind(dev), VHOST_ERR_DEADLINE);
	ck_assert_ptr_nonnull(strstr(vhost_dev_error(dev), "SET_FEATURES"));
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_CLOSED);
	ck_assert_int_eq(seen.closed, -ETIMEDOUT);
	ck_assert_int_eq(vhost_dev_set_features(dev, F_VERSION_1), -ENOTCONN);
}
END_TEST

/* ------------------------------------------------- connecting, and once more */

static void reopen(uint64_t pf)
{
	peer_renew(&peer);
	peer_answer_open(&peer, pf);
}

static void given_away(void)
{
	close(peer.front);
	peer.front = -1;
}

START_TEST(a_reconnection_replays_the_record_in_one_go)
{
	uint64_t pf = PF(MQ) | (_i & 1 ? PF(REPLY_ACK) : 0) | (_i & 2 ? PF(STATUS) : 0) |
		      (_i & 4 ? PF(CONFIGURE_MEM_SLOTS) : 0);
	uint32_t base;
	uint16_t used = 21;

	bring_up(pf, 2);
	/* both split rings have used 21 entries when the back-end ends */
	memcpy((char *)vhost_mem_addr(mem) + 0x800 + 2, &used, 2);
	memcpy((char *)vhost_mem_addr(mem) + 0x1800 + 2, &used, 2);
	close(peer.fd);
	peer.fd = -1;
	ck_assert_int_eq(vhost_dev_process(dev), -ECONNRESET);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_CLOSED);
	ck_assert_int_eq(vhost_dev_reconnect(dev, 0), -ENOTSUP);
	reopen(pf);
	peer_ack_each(&peer, VU_SET_FEATURES);
	peer_ack_each(&peer, mem_request());
	answer_vqs(2, true);
	ck_assert_int_eq(vhost_dev_reconnect_fd(dev, peer.front, VHOST_RECONNECT_FROM_USED), 0);
	given_away();
	peer_expect_open(&peer, pf);
	peer_expect_u64(&peer, VU_SET_FEATURES, F_VERSION_1 | F_PROTOCOL);
	take_region();
	expect_vqs(2, true, region.user_addr, 21);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STARTED);
	ck_assert_int_eq(vhost_dev_vq_get_base(dev, 0, &base), 0);
	ck_assert_uint_eq(base, 21);
}
END_TEST

START_TEST(a_reconnection_to_a_back_end_that_lost_what_is_in_use_is_refused)
{
	bring_up(PF(REPLY_ACK) | PF(CONFIG), 1);
	close(peer.fd);
	peer.fd = -1;
	ck_assert_int_eq(vhost_dev_process(dev), -ECONNRESET);
	if (_i)
		peer.features &= ~F_VERSION_1;
	else
		peer.pf &= ~PF(CONFIG);
	reopen(peer.pf);
	ck_assert_int_eq(vhost_dev_reconnect_fd(dev, peer.front, VHOST_RECONNECT_FROM_USED),
			 -EPROTONOSUPPORT);
	ck_assert_int_eq(vhost_dev_error_kind(dev), VHOST_ERR_INCOMPATIBLE);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_CLOSED);
}
END_TEST

START_TEST(a_reconnection_hands_the_in_flight_record_back)
{
	uint64_t pf = PF(INFLIGHT_SHMFD) | ack_if(_i);
	struct vu_inflight give = { .mmap_size = 0x1000, .num_queues = 1, .queue_size = QUEUE };
	int fd = memfd_create("inflight", MFD_CLOEXEC), got;
	uint16_t used = 7;

	ck_assert_int_eq(ftruncate(fd, 0x1000), 0);
	open_with(pf);
	accept_features(F_VERSION_1);
	give_memory();
	peer_reply_fd(&peer, VU_GET_INFLIGHT_FD, &give, sizeof(give), fd);
	peer_ack(&peer, VU_SET_INFLIGHT_FD);
	ck_assert_int_eq(vhost_dev_inflight_enable(dev, 1, QUEUE), 0);
	peer_take(&peer, VU_GET_INFLIGHT_FD, PEER_PLAIN, &(struct vu_inflight){ 0 }, sizeof(give),
		  NULL, 0);
	peer_expect_set_fd(&peer, VU_SET_INFLIGHT_FD, &give, sizeof(give), NULL);
	peer_expect_barrier(&peer);
	start(1, true);
	memcpy((char *)vhost_mem_addr(mem) + 0x800 + 2, &used, 2);
	close(peer.fd);
	peer.fd = -1;
	ck_assert_int_eq(vhost_dev_process(dev), -ECONNRESET);
	reopen(pf);
	peer_ack_each(&peer, VU_SET_FEATURES);
	peer_ack_each(&peer, VU_SET_MEM_TABLE);
	peer_ack_each(&peer, VU_SET_INFLIGHT_FD);
	answer_vqs(1, true);
	/* with a record it needs nobody's word that the used index can be trusted */
	ck_assert_int_eq(vhost_dev_reconnect_fd(dev, peer.front, 0), 0);
	given_away();
	peer_expect_open(&peer, pf);
	peer_expect_u64(&peer, VU_SET_FEATURES, F_VERSION_1 | F_PROTOCOL);
	take_region();
	peer_expect_set_fd(&peer, VU_SET_INFLIGHT_FD, &give, sizeof(give), &got);
	ck_assert(peer_same_file(got, fd));
	close(got);
	close(fd);
	expect_vqs(1, true, region.user_addr, used);
}
END_TEST

START_TEST(a_reconnection_gets_a_new_record_when_the_virtq_makes_everything_available_again)
{
	uint64_t pf = PF(INFLIGHT_SHMFD) | PF(REPLY_ACK);
	struct vu_inflight give = { .mmap_size = 0x1000, .num_queues = 1, .queue_size = QUEUE };
	struct vhost_virtq_opts opts = { .size = QUEUE, .features = F_VERSION_1 };
	struct vhost_sg sg = { MEM_IOVA + 0x20000, 512, 0 };
	struct vhost_virtq_req req = { .sg = &sg, .in = 1, .cookie = &sg };
	int old = memfd_create("old", MFD_CLOEXEC), new = memfd_create("new", MFD_CLOEXEC), got;
	uint64_t size, offset;
	vhost_virtq_t *vq;
	uint8_t buf[4096];
	uint32_t base;

	ck_assert_int_eq(ftruncate(old, 0x1000), 0);
	ck_assert_int_eq(ftruncate(new, 0x1000), 0);
	ck_assert_int_eq(vhost_virtq_new(mem, &opts, sizeof(opts), &vq), 0);
	open_with(pf);
	accept_features(F_VERSION_1);
	give_memory();
	peer_reply_fd(&peer, VU_GET_INFLIGHT_FD, &give, sizeof(give), old);
	peer_ack(&peer, VU_SET_INFLIGHT_FD);
	ck_assert_int_eq(vhost_dev_inflight_enable(dev, 1, QUEUE), 0);
	ck_assert_int_eq(vhost_dev_vq_attach(dev, 0, vq), 0);
	answer_vqs(1, true);
	ck_assert_int_eq(vhost_dev_start(dev), 0);
	ck_assert_int_eq(vhost_virtq_add(vq, &req, 1), 1);
	while (recv(peer.fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
	close(peer.fd);
	peer.fd = -1;
	ck_assert_int_eq(vhost_dev_process(dev), -ECONNRESET);
	reopen(pf);
	peer_ack_each(&peer, VU_SET_FEATURES);
	peer_reply_fd(&peer, VU_GET_INFLIGHT_FD, &give, sizeof(give), new);
	peer_ack_each(&peer, VU_SET_FEATURES);
	peer_ack_each(&peer, VU_SET_MEM_TABLE);
	peer_ack_each(&peer, VU_SET_INFLIGHT_FD);
	answer_vqs(1, true);
	ck_assert_int_eq(vhost_dev_reconnect_fd(dev, peer.front, 0), 0);
	given_away();
	ck_assert_int_eq(vhost_dev_inflight_get(dev, &got, &size, &offset), 0);
	ck_assert(peer_same_file(got, new));
	ck_assert_int_eq(vhost_dev_vq_get_base(dev, 0, &base), 0);
	ck_assert_uint_eq(base, 0);
	ck_assert_uint_eq(vhost_virtq_outstanding(vq), 1);
	close(old);
	close(new);
	vhost_virtq_unref(vq);
}
END_TEST

START_TEST(a_reconnection_goes_on_logging)
{
	uint64_t pf = PF(LOG_SHMFD) | ack_if(_i);
	uint64_t size = (uint64_t)sysconf(_SC_PAGESIZE);
	struct vu_log log = { 0 };
	int before, after;

	open_with(pf);
	accept_features(F_VERSION_1);
	give_memory();
	peer_reply(&peer, VU_SET_LOG_BASE, &log, sizeof(log));
	peer_ack(&peer, VU_SET_FEATURES);
	ck_assert_int_eq(vhost_dev_log_start(dev), 0);
	take_log(size, &before);
	close(peer.fd);
	peer.fd = -1;
	ck_assert_int_eq(vhost_dev_process(dev), -ECONNRESET);
	reopen(pf);
	peer_ack_each(&peer, VU_SET_FEATURES);
	peer_ack_each(&peer, VU_SET_MEM_TABLE);
	peer_reply(&peer, VU_SET_LOG_BASE, &log, sizeof(log));
	peer_barrier(&peer);
	ck_assert_int_eq(vhost_dev_reconnect_fd(dev, peer.front, 0), 0);
	given_away();
	peer_expect_open(&peer, pf);
	peer_expect_u64(&peer, VU_SET_FEATURES, F_VERSION_1 | F_PROTOCOL | F_LOG_ALL);
	take_region();
	take_log(size, &after);
	ck_assert(peer_same_file(before, after));
	close(before);
	close(after);
	peer_expect_barrier(&peer);
	peer_expect_nothing(&peer);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
}
END_TEST

START_TEST(a_region_says_how_xen_maps_it_where_that_was_negotiated)
{
	struct {
		uint64_t padding;
		struct vu_region_xen region;
	} one;
	struct {
		struct vu_mem_table head;
		struct vu_region_xen region;
	} table;
	struct vu_region_xen *got = _i ? &one.region : &table.region;
	struct vhost_mem_desc desc;

	open_with(PF(XEN_MMAP) | PF(REPLY_ACK) | (_i ? PF(CONFIGURE_MEM_SLOTS) : 0));
	vhost_mem_describe(mem, &desc, sizeof(desc));
	desc.xen_flags = 0x102;
	desc.xen_domid = 7;
	peer_ack(&peer, mem_request());
	ck_assert_int_eq(vhost_dev_mem_add(dev, &desc, sizeof(desc)), 0);
	if (_i)
		peer_take(&peer, VU_ADD_MEM_REG, PEER_NEED_REPLY, &one, sizeof(one), NULL, 1);
	else
		peer_take(&peer, VU_SET_MEM_TABLE, PEER_NEED_REPLY, &table, sizeof(table), NULL, 1);
	ck_assert_uint_eq(got->region.guest_addr, MEM_IOVA);
	ck_assert_uint_eq(got->region.size, MEM_SIZE);
	ck_assert_uint_eq(got->flags, 0x102);
	ck_assert_uint_eq(got->domid, 7);
	peer_expect_nothing(&peer);
}
END_TEST

START_TEST(requests_that_may_be_lost_forbid_a_reconnection)
{
	bring_up(PF(REPLY_ACK), 1);
	close(peer.fd);
	peer.fd = -1;
	ck_assert_int_eq(vhost_dev_process(dev), -ECONNRESET);
	reopen(peer.pf);
	ck_assert_int_eq(vhost_dev_reconnect_fd(dev, peer.front, 0), -ESTALE);
	ck_assert_int_eq(vhost_dev_error_kind(dev), VHOST_ERR_REQUESTS_LOST);
}
END_TEST

START_TEST(a_saved_state_is_loaded_into_another_device)
{
	uint8_t blob[1024];
	size_t size, again;
	uint32_t base;

	open_with(PF(REPLY_ACK));
	accept_features(F_VERSION_1);
	set_up(0, false);
	set_up(2, false);
	ck_assert_int_eq(vhost_dev_save(dev, NULL, 0, &size), 0);
	ck_assert_uint_le(size, sizeof(blob));
	ck_assert_int_eq(vhost_dev_save(dev, blob, size - 1, &again), -ENOSPC);
	ck_assert_int_eq(vhost_dev_save(dev, blob, sizeof(blob), &size), 0);
	dev = vhost_dev_unref(dev);
	peer_close(&peer);

	open_with(PF(REPLY_ACK));
	blob[size / 2] ^= 1;
	ck_assert_int_eq(vhost_dev_load(dev, blob, size), -EBADMSG);
	blob[size / 2] ^= 1;
	ck_assert_int_eq(vhost_dev_load(dev, blob, size - 1), -EBADMSG);
	peer_expect_nothing(&peer);
	peer_ack(&peer, VU_SET_FEATURES);
	ck_assert_int_eq(vhost_dev_load(dev, blob, size), 0);
	peer_expect_u64(&peer, VU_SET_FEATURES, F_VERSION_1 | F_PROTOCOL);
	peer_expect_nothing(&peer);
	ck_assert_uint_eq(vhost_dev_get_acked_features(dev), F_VERSION_1);
	ck_assert_int_eq(vhost_dev_vq_get_base(dev, 2, &base), 0);
	ck_assert_uint_eq(base, 3);
	ck_assert_int_eq(vhost_dev_vq_get_base(dev, 1, &base), -ENOENT);
}
END_TEST

static void process_until_connected(void)
{
	struct pollfd p = { .fd = vhost_dev_get_fd(dev), .events = POLLIN };
	int i;

	ck_assert_int_ge(p.fd, 0);
	for (i = 0; i < 100 && !seen.connected; i++) {
		ck_assert_int_eq(poll(&p, 1, 1000), 1);
		vhost_dev_process(dev);
	}
	ck_assert_int_eq(seen.connected, 1);
}

START_TEST(opening_without_waiting_is_finished_by_process)
{
	struct vhost_dev_opts opts = {
		.flags = VHOST_OPEN_NONBLOCK, .events = &all_events,
		.events_size = sizeof(all_events), .protocol_features = VHOST_USER_PROTOCOL_ALL,
	};
	uint64_t value;

	memset(&seen, 0, sizeof(seen));
	peer_new(&peer, OFFERED, txn_pf(_i));
	ck_assert_int_eq(vhost_dev_open_fd(peer.front, &opts, sizeof(opts), &dev), 0);
	given_away();
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_CONNECTING);
	ck_assert_int_eq(vhost_dev_get_features(dev, &value), -EINPROGRESS);
	ck_assert_int_eq(vhost_dev_get_cap(dev, VHOST_CAP_MAX_QUEUES, &value), -EINPROGRESS);
	ck_assert_int_gt(vhost_dev_get_timeout(dev), 0);
	peer_answer_open(&peer, peer.pf);
	process_until_connected();
	peer_expect_open(&peer, peer.pf);
	peer_expect_nothing(&peer);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_STOPPED);
}
END_TEST

START_TEST(a_back_end_may_come_to_us)
{
	struct vhost_dev_opts opts = {
		.flags = VHOST_OPEN_NONBLOCK, .events = &all_events,
		.events_size = sizeof(all_events), .protocol_features = VHOST_USER_PROTOCOL_ALL,
	};
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/check-wire-XXXXXX", path[64], address[96];
	struct stat st;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	snprintf(address, sizeof(address), "unix-listen:%s", path);
	memset(&seen, 0, sizeof(seen));
	ck_assert_int_eq(vhost_dev_open(address, &opts, sizeof(opts), &dev), 0);
	ck_assert_int_eq(vhost_dev_get_state(dev), VHOST_DEV_CONNECTING);
	peer_new(&peer, OFFERED, PF(REPLY_ACK));
	close(peer.fd);
	given_away();
	peer.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memcpy(sa.sun_path, path, strlen(path));
	ck_assert_int_eq(connect(peer.fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	peer_answer_open(&peer, peer.pf);
	process_until_connected();
	peer_expect_open(&peer, peer.pf);
	peer_expect_nothing(&peer);
	accept_features(F_VERSION_1);
	dev = vhost_dev_unref(dev);
	ck_assert_int_eq(stat(path, &st), -1);
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

static TCase *new_case(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("wire");
	TCase *tc = new_case(s, "requests");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, opening_negotiates_what_both_sides_have_and_the_rules_allow, 0,
			    sizeof(choices) / sizeof(choices[0]));
	tcase_add_test(tc, a_back_end_without_protocol_features_is_opened_by_two_messages);
	tcase_add_loop_test(tc, limits_are_those_the_back_end_gave, 0, 7);
	tcase_add_test(tc, features_are_asked_for_and_the_transports_own_are_hidden);
	tcase_add_loop_test(tc, features_are_accepted_with_the_bit_that_opens_the_protocols_own, 0, 2);
	tcase_add_test(tc, features_that_are_refused_are_not_recorded);
	tcase_add_loop_test(tc, status_is_a_u64_of_one_byte, 0, 2);
	tcase_add_loop_test(tc, without_a_status_nothing_is_sent_for_it, 0, 2);
	tcase_add_loop_test(tc, config_is_read_with_room_for_as_many_bytes_as_are_wanted, 0, 2);
	tcase_add_loop_test(tc, config_that_the_back_end_lacks_is_refused_in_either_way_of_saying_so,
			    0, 2);
	tcase_add_loop_test(tc, config_is_written_for_the_driver_or_for_migration, 0, 2);
	tcase_add_loop_test(tc, memory_is_added_and_removed_by_slots, 0, 4);
	tcase_add_loop_test(tc, without_slots_the_whole_table_is_sent_each_time, 0, 4);
	tcase_add_loop_test(tc, as_many_regions_are_taken_as_there_are_slots_or_eight, 0, 2);
	tcase_add_test(tc, memory_that_is_not_shared_is_refused_before_anything_is_sent);
	tcase_add_loop_test(tc, memory_that_is_refused_is_not_recorded, 0, 2);
	tcase_add_loop_test(tc, translations_are_sent_as_iotlb_messages_and_answered, 0, 4);
	tcase_add_loop_test(tc, starting_sends_each_queue_then_enables_all, 0, 32);
	tcase_add_test(tc, starting_kicks_each_queue_once);
	tcase_add_test(tc, with_an_iommu_ring_addresses_are_iovas);
	tcase_add_loop_test(tc, the_base_of_a_packed_ring_has_32_bits_and_of_a_split_one_16, 0, 2);
	tcase_add_loop_test(tc, byte_order_is_sent_first_where_it_was_said, 0, 2);
	tcase_add_loop_test(tc, stopping_disables_every_queue_and_asks_where_each_stopped, 0, 2);
	tcase_add_loop_test(tc, suspending_asks_for_the_base_alone_and_resuming_sends_the_queues_again,
			    0, 2);
	tcase_add_loop_test(tc, a_running_queue_is_enabled_disabled_kicked_and_given_another_call,
			    0, 2);
	tcase_add_loop_test(tc, without_eventfds_a_kick_is_a_message_if_that_was_negotiated, 0, 2);
	tcase_add_loop_test(tc, resetting_uses_what_the_back_end_has_for_it, 0, 8);

	tc = new_case(s, "calls of vhost-user");
	tcase_add_loop_test(tc, logging_goes_on_with_the_log_the_feature_and_every_ring_address,
			    0, 6);
	tcase_add_loop_test(tc, the_log_has_a_descriptor_that_tells_of_it, 0, 2);
	tcase_add_loop_test(tc, the_in_flight_record_is_got_and_handed_back_in_20_or_24_bytes,
			    0, 4);
	tcase_add_test(tc, a_back_end_without_a_record_says_so_by_its_answer);
	tcase_add_loop_test(tc, calls_of_vhost_user_send_their_message, 0, 2);
	tcase_add_loop_test(tc, a_crypto_session_is_described_and_its_id_comes_last_in_the_answer,
			    0, 2);
	tcase_add_loop_test(tc, a_shared_object_comes_with_0_or_16_bytes_or_not_at_all, 0, 2);
	tcase_add_test(tc, the_sizes_of_shared_memory_are_asked_for_once);
	tcase_add_loop_test(tc, postcopy_is_advised_listened_for_and_ended, 0, 4);
	tcase_add_test(tc, postcopy_gets_the_whole_table_back_without_slots);
	tcase_add_test(tc, a_message_behind_a_feature_that_is_not_there_is_not_sent);
	tcase_add_loop_test(tc, device_state_is_saved_and_loaded_over_our_pipe_or_theirs, 0, 2);
	tcase_add_test(tc, a_transfer_of_state_that_is_refused_is_an_error);

	tc = new_case(s, "channel");
	tcase_add_test(tc, a_change_of_config_is_told_and_answered_if_asked_for);
	tcase_add_loop_test(tc, a_miss_is_answered_on_the_main_socket_before_its_own_answer, 0, 2);
	tcase_add_test(tc, a_miss_is_served_while_a_call_waits);
	tcase_add_test(tc, a_fault_is_told);
	tcase_add_test(tc, in_band_notifications_name_their_queue);
	tcase_add_test(tc, a_host_notifier_is_mapped_and_taken_away_again);
	tcase_add_test(tc, shared_objects_are_added_removed_and_looked_up);
	tcase_add_loop_test(tc, files_are_mapped_into_shared_memory_and_taken_out, 0, 2);
	tcase_add_test(tc, a_channel_that_closes_leaves_the_device_working);

	tc = new_case(s, "transactions");
	tcase_add_loop_test(tc, a_transaction_sends_everything_before_anything_is_answered, 0, 8);
	tcase_add_loop_test(tc, a_transaction_can_be_waited_for, 0, 8);
	tcase_add_loop_test(tc, a_transaction_that_is_cancelled_before_its_commit_never_was, 0, 8);
	tcase_add_test(tc, a_stop_that_is_cancelled_before_its_commit_leaves_the_device_running);
	tcase_add_loop_test(tc, a_transaction_that_is_cancelled_later_closes_the_connection, 0, 8);
	tcase_add_test(tc, a_refusal_inside_a_transaction_is_its_result);
	tcase_add_loop_test(tc, a_deadline_closes_the_connection_and_says_which_answer_was_late,
			    0, 2);

	tc = new_case(s, "connecting");
	tcase_add_loop_test(tc, a_reconnection_replays_the_record_in_one_go, 0, 8);
	tcase_add_loop_test(tc, a_reconnection_to_a_back_end_that_lost_what_is_in_use_is_refused,
			    0, 2);
	tcase_add_loop_test(tc, a_reconnection_hands_the_in_flight_record_back, 0, 2);
	tcase_add_test(tc, a_reconnection_gets_a_new_record_when_the_virtq_makes_everything_available_again);
	tcase_add_loop_test(tc, a_reconnection_goes_on_logging, 0, 2);
	tcase_add_loop_test(tc, a_region_says_how_xen_maps_it_where_that_was_negotiated, 0, 2);
	tcase_add_test(tc, requests_that_may_be_lost_forbid_a_reconnection);
	tcase_add_test(tc, a_saved_state_is_loaded_into_another_device);
	tcase_add_loop_test(tc, opening_without_waiting_is_finished_by_process, 0, 8);
	tcase_add_test(tc, a_back_end_may_come_to_us);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
