/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/**
 * DOC: serving a device
 *
 * A back-end is a device model as a table of callbacks. It is served to one
 * front-end at a time over vhost-user: as the socket's server or client, or on a
 * socket that the program has already. A program may have any number of them.
 *
 *	static const struct vhost_backend_ops ops = {
 *		.device_id = VHOST_DEVICE_RNG, .max_queues = 1, .queue_ready = serve,
 *	};
 *	vhost_backend_new(&ops, sizeof(ops), NULL, &be);
 *	vhost_backend_listen(be, "/run/rng.sock");
 *	while (vhost_backend_process(be) == 0)
 *		poll(&(struct pollfd){ vhost_backend_get_fd(be), POLLIN, 0 }, 1, -1);
 *
 * The library answers every message, keeps the memory of the guest mapped, and
 * starts and stops the rings; the callbacks are for what only the device knows. Which
 * protocol features are offered follows from which callbacks there are.
 *
 * The rules that hold for every call here, unless its entry says otherwise:
 *
 * - It returns 0, or a negative errno. Outputs are written on success only.
 *   vhost_backend_error() then has a sentence about what failed.
 * - A back-end is used by one thread at a time. With VHOST_BACKEND_THREADS its rings
 *   may each be used by another thread at the same time (<vhost/vring.h>).
 * - Nothing blocks, no lock is held while a callback runs, and every call, the last
 *   vhost_backend_unref() included, may be made from any callback but mem_unmap. (An eventfd
 *   is shared with the front-end, which can make it block again: vhost-backend(7).)
 * - File descriptors passed in are borrowed: the library duplicates what it keeps.
 * - What a front-end does wrong is answered to the front-end (and told to the log
 *   hook): a bad message is refused and changes nothing, a bad ring is broken alone,
 *   and only what makes the stream of messages unreadable ends the connection.
 */
#ifndef VHOST_BACKEND_H
#define VHOST_BACKEND_H

#include <stddef.h>
#include <stdint.h>
#include <vhost/mem.h>
#include <vhost/trace.h>
#include <vhost/vring.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------- the device */

/* struct vhost_backend_ops.flags */
#define VHOST_BACKEND_THREADS (1u << 0)	/* rings are used by threads of the program's */
#define VHOST_BACKEND_POLL (1u << 1)	/* rings are polled: no notifications, no queue_ready */
#define VHOST_BACKEND_SEALED_MEM (1u << 2)	/* refuse memory whose file can shrink */
#define VHOST_BACKEND_LEGACY (1u << 3)	/* serve drivers without VIRTIO_F_VERSION_1, too */

/**
 * VHOST_BACKEND_FEATURES - virtio features that the library offers by itself
 *
 * INDIRECT_DESC, EVENT_IDX, VERSION_1, ACCESS_PLATFORM, RING_PACKED, and between the
 * two sides of vhost-user LOG_ALL and PROTOCOL_FEATURES.
 */
#define VHOST_BACKEND_FEATURES ((uint64_t)0x774000000)

/**
 * struct vhost_backend_ops - what a device is, and what it does
 *
 * @device_id:      one of enum vhost_device_id
 * @max_queues:     1 to 256
 * @max_queue_size: the most descriptors of a queue, up to 32768; 0 means 32768
 * @flags:          VHOST_BACKEND_*
 * @features:       virtio features of the device, a mask of bits, offered beside
 *                  VHOST_BACKEND_FEATURES. VIRTIO_F_IN_ORDER (35) only for a device that
 *                  pushes in order
 * @features_off:   bits of VHOST_BACKEND_FEATURES that are not to be offered
 * @protocol_features: vhost-user protocol features that may be offered, a mask of bits;
 *                  0 means VHOST_USER_PROTOCOL_DEFAULT. Of these, the ones that need a
 *                  callback are offered if it is there: RARP, NET_MTU, CRYPTO_SESSION,
 *                  SHARED_OBJECT, SHMEM, DEVICE_STATE, XEN_MMAP; CONFIG with a
 *                  @config_size; PAGEFAULT if this process may use userfaultfd(2);
 *                  MQ with more than one queue
 * @config_size:    bytes of the configuration space, 0 to 4096
 * @shmem_sizes:    sizes in bytes of the shared memory regions of the device, by their
 *                  id; or NULL
 * @n_shmem_sizes:  how many, up to 256
 * @reserved:       0
 *
 * Each callback may be NULL. They run inside vhost_backend_process(), and get the
 * opaque pointer of vhost_backend_new(). Those that return an int return 0 or a negative
 * errno, which the front-end is told of as a refusal. Where it says "may be late", it may
 * also return -EINPROGRESS, and the program answers with vhost_backend_answer() when it
 * can; the messages that follow wait until then, the rings do not.
 *
 * @connected:    a front-end is there
 * @disconnected: it has gone; @status is a negative errno (-ECONNRESET: it closed the
 *                connection in order). All rings have stopped. Requests that are in
 *                flight may be finished and pushed, which does nothing
 * @set_features: the driver accepted @features. Not called again when only the logging
 *                of dirty memory changes
 * @set_status:   the driver's device status changed (VIRTIO 1.3, 2.1)
 * @reset:        the device goes back to its initial state; the rings have stopped. Requests
 *                may still be in flight: finish and push them as ever
 * @queue_start:  the ring can be used from now on: it is started and enabled. With
 *                VHOST_BACKEND_THREADS the place to hand it to its thread
 * @queue_ready:  there may be requests: the driver notified, or the ring was just
 *                started, enabled or resumed. Not with VHOST_BACKEND_THREADS or _POLL
 * @queue_stop:   the ring stops: vhost_vring_pop() gives nothing more. While requests are
 *                in flight the front-end waits for them, so hurry them on, or push
 *                them unfinished if the device can say so. With VHOST_BACKEND_THREADS,
 *                vhost_vring_get_fd() is closed when it returns
 * @get_config:   the configuration space is read. May be late: @buf stays valid until the
 *                answer. Without this callback, what vhost_backend_set_config() was given
 * @set_config:   it is written, by the driver or (@flags is 1) at a migration's end. Without
 *                this callback writes are refused
 * @save_state, @load_state: the device's own state in a migration; the rings have
 *                stopped. Write it to @fd, or read it from there to its end; the
 *                descriptor is the callee's to close, is a pipe or a socket in
 *                non-blocking mode, and must not be waited for. May be late: until
 *                vhost_backend_answer() the transfer goes on, while other messages are
 *                still served; the result is told at CHECK_DEVICE_STATE
 * @mem_changed:  the guest's memory changed; see vhost_backend_get_mem()
 * @mem_map:      map a region in the program's own way, such as a Xen grant, into
 *                *@ret; @desc->iova is the guest address. -ENOTSUP has the region mapped
 *                from its file as usual
 * @mem_unmap:    undo that. It may come from vhost_vring_push(), and so in a ring's
 *                thread, when the last request goes that had the memory; it must not call the
 *                library
 * @send_rarp:    announce the guest with the address @mac, of 6 bytes, on the network
 * @set_mtu:      the guest's MTU in bytes
 * @create_crypto_session: @desc of @size bytes describes it, *@ret becomes its id. May be
 *                late: *@ret stays valid until the answer
 * @close_crypto_session: end it
 * @set_gpu_socket: the socket for the GPU protocol; @fd is the callee's
 * @get_shared_object: return the dma-buf of the object @uuid, of 16 bytes, as a
 *                descriptor that the library closes when it is sent; or a negative errno
 * Since: 0.1
 */
struct vhost_backend_ops {
	uint32_t device_id;
	uint32_t max_queues;
	uint32_t max_queue_size;
	uint32_t flags;
	uint64_t features;
	uint64_t features_off;
	uint64_t protocol_features;
	uint32_t config_size;
	uint32_t n_shmem_sizes;
	const uint64_t *shmem_sizes;
	uint64_t reserved;

	void (*connected)(vhost_backend_t *be, void *opaque);
	void (*disconnected)(vhost_backend_t *be, int status, void *opaque);
	int (*set_features)(vhost_backend_t *be, uint64_t features, void *opaque);
	void (*set_status)(vhost_backend_t *be, uint8_t status, void *opaque);
	void (*reset)(vhost_backend_t *be, void *opaque);

	void (*queue_start)(vhost_vring_t *vr, void *opaque);
	void (*queue_ready)(vhost_vring_t *vr, void *opaque);
	void (*queue_stop)(vhost_vring_t *vr, void *opaque);

	int (*get_config)(vhost_backend_t *be, uint32_t offset, void *buf, uint32_t size,
			  void *opaque);
	int (*set_config)(vhost_backend_t *be, uint32_t offset, const void *buf, uint32_t size,
			  uint32_t flags, void *opaque);

	int (*save_state)(vhost_backend_t *be, int fd, void *opaque);
	int (*load_state)(vhost_backend_t *be, int fd, void *opaque);

	void (*mem_changed)(vhost_backend_t *be, void *opaque);
	int (*mem_map)(vhost_backend_t *be, const struct vhost_mem_desc *desc, void **ret,
		       void *opaque);
	void (*mem_unmap)(vhost_backend_t *be, void *addr, uint64_t size, void *opaque);

	int (*send_rarp)(vhost_backend_t *be, const uint8_t *mac, void *opaque);
	int (*set_mtu)(vhost_backend_t *be, uint16_t mtu, void *opaque);
	int (*create_crypto_session)(vhost_backend_t *be, const void *desc, size_t size,
				     uint64_t *ret, void *opaque);
	int (*close_crypto_session)(vhost_backend_t *be, uint64_t id, void *opaque);
	int (*set_gpu_socket)(vhost_backend_t *be, int fd, void *opaque);
	int (*get_shared_object)(vhost_backend_t *be, const uint8_t *uuid, void *opaque);
};

/* -------------------------------------------------------------------- life */

/**
 * vhost_backend_new() - make a back-end
 * @ops:      what it is and does; copied
 * @ops_size: sizeof(*@ops)
 * @opaque:   what the callbacks get
 * @ret:      the back-end; to be released with vhost_backend_unref()
 *
 * Return: 0; -EINVAL for a number out of range or an unknown flag; -E2BIG for a table
 *         that this library is too old for; -ENOMEM; -EMFILE, -ENFILE.
 * Since: 0.1
 */
int vhost_backend_new(const struct vhost_backend_ops *ops, size_t ops_size, void *opaque,
		      vhost_backend_t **ret);

/**
 * vhost_backend_ref() - take a reference
 * @be: the back-end, or NULL
 *
 * Return: @be.
 * Since: 0.1
 */
vhost_backend_t *vhost_backend_ref(vhost_backend_t *be);

/**
 * vhost_backend_unref() - drop a reference; the last one ends it
 * @be: the back-end, or NULL
 *
 * The last one does what vhost_backend_close() does, without a callback, and then unmaps
 * the guest's memory: the buffers of requests that are in flight are no longer valid,
 * nor are the rings.
 *
 * Return: NULL.
 * Since: 0.1
 */
vhost_backend_t *vhost_backend_unref(vhost_backend_t *be);

/**
 * vhost_backend_listen() - be the socket's server
 * @be:   the back-end
 * @path: of the socket; if it starts with @, a name in the abstract namespace
 *
 * One front-end is served at a time, others wait for their turn in the socket's queue.
 * A socket that nobody listens on any more is replaced. The socket is removed when the
 * back-end is closed. A front-end that cannot be accepted for want of descriptors is tried
 * again whenever vhost_backend_process() is called, and when another one comes.
 *
 * Return: 0; -EADDRINUSE if somebody listens there, or a file is there that is no socket;
 *         -EALREADY if the back-end has a socket; -ENAMETOOLONG; or an errno of
 *         socket(2), bind(2), listen(2).
 * Since: 0.1
 */
int vhost_backend_listen(vhost_backend_t *be, const char *path);

/**
 * vhost_backend_listen_fd() - be the server of a socket that listens already
 * @be: the back-end
 * @fd: borrowed; from a service manager, for instance
 *
 * Return: 0; -EBADF; -ENOTSOCK; -EINVAL if it is not a listening Unix stream socket;
 *         -EALREADY; -EMFILE.
 * Since: 0.1
 */
int vhost_backend_listen_fd(vhost_backend_t *be, int fd);

/**
 * vhost_backend_connect() - be the socket's client
 * @be:   the back-end
 * @path: as for vhost_backend_listen()
 *
 * After the disconnected callback it can be called again.
 *
 * Return: 0; -ECONNREFUSED or -ENOENT if no front-end listens; -EAGAIN if too many wait
 *         for it; -EALREADY; -ENAMETOOLONG; or an errno of socket(2), connect(2).
 * Since: 0.1
 */
int vhost_backend_connect(vhost_backend_t *be, const char *path);

/**
 * vhost_backend_attach_fd() - serve a front-end on a connected socket
 * @be: the back-end
 * @fd: borrowed; from accept(2) or socketpair(2), for instance
 *
 * Return: 0; -EBADF; -ENOTSOCK; -EINVAL if it is not a connected Unix stream socket;
 *         -EALREADY; -EMFILE.
 * Since: 0.1
 */
int vhost_backend_attach_fd(vhost_backend_t *be, int fd);

/**
 * vhost_backend_disconnect() - end the connection
 * @be: the back-end
 *
 * As if the front-end had gone: the rings stop, and the disconnected callback is called
 * with -ECANCELED before this returns. A listening back-end goes on to the next
 * front-end. Without a connection nothing happens.
 * Since: 0.1
 */
void vhost_backend_disconnect(vhost_backend_t *be);

/**
 * vhost_backend_close() - end the connection, and stop to listen
 * @be: the back-end
 *
 * vhost_backend_process() then returns -ENOTCONN.
 * Since: 0.1
 */
void vhost_backend_close(vhost_backend_t *be);

/**
 * vhost_backend_get_fd() - what to poll
 * @be: the back-end
 *
 * Return: a descriptor that is readable (POLLIN) when vhost_backend_process() has work;
 *         the same for the whole life of @be, and borrowed. Never a negative value.
 * Since: 0.1
 */
int vhost_backend_get_fd(const vhost_backend_t *be);

/**
 * vhost_backend_process() - do what there is to do
 * @be: the back-end
 *
 * Accepts a front-end, answers its messages, and calls back. Never blocks; does a bounded
 * amount of work, so that a program with many back-ends is fair to all of them.
 *
 * Return: 0; -ENOTCONN when there is neither a connection nor a socket to accept one
 *         from, so that nothing can come any more.
 * Since: 0.1
 */
int vhost_backend_process(vhost_backend_t *be);

/**
 * vhost_backend_answer() - answer what a callback was late with
 * @be:     the back-end
 * @status: 0, or a negative errno to refuse
 *
 * Of a state transfer and another callback that are both late, this answers the latter;
 * vhost_backend_state_done() is for the former.
 *
 * Return: 0; -ENOENT if nothing is to be answered (any more: the connection may have
 *         ended).
 * Since: 0.1
 */
int vhost_backend_answer(vhost_backend_t *be, int status);

/**
 * vhost_backend_state_done() - a late save_state or load_state callback has finished
 * @be:     the back-end
 * @status: 0, or a negative errno
 *
 * Return: 0; -ENOENT if no transfer is under way (any more).
 * Since: 0.1
 */
int vhost_backend_state_done(vhost_backend_t *be, int status);

/* --------------------------------------------------------------- questions */

/**
 * vhost_backend_is_connected() - is a front-end there?
 * @be: the back-end
 *
 * Return: true from the connected to the disconnected callback.
 * Since: 0.1
 */
bool vhost_backend_is_connected(const vhost_backend_t *be);

/**
 * vhost_backend_get_vring() - a ring of the device
 * @be:    the back-end
 * @index: of the queue, below max_queues
 *
 * Return: the ring, the same for the whole life of @be; NULL if @index is too large.
 * Since: 0.1
 */
vhost_vring_t *vhost_backend_get_vring(const vhost_backend_t *be, unsigned int index);

/**
 * vhost_backend_get_features() - virtio features
 * @be:      the back-end
 * @offered: all that are offered; or NULL
 * @acked:   those that the driver accepted; or NULL
 * Since: 0.1
 */
void vhost_backend_get_features(const vhost_backend_t *be, uint64_t *offered, uint64_t *acked);

/**
 * vhost_backend_get_protocol_features() - vhost-user's own features
 * @be:      the back-end
 * @offered: all that are offered; or NULL
 * @acked:   those that the front-end accepted; or NULL
 * Since: 0.1
 */
void vhost_backend_get_protocol_features(const vhost_backend_t *be, uint64_t *offered,
					 uint64_t *acked);

/**
 * vhost_backend_get_status() - the device status
 * @be: the back-end
 *
 * Return: the status that the driver set, with DEVICE_NEEDS_RESET if the device set that.
 *         Front-ends without VHOST_USER_PF_STATUS leave it at 0.
 * Specification: VIRTIO 1.3, 2.1.
 * Since: 0.1
 */
uint8_t vhost_backend_get_status(const vhost_backend_t *be);

/**
 * vhost_backend_needs_reset() - the device has failed
 * @be: the back-end
 *
 * Sets DEVICE_NEEDS_RESET in the status, and tells the front-end by a change of the
 * configuration, where that can be.
 * Specification: VIRTIO 1.3, 2.1.2.
 * Since: 0.1
 */
void vhost_backend_needs_reset(vhost_backend_t *be);

/**
 * vhost_backend_set_config() - what the configuration space holds
 * @be:     the back-end
 * @offset: in bytes
 * @buf:    @size bytes
 * @size:   in bytes; @offset + @size is at most config_size
 *
 * At first it is all zeros. A front-end that is connected is told, if anything changed.
 *
 * Return: 0; -EINVAL for a range outside.
 * Specification: vhost-user, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG.
 * Since: 0.1
 */
int vhost_backend_set_config(vhost_backend_t *be, uint32_t offset, const void *buf,
			     uint32_t size);

/**
 * vhost_backend_config_changed() - tell the front-end to read the configuration anew
 * @be: the back-end
 *
 * For devices with a get_config callback.
 *
 * Return: 0; -ENOTCONN; -ENOTSUP if the front-end gave no channel for it.
 * Since: 0.1
 */
int vhost_backend_config_changed(vhost_backend_t *be);

/* ------------------------------------------------------------------ memory */

/**
 * vhost_backend_get_mem() - the guest's memory
 * @be:    the back-end
 * @index: of the region: 0, 1, 2 and so on until -ENOENT, by rising address
 * @ret:   where it is: @iova is the guest address, @addr where this process has it
 *         mapped, @fd the file (borrowed; -1 if it was mapped by mem_map)
 * @size:  sizeof(*@ret)
 *
 * Valid until the mem_changed callback has returned, which also comes when the
 * connection ends.
 *
 * Return: 0; -ENOENT.
 * Since: 0.1
 */
int vhost_backend_get_mem(const vhost_backend_t *be, unsigned int index,
			  struct vhost_mem_desc *ret, size_t size);

/**
 * vhost_backend_translate() - a guest address as a pointer
 * @be:      the back-end
 * @addr:    the guest's physical address, or an I/O virtual one if ACCESS_PLATFORM was
 *           negotiated
 * @perm:    VHOST_IOTLB_PERM_READ, _WRITE or both: what is to be done there
 * @ret:     the pointer
 * @ret_len: bytes that are valid from there on, at least 1
 *
 * Requests are translated already; this is for devices that get addresses in other ways.
 *
 * Return: 0; -EFAULT if nothing is there; -EACCES for a permission that is missing;
 *         -EAGAIN if the translation was asked for: try again after a queue_ready
 *         callback.
 * Since: 0.1
 */
int vhost_backend_translate(vhost_backend_t *be, uint64_t addr, uint32_t perm, void **ret,
			    uint64_t *ret_len);

/**
 * vhost_backend_mark_dirty() - memory was written that no request is of
 * @be:   the back-end
 * @addr: from vhost_backend_translate()
 * @len:  in bytes
 *
 * Marks it in the dirty log, if there is one.
 * Since: 0.1
 */
void vhost_backend_mark_dirty(vhost_backend_t *be, const void *addr, uint64_t len);

/**
 * vhost_backend_handle_sigbus() - contain the fault of a guest's memory file cut short
 * @addr: the fault's address, siginfo_t.si_addr
 *
 * A front-end may truncate a file that it shared, and whoever touches what is gone gets
 * SIGBUS. A program that must survive this installs a handler of its own
 * that calls this function, which may be called in a signal handler. It puts empty memory
 * there, and the rings that use the region break at their next call. The other way is
 * VHOST_BACKEND_SEALED_MEM.
 *
 * Return: 1 if it was memory of a guest's: return from the handler; 0 if not.
 * Since: 0.1
 */
int vhost_backend_handle_sigbus(const void *addr);

/* ----------------------------------------------- requests to the front-end */

/**
 * typedef vhost_backend_done_fn - a request to the front-end was answered
 * @be:     the back-end
 * @status: 0; -EREMOTEIO if it refused; -ENOTCONN if the connection ended before;
 *          -EALREADY if the front-end answers such requests never: it is taken as done
 * @fd:     a descriptor that came along, the callee's; else -1
 * @opaque: what was given with the request
 * Since: 0.1
 */
typedef void (*vhost_backend_done_fn)(vhost_backend_t *be, int status, int fd, void *opaque);

/**
 * vhost_backend_set_host_notifier() - a page by which the driver notifies directly
 * @be:     the back-end
 * @index:  of the queue
 * @fd:     the file of the page, borrowed; -1 takes the page back
 * @offset: in the file, in bytes
 * @size:   in bytes; front-ends want one page
 * @done:   called once; or NULL
 * @opaque: for @done
 *
 * Return: 0; -EINVAL; -ENOTCONN; -ENOTSUP if the front-end cannot; -ENOBUFS if too many
 *         requests wait for their answers.
 * Specification: vhost-user, VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG.
 * Since: 0.1
 */
int vhost_backend_set_host_notifier(vhost_backend_t *be, unsigned int index, int fd,
				    uint64_t offset, uint64_t size, vhost_backend_done_fn done,
				    void *opaque);

/**
 * vhost_backend_add_shared_object() - export an object to other devices
 * @be:     the back-end, with a get_shared_object callback
 * @uuid:   16 bytes
 * @done:   called once; or NULL
 * @opaque: for @done
 *
 * Return: as vhost_backend_set_host_notifier().
 * Specification: vhost-user, VHOST_USER_BACKEND_SHARED_OBJECT_ADD.
 * Since: 0.1
 */
int vhost_backend_add_shared_object(vhost_backend_t *be, const uint8_t *uuid,
				    vhost_backend_done_fn done, void *opaque);

/**
 * vhost_backend_remove_shared_object() - withdraw it
 * @be:     the back-end
 * @uuid:   16 bytes
 * @done:   called once; or NULL
 * @opaque: for @done
 *
 * Return: as vhost_backend_set_host_notifier().
 * Specification: vhost-user, VHOST_USER_BACKEND_SHARED_OBJECT_REMOVE.
 * Since: 0.1
 */
int vhost_backend_remove_shared_object(vhost_backend_t *be, const uint8_t *uuid,
				       vhost_backend_done_fn done, void *opaque);

/**
 * vhost_backend_lookup_shared_object() - get another device's object
 * @be:     the back-end
 * @uuid:   16 bytes
 * @done:   called once, with the dma-buf; not NULL
 * @opaque: for @done
 *
 * Return: as vhost_backend_set_host_notifier().
 * Specification: vhost-user, VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP.
 * Since: 0.1
 */
int vhost_backend_lookup_shared_object(vhost_backend_t *be, const uint8_t *uuid,
				       vhost_backend_done_fn done, void *opaque);

/**
 * vhost_backend_shmem_map() - map a file into a shared memory region of the device
 * @be:        the back-end
 * @id:        of the region, below n_shmem_sizes
 * @offset:    in the region, in bytes
 * @size:      in bytes
 * @fd:        the file, borrowed
 * @fd_offset: in the file, in bytes
 * @writable:  1 if the guest may write there, else 0
 * @done:      called once; or NULL
 * @opaque:    for @done
 *
 * Return: as vhost_backend_set_host_notifier(); -EEXIST if something is mapped there.
 * Specification: vhost-user, VHOST_USER_BACKEND_SHMEM_MAP.
 * Since: 0.1
 */
int vhost_backend_shmem_map(vhost_backend_t *be, unsigned int id, uint64_t offset, uint64_t size,
			    int fd, uint64_t fd_offset, int writable,
			    vhost_backend_done_fn done, void *opaque);

/**
 * vhost_backend_shmem_unmap() - undo a mapping
 * @be:     the back-end
 * @id:     of the region
 * @offset: of the mapping, in bytes
 * @size:   of it in bytes
 * @done:   called once; or NULL
 * @opaque: for @done
 *
 * Return: as vhost_backend_set_host_notifier(); -ENOENT if that is no mapping.
 * Specification: vhost-user, VHOST_USER_BACKEND_SHMEM_UNMAP.
 * Since: 0.1
 */
int vhost_backend_shmem_unmap(vhost_backend_t *be, unsigned int id, uint64_t offset,
			      uint64_t size, vhost_backend_done_fn done, void *opaque);

/* ------------------------------------------------------------ seeing, errors */

/**
 * vhost_backend_set_log() - change the log hook
 * @be:     the back-end
 * @log:    or NULL
 * @opaque: what it gets
 *
 * LIBVHOST_LOG and LIBVHOST_TRACE in the environment work as for devices
 * (<vhost/trace.h>).
 * Since: 0.1
 */
void vhost_backend_set_log(vhost_backend_t *be, vhost_log_fn log, void *opaque);

/**
 * vhost_backend_set_trace() - change the trace hook
 * @be:     the back-end
 * @trace:  or NULL
 * @opaque: what it gets
 * Since: 0.1
 */
void vhost_backend_set_trace(vhost_backend_t *be, vhost_trace_fn trace, void *opaque);

/**
 * vhost_backend_error() - what went wrong
 * @be: the back-end
 *
 * Return: a sentence about the last call that failed, the last message that was refused,
 *         or how the connection ended; "" if nothing did. The back-end's; valid until
 *         the next call.
 * Since: 0.1
 */
const char *vhost_backend_error(const vhost_backend_t *be);

#ifdef __cplusplus
}
#endif

#endif
