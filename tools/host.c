/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "host.h"

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

#define NAMES_MAX 4096
#define MODULES_MAX (16u << 20)	/* bytes of modules.dep; a distribution's has less than one */

int host_open_root(struct host *host, const char *root)
{
	struct utsname uts;
	char *text = NULL;
	size_t size;

	*host = (struct host){ .root = root, .root_fd = -1 };
	if (root) {
		host->root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (host->root_fd < 0)
			return -errno;
		if (host_load(host, "/proc/sys/kernel/osrelease", 64, &text, &size) == 0) {
			snprintf(host->release, sizeof(host->release), "%.*s",
				 (int)strcspn(text, "/\n"), text);
			free(text);
			return 0;
		}
	}
	if (uname(&uts) == 0)
		snprintf(host->release, sizeof(host->release), "%s", uts.release);
	return 0;
}

void host_close_root(struct host *host)
{
	if (host->root_fd >= 0)
		close(host->root_fd);
	host->root_fd = -1;
}

int host_open(const struct host *host, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		/* An absolute link in an image means a file of the image. */
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int fd;

	if (!host->root)
		fd = open(path, flags | O_CLOEXEC);
	else
		fd = (int)syscall(SYS_openat2, host->root_fd, path, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

int host_stat(const struct host *host, const char *path, struct stat *ret)
{
	int fd = host_open(host, path, O_PATH), r;

	if (fd < 0)
		return fd;
	r = fstat(fd, ret) < 0 ? -errno : 0;
	close(fd);
	return r;
}

bool host_exists(const struct host *host, const char *path)
{
	struct stat st;

	return host_stat(host, path, &st) == 0;
}

int host_access(const struct host *host, const char *path, int mode)
{
	char link[64];
	int fd, r;

	if (!host->root)
		return faccessat(AT_FDCWD, path, mode, AT_EACCESS) < 0 ? -errno : 0;
	fd = host_open(host, path, O_PATH);
	if (fd < 0)
		return fd;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	r = faccessat(AT_FDCWD, link, mode, AT_EACCESS) < 0 ? -errno : 0;
	close(fd);
	return r;
}

int host_link(const struct host *host, const char *path, char *buf, size_t size)
{
	int fd = host_open(host, path, O_PATH | O_NOFOLLOW);
	char target[PATH_MAX];
	const char *last;
	ssize_t n;

	if (fd < 0)
		return fd;
	n = readlinkat(fd, "", target, sizeof(target) - 1);
	n = n < 0 ? -errno : n;
	close(fd);
	if (n < 0)
		return (int)n;
	target[n] = 0;
	last = strrchr(target, '/');
	last = last ? last + 1 : target;
	if (strlen(last) >= size)
		return -ENAMETOOLONG;
	strcpy(buf, last);
	return 0;
}

int host_load(const struct host *host, const char *path, size_t max, char **ret,
	      size_t *ret_size)
{
	size_t size = 0, room = 0;
	char *buf = NULL;
	struct stat st;
	ssize_t n;
	int fd, r;

	/* Opening what is no file could wait, or do something: look first. */
	r = host_stat(host, path, &st);
	if (r < 0)
		return r;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -ENOTSUP;
	fd = host_open(host, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return fd;
	r = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -ENOTSUP;
	/* The size that it claims means nothing: the file may grow, or be of procfs. */
	while (r == 0) {
		if (room - size < 2) {
			size_t more = room ? room * 2 : 4096;
			char *p = realloc(buf, more);

			if (!p) {
				r = -ENOMEM;
				break;
			}
			buf = p;
			room = more;
		}
		n = read(fd, buf + size, room - size - 1);
		if (n == 0)
			break;
		if (n < 0) {
			if (errno != EINTR)
				r = -errno;
			continue;
		}
		size += (size_t)n;
		if (size > max)
			r = -EFBIG;
	}
	close(fd);
	if (r < 0) {
		free(buf);
		return r;
	}
	buf[size] = 0;
	*ret = buf;
	*ret_size = size;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int host_list(const struct host *host, const char *dir, const char *prefix, struct names *ret)
{
	int fd = host_open(host, dir, O_RDONLY | O_DIRECTORY);
	struct dirent *e;
	DIR *d;

	*ret = (struct names){ .n = 0 };
	if (fd < 0)
		return fd;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	ret->name = calloc(NAMES_MAX, sizeof(*ret->name));
	while (ret->name && (e = readdir(d))) {
		if (e->d_name[0] == '.' || strncmp(e->d_name, prefix, strlen(prefix)))
			continue;
		ret->more = ret->n == NAMES_MAX;
		if (ret->more)
			break;
		ret->name[ret->n] = strdup(e->d_name);
		if (!ret->name[ret->n])
			break;
		ret->n++;
	}
	closedir(d);
	if (!ret->name)
		return -ENOMEM;
	qsort(ret->name, ret->n, sizeof(*ret->name), by_name);
	return 0;
}

void names_free(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->name[i]);
	free(names->name);
	*names = (struct names){ .n = 0 };
}

/* ----------------------------------------------------------------- modules */

/* Is module @name that of the path @line: kernel/drivers/vhost/vhost_net.ko.xz? */
static bool is_module(const char *line, size_t n, const char *name)
{
	const char *p = line, *end = line + n;

	for (const char *s = line; s < end; s++)
		if (*s == '/')
			p = s + 1;
	while (*name && p < end && (*p == *name || (*p == '-' && *name == '_'))) {
		p++;
		name++;
	}
	return !*name && end - p >= 3 && !memcmp(p, ".ko", 3) && (end - p == 3 || p[3] == '.');
}

/* 1 if @name is in this list of modules, 0 if not, or a negative errno. */
static int in_list(const struct host *host, const char *list, const char *name)
{
	char path[160], *text, *line;
	size_t size;
	int r, found = 0;

	snprintf(path, sizeof(path), "/lib/modules/%s/%s", host->release, list);
	r = host_load(host, path, MODULES_MAX, &text, &size);
	if (r < 0)
		return r;
	for (line = text; *line && !found; line += line[0] == '\n') {
		size_t n = strcspn(line, ":\n");

		found = is_module(line, n, name);
		line += strcspn(line, "\n");
	}
	free(text);
	return found;
}

enum module host_module(const struct host *host, const char *name)
{
	char path[128];
	int dep, builtin;

	snprintf(path, sizeof(path), "/sys/module/%s", name);
	if (host_exists(host, path))
		return MODULE_LOADED;
	builtin = in_list(host, "modules.builtin", name);
	if (builtin == 1)
		return MODULE_LOADED;
	dep = in_list(host, "modules.dep", name);
	if (dep == 1)
		return MODULE_AVAILABLE;
	return dep < 0 ? MODULE_UNKNOWN : MODULE_ABSENT;
}

/* ------------------------------------------------------------------- nodes */

#define WHY(node, ...) snprintf((node)->why, sizeof((node)->why), __VA_ARGS__)
#define HELP(node, ...) snprintf((node)->help, sizeof((node)->help), __VA_ARGS__)

/* What a kind of node needs of the kernel. */
struct kind {
	const char *name, *module, *config;
	enum module state;
};

static void explain_missing(const struct host *host, const struct kind *kind, struct node *node)
{
	switch (kind->state) {
	case MODULE_LOADED:
		WHY(node, "missing, though the module %s is loaded", kind->module);
		HELP(node, "in a container, pass it in (docker run --device %s); elsewhere, see "
		     "that udev or devtmpfs makes it", node->path);
		break;
	case MODULE_AVAILABLE:
		WHY(node, "missing: the module %s is not loaded", kind->module);
		HELP(node, "modprobe %s", kind->module);
		break;
	case MODULE_ABSENT:
		WHY(node, "missing: kernel %s has no module %s", host->release, kind->module);
		HELP(node, "a kernel with %s, or the package with the rest of this one's modules",
		     kind->config);
		break;
	case MODULE_UNKNOWN:
		WHY(node, "missing: the module %s is not loaded, and there is no /lib/modules/%s "
		    "to find it in", kind->module, host->release);
		HELP(node, "modprobe %s on the host; in a container, then pass the node in",
		     kind->module);
		break;
	}
}

static void explain_permission(const struct host *host, struct node *node, const struct stat *st)
{
	char owner_id[24], group_id[24];
	const char *name = strrchr(node->path, '/') + 1, *owner = owner_id, *group = group_id;
	const struct passwd *pw;
	const struct group *gr;

	snprintf(owner_id, sizeof(owner_id), "%u", (unsigned int)st->st_uid);
	snprintf(group_id, sizeof(group_id), "%u", (unsigned int)st->st_gid);
	/* An image has other users. */
	if (!host->root && (pw = getpwuid(st->st_uid)))
		owner = pw->pw_name;
	if (!host->root && (gr = getgrgid(st->st_gid)))
		group = gr->gr_name;
	WHY(node, "no permission: owner %s, group %s, mode %04o", owner, group,
	    (unsigned int)st->st_mode & 07777);
	if (st->st_gid && (st->st_mode & 060) == 060)
		HELP(node, "add yourself to group %s (usermod -aG %s USER) and log in again", group,
		     group);
	else if (!strncmp(name, "vhost-vdpa-", 11))	/* the kernel makes no event for it */
		HELP(node, "be root, or a udev rule for the device on the bus: vhost-vdpa(7) has one");
	else
		HELP(node, "be root, or a udev rule: KERNEL==\"%s\", GROUP=\"kvm\", MODE=\"0660\"",
		     name);
}

/*
 * Opening a vhost-vdpa node resets the device and keeps others out, so access(2)
 * has to do; it knows of a container's device rules as well (EPERM).
 */
static void examine(const struct host *host, const struct kind *kind, struct node *node)
{
	struct stat st;
	int r = host_stat(host, node->path, &st);

	if (r == -ENOENT) {
		explain_missing(host, kind, node);
		return;
	}
	if (r < 0) {
		WHY(node, "cannot be looked at: %s", strerror(-r));
		return;
	}
	if (!S_ISCHR(st.st_mode)) {
		WHY(node, "not a device node");
		HELP(node, "remove it, then modprobe %s", kind->module);
		return;
	}
	node->present = true;
	r = host_access(host, node->path, R_OK | W_OK);
	if (r == -EACCES) {
		explain_permission(host, node, &st);
	} else if (r < 0) {
		WHY(node, "the device rules of this container or service forbid it (%s)",
		    strerror(-r));
		HELP(node, "docker run --device %s, or DeviceAllow= of systemd", node->path);
	} else if (kind->state == MODULE_ABSENT) {
		WHY(node, "a node without a driver: kernel %s has no module %s", host->release,
		    kind->module);
		HELP(node, "a kernel with %s, or the package with the rest of this one's modules",
		     kind->config);
	} else {
		node->usable = true;
		if (kind->state != MODULE_LOADED)
			WHY(node, "the module %s is not loaded; opening the node loads it",
			    kind->module);
	}
}

static struct node *add_node(struct nodes *nodes, const char *name, const struct kind *kind)
{
	struct node *p = realloc(nodes->node, (nodes->n + 1) * sizeof(*p));

	if (!p)
		return NULL;
	nodes->node = p;
	p += nodes->n++;
	*p = (struct node){ .module = kind->module };
	snprintf(p->path, sizeof(p->path), "/dev/%s", name);
	return p;
}

static bool has_node(const struct nodes *nodes, const char *name)
{
	for (size_t i = 0; i < nodes->n; i++)
		if (!strcmp(strrchr(nodes->node[i].path, '/') + 1, name))
			return true;
	return false;
}

static int by_path(const void *a, const void *b)
{
	return strverscmp(((const struct node *)a)->path, ((const struct node *)b)->path);
}

/* Nodes of vhost_vdpa: those that sysfs tells of, and those that are in /dev all the same. */
static int vdpa_nodes(const struct host *host, struct nodes *ret)
{
	struct kind kind = { "vhost-vdpa-*", "vhost_vdpa", "CONFIG_VHOST_VDPA",
			     host_module(host, "vhost_vdpa") };
	struct names devices, names;
	size_t before = ret->n;
	struct node *node;
	int r = 0;

	host_list(host, "/sys/bus/vdpa/devices", "", &devices);
	for (size_t i = 0; i < devices.n && r == 0; i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "/sys/bus/vdpa/devices/%s", devices.name[i]);
		host_list(host, path, "vhost-vdpa-", &names);
		for (size_t j = 0; j < names.n && r == 0; j++) {
			node = add_node(ret, names.name[j], &kind);
			if (node)
				snprintf(node->vdpa, sizeof(node->vdpa), "%s", devices.name[i]);
			else
				r = -ENOMEM;
		}
		names_free(&names);
	}
	names_free(&devices);
	host_list(host, "/dev", "vhost-vdpa-", &names);
	for (size_t i = 0; i < names.n && r == 0; i++)
		if (!has_node(ret, names.name[i]) && !add_node(ret, names.name[i], &kind))
			r = -ENOMEM;
	names_free(&names);
	if (r < 0)
		return r;
	if (ret->n > before) {
		qsort(ret->node + before, ret->n - before, sizeof(*ret->node), by_path);
		for (size_t i = before; i < ret->n; i++)
			examine(host, &kind, &ret->node[i]);
		return 0;
	}
	node = add_node(ret, kind.name, &kind);
	if (!node)
		return -ENOMEM;
	if (kind.state == MODULE_LOADED) {
		WHY(node, "none: vhost_vdpa is loaded, and drives no device");
		HELP(node, "vhostctl vdpa show tells what there is, vhostctl vdpa add makes one");
	} else {
		explain_missing(host, &kind, node);
	}
	return 0;
}

int host_nodes(const struct host *host, struct nodes *ret)
{
	struct kind kinds[] = {
		{ .name = "vhost-net", .module = "vhost_net", .config = "CONFIG_VHOST_NET" },
		{ .name = "vhost-vsock", .module = "vhost_vsock", .config = "CONFIG_VHOST_VSOCK" },
		{ .name = "vhost-scsi", .module = "vhost_scsi", .config = "CONFIG_VHOST_SCSI" },
	};

	*ret = (struct nodes){ .n = 0 };
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct node *node = add_node(ret, kinds[i].name, &kinds[i]);

		if (!node)
			return -ENOMEM;
		kinds[i].state = host_module(host, kinds[i].module);
		examine(host, &kinds[i], node);
	}
	return vdpa_nodes(host, ret);
}
