/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/**
 * DOC: seeing what goes on
 *
 * Two hooks. The log hook gets sentences for people: what was unusual, and what
 * the library did about it. The trace hook gets every message of the
 * conversation with the device, decoded. Both are given when a device is opened
 * (struct vhost_dev_opts) and may be changed later. Without a hook neither
 * costs more than a branch.
 *
 * With the environment variable LIBVHOST_TRACE set, to anything but 0, when a
 * device is opened, a device without a trace hook writes its trace to the standard
 * error; LIBVHOST_LOG does the same for the log. Programs that run with raised
 * privileges (secure_getenv(3)) ignore both.
 */
#ifndef VHOST_TRACE_H
#define VHOST_TRACE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** enum vhost_log_level - how much a log sentence matters */
enum vhost_log_level {
	VHOST_LOG_ERROR = 0,	/**< a call failed, or the connection ended */
	VHOST_LOG_WARNING = 1,	/**< a peer did what it should not; it was coped with */
	VHOST_LOG_INFO = 2,	/**< connected, started, stopped */
	VHOST_LOG_DEBUG = 3	/**< what only developers want */
};

/**
 * typedef vhost_log_fn - take a log sentence
 * @level:  one of enum vhost_log_level
 * @text:   one line, no newline at its end; valid during the call only
 * @opaque: what was given with the hook
 *
 * The hook must not call into the device that it hears of.
 * Since: 0.1
 */
typedef void (*vhost_log_fn)(int level, const char *text, void *opaque);

/** enum vhost_trace_direction - which way a message went */
enum vhost_trace_direction {
	VHOST_TRACE_SENT = 0,		/**< by this library */
	VHOST_TRACE_RECEIVED = 1	/**< by this library */
};

/** enum vhost_trace_channel - which socket carried it */
enum vhost_trace_channel {
	VHOST_TRACE_MAIN = 0,	/**< front-end requests and their replies */
	VHOST_TRACE_BACKEND = 1,	/**< back-end requests and their replies */
	VHOST_TRACE_KERNEL = 2	/**< calls to the kernel's vhost, and IOTLB messages */
};

/**
 * struct vhost_trace_event - one message of the conversation
 * @size:      of this struct as the library knows it; fields may be added
 * @direction: enum vhost_trace_direction
 * @channel:   enum vhost_trace_channel
 * @request:   the message's number
 * @flags:     of its header, as on the wire
 * @length:    of its payload in bytes
 * @n_fds:     how many file descriptors came with it
 * @fds:       these, as this process numbers them; they stay the library's
 * @time_ns:   CLOCK_MONOTONIC, in nanoseconds
 * @name:      the message's name, as vhost_name_message() gives it, or "?"
 * @text:      its fields, decoded, for people to read
 *
 * Everything is valid during the hook only.
 * Since: 0.1
 */
struct vhost_trace_event {
	uint32_t size;
	uint32_t direction;
	uint32_t channel;
	uint32_t request;
	uint32_t flags;
	uint32_t length;
	uint32_t n_fds;
	uint32_t reserved;
	const int *fds;
	uint64_t time_ns;
	const char *name;
	const char *text;
};

/**
 * typedef vhost_trace_fn - take a message of the conversation
 * @event:  the message
 * @opaque: what was given with the hook
 *
 * The hook must not call into the device that it hears of.
 * Since: 0.1
 */
typedef void (*vhost_trace_fn)(const struct vhost_trace_event *event, void *opaque);

/**
 * vhost_trace_format() - a trace event as one line of text
 * @event: the message
 * @buf:   where the line goes; no newline at its end; always terminated when
 *         @size is not 0
 * @size:  of @buf in bytes
 *
 * Return: the length of the whole line without its terminator, which does not
 *         fit if it is @size or more; -EINVAL without an event.
 * Since: 0.1
 */
int vhost_trace_format(const struct vhost_trace_event *event, char *buf, size_t size);

#ifdef __cplusplus
}
#endif

#endif
