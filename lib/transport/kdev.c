/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* What the kernel's devices have in common: calls, their errors, the life of a handle. */
#include "transport/kdev.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "proto/kernel-text.h"
#include "trace.h"

/* An errno of the kernel's own, which it lets out where a device has no doorbells. */
#define ENOTSUPP 524

/* ----------------------------------------------------------- the system calls */

static int sys_open(const char *path, int flags)
{
	return open(path, flags);
}

static int sys_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg);
}

static const struct kdev_sys libc_sys = {
	.open = sys_open,
	.ioctl = sys_ioctl,
	.write = write,
	.read = read,
	.mmap = mmap,
};

const struct kdev_sys *kdev_sys = &libc_sys;

static void trace(struct kdev *k, int direction, uint32_t request, uint32_t length, int r,
		  const char *name, const char *what)
{
	struct vhost_trace_event event = {
		.size = sizeof(event), .direction = (uint32_t)direction,
		.channel = VHOST_TRACE_KERNEL, .request = request, .length = length, .name = name,
	};
	char text[320];

	snprintf(text, sizeof(text), "%s%s%s%s%s", name, *what ? ": " : "", what,
		 r < 0 ? " = " : "", r < 0 ? strerror(-r) : "");
	event.time_ns = trace_now();
	event.text = text;
	k->dev.trace(&event, k->dev.trace_opaque);
}

int kdev_try(struct kdev *k, unsigned long request, void *arg)
{
	int r = kdev_sys->ioctl(k->fd, request, arg);

	if (r < 0)
		r = errno == ENOTSUPP ? -ENOTSUP : -errno;
	if (unlikely(k->dev.trace != NULL)) {
		char what[256];

		kv_describe(request, arg, what, sizeof(what));
		/* number and size, as every architecture and libc has them */
		trace(k, VHOST_TRACE_SENT, request & 0xff, request >> 16 & 0x1fff, r,
		      kv_name(request), what);
	}
	return r;
}

/*
 * There is no one errno for "no such call". The kernel's generic code takes what it does
 * not know for a call about a queue, and complains of the owner, of its argument or of
 * the index that it finds in there, before it comes to say ENOTTY.
 */
int kdev_probe(struct kdev *k, unsigned long request, void *arg)
{
	int r = kdev_try(k, request, arg);

	switch (r) {
	case -EPERM:
	case -EFAULT:
	case -ENOBUFS:
	case -ENOTTY:
	case -ENOSYS:
	case -EOPNOTSUPP:
		return -ENOTSUP;
	default:
		return r;
	}
}

static int not_owner(struct kdev *k, const char *name)
{
	return dev_fail(&k->dev, -EPERM, VHOST_ERR_NOT_OWNER,
			"%s: the device belongs to the process that opened it: after fork(2) a "
			"child has to open its own", name);
}

int kdev_fail(struct kdev *k, int r, unsigned long request, int index)
{
	struct vhost_dev *dev = &k->dev;
	const char *name = kv_name(request);
	char queue[32] = "";

	if (index >= 0)
		snprintf(queue, sizeof(queue), "queue %d: ", index);
	switch (r) {
	case -EPERM:
		if (!k->owned)
			return dev_fail(dev, r, VHOST_ERR_NOT_OWNER,
					"%s: the device has no owner, since its reset was not finished",
					name);
		return not_owner(k, name);
	case -ENOBUFS:
		return dev_fail(dev, -EINVAL, VHOST_ERR_LIMIT, "%s%s: the device has no such queue",
				queue, name);
	case -ENOTTY:
	case -EOPNOTSUPP:
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"%s%s: this kernel or device does not have it", queue, name);
	case -EBUSY:
		return dev_fail(dev, r, VHOST_ERR_STATE, "%s%s: not while the device runs", queue,
				name);
	case -ENODEV:
	case -ENXIO:
		return dev_fail(dev, r, VHOST_ERR_OTHER, "%s%s: the device is gone", queue, name);
	case -ETIMEDOUT:
		return dev_fail(dev, r, VHOST_ERR_DEADLINE,
				"%s%s: the device did not answer the kernel in time", queue, name);
	case -EIO:
		return dev_fail(dev, r, VHOST_ERR_OTHER, "%s%s: the device failed", queue, name);
	default:
		return dev_fail(dev, r, error_kind_of(r), "%s%s: %s", queue, name, strerror(-r));
	}
}

int kdev_ioctl(struct kdev *k, unsigned long request, void *arg)
{
	int r = kdev_try(k, request, arg);

	return r < 0 ? kdev_fail(k, r, request, -1) : r;
}

int kdev_vring(struct kdev *k, unsigned long request, unsigned int index, uint32_t num)
{
	struct kv_vring_state state = { .index = index, .num = num };
	int r = kdev_try(k, request, &state);

	return r < 0 ? kdev_fail(k, r, request, (int)index) : 0;
}

int kdev_vring_fd(struct kdev *k, unsigned long request, unsigned int index, int fd)
{
	struct kv_vring_file file = { .index = index, .fd = fd };
	int r = kdev_try(k, request, &file);

	return r < 0 ? kdev_fail(k, r, request, (int)index) : 0;
}

VHOST_EXPORT int vhost_dev_get_backend_features(const vhost_dev_t *dev, uint64_t *offered,
						uint64_t *acked)
{
	if (!kdev_is(dev))
		return -ENOTSUP;
	if (offered)
		*offered = to_kdev_const(dev)->backend_offered;
	if (acked)
		*acked = to_kdev_const(dev)->backend;
	return 0;
}

/* -------------------------------------------------------------- opening, life */

int kdev_ack_backend_features(struct kdev *k)
{
	int r;

	k->backend_offered = 0;	/* to an older kernel it is a queue's index */
	r = kdev_probe(k, KV_GET_BACKEND_FEATURES, &k->backend_offered);
	if (r == -ENOTSUP) {
		k->backend_offered = k->backend = 0;
		return 0;
	}
	if (r < 0)
		return kdev_fail(k, r, KV_GET_BACKEND_FEATURES, -1);
	k->backend = k->backend_offered & KV_BF_KNOWN;
	/* An address space is named in the second layout only. */
	if (!has_bf(k, KV_BF_IOTLB_MSG_V2))
		k->backend &= ~(1ull << KV_BF_IOTLB_ASID);
	if (!has_bf(k, KV_BF_IOTLB_ASID))
		k->backend &= ~(1ull << KV_BF_DESC_ASID);
	return k->backend ? kdev_ioctl(k, KV_SET_BACKEND_FEATURES, &k->backend) : 0;
}

int kdev_own(struct kdev *k)
{
	uint32_t want = k->open_flags & (VHOST_OPEN_WORKER_KTHREAD | VHOST_OPEN_WORKER_TASK);
	uint8_t task = want == VHOST_OPEN_WORKER_TASK;
	int r;

	if (want) {
		r = k->kind == KDEV_VDPA ? -ENOTSUP : kdev_probe(k, KV_SET_FORK_FROM_OWNER, &task);
		if (r < 0)
			return dev_fail(&k->dev, r, r == -ENOTSUP ? VHOST_ERR_UNSUPPORTED : VHOST_ERR_OTHER,
					"%s: the kind of worker cannot be chosen here (the kernel's "
					"vhost can from Linux 6.17 on): %s", k->dev.address, strerror(-r));
	}
	r = kdev_try(k, KV_SET_OWNER, NULL);
	if (r == -EBUSY)
		return dev_fail(&k->dev, r, VHOST_ERR_IN_USE,
				"%s has an owner already: each user of the kernel's vhost opens the "
				"device for itself", k->dev.address);
	k->owned = r >= 0;
	return r < 0 ? kdev_fail(k, r, KV_SET_OWNER, -1) : 0;
}

int kdev_new(enum kdev_kind kind, const char *address, int fd, const struct vhost_dev_opts *opts,
	     const struct vhost_dev_events *events, vhost_dev_t **ret)
{
	struct kdev *k;
	int r = dev_new(kind == KDEV_VDPA ? &vhost_vdpa_ops : &vhost_kernel_ops,
			kind == KDEV_VDPA ? vdpa_struct_size() : kernel_struct_size(), address,
			opts, &k);

	if (r < 0) {
		close_fd(&fd);
		return r;
	}
	k->kind = kind;
	k->fd = fd;
	k->owner = getpid();
	k->epfd = k->wakefd = -1;
	k->open_flags = opts->flags;
	k->dev.events = *events;
	k->dev.state = VHOST_DEV_STOPPED;
	if (kind == KDEV_VDPA)
		vdpa_prepare(k);
	else
		kernel_prepare(k);
	r = kdev_own(k);
	if (!r)
		r = kind == KDEV_VDPA ? vdpa_init(k) : kernel_init(k);
	if (r < 0) {
		vhost_dev_unref(&k->dev);
		return r;
	}
	k->connected_due = opts->flags & VHOST_OPEN_NONBLOCK;
	*ret = &k->dev;
	return 0;
}

#define VDPA_NODE "/dev/vhost-vdpa-"

static const struct {
	const char *path;
	const char *module;
} nodes[] = {
	{ "/dev/vhost-net", "vhost_net" },
	{ "/dev/vhost-vsock", "vhost_vsock" },
	{ "/dev/vhost-scsi", "vhost_scsi" },
	{ VDPA_NODE, "vhost_vdpa" },
};

static int open_failed(const char *address, const char *path, int r)
{
	const char *module = NULL;
	bool alias = strcmp(address, path) != 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(nodes) && !module; i++)
		if (strncmp(path, nodes[i].path, strlen(nodes[i].path)) == 0)
			module = nodes[i].module;
	switch (r) {
	case -EBUSY:
		return call_fail(r, VHOST_ERR_IN_USE,
				 "%s%s%s%s is in use: a vDPA device has one user at a time", path,
				 alias ? " (" : "", alias ? address : "", alias ? ")" : "");
	case -EACCES:
	case -EPERM:
		return call_fail(r, VHOST_ERR_PERMISSION,
				 "%s: no permission: %s (who may is said by its owner and group; "
				 "%s(7) tells how to give it to others)", path, strerror(-r),
				 module && !strcmp(module, "vhost_vdpa") ? "vhost-vdpa" : "vhost-kernel");
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		if (module)
			return call_fail(r, VHOST_ERR_CONNECT,
					 "%s: %s; is the kernel's module loaded (modprobe %s)%s?",
					 path, strerror(-r), module,
					 strcmp(module, "vhost_vdpa") ? "" :
					 ", and is a device bound to it (vdpa dev show)");
		break;
	default:
		break;
	}
	return call_fail(r, VHOST_ERR_CONNECT, "%s: %s", path, strerror(-r));
}

/*
 * vhost-net and vhost-vsock have numbers of their own; nodes of vDPA have a name; beyond
 * that, devices are known by the calls that they have.
 */
static int kind_of(const char *path, int fd, const struct stat *st, enum kdev_kind *ret)
{
	uint32_t id = 0;

	if (st->st_rdev == makedev(10, 238))
		*ret = KDEV_NET;
	else if (st->st_rdev == makedev(10, 241))
		*ret = KDEV_VSOCK;
	else if (strncmp(path, VDPA_NODE, strlen(VDPA_NODE)) == 0)
		*ret = KDEV_VDPA;
	else if (kdev_sys->ioctl(fd, KV_VDPA_GET_DEVICE_ID, &id) >= 0)
		*ret = KDEV_VDPA;
	else if (kdev_sys->ioctl(fd, KV_SCSI_GET_ABI_VERSION, &id) >= 0)
		*ret = KDEV_SCSI;
	else
		return -ENOTTY;
	return 0;
}

static int open_any(const char *address, const char *path, int fd,
		    const struct vhost_dev_opts *opts, const struct vhost_dev_events *events,
		    vhost_dev_t **ret)
{
	enum kdev_kind kind = KDEV_NET;
	struct stat st;
	int r = 0;

	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISCHR(st.st_mode))
		r = -ENOTTY;
	if (!r)
		r = kind_of(path, fd, &st, &kind);
	if (r < 0) {
		close_fd(&fd);
		return call_fail(r, VHOST_ERR_ARGUMENT, "%s is no device of vhost or vDPA", address);
	}
	return kdev_new(kind, address, fd, opts, events, ret);
}

int kdev_open(const char *address, const char *path, const struct vhost_dev_opts *opts,
	      const struct vhost_dev_events *events, vhost_dev_t **ret)
{
	int fd = kdev_sys->open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return open_failed(address, path, -errno);
	return open_any(address, path, fd, opts, events, ret);
}

int kdev_open_fd(const char *address, int fd, const struct vhost_dev_opts *opts,
		 const struct vhost_dev_events *events, vhost_dev_t **ret)
{
	int dup = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (dup < 0)
		return call_fail(-errno, VHOST_ERR_ARGUMENT, "descriptor %d: %s", fd,
				 strerror(errno));
	return open_any(address, "", dup, opts, events, ret);
}

/* The kernel stops what runs, and forgets all, with the last descriptor. */
void kdev_close(struct vhost_dev *dev)
{
	struct kdev *k = to_kdev(dev);

	close_fd(&k->fd);
	close_fd(&k->epfd);
	close_fd(&k->wakefd);
	k->connected_due = false;
	dev->state = VHOST_DEV_CLOSED;
}

void kdev_free(struct vhost_dev *dev)
{
	free(to_kdev(dev));
}

/* --------------------------------------------------------------- event loop */

int kdev_wait(struct vhost_dev *dev _unused_, struct vhost_op *op _unused_)
{
	return 0;	/* nothing is ever pending */
}

void kdev_lost(struct vhost_dev *dev _unused_, int status _unused_)
{
	/* Each call says for itself what became of it. */
}

uint64_t kdev_deadline(const struct vhost_dev *dev)
{
	return to_kdev_const(dev)->connected_due ? 0 : UINT64_MAX;
}

int kdev_watch(struct kdev *k, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (k->epfd < 0 || fd < 0)
		return 0;
	/* EPERM: it is of a kind that never has anything to say */
	if (epoll_ctl(k->epfd, EPOLL_CTL_ADD, fd, &event) < 0 && errno != EPERM && errno != EEXIST)
		return dev_fail(&k->dev, -errno, VHOST_ERR_OTHER, "epoll_ctl: %s", strerror(errno));
	return 0;
}

void kdev_wake(struct vhost_dev *dev)
{
	static const uint64_t one = 1;
	struct kdev *k = to_kdev(dev);

	/* a counter that is full wakes as well */
	if (k->wakefd >= 0 && write(k->wakefd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		dev_log(dev, VHOST_LOG_WARNING, "eventfd: %s", strerror(errno));
}

int kdev_get_fd(struct vhost_dev *dev)
{
	struct kdev *k = to_kdev(dev);
	int r;

	if (k->epfd >= 0)
		return k->epfd;
	r = dev_ready(dev);
	if (r < 0)
		return r;
	k->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (k->wakefd < 0)
		return dev_fail(dev, -errno, VHOST_ERR_OTHER, "eventfd: %s", strerror(errno));
	k->epfd = epoll_create1(EPOLL_CLOEXEC);
	r = k->epfd < 0 ? dev_fail(dev, -errno, VHOST_ERR_OTHER, "epoll_create1: %s",
				   strerror(errno)) : kdev_watch(k, k->wakefd);
	if (!r)
		r = kdev_watch(k, k->fd);
	if (r < 0) {
		close_fd(&k->epfd);
		close_fd(&k->wakefd);
		return r;
	}
	if (k->connected_due || dev->done_txns)
		kdev_wake(dev);
	return k->epfd;
}

int kdev_process_events(struct kdev *k)
{
	uint64_t n;

	if (k->wakefd >= 0 && read(k->wakefd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		dev_log(&k->dev, VHOST_LOG_WARNING, "eventfd: %s", strerror(errno));
	if (k->connected_due) {
		k->connected_due = false;
		if (k->dev.events.connected)
			k->dev.events.connected(&k->dev, 0, k->dev.events_opaque);
	}
	return dev_ready(&k->dev);
}

/* ------------------------------------------------------------------------ IOTLB */

static void trace_iotlb(struct kdev *k, int direction, uint32_t asid, const struct kv_iotlb *m,
			int r)
{
	char what[160];

	snprintf(what, sizeof(what), "iova 0x%llx, size 0x%llx, addr 0x%llx, perm %u, asid %u",
		 (unsigned long long)m->iova, (unsigned long long)m->size,
		 (unsigned long long)m->user_addr, m->perm, asid);
	trace(k, direction, m->type, sizeof(struct kv_msg), r, kv_iotlb_name(m->type), what);
}

int kdev_send_iotlb(struct kdev *k, uint32_t asid, const struct kv_iotlb *iotlb)
{
	struct kv_msg msg;
	ssize_t n;
	int r = 0;

	memset(&msg, 0, sizeof(msg));
	msg.type = has_bf(k, KV_BF_IOTLB_MSG_V2) ? KV_MSG_V2 : KV_MSG_V1;
	msg.asid = has_bf(k, KV_BF_IOTLB_ASID) ? asid : 0;
	msg.iotlb = *iotlb;
	n = kdev_sys->write(k->fd, &msg, sizeof(msg));
	if (n < 0)
		r = -errno;
	else if (n != sizeof(msg))
		r = -EIO;
	if (unlikely(k->dev.trace != NULL))
		trace_iotlb(k, VHOST_TRACE_SENT, msg.asid, iotlb, r);
	return r;
}

int kdev_iotlb_fail(struct kdev *k, int r, const char *what, uint64_t iova, uint64_t size)
{
	if (getpid() != k->owner)
		return not_owner(k, what);
	return dev_fail(&k->dev, r, error_kind_of(r),
			"%s: the kernel or the device does not take it, 0x%llx, %llu bytes: %s", what,
			(unsigned long long)iova, (unsigned long long)size, strerror(-r));
}

int kdev_read_iotlb(struct kdev *k, uint32_t *asid, struct kv_iotlb *ret)
{
	struct pollfd p = { .fd = k->fd, .events = POLLIN };
	struct kv_msg msg;
	ssize_t n;

	/* The descriptor may be shared, and blocking. */
	if (poll(&p, 1, 0) <= 0 || !(p.revents & POLLIN))
		return 0;
	memset(&msg, 0, sizeof(msg));
	n = kdev_sys->read(k->fd, &msg, sizeof(msg));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return dev_fail(&k->dev, -errno, VHOST_ERR_OTHER,
				"the kernel's IOTLB messages cannot be read: %s", strerror(errno));
	if (n != sizeof(msg) || (msg.type != KV_MSG_V1 && msg.type != KV_MSG_V2))
		return dev_fail(&k->dev, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL,
				"the kernel sent %zd bytes of type %u, which is no IOTLB message", n,
				msg.type);
	*asid = msg.type == KV_MSG_V2 ? msg.asid : 0;
	*ret = msg.iotlb;
	if (k->dev.trace)
		trace_iotlb(k, VHOST_TRACE_RECEIVED, *asid, ret, 0);
	return 1;
}

uint64_t kdev_target(struct kdev *k, const struct vhost_iotlb_entry *entry)
{
	const struct mem_region *region = mem_map_find(&k->dev.rec.map, entry->target, entry->size);

	return region ? (uintptr_t)region->addr + (entry->target - region->iova) : 0;
}

int kdev_check_target(struct kdev *k, const struct vhost_iotlb_entry *entry, uint64_t *ret_addr,
		      uint64_t *ret_region)
{
	const struct mem_region *region = mem_map_find(&k->dev.rec.map, entry->target, entry->size);

	if (!region)
		return dev_fail(&k->dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"the translation of 0x%llx, %llu bytes, leads to 0x%llx, which is not "
				"in the device's memory", (unsigned long long)entry->iova,
				(unsigned long long)entry->size, (unsigned long long)entry->target);
	if (region->flags & VHOST_MEM_READONLY && entry->perm & VHOST_IOTLB_PERM_WRITE)
		return dev_fail(&k->dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"the memory at 0x%llx is for the device to read only",
				(unsigned long long)region->iova);
	*ret_addr = (uintptr_t)region->addr + (entry->target - region->iova);
	*ret_region = region->iova;
	return 0;
}

int kdev_translate(struct kdev *k, uint64_t iova, uint32_t perm, struct vhost_iotlb_entry *ret)
{
	struct vhost_dev *dev = &k->dev;
	const struct mem_region *region;
	uint64_t last;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (!dev->events.iotlb_miss) {
		region = mem_map_find(&dev->rec.map, iova, 1);
		if (!region)
			return -EFAULT;
		*ret = (struct vhost_iotlb_entry){
			.iova = region->iova, .size = region->size, .target = region->iova,
			.perm = region->flags & VHOST_MEM_READONLY ? VHOST_IOTLB_PERM_READ :
				VHOST_IOTLB_PERM_READ | VHOST_IOTLB_PERM_WRITE,
		};
		return 0;
	}
	r = dev->events.iotlb_miss(dev, iova, perm, ret, dev->events_opaque);
	if (r < 0)
		return r;
	/* An entry that does not answer the question would have it asked for ever. */
	if (!range_last(ret->iova, ret->size, &last) || iova < ret->iova || iova > last ||
	    !ret->perm || ret->perm > 3 || (ret->perm & perm) != perm || ret->asid)
		return -EINVAL;
	return 0;
}

/* ----------------------------------------------------------------------- queues */

void kdev_kick(struct kdev *k, unsigned int index)
{
	static const uint64_t one = 1;
	int fd = k->dev.rec.vqs[index].config.kick_fd;

	/* one that is full is as good as kicked */
	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		dev_log(&k->dev, VHOST_LOG_WARNING, "queue %u: kick: %s", index, strerror(errno));
}

int kdev_send_vq(struct kdev *k, unsigned int index, const struct kv_vring_addr *addr)
{
	const struct vhost_vq *vq = &k->dev.rec.vqs[index];
	struct kv_vring_addr a = *addr;
	int r = 0;

	if (vq->endian >= 0 && k->kind != KDEV_VDPA)
		r = kdev_vring(k, KV_SET_VRING_ENDIAN, index, (uint32_t)vq->endian);
	if (!r)
		r = kdev_vring(k, KV_SET_VRING_NUM, index, vq->config.size);
	if (!r)
		r = kdev_vring(k, KV_SET_VRING_BASE, index, vq->config.base);
	if (!r) {
		r = kdev_try(k, KV_SET_VRING_ADDR, &a);
		if (r < 0)
			r = kdev_fail(k, r, KV_SET_VRING_ADDR, (int)index);
	}
	if (!r && (vq->config.err_fd >= 0 || k->err_set[index])) {
		r = kdev_vring_fd(k, KV_SET_VRING_ERR, index, vq->config.err_fd);
		k->err_set[index] = true;
	}
	if (!r)
		r = kdev_vring_fd(k, KV_SET_VRING_CALL, index, vq->config.call_fd);
	if (!r)
		r = kdev_vring_fd(k, KV_SET_VRING_KICK, index, vq->config.kick_fd);
	return r;
}

int kdev_get_base(struct kdev *k, unsigned int index)
{
	struct vhost_vq *vq = &k->dev.rec.vqs[index];
	struct kv_vring_state state = { .index = index };
	bool packed = record_has(&k->dev.rec, VIRTIO_BIT_RING_PACKED);
	int r = kdev_try(k, KV_GET_VRING_BASE, &state);

	if (r < 0)
		return kdev_fail(k, r, KV_GET_VRING_BASE, (int)index);
	if (packed ? (state.num & 0x7fff) >= vq->config.size ||
		     (state.num >> 16 & 0x7fff) >= vq->config.size : state.num > UINT16_MAX)
		return dev_fail(&k->dev, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL,
				"the kernel says that queue %u stopped at 0x%x, which it cannot have",
				index, state.num);
	vq->config.base = state.num;
	return 0;
}

int kdev_vq_set_call(struct vhost_dev *dev, struct vhost_op *op _unused_, unsigned int index)
{
	return kdev_vring_fd(to_kdev(dev), KV_SET_VRING_CALL, index,
			     dev->rec.vqs[index].config.call_fd);
}

int kdev_vq_kick(struct vhost_dev *dev, unsigned int index)
{
	kdev_kick(to_kdev(dev), index);
	return 0;
}
