/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The kernel's vhost: net, vsock and scsi. Addresses of rings and memory are those of
 * this process; with VIRTIO_F_ACCESS_PLATFORM rings and buffers are IOVAs, and the
 * kernel's IOTLB has what they stand for.
 */
#include "transport/kernel.h"

#include <fcntl.h>
#include <stdio.h>

static const char *const names[] = {
	[KDEV_NET] = "vhost-net",
	[KDEV_VSOCK] = "vhost-vsock",
	[KDEV_SCSI] = "vhost-scsi",
};

size_t kernel_struct_size(void)
{
	return sizeof(struct vhost_kernel);
}

void kernel_prepare(struct kdev *k)
{
	struct vhost_kernel *kn = to_kernel(&k->dev);

	k->dev.transport = names[k->kind];
	kn->net_fd[0] = kn->net_fd[1] = -1;
	kn->workers = kn->cross_endian = -1;
}

unsigned int kernel_module_limit(const char *path, unsigned int fallback)
{
	char text[16] = "";
	unsigned long value;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fallback;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	value = n > 0 ? strtoul(text, NULL, 10) : 0;
	return value && value <= INT32_MAX ? (unsigned int)value : fallback;
}

int kernel_init(struct kdev *k)
{
	struct vhost_kernel *kn = to_kernel(&k->dev);
	static const uint32_t device_ids[] = {
		[KDEV_NET] = 1, [KDEV_VSOCK] = 19, [KDEV_SCSI] = 8,
	};
	int32_t version = 0;
	int r;

	k->dev.device_id = device_ids[k->kind];
	if (k->kind != KDEV_SCSI) {
		kn->n_queues = 2;
		return kdev_ack_backend_features(k);
	}
	r = kdev_ioctl(k, KV_SCSI_GET_ABI_VERSION, &version);
	if (r < 0)
		return r;
	if (version < 1)
		return dev_fail(&k->dev, -EPROTONOSUPPORT, VHOST_ERR_INCOMPATIBLE,
				"the kernel's vhost-scsi has an interface of version %d, and 1 is "
				"needed", version);
	/* requests' queues, and the control and event queues */
	kn->n_queues = 2 + kernel_module_limit("/sys/module/vhost_scsi/parameters/max_io_vqs", 128);
	if (kn->n_queues > VHOST_MAX_QUEUES)
		kn->n_queues = VHOST_MAX_QUEUES;
	return 0;
}

static void kernel_free(struct vhost_dev *dev)
{
	struct vhost_kernel *kn = to_kernel(dev);

	close_fd(&kn->net_fd[0]);
	close_fd(&kn->net_fd[1]);
	free(kn->entries);
	kdev_free(dev);
}

/* ------------------------------------------------------- features, capabilities */

static int ask_features(struct vhost_kernel *kn, unsigned int n)
{
	struct kdev *k = &kn->k;
	/*
	 * Not more than the kernel has: some releases clear the wrong memory, past the
	 * words that they know, where they are asked for more.
	 */
	uint64_t array[1 + 2] = { 2 };
	int r;

	if (k->n_offered >= n)
		return 0;
	if (n > 1 && k->kind == KDEV_NET) {
		r = kdev_probe(k, KV_GET_FEATURES_ARRAY, array);
		if (r >= 0) {
			memcpy(k->offered, &array[1], sizeof(k->offered));
			k->n_offered = 2;
			return 0;
		}
		if (r != -ENOTSUP)
			return kdev_fail(k, r, KV_GET_FEATURES_ARRAY, -1);
	}
	k->offered[1] = 0;
	r = kdev_ioctl(k, KV_GET_FEATURES, &k->offered[0]);
	if (r < 0)
		return r;
	k->n_offered = n > 1 || k->kind != KDEV_NET ? 2 : 1;
	return 0;
}

/*
 * Bits that are the transport's business, and not the device's. IN_ORDER is left out as
 * well: a vhost-net that has it (Linux 7.2) takes the base for the number of the next
 * descriptor, so that after a stop and a start it reads others' descriptors once a
 * chain was longer than one.
 */
static uint64_t own_bits(const struct vhost_kernel *kn)
{
	return KV_F_LOG_ALL | (kn->k.kind == KDEV_NET ?
			       KV_NET_F_HEADER | 1ull << VIRTIO_BIT_IN_ORDER : 0);
}

static int get_features(struct vhost_dev *dev, struct vhost_op *op _unused_, uint64_t *ret,
			unsigned int n)
{
	struct vhost_kernel *kn = to_kernel(dev);
	int r = ask_features(kn, n > 1 ? 2 : 1);

	if (r < 0)
		return r;
	memset(ret, 0, n * sizeof(*ret));
	ret[0] = kn->k.offered[0] & ~own_bits(kn);
	if (n > 1)
		ret[1] = kn->k.offered[1];
	return 0;
}

static int send_features(struct vhost_kernel *kn)
{
	struct vhost_record *rec = &kn->k.dev.rec;
	uint64_t array[1 + 2] = { 2, rec->features[0], rec->features[1] };
	int r;

	if (rec->log.map)
		array[1] |= KV_F_LOG_ALL;
	if (kn->net_header)
		array[1] |= KV_NET_F_HEADER;
	r = array[2] ? kdev_ioctl(&kn->k, KV_SET_FEATURES_ARRAY, array) :
		       kdev_ioctl(&kn->k, KV_SET_FEATURES, &array[1]);
	if (r < 0)
		return r;
	/* The kernel's IOTLB is empty after this. */
	if (!record_has(rec, VIRTIO_BIT_ACCESS_PLATFORM))
		kn->n_entries = 0;
	return kernel_update_again(kn);
}

static int set_features(struct vhost_dev *dev, struct vhost_op *op _unused_)
{
	struct vhost_kernel *kn = to_kernel(dev);
	const uint64_t *want = dev->rec.features;
	uint64_t lacking;
	unsigned int i;
	int r = ask_features(kn, want[1] ? 2 : 1);

	if (r < 0)
		return r;
	if (kn->net_header && !(kn->k.offered[0] & KV_NET_F_HEADER))
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"the kernel does not supply virtio-net headers");
	lacking = want[0] & ~(kn->k.offered[0] & ~own_bits(kn));
	if (lacking)
		return dev_lacks(dev, lacking);
	for (i = 1; i < VHOST_FEATURE_WORDS; i++)
		if (want[i] & ~(i == 1 ? kn->k.offered[1] : 0))
			return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
					"the device does not offer the features 0x%llx of word %u",
					(unsigned long long)(want[i] & ~(i == 1 ? kn->k.offered[1] : 0)),
					i);
	return send_features(kn);
}

/* Yes or no, found out with a call that changes nothing. */
static bool known(struct vhost_kernel *kn, int8_t *answer, unsigned long request)
{
	struct kv_vring_state state = { .index = 0 };

	if (*answer < 0)
		*answer = kdev_probe(&kn->k, request, &state) >= 0;
	return *answer;
}

static int get_cap(const struct vhost_dev *cdev, uint32_t cap, uint64_t *ret)
{
	/* what is learnt here changes nothing that anyone sees */
	struct vhost_dev *dev = (struct vhost_dev *)(uintptr_t)cdev;
	struct vhost_kernel *kn = to_kernel(dev);
	bool net = kn->k.kind == KDEV_NET;

	switch (cap) {
	case VHOST_CAP_DEVICE_ID:
		*ret = dev->device_id;
		break;
	case VHOST_CAP_MAX_QUEUES:
		*ret = kn->n_queues;
		break;
	case VHOST_CAP_MAX_QUEUE_SIZE:
		*ret = VHOST_VIRTQ_SIZE_MAX;
		break;
	case VHOST_CAP_MAX_MEM_REGIONS:
		if (!kn->max_regions)
			kn->max_regions = kernel_module_limit("/sys/module/vhost/parameters/max_mem_regions",
						       64);
		*ret = kn->max_regions;
		break;
	case VHOST_CAP_IOVA_LAST:
		*ret = UINT64_MAX - 1;
		break;
	case VHOST_CAP_SUSPEND:
	case VHOST_CAP_RESUME:
	case VHOST_CAP_REPLY_ACK:
	case VHOST_CAP_ADDRESS_SPACES:
	case VHOST_CAP_MEM_NEEDS_ADDR:
		*ret = 1;
		break;
	case VHOST_CAP_RESET:
	case VHOST_CAP_ENABLE_RUNNING:
		*ret = net;
		break;
	case VHOST_CAP_LOG:
		*ret = kn->k.fd >= 0 && ask_features(kn, 1) == 0 && kn->k.offered[0] & KV_F_LOG_ALL;
		break;
	case VHOST_CAP_IOTLB:
		*ret = kn->k.fd >= 0 && ask_features(kn, 1) == 0 &&
		       kn->k.offered[0] >> VIRTIO_BIT_ACCESS_PLATFORM & 1;
		break;
	case VHOST_CAP_WORKERS:
		*ret = known(kn, &kn->workers, KV_GET_VRING_WORKER);
		break;
	case VHOST_CAP_CROSS_ENDIAN:
		*ret = known(kn, &kn->cross_endian, KV_GET_VRING_ENDIAN);
		break;
	default:
		*ret = 0;
		break;
	}
	return 0;
}

static int nothing(struct vhost_dev *dev _unused_)
{
	return 0;	/* each call of a transaction acts at once */
}

static void drop(struct vhost_dev *dev _unused_)
{
}

/* The devices have no status of their own. */
static int get_status(struct vhost_dev *dev, struct vhost_op *op _unused_, uint8_t *ret)
{
	*ret = dev->rec.status;
	return 0;
}

static int set_status(struct vhost_dev *dev, struct vhost_op *op, uint8_t status)
{
	if (!status && dev->state > VHOST_DEV_STOPPED)
		return dev->ops->stop(dev, op, DEV_STOP);
	return 0;
}

/* ---------------------------------------------------------------------- memory */

static int send_table(struct vhost_kernel *kn)
{
	const struct mem_map *map = &kn->k.dev.rec.map;
	_cleanup_free_ struct kv_mem_table *table = NULL;
	unsigned int i;
	int r;

	table = calloc(1, sizeof(*table) + map->n * sizeof(table->regions[0]));
	if (!table)
		return dev_fail(&kn->k.dev, -ENOMEM, VHOST_ERR_OTHER, "out of memory");
	table->n = map->n;
	for (i = 0; i < map->n; i++) {
		table->regions[i].guest_addr = map->regions[i].iova;
		table->regions[i].size = map->regions[i].size;
		table->regions[i].user_addr = (uintptr_t)map->regions[i].addr;
	}
	r = kdev_try(&kn->k, KV_SET_MEM_TABLE, table);
	switch (r) {
	case -E2BIG:
		return dev_fail(&kn->k.dev, -ENOSPC, VHOST_ERR_LIMIT,
				"%u memory regions are more than the kernel takes: the parameter "
				"max_mem_regions of its module vhost says how many", map->n);
	case -EFAULT:
		return dev_fail(&kn->k.dev, r, VHOST_ERR_ARGUMENT,
				"the kernel does not take the memory: some of it is not this "
				"process's, or a queue that runs would lose its rings");
	default:
		return r < 0 ? kdev_fail(&kn->k, r, KV_SET_MEM_TABLE, -1) : 0;
	}
}

static int send_memory(struct vhost_kernel *kn)
{
	int r = send_table(kn);

	return r < 0 ? r : kernel_drop_stale(kn);
}

static int mem_add(struct vhost_dev *dev, struct vhost_op *op _unused_,
		   struct mem_region *region _unused_)
{
	return send_table(to_kernel(dev));
}

static int mem_remove(struct vhost_dev *dev, struct vhost_op *op _unused_,
		      const struct mem_region *region _unused_)
{
	return send_memory(to_kernel(dev));
}

static int mem_set(struct vhost_dev *dev, struct vhost_op *op _unused_)
{
	return send_memory(to_kernel(dev));
}

static int iotlb(struct vhost_dev *dev, struct vhost_op *op _unused_, enum dev_iotlb_type type,
		 const struct vhost_iotlb_entry *entry)
{
	struct vhost_kernel *kn = to_kernel(dev);

	return type == DEV_IOTLB_UPDATE ? kernel_update(kn, entry) :
					  kernel_invalidate(kn, entry->iova, entry->size);
}

static void answer_miss(struct vhost_kernel *kn, const struct kv_iotlb *m)
{
	struct vhost_dev *dev = &kn->k.dev;
	struct vhost_iotlb_entry entry;
	uint32_t perm = m->perm && m->perm <= 3 ? m->perm : VHOST_IOTLB_PERM_READ;
	int r = kdev_translate(&kn->k, m->iova, perm, &entry);

	if (r < 0)	/* the queue waits; there is no way to tell the kernel */
		dev_log(dev, VHOST_LOG_WARNING, "%s: 0x%llx has no translation for the device: %s",
			dev->address, (unsigned long long)m->iova, strerror(-r));
	else
		kernel_update(kn, &entry);
}

/* The messages that one call of process() takes at most. */
#define MESSAGES_AT_ONCE 64

static int process(struct vhost_dev *dev)
{
	struct kdev *k = to_kdev(dev);
	struct kv_iotlb m;
	uint32_t asid;
	int i, r = kdev_process_events(k);

	if (r < 0 || !record_has(&dev->rec, VIRTIO_BIT_ACCESS_PLATFORM))
		return r;
	for (i = 0; i < MESSAGES_AT_ONCE; i++) {
		r = kdev_read_iotlb(k, &asid, &m);
		if (r <= 0)
			return r;
		if (m.type == KV_IOTLB_MISS)
			answer_miss(to_kernel(dev), &m);
		else if (m.type == KV_IOTLB_ACCESS_FAIL && dev->events.iotlb_fault)
			dev->events.iotlb_fault(dev, m.iova, m.perm, dev->events_opaque);
		else if (m.type != KV_IOTLB_ACCESS_FAIL)
			dev_log(dev, VHOST_LOG_WARNING,
				"%s: the kernel sent an IOTLB message of type %u", dev->address,
				m.type);
	}
	return 0;
}

/* ---------------------------------------------------------------------- queues */

static int ring_addresses(struct vhost_kernel *kn, unsigned int index, struct kv_vring_addr *ret)
{
	struct vhost_record *rec = &kn->k.dev.rec;
	const struct vhost_vq_config *c = &rec->vqs[index].config;
	struct { uint64_t iova; uint64_t *ret; } areas[] = {
		{ c->desc, &ret->desc }, { c->driver, &ret->avail }, { c->device, &ret->used },
	};
	uint64_t sizes[3];
	unsigned int i;

	memset(ret, 0, sizeof(*ret));
	ret->index = index;
	if (rec->log.map) {
		ret->flags = KV_VRING_F_LOG;
		ret->log = c->log ? c->log : c->device;
	}
	vq_area_sizes(rec, c->size, sizes);
	for (i = 0; i < ARRAY_SIZE(areas); i++) {
		const struct mem_region *region;

		if (record_has(rec, VIRTIO_BIT_ACCESS_PLATFORM)) {
			*areas[i].ret = areas[i].iova;
			continue;
		}
		region = mem_map_find(&rec->map, areas[i].iova, sizes[i]);
		if (!region)
			return dev_fail(&kn->k.dev, -EFAULT, VHOST_ERR_ARGUMENT,
					"queue %u is not in the device's memory", index);
		*areas[i].ret = (uintptr_t)region->addr + (areas[i].iova - region->iova);
	}
	return 0;
}

/*
 * The kernel looks at the rings when a queue is attached, and does not ask for their
 * translation then but fails: so it has them before.
 */
static int translate_rings(struct vhost_kernel *kn, unsigned int index)
{
	struct vhost_record *rec = &kn->k.dev.rec;
	const struct vhost_vq_config *c = &rec->vqs[index].config;
	uint64_t at[3] = { c->desc, c->driver, c->device }, sizes[3];
	unsigned int i;

	if (!record_has(rec, VIRTIO_BIT_ACCESS_PLATFORM))
		return 0;
	vq_area_sizes(rec, c->size, sizes);
	for (i = 0; i < 3; i++) {
		uint64_t iova = at[i], last = at[i] + sizes[i] - 1;

		while (iova <= last) {
			uint32_t perm = VHOST_IOTLB_PERM_READ | (i == 2 ? VHOST_IOTLB_PERM_WRITE : 0);
			struct vhost_iotlb_entry entry;
			int r = kdev_translate(&kn->k, iova, perm, &entry);

			if (r < 0 && kernel_given(kn, iova, perm, &entry))
				r = 0;
			if (r < 0)
				return dev_fail(&kn->k.dev, -EFAULT, VHOST_ERR_ARGUMENT,
						"queue %u: its ring at 0x%llx has no translation: %s",
						index, (unsigned long long)iova, strerror(-r));
			r = kernel_has_entry(kn, &entry) ? 0 : kernel_update(kn, &entry);
			if (r < 0)
				return r;
			/* each step goes forward: the entry has @iova in it */
			if (entry.size - 1 - (iova - entry.iova) >= last - iova)
				break;
			iova = entry.iova + entry.size;
		}
	}
	return 0;
}

static int net_attach(struct vhost_kernel *kn, unsigned int index, bool attach)
{
	struct kv_vring_file file = { .index = index, .fd = attach ? kn->net_fd[index] : -1 };
	int r = kdev_try(&kn->k, KV_NET_SET_BACKEND, &file);

	switch (r) {
	case -ENOTSOCK:
	case -EBADFD:
	case -EPFNOSUPPORT:
	case -ESOCKTNOSUPPORT:
		return dev_fail(&kn->k.dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"queue %u: what vhost_net_set_backend() was given is neither a tap "
				"that is attached to its interface nor a packet socket (%s)", index,
				strerror(-r));
	case -EFAULT:
		return dev_fail(&kn->k.dev, r, VHOST_ERR_ARGUMENT,
				"queue %u: the kernel cannot use its rings where they are", index);
	default:
		return r < 0 ? kdev_fail(&kn->k, r, KV_NET_SET_BACKEND, (int)index) : 0;
	}
}

int kernel_net_attach(struct vhost_kernel *kn, unsigned int index, bool attach)
{
	int r = attach ? translate_rings(kn, index) : 0;

	return r < 0 ? r : net_attach(kn, index, attach);
}

#define TARGETS "/sys/kernel/config/target/vhost"

static int attach_scsi(struct vhost_kernel *kn)
{
	char path[sizeof(TARGETS) + 1 + sizeof(kn->endpoint.wwpn)];
	int r = kdev_try(&kn->k, KV_SCSI_SET_ENDPOINT, &kn->endpoint);

	switch (r) {
	case -ENODEV:
	case -ENOENT:
	case -EEXIST:
		/* all that the kernel says is that it found none to take */
		snprintf(path, sizeof(path), TARGETS "/%s", kn->endpoint.wwpn);
		if (!strchr(kn->endpoint.wwpn, '/') && access(path, F_OK) == 0)
			return dev_fail(&kn->k.dev, -ENODEV, VHOST_ERR_IN_USE,
					"the target %s is another device's already, or has no nexus",
					kn->endpoint.wwpn);
		return dev_fail(&kn->k.dev, -ENODEV, VHOST_ERR_ARGUMENT,
				"the kernel has no vhost-scsi target %s: there are those below "
				TARGETS, kn->endpoint.wwpn);
	case -EFAULT:
		return dev_fail(&kn->k.dev, r, VHOST_ERR_ARGUMENT,
				"the kernel cannot use the rings where they are");
	default:
		return r < 0 ? kdev_fail(&kn->k, r, KV_SCSI_SET_ENDPOINT, -1) : 0;
	}
}

/* Let go of all queues; goes on when one fails, and gives the first error. */
static int detach(struct vhost_kernel *kn)
{
	int32_t off = 0;
	unsigned int i;
	int first = 0, r = 0;

	if (!kn->attached)
		return 0;
	switch (kn->k.kind) {
	case KDEV_NET:
		for (i = 0; i < NET_QUEUES; i++) {
			if (kn->told[i])
				r = net_attach(kn, i, false);
			if (!first)
				first = r;
		}
		break;
	case KDEV_VSOCK:
		first = kdev_ioctl(&kn->k, KV_VSOCK_SET_RUNNING, &off);
		break;
	default:
		first = kdev_ioctl(&kn->k, KV_SCSI_CLEAR_ENDPOINT, &kn->endpoint);
		break;
	}
	kn->attached = first < 0;
	return first;
}

/* Attach the queues that are set up, or of these only those that run already. */
static int attach(struct vhost_kernel *kn, bool running)
{
	struct vhost_record *rec = &kn->k.dev.rec;
	bool net = kn->k.kind == KDEV_NET;
	int32_t on = 1;
	unsigned int i;
	int r = 0;

	for (i = 0; !r && i < rec->n_vqs; i++)
		if (rec->vqs[i].set_up && (!running || rec->vqs[i].running))
			r = translate_rings(kn, i);
	if (r < 0)
		return r;
	for (i = 0; !r && net && i < rec->n_vqs; i++) {
		if (!rec->vqs[i].set_up || !rec->vqs[i].enabled ||
		    (running && !rec->vqs[i].running))
			continue;
		kn->attached = true;
		r = net_attach(kn, i, true);
	}
	if (net)
		return r;
	if (kn->k.kind == KDEV_VSOCK) {
		r = kdev_try(&kn->k, KV_VSOCK_SET_RUNNING, &on);
		if (r == -EFAULT)
			r = dev_fail(&kn->k.dev, r, VHOST_ERR_ARGUMENT,
				     "the kernel cannot use the rings where they are");
		else if (r < 0)
			r = kdev_fail(&kn->k, r, KV_VSOCK_SET_RUNNING, -1);
		kn->attached = true;	/* one queue may be, though the other failed */
	} else {
		r = attach_scsi(kn);
		kn->attached = r >= 0;	/* one that is not set cannot be cleared */
	}
	return r < 0 ? r : 0;
}

/* Is there what the device is to be attached to? */
static int check_backends(struct vhost_kernel *kn)
{
	struct vhost_dev *dev = &kn->k.dev;
	unsigned int i;

	for (i = 0; i < dev->rec.n_vqs; i++) {
		const struct vhost_vq *vq = &dev->rec.vqs[i];

		if (!vq->set_up)
			continue;
		if (kn->k.kind != KDEV_NET && !vq->enabled)
			return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
					"queue %u: %s cannot leave a queue disabled", i,
					dev->transport);
		if (kn->k.kind == KDEV_NET && vq->enabled && kn->net_fd[i] < 0)
			return dev_fail(dev, -EINVAL, VHOST_ERR_STATE,
					"queue %u has no tap: vhost_net_set_backend() gives it one", i);
	}
	if (kn->k.kind == KDEV_VSOCK && !kn->cid_set)
		return dev_fail(dev, -EINVAL, VHOST_ERR_STATE,
				"the device has no address: vhost_vsock_set_cid() gives it one");
	if (kn->k.kind == KDEV_VSOCK && (!record_vq(&dev->rec, 0) || !record_vq(&dev->rec, 1)))
		return dev_fail(dev, -EINVAL, VHOST_ERR_STATE,
				"vhost-vsock needs queue 0 and queue 1");
	if (kn->k.kind == KDEV_SCSI && !kn->endpoint_set)
		return dev_fail(dev, -EINVAL, VHOST_ERR_STATE,
				"the device has no target: vhost_scsi_set_endpoint() chooses one");
	return 0;
}

/* The kernel would use a queue that it has the addresses of, though we know it no more. */
static int forget_vq(struct vhost_kernel *kn, unsigned int index)
{
	struct kv_vring_addr none = { .index = index };
	int r = kdev_try(&kn->k, KV_SET_VRING_ADDR, &none);

	if (r < 0)
		return kdev_fail(&kn->k, r, KV_SET_VRING_ADDR, (int)index);
	r = kdev_vring_fd(&kn->k, KV_SET_VRING_CALL, index, -1);
	if (!r)
		r = kdev_vring_fd(&kn->k, KV_SET_VRING_KICK, index, -1);
	if (!r)
		kn->told[index] = false;
	return r;
}

static int send_vqs(struct vhost_kernel *kn)
{
	struct vhost_record *rec = &kn->k.dev.rec;
	struct kv_vring_addr addr;
	unsigned int i;
	int r = 0;

	for (i = 0; !r && i < kn->n_queues; i++) {
		if (!record_vq(rec, i)) {
			if (kn->told[i])
				r = forget_vq(kn, i);
			continue;
		}
		r = ring_addresses(kn, i, &addr);
		if (r < 0)
			break;
		kn->told[i] = true;
		r = kdev_send_vq(&kn->k, i, &addr);
	}
	return r;
}

static int start(struct vhost_dev *dev, struct vhost_op *op _unused_)
{
	struct vhost_kernel *kn = to_kernel(dev);
	struct vhost_record *rec = &dev->rec;
	unsigned int i;
	int r = check_backends(kn);

	if (!r)
		r = detach(kn);	/* a stop that failed may have left it */
	if (!r)
		r = send_vqs(kn);
	if (!r)
		r = attach(kn, false);
	if (r < 0) {
		struct vhost_error error = dev->error;
		bool began = kn->attached;

		detach(kn);
		/* what one queue did before another failed is done */
		for (i = 0; began && i < rec->n_vqs; i++)
			if (rec->vqs[i].set_up)
				kdev_get_base(&kn->k, i);
		dev->error = error;
		return r;
	}
	rec->status |= VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
		       VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK;
	for (i = 0; i < rec->n_vqs; i++) {
		if (!rec->vqs[i].set_up)
			continue;
		rec->vqs[i].running = true;
		kdev_kick(&kn->k, i);
	}
	return 0;
}

static int stop(struct vhost_dev *dev, struct vhost_op *op, enum dev_stop_mode mode _unused_)
{
	struct vhost_kernel *kn = to_kernel(dev);
	unsigned int i;
	int r = detach(kn);

	for (i = 0; i < dev->rec.n_vqs; i++) {
		int base = dev->rec.vqs[i].running ? kdev_get_base(&kn->k, i) : 0;

		if (!r)
			r = base;
	}
	op->acted = true;
	op->status = r;
	return 0;
}

static int send_log(struct vhost_kernel *kn)
{
	struct vhost_log *log = &kn->k.dev.rec.log;
	uint64_t base = (uintptr_t)log->map;
	int r = kdev_ioctl(&kn->k, KV_SET_LOG_BASE, &base);

	if (!r && log->notify_fd >= 0)
		r = kdev_ioctl(&kn->k, KV_SET_LOG_FD, &log->notify_fd);
	return r;
}

static int reset(struct vhost_dev *dev, struct vhost_op *op _unused_)
{
	struct vhost_kernel *kn = to_kernel(dev);
	uint64_t none = 0;
	int r;

	kn->n_entries = 0;
	/* Only vhost-net is reset by giving up its owner; the others forget with the features. */
	if (kn->k.kind != KDEV_NET) {
		r = detach(kn);
		return r < 0 ? r : kdev_ioctl(&kn->k, KV_SET_FEATURES, &none);
	}
	r = kn->k.owned ? kdev_ioctl(&kn->k, KV_RESET_OWNER, NULL) : 0;
	if (r < 0)
		return r;
	kn->k.owned = kn->attached = false;
	memset(kn->k.err_set, 0, sizeof(kn->k.err_set));
	memset(kn->told, 0, sizeof(kn->told));
	r = kdev_own(&kn->k);
	if (!r)
		r = kdev_ack_backend_features(&kn->k);
	if (!r && dev->rec.map.n)
		r = send_table(kn);
	if (!r && dev->rec.log.map)
		r = send_log(kn);
	return r;
}

static int vq_enable(struct vhost_dev *dev, struct vhost_op *op _unused_, unsigned int index)
{
	struct vhost_kernel *kn = to_kernel(dev);
	bool enable = dev->rec.vqs[index].enabled;
	int r;

	if (kn->k.kind != KDEV_NET)
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"%s cannot enable or disable a queue that runs", dev->transport);
	if (enable && kn->net_fd[index] < 0)
		return dev_fail(dev, -EINVAL, VHOST_ERR_STATE,
				"queue %u has no tap: vhost_net_set_backend() gives it one", index);
	r = kernel_net_attach(kn, index, enable);
	if (!r && enable)
		kdev_kick(&kn->k, index);
	return r;
}

static int vq_set_endian(struct vhost_dev *dev, struct vhost_op *op _unused_, unsigned int index)
{
	struct kdev *k = to_kdev(dev);
	struct kv_vring_state state = {
		.index = index, .num = (uint32_t)dev->rec.vqs[index].endian,
	};
	int r = kdev_probe(k, KV_SET_VRING_ENDIAN, &state);

	return r < 0 ? kdev_fail(k, r == -ENOTSUP ? -EOPNOTSUPP : r, KV_SET_VRING_ENDIAN,
				 (int)index) : 0;
}

/* ---------------------------------------------------------------------- dirty log */

/*
 * The features turn it on for data, the addresses for rings. With an IOTLB new addresses
 * are for a queue that does not run: the kernel keeps what it found at the old ones; and
 * the features empty it.
 */
static int switch_log(struct vhost_kernel *kn)
{
	struct vhost_dev *dev = &kn->k.dev;
	bool pause = kn->attached && record_has(&dev->rec, VIRTIO_BIT_ACCESS_PLATFORM);
	struct kv_vring_addr addr;
	unsigned int i;
	int again, r = pause ? detach(kn) : 0;

	if (!r)
		r = send_features(kn);
	for (i = 0; !r && i < dev->rec.n_vqs; i++) {
		if (!dev->rec.vqs[i].running)
			continue;
		r = ring_addresses(kn, i, &addr);
		if (r < 0)
			break;
		r = kdev_try(&kn->k, KV_SET_VRING_ADDR, &addr);
		if (r < 0)
			r = kdev_fail(&kn->k, r, KV_SET_VRING_ADDR, (int)i);
	}
	again = pause ? attach(kn, true) : 0;
	return r ? r : again;
}

static int log_start(struct vhost_dev *dev, struct vhost_op *op _unused_)
{
	struct vhost_kernel *kn = to_kernel(dev);
	struct vhost_log *log = &dev->rec.log, none = { .fd = -1, .notify_fd = log->notify_fd };
	int r = send_log(kn);

	if (r < 0)
		return r;
	r = switch_log(kn);
	if (r < 0) {
		/* nothing may be written there once it is unmapped */
		struct vhost_log kept = *log;
		struct vhost_error error = dev->error;

		*log = none;
		switch_log(kn);
		*log = kept;
		dev->error = error;
	}
	return r;
}

static int log_stop(struct vhost_dev *dev, struct vhost_op *op _unused_)
{
	return switch_log(to_kernel(dev));
}

static int log_set_fd(struct vhost_dev *dev, struct vhost_op *op _unused_, int fd)
{
	return kdev_ioctl(to_kdev(dev), KV_SET_LOG_FD, &fd);
}

const struct vhost_transport_ops vhost_kernel_ops = {
	.name = "vhost",
	.mem_needs = MEM_NEEDS_ADDR,
	.mem_limit = "the parameter max_mem_regions of the kernel's module vhost says so",
	.close = kdev_close,
	.free = kernel_free,
	.get_cap = get_cap,
	.wait = kdev_wait,
	.begin = nothing,
	.commit = nothing,
	.drop = drop,
	.get_fd = kdev_get_fd,
	.process = process,
	.wake = kdev_wake,
	.deadline = kdev_deadline,
	.lost = kdev_lost,
	.get_features = get_features,
	.set_features = set_features,
	.get_status = get_status,
	.set_status = set_status,
	.mem_add = mem_add,
	.mem_remove = mem_remove,
	.mem_set = mem_set,
	.iotlb = iotlb,
	.rings_in = kernel_rings_in,
	.start = start,
	.stop = stop,
	.reset = reset,
	.vq_enable = vq_enable,
	.vq_set_call = kdev_vq_set_call,
	.vq_set_endian = vq_set_endian,
	.vq_kick = kdev_vq_kick,
	.log_start = log_start,
	.log_stop = log_stop,
	.log_set_fd = log_set_fd,
};
