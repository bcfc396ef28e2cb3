/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A tap interface of the host: frames go in and out with the header of virtio, so that
 * the guest and the host leave checksums and segmentation to each other.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net.h"

#define MOST_IOV 1024		/* of one system call (IOV_MAX) */
#define GATHER 128u		/* pieces of one read */
#define PLAIN (HEADER + 1518u)	/* a frame that nothing was merged into, mostly */

/* What has no room in the buffers that were taken ahead. */
static uint8_t overflow[FRAME_MAX];

/* ----------------------------------------------------- driver to the network */

bool tap_transmit(struct pair *p)
{
	struct vhost_req reqs[BURST];
	int n = pop_sent(p->tx, reqs);

	if (n <= 0)
		return false;
	for (int i = 0; i < n; i++) {
		const struct vhost_req *req = &reqs[i];

		/* A tap that does not take a frame drops it, as a network may. */
		if (req->out_len < HEADER + ETHER || req->out > MOST_IOV ||
		    writev(p->tap.fd, req->iov, (int)req->out) < 0)
			p->net->malformed++;
	}
	vhost_vring_push(p->tx, reqs, (unsigned int)n);
	vhost_vring_notify(p->tx);
	return true;
}

/* ----------------------------------------------------- network to the driver */

/* The pieces from @used on, and the overflow: how many, and how many bytes before it. */
static unsigned int gather(struct window *w, uint32_t want, struct iovec *iov, uint32_t *ret_room)
{
	unsigned int n = 0;
	uint32_t room = 0;

	for (unsigned int i = w->used; i < w->end && room < want; i++) {
		const struct vhost_req *req = &w->reqs[i];

		if (req->in > GATHER - n || (i > w->used && !w->mergeable))
			break;
		memcpy(iov + n, req->iov + req->out, req->in * sizeof(iov[0]));
		n += req->in;
		room += req->in_len;
	}
	iov[n++] = (struct iovec){ overflow, sizeof(overflow) };
	*ret_room = room;
	return n;
}

/* One frame: 1; 0 if there is none; -ENOBUFS if there is no buffer for any. */
static int receive(struct pair *p, struct window *w)
{
	static const uint8_t zeros[NUM_BUFFERS_AT];
	struct net *net = p->net;
	struct iovec iov[GATHER + 1];
	uint32_t want = net->features & (F(GUEST_TSO4) | F(GUEST_TSO6)) ? FRAME_MAX : PLAIN;
	uint32_t room;
	unsigned int n_iov;
	ssize_t n;

	/* Less will do, as long as there is some: most frames are small. */
	if (!window_room(w, want) && w->used == w->end)
		return -ENOBUFS;
	if (w->reqs[w->used].in_len < HEADER) {
		vhost_vring_break(p->rx, "a receive buffer has no room for a frame's header");
		return -ENOBUFS;
	}
	n_iov = gather(w, want, iov, &room);
	n = readv(p->tap.fd, iov, (int)n_iov);
	if (n < 0)
		return 0;
	if ((size_t)n < HEADER + ETHER) {
		net->malformed++;
		return 1;
	}
	if (!window_room(w, (uint32_t)n)) {
		net->dropped++;
		return 1;
	}
	if ((uint32_t)n > room)
		window_write(w, room, overflow, (size_t)n - room);
	/* Without GUEST_CSUM the driver takes no word about checksums. */
	if (!(net->features & F(GUEST_CSUM)))
		window_write(w, 0, zeros, sizeof(zeros));
	window_commit(w, (uint32_t)n);
	return 1;
}

/* The driver has no buffers: the frames wait in the tap until it notifies of some. */
static void starve(struct pair *p)
{
	program_watch(&p->net->program, &p->tap, 0);
	if (vhost_vring_set_notify(p->rx, true) == 1)
		tap_resume(p);
}

static void tap_ready(struct watch *t)
{
	struct pair *p = t->opaque;
	struct window w;
	int r = 1;

	window_begin(&w, p);
	for (unsigned int i = 0; i < BURST && r == 1; i++)
		r = receive(p, &w);
	window_end(&w);
	if (r == -ENOBUFS)
		starve(p);
}

void tap_resume(struct pair *p)
{
	if (!p->running || p->tap.events)
		return;
	vhost_vring_set_notify(p->rx, false);
	program_watch(&p->net->program, &p->tap, EPOLLIN);
}

/* ------------------------------------------------------------ the interface */

static int attach(struct pair *p, bool on)
{
	struct ifreq ifr = { .ifr_flags = (short)(on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE) };

	if (on == p->attached)
		return 0;
	if (ioctl(p->tap.fd, TUNSETQUEUE, &ifr) < 0)
		return -errno;
	p->attached = on;
	return 0;
}

void tap_update(struct pair *p)
{
	bool used = p->running && p->index < p->net->limit;
	int r;

	if (!used)
		program_watch(&p->net->program, &p->tap, 0);
	/* The host spreads its frames over those that are attached; one is, always. */
	r = p->index ? attach(p, used) : 0;
	if (r < 0)
		complain("cannot %s queue %u of %s: %s", used ? "attach" : "detach", p->index,
			 p->net->tap, strerror(-r));
	if (used)
		tap_resume(p);
}

void tap_set_features(struct net *n)
{
	unsigned int offload = 0;

	if (n->features & F(GUEST_CSUM)) {
		offload = TUN_F_CSUM;
		if (n->features & F(GUEST_TSO4))
			offload |= TUN_F_TSO4;
		if (n->features & F(GUEST_TSO6))
			offload |= TUN_F_TSO6;
		if (n->features & F(GUEST_ECN) && offload != TUN_F_CSUM)
			offload |= TUN_F_TSO_ECN;
	}
	if (ioctl(n->pairs[0].tap.fd, TUNSETOFFLOAD, offload) < 0)
		complain("cannot set the offloads of %s: %s", n->tap, strerror(errno));
}

/* Reverse ARP, RFC 903: switches learn from it where the guest is now. */
int tap_send_rarp(struct net *n, const uint8_t *mac)
{
	static const uint8_t type[] = {
		0x80, 0x35,			/* RARP */
		0, 1, 0x08, 0, 6, 4, 0, 3	/* Ethernet, IPv4, request */
	};
	uint8_t frame[HEADER + 60] = { 0 };
	uint8_t *at = frame + HEADER;

	memset(at, 0xff, 6);
	memcpy(at + 6, mac, 6);
	memcpy(at + 12, type, sizeof(type));
	memcpy(at + 22, mac, 6);
	memcpy(at + 32, mac, 6);
	return write(n->pairs[0].tap.fd, frame, sizeof(frame)) < 0 ? -errno : 0;
}

static int open_queue(struct pair *p, bool multi)
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
						  (multi ? IFF_MULTI_QUEUE : 0)) };
	int size = HEADER, little = 1;
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int r;

	if (fd < 0) {
		complain("cannot open /dev/net/tun: %s", strerror(errno));
		return -errno;
	}
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", p->net->tap);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0 || ioctl(fd, TUNSETVNETLE, &little) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	p->tap = (struct watch){ .fd = fd, .ready = tap_ready, .opaque = p };
	p->attached = true;
	return 0;
}

int tap_open(struct net *n)
{
	bool multi = n->n_pairs > 1;
	int r = 0;

	if (strlen(n->tap) >= IFNAMSIZ || !*n->tap) {
		complain("--tap: \"%s\" is not the name of an interface", n->tap);
		return -EINVAL;
	}
	for (unsigned int i = 0; i < n->n_pairs && r == 0; i++) {
		r = open_queue(&n->pairs[i], multi);
		/* One that was made for many queues is opened so by one, as well. */
		if (r == -EINVAL && i == 0 && !multi) {
			multi = true;
			r = open_queue(&n->pairs[i], multi);
		}
		if (r == 0 && i)
			r = attach(&n->pairs[i], false);
	}
	if (r < 0)
		complain("cannot use the tap interface %s: %s%s", n->tap, strerror(-r),
			 r == -EPERM ? "; making one takes CAP_NET_ADMIN: have it made for this "
				       "user with ip tuntap add" :
			 r == -EBUSY ? "; another program uses it" :
			 r == -EINVAL ? "; was it made with multi_queue?" : "");
	return r;
}

void tap_close(struct net *n)
{
	for (unsigned int i = 0; n->pairs && i < n->n_pairs; i++)
		if (n->pairs[i].tap.fd >= 0)
			close(n->pairs[i].tap.fd);
}
