/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* Ranges of a device's addresses that were given out. */
#ifndef LIBVHOST_MEM_IOVA_H
#define LIBVHOST_MEM_IOVA_H

#include <stdbool.h>
#include <stdint.h>

struct iova_range {
	uint64_t first;
	uint64_t last;
};

struct iova_set {
	struct iova_range *ranges;
	unsigned int n;
	unsigned int room;
};

/* Is something in [first, last]? Where it ends goes to @ret_last. */
typedef bool (*iova_taken_fn)(const void *opaque, uint64_t first, uint64_t last,
			      uint64_t *ret_last);

bool iova_set_taken(const struct iova_set *set, uint64_t first, uint64_t last,
		    uint64_t *ret_last);
/*
 * The lowest @size bytes within [first, last] that @taken has nothing in, aligned to
 * @align, a power of two. Each step passes at least one thing that is taken.
 */
bool iova_find(uint64_t first, uint64_t last, uint64_t size, uint64_t align, iova_taken_fn taken,
	       const void *opaque, uint64_t *ret);
int iova_set_add(struct iova_set *set, uint64_t first, uint64_t last);
bool iova_set_remove(struct iova_set *set, uint64_t first);
void iova_set_clear(struct iova_set *set);

#endif
