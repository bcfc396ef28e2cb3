/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include "trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "util.h"

VHOST_EXPORT int vhost_trace_format(const struct vhost_trace_event *event, char *buf, size_t size)
{
	if (!event || (!buf && size))
		return -EINVAL;
	return snprintf(buf, size, "%6" PRIu64 ".%06u %s%s %s", event->time_ns / 1000000000u,
			(unsigned int)(event->time_ns / 1000 % 1000000),
			event->direction == VHOST_TRACE_SENT ? ">" : "<",
			event->channel == VHOST_TRACE_BACKEND ? "b" :
			event->channel == VHOST_TRACE_KERNEL ? "k" : " ", event->text);
}

static void log_to_stderr(int level, const char *text, void *opaque _unused_)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };

	fprintf(stderr, "libvhost: %s: %s\n", names[level & 3], text);
}

static void trace_to_stderr(const struct vhost_trace_event *event, void *opaque _unused_)
{
	char line[512];

	vhost_trace_format(event, line, sizeof(line));
	fprintf(stderr, "libvhost: %s\n", line);
}

static bool env_is_set(const char *name)
{
	const char *value = secure_getenv(name);

	return value && *value && strcmp(value, "0") != 0;
}

vhost_log_fn log_from_environment(void)
{
	return env_is_set("LIBVHOST_LOG") ? log_to_stderr : NULL;
}

vhost_trace_fn trace_from_environment(void)
{
	return env_is_set("LIBVHOST_TRACE") ? trace_to_stderr : NULL;
}

uint64_t trace_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void trace_message(vhost_trace_fn hook, void *opaque, bool received, enum vu_direction dir,
		   const struct vu_header *hdr, const void *payload, const int *fds,
		   unsigned int n_fds)
{
	const struct vu_row *row = vu_row(dir, hdr->request);
	char text[400];
	const struct vhost_trace_event event = {
		.size = sizeof(event),
		.direction = received ? VHOST_TRACE_RECEIVED : VHOST_TRACE_SENT,
		.channel = dir == VU_BACKEND ? VHOST_TRACE_BACKEND : VHOST_TRACE_MAIN,
		.request = hdr->request, .flags = hdr->flags, .length = hdr->size,
		.n_fds = n_fds, .fds = fds, .time_ns = trace_now(),
		.name = row ? row->name : "?", .text = text,
	};

	vu_text(dir, hdr, payload, n_fds, text, sizeof(text));
	hook(&event, opaque);
}
