# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
# shellcheck shell=sh
#
# Read by the test scripts. make check gives srcdir, builddir, CC, MAKE, NM and
# SANITIZE; run by hand from a build directory, a script finds them itself.

set -eu

: "${srcdir:=$(cd "$(dirname "$0")/.." && pwd)}"
: "${builddir:=$(pwd)}"
: "${CC:=cc}"
: "${MAKE:=make}"
: "${NM:=nm}"
: "${SANITIZE:=}"	# the -fsanitize= flags that the library was built with
: "${VHOST_TESTS:=all}"	# "quick" leaves out the scripts that build the tree again
# shellcheck disable=SC2034 # for the scripts
libs=$builddir/.libs
LC_ALL=C
export LC_ALL

# A make of ours is a new one, not a part of the one that runs the tests.
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL DESTDIR 2>/dev/null || :

skip()
{
	echo "skip: $*"
	exit 77
}

die()
{
	echo "$0: $*" >&2
	exit 1
}

need()
{
	for tool; do
		command -v "$tool" >/dev/null || skip "$tool is not installed"
	done
}

# What a test finds wrong it says with this, and goes on; finish then decides.
failures=0
wrong()
{
	echo "FAIL: $*"
	failures=$((failures + 1))
}

finish()
{
	[ "$failures" -eq 0 ] || die "$failures found wrong"
	exit 0
}

# A program that a script has running: it puts its pid here.
server=
end_server()
{
	[ -n "$server" ] || return 0
	kill -KILL "$server" 2>/dev/null || :
	wait "$server" 2>/dev/null || :
	server=
}

# A directory for scratch, gone at the end.
scratch=
make_scratch()
{
	scratch=$(mktemp -d "${TMPDIR:-/tmp}/libvhost-test.XXXXXX")
	trap 'rm -rf "$scratch"' EXIT
	trap 'exit 1' HUP INT TERM
}

# Some scripts configure the tree anew, elsewhere.
need_clean_srcdir()
{
	[ "$VHOST_TESTS" = all ] || skip "a quick run"
	[ ! -e "$srcdir/config.status" ] ||
		skip "the source tree is configured in place; use a directory of its own to build in"
	[ -x "$srcdir/configure" ] || skip "there is no configure; run autoreconf -fi"
}

# run LOG COMMAND...: quiet unless it fails.
run()
{
	run_log=$1
	shift
	if ! "$@" >"$run_log" 2>&1; then
		tail -n 60 "$run_log"
		die "failed: $*"
	fi
}
