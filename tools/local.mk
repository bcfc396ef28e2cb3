# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors

# --- vhostctl: uncomment and list its files once they stand
if BUILD_TOOLS
# bin_PROGRAMS += tools/vhostctl
# tools_vhostctl_SOURCES = tools/vhostctl.c
# tools_vhostctl_CPPFLAGS = -D_GNU_SOURCE -I$(top_srcdir)/include $(JSON_CFLAGS)
# tools_vhostctl_LDADD = libvhost.la $(JSON_LIBS)
endif
