/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/**
 * DOC: memory that a device can share
 *
 * A vhost_mem_t is a sealed memfd, mapped shared, with an allocator on it: rings
 * and buffers taken from it can be reached by a device that is given the memory
 * with vhost_dev_mem_add_mem(). The file can neither shrink nor grow, so no
 * process that maps it can be hit by SIGBUS, and the allocator's own bookkeeping
 * is outside of it, where a device cannot reach.
 *
 * A program with memory of its own (a VMM) describes it with struct
 * vhost_mem_desc instead.
 */
#ifndef VHOST_MEM_H
#define VHOST_MEM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What may be done with a range of the device's addresses. */
#define VHOST_IOTLB_PERM_READ 1u
#define VHOST_IOTLB_PERM_WRITE 2u

/* struct vhost_mem_desc.flags */
#define VHOST_MEM_READONLY (1u << 0)	/* the device must not write to it */
#define VHOST_MEM_UNMAPPED (1u << 1)	/* vDPA: for vhost_dev_iotlb_update() to refer to only */

/**
 * struct vhost_mem_desc - a piece of memory, as it is described to a device
 * @iova:      where it stands in the device's address space
 * @size:      in bytes, not 0; @iova + @size must stay below 2^64
 * @addr:      where this process has it mapped, or NULL
 * @fd:        the file that it is a mapping of, or -1
 * @flags:     VHOST_MEM_READONLY and VHOST_MEM_UNMAPPED, or 0
 * @fd_offset: in bytes, where in the file it starts
 * @xen_flags: how a Xen back-end maps it, as vhost-user's "Memory region description"
 *             has it; sent only with the protocol feature XEN_MMAP, else 0
 * @xen_domid: the Xen domain whose memory it is, or 0
 * Since: 0.1
 */
struct vhost_mem_desc {
	uint64_t iova;
	uint64_t size;
	void *addr;
	int32_t fd;
	uint32_t flags;
	uint64_t fd_offset;
	uint32_t xen_flags;
	uint32_t xen_domid;
};

/** typedef vhost_mem_t - shared memory; an opaque, reference-counted handle */
typedef struct vhost_mem vhost_mem_t;

/* vhost_mem_new() flags */
#define VHOST_MEM_HUGE_2M (1u << 0)	/* pages of 2 MiB */
#define VHOST_MEM_HUGE_1G (1u << 1)	/* pages of 1 GiB */

/**
 * vhost_mem_new() - make memory that can be shared with a device
 * @size:  in bytes, not 0; rounded up to whole pages of the kind
 * @flags: 0 for the system's pages, VHOST_MEM_HUGE_2M or VHOST_MEM_HUGE_1G
 * @iova:  where it stands in the device's address space; a multiple of the page
 *         size of the kind
 * @ret:   the memory; to be released with vhost_mem_unref()
 *
 * Huge pages are reserved here, so that a lack of them shows as -ENOMEM and not
 * later as SIGBUS. The administrator provides them (hugetlbfs).
 *
 * Return: 0; -EINVAL for a size of 0, an unknown or contradictory flag, an @iova
 *         that is not aligned, or a range that wraps; -ENOMEM, also for too few
 *         huge pages or a size that this process cannot map; -EMFILE, -ENFILE;
 *         -ENOSYS or -ENODEV where the kernel lacks memfds or such huge pages.
 * Since: 0.1
 */
int vhost_mem_new(uint64_t size, uint32_t flags, uint64_t iova, vhost_mem_t **ret);

/**
 * vhost_mem_ref() - take a reference
 * @mem: the memory, or NULL
 *
 * Return: @mem.
 * Since: 0.1
 */
vhost_mem_t *vhost_mem_ref(vhost_mem_t *mem);

/**
 * vhost_mem_unref() - drop a reference; the last one unmaps and closes
 * @mem: the memory, or NULL
 *
 * What was allocated from it need not be freed before. A device that the memory
 * was given to keeps its own mapping until it is told otherwise.
 *
 * Return: NULL.
 * Since: 0.1
 */
vhost_mem_t *vhost_mem_unref(vhost_mem_t *mem);

/**
 * vhost_mem_alloc() - take a piece
 * @mem:   the memory
 * @size:  in bytes, not 0; rounded up to whole 64 bytes
 * @align: alignment in bytes, a power of two; 0 means 64, which is the least
 *
 * The piece is aligned in the device's address space, and in this process's as
 * well up to the page size. It is filled with zeros.
 *
 * Return: the piece, which belongs to the caller until vhost_mem_free() or the
 *         end of @mem; NULL if there is no room (also none for the bookkeeping),
 *         if @size is 0, or if @align is no power of two.
 * Since: 0.1
 */
void *vhost_mem_alloc(vhost_mem_t *mem, size_t size, size_t align);

/**
 * vhost_mem_free() - give a piece back
 * @mem: the memory
 * @ptr: from vhost_mem_alloc() on the same @mem, or NULL
 *
 * The device must be done with it. A pointer that is not the start of a piece in
 * use is ignored.
 * Since: 0.1
 */
void vhost_mem_free(vhost_mem_t *mem, void *ptr);

/**
 * vhost_mem_addr() - where it is mapped
 * @mem: the memory
 *
 * Return: the first byte; valid as long as @mem.
 * Since: 0.1
 */
void *vhost_mem_addr(const vhost_mem_t *mem);

/**
 * vhost_mem_size() - how large it is
 * @mem: the memory
 *
 * Return: bytes, a multiple of the page size.
 * Since: 0.1
 */
uint64_t vhost_mem_size(const vhost_mem_t *mem);

/**
 * vhost_mem_iova() - where it stands in the device's address space
 * @mem: the memory
 *
 * Return: the IOVA of the first byte.
 * Since: 0.1
 */
uint64_t vhost_mem_iova(const vhost_mem_t *mem);

/**
 * vhost_mem_fd() - its file
 * @mem: the memory
 *
 * Return: the memfd, borrowed: the caller duplicates what it keeps.
 * Since: 0.1
 */
int vhost_mem_fd(const vhost_mem_t *mem);

/**
 * vhost_mem_to_iova() - translate a pointer for the device
 * @mem: the memory
 * @ptr: a pointer into it
 *
 * Return: the IOVA; UINT64_MAX for a pointer outside.
 * Since: 0.1
 */
uint64_t vhost_mem_to_iova(const vhost_mem_t *mem, const void *ptr);

/**
 * vhost_mem_from_iova() - translate a range of the device's addresses
 * @mem:  the memory
 * @iova: where the range starts
 * @len:  in bytes; at 0 @iova itself must be inside
 *
 * Return: the pointer, good for @len bytes; NULL unless the whole range is inside.
 * Since: 0.1
 */
void *vhost_mem_from_iova(const vhost_mem_t *mem, uint64_t iova, uint64_t len);

/**
 * vhost_mem_describe() - describe it for a device
 * @mem:  the memory
 * @ret:  the description; @ret->fd is borrowed
 * @size: sizeof(*@ret); what a newer struct has more is set to 0
 * Since: 0.1
 */
void vhost_mem_describe(const vhost_mem_t *mem, struct vhost_mem_desc *ret, size_t size);

#ifdef __cplusplus
}
#endif

#endif
