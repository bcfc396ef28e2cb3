/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* Driver's side of a split ring (VIRTIO 1.3, 2.7). Memory in, verdict out; no I/O. */
#include "ring/virtq.h"

static inline uint16_t *used_event(struct vhost_virtq *vq)
{
	return &vq->split.avail->ring[vq->size];
}

static inline uint16_t *avail_event(struct vhost_virtq *vq)
{
	return (uint16_t *)&vq->split.used->ring[vq->size];
}

static inline void put_desc(struct ring_desc *d, uint64_t addr, uint32_t len, uint32_t flags,
			    uint16_t next)
{
	WRITE_ONCE(d->addr, htole64(addr));
	WRITE_ONCE(d->word, split_word(len, flags, next));
}

static void put_table_desc(struct vhost_virtq *vq, uint16_t id, uint32_t entries)
{
	put_desc(&vq->desc[id], vq->tables_iova + (uint64_t)id * vq->indirect_max * 16,
		 entries * 16, DESC_F_INDIRECT, 0);
}

static __attribute__((noinline)) int put_table(struct vhost_virtq *vq,
					       const struct vhost_virtq_req *req)
{
	uint16_t head = vq->free_head;
	uint32_t writable;

	if (!vq_fill_table(vq, head, req->sg, req->out, req->in, false, &writable))
		return -EINVAL;
	put_table_desc(vq, head, (uint32_t)req->out + req->in);
	vq->free_head = vq->shadow[head].next;
	vq->n_free--;
	slot_take(vq, head, req, writable, 1, head);
	return 1;
}

/*
 * Write one request into free descriptors, which may be done before all is known to be
 * valid. Little is kept in variables on purpose: each field of the queue is used once,
 * and the inner loop has the registers. Returns 1, 0 if it does not fit, or -EINVAL.
 */
static inline __attribute__((always_inline)) int
put_chain(struct vhost_virtq *vq, const struct vhost_virtq_req *req)
{
	uint32_t total = (uint32_t)req->out + req->in, n_free = vq->n_free, left = total;
	const struct vhost_sg *sg = req->sg;
	struct ring_desc *desc = vq->desc;
	struct vq_desc *shadow = vq->shadow;
	uint32_t in_at = req->in, flags = 0, writable = 0;
	uint16_t head = vq->free_head, id = head, last;
	uint64_t bytes = 0;

	if (unlikely(total - 1 >= (n_free < vq->direct_max ? n_free : vq->direct_max)) ||
	    unlikely(req->flags)) {
		switch (vq_judge(vq, req, n_free)) {
		case VQ_INVALID:
			return -EINVAL;
		case VQ_FULL:
			return 0;
		case VQ_TABLE:
			return put_table(vq, req);
		case VQ_DIRECT:
			break;
		}
	}
	for (;; sg++) {
		struct vq_desc *copy = &shadow[id];
		uint32_t len = sg->len;

		if (sg_bad(sg))
			return -EINVAL;
		if (left == in_at) {
			flags = DESC_F_WRITE;
			writable = (uint32_t)bytes;
		}
		bytes += len;
		last = id;
		copy->addr = sg->iova;
		copy->len = len;
		id = copy->next;
		if (!--left)
			break;
		put_desc(&desc[last], sg->iova, len, flags | DESC_F_NEXT, id);
	}
	put_desc(&desc[last], sg->iova, sg->len, flags, id);
	if (unlikely(bytes > UINT32_MAX))
		return -EINVAL;
	writable = flags ? (uint32_t)bytes - writable : 0;
	vq->free_head = id;
	vq->n_free = n_free - total;
	slot_take(vq, head, req, writable, total, last);
	return 1;
}

static inline bool is_single(const struct vhost_virtq_req *req)
{
	return (uint32_t)req->out + req->in == 1;
}

/* Requests up to one of a single buffer: how many went in, or as put_chain(). */
static __attribute__((noinline)) int put_chains(struct vhost_virtq *vq,
						const struct vhost_virtq_req *reqs, unsigned int n,
						uint32_t idx)
{
	unsigned int i;

	for (i = 0; i < n && (!i || !is_single(&reqs[i])); i++) {
		uint16_t head = vq->free_head;
		int r = put_chain(vq, &reqs[i]);

		if (unlikely(r <= 0))
			return i ? (int)i : r;
		store16(&vq->split.avail->ring[(idx + i) & (vq->size - 1)], head);
	}
	return (int)i;
}

/* Most requests of some devices have one buffer: these go without the loop. */
static inline int put_single(struct vhost_virtq *vq, const struct vhost_virtq_req *req)
{
	const struct vhost_sg *sg = req->sg;
	uint16_t head = vq->free_head;
	struct vq_desc *copy = &vq->shadow[head];

	if (sg_bad(sg) || unlikely(req->flags))
		return -EINVAL;
	copy->addr = sg->iova;
	copy->len = sg->len;
	put_desc(&vq->desc[head], sg->iova, sg->len, req->in * DESC_F_WRITE, 0);
	vq->free_head = copy->next;
	vq->n_free--;
	slot_take(vq, head, req, req->in ? sg->len : 0, 1, head);
	return 1;
}

static int split_add(struct vhost_virtq *vq, const struct vhost_virtq_req *reqs, unsigned int n)
{
	uint16_t *ring = vq->split.avail->ring;
	uint32_t mask = vq->size - 1, idx = vq->split.avail_idx;
	unsigned int i = 0;
	int r = 0;

	while (i < n) {
		uint16_t head = vq->free_head;

		if (is_single(&reqs[i]) && likely(vq->n_free)) {
			r = put_single(vq, &reqs[i]);
			if (unlikely(r < 0))
				break;
			store16(&ring[(idx + i) & mask], head);
			i++;
		} else {
			r = put_chains(vq, &reqs[i], n - i, idx + i);
			if (unlikely(r <= 0))
				break;
			i += (unsigned int)r;
		}
	}
	if (unlikely(!i))
		return r < 0 ? vq_bad_req(vq, &reqs[0]) : 0;
	/* One store publishes the burst (VIRTIO 1.3, 2.7.13.3.1). */
	vq->split.avail_idx = (uint16_t)(idx + i);
	vq->outstanding += i;
	vq->pending += i;
	store_release16(vq->platform, &vq->split.avail->idx, (uint16_t)(idx + i));
	return (int)i;
}

/* How many used entries wait, or -EBADMSG. */
static inline int used_waiting(struct vhost_virtq *vq)
{
	/* The device may move it under us: read once, judge the copy. */
	uint16_t idx = load_acquire16(vq->platform, &vq->split.used->idx);
	uint16_t waiting = (uint16_t)(idx - vq->split.used_idx);

	if (unlikely(waiting > vq->outstanding))
		return vq_break(vq, "The device moved the used index from %u to %u, with %u requests outstanding.",
				vq->split.used_idx, idx, vq->outstanding);
	return waiting;
}

static int split_collect(struct vhost_virtq *vq, struct vhost_virtq_done *done, unsigned int n)
{
	const struct split_used_elem *ring = vq->split.used->ring;
	struct vq_slot *slots = vq->slots;
	struct vq_desc *shadow = vq->shadow;
	uint32_t size = vq->size, mask = size - 1, n_free = vq->n_free;
	uint16_t idx = vq->split.used_idx, head = vq->free_head;
	int waiting = used_waiting(vq);
	unsigned int i;

	if (waiting <= 0)
		return waiting;
	if (n > (unsigned int)waiting)
		n = (unsigned int)waiting;
	for (i = 0; i < n; i++) {
		const struct split_used_elem *e = &ring[idx & mask];
		uint32_t id = load32(&e->id), len = load32(&e->len);
		struct vq_slot *s;

		if (unlikely(id >= size)) {
			vq_break(vq, "The device returned descriptor %u of a queue of %u.", id, size);
			break;
		}
		s = &slots[id];
		if (unlikely(!s->n_desc)) {
			vq_break(vq, "The device returned descriptor %u, which is not outstanding.", id);
			break;
		}
		done_set(&done[i], s, len);
		shadow[s->last].next = head;
		head = (uint16_t)id;
		n_free += s->n_desc;
		s->n_desc = 0;
		idx++;
	}
	vq->split.used_idx = idx;
	vq->free_head = head;
	vq->n_free = n_free;
	vq->outstanding -= i;
	return i || !vq->state ? (int)i : -EBADMSG;
}

static int split_collect_in_order(struct vhost_virtq *vq, struct vhost_virtq_done *done,
				  unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (!vq->batch_left) {
			int waiting = used_waiting(vq);
			const struct split_used_elem *e;
			uint32_t id, batch;

			if (waiting <= 0)
				return i ? (int)i : waiting;
			/* The entry is where the first request of the batch would have its own. */
			e = &vq->split.used->ring[vq->split.used_idx & (vq->size - 1)];
			id = load32(&e->id);
			batch = in_order_batch(vq, id);
			if (!batch || batch > (uint32_t)waiting) {
				vq_break(vq, "The device returned descriptor %u, which does not end a batch of %d.",
					 id, waiting);
				return i ? (int)i : -EBADMSG;
			}
			vq->batch_left = batch;
			vq->batch_len = load32(&e->len);
		}
		in_order_pop(vq, &done[i]);
		vq->split.used_idx++;
	}
	return (int)i;
}

/* Ask for a notification of the next completion; true if there is one already. */
static bool split_arm(struct vhost_virtq *vq)
{
	if (vq->armed && vq->armed_at == vq->split.used_idx)
		return false;
	vq->armed = true;
	vq->armed_at = vq->split.used_idx;
	store16(used_event(vq), vq->armed_at);
	/* Either the device sees the event or we see its entry (VIRTIO 1.3, 2.7.7.1). */
	full_mb(vq->platform);
	return load16(&vq->split.used->idx) != vq->split.used_idx;
}

static inline __attribute__((always_inline)) int
split_get_by(struct vhost_virtq *vq, struct vhost_virtq_done *done, unsigned int n,
	     int (*collect)(struct vhost_virtq *, struct vhost_virtq_done *, unsigned int))
{
	int got = collect(vq, done, n);

	while (unlikely(vq->rearm) && got >= 0 && (unsigned int)got < n && !vq->state &&
	       split_arm(vq)) {
		int r = collect(vq, done + got, n - (unsigned int)got);

		if (r <= 0)
			return got ? got : r;
		got += r;
	}
	return got;
}

static int split_get(struct vhost_virtq *vq, struct vhost_virtq_done *done, unsigned int n)
{
	return split_get_by(vq, done, n, split_collect);
}

static int split_get_in_order(struct vhost_virtq *vq, struct vhost_virtq_done *done, unsigned int n)
{
	return split_get_by(vq, done, n, split_collect_in_order);
}

static bool split_needs_kick(struct vhost_virtq *vq)
{
	uint16_t idx = vq->split.avail_idx;
	uint32_t pending = vq->pending;

	if (!pending)
		return false;
	vq->pending = 0;
	/* The index is visible before we look at what the device wants (2.7.13.4.1). */
	full_mb(vq->platform);
	if (!vq->event_idx)
		return !(load16(&vq->split.used->flags) & USED_F_NO_NOTIFY);
	if (pending > UINT16_MAX)
		return true;	/* went past every index there is */
	return need_event(load16(avail_event(vq)), idx, (uint16_t)(idx - pending));
}

static bool split_set_notify(struct vhost_virtq *vq)
{
	uint16_t idx = vq->split.used_idx;

	vq->armed = false;
	if (!vq->event_idx) {
		store16(&vq->split.avail->flags, vq->notify ? 0 : AVAIL_F_NO_INTERRUPT);
	} else if (!vq->notify) {
		/* The flag must stay 0 (2.7.7.1); an event just passed comes late enough. */
		store16(used_event(vq), (uint16_t)(idx - 1));
		return false;
	} else {
		return split_arm(vq);
	}
	full_mb(vq->platform);
	return vq->notify && load16(&vq->split.used->idx) != idx;
}

static void split_positions(struct vhost_virtq *vq, uint16_t used, uint16_t avail)
{
	vq->split.used_idx = used;
	vq->split.avail_idx = avail;
	/* There is no device, so its area is ours to set for the next one. */
	store16(&vq->split.used->flags, 0);
	store16(&vq->split.used->idx, used);
	store16(avail_event(vq), used);
	store_release16(vq->platform, &vq->split.avail->idx, avail);
	split_set_notify(vq);
}

static void split_init(struct vhost_virtq *vq, uint16_t at)
{
	memset(vq->desc, 0, vq->size * sizeof(*vq->desc));
	split_positions(vq, at, at);
}

static void split_rewrite(struct vhost_virtq *vq, unsigned int n)
{
	uint16_t idx = vq->split.used_idx;
	unsigned int i;

	for (i = 0; i < n; i++) {
		uint16_t head = vq->order[i], id = head;
		const struct vq_slot *s = &vq->slots[head];
		uint32_t total = (uint32_t)s->out + s->in, j, writable;

		if (slot_indirect(s)) {
			vq_fill_table(vq, head, NULL, s->out, s->in, false, &writable);
			put_table_desc(vq, head, total);
			total = 0;
		}
		for (j = 0; j < total; j++) {
			const struct vq_desc *d = &vq->shadow[id];

			put_desc(&vq->desc[id], d->addr, d->len,
				 (j + 1 < total ? DESC_F_NEXT : 0) |
				 (j >= s->out ? DESC_F_WRITE : 0), d->next);
			id = d->next;
		}
		vq->split.avail->ring[(uint16_t)(idx + i) & (vq->size - 1)] = htole16(head);
	}
	split_positions(vq, idx, (uint16_t)(idx + n));
}

static uint32_t split_base(const struct vhost_virtq *vq)
{
	return vq->split.used_idx;
}

const struct vq_ops vq_split_ops = {
	.add = split_add,
	.get = split_get,
	.needs_kick = split_needs_kick,
	.set_notify = split_set_notify,
	.init = split_init,
	.rewrite = split_rewrite,
	.base = split_base,
};

const struct vq_ops vq_split_in_order_ops = {
	.add = split_add,
	.get = split_get_in_order,
	.needs_kick = split_needs_kick,
	.set_notify = split_set_notify,
	.init = split_init,
	.rewrite = split_rewrite,
	.base = split_base,
};
