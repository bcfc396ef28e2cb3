/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* A network card (VIRTIO 1.3, 5.1), on a tap interface or with a plug in its socket. */

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_net.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"
#include "parse.h"

#define TURN_BURSTS 8u		/* of one pair, before others have their turn */
#define SPINS 256u		/* looks at a queue, before one at everything else */
#define WORK_MAX 16u		/* of these, that found something to do */
#define IN_ORDER (1ULL << 35)	/* requests are given back in the order in which they came */

/* All fields of VIRTIO 1.3: front-ends read more than is offered. Those are zero. */
#define CONFIG_SIZE 24u
/* The fields up to that of MTU */
#define CONFIG_USED (offsetof(struct virtio_net_config, mtu) + 2)

/* ------------------------------------------------------------------- queues */

/*
 * The control queue is behind those for frames: all that are offered with MQ, the first
 * pair without (VIRTIO 1.3, 5.1.2).
 */
static unsigned int control_index(const struct net *n)
{
	return n->features & F(MQ) ? 2 * n->n_pairs : 2;
}

static bool is_control(const struct net *n, unsigned int index)
{
	return n->features & F(CTRL_VQ) && index == control_index(n);
}

static bool transmit(struct pair *p, unsigned int bursts)
{
	bool any = false;

	while (bursts-- && (p->net->loopback ? loopback_transmit(p) : tap_transmit(p)))
		any = true;
	return any;
}

static void transmit_ready(struct pair *p)
{
	/* The library bounds what a turn takes of a ring, and calls again. */
	if (!transmit(p, UINT32_MAX) || !p->net->program.poll_us || p->polled)
		return;
	program_polls(&p->net->program, true);
	vhost_vring_set_notify(p->tx, false);
	p->polled = true;
	p->net->n_polled++;
}

static void stop_polling(struct pair *p)
{
	/* What came while notifications were still off would not be told of. */
	if (vhost_vring_set_notify(p->tx, true) == 1) {
		vhost_vring_set_notify(p->tx, false);
		return;
	}
	p->polled = false;
	p->net->n_polled--;
}

static int turn(struct program *program)
{
	struct net *n = program->opaque;
	unsigned int worked = 0;

	for (unsigned int spin = 0; spin < SPINS && n->n_polled && worked < WORK_MAX;
	     spin += n->n_polled)
		for (unsigned int i = 0; i < n->n_pairs; i++)
			if (n->pairs[i].polled)
				worked += transmit(&n->pairs[i], TURN_BURSTS);
	if (!n->n_polled)
		return -1;
	if (program_polls(program, worked > 0))
		return 0;
	for (unsigned int i = 0; i < n->n_pairs; i++)
		if (n->pairs[i].polled)
			stop_polling(&n->pairs[i]);
	return n->n_polled ? 0 : -1;
}

static void set_limit(struct net *n, unsigned int limit)
{
	n->limit = limit;
	for (unsigned int i = 0; n->tap && i < n->n_pairs; i++)
		tap_update(&n->pairs[i]);
}

/* ------------------------------------------------------------ control queue */

static uint8_t set_mac(struct net *n, const struct vhost_req *req)
{
	uint8_t mac[6];

	if (!(n->features & F(CTRL_MAC_ADDR)) ||
	    vhost_req_read(req, sizeof(struct virtio_net_ctrl_hdr), mac, sizeof(mac)) < sizeof(mac))
		return VIRTIO_NET_ERR;
	vhost_backend_set_config(n->be, offsetof(struct virtio_net_config, mac), mac, sizeof(mac));
	return VIRTIO_NET_OK;
}

static uint8_t set_pairs(struct net *n, const struct vhost_req *req)
{
	uint16_t pairs;

	if (!(n->features & F(MQ)) ||
	    vhost_req_read(req, sizeof(struct virtio_net_ctrl_hdr), &pairs, sizeof(pairs)) <
	    sizeof(pairs))
		return VIRTIO_NET_ERR;
	pairs = le16toh(pairs);
	if (!pairs || pairs > n->n_pairs)
		return VIRTIO_NET_ERR;
	set_limit(n, pairs);
	return VIRTIO_NET_OK;
}

/*
 * VIRTIO 1.3, 5.1.6.5. Filters are best-effort: letting through what was not asked for is
 * allowed, and is all that is done here.
 */
static uint8_t control(struct net *n, const struct vhost_req *req)
{
	struct virtio_net_ctrl_hdr hdr;

	if (vhost_req_read(req, 0, &hdr, sizeof(hdr)) < sizeof(hdr))
		return VIRTIO_NET_ERR;
	switch (hdr.class) {
	case VIRTIO_NET_CTRL_RX:
		return hdr.cmd <= VIRTIO_NET_CTRL_RX_NOBCAST ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	case VIRTIO_NET_CTRL_MAC:
		if (hdr.cmd == VIRTIO_NET_CTRL_MAC_ADDR_SET)
			return set_mac(n, req);
		return hdr.cmd == VIRTIO_NET_CTRL_MAC_TABLE_SET ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	case VIRTIO_NET_CTRL_VLAN:
		return hdr.cmd <= VIRTIO_NET_CTRL_VLAN_DEL ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	case VIRTIO_NET_CTRL_ANNOUNCE:
		return hdr.cmd == VIRTIO_NET_CTRL_ANNOUNCE_ACK ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	case VIRTIO_NET_CTRL_MQ:
		return hdr.cmd == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET ? set_pairs(n, req) :
								    VIRTIO_NET_ERR;
	}
	return VIRTIO_NET_ERR;
}

static void control_ready(struct net *n, vhost_vring_t *vr)
{
	struct vhost_req req;

	while (vhost_vring_pop(vr, &req, 1) == 1) {
		if (req.in_len) {
			uint8_t ack = control(n, &req);

			vhost_req_write(&req, req.in_len - 1, &ack, sizeof(ack));
			req.written = req.in_len;
		} else {
			vhost_vring_break(vr, "a command has no room for its acknowledgement");
		}
		vhost_vring_push(vr, &req, 1);
	}
	vhost_vring_notify(vr);
}

/* ---------------------------------------------------------------- callbacks */

static struct pair *pair_of(struct net *n, vhost_vring_t *vr)
{
	unsigned int index = vhost_vring_get_index(vr);

	return index < 2 * n->n_pairs ? &n->pairs[index / 2] : NULL;
}

static void queue_start(vhost_vring_t *vr, void *opaque)
{
	struct net *n = opaque;
	struct pair *p = pair_of(n, vr);

	if (is_control(n, vhost_vring_get_index(vr))) {
		/* The driver begins with one pair, and says when it wants more. */
		if (n->features & F(MQ))
			set_limit(n, 1);
	} else if (p && vr == p->rx) {
		p->running = true;
		if (n->tap)
			tap_update(p);
	}
}

static void queue_stop(vhost_vring_t *vr, void *opaque)
{
	struct net *n = opaque;
	struct pair *p = pair_of(n, vr);

	if (is_control(n, vhost_vring_get_index(vr))) {
		set_limit(n, n->n_pairs);
	} else if (p && vr == p->rx) {
		p->running = false;
		if (n->tap)
			tap_update(p);
	}
}

static void queue_ready(vhost_vring_t *vr, void *opaque)
{
	struct net *n = opaque;
	struct pair *p = pair_of(n, vr);

	if (is_control(n, vhost_vring_get_index(vr)))
		control_ready(n, vr);
	else if (p && vr == p->tx)
		transmit_ready(p);
	else if (p && n->tap && p->index < n->limit)
		tap_resume(p);
}

static int set_features(vhost_backend_t *be, uint64_t features, void *opaque)
{
	struct net *n = opaque;

	(void)be;
	n->features = features;
	if (n->tap)
		tap_set_features(n);
	return 0;
}

static int set_mtu(vhost_backend_t *be, uint16_t mtu, void *opaque)
{
	const struct net *n = opaque;

	(void)be;
	return mtu < MTU_MIN || (n->mtu && mtu > n->mtu) ? -EINVAL : 0;
}

static int send_rarp(vhost_backend_t *be, const uint8_t *mac, void *opaque)
{
	(void)be;
	return tap_send_rarp(opaque, mac);
}

static void disconnected(vhost_backend_t *be, int status, void *opaque)
{
	struct net *n = opaque;

	(void)be;
	(void)status;
	if (n->dropped)
		complain("frames dropped for want of receive buffers: %" PRIu64, n->dropped);
	if (n->malformed)
		complain("frames dropped as too short, too long, or refused by the host: %" PRIu64,
			 n->malformed);
	n->dropped = n->malformed = 0;
}

/* ------------------------------------------------------------------ program */

enum {
	OPT_TAP = OPTION_OWN,
	OPT_LOOPBACK,
	OPT_QUEUE_PAIRS,
	OPT_MTU,
	OPT_MAC
};

static const struct option options[] = {
	{ "tap", required_argument, NULL, OPT_TAP },
	{ "loopback", no_argument, NULL, OPT_LOOPBACK },
	{ "queue-pairs", required_argument, NULL, OPT_QUEUE_PAIRS },
	{ "mtu", required_argument, NULL, OPT_MTU },
	{ "mac", required_argument, NULL, OPT_MAC },
	{ NULL, 0, NULL, 0 }
};

static int option(struct program *p, int value, const char *arg)
{
	struct net *n = p->opaque;

	switch (value) {
	case OPT_TAP:
		n->tap = arg;
		return 0;
	case OPT_LOOPBACK:
		n->loopback = true;
		return 0;
	case OPT_QUEUE_PAIRS:
		return program_number("--queue-pairs", arg, 1, MAX_PAIRS, &n->n_pairs);
	case OPT_MTU:
		return program_number("--mtu", arg, MTU_MIN, 65535, &n->mtu);
	case OPT_MAC:
		n->has_mac = true;
		if (parse_mac(arg, n->mac) == 0 && !(n->mac[0] & 1))
			return 0;
		complain("--mac: \"%s\" is not the address of an interface", arg);
		return -EINVAL;
	}
	return -EINVAL;
}

static int set_up(struct net *n)
{
	if (!n->tap == !n->loopback) {
		complain(n->tap ? "--tap and --loopback exclude each other" :
				  "--tap or --loopback is needed");
		return EXIT_USAGE;
	}
	n->limit = n->n_pairs;
	n->pairs = calloc(n->n_pairs, sizeof(*n->pairs));
	if (!n->pairs) {
		complain("cannot make the queues: %s", strerror(ENOMEM));
		return EXIT_FAILED;
	}
	for (unsigned int i = 0; i < n->n_pairs; i++)
		n->pairs[i] = (struct pair){ .net = n, .index = i, .tap = { .fd = -1 } };
	return n->tap && tap_open(n) < 0 ? EXIT_FAILED : EXIT_OK;
}

static uint64_t offered(const struct net *n)
{
	uint64_t f = F(MRG_RXBUF) | F(STATUS) | F(CTRL_VQ) | F(CTRL_RX) | F(CTRL_RX_EXTRA) |
		     F(CTRL_VLAN) | F(CTRL_MAC_ADDR) | F(GUEST_ANNOUNCE) | IN_ORDER |
		     F(CSUM) | F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_ECN) |
		     F(GUEST_CSUM) | F(GUEST_TSO4) | F(GUEST_TSO6) | F(GUEST_ECN);

	if (n->n_pairs > 1)
		f |= F(MQ);
	if (n->mtu)
		f |= F(MTU);
	if (n->has_mac)
		f |= F(MAC);
	return f;
}

static int serve_card(struct net *n)
{
	struct vhost_backend_ops ops = {
		.device_id = VHOST_DEVICE_NET,
		.max_queues = 2 * n->n_pairs + 1,
		.features = offered(n),
		/* Front-ends mostly have a configuration space of their own, and some warn of another. */
		.config_size = n->mtu || n->has_mac ? CONFIG_SIZE : 0,
		.disconnected = disconnected,
		.set_features = set_features,
		.queue_start = queue_start,
		.queue_ready = queue_ready,
		.queue_stop = queue_stop,
		.set_mtu = set_mtu,
		.send_rarp = n->tap ? send_rarp : NULL,
	};
	struct virtio_net_config config = {
		.status = htole16(VIRTIO_NET_S_LINK_UP),
		.max_virtqueue_pairs = htole16((uint16_t)n->n_pairs),
		.mtu = htole16((uint16_t)n->mtu),
	};

	memcpy(config.mac, n->mac, sizeof(config.mac));
	if (vhost_backend_new(&ops, sizeof(ops), n, &n->be) < 0) {
		complain("cannot make a back-end: %s", vhost_last_error());
		return EXIT_FAILED;
	}
	if (ops.config_size)
		vhost_backend_set_config(n->be, 0, &config, CONFIG_USED);
	for (unsigned int i = 0; i < n->n_pairs; i++) {
		struct pair *p = &n->pairs[i];

		p->rx = vhost_backend_get_vring(n->be, 2 * i);
		p->tx = vhost_backend_get_vring(n->be, 2 * i + 1);
		/* New receive buffers matter only to who waits for some. */
		vhost_vring_set_notify(p->rx, false);
	}
	return program_serve(&n->program, n->be);
}

static struct net net = {
	.n_pairs = 1,
	.program = {
		.name = "vhost-user-net", .type = "net",
		.arguments = "--tap=IF | --loopback ...",
		.help = "  --tap=IF             frames go to and come from this tap interface, which\n"
			"                       is made if it is not there\n"
			"  --loopback           frames come back, with their addresses swapped\n"
			"  --queue-pairs=N      offer so many pairs of queues (default 1)\n"
			"  --mtu=N              tell the guest this MTU\n"
			"  --mac=ADDR           tell the guest this address\n",
		.options = options, .option = option, .turn = turn, .opaque = &net,
	},
};

int main(int argc, char **argv)
{
	int code;

	program_start(&net.program, argc, argv);
	code = set_up(&net);
	if (code == EXIT_OK)
		code = serve_card(&net);
	vhost_backend_unref(net.be);
	tap_close(&net);
	free(net.pairs);
	return code;
}
