/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* vhostctl vdpa: show, make and delete devices of the vDPA bus. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vdpa.h"

#ifdef HAVE_LIBMNL
#include "netlink.h"

static int no_memory(void)
{
	complain("%s", strerror(ENOMEM));
	return EXIT_FAILED;
}

/* A name becomes a part of paths, here and in the kernel. */
static int check_name(const char *what, const char *name)
{
	if (*name && strlen(name) < 128 && !strchr(name, '/') && name[0] != '.')
		return 0;
	complain("%s: 1 to 127 characters without a slash, not beginning with a dot", what);
	return -EINVAL;
}

/* -------------------------------------------------------------------- show */

static int print_text(const struct vdpa_bus *bus, const char *only)
{
	if (!only)
		printf("vDPA management devices\n");
	if (!only && !bus->mgmtdevs.n)
		printf("  none: load a driver, such as mlx5_vdpa, vduse or vdpa_sim_net\n");
	for (size_t i = 0; i < bus->mgmtdevs.n; i++)
		if (!only || !strcmp(only, bus->mgmtdevs.item[i].name))
			vdpa_print_mgmtdev(&bus->mgmtdevs.item[i]);
	if (!only)
		printf("\nvDPA devices\n");
	if (!only && !bus->devices.n)
		printf("  none\n");
	for (size_t i = 0; i < bus->devices.n; i++)
		if (!only || !strcmp(only, bus->devices.item[i].name))
			vdpa_print_device(&bus->devices.item[i], false);
	return end_of_output();
}

/* What there is; complains by itself. */
static int read_bus(const struct host *host, const struct options *opts, struct vdpa_bus *bus)
{
	int r = vdpa_bus_read(host, opts->timeout_ms, bus);

	if (r < 0) {
		complain("%s", strerror(-r));
		return r;
	}
	if (bus->problem[0]) {
		complain("%s", bus->problem);
		return -ENOTSUP;
	}
	return 0;
}

int cmd_vdpa_show(const struct options *opts)
{
	const char *only = opts->address;
	struct vdpa_item *device;
	struct vdpa_bus bus;
	struct host host;
	char name[512];
	int code = EXIT_FAILED;

	host_open_root(&host, NULL);
	if (read_bus(&host, opts, &bus) < 0)
		goto out;
	device = only ? vdpa_find(&bus.devices, only) : NULL;
	if (device && vdpa_read_stats(device, opts->timeout_ms) < 0) {
		no_memory();
		goto out;
	}
	if (only && !device && !vdpa_find(&bus.mgmtdevs, only)) {
		complain("there is no vDPA device \"%s\"; vhostctl vdpa show lists them",
			 escape(only, name, sizeof(name)));
		goto out;
	}
#ifdef HAVE_JSON_C
	if (opts->json && device) {
		code = json_print(vdpa_json_device(device));
		goto out;
	}
	if (opts->json && only) {
		code = json_print(vdpa_json_mgmtdev(vdpa_find(&bus.mgmtdevs, only)));
		goto out;
	}
	if (opts->json) {
		json_object *top = json_object_new_object();

		json_object_object_add(top, "vdpa_mgmtdevs", vdpa_json_mgmtdevs(&bus));
		json_object_object_add(top, "vdpa_devices", vdpa_json_devices(&bus));
		code = json_print(top);
		goto out;
	}
#endif
	code = print_text(&bus, only);
out:
	vdpa_bus_free(&bus);
	return code;
}

/* ---------------------------------------------------- requests that may hang */

/*
 * The kernel answers a request to delete a device once its user has closed it, and
 * one to make a device once its driver has looked at it. Nothing interrupts that
 * wait, so a process of its own waits there, and this one can give up.
 */
struct report {
	int kind;
	int error;
	char text[256];
};

enum {
	REPORT_DONE = 1,
	REPORT_BUSY,		/* others have the node open; it waits for them */
	REPORT_STILL_BUSY	/* it gave up, and asked nothing of the kernel */
};

struct request {
	const struct options *opts;
	const struct host *host;
	struct vdpa_item mgmtdev;	/* of add */
	uint64_t features;
	uint64_t end;		/* now_ns() when time is up */
};

static void report(int fd, int kind, int error, const char *text)
{
	struct report rep = { .kind = kind, .error = error };
	ssize_t n;

	snprintf(rep.text, sizeof(rep.text), "%s", text);
	n = write(fd, &rep, sizeof(rep));
	(void)n;	/* nobody listens any more */
}

static void nap(void)
{
	poll(NULL, 0, 50);
}

static int send_add(const struct request *rq, struct netlink *nl)
{
	const struct options *o = rq->opts;
	const char *dev = strchr(o->mgmtdev, '/');
	char bus[64];
	int r = 0;

	netlink_begin(nl, VDPA_DEV_NEW, false);
	if (dev) {
		snprintf(bus, sizeof(bus), "%.*s", (int)(dev - o->mgmtdev), o->mgmtdev);
		r = netlink_put_string(nl, VDPA_MGMTDEV_BUS_NAME, bus);
	}
	if (r == 0)
		r = netlink_put_string(nl, VDPA_MGMTDEV_DEV_NAME, dev ? dev + 1 : o->mgmtdev);
	if (r == 0)
		r = netlink_put_string(nl, VDPA_NAME, o->name);
	if (r == 0 && o->has_mac)
		r = netlink_put(nl, VDPA_NET_MAC, o->mac, sizeof(o->mac));
	if (r == 0 && o->mtu)
		r = netlink_put(nl, VDPA_NET_MTU, &(uint16_t){ (uint16_t)o->mtu }, 2);
	if (r == 0 && o->max_vqp)
		r = netlink_put(nl, VDPA_NET_MAX_VQP, &(uint16_t){ (uint16_t)o->max_vqp }, 2);
	if (r == 0 && o->features)
		r = netlink_put(nl, VDPA_FEATURES, &rq->features, sizeof(rq->features));
	return r < 0 ? r : netlink_run(nl, NULL, NULL);
}

/*
 * Nobody else has the device open, or the time is up. Opening the node resets the
 * device; this one is about to go. Where it may not be opened the kernel waits.
 */
static bool wait_unused(const struct request *rq, int fd)
{
	struct vdpa_item device = { .has = 0 };
	bool told = false;
	int node;

	if (vdpa_sysfs(rq->host, rq->opts->address, &device) < 0 || !device.node[0])
		return true;
	for (;;) {
		node = open(device.node, O_RDWR | O_CLOEXEC);
		if (node >= 0)
			close(node);
		if (node >= 0 || errno != EBUSY)
			return true;
		if (!told)
			report(fd, REPORT_BUSY, 0, device.node);
		told = true;
		if (now_ns() >= rq->end) {
			report(fd, REPORT_STILL_BUSY, -EBUSY, device.node);
			return false;
		}
		nap();
	}
}

static void child(const struct request *rq, bool add, int fd)
{
	struct netlink nl = { .error = "" };
	int null = open("/dev/null", O_RDWR), r;

	/* Whoever reads our output is not to wait for a process that hangs. */
	for (int i = 0; null >= 0 && i < 3; i++)
		dup2(null, i);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	if (!add && !wait_unused(rq, fd))
		_exit(0);
	r = netlink_open(VDPA_FAMILY, rq->opts->timeout_ms, &nl);
	if (r == 0 && add)
		r = send_add(rq, &nl);
	else if (r == 0) {
		netlink_begin(&nl, VDPA_DEV_DEL, false);
		r = netlink_put_string(&nl, VDPA_NAME, rq->opts->address);
		if (r == 0)
			r = netlink_run(&nl, NULL, NULL);
	}
	report(fd, REPORT_DONE, r, nl.error);
	_exit(0);
}

/* Who has @node open: "NAME (process N)", or "another process". */
static const char *find_user(const char *node, char *buf, size_t size)
{
	DIR *proc = opendir("/proc"), *fds;
	struct dirent *p, *f;

	snprintf(buf, size, "another process");
	while (proc && (p = readdir(proc))) {
		char path[300], target[PATH_MAX], comm[64] = "", name[256];
		FILE *file;

		if (p->d_name[0] < '0' || p->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/fd", p->d_name);
		fds = opendir(path);
		while (fds && (f = readdir(fds))) {
			ssize_t n = readlinkat(dirfd(fds), f->d_name, target, sizeof(target) - 1);

			if (n < 0)
				continue;
			target[n] = 0;
			if (strcmp(target, node))
				continue;
			snprintf(path, sizeof(path), "/proc/%.20s/comm", p->d_name);
			file = fopen(path, "re");
			if (file) {
				if (fgets(comm, sizeof(comm), file))
					comm[strcspn(comm, "\n")] = 0;
				fclose(file);
			}
			snprintf(buf, size, "%s (process %.20s)",
				 comm[0] ? escape(comm, name, sizeof(name)) : "a program",
				 p->d_name);
			closedir(fds);
			closedir(proc);
			return buf;
		}
		if (fds)
			closedir(fds);
	}
	if (proc)
		closedir(proc);
	return buf;
}

static int ms_until(uint64_t end)
{
	uint64_t now = now_ns();

	return now < end ? (int)((end - now) / 1000000) + 1 : 0;
}

/* Have a child do it. 0, or a negative errno, -ETIMEDOUT, with a sentence in @rep. */
static int run_bounded(const struct request *rq, bool add, struct report *rep)
{
	const char *name = add ? rq->opts->name : rq->opts->address;
	char shown[512], user[320];
	int fds[2], r = 0;
	pid_t pid;

	escape(name, shown, sizeof(shown));
	memset(rep, 0, sizeof(*rep));
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		r = -errno;
		close(fds[0]);
		close(fds[1]);
		return r;
	}
	if (pid == 0) {
		close(fds[0]);
		child(rq, add, fds[1]);
	}
	close(fds[1]);
	for (;;) {
		struct pollfd p = { fds[0], POLLIN, 0 };
		/* A child that waits for others gives up by itself: let it say so. */
		int n = poll(&p, 1, ms_until(rq->end) + (rep->kind == REPORT_BUSY ? 1000 : 0));

		if (n < 0 && errno == EINTR && !interrupted)
			continue;
		if (n <= 0) {
			r = n < 0 ? -errno : -ETIMEDOUT;
			break;
		}
		if (read(fds[0], rep, sizeof(*rep)) != sizeof(*rep)) {
			r = -EPIPE;
			break;
		}
		r = rep->error;
		if (rep->kind != REPORT_BUSY)
			break;
		complain("%s is in use by %s: waiting for it to close %s", shown,
			 find_user(rep->text, user, sizeof(user)), rep->text);
	}
	close(fds[0]);
	/* Before the kernel was asked this ends it; after that, nothing does. */
	if (rep->kind != REPORT_DONE && rep->kind != REPORT_STILL_BUSY)
		kill(pid, SIGKILL);
	for (int i = 0; i < 10 && waitpid(pid, NULL, WNOHANG) == 0; i++)
		nap();
	return r;
}

/* --------------------------------------------------------------- add, del */

/* What the user can do about it, or "". */
static const char *hint(const struct request *rq, bool add, int error)
{
	const struct options *o = rq->opts;
	char path[256];

	switch (error) {
	case -EPERM:
	case -EACCES:
		return "it takes CAP_NET_ADMIN: be root, in the host's user namespace";
	case -EEXIST:
		return "there is a device of that name already; vhostctl vdpa show lists them";
	case -ENODEV:
		return add ? "vhostctl vdpa show lists the management devices" :
			     "vhostctl vdpa show lists the devices";
	case -EBUSY:
		return "it is in use";
	case -ENOSPC:
		return "the management device has no room for another";
	case -EOPNOTSUPP:
		return "the management device does not take one of these options";
	case -ETIMEDOUT:
		return "a longer --timeout may help";
	case -EINVAL:
		if (!add)
			return "only what came by vhostctl vdpa add, or its like, can be deleted";
		if (o->features && (rq->features & ~rq->mgmtdev.value[VDPA_MGMTDEV_FEATURES]))
			return "the management device does not have all of these features; "
			       "vhostctl vdpa show lists them";
		snprintf(path, sizeof(path), "/dev/vduse/%s", o->name);
		if (!strcmp(o->mgmtdev, "vduse") && !host_exists(rq->host, path))
			return "a program has to offer a VDUSE device of that name first";
		return "the management device, or this kernel, does not take this";
	}
	return "";
}

static int refused(const struct request *rq, bool add, int error, const char *said)
{
	const char *what = add ? "made" : "deleted", *help = hint(rq, add, error);
	char name[512], text[1024];

	escape(add ? rq->opts->name : rq->opts->address, name, sizeof(name));
	if (error == -ENOENT) {
		vdpa_explain(rq->host, error, text, sizeof(text));
		complain("%s was not %s: %s", name, what, text);
		return EXIT_FAILED;
	}
	said = escape(said, text, sizeof(text));
	complain("%s was not %s: %s%s%s%s%s%s", name, what, strerror(-error),
		 *said ? " (the kernel: " : "", said, *said ? ")" : "", *help ? "; " : "", help);
	return EXIT_FAILED;
}

/* The bit that has this name for devices of type @id; -1. */
static int feature_bit(uint32_t id, const char *name, size_t n)
{
	for (unsigned int bit = 0; bit < 64; bit++) {
		const char *known = vhost_name_feature(id, bit);

		if (known && strlen(known) == n && !strncasecmp(known, name, n))
			return (int)bit;
	}
	return -1;
}

/* A mask, or names with commas between them. */
static int parse_features(const char *text, uint32_t id, uint64_t *ret)
{
	uint64_t features = 0;
	const char *p;
	char *end;

	if (*text >= '0' && *text <= '9') {
		errno = 0;
		*ret = strtoull(text, &end, 0);
		if (!errno && !*end && end > text)
			return 0;
		complain("--features: \"%s\" is not a mask of 64 bits", text);
		return -EINVAL;
	}
	for (p = text; ; p++) {
		size_t n = strcspn(p, ",");
		int bit = feature_bit(id, p, n);

		if (bit < 0) {
			complain("--features: \"%.*s\" is not a feature that %s has", (int)n, p,
				 id ? vhost_name_device(id) ? vhost_name_device(id) : "its type" :
				      "every type of device");
			return -EINVAL;
		}
		features |= 1ull << bit;
		p += n;
		if (!*p)
			break;
	}
	*ret = features;
	return 0;
}

/* Complains by itself. */
static int find_mgmtdev(struct request *rq)
{
	const struct vdpa_item *mgmtdev;
	struct vdpa_bus bus;
	char name[512];
	int r = read_bus(rq->host, rq->opts, &bus);

	if (r == 0) {
		mgmtdev = vdpa_find(&bus.mgmtdevs, rq->opts->mgmtdev);
		if (mgmtdev) {
			rq->mgmtdev = *mgmtdev;
		} else {
			complain("there is no management device \"%s\"; vhostctl vdpa show lists "
				 "them, and modprobe of its driver makes one",
				 escape(rq->opts->mgmtdev, name, sizeof(name)));
			r = -ENODEV;
		}
	}
	vdpa_bus_free(&bus);
	return r;
}

/* Wait until a driver has the new device, and its node is there. */
static int wait_driver(const struct request *rq, struct vdpa_item *device)
{
	struct names drivers;
	char name[512];
	bool any;

	escape(rq->opts->name, name, sizeof(name));
	host_list(rq->host, "/sys/bus/vdpa/drivers", "", &drivers);
	any = drivers.n > 0;
	names_free(&drivers);
	for (;;) {
		if (vdpa_sysfs(rq->host, rq->opts->name, device) < 0) {
			complain("%s was made, and went away again", name);
			return -ENODEV;
		}
		if (device->driver[0] && (strcmp(device->driver, "vhost_vdpa") ||
					  (device->node[0] && host_exists(rq->host, device->node))))
			return 0;
		if (!any) {
			complain("%s was made, but there is no driver for it: modprobe vhost_vdpa",
				 name);
			return -ENODEV;
		}
		if (interrupted || now_ns() >= rq->end)
			break;
		nap();
	}
	if (device->node[0])
		complain("%s was made, but its node %s did not appear within %g s: in a container, "
			 "pass it in; elsewhere, see that udev or devtmpfs makes it", name,
			 device->node, rq->opts->timeout_ms / 1000.0);
	else
		complain("%s was made, but no driver took it within %g s: see "
			 "/sys/bus/vdpa/drivers_autoprobe, and bind one in /sys/bus/vdpa/drivers",
			 name, rq->opts->timeout_ms / 1000.0);
	return -ETIMEDOUT;
}

static int print_new(const struct host *host, const struct options *opts,
		     const struct vdpa_item *found)
{
#ifdef HAVE_JSON_C
	if (opts->json) {
		const struct vdpa_item *device;
		struct vdpa_bus bus;
		int code = EXIT_FAILED;

		if (read_bus(host, opts, &bus) == 0) {
			device = vdpa_find(&bus.devices, opts->name);
			code = json_print(vdpa_json_device(device ? device : found));
		}
		vdpa_bus_free(&bus);
		return code;
	}
#endif
	(void)host;
	(void)opts;
	puts(found->node[0] ? found->node : found->driver);
	return end_of_output();
}

int cmd_vdpa_add(const struct options *opts)
{
	struct request rq = { .opts = opts };
	struct vdpa_item device = { .has = 0 };
	struct report rep;
	struct host host;
	char name[512];
	int r;

	if (!opts->mgmtdev || !opts->name) {
		complain("add needs --mgmtdev and --name");
		return EXIT_USAGE;
	}
	if (check_name("--name", opts->name) < 0)
		return EXIT_USAGE;
	host_open_root(&host, NULL);
	rq.host = &host;
	rq.end = now_ns() + (uint64_t)opts->timeout_ms * 1000000;
	if (find_mgmtdev(&rq) < 0)
		return EXIT_FAILED;
	if (opts->features &&
	    parse_features(opts->features, vdpa_class(&rq.mgmtdev), &rq.features) < 0)
		return EXIT_USAGE;
	snprintf(device.name, sizeof(device.name), "%s", opts->name);
	r = run_bounded(&rq, true, &rep);
	if (interrupted) {
		complain("%s: interrupted; vhostctl vdpa show tells whether it was made",
			 escape(opts->name, name, sizeof(name)));
		return EXIT_FAILED;
	}
	if (r == -ETIMEDOUT && rep.kind != REPORT_DONE) {
		complain("%s: the kernel did not answer within %g s, and goes on by itself; "
			 "vhostctl vdpa show tells whether it was made",
			 escape(opts->name, name, sizeof(name)), opts->timeout_ms / 1000.0);
		return EXIT_FAILED;
	}
	if (r < 0)
		return refused(&rq, true, r, rep.text);
	if (wait_driver(&rq, &device) < 0)
		return EXIT_FAILED;
	return print_new(&host, opts, &device);
}

int cmd_vdpa_del(const struct options *opts)
{
	struct request rq = { .opts = opts };
	char name[512], user[320];
	struct report rep;
	struct host host;
	int r;

	if (check_name("NAME", opts->address) < 0)
		return EXIT_USAGE;
	host_open_root(&host, NULL);
	rq.host = &host;
	rq.end = now_ns() + (uint64_t)opts->timeout_ms * 1000000;
	r = run_bounded(&rq, false, &rep);
	escape(opts->address, name, sizeof(name));
	if (interrupted) {
		complain("%s: interrupted%s", name,
			 rep.kind == REPORT_BUSY ? "; it is still there" : "");
		return EXIT_FAILED;
	}
	if (rep.kind == REPORT_STILL_BUSY) {
		complain("%s was not deleted: %s still has %s open after %g s; end that, or give a "
			 "longer --timeout", name, find_user(rep.text, user, sizeof(user)), rep.text,
			 opts->timeout_ms / 1000.0);
		return EXIT_FAILED;
	}
	if (r == -ETIMEDOUT && rep.kind != REPORT_DONE) {
		complain("%s: the kernel did not answer within %g s; it deletes the device once its "
			 "user closes it, and cannot be told to stop", name,
			 opts->timeout_ms / 1000.0);
		return EXIT_FAILED;
	}
	if (r < 0)
		return refused(&rq, false, r, rep.text);
#ifdef HAVE_JSON_C
	if (opts->json) {
		json_object *top = json_object_new_object();

		json_object_object_add(top, "deleted", json_text(opts->address));
		return json_print(top);
	}
#endif
	return EXIT_OK;
}
#else
static int without(void)
{
	complain("vdpa: this vhostctl was built without libmnl, which it takes to ask the kernel; "
		 "vhostctl list shows what sysfs has");
	return EXIT_FAILED;
}

int cmd_vdpa_show(const struct options *opts)
{
	(void)opts;
	return without();
}

int cmd_vdpa_add(const struct options *opts)
{
	(void)opts;
	return without();
}

int cmd_vdpa_del(const struct options *opts)
{
	(void)opts;
	return without();
}
#endif
