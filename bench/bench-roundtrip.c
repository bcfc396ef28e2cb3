/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The front-end's half of a round trip: vhost_dev_get_features() against a bare
 * sendmsg(2) and recvmsg(2) of the same bytes. One thread; the answer is in the socket
 * before the request is sent, and the request is taken out afterwards, both outside of
 * what is measured. Without --variant it prints CPU times; with it, it does its rounds
 * and nothing else, so that bench/roundtrip.sh can count instructions.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vhost/vhost.h>

#include "half.h"

#define GET_FEATURES 1u
#define FEATURES 0x130000000ull	/* without PROTOCOL_FEATURES */

struct header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
};

struct answer {
	struct header head;
	uint64_t value;
} __attribute__((packed));

static const struct answer answer = { { GET_FEATURES, 0x5, 8 }, FEATURES };

static int sockets[2];
static vhost_dev_t *dev;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void give_answer(void)
{
	if (write(sockets[1], &answer, sizeof(answer)) != sizeof(answer))
		die("write");
}

static void take_request(void)
{
	char buf[64];

	if (read(sockets[1], buf, sizeof(buf)) != sizeof(struct header))
		die("read");
}

static __attribute__((noinline)) void bare(void)
{
	struct header request = { GET_FEATURES, 0x1, 0 };
	struct iovec out = { &request, sizeof(request) };
	struct msghdr msg = { .msg_iov = &out, .msg_iovlen = 1 };
	char control[CMSG_SPACE(8 * sizeof(int))];
	struct answer a;
	struct iovec in = { &a, sizeof(a) };

	if (sendmsg(sockets[0], &msg, MSG_NOSIGNAL) != sizeof(request))
		die("sendmsg");
	msg = (struct msghdr){
		.msg_iov = &in, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	if (recvmsg(sockets[0], &msg, MSG_CMSG_CLOEXEC) != sizeof(a) || a.value != FEATURES)
		die("recvmsg");
}

static __attribute__((noinline)) void ours(void)
{
	uint64_t features;

	if (vhost_dev_get_features(dev, &features) < 0 || features != FEATURES) {
		fprintf(stderr, "bench-roundtrip: %s\n", vhost_dev_error(dev));
		exit(1);
	}
}

static __attribute__((noinline)) void neither(void)
{
	static const struct header request = { GET_FEATURES, 0x1, 0 };
	char buf[64];

	if (write(sockets[0], &request, sizeof(request)) != sizeof(request) ||
	    read(sockets[0], buf, sizeof(buf)) != sizeof(answer))
		die("neither");
}

static void drain(void)
{
	char buf[64];

	while (recv(sockets[0], buf, sizeof(buf), MSG_DONTWAIT) > 0 ||
	       recv(sockets[1], buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

static void set_up(void)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		die("socketpair");
	/* a back-end without protocol features is asked for nothing else */
	give_answer();
	if (vhost_dev_open_fd(sockets[0], NULL, 0, &dev) < 0) {
		fprintf(stderr, "bench-roundtrip: %s\n", vhost_last_error());
		exit(1);
	}
	drain();
	/* the first call may be answered from what was learnt then */
	give_answer();
	ours();
	drain();
}

static const struct half half = {
	.title = "GET_FEATURES, front-end half",
	.ours_name = "vhost_dev_get_features()", .bare_name = "sendmsg and recvmsg",
	.before = give_answer, .ours = ours, .bare = bare, .neither = neither,
	.after = take_request,
};

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "variant", required_argument, NULL, 'v' },
		{ "count", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *variant = NULL;
	unsigned int count = 1000;
	int c;

	while ((c = getopt_long(argc, argv, "v:c:h", options, NULL)) >= 0)
		switch (c) {
		case 'v':
			variant = optarg;
			break;
		case 'c':
			count = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		default:
			printf("usage: bench-roundtrip [--count N] [--variant ours|bare]\n");
			return c == 'h' ? 0 : 2;
		}
	set_up();
	if (!variant)
		half_compare(&half, count);
	else
		half_run(&half, strcmp(variant, "ours") ? bare : ours, count);
	vhost_dev_unref(dev);
	close(sockets[0]);
	close(sockets[1]);
	return 0;
}
