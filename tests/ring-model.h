/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A device's side of a queue, for tests of the driver's side: written from VIRTIO 1.3,
 * 2.7 and 2.8, sharing nothing with lib/ring. It trusts nothing either: what the driver
 * must not do, it reports.
 */
#ifndef LIBVHOST_TESTS_RING_MODEL_H
#define LIBVHOST_TESTS_RING_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <vhost/mem.h>
#include <vhost/virtq.h>

#define MODEL_SEGS 8

struct model_seg {
	uint64_t addr;
	uint32_t len;
	bool write;
};

struct model_req {
	uint16_t id;		/* head descriptor, or buffer id */
	uint16_t n_desc;	/* that it takes in the ring */
	bool indirect;
	unsigned int n_segs;
	struct model_seg segs[MODEL_SEGS];
};

struct model {
	vhost_mem_t *mem;
	unsigned char *desc, *driver, *device;
	uint32_t size;
	bool packed, event_idx, in_order;
	uint16_t avail;		/* split: next index to take; packed: position */
	uint16_t used;		/* split: index to write; packed: position */
	bool avail_wrap, used_wrap;
	uint32_t used_since;	/* entries since then; packed: descriptors */
	const char *violation;	/* what the driver did that it must not */
};

/* A device that begins at the base of the layout, as a back-end does. */
void model_init(struct model *m, vhost_mem_t *mem, const struct vhost_virtq_layout *layout,
		uint64_t features);
/* 1: took a request; 0: there is none; -1: the driver broke the rules. */
int model_pop(struct model *m, struct model_req *ret);
/* Complete one request. */
void model_push(struct model *m, const struct model_req *req, uint32_t len);
/* IN_ORDER: complete @n requests, the oldest first, with one used entry. */
void model_push_batch(struct model *m, const struct model_req *const *reqs, unsigned int n,
		      uint32_t len);
/* Is the driver to be notified of what was pushed since the last time? */
bool model_should_call(struct model *m);
/* Ask the driver for a kick with the next request, or for none. */
void model_want_kick(struct model *m, bool want);

/* To lie: write a used entry without any regard, at the place of the next one. */
void model_write_used(struct model *m, uint32_t id, uint32_t len);
/* To lie, split: add to the used index. */
void model_bump_used_idx(struct model *m, uint16_t by);

#endif
