/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/**
 * DOC: what only the kernel's vhost-vsock has
 *
 * The kernel serves queue 0 (to the guest) and queue 1 (from it); the event queue is
 * the program's own to serve. The call fails with -ENOTSUP on another device. The
 * rules of <vhost/dev.h> hold.
 */
#ifndef VHOST_VSOCK_H
#define VHOST_VSOCK_H

#include <vhost/dev.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * vhost_vsock_set_cid() - give the guest its address
 * @dev: the device; not started
 * @cid: context id, 3 to 4294967294. The host is 2; 0 to 2 and 4294967295 are reserved
 *
 * The address is the device's until it is closed. A device does not start without one.
 *
 * Return: 0; -EADDRINUSE if another device has it, with the error kind
 *         VHOST_ERR_IN_USE; -EINVAL for one that is reserved; -EBUSY while started;
 *         -ENOTSUP.
 * Specification: linux/vhost.h, VHOST_VSOCK_SET_GUEST_CID; VIRTIO 1.3, 5.10.4.
 * Since: 0.1
 */
int vhost_vsock_set_cid(vhost_dev_t *dev, uint64_t cid);

#ifdef __cplusplus
}
#endif

#endif
