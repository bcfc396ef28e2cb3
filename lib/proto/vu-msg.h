/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The message table: one row says all there is to know about a message. The
 * front-end, the back-end's channel, the tracer and the tests read the same rows.
 * No I/O here, and no policy: bytes in, verdict out.
 */
#ifndef LIBVHOST_VU_MSG_H
#define LIBVHOST_VU_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vu-wire.h"

enum vu_direction {
	VU_FRONTEND = 0,	/* requests of the front-end, and their replies */
	VU_BACKEND = 1		/* requests of the back-end, and their replies */
};

/* How long a payload is. */
enum vu_size_rule {
	VU_SIZE_RANGE,		/* min to max */
	VU_SIZE_TABLE,		/* struct vu_mem_table and its regions */
	VU_SIZE_CONFIG,		/* struct vu_config and as many bytes as it says */
	VU_SIZE_XEN		/* min, or max with XEN_MMAP */
};

struct vu_size {
	uint8_t rule;
	uint16_t min;
	uint16_t max;
};

/* How many file descriptors come along. */
enum vu_fd_rule {
	VU_FD_NONE,
	VU_FD_ONE,
	VU_FD_OPTIONAL,		/* none or one */
	VU_FD_NOFD_BIT,		/* one, or none where VU_VRING_NOFD is set */
	VU_FD_TABLE		/* one a region of struct vu_mem_table */
};

/* What is answered. */
enum vu_reply_rule {
	VU_REPLY_ACK,		/* a u64, if it is asked for and REPLY_ACK was negotiated */
	VU_REPLY_ALWAYS,	/* the reply of the row */
	VU_REPLY_LOG		/* as ALWAYS with LOG_SHMFD, else nothing */
};

/* Which of the answers that a request can have is the one to come. */
enum vu_expect {
	VU_EXPECT_ROW,		/* the reply of the row */
	VU_EXPECT_ACK,		/* a u64: the row has no reply of its own, but NEED_REPLY was set */
	VU_EXPECT_ECHO		/* the request's own payload: memory while postcopy is under way */
};

#define VU_GATE_NONE 0xff

struct vu_row {
	const char *name;
	uint8_t gate;		/* protocol feature bit that opens it */
	uint8_t fds;		/* enum vu_fd_rule of the request */
	uint8_t reply;		/* enum vu_reply_rule */
	uint8_t reply_fds;	/* enum vu_fd_rule of the reply */
	struct vu_size size;	/* of the request */
	struct vu_size reply_size;
};

/* A message, checked or not: the payload is where the reader has it. */
struct vu_msg {
	struct vu_header hdr;
	const void *payload;
	int *fds;
	unsigned int n_fds;
};

enum vu_verdict {
	VU_OK = 0,
	VU_BAD_REQUEST,		/* no such message */
	VU_BAD_VERSION,
	VU_BAD_REPLY_FLAG,	/* a reply where a request belongs, or the other way round */
	VU_BAD_GATE,		/* the feature that opens it was not negotiated */
	VU_BAD_SIZE,
	VU_BAD_FDS
};

extern const struct vu_row vu_frontend_rows[VU_REQUEST_LAST + 1];
extern const struct vu_row vu_backend_rows[VU_BACKEND_REQUEST_LAST + 1];

/* The row of a message, or NULL if there is no such message. */
static inline const struct vu_row *vu_row(enum vu_direction dir, uint32_t request)
{
	const struct vu_row *rows = dir == VU_BACKEND ? vu_backend_rows : vu_frontend_rows;
	uint32_t last = dir == VU_BACKEND ? VU_BACKEND_REQUEST_LAST : VU_REQUEST_LAST;

	return request && request <= last ? &rows[request] : NULL;
}
bool vu_row_is_open(const struct vu_row *row, uint64_t protocol_features);

/* Is a payload of @size bytes that starts with @payload what the rule says? */
bool vu_size_ok(const struct vu_size *rule, const void *payload, uint32_t size,
		uint64_t protocol_features);

/* The most bytes that a payload by this row can have, in either direction. */
uint32_t vu_row_max(const struct vu_row *row);

enum vu_verdict vu_check_request(enum vu_direction dir, const struct vu_msg *msg,
				 uint64_t protocol_features);

enum vu_verdict vu_check_reply(enum vu_direction dir, uint32_t request, enum vu_expect expect,
			       const struct vu_msg *msg, uint64_t protocol_features);

/*
 * Is this beyond doubt the reply that the row describes? Most are; what is not is for
 * vu_check_reply() to judge.
 */
static inline bool vu_is_plain_reply(const struct vu_row *row, uint32_t request,
				     const struct vu_msg *msg)
{
	return msg->hdr.request == request && msg->hdr.flags == (VU_VERSION | VU_REPLY) &&
	       row->reply_size.rule == VU_SIZE_RANGE && row->reply_size.min == msg->hdr.size &&
	       row->reply_size.max == msg->hdr.size && row->reply_fds == VU_FD_NONE &&
	       msg->n_fds == 0;
}

const char *vu_verdict_text(enum vu_verdict verdict);

/* Decode a message's fields for people. Returns snprintf's length; always terminated. */
int vu_text(enum vu_direction dir, const struct vu_header *hdr, const void *payload,
	    unsigned int n_fds, char *buf, size_t size);

#endif
