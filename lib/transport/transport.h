/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The dispatch table: one per transport, static and const. Whatever may be absent is
 * NULL, which vhost_call() turns into -ENOTSUP. Arguments and states were checked
 * before a slot is called, and the record already says what is wanted.
 *
 * A slot that gets an operation queues what is to be sent for it and returns 0, or
 * returns a negative errno with nothing sent. vhost_transport_ops.wait carries it out.
 * The kernel's transports have done it when a slot returns, and take back what they did
 * themselves where it fails.
 */
#ifndef LIBVHOST_TRANSPORT_H
#define LIBVHOST_TRANSPORT_H

#include "device.h"

enum dev_stop_mode {
	DEV_STOP,	/* disable the queues, and have them back */
	DEV_SUSPEND	/* have them back, and leave them enabled */
};

enum dev_iotlb_type {
	DEV_IOTLB_UPDATE,
	DEV_IOTLB_INVALIDATE
};

struct vhost_transport_ops {
	const char *name;
	unsigned int mem_needs;		/* MEM_NEEDS_* */
	const char *mem_limit;		/* what says how many regions there can be, or NULL */
	bool maps_memory;		/* the memory map is entries of the device's IOTLB */
	/* always there */
	void (*close)(struct vhost_dev *dev);
	void (*free)(struct vhost_dev *dev);
	int (*get_cap)(const struct vhost_dev *dev, uint32_t cap, uint64_t *ret);
	int (*wait)(struct vhost_dev *dev, struct vhost_op *op);	/* until it is settled */
	int (*begin)(struct vhost_dev *dev);
	int (*commit)(struct vhost_dev *dev);	/* an error is the transaction's */
	void (*drop)(struct vhost_dev *dev);	/* what was queued since begin */
	int (*get_fd)(struct vhost_dev *dev);
	int (*process)(struct vhost_dev *dev);
	void (*wake)(struct vhost_dev *dev);	/* make its descriptor readable */
	uint64_t (*deadline)(const struct vhost_dev *dev);
	void (*lost)(struct vhost_dev *dev, int status);	/* what the device is in is unknown */

	int (*reconnect)(struct vhost_dev *dev, int fd, uint32_t flags);

	int (*get_features)(struct vhost_dev *dev, struct vhost_op *op, uint64_t *ret,
			    unsigned int n);
	int (*set_features)(struct vhost_dev *dev, struct vhost_op *op);
	int (*get_status)(struct vhost_dev *dev, struct vhost_op *op, uint8_t *ret);
	int (*set_status)(struct vhost_dev *dev, struct vhost_op *op, uint8_t status);
	int (*get_config)(struct vhost_dev *dev, struct vhost_op *op, uint32_t offset,
			  void *buf, size_t len);
	int (*set_config)(struct vhost_dev *dev, struct vhost_op *op, uint32_t offset,
			  const void *buf, size_t len, uint32_t flags);

	int (*mem_add)(struct vhost_dev *dev, struct vhost_op *op, struct mem_region *region);
	int (*mem_remove)(struct vhost_dev *dev, struct vhost_op *op,
			  const struct mem_region *region);
	int (*mem_set)(struct vhost_dev *dev, struct vhost_op *op);	/* the whole map */
	int (*iotlb)(struct vhost_dev *dev, struct vhost_op *op, enum dev_iotlb_type type,
		     const struct vhost_iotlb_entry *entry);
	/* Is something in the device's IOTLB there? Where it ends goes to @ret_last. */
	bool (*iova_taken)(const struct vhost_dev *dev, uint64_t iova, uint64_t last,
			   uint64_t *ret_last);
	/* Does the IOTLB lead from the rings of a queue that runs, or is suspended, to it? */
	bool (*rings_in)(const struct vhost_dev *dev, unsigned int index,
			 const struct mem_region *region);
	/* Changes of the memory map in between may be kept together. To begin never fails. */
	int (*batch_begin)(struct vhost_dev *dev);
	int (*batch_end)(struct vhost_dev *dev);

	int (*start)(struct vhost_dev *dev, struct vhost_op *op);
	int (*stop)(struct vhost_dev *dev, struct vhost_op *op, enum dev_stop_mode mode);
	int (*reset)(struct vhost_dev *dev, struct vhost_op *op);
	int (*vq_enable)(struct vhost_dev *dev, struct vhost_op *op, unsigned int index);
	int (*vq_set_call)(struct vhost_dev *dev, struct vhost_op *op, unsigned int index);
	int (*vq_set_endian)(struct vhost_dev *dev, struct vhost_op *op, unsigned int index);
	int (*vq_kick)(struct vhost_dev *dev, unsigned int index);

	int (*log_start)(struct vhost_dev *dev, struct vhost_op *op);
	int (*log_stop)(struct vhost_dev *dev, struct vhost_op *op);
	int (*log_set_fd)(struct vhost_dev *dev, struct vhost_op *op, int fd);

	int (*inflight_get)(struct vhost_dev *dev, struct vhost_op *op, uint16_t num_queues,
			    uint16_t queue_size, struct vhost_inflight *ret);
	int (*inflight_set)(struct vhost_dev *dev, struct vhost_op *op);

	int (*device_state_fd)(struct vhost_dev *dev, struct vhost_op *op, int direction,
			       int fd, int *ret_fd);
	int (*device_state_check)(struct vhost_dev *dev, struct vhost_op *op);
};

#define vhost_call(dev, slot, ...) \
	((dev)->ops->slot ? (dev)->ops->slot((dev), ##__VA_ARGS__) : \
	 dev_fail((dev), -ENOTSUP, VHOST_ERR_UNSUPPORTED, \
		  "%s devices have no such call", (dev)->transport))

extern const struct vhost_transport_ops vhost_user_ops;
extern const struct vhost_transport_ops vhost_kernel_ops;
extern const struct vhost_transport_ops vhost_vdpa_ops;

#endif
