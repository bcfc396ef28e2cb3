/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include "mem/map.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "util.h"

/* Where the addresses begin by which back-ends know the regions: no one maps there. */
#define USER_ADDR_BASE ((uint64_t)1 << 44)
#define USER_ADDR_ALIGN ((uint64_t)1 << 30)	/* so that huge pages keep their alignment */

void mem_vmas_clear(struct mem_vmas *vmas)
{
	free(vmas->vmas);
	memset(vmas, 0, sizeof(*vmas));
}

/* A line of /proc/self/maps: "FIRST-END rwxs ..." */
static bool parse_vma(const char *line, struct mem_vma *ret)
{
	char *end;

	ret->first = strtoull(line, &end, 16);
	if (*end != '-')
		return false;
	ret->end = strtoull(end + 1, &end, 16);
	if (*end != ' ' || strlen(end) < 5)
		return false;
	ret->shared = end[4] == 's';
	return true;
}

/* The kernel lists them in order. Where it does not, the benefit of the doubt is given. */
static void read_vmas(struct mem_vmas *vmas)
{
	FILE *f = fopen("/proc/self/maps", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	vmas->read = true;
	vmas->unknown = !f;
	while (f && getline(&line, &size, f) > 0) {
		if (vmas->n == vmas->room) {
			size_t room = vmas->room ? vmas->room * 2 : 64;
			struct mem_vma *more = realloc(vmas->vmas, room * sizeof(*more));

			if (!more) {
				vmas->unknown = true;
				break;
			}
			vmas->vmas = more;
			vmas->room = room;
		}
		vmas->n += parse_vma(line, &vmas->vmas[vmas->n]);
	}
	if (f)
		fclose(f);
}

/* Is all of [addr, addr + len) mapped, and shared? */
static int check_mapping(struct mem_vmas *vmas, const void *addr, uint64_t len, const char **why)
{
	uint64_t at = (uintptr_t)addr, end;
	size_t lo = 0, hi;

	if (!range_end(at, len, &end)) {
		*why = "it wraps around the end of the address space";
		return -EINVAL;
	}
	if (!vmas->read)
		read_vmas(vmas);
	if (vmas->unknown)
		return 0;
	/* the first that ends after it */
	for (hi = vmas->n; lo < hi;) {
		size_t mid = lo + (hi - lo) / 2;

		if (vmas->vmas[mid].end > at)
			hi = mid;
		else
			lo = mid + 1;
	}
	for (; at < end && lo < vmas->n && vmas->vmas[lo].first <= at; lo++) {
		if (!vmas->vmas[lo].shared) {
			*why = "it is mapped privately: the device would not see what is "
			       "written there (map it with MAP_SHARED)";
			return -EINVAL;
		}
		at = vmas->vmas[lo].end;
	}
	if (at < end) {
		*why = "it is not mapped at the address given";
		return -EFAULT;
	}
	return 0;
}

int mem_desc_check(const struct vhost_mem_desc *desc, unsigned int needs, struct mem_vmas *vmas,
		   const char **why)
{
	uint64_t last, file_end;
	struct stat st;
	int r;

	if (!range_last(desc->iova, desc->size, &last) || last == UINT64_MAX) {
		*why = desc->size ? "it wraps around the end of the address space" :
				    "it is empty";
		return -EINVAL;
	}
	if (needs & MEM_NEEDS_FD && desc->fd < 0) {
		*why = "it has no file descriptor, so it cannot be shared with the back-end "
		       "(use memfd_create(2), or vhost_mem_new())";
		return -EINVAL;
	}
	if (needs & MEM_NEEDS_ADDR && !desc->addr) {
		*why = "it has no address: the kernel reaches it where this process has it mapped";
		return -EINVAL;
	}
	if (needs & MEM_NEEDS_ADDR && !range_last((uintptr_t)desc->addr, desc->size, &last)) {
		*why = "it wraps around the end of the address space";
		return -EINVAL;
	}
	if (needs & MEM_NEEDS_PAGES &&
	    (desc->iova | desc->size | (uintptr_t)desc->addr) % (uint64_t)sysconf(_SC_PAGESIZE)) {
		*why = "it is not whole pages";
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
	if (desc->addr && needs & MEM_NEEDS_SHARED) {
		r = check_mapping(vmas, desc->addr, desc->size, why);
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

struct mem_region *mem_map_first(const struct mem_map *map, uint64_t iova, uint64_t last)
{
	unsigned int i = lower_bound(map, iova);

	return i < map->n && map->regions[i].iova <= last ? &map->regions[i] : NULL;
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
