/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The guest's vDPA bus, as an administrator has it: devices come and go. */
#ifndef LIBVHOST_TESTS_VM_BUS_H
#define LIBVHOST_TESTS_VM_BUS_H

#include <glob.h>

#include "guest.h"

/* Run a line of shell. Its exit status. */
__attribute__((format(printf, 1, 2)))
static inline int bus_sh(const char *format, ...)
{
	char line[512];
	va_list ap;
	int status;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	status = system(line);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* Skips where there is no bus, or nothing to put on it. */
static inline int bus_must_be(void)
{
	int status = guest_must_have("/sys/bus/vdpa/drivers/vhost_vdpa");

	if (status)
		return status;
	if (!program_find("vdpa"))
		return program_skip("vdpa(8) is not installed (Debian: iproute2)");
	return 0;
}

/* Where udev would put the node of a device; "" if there is none. */
static inline const char *bus_node(const char *name)
{
	static char path[80];
	char pattern[128];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "/sys/bus/vdpa/devices/%s/vhost-vdpa-*", name);
	path[0] = 0;
	if (glob(pattern, 0, NULL, &found) == 0) {
		snprintf(path, sizeof(path), "/dev/%s", strrchr(found.gl_pathv[0], '/') + 1);
		globfree(&found);
	}
	return path;
}

static inline bool bus_has(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/vdpa/devices/%s", name);
	return access(path, F_OK) == 0;
}

/* Load the simulators anew: with user-space addresses as the device's, or pinned pages. */
static inline int bus_reload_simulators(int use_va)
{
	return bus_sh("modprobe -r vdpa_sim_net vdpa_sim_blk vdpa_sim && "
		      "modprobe vdpa_sim use_va=%d && modprobe vdpa_sim_blk && "
		      "modprobe vdpa_sim_net", use_va);
}

#endif
