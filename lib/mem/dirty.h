/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The dirty log: a bit for each page of guest memory that a device wrote to. */
#ifndef LIBVHOST_MEM_DIRTY_H
#define LIBVHOST_MEM_DIRTY_H

#include <stddef.h>
#include <stdint.h>

#define DIRTY_PAGE_SHIFT 12u

/* Shared with the front-end. Made once, referenced by those who write, never changed. */
struct dirty_log {
	uint32_t refs;		/* atomic */
	uint8_t *bits;		/* bit n of byte m: page m * 8 + n */
	uint64_t size;		/* bytes */
	void *map;
	size_t map_len;
	uint32_t *dead;		/* atomic: 1 when its file was found to be cut short */
	uint64_t dropped;	/* atomic: pages beyond the end that could not be marked */
};

/*
 * Map @size bytes of the file from @offset on. The descriptor is borrowed. Fails as
 * guest_region_new() does.
 */
int dirty_log_new(int fd, uint64_t offset, uint64_t size, struct dirty_log **ret,
		  const char **why);
struct dirty_log *dirty_log_ref(struct dirty_log *log);
void dirty_log_unref(struct dirty_log *log);	/* NULL is fine */

/*
 * Mark [guest, guest + len). A page that is marked already costs no locked instruction:
 * so the caller has a full barrier (__sync_synchronize()) between what was
 * written and its marks, one for all of a batch. Without it, a mark could be found while
 * the front-end takes it away and copies the page, and the write come too late for both.
 */
void dirty_log_mark(struct dirty_log *log, uint64_t guest, uint64_t len);

#endif
