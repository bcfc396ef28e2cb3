/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * vDPA by way of /dev/vhost-vdpa-N. Addresses of rings and buffers are IOVAs, and memory
 * is what the IOTLB maps (vdpa-map.c). The device has a status, and its rules are kept
 * here: features before FEATURES_OK, queues before DRIVER_OK, everything anew after 0.
 */
#include "transport/vdpa.h"

#include <endian.h>
#include <sys/eventfd.h>

#define STATUS_DRIVER (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER)
#define MAX_GROUPS 65536u	/* more than that a kernel's answer cannot mean */

size_t vdpa_struct_size(void)
{
	return sizeof(struct vhost_vdpa);
}

void vdpa_prepare(struct kdev *k)
{
	to_vdpa(&k->dev)->config_fd = to_vdpa(&k->dev)->config_user_fd = -1;
}

/* Ask for a number that older kernels do not tell. */
static int ask(struct kdev *k, unsigned long request, uint32_t *ret, uint32_t fallback)
{
	int r = kdev_probe(k, request, ret);

	if (r == -ENOTSUP)
		*ret = fallback;
	else if (r < 0)
		return kdev_fail(k, r, request, -1);
	return 0;
}

static int write_status(struct vhost_vdpa *v, uint8_t status)
{
	int r = kdev_ioctl(&v->k, KV_VDPA_SET_STATUS, &status);

	if (r < 0)
		return r;
	v->status = status;
	if (!status) {
		v->features_lost = v->groups_lost = v->config_lost = true;
		v->maps_lost |= !has_bf(&v->k, KV_BF_IOTLB_PERSIST);
		v->needs_reset = false;
	}
	return 0;
}

int vdpa_init(struct kdev *k)
{
	struct vhost_vdpa *v = to_vdpa(&k->dev);
	int r = kdev_ack_backend_features(k);

	if (!r)
		r = kdev_ioctl(k, KV_VDPA_GET_DEVICE_ID, &k->dev.device_id);
	if (!r)
		r = ask(k, KV_VDPA_GET_VQS_COUNT, &v->n_queues, VHOST_MAX_QUEUES);
	if (!r)
		r = kdev_ioctl(k, KV_VDPA_GET_VRING_NUM, &v->queue_size);
	if (r < 0)
		return r;
	if (v->n_queues > VHOST_MAX_QUEUES)
		v->n_queues = VHOST_MAX_QUEUES;
	r = kdev_probe(k, KV_VDPA_GET_IOVA_RANGE, &v->range);
	if (r == -ENOTSUP)
		v->range = (struct kv_iova_range){ 0, UINT64_MAX };
	else if (r < 0)
		return kdev_fail(k, r, KV_VDPA_GET_IOVA_RANGE, -1);
	if (v->range.first > v->range.last)
		return dev_fail(&k->dev, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL,
				"the kernel says that the device's addresses are 0x%llx to 0x%llx",
				(unsigned long long)v->range.first,
				(unsigned long long)v->range.last);
	return ask(k, KV_VDPA_GET_CONFIG_SIZE, &v->config_size, 256);
}

static void vdpa_close(struct vhost_dev *dev)
{
	struct vhost_vdpa *v = to_vdpa(dev);

	vdpa_doorbells_unmap(v);
	kdev_close(dev);
	close_fd(&v->config_fd);
	close_fd(&v->config_user_fd);
}

static void vdpa_free(struct vhost_dev *dev)
{
	struct vhost_vdpa *v = to_vdpa(dev);

	free(v->maps);
	free(v->group_asid);
	kdev_free(dev);
}

/* ------------------------------------------------------- features, capabilities */

static int ask_features(struct kdev *k)
{
	int r;

	if (k->n_offered)
		return 0;
	r = kdev_ioctl(k, KV_GET_FEATURES, &k->offered[0]);
	if (!r)
		k->n_offered = 1;
	return r;
}

static int get_features(struct vhost_dev *dev, struct vhost_op *op _unused_, uint64_t *ret,
			unsigned int n)
{
	struct kdev *k = to_kdev(dev);
	int r;

	k->n_offered = 0;	/* what a device offers may have changed, as with a new daemon */
	r = ask_features(k);
	if (r < 0)
		return r;
	memset(ret, 0, n * sizeof(*ret));
	ret[0] = k->offered[0] & ~KV_F_LOG_ALL;
	return 0;
}

static int send_features(struct vhost_vdpa *v)
{
	/* The IOTLB is there whether a driver knows of it or not, and some devices insist. */
	uint64_t features = v->k.dev.rec.features[0] |
			    (v->k.offered[0] & 1ull << VIRTIO_BIT_ACCESS_PLATFORM);
	int r;

	/* Features are read at FEATURES_OK, and can be changed before it only. */
	if (v->status & VIRTIO_STATUS_FEATURES_OK) {
		r = write_status(v, 0);
		if (r < 0)
			return r;
	}
	if ((v->status & STATUS_DRIVER) != STATUS_DRIVER) {
		r = write_status(v, STATUS_DRIVER);
		if (r < 0)
			return r;
	}
	r = kdev_ioctl(&v->k, KV_SET_FEATURES, &features);
	if (!r)
		v->features_lost = false;
	return r;
}

static int set_features(struct vhost_dev *dev, struct vhost_op *op _unused_)
{
	struct vhost_vdpa *v = to_vdpa(dev);
	uint64_t lacking;
	unsigned int i;
	int r = ask_features(&v->k);

	if (r < 0)
		return r;
	lacking = dev->rec.features[0] & ~(v->k.offered[0] & ~KV_F_LOG_ALL);
	if (lacking)
		return dev_lacks(dev, lacking);
	for (i = 1; i < VHOST_FEATURE_WORDS; i++)
		if (dev->rec.features[i])
			return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
					"vDPA carries the feature bits 0 to 63 only");
	return send_features(v);
}

/* Groups and address spaces: of a device that has not several there is one of each. */
void vdpa_learn_groups(struct vhost_vdpa *v)
{
	if (v->n_groups)
		return;
	if (has_bf(&v->k, KV_BF_IOTLB_ASID)) {
		kdev_probe(&v->k, KV_VDPA_GET_GROUP_NUM, &v->n_groups);
		kdev_probe(&v->k, KV_VDPA_GET_AS_NUM, &v->n_as);
	}
	if (!v->n_groups || v->n_groups > MAX_GROUPS)
		v->n_groups = 1;
	if (!v->n_as)
		v->n_as = 1;
}

static int get_cap(const struct vhost_dev *cdev, uint32_t cap, uint64_t *ret)
{
	/* what is learnt here changes nothing that anyone sees */
	struct vhost_dev *dev = (struct vhost_dev *)(uintptr_t)cdev;
	struct vhost_vdpa *v = to_vdpa(dev);

	switch (cap) {
	case VHOST_CAP_DEVICE_ID:
		*ret = dev->device_id;
		break;
	case VHOST_CAP_MAX_QUEUES:
		*ret = v->n_queues;
		break;
	case VHOST_CAP_MAX_QUEUE_SIZE:
		*ret = v->queue_size;
		break;
	case VHOST_CAP_MAX_MEM_REGIONS:
		*ret = UINT32_MAX;
		break;
	case VHOST_CAP_IOVA_FIRST:
		*ret = v->range.first;
		break;
	case VHOST_CAP_IOVA_LAST:
		/* where memory ends is one past it, and must be a number, too */
		*ret = v->range.last < UINT64_MAX ? v->range.last : UINT64_MAX - 1;
		break;
	case VHOST_CAP_MEM_NEEDS_SHARED:
		*ret = !(v->k.open_flags & VHOST_OPEN_PRIVATE_MEM);
		break;
	case VHOST_CAP_MEM_NEEDS_ADDR:
	case VHOST_CAP_MEM_PINNED:
	case VHOST_CAP_MEM_HOTPLUG:
	case VHOST_CAP_STATUS:
	case VHOST_CAP_RESET:
	case VHOST_CAP_IOTLB:
	case VHOST_CAP_REPLY_ACK:
		*ret = 1;
		break;
	case VHOST_CAP_CONFIG:
		*ret = v->config_size > 0;
		break;
	case VHOST_CAP_CONFIG_MAX:
		*ret = v->config_size;
		break;
	case VHOST_CAP_SUSPEND:
		*ret = has_bf(&v->k, KV_BF_SUSPEND);
		break;
	case VHOST_CAP_RESUME:
		*ret = has_bf(&v->k, KV_BF_RESUME);
		break;
	case VHOST_CAP_ENABLE_RUNNING:
		*ret = has_bf(&v->k, KV_BF_ENABLE_AFTER_DRIVER_OK);
		break;
	case VHOST_CAP_ADDRESS_SPACES:
		vdpa_learn_groups(v);
		*ret = v->n_as;
		break;
	case VHOST_CAP_GROUPS:
		vdpa_learn_groups(v);
		*ret = v->n_groups;
		break;
	default:
		*ret = 0;
		break;
	}
	return 0;
}

/* ------------------------------------------------------------------ status, config */

static int get_status(struct vhost_dev *dev, struct vhost_op *op _unused_, uint8_t *ret)
{
	return kdev_ioctl(to_kdev(dev), KV_VDPA_GET_STATUS, ret);
}

static int set_status(struct vhost_dev *dev, struct vhost_op *op, uint8_t status)
{
	struct vhost_vdpa *v = to_vdpa(dev);

	if (!status && dev->state > VHOST_DEV_STOPPED)
		return dev->ops->stop(dev, op, DEV_STOP);
	/* With DRIVER_OK the device is live: that comes with its queues, from start(). */
	if (dev->state == VHOST_DEV_STOPPED)
		status &= (uint8_t)~VIRTIO_STATUS_DRIVER_OK;
	return write_status(v, status);
}

static int move_config(struct vhost_dev *dev, unsigned long request, uint32_t offset, void *buf,
		       size_t len)
{
	struct vhost_vdpa *v = to_vdpa(dev);
	_cleanup_free_ struct kv_config *c = NULL;
	int r;

	if (!range_within(offset, len, v->config_size))
		return dev_fail(dev, -EREMOTEIO, VHOST_ERR_PEER_REFUSED,
				"the device has no %zu bytes of configuration space at %u: it has %u "
				"altogether", len, offset, v->config_size);
	c = calloc(1, sizeof(*c) + len);
	if (!c)
		return dev_fail(dev, -ENOMEM, VHOST_ERR_OTHER, "out of memory");
	c->offset = offset;
	c->len = (uint32_t)len;
	if (request == KV_VDPA_SET_CONFIG)
		memcpy(c->data, buf, len);
	r = kdev_try(&v->k, request, c);
	if (r == -EINVAL || r == -E2BIG)
		return dev_fail(dev, -EREMOTEIO, VHOST_ERR_PEER_REFUSED,
				"the device has no %zu bytes of configuration space at %u that can be "
				"%s", len, offset, request == KV_VDPA_SET_CONFIG ? "written" : "read");
	if (r < 0)
		return kdev_fail(&v->k, r, request, -1);
	if (request == KV_VDPA_GET_CONFIG)
		memcpy(buf, c->data, len);
	return 0;
}

static int get_config(struct vhost_dev *dev, struct vhost_op *op _unused_, uint32_t offset,
		      void *buf, size_t len)
{
	return move_config(dev, KV_VDPA_GET_CONFIG, offset, buf, len);
}

static int set_config(struct vhost_dev *dev, struct vhost_op *op _unused_, uint32_t offset,
		      const void *buf, size_t len, uint32_t flags _unused_)
{
	return move_config(dev, KV_VDPA_SET_CONFIG, offset, (void *)(uintptr_t)buf, len);
}

/* ------------------------------------------------------------------ event loop */

int vdpa_listen_config(struct vhost_vdpa *v)
{
	int r;

	if (v->config_user_fd >= 0 || v->config_fd >= 0)
		return 0;
	v->config_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->config_fd < 0)
		return dev_fail(&v->k.dev, -errno, VHOST_ERR_OTHER, "eventfd: %s", strerror(errno));
	r = kdev_ioctl(&v->k, KV_VDPA_SET_CONFIG_CALL, &v->config_fd);
	if (!r)
		r = kdev_watch(&v->k, v->config_fd);
	if (r < 0)
		close_fd(&v->config_fd);
	return r;
}

static int get_fd(struct vhost_dev *dev)
{
	struct vhost_vdpa *v = to_vdpa(dev);
	int fd = kdev_get_fd(dev), r;

	if (fd < 0)
		return fd;
	if (v->config_fd >= 0)
		r = kdev_watch(&v->k, v->config_fd);	/* process() was there first */
	else
		r = vdpa_listen_config(v);
	return r < 0 ? r : fd;
}

/* Something changed: the configuration space, or the status to NEEDS_RESET. */
static int config_interrupt(struct vhost_vdpa *v)
{
	struct vhost_dev *dev = &v->k.dev;
	uint8_t status = 0;
	int r;

	if (dev->events.config_changed)
		dev->events.config_changed(dev, dev->events_opaque);
	r = dev_ready(dev);
	if (!r)
		r = kdev_ioctl(&v->k, KV_VDPA_GET_STATUS, &status);
	if (r < 0 || !(status & VIRTIO_STATUS_NEEDS_RESET) || v->needs_reset)
		return r;
	v->needs_reset = true;
	dev_fail(dev, -EIO, VHOST_ERR_NEEDS_RESET,
		 "%s: the device failed, and goes on only after a reset", dev->address);
	if (dev->events.needs_reset)
		dev->events.needs_reset(dev, dev->events_opaque);
	return 0;
}

static int process(struct vhost_dev *dev)
{
	struct vhost_vdpa *v = to_vdpa(dev);
	uint64_t n;
	int r = kdev_process_events(&v->k);

	if (!r)
		r = vdpa_listen_config(v);
	if (r < 0 || v->config_fd < 0 || read(v->config_fd, &n, sizeof(n)) < 0)
		return r;
	return config_interrupt(v);
}

/* ----------------------------------------------------------------- transactions */

static int begin(struct vhost_dev *dev)
{
	vdpa_batch_begin(to_vdpa(dev));
	return 0;
}

static int commit(struct vhost_dev *dev)
{
	return vdpa_batch_end(to_vdpa(dev));
}

/* Calls act when they are made: the mappings among them stay. */
static void drop(struct vhost_dev *dev)
{
	vdpa_batch_end(to_vdpa(dev));
}

/* ---------------------------------------------------------------------- memory */

static int mem_add(struct vhost_dev *dev, struct vhost_op *op _unused_, struct mem_region *region)
{
	struct vdpa_map map = {
		.iova = region->iova, .size = region->size, .addr = (uintptr_t)region->addr,
		.region = region->iova,
		.perm = region->flags & VHOST_MEM_READONLY ? VHOST_IOTLB_PERM_READ :
			VHOST_IOTLB_PERM_READ | VHOST_IOTLB_PERM_WRITE,
	};

	return region->flags & VHOST_MEM_UNMAPPED ? 0 : vdpa_map(to_vdpa(dev), &map);
}

static int mem_remove(struct vhost_dev *dev, struct vhost_op *op _unused_,
		      const struct mem_region *region)
{
	return vdpa_unmap_region(to_vdpa(dev), region->iova);
}

static int iotlb(struct vhost_dev *dev, struct vhost_op *op _unused_, enum dev_iotlb_type type,
		 const struct vhost_iotlb_entry *entry)
{
	struct vhost_vdpa *v = to_vdpa(dev);
	struct vdpa_map map = {
		.iova = entry->iova, .size = entry->size, .perm = (uint8_t)entry->perm,
		.asid = entry->asid,
	};
	int r;

	if (type == DEV_IOTLB_INVALIDATE)
		return vdpa_unmap(v, entry->asid, entry->iova, entry->iova + (entry->size - 1));
	r = kdev_check_target(&v->k, entry, &map.addr, &map.region);
	return r < 0 ? r : vdpa_map(v, &map);
}

/* ---------------------------------------------------------------------- queues */

int vdpa_get_group(struct vhost_vdpa *v, unsigned long request, unsigned int index,
		   uint32_t *ret)
{
	struct kv_vring_state state = { .index = index };
	int r = kdev_probe(&v->k, request, &state);

	if (r < 0)
		return r == -ENOTSUP ? r : kdev_fail(&v->k, r, request, (int)index);
	vdpa_learn_groups(v);
	if (state.num >= v->n_groups)
		return dev_fail(&v->k.dev, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL,
				"the kernel says that queue %u is in group %u, and that there are %u",
				index, state.num, v->n_groups);
	*ret = state.num;
	return 0;
}

/* The address space that a queue's rings are in. */
static int ring_asid(struct vhost_vdpa *v, unsigned int index, uint32_t *ret)
{
	uint32_t group;
	int r;

	*ret = 0;
	if (!v->group_asid)
		return 0;	/* all are where they were at first */
	r = has_bf(&v->k, KV_BF_DESC_ASID) ?
	    vdpa_get_group(v, KV_VDPA_GET_VRING_DESC_GROUP, index, &group) : -ENOTSUP;
	if (r == -ENOTSUP)
		r = vdpa_get_group(v, KV_VDPA_GET_VRING_GROUP, index, &group);
	if (r == -ENOTSUP)
		return 0;
	if (!r)
		*ret = v->group_asid[group];
	return r;
}

static int check_rings(struct vhost_vdpa *v, unsigned int index)
{
	const struct vhost_vq_config *c = &v->k.dev.rec.vqs[index].config;
	uint64_t at[3] = { c->desc, c->driver, c->device }, sizes[3];
	unsigned int i;
	uint32_t asid;
	int r = ring_asid(v, index, &asid);

	vq_area_sizes(&v->k.dev.rec, c->size, sizes);
	for (i = 0; !r && i < 3; i++)
		if (!vdpa_is_mapped(v, asid, at[i], sizes[i]))
			r = dev_fail(&v->k.dev, -EFAULT, VHOST_ERR_ARGUMENT,
				     "queue %u: %llu bytes of its ring at 0x%llx are not in the "
				     "memory that the device was given (address space %u)", index,
				     (unsigned long long)sizes[i], (unsigned long long)at[i], asid);
	return r;
}

static bool rings_in(const struct vhost_dev *dev, unsigned int index,
		     const struct mem_region *region)
{
	const struct vhost_vdpa *v = to_vdpa_const(dev);
	const struct vhost_vq *vq = &dev->rec.vqs[index];
	uint64_t at[3] = { vq->config.desc, vq->config.driver, vq->config.device }, sizes[3];
	unsigned int i;

	if (!vq->running &&
	    !(dev->state == VHOST_DEV_SUSPENDED && v->ran[index]))
		return false;
	vq_area_sizes(&dev->rec, vq->config.size, sizes);
	for (i = 0; i < 3; i++)
		if (vdpa_leads_to(v, at[i], sizes[i], region->iova))
			return true;
	return false;
}

/* A reset took from the device what it had in flight: have it done again, if that is known. */
static int recover(struct vhost_vdpa *v, unsigned int index)
{
	struct vhost_vq *vq = &v->k.dev.rec.vqs[index];

	if (!vq->interrupted)
		return 0;
	if (!vq->virtq)
		return dev_fail(&v->k.dev, -ESTALE, VHOST_ERR_REQUESTS_LOST,
				"queue %u had requests in flight when the device was stopped, which "
				"it can only be by a reset: attach a virtq, or set its base", index);
	vhost_virtq_requeue(vq->virtq, &vq->config.base);
	vq->interrupted = false;
	return 0;
}

static int send_vq(struct vhost_vdpa *v, unsigned int index)
{
	const struct vhost_vq *vq = &v->k.dev.rec.vqs[index];
	struct kv_vring_addr addr = {
		.index = index, .desc = vq->config.desc, .avail = vq->config.driver,
		.used = vq->config.device,
	};
	int r = kdev_send_vq(&v->k, index, &addr);

	return !r && vq->enabled ? kdev_vring(&v->k, KV_VDPA_SET_VRING_ENABLE, index, 1) : r;
}

static int send_config_call(struct vhost_vdpa *v)
{
	int fd = v->config_user_fd >= 0 ? v->config_user_fd : v->config_fd;
	int r = v->config_lost && fd >= 0 ? kdev_ioctl(&v->k, KV_VDPA_SET_CONFIG_CALL, &fd) : 0;

	if (!r)
		v->config_lost = false;
	return r;
}

static int send_groups(struct vhost_vdpa *v)
{
	unsigned int i;
	int r = 0;

	for (i = 0; !r && v->group_asid && v->groups_lost && i < v->n_groups; i++)
		if (v->group_asid[i])
			r = kdev_vring(&v->k, KV_VDPA_SET_GROUP_ASID, i, v->group_asid[i]);
	if (!r)
		v->groups_lost = false;
	return r;
}

/* Set bits of the status, and see whether they stay. */
static int reach_status(struct vhost_vdpa *v, uint8_t status)
{
	struct vhost_dev *dev = &v->k.dev;
	uint8_t is = 0;
	int read, r;

	status |= v->status;	/* bits go with a reset only */
	r = write_status(v, status);
	/* the kernel refuses to take NEEDS_RESET away, and says EINVAL */
	if (r < 0 && r != -EINVAL)
		return r;
	read = kdev_ioctl(&v->k, KV_VDPA_GET_STATUS, &is);
	if (read < 0)
		return read;
	if (is & (VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FAILED))
		return dev_fail(dev, -EIO, VHOST_ERR_NEEDS_RESET,
				"%s: the device failed (status 0x%x)", dev->address, is);
	if (r < 0)
		return dev_fail(dev, r, VHOST_ERR_OTHER,
				"%s: the kernel does not set the status 0x%x, where it is 0x%x",
				dev->address, status, is);
	if ((is & status) == status)
		return 0;
	if (status & VIRTIO_STATUS_DRIVER_OK)
		return dev_fail(dev, -EIO, VHOST_ERR_OTHER,
				"%s: the device did not start (status 0x%x)", dev->address, is);
	return dev_fail(dev, -EREMOTEIO, VHOST_ERR_PEER_REFUSED,
			"the device does not take the features 0x%llx (FEATURES_OK did not stay: "
			"status 0x%x)", (unsigned long long)dev->rec.features[0], is);
}

static int bring_up(struct vhost_vdpa *v)
{
	struct vhost_record *rec = &v->k.dev.rec;
	unsigned int i;
	int r = 0;

	if (v->features_lost || !rec->features_set || !(v->status & VIRTIO_STATUS_DRIVER)) {
		r = ask_features(&v->k);
		if (!r)
			r = send_features(v);
	}
	if (!r)
		r = vdpa_batch_flush(v);
	if (!r && v->maps_lost) {
		r = vdpa_remap(v);
		if (!r)
			r = vdpa_batch_flush(v);
		v->maps_lost = r < 0;
	}
	for (i = 0; !r && i < rec->n_vqs; i++)
		if (rec->vqs[i].set_up)
			r = check_rings(v, i);
	if (!r)
		r = reach_status(v, STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK);
	if (!r)
		r = send_config_call(v);
	if (!r)
		r = send_groups(v);
	for (i = 0; !r && i < rec->n_vqs; i++) {
		if (!rec->vqs[i].set_up)
			continue;
		r = recover(v, i);
		if (!r)
			r = send_vq(v, i);
	}
	if (!r)
		r = reach_status(v, STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK |
				    VIRTIO_STATUS_DRIVER_OK);
	return r;
}

/* The used index of a split ring, as this process sees it. */
static bool used_idx(struct vhost_vdpa *v, unsigned int index, uint16_t *ret)
{
	const struct vhost_vq *vq = &v->k.dev.rec.vqs[index];
	const uint16_t *p;
	uint32_t asid;

	if (record_has(&v->k.dev.rec, VIRTIO_BIT_RING_PACKED) || ring_asid(v, index, &asid) < 0)
		return false;
	p = (const uint16_t *)(uintptr_t)vdpa_address(v, asid, vq->config.device + 2, sizeof(*p));
	if (!p)
		return false;
	*ret = le16toh(READ_ONCE(*p));
	return true;
}

/*
 * Stop a device that cannot be suspended: only a reset makes it let go, and takes what it
 * has in flight with it. Nothing was in flight if the device had used all that it had
 * taken, and used no more before the reset.
 */
static int stop_by_reset(struct vhost_vdpa *v)
{
	struct vhost_record *rec = &v->k.dev.rec;
	bool packed = record_has(rec, VIRTIO_BIT_RING_PACKED);
	uint16_t before[VHOST_MAX_QUEUES], after;
	unsigned int i;
	int r = 0, base;

	for (i = 0; i < rec->n_vqs; i++) {
		struct vhost_vq *vq = &rec->vqs[i];
		bool seen;

		if (!vq->running)
			continue;
		seen = used_idx(v, i, &before[i]);
		base = kdev_get_base(&v->k, i);
		if (!r)
			r = base;
		if (packed)
			vq->interrupted = base || vq->config.base >> 16 != (vq->config.base & 0xffff);
		else
			vq->interrupted = base || !seen || vq->config.base != before[i];
		/* our own record of a virtq is surer than any index */
		vq->interrupted |= vq->virtq != NULL;
	}
	base = write_status(v, 0);
	if (!r)
		r = base;
	for (i = 0; i < rec->n_vqs; i++) {
		struct vhost_vq *vq = &rec->vqs[i];

		if (!vq->running || vq->virtq || packed || !used_idx(v, i, &after))
			continue;
		if (record_has(rec, VIRTIO_BIT_IN_ORDER)) {
			vq->interrupted = false;
			vq->config.base = after;
		} else {
			vq->interrupted |= after != before[i];
		}
	}
	return r;
}

/* Go on with the queues that ran, as they are wanted by now. */
static int resume(struct vhost_vdpa *v)
{
	struct vhost_record *rec = &v->k.dev.rec;
	unsigned int i;
	int r = vdpa_batch_flush(v);

	for (i = 0; !r && i < rec->n_vqs; i++) {
		if (!v->ran[i])
			continue;
		r = kdev_vring_fd(&v->k, KV_SET_VRING_CALL, i, rec->vqs[i].config.call_fd);
		if (!r && has_bf(&v->k, KV_BF_ENABLE_AFTER_DRIVER_OK))
			r = kdev_vring(&v->k, KV_VDPA_SET_VRING_ENABLE, i, rec->vqs[i].enabled);
	}
	return r ? r : kdev_ioctl(&v->k, KV_VDPA_RESUME, NULL);
}

static int start(struct vhost_dev *dev, struct vhost_op *op _unused_)
{
	struct vhost_vdpa *v = to_vdpa(dev);
	struct vhost_record *rec = &dev->rec;
	bool resumes = dev->state == VHOST_DEV_SUSPENDED;
	unsigned int i;
	int r = resumes ? resume(v) : bring_up(v);

	if (r < 0 && !resumes) {
		struct vhost_error error = dev->error;

		/* it may have begun */
		for (i = 0; v->status & VIRTIO_STATUS_DRIVER_OK && i < rec->n_vqs; i++)
			rec->vqs[i].running = rec->vqs[i].set_up;
		stop_by_reset(v);
		for (i = 0; i < rec->n_vqs; i++)
			rec->vqs[i].running = false;
		dev->error = error;
	}
	if (r < 0)
		return r;
	rec->status = v->status;
	for (i = 0; i < rec->n_vqs; i++) {
		if (!rec->vqs[i].set_up || (resumes && !v->ran[i]))
			continue;
		rec->vqs[i].running = true;
		rec->vqs[i].interrupted = false;
		kdev_kick(&v->k, i);
	}
	return 0;
}

static int stop(struct vhost_dev *dev, struct vhost_op *op, enum dev_stop_mode mode)
{
	struct vhost_vdpa *v = to_vdpa(dev);
	struct vhost_record *rec = &dev->rec;
	unsigned int i;
	int r = 0, base;

	op->acted = true;
	if (!has_bf(&v->k, KV_BF_SUSPEND)) {
		op->status = stop_by_reset(v);
		return 0;
	}
	if (dev->state != VHOST_DEV_SUSPENDED) {
		r = kdev_ioctl(&v->k, KV_VDPA_SUSPEND, NULL);
		if (r < 0 && mode == DEV_SUSPEND)
			return r;	/* it runs as before */
		memset(v->ran, 0, sizeof(v->ran));
		for (i = 0; i < rec->n_vqs; i++) {
			if (!rec->vqs[i].running)
				continue;
			base = kdev_get_base(&v->k, i);
			rec->vqs[i].interrupted = r < 0 || base < 0;
			v->ran[i] = true;
			if (!r)
				r = base;
		}
	}
	if (mode == DEV_STOP) {
		base = write_status(v, 0);
		if (!r)
			r = base;
	}
	op->status = r;
	return 0;
}

static int reset(struct vhost_dev *dev, struct vhost_op *op _unused_)
{
	struct vhost_vdpa *v = to_vdpa(dev);

	if (v->group_asid)
		memset(v->group_asid, 0, v->n_groups * sizeof(*v->group_asid));
	return write_status(v, 0);
}

static int vq_enable(struct vhost_dev *dev, struct vhost_op *op _unused_, unsigned int index)
{
	struct vhost_vdpa *v = to_vdpa(dev);
	int r;

	if (!has_bf(&v->k, KV_BF_ENABLE_AFTER_DRIVER_OK))
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"queue %u: the device cannot enable or disable a queue that runs",
				index);
	r = vdpa_batch_flush(v);
	if (r < 0)
		return r;
	r = kdev_vring(&v->k, KV_VDPA_SET_VRING_ENABLE, index, dev->rec.vqs[index].enabled);
	if (!r && dev->rec.vqs[index].enabled)
		kdev_kick(&v->k, index);
	return r;
}

const struct vhost_transport_ops vhost_vdpa_ops = {
	.name = "vhost-vdpa",
	.mem_needs = MEM_NEEDS_ADDR | MEM_NEEDS_SHARED | MEM_NEEDS_PAGES,
	.maps_memory = true,
	.close = vdpa_close,
	.free = vdpa_free,
	.get_cap = get_cap,
	.wait = kdev_wait,
	.begin = begin,
	.commit = commit,
	.drop = drop,
	.get_fd = get_fd,
	.process = process,
	.wake = kdev_wake,
	.deadline = kdev_deadline,
	.lost = kdev_lost,
	.get_features = get_features,
	.set_features = set_features,
	.get_status = get_status,
	.set_status = set_status,
	.get_config = get_config,
	.set_config = set_config,
	.mem_add = mem_add,
	.mem_remove = mem_remove,
	.iotlb = iotlb,
	.iova_taken = vdpa_taken,
	.rings_in = rings_in,
	.batch_begin = begin,
	.batch_end = commit,
	.start = start,
	.stop = stop,
	.reset = reset,
	.vq_enable = vq_enable,
	.vq_set_call = kdev_vq_set_call,
	.vq_kick = kdev_vq_kick,
};
