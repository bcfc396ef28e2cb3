/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* What is sent comes back, with source and destination swapped; no network is needed. */

#include <linux/virtio_net.h>
#include <string.h>

#include "net.h"

#define MAC 6u

/*
 * The header as it comes back: checksums and segmentation that the driver left to us are
 * left to it again, if it accepted that (VIRTIO 1.3, 5.1.6.4).
 */
static bool turn_header(const struct net *n, const struct vhost_req *req,
			struct virtio_net_hdr_mrg_rxbuf *ret)
{
	struct virtio_net_hdr *h = &ret->hdr;
	uint64_t needs = 0;

	vhost_req_read(req, 0, ret, HEADER);
	h->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	if (!h->flags && h->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		memset(ret, 0, sizeof(*ret));
		return true;
	}
	needs |= h->flags ? F(GUEST_CSUM) : 0;
	needs |= h->gso_type & VIRTIO_NET_HDR_GSO_ECN ? F(GUEST_ECN) : 0;
	switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		break;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		needs |= F(GUEST_TSO4);
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		needs |= F(GUEST_TSO6);
		break;
	default:
		return false;
	}
	return !(needs & ~n->features);
}

/* The whole frame in one piece on both sides, which is how drivers mostly have it. */
static bool copy_simple(const struct vhost_req *from, const struct vhost_req *to,
			const struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	const uint8_t *src = from->iov[0].iov_base;
	uint8_t *dst = to->iov[to->out].iov_base;
	size_t len = from->out_len;

	if (from->out != 1 || to->iov[to->out].iov_len < len)
		return false;
	memcpy(dst, hdr, HEADER);
	memcpy(dst + HEADER, src + HEADER + MAC, MAC);
	memcpy(dst + HEADER + MAC, src + HEADER, MAC);
	memcpy(dst + HEADER + 2 * MAC, src + HEADER + 2 * MAC, len - HEADER - 2 * MAC);
	return true;
}

static void copy(const struct vhost_req *from, struct window *to,
		 const struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	uint32_t at = HEADER + 2 * MAC;
	uint32_t skip = at;
	uint8_t macs[2 * MAC] = { 0 };

	vhost_req_read(from, HEADER, macs, sizeof(macs));
	window_write(to, 0, hdr, HEADER);
	window_write(to, HEADER, macs + MAC, MAC);
	window_write(to, HEADER + MAC, macs, MAC);
	for (unsigned int i = 0; i < from->out; i++) {
		const struct iovec *v = &from->iov[i];
		size_t n;

		if (skip >= v->iov_len) {
			skip -= (uint32_t)v->iov_len;
			continue;
		}
		n = v->iov_len - skip;
		window_write(to, at, (const uint8_t *)v->iov_base + skip, n);
		at += (uint32_t)n;
		skip = 0;
	}
}

bool loopback_transmit(struct pair *p)
{
	struct vhost_req reqs[BURST];
	struct net *net = p->net;
	struct virtio_net_hdr_mrg_rxbuf hdr;
	struct window w;
	int n = pop_sent(p->tx, reqs);

	if (n <= 0)
		return false;
	window_begin(&w, p);
	for (int i = 0; i < n; i++) {
		const struct vhost_req *req = &reqs[i];

		if (req->out_len < HEADER + ETHER || req->out_len > FRAME_MAX ||
		    !turn_header(net, req, &hdr)) {
			net->malformed++;
		} else if (!p->running || !window_room(&w, req->out_len)) {
			net->dropped++;
		} else {
			if (!copy_simple(req, &w.reqs[w.used], &hdr))
				copy(req, &w, &hdr);
			window_commit(&w, req->out_len);
		}
	}
	window_end(&w);
	vhost_vring_push(p->tx, reqs, (unsigned int)n);
	vhost_vring_notify(p->tx);
	return true;
}
