#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# usage: backend-calls.sh PROGRAM
#
# Count the system calls that a back-end makes in a bring-up as QEMU does it: 19 messages,
# 8 regions of memory, 2 queues, 10 answers that the front-end waits for. PROGRAM is
# bench-backend. Exits with 77 without strace.
set -eu

program=${1:-bench/bench-backend}
command -v strace >/dev/null || {
	echo "backend-calls.sh: strace is not installed"
	exit 77
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# messages FILE: recvmsg, sendmsg and the like on any socket but the front-end's, which is
# number 100; and not the last one, which finds the connection closed
messages()
{
	grep -E '^(recv|send)[a-z]*\(' "$1" | grep -c -v -e '^[a-z]*(100,' -e '= 0$'
}

# others FILE: the rest, between the first message and the last
others()
{
	awk '/^(recv|send)[a-z]*\(/ && !/^[a-z]*\(100,/ { inside = 1 }
	     inside && match($0, /^[a-z_0-9]+/) { count[substr($0, 1, RLENGTH)]++ }
	     inside && /^recvmsg\(.*= 0$/ { exit }
	     END {
		for (name in count)
			if (name !~ /^(recv|send)/)
				printf " %s %d", name, count[name]
	     }' "$1"
}

# a process of its own is the front-end: what it has sent by the time that we look depends
# on the machine, so the middle one of 21 runs counts
n=0
: >"$dir/counts"
while [ $((n += 1)) -le 21 ]; do
	strace -o "$dir/trace" "$program" bring-up 2>"$dir/says"
	messages "$dir/trace" >>"$dir/counts"
done
calls=$(sort -n "$dir/counts" | sed -n 11p)
least=$(sort -n "$dir/counts" | sed -n 1p)
most=$(sort -n "$dir/counts" | sed -n 21p)
rest=$(others "$dir/trace")
strace -o "$dir/trace" "$program" bring-up --same-process 2>"$dir/says"
echo "A bring-up as QEMU's: $(cat "$dir/says"), the back-end's system calls for messages:"
echo "  front-end in another process          $calls ($least to $most in 21 runs)"
echo "  front-end that is always there first  $(messages "$dir/trace")"
echo "  others in the last run:$rest"
