/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* A run of a ring on the device's side: what vring.c, vring-split.c and vring-packed.c share. */
#ifndef LIBVHOST_RING_VRING_RUN_H
#define LIBVHOST_RING_VRING_RUN_H

#include "ring/vring.h"

/* Buffers of a request that need no block of their own. */
#define VRING_INLINE 3u
/* Pieces of one request, and pieces in blocks of all requests of a ring together. */
#define VRING_PIECES_MAX 65535u
#define VRING_ROOM_MAX (1u << 20)
/* Entries of an indirect table; what a chain may have in one whatever the ring's size. */
#define VRING_TABLE_MAX 32768u
#define VRING_TABLE_CHAIN 1024u

#define AVAIL_USED (DESC_F_AVAIL | DESC_F_USED)

/*
 * With an inflight record the order of the stores is what makes it of use: after each, in
 * a test, the process may end.
 */
#ifdef VRING_KILL_POINTS
void vring_kill_point(void);
#define KILL_POINT() vring_kill_point()
#else
#define KILL_POINT() ((void)0)
#endif
#define barrier() __asm__ volatile("" ::: "memory")
#define STEP() do { barrier(); KILL_POINT(); } while (0)

/* Buffers of a request with many. @room of them, then as many that the device can't change. */
struct vring_block {
	struct vring_block *next;
	uint32_t room;
	struct iovec iov[];
};

/*
 * A request, at the index of its first descriptor or its buffer id. Writable buffers are
 * kept twice: the device may change its own copy, and what was written is logged by ours.
 */
struct vring_slot {
	uint64_t seq;			/* 0: not in flight; else its place among all popped */
	struct vring_block *block;	/* NULL: the buffers are here */
	uint32_t in_len;
	uint16_t n_out;			/* the writable ones begin there, for in_len bytes */
	uint16_t n_desc;		/* packed: descriptors of the ring that it takes */
	uint16_t entry;			/* packed, with a record: its first and last entry there */
	uint16_t entry_last;
	struct iovec iov[VRING_INLINE];
	struct iovec kept[VRING_INLINE];
};

/* In flight by the record, but not popped yet. */
#define VRING_SEQ_RECOVERED UINT64_MAX

/* A request that the record says was in flight. */
struct vring_recovered {
	uint64_t counter;
	uint16_t head;			/* split: descriptor; packed: entry of the record */
	uint16_t num;			/* packed: descriptors, in entries linked by rec.next */
};

/* A memory map that is no longer the ring's, but has requests in flight. */
struct vring_old {
	struct vring_old *next;
	struct guest_map *map;
	uint64_t first;			/* of its requests' seq */
	uint32_t in_flight;
};

/* A translation by IOTLB and memory, remembered. */
struct vring_hit {
	uint64_t first;
	uint64_t size;			/* 0: none */
	uint8_t *addr;
};

struct vring_ops {
	int (*pop)(struct vring_run *run, struct vhost_req *reqs, unsigned int n);
	int (*push)(struct vring_run *run, const struct vhost_req *reqs, unsigned int n);
	/* The same where nothing unusual is switched on. */
	int (*pop_plain)(struct vring_run *run, struct vhost_req *reqs, unsigned int n);
	int (*push_plain)(struct vring_run *run, const struct vhost_req *reqs, unsigned int n);
	/* The request at run->recovered[i]; 0 or as vring_gather(). */
	int (*pop_recovered)(struct vring_run *run, unsigned int i, struct vhost_req *req);
	/* Take back the last request that was popped. */
	void (*unpop)(struct vring_run *run, uint32_t id);
	bool (*needs_notify)(struct vring_run *run);
	/* Write run->notify to the ring; true if there are requests. */
	bool (*set_notify)(struct vring_run *run);
	bool (*has_requests)(struct vring_run *run);
	uint32_t (*base)(const struct vring_run *run);
	/* Positions, from the base or the record. */
	int (*start)(struct vring_run *run, uint32_t base, char *why, size_t why_size);
	void (*set_areas)(struct vring_run *run, void *const areas[3]);
};

#define RUN_BROKEN 1u
#define RUN_STOPPED 2u
#define RUN_RECOVERING 4u	/* run->recovered has requests to be popped */
#define RUN_MISS 8u		/* a translation is missing */

struct vring_run {
	int (*pop)(struct vring_run *run, struct vhost_req *reqs, unsigned int n);
	int (*push)(struct vring_run *run, const struct vhost_req *reqs, unsigned int n);
	uint32_t state;			/* RUN_*; 0 is the fast path */
	uint32_t faults;		/* guest_faults_count() that has been looked into */
	uint32_t size;
	uint32_t in_flight;
	struct vring_slot *slots;
	struct ring_desc *desc;		/* shared */
	union {
		struct {
			struct split_avail *avail;
			struct split_used *used;
			uint16_t avail_idx;
			uint16_t used_idx;
		} split;
		struct {
			union packed_event *driver;
			union packed_event *device;
			uint16_t avail_pos;
			uint16_t used_pos;
			uint16_t avail_flags;	/* AVAIL and USED of what is available */
			uint16_t used_flags;	/* and of what is used */
			uint32_t n_desc;	/* between the two positions */
		} packed;
	};
	uint64_t seq;			/* of the next request */
	uint64_t map_first;		/* the first one that was popped with this map */
	uint64_t id;
	uint32_t pending;		/* pushed since the last decision; packed: descriptors */
	bool rearm;			/* event_idx && notify */
	bool armed;			/* armed_at is where the driver was asked to notify */
	uint16_t armed_at;
	struct guest_index index;	/* by guest address: a copy from the map */
	bool event_idx;
	bool notify;
	bool indirect;
	bool in_order;
	bool packed_ring;
	bool big_endian;

	/* Not on the fast path. */
	const struct vring_ops *ops;
	uint32_t table_chain;		/* the most entries of a chain in a table */
	struct guest_map *map;
	struct vring_old *old;		/* the newest first */
	uint32_t old_in_flight;
	const struct iotlb *iotlb;
	struct vring_hit hit[2];	/* for reading, for writing */
	struct vring_miss miss;
	struct vring_block *scratch;	/* for the request that is being read */
	struct vring_block *pool;
	uint32_t room;			/* of all blocks */
	uint64_t next_push;		/* IN_ORDER */

	struct dirty_log *log;
	bool log_device;
	uint64_t device_guest;
	uint64_t desc_guest;		/* packed: of the descriptor ring */
	bool desc_logged;

	struct inflight_area *area;
	union {
		struct inflight_split *split;	/* shared; NULL: no record */
		struct inflight_packed *packed;
		void *any;
	} rec;
	uint64_t counter;
	uint32_t rec_size;
	uint16_t rec_batch;		/* split: our own last_batch_head */
	uint16_t rec_free;		/* packed: our own free list */
	uint16_t *rec_next;
	struct ring_desc *rec_desc;	/* packed: of one chain, or of those recovered */
	struct vring_recovered *recovered;
	unsigned int n_recovered, recovered_at;
	unsigned int index_in_area;
	char error[192];
};

extern const struct vring_ops vring_split_ops;
extern const struct vring_ops vring_split_be_ops;
extern const struct vring_ops vring_packed_ops;

/* A request while its descriptors are being read; into run->scratch. */
struct vring_gather {
	uint32_t n;
	uint32_t n_out;
	uint32_t out_len;
	bool in;			/* writable ones have begun */
	uint64_t bytes;
};

/*
 * Add one buffer. 0; -EBADMSG: the ring is broken; -EAGAIN: a translation is missing;
 * -ENOMEM. What was read so far is then forgotten: the request stays in the ring.
 */
int vring_gather(struct vring_run *run, struct vring_gather *g, uint64_t addr, uint32_t len,
		 bool write);
/* All of an indirect table. */
int vring_gather_table(struct vring_run *run, struct vring_gather *g, uint64_t addr,
		       uint32_t len, bool big_endian);
/* Give the slot its buffers, and fill in @req, except for its id. */
void vring_gathered(struct vring_run *run, const struct vring_gather *g, struct vring_slot *slot,
		    struct vhost_req *req);
/* Push: what is no request of this map. True if it is one of an older one, which is told. */
bool vring_is_old(struct vring_run *run, const struct vring_slot *slot) __attribute__((cold));
/* Push: mark what was written in the log. */
void vring_log_written(struct vring_run *run, const struct vring_slot *slot, uint32_t written);
void vring_put_block(struct vring_run *run, struct vring_slot *slot) __attribute__((cold));

/* Writes of ours to the device area, or (packed) the descriptor ring. */
void vring_log_device(struct vring_run *run, uint64_t offset, uint64_t len)
	__attribute__((cold));
void vring_log_desc(struct vring_run *run, uint32_t pos) __attribute__((cold));

/* The record's bounds and version: 1 if it has to be begun, 0 if there may be requests. */
int vring_record_open(struct vring_run *run, unsigned int index, char *why, size_t why_size);
/* Sort run->recovered and get ready to pop them. */
void vring_record_sort(struct vring_run *run);

/* For pop: what to return after @got requests if the next one failed with @r. */
static inline int vring_stopped_at(unsigned int got, int r)
{
	return got || r == -EAGAIN ? (int)got : r;
}

static inline void full_mb(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Has the index gone past @event on its way from @old to @new? (VIRTIO 1.3, 2.7.10) */
static inline bool need_event(uint16_t event, uint16_t new_idx, uint16_t old)
{
	return (uint16_t)(new_idx - event - 1) < (uint16_t)(new_idx - old);
}

/* Is the slot that of a request popped with the map of now? One comparison. */
static inline bool slot_current(const struct vring_run *run, const struct vring_slot *slot)
{
	return slot->seq - run->map_first < run->seq - run->map_first;
}

/*
 * Where the bytes from @addr on are, if all of them are in the region that is the first
 * to look at. False for what is to be looked at closer, such as no bytes.
 */
static inline __attribute__((always_inline)) bool
guest_bytes(const struct vring_run *run, uint64_t addr, uint32_t len, uint8_t **ret)
{
	const struct guest_span *s;
	uint64_t slot, last;

	/* The index is better read than kept: there are not registers enough for it. */
	barrier();
	slot = (addr - run->index.base) >> run->index.shift;

	/* one comparison at a time is what is quickest here; the second finds no bytes, too */
	if (unlikely(slot >= run->index.n_start))
		return false;
	if (unlikely(__builtin_add_overflow(addr, (uint64_t)len - 1, &last)))
		return false;
	s = &run->index.spans[run->index.start[slot]];
	if (unlikely(addr < s->first))
		return false;
	if (unlikely(last > s->last))
		return false;
	*ret = addr - s->first + s->addr;
	return true;
}

static inline __attribute__((always_inline)) void
iov_set(struct iovec *iov, uint8_t *p, uint32_t len)
{
	iov->iov_base = p;
	iov->iov_len = len;
}

/*
 * A request that has its buffers in its slot: the rest of both. In single stores, which
 * are fewer than it takes to put them together.
 */
static inline __attribute__((always_inline)) void
slot_fill(struct vring_run *run, struct vring_slot *slot, struct vhost_req *req,
	  uint32_t out, uint32_t in, uint32_t out_len, uint32_t in_len, uint32_t n_desc)
{
	slot->in_len = in_len;
	slot->n_out = (uint16_t)out;
	slot->n_desc = (uint16_t)n_desc;
	req->iov = slot->iov;
	WRITE_ONCE(req->out, out);
	WRITE_ONCE(req->in, in);
	WRITE_ONCE(req->out_len, out_len);
	WRITE_ONCE(req->in_len, in_len);
	WRITE_ONCE(req->written, 0);
	req->run = run->id;
}

#endif
