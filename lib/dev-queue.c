/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* Queues, and starting and stopping the device that has them. */
#include <fcntl.h>

#include "transport/transport.h"

/* Alignment of the three areas: VIRTIO 1.3, 2.7 and 2.8. */
static const struct {
	const char *name;
	unsigned int split_align;
	unsigned int packed_align;
} areas[3] = {
	{ "descriptor area", 16, 16 },
	{ "driver area", 2, 4 },
	{ "device area", 4, 4 },
};

void vq_area_sizes(const struct vhost_record *rec, uint32_t size, uint64_t ret[3])
{
	if (record_has(rec, VIRTIO_BIT_RING_PACKED)) {
		ret[0] = 16 * (uint64_t)size;
		ret[1] = ret[2] = 4;
	} else {
		/* with the event fields, whether EVENT_IDX is used or not */
		ret[0] = 16 * (uint64_t)size;
		ret[1] = 6 + 2 * (uint64_t)size;
		ret[2] = 6 + 8 * (uint64_t)size;
	}
}

static int check_index(struct vhost_dev *dev, unsigned int index)
{
	uint64_t most = 0;

	dev->ops->get_cap(dev, VHOST_CAP_MAX_QUEUES, &most);
	if (index >= most || index >= VHOST_MAX_QUEUES)
		return dev_fail(dev, -EINVAL, VHOST_ERR_LIMIT,
				"queue %u: the device has the queues 0 to %u", index,
				(unsigned int)(most ? most - 1 : 0));
	return 0;
}

static int find_vq(struct vhost_dev *dev, unsigned int index, struct vhost_vq **ret)
{
	int r = check_index(dev, index);

	if (r < 0)
		return r;
	*ret = record_vq(&dev->rec, index);
	if (!*ret)
		return dev_fail(dev, -ENOENT, VHOST_ERR_STATE, "queue %u is not set up", index);
	return 0;
}

static int refuse_running(struct vhost_dev *dev, unsigned int index, const struct vhost_vq *vq)
{
	if (vq->running || dev->state == VHOST_DEV_SUSPENDED)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
				"queue %u cannot be changed while the device runs", index);
	return 0;
}

static int check_config(struct vhost_dev *dev, unsigned int index,
			const struct vhost_vq_config *c)
{
	bool packed = record_has(&dev->rec, VIRTIO_BIT_RING_PACKED);
	uint64_t at[3] = { c->desc, c->driver, c->device }, sizes[3], most = 0, last;
	unsigned int i;

	dev->ops->get_cap(dev, VHOST_CAP_MAX_QUEUE_SIZE, &most);
	if (!c->size || c->size > most || (!packed && c->size & (c->size - 1)))
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"queue %u cannot have %u entries: 1 to %u%s", index, c->size,
				(unsigned int)most, packed ? "" : ", a power of two, is expected");
	if (c->flags || c->reserved || c->reserved2)
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"queue %u has flags or reserved fields that are not 0", index);
	vq_area_sizes(&dev->rec, c->size, sizes);
	for (i = 0; i < 3; i++) {
		unsigned int align = packed ? areas[i].packed_align : areas[i].split_align;

		if (at[i] % align)
			return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
					"queue %u: the %s at 0x%llx is not aligned to %u bytes",
					index, areas[i].name, (unsigned long long)at[i], align);
		if (!range_last(at[i], sizes[i], &last))
			return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
					"queue %u: the %s at 0x%llx wraps around the end of the "
					"address space", index, areas[i].name,
					(unsigned long long)at[i]);
	}
	return 0;
}

/* Which layout it is of is known with the features. */
static int check_base(struct vhost_dev *dev, unsigned int index, uint32_t base)
{
	if (base > UINT16_MAX && !record_has(&dev->rec, VIRTIO_BIT_RING_PACKED))
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"queue %u cannot start at 0x%x: a split ring's indices have 16 bits",
				index, base);
	return 0;
}

static int dup_fd(struct vhost_dev *dev, unsigned int index, const char *what, int fd, int *ret)
{
	*ret = -1;
	if (fd < 0)
		return 0;
	*ret = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (*ret < 0) {
		int r = -errno;

		return dev_fail(dev, r, VHOST_ERR_ARGUMENT, "queue %u: %s descriptor %d: %s",
				index, what, fd, strerror(-r));
	}
	return 0;
}

static int set_up(struct vhost_dev *dev, unsigned int index,
		  const struct vhost_vq_config *config, vhost_virtq_t *virtq)
{
	_cleanup_close_ int kick = -1, call = -1, err = -1;
	struct vhost_vq *vq;
	int r;

	r = check_index(dev, index);
	if (r < 0)
		return r;
	vq = record_vq(&dev->rec, index);
	if (vq) {
		r = refuse_running(dev, index, vq);
		if (r < 0)
			return r;
	} else if (dev->state == VHOST_DEV_SUSPENDED) {
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
				"queue %u cannot be set up while the device is suspended", index);
	}
	r = check_config(dev, index, config);
	if (r < 0)
		return r;
	r = dup_fd(dev, index, "kick", config->kick_fd, &kick);
	if (!r)
		r = dup_fd(dev, index, "call", config->call_fd, &call);
	if (!r)
		r = dup_fd(dev, index, "error", config->err_fd, &err);
	if (r < 0)
		return r;
	r = record_vq_grow(&dev->rec, index, &vq);
	if (r < 0)
		return dev_fail(dev, r, VHOST_ERR_OTHER, "out of memory");

	/* From here it succeeds. */
	if (vq->set_up) {
		close_fd(&vq->config.kick_fd);
		close_fd(&vq->config.call_fd);
		close_fd(&vq->config.err_fd);
	} else {
		vq->enabled = true;
		vq->endian = -1;
	}
	vq->set_up = true;
	vq->interrupted = false;
	vq->config = *config;
	vq->config.kick_fd = TAKE_FD(kick);
	vq->config.call_fd = TAKE_FD(call);
	vq->config.err_fd = TAKE_FD(err);
	vhost_virtq_ref(virtq);
	vhost_virtq_unref(vq->virtq);
	vq->virtq = virtq;
	return 0;
}

VHOST_EXPORT int vhost_dev_vq_setup(vhost_dev_t *dev, unsigned int index,
				    const struct vhost_vq_config *config, size_t size)
{
	struct vhost_vq_config c;
	int r = copy_sized(&c, sizeof(c), config, size);

	if (r < 0)
		return dev_fail(dev, r, VHOST_ERR_ARGUMENT,
				"queue %u is described by a newer libvhost's struct", index);
	return set_up(dev, index, &c, NULL);
}

VHOST_EXPORT int vhost_dev_vq_attach(vhost_dev_t *dev, unsigned int index, vhost_virtq_t *vq)
{
	struct vhost_virtq_layout layout;
	struct vhost_vq_config config = { 0 };
	struct vhost_vq *rec;
	int r;

	if (!vq) {
		r = find_vq(dev, index, &rec);
		if (r < 0)
			return r;
		r = refuse_running(dev, index, rec);
		if (r < 0)
			return r;
		rec->virtq = vhost_virtq_unref(rec->virtq);
		return 0;
	}
	vhost_virtq_layout(vq, &layout, sizeof(layout));
	config.size = layout.size;
	config.desc = layout.desc;
	config.driver = layout.driver;
	config.device = layout.device;
	config.base = layout.base;
	config.kick_fd = layout.kick_fd;
	config.call_fd = layout.call_fd;
	config.err_fd = layout.err_fd;
	return set_up(dev, index, &config, vq);
}

static void settle_enable(struct vhost_dev *dev, struct vhost_op *op)
{
	struct vhost_vq *vq = record_vq(&dev->rec, (unsigned int)op->a);

	if (op->status < 0 && vq)
		vq->enabled = op->b;
}

VHOST_EXPORT int vhost_dev_vq_enable(vhost_dev_t *dev, unsigned int index, int enable)
{
	struct vhost_op stack, *op;
	struct vhost_vq *vq;
	int r = find_vq(dev, index, &vq);

	if (r < 0)
		return r;
	if (!vq->running) {
		vq->enabled = enable;
		return 0;
	}
	r = dev_ready(dev);
	if (r < 0)
		return r;
	r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	op->a = index;
	op->b = vq->enabled;
	op->settle = settle_enable;
	vq->enabled = enable;
	return op_end(dev, op, vhost_call(dev, vq_enable, op, index));
}

/* Refused: the descriptor of before is in force still. */
static void settle_call(struct vhost_dev *dev, struct vhost_op *op)
{
	struct vhost_vq *vq = record_vq(&dev->rec, (unsigned int)op->a);
	int old = (int)op->b;

	if (op->status < 0 && vq) {
		int refused = vq->config.call_fd;

		vq->config.call_fd = old;
		old = refused;
	}
	close_fd(&old);
}

VHOST_EXPORT int vhost_dev_vq_set_call(vhost_dev_t *dev, unsigned int index, int fd)
{
	struct vhost_op stack, *op;
	struct vhost_vq *vq;
	int dup, old, r = find_vq(dev, index, &vq);

	if (r < 0)
		return r;
	r = dup_fd(dev, index, "call", fd, &dup);
	if (r < 0)
		return r;
	old = vq->config.call_fd;
	vq->config.call_fd = dup;
	if (!vq->running) {
		close_fd(&old);
		return 0;
	}
	r = dev_ready(dev);
	if (!r)
		r = op_begin(dev, &stack, &op);
	if (r < 0) {
		vq->config.call_fd = old;
		close_fd(&dup);
		return r;
	}
	op->a = index;
	op->b = (uint64_t)old;
	op->settle = settle_call;
	return op_end(dev, op, vhost_call(dev, vq_set_call, op, index));
}

VHOST_EXPORT int vhost_dev_vq_set_base(vhost_dev_t *dev, unsigned int index, uint32_t base)
{
	struct vhost_vq *vq;
	int r = find_vq(dev, index, &vq);

	if (!r)
		r = refuse_running(dev, index, vq);
	if (!r && dev->rec.features_set)
		r = check_base(dev, index, base);
	if (r < 0)
		return r;
	vq->config.base = base;
	vq->interrupted = false;	/* the caller knows where it is to go on */
	return 0;
}

VHOST_EXPORT int vhost_dev_vq_get_base(vhost_dev_t *dev, unsigned int index, uint32_t *ret)
{
	struct vhost_vq *vq;
	int r = find_vq(dev, index, &vq);

	if (!r)
		*ret = vq->config.base;
	return r;
}

static void settle_endian(struct vhost_dev *dev, struct vhost_op *op)
{
	struct vhost_vq *vq = record_vq(&dev->rec, (unsigned int)op->a);

	if (op->status < 0 && vq)
		vq->endian = (int)op->b - 1;
}

VHOST_EXPORT int vhost_dev_vq_set_endian(vhost_dev_t *dev, unsigned int index, int big_endian)
{
	struct vhost_op stack, *op;
	struct vhost_vq *vq;
	int r = find_vq(dev, index, &vq);

	if (!r)
		r = refuse_running(dev, index, vq);
	if (!r)
		r = dev_ready(dev);
	if (r < 0)
		return r;
	r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	op->a = index;
	op->b = (uint64_t)(vq->endian + 1);
	op->settle = settle_endian;
	vq->endian = big_endian ? 1 : 0;
	return op_end(dev, op, vhost_call(dev, vq_set_endian, op, index));
}

VHOST_EXPORT int vhost_dev_vq_kick(vhost_dev_t *dev, unsigned int index)
{
	struct vhost_vq *vq;
	int r = find_vq(dev, index, &vq);

	if (r < 0)
		return r;
	if (!vq->running)
		return dev_fail(dev, -ENOTCONN, VHOST_ERR_STATE, "queue %u does not run", index);
	return vhost_call(dev, vq_kick, index);
}

/* ---------------------------------------------------------- start and stop */

int vqs_check_log(struct vhost_dev *dev)
{
	uint64_t logged = vhost_dev_log_get_size(dev), sizes[3];
	unsigned int i;

	for (i = 0; dev->rec.log.map && i < dev->rec.n_vqs; i++) {
		const struct vhost_vq *vq = &dev->rec.vqs[i];

		vq_area_sizes(&dev->rec, vq->config.size, sizes);
		if (vq->set_up && vq->config.log && !range_within(vq->config.log, sizes[2], logged))
			return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
					"queue %u: writes to its ring are to be logged at 0x%llx, and "
					"the log ends at 0x%llx", i,
					(unsigned long long)vq->config.log,
					(unsigned long long)logged);
	}
	return 0;
}

/* Are the rings where the device can reach them? */
static int check_rings(struct vhost_dev *dev)
{
	struct vhost_record *rec = &dev->rec;
	unsigned int n = 0, i, a;

	for (i = 0; i < rec->n_vqs; i++) {
		const struct vhost_vq *vq = &rec->vqs[i];
		uint64_t at[3] = { vq->config.desc, vq->config.driver, vq->config.device };
		uint64_t sizes[3];
		int r;

		if (!vq->set_up)
			continue;
		n++;
		/* the layout may have been chosen after the queue was described */
		r = check_config(dev, i, &vq->config);
		if (!r)
			r = check_base(dev, i, vq->config.base);
		if (r < 0)
			return r;
		if (record_has(rec, VIRTIO_BIT_ACCESS_PLATFORM) || dev->ops->maps_memory)
			continue;	/* the IOTLB says where they are */
		vq_area_sizes(rec, vq->config.size, sizes);
		for (a = 0; a < 3; a++)
			if (!mem_map_find(&rec->map, at[a], sizes[a]))
				return dev_fail(dev, -EFAULT, VHOST_ERR_ARGUMENT,
						"queue %u: the %s, %llu bytes at 0x%llx, is not in "
						"the memory that the device was given", i,
						areas[a].name, (unsigned long long)sizes[a],
						(unsigned long long)at[a]);
	}
	if (!n)
		return dev_fail(dev, -EINVAL, VHOST_ERR_STATE,
				"the device cannot start: no queue is set up");
	return vqs_check_log(dev);
}

static void settle_rollback(struct vhost_dev *dev, struct vhost_op *op)
{
	dev->rollback = NULL;
	free(op);
}

/* A start was refused: have the queues back that did start. */
static void roll_back(struct vhost_dev *dev)
{
	struct vhost_op *op;
	struct vhost_error error = dev->error;
	int r;

	dev->state = VHOST_DEV_STOPPED;
	if (dev->rollback)
		return;
	op = calloc(1, sizeof(*op));
	r = op ? vhost_call(dev, stop, op, DEV_STOP) : -ENOMEM;
	/* What runs cannot be taken back: only the end of the connection stops it. */
	if (r < 0 && r != -ENOTSUP && dev->state != VHOST_DEV_CLOSED)
		dev->ops->lost(dev, r);
	if (r < 0 || !op->pending) {
		free(op);
	} else {
		op->settle = settle_rollback;
		op->submitted = true;
		dev->rollback = op;
	}
	dev->error = error;
}

static void settle_start(struct vhost_dev *dev, struct vhost_op *op)
{
	unsigned int i;

	dev->starting = false;
	if (op->status < 0) {
		/* Nobody is to be told, if the connection is gone or nothing was sent yet. */
		if (dev->state == VHOST_DEV_CLOSED || (op->txn && !op->txn->committed)) {
			for (i = 0; i < dev->rec.n_vqs; i++)
				dev->rec.vqs[i].running = false;
			if (dev->state != VHOST_DEV_CLOSED) {
				dev->state = (int)op->a;
				dev->rec.status = (uint8_t)op->b;
			}
			return;
		}
		roll_back(dev);
		return;
	}
	dev_log(dev, VHOST_LOG_INFO, "%s: started", dev->address);
}

/* What was refused is taken back before the caller hears of it. */
void dev_await_rollback(struct vhost_dev *dev)
{
	struct vhost_error error = dev->error;

	while (dev->rollback)
		dev->ops->wait(dev, NULL);
	dev->error = error;
}

/* What a second one has to undo, should the first fail, is not known before it did. */
static int only_one(struct vhost_dev *dev)
{
	if (!dev->open_txn)
		return 0;
	if (dev->open_txn->starts_or_stops)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
				"a transaction can start or stop the device once");
	dev->open_txn->starts_or_stops = true;
	return 0;
}

static int start(struct vhost_dev *dev)
{
	_hold_(dev);
	struct vhost_op stack, *op;
	int r = check_rings(dev);

	if (!r)
		r = only_one(dev);
	if (r < 0)
		return r;
	r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	op->settle = settle_start;
	op->a = (uint64_t)dev->state;
	op->b = dev->rec.status;
	r = vhost_call(dev, start, op);
	if (r < 0)
		op->settle = NULL;	/* nothing was sent */
	else
		dev->state = VHOST_DEV_STARTED;
	dev->starting = !r;
	r = op_end(dev, op, r);
	if (r < 0 && !dev->open_txn)
		dev_await_rollback(dev);
	return r;
}

VHOST_EXPORT int vhost_dev_start(vhost_dev_t *dev)
{
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	if (dev->state == VHOST_DEV_STARTED)
		return 0;
	if (dev->state == VHOST_DEV_SUSPENDED)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
				"the device is suspended: resume it, or stop it first");
	return start(dev);
}

static void settle_stop(struct vhost_dev *dev, struct vhost_op *op)
{
	unsigned int i;

	/* Nothing was sent yet: the device runs as before. */
	if (op->status < 0 && op->txn && !op->txn->committed && !op->acted) {
		if (dev->state != VHOST_DEV_CLOSED)
			dev->state = (int)op->a;
		return;
	}
	for (i = 0; i < dev->rec.n_vqs; i++)
		dev->rec.vqs[i].running = false;
	if (!op->status)
		dev_log(dev, VHOST_LOG_INFO, "%s: stopped", dev->address);
}

static int stop(struct vhost_dev *dev, enum dev_stop_mode mode, int state)
{
	struct vhost_op stack, *op;
	int r = only_one(dev);

	if (!r)
		r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	op->settle = settle_stop;
	op->a = (uint64_t)dev->state;
	r = vhost_call(dev, stop, op, mode);
	if (!r)
		dev->state = state;
	else
		op->settle = NULL;
	return op_end(dev, op, r);
}

VHOST_EXPORT int vhost_dev_stop(vhost_dev_t *dev)
{
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	if (dev->state == VHOST_DEV_STOPPED)
		return 0;
	return stop(dev, DEV_STOP, VHOST_DEV_STOPPED);
}

VHOST_EXPORT int vhost_dev_suspend(vhost_dev_t *dev)
{
	uint64_t can = 0;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	if (dev->state == VHOST_DEV_SUSPENDED)
		return 0;
	if (dev->state != VHOST_DEV_STARTED)
		return dev_fail(dev, -EINVAL, VHOST_ERR_STATE,
				"only a device that is started can be suspended");
	dev->ops->get_cap(dev, VHOST_CAP_SUSPEND, &can);
	if (!can)
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"the device cannot be suspended");
	return stop(dev, DEV_SUSPEND, VHOST_DEV_SUSPENDED);
}

VHOST_EXPORT int vhost_dev_resume(vhost_dev_t *dev)
{
	_hold_(dev);
	uint64_t can = 0;
	unsigned int i;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	if (dev->state == VHOST_DEV_STARTED)
		return 0;
	if (dev->state != VHOST_DEV_SUSPENDED)
		return dev_fail(dev, -EINVAL, VHOST_ERR_STATE,
				"only a device that is suspended can be resumed");
	dev->ops->get_cap(dev, VHOST_CAP_RESUME, &can);
	if (!can)
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"the device can be suspended, and not resumed: stop it and start it");
	r = start(dev);
	if (r < 0)
		return r;
	/* A notification may have been due while it was suspended. */
	for (i = 0; i < dev->rec.n_vqs; i++) {
		static const uint64_t one = 1;
		struct vhost_vq *vq = &dev->rec.vqs[i];

		if (vq->set_up && vq->config.call_fd >= 0 &&
		    write(vq->config.call_fd, &one, sizeof(one)) < 0)
			dev_log(dev, VHOST_LOG_DEBUG, "queue %u: call: %s", i, strerror(errno));
	}
	return 0;
}

static void settle_reset(struct vhost_dev *dev, struct vhost_op *op)
{
	if (op->status < 0)
		return;
	record_forget_queues(&dev->rec);
	memset(dev->rec.features, 0, sizeof(dev->rec.features));
	dev->rec.features_set = false;
	dev->rec.status = 0;
	close_fd(&dev->rec.inflight.fd);
}

VHOST_EXPORT int vhost_dev_reset(vhost_dev_t *dev)
{
	_hold_(dev);
	struct vhost_op stack, *op;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	if (dev->open_txn)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
				"a reset cannot be part of a transaction");
	/* a device that does not stop is all the more to be reset */
	r = vhost_dev_stop(dev);
	if (r < 0 && dev->state == VHOST_DEV_CLOSED)
		return r;
	r = op_begin(dev, &stack, &op);
	if (r < 0)
		return r;
	op->settle = settle_reset;
	return op_end(dev, op, vhost_call(dev, reset, op));
}
