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
	uint64_t told[VHOST_MAX_QUEUES / 64];	/* queues that the kernel has addresses of */
	struct kernel_entry *entries;		/* oldest first */
	unsigned int n_entries;
	unsigned int entries_room;
};

static inline struct vhost_kernel *to_kernel(struct vhost_dev *dev)
{
	return (struct vhost_kernel *)dev;
}

/* Attach a queue of vhost-net to its tap, or detach it. */
int kernel_net_attach(struct vhost_kernel *kn, unsigned int index, bool attach);

#endif
