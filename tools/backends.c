/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/*
 * The files that describe vhost-user back-ends (vhost-user, "Backend program
 * conventions"; QEMU's vhost-user.json). Anybody may have written them.
 */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "vhostctl.h"

#define FILE_MAX (64u << 10)
#define FILES_MAX 1024		/* of a directory */
#define DEPTH_MAX 16

/* The first is what is told. */
#define PROBLEM(b, ...) \
	((b)->problem[0] ? 0 : snprintf((b)->problem, sizeof((b)->problem), __VA_ARGS__))

#ifdef HAVE_JSON_C
/* The string member @key; with a NUL in it a path would not be what it seems. */
static char *get_string(json_object *object, const char *key, struct backend *b)
{
	json_object *value = NULL;

	if (!json_object_object_get_ex(object, key, &value)) {
		PROBLEM(b, "there is no \"%s\"", key);
		return NULL;
	}
	if (!json_object_is_type(value, json_type_string)) {
		PROBLEM(b, "\"%s\" is not a string", key);
		return NULL;
	}
	if (strlen(json_object_get_string(value)) !=
	    (size_t)json_object_get_string_len(value)) {
		PROBLEM(b, "\"%s\" has a NUL", key);
		return NULL;
	}
	return strdup(json_object_get_string(value));
}

static void get_tags(json_object *object, struct backend *b)
{
	json_object *tags = NULL;
	size_t n;

	if (!json_object_object_get_ex(object, "tags", &tags))
		return;
	if (!json_object_is_type(tags, json_type_array)) {
		PROBLEM(b, "\"tags\" is not an array");
		return;
	}
	n = (size_t)json_object_array_length(tags);
	b->tag = calloc(n ? n : 1, sizeof(*b->tag));
	for (size_t i = 0; b->tag && i < n; i++) {
		json_object *tag = json_object_array_get_idx(tags, i);

		if (!json_object_is_type(tag, json_type_string)) {
			PROBLEM(b, "tag %zu is not a string", i);
			return;
		}
		if (strlen(json_object_get_string(tag)) != (size_t)json_object_get_string_len(tag)) {
			PROBLEM(b, "tag %zu has a NUL in it", i);
			return;
		}
		b->tag[i] = strdup(json_object_get_string(tag));
		if (!b->tag[i])
			return;
		b->n_tags++;
	}
}

static void parse(const struct host *host, const char *text, size_t size, struct backend *b)
{
	json_tokener *tok = json_tokener_new_ex(DEPTH_MAX);
	json_object *object;
	struct stat st;
	size_t end;
	int r;

	if (!tok) {
		PROBLEM(b, "%s", strerror(ENOMEM));
		return;
	}
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	/* With its NUL, so that a number alone is seen to end. */
	object = json_tokener_parse_ex(tok, text, (int)size + 1);
	end = (size_t)tok->char_offset;
	while (end < size && strchr(" \t\r\n", text[end]))
		end++;
	if (json_tokener_get_error(tok) != json_tokener_success)
		PROBLEM(b, "not JSON: %s, at byte %zu",
			json_tokener_error_desc(json_tokener_get_error(tok)), end);
	else if (end < size)
		PROBLEM(b, "not JSON: something follows, at byte %zu", end);
	else if (!json_object_is_type(object, json_type_object))
		PROBLEM(b, "not a JSON object");
	json_tokener_free(tok);
	if (!b->problem[0]) {
		b->description = get_string(object, "description", b);
		b->type = get_string(object, "type", b);
		b->binary = get_string(object, "binary", b);
		get_tags(object, b);
	}
	json_object_put(object);
	if (b->problem[0])
		return;
	if (!b->binary || !b->type || !b->description) {
		PROBLEM(b, "%s", strerror(ENOMEM));
	} else if (!vhost_device_from_name(b->type)) {
		PROBLEM(b, "\"type\" is no device type that is known");
	} else if (b->binary[0] != '/') {
		PROBLEM(b, "\"binary\" is not an absolute path");
	} else {
		r = host_access(host, b->binary, X_OK);
		if (!r && !host_stat(host, b->binary, &st) && !S_ISREG(st.st_mode))
			r = -EACCES;
		if (r < 0)
			PROBLEM(b, "the program cannot be run: %s", strerror(-r));
	}
}
#endif

static void load(const struct host *host, struct backend *b)
{
	char *text = NULL;
	size_t size = 0;
	int r = host_load(host, b->file, FILE_MAX, &text, &size);

	if (r == -EFBIG)
		PROBLEM(b, "larger than %u KiB", FILE_MAX >> 10);
	else if (r == -ENOTSUP)
		PROBLEM(b, "not a regular file");
	else if (r < 0)
		PROBLEM(b, "%s", strerror(-r));
	else if (size == 0)
		b->empty = true;
#ifdef HAVE_JSON_C
	else
		parse(host, text, size, b);
#endif
	free(text);
}

static const char *base(const struct backend *b)
{
	return strrchr(b->file, '/') + 1;
}

static int by_base(const void *a, const void *b)
{
	return strcmp(base(a), base(b));
}

static int add(struct backends *ret, const char *dir, const char *name)
{
	struct backend *p;
	char *file = NULL;

	if (asprintf(&file, "%s/%s", dir, name) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < ret->n; i++) {
		p = &ret->backend[i];
		if (!strcmp(base(p), name)) {
			free(p->hides);
			p->hides = p->file;
			p->file = file;
			return 0;
		}
	}
	p = realloc(ret->backend, (ret->n + 1) * sizeof(*p));
	if (!p) {
		free(file);
		return -ENOMEM;
	}
	ret->backend = p;
	p[ret->n++] = (struct backend){ .file = file };
	return 0;
}

static int add_dir(const struct host *host, struct backends *ret, const char *dir)
{
	static const char suffix[] = ".json";
	struct names names;
	int r = host_list(host, dir, "", &names);

	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0) {
		PROBLEM(ret, "%s: %s", dir, strerror(-r));
		return 0;
	}
	if (names.more || names.n > FILES_MAX)
		PROBLEM(ret, "%s: only %d of its files were looked at", dir, FILES_MAX);
	for (size_t i = 0; i < names.n && i < FILES_MAX && r == 0; i++) {
		size_t n = strlen(names.name[i]);

		if (n >= sizeof(suffix) && !strcmp(names.name[i] + n - strlen(suffix), suffix))
			r = add(ret, dir, names.name[i]);
	}
	names_free(&names);
	return r;
}

int host_backends(const struct host *host, struct backends *ret)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char dir[PATH_MAX] = "";
	int r;

	*ret = (struct backends){ .n = 0 };
	/* A relative one is to be ignored (XDG Base Directory Specification). */
	if (config && config[0] == '/')
		snprintf(dir, sizeof(dir), "%s/qemu/vhost-user", config);
	else if (home && home[0] == '/')
		snprintf(dir, sizeof(dir), "%s/.config/qemu/vhost-user", home);

	/* From general to specific: what comes later takes the place of its namesake. */
	r = add_dir(host, ret, "/usr/share/qemu/vhost-user");
	if (r == 0)
		r = add_dir(host, ret, "/etc/qemu/vhost-user");
	if (r == 0 && dir[0])
		r = add_dir(host, ret, dir);
	for (size_t i = 0; i < ret->n && r == 0; i++)
		load(host, &ret->backend[i]);
	if (ret->n)
		qsort(ret->backend, ret->n, sizeof(*ret->backend), by_base);
	return r;
}

void backends_free(struct backends *backends)
{
	for (size_t i = 0; i < backends->n; i++) {
		struct backend *b = &backends->backend[i];

		for (size_t j = 0; j < b->n_tags; j++)
			free(b->tag[j]);
		free(b->tag);
		free(b->file);
		free(b->hides);
		free(b->type);
		free(b->binary);
		free(b->description);
	}
	free(backends->backend);
	*backends = (struct backends){ .n = 0 };
}
