/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* What the session's files share, and nobody else needs. */
#ifndef LIBVHOST_BACKEND_SESSION_H
#define LIBVHOST_BACKEND_SESSION_H

#include "backend/backend.h"

/*
 * A handler returns 0 for what is done, a negative errno (with the sentence) for what is
 * refused, or one of these.
 */
enum session_result {
	SESSION_ANSWERED = 1,	/* already, or it will be; or nobody is there any more */
	SESSION_END = -10000	/* the connection is to end; less the errno to end it with */
};

/* What session_reply() returned, as the result of a handler. */
static inline int session_answered(int r)
{
	return r < 0 ? SESSION_END + r : SESSION_ANSWERED;
}

#define F(bit) ((uint64_t)1 << (bit))
#define PF(name) VHOST_USER_PF_BIT(VHOST_USER_PF_##name)

#define F_VERSION_1 F(32)
#define F_ACCESS_PLATFORM F(33)
#define F_RING_PACKED F(34)

/* session.c */
const char *session_name(uint32_t request);
/* After an answer that was given outside of session_message(): @r is how that went. */
void session_answer_sent(struct vhost_backend *be, int r);

/* Does any ring run? Its geometry and its features are frozen then. */
bool session_rings_run(const struct vhost_backend *be);

/* "While all vrings are stopped, the device is suspended." */
bool session_is_suspended(const struct vhost_backend *be);

/* session-ring.c */
int session_set_vring_num(struct vhost_backend *be, const struct vu_msg *msg);
int session_set_vring_addr(struct vhost_backend *be, const struct vu_msg *msg);
int session_set_vring_base(struct vhost_backend *be, const struct vu_msg *msg);
int session_get_vring_base(struct vhost_backend *be, const struct vu_msg *msg);
int session_set_vring_kick(struct vhost_backend *be, const struct vu_msg *msg);
int session_set_vring_call(struct vhost_backend *be, const struct vu_msg *msg);
int session_set_vring_err(struct vhost_backend *be, const struct vu_msg *msg);
int session_set_vring_enable(struct vhost_backend *be, const struct vu_msg *msg);
int session_set_vring_endian(struct vhost_backend *be, const struct vu_msg *msg);
int session_vring_kick(struct vhost_backend *be, const struct vu_msg *msg);

/* session-device.c */
int session_get_config(struct vhost_backend *be, const struct vu_msg *msg);
int session_set_config(struct vhost_backend *be, const struct vu_msg *msg);
int session_set_status(struct vhost_backend *be, const struct vu_msg *msg);
int session_get_status(struct vhost_backend *be, const struct vu_msg *msg);
int session_reset_device(struct vhost_backend *be, const struct vu_msg *msg);
int session_send_rarp(struct vhost_backend *be, const struct vu_msg *msg);
int session_net_set_mtu(struct vhost_backend *be, const struct vu_msg *msg);
int session_set_backend_req_fd(struct vhost_backend *be, const struct vu_msg *msg);
int session_gpu_set_socket(struct vhost_backend *be, const struct vu_msg *msg);
int session_create_crypto_session(struct vhost_backend *be, const struct vu_msg *msg);
int session_close_crypto_session(struct vhost_backend *be, const struct vu_msg *msg);
int session_get_shared_object(struct vhost_backend *be, const struct vu_msg *msg);
int session_get_shmem_config(struct vhost_backend *be, const struct vu_msg *msg);
int session_reply_crypto(struct vhost_backend *be, const void *desc, size_t size, int64_t id);

/* session-mem.c */
void session_set_map(struct vhost_backend *be, struct guest_map *map);	/* takes it */

/* session-migrate.c */
int session_set_log_fd(struct vhost_backend *be, const struct vu_msg *msg);
int session_postcopy_register(struct vhost_backend *be, const struct guest_region *region);
void session_postcopy_unregister(struct vhost_backend *be, const struct guest_region *region);
/* Hold back @map until the front-end says that it is ready for faults. Takes it. */
void session_postcopy_wait(struct vhost_backend *be, uint32_t request, struct guest_map *map);
int session_postcopy_ack(struct vhost_backend *be, const struct vu_msg *msg);
void session_migrate_clear(struct vhost_backend *be);

#endif
