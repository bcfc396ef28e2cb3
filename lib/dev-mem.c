/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The memory that a device can reach, and its translations. */
#include "transport/transport.h"

static int desc_check(struct vhost_dev *dev, const struct vhost_mem_desc *desc,
		      struct mem_vmas *vmas)
{
	uint64_t shared = 0, first = 0, last = UINT64_MAX;
	unsigned int needs = dev->ops->mem_needs;
	const char *why = NULL;
	int r;

	if (desc->flags & ~(VHOST_MEM_READONLY | VHOST_MEM_UNMAPPED))
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"the memory at 0x%llx has flags that are not known: 0x%x",
				(unsigned long long)desc->iova, desc->flags);
	dev->ops->get_cap(dev, VHOST_CAP_MEM_NEEDS_SHARED, &shared);
	if (!shared)
		needs &= ~MEM_NEEDS_SHARED;
	if (desc->flags & VHOST_MEM_UNMAPPED)
		needs &= ~MEM_NEEDS_PAGES;
	dev->ops->get_cap(dev, VHOST_CAP_IOVA_FIRST, &first);
	dev->ops->get_cap(dev, VHOST_CAP_IOVA_LAST, &last);
	r = mem_desc_check(desc, needs, vmas, &why);
	if (r < 0)
		return dev_fail(dev, r, strstr(why, "shared") || strstr(why, "privately") ?
					VHOST_ERR_MEM_NOT_SHARED : VHOST_ERR_ARGUMENT,
				"the memory at 0x%llx, %llu bytes, cannot be used: %s",
				(unsigned long long)desc->iova, (unsigned long long)desc->size, why);
	/* what only a translation leads to may stand anywhere */
	if (dev->ops->maps_memory && desc->flags & VHOST_MEM_UNMAPPED)
		return 0;
	if (desc->iova < first || desc->iova + (desc->size - 1) > last)
		return dev_fail(dev, -EINVAL, VHOST_ERR_LIMIT,
				"the memory at 0x%llx, %llu bytes, is outside of the addresses that "
				"the device can use (0x%llx to 0x%llx)",
				(unsigned long long)desc->iova, (unsigned long long)desc->size,
				(unsigned long long)first, (unsigned long long)last);
	return 0;
}

/* The device writes to the log wherever it writes to memory. */
static int beyond_log(struct vhost_dev *dev, const struct vhost_mem_desc *desc)
{
	uint64_t logged = vhost_dev_log_get_size(dev);

	if (dev->rec.log.map && !range_within(desc->iova, desc->size, logged))
		return dev_fail(dev, -EINVAL, VHOST_ERR_STATE,
				"the memory at 0x%llx, %llu bytes, is not below 0x%llx, where the log "
				"of dirty pages ends", (unsigned long long)desc->iova,
				(unsigned long long)desc->size, (unsigned long long)logged);
	return 0;
}

static int too_many(struct vhost_dev *dev, unsigned int n)
{
	uint64_t most = 0;

	dev->ops->get_cap(dev, VHOST_CAP_MAX_MEM_REGIONS, &most);
	if (n > most)
		return dev_fail(dev, -ENOSPC, VHOST_ERR_LIMIT,
				"%u memory regions are more than the %u that the device takes%s%s", n,
				(unsigned int)most, dev->ops->mem_limit ? ": " : "",
				dev->ops->mem_limit ? dev->ops->mem_limit : "");
	return 0;
}

static int map_add(struct vhost_dev *dev, struct mem_map *map, const struct vhost_mem_desc *desc,
		   struct mem_region **ret)
{
	int r = mem_map_add(map, desc, ret);

	if (r == -EEXIST)
		return dev_fail(dev, r, VHOST_ERR_ARGUMENT,
				"the memory at 0x%llx, %llu bytes, overlaps a region that is there "
				"already", (unsigned long long)desc->iova,
				(unsigned long long)desc->size);
	if (r < 0)
		return dev_fail(dev, r, VHOST_ERR_OTHER, "the memory at 0x%llx: %s",
				(unsigned long long)desc->iova, strerror(-r));
	return 0;
}

static void settle_add(struct vhost_dev *dev, struct vhost_op *op)
{
	struct mem_region *region, taken;

	if (op->status == 0)
		return;
	region = mem_map_find_exact(&dev->rec.map, op->a, op->b);
	if (!region)
		return;
	taken = mem_map_take(&dev->rec.map, region);
	mem_region_drop(&taken);
}

static int mem_add(struct vhost_dev *dev, const struct vhost_mem_desc *desc)
{
	struct vhost_op stack, *op;
	struct mem_region *region;
	int r = too_many(dev, dev->rec.map.n + 1);

	if (!r)
		r = beyond_log(dev, desc);
	if (r < 0)
		return r;
	r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	r = map_add(dev, &dev->rec.map, desc, &region);
	if (r < 0)
		return op_end(dev, op, r);
	op->a = desc->iova;
	op->b = desc->size;
	op->settle = settle_add;
	return op_end(dev, op, vhost_call(dev, mem_add, op, region));
}

VHOST_EXPORT int vhost_dev_mem_add(vhost_dev_t *dev, const struct vhost_mem_desc *desc,
				   size_t size)
{
	struct mem_vmas vmas = { 0 };
	struct vhost_mem_desc d;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	r = copy_sized(&d, sizeof(d), desc, size);
	if (r < 0)
		return dev_fail(dev, r, VHOST_ERR_ARGUMENT,
				"the memory is described by a newer libvhost's struct");
	r = desc_check(dev, &d, &vmas);
	mem_vmas_clear(&vmas);
	return r < 0 ? r : mem_add(dev, &d);
}

VHOST_EXPORT int vhost_dev_mem_add_mem(vhost_dev_t *dev, vhost_mem_t *mem)
{
	struct vhost_mem_desc desc;

	vhost_mem_describe(mem, &desc, sizeof(desc));
	return vhost_dev_mem_add(dev, &desc, sizeof(desc));
}

static bool has_rings_of(struct vhost_dev *dev, const struct mem_region *region,
			 unsigned int index)
{
	const struct vhost_vq *vq = &dev->rec.vqs[index];
	uint64_t at[3] = { vq->config.desc, vq->config.driver, vq->config.device };
	unsigned int a;

	if (!vq->set_up)
		return false;
	/* the rings are where the IOTLB says */
	if (record_has(&dev->rec, VIRTIO_BIT_ACCESS_PLATFORM) || dev->ops->maps_memory)
		return dev->ops->rings_in && dev->ops->rings_in(dev, index, region);
	for (a = 0; vq->running && a < 3; a++)
		if (range_within(at[a] - region->iova, 1, region->size))
			return true;
	return false;
}

/* Does a queue that runs have a ring in it? */
static int refuse_in_use(struct vhost_dev *dev, const struct mem_region *region)
{
	unsigned int i;

	for (i = 0; i < dev->rec.n_vqs; i++)
		if (has_rings_of(dev, region, i))
			return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
					"the memory at 0x%llx has the rings of queue %u, which runs",
					(unsigned long long)region->iova, i);
	return 0;
}

static void settle_remove(struct vhost_dev *dev, struct vhost_op *op)
{
	if (op->status < 0 && dev->rec.map.n < dev->rec.map.room)
		mem_map_put(&dev->rec.map, &op->region);
	else
		mem_region_drop(&op->region);
}

static int mem_remove(struct vhost_dev *dev, struct mem_region *region)
{
	struct vhost_op stack, *op;
	int r = op_begin(dev, &stack, &op);

	if (r < 0)
		return r;
	op->region = mem_map_take(&dev->rec.map, region);
	op->settle = settle_remove;
	return op_end(dev, op, vhost_call(dev, mem_remove, op, &op->region));
}

VHOST_EXPORT int vhost_dev_mem_remove(vhost_dev_t *dev, uint64_t iova, uint64_t size)
{
	struct mem_region *region;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	region = mem_map_find_exact(&dev->rec.map, iova, size);
	if (!region)
		return dev_fail(dev, -ENOENT, VHOST_ERR_ARGUMENT,
				"the device has no memory region of %llu bytes at 0x%llx",
				(unsigned long long)size, (unsigned long long)iova);
	r = refuse_in_use(dev, region);
	return r < 0 ? r : mem_remove(dev, region);
}

static bool same_region(const struct mem_region *a, const struct mem_region *b)
{
	return a->iova == b->iova && a->size == b->size && a->addr == b->addr &&
	       a->fd_offset == b->fd_offset && a->flags == b->flags &&
	       a->xen_flags == b->xen_flags && a->xen_domid == b->xen_domid &&
	       mem_same_file(a->fd, b->fd);
}

static void settle_set(struct vhost_dev *dev, struct vhost_op *op)
{
	if (op->status < 0) {
		mem_map_clear(&dev->rec.map);
		dev->rec.map = op->old_map;
	} else {
		mem_map_clear(&op->old_map);
	}
}

/* The whole table at once. */
static int set_table(struct vhost_dev *dev, struct mem_map *map)
{
	struct vhost_op stack, *op;
	int r = op_begin(dev, &stack, &op);

	if (r < 0) {
		mem_map_clear(map);
		return r;
	}
	op->old_map = dev->rec.map;
	dev->rec.map = *map;
	op->settle = settle_set;
	return op_end(dev, op, vhost_call(dev, mem_set, op));
}

/* What is no longer there goes first, so that there is room for what is new. */
static int set_by_difference(struct vhost_dev *dev, struct mem_map *map)
{
	unsigned int i;
	int end = 0, r = 0;

	if (dev->ops->batch_begin)
		dev->ops->batch_begin(dev);
	for (i = 0; !r && i < dev->rec.map.n;) {
		struct mem_region *old = &dev->rec.map.regions[i], *new;

		new = mem_map_find_exact(map, old->iova, old->size);
		if (new && same_region(old, new)) {
			i++;
			continue;
		}
		r = mem_remove(dev, old);
	}
	for (i = 0; !r && i < map->n; i++) {
		const struct mem_region *new = &map->regions[i];
		struct vhost_mem_desc desc = {
			.iova = new->iova, .size = new->size, .addr = new->addr, .fd = new->fd,
			.flags = new->flags, .fd_offset = new->fd_offset,
			.xen_flags = new->xen_flags, .xen_domid = new->xen_domid,
		};

		if (!mem_map_find_exact(&dev->rec.map, new->iova, new->size))
			r = mem_add(dev, &desc);
	}
	if (dev->ops->batch_end)
		end = dev->ops->batch_end(dev);
	mem_map_clear(map);
	return r ? r : end;
}

VHOST_EXPORT int vhost_dev_mem_set(vhost_dev_t *dev, const struct vhost_mem_desc *descs,
				   unsigned int n, size_t size)
{
	_hold_(dev);
	struct mem_map map = { .next_user_addr = dev->rec.map.next_user_addr };
	struct mem_vmas vmas = { 0 };
	struct mem_region *region;
	uint64_t hotplug = 0;
	unsigned int i;
	int r = dev_ready(dev);

	if (!r)
		r = too_many(dev, n);
	for (i = 0; !r && i < n; i++) {
		struct vhost_mem_desc d;

		r = copy_sized(&d, sizeof(d), (const uint8_t *)descs + i * size, size);
		if (!r)
			r = desc_check(dev, &d, &vmas);
		if (!r)
			r = beyond_log(dev, &d);
		if (!r)
			r = map_add(dev, &map, &d, &region);
	}
	mem_vmas_clear(&vmas);
	for (i = 0; !r && i < dev->rec.map.n; i++) {
		const struct mem_region *old = &dev->rec.map.regions[i], *new;

		new = mem_map_find_exact(&map, old->iova, old->size);
		if (!new || !same_region(old, new))
			r = refuse_in_use(dev, old);
	}
	if (r < 0) {
		mem_map_clear(&map);
		return r;
	}
	dev->ops->get_cap(dev, VHOST_CAP_MEM_HOTPLUG, &hotplug);
	return hotplug ? set_by_difference(dev, &map) : set_table(dev, &map);
}

/* ------------------------------------------------------------- free addresses */

/* Where x86 has its interrupts written: an IOMMU cannot map it. */
#define MSI_FIRST 0xfee00000ull
#define MSI_LAST 0xfeefffffull
#define ABOVE_32_BITS ((uint64_t)1 << 32)

static bool taken(const void *opaque, uint64_t first, uint64_t last, uint64_t *ret_last)
{
	const struct vhost_dev *dev = opaque;
	const struct mem_region *region = mem_map_first(&dev->rec.map, first, last);

	if (region) {
		*ret_last = region->iova + (region->size - 1);
		return true;
	}
	if (first <= MSI_LAST && last >= MSI_FIRST) {
		*ret_last = MSI_LAST;
		return true;
	}
	return iova_set_taken(&dev->iovas, first, last, ret_last) ||
	       (dev->ops->iova_taken && dev->ops->iova_taken(dev, first, last, ret_last));
}

VHOST_EXPORT int vhost_dev_iova_alloc(vhost_dev_t *dev, uint64_t size, uint64_t align,
				      uint64_t *ret)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), first = 0, last = UINT64_MAX, iova;
	uint64_t rounded = (size + page - 1) & ~(page - 1);
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	if (!size || rounded < size || align & (align - 1))
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"%llu bytes of addresses, aligned to %llu, cannot be had",
				(unsigned long long)size, (unsigned long long)align);
	if (align < page)
		align = page;
	dev->ops->get_cap(dev, VHOST_CAP_IOVA_FIRST, &first);
	dev->ops->get_cap(dev, VHOST_CAP_IOVA_LAST, &last);
	if (!first)
		first = page;	/* 0 is what a mistake looks like */
	if (!(first < ABOVE_32_BITS &&
	      iova_find(ABOVE_32_BITS, last, rounded, align, taken, dev, &iova)) &&
	    !iova_find(first, last, rounded, align, taken, dev, &iova))
		return dev_fail(dev, -ENOSPC, VHOST_ERR_LIMIT,
				"no %llu bytes are free among the addresses that the device can use "
				"(0x%llx to 0x%llx)", (unsigned long long)rounded,
				(unsigned long long)first, (unsigned long long)last);
	if (iova_set_add(&dev->iovas, iova, iova + (rounded - 1)) < 0)
		return dev_fail(dev, -ENOMEM, VHOST_ERR_OTHER, "out of memory");
	*ret = iova;
	return 0;
}

VHOST_EXPORT int vhost_dev_iova_free(vhost_dev_t *dev, uint64_t iova)
{
	return iova_set_remove(&dev->iovas, iova) ? 0 :
	       dev_fail(dev, -ENOENT, VHOST_ERR_ARGUMENT,
			"0x%llx is not where addresses were allocated", (unsigned long long)iova);
}

/* --------------------------------------------------------------------- IOTLB */

static int iotlb(struct vhost_dev *dev, enum dev_iotlb_type type,
		 const struct vhost_iotlb_entry *entry)
{
	struct vhost_op stack, *op;
	uint64_t spaces = 1;
	int r;

	if (!record_has(&dev->rec, VIRTIO_BIT_ACCESS_PLATFORM) && !dev->ops->maps_memory)
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"there is no IOTLB: VIRTIO_F_ACCESS_PLATFORM was not accepted");
	if (entry->asid)
		dev->ops->get_cap(dev, VHOST_CAP_ADDRESS_SPACES, &spaces);
	if (entry->asid >= spaces)
		return dev_fail(dev, -EINVAL, VHOST_ERR_LIMIT,
				"address space %u: the device has %u, counted from 0", entry->asid,
				(unsigned int)spaces);
	r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	return op_end(dev, op, vhost_call(dev, iotlb, op, type, entry));
}

VHOST_EXPORT int vhost_dev_iotlb_update(vhost_dev_t *dev, const struct vhost_iotlb_entry *entry,
					size_t size)
{
	struct vhost_iotlb_entry e;
	uint64_t last;
	int r = dev_ready(dev);

	if (!r)
		r = copy_sized(&e, sizeof(e), entry, size);
	if (r < 0)
		return r;
	if (!range_last(e.iova, e.size, &last) || !e.perm || e.perm > 3)
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"a translation of %llu bytes at 0x%llx, with the permissions 0x%x, "
				"cannot be", (unsigned long long)e.size, (unsigned long long)e.iova,
				e.perm);
	return iotlb(dev, DEV_IOTLB_UPDATE, &e);
}

VHOST_EXPORT int vhost_dev_iotlb_invalidate(vhost_dev_t *dev, uint64_t iova, uint64_t size,
					    uint32_t asid)
{
	/* A size cannot say 2^64: the last byte of everything is left out, as by all. */
	struct vhost_iotlb_entry e = {
		.iova = iova, .size = size ? size : UINT64_MAX - iova, .asid = asid,
	};
	uint64_t last;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	if (!range_last(e.iova, e.size, &last))
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"%llu bytes at 0x%llx wrap around the end of the address space",
				(unsigned long long)e.size, (unsigned long long)e.iova);
	return iotlb(dev, DEV_IOTLB_INVALIDATE, &e);
}
