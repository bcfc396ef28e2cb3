/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * Operations and transactions. A call outside of a transaction is an operation on the
 * caller's stack, waited for at once. Inside one it is on the heap, and settles when
 * its answers have come; the transaction is over when the last of them has.
 */
#include <time.h>

#include "transport/transport.h"

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t dev_deadline(const struct vhost_dev *dev)
{
	return dev->timeout_ms < 0 ? UINT64_MAX : now_ms() + (uint64_t)dev->timeout_ms;
}

int op_begin_in_txn(struct vhost_dev *dev, struct vhost_op **ret)
{
	struct vhost_op *op = calloc(1, sizeof(*op));

	if (!op)
		return dev_fail(dev, -ENOMEM, VHOST_ERR_OTHER, "out of memory");
	op->txn = dev->open_txn;
	dev->in_call++;
	vhost_dev_ref(dev);
	*ret = op;
	return 0;
}

/* The transaction has nothing more to wait for: its callback is to run. */
static void txn_over(struct vhost_dev *dev, struct vhost_txn *txn)
{
	struct vhost_txn **p;

	for (p = &dev->txns; *p != txn; p = &(*p)->next)
		;
	*p = txn->next;
	if (dev->txns_tail == &txn->next)
		dev->txns_tail = p;
	txn->next = NULL;
	*dev->done_tail = txn;
	dev->done_tail = &txn->next;
	dev->ops->wake(dev);
}

/* The first that fails is what the transaction failed with. */
static void txn_fail(struct vhost_dev *dev, struct vhost_txn *txn, int status)
{
	if (txn->status)
		return;
	txn->status = status;
	txn->error = dev->error;
}

static void op_settle(struct vhost_dev *dev, struct vhost_op *op)
{
	struct vhost_txn *txn = op->txn;

	op->settled = true;
	if (op->settle)
		op->settle(dev, op);
	if (!txn)
		return;
	if (op->status < 0)
		txn_fail(dev, txn, op->status);
	if (--txn->unsettled == 0 && txn->committed)
		txn_over(dev, txn);
}

void op_answer(struct vhost_dev *dev, struct vhost_op *op, int status)
{
	if (status < 0 && !op->status)
		op->status = status;
	if (--op->pending || !op->submitted)
		return;
	if (!op->settle && !op->txn)
		op->settled = true;
	else
		op_settle(dev, op);
}

static int end_in_txn(struct vhost_dev *dev, struct vhost_op *op, int r)
{
	struct vhost_txn *txn = op->txn;

	dev->in_call--;
	if (r < 0) {
		/* nothing of it was queued; and the transaction may be gone with its connection */
		op->status = r;
		if (op->settle)
			op->settle(dev, op);
		free(op);
		return r;
	}
	*txn->tail = op;
	txn->tail = &op->next;
	txn->unsettled++;
	op->submitted = true;
	if (!op->pending)
		op_settle(dev, op);
	return 0;
}

int op_end(struct vhost_dev *dev, struct vhost_op *op, int r)
{
	/* Some of it is out and the rest will not be. */
	if (unlikely(r < 0 && op->sent))
		dev->ops->lost(dev, r);
	if (unlikely(op->txn != NULL)) {
		r = end_in_txn(dev, op, r);
	} else {
		op->submitted = true;
		if (unlikely(r < 0)) {
			op->status = r;
			op->pending = 0;
		}
		if (likely(op->pending))
			dev->ops->wait(dev, op);
		else
			op_settle(dev, op);
		r = op->status;
	}
	if (likely(dev->refs > 1))
		dev->refs--;
	else
		vhost_dev_unref(dev);
	return r;
}

static void txn_free(struct vhost_txn *txn)
{
	struct vhost_op *op;

	while ((op = txn->ops)) {
		txn->ops = op->next;
		free(op);
	}
	free(txn);
}

void dev_run_done(struct vhost_dev *dev)
{
	struct vhost_txn *last;
	bool more = true;

	if (!dev->done_txns || dev->in_done)
		return;
	vhost_dev_ref(dev);
	dev->in_done++;
	/* not those that the callbacks add: there might be no end of them */
	for (last = dev->done_txns; last->next; last = last->next)
		;
	while (more && dev->done_txns) {
		struct vhost_txn *txn = dev->done_txns;
		vhost_done_fn done = txn->done;
		void *opaque = txn->opaque;
		int status = txn->status;

		more = txn != last;
		dev->done_txns = txn->next;
		if (!dev->done_txns)
			dev->done_tail = &dev->done_txns;
		if (status < 0)
			dev->error = txn->error;
		txn_free(txn);
		done(dev, status, opaque);
	}
	dev->in_done--;
	if (dev->done_txns)
		dev->ops->wake(dev);
	vhost_dev_unref(dev);
}

uint64_t dev_first_deadline(const struct vhost_dev *dev)
{
	return dev->txns ? dev->txns->deadline : UINT64_MAX;
}

/* What was begun and not committed never happened. */
void dev_cancel_open(struct vhost_dev *dev)
{
	struct vhost_txn *txn = dev->open_txn;
	struct vhost_op *op;

	if (!txn)
		return;
	dev->open_txn = NULL;
	for (op = txn->ops; op; op = op->next) {
		if (op->settled)
			continue;
		op->status = -ECANCELED;
		op->settled = true;
		if (op->settle)
			op->settle(dev, op);
	}
	txn_free(txn);
}

void dev_cancel_all(struct vhost_dev *dev, int status)
{
	struct vhost_txn *txn, *next;
	struct vhost_op *op;

	dev_cancel_open(dev);
	for (txn = dev->txns; txn; txn = next) {
		/* one that is just being committed has no operation left, and stays */
		next = txn->next;
		txn_fail(dev, txn, status);
		if (!txn->unsettled) {
			txn_over(dev, txn);
			continue;
		}
		for (op = txn->ops; op; op = op->next) {
			if (op->settled)
				continue;
			op->pending = 1;
			op_answer(dev, op, status);
		}
	}
}

VHOST_EXPORT int vhost_dev_begin(vhost_dev_t *dev)
{
	struct vhost_txn *txn;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	if (dev->open_txn)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE, "a transaction is begun already");
	txn = calloc(1, sizeof(*txn));
	if (!txn)
		return dev_fail(dev, -ENOMEM, VHOST_ERR_OTHER, "out of memory");
	r = dev->ops->begin(dev);
	if (r < 0) {
		free(txn);
		return r;
	}
	txn->tail = &txn->ops;
	dev->open_txn = txn;
	return 0;
}

static int commit(struct vhost_dev *dev, vhost_done_fn done, void *opaque)
{
	struct vhost_txn *txn = dev->open_txn;
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	if (!txn)
		return dev_fail(dev, -EINVAL, VHOST_ERR_STATE, "no transaction is begun");
	if (dev->in_call)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
				"a call of the transaction is being made");
	dev->open_txn = NULL;
	txn->deadline = dev_deadline(dev);
	txn->done = done;
	txn->opaque = opaque;
	txn->committed = true;
	*dev->txns_tail = txn;
	dev->txns_tail = &txn->next;
	/* one that needs no answer is over at once; its callback still comes later */
	txn->unsettled++;
	r = dev->ops->commit(dev);
	if (r < 0)
		txn_fail(dev, txn, r);
	if (--txn->unsettled == 0)
		txn_over(dev, txn);
	return 0;
}

static void note_status(vhost_dev_t *dev _unused_, int status, void *opaque)
{
	*(int *)opaque = status;
}

VHOST_EXPORT int vhost_dev_commit(vhost_dev_t *dev)
{
	int status = 1, r;

	if (dev->in_done)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
				"a transaction cannot be waited for inside of its callback");
	r = commit(dev, note_status, &status);
	if (r < 0)
		return r;
	vhost_dev_ref(dev);
	dev_run_done(dev);
	while (status > 0) {
		dev->ops->wait(dev, NULL);
		dev_run_done(dev);
	}
	dev_await_rollback(dev);
	vhost_dev_unref(dev);
	return status;
}

VHOST_EXPORT int vhost_dev_commit_async(vhost_dev_t *dev, vhost_done_fn done, void *opaque)
{
	if (!done)
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT, "no callback was given");
	return commit(dev, done, opaque);
}
