/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A driver's side of a ring, for tests of the device's side: written byte by byte from
 * VIRTIO 1.3, 2.7 and 2.8, sharing nothing with lib/ring, so that it can lie. It comes
 * with the memory of a guest: four regions of one file, which the driver sees through a
 * mapping of its own.
 */
#ifndef LIBVHOST_TESTS_RING_DRIVER_H
#define LIBVHOST_TESTS_RING_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "mem/dirty.h"
#include "mem/guest.h"
#include "mem/iotlb.h"
#include "ring/layout.h"
#include "ring/vring.h"

/* --------------------------------------------------------------- memory */

/*
 * LOW and NEXT are neighbours by guest address, LOW and FAR by user address; neither are
 * in the file. Everything else has holes between.
 */
#define GM_LOW 0x10000ull
#define GM_LOW_SIZE 0x180000ull
#define GM_NEXT (GM_LOW + GM_LOW_SIZE)
#define GM_NEXT_SIZE 0x10000ull
#define GM_FAR 0x200000ull
#define GM_FAR_SIZE 0x80000ull
#define GM_HIGH 0xfffffffffffe0000ull
#define GM_HIGH_SIZE 0x10000ull
#define GM_HOLE (GM_NEXT + GM_NEXT_SIZE)	/* the first address that is not mapped */
#define GM_FILE_SIZE 0x400000ull
#define GM_N 4u

/* Where the driver has its rings, its tables, and buffers of its own. All in LOW. */
#define GM_DESC 0x10000ull
#define GM_DRIVER 0x90000ull
#define GM_DEVICE 0xb0000ull
#define GM_TABLES 0x100000ull
#define GM_DATA 0x110000ull

struct guest_mem {
	int fd;
	uint8_t *file;
	struct guest_region *regions[GM_N];
	struct guest_map *map;
};

void gm_init(struct guest_mem *gm);
void gm_fini(struct guest_mem *gm);
/* The driver's view of a guest address; aborts the test if there is none. */
uint8_t *gm_ptr(const struct guest_mem *gm, uint64_t guest);
/* Where the device has it. */
uint8_t *gm_device_ptr(const struct guest_mem *gm, uint64_t guest);
uint64_t gm_user(uint64_t guest);
/* The regions anew, in a map of their own, as after SET_MEM_TABLE; but for @without. */
struct guest_map *gm_map_again(const struct guest_mem *gm, uint64_t without);

/* ----------------------------------------------------------------- ring */

#define RD_MAX 64u		/* descriptors of a ring that rd_add() is used with */
#define RD_SEGS 16u

struct rd_seg {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;		/* DESC_F_WRITE, _INDIRECT, or what does not belong there */
};

struct ring_driver {
	struct guest_mem *gm;
	uint64_t features;
	uint32_t size;
	bool packed, event_idx, in_order, big_endian;
	uint64_t desc, driver, device;		/* guest addresses */
	uint8_t *desc_p, *driver_p, *device_p;

	uint16_t avail, used;			/* split: free running; packed: positions */
	bool avail_wrap, used_wrap;
	uint32_t n_free;
	uint16_t ids[RD_MAX];			/* free ones; split: descriptors */
	uint32_t ids_at;
	struct {
		bool out;
		uint32_t cookie;
		uint16_t n;			/* descriptors of the ring */
		uint16_t at[RD_SEGS];		/* split: which */
		uint32_t room;			/* writable bytes */
	} req[RD_MAX];
	uint16_t order[RD_MAX];			/* of what is outstanding, by id */
	uint32_t n_order;
	uint32_t batch, batch_len;		/* IN_ORDER */
	const char *violation;			/* what the device did that it must not */
};

/* A ring of zeros at its first position; @size up to RING_SIZE_MAX. */
void rd_init(struct ring_driver *d, struct guest_mem *gm, uint32_t size, uint64_t features);
/* As if @at entries or descriptors had gone through it. */
void rd_set_position(struct ring_driver *d, uint32_t at);
/* For struct vring_config.base, with nothing in flight. */
uint32_t rd_base(const struct ring_driver *d);

/* The words of the ring, in its byte order. */
void rd_put16(const struct ring_driver *d, void *p, uint16_t v);
void rd_put32(const struct ring_driver *d, void *p, uint32_t v);
void rd_put64(const struct ring_driver *d, void *p, uint64_t v);
uint16_t rd_get16(const struct ring_driver *d, const void *p);
uint32_t rd_get32(const struct ring_driver *d, const void *p);

/* A descriptor at @p, with flags as they are and the last field (next or id). */
void rd_put_desc(const struct ring_driver *d, void *p, uint64_t addr, uint32_t len, uint16_t flags,
		 uint16_t next_or_id);
uint8_t *rd_desc(const struct ring_driver *d, uint32_t i);
/* Split. */
uint8_t *rd_avail_entry(const struct ring_driver *d, uint16_t idx);
uint8_t *rd_used_entry(const struct ring_driver *d, uint16_t idx);
void rd_set_avail_idx(const struct ring_driver *d, uint16_t idx);
uint16_t rd_used_idx(const struct ring_driver *d);
/* Packed: the AVAIL and USED bits that make the descriptor @n further on available. */
uint16_t rd_avail_bits(const struct ring_driver *d, uint32_t n);

/*
 * Raw: write a chain but do not offer it yet. Split: in the descriptors from @head on.
 * Packed: at the driver's place, with @head as the id. NEXT is set as it must be.
 */
void rd_write_chain(struct ring_driver *d, uint16_t head, const struct rd_seg *segs,
		    unsigned int n);
/* Then offer it. Packed: of @n descriptors. */
void rd_offer(struct ring_driver *d, uint16_t head, unsigned int n);
void rd_offer_chain(struct ring_driver *d, uint16_t head, const struct rd_seg *segs,
		    unsigned int n);
/* A table of descriptors at @table, for rd_seg with DESC_F_INDIRECT. */
void rd_write_table(const struct ring_driver *d, uint64_t table, const struct rd_seg *segs,
		    unsigned int n);

/*
 * In good order: false if there is no room. With @table the segments go into a table
 * there.
 */
bool rd_add(struct ring_driver *d, const struct rd_seg *segs, unsigned int n, uint64_t table,
	    uint32_t cookie);
/* 1: one came back; 0: none; -1: a violation. */
int rd_get(struct ring_driver *d, uint32_t *cookie, uint32_t *len);

/* Is the device to be notified of the last @n entries or descriptors? */
bool rd_needs_kick(const struct ring_driver *d, uint32_t n);
/* When the driver is to be notified: never, at every one, or (EVENT_IDX) after that one. */
void rd_never_call(struct ring_driver *d);
void rd_always_call(struct ring_driver *d);
void rd_call_at(struct ring_driver *d, uint16_t at);	/* packed: with the wrap bit on top */

/* --------------------------------------------------------------- device */

/* A configuration for the driver's ring, through vring_find_areas(). */
struct vring_config rd_config(const struct ring_driver *d, const struct vring_memory *mem);
/* Start at the driver's position. */
struct vring_run *rd_start(const struct ring_driver *d);

#endif
