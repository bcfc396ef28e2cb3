/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * usage: survey NAME=ADDRESS...
 *
 * What the kernel that runs offers with each device: lines "device, kind, name, value"
 * with tabs between, which tests/vm/table makes tables of.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <vhost/vhost.h>

static const char *device;

static void row(const char *kind, const char *name, const char *value)
{
	printf("%s\t%s\t%s\t%s\n", device, kind, name, value);
}

static void number(const char *kind, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), value > UINT32_MAX ? "%#" PRIx64 : "%" PRIu64, value);
	row(kind, name, text);
}

static void bit(const char *kind, const char *name, unsigned int n)
{
	char text[24];

	snprintf(text, sizeof(text), "bit %u", n);
	row(kind, name ? name : text, "yes");
}

static int features(vhost_dev_t *dev)
{
	uint64_t f[2], id = 0, backend = 0;
	int r = vhost_dev_get_features_array(dev, f, 2);

	if (r < 0)
		return r;
	vhost_dev_get_cap(dev, VHOST_CAP_DEVICE_ID, &id);
	for (unsigned int n = 0; n < 128; n++)
		if (f[n / 64] >> n % 64 & 1)
			bit("feature", vhost_name_feature((uint32_t)id, n), n);

	r = vhost_dev_get_backend_features(dev, &backend, NULL);
	if (r < 0)
		return r;
	for (unsigned int n = 0; n < 64; n++)
		if (backend >> n & 1)
			bit("back-end feature", vhost_name_backend_feature(n), n);
	return 0;
}

static int limits(vhost_dev_t *dev)
{
	const char *name;
	uint64_t value;
	int r;

	for (uint32_t cap = 0; (name = vhost_cap_name(cap)); cap++) {
		r = vhost_dev_get_cap(dev, cap, &value);
		if (r < 0)
			return r;
		if (value)
			number("capability", name, value);
	}
	return 0;
}

static void worker(vhost_dev_t *dev)
{
	uint32_t us;
	int mode;

	if (vhost_worker_set_busyloop(dev, 0, 50) == 0 &&
	    vhost_worker_get_busyloop(dev, 0, &us) == 0 && us == 50)
		row("worker", "can poll", "yes");
	if (vhost_worker_get_mode(dev, &mode) == 0)
		row("worker", "is at first",
		    mode == VHOST_WORKER_TASK ? "a thread of the process" : "a kernel thread");
}

/* Whether the kind of worker can be chosen shows only when a device is opened. */
static void worker_choice(const char *address)
{
	struct vhost_dev_opts opts = { .flags = VHOST_OPEN_WORKER_KTHREAD };
	vhost_dev_t *dev = NULL;

	if (vhost_dev_open(address, &opts, sizeof(opts), &dev) == 0)
		row("worker", "can be chosen to be a kernel thread", "yes");
	vhost_dev_unref(dev);
}

static void classes(vhost_dev_t *dev)
{
	uint32_t value;
	int version;

	if (vhost_scsi_get_abi_version(dev, &version) == 0)
		number("interface", "version", (uint64_t)version);
	if (vhost_vdpa_get_queue_size(dev, 0, &value) == 0)
		number("queue 0", "entries", value);
	if (vhost_vdpa_get_desc_group(dev, 0, &value) == 0)
		number("queue 0", "group of its rings", value);
	for (unsigned int i = 0; i < 3; i++) {
		char name[24];

		snprintf(name, sizeof(name), "of queue %u", i);
		if (vhost_vdpa_get_group(dev, i, &value) == 0)
			number("group", name, value);
	}
}

static int survey(const char *address)
{
	vhost_dev_t *dev = NULL;
	int r = vhost_dev_open(address, NULL, 0, &dev);

	if (r < 0) {
		fprintf(stderr, "survey: %s: %s\n", address, vhost_last_error());
		return r;
	}
	r = features(dev);
	if (r == 0)
		r = limits(dev);
	if (r < 0)
		fprintf(stderr, "survey: %s: %s\n", address, vhost_dev_error(dev));
	worker(dev);
	classes(dev);
	vhost_dev_unref(dev);
	worker_choice(address);
	return r;
}

int main(int argc, char **argv)
{
	int status = EXIT_SUCCESS;
	const char *debian;
	struct utsname u;

	if (argc < 2) {
		fprintf(stderr, "usage: survey NAME=ADDRESS...\n");
		return 2;
	}
	if (uname(&u) < 0) {
		perror("survey: uname");
		return EXIT_FAILURE;
	}
	/* A release of Debian's is an ABI; the version says which sources. */
	debian = strstr(u.version, "Debian ");
	if (debian)
		printf("kernel\t%.*s\n", (int)strcspn(debian + 7, " "), debian + 7);
	else
		printf("kernel\t%s\n", u.release);
	for (int i = 1; i < argc; i++) {
		char *address = strchr(argv[i], '=');

		if (!address) {
			fprintf(stderr, "survey: %s is not NAME=ADDRESS\n", argv[i]);
			return 2;
		}
		*address++ = '\0';
		device = argv[i];
		if (survey(address) < 0)
			status = EXIT_FAILURE;
	}
	return status;
}
