/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * What the tests that run in the guest share: the guest's kernel, its files in /proc
 * and /sys, and waiting for a queue of a device that the kernel serves.
 */
#ifndef LIBVHOST_TESTS_VM_GUEST_H
#define LIBVHOST_TESTS_VM_GUEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "leak.h"
#include "program.h"

#define F_INDIRECT (1ull << 28)
#define F_EVENT_IDX (1ull << 29)
#define F_VERSION_1 (1ull << 32)
#define F_ACCESS_PLATFORM (1ull << 33)
#define F_IN_ORDER (1ull << 35)

/* Skips, unless this is the guest, its user is root, and the file at @path is there. */
static inline int guest_must_have(const char *path)
{
	static char why[160];

	if (!getenv("VM_KERNEL") || geteuid())
		return program_skip("runs as root in the test guest (make check-vm)");
	if (access(path, F_OK) == 0)
		return 0;
	snprintf(why, sizeof(why), "kernel %s has no %s", getenv("VM_KERNEL"), path);
	return program_skip(why);
}

/* The version of the kernel that runs. */
static inline bool guest_kernel_has(unsigned int major, unsigned int minor)
{
	unsigned int a = 0, b = 0;
	struct utsname u;

	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &a, &b) != 2)
		abort();
	return a > major || (a == major && b >= minor);
}

/* A case that this kernel cannot have: the line counts it as skipped. Then return. */
static inline void guest_skip_case(const char *why)
{
	printf("skip: %s (kernel %s)\n", why, getenv("VM_KERNEL"));
	fflush(stdout);
}

/* Write a line to a file of the kernel's. 0 or a negative errno. */
static inline int guest_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

static inline unsigned long guest_read_number(const char *path)
{
	unsigned long value = 0;
	FILE *f = fopen(path, "re");

	ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(fscanf(f, "%lu", &value), 1);
	fclose(f);
	return value;
}

static inline vhost_dev_t *guest_open(const char *address, uint32_t flags)
{
	struct vhost_dev_opts opts = { .flags = flags };
	vhost_dev_t *dev = NULL;
	int r = vhost_dev_open(address, &opts, sizeof(opts), &dev);

	ck_assert_msg(r == 0, "%s: %d: %s", address, r, vhost_last_error());
	return dev;
}

static inline uint64_t guest_cap(const vhost_dev_t *dev, uint32_t cap)
{
	uint64_t value = 0;

	ck_assert_int_eq(vhost_dev_get_cap(dev, cap, &value), 0);
	return value;
}

/* A call must fail just so, and the sentence must have @word in it. */
#define DEV_FAILS(dev, call, error, word) do { \
	int r_ = (call); \
	ck_assert_msg(r_ == (error), "%s: %d, not %d: %s", #call, r_, (int)(error), \
		      vhost_dev_error(dev)); \
	ck_assert_msg(strstr(vhost_dev_error(dev), (word)), "%s: no \"%s\" in: %s", #call, (word), \
		      vhost_dev_error(dev)); \
} while (0)

#define DEV_FAILS_KIND(dev, call, error, kind, word) do { \
	DEV_FAILS(dev, call, error, word); \
	ck_assert_int_eq(vhost_dev_error_kind(dev), (kind)); \
} while (0)

/*
 * Collect up to @n completions of @vq, once there are any; meanwhile serve what the
 * device asks for. 0 if there are none within @timeout_ms.
 */
static inline int guest_get(vhost_dev_t *dev, vhost_virtq_t *vq, struct vhost_virtq_done *done,
			    unsigned int n, int timeout_ms)
{
	uint64_t end = program_now_ms() + (uint64_t)timeout_ms, now, count;
	struct vhost_virtq_layout layout;
	struct pollfd p[2];
	int got;

	vhost_virtq_layout(vq, &layout, sizeof(layout));
	while ((got = vhost_virtq_get(vq, done, n)) == 0 && (now = program_now_ms()) < end) {
		p[0] = (struct pollfd){ layout.call_fd, POLLIN, 0 };
		p[1] = (struct pollfd){ vhost_dev_get_fd(dev), POLLIN, 0 };
		poll(p, 2, (int)(end - now));
		if (p[0].revents && read(layout.call_fd, &count, sizeof(count)) < 0)
			ck_assert_int_eq(errno, EAGAIN);
		if (p[1].revents)
			DEV_OK(dev, vhost_dev_process(dev));
	}
	ck_assert_msg(got >= 0, "%s", vhost_virtq_error(vq));
	return got;
}

/* One request, and it must be completed. */
static inline struct vhost_virtq_done guest_request(vhost_dev_t *dev, vhost_virtq_t *vq,
						    const struct vhost_sg *sg, unsigned int out,
						    unsigned int in)
{
	struct vhost_virtq_req req = { .sg = sg, .out = (uint16_t)out, .in = (uint16_t)in };
	struct vhost_virtq_done done;

	ck_assert_msg(vhost_virtq_add(vq, &req, 1) == 1, "%s", vhost_virtq_error(vq));
	ck_assert_int_ge(vhost_virtq_kick(vq), 0);
	ck_assert_msg(guest_get(dev, vq, &done, 1, PROGRAM_PATIENCE_MS) == 1,
		      "the device does not answer");
	return done;
}

static inline struct vhost_sg guest_sg(const vhost_mem_t *mem, const void *ptr, size_t len)
{
	return (struct vhost_sg){ vhost_mem_to_iova(mem, ptr), (uint32_t)len, 0 };
}

/* Call @fn in a forked process; true if it found what it should. */
static inline bool guest_in_child(bool (*fn)(void))
{
	int status = 0;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid)
		_exit(fn() ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#endif
