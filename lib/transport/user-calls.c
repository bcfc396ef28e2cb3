/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The calls of <vhost/user.h>: what only vhost-user has. */
#include <sys/socket.h>
#include <sys/stat.h>

#include "transport/user.h"

VHOST_EXPORT int vhost_user_get_protocol_features(const vhost_dev_t *dev, uint64_t *offered,
						  uint64_t *acked)
{
	const struct vhost_user *u = to_user_const(dev);

	if (dev->ops != &vhost_user_ops)
		return -ENOTSUP;
	if (dev->state == VHOST_DEV_CONNECTING)
		return -EINPROGRESS;
	if (offered)
		*offered = u->pf_offered;
	if (acked)
		*acked = u->pf;
	return 0;
}

/* What is common to all calls below: an operation that is one request. */
static int call(struct vhost_dev *dev, struct vhost_op *init, const struct user_req *req,
		bool barrier)
{
	struct vhost_op stack, *op;
	int r = op_begin(dev, &stack, &op);

	if (r < 0)
		return r;
	op->out = init->out;
	op->out2 = init->out2;
	op->a = init->a;
	op->reply = init->reply;
	op->settle = init->settle;
	r = user_send(to_user(dev), op, req);
	if (!r && barrier)
		r = user_barrier(to_user(dev), op);
	return op_end(dev, op, r);
}

static int call_plain(struct vhost_dev *dev, uint32_t request, const void *payload, uint32_t size,
		      int fd)
{
	struct vhost_op init = { 0 };

	return call(dev, &init, &(struct user_req){ .request = request, .payload = payload,
						    .size = size, .fd = fd }, true);
}

static int check_user(struct vhost_dev *dev)
{
	int r = dev_ready(dev);

	if (!r && dev->ops != &vhost_user_ops)
		r = dev_fail(dev, -ENOTSUP, VHOST_ERR_UNSUPPORTED,
			     "this needs a vhost-user device, and %s is %s", dev->address,
			     dev->transport);
	return r;
}

VHOST_EXPORT int vhost_user_reset_owner(vhost_dev_t *dev)
{
	int r = check_user(dev);

	if (r < 0)
		return r;
	if (dev->state != VHOST_DEV_STOPPED)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE, "the device runs: stop it first");
	return call_plain(dev, VU_RESET_OWNER, NULL, 0, -1);
}

VHOST_EXPORT int vhost_user_send_rarp(vhost_dev_t *dev, const uint8_t *mac)
{
	uint64_t payload = 0;
	int r = user_require(dev, VHOST_USER_PF_RARP);

	if (r < 0)
		return r;
	memcpy(&payload, mac, 6);
	return call_plain(dev, VU_SEND_RARP, &payload, sizeof(payload), -1);
}

VHOST_EXPORT int vhost_user_set_mtu(vhost_dev_t *dev, uint16_t mtu)
{
	uint64_t payload = mtu;
	int r = user_require(dev, VHOST_USER_PF_NET_MTU);

	if (r < 0)
		return r;
	if (mtu < 68)
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"an MTU of %u is below the least there is, 68", mtu);
	return call_plain(dev, VU_NET_SET_MTU, &payload, sizeof(payload), -1);
}

static int reply_crypto(struct vhost_dev *dev, struct vhost_op *op, uint32_t request _unused_,
			unsigned int index _unused_, const void *m)
{
	const struct vu_msg *msg = m;
	int64_t id;

	/* The id is the description's last field. */
	memcpy(&id, (const uint8_t *)msg->payload + msg->hdr.size - sizeof(id), sizeof(id));
	if (msg->hdr.size != op->a)
		return dev_fail(dev, -EPROTO, VHOST_ERR_PEER_BROKE_PROTOCOL,
				"the back-end answered a crypto session of %u bytes with %u",
				(unsigned int)op->a, msg->hdr.size);
	if (id < 0)
		return dev_fail(dev, -EREMOTEIO, VHOST_ERR_PEER_REFUSED,
				"the back-end made no crypto session (%lld)", (long long)id);
	*(uint64_t *)op->out = (uint64_t)id;
	return 0;
}

VHOST_EXPORT int vhost_user_create_crypto_session(vhost_dev_t *dev, const void *desc, size_t size,
						  uint64_t *ret)
{
	struct vhost_op init = { .reply = reply_crypto, .out = ret, .a = size };
	int r = user_require(dev, VHOST_USER_PF_CRYPTO_SESSION);

	if (r < 0)
		return r;
	if (size < 8 || size > VHOST_USER_CRYPTO_SESSION_MAX)
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"a crypto session's description has 8 to %u bytes, not %zu",
				VHOST_USER_CRYPTO_SESSION_MAX, size);
	return call(dev, &init, &(struct user_req){ .request = VU_CREATE_CRYPTO_SESSION,
						    .payload = desc, .size = (uint32_t)size,
						    .fd = -1 }, false);
}

VHOST_EXPORT int vhost_user_close_crypto_session(vhost_dev_t *dev, uint64_t id)
{
	int r = user_require(dev, VHOST_USER_PF_CRYPTO_SESSION);

	return r < 0 ? r : call_plain(dev, VU_CLOSE_CRYPTO_SESSION, &id, sizeof(id), -1);
}

VHOST_EXPORT int vhost_user_set_gpu_socket(vhost_dev_t *dev, int fd)
{
	struct stat st;
	int r = check_user(dev);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return dev_fail(dev, -errno, VHOST_ERR_ARGUMENT, "descriptor %d: %s", fd,
				strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return dev_fail(dev, -ENOTSOCK, VHOST_ERR_ARGUMENT, "descriptor %d is no socket",
				fd);
	return call_plain(dev, VU_GPU_SET_SOCKET, NULL, 0, fd);
}

/* An answer that is a descriptor, or the lack of one. */
static int reply_fd(struct vhost_dev *dev, struct vhost_op *op, uint32_t request,
		    unsigned int index _unused_, const void *m)
{
	const struct vu_msg *msg = m;

	if (msg->n_fds) {
		*(int *)op->out = TAKE_FD(msg->fds[0]);
		if (request == VU_POSTCOPY_ADVISE)
			to_user(dev)->postcopy = 1;
		return 0;
	}
	if (request == VU_GET_SHARED_OBJECT)
		return dev_fail(dev, -ENOENT, VHOST_ERR_PEER_REFUSED,
				"the back-end exports no such object");
	return dev_fail(dev, -EREMOTEIO, VHOST_ERR_PEER_REFUSED,
			"the back-end has no userfaultfd to give: it may lack the permission "
			"(vm.unprivileged_userfaultfd, CAP_SYS_PTRACE, or /dev/userfaultfd)");
}

VHOST_EXPORT int vhost_user_get_shared_object(vhost_dev_t *dev, const uint8_t *uuid, int *ret_fd)
{
	struct vhost_op init = { .reply = reply_fd, .out = ret_fd };
	int r = user_require(dev, VHOST_USER_PF_SHARED_OBJECT);

	if (r < 0)
		return r;
	return call(dev, &init, &(struct user_req){ .request = VU_GET_SHARED_OBJECT,
						    .payload = uuid, .size = 16, .fd = -1 }, false);
}

static int reply_shmem_config(struct vhost_dev *dev, struct vhost_op *op,
			      uint32_t request _unused_, unsigned int index _unused_, const void *m)
{
	struct vhost_user *u = to_user(dev);
	const struct vu_msg *msg = m;
	unsigned int i, n = 0;

	if (!u->shmem_config)
		u->shmem_config = malloc(sizeof(*u->shmem_config));
	if (!u->shmem_config)
		return dev_fail(dev, -ENOMEM, VHOST_ERR_OTHER, "out of memory");
	memcpy(u->shmem_config, msg->payload, sizeof(*u->shmem_config));
	for (i = 0; i < VU_MAX_SHMEM_REGIONS; i++)
		n += u->shmem_config->size[i] != 0;
	if (n != u->shmem_config->n_regions)
		dev_log(dev, VHOST_LOG_WARNING, "the back-end counts %u shared memory regions, and "
			"gives sizes for %u", u->shmem_config->n_regions, n);
	*(uint64_t *)op->out = u->shmem_config->size[op->a];
	return 0;
}

VHOST_EXPORT int vhost_user_get_shmem_size(vhost_dev_t *dev, unsigned int id, uint64_t *ret)
{
	struct vhost_op init = { .reply = reply_shmem_config, .out = ret, .a = id };
	int r = user_require(dev, VHOST_USER_PF_SHMEM);

	if (r < 0)
		return r;
	if (id >= VU_MAX_SHMEM_REGIONS)
		return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT,
				"shared memory regions have the ids 0 to %u", VU_MAX_SHMEM_REGIONS - 1);
	if (to_user(dev)->shmem_config) {
		*ret = to_user(dev)->shmem_config->size[id];
		return 0;
	}
	return call(dev, &init, &(struct user_req){ .request = VU_GET_SHMEM_CONFIG, .fd = -1 },
		    false);
}

/* --------------------------------------------------------------------- postcopy */

static int no_txn(struct vhost_dev *dev)
{
	return dev->open_txn ? dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
					"postcopy cannot be part of a transaction") : 0;
}

VHOST_EXPORT int vhost_user_postcopy_advise(vhost_dev_t *dev, int *ret_fd)
{
	struct vhost_op init = { .reply = reply_fd, .out = ret_fd };
	int r = user_require(dev, VHOST_USER_PF_PAGEFAULT);

	if (!r)
		r = no_txn(dev);
	if (r < 0)
		return r;
	return call(dev, &init, &(struct user_req){ .request = VU_POSTCOPY_ADVISE, .fd = -1 },
		    false);
}

static void settle_listen(struct vhost_dev *dev, struct vhost_op *op)
{
	if (!op->status)
		to_user(dev)->postcopy = 2;
}

VHOST_EXPORT int vhost_user_postcopy_listen(vhost_dev_t *dev)
{
	struct vhost_op init = { .settle = settle_listen };
	int r = user_require(dev, VHOST_USER_PF_PAGEFAULT);

	if (!r)
		r = no_txn(dev);
	if (r < 0)
		return r;
	if (to_user(dev)->postcopy != 1)
		return dev_fail(dev, -EINVAL, VHOST_ERR_STATE,
				"the back-end was not advised of postcopy, or listens already");
	if (dev->rec.map.n)
		return dev_fail(dev, -EBUSY, VHOST_ERR_STATE,
				"the device has memory: it is given after this");
	return call(dev, &init, &(struct user_req){ .request = VU_POSTCOPY_LISTEN, .fd = -1 },
		    true);
}

VHOST_EXPORT int vhost_user_postcopy_get_base(const vhost_dev_t *dev, uint64_t iova, uint64_t *ret)
{
	const struct mem_region *region = mem_map_find(&dev->rec.map, iova, 1);

	if (!region || region->iova != iova || !region->peer_addr)
		return -ENOENT;
	*ret = region->peer_addr;
	return 0;
}

static int reply_end(struct vhost_dev *dev, struct vhost_op *op _unused_,
		     uint32_t request _unused_, unsigned int index _unused_, const void *m)
{
	const struct vu_msg *msg = m;
	uint64_t value;

	memcpy(&value, msg->payload, sizeof(value));
	to_user(dev)->postcopy = 0;
	if (value)
		return dev_fail(dev, -EREMOTEIO, VHOST_ERR_PEER_REFUSED,
				"the back-end says that postcopy failed (%llu)",
				(unsigned long long)value);
	return 0;
}

VHOST_EXPORT int vhost_user_postcopy_end(vhost_dev_t *dev)
{
	struct vhost_op init = { .reply = reply_end };
	int r = user_require(dev, VHOST_USER_PF_PAGEFAULT);

	if (!r)
		r = no_txn(dev);
	if (r < 0)
		return r;
	if (to_user(dev)->postcopy != 2)
		return dev_fail(dev, -EINVAL, VHOST_ERR_STATE,
				"no postcopy is under way: the back-end does not listen");
	return call(dev, &init, &(struct user_req){ .request = VU_POSTCOPY_END, .fd = -1 }, false);
}
