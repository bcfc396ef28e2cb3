/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* Driver's side of a queue: its life, and what does not depend on the layout. */

#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "ring/virtq.h"

static _printf_(2, 0) void set_error(vhost_virtq_t *vq, const char *fmt, va_list ap)
{
	vsnprintf(vq->error, sizeof(vq->error), fmt, ap);
}

int vq_break(struct vhost_virtq *vq, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_error(vq, fmt, ap);
	va_end(ap);
	vq->state |= VQ_BROKEN;
	return -EBADMSG;
}

static _printf_(2, 3) int refuse(vhost_virtq_t *vq, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_error(vq, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* Says why @req is not valid; it is not. */
int vq_bad_req(struct vhost_virtq *vq, const struct vhost_virtq_req *req)
{
	uint32_t total = (uint32_t)req->out + req->in, i;

	if (!total)
		return refuse(vq, "The request has no buffers.");
	if (total > vq->size)
		return refuse(vq, "The request has %u buffers, and the queue only %u descriptors.",
			      total, vq->size);
	if (req->flags)
		return refuse(vq, "The request has unknown flags: 0x%x.", req->flags);
	for (i = 0; i < total; i++) {
		if (!req->sg[i].len)
			return refuse(vq, "Buffer %u of the request is empty.", i);
		if (req->sg[i].flags)
			return refuse(vq, "Buffer %u of the request has unknown flags: 0x%x.", i,
				      req->sg[i].flags);
	}
	return refuse(vq, "The buffers of the request have 4 GiB or more altogether.");
}

/*
 * With @sg from the caller, which is kept in our record; without, from the record.
 * An entry links to the next in a split ring; in a packed one they just follow each
 * other, and NEXT is not allowed (VIRTIO 1.3, 2.7.5.3 and 2.8.7).
 */
bool vq_fill_table(struct vhost_virtq *vq, uint16_t id, const struct vhost_sg *sg,
		   uint16_t out, uint16_t in, bool packed, uint32_t *writable)
{
	size_t at = (size_t)id * vq->indirect_max;
	struct ring_desc *table = &vq->tables[at];
	struct vhost_sg *shadow = &vq->tables_shadow[at];
	uint32_t total = (uint32_t)out + in, i;
	uint64_t bytes = 0, readable = 0;
	bool bad = false;

	for (i = 0; i < total; i++) {
		uint32_t flags = i >= out ? DESC_F_WRITE : 0;

		if (i == out)
			readable = bytes;
		if (sg)
			shadow[i] = sg[i];
		bad |= sg_bad(&shadow[i]);
		bytes += shadow[i].len;
		table[i].addr = htole64(shadow[i].iova);
		if (packed)
			table[i].word = packed_word(shadow[i].len, 0, flags);
		else if (i + 1 < total)
			table[i].word = split_word(shadow[i].len, flags | DESC_F_NEXT, i + 1);
		else
			table[i].word = split_word(shadow[i].len, flags, 0);
	}
	*writable = in ? (uint32_t)(bytes - readable) : 0;
	return !bad && bytes <= UINT32_MAX;
}

/* ---------------------------------------------------------------------- life */

static vhost_virtq_t *virtq_free(vhost_virtq_t *vq)
{
	if (vq->mem) {
		vhost_mem_free(vq->mem, vq->tables);
		vhost_mem_free(vq->mem, vq->ring);
		vhost_mem_unref(vq->mem);
	}
	close_fd(&vq->kick_fd);
	close_fd(&vq->call_fd);
	close_fd(&vq->err_fd);
	free(vq->stash);
	free(vq->order);
	free(vq->tables_shadow);
	free(vq->shadow);
	free(vq->slots);
	free(vq);
	return NULL;
}

static void clear_fd(int fd)
{
	uint64_t count;

	if (fd >= 0 && read(fd, &count, sizeof(count)) < 0)
		return;		/* nothing to clear */
}

/* Nothing outstanding, the ring at position @at. */
static void start_at(vhost_virtq_t *vq, uint16_t at)
{
	uint32_t i;

	vq->state &= VQ_STASH;
	vq->n_free = vq->size;
	vq->free_head = 0;
	vq->in_order_tail = 0;
	vq->outstanding = 0;
	vq->pending = 0;
	vq->batch_left = 0;
	memset(vq->slots, 0, vq->size * sizeof(*vq->slots));
	for (i = 0; i < vq->size; i++)
		vq->shadow[i].next = i + 1 == vq->size ? 0 : (uint16_t)(i + 1);
	vq->ops->init(vq, at);
}

static int alloc_private(vhost_virtq_t *vq)
{
	vq->slots = calloc(vq->size, sizeof(*vq->slots));
	vq->shadow = calloc(vq->size, sizeof(*vq->shadow));
	vq->order = calloc(vq->size, sizeof(*vq->order));
	vq->stash = calloc(vq->size, sizeof(*vq->stash));
	if (!vq->slots || !vq->shadow || !vq->order || !vq->stash)
		return -ENOMEM;
	if (vq->indirect_max) {
		vq->tables_shadow = calloc((size_t)vq->size * vq->indirect_max,
					   sizeof(*vq->tables_shadow));
		if (!vq->tables_shadow)
			return -ENOMEM;
	}
	return 0;
}

/* The areas: each on cache lines of its own, so that the two sides do not share any. */
static int alloc_shared(vhost_virtq_t *vq, bool packed)
{
	size_t desc = ((size_t)vq->size * 16 + 63) & ~(size_t)63;
	size_t driver = packed ? 64 : (6 + (size_t)vq->size * 2 + 63) & ~(size_t)63;
	size_t device = packed ? 64 : 6 + (size_t)vq->size * 8;
	unsigned char *ring = vhost_mem_alloc(vq->mem, desc + driver + device, 64);

	if (!ring)
		return -ENOSPC;
	vq->ring = ring;
	vq->desc = (struct ring_desc *)ring;
	vq->desc_iova = vhost_mem_to_iova(vq->mem, ring);
	vq->driver_iova = vq->desc_iova + desc;
	vq->device_iova = vq->driver_iova + driver;
	if (packed) {
		vq->packed.driver = (union packed_event *)(ring + desc);
		vq->packed.device = (union packed_event *)(ring + desc + driver);
	} else {
		vq->split.avail = (struct split_avail *)(ring + desc);
		vq->split.used = (struct split_used *)(ring + desc + driver);
	}
	if (vq->indirect_max) {
		vq->tables = vhost_mem_alloc(vq->mem, (size_t)vq->size * vq->indirect_max * 16, 64);
		if (!vq->tables)
			return -ENOSPC;
		vq->tables_iova = vhost_mem_to_iova(vq->mem, vq->tables);
	}
	return 0;
}

static int make_fd(int *fd)
{
	*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return *fd < 0 ? -errno : 0;
}

static uint32_t default_indirect(uint32_t size)
{
	uint32_t max = 32768 / size;

	max = max > 32 ? 32 : max < 4 ? 4 : max;
	return max < size ? max : size;
}

VHOST_EXPORT int vhost_virtq_new(vhost_mem_t *mem, const struct vhost_virtq_opts *opts,
				 size_t opts_size, vhost_virtq_t **ret)
{
	struct vhost_virtq_opts o;
	vhost_virtq_t *vq;
	bool packed;
	int r;

	if (!mem || !opts || !ret)
		return -EINVAL;
	r = copy_sized(&o, sizeof(o), opts, opts_size);
	if (r < 0)
		return r;
	packed = o.features & RING_F_PACKED;
	if (!o.size || o.size > RING_SIZE_MAX || (!packed && (o.size & (o.size - 1))) ||
	    (o.flags & ~(VHOST_VIRTQ_NO_FDS | VHOST_VIRTQ_INDIRECT)) || o.reserved ||
	    o.indirect_max > o.size || (packed && !(o.features & RING_F_VERSION_1)))
		return -EINVAL;
#if __BYTE_ORDER != __LITTLE_ENDIAN
	if (!(o.features & RING_F_VERSION_1))
		return -ENOTSUP;	/* the ring of such a device is in its own order */
#endif
	vq = calloc(1, sizeof(*vq));
	if (!vq)
		return -ENOMEM;
	vq->refs = 1;
	vq->kick_fd = vq->call_fd = vq->err_fd = -1;
	vq->size = o.size;
	vq->event_idx = o.features & RING_F_EVENT_IDX;
	vq->in_order = o.features & RING_F_IN_ORDER;
	vq->platform = o.features & RING_F_ORDER_PLATFORM;
	vq->notify = true;
	vq->rearm = vq->event_idx;
	if (o.features & RING_F_INDIRECT)
		vq->indirect_max = o.indirect_max ? o.indirect_max : default_indirect(o.size);
	vq->direct_max = vq->indirect_max && (o.flags & VHOST_VIRTQ_INDIRECT) ? 1 : o.size;
	if (packed)
		vq->ops = vq->in_order || vq->platform ? &vq_packed_any_ops : &vq_packed_ops;
	else
		vq->ops = vq->in_order ? &vq_split_in_order_ops : &vq_split_ops;
	vq->mem = vhost_mem_ref(mem);

	r = alloc_private(vq);
	if (!r)
		r = alloc_shared(vq, packed);
	if (!r && !(o.flags & VHOST_VIRTQ_NO_FDS)) {
		r = make_fd(&vq->kick_fd);
		if (!r)
			r = make_fd(&vq->call_fd);
		if (!r)
			r = make_fd(&vq->err_fd);
	}
	if (r < 0) {
		virtq_free(vq);
		return r;
	}
	start_at(vq, 0);
	*ret = vq;
	return 0;
}

VHOST_EXPORT vhost_virtq_t *vhost_virtq_ref(vhost_virtq_t *vq)
{
	if (vq)
		vq->refs++;
	return vq;
}

VHOST_EXPORT vhost_virtq_t *vhost_virtq_unref(vhost_virtq_t *vq)
{
	if (vq && --vq->refs == 0)
		virtq_free(vq);
	return NULL;
}

/* ------------------------------------------------------------------ requests */

VHOST_EXPORT int vhost_virtq_add(vhost_virtq_t *vq, const struct vhost_virtq_req *reqs,
				 unsigned int n)
{
	/* While completions are in the stash, it and the ring together hold size requests. */
	if (unlikely(vq->state))
		return vq->state & VQ_BROKEN ? -EBADMSG : 0;
	return vq->ops->add(vq, reqs, n);
}

VHOST_EXPORT bool vhost_virtq_needs_kick(vhost_virtq_t *vq)
{
	return !(vq->state & VQ_BROKEN) && vq->ops->needs_kick(vq);
}

VHOST_EXPORT int vhost_virtq_kick(vhost_virtq_t *vq)
{
	const uint64_t one = 1;

	if (vq->state & VQ_BROKEN)
		return -EBADMSG;
	if (!vq->ops->needs_kick(vq) || vq->kick_fd < 0)
		return 0;
	/* If the counter is full, the device has a notification to read already. */
	if (write(vq->kick_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		return 0;
	return 1;
}

static unsigned int pop_stash(vhost_virtq_t *vq, struct vhost_virtq_done *done, unsigned int n)
{
	if (n > vq->stash_n)
		n = vq->stash_n;
	memcpy(done, vq->stash + vq->stash_at, n * sizeof(*done));
	vq->stash_at += n;
	vq->stash_n -= n;
	if (!vq->stash_n)
		vq->state &= ~VQ_STASH;
	return n;
}

static __attribute__((cold, noinline)) int get_slow(vhost_virtq_t *vq, struct vhost_virtq_done *done,
						    unsigned int n)
{
	unsigned int got = 0;
	int r;

	if (vq->state & VQ_STASH)
		got = pop_stash(vq, done, n);
	if (got == n)
		return (int)got;
	if (vq->state & VQ_BROKEN)
		return got ? (int)got : -EBADMSG;
	r = vq->ops->get(vq, done + got, n - got);
	return r < 0 && got ? (int)got : r + (int)got;
}

VHOST_EXPORT int vhost_virtq_get(vhost_virtq_t *vq, struct vhost_virtq_done *done, unsigned int n)
{
	if (unlikely(n > INT32_MAX))
		n = INT32_MAX;
	if (unlikely(vq->state))
		return get_slow(vq, done, n);
	return vq->ops->get(vq, done, n);
}

VHOST_EXPORT int vhost_virtq_set_notify(vhost_virtq_t *vq, bool enable)
{
	bool waiting;

	if (vq->state & VQ_BROKEN)
		return -EBADMSG;
	vq->notify = enable;
	vq->rearm = enable && vq->event_idx;
	waiting = vq->ops->set_notify(vq);
	return enable && (waiting || vq->batch_left || (vq->state & VQ_STASH));
}

/* ---------------------------------------------- reset, drain, requeue */

VHOST_EXPORT void vhost_virtq_reset(vhost_virtq_t *vq)
{
	vq->stash_n = 0;
	vq->state = 0;
	vq->notify = true;
	vq->rearm = vq->event_idx;
	vq->error[0] = '\0';
	start_at(vq, 0);
	clear_fd(vq->kick_fd);
	clear_fd(vq->call_fd);
	clear_fd(vq->err_fd);
}

void vq_set_position(struct vhost_virtq *vq, uint16_t at)
{
	vhost_virtq_reset(vq);
	start_at(vq, at);
}

/* Heap sort by submission; qsort(3) may allocate. */
static void sift_down(const vhost_virtq_t *vq, uint32_t root, uint32_t n)
{
	uint16_t *order = vq->order;
	uint32_t child;

	while ((child = root * 2 + 1) < n) {
		uint16_t top = order[root];

		if (child + 1 < n && vq->slots[order[child]].seq < vq->slots[order[child + 1]].seq)
			child++;
		if (vq->slots[top].seq >= vq->slots[order[child]].seq)
			return;
		order[root] = order[child];
		order[child] = top;
		root = child;
	}
}

/* The outstanding requests into vq->order, oldest first. */
static uint32_t sort_outstanding(vhost_virtq_t *vq)
{
	uint32_t n = 0, i;

	for (i = 0; i < vq->size; i++)
		if (vq->slots[i].n_desc)
			vq->order[n++] = (uint16_t)i;
	for (i = n / 2; i-- > 0;)
		sift_down(vq, i, n);
	for (i = n; i-- > 1;) {
		uint16_t last = vq->order[0];

		vq->order[0] = vq->order[i];
		vq->order[i] = last;
		sift_down(vq, 0, i);
	}
	return n;
}

/*
 * Keep what the device has completed. There is room: while the stash holds something
 * nothing is added, so that stash and ring together never hold more than size.
 */
static void collect_to_stash(vhost_virtq_t *vq)
{
	int r;

	if (vq->stash_n)
		memmove(vq->stash, vq->stash + vq->stash_at, vq->stash_n * sizeof(*vq->stash));
	vq->stash_at = 0;
	while (vq->outstanding && !(vq->state & VQ_BROKEN)) {
		r = vq->ops->get(vq, vq->stash + vq->stash_n, vq->size - vq->stash_n);
		if (r <= 0)
			break;
		vq->stash_n += (uint32_t)r;
	}
	if (vq->stash_n)
		vq->state |= VQ_STASH;
}

VHOST_EXPORT int vhost_virtq_drain(vhost_virtq_t *vq, struct vhost_virtq_done *done, unsigned int n)
{
	if (!n)
		return 0;
	if (vq->outstanding) {
		uint32_t left, i;

		collect_to_stash(vq);
		left = sort_outstanding(vq);
		for (i = 0; i < left; i++)
			vq->stash[vq->stash_n++] = (struct vhost_virtq_done){
				.cookie = vq->slots[vq->order[i]].cookie,
				.flags = VHOST_VIRTQ_DONE_DROPPED,
			};
	}
	vq->state = vq->stash_n ? VQ_STASH : 0;
	start_at(vq, 0);
	return (int)pop_stash(vq, done, n);
}

VHOST_EXPORT int vhost_virtq_requeue(vhost_virtq_t *vq, uint32_t *ret)
{
	uint32_t n;

	collect_to_stash(vq);
	vq->state &= VQ_STASH;
	vq->batch_left = 0;
	n = sort_outstanding(vq);
	vq->ops->rewrite(vq, n);
	/* All of it is news to a new device. */
	vq->pending = n ? vq->size - vq->n_free : 0;
	clear_fd(vq->kick_fd);
	clear_fd(vq->err_fd);
	if (ret)
		*ret = vq->ops->base(vq);
	return (int)n;
}

/* --------------------------------------------------------------------- asking */

VHOST_EXPORT void vhost_virtq_layout(const vhost_virtq_t *vq, struct vhost_virtq_layout *ret,
				     size_t size)
{
	struct vhost_virtq_layout layout = {
		.size = vq->size,
		.desc = vq->desc_iova,
		.driver = vq->driver_iova,
		.device = vq->device_iova,
		.base = vq->ops->base(vq),
		.kick_fd = vq->kick_fd,
		.call_fd = vq->call_fd,
		.err_fd = vq->err_fd,
	};

	memset(ret, 0, size);
	memcpy(ret, &layout, size < sizeof(layout) ? size : sizeof(layout));
}

VHOST_EXPORT vhost_mem_t *vhost_virtq_mem(const vhost_virtq_t *vq)
{
	return vq->mem;
}

VHOST_EXPORT unsigned int vhost_virtq_outstanding(const vhost_virtq_t *vq)
{
	return vq->outstanding + vq->stash_n;
}

VHOST_EXPORT unsigned int vhost_virtq_free_slots(const vhost_virtq_t *vq)
{
	return vq->state ? 0 : vq->n_free;
}

VHOST_EXPORT const char *vhost_virtq_error(const vhost_virtq_t *vq)
{
	return vq->error;
}
