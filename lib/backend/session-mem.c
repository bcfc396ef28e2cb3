/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The guest's memory and its translations. A change of the memory makes a whole new map,
 * which takes the place of the old one only when nothing can fail any more; regions that
 * stay are shared by both, so that pointers into them stay what they are.
 */
#include "backend/backend.h"

#include "backend/session.h"

/* "xen mmap flags" */
#define XEN_FLAGS 0x103u

static bool has_pf(const struct vhost_backend *be, uint64_t bit)
{
	return be->acked_pf & bit;
}

static uint32_t region_size(const struct vhost_backend *be)
{
	return has_pf(be, PF(XEN_MMAP)) ? sizeof(struct vu_region_xen) : sizeof(struct vu_region);
}

/* ------------------------------------------------------------------- regions */

static void mapper_unmap(struct guest_region *region)
{
	struct vhost_backend *be = region->unmap_opaque;

	if (be->ops.mem_unmap)
		be->ops.mem_unmap(be, region->addr, region->size, be->opaque);
}

/* The program's own way. The descriptor is that of the message, which is still there. */
struct mapper {
	struct vhost_backend *be;
	int fd;
};

static int mapper_map(struct guest_region *region, void *opaque)
{
	const struct mapper *m = opaque;
	const struct vhost_mem_desc desc = {
		.iova = region->guest, .size = region->size, .fd = m->fd,
		.fd_offset = region->fd_offset, .xen_flags = region->xen_flags,
		.xen_domid = region->xen_domid,
	};
	void *addr = NULL;
	int r = m->be->ops.mem_map(m->be, &desc, &addr, m->be->opaque);

	if (r < 0)
		return r;
	if (!addr)
		return -EFAULT;
	region->addr = addr;
	region->unmap = mapper_unmap;
	region->unmap_opaque = m->be;
	return 0;
}

/* A region as it is on the wire. */
static void read_region(const struct vhost_backend *be, const uint8_t *p, int fd,
			struct guest_region_desc *ret)
{
	struct vu_region_xen w = { 0 };

	memcpy(&w, p, region_size(be));
	*ret = (struct guest_region_desc){
		.guest = w.region.guest_addr, .size = w.region.size, .user = w.region.user_addr,
		.fd_offset = w.region.mmap_offset, .xen_flags = w.flags, .xen_domid = w.domid,
		.fd = fd, .sealed = be->ops.flags & VHOST_BACKEND_SEALED_MEM,
		.postcopy = be->postcopy == POSTCOPY_LISTENING,
	};
	/* No user addresses are in use then, and what stands there says nothing. */
	if (has_pf(be, PF(GPA_ADDRESSES)))
		ret->user = ret->guest;
}

static void set_mapper(struct vhost_backend *be, struct guest_region_desc *desc,
		       struct mapper *mapper)
{
	if (!be->ops.mem_map)
		return;
	*mapper = (struct mapper){ .be = be, .fd = desc->fd };
	desc->map = mapper_map;
	desc->map_opaque = mapper;
}

/* The region of @map that the description says, if it is there. */
static struct guest_region *find_region(const struct guest_map *map,
					const struct guest_region_desc *desc)
{
	struct guest_region_desc plain = *desc;
	unsigned int i;

	plain.map = NULL;
	for (i = 0; map && i < map->n; i++) {
		struct guest_region *region = map->by_guest.spans[i].region;

		/* a mapper may have left it to us */
		if (guest_region_is(region, desc) ||
		    (desc->map && !desc->xen_flags && guest_region_is(region, &plain)))
			return region;
	}
	return NULL;
}

/* The region that the description says: one of @map, if that has it, or a new one. */
static int make_region(struct vhost_backend *be, uint32_t request, struct guest_region_desc *desc,
		       const struct guest_map *map, struct guest_region **ret)
{
	uint64_t session = be->session;
	struct mapper mapper;
	const char *why = "";
	int r;

	if (desc->xen_flags & ~XEN_FLAGS || (desc->xen_flags & 3) == 3 ||
	    (desc->xen_flags && !(desc->xen_flags & 3)))
		return be_fail(be, -EINVAL, "%s: the region at 0x%llx has the Xen flags 0x%x, which "
			       "are not known together", session_name(request),
			       (unsigned long long)desc->guest, desc->xen_flags);
	set_mapper(be, desc, &mapper);
	*ret = find_region(map, desc);
	if (*ret) {
		guest_region_ref(*ret);
		return 0;
	}
	r = guest_region_new(desc, ret, &why);
	/* A mapper may leave to us what is nothing special. */
	if (r == -ENOTSUP && desc->map && !desc->xen_flags && be->session == session) {
		desc->map = NULL;
		r = guest_region_new(desc, ret, &why);
	}
	if (be->session != session) {
		if (!r)
			guest_region_unref(*ret);
		return SESSION_ANSWERED;
	}
	if (r < 0)
		return be_fail(be, r, "%s: the region of 0x%llx bytes at 0x%llx (user address "
			       "0x%llx, offset 0x%llx): %s", session_name(request),
			       (unsigned long long)desc->size, (unsigned long long)desc->guest,
			       (unsigned long long)desc->user, (unsigned long long)desc->fd_offset,
			       why);
	return 0;
}

static void drop_regions(struct guest_region **regions, unsigned int n)
{
	while (n)
		guest_region_unref(regions[--n]);
}

/* ----------------------------------------------------------------------- maps */

/* Translations into what is no memory any more are to be asked for anew. */
static void forget_translations(struct vhost_backend *be, const struct guest_region *region)
{
	unsigned int i;

	for (i = be->iotlb.n; i; i--) {
		const struct iotlb_entry e = be->iotlb.entries[i - 1];

		if (ranges_meet(e.user, e.last - e.first + 1, region->user, region->size))
			iotlb_remove(&be->iotlb, e.first, e.last);
	}
}

static void forget_region(struct vhost_backend *be, const struct guest_region *region)
{
	/* Nobody is to wait for a page of it. */
	session_postcopy_unregister(be, region);
	if (!be->iotlb.n)
		return;
	vr_iotlb_lock(be);
	forget_translations(be, region);
	vr_iotlb_unlock(be, false);
}

void session_set_map(struct vhost_backend *be, struct guest_map *map)
{
	uint64_t session = be->session;
	struct guest_map *old = be->map;
	unsigned int i;

	be->map = map;
	for (i = 0; old && i < old->n && be->session == session; i++)
		if (!guest_map_has(map, old->by_guest.spans[i].region))
			forget_region(be, old->by_guest.spans[i].region);
	if (be->session == session)
		vr_memory_changed(be);
	if (be->session == session)
		be_call(be, mem_changed, be);
	/* what the callback still knows of the old memory was valid until now */
	guest_map_unref(old);
}

static bool same_regions(const struct guest_map *map, struct guest_region *const *regions,
			 unsigned int n)
{
	unsigned int i;

	if (!map || map->n != n)
		return false;
	for (i = 0; i < n && guest_map_has(map, regions[i]); i++)
		;
	return i == n;
}

/*
 * The memory is to be these. While postcopy is under way the front-end is told first where
 * @told_from and the following ones are, and has to say that it is ready.
 */
static int change_map(struct vhost_backend *be, const struct vu_msg *msg,
		      struct guest_region *const *regions, unsigned int n, unsigned int told_from)
{
	struct {
		uint64_t head;
		uint8_t regions[VU_MAX_TABLE_REGIONS * sizeof(struct vu_region_xen)];
	} reply;
	bool postcopy = be->postcopy == POSTCOPY_LISTENING && msg->hdr.request != VU_REM_MEM_REG;
	uint32_t request = msg->hdr.request, each = region_size(be);
	uint64_t session = be->session;
	struct guest_map *map;
	const char *why = "";
	unsigned int i;
	int r;

	if (!postcopy && same_regions(be->map, regions, n))
		return 0;
	r = guest_map_new(regions, n, &map, &why);
	if (r < 0)
		return be_fail(be, r, "%s: %s", session_name(request), why);
	if (!postcopy) {
		session_set_map(be, map);
		return be->session == session ? 0 : SESSION_ANSWERED;
	}
	memcpy(&reply, msg->payload, msg->hdr.size);
	for (i = told_from; i < n && !r; i++) {
		uint8_t *at = reply.regions + (i - told_from) * each +
			      offsetof(struct vu_region, user_addr);
		uint64_t addr = (uintptr_t)regions[i]->addr;

		memcpy(at, &addr, sizeof(addr));
		r = session_postcopy_register(be, regions[i]);
	}
	if (!r)
		r = session_reply(be, request, &reply, msg->hdr.size, -1);
	if (r < 0) {
		for (i = told_from; i < n; i++)
			session_postcopy_unregister(be, regions[i]);
		guest_map_unref(map);
		return SESSION_END + r;
	}
	session_postcopy_wait(be, request, map);
	return SESSION_ANSWERED;
}

int session_set_mem_table(struct vhost_backend *be, const struct vu_msg *msg)
{
	struct guest_region *regions[VU_MAX_TABLE_REGIONS];
	const uint8_t *p = (const uint8_t *)msg->payload + sizeof(struct vu_mem_table);
	struct guest_region_desc desc;
	struct vu_mem_table table;
	unsigned int n, i;
	int r = 0;

	memcpy(&table, msg->payload, sizeof(table));
	for (n = 0; n < table.n_regions; n++, p += region_size(be)) {
		read_region(be, p, msg->fds[n], &desc);
		r = make_region(be, msg->hdr.request, &desc, be->map, &regions[n]);
		if (r)
			break;
	}
	if (!r)
		r = change_map(be, msg, regions, n, 0);
	for (i = 0; i < n && r >= 0; i++)
		regions[i]->again = 0;
	drop_regions(regions, n);
	return r;
}

/*
 * QEMU has a device for each pair of a network card's queues, and before 8.1 each of them
 * adds and removes all memory on the one connection: what is there already is counted.
 */
int session_add_mem_reg(struct vhost_backend *be, const struct vu_msg *msg)
{
	/* several may come before the front-end says that it is ready for faults */
	const struct guest_map *map = be->postcopy_map ? be->postcopy_map : be->map;
	struct guest_region *regions[GUEST_REGIONS_MAX + 1], *region;
	unsigned int n = 0, i;
	struct guest_region_desc desc;
	bool again = false;
	int r;

	read_region(be, (const uint8_t *)msg->payload + sizeof(uint64_t), msg->fds[0], &desc);
	r = make_region(be, msg->hdr.request, &desc, map, &region);
	if (r)
		return r;
	for (i = 0; map && i < map->n; i++) {
		if (map->by_guest.spans[i].region == region)
			again = true;
		else
			regions[n++] = guest_region_ref(map->by_guest.spans[i].region);
	}
	regions[n++] = region;
	if (n > GUEST_REGIONS_MAX)
		r = be_fail(be, -ENOSPC, "ADD_MEM_REG: all %u slots are taken", GUEST_REGIONS_MAX);
	else
		r = change_map(be, msg, regions, n, n - 1);
	if (r >= 0 && again && region->again < UINT32_MAX)
		region->again++;
	drop_regions(regions, n);
	return r;
}

int session_rem_mem_reg(struct vhost_backend *be, const struct vu_msg *msg)
{
	struct guest_region *regions[GUEST_REGIONS_MAX], *gone = NULL;
	struct guest_region_desc desc;
	unsigned int n = 0, i;

	/* "identified by its guest address, user address and size" */
	read_region(be, (const uint8_t *)msg->payload + sizeof(uint64_t), -1, &desc);
	for (i = 0; be->map && i < be->map->n; i++) {
		struct guest_region *region = be->map->by_guest.spans[i].region;

		if (region->guest == desc.guest && region->user == desc.user &&
		    region->size == desc.size)
			gone = region;
		else
			regions[n++] = region;
	}
	if (!gone)
		return be_fail(be, -ENOENT, "REM_MEM_REG: there is no region of 0x%llx bytes at "
			       "0x%llx with the user address 0x%llx",
			       (unsigned long long)desc.size, (unsigned long long)desc.guest,
			       (unsigned long long)desc.user);
	if (gone->again) {
		gone->again--;
		return 0;
	}
	return change_map(be, msg, regions, n, n);
}

void session_mem_clear(struct vhost_backend *be)
{
	vr_iotlb_lock(be);
	iotlb_clear(&be->iotlb);
	vr_iotlb_unlock(be, false);
	if (be->map)
		session_set_map(be, NULL);
}

/* ---------------------------------------------------------------- translations */

static int iotlb_change(struct vhost_backend *be, const struct vu_iotlb *m)
{
	uint64_t last, user_last;
	int r = 0;

	if (!range_last(m->iova, m->size, &last) ||
	    (m->type == VU_IOTLB_UPDATE && !range_last(m->user_addr, m->size, &user_last)))
		return be_fail(be, -EINVAL, "IOTLB_MSG: 0x%llx bytes at 0x%llx (user address "
			       "0x%llx) are no range", (unsigned long long)m->size,
			       (unsigned long long)m->iova, (unsigned long long)m->user_addr);
	vr_iotlb_lock(be);
	if (m->type == VU_IOTLB_UPDATE)
		r = iotlb_add(&be->iotlb, m->iova, last, m->user_addr, m->perm);
	else if (!m->iova && m->size == UINT64_MAX)
		iotlb_clear(&be->iotlb);	/* all of it has no size of 64 bits */
	else
		iotlb_remove(&be->iotlb, m->iova, last);
	vr_iotlb_unlock(be, m->type == VU_IOTLB_UPDATE);
	return r < 0 ? be_fail(be, r, "IOTLB_MSG: 0x%llx bytes at 0x%llx with the permissions %u "
			       "were not taken: %s", (unsigned long long)m->size,
			       (unsigned long long)m->iova, m->perm, strerror(-r)) : 0;
}

int session_iotlb(struct vhost_backend *be, const struct vu_msg *msg)
{
	uint64_t session = be->session;
	struct vu_iotlb m;
	int r;

	memcpy(&m, msg->payload, sizeof(m));
	if (!(be->acked & F_ACCESS_PLATFORM))
		return be_fail(be, -EINVAL, "IOTLB_MSG: VIRTIO_F_ACCESS_PLATFORM (bit 33) was not "
			       "accepted");
	if (m.type != VU_IOTLB_UPDATE && m.type != VU_IOTLB_INVALIDATE)
		return be_fail(be, -EINVAL, "IOTLB_MSG: the type %u is neither 2 (update) nor 3 "
			       "(invalidate)", m.type);
	r = iotlb_change(be, &m);
	if (be->session != session)
		return SESSION_ANSWERED;
	/* "The back-end has to acknowledge the request", whether it was asked to or not. */
	return r < 0 ? r : session_answered(session_reply_u64(be, VU_IOTLB_MSG, 0));
}

/* ---------------------------------------------------------------- public calls */

VHOST_EXPORT int vhost_backend_get_mem(const vhost_backend_t *be, unsigned int index,
				       struct vhost_mem_desc *ret, size_t size)
{
	const struct guest_region *region;
	struct vhost_mem_desc desc;

	if (!be->map || index >= be->map->n)
		return -ENOENT;
	region = be->map->by_guest.spans[index].region;
	desc = (struct vhost_mem_desc){
		.iova = region->guest, .size = region->size, .addr = region->addr,
		.fd = region->fd, .fd_offset = region->fd_offset,
		.xen_flags = region->xen_flags, .xen_domid = region->xen_domid,
	};
	memset(ret, 0, size);
	memcpy(ret, &desc, size < sizeof(desc) ? size : sizeof(desc));
	return 0;
}

static int translate_iova(struct vhost_backend *be, uint64_t *addr, uint32_t perm, uint64_t *len)
{
	const struct iotlb_entry *entry = iotlb_find(&be->iotlb, *addr);
	int r;

	if (!entry) {
		r = channel_iotlb_miss(be, *addr, perm);
		return r < 0 ? be_fail(be, -EFAULT, "nothing is known of the I/O virtual address "
				       "0x%llx, and the front-end cannot be asked",
				       (unsigned long long)*addr) : -EAGAIN;
	}
	if (perm & ~entry->perm)
		return be_fail(be, -EACCES, "the I/O virtual address 0x%llx lacks the permissions "
			       "%u", (unsigned long long)*addr, perm & ~entry->perm);
	*len = entry->last - *addr;
	*addr = entry->user + (*addr - entry->first);
	return 0;
}

VHOST_EXPORT int vhost_backend_translate(vhost_backend_t *be, uint64_t addr, uint32_t perm,
					 void **ret, uint64_t *ret_len)
{
	bool iommu = be->acked & F_ACCESS_PLATFORM;
	const struct guest_span *span = NULL;
	uint64_t last = UINT64_MAX, asked = addr;
	int r;

	if (iommu) {
		r = translate_iova(be, &addr, perm, &last);
		if (r < 0)
			return r;
	}
	if (be->map)
		span = guest_index_find(iommu ? &be->map->by_user : &be->map->by_guest, be->map->n,
					addr);
	if (!span)
		return be_fail(be, -EFAULT, "the guest has no memory at 0x%llx",
			       (unsigned long long)asked);
	if (last > span->last - addr)
		last = span->last - addr;
	*ret = span->addr + (addr - span->first);
	*ret_len = last + 1;
	return 0;
}

VHOST_EXPORT void vhost_backend_mark_dirty(vhost_backend_t *be, const void *addr, uint64_t len)
{
	const uint8_t *p = addr;
	uint64_t guest, most;

	if (!be->log || !(be->acked & VU_F_LOG_ALL) || !be->map)
		return;
	/* what was written comes before its marks: see dirty_log_mark() */
	__sync_synchronize();
	while (len && guest_map_to_guest(be->map, p, &guest, &most)) {
		if (most > len)
			most = len;
		dirty_log_mark(be->log, guest, most);
		p += most;
		len -= most;
	}
}

VHOST_EXPORT int vhost_backend_handle_sigbus(const void *addr)
{
	return guest_handle_sigbus(addr);
}
