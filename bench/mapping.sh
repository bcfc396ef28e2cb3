#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# usage: mapping.sh PROGRAM
#
# Map 1 GiB in 509 regions over vDPA. PROGRAM is bench-vdpa. Runs in the test guest,
# which it starts; exits with 77 where that cannot be had.
set -eu

# shellcheck source=bench/guest.sh
. "$(dirname "$0")/guest.sh"
in_guest "$0" "$@"

vdpa dev add name bench mgmtdev vdpasim_blk
program=$1
set -- /sys/bus/vdpa/devices/bench/vhost-vdpa-*
"$program" map "/dev/${1##*/}"
vdpa dev del bench
