/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The record of what is in flight, in memory that the front-end keeps: the layouts of
 * vhost-user, "Inflight I/O tracking", split and packed. Whatever is in it is hostile: a
 * ring's own record decides while it runs, and this is read at its start alone, with
 * sizes that were negotiated and never those that are written in it.
 */
#ifndef LIBVHOST_MEM_INFLIGHT_H
#define LIBVHOST_MEM_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inflight_split_desc {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};

struct inflight_split {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct inflight_split_desc desc[];
};

struct inflight_packed_desc {
	uint8_t inflight;
	uint8_t padding;
	uint16_t next;
	uint16_t last;
	uint16_t num;
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

struct inflight_packed {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t free_head;
	uint16_t old_free_head;
	uint16_t used_idx;
	uint16_t old_used_idx;
	uint8_t used_wrap_counter;
	uint8_t old_used_wrap_counter;
	uint8_t padding[7];
	struct inflight_packed_desc desc[];
};

/* The whole file: queue after queue, each of inflight_stride() bytes. */
struct inflight_area {
	uint32_t refs;		/* atomic */
	int fd;			/* ours */
	uint8_t *addr;
	void *map;
	size_t map_len;
	uint32_t *dead;		/* atomic: 1 when its file was found to be cut short */
	uint64_t size;
	uint64_t offset;
	uint16_t num_queues;
	uint16_t queue_size;
	bool packed;
};

#define INFLIGHT_QUEUES_MAX 256u
#define INFLIGHT_QUEUE_SIZE_MAX 32768u

/* Bytes of a queue of @queue_size, a multiple of 64. */
uint64_t inflight_stride(uint16_t queue_size, bool packed);

/* A new one, all zeros, in a sealed memfd. -EINVAL for numbers out of range. */
int inflight_area_new(uint16_t num_queues, uint16_t queue_size, bool packed,
		      struct inflight_area **ret);
/* Map one that the front-end kept. The descriptor is borrowed. -EINVAL: *why says it. */
int inflight_area_open(int fd, uint64_t size, uint64_t offset, uint16_t num_queues,
		       uint16_t queue_size, bool packed, struct inflight_area **ret,
		       const char **why);
struct inflight_area *inflight_area_ref(struct inflight_area *area);
void inflight_area_unref(struct inflight_area *area);	/* NULL is fine */

/* The part of queue @index, or NULL. */
void *inflight_area_queue(const struct inflight_area *area, unsigned int index);

#endif
