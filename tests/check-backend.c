/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The back-end against a scripted front-end: what each message changes and how it is
 * answered, byte for byte; the states of rings; callbacks that answer late; the requests
 * of the back-end; and what the front-ends that are in use send, each by its name.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <vhost/backend.h>
#include <vhost/vhost.h>

#include "backend-bench.h"
#include "ring/layout.h"

#define FEATURES (F_PROTOCOL | F_VERSION_1 | F_INDIRECT | F_EVENT_IDX)
#define PLAIN_FEATURES (F_PROTOCOL | F_VERSION_1)

/* Answer a request of the back-end. */
static void answer(uint32_t request, uint64_t value)
{
	front_put(front.chan, request, FRONT_REPLY, &value, 8, NULL, 0);
	front_pump(&front);
}

/* ----------------------------------------------------------------- negotiation */

START_TEST(features_offered_are_the_library_s_and_the_device_s)
{
	uint64_t offered, acked;

	open_back_end();
	offered = front_get(&front, VU_GET_FEATURES, NULL, 0);
	ck_assert_uint_eq(offered, VHOST_BACKEND_FEATURES | device.ops.features);
	vhost_backend_get_features(front.be, &offered, &acked);
	ck_assert_uint_eq(offered, VHOST_BACKEND_FEATURES | device.ops.features);
	ck_assert_uint_eq(acked, 0);
	front_close(&front);

	device.ops.features_off = F_PACKED | F_LOG_ALL;
	open_back_end();
	ck_assert_uint_eq(front_get(&front, VU_GET_FEATURES, NULL, 0),
			  (VHOST_BACKEND_FEATURES | device.ops.features) &
			  ~(F_PACKED | F_LOG_ALL));
}
END_TEST

START_TEST(features_that_are_accepted_are_told_to_the_device)
{
	uint64_t acked;

	open_back_end();
	front_set_u64(&front, VU_SET_FEATURES, FEATURES);
	device_expect(&device, " features");
	ck_assert_uint_eq(device.features & F_VERSION_1, F_VERSION_1);
	vhost_backend_get_features(front.be, NULL, &acked);
	ck_assert_uint_eq(acked & ~F_PROTOCOL, FEATURES & ~F_PROTOCOL);
	/* again, and others: legal while nothing runs (crosvm) */
	front_set_u64(&front, VU_SET_FEATURES, PLAIN_FEATURES);
	device_expect(&device, " features");
	/* logging alone is not the device's business */
	front_set_u64(&front, VU_SET_FEATURES, PLAIN_FEATURES | F_LOG_ALL);
	device_expect(&device, "");
	device.set_features = -EINVAL;
	front_refused_u64(&front, VU_SET_FEATURES, FEATURES);
	vhost_backend_get_features(front.be, NULL, &acked);
	ck_assert_uint_eq(acked & F_EVENT_IDX, 0);
}
END_TEST

START_TEST(a_legacy_driver_is_refused_unless_the_device_serves_it)
{
	open_back_end();
	front_refused_u64(&front, VU_SET_FEATURES, F_PROTOCOL | 1u << 3);
	front_close(&front);
	device.ops.flags = VHOST_BACKEND_LEGACY;
	device.calls[0] = '\0';
	open_back_end();
	front_set_u64(&front, VU_SET_FEATURES, F_PROTOCOL | 1u << 3);
	ck_assert(front_get(&front, VU_GET_PROTOCOL_FEATURES, NULL, 0) & PF(CROSS_ENDIAN));
}
END_TEST

START_TEST(protocol_features_follow_from_the_callbacks)
{
	uint64_t pf, offered;

	open_back_end();
	pf = front_get(&front, VU_GET_PROTOCOL_FEATURES, NULL, 0);
	vhost_backend_get_protocol_features(front.be, &offered, NULL);
	ck_assert_uint_eq(pf, offered);
	/* PAGEFAULT depends on what this process may */
	ck_assert_uint_eq(pf & ~PF(PAGEFAULT), VHOST_USER_PROTOCOL_ALL & ~PF(XEN_MMAP) &
			  ~PF(CROSS_ENDIAN) & ~PF(PAGEFAULT));
	front_close(&front);

	/* a device of one queue, and of nothing else */
	device.ops = (struct vhost_backend_ops){ .device_id = 4, .max_queues = 1 };
	front_new(&front, &device);
	pf = front_get(&front, VU_GET_PROTOCOL_FEATURES, NULL, 0);
	ck_assert_uint_eq(pf & ~PF(PAGEFAULT),
			  PF(LOG_SHMFD) | PF(REPLY_ACK) | PF(BACKEND_REQ) | PF(BACKEND_SEND_FD) |
			  PF(HOST_NOTIFIER) | PF(INFLIGHT_SHMFD) | PF(RESET_DEVICE) |
			  PF(CONFIGURE_MEM_SLOTS) | PF(STATUS));
	/* XEN_MMAP and SHMEM are not offered by default, whatever callbacks there are */
	front_close(&front);
	device_init(&device);
	device.ops.protocol_features = 0;
	front_new(&front, &device);
	pf = front_get(&front, VU_GET_PROTOCOL_FEATURES, NULL, 0);
	ck_assert_uint_eq(pf & ~PF(PAGEFAULT), PF_DEFAULT);
}
END_TEST

START_TEST(protocol_features_are_accepted_if_they_were_offered)
{
	uint64_t acked;

	open_back_end();
	front_set_u64(&front, VU_SET_PROTOCOL_FEATURES, PF(REPLY_ACK) | PF(MQ));
	vhost_backend_get_protocol_features(front.be, NULL, &acked);
	ck_assert_uint_eq(acked, PF(REPLY_ACK) | PF(MQ));
	ck_assert_uint_eq(front_get(&front, VU_GET_QUEUE_NUM, NULL, 0), DEVICE_QUEUES);
	front_refused_u64(&front, VU_SET_PROTOCOL_FEATURES, PF(REPLY_ACK) | BIT(40));
	vhost_backend_get_protocol_features(front.be, NULL, &acked);
	ck_assert_uint_eq(acked, PF(REPLY_ACK) | PF(MQ));
}
END_TEST

START_TEST(a_message_is_acknowledged_if_that_was_asked_for)
{
	uint64_t features = FEATURES;

	open_back_end();
	front_set_u64(&front, VU_SET_PROTOCOL_FEATURES, PF(REPLY_ACK));
	ck_assert_int_eq(front_do(&front, VU_SET_FEATURES, FRONT_PLAIN, &features, 8, NULL, 0,
				  NULL), FRONT_SILENT);
	ck_assert_int_eq(front_do(&front, VU_SET_FEATURES, FRONT_NEED_REPLY, &features, 8, NULL,
				  0, NULL), FRONT_ACKED);
	/* what has an answer of its own is answered once, and NEED_REPLY is not echoed */
	ck_assert_int_eq(front_do(&front, VU_GET_FEATURES, FRONT_NEED_REPLY, NULL, 0, NULL, 0,
				  NULL), FRONT_REFUSED);
	front_alive(&front);
}
END_TEST

START_TEST(numbers_that_are_asked_for_are_the_device_s)
{
	open_back_end();
	front_negotiate(&front, FEATURES, PF_DEFAULT);
	ck_assert_uint_eq(front_get(&front, VU_GET_QUEUE_NUM, NULL, 0), DEVICE_QUEUES);
	ck_assert_uint_eq(front_get(&front, VU_GET_MAX_MEM_SLOTS, NULL, 0), 509);
	ck_assert_uint_eq(front_get(&front, VU_GET_STATUS, NULL, 0), 0);
}
END_TEST

START_TEST(status_is_kept_and_told)
{
	open_back_end();
	front_negotiate(&front, FEATURES, PF_DEFAULT);
	device.calls[0] = '\0';
	front_set_u64(&front, VU_SET_STATUS, 0xb);
	device_expect(&device, " status");
	ck_assert_uint_eq(device.status, 0xb);
	ck_assert_uint_eq(front_get(&front, VU_GET_STATUS, NULL, 0), 0xb);
	ck_assert_uint_eq(vhost_backend_get_status(front.be), 0xb);
	vhost_backend_needs_reset(front.be);
	ck_assert_uint_eq(front_get(&front, VU_GET_STATUS, NULL, 0), 0x4b);
	/* 0 resets the device */
	front_set_u64(&front, VU_SET_STATUS, 0);
	ck_assert_uint_eq(front_get(&front, VU_GET_STATUS, NULL, 0), 0);
	ck_assert_ptr_nonnull(strstr(device.calls, " reset"));
}
END_TEST

/* ------------------------------------------------------------------------ config */

struct config_msg {
	struct vu_config hdr;
	uint8_t data[256];
};

START_TEST(config_is_read_and_written_by_the_device_s_callbacks)
{
	struct config_msg c = { .hdr = { 8, 16, 0 } }, want;
	struct front_msg msg;
	unsigned int i;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	for (i = 0; i < 64; i++)
		device.config[i] = (uint8_t)(i + 1);
	ck_assert_int_eq(front_do(&front, VU_GET_CONFIG, FRONT_PLAIN, &c, 12 + 16, NULL, 0, &msg),
			 FRONT_REPLIED);
	want = c;
	memcpy(want.data, device.config + 8, 16);
	ck_assert_uint_eq(msg.hdr.size, 12 + 16);
	ck_assert_mem_eq(msg.payload, &want, 12 + 16);

	memset(c.data, 0xee, 16);
	front_set(&front, VU_SET_CONFIG, &c, 12 + 16);
	ck_assert_mem_eq(device.config + 8, c.data, 16);
	ck_assert_ptr_nonnull(strstr(device.calls, " set_config"));
	c.hdr.flags = 1;
	front_set(&front, VU_SET_CONFIG, &c, 12 + 16);
	ck_assert_ptr_nonnull(strstr(device.calls, " set_config_migration"));

	/* an error is a reply of no bytes */
	device.get_config = -EIO;
	c.hdr.flags = 0;
	ck_assert_int_eq(front_do(&front, VU_GET_CONFIG, FRONT_PLAIN, &c, 12 + 16, NULL, 0, &msg),
			 FRONT_REPLIED);
	ck_assert_uint_eq(msg.hdr.size, 0);
	device.set_config = -EPERM;
	front_refused(&front, VU_SET_CONFIG, &c, 12 + 16);
}
END_TEST

START_TEST(config_without_callbacks_is_what_the_program_set)
{
	struct config_msg c = { .hdr = { 4, 4, 0 } }, want;
	struct front_msg msg;

	device.ops.get_config = NULL;
	device.ops.set_config = NULL;
	front_new(&front, &device);
	front_bring_up(&front, &mem, &ring, FEATURES, PF_DEFAULT);
	ck_assert_int_eq(vhost_backend_set_config(front.be, 4, "abcd", 4), 0);
	front_pump(&front);
	front_expect_on(front.chan, VU_BACKEND_CONFIG_CHANGE_MSG, FRONT_PLAIN, NULL, 0, NULL, 0);
	/* nothing changed: nothing is told */
	ck_assert_int_eq(vhost_backend_set_config(front.be, 4, "abcd", 4), 0);
	front_pump(&front);
	front_expect_nothing(front.chan);
	ck_assert_int_eq(vhost_backend_set_config(front.be, 61, "abcd", 4), -EINVAL);
	ck_assert_int_eq(vhost_backend_set_config(front.be, UINT32_MAX, "abcd", 4), -EINVAL);
	want = c;
	memcpy(want.data, "abcd", 4);
	ck_assert_int_eq(front_do(&front, VU_GET_CONFIG, FRONT_PLAIN, &c, 16, NULL, 0, &msg),
			 FRONT_REPLIED);
	ck_assert_mem_eq(msg.payload, &want, 16);
	front_refused(&front, VU_SET_CONFIG, &c, 16);
}
END_TEST

START_TEST(config_may_be_answered_late_and_what_follows_waits)
{
	struct config_msg c = { .hdr = { 0, 8, 0 } }, want;

	bring_up(FEATURES, PF_QUIET);
	device.get_config = -EINPROGRESS;
	front_put(front.fd, VU_GET_CONFIG, FRONT_PLAIN, &c, 20, NULL, 0);
	front_put(front.fd, VU_GET_FEATURES, FRONT_PLAIN, NULL, 0, NULL, 0);
	front_pump(&front);
	front_expect_nothing(front.fd);
	/* the rings go on */
	front_roundtrip(&front, &ring);
	memcpy(device.late_buf, "12345678", 8);
	ck_assert_int_eq(vhost_backend_answer(front.be, 0), 0);
	ck_assert_int_eq(vhost_backend_answer(front.be, 0), -ENOENT);
	front_pump(&front);
	want = c;
	memcpy(want.data, "12345678", 8);
	front_expect_on(front.fd, VU_GET_CONFIG, FRONT_REPLY, &want, 20, NULL, 0);
	front_expect_on(front.fd, VU_GET_FEATURES, FRONT_REPLY, NULL, 8, NULL, 0);
	front_expect_nothing(front.fd);

	/* refused late: no bytes */
	front_put(front.fd, VU_GET_CONFIG, FRONT_PLAIN, &c, 20, NULL, 0);
	front_pump(&front);
	ck_assert_int_eq(vhost_backend_answer(front.be, -EIO), 0);
	front_pump(&front);
	front_expect_on(front.fd, VU_GET_CONFIG, FRONT_REPLY, NULL, 0, NULL, 0);
}
END_TEST

START_TEST(a_late_answer_to_a_front_end_that_has_gone_is_nothing)
{
	struct config_msg c = { .hdr = { 0, 8, 0 } };

	bring_up(FEATURES, PF_QUIET);
	device.get_config = -EINPROGRESS;
	front_put(front.fd, VU_GET_CONFIG, FRONT_PLAIN, &c, 20, NULL, 0);
	front_pump(&front);
	front_hang_up(&front);
	ck_assert_int_eq(device.gone, -ECONNRESET);
	ck_assert_int_eq(vhost_backend_answer(front.be, 0), -ENOENT);
	/* the next front-end is served as ever */
	device.get_config = 0;
	front_attach(&front);
	front_alive(&front);
}
END_TEST

START_TEST(a_crypto_session_is_made_answered_late_and_closed)
{
	uint8_t desc[64] = { 1, 2, 3 };
	uint64_t id;
	struct front_msg msg;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	ck_assert_int_eq(front_do(&front, VU_CREATE_CRYPTO_SESSION, FRONT_PLAIN, desc,
				  sizeof(desc), NULL, 0, &msg), FRONT_REPLIED);
	ck_assert_uint_eq(msg.hdr.size, sizeof(desc));
	memcpy(&id, msg.payload + sizeof(desc) - 8, 8);
	ck_assert_uint_eq(id, 77);
	ck_assert_mem_eq(msg.payload, desc, sizeof(desc) - 8);

	device.create_crypto = -EINPROGRESS;
	ck_assert_int_eq(front_do(&front, VU_CREATE_CRYPTO_SESSION, FRONT_PLAIN, desc,
				  sizeof(desc), NULL, 0, &msg), FRONT_SILENT);
	*device.late_id = 78;
	ck_assert_int_eq(vhost_backend_answer(front.be, 0), 0);
	front_pump(&front);
	ck_assert_int_eq(front_take(front.fd, &msg), 1);
	memcpy(&id, msg.payload + sizeof(desc) - 8, 8);
	ck_assert_uint_eq(id, 78);

	/* a negative id is an error (virtio crypto) */
	device.create_crypto = -ENOSPC;
	ck_assert_int_eq(front_do(&front, VU_CREATE_CRYPTO_SESSION, FRONT_PLAIN, desc,
				  sizeof(desc), NULL, 0, &msg), FRONT_REPLIED);
	memcpy(&id, msg.payload + sizeof(desc) - 8, 8);
	ck_assert_int_lt((int64_t)id, 0);
	front_set_u64(&front, VU_CLOSE_CRYPTO_SESSION, 77);
	ck_assert_uint_eq(device.crypto_id, 77);
	device.close_crypto = -ENOENT;
	front_refused_u64(&front, VU_CLOSE_CRYPTO_SESSION, 79);
}
END_TEST

/* ------------------------------------------------------------- small messages */

START_TEST(rarp_mtu_gpu_socket_and_objects_reach_the_device)
{
	uint8_t mac[8] = { 0x52, 0x54, 0, 1, 2, 3 }, uuid[16] = { 1 };
	struct front_msg msg;
	int pair[2], object;

	open_back_end();
	front_negotiate(&front, FEATURES | 1u << 3, PF_QUIET);
	front_set(&front, VU_SEND_RARP, mac, 8);
	ck_assert_mem_eq(device.mac, mac, 6);
	device.send_rarp = -EIO;
	front_refused(&front, VU_SEND_RARP, mac, 8);
	front_set_u64(&front, VU_NET_SET_MTU, 1500);
	ck_assert_uint_eq(device.mtu, 1500);
	device.set_mtu = -EINVAL;
	front_refused_u64(&front, VU_NET_SET_MTU, 9000);

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	front_set_fd(&front, VU_GPU_SET_SOCKET, NULL, 0, pair[1]);
	ck_assert_int_ge(device.gpu_fd, 0);
	ck_assert_int_eq(send(device.gpu_fd, "x", 1, MSG_NOSIGNAL), 1);
	ck_assert_int_eq(recv(pair[0], mac, 1, MSG_DONTWAIT), 1);
	close(pair[0]);
	close(pair[1]);

	object = memfd_create("object", MFD_CLOEXEC);
	device.object_fd = object;
	ck_assert_int_eq(front_do(&front, VU_GET_SHARED_OBJECT, FRONT_PLAIN, uuid, 16, NULL, 0,
				  &msg), FRONT_REPLIED);
	ck_assert_uint_eq(msg.n_fds, 1);
	front_drop_fds(&msg);
	uuid[0] = 2;
	ck_assert_int_ne(front_do(&front, VU_GET_SHARED_OBJECT, FRONT_PLAIN, uuid, 16, NULL, 0,
				  &msg), FRONT_SILENT);
	ck_assert_uint_eq(msg.n_fds, 0);
	front_alive(&front);
}
END_TEST

START_TEST(the_sizes_of_shared_memory_are_told_by_id)
{
	struct front_msg msg;
	struct vu_shmem_config want = { .n_regions = 2, .size = { 0x10000, 0x20000 } };

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET | PF(SHMEM));
	ck_assert_int_eq(front_do(&front, VU_GET_SHMEM_CONFIG, FRONT_PLAIN, NULL, 0, NULL, 0,
				  &msg), FRONT_REPLIED);
	ck_assert_uint_eq(msg.hdr.size, sizeof(want));
	ck_assert_mem_eq(msg.payload, &want, sizeof(want));
}
END_TEST

START_TEST(owner_messages_are_idempotent)
{
	open_back_end();
	front_set(&front, VU_SET_OWNER, NULL, 0);
	front_set(&front, VU_SET_OWNER, NULL, 0);
	front_set(&front, VU_RESET_OWNER, NULL, 0);
	front_set(&front, VU_RESET_OWNER, NULL, 0);
	front_alive(&front);
}
END_TEST

START_TEST(a_reset_stops_the_rings_and_keeps_memory_and_connection)
{
	bring_up(FEATURES, PF_QUIET);
	front_roundtrip(&front, &ring);
	front_set(&front, VU_RESET_DEVICE, NULL, 0);
	device_expect(&device, " stop0 reset");
	ck_assert(!vhost_vring_is_running(vr(0)));
	front_set(&front, VU_RESET_DEVICE, NULL, 0);
	front_set_u64(&front, VU_SET_FEATURES, FEATURES);
	front_ring_close(&ring);
	front_ring_new(&ring, &mem, 0, 0, 16);
	front_ring_start(&front, &ring, 0);
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	front_roundtrip(&front, &ring);
}
END_TEST

/* ------------------------------------------------------------------------ memory */

START_TEST(memory_is_added_and_removed_by_slots)
{
	struct vhost_mem_desc d;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	device.calls[0] = '\0';
	front_mem_new(&mem, 0x10000, 0x200000, 0x70000000);
	front_mem_new(&more, 0x10000, 0x100000, 0x60000000);
	front_mem_add(&front, &mem);
	device_expect(&device, " mem");
	front_mem_add(&front, &more);
	ck_assert_int_eq(vhost_backend_get_mem(front.be, 0, &d, sizeof(d)), 0);
	ck_assert_uint_eq(d.iova, 0x100000);
	ck_assert_uint_eq(d.size, 0x10000);
	ck_assert_int_eq(vhost_backend_get_mem(front.be, 1, &d, sizeof(d)), 0);
	ck_assert_uint_eq(d.iova, 0x200000);
	memcpy(mem.addr, "seen", 4);
	ck_assert_mem_eq(d.addr, "seen", 4);
	ck_assert_int_eq(vhost_backend_get_mem(front.be, 2, &d, sizeof(d)), -ENOENT);
	front_mem_remove(&front, &more);
	ck_assert_int_eq(vhost_backend_get_mem(front.be, 1, &d, sizeof(d)), -ENOENT);
}
END_TEST

START_TEST(a_table_replaces_the_memory)
{
	struct vhost_mem_desc d;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET & ~PF(CONFIGURE_MEM_SLOTS));
	front_mem_new(&mem, 0x10000, 0x200000, 0x70000000);
	front_mem_new(&more, 0x10000, 0x100000, 0x60000000);
	front_mem_table(&front, (const struct front_mem *const[]){ &mem }, 1);
	front_mem_table(&front, (const struct front_mem *const[]){ &mem, &more }, 2);
	ck_assert_int_eq(vhost_backend_get_mem(front.be, 1, &d, sizeof(d)), 0);
	front_mem_table(&front, (const struct front_mem *const[]){ &more }, 1);
	ck_assert_int_eq(vhost_backend_get_mem(front.be, 0, &d, sizeof(d)), 0);
	ck_assert_uint_eq(d.iova, 0x100000);
	ck_assert_int_eq(vhost_backend_get_mem(front.be, 1, &d, sizeof(d)), -ENOENT);
}
END_TEST

START_TEST(addresses_are_translated_with_what_may_be_done_there)
{
	uint64_t len;
	void *p;

	bring_up(FEATURES, PF_QUIET);
	memcpy(mem.addr + 0x1234, "abc", 3);
	ck_assert_int_eq(vhost_backend_translate(front.be, mem.guest + 0x1234,
						 VHOST_IOTLB_PERM_READ | VHOST_IOTLB_PERM_WRITE,
						 &p, &len), 0);
	ck_assert_mem_eq(p, "abc", 3);
	ck_assert_uint_eq(len, mem.size - 0x1234);
	ck_assert_int_eq(vhost_backend_translate(front.be, mem.guest + mem.size,
						 VHOST_IOTLB_PERM_READ, &p, &len), -EFAULT);
	ck_assert_int_eq(vhost_backend_translate(front.be, mem.guest - 1,
						 VHOST_IOTLB_PERM_READ, &p, &len), -EFAULT);
}
END_TEST

START_TEST(a_ring_goes_on_over_a_change_of_memory)
{
	bring_up(FEATURES, PF_QUIET);
	front_roundtrip(&front, &ring);
	front_mem_new(&more, 0x10000, 0x800000, 0x60000000);
	front_mem_add(&front, &more);
	front_roundtrip(&front, &ring);
	front_mem_remove(&front, &more);
	front_roundtrip(&front, &ring);
	ck_assert_ptr_null(strstr(device.calls, "stop"));
}
END_TEST

START_TEST(requests_in_flight_keep_their_memory_over_a_new_table)
{
	struct front_mem other;

	bring_up(FEATURES, PF_QUIET);
	front_mem_new(&more, 0x10000, 0x800000, 0x60000000);
	front_mem_add(&front, &more);
	device.mode = DEVICE_HOLD;
	memset(more.addr, 0x5a, 16);
	front_ring_add(&ring, (struct front_buf[]){ { more.guest, 16, 0 },
						    { more.guest + 0x1000, 16, DESC_F_WRITE } }, 2);
	front_ring_kick(&ring);
	front_pump(&front);
	ck_assert_uint_eq(device.n_held, 1);
	front_mem_remove(&front, &more);
	/* something else stands there now */
	front_mem_new(&other, 0x10000, 0x800000, 0x60000000);
	front_mem_add(&front, &other);
	device_release(&device);
	ck_assert(front_ring_used(&ring, NULL, NULL));
	ck_assert_int_eq(more.addr[0x1000], 0x5a);
	ck_assert_int_eq(other.addr[0x1000], 0);
	front_mem_close(&other);
}
END_TEST

/* ------------------------------------------------------------------ ring states */

START_TEST(a_ring_starts_with_its_kick_descriptor_and_is_looked_at_without_a_kick)
{
	uint64_t index = 0;
	struct vu_vring_addr addr;

	device.record_ready = true;
	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	front_ring_new(&ring, &mem, 0, 0, 16);
	addr = front_ring_addr(&ring);
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);	/* before all else: QEMU */
	front_set_state(&front, VU_SET_VRING_NUM, 0, 16);
	front_set_state(&front, VU_SET_VRING_BASE, 0, 0);
	front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
	ck_assert(!vhost_vring_is_running(vr(0)));
	device.calls[0] = '\0';
	front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
	ck_assert(vhost_vring_is_running(vr(0)));
	device_expect(&device, " start0 ready0");
	ck_assert(front_ring_used(&ring, NULL, NULL));
	ck_assert_uint_eq(vhost_vring_get_size(vr(0)), 16);
	ck_assert_uint_eq(vhost_vring_get_index(vr(0)), 0);
	ck_assert_ptr_eq(vhost_vring_get_backend(vr(0)), front.be);
}
END_TEST

/* _i: where the message that enables comes, among the others */
START_TEST(enabling_counts_whenever_it_comes)
{
	struct vu_vring_addr addr;
	uint64_t index = 0;
	int step;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_ring_new(&ring, &mem, 0, 0, 16);
	addr = front_ring_addr(&ring);
	for (step = 0; step < 7; step++) {
		if (step == _i)
			front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
		switch (step) {
		case 0:
			front_mem_add(&front, &mem);
			break;
		case 1:
			front_set_state(&front, VU_SET_VRING_NUM, 0, 16);
			break;
		case 2:
			front_set_state(&front, VU_SET_VRING_BASE, 0, 0);
			break;
		case 3:
			front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
			break;
		case 4:
			front_set_fd(&front, VU_SET_VRING_CALL, &index, 8, ring.call);
			break;
		case 5:
			front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
			break;
		default:
			break;
		}
	}
	ck_assert(vhost_vring_is_running(vr(0)));
	front_roundtrip(&front, &ring);
	ck_assert(front_fd_signalled(ring.call));
}
END_TEST

START_TEST(without_the_protocol_s_feature_rings_are_enabled_from_the_start)
{
	open_back_end();
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_set_u64(&front, VU_SET_FEATURES, F_VERSION_1);
	front_mem_table(&front, (const struct front_mem *const[]){ &mem }, 1);
	front_ring_new(&ring, &mem, 0, 0, 16);
	front_ring_start(&front, &ring, 0);
	ck_assert(vhost_vring_is_running(vr(0)));
	front_roundtrip(&front, &ring);
}
END_TEST

START_TEST(a_disabled_ring_gives_nothing_and_is_looked_at_when_it_is_enabled_again)
{
	bring_up(FEATURES, PF_QUIET);
	front_roundtrip(&front, &ring);
	device.calls[0] = '\0';
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 0);
	device_expect(&device, " stop0");
	ck_assert(!vhost_vring_is_running(vr(0)));
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	ck_assert(!front_ring_used(&ring, NULL, NULL));
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	device_expect(&device, " start0");
	ck_assert(front_ring_used(&ring, NULL, NULL));
	/* twice is once */
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	device_expect(&device, "");
}
END_TEST

START_TEST(get_vring_base_stops_the_ring_and_says_where_it_stands)
{
	uint64_t index = 0;
	int i;

	bring_up(FEATURES, PF_QUIET);
	for (i = 0; i < 5; i++)
		front_roundtrip(&front, &ring);
	device.calls[0] = '\0';
	ck_assert_uint_eq(front_get_base(&front, 0), 5);
	device_expect(&device, " stop0");
	ck_assert(!vhost_vring_is_running(vr(0)));
	ck_assert_uint_eq(front_get_base(&front, 0), 5);
	/* a stopped ring is not touched, whatever comes */
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	ck_assert(!front_ring_used(&ring, NULL, NULL));
	/* enabled it still is; the kick alone resumes it, at its place, with no kick needed */
	front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
	ck_assert(front_ring_used(&ring, NULL, NULL));
	front_roundtrip(&front, &ring);
	ck_assert_uint_eq(front_get_base(&front, 0), 7);
}
END_TEST

START_TEST(get_vring_base_of_a_ring_never_used_is_what_was_set_or_0)
{
	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	ck_assert_uint_eq(front_get_base(&front, 3), 0);
	front_set_state(&front, VU_SET_VRING_BASE, 2, 0x1234);
	ck_assert_uint_eq(front_get_base(&front, 2), 0x1234);
}
END_TEST

/* _i: whether it is disabled first, as QEMU does */
START_TEST(get_vring_base_waits_for_what_is_in_flight)
{
	struct vu_vring_state want = { 0, 2 }, s = { 0, 0 };

	bring_up(FEATURES, PF_QUIET);
	device.mode = DEVICE_HOLD;
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_request(&ring, 0x20100, 16, 0x21100, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	ck_assert_uint_eq(device.n_held, 2);
	ck_assert_uint_eq(vhost_vring_in_flight(vr(0)), 2);
	if (_i)
		front_set_state(&front, VU_SET_VRING_ENABLE, 0, 0);
	front_put(front.fd, VU_GET_VRING_BASE, FRONT_PLAIN, &s, sizeof(s), NULL, 0);
	front_pump(&front);
	front_expect_nothing(front.fd);
	device_expect(&device, " stop0");
	/* requests that came meanwhile are for later */
	front_ring_request(&ring, 0x20200, 16, 0x21200, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	ck_assert_uint_eq(device.n_held, 2);
	device_release(&device);
	front_pump(&front);
	front_expect_on(front.fd, VU_GET_VRING_BASE, FRONT_REPLY, &want, sizeof(want), NULL, 0);
	ck_assert(front_ring_used(&ring, NULL, NULL));
	ck_assert(front_ring_used(&ring, NULL, NULL));
	ck_assert(!front_ring_used(&ring, NULL, NULL));
	ck_assert_uint_eq(front_get_base(&front, 0), 2);
}
END_TEST

START_TEST(a_front_end_that_goes_while_its_base_is_waited_for_loses_nothing_of_ours)
{
	struct vu_vring_state s = { 0, 0 };

	bring_up(FEATURES, PF_QUIET);
	device.mode = DEVICE_HOLD;
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	front_put(front.fd, VU_GET_VRING_BASE, FRONT_PLAIN, &s, sizeof(s), NULL, 0);
	front_pump(&front);
	front_hang_up(&front);
	ck_assert_int_eq(device.gone, -ECONNRESET);
	/* memory of what is in flight is valid, and the ring is left alone */
	device_release(&device);
	ck_assert(!front_ring_used(&ring, NULL, NULL));
	ck_assert_uint_eq(vhost_vring_in_flight(vr(0)), 0);
	front_attach(&front);
	front_alive(&front);
}
END_TEST

START_TEST(with_the_inflight_variant_get_vring_base_does_not_wait)
{
	bring_up(FEATURES, PF_QUIET | PF(GET_VRING_BASE_INFLIGHT));
	device.mode = DEVICE_HOLD;
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	ck_assert_uint_eq(device.n_held, 1);
	ck_assert_uint_eq(front_get_base(&front, 0), 1);
	device_release(&device);
	ck_assert(!front_ring_used(&ring, NULL, NULL));
}
END_TEST

START_TEST(a_ring_is_told_of_by_its_error_descriptor_when_it_breaks)
{
	struct split_avail *avail;

	bring_up(FEATURES, PF_QUIET);
	front_roundtrip(&front, &ring);
	avail = (void *)(mem.addr + ring.avail);
	avail->ring[ring.avail_idx % 16] = htole16(999);
	avail->idx = htole16((uint16_t)(ring.avail_idx + 1));
	front_ring_kick(&ring);
	front_pump(&front);
	ck_assert_int_eq(device.last_pop, -EBADMSG);
	ck_assert(front_fd_signalled(ring.err));
	ck_assert_str_ne(vhost_vring_error(vr(0)), "");
	ck_assert(!vhost_vring_is_running(vr(0)));
	/* the connection stands; started anew, the ring is whole again */
	front_alive(&front);
	front_get_base(&front, 0);
	front_ring_close(&ring);
	front_ring_new(&ring, &mem, 0, 0, 16);
	front_ring_start(&front, &ring, 0);
	front_roundtrip(&front, &ring);
	ck_assert_str_eq(vhost_vring_error(vr(0)), "");
}
END_TEST

START_TEST(a_device_may_break_a_ring_itself)
{
	struct vhost_req req;

	bring_up(FEATURES, PF_QUIET);
	vhost_vring_break(vr(0), "a request without room for its status");
	front_pump(&front);
	ck_assert(front_fd_signalled(ring.err));
	ck_assert_str_eq(vhost_vring_error(vr(0)), "a request without room for its status");
	ck_assert_int_eq(vhost_vring_pop(vr(0), &req, 1), -EBADMSG);
	ck_assert_int_eq(vhost_vring_notify(vr(0)), -EBADMSG);
}
END_TEST

START_TEST(a_kick_descriptor_is_replaced_while_the_ring_runs)
{
	int old = -1;
	uint64_t index = 0;

	bring_up(FEATURES, PF_QUIET);
	front_roundtrip(&front, &ring);
	old = ring.kick;
	ring.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
	ck_assert(front_ring_used(&ring, NULL, NULL));
	close(old);
	front_roundtrip(&front, &ring);
	ck_assert_ptr_null(strstr(device.calls, "stop"));
}
END_TEST

START_TEST(a_ring_without_descriptors_is_polled)
{
	uint64_t nofd = VU_VRING_NOFD;
	struct vu_vring_addr addr;

	device.ops.flags = VHOST_BACKEND_POLL;
	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	front_ring_new(&ring, &mem, 0, 0, 16);
	addr = front_ring_addr(&ring);
	front_set_state(&front, VU_SET_VRING_NUM, 0, 16);
	front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
	front_set(&front, VU_SET_VRING_CALL, &nofd, 8);
	front_set(&front, VU_SET_VRING_KICK, &nofd, 8);
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	ck_assert(vhost_vring_is_running(vr(0)));
	ck_assert_int_eq(vhost_vring_get_fd(vr(0)), -1);
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	device_serve(&device, vr(0));
	ck_assert(front_ring_used(&ring, NULL, NULL));
	ck_assert_int_eq(vhost_vring_notify(vr(0)), 0);
	/* and asks for no notifications: used.flags, or an event index far away */
	ck_assert_ptr_null(strstr(device.calls, "ready"));
}
END_TEST

START_TEST(in_band_notifications_go_both_ways)
{
	struct vu_vring_state s = { 0, 0 };
	uint64_t nofd = VU_VRING_NOFD;
	struct vu_vring_addr addr;

	open_back_end();
	front_negotiate(&front, PLAIN_FEATURES, PF_DEFAULT | PF(INBAND_NOTIFICATIONS));
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	front_ring_new(&ring, &mem, 0, 0, 16);
	addr = front_ring_addr(&ring);
	front_set_state(&front, VU_SET_VRING_NUM, 0, 16);
	front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
	front_set(&front, VU_SET_VRING_CALL, &nofd, 8);
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	front_set(&front, VU_SET_VRING_KICK, &nofd, 8);
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_set(&front, VU_VRING_KICK, &s, sizeof(s));
	ck_assert(front_ring_used(&ring, NULL, NULL));
	front_pump(&front);
	front_expect_on(front.chan, VU_BACKEND_VRING_CALL, FRONT_NEED_REPLY, &s, sizeof(s), NULL,
			0);
	answer(VU_BACKEND_VRING_CALL, 0);
	/* an error, likewise */
	vhost_vring_break(vr(0), "broken");
	front_pump(&front);
	front_expect_on(front.chan, VU_BACKEND_VRING_ERR, FRONT_NEED_REPLY, &s, sizeof(s), NULL, 0);
	answer(VU_BACKEND_VRING_ERR, 0);
}
END_TEST

START_TEST(two_rings_are_apart)
{
	bring_up(FEATURES, PF_QUIET);
	front_ring_new(&ring1, &mem, 0x4000, 1, 8);
	front_ring_start(&front, &ring1, 0);
	front_set_state(&front, VU_SET_VRING_ENABLE, 1, 1);
	front_roundtrip(&front, &ring);
	front_roundtrip(&front, &ring1);
	ck_assert_uint_eq(front_get_base(&front, 0), 1);
	front_roundtrip(&front, &ring1);
	ck_assert_uint_eq(front_get_base(&front, 1), 2);
}
END_TEST

START_TEST(a_program_s_pointer_stays_with_the_ring)
{
	int x;

	open_back_end();
	ck_assert_ptr_null(vhost_vring_get_opaque(vr(1)));
	vhost_vring_set_opaque(vr(1), &x);
	front_hang_up(&front);
	ck_assert_ptr_eq(vhost_vring_get_opaque(vr(1)), &x);
	ck_assert_ptr_null(vhost_backend_get_vring(front.be, DEVICE_QUEUES));
}
END_TEST

START_TEST(the_end_of_a_connection_is_told_in_order)
{
	bring_up(FEATURES, PF_QUIET);
	front_hang_up(&front);
	device_expect(&device, " stop0 reset mem disconnected");
	ck_assert_int_eq(device.gone, -ECONNRESET);
	ck_assert(!vhost_backend_is_connected(front.be));
	ck_assert_int_eq(vhost_backend_process(front.be), -ENOTCONN);
}
END_TEST

START_TEST(a_back_end_may_end_the_connection_itself)
{
	bring_up(FEATURES, PF_QUIET);
	vhost_backend_disconnect(front.be);
	device_expect(&device, " stop0 reset mem disconnected");
	ck_assert_int_eq(device.gone, -ECANCELED);
	vhost_backend_disconnect(front.be);
	device_expect(&device, "");
	front_gone(&front);
}
END_TEST

/* _i: how many requests the device takes at once */
START_TEST(a_ring_that_is_kept_full_does_not_starve_another_back_end_or_the_session)
{
	unsigned int turns, answered = 64, seen = 0, i;
	struct split_avail *avail;

	device.mode = DEVICE_IDLE;
	bring_up(PLAIN_FEATURES, PF_QUIET);
	device.mode = DEVICE_ECHO;
	device.burst = _i ? 16 : 1;
	avail = (void *)(mem.addr + ring.avail);
	for (i = 0; i < 8; i++)
		front_ring_request(&ring, 0x20000 + 64 * i, 16, 0x21000 + 64 * i, 16);
	/*
	 * A driver that makes available again at once whatever comes back: here it runs
	 * between two turns of the back-end, and a message waits all the while.
	 */
	front_put(front.fd, VU_GET_FEATURES, FRONT_PLAIN, NULL, 0, NULL, 0);
	front_ring_kick(&ring);
	for (turns = 0; turns < 64; turns++) {
		struct front_msg msg;

		vhost_backend_process(front.be);
		while (front_ring_used(&ring, NULL, NULL)) {
			seen++;
			avail->ring[ring.avail_idx % 16] =
				avail->ring[(unsigned int)(ring.avail_idx - 8) % 16];
			ring.avail_idx++;
			__atomic_store_n(&avail->idx, htole16(ring.avail_idx), __ATOMIC_RELEASE);
		}
		if (front_take(front.fd, &msg) == 1)
			answered = turns;
		front_ring_kick(&ring);
	}
	ck_assert_uint_lt(answered, 8);
	ck_assert_uint_gt(seen, 0);
}
END_TEST

/* A driver in the device's own callback: it makes available what was just pushed. */
static void refill(struct device *d, vhost_backend_t *be, const char *word)
{
	struct split_avail *avail = (void *)(mem.addr + ring.avail);
	vhost_vring_t *v = vhost_backend_get_vring(be, 0);
	struct vhost_req req;
	unsigned int *count = d->in_call_opaque;

	if (strcmp(word, "ready"))
		return;
	while (vhost_vring_pop(v, &req, 1) == 1) {
		vhost_vring_push(v, &req, 1);
		ring.avail_idx++;
		avail->ring[(ring.avail_idx - 1) % 16] = htole16((uint16_t)req.id);
		__atomic_store_n(&avail->idx, htole16(ring.avail_idx), __ATOMIC_RELEASE);
		ck_assert_uint_lt(++*count, 1000000);
	}
}

START_TEST(a_driver_that_is_faster_than_the_device_gets_its_share_of_a_turn)
{
	struct device other_device;
	struct front other;
	unsigned int count = 0, turn;
	struct front_msg msg;

	device.mode = DEVICE_IDLE;
	bring_up(PLAIN_FEATURES, PF_QUIET);
	device_init(&other_device);
	front_new(&other, &other_device);
	device.in_call = refill;
	device.in_call_opaque = &count;
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	front_put(front.fd, VU_GET_FEATURES, FRONT_PLAIN, NULL, 0, NULL, 0);
	front_put(other.fd, VU_GET_FEATURES, FRONT_PLAIN, NULL, 0, NULL, 0);
	for (turn = 0; turn < 8; turn++) {
		vhost_backend_process(front.be);
		vhost_backend_process(other.be);
	}
	/* served, and more to come without a kick; both sessions were answered meanwhile */
	ck_assert_uint_gt(count, 8);
	ck_assert_int_eq(front_take(front.fd, &msg), 1);
	ck_assert_int_eq(front_take(other.fd, &msg), 1);
	count = 0;
	front_turns(&front, 2);
	ck_assert_uint_gt(count, 0);
	device.in_call = NULL;
	front_close(&other);
}
END_TEST

/* --------------------------------------------------------------------- logging */

static int make_log(size_t size, uint8_t **ret)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	*ret = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(*ret, MAP_FAILED);
	return fd;
}

static bool logged(const uint8_t *bits, uint64_t guest)
{
	return bits[guest >> 12 >> 3] >> (guest >> 12 & 7) & 1;
}

/* As QEMU: SET_LOG_BASE, SET_FEATURES with the bit, SET_VRING_ADDR with its flag. */
static void start_log(int fd, uint64_t size, uint64_t offset)
{
	struct vu_vring_addr addr = front_ring_addr(&ring);
	struct vu_log log = { size, offset };
	struct front_msg msg;

	ck_assert_int_eq(front_do(&front, VU_SET_LOG_BASE, FRONT_PLAIN, &log, sizeof(log), &fd, 1,
				  &msg), FRONT_REPLIED);
	ck_assert_uint_eq(msg.hdr.size, sizeof(log));
	ck_assert_mem_eq(msg.payload, &log, sizeof(log));
	front_set_u64(&front, VU_SET_FEATURES, front.features | F_LOG_ALL);
	addr.flags = VU_VRING_ADDR_LOG;
	addr.log = mem.guest + ring.used;
	front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
}

START_TEST(what_is_written_is_logged_while_logging_is_on)
{
	struct vu_vring_addr addr;
	uint8_t *bits;
	int fd = make_log(4096, &bits);
	void *p;
	uint64_t len;

	bring_up(FEATURES, PF_QUIET);
	front_roundtrip(&front, &ring);
	ck_assert(!logged(bits, mem.guest + 0x21000));
	start_log(fd, 4096, 0);
	ck_assert_ptr_null(strstr(device.calls, "stop"));
	ck_assert_ptr_null(strstr(device.calls, "features"));
	front_roundtrip(&front, &ring);
	ck_assert(logged(bits, mem.guest + 0x21000));
	ck_assert(logged(bits, mem.guest + ring.used));
	ck_assert(!logged(bits, mem.guest + 0x20000));
	ck_assert(!logged(bits, mem.guest + 0x22000));
	ck_assert_int_eq(vhost_backend_translate(front.be, mem.guest + 0x30000,
						 VHOST_IOTLB_PERM_WRITE, &p, &len), 0);
	vhost_backend_mark_dirty(front.be, p, 4097);
	ck_assert(logged(bits, mem.guest + 0x30000));
	ck_assert(logged(bits, mem.guest + 0x31000));
	ck_assert(!logged(bits, mem.guest + 0x32000));
	/* off again: after a migration that failed */
	addr = front_ring_addr(&ring);
	front_set_u64(&front, VU_SET_FEATURES, front.features);
	front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
	memset(bits, 0, 4096);
	front_roundtrip(&front, &ring);
	ck_assert(!logged(bits, mem.guest + 0x21000));
	ck_assert(!logged(bits, mem.guest + ring.used));
	munmap(bits, 4096);
	close(fd);
}
END_TEST

START_TEST(a_log_without_its_descriptor_feature_is_not_answered)
{
	uint64_t base = 0;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET & ~PF(LOG_SHMFD));
	/* there is no memory to log in: nothing can be logged, and nothing is answered */
	ck_assert_int_eq(front_do(&front, VU_SET_LOG_BASE, FRONT_PLAIN, &base, 8, NULL, 0, NULL),
			 FRONT_SILENT);
	front_alive(&front);
}
END_TEST

START_TEST(the_log_s_descriptor_is_taken_and_replaced)
{
	int a = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), b = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_set_fd(&front, VU_SET_LOG_FD, NULL, 0, a);
	front_set_fd(&front, VU_SET_LOG_FD, NULL, 0, b);
	close(a);
	close(b);
}
END_TEST

/* -------------------------------------------------------------------- in flight */

START_TEST(the_in_flight_record_is_made_and_taken_back)
{
	struct vu_inflight want = { .num_queues = 2, .queue_size = 16 }, got;
	struct front_msg msg;
	uint8_t *map;

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	ck_assert_int_eq(front_do(&front, VU_GET_INFLIGHT_FD, FRONT_PLAIN, &want,
				  _i ? 20 : sizeof(want), NULL, 0, &msg), FRONT_REPLIED);
	ck_assert_uint_eq(msg.n_fds, 1);
	ck_assert_uint_eq(msg.hdr.size, sizeof(got));
	memcpy(&got, msg.payload, sizeof(got));
	ck_assert_uint_eq(got.num_queues, 2);
	ck_assert_uint_eq(got.queue_size, 16);
	ck_assert_uint_ge(got.mmap_size, 2 * (16 + 16 * 16));
	ck_assert_uint_eq(got.padding, 0);
	map = mmap(NULL, (size_t)got.mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, msg.fds[0],
		   (off_t)got.mmap_offset);
	ck_assert_ptr_ne(map, MAP_FAILED);
	munmap(map, (size_t)got.mmap_size);
	front_set_fd(&front, VU_SET_INFLIGHT_FD, &got, _i ? 20 : sizeof(got), msg.fds[0]);
	front_drop_fds(&msg);
	front_alive(&front);
}
END_TEST

START_TEST(what_was_in_flight_comes_first_after_a_reconnection)
{
	struct vu_inflight rec = { .num_queues = 1, .queue_size = 16 };
	struct front_msg msg;
	unsigned int head[3], i;
	uint32_t id;
	int fd;

	front_new(&front, &device);
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	front_do(&front, VU_GET_INFLIGHT_FD, FRONT_PLAIN, &rec, sizeof(rec), NULL, 0, &msg);
	ck_assert_uint_eq(msg.n_fds, 1);
	fd = msg.fds[0];
	memcpy(&rec, msg.payload, sizeof(rec));
	front_set_fd(&front, VU_SET_INFLIGHT_FD, &rec, sizeof(rec), fd);
	front_ring_new(&ring, &mem, 0, 0, 16);
	front_ring_start(&front, &ring, 0);
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	device.mode = DEVICE_HOLD;
	for (i = 0; i < 3; i++)
		head[i] = front_ring_request(&ring, 0x20000 + 256 * i, 16, 0x21000 + 256 * i, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	ck_assert_uint_eq(device.n_held, 3);
	/* one comes back; two are lost with the process */
	ck_assert_int_eq(vhost_vring_push(vr(0), &device.held[1], 1), 0);
	ck_assert(front_ring_used(&ring, &id, NULL));
	ck_assert_uint_eq(id, head[1]);
	front_close(&front);

	device.n_held = 0;
	device.mode = DEVICE_ECHO;
	front_new(&front, &device);
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_mem_add(&front, &mem);
	front_set_fd(&front, VU_SET_INFLIGHT_FD, &rec, sizeof(rec), fd);
	front_ring_start(&front, &ring, ring.used_idx);
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	ck_assert(front_ring_used(&ring, &id, NULL));
	ck_assert_uint_eq(id, head[0]);
	ck_assert(front_ring_used(&ring, &id, NULL));
	ck_assert_uint_eq(id, head[2]);
	ck_assert(!front_ring_used(&ring, NULL, NULL));
	front_roundtrip(&front, &ring);
	close(fd);
}
END_TEST

/* ---------------------------------------------------------------- device state */

static uint64_t transfer(unsigned int direction, int fd)
{
	struct vu_transfer t = { direction, 0 };
	struct front_msg msg;
	uint64_t value;

	front_do(&front, VU_SET_DEVICE_STATE_FD, FRONT_PLAIN, &t, sizeof(t), &fd, 1, &msg);
	ck_assert_uint_eq(msg.hdr.size, 8);
	ck_assert_uint_eq(msg.n_fds, 0);
	memcpy(&value, msg.payload, 8);
	return value;
}

START_TEST(the_device_s_state_goes_through_a_pipe)
{
	int p[2];
	char buf[16] = { 0 };

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	strcpy((char *)device.state, "state!");
	device.state_len = 6;
	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	ck_assert_uint_eq(transfer(0, p[1]), VU_DEVICE_STATE_NOFD);
	close(p[1]);
	ck_assert_int_eq(read(p[0], buf, sizeof(buf)), 6);
	ck_assert_int_eq(read(p[0], buf + 6, 1), 0);
	close(p[0]);
	ck_assert_uint_eq(front_get(&front, VU_CHECK_DEVICE_STATE, NULL, 0), 0);

	memset(device.state, 0, sizeof(device.state));
	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	ck_assert_int_eq(write(p[1], buf, 6), 6);
	close(p[1]);
	ck_assert_uint_eq(transfer(1, p[0]), VU_DEVICE_STATE_NOFD);
	close(p[0]);
	ck_assert_str_eq((char *)device.state, "state!");
	ck_assert_uint_eq(front_get(&front, VU_CHECK_DEVICE_STATE, NULL, 0), 0);

	/* a failure is told at the end */
	device.save_state = -EIO;
	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	if (transfer(0, p[1]) == VU_DEVICE_STATE_NOFD)
		ck_assert_uint_ne(front_get(&front, VU_CHECK_DEVICE_STATE, NULL, 0), 0);
	close(p[0]);
	close(p[1]);
}
END_TEST

START_TEST(a_transfer_of_state_goes_on_while_other_messages_are_served)
{
	int p[2];

	open_back_end();
	front_negotiate(&front, FEATURES, PF_QUIET);
	device.save_state = -EINPROGRESS;
	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	ck_assert_uint_eq(transfer(0, p[1]), VU_DEVICE_STATE_NOFD);
	close(p[1]);
	front_alive(&front);
	ck_assert_int_ge(device.state_fd, 0);
	ck_assert_int_ne(fcntl(device.state_fd, F_GETFL) & O_NONBLOCK, 0);
	/* the check waits for the end */
	front_put(front.fd, VU_CHECK_DEVICE_STATE, FRONT_PLAIN, NULL, 0, NULL, 0);
	front_pump(&front);
	front_expect_nothing(front.fd);
	ck_assert_int_eq(write(device.state_fd, "x", 1), 1);
	close(device.state_fd);
	device.state_fd = -1;
	ck_assert_int_eq(vhost_backend_state_done(front.be, 0), 0);
	ck_assert_int_eq(vhost_backend_state_done(front.be, 0), -ENOENT);
	front_pump(&front);
	front_expect_on(front.fd, VU_CHECK_DEVICE_STATE, FRONT_REPLY, "\0\0\0\0\0\0\0\0", 8, NULL,
			0);
	close(p[0]);

	/* the front-end goes meanwhile */
	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	ck_assert_uint_eq(transfer(0, p[1]), VU_DEVICE_STATE_NOFD);
	close(p[1]);
	close(p[0]);
	front_hang_up(&front);
	ck_assert_int_eq(vhost_backend_state_done(front.be, 0), -ENOENT);
}
END_TEST

/* --------------------------------------------------------------------- channel */

static int done_status, done_fd, done_calls;

static void done(vhost_backend_t *be, int status, int fd, void *opaque)
{
	(void)be;
	(void)opaque;
	done_status = status;
	done_fd = fd;
	done_calls++;
	if (fd >= 0)
		close(fd);
}

static void forget_done(void)
{
	done_status = 1;
	done_fd = -2;
	done_calls = 0;
}

static const uint8_t uuid1[16] = { 1, 2, 3 };

/* What request @i of the channel is, made: 0 to 5. */
static uint32_t ask(int i, int file)
{
	vhost_backend_t *be = front.be;
	int r;

	switch (i) {
	case 0:
		r = vhost_backend_set_host_notifier(be, 1, file, 0, 4096, done, NULL);
		ck_assert_msg(r == 0, "%d: %s", r, vhost_backend_error(be));
		return VU_BACKEND_VRING_HOST_NOTIFIER_MSG;
	case 1:
		ck_assert_int_eq(vhost_backend_add_shared_object(be, uuid1, done, NULL), 0);
		return VU_BACKEND_SHARED_OBJECT_ADD;
	case 2:
		ck_assert_int_eq(vhost_backend_remove_shared_object(be, uuid1, done, NULL), 0);
		return VU_BACKEND_SHARED_OBJECT_REMOVE;
	case 3:
		ck_assert_int_eq(vhost_backend_lookup_shared_object(be, uuid1, done, NULL), 0);
		return VU_BACKEND_SHARED_OBJECT_LOOKUP;
	case 4:
		r = vhost_backend_shmem_map(be, 1, 0x1000, 0x2000, file, 0, 1, done, NULL);
		ck_assert_msg(r == 0, "%d: %s", r, vhost_backend_error(be));
		return VU_BACKEND_SHMEM_MAP;
	default:
		ck_assert_int_eq(vhost_backend_shmem_unmap(be, 1, 0x1000, 0x2000, done, NULL), 0);
		return VU_BACKEND_SHMEM_UNMAP;
	}
}

static int make_file(void)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 0x10000), 0);
	return fd;
}

START_TEST(requests_to_the_front_end_are_sent_and_their_answers_told)
{
	static const struct vu_vring_area area = { 1, 4096, 0 };
	static const struct vu_mmap map = { .shmid = 1, .shm_offset = 0x1000, .len = 0x2000,
					    .flags = VU_MMAP_WRITABLE };
	static const struct vu_mmap unmap = { .shmid = 1, .shm_offset = 0x1000, .len = 0x2000 };
	static const struct { const void *payload; uint32_t size; unsigned int n_fds; } want[] = {
		{ &area, sizeof(area), 1 }, { uuid1, 16, 0 }, { uuid1, 16, 0 }, { uuid1, 16, 0 },
		{ &map, sizeof(map), 1 }, { &unmap, sizeof(unmap), 0 },
	};
	int file = make_file(), i;

	bring_up(FEATURES, PF_DEFAULT | PF(SHMEM));
	for (i = 0; i < 6; i++) {
		struct front_msg msg;
		uint32_t request = ask(i, file);

		forget_done();
		front_pump(&front);
		ck_assert_int_eq(front_take(front.chan, &msg), 1);
		ck_assert_uint_eq(msg.hdr.request, request);
		ck_assert_uint_eq(msg.hdr.flags & ~VU_NEED_REPLY, FRONT_PLAIN);
		ck_assert_uint_eq(msg.hdr.size, want[i].size);
		ck_assert_mem_eq(msg.payload, want[i].payload, want[i].size);
		ck_assert_uint_eq(msg.n_fds, want[i].n_fds);
		front_drop_fds(&msg);
		ck_assert_int_eq(done_calls, 0);
		if (i == 3) {		/* always answered, with a descriptor */
			uint64_t zero = 0;

			front_put(front.chan, request, FRONT_REPLY, &zero, 8, &file, 1);
			front_pump(&front);
			ck_assert_int_ge(done_fd, 0);
		} else {
			ck_assert(msg.hdr.flags & VU_NEED_REPLY);
			answer(request, 0);
			ck_assert_int_eq(done_fd, -1);
		}
		ck_assert_int_eq(done_calls, 1);
		ck_assert_int_eq(done_status, 0);
	}
	close(file);
}
END_TEST

/* _i: which request */
START_TEST(a_refusal_of_the_front_end_is_told)
{
	int file = make_file();
	uint32_t request;
	struct front_msg msg;

	bring_up(FEATURES, PF_DEFAULT | PF(SHMEM));
	if (_i == 5) {			/* something to unmap */
		ask(4, file);
		front_pump(&front);
		ck_assert_int_eq(front_take(front.chan, &msg), 1);
		front_drop_fds(&msg);
		answer(VU_BACKEND_SHMEM_MAP, 0);
	}
	forget_done();
	request = ask(_i, file);
	front_pump(&front);
	ck_assert_int_eq(front_take(front.chan, &msg), 1);
	front_drop_fds(&msg);
	answer(request, 1);
	ck_assert_int_eq(done_calls, 1);
	ck_assert_int_eq(done_status, -EREMOTEIO);
	ck_assert_int_eq(done_fd, -1);
	front_alive(&front);
	close(file);
}
END_TEST

/* _i: which request, and whether it is the channel or the connection that ends */
START_TEST(a_request_that_is_not_answered_before_the_end_is_told_so)
{
	int file = make_file();
	struct front_msg msg;
	int which = _i % 5;

	bring_up(FEATURES, PF_DEFAULT | PF(SHMEM));
	forget_done();
	ask(which, file);
	front_pump(&front);
	ck_assert_int_eq(front_take(front.chan, &msg), 1);
	front_drop_fds(&msg);
	if (_i / 5 == 0) {
		front_hang_up(&front);
	} else if (_i / 5 == 1) {
		close(front.chan);
		front.chan = -1;
		front_pump(&front);
		front_alive(&front);
		front_roundtrip(&front, &ring);
	} else {
		front_open_channel(&front);	/* another one takes its place */
	}
	ck_assert_int_eq(done_calls, 1);
	ck_assert_int_eq(done_status, -ENOTCONN);
	close(file);
}
END_TEST

/* _i: which request */
START_TEST(a_front_end_that_never_answers_such_requests_is_believed)
{
	int file = make_file();
	struct front_msg msg;

	/* without REPLY_ACK there are no acknowledgements; a lookup is always answered */
	bring_up(FEATURES, (PF_DEFAULT | PF(SHMEM)) & ~PF(REPLY_ACK));
	forget_done();
	ask(_i, file);
	front_pump(&front);
	ck_assert_int_eq(front_take(front.chan, &msg), 1);
	ck_assert_uint_eq(msg.hdr.flags, FRONT_PLAIN);
	front_drop_fds(&msg);
	ck_assert_int_eq(done_calls, _i == 3 ? 0 : 1);
	if (_i != 3)
		ck_assert_int_eq(done_status, -EALREADY);
	close(file);
}
END_TEST

START_TEST(requests_need_a_channel_and_their_feature)
{
	int file = make_file();

	open_back_end();
	ck_assert_int_ne(vhost_backend_add_shared_object(front.be, uuid1, done, NULL), 0);
	front_negotiate(&front, FEATURES, PF_QUIET);
	ck_assert_int_eq(vhost_backend_add_shared_object(front.be, uuid1, done, NULL), -ENOTSUP);
	ck_assert_int_eq(vhost_backend_config_changed(front.be), -ENOTSUP);
	front_close(&front);

	bring_up(FEATURES, PF(REPLY_ACK) | PF(BACKEND_REQ) | PF(CONFIGURE_MEM_SLOTS));
	ck_assert_int_eq(vhost_backend_add_shared_object(front.be, uuid1, done, NULL), -ENOTSUP);
	ck_assert_int_eq(vhost_backend_lookup_shared_object(front.be, uuid1, done, NULL), -ENOTSUP);
	ck_assert_int_eq(vhost_backend_set_host_notifier(front.be, 0, file, 0, 4096, done, NULL),
			 -ENOTSUP);
	ck_assert_int_eq(vhost_backend_shmem_map(front.be, 0, 0, 4096, file, 0, 1, done, NULL),
			 -ENOTSUP);
	ck_assert_int_eq(vhost_backend_config_changed(front.be), -ENOTSUP);
	front_hang_up(&front);
	ck_assert_int_eq(vhost_backend_add_shared_object(front.be, uuid1, done, NULL), -ENOTCONN);
	ck_assert_int_eq(vhost_backend_config_changed(front.be), -ENOTCONN);
	close(file);
}
END_TEST

START_TEST(requests_that_cannot_be_are_refused_here)
{
	int file = make_file();
	vhost_backend_t *be;

	bring_up(FEATURES, PF_DEFAULT | PF(SHMEM));
	be = front.be;
	ck_assert_int_eq(vhost_backend_set_host_notifier(be, 99, file, 0, 4096, done, NULL),
			 -EINVAL);
	ck_assert_int_eq(vhost_backend_shmem_map(be, 2, 0, 4096, file, 0, 1, done, NULL), -EINVAL);
	ck_assert_int_eq(vhost_backend_shmem_map(be, 0, 0x10000, 4096, file, 0, 1, done, NULL),
			 -EINVAL);
	ck_assert_int_eq(vhost_backend_shmem_map(be, 0, UINT64_MAX - 4095, 8192, file, 0, 1, done,
						 NULL), -EINVAL);
	ck_assert_int_eq(vhost_backend_shmem_map(be, 0, 0, 0, file, 0, 1, done, NULL), -EINVAL);
	ck_assert_int_eq(vhost_backend_shmem_unmap(be, 0, 0, 4096, done, NULL), -ENOENT);
	ck_assert_int_eq(vhost_backend_shmem_map(be, 0, 0, 8192, file, 0, 1, done, NULL), 0);
	ck_assert_int_eq(vhost_backend_shmem_map(be, 0, 4096, 4096, file, 0, 1, done, NULL),
			 -EEXIST);
	ck_assert_int_eq(vhost_backend_shmem_unmap(be, 0, 0, 4096, done, NULL), -ENOENT);
	close(file);
}
END_TEST

START_TEST(requests_that_wait_are_bounded)
{
	int r = 0, n;

	bring_up(FEATURES, PF_DEFAULT);
	forget_done();
	for (n = 0; n < 100000 && r == 0; n++)
		r = vhost_backend_lookup_shared_object(front.be, uuid1, done, NULL);
	ck_assert_int_eq(r, -ENOBUFS);
	ck_assert_int_gt(n, 4);
	front_hang_up(&front);
	ck_assert_int_eq(done_calls, n - 1);
}
END_TEST

START_TEST(a_change_of_config_is_told_without_waiting_for_an_answer)
{
	bring_up(FEATURES, PF_DEFAULT);
	ck_assert_int_eq(vhost_backend_config_changed(front.be), 0);
	front_pump(&front);
	/* DPDK: with NEED_REPLY two single threads can wait for each other */
	front_expect_on(front.chan, VU_BACKEND_CONFIG_CHANGE_MSG, FRONT_PLAIN, NULL, 0, NULL, 0);
	vhost_backend_needs_reset(front.be);
	front_pump(&front);
	front_expect_on(front.chan, VU_BACKEND_CONFIG_CHANGE_MSG, FRONT_PLAIN, NULL, 0, NULL, 0);
	front_expect_nothing(front.chan);
}
END_TEST

/* ----------------------------------------------------------------------- iotlb */

static void iotlb(uint64_t iova, uint64_t size, uint64_t user, uint8_t perm, uint8_t type)
{
	struct vu_iotlb m = { iova, size, user, perm, type, { 0 } };

	ck_assert_uint_eq(front_get(&front, VU_IOTLB_MSG, &m, sizeof(m)), 0);
}

static void expect_miss(uint64_t iova, uint8_t perm)
{
	struct front_msg msg;
	struct vu_iotlb m;

	ck_assert_int_eq(front_take(front.chan, &msg), 1);
	ck_assert_uint_eq(msg.hdr.request, VU_BACKEND_IOTLB_MSG);
	ck_assert_uint_eq(msg.hdr.size, sizeof(m));
	memcpy(&m, msg.payload, sizeof(m));
	ck_assert_uint_eq(m.type, VU_IOTLB_MISS);
	ck_assert_uint_eq(m.iova, iova);
	ck_assert_uint_eq(m.perm, perm);
	if (msg.hdr.flags & VU_NEED_REPLY)
		answer(VU_BACKEND_IOTLB_MSG, 0);
}

/* Ring addresses are IOVAs, at 0x10000000 more than the guest's. */
#define IOVA 0x10000000u

static void bring_up_iommu(void)
{
	struct vu_vring_addr addr;
	uint64_t index = 0;

	front_new(&front, &device);
	front_negotiate(&front, FEATURES | F_ACCESS_PLATFORM, PF_DEFAULT);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	front_ring_new(&ring, &mem, 0, 0, 16);
	addr = (struct vu_vring_addr){ .desc = IOVA + ring.desc, .avail = IOVA + ring.avail,
				       .used = IOVA + ring.used };
	front_set_state(&front, VU_SET_VRING_NUM, 0, 16);
	front_set_state(&front, VU_SET_VRING_BASE, 0, 0);
	front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
	front_set_fd(&front, VU_SET_VRING_CALL, &index, 8, ring.call);
	front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
}

START_TEST(a_ring_waits_for_translations_that_it_asks_for)
{
	struct front_msg msg;
	unsigned int asked = 0;

	bring_up_iommu();
	/* the ring's own pages first; nothing runs before */
	ck_assert(!vhost_vring_is_running(vr(0)));
	while (front_take(front.chan, &msg) == 1) {
		struct vu_iotlb m;

		memcpy(&m, msg.payload, sizeof(m));
		ck_assert_uint_eq(msg.hdr.request, VU_BACKEND_IOTLB_MSG);
		ck_assert_uint_eq(m.type, VU_IOTLB_MISS);
		ck_assert_uint_eq(m.iova & ~0xfffull, IOVA);
		if (msg.hdr.flags & VU_NEED_REPLY)
			answer(VU_BACKEND_IOTLB_MSG, 0);
		iotlb(IOVA, 0x1000, mem.user, 3, VU_IOTLB_UPDATE);
		ck_assert_uint_lt(++asked, 10);
	}
	ck_assert_uint_ge(asked, 1);
	ck_assert(vhost_vring_is_running(vr(0)));

	/* then the buffers' */
	front_ring_add(&ring, (struct front_buf[]){ { IOVA + 0x20000, 16, 0 },
						    { IOVA + 0x21000, 16, DESC_F_WRITE } }, 2);
	memset(mem.addr + 0x20000, 0x77, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	ck_assert(!front_ring_used(&ring, NULL, NULL));
	expect_miss(IOVA + 0x20000, VHOST_IOTLB_PERM_READ);
	iotlb(IOVA + 0x20000, 0x1000, mem.user + 0x20000, VHOST_IOTLB_PERM_READ, VU_IOTLB_UPDATE);
	expect_miss(IOVA + 0x21000, VHOST_IOTLB_PERM_WRITE);
	iotlb(IOVA + 0x21000, 0x1000, mem.user + 0x21000, VHOST_IOTLB_PERM_WRITE, VU_IOTLB_UPDATE);
	ck_assert(front_ring_used(&ring, NULL, NULL));
	ck_assert_int_eq(mem.addr[0x21000], 0x77);
	front_expect_nothing(front.chan);
}
END_TEST

START_TEST(a_translation_that_is_taken_back_is_asked_for_again)
{
	unsigned int i;

	bring_up_iommu();
	iotlb(IOVA, 0x40000, mem.user, 3, VU_IOTLB_UPDATE);
	ck_assert(vhost_vring_is_running(vr(0)));
	for (i = 0; i < 20; i++) {
		struct front_msg msg;

		front_ring_add(&ring, (struct front_buf[]){ { IOVA + 0x20000, 16, 0 } }, 1);
		if (i % 2)
			iotlb(IOVA + 0x20000, 0x1000, 0, 0, VU_IOTLB_INVALIDATE);
		front_ring_kick(&ring);
		front_pump(&front);
		if (i % 2) {
			ck_assert(!front_ring_used(&ring, NULL, NULL));
			while (front_take(front.chan, &msg) == 1)
				if (msg.hdr.flags & VU_NEED_REPLY)
					answer(VU_BACKEND_IOTLB_MSG, 0);
			iotlb(IOVA + 0x20000, 0x1000, mem.user + 0x20000, 3, VU_IOTLB_UPDATE);
		}
		ck_assert(front_ring_used(&ring, NULL, NULL));
	}
}
END_TEST

START_TEST(a_program_s_own_translations_are_asked_for_too)
{
	uint64_t len;
	void *p;

	bring_up_iommu();
	iotlb(IOVA, 0x2000, mem.user, 3, VU_IOTLB_UPDATE);
	iotlb(IOVA + 0x2000, 0x1000, mem.user + 0x2000, VHOST_IOTLB_PERM_READ, VU_IOTLB_UPDATE);
	while (1) {
		struct front_msg msg;

		if (front_take(front.chan, &msg) != 1)
			break;
		if (msg.hdr.flags & VU_NEED_REPLY)
			answer(VU_BACKEND_IOTLB_MSG, 0);
	}
	ck_assert_int_eq(vhost_backend_translate(front.be, IOVA + 0x2010, VHOST_IOTLB_PERM_READ,
						 &p, &len), 0);
	ck_assert_uint_eq(len, 0x1000 - 0x10);
	ck_assert_int_eq(vhost_backend_translate(front.be, IOVA + 0x2010, VHOST_IOTLB_PERM_WRITE,
						 &p, &len), -EACCES);
	ck_assert_int_eq(vhost_backend_translate(front.be, IOVA + 0x3000, VHOST_IOTLB_PERM_READ,
						 &p, &len), -EAGAIN);
	front_pump(&front);
	expect_miss(IOVA + 0x3000, VHOST_IOTLB_PERM_READ);
}
END_TEST

START_TEST(with_guest_addresses_ring_addresses_are_the_guest_s)
{
	front_new(&front, &device);
	front_negotiate(&front, FEATURES, PF_QUIET | PF(GPA_ADDRESSES));
	front_mem_new(&mem, 0x40000, 0x100000, 0x100000);	/* user address = guest's */
	front_mem_add(&front, &mem);
	front_ring_new(&ring, &mem, 0, 0, 16);
	front_ring_start(&front, &ring, 0);
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	front_roundtrip(&front, &ring);
}
END_TEST

/* ------------------------------------------------------------------------- hooks */

static int traced, logs;

static void trace(const struct vhost_trace_event *e, void *opaque)
{
	(void)opaque;
	ck_assert_str_ne(e->name, "?");
	traced++;
}

static void take_log(int level, const char *text, void *opaque)
{
	(void)level;
	(void)opaque;
	ck_assert_str_ne(text, "");
	ck_assert_ptr_null(strchr(text, '\n'));
	logs++;
}

START_TEST(hooks_see_messages_and_sentences)
{
	open_back_end();
	traced = logs = 0;
	vhost_backend_set_trace(front.be, trace, NULL);
	vhost_backend_set_log(front.be, take_log, NULL);
	front_alive(&front);
	ck_assert_int_eq(traced, 2);
	front_refused_state(&front, VU_SET_VRING_NUM, 99, 16);
	ck_assert_int_eq(traced, 4);
	ck_assert_int_ge(logs, 1);
	vhost_backend_set_trace(front.be, NULL, NULL);
	front_alive(&front);
	ck_assert_int_eq(traced, 4);
}
END_TEST

/* -------------------------------------------------------------------------- main */

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
	Suite *s = suite_create("backend");
	TCase *tc = new_case(s, "messages");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, features_offered_are_the_library_s_and_the_device_s);
	tcase_add_test(tc, features_that_are_accepted_are_told_to_the_device);
	tcase_add_test(tc, a_legacy_driver_is_refused_unless_the_device_serves_it);
	tcase_add_test(tc, protocol_features_follow_from_the_callbacks);
	tcase_add_test(tc, protocol_features_are_accepted_if_they_were_offered);
	tcase_add_test(tc, a_message_is_acknowledged_if_that_was_asked_for);
	tcase_add_test(tc, numbers_that_are_asked_for_are_the_device_s);
	tcase_add_test(tc, status_is_kept_and_told);
	tcase_add_test(tc, config_is_read_and_written_by_the_device_s_callbacks);
	tcase_add_test(tc, config_without_callbacks_is_what_the_program_set);
	tcase_add_test(tc, config_may_be_answered_late_and_what_follows_waits);
	tcase_add_test(tc, a_late_answer_to_a_front_end_that_has_gone_is_nothing);
	tcase_add_test(tc, a_crypto_session_is_made_answered_late_and_closed);
	tcase_add_test(tc, rarp_mtu_gpu_socket_and_objects_reach_the_device);
	tcase_add_test(tc, the_sizes_of_shared_memory_are_told_by_id);
	tcase_add_test(tc, owner_messages_are_idempotent);
	tcase_add_test(tc, a_reset_stops_the_rings_and_keeps_memory_and_connection);
	tcase_add_test(tc, memory_is_added_and_removed_by_slots);
	tcase_add_test(tc, a_table_replaces_the_memory);
	tcase_add_test(tc, addresses_are_translated_with_what_may_be_done_there);
	tcase_add_test(tc, a_ring_goes_on_over_a_change_of_memory);
	tcase_add_test(tc, requests_in_flight_keep_their_memory_over_a_new_table);
	tcase_add_test(tc, what_is_written_is_logged_while_logging_is_on);
	tcase_add_test(tc, a_log_without_its_descriptor_feature_is_not_answered);
	tcase_add_test(tc, the_log_s_descriptor_is_taken_and_replaced);
	tcase_add_loop_test(tc, the_in_flight_record_is_made_and_taken_back, 0, 2);
	tcase_add_test(tc, what_was_in_flight_comes_first_after_a_reconnection);
	tcase_add_test(tc, the_device_s_state_goes_through_a_pipe);
	tcase_add_test(tc, a_transfer_of_state_goes_on_while_other_messages_are_served);
	tcase_add_test(tc, hooks_see_messages_and_sentences);

	tc = new_case(s, "ring states");
	tcase_add_test(tc, a_ring_starts_with_its_kick_descriptor_and_is_looked_at_without_a_kick);
	tcase_add_loop_test(tc, enabling_counts_whenever_it_comes, 0, 7);
	tcase_add_test(tc, without_the_protocol_s_feature_rings_are_enabled_from_the_start);
	tcase_add_test(tc, a_disabled_ring_gives_nothing_and_is_looked_at_when_it_is_enabled_again);
	tcase_add_test(tc, get_vring_base_stops_the_ring_and_says_where_it_stands);
	tcase_add_test(tc, get_vring_base_of_a_ring_never_used_is_what_was_set_or_0);
	tcase_add_loop_test(tc, get_vring_base_waits_for_what_is_in_flight, 0, 2);
	tcase_add_test(tc, a_front_end_that_goes_while_its_base_is_waited_for_loses_nothing_of_ours);
	tcase_add_test(tc, with_the_inflight_variant_get_vring_base_does_not_wait);
	tcase_add_test(tc, a_ring_is_told_of_by_its_error_descriptor_when_it_breaks);
	tcase_add_test(tc, a_device_may_break_a_ring_itself);
	tcase_add_test(tc, a_kick_descriptor_is_replaced_while_the_ring_runs);
	tcase_add_test(tc, a_ring_without_descriptors_is_polled);
	tcase_add_test(tc, in_band_notifications_go_both_ways);
	tcase_add_test(tc, two_rings_are_apart);
	tcase_add_test(tc, a_program_s_pointer_stays_with_the_ring);
	tcase_add_test(tc, the_end_of_a_connection_is_told_in_order);
	tcase_add_test(tc, a_back_end_may_end_the_connection_itself);
	tcase_add_loop_test(tc, a_ring_that_is_kept_full_does_not_starve_another_back_end_or_the_session,
			    0, 2);
	tcase_add_test(tc, a_driver_that_is_faster_than_the_device_gets_its_share_of_a_turn);

	tc = new_case(s, "requests to the front-end");
	tcase_add_test(tc, requests_to_the_front_end_are_sent_and_their_answers_told);
	tcase_add_loop_test(tc, a_refusal_of_the_front_end_is_told, 0, 6);
	tcase_add_loop_test(tc, a_request_that_is_not_answered_before_the_end_is_told_so, 0, 15);
	tcase_add_loop_test(tc, a_front_end_that_never_answers_such_requests_is_believed, 0, 5);
	tcase_add_test(tc, requests_need_a_channel_and_their_feature);
	tcase_add_test(tc, requests_that_cannot_be_are_refused_here);
	tcase_add_test(tc, requests_that_wait_are_bounded);
	tcase_add_test(tc, a_change_of_config_is_told_without_waiting_for_an_answer);
	tcase_add_test(tc, a_ring_waits_for_translations_that_it_asks_for);
	tcase_add_test(tc, a_translation_that_is_taken_back_is_asked_for_again);
	tcase_add_test(tc, a_program_s_own_translations_are_asked_for_too);
	tcase_add_test(tc, with_guest_addresses_ring_addresses_are_the_guest_s);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
