/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include "proto/vu-sock.h"

#include <sys/stat.h>

#include "util.h"

int vu_sock_address(const char *path, struct sockaddr_un *ret, socklen_t *ret_len)
{
	size_t len = path ? strlen(path) : 0;

	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	if (!len)
		return -EINVAL;
	if (len > VU_SOCK_PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(ret->sun_path, path, len);
	*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	if (path[0] == '@') {
		ret->sun_path[0] = '\0';
		(*ret_len)--;	/* an abstract name has no terminator */
	}
	return 0;
}

int vu_sock_new(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

int vu_sock_connect(int fd, const struct sockaddr_un *sa, socklen_t len)
{
	int r;

	do
		r = connect(fd, (const struct sockaddr *)sa, len) < 0 ? -errno : 0;
	while (r == -EINTR);
	return r;
}

/*
 * A socket that no process has open any more. Asked with a socket of another type: the
 * kernel tells the two apart (EPROTOTYPE, ECONNREFUSED), and nobody who waits for a peer
 * gets a connection that is none.
 */
static bool is_stale(const struct sockaddr_un *sa, socklen_t len)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (!sa->sun_path[0] || lstat(sa->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd >= 0 && connect(fd, (const struct sockaddr *)sa, len) < 0 &&
	       errno == ECONNREFUSED;
}

int vu_sock_bind(int fd, const struct sockaddr_un *sa, socklen_t len)
{
	int r = bind(fd, (const struct sockaddr *)sa, len) < 0 ? -errno : 0;

	if (r == -EADDRINUSE && is_stale(sa, len) && unlink(sa->sun_path) == 0)
		r = bind(fd, (const struct sockaddr *)sa, len) < 0 ? -errno : 0;
	return r;
}

static int get_option(int fd, int option, int *ret)
{
	socklen_t len = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, option, ret, &len) < 0 ? -errno : 0;
}

int vu_sock_check(int fd, bool *ret_listens)
{
	int type = 0, domain = 0, listens = 0;
	int r = get_option(fd, SO_TYPE, &type);

	if (!r)
		r = get_option(fd, SO_DOMAIN, &domain);
	if (!r)
		r = get_option(fd, SO_ACCEPTCONN, &listens);
	if (!r && (type != SOCK_STREAM || domain != AF_UNIX))
		r = -EINVAL;
	if (!r)
		*ret_listens = listens;
	return r;
}
