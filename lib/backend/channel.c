/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The back-end's own requests to the front-end, on a socket of their own. A request waits
 * here while the device is suspended or the socket full, is sent, and waits for its answer
 * where one will come; nobody waits for it. What goes wrong closes this socket only.
 */
#include "backend/backend.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include "backend/session.h"

#define MAX_REQUESTS 64u	/* of the program's, sent or not */
#define MAX_OWN 1280u		/* a call and an error of each ring, twice, and misses */
#define MAX_MISSES 256u
#define BUDGET 64u		/* answers that one call takes */

struct be_request {
	struct be_request *next;
	uint32_t request;
	uint32_t size;
	uint8_t payload[sizeof(struct vu_mmap)];
	int fd;				/* ours, until it is sent */
	bool own;			/* the library's */
	vhost_backend_done_fn done;
	void *opaque;
};

struct be_shmem {
	struct be_shmem *next;
	unsigned int id;
	uint64_t offset;
	uint64_t size;
};

/* --------------------------------------------------------------- shared memory */

static struct be_shmem **shmem_find(struct vhost_backend *be, unsigned int id, uint64_t offset,
				    uint64_t size)
{
	struct be_shmem **p;

	for (p = &be->shmem; *p; p = &(*p)->next)
		if ((*p)->id == id && (*p)->offset == offset && (*p)->size == size)
			break;
	return p;
}

static bool shmem_meets(const struct vhost_backend *be, unsigned int id, uint64_t offset,
			uint64_t size)
{
	const struct be_shmem *m;

	for (m = be->shmem; m; m = m->next)
		if (m->id == id && ranges_meet(m->offset, m->size, offset, size))
			return true;
	return false;
}

static int shmem_add(struct vhost_backend *be, unsigned int id, uint64_t offset, uint64_t size)
{
	struct be_shmem *m = malloc(sizeof(*m));

	if (!m)
		return -ENOMEM;
	*m = (struct be_shmem){ .next = be->shmem, .id = id, .offset = offset, .size = size };
	be->shmem = m;
	return 0;
}

static void shmem_remove(struct vhost_backend *be, unsigned int id, uint64_t offset,
			 uint64_t size)
{
	struct be_shmem **p = shmem_find(be, id, offset, size), *m = *p;

	if (m) {
		*p = m->next;
		free(m);
	}
}

void channel_forget_shmem(struct vhost_backend *be)
{
	struct be_shmem *m;

	while ((m = be->shmem)) {
		be->shmem = m->next;
		free(m);
	}
}

/* What the front-end refused, or was never asked, is not mapped, or still is. */
static void shmem_refused(struct vhost_backend *be, const struct be_request *q)
{
	struct vu_mmap w;

	if (q->request != VU_BACKEND_SHMEM_MAP && q->request != VU_BACKEND_SHMEM_UNMAP)
		return;
	memcpy(&w, q->payload, sizeof(w));
	if (q->request == VU_BACKEND_SHMEM_MAP)
		shmem_remove(be, w.shmid, w.shm_offset, w.len);
	else if (!shmem_meets(be, w.shmid, w.shm_offset, w.len) &&
		 shmem_add(be, w.shmid, w.shm_offset, w.len) < 0)
		be_log(be, VHOST_LOG_WARNING, "a shared memory mapping that the front-end keeps "
		       "was forgotten: there is no memory left");
}

/* ------------------------------------------------------------------- requests */

static void push(struct be_request **list, struct be_request *q)
{
	while (*list)
		list = &(*list)->next;
	q->next = NULL;
	*list = q;
}

static struct be_request *pop(struct be_request **list)
{
	struct be_request *q = *list;

	if (q)
		*list = q->next;
	return q;
}

static const char *name_of(uint32_t request)
{
	const struct vu_row *row = vu_row(VU_BACKEND, request);

	return row ? row->name : "?";
}

static bool same(const struct be_request *q, uint32_t request, const void *payload, uint32_t size)
{
	return q->own && q->request == request && q->size == size &&
	       (!size || !memcmp(q->payload, payload, size));
}

static bool has_same(const struct be_request *list, uint32_t request, const void *payload,
		     uint32_t size)
{
	for (; list; list = list->next)
		if (same(list, request, payload, size))
			return true;
	return false;
}

/* It is over. Who asked is told, and takes the descriptor. */
static void finish(struct vhost_backend *be, struct be_request *q, int status, int fd)
{
	vhost_backend_done_fn done = q->done;
	void *opaque = q->opaque;

	if (q->own)
		be->n_own--;
	else
		be->n_requests--;
	close_fd(&q->fd);
	free(q);
	/* without a reference there is nobody left to be told */
	if (!done || !be->refs) {
		close_fd(&fd);
		return;
	}
	be_enter(be);
	done(be, status, fd, opaque);
	be->in_call--;
}

static void watch(struct vhost_backend *be)
{
	bool out = vu_chan_wants_out(be->channel);

	if (out == be->channel_out)
		return;
	be->channel_out = out;
	be_poll(be, be->channel->fd, EPOLLIN | (out ? EPOLLOUT : 0), BE_CHANNEL, 0);
}

/* Will it be answered? "need_reply" makes it so, where that was negotiated. */
static bool is_answered(const struct vhost_backend *be, const struct be_request *q,
			uint32_t *flags)
{
	if (vu_backend_rows[q->request].reply == VU_REPLY_ALWAYS)
		return true;
	/*
	 * A front-end that asks for the new configuration before it answers, and a back-end
	 * that waits for the answer, would wait for each other: nobody asks for one.
	 */
	if (!(be->acked_pf & PF(REPLY_ACK)) || q->request == VU_BACKEND_CONFIG_CHANGE_MSG)
		return false;
	*flags |= VU_NEED_REPLY;
	return true;
}

/* False if nothing more can be sent for now. */
static bool send_one(struct vhost_backend *be, struct be_request **at)
{
	struct be_request *q = *at;
	struct vu_header hdr = { .request = q->request, .flags = VU_VERSION, .size = q->size };
	bool answered = is_answered(be, q, &hdr.flags);
	int r = vu_chan_send(be->channel, &hdr, q->payload, &q->fd, q->fd >= 0 ? 1 : 0, false);

	if (r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -ENOBUFS)
		return false;
	if (r < 0) {
		be->channel_broken = true;
		be_wake(be);
		return false;
	}
	close_fd(&q->fd);
	*at = q->next;
	if (answered) {
		push(&be->requests, q);
	} else if (!q->done) {
		finish(be, q, 0, -1);
	} else {
		/* taken as done; told from channel_process(), as all others are */
		push(&be->taken, q);
		be_wake(be);
	}
	return true;
}

void channel_flush(struct vhost_backend *be)
{
	struct be_request **at = &be->waiting;

	/* A suspended device must "not send any messages to the front-end". */
	if (!*at || !be->channel || be->channel_broken || session_is_suspended(be))
		return;
	while (*at && !vu_chan_wants_out(be->channel)) {
		/* the answer to the last one of its kind is to come first */
		if ((*at)->own &&
		    has_same(be->requests, (*at)->request, (*at)->payload, (*at)->size)) {
			at = &(*at)->next;
			continue;
		}
		if (!send_one(be, at))
			break;
	}
	if (!be->channel_broken)
		watch(be);
}

/* Takes the descriptor. */
static int submit(struct vhost_backend *be, uint32_t request, const void *payload, uint32_t size,
		  int fd, bool own, vhost_backend_done_fn done, void *opaque)
{
	struct be_request *q = calloc(1, sizeof(*q));

	if (!q) {
		close_fd(&fd);
		return -ENOMEM;
	}
	q->request = request;
	q->size = size;
	q->fd = fd;
	q->own = own;
	q->done = done;
	q->opaque = opaque;
	if (size)
		memcpy(q->payload, payload, size);
	if (own)
		be->n_own++;
	else
		be->n_requests++;
	push(&be->waiting, q);
	channel_flush(be);
	return 0;
}

/* ------------------------------------------------------------------- the socket */

static void drop(struct vhost_backend *be, struct vu_chan *c)
{
	be_unpoll(be, c->fd);
	vu_chan_close(c);
	free(c);
}

int channel_open(struct vhost_backend *be, int fd)
{
	_cleanup_close_ int own = fd;
	struct vu_chan *c = malloc(sizeof(*c));
	uint64_t session = be->session;
	int r;

	if (!c)
		return -ENOMEM;
	r = be_poll(be, fd, EPOLLIN, BE_CHANNEL, 0);
	if (r < 0) {
		free(c);
		return r;
	}
	vu_chan_init(c, VU_BACKEND);
	vu_chan_open(c, TAKE_FD(own));
	be_trace(be, c);
	/* What was asked on the old one is not answered any more. */
	channel_close(be, -ENOTCONN);
	if (be->session != session) {
		drop(be, c);
		return 0;
	}
	be->channel = c;
	vr_channel_changed(be);
	return 0;
}

void channel_close(struct vhost_backend *be, int status)
{
	struct vu_chan *c = TAKE_PTR(be->channel);
	struct be_request *sent = TAKE_PTR(be->requests), *waiting = TAKE_PTR(be->waiting);
	struct be_request *taken = TAKE_PTR(be->taken), *q;

	if (c)
		drop(be, c);
	be->channel_broken = be->channel_out = false;
	while ((q = pop(&taken)))
		finish(be, q, -EALREADY, -1);
	while ((q = pop(&sent)))
		finish(be, q, status, -1);
	while ((q = pop(&waiting))) {
		shmem_refused(be, q);
		finish(be, q, status, -1);
	}
}

static void broken(struct vhost_backend *be, int level, const char *why)
{
	be_log(be, level, "the channel to the front-end was closed: %s", why);
	channel_close(be, -ENOTCONN);
}

static const char *verdict_of(struct vhost_backend *be, const struct vu_msg *msg)
{
	const struct be_request *q = be->requests;
	enum vu_expect expect;
	enum vu_verdict verdict;

	if (!q)
		return "an answer came that nobody waits for";
	expect = vu_backend_rows[q->request].reply == VU_REPLY_ALWAYS ? VU_EXPECT_ROW :
									VU_EXPECT_ACK;
	verdict = vu_check_reply(VU_BACKEND, q->request, expect, msg, be->acked_pf);
	return verdict == VU_OK ? NULL : vu_verdict_text(verdict);
}

/* The answer to the oldest request that has one. */
static void take_answer(struct vhost_backend *be, const struct vu_msg *msg)
{
	const char *why = verdict_of(be, msg);
	struct be_request *q;
	int fd = -1, status;
	uint64_t value;

	if (why) {
		broken(be, VHOST_LOG_WARNING, why);
		return;
	}
	q = pop(&be->requests);
	memcpy(&value, msg->payload, sizeof(value));
	status = value ? -EREMOTEIO : 0;
	if (q->request == VU_BACKEND_SHARED_OBJECT_LOOKUP && !status) {
		if (msg->n_fds)
			fd = TAKE_FD(msg->fds[0]);
		else
			status = -EREMOTEIO;
	}
	if (status < 0) {
		be_log(be, VHOST_LOG_WARNING, "the front-end refused %s (it answered %llu)",
		       name_of(q->request), (unsigned long long)value);
		shmem_refused(be, q);
	}
	finish(be, q, status, fd);
}

/* False if the channel is no longer the same, or has nothing more. */
static bool receive_one(struct vhost_backend *be)
{
	struct vu_chan *c = be->channel;
	uint64_t session = be->session;
	const char *why = "nothing more can be received";
	struct vu_msg msg;
	int r = vu_chan_recv(c, &msg, &why);

	if (r == -EAGAIN)
		return false;
	if (r < 0) {
		if (r == -ECONNRESET)
			broken(be, VHOST_LOG_INFO, "the front-end closed it");
		else
			broken(be, VHOST_LOG_WARNING, why);
		return false;
	}
	take_answer(be, &msg);
	return be->session == session && be->channel == c;
}

void channel_process(struct vhost_backend *be, uint32_t events)
{
	uint64_t session = be->session;
	unsigned int budget = BUDGET;
	struct be_request *q;

	while (be->session == session && (q = pop(&be->taken)))
		finish(be, q, -EALREADY, -1);
	if (be->session != session || !be->channel)
		return;
	if (be->channel_broken) {
		broken(be, VHOST_LOG_WARNING, "nothing more can be sent");
		return;
	}
	if (vu_chan_wants_out(be->channel)) {
		int r = vu_chan_flush(be->channel);

		if (r < 0 && r != -EAGAIN) {
			broken(be, VHOST_LOG_WARNING, "nothing more can be sent");
			return;
		}
		watch(be);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) || vu_chan_has_msg(be->channel)) {
		while (budget && receive_one(be))
			budget--;
		if (be->session != session || !be->channel)
			return;
		if (vu_chan_has_msg(be->channel))
			be_wake(be);
	}
	channel_flush(be);
}

/* --------------------------------------------------------- the library's requests */

/* Once is enough for what waits to be sent. */
static int submit_own(struct vhost_backend *be, uint32_t request, const void *payload,
		      uint32_t size)
{
	if (has_same(be->waiting, request, payload, size))
		return 0;
	if (be->n_own >= MAX_OWN)
		return -ENOBUFS;
	return submit(be, request, payload, size, -1, true, NULL, NULL);
}

int channel_iotlb_miss(struct vhost_backend *be, uint64_t iova, uint32_t perm)
{
	struct vu_iotlb w;
	const struct be_request *q;
	unsigned int n = 0;

	if (!be->channel || !(be->acked_pf & PF(BACKEND_REQ)))
		return -ENOTSUP;
	memset(&w, 0, sizeof(w));
	w.iova = iova;
	w.perm = (uint8_t)perm;
	w.type = VU_IOTLB_MISS;
	if (has_same(be->requests, VU_BACKEND_IOTLB_MSG, &w, sizeof(w)))
		return 0;
	for (q = be->requests; q; q = q->next)
		n += q->request == VU_BACKEND_IOTLB_MSG;
	for (q = be->waiting; q; q = q->next)
		n += q->request == VU_BACKEND_IOTLB_MSG;
	if (n >= MAX_MISSES)
		return -ENOBUFS;
	return submit_own(be, VU_BACKEND_IOTLB_MSG, &w, sizeof(w));
}

int channel_vring_call(struct vhost_backend *be, unsigned int index, bool error)
{
	const struct vu_vring_state w = { .index = index };

	if (!be->channel || !(be->acked_pf & PF(INBAND_NOTIFICATIONS)))
		return -ENOTSUP;
	return submit_own(be, error ? VU_BACKEND_VRING_ERR : VU_BACKEND_VRING_CALL, &w, sizeof(w));
}

int channel_config_changed(struct vhost_backend *be)
{
	if (!be->channel || !(be->acked_pf & PF(CONFIG)))
		return -ENOTSUP;
	return submit_own(be, VU_BACKEND_CONFIG_CHANGE_MSG, NULL, 0);
}

/* ---------------------------------------------------------- the program's requests */

/* Can the front-end be asked what needs @features? */
static int check(struct vhost_backend *be, uint32_t request, uint64_t features)
{
	if (be->main.fd < 0)
		return be_fail(be, -ENOTCONN, "%s: there is no front-end", name_of(request));
	if (!be->channel || features & ~be->acked_pf)
		return be_fail(be, -ENOTSUP, "%s: the front-end %s", name_of(request),
			       be->channel ? "did not accept the protocol feature for it" :
			       "gave no channel for the back-end's requests");
	if (be->n_requests >= MAX_REQUESTS)
		return be_fail(be, -ENOBUFS, "%s: %u requests wait for their answers already",
			       name_of(request), MAX_REQUESTS);
	return 0;
}

static int ask(struct vhost_backend *be, uint32_t request, const void *payload, uint32_t size,
	       int fd, vhost_backend_done_fn done, void *opaque)
{
	int own = -1, r;

	if (fd >= 0) {
		own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (own < 0)
			return be_fail(be, errno == EBADF ? -EINVAL : -errno,
				       "%s: descriptor %d: %s", name_of(request), fd,
				       strerror(errno));
	}
	r = submit(be, request, payload, size, own, false, done, opaque);
	return r < 0 ? be_fail(be, r, "%s: %s", name_of(request), strerror(-r)) : 0;
}

VHOST_EXPORT int vhost_backend_set_host_notifier(vhost_backend_t *be, unsigned int index, int fd,
						 uint64_t offset, uint64_t size,
						 vhost_backend_done_fn done, void *opaque)
{
	const uint32_t request = VU_BACKEND_VRING_HOST_NOTIFIER_MSG;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end;
	struct vu_vring_area w = { .index = index };
	int r = check(be, request, PF(BACKEND_REQ) | PF(HOST_NOTIFIER) |
				   (fd >= 0 ? PF(BACKEND_SEND_FD) : 0));

	if (r < 0)
		return r;
	if (index >= be->ops.max_queues)
		return be_fail(be, -EINVAL, "%s: there is no ring %u: the device has %u",
			       name_of(request), index, be->ops.max_queues);
	if (fd < 0) {
		w.index |= VU_VRING_NOFD;
	} else {
		if (!size || size % page || offset % page || !range_end(offset, size, &end))
			return be_fail(be, -EINVAL, "%s: 0x%llx bytes at 0x%llx are not whole "
				       "pages", name_of(request), (unsigned long long)size,
				       (unsigned long long)offset);
		w.size = size;
		w.offset = offset;
	}
	return ask(be, request, &w, sizeof(w), fd, done, opaque);
}

static int ask_object(struct vhost_backend *be, uint32_t request, const uint8_t *uuid,
		      vhost_backend_done_fn done, void *opaque)
{
	int r = check(be, request, PF(BACKEND_REQ) | PF(SHARED_OBJECT));

	return r < 0 ? r : ask(be, request, uuid, sizeof(struct vu_uuid), -1, done, opaque);
}

VHOST_EXPORT int vhost_backend_add_shared_object(vhost_backend_t *be, const uint8_t *uuid,
						 vhost_backend_done_fn done, void *opaque)
{
	return ask_object(be, VU_BACKEND_SHARED_OBJECT_ADD, uuid, done, opaque);
}

VHOST_EXPORT int vhost_backend_remove_shared_object(vhost_backend_t *be, const uint8_t *uuid,
						    vhost_backend_done_fn done, void *opaque)
{
	return ask_object(be, VU_BACKEND_SHARED_OBJECT_REMOVE, uuid, done, opaque);
}

VHOST_EXPORT int vhost_backend_lookup_shared_object(vhost_backend_t *be, const uint8_t *uuid,
						    vhost_backend_done_fn done, void *opaque)
{
	if (!done)
		return be_fail(be, -EINVAL, "%s: without a callback nobody gets the object",
			       name_of(VU_BACKEND_SHARED_OBJECT_LOOKUP));
	return ask_object(be, VU_BACKEND_SHARED_OBJECT_LOOKUP, uuid, done, opaque);
}

static int shmem_range(struct vhost_backend *be, uint32_t request, unsigned int id,
		       uint64_t offset, uint64_t size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (id >= be->ops.n_shmem_sizes || id >= VU_MAX_SHMEM_REGIONS || !size || size % page ||
	    offset % page || !range_within(offset, size, be->shmem_sizes[id]))
		return be_fail(be, -EINVAL, "%s: 0x%llx bytes at 0x%llx are not whole pages of the "
			       "shared memory region %u", name_of(request),
			       (unsigned long long)size, (unsigned long long)offset, id);
	return 0;
}

VHOST_EXPORT int vhost_backend_shmem_map(vhost_backend_t *be, unsigned int id, uint64_t offset,
					 uint64_t size, int fd, uint64_t fd_offset, int writable,
					 vhost_backend_done_fn done, void *opaque)
{
	const uint32_t request = VU_BACKEND_SHMEM_MAP;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end;
	struct vu_mmap w;
	int r = check(be, request, PF(BACKEND_REQ) | PF(BACKEND_SEND_FD) | PF(SHMEM));

	if (!r)
		r = shmem_range(be, request, id, offset, size);
	if (r < 0)
		return r;
	if (fd < 0 || fd_offset % page || !range_end(fd_offset, size, &end))
		return be_fail(be, -EINVAL, "%s: descriptor %d at 0x%llx cannot be mapped",
			       name_of(request), fd, (unsigned long long)fd_offset);
	/* "MAP over an existing mapping fails" */
	if (shmem_meets(be, id, offset, size))
		return be_fail(be, -EEXIST, "%s: something is mapped in the 0x%llx bytes at 0x%llx "
			       "of the region %u", name_of(request), (unsigned long long)size,
			       (unsigned long long)offset, id);
	r = shmem_add(be, id, offset, size);
	if (r < 0)
		return be_fail(be, r, "%s: there is no memory left", name_of(request));
	memset(&w, 0, sizeof(w));
	w.shmid = (uint8_t)id;
	w.fd_offset = fd_offset;
	w.shm_offset = offset;
	w.len = size;
	w.flags = writable ? VU_MMAP_WRITABLE : 0;
	r = ask(be, request, &w, sizeof(w), fd, done, opaque);
	if (r < 0)
		shmem_remove(be, id, offset, size);
	return r;
}

VHOST_EXPORT int vhost_backend_shmem_unmap(vhost_backend_t *be, unsigned int id, uint64_t offset,
					   uint64_t size, vhost_backend_done_fn done, void *opaque)
{
	const uint32_t request = VU_BACKEND_SHMEM_UNMAP;
	struct vu_mmap w;
	int r = check(be, request, PF(BACKEND_REQ) | PF(SHMEM));

	if (!r)
		r = shmem_range(be, request, id, offset, size);
	if (r < 0)
		return r;
	/* "UNMAP must match a mapping exactly" */
	if (!*shmem_find(be, id, offset, size))
		return be_fail(be, -ENOENT, "%s: the 0x%llx bytes at 0x%llx of the region %u are "
			       "no mapping", name_of(request), (unsigned long long)size,
			       (unsigned long long)offset, id);
	memset(&w, 0, sizeof(w));
	w.shmid = (uint8_t)id;
	w.shm_offset = offset;
	w.len = size;
	r = ask(be, request, &w, sizeof(w), -1, done, opaque);
	if (r == 0)
		shmem_remove(be, id, offset, size);
	return r;
}
