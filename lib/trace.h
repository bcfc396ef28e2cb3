/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (C) 2026 The libvhost authors */
/* The hooks that the environment asks for, and what all tracers have in common. */
#ifndef LIBVHOST_TRACE_H
#define LIBVHOST_TRACE_H

#include <stdbool.h>

#include <vhost/trace.h>

#include "proto/vu-msg.h"

/* LIBVHOST_LOG and LIBVHOST_TRACE: a hook that writes to the standard error, or NULL. */
vhost_log_fn log_from_environment(void);
vhost_trace_fn trace_from_environment(void);

uint64_t trace_now(void);

/* Tell @hook of a vhost-user message. */
void trace_message(vhost_trace_fn hook, void *opaque, bool received, enum vu_direction dir,
		   const struct vu_header *hdr, const void *payload, const int *fds,
		   unsigned int n_fds);

#endif
