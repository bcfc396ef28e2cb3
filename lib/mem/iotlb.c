/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include "mem/iotlb.h"

#include <vhost/mem.h>

#include "util.h"

#define PERM_ALL (VHOST_IOTLB_PERM_READ | VHOST_IOTLB_PERM_WRITE)

/* The first entry that ends at @iova or after it. */
static unsigned int lower_bound(const struct iotlb *t, uint64_t iova)
{
	unsigned int lo = 0, hi = t->n;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (t->entries[mid].last >= iova)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static int reserve(struct iotlb *t, unsigned int n)
{
	struct iotlb_entry *more;
	unsigned int room = t->room ? t->room : 16;

	if (n <= t->room)
		return 0;
	while (room < n)
		room *= 2;
	more = realloc(t->entries, room * sizeof(*more));
	if (!more)
		return -ENOMEM;
	t->entries = more;
	t->room = room;
	return 0;
}

/* Put @n_new entries in the place of @n_old ones. There is room. */
static void replace(struct iotlb *t, unsigned int at, unsigned int n_old,
		    const struct iotlb_entry *new, unsigned int n_new)
{
	memmove(&t->entries[at + n_new], &t->entries[at + n_old],
		(t->n - at - n_old) * sizeof(*t->entries));
	if (n_new)
		memcpy(&t->entries[at], new, n_new * sizeof(*new));
	t->n += n_new - n_old;
}

static void drop_oldest(struct iotlb *t)
{
	unsigned int i, oldest = 0;

	for (i = 1; i < t->n; i++)
		if (t->entries[i].age < t->entries[oldest].age)
			oldest = i;
	replace(t, oldest, 1, NULL, 0);
}

/* Put @entry, or nothing, in the place of all that is in [first, last]. */
static int put(struct iotlb *t, uint64_t first, uint64_t last, const struct iotlb_entry *entry)
{
	unsigned int at = lower_bound(t, first), end = at, n = 0;
	struct iotlb_entry new[3];

	while (end < t->n && t->entries[end].first <= last)
		end++;
	if (end == at && !entry)
		return 0;
	if (end > at && t->entries[at].first < first) {
		new[n] = t->entries[at];
		new[n++].last = first - 1;
	}
	if (entry)
		new[n++] = *entry;
	if (end > at && t->entries[end - 1].last > last) {
		new[n] = t->entries[end - 1];
		new[n].user += last + 1 - new[n].first;
		new[n++].first = last + 1;
	}
	if (reserve(t, t->n - (end - at) + n) < 0)
		return -ENOMEM;
	replace(t, at, end - at, new, n);
	while (t->n > IOTLB_MAX)
		drop_oldest(t);
	t->generation++;
	return 0;
}

int iotlb_add(struct iotlb *t, uint64_t first, uint64_t last, uint64_t user, uint32_t perm)
{
	struct iotlb_entry entry = {
		.first = first, .last = last, .user = user, .age = t->clock, .perm = perm,
	};
	uint64_t user_last;
	int r;

	if (first > last || __builtin_add_overflow(user, last - first, &user_last) || !perm ||
	    perm & ~PERM_ALL)
		return -EINVAL;
	r = put(t, first, last, &entry);
	if (r == 0)
		t->clock++;
	return r;
}

void iotlb_remove(struct iotlb *t, uint64_t first, uint64_t last)
{
	/* what was withdrawn must not be found again, whatever it takes */
	if (first <= last && put(t, first, last, NULL) < 0)
		iotlb_clear(t);
}

void iotlb_clear(struct iotlb *t)
{
	free(t->entries);
	t->entries = NULL;
	t->n = t->room = 0;
	t->generation++;
}

const struct iotlb_entry *iotlb_find(const struct iotlb *t, uint64_t iova)
{
	unsigned int at = lower_bound(t, iova);

	return at < t->n && t->entries[at].first <= iova ? &t->entries[at] : NULL;
}
