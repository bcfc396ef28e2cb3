/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
#include <inttypes.h>
#include <stdio.h>

#include <vhost/trace.h>

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
