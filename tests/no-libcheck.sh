#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
# Stands for the unit tests where configure found no libcheck.
echo "skip: the unit tests need libcheck, which configure did not find (Debian: check)"
exit 77
