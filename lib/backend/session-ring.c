/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The messages of rings: what a ring is to be, and when it starts and stops. Whether it
 * runs then is for vring.c to say; what keeps it from running is refused.
 */
#include "backend/backend.h"

#include "backend/session.h"

static struct vhost_vring *ring_of(struct vhost_backend *be, const struct vu_msg *msg,
				   uint32_t index)
{
	if (likely(index < be->ops.max_queues))
		return be->vrings[index];
	be_fail(be, -EINVAL, "%s: there is no ring %u: the device has %u",
		session_name(msg->hdr.request), index, be->ops.max_queues);
	return NULL;
}

static struct vhost_vring *ring_and_state(struct vhost_backend *be, const struct vu_msg *msg,
					  struct vu_vring_state *ret)
{
	memcpy(ret, msg->payload, sizeof(*ret));
	return ring_of(be, msg, ret->index);
}

static int ring_is_busy(struct vhost_vring *vr, const struct vu_msg *msg)
{
	return be_fail(vr->be, -EBUSY, "%s: ring %u runs: stop it first, with GET_VRING_BASE",
		       session_name(msg->hdr.request), vr->index);
}

/* Run the ring, if it can run now; SESSION_ANSWERED if the connection ended over it. */
static int ring_update(struct vhost_vring *vr, const struct vu_msg *msg)
{
	struct vhost_backend *be = vr->be;
	uint64_t session = be->session;
	uint32_t request = msg->hdr.request;
	int r = vr_update(vr);

	if (be->session != session)
		return SESSION_ANSWERED;
	if (r < 0)
		return be_fail(be, r, "%s: ring %u cannot be started: %s", session_name(request),
			       vr->index, vr->error);
	/* The device may no longer be suspended: what waited for that can go. */
	channel_flush(be);
	return 0;
}

int session_set_vring_num(struct vhost_backend *be, const struct vu_msg *msg)
{
	struct vu_vring_state state;
	struct vhost_vring *vr;
	uint32_t was;
	int r;

	vr = ring_and_state(be, msg, &state);
	if (!vr)
		return -EINVAL;
	if (!state.num || state.num > be->ops.max_queue_size)
		return be_fail(be, -EINVAL, "SET_VRING_NUM: ring %u cannot have %u descriptors: 1 "
			       "to %u", state.index, state.num, be->ops.max_queue_size);
	vr_renew(vr);
	if (vr->run)
		return ring_is_busy(vr, msg);
	was = vr->size;
	vr->size = state.num;
	r = ring_update(vr, msg);
	if (r < 0)
		vr->size = was;
	return r;
}

int session_set_vring_addr(struct vhost_backend *be, const struct vu_msg *msg)
{
	struct vring_areas areas, were;
	struct vu_vring_addr addr;
	struct vhost_vring *vr;
	bool was_set, was_logged;
	uint64_t log_was;
	int r;

	memcpy(&addr, msg->payload, sizeof(addr));
	vr = ring_of(be, msg, addr.index);
	if (!vr)
		return -EINVAL;
	if (addr.flags & ~VU_VRING_ADDR_LOG)
		return be_fail(be, -EINVAL, "SET_VRING_ADDR: ring %u: the flags 0x%x are unknown",
			       addr.index, addr.flags & ~VU_VRING_ADDR_LOG);
	areas = (struct vring_areas){
		.desc = addr.desc, .driver = addr.avail, .device = addr.used,
	};
	vr_renew(vr);
	if (vr->run && (areas.desc != vr->areas.desc || areas.driver != vr->areas.driver ||
			areas.device != vr->areas.device))
		return ring_is_busy(vr, msg);
	were = vr->areas;
	was_set = vr->areas_set;
	was_logged = vr->log_used;
	log_was = vr->log_guest;
	vr->areas = areas;
	vr->areas_set = true;
	vr->log_used = addr.flags & VU_VRING_ADDR_LOG;
	vr->log_guest = addr.log;
	if (vr->run) {
		vr_log_changed(be);
		return 0;
	}
	r = ring_update(vr, msg);
	if (r < 0) {
		vr->areas = were;
		vr->areas_set = was_set;
		vr->log_used = was_logged;
		vr->log_guest = log_was;
	}
	return r;
}

int session_set_vring_base(struct vhost_backend *be, const struct vu_msg *msg)
{
	struct vu_vring_state state;
	struct vhost_vring *vr;
	uint32_t was;
	int r;

	vr = ring_and_state(be, msg, &state);
	if (!vr)
		return -EINVAL;
	/* free-running: not bounded by the ring's size */
	if (be->features_set && !(be->acked & F_RING_PACKED) && state.num > UINT16_MAX)
		return be_fail(be, -EINVAL, "SET_VRING_BASE: ring %u is split: its base has 16 "
			       "bits, and 0x%x has more", state.index, state.num);
	vr_renew(vr);
	if (vr->run)
		return ring_is_busy(vr, msg);
	was = vr->base;
	vr->base = state.num;
	r = ring_update(vr, msg);
	if (r < 0)
		vr->base = was;
	return r;
}

static int reply_base(struct vhost_vring *vr)
{
	const struct vu_vring_state state = { .index = vr->index, .num = vr->base };

	return session_reply(vr->be, VU_GET_VRING_BASE, &state, sizeof(state), -1);
}

int session_get_vring_base(struct vhost_backend *be, const struct vu_msg *msg)
{
	uint64_t session = be->session;
	struct vu_vring_state state;
	struct vhost_vring *vr;
	bool busy;
	int r;

	vr = ring_and_state(be, msg, &state);
	if (!vr)
		return -EINVAL;
	vr->stopping = !(be->acked_pf & PF(GET_VRING_BASE_INFLIGHT));
	busy = vr_stop(vr);
	if (be->session != session)
		return SESSION_ANSWERED;
	vr_set_kick(vr, -1);
	if (busy) {
		be->late = LATE_DRAIN;
		be->late_request = VU_GET_VRING_BASE;
		be->late_ring = vr->index;
		return SESSION_ANSWERED;
	}
	r = reply_base(vr);
	return session_answered(r);
}

void session_drained(struct vhost_backend *be)
{
	struct vhost_vring *vr;

	if (be->late != LATE_DRAIN)
		return;
	vr = be->vrings[be->late_ring];
	if (vr->run)
		return;
	be->late = LATE_NONE;
	session_answer_sent(be, reply_base(vr));
}

/* The ring of a kick, call or err message, and its descriptor: "Bits (0-7) ... index". */
static int ring_fd(struct vhost_backend *be, const struct vu_msg *msg, struct vhost_vring **ret,
		   int *ret_fd)
{
	uint64_t value;

	memcpy(&value, msg->payload, sizeof(value));
	*ret = ring_of(be, msg, value & VU_VRING_INDEX_MASK);
	if (!*ret)
		return -EINVAL;
	*ret_fd = -1;
	if (value & VU_VRING_NOFD)
		return 0;
	if (!vr_fd_ok(msg->fds[0]))
		return be_fail(be, -EINVAL, "%s: ring %u: the descriptor is no eventfd",
			       session_name(msg->hdr.request), (*ret)->index);
	*ret_fd = TAKE_FD(msg->fds[0]);
	return 0;
}

int session_set_vring_kick(struct vhost_backend *be, const struct vu_msg *msg)
{
	uint64_t session = be->session;
	struct vhost_vring *vr;
	bool was_started;
	int fd, r = ring_fd(be, msg, &vr, &fd);

	if (r < 0)
		return r;
	vr_renew(vr);
	was_started = vr->started;
	vr_set_kick(vr, fd);
	if (be->session != session)
		return SESSION_ANSWERED;
	vr->started = true;
	r = ring_update(vr, msg);
	if (r < 0 && !was_started) {
		vr_set_kick(vr, -1);
		vr->started = false;
	}
	return r;
}

int session_set_vring_call(struct vhost_backend *be, const struct vu_msg *msg)
{
	struct vhost_vring *vr;
	int fd, r = ring_fd(be, msg, &vr, &fd);

	if (!r)
		vr_set_call(vr, fd);
	return r;
}

int session_set_vring_err(struct vhost_backend *be, const struct vu_msg *msg)
{
	struct vhost_vring *vr;
	int fd, r = ring_fd(be, msg, &vr, &fd);

	if (!r)
		vr_set_err(vr, fd);
	return r;
}

int session_set_vring_enable(struct vhost_backend *be, const struct vu_msg *msg)
{
	struct vu_vring_state state;
	struct vhost_vring *vr;
	bool was;
	int r;

	vr = ring_and_state(be, msg, &state);
	if (!vr)
		return -EINVAL;
	if (state.num > 1)
		return be_fail(be, -EINVAL, "SET_VRING_ENABLE: ring %u: %u is neither 0 nor 1",
			       state.index, state.num);
	/* "should be sent only when [it] has been negotiated": some send it before */
	if (be->features_set && !(be->acked & VU_F_PROTOCOL_FEATURES))
		be_log(be, VHOST_LOG_WARNING, "SET_VRING_ENABLE: ring %u: PROTOCOL_FEATURES (bit "
		       "30) was not accepted", state.index);
	was = vr->enabled;
	vr->enabled = state.num;
	r = ring_update(vr, msg);
	if (r < 0)
		vr->enabled = was;
	return r;
}

int session_set_vring_endian(struct vhost_backend *be, const struct vu_msg *msg)
{
	struct vu_vring_state state;
	struct vhost_vring *vr;

	vr = ring_and_state(be, msg, &state);
	if (!vr)
		return -EINVAL;
	if (state.num > 1)
		return be_fail(be, -EINVAL, "SET_VRING_ENDIAN: ring %u: %u is neither 0 (little) "
			       "nor 1 (big)", state.index, state.num);
	vr_renew(vr);
	if (vr->run)
		return ring_is_busy(vr, msg);
	vr->big_endian = state.num;
	return 0;
}

int session_vring_kick(struct vhost_backend *be, const struct vu_msg *msg)
{
	struct vu_vring_state state;
	struct vhost_vring *vr;
	bool was_started;
	int r;

	vr = ring_and_state(be, msg, &state);
	if (!vr)
		return -EINVAL;
	vr_renew(vr);
	/* "this message isn't necessary as the ring is also started on [this]" */
	was_started = vr->started;
	vr->started = true;
	r = ring_update(vr, msg);
	if (r < 0)
		vr->started = was_started;
	if (!r)
		vr_kick(vr);
	return r;
}
