#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# demo.sh [BUILDDIR]: both sides of vhost-user, and proof of them. A disk that
# qemu-storage-daemon serves is read and written through libvhost; then libvhost serves
# it, to vhostctl and to a guest under QEMU, and is killed and started again while the
# guest writes. Everything is in a directory of its own, which goes at the end.
# ./quickstart demo builds what this needs, and runs it.

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
server=$build/tools/vhost-user-blk
srcdir=$top
# shellcheck source=tests/qemu/machine.sh
. "$top/tests/qemu/machine.sh"
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
# shellcheck disable=SC2317 # the trap calls it
cleanup()
{
	end_all
	[ -z "$work" ] || rm -rf "$work"
}
trap cleanup EXIT
trap 'echo; echo "Interrupted: not all of it held."; exit 1' HUP INT TERM

for tool in qemu-storage-daemon mke2fs debugfs sha256sum; do
	command -v "$tool" >/dev/null || give_up "$tool is not installed"
done
for program in "$vhostctl" "$server"; do
	[ -x "$program" ] || give_up "$program is not built"
done
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
(cd files && find . -type f -exec sha256sum {} + >../manifest && mv ../manifest .)
truncate -s 256M disk.img
mke2fs -q -t ext4 -d files -L libvhost-demo disk.img 192M 2>mke2fs.log || {
	indent <mke2fs.log
	give_up "mke2fs failed"
}
good "$(find files -type f | wc -l) files in an ext4 of 192 MiB, on a disk of 256 MiB"

# --- the one who serves it

title "qemu-storage-daemon serves it over vhost-user-blk"
# serve NAME COMMAND...: start what makes NAME.sock, and wait for that
serve()
{
	backend "$@"
	listening "$1" "$backend_pid" >listening.log || {
		indent <listening.log
		give_up "$2 does not serve $1.sock"
	}
}

serve disk qemu-storage-daemon \
	--blockdev driver=file,filename=disk.img,node-name=disk \
	--export type=vhost-user-blk,id=disk,node-name=disk,addr.type=unix,addr.path=disk.sock,writable=on,num-queues=2
daemon=$backend_pid
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

alive "$daemon"
verdict "the daemon is still there" $?
end TERM "$daemon"

# --- the other side: we serve it

title "vhost-user-blk, of libvhost, serves it now"
serve ours "$server" --socket-path="$work/ours.sock" --blk-file=disk.img --num-queues=2
ours=$backend_pid
"$vhostctl" blk info unix:ours.sock | indent
"$vhostctl" blk read unix:ours.sock --quiet | cmp -s - disk.img
verdict "vhostctl reads from it what is in the image" $?
"$vhostctl" blk bench unix:ours.sock --rw randread --iodepth 32 --runtime 2 >bench.txt
status=$?
indent <bench.txt
[ "$status" -ne 0 ] || grep -q 'IOPS  *[1-9]' bench.txt || status=1
verdict "random reads at depth 32" "$status"

title "A guest under QEMU has it as its disk"
if ! machine_image >image.out 2>&1; then
	printf '  not shown: %s\n' "$machine_why"
	conclude
fi
if ! { machine vm -machine memory-backend=ram \
	-chardev socket,id=disk,path=ours.sock,reconnect=1 \
	-device vhost-user-blk-pci,chardev=disk,num-queues=2 && up 60; } >machine.out 2>&1; then
	indent <machine.out
	give_up "the guest does not come up"
fi
guest 10 'uname -sr' >guest.log
verdict "$(cat guest.out) is up, with no other disk" $?
guest 60 'mount -t ext4 /dev/vda /mnt && cd /mnt && sha256sum -c manifest' >guest.log
verdict "the guest mounts the file system, and every file has its hash" $?

title "vhost-user-blk is killed, twice, while the guest writes"
# What is beyond the file system is written by eight threads; each reads again what it wrote.
guest 10 '(guest pattern /dev/vda 234881024 /tmp/stop >/tmp/out 2>&1; echo $? >/tmp/status) &' >guest.log
for _ in 1 2; do
	sleep 1
	kill -KILL "$ours"
	wait "$ours" 2>/dev/null
	ended "$ours"
	printf '  killed, and started again\n'
	serve ours "$server" --socket-path="$work/ours.sock" --blk-file=disk.img --num-queues=2
	ours=$backend_pid
	sleep 1.2
done
# shellcheck disable=SC2016 # for the guest's shell
guest 60 'touch /tmp/stop; until [ -e /tmp/status ]; do sleep 0.1; done; cat /tmp/out; exit $(cat /tmp/status)' >guest.log
verdict "nothing was lost or written twice: $(tail -n 1 guest.out)" $?
guest 30 'cd /mnt && cp random.bin copy.bin && sync && sha256sum copy.bin && cd / && umount /mnt' >guest.log
verdict "the guest writes a file, and unmounts" $?
of_copy=$(cut -d ' ' -f 1 guest.out)
down >guest.log
verdict "the guest goes, without a complaint of its kernel" $?
e2fsck -fn disk.img >fsck.log 2>&1
verdict "the file system in the image is in order" $?
[ "$(debugfs -R 'cat /copy.bin' disk.img 2>/dev/null | sha256sum | cut -d ' ' -f 1)" = "$of_copy" ]
verdict "and has the file that the guest wrote" $?
conclude
