# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# Written by man/update, which makes a link page for each name of a page and
# lists them all: run it after you add a page, or a name to one.

dist_man_MANS =
