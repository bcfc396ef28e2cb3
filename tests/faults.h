/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * Calls of the library that fail when their turn comes. The linker sends them (and the
 * test's own) through these wrappers, which count; the one whose turn it is fails with an
 * error that it can have. tests/local.mk has the linker's options.
 */
#ifndef LIBVHOST_TESTS_FAULTS_H
#define LIBVHOST_TESTS_FAULTS_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

static int countdown = -1;	/* calls until one fails; below 0: none does */
static const char *failed;	/* the one that did */

static bool fails(const char *name)
{
	if (countdown < 0 || countdown-- > 0)
		return false;
	failed = name;
	return true;
}

#define WRAP(type, name, bad, error, params, args) \
	type __real_##name params; \
	type __wrap_##name params; \
	type __wrap_##name params \
	{ \
		if (fails(#name)) { \
			errno = error; \
			return bad; \
		} \
		return __real_##name args; \
	}

WRAP(void *, malloc, NULL, ENOMEM, (size_t size), (size))
WRAP(void *, calloc, NULL, ENOMEM, (size_t n, size_t size), (n, size))
WRAP(void *, realloc, NULL, ENOMEM, (void *p, size_t size), (p, size))
WRAP(char *, strdup, NULL, ENOMEM, (const char *s), (s))
WRAP(void *, mmap, MAP_FAILED, ENOMEM,
     (void *at, size_t len, int prot, int flags, int fd, off_t offset),
     (at, len, prot, flags, fd, offset))
WRAP(int, socket, -1, EMFILE, (int family, int type, int protocol), (family, type, protocol))
WRAP(int, socketpair, -1, EMFILE, (int family, int type, int protocol, int *fds),
     (family, type, protocol, fds))
WRAP(int, accept4, -1, EMFILE, (int fd, struct sockaddr *a, socklen_t *n, int flags),
     (fd, a, n, flags))
WRAP(ssize_t, send, -1, ENOBUFS, (int fd, const void *buf, size_t n, int flags),
     (fd, buf, n, flags))
WRAP(ssize_t, sendmsg, -1, ENOBUFS, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
WRAP(ssize_t, recvmsg, -1, ENOMEM, (int fd, struct msghdr *m, int flags), (fd, m, flags))
WRAP(int, eventfd, -1, EMFILE, (unsigned int value, int flags), (value, flags))
WRAP(int, epoll_create1, -1, EMFILE, (int flags), (flags))
WRAP(int, epoll_ctl, -1, ENOSPC, (int ep, int op, int fd, struct epoll_event *e),
     (ep, op, fd, e))
WRAP(int, memfd_create, -1, ENFILE, (const char *name, unsigned int flags), (name, flags))

int __real_fcntl(int fd, int cmd, ...);
int __wrap_fcntl(int fd, int cmd, ...);
int __wrap_fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	if (cmd == F_DUPFD_CLOEXEC && fails("fcntl")) {
		errno = EMFILE;
		return -1;
	}
	return __real_fcntl(fd, cmd, arg);
}

#endif
