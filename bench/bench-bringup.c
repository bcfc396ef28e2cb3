/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * Bring-up of a device with many queues, against a back-end that is a thread of this
 * process and answers whatever it is asked: how often the front-end waits for it, and
 * how long it takes, in one transaction and with each answer awaited.
 */
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <vhost/vhost.h>

#define NEED_REPLY 0x8u
#define F_PROTOCOL_FEATURES (1ull << 30)
#define F_VERSION_1 (1ull << 32)
/* MQ, REPLY_ACK, CONFIGURE_MEM_SLOTS, STATUS */
#define PROTOCOL_FEATURES (1ull << 0 | 1ull << 3 | 1ull << 15 | 1ull << 16)

struct header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
};

static unsigned int n_queues;

static bool read_all(int fd, void *buf, size_t len)
{
	char control[256], *p = buf;

	while (len) {
		struct iovec iov = { p, len };
		struct msghdr mh = {
			.msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = control, .msg_controllen = sizeof(control),
		};
		struct cmsghdr *cmsg;
		ssize_t n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC);

		if (n <= 0)
			return false;
		for (cmsg = CMSG_FIRSTHDR(&mh); cmsg; cmsg = CMSG_NXTHDR(&mh, cmsg)) {
			size_t i, n_fds = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

			for (i = 0; i < n_fds; i++)
				close(((int *)CMSG_DATA(cmsg))[i]);
		}
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* The back-end. It answers when it has read all that there is. */
static void *serve(void *arg)
{
	int fd = *(int *)arg;
	static char answers[65536];
	size_t filled = 0;
	struct header head;

	while (read_all(fd, &head, sizeof(head))) {
		char payload[4096];
		uint64_t value = 0;
		bool answer = head.flags & NEED_REPLY;
		uint32_t size = 8;
		struct pollfd p = { fd, POLLIN, 0 };

		if (head.size > sizeof(payload) || !read_all(fd, payload, head.size))
			break;
		switch (head.request) {
		case 1:		/* GET_FEATURES */
			value = F_VERSION_1 | F_PROTOCOL_FEATURES;
			answer = true;
			break;
		case 15:	/* GET_PROTOCOL_FEATURES */
			value = PROTOCOL_FEATURES;
			answer = true;
			break;
		case 17:	/* GET_QUEUE_NUM */
			value = n_queues;
			answer = true;
			break;
		case 36:	/* GET_MAX_MEM_SLOTS */
			value = 32;
			answer = true;
			break;
		case 40:	/* GET_STATUS */
			answer = true;
			break;
		case 11:	/* GET_VRING_BASE */
			memcpy(&value, payload, 4);
			answer = true;
			break;
		}
		if (answer) {
			struct header reply = { head.request, 0x5, size };

			memcpy(answers + filled, &reply, sizeof(reply));
			memcpy(answers + filled + sizeof(reply), &value, sizeof(value));
			filled += sizeof(reply) + sizeof(value);
		}
		if (filled && (filled > sizeof(answers) - 64 || poll(&p, 1, 0) == 0)) {
			size_t sent = 0;

			while (sent < filled) {
				ssize_t n = send(fd, answers + sent, filled - sent, MSG_NOSIGNAL);

				if (n <= 0)
					return NULL;
				sent += (size_t)n;
			}
			filled = 0;
		}
	}
	return NULL;
}

static void check(vhost_dev_t *dev, int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "bench-bringup: %s: %s\n", what,
		dev ? vhost_dev_error(dev) : vhost_last_error());
	exit(1);
}
#define CHECK(dev, call) check(dev, call, #call)


static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* What was sent, to be sent again one by one; and how often answers were waited for. */
#define MAX_SENT 2048u
static struct {
	struct header head;
	unsigned int n_fds;
} sent[MAX_SENT];
static unsigned int n_sent, n_waits;
static bool sending;

static void note(const struct vhost_trace_event *ev, void *opaque)
{
	(void)opaque;
	if (ev->direction == VHOST_TRACE_RECEIVED) {
		n_waits += sending;
		sending = false;
		return;
	}
	sending = true;
	if (n_sent < MAX_SENT) {
		sent[n_sent].head = (struct header){ ev->request, ev->flags, ev->length };
		sent[n_sent++].n_fds = ev->n_fds;
	}
}

static pthread_t back_end;
static int sockets[2];

static void connect_back_end(void)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0 ||
	    pthread_create(&back_end, NULL, serve, &sockets[1])) {
		perror("bench-bringup");
		exit(1);
	}
}

static void disconnect_back_end(void)
{
	close(sockets[0]);
	pthread_join(back_end, NULL);
	close(sockets[1]);
}

/* From the connection to the device that runs. */
static double bring_up(vhost_trace_fn trace)
{
	struct vhost_virtq_opts vq_opts = { .size = 64, .features = F_VERSION_1 };
	struct vhost_dev_opts opts = {
		.flags = VHOST_OPEN_NO_BACKEND_CHANNEL, .trace = trace,
	};
	vhost_virtq_t *vqs[64];
	vhost_dev_t *dev = NULL;
	vhost_mem_t *mem;
	uint64_t start, features, end;
	unsigned int q;

	CHECK(NULL, vhost_mem_new(4 << 20, 0, 0, &mem));
	for (q = 0; q < n_queues; q++)
		CHECK(NULL, vhost_virtq_new(mem, &vq_opts, sizeof(vq_opts), &vqs[q]));
	connect_back_end();
	start = now_ns();
	CHECK(dev, vhost_dev_open_fd(sockets[0], &opts, sizeof(opts), &dev));
	CHECK(dev, vhost_dev_get_features(dev, &features));
	CHECK(dev, vhost_dev_begin(dev));
	CHECK(dev, vhost_dev_set_features(dev, features & F_VERSION_1));
	CHECK(dev, vhost_dev_mem_add_mem(dev, mem));
	for (q = 0; q < n_queues; q++)
		CHECK(dev, vhost_dev_vq_attach(dev, q, vqs[q]));
	CHECK(dev, vhost_dev_start(dev));
	CHECK(dev, vhost_dev_commit(dev));
	end = now_ns();
	vhost_dev_unref(dev);
	disconnect_back_end();
	for (q = 0; q < n_queues; q++)
		vhost_virtq_unref(vqs[q]);
	vhost_mem_unref(mem);
	return (double)(end - start) / 1000;
}

/* The same messages, each with an answer that is awaited. */
static double one_by_one(void)
{
	static char payload[4096], buf[256];
	uint64_t start, end;
	unsigned int i;

	connect_back_end();
	start = now_ns();
	for (i = 0; i < n_sent; i++) {
		struct header head = sent[i].head;
		struct iovec iov[2] = { { &head, sizeof(head) }, { payload, head.size } };
		union {
			struct cmsghdr align;
			char buf[CMSG_SPACE(sizeof(int))];
		} control;
		struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };

		head.flags |= NEED_REPLY;
		if (sent[i].n_fds) {
			mh.msg_control = &control;
			mh.msg_controllen = sizeof(control);
			control.align = (struct cmsghdr){
				.cmsg_len = CMSG_LEN(sizeof(int)),
				.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
			};
			memcpy(CMSG_DATA(&control.align), &sockets[0], sizeof(int));
		}
		if (sendmsg(sockets[0], &mh, MSG_NOSIGNAL) < 0 ||
		    recv(sockets[0], buf, sizeof(buf), 0) <= 0) {
			perror("bench-bringup: one by one");
			exit(1);
		}
	}
	end = now_ns();
	/* the back-end closed what it was sent: our end's copies are gone */
	disconnect_back_end();
	return (double)(end - start) / 1000;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

#define ROUNDS 51

int main(void)
{
	static const unsigned int counts[] = { 1, 2, 16, 64 };
	static double ours[ROUNDS], single[ROUNDS];
	unsigned int c, i;

	printf("%6s %8s %5s %12s %12s %6s\n", "queues", "messages", "waits", "ours, us",
	       "awaited, us", "ratio");
	for (c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		n_queues = counts[c];
		n_sent = n_waits = 0;
		sending = false;
		bring_up(note);
		for (i = 0; i < ROUNDS; i++) {
			ours[i] = bring_up(NULL);
			single[i] = one_by_one();
		}
		qsort(ours, ROUNDS, sizeof(*ours), by_value);
		qsort(single, ROUNDS, sizeof(*single), by_value);
		printf("%6u %8u %5u %12.0f %12.0f %6.2f\n", n_queues, n_sent, n_waits,
		       ours[ROUNDS / 2], single[ROUNDS / 2],
		       ours[ROUNDS / 2] / single[ROUNDS / 2]);
	}
	return 0;
}
