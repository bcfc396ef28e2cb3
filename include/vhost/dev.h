/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/**
 * DOC: a vhost device, whatever carries it
 *
 * vhost_dev_t is the user's side of a virtio device whose data plane runs
 * elsewhere: in another process (vhost-user), in the kernel (vhost), in hardware
 * or behind the kernel's vDPA bus. The calls are the same for all of them; what
 * a device can do is asked with vhost_dev_get_cap(), never guessed from the
 * transport.
 *
 * All addresses of rings and buffers are I/O virtual addresses (IOVA): where the
 * memory stands in the device's address space, as said by vhost_dev_mem_add().
 * In a VMM without an IOMMU these are the guest's physical addresses.
 *
 * The rules that hold for every call here, unless its entry says otherwise:
 *
 * - It returns 0, or a negative errno. Outputs are written on success only.
 *   vhost_dev_error() then has a sentence about what failed.
 * - A handle is used by one thread at a time.
 * - File descriptors passed in are borrowed: the library duplicates what it
 *   keeps, and the caller closes its own.
 * - It may be called from an event callback of the same device; vhost(7) says
 *   what happens then.
 * - Besides its own errors, a call that talks to the device may fail with
 *   -ENOTCONN (not connected), -ECONNRESET (the peer closed the connection),
 *   -ECONNABORTED (it did in the middle of a message), -ETIMEDOUT (no answer
 *   within the deadline; the connection is closed), -EPROTO (the peer broke the
 *   protocol; the connection is closed), -EREMOTEIO (the peer answered that it
 *   refuses), -ENOTSUP (the device cannot do that), -ENOBUFS (more than 1 MiB
 *   waits to be sent), -ENOMEM, -EMFILE.
 */
#ifndef VHOST_DEV_H
#define VHOST_DEV_H

#include <stddef.h>
#include <stdint.h>
#include <vhost/mem.h>
#include <vhost/trace.h>
#include <vhost/virtq.h>

#ifdef __cplusplus
extern "C" {
#endif

/** typedef vhost_dev_t - a device; an opaque, reference-counted handle */
typedef struct vhost_dev vhost_dev_t;

/* ------------------------------------------------------------------ events */

/**
 * struct vhost_iotlb_entry - a range of the device's addresses and what is there
 * @iova:   start of the range
 * @size:   in bytes, not 0; the range must not wrap
 * @target: the address in the memory map (the iova of a region given to
 *          vhost_dev_mem_add()) that @iova stands for
 * @perm:   VHOST_IOTLB_PERM_READ, _WRITE or both
 * @asid:   address space; 0 unless the device has several
 */
struct vhost_iotlb_entry {
	uint64_t iova;
	uint64_t size;
	uint64_t target;
	uint32_t perm;
	uint32_t asid;
};

/**
 * struct vhost_dev_events - what a device tells its user unasked
 *
 * Every member may be NULL. The callbacks run inside vhost_dev_process() and
 * inside any call that waits for the device. They get the device and the
 * opaque pointer that was set with them.
 *
 * @closed:         the connection ended; @status is a negative errno. The
 *                  device can be reconnected, but not from inside this callback
 * @connected:      a device opened or reconnected with VHOST_OPEN_NONBLOCK is
 *                  ready (@status 0), or could not be (a negative errno)
 * @config_changed: the configuration space changed; the back-end does not wait
 *                  for this callback to return
 * @iotlb_miss:     the device needs the translation of @iova for @perm. Write
 *                  *@ret, with all the permissions of the range (a later
 *                  answer takes the place of this one), and return 0, or return a negative errno for an address
 *                  that is not to be translated. Without this callback the
 *                  memory map is used as it is (iova = target)
 * @iotlb_fault:    the device was refused an access to @iova
 * @vring_call:     in-band notification: queue @index has used buffers
 * @vring_error:    in-band notification: queue @index has failed
 * @host_notifier:  the doorbell page of queue @index changed; see
 *                  vhost_user_get_host_notifier()
 * @shared_object:  the device exports (@added) or withdraws the object @uuid
 * @shared_lookup:  the device wants the dma-buf of another device's @uuid. Return
 *                  a file descriptor, which the library closes once it is sent,
 *                  or a negative errno
 * @shmem_map:      a range of shared memory region @id is now mapped (@map is 1)
 *                  or no longer (0): @offset, @size, and for a mapping the file
 *                  @fd (borrowed) from @fd_offset, writable or not. Called after
 *                  all checks, and in place of the library's own mmap(2) when
 *                  vhost_user_set_shmem() gave no address. Return 0 or a
 *                  negative errno to refuse
 * @needs_reset:    the device says in its status that it failed (DEVICE_NEEDS_RESET) and
 *                  goes on only after vhost_dev_reset(), or a stop and a start
 * Since: 0.1
 */
struct vhost_dev_events {
	void (*closed)(vhost_dev_t *dev, int status, void *opaque);
	void (*connected)(vhost_dev_t *dev, int status, void *opaque);
	void (*config_changed)(vhost_dev_t *dev, void *opaque);
	int (*iotlb_miss)(vhost_dev_t *dev, uint64_t iova, uint32_t perm,
			  struct vhost_iotlb_entry *ret, void *opaque);
	void (*iotlb_fault)(vhost_dev_t *dev, uint64_t iova, uint32_t perm, void *opaque);
	void (*vring_call)(vhost_dev_t *dev, unsigned int index, void *opaque);
	void (*vring_error)(vhost_dev_t *dev, unsigned int index, void *opaque);
	void (*host_notifier)(vhost_dev_t *dev, unsigned int index, void *opaque);
	void (*shared_object)(vhost_dev_t *dev, const uint8_t *uuid, int added, void *opaque);
	int (*shared_lookup)(vhost_dev_t *dev, const uint8_t *uuid, void *opaque);
	int (*shmem_map)(vhost_dev_t *dev, unsigned int id, int map, uint64_t offset,
			 uint64_t size, int fd, uint64_t fd_offset, int writable,
			 void *opaque);
	void (*needs_reset)(vhost_dev_t *dev, void *opaque);
};

/* ----------------------------------------------------------- opening, life */

/* struct vhost_dev_opts.flags */
#define VHOST_OPEN_NONBLOCK (1u << 0)	/* do not wait; the connected event tells */
#define VHOST_OPEN_NO_BACKEND_CHANNEL (1u << 1)	/* do not offer the back-end a channel */
#define VHOST_OPEN_WORKER_KTHREAD (1u << 2)	/* kernel vhost: its worker is a kernel thread */
#define VHOST_OPEN_WORKER_TASK (1u << 3)	/* kernel vhost: its worker is a thread of ours */
#define VHOST_OPEN_PRIVATE_MEM (1u << 4)	/* vDPA: take memory that is mapped privately */

/* struct vhost_dev_opts.timeout_ms */
#define VHOST_TIMEOUT_DEFAULT 0		/* 10 seconds */
#define VHOST_TIMEOUT_NEVER (-1)

/**
 * struct vhost_dev_opts - how to open a device
 * @flags:             VHOST_OPEN_*
 * @timeout_ms:        deadline of each call and transaction, in milliseconds;
 *                     VHOST_TIMEOUT_DEFAULT or _NEVER
 * @device_id:         virtio device type, where the caller knows it and the
 *                     transport does not (vhost-user); 0 if unknown. Used for
 *                     names in texts only
 * @reserved:          0
 * @protocol_features: vhost-user protocol features that may be negotiated, a
 *                     mask of bits; 0 means VHOST_USER_PROTOCOL_DEFAULT
 * @log, @trace:       hooks, or NULL
 * @log_opaque, @trace_opaque: what they get
 * @events:            or NULL; with @events_size its size
 * @events_opaque:     what the event callbacks get
 *
 * A struct of zeros gives the defaults.
 * Since: 0.1
 */
struct vhost_dev_opts {
	uint32_t flags;
	int32_t timeout_ms;
	uint32_t device_id;
	uint32_t reserved;
	uint64_t protocol_features;
	vhost_log_fn log;
	void *log_opaque;
	vhost_trace_fn trace;
	void *trace_opaque;
	const struct vhost_dev_events *events;
	size_t events_size;
	void *events_opaque;
};

/**
 * vhost_dev_open() - open a device by its address
 * @address:   "unix:PATH": connect to a vhost-user back-end's socket;
 *             "unix-listen:PATH": be the server, and wait for the back-end to
 *             connect (the socket is removed again when the device is closed);
 *             "fd:N": a connected vhost-user socket that this process has.
 *             "fd:N" may be an open device of the kernel, too;
 *             "/dev/vhost-net", "/dev/vhost-vsock", "/dev/vhost-scsi": the kernel's
 *             vhost; "/dev/vhost-vdpa-N": a vDPA device, which can also be given by
 *             its name on the vDPA bus, "vdpa:NAME".
 *             An address without a prefix that names a socket is taken as
 *             unix:PATH, and one that names a character device by what device it is. A
 *             PATH that starts with @ is in the abstract namespace
 * @opts:      or NULL for the defaults
 * @opts_size: sizeof(*@opts), or 0
 * @ret:       the device; to be released with vhost_dev_unref()
 *
 * Connects and negotiates the transport's own features, but none of the
 * device's. Takes three round trips over vhost-user. A device in the kernel is owned
 * by this process from here on; a vDPA device is reset by it.
 *
 * With VHOST_OPEN_NONBLOCK it returns at once, and the connected event comes from
 * vhost_dev_process(); until then other calls fail with -EINPROGRESS. A device in the
 * kernel is ready at once all the same; its event comes, too.
 *
 * VHOST_OPEN_WORKER_KTHREAD and _TASK ask for one kind of worker thread (see
 * <vhost/worker.h>), and fail with -ENOTSUP where the kernel gives no choice.
 * VHOST_OPEN_PRIVATE_MEM turns off a check: private memory reaches a vDPA device only if
 * that pins pages, which nobody can tell; others never answer then.
 *
 * Where it fails there is no device to ask: vhost_last_error() has the sentence.
 *
 * Return: 0; -EINVAL for an address of no known form or a wrong argument; -E2BIG
 *         for options that this library is too old for; -ENOENT, -EACCES,
 *         -ECONNREFUSED and the like from connect(2) or bind(2); -EADDRINUSE if
 *         another process serves the path of unix-listen:; -ENAMETOOLONG;
 *         -ETIMEDOUT; -EPROTO if the peer does not speak vhost-user; -EBUSY if a vDPA
 *         device, or a descriptor given, is in use; -ENODEV or -ENXIO if there is no
 *         such device, or it has another driver; -ENOTTY for a character device that
 *         is none of these. The error kinds VHOST_ERR_IN_USE and _PERMISSION tell what
 *         an administrator can mend.
 * Specification: vhost-user, "Communication" and "Protocol features".
 * Since: 0.1
 */
int vhost_dev_open(const char *address, const struct vhost_dev_opts *opts, size_t opts_size,
		   vhost_dev_t **ret);

/**
 * vhost_dev_open_fd() - open a device by a file descriptor
 * @fd:        a connected vhost-user socket, or an open device of the kernel; borrowed
 * @opts:      or NULL
 * @opts_size: sizeof(*@opts), or 0
 * @ret:       the device
 *
 * As vhost_dev_open(). Such a device has no address to reconnect to by itself:
 * use vhost_dev_reconnect_fd().
 *
 * Return: as vhost_dev_open(); -EBADF; -ENOTSOCK if it is neither a socket nor a device.
 * Since: 0.1
 */
int vhost_dev_open_fd(int fd, const struct vhost_dev_opts *opts, size_t opts_size,
		      vhost_dev_t **ret);

/**
 * vhost_dev_ref() - take a reference
 * @dev: the device, or NULL
 *
 * Return: @dev.
 * Since: 0.1
 */
vhost_dev_t *vhost_dev_ref(vhost_dev_t *dev);

/**
 * vhost_dev_unref() - drop a reference; the last one closes the device
 * @dev: the device, or NULL
 *
 * Closing is legal in every state and from every callback. What is pending
 * completes with -ECANCELED first. The device is not stopped: a caller that wants
 * the back-end to finish what it has begun calls vhost_dev_stop() before.
 *
 * Return: NULL.
 * Since: 0.1
 */
vhost_dev_t *vhost_dev_unref(vhost_dev_t *dev);

/** enum vhost_dev_state - where in its life a device is */
enum vhost_dev_state {
	VHOST_DEV_CLOSED = 0,		/**< no connection; can be reconnected */
	VHOST_DEV_CONNECTING = 1,	/**< opened without waiting */
	VHOST_DEV_STOPPED = 2,		/**< connected, no queue runs */
	VHOST_DEV_STARTED = 3,
	VHOST_DEV_SUSPENDED = 4		/**< started, and paused by vhost_dev_suspend() */
};

/**
 * vhost_dev_get_state() - where in its life a device is
 * @dev: the device
 *
 * Return: one of enum vhost_dev_state.
 * Since: 0.1
 */
int vhost_dev_get_state(const vhost_dev_t *dev);

/**
 * vhost_dev_get_address() - what it was opened by
 * @dev: the device
 *
 * Return: the address, "fd:N" for a device opened by descriptor; the device's.
 * Since: 0.1
 */
const char *vhost_dev_get_address(const vhost_dev_t *dev);

/**
 * vhost_dev_get_transport() - the name of what carries it
 * @dev: the device
 *
 * For texts. A program that wants to know what the device can do asks
 * vhost_dev_get_cap().
 *
 * Return: "vhost-user", "vhost-net", "vhost-vsock", "vhost-scsi" or "vhost-vdpa".
 * Since: 0.1
 */
const char *vhost_dev_get_transport(const vhost_dev_t *dev);

/* -------------------------------------------------------------- what it can */

/** enum vhost_cap - what can be asked of vhost_dev_get_cap() */
enum vhost_cap {
	VHOST_CAP_DEVICE_ID = 0,	/**< virtio device type, 0 unknown */
	VHOST_CAP_MAX_QUEUES = 1,	/**< how many queues it has; 256 if it does not say */
	VHOST_CAP_MAX_QUEUE_SIZE = 2,	/**< entries */
	VHOST_CAP_MAX_MEM_REGIONS = 3,	/**< how many regions vhost_dev_mem_add() takes */
	VHOST_CAP_MEM_NEEDS_SHARED = 4,	/**< 1: memory must be shared, not private */
	VHOST_CAP_MEM_PINNED = 5,	/**< 1: memory may be pinned, and RLIMIT_MEMLOCK count */
	VHOST_CAP_MEM_HOTPLUG = 6,	/**< 1: single regions are added and removed */
	VHOST_CAP_IOVA_FIRST = 7,	/**< least usable IOVA */
	VHOST_CAP_IOVA_LAST = 8,	/**< greatest usable IOVA */
	VHOST_CAP_CONFIG = 9,		/**< 1: has a configuration space that can be read */
	VHOST_CAP_CONFIG_MAX = 10,	/**< most bytes of one access to it */
	VHOST_CAP_STATUS = 11,		/**< 1: has a device status */
	VHOST_CAP_RESET = 12,		/**< 1: vhost_dev_reset() resets the device itself */
	VHOST_CAP_SUSPEND = 13,		/**< 1: vhost_dev_suspend() */
	VHOST_CAP_LOG = 14,		/**< 1: vhost_dev_log_start() */
	VHOST_CAP_INFLIGHT = 15,	/**< 1: vhost_dev_inflight_enable() */
	VHOST_CAP_IOTLB = 16,		/**< 1: takes IOTLB entries, given ACCESS_PLATFORM */
	VHOST_CAP_DEVICE_STATE = 17,	/**< 1: vhost_dev_device_state_save() and _load() */
	VHOST_CAP_POSTCOPY = 18,	/**< 1: vhost_user_postcopy_advise() */
	VHOST_CAP_BACKEND_CHANNEL = 19,	/**< 1: the device can send requests of its own */
	VHOST_CAP_SHMEM = 20,		/**< 1: maps files into shared memory regions */
	VHOST_CAP_SHARED_OBJECT = 21,	/**< 1: exports objects */
	VHOST_CAP_HOST_NOTIFIER = 22,	/**< 1: may offer doorbell pages */
	VHOST_CAP_RARP = 23,		/**< 1: vhost_user_send_rarp() */
	VHOST_CAP_MTU = 24,		/**< 1: vhost_user_set_mtu() */
	VHOST_CAP_CRYPTO = 25,		/**< 1: vhost_user_create_crypto_session() */
	VHOST_CAP_CROSS_ENDIAN = 26,	/**< 1: vhost_dev_vq_set_endian() */
	VHOST_CAP_REPLY_ACK = 27,	/**< 1: every request is acknowledged by the device */
	VHOST_CAP_RECONNECT = 28,	/**< 1: vhost_dev_reconnect() knows where to */
	VHOST_CAP_INBAND_NOTIFY = 29,	/**< 1: notifications travel as messages */
	VHOST_CAP_ADDRESS_SPACES = 30,	/**< how many it has; 1 unless vDPA says more */
	VHOST_CAP_GROUPS = 31,		/**< groups of queues that share an address space */
	VHOST_CAP_RESUME = 32,		/**< 1: vhost_dev_resume() after a suspend */
	VHOST_CAP_ENABLE_RUNNING = 33,	/**< 1: vhost_dev_vq_enable() while started */
	VHOST_CAP_WORKERS = 34,		/**< 1: vhost_worker_new() */
	VHOST_CAP_MEM_NEEDS_ADDR = 35	/**< 1: memory must be mapped in this process */
};

/**
 * vhost_dev_get_cap() - ask what a device can do, or how much
 * @dev: the device
 * @cap: one of enum vhost_cap
 * @ret: the answer; 0 or 1 for those that are yes or no
 *
 * Never talks to the device.
 *
 * Return: 0; -EINVAL for a @cap that this library does not know; -EINPROGRESS
 *         while connecting.
 * Since: 0.1
 */
int vhost_dev_get_cap(const vhost_dev_t *dev, uint32_t cap, uint64_t *ret);

/**
 * vhost_cap_name() - the name of a capability
 * @cap: one of enum vhost_cap
 *
 * Return: "MAX_QUEUES" and the like, or NULL past the last one, so that a
 *         program can list them.
 * Since: 0.1
 */
const char *vhost_cap_name(uint32_t cap);

/**
 * vhost_dev_get_features() - what the device offers
 * @dev: the device
 * @ret: virtio feature bits 0 to 63. Bits that are the transport's own business
 *       (LOG_ALL, PROTOCOL_FEATURES) are left out
 *
 * Asks the device, but for the first call after a connection was made: that is
 * answered from what the device offered then.
 *
 * Return: 0, or an error of every call.
 * Specification: vhost-user, VHOST_USER_GET_FEATURES; VIRTIO 1.3, 2.2.
 * Since: 0.1
 */
int vhost_dev_get_features(vhost_dev_t *dev, uint64_t *ret);

/**
 * vhost_dev_set_features() - accept some of the features
 * @dev:      the device; not started
 * @features: virtio feature bits 0 to 63, all of them offered
 *
 * For vDPA the device is told of VIRTIO_F_ACCESS_PLATFORM besides, where it offers that:
 * its addresses are those of the memory map in any case.
 *
 * Return: 0; -EINVAL for bits that the device does not offer; -EBUSY while
 *         started; or an error of every call.
 * Specification: vhost-user, VHOST_USER_SET_FEATURES; VIRTIO 1.3, 3.1.1.
 * Since: 0.1
 */
int vhost_dev_set_features(vhost_dev_t *dev, uint64_t features);

/**
 * vhost_dev_get_acked_features() - what was accepted last
 * @dev: the device
 *
 * Return: the features of the last vhost_dev_set_features() that succeeded, or 0.
 * Since: 0.1
 */
uint64_t vhost_dev_get_acked_features(const vhost_dev_t *dev);

/**
 * vhost_dev_get_features_array() - what the device offers, past 64 bits
 * @dev: the device
 * @ret: @n words, word 0 with the bits 0 to 63; what the transport cannot carry
 *       is zero
 * @n:   1 to 8
 *
 * Return: 0; -EINVAL for a wrong @n; or an error of every call.
 * Since: 0.1
 */
int vhost_dev_get_features_array(vhost_dev_t *dev, uint64_t *ret, unsigned int n);

/**
 * vhost_dev_set_features_array() - accept some of the features, past 64 bits
 * @dev:      the device; not started
 * @features: @n words
 * @n:        1 to 8
 *
 * Return: as vhost_dev_set_features(); -EINVAL as well for a bit of 64 or above
 *         that the transport cannot carry.
 * Since: 0.1
 */
int vhost_dev_set_features_array(vhost_dev_t *dev, const uint64_t *features, unsigned int n);

/**
 * vhost_dev_get_backend_features() - what the kernel's side of the transport can do
 * @dev:     a device in the kernel
 * @offered: bits as vhost_name_backend_feature() numbers them; or NULL
 * @acked:   those in use: all that are offered and this library knows; or NULL
 *
 * Return: 0; -ENOTSUP over vhost-user, which has protocol features instead.
 * Specification: linux/vhost.h, VHOST_GET_BACKEND_FEATURES.
 * Since: 0.1
 */
int vhost_dev_get_backend_features(const vhost_dev_t *dev, uint64_t *offered, uint64_t *acked);

/**
 * vhost_dev_get_status() - read the device status
 * @dev: the device
 * @ret: the bits of VIRTIO 1.3, 2.1. A device without a status of its own
 *       (VHOST_CAP_STATUS) gives what was set last
 *
 * Return: 0, or an error of every call; -EPROTO for a status above 255.
 * Specification: vhost-user, VHOST_USER_GET_STATUS.
 * Since: 0.1
 */
int vhost_dev_get_status(vhost_dev_t *dev, uint8_t *ret);

/**
 * vhost_dev_set_status() - write the device status
 * @dev:    the device
 * @status: bits of VIRTIO 1.3, 2.1; 0 resets the device
 *
 * vhost_dev_start() and vhost_dev_reset() set the status by themselves: this is
 * for a VMM that passes on what its guest writes. Status 0 while the device runs
 * leaves it stopped. For vDPA a DRIVER_OK that comes before vhost_dev_start() is kept for
 * that: without its queues the device is not to go live.
 *
 * Return: 0, or an error of every call.
 * Specification: vhost-user, VHOST_USER_SET_STATUS.
 * Since: 0.1
 */
int vhost_dev_set_status(vhost_dev_t *dev, uint8_t status);

/* --------------------------------------------------- the configuration space */

/**
 * vhost_dev_get_config() - read from the configuration space
 * @dev:    the device
 * @offset: in bytes
 * @buf:    where it goes; little-endian fields as VIRTIO 1.3, 5 lays them out
 * @len:    in bytes, 1 to VHOST_CAP_CONFIG_MAX
 *
 * Return: 0; -EINVAL for a wrong range; -ENOTSUP without VHOST_CAP_CONFIG;
 *         -EREMOTEIO if the device has no such range; or an error of every call.
 * Specification: vhost-user, VHOST_USER_GET_CONFIG.
 * Since: 0.1
 */
int vhost_dev_get_config(vhost_dev_t *dev, uint32_t offset, void *buf, size_t len);

/* vhost_dev_set_config() flags */
#define VHOST_CONFIG_MIGRATION 1u	/* write read-only fields, too, at a migration's end */

/**
 * vhost_dev_set_config() - write to the configuration space
 * @dev:    the device
 * @offset: in bytes
 * @buf:    what to write
 * @len:    in bytes, 1 to VHOST_CAP_CONFIG_MAX
 * @flags:  0 for a driver's write, or VHOST_CONFIG_MIGRATION
 *
 * Return: as vhost_dev_get_config().
 * Specification: vhost-user, VHOST_USER_SET_CONFIG.
 * Since: 0.1
 */
int vhost_dev_set_config(vhost_dev_t *dev, uint32_t offset, const void *buf, size_t len,
			 uint32_t flags);

/* ------------------------------------------------------------------- memory */

/**
 * vhost_dev_mem_add() - let the device reach a piece of memory
 * @dev:  the device
 * @desc: the memory; @desc->fd is borrowed
 * @size: sizeof(*@desc)
 *
 * Acts at once, whether the device runs or not. With vhost-user @desc->fd must be
 * given, and @desc->addr where it is mapped, if it is: a mapping that is private is
 * refused before anything is sent, with the error kind
 * VHOST_ERR_MEM_NOT_SHARED. In the kernel it is @desc->addr that counts, and must stay
 * mapped as long as the device has it; for vDPA that mapping must be shared, too.
 * VHOST_CAP_MEM_NEEDS_ADDR and _NEEDS_SHARED tell.
 *
 * The region's iova, size and fd_offset should be multiples of the page size; for vDPA
 * iova, size and address must be.
 *
 * Return: 0; -EINVAL for memory that is empty, wraps, is not shared, or lies beyond
 *         its file; -EEXIST if it overlaps a region; -ENOSPC past
 *         VHOST_CAP_MAX_MEM_REGIONS; -EBADF; -ENOMEM with the error kind
 *         VHOST_ERR_MEMLOCK if the device pins pages and RLIMIT_MEMLOCK is too low;
 *         -EFAULT if it is not mapped as said, as far as the kernel looks (which for
 *         vhost is not until the device gets there), or the device refused; or an error
 *         of every call.
 * Specification: vhost-user, VHOST_USER_ADD_MEM_REG, VHOST_USER_SET_MEM_TABLE;
 *         linux/vhost.h, VHOST_SET_MEM_TABLE; VHOST_IOTLB_UPDATE for vDPA.
 * Since: 0.1
 */
int vhost_dev_mem_add(vhost_dev_t *dev, const struct vhost_mem_desc *desc, size_t size);

/**
 * vhost_dev_mem_add_mem() - let the device reach a memory of vhost_mem_new()
 * @dev: the device
 * @mem: the memory
 *
 * Return: as vhost_dev_mem_add().
 * Since: 0.1
 */
int vhost_dev_mem_add_mem(vhost_dev_t *dev, vhost_mem_t *mem);

/**
 * vhost_dev_mem_remove() - take a region back
 * @dev:  the device
 * @iova: where the region starts
 * @size: of the region in bytes: a region is removed as a whole
 *
 * A device that keeps descriptors of the memory can still reach it: what was
 * shared with a process is taken back only in good faith.
 *
 * Return: 0; -ENOENT if no region is just that; -EBUSY if a queue that runs has a
 *         ring in it; or an error of every call.
 * Specification: vhost-user, VHOST_USER_REM_MEM_REG.
 * Since: 0.1
 */
int vhost_dev_mem_remove(vhost_dev_t *dev, uint64_t iova, uint64_t size);

/**
 * vhost_dev_mem_set() - set the whole memory map
 * @dev:   the device
 * @descs: @n regions, each of @size bytes, one after the other
 * @n:     how many; 0 removes all
 * @size:  sizeof(*@descs)
 *
 * Sends what differs, when the device takes single regions, and the whole table
 * otherwise. A device that refuses one of the regions keeps what it was sent before
 * that: regions taken back stay so.
 *
 * Return: as vhost_dev_mem_add() and vhost_dev_mem_remove(). Arguments are checked
 *         before anything is sent.
 * Since: 0.1
 */
int vhost_dev_mem_set(vhost_dev_t *dev, const struct vhost_mem_desc *descs, unsigned int n,
		      size_t size);

/**
 * vhost_dev_iova_alloc() - find addresses that are free
 * @dev:   the device
 * @size:  in bytes, not 0; rounded up to whole pages
 * @align: in bytes, a power of two; 0 for the page size, which is the least
 * @ret:   the first address
 *
 * For programs without a guest, which have no addresses to keep to. The range is within
 * VHOST_CAP_IOVA_FIRST and _LAST, apart from the memory map, for vDPA from IOTLB entries
 * that were given, and from other ranges allocated; not where interrupts are written on
 * x86; and above 4 GiB where the device reaches that far. It stays reserved until
 * vhost_dev_iova_free(), whatever is mapped there. Never talks to the device.
 *
 * Return: 0; -EINVAL for a wrong @size or @align; -ENOSPC if there is no such range;
 *         -ENOMEM; -ENOTCONN; -EINPROGRESS.
 * Since: 0.1
 */
int vhost_dev_iova_alloc(vhost_dev_t *dev, uint64_t size, uint64_t align, uint64_t *ret);

/**
 * vhost_dev_iova_free() - give addresses back
 * @dev:  the device
 * @iova: from vhost_dev_iova_alloc()
 *
 * Return: 0; -ENOENT if it is not from there.
 * Since: 0.1
 */
int vhost_dev_iova_free(vhost_dev_t *dev, uint64_t iova);

/**
 * vhost_dev_iotlb_update() - give the device a translation
 * @dev:   the device, with VIRTIO_F_ACCESS_PLATFORM accepted, or vDPA
 * @entry: the range and what is there
 * @size:  sizeof(*@entry)
 *
 * The memory behind it must be in the memory map. For vDPA, where the map is itself such
 * entries in address space 0, memory that is to be reached only by way of this call is
 * added with VHOST_MEM_UNMAPPED; and the entry stays, across a stop and a start, until it
 * is invalidated or the memory removed. Inside a transaction the entries are one batch.
 *
 * Return: 0; -EINVAL for a range that is empty or wraps, for an address space that the
 *         device does not have, or for memory that the map does not have; -EEXIST if
 *         vDPA has an entry there; or an error of every call.
 * Specification: vhost-user, VHOST_USER_IOTLB_MSG; linux/vhost_types.h, struct
 *         vhost_msg_v2.
 * Since: 0.1
 */
int vhost_dev_iotlb_update(vhost_dev_t *dev, const struct vhost_iotlb_entry *entry, size_t size);

/**
 * vhost_dev_iotlb_invalidate() - take translations back
 * @dev:  the device
 * @iova: start of the range
 * @size: in bytes; 0 means up to the end of the address space
 * @asid: address space; 0 unless the device has several
 *
 * Return: as vhost_dev_iotlb_update().
 * Specification: vhost-user, VHOST_USER_IOTLB_MSG.
 * Since: 0.1
 */
int vhost_dev_iotlb_invalidate(vhost_dev_t *dev, uint64_t iova, uint64_t size, uint32_t asid);

/* ------------------------------------------------------------------- queues */

/**
 * struct vhost_vq_config - a queue, as the device is told of it
 * @size:     entries; a power of two unless the ring is packed; at most 32768
 * @flags:    0
 * @desc:     IOVA of the descriptor area
 * @driver:   IOVA of the driver area (available ring)
 * @device:   IOVA of the device area (used ring)
 * @log:      IOVA at which writes to the device area are logged, where it is not
 *            @device itself; 0 for that
 * @base:     where the device goes on. Split: the available index, 16 bits. Packed:
 *            bits 0 to 14 the available index, bit 15 its wrap counter, bits 16 to
 *            30 the used index, bit 31 its wrap counter
 * @reserved: 0
 * @kick_fd:  eventfd by which the driver notifies the device, or -1 for a device
 *            that polls
 * @call_fd:  eventfd by which the device notifies the driver, or -1 for a driver
 *            that polls
 * @err_fd:   eventfd by which the device tells that the queue has failed, or -1
 * @reserved2: 0
 * Since: 0.1
 */
struct vhost_vq_config {
	uint32_t size;
	uint32_t flags;
	uint64_t desc;
	uint64_t driver;
	uint64_t device;
	uint64_t log;
	uint32_t base;
	uint32_t reserved;
	int32_t kick_fd;
	int32_t call_fd;
	int32_t err_fd;
	int32_t reserved2;
};

/**
 * vhost_dev_vq_setup() - describe one queue
 * @dev:    the device; the queue must not run
 * @index:  below VHOST_CAP_MAX_QUEUES
 * @config: the queue; its descriptors are borrowed
 * @size:   sizeof(*@config)
 *
 * Takes effect, and is sent, with the next vhost_dev_start(): so queues and memory
 * may be described in any order. A queue set up is enabled unless
 * vhost_dev_vq_enable() says otherwise.
 *
 * Return: 0; -EINVAL for a bad index or size, or a ring that is not aligned (16, 2
 *         and 4 bytes: VIRTIO 1.3, 2.7 and 2.8) or wraps; -EBUSY while the queue
 *         runs; -EBADF; -ENOMEM.
 * Since: 0.1
 */
int vhost_dev_vq_setup(vhost_dev_t *dev, unsigned int index, const struct vhost_vq_config *config,
		       size_t size);

/**
 * vhost_dev_vq_attach() - drive a queue with a vhost_virtq_t
 * @dev:   the device; the queue must not run
 * @index: below VHOST_CAP_MAX_QUEUES
 * @vq:    the driver's side, of which the device takes a reference; NULL detaches
 *
 * Sets the queue up from what the virtq is, and keeps the two together: after
 * vhost_dev_reconnect() everything that was outstanding is made available again, so
 * that a new back-end does it. @vq's memory must be given to the device as well,
 * with vhost_dev_mem_add_mem().
 *
 * Return: as vhost_dev_vq_setup().
 * Since: 0.1
 */
int vhost_dev_vq_attach(vhost_dev_t *dev, unsigned int index, vhost_virtq_t *vq);

/**
 * vhost_dev_vq_enable() - let the device use a queue, or not
 * @dev:    the device
 * @index:  of a queue that is set up
 * @enable: 0 or 1
 *
 * While the device is stopped this is recorded for the next start; otherwise it
 * acts at once. vhost-vsock and vhost-scsi have no disabled queues: with one they do not
 * start (-ENOTSUP).
 *
 * Return: 0; -EINVAL; -ENOENT for a queue that is not set up; -ENOTSUP while started
 *         if the device cannot; or an error of every call.
 * Specification: vhost-user, VHOST_USER_SET_VRING_ENABLE.
 * Since: 0.1
 */
int vhost_dev_vq_enable(vhost_dev_t *dev, unsigned int index, int enable);

/**
 * vhost_dev_vq_set_call() - change how the device notifies the driver
 * @dev:   the device
 * @index: of a queue that is set up
 * @fd:    an eventfd, borrowed, or -1 for a driver that polls
 *
 * Return: 0; -EINVAL; -ENOENT; -EBADF; or an error of every call.
 * Specification: vhost-user, VHOST_USER_SET_VRING_CALL.
 * Since: 0.1
 */
int vhost_dev_vq_set_call(vhost_dev_t *dev, unsigned int index, int fd);

/**
 * vhost_dev_vq_set_base() - set where the device goes on
 * @dev:   the device; the queue must not run
 * @index: of a queue that is set up
 * @base:  as in struct vhost_vq_config
 *
 * Return: 0; -EINVAL, also for a split ring's base above 65535; -ENOENT; -EBUSY.
 * Since: 0.1
 */
int vhost_dev_vq_set_base(vhost_dev_t *dev, unsigned int index, uint32_t base);

/**
 * vhost_dev_vq_get_base() - where the device stopped, or would start
 * @dev:   the device
 * @index: of a queue that is set up
 * @ret:   as in struct vhost_vq_config; while the queue runs, where it started
 *
 * Return: 0; -EINVAL; -ENOENT.
 * Since: 0.1
 */
int vhost_dev_vq_get_base(vhost_dev_t *dev, unsigned int index, uint32_t *ret);

/**
 * vhost_dev_vq_set_endian() - the byte order of a legacy driver's ring
 * @dev:        the device; the queue must not run
 * @index:      of a queue that is set up
 * @big_endian: 0 or 1
 *
 * Return: 0; -EINVAL; -ENOENT; -EBUSY; -ENOTSUP without VHOST_CAP_CROSS_ENDIAN; or
 *         an error of every call.
 * Specification: vhost-user, VHOST_USER_SET_VRING_ENDIAN.
 * Since: 0.1
 */
int vhost_dev_vq_set_endian(vhost_dev_t *dev, unsigned int index, int big_endian);

/**
 * vhost_dev_vq_kick() - notify the device
 * @dev:   the device
 * @index: of a queue that runs
 *
 * By the queue's kick eventfd, or by a message where notifications are in-band.
 * Never waits.
 *
 * Return: 0; -EINVAL; -ENOENT; -ENOTCONN if the queue does not run.
 * Specification: vhost-user, VHOST_USER_VRING_KICK.
 * Since: 0.1
 */
int vhost_dev_vq_kick(vhost_dev_t *dev, unsigned int index);

/* ------------------------------------------------------------ start and stop */

/**
 * vhost_dev_start() - start the device
 * @dev: the device, with its features, memory and queues set
 *
 * Sends all queues that are set up, enables them, and sets DRIVER_OK where there is
 * a status; then kicks each queue once, so that what is available already is seen.
 * If any of it fails what was started is stopped again.
 *
 * Return: 0, also if it runs already; -EINVAL if no queue is set up; -EFAULT if a
 *         ring is not in the device's memory (the error says which); -EBUSY while it is
 *         suspended; or an error of every call.
 * Specification: vhost-user, "Ring states".
 * Since: 0.1
 */
int vhost_dev_start(vhost_dev_t *dev);

/**
 * vhost_dev_stop() - stop the device
 * @dev: the device
 *
 * Disables the queues and waits until the device has let go of each: it no longer
 * touches memory after this. Where each queue stopped is kept for
 * vhost_dev_vq_get_base() and the next start.
 *
 * A vDPA device that cannot be suspended loses what it has in flight. What an attached
 * virtq has outstanding then is made available again at the next start; another queue
 * that had something in flight does not start (-ESTALE, VHOST_ERR_REQUESTS_LOST) before
 * vhost_dev_vq_set_base() says where it is to go on.
 *
 * If it fails, the queues count as stopped all the same.
 *
 * Return: 0, also if it is stopped already; or an error of every call.
 * Specification: vhost-user, VHOST_USER_GET_VRING_BASE; linux/vhost.h,
 *         VHOST_VDPA_SUSPEND.
 * Since: 0.1
 */
int vhost_dev_stop(vhost_dev_t *dev);

/**
 * vhost_dev_suspend() - pause a started device
 * @dev: the device
 *
 * Like vhost_dev_stop(), but the device keeps all its state, and the queues stay
 * enabled. A suspended device can be asked for its state, and resumed.
 *
 * With the protocol feature GET_VRING_BASE_INFLIGHT requests that the device has
 * not finished stay in the in-flight record; without it they are finished first.
 *
 * Return: 0, also if it is suspended; -EINVAL if it is not started; or an error of
 *         every call.
 * Specification: vhost-user, "Suspended device state".
 * Since: 0.1
 */
int vhost_dev_suspend(vhost_dev_t *dev);

/**
 * vhost_dev_resume() - go on with a suspended device
 * @dev: the device
 *
 * Each queue is kicked, and its call eventfd is signalled, once: no event is lost in
 * between.
 *
 * Return: 0, also if it is started; -EINVAL if it is not suspended; -ENOTSUP without
 *         VHOST_CAP_RESUME: such a device is stopped and started; or an error of every
 *         call.
 * Since: 0.1
 */
int vhost_dev_resume(vhost_dev_t *dev);

/**
 * vhost_dev_reset() - bring the device back to its beginnings
 * @dev: the device
 *
 * Stops it first if it runs. Queues, features and status are forgotten, by this
 * library and by the device (through RESET_DEVICE or status 0, where it has either);
 * memory stays.
 *
 * Return: 0, or an error of every call.
 * Specification: vhost-user, VHOST_USER_RESET_DEVICE.
 * Since: 0.1
 */
int vhost_dev_reset(vhost_dev_t *dev);

/* ---------------------------------------------------------------- reconnection */

/**
 * vhost_dev_reconnect() - connect again, and restore everything
 * @dev:   the device, opened by address; an old connection is closed
 * @flags: 0 or VHOST_OPEN_NONBLOCK
 *
 * Makes a new connection, checks that the device still has what was negotiated,
 * and replays the record: features, memory, in-flight record, log, queues, and if
 * it was started, starts it. It ends wholly connected or wholly not: on failure the
 * device is closed, its record is kept, and another try is possible. How often to
 * try, and with what pause, is the caller's choice.
 *
 * Queues go on from where they stopped. Those that ran when the connection ended go
 * on from the used index, with all that was outstanding made available again (of a
 * queue with vhost_dev_vq_attach()); or as the in-flight record says, where there
 * is one. A queue that ran with neither goes on from the used index only if
 * VIRTIO_F_IN_ORDER was accepted or VHOST_RECONNECT_FROM_USED is in @flags, and
 * makes the call fail with -ESTALE otherwise: requests would be lost.
 *
 * Return: 0; -ENOTSUP if there is no address to connect to; -EPROTONOSUPPORT if the
 *         device no longer has the features, queues or memory regions that were used;
 *         -ESTALE; as vhost_dev_open(); or an error of every call.
 * Since: 0.1
 */
int vhost_dev_reconnect(vhost_dev_t *dev, uint32_t flags);

/* vhost_dev_reconnect() flags, besides VHOST_OPEN_NONBLOCK */
#define VHOST_RECONNECT_FROM_USED (1u << 8)	/* trust the used index of every ring */

/**
 * vhost_dev_reconnect_fd() - go on over another connection, and restore everything
 * @dev:   the device
 * @fd:    a connected socket; borrowed
 * @flags: as vhost_dev_reconnect()
 *
 * Return: as vhost_dev_reconnect(); -EBADF; -ENOTSOCK.
 * Since: 0.1
 */
int vhost_dev_reconnect_fd(vhost_dev_t *dev, int fd, uint32_t flags);

/**
 * vhost_dev_save() - the negotiated state, as bytes
 * @dev:      the device
 * @buf:      where it goes, or NULL to ask for the size
 * @size:     of @buf in bytes
 * @ret_size: how many bytes it is
 *
 * Features, status, queues (without descriptors), and whether it runs: what another
 * process needs, besides memory and eventfds, to go on with the device. The format
 * carries a version and is the same on every machine.
 *
 * Return: 0; -ENOSPC if @size is too small, with *@ret_size written all the same.
 * Since: 0.1
 */
int vhost_dev_save(const vhost_dev_t *dev, void *buf, size_t size, size_t *ret_size);

/**
 * vhost_dev_load() - take up a negotiated state
 * @dev:  the device: connected and not started
 * @buf:  what vhost_dev_save() gave
 * @size: in bytes
 *
 * Sets features and describes the queues, all without eventfds: give each of them
 * with vhost_dev_vq_setup() or vhost_dev_vq_attach(), then start the device. Nothing
 * is changed if it fails.
 *
 * Return: 0; -EBADMSG if @buf is damaged; -EPROTONOSUPPORT if it is of a newer
 *         version, or the device lacks a feature or queue; -EBUSY while started; or an
 *         error of every call.
 * Since: 0.1
 */
int vhost_dev_load(vhost_dev_t *dev, const void *buf, size_t size);

/* ---------------------------------------------------------------- transactions */

/**
 * vhost_dev_begin() - start a transaction
 * @dev: the device
 *
 * The calls that follow return at once, with 0 when they are queued; nothing is
 * sent. vhost_dev_commit() sends all of them back to back and waits for the answers
 * once. Outputs that the calls were given must stay valid until then.
 *
 * A device in the kernel answers at once: there each call acts when it is made, and only
 * IOTLB entries are kept together, as a batch that ends with the transaction.
 *
 * vhost_dev_reconnect(), vhost_dev_reset() and the calls that move a device's state
 * cannot be part of one: they fail with -EBUSY. So does a second start, stop,
 * suspend or resume in one transaction.
 *
 * Return: 0; -EBUSY inside a transaction; -ENOTCONN; -EINPROGRESS.
 * Since: 0.1
 */
int vhost_dev_begin(vhost_dev_t *dev);

/**
 * vhost_dev_commit() - carry out a transaction, and wait for it
 * @dev: the device
 *
 * The deadline is the device's (vhost_dev_set_timeout()). What the device
 * acknowledged stays, what it refused is as it was before, and a start among it is
 * undone: the device is stopped then. The error is that of the first call refused.
 *
 * Return: 0; -EINVAL outside of a transaction; or an error of every call.
 * Since: 0.1
 */
int vhost_dev_commit(vhost_dev_t *dev);

/**
 * typedef vhost_done_fn - a transaction is over
 * @dev:    the device
 * @status: what vhost_dev_commit() would have returned; -ECANCELED if it was
 *          cancelled
 * @opaque: what was given with it
 * Since: 0.1
 */
typedef void (*vhost_done_fn)(vhost_dev_t *dev, int status, void *opaque);

/**
 * vhost_dev_commit_async() - carry out a transaction without waiting
 * @dev:    the device
 * @done:   is called exactly once if this returns 0: by vhost_dev_process(),
 *          vhost_dev_commit(), vhost_dev_cancel() or the last vhost_dev_unref(); never
 *          from inside this call
 * @opaque: what it gets
 *
 * Several may be under way at once; they complete in order.
 *
 * Return: 0; -EINVAL outside of a transaction or without @done; -ENOTCONN; -ENOMEM.
 * Since: 0.1
 */
int vhost_dev_commit_async(vhost_dev_t *dev, vhost_done_fn done, void *opaque);

/**
 * vhost_dev_cancel() - give up what is under way
 * @dev: the device
 *
 * A transaction that was only begun is dropped, and nothing else happens. If
 * requests are under way the connection is closed, since their answers would be taken
 * for others', and each transaction completes with -ECANCELED.
 *
 * Return: 0, also if there was nothing; -EBUSY from an event callback that a call of
 *         the open transaction runs, as vhost_dev_commit() then.
 * Since: 0.1
 */
int vhost_dev_cancel(vhost_dev_t *dev);

/* ------------------------------------------------------------------- event loop */

/**
 * vhost_dev_get_fd() - the descriptor to poll
 * @dev: the device
 *
 * Readable (POLLIN) when vhost_dev_process() has something to do. It is the
 * device's, stays the same for the device's life, and is not for anything but
 * polling.
 *
 * Return: a file descriptor; -EMFILE, -ENFILE or -ENOMEM from epoll_create1(2).
 * Since: 0.1
 */
int vhost_dev_get_fd(vhost_dev_t *dev);

/**
 * vhost_dev_process() - do what is to be done, without waiting
 * @dev: the device
 *
 * Takes answers and the device's own requests, runs callbacks, sends what could not
 * be sent before, and ends what is past its deadline. One call does a bounded amount
 * of work, and leaves the descriptor readable if there is more.
 *
 * Return: 0; or -ENOTCONN, -ECONNRESET, -ECONNABORTED, -EPROTO, -ETIMEDOUT if the
 *         device is not, or no longer, connected.
 * Since: 0.1
 */
int vhost_dev_process(vhost_dev_t *dev);

/**
 * vhost_dev_get_timeout() - how long to poll at most
 * @dev: the device
 *
 * Return: milliseconds until vhost_dev_process() should be called for a deadline,
 *         for use as the timeout of poll(2); -1 if there is none.
 * Since: 0.1
 */
int vhost_dev_get_timeout(const vhost_dev_t *dev);

/**
 * vhost_dev_set_timeout() - set the deadline of calls and transactions
 * @dev:        the device
 * @timeout_ms: in milliseconds; VHOST_TIMEOUT_DEFAULT, VHOST_TIMEOUT_NEVER
 *
 * Return: 0; -EINVAL below -1.
 * Since: 0.1
 */
int vhost_dev_set_timeout(vhost_dev_t *dev, int timeout_ms);

/**
 * vhost_dev_set_events() - set the event callbacks
 * @dev:    the device
 * @events: copied; or NULL for none
 * @size:   sizeof(*@events)
 * @opaque: what the callbacks get
 *
 * Return: 0; -E2BIG for events that this library does not know.
 * Since: 0.1
 */
int vhost_dev_set_events(vhost_dev_t *dev, const struct vhost_dev_events *events, size_t size,
			 void *opaque);

/**
 * vhost_dev_set_log() - set the log hook
 * @dev:    the device
 * @log:    or NULL
 * @opaque: what it gets
 * Since: 0.1
 */
void vhost_dev_set_log(vhost_dev_t *dev, vhost_log_fn log, void *opaque);

/**
 * vhost_dev_set_trace() - set the trace hook
 * @dev:    the device
 * @trace:  or NULL
 * @opaque: what it gets
 * Since: 0.1
 */
void vhost_dev_set_trace(vhost_dev_t *dev, vhost_trace_fn trace, void *opaque);

/* ------------------------------------------------------------ dirty page log */

#define VHOST_DIRTY_PAGE_SIZE 4096u	/* bytes of memory behind a bit of the log */

/**
 * vhost_dev_log_start() - have the device log the pages it writes
 * @dev: the device; may be running
 *
 * Makes a log that covers all of the device's memory up to its greatest address, and
 * turns logging on for data and rings. Memory added later must lie below that.
 *
 * Return: 0; -EALREADY; -ENOTSUP without VHOST_CAP_LOG; or an error of every call.
 * Specification: vhost-user, "Migration", VHOST_USER_SET_LOG_BASE.
 * Since: 0.1
 */
int vhost_dev_log_start(vhost_dev_t *dev);

/**
 * vhost_dev_log_collect() - take dirty bits out of the log
 * @dev:     the device, logging
 * @iova:    first byte; a multiple of 64 pages of VHOST_DIRTY_PAGE_SIZE (262144 bytes)
 * @bitmap:  @n_words words of 64 bits, bit 0 of word 0 for the page at @iova; what is
 *           found dirty is added to what they hold
 * @n_words: how many
 * @ret:     how many pages were dirty
 *
 * Each bit is taken out of the log in one atomic step: a page written meanwhile is
 * found by this call or the next.
 *
 * Return: 0; -EINVAL for a range that the log does not cover; -ENOENT if not logging.
 * Since: 0.1
 */
int vhost_dev_log_collect(vhost_dev_t *dev, uint64_t iova, uint64_t *bitmap, size_t n_words,
			  uint64_t *ret);

/**
 * vhost_dev_log_get_size() - how many bytes of memory the log covers
 * @dev: the device
 *
 * Return: bytes, from IOVA 0 on, a multiple of 262144; 0 if not logging.
 * Since: 0.1
 */
uint64_t vhost_dev_log_get_size(const vhost_dev_t *dev);

/**
 * vhost_dev_log_set_fd() - be told when the log changes
 * @dev: the device
 * @fd:  an eventfd, borrowed
 *
 * Return: 0; -EBADF; -ENOTSUP; or an error of every call.
 * Specification: vhost-user, VHOST_USER_SET_LOG_FD.
 * Since: 0.1
 */
int vhost_dev_log_set_fd(vhost_dev_t *dev, int fd);

/**
 * vhost_dev_log_stop() - have the device log no more
 * @dev: the device
 *
 * Return: 0, also if it does not log; or an error of every call.
 * Since: 0.1
 */
int vhost_dev_log_stop(vhost_dev_t *dev);

/* ----------------------------------------------------------- in-flight record */

/**
 * vhost_dev_inflight_enable() - have the device record what it has in flight
 * @dev:        the device, with its features set; not started
 * @num_queues: how many queues to record, 1 to VHOST_CAP_MAX_QUEUES
 * @queue_size: entries of the largest of them, at most 32768
 *
 * Gets a shared record from the device, keeps it, and hands it back: now, and again
 * after a reconnection, so that a new back-end finishes what the old one had begun.
 *
 * Return: 0; -EINVAL; -EBUSY while started; -ENOTSUP without VHOST_CAP_INFLIGHT;
 *         -EPROTO if the record given is no memory, or too small; or an error of every
 *         call.
 * Specification: vhost-user, "Inflight I/O tracking".
 * Since: 0.1
 */
int vhost_dev_inflight_enable(vhost_dev_t *dev, uint16_t num_queues, uint16_t queue_size);

/**
 * vhost_dev_inflight_get() - the in-flight record, for another process
 * @dev:        the device
 * @ret_fd:     its memory; the device's
 * @ret_size:   its size in bytes
 * @ret_offset: where in the file it starts
 *
 * Return: 0; -ENOENT if there is none.
 * Since: 0.1
 */
int vhost_dev_inflight_get(const vhost_dev_t *dev, int *ret_fd, uint64_t *ret_size,
			   uint64_t *ret_offset);

/**
 * vhost_dev_inflight_set() - hand the device a record that was kept
 * @dev:        the device; not started
 * @fd:         its memory; borrowed
 * @size:       in bytes
 * @offset:     where in the file it starts
 * @num_queues: as it was made for
 * @queue_size: as it was made for
 *
 * Return: as vhost_dev_inflight_enable(); -EBADF.
 * Since: 0.1
 */
int vhost_dev_inflight_set(vhost_dev_t *dev, int fd, uint64_t size, uint64_t offset,
			   uint16_t num_queues, uint16_t queue_size);

/* ---------------------------------------------------------------- device state */

/** enum vhost_device_state_direction - which way a device's state goes */
enum vhost_device_state_direction {
	VHOST_DEVICE_STATE_SAVE = 0,	/**< from the device */
	VHOST_DEVICE_STATE_LOAD = 1	/**< to the device */
};

/**
 * vhost_dev_device_state_fd() - open a channel for the device's internal state
 * @dev:       the device; suspended or stopped
 * @direction: enum vhost_device_state_direction
 * @fd:        the device's end, a pipe's write end to save and its read end to load;
 *             borrowed: close yours, or the end of the state cannot be seen
 * @ret_fd:    -1, or another descriptor to use in place of the caller's own end of the
 *             channel; the caller's to close
 *
 * After the transfer ask vhost_dev_device_state_check().
 *
 * Return: 0; -EINVAL; -EBUSY while the device runs; -EBADF; -ENOTSUP without
 *         VHOST_CAP_DEVICE_STATE; or an error of every call.
 * Specification: vhost-user, "Migrating back-end state".
 * Since: 0.1
 */
int vhost_dev_device_state_fd(vhost_dev_t *dev, int direction, int fd, int *ret_fd);

/**
 * vhost_dev_device_state_check() - did the transfer succeed?
 * @dev: the device; all of the state was transferred
 *
 * Return: 0; -EREMOTEIO if it failed; or an error of every call.
 * Specification: vhost-user, VHOST_USER_CHECK_DEVICE_STATE.
 * Since: 0.1
 */
int vhost_dev_device_state_check(vhost_dev_t *dev);

/**
 * vhost_dev_device_state_save() - the device's internal state, as bytes
 * @dev:      the device; suspended or stopped
 * @limit:    most bytes to take
 * @ret:      the state, to be released with free(3)
 * @ret_size: its size in bytes
 *
 * Waits for all of it, up to the device's deadline.
 *
 * Return: 0; -EFBIG if there is more than @limit; -ETIMEDOUT; as
 *         vhost_dev_device_state_fd() and _check(). The device stays connected after
 *         -EFBIG, and after a deadline that passed during the transfer.
 * Since: 0.1
 */
int vhost_dev_device_state_save(vhost_dev_t *dev, size_t limit, void **ret, size_t *ret_size);

/**
 * vhost_dev_device_state_load() - give the device its internal state
 * @dev:  the device; suspended or stopped
 * @buf:  what vhost_dev_device_state_save() gave
 * @size: in bytes
 *
 * Return: 0; -EPIPE if the device took only a part; as vhost_dev_device_state_fd()
 *         and _check().
 * Since: 0.1
 */
int vhost_dev_device_state_load(vhost_dev_t *dev, const void *buf, size_t size);

/* ---------------------------------------------------------------------- errors */

/** enum vhost_error_kind - the errors that an errno does not tell apart */
enum vhost_error_kind {
	VHOST_ERR_NONE = 0,
	VHOST_ERR_OTHER = 1,		/**< the errno says it */
	VHOST_ERR_ARGUMENT = 2,		/**< the caller's argument */
	VHOST_ERR_STATE = 3,		/**< not now: the device is in another state */
	VHOST_ERR_MEM_NOT_SHARED = 4,	/**< private memory was given to share */
	VHOST_ERR_PEER_CLOSED = 5,	/**< the peer closed the connection */
	VHOST_ERR_PEER_REFUSED = 6,	/**< the peer answered no */
	VHOST_ERR_PEER_BROKE_PROTOCOL = 7, /**< the peer sent what it must not */
	VHOST_ERR_DEADLINE = 8,		/**< no answer in time */
	VHOST_ERR_INCOMPATIBLE = 9,	/**< the peer lacks what was negotiated before */
	VHOST_ERR_UNSUPPORTED = 10,	/**< the device cannot do that */
	VHOST_ERR_LIMIT = 11,		/**< one of the device's limits */
	VHOST_ERR_CONNECT = 12,		/**< no connection could be made */
	VHOST_ERR_MEMLOCK = 13,		/**< the limit on pinned memory, RLIMIT_MEMLOCK */
	VHOST_ERR_REQUESTS_LOST = 14,	/**< going on would lose requests in flight */
	VHOST_ERR_IN_USE = 15,		/**< somebody else has it: the device, or an address */
	VHOST_ERR_NOT_OWNER = 16,	/**< another process opened the device (fork(2)) */
	VHOST_ERR_PERMISSION = 17,	/**< this user may not open it */
	VHOST_ERR_NEEDS_RESET = 18	/**< the device failed, and waits for its reset */
};

/**
 * vhost_dev_error() - what failed last on this device
 * @dev: the device
 *
 * Return: a sentence for people, "" if nothing failed yet; valid until the next call
 *         on the device.
 * Since: 0.1
 */
const char *vhost_dev_error(const vhost_dev_t *dev);

/**
 * vhost_dev_error_kind() - what kind of failure that was
 * @dev: the device
 *
 * Return: one of enum vhost_error_kind.
 * Since: 0.1
 */
int vhost_dev_error_kind(const vhost_dev_t *dev);

/**
 * vhost_last_error() - what failed last in this thread
 *
 * For vhost_dev_open() and whatever else has no handle to ask; errors of devices are
 * here as well.
 *
 * Return: a sentence for people, "" if nothing failed yet; valid until the next call
 *         into the library by this thread.
 * Since: 0.1
 */
const char *vhost_last_error(void);

/**
 * vhost_last_error_kind() - what kind of failure that was
 *
 * Return: one of enum vhost_error_kind.
 * Since: 0.1
 */
int vhost_last_error_kind(void);

#ifdef __cplusplus
}
#endif

#endif
