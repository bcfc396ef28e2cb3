/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * Translations of a device's I/O virtual addresses to the front-end's user addresses, as
 * the front-end sends them. A sorted array without overlap, with a bound: when it is full
 * the oldest entry goes. Who changes it keeps those who read it out.
 */
#ifndef LIBVHOST_MEM_IOTLB_H
#define LIBVHOST_MEM_IOTLB_H

#include <stdbool.h>
#include <stdint.h>

#define IOTLB_MAX 4096u

struct iotlb_entry {
	uint64_t first;
	uint64_t last;
	uint64_t user;		/* of first */
	uint64_t age;
	uint32_t perm;		/* VHOST_IOTLB_PERM_* */
};

struct iotlb {
	struct iotlb_entry *entries;
	unsigned int n;
	unsigned int room;
	uint64_t clock;
	uint64_t generation;	/* changes with every change */
};

/*
 * Replaces what overlaps; parts that stick out stay. -EINVAL for a range that is empty or
 * whose user addresses wrap, and for a permission that is none; -ENOMEM. Failing, it
 * leaves all as it was.
 */
int iotlb_add(struct iotlb *t, uint64_t first, uint64_t last, uint64_t user, uint32_t perm);
/* Parts that stick out stay; that can need one entry more: without memory it all goes. */
void iotlb_remove(struct iotlb *t, uint64_t first, uint64_t last);
void iotlb_clear(struct iotlb *t);
/* The entry that has @iova, whatever its permission, or NULL. */
const struct iotlb_entry *iotlb_find(const struct iotlb *t, uint64_t iova);

#endif
