# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
# shellcheck shell=sh
#
# Read by scripts that measure what needs a kernel's vhost and vDPA.

# in_guest SCRIPT ARGUMENT...: unless this is the test guest, start it, and run the script
# there instead. Exits with 77 where there can be none.
in_guest()
{
	[ -z "${VM_KERNEL-}" ] || return 0
	script=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
	shift
	set -- sh "$script" "$@"
	for dir in "$(pwd)" "${script%/bench/*}"; do
		# The guest has a /tmp of its own.
		case $dir in
		/tmp/*) set -- --share "$dir" "$@" ;;
		esac
	done
	exec sh "${script%/bench/*}/tests/vm/run" "$@"
}
