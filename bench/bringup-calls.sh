#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# usage: bringup-calls.sh PROGRAM
#
# Count the system calls of a bring-up, of a vDPA disk and of vhost-net, through the
# library and by the fewest ioctls. PROGRAM is bench-vdpa. Runs in the test guest, which
# it starts; exits with 77 where that cannot be had.
set -eu

# shellcheck source=bench/guest.sh
. "$(dirname "$0")/guest.sh"
command -v strace >/dev/null || {
	echo "skip: strace is not installed"
	exit 77
}
in_guest "$0" "$@"

program=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# calls FILE: each call between the marks with its request, and how often
calls()
{
	awk '
		/getppid\(/ { inside = !inside; next }
		inside && match($0, /[a-z_0-9]+\(/) {
			name = substr($0, RSTART, RLENGTH - 1)
			if (name == "ioctl" && match($0, /[A-Z][A-Z0-9_]+/))
				name = substr($0, RSTART, RLENGTH)
			count[name]++
		}
		END { for (name in count) print name, count[name] }' "$1" | sort
}

# compare TITLE OURS_ADDRESS BARE_ADDRESS
compare()
{
	strace -f -o "$dir/trace" "$program" bring-up ours "$2"
	calls "$dir/trace" >"$dir/ours"
	[ -z "${BENCH_TRACE-}" ] || cat "$dir/trace"
	strace -f -o "$dir/trace" "$program" bring-up bare "$3"
	calls "$dir/trace" >"$dir/bare"
	printf '%-34s %8s %8s\n' "$1" ours bare
	join -a 1 -a 2 -e 0 -o 0,1.2,2.2 "$dir/ours" "$dir/bare" | awk '
		{ printf "  %-32s %8d %8d\n", $1, $2, $3; ours += $2; bare += $3 }
		END { printf "  %-32s %8d %8d  ratio %.2f\n", "all", ours, bare, ours / bare }'
}

vdpa dev add name bench mgmtdev vdpasim_blk
set -- /sys/bus/vdpa/devices/bench/vhost-vdpa-*
compare "vDPA disk, 1 queue, by node" "/dev/${1##*/}" "/dev/${1##*/}"
compare "vDPA disk, 1 queue, by name" vdpa:bench "/dev/${1##*/}"
vdpa dev del bench
compare "vhost-net, 2 queues" /dev/vhost-net /dev/vhost-net
