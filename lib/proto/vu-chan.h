/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * One vhost-user socket: framing and file descriptors, and nothing about what the
 * messages mean. It never blocks: reads take what is there and keep what is not yet
 * a message, writes queue what the socket does not take.
 */
#ifndef LIBVHOST_VU_CHAN_H
#define LIBVHOST_VU_CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/vu-msg.h"

#define VU_RX_FDS 32u
#define VU_RX_SIZE (2 * (VU_MAX_PAYLOAD + sizeof(struct vu_header)))
#define VU_TX_LIMIT (1u << 20)	/* bytes queued, in and out of a transaction */

struct vu_out;

/* Called for each whole message sent (or queued) and received. */
typedef void (*vu_trace_fn)(void *opaque, bool received, enum vu_direction dir,
			    const struct vu_header *hdr, const void *payload,
			    const int *fds, unsigned int n_fds);

struct vu_chan {
	int fd;
	enum vu_direction dir;		/* whose requests travel here */

	vu_trace_fn trace;
	void *trace_opaque;

	/* queued for sending; from @held on, nothing is sent */
	struct vu_out *out_head;
	struct vu_out **out_tail;
	struct vu_out **held;		/* NULL: not holding */
	size_t out_bytes;

	/* received: bytes [rx_start, rx_end) of the buffer are not yet consumed */
	size_t rx_start;
	size_t rx_end;
	size_t rx_msg;			/* length of the message that was given out, to be skipped */
	size_t rx_fds_begin;		/* descriptors came with the bytes from here */
	size_t rx_fds_end;		/* to before this */
	unsigned int rx_n_fds;
	int rx_fds[VU_RX_FDS];
	uint8_t rx[VU_RX_SIZE];
};

void vu_chan_init(struct vu_chan *c, enum vu_direction dir);

/* Take the socket; what an earlier one left behind is gone. */
void vu_chan_open(struct vu_chan *c, int fd);

/* Close the socket, and every descriptor that waits to be sent or taken. */
void vu_chan_close(struct vu_chan *c);

/*
 * Send a message, or queue it. @fds are borrowed. Returns 0, -ENOMEM, -EMFILE,
 * -ENOBUFS when too much is queued, or sendmsg's error: the channel is broken then.
 * @now: send it even while others are held, and before them.
 */
int vu_chan_send(struct vu_chan *c, const struct vu_header *hdr, const void *payload,
		 const int *fds, unsigned int n_fds, bool now);

/* Send what is queued. 0 if all of it that may be sent is, -EAGAIN if not, or an error. */
int vu_chan_flush(struct vu_chan *c);

/* Is there anything that vu_chan_flush() would send? */
static inline bool vu_chan_wants_out(const struct vu_chan *c)
{
	return c->out_head && c->held != &c->out_head;
}

/* Nothing is queued, held back, or half received. */
static inline bool vu_chan_is_idle(const struct vu_chan *c)
{
	return !c->out_head && !c->held && c->rx_start + c->rx_msg == c->rx_end;
}

void vu_chan_hold(struct vu_chan *c);
void vu_chan_release(struct vu_chan *c);	/* vu_chan_flush() sends them */
void vu_chan_drop_held(struct vu_chan *c);

/*
 * The next message. 1 and *msg: valid until the next call; descriptors that the caller
 * does not take (by setting them to -1) are closed then. -EAGAIN if there is none yet,
 * -ECONNRESET if the peer closed the socket between messages, -ECONNABORTED if inside
 * of one, -EPROTO if what came cannot be a message (*why says what is wrong), or
 * recvmsg's error.
 */
int vu_chan_recv(struct vu_chan *c, struct vu_msg *msg, const char **why);

/* Is there a whole message already, without asking the socket? */
bool vu_chan_has_msg(const struct vu_chan *c);

#endif
