/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/**
 * DOC: what only vDPA has
 *
 * A device on the kernel's vDPA bus, in hardware or made by software (VDUSE,
 * simulators), reached through /dev/vhost-vdpa-N. vhost-vdpa(7) describes it.
 *
 * Every call that takes a device fails with -ENOTSUP on one that is not vDPA. The
 * rules of <vhost/dev.h> hold.
 */
#ifndef VHOST_VDPA_H
#define VHOST_VDPA_H

#include <vhost/dev.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * vhost_vdpa_find() - the device node of a vDPA device
 * @name: on the vDPA bus, as vdpa(8) and "vhostctl list" show it
 * @buf:  where the path goes, with its terminating 0
 * @size: of @buf in bytes; 64 are enough
 *
 * vhost_dev_open() does this for the address "vdpa:NAME".
 *
 * Return: 0; -ENODEV if the bus has no such device; -ENXIO if the device has another
 *         driver than vhost_vdpa, or none; -EINVAL for a name that cannot be one;
 *         -ENOSPC. vhost_last_error() has the sentence.
 * Since: 0.1
 */
int vhost_vdpa_find(const char *name, char *buf, size_t size);

/**
 * vhost_vdpa_get_queue_size() - the most entries of one queue
 * @dev:   the device
 * @index: below VHOST_CAP_MAX_QUEUES
 * @ret:   entries; VHOST_CAP_MAX_QUEUE_SIZE where the kernel (before 6.9) or the device
 *         does not say it for each
 *
 * Return: 0; -EINVAL for a bad @index; -ENOTSUP; or an error of every call.
 * Specification: linux/vhost.h, VHOST_VDPA_GET_VRING_SIZE.
 * Since: 0.1
 */
int vhost_vdpa_get_queue_size(vhost_dev_t *dev, unsigned int index, uint32_t *ret);

/**
 * vhost_vdpa_get_group() - the group that a queue is in
 * @dev:   the device
 * @index: below VHOST_CAP_MAX_QUEUES
 * @ret:   the group, below VHOST_CAP_GROUPS
 *
 * Queues of one group share an address space.
 *
 * Return: 0; -EINVAL for a bad @index; -ENOTSUP also where the device has no groups; or
 *         an error of every call.
 * Specification: linux/vhost.h, VHOST_VDPA_GET_VRING_GROUP.
 * Since: 0.1
 */
int vhost_vdpa_get_group(vhost_dev_t *dev, unsigned int index, uint32_t *ret);

/**
 * vhost_vdpa_get_desc_group() - the group that a queue's rings are in
 * @dev:   the device
 * @index: below VHOST_CAP_MAX_QUEUES
 * @ret:   the group, below VHOST_CAP_GROUPS
 *
 * A device that tells the rings from the buffers they point to can have them in
 * different address spaces: so a program can lay its own rings before a guest's memory.
 *
 * Return: 0; -EINVAL for a bad @index; -ENOTSUP also where the rings are where the
 *         buffers are (no VHOST_BACKEND_F_DESC_ASID); or an error of every call.
 * Specification: linux/vhost.h, VHOST_VDPA_GET_VRING_DESC_GROUP.
 * Since: 0.1
 */
int vhost_vdpa_get_desc_group(vhost_dev_t *dev, unsigned int index, uint32_t *ret);

/**
 * vhost_vdpa_set_group_asid() - choose the address space of a group
 * @dev:   the device; not started
 * @group: below VHOST_CAP_GROUPS
 * @asid:  below VHOST_CAP_ADDRESS_SPACES
 *
 * All are in address space 0 at first. Memory of vhost_dev_mem_add() is mapped in 0;
 * in the others is what vhost_dev_iotlb_update() says.
 *
 * Return: 0; -EINVAL for a bad @group or @asid; -EBUSY while started; -ENOTSUP; or an
 *         error of every call.
 * Specification: linux/vhost.h, VHOST_VDPA_SET_GROUP_ASID.
 * Since: 0.1
 */
int vhost_vdpa_set_group_asid(vhost_dev_t *dev, uint32_t group, uint32_t asid);

/**
 * vhost_vdpa_set_config_call() - say where the configuration interrupt goes
 * @dev: the device
 * @fd:  an eventfd, borrowed, which is signalled when the configuration space or the
 *       status changes; -1 for the library's own, and the config_changed event
 *
 * For a VMM that passes the interrupt on to its guest.
 *
 * Return: 0; -EBADF; -ENOTSUP; or an error of every call.
 * Specification: linux/vhost.h, VHOST_VDPA_SET_CONFIG_CALL.
 * Since: 0.1
 */
int vhost_vdpa_set_config_call(vhost_dev_t *dev, int fd);

/**
 * vhost_vdpa_map_doorbell() - map the page by which a queue is notified
 * @dev:      the device
 * @index:    below VHOST_CAP_MAX_QUEUES
 * @ret:      the page, to be written only (16 bits: the queue's index, or as
 *            VIRTIO_F_NOTIFICATION_DATA has it); the device's
 * @ret_size: of the page in bytes
 *
 * A write to it is a notification without a system call. Mapping it again gives the
 * same page. It is unmapped with the device, or by vhost_vdpa_unmap_doorbell().
 *
 * Return: 0; -EINVAL for a bad @index; -ENOTSUP if the device has no such page for each
 *         queue, as no software device has; or an error of every call.
 * Since: 0.1
 */
int vhost_vdpa_map_doorbell(vhost_dev_t *dev, unsigned int index, void **ret, size_t *ret_size);

/**
 * vhost_vdpa_unmap_doorbell() - unmap the page by which a queue is notified
 * @dev:   the device
 * @index: below VHOST_CAP_MAX_QUEUES
 *
 * Return: 0, also if it is not mapped; -EINVAL for a bad @index; -ENOTSUP.
 * Since: 0.1
 */
int vhost_vdpa_unmap_doorbell(vhost_dev_t *dev, unsigned int index);

#ifdef __cplusplus
}
#endif

#endif
