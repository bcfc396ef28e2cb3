/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The Unix sockets that vhost-user is spoken over, for whichever side serves or connects. */
#ifndef LIBVHOST_VU_SOCK_H
#define LIBVHOST_VU_SOCK_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

/*
 * The address of a path, or of an abstract name if it starts with @. 0; -EINVAL for an
 * empty one; -ENAMETOOLONG.
 */
int vu_sock_address(const char *path, struct sockaddr_un *ret, socklen_t *ret_len);

/* The most bytes of a path. */
#define VU_SOCK_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/* A non-blocking socket, or socket(2)'s error. */
int vu_sock_new(void);

/* 0, or an error of connect(2). */
int vu_sock_connect(int fd, const struct sockaddr_un *sa, socklen_t len);

/* 0, or an error of bind(2). A socket that nobody has open any more is replaced. */
int vu_sock_bind(int fd, const struct sockaddr_un *sa, socklen_t len);

/*
 * 0 for a Unix stream socket, and whether it listens; -EINVAL for another; or an error of
 * getsockopt(2).
 */
int vu_sock_check(int fd, bool *ret_listens);

#endif
