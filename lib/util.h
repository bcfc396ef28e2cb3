/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* Small helpers that every room of the library shares. */
#ifndef LIBVHOST_UTIL_H
#define LIBVHOST_UTIL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VHOST_EXPORT __attribute__((visibility("default")))
#define _printf_(f, a) __attribute__((format(printf, f, a)))
#define _unused_ __attribute__((unused))
#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* One load or store of the whole object: what a peer may change is read once. */
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

/* Ownership moves by name. */
#define TAKE_PTR(p) \
	({ __typeof__(p) _taken = (p); (p) = NULL; _taken; })
#define TAKE_FD(fd) \
	({ int _taken = (fd); (fd) = -1; _taken; })

static inline void close_fd(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);	/* never retried: on Linux the fd is gone even after EINTR */
		errno = saved;
		*fd = -1;
	}
}

static inline void free_ptr(void *p)
{
	free(*(void **)p);
}

#define _cleanup_close_ _cleanup_(close_fd)
#define _cleanup_free_ _cleanup_(free_ptr)

/*
 * The one range check: start + len, as the exclusive end, or as the last byte
 * where the end may be 2^64. All address arithmetic goes through these.
 */
static inline bool range_end(uint64_t start, uint64_t len, uint64_t *end)
{
	return !__builtin_add_overflow(start, len, end);
}

static inline bool range_last(uint64_t start, uint64_t len, uint64_t *last)
{
	return len > 0 && !__builtin_add_overflow(start, len - 1, last);
}

/* Do [a, a + a_len) and [b, b + b_len), neither empty nor wrapping, have a byte in common? */
static inline bool ranges_meet(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a <= b + (b_len - 1) && b <= a + (a_len - 1);
}

/* Is [start, start + len) inside [0, size)? Safe for any values. */
static inline bool range_within(uint64_t start, uint64_t len, uint64_t size)
{
	return len <= size && start <= size - len;
}

/*
 * Copy a caller's struct of @size bytes into one of ours of @known bytes: what
 * an older caller lacks is zero, what a newer one has more must be zero.
 */
static inline int copy_sized(void *dst, size_t known, const void *src, size_t size)
{
	size_t i;

	for (i = known; i < size; i++)
		if (((const unsigned char *)src)[i])
			return -E2BIG;
	memset(dst, 0, known);
	if (size)
		memcpy(dst, src, size < known ? size : known);
	return 0;
}

#endif
