#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# vhostctl against qemu-storage-daemon: what it shows, reads, writes and refuses, its
# exit codes, and that it stops the device however it ends.

# shellcheck source=tests/common.sh
. "${srcdir:-$(dirname "$0")/..}/tests/common.sh"

vhostctl=$builddir/tools/vhostctl
[ -x "$vhostctl" ] || skip "vhostctl was not built"
need timeout cmp dd sed

daemon=
end_daemon()
{
	[ -n "$daemon" ] || return 0
	kill -CONT "$daemon" 2>/dev/null || :
	kill -KILL "$daemon" 2>/dev/null || :
	wait "$daemon" 2>/dev/null || :
	daemon=
}

make_scratch
trap 'end_daemon; rm -rf "$scratch"' EXIT
cd "$scratch"

# ctl STATUS ARGUMENT...: run it; what it says is in out and err.
ctl()
{
	want=$1
	shift
	status=0
	timeout 60 "$vhostctl" "$@" >out 2>err </dev/null || status=$?
	if [ "$status" -ne "$want" ]; then
		cat err
		wrong "vhostctl $*: exit status $status, not $want"
	fi
}

# says FILE PATTERN
says()
{
	grep -Eq -e "$2" "$1" && return
	cat "$1"
	wrong "\"$2\" is not in $1"
}

# --- without a device

ctl 0 --help
says out '^usage: vhostctl probe'
ctl 0 --version
says out '^vhostctl [0-9.]+ \(libvhost [0-9.]+\)$'
ctl 2
ctl 2 frobnicate unix:x
ctl 2 blk
ctl 2 blk frob unix:x
ctl 2 probe
says err 'address'
ctl 2 probe unix:a unix:b
ctl 2 probe unix:a --rw read
says err 'does not take --rw'
ctl 2 blk bench unix:a --iodepth 0
ctl 2 blk bench unix:a --rw sideways
ctl 2 blk bench unix:a --runtime -1
ctl 2 blk bench unix:a --runtime nan
ctl 2 blk read unix:a --offset 1X
ctl 2 blk read unix:a --offset -1
ctl 2 blk read unix:a --offset 99999999999T
ctl 2 probe unix:a --device-type teapot
ctl 1 probe unix:nowhere.sock
says err '^vhostctl: .*nowhere.sock'
ctl 1 probe nonsense:
[ -s err ] || wrong "a bad address gets no sentence"

json=yes
ctl 1 probe unix:nowhere.sock --json 2>/dev/null || :
if [ "$status" -eq 2 ]; then
	says err 'json-c'
	json=no
	failures=$((failures - 1))
fi

# --- bash completion

if command -v bash >/dev/null && [ -e "$srcdir/completions/vhostctl" ]; then
	bash -c '
		compopt() { :; }
		. "$1"
		COMP_WORDS=(vhostctl blk bench unix:x --rw rand) COMP_CWORD=5
		COMP_LINE="${COMP_WORDS[*]}" COMP_POINT=${#COMP_LINE}
		_vhostctl
		echo "${COMPREPLY[*]}"
		COMP_WORDS=(vhostctl blk re) COMP_CWORD=2
		COMP_LINE="${COMP_WORDS[*]}" COMP_POINT=${#COMP_LINE}
		_vhostctl
		echo "${COMPREPLY[*]}"
		COMP_WORDS=(vhostctl probe --js) COMP_CWORD=2
		COMP_LINE="${COMP_WORDS[*]}" COMP_POINT=${#COMP_LINE}
		_vhostctl
		echo "${COMPREPLY[*]}"
		: >disk.sock
		COMP_WORDS=(vhostctl probe unix : di) COMP_CWORD=4
		COMP_LINE="vhostctl probe unix:di" COMP_POINT=${#COMP_LINE}
		_vhostctl
		echo "${COMPREPLY[*]}"
		rm disk.sock
	' bash "$srcdir/completions/vhostctl" >out 2>err || wrong "bash completion fails: $(cat err)"
	says out '^randread randwrite$'
	says out '^read$'
	says out '^--json$'
	says out '^disk.sock$'
fi

if ! command -v qemu-storage-daemon >/dev/null; then
	[ "$failures" -eq 0 ] || finish
	skip "qemu-storage-daemon is not installed"
fi

# --- a disk

start_daemon()
{
	rm -f disk.sock null.sock ro.sock big.sock
	qemu-storage-daemon \
		--blockdev driver=file,filename=disk.img,node-name=disk \
		--blockdev driver=null-co,node-name=null,size=1073741824,read-zeroes=on \
		--blockdev driver=null-co,node-name=slow,size=1073741824,read-zeroes=on,latency-ns=50000000 \
		--blockdev driver=file,filename=ro.img,node-name=ro,read-only=on \
		--export type=vhost-user-blk,id=disk,node-name=disk,addr.type=unix,addr.path=disk.sock,writable=on \
		--export type=vhost-user-blk,id=null,node-name=null,addr.type=unix,addr.path=null.sock,writable=on,num-queues=4 \
		--export type=vhost-user-blk,id=ro,node-name=ro,addr.type=unix,addr.path=ro.sock \
		--export type=vhost-user-blk,id=big,node-name=slow,addr.type=unix,addr.path=big.sock,writable=on,logical-block-size=4096 \
		>daemon.log 2>&1 </dev/null &
	daemon=$!
	tries=0
	while [ ! -S big.sock ]; do
		kill -0 "$daemon" 2>/dev/null || { cat daemon.log; die "the daemon ended"; }
		[ "$tries" -lt 100 ] || die "the daemon made no socket within 10 seconds"
		sleep 0.1
		tries=$((tries + 1))
	done
}

# 9 MiB and a sector: no multiple of the size of a request
dd if=/dev/urandom of=disk.img bs=512 count=18433 status=none
cp disk.img ro.img
cp disk.img was.img
start_daemon

ctl 0 probe unix:disk.sock
says out '^device +block .type 2'
says out 'features .*SIZE_MAX'
says out '^  capacity +18433 '
says out 'MAX_QUEUES'
ctl 0 probe disk.sock --device-type blk
says out 'as given'
ctl 0 probe unix:disk.sock --trace
says err 'GET_FEATURES'
if grep -E '> +(SET_FEATURES|SET_VRING|ADD_MEM_REG|SET_MEM_TABLE|SET_STATUS|SET_CONFIG)' err; then
	wrong "probe sets something"
fi
ctl 0 blk info unix:disk.sock
says out '^capacity +9437696 bytes'
says out '^access +read and write'
ctl 0 blk info unix:big.sock
says out '^block size +4096 bytes'
ctl 0 blk info unix:ro.sock
says out 'read only'

if [ "$json" = yes ] && command -v python3 >/dev/null; then
	ctl 0 probe unix:null.sock --json
	python3 -c 'import json; d = json.load(open("out"))
assert d["device"]["name"] == "block" and d["queues"] == 4, d
assert "VERSION_1" in d["features"] and d["config"]["fields"]["capacity"] == 2097152, d
assert d["limits"]["MAX_QUEUES"] == 4, d' || wrong "probe --json is not as it should be"
	ctl 0 blk info unix:null.sock --json
	python3 -c 'import json; d = json.load(open("out"))
assert d["capacity"] == 1 << 30 and d["queues"] == 4, d' || wrong "info --json is not as it should be"
fi

# --- reading

ctl 0 blk read unix:disk.sock
cmp out was.img || wrong "what was read differs"
says err '^read 9.0 MiB in '
ctl 0 blk read unix:disk.sock --offset 1536 --length 1M --quiet
dd if=was.img bs=512 skip=3 count=2048 status=none | cmp - out || wrong "a part that was read differs"
[ ! -s err ] || wrong "--quiet is not quiet"
ctl 0 blk read unix:disk.sock --length 0
[ ! -s out ] || wrong "nothing was asked for, and something came"
ctl 0 blk read unix:big.sock --offset 4K --length 12K
[ "$(wc -c <out)" -eq 12288 ] || wrong "not 12 KiB"
ctl 1 blk read unix:disk.sock --offset 100
says err 'block size'
ctl 1 blk read unix:big.sock --length 512
says err 'block size'
ctl 1 blk read unix:disk.sock --offset 9M --length 1M
says err "beyond the disk's end"
ctl 1 blk read unix:disk.sock --offset 1G
ctl 1 blk read unix:disk.sock --packed
says err 'packed'
status=0
{
	timeout 60 "$vhostctl" blk read unix:disk.sock 2>err || echo $? >status
} | head -c 1 >/dev/null
[ "$(cat status)" = 1 ] || wrong "a reader that goes away is not seen"
says err 'standard output'

# --- writing

# write STATUS INPUT ARGUMENT...
write()
{
	want=$1
	input=$2
	shift 2
	status=0
	timeout 60 "$vhostctl" blk write "$@" >out 2>err <"$input" || status=$?
	if [ "$status" -ne "$want" ]; then
		cat err
		wrong "vhostctl blk write $*: exit status $status, not $want"
	fi
}

# expect INPUT SECTOR: the image is as it was but for INPUT there, and from now on so.
expect()
{
	dd if="$1" of=was.img bs=512 seek="$2" conv=notrunc status=none
	cmp was.img disk.img || wrong "the image is not as it should be"
}

dd if=/dev/urandom of=in bs=512 count=5003 status=none
write 0 in unix:disk.sock --offset 4608
expect in 9
dd if=in of=part bs=1024 count=2 status=none
write 0 in unix:disk.sock --offset 8M --length 2K
expect part 16384
write 0 /dev/null unix:disk.sock
printf 'too short' >odd
write 1 odd unix:disk.sock
says err 'block size'
write 1 part unix:disk.sock --length 4K
says err 'ended after 2048'
write 1 in unix:disk.sock --offset 8M --length 9M
cmp -s was.img disk.img || wrong "a write that was refused changed the disk"
write 1 in unix:disk.sock --offset 9M
says err 'larger than the disk'
write 1 in unix:ro.sock
says err 'read only'
cmp ro.img was.img >/dev/null 2>&1 && wrong "the copies are the same, and cannot be"

# --- measuring

for rw in randread randwrite read write; do
	ctl 0 blk bench unix:null.sock --rw $rw --runtime 0.2 --iodepth 32 --queues 4
	says out "^$rw, requests of 4.0 KiB, depth 32, 4 queues"
	says out '^  IOPS +[1-9]'
	says out 'min .* p50 .* p90 .* p99 .* p99.9 .* max '
	says out 'CPU time +[0-9.]+ us'
done
ctl 0 blk bench unix:null.sock --runtime 0.2 --bs 1M --iodepth 4 --busy-poll
ctl 0 blk bench unix:null.sock --runtime 0.2 --iodepth 1024 --bs 512
ctl 1 blk bench unix:null.sock --queues 5
says err 'the disk has 4'
ctl 1 blk bench unix:null.sock --bs 100
ctl 1 blk bench unix:disk.sock --bs 16M
ctl 1 blk bench unix:ro.sock --rw write
ctl 0 blk bench unix:big.sock --runtime 0.3
says out 'p50 5[0-9]\.[0-9]+ ms'
if [ "$json" = yes ] && command -v python3 >/dev/null; then
	ctl 0 blk bench unix:null.sock --runtime 0.3 --iodepth 8 --json
	python3 -c 'import json; d = json.load(open("out"))
l = d["latency_ns"]
assert l["min"] <= l["p50"] <= l["p90"] <= l["p99"] <= l["p99.9"] <= l["max"], d
assert 0 < l["min"] <= l["mean"] <= l["max"] and d["requests"] > 0 and d["iops"] > 0, d
assert abs(d["iops"] * d["runtime_ns"] / 1e9 - d["requests"]) < 1, d' ||
		wrong "bench --json is not as it should be"
fi

# --- ends that are not its own

# A signal: the device is stopped, and serves the next one.
for sig in INT TERM; do
	"$vhostctl" blk bench unix:null.sock --runtime 30 --iodepth 8 >out 2>err &
	bench=$!
	sleep 0.7
	kill -"$sig" "$bench"
	status=0
	wait "$bench" || status=$?
	[ "$status" -eq 1 ] || wrong "exit status $status after SIG$sig, not 1"
	says err 'interrupted'
	ctl 0 blk bench unix:null.sock --runtime 0.1
done

# A device that does not answer
kill -STOP "$daemon"
ctl 1 probe unix:disk.sock --timeout 0.5
[ -s err ] || wrong "no sentence about a device that does not answer"
kill -CONT "$daemon"

# One that goes away in the middle
"$vhostctl" blk bench unix:null.sock --runtime 30 --iodepth 8 >out 2>err &
bench=$!
sleep 0.7
end_daemon
status=0
wait "$bench" || status=$?
[ "$status" -eq 1 ] || wrong "exit status $status after the device went away, not 1"
says err '^vhostctl: '

# The program of the README
if [ -x "$builddir/examples/blk-read" ]; then
	start_daemon
	timeout 20 "$builddir/examples/blk-read" unix:disk.sock 16384 >out 2>err ||
		wrong "examples/blk-read fails: $(cat err)"
	dd if=was.img bs=512 skip=16384 count=1 status=none | cmp - out || wrong "examples/blk-read reads something else"
fi
finish
