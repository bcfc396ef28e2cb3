/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * What a vhost_dev_t is inside: the record of what was set, the operations on their
 * way, the error. Transports embed struct vhost_dev as their first member.
 */
#ifndef LIBVHOST_DEVICE_H
#define LIBVHOST_DEVICE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vhost/dev.h>

#include "mem/iova.h"
#include "mem/map.h"
#include "util.h"

#define VHOST_FEATURE_WORDS 8u
#define VHOST_MAX_QUEUES 256u
#define VHOST_DEFAULT_TIMEOUT_MS 10000

#define VIRTIO_STATUS_ACKNOWLEDGE 1u
#define VIRTIO_STATUS_DRIVER 2u
#define VIRTIO_STATUS_DRIVER_OK 4u
#define VIRTIO_STATUS_FEATURES_OK 8u

#define VIRTIO_BIT_VERSION_1 32
#define VIRTIO_BIT_ACCESS_PLATFORM 33
#define VIRTIO_BIT_RING_PACKED 34
#define VIRTIO_BIT_IN_ORDER 35

struct vhost_dev;
struct vhost_op;
struct vhost_txn;

/* One queue of the record. */
struct vhost_vq {
	bool set_up;
	bool enabled;		/* as the caller wants it */
	bool running;		/* the device was told to start it, and has it still */
	bool interrupted;	/* it ran when the connection ended */
	int endian;		/* -1 not said; 0 little; 1 big */
	struct vhost_vq_config config;	/* its descriptors are the record's own */
	vhost_virtq_t *virtq;
};

struct vhost_log {
	void *map;		/* NULL: not logging */
	size_t size;		/* in bytes of bitmap */
	int fd;
	int notify_fd;		/* SET_LOG_FD */
};

struct vhost_inflight {
	int fd;			/* -1: none */
	uint64_t size;
	uint64_t offset;
	uint16_t num_queues;
	uint16_t queue_size;
};

/* Everything that a new connection is told again. */
struct vhost_record {
	uint64_t features[VHOST_FEATURE_WORDS];
	bool features_set;
	uint8_t status;
	struct mem_map map;
	struct vhost_vq *vqs;	/* n_vqs of them: up to the highest set up */
	unsigned int n_vqs;
	struct vhost_log log;
	struct vhost_inflight inflight;
};

/*
 * One public call on its way. A transport that answers at once leaves @pending 0; one
 * that waits for answers raises it for each, and calls op_answer() when it comes.
 * @settle runs once, when all of it is in: it keeps what was recorded, or takes it
 * back where @status says that it failed.
 */
struct vhost_op {
	struct vhost_op *next;		/* in its transaction */
	struct vhost_txn *txn;		/* NULL: somebody waits for it alone */
	unsigned int pending;
	unsigned int sent;		/* requests of it that are out, or queued */
	bool submitted;
	bool settled;
	bool acted;		/* the device was told, transaction or not */
	int status;
	void (*settle)(struct vhost_dev *dev, struct vhost_op *op);
	/* a transport's: an answer that is more than an acknowledgement */
	int (*reply)(struct vhost_dev *dev, struct vhost_op *op, uint32_t request,
		     unsigned int index, const void *msg);
	/* arguments and outputs that @settle and @reply need */
	void *out;
	void *out2;
	uint64_t a;
	uint64_t b;
	struct mem_region region;
	struct mem_map old_map;
};

/* What failed: its kind, and the sentence. */
struct vhost_error {
	int kind;
	char text[256];
};

struct vhost_txn {
	struct vhost_txn *next;
	struct vhost_op *ops;
	struct vhost_op **tail;
	unsigned int unsettled;
	bool committed;
	bool starts_or_stops;		/* one of these is among it: no other can be */
	int status;
	struct vhost_error error;	/* with @status */
	uint64_t deadline;
	vhost_done_fn done;
	void *opaque;
};

struct vhost_dev {
	const struct vhost_transport_ops *ops;
	const char *transport;		/* what it is called */
	unsigned int refs;
	int state;			/* enum vhost_dev_state */
	bool starting;			/* a start is not yet acknowledged */
	char *address;
	int timeout_ms;			/* -1 never */
	uint32_t device_id;

	struct vhost_dev_events events;
	void *events_opaque;
	vhost_log_fn log;
	void *log_opaque;
	vhost_trace_fn trace;
	void *trace_opaque;

	struct vhost_error error;

	struct vhost_record rec;
	struct iova_set iovas;		/* given out by vhost_dev_iova_alloc() */

	struct vhost_txn *open_txn;	/* between begin and commit */
	unsigned int in_call;		/* calls of it that are being made */
	struct vhost_txn *txns;		/* committed, oldest first */
	struct vhost_txn **txns_tail;
	struct vhost_txn *done_txns;	/* over; their callbacks are still to run */
	struct vhost_txn **done_tail;
	unsigned int in_done;		/* a done callback is running */
	struct vhost_op *rollback;	/* takes back a start that was refused */
};

/* error.c */
int dev_fail(struct vhost_dev *dev, int r, int kind, const char *fmt, ...) _printf_(4, 5);
int dev_vfail(struct vhost_dev *dev, int r, int kind, const char *fmt, va_list ap) _printf_(4, 0);
void dev_log(struct vhost_dev *dev, int level, const char *fmt, ...) _printf_(3, 4);
int call_fail(int r, int kind, const char *fmt, ...) _printf_(3, 4);	/* no device yet */
int error_kind_of(int r);
/* Features of word 0 that are not offered: names them, and returns -EINVAL. */
int dev_lacks(struct vhost_dev *dev, uint64_t features);

/* op.c */
uint64_t now_ms(void);
uint64_t dev_deadline(const struct vhost_dev *dev);	/* UINT64_MAX: never */
int op_begin_in_txn(struct vhost_dev *dev, struct vhost_op **ret);
int op_end(struct vhost_dev *dev, struct vhost_op *op, int r);
void op_answer(struct vhost_dev *dev, struct vhost_op *op, int status);
void dev_run_done(struct vhost_dev *dev);
void dev_cancel_open(struct vhost_dev *dev);	/* the transaction that is only begun */
void dev_cancel_all(struct vhost_dev *dev, int status);	/* the transport has none left */
uint64_t dev_first_deadline(const struct vhost_dev *dev);

/* record.c */
void record_init(struct vhost_record *rec);
void record_clear(struct vhost_record *rec);
void record_forget_queues(struct vhost_record *rec);
struct vhost_vq *record_vq(struct vhost_record *rec, unsigned int index);	/* NULL: no such */
int record_vq_grow(struct vhost_record *rec, unsigned int index, struct vhost_vq **ret);
bool record_has(const struct vhost_record *rec, unsigned int bit);
void log_drop(struct vhost_log *log);

/* A call's operation: @stack, unless it is part of a transaction. op_end() is to follow. */
static inline int op_begin(struct vhost_dev *dev, struct vhost_op *stack, struct vhost_op **ret)
{
	if (unlikely(dev->open_txn != NULL))
		return op_begin_in_txn(dev, ret);
	memset(stack, 0, offsetof(struct vhost_op, region));
	dev->refs++;	/* until op_end(): a callback may drop the last one */
	*ret = stack;
	return 0;
}

/* A call of several steps holds on to the device: a callback may drop the last reference. */
static inline void dev_unrefp(struct vhost_dev **dev)
{
	vhost_dev_unref(*dev);
}
#define _hold_(dev) _cleanup_(dev_unrefp) _unused_ struct vhost_dev *held_ = vhost_dev_ref(dev)

/* dev.c */
int dev_new(const struct vhost_transport_ops *ops, size_t size, const char *address,
	    const struct vhost_dev_opts *opts, void *ret);
void dev_set_events(struct vhost_dev *dev, const struct vhost_dev_events *events, void *opaque);
int dev_ready(struct vhost_dev *dev);	/* 0, or why the device cannot be asked now */

/* dev-queue.c */
void vq_area_sizes(const struct vhost_record *rec, uint32_t size, uint64_t ret[3]);
int vqs_check_log(struct vhost_dev *dev);	/* are the rings' addresses within it? */
void dev_await_rollback(struct vhost_dev *dev);	/* leaves the error as it is */

#endif
