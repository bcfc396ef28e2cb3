/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The kernel's vhost-net, -vsock and -scsi, shared between their files. */
#ifndef LIBVHOST_TRANSPORT_KERNEL_H
#define LIBVHOST_TRANSPORT_KERNEL_H

#include "transport/kdev.h"

#define NET_QUEUES 2u
#define VSOCK_QUEUES 2u

/* A translation that the kernel was given, and the address that it led to. */
struct kernel_entry {
	struct vhost_iotlb_entry entry;
	uint64_t addr;
};

struct vhost_kernel {
	struct kdev k;
	unsigned int n_queues;
	unsigned int max_regions;	/* 0: not asked for yet */
	unsigned int max_entries;	/* of the kernel's IOTLB; likewise */
	bool attached;			/* queues have their backend */
	bool logging;			/* LOG_ALL is among the features in force */
	int8_t workers;			/* -1: not asked for yet */
	int8_t cross_endian;
	int net_fd[NET_QUEUES];
	bool net_header;
	bool cid_set;
	bool endpoint_set;
	struct kv_scsi_target endpoint;
	bool told[VHOST_MAX_QUEUES];	/* queues that the kernel has addresses of */
	struct kernel_entry *entries;		/* oldest first */
	unsigned int n_entries;
	unsigned int entries_room;
};

static inline struct vhost_kernel *to_kernel(struct vhost_dev *dev)
{
	return (struct vhost_kernel *)dev;
}

/* kernel-iotlb.c */
int kernel_update(struct vhost_kernel *kn, const struct vhost_iotlb_entry *entry);
/* Take back what was given of a range: the kernel forgets entries as a whole. */
int kernel_invalidate(struct vhost_kernel *kn, uint64_t iova, uint64_t size);
int kernel_update_again(struct vhost_kernel *kn);	/* all, to a kernel that has none */
/* Memory that went away, or is another's now, is not to be reached by an old translation. */
int kernel_drop_stale(struct vhost_kernel *kn);
bool kernel_rings_in(const struct vhost_dev *dev, unsigned int index,
		     const struct mem_region *region);
bool kernel_has_entry(struct vhost_kernel *kn, const struct vhost_iotlb_entry *entry);
/* The translation of @iova that the user gave unasked. */
bool kernel_given(const struct vhost_kernel *kn, uint64_t iova, uint32_t perm,
		  struct vhost_iotlb_entry *ret);

/* kernel.c */
/* A module's parameter; @fallback where it cannot be read. */
unsigned int kernel_module_limit(const char *path, unsigned int fallback);
/* Attach a queue of vhost-net to its tap, or detach it. */
int kernel_net_attach(struct vhost_kernel *kn, unsigned int index, bool attach);

#endif
