#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# User instructions of the front-end's half of a GET_FEATURES round trip, over those of
# a bare sendmsg and recvmsg pair.
# Usage: roundtrip.sh [bench-roundtrip]. Exits 77 without valgrind.
set -eu

bench=${1:-bench/bench-roundtrip}
command -v valgrind >/dev/null || {
	echo "roundtrip.sh: valgrind is not installed"
	exit 77
}

# Two counts each, so that what is not per round trip drops out.
few=1000
many=6000

instructions()
{
	valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect="$1" \
		"$bench" --variant "$1" --count "$2" 2>&1 | sed -n 's/.*Collected : //p'
}

per_call()
{
	a=$(instructions "$1" $few)
	b=$(instructions "$1" $many)
	echo $(((b - a) / (many - few)))
}

ours=$(per_call ours)
bare=$(per_call bare)
echo "GET_FEATURES, front-end half, user instructions:"
echo "  vhost_dev_get_features()  $ours"
echo "  sendmsg and recvmsg       $bare"
echo "  over the bare pair        $((ours - bare))"
