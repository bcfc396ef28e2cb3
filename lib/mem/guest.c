/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include "mem/guest.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "mem/map.h"
#include "util.h"

/* ------------------------------------------------- where SIGBUS may come from */

/*
 * All mappings of peers' files, for a signal handler to look through: it waits for no
 * lock. A slot is free, or claimed (one thread has it to itself and may change it), or
 * live, plus the number of handlers that are in it. Who unmaps claims the slot first, when
 * no handler is left in it: so a handler never maps over what has become another's.
 */
#define SLOT_FREE 0u
#define SLOT_CLAIMED (1u << 31)
#define SLOT_LIVE (1u << 30)

#define BLOCK_SLOTS 64u

struct block;

struct slot {
	uint32_t state;		/* atomic */
	uint32_t dead;		/* atomic */
	uintptr_t first;
	uintptr_t end;
	size_t page;
	struct block *block;
};

/* Never freed, since a handler may look at it at any time, but used again. */
struct block {
	struct block *next;
	uint32_t used;		/* atomic: to pass those that are full */
	struct slot slots[BLOCK_SLOTS];
};

static struct block first_block;
static struct block *blocks = &first_block;	/* atomic; grows at the front */

uint32_t guest_faults;

/* For mappings that the program made: they are its own to contain. */
static uint32_t never_dead;

static struct slot *slot_claim_in(struct block *block)
{
	unsigned int i;

	if (__atomic_load_n(&block->used, __ATOMIC_RELAXED) >= BLOCK_SLOTS)
		return NULL;
	for (i = 0; i < BLOCK_SLOTS; i++) {
		struct slot *slot = &block->slots[i];
		uint32_t state = SLOT_FREE;

		if (!__atomic_compare_exchange_n(&slot->state, &state, SLOT_CLAIMED, false,
						 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		__atomic_add_fetch(&block->used, 1, __ATOMIC_RELAXED);
		slot->block = block;
		return slot;
	}
	return NULL;
}

static struct slot *slot_claim(void)
{
	struct block *head = __atomic_load_n(&blocks, __ATOMIC_ACQUIRE), *block;
	struct slot *slot;

	for (block = head; block; block = block->next) {
		slot = slot_claim_in(block);
		if (slot)
			return slot;
	}
	block = calloc(1, sizeof(*block));
	if (!block)
		return NULL;
	slot = slot_claim_in(block);
	block->next = head;
	while (!__atomic_compare_exchange_n(&blocks, &block->next, block, false, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
	return slot;
}

static void slot_free(struct slot *slot)
{
	struct block *block = slot->block;

	__atomic_store_n(&slot->state, SLOT_FREE, __ATOMIC_RELEASE);
	__atomic_sub_fetch(&block->used, 1, __ATOMIC_RELAXED);
}

static void slot_publish(struct slot *slot, void *map, size_t len, size_t page)
{
	slot->first = (uintptr_t)map;
	slot->end = (uintptr_t)map + len;
	slot->page = page;
	__atomic_store_n(&slot->dead, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->state, SLOT_LIVE, __ATOMIC_RELEASE);
}

/* A handler that is in it, in another thread, is out after a system call. */
static void slot_withdraw(struct slot *slot)
{
	__atomic_fetch_xor(&slot->state, SLOT_LIVE | SLOT_CLAIMED, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) != SLOT_CLAIMED)
		sched_yield();
}

static bool slot_enter(struct slot *slot)
{
	uint32_t state = __atomic_load_n(&slot->state, __ATOMIC_RELAXED);

	while (state & SLOT_LIVE)
		if (__atomic_compare_exchange_n(&slot->state, &state, state + 1, false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
	return false;
}

static void slot_leave(struct slot *slot)
{
	__atomic_sub_fetch(&slot->state, 1, __ATOMIC_RELEASE);
}

static bool slot_contain(struct slot *slot, uintptr_t addr)
{
	uintptr_t from = addr & ~((uintptr_t)slot->page - 1);

	if (addr < slot->first || addr >= slot->end)
		return false;
	if (mmap((void *)from, slot->end - from, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		return false;
	__atomic_store_n(&slot->dead, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&guest_faults, 1, __ATOMIC_RELEASE);
	return true;
}

int guest_handle_sigbus(const void *addr)
{
	struct block *block = __atomic_load_n(&blocks, __ATOMIC_ACQUIRE);
	int saved = errno;
	bool contained = false;
	unsigned int i;

	for (; block && !contained; block = block->next)
		for (i = 0; i < BLOCK_SLOTS && !contained; i++)
			if (slot_enter(&block->slots[i])) {
				contained = slot_contain(&block->slots[i], (uintptr_t)addr);
				slot_leave(&block->slots[i]);
			}
	errno = saved;
	return contained;
}

/* -------------------------------------------------------------- a peer's file */

#define HUGETLBFS 0x958458f6u	/* struct statfs.f_type */

/* Mappings of a file of huge pages begin and end where one of them does. */
static uint64_t file_page_size(int fd, const struct stat *st)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct statfs fs;

	/* st_blksize alone says nothing: on other file systems it is advice */
	if (!S_ISREG(st->st_mode) || (uint64_t)st->st_blksize <= page || fstatfs(fd, &fs) < 0 ||
	    (uint32_t)fs.f_type != HUGETLBFS)
		return page;
	return (uint64_t)st->st_blksize;
}

static int check_file(int fd, uint64_t end, bool sealed, struct stat *st, const char **why)
{
	int flags = fcntl(fd, F_GETFL), seals;

	if (flags < 0 || fstat(fd, st) < 0) {
		*why = "its file descriptor is none";
		return -errno;
	}
	if (flags & O_PATH) {
		*why = "its file descriptor was opened with O_PATH: there is nothing to map";
		return -EINVAL;
	}
	if (!S_ISREG(st->st_mode) && !S_ISCHR(st->st_mode)) {
		*why = "its file descriptor is neither a file nor a device that can be mapped "
		       "(memfd_create(2) makes one)";
		return -EINVAL;
	}
	/* before the size is looked at: from then on it can only grow */
	seals = sealed ? fcntl(fd, F_GET_SEALS) : F_SEAL_SHRINK;
	if (seals < 0 || !(seals & F_SEAL_SHRINK)) {
		*why = "its file can be cut short, and this back-end requires that it cannot "
		       "(use a memfd with F_SEAL_SHRINK)";
		return -EPERM;
	}
	/* a device has no size to compare with */
	if (end > INT64_MAX || (S_ISREG(st->st_mode) && end > (uint64_t)st->st_size)) {
		*why = "it goes beyond the end of its file";
		return -EINVAL;
	}
	return 0;
}

static int explain_mmap(int error, const char **why)
{
	switch (error) {
	case EACCES:
		*why = "its file descriptor is for reading only: the device has to write there";
		return -EACCES;
	case EPERM:
		*why = "its file is sealed against writing: the device has to write there";
		return -EPERM;
	case ENODEV:
		*why = "its file cannot be mapped";
		return -EINVAL;
	case ENOMEM:
		*why = "there is no room to map it (see RLIMIT_AS and vm.max_map_count)";
		return -ENOMEM;
	default:
		*why = "its file could not be mapped";
		return -error;
	}
}

int guest_file_map(int fd, uint64_t offset, uint64_t size, bool sealed, struct guest_file *ret,
		   const char **why)
{
	uint64_t end, page, slack, len;
	struct slot *slot;
	struct stat st;
	void *map;
	int r;

	if (!size) {
		*why = "it is empty";
		return -EINVAL;
	}
	if (!range_end(offset, size, &end)) {
		*why = "its offset and its size are too large together";
		return -EINVAL;
	}
	r = check_file(fd, end, sealed, &st, why);
	if (r < 0)
		return r;
	page = file_page_size(fd, &st);
	slack = offset & (page - 1);
	/* nothing wraps: offset + size is below 2^63 */
	len = (slack + size + page - 1) & ~(page - 1);
	if (len > PTRDIFF_MAX) {
		*why = "it is larger than the address space of this process";
		return -EINVAL;
	}
	slot = slot_claim();
	if (!slot) {
		*why = "there is no memory left";
		return -ENOMEM;
	}
	map = mmap(NULL, (size_t)len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		   (off_t)(offset - slack));
	if (map == MAP_FAILED) {
		r = explain_mmap(errno, why);
		slot_free(slot);
		return r;
	}
	/* what is the guest's is not for our core dumps */
	(void)madvise(map, (size_t)len, MADV_DONTDUMP);
	slot_publish(slot, map, (size_t)len, (size_t)page);
	*ret = (struct guest_file){
		.addr = (uint8_t *)map + slack, .map = map, .map_len = (size_t)len,
		.dead = &slot->dead,
	};
	return 0;
}

void guest_file_unmap(void *map, size_t map_len, uint32_t *dead)
{
	struct slot *slot = (struct slot *)((char *)dead - offsetof(struct slot, dead));

	slot_withdraw(slot);
	munmap(map, map_len);
	slot_free(slot);
}

/* -------------------------------------------------------------------- regions */

static int region_map_file(struct guest_region *region, const struct guest_region_desc *desc,
			   const char **why)
{
	struct guest_file file;
	int r;

	if (desc->fd < 0) {
		*why = "it came without a file descriptor";
		return -EINVAL;
	}
	region->fd = fcntl(desc->fd, F_DUPFD_CLOEXEC, 0);
	if (region->fd < 0) {
		*why = "its file descriptor could not be duplicated (see RLIMIT_NOFILE)";
		return -errno;
	}
	r = guest_file_map(region->fd, desc->fd_offset, desc->size, desc->sealed, &file, why);
	if (r < 0)
		return r;
	/* pages are to be missing one by one, as the source sends them */
	if (desc->postcopy)
		(void)madvise(file.map, file.map_len, MADV_NOHUGEPAGE);
	region->addr = file.addr;
	region->map = file.map;
	region->map_len = file.map_len;
	region->dead = file.dead;
	return 0;
}

static int region_map(struct guest_region *region, const struct guest_region_desc *desc,
		      const char **why)
{
	int r;

	if (!desc->map)
		return region_map_file(region, desc, why);
	region->dead = &never_dead;
	r = desc->map(region, desc->map_opaque);
	if (r < 0)
		*why = "the program could not map it";
	return r;
}

int guest_region_new(const struct guest_region_desc *desc, struct guest_region **ret,
		     const char **why)
{
	struct guest_region *region;
	uint64_t last;
	int r;

	if (!desc->size) {
		*why = "it is empty";
		return -EINVAL;
	}
	if (!range_last(desc->guest, desc->size, &last)) {
		*why = "its guest addresses wrap around the end of the address space";
		return -EINVAL;
	}
	if (!range_last(desc->user, desc->size, &last)) {
		*why = "its user addresses wrap around the end of the address space";
		return -EINVAL;
	}
	if (desc->size > PTRDIFF_MAX) {
		*why = "it is larger than the address space of this process";
		return -EINVAL;
	}
	region = calloc(1, sizeof(*region));
	if (!region) {
		*why = "there is no memory left";
		return -ENOMEM;
	}
	*region = (struct guest_region){
		.refs = 1, .fd = -1,
		.guest = desc->guest, .size = desc->size, .user = desc->user,
		.fd_offset = desc->fd_offset,
		.xen_flags = desc->xen_flags, .xen_domid = desc->xen_domid,
	};
	r = region_map(region, desc, why);
	if (r < 0) {
		close_fd(&region->fd);
		free(region);
		return r;
	}
	*ret = region;
	return 0;
}

struct guest_region *guest_region_ref(struct guest_region *region)
{
	__atomic_add_fetch(&region->refs, 1, __ATOMIC_RELAXED);
	return region;
}

void guest_region_unref(struct guest_region *region)
{
	if (!region || __atomic_sub_fetch(&region->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (region->unmap)
		region->unmap(region);
	else if (region->map)
		guest_file_unmap(region->map, region->map_len, region->dead);
	close_fd(&region->fd);
	free(region);
}

bool guest_region_is(const struct guest_region *region, const struct guest_region_desc *desc)
{
	if (region->guest != desc->guest || region->size != desc->size ||
	    region->user != desc->user || region->fd_offset != desc->fd_offset ||
	    region->xen_flags != desc->xen_flags || region->xen_domid != desc->xen_domid)
		return false;
	/* grants and the like come with a descriptor of the device, which tells nothing */
	if (region->dead == &never_dead)
		return desc->map != NULL;
	return !desc->map && mem_same_file(region->fd, desc->fd);
}

/* ----------------------------------------------------------------------- maps */

/* So many that slots are small beside regions, so few that they stay in the cache. */
#define START_SLOTS 1024u

static int by_first(const void *a, const void *b)
{
	const struct guest_span *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * Each slot is the same power of two of addresses. What begins the search there is the
 * span that has most of the slot.
 */
static int index_build(struct guest_index *index, unsigned int n)
{
	uint64_t range, slot, most = 0;
	unsigned int i, room = n > 1 ? START_SLOTS : 2;

	if (!n)
		return 0;
	qsort(index->spans, n, sizeof(*index->spans), by_first);
	for (i = 1; i < n; i++)
		if (index->spans[i].first <= index->spans[i - 1].last)
			return -EEXIST;
	index->base = index->spans[0].first;
	range = index->spans[n - 1].last - index->base;
	while (range >> index->shift >= room)
		index->shift++;
	index->n_start = (range >> index->shift) + 1;
	index->start = calloc(index->n_start, sizeof(*index->start));
	if (!index->start)
		return -ENOMEM;
	for (i = 0, slot = 0; slot < index->n_start;) {
		const struct guest_span *span = &index->spans[i];
		/* both relative to the base, so that the last byte does not wrap */
		uint64_t first = slot << index->shift;
		uint64_t last = first + (((uint64_t)1 << index->shift) - 1);
		uint64_t span_first = span->first - index->base;
		uint64_t span_last = span->last - index->base;

		if (span_first <= last && span_last >= first) {
			uint64_t in = min_u64(last, span_last) - max_u64(first, span_first);

			/* the first that touches it, at least: it may be of one byte */
			if (in >= most) {
				most = in;
				index->start[slot] = (uint16_t)i;
			}
		}
		if (span_last <= last && i + 1 < n) {
			i++;
		} else {
			slot++;
			most = 0;
		}
	}
	return 0;
}

const struct guest_span *guest_index_find_slow(const struct guest_index *index, unsigned int n,
					       uint64_t addr)
{
	unsigned int lo = 0, hi = n;

	/* the first that begins after it */
	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (index->spans[mid].first > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo && index->spans[lo - 1].last >= addr ? &index->spans[lo - 1] : NULL;
}

static void index_free(struct guest_index *index)
{
	free(index->spans);
	free(index->start);
}

static void map_free(struct guest_map *map)
{
	unsigned int i;

	for (i = 0; i < map->n; i++)
		guest_region_unref(map->by_guest.spans[i].region);
	index_free(&map->by_guest);
	index_free(&map->by_user);
	index_free(&map->by_host);
	free(map);
}

static void span_set(struct guest_index *index, unsigned int i, uint64_t first,
		     struct guest_region *region)
{
	index->spans[i] = (struct guest_span){
		first, first + (region->size - 1), region->addr, region,
	};
}

static struct guest_map *map_of(struct guest_region *const *regions, unsigned int n)
{
	struct guest_map *map = calloc(1, sizeof(*map));
	unsigned int i;

	if (!map)
		return NULL;
	map->refs = 1;
	if (!n)
		return map;
	map->by_guest.spans = calloc(n, sizeof(struct guest_span));
	map->by_user.spans = calloc(n, sizeof(struct guest_span));
	map->by_host.spans = calloc(n, sizeof(struct guest_span));
	if (!map->by_guest.spans || !map->by_user.spans || !map->by_host.spans) {
		map_free(map);
		return NULL;
	}
	map->n = n;
	for (i = 0; i < n; i++) {
		struct guest_region *region = guest_region_ref(regions[i]);

		span_set(&map->by_guest, i, region->guest, region);
		span_set(&map->by_user, i, region->user, region);
		span_set(&map->by_host, i, (uintptr_t)region->addr, region);
	}
	return map;
}

int guest_map_new(struct guest_region *const *regions, unsigned int n, struct guest_map **ret,
		  const char **why)
{
	struct guest_map *map;
	int r;

	if (n > UINT16_MAX) {
		*why = "there are more regions than can be told apart";
		return -EINVAL;
	}
	map = map_of(regions, n);
	if (!map) {
		*why = "there is no memory left";
		return -ENOMEM;
	}
	r = index_build(&map->by_guest, n);
	if (r == -EEXIST)
		*why = "two regions overlap by their guest addresses";
	if (r == 0) {
		r = index_build(&map->by_user, n);
		if (r == -EEXIST)
			*why = "two regions overlap by their user addresses";
	}
	/* a program's own mapper may give one piece of memory twice */
	if (r == 0 && index_build(&map->by_host, n) == -ENOMEM)
		r = -ENOMEM;
	if (r < 0) {
		if (r == -ENOMEM)
			*why = "there is no memory left";
		map_free(map);
		return r;
	}
	*ret = map;
	return 0;
}

struct guest_map *guest_map_ref(struct guest_map *map)
{
	__atomic_add_fetch(&map->refs, 1, __ATOMIC_RELAXED);
	return map;
}

void guest_map_unref(struct guest_map *map)
{
	if (map && !__atomic_sub_fetch(&map->refs, 1, __ATOMIC_ACQ_REL))
		map_free(map);
}

bool guest_map_has(const struct guest_map *map, const struct guest_region *region)
{
	const struct guest_span *span;

	if (!map)
		return false;
	span = guest_index_find(&map->by_guest, map->n, region->guest);
	return span && span->region == region;
}

bool guest_map_is_dead(const struct guest_map *map)
{
	unsigned int i;

	for (i = 0; i < map->n; i++)
		if (__atomic_load_n(map->by_guest.spans[i].region->dead, __ATOMIC_RELAXED))
			return true;
	return false;
}

static const struct guest_span *find_host(const struct guest_map *map, uint64_t at)
{
	unsigned int i;

	if (likely(map->by_host.n_start))
		return guest_index_find(&map->by_host, map->n, at);
	for (i = 0; i < map->n; i++) {
		const struct guest_span *span = &map->by_host.spans[i];

		if (at - span->first <= span->last - span->first)
			return span;
	}
	return NULL;
}

bool guest_map_to_guest(const struct guest_map *map, const void *ptr, uint64_t *ret,
			uint64_t *ret_len)
{
	const struct guest_span *span = find_host(map, (uintptr_t)ptr);

	if (!span)
		return false;
	*ret = span->region->guest + ((uintptr_t)ptr - span->first);
	*ret_len = span->last - (uintptr_t)ptr + 1;
	return true;
}
