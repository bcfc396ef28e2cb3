/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * Requests out, answers in. Answers are matched in order with the requests that have
 * one; after a wrong answer or a deadline the connection is closed, so that a late
 * answer can never be taken for another's.
 */
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "transport/user.h"

#define BUDGET 64u	/* messages that one call takes from each socket */

static int broken(struct vhost_user *u, int r, const char *fmt, ...) _printf_(3, 4);

/* ------------------------------------------------------------------- requests */

static struct user_pend *pend_at(struct vhost_user *u, unsigned int i)
{
	return &u->pend[(u->pend_head + i) & (u->pend_room - 1)];
}

static int pend_grow(struct vhost_user *u)
{
	unsigned int room = u->pend_room ? u->pend_room * 2 : 16, i;
	struct user_pend *more = malloc(room * sizeof(*more));

	if (!more)
		return -ENOMEM;
	for (i = 0; i < u->n_pend; i++)
		more[i] = *pend_at(u, i);
	free(u->pend);
	u->pend = more;
	u->pend_room = room;
	u->pend_head = 0;
	return 0;
}

static void pend_push(struct vhost_user *u, const struct user_pend *p, bool now)
{
	unsigned int i = u->n_pend++;

	if (now) {
		/* before those of a transaction that is only begun */
		for (; i > u->n_pend - 1 - u->n_held; i--)
			*pend_at(u, i) = *pend_at(u, i - 1);
	} else if (u->main.held) {
		u->n_held++;
	}
	*pend_at(u, i) = *p;
}

static const char *request_name(uint32_t request)
{
	const struct vu_row *row = vu_row(VU_FRONTEND, request);

	return row ? row->name : "?";
}

/* A request that could not even be queued. Did the connection die of it? */
static int send_failed(struct vhost_user *u, uint32_t request, int r)
{
	if (r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -EBADF)
		return dev_fail(&u->dev, r, VHOST_ERR_OTHER, "%s was not sent: %s",
				request_name(request), strerror(-r));
	if (r == -EPIPE)
		r = -ECONNRESET;
	dev_fail(&u->dev, r, error_kind_of(r), "%s could not be sent: %s", request_name(request),
		 r == -ECONNRESET ? "the back-end closed the connection" : strerror(-r));
	user_disconnect(u, r);
	return r;
}

/* Of a request whose row has no reply that always comes: is there an answer, and which? */
static bool expects_answer(const struct vhost_user *u, const struct vhost_op *op,
			   uint32_t request, bool has_fds, struct vu_header *hdr,
			   struct user_pend *p)
{
	if (u->postcopy == 2 && has_fds &&
	    (request == VU_SET_MEM_TABLE || request == VU_ADD_MEM_REG)) {
		/* "VHOST_USER_SET_MEM_TABLE": the table comes back, and no ack is asked for */
		p->expect = VU_EXPECT_ECHO;
		return true;
	}
	if (request == VU_SET_LOG_BASE && has_pf(u, VHOST_USER_PF_LOG_SHMFD))
		return true;
	if (!has_pf(u, VHOST_USER_PF_REPLY_ACK) || request == VU_SET_PROTOCOL_FEATURES ||
	    (!op && request != VU_VRING_KICK))
		return false;
	hdr->flags |= VU_NEED_REPLY;
	p->expect = VU_EXPECT_ACK;
	return true;
}

int user_send_fds(struct vhost_user *u, struct vhost_op *op, const struct user_req *req,
		  const int *fds, unsigned int n_fds)
{
	struct vu_header hdr = {
		.request = req->request, .flags = VU_VERSION, .size = req->size,
	};
	struct user_pend p = {
		.op = op, .request = (uint8_t)req->request, .index = (uint16_t)req->index,
		.expect = VU_EXPECT_ROW,
	};
	bool answered = vu_frontend_rows[req->request].reply == VU_REPLY_ALWAYS ||
			expects_answer(u, op, req->request, n_fds > 0, &hdr, &p);
	/* a transaction that is only begun holds back its own requests, and no others */
	bool now = req->now || (op && !op->txn);
	int r;

	/* It has an answer by the specification, but DPDK's back-end gives it only if asked. */
	if (req->request == VU_IOTLB_MSG && has_pf(u, VHOST_USER_PF_REPLY_ACK))
		hdr.flags |= VU_NEED_REPLY;

	/* What came unasked must not be taken for the answer to this. */
	if (unlikely(!u->n_pend && vu_chan_has_msg(&u->main) &&
		     u->dev.state >= VHOST_DEV_STOPPED))
		return broken(u, -EPROTO, "the back-end sent a message that nobody asked for");
	if (answered && u->n_pend == u->pend_room) {
		r = pend_grow(u);
		if (r < 0)
			return send_failed(u, req->request, r);
	}
	r = vu_chan_send(&u->main, &hdr, req->payload, fds, n_fds, now);
	if (unlikely(r < 0))
		return send_failed(u, req->request, r);
	if (op) {
		op->sent++;
		op->pending += answered;
	}
	if (answered) {
		if (likely(!u->main.held))
			*pend_at(u, u->n_pend++) = p;
		else
			pend_push(u, &p, now);
		u->n_misses += !op && p.request == VU_IOTLB_MSG;
	}
	if (unlikely(u->epfd >= 0) && vu_chan_wants_out(&u->main) && !u->out_armed) {
		user_watch(u, u->main.fd, EPOLLIN | EPOLLOUT);
		u->out_armed = true;
	}
	return 0;
}

int user_send(struct vhost_user *u, struct vhost_op *op, const struct user_req *req)
{
	return user_send_fds(u, op, req, &req->fd, req->fd >= 0 ? 1 : 0);
}

int user_send_u64(struct vhost_user *u, struct vhost_op *op, uint32_t request, uint64_t value)
{
	return user_send(u, op, &(struct user_req){ .request = request, .payload = &value,
						    .size = sizeof(value), .fd = -1 });
}

int user_send_state(struct vhost_user *u, struct vhost_op *op, uint32_t request,
		    unsigned int index, uint32_t num)
{
	struct vu_vring_state state = { .index = index, .num = num };

	return user_send(u, op, &(struct user_req){ .request = request, .payload = &state,
						    .size = sizeof(state), .fd = -1,
						    .index = index });
}

int user_barrier(struct vhost_user *u, struct vhost_op *op)
{
	if (has_pf(u, VHOST_USER_PF_REPLY_ACK))
		return 0;
	return user_send(u, op, &(struct user_req){ .request = VU_GET_FEATURES, .fd = -1 });
}

/* -------------------------------------------------------------- disconnection */

void user_disconnect(struct vhost_user *u, int status)
{
	struct vhost_dev *dev = &u->dev;
	bool was_up = dev->state >= VHOST_DEV_STOPPED;
	unsigned int i;

	if (u->main.fd < 0 && dev->state == VHOST_DEV_CLOSED && !u->n_pend)
		return;
	if (was_up && !u->reconnecting) {
		/* a start that was not acknowledged has failed, and is not made up for */
		u->resume_state = dev->starting ? VHOST_DEV_STOPPED : dev->state;
		for (i = 0; i < dev->rec.n_vqs; i++)
			dev->rec.vqs[i].interrupted = dev->rec.vqs[i].running &&
						      (!dev->starting || dev->rec.vqs[i].virtq);
	}
	for (i = 0; i < dev->rec.n_vqs; i++) {
		dev->rec.vqs[i].running = false;
	}
	dev->state = VHOST_DEV_CLOSED;
	/* by name: a descriptor of the caller's may keep the socket open */
	user_unwatch(u, u->main.fd);
	user_unwatch(u, u->channel.fd);
	vu_chan_close(&u->main);
	vu_chan_close(&u->channel);
	u->out_armed = u->channel_out_armed = false;
	u->postcopy = 0;
	user_channel_reset(u);
	/* Nothing sends any more: every answer that was to come is this one. */
	while (u->n_pend) {
		struct user_pend p = *pend_at(u, 0);

		u->pend_head++;
		u->n_pend--;
		if (p.op)
			op_answer(dev, p.op, status);
	}
	u->n_held = u->n_misses = 0;
	dev_cancel_all(dev, status);
	if (was_up && dev->events.closed && status != -ECANCELED) {
		u->in_closed = true;
		dev->events.closed(dev, status, dev->events_opaque);
		u->in_closed = false;
	}
}

void user_close(struct vhost_dev *dev)
{
	user_disconnect(to_user(dev), -ECANCELED);
}

void user_lost(struct vhost_dev *dev, int status)
{
	user_disconnect(to_user(dev), status);
}

/* The connection is over, by what the socket or the peer's message was. */
static int broken(struct vhost_user *u, int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	dev_vfail(&u->dev, r, error_kind_of(r), fmt, ap);
	va_end(ap);
	user_disconnect(u, r);
	return r;
}

/* --------------------------------------------------------------------- answers */

static int handle_ack(struct vhost_user *u, const struct user_pend *p, const struct vu_msg *msg)
{
	uint64_t value;

	memcpy(&value, msg->payload, sizeof(value));
	if (!value)
		return 0;
	if (p->request >= VU_SET_VRING_NUM && p->request <= VU_SET_VRING_ERR)
		return dev_fail(&u->dev, -EREMOTEIO, VHOST_ERR_PEER_REFUSED,
				"the back-end refused %s for queue %u (it answered %llu)",
				request_name(p->request), p->index, (unsigned long long)value);
	return dev_fail(&u->dev, -EREMOTEIO, VHOST_ERR_PEER_REFUSED,
			"the back-end refused %s (it answered %llu)", request_name(p->request),
			(unsigned long long)value);
}

/* One answer. Negative if the connection is over. */
static int handle_reply(struct vhost_user *u, const struct vu_msg *msg)
{
	struct vhost_dev *dev = &u->dev;
	enum vu_verdict verdict;
	struct user_pend p;
	int r = 0;

	if (u->n_pend == u->n_held)
		return broken(u, -EPROTO, "the back-end sent %s, which nobody asked for",
			      request_name(msg->hdr.request));
	p = *pend_at(u, 0);
	if (likely(p.expect == VU_EXPECT_ROW &&
		   vu_is_plain_reply(&vu_frontend_rows[p.request], p.request, msg)))
		verdict = VU_OK;
	else
		verdict = vu_check_reply(VU_FRONTEND, p.request, p.expect, msg, u->pf);
	if (verdict == VU_BAD_REQUEST)
		return broken(u, -EPROTO, "the back-end answered %s with %s (%u)",
			      request_name(p.request), request_name(msg->hdr.request),
			      msg->hdr.request);
	if (verdict != VU_OK)
		return broken(u, -EPROTO, "the back-end's answer to %s %s (flags 0x%x, %u bytes, "
			      "%u descriptors)", request_name(p.request),
			      vu_verdict_text(verdict), msg->hdr.flags, msg->hdr.size, msg->n_fds);
	u->pend_head++;
	u->n_pend--;
	u->n_misses -= !p.op && p.request == VU_IOTLB_MSG;
	if (p.expect == VU_EXPECT_ACK)
		r = handle_ack(u, &p, msg);
	else if (p.op && p.op->reply)
		r = p.op->reply(dev, p.op, p.request, p.index, msg);
	if (r == -EPROTO) {
		/* the sentence is there; the operation is answered with all others */
		if (p.op)
			op_answer(dev, p.op, r);
		user_disconnect(u, r);
		return r;
	}
	if (p.op)
		op_answer(dev, p.op, r);
	return dev->state == VHOST_DEV_CLOSED && u->main.fd < 0 ? -ENOTCONN : 0;
}

/* Nothing more can come. */
static int receive_failed(struct vhost_user *u, int r, const char *why)
{
	switch (r) {
	case -ECONNRESET:
		return broken(u, r, "the back-end closed the connection%s%s",
			      u->n_pend ? " while it owed the answer to " : "",
			      u->n_pend ? request_name(pend_at(u, 0)->request) : "");
	case -ECONNABORTED:
		return broken(u, r, "the back-end closed the connection in the middle of a message");
	case -EPROTO:
		return broken(u, r, "what the back-end sent %s", why);
	default:
		return broken(u, r, "nothing can be received from the back-end: %s", strerror(-r));
	}
}

/* Take one answer, if it has come: 1, 0 if not, or negative if the connection is over. */
static int receive_one(struct vhost_user *u)
{
	struct vu_msg msg;
	const char *why;
	int r = vu_chan_recv(&u->main, &msg, &why);

	if (likely(r > 0)) {
		r = handle_reply(u, &msg);
		return r < 0 ? r : 1;
	}
	return r == -EAGAIN ? 0 : receive_failed(u, r, why);
}

/* Take what has come on the main socket. 0, or negative if the connection is over. */
static int receive(struct vhost_user *u, unsigned int budget)
{
	int r = 1;

	/* what is in the buffer already would not make the socket readable again */
	while (r > 0 && (budget || vu_chan_has_msg(&u->main))) {
		budget -= budget > 0;
		r = receive_one(u);
	}
	return r < 0 ? r : 0;
}

int user_ask(struct vhost_user *u, struct vhost_op *op, uint32_t request)
{
	const struct vu_header hdr = { .request = request, .flags = VU_VERSION };
	struct user_pend p = { .op = op, .request = (uint8_t)request, .expect = VU_EXPECT_ROW };
	struct vu_msg msg;
	const char *why;
	int r;

	if (op->txn || u->n_pend || !vu_chan_is_idle(&u->main) || !u->pend_room)
		return user_send(u, op, &(struct user_req){ .request = request, .fd = -1 });
	r = vu_chan_send(&u->main, &hdr, NULL, NULL, 0, false);
	if (r < 0)
		return send_failed(u, request, r);
	op->sent++;
	r = vu_chan_recv(&u->main, &msg, &why);
	if (likely(r > 0 && vu_is_plain_reply(&vu_frontend_rows[request], request, &msg)))
		return op->reply(&u->dev, op, request, 0, &msg);
	/* Not here yet, or not plain: it goes the way of all others. */
	*pend_at(u, u->n_pend++) = p;
	op->pending++;
	if (r > 0)
		handle_reply(u, &msg);
	else if (r != -EAGAIN)
		receive_failed(u, r, why);
	return 0;
}

static int flush(struct vhost_user *u)
{
	int r = vu_chan_flush(&u->main);

	if (r < 0 && r != -EAGAIN) {
		if (r == -EPIPE)
			r = -ECONNRESET;
		return broken(u, r, "nothing can be sent to the back-end: %s",
			      r == -ECONNRESET ? "it closed the connection" : strerror(-r));
	}
	if (u->epfd >= 0 && u->out_armed != vu_chan_wants_out(&u->main)) {
		u->out_armed = !u->out_armed;
		user_watch(u, u->main.fd, EPOLLIN | (u->out_armed ? EPOLLOUT : 0));
	}
	return 0;
}

static int late(struct vhost_user *u)
{
	return broken(u, -ETIMEDOUT, "the back-end did not answer %s within %d ms",
		      u->n_pend ? request_name(pend_at(u, 0)->request) :
		      u->stage == STAGE_ACCEPT ? "by connecting" : "at all",
		      u->dev.timeout_ms);
}

/* Sleep until one of the sockets has something, and serve the back-end's channel. */
static int wait_for_more(struct vhost_user *u, uint64_t deadline)
{
	struct pollfd fds[2] = {
		{ .fd = u->stage == STAGE_ACCEPT ? u->listen_fd : u->main.fd,
		  .events = vu_chan_wants_out(&u->main) ? POLLIN | POLLOUT : POLLIN },
		{ .fd = u->in_channel ? -1 : u->channel.fd,
		  .events = vu_chan_wants_out(&u->channel) ? POLLIN | POLLOUT : POLLIN },
	};
	int timeout = -1, r;

	if (deadline != UINT64_MAX) {
		uint64_t now = now_ms();

		if (now >= deadline)
			return late(u);
		timeout = deadline - now > INT32_MAX ? INT32_MAX : (int)(deadline - now);
	}
	r = poll(fds, 2, timeout);
	if (r < 0 && errno != EINTR)
		return broken(u, -errno, "cannot wait for the back-end: %s", strerror(errno));
	if (r > 0 && fds[1].revents)
		user_serve_channel(u, BUDGET);
	return 0;
}

/*
 * Wait until @op is settled; or, without one, until something has happened. While it
 * waits it serves the back-end's channel, or the two would wait for each other; unless
 * this is called from a request of that channel.
 */
int user_wait(struct vhost_dev *dev, struct vhost_op *op)
{
	struct vhost_user *u = to_user(dev);
	const struct vhost_op *rollback = dev->rollback;
	bool connecting = !op && u->connect_status > 0;
	uint64_t deadline = 0;
	int r;

	while (u->main.fd >= 0 || u->stage == STAGE_ACCEPT) {
		if (unlikely(u->stage == STAGE_ACCEPT))
			r = user_accept(u) == -EAGAIN ? 0 : -1;
		else
			r = receive_one(u);
		if (r < 0 || (op ? op->settled : dev->done_txns || rollback != dev->rollback ||
					 (connecting && u->connect_status <= 0)))
			break;
		if (r > 0)
			continue;
		if (vu_chan_wants_out(&u->main) && flush(u) < 0)
			break;
		if (!deadline) {
			deadline = op || rollback ? dev_deadline(dev) : user_deadline(dev);
			if (u->stage < STAGE_DONE && u->connect_deadline < deadline)
				deadline = u->connect_deadline;
		}
		if (wait_for_more(u, deadline) < 0)
			break;
	}
	return 0;
}

int user_begin(struct vhost_dev *dev)
{
	vu_chan_hold(&to_user(dev)->main);
	return 0;
}

int user_commit(struct vhost_dev *dev)
{
	struct vhost_user *u = to_user(dev);

	u->n_held = 0;
	vu_chan_release(&u->main);
	return flush(u);
}

void user_drop(struct vhost_dev *dev)
{
	struct vhost_user *u = to_user(dev);

	vu_chan_drop_held(&u->main);
	u->n_pend -= u->n_held;
	u->n_held = 0;
}

/* ------------------------------------------------------------------- event loop */

void user_watch(struct vhost_user *u, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	if (u->epfd < 0 || fd < 0)
		return;
	if (epoll_ctl(u->epfd, EPOLL_CTL_MOD, fd, &ev) < 0 && errno == ENOENT &&
	    epoll_ctl(u->epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
		dev_log(&u->dev, VHOST_LOG_WARNING, "cannot poll descriptor %d: %s", fd,
			strerror(errno));
}

void user_unwatch(struct vhost_user *u, int fd)
{
	if (u->epfd >= 0 && fd >= 0)
		epoll_ctl(u->epfd, EPOLL_CTL_DEL, fd, NULL);
}

void user_wake(struct vhost_dev *dev)
{
	static const uint64_t one = 1;
	struct vhost_user *u = to_user(dev);

	/* a full counter is as good as one more */
	if (u->wakefd >= 0 && write(u->wakefd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		dev_log(dev, VHOST_LOG_WARNING, "cannot wake the poller: %s", strerror(errno));
}

int user_get_fd(struct vhost_dev *dev)
{
	struct vhost_user *u = to_user(dev);

	if (u->epfd < 0) {
		if (u->wakefd < 0)
			u->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (u->wakefd >= 0)
			u->epfd = epoll_create1(EPOLL_CLOEXEC);
		if (u->epfd < 0) {
			int r = -errno;

			return dev_fail(dev, r, VHOST_ERR_OTHER, "no descriptor to poll: %s",
					strerror(-r));
		}
		user_watch(u, u->stage == STAGE_ACCEPT ? u->listen_fd : -1, EPOLLIN);
		u->out_armed = vu_chan_wants_out(&u->main);
		user_watch(u, u->main.fd, EPOLLIN | (u->out_armed ? EPOLLOUT : 0));
		user_watch(u, u->channel.fd, EPOLLIN);
		user_watch(u, u->wakefd, EPOLLIN);
	}
	return u->epfd;
}

int user_process(struct vhost_dev *dev)
{
	struct vhost_user *u = to_user(dev);
	uint64_t woken;
	int r = 0;

	if (u->wakefd >= 0 && read(u->wakefd, &woken, sizeof(woken)) < 0 && errno != EAGAIN)
		dev_log(dev, VHOST_LOG_WARNING, "the poller's wake-up call: %s", strerror(errno));
	if (u->stage == STAGE_ACCEPT) {
		r = user_accept(u);
		if (r == -EAGAIN)
			r = 0;
	}
	if (u->main.fd >= 0) {
		r = flush(u);
		if (!r)
			r = receive(u, BUDGET);
		if (!r && !u->in_channel)
			r = user_serve_channel(u, BUDGET);
	} else if (!r && u->stage != STAGE_ACCEPT) {
		r = -ENOTCONN;
	}
	if (r >= 0 && user_deadline(dev) != UINT64_MAX && now_ms() >= user_deadline(dev))
		r = late(u);
	return r;
}

uint64_t user_deadline(const struct vhost_dev *dev)
{
	const struct vhost_user *u = to_user_const(dev);
	uint64_t deadline = dev_first_deadline(dev);

	if (u->stage > STAGE_IDLE && u->stage < STAGE_DONE && u->connect_deadline < deadline)
		deadline = u->connect_deadline;
	return deadline;
}
