/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * Open file descriptors and mappings, counted before and after a test. Memory that the
 * C library or a sanitizer keeps for itself grows now and then, so only mappings of
 * files (memfds among them) count.
 */
#ifndef LIBVHOST_TESTS_LEAK_H
#define LIBVHOST_TESTS_LEAK_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct leak {
	int fds;
	int maps;
};

/*
 * Does an emulator make the system calls? qemu-user takes more descriptors than it
 * passes on, and says nothing: what is about their truncation cannot be tested there.
 */
static inline bool leak_emulated(void)
{
	return getenv("VHOST_TESTS_EMULATED") != NULL;
}

static inline int leak_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static inline int leak_count_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		if (strchr(line, '/'))
			n++;
	fclose(f);
	return n;
}

static inline struct leak leak_begin(void)
{
	struct leak leak = { leak_count_fds(), leak_count_maps() };

	return leak;
}

/* 0 if nothing was left behind; else it says on stderr what was. */
static inline int leak_check(const struct leak *before)
{
	struct leak now = leak_begin();

	if (now.fds == before->fds && now.maps == before->maps)
		return 0;
	fprintf(stderr, "left behind: file descriptors %d -> %d, mappings %d -> %d\n",
		before->fds, now.fds, before->maps, now.maps);
	return 1;
}

#endif
