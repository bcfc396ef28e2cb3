/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The front-end's messages. Each is checked against its row, carried out by its handler,
 * and answered once. What is refused has changed nothing, and its descriptors are closed by
 * who received it; a handler takes those that it keeps.
 */
#include "backend/backend.h"

#include "backend/session.h"

#define PACKED_BASE 0x80008000u	/* index 0, both wrap counters 1 (VIRTIO 1.3, 2.8.1) */

typedef int (*session_fn)(struct vhost_backend *be, const struct vu_msg *msg);

/* ----------------------------------------------------------------------- offers */

/* Of the mask, what the device has not what it needs for. */
static uint64_t impossible_features(const struct vhost_backend *be)
{
	const struct vhost_backend_ops *ops = &be->ops;
	uint64_t pf = 0;

	if (ops->max_queues <= 1)
		pf |= PF(MQ);
	if (!ops->send_rarp)
		pf |= PF(RARP);
	if (!ops->set_mtu)
		pf |= PF(NET_MTU);
	if (!(ops->flags & VHOST_BACKEND_LEGACY))
		pf |= PF(CROSS_ENDIAN);
	if (!ops->create_crypto_session)
		pf |= PF(CRYPTO_SESSION);
	if (!ops->config_size)
		pf |= PF(CONFIG);
	if (!ops->mem_map)
		pf |= PF(XEN_MMAP);
	if (!ops->get_shared_object)
		pf |= PF(SHARED_OBJECT);
	if (!ops->save_state || !ops->load_state)
		pf |= PF(DEVICE_STATE);
	if (!ops->n_shmem_sizes)
		pf |= PF(SHMEM);
	return pf;
}

void session_init(struct vhost_backend *be)
{
	be->offered = be->ops.features | (VHOST_BACKEND_FEATURES & ~be->ops.features_off);
	be->offered_pf = be->ops.protocol_features & VHOST_USER_PROTOCOL_ALL & ~impossible_features(be);
	/* "an error to negotiate this feature without" the two others */
	if (!(be->offered_pf & PF(BACKEND_REQ)) || !(be->offered_pf & PF(REPLY_ACK)))
		be->offered_pf &= ~PF(INBAND_NOTIFICATIONS);
	if (!(be->offered_pf & PF(BACKEND_REQ)))
		be->offered_pf &= ~(PF(BACKEND_SEND_FD) | PF(HOST_NOTIFIER) | PF(SHMEM));
	if (!(be->offered_pf & PF(INFLIGHT_SHMFD)))
		be->offered_pf &= ~PF(GET_VRING_BASE_INFLIGHT);
	if (be->offered_pf & PF(PAGEFAULT) && !session_can_postcopy())
		be->offered_pf &= ~PF(PAGEFAULT);
	if (!(be->offered & VU_F_PROTOCOL_FEATURES))
		be->offered_pf = 0;
}

void session_begin(struct vhost_backend *be)
{
	be->acked = 0;
	be->features_set = false;
	be->acked_pf = 0;
	be->status = 0;
	be->needs_reset = false;
	be->late = LATE_NONE;
	be->postcopy = POSTCOPY_NONE;
	be->transfer = STATE_NONE;
}

void session_end(struct vhost_backend *be)
{
	unsigned int i;

	be->late = LATE_NONE;
	be->transfer = STATE_NONE;
	for (i = 0; i < be->ops.max_queues; i++)
		vr_reset(be->vrings[i]);
	channel_close(be, -ENOTCONN);
	channel_forget_shmem(be);
	session_migrate_clear(be);
	session_mem_clear(be);
	be->acked = 0;
	be->features_set = false;
	be->acked_pf = 0;
	be->status = 0;
	be->needs_reset = false;
}

/* --------------------------------------------------------------------- answers */

int session_reply(struct vhost_backend *be, uint32_t request, const void *payload, uint32_t size,
		  int fd)
{
	const struct vu_header hdr = {
		.request = request, .flags = VU_VERSION | VU_REPLY, .size = size,
	};
	int r = vu_chan_send(&be->main, &hdr, payload, &fd, fd >= 0 ? 1 : 0, false);

	if (unlikely(r < 0))
		return be_fail(be, r == -EPIPE ? -ECONNRESET : r, "%s could not be answered: %s",
			       session_name(request), r == -EPIPE ?
			       "the front-end closed the connection" : strerror(-r));
	return 0;
}

int session_reply_u64(struct vhost_backend *be, uint32_t request, uint64_t value)
{
	return session_reply(be, request, &value, sizeof(value), -1);
}

const char *session_name(uint32_t request)
{
	const struct vu_row *row = vu_row(VU_FRONTEND, request);

	return row ? row->name : "?";
}

/* An answer that is given outside of session_message(). */
void session_answer_sent(struct vhost_backend *be, int r)
{
	if (r < 0)
		be_disconnect(be, r);
	else
		be_wake(be);
}

static bool wants_ack(const struct vhost_backend *be, const struct vu_msg *msg)
{
	/* Real peers honour the flag whether the feature was accepted or not. */
	return msg->hdr.flags & VU_NEED_REPLY && be->offered_pf & PF(REPLY_ACK);
}

/*
 * Tell the front-end of a refusal, in the way that the message has for it. A message whose
 * answer has no such form ends the connection: a front-end must neither wait for ever nor
 * be told what is not so.
 */
static int refuse(struct vhost_backend *be, const struct vu_msg *msg)
{
	static const uint8_t no_session[sizeof(uint64_t)];
	uint32_t request = msg->hdr.request;

	switch (request) {
	case VU_GET_CONFIG:
		/* "uses zero length of payload to indicate an error" */
		return session_reply(be, request, NULL, 0, -1);
	case VU_CREATE_CRYPTO_SESSION:
		if (msg->hdr.size < sizeof(no_session) ||
		    msg->hdr.size > VHOST_USER_CRYPTO_SESSION_MAX)
			return session_reply_crypto(be, no_session, sizeof(no_session), -1);
		return session_reply_crypto(be, msg->payload, msg->hdr.size, -1);
	case VU_POSTCOPY_ADVISE:
	case VU_GET_SHARED_OBJECT:
		/* no descriptor */
		return session_reply(be, request, NULL, 0, -1);
	case VU_GET_INFLIGHT_FD: {
		/* a record of no bytes, as QEMU understands it */
		const struct vu_inflight none = { 0 };

		return session_reply(be, request, &none, sizeof(none), -1);
	}
	case VU_SET_DEVICE_STATE_FD:
		return session_reply_u64(be, request, VU_DEVICE_STATE_NOFD | 1);
	case VU_IOTLB_MSG:
	case VU_POSTCOPY_END:
	case VU_CHECK_DEVICE_STATE:
		return session_reply_u64(be, request, 1);
	case VU_SET_LOG_BASE:
		/* Readers take any answer for success, and would migrate a guest half. */
		if (be->acked_pf & PF(LOG_SHMFD))
			return -EPROTO;
		break;
	case VU_SET_MEM_TABLE:
	case VU_ADD_MEM_REG:
		/* The answer is where the memory is. */
		if (be->postcopy == POSTCOPY_LISTENING)
			return -EPROTO;
		break;
	default:
		if (vu_row(VU_FRONTEND, request) &&
		    vu_frontend_rows[request].reply == VU_REPLY_ALWAYS)
			return -EPROTO;
		break;
	}
	return wants_ack(be, msg) ? session_reply_u64(be, request, 1) : 0;
}

/* -------------------------------------------------------------------- features */

bool session_rings_run(const struct vhost_backend *be)
{
	unsigned int i;

	for (i = 0; i < be->ops.max_queues; i++)
		if (be->vrings[i]->run && !be->vrings[i]->retired)
			return true;
	return false;
}

bool session_is_suspended(const struct vhost_backend *be)
{
	unsigned int i;

	for (i = 0; i < be->ops.max_queues; i++)
		if (be->vrings[i]->started)
			return false;
	return true;
}

static int get_features(struct vhost_backend *be, const struct vu_msg *msg)
{
	int r = session_reply_u64(be, msg->hdr.request, be->offered);

	return session_answered(r);
}

/* Rings that have not been told where to start, start where the layout begins. */
static void set_first_bases(struct vhost_backend *be, uint64_t features)
{
	uint32_t was = be->acked & F_RING_PACKED ? PACKED_BASE : 0;
	unsigned int i;

	for (i = 0; i < be->ops.max_queues; i++)
		if (be->vrings[i]->base == was)
			be->vrings[i]->base = features & F_RING_PACKED ? PACKED_BASE : 0;
}

static int check_features(struct vhost_backend *be, uint64_t features)
{
	/* what is between the two sides of vhost-user, and no driver sees */
	uint64_t ours = VU_F_LOG_ALL | VU_F_PROTOCOL_FEATURES;

	if (features & ~be->offered)
		return be_fail(be, -EINVAL, "SET_FEATURES: 0x%llx has the bits 0x%llx, which are "
			       "not offered", (unsigned long long)features,
			       (unsigned long long)(features & ~be->offered));
	if (!(features & F_VERSION_1) && !(be->ops.flags & VHOST_BACKEND_LEGACY))
		return be_fail(be, -EINVAL, "SET_FEATURES: 0x%llx lacks VIRTIO_F_VERSION_1 (bit "
			       "32): this device does not serve legacy drivers",
			       (unsigned long long)features);
	if ((features ^ be->acked) & ~ours && session_rings_run(be))
		return be_fail(be, -EBUSY, "SET_FEATURES: while rings run, 0x%llx cannot become "
			       "0x%llx: only logging (bit 26) may be switched",
			       (unsigned long long)be->acked, (unsigned long long)features);
	return 0;
}

static int set_features(struct vhost_backend *be, const struct vu_msg *msg)
{
	uint64_t session = be->session, features, driver;
	uint64_t ours = VU_F_LOG_ALL | VU_F_PROTOCOL_FEATURES;
	bool log_changed, changed;
	unsigned int i;
	int r;

	memcpy(&features, msg->payload, sizeof(features));
	r = check_features(be, features);
	if (r < 0)
		return r;
	driver = features & ~ours;
	changed = !be->features_set || driver != (be->acked & ~ours);
	if (changed && be->ops.set_features) {
		r = be->ops.set_features(be, driver, be->opaque);
		if (be->session != session)
			return SESSION_ANSWERED;
		if (r < 0)
			return be_fail(be, r, "SET_FEATURES: the device refused 0x%llx: %s",
				       (unsigned long long)driver, strerror(-r));
	}
	for (i = 0; i < be->ops.max_queues; i++)
		vr_renew(be->vrings[i]);
	log_changed = (features ^ be->acked) & VU_F_LOG_ALL;
	set_first_bases(be, features);
	be->acked = features;
	be->features_set = true;
	if (log_changed)
		vr_log_changed(be);
	/*
	 * "without VHOST_USER_F_PROTOCOL_FEATURES set, the back-end must enable all rings
	 * immediately"; with it, they stay as they are.
	 */
	for (i = 0; i < be->ops.max_queues && be->session == session; i++) {
		struct vhost_vring *vr = be->vrings[i];

		if (!(features & VU_F_PROTOCOL_FEATURES))
			vr->enabled = true;
		if (vr->started && (changed || !(features & VU_F_PROTOCOL_FEATURES)) &&
		    vr_update(vr) < 0 && be->session == session)
			be_log(be, VHOST_LOG_WARNING, "ring %u was not started: %s", i, vr->error);
	}
	return be->session == session ? 0 : SESSION_ANSWERED;
}

static int get_protocol_features(struct vhost_backend *be, const struct vu_msg *msg)
{
	int r = session_reply_u64(be, msg->hdr.request, be->offered_pf);

	return session_answered(r);
}

static int set_protocol_features(struct vhost_backend *be, const struct vu_msg *msg)
{
	uint64_t pf;

	memcpy(&pf, msg->payload, sizeof(pf));
	if (pf & ~be->offered_pf)
		return be_fail(be, -EINVAL, "SET_PROTOCOL_FEATURES: 0x%llx has the bits 0x%llx, "
			       "which are not offered", (unsigned long long)pf,
			       (unsigned long long)(pf & ~be->offered_pf));
	/* "should close the connection as a response" */
	if (pf & PF(INBAND_NOTIFICATIONS) && (~pf & (PF(BACKEND_REQ) | PF(REPLY_ACK)))) {
		be_fail(be, -EPROTO, "SET_PROTOCOL_FEATURES: 0x%llx has INBAND_NOTIFICATIONS "
			"without BACKEND_REQ and REPLY_ACK", (unsigned long long)pf);
		return SESSION_END - EPROTO;
	}
	if (pf & PF(GET_VRING_BASE_INFLIGHT) && !(pf & PF(INFLIGHT_SHMFD)))
		return be_fail(be, -EINVAL, "SET_PROTOCOL_FEATURES: 0x%llx has "
			       "GET_VRING_BASE_INFLIGHT without INFLIGHT_SHMFD, so that nothing "
			       "would know what is in flight", (unsigned long long)pf);
	if ((pf ^ be->acked_pf) & PF(GPA_ADDRESSES) && session_rings_run(be))
		return be_fail(be, -EBUSY, "SET_PROTOCOL_FEATURES: while rings run, "
			       "GPA_ADDRESSES cannot be switched");
	be->acked_pf = pf;
	return 0;
}

/* ----------------------------------------------------------------------- owner */

/* The connection is the session; a second one is as good as none. */
static int set_owner(struct vhost_backend *be _unused_, const struct vu_msg *msg _unused_)
{
	return 0;
}

/* "It is recommended that back-ends either ignore this message ..." */
static int reset_owner(struct vhost_backend *be, const struct vu_msg *msg _unused_)
{
	be_log(be, VHOST_LOG_DEBUG, "RESET_OWNER was ignored");
	return 0;
}

/* ---------------------------------------------------------------------- limits */

static int get_queue_num(struct vhost_backend *be, const struct vu_msg *msg)
{
	int r = session_reply_u64(be, msg->hdr.request, be->ops.max_queues);

	return session_answered(r);
}

static int get_max_mem_slots(struct vhost_backend *be, const struct vu_msg *msg)
{
	int r = session_reply_u64(be, msg->hdr.request, GUEST_REGIONS_MAX);

	return session_answered(r);
}

/* -------------------------------------------------------------------- dispatch */

static const session_fn handlers[VU_REQUEST_LAST + 1] = {
	[VU_GET_FEATURES] = get_features,
	[VU_SET_FEATURES] = set_features,
	[VU_SET_OWNER] = set_owner,
	[VU_RESET_OWNER] = reset_owner,
	[VU_SET_MEM_TABLE] = session_set_mem_table,
	[VU_SET_LOG_BASE] = session_set_log_base,
	[VU_SET_LOG_FD] = session_set_log_fd,
	[VU_SET_VRING_NUM] = session_set_vring_num,
	[VU_SET_VRING_ADDR] = session_set_vring_addr,
	[VU_SET_VRING_BASE] = session_set_vring_base,
	[VU_GET_VRING_BASE] = session_get_vring_base,
	[VU_SET_VRING_KICK] = session_set_vring_kick,
	[VU_SET_VRING_CALL] = session_set_vring_call,
	[VU_SET_VRING_ERR] = session_set_vring_err,
	[VU_GET_PROTOCOL_FEATURES] = get_protocol_features,
	[VU_SET_PROTOCOL_FEATURES] = set_protocol_features,
	[VU_GET_QUEUE_NUM] = get_queue_num,
	[VU_SET_VRING_ENABLE] = session_set_vring_enable,
	[VU_SEND_RARP] = session_send_rarp,
	[VU_NET_SET_MTU] = session_net_set_mtu,
	[VU_SET_BACKEND_REQ_FD] = session_set_backend_req_fd,
	[VU_IOTLB_MSG] = session_iotlb,
	[VU_SET_VRING_ENDIAN] = session_set_vring_endian,
	[VU_GET_CONFIG] = session_get_config,
	[VU_SET_CONFIG] = session_set_config,
	[VU_CREATE_CRYPTO_SESSION] = session_create_crypto_session,
	[VU_CLOSE_CRYPTO_SESSION] = session_close_crypto_session,
	[VU_POSTCOPY_ADVISE] = session_postcopy,
	[VU_POSTCOPY_LISTEN] = session_postcopy,
	[VU_POSTCOPY_END] = session_postcopy,
	[VU_GET_INFLIGHT_FD] = session_get_inflight,
	[VU_SET_INFLIGHT_FD] = session_set_inflight,
	[VU_GPU_SET_SOCKET] = session_gpu_set_socket,
	[VU_RESET_DEVICE] = session_reset_device,
	[VU_VRING_KICK] = session_vring_kick,
	[VU_GET_MAX_MEM_SLOTS] = get_max_mem_slots,
	[VU_ADD_MEM_REG] = session_add_mem_reg,
	[VU_REM_MEM_REG] = session_rem_mem_reg,
	[VU_SET_STATUS] = session_set_status,
	[VU_GET_STATUS] = session_get_status,
	[VU_GET_SHARED_OBJECT] = session_get_shared_object,
	[VU_SET_DEVICE_STATE_FD] = session_device_state,
	[VU_CHECK_DEVICE_STATE] = session_device_state,
	[VU_GET_SHMEM_CONFIG] = session_get_shmem_config,
};

/*
 * Questions whose answer is always known are answered also to who did not negotiate them:
 * there is no other answer, and to close the connection would be the worse one.
 */
static uint64_t open_gates(uint32_t request)
{
	switch (request) {
	case VU_GET_QUEUE_NUM:
		return PF(MQ);
	case VU_GET_MAX_MEM_SLOTS:
		return PF(CONFIGURE_MEM_SLOTS);
	case VU_GET_STATUS:
		return PF(STATUS);
	case VU_GET_SHMEM_CONFIG:
		return PF(SHMEM);
	default:
		return 0;
	}
}

static int bad_message(struct vhost_backend *be, const struct vu_msg *msg,
		       enum vu_verdict verdict)
{
	const struct vu_header *hdr = &msg->hdr;

	if (!vu_row(VU_FRONTEND, hdr->request))
		be_fail(be, -EPROTO, "message %u, which is unknown, was refused (flags 0x%x, %u "
			"bytes, %u descriptors)", hdr->request, hdr->flags, hdr->size, msg->n_fds);
	else
		be_fail(be, -EPROTO, "%s %s (flags 0x%x, %u bytes, %u descriptors)",
			session_name(hdr->request), vu_verdict_text(verdict), hdr->flags, hdr->size,
			msg->n_fds);
	if (verdict == VU_BAD_VERSION)
		return -EPROTO;
	/* Nothing was asked of us: it may be the answer to something else. */
	if (verdict == VU_BAD_REPLY_FLAG)
		return wants_ack(be, msg) ? session_reply_u64(be, hdr->request, 1) : 0;
	return refuse(be, msg);
}

int session_message(struct vhost_backend *be, const struct vu_msg *msg)
{
	uint32_t request = msg->hdr.request;
	uint64_t session = be->session;
	enum vu_verdict verdict;
	int r;

	/* QEMU says it once, after it has added all regions. */
	if (unlikely(be->late == LATE_POSTCOPY_ACK) &&
	    (request != VU_ADD_MEM_REG || be->late_request != request ||
	     msg->hdr.size <= sizeof(uint64_t)))
		return session_postcopy_ack(be, msg);
	verdict = vu_check_request(VU_FRONTEND, msg, be->acked_pf | open_gates(request));
	if (unlikely(verdict != VU_OK))
		return bad_message(be, msg, verdict);
	r = handlers[request](be, msg);
	if (r == SESSION_ANSWERED || unlikely(be->session != session))
		return 0;
	if (unlikely(r <= SESSION_END))
		return r - SESSION_END;
	if (r < 0)
		return refuse(be, msg);
	return wants_ack(be, msg) ? session_reply_u64(be, request, 0) : 0;
}
