/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "peer.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <vhost/user.h>

/* The requests that the peer itself has to know. */
enum {
	GET_FEATURES = 1,
	SET_OWNER = 3,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	GET_QUEUE_NUM = 17,
	SET_BACKEND_REQ_FD = 21,
	GET_MAX_MEM_SLOTS = 36
};

#define HAS_PF ((uint64_t)1 << 30)

struct header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
};

static void make_pair(struct peer *p)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	p->fd = fds[0];
	p->front = fds[1];
	p->chan = -1;
}

void peer_new(struct peer *p, uint64_t features, uint64_t pf)
{
	memset(p, 0, sizeof(*p));
	p->features = features;
	p->pf = pf;
	p->queues = 4;
	p->slots = 32;
	make_pair(p);
}

void peer_close(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	if (p->front >= 0)
		close(p->front);
	if (p->chan >= 0)
		close(p->chan);
	p->fd = p->front = p->chan = -1;
}

void peer_renew(struct peer *p)
{
	peer_close(p);
	make_pair(p);
}

bool peer_has(const struct peer *p, unsigned int bit)
{
	return p->acked_pf >> bit & 1;
}

/* ------------------------------------------------------------------- answers */

void peer_send(int fd, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
	       const int *fds, unsigned int n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(PEER_FDS * sizeof(int))];
	} control;
	struct header hdr = { request, flags, size };
	struct iovec iov[2] = {
		{ .iov_base = &hdr, .iov_len = sizeof(hdr) },
		{ .iov_base = (void *)payload, .iov_len = size },
	};
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = size ? 2 : 1 };

	ck_assert_uint_le(n_fds, PEER_FDS);
	if (n_fds) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, n_fds * sizeof(int));
	}
	ck_assert_int_eq(sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT),
			 (ssize_t)(sizeof(hdr) + size));
}

void peer_reply(struct peer *p, uint32_t request, const void *payload, uint32_t size)
{
	peer_send(p->fd, request, PEER_REPLY, payload, size, NULL, 0);
}

void peer_reply_fd(struct peer *p, uint32_t request, const void *payload, uint32_t size, int fd)
{
	peer_send(p->fd, request, PEER_REPLY, payload, size, &fd, 1);
}

void peer_reply_u64(struct peer *p, uint32_t request, uint64_t value)
{
	peer_reply(p, request, &value, sizeof(value));
}

void peer_ack_each(struct peer *p, uint32_t request)
{
	if (peer_has(p, VHOST_USER_PF_REPLY_ACK))
		peer_reply_u64(p, request, 0);
}

void peer_barrier(struct peer *p)
{
	if (!peer_has(p, VHOST_USER_PF_REPLY_ACK))
		peer_reply_u64(p, GET_FEATURES, p->features);
}

void peer_ack(struct peer *p, uint32_t request)
{
	peer_ack_each(p, request);
	peer_barrier(p);
}

/* -------------------------------------------------------------- expectations */

static void receive(int fd, struct header *hdr, void *payload, uint32_t room, int *fds,
		    unsigned int *n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(PEER_FDS * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = hdr, .iov_len = sizeof(*hdr) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			     .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg;

	*n_fds = 0;
	ck_assert_msg(recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == sizeof(*hdr),
		      "a message was expected, and there is none");
	ck_assert(!(mh.msg_flags & MSG_CTRUNC));
	for (cmsg = CMSG_FIRSTHDR(&mh); cmsg; cmsg = CMSG_NXTHDR(&mh, cmsg)) {
		size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		memcpy(fds + *n_fds, CMSG_DATA(cmsg), n * sizeof(int));
		*n_fds += (unsigned int)n;
	}
	if (!hdr->size)
		return;
	ck_assert_uint_le(hdr->size, room);
	iov = (struct iovec){ .iov_base = payload, .iov_len = hdr->size };
	mh = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1 };
	ck_assert_int_eq(recvmsg(fd, &mh, MSG_DONTWAIT), (ssize_t)hdr->size);
	ck_assert(!(mh.msg_flags & MSG_CTRUNC));	/* descriptors come with the header */
}

static void take(int fd, uint32_t request, uint32_t flags, uint8_t *payload, uint32_t size,
		 int *ret_fds, unsigned int n_fds)
{
	struct header hdr = { 0 };
	int fds[PEER_FDS];
	unsigned int n, i;

	receive(fd, &hdr, payload, 8192, fds, &n);
	ck_assert_msg(hdr.request == request && hdr.flags == flags && hdr.size == size && n == n_fds,
		      "message %u (flags 0x%x, %u bytes, %u descriptors) came where %u "
		      "(flags 0x%x, %u bytes, %u descriptors) was expected", hdr.request, hdr.flags,
		      hdr.size, n, request, flags, size, n_fds);
	for (i = 0; i < n; i++) {
		if (ret_fds)
			ret_fds[i] = fds[i];
		else
			close(fds[i]);
	}
}

void peer_expect_on(int fd, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
		    int *fds, unsigned int n_fds)
{
	uint8_t got[8192];

	take(fd, request, flags, got, size, fds, n_fds);
	if (payload && size)
		ck_assert_mem_eq(got, payload, size);
}

void peer_take(struct peer *p, uint32_t request, uint32_t flags, void *payload, uint32_t size,
	       int *fds, unsigned int n_fds)
{
	uint8_t got[8192];

	take(p->fd, request, flags, got, size, fds, n_fds);
	memcpy(payload, got, size);
}

void peer_expect(struct peer *p, uint32_t request, uint32_t flags, const void *payload,
		 uint32_t size)
{
	peer_expect_on(p->fd, request, flags, payload, size, NULL, 0);
}

void peer_expect_fd(struct peer *p, uint32_t request, uint32_t flags, const void *payload,
		    uint32_t size, int *fd)
{
	peer_expect_on(p->fd, request, flags, payload, size, fd, 1);
}

static uint32_t set_flags(const struct peer *p)
{
	return peer_has(p, VHOST_USER_PF_REPLY_ACK) ? PEER_NEED_REPLY : PEER_PLAIN;
}

void peer_expect_set(struct peer *p, uint32_t request, const void *payload, uint32_t size)
{
	peer_expect(p, request, set_flags(p), payload, size);
}

void peer_expect_set_fd(struct peer *p, uint32_t request, const void *payload, uint32_t size,
			int *fd)
{
	peer_expect_fd(p, request, set_flags(p), payload, size, fd);
}

void peer_expect_u64(struct peer *p, uint32_t request, uint64_t value)
{
	peer_expect_set(p, request, &value, sizeof(value));
}

void peer_expect_state(struct peer *p, uint32_t request, uint32_t index, uint32_t num)
{
	uint32_t state[2] = { index, num };

	peer_expect_set(p, request, state, sizeof(state));
}

void peer_expect_barrier(struct peer *p)
{
	if (!peer_has(p, VHOST_USER_PF_REPLY_ACK))
		peer_expect(p, GET_FEATURES, PEER_PLAIN, NULL, 0);
}

void peer_expect_nothing(struct peer *p)
{
	struct header hdr = { 0 };
	ssize_t n = recv(p->fd, &hdr, sizeof(hdr), MSG_DONTWAIT | MSG_PEEK);

	ck_assert_msg(n == 0 || (n < 0 && errno == EAGAIN),
		      "nothing was expected, and message %u came", hdr.request);
}

bool peer_same_file(int a, int b)
{
	struct stat x, y;
	struct pollfd p[2] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };
	uint64_t one = 1;

	if (fstat(a, &x) < 0 || fstat(b, &y) < 0)
		return false;
	if (x.st_dev != y.st_dev || x.st_ino != y.st_ino)
		return false;
	if (S_ISREG(x.st_mode) || S_ISSOCK(x.st_mode) || S_ISFIFO(x.st_mode))
		return true;
	/* All eventfds have one inode: write to one, and see the other. */
	while (read(a, &one, sizeof(one)) > 0)
		;
	if (poll(p, 2, 0) != 0)
		return false;
	one = 1;
	if (write(a, &one, sizeof(one)) < 0)
		return false;
	return poll(p, 2, 0) == 2 && read(b, &one, sizeof(one)) > 0;
}

/* --------------------------------------------------------------- negotiation */

void peer_answer_open(struct peer *p, uint64_t acked_pf)
{
	p->acked_pf = acked_pf;
	peer_reply_u64(p, GET_FEATURES, p->features);
	if (!(p->features & HAS_PF))
		return;
	peer_reply_u64(p, GET_PROTOCOL_FEATURES, p->pf);
	if (peer_has(p, VHOST_USER_PF_MQ))
		peer_reply_u64(p, GET_QUEUE_NUM, p->queues);
	if (peer_has(p, VHOST_USER_PF_CONFIGURE_MEM_SLOTS))
		peer_reply_u64(p, GET_MAX_MEM_SLOTS, p->slots);
	if (peer_has(p, VHOST_USER_PF_BACKEND_REQ))
		peer_ack_each(p, SET_BACKEND_REQ_FD);
	if (!peer_has(p, VHOST_USER_PF_MQ) && !peer_has(p, VHOST_USER_PF_CONFIGURE_MEM_SLOTS) &&
	    !(peer_has(p, VHOST_USER_PF_BACKEND_REQ) && peer_has(p, VHOST_USER_PF_REPLY_ACK)))
		peer_reply_u64(p, GET_FEATURES, p->features);
}

void peer_expect_open(struct peer *p, uint64_t acked_pf)
{
	peer_expect(p, SET_OWNER, PEER_PLAIN, NULL, 0);
	peer_expect(p, GET_FEATURES, PEER_PLAIN, NULL, 0);
	if (!(p->features & HAS_PF))
		return;
	peer_expect(p, GET_PROTOCOL_FEATURES, PEER_PLAIN, NULL, 0);
	peer_expect(p, SET_PROTOCOL_FEATURES, PEER_PLAIN, &acked_pf, sizeof(acked_pf));
	if (peer_has(p, VHOST_USER_PF_MQ))
		peer_expect(p, GET_QUEUE_NUM, PEER_PLAIN, NULL, 0);
	if (peer_has(p, VHOST_USER_PF_CONFIGURE_MEM_SLOTS))
		peer_expect(p, GET_MAX_MEM_SLOTS, PEER_PLAIN, NULL, 0);
	if (peer_has(p, VHOST_USER_PF_BACKEND_REQ))
		peer_expect_set_fd(p, SET_BACKEND_REQ_FD, NULL, 0, &p->chan);
	if (!peer_has(p, VHOST_USER_PF_MQ) && !peer_has(p, VHOST_USER_PF_CONFIGURE_MEM_SLOTS) &&
	    !(peer_has(p, VHOST_USER_PF_BACKEND_REQ) && peer_has(p, VHOST_USER_PF_REPLY_ACK)))
		peer_expect(p, GET_FEATURES, PEER_PLAIN, NULL, 0);
}

void peer_open(struct peer *p, const struct vhost_dev_opts *opts, uint64_t acked_pf,
	       vhost_dev_t **ret)
{
	peer_answer_open(p, acked_pf);
	ck_assert_int_eq(vhost_dev_open_fd(p->front, opts, opts ? sizeof(*opts) : 0, ret), 0);
	close(p->front);
	p->front = -1;
	peer_expect_open(p, acked_pf);
	peer_expect_nothing(p);
}
