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
	tools/parse.c \
	tools/parse.h \
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

# --- devices that are served
bin_PROGRAMS += tools/vhost-user-blk tools/vhost-user-net tools/vhost-user-rng
backend_program_sources = \
	tools/backend-program.c \
	tools/backend-program.h \
	tools/parse.c \
	tools/parse.h

tools_vhost_user_blk_SOURCES = $(backend_program_sources) \
	tools/blk-file.c \
	tools/blk-file.h \
	tools/vhost-user-blk.c
tools_vhost_user_blk_CPPFLAGS = -D_GNU_SOURCE -I$(top_srcdir)/include $(URING_CFLAGS)
tools_vhost_user_blk_LDADD = libvhost.la $(URING_LIBS)

tools_vhost_user_net_SOURCES = $(backend_program_sources) \
	tools/net-loopback.c \
	tools/net-tap.c \
	tools/net-window.c \
	tools/net.h \
	tools/vhost-user-net.c
tools_vhost_user_net_CPPFLAGS = -D_GNU_SOURCE -I$(top_srcdir)/include
tools_vhost_user_net_LDADD = libvhost.la

tools_vhost_user_rng_SOURCES = $(backend_program_sources) tools/vhost-user-rng.c
tools_vhost_user_rng_CPPFLAGS = -D_GNU_SOURCE -I$(top_srcdir)/include
tools_vhost_user_rng_LDADD = libvhost.la

# Where management software looks for back-ends (vhost-user, "Backend program conventions").
backenddir = $(datadir)/qemu/vhost-user
backend_DATA = \
	tools/50-libvhost-blk.json \
	tools/50-libvhost-net.json \
	tools/50-libvhost-rng.json
CLEANFILES += $(backend_DATA)

# Made by make, not by configure: bindir is not known before.
tools/%.json: tools/%.json.in Makefile
	$(AM_V_GEN)$(MKDIR_P) tools && \
	$(SED) -e 's|@bindir[@]|$(bindir)|' -e 's|@VERSION[@]|$(VERSION)|' $(srcdir)/tools/$*.json.in >$@.tmp && \
	mv $@.tmp $@
endif

EXTRA_DIST += \
	tools/50-libvhost-blk.json.in \
	tools/50-libvhost-net.json.in \
	tools/50-libvhost-rng.json.in

EXTRA_DIST += completions/vhostctl completions/vhost-user
if BUILD_TOOLS
if BASH_COMPLETION
# bash looks for a file of the program's name: that of the three has three of them.
bashcompletion_DATA = completions/vhostctl $(backend_completions)
backend_completions = \
	completions/vhost-user-blk \
	completions/vhost-user-net \
	completions/vhost-user-rng
CLEANFILES += $(backend_completions)

$(backend_completions): completions/vhost-user
	$(AM_V_GEN)$(MKDIR_P) completions && cp $(srcdir)/completions/vhost-user $@
endif
endif
