# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
# shellcheck shell=sh
#
# Read, after tests/common.sh, by the scripts that run vhostctl on vDPA disks in the
# guest: running it, and what is the same on all of these.

vhostctl=${builddir:?}/tools/vhostctl
[ -x "$vhostctl" ] || skip "vhostctl was not built"
# What libtool puts in its place is a script, and slow in an emulated machine.
if [ -x "$builddir/tools/.libs/vhostctl" ]; then
	vhostctl=$builddir/tools/.libs/vhostctl
	LD_LIBRARY_PATH=${libs:?}
	export LD_LIBRARY_PATH
fi
[ -n "${VM_KERNEL-}" ] || skip "runs as root in the test guest (make check-vm)"
[ -d /sys/bus/vdpa/drivers/vhost_vdpa ] ||
	skip "kernel $VM_KERNEL has no /sys/bus/vdpa/drivers/vhost_vdpa"
need vdpa cmp dd setpriv timeout

# ctl STATUS ARGUMENT...: run it; what it says is in out and err.
ctl()
{
	want=$1
	shift
	status=0
	timeout 60 "$vhostctl" "$@" >out 2>err </dev/null || status=$?
	[ "$status" -eq "$want" ] || {
		cat err
		wrong "vhostctl $*: exit status $status, not $want"
	}
}

# write STATUS INPUT ARGUMENT...
write()
{
	want=$1
	input=$2
	shift 2
	status=0
	timeout 60 "$vhostctl" blk write "$@" >out 2>err <"$input" || status=$?
	[ "$status" -eq "$want" ] || {
		cat err
		wrong "vhostctl blk write $*: exit status $status, not $want"
	}
}

# says FILE PATTERN
says()
{
	grep -Eq -e "$2" "$1" && return
	cat "$1"
	wrong "\"$2\" is not in $1"
}

# node NAME: the device node of a vDPA device
node()
{
	set -- /sys/bus/vdpa/devices/"$1"/vhost-vdpa-*
	[ -d "$1" ] || die "no device node"
	echo "/dev/${1##*/}"
}

# Sectors of random data, 5 MiB and one
make_data()
{
	[ -e data ] || dd if=/dev/urandom of=data bs=512 count=10241 status=none
}

# data_survives ADDRESS: written, read back, and the parts of it
data_survives()
{
	make_data
	write 0 data "$1" --offset 1536 --quiet
	ctl 0 blk read "$1" --offset 1536 --length 5243392
	cmp out data || wrong "$1: what was read is not what was written"
	says err '^read 5.0 MiB in '
	ctl 0 blk read "$1" --offset 2560 --length 64K --quiet
	dd if=data bs=512 skip=2 count=128 status=none | cmp - out || wrong "$1: a part differs"
	[ ! -s err ] || wrong "--quiet is not quiet"
	dd if=/dev/zero of=hole bs=512 count=9 status=none
	write 0 hole "$1" --offset 1M
	dd if=hole of=data bs=512 seek=2045 conv=notrunc status=none
	ctl 0 blk read "$1" --offset 1536 --length 5243392 --quiet
	cmp out data || wrong "$1: a part was written, and the whole is not as it should be"
}

# refuses ADDRESS: what cannot be done, with a sentence about it; nothing is changed
refuses()
{
	ctl 1 blk read "$1" --offset 100
	says err 'block size'
	ctl 1 blk read "$1" --offset 1T --length 512
	says err "beyond the disk's end"
	printf 'too short' >odd
	write 1 odd "$1"
	says err 'block size'
	ctl 1 blk bench "$1" --queues 2
	says err 'the disk has 1'
}

# measures ADDRESS
measures()
{
	for rw in randread write; do
		ctl 0 blk bench "$1" --rw $rw --runtime 0.3 --iodepth 16
		says out "^$rw, requests of 4.0 KiB, depth 16, 1 queue"
		says out '^  IOPS +[1-9]'
		says out 'min .* p50 .* max '
	done
	ctl 0 blk bench "$1" --runtime 0.3 --bs 64K --iodepth 4 --busy-poll
}

# permissions ADDRESS NODE: another user is told what is missing
permissions()
{
	for addr in "$1" "$2"; do
		status=0
		setpriv --reuid 65534 --regid 65534 --clear-groups \
			"$vhostctl" blk info "$addr" >out 2>err || status=$?
		[ "$status" -eq 1 ] || wrong "$addr as another user: exit status $status, not 1"
		says err '^vhostctl: .*([Pp]ermission|may not)'
		says err "$2"
	done
}

# in_use ADDRESS NODE: a second user is told so; the first goes on, and ends well
in_use()
{
	"$vhostctl" blk bench "$1" --runtime 3 --iodepth 4 >bench.out 2>bench.err &
	bench=$!
	tries=0
	until find "/proc/$bench/fd" -lname '/dev/vhost-vdpa-*' | grep -q .; do
		[ $((tries += 1)) -lt 50 ] || die "vhostctl blk bench does not open $1"
		sleep 0.1
	done
	ctl 1 blk info "$2"
	says err '^vhostctl: .*in use'
	status=0
	wait "$bench" || status=$?
	[ "$status" -eq 0 ] || {
		cat bench.err
		wrong "the first user of $1 ended with $status"
	}
	ctl 0 blk info "$1"
}
