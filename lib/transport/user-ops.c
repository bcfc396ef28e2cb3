/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The slots of the dispatch table that are requests on the main socket. */
#include <endian.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "transport/user.h"

/* The address of ring or buffer memory as this back-end is told it. */
static int wire_addr(const struct vhost_user *u, uint64_t iova, uint64_t len, uint64_t *ret)
{
	const struct mem_region *region;

	if (record_has(&u->dev.rec, VIRTIO_BIT_ACCESS_PLATFORM) ||
	    has_pf(u, VHOST_USER_PF_GPA_ADDRESSES)) {
		*ret = iova;
		return 0;
	}
	region = mem_map_find(&u->dev.rec.map, iova, len);
	if (!region)
		return -EFAULT;
	*ret = region->user_addr + (iova - region->iova);
	return 0;
}

/* ------------------------------------------------------- features, status, config */

static void give_features(const struct vhost_user *u, uint64_t *ret, size_t n)
{
	memset(ret, 0, n * sizeof(*ret));
	ret[0] = u->offered & ~(VU_F_PROTOCOL_FEATURES | VU_F_LOG_ALL);
}

static int reply_features(struct vhost_dev *dev, struct vhost_op *op, uint32_t request _unused_,
			  unsigned int index _unused_, const void *m)
{
	struct vhost_user *u = to_user(dev);
	const struct vu_msg *msg = m;

	memcpy(&u->offered, msg->payload, sizeof(u->offered));
	give_features(u, op->out, op->a);
	return 0;
}

static int get_features(struct vhost_dev *dev, struct vhost_op *op, uint64_t *ret, unsigned int n)
{
	struct vhost_user *u = to_user(dev);

	/* Just opened: what was learnt then is not asked for twice. */
	if (u->offered_is_fresh) {
		u->offered_is_fresh = false;
		give_features(u, ret, n);
		return 0;
	}
	op->out = ret;
	op->a = n;
	op->reply = reply_features;
	return user_ask(u, op, VU_GET_FEATURES);
}

int user_send_features(struct vhost_user *u, struct vhost_op *op)
{
	uint64_t features = u->dev.rec.features[0];

	/* Ring enabling is only as the specification has it with this bit accepted. */
	features |= u->offered & VU_F_PROTOCOL_FEATURES;
	if (u->dev.rec.log.map)
		features |= VU_F_LOG_ALL;
	return user_send_u64(u, op, VU_SET_FEATURES, features);
}

static int set_features(struct vhost_dev *dev, struct vhost_op *op)
{
	struct vhost_user *u = to_user(dev);
	uint64_t lacking = dev->rec.features[0] & ~u->offered;
	unsigned int i;
	int r;

	lacking |= dev->rec.features[0] & (VU_F_PROTOCOL_FEATURES | VU_F_LOG_ALL);
	if (lacking)
		return dev_lacks(dev, lacking);
	for (i = 1; i < VHOST_FEATURE_WORDS; i++)
		if (dev->rec.features[i])
			return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
					"vhost-user carries the feature bits 0 to 63 only");
	r = user_send_features(u, op);
	return r < 0 ? r : user_barrier(u, op);
}

static int reply_status(struct vhost_dev *dev, struct vhost_op *op, uint32_t request _unused_,
			unsigned int index _unused_, const void *m)
{
	const struct vu_msg *msg = m;
	uint64_t value;

	memcpy(&value, msg->payload, sizeof(value));
	if (value > UINT8_MAX)
		return dev_fail(dev, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL,
				"the back-end gave the device status 0x%llx, which is no byte",
				(unsigned long long)value);
	*(uint8_t *)op->out = (uint8_t)value;
	return 0;
}

static int get_status(struct vhost_dev *dev, struct vhost_op *op, uint8_t *ret)
{
	struct vhost_user *u = to_user(dev);

	if (!has_pf(u, VHOST_USER_PF_STATUS)) {
		*ret = dev->rec.status;
		return 0;
	}
	op->out = ret;
	op->reply = reply_status;
	return user_ask(u, op, VU_GET_STATUS);
}

static int set_status(struct vhost_dev *dev, struct vhost_op *op, uint8_t status)
{
	struct vhost_user *u = to_user(dev);
	int r;

	if (has_pf(u, VHOST_USER_PF_STATUS)) {
		r = user_send_u64(u, op, VU_SET_STATUS, status);
		if (!r)
			r = user_barrier(u, op);
		/* "every mapping dies with a device reset", and 0 is one (VIRTIO 1.3, 2.1.2) */
		if (!r && !status)
			user_shmem_reset(u);
		return r;
	}
	/* Without a status there is still something to stop. */
	if (!status && dev->state > VHOST_DEV_STOPPED)
		return dev->ops->stop(dev, op, DEV_STOP);
	return 0;
}

static int reply_config(struct vhost_dev *dev, struct vhost_op *op, uint32_t request _unused_,
			unsigned int index _unused_, const void *m)
{
	const struct vu_msg *msg = m;
	struct vu_config config = { 0 };

	/* "zero length of payload to indicate an error": none at all, or of the content */
	if (msg->hdr.size >= sizeof(config))
		memcpy(&config, msg->payload, sizeof(config));
	if (!msg->hdr.size || (msg->hdr.size == sizeof(config) && !config.size))
		return dev_fail(dev, -EREMOTEIO, VHOST_ERR_PEER_REFUSED,
				"the back-end has no %u bytes of configuration space at %u",
				(unsigned int)op->b, (unsigned int)op->a);
	if (msg->hdr.size != sizeof(config) + op->b || config.size != op->b ||
	    config.offset != op->a)
		return dev_fail(dev, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL,
				"the back-end answered GET_CONFIG of %u bytes at %u with %u bytes "
				"at %u (%u bytes of payload)", (unsigned int)op->b,
				(unsigned int)op->a, config.size, config.offset, msg->hdr.size);
	memcpy(op->out, (const uint8_t *)msg->payload + sizeof(config), op->b);
	return 0;
}

/* Both ways: the request carries as many bytes as are wanted. */
static int send_config(struct vhost_user *u, struct vhost_op *op, uint32_t request,
		       uint32_t offset, const void *buf, size_t len, uint32_t flags)
{
	struct {
		struct vu_config head;
		uint8_t data[VU_MAX_CONFIG];
	} payload = { .head = { .offset = offset, .size = (uint32_t)len, .flags = flags } };

	if (buf)
		memcpy(payload.data, buf, len);
	return user_send(u, op, &(struct user_req){ .request = request, .payload = &payload,
						    .size = (uint32_t)(sizeof(payload.head) + len),
						    .fd = -1 });
}

static int get_config(struct vhost_dev *dev, struct vhost_op *op, uint32_t offset, void *buf,
		      size_t len)
{
	op->out = buf;
	op->a = offset;
	op->b = len;
	op->reply = reply_config;
	return send_config(to_user(dev), op, VU_GET_CONFIG, offset, NULL, len, 0);
}

static int set_config(struct vhost_dev *dev, struct vhost_op *op, uint32_t offset,
		      const void *buf, size_t len, uint32_t flags)
{
	struct vhost_user *u = to_user(dev);
	int r = send_config(u, op, VU_SET_CONFIG, offset, buf, len,
			    flags & VHOST_CONFIG_MIGRATION ? 1 : 0);

	return r < 0 ? r : user_barrier(u, op);
}

/* ----------------------------------------------------------------------- memory */

static struct vu_region_xen wire_region(const struct vhost_user *u, const struct mem_region *m)
{
	return (struct vu_region_xen){
		.region = {
			.guest_addr = m->iova, .size = m->size, .mmap_offset = m->fd_offset,
			.user_addr = has_pf(u, VHOST_USER_PF_GPA_ADDRESSES) ? m->iova :
									      m->user_addr,
		},
		.flags = m->xen_flags, .domid = m->xen_domid,
	};
}

static uint32_t region_size(const struct vhost_user *u)
{
	return has_pf(u, VHOST_USER_PF_XEN_MMAP) ? sizeof(struct vu_region_xen) :
						   sizeof(struct vu_region);
}

/* While postcopy is under way the back-end says where it has each region. */
static int reply_memory(struct vhost_dev *dev, struct vhost_op *op _unused_, uint32_t request,
			unsigned int index _unused_, const void *m)
{
	static const uint64_t ok;
	struct vhost_user *u = to_user(dev);
	const struct vu_msg *msg = m;
	uint32_t n = 1, each = region_size(u), i;
	const uint8_t *p = msg->payload;
	struct vu_mem_table table;

	if (request != VU_SET_MEM_TABLE && request != VU_ADD_MEM_REG)
		return 0;	/* a barrier, or another request of a replay */
	if (request == VU_SET_MEM_TABLE) {
		memcpy(&table, p, sizeof(table));
		n = table.n_regions;
		if (n != dev->rec.map.n)
			return dev_fail(dev, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL,
					"the back-end was told of %u memory regions, and answers of "
					"%u", dev->rec.map.n, n);
	}
	p += sizeof(uint64_t);	/* the padding of both payloads */
	for (i = 0; i < n; i++, p += each) {
		struct mem_region *region;
		struct vu_region w;
		uint64_t last;

		memcpy(&w, p, sizeof(w));
		region = mem_map_find_exact(&dev->rec.map, w.guest_addr, w.size);
		if (!region || !range_last(w.user_addr, w.size, &last))
			return dev_fail(dev, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL,
					"the back-end answers of a memory region at 0x%llx that it "
					"was not told of", (unsigned long long)w.guest_addr);
		region->peer_addr = w.user_addr;
	}
	for (i = 0; i < dev->rec.map.n; i++) {
		const struct mem_region *a = &dev->rec.map.regions[i];
		unsigned int k;

		for (k = 0; a->peer_addr && k < i; k++) {
			const struct mem_region *b = &dev->rec.map.regions[k];

			if (b->peer_addr && a->peer_addr < b->peer_addr + b->size &&
			    b->peer_addr < a->peer_addr + a->size)
				return dev_fail(dev, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL,
						"the back-end says that it has two memory regions at "
						"one address");
		}
	}
	/* The back-end waits for this, and for nothing else, before it goes on. */
	return user_send(u, NULL, &(struct user_req){ .request = request, .payload = &ok,
						      .size = sizeof(ok), .fd = -1, .now = true });
}

static int send_region(struct vhost_user *u, struct vhost_op *op, uint32_t request,
		       const struct mem_region *m, int fd)
{
	struct {
		uint64_t padding;
		struct vu_region_xen region;
	} payload = { .region = wire_region(u, m) };

	if (op)
		op->reply = reply_memory;
	return user_send(u, op, &(struct user_req){
		.request = request, .payload = &payload, .fd = fd,
		.size = (uint32_t)sizeof(uint64_t) + region_size(u) });
}

static int send_table(struct vhost_user *u, struct vhost_op *op)
{
	const struct mem_map *map = &u->dev.rec.map;
	struct {
		struct vu_mem_table head;
		uint8_t regions[VU_MAX_TABLE_REGIONS * sizeof(struct vu_region_xen)];
	} payload = { .head.n_regions = map->n };
	int fds[VU_MAX_TABLE_REGIONS];
	uint32_t each = region_size(u);
	unsigned int i;

	for (i = 0; i < map->n; i++) {
		struct vu_region_xen region = wire_region(u, &map->regions[i]);

		memcpy(payload.regions + i * each, &region, each);
		fds[i] = map->regions[i].fd;
	}
	op->reply = reply_memory;
	return user_send_fds(u, op, &(struct user_req){
		.request = VU_SET_MEM_TABLE, .payload = &payload,
		.size = (uint32_t)sizeof(payload.head) + map->n * each }, fds, map->n);
}

int user_send_memory(struct vhost_user *u, struct vhost_op *op)
{
	unsigned int i;
	int r = 0;

	if (!u->n_slots)
		return send_table(u, op);
	for (i = 0; !r && i < u->dev.rec.map.n; i++)
		r = send_region(u, op, VU_ADD_MEM_REG, &u->dev.rec.map.regions[i],
				u->dev.rec.map.regions[i].fd);
	return r;
}

static int mem_add(struct vhost_dev *dev, struct vhost_op *op, struct mem_region *region)
{
	struct vhost_user *u = to_user(dev);
	int r;

	if (u->postcopy == 2 && op->txn)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
				"while postcopy is under way memory is added outside of "
				"transactions");
	r = u->n_slots ? send_region(u, op, VU_ADD_MEM_REG, region, region->fd) :
			     send_table(u, op);

	return r < 0 ? r : user_barrier(u, op);
}

static int mem_remove(struct vhost_dev *dev, struct vhost_op *op, const struct mem_region *region)
{
	struct vhost_user *u = to_user(dev);
	int r = u->n_slots ? send_region(u, op, VU_REM_MEM_REG, region, -1) : send_table(u, op);

	return r < 0 ? r : user_barrier(u, op);
}

static int mem_set(struct vhost_dev *dev, struct vhost_op *op)
{
	struct vhost_user *u = to_user(dev);
	int r = send_table(u, op);

	return r < 0 ? r : user_barrier(u, op);
}

int user_send_iotlb(struct vhost_user *u, struct vhost_op *op, enum dev_iotlb_type type,
		    const struct vhost_iotlb_entry *entry, bool now)
{
	struct vu_iotlb msg = {
		.iova = entry->iova, .size = entry->size,
		.type = type == DEV_IOTLB_UPDATE ? VU_IOTLB_UPDATE : VU_IOTLB_INVALIDATE,
	};

	if (type == DEV_IOTLB_UPDATE) {
		const struct mem_region *m = mem_map_find(&u->dev.rec.map, entry->target,
							  entry->size);

		if (!m)
			return dev_fail(&u->dev, -EINVAL, VHOST_ERR_ARGUMENT,
					"a translation leads to %llu bytes at 0x%llx, where the "
					"device has no memory", (unsigned long long)entry->size,
					(unsigned long long)entry->target);
		msg.perm = (uint8_t)entry->perm;
		msg.user_addr = has_pf(u, VHOST_USER_PF_GPA_ADDRESSES) ? entry->target :
				m->user_addr + (entry->target - m->iova);
	}
	return user_send(u, op, &(struct user_req){ .request = VU_IOTLB_MSG, .payload = &msg,
						    .size = sizeof(msg), .fd = -1, .now = now });
}

static int reply_iotlb(struct vhost_dev *dev, struct vhost_op *op _unused_,
		       uint32_t request _unused_, unsigned int index _unused_, const void *m)
{
	const struct vu_msg *msg = m;
	uint64_t value;

	memcpy(&value, msg->payload, sizeof(value));
	if (value)
		return dev_fail(dev, -EREMOTEIO, VHOST_ERR_PEER_REFUSED,
				"the back-end refused IOTLB_MSG (it answered %llu)",
				(unsigned long long)value);
	return 0;
}

static int iotlb(struct vhost_dev *dev, struct vhost_op *op, enum dev_iotlb_type type,
		 const struct vhost_iotlb_entry *entry)
{
	op->reply = reply_iotlb;
	return user_send_iotlb(to_user(dev), op, type, entry, false);
}

/* ----------------------------------------------------------------------- queues */

static int send_vring_fd(struct vhost_user *u, struct vhost_op *op, uint32_t request,
			 unsigned int index, int fd)
{
	uint64_t value = index | (fd < 0 ? VU_VRING_NOFD : 0);

	return user_send(u, op, &(struct user_req){ .request = request, .payload = &value,
						    .size = sizeof(value), .fd = fd,
						    .index = index });
}

static int send_vring_addr(struct vhost_user *u, struct vhost_op *op, unsigned int index)
{
	const struct vhost_vq_config *c = &u->dev.rec.vqs[index].config;
	struct vu_vring_addr addr = { .index = index };
	uint64_t sizes[3];
	int r;

	vq_area_sizes(&u->dev.rec, c->size, sizes);
	r = wire_addr(u, c->desc, sizes[0], &addr.desc);
	if (!r)
		r = wire_addr(u, c->driver, sizes[1], &addr.avail);
	if (!r)
		r = wire_addr(u, c->device, sizes[2], &addr.used);
	if (r < 0)
		return dev_fail(&u->dev, r, VHOST_ERR_ARGUMENT,
				"queue %u is not in the device's memory", index);
	if (u->dev.rec.log.map) {
		addr.flags = VU_VRING_ADDR_LOG;
		addr.log = c->log ? c->log : c->device;
	}
	return user_send(u, op, &(struct user_req){ .request = VU_SET_VRING_ADDR, .payload = &addr,
						    .size = sizeof(addr), .fd = -1,
						    .index = index });
}

/* One queue. KICK comes last: some back-ends look at the addresses only then. */
static int send_vq(struct vhost_user *u, struct vhost_op *op, unsigned int index)
{
	struct vhost_vq *vq = &u->dev.rec.vqs[index];
	int r = 0;

	if (vq->endian >= 0)
		r = user_send_state(u, op, VU_SET_VRING_ENDIAN, index, (uint32_t)vq->endian);
	if (!r)
		r = user_send_state(u, op, VU_SET_VRING_NUM, index, vq->config.size);
	if (!r)
		r = user_send_state(u, op, VU_SET_VRING_BASE, index, vq->config.base);
	if (!r)
		r = send_vring_addr(u, op, index);
	if (!r && vq->config.err_fd >= 0)
		r = send_vring_fd(u, op, VU_SET_VRING_ERR, index, vq->config.err_fd);
	if (!r)
		r = send_vring_fd(u, op, VU_SET_VRING_CALL, index, vq->config.call_fd);
	if (!r)
		r = send_vring_fd(u, op, VU_SET_VRING_KICK, index, vq->config.kick_fd);
	if (!r)
		vq->running = true;
	return r;
}

static int send_enable(struct vhost_user *u, struct vhost_op *op, unsigned int index, bool enable)
{
	/* "should be sent only when VHOST_USER_F_PROTOCOL_FEATURES has been negotiated" */
	if (!(u->offered & VU_F_PROTOCOL_FEATURES))
		return 0;
	return user_send_state(u, op, VU_SET_VRING_ENABLE, index, enable);
}

static void kick(struct vhost_user *u, unsigned int index)
{
	static const uint64_t one = 1;
	const struct vhost_vq *vq = &u->dev.rec.vqs[index];

	struct pollfd p = { .fd = vq->config.kick_fd, .events = POLLOUT };

	/* The back-end has it too, and may have filled it: then it is as good as kicked. */
	if (p.fd < 0 || poll(&p, 1, 0) == 0)
		return;
	if (write(p.fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		dev_log(&u->dev, VHOST_LOG_WARNING, "queue %u: kick: %s", index, strerror(errno));
}

int user_send_vqs(struct vhost_user *u, struct vhost_op *op, bool enable)
{
	struct vhost_record *rec = &u->dev.rec;
	uint8_t status = rec->status | VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
			 VIRTIO_STATUS_FEATURES_OK;
	unsigned int i;
	int r = 0;

	/* A new back-end gets DRIVER_OK once it has its queues, as the old one did. */
	if (u->reconnecting)
		status &= (uint8_t)~VIRTIO_STATUS_DRIVER_OK;
	if (has_pf(u, VHOST_USER_PF_STATUS))
		r = user_send_u64(u, op, VU_SET_STATUS, status);
	for (i = 0; !r && i < rec->n_vqs; i++)
		if (rec->vqs[i].set_up)
			r = send_vq(u, op, i);
	for (i = 0; !r && enable && i < rec->n_vqs; i++)
		if (rec->vqs[i].set_up)
			r = send_enable(u, op, i, rec->vqs[i].enabled);
	status |= VIRTIO_STATUS_DRIVER_OK;
	if (!r && has_pf(u, VHOST_USER_PF_STATUS))
		r = user_send_u64(u, op, VU_SET_STATUS, status);
	if (!r)
		rec->status = status;
	/* Nobody may have kicked what is available already. */
	for (i = 0; !r && i < rec->n_vqs; i++)
		if (rec->vqs[i].set_up)
			kick(u, i);
	return r;
}

static int start(struct vhost_dev *dev, struct vhost_op *op)
{
	struct vhost_user *u = to_user(dev);
	int r = user_send_vqs(u, op, true);

	return r < 0 ? r : user_barrier(u, op);
}

static int reply_base(struct vhost_dev *dev, struct vhost_op *op _unused_, uint32_t request,
		      unsigned int index, const void *m)
{
	const struct vu_msg *msg = m;
	struct vu_vring_state state;
	struct vhost_vq *vq = record_vq(&dev->rec, index);

	if (request != VU_GET_VRING_BASE)
		return 0;	/* a barrier */
	memcpy(&state, msg->payload, sizeof(state));
	if (state.index != index)
		return dev_fail(dev, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL,
				"the back-end was asked where queue %u stopped, and answers for "
				"queue %u", index, state.index);
	if (!vq)
		return 0;
	if (record_has(&dev->rec, VIRTIO_BIT_RING_PACKED)) {
		/* Some know the low half only: the used index is where the available one is. */
		if (!(state.num >> 16))
			state.num |= state.num << 16;
		if ((state.num & 0x7fff) >= vq->config.size ||
		    (state.num >> 16 & 0x7fff) >= vq->config.size)
			return dev_fail(dev, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL,
					"the back-end says that queue %u stopped at 0x%x, which is "
					"beyond its %u entries", index, state.num, vq->config.size);
	} else if (state.num > UINT16_MAX) {
		return dev_fail(dev, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL,
				"the back-end says that queue %u stopped at 0x%x, which is no index "
				"of a split ring", index, state.num);
	}
	vq->config.base = state.num;
	return 0;
}

static int stop(struct vhost_dev *dev, struct vhost_op *op, enum dev_stop_mode mode)
{
	struct vhost_user *u = to_user(dev);
	unsigned int i;
	int r = 0;

	op->reply = reply_base;
	for (i = 0; !r && mode == DEV_STOP && i < dev->rec.n_vqs; i++)
		if (dev->rec.vqs[i].running)
			r = send_enable(u, op, i, false);
	for (i = 0; !r && i < dev->rec.n_vqs; i++)
		if (dev->rec.vqs[i].running)
			r = user_send_state(u, op, VU_GET_VRING_BASE, i, 0);
	return r;
}

static int reset(struct vhost_dev *dev, struct vhost_op *op)
{
	struct vhost_user *u = to_user(dev);
	int r = 0;

	if (has_pf(u, VHOST_USER_PF_RESET_DEVICE))
		r = user_send(u, op, &(struct user_req){ .request = VU_RESET_DEVICE, .fd = -1 });
	if (!r && has_pf(u, VHOST_USER_PF_STATUS))
		r = user_send_u64(u, op, VU_SET_STATUS, 0);
	if (!r)
		r = user_barrier(u, op);
	/* "every mapping dies with a device reset" */
	if (!r)
		user_shmem_reset(u);
	return r;
}

static int vq_enable(struct vhost_dev *dev, struct vhost_op *op, unsigned int index)
{
	struct vhost_user *u = to_user(dev);
	int r;

	if (!(u->offered & VU_F_PROTOCOL_FEATURES))
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"the back-end cannot enable or disable a queue that runs");
	r = send_enable(u, op, index, dev->rec.vqs[index].enabled);
	if (!r && dev->rec.vqs[index].enabled)
		kick(u, index);
	return r < 0 ? r : user_barrier(u, op);
}

static int vq_set_call(struct vhost_dev *dev, struct vhost_op *op, unsigned int index)
{
	struct vhost_user *u = to_user(dev);
	int r = send_vring_fd(u, op, VU_SET_VRING_CALL, index, dev->rec.vqs[index].config.call_fd);

	return r < 0 ? r : user_barrier(u, op);
}

static int vq_set_endian(struct vhost_dev *dev, struct vhost_op *op, unsigned int index)
{
	struct vhost_user *u = to_user(dev);
	int r = user_require(dev, VHOST_USER_PF_CROSS_ENDIAN);

	if (!r)
		r = user_send_state(u, op, VU_SET_VRING_ENDIAN, index,
				    (uint32_t)dev->rec.vqs[index].endian);
	return r < 0 ? r : user_barrier(u, op);
}

static int vq_kick(struct vhost_dev *dev, unsigned int index)
{
	struct vhost_user *u = to_user(dev);

	if (dev->rec.vqs[index].config.kick_fd >= 0) {
		kick(u, index);
		return 0;
	}
	if (has_pf(u, VHOST_USER_PF_INBAND_NOTIFICATIONS))
		return user_send_state(u, NULL, VU_VRING_KICK, index, 0);
	return 0;	/* the device polls */
}

/* -------------------------------------------------------------------- migration */

int user_send_log(struct vhost_user *u, struct vhost_op *op)
{
	struct vu_log log = { .size = u->dev.rec.log.size, .offset = 0 };
	int r = user_send(u, op, &(struct user_req){ .request = VU_SET_LOG_BASE, .payload = &log,
						     .size = sizeof(log), .fd = u->dev.rec.log.fd });

	if (!r && u->dev.rec.log.notify_fd >= 0)
		r = user_send(u, op, &(struct user_req){ .request = VU_SET_LOG_FD,
							 .fd = u->dev.rec.log.notify_fd });
	return r;
}

/* Logging goes on or off with the features, and with every ring's address. */
static int switch_log(struct vhost_user *u, struct vhost_op *op)
{
	unsigned int i;
	int r = user_send_features(u, op);

	for (i = 0; !r && i < u->dev.rec.n_vqs; i++)
		if (u->dev.rec.vqs[i].running)
			r = send_vring_addr(u, op, i);
	return r < 0 ? r : user_barrier(u, op);
}

static int log_start(struct vhost_dev *dev, struct vhost_op *op)
{
	struct vhost_user *u = to_user(dev);
	int r = user_send_log(u, op);

	return r < 0 ? r : switch_log(u, op);
}

static int log_stop(struct vhost_dev *dev, struct vhost_op *op)
{
	return switch_log(to_user(dev), op);
}

static int log_set_fd(struct vhost_dev *dev, struct vhost_op *op, int fd)
{
	struct vhost_user *u = to_user(dev);
	int r = user_send(u, op, &(struct user_req){ .request = VU_SET_LOG_FD, .fd = fd });

	return r < 0 ? r : user_barrier(u, op);
}

static uint64_t inflight_least(const struct vhost_record *rec, uint64_t queues, uint64_t size)
{
	/* "Inflight I/O tracking": the head of a queue's region, and an entry a descriptor */
	return record_has(rec, VIRTIO_BIT_RING_PACKED) ? queues * (32 + 32 * size) :
							 queues * (16 + 16 * size);
}

static int reply_inflight(struct vhost_dev *dev, struct vhost_op *op, uint32_t request,
			  unsigned int index _unused_, const void *m)
{
	const struct vu_msg *msg = m;
	struct vhost_inflight *ret = op->out;
	struct vu_inflight w = { 0 };
	struct stat st;
	uint64_t end;

	if (request != VU_GET_INFLIGHT_FD)
		return 0;
	memcpy(&w, msg->payload, msg->hdr.size);
	if (msg->n_fds != 1 || !w.mmap_size)
		return dev_fail(dev, -EREMOTEIO, VHOST_ERR_PEER_REFUSED,
				"the back-end gave no in-flight record");
	if (w.num_queues != ret->num_queues ||
	    w.mmap_size < inflight_least(&dev->rec, ret->num_queues, ret->queue_size) ||
	    !range_end(w.mmap_offset, w.mmap_size, &end) || end > INT64_MAX)
		return dev_fail(dev, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL,
				"the back-end's in-flight record cannot be right: %llu bytes at "
				"%llu for %u queues of %u", (unsigned long long)w.mmap_size,
				(unsigned long long)w.mmap_offset, w.num_queues, w.queue_size);
	if (fstat(msg->fds[0], &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size < end)
		return dev_fail(dev, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL,
				"the back-end's in-flight record is no memory of the size it says");
	close_fd(&ret->fd);
	ret->fd = TAKE_FD(msg->fds[0]);
	ret->size = w.mmap_size;
	ret->offset = w.mmap_offset;
	return 0;
}

static int inflight_get(struct vhost_dev *dev, struct vhost_op *op, uint16_t num_queues,
			uint16_t queue_size, struct vhost_inflight *ret)
{
	struct vu_inflight w = { .num_queues = num_queues, .queue_size = queue_size };

	ret->num_queues = num_queues;
	ret->queue_size = queue_size;
	op->out = ret;
	op->reply = reply_inflight;
	return user_send(to_user(dev), op, &(struct user_req){
		.request = VU_GET_INFLIGHT_FD, .payload = &w, .size = sizeof(w), .fd = -1 });
}

int user_send_inflight(struct vhost_user *u, struct vhost_op *op)
{
	const struct vhost_inflight *in = &u->dev.rec.inflight;
	struct vu_inflight w = {
		.mmap_size = in->size, .mmap_offset = in->offset,
		.num_queues = in->num_queues, .queue_size = in->queue_size,
	};

	return user_send(u, op, &(struct user_req){
		.request = VU_SET_INFLIGHT_FD, .payload = &w, .size = sizeof(w), .fd = in->fd });
}

static int inflight_set(struct vhost_dev *dev, struct vhost_op *op)
{
	struct vhost_user *u = to_user(dev);
	int r = user_send_inflight(u, op);

	return r < 0 ? r : user_barrier(u, op);
}

static int reply_device_state(struct vhost_dev *dev, struct vhost_op *op,
			      uint32_t request, unsigned int index _unused_, const void *m)
{
	const struct vu_msg *msg = m;
	int *ret = op->out;
	uint64_t value;

	memcpy(&value, msg->payload, sizeof(value));
	if (request == VU_CHECK_DEVICE_STATE) {
		if (value)
			return dev_fail(dev, -EREMOTEIO, VHOST_ERR_PEER_REFUSED,
					"the back-end says that the transfer of its state failed "
					"(%llu)", (unsigned long long)value);
		return 0;
	}
	if (value & VU_DEVICE_STATE_ERROR)
		return dev_fail(dev, -EREMOTEIO, VHOST_ERR_PEER_REFUSED,
				"the back-end refused to transfer its state (%llu)",
				(unsigned long long)(value & VU_DEVICE_STATE_ERROR));
	if ((msg->n_fds == 1) != !(value & VU_DEVICE_STATE_NOFD))
		return dev_fail(dev, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL,
				"the back-end's answer to SET_DEVICE_STATE_FD and its descriptors "
				"do not agree");
	*ret = msg->n_fds ? TAKE_FD(msg->fds[0]) : -1;
	return 0;
}

static int device_state_fd(struct vhost_dev *dev, struct vhost_op *op, int direction, int fd,
			   int *ret_fd)
{
	struct vu_transfer transfer = { .direction = (uint32_t)direction };

	op->out = ret_fd;
	op->reply = reply_device_state;
	return user_send(to_user(dev), op, &(struct user_req){
		.request = VU_SET_DEVICE_STATE_FD, .payload = &transfer, .size = sizeof(transfer),
		.fd = fd });
}

static int device_state_check(struct vhost_dev *dev, struct vhost_op *op)
{
	op->reply = reply_device_state;
	return user_send(to_user(dev), op,
			 &(struct user_req){ .request = VU_CHECK_DEVICE_STATE, .fd = -1 });
}

const struct vhost_transport_ops vhost_user_ops = {
	.name = "vhost-user",
	.mem_needs = MEM_NEEDS_FD | MEM_NEEDS_SHARED,
	.close = user_close,
	.free = user_free,
	.get_cap = user_get_cap,
	.wait = user_wait,
	.begin = user_begin,
	.commit = user_commit,
	.drop = user_drop,
	.get_fd = user_get_fd,
	.process = user_process,
	.wake = user_wake,
	.deadline = user_deadline,
	.lost = user_lost,
	.reconnect = user_reconnect,
	.get_features = get_features,
	.set_features = set_features,
	.get_status = get_status,
	.set_status = set_status,
	.get_config = get_config,
	.set_config = set_config,
	.mem_add = mem_add,
	.mem_remove = mem_remove,
	.mem_set = mem_set,
	.iotlb = iotlb,
	.start = start,
	.stop = stop,
	.reset = reset,
	.vq_enable = vq_enable,
	.vq_set_call = vq_set_call,
	.vq_set_endian = vq_set_endian,
	.vq_kick = vq_kick,
	.log_start = log_start,
	.log_stop = log_stop,
	.log_set_fd = log_set_fd,
	.inflight_get = inflight_get,
	.inflight_set = inflight_set,
	.device_state_fd = device_state_fd,
	.device_state_check = device_state_check,
};
