/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The vDPA bus: its devices, and the management devices that make them. */
#ifndef VDPA_H
#define VDPA_H

#include "host.h"
#include "vhostctl.h"

#define VDPA_FAMILY "vdpa"

/* Numbers of the kernel's generic netlink family (Linux 7.2, <linux/vdpa.h>). */
enum vdpa_command {
	VDPA_MGMTDEV_GET = 2,
	VDPA_DEV_NEW = 3,
	VDPA_DEV_DEL = 4,
	VDPA_DEV_GET = 5,
	VDPA_DEV_CONFIG_GET = 6,
	VDPA_DEV_VSTATS_GET = 7
};

enum vdpa_attribute {
	VDPA_MGMTDEV_BUS_NAME = 1,
	VDPA_MGMTDEV_DEV_NAME = 2,
	VDPA_MGMTDEV_CLASSES = 3,
	VDPA_NAME = 4,
	VDPA_ID = 5,
	VDPA_VENDOR_ID = 6,
	VDPA_MAX_VQS = 7,
	VDPA_MAX_VQ_SIZE = 8,
	VDPA_MIN_VQ_SIZE = 9,
	VDPA_NET_MAC = 10,
	VDPA_NET_STATUS = 11,
	VDPA_NET_MAX_VQP = 12,
	VDPA_NET_MTU = 13,
	VDPA_NEGOTIATED_FEATURES = 14,
	VDPA_MGMTDEV_MAX_VQS = 15,
	VDPA_MGMTDEV_FEATURES = 16,
	VDPA_QUEUE_INDEX = 17,
	VDPA_VENDOR_ATTR_NAME = 18,
	VDPA_VENDOR_ATTR_VALUE = 19,
	VDPA_FEATURES = 20,
	VDPA_BLK_CAPACITY = 21,
	VDPA_BLK_SIZE_MAX = 22,
	VDPA_BLK_SIZE = 23,
	VDPA_BLK_SEG_MAX = 24,
	VDPA_BLK_NUM_QUEUES = 25,
	VDPA_BLK_PHYSICAL_BLOCK_EXP = 26,
	VDPA_BLK_ALIGNMENT_OFFSET = 27,
	VDPA_BLK_MIN_IO_SIZE = 28,
	VDPA_BLK_OPT_IO_SIZE = 29,
	VDPA_BLK_MAX_DISCARD_SECTORS = 30,
	VDPA_BLK_MAX_DISCARD_SEG = 31,
	VDPA_BLK_DISCARD_SECTOR_ALIGNMENT = 32,
	VDPA_BLK_MAX_WRITE_ZEROES_SECTORS = 33,
	VDPA_BLK_MAX_WRITE_ZEROES_SEG = 34,
	VDPA_BLK_READ_ONLY = 35,
	VDPA_BLK_FLUSH = 36,
	VDPA_N_ATTRIBUTES
};

/* A counter of a vendor's, of one queue. */
struct vdpa_stat {
	unsigned int queue;
	char name[64];
	uint64_t value;
};

/* A device or a management device: what there is to know of it. */
struct vdpa_item {
	char name[256];		/* of a management device with a bus: bus/name */
	char mgmtdev[256];
	char driver[256];	/* "" if none is bound */
	char node[300];		/* of vhost_vdpa in /dev, or "" */
	uint8_t mac[6];
	uint64_t has;		/* a bit for each attribute that the kernel gave */
	uint64_t value[VDPA_N_ATTRIBUTES];
	struct vdpa_stat *stat;
	size_t n_stats;
};

struct vdpa_items {
	struct vdpa_item *item;
	size_t n;
};

struct vdpa_bus {
	struct vdpa_items mgmtdevs;
	struct vdpa_items devices;
	char problem[300];	/* why netlink told nothing, or "" */
};

static inline bool vdpa_has(const struct vdpa_item *item, enum vdpa_attribute attribute)
{
	return item->has >> attribute & 1;
}

/* -ENOMEM; whatever else fails is in ret->problem. */
int vdpa_bus_read(const struct host *host, int timeout_ms, struct vdpa_bus *ret);
void vdpa_bus_free(struct vdpa_bus *bus);
struct vdpa_item *vdpa_find(const struct vdpa_items *items, const char *name);

/* The type whose feature bits a management device has: that of its only class, or 0. */
uint32_t vdpa_class(const struct vdpa_item *mgmtdev);

/* What sysfs says of a device: the driver and the node. 0 or -ENOENT. */
int vdpa_sysfs(const struct host *host, const char *name, struct vdpa_item *ret);
/* The vendor's counters of all queues; none if the device, or we, may not. */
int vdpa_read_stats(struct vdpa_item *device, int timeout_ms);
/* What to say when the family cannot be had (a negative errno). */
void vdpa_explain(const struct host *host, int error, char *buf, size_t size);

void vdpa_print_mgmtdev(const struct vdpa_item *mgmtdev);
/* @brief: without the configuration space and the counters. */
void vdpa_print_device(const struct vdpa_item *device, bool brief);
#ifdef HAVE_JSON_C
json_object *vdpa_json_mgmtdev(const struct vdpa_item *m);
json_object *vdpa_json_mgmtdevs(const struct vdpa_bus *bus);
json_object *vdpa_json_devices(const struct vdpa_bus *bus);
json_object *vdpa_json_device(const struct vdpa_item *device);
#endif

#endif
