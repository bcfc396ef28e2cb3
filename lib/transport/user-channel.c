/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * What the back-end asks of us, on a socket of its own. Each request is checked against
 * its row, carried out, and answered once where an answer is asked for. A request that is
 * refused changes nothing; one that is no request closes the channel, and only that: the
 * device goes on without.
 */
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "transport/user.h"

struct user_shmem_map {
	struct user_shmem_map *next;
	uint64_t offset;
	uint64_t len;
};

static void channel_broken(struct vhost_user *u, const char *why)
{
	dev_log(&u->dev, VHOST_LOG_WARNING, "the back-end's channel was closed: %s", why);
	user_unwatch(u, u->channel.fd);
	vu_chan_close(&u->channel);
}

/* ---------------------------------------------------------------- shared memory */

static int shmem_event(struct vhost_user *u, unsigned int id, bool map, const struct vu_mmap *m,
		       int fd)
{
	struct vhost_dev *dev = &u->dev;

	if (!dev->events.shmem_map)
		return u->shmem[id].addr ? 0 : -EINVAL;
	return dev->events.shmem_map(dev, id, map, m->shm_offset, m->len, fd, m->fd_offset,
				     m->flags & VU_MMAP_WRITABLE, dev->events_opaque);
}

/* The range becomes inaccessible again, but stays the region's. */
static void shmem_blank(const struct user_shmem *s, uint64_t offset, uint64_t len)
{
	if (s->addr && mmap((uint8_t *)s->addr + offset, len, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) ==
		       MAP_FAILED)
		/* what cannot be replaced is at least taken away */
		munmap((uint8_t *)s->addr + offset, len);
}

static int shmem_check(struct vhost_user *u, const struct vu_mmap *m)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (!u->shmem || !u->shmem[m->shmid].size || !m->len || m->len % page ||
	    m->shm_offset % page ||
	    !range_within(m->shm_offset, m->len, u->shmem[m->shmid].size))
		return -EINVAL;
	return 0;
}

static int shmem_map(struct vhost_user *u, const struct vu_msg *msg)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end;
	struct user_shmem_map *map;
	struct user_shmem *s;
	struct vu_mmap m;
	struct stat st;
	int prot, r;

	memcpy(&m, msg->payload, sizeof(m));
	r = shmem_check(u, &m);
	if (r < 0)
		return r;
	s = &u->shmem[m.shmid];
	if (m.flags & ~(uint64_t)VU_MMAP_WRITABLE || m.fd_offset % page ||
	    !range_end(m.fd_offset, m.len, &end) || end > INT64_MAX ||
	    fstat(msg->fds[0], &st) < 0 ||
	    (S_ISREG(st.st_mode) && end > ((uint64_t)st.st_size + page - 1) / page * page))
		return -EINVAL;
	for (map = s->maps; map; map = map->next)
		if (m.shm_offset < map->offset + map->len && map->offset < m.shm_offset + m.len)
			return -EEXIST;
	if (u->n_shmem_maps >= USER_MAX_SHMEM_MAPS)
		return -ENOSPC;
	map = malloc(sizeof(*map));
	if (!map)
		return -ENOMEM;
	prot = PROT_READ | (m.flags & VU_MMAP_WRITABLE ? PROT_WRITE : 0);
	if (s->addr && mmap((uint8_t *)s->addr + m.shm_offset, m.len, prot, MAP_SHARED | MAP_FIXED,
			    msg->fds[0], (off_t)m.fd_offset) == MAP_FAILED) {
		r = -errno;
		/* what was there may be gone: nobody else's mapping must take its place */
		shmem_blank(s, m.shm_offset, m.len);
		free(map);
		return r;
	}
	r = shmem_event(u, m.shmid, true, &m, msg->fds[0]);
	if (r < 0) {
		shmem_blank(s, m.shm_offset, m.len);
		free(map);
		return r;
	}
	*map = (struct user_shmem_map){ .next = s->maps, .offset = m.shm_offset, .len = m.len };
	s->maps = map;
	u->n_shmem_maps++;
	return 0;
}

static int shmem_unmap(struct vhost_user *u, const struct vu_msg *msg)
{
	struct user_shmem_map **p, *map;
	struct user_shmem *s;
	struct vu_mmap m;
	int r;

	memcpy(&m, msg->payload, sizeof(m));
	r = shmem_check(u, &m);
	if (r < 0)
		return r;
	s = &u->shmem[m.shmid];
	for (p = &s->maps; *p; p = &(*p)->next)
		if ((*p)->offset == m.shm_offset && (*p)->len == m.len)
			break;
	map = *p;
	if (!map)
		return -ENOENT;
	*p = map->next;
	free(map);
	u->n_shmem_maps--;
	shmem_blank(s, m.shm_offset, m.len);
	shmem_event(u, m.shmid, false, &m, -1);
	return 0;
}

static void shmem_drop(struct vhost_user *u, unsigned int id)
{
	struct user_shmem *s = &u->shmem[id];
	struct user_shmem_map *map;

	while ((map = s->maps)) {
		struct vu_mmap m = { .shm_offset = map->offset, .len = map->len };

		s->maps = map->next;
		u->n_shmem_maps--;
		shmem_blank(s, map->offset, map->len);
		free(map);
		shmem_event(u, id, false, &m, -1);
	}
}

void user_shmem_reset(struct vhost_user *u)
{
	unsigned int id;

	for (id = 0; u->shmem && id < VU_MAX_SHMEM_REGIONS; id++)
		shmem_drop(u, id);
}

VHOST_EXPORT int vhost_user_set_shmem(vhost_dev_t *dev, unsigned int id, void *addr,
				      uint64_t size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct vhost_user *u;
	int r = size || dev->ops != &vhost_user_ops ?
		user_require(dev, VHOST_USER_PF_SHMEM) : 0;	/* taking back needs no peer */

	if (r < 0)
		return r;
	u = to_user(dev);
	if (id >= VU_MAX_SHMEM_REGIONS || size % page || (uintptr_t)addr % page ||
	    size > SIZE_MAX)
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"shared memory region %u: ids are below %u, and addresses and sizes "
				"whole pages", id, VU_MAX_SHMEM_REGIONS);
	if (!u->shmem) {
		u->shmem = calloc(VU_MAX_SHMEM_REGIONS, sizeof(*u->shmem));
		if (!u->shmem)
			return dev_fail(dev, -ENOMEM, VHOST_ERR_OTHER, "out of memory");
	}
	shmem_drop(u, id);
	u->shmem[id].addr = size ? addr : NULL;
	u->shmem[id].size = size;
	return 0;
}

/* --------------------------------------------------------------- host notifiers */

static void notifier_drop(struct user_notifier *n)
{
	if (n->addr)
		munmap(n->addr, n->size);
	n->addr = NULL;
	n->size = 0;
}

static int host_notifier(struct vhost_user *u, const struct vu_msg *msg)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end;
	struct user_notifier *n;
	struct vu_vring_area area;
	unsigned int index;
	void *addr = NULL;
	struct stat st;

	memcpy(&area, msg->payload, sizeof(area));
	index = (unsigned int)(area.index & VU_VRING_INDEX_MASK);
	if (area.index & ~(uint64_t)(VU_VRING_INDEX_MASK | VU_VRING_NOFD) || index >= u->n_queues)
		return -EINVAL;
	if (msg->n_fds) {
		/* "should be the same as host page size" */
		if (area.size != page || area.offset % page ||
		    !range_end(area.offset, area.size, &end) || end > INT64_MAX ||
		    fstat(msg->fds[0], &st) < 0 ||
		    (S_ISREG(st.st_mode) && end > ((uint64_t)st.st_size + page - 1) / page * page))
			return -EINVAL;
		addr = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, msg->fds[0],
			    (off_t)area.offset);
		if (addr == MAP_FAILED)
			return -errno;
	}
	if (!u->notifiers) {
		u->notifiers = calloc(VU_MAX_QUEUES, sizeof(*u->notifiers));
		if (!u->notifiers) {
			if (addr)
				munmap(addr, page);
			return -ENOMEM;
		}
	}
	n = &u->notifiers[index];
	notifier_drop(n);
	n->addr = addr;
	n->size = addr ? page : 0;
	if (u->dev.events.host_notifier)
		u->dev.events.host_notifier(&u->dev, index, u->dev.events_opaque);
	return 0;
}

VHOST_EXPORT int vhost_user_get_host_notifier(const vhost_dev_t *dev, unsigned int index,
					      void **ret_addr, size_t *ret_size)
{
	const struct vhost_user *u = to_user_const(dev);

	if (index >= VU_MAX_QUEUES)
		return -EINVAL;
	if (dev->ops != &vhost_user_ops || !u->notifiers || !u->notifiers[index].addr)
		return -ENOENT;
	*ret_addr = u->notifiers[index].addr;
	*ret_size = u->notifiers[index].size;
	return 0;
}

/* --------------------------------------------------------------- shared objects */

static struct vu_uuid *object_find(struct vhost_user *u, const struct vu_uuid *uuid)
{
	unsigned int i;

	for (i = 0; i < u->objects.n; i++)
		if (memcmp(&u->objects.uuids[i], uuid, sizeof(*uuid)) == 0)
			return &u->objects.uuids[i];
	return NULL;
}

static void object_event(struct vhost_user *u, const struct vu_uuid *uuid, int added)
{
	if (u->dev.events.shared_object)
		u->dev.events.shared_object(&u->dev, uuid->uuid, added, u->dev.events_opaque);
}

static int object_change(struct vhost_user *u, const struct vu_msg *msg, bool add)
{
	struct vu_uuid uuid, *at, *more;

	memcpy(&uuid, msg->payload, sizeof(uuid));
	at = object_find(u, &uuid);
	if (!add) {
		/* "Only the back-end owning the entry ... Otherwise, the message is ignored." */
		if (!at)
			return -ENOENT;
		*at = u->objects.uuids[--u->objects.n];
		object_event(u, &uuid, 0);
		return 0;
	}
	if (at)
		return -EEXIST;
	if (u->objects.n >= USER_MAX_OBJECTS)
		return -ENOSPC;
	more = realloc(u->objects.uuids, (u->objects.n + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	u->objects.uuids = more;
	more[u->objects.n++] = uuid;
	object_event(u, &uuid, 1);
	return 0;
}

/* -------------------------------------------------------------------------- IOTLB */

static int iotlb_miss(struct vhost_user *u, const struct vu_iotlb *m)
{
	struct vhost_dev *dev = &u->dev;
	struct vhost_iotlb_entry entry = { .iova = m->iova, .perm = m->perm };
	int r;

	if (!m->perm || m->perm > 3)
		return -EINVAL;
	/* It gets no more of them than it acknowledges. */
	if (u->n_misses >= USER_MAX_MISSES)
		return -ENOSPC;
	if (dev->events.iotlb_miss) {
		r = dev->events.iotlb_miss(dev, m->iova, m->perm, &entry, dev->events_opaque);
		if (r < 0)
			return r;
	} else {
		/* The memory map is the translation, region by region. */
		const struct mem_region *region = mem_map_find(&dev->rec.map, m->iova, 1);

		if (!region)
			return -EFAULT;
		entry.iova = entry.target = region->iova;
		entry.size = region->size;
		entry.perm = VHOST_IOTLB_PERM_READ |
			     (region->flags & VHOST_MEM_READONLY ? 0 : VHOST_IOTLB_PERM_WRITE);
		if (m->perm & ~entry.perm)
			return -EACCES;
	}
	/* Nobody waits for its acknowledgement: that would be to wait for who waits for us. */
	return u->main.fd < 0 ? -ENOTCONN : user_send_iotlb(u, NULL, DEV_IOTLB_UPDATE, &entry, true);
}

static int iotlb_request(struct vhost_user *u, const struct vu_msg *msg)
{
	struct vhost_dev *dev = &u->dev;
	struct vu_iotlb m;

	if (!record_has(&dev->rec, VIRTIO_BIT_ACCESS_PLATFORM))
		return -EINVAL;
	memcpy(&m, msg->payload, sizeof(m));
	switch (m.type) {
	case VU_IOTLB_MISS:
		return iotlb_miss(u, &m);
	case VU_IOTLB_ACCESS_FAIL:
		dev_log(dev, VHOST_LOG_WARNING, "the device was refused access to 0x%llx",
			(unsigned long long)m.iova);
		if (dev->events.iotlb_fault)
			dev->events.iotlb_fault(dev, m.iova, m.perm, dev->events_opaque);
		return 0;
	default:
		return -EINVAL;
	}
}

/* ----------------------------------------------------------------------- requests */

static int vring_event(struct vhost_user *u, const struct vu_msg *msg, bool error)
{
	struct vhost_dev *dev = &u->dev;
	struct vu_vring_state state;
	void (*event)(vhost_dev_t *, unsigned int, void *) =
		error ? dev->events.vring_error : dev->events.vring_call;

	memcpy(&state, msg->payload, sizeof(state));
	if (!record_vq(&dev->rec, state.index))
		return -EINVAL;
	if (event)
		event(dev, state.index, dev->events_opaque);
	return 0;
}

static int handle(struct vhost_user *u, const struct vu_msg *msg, int *ret_fd)
{
	struct vhost_dev *dev = &u->dev;

	switch (msg->hdr.request) {
	case VU_BACKEND_IOTLB_MSG:
		return iotlb_request(u, msg);
	case VU_BACKEND_VRING_HOST_NOTIFIER_MSG:
		return host_notifier(u, msg);
	case VU_BACKEND_VRING_CALL:
		return vring_event(u, msg, false);
	case VU_BACKEND_VRING_ERR:
		return vring_event(u, msg, true);
	case VU_BACKEND_SHARED_OBJECT_ADD:
		return object_change(u, msg, true);
	case VU_BACKEND_SHARED_OBJECT_REMOVE:
		return object_change(u, msg, false);
	case VU_BACKEND_SHARED_OBJECT_LOOKUP:
		*ret_fd = dev->events.shared_lookup ?
			  dev->events.shared_lookup(dev, msg->payload, dev->events_opaque) : -ENOENT;
		return *ret_fd < 0 ? *ret_fd : 0;
	case VU_BACKEND_SHMEM_MAP:
		return shmem_map(u, msg);
	case VU_BACKEND_SHMEM_UNMAP:
		return shmem_unmap(u, msg);
	default:	/* CONFIG_CHANGE is told after it is answered */
		return 0;
	}
}

static void answer(struct vhost_user *u, const struct vu_header *request, int status, int fd)
{
	struct vu_header hdr = {
		.request = request->request, .flags = VU_VERSION | VU_REPLY, .size = sizeof(uint64_t),
	};
	uint64_t value = status < 0 ? 1 : 0;
	int r;

	if (u->channel.fd < 0)
		return;
	r = vu_chan_send(&u->channel, &hdr, &value, &fd, fd >= 0 ? 1 : 0, false);
	if (r < 0)
		channel_broken(u, "an answer could not be sent");
	else if (vu_chan_wants_out(&u->channel) && !u->channel_out_armed) {
		user_watch(u, u->channel.fd, EPOLLIN | EPOLLOUT);
		u->channel_out_armed = true;
	}
}

static void serve(struct vhost_user *u, struct vu_msg *msg)
{
	const struct vu_row *row = vu_row(VU_BACKEND, msg->hdr.request);
	struct vhost_dev *dev = &u->dev;
	struct vu_header hdr = msg->hdr;
	enum vu_verdict verdict = vu_check_request(VU_BACKEND, msg, u->pf);
	int fd = -1, r;

	if (verdict == VU_BAD_VERSION || verdict == VU_BAD_REPLY_FLAG) {
		channel_broken(u, vu_verdict_text(verdict));
		return;
	}
	/* Descriptors on this socket need a feature of their own. */
	if (verdict == VU_OK && msg->n_fds && !has_pf(u, VHOST_USER_PF_BACKEND_SEND_FD))
		verdict = VU_BAD_GATE;
	if (verdict != VU_OK) {
		dev_log(dev, VHOST_LOG_WARNING, "the back-end's request %u was refused: it %s",
			hdr.request, vu_verdict_text(verdict));
		r = -EINVAL;
	} else {
		r = handle(u, msg, &fd);
	}
	if (hdr.flags & VU_NEED_REPLY || (row && row->reply == VU_REPLY_ALWAYS))
		answer(u, &hdr, r, fd);
	close_fd(&fd);
	/*
	 * Told only now: a back-end that waits for the answer would not answer the request
	 * for the new configuration.
	 */
	if (!r && hdr.request == VU_BACKEND_CONFIG_CHANGE_MSG && dev->events.config_changed)
		dev->events.config_changed(dev, dev->events_opaque);
}

int user_serve_channel(struct vhost_user *u, unsigned int budget)
{
	struct vu_msg msg;
	const char *why = "nothing more can be received";
	int r = 0;

	if (u->channel.fd < 0)
		return 0;
	if (vu_chan_wants_out(&u->channel)) {
		r = vu_chan_flush(&u->channel);
		if (r < 0 && r != -EAGAIN) {
			channel_broken(u, "answers could not be sent");
			return 0;
		}
		/* Answers first: one who does not read them gets no more of them. */
		if (r == -EAGAIN)
			return 0;
		if (u->channel_out_armed) {
			user_watch(u, u->channel.fd, EPOLLIN);
			u->channel_out_armed = false;
		}
	}
	u->in_channel = true;
	while ((budget || vu_chan_has_msg(&u->channel)) && u->channel.fd >= 0 &&
	       !vu_chan_wants_out(&u->channel)) {
		budget -= budget > 0;
		r = vu_chan_recv(&u->channel, &msg, &why);
		if (r == -EAGAIN)
			break;
		if (r < 0) {
			channel_broken(u, r == -ECONNRESET ? "the back-end closed it" : why);
			break;
		}
		serve(u, &msg);
	}
	u->in_channel = false;
	return u->main.fd < 0 ? -ENOTCONN : 0;
}

void user_channel_reset(struct vhost_user *u)
{
	unsigned int i;

	user_shmem_reset(u);
	for (i = 0; u->notifiers && i < VU_MAX_QUEUES; i++)
		notifier_drop(&u->notifiers[i]);
	while (u->objects.n) {
		struct vu_uuid uuid = u->objects.uuids[--u->objects.n];

		object_event(u, &uuid, 0);
	}
	free(u->shmem_config);
	u->shmem_config = NULL;
}

void user_channel_free(struct vhost_user *u)
{
	user_channel_reset(u);
	free(u->shmem);
	free(u->notifiers);
	free(u->objects.uuids);
}
