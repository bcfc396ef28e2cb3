#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# vhost-user-blk, driven by vhostctl: what is written is read again, by split and packed
# rings, through io_uring and without; the disk grows; front-ends come and go as they
# like; a killed back-end is started anew.

# shellcheck source=tests/common.sh
. "${srcdir:-$(dirname "$0")/..}/tests/common.sh"

vhostctl=$builddir/tools/vhostctl
[ -x "$vhostctl" ] || skip "vhostctl was not built"
[ -x "$builddir/tools/vhost-user-blk" ] || skip "vhost-user-blk was not built"
need timeout cmp dd sed truncate

make_scratch
trap 'end_server; rm -rf "$scratch"' EXIT
cd "$scratch"
unset LIBVHOST_LOG LIBVHOST_TRACE 2>/dev/null || :

# ctl STATUS ARGUMENT...
ctl()
{
	want=$1
	shift
	status=0
	timeout 60 "$vhostctl" "$@" >out 2>err || status=$?
	if [ "$status" -ne "$want" ]; then
		cat err log
		wrong "vhostctl $*: exit status $status, not $want"
	fi
}

says()
{
	grep -Eq -e "$2" "$1" && return
	cat "$1"
	wrong "\"$2\" is not in $1"
}

# start ARGUMENT...: until its socket answers.
start()
{
	"$builddir/tools/vhost-user-blk" --socket-path=disk.sock "$@" >log 2>&1 </dev/null &
	server=$!
	tries=0
	until timeout 20 "$vhostctl" blk info unix:disk.sock >out 2>err; do
		kill -0 "$server" 2>/dev/null || { cat log; die "vhost-user-blk $* ended"; }
		[ "$tries" -lt 200 ] || { cat err; die "vhost-user-blk $* does not answer"; }
		sleep 0.1
		tries=$((tries + 1))
	done
}

# stop: in order, and with nothing to say.
stop()
{
	kill -TERM "$server"
	status=0
	wait "$server" || status=$?
	[ "$status" -eq 0 ] || { cat log; wrong "exit status $status at SIGTERM, not 0"; }
	[ ! -s log ] || { cat log; wrong "vhost-user-blk has something to say"; }
	[ ! -e disk.sock ] || wrong "the socket is left"
	server=
}

# --- every way to the data: what is read is what the file has, and the other way round

mib=1048576
dd if=/dev/urandom of=data bs=$mib count=8 2>/dev/null
dd if=/dev/urandom of=piece bs=4096 count=33 2>/dev/null

# all_ways FILE ARGUMENT...
all_ways()
{
	disk=$1
	shift
	cp data "$disk"
	cp data expected
	start --blk-file="$disk" "$@"
	says out '^capacity +8388608 bytes'
	says out '^access +read and write'
	says out '^write cache +yes'
	says out '^packed rings +yes'
	ctl 0 blk read unix:disk.sock --quiet
	cmp out expected || wrong "what is read ($*) is not what the file has"
	ctl 0 blk read unix:disk.sock --quiet --packed
	cmp out expected || wrong "what is read by packed rings ($*) is not what the file has"
	for ring in "" --packed; do
		at=$((512 * 1001))
		[ -z "$ring" ] || at=$((512 * 7007))
		# shellcheck disable=SC2086 # none or one
		timeout 60 "$vhostctl" blk write unix:disk.sock --quiet --offset $at $ring <piece 2>err ||
			{ cat err; wrong "writing ($* $ring) fails"; }
		dd if=piece of=expected bs=512 seek=$((at / 512)) conv=notrunc 2>/dev/null
		cmp "$disk" expected || wrong "what was written ($* $ring) is not in the file"
	done
	ctl 0 blk read unix:disk.sock --quiet --offset 512 --length 1K
	dd if=expected bs=512 skip=1 count=2 2>/dev/null | cmp - out || wrong "a part is not what the file has"
	ctl 1 blk read unix:disk.sock --quiet --offset 8M --length 512
	stop
}

all_ways disk.img
all_ways disk.img --poll-us=0
all_ways disk.img --num-queues=1 --poll-us=1000
if dd if=data of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null; then
	all_ways disk.img --direct
fi
# One that is in memory, and one that is not.
if [ -d /dev/shm ] && [ -w /dev/shm ]; then
	mem=$(mktemp -d /dev/shm/libvhost-test.XXXXXX)
	trap 'end_server; rm -rf "$scratch" "$mem"' EXIT
	all_ways "$mem/disk.img"
	rm -rf "$mem"
fi
if [ -d /var/tmp ] && [ -w /var/tmp ]; then
	var=$(mktemp -d /var/tmp/libvhost-test.XXXXXX)
	trap 'end_server; rm -rf "$scratch" "$var"' EXIT
	all_ways "$var/disk.img"
	rm -rf "$var"
fi
trap 'end_server; rm -rf "$scratch"' EXIT

# --- options

cp data disk.img
start --blk-file=disk.img --read-only --num-queues=3 --block-size=4096
says out '^access +read only'
says out '^queues +3$'
says out '^block size +4096 bytes'
ctl 1 blk write unix:disk.sock <piece
cmp disk.img data || wrong "a read-only disk was written to"
ctl 0 blk bench unix:disk.sock --queues 3 --runtime 0.2 --iodepth 8
ctl 1 blk bench unix:disk.sock --queues 4 --runtime 0.2
stop

# What is beyond the last whole block is not the disk's.
head -c 5000 data >odd.img
start --blk-file=odd.img
says out '^capacity +4608 bytes'
stop

# --- null

start --blk-file=null:1G
says out '^capacity +1073741824 bytes'
for rw in randread randwrite read write; do
	for ring in "" --packed; do
		# shellcheck disable=SC2086 # none or one
		ctl 0 blk bench unix:disk.sock --rw $rw --runtime 0.2 --iodepth 32 --queues 4 $ring
		says out '^  IOPS +[1-9]'
	done
done
ctl 0 blk bench unix:disk.sock --runtime 0.2 --bs 1M --busy-poll
stop

# --- load on a file

start --blk-file=disk.img
for rw in randread randwrite; do
	for depth in 1 64 1000; do
		ctl 0 blk bench unix:disk.sock --rw $rw --runtime 0.3 --iodepth $depth --queues 2
	done
done
ctl 0 blk bench unix:disk.sock --rw write --runtime 0.3 --bs 1M --iodepth 8 --packed
stop

# --- a file that changes its size

cp data disk.img
start --blk-file=disk.img
truncate -s 16M disk.img
kill -HUP "$server"
tries=0
until ctl 0 blk info unix:disk.sock && grep -q '^capacity  *16777216 bytes' out; do
	[ "$tries" -lt 50 ] || { wrong "the disk did not grow at SIGHUP"; break; }
	sleep 0.1
	tries=$((tries + 1))
done
# Unasked, while somebody uses it: who reads the end of what was cut off is told so.
"$vhostctl" blk bench unix:disk.sock --runtime 30 --offset 15M --length 1M >bench.out 2>bench.err &
bench=$!
sleep 0.5
truncate -s 8M disk.img
status=0
timeout 20 tail --pid="$bench" -f /dev/null || wrong "reading what is cut off does not fail"
kill -TERM "$bench" 2>/dev/null || :
wait "$bench" || status=$?
[ "$status" -eq 1 ] || wrong "exit status $status of reading what was cut off, not 1"
tries=0
until ctl 0 blk info unix:disk.sock && grep -q '^capacity  *8388608 bytes' out; do
	[ "$tries" -lt 50 ] || { wrong "the disk did not shrink"; break; }
	sleep 0.1
	tries=$((tries + 1))
done
stop

# --- ends that are not its own

start_bench()
{
	: >bench.err
	"$vhostctl" blk bench unix:disk.sock --runtime 60 --iodepth 32 --queues 2 --trace \
		>bench.out 2>bench.err &
	bench=$!
	tries=0
	until grep -q SET_VRING_KICK bench.err; do
		[ "$tries" -lt 200 ] || die "the load did not begin within 20 seconds"
		sleep 0.1
		tries=$((tries + 1))
	done
	sleep 0.2
}

cp data disk.img
start --blk-file=disk.img
# A front-end that goes, in order and not; the next is served.
for sig in TERM KILL; do
	start_bench
	kill -"$sig" "$bench"
	wait "$bench" 2>/dev/null || :
	ctl 0 blk read unix:disk.sock --quiet
	cmp out data || wrong "after SIG$sig to a front-end the disk reads otherwise"
done
# Under load, a signal ends it in order.
start_bench
kill -TERM "$server"
status=0
wait "$server" || status=$?
[ "$status" -eq 0 ] || { cat log; wrong "exit status $status at SIGTERM under load, not 0"; }
server=
wait "$bench" || :
# Killed, it is started anew on the socket that it left.
start --blk-file=disk.img
start_bench
end_server
wait "$bench" || :
start --blk-file=disk.img
ctl 0 blk read unix:disk.sock --quiet
cmp out data || wrong "after a kill the disk reads otherwise"
stop
finish
