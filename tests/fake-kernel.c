/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include "fake-kernel.h"

#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define KERNEL_ENOTSUPP 524	/* the kernel's own, which user space sees all the same */

static struct fake_kernel *the_kernel;
static const struct kdev_sys *real_sys;

/* ----------------------------------------------------------------- writing down */

static void note(struct fake_kernel *fk, const char *fmt, ...) _printf_(2, 3);

static void note(struct fake_kernel *fk, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (fk->log_room - fk->log_size < 256) {
		fk->log_room = fk->log_room * 2 + 4096;
		fk->log = realloc(fk->log, fk->log_room);
		ck_assert_ptr_nonnull(fk->log);
	}
	va_start(ap, fmt);
	n = vsnprintf(fk->log + fk->log_size, fk->log_room - fk->log_size, fmt, ap);
	va_end(ap);
	ck_assert_int_lt(n, 256);
	fk->log_size += (size_t)n;
}

static void fault(struct fake_kernel *fk, const char *fmt, ...) _printf_(2, 3);

static void fault(struct fake_kernel *fk, const char *fmt, ...)
{
	va_list ap;

	if (fk->fault[0])
		return;
	va_start(ap, fmt);
	vsnprintf(fk->fault, sizeof(fk->fault), fmt, ap);
	va_end(ap);
}

static const char *errno_name(int e)
{
	static char number[16];

	switch (e) {
	case EPERM: return "EPERM";
	case EIO: return "EIO";
	case EAGAIN: return "EAGAIN";
	case ENOMEM: return "ENOMEM";
	case EACCES: return "EACCES";
	case EFAULT: return "EFAULT";
	case EBUSY: return "EBUSY";
	case EEXIST: return "EEXIST";
	case ENODEV: return "ENODEV";
	case EINVAL: return "EINVAL";
	case ENOTTY: return "ENOTTY";
	case E2BIG: return "E2BIG";
	case ENOBUFS: return "ENOBUFS";
	case EOPNOTSUPP: return "EOPNOTSUPP";
	case EADDRINUSE: return "EADDRINUSE";
	case EBADF: return "EBADF";
	case ENOTSOCK: return "ENOTSOCK";
	default:
		snprintf(number, sizeof(number), "%d", e);
		return number;
	}
}

static const struct {
	unsigned long request;
	const char *name;
	bool has_queue;
} requests[] = {
	{ KV_GET_FEATURES, "GET_FEATURES", false },
	{ KV_SET_FEATURES, "SET_FEATURES", false },
	{ KV_SET_OWNER, "SET_OWNER", false },
	{ KV_RESET_OWNER, "RESET_OWNER", false },
	{ KV_SET_MEM_TABLE, "SET_MEM_TABLE", false },
	{ KV_SET_LOG_BASE, "SET_LOG_BASE", false },
	{ KV_SET_LOG_FD, "SET_LOG_FD", false },
	{ KV_NEW_WORKER, "NEW_WORKER", false },
	{ KV_FREE_WORKER, "FREE_WORKER", false },
	{ KV_SET_VRING_NUM, "SET_VRING_NUM", true },
	{ KV_SET_VRING_ADDR, "SET_VRING_ADDR", true },
	{ KV_SET_VRING_BASE, "SET_VRING_BASE", true },
	{ KV_GET_VRING_BASE, "GET_VRING_BASE", true },
	{ KV_SET_VRING_ENDIAN, "SET_VRING_ENDIAN", true },
	{ KV_GET_VRING_ENDIAN, "GET_VRING_ENDIAN", true },
	{ KV_ATTACH_VRING_WORKER, "ATTACH_VRING_WORKER", true },
	{ KV_GET_VRING_WORKER, "GET_VRING_WORKER", true },
	{ KV_SET_VRING_KICK, "SET_VRING_KICK", true },
	{ KV_SET_VRING_CALL, "SET_VRING_CALL", true },
	{ KV_SET_VRING_ERR, "SET_VRING_ERR", true },
	{ KV_SET_VRING_BUSYLOOP, "SET_VRING_BUSYLOOP_TIMEOUT", true },
	{ KV_GET_VRING_BUSYLOOP, "GET_VRING_BUSYLOOP_TIMEOUT", true },
	{ KV_SET_BACKEND_FEATURES, "SET_BACKEND_FEATURES", false },
	{ KV_GET_BACKEND_FEATURES, "GET_BACKEND_FEATURES", false },
	{ KV_NET_SET_BACKEND, "NET_SET_BACKEND", true },
	{ KV_SCSI_SET_ENDPOINT, "SCSI_SET_ENDPOINT", false },
	{ KV_SCSI_CLEAR_ENDPOINT, "SCSI_CLEAR_ENDPOINT", false },
	{ KV_SCSI_GET_ABI_VERSION, "SCSI_GET_ABI_VERSION", false },
	{ KV_SCSI_SET_EVENTS_MISSED, "SCSI_SET_EVENTS_MISSED", false },
	{ KV_SCSI_GET_EVENTS_MISSED, "SCSI_GET_EVENTS_MISSED", false },
	{ KV_VSOCK_SET_GUEST_CID, "VSOCK_SET_GUEST_CID", false },
	{ KV_VSOCK_SET_RUNNING, "VSOCK_SET_RUNNING", false },
	{ KV_VDPA_GET_DEVICE_ID, "VDPA_GET_DEVICE_ID", false },
	{ KV_VDPA_GET_STATUS, "VDPA_GET_STATUS", false },
	{ KV_VDPA_SET_STATUS, "VDPA_SET_STATUS", false },
	{ KV_VDPA_GET_CONFIG, "VDPA_GET_CONFIG", false },
	{ KV_VDPA_SET_CONFIG, "VDPA_SET_CONFIG", false },
	{ KV_VDPA_SET_VRING_ENABLE, "VDPA_SET_VRING_ENABLE", true },
	{ KV_VDPA_GET_VRING_NUM, "VDPA_GET_VRING_NUM", false },
	{ KV_VDPA_SET_CONFIG_CALL, "VDPA_SET_CONFIG_CALL", false },
	{ KV_VDPA_GET_IOVA_RANGE, "VDPA_GET_IOVA_RANGE", false },
	{ KV_VDPA_GET_CONFIG_SIZE, "VDPA_GET_CONFIG_SIZE", false },
	{ KV_VDPA_GET_AS_NUM, "VDPA_GET_AS_NUM", false },
	{ KV_VDPA_GET_VRING_GROUP, "VDPA_GET_VRING_GROUP", true },
	{ KV_VDPA_SET_GROUP_ASID, "VDPA_SET_GROUP_ASID", false },
	{ KV_VDPA_SUSPEND, "VDPA_SUSPEND", false },
	{ KV_VDPA_RESUME, "VDPA_RESUME", false },
	{ KV_VDPA_GET_VRING_DESC_GROUP, "VDPA_GET_VRING_DESC_GROUP", true },
	{ KV_VDPA_GET_VQS_COUNT, "VDPA_GET_VQS_COUNT", false },
	{ KV_VDPA_GET_GROUP_NUM, "VDPA_GET_GROUP_NUM", false },
	{ KV_VDPA_GET_VRING_SIZE, "VDPA_GET_VRING_SIZE", true },
	{ KV_GET_FEATURES_ARRAY, "GET_FEATURES_ARRAY", false },
	{ KV_SET_FEATURES_ARRAY, "SET_FEATURES_ARRAY", false },
	{ KV_SET_FORK_FROM_OWNER, "SET_FORK_FROM_OWNER", false },
	{ KV_GET_FORK_FROM_OWNER, "GET_FORK_FROM_OWNER", false },
};

const char *fake_kernel_request(unsigned long request)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(requests); i++)
		if (requests[i].request == request)
			return requests[i].name;
	return NULL;
}

static bool has_queue(unsigned long request)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(requests); i++)
		if (requests[i].request == request)
			return requests[i].has_queue;
	return false;
}

/* An address, as the text of a call has it. */
static const char *addr_text(struct fake_kernel *fk, uint64_t addr)
{
	static char text[4][48];
	static unsigned int turn;
	char *p = text[turn++ % 4];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fk->names); i++)
		if (fk->names[i].name && addr - fk->names[i].addr < fk->names[i].size) {
			snprintf(p, sizeof(text[0]), "%s+0x%llx", fk->names[i].name,
				 (unsigned long long)(addr - fk->names[i].addr));
			return p;
		}
	snprintf(p, sizeof(text[0]), "0x%llx", (unsigned long long)addr);
	return p;
}

static const char *fd_text(int fd)
{
	return fd >= 0 ? "fd" : fd == -1 ? "-1" : "wrong";
}

static void note_mem_table(struct fake_kernel *fk, const struct kv_mem_table *table)
{
	uint32_t i;

	for (i = 0; i < table->n; i++)
		note(fk, " 0x%llx+0x%llx=%s", (unsigned long long)table->regions[i].guest_addr,
		     (unsigned long long)table->regions[i].size,
		     addr_text(fk, table->regions[i].user_addr));
}

/* The call and its arguments. */
static void note_request(struct fake_kernel *fk, unsigned long request, const void *arg)
{
	const struct kv_vring_addr *addr = arg;
	const struct kv_vring_state *state = arg;
	const struct kv_vring_worker *worker = arg;
	const struct kv_vring_file *file = arg;
	const struct kv_scsi_target *target = arg;
	const struct kv_config *config = arg;
	const struct kv_features *array = arg;
	uint64_t i;

	note(fk, "%s", fake_kernel_request(request));
	switch (request) {
	case KV_SET_FEATURES:
	case KV_SET_BACKEND_FEATURES:
		note(fk, " 0x%llx", (unsigned long long)*(const uint64_t *)arg);
		break;
	case KV_SET_LOG_BASE:
		/* where the log is mapped is nobody's choice */
		note(fk, *(const uint64_t *)arg ? " log" : " 0");
		break;
	case KV_VSOCK_SET_GUEST_CID:
		note(fk, " %llu", (unsigned long long)*(const uint64_t *)arg);
		break;
	case KV_SET_MEM_TABLE:
		note_mem_table(fk, arg);
		break;
	case KV_SET_LOG_FD:
	case KV_VDPA_SET_CONFIG_CALL:
		note(fk, " %s", fd_text(*(const int32_t *)arg));
		break;
	case KV_VSOCK_SET_RUNNING:
		note(fk, " %d", *(const int32_t *)arg);
		break;
	case KV_FREE_WORKER:
	case KV_SCSI_SET_EVENTS_MISSED:
		note(fk, " %u", *(const uint32_t *)arg);
		break;
	case KV_SET_VRING_NUM:
	case KV_SET_VRING_BASE:
	case KV_SET_VRING_ENDIAN:
	case KV_SET_VRING_BUSYLOOP:
	case KV_VDPA_SET_VRING_ENABLE:
	case KV_VDPA_SET_GROUP_ASID:
		note(fk, " %u %u", state->index, state->num);
		break;
	case KV_ATTACH_VRING_WORKER:
		note(fk, " %u %u", worker->index, worker->id);
		break;
	case KV_GET_VRING_BASE:
	case KV_GET_VRING_ENDIAN:
	case KV_GET_VRING_WORKER:
	case KV_GET_VRING_BUSYLOOP:
	case KV_VDPA_GET_VRING_GROUP:
	case KV_VDPA_GET_VRING_DESC_GROUP:
	case KV_VDPA_GET_VRING_SIZE:
		note(fk, " %u", state->index);
		break;
	case KV_SET_VRING_KICK:
	case KV_SET_VRING_CALL:
	case KV_SET_VRING_ERR:
	case KV_NET_SET_BACKEND:
		note(fk, " %u %s", file->index, fd_text(file->fd));
		break;
	case KV_SET_VRING_ADDR:
		note(fk, " %u %s %s %s", addr->index, addr_text(fk, addr->desc),
		     addr_text(fk, addr->avail), addr_text(fk, addr->used));
		if (addr->flags)
			note(fk, " log 0x%llx", (unsigned long long)addr->log);
		break;
	case KV_SCSI_SET_ENDPOINT:
	case KV_SCSI_CLEAR_ENDPOINT:
		note(fk, " %.200s %u", target->wwpn, target->tpgt);
		break;
	case KV_VDPA_SET_STATUS:
		note(fk, " 0x%x", *(const uint8_t *)arg);
		break;
	case KV_SET_FORK_FROM_OWNER:
		note(fk, " %u", *(const uint8_t *)arg);
		break;
	case KV_VDPA_GET_CONFIG:
	case KV_VDPA_SET_CONFIG:
		note(fk, " %u+%u", config->offset, config->len);
		break;
	case KV_GET_FEATURES_ARRAY:
		note(fk, " %llu", (unsigned long long)array->n);
		break;
	case KV_SET_FEATURES_ARRAY:
		for (i = 0; i < array->n && i < 8; i++)
			note(fk, " 0x%llx", (unsigned long long)array->words[i]);
		break;
	default:
		break;
	}
}

/* ------------------------------------------------------------- what must be zero */

static bool is_zero(const void *p, size_t n)
{
	const uint8_t *byte = p;

	while (n--)
		if (*byte++)
			return false;
	return true;
}

static void check_zeros(struct fake_kernel *fk, unsigned long request, const void *arg)
{
	const struct kv_scsi_target *target = arg;
	const struct kv_mem_table *table = arg;
	const struct kv_vring_state *state = arg;
	const char *name = fake_kernel_request(request);
	bool zero = true;
	uint32_t i;

	switch (request) {
	case KV_SET_MEM_TABLE:
		zero = !table->padding;
		for (i = 0; i < table->n; i++)
			zero = zero && !table->regions[i].padding;
		break;
	case KV_SCSI_SET_ENDPOINT:
	case KV_SCSI_CLEAR_ENDPOINT:
		i = (uint32_t)strnlen(target->wwpn, sizeof(target->wwpn));
		zero = i < sizeof(target->wwpn) && !target->reserved &&
		       is_zero(target->wwpn + i, sizeof(target->wwpn) - i);
		break;
	case KV_GET_FEATURES_ARRAY:
		zero = is_zero(((const struct kv_features *)arg)->words,
			       ((const struct kv_features *)arg)->n * sizeof(uint64_t));
		break;
	case KV_VDPA_GET_CONFIG:
	case KV_VDPA_GET_STATUS:	/* into the caller's own */
		break;
	case KV_GET_VRING_BASE:
	case KV_GET_VRING_ENDIAN:
	case KV_GET_VRING_WORKER:
	case KV_GET_VRING_BUSYLOOP:
	case KV_VDPA_GET_VRING_GROUP:
	case KV_VDPA_GET_VRING_DESC_GROUP:
	case KV_VDPA_GET_VRING_SIZE:
		zero = !state->num;
		break;
	default:
		/* An older kernel takes what it does not know for a queue's number. */
		if (_IOC_DIR(request) == _IOC_READ)
			zero = is_zero(arg, _IOC_SIZE(request));
		break;
	}
	if (!zero)
		fault(fk, "%s: what is not an argument is not zero", name);
}

/* ------------------------------------------------------------------ descriptors */

static bool is_eventfd(int fd)
{
	char path[64], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = 0;
	return strcmp(target, "anon_inode:[eventfd]") == 0;
}

/* The kernel takes a reference, and drops the one it had. */
static int take_eventfd(int *have, int fd)
{
	int own = -1;

	if (fd != -1) {
		if (fcntl(fd, F_GETFD) < 0)
			return -EBADF;
		if (!is_eventfd(fd))
			return -EINVAL;
		own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		ck_assert_int_ge(own, 0);
	}
	close_fd(have);
	*have = own;
	return 0;
}

void fake_kernel_signal(int fd)
{
	static const uint64_t one = 1;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, &one, sizeof(one)), sizeof(one));
}

/* ------------------------------------------------------------------- the answers */

/* No kernel has one errno for a call that it does not have. */
static int no_such_call(struct fake_kernel *fk, unsigned long request, const void *arg)
{
	uint32_t index = 0;

	if (!fk->owned)
		return -EPERM;
	if (!arg)
		return -EFAULT;
	memcpy(&index, arg, _IOC_SIZE(request) < sizeof(index) ? _IOC_SIZE(request) :
								 sizeof(index));
	return index >= fk->n_vqs ? -ENOBUFS : -ENOTTY;
}

static bool has_feature(const struct fake_kernel *fk, unsigned int bit)
{
	return fk->features[bit / 64] >> (bit % 64) & 1;
}

static bool has_backend(const struct fake_kernel *fk, unsigned int bit)
{
	return fk->backend >> bit & 1;
}

/* Is there a data plane on it that must not be changed? */
static bool vq_is_active(const struct fake_kernel *fk, const struct fake_vq *vq)
{
	switch (fk->kind) {
	case KDEV_NET:
		return vq->backend >= 0;
	case KDEV_VSOCK:
		return fk->running;
	case KDEV_SCSI:
		return fk->endpoint[0];
	default:
		return false;
	}
}

static bool in_table(const struct fake_kernel *fk, uint64_t addr, uint64_t size)
{
	unsigned int i;

	for (i = 0; i < fk->n_regions; i++)
		if (range_within(addr - fk->regions[i].user_addr, size, fk->regions[i].size))
			return true;
	return false;
}

bool fake_kernel_maps(const struct fake_kernel *fk, uint32_t asid, uint64_t iova, uint64_t size)
{
	unsigned int i, n = 0;

	/* entries may be split: walk along them */
	while (n++ <= fk->n_entries && size) {
		for (i = 0; i < fk->n_entries; i++) {
			const struct fake_entry *e = &fk->entries[i];

			if (e->asid == asid && !e->lost && iova - e->iova < e->size)
				break;
		}
		if (i == fk->n_entries)
			return false;
		if (fk->entries[i].iova + fk->entries[i].size - iova >= size)
			return true;
		size -= fk->entries[i].iova + fk->entries[i].size - iova;
		iova = fk->entries[i].iova + fk->entries[i].size;
	}
	return !size;
}

unsigned int fake_kernel_lost(const struct fake_kernel *fk)
{
	unsigned int i, n = 0;

	for (i = 0; i < fk->n_entries; i++)
		n += fk->entries[i].lost;
	return n;
}

/* Can it get at the rings? Asked when the data plane is attached, as kernels do. */
static bool vq_access_ok(const struct fake_kernel *fk, const struct fake_vq *vq)
{
	const struct kv_vring_addr *a = &vq->addr;

	if (has_feature(fk, VIRTIO_BIT_ACCESS_PLATFORM))
		return fake_kernel_maps(fk, 0, a->used, 4);
	return in_table(fk, a->desc, 16 * (uint64_t)vq->num) &&
	       in_table(fk, a->avail, 6 + 2 * (uint64_t)vq->num) &&
	       in_table(fk, a->used, 6 + 8 * (uint64_t)vq->num);
}

static int set_features(struct fake_kernel *fk, const uint64_t words[2])
{
	unsigned int i;

	if (words[0] & ~fk->offers[0] || words[1] & ~fk->offers[1])
		return fk->kind == KDEV_VDPA ? -EINVAL : -EOPNOTSUPP;
	if (fk->kind == KDEV_VDPA && fk->status & VIRTIO_STATUS_FEATURES_OK)
		return -EBUSY;
	if (words[0] & KV_F_LOG_ALL && !fk->log_base)
		fault(fk, "LOG_ALL is accepted where there is no log");
	memcpy(fk->features, words, sizeof(fk->features));
	/* the kernel's IOTLB is made anew, and running queues must not look at the old one */
	if (fk->kind != KDEV_VDPA && has_feature(fk, VIRTIO_BIT_ACCESS_PLATFORM)) {
		fk->n_entries = 0;
		for (i = 0; i < fk->n_vqs; i++)
			if (vq_is_active(fk, &fk->vqs[i]))
				fault(fk, "the IOTLB is made anew while queue %u runs", i);
	}
	return 0;
}

static int set_features_array(struct fake_kernel *fk, const struct kv_features *array)
{
	uint64_t words[2] = { 0 }, i;

	for (i = 0; i < array->n; i++) {
		if (i < 2)
			words[i] = array->words[i];
		else if (array->words[i])
			return -EOPNOTSUPP;
	}
	return set_features(fk, words);
}

static int set_mem_table(struct fake_kernel *fk, const struct kv_mem_table *table)
{
	if (table->padding)
		return -EOPNOTSUPP;
	if (table->n > fk->max_regions)
		return -E2BIG;
	memcpy(fk->regions, table->regions, table->n * sizeof(fk->regions[0]));
	fk->n_regions = table->n;
	return 0;
}

static int vring_num(struct fake_kernel *fk, struct fake_vq *vq, uint32_t num)
{
	if (vq_is_active(fk, vq))
		return -EBUSY;
	if (!num || num > 0xffff || num & (num - 1))
		return -EINVAL;
	vq->num = num;
	return 0;
}

static int vring_base(struct fake_kernel *fk, struct fake_vq *vq, uint32_t base)
{
	if (vq_is_active(fk, vq))
		return -EBUSY;
	if (base > 0xffff && !has_feature(fk, VIRTIO_BIT_RING_PACKED))
		return -EINVAL;
	vq->base = base;
	return 0;
}

static int vring_addr(struct fake_kernel *fk, struct fake_vq *vq, const struct kv_vring_addr *addr)
{
	if (addr->flags & ~KV_VRING_F_LOG)
		return -EOPNOTSUPP;
	if (addr->desc & 15 || addr->avail & 1 || addr->used & 3)
		return -EINVAL;
	if (vq_is_active(fk, vq)) {
		if (addr->desc != vq->addr.desc || addr->avail != vq->addr.avail ||
		    addr->used != vq->addr.used)
			fault(fk, "a ring is moved while it runs");
	}
	vq->addr = *addr;
	return 0;
}

static int net_set_backend(struct fake_kernel *fk, struct fake_vq *vq, int fd)
{
	int type;
	socklen_t size = sizeof(type);

	if (fd != -1) {
		if (fcntl(fd, F_GETFD) < 0)
			return -EBADF;
		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
			return -ENOTSOCK;
		if (!vq_access_ok(fk, vq))
			return -EFAULT;
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		ck_assert_int_ge(fd, 0);
	}
	close_fd(&vq->backend);
	vq->backend = fd;
	return 0;
}

static int worker_ioctl(struct fake_kernel *fk, unsigned long request, void *arg)
{
	struct kv_vring_worker *queue = arg;
	uint32_t *id = arg, i;

	if (!fk->has_workers)
		return no_such_call(fk, request, arg);
	if (!fk->owned)
		return -EPERM;
	switch (request) {
	case KV_NEW_WORKER:
		for (i = 1; i < FAKE_WORKERS && fk->workers[i]; i++)
			;
		if (i == FAKE_WORKERS)
			return -ENOMEM;
		fk->workers[i] = true;
		*id = i;
		return 0;
	case KV_FREE_WORKER:
		if (*id >= FAKE_WORKERS || !fk->workers[*id])
			return -ENODEV;
		for (i = 0; i < fk->n_vqs; i++)
			if (fk->vqs[i].worker == *id)
				return -EBUSY;
		fk->workers[*id] = false;
		return 0;
	case KV_ATTACH_VRING_WORKER:
		if (queue->index >= fk->n_vqs)
			return -ENOBUFS;
		if (queue->id >= FAKE_WORKERS || !fk->workers[queue->id])
			return -ENODEV;
		fk->vqs[queue->index].worker = queue->id;
		return 0;
	default:
		if (queue->index >= fk->n_vqs)
			return -ENOBUFS;
		queue->id = fk->vqs[queue->index].worker;
		return 0;
	}
}

static int vring_ioctl(struct fake_kernel *fk, unsigned long request, void *arg)
{
	struct kv_vring_state *state = arg;
	struct kv_vring_file *file = arg;
	struct fake_vq *vq;

	if (!fk->owned)
		return -EPERM;
	if (state->index >= fk->n_vqs)
		return -ENOBUFS;
	vq = &fk->vqs[state->index];
	switch (request) {
	case KV_SET_VRING_NUM:
		return vring_num(fk, vq, state->num);
	case KV_SET_VRING_BASE:
		return vring_base(fk, vq, state->num);
	case KV_GET_VRING_BASE:
		state->num = vq->base;
		return 0;
	case KV_SET_VRING_ADDR:
		return vring_addr(fk, vq, arg);
	case KV_SET_VRING_KICK:
		return take_eventfd(&vq->kick, file->fd);
	case KV_SET_VRING_CALL:
		return take_eventfd(&vq->call, file->fd);
	case KV_SET_VRING_ERR:
		return take_eventfd(&vq->err, file->fd);
	case KV_SET_VRING_ENDIAN:
		if (!fk->has_endian)
			return -ENOTTY;
		if (vq_is_active(fk, vq))
			return -EBUSY;
		vq->endian = state->num;
		return 0;
	case KV_GET_VRING_ENDIAN:
		if (!fk->has_endian)
			return -ENOTTY;
		state->num = vq->endian;
		return 0;
	case KV_SET_VRING_BUSYLOOP:
		vq->busyloop = state->num;
		return 0;
	default:
		state->num = vq->busyloop;
		return 0;
	}
}

static void reset_owner(struct fake_kernel *fk)
{
	unsigned int i;

	for (i = 0; i < fk->n_vqs; i++) {
		struct fake_vq *vq = &fk->vqs[i];

		close_fd(&vq->kick);
		close_fd(&vq->call);
		close_fd(&vq->err);
		close_fd(&vq->backend);
		vq->num = vq->base = 0;
	}
	fk->owned = false;
	fk->n_regions = fk->n_entries = 0;
}

/* What all of them have. */
static int generic_ioctl(struct fake_kernel *fk, unsigned long request, void *arg)
{
	uint64_t *word = arg, words[2] = { 0 };

	switch (request) {
	case KV_GET_FEATURES:
		*word = fk->offers[0];
		return 0;
	case KV_SET_FEATURES:
		words[0] = *word;
		return set_features(fk, words);
	case KV_GET_BACKEND_FEATURES:
		if (!fk->has_backend_features)
			return no_such_call(fk, request, arg);
		*word = fk->backend_offers;
		return 0;
	case KV_SET_BACKEND_FEATURES:
		if (!fk->has_backend_features)
			return no_such_call(fk, request, arg);
		if (*word & ~fk->backend_offers)
			return -EOPNOTSUPP;
		fk->backend = *word;
		return 0;
	case KV_SET_OWNER:
		if (fk->owned)
			return -EBUSY;
		fk->owned = true;
		return 0;
	case KV_SET_FORK_FROM_OWNER:
		if (!fk->has_fork)
			return no_such_call(fk, request, arg);
		if (fk->owned)
			return -EBUSY;
		if (*(uint8_t *)arg > 1)
			return -EINVAL;
		fk->fork = *(uint8_t *)arg;
		return 0;
	case KV_GET_FORK_FROM_OWNER:
		if (!fk->has_fork)
			return no_such_call(fk, request, arg);
		*(uint8_t *)arg = fk->fork;
		return 0;
	case KV_SET_LOG_BASE:
		if (!fk->owned)
			return -EPERM;
		fk->log_base = *word;
		return 0;
	case KV_SET_LOG_FD:
		return fk->owned ? take_eventfd(&fk->log_fd, *(int32_t *)arg) : -EPERM;
	case KV_SET_MEM_TABLE:
		return fk->owned ? set_mem_table(fk, arg) : -EPERM;
	case KV_NEW_WORKER:
	case KV_FREE_WORKER:
	case KV_ATTACH_VRING_WORKER:
	case KV_GET_VRING_WORKER:
		return worker_ioctl(fk, request, arg);
	case KV_SET_VRING_NUM:
	case KV_SET_VRING_ADDR:
	case KV_SET_VRING_BASE:
	case KV_GET_VRING_BASE:
	case KV_SET_VRING_ENDIAN:
	case KV_GET_VRING_ENDIAN:
	case KV_SET_VRING_KICK:
	case KV_SET_VRING_CALL:
	case KV_SET_VRING_ERR:
	case KV_SET_VRING_BUSYLOOP:
	case KV_GET_VRING_BUSYLOOP:
		return vring_ioctl(fk, request, arg);
	default:
		return no_such_call(fk, request, arg);
	}
}

static int net_ioctl(struct fake_kernel *fk, unsigned long request, void *arg)
{
	struct kv_vring_file *file = arg;
	struct kv_features *array = arg;
	uint64_t i;

	switch (request) {
	case KV_NET_SET_BACKEND:
		if (!fk->owned)
			return -EPERM;
		return file->index >= fk->n_vqs ? -ENOBUFS :
		       net_set_backend(fk, &fk->vqs[file->index], file->fd);
	case KV_RESET_OWNER:
		if (!fk->owned)
			return -EPERM;
		reset_owner(fk);
		return 0;
	case KV_GET_FEATURES_ARRAY:
		if (!fk->has_array)
			break;
		for (i = 0; i < array->n; i++)
			array->words[i] = i < 2 ? fk->offers[i] : 0;
		return 0;
	case KV_SET_FEATURES_ARRAY:
		if (!fk->has_array)
			break;
		return set_features_array(fk, array);
	default:
		break;
	}
	return generic_ioctl(fk, request, arg);
}

static int vsock_ioctl(struct fake_kernel *fk, unsigned long request, void *arg)
{
	uint64_t cid;
	unsigned int i;

	switch (request) {
	case KV_VSOCK_SET_GUEST_CID:
		cid = *(uint64_t *)arg;
		if (cid <= 2 || cid >= UINT32_MAX)
			return -EINVAL;
		if (cid == fk->taken_cid)
			return -EADDRINUSE;
		fk->cid = cid;
		return 0;
	case KV_VSOCK_SET_RUNNING:
		if (!fk->owned)
			return -EPERM;
		for (i = 0; *(int32_t *)arg && i < fk->n_vqs; i++)
			if (!vq_access_ok(fk, &fk->vqs[i]))
				return -EFAULT;
		fk->running = *(int32_t *)arg;
		return 0;
	default:
		return generic_ioctl(fk, request, arg);
	}
}

static int scsi_ioctl(struct fake_kernel *fk, unsigned long request, void *arg)
{
	const struct kv_scsi_target *target = arg;
	unsigned int i;

	switch (request) {
	case KV_SCSI_SET_ENDPOINT:
		for (i = 0; i < fk->n_vqs; i++)
			/* one without addresses is one that is not set up */
			if (fk->vqs[i].addr.avail && !vq_access_ok(fk, &fk->vqs[i]))
				return -EFAULT;
		/* the kernel counts those that match and are free, and has found none */
		if (!fk->target || strcmp(target->wwpn, fk->target) != 0 || fk->target_in_use ||
		    fk->endpoint[0])
			return -ENODEV;
		memcpy(fk->endpoint, target->wwpn, sizeof(target->wwpn));
		return 0;
	case KV_SCSI_CLEAR_ENDPOINT:
		if (strcmp(target->wwpn, fk->endpoint) != 0)
			return -EINVAL;
		fk->endpoint[0] = 0;
		return 0;
	case KV_SCSI_GET_ABI_VERSION:
		*(int32_t *)arg = 1;
		return 0;
	case KV_SCSI_SET_EVENTS_MISSED:
		fk->events_missed = *(uint32_t *)arg;
		return 0;
	case KV_SCSI_GET_EVENTS_MISSED:
		*(uint32_t *)arg = fk->events_missed;
		return 0;
	default:
		return generic_ioctl(fk, request, arg);
	}
}

/* -------------------------------------------------------------------------- vDPA */

static void vdpa_reset(struct fake_kernel *fk)
{
	unsigned int i;

	for (i = 0; i < fk->n_vqs; i++) {
		fk->vqs[i].ready = false;
		fk->vqs[i].base = 0;
		fk->vqs[i].num = 0;
	}
	memset(fk->features, 0, sizeof(fk->features));
	fk->status = 0;
	fk->suspended = false;
	memset(fk->group_asid, 0, sizeof(fk->group_asid));
	/* The kernel's list stays; what the device made of it does not, unless it says so. */
	for (i = 0; !has_backend(fk, KV_BF_IOTLB_PERSIST) && i < fk->n_entries; i++)
		fk->entries[i].lost = true;
}

static int vdpa_set_status(struct fake_kernel *fk, uint8_t status)
{
	if (status && fk->status & ~status)
		return -EINVAL;
	if (!status)
		vdpa_reset(fk);
	else
		fk->status = status & fk->keeps_status;
	if (status & VIRTIO_STATUS_DRIVER_OK) {
		fk->status |= fk->adds_status;
		if (fake_kernel_lost(fk) || fk->in_batch)
			fault(fk, "DRIVER_OK for a device that does not have its memory");
	}
	return 0;
}

static int vdpa_config(struct fake_kernel *fk, unsigned long request, struct kv_config *config)
{
	if (!config->len || config->offset > fk->config_size)
		return -EINVAL;
	if (config->len > fk->config_size - config->offset)
		return -E2BIG;
	if (request == KV_VDPA_GET_CONFIG)
		memcpy(config->data, fk->config + config->offset, config->len);
	else
		memcpy(fk->config + config->offset, config->data, config->len);
	return 0;
}

static int vdpa_vring_ioctl(struct fake_kernel *fk, unsigned long request, void *arg)
{
	struct kv_vring_state *state = arg;
	struct fake_vq *vq;
	int r;

	if (request == KV_VDPA_SET_GROUP_ASID) {
		if (state->index >= fk->n_groups || state->num >= fk->n_as)
			return -EINVAL;
		if (fk->status & VIRTIO_STATUS_DRIVER_OK)
			return -EBUSY;
		fk->group_asid[state->index] = state->num;
		return 0;
	}
	if (state->index >= fk->n_vqs)
		return -ENOBUFS;
	vq = &fk->vqs[state->index];
	switch (request) {
	case KV_VDPA_SET_VRING_ENABLE:
		vq->ready = state->num;
		return 0;
	case KV_VDPA_GET_VRING_GROUP:
		if (!fk->has_groups)
			return -EOPNOTSUPP;
		state->num = vq->group;
		return state->num >= fk->n_groups ? -EIO : 0;
	case KV_VDPA_GET_VRING_DESC_GROUP:
		if (!(fk->backend_offers >> KV_BF_DESC_ASID & 1))
			return -EOPNOTSUPP;
		state->num = vq->desc_group;
		return 0;
	case KV_VDPA_GET_VRING_SIZE:
		if (!fk->has_vring_size)
			return -EOPNOTSUPP;
		state->num = vq->max;
		return 0;
	default:
		r = vring_ioctl(fk, request, arg);
		return r;
	}
}

static int vdpa_ioctl(struct fake_kernel *fk, unsigned long request, void *arg)
{
	/* Calls that came after Linux 5.10. */
	if (fk->old && request != KV_SET_VRING_NUM)
		switch (_IOC_NR(request)) {
		case 0x78 ... 0x82:
			return no_such_call(fk, request, arg);
		default:
			break;
		}
	switch (request) {
	case KV_VDPA_GET_DEVICE_ID:
		*(uint32_t *)arg = fk->device_id;
		return 0;
	case KV_VDPA_GET_STATUS:
		*(uint8_t *)arg = fk->status;
		return 0;
	case KV_VDPA_SET_STATUS:
		return vdpa_set_status(fk, *(uint8_t *)arg);
	case KV_VDPA_GET_CONFIG:
	case KV_VDPA_SET_CONFIG:
		return vdpa_config(fk, request, arg);
	case KV_VDPA_GET_VRING_NUM:
		*(uint16_t *)arg = (uint16_t)fk->max_num;
		return 0;
	case KV_VDPA_SET_CONFIG_CALL:
		return take_eventfd(&fk->config_call, *(int32_t *)arg);
	case KV_VDPA_GET_IOVA_RANGE:
		*(struct kv_iova_range *)arg = fk->range;
		return 0;
	case KV_VDPA_GET_CONFIG_SIZE:
		*(uint32_t *)arg = fk->config_size;
		return 0;
	case KV_VDPA_GET_AS_NUM:
		*(uint32_t *)arg = fk->n_as;
		return 0;
	case KV_VDPA_GET_GROUP_NUM:
		*(uint32_t *)arg = fk->n_groups;
		return 0;
	case KV_VDPA_GET_VQS_COUNT:
		*(uint32_t *)arg = fk->n_vqs;
		return 0;
	case KV_VDPA_SUSPEND:
		/* 0 before DRIVER_OK, whether it is supported or not */
		if (!(fk->status & VIRTIO_STATUS_DRIVER_OK))
			return 0;
		if (!(fk->backend_offers >> KV_BF_SUSPEND & 1))
			return -EOPNOTSUPP;
		fk->suspended = true;
		return 0;
	case KV_VDPA_RESUME:
		if (!(fk->backend_offers >> KV_BF_RESUME & 1))
			return -EOPNOTSUPP;
		fk->suspended = false;
		return 0;
	case KV_VDPA_SET_VRING_ENABLE:
	case KV_VDPA_GET_VRING_GROUP:
	case KV_VDPA_SET_GROUP_ASID:
	case KV_VDPA_GET_VRING_DESC_GROUP:
	case KV_VDPA_GET_VRING_SIZE:
	case KV_SET_VRING_NUM:
	case KV_SET_VRING_ADDR:
	case KV_SET_VRING_BASE:
	case KV_GET_VRING_BASE:
	case KV_SET_VRING_KICK:
	case KV_SET_VRING_CALL:
	case KV_SET_VRING_ERR:
		return vdpa_vring_ioctl(fk, request, arg);
	case KV_GET_FEATURES:
	case KV_SET_FEATURES:
	case KV_SET_OWNER:
	case KV_GET_BACKEND_FEATURES:
	case KV_SET_BACKEND_FEATURES:
		return generic_ioctl(fk, request, arg);
	case KV_SET_MEM_TABLE:
	case KV_SET_LOG_BASE:
	case KV_SET_LOG_FD:
		return -ENOTTY;
	default:
		return no_such_call(fk, request, arg);
	}
}

/* -------------------------------------------------------------- what a test wants */

/* Is this call to fail? */
static bool fails(struct fake_kernel *fk, unsigned long request, const char *name, int index)
{
	bool now;

	fk->calls++;
	if (fk->fail_request)
		now = fk->fail_request == request &&
		      (++fk->fail_seen == fk->fail_nth || !fk->fail_nth);
	else
		now = fk->fail_at && (fk->fail_on ? fk->calls >= fk->fail_at :
						    fk->calls == fk->fail_at);
	if (!now)
		return false;
	note(fk, ": %s\n", errno_name(fk->fail_errno));
	if (!fk->failed) {
		fk->failed = name;
		fk->failed_index = index;
	}
	errno = fk->fail_errno;
	return true;
}

static struct fake_kernel *kernel_of(int fd)
{
	ck_assert_msg(the_kernel != NULL, "a system call where there is no kernel");
	if (fd != the_kernel->fd)
		fault(the_kernel, "a system call on descriptor %d: the device is %d", fd,
		      the_kernel->fd);
	return the_kernel;
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	struct fake_kernel *fk = kernel_of(fd);
	const char *name = fake_kernel_request(request);
	int r;

	if (!name) {
		fault(fk, "an ioctl that does not exist: 0x%lx", request);
		errno = ENOTTY;
		return -1;
	}
	if (_IOC_SIZE(request) && !arg) {
		fault(fk, "%s without its argument", name);
		errno = EFAULT;
		return -1;
	}
	note_request(fk, request, arg);
	check_zeros(fk, request, arg);
	if (fails(fk, request, name, has_queue(request) ? (int)*(uint32_t *)arg : -1))
		return -1;
	switch (fk->kind) {
	case KDEV_NET:
		r = net_ioctl(fk, request, arg);
		break;
	case KDEV_VSOCK:
		r = vsock_ioctl(fk, request, arg);
		break;
	case KDEV_SCSI:
		r = scsi_ioctl(fk, request, arg);
		break;
	default:
		r = vdpa_ioctl(fk, request, arg);
		break;
	}
	if (r < 0) {
		note(fk, ": %s\n", errno_name(-r));
		errno = -r;
		return -1;
	}
	note(fk, "\n");
	return r;
}

static bool overlaps(const struct fake_entry *e, uint32_t asid, const struct kv_iotlb *m)
{
	return e->asid == asid && e->iova <= m->iova + (m->size - 1) &&
	       m->iova <= e->iova + (e->size - 1);
}

static int iotlb_update(struct fake_kernel *fk, uint32_t asid, const struct kv_iotlb *m)
{
	struct fake_entry *e;
	uint64_t mapped = 0;
	unsigned int i;

	if (fk->kind == KDEV_VDPA) {
		uint64_t last;

		if (!range_last(m->iova, m->size, &last) || m->iova < fk->range.first ||
		    last > fk->range.last)
			return -EINVAL;
		for (i = 0; i < fk->n_entries; i++) {
			if (overlaps(&fk->entries[i], asid, m))
				return -EEXIST;
			mapped += fk->entries[i].size;
		}
		if (mapped + m->size > fk->pin_limit)
			return -ENOMEM;
	} else if (!has_feature(fk, VIRTIO_BIT_ACCESS_PLATFORM)) {
		return -EFAULT;
	}
	ck_assert_uint_lt(fk->n_entries, FAKE_ENTRIES);
	e = &fk->entries[fk->n_entries++];
	*e = (struct fake_entry){ .asid = asid, .perm = m->perm, .iova = m->iova, .size = m->size,
				  .user_addr = m->user_addr };
	return 0;
}

/* As the kernel: whatever touches the range goes as a whole. */
static int iotlb_invalidate(struct fake_kernel *fk, uint32_t asid, const struct kv_iotlb *m)
{
	unsigned int i, n = 0;

	if (fk->kind != KDEV_VDPA && !has_feature(fk, VIRTIO_BIT_ACCESS_PLATFORM))
		return -EFAULT;
	for (i = 0; i < fk->n_entries; i++)
		if (!overlaps(&fk->entries[i], asid, m))
			fk->entries[n++] = fk->entries[i];
	fk->n_entries = n;
	return 0;
}

static int iotlb_message(struct fake_kernel *fk, uint32_t asid, const struct kv_iotlb *m)
{
	if (!fk->owned && fk->kind == KDEV_VDPA)
		return -EPERM;
	if (asid >= fk->n_as)
		return -EINVAL;
	if (fk->in_batch && fk->batch_asid != asid)
		return -EINVAL;
	switch (m->type) {
	case KV_IOTLB_UPDATE:
		return iotlb_update(fk, asid, m);
	case KV_IOTLB_INVALIDATE:
		return iotlb_invalidate(fk, asid, m);
	case KV_IOTLB_BATCH_BEGIN:
	case KV_IOTLB_BATCH_END:
		if (fk->kind != KDEV_VDPA)
			return -EINVAL;
		fk->in_batch = m->type == KV_IOTLB_BATCH_BEGIN;
		fk->batch_asid = asid;
		return 0;
	default:
		return -EINVAL;
	}
}

static void note_message(struct fake_kernel *fk, const struct kv_msg *msg, uint32_t asid)
{
	static const char *const perms[] = { "none", "r", "w", "rw" };
	const struct kv_iotlb *m = &msg->iotlb;

	note(fk, "IOTLB");
	if (msg->type == KV_MSG_V1)
		note(fk, " v1");
	if (asid)
		note(fk, " asid %u", asid);
	switch (m->type) {
	case KV_IOTLB_UPDATE:
		note(fk, " update 0x%llx+0x%llx=%s %s", (unsigned long long)m->iova,
		     (unsigned long long)m->size, addr_text(fk, m->user_addr),
		     m->perm < 4 ? perms[m->perm] : "wrong");
		break;
	case KV_IOTLB_INVALIDATE:
		note(fk, " invalidate 0x%llx+0x%llx", (unsigned long long)m->iova,
		     (unsigned long long)m->size);
		break;
	case KV_IOTLB_BATCH_BEGIN:
		note(fk, " begin");
		break;
	case KV_IOTLB_BATCH_END:
		note(fk, " end");
		break;
	default:
		note(fk, " type %u", m->type);
		break;
	}
}

static ssize_t fake_write(int fd, const void *buf, size_t size)
{
	struct fake_kernel *fk = kernel_of(fd);
	struct kv_msg msg;
	uint32_t asid;
	int r;

	if (size != sizeof(msg)) {
		fault(fk, "a write of %zu bytes: a message has %zu", size, sizeof(msg));
		errno = EINVAL;
		return -1;
	}
	memcpy(&msg, buf, sizeof(msg));
	asid = msg.type == KV_MSG_V2 && has_backend(fk, KV_BF_IOTLB_ASID) ? msg.asid : 0;
	if (!is_zero(msg.padding, sizeof(msg.padding)) ||
	    !is_zero(msg.iotlb.padding, sizeof(msg.iotlb.padding)) || msg.asid != asid ||
	    (msg.iotlb.type != KV_IOTLB_UPDATE && (msg.iotlb.user_addr || msg.iotlb.perm)))
		fault(fk, "an IOTLB message in which what is not an argument is not zero");
	if (msg.type != KV_MSG_V1 && msg.type != KV_MSG_V2)
		fault(fk, "an IOTLB message of version %u", msg.type);
	if (msg.type == KV_MSG_V2 && !has_backend(fk, KV_BF_IOTLB_MSG_V2))
		fault(fk, "an IOTLB message of version 2, which was not agreed on");
	note_message(fk, &msg, asid);
	if (fails(fk, 0, "IOTLB", -1))
		return -1;
	if (fk->short_write) {
		note(fk, ": short\n");
		return (ssize_t)fk->short_write;
	}
	if (!msg.iotlb.size &&
	    (msg.iotlb.type == KV_IOTLB_UPDATE || msg.iotlb.type == KV_IOTLB_INVALIDATE))
		r = -EINVAL;
	else
		r = iotlb_message(fk, asid, &msg.iotlb) < 0 ? -EFAULT : 0;
	if (r < 0) {
		note(fk, ": %s\n", errno_name(-r));
		errno = -r;
		return -1;
	}
	note(fk, "\n");
	return sizeof(msg);
}

static ssize_t fake_read(int fd, void *buf, size_t size)
{
	struct fake_kernel *fk = kernel_of(fd);
	uint64_t count;
	size_t n;

	note(fk, "READ");
	if (fails(fk, 0, "READ", -1))
		return -1;
	note(fk, "\n");
	if (fk->kind == KDEV_VDPA) {
		fault(fk, "vDPA has nothing to read");
		errno = EINVAL;
		return -1;
	}
	if (!fk->n_msgs) {
		if (!(fcntl(fd, F_GETFL) & O_NONBLOCK))
			fault(fk, "a read that waits for ever");
		errno = EAGAIN;
		return -1;
	}
	if (size < sizeof(struct kv_msg))
		return 0;
	n = fk->msgs[0].size;
	memcpy(buf, fk->msgs[0].bytes, n);
	fk->n_msgs--;
	memmove(&fk->msgs[0], &fk->msgs[1], fk->n_msgs * sizeof(fk->msgs[0]));
	ck_assert_int_eq(read(fd, &count, sizeof(count)), sizeof(count));
	return (ssize_t)n;
}

void fake_kernel_push(struct fake_kernel *fk, const void *msg, size_t size)
{
	ck_assert_uint_lt(fk->n_msgs, FAKE_MSGS);
	ck_assert_uint_le(size, sizeof(fk->msgs[0].bytes));
	memset(fk->msgs[fk->n_msgs].bytes, 0, sizeof(fk->msgs[0].bytes));
	memcpy(fk->msgs[fk->n_msgs].bytes, msg, size);
	fk->msgs[fk->n_msgs++].size = size;
	fake_kernel_signal(fk->fd);
}

void fake_kernel_push_miss(struct fake_kernel *fk, uint32_t version, uint64_t iova, uint8_t perm)
{
	struct kv_msg msg = {
		.type = version,
		.iotlb = { .iova = iova, .perm = perm, .type = KV_IOTLB_MISS },
	};

	fake_kernel_push(fk, &msg, sizeof(msg));
}

static void *fake_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	struct fake_kernel *fk = kernel_of(fd);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	note(fk, "MMAP %llu", (unsigned long long)offset / page);
	if (fails(fk, 0, "MMAP", -1))
		return MAP_FAILED;
	note(fk, "\n");
	if (size != page || prot != PROT_WRITE || !(flags & MAP_SHARED) ||
	    (unsigned long long)offset % page) {
		errno = EINVAL;
		return MAP_FAILED;
	}
	if (!fk->has_doorbell) {
		errno = KERNEL_ENOTSUPP;
		return MAP_FAILED;
	}
	if ((unsigned long long)offset / page >= fk->n_vqs)
		fault(fk, "the doorbell of a queue that does not exist");
	return mmap(addr, size, prot, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static int fake_open(const char *path, int flags)
{
	int fd;

	ck_assert_msg(the_kernel != NULL, "%s is opened where there is no kernel", path);
	note(the_kernel, "OPEN %.200s\n", path);
	if (!(flags & O_CLOEXEC))
		fault(the_kernel, "%s is opened without O_CLOEXEC", path);
	if (the_kernel->open_errno) {
		errno = the_kernel->open_errno;
		return -1;
	}
	fd = fake_kernel_open(the_kernel);
	if (flags & O_NONBLOCK)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	return fd;
}

static const struct kdev_sys fake_sys = {
	.open = fake_open,
	.ioctl = fake_ioctl,
	.write = fake_write,
	.read = fake_read,
	.mmap = fake_mmap,
};

/* ------------------------------------------------------------------ life and calls */

struct fake_kernel *fake_kernel_new(enum kdev_kind kind)
{
	static const uint64_t offers[] = {
		[KDEV_NET] = 0x10b3d008000,
		[KDEV_VSOCK] = 0x33d000002,
		[KDEV_SCSI] = 0x13d00000a,
		[KDEV_VDPA] = 0x308830028,
	};
	struct fake_kernel *fk = calloc(1, sizeof(*fk));
	unsigned int i;

	ck_assert_ptr_nonnull(fk);
	ck_assert_ptr_null(the_kernel);
	fk->kind = kind;
	fk->fd = -1;
	fk->offers[0] = offers[kind];
	fk->offers[1] = kind == KDEV_NET ? 0xa : 0;
	fk->has_backend_features = kind != KDEV_SCSI;
	fk->backend_offers = kind == KDEV_VDPA ? 0x17e : 1u << KV_BF_IOTLB_MSG_V2;
	fk->has_array = kind == KDEV_NET;
	fk->has_fork = kind != KDEV_VDPA;
	fk->fork = 1;
	fk->has_workers = kind == KDEV_SCSI;
	fk->workers[0] = true;
	fk->n_vqs = kind == KDEV_SCSI ? 130 : kind == KDEV_VDPA ? 3 : 2;
	fk->max_regions = 64;
	fk->target = "naa.5001405aabbccdd0";
	fk->device_id = 1;
	fk->max_num = 256;
	fk->n_groups = fk->n_as = kind == KDEV_VDPA ? 2 : 1;
	fk->has_groups = true;
	fk->range.last = UINT64_MAX;
	fk->config_size = 24;
	fk->keeps_status = 0xff;
	fk->pin_limit = UINT64_MAX;
	fk->log_fd = fk->config_call = -1;
	for (i = 0; i < FAKE_VQS; i++) {
		struct fake_vq *vq = &fk->vqs[i];

		vq->kick = vq->call = vq->err = vq->backend = -1;
		vq->max = 256;
		vq->group = i == 2;
	}
	note(fk, "%s", "");
	the_kernel = fk;
	real_sys = kdev_sys;
	kdev_sys = &fake_sys;
	return fk;
}

void fake_kernel_free(struct fake_kernel *fk)
{
	char wrong[sizeof(fk->fault)];
	unsigned int i;

	memcpy(wrong, fk->fault, sizeof(wrong));
	for (i = 0; i < FAKE_VQS; i++) {
		close_fd(&fk->vqs[i].kick);
		close_fd(&fk->vqs[i].call);
		close_fd(&fk->vqs[i].err);
		close_fd(&fk->vqs[i].backend);
	}
	close_fd(&fk->log_fd);
	close_fd(&fk->config_call);
	free(fk->log);
	free(fk);
	the_kernel = NULL;
	kdev_sys = real_sys;
	ck_assert_str_eq(wrong, "");
}

int fake_kernel_open(struct fake_kernel *fk)
{
	/* vhost-vdpa's descriptor cannot be polled, and nor can a file's */
	fk->fd = fk->kind == KDEV_VDPA ? open("/proc/self/status", O_RDONLY | O_CLOEXEC) :
					 eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	ck_assert_int_ge(fk->fd, 0);
	return fk->fd;
}

void fake_kernel_name(struct fake_kernel *fk, const char *name, const void *addr, uint64_t size)
{
	unsigned int i;

	for (i = 0; fk->names[i].name && strcmp(fk->names[i].name, name) != 0; i++)
		ck_assert_uint_lt(i + 1, ARRAY_SIZE(fk->names));
	fk->names[i].name = name;
	fk->names[i].addr = (uintptr_t)addr;
	fk->names[i].size = size;
}

const char *fake_kernel_log(struct fake_kernel *fk)
{
	return fk->log;
}

void fake_kernel_forget(struct fake_kernel *fk)
{
	fk->log_size = 0;
	fk->log[0] = 0;
}

void fake_kernel_expect(struct fake_kernel *fk, const char *expected)
{
	ck_assert_msg(strcmp(fk->log, expected) == 0,
		      "expected these calls:\n%s\nand there were these:\n%s", expected, fk->log);
	fake_kernel_forget(fk);
}
