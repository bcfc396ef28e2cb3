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
ctl 2 list something
says err 'takes no argument'
ctl 2 list --trace
ctl 2 probe unix:a --root .
ctl 1 list --root nowhere
says err 'nowhere: No such file'
ctl 2 vdpa
says err 'show, add, del'
ctl 2 vdpa del
says err 'needs the name of a vDPA device'
ctl 2 vdpa show a b
ctl 2 vdpa add --mgmtdev a --name b --mac 02:00:00:00:00
ctl 2 vdpa add --mgmtdev a --name b --mac 02:00:00:00:00:0g
ctl 2 vdpa add --mgmtdev a --name b --mtu 65536
ctl 2 vdpa add --mgmtdev a --name b --max-vqp 0
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

# --- what the bus has: the kernel of a test machine has none

ctl 1 vdpa show nosuch
if grep -q 'without libmnl' err; then
	ctl 1 vdpa add --mgmtdev a --name b
	ctl 1 vdpa del a
	says err 'without libmnl'
else
	says err '^vhostctl: .*(modprobe vdpa|no module vdpa|no vDPA device|network namespace|netlink)'
	ctl 2 vdpa add --name b
	says err 'needs --mgmtdev and --name'
	ctl 2 vdpa add --mgmtdev a --name a/b
	ctl 2 vdpa del ../b
	says err 'without a slash'
	ctl 1 vdpa add --mgmtdev nosuch --name libvhost-test
fi

# --- a host that was made up

ctl 0 list
says out '^Kernel vhost$'
says out '^vhost-user back-ends$'

mkdir -p host/proc/sys/kernel host/dev host/sys/module host/lib/modules/9.9.9-test
echo 9.9.9-test >host/proc/sys/kernel/osrelease
HOME=/home/me
XDG_CONFIG_HOME=
export HOME XDG_CONFIG_HOME

ctl 0 list --root host
says out '^  /dev/vhost-net +missing: the module vhost_net is not loaded, and there$'
says out 'not known: with --root the kernel is not asked'
[ "$(grep -c '^  none$' out)" -eq 2 ] || wrong "an empty host has something"

mods=host/lib/modules/9.9.9-test
cat >$mods/modules.dep <<'END'
kernel/drivers/vhost/vhost_net.ko.xz: kernel/vhost.ko.xz kernel/vhost_scsi.ko.xz
kernel/drivers/vhost/vhost-vdpa.ko:
kernel/drivers/vhost/vhost_scsi.kox:
END
echo kernel/drivers/vhost/vhost_vsock.ko >$mods/modules.builtin
ctl 0 list --root host
says out '^  /dev/vhost-net +missing: the module vhost_net is not loaded$'
says out '^ +-> modprobe vhost_net$'
says out '^  /dev/vhost-vsock +missing, though the module vhost_vsock is loaded$'
says out '^ +-> in a container, pass it in'
says out '^  /dev/vhost-scsi +missing: kernel 9.9.9-test has no module vhost_scsi$'
says out '^ +-> a kernel with CONFIG_VHOST_SCSI'
says out '^  /dev/vhost-vdpa-\* +missing: the module vhost_vdpa is not loaded$'
mkdir host/sys/module/vhost_vdpa host/sys/module/vhost_net
: >host/dev/vhost-scsi
ctl 0 list --root host
says out '^  /dev/vhost-scsi +not a device node$'
says out '^  /dev/vhost-net +missing, though the module vhost_net is loaded$'
says out '^  /dev/vhost-vdpa-\* +none: vhost_vdpa is loaded, and drives no device$'
rm host/dev/vhost-scsi

# Links lead nowhere but below the root, and not in circles.
ln -s /dev/null host/dev/vhost-scsi
ln -s vhost-vsock host/dev/vhost-vsock
ctl 0 list --root host
says out '^  /dev/vhost-scsi +missing'
says out '^  /dev/vhost-vsock +cannot be looked at: Too many levels'
rm host/dev/vhost-scsi host/dev/vhost-vsock

if [ "$(id -u)" -eq 0 ] && mknod host/dev/vhost-net c 1 3 2>/dev/null; then
	chmod 600 host/dev/vhost-net
	ctl 0 list --root host
	says out '^  /dev/vhost-net +can be opened$'
	mknod host/dev/vhost-scsi c 1 3
	ctl 0 list --root host
	says out '^  /dev/vhost-scsi +a node without a driver: kernel 9.9.9-test has no module'
	if command -v setpriv >/dev/null; then
		chmod 755 .
		chgrp 36 host/dev/vhost-net
		chmod 660 host/dev/vhost-net
		chmod 600 host/dev/vhost-scsi
		if setpriv --reuid 65534 --regid 65534 --clear-groups \
			"$vhostctl" list --root host >out 2>err; then
			says out '^  /dev/vhost-net +no permission: owner 0, group 36, mode 0660$'
			says out '^ +-> add yourself to group 36'
			says out '^  /dev/vhost-scsi +no permission: owner 0, group 0, mode 0600$'
			says out '^ +-> be root, or a udev rule: KERNEL=="vhost-scsi",$'
		fi
	fi
	rm host/dev/vhost-net host/dev/vhost-scsi
fi

# The bus, as sysfs has it; the name would do things to a terminal.
odd=$(printf 'o\033d\nd')
bus=host/sys/bus/vdpa
mkdir -p $bus/devices $bus/drivers/vhost_vdpa $bus/drivers/virtio_vdpa
mkdir -p "host/sys/devices/$odd/vhost-vdpa-12" host/sys/devices/net0/virtio3 host/sys/devices/free
ln -s "../../../devices/$odd" "$bus/devices/$odd"
ln -s ../../bus/vdpa/drivers/vhost_vdpa "host/sys/devices/$odd/driver"
ln -s ../../../devices/net0 $bus/devices/net0
ln -s ../../bus/vdpa/drivers/virtio_vdpa host/sys/devices/net0/driver
echo 0x0001 >host/sys/devices/net0/virtio3/device
ln -s ../../../devices/free $bus/devices/free
ln -s loop $bus/devices/loop
ctl 0 list --root host
says out '^  /dev/vhost-vdpa-12 +missing, though the module vhost_vdpa is loaded$'
says out '^  o\\x1bd\\x0ad$'
sed -n '/^  net0$/,/^  [^ ]/p' out >part
says part '^    type +net$'
says part '^    driver +virtio_vdpa$'
sed -n '/^  free$/,/^  [^ ]/p' out >part
says part '^    driver +none$'
if grep -q "$(printf '\033')" out; then
	wrong "an escape sequence is passed on"
fi

# What back-ends there are: three directories, from general to specific.
share=host/usr/share/qemu/vhost-user
etc=host/etc/qemu/vhost-user
own=host/home/me/.config/qemu/vhost-user
mkdir -p $share $etc $own host/usr/bin
: >host/usr/bin/good
chmod 755 host/usr/bin/good
backend()
{
	cat >"$1" <<END
{ "description": "$2", "type": "$3", "binary": "$4", "tags": ["one", "two"] }
END
}
backend $share/50-plain.json 'a plain one' block /usr/bin/good
backend $share/60-changed.json 'is hidden' block /usr/bin/good
backend $etc/60-changed.json 'is hidden as well' block /usr/bin/good
backend $own/60-changed.json 'takes its place' gpu /usr/bin/good
backend $share/70-gone.json 'is hidden' block /usr/bin/good
: >$etc/70-gone.json
backend $own/10-first.json 'comes first' fs /usr/bin/missing
backend $share/.hidden.json 'not looked at' fs /usr/bin/good
backend $share/readme.txt 'not looked at' fs /usr/bin/good
ctl 0 list --root host
grep -o '[0-9]*-[a-z]*\.json$' out | tr '\n' ' ' >order
want='10-first.json 50-plain.json 60-changed.json 60-changed.json 70-gone.json 70-gone.json '
[ "$(cat order)" = "$want" ] ||
	wrong "the files are in another order: $(cat order)"
says out '^    empty +hides the file below$'
says out '^    instead of +/etc/qemu/vhost-user/60-changed.json$'
if [ "$json" = yes ]; then
	says out '^    description +a plain one$'
	says out '^    tags +one$'
	says out '^    description +takes its place$'
	says out '^    problem +the program cannot be run: No such file'
	if grep -Eq 'is hidden|not looked at' out; then
		wrong "it shows what is hidden"
	fi
fi
XDG_CONFIG_HOME=/else
ctl 0 list --root host
if grep -q 10-first out; then
	wrong "XDG_CONFIG_HOME makes no difference"
fi
XDG_CONFIG_HOME=

# Files that are not as they should be: each is named, with the reason; the others are shown.
printf '{ "type": "fs",' >$etc/bad-cut.json
printf '[]' >$etc/bad-array.json
printf '7' >$etc/bad-number.json
printf '{ "type": "fs", "binary": "/b", "description": "d" } x' >$etc/bad-more.json
printf '{ "type": 7, "binary": "/b", "description": "d" }' >$etc/bad-type.json
printf '{ "binary": "/b", "description": "d" }' >$etc/bad-missing.json
printf '{ "type": "fs", "binary": "b", "description": "d" }' >$etc/bad-relative.json
printf '{ "type": "teapot", "binary": "/b", "description": "d" }' >$etc/bad-teapot.json
printf '{ "type": "fs", "binary": "/b\\u0000c", "description": "d" }' >$etc/bad-nul.json
printf '{ "type": "fs", "binary": "/b", "description": "d", "tags": [1] }' >$etc/bad-tag.json
printf '{ "type": "fs", "binary": "/b", "description": "d", "tags": {} }' >$etc/bad-tags.json
printf '{ "type": "fs", "binary": "/b", "description": "d", "tags": ["a\\u0000b"] }' >$etc/bad-tagnul.json
printf '{ "type": "fs", "binary": "/usr", "description": "d" }' >$etc/bad-folder.json
printf '\000\377\376' >$etc/bad-bytes.json
printf '{ "type": "fs", "binary": "/b", "description": "\033[31m\377" }' >$etc/bad-escape.json
head -c 20000 /dev/zero | tr '\0' '[' >$etc/bad-deep.json
head -c 70000 /dev/zero | tr '\0' ' ' >$etc/bad-large.json
mkfifo $etc/bad-fifo.json
mkdir $etc/bad-dir.json
ln -s bad-loop.json $etc/bad-loop.json
ln -s /etc/passwd $etc/bad-link.json
ln -s /proc/self/root/etc/passwd $etc/bad-magic.json
: >"$etc/$(printf 'bad-\033.json')"
ctl 0 list --root host
# problem NAME PATTERN
problem()
{
	sed -n "/bad-$1\.json\$/,/^  [^ ]/p" out >part
	says part "^    problem +$2"
}
problem large 'larger than 64 KiB'
problem fifo 'not a regular file'
problem dir 'Is a directory'
problem loop 'Too many levels'
problem link 'No such file'
problem magic 'No such file'
if [ "$json" = yes ]; then
	problem cut 'not JSON: '
	problem array 'not a JSON object'
	problem number 'not a JSON object'
	problem more 'not JSON: .*at byte 5[0-9]'
	problem type '"type" is not a string'
	problem missing 'there is no "type"'
	problem relative '"binary" is not an absolute path'
	problem teapot '"type" is no device type'
	problem nul '"binary" has a NUL'
	problem tag 'tag 0 is not a string'
	problem tags '"tags" is not an array'
	problem tagnul 'tag 0 has a NUL'
	problem folder 'the program cannot be run'
	problem bytes 'not JSON: '
	problem deep 'not JSON: '
	problem escape '.'
fi
if LC_ALL=C grep -q "$(printf '[\001-\011\013-\037\177-\377]')" out; then
	wrong "bytes that are not for a terminal are passed on"
fi
if [ "$json" = yes ] && command -v python3 >/dev/null; then
	ctl 0 list --root host --json
	python3 -c 'import json; d = json.loads(open("out", "rb").read().decode())
assert d["kernel"] == "9.9.9-test" and d["nodes"][0]["module"] == "vhost_net", d
assert not d["nodes"][0]["usable"] and d["nodes"][1]["help"], d
v = {v["name"]: v for v in d["vdpa_devices"]}
assert set(v) == {"o\x1bd\nd", "net0", "free"}, v
assert v["net0"]["type"] == {"id": 1, "name": "net"} and v["free"]["driver"] is None, v
assert v["o\x1bd\nd"]["node"] == "/dev/vhost-vdpa-12", v
b = {b["file"].split("/")[-1]: b for b in d["backends"]}
assert b["50-plain.json"] == {"file": "/usr/share/qemu/vhost-user/50-plain.json", "empty": False,
	"type": "block", "binary": "/usr/bin/good", "description": "a plain one",
	"tags": ["one", "two"], "hides": None, "problem": None}, b
assert b["70-gone.json"]["empty"] and b["bad-deep.json"]["problem"], b' ||
		wrong "list --json is not as it should be"
fi
printf '9\033[2J' >host/proc/sys/kernel/osrelease
ctl 0 list --root host
if LC_ALL=C grep -q "$(printf '\033')" out; then
	wrong "a name that a kernel would not have is passed on to the terminal"
fi
unset XDG_CONFIG_HOME

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
		COMP_WORDS=(vhostctl vdpa a) COMP_CWORD=2
		COMP_LINE="${COMP_WORDS[*]}" COMP_POINT=${#COMP_LINE}
		_vhostctl
		echo "${COMPREPLY[*]}"
		vhostctl() { printf "vDPA management devices\n  sim\n    makes net\nvDPA devices\n  net0\n"; }
		COMP_WORDS=(vhostctl vdpa add --mgmtdev "") COMP_CWORD=4
		COMP_LINE="vhostctl vdpa add --mgmtdev " COMP_POINT=${#COMP_LINE}
		_vhostctl
		echo "${COMPREPLY[*]}"
		COMP_WORDS=(vhostctl vdpa del n) COMP_CWORD=3
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
	says out '^add$'
	says out '^sim$'
	says out '^net0$'
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
says out 'p50 ([5-9][0-9]|[0-9]{3,})\.[0-9]+ ms'
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

# start_bench: and wait until its queues run.
start_bench()
{
	: >err
	"$vhostctl" blk bench unix:null.sock --runtime 60 --iodepth 8 --trace >out 2>err &
	bench=$!
	tries=0
	until grep -q SET_VRING_KICK err; do
		[ "$tries" -lt 200 ] || die "the load did not begin within 20 seconds"
		sleep 0.1
		tries=$((tries + 1))
	done
}

# A signal: the device is stopped, and serves the next one.
for sig in INT TERM; do
	start_bench
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
start_bench
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
	# What is meant for people does not go to a device that took their place.
	status=0
	"$vhostctl" probe unix:disk.sock >&- 2>err || status=$?
	[ "$status" -eq 1 ] || wrong "exit status $status with a closed standard output, not 1"
	says err 'cannot write to the standard output'
	ctl 0 probe unix:disk.sock
fi
finish
