/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* What DPDK's testpmd needs, on whichever side it is. */
#ifndef LIBVHOST_TESTS_TESTPMD_H
#define LIBVHOST_TESTS_TESTPMD_H

#include <check.h>
#include <sched.h>
#include <stdio.h>

/* One core for its console and one for the packets; the same one if there is no other. */
static void choose_cores(char *ret, size_t size)
{
	int cores[2] = { 0, 0 }, n = 0, i;
	cpu_set_t set;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	for (i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &set))
			cores[n++] = i;
	if (n < 2)
		cores[1] = cores[0];
	snprintf(ret, size, "--lcores=0@%d,1@%d", cores[0], cores[1]);
}

#endif
