/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The back-end's side of the control path; the front-end is played here as well.
 *
 *	bench-backend			our half of a GET_FEATURES round trip
 *	bench-backend bring-up		one, for bench/backend-calls.sh to count system calls
 *	bench-backend idle		beside 1,000 connections on which nothing happens
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vhost/backend.h>
#include <vhost/vhost.h>

#include "half.h"
#include "proto/vu-wire.h"

struct answer {
	struct vu_header head;
	uint64_t value;
} __attribute__((packed));

static __attribute__((noreturn)) void die(const char *what)
{
	fprintf(stderr, "bench-backend: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* -------------------------------------------------------------------- a device */

static unsigned int n_started;

static void queue_start(vhost_vring_t *vr, void *opaque)
{
	(void)vr;
	(void)opaque;
	n_started++;
}

static const struct vhost_backend_ops ops = {
	.device_id = VHOST_DEVICE_BLOCK, .max_queues = 2, .max_queue_size = 256,
	.queue_start = queue_start,
};

static vhost_backend_t *serve(int fd)
{
	vhost_backend_t *be;
	int r = vhost_backend_new(&ops, sizeof(ops), NULL, &be);

	if (r < 0) {
		fprintf(stderr, "bench-backend: %s\n", vhost_last_error());
		exit(1);
	}
	if (vhost_backend_attach_fd(be, fd) < 0) {
		fprintf(stderr, "bench-backend: %s\n", vhost_backend_error(be));
		exit(1);
	}
	return be;
}

/* The front-end's end of a new connection. */
static int serve_new(vhost_backend_t **ret)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	*ret = serve(pair[1]);
	close(pair[1]);
	return pair[0];
}

/* ---------------------------------------------------------------- a round trip */

static const struct vu_header get_features = { VU_GET_FEATURES, VU_VERSION, 0 };

static vhost_backend_t *be;
static int front = -1, back = -1;	/* back is the back-end's socket, too */
static uint64_t features;

static void give_request(void)
{
	if (write(front, &get_features, sizeof(get_features)) != sizeof(get_features))
		die("write");
}

static void take_answer(void)
{
	struct answer a;

	if (recv(front, &a, sizeof(a), MSG_DONTWAIT) != sizeof(a) ||
	    a.head.request != VU_GET_FEATURES || a.head.size != 8)
		die("no answer");
	features = a.value;
}

static __attribute__((noinline)) void ours(void)
{
	if (vhost_backend_process(be) < 0)
		die(vhost_backend_error(be));
}

static __attribute__((noinline)) void bare(void)
{
	struct answer a = { { VU_GET_FEATURES, VU_VERSION | VU_REPLY, 8 }, features };
	char control[CMSG_SPACE(VU_MAX_FDS * sizeof(int))];
	struct vu_header request;
	struct iovec in = { &request, sizeof(request) }, out = { &a, sizeof(a) };
	struct msghdr msg = {
		.msg_iov = &in, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};

	if (recvmsg(back, &msg, MSG_CMSG_CLOEXEC) != sizeof(request) ||
	    request.request != VU_GET_FEATURES)
		die("recvmsg");
	msg = (struct msghdr){ .msg_iov = &out, .msg_iovlen = 1 };
	if (sendmsg(back, &msg, MSG_NOSIGNAL) != sizeof(a))
		die("sendmsg");
}

static const struct half half = {
	.title = "GET_FEATURES, back-end half",
	.ours_name = "vhost_backend_process()", .bare_name = "recvmsg and sendmsg",
	.before = give_request, .ours = ours, .bare = bare, .neither = bare,
	.after = take_answer,
};

static void round_trip(const char *variant, unsigned int count)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	front = pair[0];
	back = pair[1];
	be = serve(back);
	ours();		/* tells the program of its front-end */
	give_request();
	ours();
	take_answer();
	if (!variant)
		half_compare(&half, count);
	else
		half_run(&half, strcmp(variant, "ours") ? bare : ours, count);
	vhost_backend_unref(be);
	close(front);
	close(back);
}

/* -------------------------------------------------------------------- bring-up */

#define REGIONS 8u
#define REGION_SIZE (1u << 20)
#define USER_BASE 0x7f0000000000ull
#define QUEUES 2u

static unsigned int n_sent, n_answers;
static bool same_process;

static void send_message(uint32_t number, uint32_t flags, const void *payload, uint32_t size,
			 const int *fds, unsigned int n_fds)
{
	struct vu_header head = { number, VU_VERSION | flags, size };
	struct iovec iov[2] = { { &head, sizeof(head) }, { (void *)payload, size } };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(VU_MAX_FDS * sizeof(int))];
	} control;
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	memset(&control, 0, sizeof(control));
	if (n_fds) {
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, n_fds * sizeof(int));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
	}
	if (sendmsg(front, &msg, MSG_NOSIGNAL) != (ssize_t)(sizeof(head) + size))
		die("sendmsg");
	n_sent++;
}

static uint64_t wait_for_answer(uint32_t number)
{
	struct answer a;
	unsigned int turns = 0;

	while (same_process && ++turns < 100) {
		struct pollfd p = { front, POLLIN, 0 };

		if (poll(&p, 1, 0) > 0)
			break;
		ours();
	}
	if (recv(front, &a, sizeof(a), MSG_WAITALL) != sizeof(a) || a.head.request != number)
		die("no answer");
	n_answers++;
	return a.value;
}

static uint64_t ask(uint32_t number)
{
	send_message(number, 0, NULL, 0, NULL, 0);
	return wait_for_answer(number);
}

static void tell(uint32_t number, const void *payload, uint32_t size)
{
	send_message(number, 0, payload, size, NULL, 0);
}

static void command(uint32_t number, const void *payload, uint32_t size, const int *fds,
		    unsigned int n_fds)
{
	send_message(number, VU_NEED_REPLY, payload, size, fds, n_fds);
	if (wait_for_answer(number)) {
		fprintf(stderr, "bench-backend: message %u was refused\n", number);
		exit(1);
	}
}

static void share_memory(void)
{
	struct {
		struct vu_mem_table head;
		struct vu_region regions[REGIONS];
	} table = { { REGIONS, 0 }, { { 0 } } };
	int fds[REGIONS];
	unsigned int i;

	for (i = 0; i < REGIONS; i++) {
		fds[i] = memfd_create("bench", MFD_CLOEXEC);
		if (fds[i] < 0 || ftruncate(fds[i], REGION_SIZE) < 0)
			die("memfd_create");
		table.regions[i] = (struct vu_region){
			2ull * i * REGION_SIZE, REGION_SIZE, USER_BASE + 2ull * i * REGION_SIZE, 0,
		};
	}
	command(VU_SET_MEM_TABLE, &table, sizeof(table), fds, REGIONS);
	for (i = 0; i < REGIONS; i++)
		close(fds[i]);
}

static void bring_up_queue(unsigned int q)
{
	struct vu_vring_state num = { q, 256 }, base = { q, 0 }, enable = { q, 1 };
	struct vu_vring_addr addr = {
		.index = q,
		.desc = USER_BASE + q * 0x10000,
		.avail = USER_BASE + q * 0x10000 + 0x2000,
		.used = USER_BASE + q * 0x10000 + 0x4000,
	};
	uint64_t index = q;
	int kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (kick < 0 || call < 0)
		die("eventfd");
	tell(VU_SET_VRING_NUM, &num, sizeof(num));
	tell(VU_SET_VRING_BASE, &base, sizeof(base));
	tell(VU_SET_VRING_ADDR, &addr, sizeof(addr));
	command(VU_SET_VRING_KICK, &index, sizeof(index), &kick, 1);
	command(VU_SET_VRING_CALL, &index, sizeof(index), &call, 1);
	command(VU_SET_VRING_ENABLE, &enable, sizeof(enable), NULL, 0);
	close(kick);
	close(call);
}

/* As QEMU does it: 19 messages, of which 10 are answered. */
static void front_end(void)
{
	uint64_t protocol, wanted = 1ull << 32 | VU_F_PROTOCOL_FEATURES;
	unsigned int q;

	if ((ask(VU_GET_FEATURES) & wanted) != wanted)
		die("features are missing");
	/* MQ and REPLY_ACK */
	protocol = ask(VU_GET_PROTOCOL_FEATURES) & (1ull << 0 | 1ull << 3);
	tell(VU_SET_PROTOCOL_FEATURES, &protocol, sizeof(protocol));
	if (ask(VU_GET_QUEUE_NUM) != QUEUES)
		die("queues are missing");
	tell(VU_SET_OWNER, NULL, 0);
	tell(VU_SET_FEATURES, &wanted, sizeof(wanted));
	share_memory();
	for (q = 0; q < QUEUES; q++)
		bring_up_queue(q);
}

static void bring_up(void)
{
	vhost_backend_t *b;
	pid_t pid = -1;
	int status;

	/* a number by which bench/backend-calls.sh knows the front-end's calls */
	status = serve_new(&b);
	front = fcntl(status, F_DUPFD_CLOEXEC, 100);
	if (front != 100)
		die("fcntl");
	close(status);
	be = b;
	if (same_process) {
		front_end();
	} else {
		pid = fork();
		if (pid < 0)
			die("fork");
		if (pid == 0) {
			front_end();
			fprintf(stderr, "%u messages, %u answers\n", n_sent, n_answers);
			_exit(0);
		}
		close(front);
		while (vhost_backend_process(be) == 0) {
			struct pollfd p = { vhost_backend_get_fd(be), POLLIN, 0 };

			poll(&p, 1, -1);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			exit(1);
	}
	if (n_started != QUEUES) {
		fprintf(stderr, "bench-backend: %u queues were started, not 2\n", n_started);
		exit(1);
	}
	if (same_process)
		fprintf(stderr, "%u messages, %u answers\n", n_sent, n_answers);
	vhost_backend_unref(be);
}

/* ------------------------------------------------------------- many connections */

static int outer = -1;		/* what a program waits at for all of its back-ends */

static void add(vhost_backend_t *b)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = b };

	if (epoll_ctl(outer, EPOLL_CTL_ADD, vhost_backend_get_fd(b), &ev) < 0)
		die("epoll_ctl");
}

/* A turn of such a program's loop. */
static void dispatch(void)
{
	struct epoll_event events[16];
	int n = epoll_wait(outer, events, 16, 0), i;

	for (i = 0; i < n; i++)
		if (vhost_backend_process(events[i].data.ptr) < 0)
			die("vhost_backend_process");
}

static void settle(void)
{
	struct pollfd p = { outer, POLLIN, 0 };

	while (poll(&p, 1, 0) > 0)
		dispatch();
}

static double dispatch_ns(unsigned int count)
{
	uint64_t sum = 0, start;
	unsigned int i;

	for (i = 0; i < count; i++) {
		give_request();
		start = cpu_ns();
		dispatch();
		sum += cpu_ns() - start;
		take_answer();
	}
	return (double)sum / count;
}

static double resident_kib(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long all, resident;

	if (!f || fscanf(f, "%lu %lu", &all, &resident) != 2)
		die("/proc/self/statm");
	fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024;
}

/* Each connection needs a few descriptors, of which we have both ends. */
static unsigned int room_for(unsigned int wanted)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		die("getrlimit");
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	return lim.rlim_cur < wanted * 6ull ? (unsigned int)(lim.rlim_cur / 6) : wanted;
}

/* As far as a front-end comes that has said its first word. */
static int connect_new(vhost_backend_t **ret)
{
	front = serve_new(ret);
	add(*ret);
	settle();
	give_request();
	settle();
	take_answer();
	return front;
}

#define IDLE_ROUNDS 15

/* Without them and beside them in turn, so that what else the machine does is in both. */
static void idle(unsigned int wanted, unsigned int count)
{
	static double alone[IDLE_ROUNDS], beside[IDLE_ROUNDS], ratio[IDLE_ROUNDS];
	unsigned int n = room_for(wanted), i, round;
	vhost_backend_t **idlers = calloc(n, sizeof(*idlers));
	int *fronts = calloc(n, sizeof(*fronts)), busy;
	double memory = 0;

	outer = epoll_create1(EPOLL_CLOEXEC);
	if (!idlers || !fronts || outer < 0)
		die("idle");
	busy = connect_new(&be);
	for (round = 0; round < IDLE_ROUNDS; round++) {
		front = busy;
		alone[round] = dispatch_ns(count);
		if (!round)
			memory = resident_kib();
		for (i = 0; i < n; i++)
			fronts[i] = connect_new(&idlers[i]);
		if (!round)
			memory = resident_kib() - memory;
		front = busy;
		beside[round] = dispatch_ns(count);
		ratio[round] = beside[round] / alone[round];
		for (i = 0; i < n; i++) {
			vhost_backend_unref(idlers[i]);
			close(fronts[i]);
		}
	}
	qsort(alone, IDLE_ROUNDS, sizeof(*alone), by_value);
	qsort(beside, IDLE_ROUNDS, sizeof(*beside), by_value);
	qsort(ratio, IDLE_ROUNDS, sizeof(*ratio), by_value);
	printf("%u idle connections of two queues each, CPU time, median of %u rounds of %u:\n", n,
	       IDLE_ROUNDS, count);
	printf("  memory                    %6.1f KiB for each\n", memory / n);
	printf("  a dispatch without them   %6.0f ns\n", alone[IDLE_ROUNDS / 2]);
	printf("  a dispatch beside them    %6.0f ns\n", beside[IDLE_ROUNDS / 2]);
	printf("  ratio                     %6.3f (quartiles %.3f and %.3f)\n",
	       ratio[IDLE_ROUNDS / 2], ratio[IDLE_ROUNDS / 4], ratio[3 * IDLE_ROUNDS / 4]);
	vhost_backend_unref(be);
	close(busy);
	close(outer);
	free(idlers);
	free(fronts);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "variant", required_argument, NULL, 'v' },
		{ "count", required_argument, NULL, 'c' },
		{ "connections", required_argument, NULL, 'n' },
		{ "same-process", no_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	unsigned int count = 1000, connections = 1000;
	const char *variant = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "v:c:n:sh", options, NULL)) >= 0)
		switch (c) {
		case 'v':
			variant = optarg;
			break;
		case 'c':
			count = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 'n':
			connections = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 's':
			same_process = true;
			break;
		default:
			printf("usage: bench-backend [--count N] [--variant ours|bare]\n"
			       "       bench-backend bring-up [--same-process]\n"
			       "       bench-backend idle [--connections N] [--count N]\n");
			return c == 'h' ? 0 : 2;
		}
	if (!count || !connections)
		return 2;
	if (optind == argc)
		round_trip(variant, count);
	else if (strcmp(argv[optind], "bring-up") == 0)
		bring_up();
	else if (strcmp(argv[optind], "idle") == 0)
		idle(connections, count);
	else
		return 2;
	return 0;
}
