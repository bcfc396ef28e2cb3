/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdpa.h"

#define DEVICES "/sys/bus/vdpa/devices"

struct vdpa_item *vdpa_find(const struct vdpa_items *items, const char *name)
{
	for (size_t i = 0; i < items->n; i++)
		if (!strcmp(items->item[i].name, name))
			return &items->item[i];
	return NULL;
}

/* The item of this name, which is made if there is none; NULL: no memory. */
static struct vdpa_item *get_item(struct vdpa_items *items, const char *name)
{
	struct vdpa_item *p = vdpa_find(items, name);

	if (p)
		return p;
	p = realloc(items->item, (items->n + 1) * sizeof(*p));
	if (!p)
		return NULL;
	items->item = p;
	p += items->n++;
	memset(p, 0, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", name);
	return p;
}

static void free_items(struct vdpa_items *items)
{
	for (size_t i = 0; i < items->n; i++)
		free(items->item[i].stat);
	free(items->item);
	*items = (struct vdpa_items){ .n = 0 };
}

void vdpa_bus_free(struct vdpa_bus *bus)
{
	free_items(&bus->mgmtdevs);
	free_items(&bus->devices);
}

uint32_t vdpa_class(const struct vdpa_item *mgmtdev)
{
	uint64_t classes = mgmtdev->value[VDPA_MGMTDEV_CLASSES];

	return classes && !(classes & (classes - 1)) ? (uint32_t)__builtin_ctzll(classes) : 0;
}

/* ------------------------------------------------------------------- sysfs */

int vdpa_sysfs(const struct host *host, const char *name, struct vdpa_item *ret)
{
	char dir[PATH_MAX - 300], path[PATH_MAX], *text;
	struct names names;
	size_t size;
	int r;

	snprintf(dir, sizeof(dir), DEVICES "/%s", name);
	if (!host_exists(host, dir))
		return -ENOENT;
	ret->driver[0] = ret->node[0] = 0;
	snprintf(path, sizeof(path), "%s/driver", dir);
	host_link(host, path, ret->driver, sizeof(ret->driver));
	host_list(host, dir, "vhost-vdpa-", &names);
	if (names.n)
		snprintf(ret->node, sizeof(ret->node), "/dev/%s", names.name[0]);
	names_free(&names);
	/* virtio_vdpa tells the type, whether or not netlink does. */
	host_list(host, dir, "virtio", &names);
	if (names.n) {
		snprintf(path, sizeof(path), "%s/%s/device", dir, names.name[0]);
		r = host_load(host, path, 64, &text, &size);
		if (r == 0) {
			ret->value[VDPA_ID] = strtoul(text, NULL, 16) & UINT32_MAX;
			ret->has |= 1ull << VDPA_ID;
			free(text);
		}
	}
	names_free(&names);
	return 0;
}

void vdpa_explain(const struct host *host, int error, char *buf, size_t size)
{
	enum module state = host_module(host, "vdpa");

	if (error != -ENOENT)
		snprintf(buf, size, "generic netlink: %s", strerror(-error));
	else if (state == MODULE_LOADED)
		snprintf(buf, size, "the kernel's vdpa family is not in this network namespace: "
			 "run it outside of the container");
	else if (state == MODULE_ABSENT)
		snprintf(buf, size, "kernel %s has no module vdpa (CONFIG_VDPA)", host->release);
	else
		snprintf(buf, size, "the kernel's vdpa module is not loaded (modprobe vdpa)");
}

/* ----------------------------------------------------------------- netlink */

#ifdef HAVE_LIBMNL
#include <fcntl.h>
#include <linux/genetlink.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netlink.h"

/* Take whatever is known; what has another size than any number is none. */
static void take_attributes(const struct nlmsghdr *msg, struct vdpa_item *item)
{
	char bus[64] = "", name[128] = "";
	const struct nlattr *attr;

	mnl_attr_for_each(attr, msg, sizeof(struct genlmsghdr)) {
		unsigned int type = mnl_attr_get_type(attr);
		const void *p = mnl_attr_get_payload(attr);
		size_t n = mnl_attr_get_payload_len(attr);
		uint64_t value;

		switch (type) {
		case VDPA_MGMTDEV_BUS_NAME:
			snprintf(bus, sizeof(bus), "%.*s", (int)n, (const char *)p);
			continue;
		case VDPA_MGMTDEV_DEV_NAME:
			snprintf(name, sizeof(name), "%.*s", (int)n, (const char *)p);
			continue;
		case VDPA_NAME:
			snprintf(item->name, sizeof(item->name), "%.*s", (int)n, (const char *)p);
			continue;
		case VDPA_NET_MAC:
			if (n != sizeof(item->mac))
				continue;
			memcpy(item->mac, p, sizeof(item->mac));
			value = 0;
			break;
		default:
			if (type >= VDPA_N_ATTRIBUTES)
				continue;
			if (n == 1)
				value = *(const uint8_t *)p;
			else if (n == 2)
				value = mnl_attr_get_u16(attr);
			else if (n == 4)
				value = mnl_attr_get_u32(attr);
			else if (n == 8)
				value = mnl_attr_get_u64(attr);
			else
				continue;
		}
		item->value[type] = value;
		item->has |= 1ull << type;
	}
	snprintf(item->mgmtdev, sizeof(item->mgmtdev), "%s%s%s", bus, bus[0] ? "/" : "", name);
}

static int take_item(const struct nlmsghdr *msg, struct vdpa_items *items)
{
	struct vdpa_item found = { .has = 0 }, *item;

	take_attributes(msg, &found);
	/* A management device has no name but this. */
	item = get_item(items, found.name[0] ? found.name : found.mgmtdev);
	if (!item)
		return -ENOMEM;
	if (found.name[0] && found.mgmtdev[0])
		memcpy(item->mgmtdev, found.mgmtdev, sizeof(item->mgmtdev));
	if (vdpa_has(&found, VDPA_NET_MAC))
		memcpy(item->mac, found.mac, sizeof(item->mac));
	for (unsigned int i = 0; i < VDPA_N_ATTRIBUTES; i++)
		if (found.has >> i & 1)
			item->value[i] = found.value[i];
	item->has |= found.has;
	return 0;
}

static int found_item(const struct nlmsghdr *msg, void *opaque)
{
	return take_item(msg, opaque);
}

static int ask(struct netlink *nl, struct vdpa_bus *bus)
{
	int r;

	netlink_begin(nl, VDPA_MGMTDEV_GET, true);
	r = netlink_run(nl, found_item, &bus->mgmtdevs);
	if (r == 0) {
		netlink_begin(nl, VDPA_DEV_GET, true);
		r = netlink_run(nl, found_item, &bus->devices);
	}
	/* One by one: the list of all of them ends at the first that cannot tell. */
	for (size_t i = 0; i < bus->devices.n && r == 0; i++) {
		netlink_begin(nl, VDPA_DEV_CONFIG_GET, false);
		r = netlink_put_string(nl, VDPA_NAME, bus->devices.item[i].name);
		if (r == 0)
			r = netlink_run(nl, found_item, &bus->devices);
		if (r < 0 && r != -ENOMEM && r != -ETIMEDOUT && r != -EINTR)
			r = 0;
	}
	return r;
}

/*
 * While the kernel waits for the user of a device that it is to delete it answers no
 * other request, and whoever makes one cannot be stopped. So a process of its own tries.
 */
static bool answers(int timeout_ms)
{
	struct pollfd p = { .events = POLLIN };
	int fds[2], null, n = 1;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return true;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct netlink nl;

		/* Nobody is to wait for the end of our output until it answers. */
		null = open("/dev/null", O_RDWR);
		for (int i = 0; null >= 0 && i < 3; i++)
			dup2(null, i);
		if (netlink_open(VDPA_FAMILY, timeout_ms, &nl) == 0) {
			netlink_begin(&nl, VDPA_MGMTDEV_GET, true);
			netlink_run(&nl, NULL, NULL);
		}
		_exit(0);
	}
	close(fds[1]);
	p.fd = fds[0];	/* hangs up when the child ends */
	if (pid > 0)
		n = poll(&p, 1, timeout_ms);
	close(fds[0]);
	if (pid > 0 && n == 1)
		waitpid(pid, NULL, 0);
	else if (pid > 0)
		kill(pid, SIGKILL);
	return n == 1;
}

static int read_netlink(const struct host *host, int timeout_ms, struct vdpa_bus *bus)
{
	struct netlink nl;
	int r;

	if (!answers(timeout_ms)) {
		snprintf(bus->problem, sizeof(bus->problem),
			 "the kernel does not answer within %g s: it may be waiting for the user of "
			 "a device that is to be deleted to close it", timeout_ms / 1000.0);
		return 0;
	}
	r = netlink_open(VDPA_FAMILY, timeout_ms, &nl);
	if (r < 0) {
		vdpa_explain(host, r, bus->problem, sizeof(bus->problem));
		return 0;
	}
	r = ask(&nl, bus);
	if (r < 0 && r != -ENOMEM) {
		snprintf(bus->problem, sizeof(bus->problem), "the kernel's vdpa family: %s",
			 nl.error[0] ? nl.error : strerror(-r));
		r = 0;
	}
	netlink_close(&nl);
	return r;
}

/* Pairs of a name and a value, each name before its value. */
static int found_stats(const struct nlmsghdr *msg, void *opaque)
{
	struct vdpa_item *device = opaque;
	struct vdpa_stat stat = { .queue = 0 };
	const struct nlattr *attr;

	mnl_attr_for_each(attr, msg, sizeof(struct genlmsghdr)) {
		size_t n = mnl_attr_get_payload_len(attr);
		struct vdpa_stat *p;

		switch (mnl_attr_get_type(attr)) {
		case VDPA_QUEUE_INDEX:
			if (n == 4)
				stat.queue = mnl_attr_get_u32(attr);
			break;
		case VDPA_VENDOR_ATTR_NAME:
			snprintf(stat.name, sizeof(stat.name), "%.*s", (int)n,
				 (const char *)mnl_attr_get_payload(attr));
			break;
		case VDPA_VENDOR_ATTR_VALUE:
			if (n != 8)
				break;
			stat.value = mnl_attr_get_u64(attr);
			p = realloc(device->stat, (device->n_stats + 1) * sizeof(*p));
			if (!p)
				return -ENOMEM;
			device->stat = p;
			p[device->n_stats++] = stat;
			break;
		}
	}
	return 0;
}

int vdpa_read_stats(struct vdpa_item *device, int timeout_ms)
{
	struct netlink nl;
	int r = netlink_open(VDPA_FAMILY, timeout_ms, &nl);

	for (uint32_t i = 0; r == 0 && i < 1024 && i < device->value[VDPA_MAX_VQS]; i++) {
		netlink_begin(&nl, VDPA_DEV_VSTATS_GET, false);
		r = netlink_put_string(&nl, VDPA_NAME, device->name);
		if (r == 0)
			r = netlink_put(&nl, VDPA_QUEUE_INDEX, &i, sizeof(i));
		if (r == 0)
			r = netlink_run(&nl, found_stats, device);
	}
	netlink_close(&nl);
	return r == -ENOMEM ? r : 0;
}
#else
static int read_netlink(const struct host *host, int timeout_ms, struct vdpa_bus *bus)
{
	(void)host;
	(void)timeout_ms;
	snprintf(bus->problem, sizeof(bus->problem),
		 "this vhostctl was built without libmnl, so the kernel cannot be asked");
	return 0;
}
#endif

static int by_name(const void *a, const void *b)
{
	return strverscmp(((const struct vdpa_item *)a)->name, ((const struct vdpa_item *)b)->name);
}

int vdpa_bus_read(const struct host *host, int timeout_ms, struct vdpa_bus *ret)
{
	struct vdpa_item unused = { .has = 0 };
	struct names names;
	int r = 0;

	*ret = (struct vdpa_bus){ .problem = "" };
	/* The kernel that runs has nothing to say about an image. */
	if (host->root)
		snprintf(ret->problem, sizeof(ret->problem),
			 "with --root the kernel is not asked");
	else
		r = read_netlink(host, timeout_ms, ret);
	host_list(host, DEVICES, "", &names);
	for (size_t i = 0; i < names.n && r == 0; i++)
		if (vdpa_sysfs(host, names.name[i], &unused) == 0 &&
		    !get_item(&ret->devices, names.name[i]))
			r = -ENOMEM;
	names_free(&names);
	for (size_t i = 0; i < ret->devices.n; i++)
		vdpa_sysfs(host, ret->devices.item[i].name, &ret->devices.item[i]);
	if (ret->devices.n)
		qsort(ret->devices.item, ret->devices.n, sizeof(struct vdpa_item), by_name);
	if (ret->mgmtdevs.n)
		qsort(ret->mgmtdevs.item, ret->mgmtdevs.n, sizeof(struct vdpa_item), by_name);
	return r;
}

/* ---------------------------------------------------------------- printing */

/* What is in a configuration space, by the names that VIRTIO gives the fields. */
static const struct {
	enum vdpa_attribute attribute;
	const char *name;
} config_fields[] = {
	{ VDPA_NET_STATUS, "status" },
	{ VDPA_NET_MAX_VQP, "max_virtqueue_pairs" },
	{ VDPA_NET_MTU, "mtu" },
	{ VDPA_BLK_CAPACITY, "capacity" },
	{ VDPA_BLK_SIZE_MAX, "size_max" },
	{ VDPA_BLK_SEG_MAX, "seg_max" },
	{ VDPA_BLK_SIZE, "blk_size" },
	{ VDPA_BLK_NUM_QUEUES, "num_queues" },
	{ VDPA_BLK_PHYSICAL_BLOCK_EXP, "topology.physical_block_exp" },
	{ VDPA_BLK_ALIGNMENT_OFFSET, "topology.alignment_offset" },
	{ VDPA_BLK_MIN_IO_SIZE, "topology.min_io_size" },
	{ VDPA_BLK_OPT_IO_SIZE, "topology.opt_io_size" },
	{ VDPA_BLK_MAX_DISCARD_SECTORS, "max_discard_sectors" },
	{ VDPA_BLK_MAX_DISCARD_SEG, "max_discard_seg" },
	{ VDPA_BLK_DISCARD_SECTOR_ALIGNMENT, "discard_sector_alignment" },
	{ VDPA_BLK_MAX_WRITE_ZEROES_SECTORS, "max_write_zeroes_sectors" },
	{ VDPA_BLK_MAX_WRITE_ZEROES_SEG, "max_write_zeroes_seg" },
	{ VDPA_BLK_READ_ONLY, "read_only" },
	{ VDPA_BLK_FLUSH, "flush" },
};

#define N_CONFIG_FIELDS (sizeof(config_fields) / sizeof(config_fields[0]))

/* "net block": the types of a mask. */
static void format_classes(uint64_t classes, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = 0;
	for (uint32_t i = 0; i < 64 && n < size; i++) {
		const char *name = vhost_name_device(i);

		if (!(classes >> i & 1))
			continue;
		n += (size_t)snprintf(buf + n, size - n, "%s", n ? " " : "");
		if (n < size)
			n += (size_t)(name ? snprintf(buf + n, size - n, "%s", name) :
					     snprintf(buf + n, size - n, "type-%" PRIu32, i));
	}
}

static void format_mac(const uint8_t mac[6], char buf[18])
{
	snprintf(buf, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
		 mac[5]);
}

static void print_escaped(const char *label, const char *text)
{
	printf("    %-14s", label);
	put_escaped(text, stdout);
	putchar('\n');
}

static void print_features(const char *label, uint32_t device_id, uint64_t features)
{
	char text[4096], head[32];

	snprintf(head, sizeof(head), "    %s", label);
	vhost_format_features(device_id, features, text, sizeof(text));
	print_words(18, head, text);
}

void vdpa_print_mgmtdev(const struct vdpa_item *mgmtdev)
{
	char text[1024];

	printf("  ");
	put_escaped(mgmtdev->name, stdout);
	putchar('\n');
	format_classes(mgmtdev->value[VDPA_MGMTDEV_CLASSES], text, sizeof(text));
	print_words(18, "    makes", text);
	/* Simulators and VDUSE say 0: it depends on the device. */
	if (mgmtdev->value[VDPA_MGMTDEV_MAX_VQS])
		printf("    %-14sat most %" PRIu64 "\n", "queues",
		       mgmtdev->value[VDPA_MGMTDEV_MAX_VQS]);
	if (mgmtdev->value[VDPA_MGMTDEV_FEATURES])
		print_features("features", vdpa_class(mgmtdev),
			       mgmtdev->value[VDPA_MGMTDEV_FEATURES]);
}

void vdpa_print_device(const struct vdpa_item *device, bool brief)
{
	const uint32_t id = (uint32_t)device->value[VDPA_ID];
	const char *type = vhost_name_device(id);
	char text[32];

	printf("  ");
	put_escaped(device->name, stdout);
	putchar('\n');
	if (type)
		printf("    %-14s%s\n", "type", type);
	else if (vdpa_has(device, VDPA_ID))
		printf("    %-14sunknown (%" PRIu32 ")\n", "type", id);
	print_escaped("driver", device->driver[0] ? device->driver : "none");
	if (device->node[0])
		print_escaped("node", device->node);
	if (device->mgmtdev[0])
		print_escaped("made by", device->mgmtdev);
	if (vdpa_has(device, VDPA_VENDOR_ID))
		printf("    %-14s%#" PRIx64 "\n", "vendor", device->value[VDPA_VENDOR_ID]);
	if (vdpa_has(device, VDPA_MAX_VQS)) {
		printf("    %-14s%" PRIu64, "queues", device->value[VDPA_MAX_VQS]);
		if (vdpa_has(device, VDPA_MAX_VQ_SIZE))
			printf(", of at most %" PRIu64 " entries", device->value[VDPA_MAX_VQ_SIZE]);
		putchar('\n');
	}
	if (vdpa_has(device, VDPA_FEATURES))
		print_features("features", id, device->value[VDPA_FEATURES]);
	if (vdpa_has(device, VDPA_NEGOTIATED_FEATURES))
		print_features("negotiated", id, device->value[VDPA_NEGOTIATED_FEATURES]);
	if (brief)
		return;
	if (vdpa_has(device, VDPA_NET_MAC)) {
		format_mac(device->mac, text);
		printf("    %-30s%s\n", "mac", text);
	}
	for (unsigned int i = 0; i < N_CONFIG_FIELDS; i++)
		if (vdpa_has(device, config_fields[i].attribute))
			printf("    %-30s%" PRIu64 "\n", config_fields[i].name,
			       device->value[config_fields[i].attribute]);
	for (size_t i = 0; i < device->n_stats; i++) {
		char head[sizeof(device->stat[i].name) * 4 + 24], name[sizeof(head) - 24];

		snprintf(head, sizeof(head), "queue %u %s", device->stat[i].queue,
			 escape(device->stat[i].name, name, sizeof(name)));
		printf("    %-30s%" PRIu64 "\n", head, device->stat[i].value);
	}
}

#ifdef HAVE_JSON_C
static void json_features(json_object *o, const char *names, const char *bits, uint32_t device_id,
			  uint64_t features)
{
	char text[4096];

	vhost_format_features(device_id, features, text, sizeof(text));
	json_object_object_add(o, names, json_words(text));
	json_object_object_add(o, bits, json_bits(features));
}

json_object *vdpa_json_mgmtdev(const struct vdpa_item *m)
{
	json_object *o = json_object_new_object();
	char text[1024];

	json_object_object_add(o, "name", json_text(m->name));
	format_classes(m->value[VDPA_MGMTDEV_CLASSES], text, sizeof(text));
	json_object_object_add(o, "classes", json_words(text));
	json_object_object_add(o, "max_vqs", m->value[VDPA_MGMTDEV_MAX_VQS] ?
			       json_u64(m->value[VDPA_MGMTDEV_MAX_VQS]) : NULL);
	json_features(o, "features", "feature_bits", vdpa_class(m),
		      m->value[VDPA_MGMTDEV_FEATURES]);
	return o;
}

json_object *vdpa_json_mgmtdevs(const struct vdpa_bus *bus)
{
	json_object *array = json_object_new_array();

	for (size_t i = 0; i < bus->mgmtdevs.n; i++)
		json_object_array_add(array, vdpa_json_mgmtdev(&bus->mgmtdevs.item[i]));
	return array;
}

static void json_value(json_object *o, const char *key, const struct vdpa_item *device,
		       enum vdpa_attribute attribute)
{
	json_object_object_add(o, key, vdpa_has(device, attribute) ?
			       json_u64(device->value[attribute]) : NULL);
}

json_object *vdpa_json_device(const struct vdpa_item *device)
{
	const uint32_t id = (uint32_t)device->value[VDPA_ID];
	json_object *o = json_object_new_object(), *type = NULL, *config, *stats;
	const char *name = vhost_name_device(id);
	char text[32];

	json_object_object_add(o, "name", json_text(device->name));
	if (vdpa_has(device, VDPA_ID)) {
		type = json_object_new_object();
		json_object_object_add(type, "id", json_u64(id));
		json_object_object_add(type, "name", json_text(name));
	}
	json_object_object_add(o, "type", type);
	json_object_object_add(o, "driver", device->driver[0] ? json_text(device->driver) : NULL);
	json_object_object_add(o, "node", device->node[0] ? json_text(device->node) : NULL);
	json_object_object_add(o, "mgmtdev",
			       device->mgmtdev[0] ? json_text(device->mgmtdev) : NULL);
	json_value(o, "vendor_id", device, VDPA_VENDOR_ID);
	json_value(o, "max_vqs", device, VDPA_MAX_VQS);
	json_value(o, "max_vq_size", device, VDPA_MAX_VQ_SIZE);
	json_value(o, "min_vq_size", device, VDPA_MIN_VQ_SIZE);
	if (vdpa_has(device, VDPA_FEATURES))
		json_features(o, "features", "feature_bits", id, device->value[VDPA_FEATURES]);
	if (vdpa_has(device, VDPA_NEGOTIATED_FEATURES))
		json_features(o, "negotiated_features", "negotiated_feature_bits", id,
			      device->value[VDPA_NEGOTIATED_FEATURES]);
	config = json_object_new_object();
	if (vdpa_has(device, VDPA_NET_MAC)) {
		format_mac(device->mac, text);
		json_object_object_add(config, "mac", json_object_new_string(text));
	}
	for (unsigned int i = 0; i < N_CONFIG_FIELDS; i++)
		if (vdpa_has(device, config_fields[i].attribute))
			json_object_object_add(config, config_fields[i].name,
					       json_u64(device->value[config_fields[i].attribute]));
	json_object_object_add(o, "config", config);
	stats = json_object_new_array();
	for (size_t i = 0; i < device->n_stats; i++) {
		json_object *s = json_object_new_object();

		json_object_object_add(s, "queue", json_u64(device->stat[i].queue));
		json_object_object_add(s, "name", json_text(device->stat[i].name));
		json_object_object_add(s, "value", json_u64(device->stat[i].value));
		json_object_array_add(stats, s);
	}
	json_object_object_add(o, "statistics", stats);
	return o;
}

json_object *vdpa_json_devices(const struct vdpa_bus *bus)
{
	json_object *array = json_object_new_array();

	for (size_t i = 0; i < bus->devices.n; i++)
		json_object_array_add(array, vdpa_json_device(&bus->devices.item[i]));
	return array;
}
#endif
