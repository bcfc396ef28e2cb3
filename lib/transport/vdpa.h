/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* vDPA, shared between its files. */
#ifndef LIBVHOST_TRANSPORT_VDPA_H
#define LIBVHOST_TRANSPORT_VDPA_H

#include "transport/kdev.h"

#define VIRTIO_STATUS_NEEDS_RESET 64u
#define VIRTIO_STATUS_FAILED 128u

/* What the device's IOTLB has, in the order of address space and IOVA. */
struct vdpa_map {
	uint64_t iova;
	uint64_t size;
	uint64_t addr;
	uint64_t region;	/* the region of the memory map that it leads to, by its IOVA */
	uint32_t asid;
	uint8_t perm;
};

struct vhost_vdpa {
	struct kdev k;
	uint32_t n_queues;
	uint16_t queue_size;
	struct kv_iova_range range;
	uint32_t config_size;
	uint32_t n_groups;	/* 0: not asked for yet */
	uint32_t n_as;
	uint32_t *group_asid;	/* n_groups of them once one is set */

	uint8_t status;		/* as it was written last */
	bool features_lost;	/* a reset took them from the device, ... */
	bool maps_lost;		/* ... and its mappings, ... */
	bool groups_lost;	/* ... and where its groups are, ... */
	bool config_lost;	/* ... and where its configuration interrupt goes */
	bool needs_reset;	/* it said so, and the user knows */

	struct vdpa_map *maps;
	unsigned int n_maps;
	unsigned int maps_room;
	unsigned int in_batch;	/* how many want messages kept together */
	bool batch_open;	/* ... and the kernel was told, */
	uint32_t batch_asid;	/* ... of this address space */

	int config_fd;		/* the library's, -1 until somebody listens */
	int config_user_fd;	/* the user's, which then takes its place */
	bool ran[VHOST_MAX_QUEUES];	/* queues that ran when it was suspended */
	void **doorbells;	/* n_queues of them once one is mapped */
};

static inline struct vhost_vdpa *to_vdpa(struct vhost_dev *dev)
{
	return (struct vhost_vdpa *)dev;
}

static inline const struct vhost_vdpa *to_vdpa_const(const struct vhost_dev *dev)
{
	return (const struct vhost_vdpa *)dev;
}

/* vdpa.c */
void vdpa_learn_groups(struct vhost_vdpa *v);
int vdpa_listen_config(struct vhost_vdpa *v);	/* with the library's own eventfd */
/* -ENOTSUP, which leaves no sentence, where it is not told. */
int vdpa_get_group(struct vhost_vdpa *v, unsigned long request, unsigned int index,
		   uint32_t *ret);

/* vdpa-map.c */
int vdpa_map(struct vhost_vdpa *v, const struct vdpa_map *map);
/* Take back [iova, last] of an address space; of entries that go beyond, the rest stays. */
int vdpa_unmap(struct vhost_vdpa *v, uint32_t asid, uint64_t iova, uint64_t last);
int vdpa_unmap_region(struct vhost_vdpa *v, uint64_t region);	/* all that leads there */
int vdpa_remap(struct vhost_vdpa *v);	/* all of it, to a device that has forgotten */
bool vdpa_is_mapped(const struct vhost_vdpa *v, uint32_t asid, uint64_t iova, uint64_t size);
/* The process's address of [iova, iova + size) if one entry has it all, or 0. */
uint64_t vdpa_address(const struct vhost_vdpa *v, uint32_t asid, uint64_t iova, uint64_t size);
/* Does an entry lead from [iova, iova + size), of any address space, to that region? */
bool vdpa_leads_to(const struct vhost_vdpa *v, uint64_t iova, uint64_t size, uint64_t region);
bool vdpa_taken(const struct vhost_dev *dev, uint64_t iova, uint64_t last, uint64_t *ret_last);
void vdpa_batch_begin(struct vhost_vdpa *v);
int vdpa_batch_end(struct vhost_vdpa *v);
int vdpa_batch_flush(struct vhost_vdpa *v);	/* what is kept together goes to the device now */

/* vdpa-calls.c */
void vdpa_doorbells_unmap(struct vhost_vdpa *v);

#endif
