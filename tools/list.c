/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* vhostctl list: what this host has of vhost, why it cannot be used, what would help. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdpa.h"

struct found {
	struct host host;
	struct nodes nodes;
	struct vdpa_bus bus;
	struct backends backends;
};

/* ------------------------------------------------------------ for people */

static void print_nodes(const struct nodes *nodes)
{
	printf("Kernel vhost\n");
	for (size_t i = 0; i < nodes->n; i++) {
		const struct node *n = &nodes->node[i];
		char text[4 * sizeof(n->path) + 4 * sizeof(n->why)], part[4 * sizeof(n->why)];
		char why[4 * sizeof(n->why)], help[4 * sizeof(n->help)];
		char label[4 * sizeof(n->path) + 3];

		escape(n->why, why, sizeof(why));
		snprintf(label, sizeof(label), "  %s ", escape(n->path, part, sizeof(part)));
		snprintf(text, sizeof(text), "%s%s%s%s%s", n->usable ? "can be opened" : "",
			 n->vdpa[0] ? ": " : "", escape(n->vdpa, part, sizeof(part) / 2),
			 n->usable && n->why[0] ? "; " : "", n->usable ? why : "");
		print_words(22, label, n->usable ? text : why);
		if (n->help[0])
			print_words(25, "                      -> ", escape(n->help, help, sizeof(help)));
	}
}

static void print_bus(const struct vdpa_bus *bus)
{
	printf("\nvDPA devices\n");
	for (size_t i = 0; i < bus->devices.n; i++)
		vdpa_print_device(&bus->devices.item[i], true);
	if (!bus->devices.n)
		printf("  none\n");
	printf("\nvDPA management devices\n");
	for (size_t i = 0; i < bus->mgmtdevs.n; i++)
		vdpa_print_mgmtdev(&bus->mgmtdevs.item[i]);
	if (bus->problem[0])
		printf("  not known: %s\n", bus->problem);
	else if (!bus->mgmtdevs.n)
		printf("  none: load a driver, such as mlx5_vdpa, vduse or vdpa_sim_net\n");
}

static void print_label(const char *label, const char *text)
{
	printf("    %-14s", label);
	put_escaped(text, stdout);
	putchar('\n');
}

static void print_backends(const struct backends *backends)
{
	printf("\nvhost-user back-ends\n");
	for (size_t i = 0; i < backends->n; i++) {
		const struct backend *b = &backends->backend[i];

		printf("  ");
		put_escaped(b->file, stdout);
		putchar('\n');
		if (b->empty)
			print_label("empty", b->hides ? "hides the file below" :
				    "hides nothing");
		if (b->type)
			print_label("type", b->type);
		if (b->binary)
			print_label("binary", b->binary);
		if (b->description)
			print_label("description", b->description);
		for (size_t j = 0; j < b->n_tags; j++)
			print_label(j ? "" : "tags", b->tag[j]);
		if (b->problem[0])
			print_label("problem", b->problem);
		if (b->hides)
			print_label("instead of", b->hides);
	}
	if (!backends->n && !backends->problem[0])
		printf("  none\n");
	if (backends->problem[0]) {
		printf("  ");
		put_escaped(backends->problem, stdout);
		putchar('\n');
	}
}

static int print_text(const struct found *f)
{
	print_nodes(&f->nodes);
	print_bus(&f->bus);
	print_backends(&f->backends);
	return end_of_output();
}

/* ---------------------------------------------------------- for programs */

#ifdef HAVE_JSON_C
static json_object *text_or_null(const char *text)
{
	return text && *text ? json_text(text) : NULL;
}

static json_object *json_nodes(const struct nodes *nodes)
{
	json_object *array = json_object_new_array();

	for (size_t i = 0; i < nodes->n; i++) {
		const struct node *n = &nodes->node[i];
		json_object *o = json_object_new_object();

		json_object_object_add(o, "path", json_text(n->path));
		json_object_object_add(o, "module", json_text(n->module));
		json_object_object_add(o, "present", json_object_new_boolean(n->present));
		json_object_object_add(o, "usable", json_object_new_boolean(n->usable));
		json_object_object_add(o, "vdpa", text_or_null(n->vdpa));
		json_object_object_add(o, "why", text_or_null(n->why));
		json_object_object_add(o, "help", text_or_null(n->help));
		json_object_array_add(array, o);
	}
	return array;
}

static json_object *json_backends(const struct backends *backends)
{
	json_object *array = json_object_new_array();

	for (size_t i = 0; i < backends->n; i++) {
		const struct backend *b = &backends->backend[i];
		json_object *o = json_object_new_object(), *tags = json_object_new_array();

		json_object_object_add(o, "file", json_text(b->file));
		json_object_object_add(o, "empty", json_object_new_boolean(b->empty));
		json_object_object_add(o, "type", text_or_null(b->type));
		json_object_object_add(o, "binary", text_or_null(b->binary));
		json_object_object_add(o, "description", text_or_null(b->description));
		for (size_t j = 0; j < b->n_tags; j++)
			json_object_array_add(tags, json_text(b->tag[j]));
		json_object_object_add(o, "tags", tags);
		json_object_object_add(o, "hides", text_or_null(b->hides));
		json_object_object_add(o, "problem", text_or_null(b->problem));
		json_object_array_add(array, o);
	}
	return array;
}

static int print_json(const struct found *f)
{
	json_object *top = json_object_new_object();

	json_object_object_add(top, "kernel", json_text(f->host.release));
	json_object_object_add(top, "nodes", json_nodes(&f->nodes));
	json_object_object_add(top, "vdpa_devices", vdpa_json_devices(&f->bus));
	json_object_object_add(top, "vdpa_mgmtdevs", vdpa_json_mgmtdevs(&f->bus));
	json_object_object_add(top, "vdpa_problem", text_or_null(f->bus.problem));
	json_object_object_add(top, "backends", json_backends(&f->backends));
	json_object_object_add(top, "backends_problem", text_or_null(f->backends.problem));
	return json_print(top);
}
#endif

int cmd_list(const struct options *opts)
{
	struct found f = { .host.root_fd = -1 };
	int r = host_open_root(&f.host, opts->root), code = EXIT_FAILED;

	if (r < 0) {
		complain("--root %s: %s", opts->root, strerror(-r));
		return EXIT_FAILED;
	}
	r = host_nodes(&f.host, &f.nodes);
	if (r == 0)
		r = vdpa_bus_read(&f.host, opts->timeout_ms, &f.bus);
	if (r == 0)
		r = host_backends(&f.host, &f.backends);
	if (r < 0)
		complain("%s", strerror(-r));
#ifdef HAVE_JSON_C
	else if (opts->json)
		code = print_json(&f);
#endif
	else
		code = print_text(&f);
	backends_free(&f.backends);
	vdpa_bus_free(&f.bus);
	free(f.nodes.node);
	host_close_root(&f.host);
	return code;
}
