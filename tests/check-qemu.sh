#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# Our three back-ends under a real front-end: a QEMU machine with a disk, a network card
# and a source of entropy, and the drivers of Debian's kernel in it. What was on the disk
# is there, what is written is there afterwards, frames come back; also with packed
# rings, memory plugged in, the disk grown, the back-ends killed under load, and the
# machine moved to another QEMU.
#
# usage: check-qemu.sh [split|packed|bare]...
#
# Counts its cases as a program of libcheck would.
#
# shellcheck disable=SC2317 # try calls them
# shellcheck disable=SC2016 # what is quoted is for the guest's shell

# shellcheck source=tests/common.sh
. "${srcdir:-$(dirname "$0")/..}/tests/common.sh"
# shellcheck source=tests/qemu/machine.sh
. "$srcdir/tests/qemu/machine.sh"

PATH=$PATH:/usr/sbin:/sbin	# mke2fs and its kind
for program in blk net rng; do
	[ -x "$builddir/tools/vhost-user-$program" ] || skip "vhost-user-$program was not built"
done
[ -z "$SANITIZE" ] || skip "the back-ends are built with $SANITIZE, which is too slow here"
need cpio mke2fs e2fsck debugfs sha256sum
make_scratch
trap 'end_all; rm -rf "$scratch"' EXIT
cd "$scratch"
machine_image || skip "$machine_why"
set +e	# a case that fails is counted

machines=$*
checks=0
bad=0

# try NAME COMMAND...: a case
try()
{
	case_name=$1
	shift
	checks=$((checks + 1))
	began=$(date +%s)
	if "$@" >case.log 2>&1; then
		echo "ok    $case_name ($(($(date +%s) - began)) s)"
		sed 's/^/        /' case.log
		return 0
	fi
	bad=$((bad + 1))
	echo "FAIL  $case_name ($(($(date +%s) - began)) s)"
	sed 's/^/        /' case.log
	for log in blk.log net.log rng.log "$machine.log" "$machine.console"; do
		[ ! -s "$log" ] || tail -n 8 "$log" | sed "s/^/        $log: /"
	done
	return 1
}

conclude()
{
	echo "$(((checks - bad) * 100 / checks))%: Checks: $checks, Failures: $bad, Errors: 0"
	[ "$bad" -eq 0 ] || exit 1
	exit 0
}

# --- the disk: a file system, and blocks beyond it that programs write to

raw_offset=$((48 << 20))

make_disk()
{
	rm -rf files disk.img
	mkdir files files/source
	cp "$srcdir/README.md" "$srcdir/LICENSE" files
	cp "$srcdir"/lib/*.c "$srcdir"/include/vhost/*.h files/source
	head -c 6000000 /dev/urandom >files/random.bin
	(cd files && find . -type f -exec sha256sum {} + >../manifest)
	cp manifest files/manifest
	truncate -s 64M disk.img
	mke2fs -q -t ext4 -d files disk.img 48M
}

# --- the back-ends; those of the machine that another moves to have a side of their own

side=

start_blk()
{
	backend "blk$side" "$builddir/tools/vhost-user-blk" --socket-path="$PWD/blk$side.sock" \
		--blk-file=disk.img --num-queues=2
	blk_pid=$backend_pid
}

start_net()
{
	backend "net$side" "$builddir/tools/vhost-user-net" --socket-path="$PWD/net$side.sock" \
		--loopback --queue-pairs=2
	net_pid=$backend_pid
}

start_rng()
{
	backend rng "$builddir/tools/vhost-user-rng" --socket-path="$PWD/rng.sock"
	rng_pid=$backend_pid
}

# killed_now PID: without a word
killed_now()
{
	kill -KILL "$1"
	wait "$1" 2>/dev/null
	ended "$1"
}

# end_in_order PID...: each must exit with 0 at SIGTERM, and remove its socket.
end_in_order()
{
	status=0
	for pid; do
		kill -TERM "$pid"
		tries=0
		while alive "$pid" && [ $((tries += 1)) -lt 50 ]; do
			sleep 0.1
		done
		[ "$tries" -lt 50 ] || kill -KILL "$pid"
		ended_with=0
		wait "$pid" || ended_with=$?
		ended "$pid"
		[ "$ended_with" -eq 0 ] || {
			echo "a back-end ended with $ended_with at SIGTERM"
			status=1
		}
	done
	return "$status"
}

backends_end()
{
	# shellcheck disable=SC2086 # a list, and one that may be none
	end_in_order $blk_pid $net_pid $rng_pid || return
	for sock in *.sock; do
		[ ! -e "$sock" ] || {
			echo "$sock was left behind"
			return 1
		}
	done
}

# launch NAME BLK NET RNG [OPTION]...: a machine with these options of its devices; RNG
# may be none. Without KVM QEMU 7.2 crashes with a vhost-user card that has MSI-X, so
# that has no vectors.
launch()
{
	name=$1
	blk=$2
	net=$3
	rng=$4
	shift 4
	if [ "$rng" != none ]; then
		set -- "$@" -chardev socket,id=rng,path=rng.sock \
			-device "vhost-user-rng-pci,id=rng0,addr=6,chardev=rng$rng"
	fi
	machine "$name" -machine memory-backend=ram \
		-chardev "socket,id=blk,path=blk$side.sock,reconnect=1" \
		-device "vhost-user-blk-pci,addr=4,chardev=blk,num-queues=2$blk" \
		-chardev "socket,id=net,path=net$side.sock,reconnect=1" \
		-netdev type=vhost-user,id=net,chardev=net,queues=2 \
		-device "virtio-net-pci,addr=5,netdev=net,mq=on,vectors=0,mac=02:00:00:00:00:01$net" \
		"$@"
}

# boot NAME BLK NET RNG
boot()
{
	side=
	rng_pid=
	start_blk
	start_net
	[ "$4" = none ] || start_rng
	listening blk "$blk_pid" && listening net "$net_pid" || return
	[ "$4" = none ] || listening rng "$rng_pid" || return
	launch "$@" && up 60
}

# --- what is tried in every machine

files_are_whole()
{
	guest 20 'grep -q /mnt /proc/mounts || mount -t ext4 /dev/vda /mnt' || return
	guest 20 'sync; echo 3 >/proc/sys/vm/drop_caches' || return
	guest 40 'cd /mnt && sha256sum -c manifest >/tmp/sums && grep -c OK /tmp/sums' || return
	[ "$(cat guest.out)" -eq "$(wc -l <manifest)" ] || return
	echo "$(cat guest.out) files"
}

# Written and flushed through the driver; the host then looks into the image.
files_are_written()
{
	guest 60 'cd /mnt && mkdir -p new && for i in 1 2 3 4 5 6 7 8; do
		dd if=/dev/urandom of=new/$i bs=64k count=8 conv=fsync 2>/dev/null || exit 1;
		done; fstrim /mnt 2>/dev/null; sync; sha256sum new/*' || return
	cp guest.out new.sums
	[ "$(wc -l <new.sums)" -eq 8 ]
}

new_files_are_there()
{
	e2fsck -fn disk.img >fsck.log 2>&1 || {
		tail -n 5 fsck.log
		return 1
	}
	rm -rf found
	mkdir found
	debugfs -R 'rdump /new found' disk.img >/dev/null 2>&1
	(cd found && sha256sum -c --quiet ../new.sums)
}

# frames MTU: from both CPUs, so that both pairs of queues are used
frames()
{
	guest 20 "ip link set eth0 mtu $1 up && sleep 0.2" || return
	guest 40 "guest frames eth0 500 $(($1 + 14)) 2" || return
	cat guest.out
}

segments()
{
	guest 60 'guest gso eth0 50' && cat guest.out
}

entropy()
{
	guest 10 'cat /sys/class/misc/hw_random/rng_current' || return
	grep '^virtio_rng' guest.out || return
	guest 30 'for i in 1 2 3 4; do
		dd if=/dev/hwrng bs=1024 count=4 iflag=fullblock 2>/dev/null | sha256sum;
	done' || return
	[ "$(sort -u guest.out | wc -l)" -eq 4 ] || return
	# Noise does not get smaller.
	guest 30 'dd if=/dev/hwrng of=/tmp/r bs=1024 count=32 iflag=fullblock 2>/dev/null &&
		test $(gzip -c /tmp/r | wc -c) -gt 32768'
}

# --- load that goes on while something happens

load_on()
{
	rm -f load.out
	guest 10 "rm -f /tmp/stop; (guest pattern /dev/vda $raw_offset /tmp/stop >/tmp/load 2>&1;
		echo \$? >/tmp/load.status) >/dev/null 2>&1 &"
}

# load_off: it ends, and found nothing wrong
load_off()
{
	guest 60 'touch /tmp/stop; while [ ! -e /tmp/load.status ]; do sleep 0.1; done;
		cat /tmp/load; n=$(cat /tmp/load.status); rm -f /tmp/load.status; exit $n' || return
	cat guest.out
}

# killed TIMES: the disk's back-end, under load
killed()
{
	load_on || return
	round=0
	while [ "$round" -lt "$1" ]; do
		sleep 0.7
		killed_now "$blk_pid"
		sleep "0.$round"
		start_blk
		listening blk "$blk_pid" || return
		round=$((round + 1))
		# QEMU tries again once a second.
		sleep 1
	done
	load_off
}

net_killed()
{
	killed_now "$net_pid"
	sleep 0.3
	start_net
	listening net "$net_pid" || return
	guest 30 'n=0; until [ $(cat /sys/class/net/eth0/carrier) = 1 ]; do
		sleep 0.2; [ $((n += 1)) -lt 100 ] || exit 1; done' || return
	frames 1500
}

# --- memory and capacity

memory_plugged()
{
	guest 5 'grep MemTotal /proc/meminfo' || return
	had=$(awk '{ print $2 }' guest.out)
	qmp '"execute": "object-add", "arguments": { "qom-type": "memory-backend-memfd",
		"id": "more", "size": 134217728, "share": true }' || return
	qmp '"execute": "device_add", "arguments": { "driver": "pc-dimm", "id": "dimm", "memdev": "more" }' ||
		return
	guest 20 "n=0; until awk '/^MemTotal/ { exit \$2 < $had + 100000 }' /proc/meminfo; do
		sleep 0.2; [ \$((n += 1)) -lt 50 ] || exit 1; done" || return
	guest 60 "guest hotmem /dev/vda $raw_offset" || return
	cat guest.out
	frames 1500
}

# grown BYTES
grown()
{
	guest 5 'cat /sys/block/vda/size' || return
	sectors=$(($(cat guest.out) + $1 / 512))
	truncate -s "+$1" disk.img
	kill -HUP "$blk_pid"
	guest 20 "n=0; until [ \$(cat /sys/block/vda/size) = $sectors ]; do
		sleep 0.1; [ \$((n += 1)) -lt 100 ] || exit 1; done" || return
	guest 20 "head -c 4096 /dev/urandom >/tmp/end &&
		dd if=/tmp/end of=/dev/vda bs=4096 seek=$((sectors / 8 - 1)) conv=fsync 2>/dev/null &&
		echo 3 >/proc/sys/vm/drop_caches &&
		dd if=/dev/vda bs=4096 skip=$((sectors / 8 - 1)) 2>/dev/null | cmp - /tmp/end" || return
	echo "$sectors sectors"
}

# --- the machine moves to another QEMU, which has back-ends of its own

unplugged()
{
	qmp '"execute": "device_del", "arguments": { "id": "rng0" }' || return
	await 20 '"DEVICE_DELETED".*"rng0"' "$machine.qmp" || return
	guest 10 '! test -e /sys/bus/virtio/drivers/virtio_rng/virtio*' || return
	end_in_order "$rng_pid" || return
	rng_pid=
}

# moved BLK NET: under load, all of which has to go on
moved()
{
	load_on || return
	guest 10 '(while [ ! -e /tmp/stop ]; do guest frames eth0 300 1514 2 || exit 1; done
		>/tmp/traffic 2>&1; echo $? >/tmp/traffic.status) >/dev/null 2>&1 &' || return
	from=$machine from_pid=$machine_pid from_blk=$blk_pid from_net=$net_pid
	side=2
	start_blk
	start_net
	listening blk2 "$blk_pid" && listening net2 "$net_pid" || return
	launch "$from-moved" "$1" "$2" none -incoming "unix:$PWD/move.sock" || return
	to_pid=$machine_pid
	use "$from" "$from_pid"
	sleep 1
	qmp '"execute": "migrate-set-parameters", "arguments": { "max-bandwidth": 1073741824 }' || return
	qmp '"execute": "migrate", "arguments": { "uri": "unix:'"$PWD/move.sock"'" }' || return
	rounds=0
	until qmp '"execute": "query-migrate"' && grep -q '"status": "completed"' qmp.reply; do
		[ $((rounds += 1)) -lt 100 ] && ! grep '"failed"' qmp.reply || return
		sleep 0.2
	done
	qmp '"execute": "quit"'
	end KILL "$from_pid"
	use "$from-moved" "$to_pid"
	end_in_order "$from_blk" "$from_net" || return
	sleep 1
	load_off || return
	guest 30 'until [ -e /tmp/traffic.status ]; do sleep 0.1; done; cat /tmp/traffic;
		exit $(cat /tmp/traffic.status)' || return
	files_are_whole && frames 1500
}

# --- the tests

unmounted()
{
	guest 30 'cd / && umount /mnt'
}

# usual: what every machine must do
usual()
{
	try "$machine: every file has its hash" files_are_whole
	try "$machine: files are written and flushed" files_are_written
	try "$machine: frames come back, from two queues" frames 1500
	try "$machine: entropy" entropy
}

# finished: the machine goes, the image has everything, the back-ends end
finished()
{
	try "$machine: the file system is left in order" unmounted
	try "$machine: it goes in order, without a complaint of its kernel" down
	try "$machine: the image holds what was written" new_files_are_there
	try "$machine: the back-ends end at SIGTERM" backends_end
	end_all
}

# uses BIT: every device does use this feature
uses()
{
	guest 10 "! grep -q '^.\{$1\}0' /sys/bus/virtio/devices/*/features"
}

# uses_not BIT
uses_not()
{
	guest 10 "! grep -q '^.\{$1\}1' /sys/bus/virtio/devices/*/features"
}

# wanted MACHINE: it is, or there is no list of those that are
wanted()
{
	case " ${machines:-$1} " in
	*" $1 "*) make_disk ;;
	*) false ;;
	esac
}

# split rings, and what can happen to a machine
if wanted split && try "split: the guest comes up" boot split '' '' ''; then
	try "split: all have event indices" uses 29
	usual
	try "split: large frames in several buffers" frames 9000
	try "split: segments are passed through as they are" segments
	try "split: memory is plugged in, and used by the devices" memory_plugged
	try "split: the disk grows" grown 16777216
	try "split: the disk is killed under load, nothing is lost or written twice" killed 5
	try "split: the card is killed and comes back" net_killed
	finished
fi

# packed rings. Where such a ring of a card stood that was killed, QEMU does not know.
if wanted packed && try "packed: the guest comes up" boot packed ,packed=on ,packed=on ,packed=on; then
	try "packed: all have packed rings" uses 34
	usual
	try "packed: large frames in several buffers" frames 9000
	try "packed: segments are passed through as they are" segments
	try "packed: the disk is killed under load, nothing is lost or written twice" killed 3
	try "packed: the source of entropy is unplugged" unplugged
	try "packed: the machine moves under load" moved ,packed=on ,packed=on
	finished
fi

# split rings without the features that a ring can do without
bare=,event_idx=off,indirect_desc=off
single=,mrg_rxbuf=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off
if wanted bare && try "bare: the guest comes up" boot bare $bare $bare$single none; then
	try "bare: none has event indices" uses_not 29
	try "bare: none has indirect descriptors" uses_not 28
	try "bare: every file has its hash" files_are_whole
	try "bare: files are written and flushed" files_are_written
	try "bare: frames come back, from two queues" frames 1500
	try "bare: the machine moves under load" moved $bare $bare$single
	finished
fi

conclude
