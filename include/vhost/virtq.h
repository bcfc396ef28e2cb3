/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/**
 * DOC: a virtqueue, driven by the program itself
 *
 * For a program that has no guest: it lays a ring out in shared memory, posts
 * requests with vhost_virtq_add(), tells the device with vhost_virtq_kick(), and
 * collects them with vhost_virtq_get(). Which device it is for, and by which
 * transport, is the matter of vhost_dev_vq_attach(). Rings are split or packed
 * (VIRTIO 1.3, 2.7 and 2.8), little-endian, and chosen by the negotiated features.
 *
 * Whatever the device writes is checked against this side's own record. A device
 * that breaks the ring breaks that ring only: from then on its calls return
 * -EBADMSG, vhost_virtq_error() says what was wrong, and vhost_virtq_reset(),
 * vhost_virtq_drain() or vhost_virtq_requeue() starts anew.
 *
 * Sleeping for completions without losing one: call vhost_virtq_get() until it
 * returns fewer than it was asked for, then poll the call_fd of
 * vhost_virtq_layout(), read(2) 8 bytes from it, and call vhost_virtq_get() again.
 *
 * A queue is used by one thread at a time; different queues by different threads,
 * except that vhost_virtq_new() and the last vhost_virtq_unref() allocate from
 * the vhost_mem_t, and so must not run at once for two queues of the same one.
 */
#ifndef VHOST_VIRTQ_H
#define VHOST_VIRTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vhost/mem.h>

#ifdef __cplusplus
extern "C" {
#endif

/** typedef vhost_virtq_t - driver's side of a virtqueue; opaque, reference-counted */
typedef struct vhost_virtq vhost_virtq_t;

/* struct vhost_virtq_opts.flags */
#define VHOST_VIRTQ_NO_FDS (1u << 0)	/* make no eventfds: both sides poll, or notify in-band */
#define VHOST_VIRTQ_INDIRECT (1u << 1)	/* an indirect table for every chain of two or more */

/* The most entries of a queue (VIRTIO 1.3, 2.7 and 2.8). */
#define VHOST_VIRTQ_SIZE_MAX 32768u

/**
 * struct vhost_virtq_opts - what a queue is to be
 * @size:         descriptors. Split: a power of two up to 32768; packed: 1 to 32768
 * @flags:        VHOST_VIRTQ_*
 * @features:     the device's negotiated features, a mask of bits. Of use here:
 *                VIRTIO_F_RING_PACKED (34), VIRTIO_RING_F_INDIRECT_DESC (28),
 *                VIRTIO_RING_F_EVENT_IDX (29), VIRTIO_F_IN_ORDER (35),
 *                VIRTIO_F_ORDER_PLATFORM (36: barriers for a device in hardware),
 *                VIRTIO_F_VERSION_1 (32). Others are ignored
 * @indirect_max: the most entries of an indirect table; at most @size. 0 chooses:
 *                32, less for queues of more than 1024, and at least 4. One table
 *                for each descriptor is set aside (16 bytes an entry), if
 *                indirect descriptors are negotiated
 * @reserved:     0
 * Since: 0.1
 */
struct vhost_virtq_opts {
	uint32_t size;
	uint32_t flags;
	uint64_t features;
	uint32_t indirect_max;
	uint32_t reserved;
};

/**
 * struct vhost_sg - one buffer of a request
 * @iova:  where it starts, as the device sees it (vhost_mem_to_iova())
 * @len:   in bytes, not 0
 * @flags: 0
 *
 * Does not grow: it is passed in arrays.
 * Since: 0.1
 */
struct vhost_sg {
	uint64_t iova;
	uint32_t len;
	uint32_t flags;
};

/**
 * struct vhost_virtq_req - a request to the device
 * @sg:     @out + @in buffers; read during the call only
 * @out:    how many the device reads; they come first
 * @in:     how many the device writes
 * @flags:  0
 * @cookie: comes back with the completion; may be NULL
 *
 * Has at least one buffer, and at most as many as the queue has descriptors. The
 * buffers belong to the device until the completion; they have less than 4 GiB
 * altogether (VIRTIO 1.3, 2.7.5). Does not grow: it is passed in arrays.
 * Since: 0.1
 */
struct vhost_virtq_req {
	const struct vhost_sg *sg;
	uint16_t out;
	uint16_t in;
	uint32_t flags;
	void *cookie;
};

/* struct vhost_virtq_done.flags */
#define VHOST_VIRTQ_DONE_CLAMPED (1u << 0)	/* the device claims more bytes than were posted */
#define VHOST_VIRTQ_DONE_EMPTY (1u << 1)	/* there were bytes to write, the device wrote none */
#define VHOST_VIRTQ_DONE_DROPPED (1u << 2)	/* the device did not complete it (vhost_virtq_drain()) */

/**
 * struct vhost_virtq_done - a request that came back
 * @cookie: of the request
 * @len:    bytes that the device says it wrote, from the first writable buffer on;
 *          never more than were posted
 * @flags:  VHOST_VIRTQ_DONE_*
 *
 * @len is the device's word. What must not be taken on trust is checked by its
 * content. Does not grow: it is passed in arrays.
 * Since: 0.1
 */
struct vhost_virtq_done {
	void *cookie;
	uint32_t len;
	uint32_t flags;
};

/**
 * struct vhost_virtq_layout - a queue, as a device is told of it
 * @size:     descriptors
 * @flags:    0
 * @desc:     IOVA of the descriptor area
 * @driver:   IOVA of the driver area (split: the available ring)
 * @device:   IOVA of the device area (split: the used ring)
 * @base:     where a device that attaches now begins, as struct vhost_vq_config
 *            has it: holds after vhost_virtq_new(), _reset() and _requeue(), and
 *            whenever nothing is outstanding
 * @reserved: 0
 * @kick_fd:  eventfd that the driver writes, -1 without
 * @call_fd:  eventfd that the device writes, -1 without
 * @err_fd:   eventfd that the device writes when the queue has failed, -1 without
 * @reserved2: 0
 *
 * The descriptors are borrowed, and non-blocking.
 * Since: 0.1
 */
struct vhost_virtq_layout {
	uint32_t size;
	uint32_t flags;
	uint64_t desc;
	uint64_t driver;
	uint64_t device;
	uint32_t base;
	uint32_t reserved;
	int32_t kick_fd;
	int32_t call_fd;
	int32_t err_fd;
	int32_t reserved2;
};

/**
 * vhost_virtq_new() - lay a queue out in shared memory
 * @mem:       where; a reference is kept
 * @opts:      what it is to be
 * @opts_size: sizeof(*@opts)
 * @ret:       the queue; to be released with vhost_virtq_unref()
 *
 * Everything that a request needs is allocated here.
 *
 * Return: 0; -EINVAL for a size or @indirect_max out of range, an unknown flag, or
 *         packed without VIRTIO_F_VERSION_1; -E2BIG for options that this library
 *         is too old for; -ENOSPC if @mem has no room; -ENOTSUP on a big-endian
 *         machine without VIRTIO_F_VERSION_1; -ENOMEM; -EMFILE, -ENFILE.
 * Specification: VIRTIO 1.3, 2.7 and 2.8.
 * Since: 0.1
 */
int vhost_virtq_new(vhost_mem_t *mem, const struct vhost_virtq_opts *opts, size_t opts_size,
		    vhost_virtq_t **ret);

/**
 * vhost_virtq_ref() - take a reference
 * @vq: the queue, or NULL
 *
 * Return: @vq.
 * Since: 0.1
 */
vhost_virtq_t *vhost_virtq_ref(vhost_virtq_t *vq);

/**
 * vhost_virtq_unref() - drop a reference; the last one gives the ring's memory back
 * @vq: the queue, or NULL
 *
 * The device must have stopped the queue. Cookies that are outstanding are lost: see
 * vhost_virtq_drain().
 *
 * Return: NULL.
 * Since: 0.1
 */
vhost_virtq_t *vhost_virtq_unref(vhost_virtq_t *vq);

/**
 * vhost_virtq_add() - make requests available to the device
 * @vq:   the queue
 * @reqs: @n requests
 * @n:    how many; bursts cost less than single ones
 *
 * The requests become visible to the device together. It is not notified: see
 * vhost_virtq_kick(). A request whose chain does not fit into the free descriptors
 * goes into an indirect table, where that is negotiated and the table is long
 * enough.
 *
 * Return: how many were added, from the first on: fewer than @n if the queue is full
 *         or completions wait from before vhost_virtq_requeue(), or if a request is
 *         not valid. 0 only if none fits; -EINVAL if the first is not valid (no
 *         buffers, more than the queue can ever take, a buffer of 0 bytes, 4 GiB and
 *         more, flags); -EBADMSG once the device broke the queue.
 * Specification: VIRTIO 1.3, 2.7.13 and 2.8.21.
 * Since: 0.1
 */
int vhost_virtq_add(vhost_virtq_t *vq, const struct vhost_virtq_req *reqs, unsigned int n);

/**
 * vhost_virtq_needs_kick() - does the device want to be told of what was added?
 * @vq: the queue
 *
 * For programs that notify in their own way. The answer is given once: without new
 * requests the next one is false.
 *
 * Return: true if the device is to be notified.
 * Specification: VIRTIO 1.3, 2.7.10 and 2.8.14.
 * Since: 0.1
 */
bool vhost_virtq_needs_kick(vhost_virtq_t *vq);

/**
 * vhost_virtq_kick() - notify the device of what was added, if it wants that
 * @vq: the queue
 *
 * Never blocks, and makes one system call at most.
 *
 * Return: 1 if the eventfd was written; 0 if the device asked for no notification,
 *         nothing was added since, or the queue has no eventfd; -EBADMSG once the
 *         device broke the queue.
 * Since: 0.1
 */
int vhost_virtq_kick(vhost_virtq_t *vq);

/**
 * vhost_virtq_get() - collect what the device has completed
 * @vq:   the queue
 * @done: room for @n completions
 * @n:    how many at most
 *
 * With completions in any order unless VIRTIO_F_IN_ORDER was negotiated. A result
 * of fewer than @n means that the next completion will be notified of, if
 * notifications are on.
 *
 * Return: how many were written to @done; -EBADMSG if the first one to look at breaks
 *         the rules: an index that jumps beyond what is outstanding, an id out of
 *         range or not outstanding. The queue then stays broken.
 * Specification: VIRTIO 1.3, 2.7.14 and 2.8.22.
 * Since: 0.1
 */
int vhost_virtq_get(vhost_virtq_t *vq, struct vhost_virtq_done *done, unsigned int n);

/**
 * vhost_virtq_set_notify() - ask the device for notifications, or for none
 * @vq:     the queue
 * @enable: they are on at first
 *
 * A hint: a device may notify all the same.
 *
 * Return: 1 if @enable and completions wait already, for which no notification may
 *         come: collect them; else 0; -EBADMSG once the device broke the queue.
 * Specification: VIRTIO 1.3, 2.7.7 and 2.8.10.
 * Since: 0.1
 */
int vhost_virtq_set_notify(vhost_virtq_t *vq, bool enable);

/**
 * vhost_virtq_reset() - empty the queue and start at its beginning
 * @vq: the queue; no device may be using it
 *
 * What is outstanding or not collected is dropped, cookies and all. Notifications are
 * on again, eventfds are cleared, and a broken queue is whole again.
 * Since: 0.1
 */
void vhost_virtq_reset(vhost_virtq_t *vq);

/**
 * vhost_virtq_drain() - take back what a stopped device did not complete
 * @vq:   the queue; no device may be using it
 * @done: room for @n requests
 * @n:    how many at most; with 0 nothing happens
 *
 * Gives what the device had completed first, then the rest in the order in which it
 * was added, with VHOST_VIRTQ_DONE_DROPPED. The ring itself is as after
 * vhost_virtq_reset(); requests can be added again when all have been taken.
 *
 * Return: how many were written to @done; 0 when none is left.
 * Since: 0.1
 */
int vhost_virtq_drain(vhost_virtq_t *vq, struct vhost_virtq_done *done, unsigned int n);

/**
 * vhost_virtq_requeue() - have a new device do what the old one left undone
 * @vq:  the queue; the old device must be gone, and the new one not yet started
 * @ret: where the new device is to begin, as struct vhost_vq_config.base has it
 *
 * What the old device had completed is kept for vhost_virtq_get(), which must
 * collect it before requests can be added again; what it completed against the rules
 * is not believed. Everything else is made available again in the order in which it
 * was added, from our own record and not from the ring's memory, which the old
 * device could write to. So each request is done at least once, and some perhaps
 * twice. A broken queue is whole again.
 *
 * Split: @ret is the used index. Packed: the ring starts at its beginning, with both
 * wrap counters 1. The notification setting is kept.
 *
 * Return: the number of requests made available, not negative.
 * Since: 0.1
 */
int vhost_virtq_requeue(vhost_virtq_t *vq, uint32_t *ret);

/**
 * vhost_virtq_layout() - what a device must know of the queue
 * @vq:   the queue
 * @ret:  written
 * @size: sizeof(*@ret); what a newer struct has more is set to 0
 * Since: 0.1
 */
void vhost_virtq_layout(const vhost_virtq_t *vq, struct vhost_virtq_layout *ret, size_t size);

/**
 * vhost_virtq_mem() - where the ring lies
 * @vq: the queue
 *
 * Return: the memory; the queue's reference.
 * Since: 0.1
 */
vhost_mem_t *vhost_virtq_mem(const vhost_virtq_t *vq);

/**
 * vhost_virtq_outstanding() - how many requests have not come back yet
 * @vq: the queue
 *
 * Return: requests that were added and whose completion was not collected.
 * Since: 0.1
 */
unsigned int vhost_virtq_outstanding(const vhost_virtq_t *vq);

/**
 * vhost_virtq_free_slots() - how much room there is
 * @vq: the queue
 *
 * Return: descriptors that are free; 0 while vhost_virtq_add() takes nothing.
 * Since: 0.1
 */
unsigned int vhost_virtq_free_slots(const vhost_virtq_t *vq);

/**
 * vhost_virtq_error() - what went wrong
 * @vq: the queue
 *
 * Return: a sentence about the last error of the queue, which stays until the next
 *         one or vhost_virtq_reset(); "" if there was none. The queue's.
 * Since: 0.1
 */
const char *vhost_virtq_error(const vhost_virtq_t *vq);

#ifdef __cplusplus
}
#endif

#endif
