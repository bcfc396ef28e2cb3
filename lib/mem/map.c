/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include "mem/map.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "util.h"

/* Where the addresses begin by which back-ends know the regions: no one maps there. */
#define USER_ADDR_BASE ((uint64_t)1 << 44)
#define USER_ADDR_ALIGN ((uint64_t)1 << 30)	/* so that huge pages keep their alignment */

/*
 * Is all of [addr, addr + len) mapped, and shared? The kernel tells in
 * /proc/self/maps; where that cannot be read, the benefit of the doubt is given.
 */
static int check_mapping(const void *addr, uint64_t len, const char **why)
{
	uint64_t at = (uintptr_t)addr, end, lo, hi;
	char line[512], shared;
	int r = 0;
	FILE *f;

	if (!range_end(at, len, &end)) {
		*why = "it wraps around the end of the address space";
		return -EINVAL;
	}
	f = fopen("/proc/self/maps", "re");
	if (!f)
		return 0;
	while (at < end && fgets(line, sizeof(line), f)) {
		/* a long path makes several reads of a line; the rest has no such form */
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*c%*c%*c%c", &lo, &hi, &shared) != 3 ||
		    hi <= at)
			continue;
		if (lo > at)
			break;
		if (shared != 's') {
			*why = "it is mapped privately: a back-end would not see what is "
			       "written there (map it with MAP_SHARED)";
			r = -EINVAL;
			break;
		}
		at = hi;
	}
	fclose(f);
	if (!r && at < end) {
		*why = "it is not mapped at the address given";
		return -EFAULT;
	}
	return r;
}

int mem_desc_check(const struct vhost_mem_desc *desc, bool needs_shared, const char **why)
{
	uint64_t last, file_end;
	struct stat st;
	int r;

	if (!range_last(desc->iova, desc->size, &last) || last == UINT64_MAX) {
		*why = desc->size ? "it wraps around the end of the address space" :
				    "it is empty";
		return -EINVAL;
	}
	if (needs_shared && desc->fd < 0) {
		*why = "it has no file descriptor, so it cannot be shared with the back-end "
		       "(use memfd_create(2), or vhost_mem_new())";
		return -EINVAL;
	}
	if (desc->fd >= 0) {
		if (fstat(desc->fd, &st) < 0) {
			*why = "its file descriptor is not open";
			return -errno;
		}
		if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)) {
			*why = "its file descriptor is not that of a memory file";
			return -EINVAL;
		}
		if (!range_end(desc->fd_offset, desc->size, &file_end) ||
		    (S_ISREG(st.st_mode) && file_end > (uint64_t)st.st_size)) {
			*why = "it goes beyond the end of its file";
			return -EINVAL;
		}
	}
	if (desc->addr && needs_shared) {
		r = check_mapping(desc->addr, desc->size, why);
		if (r < 0)
			return r;
	}
	return 0;
}

bool mem_same_file(int a, int b)
{
	struct stat sa, sb;

	if (a < 0 || b < 0)
		return a == b;
	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

/* The first region that ends after @iova. */
static unsigned int lower_bound(const struct mem_map *map, uint64_t iova)
{
	unsigned int lo = 0, hi = map->n;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (map->regions[mid].iova + map->regions[mid].size > iova)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

void mem_map_put(struct mem_map *map, const struct mem_region *region)
{
	unsigned int i = lower_bound(map, region->iova);

	memmove(&map->regions[i + 1], &map->regions[i], (map->n - i) * sizeof(*map->regions));
	map->regions[i] = *region;
	map->n++;
}

int mem_map_add(struct mem_map *map, const struct vhost_mem_desc *desc, struct mem_region **ret)
{
	unsigned int i = lower_bound(map, desc->iova);
	struct mem_region region = {
		.iova = desc->iova, .size = desc->size, .fd_offset = desc->fd_offset,
		.addr = desc->addr, .fd = -1, .flags = desc->flags,
		.xen_flags = desc->xen_flags, .xen_domid = desc->xen_domid,
	};
	uint64_t next;

	if (i < map->n && map->regions[i].iova < desc->iova + desc->size)
		return -EEXIST;
	if (map->n == map->room) {
		unsigned int room = map->room ? map->room * 2 : 8;
		struct mem_region *more = realloc(map->regions, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		map->regions = more;
		map->room = room;
	}
	region.user_addr = map->next_user_addr ? map->next_user_addr : USER_ADDR_BASE;
	if (!range_end(region.user_addr, desc->size, &next) ||
	    !range_end(next, 2 * USER_ADDR_ALIGN, &next))
		return -ENOSPC;
	if (desc->fd >= 0) {
		region.fd = fcntl(desc->fd, F_DUPFD_CLOEXEC, 3);
		if (region.fd < 0)
			return -errno;
	}
	/* A gap between regions, so that nothing that runs over one ends up in the next. */
	map->next_user_addr = next / USER_ADDR_ALIGN * USER_ADDR_ALIGN;
	mem_map_put(map, &region);
	*ret = &map->regions[i];
	return 0;
}

struct mem_region *mem_map_find(const struct mem_map *map, uint64_t iova, uint64_t len)
{
	unsigned int i = lower_bound(map, iova);

	if (i == map->n || iova < map->regions[i].iova ||
	    !range_within(iova - map->regions[i].iova, len, map->regions[i].size))
		return NULL;
	return &map->regions[i];
}

struct mem_region *mem_map_find_exact(const struct mem_map *map, uint64_t iova, uint64_t size)
{
	unsigned int i = lower_bound(map, iova);

	if (i == map->n || map->regions[i].iova != iova || map->regions[i].size != size)
		return NULL;
	return &map->regions[i];
}

struct mem_region mem_map_take(struct mem_map *map, struct mem_region *region)
{
	struct mem_region taken = *region;
	size_t i = (size_t)(region - map->regions);

	map->n--;
	memmove(region, region + 1, (map->n - i) * sizeof(*region));
	return taken;
}

void mem_region_drop(struct mem_region *region)
{
	close_fd(&region->fd);
}

void mem_map_clear(struct mem_map *map)
{
	unsigned int i;

	for (i = 0; i < map->n; i++)
		mem_region_drop(&map->regions[i]);
	free(map->regions);
	map->regions = NULL;
	map->n = map->room = 0;
}

uint64_t mem_map_end(const struct mem_map *map)
{
	return map->n ? map->regions[map->n - 1].iova + map->regions[map->n - 1].size : 0;
}
