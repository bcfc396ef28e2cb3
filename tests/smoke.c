/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A program of a user's: built against the installed library, shared and
 * static, by another libc and for another word size. It needs no back-end.
 */
#include <stdio.h>
#include <string.h>

#include <vhost/vhost.h>

int main(void)
{
	char want[32];
	vhost_dev_t *dev = NULL;
	int r;

	snprintf(want, sizeof(want), "%d.%d.%d", VHOST_VERSION_MAJOR,
		 VHOST_VERSION_MINOR, VHOST_VERSION_PATCH);
	if (strcmp(vhost_version(), want) != 0) {
		fprintf(stderr, "built with %s, runs with %s\n", want, vhost_version());
		return 1;
	}
	r = vhost_dev_open("unix:/nonexistent/socket", NULL, 0, &dev);
	if (r >= 0 || dev) {
		fprintf(stderr, "opened a socket that is not there: %d\n", r);
		return 1;
	}
	printf("libvhost %s, %u-bit\n", vhost_version(), (unsigned int)(8 * sizeof(void *)));
	return 0;
}
