/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The messages that are the device's to answer: its configuration, its status, and what
 * only some kinds of devices have.
 */
#include "backend/backend.h"

#include "backend/session.h"
#include "proto/vu-sock.h"

/* ---------------------------------------------------------------- configuration */

static bool late_room(struct vhost_backend *be)
{
	if (!be->late_data)
		be->late_data = malloc(sizeof(*be->late_data));
	return be->late_data;
}

static int config_range(struct vhost_backend *be, const struct vu_msg *msg, struct vu_config *ret)
{
	memcpy(ret, msg->payload, sizeof(*ret));
	if (!ret->size || !range_within(ret->offset, ret->size, be->ops.config_size))
		return be_fail(be, -EINVAL, "%s: the configuration space has %u bytes, not %u at "
			       "%u", session_name(msg->hdr.request), be->ops.config_size,
			       ret->size, ret->offset);
	return 0;
}

static int reply_config(struct vhost_backend *be, const struct vu_config *hdr, const void *data)
{
	struct {
		struct vu_config hdr;
		uint8_t data[VU_MAX_CONFIG];
	} reply;

	reply.hdr = *hdr;
	memcpy(reply.data, data, hdr->size);
	return session_reply(be, VU_GET_CONFIG, &reply, (uint32_t)sizeof(*hdr) + hdr->size, -1);
}

/*
 * The answer of a callback that may be late: @r is what it returned. It is late from before
 * it is called, so that it may as well be answered inside.
 */
static int late_called(struct vhost_backend *be, uint64_t session, int r)
{
	if (be->session != session || be->late != LATE_CALLBACK)
		return SESSION_ANSWERED;
	if (r == -EINPROGRESS)
		return SESSION_ANSWERED;
	be->late = LATE_NONE;
	return r > 0 ? 0 : r;
}

int session_get_config(struct vhost_backend *be, const struct vu_msg *msg)
{
	uint64_t session = be->session;
	struct vu_config hdr;
	int r = config_range(be, msg, &hdr);

	if (r < 0)
		return r;
	if (!be->ops.get_config) {
		r = reply_config(be, &hdr, be->config + hdr.offset);
		return session_answered(r);
	}
	if (!late_room(be))
		return be_fail(be, -ENOMEM, "GET_CONFIG: there is no memory left");
	be->late_data->config.hdr = hdr;
	memset(be->late_data->config.data, 0, hdr.size);
	be->late = LATE_CALLBACK;
	be->late_request = VU_GET_CONFIG;
	r = late_called(be, session, be->ops.get_config(be, hdr.offset, be->late_data->config.data,
							hdr.size, be->opaque));
	if (r == SESSION_ANSWERED)
		return r;
	if (r < 0)
		return be_fail(be, r, "GET_CONFIG: the device refused %u bytes at %u: %s", hdr.size,
			       hdr.offset, strerror(-r));
	r = reply_config(be, &hdr, be->late_data->config.data);
	return session_answered(r);
}

int session_set_config(struct vhost_backend *be, const struct vu_msg *msg)
{
	uint64_t session = be->session;
	struct vu_config hdr;
	int r = config_range(be, msg, &hdr);

	if (r < 0)
		return r;
	if (hdr.flags > 1)
		return be_fail(be, -EINVAL, "SET_CONFIG: the flags 0x%x are neither 0 (the driver "
			       "writes) nor 1 (migration)", hdr.flags);
	if (!be->ops.set_config)
		return be_fail(be, -EACCES, "SET_CONFIG: the device's configuration space is read "
			       "only");
	r = be->ops.set_config(be, hdr.offset, (const uint8_t *)msg->payload + sizeof(hdr),
			       hdr.size, hdr.flags, be->opaque);
	if (be->session != session)
		return SESSION_ANSWERED;
	if (r < 0)
		return be_fail(be, r, "SET_CONFIG: the device refused %u bytes at %u: %s", hdr.size,
			       hdr.offset, strerror(-r));
	return 0;
}

int session_set_status(struct vhost_backend *be, const struct vu_msg *msg)
{
	uint64_t session = be->session, value;

	memcpy(&value, msg->payload, sizeof(value));
	if (value > UINT8_MAX)
		return be_fail(be, -EINVAL, "SET_STATUS: 0x%llx is no byte",
			       (unsigned long long)value);
	/* Writing 0 resets the device (VIRTIO 1.3, 2.1.2); that it needs it is its own to say. */
	if (!value) {
		be_reset_device(be, true);
		channel_forget_shmem(be);
		return be->session == session ? 0 : SESSION_ANSWERED;
	}
	value &= ~(uint64_t)VIRTIO_STATUS_NEEDS_RESET;
	if (be->status == value)
		return 0;
	be->status = (uint8_t)value;
	be_call(be, set_status, be, be->status);
	return be->session == session ? 0 : SESSION_ANSWERED;
}

int session_get_status(struct vhost_backend *be, const struct vu_msg *msg)
{
	uint64_t status = be->status | (be->needs_reset ? VIRTIO_STATUS_NEEDS_RESET : 0);
	int r = session_reply_u64(be, msg->hdr.request, status);

	return session_answered(r);
}

int session_reset_device(struct vhost_backend *be, const struct vu_msg *msg _unused_)
{
	uint64_t session = be->session;

	be_reset_device(be, false);
	channel_forget_shmem(be);
	return be->session == session ? 0 : SESSION_ANSWERED;
}

/* "must return the session id, 0 or positive for success, negative for failure" */
int session_reply_crypto(struct vhost_backend *be, const void *desc, size_t size, int64_t id)
{
	uint8_t reply[VHOST_USER_CRYPTO_SESSION_MAX];

	memcpy(reply, desc, size);
	memcpy(reply + size - sizeof(id), &id, sizeof(id));
	return session_reply(be, VU_CREATE_CRYPTO_SESSION, reply, (uint32_t)size, -1);
}

/* ------------------------------------------------------- what only some devices have */

/* What a callback of the device's returned, about @what. */
static int called(struct vhost_backend *be, const struct vu_msg *msg, uint64_t session, int r)
{
	if (be->session != session)
		return SESSION_ANSWERED;
	return r < 0 ? be_fail(be, r, "%s: the device refused it: %s",
			       session_name(msg->hdr.request), strerror(-r)) : 0;
}

int session_send_rarp(struct vhost_backend *be, const struct vu_msg *msg)
{
	uint64_t session = be->session;

	/* "The first 6 bytes of the payload contain the mac address" */
	return called(be, msg, session, be->ops.send_rarp(be, msg->payload, be->opaque));
}

int session_net_set_mtu(struct vhost_backend *be, const struct vu_msg *msg)
{
	uint64_t session = be->session, mtu;

	memcpy(&mtu, msg->payload, sizeof(mtu));
	/* what VIRTIO 1.3, 5.1.4.1 allows */
	if (mtu < 68 || mtu > UINT16_MAX)
		return be_fail(be, -EINVAL, "NET_SET_MTU: %llu is no MTU: 68 to 65535",
			       (unsigned long long)mtu);
	return called(be, msg, session, be->ops.set_mtu(be, (uint16_t)mtu, be->opaque));
}

static bool is_stream_socket(int fd)
{
	bool listens;

	return vu_sock_check(fd, &listens) == 0 && !listens;
}

int session_set_backend_req_fd(struct vhost_backend *be, const struct vu_msg *msg)
{
	uint64_t session = be->session;
	int r;

	if (!is_stream_socket(msg->fds[0]))
		return be_fail(be, -ENOTSOCK, "SET_BACKEND_REQ_FD: the descriptor is no connected "
			       "Unix stream socket");
	r = channel_open(be, TAKE_FD(msg->fds[0]));
	if (be->session != session)
		return SESSION_ANSWERED;
	return r < 0 ? be_fail(be, r, "SET_BACKEND_REQ_FD: %s", strerror(-r)) : 0;
}

int session_gpu_set_socket(struct vhost_backend *be, const struct vu_msg *msg)
{
	uint64_t session = be->session;

	if (!be->ops.set_gpu_socket)
		return be_fail(be, -ENOTSUP, "GPU_SET_SOCKET: this is no graphics device");
	if (!is_stream_socket(msg->fds[0]))
		return be_fail(be, -ENOTSOCK, "GPU_SET_SOCKET: the descriptor is no connected Unix "
			       "stream socket");
	return called(be, msg, session,
		      be->ops.set_gpu_socket(be, TAKE_FD(msg->fds[0]), be->opaque));
}

int session_create_crypto_session(struct vhost_backend *be, const struct vu_msg *msg)
{
	uint64_t session = be->session;
	int r;

	if (!late_room(be))
		return be_fail(be, -ENOMEM, "CREATE_CRYPTO_SESSION: there is no memory left");
	memcpy(be->late_data->crypto.desc, msg->payload, msg->hdr.size);
	be->late_data->crypto.size = msg->hdr.size;
	be->late_data->crypto.id = 0;
	be->late = LATE_CALLBACK;
	be->late_request = VU_CREATE_CRYPTO_SESSION;
	r = late_called(be, session, be->ops.create_crypto_session(be, be->late_data->crypto.desc,
								   be->late_data->crypto.size,
								   &be->late_data->crypto.id,
								   be->opaque));
	if (r == SESSION_ANSWERED)
		return r;
	if (!r && be->late_data->crypto.id > INT64_MAX)
		r = -ERANGE;
	if (r < 0)
		return be_fail(be, r, "CREATE_CRYPTO_SESSION: the device refused it: %s",
			       strerror(-r));
	r = session_reply_crypto(be, be->late_data->crypto.desc, be->late_data->crypto.size,
				 (int64_t)be->late_data->crypto.id);
	return session_answered(r);
}

int session_close_crypto_session(struct vhost_backend *be, const struct vu_msg *msg)
{
	uint64_t session = be->session, id;

	if (!be->ops.close_crypto_session)
		return be_fail(be, -ENOTSUP, "CLOSE_CRYPTO_SESSION: the device closes none");
	memcpy(&id, msg->payload, sizeof(id));
	return called(be, msg, session, be->ops.close_crypto_session(be, id, be->opaque));
}

int session_get_shared_object(struct vhost_backend *be, const struct vu_msg *msg)
{
	uint64_t session = be->session;
	_cleanup_close_ int fd = -1;
	struct vu_uuid uuid;
	int r;

	memcpy(&uuid, msg->payload, sizeof(uuid));
	fd = be->ops.get_shared_object(be, uuid.uuid, be->opaque);
	if (be->session != session)
		return SESSION_ANSWERED;
	if (fd < 0)
		return be_fail(be, fd, "GET_SHARED_OBJECT: the device has no such object: %s",
			       strerror(-fd));
	r = session_reply(be, VU_GET_SHARED_OBJECT, NULL, 0, fd);
	return session_answered(r);
}

int session_get_shmem_config(struct vhost_backend *be, const struct vu_msg *msg)
{
	struct vu_shmem_config config = { 0 };
	unsigned int i;
	int r;

	/* A fixed array, indexed by the region's id. */
	for (i = 0; i < be->ops.n_shmem_sizes && i < VU_MAX_SHMEM_REGIONS; i++) {
		config.size[i] = be->shmem_sizes[i];
		config.n_regions += config.size[i] > 0;
	}
	r = session_reply(be, msg->hdr.request, &config, sizeof(config), -1);
	return session_answered(r);
}

/* ---------------------------------------------------------------- public calls */

static int answer_late(struct vhost_backend *be, int status)
{
	const uint8_t *desc = be->late_data->crypto.desc;

	be->late = LATE_NONE;
	if (status < 0)
		be_fail(be, status, "%s: the device refused it: %s",
			session_name(be->late_request), strerror(-status));
	if (be->late_request == VU_GET_CONFIG)
		return status < 0 ? session_reply(be, VU_GET_CONFIG, NULL, 0, -1) :
		       reply_config(be, &be->late_data->config.hdr, be->late_data->config.data);
	return session_reply_crypto(be, desc, be->late_data->crypto.size,
				    status < 0 || be->late_data->crypto.id > INT64_MAX ? -1 :
				    (int64_t)be->late_data->crypto.id);
}

VHOST_EXPORT int vhost_backend_answer(vhost_backend_t *be, int status)
{
	if (be->late != LATE_CALLBACK)
		return vhost_backend_state_done(be, status);
	be_enter(be);
	session_answer_sent(be, answer_late(be, status > 0 ? -EINVAL : status));
	be_leave(be);
	return 0;
}

VHOST_EXPORT void vhost_backend_needs_reset(vhost_backend_t *be)
{
	if (be->needs_reset)
		return;
	be->needs_reset = true;
	channel_config_changed(be);
}

VHOST_EXPORT int vhost_backend_set_config(vhost_backend_t *be, uint32_t offset, const void *buf,
					  uint32_t size)
{
	if (!range_within(offset, size, be->ops.config_size))
		return be_fail(be, -EINVAL, "the configuration space has %u bytes, not %u at %u",
			       be->ops.config_size, size, offset);
	if (!size || !memcmp(be->config + offset, buf, size))
		return 0;
	memcpy(be->config + offset, buf, size);
	channel_config_changed(be);
	return 0;
}

VHOST_EXPORT int vhost_backend_config_changed(vhost_backend_t *be)
{
	int r;

	if (be->main.fd < 0)
		return be_fail(be, -ENOTCONN, "there is no front-end to be told");
	r = channel_config_changed(be);
	if (r == -ENOTSUP)
		return be_fail(be, r, "the front-end gave no channel for changes of the "
			       "configuration, or did not accept CONFIG");
	return r;
}
