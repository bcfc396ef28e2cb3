/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* Shared memory: a sealed memfd, mapped shared, and an allocator on it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64	/* memories beyond 2 GiB, also where off_t is 32 bits */
#endif

#include <fcntl.h>
#include <sys/mman.h>

#include "mem/alloc.h"

/* Values of the kernel's interface that an older libc may lack. */
#ifndef MFD_HUGETLB
#define MFD_HUGETLB 0x0004u
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif
#define HUGE_SHIFT 26		/* log2 of the page size goes there (memfd_create(2)) */

static inline unsigned int bin_of(uint64_t size)
{
	return 63 - (unsigned int)__builtin_clzll(size);
}

static inline struct mem_block **bucket_of(const vhost_mem_t *mem, uint64_t offset)
{
	uint64_t h = (offset / MEM_GRANULE) * 0x9e3779b97f4a7c15u;

	return &mem->buckets[(h >> 32) & (mem->n_buckets - 1)];
}

static void link_to(struct mem_block **head, struct mem_block *b)
{
	b->link_prev = NULL;
	b->link_next = *head;
	if (*head)
		(*head)->link_prev = b;
	*head = b;
}

static void unlink_from(struct mem_block **head, struct mem_block *b)
{
	if (b->link_prev)
		b->link_prev->link_next = b->link_next;
	else
		*head = b->link_next;
	if (b->link_next)
		b->link_next->link_prev = b->link_prev;
}

static void bin_add(vhost_mem_t *mem, struct mem_block *b)
{
	unsigned int bin = bin_of(b->size);

	b->used = false;
	link_to(&mem->bins[bin], b);
	mem->bins_used |= 1ull << bin;
}

static void bin_remove(vhost_mem_t *mem, struct mem_block *b)
{
	unsigned int bin = bin_of(b->size);

	unlink_from(&mem->bins[bin], b);
	if (!mem->bins[bin])
		mem->bins_used &= ~(1ull << bin);
}

/* Make the part of @b from @size on a block of its own, @rest, in no bin yet. */
static void split_block(struct mem_block *b, uint64_t size, struct mem_block *rest)
{
	rest->offset = b->offset + size;
	rest->size = b->size - size;
	rest->prev = b;
	rest->next = b->next;
	if (b->next)
		b->next->prev = rest;
	b->next = rest;
	b->size = size;
}

/* Take the block after @b into @b. */
static void merge_next(struct mem_block *b)
{
	struct mem_block *gone = b->next;

	b->size += gone->size;
	b->next = gone->next;
	if (gone->next)
		gone->next->prev = b;
	free(gone);
}

/* Twice as many buckets when there are more used blocks than buckets. */
static void grow_buckets(vhost_mem_t *mem)
{
	size_t n = mem->n_buckets, i;
	struct mem_block **old = mem->buckets;
	struct mem_block **buckets = calloc(n * 2, sizeof(*buckets));

	if (!buckets)
		return;		/* slower, but right */
	mem->buckets = buckets;
	mem->n_buckets = n * 2;
	for (i = 0; i < n; i++) {
		struct mem_block *b, *next;

		for (b = old[i]; b; b = next) {
			next = b->link_next;
			link_to(bucket_of(mem, b->offset), b);
		}
	}
	free(old);
}

static vhost_mem_t *mem_free_all(vhost_mem_t *mem)
{
	struct mem_block *b = mem->first;

	while (b) {
		struct mem_block *next = b->next;

		free(b);
		b = next;
	}
	free(mem->buckets);
	if (mem->addr)
		munmap(mem->addr, (size_t)mem->size);
	close_fd(&mem->fd);
	free(mem);
	return NULL;
}

static int mem_create_fd(unsigned int huge_shift)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd;

	if (huge_shift)
		flags |= MFD_HUGETLB | (huge_shift << HUGE_SHIFT);
	/* Kernels before 6.3 do not know the flag, later ones warn without it. */
	fd = memfd_create("vhost", flags | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("vhost", flags);
	return fd < 0 ? -errno : fd;
}

VHOST_EXPORT int vhost_mem_new(uint64_t size, uint32_t flags, uint64_t iova, vhost_mem_t **ret)
{
	unsigned int huge_shift = flags & VHOST_MEM_HUGE_1G ? 30 : flags & VHOST_MEM_HUGE_2M ? 21 : 0;
	uint64_t page = huge_shift ? 1ull << huge_shift : (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t last;
	vhost_mem_t *mem;
	void *addr;
	int r;

	if (!ret || !size || (flags & ~(VHOST_MEM_HUGE_2M | VHOST_MEM_HUGE_1G)) ||
	    flags == (VHOST_MEM_HUGE_2M | VHOST_MEM_HUGE_1G) || (iova & (page - 1)))
		return -EINVAL;
	if (!range_end(size, page - 1, &size))
		return -EINVAL;
	size &= ~(page - 1);
	if (!range_last(iova, size, &last))
		return -EINVAL;
	if (size > SIZE_MAX / 2 || size > INT64_MAX)
		return -ENOMEM;

	mem = calloc(1, sizeof(*mem));
	if (!mem)
		return -ENOMEM;
	mem->refs = 1;
	mem->size = size;
	mem->iova = iova;
	mem->n_buckets = 64;
	mem->fd = mem_create_fd(huge_shift);
	if (mem->fd < 0) {
		r = mem->fd;
		goto fail;
	}
	mem->buckets = calloc(mem->n_buckets, sizeof(*mem->buckets));
	mem->first = calloc(1, sizeof(*mem->first));
	if (!mem->buckets || !mem->first) {
		r = -ENOMEM;
		goto fail;
	}
	if (ftruncate(mem->fd, (off_t)size) < 0 ||
	    fcntl(mem->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		r = -errno;
		goto fail;
	}
	addr = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, mem->fd, 0);
	if (addr == MAP_FAILED) {
		r = -errno;
		goto fail;
	}
	mem->addr = addr;
	mem->first->size = size;
	bin_add(mem, mem->first);
	*ret = mem;
	return 0;
fail:
	mem_free_all(mem);
	return r;
}

VHOST_EXPORT vhost_mem_t *vhost_mem_ref(vhost_mem_t *mem)
{
	if (mem)
		mem->refs++;
	return mem;
}

VHOST_EXPORT vhost_mem_t *vhost_mem_unref(vhost_mem_t *mem)
{
	if (mem && --mem->refs == 0)
		mem_free_all(mem);
	return NULL;
}

/* Where in the free block @b a piece would start; false if it does not fit. */
static bool fit(const vhost_mem_t *mem, const struct mem_block *b, uint64_t size, uint64_t align,
		uint64_t *pad)
{
	*pad = -(mem->iova + b->offset) & (align - 1);
	return *pad <= b->size && size <= b->size - *pad;
}

static struct mem_block *find_free(const vhost_mem_t *mem, uint64_t size, uint64_t align,
				   uint64_t *pad)
{
	uint64_t bins = mem->bins_used & (UINT64_MAX << bin_of(size));
	struct mem_block *b;

	/* The bin of @size itself may hold smaller blocks; those above hold none. */
	for (; bins; bins &= bins - 1)
		for (b = mem->bins[__builtin_ctzll(bins)]; b; b = b->link_next)
			if (fit(mem, b, size, align, pad))
				return b;
	return NULL;
}

VHOST_EXPORT void *vhost_mem_alloc(vhost_mem_t *mem, size_t size, size_t align)
{
	struct mem_block *b, *before = NULL, *after = NULL;
	uint64_t need, pad;

	if (!mem || !size || (align & (align - 1)))
		return NULL;
	if (align < MEM_GRANULE)
		align = MEM_GRANULE;
	if (!range_end(size, MEM_GRANULE - 1, &need))
		return NULL;
	need &= ~(uint64_t)(MEM_GRANULE - 1);
	b = find_free(mem, need, align, &pad);
	if (!b)
		return NULL;

	/* What is left in front and behind needs blocks of its own: get them first. */
	if (pad)
		before = malloc(sizeof(*before));
	if (b->size - pad > need)
		after = malloc(sizeof(*after));
	if ((pad && !before) || (b->size - pad > need && !after)) {
		free(before);
		free(after);
		return NULL;
	}
	bin_remove(mem, b);
	if (before) {
		split_block(b, pad, before);
		bin_add(mem, b);
		b = before;
	}
	if (after) {
		split_block(b, need, after);
		bin_add(mem, after);
	}
	b->used = true;
	if (++mem->n_used > mem->n_buckets)
		grow_buckets(mem);
	link_to(bucket_of(mem, b->offset), b);
	/* Whoever had the piece before may have left anything in it, the device as well. */
	memset(mem->addr + b->offset, 0, (size_t)need);
	return mem->addr + b->offset;
}

VHOST_EXPORT void vhost_mem_free(vhost_mem_t *mem, void *ptr)
{
	uint64_t offset;
	struct mem_block **bucket, *b;

	if (!mem || !ptr)
		return;
	offset = (uint64_t)((uintptr_t)ptr - (uintptr_t)mem->addr);
	if (offset >= mem->size)
		return;
	bucket = bucket_of(mem, offset);
	for (b = *bucket; b && b->offset != offset; b = b->link_next)
		;
	if (!b)
		return;
	unlink_from(bucket, b);
	mem->n_used--;
	if (b->next && !b->next->used) {
		bin_remove(mem, b->next);
		merge_next(b);
	}
	if (b->prev && !b->prev->used) {
		b = b->prev;
		bin_remove(mem, b);
		merge_next(b);
	}
	bin_add(mem, b);
}

VHOST_EXPORT void *vhost_mem_addr(const vhost_mem_t *mem)
{
	return mem->addr;
}

VHOST_EXPORT uint64_t vhost_mem_size(const vhost_mem_t *mem)
{
	return mem->size;
}

VHOST_EXPORT uint64_t vhost_mem_iova(const vhost_mem_t *mem)
{
	return mem->iova;
}

VHOST_EXPORT int vhost_mem_fd(const vhost_mem_t *mem)
{
	return mem->fd;
}

VHOST_EXPORT uint64_t vhost_mem_to_iova(const vhost_mem_t *mem, const void *ptr)
{
	uintptr_t offset = (uintptr_t)ptr - (uintptr_t)mem->addr;

	return offset < mem->size ? mem->iova + offset : UINT64_MAX;
}

VHOST_EXPORT void *vhost_mem_from_iova(const vhost_mem_t *mem, uint64_t iova, uint64_t len)
{
	uint64_t offset = iova - mem->iova;

	if (offset >= mem->size || len > mem->size - offset)
		return NULL;
	return mem->addr + offset;
}

VHOST_EXPORT void vhost_mem_describe(const vhost_mem_t *mem, struct vhost_mem_desc *ret, size_t size)
{
	struct vhost_mem_desc desc = {
		.iova = mem->iova,
		.size = mem->size,
		.addr = mem->addr,
		.fd = mem->fd,
	};

	memset(ret, 0, size);
	memcpy(ret, &desc, size < sizeof(desc) ? size : sizeof(desc));
}

uint64_t vhost_mem_free_bytes(const vhost_mem_t *mem, unsigned int *stretches)
{
	const struct mem_block *b;
	unsigned int n = 0;
	uint64_t sum = 0;

	for (b = mem->first; b; b = b->next)
		if (!b->used) {
			sum += b->size;
			n++;
		}
	*stretches = n;
	return sum;
}
