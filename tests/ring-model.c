/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include <endian.h>
#include <string.h>

#include "ring-model.h"

#define NEXT 1
#define WRITE 2
#define INDIRECT 4

static uint16_t get16(const unsigned char *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return le16toh(v);
}

static uint32_t get32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return le32toh(v);
}

static uint64_t get64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return le64toh(v);
}

static void put16(unsigned char *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, 2);
}

static void put32(unsigned char *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, 4);
}

/* Split: flags at 0, idx at 2, entries from 4, the other side's event after them. */
static unsigned char *avail_entry(struct model *m, uint16_t idx)
{
	return m->driver + 4 + 2 * (idx % m->size);
}

static unsigned char *used_entry(struct model *m, uint16_t idx)
{
	return m->device + 4 + 8 * (idx % m->size);
}

void model_init(struct model *m, vhost_mem_t *mem, const struct vhost_virtq_layout *l,
		uint64_t features)
{
	memset(m, 0, sizeof(*m));
	m->mem = mem;
	m->size = l->size;
	m->packed = features >> 34 & 1;
	m->event_idx = features >> 29 & 1;
	m->in_order = features >> 35 & 1;
	m->desc = vhost_mem_from_iova(mem, l->desc, l->size * 16);
	m->driver = vhost_mem_from_iova(mem, l->driver, m->packed ? 4 : 6 + l->size * 2);
	m->device = vhost_mem_from_iova(mem, l->device, m->packed ? 4 : 6 + l->size * 8);
	if (m->packed) {
		m->avail = l->base & 0x7fff;
		m->avail_wrap = l->base >> 15 & 1;
		m->used = l->base >> 16 & 0x7fff;
		m->used_wrap = l->base >> 31 & 1;
	} else {
		m->avail = (uint16_t)l->base;
		m->used = get16(m->device + 2);
	}
	model_want_kick(m, true);
}

static int violate(struct model *m, const char *what)
{
	m->violation = what;
	return -1;
}

static int add_seg(struct model *m, struct model_req *req, uint64_t addr, uint32_t len, bool write)
{
	if (req->n_segs == MODEL_SEGS)
		return violate(m, "too many buffers");
	if (!len)
		return violate(m, "an empty buffer");
	if (!write && req->n_segs && req->segs[req->n_segs - 1].write)
		return violate(m, "a readable buffer after a writable one");
	req->segs[req->n_segs].addr = addr;
	req->segs[req->n_segs].len = len;
	req->segs[req->n_segs++].write = write;
	return 0;
}

static int walk_table(struct model *m, struct model_req *req, uint64_t addr, uint32_t len)
{
	uint32_t n = len / 16, i = 0, seen = 0;
	unsigned char *table = vhost_mem_from_iova(m->mem, addr, len);

	req->indirect = true;
	if (!table || !len || len % 16)
		return violate(m, "an indirect table of a bad place or size");
	for (;;) {
		const unsigned char *d = table + 16 * i;
		uint16_t flags = get16(d + (m->packed ? 14 : 12));

		if (flags & (m->packed ? (unsigned int)~WRITE & 0xffff : INDIRECT))
			return violate(m, "a flag that has no place in an indirect table");
		if (add_seg(m, req, get64(d), get32(d + 8), flags & WRITE))
			return -1;
		seen++;
		if (m->packed) {
			if (++i == n)
				return 0;
		} else {
			if (!(flags & NEXT))
				return seen == n ? 0 : violate(m, "a table with entries left over");
			i = get16(d + 14);
			if (i >= n || seen >= n)
				return violate(m, "a chain that leaves its table");
		}
	}
}

static int pop_split(struct model *m, struct model_req *req)
{
	uint16_t idx = get16(m->driver + 2), i;

	if (idx == m->avail)
		return 0;
	if ((uint16_t)(idx - m->avail) > m->size)
		return violate(m, "more available entries than the ring has");
	req->id = i = get16(avail_entry(m, m->avail));
	for (;;) {
		const unsigned char *d = m->desc + 16 * i;
		uint16_t flags;

		if (i >= m->size || req->n_desc >= m->size)
			return violate(m, "a chain that leaves the ring or loops");
		flags = get16(d + 12);
		req->n_desc++;
		if (flags & INDIRECT) {
			if (flags & NEXT || req->n_desc > 1)
				return violate(m, "an indirect descriptor in a chain");
			if (walk_table(m, req, get64(d), get32(d + 8)))
				return -1;
		} else if (add_seg(m, req, get64(d), get32(d + 8), flags & WRITE)) {
			return -1;
		}
		if (!(flags & NEXT))
			break;
		/* 2.7.9: in order means that descriptors are used in ring order, too. */
		if (m->in_order && get16(d + 14) != (i + 1) % m->size)
			return violate(m, "IN_ORDER, but not in ring order");
		i = get16(d + 14);
	}
	m->avail++;
	return 1;
}

static bool packed_avail(const struct model *m, uint32_t pos, bool wrap)
{
	uint16_t flags = get16(m->desc + 16 * pos + 14);

	return (flags >> 7 & 1) == wrap && (flags >> 15 & 1) != wrap;
}

static int pop_packed(struct model *m, struct model_req *req)
{
	uint32_t pos = m->avail;
	bool wrap = m->avail_wrap;

	if (!packed_avail(m, pos, wrap))
		return 0;
	for (;;) {
		const unsigned char *d = m->desc + 16 * pos;
		uint16_t flags = get16(d + 14);

		if (!packed_avail(m, pos, wrap))
			return violate(m, "a chain whose rest is not available");
		if (++req->n_desc > m->size)
			return violate(m, "a chain longer than the ring");
		if (flags & ~(NEXT | WRITE | INDIRECT | 1u << 7 | 1u << 15))
			return violate(m, "an unknown flag");
		req->id = get16(d + 12);	/* of the last one in the list */
		if (flags & INDIRECT) {
			if (flags & NEXT || req->n_desc > 1)
				return violate(m, "an indirect descriptor in a chain");
			if (walk_table(m, req, get64(d), get32(d + 8)))
				return -1;
		} else if (add_seg(m, req, get64(d), get32(d + 8), flags & WRITE)) {
			return -1;
		}
		if (++pos == m->size) {
			pos = 0;
			wrap = !wrap;
		}
		if (!(flags & NEXT))
			break;
	}
	if (req->id >= m->size)
		return violate(m, "a buffer id beyond the ring");
	m->avail = (uint16_t)pos;
	m->avail_wrap = wrap;
	return 1;
}

int model_pop(struct model *m, struct model_req *req)
{
	int r;

	memset(req, 0, sizeof(*req));
	r = m->packed ? pop_packed(m, req) : pop_split(m, req);
	if (r == 0)
		model_want_kick(m, true);	/* about to sleep */
	return r;
}

void model_want_kick(struct model *m, bool want)
{
	if (!m->packed) {
		if (m->event_idx)
			put16(m->device + 4 + 8 * m->size, (uint16_t)(want ? m->avail : m->avail - 1));
		else
			put16(m->device, want ? 0 : 1);
		return;
	}
	if (want && m->event_idx) {
		put16(m->device, (uint16_t)(m->avail | m->avail_wrap << 15));
		put16(m->device + 2, 2);
	} else {
		put16(m->device + 2, want ? 0 : 1);
	}
}

void model_write_used(struct model *m, uint32_t id, uint32_t len)
{
	unsigned char *p;

	if (!m->packed) {
		p = used_entry(m, m->used);
		put32(p, id);
		put32(p + 4, len);
		return;
	}
	p = m->desc + 16 * m->used;
	put32(p + 8, len);
	put16(p + 12, (uint16_t)id);
	put16(p + 14, m->used_wrap ? 1u << 7 | 1u << 15 : 0);
}

void model_bump_used_idx(struct model *m, uint16_t by)
{
	put16(m->device + 2, (uint16_t)(get16(m->device + 2) + by));
}

static void skip_used(struct model *m, uint32_t n)
{
	m->used_since += n;
	m->used = (uint16_t)(m->used + n);
	if (!m->packed) {
		put16(m->device + 2, m->used);
	} else if (m->used >= m->size) {
		m->used = (uint16_t)(m->used - m->size);
		m->used_wrap = !m->used_wrap;
	}
}

void model_push(struct model *m, const struct model_req *req, uint32_t len)
{
	model_push_batch(m, &req, 1, len);
}

void model_push_batch(struct model *m, const struct model_req *const *reqs, unsigned int n,
		      uint32_t len)
{
	uint32_t descs = 0;
	unsigned int i;

	for (i = 0; i < n; i++)
		descs += reqs[i]->n_desc;
	model_write_used(m, reqs[n - 1]->id, len);
	skip_used(m, m->packed ? descs : n);
}

/* "new_idx - event - 1 < new_idx - old_idx", over the distance rather than the index. */
bool model_should_call(struct model *m)
{
	uint32_t since = m->used_since, ago;

	m->used_since = 0;
	if (!since)
		return false;
	if (!m->packed) {
		if (!m->event_idx)
			return !(get16(m->driver) & 1);
		ago = (uint16_t)(m->used - get16(m->driver + 4 + 2 * m->size));
		return ago >= 1 && ago <= since;
	}
	if (get16(m->driver + 2) != 2)
		return get16(m->driver + 2) == 0;
	ago = get16(m->driver);
	{
		int64_t here = m->used + (m->used_wrap ? 0 : m->size);
		int64_t event = (ago & 0x7fff) + (ago >> 15 ? 0 : m->size);
		int64_t distance = here - event;

		while (distance < 0)
			distance += 2 * (int64_t)m->size;
		return distance >= 1 && distance <= since;
	}
}
