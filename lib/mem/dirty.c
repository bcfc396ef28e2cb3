/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include "mem/dirty.h"

#include "mem/guest.h"
#include "util.h"

int dirty_log_new(int fd, uint64_t offset, uint64_t size, struct dirty_log **ret,
		  const char **why)
{
	struct dirty_log *log = calloc(1, sizeof(*log));
	struct guest_file file;
	int r;

	if (!log) {
		*why = "there is no memory left";
		return -ENOMEM;
	}
	r = guest_file_map(fd, offset, size, false, &file, why);
	if (r < 0) {
		free(log);
		return r;
	}
	/* from here on the offset is part of the address, and nobody adds it again */
	*log = (struct dirty_log){
		.refs = 1, .bits = file.addr, .size = size,
		.map = file.map, .map_len = file.map_len, .dead = file.dead,
	};
	*ret = log;
	return 0;
}

struct dirty_log *dirty_log_ref(struct dirty_log *log)
{
	__atomic_add_fetch(&log->refs, 1, __ATOMIC_RELAXED);
	return log;
}

void dirty_log_unref(struct dirty_log *log)
{
	if (!log || __atomic_sub_fetch(&log->refs, 1, __ATOMIC_ACQ_REL))
		return;
	guest_file_unmap(log->map, log->map_len, log->dead);
	free(log);
}

/* The front-end takes marks away with an atomic exchange: an OR must be one step, too. */
static void mark_byte(uint8_t *byte, uint8_t bits)
{
	if ((__atomic_load_n(byte, __ATOMIC_RELAXED) & bits) != bits)
		__atomic_fetch_or(byte, bits, __ATOMIC_RELEASE);
}

void dirty_log_mark(struct dirty_log *log, uint64_t guest, uint64_t len)
{
	uint64_t page, last, end = log->size * 8, n;

	if (!len)
		return;
	if (!range_last(guest, len, &last))
		last = UINT64_MAX;
	page = guest >> DIRTY_PAGE_SHIFT;
	last >>= DIRTY_PAGE_SHIFT;
	if (unlikely(last >= end)) {
		n = last - (page > end ? page : end) + 1;
		__atomic_add_fetch(&log->dropped, n, __ATOMIC_RELAXED);
		if (page >= end)
			return;
		last = end - 1;
	}
	for (; page <= last; page += n) {
		unsigned int bit = page % 8;

		n = last - page + 1;
		if (n > 8 - bit)
			n = 8 - bit;
		mark_byte(&log->bits[page / 8], (uint8_t)((0xffu >> (8 - n)) << bit));
	}
}
