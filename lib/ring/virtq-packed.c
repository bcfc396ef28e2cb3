/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* Driver's side of a packed ring (VIRTIO 1.3, 2.8). Memory in, verdict out; no I/O. */
#include "ring/virtq.h"

#define AVAIL_USED (DESC_F_AVAIL | DESC_F_USED)

static inline void advance(uint32_t *pos, uint32_t *flags, uint32_t size)
{
	if (unlikely(++*pos == size)) {
		*pos = 0;
		*flags ^= AVAIL_USED;
	}
}

static inline void put_desc(struct ring_desc *d, uint64_t addr, uint32_t len, uint32_t id,
			    uint32_t flags)
{
	WRITE_ONCE(d->addr, htole64(addr));
	WRITE_ONCE(d->word, packed_word(len, id, flags));
}

static __attribute__((noinline)) int put_table(struct vhost_virtq *vq,
					       const struct vhost_virtq_req *req, uint32_t hide,
					       uint32_t *first_flags)
{
	uint32_t flags = vq->packed.avail_flags, pos = vq->packed.avail_pos, writable;
	uint16_t head = vq->free_head;

	if (!vq_fill_table(vq, head, req->sg, req->out, req->in, true, &writable))
		return -EINVAL;
	put_desc(&vq->desc[pos], vq->tables_iova + (uint64_t)head * vq->indirect_max * 16,
		 ((uint32_t)req->out + req->in) * 16, head, (flags | DESC_F_INDIRECT) ^ hide);
	if (hide)
		*first_flags = flags | DESC_F_INDIRECT;
	vq->free_head = vq->shadow[head].next;
	vq->n_free--;
	advance(&pos, &flags, vq->size);
	vq->packed.avail_pos = (uint16_t)pos;
	vq->packed.avail_flags = (uint16_t)flags;
	slot_take(vq, head, req, writable, 1, head);
	return 1;
}

/* Take back what a request that is not valid has made look available. */
static __attribute__((cold, noinline)) int hide_again(struct vhost_virtq *vq, uint32_t n)
{
	uint32_t pos = vq->packed.avail_pos, flags = vq->packed.avail_flags;

	while (n--) {
		store16(&vq->desc[pos].packed.flags, (uint16_t)(flags ^ AVAIL_USED));
		advance(&pos, &flags, vq->size);
	}
	return -EINVAL;
}

/*
 * Write one request. The device goes through the ring in order, so it can't get past
 * the first descriptor of the burst: that one, and no other, stays unavailable (both
 * bits inverted: @hide) until all are written. Little is kept in variables on purpose:
 * each field of the queue is used once, and the inner loop has the registers.
 * Returns 1, 0 if it does not fit, or -EINVAL.
 */
static inline __attribute__((always_inline)) int
put_chain(struct vhost_virtq *vq, const struct vhost_virtq_req *req, uint32_t hide,
	    uint32_t *first_flags)
{
	uint32_t total = (uint32_t)req->out + req->in, n_free = vq->n_free, left = total;
	uint32_t pos = vq->packed.avail_pos, flags = vq->packed.avail_flags, lap, write = 0;
	const struct vhost_sg *sg = req->sg;
	struct vq_desc *shadow = vq->shadow;
	uint32_t writable = 0;
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
			return put_table(vq, req, hide, first_flags);
		case VQ_DIRECT:
			break;
		}
	}
	if (hide)
		*first_flags = flags | (total > 1 ? DESC_F_NEXT : 0) | (req->out ? 0 : DESC_F_WRITE);
	for (;; sg++) {
		struct vq_desc *copy = &shadow[id];
		uint32_t len = sg->len, at = pos;

		if (sg_bad(sg))
			return hide_again(vq, total - left);
		if (left == req->in) {
			write = DESC_F_WRITE;
			writable = (uint32_t)bytes;
		}
		bytes += len;
		last = id;
		copy->addr = sg->iova;
		copy->len = len;
		id = copy->next;
		lap = flags;
		advance(&pos, &flags, vq->size);
		put_desc(&vq->desc[at], sg->iova, len, head,
			 (lap | write | (left > 1 ? DESC_F_NEXT : 0)) ^ hide);
		hide = 0;
		if (!--left)
			break;
	}
	if (unlikely(bytes > UINT32_MAX))
		return hide_again(vq, total);
	writable = write ? (uint32_t)bytes - writable : 0;
	vq->packed.avail_pos = (uint16_t)pos;
	vq->packed.avail_flags = (uint16_t)flags;
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
						uint32_t hide, uint32_t *first_flags)
{
	unsigned int i;

	for (i = 0; i < n && (!i || !is_single(&reqs[i])); i++) {
		int r = put_chain(vq, &reqs[i], hide, first_flags);

		if (unlikely(r <= 0))
			return i ? (int)i : r;
		hide = 0;
	}
	return (int)i;
}

/* Most requests of some devices have one buffer: these go without the loop. */
static inline int put_single(struct vhost_virtq *vq, const struct vhost_virtq_req *req,
			     uint32_t hide, uint32_t *first_flags)
{
	const struct vhost_sg *sg = req->sg;
	uint32_t pos = vq->packed.avail_pos;
	uint32_t flags = vq->packed.avail_flags | req->in * DESC_F_WRITE;
	uint16_t head = vq->free_head;
	struct vq_desc *copy = &vq->shadow[head];

	if (sg_bad(sg) || unlikely(req->flags))
		return -EINVAL;
	if (hide)
		*first_flags = flags;
	copy->addr = sg->iova;
	copy->len = sg->len;
	put_desc(&vq->desc[pos], sg->iova, sg->len, head, flags ^ hide);
	if (unlikely(++pos == vq->size)) {
		pos = 0;
		vq->packed.avail_flags ^= AVAIL_USED;
	}
	vq->packed.avail_pos = (uint16_t)pos;
	vq->free_head = copy->next;
	vq->n_free--;
	slot_take(vq, head, req, req->in ? sg->len : 0, 1, head);
	return 1;
}

static int packed_add(struct vhost_virtq *vq, const struct vhost_virtq_req *reqs, unsigned int n)
{
	uint16_t *first = &vq->desc[vq->packed.avail_pos].packed.flags;
	uint32_t n_free = vq->n_free, first_flags = 0, hide = AVAIL_USED;
	unsigned int i = 0;
	int r = 0;

	while (i < n) {
		if (is_single(&reqs[i]) && likely(vq->n_free))
			r = put_single(vq, &reqs[i], hide, &first_flags);
		else
			r = put_chains(vq, &reqs[i], n - i, hide, &first_flags);
		if (unlikely(r <= 0))
			break;
		hide = 0;
		i += (unsigned int)r;
	}
	if (unlikely(!i))
		return r < 0 ? vq_bad_req(vq, &reqs[0]) : 0;
	vq->pending += n_free - vq->n_free;
	vq->outstanding += i;
	/* One store publishes the burst (VIRTIO 1.3, 2.8.21.1). */
	store_release16(vq->platform, first, (uint16_t)first_flags);
	return (int)i;
}

static __attribute__((cold, noinline)) int bad_id(struct vhost_virtq *vq, uint32_t id)
{
	if (id >= vq->size)
		return vq_break(vq, "The device returned buffer id %u to a queue of %u.", id, vq->size);
	return vq_break(vq, "The device returned buffer id %u, which is not outstanding.", id);
}

/* Is the descriptor at the used position used? What it says comes after (2.8.22). */
static inline bool is_used(const struct vhost_virtq *vq, uint32_t pos, uint32_t used_flags,
			   bool platform)
{
	return (load_acquire16(platform, &vq->desc[pos].packed.flags) & AVAIL_USED) == used_flags;
}

static inline __attribute__((always_inline)) int
collect(struct vhost_virtq *vq, struct vhost_virtq_done *done, unsigned int n, bool platform)
{
	struct vq_slot *slots = vq->slots;
	struct vq_desc *shadow = vq->shadow;
	uint32_t size = vq->size, n_free = vq->n_free;
	uint32_t pos = vq->packed.used_pos, flags = vq->packed.used_flags;
	uint16_t head = vq->free_head;
	unsigned int i;

	for (i = 0; i < n && is_used(vq, pos, flags, platform); i++) {
		uint32_t id = load16(&vq->desc[pos].packed.id);
		uint32_t len = load32(&vq->desc[pos].packed.len);
		struct vq_slot *s;

		if (unlikely(id >= size || !slots[id].n_desc)) {
			bad_id(vq, id);
			break;
		}
		s = &slots[id];
		done_set(&done[i], s, len);
		shadow[s->last].next = head;
		head = (uint16_t)id;
		n_free += s->n_desc;
		/* The device skips as many as the request took (2.8.6). */
		pos += s->n_desc;
		s->n_desc = 0;
		if (unlikely(pos >= size)) {
			pos -= size;
			flags ^= AVAIL_USED;
		}
	}
	vq->packed.used_pos = (uint16_t)pos;
	vq->packed.used_flags = (uint16_t)flags;
	vq->free_head = head;
	vq->n_free = n_free;
	vq->outstanding -= i;
	return i || !vq->state ? (int)i : -EBADMSG;
}

static int collect_in_order(struct vhost_virtq *vq, struct vhost_virtq_done *done, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		uint32_t pos = vq->packed.used_pos;

		if (!vq->batch_left) {
			uint32_t id;

			if (!is_used(vq, pos, vq->packed.used_flags, vq->platform))
				break;
			id = load16(&vq->desc[pos].packed.id);
			vq->batch_len = load32(&vq->desc[pos].packed.len);
			vq->batch_left = in_order_batch(vq, id);
			if (!vq->batch_left) {
				bad_id(vq, id);
				return i ? (int)i : -EBADMSG;
			}
		}
		pos += in_order_pop(vq, &done[i]);
		if (pos >= vq->size) {
			pos -= vq->size;
			vq->packed.used_flags ^= AVAIL_USED;
		}
		vq->packed.used_pos = (uint16_t)pos;
	}
	return (int)i;
}

/* Position and wrap counter as one value, the way the ring has it (2.8.14). */
static inline uint16_t off_wrap(uint32_t pos, bool wrap)
{
	return (uint16_t)(pos | (uint32_t)wrap << 15);
}

static inline uint16_t used_off_wrap(const struct vhost_virtq *vq)
{
	return off_wrap(vq->packed.used_pos, vq->packed.used_flags);
}

/* Ask for a notification of the next completion; true if there is one already. */
static bool packed_arm(struct vhost_virtq *vq)
{
	uint16_t at = used_off_wrap(vq);

	if (vq->armed && vq->armed_at == at)
		return false;
	vq->armed = true;
	vq->armed_at = at;
	store16(&vq->packed.driver->off_wrap, at);
	/* The offset is there before the flag that makes it count. */
	store_release16(vq->platform, &vq->packed.driver->flags, EVENT_FLAGS_DESC);
	full_mb(vq->platform);
	return is_used(vq, vq->packed.used_pos, vq->packed.used_flags, vq->platform);
}

static inline __attribute__((always_inline)) int
get_by(struct vhost_virtq *vq, struct vhost_virtq_done *done, unsigned int n, bool any)
{
	unsigned int got = 0;

	for (;;) {
		int r = !any ? collect(vq, done + got, n - got, false) :
			vq->in_order ? collect_in_order(vq, done + got, n - got) :
			collect(vq, done + got, n - got, vq->platform);

		if (unlikely(r < 0))
			return got ? (int)got : r;
		got += (unsigned int)r;
		if (likely(!vq->rearm) || got == n || vq->state || !packed_arm(vq))
			return (int)got;
	}
}

static int packed_get(struct vhost_virtq *vq, struct vhost_virtq_done *done, unsigned int n)
{
	return get_by(vq, done, n, false);
}

static int packed_get_any(struct vhost_virtq *vq, struct vhost_virtq_done *done, unsigned int n)
{
	return get_by(vq, done, n, true);
}

static bool packed_needs_kick(struct vhost_virtq *vq)
{
	uint32_t pending = vq->pending, pos = vq->packed.avail_pos, event, word;

	if (!pending)
		return false;
	vq->pending = 0;
	/* What we added is visible before we look at what the device wants (2.8.21.3.1). */
	full_mb(vq->platform);
	word = load32(&vq->packed.device->word);
	if ((word >> 16 & 3) != EVENT_FLAGS_DESC)
		return (word >> 16 & 3) != EVENT_FLAGS_DISABLE;
	if (pending >= vq->size)
		return true;	/* went past every offset there is */
	event = word & 0x7fff;
	if ((word >> 15 & 1) != !!(vq->packed.avail_flags & DESC_F_AVAIL))
		event -= vq->size;	/* it is in the lap before */
	return need_event((uint16_t)event, (uint16_t)pos, (uint16_t)(pos - pending));
}

static bool packed_set_notify(struct vhost_virtq *vq)
{
	vq->armed = false;
	if (!vq->notify) {
		store16(&vq->packed.driver->flags, EVENT_FLAGS_DISABLE);
		return false;
	}
	if (vq->event_idx)
		return packed_arm(vq);
	store16(&vq->packed.driver->flags, EVENT_FLAGS_ENABLE);
	full_mb(vq->platform);
	return is_used(vq, vq->packed.used_pos, vq->packed.used_flags, vq->platform);
}

static void packed_init(struct vhost_virtq *vq, uint16_t at)
{
	uint32_t pos = at % vq->size, i;
	bool wrap = !(at / vq->size & 1);

	memset(vq->desc, 0, vq->size * sizeof(*vq->desc));
	/* As a device leaves it: used in this lap up to here, in the lap before beyond. */
	for (i = 0; i < vq->size; i++)
		if ((i < pos) == wrap)
			vq->desc[i].packed.flags = htole16(AVAIL_USED);
	vq->packed.avail_pos = vq->packed.used_pos = (uint16_t)pos;
	vq->packed.avail_flags = wrap ? DESC_F_AVAIL : DESC_F_USED;
	vq->packed.used_flags = wrap ? AVAIL_USED : 0;
	/* There is no device, so its area is ours to set for the next one. */
	__atomic_store_n(&vq->packed.device->word, 0, __ATOMIC_RELAXED);
	packed_set_notify(vq);
}

static void packed_rewrite(struct vhost_virtq *vq, unsigned int n)
{
	uint32_t pos = 0, flags = DESC_F_AVAIL;
	unsigned int i;

	/*
	 * Used descriptors lie over those of requests that are still outstanding, and the
	 * laps of the two counters can't be told from the memory: start afresh.
	 */
	packed_init(vq, 0);
	for (i = 0; i < n; i++) {
		uint16_t head = vq->order[i], id = head;
		const struct vq_slot *s = &vq->slots[head];
		uint32_t total = (uint32_t)s->out + s->in, j, writable;

		if (slot_indirect(s)) {
			vq_fill_table(vq, head, NULL, s->out, s->in, true, &writable);
			put_desc(&vq->desc[pos],
				 vq->tables_iova + (uint64_t)head * vq->indirect_max * 16,
				 total * 16, head, flags | DESC_F_INDIRECT);
			advance(&pos, &flags, vq->size);
			total = 0;
		}
		for (j = 0; j < total; j++) {
			const struct vq_desc *d = &vq->shadow[id];

			put_desc(&vq->desc[pos], d->addr, d->len, head, flags |
				 (j + 1 < total ? DESC_F_NEXT : 0) |
				 (j >= s->out ? DESC_F_WRITE : 0));
			id = d->next;
			advance(&pos, &flags, vq->size);
		}
	}
	vq->packed.avail_pos = (uint16_t)pos;
	vq->packed.avail_flags = (uint16_t)flags;
	full_mb(vq->platform);
}

static uint32_t packed_base(const struct vhost_virtq *vq)
{
	return used_off_wrap(vq) * 0x10001u;
}

const struct vq_ops vq_packed_ops = {
	.add = packed_add,
	.get = packed_get,
	.needs_kick = packed_needs_kick,
	.set_notify = packed_set_notify,
	.init = packed_init,
	.rewrite = packed_rewrite,
	.base = packed_base,
};

const struct vq_ops vq_packed_any_ops = {
	.add = packed_add,
	.get = packed_get_any,
	.needs_kick = packed_needs_kick,
	.set_notify = packed_set_notify,
	.init = packed_init,
	.rewrite = packed_rewrite,
	.base = packed_base,
};
