/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * Every allocation, mapping and socket call of the library failing in turn. After each: an
 * errno and a sentence, nothing left behind, and the same again without a failure works.
 *
 * The back-end is a child process that says yes to everything.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vhost/vhost.h>

#include "faults.h"
#include "leak.h"
#include "proto/vu-wire.h"

#define F_VERSION_1 (1ULL << 32)

/* ----------------------------------------------------------------- the back-end */

static char dir[64], path[96];
static pid_t child;
static struct leak before;
static uint64_t pf;

static bool read_all(int fd, void *buf, size_t size, bool close_fds)
{
	size_t have = 0;

	while (have < size) {
		union {
			struct cmsghdr align;
			char buf[CMSG_SPACE(8 * sizeof(int))];
		} control;
		struct iovec iov = { (uint8_t *)buf + have, size - have };
		struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
				     .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC);
		struct cmsghdr *c;

		if (n <= 0)
			return false;
		for (c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c)) {
			int got[8];
			size_t k, n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

			memcpy(got, CMSG_DATA(c), n_fds * sizeof(int));
			for (k = 0; k < n_fds; k++)
				if (close_fds)
					close(got[k]);
		}
		have += (size_t)n;
	}
	return true;
}

static void reply(int fd, uint32_t request, const void *payload, uint32_t size)
{
	uint8_t bytes[64];
	struct vu_header hdr = { request, VU_VERSION | VU_REPLY, size };

	memcpy(bytes, &hdr, sizeof(hdr));
	memcpy(bytes + sizeof(hdr), payload, size);
	send(fd, bytes, sizeof(hdr) + size, MSG_NOSIGNAL);
}

static void serve(int fd)
{
	uint8_t payload[VU_MAX_PAYLOAD];
	struct vu_header hdr;

	while (read_all(fd, &hdr, sizeof(hdr), true) && hdr.size <= sizeof(payload) &&
	       read_all(fd, payload, hdr.size, true)) {
		uint64_t value = 0;

		switch (hdr.request) {
		case VU_GET_FEATURES:
			value = F_VERSION_1 | VU_F_PROTOCOL_FEATURES | VU_F_LOG_ALL;
			break;
		case VU_GET_PROTOCOL_FEATURES:
			value = pf;
			break;
		case VU_GET_QUEUE_NUM:
			value = 4;
			break;
		case VU_GET_MAX_MEM_SLOTS:
			value = 32;
			break;
		case VU_GET_VRING_BASE:
			memcpy(&value, payload, 4);
			break;
		case VU_SET_LOG_BASE:
			break;
		default:
			if (!(hdr.flags & VU_NEED_REPLY))
				continue;
			break;
		}
		reply(fd, hdr.request, &value, sizeof(value));
	}
}

static void setup(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int s;

	strcpy(dir, "/tmp/libvhost-faults-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "unix:%s/s", dir);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/s", dir);
	s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(s, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(s, 8), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (!child) {
		alarm(120);
		for (;;) {
			int fd = accept(s, NULL, NULL);

			if (fd < 0)
				_exit(0);
			serve(fd);
			close(fd);
		}
	}
	close(s);
	before = leak_begin();
}

static void teardown(void)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	ck_assert_int_eq(leak_check(&before), 0);
	unlink(path + strlen("unix:"));
	rmdir(dir);
}

/* ------------------------------------------------------------------ what is tried */

struct run {
	vhost_dev_t *dev;
	vhost_mem_t *mem;
	vhost_virtq_t *vq[2];
};

static void drop(struct run *r)
{
	vhost_dev_unref(r->dev);
	vhost_virtq_unref(r->vq[0]);
	vhost_virtq_unref(r->vq[1]);
	vhost_mem_unref(r->mem);
	memset(r, 0, sizeof(*r));
}

static int open_dev(struct run *r)
{
	struct vhost_dev_opts o = { .timeout_ms = 2000 };
	int ret = vhost_dev_open(path, &o, sizeof(o), &r->dev);

	return ret;
}

static int bring_up(struct run *r, bool txn, bool poll_fd)
{
	struct vhost_virtq_opts o = { .size = 8, .features = F_VERSION_1 };
	unsigned int i;
	int ret = open_dev(r);

	if (!ret && poll_fd) {
		ret = vhost_dev_get_fd(r->dev);
		ret = ret < 0 ? ret : 0;
	}
	if (!ret)
		ret = vhost_mem_new(65536, 0, 0x10000, &r->mem);
	for (i = 0; i < 2 && !ret; i++)
		ret = vhost_virtq_new(r->mem, &o, sizeof(o), &r->vq[i]);
	if (!ret && txn)
		ret = vhost_dev_begin(r->dev);
	if (!ret)
		ret = vhost_dev_set_features(r->dev, F_VERSION_1);
	if (!ret)
		ret = vhost_dev_mem_add_mem(r->dev, r->mem);
	for (i = 0; i < 2 && !ret; i++)
		ret = vhost_dev_vq_attach(r->dev, i, r->vq[i]);
	if (!ret)
		ret = vhost_dev_start(r->dev);
	if (!ret && txn)
		ret = vhost_dev_commit(r->dev);
	return ret;
}

/* The steps that one run has after the device is open; each may fail. */
static int step_open(struct run *r)
{
	return open_dev(r);
}

static int step_plain(struct run *r)
{
	return bring_up(r, false, false);
}

static int step_txn(struct run *r)
{
	return bring_up(r, true, false);
}

static int step_polled(struct run *r)
{
	return bring_up(r, true, true);
}

static int step_migrate(struct run *r)
{
	int ret = bring_up(r, false, false);

	if (!ret)
		ret = vhost_dev_log_start(r->dev);
	if (!ret)
		ret = vhost_dev_log_stop(r->dev);
	if (!ret)
		ret = vhost_dev_suspend(r->dev);
	if (!ret)
		ret = vhost_dev_resume(r->dev);
	if (!ret)
		ret = vhost_dev_stop(r->dev);
	if (!ret)
		ret = vhost_dev_reset(r->dev);
	return ret;
}

static int step_reconnect(struct run *r)
{
	int ret = bring_up(r, false, true);

	if (!ret)
		ret = vhost_dev_log_start(r->dev);
	if (!ret)
		ret = vhost_dev_reconnect(r->dev, 0);
	return ret;
}

static const struct {
	const char *name;
	int (*run)(struct run *r);
} steps[] = {
	{ "open", step_open },
	{ "bring-up", step_plain },
	{ "bring-up in a transaction", step_txn },
	{ "bring-up with a descriptor to poll", step_polled },
	{ "logging, suspending, resetting", step_migrate },
	{ "reconnection", step_reconnect },
};

START_TEST(a_failure_of_any_call_is_told_and_leaves_nothing_behind)
{
	unsigned int step = (unsigned int)_i, n;
	struct run run = { 0 };
	struct leak one;
	int r;

	/* once without, so that what the C library keeps for itself is there */
	r = steps[step].run(&run);
	ck_assert_msg(r == 0, "%s: %s", steps[step].name, vhost_last_error());
	drop(&run);
	for (n = 0; n < 2000; n++) {
		one = leak_begin();
		failed = NULL;
		countdown = (int)n;
		r = steps[step].run(&run);
		countdown = -1;
		if (!failed) {
			drop(&run);
			break;
		}
		/* some can be done without: a larger buffer, the channel's, ... */
		ck_assert_msg(r <= 0 && r > -4096, "%s: call %u, %s: %d", steps[step].name, n,
			      failed, r);
		if (r < 0) {
			ck_assert_msg(vhost_last_error()[0] ||
				      (run.dev && vhost_dev_error(run.dev)[0]),
				      "%s: call %u, %s: %d without a sentence", steps[step].name, n,
				      failed, r);
			/* a device that is there goes on, or can be connected again */
			if (run.dev) {
				uint64_t features;

				vhost_dev_cancel(run.dev);
				if (vhost_dev_get_state(run.dev) == VHOST_DEV_CLOSED)
					r = vhost_dev_reconnect(run.dev, 256);
				else
					r = 0;
				if (!r)
					r = vhost_dev_get_features(run.dev, &features);
				ck_assert_msg(r == 0, "%s: call %u, %s: and then %d: %s",
					      steps[step].name, n, failed, r,
					      vhost_dev_error(run.dev));
			}
		}
		drop(&run);
		ck_assert_msg(leak_check(&one) == 0, "%s: call %u, %s", steps[step].name, n,
			      failed);
	}
	ck_assert_uint_lt(n, 2000);
	ck_assert_uint_gt(n, 5);
}
END_TEST

static void setup_acks(void)
{
	pf = VHOST_USER_PROTOCOL_DEFAULT & ~VHOST_USER_PF_BIT(VHOST_USER_PF_STATUS);
	setup();
}

/* No acknowledgements, no memory slots: barriers, and the whole table each time. */
static void setup_bare(void)
{
	pf = VHOST_USER_PF_BIT(VHOST_USER_PF_MQ) | VHOST_USER_PF_BIT(VHOST_USER_PF_LOG_SHMFD);
	setup();
}

static void add_case(Suite *s, const char *name, SFun begin)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, begin, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, a_failure_of_any_call_is_told_and_leaves_nothing_behind, 0,
			    (int)(sizeof(steps) / sizeof(steps[0])));
	suite_add_tcase(s, tc);
}

int main(void)
{
	Suite *s = suite_create("faults");
	SRunner *runner;
	int n_failed;

	add_case(s, "with acknowledgements", setup_acks);
	add_case(s, "without", setup_bare);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
