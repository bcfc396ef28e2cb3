/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A VDUSE disk that takes requests and keeps them: until its first reset it completes
 * every second one that it finds, and afterwards all. It has no data. No daemon that is
 * to be had can be reset with requests in flight, at a moment that a test chooses.
 */
#ifndef LIBVHOST_TESTS_VM_VDUSE_H
#define LIBVHOST_TESTS_VM_VDUSE_H

#include <endian.h>
#include <linux/vduse.h>

#include "guest.h"

#define VDUSE_QUEUE_SIZE 256u
#define VDUSE_CONFIG_SIZE 60u
#define VDUSE_STATUS_DRIVER_OK 4u

struct vduse_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

#define VDUSE_DESC_NEXT 1u

struct vduse_disk {
	int fd;
	bool running;
	unsigned int resets;
	uint16_t taken;
	uint16_t used;
	uint32_t size;
	uint8_t *mem;		/* what the driver's rings and buffers are in */
	uint64_t start;
	size_t len;
	struct vduse_desc *desc;
	uint16_t *avail;
	uint16_t *used_ring;
};

static inline void *vduse_at(const struct vduse_disk *d, uint64_t iova)
{
	if (iova < d->start || iova - d->start >= d->len)
		_exit(3);
	return d->mem + (iova - d->start);
}

static inline void vduse_start(struct vduse_disk *d)
{
	struct vduse_vq_info info = { .index = 0 };
	struct vduse_iotlb_entry entry = { .start = 0 };
	int fd;

	if (ioctl(d->fd, VDUSE_VQ_GET_INFO, &info) < 0 || !info.ready)
		_exit(4);
	entry.start = entry.last = info.desc_addr;
	fd = ioctl(d->fd, VDUSE_IOTLB_GET_FD, &entry);
	if (fd < 0)
		_exit(5);
	d->start = entry.start;
	d->len = (size_t)(entry.last - entry.start + 1);
	d->mem = mmap(NULL, d->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)entry.offset);
	close(fd);
	if (d->mem == MAP_FAILED)
		_exit(6);
	d->size = info.num;
	d->taken = info.split.avail_index;
	d->desc = vduse_at(d, info.desc_addr);
	d->avail = vduse_at(d, info.driver_addr);
	d->used_ring = vduse_at(d, info.device_addr);
	d->used = le16toh(d->used_ring[1]);
	d->running = true;
}

static inline void vduse_stop(struct vduse_disk *d)
{
	if (d->running)
		munmap(d->mem, d->len);
	d->running = false;
	d->resets++;
}

/* The last descriptor of a request is its status. */
static inline void vduse_complete(struct vduse_disk *d, uint16_t head)
{
	uint32_t *elem = (uint32_t *)(void *)(d->used_ring + 2) + 2 * (d->used % d->size);
	uint16_t i = head;

	while (le16toh(d->desc[i].flags) & VDUSE_DESC_NEXT)
		i = le16toh(d->desc[i].next) % (uint16_t)d->size;
	*(uint8_t *)vduse_at(d, le64toh(d->desc[i].addr)) = 0;
	elem[0] = htole32(head);
	elem[1] = htole32(1);
	__atomic_store_n(&d->used_ring[1], htole16(++d->used), __ATOMIC_RELEASE);
}

static inline void vduse_serve(struct vduse_disk *d)
{
	uint16_t end = le16toh(__atomic_load_n(&d->avail[1], __ATOMIC_ACQUIRE));
	uint32_t queue = 0;

	if (d->taken == end)
		return;
	for (; d->taken != end; d->taken++)
		if (d->resets || d->taken % 2)
			vduse_complete(d, le16toh(d->avail[2 + d->taken % d->size]));
	ioctl(d->fd, VDUSE_VQ_INJECT_IRQ, &queue);
}

static inline void vduse_answer(struct vduse_disk *d)
{
	struct vduse_dev_request req;
	struct vduse_dev_response resp = { .result = VDUSE_REQ_RESULT_OK };

	if (read(d->fd, &req, sizeof(req)) != sizeof(req))
		return;
	resp.request_id = req.request_id;
	if (req.type == VDUSE_GET_VQ_STATE) {
		resp.vq_state.index = req.vq_state.index;
		resp.vq_state.split.avail_index = d->taken;
	} else if (req.type == VDUSE_SET_STATUS) {
		if (req.s.status & VDUSE_STATUS_DRIVER_OK)
			vduse_start(d);
		else if (!req.s.status && d->running)
			vduse_stop(d);
	}
	if (write(d->fd, &resp, sizeof(resp)) != sizeof(resp))
		_exit(7);
}

/* Make the device, and serve it in a process that dies with this one. Its pid. */
static inline pid_t vduse_begin(const char *name)
{
	_Alignas(struct vduse_dev_config)
	char buf[sizeof(struct vduse_dev_config) + VDUSE_CONFIG_SIZE];
	struct vduse_dev_config *config = (struct vduse_dev_config *)(void *)buf;
	struct vduse_vq_config vq = { .max_size = VDUSE_QUEUE_SIZE };
	int control = open("/dev/vduse/control", O_RDWR | O_CLOEXEC);
	struct vduse_disk d = { .fd = -1 };
	uint64_t version = 0, capacity = htole64(1 << 20);
	char path[300];
	pid_t pid;

	ck_assert_int_ge(control, 0);
	ck_assert_int_eq(ioctl(control, VDUSE_SET_API_VERSION, &version), 0);
	memset(buf, 0, sizeof(buf));
	snprintf(config->name, sizeof(config->name), "%s", name);
	config->device_id = 2;
	config->features = F_VERSION_1 | F_ACCESS_PLATFORM;
	config->vq_num = 1;
	config->vq_align = 4096;
	config->config_size = VDUSE_CONFIG_SIZE;
	memcpy(config->config, &capacity, sizeof(capacity));
	ck_assert_int_eq(ioctl(control, VDUSE_CREATE_DEV, config), 0);
	close(control);
	snprintf(path, sizeof(path), "/dev/vduse/%s", name);
	d.fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	ck_assert_int_ge(d.fd, 0);
	ck_assert_int_eq(ioctl(d.fd, VDUSE_VQ_SETUP, &vq), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			if (poll(&(struct pollfd){ d.fd, POLLIN, 0 }, 1, 5) > 0)
				vduse_answer(&d);
			if (d.running)
				vduse_serve(&d);
		}
	}
	close(d.fd);
	return pid;
}

/* Once the bus has it no longer. */
static inline int vduse_destroy(const char *name)
{
	int control = open("/dev/vduse/control", O_RDWR | O_CLOEXEC), r;
	uint64_t version = 0;
	char buf[256] = "";

	ck_assert_int_ge(control, 0);
	snprintf(buf, sizeof(buf), "%s", name);
	ioctl(control, VDUSE_SET_API_VERSION, &version);
	r = ioctl(control, VDUSE_DESTROY_DEV, buf);
	close(control);
	return r;
}

#endif
