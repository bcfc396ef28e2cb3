/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/**
 * DOC: what only vhost-user has
 *
 * Every call fails with -ENOTSUP on a device that another transport carries, or
 * whose back-end did not offer the protocol feature. The rules of <vhost/dev.h>
 * hold here too.
 */
#ifndef VHOST_USER_H
#define VHOST_USER_H

#include <stddef.h>
#include <stdint.h>
#include <vhost/dev.h>

#ifdef __cplusplus
extern "C" {
#endif

/** enum vhost_user_protocol_feature - the bits of vhost-user's own negotiation */
enum vhost_user_protocol_feature {
	VHOST_USER_PF_MQ = 0,
	VHOST_USER_PF_LOG_SHMFD = 1,
	VHOST_USER_PF_RARP = 2,
	VHOST_USER_PF_REPLY_ACK = 3,
	VHOST_USER_PF_NET_MTU = 4,
	VHOST_USER_PF_BACKEND_REQ = 5,
	VHOST_USER_PF_CROSS_ENDIAN = 6,
	VHOST_USER_PF_CRYPTO_SESSION = 7,
	VHOST_USER_PF_PAGEFAULT = 8,
	VHOST_USER_PF_CONFIG = 9,
	VHOST_USER_PF_BACKEND_SEND_FD = 10,
	VHOST_USER_PF_HOST_NOTIFIER = 11,
	VHOST_USER_PF_INFLIGHT_SHMFD = 12,
	VHOST_USER_PF_RESET_DEVICE = 13,
	VHOST_USER_PF_INBAND_NOTIFICATIONS = 14,
	VHOST_USER_PF_CONFIGURE_MEM_SLOTS = 15,
	VHOST_USER_PF_STATUS = 16,
	VHOST_USER_PF_XEN_MMAP = 17,
	VHOST_USER_PF_SHARED_OBJECT = 18,
	VHOST_USER_PF_DEVICE_STATE = 19,
	VHOST_USER_PF_GET_VRING_BASE_INFLIGHT = 20,
	VHOST_USER_PF_GPA_ADDRESSES = 21,
	VHOST_USER_PF_SHMEM = 22
};

#define VHOST_USER_PF_BIT(bit) ((uint64_t)1 << (bit))

/**
 * VHOST_USER_PROTOCOL_DEFAULT - protocol features that are accepted unless told
 *
 * All of them but INBAND_NOTIFICATIONS (slow: each notification waits for an answer),
 * XEN_MMAP (needs a Xen host), GET_VRING_BASE_INFLIGHT (changes what suspending
 * means), and GPA_ADDRESSES and SHMEM (released peers use their numbers for other
 * things). vhost-user(7) says more.
 */
#define VHOST_USER_PROTOCOL_DEFAULT ((uint64_t)0x0dbfff)

/** VHOST_USER_PROTOCOL_ALL - all that this library implements */
#define VHOST_USER_PROTOCOL_ALL ((uint64_t)0x7fffff)

/**
 * vhost_user_get_protocol_features() - what the back-end offers, and what is in use
 * @dev:     the device
 * @offered: all bits that the back-end offers, also those unknown here; or NULL
 * @acked:   those in use; or NULL
 *
 * Return: 0; -ENOTSUP; -EINPROGRESS.
 * Specification: vhost-user, VHOST_USER_GET_PROTOCOL_FEATURES.
 * Since: 0.1
 */
int vhost_user_get_protocol_features(const vhost_dev_t *dev, uint64_t *offered, uint64_t *acked);

/**
 * vhost_user_reset_owner() - the deprecated request of that name
 * @dev: the device; not started
 *
 * Back-ends ignore it or disable all rings; some forget the whole session. For
 * old back-ends that need it only.
 *
 * Return: 0; -EBUSY while started; or an error of every call.
 * Specification: vhost-user, VHOST_USER_RESET_OWNER.
 * Since: 0.1
 */
int vhost_user_reset_owner(vhost_dev_t *dev);

/* --------------------------------------------------------------------- network */

/**
 * vhost_user_send_rarp() - have the back-end announce a guest after its migration
 * @dev: a network device
 * @mac: 6 bytes
 *
 * Return: 0; -ENOTSUP without VHOST_CAP_RARP; or an error of every call.
 * Specification: vhost-user, VHOST_USER_SEND_RARP.
 * Since: 0.1
 */
int vhost_user_send_rarp(vhost_dev_t *dev, const uint8_t *mac);

/**
 * vhost_user_set_mtu() - tell the back-end the MTU that the guest sees
 * @dev: a network device, with VIRTIO_NET_F_MTU accepted
 * @mtu: in bytes, 68 to 65535
 *
 * Return: 0; -EINVAL; -ENOTSUP without VHOST_CAP_MTU; or an error of every call.
 * Specification: vhost-user, VHOST_USER_NET_SET_MTU.
 * Since: 0.1
 */
int vhost_user_set_mtu(vhost_dev_t *dev, uint16_t mtu);

/* ---------------------------------------------------------------------- crypto */

/** The most bytes of a crypto session's description. */
#define VHOST_USER_CRYPTO_SESSION_MAX 4096u

/**
 * vhost_user_create_crypto_session() - make a session in the back-end
 * @dev:  a crypto device
 * @desc: the session's description, in the layout that the back-end's machine and
 *        specification give it; its last 8 bytes are the session id, which the answer
 *        fills in
 * @size: in bytes, 8 to VHOST_USER_CRYPTO_SESSION_MAX
 * @ret:  the session's id
 *
 * Return: 0; -EINVAL; -EREMOTEIO if the back-end made none; -ENOTSUP without
 *         VHOST_CAP_CRYPTO; or an error of every call.
 * Specification: vhost-user, VHOST_USER_CREATE_CRYPTO_SESSION.
 * Since: 0.1
 */
int vhost_user_create_crypto_session(vhost_dev_t *dev, const void *desc, size_t size,
				     uint64_t *ret);

/**
 * vhost_user_close_crypto_session() - end a session
 * @dev: a crypto device
 * @id:  of the session
 *
 * Return: 0, or an error of every call.
 * Specification: vhost-user, VHOST_USER_CLOSE_CRYPTO_SESSION.
 * Since: 0.1
 */
int vhost_user_close_crypto_session(vhost_dev_t *dev, uint64_t id);

/* ------------------------------------------------------------------- graphics */

/**
 * vhost_user_set_gpu_socket() - hand over the socket for the GPU protocol
 * @dev: a GPU device
 * @fd:  the back-end's end of a connected socket; borrowed
 *
 * Return: 0; -EBADF; -ENOTSOCK; or an error of every call.
 * Specification: vhost-user, VHOST_USER_GPU_SET_SOCKET, and vhost-user-gpu.
 * Since: 0.1
 */
int vhost_user_set_gpu_socket(vhost_dev_t *dev, int fd);

/* ----------------------------------------------------------- objects, memory */

/**
 * vhost_user_get_shared_object() - ask a back-end for an object that it exports
 * @dev:    the device
 * @uuid:   16 bytes, as they are on the wire
 * @ret_fd: the object's dma-buf; the caller's to close
 *
 * Return: 0; -ENOENT if the back-end has none of that name; -ENOTSUP without
 *         VHOST_CAP_SHARED_OBJECT; or an error of every call.
 * Specification: vhost-user, VHOST_USER_GET_SHARED_OBJECT.
 * Since: 0.1
 */
int vhost_user_get_shared_object(vhost_dev_t *dev, const uint8_t *uuid, int *ret_fd);

/**
 * vhost_user_get_shmem_size() - the size of a shared memory region of the device
 * @dev: the device
 * @id:  of the region, 0 to 255
 * @ret: its size in bytes; 0 if there is none of that id
 *
 * Return: 0; -EINVAL; -ENOTSUP without VHOST_CAP_SHMEM; or an error of every call.
 * Specification: vhost-user, VHOST_USER_GET_SHMEM_CONFIG.
 * Since: 0.1
 */
int vhost_user_get_shmem_size(vhost_dev_t *dev, unsigned int id, uint64_t *ret);

/**
 * vhost_user_set_shmem() - where a shared memory region of the device stands
 * @dev:  the device
 * @id:   of the region, 0 to 255
 * @addr: an address range of this process that is the caller's to give: the library
 *        maps into it (MAP_FIXED) what the back-end sends, and inaccessible memory
 *        when that is taken back. NULL leaves the mapping to the shmem_map event
 * @size: in bytes, at most what vhost_user_get_shmem_size() says; 0 takes the range
 *        back, and everything in it is unmapped
 *
 * Until this is called, the back-end's requests to map are refused. All mappings end
 * when the device is reset, and when the connection ends.
 *
 * Return: 0; -EINVAL for a bad @id or a range that is not of whole pages; -ENOTSUP
 *         without VHOST_CAP_SHMEM; -ENOMEM.
 * Specification: vhost-user, VHOST_USER_BACKEND_SHMEM_MAP.
 * Since: 0.1
 */
int vhost_user_set_shmem(vhost_dev_t *dev, unsigned int id, void *addr, uint64_t size);

/**
 * vhost_user_get_host_notifier() - the doorbell page of a queue
 * @dev:      the device
 * @index:    of the queue
 * @ret_addr: the page, mapped; gone when the host_notifier event says that it
 *            changed, and when the connection ends
 * @ret_size: its size in bytes
 *
 * Return: 0; -EINVAL; -ENOENT if the queue has none.
 * Specification: vhost-user, VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG.
 * Since: 0.1
 */
int vhost_user_get_host_notifier(const vhost_dev_t *dev, unsigned int index, void **ret_addr,
				 size_t *ret_size);

/* -------------------------------------------------------------------- postcopy */

/**
 * vhost_user_postcopy_advise() - a migration with postcopy is under way
 * @dev:    the device
 * @ret_fd: the back-end's userfaultfd; the caller's to close
 *
 * Return: 0; -EREMOTEIO if the back-end has no userfaultfd to give (it may lack the
 *         permission); -ENOTSUP without VHOST_CAP_POSTCOPY; or an error of every call.
 * Specification: vhost-user, VHOST_USER_POSTCOPY_ADVISE.
 * Since: 0.1
 */
int vhost_user_postcopy_advise(vhost_dev_t *dev, int *ret_fd);

/**
 * vhost_user_postcopy_listen() - faults begin
 * @dev: the device, advised, and without memory
 *
 * Memory that is added from here on is registered by the back-end with its
 * userfaultfd; where it has it, vhost_user_postcopy_get_base() tells.
 *
 * Return: 0; -EINVAL before the advice; -EBUSY if the device has memory; or an error
 *         of every call.
 * Specification: vhost-user, VHOST_USER_POSTCOPY_LISTEN.
 * Since: 0.1
 */
int vhost_user_postcopy_listen(vhost_dev_t *dev);

/**
 * vhost_user_postcopy_get_base() - where the back-end has a region
 * @dev:  the device
 * @iova: where the region starts
 * @ret:  the address in the back-end that faults of this region are counted from
 *
 * Return: 0; -ENOENT if there is no such region, or it was not added while listening.
 * Since: 0.1
 */
int vhost_user_postcopy_get_base(const vhost_dev_t *dev, uint64_t iova, uint64_t *ret);

/**
 * vhost_user_postcopy_end() - the migration is over
 * @dev: the device
 *
 * Return: 0; -EINVAL if not listening; -EREMOTEIO; or an error of every call.
 * Specification: vhost-user, VHOST_USER_POSTCOPY_END.
 * Since: 0.1
 */
int vhost_user_postcopy_end(vhost_dev_t *dev);

#ifdef __cplusplus
}
#endif

#endif
