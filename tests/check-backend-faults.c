/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The back-end's side with every allocation, mapping, duplicate and socket call of the
 * library failing in turn. After each: nothing left behind, and the same again on a new
 * connection works.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "faults.h"
#include "frontend.h"
#include "leak.h"

#define FEATURES (F_VERSION_1 | F_INDIRECT | F_LOG_ALL | F_PROTOCOL)
#define PROTOCOL \
	(VHOST_USER_PROTOCOL_DEFAULT & ~(PF(PAGEFAULT) | PF(CROSS_ENDIAN)))
#define TURNS 200

/* ---------------------------------------------------------------- what is done */

static struct device device;
static struct front front;
static struct front_mem mem, more;
static struct front_ring ring;
static struct leak before;
static int turn;		/* which call is to fail */
static int file;		/* a log, or a record */

static bool complained;

static void listen_to_it(int level, const char *text, void *opaque)
{
	(void)opaque;
	complained |= level <= VHOST_LOG_WARNING && *text;
}

/* Have the back-end look at its socket, with a failure. */
static void process(void)
{
	int i;

	failed = NULL;
	countdown = turn;
	for (i = 0; i < 8; i++)
		vhost_backend_process(front.be);
	countdown = -1;
}

static void say(uint32_t request, const void *payload, uint32_t size, int fd)
{
	front_put(front.fd, request, FRONT_NEED_REPLY, payload, size, &fd, fd >= 0);
	process();
}

static void add_memory(void)
{
	struct vu_mem_reg reg;

	front_mem_new(&more, 0x10000, 0x900000, 0x50000000);
	reg = front_mem_reg(&more);
	say(VU_ADD_MEM_REG, &reg, sizeof(reg), more.fd);
}

static void remove_memory(void)
{
	struct vu_mem_reg reg;

	front_mem_new(&more, 0x10000, 0x900000, 0x50000000);
	front_mem_add(&front, &more);
	reg = front_mem_reg(&more);
	say(VU_REM_MEM_REG, &reg, sizeof(reg), -1);
}

static void set_table(void)
{
	struct {
		struct vu_mem_table head;
		struct vu_region region;
	} table = { .head = { .n_regions = 1 } };

	front_mem_new(&more, 0x10000, 0x900000, 0x50000000);
	table.region = front_mem_reg(&more).region;
	say(VU_SET_MEM_TABLE, &table, sizeof(table), more.fd);
}

static void set_log(void)
{
	const struct vu_log log = { .size = 0x1000 };

	file = (int)memfd_create("log", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(file, 0x1000), 0);
	say(VU_SET_LOG_BASE, &log, sizeof(log), file);
}

static const struct vu_inflight record = { .num_queues = 1, .queue_size = 16 };

static void get_record(void)
{
	say(VU_GET_INFLIGHT_FD, &record, sizeof(record), -1);
}

static void set_record(void)
{
	struct front_msg msg;
	struct vu_inflight given;

	front_get_base(&front, 0);
	ck_assert_int_eq(front_do(&front, VU_GET_INFLIGHT_FD, FRONT_PLAIN, &record, sizeof(record),
				  NULL, 0, &msg), FRONT_REPLIED);
	ck_assert_uint_eq(msg.n_fds, 1);
	memcpy(&given, msg.payload, sizeof(given));
	file = msg.fds[0];
	say(VU_SET_INFLIGHT_FD, &given, sizeof(given), file);
}

static void start_ring(void)
{
	uint64_t index = 0;

	front_get_base(&front, 0);
	say(VU_SET_VRING_KICK, &index, sizeof(index), ring.kick);
}

static void stop_and_restart(void)
{
	const uint64_t none = 0;

	front_get_base(&front, 0);
	front_set_fd(&front, VU_SET_VRING_CALL, &none, sizeof(none), ring.call);
	say(VU_SET_VRING_KICK, &none, sizeof(none), ring.kick);
}

/* So many buffers that their list is no part of the ring's own. */
static void long_request(void)
{
	struct front_buf bufs[12];
	unsigned int i;

	for (i = 0; i < 12; i++)
		bufs[i] = (struct front_buf){ mem.guest + 0x20000 + i * 0x100, 16,
					      i < 6 ? 0 : 2 };
	front_ring_add(&ring, bufs, 12);
	front_ring_kick(&ring);
	process();
	/* it was left in the ring, not lost, and comes when the ring is looked at again */
	front_ring_kick(&ring);
	front_pump(&front);
	if (!vhost_backend_is_connected(front.be))
		return;
	ck_assert_msg(front_ring_used(&ring, NULL, NULL), "call %d, of %s: %s / %s", turn,
		      failed ? failed : "nothing", vhost_backend_error(front.be),
		      vhost_vring_error(vhost_backend_get_vring(front.be, 0)));
}

static void give_channel(void)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	say(VU_SET_BACKEND_REQ_FD, NULL, 0, fds[1]);
	close(fds[0]);
	close(fds[1]);
}

static void read_config(void)
{
	const struct {
		struct vu_config head;
		uint8_t data[8];
	} config = { .head = { .size = 8 } };

	say(VU_GET_CONFIG, &config, sizeof(config), -1);
}

static void make_crypto_session(void)
{
	const uint8_t desc[64] = { 0 };

	say(VU_CREATE_CRYPTO_SESSION, desc, sizeof(desc), -1);
}

static void export_object(void)
{
	static const uint8_t uuid[16] = { 1 };
	int r;

	failed = NULL;
	countdown = turn;
	r = vhost_backend_add_shared_object(front.be, uuid, NULL, NULL);
	countdown = -1;
	ck_assert_msg(r == 0 || *vhost_backend_error(front.be), "%d, without a sentence", r);
}

static const struct {
	const char *name;
	void (*act)(void);
} steps[] = {
	{ "ADD_MEM_REG", add_memory },
	{ "REM_MEM_REG", remove_memory },
	{ "SET_MEM_TABLE", set_table },
	{ "SET_LOG_BASE", set_log },
	{ "GET_INFLIGHT_FD", get_record },
	{ "SET_INFLIGHT_FD", set_record },
	{ "SET_VRING_KICK", start_ring },
	{ "SET_VRING_KICK after CALL", stop_and_restart },
	{ "a request of 12 buffers", long_request },
	{ "SET_BACKEND_REQ_FD", give_channel },
	{ "GET_CONFIG", read_config },
	{ "CREATE_CRYPTO_SESSION", make_crypto_session },
	{ "BACKEND_SHARED_OBJECT_ADD", export_object },
};

/* ----------------------------------------------------------------------- tests */

static void setup(void)
{
	before = leak_begin();
	device_init(&device);
	more.fd = ring.kick = mem.fd = -1;
	file = -1;
}

static void bring_up(void)
{
	front_bring_up(&front, &mem, &ring, FEATURES, PROTOCOL);
}

static void drop_guest(void)
{
	front_ring_close(&ring);
	front_mem_close(&mem);
	if (more.fd >= 0)
		front_mem_close(&more);
	more.fd = -1;
	if (file >= 0)
		close(file);
	file = -1;
}

/* _i: the step. What fails is refused or ends the connection; the next one is as new. */
START_TEST(a_message_that_meets_a_failure_leaves_nothing_behind)
{
	unsigned int failures = 0;

	for (turn = 0; turn < TURNS; turn++) {
		struct leak at;

		setup();
		at = leak_begin();
		front_new(&front, &device);
		bring_up();
		complained = false;
		vhost_backend_set_log(front.be, listen_to_it, NULL);
		steps[_i].act();
		/*
		 * Pop says it to the device, and what is exported waits to be sent; what cannot
		 * be unwatched is closed all the same.
		 */
		if (vhost_backend_is_connected(front.be) && failed &&
		    steps[_i].act != long_request && steps[_i].act != export_object &&
		    strcmp(failed, "epoll_ctl") != 0)
			ck_assert_msg(complained, "call %d, of %s: no sentence", turn, failed);
		vhost_backend_disconnect(front.be);
		drop_guest();
		front_attach(&front);
		bring_up();
		front_roundtrip(&front, &ring);
		front_close(&front);
		drop_guest();
		device_close(&device);
		ck_assert_msg(leak_check(&at) == 0, "%s: call %d, of %s, left something behind",
			      steps[_i].name, turn, failed ? failed : "nothing");
		if (!failed)
			break;
		failures++;
	}
	ck_assert_msg(failures > 0 && turn < TURNS, "%s: %u failures", steps[_i].name, failures);
}
END_TEST

START_TEST(a_back_end_that_cannot_be_made_is_not)
{
	vhost_backend_t *be = NULL;
	int r = -1;

	setup();
	for (turn = 0; turn < TURNS && r < 0; turn++) {
		failed = NULL;
		countdown = turn;
		r = vhost_backend_new(&device.ops, sizeof(device.ops), &device, &be);
		countdown = -1;
		if (r < 0) {
			ck_assert_ptr_null(be);
			ck_assert_ptr_nonnull(failed);
			ck_assert_str_ne(vhost_last_error(), "");
		}
	}
	ck_assert_int_eq(r, 0);
	ck_assert_int_gt(turn, 4);
	vhost_backend_unref(be);
	device_close(&device);
	ck_assert_int_eq(leak_check(&before), 0);
}
END_TEST

/* _i: listen and accept, attach, connect */
START_TEST(a_socket_that_cannot_be_had_can_be_had_later)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	unsigned int failures = 0;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "/tmp/libvhost-faults.%d", (int)getpid());
	for (turn = 0; turn < TURNS; turn++) {
		vhost_backend_t *be;
		int r, fds[2] = { -1, -1 };
		const char *first;

		setup();
		ck_assert_int_eq(vhost_backend_new(&device.ops, sizeof(device.ops), &device, &be), 0);
		if (_i == 1)
			ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		if (_i == 2) {
			fds[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
			ck_assert_int_eq(bind(fds[0], (void *)&addr, sizeof(addr)), 0);
			ck_assert_int_eq(listen(fds[0], 1), 0);
		}
		failed = NULL;
		countdown = turn;
		r = _i == 0 ? vhost_backend_listen(be, addr.sun_path) :
		    _i == 1 ? vhost_backend_attach_fd(be, fds[1]) :
			      vhost_backend_connect(be, addr.sun_path);
		first = failed;
		if (!r && _i == 0) {
			/* the accept has its turn, too */
			int saved = countdown;

			countdown = -1;
			fds[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
			ck_assert_int_eq(connect(fds[0], (void *)&addr, sizeof(addr)), 0);
			countdown = saved;
			vhost_backend_process(be);
			first = failed;
		}
		countdown = -1;
		if (r < 0) {
			ck_assert_str_ne(vhost_backend_error(be), "");
			r = _i == 0 ? vhost_backend_listen(be, addr.sun_path) :
			    _i == 1 ? vhost_backend_attach_fd(be, fds[1]) :
				      vhost_backend_connect(be, addr.sun_path);
			ck_assert_msg(r == 0, "after %s: %s", first, vhost_backend_error(be));
		}
		vhost_backend_process(be);
		if (_i)
			ck_assert(vhost_backend_is_connected(be) || first);
		vhost_backend_unref(be);
		if (fds[0] >= 0)
			close(fds[0]);
		if (fds[1] >= 0)
			close(fds[1]);
		unlink(addr.sun_path);
		device_close(&device);
		ck_assert_msg(leak_check(&before) == 0, "call %d, of %s, left something behind",
			      turn, first ? first : "nothing");
		if (!first)
			break;
		failures++;
	}
	ck_assert_msg(failures > 0 && turn < TURNS, "%u failures", failures);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("backend-faults");
	TCase *tc = tcase_create("faults");
	SRunner *sr;
	int bad;

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, a_back_end_that_cannot_be_made_is_not);
	tcase_add_loop_test(tc, a_socket_that_cannot_be_had_can_be_had_later, 0, 3);
	tcase_add_loop_test(tc, a_message_that_meets_a_failure_leaves_nothing_behind, 0,
			    sizeof(steps) / sizeof(steps[0]));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	bad = srunner_ntests_failed(sr);
	srunner_free(sr);
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
