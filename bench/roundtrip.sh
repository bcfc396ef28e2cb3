#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# User instructions of one side's half of a GET_FEATURES round trip, over those of a bare
# sendmsg and recvmsg pair.
# Usage: roundtrip.sh PROGRAM: bench-roundtrip (the front-end's half) or bench-backend (the
# back-end's). Exits 77 without valgrind.
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
case $bench in
*bench-backend)
	half=back-end name="vhost_backend_process() " ;;
*)
	half=front-end name="vhost_dev_get_features()" ;;
esac
echo "GET_FEATURES, $half half, user instructions:"
echo "  $name  $ours"
echo "  sendmsg and recvmsg       $bare"
echo "  over the bare pair        $((ours - bare))"
