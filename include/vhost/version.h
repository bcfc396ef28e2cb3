/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#ifndef VHOST_VERSION_H
#define VHOST_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

/* The version of these headers. A test holds them to the package's version. */
#define VHOST_VERSION_MAJOR 0
#define VHOST_VERSION_MINOR 1
#define VHOST_VERSION_PATCH 0

/**
 * vhost_version() - the version of the library that is running
 *
 * A program may run with a newer library than the one it was built against;
 * VHOST_VERSION_MAJOR, _MINOR and _PATCH tell the latter.
 *
 * Return: "MAJOR.MINOR.PATCH", valid for ever.
 * Since: 0.1
 */
const char *vhost_version(void);

#ifdef __cplusplus
}
#endif

#endif
