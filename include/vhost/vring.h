/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/**
 * DOC: a virtqueue, from the device's side
 *
 * A back-end has one vhost_vring_t for each of its queues, from vhost_backend_new()
 * to the end of the back-end, whether the front-end uses the queue or not. A device
 * takes requests with vhost_vring_pop(), does what they ask, in any order, gives
 * them back with vhost_vring_push(), and tells the driver with
 * vhost_vring_notify(): in bursts where it counts.
 *
 * Rings are split or packed (VIRTIO 1.3, 2.7 and 2.8), with indirect descriptors,
 * event suppression and IN_ORDER, as negotiated. What a driver writes is read once,
 * checked, and only then used; buffers come as addresses of this process, bounded by
 * the memory that they lie in. A driver that breaks the rules breaks its own ring
 * only: pop returns -EBADMSG from then on, the error eventfd is signalled, and
 * vhost_vring_error() says what was wrong, until the front-end starts the ring anew.
 *
 * A ring is used by the thread that calls vhost_backend_process(). With
 * VHOST_BACKEND_THREADS each ring may be used by one thread of its own instead.
 */
#ifndef VHOST_VRING_H
#define VHOST_VRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/** typedef vhost_backend_t - a device that is served; see <vhost/backend.h> */
typedef struct vhost_backend vhost_backend_t;

/** typedef vhost_vring_t - device's side of a virtqueue; opaque, the back-end's */
typedef struct vhost_vring vhost_vring_t;

/**
 * struct vhost_req - a request of the driver
 * @iov:     @out buffers that the device reads, then @in that it writes. A buffer that
 *           lies in two regions of memory comes as two. They stay valid until the
 *           request is pushed, also when the ring is stopped or the connection ends
 *           in the meantime; the library's to keep, the caller's to change
 * @out:     how many are readable
 * @in:      how many are writable
 * @out_len: bytes in the readable ones; the whole chain has less than 4 GiB
 * @in_len:  bytes in the writable ones
 * @written: 0 from vhost_vring_pop(); for vhost_vring_push() the number of bytes that
 *           were written, from the first writable one on (VIRTIO 1.3, 2.7.8.2)
 * @id:      the library's: not to be changed
 * @run:     the library's: not to be changed
 *
 * The driver can change what is in the buffers at any time: what is checked must be
 * copied first (vhost_req_read()). Does not grow: it is passed in arrays.
 * Since: 0.1
 */
struct vhost_req {
	struct iovec *iov;
	uint32_t out;
	uint32_t in;
	uint32_t out_len;
	uint32_t in_len;
	uint32_t written;
	uint32_t id;
	uint64_t run;
};

/**
 * vhost_vring_pop() - take requests
 * @vr:   the ring
 * @reqs: room for @n requests
 * @n:    how many at most; bursts cost less than single ones
 *
 * A result of fewer than @n means that the driver will notify of the next request, if
 * notifications are on, or that the ring is not to be used now (stopped, disabled, or
 * waiting for a translation): the queue_ready callback comes when there is more. A
 * ring that is served from that callback also returns fewer than @n once it had more
 * than its share; the callback then comes again without a notification.
 *
 * After a back-end was killed and started again, requests that it had in flight come
 * first, where the front-end kept the record (VHOST_USER_PF_INFLIGHT_SHMFD).
 *
 * Return: how many were written to @reqs; -EBADMSG once the driver broke the ring;
 *         -ENOMEM if a request of many buffers finds no memory for their list, and
 *         stays in the ring.
 * Specification: VIRTIO 1.3, 2.7.14 and 2.8.21.
 * Since: 0.1
 */
int vhost_vring_pop(vhost_vring_t *vr, struct vhost_req *reqs, unsigned int n);

/**
 * vhost_vring_push() - give requests back to the driver
 * @vr:   the ring
 * @reqs: @n requests from vhost_vring_pop() of the same ring, with @written set
 * @n:    how many; they become visible to the driver together
 *
 * In any order, except that VIRTIO_F_IN_ORDER has them pushed in the order in which
 * they were popped. What was written is marked in the dirty log while there is one.
 * @written is cut to @in_len. The driver is not notified: see vhost_vring_notify().
 *
 * While a front-end waits for a ring that it stops, requests in flight are still given
 * back. One of an earlier run of the ring, or from before the connection ended, is dropped
 * without a word: the driver has forgotten it, or the record of what is in flight has it
 * done again.
 *
 * Return: 0; -EINVAL for a request that is not in flight, or one out of order with
 *         VIRTIO_F_IN_ORDER: those before it are pushed, it and those after are not;
 *         -EBADMSG once the driver broke the ring (the requests are released all the
 *         same).
 * Specification: VIRTIO 1.3, 2.7.8 and 2.8.21.
 * Since: 0.1
 */
int vhost_vring_push(vhost_vring_t *vr, const struct vhost_req *reqs, unsigned int n);

/**
 * vhost_vring_unpop() - put requests back into the ring
 * @vr:   the ring
 * @reqs: @n requests, the last that were popped, in the order in which they came
 * @n:    how many
 *
 * The next vhost_vring_pop() gives them again.
 *
 * Return: 0; -EINVAL if they are not the last that were popped, or some were pushed.
 *         Requests of an earlier run of the ring are dropped, as by vhost_vring_push().
 * Since: 0.1
 */
int vhost_vring_unpop(vhost_vring_t *vr, const struct vhost_req *reqs, unsigned int n);

/**
 * vhost_vring_notify() - notify the driver of what was pushed, if it wants that
 * @vr: the ring
 *
 * Never blocks, and makes one system call at most.
 *
 * Return: 1 if the driver was notified; 0 if it asked for no notification, nothing was
 *         pushed since, or there is no eventfd; -EBADMSG once the driver broke the
 *         ring.
 * Specification: VIRTIO 1.3, 2.7.7 and 2.8.10.
 * Since: 0.1
 */
int vhost_vring_notify(vhost_vring_t *vr);

/**
 * vhost_vring_set_notify() - ask the driver for notifications, or for none
 * @vr:     the ring
 * @enable: they are on at first, unless VHOST_BACKEND_POLL is set
 *
 * A hint: a driver may notify all the same. The setting outlasts a stop of the ring.
 *
 * Return: 1 if @enable and requests wait already, for which no notification may come:
 *         take them; else 0; -EBADMSG once the driver broke the ring.
 * Specification: VIRTIO 1.3, 2.7.10 and 2.8.10.
 * Since: 0.1
 */
int vhost_vring_set_notify(vhost_vring_t *vr, bool enable);

/**
 * vhost_vring_break() - the driver broke the rules of the device
 * @vr:  the ring
 * @why: a sentence, for vhost_vring_error() and the log
 *
 * For requests that cannot even be answered, such as one without room for the device's
 * answer (a device that can complete it does so instead). Calls on the ring return
 * -EBADMSG from here on, and the error eventfd is signalled.
 * Since: 0.1
 */
void vhost_vring_break(vhost_vring_t *vr, const char *why);

/**
 * vhost_vring_error() - what was wrong
 * @vr: the ring
 *
 * Return: a sentence about what broke the ring, or kept it from being started; "" if
 *         nothing did. The ring's; valid until the ring is started again.
 * Since: 0.1
 */
const char *vhost_vring_error(const vhost_vring_t *vr);

/**
 * vhost_vring_is_running() - may requests be taken?
 * @vr: the ring
 *
 * Return: true if the ring is started and enabled, and not broken.
 * Specification: vhost-user, "Ring states".
 * Since: 0.1
 */
bool vhost_vring_is_running(const vhost_vring_t *vr);

/**
 * vhost_vring_in_flight() - how many requests are with the device
 * @vr: the ring
 *
 * Return: requests of the current run of the ring that were popped and not yet pushed.
 * Since: 0.1
 */
unsigned int vhost_vring_in_flight(const vhost_vring_t *vr);

/**
 * vhost_vring_get_index() - which queue it is
 * @vr: the ring
 *
 * Return: the index, from 0.
 * Since: 0.1
 */
unsigned int vhost_vring_get_index(const vhost_vring_t *vr);

/**
 * vhost_vring_get_size() - how many descriptors it has
 * @vr: the ring
 *
 * Return: the size; 0 before the front-end has said it.
 * Since: 0.1
 */
unsigned int vhost_vring_get_size(const vhost_vring_t *vr);

/**
 * vhost_vring_get_fd() - the eventfd that the driver notifies with
 * @vr: the ring
 *
 * For programs with VHOST_BACKEND_THREADS: poll it for POLLIN, then read(2) 8 bytes, then
 * vhost_vring_pop(). Valid from the queue_start callback until the queue_stop callback
 * has returned. Others need not know it.
 *
 * Return: the descriptor, borrowed and non-blocking; -1 if the driver has none, and the
 *         ring is to be polled.
 * Since: 0.1
 */
int vhost_vring_get_fd(const vhost_vring_t *vr);

/**
 * vhost_vring_get_backend() - whose ring it is
 * @vr: the ring
 *
 * Return: the back-end; no reference.
 * Since: 0.1
 */
vhost_backend_t *vhost_vring_get_backend(const vhost_vring_t *vr);

/**
 * vhost_vring_set_opaque() - keep a pointer with the ring
 * @vr:     the ring
 * @opaque: the device's own, such as what it knows of this queue
 * Since: 0.1
 */
void vhost_vring_set_opaque(vhost_vring_t *vr, void *opaque);

/**
 * vhost_vring_get_opaque() - the pointer that was kept
 * @vr: the ring
 *
 * Return: what vhost_vring_set_opaque() was given last; NULL at first.
 * Since: 0.1
 */
void *vhost_vring_get_opaque(const vhost_vring_t *vr);

/**
 * vhost_req_read() - copy from the readable buffers
 * @req:    the request
 * @offset: where to start, in bytes from the first readable one on
 * @buf:    where to
 * @len:    bytes
 *
 * Return: how many bytes were copied: fewer than @len if there are no more.
 * Since: 0.1
 */
size_t vhost_req_read(const struct vhost_req *req, size_t offset, void *buf, size_t len);

/**
 * vhost_req_write() - copy to the writable buffers
 * @req:    the request
 * @offset: where to start, in bytes from the first writable one on
 * @buf:    where from
 * @len:    bytes
 *
 * @req->written is left alone.
 *
 * Return: how many bytes were copied: fewer than @len if there is no more room.
 * Since: 0.1
 */
size_t vhost_req_write(const struct vhost_req *req, size_t offset, const void *buf, size_t len);

#ifdef __cplusplus
}
#endif

#endif
