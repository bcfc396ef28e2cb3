#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# usage: backend-peers.sh [BUILD_DIR]
#
# Our back-ends against those of others, in one run, taking turns, so that the ratios
# mean something: disks driven by vhostctl blk bench, network cards by testpmd's
# virtio_user. Ratios above 1 are ours to be proud of. What is not installed is left out.
#
# BENCH_SECONDS is how long each measurement takes (2), BENCH_ROUNDS how often each is
# made (3); the median counts.
set -eu

build=$(cd "${1:-.}" && pwd)
: "${BENCH_SECONDS:=2}"
: "${BENCH_ROUNDS:=3}"
LC_ALL=C
export LC_ALL

[ -x "$build/tools/vhost-user-blk" ] || {
	echo "backend-peers.sh: no tools/vhost-user-blk in $build: run make first" >&2
	exit 1
}
tmp=/dev/shm
[ -w $tmp ] || tmp=${TMPDIR:-/tmp}
dir=$(mktemp -d "$tmp"/libvhost-bench.XXXXXX)
pid=
front=
finish()
{
	for p in $pid $front; do
		kill -KILL "$p" 2>/dev/null || :
	done
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM
cd "$dir"
RUNTIME_DIRECTORY=$dir	# for testpmd, which leaves files
export RUNTIME_DIRECTORY

# serve COMMAND...: start what makes the socket
serve()
{
	rm -f sock
	"$@" >serve.log 2>&1 </dev/null &
	pid=$!
	n=0
	until [ -S sock ]; do
		if [ $((n += 1)) -gt 100 ] || [ ! -e "/proc/$pid/exe" ]; then
			cat serve.log >&2
			echo "backend-peers.sh: $1 does not start" >&2
			exit 1
		fi
		sleep 0.1
	done
}

unserve()
{
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null || :
	pid=
}

# median FILE
median()
{
	sort -n "$1" | awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : 0 }'
}

# compare TITLE KEY: of the files KEY.NAME, which have a figure for each round
compare()
{
	ours=$(median "$2.ours")
	for file in "$2".*; do
		name=${file#"$2."}
		[ "$name" = ours ] || printf '%-34s %-24s %10d %10d  ratio %.2f\n' "$1" "$name" "$ours" \
			"$(median "$file")" "$(echo "$ours $(median "$file")" | awk '{ print $2 ? $1 / $2 : 0 }')"
	done
}

# --- disks

# disk SERVER KIND: start one
disk()
{
	what=driver=null-co,size=1073741824,read-zeroes=off
	[ "$2" = null ] || what=driver=file,filename=disk,aio=threads
	export=type=vhost-user-blk,id=e,node-name=n,addr.type=unix,addr.path=sock,writable=on
	case $1 in
	ours)
		what=disk
		[ "$2" != null ] || what=null:1G
		serve "$build/tools/vhost-user-blk" --socket-path=sock --blk-file=$what --num-queues=1
		;;
	qsd)
		serve qemu-storage-daemon --blockdev $what,node-name=n --export $export
		;;
	qsd-iothread)
		serve qemu-storage-daemon --object iothread,id=t \
			--blockdev "$(echo $what | sed s/aio=threads/aio=io_uring/)",node-name=n \
			--export $export,iothread=t
		;;
	esac
}

disks()
{
	dd if=/dev/zero of=disk bs=1M count=256 status=none
	servers=ours
	if command -v qemu-storage-daemon >/dev/null; then
		servers='ours qsd qsd-iothread'
	else
		echo "(qemu-storage-daemon is not installed)"
	fi
	for kind in null tmpfs; do
		for _ in $(seq "$BENCH_ROUNDS"); do
			for server in $servers; do
				disk "$server" $kind
				for depth in 1 32; do
					"$build/tools/vhostctl" blk bench unix:sock --rw randread --bs 4096 \
						--iodepth $depth --runtime "$BENCH_SECONDS" >out
					awk '$1 == "IOPS" { print int($2) }' out >>"$kind-$depth.$server"
				done
				unserve
			done
		done
		for depth in 1 32; do
			compare "IOPS, $kind, depth $depth" "$kind-$depth"
		done
	done
}

# --- network cards

# card SERVER: start one, on the second processor. testpmd polls without end; alone on a
# processor ours would not poll at all unless it is told to.
card()
{
	case $1 in
	ours)
		serve taskset -c 1 "$build/tools/vhost-user-net" --socket-path=sock --loopback \
			--poll-us=1000
		;;
	testpmd)
		serve dpdk-testpmd --lcores=0@1,1@1 --no-huge -m 256 --no-pci --no-telemetry \
			--file-prefix=back --vdev net_vhost0,iface=sock,queues=1 -- \
			--forward-mode=macswap --total-num-mbufs=4096 --no-mlockall --stats-period=1000
		;;
	esac
}

# frames OPTIONS: frames a second that come back, as testpmd counts them
frames()
{
	stdbuf -oL dpdk-testpmd --lcores=0@0,1@0 --no-huge -m 256 --no-pci --no-telemetry \
		--file-prefix=front --vdev "net_virtio_user0,path=sock,queue_size=256,$1" -- \
		--forward-mode=io --tx-first --burst=32 --total-num-mbufs=4096 --no-mlockall \
		--no-lsc-interrupt --port-topology=loop --stats-period=1 >front.log 2>&1 </dev/null &
	front=$!
	n=0
	until [ "$(grep -c Rx-pps front.log)" -ge $((BENCH_SECONDS + 3)) ]; do
		if [ $((n += 1)) -gt 200 ] || [ ! -e "/proc/$front/exe" ]; then
			tail -n 20 front.log >&2
			echo "backend-peers.sh: testpmd ended, or does not say how many frames" >&2
			exit 1
		fi
		sleep 0.2
	done
	kill -KILL "$front"
	wait "$front" 2>/dev/null || :
	front=
	# The first periods are those of the start.
	awk '/Rx-pps/ && ++n > 2 { print $2 }' front.log >pps
	median pps
}

cards()
{
	for tool in dpdk-testpmd taskset stdbuf; do
		command -v $tool >/dev/null || {
			echo "($tool is not installed)"
			return
		}
	done
	[ "$(nproc)" -ge 2 ] || {
		echo "(network cards need two processors)"
		return
	}
	for ring in split packed; do
		options=mrg_rxbuf=1,in_order=0
		[ $ring = split ] || options=packed_vq=1,$options
		for _ in $(seq "$BENCH_ROUNDS"); do
			for server in ours testpmd; do
				card $server
				frames $options >>$ring.$server
				unserve
			done
		done
		compare "frames/s, $ring" $ring
	done
}

printf '%-34s %-24s %10s %10s\n' '' 'against' ours theirs
disks
cards
