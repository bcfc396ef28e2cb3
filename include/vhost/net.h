/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/**
 * DOC: what only the kernel's vhost-net has
 *
 * One vhost-net device is one pair of queues: 0 receives, 1 transmits. A network
 * device of several pairs opens /dev/vhost-net several times, and gives each the
 * queue of a multi-queue tap.
 *
 * Every call fails with -ENOTSUP on another device. The rules of <vhost/dev.h> hold.
 */
#ifndef VHOST_NET_H
#define VHOST_NET_H

#include <vhost/dev.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * vhost_net_set_backend() - say where the frames of a queue come from or go to
 * @dev:   the device
 * @index: 0 or 1
 * @fd:    a tap, macvtap or packet socket, borrowed; -1 takes it away
 *
 * Takes effect when the device starts, and a device does not start while an
 * enabled queue has none; while it runs, at once: frames in flight are finished first.
 *
 * A tap is to be opened with IFF_NO_PI, and with IFF_VNET_HDR unless the kernel is to
 * supply the header (vhost_net_set_header()); its header size (TUNSETVNETHDRSZ) must be
 * that of the features accepted: 12 bytes, or 10 without VIRTIO_F_VERSION_1 and
 * VIRTIO_NET_F_MRG_RXBUF.
 *
 * Return: 0; -EINVAL for another @index, or an @fd that is neither a tap nor a packet
 *         socket (found when it is attached); -EBADF; -ENOTSUP.
 * Specification: linux/vhost.h, VHOST_NET_SET_BACKEND.
 * Since: 0.1
 */
int vhost_net_set_backend(vhost_dev_t *dev, unsigned int index, int fd);

/**
 * vhost_net_set_header() - have the kernel add and strip the virtio-net header
 * @dev:    the device; not started
 * @enable: 1 for a tap without IFF_VNET_HDR or a packet socket, which know no such
 *          header; 0 (the default) for one that has it
 *
 * Takes effect with the next vhost_dev_set_features(). The bit that asks for it, 27, is
 * another feature's in other devices, and so is not among the features of this one.
 *
 * Return: 0; -EBUSY while started; -ENOTSUP.
 * Specification: linux/vhost_types.h, VHOST_NET_F_VIRTIO_NET_HDR.
 * Since: 0.1
 */
int vhost_net_set_header(vhost_dev_t *dev, int enable);

#ifdef __cplusplus
}
#endif

#endif
