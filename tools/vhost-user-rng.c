/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A virtio entropy device (VIRTIO 1.3, 5.4), and the shortest program that serves a
 * whole one. Read it first; vhost-backend-tutorial(7) explains it line by line.
 *
 * The driver puts requests into the one queue of the device. Each is a list of buffers,
 * which the device fills with random bytes.
 */
#include <sys/random.h>

#include "backend-program.h"

#define BURST 32		/* requests that are taken and given back at once */
#define MOST 4096u		/* bytes per request: nobody keeps us from serving others */

/* The buffers are in our memory; written says how many bytes of them are ours now. */
static void fill(struct vhost_req *req)
{
	for (unsigned int i = req->out; i < req->out + req->in && req->written < MOST; i++) {
		size_t room = MOST - req->written;
		size_t len = req->iov[i].iov_len < room ? req->iov[i].iov_len : room;
		ssize_t n = getrandom(req->iov[i].iov_base, len, GRND_NONBLOCK);

		if (n > 0)
			req->written += (uint32_t)n;
		if (n < (ssize_t)len)
			break;	/* fewer than were asked for is a good answer, too */
	}
}

/* There may be requests. Take them, do them, give them back, and tell the driver once. */
static void queue_ready(vhost_vring_t *vr, void *opaque)
{
	struct vhost_req reqs[BURST];
	int n;

	(void)opaque;		/* no state but the library's: a device has hardly less */
	do {
		n = vhost_vring_pop(vr, reqs, BURST);
		for (int i = 0; i < n; i++)
			fill(&reqs[i]);
		if (n > 0)
			vhost_vring_push(vr, reqs, (unsigned int)n);
	} while (n == BURST);	/* fewer: the driver notifies of more, or broke its ring */
	vhost_vring_notify(vr);
}

static const struct vhost_backend_ops ops = {
	.device_id = VHOST_DEVICE_RNG,
	.max_queues = 1,
	.queue_ready = queue_ready,
};

int main(int argc, char **argv)
{
	struct program program = {
		.name = "vhost-user-rng", .type = "rng", .arguments = "", .help = "",
	};
	vhost_backend_t *be;
	int code = EXIT_FAILED;

	program_start(&program, argc, argv);	/* --socket-path, --fd, --help and so on */
	if (vhost_backend_new(&ops, sizeof(ops), NULL, &be) < 0) {
		complain("cannot make a back-end: %s", vhost_last_error());
		return code;
	}
	code = program_serve(&program, be);	/* until SIGTERM */
	vhost_backend_unref(be);
	return code;
}
