/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* A network card (VIRTIO 1.3, 5.1): what the files of vhost-user-net share. */
#ifndef VHOST_USER_NET_H
#define VHOST_USER_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "backend-program.h"

#define BURST 32u
#define MAX_PAIRS 127u		/* and a control queue, of 256 queues at most */
#define HEADER 12u		/* before every frame, with VERSION_1 (VIRTIO 1.3, 5.1.6) */
#define NUM_BUFFERS_AT 10u	/* in it */
#define ETHER 14u		/* the least that a frame has */
#define FRAME_MAX 65562u	/* with its header: the largest that segmentation makes */
#define MTU_MIN 68u

#define F(name) (1ULL << VIRTIO_NET_F_##name)

struct pair {
	struct net *net;
	unsigned int index;
	vhost_vring_t *rx;
	vhost_vring_t *tx;
	struct watch tap;	/* fd is -1 without a tap */
	bool attached;		/* the tap's queue gets frames */
	bool running;		/* the receive queue does */
	bool polled;		/* the transmit queue is: the driver need not notify */
};

struct net {
	struct program program;
	vhost_backend_t *be;
	uint64_t features;	/* negotiated */
	unsigned int limit;	/* pairs that the driver wants to use */
	unsigned int n_polled;
	uint64_t dropped;	/* no buffer to receive into */
	uint64_t malformed;	/* too short, too long, or refused by the host */
	struct pair *pairs;

	/* options */
	const char *tap;
	bool loopback;
	bool has_mac;
	uint8_t mac[6];
	unsigned int mtu;	/* 0: not given */
	unsigned int n_pairs;
};

/*
 * Buffers to receive into: some are taken ahead, and what was not needed is put back.
 * reqs[0] to reqs[used - 1] have frames, reqs[used] to reqs[end - 1] are empty.
 */
#define WINDOW 128u
struct window {
	vhost_vring_t *vr;
	bool mergeable;
	unsigned int used;
	unsigned int end;
	struct vhost_req reqs[WINDOW];
};

void window_begin(struct window *w, const struct pair *p);
/* Have @bytes of room from @used on, with more buffers if need be; false if there are none. */
bool window_room(struct window *w, uint32_t bytes);
/* Copy @len bytes behind the @at bytes from @used on. There is room. */
void window_write(struct window *w, uint32_t at, const void *buf, size_t len);
/* What there is from @used on is a frame of @bytes, header included; its header gets complete. */
void window_commit(struct window *w, uint32_t bytes);
/* Give the driver what has frames, and back the rest. */
void window_end(struct window *w);

/* One burst; false if there was nothing to do. */
bool loopback_transmit(struct pair *p);

/* net-tap.c: each complains by itself where it fails. */
int tap_open(struct net *n);
void tap_close(struct net *n);
void tap_set_features(struct net *n);
/* The pair was started or stopped, or the driver wants more or fewer of them. */
void tap_update(struct pair *p);
bool tap_transmit(struct pair *p);
/* The driver has given buffers. */
void tap_resume(struct pair *p);
int tap_send_rarp(struct net *n, const uint8_t *mac);

/*
 * Take what the driver sends, all of which is to be read (VIRTIO 1.3, 5.1.6.2), whatever
 * its flags: DPDK's virtio_user leaves WRITE on one in the tables of packed rings.
 */
static inline int pop_sent(vhost_vring_t *vr, struct vhost_req *reqs)
{
	int n = vhost_vring_pop(vr, reqs, BURST);

	for (int i = 0; i < n; i++) {
		reqs[i].out += reqs[i].in;
		reqs[i].out_len += reqs[i].in_len;
		reqs[i].in = reqs[i].in_len = 0;
	}
	return n;
}

#endif
