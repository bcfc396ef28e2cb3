/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* What people write on a command line. Each returns 0 or -EINVAL. */
#ifndef TOOLS_PARSE_H
#define TOOLS_PARSE_H

#include <stdint.h>

/* "64K" and the like: bytes, with K, M, G or T for powers of 1024. */
int parse_size(const char *text, uint64_t *ret);
/* "02:00:00:00:00:01" */
int parse_mac(const char *text, uint8_t ret[6]);

#endif
