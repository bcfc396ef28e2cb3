/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include "proto/vu-chan.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "util.h"

/* A message, or the rest of one, that waits for the socket. */
struct vu_out {
	struct vu_out *next;
	size_t len;
	size_t sent;
	unsigned int n_fds;
	int fds[VU_MAX_FDS];
	uint8_t data[];
};

void vu_chan_init(struct vu_chan *c, enum vu_direction dir)
{
	memset(c, 0, offsetof(struct vu_chan, rx));
	c->fd = -1;
	c->dir = dir;
	c->out_tail = &c->out_head;
}

void vu_chan_open(struct vu_chan *c, int fd)
{
	vu_chan_close(c);
	c->fd = fd;
}

static void out_free(struct vu_out *o)
{
	unsigned int i;

	for (i = 0; i < o->n_fds; i++)
		close_fd(&o->fds[i]);
	free(o);
}

static void drop_rx_fds(struct vu_chan *c)
{
	unsigned int i;

	for (i = 0; i < c->rx_n_fds; i++)
		close_fd(&c->rx_fds[i]);
	c->rx_n_fds = 0;
	c->rx_fds_end = 0;
}

static void drop_out_from(struct vu_chan *c, struct vu_out **from)
{
	while (*from) {
		struct vu_out *o = *from;

		*from = o->next;
		c->out_bytes -= o->len;
		out_free(o);
	}
	c->out_tail = from;
}

void vu_chan_close(struct vu_chan *c)
{
	close_fd(&c->fd);
	drop_out_from(c, &c->out_head);
	c->held = NULL;
	drop_rx_fds(c);
	c->rx_start = c->rx_end = c->rx_msg = 0;
}

/* ------------------------------------------------------------------- sending */

/* sendmsg(2) with the descriptors on the first byte. The number of bytes, or -errno. */
static ssize_t send_bytes(int fd, struct iovec *iov, size_t n_iov, const int *fds,
			  unsigned int n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(VU_MAX_FDS * sizeof(int))];
	} control;
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = n_iov };
	ssize_t n;

	if (n_fds) {
		struct cmsghdr *cmsg = &control.align;

		memset(&control, 0, sizeof(control));
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
	}
	do
		n = sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return n;
}

/* Queue what is left of a message after its first @sent bytes went out. */
static int queue(struct vu_chan *c, const struct vu_header *hdr, const void *payload,
		 size_t sent, const int *fds, unsigned int n_fds, bool now)
{
	size_t len = sizeof(*hdr) + hdr->size;
	struct vu_out *o;

	if (c->out_bytes + len > VU_TX_LIMIT)
		return -ENOBUFS;
	o = malloc(sizeof(*o) + len);
	if (!o)
		return -ENOMEM;
	o->next = NULL;
	o->len = len;
	o->sent = sent;
	o->n_fds = 0;
	memcpy(o->data, hdr, sizeof(*hdr));
	if (hdr->size)
		memcpy(o->data + sizeof(*hdr), payload, hdr->size);
	while (!sent && o->n_fds < n_fds) {
		int fd = fcntl(fds[o->n_fds], F_DUPFD_CLOEXEC, 3);

		if (fd < 0) {
			int r = -errno;

			out_free(o);
			return r;
		}
		o->fds[o->n_fds++] = fd;
	}
	c->out_bytes += len;
	if (now && c->held) {
		o->next = *c->held;
		*c->held = o;
		if (c->out_tail == c->held)
			c->out_tail = &o->next;
		c->held = &o->next;
	} else {
		*c->out_tail = o;
		c->out_tail = &o->next;
	}
	return 0;
}

/* Queue what the socket did not take: @n bytes are out, or negative for none. */
static int queue_rest(struct vu_chan *c, const struct vu_header *hdr, const void *payload,
		      ssize_t n, const int *fds, unsigned int n_fds, bool now)
{
	int r = queue(c, hdr, payload, n > 0 ? (size_t)n : 0, fds, n_fds, now);

	/* half a message is out: nothing that follows could be understood */
	return r < 0 && n > 0 ? -EIO : r;
}

/* The most bytes of a message that is put together before it is sent. */
#define SMALL 64u

/* Most messages are small, bring no descriptors, and nothing waits before them. */
static ssize_t send_small(struct vu_chan *c, const struct vu_header *hdr, const void *payload)
{
	uint8_t buf[SMALL];
	ssize_t n;

	memcpy(buf, hdr, sizeof(*hdr));
	if (hdr->size == sizeof(uint64_t))
		memcpy(buf + sizeof(*hdr), payload, sizeof(uint64_t));
	else if (hdr->size)
		memcpy(buf + sizeof(*hdr), payload, hdr->size);
	do
		n = send(c->fd, buf, sizeof(*hdr) + hdr->size, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return n;
}

static int send_any(struct vu_chan *c, const struct vu_header *hdr, const void *payload,
		    const int *fds, unsigned int n_fds, bool now)
{
	struct iovec iov[2] = {
		{ .iov_base = (void *)hdr, .iov_len = sizeof(*hdr) },
		{ .iov_base = (void *)payload, .iov_len = hdr->size },
	};
	ssize_t n = 0;
	int r;

	if (c->fd < 0)
		return -ENOTCONN;
	/* Straight out if nothing stands before it. */
	if (now || !c->held) {
		struct vu_out **end = c->held ? c->held : c->out_tail;

		if (end == &c->out_head) {
			n = send_bytes(c->fd, iov, hdr->size ? 2 : 1, fds, n_fds);
			if (n < 0 && n != -EAGAIN)
				return (int)n;
		}
	}
	if (n < 0)
		n = 0;
	if ((size_t)n < sizeof(*hdr) + hdr->size) {
		r = queue_rest(c, hdr, payload, n, fds, n_fds, now);
		if (r < 0)
			return r;
	}
	if (unlikely(c->trace != NULL))
		c->trace(c->trace_opaque, false, c->dir, hdr, payload, fds, n_fds);
	return 0;
}

int vu_chan_send(struct vu_chan *c, const struct vu_header *hdr, const void *payload,
		 const int *fds, unsigned int n_fds, bool now)
{
	ssize_t n;

	if (n_fds || c->out_head || c->held || c->trace || c->fd < 0 ||
	    hdr->size > SMALL - sizeof(*hdr))
		return send_any(c, hdr, payload, fds, n_fds, now);
	n = send_small(c, hdr, payload);
	if (likely(n == (ssize_t)(sizeof(*hdr) + hdr->size)))
		return 0;
	if (n < 0 && n != -EAGAIN)
		return (int)n;
	return queue_rest(c, hdr, payload, n, NULL, 0, now);
}

int vu_chan_flush(struct vu_chan *c)
{
	while (c->out_head && c->held != &c->out_head) {
		struct vu_out *o = c->out_head;
		struct iovec iov = { .iov_base = o->data + o->sent, .iov_len = o->len - o->sent };
		ssize_t n = send_bytes(c->fd, &iov, 1, o->fds, o->sent ? 0 : o->n_fds);

		if (n < 0)
			return (int)n;
		o->sent += (size_t)n;
		if (o->sent < o->len)
			continue;
		c->out_head = o->next;
		if (c->out_tail == &o->next)
			c->out_tail = &c->out_head;
		if (c->held == &o->next)
			c->held = &c->out_head;
		c->out_bytes -= o->len;
		out_free(o);
	}
	return 0;
}

void vu_chan_hold(struct vu_chan *c)
{
	c->held = c->out_tail;
}

void vu_chan_release(struct vu_chan *c)
{
	c->held = NULL;
}

void vu_chan_drop_held(struct vu_chan *c)
{
	if (c->held)
		drop_out_from(c, c->held);
	c->held = NULL;
}

/* ----------------------------------------------------------------- receiving */

/*
 * The message at @at, as far as it is here. False if not even its header is.
 * @end: where the next one starts; it may lie beyond what is here.
 */
static bool peek(const struct vu_chan *c, size_t at, struct vu_header *hdr, size_t *end)
{
	if (c->rx_end - at < sizeof(*hdr))
		return false;
	memcpy(hdr, c->rx + at, sizeof(*hdr));
	*end = at + sizeof(*hdr) + hdr->size;
	return true;
}

bool vu_chan_has_msg(const struct vu_chan *c)
{
	struct vu_header hdr;
	size_t end;

	return peek(c, c->rx_start + c->rx_msg, &hdr, &end) &&
	       (hdr.size > VU_MAX_PAYLOAD || end <= c->rx_end);
}

static bool takes_fds(const struct vu_chan *c, const struct vu_header *hdr)
{
	const struct vu_row *row = vu_row(c->dir, hdr->request);

	return row && (hdr->flags & VU_REPLY ? row->reply_fds : row->fds) != VU_FD_NONE;
}

/*
 * Descriptors came with the bytes [rx_fds_begin, rx_fds_end). A read ends after a
 * segment that carries some, so they belong to a message that began in it: to the last
 * one whose row takes any, or if none does, to the last. Do they belong to the message
 * at rx_start, which ends at @end?
 */
static bool owns_fds(const struct vu_chan *c, const struct vu_header *hdr, size_t end)
{
	struct vu_header next;
	size_t at = end;

	if (c->rx_start < c->rx_fds_begin)
		return false;
	while (at < c->rx_fds_end) {
		if (!peek(c, at, &next, &at) || takes_fds(c, &next))
			return false;
		if (next.size > VU_MAX_PAYLOAD)
			break;
	}
	return takes_fds(c, hdr) || end >= c->rx_fds_end;
}

/* Does a message begin among the bytes that descriptors came with? */
static bool begins_with_fds(const struct vu_chan *c)
{
	struct vu_header hdr;
	size_t at = c->rx_start;

	while (at < c->rx_fds_begin)
		if (!peek(c, at, &hdr, &at) || hdr.size > VU_MAX_PAYLOAD)
			return false;
	return at < c->rx_fds_end;
}

/* Collect the descriptors of one control message. False if they are too many. */
static bool take_fds(struct vu_chan *c, const struct cmsghdr *cmsg)
{
	size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int), i;
	bool room = true;

	for (i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
		if (c->rx_n_fds < VU_RX_FDS) {
			c->rx_fds[c->rx_n_fds++] = fd;
		} else {
			close_fd(&fd);
			room = false;
		}
	}
	return room;
}

/* Read once more from the socket. */
static int fill(struct vu_chan *c, size_t want, const char **why)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(VU_RX_FDS * sizeof(int))];
	} control;
	struct iovec iov;
	struct msghdr mh = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	unsigned int had_fds = c->rx_n_fds;
	bool room = true;
	struct cmsghdr *cmsg;
	ssize_t n;

	iov.iov_base = c->rx + c->rx_end;
	iov.iov_len = want;
	do
		n = recvmsg(c->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	if (n == 0)
		return c->rx_end > c->rx_start ? -ECONNABORTED : -ECONNRESET;
	if (mh.msg_controllen) {
		for (cmsg = CMSG_FIRSTHDR(&mh); cmsg; cmsg = CMSG_NXTHDR(&mh, cmsg))
			if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS)
				room &= take_fds(c, cmsg);
	}
	if (mh.msg_flags & MSG_CTRUNC || !room) {
		*why = "came with more file descriptors than can be taken";
		return -EPROTO;
	}
	if (c->rx_n_fds != had_fds) {
		c->rx_fds_begin = c->rx_end;
		c->rx_fds_end = c->rx_end + (size_t)n;
	}
	c->rx_end += (size_t)n;
	if (c->rx_n_fds != had_fds && (had_fds || !begins_with_fds(c))) {
		*why = "came with file descriptors after its first byte";
		return -EPROTO;
	}
	return 0;
}

int vu_chan_recv(struct vu_chan *c, struct vu_msg *msg, const char **why)
{
	struct vu_header hdr;
	size_t end = 0;
	int r;

	/* Done with the message given out before. */
	if (c->rx_msg) {
		if (c->rx_n_fds && c->rx_start + c->rx_msg >= c->rx_fds_end)
			drop_rx_fds(c);
		c->rx_start += c->rx_msg;
		c->rx_msg = 0;
	}
	if (c->rx_start == c->rx_end && !c->rx_n_fds) {
		c->rx_start = c->rx_end = 0;
		r = fill(c, sizeof(c->rx), why);
		if (r < 0)
			return r;
		/* Nearly always it is one message, whole, without descriptors. */
		memcpy(&msg->hdr, c->rx, sizeof(msg->hdr));
		if (likely(c->rx_end == sizeof(msg->hdr) + (size_t)msg->hdr.size &&
			   !c->rx_n_fds && msg->hdr.size <= VU_MAX_PAYLOAD && !c->trace)) {
			c->rx_msg = c->rx_end;
			msg->payload = c->rx + sizeof(msg->hdr);
			msg->fds = c->rx_fds;
			msg->n_fds = 0;
			return 1;
		}
	}

	for (;;) {
		size_t have = c->rx_end - c->rx_start, want;

		if (peek(c, c->rx_start, &hdr, &end)) {
			if (hdr.size > VU_MAX_PAYLOAD) {
				*why = "has a payload larger than any message";
				return -EPROTO;
			}
			if (end <= c->rx_end)
				break;
		}
		if (c->rx_start) {
			memmove(c->rx, c->rx + c->rx_start, have);
			if (c->rx_n_fds) {
				c->rx_fds_begin -= c->rx_start < c->rx_fds_begin ?
						   c->rx_start : c->rx_fds_begin;
				c->rx_fds_end -= c->rx_start;
			}
			c->rx_start = 0;
			c->rx_end = have;
		}
		/* Descriptors wait for this message: read no other's beside them. */
		want = sizeof(c->rx) - c->rx_end;
		if (c->rx_n_fds)
			want = (have < sizeof(hdr) ? sizeof(hdr) : sizeof(hdr) + hdr.size) - have;
		r = fill(c, want, why);
		if (r < 0)
			return r;
	}
	msg->hdr = hdr;
	msg->payload = c->rx + c->rx_start + sizeof(hdr);
	msg->fds = c->rx_fds;
	msg->n_fds = c->rx_n_fds && owns_fds(c, &hdr, end) ? c->rx_n_fds : 0;
	if (msg->n_fds)
		c->rx_fds_end = end;	/* so that they go with this message */
	c->rx_msg = end - c->rx_start;
	if (unlikely(c->trace != NULL))
		c->trace(c->trace_opaque, true, c->dir, &hdr, msg->payload, msg->fds, msg->n_fds);
	return 1;
}
