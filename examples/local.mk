# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# Not installed. make examples builds them; so does make check, to keep them whole.

example_programs = examples/blk-read
examples_blk_read_LDADD = libvhost.la

EXTRA_DIST += examples/demo.sh

check_PROGRAMS += $(example_programs)

examples: $(example_programs)
