/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* Inside of a vhost_mem_t, for its own file and its tests. */
#ifndef LIBVHOST_MEM_ALLOC_H
#define LIBVHOST_MEM_ALLOC_H

#include <vhost/mem.h>

#include "util.h"

/* Pieces are whole cache lines, so that two of them never share one. */
#define MEM_GRANULE 64u
#define MEM_BINS 64

/*
 * One stretch of the memory, in use or free. All stretches form a list in the
 * order of their addresses; the free ones are also in the bin of their size, the
 * used ones in the hash bucket of their offset.
 */
struct mem_block {
	uint64_t offset;
	uint64_t size;
	struct mem_block *prev, *next;		/* neighbours in the memory */
	struct mem_block *link_prev, *link_next;	/* in the bin or the bucket */
	bool used;
};

struct vhost_mem {
	unsigned int refs;
	unsigned char *addr;
	uint64_t size;
	uint64_t iova;
	int fd;
	struct mem_block *first;
	struct mem_block *bins[MEM_BINS];
	uint64_t bins_used;			/* bit n: bins[n] is not empty */
	struct mem_block **buckets;
	size_t n_buckets;			/* a power of two */
	size_t n_used;
};

/* For tests: free bytes, and in how many stretches. */
uint64_t vhost_mem_free_bytes(const vhost_mem_t *mem, unsigned int *stretches);

#endif
