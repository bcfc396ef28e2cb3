#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# Instructions per request on the device's side of a ring, pop and push: ours, a loop
# by hand that checks, and one that does not. Fails where ours takes more than 130, 256 and
# 295 (one descriptor, a chain of three, an indirect table of three).
# Usage: vring-instructions.sh [bench-vring]. Exits 77 without valgrind.
set -eu

bench=${1:-bench/bench-vring}
command -v valgrind >/dev/null || {
	echo "vring-instructions.sh: valgrind is not installed"
	exit 77
}

count=6400

# Only what is inside of the variant's pop and push: the driver's part is not.
per_request()
{
	n=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null \
		--toggle-collect="p*_$4" "$bench" --layout "$1" --shape "$2" --regions "$3" \
		--variant "$4" --count "$count" 2>&1 | sed -n 's/.*Collected : //p')
	awk "BEGIN { printf \"%.1f\", $n / $count }"
}

failed=0
printf '%-8s %-8s %7s %8s %8s %9s %9s\n' layout shape regions ours checked unchecked /checked
for layout in split packed; do
	for shape in single chain indirect; do
		case $shape in
		single) most=130 ;;
		chain) most=256 ;;
		*) most=295 ;;
		esac
		for regions in 1 8 64 509; do
			ours=$(per_request $layout $shape $regions ours)
			checked=$(per_request $layout $shape $regions checked)
			unchecked=$(per_request $layout $shape $regions unchecked)
			awk "BEGIN { printf \"%-8s %-8s %7d %8.1f %8.1f %9.1f %9.2f\\n\", \"$layout\",
				\"$shape\", $regions, $ours, $checked, $unchecked, $ours / $checked
				exit ($ours > $most) }" || failed=1
		done
	done
done
exit $failed
