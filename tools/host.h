/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * A host as its files show it: this one, or the image of one below a directory.
 * Nothing here opens a device node.
 */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct host {
	const char *root;	/* NULL: this host */
	int root_fd;
	char release[72];	/* of the kernel */
};

/* 0 or a negative errno. Without a @root nothing can fail. */
int host_open_root(struct host *host, const char *root);
void host_close_root(struct host *host);

/*
 * All paths are absolute, and stay below the root whatever links are there. Each call
 * returns 0 (host_open() a descriptor) or a negative errno.
 */
int host_open(const struct host *host, const char *path, int flags);
int host_stat(const struct host *host, const char *path, struct stat *ret);
int host_access(const struct host *host, const char *path, int mode);
bool host_exists(const struct host *host, const char *path);
/* The last part of what the link points to. */
int host_link(const struct host *host, const char *path, char *buf, size_t size);
/*
 * A regular file, with a NUL behind it; release it with free(3). -EFBIG: of more than
 * @max bytes; -ENOTSUP: no regular file.
 */
int host_load(const struct host *host, const char *path, size_t max, char **ret,
	      size_t *ret_size);

/* Names of a directory, sorted. */
struct names {
	char **name;
	size_t n;
	bool more;		/* there were more than we take */
};

int host_list(const struct host *host, const char *dir, const char *prefix, struct names *ret);
void names_free(struct names *names);

enum module {
	MODULE_LOADED,		/* or built in */
	MODULE_AVAILABLE,
	MODULE_ABSENT,
	MODULE_UNKNOWN		/* not loaded, and there is no list of this kernel's modules */
};

enum module host_module(const struct host *host, const char *name);

/* A device node of the kernel's, and what stands between us and it. */
struct node {
	char path[300];
	char vdpa[300];		/* the vDPA device behind it, if it is one's */
	const char *module;
	bool present;
	bool usable;
	char why[512];		/* it is not; or what else is to be said */
	char help[512];
};

struct nodes {
	struct node *node;
	size_t n;
};

int host_nodes(const struct host *host, struct nodes *ret);

/* A file that describes a vhost-user back-end (vhost-user, "Backend program conventions"). */
struct backend {
	char *file;
	char *hides;		/* the less specific file that this one takes the place of */
	bool empty;		/* it only hides */
	char *type;
	char *binary;
	char *description;
	char **tag;
	size_t n_tags;
	char problem[256];	/* "" if there is none */
};

struct backends {
	struct backend *backend;
	size_t n;
	char problem[256];	/* with one of the directories */
};

int host_backends(const struct host *host, struct backends *ret);
void backends_free(struct backends *backends);

#endif
