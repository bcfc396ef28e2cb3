# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors

# --- programs of libcheck: tests/check-foo is made of tests/check-foo.c, and
# linked with the internal library and libcheck. Add a line here; a program
# of more files, or with other libraries, also sets tests_check_foo_SOURCES
# (and _LDADD) below.
unit_tests = \
	tests/check-backend \
	tests/check-backend-faults \
	tests/check-backend-hostile \
	tests/check-backend-peers \
	tests/check-chan \
	tests/check-dev \
	tests/check-faults \
	tests/check-guest \
	tests/check-hostile \
	tests/check-inflight \
	tests/check-iova \
	tests/check-kernel \
	tests/check-kernel-abi \
	tests/check-mem \
	tests/check-msg \
	tests/check-names \
	tests/check-pair \
	tests/check-text \
	tests/check-vdpa \
	tests/check-virtq \
	tests/check-vring \
	tests/check-vring-hostile \
	tests/check-vring-memory \
	tests/check-wire

# These have the library's calls fail in turn.
fault_wraps = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=mmap \
	-Wl,--wrap=socket,--wrap=socketpair,--wrap=accept4,--wrap=send,--wrap=sendmsg \
	-Wl,--wrap=recvmsg,--wrap=fcntl,--wrap=eventfd,--wrap=epoll_create1,--wrap=epoll_ctl \
	-Wl,--wrap=memfd_create
tests_check_faults_SOURCES = tests/check-faults.c tests/faults.h tests/leak.h
tests_check_faults_LDFLAGS = $(AM_LDFLAGS) $(fault_wraps)
tests_check_backend_faults_LDFLAGS = $(AM_LDFLAGS) $(fault_wraps)

tests_check_virtq_SOURCES = tests/check-virtq.c tests/leak.h \
	tests/ring-model.c tests/ring-model.h

# Those that talk to a program of somebody else's, and skip where there is none.
peer_tests = \
	tests/check-disk \
	tests/check-nic \
	tests/check-qsd \
	tests/check-testpmd \
	tests/check-testpmd-net \
	tests/check-virtiofsd
EXTRA_DIST += tests/program.h tests/testpmd.h tests/ctypes_test.py
LDADD = libvhost-internal.la $(CHECK_LIBS)

frontend = tests/frontend.c tests/frontend.h tests/leak.h
backend_bench = tests/backend-bench.h $(frontend)
tests_check_backend_SOURCES = tests/check-backend.c $(backend_bench)
tests_check_backend_hostile_SOURCES = tests/check-backend-hostile.c $(backend_bench)
tests_check_backend_peers_SOURCES = tests/check-backend-peers.c $(backend_bench)
tests_check_backend_faults_SOURCES = tests/check-backend-faults.c tests/faults.h $(frontend)
tests_check_pair_SOURCES = tests/check-pair.c tests/leak.h

vring_bench = tests/vring-bench.h tests/leak.h tests/ring-driver.c tests/ring-driver.h
tests_check_vring_SOURCES = tests/check-vring.c $(vring_bench)
tests_check_vring_hostile_SOURCES = tests/check-vring-hostile.c $(vring_bench)
tests_check_vring_memory_SOURCES = tests/check-vring-memory.c $(vring_bench)
# The rings once more, with a call between every two stores to the record.
tests_check_inflight_SOURCES = tests/check-inflight.c tests/leak.h \
	tests/ring-driver.c tests/ring-driver.h \
	lib/ring/vring.c lib/ring/vring-split.c lib/ring/vring-packed.c
tests_check_inflight_CPPFLAGS = $(AM_CPPFLAGS) -DVRING_KILL_POINTS

tests_check_wire_SOURCES = tests/check-wire.c tests/leak.h tests/peer.c tests/peer.h

tests_check_dev_SOURCES = tests/check-dev.c tests/fake.c tests/fake.h
tests_check_iova_SOURCES = tests/check-iova.c tests/fake-kernel.c tests/fake-kernel.h

tests_check_kernel_SOURCES = tests/check-kernel.c tests/expect.h tests/kernel-bench.h \
	tests/fake-kernel.c tests/fake-kernel.h
tests_check_vdpa_SOURCES = tests/check-vdpa.c tests/expect.h tests/kernel-bench.h \
	tests/fake-kernel.c tests/fake-kernel.h

# Headers and files that tests share: EXTRA_DIST += tests/foo.h

# --- scripts: a test each. Exit 77 skips; the last line then says why.
script_tests = \
	tests/check-symbols.sh \
	tests/check-headers.sh \
	tests/check-install.sh \
	tests/check-man.sh \
	tests/check-python.sh \
	tests/check-vhostctl.sh \
	tests/check-backend-programs.sh \
	tests/check-vhost-user-blk.sh \
	tests/check-qemu.sh \
	tests/check-musl.sh \
	tests/check-i386.sh

EXTRA_DIST += $(script_tests) tests/common.sh tests/m32/check.h tests/no-libcheck.sh \
	tests/qemu/guest.c tests/qemu/init tests/qemu/machine.sh \
	tests/smoke.c tests/summarize

if HAVE_CHECK
check_PROGRAMS += $(unit_tests) $(peer_tests)
TESTS += $(unit_tests) $(peer_tests)
else
# Says in the summary that the unit tests were skipped, and why.
TESTS += tests/no-libcheck.sh
endif
TESTS += $(script_tests)

TEST_EXTENSIONS = .sh
SH_LOG_COMPILER = $(SHELL)
# A prefix for the programs of libcheck: make check-unit LOG_COMPILER='strace -f'
LOG_COMPILER =

AM_TESTS_ENVIRONMENT = \
	srcdir='$(abs_top_srcdir)'; builddir='$(abs_top_builddir)'; \
	CC='$(CC)'; MAKE='$(MAKE)'; NM='$(NM)'; \
	SANITIZE='$(VHOST_SANITIZE)'; \
	export srcdir builddir CC MAKE NM SANITIZE;

# The programs of libcheck alone: quick; and with those that need peers, what is
# worth running under sanitizers.
check-unit: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(unit_tests)'

check-programs: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(unit_tests) $(peer_tests)'

# Those with threads, in a build with --enable-sanitizers=thread.
threaded_tests = tests/check-backend-peers tests/check-guest tests/check-pair

check-threads: all
	$(MAKE) $(AM_MAKEFLAGS) check check_PROGRAMS='$(threaded_tests)' TESTS='$(threaded_tests)'

check-valgrind: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(unit_tests)' \
		LOG_COMPILER='valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite'

# What the last make check did, counted by test case.
check-summary:
	@$(SHELL) $(top_srcdir)/tests/summarize $(abs_top_builddir)

.PHONY: check-programs check-threads check-unit check-valgrind check-summary
