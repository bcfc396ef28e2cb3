/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The device's side of a queue while it runs: geometry, features, translations, the
 * record of what is in flight, taken as a snapshot at the start and frozen until the end.
 * Memory in, requests out: no I/O, no locks, no policy. Everything that the driver can
 * write to is read once, checked, and then used.
 *
 * A run outlives its ring's stop while requests of it are in flight, so that their
 * buffers stay mapped; by then the ring itself is not touched any more.
 */
#ifndef LIBVHOST_RING_VRING_H
#define LIBVHOST_RING_VRING_H

#include <stdbool.h>
#include <stdint.h>

#include <vhost/vring.h>

#include "mem/dirty.h"
#include "mem/guest.h"
#include "mem/inflight.h"
#include "mem/iotlb.h"
#include "ring/layout.h"
#include "util.h"

struct vring_run;

/* How a ring is to be run. Pointers are to whole areas, checked by vring_find_areas(). */
struct vring_config {
	uint32_t size;
	uint64_t features;		/* negotiated; RING_F_* of them matter */
	uint32_t base;			/* as struct vhost_vq_config.base */
	bool big_endian;		/* a legacy driver that is */
	void *desc, *driver, *device;
	bool log_device;		/* mark writes to the device area in the dirty log, */
	uint64_t device_guest;		/* whose guest address this is */
	struct inflight_area *inflight;	/* referenced; or NULL */
	unsigned int index;		/* of the queue, in it */
	uint64_t id;			/* struct vhost_req.run of its requests */
	bool notify;			/* ask for notifications */
};

/* What a ring finds its buffers with. Referenced where it is kept. */
struct vring_memory {
	struct guest_map *map;
	const struct iotlb *iotlb;	/* addresses are IOVAs, translated by this; or NULL */
	struct dirty_log *log;		/* or NULL */
};

/* The translation that a ring waits for. */
struct vring_miss {
	bool waiting;
	uint64_t iova;
	uint32_t perm;
};

/* The addresses of a ring's areas, as the front-end gives them. */
struct vring_areas {
	uint64_t desc, driver, device;
};

enum vring_address {
	VRING_ADDRESS_USER,		/* the front-end's user addresses */
	VRING_ADDRESS_GUEST,		/* guest addresses (GPA_ADDRESSES) */
	VRING_ADDRESS_IOVA		/* through the IOTLB */
};

/*
 * Find a ring's areas in the memory: aligned (VIRTIO 1.3, 2.7 and 2.8), mapped, each
 * contiguous. 0 and the three pointers; -EINVAL and *why, which names the area; -EAGAIN
 * and *miss when a translation is missing.
 */
int vring_find_areas(const struct vring_memory *mem, enum vring_address kind,
		     const struct vring_areas *areas, uint32_t size, uint64_t features,
		     void *ret[3], struct vring_miss *miss, char *why, size_t why_size);

/*
 * Start. With an inflight record, what it says was in flight is taken up first, and the
 * used position of a split ring comes from the ring. -ENOMEM, -EINVAL and *why (a base
 * beyond a packed ring, a record for fewer descriptors).
 */
int vring_run_new(const struct vring_config *config, const struct vring_memory *mem,
		  struct vring_run **ret, char *why, size_t why_size);

/*
 * The end: nothing of the ring is touched from here on. Frees the run once nothing is in
 * flight, here or in the vring_push() that brings back the last; true if that is now.
 */
bool vring_run_stop(struct vring_run *run);

/* The requests' buffers are no longer anybody's: end all, whatever is in flight. */
void vring_run_free(struct vring_run *run);

int vring_pop(struct vring_run *run, struct vhost_req *reqs, unsigned int n);
/* @ret_gone: the run was stopped and this was the last of it: it is freed. */
int vring_push(struct vring_run *run, const struct vhost_req *reqs, unsigned int n,
	       bool *ret_gone);
int vring_unpop(struct vring_run *run, const struct vhost_req *reqs, unsigned int n);

/* Is the driver to be notified of what was pushed since the last answer? */
bool vring_needs_notify(struct vring_run *run);
/* Write the wish to the ring. True if @enable and there are requests already. */
bool vring_set_notify(struct vring_run *run, bool enable);
/* Are there requests to pop, as far as one look tells? */
bool vring_has_requests(struct vring_run *run);

/* Where the ring stands, as struct vhost_vq_config.base; for GET_VRING_BASE. */
uint32_t vring_base(const struct vring_run *run);
unsigned int vring_in_flight(const struct vring_run *run);
/* struct vhost_req.run of its requests. */
uint64_t vring_run_id(const struct vring_run *run);

/*
 * New memory, a new log, logging of the device area: what is in flight keeps what it has.
 * The areas were found in the new memory by the caller.
 */
void vring_set_memory(struct vring_run *run, const struct vring_memory *mem,
		      void *const areas[3]);
void vring_set_log(struct vring_run *run, struct dirty_log *log, bool log_device,
		   uint64_t device_guest);
/* The IOTLB changed: nothing that was remembered of it holds. */
void vring_iotlb_changed(struct vring_run *run);

/* What pop waits for, if it stopped at a translation that is missing. */
const struct vring_miss *vring_miss(const struct vring_run *run);

/* -EBADMSG from now on, with a sentence; the first one stays. */
int vring_break(struct vring_run *run, const char *fmt, ...) _printf_(2, 3)
	__attribute__((cold));
/* NULL while it is whole. */
const char *vring_broken(const struct vring_run *run);

#endif
