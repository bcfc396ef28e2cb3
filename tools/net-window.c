/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */

#include <endian.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "net.h"

void window_begin(struct window *w, const struct pair *p)
{
	w->vr = p->rx;
	w->mergeable = p->net->features & F(MRG_RXBUF);
	w->used = 0;
	w->end = 0;
}

static void push_used(struct window *w)
{
	if (!w->used)
		return;
	vhost_vring_push(w->vr, w->reqs, w->used);
	vhost_vring_notify(w->vr);
	w->end -= w->used;
	memmove(w->reqs, w->reqs + w->used, w->end * sizeof(w->reqs[0]));
	w->used = 0;
}

void window_end(struct window *w)
{
	push_used(w);
	/* A broken ring takes nothing back: they are released in this way then. */
	if (w->end && vhost_vring_unpop(w->vr, w->reqs, w->end) < 0)
		vhost_vring_push(w->vr, w->reqs, w->end);
	w->end = 0;
}

bool window_room(struct window *w, uint32_t bytes)
{
	unsigned int most = w->mergeable ? WINDOW : 1;
	unsigned int i = w->used;
	uint64_t room = 0;
	int n;

	for (;;) {
		for (; i < w->end && i - w->used < most; i++) {
			room += w->reqs[i].in_len;
			if (room >= bytes)
				return true;
		}
		if (i < w->end || i - w->used == most)
			return false;
		if (w->end == WINDOW) {
			i -= w->used;
			push_used(w);
		}
		n = vhost_vring_pop(w->vr, w->reqs + w->end,
				    BURST < WINDOW - w->end ? BURST : WINDOW - w->end);
		if (n <= 0)
			return false;
		w->end += (unsigned int)n;
	}
}

void window_write(struct window *w, uint32_t at, const void *buf, size_t len)
{
	const uint8_t *from = buf;

	for (unsigned int i = w->used; len && i < w->end; i++) {
		size_t n;

		if (at >= w->reqs[i].in_len) {
			at -= w->reqs[i].in_len;
			continue;
		}
		n = vhost_req_write(&w->reqs[i], at, from, len);
		from += n;
		len -= n;
		at = 0;
	}
}

void window_commit(struct window *w, uint32_t bytes)
{
	struct vhost_req *first = &w->reqs[w->used];
	uint16_t num = 0;

	do {
		struct vhost_req *req = &w->reqs[w->used++];

		req->written = bytes < req->in_len ? bytes : req->in_len;
		bytes -= req->written;
		num++;
	} while (bytes);
	num = htole16(num);
	vhost_req_write(first, NUM_BUFFERS_AT, &num, sizeof(num));
}
