/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A device of the kernel's: what vhost-net, -vsock, -scsi (kernel.c) and vDPA (vdpa.c)
 * have in common. Calls are made through kdev_sys, so that tests can stand in for the
 * kernel. Everything answers at once: no operation is ever pending.
 */
#ifndef LIBVHOST_TRANSPORT_KDEV_H
#define LIBVHOST_TRANSPORT_KDEV_H

#include <sys/types.h>

#include "proto/kernel-abi.h"
#include "transport/transport.h"

enum kdev_kind {
	KDEV_NET,
	KDEV_VSOCK,
	KDEV_SCSI,
	KDEV_VDPA
};

/* The system calls that reach the kernel's vhost. As in libc: -1 and errno. */
struct kdev_sys {
	int (*open)(const char *path, int flags);
	int (*ioctl)(int fd, unsigned long request, void *arg);
	ssize_t (*write)(int fd, const void *buf, size_t size);
	ssize_t (*read)(int fd, void *buf, size_t size);
	void *(*mmap)(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
};

extern const struct kdev_sys *kdev_sys;

struct kdev {
	struct vhost_dev dev;
	enum kdev_kind kind;
	int fd;
	pid_t owner;
	bool owned;			/* false only after a reset that could not be finished */
	uint32_t open_flags;		/* VHOST_OPEN_* */
	uint64_t backend_offered;
	uint64_t backend;		/* in use */
	uint64_t offered[2];		/* features, as far as they were asked for */
	unsigned int n_offered;		/* words of them */
	bool err_set[VHOST_MAX_QUEUES];	/* queues that were given an error eventfd */
	int epfd;
	int wakefd;
	bool connected_due;		/* the connected event is still to come */
};

static inline struct kdev *to_kdev(struct vhost_dev *dev)
{
	return (struct kdev *)dev;
}

static inline const struct kdev *to_kdev_const(const struct vhost_dev *dev)
{
	return (const struct kdev *)dev;
}

static inline bool kdev_is(const struct vhost_dev *dev)
{
	return dev->ops == &vhost_kernel_ops || dev->ops == &vhost_vdpa_ops;
}

static inline bool has_bf(const struct kdev *k, unsigned int bit)
{
	return k->backend >> bit & 1;
}

/*
 * Make a device of an open descriptor, which is taken over also on failure, and own it.
 * @address is what it is called by.
 */
int kdev_new(enum kdev_kind kind, const char *address, int fd, const struct vhost_dev_opts *opts,
	     const struct vhost_dev_events *events, vhost_dev_t **ret);
int kdev_own(struct kdev *k);	/* be its owner, with the kind of worker that is asked for */
/* What is done before the ownership and after it, for each kind: kernel.c and vdpa.c. */
void kernel_prepare(struct kdev *k);
void vdpa_prepare(struct kdev *k);
int kernel_init(struct kdev *k);
int vdpa_init(struct kdev *k);
size_t vdpa_struct_size(void);
size_t kernel_struct_size(void);

/* Open by path or by descriptor (borrowed), of whatever kind it is. */
int kdev_open(const char *address, const char *path, const struct vhost_dev_opts *opts,
	      const struct vhost_dev_events *events, vhost_dev_t **ret);
int kdev_open_fd(const char *address, int fd, const struct vhost_dev_opts *opts,
		 const struct vhost_dev_events *events, vhost_dev_t **ret);

/* An ioctl, traced. 0 or more, or a negative errno; the error of the device is not set. */
int kdev_try(struct kdev *k, unsigned long request, void *arg);
/* The same, and -ENOTSUP for all by which a kernel says that it has no such call. */
int kdev_probe(struct kdev *k, unsigned long request, void *arg);
/* The same, and on failure the device has a sentence. */
int kdev_ioctl(struct kdev *k, unsigned long request, void *arg);
int kdev_vring(struct kdev *k, unsigned long request, unsigned int index, uint32_t num);
int kdev_vring_fd(struct kdev *k, unsigned long request, unsigned int index, int fd);
/* Set the sentence for a call that failed with @r, and return what the user gets. */
int kdev_fail(struct kdev *k, int r, unsigned long request, int index);
/* Ask for the back-end features, and accept those that are known. */
int kdev_ack_backend_features(struct kdev *k);

/* One IOTLB message, in the layout that was agreed on. 0 or a negative errno. */
int kdev_send_iotlb(struct kdev *k, uint32_t asid, const struct kv_iotlb *iotlb);
/* The same for what an IOTLB message came back with: the kernel says EFAULT for most. */
int kdev_iotlb_fail(struct kdev *k, int r, const char *what, uint64_t iova, uint64_t size);
/* Take messages that the kernel sent. 1 if one was read, 0 if there is none. */
int kdev_read_iotlb(struct kdev *k, uint32_t *asid, struct kv_iotlb *ret);
/* The translation that the user gives for @iova, or that follows from the map. */
int kdev_translate(struct kdev *k, uint64_t iova, uint32_t perm, struct vhost_iotlb_entry *ret);
/* The process's address of @entry's target, 0 if the map has it not. */
uint64_t kdev_target(struct kdev *k, const struct vhost_iotlb_entry *entry);
/* The same; where it is not to be mapped so, the device has a sentence. 0 or -EINVAL. */
int kdev_check_target(struct kdev *k, const struct vhost_iotlb_entry *entry, uint64_t *ret_addr,
		      uint64_t *ret_region);

void kdev_kick(struct kdev *k, unsigned int index);
/* All that one queue is told, with the addresses that the transport gives it. */
int kdev_send_vq(struct kdev *k, unsigned int index, const struct kv_vring_addr *addr);
int kdev_get_base(struct kdev *k, unsigned int index);	/* into the record */

/* Slots that both tables share. */
void kdev_close(struct vhost_dev *dev);
void kdev_free(struct vhost_dev *dev);
int kdev_wait(struct vhost_dev *dev, struct vhost_op *op);
int kdev_get_fd(struct vhost_dev *dev);
void kdev_wake(struct vhost_dev *dev);
uint64_t kdev_deadline(const struct vhost_dev *dev);
void kdev_lost(struct vhost_dev *dev, int status);
int kdev_vq_set_call(struct vhost_dev *dev, struct vhost_op *op, unsigned int index);
int kdev_vq_kick(struct vhost_dev *dev, unsigned int index);
/* What process() has to do besides a transport's own. */
int kdev_process_events(struct kdev *k);
int kdev_watch(struct kdev *k, int fd);	/* once it has an epoll descriptor */

#endif
