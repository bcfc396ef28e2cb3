/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* Device's side of a queue: its life, its memory, and what does not depend on the layout. */
#include <stdarg.h>
#include <stdio.h>

#include <vhost/mem.h>

#include "ring/vring-run.h"

int vring_break(struct vring_run *run, const char *fmt, ...)
{
	va_list ap;

	if (!(run->state & RUN_BROKEN)) {
		va_start(ap, fmt);
		vsnprintf(run->error, sizeof(run->error), fmt, ap);
		va_end(ap);
		run->state |= RUN_BROKEN;
	}
	return -EBADMSG;
}

const char *vring_broken(const struct vring_run *run)
{
	return run->state & RUN_BROKEN ? run->error : NULL;
}

unsigned int vring_in_flight(const struct vring_run *run)
{
	return run->in_flight;
}

uint64_t vring_run_id(const struct vring_run *run)
{
	return run->id;
}

const struct vring_miss *vring_miss(const struct vring_run *run)
{
	return &run->miss;
}

uint32_t vring_base(const struct vring_run *run)
{
	return run->ops->base(run);
}

/* ------------------------------------------------------------- translation */

/* The piece of memory from @addr on. 0; -EAGAIN and *miss; -EBADMSG: no memory. */
static int look_up(const struct guest_map *map, const struct iotlb *iotlb, uint64_t addr,
		   uint32_t perm, struct vring_hit *hit, struct vring_miss *miss)
{
	const struct guest_index *index = &map->by_guest;
	const struct guest_span *s;
	uint64_t at = addr, room = UINT64_MAX;

	if (iotlb) {
		const struct iotlb_entry *e = iotlb_find(iotlb, addr);

		if (!e || (e->perm & perm) != perm) {
			*miss = (struct vring_miss){ .waiting = true, .iova = addr, .perm = perm };
			return -EAGAIN;
		}
		index = &map->by_user;
		at = e->user + (addr - e->first);
		room = e->last - addr;
	}
	s = guest_index_find(index, map->n, at);
	if (!s)
		return -EBADMSG;
	if (room > s->last - at)
		room = s->last - at;
	hit->first = addr;
	/* a size of 2^64 can't be: the memory is in our address space */
	hit->size = room + 1;
	hit->addr = s->addr + (at - s->first);
	return 0;
}

/* Where @addr is, and how much of @len lies there in one piece. */
static int find_piece(struct vring_run *run, uint64_t addr, uint64_t len, bool write,
		      struct iovec *ret)
{
	struct vring_hit *hit = &run->hit[write];
	uint64_t offset = addr - hit->first;

	if (offset >= hit->size) {
		int r = look_up(run->map, run->iotlb, addr,
				write ? VHOST_IOTLB_PERM_WRITE : VHOST_IOTLB_PERM_READ, hit,
				&run->miss);

		if (r == -EAGAIN)
			run->state |= RUN_MISS;
		if (r == -EBADMSG)
			vring_break(run, "The driver gave a buffer at 0x%llx, where there is no memory.",
				    (unsigned long long)addr);
		if (r < 0)
			return r;
		offset = 0;
	}
	ret->iov_base = hit->addr + offset;
	ret->iov_len = (size_t)(len < hit->size - offset ? len : hit->size - offset);
	return 0;
}

static void forget_hits(struct vring_run *run)
{
	memset(run->hit, 0, sizeof(run->hit));
}

void vring_iotlb_changed(struct vring_run *run)
{
	forget_hits(run);
}

/* ------------------------------------------------- buffers of long requests */

static void free_block(struct vring_run *run, struct vring_block *block)
{
	if (block) {
		run->room -= block->room;
		free(block);
	}
}

void vring_put_block(struct vring_run *run, struct vring_slot *slot)
{
	struct vring_block *block = TAKE_PTR(slot->block);

	/* What is rarely needed is not kept. */
	if (block->room > VRING_TABLE_CHAIN) {
		free_block(run, block);
		return;
	}
	block->next = run->pool;
	run->pool = block;
}

/* Make run->scratch larger, with its first @n buffers. */
static __attribute__((noinline)) int grow_scratch(struct vring_run *run, uint32_t n)
{
	uint32_t room = run->scratch ? run->scratch->room * 2 : 32;
	struct vring_block *block;

	if (!run->scratch && run->pool) {
		run->scratch = run->pool;
		run->pool = run->pool->next;
		return 0;
	}
	if (run->room + room > VRING_ROOM_MAX)
		return -ENOMEM;
	block = malloc(sizeof(*block) + (size_t)room * 2 * sizeof(block->iov[0]));
	if (!block)
		return -ENOMEM;
	block->room = room;
	if (n)
		memcpy(block->iov, run->scratch->iov, n * sizeof(block->iov[0]));
	free_block(run, run->scratch);
	run->room += room;
	run->scratch = block;
	return 0;
}

static int gather_piece(struct vring_run *run, struct vring_gather *g, const struct iovec *piece)
{
	if (unlikely(!run->scratch || g->n == run->scratch->room)) {
		int r;

		if (g->n >= VRING_PIECES_MAX)
			return vring_break(run, "The driver gave a request of more than %u pieces.",
					   VRING_PIECES_MAX);
		r = grow_scratch(run, g->n);
		if (r < 0)
			return r;
	}
	run->scratch->iov[g->n++] = *piece;
	return 0;
}

int vring_gather(struct vring_run *run, struct vring_gather *g, uint64_t addr, uint32_t len,
		 bool write)
{
	uint64_t left = len, last;

	if (!write && unlikely(g->in))
		return vring_break(run, "The driver gave a readable buffer after a writable one.");
	g->bytes += len;
	if (unlikely(g->bytes > UINT32_MAX))
		return vring_break(run, "The driver gave a request of 4 GiB or more.");
	/* Nothing is ever looked for at the address of an empty buffer. */
	if (len && unlikely(!range_last(addr, len, &last)))
		return vring_break(run, "The driver gave a buffer at 0x%llx, of %u bytes, beyond 2^64.",
				   (unsigned long long)addr, len);
	g->in = write;
	while (left) {
		struct iovec piece;
		int r = find_piece(run, addr, left, write, &piece);

		if (likely(r == 0))
			r = gather_piece(run, g, &piece);
		if (unlikely(r < 0))
			return r;
		addr += piece.iov_len;
		left -= piece.iov_len;
	}
	if (!write) {
		g->n_out = g->n;
		g->out_len = (uint32_t)g->bytes;
	}
	return 0;
}

/* An entry of a table may lie anywhere, in two regions even. Each byte is read once. */
static int read_entry(struct vring_run *run, uint64_t addr, struct ring_desc *ret)
{
	uint8_t *to = (uint8_t *)ret;
	size_t left = sizeof(*ret), i;

	while (left) {
		struct iovec piece;
		int r = find_piece(run, addr, left, false, &piece);

		if (r < 0)
			return r;
		if (likely(piece.iov_len == sizeof(*ret))) {
			const uint64_t *from = piece.iov_base;

			if (likely(!((uintptr_t)from & 7))) {
				ret->addr = READ_ONCE(from[0]);
				ret->word = READ_ONCE(from[1]);
				return 0;
			}
		}
		for (i = 0; i < piece.iov_len; i++)
			*to++ = READ_ONCE(((const uint8_t *)piece.iov_base)[i]);
		addr += piece.iov_len;
		left -= piece.iov_len;
	}
	return 0;
}

int vring_gather_table(struct vring_run *run, struct vring_gather *g, uint64_t addr,
		       uint32_t len, bool big_endian)
{
	uint32_t n = len / sizeof(struct ring_desc), i = 0, steps = 0;
	uint64_t last;

	if (!run->indirect)
		return vring_break(run, "The driver gave an indirect table, which was not negotiated.");
	if (!n || len % sizeof(struct ring_desc) || n > VRING_TABLE_MAX ||
	    !range_last(addr, len, &last))
		return vring_break(run, "The driver gave an indirect table of %u bytes at 0x%llx.", len,
				   (unsigned long long)addr);
	for (;;) {
		uint32_t b_len, flags, next;
		struct ring_desc d;
		int r;

		if (++steps > run->table_chain)
			return vring_break(run, "The driver gave a chain of more than %u in an indirect table.",
					   run->table_chain);
		r = read_entry(run, addr + (uint64_t)i * sizeof(d), &d);
		if (r < 0)
			return r;
		if (run->packed_ring) {
			/* no chain: all entries, and no flag but WRITE counts (2.8.7) */
			b_len = le32toh(d.packed.len);
			flags = (le16toh(d.packed.flags) & DESC_F_WRITE) | (i + 1 < n ? DESC_F_NEXT : 0);
			next = i + 1;
		} else if (big_endian) {
			b_len = be32toh(d.split.len);
			flags = be16toh(d.split.flags);
			next = be16toh(d.split.next);
		} else {
			b_len = le32toh(d.split.len);
			flags = le16toh(d.split.flags);
			next = le16toh(d.split.next);
		}
		if (flags & DESC_F_INDIRECT)
			return vring_break(run, "The driver gave an indirect table inside an indirect table.");
		/*
		 * DPDK's virtio_user has WRITE on the header of what it sends, in the tables of
		 * packed rings alone. What is readable after all makes all before it so.
		 */
		if (run->packed_ring && !(flags & DESC_F_WRITE))
			g->in = false;
		r = vring_gather(run, g, big_endian ? be64toh(d.addr) : le64toh(d.addr), b_len,
				 flags & DESC_F_WRITE);
		if (r < 0)
			return r;
		if (!(flags & DESC_F_NEXT))
			return 0;
		if (next >= n)
			return vring_break(run, "The driver gave a chain to entry %u of an indirect table of %u.",
					   next, n);
		i = next;
	}
}

void vring_gathered(struct vring_run *run, const struct vring_gather *g, struct vring_slot *slot,
		    struct vhost_req *req)
{
	struct iovec *iov = slot->iov, *kept = slot->kept;

	if (g->n > VRING_INLINE) {
		slot->block = TAKE_PTR(run->scratch);
		iov = slot->block->iov;
		kept = iov + slot->block->room;
		memcpy(kept, iov, g->n * sizeof(*iov));
	} else if (g->n) {
		memcpy(iov, run->scratch->iov, g->n * sizeof(*iov));
		memcpy(kept, run->scratch->iov, g->n * sizeof(*iov));
	}
	slot->in_len = (uint32_t)g->bytes - g->out_len;
	slot->n_out = (uint16_t)g->n_out;
	req->iov = iov;
	req->out = g->n_out;
	req->in = g->n - g->n_out;
	req->out_len = g->out_len;
	req->in_len = slot->in_len;
	req->written = 0;
	req->run = run->id;
}

/* --------------------------------------------------------------- the areas */

struct area {
	const char *name;
	uint64_t addr;
	uint64_t len;
	uint32_t align;
	uint32_t perm;
	uint8_t *ptr;
};

static _printf_(3, 4) int refuse(char *why, size_t why_size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, why_size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int find_area(const struct vring_memory *mem, enum vring_address kind, struct area *a,
		     struct vring_miss *miss, char *why, size_t why_size)
{
	uint64_t done = 0, last;

	if (!range_last(a->addr, a->len, &last))
		return refuse(why, why_size, "The %s at 0x%llx, of %llu bytes, goes beyond 2^64.",
			      a->name, (unsigned long long)a->addr, (unsigned long long)a->len);
	while (done < a->len) {
		struct vring_hit hit;
		int r = 0;

		if (kind == VRING_ADDRESS_USER) {
			const struct guest_span *s =
				guest_index_find(&mem->map->by_user, mem->map->n, a->addr + done);

			if (s) {
				hit.size = s->last - (a->addr + done) + 1;
				hit.addr = s->addr + (a->addr + done - s->first);
			} else {
				r = -EBADMSG;
			}
		} else {
			r = look_up(mem->map, kind == VRING_ADDRESS_IOVA ? mem->iotlb : NULL,
				    a->addr + done, a->perm, &hit, miss);
		}
		if (r == -EAGAIN)
			return r;
		if (r < 0)
			return refuse(why, why_size, "The %s at 0x%llx, of %llu bytes, is not in the memory that was shared (0x%llx is missing).",
				      a->name, (unsigned long long)a->addr,
				      (unsigned long long)a->len,
				      (unsigned long long)(a->addr + done));
		if (!done)
			a->ptr = hit.addr;
		else if (hit.addr != a->ptr + done)
			return refuse(why, why_size, "The %s at 0x%llx, of %llu bytes, lies in two regions of memory.",
				      a->name, (unsigned long long)a->addr,
				      (unsigned long long)a->len);
		done += hit.size < a->len - done ? hit.size : a->len - done;
	}
	if ((a->addr | (uintptr_t)a->ptr) & (a->align - 1))
		return refuse(why, why_size, "The %s at 0x%llx is not aligned to %u bytes.", a->name,
			      (unsigned long long)a->addr, a->align);
	return 0;
}

static int check_size(uint32_t size, bool packed, char *why, size_t why_size)
{
	if (!size || size > RING_SIZE_MAX || (!packed && size & (size - 1)))
		return refuse(why, why_size, "A queue of %u descriptors cannot be: it takes 1 to %u%s.",
			      size, RING_SIZE_MAX, packed ? "" : ", a power of two");
	return 0;
}

int vring_find_areas(const struct vring_memory *mem, enum vring_address kind,
		     const struct vring_areas *areas, uint32_t size, uint64_t features,
		     void *ret[3], struct vring_miss *miss, char *why, size_t why_size)
{
	bool packed = features & RING_F_PACKED;
	uint32_t event = features & RING_F_EVENT_IDX ? 2 : 0;
	const uint32_t rd = VHOST_IOTLB_PERM_READ, wr = VHOST_IOTLB_PERM_WRITE;
	struct area a[3] = {
		{ packed ? "descriptor ring" : "descriptor table", areas->desc,
		  (uint64_t)size * sizeof(struct ring_desc), 16, packed ? rd | wr : rd, NULL },
		{ packed ? "driver area" : "available ring", areas->driver,
		  packed ? 4 : 4 + 2 * (uint64_t)size + event, packed ? 4 : 2, rd, NULL },
		{ packed ? "device area" : "used ring", areas->device,
		  packed ? 4 : 4 + 8 * (uint64_t)size + event, 4, wr, NULL },
	};
	unsigned int i, j;
	int r = check_size(size, packed, why, why_size);

	for (i = 0; i < 3 && r == 0; i++)
		r = find_area(mem, kind, &a[i], miss, why, why_size);
	if (r < 0)
		return r;
	for (i = 0; i < 3; i++)
		for (j = i + 1; j < 3; j++)
			if (ranges_meet((uintptr_t)a[i].ptr, a[i].len, (uintptr_t)a[j].ptr, a[j].len))
				return refuse(why, why_size, "The %s at 0x%llx overlaps the %s at 0x%llx.",
					      a[j].name, (unsigned long long)a[j].addr, a[i].name,
					      (unsigned long long)a[i].addr);
	for (i = 0; i < 3; i++)
		ret[i] = a[i].ptr;
	return 0;
}

/* ------------------------------------------------------------- the record */

static int compare_counters(const void *a, const void *b)
{
	const struct vring_recovered *x = a, *y = b;

	if (x->counter != y->counter)
		return x->counter < y->counter ? -1 : 1;
	return x->head < y->head ? -1 : 1;
}

void vring_record_sort(struct vring_run *run)
{
	if (!run->n_recovered)
		return;
	qsort(run->recovered, run->n_recovered, sizeof(*run->recovered), compare_counters);
	run->counter = run->recovered[run->n_recovered - 1].counter + 1;
	run->state |= RUN_RECOVERING;
}

int vring_record_open(struct vring_run *run, unsigned int index, char *why, size_t why_size)
{
	const struct inflight_area *area = run->area;
	uint16_t version;

	if (area->packed != run->packed_ring)
		return refuse(why, why_size, "The record of what is in flight is one of %s rings.",
			      area->packed ? "packed" : "split");
	if (area->queue_size < run->size)
		return refuse(why, why_size, "The record of what is in flight is for queues of %u descriptors, not %u.",
			      area->queue_size, run->size);
	run->rec.any = inflight_area_queue(area, index);
	if (!run->rec.any)
		return refuse(why, why_size, "The record of what is in flight is for %u queues.",
			      area->num_queues);
	run->rec_size = area->queue_size;
	/* Both layouts have it in the same place. */
	version = READ_ONCE(run->rec.split->version);
	if (version > 1)
		return refuse(why, why_size, "The record of what is in flight has the unknown version %u.",
			      version);
	run->recovered = calloc(run->rec_size, sizeof(*run->recovered));
	if (!run->recovered) {
		refuse(why, why_size, "There is no memory left.");
		return -ENOMEM;
	}
	return !version;
}

/* --------------------------------------------------------------- the log */

void vring_log_device(struct vring_run *run, uint64_t offset, uint64_t len)
{
	if (run->log && run->log_device)
		dirty_log_mark(run->log, run->device_guest + offset, len);
}

void vring_log_desc(struct vring_run *run, uint32_t pos)
{
	if (run->log && run->desc_logged)
		dirty_log_mark(run->log, run->desc_guest + (uint64_t)pos * sizeof(struct ring_desc),
			       sizeof(struct ring_desc));
}

/* What a request was popped with. */
static struct guest_map *map_of(const struct vring_run *run, const struct vring_slot *slot)
{
	const struct vring_old *old;

	if (likely(slot_current(run, slot)))
		return run->map;
	for (old = run->old; old->first > slot->seq; old = old->next)
		;
	return old->map;
}

void vring_log_written(struct vring_run *run, const struct vring_slot *slot, uint32_t written)
{
	const struct iovec *kept = slot->block ? slot->block->iov + slot->block->room : slot->kept;
	const struct guest_map *map = map_of(run, slot);
	uint32_t i;

	/* No more than the writable ones have. */
	for (i = slot->n_out; written; i++) {
		uint64_t len = kept[i].iov_len < written ? kept[i].iov_len : written, guest, room;

		/* A piece lies in one region. */
		if (guest_map_to_guest(map, kept[i].iov_base, &guest, &room))
			dirty_log_mark(run->log, guest, len);
		written -= (uint32_t)len;
	}
}

/* The descriptor ring's guest address is what the memory says, whoever gave it to us how. */
static void find_desc_guest(struct vring_run *run)
{
	uint64_t room;

	run->desc_logged = run->packed_ring && run->log_device &&
		guest_map_to_guest(run->map, run->desc, &run->desc_guest, &room);
}

static void select_ops(struct vring_run *run)
{
	bool big_endian = run->big_endian, rec = run->rec.any;

	run->pop = run->iotlb || rec || big_endian ?
		run->ops->pop : run->ops->pop_plain;
	run->push = run->log || rec || big_endian || run->in_order ?
		run->ops->push : run->ops->push_plain;
}

void vring_set_log(struct vring_run *run, struct dirty_log *log, bool log_device,
		   uint64_t device_guest)
{
	if (log)
		dirty_log_ref(log);
	dirty_log_unref(run->log);
	run->log = log;
	run->log_device = log_device;
	run->device_guest = device_guest;
	find_desc_guest(run);
	select_ops(run);
}

/* ------------------------------------------------------------------ memory */

static void use_map(struct vring_run *run, struct guest_map *map)
{
	run->map = guest_map_ref(map);
	run->map_first = run->seq;
	run->index = map->by_guest;
	run->faults = 0;
}

/* Keep the map for what is in flight with it. */
static int retire_map(struct vring_run *run)
{
	uint32_t in_flight = run->in_flight - run->old_in_flight;
	struct vring_old *old;

	if (!in_flight) {
		guest_map_unref(run->map);
		return 0;
	}
	old = malloc(sizeof(*old));
	if (!old)
		return -ENOMEM;
	*old = (struct vring_old){ .next = run->old, .map = run->map, .first = run->map_first,
				   .in_flight = in_flight };
	run->old = old;
	run->old_in_flight += in_flight;
	return 0;
}

void vring_set_memory(struct vring_run *run, const struct vring_memory *mem,
		      void *const areas[3])
{
	if (mem->map != run->map) {
		if (retire_map(run) < 0) {
			/* It stays with the old map, which it does not use any more. */
			vring_break(run, "There is no memory left to change the memory of a ring.");
			return;
		}
		use_map(run, mem->map);
	}
	run->iotlb = mem->iotlb;
	forget_hits(run);
	run->ops->set_areas(run, areas);
	vring_set_log(run, mem->log, run->log_device, run->device_guest);
}

bool vring_is_old(struct vring_run *run, const struct vring_slot *slot)
{
	struct vring_old **p = &run->old, *old;

	if (!slot->seq || slot->seq == VRING_SEQ_RECOVERED || slot->seq >= run->map_first)
		return false;
	while (*p && (*p)->first > slot->seq)
		p = &(*p)->next;
	old = *p;
	if (!old)
		return false;
	run->old_in_flight--;
	if (!--old->in_flight) {
		*p = old->next;
		guest_map_unref(old->map);
		free(old);
	}
	return true;
}

/* A file of the memory was cut short: what we read there since then is not the guest's. */
static __attribute__((cold)) void look_into_faults(struct vring_run *run)
{
	run->faults = guest_faults_count();
	if (guest_map_is_dead(run->map) ||
	    (run->log && __atomic_load_n(run->log->dead, __ATOMIC_RELAXED)) ||
	    (run->area && __atomic_load_n(run->area->dead, __ATOMIC_RELAXED)))
		vring_break(run, "A file of the memory that was shared was cut short.");
}

/* ---------------------------------------------------------------- requests */

/* Those of the record come first. How many, or a negative errno if there were none. */
static int pop_recovered(struct vring_run *run, struct vhost_req *reqs, unsigned int n)
{
	unsigned int got = 0;

	while (got < n && run->recovered_at < run->n_recovered) {
		int r = run->ops->pop_recovered(run, run->recovered_at, &reqs[got]);

		if (r < 0)
			return vring_stopped_at(got, r);
		run->slots[reqs[got].id].seq = run->seq++;
		run->in_flight++;
		run->recovered_at++;
		got++;
	}
	if (run->recovered_at == run->n_recovered)
		run->state &= ~RUN_RECOVERING;
	return (int)got;
}

static __attribute__((cold, noinline)) int pop_odd(struct vring_run *run, struct vhost_req *reqs,
						   unsigned int n)
{
	int got = 0, r;

	if (run->state & RUN_STOPPED)
		return 0;
	if (run->faults != guest_faults_count())
		look_into_faults(run);
	if (run->state & RUN_BROKEN)
		return -EBADMSG;
	run->state &= ~RUN_MISS;
	run->miss.waiting = false;
	if (run->state & RUN_RECOVERING) {
		got = pop_recovered(run, reqs, n);
		if (got < 0 || run->state)
			return got;
	}
	r = run->pop(run, reqs + got, n - (unsigned int)got);
	if (r < 0)
		return got ? got : r;
	return got + r;
}

int vring_pop(struct vring_run *run, struct vhost_req *reqs, unsigned int n)
{
	if (unlikely(run->state) || unlikely(run->faults != guest_faults_count()))
		return pop_odd(run, reqs, n);
	return run->pop(run, reqs, n);
}

static void release(struct vring_run *run, struct vring_slot *slot)
{
	if (slot->block)
		vring_put_block(run, slot);
	slot->seq = 0;
	run->in_flight--;
}

/* Nobody is to see them any more. */
static __attribute__((cold, noinline)) int drop(struct vring_run *run,
						const struct vhost_req *reqs, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct vring_slot *slot;

		if (reqs[i].id >= run->size)
			continue;
		slot = &run->slots[reqs[i].id];
		if (slot_current(run, slot) || vring_is_old(run, slot))
			release(run, slot);
	}
	return run->state & RUN_BROKEN ? -EBADMSG : 0;
}

int vring_push(struct vring_run *run, const struct vhost_req *reqs, unsigned int n,
	       bool *ret_gone)
{
	*ret_gone = false;
	if (unlikely(run->faults != guest_faults_count()))
		look_into_faults(run);
	if (unlikely(run->state & (RUN_BROKEN | RUN_STOPPED))) {
		int r = drop(run, reqs, n);

		if (run->state & RUN_STOPPED && !run->in_flight) {
			vring_run_free(run);
			*ret_gone = true;
		}
		return r;
	}
	return run->push(run, reqs, n);
}

int vring_unpop(struct vring_run *run, const struct vhost_req *reqs, unsigned int n)
{
	unsigned int i;

	if (run->state & (RUN_BROKEN | RUN_STOPPED))
		return drop(run, reqs, n);
	for (i = 0; i < n; i++)
		if (n > run->seq || reqs[i].id >= run->size ||
		    run->slots[reqs[i].id].seq != run->seq - n + i)
			return -EINVAL;
	while (n--) {
		struct vring_slot *slot = &run->slots[reqs[n].id];
		bool recovered = slot->seq <= run->n_recovered;

		if (!slot_current(run, slot))
			vring_is_old(run, slot);
		release(run, slot);
		run->seq--;
		if (recovered) {
			slot->seq = VRING_SEQ_RECOVERED;
			run->recovered_at--;
			run->state |= RUN_RECOVERING;
		} else {
			run->ops->unpop(run, reqs[n].id);
		}
	}
	if (run->map_first > run->seq)
		run->map_first = run->seq;
	return 0;
}

bool vring_needs_notify(struct vring_run *run)
{
	bool needs;

	if (!run->pending || run->state & (RUN_BROKEN | RUN_STOPPED))
		return false;
	/* What was pushed is visible before we look at what the driver wants (2.7.7.1). */
	full_mb();
	needs = run->ops->needs_notify(run);
	run->pending = 0;
	return needs;
}

bool vring_set_notify(struct vring_run *run, bool enable)
{
	run->notify = enable;
	run->rearm = enable && run->event_idx;
	run->armed = false;
	if (run->state & (RUN_BROKEN | RUN_STOPPED))
		return false;
	return (run->ops->set_notify(run) || run->state & RUN_RECOVERING) && enable;
}

bool vring_has_requests(struct vring_run *run)
{
	if (run->state & (RUN_BROKEN | RUN_STOPPED))
		return false;
	return run->state & RUN_RECOVERING || run->ops->has_requests(run);
}

/* -------------------------------------------------------------------- life */

static int start(struct vring_run *run, const struct vring_config *config,
		 const struct vring_memory *mem, char *why, size_t why_size)
{
	int r = check_size(run->size, run->packed_ring, why, why_size);

	if (r < 0)
		return r;
	run->slots = aligned_alloc(64, (run->size * sizeof(*run->slots) + 63) & ~(size_t)63);
	if (!run->slots) {
		refuse(why, why_size, "There is no memory left.");
		return -ENOMEM;
	}
	memset(run->slots, 0, run->size * sizeof(*run->slots));
	run->ops->set_areas(run, (void *[3]){ config->desc, config->driver, config->device });
	r = run->ops->start(run, config->base, why, why_size);
	if (r < 0)
		return r;
	vring_set_log(run, mem->log, config->log_device, config->device_guest);
	vring_set_notify(run, config->notify);
	return 0;
}

int vring_run_new(const struct vring_config *config, const struct vring_memory *mem,
		  struct vring_run **ret, char *why, size_t why_size)
{
	struct vring_run *run = calloc(1, sizeof(*run));
	int r;

	if (!run) {
		refuse(why, why_size, "There is no memory left.");
		return -ENOMEM;
	}
	run->size = config->size;
	run->id = config->id;
	run->event_idx = config->features & RING_F_EVENT_IDX;
	run->indirect = config->features & RING_F_INDIRECT;
	run->in_order = config->features & RING_F_IN_ORDER;
	run->packed_ring = config->features & RING_F_PACKED;
	run->big_endian = config->big_endian && !run->packed_ring;
	run->table_chain = run->size > VRING_TABLE_CHAIN ? run->size : VRING_TABLE_CHAIN;
	run->ops = run->packed_ring ? &vring_packed_ops :
		run->big_endian ? &vring_split_be_ops : &vring_split_ops;
	run->seq = run->next_push = 1;
	run->iotlb = mem->iotlb;
	run->index_in_area = config->index;
	run->area = config->inflight ? inflight_area_ref(config->inflight) : NULL;
	use_map(run, mem->map);
	r = start(run, config, mem, why, why_size);
	if (r < 0)
		vring_run_free(run);
	else
		*ret = run;
	return r;
}

bool vring_run_stop(struct vring_run *run)
{
	run->state |= RUN_STOPPED;
	if (!run->in_flight) {
		vring_run_free(run);
		return true;
	}
	dirty_log_unref(TAKE_PTR(run->log));
	inflight_area_unref(TAKE_PTR(run->area));
	run->rec.any = NULL;
	return false;
}

static void free_blocks(struct vring_block *block)
{
	while (block) {
		struct vring_block *next = block->next;

		free(block);
		block = next;
	}
}

void vring_run_free(struct vring_run *run)
{
	uint32_t i;

	for (i = 0; run->slots && i < run->size; i++)
		free(run->slots[i].block);
	free(run->scratch);
	free_blocks(run->pool);
	while (run->old) {
		struct vring_old *old = run->old;

		run->old = old->next;
		guest_map_unref(old->map);
		free(old);
	}
	guest_map_unref(run->map);
	dirty_log_unref(run->log);
	inflight_area_unref(run->area);
	free(run->recovered);
	free(run->rec_next);
	free(run->rec_desc);
	free(run->slots);
	free(run);
}
