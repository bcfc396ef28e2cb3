#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# Instructions per request on the driver's side of a queue: ours, and a loop that
# checks nothing (the floor), the device's part subtracted from both.
# Usage: instructions.sh [bench-virtq]. Exits 77 without valgrind.
set -eu

bench=${1:-bench/bench-virtq}
command -v valgrind >/dev/null || {
	echo "instructions.sh: valgrind is not installed"
	exit 77
}

# Two counts each, so that what is not per request drops out.
few=3200
many=35200

instructions()
{
	valgrind --tool=callgrind --callgrind-out-file=/dev/null \
		"$bench" --layout "$1" --descriptors "$2" --variant "$3" --count "$4" 2>&1 |
		sed -n 's/.*Collected : //p'
}

per_request()
{
	a=$(instructions "$1" "$2" "$3" "$few")
	b=$(instructions "$1" "$2" "$3" "$many")
	awk "BEGIN { printf \"%.2f\", ($b - $a) / ($many - $few) }"
}

printf '%-8s %5s %8s %8s %8s\n' layout desc ours floor ratio
for layout in split packed; do
	for descs in 1 3; do
		device=$(per_request $layout $descs device-only)
		ours=$(per_request $layout $descs ours)
		floor=$(per_request $layout $descs floor)
		awk "BEGIN { o = $ours - $device; f = $floor - $device;
			printf \"%-8s %5d %8.2f %8.2f %8.2f\\n\", \"$layout\", $descs, o, f, o / f }"
	done
done
