/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/**
 * DOC: the threads that work for a device of the kernel's vhost
 *
 * A device has one thread, its worker, for all of its queues. vhost-scsi can be given
 * more since Linux 6.5; vhost-net and vhost-vsock have the one (-ENOTSUP). How a worker
 * is made, as a kernel thread or as a thread of the process, is chosen when the
 * device is opened: see VHOST_OPEN_WORKER_KTHREAD and VHOST_OPEN_WORKER_TASK.
 *
 * Every call fails with -ENOTSUP on a device that is not the kernel's vhost. The
 * rules of <vhost/dev.h> hold.
 */
#ifndef VHOST_WORKER_H
#define VHOST_WORKER_H

#include <vhost/dev.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * vhost_worker_new() - make another worker
 * @dev: the device
 * @ret: its id
 *
 * The thread counts against RLIMIT_NPROC. It ends with vhost_worker_free(), or with
 * the device.
 *
 * Return: 0; -ENOTSUP without VHOST_CAP_WORKERS; -ENOMEM, -EAGAIN and the like where
 *         no thread can be had; or an error of every call.
 * Specification: linux/vhost.h, VHOST_NEW_WORKER.
 * Since: 0.1
 */
int vhost_worker_new(vhost_dev_t *dev, uint32_t *ret);

/**
 * vhost_worker_free() - end a worker
 * @dev: the device
 * @id:  of a worker that no queue uses
 *
 * Return: 0; -EBUSY while a queue uses it; -ENODEV for an unknown @id; -ENOTSUP; or an
 *         error of every call.
 * Specification: linux/vhost.h, VHOST_FREE_WORKER.
 * Since: 0.1
 */
int vhost_worker_free(vhost_dev_t *dev, uint32_t id);

/**
 * vhost_worker_attach() - have a queue served by a worker
 * @dev:   the device
 * @index: of the queue, below VHOST_CAP_MAX_QUEUES
 * @id:    of the worker
 *
 * In place of the worker that served it before.
 *
 * Return: 0; -EINVAL for a bad @index; -ENODEV for an unknown @id; -ENOTSUP; or an
 *         error of every call.
 * Specification: linux/vhost.h, VHOST_ATTACH_VRING_WORKER.
 * Since: 0.1
 */
int vhost_worker_attach(vhost_dev_t *dev, unsigned int index, uint32_t id);

/**
 * vhost_worker_get() - which worker serves a queue
 * @dev:   the device
 * @index: of the queue, below VHOST_CAP_MAX_QUEUES
 * @ret:   the worker's id
 *
 * Return: 0; -EINVAL for a bad @index; -ENOTSUP; or an error of every call.
 * Specification: linux/vhost.h, VHOST_GET_VRING_WORKER.
 * Since: 0.1
 */
int vhost_worker_get(vhost_dev_t *dev, unsigned int index, uint32_t *ret);

/** enum vhost_worker_mode - what a worker is */
enum vhost_worker_mode {
	VHOST_WORKER_KTHREAD = 0,	/**< a kernel thread, outside of the process */
	VHOST_WORKER_TASK = 1		/**< a thread of the process that opened the device */
};

/**
 * vhost_worker_get_mode() - what the device's workers are
 * @dev: the device
 * @ret: one of enum vhost_worker_mode
 *
 * Return: 0; -ENOTSUP where the kernel gives no choice (before Linux 6.17, but for
 *         stable releases that have it); or an error of every call.
 * Specification: linux/vhost.h, VHOST_GET_FORK_FROM_OWNER.
 * Since: 0.1
 */
int vhost_worker_get_mode(vhost_dev_t *dev, int *ret);

/**
 * vhost_worker_set_busyloop() - how long a worker polls before it sleeps
 * @dev:   the device
 * @index: of the queue, below VHOST_CAP_MAX_QUEUES
 * @us:    microseconds, 0 not at all
 *
 * Of effect in vhost-net.
 *
 * Return: 0; -EINVAL for a bad @index or an @us above 2^31 - 1; -ENOTSUP; or an error
 *         of every call.
 * Specification: linux/vhost.h, VHOST_SET_VRING_BUSYLOOP_TIMEOUT.
 * Since: 0.1
 */
int vhost_worker_set_busyloop(vhost_dev_t *dev, unsigned int index, uint32_t us);

/**
 * vhost_worker_get_busyloop() - how long a worker polls before it sleeps
 * @dev:   the device
 * @index: of the queue, below VHOST_CAP_MAX_QUEUES
 * @ret:   microseconds
 *
 * Return: as vhost_worker_set_busyloop().
 * Specification: linux/vhost.h, VHOST_GET_VRING_BUSYLOOP_TIMEOUT.
 * Since: 0.1
 */
int vhost_worker_get_busyloop(vhost_dev_t *dev, unsigned int index, uint32_t *ret);

#ifdef __cplusplus
}
#endif

#endif
