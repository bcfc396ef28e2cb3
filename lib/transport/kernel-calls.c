/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The calls of <vhost/net.h>, <vhost/vsock.h>, <vhost/scsi.h> and <vhost/worker.h>. */
#include <fcntl.h>

#include <vhost/net.h>
#include <vhost/scsi.h>
#include <vhost/vsock.h>
#include <vhost/worker.h>

#include "transport/kernel.h"

static int check_kernel(struct vhost_dev *dev)
{
	int r = dev_ready(dev);

	if (!r && dev->ops != &vhost_kernel_ops)
		r = dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
			     "this needs a device of the kernel's vhost, and %s is %s",
			     dev->address, dev->transport);
	return r;
}

static int check_kind(struct vhost_dev *dev, enum kdev_kind kind, const char *name)
{
	int r = dev_ready(dev);

	if (!r && (dev->ops != &vhost_kernel_ops || to_kdev(dev)->kind != kind))
		r = dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED, "this needs %s, and %s is %s",
			     name, dev->address, dev->transport);
	return r;
}

static int check_stopped(struct vhost_dev *dev)
{
	return dev->state == VHOST_DEV_STOPPED ? 0 :
	       dev_fail(dev, -EBUSY, VHOST_ERR_STATE, "not while the device runs");
}

static int check_queue(struct vhost_dev *dev, unsigned int index)
{
	unsigned int n = to_kernel(dev)->n_queues;

	return index < n ? 0 :
	       dev_fail(dev, -EINVAL, VHOST_ERR_LIMIT,
			"queue %u: the device has the queues 0 to %u", index, n - 1);
}

/* -------------------------------------------------------------------------- net */

VHOST_EXPORT int vhost_net_set_backend(vhost_dev_t *dev, unsigned int index, int fd)
{
	struct vhost_kernel *kn;
	int old, r = check_kind(dev, KDEV_NET, "vhost-net");
	_cleanup_close_ int dup = -1;
	struct vhost_vq *vq;

	if (!r)
		r = check_queue(dev, index);
	if (r < 0)
		return r;
	kn = to_kernel(dev);
	if (fd >= 0) {
		dup = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (dup < 0)
			return dev_fail(dev, -errno, VHOST_ERR_ARGUMENT, "descriptor %d: %s", fd,
					strerror(errno));
	}
	old = kn->net_fd[index];
	kn->net_fd[index] = dup;
	vq = record_vq(&dev->rec, index);
	if (vq && vq->running && vq->enabled) {
		r = kernel_net_attach(kn, index, dup >= 0);
		if (r < 0) {
			kn->net_fd[index] = old;	/* it is attached still */
			return r;
		}
		if (dup >= 0)
			kdev_kick(&kn->k, index);
	}
	close_fd(&old);
	dup = -1;
	return 0;
}

VHOST_EXPORT int vhost_net_set_header(vhost_dev_t *dev, int enable)
{
	int r = check_kind(dev, KDEV_NET, "vhost-net");

	if (!r)
		r = check_stopped(dev);
	if (!r)
		to_kernel(dev)->net_header = enable;
	return r;
}

/* ------------------------------------------------------------------------ vsock */

VHOST_EXPORT int vhost_vsock_set_cid(vhost_dev_t *dev, uint64_t cid)
{
	int r = check_kind(dev, KDEV_VSOCK, "vhost-vsock");

	if (!r)
		r = check_stopped(dev);
	if (r < 0)
		return r;
	if (cid < 3 || cid >= UINT32_MAX)
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"%llu cannot be a guest's vsock address: 3 to %u can",
				(unsigned long long)cid, UINT32_MAX - 1);
	r = kdev_try(to_kdev(dev), KV_VSOCK_SET_GUEST_CID, &cid);
	if (r == -EADDRINUSE)
		return dev_fail(dev, r, VHOST_ERR_IN_USE,
				"the vsock address %llu is another guest's", (unsigned long long)cid);
	if (r < 0)
		return kdev_fail(to_kdev(dev), r, KV_VSOCK_SET_GUEST_CID, -1);
	to_kernel(dev)->cid_set = true;
	return 0;
}

/* ------------------------------------------------------------------------- scsi */

VHOST_EXPORT int vhost_scsi_set_endpoint(vhost_dev_t *dev, const char *wwpn, uint16_t tpgt)
{
	struct vhost_kernel *kn;
	int r = check_kind(dev, KDEV_SCSI, "vhost-scsi");
	size_t len = wwpn ? strlen(wwpn) : 1;

	if (!r)
		r = check_stopped(dev);
	if (r < 0)
		return r;
	kn = to_kernel(dev);
	if (!len || len >= sizeof(kn->endpoint.wwpn))
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"the name of a target has 1 to %zu bytes, not %zu",
				sizeof(kn->endpoint.wwpn) - 1, len);
	memset(&kn->endpoint, 0, sizeof(kn->endpoint));
	kn->endpoint_set = wwpn != NULL;
	if (!wwpn)
		return 0;
	kn->endpoint.abi_version = 1;
	kn->endpoint.tpgt = tpgt;
	memcpy(kn->endpoint.wwpn, wwpn, len);
	return 0;
}

VHOST_EXPORT int vhost_scsi_get_abi_version(vhost_dev_t *dev, int *ret)
{
	int32_t version = 0;
	int r = check_kind(dev, KDEV_SCSI, "vhost-scsi");

	if (!r)
		r = kdev_ioctl(to_kdev(dev), KV_SCSI_GET_ABI_VERSION, &version);
	if (!r)
		*ret = version;
	return r;
}

VHOST_EXPORT int vhost_scsi_get_events_missed(vhost_dev_t *dev, uint32_t *ret)
{
	uint32_t missed = 0;
	int r = check_kind(dev, KDEV_SCSI, "vhost-scsi");

	if (!r)
		r = kdev_ioctl(to_kdev(dev), KV_SCSI_GET_EVENTS_MISSED, &missed);
	if (!r)
		*ret = missed;
	return r;
}

VHOST_EXPORT int vhost_scsi_set_events_missed(vhost_dev_t *dev, uint32_t missed)
{
	int r = check_kind(dev, KDEV_SCSI, "vhost-scsi");

	if (r < 0)
		return r;
	if (missed > 1)
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT, "events were missed or not: 0 or 1");
	return kdev_ioctl(to_kdev(dev), KV_SCSI_SET_EVENTS_MISSED, &missed);
}

/* ---------------------------------------------------------------------- workers */

/* A call that this kernel or this kind of device may not have. */
static int call_worker(struct vhost_dev *dev, unsigned long request, void *arg, int index)
{
	struct kdev *k = to_kdev(dev);
	int r = kdev_try(k, request, arg);

	if (r == -ENOTTY || r == -ENOBUFS || r == -EFAULT)
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"%s has no workers to choose among: vhost-scsi has, from Linux 6.5 on",
				dev->transport);
	if (r == -EBUSY)
		return dev_fail(dev, r, VHOST_ERR_STATE, "the worker serves a queue");
	if (r == -ENODEV || r == -ENOENT)
		return dev_fail(dev, -ENODEV, VHOST_ERR_ARGUMENT, "the device has no such worker");
	return r < 0 ? kdev_fail(k, r, request, index) : 0;
}

VHOST_EXPORT int vhost_worker_new(vhost_dev_t *dev, uint32_t *ret)
{
	struct kv_worker worker = { 0 };
	int r = check_kernel(dev);

	if (!r)
		r = call_worker(dev, KV_NEW_WORKER, &worker, -1);
	if (!r)
		*ret = worker.id;
	return r;
}

VHOST_EXPORT int vhost_worker_free(vhost_dev_t *dev, uint32_t id)
{
	struct kv_worker worker = { .id = id };
	int r = check_kernel(dev);
	uint64_t can = 0;

	if (r < 0)
		return r;
	/* Where there is no such call the kernel takes the id for a queue's index. */
	dev->ops->get_cap(dev, VHOST_CAP_WORKERS, &can);
	if (!can)
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"%s has no workers to choose among", dev->transport);
	return call_worker(dev, KV_FREE_WORKER, &worker, -1);
}

VHOST_EXPORT int vhost_worker_attach(vhost_dev_t *dev, unsigned int index, uint32_t id)
{
	struct kv_vring_worker worker = { .index = index, .id = id };
	int r = check_kernel(dev);

	if (!r)
		r = check_queue(dev, index);
	return r < 0 ? r : call_worker(dev, KV_ATTACH_VRING_WORKER, &worker, (int)index);
}

VHOST_EXPORT int vhost_worker_get(vhost_dev_t *dev, unsigned int index, uint32_t *ret)
{
	struct kv_vring_worker worker = { .index = index };
	int r = check_kernel(dev);

	if (!r)
		r = check_queue(dev, index);
	if (!r)
		r = call_worker(dev, KV_GET_VRING_WORKER, &worker, (int)index);
	if (!r)
		*ret = worker.id;
	return r;
}

VHOST_EXPORT int vhost_worker_get_mode(vhost_dev_t *dev, int *ret)
{
	/* room for what an older kernel takes for a queue's index and number */
	struct kv_vring_state room = { 0 };
	int r = check_kernel(dev);

	if (r < 0)
		return r;
	r = kdev_probe(to_kdev(dev), KV_GET_FORK_FROM_OWNER, &room);
	if (r == -ENOTSUP)
		return dev_fail(dev, r, VHOST_ERR_UNSUPPORTED,
				"this kernel does not tell what its workers are (Linux 6.17 does)");
	if (r < 0)
		return kdev_fail(to_kdev(dev), r, KV_GET_FORK_FROM_OWNER, -1);
	*ret = *(const uint8_t *)&room ? VHOST_WORKER_TASK : VHOST_WORKER_KTHREAD;
	return 0;
}

VHOST_EXPORT int vhost_worker_set_busyloop(vhost_dev_t *dev, unsigned int index, uint32_t us)
{
	int r = check_kernel(dev);

	if (!r)
		r = check_queue(dev, index);
	if (!r && us > INT32_MAX)
		r = dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT, "%u us is too long to poll", us);
	return r < 0 ? r : kdev_vring(to_kdev(dev), KV_SET_VRING_BUSYLOOP, index, us);
}

VHOST_EXPORT int vhost_worker_get_busyloop(vhost_dev_t *dev, unsigned int index, uint32_t *ret)
{
	struct kv_vring_state state = { .index = index };
	int r = check_kernel(dev);

	if (!r)
		r = check_queue(dev, index);
	if (r < 0)
		return r;
	r = kdev_try(to_kdev(dev), KV_GET_VRING_BUSYLOOP, &state);
	if (r < 0)
		return kdev_fail(to_kdev(dev), r, KV_GET_VRING_BUSYLOOP, (int)index);
	*ret = state.num;
	return 0;
}
