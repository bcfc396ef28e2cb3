/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The memory of a guest, as a back-end has it mapped: maps that never change. A change
 * makes a new map of the regions that stay and those that are new; an old map, and what
 * only it has, goes when its last user drops it. Maps and regions may be referenced,
 * used and dropped by any thread.
 */
#ifndef LIBVHOST_MEM_GUEST_H
#define LIBVHOST_MEM_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util.h"

#define GUEST_REGIONS_MAX 509u		/* what QEMU and rust-vmm allow */

/* One region; shared by the maps that it is in. */
struct guest_region {
	uint32_t refs;			/* atomic */
	uint32_t again;			/* how often it was added beyond once; the session's */
	uint32_t xen_flags;
	uint32_t xen_domid;
	int fd;				/* ours, or -1 */
	uint64_t guest;			/* guest address */
	uint64_t size;
	uint64_t user;			/* what the front-end calls the address */
	uint64_t fd_offset;
	uint8_t *addr;			/* where we have it */
	void *map;			/* what is to be unmapped */
	size_t map_len;
	void (*unmap)(struct guest_region *region);	/* the mapper's own way, or NULL */
	void *unmap_opaque;
	uint32_t *dead;			/* atomic: 1 when its file was found to be cut short */
};

/* How a region is found: what the look-up touches, and no more. */
struct guest_span {
	uint64_t first;
	uint64_t last;
	uint8_t *addr;			/* of first */
	struct guest_region *region;
};

/* Spans sorted by address, and where to begin to look for one: flat for any number. */
struct guest_index {
	struct guest_span *spans;
	uint16_t *start;		/* start[(addr - base) >> shift]: the first span to look at */
	uint64_t base;
	uint64_t n_start;
	unsigned int shift;
};

struct guest_map {
	uint32_t refs;			/* atomic */
	unsigned int n;
	struct guest_index by_guest;
	struct guest_index by_user;
	struct guest_index by_host;	/* by our pointers; empty where a mapper's overlap */
};

/* What a region is to be. The descriptor is borrowed. */
struct guest_region_desc {
	uint64_t guest, size, user, fd_offset;
	uint32_t xen_flags, xen_domid;
	int fd;
	bool sealed;			/* refuse a file that can shrink */
	bool postcopy;			/* no huge pages, nothing populated */
	int (*map)(struct guest_region *region, void *opaque);	/* the mapper, or NULL for mmap */
	void *map_opaque;
};

/*
 * Check and map. *why is the sentence for people when it fails: -EINVAL for what cannot
 * be (empty, wraps, offset beyond its file or not to be mapped, wrong kind of file),
 * -EPERM for a file without seals where they are required, or mmap's error.
 */
int guest_region_new(const struct guest_region_desc *desc, struct guest_region **ret,
		     const char **why);
struct guest_region *guest_region_ref(struct guest_region *region);
void guest_region_unref(struct guest_region *region);	/* NULL is fine */

/* Is it the region that a description with this file would make? */
bool guest_region_is(const struct guest_region *region, const struct guest_region_desc *desc);

/*
 * A map of @n regions in any order, each referenced. -EEXIST when two of them overlap, by
 * guest address or by user address. An empty map is a map.
 */
int guest_map_new(struct guest_region *const *regions, unsigned int n, struct guest_map **ret,
		  const char **why);
struct guest_map *guest_map_ref(struct guest_map *map);
void guest_map_unref(struct guest_map *map);		/* NULL is fine */

/* Is this very region in it? A map of NULL has none. */
bool guest_map_has(const struct guest_map *map, const struct guest_region *region);

/* The span that has @addr, or NULL. In guest.c: for what is not the hot path. */
const struct guest_span *guest_index_find_slow(const struct guest_index *index, unsigned int n,
					       uint64_t addr);

/* The same, for the hot path: no loop in the usual case. */
static inline const struct guest_span *guest_index_find(const struct guest_index *index,
							unsigned int n, uint64_t addr)
{
	uint64_t slot = (addr - index->base) >> index->shift;
	const struct guest_span *s;

	if (unlikely(slot >= index->n_start))
		return NULL;
	s = &index->spans[index->start[slot]];
	if (likely(addr - s->first <= s->last - s->first))
		return s;
	return guest_index_find_slow(index, n, addr);
}

/*
 * How many faults guest_handle_sigbus() has contained in this process so far. Where that
 * has changed, guest_map_is_dead() tells whether a file of this map's was cut short.
 */
extern uint32_t guest_faults;

static inline uint32_t guest_faults_count(void)
{
	return __atomic_load_n(&guest_faults, __ATOMIC_ACQUIRE);
}

bool guest_map_is_dead(const struct guest_map *map);

/*
 * The guest address of a pointer into the map; false if it is none. *ret_len: from there to
 * the end of the region.
 */
bool guest_map_to_guest(const struct guest_map *map, const void *ptr, uint64_t *ret,
			uint64_t *ret_len);

/* vhost_backend_handle_sigbus(): may be called in a signal handler. */
int guest_handle_sigbus(const void *addr);

/*
 * A stretch of a file that a peer shared, mapped: guest memory, a dirty log, a record of
 * what is in flight. What guest_handle_sigbus() knows of.
 */
struct guest_file {
	uint8_t *addr;		/* of the stretch: not a page's first byte, perhaps */
	void *map;
	size_t map_len;
	uint32_t *dead;
};

/* Check and map; as guest_region_new(). The descriptor is borrowed. */
int guest_file_map(int fd, uint64_t offset, uint64_t size, bool sealed, struct guest_file *ret,
		   const char **why);
void guest_file_unmap(void *map, size_t map_len, uint32_t *dead);

#endif
