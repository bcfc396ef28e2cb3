/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The driver's side of a queue: what virtq.c, virtq-split.c and virtq-packed.c share. */
#ifndef LIBVHOST_RING_VIRTQ_H
#define LIBVHOST_RING_VIRTQ_H

#include <vhost/virtq.h>

#include "ring/layout.h"
#include "util.h"

/*
 * Our own record of a request, at the index of its first descriptor, which is also
 * the id that the device gives back. Out of the device's reach.
 */
struct vq_slot {
	void *cookie;
	uint32_t n_desc;	/* descriptors of the ring it takes; 0: not outstanding */
	uint32_t writable;	/* bytes that the device may write */
	uint64_t seq;		/* order of submission */
	uint16_t out, in;	/* buffers; if more than n_desc, they are in a table */
	uint32_t last;		/* the last of the descriptors */
};

/*
 * Our own copy of a descriptor. The list of the free ones and the chain of each
 * request run through next, and never through what the device can write to. addr and
 * len serve to make a request available again.
 */
struct vq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t next;
	uint16_t reserved;
};

/* One per layout. All are called on a queue that is not broken. */
struct vq_ops {
	int (*add)(struct vhost_virtq *vq, const struct vhost_virtq_req *reqs, unsigned int n);
	int (*get)(struct vhost_virtq *vq, struct vhost_virtq_done *done, unsigned int n);
	bool (*needs_kick)(struct vhost_virtq *vq);
	/* Write the setting to the ring; true if completions wait. */
	bool (*set_notify)(struct vhost_virtq *vq);
	/* The ring's memory as at position @at, nothing outstanding. */
	void (*init)(struct vhost_virtq *vq, uint16_t at);
	/* Make vq->order[0..n-1] available again, from our own record. */
	void (*rewrite)(struct vhost_virtq *vq, unsigned int n);
	uint32_t (*base)(const struct vhost_virtq *vq);
};

#define VQ_BROKEN 1u		/* the device broke the rules */
#define VQ_STASH 2u		/* completions wait in the stash */

struct vhost_virtq {
	const struct vq_ops *ops;
	uint32_t state;			/* VQ_*; 0 is the fast path */
	uint32_t size;
	uint32_t n_free;		/* descriptors */
	uint32_t direct_max;		/* longest chain to go without a table if there is room */
	uint16_t free_head;
	uint16_t in_order_tail;		/* IN_ORDER: the oldest outstanding request */
	uint32_t outstanding;		/* requests that the device has */
	uint64_t seq;
	struct vq_slot *slots;
	struct vq_desc *shadow;
	struct ring_desc *desc;		/* shared */
	union {
		struct {
			struct split_avail *avail;
			struct split_used *used;
			uint16_t avail_idx;
			uint16_t used_idx;	/* of the next to collect */
		} split;
		struct {
			union packed_event *driver;
			union packed_event *device;
			uint16_t avail_pos;
			uint16_t used_pos;
			uint16_t avail_flags;	/* AVAIL and USED of what is made available */
			uint16_t used_flags;	/* and of what has been used */
		} packed;
	};
	uint32_t pending;		/* entries added since the last decision on a kick */
	bool event_idx;
	bool in_order;
	bool platform;			/* ORDER_PLATFORM: barriers that hardware sees */
	bool notify;
	bool rearm;			/* event_idx && notify */
	bool armed;			/* armed_at is where the device was asked to notify */
	uint16_t armed_at;
	uint32_t batch_left;		/* IN_ORDER: of the batch that one used entry completed */
	uint32_t batch_len;		/* and what it says of the last request */
	struct ring_desc *tables;	/* shared; NULL without indirect descriptors */
	uint64_t tables_iova;
	struct vhost_sg *tables_shadow;
	uint32_t indirect_max;

	/* Cold from here on. */
	uint32_t refs;
	int kick_fd, call_fd, err_fd;
	vhost_mem_t *mem;
	void *ring;			/* shared; holds all three areas */
	uint64_t desc_iova, driver_iova, device_iova;
	uint16_t *order;		/* of the outstanding requests, when it is needed */
	struct vhost_virtq_done *stash;
	uint32_t stash_at, stash_n;
	char error[160];
};

extern const struct vq_ops vq_split_ops;
extern const struct vq_ops vq_split_in_order_ops;
extern const struct vq_ops vq_packed_ops;
extern const struct vq_ops vq_packed_any_ops;

/* Declare the queue broken, with a sentence. Returns -EBADMSG. */
int vq_break(struct vhost_virtq *vq, const char *fmt, ...) _printf_(2, 3) __attribute__((cold));

/* For tests: as after vhost_virtq_reset(), but at position @at. */
void vq_set_position(struct vhost_virtq *vq, uint16_t at);

/*
 * The device is on another CPU, or with ORDER_PLATFORM in hardware, for which some
 * machines need a stronger barrier (VIRTIO 1.3, 6.1).
 */
static inline void platform_mb(void)
{
#if defined(__aarch64__)
	__asm__ volatile("dmb osh" ::: "memory");
#elif defined(__x86_64__)
	__asm__ volatile("mfence" ::: "memory");
#else
	__sync_synchronize();
#endif
}

/* Store that makes all before it visible first. */
static inline void store_release16(bool platform, uint16_t *p, uint16_t v)
{
	if (unlikely(platform))
		platform_mb();
	__atomic_store_n(p, htole16(v), __ATOMIC_RELEASE);
}

static inline uint16_t load_acquire16(bool platform, const uint16_t *p)
{
	uint16_t v = le16toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));

	if (unlikely(platform))
		platform_mb();
	return v;
}

static inline void store16(uint16_t *p, uint16_t v)
{
	__atomic_store_n(p, htole16(v), __ATOMIC_RELAXED);
}

static inline uint16_t load16(const uint16_t *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

static inline uint32_t load32(const uint32_t *p)
{
	return le32toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

/* Between a store to one area and a load from the other (VIRTIO 1.3, 2.7.13.4.1). */
static inline void full_mb(bool platform)
{
	if (unlikely(platform))
		platform_mb();
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Has the index gone past @event on its way from @old to @new? (VIRTIO 1.3, 2.7.10) */
static inline bool need_event(uint16_t event, uint16_t new_idx, uint16_t old)
{
	return (uint16_t)(new_idx - event - 1) < (uint16_t)(new_idx - old);
}

/* Devices refuse buffers of no bytes; the flags are for the future. */
static inline bool sg_bad(const struct vhost_sg *sg)
{
	return unlikely(!sg->len) || unlikely(sg->flags);
}

static inline bool slot_indirect(const struct vq_slot *s)
{
	return (uint32_t)s->out + s->in > s->n_desc;
}

/* A request that is no plain chain with room for it: why? */
enum vq_verdict { VQ_INVALID, VQ_FULL, VQ_TABLE, VQ_DIRECT };

static inline enum vq_verdict vq_judge(const struct vhost_virtq *vq,
				       const struct vhost_virtq_req *req, uint32_t n_free)
{
	uint32_t total = (uint32_t)req->out + req->in;

	if (!total || total > vq->size || req->flags)
		return VQ_INVALID;
	if (!n_free)
		return VQ_FULL;
	if (vq->tables && total > 1 && total <= vq->indirect_max)
		return VQ_TABLE;
	return total <= n_free ? VQ_DIRECT : VQ_FULL;
}

/* Fill the indirect table @id from @sg (@req only counts them); false if it is not valid. */
bool vq_fill_table(struct vhost_virtq *vq, uint16_t id, const struct vhost_sg *sg,
		   uint16_t out, uint16_t in, bool packed, uint32_t *writable);
int vq_bad_req(struct vhost_virtq *vq, const struct vhost_virtq_req *req) __attribute__((cold));

static inline void slot_take(struct vhost_virtq *vq, uint16_t head,
			     const struct vhost_virtq_req *req, uint32_t writable,
			     uint32_t n_desc, uint16_t last)
{
	struct vq_slot *s = &vq->slots[head];

	s->cookie = req->cookie;
	s->n_desc = n_desc;
	s->writable = writable;
	s->seq = vq->seq++;
	s->last = last;
	/* Both counts at once: they lie side by side in both structs. */
	memcpy((char *)s + offsetof(struct vq_slot, out),
	       (const char *)req + offsetof(struct vhost_virtq_req, out), 4);
}

/*
 * What the device says it wrote, against what there was room for. One comparison
 * finds both a length of 0 and one that is too large.
 */
static inline void done_set(struct vhost_virtq_done *d, const struct vq_slot *s, uint32_t len)
{
	uint32_t flags = 0;

	if (unlikely(len - 1 >= s->writable)) {
		if (!s->writable) {
			/*
			 * The length of a request without writable buffers is not
			 * defined; it is no lie (VIRTIO 1.3, 2.8.4).
			 */
			len = 0;
		} else if (!len) {
			flags = VHOST_VIRTQ_DONE_EMPTY;
		} else {
			len = s->writable;
			flags = VHOST_VIRTQ_DONE_CLAMPED;
		}
	}
	d->cookie = s->cookie;
	d->len = len;
	d->flags = flags;
}

/*
 * IN_ORDER: one used entry completes all requests up to @id. How many that is, or 0
 * if it is none that is outstanding (VIRTIO 1.3, 2.7.9 and 2.8.8).
 */
static inline uint32_t in_order_batch(const struct vhost_virtq *vq, uint32_t id)
{
	if (id >= vq->size || !vq->slots[id].n_desc)
		return 0;
	return (uint32_t)(vq->slots[id].seq - vq->slots[vq->in_order_tail].seq) + 1;
}

/*
 * IN_ORDER: hand out the oldest request of the batch. All but the last one "are
 * assumed to have been used completely". Descriptors are made available in ring
 * order, so the list of free ones is the ring itself. Returns its descriptors.
 */
static inline uint16_t in_order_pop(struct vhost_virtq *vq, struct vhost_virtq_done *d)
{
	struct vq_slot *s = &vq->slots[vq->in_order_tail];
	uint16_t n_desc = (uint16_t)s->n_desc;

	done_set(d, s, --vq->batch_left ? s->writable : vq->batch_len);
	vq->in_order_tail = vq->shadow[s->last].next;
	vq->n_free += n_desc;
	vq->outstanding--;
	s->n_desc = 0;
	return n_desc;
}

#endif
