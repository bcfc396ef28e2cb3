/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* Device's side of a packed ring (VIRTIO 1.3, 2.8). Memory in, verdict out; no I/O. */
#include <stdio.h>

#include "ring/vring-run.h"

#define always_inline inline __attribute__((always_inline))

#define WORD_FLAGS(f) ((uint64_t)(f) << 48)

/* A descriptor's second half: len, id << 32, flags << 48. What it says comes after the flags. */
static always_inline uint64_t load_word(const struct ring_desc *d)
{
#if UINTPTR_MAX > UINT32_MAX
	return le64toh(__atomic_load_n(&d->word, __ATOMIC_ACQUIRE));
#else
	uint64_t flags = le16toh(__atomic_load_n(&d->packed.flags, __ATOMIC_ACQUIRE));

	return le32toh(READ_ONCE(d->packed.len)) |
		(uint64_t)le16toh(READ_ONCE(d->packed.id)) << 32 | flags << 48;
#endif
}

/* The flags last, with or after all the rest. */
static always_inline void publish_word(struct ring_desc *d, uint64_t word)
{
#if UINTPTR_MAX > UINT32_MAX
	__atomic_store_n(&d->word, htole64(word), __ATOMIC_RELEASE);
#else
	WRITE_ONCE(d->packed.len, htole32((uint32_t)word));
	WRITE_ONCE(d->packed.id, htole16((uint16_t)(word >> 32)));
	__atomic_store_n(&d->packed.flags, htole16((uint16_t)(word >> 48)), __ATOMIC_RELEASE);
#endif
}

static always_inline void advance(uint32_t *pos, uint32_t *flags, uint32_t by, uint32_t size)
{
	*pos += by;
	if (unlikely(*pos >= size)) {
		*pos -= size;
		*flags ^= AVAIL_USED;
	}
}

static always_inline bool is_avail(uint64_t word, uint32_t flags)
{
	return (word >> 48 & AVAIL_USED) == flags;
}

/* Position and wrap counter as one value, the way the ring has it (2.8.14). */
static inline uint16_t off_wrap(uint32_t pos, uint32_t flags)
{
	return (uint16_t)(pos | (flags & DESC_F_AVAIL ? 1u << 15 : 0));
}

/* ---------------------------------------------------------------------- pop */

static __attribute__((cold, noinline)) int bad_id(struct vring_run *run, uint32_t id)
{
	if (id >= run->size)
		return vring_break(run, "The driver gave the buffer id %u in a queue of %u.", id,
				   run->size);
	return vring_break(run, "The driver gave the buffer id %u, which is in flight.", id);
}

/*
 * Read the request at @pos, whose first descriptor's second half is @word, whatever it
 * looks like: the number of descriptors, of at most @left, or as vring_gather(). With a
 * record a copy of them goes to run->rec_desc.
 */
static __attribute__((noinline)) int read_chain(struct vring_run *run, uint32_t pos, uint32_t lap,
						uint32_t left, uint64_t word,
						struct vhost_req *req)
{
	struct vring_gather g = { .n = 0 };
	uint32_t steps = 0, id;

	for (;;) {
		uint64_t addr = le64toh(READ_ONCE(run->desc[pos].addr));
		uint32_t f = (uint32_t)(word >> 48);
		int r;

		if (unlikely(steps == left))
			return vring_break(run, "The driver made more descriptors available than the %u of the queue.",
					   run->size);
		if (run->rec_desc) {
			run->rec_desc[steps].addr = htole64(addr);
			run->rec_desc[steps].word = htole64(word);
		}
		steps++;
		if (unlikely(f & DESC_F_INDIRECT)) {
			if (f & DESC_F_NEXT || steps > 1)
				return vring_break(run, "The driver gave an indirect table in a chain.");
			r = vring_gather_table(run, &g, addr, (uint32_t)word, false);
		} else {
			r = vring_gather(run, &g, addr, (uint32_t)word, f & DESC_F_WRITE);
		}
		if (unlikely(r < 0))
			return r;
		advance(&pos, &lap, 1, run->size);
		if (!(f & DESC_F_NEXT))
			break;
		word = load_word(&run->desc[pos]);
		if (unlikely(!is_avail(word, lap)))
			return vring_break(run, "The driver gave a chain whose descriptor %u is not available.",
					   pos);
	}
	/* The last one has the id (2.8.6). */
	id = (uint16_t)(word >> 32);
	if (unlikely(id >= run->size) || unlikely(run->slots[id].seq))
		return bad_id(run, id);
	vring_gathered(run, &g, &run->slots[id], req);
	run->slots[id].n_desc = (uint16_t)steps;
	req->id = id;
	return (int)steps;
}

/*
 * An entry of the ring, or of a table, which need not be aligned. Always volatile: each
 * member is read once.
 */
struct entry {
	uint64_t addr;
	uint32_t len;
	uint32_t flags;			/* in the high half; the id in the low one */
} __attribute__((packed, may_alias));

#define ENTRY_FLAGS(f) ((uint32_t)(f) << 16)

/* The ring, or a table that ends at @end, and the request that is being read from it. */
struct reading {
	struct vring_run *run;
	const volatile struct entry *table;
	const volatile struct entry *end;
	struct vring_slot *slot;
	struct vhost_req *req;
	uint32_t id;
};

/* The last one in a chain has the id (2.8.6). */
static always_inline uint32_t filled(const struct reading *rd, uint32_t flags, uint32_t out,
				     uint32_t in, uint64_t out_len, uint64_t in_len, bool chain)
{
	if (unlikely((out_len + in_len) >> 32) || (chain && unlikely((uint16_t)flags != rd->id)))
		return 0;
	slot_fill(rd->run, rd->slot, rd->req, out, in, (uint32_t)out_len, (uint32_t)in_len,
		  chain ? out + in : 1);
	return chain ? out + in : 1;
}

/*
 * Buffer @k, in the entry @e, and those that follow, @out of those before it being
 * readable. Each in one region, none empty, no more than VRING_INLINE. 0 for all that is
 * not so, which is read again, and judged, by read_chain(). @k and @out are constants, so
 * that what is left of this is straight on.
 */
#define READ_FROM(name, k, chain, follow) \
static always_inline uint32_t name(const struct reading *rd, const volatile struct entry *e, \
				   uint32_t flags, uint32_t lap, uint32_t out, \
				   uint64_t out_len, uint64_t bytes) \
{ \
	uint32_t len = le32toh(e->len); \
	struct vring_slot *slot = rd->slot; \
	uint8_t *p; \
\
	if (unlikely(!guest_bytes(rd->run, le64toh(e->addr), len, &p))) \
		return 0; \
	iov_set(&slot->iov[k], p, len); \
	bytes += len; \
	if (!(flags & ENTRY_FLAGS(DESC_F_WRITE))) { \
		if (out != (k)) \
			return 0; \
		if (has_next(rd, e, flags, chain)) \
			return (k) + 1 < VRING_INLINE && next(rd, &e, &flags, &lap, chain) ? \
				follow(rd, e, flags, lap, (k) + 1, bytes, bytes) : 0; \
		return filled(rd, flags, (k) + 1, 0, bytes, 0, chain); \
	} \
	iov_set(&slot->kept[k], p, len); \
	if (has_next(rd, e, flags, chain)) \
		return (k) + 1 < VRING_INLINE && next(rd, &e, &flags, &lap, chain) ? \
			follow(rd, e, flags, lap, out, out_len, bytes) : 0; \
	return filled(rd, flags, out, (k) + 1 - out, out_len, bytes - out_len, chain); \
}

/* A chain ends without NEXT; a table has no chain, all of it counts (2.8.7). */
static always_inline bool has_next(const struct reading *rd, const volatile struct entry *e,
				   uint32_t flags, bool chain)
{
	return chain ? flags & ENTRY_FLAGS(DESC_F_NEXT) : e + 1 < rd->end;
}

/* That all of a chain was written is known since its first descriptor was seen. */
static always_inline bool next(const struct reading *rd, const volatile struct entry **e,
			       uint32_t *flags, uint32_t *lap, bool chain)
{
	++*e;
	if (chain && unlikely(*e == rd->end)) {
		*e = rd->table;
		*lap ^= ENTRY_FLAGS(AVAIL_USED);
	}
	*flags = le32toh((*e)->flags);
	return chain ? (*flags & ENTRY_FLAGS(AVAIL_USED | DESC_F_INDIRECT)) == *lap :
		!(*flags & ENTRY_FLAGS(DESC_F_INDIRECT));
}

static always_inline uint32_t read_more(const struct reading *rd, const volatile struct entry *e,
					uint32_t flags, uint32_t lap, uint32_t out,
					uint64_t out_len, uint64_t bytes)
{
	(void)rd, (void)e, (void)flags, (void)lap, (void)out, (void)out_len, (void)bytes;
	return 0;
}

READ_FROM(chain_third, 2, true, read_more)
READ_FROM(chain_second, 1, true, chain_third)
READ_FROM(chain_first, 0, true, chain_second)
READ_FROM(table_third, 2, false, read_more)
READ_FROM(table_second, 1, false, table_third)
READ_FROM(table_first, 0, false, table_second)

/*
 * Which slot a chain is for is known at its end; most drivers have the id in every
 * descriptor, and the first one is believed until then.
 */
static always_inline uint32_t read_direct(struct vring_run *run, const struct ring_desc *d,
					  uint32_t lap, uint32_t flags, struct vring_slot *slot,
					  struct vhost_req *req)
{
	const struct reading rd = { run, (const void *)run->desc,
				    (const void *)(run->desc + run->size), slot, req,
				    (uint16_t)flags };

	if (unlikely(flags & ENTRY_FLAGS(DESC_F_INDIRECT)))
		return 0;
	return chain_first(&rd, (const void *)d, flags, lap, 0, 0, 0);
}

static always_inline uint32_t read_table(struct vring_run *run, uint64_t addr, uint32_t len,
					 struct vring_slot *slot, struct vhost_req *req)
{
	struct reading rd = { .run = run, .slot = slot, .req = req };
	uint8_t *table;
	uint32_t flags;

	if (unlikely(!guest_bytes(run, addr, len, &table)) || unlikely(!run->indirect) ||
	    unlikely(len % sizeof(struct ring_desc)))
		return 0;
	rd.table = (const void *)table;
	rd.end = (const void *)(table + len);
	flags = le32toh(rd.table->flags);
	if (unlikely(flags & ENTRY_FLAGS(DESC_F_INDIRECT)))
		return 0;
	return table_first(&rd, rd.table, flags, 0, 0, 0, 0);
}

/* The usual requests: how many descriptors, or 0. @flags as in an entry. */
static always_inline uint32_t read_usual(struct vring_run *run, const struct ring_desc *d,
					 uint32_t lap, uint32_t flags, uint32_t len,
					 struct vring_slot *slot, struct vhost_req *req)
{
	uint64_t addr;
	uint8_t *p;

	if (flags & ENTRY_FLAGS(DESC_F_NEXT | DESC_F_INDIRECT)) {
		if (flags & ENTRY_FLAGS(DESC_F_NEXT))
			return read_direct(run, d, lap, flags, slot, req);
		return read_table(run, le64toh(READ_ONCE(d->addr)), len, slot, req);
	}
	addr = le64toh(READ_ONCE(d->addr));
	if (unlikely(!guest_bytes(run, addr, len, &p)))
		return 0;
	iov_set(&slot->iov[0], p, len);
	if (flags & ENTRY_FLAGS(DESC_F_WRITE)) {
		iov_set(&slot->kept[0], p, len);
		slot_fill(run, slot, req, 0, 1, 0, len, 1);
	} else {
		slot_fill(run, slot, req, 1, 0, len, 0, 1);
	}
	return 1;
}

/* The descriptors that read_chain() copied, into free entries of the record. */
static void record_pop(struct vring_run *run, struct vring_slot *slot)
{
	struct inflight_packed *rec = run->rec.packed;
	uint16_t first = run->rec_free, at = first;
	struct inflight_packed_desc *e = &rec->desc[first];
	uint32_t i;

	WRITE_ONCE(e->num, 0);
	STEP();
	WRITE_ONCE(e->counter, run->counter);
	run->counter++;
	STEP();
	WRITE_ONCE(e->inflight, 1);
	STEP();
	for (i = 0; i < slot->n_desc; i++) {
		struct inflight_packed_desc *d = &rec->desc[at];
		const struct ring_desc *from = &run->rec_desc[i];

		if (i + 1 == slot->n_desc) {
			slot->entry_last = at;
			WRITE_ONCE(e->last, at);
			STEP();
		}
		WRITE_ONCE(e->num, (uint16_t)(i + 1));
		STEP();
		WRITE_ONCE(d->addr, le64toh(from->addr));
		WRITE_ONCE(d->len, le32toh(from->packed.len));
		WRITE_ONCE(d->flags, le16toh(from->packed.flags));
		WRITE_ONCE(d->id, le16toh(from->packed.id));
		STEP();
		at = run->rec_next[at];
		WRITE_ONCE(rec->free_head, at);
		STEP();
	}
	slot->entry = first;
	run->rec_free = at;
	WRITE_ONCE(rec->old_free_head, at);
	STEP();
}

/* How many were written to @reqs. *@err: why it were not as many as there are. */
static always_inline unsigned int take(struct vring_run *run, struct vhost_req *reqs,
				       unsigned int n, int *err, bool plain)
{
	struct vring_slot *slots = run->slots;
	uint32_t size = run->size, left = size - run->packed.n_desc;
	uint32_t lap = ENTRY_FLAGS(run->packed.avail_flags);
	const struct ring_desc *d = run->desc + run->packed.avail_pos, *end = run->desc + size;
	struct vhost_req *req, *last = reqs + n;
	uint64_t seq = run->seq;

	for (req = reqs; req < last; req++) {
		uint64_t word = load_word(d);
		uint32_t flags = (uint32_t)(word >> 32), id = (uint16_t)flags, n_desc = 0;
		struct vring_slot *slot = &slots[id];

		if ((flags & ENTRY_FLAGS(AVAIL_USED)) != lap)
			break;
		if (plain && likely(id < size) && likely(!slot->seq))
			n_desc = read_usual(run, d, lap, flags, (uint32_t)word, slot, req);
		if (unlikely(n_desc - 1 >= left)) {
			int r = read_chain(run, (uint32_t)(d - run->desc), lap >> 16, left, word, req);

			if (unlikely(r < 0)) {
				*err = r;
				break;
			}
			n_desc = (uint32_t)r;
			id = req->id;
			slot = &slots[id];
		}
		if (!plain && run->rec.packed)
			record_pop(run, slot);
		req->id = id;
		slot->seq = seq++;
		left -= n_desc;
		d += n_desc;
		if (unlikely(d >= end)) {
			d -= size;
			lap ^= ENTRY_FLAGS(AVAIL_USED);
		}
	}
	run->packed.avail_pos = (uint16_t)(d - run->desc);
	run->packed.avail_flags = (uint16_t)(lap >> 16);
	run->packed.n_desc = size - left;
	run->seq = seq;
	run->in_flight += (uint32_t)(req - reqs);
	return (unsigned int)(req - reqs);
}

static bool packed_has_requests(struct vring_run *run)
{
	return is_avail(load_word(&run->desc[run->packed.avail_pos]), run->packed.avail_flags);
}

/* Seen before what is read next. */
static void put_event(struct vring_run *run, uint32_t at, uint32_t flags)
{
	__atomic_store_n(&run->packed.device->word, htole32(at | flags << 16), __ATOMIC_RELEASE);
	full_mb();
	if (unlikely(run->log))
		vring_log_device(run, 0, 4);
}

/*
 * Ask for a notification of the next request; true if there is one already. Either the
 * driver sees the event or we see its descriptor (2.8.10).
 */
static bool arm(struct vring_run *run)
{
	uint16_t at = off_wrap(run->packed.avail_pos, run->packed.avail_flags);

	if (run->armed && run->armed_at == at)
		return false;
	run->armed = true;
	run->armed_at = at;
	put_event(run, at, EVENT_FLAGS_DESC);
	return packed_has_requests(run);
}

static always_inline int pop(struct vring_run *run, struct vhost_req *reqs, unsigned int n,
			     bool plain)
{
	unsigned int got = 0;
	int err = 0;

	for (;;) {
		got += take(run, reqs + got, n - got, &err, plain);
		if (unlikely(err < 0))
			return vring_stopped_at(got, err);
		if (got == n || !run->rearm || !arm(run))
			return (int)got;
	}
}

static int packed_pop_plain(struct vring_run *run, struct vhost_req *reqs, unsigned int n)
{
	return pop(run, reqs, n, true);
}

static int packed_pop(struct vring_run *run, struct vhost_req *reqs, unsigned int n)
{
	return pop(run, reqs, n, false);
}

/* Its descriptors are in our own copy of the record. */
static int packed_pop_recovered(struct vring_run *run, unsigned int i, struct vhost_req *req)
{
	const struct vring_recovered *rc = &run->recovered[i];
	struct vring_gather g = { .n = 0 };
	struct vring_slot *slot;
	uint32_t at = rc->head, k, last = at;
	uint32_t id;

	for (k = 0; k < rc->num; k++, at = run->rec_next[at]) {
		const struct ring_desc *d = &run->rec_desc[run->size + at];
		uint32_t flags = le16toh(d->packed.flags), len = le32toh(d->packed.len);
		int r;

		if (flags & DESC_F_INDIRECT) {
			if (rc->num > 1)
				return vring_break(run, "The record of what is in flight has an indirect table in a chain.");
			r = vring_gather_table(run, &g, le64toh(d->addr), len, false);
		} else {
			r = vring_gather(run, &g, le64toh(d->addr), len, flags & DESC_F_WRITE);
		}
		if (r < 0)
			return r;
		last = at;
	}
	/* That it is a good one was seen at the start. */
	id = le16toh(run->rec_desc[run->size + last].packed.id);
	slot = &run->slots[id];
	vring_gathered(run, &g, slot, req);
	slot->n_desc = rc->num;
	slot->entry = rc->head;
	slot->entry_last = (uint16_t)last;
	req->id = id;
	return 0;
}

/* Free entries again, as they were before. */
static void free_entries(struct vring_run *run, const struct vring_slot *slot)
{
	struct inflight_packed *rec = run->rec.packed;

	run->rec_next[slot->entry_last] = run->rec_free;
	WRITE_ONCE(rec->desc[slot->entry_last].next, run->rec_free);
	STEP();
	run->rec_free = slot->entry;
	WRITE_ONCE(rec->free_head, slot->entry);
	STEP();
}

static void packed_unpop(struct vring_run *run, uint32_t id)
{
	const struct vring_slot *slot = &run->slots[id];
	uint32_t n_desc = slot->n_desc;

	run->packed.n_desc -= n_desc;
	if (run->packed.avail_pos < n_desc) {
		run->packed.avail_pos = (uint16_t)(run->packed.avail_pos + run->size);
		run->packed.avail_flags ^= AVAIL_USED;
	}
	run->packed.avail_pos = (uint16_t)(run->packed.avail_pos - n_desc);
	run->armed = false;
	if (run->rec.packed) {
		free_entries(run, slot);
		WRITE_ONCE(run->rec.packed->old_free_head, slot->entry);
		STEP();
		WRITE_ONCE(run->rec.packed->desc[slot->entry].inflight, 0);
		STEP();
	}
}

/* --------------------------------------------------------------------- push */

/*
 * The used position of a record, the old and the new one with their wrap counters, is
 * eight bytes: each of the two changes in one store, so that an index never goes with a
 * wrap counter that is not its own.
 */
union rec_used {
	uint64_t word;
	struct {
		uint16_t idx;
		uint16_t old_idx;
		uint8_t wrap;
		uint8_t old_wrap;
		uint8_t padding[2];
	};
};

_Static_assert(offsetof(struct inflight_packed, used_idx) == 16, "as vhost-user has it");

typedef uint64_t rec_word __attribute__((may_alias));

static inline rec_word *rec_used_word(const struct vring_run *run)
{
	return (rec_word *)(void *)&run->rec.packed->used_idx;
}

static void record_used(struct vring_run *run, uint32_t old_pos, uint32_t old_flags)
{
	union rec_used u = {
		.idx = run->packed.used_pos, .wrap = run->packed.used_flags != 0,
		.old_idx = (uint16_t)old_pos, .old_wrap = old_flags != 0,
	};

	__atomic_store_n(rec_used_word(run), u.word, __ATOMIC_RELAXED);
	STEP();
}

static void record_done(struct vring_run *run, const struct vhost_req *reqs, unsigned int n)
{
	struct inflight_packed *rec = run->rec.packed;
	unsigned int i;

	for (i = 0; i < n; i++) {
		WRITE_ONCE(rec->desc[run->slots[reqs[i].id].entry].inflight, 0);
		STEP();
	}
	WRITE_ONCE(rec->old_free_head, run->rec_free);
	STEP();
	record_used(run, run->packed.used_pos, run->packed.used_flags);
}

static always_inline uint64_t used_word(uint32_t id, uint32_t written, uint64_t lap)
{
	uint64_t word = written | (uint64_t)id << 32 | lap;

	/* WRITE says that the length counts (2.8.4). */
	if (likely(written))
		word |= WORD_FLAGS(DESC_F_WRITE);
	return word;
}

/*
 * With a record, all but the first used descriptor are written once the record says how far
 * the batch goes: recovery takes them back if the first one was not published.
 */
static void write_rest(struct vring_run *run, const struct vhost_req *reqs, unsigned int n,
		       uint32_t pos, uint32_t flags)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		const struct vring_slot *slot = &run->slots[reqs[i].id];
		uint32_t written = reqs[i].written < slot->in_len ? reqs[i].written : slot->in_len;

		if (i) {
			publish_word(&run->desc[pos], used_word(reqs[i].id, written, WORD_FLAGS(flags)));
			STEP();
		}
		advance(&pos, &flags, slot->n_desc, run->size);
	}
}

static void log_used(struct vring_run *run, const struct vhost_req *reqs, unsigned int n,
		     uint32_t pos)
{
	unsigned int i;

	full_mb();
	for (i = 0; i < n; i++) {
		vring_log_desc(run, pos);
		pos += run->slots[reqs[i].id].n_desc;
		if (pos >= run->size)
			pos -= run->size;
	}
}

static always_inline int push(struct vring_run *run, const struct vhost_req *reqs, unsigned int n,
			      bool plain)
{
	const struct vhost_req *req, *end = reqs + n;
	struct vring_slot *slots = run->slots;
	uint32_t size = run->size, old_pos = run->packed.used_pos, n_desc;
	uint32_t old_flags = run->packed.used_flags;
	struct ring_desc *d = run->desc + old_pos, *ring_end = run->desc + size;
	uint64_t first = run->map_first, span = run->seq - first, first_word = 0;
	uint64_t lap = WORD_FLAGS(old_flags);
	int r = 0;

	if (!plain && run->log)
		full_mb();	/* what is marked was written before */
	for (req = reqs; req < end; req++) {
		uint32_t id = req->id, written = req->written;
		struct vring_slot *slot = &slots[id];
		uint64_t word;

		if (unlikely(id >= size)) {
			r = -EINVAL;
			break;
		}
		if (!plain && run->in_order && slot->seq != run->next_push) {
			r = -EINVAL;
			break;
		}
		if (unlikely(written > slot->in_len))
			written = slot->in_len;
		if (!plain && run->log && slot->seq - 1 < run->seq - 1)
			vring_log_written(run, slot, written);
		if (unlikely(slot->seq - first >= span) && !vring_is_old(run, slot)) {
			r = -EINVAL;
			break;
		}
		word = used_word(id, written, lap);
		if (unlikely(req == reqs))
			first_word = word;
		else if (plain || !run->rec.packed)
			WRITE_ONCE(d->word, htole64(word));
		slot->seq = 0;
		if (unlikely(slot->block))
			vring_put_block(run, slot);
		if (!plain) {
			run->next_push++;
			if (run->rec.packed)
				free_entries(run, slot);
		}
		/* As many are skipped as the request took (2.8.6). */
		d += slot->n_desc;
		if (unlikely(d >= ring_end)) {
			d -= size;
			lap ^= WORD_FLAGS(AVAIL_USED);
		}
	}
	n = (unsigned int)(req - reqs);
	if (unlikely(!n))
		return r;
	run->packed.used_pos = (uint16_t)(d - run->desc);
	run->packed.used_flags = (uint16_t)(lap >> 48);
	n_desc = run->packed.used_pos - old_pos;
	if (run->packed.used_flags != old_flags)
		n_desc += size;
	run->packed.n_desc -= n_desc;
	run->in_flight -= n;
	run->pending += n_desc;
	if (!plain && run->rec.packed) {
		record_used(run, old_pos, old_flags);
		write_rest(run, reqs, n, old_pos, old_flags);
	}
	/* One store publishes the burst: the driver goes through the ring in order. */
	publish_word(&run->desc[old_pos], first_word);
	if (!plain) {
		if (run->rec.packed) {
			STEP();
			record_done(run, reqs, n);
		}
		if (run->log)
			log_used(run, reqs, n, old_pos);
	}
	return r;
}

static int packed_push_plain(struct vring_run *run, const struct vhost_req *reqs, unsigned int n)
{
	return push(run, reqs, n, true);
}

static int packed_push(struct vring_run *run, const struct vhost_req *reqs, unsigned int n)
{
	return push(run, reqs, n, false);
}

/* ------------------------------------------------------------ notifications */

static bool packed_needs_notify(struct vring_run *run)
{
	uint32_t word = le32toh(__atomic_load_n(&run->packed.driver->word, __ATOMIC_RELAXED));
	uint32_t pos = run->packed.used_pos, flags = word >> 16 & 3, event;

	if (flags != EVENT_FLAGS_DESC || !run->event_idx)
		return flags != EVENT_FLAGS_DISABLE;
	if (run->pending >= run->size)
		return true;	/* went past every offset there is */
	event = word & 0x7fff;
	if ((word >> 15 & 1) != !!(run->packed.used_flags & DESC_F_AVAIL))
		event -= run->size;	/* it is in the lap before */
	return need_event((uint16_t)event, (uint16_t)pos, (uint16_t)(pos - run->pending));
}

static bool packed_set_notify(struct vring_run *run)
{
	if (run->rearm)
		return arm(run) || packed_has_requests(run);
	put_event(run, 0, run->notify ? EVENT_FLAGS_ENABLE : EVENT_FLAGS_DISABLE);
	return packed_has_requests(run);
}

/* --------------------------------------------------------------------- life */

static uint32_t packed_base(const struct vring_run *run)
{
	return off_wrap(run->packed.avail_pos, run->packed.avail_flags) |
		(uint32_t)off_wrap(run->packed.used_pos, run->packed.used_flags) << 16;
}

static void packed_set_areas(struct vring_run *run, void *const areas[3])
{
	run->desc = areas[0];
	run->packed.driver = areas[1];
	run->packed.device = areas[2];
}

static void set_positions(struct vring_run *run, uint32_t used, bool used_wrap, uint32_t n_desc)
{
	uint32_t pos = used, flags = used_wrap ? DESC_F_AVAIL : DESC_F_USED;

	advance(&pos, &flags, n_desc, run->size);
	run->packed.avail_pos = (uint16_t)pos;
	run->packed.avail_flags = (uint16_t)flags;
	run->packed.used_pos = (uint16_t)used;
	run->packed.used_flags = used_wrap ? AVAIL_USED : 0;
	run->packed.n_desc = n_desc;
}

static int use_base(struct vring_run *run, uint32_t base, char *why, size_t why_size)
{
	uint32_t avail, used, n_desc;

	/* Some front-ends know of the available position only. */
	if (!(base >> 16) && base)
		base |= base << 16;
	avail = base & 0x7fff;
	used = base >> 16 & 0x7fff;
	n_desc = avail - used;
	if ((base >> 15 & 1) != base >> 31)
		n_desc += run->size;
	if (avail >= run->size || used >= run->size || n_desc > run->size) {
		snprintf(why, why_size, "The base 0x%x (available position %u, used position %u) cannot be in a queue of %u.",
			 base, avail, used, run->size);
		return -EINVAL;
	}
	set_positions(run, used, base >> 31, n_desc);
	return 0;
}

static void begin_record(struct vring_run *run)
{
	struct inflight_packed *rec = run->rec.packed;
	uint32_t i;

	WRITE_ONCE(rec->version, 0);
	STEP();
	for (i = 0; i < run->rec_size; i++) {
		WRITE_ONCE(rec->desc[i].inflight, 0);
		run->rec_next[i] = (uint16_t)(i + 1);
		WRITE_ONCE(rec->desc[i].next, (uint16_t)(i + 1));
	}
	STEP();
	WRITE_ONCE(rec->features, 0);
	WRITE_ONCE(rec->desc_num, (uint16_t)run->rec_size);
	run->rec_free = 0;
	WRITE_ONCE(rec->free_head, 0);
	WRITE_ONCE(rec->old_free_head, 0);
	record_used(run, run->packed.used_pos, run->packed.used_flags);
	WRITE_ONCE(rec->version, 1);
	STEP();
}

/*
 * Where a batch ends that was being published: at its end if the driver can see it, else
 * where it began, with what was already written behind its first descriptor taken back.
 */
static bool finish_batch(struct vring_run *run)
{
	struct inflight_packed *rec = run->rec.packed;
	union rec_used u = { .word = READ_ONCE(*rec_used_word(run)) };
	uint32_t size = run->size, pos, flags;
	uint16_t free_head = READ_ONCE(rec->free_head), old_free = READ_ONCE(rec->old_free_head);

	if (u.idx >= size || u.old_idx >= size || u.wrap > 1 || u.old_wrap > 1)
		return false;
	pos = u.old_idx;
	flags = u.old_wrap ? DESC_F_AVAIL : DESC_F_USED;
	if ((u.idx != u.old_idx || u.wrap != u.old_wrap) &&
	    !is_avail(load_word(&run->desc[pos]), flags)) {
		old_free = free_head;
		WRITE_ONCE(rec->old_free_head, old_free);
		STEP();
		u.old_idx = u.idx;
		u.old_wrap = u.wrap;
	} else if (u.idx != u.old_idx || u.wrap != u.old_wrap) {
		uint32_t end = u.idx, steps;

		advance(&pos, &flags, 1, size);
		for (steps = 1; steps < size && pos != end; steps++) {
			uint32_t used = flags & DESC_F_AVAIL ? AVAIL_USED : 0;

			if (is_avail(load_word(&run->desc[pos]), used)) {
				__atomic_store_n(&run->desc[pos].packed.flags,
						 htole16((uint16_t)flags), __ATOMIC_RELAXED);
				STEP();
			}
			advance(&pos, &flags, 1, size);
		}
	}
	run->rec_free = old_free;
	WRITE_ONCE(rec->free_head, old_free);
	STEP();
	set_positions(run, u.old_idx, u.old_wrap, 0);
	record_used(run, run->packed.used_pos, run->packed.used_flags);
	return true;
}

/* The free list, bounded: *@n entries, each marked in @seen. */
static bool walk_free(struct vring_run *run, uint8_t *seen, uint32_t *n)
{
	struct inflight_packed *rec = run->rec.packed;
	uint32_t at = run->rec_free;

	for (*n = 0; at < run->rec_size; at = run->rec_next[at]) {
		if (seen[at])
			return false;
		seen[at] = 1;
		++*n;
		/* Requests that were not recorded to their end. */
		WRITE_ONCE(rec->desc[at].inflight, 0);
		STEP();
		run->rec_next[at] = READ_ONCE(rec->desc[at].next);
	}
	return true;
}

/* One request of the record: into our own copy. The number of descriptors, or 0 if it can't be. */
static uint32_t take_recovered(struct vring_run *run, uint32_t head, uint8_t *seen)
{
	struct inflight_packed *rec = run->rec.packed;
	uint32_t num = READ_ONCE(rec->desc[head].num), last = READ_ONCE(rec->desc[head].last);
	uint32_t at = head, i, id;

	if (!num || num > run->size)
		return 0;
	for (i = 0;; at = run->rec_next[at]) {
		const struct inflight_packed_desc *d = &rec->desc[at];
		struct ring_desc *to = &run->rec_desc[run->size + at];

		if (seen[at])
			return 0;
		seen[at] = 1;
		to->addr = htole64(READ_ONCE(d->addr));
		to->packed.len = htole32(READ_ONCE(d->len));
		to->packed.id = htole16(READ_ONCE(d->id));
		to->packed.flags = htole16(READ_ONCE(d->flags));
		if (++i == num)
			break;
		run->rec_next[at] = READ_ONCE(d->next);
		if (run->rec_next[at] >= run->rec_size)
			return 0;
	}
	id = le16toh(run->rec_desc[run->size + at].packed.id);
	if (at != last || id >= run->size || run->slots[id].seq)
		return 0;
	run->slots[id].seq = VRING_SEQ_RECOVERED;
	run->recovered[run->n_recovered++] = (struct vring_recovered){
		.counter = READ_ONCE(rec->desc[head].counter), .head = (uint16_t)head,
		.num = (uint16_t)num };
	return num;
}

static int recover(struct vring_run *run, char *why, size_t why_size)
{
	struct inflight_packed *rec = run->rec.packed;
	uint8_t *seen = calloc(run->rec_size, 1);
	uint32_t i, n_free = 0, n_desc = 0, marked = 0;
	bool right;

	if (!seen) {
		snprintf(why, why_size, "There is no memory left.");
		return -ENOMEM;
	}
	right = finish_batch(run) && walk_free(run, seen, &n_free);
	for (i = 0; i < run->rec_size; i++) {
		if (READ_ONCE(rec->desc[i].inflight) != 1)
			continue;
		marked++;
		if (right) {
			uint32_t num = take_recovered(run, i, seen);

			right = num;
			n_desc += num;
		}
	}
	free(seen);
	right = right && n_desc <= run->size && n_free + n_desc == run->rec_size;
	if (!right && marked) {
		snprintf(why, why_size, "The record of what is in flight is damaged: %u requests in it, but no list of them that can be.",
			 marked);
		return -EINVAL;
	}
	if (!right)
		return 1;
	set_positions(run, run->packed.used_pos, run->packed.used_flags, n_desc);
	vring_record_sort(run);
	return 0;
}

static int packed_start(struct vring_run *run, uint32_t base, char *why, size_t why_size)
{
	int r = 0;

	if (run->area) {
		r = vring_record_open(run, run->index_in_area, why, why_size);
		if (r < 0)
			return r;
		run->rec_next = calloc(run->rec_size, sizeof(*run->rec_next));
		/* a chain that is being read; and what is recovered, by entry */
		run->rec_desc = calloc((size_t)run->size + run->rec_size, sizeof(*run->rec_desc));
		if (!run->rec_next || !run->rec_desc) {
			snprintf(why, why_size, "There is no memory left.");
			return -ENOMEM;
		}
		/* With what the record says, the base is not needed, and may be an old one. */
		if (!r) {
			r = recover(run, why, why_size);
			if (r <= 0)
				return r;
		}
	}
	r = use_base(run, base, why, why_size);
	if (r == 0 && run->area)
		begin_record(run);
	return r;
}

const struct vring_ops vring_packed_ops = {
	.pop = packed_pop,
	.push = packed_push,
	.pop_plain = packed_pop_plain,
	.push_plain = packed_push_plain,
	.pop_recovered = packed_pop_recovered,
	.unpop = packed_unpop,
	.needs_notify = packed_needs_notify,
	.set_notify = packed_set_notify,
	.has_requests = packed_has_requests,
	.base = packed_base,
	.start = packed_start,
	.set_areas = packed_set_areas,
};
