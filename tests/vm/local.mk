# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors

# --- tests that need a kernel's vhost and vDPA: run in guests by make check-vm, each as
# root, with a /tmp of its own; VM_KERNEL says which kernel. tests/vm/check-foo is a
# program of libcheck, as those in tests/local.mk; tests/vm/check-foo.sh a script, run
# if it is here.
guest_tests = \
	tests/vm/check-boot \
	tests/vm/check-net \
	tests/vm/check-scsi \
	tests/vm/check-vdpa \
	tests/vm/check-vduse-disk \
	tests/vm/check-vsock

guest_scripts = \
	tests/vm/check-blk.sh \
	tests/vm/check-vduse.sh \
	tests/vm/check-vhostctl.sh

guest_programs =
if HAVE_CHECK
guest_programs += $(guest_tests)
endif
guest_programs += tests/vm/survey
check_PROGRAMS += $(guest_programs)

# What the guest's kernel offers, for doc/kernels.md.
tests_vm_survey_LDADD = libvhost-internal.la

tests_vm_check_net_SOURCES = tests/vm/check-net.c tests/vm/guest.h tests/vm/tap.h
tests_vm_check_scsi_SOURCES = tests/vm/check-scsi.c tests/vm/guest.h
tests_vm_check_vsock_SOURCES = tests/vm/check-vsock.c tests/vm/guest.h
tests_vm_check_vdpa_SOURCES = tests/vm/check-vdpa.c tests/vm/bus.h tests/vm/disk.h \
	tests/vm/guest.h
tests_vm_check_vduse_disk_SOURCES = tests/vm/check-vduse-disk.c tests/vm/bus.h tests/vm/disk.h \
	tests/vm/guest.h tests/vm/vduse.h

EXTRA_DIST += doc/kernels.md $(guest_scripts) tests/vm/build-image tests/vm/check \
	tests/vm/devices.sh tests/vm/init tests/vm/run tests/vm/suite tests/vm/table tests/vm/vhostctl.sh

# VM_KERNELS=6.12 VM_TESTS='check-net check-vsock' has it leave out the others.
check-vm: all $(guest_programs)
	@$(SHELL) $(top_srcdir)/tests/vm/check $(abs_top_builddir) || test $$? -eq 77

# doc/kernels.md, of what the last make check-vm found
update-kernels-table:
	$(SHELL) $(top_srcdir)/tests/vm/table vm-6.1/survey vm-6.12/survey vm-sid/survey >kernels.md
	mv kernels.md $(top_srcdir)/doc/kernels.md

.PHONY: check-vm update-kernels-table

clean-local:
	rm -rf vm-*
