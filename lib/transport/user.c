/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A vhost-user connection: making it, and what is negotiated before the device is
 * anybody's. Three round trips: what the device offers, what the protocol offers, and
 * the limits. A reconnection adds a fourth, in which the whole record is sent again.
 */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "proto/vu-sock.h"
#include "trace.h"
#include "transport/user.h"

#define MAX_SLOTS 65536u

static int nego_next(struct vhost_user *u);

static void trace(void *opaque, bool received, enum vu_direction dir, const struct vu_header *hdr,
		  const void *payload, const int *fds, unsigned int n_fds)
{
	struct vhost_user *u = opaque;

	trace_message(u->dev.trace, u->dev.trace_opaque, received, dir, hdr, payload, fds, n_fds);
}

void user_trace_changed(struct vhost_dev *dev)
{
	struct vhost_user *u;

	if (dev->ops != &vhost_user_ops)
		return;
	u = to_user(dev);
	u->main.trace = u->channel.trace = dev->trace ? trace : NULL;
	u->main.trace_opaque = u->channel.trace_opaque = u;
}

int user_require(struct vhost_dev *dev, unsigned int bit)
{
	int r = dev_ready(dev);

	if (r < 0)
		return r;
	if (dev->ops != &vhost_user_ops)
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"this needs a vhost-user device, and %s is %s", dev->address,
				dev->transport);
	if (!has_pf(to_user(dev), bit))
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"the back-end does not have the protocol feature %u that this needs",
				bit);
	return 0;
}

int user_new(const char *address, enum user_address kind, const char *path,
	     const struct vhost_dev_opts *opts, struct vhost_dev **ret)
{
	struct vhost_user *u;
	int r = dev_new(&vhost_user_ops, sizeof(*u), address, opts, &u);

	if (r < 0)
		return r;
	u->kind = kind;
	u->opts = *opts;
	if (!u->opts.protocol_features)
		u->opts.protocol_features = VHOST_USER_PROTOCOL_DEFAULT;
	u->listen_fd = u->epfd = u->wakefd = -1;
	u->resume_state = VHOST_DEV_STOPPED;
	vu_chan_init(&u->main, VU_FRONTEND);
	vu_chan_init(&u->channel, VU_BACKEND);
	user_trace_changed(&u->dev);
	if (path) {
		u->path = strdup(path);
		if (!u->path) {
			vhost_dev_unref(&u->dev);
			return call_fail(-ENOMEM, VHOST_ERR_OTHER, "out of memory");
		}
	}
	*ret = &u->dev;
	return 0;
}

void user_free(struct vhost_dev *dev)
{
	struct vhost_user *u = to_user(dev);

	user_close(dev);
	user_channel_free(u);
	close_fd(&u->listen_fd);
	close_fd(&u->epfd);
	close_fd(&u->wakefd);
	if (u->bound)
		unlink(u->path);
	free(u->pend);
	free(u->path);
	free(u);
}

/* --------------------------------------------------------------------- sockets */

static int socket_address(struct vhost_dev *dev, const char *path, struct sockaddr_un *ret,
			  socklen_t *ret_len)
{
	int r = vu_sock_address(path, ret, ret_len);

	if (r == -ENAMETOOLONG)
		return dev_fail(dev, r, VHOST_ERR_ARGUMENT, "the path \"%s\" is longer than a "
				"socket's can be (%zu bytes)", path, VU_SOCK_PATH_MAX);
	if (r < 0)
		return dev_fail(dev, r, VHOST_ERR_ARGUMENT, "no path is given for the socket");
	return 0;
}

static int new_socket(struct vhost_dev *dev, int *ret)
{
	int fd = vu_sock_new();

	if (fd < 0)
		return dev_fail(dev, fd, VHOST_ERR_CONNECT, "no socket: %s", strerror(-fd));
	*ret = fd;
	return 0;
}

static const char *connect_help(int r)
{
	switch (r) {
	case -ENOENT:
		return " (is the back-end running, and is this its socket?)";
	case -ECONNREFUSED:
		return " (nobody listens on the socket: the back-end has ended, or serves "
		       "another front-end)";
	case -EACCES:
	case -EPERM:
		return " (no permission to use the socket)";
	case -EPROTOTYPE:
		return " (it is no stream socket, so it is not vhost-user's)";
	default:
		return "";
	}
}

static int connect_to(struct vhost_user *u, int *ret)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_un sa;
	socklen_t len;
	int r = socket_address(&u->dev, u->path, &sa, &len);

	if (!r)
		r = new_socket(&u->dev, &fd);
	if (r < 0)
		return r;
	r = vu_sock_connect(fd, &sa, len);
	if (r < 0)
		return dev_fail(&u->dev, r, VHOST_ERR_CONNECT, "cannot connect to %s: %s%s", u->path,
				strerror(-r), connect_help(r));
	*ret = TAKE_FD(fd);
	return 0;
}

static int listen_at(struct vhost_user *u)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_un sa;
	socklen_t len;
	int r;

	if (u->listen_fd >= 0)
		return 0;
	r = socket_address(&u->dev, u->path, &sa, &len);
	if (!r)
		r = new_socket(&u->dev, &fd);
	if (r < 0)
		return r;
	r = vu_sock_bind(fd, &sa, len);
	if (!r && u->path[0] != '@')
		u->bound = true;
	if (!r)
		r = listen(fd, 1) < 0 ? -errno : 0;
	if (r < 0)
		return dev_fail(&u->dev, r, VHOST_ERR_CONNECT, "cannot listen at %s: %s", u->path,
				strerror(-r));
	u->listen_fd = TAKE_FD(fd);
	return 0;
}

static int check_socket(struct vhost_dev *dev, int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0) {
		int r = -errno;

		return dev_fail(dev, r, VHOST_ERR_ARGUMENT, "descriptor %d cannot carry "
				"vhost-user: %s", fd, strerror(-r));
	}
	if (type != SOCK_STREAM)
		return dev_fail(dev, -ENOTSOCK, VHOST_ERR_ARGUMENT,
				"descriptor %d is no stream socket", fd);
	return 0;
}

/* -------------------------------------------------------------------- negotiation */

/* The attempt is over: with a device, or without. */
static void connect_over(struct vhost_user *u, int status)
{
	struct vhost_dev *dev = &u->dev;
	bool nonblock = u->nonblock;

	u->stage = status < 0 ? STAGE_IDLE : STAGE_DONE;
	u->connect_status = status;
	u->nonblock = false;
	if (status < 0) {
		user_unwatch(u, u->listen_fd);
		user_disconnect(u, status);
	}
	u->reconnecting = false;
	if (nonblock && dev->events.connected)
		dev->events.connected(dev, status, dev->events_opaque);
}

static void settle_nego(struct vhost_dev *dev, struct vhost_op *op)
{
	struct vhost_user *u = to_user(dev);
	int r = op->status;

	if (!r)
		r = nego_next(u);
	if (r < 0 && u->stage != STAGE_IDLE)
		connect_over(u, r);
}

static int set_limits(struct vhost_user *u, uint32_t request, uint64_t value)
{
	if (request == VU_GET_MAX_MEM_SLOTS) {
		/* Some back-ends offer slots and then have none: the table it is. */
		u->n_slots = value > MAX_SLOTS ? MAX_SLOTS : (unsigned int)value;
		return 0;
	}
	if (!value)
		return dev_fail(&u->dev, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL,
				"the back-end says that it has no queues");
	u->n_queues = value > VU_MAX_QUEUES ? VU_MAX_QUEUES : (unsigned int)value;
	return 0;
}

static int reply_nego(struct vhost_dev *dev, struct vhost_op *op _unused_, uint32_t request,
		      unsigned int index _unused_, const void *m)
{
	struct vhost_user *u = to_user(dev);
	const struct vu_msg *msg = m;
	uint64_t value;

	memcpy(&value, msg->payload, sizeof(value));
	switch (request) {
	case VU_GET_FEATURES:
		u->offered = value;
		return 0;
	case VU_GET_PROTOCOL_FEATURES:
		u->pf_offered = value;
		return 0;
	case VU_GET_QUEUE_NUM:
	case VU_GET_MAX_MEM_SLOTS:
		return set_limits(u, request, value);
	default:
		return 0;	/* of the replay: nothing more than that it went well */
	}
}

/* Give the back-end a socket for requests of its own. */
static int send_channel(struct vhost_user *u, struct vhost_op *op)
{
	_cleanup_close_ int theirs = -1;
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return dev_fail(&u->dev, -errno, VHOST_ERR_OTHER,
				"no socket for the back-end's channel: %s", strerror(errno));
	theirs = fds[1];
	/* The other end is the back-end's: some read it without looking for EAGAIN. */
	if (fcntl(theirs, F_SETFL, 0) < 0)
		dev_log(&u->dev, VHOST_LOG_DEBUG, "back-end channel: %s", strerror(errno));
	vu_chan_open(&u->channel, fds[0]);
	user_watch(u, u->channel.fd, EPOLLIN);
	r = user_send(u, op, &(struct user_req){ .request = VU_SET_BACKEND_REQ_FD, .fd = theirs });
	return r;
}

static uint64_t choose_protocol_features(const struct vhost_user *u)
{
	uint64_t pf = u->pf_offered & u->opts.protocol_features;
	uint64_t channel = VHOST_USER_PF_BIT(VHOST_USER_PF_BACKEND_REQ);

	if (u->opts.flags & VHOST_OPEN_NO_BACKEND_CHANNEL)
		pf &= ~channel;
	/* "In-band notifications": an error without the two others. */
	if (!(pf & channel) || !(pf & VHOST_USER_PF_BIT(VHOST_USER_PF_REPLY_ACK)))
		pf &= ~VHOST_USER_PF_BIT(VHOST_USER_PF_INBAND_NOTIFICATIONS);
	if (!(pf & channel))
		pf &= ~(VHOST_USER_PF_BIT(VHOST_USER_PF_BACKEND_SEND_FD) |
			VHOST_USER_PF_BIT(VHOST_USER_PF_HOST_NOTIFIER) |
			VHOST_USER_PF_BIT(VHOST_USER_PF_SHMEM));
	if (!(pf & VHOST_USER_PF_BIT(VHOST_USER_PF_INFLIGHT_SHMFD)))
		pf &= ~VHOST_USER_PF_BIT(VHOST_USER_PF_GET_VRING_BASE_INFLIGHT);
	return pf;
}

/* Does the device still have what the record uses? */
static int check_compatible(struct vhost_user *u, uint64_t old_pf)
{
	struct vhost_dev *dev = &u->dev;
	uint64_t lacking = dev->rec.features[0] & ~u->offered;
	unsigned int n_max = u->n_slots ? u->n_slots : VU_MAX_TABLE_REGIONS;

	if (lacking)
		return dev_fail(dev, -EPROTONOSUPPORT, VHOST_ERR_INCOMPATIBLE,
				"the back-end no longer has the features 0x%llx that are in use",
				(unsigned long long)lacking);
	lacking = old_pf & ~u->pf;
	if (lacking)
		return dev_fail(dev, -EPROTONOSUPPORT, VHOST_ERR_INCOMPATIBLE,
				"the back-end no longer has the protocol features 0x%llx that are "
				"in use", (unsigned long long)lacking);
	if (dev->rec.n_vqs > u->n_queues)
		return dev_fail(dev, -EPROTONOSUPPORT, VHOST_ERR_INCOMPATIBLE,
				"the back-end now has %u queues, and %u are in use", u->n_queues,
				dev->rec.n_vqs);
	if (dev->rec.map.n > n_max)
		return dev_fail(dev, -EPROTONOSUPPORT, VHOST_ERR_INCOMPATIBLE,
				"the back-end now takes %u memory regions, and %u are in use", n_max,
				dev->rec.map.n);
	return 0;
}

/* The used index of a split ring, as it is in memory. */
static int read_used_idx(struct vhost_dev *dev, const struct vhost_vq *vq, uint32_t *ret)
{
	struct mem_region *region = mem_map_find(&dev->rec.map, vq->config.device, 4);
	long page = sysconf(_SC_PAGESIZE);
	uint64_t at;
	uint16_t idx;
	uint8_t *p;

	if (!region)
		return -ESTALE;
	at = vq->config.device - region->iova + 2;
	if (region->addr) {
		p = (uint8_t *)region->addr + at;
		idx = READ_ONCE(*(uint16_t *)(void *)p);
	} else {
		at += region->fd_offset;
		p = mmap(NULL, (size_t)page, PROT_READ, MAP_SHARED, region->fd,
			 (off_t)(at & ~(uint64_t)(page - 1)));
		if (p == MAP_FAILED)
			return -errno;
		idx = READ_ONCE(*(uint16_t *)(void *)(p + (at & (uint64_t)(page - 1))));
		munmap(p, (size_t)page);
	}
	*ret = le16toh(idx);
	return 0;
}

/* Where each queue goes on that ran when the old connection ended. */
static int choose_bases(struct vhost_user *u)
{
	struct vhost_dev *dev = &u->dev;
	bool packed = record_has(&dev->rec, VIRTIO_BIT_RING_PACKED);
	bool trust = record_has(&dev->rec, VIRTIO_BIT_IN_ORDER) ||
		     u->reconnect_flags & VHOST_RECONNECT_FROM_USED;
	bool inflight = false;
	unsigned int i;
	int r;

	/* The in-flight record is handed back if a queue has nobody else to know. */
	for (i = 0; i < dev->rec.n_vqs; i++)
		inflight |= dev->rec.vqs[i].interrupted && !dev->rec.vqs[i].virtq &&
			    dev->rec.inflight.fd >= 0;
	u->keep_inflight = inflight || !dev->rec.n_vqs;
	for (i = 0; i < dev->rec.n_vqs; i++) {
		struct vhost_vq *vq = &dev->rec.vqs[i];

		if (!vq->set_up || !vq->interrupted)
			continue;
		if (vq->virtq && !inflight) {
			vhost_virtq_requeue(vq->virtq, &vq->config.base);
			continue;
		}
		if (packed || (!inflight && !trust))
			return dev_fail(dev, -ESTALE, VHOST_ERR_REQUESTS_LOST,
					"queue %u ran when the connection ended, and what it had in "
					"flight is not known: attach a virtq, enable the in-flight "
					"record, or set its base", i);
		r = read_used_idx(dev, vq, &vq->config.base);
		if (r < 0)
			return dev_fail(dev, r, VHOST_ERR_REQUESTS_LOST,
					"queue %u: its used index cannot be read: %s", i,
					strerror(-r));
	}
	return 0;
}

/*
 * What is in flight is made available again by our own side: a new record is got in
 * place of the old one, which would have it done twice.
 */
static int renew_inflight(struct vhost_user *u, struct vhost_op *op)
{
	struct vhost_dev *dev = &u->dev;
	struct vhost_inflight *in = &dev->rec.inflight;
	int r = 0;

	/* the layout of the record follows from the features */
	if (dev->rec.features_set)
		r = user_send_features(u, op);
	if (!r)
		r = dev->ops->inflight_get(dev, op, in->num_queues, in->queue_size, in);
	u->keep_inflight = true;
	return r;
}

/* Everything that the record has, back to back. */
static int replay(struct vhost_user *u, struct vhost_op *op)
{
	struct vhost_dev *dev = &u->dev;
	int r = 0;

	if (dev->rec.features_set)
		r = user_send_features(u, op);
	if (!r && dev->rec.map.n)
		r = user_send_memory(u, op);
	if (!r && dev->rec.inflight.fd >= 0)
		r = user_send_inflight(u, op);
	if (!r && dev->rec.log.map)
		r = user_send_log(u, op);
	if (!r && u->resume_state == VHOST_DEV_STARTED)
		r = user_send_vqs(u, op, true);
	if (!r)
		r = user_barrier(u, op);
	return r;
}

static int nego_done(struct vhost_user *u)
{
	struct vhost_dev *dev = &u->dev;
	unsigned int i;

	u->connected_pf = u->pf;
	u->offered_is_fresh = true;
	dev->state = u->reconnecting ? u->resume_state : VHOST_DEV_STOPPED;
	for (i = 0; i < dev->rec.n_vqs; i++)
		dev->rec.vqs[i].interrupted = false;
	dev_log(dev, VHOST_LOG_INFO, "%s: connected (features 0x%llx, protocol features 0x%llx, "
		"%u queues)", dev->address, (unsigned long long)u->offered,
		(unsigned long long)u->pf, u->n_queues);
	connect_over(u, 0);
	return 0;
}

static int nego_next(struct vhost_user *u)
{
	struct vhost_dev *dev = &u->dev;
	struct vhost_op *op = &u->nego;
	int r = 0;

	*op = (struct vhost_op){ .settle = settle_nego, .reply = reply_nego };
	switch (u->stage) {
	case STAGE_FEATURES:
		u->pf = u->pf_offered = 0;
		r = user_send(u, NULL, &(struct user_req){ .request = VU_SET_OWNER, .fd = -1 });
		if (!r)
			r = user_send(u, op, &(struct user_req){ .request = VU_GET_FEATURES,
								 .fd = -1 });
		u->stage = STAGE_PROTOCOL;
		break;
	case STAGE_PROTOCOL:
		u->stage = STAGE_LIMITS;
		if (!(u->offered & VU_F_PROTOCOL_FEATURES))
			return nego_next(u);
		r = user_send(u, op, &(struct user_req){ .request = VU_GET_PROTOCOL_FEATURES,
							 .fd = -1 });
		break;
	case STAGE_LIMITS:
		u->stage = STAGE_REPLAY;
		u->n_queues = VU_MAX_QUEUES;
		u->n_slots = 0;
		if (!(u->offered & VU_F_PROTOCOL_FEATURES))
			return nego_next(u);
		u->pf = choose_protocol_features(u);
		r = user_send_u64(u, NULL, VU_SET_PROTOCOL_FEATURES, u->pf);
		if (!r && has_pf(u, VHOST_USER_PF_MQ))
			r = user_send(u, op, &(struct user_req){ .request = VU_GET_QUEUE_NUM,
								 .fd = -1 });
		if (!r && has_pf(u, VHOST_USER_PF_CONFIGURE_MEM_SLOTS))
			r = user_send(u, op, &(struct user_req){ .request = VU_GET_MAX_MEM_SLOTS,
								 .fd = -1 });
		if (!r && has_pf(u, VHOST_USER_PF_BACKEND_REQ))
			r = send_channel(u, op);
		if (!r && !op->pending)
			r = user_send(u, op, &(struct user_req){ .request = VU_GET_FEATURES,
								 .fd = -1 });
		break;
	case STAGE_REPLAY:
		if (u->reconnecting) {
			r = check_compatible(u, u->connected_pf);
			if (!r)
				r = choose_bases(u);
			if (!r && dev->rec.inflight.fd >= 0 && !u->keep_inflight) {
				u->stage = STAGE_RENEWED;
				r = renew_inflight(u, op);
				break;
			}
			u->stage = STAGE_DONE;
			if (!r)
				r = replay(u, op);
			if (r < 0 || op->pending)
				break;
		}
		return nego_done(u);
	case STAGE_RENEWED:
		u->stage = STAGE_DONE;
		r = replay(u, op);
		if (r < 0 || op->pending)
			break;
		return nego_done(u);
	case STAGE_DONE:
		return nego_done(u);
	default:
		return -EINVAL;
	}
	if (r < 0)
		return r;
	op->submitted = true;
	return 0;
}

/* A socket is there: begin to talk. */
static int begin_talk(struct vhost_user *u, int fd)
{
	vu_chan_open(&u->main, fd);
	user_watch(u, fd, EPOLLIN);
	u->stage = STAGE_FEATURES;
	return nego_next(u);
}

int user_accept(struct vhost_user *u)
{
	int fd = accept4(u->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), r;

	if (fd < 0) {
		r = -errno;
		if (r == -EAGAIN || r == -EWOULDBLOCK || r == -EINTR || r == -ECONNABORTED)
			return -EAGAIN;
		dev_fail(&u->dev, r, VHOST_ERR_CONNECT, "cannot accept a back-end at %s: %s",
			 u->path, strerror(-r));
	} else {
		user_unwatch(u, u->listen_fd);
		r = begin_talk(u, fd);
	}
	if (r < 0 && u->stage != STAGE_IDLE)
		connect_over(u, r);
	return r;
}

static int connect_begin(struct vhost_user *u, int fd, uint32_t flags)
{
	struct vhost_dev *dev = &u->dev;
	_cleanup_close_ int own = -1;
	int r;

	dev->state = VHOST_DEV_CONNECTING;
	u->nonblock = flags & VHOST_OPEN_NONBLOCK;
	u->connect_deadline = dev_deadline(dev);
	u->connect_status = 1;
	u->stage = STAGE_FEATURES;
	if (fd >= 0) {
		r = check_socket(dev, fd);
		if (r < 0)
			return r;
		own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (own < 0)
			return dev_fail(dev, -errno, VHOST_ERR_OTHER, "descriptor %d: %s", fd,
					strerror(errno));
	} else if (u->kind == USER_LISTEN) {
		r = listen_at(u);
		if (r < 0)
			return r;
		u->stage = STAGE_ACCEPT;
		user_watch(u, u->listen_fd, EPOLLIN);
		return 0;
	} else {
		r = connect_to(u, &own);
		if (r < 0)
			return r;
	}
	return begin_talk(u, TAKE_FD(own));
}

int user_connect(struct vhost_dev *dev, int fd, uint32_t flags)
{
	struct vhost_user *u = to_user(dev);
	bool nonblock = flags & VHOST_OPEN_NONBLOCK;
	int r = connect_begin(u, fd, flags);

	if (r < 0) {
		u->nonblock = false;	/* told by the return value */
		if (u->stage != STAGE_IDLE)
			connect_over(u, r);
		dev->state = VHOST_DEV_CLOSED;
		return r;
	}
	if (nonblock)
		return 0;
	while (u->connect_status > 0)
		user_wait(dev, NULL);
	return u->connect_status;
}

int user_reconnect(struct vhost_dev *dev, int fd, uint32_t flags)
{
	struct vhost_user *u = to_user(dev);

	if (fd < 0 && u->kind == USER_FD)
		return dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
				"a device opened by descriptor has no address to reconnect to: use "
				"vhost_dev_reconnect_fd()");
	if (u->in_channel || u->in_closed)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
				"a device cannot be reconnected inside of one of its own callbacks");
	if (dev->state != VHOST_DEV_CLOSED)
		user_disconnect(u, -ECANCELED);
	u->reconnecting = true;
	u->reconnect_flags = flags;
	return user_connect(dev, fd, flags);
}

/* --------------------------------------------------------------------- what it can */

int user_get_cap(const struct vhost_dev *dev, uint32_t cap, uint64_t *ret)
{
	const struct vhost_user *u = to_user_const(dev);
	/* capabilities that are a protocol feature, and nothing else */
	static const int8_t by_feature[] = {
		[VHOST_CAP_CONFIG] = VHOST_USER_PF_CONFIG,
		[VHOST_CAP_STATUS] = VHOST_USER_PF_STATUS,
		[VHOST_CAP_INFLIGHT] = VHOST_USER_PF_INFLIGHT_SHMFD,
		[VHOST_CAP_DEVICE_STATE] = VHOST_USER_PF_DEVICE_STATE,
		[VHOST_CAP_POSTCOPY] = VHOST_USER_PF_PAGEFAULT,
		[VHOST_CAP_BACKEND_CHANNEL] = VHOST_USER_PF_BACKEND_REQ,
		[VHOST_CAP_SHMEM] = VHOST_USER_PF_SHMEM,
		[VHOST_CAP_SHARED_OBJECT] = VHOST_USER_PF_SHARED_OBJECT,
		[VHOST_CAP_HOST_NOTIFIER] = VHOST_USER_PF_HOST_NOTIFIER,
		[VHOST_CAP_RARP] = VHOST_USER_PF_RARP,
		[VHOST_CAP_MTU] = VHOST_USER_PF_NET_MTU,
		[VHOST_CAP_CRYPTO] = VHOST_USER_PF_CRYPTO_SESSION,
		[VHOST_CAP_CROSS_ENDIAN] = VHOST_USER_PF_CROSS_ENDIAN,
		[VHOST_CAP_REPLY_ACK] = VHOST_USER_PF_REPLY_ACK,
		[VHOST_CAP_INBAND_NOTIFY] = VHOST_USER_PF_INBAND_NOTIFICATIONS,
	};

	switch (cap) {
	case VHOST_CAP_DEVICE_ID:
		*ret = dev->device_id;
		break;
	case VHOST_CAP_MAX_QUEUES:
		*ret = u->n_queues;
		break;
	case VHOST_CAP_MAX_QUEUE_SIZE:
		*ret = VHOST_VIRTQ_SIZE_MAX;
		break;
	case VHOST_CAP_MAX_MEM_REGIONS:
		*ret = u->n_slots ? u->n_slots : VU_MAX_TABLE_REGIONS;
		break;
	case VHOST_CAP_MEM_NEEDS_SHARED:
	case VHOST_CAP_SUSPEND:
	case VHOST_CAP_RESUME:
	case VHOST_CAP_ADDRESS_SPACES:
		*ret = 1;
		break;
	case VHOST_CAP_MEM_HOTPLUG:
		*ret = u->n_slots > 0;
		break;
	case VHOST_CAP_MEM_PINNED:
	case VHOST_CAP_MEM_NEEDS_ADDR:
	case VHOST_CAP_IOVA_FIRST:
	case VHOST_CAP_GROUPS:
	case VHOST_CAP_WORKERS:
		*ret = 0;
		break;
	case VHOST_CAP_IOVA_LAST:
		*ret = UINT64_MAX - 1;
		break;
	case VHOST_CAP_CONFIG_MAX:
		*ret = has_pf(u, VHOST_USER_PF_CONFIG) ? 256 : 0;
		break;
	case VHOST_CAP_RESET:
		*ret = has_pf(u, VHOST_USER_PF_RESET_DEVICE) || has_pf(u, VHOST_USER_PF_STATUS);
		break;
	case VHOST_CAP_LOG:
		*ret = has_pf(u, VHOST_USER_PF_LOG_SHMFD) && u->offered & VU_F_LOG_ALL ? 1 : 0;
		break;
	case VHOST_CAP_ENABLE_RUNNING:
		*ret = (u->offered & VU_F_PROTOCOL_FEATURES) != 0;
		break;
	case VHOST_CAP_IOTLB:
		*ret = u->offered >> VIRTIO_BIT_ACCESS_PLATFORM & 1;
		break;
	case VHOST_CAP_RECONNECT:
		*ret = u->kind != USER_FD;
		break;
	default:
		*ret = has_pf(u, (unsigned int)by_feature[cap]);
		break;
	}
	return 0;
}
