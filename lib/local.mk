# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors

# --- public headers: installed to $(includedir)/vhost
vhostincludedir = $(includedir)/vhost
vhostinclude_HEADERS = \
	include/vhost/backend.h \
	include/vhost/dev.h \
	include/vhost/mem.h \
	include/vhost/names.h \
	include/vhost/net.h \
	include/vhost/scsi.h \
	include/vhost/trace.h \
	include/vhost/user.h \
	include/vhost/vdpa.h \
	include/vhost/version.h \
	include/vhost/vhost.h \
	include/vhost/virtq.h \
	include/vhost/vring.h \
	include/vhost/vsock.h \
	include/vhost/worker.h

# --- the library's sources and private headers, a line each, sorted
libvhost_internal_la_SOURCES = \
	lib/backend/backend.c \
	lib/backend/backend.h \
	lib/backend/channel.c \
	lib/backend/session-device.c \
	lib/backend/session-mem.c \
	lib/backend/session-migrate.c \
	lib/backend/session-ring.c \
	lib/backend/session.c \
	lib/backend/session.h \
	lib/backend/vring.c \
	lib/dev-mem.c \
	lib/dev-migrate.c \
	lib/dev-queue.c \
	lib/dev.c \
	lib/device.h \
	lib/error.c \
	lib/mem/alloc.c \
	lib/mem/alloc.h \
	lib/mem/dirty.c \
	lib/mem/dirty.h \
	lib/mem/guest.c \
	lib/mem/guest.h \
	lib/mem/inflight.c \
	lib/mem/inflight.h \
	lib/mem/iotlb.c \
	lib/mem/iotlb.h \
	lib/mem/iova.c \
	lib/mem/iova.h \
	lib/mem/map.c \
	lib/mem/map.h \
	lib/names-config.c \
	lib/names.c \
	lib/op.c \
	lib/proto/kernel-abi.h \
	lib/proto/kernel-text.c \
	lib/proto/kernel-text.h \
	lib/proto/vu-chan.c \
	lib/proto/vu-chan.h \
	lib/proto/vu-msg.c \
	lib/proto/vu-msg.h \
	lib/proto/vu-sock.c \
	lib/proto/vu-sock.h \
	lib/proto/vu-text.c \
	lib/proto/vu-wire.h \
	lib/record.c \
	lib/ring/layout.h \
	lib/ring/virtq-packed.c \
	lib/ring/virtq-split.c \
	lib/ring/virtq.c \
	lib/ring/virtq.h \
	lib/ring/vring-packed.c \
	lib/ring/vring-run.h \
	lib/ring/vring-split.c \
	lib/ring/vring.c \
	lib/ring/vring.h \
	lib/trace.c \
	lib/trace.h \
	lib/transport/kdev.c \
	lib/transport/kdev.h \
	lib/transport/kernel-calls.c \
	lib/transport/kernel-iotlb.c \
	lib/transport/kernel.c \
	lib/transport/kernel.h \
	lib/transport/transport.h \
	lib/transport/user-calls.c \
	lib/transport/user-channel.c \
	lib/transport/user-io.c \
	lib/transport/user-ops.c \
	lib/transport/user.c \
	lib/transport/user.h \
	lib/transport/vdpa-calls.c \
	lib/transport/vdpa-map.c \
	lib/transport/vdpa.c \
	lib/transport/vdpa.h \
	lib/util.h

# Everything is compiled once, into a convenience library that is not installed.
# Unit tests link it and so reach what the shared library hides.
noinst_LTLIBRARIES += libvhost-internal.la
libvhost_internal_la_CPPFLAGS = -D_GNU_SOURCE -I$(top_srcdir)/include -I$(top_srcdir)/lib
libvhost_internal_la_CFLAGS = $(AM_CFLAGS) $(VHOST_LIB_CFLAGS)

# What is installed: the same objects behind the map.
lib_LTLIBRARIES += libvhost.la
libvhost_la_SOURCES =
libvhost_la_LIBADD = libvhost-internal.la
libvhost_la_LDFLAGS = $(AM_LDFLAGS) -version-info $(LIBVHOST_VERSION_INFO) $(VHOST_LIB_LDFLAGS)
libvhost_la_DEPENDENCIES = libvhost-internal.la lib/libvhost.map
if VERSION_SCRIPT
libvhost_la_LDFLAGS += -Wl,--version-script=$(top_srcdir)/lib/libvhost.map
endif
EXTRA_DIST += lib/libvhost.map
