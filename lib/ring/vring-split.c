/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * Device's side of a split ring (VIRTIO 1.3, 2.7). Memory in, verdict out; no I/O. All of
 * it is there a second time for the rings of legacy drivers that are big-endian: @be.
 */
#include <stdio.h>

#include "ring/vring-run.h"

#define always_inline inline __attribute__((always_inline))

static always_inline uint16_t swap16(uint16_t v, bool be)
{
	return be ? htobe16(v) : htole16(v);
}

static always_inline uint32_t swap32(uint32_t v, bool be)
{
	return be ? htobe32(v) : htole32(v);
}

static always_inline uint16_t get16(const uint16_t *p, bool be)
{
	return swap16(__atomic_load_n(p, __ATOMIC_RELAXED), be);
}

static always_inline void put16(uint16_t *p, uint16_t v, bool be)
{
	__atomic_store_n(p, swap16(v, be), __ATOMIC_RELAXED);
}

/* Offsets in the used ring. */
#define USED_IDX 2u
#define USED_ENTRY(i) (4 + 8 * (uint64_t)(i))

static inline uint16_t *used_event(const struct vring_run *run)
{
	return &run->split.avail->ring[run->size];
}

static inline uint16_t *avail_event(const struct vring_run *run)
{
	return (uint16_t *)&run->split.used->ring[run->size];
}

/* A descriptor's second half, in one load: len, flags << 32, next << 48. */
static always_inline uint64_t get_word(const struct ring_desc *d, bool be)
{
	uint64_t v = READ_ONCE(d->word);

	if (!be)
		return le64toh(v);
	v = be64toh(v);
	return v >> 32 | (v >> 16 & 0xffff) << 32 | v << 48;
}

#define WORD_FLAGS(f) ((uint64_t)(f) << 32)

/* ---------------------------------------------------------------------- pop */

/* Read the request that begins at @head, whatever it looks like. As vring_gather(). */
static always_inline int read_chain(struct vring_run *run, uint32_t head, struct vring_slot *slot,
				    struct vhost_req *req, bool be)
{
	struct vring_gather g = { .n = 0 };
	uint32_t i = head, steps = 0;

	for (;;) {
		const struct ring_desc *d = &run->desc[i];
		uint64_t word = get_word(d, be), addr = READ_ONCE(d->addr);
		uint32_t len = (uint32_t)word, flags = (uint16_t)(word >> 32);
		int r;

		addr = be ? be64toh(addr) : le64toh(addr);
		if (unlikely(++steps > run->size))
			return vring_break(run, "The driver gave a chain of more descriptors than the %u of the queue.",
					   run->size);
		if (unlikely(flags & DESC_F_INDIRECT)) {
			/* the last one of a chain may be one (2.7.5.3.2) */
			if (flags & DESC_F_NEXT)
				return vring_break(run, "The driver gave an indirect table in the middle of a chain.");
			r = vring_gather_table(run, &g, addr, len, be);
		} else {
			r = vring_gather(run, &g, addr, len, flags & DESC_F_WRITE);
		}
		if (unlikely(r < 0))
			return r;
		if (!(flags & DESC_F_NEXT))
			break;
		i = (uint32_t)(word >> 48);
		if (unlikely(i >= run->size))
			return vring_break(run, "The driver gave a chain to descriptor %u of a queue of %u.",
					   i, run->size);
	}
	vring_gathered(run, &g, slot, req);
	req->id = head;
	return 0;
}

static __attribute__((noinline)) int read_chain_le(struct vring_run *run, uint32_t head,
						   struct vring_slot *slot, struct vhost_req *req)
{
	return read_chain(run, head, slot, req, false);
}

static __attribute__((noinline)) int read_chain_be(struct vring_run *run, uint32_t head,
						   struct vring_slot *slot, struct vhost_req *req)
{
	return read_chain(run, head, slot, req, true);
}

/*
 * A table need not be aligned (2.7.5.3 says nothing of it). Always volatile: each member is
 * read once.
 */
struct entry {
	uint64_t addr;
	uint32_t len;
	uint32_t flags;			/* next in the high half */
} __attribute__((packed, may_alias));

/* A table of @n entries, and the request that is being read from it. */
struct reading {
	struct vring_run *run;
	const volatile struct entry *table;
	uint32_t n;
	struct vring_slot *slot;
	struct vhost_req *req;
};

/*
 * Buffer @k, and those that follow, @out of those before it being readable. Each in one
 * region, none empty, no more than VRING_INLINE. False for all that is not so, which is
 * read again, and judged, by read_chain(). @k and @out are constants, so that what is left
 * of this is straight on.
 */
#define READ_FROM(name, k, follow) \
static always_inline bool name(const struct reading *rd, const volatile struct entry *e, \
			       uint32_t out, uint64_t out_len, uint64_t bytes) \
{ \
	uint32_t len = le32toh(e->len), flags = le32toh(e->flags); \
	struct vring_slot *slot = rd->slot; \
	uint8_t *p; \
\
	if (unlikely(flags & DESC_F_INDIRECT) || \
	    unlikely(!guest_bytes(rd->run, le64toh(e->addr), len, &p))) \
		return false; \
	iov_set(&slot->iov[k], p, len); \
	bytes += len; \
	if (!(flags & DESC_F_WRITE)) { \
		if (out != (k)) \
			return false; \
		if (flags & DESC_F_NEXT) \
			return (flags >> 16) < rd->n && \
				follow(rd, &rd->table[flags >> 16], k + 1, bytes, bytes); \
		return fill(rd, k + 1, 0, bytes, 0); \
	} \
	iov_set(&slot->kept[k], p, len); \
	if (flags & DESC_F_NEXT) \
		return (flags >> 16) < rd->n && \
			follow(rd, &rd->table[flags >> 16], out, out_len, bytes); \
	return fill(rd, out, k + 1 - out, out_len, bytes - out_len); \
}

static always_inline bool fill(const struct reading *rd, uint32_t out, uint32_t in,
			       uint64_t out_len, uint64_t in_len)
{
	if (unlikely((out_len + in_len) >> 32))
		return false;
	slot_fill(rd->run, rd->slot, rd->req, out, in, (uint32_t)out_len, (uint32_t)in_len, 1);
	return true;
}

static always_inline bool read_more(const struct reading *rd, const volatile struct entry *e,
				    uint32_t out, uint64_t out_len, uint64_t bytes)
{
	(void)rd, (void)e, (void)out, (void)out_len, (void)bytes;
	return false;
}

READ_FROM(read_third, 2, read_more)
READ_FROM(read_second, 1, read_third)
READ_FROM(read_first, 0, read_second)

static __attribute__((noinline)) bool read_direct(struct vring_run *run, uint32_t head,
						  struct vring_slot *slot, struct vhost_req *req)
{
	const struct reading rd = { run, (const void *)run->desc, run->size, slot, req };

	return read_first(&rd, &rd.table[head], 0, 0, 0);
}

static __attribute__((noinline)) bool read_table(struct vring_run *run, struct vring_slot *slot,
						 struct vhost_req *req, uint64_t addr,
						 uint64_t word)
{
	uint32_t len = (uint32_t)word;
	struct reading rd = { run, NULL, len / (uint32_t)sizeof(struct ring_desc), slot, req };
	uint8_t *table;

	if (!guest_bytes(run, addr, len, &table) || !run->indirect ||
	    word & WORD_FLAGS(DESC_F_NEXT) || len % sizeof(struct ring_desc) ||
	    len > VRING_TABLE_MAX * sizeof(struct ring_desc))
		return false;
	rd.table = (const void *)table;
	return read_first(&rd, rd.table, 0, 0, 0);
}

/* The usual requests. */
static always_inline bool read_usual(struct vring_run *run, uint32_t head,
				     struct vring_slot *slot, struct vhost_req *req)
{
	const struct ring_desc *d = &run->desc[head];
	uint64_t word = get_word(d, false), addr = le64toh(READ_ONCE(d->addr));
	uint32_t len = (uint32_t)word;
	uint8_t *p;

	if (word & WORD_FLAGS(DESC_F_NEXT | DESC_F_INDIRECT)) {
		if (word & WORD_FLAGS(DESC_F_NEXT))
			return read_direct(run, head, slot, req);
		return read_table(run, slot, req, addr, word);
	}
	if (unlikely(!guest_bytes(run, addr, len, &p)))
		return false;
	iov_set(&slot->iov[0], p, len);
	if (word & WORD_FLAGS(DESC_F_WRITE)) {
		iov_set(&slot->kept[0], p, len);
		slot_fill(run, slot, req, 0, 1, 0, len, 1);
	} else {
		slot_fill(run, slot, req, 1, 0, len, 0, 1);
	}
	return true;
}

static void record_pop(struct vring_run *run, uint32_t head)
{
	struct inflight_split_desc *d = &run->rec.split->desc[head];

	WRITE_ONCE(d->counter, run->counter);
	run->counter++;
	STEP();
	WRITE_ONCE(d->inflight, 1);
	STEP();
}

static __attribute__((cold, noinline)) int bad_head(struct vring_run *run, uint32_t head)
{
	if (head >= run->size)
		return vring_break(run, "The driver made descriptor %u of a queue of %u available.", head,
				   run->size);
	return vring_break(run, "The driver made descriptor %u available, which is in flight.", head);
}

/* How many were written to @reqs. *@err: why it were not as many as there are. */
static always_inline unsigned int take(struct vring_run *run, struct vhost_req *reqs,
				       unsigned int n, int *err, bool plain, bool be)
{
	const uint16_t *ring = run->split.avail->ring;
	uint32_t size = run->size, mask = size - 1, idx = run->split.avail_idx;
	struct vring_slot *slots = run->slots;
	/* The driver may move it under us: read once, judge the copy. */
	uint16_t seen = swap16(__atomic_load_n(&run->split.avail->idx, __ATOMIC_ACQUIRE), be);
	uint32_t waiting = (uint16_t)(seen - idx);
	struct vhost_req *req = reqs, *end;
	uint64_t seq = run->seq;

	if (unlikely(waiting > size)) {
		*err = vring_break(run, "The driver moved the available index from %u to %u, in a queue of %u.",
				   idx, seen, size);
		return 0;
	}
	for (end = req + (n < waiting ? n : waiting); req < end; req++, idx++) {
		uint32_t head = get16(&ring[idx & mask], be);
		struct vring_slot *slot = &slots[head];

		if (unlikely(head >= size) || unlikely(slot->seq)) {
			*err = bad_head(run, head);
			break;
		}
		if (!plain || unlikely(!read_usual(run, head, slot, req))) {
			int r = (be ? read_chain_be : read_chain_le)(run, head, slot, req);

			if (unlikely(r < 0)) {
				*err = r;
				break;
			}
		}
		if (!plain && run->rec.split)
			record_pop(run, head);
		req->id = head;
		slot->seq = seq++;
	}
	run->split.avail_idx = (uint16_t)idx;
	run->seq = seq;
	run->in_flight += (uint32_t)(req - reqs);
	return (unsigned int)(req - reqs);
}

static always_inline bool has_requests(const struct vring_run *run, bool be)
{
	return get16(&run->split.avail->idx, be) != run->split.avail_idx;
}

/* Ask for a notification of the next request; true if there is one already. */
static bool arm(struct vring_run *run, bool be)
{
	if (run->armed && run->armed_at == run->split.avail_idx)
		return false;
	run->armed = true;
	run->armed_at = run->split.avail_idx;
	put16(avail_event(run), run->armed_at, be);
	/* Either the driver sees the event or we see its entry (2.7.10). */
	full_mb();
	if (unlikely(run->log))
		vring_log_device(run, USED_ENTRY(run->size), 2);
	return has_requests(run, be);
}

static always_inline int pop(struct vring_run *run, struct vhost_req *reqs, unsigned int n,
			     bool plain, bool be)
{
	unsigned int got = 0;
	int err = 0;

	for (;;) {
		got += take(run, reqs + got, n - got, &err, plain, be);
		if (unlikely(err < 0))
			return vring_stopped_at(got, err);
		if (got == n || !run->rearm || !arm(run, be))
			return (int)got;
	}
}

static int split_pop_plain(struct vring_run *run, struct vhost_req *reqs, unsigned int n)
{
	return pop(run, reqs, n, true, false);
}

static int split_pop(struct vring_run *run, struct vhost_req *reqs, unsigned int n)
{
	return pop(run, reqs, n, false, false);
}

static int split_pop_be(struct vring_run *run, struct vhost_req *reqs, unsigned int n)
{
	return pop(run, reqs, n, false, true);
}

static int split_pop_recovered(struct vring_run *run, unsigned int i, struct vhost_req *req)
{
	uint32_t head = run->recovered[i].head;

	return (run->big_endian ? read_chain_be : read_chain_le)(run, head, &run->slots[head], req);
}

static void split_unpop(struct vring_run *run, uint32_t id)
{
	run->split.avail_idx--;
	/* The last one that was recorded: what is left are those before it. */
	if (run->rec.split) {
		WRITE_ONCE(run->rec.split->desc[id].inflight, 0);
		STEP();
	}
}

/* --------------------------------------------------------------------- push */

static void record_used(struct vring_run *run, uint16_t head)
{
	struct inflight_split *rec = run->rec.split;

	WRITE_ONCE(rec->desc[head].next, run->rec_batch);
	STEP();
	run->rec_batch = head;
	WRITE_ONCE(rec->last_batch_head, head);
	STEP();
}

/* They are the driver's again. */
static void record_done(struct vring_run *run, const struct vhost_req *reqs, unsigned int n)
{
	struct inflight_split *rec = run->rec.split;
	unsigned int i;

	for (i = 0; i < n; i++) {
		WRITE_ONCE(rec->desc[reqs[i].id].inflight, 0);
		STEP();
	}
	WRITE_ONCE(rec->used_idx, run->split.used_idx);
	STEP();
}

/* The last @n entries, and the index. */
static void log_used(struct vring_run *run, unsigned int n)
{
	uint32_t at = (uint16_t)(run->split.used_idx - n) & (run->size - 1);
	uint32_t end = run->size - at < n ? run->size - at : n;

	full_mb();
	vring_log_device(run, USED_ENTRY(at), 8 * (uint64_t)end);
	vring_log_device(run, USED_ENTRY(0), 8 * (uint64_t)(n - end));
	vring_log_device(run, USED_IDX, 2);
}

static always_inline int push(struct vring_run *run, const struct vhost_req *reqs, unsigned int n,
			      bool plain, bool be)
{
	struct split_used_elem *ring = run->split.used->ring;
	struct vring_slot *slots = run->slots;
	uint32_t size = run->size, mask = size - 1, idx = run->split.used_idx;
	uint64_t first = run->map_first, span = run->seq - first;
	unsigned int i;
	int r = 0;

	if (!plain && run->log)
		full_mb();	/* what is marked was written before */
	for (i = 0; i < n; i++, idx++) {
		struct split_used_elem *e = &ring[idx & mask];
		uint32_t id = reqs[i].id, written = reqs[i].written;
		struct vring_slot *slot = &slots[id];

		if (unlikely(id >= size)) {
			r = -EINVAL;
			break;
		}
		if (!plain && run->in_order && slot->seq != run->next_push) {
			r = -EINVAL;
			break;
		}
		if (written > slot->in_len)
			written = slot->in_len;
		if (!plain && run->log && slot->seq - 1 < run->seq - 1)
			vring_log_written(run, slot, written);
		if (unlikely(slot->seq - first >= span) && !vring_is_old(run, slot)) {
			r = -EINVAL;
			break;
		}
		WRITE_ONCE(e->id, swap32(id, be));
		WRITE_ONCE(e->len, swap32(written, be));
		slot->seq = 0;
		if (unlikely(slot->block))
			vring_put_block(run, slot);
		if (!plain) {
			run->next_push++;
			if (run->rec.split) {
				STEP();
				record_used(run, (uint16_t)id);
			}
		}
	}
	if (unlikely(!i))
		return r;
	run->split.used_idx = (uint16_t)idx;
	run->in_flight -= i;
	run->pending += i;
	/* One store publishes the burst (VIRTIO 1.3, 2.7.8). */
	__atomic_store_n(&run->split.used->idx, swap16((uint16_t)idx, be), __ATOMIC_RELEASE);
	if (!plain) {
		if (run->rec.split) {
			STEP();
			record_done(run, reqs, i);
		}
		if (run->log)
			log_used(run, i);
	}
	return r;
}

static int split_push_plain(struct vring_run *run, const struct vhost_req *reqs, unsigned int n)
{
	return push(run, reqs, n, true, false);
}

static int split_push(struct vring_run *run, const struct vhost_req *reqs, unsigned int n)
{
	return push(run, reqs, n, false, false);
}

static int split_push_be(struct vring_run *run, const struct vhost_req *reqs, unsigned int n)
{
	return push(run, reqs, n, false, true);
}

/* ------------------------------------------------------------ notifications */

static always_inline bool needs_notify(struct vring_run *run, bool be)
{
	uint16_t idx = run->split.used_idx;

	if (!run->event_idx)
		return !(get16(&run->split.avail->flags, be) & AVAIL_F_NO_INTERRUPT);
	if (run->pending > UINT16_MAX)
		return true;	/* went past every index there is */
	return need_event(get16(used_event(run), be), idx, (uint16_t)(idx - run->pending));
}

static bool split_needs_notify(struct vring_run *run)
{
	return needs_notify(run, false);
}

static bool split_needs_notify_be(struct vring_run *run)
{
	return needs_notify(run, true);
}

static always_inline bool set_notify(struct vring_run *run, bool be)
{
	if (run->rearm)
		return arm(run, be) || has_requests(run, be);
	if (run->event_idx) {
		/* The flag stays 0 (2.7.10); an event just passed comes late enough. */
		put16(avail_event(run), (uint16_t)(run->split.avail_idx - 1), be);
	} else {
		put16(&run->split.used->flags, run->notify ? 0 : USED_F_NO_NOTIFY, be);
	}
	full_mb();
	vring_log_device(run, run->event_idx ? USED_ENTRY(run->size) : 0, 2);
	return has_requests(run, be);
}

static bool split_set_notify(struct vring_run *run)
{
	return set_notify(run, false);
}

static bool split_set_notify_be(struct vring_run *run)
{
	return set_notify(run, true);
}

static bool split_has_requests(struct vring_run *run)
{
	return has_requests(run, false);
}

static bool split_has_requests_be(struct vring_run *run)
{
	return has_requests(run, true);
}

/* --------------------------------------------------------------------- life */

static uint32_t split_base(const struct vring_run *run)
{
	return run->split.avail_idx;
}

static void split_set_areas(struct vring_run *run, void *const areas[3])
{
	run->desc = areas[0];
	run->split.avail = areas[1];
	run->split.used = areas[2];
}

/*
 * What was published may still be marked: the list of the last batch says which. False if
 * that list can't be right. Nothing but flags is cleared, so that it can be done again.
 */
static bool finish_batch(struct vring_run *run)
{
	struct inflight_split *rec = run->rec.split;
	uint16_t batch = (uint16_t)(run->split.used_idx - READ_ONCE(rec->used_idx));
	uint16_t head = READ_ONCE(rec->last_batch_head);

	if (batch > run->size)
		return false;
	while (batch--) {
		if (head >= run->size)
			return false;
		WRITE_ONCE(rec->desc[head].inflight, 0);
		STEP();
		head = READ_ONCE(rec->desc[head].next);
	}
	return true;
}

static void begin_record(struct vring_run *run)
{
	struct inflight_split *rec = run->rec.split;
	uint32_t i;

	/*
	 * The index of the used ring is where the last batch ended, also in a record that
	 * begins in the middle of a ring's life: else the first entry would look as if it
	 * had been pushed.
	 */
	WRITE_ONCE(rec->version, 0);
	STEP();
	for (i = 0; i < run->rec_size; i++)
		WRITE_ONCE(rec->desc[i].inflight, 0);
	STEP();
	WRITE_ONCE(rec->features, 0);
	WRITE_ONCE(rec->desc_num, (uint16_t)run->rec_size);
	WRITE_ONCE(rec->last_batch_head, 0);
	WRITE_ONCE(rec->used_idx, run->split.used_idx);
	STEP();
	WRITE_ONCE(rec->version, 1);
	STEP();
}

static int recover(struct vring_run *run, char *why, size_t why_size)
{
	struct inflight_split *rec = run->rec.split;
	bool right = finish_batch(run);
	uint32_t i;

	for (i = 0; i < run->size; i++) {
		if (READ_ONCE(rec->desc[i].inflight) != 1)
			continue;
		run->recovered[run->n_recovered++] = (struct vring_recovered){
			.counter = READ_ONCE(rec->desc[i].counter), .head = (uint16_t)i };
		run->slots[i].seq = VRING_SEQ_RECOVERED;
	}
	if (!right && run->n_recovered) {
		snprintf(why, why_size, "The record of what is in flight is not one of this queue: it has the used index %u, the queue %u.",
			 READ_ONCE(rec->used_idx), run->split.used_idx);
		return -EINVAL;
	}
	if (!right) {
		begin_record(run);
		return 0;
	}
	WRITE_ONCE(rec->used_idx, run->split.used_idx);
	STEP();
	run->rec_batch = READ_ONCE(rec->last_batch_head);
	vring_record_sort(run);
	return 0;
}

/*
 * virtio_user says 0 whenever it gets a new back-end, and goes on where the ring is. What
 * was used is not to be done again, and no more can be available than the ring has.
 */
static bool base_is_stale(const struct vring_run *run)
{
	uint16_t avail = get16(&run->split.avail->idx, run->big_endian);
	uint16_t used = run->split.used_idx, base = run->split.avail_idx;

	return (int16_t)(used - base) > 0 ||
	       ((uint16_t)(avail - base) > run->size && (uint16_t)(avail - used) <= run->size);
}

static int split_start(struct vring_run *run, uint32_t base, char *why, size_t why_size)
{
	int r;

	run->split.avail_idx = (uint16_t)base;
	/* The one time that it is read: it is ours from here on. */
	run->split.used_idx = get16(&run->split.used->idx, run->big_endian);
	if (!run->area) {
		if (base_is_stale(run))
			run->split.avail_idx = run->split.used_idx;
		return 0;
	}
	r = vring_record_open(run, run->index_in_area, why, why_size);
	if (r < 0)
		return r;
	if (r) {
		begin_record(run);
		return 0;
	}
	r = recover(run, why, why_size);
	if (r < 0)
		return r;
	/* What was popped is what was used and what is in flight. */
	run->split.avail_idx = (uint16_t)(run->split.used_idx + run->n_recovered);
	return 0;
}

const struct vring_ops vring_split_ops = {
	.pop = split_pop,
	.push = split_push,
	.pop_plain = split_pop_plain,
	.push_plain = split_push_plain,
	.pop_recovered = split_pop_recovered,
	.unpop = split_unpop,
	.needs_notify = split_needs_notify,
	.set_notify = split_set_notify,
	.has_requests = split_has_requests,
	.base = split_base,
	.start = split_start,
	.set_areas = split_set_areas,
};

const struct vring_ops vring_split_be_ops = {
	.pop = split_pop_be,
	.push = split_push_be,
	.pop_recovered = split_pop_recovered,
	.unpop = split_unpop,
	.needs_notify = split_needs_notify_be,
	.set_notify = split_set_notify_be,
	.has_requests = split_has_requests_be,
	.base = split_base,
	.start = split_start,
	.set_areas = split_set_areas,
};
