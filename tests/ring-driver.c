/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include <check.h>
#include <endian.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring-driver.h"

static const struct gm_region {
	uint64_t guest, size, user, offset;
} gm_layout[GM_N] = {
	{ GM_LOW, GM_LOW_SIZE, 0x7f0000000000, 0 },
	{ GM_NEXT, GM_NEXT_SIZE, 0x7f0000400000, 0x200000 },
	{ GM_FAR, GM_FAR_SIZE, 0x7f0000000000 + GM_LOW_SIZE, 0x280000 },
	{ GM_HIGH, GM_HIGH_SIZE, 0x10000, 0x380000 },
};

static const struct gm_region *gm_find(uint64_t guest)
{
	unsigned int i;

	for (i = 0; i < GM_N; i++)
		if (guest - gm_layout[i].guest < gm_layout[i].size)
			return &gm_layout[i];
	ck_abort_msg("no guest memory at %#jx", (uintmax_t)guest);
}

static struct guest_region *gm_region_new(int fd, const struct gm_region *r)
{
	struct guest_region_desc desc = { .guest = r->guest, .size = r->size, .user = r->user,
					  .fd_offset = r->offset, .fd = fd };
	struct guest_region *ret;
	const char *why = "";

	ck_assert_msg(guest_region_new(&desc, &ret, &why) == 0, "%s", why);
	return ret;
}

void gm_init(struct guest_mem *gm)
{
	const char *why = "";
	unsigned int i;

	gm->fd = memfd_create("guest", MFD_CLOEXEC);
	ck_assert_int_ge(gm->fd, 0);
	ck_assert_int_eq(ftruncate(gm->fd, GM_FILE_SIZE), 0);
	gm->file = mmap(NULL, GM_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, gm->fd, 0);
	ck_assert_ptr_ne(gm->file, MAP_FAILED);
	for (i = 0; i < GM_N; i++)
		gm->regions[i] = gm_region_new(gm->fd, &gm_layout[i]);
	ck_assert_msg(guest_map_new(gm->regions, GM_N, &gm->map, &why) == 0, "%s", why);
}

void gm_fini(struct guest_mem *gm)
{
	unsigned int i;

	guest_map_unref(gm->map);
	for (i = 0; i < GM_N; i++)
		guest_region_unref(gm->regions[i]);
	munmap(gm->file, GM_FILE_SIZE);
	close(gm->fd);
}

uint8_t *gm_ptr(const struct guest_mem *gm, uint64_t guest)
{
	const struct gm_region *r = gm_find(guest);

	return gm->file + r->offset + (guest - r->guest);
}

uint8_t *gm_device_ptr(const struct guest_mem *gm, uint64_t guest)
{
	const struct gm_region *r = gm_find(guest);

	return gm->regions[r - gm_layout]->addr + (guest - r->guest);
}

uint64_t gm_user(uint64_t guest)
{
	const struct gm_region *r = gm_find(guest);

	return r->user + (guest - r->guest);
}

struct guest_map *gm_map_again(const struct guest_mem *gm, uint64_t without)
{
	struct guest_region *regions[GM_N];
	struct guest_map *map;
	const char *why = "";
	unsigned int i, n = 0;

	for (i = 0; i < GM_N; i++)
		if (gm_layout[i].guest != without)
			regions[n++] = gm_region_new(gm->fd, &gm_layout[i]);
	ck_assert_msg(guest_map_new(regions, n, &map, &why) == 0, "%s", why);
	while (n)
		guest_region_unref(regions[--n]);
	return map;
}

/* ----------------------------------------------------------------- words */

void rd_put16(const struct ring_driver *d, void *p, uint16_t v)
{
	v = d->big_endian ? htobe16(v) : htole16(v);
	memcpy(p, &v, sizeof(v));
}

void rd_put32(const struct ring_driver *d, void *p, uint32_t v)
{
	v = d->big_endian ? htobe32(v) : htole32(v);
	memcpy(p, &v, sizeof(v));
}

void rd_put64(const struct ring_driver *d, void *p, uint64_t v)
{
	v = d->big_endian ? htobe64(v) : htole64(v);
	memcpy(p, &v, sizeof(v));
}

uint16_t rd_get16(const struct ring_driver *d, const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return d->big_endian ? be16toh(v) : le16toh(v);
}

uint32_t rd_get32(const struct ring_driver *d, const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return d->big_endian ? be32toh(v) : le32toh(v);
}

/* Split: len, flags, next; packed: len, id, flags (VIRTIO 1.3, 2.7.5 and 2.8.13). */
void rd_put_desc(const struct ring_driver *d, void *p, uint64_t addr, uint32_t len, uint16_t flags,
		 uint16_t next_or_id)
{
	uint8_t *b = p;

	rd_put64(d, b, addr);
	rd_put32(d, b + 8, len);
	rd_put16(d, b + 12, d->packed ? next_or_id : flags);
	rd_put16(d, b + 14, d->packed ? flags : next_or_id);
}

uint8_t *rd_desc(const struct ring_driver *d, uint32_t i)
{
	return d->desc_p + 16 * (size_t)(i % d->size);
}

uint8_t *rd_avail_entry(const struct ring_driver *d, uint16_t idx)
{
	return d->driver_p + 4 + 2 * (size_t)(idx % d->size);
}

uint8_t *rd_used_entry(const struct ring_driver *d, uint16_t idx)
{
	return d->device_p + 4 + 8 * (size_t)(idx % d->size);
}

void rd_set_avail_idx(const struct ring_driver *d, uint16_t idx)
{
	rd_put16(d, d->driver_p + 2, idx);
}

uint16_t rd_used_idx(const struct ring_driver *d)
{
	return rd_get16(d, d->device_p + 2);
}

uint16_t rd_avail_bits(const struct ring_driver *d, uint32_t n)
{
	bool wrap = d->avail_wrap;

	if (d->avail + n >= d->size)
		wrap = !wrap;
	return wrap ? DESC_F_AVAIL : DESC_F_USED;
}

/* ------------------------------------------------------------------ life */

void rd_init(struct ring_driver *d, struct guest_mem *gm, uint32_t size, uint64_t features)
{
	uint32_t i;

	memset(d, 0, sizeof(*d));
	d->gm = gm;
	d->size = size;
	d->features = features;
	d->packed = features & RING_F_PACKED;
	d->event_idx = features & RING_F_EVENT_IDX;
	d->in_order = features & RING_F_IN_ORDER;
	d->desc = GM_DESC;
	d->driver = GM_DRIVER;
	d->device = GM_DEVICE;
	d->desc_p = gm_ptr(gm, d->desc);
	d->driver_p = gm_ptr(gm, d->driver);
	d->device_p = gm_ptr(gm, d->device);
	memset(d->desc_p, 0, 16 * (size_t)size);
	memset(d->driver_p, 0, 6 + 2 * (size_t)size);
	memset(d->device_p, 0, 6 + 8 * (size_t)size);
	d->avail_wrap = d->used_wrap = true;
	d->n_free = size < RD_MAX ? size : RD_MAX;
	for (i = 0; i < d->n_free; i++)
		d->ids[i] = (uint16_t)i;
}

void rd_set_position(struct ring_driver *d, uint32_t at)
{
	uint32_t i;

	if (!d->packed) {
		d->avail = d->used = (uint16_t)at;
		rd_set_avail_idx(d, d->avail);
		rd_put16(d, d->device_p + 2, d->used);
		if (d->in_order)	/* descriptors in ring order, in step with the entries */
			d->ids_at = at % d->size;
		rd_always_call(d);
		return;
	}
	d->avail = d->used = (uint16_t)(at % d->size);
	d->avail_wrap = d->used_wrap = !(at / d->size & 1);
	/* What went through was used: both bits as the counter was. */
	for (i = 0; i < d->size; i++) {
		bool wrap = i < d->used ? d->used_wrap : !d->used_wrap;

		rd_put16(d, rd_desc(d, i) + 14, wrap ? DESC_F_AVAIL | DESC_F_USED : 0);
	}
	rd_always_call(d);
}

uint32_t rd_base(const struct ring_driver *d)
{
	if (!d->packed)
		return d->avail;
	return d->avail | (uint32_t)d->avail_wrap << 15 | (uint32_t)d->used << 16 |
	       (uint32_t)d->used_wrap << 31;
}

/* ------------------------------------------------------------------- raw */

/* At the driver's place: neither available nor used. */
static uint16_t rd_used_bits(const struct ring_driver *d)
{
	return rd_avail_bits(d, 0) ^ (DESC_F_AVAIL | DESC_F_USED);
}

void rd_write_chain(struct ring_driver *d, uint16_t head, const struct rd_seg *segs,
		    unsigned int n)
{
	unsigned int i;

	for (i = n; i-- > 0; ) {
		uint16_t flags = (uint16_t)(segs[i].flags | (i + 1 < n ? DESC_F_NEXT : 0));

		if (!d->packed)
			rd_put_desc(d, rd_desc(d, head + i), segs[i].addr, segs[i].len, flags,
				    (uint16_t)((head + i + 1) % d->size));
		else	/* all but the first are available from here on */
			rd_put_desc(d, rd_desc(d, d->avail + i), segs[i].addr, segs[i].len,
				    flags | (i ? rd_avail_bits(d, i) : rd_used_bits(d)), head);
	}
}

void rd_offer(struct ring_driver *d, uint16_t head, unsigned int n)
{
	if (!d->packed) {
		rd_put16(d, rd_avail_entry(d, d->avail), head);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		rd_set_avail_idx(d, ++d->avail);
	} else {
		uint8_t *flags = rd_desc(d, d->avail) + 14;
		uint16_t old = rd_get16(d, flags) & (uint16_t)~(DESC_F_AVAIL | DESC_F_USED);

		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		rd_put16(d, flags, old | rd_avail_bits(d, 0));
		d->avail = (uint16_t)(d->avail + n);
		if (d->avail >= d->size) {
			d->avail = (uint16_t)(d->avail - d->size);
			d->avail_wrap = !d->avail_wrap;
		}
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void rd_offer_chain(struct ring_driver *d, uint16_t head, const struct rd_seg *segs,
		    unsigned int n)
{
	rd_write_chain(d, head, segs, n);
	rd_offer(d, head, n);
}

void rd_write_table(const struct ring_driver *d, uint64_t table, const struct rd_seg *segs,
		    unsigned int n)
{
	unsigned int i, j;

	for (i = 0; i < n; i++) {
		uint8_t desc[16];

		/* Packed tables have no NEXT: their length says how long they are. */
		rd_put_desc(d, desc, segs[i].addr, segs[i].len,
			    (uint16_t)(segs[i].flags | (!d->packed && i + 1 < n ? DESC_F_NEXT : 0)),
			    (uint16_t)(!d->packed && i + 1 < n ? i + 1 : 0));
		/* It may lie in two regions. */
		for (j = 0; j < 16; j++)
			*gm_ptr(d->gm, table + 16 * i + j) = desc[j];
	}
}

/* --------------------------------------------------------- in good order */

bool rd_add(struct ring_driver *d, const struct rd_seg *segs, unsigned int n, uint64_t table,
	    uint32_t cookie)
{
	struct rd_seg indirect = { .addr = table, .len = 16 * n, .flags = DESC_F_INDIRECT };
	unsigned int i, need = table ? 1 : n;
	uint32_t room = 0;
	uint16_t head, id;

	ck_assert_uint_le(need, RD_SEGS);
	ck_assert_uint_le(d->size, RD_MAX);
	if (need > d->n_free)
		return false;
	for (i = 0; i < n; i++)
		if (segs[i].flags & DESC_F_WRITE)
			room += segs[i].len;
	if (table) {
		rd_write_table(d, table, segs, n);
		segs = &indirect;
		n = 1;
	}
	head = id = d->ids[d->ids_at % d->size];
	d->req[id].out = true;
	d->req[id].cookie = cookie;
	d->req[id].n = (uint16_t)n;
	d->req[id].room = room;
	d->order[d->n_order++] = id;
	d->n_free -= n;
	if (d->packed) {
		d->ids_at++;
		rd_offer_chain(d, id, segs, n);
		return true;
	}
	for (i = 0; i < n; i++)
		d->req[id].at[i] = d->ids[(d->ids_at + i) % d->size];
	d->ids_at += n;
	for (i = 0; i < n; i++)
		rd_put_desc(d, rd_desc(d, d->req[id].at[i]), segs[i].addr, segs[i].len,
			    (uint16_t)(segs[i].flags | (i + 1 < n ? DESC_F_NEXT : 0)),
			    (uint16_t)(i + 1 < n ? d->req[id].at[i + 1] : 0));
	rd_offer(d, head, n);
	return true;
}

static int violate(struct ring_driver *d, const char *what)
{
	d->violation = what;
	return -1;
}

/* Everything about @id is free again. */
static void rd_done(struct ring_driver *d, uint16_t id, uint32_t *cookie)
{
	uint32_t free_at, i;

	*cookie = d->req[id].cookie;
	d->req[id].out = false;
	for (i = 0; d->order[i] != id; i++)
		;
	memmove(&d->order[i], &d->order[i + 1], (--d->n_order - i) * sizeof(d->order[0]));
	if (d->packed) {
		/* As many ids as descriptors; n_order + 1 of them are out. */
		free_at = d->ids_at + (d->size - d->n_order - 1);
		d->ids[free_at % d->size] = id;
		d->n_free += d->req[id].n;
		return;
	}
	free_at = d->ids_at + d->n_free;
	for (i = 0; i < d->req[id].n; i++)
		d->ids[(free_at + i) % d->size] = d->req[id].at[i];
	d->n_free += d->req[id].n;
}

static void rd_skip_used(struct ring_driver *d, uint32_t descs)
{
	if (!d->packed) {
		d->used++;
		return;
	}
	d->used = (uint16_t)(d->used + descs);
	if (d->used >= d->size) {
		d->used = (uint16_t)(d->used - d->size);
		d->used_wrap = !d->used_wrap;
	}
}

int rd_get(struct ring_driver *d, uint32_t *cookie, uint32_t *len)
{
	uint32_t id = 0, n;

	if (!d->batch) {
		if (!d->packed) {
			uint8_t *e = rd_used_entry(d, d->used);

			n = (uint16_t)(rd_used_idx(d) - d->used);
			if (!n)
				return 0;
			if (n > d->size)
				return violate(d, "a used index that is too far on");
			id = rd_get32(d, e);
			d->batch_len = rd_get32(d, e + 4);
		} else {
			uint8_t *e = rd_desc(d, d->used);
			uint16_t flags = rd_get16(d, e + 14);

			if (!(flags & DESC_F_AVAIL) != !d->used_wrap ||
			    !(flags & DESC_F_USED) != !d->used_wrap)
				return 0;
			id = rd_get16(d, e + 12);
			d->batch_len = rd_get32(d, e + 8);
		}
		if (id >= d->size || id >= RD_MAX || !d->req[id].out)
			return violate(d, "an id that is not outstanding");
		d->batch = 1;
		if (d->in_order)
			while (d->order[d->batch - 1] != id)
				d->batch++;
		if (d->batch_len > d->req[id].room)
			return violate(d, "more bytes than there was room for");
		if (!d->in_order)
			goto out;
		/* A batch in a packed ring has one used descriptor, the first (2.8.8). */
		if (d->packed) {
			uint32_t i, descs = 0;

			for (i = 0; i < d->batch; i++)
				descs += d->req[d->order[i]].n;
			rd_skip_used(d, descs);
		} else {
			d->used = (uint16_t)(d->used + d->batch);
		}
	}
	if (d->in_order) {
		id = d->order[0];
		*len = d->batch == 1 ? d->batch_len : d->req[id].room;
		d->batch--;
		rd_done(d, (uint16_t)id, cookie);
		return 1;
	}
out:
	d->batch = 0;
	*len = d->batch_len;
	rd_skip_used(d, d->req[id].n);
	rd_done(d, (uint16_t)id, cookie);
	return 1;
}

/* --------------------------------------------------------- notifications */

/* Is @at one of the @n places before @now, in a ring that has @places of them? */
static bool rd_passed(uint32_t now, uint32_t at, uint32_t n, uint32_t places)
{
	uint32_t ago = (now + places - at) % places;

	return ago >= 1 && ago <= n;
}

bool rd_needs_kick(const struct ring_driver *d, uint32_t n)
{
	uint16_t at, flags;

	if (!d->packed) {
		if (!d->event_idx)
			return !(rd_get16(d, d->device_p) & 1);
		at = rd_get16(d, d->device_p + 4 + 8 * (size_t)d->size);
		return rd_passed(d->avail, at, n, 65536);
	}
	at = rd_get16(d, d->device_p);
	flags = rd_get16(d, d->device_p + 2);
	if (flags != 2)
		return flags == 0;
	return rd_passed(d->avail + (d->avail_wrap ? 0 : d->size),
			 (at & 0x7fffu) + (at >> 15 ? 0 : d->size), n, 2 * d->size);
}

void rd_never_call(struct ring_driver *d)
{
	if (d->packed)
		rd_put16(d, d->driver_p + 2, 1);
	else if (d->event_idx)	/* the place that is the furthest away */
		rd_put16(d, d->driver_p + 4 + 2 * (size_t)d->size, (uint16_t)(rd_used_idx(d) - 1));
	else
		rd_put16(d, d->driver_p, 1);
}

void rd_always_call(struct ring_driver *d)
{
	if (d->packed)
		rd_put16(d, d->driver_p + 2, 0);
	else if (d->event_idx)
		rd_put16(d, d->driver_p + 4 + 2 * (size_t)d->size, d->used);
	else
		rd_put16(d, d->driver_p, 0);
}

void rd_call_at(struct ring_driver *d, uint16_t at)
{
	if (!d->packed) {
		rd_put16(d, d->driver_p + 4 + 2 * (size_t)d->size, at);
		return;
	}
	rd_put16(d, d->driver_p, at);
	rd_put16(d, d->driver_p + 2, 2);
}

/* ---------------------------------------------------------------- device */

struct vring_config rd_config(const struct ring_driver *d, const struct vring_memory *mem)
{
	struct vring_areas areas = { d->desc, d->driver, d->device };
	struct vring_config config = { .size = d->size, .features = d->features,
				       .base = rd_base(d), .big_endian = d->big_endian,
				       .device_guest = d->device, .id = 1, .notify = true };
	struct vring_miss miss = { .waiting = false };
	char why[160] = "";
	void *p[3];

	if (mem->iotlb) {
		areas.desc = gm_user(d->desc);
		areas.driver = gm_user(d->driver);
		areas.device = gm_user(d->device);
	}
	ck_assert_msg(vring_find_areas(mem, mem->iotlb ? VRING_ADDRESS_USER : VRING_ADDRESS_GUEST,
				       &areas, d->size, d->features, p, &miss, why,
				       sizeof(why)) == 0, "%s", why);
	config.desc = p[0];
	config.driver = p[1];
	config.device = p[2];
	return config;
}

struct vring_run *rd_start(const struct ring_driver *d)
{
	struct vring_memory mem = { .map = d->gm->map };
	struct vring_config config = rd_config(d, &mem);
	struct vring_run *run;
	char why[160] = "";

	ck_assert_msg(vring_run_new(&config, &mem, &run, why, sizeof(why)) == 0, "%s", why);
	return run;
}
