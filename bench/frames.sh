#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# usage: frames.sh PROGRAM
#
# Frames per second through vhost-net. PROGRAM is bench-net. Runs in the test guest,
# which it starts; exits with 77 where that cannot be had.
set -eu

# shellcheck source=bench/guest.sh
. "$(dirname "$0")/guest.sh"
in_guest "$0" "$@"

"$1"
