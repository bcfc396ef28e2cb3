# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
# shellcheck shell=sh
#
# Read by scripts that run in the guest: its devices, and their removal.

config=/sys/kernel/config/target

# have_vdpa: whether the kernel has it, which Debian's 6.1 has not.
have_vdpa()
{
	[ -d /sys/module/vdpa ]
}

# remove_devices: all of them, whoever made them.
remove_devices()
{
	for node in /sys/bus/vdpa/devices/*; do
		[ ! -d "$node" ] || timeout 20 vdpa dev del "${node##*/}" || :
	done
	for tpg in "$config"/vhost/naa.*/tpgt_*; do
		[ -d "$tpg" ] || continue
		for lun in "$tpg"/lun/lun_*; do
			[ -d "$lun" ] || continue
			find "$lun" -maxdepth 1 -type l -exec rm {} +
			rmdir "$lun" || :
		done
		echo NULL 2>/dev/null >"$tpg/nexus" || :
		{ rmdir "$tpg" && rmdir "${tpg%/*}"; } || :
	done
	for disk in "$config"/core/*/*; do
		[ ! -d "$disk/attrib" ] || { rmdir "$disk" && rmdir "${disk%/*}"; } || :
	done
}
