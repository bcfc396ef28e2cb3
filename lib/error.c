/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* What failed, as a sentence, on the device and for the thread. */
#include <stdio.h>

#include <vhost/names.h>

#include "device.h"

static _Thread_local int last_kind;
static _Thread_local char last_error[256];

int error_kind_of(int r)
{
	switch (r) {
	case -ENOTSUP:
		return VHOST_ERR_UNSUPPORTED;
	case -ECONNRESET:
	case -ECONNABORTED:
	case -EPIPE:
		return VHOST_ERR_PEER_CLOSED;
	case -EPROTO:
		return VHOST_ERR_PEER_BROKE_PROTOCOL;
	case -ETIMEDOUT:
		return VHOST_ERR_DEADLINE;
	case -EREMOTEIO:
		return VHOST_ERR_PEER_REFUSED;
	case -EINVAL:
		return VHOST_ERR_ARGUMENT;
	case -EBUSY:
	case -ENOTCONN:
	case -EINPROGRESS:
		return VHOST_ERR_STATE;
	default:
		return VHOST_ERR_OTHER;
	}
}

int dev_vfail(struct vhost_dev *dev, int r, int kind, const char *fmt, va_list ap)
{
	char text[sizeof(dev->error.text)];

	/* by way of a copy: an argument may be the sentence that stands there */
	vsnprintf(text, sizeof(text), fmt, ap);
	dev->error.kind = last_kind = kind;
	memcpy(dev->error.text, text, sizeof(text));
	memcpy(last_error, text, sizeof(text));
	if (dev->log)
		dev->log(VHOST_LOG_ERROR, dev->error.text, dev->log_opaque);
	return r;
}

int dev_fail(struct vhost_dev *dev, int r, int kind, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	dev_vfail(dev, r, kind, fmt, ap);
	va_end(ap);
	return r;
}

int call_fail(int r, int kind, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(last_error, sizeof(last_error), fmt, ap);
	va_end(ap);
	last_kind = kind;
	return r;
}

void dev_log(struct vhost_dev *dev, int level, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (!dev->log)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	dev->log(level, text, dev->log_opaque);
}

int dev_lacks(struct vhost_dev *dev, uint64_t features)
{
	char names[160];

	vhost_format_features(dev->device_id, features, names, sizeof(names));
	return dev_fail(dev, -EINVAL, VHOST_ERR_ARGUMENT, "the device does not offer the features "
			"0x%llx: %s", (unsigned long long)features, names);
}

VHOST_EXPORT const char *vhost_dev_error(const vhost_dev_t *dev)
{
	return dev->error.text;
}

VHOST_EXPORT int vhost_dev_error_kind(const vhost_dev_t *dev)
{
	return dev->error.kind;
}

VHOST_EXPORT const char *vhost_last_error(void)
{
	return last_error;
}

VHOST_EXPORT int vhost_last_error_kind(void)
{
	return last_kind;
}
