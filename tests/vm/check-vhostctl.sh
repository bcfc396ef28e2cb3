#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# In the guest: vhostctl list and vhostctl vdpa against a kernel that has the devices.

# shellcheck source=tests/common.sh
. "${srcdir:-$(dirname "$0")/../..}/tests/common.sh"
# shellcheck source=tests/vm/devices.sh
. "$srcdir/tests/vm/devices.sh"

vhostctl=$builddir/tools/vhostctl
[ -x "$vhostctl" ] || skip "vhostctl was not built"
need setpriv unshare
# libtool's script before the program costs a second here.
if [ -x "$builddir/tools/.libs/vhostctl" ]; then
	vhostctl=$builddir/tools/.libs/vhostctl
	LD_LIBRARY_PATH=$libs
	export LD_LIBRARY_PATH
fi

make_scratch
modules=
holder=
# shellcheck disable=SC2317 # the trap's
restore()
{
	[ -z "$holder" ] || kill "$holder" 2>/dev/null || :
	[ -z "$modules" ] || { rmmod virtio_vdpa; modprobe vhost_vdpa; } 2>/dev/null || :
	rm -rf "$scratch"
}
trap restore EXIT
cd "$scratch"

# ctl STATUS ARGUMENT...: run it, under $with; what it says is in out and err.
with=
ctl()
{
	want=$1
	shift
	status=0
	# shellcheck disable=SC2086 # a command and its arguments
	$with "$vhostctl" "$@" >out 2>err </dev/null || status=$?
	if [ "$status" -ne "$want" ]; then
		cat out err
		wrong "vhostctl $*: exit status $status, not $want"
	fi
}

# says FILE PATTERN, says_not FILE PATTERN
says()
{
	grep -Eq -e "$2" "$1" && return
	cat "$1"
	wrong "\"$2\" is not in $1"
}

says_not()
{
	grep -Eq -e "$2" "$1" || return 0
	cat "$1"
	wrong "\"$2\" is in $1"
}

# hold NODE: have it open, until let_go.
hold()
{
	sleep 300 9<>"$1" &
	holder=$!
}

let_go()
{
	kill "$holder"
	wait "$holder" 2>/dev/null || :
	holder=
}

# await COMMAND...: until it succeeds, for 10 seconds.
await()
{
	tries=0
	until "$@"; do
		[ $tries -lt 50 ] || return
		sleep 0.2
		tries=$((tries + 1))
	done
}

# begin ARGUMENT...: run it, and do not wait; end STATUS waits.
begin()
{
	begun="$*"
	: >err
	"$vhostctl" "$@" >out 2>err </dev/null &
	pid=$!
}

end()
{
	status=0
	wait $pid || status=$?
	if [ "$status" -ne "$1" ]; then
		cat out err
		wrong "vhostctl $begun: exit status $status, not $1"
	fi
}

# on_bus NAME: whether the bus has it.
on_bus()
{
	[ -e "/sys/bus/vdpa/devices/$1" ]
}

# shellcheck disable=SC2317 # await calls it
not_on_bus()
{
	! on_bus "$1"
}

# --- what every kernel has

ctl 0 list
for kind in net vsock scsi; do
	says out "^  /dev/vhost-$kind +can be opened\$"
done
cp out before
chown nobody /dev/vhost-net
chmod 600 /dev/vhost-net
with='setpriv --bounding-set -dac_override,-dac_read_search'
ctl 0 list
says out '^  /dev/vhost-net +no permission: owner nobody, group root, mode 0600$'
says out 'a udev rule: KERNEL=="vhost-net"'
chgrp kvm /dev/vhost-net 2>/dev/null || chgrp tty /dev/vhost-net
chmod 660 /dev/vhost-net
ctl 0 list
says out '-> add yourself to group (kvm|tty)'
with=
chown root:root /dev/vhost-net

if ! have_vdpa; then
	says before '^  /dev/vhost-vdpa-\* +missing: (kernel .* has no module vhost_vdpa|the module)'
	ctl 1 vdpa show
	[ "$failures" -eq 0 ] || finish
	skip "this kernel has no vDPA"
fi
says before '^  /dev/vhost-vdpa-\* +none: vhost_vdpa is loaded, and drives no device$'

ctl 1 vdpa show nosuch
if grep -q libmnl err; then
	[ "$failures" -eq 0 ] || finish
	skip "vhostctl was built without libmnl"
fi
says err 'no vDPA device "nosuch"'

# --- add, show

ctl 0 vdpa show
says out '^  vdpasim_net$'
says out '^    makes +net$'
says out '^    makes +block$'
if grep -q '^    features' out; then
	says out 'CTRL_VQ'
fi

ctl 0 vdpa add --mgmtdev vdpasim_net --name net0 --mac 02:00:00:00:00:01 --mtu 1400
node=$(cat out)
says out '^/dev/vhost-vdpa-[0-9]+$'
[ -c "$node" ] || wrong "\"$node\" is not a node"
[ -d "/sys/bus/vdpa/devices/net0/${node#/dev/}" ] || wrong "$node is not that of net0"
ctl 0 vdpa add --mgmtdev vdpasim_blk --name disk0
disk=$(cat out)

ctl 0 vdpa show
says out '^  net0$'
says out '^  disk0$'
ctl 0 vdpa show net0
says_not out 'disk0|management'
says out '^    type +net$'
says out '^    driver +vhost_vdpa$'
says out "^    node +$node\$"
says out '^    made by +vdpasim_net$'
says out '^    mac +02:00:00:00:00:01$'
says out '^    mtu +1400$'
ctl 0 vdpa show disk0
says out '^    type +block$'
says out '^    queues +1, of at most 256 entries$'

ctl 0 list
says out "^  $node +can be opened: net0\$"
says out "^  $disk +can be opened: disk0\$"
says out '^  vdpasim_blk$'
says_not out 'capacity'

# What looks only opens nothing: to open a vDPA device is to reset it.
if command -v strace >/dev/null; then
	strace -f -qq -e trace=open,openat,openat2 -o trace "$vhostctl" list >out 2>err </dev/null ||
		wrong "vhostctl list fails under strace"
	grep '"/dev/vhost' trace >nodes || wrong "list did not look at the nodes"
	if grep -v O_PATH nodes; then
		wrong "list opened a node"
	fi
fi

json=no
ctl 0 list --json 2>/dev/null || :
if [ "$status" -eq 2 ]; then
	failures=$((failures - 1))
elif command -v python3 >/dev/null; then
	json=yes
	python3 -c 'import json, sys; d = json.load(open("out"))
n = {n["path"]: n for n in d["nodes"]}
assert n[sys.argv[1]] == {"path": sys.argv[1], "module": "vhost_vdpa", "present": True,
	"usable": True, "vdpa": "net0", "why": None, "help": None}, n
v = {v["name"]: v for v in d["vdpa_devices"]}
assert v["net0"]["type"] == {"id": 1, "name": "net"} and v["net0"]["driver"] == "vhost_vdpa", v
assert v["net0"]["node"] == sys.argv[1] and v["net0"]["mgmtdev"] == "vdpasim_net", v
assert v["net0"]["config"]["mac"] == "02:00:00:00:00:01" and v["net0"]["config"]["mtu"] == 1400, v
m = {m["name"]: m for m in d["vdpa_mgmtdevs"]}
assert m["vdpasim_blk"]["classes"] == ["block"] and d["vdpa_problem"] is None, d' "$node" ||
		wrong "list --json is not as it should be"
fi

# --- a disk on the bus is a disk

ctl 0 probe "$node"
says out '^device +net .type 1, as the device says'
says out '^back-end features +IOTLB_MSG_V2 IOTLB_BATCH'
says out '^queue:group +0-1:0 2:1$'
says out '^  ADDRESS_SPACES +2$'
says out '^  IOVA_LAST +0x'
ctl 0 probe vdpa:disk0
says out '^  capacity +262144 '
head -c 1500160 /dev/urandom >in
status=0
"$vhostctl" blk write "$disk" --offset 64K <in 2>err || status=$?
[ $status -eq 0 ] || wrong "blk write fails: $(cat err)"
ctl 0 blk read vdpa:disk0 --offset 64K --length 1500160
cmp in out || wrong "what was read is not what was written"
ctl 0 blk bench "$disk" --runtime 0.5 --iodepth 4
says out '^  IOPS +[1-9]'
if [ $json = yes ]; then
	ctl 0 probe "$node" --json
	python3 -c 'import json; d = json.load(open("out"))
assert d["groups"] == [0, 0, 1] and d["limits"]["GROUPS"] == 2, d
assert "IOTLB_BATCH" in d["backend_features"]["used"], d' || wrong "probe --json is not as it should be"
fi
ctl 0 probe /dev/vhost-net
says out '^transport +vhost-net$'

# --- what it may offer

ctl 0 vdpa add --mgmtdev vdpasim_net --name few --features MAC,VERSION_1,ACCESS_PLATFORM
ctl 0 vdpa show few
says out '^    features +MAC VERSION_1 ACCESS_PLATFORM$'
ctl 0 vdpa del few
ctl 0 vdpa add --mgmtdev vdpasim_net --name few --features 0x300000020
ctl 0 vdpa show few
says out '^    features +MAC VERSION_1 ACCESS_PLATFORM$'
ctl 0 vdpa del few
[ ! -s out ] || wrong "del says something"
on_bus few && wrong "del deleted nothing"

# --- refusals

ctl 1 vdpa add --mgmtdev vdpasim_net --name net0
says err '^vhostctl: net0 was not made: .*there is a device of that name already'
ctl 1 vdpa add --mgmtdev nosuch --name net1
says err 'no management device "nosuch"'
ctl 1 vdpa add --mgmtdev vdpasim_net --name net1 --max-vqp 2
says err 'net1 was not made: Operation not supported .the kernel: .*attributes are not supported'
ctl 1 vdpa add --mgmtdev vdpasim_net --name net1 --features CSUM
says err 'does not have all of these features'
ctl 2 vdpa add --mgmtdev vdpasim_net --name net1 --features TEAPOT
says err '"TEAPOT" is not a feature that net has'
if [ -e /dev/vduse/control ]; then
	ctl 1 vdpa add --mgmtdev vduse --name nobody
	says err 'a program has to offer'
fi
ctl 1 vdpa del nosuch
says err 'nosuch was not deleted: No such device'
on_bus net1 && wrong "there is a net1 all the same"
with='setpriv --bounding-set -net_admin'
ctl 1 vdpa add --mgmtdev vdpasim_net --name net1
says err 'it takes CAP_NET_ADMIN'
ctl 1 vdpa del net0
says err 'it takes CAP_NET_ADMIN'
with='unshare --net'
ctl 1 vdpa show
says err 'network namespace'
ctl 0 list
says out 'not known: .*network namespace'
says out '^  net0$'
with=

# --- a name that would do things to a terminal

odd=$(printf 'o\033d\nd')
ctl 0 vdpa add --mgmtdev vdpasim_net --name "$odd"
ctl 0 list
says out 'can be opened: o\\x1bd\\x0ad$'
says out '^  o\\x1bd\\x0ad$'
if [ $json = yes ]; then
	ctl 0 vdpa show "$odd" --json
	python3 -c 'import json; assert json.load(open("out"))["name"] == "o\x1bd\nd"' ||
		wrong "the JSON of an odd name is odd"
fi
ctl 0 vdpa del "$odd"

# --- a device in use

hold "$node"
ctl 1 vdpa del net0 --timeout 0.5
says err "net0 is in use by sleep .process $holder.: waiting for it to close $node\$"
says err 'was not deleted: sleep .* still has'
on_bus net0 || wrong "a device in use was deleted"
begin vdpa del net0 --timeout 50
await grep -q 'in use' err || wrong "it does not say that net0 is in use"
kill -TERM $pid
end 1
says err 'interrupted; it is still there'
begin vdpa del net0 --timeout 50
await grep -q 'in use' err || wrong "it does not say that net0 is in use"
let_go
end 0
on_bus net0 && wrong "net0 is still there"

# Nobody can tell whether it is in use: the kernel waits, we do not.
ctl 0 vdpa add --mgmtdev vdpasim_net --name net0
node=$(cat out)
hold "$node"
chown nobody "$node"
with='setpriv --bounding-set -dac_override,-dac_read_search'
ctl 1 vdpa del net0 --timeout 0.5
with=
says err 'the kernel did not answer within 0.5 s'
ctl 1 vdpa show --timeout 0.5
says err 'the kernel does not answer within 0.5 s'
ctl 0 list --timeout 0.5
says out 'not known: the kernel does not answer'
let_go
await not_on_bus net0 || wrong "the kernel did not delete net0"

# --- other drivers

ctl 0 vdpa del disk0
if rmmod vhost_vdpa 2>/dev/null; then
	modules=changed
	ctl 1 vdpa add --mgmtdev vdpasim_net --name net0
	says err 'there is no driver for it: modprobe vhost_vdpa'
	on_bus net0 || wrong "net0 is not there"
	ctl 0 list
	says out '^    driver +none$'
	says out '^                      -> modprobe vhost_vdpa$'
	ctl 0 vdpa del net0
	if modprobe virtio_vdpa && modprobe virtio_net; then
		ctl 0 vdpa add --mgmtdev vdpasim_net --name net0
		says out '^virtio_vdpa$'
		ctl 0 vdpa show net0
		says out '^    negotiated +.*VERSION_1'
		ctl 0 vdpa del net0
		rmmod virtio_vdpa
	fi
	modprobe vhost_vdpa
	modules=
fi
finish
