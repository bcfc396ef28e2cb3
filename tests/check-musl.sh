#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
# The library builds with musl, and a static program with it runs.

# shellcheck source=tests/common.sh
. "${srcdir:-$(dirname "$0")/..}/tests/common.sh"

need musl-gcc
need_clean_srcdir
make_scratch
cd "$scratch"

# musl-gcc knows musl's headers alone; the kernel's come from the system, last.
flags="-idirafter /usr/include -idirafter /usr/include/$(gcc -print-multiarch)"
run log "$srcdir/configure" CC=musl-gcc CPPFLAGS="$flags" \
	--disable-shared --disable-tools --enable-werror
run log "$MAKE" libvhost.la
# shellcheck disable=SC2086 # flags are words
run log musl-gcc -static -Wall -Wextra -Werror $flags -I"$srcdir/include" \
	"$srcdir/tests/smoke.c" .libs/libvhost.a -o smoke
./smoke
