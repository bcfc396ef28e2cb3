/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The kernel's vhost and vDPA as the library sees them: a table of system calls with one
 * device behind it, that keeps what a kernel keeps, answers as kernels do, writes down
 * each call, and fails where a test wants it to.
 */
#ifndef LIBVHOST_TESTS_FAKE_KERNEL_H
#define LIBVHOST_TESTS_FAKE_KERNEL_H

#include "transport/kdev.h"

#define FAKE_VQS 256u
#define FAKE_ENTRIES 2048u
#define FAKE_REGIONS 1024u
#define FAKE_MSGS 64u
#define FAKE_WORKERS 8u

struct fake_vq {
	uint32_t num;
	uint32_t base;
	uint32_t endian;
	uint32_t busyloop;
	uint32_t worker;
	uint32_t max;			/* vDPA: of VRING_SIZE */
	uint32_t group;
	uint32_t desc_group;
	struct kv_vring_addr addr;
	int kick;			/* the kernel's own descriptors, -1 for none */
	int call;
	int err;
	int backend;			/* vhost-net */
	bool ready;			/* vDPA: enabled */
};

struct fake_entry {
	uint32_t asid;
	uint8_t perm;
	bool lost;			/* vDPA: the device forgot it in a reset */
	uint64_t iova;
	uint64_t size;
	uint64_t user_addr;
};

struct fake_kernel {
	enum kdev_kind kind;
	int fd;				/* the number of the library's descriptor */

	/* What kind of kernel and device it is: may be changed before the device is opened. */
	uint64_t offers[2];
	uint64_t backend_offers;
	bool has_backend_features;
	bool has_array;
	bool has_fork;
	bool has_workers;
	bool has_endian;
	unsigned int n_vqs;
	unsigned int max_regions;
	uint64_t taken_cid;		/* somebody else's */
	const char *target;		/* vhost-scsi: the one that exists */
	bool target_in_use;
	uint32_t device_id;
	uint32_t max_num;
	bool has_vring_size;
	bool has_groups;
	uint32_t n_groups;
	uint32_t n_as;
	struct kv_iova_range range;
	uint8_t config[256];
	uint32_t config_size;
	uint8_t keeps_status;		/* bits of the status that the device keeps, ... */
	uint8_t adds_status;		/* ... and that it adds to DRIVER_OK */
	uint64_t pin_limit;		/* vDPA: bytes that can be mapped */
	bool has_doorbell;
	bool old;			/* vDPA of Linux 5.10: no calls later than that */

	/* What it was told. */
	bool owned;
	uint8_t fork;
	uint64_t features[2];
	uint64_t backend;
	struct fake_vq vqs[FAKE_VQS];
	struct kv_mem_region regions[FAKE_REGIONS];
	unsigned int n_regions;
	struct fake_entry entries[FAKE_ENTRIES];
	unsigned int n_entries;
	uint64_t log_base;
	int log_fd;
	uint64_t cid;
	bool running;			/* vhost-vsock */
	char endpoint[225];		/* vhost-scsi, "" for none */
	uint32_t events_missed;
	bool workers[FAKE_WORKERS];
	uint8_t status;
	bool suspended;
	int config_call;
	bool in_batch;
	uint32_t batch_asid;
	uint32_t group_asid[16];

	/* Messages to be read. */
	struct {
		uint8_t bytes[sizeof(struct kv_msg)];
		size_t size;
	} msgs[FAKE_MSGS];
	unsigned int n_msgs;

	/* What goes wrong. */
	unsigned int calls;		/* so far */
	unsigned int fail_at;		/* the number of the call that fails, from 1; 0 for none */
	bool fail_on;			/* ... and all after it */
	unsigned long fail_request;	/* or the calls of this, ... */
	unsigned int fail_nth;		/* ... this one only, from 1; 0 for all */
	int fail_errno;
	const char *failed;		/* the call that was made to fail; NULL for none yet */
	int failed_index;		/* ... and its queue, or -1 */
	unsigned int fail_seen;
	size_t short_write;		/* bytes that a write() takes, if not 0 */
	int open_errno;			/* open() fails with it */

	/* What happened. */
	char *log;
	size_t log_size;
	size_t log_room;
	char fault[256];		/* the first thing that must not be */
	struct {
		const char *name;
		uint64_t addr;
		uint64_t size;
	} names[4];
};

/*
 * A kernel with a device of @kind, in place of the real one until fake_kernel_free(). It
 * offers what Linux 7.2 does, without VIRTIO_F_RING_PACKED.
 */
struct fake_kernel *fake_kernel_new(enum kdev_kind kind);
/* Also checks that nothing was done that must not be. */
void fake_kernel_free(struct fake_kernel *fk);

/* A descriptor of the device, as open(2) gives it. */
int fake_kernel_open(struct fake_kernel *fk);

/* How a process's address is written down: @name and the offset. */
void fake_kernel_name(struct fake_kernel *fk, const char *name, const void *addr, uint64_t size);

/* The calls since the last time, one a line; and that they are as @expected. */
const char *fake_kernel_log(struct fake_kernel *fk);
void fake_kernel_forget(struct fake_kernel *fk);
void fake_kernel_expect(struct fake_kernel *fk, const char *expected);

/* A message for the library to read; @size below that of a message is a short read. */
void fake_kernel_push(struct fake_kernel *fk, const void *msg, size_t size);
void fake_kernel_push_miss(struct fake_kernel *fk, uint32_t version, uint64_t iova, uint8_t perm);

/* Signal a descriptor that the kernel has been given. */
void fake_kernel_signal(int fd);

/* The name of a request, without VHOST_; NULL for none that is known. */
const char *fake_kernel_request(unsigned long request);

/* IOTLB entries (vDPA: that the device did not forget) that cover all of a range. */
bool fake_kernel_maps(const struct fake_kernel *fk, uint32_t asid, uint64_t iova, uint64_t size);
unsigned int fake_kernel_lost(const struct fake_kernel *fk);

#endif
