/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include "fake.h"

static struct fake *to_fake(struct vhost_dev *dev)
{
	return (struct fake *)dev;
}

void fake_answer(struct fake *f)
{
	unsigned int i, n = f->n_answers;

	f->n_answers = 0;
	for (i = 0; i < n; i++)
		op_answer(&f->dev, f->answers[i].op, f->answers[i].status);
}

static int call(struct vhost_dev *dev, struct vhost_op *op, enum fake_slot slot)
{
	struct fake *f = to_fake(dev);

	f->calls[slot]++;
	if (f->fail[slot])
		return dev_fail(dev, f->fail[slot], VHOST_ERR_OTHER, "slot %d fails", slot);
	if (f->refuse[slot])
		dev_fail(dev, f->refuse[slot], VHOST_ERR_PEER_REFUSED, "slot %d is refused", slot);
	if (f->later || dev->open_txn) {
		f->answers[f->n_answers].op = op;
		f->answers[f->n_answers++].status = f->refuse[slot];
		op->pending++;
		op->sent++;
	} else {
		op->status = f->refuse[slot];
	}
	return 0;
}

static int get_cap(const struct vhost_dev *dev, uint32_t cap, uint64_t *ret)
{
	(void)dev;
	*ret = cap == VHOST_CAP_MAX_QUEUES ? 4 : cap == VHOST_CAP_MAX_QUEUE_SIZE ? 256 :
	       cap == VHOST_CAP_MAX_MEM_REGIONS ? 2 : cap == VHOST_CAP_CONFIG_MAX ? 64 :
	       cap == VHOST_CAP_IOVA_LAST ? UINT32_MAX : cap == VHOST_CAP_IOVA_FIRST ? 4096 : 1;
	return 0;
}

static void close_fake(struct vhost_dev *dev)
{
	struct fake *f = to_fake(dev);
	unsigned int i, n = f->n_answers;

	dev->state = VHOST_DEV_CLOSED;
	f->n_answers = 0;
	for (i = 0; i < n; i++)
		op_answer(dev, f->answers[i].op, -ECANCELED);
	dev_cancel_all(dev, -ECANCELED);
}

static void free_fake(struct vhost_dev *dev)
{
	free(dev);
}

static int wait_fake(struct vhost_dev *dev, struct vhost_op *op)
{
	(void)op;
	fake_answer(to_fake(dev));
	return 0;
}

static int nothing(struct vhost_dev *dev)
{
	(void)dev;
	return 0;
}

static int process(struct vhost_dev *dev)
{
	fake_answer(to_fake(dev));
	return 0;
}

static void drop(struct vhost_dev *dev)
{
	to_fake(dev)->n_answers = 0;
}

static void wake(struct vhost_dev *dev)
{
	(void)dev;
}

static uint64_t deadline(const struct vhost_dev *dev)
{
	return dev_first_deadline(dev);
}

static void lost(struct vhost_dev *dev, int status)
{
	(void)status;
	to_fake(dev)->calls[FAKE_LOST]++;
	close_fake(dev);
}

static int get_features(struct vhost_dev *dev, struct vhost_op *op, uint64_t *ret, unsigned int n)
{
	memset(ret, 0xff, n * sizeof(*ret));
	return call(dev, op, FAKE_GET_FEATURES);
}

static int set_features(struct vhost_dev *dev, struct vhost_op *op)
{
	return call(dev, op, FAKE_SET_FEATURES);
}

static int set_status(struct vhost_dev *dev, struct vhost_op *op, uint8_t status)
{
	(void)status;
	return call(dev, op, FAKE_SET_STATUS);
}

static int get_config(struct vhost_dev *dev, struct vhost_op *op, uint32_t offset, void *buf,
		      size_t len)
{
	memset(buf, (int)offset, len);
	return call(dev, op, FAKE_GET_CONFIG);
}

static int mem_add(struct vhost_dev *dev, struct vhost_op *op, struct mem_region *region)
{
	(void)region;
	return call(dev, op, FAKE_MEM_ADD);
}

static int mem_remove(struct vhost_dev *dev, struct vhost_op *op, const struct mem_region *region)
{
	(void)region;
	return call(dev, op, FAKE_MEM_REMOVE);
}

static int start(struct vhost_dev *dev, struct vhost_op *op)
{
	unsigned int i;
	int r = call(dev, op, FAKE_START);

	for (i = 0; !r && i < dev->rec.n_vqs; i++)
		dev->rec.vqs[i].running = dev->rec.vqs[i].set_up;
	return r;
}

static int stop(struct vhost_dev *dev, struct vhost_op *op, enum dev_stop_mode mode)
{
	(void)mode;
	return call(dev, op, FAKE_STOP);
}

static int reset(struct vhost_dev *dev, struct vhost_op *op)
{
	return call(dev, op, FAKE_RESET);
}

static int vq_enable(struct vhost_dev *dev, struct vhost_op *op, unsigned int index)
{
	(void)index;
	return call(dev, op, FAKE_VQ_ENABLE);
}

#define ALWAYS \
	.close = close_fake, .free = free_fake, .get_cap = get_cap, .wait = wait_fake, \
	.begin = nothing, .commit = nothing, .drop = drop, .get_fd = nothing, \
	.process = process, .wake = wake, .deadline = deadline, .lost = lost

static const struct vhost_transport_ops bare_ops = { .name = "bare", ALWAYS };

static const struct vhost_transport_ops fake_ops = {
	.name = "fake", .mem_needs = MEM_NEEDS_FD | MEM_NEEDS_SHARED, ALWAYS,
	.get_features = get_features, .set_features = set_features, .set_status = set_status,
	.get_config = get_config, .mem_add = mem_add, .mem_remove = mem_remove,
	.start = start, .stop = stop, .reset = reset, .vq_enable = vq_enable,
};

struct fake *fake_new(bool bare)
{
	struct vhost_dev_opts opts = { 0 };
	struct fake *f = NULL;

	if (dev_new(bare ? &bare_ops : &fake_ops, sizeof(*f), "fake:", &opts, &f) < 0)
		return NULL;
	f->dev.state = VHOST_DEV_STOPPED;
	return f;
}
