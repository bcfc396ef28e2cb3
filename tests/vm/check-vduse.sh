#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# vhostctl on a vDPA disk that qemu-storage-daemon makes with VDUSE, compared with the
# file behind it; and what it does when the daemon dies. Run as root in the test guest.

# shellcheck source=tests/common.sh
. "${srcdir:-$(dirname "$0")/../..}/tests/common.sh"
# shellcheck source=tests/vm/vhostctl.sh
. "$srcdir/tests/vm/vhostctl.sh"
[ -e /dev/vduse/control ] || skip "kernel $VM_KERNEL has no VDUSE"
need qemu-storage-daemon

make_scratch
cd "$scratch"
name=lvh-vduse-ctl
dd if=/dev/urandom of=disk.img bs=512 count=18433 status=none
cp disk.img was.img
qemu-storage-daemon --blockdev driver=file,filename=disk.img,node-name=f \
	--export type=vduse-blk,id=e,node-name=f,name=$name,writable=on,num-queues=1 \
	>daemon.log 2>&1 </dev/null &
daemon=$!
end_daemon()
{
	[ -n "$daemon" ] || return 0
	kill -"$1" "$daemon" 2>/dev/null || :
	wait "$daemon" 2>/dev/null || :
	daemon=
}
trap 'vdpa dev del $name 2>/dev/null; end_daemon TERM; rm -rf "$scratch"' EXIT
tries=0
until vdpa dev add name $name mgmtdev vduse 2>add.log; do
	kill -0 "$daemon" 2>/dev/null || { cat daemon.log; die "the daemon ended"; }
	[ $((tries += 1)) -lt 100 ] || { cat add.log; die "no VDUSE disk within 10 seconds"; }
	sleep 0.1
done
node=$(node $name)

ctl 0 probe "$node"
says out '^device +block .type 2'
says out 'EVENT_IDX'
says out '^  capacity +18433 '
ctl 0 blk info vdpa:$name
says out '^capacity +9437696 bytes'
ctl 0 blk read "$node" --quiet
cmp out was.img || wrong "what is read is not what is in the file"
data_survives vdpa:$name
dd if=data of=was.img bs=512 seek=3 conv=notrunc status=none
cmp was.img disk.img || wrong "the file is not as it should be"
refuses "$node"
cmp was.img disk.img || wrong "what was refused changed the file"
measures vdpa:$name
permissions vdpa:$name "$node"
in_use "$node" vdpa:$name

# The daemon dies: how long the kernel waits for it is set here, 30 seconds otherwise.
echo 2 >/sys/class/vduse/$name/msg_timeout
"$vhostctl" blk bench vdpa:$name --runtime 3 --iodepth 8 --timeout 2 >out 2>err &
bench=$!
sleep 1.5
end_daemon KILL
tries=0
while kill -0 "$bench" 2>/dev/null; do
	[ $((tries += 1)) -lt 200 ] || {
		wrong "vhostctl hangs after the daemon died"
		kill -KILL "$bench"
	}
	sleep 0.1
done
status=0
wait "$bench" || status=$?
[ "$status" -eq 1 ] || wrong "exit status $status after the daemon died, not 1"
says err '^vhostctl: '
ctl 1 blk read "$node" --timeout 2
says err '^vhostctl: '
finish
