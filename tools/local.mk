# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors

if BUILD_TOOLS
bin_PROGRAMS += tools/vhostctl
tools_vhostctl_SOURCES = \
	tools/bench.c \
	tools/blk-io.c \
	tools/blk.c \
	tools/blk.h \
	tools/main.c \
	tools/probe.c \
	tools/util.c \
	tools/vhostctl.h
tools_vhostctl_CPPFLAGS = -D_GNU_SOURCE -I$(top_srcdir)/include $(JSON_CFLAGS)
tools_vhostctl_LDADD = libvhost.la $(JSON_LIBS)
endif

EXTRA_DIST += completions/vhostctl
if BUILD_TOOLS
if BASH_COMPLETION
bashcompletion_DATA = completions/vhostctl
endif
endif
