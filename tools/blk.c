/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blk.h"

/* Feature bits (VIRTIO 1.3, 5.2.3 and 6) */
#define BIT(n) (1ULL << (n))
#define F_SIZE_MAX BIT(1)
#define F_SEG_MAX BIT(2)
#define F_RO BIT(5)
#define F_BLK_SIZE BIT(6)
#define F_FLUSH BIT(9)
#define F_TOPOLOGY BIT(10)
#define F_MQ BIT(12)
#define F_INDIRECT BIT(28)
#define F_EVENT_IDX BIT(29)
#define F_VERSION_1 BIT(32)
#define F_ACCESS_PLATFORM BIT(33)
#define F_PACKED BIT(34)

#define WANTED (F_SIZE_MAX | F_SEG_MAX | F_RO | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | F_MQ | \
		F_INDIRECT | F_EVENT_IDX | F_VERSION_1 | F_ACCESS_PLATFORM)

#define QUEUE_SIZE_MIN 64u
#define QUEUE_SIZE_MAX 1024u	/* what libvhost-user, and so QEMU, has at most */

/* A little-endian field of the configuration space; 0 where it is too short. */
static uint64_t field(const struct blk *blk, unsigned int offset, unsigned int len)
{
	uint64_t value = 0;

	if (blk->config_size < (int)(offset + len))
		return 0;
	for (unsigned int i = 0; i < len; i++)
		value |= (uint64_t)blk->config[offset + i] << (8 * i);
	return value;
}

static uint64_t cap(const struct blk *blk, uint32_t which)
{
	uint64_t value = 0;

	vhost_dev_get_cap(blk->dev, which, &value);
	return value;
}

/* Where each field is: VIRTIO 1.3, 5.2.4. */
static int read_geometry(struct blk *blk)
{
	uint64_t id = cap(blk, VHOST_CAP_DEVICE_ID);

	if (id && id != VHOST_DEVICE_BLOCK) {
		const char *name = vhost_name_device((uint32_t)id);

		complain("%s: not a disk: the device is of type %" PRIu64 " (%s)", blk->opts->address,
			 id, name ? name : "unknown");
		return -ENOTSUP;
	}
	blk->config_size = read_config(blk->dev, VHOST_DEVICE_BLOCK, blk->config);
	if (blk->config_size < 0 && blk->config_size != -EREMOTEIO) {
		complain_dev(blk->opts, blk->dev);
		return blk->config_size;
	}
	if (blk->config_size < 8) {
		complain("%s: the device has no configuration space that tells a disk's capacity",
			 blk->opts->address);
		return -ENOTSUP;
	}
	blk->capacity = field(blk, 0, 8);
	if (blk->capacity > INT64_MAX / SECTOR) {
		complain("%s: the device claims a capacity of %" PRIu64 " sectors, which cannot be",
			 blk->opts->address, blk->capacity);
		return -EPROTO;
	}
	blk->capacity *= SECTOR;
	blk->size_max = blk->features & F_SIZE_MAX ? (uint32_t)field(blk, 8, 4) : 0;
	if (!blk->size_max)
		blk->size_max = UINT32_MAX;
	blk->seg_max = blk->features & F_SEG_MAX ? (uint32_t)field(blk, 12, 4) : 0;
	if (!blk->seg_max)
		blk->seg_max = 1;
	blk->block_size = blk->features & F_BLK_SIZE ? (uint32_t)field(blk, 20, 4) : 0;
	if (!blk->block_size)
		blk->block_size = SECTOR;
	if (blk->block_size < SECTOR || blk->block_size > 1u << 24 ||
	    blk->block_size & (blk->block_size - 1)) {
		complain("%s: the device claims a block size of %" PRIu32 " bytes, which cannot be",
			 blk->opts->address, blk->block_size);
		return -EPROTO;
	}
	blk->max_queues = blk->features & F_MQ ? (unsigned int)field(blk, 34, 2) : 1;
	if (!blk->max_queues)
		blk->max_queues = 1;
	if (blk->max_queues > cap(blk, VHOST_CAP_MAX_QUEUES))
		blk->max_queues = (unsigned int)cap(blk, VHOST_CAP_MAX_QUEUES);
	return 0;
}

int blk_open(struct blk *blk, const struct options *opts)
{
	int r;

	*blk = (struct blk){ .opts = opts };
	r = open_device(opts, VHOST_DEVICE_BLOCK, &blk->dev);
	if (r < 0)
		return r;
	r = vhost_dev_get_features(blk->dev, &blk->offered);
	if (r < 0) {
		complain_dev(opts, blk->dev);
		goto fail;
	}
	blk->features = blk->offered & (WANTED | (opts->packed ? F_PACKED : 0));
	r = -ENOTSUP;
	if (opts->packed && !(blk->features & F_PACKED)) {
		complain("%s: the device does not offer packed rings", opts->address);
		goto fail;
	}
	r = read_geometry(blk);
	if (r == 0)
		return 0;
fail:
	blk_close(blk);
	return r;
}

uint32_t blk_request_max(const struct blk *blk, uint32_t want)
{
	uint64_t segs = blk->seg_max < BLK_SEGS_MAX ? blk->seg_max : BLK_SEGS_MAX;
	uint64_t most = segs * blk->size_max;

	return (uint32_t)(most < want ? most : want) & ~(blk->block_size - 1);
}

static uint64_t queue_size_max(const struct blk *blk)
{
	uint64_t most = cap(blk, VHOST_CAP_MAX_QUEUE_SIZE);

	return most < QUEUE_SIZE_MAX ? most : QUEUE_SIZE_MAX;
}

uint32_t blk_request_fit(const struct blk *blk, uint32_t want, unsigned int depth)
{
	uint64_t segs = queue_size_max(blk) / depth, most = want;

	/* With its header and status, as many entries as pieces; one in an indirect table. */
	if (!(blk->features & F_INDIRECT))
		most = segs > 2 ? (segs - 2) * blk->size_max : 0;
	return blk_request_max(blk, most < want ? (uint32_t)most : want);
}

static int fail_last(const struct blk *blk, const char *what, int r)
{
	const char *why = vhost_last_error();

	complain("%s: %s: %s", blk->opts->address, what, *why ? why : strerror(-r));
	return r;
}

static int make_slot(struct blk *blk, struct blk_slot *slot)
{
	slot->header = vhost_mem_alloc(blk->mem, sizeof(*slot->header), 16);
	slot->status = vhost_mem_alloc(blk->mem, 1, 64);
	slot->data = vhost_mem_alloc(blk->mem, blk->slot_size, 4096);
	if (!slot->header || !slot->status || !slot->data)
		return -ENOMEM;
	slot->header_iova = vhost_mem_to_iova(blk->mem, slot->header);
	slot->status_iova = vhost_mem_to_iova(blk->mem, slot->status);
	slot->data_iova = vhost_mem_to_iova(blk->mem, slot->data);
	return 0;
}

static int make_queue(struct blk *blk, unsigned int index, uint32_t size, uint32_t flags)
{
	struct blk_queue *q = &blk->queues[index];
	struct vhost_virtq_opts o = { .size = size, .flags = flags, .features = blk->features };
	struct vhost_virtq_layout layout;
	int r;

	q->slots = calloc(blk->depth, sizeof(*q->slots));
	if (!q->slots)
		return fail_last(blk, "requests", -ENOMEM);
	r = vhost_virtq_new(blk->mem, &o, sizeof(o), &q->vq);
	if (r < 0)
		return fail_last(blk, "queue", r);
	vhost_virtq_layout(q->vq, &layout, sizeof(layout));
	q->call_fd = layout.call_fd;
	if (blk->opts->busy)
		vhost_virtq_set_notify(q->vq, false);
	for (unsigned int i = 0; i < blk->depth; i++) {
		q->slots[i].queue = index;
		r = make_slot(blk, &q->slots[i]);
		if (r < 0)
			return fail_last(blk, "buffers", r);
	}
	return 0;
}

/* One transaction: so it costs a few round trips, however many queues there are. */
static int bring_up(struct blk *blk)
{
	int r = vhost_dev_begin(blk->dev);

	if (r < 0)
		return r;
	r = vhost_dev_set_features(blk->dev, blk->features);
	if (r == 0)
		r = vhost_dev_mem_add_mem(blk->dev, blk->mem);
	for (unsigned int i = 0; r == 0 && i < blk->n_queues; i++)
		r = vhost_dev_vq_attach(blk->dev, i, blk->queues[i].vq);
	if (r == 0)
		r = vhost_dev_start(blk->dev);
	if (r == 0)
		r = vhost_dev_commit(blk->dev);
	return r;
}

int blk_start(struct blk *blk, unsigned int n_queues, unsigned int depth, uint32_t slot_size)
{
	uint64_t segs = ((uint64_t)slot_size + blk->size_max - 1) / blk->size_max + 2;
	uint64_t size = QUEUE_SIZE_MIN, most = queue_size_max(blk);
	uint64_t bytes, iova;
	int r;

	while (size < depth * segs && size * 2 <= most)
		size *= 2;
	if (size > most)
		size = most;
	/* A chain takes one entry if it goes into an indirect table. */
	if (depth > size || (!(blk->features & F_INDIRECT) && depth * segs > size)) {
		complain("%s: a queue of %" PRIu64 " entries cannot have %u requests of %" PRIu32
			 " bytes in flight", blk->opts->address, size, depth, slot_size);
		return -EINVAL;
	}
	blk->n_queues = n_queues;
	blk->depth = depth;
	blk->slot_size = slot_size;
	/* Header, status and data of each; the rings with their indirect tables. */
	bytes = (uint64_t)n_queues * (depth * (slot_size + 4096ULL + 128) + size * (64 + 32 * 16) +
				      65536);
	r = vhost_dev_iova_alloc(blk->dev, bytes, 0, &iova);
	if (r == 0)
		r = vhost_mem_new(bytes, 0, iova, &blk->mem);
	if (r < 0)
		return fail_last(blk, "memory", r);
	blk->queues = calloc(n_queues, sizeof(*blk->queues));
	blk->polled = calloc(n_queues + 1, sizeof(*blk->polled));
	if (!blk->queues || !blk->polled)
		return fail_last(blk, "queues", -ENOMEM);
	for (unsigned int i = 0; i < n_queues; i++) {
		r = make_queue(blk, i, (uint32_t)size,
			       depth * segs > size ? VHOST_VIRTQ_INDIRECT : 0);
		if (r < 0)
			return r;
		blk->polled[i] = (struct pollfd){ .fd = blk->queues[i].call_fd, .events = POLLIN };
	}
	blk->polled[n_queues] = (struct pollfd){ .fd = vhost_dev_get_fd(blk->dev), .events = POLLIN };
	r = bring_up(blk);
	if (r < 0) {
		complain_dev(blk->opts, blk->dev);
		return r;
	}
	blk->started = true;
	return 0;
}

int blk_close(struct blk *blk)
{
	int r = 0;

	if (blk->started && vhost_dev_get_state(blk->dev) != VHOST_DEV_CLOSED) {
		r = vhost_dev_stop(blk->dev);
		if (r < 0)
			complain_dev(blk->opts, blk->dev);
	}
	blk->started = false;
	blk->dev = vhost_dev_unref(blk->dev);
	for (unsigned int i = 0; blk->queues && i < blk->n_queues; i++) {
		vhost_virtq_unref(blk->queues[i].vq);
		free(blk->queues[i].slots);
	}
	free(blk->queues);
	free(blk->polled);
	blk->queues = NULL;
	blk->polled = NULL;
	blk->mem = vhost_mem_unref(blk->mem);
	return r;
}

int blk_range(const struct blk *blk, const struct options *opts, uint64_t *ret_offset,
	      uint64_t *ret_length)
{
	uint64_t length;

	if (opts->offset > blk->capacity) {
		complain("--offset %" PRIu64 " is beyond the disk's end at %" PRIu64, opts->offset,
			 blk->capacity);
		return -EINVAL;
	}
	length = opts->has_length ? opts->length : blk->capacity - opts->offset;
	if (length > blk->capacity - opts->offset) {
		complain("--length %" PRIu64 " from %" PRIu64 " is beyond the disk's end at %" PRIu64,
			 length, opts->offset, blk->capacity);
		return -EINVAL;
	}
	if (opts->offset % blk->block_size) {
		complain("--offset %" PRIu64 " is not a multiple of the disk's block size, %" PRIu32,
			 opts->offset, blk->block_size);
		return -EINVAL;
	}
	/* The disk's own end need not be a whole block. */
	if (length % blk->block_size && opts->offset + length != blk->capacity) {
		complain("--length %" PRIu64 " is not a multiple of the disk's block size, %" PRIu32,
			 length, blk->block_size);
		return -EINVAL;
	}
	*ret_offset = opts->offset;
	*ret_length = length;
	return 0;
}

/* ---------------------------------------------------------------- requests */

void blk_prepare(struct blk_slot *slot, const struct blk *blk, uint32_t type, uint64_t offset,
		 uint32_t len, struct vhost_virtq_req *ret)
{
	unsigned int n = 0, data;

	slot->type = type;
	slot->offset = offset;
	slot->len = len;
	slot->done = false;
	*slot->header = (struct blk_header){ .type = htole32(type), .sector = htole64(offset / SECTOR) };
	*slot->status = 0xff;	/* no status of the specification: shows that none was written */
	slot->sg[n++] = (struct vhost_sg){ slot->header_iova, sizeof(*slot->header), 0 };
	for (uint32_t at = 0; at < len; ) {
		uint32_t part = len - at < blk->size_max ? len - at : blk->size_max;

		slot->sg[n++] = (struct vhost_sg){ slot->data_iova + at, part, 0 };
		at += part;
	}
	data = n - 1;
	slot->sg[n++] = (struct vhost_sg){ slot->status_iova, 1, 0 };
	*ret = (struct vhost_virtq_req){
		.sg = slot->sg,
		.out = (uint16_t)(type == BLK_OUT ? 1 + data : 1),
		.in = (uint16_t)(type == BLK_IN ? 1 + data : 1),
		.cookie = slot,
	};
	if (type == BLK_FLUSH)
		slot->header->sector = 0;
}

static int queue_broken(const struct blk *blk, unsigned int queue, int r)
{
	complain("%s: queue %u: %s", blk->opts->address, queue,
		 r == -EBADMSG ? vhost_virtq_error(blk->queues[queue].vq) : strerror(-r));
	return r;
}

int blk_submit(struct blk *blk, unsigned int queue, const struct vhost_virtq_req *reqs,
	       unsigned int n)
{
	vhost_virtq_t *vq = blk->queues[queue].vq;
	int r = vhost_virtq_add(vq, reqs, n);

	if (r < 0)
		return queue_broken(blk, queue, r);
	/* There is room for as many as there are slots: blk_start() saw to that. */
	if ((unsigned int)r < n)
		return queue_broken(blk, queue, -ENOSPC);
	r = vhost_virtq_kick(vq);
	return r < 0 ? queue_broken(blk, queue, r) : 0;
}

static int check(const struct blk *blk, const struct blk_slot *slot)
{
	static const char *const verbs[] = { [BLK_IN] = "reading", [BLK_OUT] = "writing" };
	uint8_t status = *(volatile const uint8_t *)slot->status;
	const char *why;

	if (!status)
		return 0;
	why = status == 1 ? "the device had an I/O error" :
	      status == 2 ? "the device does not support it" :
	      status == 0xff ? "the device gave no status" : "the device gave an unknown status";
	if (slot->type == BLK_FLUSH)
		complain("%s: flushing failed: %s", blk->opts->address, why);
	else
		complain("%s: %s %" PRIu32 " bytes at %" PRIu64 " failed: %s", blk->opts->address,
			 verbs[slot->type], slot->len, slot->offset, why);
	return -EIO;
}

int blk_collect(struct blk *blk, unsigned int queue, struct vhost_virtq_done *done, unsigned int n)
{
	int got = vhost_virtq_get(blk->queues[queue].vq, done, n);

	if (got < 0)
		return queue_broken(blk, queue, got);
	for (int i = 0; i < got; i++) {
		int r = check(blk, done[i].cookie);

		if (r < 0)
			return r;
	}
	return got;
}

int blk_wait(struct blk *blk)
{
	uint64_t began = now_ns();

	for (;;) {
		/* In slices: a signal between the test and the sleep is seen all the same. */
		int r = interrupted ? -1 : poll(blk->polled, blk->n_queues + 1, 200);

		if (interrupted)
			return -EINTR;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0) {
			bool any = false;

			for (unsigned int i = 0; i < blk->n_queues; i++) {
				uint64_t count;

				if (blk->polled[i].revents && read(blk->polled[i].fd, &count, 8) == 8)
					any = true;
			}
			if (blk->polled[blk->n_queues].revents) {
				r = vhost_dev_process(blk->dev);
				if (r < 0) {
					complain_dev(blk->opts, blk->dev);
					return r;
				}
			}
			if (any)
				return 0;
		}
		if (now_ns() - began > (uint64_t)blk->opts->timeout_ms * 1000000u) {
			complain("%s: the device completed no request within %g s", blk->opts->address,
				 blk->opts->timeout_ms / 1e3);
			return -ETIMEDOUT;
		}
	}
}
