/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include "mem/iova.h"

#include "util.h"

bool iova_set_taken(const struct iova_set *set, uint64_t first, uint64_t last,
		    uint64_t *ret_last)
{
	unsigned int i;

	for (i = 0; i < set->n; i++)
		if (set->ranges[i].first <= last && set->ranges[i].last >= first) {
			*ret_last = set->ranges[i].last;
			return true;
		}
	return false;
}

bool iova_find(uint64_t first, uint64_t last, uint64_t size, uint64_t align, iova_taken_fn taken,
	       const void *opaque, uint64_t *ret)
{
	uint64_t at = first, end, passed;

	for (;;) {
		if (at > UINT64_MAX - (align - 1))
			return false;
		at = (at + align - 1) & ~(align - 1);
		if (!range_last(at, size, &end) || end > last)
			return false;
		if (!taken(opaque, at, end, &passed)) {
			*ret = at;
			return true;
		}
		if (passed == UINT64_MAX)
			return false;
		at = passed + 1;
	}
}

int iova_set_add(struct iova_set *set, uint64_t first, uint64_t last)
{
	if (set->n == set->room) {
		unsigned int room = set->room ? set->room * 2 : 8;
		struct iova_range *more = realloc(set->ranges, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		set->ranges = more;
		set->room = room;
	}
	set->ranges[set->n++] = (struct iova_range){ first, last };
	return 0;
}

bool iova_set_remove(struct iova_set *set, uint64_t first)
{
	unsigned int i;

	for (i = 0; i < set->n; i++)
		if (set->ranges[i].first == first) {
			set->ranges[i] = set->ranges[--set->n];
			return true;
		}
	return false;
}

void iova_set_clear(struct iova_set *set)
{
	free(set->ranges);
	set->ranges = NULL;
	set->n = set->room = 0;
}
