#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# demo.sh [BUILDDIR]: read and write a disk that qemu-storage-daemon serves, through
# libvhost, and prove it. Everything is in a directory of its own, which goes at the
# end. ./quickstart demo builds what this needs, and runs it.

set -u
LC_ALL=C
export LC_ALL

case ${1-} in
-*)
	echo "usage: $0 [BUILDDIR]" >&2
	exit 2
	;;
esac
top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
build=$(cd "${1:-$top/build/main}" 2>/dev/null && pwd) || {
	echo "demo.sh: ${1:-$top/build/main} is no directory; ./quickstart demo builds it" >&2
	exit 1
}
vhostctl=$build/tools/vhostctl
PATH=$PATH:/usr/sbin:/sbin	# mke2fs and its kind
export PATH

if [ -t 1 ] && [ -z "${NO_COLOR-}" ] && [ "${TERM:-dumb}" != dumb ]; then
	bold=$(printf '\033[1m') green=$(printf '\033[32m')
	red=$(printf '\033[31m') plain=$(printf '\033[0m')
else
	bold='' green='' red='' plain=''
fi

wrong=0

title()
{
	printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}

good()
{
	printf '  %sok%s    %s\n' "$green" "$plain" "$*"
}

bad()
{
	printf '  %sWRONG%s %s\n' "$red" "$plain" "$*"
	wrong=$((wrong + 1))
}

# verdict WHAT STATUS
verdict()
{
	if [ "$2" -eq 0 ]; then good "$1"; else bad "$1"; fi
}

conclude()
{
	printf '\n'
	if [ "$wrong" -eq 0 ]; then
		printf '%s%sAll of it held.%s\n' "$bold" "$green" "$plain"
		exit 0
	fi
	printf '%s%sNot all of it held: %d wrong.%s\n' "$bold" "$red" "$wrong" "$plain"
	exit 1
}

give_up()
{
	bad "$*"
	conclude
}

# --- what we start and make, and its end

work=
daemon=
# shellcheck disable=SC2317 # the trap calls it
cleanup()
{
	if [ -n "$daemon" ]; then
		kill "$daemon" 2>/dev/null
		n=0
		while kill -0 "$daemon" 2>/dev/null && [ "$n" -lt 50 ]; do
			sleep 0.1
			n=$((n + 1))
		done
		[ "$n" -lt 50 ] || kill -9 "$daemon" 2>/dev/null
		wait "$daemon" 2>/dev/null
	fi
	[ -z "$work" ] || rm -rf "$work"
}
trap cleanup EXIT
trap 'echo; echo "Interrupted: not all of it held."; exit 1' HUP INT TERM

for tool in qemu-storage-daemon mke2fs debugfs sha256sum; do
	command -v "$tool" >/dev/null || give_up "$tool is not installed"
done
[ -x "$vhostctl" ] || give_up "$vhostctl is not built"
work=$(mktemp -d "${TMPDIR:-/tmp}/libvhost-demo.XXXXXX") || give_up "no directory to work in"
cd "$work" || exit 1

indent()
{
	sed 's/^/  /'
}

# part FILE OFFSET LENGTH: in KiB, to the standard output
part()
{
	dd if="$1" bs=1024 skip="$2" count="$3" status=none
}

# --- the disk: 256 MiB, of which a file system has 192

title "A disk image with a file system and files on it"
mkdir files files/source
cp "$top/README.md" "$top/LICENSE" files
cp "$top"/lib/*.c "$top"/include/vhost/*.h files/source
head -c 33554432 /dev/urandom >files/random.bin
truncate -s 256M disk.img
mke2fs -q -t ext4 -d files -L libvhost-demo disk.img 192M 2>mke2fs.log || {
	indent <mke2fs.log
	give_up "mke2fs failed"
}
good "$(find files -type f | wc -l) files in an ext4 of 192 MiB, on a disk of 256 MiB"

# --- the one who serves it

title "qemu-storage-daemon serves it over vhost-user-blk"
qemu-storage-daemon \
	--blockdev driver=file,filename=disk.img,node-name=disk \
	--export type=vhost-user-blk,id=disk,node-name=disk,addr.type=unix,addr.path=disk.sock,writable=on,num-queues=2 \
	>daemon.log 2>&1 </dev/null &
daemon=$!
n=0
while [ ! -S disk.sock ]; do
	kill -0 "$daemon" 2>/dev/null || { indent <daemon.log; daemon=; give_up "the daemon ended"; }
	[ "$n" -lt 100 ] || give_up "no socket after 10 seconds"
	sleep 0.1
	n=$((n + 1))
done
good "$(qemu-storage-daemon --version | head -n 1)"

# --- what it offers

title "vhostctl probe unix:disk.sock"
"$vhostctl" probe unix:disk.sock >probe.txt
status=$?
# The limits, some thirty, are left out.
sed '/^limits/,$d' probe.txt | indent
[ "$status" -ne 0 ] || grep -q '^device  *block' probe.txt || status=1
verdict "it is a disk" "$status"

# --- all of it, read

title "vhostctl blk read unix:disk.sock"
"$vhostctl" blk read unix:disk.sock >copy.img
verdict "the whole disk was read" $?
of_image=$(sha256sum <disk.img)
of_copy=$(sha256sum <copy.img)
of_image=${of_image%% *}
of_copy=${of_copy%% *}
printf '  SHA-256 of the image     %s\n  SHA-256 of what was read %s\n' "$of_image" "$of_copy"
[ "$of_image" = "$of_copy" ]
verdict "they are the same" $?
debugfs -R 'cat /README.md' copy.img 2>/dev/null | cmp -s - files/README.md &&
	debugfs -R 'cat /random.bin' copy.img 2>/dev/null | cmp -s - files/random.bin
verdict "the files in it are whole" $?

# --- a part of it, written, beyond the file system

title "vhostctl blk write unix:disk.sock --offset 224M"
head -c 8388608 /dev/urandom >region.bin
"$vhostctl" blk write unix:disk.sock --offset 224M <region.bin
verdict "8 MiB were written, and flushed" $?
part disk.img 229376 8192 | cmp -s - region.bin
verdict "they are in the image, looked at from outside" $?
{
	part copy.img 0 229376
	cat region.bin
	part copy.img 237568 24576
} | cmp -s - disk.img
verdict "and nothing else in it changed" $?

# --- how fast

for depth in 1 32; do
	title "vhostctl blk bench unix:disk.sock --rw randread --iodepth $depth"
	"$vhostctl" blk bench unix:disk.sock --rw randread --iodepth "$depth" --runtime 2 >bench.txt
	status=$?
	indent <bench.txt
	[ "$status" -ne 0 ] || grep -q 'IOPS  *[1-9]' bench.txt || status=1
	verdict "random reads at depth $depth" "$status"
done

kill -0 "$daemon" 2>/dev/null
verdict "the daemon is still there" $?
conclude
