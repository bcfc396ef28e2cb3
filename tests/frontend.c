/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "frontend.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "ring/layout.h"

/* ---------------------------------------------------------------- the device */

static void note(struct device *d, vhost_backend_t *be, const char *word)
{
	size_t used = strlen(d->calls);

	/* not by an assertion, which allocates: allocations may be failing */
	if (used + strlen(word) + 2 >= sizeof(d->calls))
		ck_abort_msg("more callbacks than can be written down");
	snprintf(d->calls + used, sizeof(d->calls) - used, " %s", word);
	if (d->in_call)
		d->in_call(d, be, word);
}

static void note_ring(struct device *d, vhost_vring_t *vr, const char *what)
{
	char word[32];

	snprintf(word, sizeof(word), "%s%u", what, vhost_vring_get_index(vr));
	note(d, vhost_vring_get_backend(vr), word);
}

static void dev_connected(vhost_backend_t *be, void *opaque)
{
	note(opaque, be, "connected");
}

static void dev_disconnected(vhost_backend_t *be, int status, void *opaque)
{
	struct device *d = opaque;

	d->gone = status;
	note(d, be, "disconnected");
}

static int dev_set_features(vhost_backend_t *be, uint64_t features, void *opaque)
{
	struct device *d = opaque;
	int r = d->set_features;

	d->features = features;
	note(d, be, "features");
	return r;
}

static void dev_set_status(vhost_backend_t *be, uint8_t status, void *opaque)
{
	struct device *d = opaque;

	d->status = status;
	note(d, be, "status");
}

static void dev_reset(vhost_backend_t *be, void *opaque)
{
	note(opaque, be, "reset");
}

static void dev_queue_start(vhost_vring_t *vr, void *opaque)
{
	note_ring(opaque, vr, "start");
}

static void echo(vhost_vring_t *vr, struct vhost_req *req)
{
	uint8_t buf[4096];
	size_t n = vhost_req_read(req, 0, buf, sizeof(buf));

	req->written = (uint32_t)vhost_req_write(req, 0, buf, n);
	vhost_vring_push(vr, req, 1);
}

void device_serve(struct device *d, vhost_vring_t *vr)
{
	unsigned int burst = d->burst ? d->burst : 16;
	struct vhost_req reqs[64];
	int n = 0, i, turn;

	if (d->mode == DEVICE_IDLE)
		return;
	for (turn = 0; turn < 4096; turn++) {
		if (d->mode == DEVICE_HOLD && d->n_held + burst > DEVICE_HELD)
			break;
		n = vhost_vring_pop(vr, reqs, burst);
		d->last_pop = n;
		for (i = 0; i < n; i++) {
			d->served++;
			if (d->mode == DEVICE_HOLD) {
				d->held_ring[d->n_held] = vr;
				d->held[d->n_held++] = reqs[i];
			} else {
				echo(vr, &reqs[i]);
			}
		}
		if (n > 0 && d->mode == DEVICE_ECHO)
			vhost_vring_notify(vr);
		if (n < (int)burst)
			break;
	}
}

static void dev_queue_ready(vhost_vring_t *vr, void *opaque)
{
	struct device *d = opaque;
	vhost_backend_t *be = vhost_vring_get_backend(vr);

	if (d->record_ready)
		note_ring(d, vr, "ready");
	else if (d->in_call)
		d->in_call(d, be, "ready");
	else
		device_serve(d, vr);
	if (d->record_ready)
		device_serve(d, vr);
}

static void dev_queue_stop(vhost_vring_t *vr, void *opaque)
{
	note_ring(opaque, vr, "stop");
}

static int dev_get_config(vhost_backend_t *be, uint32_t offset, void *buf, uint32_t size,
			  void *opaque)
{
	struct device *d = opaque;
	int r = d->get_config;

	if (r == -EINPROGRESS)
		d->late_buf = buf;
	else
		memcpy(buf, d->config + offset, size);
	note(d, be, "get_config");
	return r;
}

static int dev_set_config(vhost_backend_t *be, uint32_t offset, const void *buf, uint32_t size,
			  uint32_t flags, void *opaque)
{
	struct device *d = opaque;
	int r = d->set_config;

	if (!r)
		memcpy(d->config + offset, buf, size);
	note(d, be, flags ? "set_config_migration" : "set_config");
	return r;
}

static int dev_save_state(vhost_backend_t *be, int fd, void *opaque)
{
	struct device *d = opaque;
	int r = d->save_state;

	if (r == -EINPROGRESS) {
		d->state_fd = fd;
	} else {
		if (!r && write(fd, d->state, d->state_len) != (ssize_t)d->state_len)
			r = -EIO;
		close(fd);
	}
	note(d, be, "save");
	return r;
}

static int dev_load_state(vhost_backend_t *be, int fd, void *opaque)
{
	struct device *d = opaque;
	int r = d->load_state;
	ssize_t n;

	if (r == -EINPROGRESS) {
		d->state_fd = fd;
	} else {
		n = read(fd, d->state, sizeof(d->state));
		d->state_len = n > 0 ? (size_t)n : 0;
		close(fd);
	}
	note(d, be, "load");
	return r;
}

static void dev_mem_changed(vhost_backend_t *be, void *opaque)
{
	note(opaque, be, "mem");
}

static int dev_send_rarp(vhost_backend_t *be, const uint8_t *mac, void *opaque)
{
	struct device *d = opaque;
	int r = d->send_rarp;

	memcpy(d->mac, mac, sizeof(d->mac));
	note(d, be, "rarp");
	return r;
}

static int dev_set_mtu(vhost_backend_t *be, uint16_t mtu, void *opaque)
{
	struct device *d = opaque;
	int r = d->set_mtu;

	d->mtu = mtu;
	note(d, be, "mtu");
	return r;
}

static int dev_create_crypto(vhost_backend_t *be, const void *desc, size_t size, uint64_t *ret,
			     void *opaque)
{
	struct device *d = opaque;
	int r = d->create_crypto;

	(void)desc;
	(void)size;
	if (r == -EINPROGRESS)
		d->late_id = ret;
	else
		*ret = 77;
	note(d, be, "crypto");
	return r;
}

static int dev_close_crypto(vhost_backend_t *be, uint64_t id, void *opaque)
{
	struct device *d = opaque;
	int r = d->close_crypto;

	d->crypto_id = id;
	note(d, be, "close_crypto");
	return r;
}

static int dev_set_gpu_socket(vhost_backend_t *be, int fd, void *opaque)
{
	struct device *d = opaque;
	int r = d->gpu_socket;

	if (d->gpu_fd >= 0)
		close(d->gpu_fd);
	d->gpu_fd = fd;
	note(d, be, "gpu");
	return r;
}

static int dev_get_shared_object(vhost_backend_t *be, const uint8_t *uuid, void *opaque)
{
	struct device *d = opaque;
	int r = d->object_fd < 0 || uuid[0] != 1 ? -ENOENT :
		fcntl(d->object_fd, F_DUPFD_CLOEXEC, 0);

	note(d, be, "object");
	return r;
}

static const uint64_t shmem_sizes[] = { 0x10000, 0x20000 };

void device_init(struct device *d)
{
	memset(d, 0, sizeof(*d));
	d->state_fd = d->gpu_fd = d->object_fd = -1;
	d->ops = (struct vhost_backend_ops){
		.device_id = 1,
		.max_queues = DEVICE_QUEUES,
		.features = F_IN_ORDER | 1u << 3 | 1u << 5,
		.protocol_features = VHOST_USER_PROTOCOL_ALL & ~PF(XEN_MMAP),
		.config_size = 64,
		.n_shmem_sizes = 2,
		.shmem_sizes = shmem_sizes,
		.connected = dev_connected,
		.disconnected = dev_disconnected,
		.set_features = dev_set_features,
		.set_status = dev_set_status,
		.reset = dev_reset,
		.queue_start = dev_queue_start,
		.queue_ready = dev_queue_ready,
		.queue_stop = dev_queue_stop,
		.get_config = dev_get_config,
		.set_config = dev_set_config,
		.save_state = dev_save_state,
		.load_state = dev_load_state,
		.mem_changed = dev_mem_changed,
		.send_rarp = dev_send_rarp,
		.set_mtu = dev_set_mtu,
		.create_crypto_session = dev_create_crypto,
		.close_crypto_session = dev_close_crypto,
		.set_gpu_socket = dev_set_gpu_socket,
		.get_shared_object = dev_get_shared_object,
	};
}

void device_expect(struct device *d, const char *calls)
{
	ck_assert_str_eq(d->calls, calls);
	d->calls[0] = '\0';
}

void device_release(struct device *d)
{
	unsigned int i;

	for (i = 0; i < d->n_held; i++) {
		echo(d->held_ring[i], &d->held[i]);
		vhost_vring_notify(d->held_ring[i]);
	}
	d->n_held = 0;
}

void device_close(struct device *d)
{
	int *const fds[] = { &d->state_fd, &d->gpu_fd, &d->object_fd };
	size_t i;

	for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

/* ------------------------------------------------------------- the front-end */

void front_attach(struct front *f)
{
	int fds[2];

	if (f->fd >= 0)
		close(f->fd);
	if (f->chan >= 0)
		close(f->chan);
	f->chan = -1;
	f->features = f->pf = 0;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	f->fd = fds[0];
	ck_assert_msg(vhost_backend_attach_fd(f->be, fds[1]) == 0, "%s",
		      vhost_backend_error(f->be));
	close(fds[1]);
	front_pump(f);
}

void front_new(struct front *f, struct device *d)
{
	memset(f, 0, sizeof(*f));
	f->fd = f->chan = -1;
	ck_assert_int_eq(vhost_backend_new(&d->ops, sizeof(d->ops), d, &f->be), 0);
	front_attach(f);
}

void front_hang_up(struct front *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->chan >= 0)
		close(f->chan);
	f->fd = f->chan = -1;
	front_pump(f);
}

void front_close(struct front *f)
{
	f->be = vhost_backend_unref(f->be);
	if (f->fd >= 0)
		close(f->fd);
	if (f->chan >= 0)
		close(f->chan);
	f->fd = f->chan = -1;
}

static bool is_ready(struct front *f)
{
	struct pollfd p = { .fd = vhost_backend_get_fd(f->be), .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

void front_turns(struct front *f, unsigned int n)
{
	while (n-- && f->be)
		vhost_backend_process(f->be);
}

void front_pump(struct front *f)
{
	unsigned int i;

	for (i = 0; i < 20000 && f->be && is_ready(f); i++)
		if (vhost_backend_process(f->be) == -ENOTCONN)
			return;
	ck_assert_msg(i < 20000, "the back-end is never quiet");
}

static bool put(int fd, struct iovec *iov, size_t n_iov, size_t total, const int *fds,
		unsigned int n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(253 * sizeof(int))];
	} control;
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = n_iov };

	ck_assert_uint_le(n_fds, 253);
	if (n_fds) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, n_fds * sizeof(int));
	}
	return sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)total;
}

void front_put_bytes(int fd, const void *bytes, size_t n, const int *fds, unsigned int n_fds)
{
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = n };

	ck_assert_msg(put(fd, &iov, 1, n, fds, n_fds), "sendmsg: %s", strerror(errno));
}

bool front_try_put(int fd, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
		   const int *fds, unsigned int n_fds)
{
	struct vu_header hdr = { request, flags, size };
	struct iovec iov[2] = {
		{ .iov_base = &hdr, .iov_len = sizeof(hdr) },
		{ .iov_base = (void *)payload, .iov_len = size },
	};

	return put(fd, iov, size ? 2 : 1, sizeof(hdr) + size, fds, n_fds);
}

void front_put(int fd, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
	       const int *fds, unsigned int n_fds)
{
	ck_assert_msg(front_try_put(fd, request, flags, payload, size, fds, n_fds),
		      "message %u cannot be sent: %s", request, strerror(errno));
}

int front_take(int fd, struct front_msg *msg)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = &msg->hdr, .iov_len = sizeof(msg->hdr) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			     .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg;
	ssize_t n;

	msg->n_fds = 0;
	n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		return -1;
	ck_assert_int_eq(n, sizeof(msg->hdr));
	ck_assert(!(mh.msg_flags & MSG_CTRUNC));
	for (cmsg = CMSG_FIRSTHDR(&mh); cmsg; cmsg = CMSG_NXTHDR(&mh, cmsg)) {
		size_t k = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		memcpy(msg->fds + msg->n_fds, CMSG_DATA(cmsg), k * sizeof(int));
		msg->n_fds += (unsigned int)k;
	}
	if (!msg->hdr.size)
		return 1;
	ck_assert_uint_le(msg->hdr.size, sizeof(msg->payload));
	iov = (struct iovec){ .iov_base = msg->payload, .iov_len = msg->hdr.size };
	mh = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1 };
	ck_assert_int_eq(recvmsg(fd, &mh, MSG_DONTWAIT), (ssize_t)msg->hdr.size);
	ck_assert(!(mh.msg_flags & MSG_CTRUNC));	/* descriptors come with the header */
	return 1;
}

void front_drop_fds(struct front_msg *msg)
{
	while (msg->n_fds)
		close(msg->fds[--msg->n_fds]);
}

static enum front_outcome outcome(struct front *f, struct front_msg *msg)
{
	uint64_t value;
	int r = front_take(f->fd, msg);

	if (r == 0)
		return FRONT_SILENT;
	if (r < 0)
		return FRONT_CLOSED;
	if (msg->hdr.size != sizeof(value) || msg->n_fds)
		return FRONT_REPLIED;
	memcpy(&value, msg->payload, sizeof(value));
	return value ? FRONT_REFUSED : FRONT_ACKED;
}

enum front_outcome front_do(struct front *f, uint32_t request, uint32_t flags,
			    const void *payload, uint32_t size, const int *fds,
			    unsigned int n_fds, struct front_msg *ret)
{
	struct front_msg msg;
	enum front_outcome o;

	front_put(f->fd, request, flags, payload, size, fds, n_fds);
	front_pump(f);
	o = outcome(f, ret ? ret : &msg);
	if (o != FRONT_SILENT && o != FRONT_CLOSED) {
		const struct front_msg *m = ret ? ret : &msg;

		ck_assert_uint_eq(m->hdr.request, request);
		ck_assert_uint_eq(m->hdr.flags, FRONT_REPLY);
		front_expect_nothing(f->fd);	/* one answer only */
		if (!ret)
			front_drop_fds(&msg);
	}
	return o;
}

static void set(struct front *f, uint32_t request, const void *payload, uint32_t size,
		const int *fds, unsigned int n_fds, enum front_outcome want)
{
	enum front_outcome got = front_do(f, request, FRONT_NEED_REPLY, payload, size, fds, n_fds,
					  NULL);

	ck_assert_msg(got == want, "message %u: outcome %d instead of %d: %s", request, got, want,
		      vhost_backend_error(f->be));
}

void front_set(struct front *f, uint32_t request, const void *payload, uint32_t size)
{
	set(f, request, payload, size, NULL, 0, FRONT_ACKED);
}

void front_set_fd(struct front *f, uint32_t request, const void *payload, uint32_t size, int fd)
{
	set(f, request, payload, size, &fd, 1, FRONT_ACKED);
}

void front_set_u64(struct front *f, uint32_t request, uint64_t value)
{
	front_set(f, request, &value, sizeof(value));
}

void front_set_state(struct front *f, uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_vring_state s = { index, num };

	front_set(f, request, &s, sizeof(s));
}

void front_refused(struct front *f, uint32_t request, const void *payload, uint32_t size)
{
	set(f, request, payload, size, NULL, 0, FRONT_REFUSED);
	ck_assert_str_ne(vhost_backend_error(f->be), "");
}

void front_refused_fd(struct front *f, uint32_t request, const void *payload, uint32_t size,
		      int fd)
{
	set(f, request, payload, size, &fd, 1, FRONT_REFUSED);
	ck_assert_str_ne(vhost_backend_error(f->be), "");
}

void front_refused_u64(struct front *f, uint32_t request, uint64_t value)
{
	front_refused(f, request, &value, sizeof(value));
}

void front_refused_state(struct front *f, uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_vring_state s = { index, num };

	front_refused(f, request, &s, sizeof(s));
}

uint64_t front_get(struct front *f, uint32_t request, const void *payload, uint32_t size)
{
	struct front_msg msg;
	enum front_outcome o = front_do(f, request, FRONT_PLAIN, payload, size, NULL, 0, &msg);
	uint64_t value;

	ck_assert_msg((o == FRONT_ACKED || o == FRONT_REFUSED), "message %u: outcome %d: %s",
		      request, o, vhost_backend_error(f->be));
	memcpy(&value, msg.payload, sizeof(value));
	return value;
}

uint32_t front_get_base(struct front *f, uint32_t index)
{
	struct vu_vring_state s = { index, 0 };
	uint64_t value = front_get(f, VU_GET_VRING_BASE, &s, sizeof(s));

	memcpy(&s, &value, sizeof(s));
	ck_assert_uint_eq(s.index, index);
	return s.num;
}

void front_expect_on(int fd, uint32_t request, uint32_t flags, const void *payload,
		     uint32_t size, int *fds, unsigned int n_fds)
{
	struct front_msg msg;

	ck_assert_msg(front_take(fd, &msg) == 1, "message %u was expected, and there is none",
		      request);
	ck_assert_msg(msg.hdr.request == request && msg.hdr.flags == flags &&
		      msg.hdr.size == size && msg.n_fds == n_fds,
		      "message %u (flags 0x%x, %u bytes, %u descriptors) came where %u "
		      "(flags 0x%x, %u bytes, %u descriptors) was expected", msg.hdr.request,
		      msg.hdr.flags, msg.hdr.size, msg.n_fds, request, flags, size, n_fds);
	if (payload && size)
		ck_assert_mem_eq(msg.payload, payload, size);
	if (fds) {
		memcpy(fds, msg.fds, n_fds * sizeof(int));
		msg.n_fds = 0;
	}
	front_drop_fds(&msg);
}

void front_expect_nothing(int fd)
{
	struct vu_header hdr = { 0 };
	ssize_t n = recv(fd, &hdr, sizeof(hdr), MSG_DONTWAIT | MSG_PEEK);

	ck_assert_msg(n == 0 || (n < 0 && (errno == EAGAIN || errno == ECONNRESET)),
		      "nothing was expected, and message %u came", hdr.request);
}

void front_alive(struct front *f)
{
	uint64_t features = front_get(f, VU_GET_FEATURES, NULL, 0);

	ck_assert(features & F_PROTOCOL);
}

void front_gone(struct front *f)
{
	struct front_msg msg;
	int r;

	front_pump(f);
	while ((r = front_take(f->fd, &msg)) == 1)
		front_drop_fds(&msg);
	ck_assert_msg(r < 0, "the connection still stands");
	ck_assert(!vhost_backend_is_connected(f->be));
}

void front_open_channel(struct front *f)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	front_set_fd(f, VU_SET_BACKEND_REQ_FD, NULL, 0, fds[1]);
	close(fds[1]);
	if (f->chan >= 0)
		close(f->chan);
	f->chan = fds[0];
}

void front_negotiate(struct front *f, uint64_t features, uint64_t pf)
{
	front_set(f, VU_SET_OWNER, NULL, 0);
	if (features & F_PROTOCOL)
		front_set_u64(f, VU_SET_PROTOCOL_FEATURES, pf);
	f->pf = pf;
	if (pf & PF(BACKEND_REQ))
		front_open_channel(f);
	front_set_u64(f, VU_SET_FEATURES, features);
	f->features = features;
}

/* ------------------------------------------------------------------- memory */

void front_mem_new(struct front_mem *m, uint64_t size, uint64_t guest, uint64_t user)
{
	memset(m, 0, sizeof(*m));
	m->fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_ge(m->fd, 0);
	ck_assert_int_eq(ftruncate(m->fd, (off_t)size), 0);
	m->addr = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	ck_assert_ptr_ne(m->addr, MAP_FAILED);
	m->size = size;
	m->guest = guest;
	m->user = user;
}

void front_mem_close(struct front_mem *m)
{
	if (!m->addr)
		return;
	munmap(m->addr, (size_t)m->size);
	close(m->fd);
	memset(m, 0, sizeof(*m));
}

struct vu_mem_reg front_mem_reg(const struct front_mem *m)
{
	struct vu_mem_reg reg = {
		.region = { m->guest, m->size, m->user, m->offset },
	};

	return reg;
}

void front_mem_add(struct front *f, const struct front_mem *m)
{
	struct vu_mem_reg reg = front_mem_reg(m);

	front_set_fd(f, VU_ADD_MEM_REG, &reg, sizeof(reg), m->fd);
}

void front_mem_remove(struct front *f, const struct front_mem *m)
{
	struct vu_mem_reg reg = front_mem_reg(m);

	front_set(f, VU_REM_MEM_REG, &reg, sizeof(reg));
}

void front_mem_table(struct front *f, const struct front_mem *const *m, unsigned int n)
{
	struct { struct vu_mem_table head; struct vu_region region[8]; } t = { .head = { n, 0 } };
	uint32_t size = (uint32_t)(sizeof(t.head) + n * sizeof(t.region[0]));
	int fds[8];
	unsigned int i;

	for (i = 0; i < n; i++) {
		t.region[i] = front_mem_reg(m[i]).region;
		fds[i] = m[i]->fd;
	}
	set(f, VU_SET_MEM_TABLE, &t, size, fds, n, FRONT_ACKED);
}

/* --------------------------------------------------------------------- ring */

void front_ring_new(struct front_ring *r, struct front_mem *m, uint64_t offset,
		    unsigned int index, unsigned int size)
{
	memset(r, 0, sizeof(*r));
	r->mem = m;
	r->index = index;
	r->size = size;
	r->desc = (offset + 15) & ~(uint64_t)15;
	r->avail = r->desc + 16 * size;
	r->used = (r->avail + 6 + 2 * size + 3) & ~(uint64_t)3;
	ck_assert_uint_le(r->used + 6 + 8 * size, m->size);
	memset(m->addr + r->desc, 0, (size_t)(r->used + 6 + 8 * size - r->desc));
	r->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ck_assert(r->kick >= 0 && r->call >= 0 && r->err >= 0);
}

void front_ring_close(struct front_ring *r)
{
	if (!r->mem)
		return;
	close(r->kick);
	close(r->call);
	close(r->err);
	memset(r, 0, sizeof(*r));
}

struct vu_vring_addr front_ring_addr(const struct front_ring *r)
{
	struct vu_vring_addr a = {
		.index = r->index,
		.desc = r->mem->user + r->desc,
		.used = r->mem->user + r->used,
		.avail = r->mem->user + r->avail,
	};

	return a;
}

void front_ring_start(struct front *f, struct front_ring *r, uint32_t base)
{
	struct vu_vring_addr addr = front_ring_addr(r);
	uint64_t index = r->index;

	front_set_state(f, VU_SET_VRING_NUM, r->index, r->size);
	front_set_state(f, VU_SET_VRING_BASE, r->index, base);
	front_set(f, VU_SET_VRING_ADDR, &addr, sizeof(addr));
	front_set_fd(f, VU_SET_VRING_CALL, &index, sizeof(index), r->call);
	front_set_fd(f, VU_SET_VRING_ERR, &index, sizeof(index), r->err);
	front_set_fd(f, VU_SET_VRING_KICK, &index, sizeof(index), r->kick);
}

unsigned int front_ring_add(struct front_ring *r, const struct front_buf *bufs, unsigned int n)
{
	struct ring_desc *desc = (void *)(r->mem->addr + r->desc);
	struct split_avail *avail = (void *)(r->mem->addr + r->avail);
	unsigned int head = r->next_desc, i;

	ck_assert_uint_le(n, r->size);
	for (i = 0; i < n; i++) {
		unsigned int at = r->next_desc;
		unsigned int next = (at + 1) % r->size;

		desc[at].addr = htole64(bufs[i].addr);
		desc[at].word = split_word(bufs[i].len,
					   bufs[i].flags | (i + 1 < n ? DESC_F_NEXT : 0u),
					   i + 1 < n ? next : 0);
		r->next_desc = next;
	}
	avail->ring[r->avail_idx % r->size] = htole16((uint16_t)head);
	r->avail_idx++;
	__atomic_store_n(&avail->idx, htole16(r->avail_idx), __ATOMIC_RELEASE);
	return head;
}

unsigned int front_ring_request(struct front_ring *r, uint64_t out, uint32_t out_len,
				uint64_t in, uint32_t in_len)
{
	struct front_buf bufs[2] = {
		{ r->mem->guest + out, out_len, 0 },
		{ r->mem->guest + in, in_len, DESC_F_WRITE },
	};

	return front_ring_add(r, bufs, 2);
}

void front_ring_kick(struct front_ring *r)
{
	uint64_t one = 1;

	ck_assert_int_eq(write(r->kick, &one, sizeof(one)), sizeof(one));
}

bool front_ring_used(struct front_ring *r, uint32_t *id, uint32_t *len)
{
	struct split_used *used = (void *)(r->mem->addr + r->used);
	struct split_used_elem *e = &used->ring[r->used_idx % r->size];

	if (le16toh(__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE)) == r->used_idx)
		return false;
	if (id)
		*id = le32toh(e->id);
	if (len)
		*len = le32toh(e->len);
	r->used_idx++;
	return true;
}

bool front_fd_signalled(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n);
}

void front_bring_up(struct front *f, struct front_mem *m, struct front_ring *r,
		    uint64_t features, uint64_t pf)
{
	front_negotiate(f, features, pf);
	front_mem_new(m, 0x40000, 0x100000, 0x7f0000000000);
	if (pf & PF(CONFIGURE_MEM_SLOTS))
		front_mem_add(f, m);
	else
		front_mem_table(f, (const struct front_mem *const[]){ m }, 1);
	front_ring_new(r, m, 0, 0, 16);
	front_ring_start(f, r, 0);
	if (features & F_PROTOCOL)
		front_set_state(f, VU_SET_VRING_ENABLE, 0, 1);
}

void front_roundtrip(struct front *f, struct front_ring *r)
{
	static uint8_t stamp;
	uint8_t *out = r->mem->addr + 0x20000, *in = r->mem->addr + 0x21000;
	unsigned int head;
	uint32_t id, len;

	memset(out, ++stamp, 64);
	memset(in, 0, 64);
	head = front_ring_request(r, 0x20000, 64, 0x21000, 64);
	front_ring_kick(r);
	front_pump(f);
	ck_assert_msg(front_ring_used(r, &id, &len), "the request did not come back: %s / %s",
		      vhost_backend_error(f->be),
		      vhost_vring_error(vhost_backend_get_vring(f->be, r->index)));
	ck_assert_uint_eq(id, head);
	ck_assert_uint_eq(len, 64);
	ck_assert_mem_eq(in, out, 64);
	ck_assert(!front_ring_used(r, NULL, NULL));
}
