/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/**
 * DOC: what only the kernel's vhost-scsi has
 *
 * The disks are the kernel target's (LIO): an administrator makes a target with a
 * world wide port name in configfs, and the device serves that. Queue 0 is the control
 * queue, 1 the event queue, and requests go to the others.
 *
 * Every call fails with -ENOTSUP on another device. The rules of <vhost/dev.h> hold.
 */
#ifndef VHOST_SCSI_H
#define VHOST_SCSI_H

#include <vhost/dev.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * vhost_scsi_set_endpoint() - choose the target that the device is
 * @dev:  the device; not started
 * @wwpn: the name below /sys/kernel/config/target/vhost, at most 223 bytes, such as
 *        "naa.5001405aabbccdd0"; NULL forgets it
 * @tpgt: the number of its target portal group; kernels of today ignore it, and serve
 *        all groups of the name
 *
 * Takes effect when the device starts, and a device does not start without one. That
 * fails with -ENODEV if the kernel has no such target; also, with the error kind
 * VHOST_ERR_IN_USE, if the target has no nexus or another device serves it.
 *
 * Return: 0; -EINVAL for a name that is empty or too long; -EBUSY while started;
 *         -ENOMEM; -ENOTSUP.
 * Specification: linux/vhost.h, VHOST_SCSI_SET_ENDPOINT.
 * Since: 0.1
 */
int vhost_scsi_set_endpoint(vhost_dev_t *dev, const char *wwpn, uint16_t tpgt);

/**
 * vhost_scsi_get_abi_version() - which interface the kernel's vhost-scsi has
 * @dev: the device
 * @ret: the version; 1 on kernels of today
 *
 * Return: 0; -ENOTSUP; or an error of every call.
 * Specification: linux/vhost.h, VHOST_SCSI_GET_ABI_VERSION.
 * Since: 0.1
 */
int vhost_scsi_get_abi_version(vhost_dev_t *dev, int *ret);

/**
 * vhost_scsi_get_events_missed() - were events lost for want of buffers?
 * @dev: the device
 * @ret: 0 or 1
 *
 * Part of what a migration has to carry over.
 *
 * Return: 0; -ENOTSUP; or an error of every call.
 * Specification: linux/vhost.h, VHOST_SCSI_GET_EVENTS_MISSED.
 * Since: 0.1
 */
int vhost_scsi_get_events_missed(vhost_dev_t *dev, uint32_t *ret);

/**
 * vhost_scsi_set_events_missed() - say whether events were lost
 * @dev:    the device
 * @missed: 0 or 1
 *
 * Return: 0; -EINVAL for another value; -ENOTSUP; or an error of every call.
 * Specification: linux/vhost.h, VHOST_SCSI_SET_EVENTS_MISSED.
 * Since: 0.1
 */
int vhost_scsi_set_events_missed(vhost_dev_t *dev, uint32_t missed);

#ifdef __cplusplus
}
#endif

#endif
