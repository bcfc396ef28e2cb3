/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* What rings look like in memory: the part that both sides have in common. */
#ifndef LIBVHOST_RING_LAYOUT_H
#define LIBVHOST_RING_LAYOUT_H

#include <endian.h>
#include <stdint.h>

/* Negotiated features that shape a ring (VIRTIO 1.3, 6). */
#define RING_F_INDIRECT (1ull << 28)
#define RING_F_EVENT_IDX (1ull << 29)
#define RING_F_VERSION_1 (1ull << 32)
#define RING_F_PACKED (1ull << 34)
#define RING_F_IN_ORDER (1ull << 35)
#define RING_F_ORDER_PLATFORM (1ull << 36)

#define RING_SIZE_MAX 32768u

/* Descriptor flags, the same in both layouts (VIRTIO 1.3, 2.7.5 and 2.8.13). */
#define DESC_F_NEXT 1u
#define DESC_F_WRITE 2u
#define DESC_F_INDIRECT 4u
#define DESC_F_AVAIL (1u << 7)		/* packed only */
#define DESC_F_USED (1u << 15)		/* packed only */

/*
 * A descriptor. The second half is one little-endian word, so that it is written in
 * one store. Split: len, flags, next; packed: len, id, flags.
 */
struct ring_desc {
	uint64_t addr;
	union {
		uint64_t word;
		struct {
			uint32_t len;
			uint16_t flags;
			uint16_t next;
		} split;
		struct {
			uint32_t len;
			uint16_t id;
			uint16_t flags;
		} packed;
	};
};

static inline uint64_t split_word(uint32_t len, uint32_t flags, uint32_t next)
{
	return htole64(len | (uint64_t)flags << 32 | (uint64_t)next << 48);
}

static inline uint64_t packed_word(uint32_t len, uint32_t id, uint32_t flags)
{
	return htole64(len | (uint64_t)id << 32 | (uint64_t)flags << 48);
}

/* Available ring; the used_event follows the last entry (VIRTIO 1.3, 2.7.6). */
struct split_avail {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[];
};

#define AVAIL_F_NO_INTERRUPT 1u

struct split_used_elem {
	uint32_t id;
	uint32_t len;
};

/* Used ring; the avail_event follows the last entry (VIRTIO 1.3, 2.7.8). */
struct split_used {
	uint16_t flags;
	uint16_t idx;
	struct split_used_elem ring[];
};

#define USED_F_NO_NOTIFY 1u

/* Event suppression: the offset in the low half, flags in the high (VIRTIO 1.3, 2.8.14). */
union packed_event {
	uint32_t word;
	struct {
		uint16_t off_wrap;
		uint16_t flags;
	};
};

#define EVENT_FLAGS_ENABLE 0u
#define EVENT_FLAGS_DISABLE 1u
#define EVENT_FLAGS_DESC 2u

#endif
