/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The back-end and the front-ends that are in use, each by its name: what they send, in the
 * order in which they send it. How a front-end and a back-end come together; and rings with
 * a thread of their own, while the front-end changes things.
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

static void iotlb(uint64_t iova, uint64_t size, uint64_t user, uint8_t perm, uint8_t type)
{
	struct vu_iotlb m = { iova, size, user, perm, type, { 0 } };

	ck_assert_uint_eq(front_get(&front, VU_IOTLB_MSG, &m, sizeof(m)), 0);
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

/* ------------------------------------------------------------------------ roles */

static char dir[64], path[96];

static void setup_roles(void)
{
	setup();
	strcpy(dir, "/tmp/libvhost-backend-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
}

static void teardown_roles(void)
{
	front_close(&front);
	unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
	teardown();
}

static int connect_to(const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", name);
	if (name[0] == '@') {
		sa.sun_path[0] = '\0';
		len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	}
	ck_assert_int_ge(fd, 0);
	if (connect(fd, (struct sockaddr *)&sa, len) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int listen_at(const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", name);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(fd, 4), 0);
	return fd;
}

static void new_back_end(void)
{
	ck_assert_int_eq(vhost_backend_new(&device.ops, sizeof(device.ops), &device, &front.be), 0);
}

START_TEST(a_server_serves_one_front_end_after_another_and_removes_its_socket)
{
	struct stat st;
	int second, i;

	new_back_end();
	ck_assert_int_eq(vhost_backend_listen(front.be, path), 0);
	ck_assert_int_eq(vhost_backend_listen(front.be, path), -EALREADY);
	ck_assert_int_eq(vhost_backend_process(front.be), 0);
	for (i = 0; i < 3; i++) {
		front.fd = connect_to(path);
		second = connect_to(path);	/* waits for its turn */
		ck_assert(front.fd >= 0 && second >= 0);
		front_pump(&front);
		front_alive(&front);
		front_put(second, VU_GET_FEATURES, FRONT_PLAIN, NULL, 0, NULL, 0);
		front_pump(&front);
		front_expect_nothing(second);
		front_hang_up(&front);
		front_expect_on(second, VU_GET_FEATURES, FRONT_REPLY, NULL, 8, NULL, 0);
		close(second);
		front_pump(&front);
		device_expect(&device, " connected reset disconnected connected reset disconnected");
	}
	vhost_backend_close(front.be);
	ck_assert_int_eq(vhost_backend_process(front.be), -ENOTCONN);
	ck_assert_int_lt(stat(path, &st), 0);
}
END_TEST

START_TEST(a_socket_that_nobody_listens_on_is_replaced_and_no_other_file)
{
	int fd = listen_at(path);
	vhost_backend_t *other;

	new_back_end();
	ck_assert_int_eq(vhost_backend_listen(front.be, path), -EADDRINUSE);
	ck_assert_str_ne(vhost_backend_error(front.be), "");
	close(fd);
	ck_assert_int_eq(vhost_backend_listen(front.be, path), 0);
	ck_assert_int_eq(vhost_backend_new(&device.ops, sizeof(device.ops), &device, &other), 0);
	ck_assert_int_eq(vhost_backend_listen(other, path), -EADDRINUSE);
	vhost_backend_unref(other);
	front.fd = connect_to(path);		/* and it is still there */
	ck_assert_int_ge(front.fd, 0);
	front_close(&front);

	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	new_back_end();
	ck_assert_int_eq(vhost_backend_listen(front.be, path), -EADDRINUSE);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(names_are_checked)
{
	char longer[300];
	char abstract[64];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	new_back_end();
	ck_assert_int_eq(vhost_backend_listen(front.be, longer), -ENAMETOOLONG);
	ck_assert_int_eq(vhost_backend_connect(front.be, longer), -ENAMETOOLONG);
	ck_assert_int_eq(vhost_backend_connect(front.be, path), -ENOENT);
	ck_assert_int_eq(vhost_backend_listen_fd(front.be, -1), -EBADF);
	ck_assert_int_eq(vhost_backend_attach_fd(front.be, -1), -EBADF);
	ck_assert_int_eq(vhost_backend_attach_fd(front.be, STDERR_FILENO), -ENOTSOCK);
	snprintf(abstract, sizeof(abstract), "@libvhost-test-%d", (int)getpid());
	ck_assert_int_eq(vhost_backend_listen(front.be, abstract), 0);
	front.fd = connect_to(abstract);
	ck_assert_int_ge(front.fd, 0);
	front_pump(&front);
	front_alive(&front);
}
END_TEST

START_TEST(a_client_connects_and_again_after_the_end)
{
	int listener = listen_at(path), i;

	new_back_end();
	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(vhost_backend_connect(front.be, path), 0);
		ck_assert_int_eq(vhost_backend_connect(front.be, path), -EALREADY);
		front.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		ck_assert_int_ge(front.fd, 0);
		front_pump(&front);
		front_alive(&front);
		front_hang_up(&front);
		ck_assert_int_eq(vhost_backend_process(front.be), -ENOTCONN);
	}
	close(listener);
	ck_assert_int_eq(vhost_backend_connect(front.be, path), -ECONNREFUSED);
}
END_TEST

START_TEST(a_descriptor_that_listens_already_is_served)
{
	int listener = listen_at(path), pair[2];

	new_back_end();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(vhost_backend_listen_fd(front.be, pair[0]), -EINVAL);
	ck_assert_int_eq(vhost_backend_attach_fd(front.be, listener), -EINVAL);
	ck_assert_int_eq(vhost_backend_listen_fd(front.be, listener), 0);
	ck_assert_int_eq(vhost_backend_listen_fd(front.be, listener), -EALREADY);
	close(listener);
	front.fd = connect_to(path);
	front_pump(&front);
	front_alive(&front);
	close(pair[0]);
	close(pair[1]);
	/* it is not ours to remove */
	vhost_backend_close(front.be);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(a_front_end_may_come_back_while_the_old_connection_is_torn_down)
{
	struct front old;

	new_back_end();
	ck_assert_int_eq(vhost_backend_listen(front.be, path), 0);
	front.fd = connect_to(path);
	front_pump(&front);
	front_bring_up(&front, &mem, &ring, FEATURES, PF_QUIET);
	device.mode = DEVICE_HOLD;
	front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
	front_pump(&front);
	ck_assert_uint_eq(device.n_held, 1);
	old = front;
	front.fd = connect_to(path);		/* the new one is there before the old has gone */
	close(old.fd);
	front_pump(&front);
	front_negotiate(&front, FEATURES, PF_QUIET);
	front_mem_add(&front, &mem);
	front_ring_close(&ring);
	front_ring_new(&ring, &mem, 0, 0, 16);
	front_ring_start(&front, &ring, 0);
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	/* what the old one had in flight is not pushed into the new one's ring */
	device_release(&device);
	ck_assert(!front_ring_used(&ring, NULL, NULL));
	device.mode = DEVICE_ECHO;
	front_roundtrip(&front, &ring);
}
END_TEST

START_TEST(a_back_end_is_made_with_numbers_in_range_only)
{
	struct { struct vhost_backend_ops ops; uint64_t more; } big = { .more = 1 };
	struct vhost_backend_ops ops = device.ops;
	vhost_backend_t *be = NULL;

	ops.max_queues = 0;
	ck_assert_int_eq(vhost_backend_new(&ops, sizeof(ops), NULL, &be), -EINVAL);
	ops.max_queues = 257;
	ck_assert_int_eq(vhost_backend_new(&ops, sizeof(ops), NULL, &be), -EINVAL);
	ck_assert_str_ne(vhost_last_error(), "");
	ops = device.ops;
	ops.max_queue_size = 32769;
	ck_assert_int_eq(vhost_backend_new(&ops, sizeof(ops), NULL, &be), -EINVAL);
	ops = device.ops;
	ops.flags = 1u << 31;
	ck_assert_int_eq(vhost_backend_new(&ops, sizeof(ops), NULL, &be), -EINVAL);
	ops = device.ops;
	ops.config_size = 4097;
	ck_assert_int_eq(vhost_backend_new(&ops, sizeof(ops), NULL, &be), -EINVAL);
	ops = device.ops;
	ops.n_shmem_sizes = 257;
	ck_assert_int_eq(vhost_backend_new(&ops, sizeof(ops), NULL, &be), -EINVAL);
	big.ops = device.ops;
	ck_assert_int_eq(vhost_backend_new(&big.ops, sizeof(big), NULL, &be), -E2BIG);
	ck_assert_ptr_null(be);
	/* an older program's, shorter table */
	ops = device.ops;
	ck_assert_int_eq(vhost_backend_new(&ops, offsetof(struct vhost_backend_ops, save_state),
					   &device, &be), 0);
	ck_assert_ptr_eq(vhost_backend_ref(be), be);
	ck_assert_ptr_null(vhost_backend_unref(be));
	ck_assert_ptr_null(vhost_backend_unref(be));
	ck_assert_ptr_null(vhost_backend_unref(NULL));
	ck_assert_ptr_null(vhost_backend_ref(NULL));
}
END_TEST

/* ----------------------------------------------------------------- real front-ends */

static void need(uint32_t request, const void *payload, uint32_t size)
{
	front_set(&front, request, payload, size);
}

static void tell(uint32_t request, const void *payload, uint32_t size, int fd)
{
	ck_assert_int_eq(front_do(&front, request, FRONT_PLAIN, payload, size, &fd, fd >= 0, NULL),
			 FRONT_SILENT);
}

static void tell_u64(uint32_t request, uint64_t value)
{
	tell(request, &value, 8, -1);
}

static void tell_state(uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_vring_state s = { index, num };

	tell(request, &s, sizeof(s), -1);
}

/* NUM BASE ADDR as they are sent by most: with nothing asked for. */
static void tell_ring(const struct front_ring *r)
{
	struct vu_vring_addr addr = front_ring_addr(r);

	tell_state(VU_SET_VRING_NUM, r->index, r->size);
	tell_state(VU_SET_VRING_BASE, r->index, r->avail_idx);
	tell(VU_SET_VRING_ADDR, &addr, sizeof(addr), -1);
}

struct config_msg {
	struct vu_config hdr;
	uint8_t data[256];
};

START_TEST(qemu_blk_sets_up_twice_through_firmware_and_kernel)
{
	struct config_msg c = { .hdr = { 0, 60, 0 } };
	uint64_t index = 0;
	int round;

	open_back_end();
	front_get(&front, VU_GET_FEATURES, NULL, 0);
	front_get(&front, VU_GET_PROTOCOL_FEATURES, NULL, 0);
	tell_u64(VU_SET_PROTOCOL_FEATURES, PF_DEFAULT);
	front.pf = PF_DEFAULT;
	ck_assert_uint_eq(front_get(&front, VU_GET_QUEUE_NUM, NULL, 0), DEVICE_QUEUES);
	front_get(&front, VU_GET_MAX_MEM_SLOTS, NULL, 0);
	front_open_channel(&front);
	tell(VU_SET_OWNER, NULL, 0, -1);
	front_get(&front, VU_GET_FEATURES, NULL, 0);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_ring_new(&ring, &mem, 0, 0, 16);
	front_set_fd(&front, VU_SET_VRING_CALL, &index, 8, ring.call);
	front_set_fd(&front, VU_SET_VRING_ERR, &index, 8, ring.err);
	ck_assert_int_eq(front_do(&front, VU_GET_CONFIG, FRONT_PLAIN, &c, 72, NULL, 0, NULL),
			 FRONT_REPLIED);
	for (round = 0; round < 2; round++) {
		tell_u64(VU_SET_FEATURES, FEATURES);
		front_set_fd(&front, VU_SET_VRING_CALL, &index, 8, ring.call);
		tell_u64(VU_SET_FEATURES, FEATURES);
		if (round == 0)
			front_mem_add(&front, &mem);
		tell_ring(&ring);
		front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
		front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
		front_roundtrip(&front, &ring);
		front_set_state(&front, VU_SET_VRING_ENABLE, 0, 0);
		ck_assert_uint_eq(front_get_base(&front, 0), 1);
		front_ring_close(&ring);	/* the driver makes a new ring */
		front_ring_new(&ring, &mem, 0, 0, 16);
	}
}
END_TEST

START_TEST(qemu_net_enables_before_it_sets_up_and_owns_once_a_pair)
{
	uint64_t index;
	unsigned int i, k;

	open_back_end();
	for (i = 0; i < 2; i++) {	/* a pair of queues each, on one socket */
		front_get(&front, VU_GET_FEATURES, NULL, 0);
		front_get(&front, VU_GET_PROTOCOL_FEATURES, NULL, 0);
		tell_u64(VU_SET_PROTOCOL_FEATURES, PF_QUIET & ~PF(CONFIGURE_MEM_SLOTS));
		tell(VU_SET_OWNER, NULL, 0, -1);
		front_get(&front, VU_GET_FEATURES, NULL, 0);
	}
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_ring_new(&ring, &mem, 0, 0, 16);
	front_ring_new(&ring1, &mem, 0x4000, 1, 16);
	for (k = 0; k < 2; k++) {
		struct front_ring *r = k ? &ring1 : &ring;

		index = k;
		front_set_fd(&front, VU_SET_VRING_CALL, &index, 8, r->call);
		front_set_fd(&front, VU_SET_VRING_ERR, &index, 8, r->err);
	}
	for (i = 0; i < 3; i++)
		for (k = 0; k < 2; k++)
			front_set_state(&front, VU_SET_VRING_ENABLE, k, 1);
	tell_u64(VU_SET_FEATURES, FEATURES | 1u << 5);
	front_mem_table(&front, (const struct front_mem *const[]){ &mem }, 1);
	for (k = 0; k < 2; k++) {
		struct front_ring *r = k ? &ring1 : &ring;

		tell_ring(r);
		index = k;
		front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, r->kick);
		front_set_fd(&front, VU_SET_VRING_CALL, &index, 8, r->call);
	}
	front_roundtrip(&front, &ring);
	front_roundtrip(&front, &ring1);
	ck_assert_uint_eq(front_get_base(&front, 0), 1);
	ck_assert_uint_eq(front_get_base(&front, 1), 1);
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 0);
	front_set_state(&front, VU_SET_VRING_ENABLE, 1, 0);
}
END_TEST

START_TEST(qemu_migrates_with_features_log_and_the_same_addresses_again)
{
	uint8_t *bits;
	int fd = make_log(4096, &bits), i;

	bring_up(FEATURES, PF_QUIET);
	for (i = 0; i < 2; i++) {		/* per pair of queues: the second replaces the first */
		start_log(fd, 4096, 0);
		front_roundtrip(&front, &ring);
	}
	ck_assert(logged(bits, mem.guest + 0x21000));
	ck_assert_ptr_null(strstr(device.calls, "stop"));
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 0);
	ck_assert_uint_eq(front_get_base(&front, 0), 2);
	munmap(bits, 4096);
	close(fd);
}
END_TEST

START_TEST(qemu_before_7_2_sets_no_protocol_bit_and_never_enables)
{
	open_back_end();
	front_get(&front, VU_GET_FEATURES, NULL, 0);
	front_get(&front, VU_GET_PROTOCOL_FEATURES, NULL, 0);
	tell_u64(VU_SET_PROTOCOL_FEATURES, PF_QUIET & ~PF(CONFIGURE_MEM_SLOTS));
	tell(VU_SET_OWNER, NULL, 0, -1);
	tell_u64(VU_SET_FEATURES, F_VERSION_1);	/* bit 30 is not there */
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_mem_table(&front, (const struct front_mem *const[]){ &mem }, 1);
	front_ring_new(&ring, &mem, 0, 0, 16);
	front_ring_start(&front, &ring, 0);
	front_roundtrip(&front, &ring);
}
END_TEST

START_TEST(qemu_attaches_a_descriptor_to_rem_mem_reg)
{
	struct vu_mem_reg reg;

	bring_up(FEATURES, PF_QUIET);
	front_mem_new(&more, 0x10000, 0x800000, 0x60000000);
	front_mem_add(&front, &more);
	reg = front_mem_reg(&more);
	front_set_fd(&front, VU_REM_MEM_REG, &reg, sizeof(reg), more.fd);
	front_roundtrip(&front, &ring);
}
END_TEST

START_TEST(qemu_fs_resets_twice_without_asking)
{
	bring_up(FEATURES, PF_QUIET);
	tell(VU_RESET_DEVICE, NULL, 0, -1);
	tell(VU_RESET_DEVICE, NULL, 0, -1);
	front_alive(&front);
	ck_assert(!vhost_vring_is_running(vr(0)));
}
END_TEST

START_TEST(qemu_iommu_sends_the_used_ring_s_translation_unasked)
{
	bring_up_iommu();
	iotlb(IOVA, 0x1000, mem.user, 3, VU_IOTLB_UPDATE);
	ck_assert(vhost_vring_is_running(vr(0)));
}
END_TEST

START_TEST(virtio_user_sets_the_status_around_everything)
{
	uint64_t pf = PF(MQ) | PF(REPLY_ACK) | PF(STATUS), index;
	unsigned int k;

	open_back_end();
	tell(VU_SET_OWNER, NULL, 0, -1);
	front_get(&front, VU_GET_FEATURES, NULL, 0);
	front_get(&front, VU_GET_PROTOCOL_FEATURES, NULL, 0);
	tell_u64(VU_SET_PROTOCOL_FEATURES, pf);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_ring_new(&ring, &mem, 0, 0, 16);
	front_ring_new(&ring1, &mem, 0x4000, 1, 16);
	for (k = 0; k < 2; k++) {
		index = k;
		tell(VU_SET_VRING_CALL, &index, 8, k ? ring1.call : ring.call);
	}
	tell_u64(VU_SET_FEATURES, PLAIN_FEATURES | F_IN_ORDER);
	front_set_u64(&front, VU_SET_STATUS, 0xb);
	ck_assert_uint_eq(front_get(&front, VU_GET_STATUS, NULL, 0), 0xb);
	ck_assert_uint_eq(front_get(&front, VU_GET_STATUS, NULL, 0), 0xb);
	front_mem_table(&front, (const struct front_mem *const[]){ &mem }, 1);
	for (k = 0; k < 2; k++) {
		tell_ring(k ? &ring1 : &ring);
		index = k;
		tell(VU_SET_VRING_KICK, &index, 8, k ? ring1.kick : ring.kick);
	}
	for (k = 0; k < 2; k++)
		tell_state(VU_SET_VRING_ENABLE, k, 1);
	front_set_u64(&front, VU_SET_STATUS, 0xf);
	front_roundtrip(&front, &ring);
	front_roundtrip(&front, &ring1);
	/* its way to stop */
	front_set_u64(&front, VU_SET_STATUS, 0);
	ck_assert(!vhost_vring_is_running(vr(0)));
}
END_TEST

START_TEST(libblkio_asks_for_an_acknowledgement_of_everything)
{
	struct config_msg c = { .hdr = { 0, 60, 0 } };
	struct vu_vring_addr addr;
	struct front_mem buffers;
	uint64_t pf = 0x8209, index = 0;
	int i;

	open_back_end();
	need(VU_SET_OWNER, NULL, 0);
	front_get(&front, VU_GET_FEATURES, NULL, 0);
	/* before the protocol features, and with bit 30 */
	tell_u64(VU_SET_FEATURES, FEATURES);
	front_get(&front, VU_GET_PROTOCOL_FEATURES, NULL, 0);
	need(VU_SET_PROTOCOL_FEATURES, &pf, 8);
	/* what has an answer of its own is answered once */
	ck_assert_int_eq(front_do(&front, VU_GET_QUEUE_NUM, FRONT_NEED_REPLY, NULL, 0, NULL, 0,
				  NULL), FRONT_REFUSED);
	ck_assert_int_eq(front_do(&front, VU_GET_MAX_MEM_SLOTS, FRONT_NEED_REPLY, NULL, 0, NULL, 0,
				  NULL), FRONT_REFUSED);
	for (i = 0; i < 3; i++)
		ck_assert_int_eq(front_do(&front, VU_GET_CONFIG, FRONT_NEED_REPLY, &c, 72, NULL, 0,
					  NULL), FRONT_REPLIED);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	front_ring_new(&ring, &mem, 0, 0, 16);
	addr = front_ring_addr(&ring);
	front_set_state(&front, VU_SET_VRING_NUM, 0, 16);
	front_set_state(&front, VU_SET_VRING_BASE, 0, 0);
	front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
	front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
	front_set_fd(&front, VU_SET_VRING_CALL, &index, 8, ring.call);
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	for (i = 0; i < 8; i++) {		/* I/O buffers come while it runs */
		front_mem_new(&buffers, 0x10000, 0x1000000u * (uint64_t)(i + 1),
			      0x7e0000000000u + 0x1000000u * (uint64_t)i);
		front_mem_add(&front, &buffers);
		front_mem_close(&buffers);
		front_roundtrip(&front, &ring);
	}
}
END_TEST

START_TEST(libblkio_removes_regions_with_a_descriptor_and_reads_no_base)
{
	struct vu_mem_reg reg;

	bring_up(FEATURES, 0x8209);
	front_mem_new(&more, 0x10000, 0x800000, 0x60000000);
	front_mem_add(&front, &more);
	reg = front_mem_reg(&more);
	front_set_fd(&front, VU_REM_MEM_REG, &reg, sizeof(reg), more.fd);
	front_hang_up(&front);
	ck_assert_int_eq(device.gone, -ECONNRESET);
}
END_TEST

START_TEST(cloud_hypervisor_restores_without_asking_what_is_offered)
{
	open_back_end();
	tell(VU_SET_OWNER, NULL, 0, -1);
	tell_u64(VU_SET_PROTOCOL_FEATURES, PF_QUIET);
	front_set_u64(&front, VU_SET_FEATURES, FEATURES);
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	front_ring_new(&ring, &mem, 0, 0, 16);
	/* a snapshot's position: free-running, beyond the ring's size */
	((struct split_avail *)(void *)(mem.addr + ring.avail))->idx = htole16(0xfffe);
	((struct split_used *)(void *)(mem.addr + ring.used))->idx = htole16(0xfffe);
	ring.avail_idx = ring.used_idx = 0xfffe;
	front_ring_start(&front, &ring, 0xfffe);
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	front_roundtrip(&front, &ring);
	front_roundtrip(&front, &ring);
	front_roundtrip(&front, &ring);
	ck_assert_uint_eq(front_get_base(&front, 0), 1);
}
END_TEST

START_TEST(crosvm_uses_queues_beyond_the_first_without_mq_and_large_rings)
{
	open_back_end();
	front_set_u64(&front, VU_SET_PROTOCOL_FEATURES, PF_QUIET & ~PF(MQ));
	/* before the driver has finished, and again */
	tell_u64(VU_SET_FEATURES, PLAIN_FEATURES);
	tell_u64(VU_SET_FEATURES, FEATURES);
	front_mem_new(&mem, 0x200000, 0x100000, 0x7f0000000000);
	front_mem_add(&front, &mem);
	front_ring_new(&ring, &mem, 0x40000, 3, 32768);
	front_ring_start(&front, &ring, 0);
	front_set_state(&front, VU_SET_VRING_ENABLE, 3, 1);
	front_roundtrip(&front, &ring);
}
END_TEST

START_TEST(dpdk_sends_a_call_descriptor_before_anything_and_no_base)
{
	struct vu_vring_addr addr;
	uint64_t index = 0;

	open_back_end();
	front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
	front_ring_new(&ring, &mem, 0, 0, 16);
	tell(VU_SET_OWNER, NULL, 0, -1);
	tell(VU_SET_VRING_CALL, &index, 8, ring.call);
	tell_u64(VU_SET_FEATURES, F_VERSION_1);
	front_mem_table(&front, (const struct front_mem *const[]){ &mem }, 1);
	addr = front_ring_addr(&ring);
	tell_state(VU_SET_VRING_NUM, 0, 16);
	tell(VU_SET_VRING_ADDR, &addr, sizeof(addr), -1);
	tell(VU_SET_VRING_KICK, &index, 8, ring.kick);
	front_roundtrip(&front, &ring);
	ck_assert(front_fd_signalled(ring.call));
}
END_TEST

START_TEST(snabb_resumes_with_new_descriptors_alone)
{
	uint64_t index = 0;

	bring_up(FEATURES, PF_QUIET);
	front_roundtrip(&front, &ring);
	ck_assert_uint_eq(front_get_base(&front, 0), 1);
	/* neither NUM nor ADDR again: they have not changed */
	front_set_state(&front, VU_SET_VRING_BASE, 0, 1);
	front_set_fd(&front, VU_SET_VRING_CALL, &index, 8, ring.call);
	front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
	front_roundtrip(&front, &ring);
}
END_TEST

/* ----------------------------------------------------------------------- threads */

static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	int wake;			/* eventfd of the thread */
	int fd;				/* what it polls, -1 while stopped */
	bool stop;
	unsigned long served;
} worker;

static void *serve_ring(void *opaque)
{
	vhost_vring_t *v = opaque;

	for (;;) {
		struct pollfd p[2] = { { .fd = worker.wake, .events = POLLIN } };
		struct vhost_req reqs[8];
		uint64_t n;
		int k, i;

		pthread_mutex_lock(&worker.lock);
		if (worker.stop) {
			pthread_mutex_unlock(&worker.lock);
			return NULL;
		}
		p[1] = (struct pollfd){ .fd = worker.fd, .events = POLLIN };
		pthread_mutex_unlock(&worker.lock);
		poll(p, 2, 20);
		pthread_mutex_lock(&worker.lock);
		if (worker.fd >= 0)
			(void)!read(worker.fd, &n, sizeof(n));
		pthread_mutex_unlock(&worker.lock);
		while ((k = vhost_vring_pop(v, reqs, 8)) > 0) {
			for (i = 0; i < k; i++) {
				uint8_t buf[64];
				size_t len = vhost_req_read(&reqs[i], 0, buf, sizeof(buf));

				reqs[i].written = (uint32_t)vhost_req_write(&reqs[i], 0, buf, len);
			}
			vhost_vring_push(v, reqs, (unsigned int)k);
			vhost_vring_notify(v);
			__atomic_fetch_add(&worker.served, (unsigned long)k, __ATOMIC_RELAXED);
		}
	}
}

static void thread_start(vhost_vring_t *v, void *opaque)
{
	(void)opaque;
	pthread_mutex_lock(&worker.lock);
	worker.fd = vhost_vring_get_fd(v);
	pthread_mutex_unlock(&worker.lock);
	eventfd_write(worker.wake, 1);
}

static void thread_stop(vhost_vring_t *v, void *opaque)
{
	(void)v;
	(void)opaque;
	pthread_mutex_lock(&worker.lock);
	worker.fd = -1;
	pthread_mutex_unlock(&worker.lock);
}

static void begin_worker(void)
{
	worker.fd = -1;
	worker.stop = false;
	worker.served = 0;
	worker.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&worker.lock, NULL);
	device.ops.flags |= VHOST_BACKEND_THREADS;
	device.ops.queue_start = thread_start;
	device.ops.queue_stop = thread_stop;
	device.ops.queue_ready = NULL;
	new_back_end();
	front_attach(&front);
	ck_assert_int_eq(pthread_create(&worker.thread, NULL, serve_ring, vr(0)), 0);
}

static void end_worker(void)
{
	pthread_mutex_lock(&worker.lock);
	worker.stop = true;
	pthread_mutex_unlock(&worker.lock);
	eventfd_write(worker.wake, 1);
	pthread_join(worker.thread, NULL);
	close(worker.wake);
	pthread_mutex_destroy(&worker.lock);
}

/* Keep the ring busy. */
static void traffic(void)
{
	while (front_ring_used(&ring, NULL, NULL))
		;
	while ((uint16_t)(ring.avail_idx - ring.used_idx) < 4)
		front_ring_request(&ring, 0x20000, 16, 0x21000, 16);
	front_ring_kick(&ring);
}

/* The base, of a ring whose thread may have to finish something first. */
static void wait_for_base(void)
{
	struct vu_vring_state s = { 0, 0 };
	struct front_msg msg;
	int i, r = 0;

	front_put(front.fd, VU_GET_VRING_BASE, FRONT_PLAIN, &s, sizeof(s), NULL, 0);
	for (i = 0; i < 10000 && !r; i++) {
		front_pump(&front);
		r = front_take(front.fd, &msg);
		if (!r)
			usleep(1000);
	}
	ck_assert_int_eq(r, 1);
	ck_assert_uint_eq(msg.hdr.request, VU_GET_VRING_BASE);
}

/* _i: what changes under the traffic */
START_TEST(a_ring_s_thread_works_on_while_the_session_changes_things)
{
	uint8_t *bits;
	int log_fd = make_log(4096, &bits), i, rounds = 150;
	unsigned long wait;

	begin_worker();
	if (_i == 3) {
		struct vu_vring_addr addr;
		uint64_t index = 0;

		front_negotiate(&front, FEATURES | F_ACCESS_PLATFORM, PF_QUIET);
		front_mem_new(&mem, 0x40000, 0x100000, 0x7f0000000000);
		front_mem_add(&front, &mem);
		front_ring_new(&ring, &mem, 0, 0, 16);
		addr = (struct vu_vring_addr){ .desc = mem.guest + ring.desc,
					       .avail = mem.guest + ring.avail,
					       .used = mem.guest + ring.used };
		front_set_state(&front, VU_SET_VRING_NUM, 0, 16);
		front_set(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr));
		front_set_fd(&front, VU_SET_VRING_CALL, &index, 8, ring.call);
		front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
		front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
		iotlb(mem.guest, mem.size, mem.user, 3, VU_IOTLB_UPDATE);
	} else {
		front_bring_up(&front, &mem, &ring, FEATURES, PF_QUIET);
	}
	front_mem_new(&more, 0x10000, 0x800000, 0x60000000);
	for (i = 0; i < rounds; i++) {
		uint64_t index = 0;

		traffic();
		switch (_i) {
		case 0:			/* maps are swapped */
			front_mem_add(&front, &more);
			traffic();
			front_mem_remove(&front, &more);
			break;
		case 1:			/* logging goes on and off */
			if (i % 2)
				front_set_u64(&front, VU_SET_FEATURES, front.features);
			else
				start_log(log_fd, 4096, 0);
			break;
		case 2:			/* stop and resume */
			wait_for_base();
			front_set_fd(&front, VU_SET_VRING_KICK, &index, 8, ring.kick);
			break;
		case 3:			/* translations come and go */
			iotlb(mem.guest + 0x20000, 0x2000, 0, 0, VU_IOTLB_INVALIDATE);
			traffic();
			iotlb(mem.guest + 0x20000, 0x2000, mem.user + 0x20000, 3, VU_IOTLB_UPDATE);
			break;
		case 4:			/* enabled and disabled */
			front_set_state(&front, VU_SET_VRING_ENABLE, 0, (uint32_t)i % 2);
			break;
		default:		/* the call descriptor changes */
			front_set_fd(&front, VU_SET_VRING_CALL, &index, 8, ring.call);
			break;
		}
	}
	front_set_state(&front, VU_SET_VRING_ENABLE, 0, 1);
	/* nothing was lost: all that was made available comes back */
	for (wait = 0; wait < 5000 && ring.used_idx != ring.avail_idx; wait++) {
		while (front_ring_used(&ring, NULL, NULL))
			;
		front_pump(&front);
		usleep(1000);
	}
	ck_assert_msg(ring.used_idx == ring.avail_idx, "%u of %u came back: %s", ring.used_idx,
		      ring.avail_idx, vhost_vring_error(vr(0)));
	ck_assert_uint_gt(ring.avail_idx, 0);
	front_hang_up(&front);
	end_worker();
	munmap(bits, 4096);
	close(log_fd);
}
END_TEST

START_TEST(a_connection_that_ends_under_a_ring_s_thread_leaves_it_in_peace)
{
	int i;

	begin_worker();
	for (i = 0; i < 20; i++) {
		front_bring_up(&front, &mem, &ring, FEATURES, PF_QUIET);
		traffic();
		if (i % 2)
			front_hang_up(&front);
		else
			vhost_backend_disconnect(front.be);
		front_ring_close(&ring);
		front_mem_close(&mem);
		front_attach(&front);
	}
	front_hang_up(&front);
	end_worker();
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
	Suite *s = suite_create("backend-peers");
	TCase *tc;
	SRunner *sr;
	int failed;

	tc = tcase_create("roles");
	tcase_add_checked_fixture(tc, setup_roles, teardown_roles);
	suite_add_tcase(s, tc);
	tcase_add_test(tc, a_server_serves_one_front_end_after_another_and_removes_its_socket);
	tcase_add_test(tc, a_socket_that_nobody_listens_on_is_replaced_and_no_other_file);
	tcase_add_test(tc, names_are_checked);
	tcase_add_test(tc, a_client_connects_and_again_after_the_end);
	tcase_add_test(tc, a_descriptor_that_listens_already_is_served);
	tcase_add_test(tc, a_front_end_may_come_back_while_the_old_connection_is_torn_down);
	tcase_add_test(tc, a_back_end_is_made_with_numbers_in_range_only);

	tc = new_case(s, "real front-ends");
	tcase_add_test(tc, qemu_blk_sets_up_twice_through_firmware_and_kernel);
	tcase_add_test(tc, qemu_net_enables_before_it_sets_up_and_owns_once_a_pair);
	tcase_add_test(tc, qemu_migrates_with_features_log_and_the_same_addresses_again);
	tcase_add_test(tc, qemu_before_7_2_sets_no_protocol_bit_and_never_enables);
	tcase_add_test(tc, qemu_attaches_a_descriptor_to_rem_mem_reg);
	tcase_add_test(tc, qemu_fs_resets_twice_without_asking);
	tcase_add_test(tc, qemu_iommu_sends_the_used_ring_s_translation_unasked);
	tcase_add_test(tc, virtio_user_sets_the_status_around_everything);
	tcase_add_test(tc, libblkio_asks_for_an_acknowledgement_of_everything);
	tcase_add_test(tc, libblkio_removes_regions_with_a_descriptor_and_reads_no_base);
	tcase_add_test(tc, cloud_hypervisor_restores_without_asking_what_is_offered);
	tcase_add_test(tc, crosvm_uses_queues_beyond_the_first_without_mq_and_large_rings);
	tcase_add_test(tc, dpdk_sends_a_call_descriptor_before_anything_and_no_base);
	tcase_add_test(tc, snabb_resumes_with_new_descriptors_alone);

	tc = new_case(s, "threads");
	tcase_add_loop_test(tc, a_ring_s_thread_works_on_while_the_session_changes_things, 0, 6);
	tcase_add_test(tc, a_connection_that_ends_under_a_ring_s_thread_leaves_it_in_peace);

	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
