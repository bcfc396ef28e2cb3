/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* A disk: virtio-blk (VIRTIO 1.3, 5.2) by its queues. */
#ifndef VHOSTCTL_BLK_H
#define VHOSTCTL_BLK_H

#include <poll.h>

#include "vhostctl.h"

#define SECTOR 512u
#define BLK_SEGS_MAX 64u	/* most pieces of data of a request of ours */

/* Kinds of request (VIRTIO 1.3, 5.2.6) */
enum {
	BLK_IN = 0,
	BLK_OUT = 1,
	BLK_FLUSH = 4
};

/* What a request begins with; little-endian. */
struct blk_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

/* A request that is used again and again, with memory of its own. */
struct blk_slot {
	struct blk_header *header;
	uint8_t *status;
	uint8_t *data;
	uint64_t header_iova;
	uint64_t status_iova;
	uint64_t data_iova;
	uint64_t offset;	/* in bytes, of the request under way */
	uint64_t began;
	uint32_t type;
	uint32_t len;
	bool done;
	unsigned int queue;
	struct vhost_sg sg[BLK_SEGS_MAX + 2];
};

struct blk_queue {
	vhost_virtq_t *vq;
	int call_fd;
	struct blk_slot *slots;
};

struct blk {
	const struct options *opts;
	vhost_dev_t *dev;
	vhost_mem_t *mem;
	uint64_t offered;
	uint64_t features;
	uint8_t config[CONFIG_MAX];
	int config_size;
	uint64_t capacity;	/* bytes */
	uint32_t block_size;
	uint32_t size_max;	/* most bytes of a piece of data */
	uint32_t seg_max;	/* most pieces of data of a request */
	unsigned int max_queues;
	unsigned int n_queues;
	unsigned int depth;
	uint32_t slot_size;
	struct blk_queue *queues;
	struct pollfd *polled;
	bool started;
};

/* Each complains by itself where it fails. */
int blk_open(struct blk *blk, const struct options *opts);
/* The most bytes of a request, @want or less: a multiple of the block size. */
uint32_t blk_request_max(const struct blk *blk, uint32_t want);
/* The same, where @depth of them are to be in flight on a queue; 0: that cannot be. */
uint32_t blk_request_fit(const struct blk *blk, uint32_t want, unsigned int depth);
int blk_start(struct blk *blk, unsigned int n_queues, unsigned int depth, uint32_t slot_size);
/* Stop, if it runs, and release all. Return: as vhost_dev_stop(). */
int blk_close(struct blk *blk);

/* Check the part of the disk that was asked for; whole disk without --length. */
int blk_range(const struct blk *blk, const struct options *opts, uint64_t *ret_offset,
	      uint64_t *ret_length);

void blk_prepare(struct blk_slot *slot, const struct blk *blk, uint32_t type, uint64_t offset,
		 uint32_t len, struct vhost_virtq_req *ret);
int blk_submit(struct blk *blk, unsigned int queue, const struct vhost_virtq_req *reqs,
	       unsigned int n);
/* What is complete on @queue: how many, without waiting; each was checked. */
int blk_collect(struct blk *blk, unsigned int queue, struct vhost_virtq_done *done,
		unsigned int n);
/* Sleep until some queue has completions, or a signal came (-EINTR). */
int blk_wait(struct blk *blk);

#endif
