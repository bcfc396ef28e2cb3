/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A vhost-user back-end that does what a test's script says. It runs in the test's own
 * thread: its answers are put into the socket before the call that is to find them, and
 * what the call sent is looked at, byte for byte, afterwards.
 */
#ifndef LIBVHOST_TESTS_PEER_H
#define LIBVHOST_TESTS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vhost/vhost.h>

#define PEER_FDS 16u

struct peer {
	int fd;			/* the back-end's end of the socket */
	int front;		/* the front-end's, until it was given away */
	int chan;		/* the back-end's channel, -1 without */
	uint64_t features;	/* offered */
	uint64_t pf;		/* offered */
	uint64_t acked_pf;	/* in use, once open */
	unsigned int queues;
	unsigned int slots;
};

/* Message flags, as the specification numbers them. */
#define PEER_PLAIN 1u		/* version 1 */
#define PEER_NEED_REPLY 9u
#define PEER_REPLY 5u

void peer_new(struct peer *p, uint64_t features, uint64_t pf);
void peer_close(struct peer *p);
/* The connection ends; a new pair of sockets takes its place. */
void peer_renew(struct peer *p);

/* Put the answers of a negotiation in which @acked_pf will be chosen into the socket. */
void peer_answer_open(struct peer *p, uint64_t acked_pf);
/* Look at the requests of such a negotiation, and take the channel. */
void peer_expect_open(struct peer *p, uint64_t acked_pf);
/* All of it. @opts may be NULL. */
void peer_open(struct peer *p, const struct vhost_dev_opts *opts, uint64_t acked_pf,
	       vhost_dev_t **ret);

/* Send a message on @fd. */
void peer_send(int fd, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
	       const int *fds, unsigned int n_fds);
void peer_reply(struct peer *p, uint32_t request, const void *payload, uint32_t size);
void peer_reply_fd(struct peer *p, uint32_t request, const void *payload, uint32_t size, int fd);
void peer_reply_u64(struct peer *p, uint32_t request, uint64_t value);
/* What one call is answered with: an acknowledgement, or the barrier's features. */
void peer_ack(struct peer *p, uint32_t request);
/* An acknowledgement of one request among several, where there are any. */
void peer_ack_each(struct peer *p, uint32_t request);
void peer_barrier(struct peer *p);

/*
 * The next message on @fd must be this one, with @n_fds descriptors; they are given in
 * @fds, or closed without it. A NULL @payload takes any; peer_take() gives it.
 */
void peer_expect_on(int fd, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
		    int *fds, unsigned int n_fds);
void peer_take(struct peer *p, uint32_t request, uint32_t flags, void *payload, uint32_t size,
	       int *fds, unsigned int n_fds);
void peer_expect(struct peer *p, uint32_t request, uint32_t flags, const void *payload,
		 uint32_t size);
void peer_expect_fd(struct peer *p, uint32_t request, uint32_t flags, const void *payload,
		    uint32_t size, int *fd);
/* With the flag that an acknowledged request has here. */
void peer_expect_set(struct peer *p, uint32_t request, const void *payload, uint32_t size);
void peer_expect_set_fd(struct peer *p, uint32_t request, const void *payload, uint32_t size,
			int *fd);
void peer_expect_u64(struct peer *p, uint32_t request, uint64_t value);
void peer_expect_state(struct peer *p, uint32_t request, uint32_t index, uint32_t num);
/* The barrier that stands in for acknowledgements, where there are none. */
void peer_expect_barrier(struct peer *p);
void peer_expect_nothing(struct peer *p);

bool peer_has(const struct peer *p, unsigned int bit);
/* Do two descriptors stand for the same open file, or socket, or eventfd? */
bool peer_same_file(int a, int b);

#endif
