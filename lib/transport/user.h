/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The vhost-user front-end, shared between its files. */
#ifndef LIBVHOST_TRANSPORT_USER_H
#define LIBVHOST_TRANSPORT_USER_H

#include <vhost/user.h>

#include "proto/vu-chan.h"
#include "transport/transport.h"

enum user_address {
	USER_CLIENT,
	USER_LISTEN,
	USER_FD
};

enum user_stage {
	STAGE_IDLE,
	STAGE_ACCEPT,		/* listening, nobody has come yet */
	STAGE_FEATURES,
	STAGE_PROTOCOL,
	STAGE_LIMITS,
	STAGE_REPLAY,
	STAGE_RENEWED,		/* with a new in-flight record; the replay comes next */
	STAGE_DONE
};

/* An answer that is to come. They come in the order of the requests. */
struct user_pend {
	struct vhost_op *op;
	uint8_t request;
	uint8_t expect;		/* enum vu_expect */
	uint16_t index;
};

struct user_shmem {
	void *addr;
	uint64_t size;
	struct user_shmem_map *maps;
};

struct user_notifier {
	void *addr;
	size_t size;
};

struct user_objects {
	struct vu_uuid *uuids;
	unsigned int n;
};

#define USER_MAX_OBJECTS 1024u	/* that one device exports */
#define USER_MAX_MISSES 1024u	/* translations that it has not acknowledged */
#define USER_MAX_SHMEM_MAPS 4096u	/* over all regions */

struct vhost_user {
	struct vhost_dev dev;
	enum user_address kind;
	struct vhost_dev_opts opts;
	char *path;
	int listen_fd;
	bool bound;		/* the socket file is ours to remove */

	struct vu_chan main;
	struct vu_chan channel;	/* the back-end's requests */

	struct user_pend *pend;
	unsigned int pend_room;
	unsigned int pend_head;
	unsigned int n_pend;
	unsigned int n_misses;	/* of these: translations that the back-end asked for */
	unsigned int n_held;	/* of these, at the end: of a transaction that is only begun */

	struct vhost_op nego;
	enum user_stage stage;
	bool nonblock;
	bool reconnecting;
	uint32_t reconnect_flags;
	int connect_status;	/* how the last attempt ended */
	uint64_t connect_deadline;
	int resume_state;	/* what the device was in when the connection ended */

	uint64_t offered;	/* features, all bits */
	bool offered_is_fresh;	/* learnt when connecting, and not yet told to the caller */
	uint64_t pf_offered;
	uint64_t pf;		/* in use */
	uint64_t connected_pf;	/* were in use when it was last connected */
	bool keep_inflight;	/* hand the old record back, rather than get a new one */
	unsigned int n_queues;
	unsigned int n_slots;	/* 0: only SET_MEM_TABLE */

	int epfd;
	int wakefd;
	bool out_armed;
	bool channel_out_armed;
	bool in_channel;	/* a back-end's request is being handled */
	bool in_closed;		/* the end of the connection is being told */
	uint8_t postcopy;	/* 0 no, 1 advised, 2 listening */

	struct vu_shmem_config *shmem_config;
	struct user_shmem *shmem;	/* 256 of them once any is set */
	unsigned int n_shmem_maps;
	struct user_notifier *notifiers;	/* 256 of them once there is one */
	struct user_objects objects;
};

static inline struct vhost_user *to_user(struct vhost_dev *dev)
{
	return (struct vhost_user *)dev;
}

static inline const struct vhost_user *to_user_const(const struct vhost_dev *dev)
{
	return (const struct vhost_user *)dev;
}

static inline bool has_pf(const struct vhost_user *u, unsigned int bit)
{
	return u->pf >> bit & 1;
}

/* user.c */
int user_new(const char *address, enum user_address kind, const char *path,
	     const struct vhost_dev_opts *opts, struct vhost_dev **ret);
int user_connect(struct vhost_dev *dev, int fd, uint32_t flags);
int user_reconnect(struct vhost_dev *dev, int fd, uint32_t flags);
int user_accept(struct vhost_user *u);	/* 0 or -EAGAIN, or an error: connecting has failed */
void user_trace_changed(struct vhost_dev *dev);
void user_free(struct vhost_dev *dev);
int user_get_cap(const struct vhost_dev *dev, uint32_t cap, uint64_t *ret);
int user_require(struct vhost_dev *dev, unsigned int bit);	/* is it a vhost-user with this? */

/* user-io.c */
struct user_req {
	uint32_t request;
	const void *payload;
	uint32_t size;
	int fd;				/* -1 none */
	unsigned int index;		/* of the queue, for texts and replies */
	bool now;			/* before anything that a transaction holds back */
};

/* Send a request for an operation; asks for an acknowledgement where there can be one. */
int user_send(struct vhost_user *u, struct vhost_op *op, const struct user_req *req);
int user_send_fds(struct vhost_user *u, struct vhost_op *op, const struct user_req *req,
		  const int *fds, unsigned int n_fds);
/*
 * Send a request that has nothing but its number, and whose row has an answer; the
 * operation's reply() takes it, at once if nothing else is on its way and it is here.
 */
int user_ask(struct vhost_user *u, struct vhost_op *op, uint32_t request);
int user_send_u64(struct vhost_user *u, struct vhost_op *op, uint32_t request, uint64_t value);
int user_send_state(struct vhost_user *u, struct vhost_op *op, uint32_t request,
		    unsigned int index, uint32_t num);
/* After requests that nobody acknowledges: something that is answered. */
int user_barrier(struct vhost_user *u, struct vhost_op *op);

int user_wait(struct vhost_dev *dev, struct vhost_op *op);
int user_begin(struct vhost_dev *dev);
int user_commit(struct vhost_dev *dev);
void user_drop(struct vhost_dev *dev);
int user_get_fd(struct vhost_dev *dev);
int user_process(struct vhost_dev *dev);
uint64_t user_deadline(const struct vhost_dev *dev);
void user_close(struct vhost_dev *dev);
void user_lost(struct vhost_dev *dev, int status);
/* The connection is over: everything pending fails with @status. */
void user_disconnect(struct vhost_user *u, int status);
void user_watch(struct vhost_user *u, int fd, uint32_t events);
void user_unwatch(struct vhost_user *u, int fd);
void user_wake(struct vhost_dev *dev);

/* user-ops.c */
int user_send_features(struct vhost_user *u, struct vhost_op *op);
int user_send_memory(struct vhost_user *u, struct vhost_op *op);
int user_send_vqs(struct vhost_user *u, struct vhost_op *op, bool enable);
int user_send_log(struct vhost_user *u, struct vhost_op *op);
int user_send_inflight(struct vhost_user *u, struct vhost_op *op);
int user_send_iotlb(struct vhost_user *u, struct vhost_op *op, enum dev_iotlb_type type,
		    const struct vhost_iotlb_entry *entry, bool now);

/* user-channel.c */
int user_serve_channel(struct vhost_user *u, unsigned int budget);
void user_channel_reset(struct vhost_user *u);	/* mappings, notifiers, objects */
void user_shmem_reset(struct vhost_user *u);
void user_channel_free(struct vhost_user *u);

#endif
