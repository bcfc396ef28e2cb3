/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The handle, and the calls about the device as a whole. Here and in its sisters
 * (dev-queue.c, dev-mem.c, dev-migrate.c) arguments and states are checked, once for
 * all transports, before the dispatch table is called.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <vhost/user.h>
#include <vhost/version.h>

#include <vhost/vdpa.h>

#include "trace.h"
#include "transport/kdev.h"
#include "transport/user.h"

VHOST_EXPORT const char *vhost_version(void)
{
	return PACKAGE_VERSION;
}

/* ------------------------------------------------------------ opening, life */

int dev_new(const struct vhost_transport_ops *ops, size_t size, const char *address,
	    const struct vhost_dev_opts *opts, void *ret)
{
	struct vhost_dev *dev = calloc(1, size);

	if (!dev)
		return call_fail(-ENOMEM, VHOST_ERR_OTHER, "out of memory");
	dev->address = strdup(address);
	if (!dev->address) {
		free(dev);
		return call_fail(-ENOMEM, VHOST_ERR_OTHER, "out of memory");
	}
	dev->ops = ops;
	dev->transport = ops->name;
	dev->refs = 1;
	dev->device_id = opts->device_id;
	dev->timeout_ms = opts->timeout_ms ? opts->timeout_ms : VHOST_DEFAULT_TIMEOUT_MS;
	dev->log = opts->log ? opts->log : log_from_environment();
	dev->log_opaque = opts->log_opaque;
	dev->trace = opts->trace ? opts->trace : trace_from_environment();
	dev->trace_opaque = opts->trace_opaque;
	dev->events_opaque = opts->events_opaque;
	dev->txns_tail = &dev->txns;
	dev->done_tail = &dev->done_txns;
	record_init(&dev->rec);
	*(struct vhost_dev **)ret = dev;
	return 0;
}

static int take_opts(struct vhost_dev_opts *ret, struct vhost_dev_events *events,
		     const struct vhost_dev_opts *opts, size_t size)
{
	int r = copy_sized(ret, sizeof(*ret), opts, opts ? size : 0);

	if (!r && ret->events)
		r = copy_sized(events, sizeof(*events), ret->events, ret->events_size);
	if (r < 0)
		return call_fail(r, VHOST_ERR_ARGUMENT,
			    "the program was built for a newer libvhost than %s: it uses options "
			    "that this one does not know", PACKAGE_VERSION);
	if (ret->flags & ~(VHOST_OPEN_NONBLOCK | VHOST_OPEN_NO_BACKEND_CHANNEL |
			   VHOST_OPEN_WORKER_KTHREAD | VHOST_OPEN_WORKER_TASK |
			   VHOST_OPEN_PRIVATE_MEM) ||
	    (ret->flags & VHOST_OPEN_WORKER_KTHREAD && ret->flags & VHOST_OPEN_WORKER_TASK) ||
	    ret->reserved || ret->timeout_ms < VHOST_TIMEOUT_NEVER ||
	    ret->protocol_features & ~VHOST_USER_PROTOCOL_ALL)
		return call_fail(-EINVAL, VHOST_ERR_ARGUMENT,
			    "the options to open a device have a flag or value that is not known");
	return 0;
}

static int open_user(const char *address, enum user_address kind, const char *where, int fd,
		     const struct vhost_dev_opts *opts, const struct vhost_dev_events *events,
		     vhost_dev_t **ret)
{
	struct vhost_dev *dev;
	int r = user_new(address, kind, where, opts, &dev);

	if (r < 0)
		return r;
	dev->events = *events;
	r = user_connect(dev, fd, opts->flags);
	if (r < 0) {
		vhost_dev_unref(dev);
		return r;
	}
	*ret = dev;
	return 0;
}

static const char *after(const char *text, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

/* S_IFSOCK, S_IFCHR and the like; 0 for a path that leads nowhere. */
static mode_t type_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_mode & S_IFMT : 0;
}

static int open_vdpa(const char *address, const char *name, const struct vhost_dev_opts *opts,
		     const struct vhost_dev_events *events, vhost_dev_t **ret)
{
	char path[64];
	int r = vhost_vdpa_find(name, path, sizeof(path));

	return r < 0 ? r : kdev_open(address, path, opts, events, ret);
}

VHOST_EXPORT int vhost_dev_open(const char *address, const struct vhost_dev_opts *opts,
				size_t opts_size, vhost_dev_t **ret)
{
	struct vhost_dev_events events = { 0 };
	struct vhost_dev_opts o;
	struct stat st;
	const char *where;
	int r = take_opts(&o, &events, opts, opts_size);

	if (r < 0)
		return r;
	if (!address || !ret)
		return call_fail(-EINVAL, VHOST_ERR_ARGUMENT, "no address, or nowhere to put the device");
	where = after(address, "fd:");
	if (where) {
		char *end;
		long fd;

		errno = 0;
		fd = strtol(where, &end, 10);
		if (errno || *end || end == where || fd < 0 || fd > INT32_MAX)
			return call_fail(-EINVAL, VHOST_ERR_ARGUMENT,
				    "\"%s\" names no file descriptor: fd:N with a number is expected",
				    address);
		if (fstat((int)fd, &st) == 0 && S_ISCHR(st.st_mode))
			return kdev_open_fd(address, (int)fd, &o, &events, ret);
		return open_user(address, USER_FD, NULL, (int)fd, &o, &events, ret);
	}
	where = after(address, "unix-listen:");
	if (where)
		return open_user(address, USER_LISTEN, where, -1, &o, &events, ret);
	where = after(address, "vdpa:");
	if (where)
		return open_vdpa(address, where, &o, &events, ret);
	where = after(address, "unix:");
	/* a node of the kernel's that is missing is to be missed by its name */
	if (!where && (type_of(address) == S_IFCHR || after(address, "/dev/vhost-")))
		return kdev_open(address, address, &o, &events, ret);
	if (!where && type_of(address) == S_IFSOCK)
		where = address;
	if (where)
		return open_user(address, USER_CLIENT, where, -1, &o, &events, ret);
	return call_fail(-EINVAL, VHOST_ERR_ARGUMENT,
		    "\"%s\" is no address of a device: unix:PATH, unix-listen:PATH, fd:N or "
		    "vdpa:NAME is expected, or the path of a socket or device that exists", address);
}

VHOST_EXPORT int vhost_dev_open_fd(int fd, const struct vhost_dev_opts *opts, size_t opts_size,
				   vhost_dev_t **ret)
{
	char address[32];

	if (fd < 0)
		return call_fail(-EBADF, VHOST_ERR_ARGUMENT, "%d is no file descriptor", fd);
	snprintf(address, sizeof(address), "fd:%d", fd);
	return vhost_dev_open(address, opts, opts_size, ret);
}

VHOST_EXPORT vhost_dev_t *vhost_dev_ref(vhost_dev_t *dev)
{
	if (dev)
		dev->refs++;
	return dev;
}

static void dev_release(struct vhost_dev *dev)
{
	/* What is pending completes, and its callbacks may take and drop references. */
	dev->refs = 1;
	dev->ops->close(dev);
	dev_cancel_all(dev, -ECANCELED);
	dev_run_done(dev);
	record_clear(&dev->rec);
	iova_set_clear(&dev->iovas);
	free(dev->address);
	dev->ops->free(dev);
}

VHOST_EXPORT vhost_dev_t *vhost_dev_unref(vhost_dev_t *dev)
{
	if (dev && --dev->refs == 0)
		dev_release(dev);
	return NULL;
}

int dev_ready(struct vhost_dev *dev)
{
	switch (dev->state) {
	case VHOST_DEV_CLOSED:
		return dev_fail(dev, -ENOTCONN, VHOST_ERR_STATE, "%s is not connected",
				dev->address);
	case VHOST_DEV_CONNECTING:
		return dev_fail(dev, -EINPROGRESS, VHOST_ERR_STATE, "%s is still being connected",
				dev->address);
	default:
		return 0;
	}
}

VHOST_EXPORT int vhost_dev_get_state(const vhost_dev_t *dev)
{
	return dev->state;
}

VHOST_EXPORT const char *vhost_dev_get_address(const vhost_dev_t *dev)
{
	return dev->address;
}

VHOST_EXPORT const char *vhost_dev_get_transport(const vhost_dev_t *dev)
{
	return dev->transport;
}

/* ---------------------------------------------------------------- what it can */

static const char *const cap_names[] = {
	[VHOST_CAP_DEVICE_ID] = "DEVICE_ID",
	[VHOST_CAP_MAX_QUEUES] = "MAX_QUEUES",
	[VHOST_CAP_MAX_QUEUE_SIZE] = "MAX_QUEUE_SIZE",
	[VHOST_CAP_MAX_MEM_REGIONS] = "MAX_MEM_REGIONS",
	[VHOST_CAP_MEM_NEEDS_SHARED] = "MEM_NEEDS_SHARED",
	[VHOST_CAP_MEM_PINNED] = "MEM_PINNED",
	[VHOST_CAP_MEM_HOTPLUG] = "MEM_HOTPLUG",
	[VHOST_CAP_IOVA_FIRST] = "IOVA_FIRST",
	[VHOST_CAP_IOVA_LAST] = "IOVA_LAST",
	[VHOST_CAP_CONFIG] = "CONFIG",
	[VHOST_CAP_CONFIG_MAX] = "CONFIG_MAX",
	[VHOST_CAP_STATUS] = "STATUS",
	[VHOST_CAP_RESET] = "RESET",
	[VHOST_CAP_SUSPEND] = "SUSPEND",
	[VHOST_CAP_LOG] = "LOG",
	[VHOST_CAP_INFLIGHT] = "INFLIGHT",
	[VHOST_CAP_IOTLB] = "IOTLB",
	[VHOST_CAP_DEVICE_STATE] = "DEVICE_STATE",
	[VHOST_CAP_POSTCOPY] = "POSTCOPY",
	[VHOST_CAP_BACKEND_CHANNEL] = "BACKEND_CHANNEL",
	[VHOST_CAP_SHMEM] = "SHMEM",
	[VHOST_CAP_SHARED_OBJECT] = "SHARED_OBJECT",
	[VHOST_CAP_HOST_NOTIFIER] = "HOST_NOTIFIER",
	[VHOST_CAP_RARP] = "RARP",
	[VHOST_CAP_MTU] = "MTU",
	[VHOST_CAP_CRYPTO] = "CRYPTO",
	[VHOST_CAP_CROSS_ENDIAN] = "CROSS_ENDIAN",
	[VHOST_CAP_REPLY_ACK] = "REPLY_ACK",
	[VHOST_CAP_RECONNECT] = "RECONNECT",
	[VHOST_CAP_INBAND_NOTIFY] = "INBAND_NOTIFY",
	[VHOST_CAP_ADDRESS_SPACES] = "ADDRESS_SPACES",
	[VHOST_CAP_GROUPS] = "GROUPS",
	[VHOST_CAP_RESUME] = "RESUME",
	[VHOST_CAP_ENABLE_RUNNING] = "ENABLE_RUNNING",
	[VHOST_CAP_WORKERS] = "WORKERS",
	[VHOST_CAP_MEM_NEEDS_ADDR] = "MEM_NEEDS_ADDR",
};

VHOST_EXPORT const char *vhost_cap_name(uint32_t cap)
{
	return cap < ARRAY_SIZE(cap_names) ? cap_names[cap] : NULL;
}

VHOST_EXPORT int vhost_dev_get_cap(const vhost_dev_t *dev, uint32_t cap, uint64_t *ret)
{
	if (!vhost_cap_name(cap))
		return -EINVAL;
	if (dev->state == VHOST_DEV_CONNECTING)
		return -EINPROGRESS;
	return dev->ops->get_cap(dev, cap, ret);
}

VHOST_EXPORT int vhost_dev_get_features_array(vhost_dev_t *dev, uint64_t *ret, unsigned int n)
{
	struct vhost_op stack, *op;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	if (!n || n > VHOST_FEATURE_WORDS)
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"%u words of features: 1 to %u can be asked for", n,
				VHOST_FEATURE_WORDS);
	r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	return op_end(dev, op, vhost_call(dev, get_features, op, ret, n));
}

VHOST_EXPORT int vhost_dev_get_features(vhost_dev_t *dev, uint64_t *ret)
{
	return vhost_dev_get_features_array(dev, ret, 1);
}

/* Refused: what was accepted before is in force still, unless something newer is. */
static void settle_features(struct vhost_dev *dev, struct vhost_op *op)
{
	uint64_t *old = op->out;

	if (op->status < 0 && dev->rec.features[0] == op->a) {
		memcpy(dev->rec.features, old, sizeof(dev->rec.features));
		dev->rec.features_set = op->b;
	}
	free(old);
}

VHOST_EXPORT int vhost_dev_set_features_array(vhost_dev_t *dev, const uint64_t *features,
					      unsigned int n)
{
	struct vhost_op stack, *op;
	uint64_t *old;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	if (!n || n > VHOST_FEATURE_WORDS)
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"%u words of features: 1 to %u can be set", n, VHOST_FEATURE_WORDS);
	if (dev->state != VHOST_DEV_STOPPED)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
				"features cannot be changed while the device runs");
	r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	old = malloc(sizeof(dev->rec.features));
	if (!old)
		return op_end(dev, op, dev_fail(dev, -ENOMEM, VHOST_ERR_OTHER, "out of memory"));
	memcpy(old, dev->rec.features, sizeof(dev->rec.features));
	op->out = old;
	op->a = features[0];
	op->b = dev->rec.features_set;
	op->settle = settle_features;
	memset(dev->rec.features, 0, sizeof(dev->rec.features));
	memcpy(dev->rec.features, features, n * sizeof(*features));
	dev->rec.features_set = true;
	return op_end(dev, op, vhost_call(dev, set_features, op));
}

VHOST_EXPORT int vhost_dev_set_features(vhost_dev_t *dev, uint64_t features)
{
	return vhost_dev_set_features_array(dev, &features, 1);
}

VHOST_EXPORT uint64_t vhost_dev_get_acked_features(const vhost_dev_t *dev)
{
	return dev->rec.features[0];
}

VHOST_EXPORT int vhost_dev_get_status(vhost_dev_t *dev, uint8_t *ret)
{
	struct vhost_op stack, *op;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	return op_end(dev, op, vhost_call(dev, get_status, op, ret));
}

static void settle_status(struct vhost_dev *dev, struct vhost_op *op)
{
	unsigned int i;

	if (op->status < 0 && !op->acted)
		return;
	dev->rec.status = (uint8_t)op->a;
	if (dev->rec.status)
		return;
	/* A reset: no queue runs after it. */
	for (i = 0; i < dev->rec.n_vqs; i++)
		dev->rec.vqs[i].running = false;
	if (dev->state > VHOST_DEV_STOPPED)
		dev->state = VHOST_DEV_STOPPED;
}

VHOST_EXPORT int vhost_dev_set_status(vhost_dev_t *dev, uint8_t status)
{
	struct vhost_op stack, *op;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	op->a = status;
	op->settle = settle_status;
	return op_end(dev, op, vhost_call(dev, set_status, op, status));
}

static int check_config(struct vhost_dev *dev, uint32_t offset, size_t len)
{
	uint64_t has = 0, most = 0;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	dev->ops->get_cap(dev, VHOST_CAP_CONFIG, &has);
	dev->ops->get_cap(dev, VHOST_CAP_CONFIG_MAX, &most);
	if (!has)
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"the device does not give access to its configuration space");
	if (!len || len > most || (uint64_t)offset + len > UINT32_MAX)
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"%zu bytes of configuration space at %u: 1 to %u bytes can be "
				"reached at once", len, offset, (unsigned int)most);
	return 0;
}

VHOST_EXPORT int vhost_dev_get_config(vhost_dev_t *dev, uint32_t offset, void *buf, size_t len)
{
	struct vhost_op stack, *op;
	int r = check_config(dev, offset, len);

	if (r < 0)
		return r;
	r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	return op_end(dev, op, vhost_call(dev, get_config, op, offset, buf, len));
}

VHOST_EXPORT int vhost_dev_set_config(vhost_dev_t *dev, uint32_t offset, const void *buf,
				      size_t len, uint32_t flags)
{
	struct vhost_op stack, *op;
	int r = check_config(dev, offset, len);

	if (r < 0)
		return r;
	if (flags & ~VHOST_CONFIG_MIGRATION)
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT, "unknown flags 0x%x", flags);
	r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	return op_end(dev, op, vhost_call(dev, set_config, op, offset, buf, len, flags));
}

/* ----------------------------------------------------------------- event loop */

VHOST_EXPORT int vhost_dev_get_fd(vhost_dev_t *dev)
{
	return dev->ops->get_fd(dev);
}

VHOST_EXPORT int vhost_dev_process(vhost_dev_t *dev)
{
	int r;

	vhost_dev_ref(dev);
	r = dev->ops->process(dev);
	dev_run_done(dev);
	vhost_dev_unref(dev);
	return r;
}

VHOST_EXPORT int vhost_dev_get_timeout(const vhost_dev_t *dev)
{
	uint64_t deadline = dev->ops->deadline(dev), now;

	if (dev->done_txns)
		return 0;
	if (deadline == UINT64_MAX)
		return -1;
	now = now_ms();
	if (deadline <= now)
		return 0;
	return deadline - now > INT32_MAX ? INT32_MAX : (int)(deadline - now);
}

VHOST_EXPORT int vhost_dev_set_timeout(vhost_dev_t *dev, int timeout_ms)
{
	if (timeout_ms < VHOST_TIMEOUT_NEVER)
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT, "%d ms is no deadline",
				timeout_ms);
	dev->timeout_ms = timeout_ms ? timeout_ms : VHOST_DEFAULT_TIMEOUT_MS;
	return 0;
}

VHOST_EXPORT int vhost_dev_set_events(vhost_dev_t *dev, const struct vhost_dev_events *events,
				      size_t size, void *opaque)
{
	struct vhost_dev_events copy;
	int r = copy_sized(&copy, sizeof(copy), events, events ? size : 0);

	if (r < 0)
		return dev_fail(dev, r, VHOST_ERR_ARGUMENT,
				"the events are those of a newer libvhost");
	dev->events = copy;
	dev->events_opaque = opaque;
	return 0;
}

VHOST_EXPORT void vhost_dev_set_log(vhost_dev_t *dev, vhost_log_fn log, void *opaque)
{
	dev->log = log;
	dev->log_opaque = opaque;
}

VHOST_EXPORT void vhost_dev_set_trace(vhost_dev_t *dev, vhost_trace_fn trace, void *opaque)
{
	dev->trace = trace;
	dev->trace_opaque = opaque;
	user_trace_changed(dev);
}

VHOST_EXPORT int vhost_dev_cancel(vhost_dev_t *dev)
{
	if (dev->in_call)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
				"a call of the transaction is being made");
	if (dev->open_txn) {
		dev->ops->drop(dev);
		dev_cancel_open(dev);
		return 0;
	}
	if (dev->txns) {
		dev_fail(dev, -ECANCELED, VHOST_ERR_OTHER, "the requests were cancelled");
		dev->ops->close(dev);
		dev_run_done(dev);
	}
	return 0;
}
