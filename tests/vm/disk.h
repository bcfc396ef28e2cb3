/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A virtio disk on the vDPA bus, with this program as its driver: one queue, and up to
 * DISK_DEPTH requests of one block each.
 */
#ifndef LIBVHOST_TESTS_VM_DISK_H
#define LIBVHOST_TESTS_VM_DISK_H

#include <endian.h>

#include "guest.h"

#define DISK_DEPTH 32u
#define DISK_BLOCK 4096u
#define DISK_SECTOR 512u
#define DISK_QUEUE_SIZE 128u
#define DISK_MEM_SIZE (1u << 20)
#define DISK_ID_SIZE 20u

/* VIRTIO 1.3, 5.2.6 */
#define DISK_T_IN 0u
#define DISK_T_OUT 1u
#define DISK_T_GET_ID 8u

struct disk_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

struct disk_req {
	struct disk_header *header;
	uint8_t *data;
	uint8_t *status;
	bool busy;
};

struct disk {
	vhost_dev_t *dev;
	vhost_mem_t *mem;
	vhost_virtq_t *vq;
	int call_fd;
	unsigned int n_busy;
	struct disk_req reqs[DISK_DEPTH];
};

/* Open it, and get a queue and buffers ready; the device is told nothing yet. */
static inline void disk_open(struct disk *d, const char *address, uint32_t flags,
			     uint64_t virtq_features)
{
	struct vhost_virtq_opts opts = { .size = DISK_QUEUE_SIZE };
	struct vhost_virtq_layout layout;
	uint64_t iova;
	unsigned int i;

	memset(d, 0, sizeof(*d));
	d->dev = guest_open(address, flags);
	DEV_OK(d->dev, vhost_dev_iova_alloc(d->dev, DISK_MEM_SIZE, 0, &iova));
	ck_assert_int_eq(vhost_mem_new(DISK_MEM_SIZE, 0, iova, &d->mem), 0);
	opts.features = virtq_features | F_VERSION_1;
	ck_assert_int_eq(vhost_virtq_new(d->mem, &opts, sizeof(opts), &d->vq), 0);
	vhost_virtq_layout(d->vq, &layout, sizeof(layout));
	d->call_fd = layout.call_fd;
	for (i = 0; i < DISK_DEPTH; i++) {
		struct disk_req *req = &d->reqs[i];

		req->header = vhost_mem_alloc(d->mem, sizeof(*req->header), 0);
		req->data = vhost_mem_alloc(d->mem, DISK_BLOCK, DISK_BLOCK);
		req->status = vhost_mem_alloc(d->mem, 1, 0);
		ck_assert(req->header && req->data && req->status);
	}
}

static inline void disk_close(struct disk *d)
{
	d->dev = vhost_dev_unref(d->dev);
	d->vq = vhost_virtq_unref(d->vq);
	d->mem = vhost_mem_unref(d->mem);
}

/* Everything that a start needs, but for the start. */
static inline void disk_prepare(struct disk *d, uint64_t virtq_features)
{
	uint64_t wanted = virtq_features | F_VERSION_1 | F_ACCESS_PLATFORM, offered;

	DEV_OK(d->dev, vhost_dev_get_features(d->dev, &offered));
	ck_assert_uint_eq(wanted & ~offered, 0);
	DEV_OK(d->dev, vhost_dev_set_features(d->dev, wanted));
	DEV_OK(d->dev, vhost_dev_mem_add_mem(d->dev, d->mem));
	DEV_OK(d->dev, vhost_dev_vq_attach(d->dev, 0, d->vq));
}

static inline void disk_start(struct disk *d)
{
	disk_prepare(d, 0);
	DEV_OK(d->dev, vhost_dev_start(d->dev));
}

/* Post request @i with its data at @iova. */
static inline void disk_post_at(struct disk *d, unsigned int i, uint32_t type, uint64_t sector,
				uint64_t iova, uint32_t len)
{
	struct disk_req *req = &d->reqs[i];
	struct vhost_sg sg[3] = {
		{ vhost_mem_to_iova(d->mem, req->header), sizeof(*req->header), 0 },
		{ iova, len, 0 },
		{ vhost_mem_to_iova(d->mem, req->status), 1, 0 },
	};
	struct vhost_virtq_req vr = { .sg = sg, .cookie = req };

	ck_assert(!req->busy);
	vr.out = type == DISK_T_OUT ? 2 : 1;
	vr.in = (uint16_t)(3 - vr.out);
	*req->header = (struct disk_header){ htole32(type), 0, htole64(sector) };
	*req->status = 0xff;
	ck_assert_msg(vhost_virtq_add(d->vq, &vr, 1) == 1, "%s", vhost_virtq_error(d->vq));
	req->busy = true;
	d->n_busy++;
}

static inline void disk_post(struct disk *d, unsigned int i, uint32_t type, uint64_t sector)
{
	disk_post_at(d, i, type, sector, vhost_mem_to_iova(d->mem, d->reqs[i].data),
		     type == DISK_T_GET_ID ? DISK_ID_SIZE : DISK_BLOCK);
}

static inline void disk_collect(struct disk *d)
{
	struct vhost_virtq_done done[DISK_DEPTH];
	int n, i;

	n = vhost_virtq_get(d->vq, done, DISK_DEPTH);
	ck_assert_msg(n >= 0, "%s", vhost_virtq_error(d->vq));
	for (i = 0; i < n; i++) {
		struct disk_req *req = done[i].cookie;

		ck_assert_msg(req->busy, "a request completed twice");
		ck_assert_uint_eq(done[i].flags, 0);
		ck_assert_msg(*req->status == 0, "the disk answers %u", *req->status);
		req->busy = false;
		d->n_busy--;
	}
}

/* Wait for all that is posted. False if some of it is still out after @ms. */
static inline bool disk_wait(struct disk *d, unsigned int ms)
{
	uint64_t end = program_now_ms() + ms, now, count;

	for (;;) {
		disk_collect(d);
		now = program_now_ms();
		if (!d->n_busy || now >= end)
			return !d->n_busy;
		if (poll(&(struct pollfd){ d->call_fd, POLLIN, 0 }, 1, (int)(end - now)) > 0 &&
		    read(d->call_fd, &count, sizeof(count)) < 0)
			ck_assert_int_eq(errno, EAGAIN);
	}
}

static inline void disk_settle(struct disk *d)
{
	vhost_virtq_kick(d->vq);
	ck_assert_msg(disk_wait(d, PROGRAM_PATIENCE_MS), "%u requests are not answered", d->n_busy);
}

static inline uint8_t disk_byte(uint32_t seed, unsigned int at)
{
	return (uint8_t)((seed + 1) * 2654435761u >> 8 ^ at * 31 ^ at >> 5);
}

static inline void disk_fill(struct disk *d, unsigned int i, uint32_t seed)
{
	unsigned int at;

	for (at = 0; at < DISK_BLOCK; at++)
		d->reqs[i].data[at] = disk_byte(seed, at);
}

static inline void disk_clear(struct disk *d, unsigned int i)
{
	memset(d->reqs[i].data, 0xa5, DISK_BLOCK);
}

static inline void disk_check(struct disk *d, unsigned int i, uint32_t seed)
{
	unsigned int at;

	for (at = 0; at < DISK_BLOCK; at++)
		if (d->reqs[i].data[at] != disk_byte(seed, at))
			break;
	ck_assert_msg(at == DISK_BLOCK, "block of seed %u: byte %u is wrong", seed, at);
}

static inline uint64_t disk_sector(unsigned int block)
{
	return (uint64_t)block * (DISK_BLOCK / DISK_SECTOR);
}

/* Write all blocks from @first on, one for each request, and read them back. */
static inline void disk_works(struct disk *d, unsigned int first, uint32_t seed)
{
	unsigned int i;

	for (i = 0; i < DISK_DEPTH; i++) {
		disk_fill(d, i, seed + i);
		disk_post(d, i, DISK_T_OUT, disk_sector(first + i));
	}
	disk_settle(d);
	for (i = 0; i < DISK_DEPTH; i++) {
		disk_clear(d, i);
		disk_post(d, i, DISK_T_IN, disk_sector(first + i));
	}
	disk_settle(d);
	for (i = 0; i < DISK_DEPTH; i++)
		disk_check(d, i, seed + i);
}

#endif
