/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The kernel's requests as text, for errors and traces. */
#ifndef LIBVHOST_KERNEL_TEXT_H
#define LIBVHOST_KERNEL_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "proto/kernel-abi.h"

const char *kv_name(unsigned long request);	/* "VHOST_SET_OWNER" and the like, or "ioctl" */
/* What the argument says; of a request that reads, after the call. */
void kv_describe(unsigned long request, const void *arg, char *buf, size_t size);
const char *kv_iotlb_name(uint8_t type);

#endif
