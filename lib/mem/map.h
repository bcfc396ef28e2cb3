/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The memory that a device was given: regions sorted by address, without overlap. */
#ifndef LIBVHOST_MEM_MAP_H
#define LIBVHOST_MEM_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vhost/mem.h>

struct mem_region {
	uint64_t iova;
	uint64_t size;
	uint64_t user_addr;	/* what the back-end knows it by; no pointer of this process */
	uint64_t fd_offset;
	uint64_t peer_addr;	/* where the back-end has it (postcopy); 0 unknown */
	void *addr;		/* where it is mapped here, or NULL */
	int fd;			/* the map's own */
	uint32_t flags;		/* VHOST_MEM_* */
	uint32_t xen_flags;
	uint32_t xen_domid;
};

struct mem_map {
	struct mem_region *regions;
	unsigned int n;
	unsigned int room;
	uint64_t next_user_addr;
};

/* Do both descriptors lead to one file? */
bool mem_same_file(int a, int b);

/* What a transport needs of memory. */
#define MEM_NEEDS_FD 1u		/* a descriptor to pass on */
#define MEM_NEEDS_SHARED 2u	/* a mapping, if there is one, that is shared */
#define MEM_NEEDS_ADDR 4u	/* a mapping */
#define MEM_NEEDS_PAGES 8u	/* whole pages */

/* The process's mappings, read when they are first needed. */
struct mem_vma {
	uint64_t first;
	uint64_t end;
	bool shared;
};

struct mem_vmas {
	struct mem_vma *vmas;
	size_t n;
	size_t room;
	bool read;
	bool unknown;
};

void mem_vmas_clear(struct mem_vmas *vmas);

/* What is wrong with a description; the sentence for people goes to @why. */
int mem_desc_check(const struct vhost_mem_desc *desc, unsigned int needs, struct mem_vmas *vmas,
		   const char **why);

/* Add a region with a duplicate of the descriptor. -EEXIST on overlap. */
int mem_map_add(struct mem_map *map, const struct vhost_mem_desc *desc, struct mem_region **ret);

/* The region that is just this, or NULL. */
struct mem_region *mem_map_find_exact(const struct mem_map *map, uint64_t iova, uint64_t size);

/* The first region that has something of [iova, last], or NULL. */
struct mem_region *mem_map_first(const struct mem_map *map, uint64_t iova, uint64_t last);

/* The region that has all of [iova, iova + len), or NULL. */
struct mem_region *mem_map_find(const struct mem_map *map, uint64_t iova, uint64_t len);

/* Take the region out and give it to the caller, with its descriptor. */
struct mem_region mem_map_take(struct mem_map *map, struct mem_region *region);

/* Put a region back that was taken. Room for it is still there. */
void mem_map_put(struct mem_map *map, const struct mem_region *region);

void mem_region_drop(struct mem_region *region);
void mem_map_clear(struct mem_map *map);

/* One past the greatest address, 0 for an empty map. */
uint64_t mem_map_end(const struct mem_map *map);

#endif
