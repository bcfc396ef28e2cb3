#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# vhostctl on the kernel's simulated vDPA disk, by its node and by its name: as on a
# vhost-user disk. Run as root in the test guest.

# shellcheck source=tests/common.sh
. "${srcdir:-$(dirname "$0")/../..}/tests/common.sh"
# shellcheck source=tests/vm/vhostctl.sh
. "$srcdir/tests/vm/vhostctl.sh"
modprobe vdpa_sim_blk 2>/dev/null || skip "kernel $VM_KERNEL has no simulated vDPA disk"

make_scratch
cd "$scratch"
name=lvh-ctl
vdpa dev add name $name mgmtdev vdpasim_blk || die "no simulated disk"
trap 'vdpa dev del $name; rm -rf "$scratch"' EXIT
node=$(node $name)

ctl 0 probe "$node"
says out '^device +block .type 2'
says out 'ACCESS_PLATFORM'
says out '^  capacity +262144 '
says out 'MAX_QUEUE_SIZE +256'
for address in "$node" vdpa:$name; do
	ctl 0 blk info "$address"
	says out '^capacity +134217728 bytes'
done
data_survives vdpa:$name
# What is written by one name is there by the other.
ctl 0 blk read "$node" --offset 1536 --length 5243392 --quiet
cmp out data || wrong "the two names are not of one disk"
# Up to its very end
write 0 data "$node" --offset $((134217728 - 5243392))
ctl 0 blk read "$node" --offset $((134217728 - 5243392)) --quiet
cmp out data || wrong "the end of the disk is not what was written"
write 1 data "$node" --offset $((134217728 - 512))
says err 'larger than the disk'

refuses vdpa:$name
measures "$node"
permissions vdpa:$name "$node"
in_use vdpa:$name "$node"

ctl 1 probe vdpa:nobody
says err '^vhostctl: .*nobody'
ctl 1 probe /dev/vhost-vdpa-99
says err '^vhostctl: .*/dev/vhost-vdpa-99'
ctl 1 blk info /dev/null
says err '^vhostctl: .*/dev/null'

# It is stopped by a signal, and serves the next one.
"$vhostctl" blk bench vdpa:$name --runtime 30 --iodepth 8 >out 2>err &
bench=$!
sleep 1.5
kill -TERM "$bench"
status=0
wait "$bench" || status=$?
[ "$status" -eq 1 ] || wrong "exit status $status after SIGTERM, not 1"
says err 'interrupted'
ctl 0 blk bench vdpa:$name --runtime 0.2

# A card is not a disk.
vdpa dev add name $name-net mgmtdev vdpasim_net mac 02:00:00:00:00:01
ctl 0 probe vdpa:$name-net
says out '^device +net.* .type 1'
says out 'CTRL_MAC_ADDR'
ctl 1 blk info vdpa:$name-net
says err 'not a disk'
vdpa dev del $name-net
finish
