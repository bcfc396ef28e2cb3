# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors

if BUILD_TOOLS
bin_PROGRAMS += tools/vhostctl
tools_vhostctl_SOURCES = \
	tools/backends.c \
	tools/bench.c \
	tools/blk-io.c \
	tools/blk.c \
	tools/blk.h \
	tools/host.c \
	tools/host.h \
	tools/list.c \
	tools/main.c \
	tools/netlink.h \
	tools/probe.c \
	tools/util.c \
	tools/vdpa-bus.c \
	tools/vdpa.c \
	tools/vdpa.h \
	tools/vhostctl.h
if HAVE_MNL
tools_vhostctl_SOURCES += tools/netlink.c
endif
tools_vhostctl_CPPFLAGS = -D_GNU_SOURCE -I$(top_srcdir)/include $(JSON_CFLAGS) $(MNL_CFLAGS)
tools_vhostctl_LDADD = libvhost.la $(JSON_LIBS) $(MNL_LIBS)
endif

EXTRA_DIST += completions/vhostctl
if BUILD_TOOLS
if BASH_COMPLETION
bashcompletion_DATA = completions/vhostctl
endif
endif
