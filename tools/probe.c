/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* vhostctl probe: what a device offers. It sets nothing. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vhostctl.h"

#define GROUPS_MAX 1024		/* queues whose group is asked for */

struct found {
	vhost_dev_t *dev;
	uint64_t features;
	uint64_t protocol_offered;
	uint64_t protocol_used;
	uint64_t backend_offered;
	uint64_t backend_used;
	bool has_protocol;
	bool has_backend;
	bool has_status;
	uint8_t status;
	uint32_t id;
	const char *id_from;	/* how the type is known */
	uint8_t config[CONFIG_MAX];
	int config_size;	/* or a negative errno */
	unsigned int n_groups;	/* queues that are in a group; 0 if the device has none */
	uint32_t group[GROUPS_MAX];
};

static uint64_t cap(const vhost_dev_t *dev, uint32_t which)
{
	uint64_t value = 0;

	vhost_dev_get_cap(dev, which, &value);
	return value;
}

/* Bits that are the device type's own: below 24, and from 50 on (VIRTIO 1.3, 2.2). */
#define OWN_BITS 0x0000000000ffffffULL
/* SIZE_MAX, SEG_MAX, GEOMETRY, RO, BLK_SIZE and so on, ZONED (VIRTIO 1.3, 5.2.3). */
#define BLK_BITS 0x000000000003fef7ULL
#define BLK_F_BLK_SIZE (1ULL << 6)
#define NET_F_MRG_RXBUF (1ULL << 15)

/*
 * A type is only guessed where nothing else can look like it. A disk: a block size is
 * offered, no bit that a disk has not, and the field of the configuration space is a
 * block size; no other type has a configuration space that passes. A network card:
 * the protocol feature that is for the MTU, and mergeable buffers.
 */
static void find_type(struct found *f, const struct options *opts)
{
	uint8_t head[32];
	uint32_t bs;

	f->id = (uint32_t)cap(f->dev, VHOST_CAP_DEVICE_ID);
	if (opts->device_type) {
		f->id = opts->device_type;
		f->id_from = "as given";
		return;
	}
	if (f->id) {
		f->id_from = "as the device says";
		return;
	}
	if (cap(f->dev, VHOST_CAP_MTU) && (f->features & NET_F_MRG_RXBUF)) {
		f->id = VHOST_DEVICE_NET;
		f->id_from = "by its features";
		return;
	}
	if (!(f->features & BLK_F_BLK_SIZE) || (f->features & OWN_BITS & ~BLK_BITS) ||
	    !cap(f->dev, VHOST_CAP_CONFIG) ||
	    vhost_dev_get_config(f->dev, 0, head, sizeof(head)) < 0)
		return;
	bs = head[20] | (uint32_t)head[21] << 8 | (uint32_t)head[22] << 16 | (uint32_t)head[23] << 24;
	if (bs >= 512 && bs <= 1u << 20 && !(bs & (bs - 1))) {
		f->id = VHOST_DEVICE_BLOCK;
		f->id_from = "by its features and configuration";
	}
}

static int find(struct found *f, const struct options *opts)
{
	int r = vhost_dev_get_features(f->dev, &f->features);

	if (r < 0)
		return r;
	f->has_protocol = vhost_user_get_protocol_features(f->dev, &f->protocol_offered,
							   &f->protocol_used) == 0;
	f->has_backend = vhost_dev_get_backend_features(f->dev, &f->backend_offered,
							&f->backend_used) == 0;
	while (f->n_groups < GROUPS_MAX && f->n_groups < cap(f->dev, VHOST_CAP_MAX_QUEUES) &&
	       vhost_vdpa_get_group(f->dev, f->n_groups, &f->group[f->n_groups]) == 0)
		f->n_groups++;
	if (cap(f->dev, VHOST_CAP_STATUS)) {
		r = vhost_dev_get_status(f->dev, &f->status);
		if (r < 0)
			return r;
		f->has_status = true;
	}
	find_type(f, opts);
	f->config_size = f->id ? read_config(f->dev, f->id, f->config) : 0;
	return f->config_size == -EREMOTEIO || f->config_size >= 0 ? 0 : f->config_size;
}

/* ------------------------------------------------------------ for people */

static void print_config(const struct found *f)
{
	struct vhost_config_field field;

	if (f->config_size <= 0) {
		printf("%-18s%s\n", "configuration",
		       !cap(f->dev, VHOST_CAP_CONFIG) ? "none that can be read" :
		       f->id ? "none" : "not decoded: give the type with --device-type");
		return;
	}
	printf("configuration     (%d bytes)\n", f->config_size);
	for (unsigned int i = 0; !vhost_config_field(f->id, f->features, f->config,
						     (size_t)f->config_size, i, &field,
						     sizeof(field)); i++) {
		char number[24];

		if (!(field.flags & VHOST_CONFIG_FIELD_VALID))
			continue;
		snprintf(number, sizeof(number), "%" PRIu64, field.value);
		if (field.flags & VHOST_CONFIG_FIELD_STRING || !strcmp(field.text, number))
			printf("  %-32s%s\n", field.name, field.text);
		else
			printf("  %-32s%s (%s)\n", field.name, number, field.text);
	}
}

/* Names of back-end features, with spaces between. */
static const char *format_backend(uint64_t features, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = 0;
	for (unsigned int bit = 0; bit < 64 && n < size; bit++) {
		const char *name = vhost_name_backend_feature(bit);

		if (!(features >> bit & 1))
			continue;
		n += (size_t)(name ? snprintf(buf + n, size - n, "%s%s", n ? " " : "", name) :
				     snprintf(buf + n, size - n, "%sBIT_%u", n ? " " : "", bit));
	}
	return buf;
}

/* "0-1:0 2:1": queues 0 and 1 are in group 0, queue 2 in group 1. */
static void print_groups(const struct found *f)
{
	char text[GROUPS_MAX * 24] = "";
	size_t n = 0;

	for (unsigned int i = 0, first = 0; i < f->n_groups; i++) {
		if (i + 1 < f->n_groups && f->group[i + 1] == f->group[i])
			continue;
		if (i > first)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%u-%u:%" PRIu32,
					      n ? " " : "", first, i, f->group[i]);
		else
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%u:%" PRIu32,
					      n ? " " : "", i, f->group[i]);
		first = i + 1;
	}
	if (n)
		print_words(18, "queue:group", text);
}

static int print_text(const struct found *f)
{
	const char *name = vhost_name_device(f->id);
	char text[4096];

	printf("%-18s%s\n", "address", vhost_dev_get_address(f->dev));
	printf("%-18s%s\n", "transport", vhost_dev_get_transport(f->dev));
	if (f->id)
		printf("%-18s%s (type %" PRIu32 ", %s)\n", "device", name ? name : "unknown", f->id,
		       f->id_from);
	else
		printf("%-18snot told, and not certain: give it with --device-type\n", "device");
	printf("%-18s%" PRIu64 ", of at most %" PRIu64 " entries\n", "queues",
	       cap(f->dev, VHOST_CAP_MAX_QUEUES), cap(f->dev, VHOST_CAP_MAX_QUEUE_SIZE));
	if (f->has_status) {
		vhost_format_status(f->status, text, sizeof(text));
		print_words(18, "status", text);
	}
	vhost_format_features(f->id, f->features, text, sizeof(text));
	print_words(18, "features", text);
	if (f->has_protocol) {
		vhost_format_protocol_features(f->protocol_offered, text, sizeof(text));
		print_words(18, "protocol features", text);
		vhost_format_protocol_features(f->protocol_offered & ~f->protocol_used, text,
					       sizeof(text));
		if (*text)
			print_words(18, "  not used", text);
	}
	if (f->has_backend) {
		print_words(18, "back-end features",
			    format_backend(f->backend_offered, text, sizeof(text)));
		format_backend(f->backend_offered & ~f->backend_used, text, sizeof(text));
		if (*text)
			print_words(18, "  not used", text);
	}
	print_groups(f);
	print_config(f);

	printf("limits\n");
	for (uint32_t i = 0; (name = vhost_cap_name(i)); i++) {
		uint64_t value;

		if (vhost_dev_get_cap(f->dev, i, &value) < 0)
			continue;
		if (value > UINT32_MAX)
			printf("  %-32s%#" PRIx64 "\n", name, value);
		else
			printf("  %-32s%" PRIu64 "\n", name, value);
	}
	return end_of_output();
}

/* ---------------------------------------------------------- for programs */

#ifdef HAVE_JSON_C
static json_object *json_config(const struct found *f)
{
	json_object *config = json_object_new_object(), *fields = json_object_new_object();
	struct vhost_config_field field;

	json_object_object_add(config, "size", json_object_new_int(f->config_size));
	for (unsigned int i = 0; !vhost_config_field(f->id, f->features, f->config,
						     (size_t)f->config_size, i, &field,
						     sizeof(field)); i++) {
		if (!(field.flags & VHOST_CONFIG_FIELD_VALID))
			continue;
		json_object_object_add(fields, field.name,
				       field.flags & VHOST_CONFIG_FIELD_STRING ?
				       json_object_new_string(field.text) : json_u64(field.value));
	}
	json_object_object_add(config, "fields", fields);
	return config;
}

static int print_json(const struct found *f)
{
	json_object *top = json_object_new_object(), *o;
	const char *name = vhost_name_device(f->id);
	char text[4096];

	json_object_object_add(top, "address", json_object_new_string(vhost_dev_get_address(f->dev)));
	json_object_object_add(top, "transport",
			       json_object_new_string(vhost_dev_get_transport(f->dev)));
	o = NULL;
	if (f->id) {
		o = json_object_new_object();
		json_object_object_add(o, "id", json_u64(f->id));
		json_object_object_add(o, "name", name ? json_object_new_string(name) : NULL);
		json_object_object_add(o, "known", json_object_new_string(f->id_from));
	}
	json_object_object_add(top, "device", o);
	json_object_object_add(top, "queues", json_u64(cap(f->dev, VHOST_CAP_MAX_QUEUES)));
	if (f->has_status) {
		vhost_format_status(f->status, text, sizeof(text));
		json_object_object_add(top, "status", json_words(text));
	}
	vhost_format_features(f->id, f->features, text, sizeof(text));
	json_object_object_add(top, "features", json_words(text));
	json_object_object_add(top, "feature_bits", json_bits(f->features));
	if (f->has_protocol) {
		o = json_object_new_object();
		vhost_format_protocol_features(f->protocol_offered, text, sizeof(text));
		json_object_object_add(o, "offered", json_words(text));
		vhost_format_protocol_features(f->protocol_used, text, sizeof(text));
		json_object_object_add(o, "used", json_words(text));
		json_object_object_add(top, "protocol_features", o);
	}
	if (f->has_backend) {
		o = json_object_new_object();
		json_object_object_add(o, "offered",
				       json_words(format_backend(f->backend_offered, text,
								 sizeof(text))));
		json_object_object_add(o, "used",
				       json_words(format_backend(f->backend_used, text,
								 sizeof(text))));
		json_object_object_add(top, "backend_features", o);
	}
	if (f->n_groups) {
		o = json_object_new_array();
		for (unsigned int i = 0; i < f->n_groups; i++)
			json_object_array_add(o, json_u64(f->group[i]));
		json_object_object_add(top, "groups", o);
	}
	json_object_object_add(top, "config", f->config_size > 0 ? json_config(f) : NULL);
	o = json_object_new_object();
	for (uint32_t i = 0; (name = vhost_cap_name(i)); i++) {
		uint64_t value;

		if (vhost_dev_get_cap(f->dev, i, &value) == 0)
			json_object_object_add(o, name, json_u64(value));
	}
	json_object_object_add(top, "limits", o);
	return json_print(top);
}
#endif

int cmd_probe(const struct options *opts)
{
	struct found f = { .dev = NULL };
	int code = EXIT_FAILED;

	if (open_device(opts, opts->device_type, &f.dev) < 0)
		return EXIT_FAILED;
	if (find(&f, opts) < 0)
		complain_dev(opts, f.dev);
#ifdef HAVE_JSON_C
	else if (opts->json)
		code = print_json(&f);
#endif
	else
		code = print_text(&f);
	vhost_dev_unref(f.dev);
	return code;
}
