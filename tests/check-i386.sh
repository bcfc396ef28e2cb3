#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# The library builds with 32-bit words and passes its unit tests. A 64-bit
# system seldom has a 32-bit libcheck; tests/m32/check.h then stands in for it.

# shellcheck source=tests/common.sh
. "${srcdir:-$(dirname "$0")/..}/tests/common.sh"

need gcc
need_clean_srcdir
make_scratch
cd "$scratch"
echo 'int main(void) { return sizeof(void *) == 4 ? 0 : 1; }' >word.c
gcc -m32 word.c -o word 2>/dev/null || skip "gcc cannot link 32-bit programs (Debian: gcc-multilib)"
# A kernel without 32-bit emulation needs help to run them.
emulator=
if ! ./word 2>/dev/null; then
	for emulator in qemu-i386 qemu-i386-static none; do
		if command -v "$emulator" >/dev/null && "$emulator" ./word; then
			break
		fi
	done
fi

run log "$srcdir/configure" CC='gcc -m32' --host=i686-linux-gnu \
	--disable-static --disable-tools --enable-werror \
	CHECK_CFLAGS="-I$srcdir/tests/m32" CHECK_LIBS=-lpthread
run log "$MAKE" libvhost.la
gcc -m32 -Wall -Werror -I"$srcdir/include" "$srcdir/tests/smoke.c" -L.libs -lvhost -o smoke
if [ "$emulator" = none ]; then
	run log "$MAKE" check-unit TESTS=
	skip "built, but 32-bit programs do not run here, nor is there qemu-i386 to run them (Debian: qemu-user)"
fi
LD_LIBRARY_PATH=.libs $emulator ./smoke
# Cases that the emulator itself would fail leave themselves out.
[ -z "$emulator" ] || export VHOST_TESTS_EMULATED=1

status=0
"$MAKE" check-unit VHOST_TESTS=quick LOG_COMPILER="$emulator" >log 2>&1 || status=$?
# One line for all, as libcheck would print it: tests/summarize counts the cases.
cat tests/*.log 2>/dev/null | sed -n 's/^[0-9]*%: Checks: //p' |
	awk -F '[^0-9]+' '{ n += $1; f += $2; e += $3 }
	     END { if (n) printf "%d%%: Checks: %d, Failures: %d, Errors: %d\n", 100 * (n - f - e) / n, n, f, e }'
if [ "$status" -ne 0 ]; then
	cat test-suite.log 2>/dev/null || tail -n 60 log
	exit 1
fi
