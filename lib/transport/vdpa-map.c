/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * What a vDPA device can reach: entries of its IOTLB, which are kept here as well, since
 * a reset may take them from the device, and since the kernel tells nobody why it did
 * not take one.
 */
#include "transport/vdpa.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

/* ---------------------------------------------------------------------- batches */

int vdpa_batch_flush(struct vhost_vdpa *v)
{
	struct kv_iotlb end = { .type = KV_IOTLB_BATCH_END };
	int r;

	if (!v->batch_open)
		return 0;
	v->batch_open = false;
	r = kdev_send_iotlb(&v->k, v->batch_asid, &end);
	return r < 0 ? dev_fail(&v->k.dev, r, VHOST_ERR_OTHER,
				"the device does not take its new memory map: %s",
				strerror(-r)) : 0;
}

static int send(struct vhost_vdpa *v, uint8_t type, const struct vdpa_map *map)
{
	struct kv_iotlb m = { .type = type };
	int r = 0;

	/* a batch is of one address space */
	if (v->batch_open && v->batch_asid != map->asid)
		r = vdpa_batch_flush(v);
	if (!r && v->in_batch && !v->batch_open && has_bf(&v->k, KV_BF_IOTLB_BATCH)) {
		struct kv_iotlb begin = { .type = KV_IOTLB_BATCH_BEGIN };

		r = kdev_send_iotlb(&v->k, map->asid, &begin);
		v->batch_open = !r;
		v->batch_asid = map->asid;
	}
	if (r < 0)
		return r;
	m.iova = map->iova;
	m.size = map->size;
	if (type == KV_IOTLB_UPDATE) {
		m.user_addr = map->addr;
		m.perm = map->perm;
	}
	return kdev_send_iotlb(&v->k, map->asid, &m);
}

void vdpa_batch_begin(struct vhost_vdpa *v)
{
	v->in_batch++;
}

int vdpa_batch_end(struct vhost_vdpa *v)
{
	return --v->in_batch ? 0 : vdpa_batch_flush(v);
}

/* ------------------------------------------------------------------ the entries */

/* The first entry of @asid that ends at @iova or after it, or what follows them. */
static unsigned int lower_bound(const struct vhost_vdpa *v, uint32_t asid, uint64_t iova)
{
	unsigned int lo = 0, hi = v->n_maps;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;
		const struct vdpa_map *m = &v->maps[mid];

		if (m->asid > asid || (m->asid == asid && m->iova + (m->size - 1) >= iova))
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static bool entry_at(const struct vhost_vdpa *v, unsigned int i, uint32_t asid, uint64_t last)
{
	return i < v->n_maps && v->maps[i].asid == asid && v->maps[i].iova <= last;
}

bool vdpa_taken(const struct vhost_dev *dev, uint64_t iova, uint64_t last, uint64_t *ret_last)
{
	const struct vhost_vdpa *v = to_vdpa_const(dev);
	unsigned int i;

	for (i = 0; i < v->n_maps; i++) {
		const struct vdpa_map *m = &v->maps[i];

		if (ranges_meet(m->iova, m->size, iova, last - iova + 1)) {
			*ret_last = m->iova + (m->size - 1);
			return true;
		}
	}
	return false;
}

bool vdpa_is_mapped(const struct vhost_vdpa *v, uint32_t asid, uint64_t iova, uint64_t size)
{
	uint64_t last = iova + (size - 1);
	unsigned int i = lower_bound(v, asid, iova);

	for (; entry_at(v, i, asid, iova); i++) {
		uint64_t end = v->maps[i].iova + (v->maps[i].size - 1);

		if (end >= last)
			return true;
		iova = end + 1;
	}
	return false;
}

uint64_t vdpa_address(const struct vhost_vdpa *v, uint32_t asid, uint64_t iova, uint64_t size)
{
	unsigned int i = lower_bound(v, asid, iova);

	if (!entry_at(v, i, asid, iova) ||
	    !range_within(iova - v->maps[i].iova, size, v->maps[i].size))
		return 0;
	return v->maps[i].addr + (iova - v->maps[i].iova);
}

bool vdpa_leads_to(const struct vhost_vdpa *v, uint64_t iova, uint64_t size, uint64_t region)
{
	unsigned int i;

	for (i = 0; i < v->n_maps; i++)
		if (v->maps[i].region == region &&
		    ranges_meet(v->maps[i].iova, v->maps[i].size, iova, size))
			return true;
	return false;
}

/* Bytes of this process that are pinned: the kernel's VmPin, in KiB. */
static uint64_t pinned(void)
{
	uint64_t kib = 0;
	char line[128];
	FILE *f = fopen("/proc/self/status", "re");

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmPin: %" SCNu64, &kib) == 1)
			break;
	fclose(f);
	return kib * 1024;
}

/* For whatever is wrong the kernel says EFAULT: find out what it was. */
static int map_failed(struct vhost_vdpa *v, const struct vdpa_map *map, int r)
{
	struct vhost_dev *dev = &v->k.dev;
	unsigned long long iova = map->iova, size = map->size;
	struct rlimit limit;
	uint64_t has, would;

	if ((r == -EFAULT || r == -ENOMEM) && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
	    limit.rlim_cur != RLIM_INFINITY && getpid() == v->k.owner) {
		has = pinned();
		if (!range_end(has, map->size, &would) || would > limit.rlim_cur)
			return dev_fail(dev, -ENOMEM, VHOST_ERR_MEMLOCK,
					"the device pins its memory, and the limit on that is too low: "
					"RLIMIT_MEMLOCK is %llu KiB, %llu KiB are pinned, and the "
					"memory at 0x%llx needs %llu KiB more (ulimit -l, LimitMEMLOCK=)",
					(unsigned long long)limit.rlim_cur / 1024,
					(unsigned long long)has / 1024, iova, size / 1024);
	}
	return kdev_iotlb_fail(&v->k, r, "mapping memory", iova, size);
}

static int make_room(struct vhost_vdpa *v, unsigned int n)
{
	unsigned int room = v->maps_room ? v->maps_room * 2 : 16;
	struct vdpa_map *more;

	if (v->n_maps + n <= v->maps_room)
		return 0;
	more = realloc(v->maps, room * sizeof(*more));
	if (!more)
		return dev_fail(&v->k.dev, -ENOMEM, VHOST_ERR_OTHER, "out of memory");
	v->maps = more;
	v->maps_room = room;
	return 0;
}

static void insert(struct vhost_vdpa *v, const struct vdpa_map *map)
{
	unsigned int i = lower_bound(v, map->asid, map->iova);

	memmove(&v->maps[i + 1], &v->maps[i], (v->n_maps - i) * sizeof(*v->maps));
	v->maps[i] = *map;
	v->n_maps++;
}

int vdpa_map(struct vhost_vdpa *v, const struct vdpa_map *map)
{
	struct vhost_dev *dev = &v->k.dev;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t last = map->iova + (map->size - 1);
	int r;

	if ((map->iova | map->size | map->addr) % page)
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"the memory at 0x%llx, %llu bytes, is not whole pages of %u bytes",
				(unsigned long long)map->iova, (unsigned long long)map->size,
				(unsigned int)page);
	if (map->iova < v->range.first || last > v->range.last)
		return dev_fail(dev, -EINVAL, VHOST_ERR_LIMIT,
				"the memory at 0x%llx, %llu bytes, is outside of the addresses that "
				"the device can use (0x%llx to 0x%llx)",
				(unsigned long long)map->iova, (unsigned long long)map->size,
				(unsigned long long)v->range.first, (unsigned long long)v->range.last);
	if (entry_at(v, lower_bound(v, map->asid, map->iova), map->asid, last))
		return dev_fail(dev, -EEXIST, VHOST_ERR_ARGUMENT,
				"the memory at 0x%llx, %llu bytes, overlaps what address space %u has "
				"already", (unsigned long long)map->iova,
				(unsigned long long)map->size, map->asid);
	r = make_room(v, 1);
	if (r < 0)
		return r;
	r = send(v, KV_IOTLB_UPDATE, map);
	if (r < 0)
		return map_failed(v, map, r);
	insert(v, map);
	return 0;
}

/* Take one entry back whole, since that is what the kernel does with any part of it. */
static int take_back(struct vhost_vdpa *v, unsigned int i)
{
	struct vdpa_map map = v->maps[i];
	int r = send(v, KV_IOTLB_INVALIDATE, &map);

	if (r < 0)
		return kdev_iotlb_fail(&v->k, r, "unmapping memory", map.iova, map.size);
	v->n_maps--;
	memmove(&v->maps[i], &v->maps[i + 1], (v->n_maps - i) * sizeof(*v->maps));
	return 0;
}

int vdpa_unmap(struct vhost_vdpa *v, uint32_t asid, uint64_t iova, uint64_t last)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	int end, r = make_room(v, 2);
	unsigned int i;

	/* pages are what can be taken back: all that are touched */
	iova -= iova % page;
	last |= page - 1;
	i = lower_bound(v, asid, iova);
	vdpa_batch_begin(v);
	while (!r && entry_at(v, i, asid, last)) {
		struct vdpa_map whole = v->maps[i], part;

		r = take_back(v, i);
		if (!r && whole.iova < iova) {
			part = whole;
			part.size = iova - whole.iova;
			r = vdpa_map(v, &part);
			i++;
		}
		if (!r && whole.iova + (whole.size - 1) > last) {
			part = whole;
			part.iova = last + 1;
			part.addr += part.iova - whole.iova;
			part.size -= part.iova - whole.iova;
			r = vdpa_map(v, &part);
			break;
		}
	}
	end = vdpa_batch_end(v);
	return r ? r : end;
}

int vdpa_unmap_region(struct vhost_vdpa *v, uint64_t region)
{
	unsigned int i = 0;
	int end, r = 0;

	vdpa_batch_begin(v);
	while (!r && i < v->n_maps) {
		if (v->maps[i].region == region)
			r = take_back(v, i);
		else
			i++;
	}
	end = vdpa_batch_end(v);
	return r ? r : end;
}

/*
 * The kernel has the entries still, and would take no other in their place; the device
 * behind it has none. So each goes away and comes back.
 */
int vdpa_remap(struct vhost_vdpa *v)
{
	unsigned int i;
	int end, r = 0;

	vdpa_batch_begin(v);
	for (i = 0; !r && i < v->n_maps; i++) {
		r = send(v, KV_IOTLB_INVALIDATE, &v->maps[i]);
		if (r < 0)
			r = kdev_iotlb_fail(&v->k, r, "unmapping memory", v->maps[i].iova,
					    v->maps[i].size);
	}
	for (i = 0; !r && i < v->n_maps; i++) {
		r = send(v, KV_IOTLB_UPDATE, &v->maps[i]);
		if (r < 0)
			r = map_failed(v, &v->maps[i], r);
	}
	end = vdpa_batch_end(v);
	return r ? r : end;
}
