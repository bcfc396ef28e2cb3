/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The translations that the kernel's vhost was given. The kernel keeps them past the
 * memory that they lead to and forgets them with the features; so they are kept here,
 * in the order in which it has them and no more of them than it has.
 */
#include "transport/kernel.h"

static int send_update(struct vhost_kernel *kn, const struct kernel_entry *e)
{
	struct kv_iotlb m = {
		.type = KV_IOTLB_UPDATE, .iova = e->entry.iova, .size = e->entry.size,
		.perm = (uint8_t)e->entry.perm, .user_addr = e->addr,
	};
	int r = kdev_send_iotlb(&kn->k, 0, &m);

	return r < 0 ? kdev_iotlb_fail(&kn->k, r, "IOTLB update", m.iova, m.size) : 0;
}

static void forget_entry(struct vhost_kernel *kn, unsigned int i)
{
	kn->n_entries--;
	memmove(&kn->entries[i], &kn->entries[i + 1],
		(kn->n_entries - i) * sizeof(*kn->entries));
}

int kernel_invalidate(struct vhost_kernel *kn, uint64_t iova, uint64_t size)
{
	struct kv_iotlb m = { .type = KV_IOTLB_INVALIDATE, .iova = iova, .size = size };
	unsigned int i = 0;
	int r = kdev_send_iotlb(&kn->k, 0, &m);

	if (r < 0)
		return kdev_iotlb_fail(&kn->k, r, "IOTLB invalidation", iova, size);
	while (i < kn->n_entries) {
		const struct vhost_iotlb_entry *e = &kn->entries[i].entry;

		if (ranges_meet(e->iova, e->size, iova, size))
			forget_entry(kn, i);
		else
			i++;
	}
	return 0;
}

static bool overlaps_entry(const struct vhost_kernel *kn, uint64_t iova, uint64_t size)
{
	unsigned int i;

	for (i = 0; i < kn->n_entries; i++)
		if (ranges_meet(kn->entries[i].entry.iova, kn->entries[i].entry.size, iova, size))
			return true;
	return false;
}

static int make_room(struct vhost_kernel *kn)
{
	unsigned int room = kn->entries_room ? kn->entries_room * 2 : 16;
	struct kernel_entry *more;

	if (!kn->max_entries)
		kn->max_entries = kernel_module_limit("/sys/module/vhost/parameters/max_iotlb_entries",
					       2048);
	if (kn->n_entries >= kn->max_entries)
		forget_entry(kn, 0);	/* as the kernel does */
	if (kn->n_entries < kn->entries_room)
		return 0;
	more = realloc(kn->entries, room * sizeof(*more));
	if (!more)
		return dev_fail(&kn->k.dev, -ENOMEM, VHOST_ERR_OTHER, "out of memory");
	kn->entries = more;
	kn->entries_room = room;
	return 0;
}

int kernel_update(struct vhost_kernel *kn, const struct vhost_iotlb_entry *entry)
{
	struct kernel_entry e = { .entry = *entry };
	uint64_t region;
	int r = kdev_check_target(&kn->k, entry, &e.addr, &region);

	/* the kernel would keep both, and use either */
	if (!r && overlaps_entry(kn, entry->iova, entry->size))
		r = kernel_invalidate(kn, entry->iova, entry->size);
	if (!r)
		r = make_room(kn);
	if (!r)
		r = send_update(kn, &e);
	if (!r)
		kn->entries[kn->n_entries++] = e;
	return r;
}

int kernel_drop_stale(struct vhost_kernel *kn)
{
	unsigned int i = 0;
	int r = 0;

	while (!r && i < kn->n_entries) {
		const struct kernel_entry *e = &kn->entries[i];

		if (kdev_target(&kn->k, &e->entry) != e->addr)
			r = kernel_invalidate(kn, e->entry.iova, e->entry.size);
		else
			i++;
	}
	return r;
}

int kernel_update_again(struct vhost_kernel *kn)
{
	unsigned int i;
	int r = 0;

	for (i = 0; !r && i < kn->n_entries; i++)
		r = send_update(kn, &kn->entries[i]);
	return r;
}

bool kernel_rings_in(const struct vhost_dev *dev, unsigned int index,
		     const struct mem_region *region)
{
	const struct vhost_kernel *kn = (const struct vhost_kernel *)dev;
	const struct vhost_vq *vq = &dev->rec.vqs[index];
	uint64_t at[3] = { vq->config.desc, vq->config.driver, vq->config.device }, sizes[3];
	unsigned int i, a;

	vq_area_sizes(&dev->rec, vq->config.size, sizes);
	for (i = 0; vq->running && i < kn->n_entries; i++) {
		const struct vhost_iotlb_entry *e = &kn->entries[i].entry;

		if (!range_within(e->target - region->iova, e->size, region->size))
			continue;
		for (a = 0; a < 3; a++)
			if (ranges_meet(e->iova, e->size, at[a], sizes[a]))
				return true;
	}
	return false;
}

bool kernel_has_entry(struct vhost_kernel *kn, const struct vhost_iotlb_entry *entry)
{
	uint64_t addr = kdev_target(&kn->k, entry);
	unsigned int i;

	for (i = 0; i < kn->n_entries; i++) {
		const struct kernel_entry *e = &kn->entries[i];

		if (e->addr == addr && e->entry.iova == entry->iova &&
		    e->entry.size == entry->size && e->entry.perm == entry->perm)
			return true;
	}
	return false;
}

bool kernel_given(const struct vhost_kernel *kn, uint64_t iova, uint32_t perm,
		  struct vhost_iotlb_entry *ret)
{
	unsigned int i;

	for (i = 0; i < kn->n_entries; i++) {
		const struct vhost_iotlb_entry *e = &kn->entries[i].entry;

		if (range_within(iova - e->iova, 1, e->size) && (e->perm & perm) == perm) {
			*ret = *e;
			return true;
		}
	}
	return false;
}
