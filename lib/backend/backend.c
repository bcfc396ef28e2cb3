/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The life of a back-end, its sockets, and what it waits for. Whatever calls back stands
 * between be_enter() and be_leave(): a callback may end the connection, or drop the last
 * reference, and nothing here trusts what it knew before one.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "backend/backend.h"
#include "device.h"
#include "proto/vu-sock.h"
#include "trace.h"

#define EVENTS 16		/* that one call of process() takes */
#define MESSAGES_IN_A_ROW 64u	/* before other sources are looked at */
#define ACCEPT_TRIES 8		/* front-ends that went before they were accepted */

/* -------------------------------------------------------------- hooks, errors */

static _printf_(3, 0) void be_vsay(struct vhost_backend *be, int level, const char *fmt,
				    va_list ap)
{
	char text[sizeof(be->error)];

	/* by way of a copy: an argument may be the sentence that stands there */
	vsnprintf(text, sizeof(text), fmt, ap);
	memcpy(be->error, text, sizeof(text));
	if (be->log_hook)
		be->log_hook(level, be->error, be->log_opaque);
}

static void be_say(struct vhost_backend *be, int level, const char *fmt, ...) _printf_(3, 4);
static void be_say(struct vhost_backend *be, int level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	be_vsay(be, level, fmt, ap);
	va_end(ap);
}

int be_fail(struct vhost_backend *be, int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	be_vsay(be, VHOST_LOG_ERROR, fmt, ap);
	va_end(ap);
	return call_fail(r, error_kind_of(r), "%s", be->error);
}

void be_log(struct vhost_backend *be, int level, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (!be->log_hook)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	be->log_hook(level, text, be->log_opaque);
}

static void trace(void *opaque, bool received, enum vu_direction dir, const struct vu_header *hdr,
		  const void *payload, const int *fds, unsigned int n_fds)
{
	struct vhost_backend *be = opaque;

	trace_message(be->trace_hook, be->trace_opaque, received, dir, hdr, payload, fds, n_fds);
}

void be_trace(struct vhost_backend *be, struct vu_chan *c)
{
	c->trace = be->trace_hook ? trace : NULL;
	c->trace_opaque = be;
}

VHOST_EXPORT void vhost_backend_set_log(vhost_backend_t *be, vhost_log_fn log, void *opaque)
{
	be->log_hook = log;
	be->log_opaque = opaque;
}

VHOST_EXPORT void vhost_backend_set_trace(vhost_backend_t *be, vhost_trace_fn trace_fn,
					  void *opaque)
{
	be->trace_hook = trace_fn;
	be->trace_opaque = opaque;
	be_trace(be, &be->main);
	if (be->channel)
		be_trace(be, be->channel);
}

VHOST_EXPORT const char *vhost_backend_error(const vhost_backend_t *be)
{
	return be->error;
}

/* -------------------------------------------------------- what is waited for */

int be_poll(struct vhost_backend *be, int fd, uint32_t events, enum be_source source,
	    unsigned int index)
{
	struct epoll_event ev = { .events = events, .data.u64 = (uint64_t)source << 32 | index };

	if (epoll_ctl(be->epoll_fd, EPOLL_CTL_MOD, fd, &ev) == 0 ||
	    (errno == ENOENT && epoll_ctl(be->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0))
		return 0;
	return -errno;
}

void be_unpoll(struct vhost_backend *be, int fd)
{
	/* by name: a descriptor of somebody else's may keep the file open */
	if (fd >= 0)
		epoll_ctl(be->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

void be_wake(struct vhost_backend *be)
{
	static const uint64_t one = 1;

	/* Whoever finds it written to already is seen by the one who reads it. */
	if (__atomic_exchange_n(&be->woken, true, __ATOMIC_ACQ_REL))
		return;
	/* never full: it is written to once before it is read */
	if (write(be->wake_fd, &one, sizeof(one)) < 0)
		__atomic_store_n(&be->woken, false, __ATOMIC_RELEASE);
}

static void take_wake(struct vhost_backend *be)
{
	uint64_t count;

	/* Read first: who comes between the two is seen by what follows. */
	if (read(be->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		be_log(be, VHOST_LOG_WARNING, "the wake-up call: %s", strerror(errno));
	(void)__atomic_exchange_n(&be->woken, false, __ATOMIC_ACQ_REL);
}

static inline bool wants_out(const struct vhost_backend *be)
{
	return unlikely(be->main.out_head != NULL) && vu_chan_wants_out(&be->main);
}

/* A message that is answered late, or output that waits: those that follow wait, too. */
static inline bool is_blocked(const struct vhost_backend *be)
{
	return (unlikely(be->late != LATE_NONE) && be->late != LATE_POSTCOPY_ACK) ||
	       wants_out(be);
}

/* Is a whole message in the buffer? That would not make the socket readable. */
static inline bool has_message(const struct vhost_backend *be)
{
	const struct vu_chan *c = &be->main;

	return unlikely(c->rx_start + c->rx_msg != c->rx_end) && vu_chan_has_msg(c);
}

/* Wait for what can be gone on with. That the front-end has gone is always noticed. */
static void poll_main(struct vhost_backend *be)
{
	uint32_t events = (is_blocked(be) ? 0 : EPOLLIN) |
			  (wants_out(be) ? EPOLLOUT : 0);
	int r;

	if (likely(events == be->main_events) || be->main.fd < 0)
		return;
	r = be_poll(be, be->main.fd, events, BE_MAIN, 0);
	if (r < 0) {
		be_fail(be, r, "cannot wait for the front-end: %s", strerror(-r));
		be_disconnect(be, r);
		return;
	}
	be->main_events = events;
}

/* Edges: a connection that cannot be accepted now must not keep the descriptor readable. */
static void poll_listener(struct vhost_backend *be)
{
	int r = be_poll(be, be->listen_fd, EPOLLIN | EPOLLET, BE_LISTENER, 0);

	if (r < 0)
		be_fail(be, r, "cannot wait for front-ends: %s", strerror(-r));
}

/* ---------------------------------------------------------------- connections */

/* A socket is there. The callback comes at the next turn. */
static int begin(struct vhost_backend *be, int fd)
{
	int r = be_poll(be, fd, EPOLLIN, BE_MAIN, 0);

	if (r < 0) {
		close_fd(&fd);
		return be_fail(be, r, "cannot wait for the front-end: %s", strerror(-r));
	}
	vu_chan_open(&be->main, fd);
	be->main_events = EPOLLIN;
	be->main_first = true;
	be->turn = 0;
	be->session++;
	be->error[0] = '\0';
	session_begin(be);
	be->greet = true;
	return 0;
}

static void accept_one(struct vhost_backend *be)
{
	bool told = be->accept_again;
	int tries = ACCEPT_TRIES, fd, r;

	be->accept_again = false;
	do
		fd = accept4(be->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	while (fd < 0 && (errno == EINTR || errno == ECONNABORTED) && --tries);
	if (fd < 0) {
		r = -errno;
		if (r == -EAGAIN || r == -EWOULDBLOCK)
			return;
		be->accept_again = true;
		if (!told)
			be_say(be, VHOST_LOG_WARNING, "a front-end cannot be accepted now: %s%s",
			       strerror(-r), r == -EMFILE ? " (RLIMIT_NOFILE is too low, or "
			       "descriptors are leaked; it is tried again at every turn)" : "");
		return;
	}
	be_unpoll(be, be->listen_fd);
	if (begin(be, fd) < 0)
		poll_listener(be);
}

void be_disconnect(struct vhost_backend *be, int status)
{
	bool was_connected = be->connected;
	unsigned int i;

	if (be->main.fd < 0)
		return;
	be_enter(be);
	be->ending = true;
	be->session++;
	be->greet = false;
	be->late = LATE_NONE;
	be_unpoll(be, be->main.fd);
	vu_chan_close(&be->main);
	be->main_events = 0;
	be->main_first = false;
	/* first: a ring's thread may wait for a page that nobody brings any more */
	session_postcopy_over(be);
	for (i = 0; i < be->ops.max_queues; i++) {
		be->vrings[i]->stopping = false;
		vr_stop(be->vrings[i]);
	}
	if (was_connected)
		be_call(be, reset, be);
	session_end(be);
	be->connected = false;
	be->ending = false;
	if (be->listen_fd >= 0)
		poll_listener(be);
	if (was_connected)
		be_call(be, disconnected, be, status);
	be_leave(be);
}

void be_reset_device(struct vhost_backend *be, bool by_driver)
{
	uint64_t session = be->session;
	unsigned int i;

	for (i = 0; i < be->ops.max_queues && be->session == session; i++)
		(by_driver ? vr_retire : vr_reset)(be->vrings[i]);
	if (be->session != session)
		return;
	be->acked = 0;
	be->features_set = false;
	be->status = 0;
	be->needs_reset = false;
	inflight_area_unref(be->inflight);
	be->inflight = NULL;
	vr_iotlb_lock(be);
	iotlb_clear(&be->iotlb);
	vr_iotlb_unlock(be, false);
	be_call(be, reset, be);
}

/* The connection is over, by what the socket said. */
static void broken(struct vhost_backend *be, int r, const char *why)
{
	switch (r) {
	case -ECONNRESET:
		be_say(be, VHOST_LOG_INFO, "the front-end closed the connection");
		break;
	case -ECONNABORTED:
		be_fail(be, r, "the front-end closed the connection in the middle of a message");
		break;
	case -EPROTO:
		be_fail(be, r, "what the front-end sent %s", why);
		break;
	default:
		be_fail(be, r, "the connection to the front-end failed: %s", strerror(-r));
		break;
	}
	be_disconnect(be, r);
}

/* ------------------------------------------------------------------- process */

/*
 * Handle the messages that are here, after one look at the socket if none is. It is not
 * looked at again: what it has left makes it readable. True if there was one.
 */
static bool receive(struct vhost_backend *be)
{
	uint64_t session = be->session;
	const char *why = NULL;
	struct vu_msg msg;
	unsigned int i;
	int r;

	do {
		r = vu_chan_recv(&be->main, &msg, &why);
		if (r == -EAGAIN)
			return false;
		if (unlikely(r < 0)) {
			broken(be, r, why);
			return true;
		}
		r = session_message(be, &msg);
		if (unlikely(be->session != session))
			return true;
		if (unlikely(r < 0)) {
			be_disconnect(be, r);
			return true;
		}
		/* what nobody took is not kept until the next message */
		for (i = 0; i < msg.n_fds; i++)
			close_fd(&msg.fds[i]);
	} while (has_message(be) && !is_blocked(be));
	return true;
}

static void main_event(struct vhost_backend *be, uint32_t events)
{
	uint64_t session = be->session;

	if (events & EPOLLOUT) {
		int r = vu_chan_flush(&be->main);

		if (r < 0 && r != -EAGAIN) {
			broken(be, r == -EPIPE ? -ECONNRESET : r, NULL);
			return;
		}
	}
	if (!is_blocked(be)) {
		be->main_first = receive(be) && be->session == session;
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		/* what waits for an answer has nobody left to give it to */
		broken(be, -ECONNRESET, NULL);
	}
}

static void kick_event(struct vhost_backend *be, unsigned int index)
{
	struct vhost_vring *vr = index < be->ops.max_queues ? be->vrings[index] : NULL;
	uint64_t count;

	if (!vr || !vr->kick_polled)
		return;
	/*
	 * Once, whatever it says: edges are waited for, so neither a counter that cannot be
	 * emptied (a semaphore's) nor a file that is no eventfd makes this go round.
	 */
	if (read(vr->kick_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		be_log(be, VHOST_LOG_WARNING, "queue %u: its kick descriptor cannot be read: %s",
		       index, strerror(errno));
	vr_kick(vr);
}

static bool anything_due(const struct vhost_backend *be)
{
	return be->due[0] | be->due[1] | be->due[2] | be->due[3];
}

/* Take what has happened, from all sources. */
static void take_events(struct vhost_backend *be)
{
	struct epoll_event events[EVENTS];
	uint64_t session = be->session;
	int n = epoll_wait(be->epoll_fd, events, EVENTS, 0), i;

	for (i = 0; i < n; i++) {
		uint64_t source = events[i].data.u64;
		bool same = be->session == session;	/* or it was another connection's */

		switch ((enum be_source)(source >> 32)) {
		case BE_WAKE:
			/* rings that are due wake us again: as well stay awake */
			if (!anything_due(be))
				take_wake(be);
			vr_collect(be);
			if (be->session == session)
				channel_process(be, 0);
			break;
		case BE_LISTENER:
			if (be->main.fd < 0 && be->listen_fd >= 0)
				accept_one(be);
			break;
		case BE_MAIN:
			if (same && be->main.fd >= 0)
				main_event(be, events[i].events);
			break;
		case BE_CHANNEL:
			if (same && be->channel)
				channel_process(be, events[i].events);
			break;
		case BE_KICK:
			kick_event(be, (unsigned int)source);
			break;
		}
	}
}

static void greet(struct vhost_backend *be)
{
	be->greet = false;
	be->connected = true;
	be_log(be, VHOST_LOG_INFO, "a front-end is connected");
	be_call(be, connected, be);
}

static void process(struct vhost_backend *be)
{
	if (unlikely(be->greet))
		greet(be);
	if (unlikely(be->accept_again) && be->main.fd < 0 && be->listen_fd >= 0)
		accept_one(be);
	/*
	 * After a message there is another one, most likely: ask the socket itself, not
	 * what waits for all.
	 */
	if (be->main.fd < 0 || is_blocked(be) ||
	    !((be->main_first && ++be->turn % MESSAGES_IN_A_ROW) || has_message(be)) ||
	    !receive(be)) {
		be->main_first = false;
		take_events(be);
		if (unlikely(be->greet))
			greet(be);
	}
	if (anything_due(be)) {
		vr_serve(be);
		if (anything_due(be))
			be_wake(be);
	}
	poll_main(be);
	/* whole messages in the buffer, kept back until now */
	if (has_message(be) && !is_blocked(be))
		be_wake(be);
}

VHOST_EXPORT int vhost_backend_process(vhost_backend_t *be)
{
	int r;

	be_enter(be);
	/* inside of a callback the message that is being handled must stay where it is */
	if (likely(be->in_call == 1))
		process(be);
	r = likely(be->main.fd >= 0) || be->listen_fd >= 0 ? 0 : -ENOTCONN;
	be_leave(be);
	return r;
}

VHOST_EXPORT int vhost_backend_get_fd(const vhost_backend_t *be)
{
	return be->epoll_fd;
}

/* --------------------------------------------------------------------- sockets */

static int socket_address(struct vhost_backend *be, const char *path, struct sockaddr_un *ret,
			  socklen_t *ret_len)
{
	int r = vu_sock_address(path, ret, ret_len);

	if (r == -ENAMETOOLONG)
		return be_fail(be, r, "the path \"%s\" is longer than a socket's can be (%zu bytes)",
			       path, VU_SOCK_PATH_MAX);
	if (r < 0)
		return be_fail(be, r, "no path is given for the socket");
	return 0;
}

static int check_unused(struct vhost_backend *be)
{
	if (be->listen_fd >= 0 || be->main.fd >= 0 || be->ending)
		return be_fail(be, -EALREADY, "the back-end has a socket already");
	return 0;
}

static int new_socket(struct vhost_backend *be, int *ret)
{
	int fd = vu_sock_new();

	if (fd < 0)
		return be_fail(be, fd, "no socket: %s", strerror(-fd));
	*ret = fd;
	return 0;
}

/* The socket in the file system goes, if it is still the one that was made. */
static void remove_listener(struct vhost_backend *be)
{
	struct stat st;

	if (be->listen_path && lstat(be->listen_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    st.st_dev == be->listen_dev && st.st_ino == be->listen_ino)
		unlink(be->listen_path);
	free(be->listen_path);
	be->listen_path = NULL;
	if (be->listen_fd >= 0)
		be_unpoll(be, be->listen_fd);
	close_fd(&be->listen_fd);
	be->accept_again = false;
}

VHOST_EXPORT int vhost_backend_listen(vhost_backend_t *be, const char *path)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_un sa;
	struct stat st;
	socklen_t len;
	int r = check_unused(be);

	if (!r)
		r = socket_address(be, path, &sa, &len);
	if (!r)
		r = new_socket(be, &fd);
	if (r < 0)
		return r;
	r = vu_sock_bind(fd, &sa, len);
	if (r < 0)
		return be_fail(be, r, "cannot listen at %s: %s", path, r == -EADDRINUSE ?
			       "another process listens there, or it is a file that is no socket" :
			       strerror(-r));
	if (sa.sun_path[0]) {
		be->listen_path = strdup(path);
		if (!be->listen_path) {
			unlink(path);
			return be_fail(be, -ENOMEM, "out of memory");
		}
		if (lstat(path, &st) == 0) {
			be->listen_dev = st.st_dev;
			be->listen_ino = st.st_ino;
		}
	}
	be->listen_fd = TAKE_FD(fd);
	r = listen(be->listen_fd, SOMAXCONN) < 0 ? -errno : 0;
	if (!r)
		r = be_poll(be, be->listen_fd, EPOLLIN | EPOLLET, BE_LISTENER, 0);
	if (r < 0) {
		remove_listener(be);
		return be_fail(be, r, "cannot listen at %s: %s", path, strerror(-r));
	}
	return 0;
}

/* A copy of a descriptor that is a Unix stream socket, listening or not. */
static int take_socket(struct vhost_backend *be, int fd, bool listening, int *ret)
{
	bool listens = false;
	int own, r = vu_sock_check(fd, &listens);

	if (r == -EINVAL)
		return be_fail(be, r, "descriptor %d is no Unix stream socket", fd);
	if (r < 0)
		return be_fail(be, r, "descriptor %d cannot carry vhost-user: %s", fd,
			       strerror(-r));
	if (listening != listens)
		return be_fail(be, -EINVAL, listening ? "descriptor %d does not listen" :
			       "descriptor %d listens: use vhost_backend_listen_fd()", fd);
	own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (own < 0)
		return be_fail(be, -errno, "descriptor %d: %s", fd, strerror(errno));
	*ret = own;
	return 0;
}

VHOST_EXPORT int vhost_backend_listen_fd(vhost_backend_t *be, int fd)
{
	_cleanup_close_ int own = -1;
	int r = check_unused(be), flags;

	if (!r)
		r = take_socket(be, fd, true, &own);
	if (r < 0)
		return r;
	/* a front-end that was announced may be gone before it is accepted */
	flags = fcntl(own, F_GETFL);
	if (flags < 0 || fcntl(own, F_SETFL, flags | O_NONBLOCK) < 0)
		r = -errno;
	if (!r)
		r = be_poll(be, own, EPOLLIN | EPOLLET, BE_LISTENER, 0);
	if (r < 0)
		return be_fail(be, r, "descriptor %d: %s", fd, strerror(-r));
	be->listen_fd = TAKE_FD(own);
	return 0;
}

static const char *connect_help(int r)
{
	switch (r) {
	case -ENOENT:
		return " (is the front-end running, and is this its socket?)";
	case -ECONNREFUSED:
		return " (nobody listens on the socket: the front-end has ended, or was not told "
		       "to be the server)";
	case -EACCES:
	case -EPERM:
		return " (no permission to use the socket)";
	case -EPROTOTYPE:
		return " (it is no stream socket, so it is not vhost-user's)";
	default:
		return "";
	}
}

/* The callback comes from process(), where all callbacks come from: have it called. */
static int begin_own(struct vhost_backend *be, int fd)
{
	int r = begin(be, fd);

	if (!r)
		be_wake(be);
	return r;
}

VHOST_EXPORT int vhost_backend_connect(vhost_backend_t *be, const char *path)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_un sa;
	socklen_t len;
	int r = check_unused(be);

	if (!r)
		r = socket_address(be, path, &sa, &len);
	if (!r)
		r = new_socket(be, &fd);
	if (r < 0)
		return r;
	r = vu_sock_connect(fd, &sa, len);
	if (r < 0)
		return be_fail(be, r, "cannot connect to %s: %s%s", path, strerror(-r),
			       connect_help(r));
	return begin_own(be, TAKE_FD(fd));
}

VHOST_EXPORT int vhost_backend_attach_fd(vhost_backend_t *be, int fd)
{
	_cleanup_close_ int own = -1;
	struct sockaddr_un sa;
	socklen_t len = sizeof(sa);
	int r = check_unused(be);

	if (!r)
		r = take_socket(be, fd, false, &own);
	if (r < 0)
		return r;
	if (getpeername(own, (struct sockaddr *)&sa, &len) < 0)
		return be_fail(be, -EINVAL, "descriptor %d is not connected", fd);
	return begin_own(be, TAKE_FD(own));
}

VHOST_EXPORT void vhost_backend_disconnect(vhost_backend_t *be)
{
	if (be->main.fd >= 0)
		be_say(be, VHOST_LOG_INFO, "the connection was ended by this side");
	be_disconnect(be, -ECANCELED);
}

VHOST_EXPORT void vhost_backend_close(vhost_backend_t *be)
{
	remove_listener(be);
	vhost_backend_disconnect(be);
}

/* ------------------------------------------------------------------------ life */

static int check_ops(const struct vhost_backend_ops *ops)
{
	const char *what = NULL;

	if (!ops->device_id)
		what = "no device_id is given";
	else if (!ops->max_queues || ops->max_queues > VU_MAX_QUEUES)
		what = "max_queues is not in 1 to 256";
	else if (ops->max_queue_size > RING_SIZE_MAX)
		what = "max_queue_size is more than 32768";
	else if (ops->flags & ~(VHOST_BACKEND_THREADS | VHOST_BACKEND_POLL |
				VHOST_BACKEND_SEALED_MEM | VHOST_BACKEND_LEGACY))
		what = "a flag is not known";
	else if (ops->features_off & ~VHOST_BACKEND_FEATURES)
		what = "features_off has a feature that the library does not offer by itself";
	else if (ops->protocol_features & ~VHOST_USER_PROTOCOL_ALL)
		what = "a protocol feature is not known";
	else if (ops->config_size > VU_MAX_CONFIG)
		what = "config_size is more than 4096";
	else if (ops->n_shmem_sizes > VU_MAX_SHMEM_REGIONS)
		what = "n_shmem_sizes is more than 256";
	else if (ops->n_shmem_sizes && !ops->shmem_sizes)
		what = "n_shmem_sizes is given without shmem_sizes";
	else if (ops->reserved)
		what = "reserved is not 0";
	return what ? call_fail(-EINVAL, VHOST_ERR_ARGUMENT, "the back-end cannot be made: %s",
				what) : 0;
}

/* Copies of what the table points to, and room for what the device has. */
static int allocate(struct vhost_backend *be)
{
	size_t shmem = be->ops.n_shmem_sizes * sizeof(*be->shmem_sizes);
	unsigned int i;
	int r;

	if (shmem) {
		be->shmem_sizes = malloc(shmem);
		if (!be->shmem_sizes)
			return -ENOMEM;
		memcpy(be->shmem_sizes, be->ops.shmem_sizes, shmem);
	}
	be->ops.shmem_sizes = be->shmem_sizes;
	if (be->ops.config_size) {
		be->config = calloc(1, be->ops.config_size);
		if (!be->config)
			return -ENOMEM;
	}
	be->vrings = calloc(be->ops.max_queues, sizeof(*be->vrings));
	if (!be->vrings)
		return -ENOMEM;
	for (i = 0; i < be->ops.max_queues; i++) {
		r = vr_new(be, i, &be->vrings[i]);
		if (r < 0)
			return r;
	}
	be->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (be->wake_fd < 0)
		return -errno;
	be->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (be->epoll_fd < 0)
		return -errno;
	return be_poll(be, be->wake_fd, EPOLLIN, BE_WAKE, 0);
}

/* Nothing is connected any more, or was yet. */
void be_free(struct vhost_backend *be)
{
	unsigned int i;

	/* the last runs may take their memory with them, and tell its mapper */
	be->in_call = 1;
	for (i = 0; be->vrings && i < be->ops.max_queues; i++)
		vr_free(be->vrings[i]);
	free(be->vrings);
	close_fd(&be->epoll_fd);
	close_fd(&be->wake_fd);
	free(be->late_data);
	free(be->config);
	free(be->shmem_sizes);
	free(be);
}

VHOST_EXPORT int vhost_backend_new(const struct vhost_backend_ops *ops, size_t ops_size,
				   void *opaque, vhost_backend_t **ret)
{
	struct vhost_backend *be;
	int r;

	if (!ops || !ret)
		return call_fail(-EINVAL, VHOST_ERR_ARGUMENT,
				 "no table of callbacks, or nowhere to put the back-end");
	be = calloc(1, sizeof(*be));
	if (!be)
		return call_fail(-ENOMEM, VHOST_ERR_OTHER, "out of memory");
	be->epoll_fd = be->wake_fd = be->listen_fd = be->log_fd = be->uffd = -1;
	vu_chan_init(&be->main, VU_FRONTEND);
	be->opaque = opaque;
	r = copy_sized(&be->ops, sizeof(be->ops), ops, ops_size);
	if (r < 0) {
		free(be);
		return call_fail(r, VHOST_ERR_ARGUMENT, "the program was built for a newer "
				 "libvhost than %s: it has callbacks that this one does not know",
				 PACKAGE_VERSION);
	}
	r = check_ops(&be->ops);
	if (r < 0) {
		free(be);
		return r;
	}
	if (!be->ops.max_queue_size)
		be->ops.max_queue_size = RING_SIZE_MAX;
	if (!be->ops.protocol_features)
		be->ops.protocol_features = VHOST_USER_PROTOCOL_DEFAULT;
	be->log_hook = log_from_environment();
	be->trace_hook = trace_from_environment();
	be_trace(be, &be->main);
	r = allocate(be);
	if (r < 0) {
		be_free(be);
		return call_fail(r, VHOST_ERR_OTHER, "the back-end cannot be made: %s",
				 strerror(-r));
	}
	be->refs = 1;
	session_init(be);
	*ret = be;
	return 0;
}

VHOST_EXPORT vhost_backend_t *vhost_backend_ref(vhost_backend_t *be)
{
	if (be)
		be->refs++;
	return be;
}

VHOST_EXPORT vhost_backend_t *vhost_backend_unref(vhost_backend_t *be)
{
	void (*mem_unmap)(vhost_backend_t *be, void *addr, uint64_t size, void *opaque);

	if (!be || --be->refs)
		return NULL;
	/*
	 * Nobody is called any more, except for memory that only the program can unmap; what
	 * has called us may still be on the stack.
	 */
	be_enter(be);
	mem_unmap = be->ops.mem_unmap;
	memset((char *)&be->ops + offsetof(struct vhost_backend_ops, connected), 0,
	       sizeof(be->ops) - offsetof(struct vhost_backend_ops, connected));
	be->ops.mem_unmap = mem_unmap;
	be->log_hook = NULL;
	be->trace_hook = NULL;
	be_trace(be, &be->main);
	remove_listener(be);
	be_disconnect(be, -ECANCELED);
	be_leave(be);
	return NULL;
}

/* ------------------------------------------------------------------- questions */

VHOST_EXPORT bool vhost_backend_is_connected(const vhost_backend_t *be)
{
	return be->connected;
}

VHOST_EXPORT vhost_vring_t *vhost_backend_get_vring(const vhost_backend_t *be, unsigned int index)
{
	return index < be->ops.max_queues ? be->vrings[index] : NULL;
}

VHOST_EXPORT void vhost_backend_get_features(const vhost_backend_t *be, uint64_t *offered,
					     uint64_t *acked)
{
	if (offered)
		*offered = be->offered;
	if (acked)
		*acked = be->acked;
}

VHOST_EXPORT void vhost_backend_get_protocol_features(const vhost_backend_t *be,
						      uint64_t *offered, uint64_t *acked)
{
	if (offered)
		*offered = be->offered_pf;
	if (acked)
		*acked = be->acked_pf;
}

VHOST_EXPORT uint8_t vhost_backend_get_status(const vhost_backend_t *be)
{
	return (uint8_t)(be->status | (be->needs_reset ? VIRTIO_STATUS_NEEDS_RESET : 0));
}
