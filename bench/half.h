/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * One side's half of a round trip, measured in one thread: the other side's part happens
 * before and after, outside of what is measured.
 */
#ifndef LIBVHOST_BENCH_HALF_H
#define LIBVHOST_BENCH_HALF_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct half {
	const char *title;
	const char *ours_name, *bare_name;
	void (*before)(void);
	void (*ours)(void);
	void (*bare)(void);
	void (*neither)(void);	/* what has to be done when nothing is measured */
	void (*after)(void);
};

/* CPU time of the thread. */
static inline uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static inline int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static inline void half_run(const struct half *h, void (*what)(void), unsigned int count)
{
	while (count--) {
		h->before();
		what();
		h->after();
	}
}

/* The mean of @what, or what it costs to read the clock if that is NULL. */
static inline double half_measure(const struct half *h, void (*what)(void), unsigned int count)
{
	uint64_t sum = 0, start;
	unsigned int i;

	for (i = 0; i < count; i++) {
		h->before();
		start = cpu_ns();
		if (what)
			what();
		sum += cpu_ns() - start;
		if (!what)
			h->neither();
		h->after();
	}
	return (double)sum / count;
}

#define ROUNDS 101

static inline void half_compare(const struct half *h, unsigned int count)
{
	static double ratio[ROUNDS], a[ROUNDS], b[ROUNDS];
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		double clock = half_measure(h, NULL, count);

		/* each goes first in every other round */
		if (i % 2) {
			a[i] = half_measure(h, h->ours, count) - clock;
			b[i] = half_measure(h, h->bare, count) - clock;
		} else {
			b[i] = half_measure(h, h->bare, count) - clock;
			a[i] = half_measure(h, h->ours, count) - clock;
		}
		ratio[i] = a[i] / b[i];
	}
	qsort(ratio, ROUNDS, sizeof(*ratio), by_value);
	qsort(a, ROUNDS, sizeof(*a), by_value);
	qsort(b, ROUNDS, sizeof(*b), by_value);
	printf("%s, CPU time, median of %u rounds of %u:\n", h->title, ROUNDS, count);
	printf("  %-24s  %6.0f ns\n", h->ours_name, a[ROUNDS / 2]);
	printf("  %-24s  %6.0f ns\n", h->bare_name, b[ROUNDS / 2]);
	printf("  %-24s  %6.3f (quartiles %.3f and %.3f)\n", "ratio", ratio[ROUNDS / 2],
	       ratio[ROUNDS / 4], ratio[3 * ROUNDS / 4]);
}

#endif
