/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* A conversation with a family of generic netlink. */
#ifndef NETLINK_H
#define NETLINK_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>

struct netlink {
	struct mnl_socket *socket;
	int timeout_ms;
	uint16_t family;
	uint32_t sequence;
	char error[256];	/* what the kernel said about the last request, or "" */
	uint32_t out[512];	/* the request being made */
};

/* 0; -ENOENT: the kernel has no such family; or another negative errno. */
int netlink_open(const char *family, int timeout_ms, struct netlink *ret);
void netlink_close(struct netlink *nl);

/* A request, to add attributes to; there is one at a time. */
void netlink_begin(struct netlink *nl, uint8_t command, bool dump);
/* -EMSGSIZE if there is no room. */
int netlink_put(struct netlink *nl, uint16_t attribute, const void *value, size_t size);
int netlink_put_string(struct netlink *nl, uint16_t attribute, const char *text);

/*
 * Send it, and pass each answer to @found (NULL: there is none to come), which may end
 * it with a negative errno. 0, or the kernel's negative errno; -ETIMEDOUT.
 */
typedef int (*netlink_found_fn)(const struct nlmsghdr *msg, void *opaque);
int netlink_run(struct netlink *nl, netlink_found_fn found, void *opaque);

#endif
