#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# What make install puts in place serves a shared and a static consumer through
# pkg-config; make uninstall takes all of it away.

# shellcheck source=tests/common.sh
. "${srcdir:-$(dirname "$0")/..}/tests/common.sh"

[ -z "$SANITIZE" ] || skip "a library with sanitizers is not for installing"
need pkg-config readelf
make_scratch
root=$scratch/root

run "$scratch/log" "$MAKE" -C "$builddir" install DESTDIR="$root"
pc=$(find "$root" -name libvhost.pc)
[ -n "$pc" ] || die "no libvhost.pc was installed"
PKG_CONFIG_PATH=$(dirname "$pc")
PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
libdir=$root$(PKG_CONFIG_SYSROOT_DIR='' pkg-config --variable=libdir libvhost)

[ -e "$libdir/libvhost.so" ] || [ -e "$libdir/libvhost.a" ] || die "no library in $libdir"

if [ -e "$libdir/libvhost.so" ]; then
	so=$libdir/libvhost.so
	# shellcheck disable=SC2046,SC2086 # flags are words
	$CC -Wall -Werror "$srcdir/tests/smoke.c" -o "$scratch/shared" $(pkg-config --cflags --libs libvhost) ||
		wrong "a shared consumer does not build"
	LD_LIBRARY_PATH=$libdir "$scratch/shared" || wrong "a shared consumer does not run"

	readelf -dW "$so" >"$scratch/dynamic"
	grep -q 'SONAME.*\[libvhost\.so\.0\]' "$scratch/dynamic" || wrong "the soname is not libvhost.so.0"
	grep -q 'FLAGS.*NOW' "$scratch/dynamic" || wrong "not linked with -z now"
	readelf -lW "$so" | grep -q GNU_RELRO || wrong "not linked with -z relro"
	! readelf -lW "$so" | grep -q 'GNU_STACK.*RWE' || wrong "the stack is executable"
	! grep -qE 'RPATH|RUNPATH' "$scratch/dynamic" || wrong "the library carries a run path"
	! grep -q TEXTREL "$scratch/dynamic" || wrong "the library has text relocations"
	# libc alone. Some platforms name the loader beside it.
	sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' "$scratch/dynamic" >"$scratch/needed"
	while read -r needed; do
		case $needed in
		libc.so*|libc.musl*|ld-*) ;;
		*) wrong "the library needs $needed" ;;
		esac
	done <"$scratch/needed"
fi

if [ -e "$libdir/libvhost.a" ]; then
	# shellcheck disable=SC2046,SC2086 # flags are words
	echo 'int main(void) { return 0; }' >"$scratch/x.c"
	if $CC -static "$scratch/x.c" -o "$scratch/x" 2>/dev/null; then
		# shellcheck disable=SC2046,SC2086 # flags are words
		$CC -Wall -Werror -static "$srcdir/tests/smoke.c" -o "$scratch/static" \
			$(pkg-config --static --cflags --libs libvhost) || wrong "a static consumer does not build"
		"$scratch/static" || wrong "a static consumer does not run"
	else
		echo "note: $CC cannot link a static program here"
	fi
fi

for f in "$srcdir"/include/vhost/*.h; do
	[ -n "$(find "$root" -path "*/include/vhost/$(basename "$f")")" ] ||
		wrong "$(basename "$f") is not installed; list it in lib/local.mk"
done
for f in "$srcdir"/man/*.[1-8]; do
	[ ! -e "$f" ] || [ -n "$(find "$root" -name "$(basename "$f")")" ] ||
		wrong "$(basename "$f") is not installed; run man/update"
done

run "$scratch/log" "$MAKE" -C "$builddir" uninstall DESTDIR="$root"
left=$(find "$root" ! -type d)
[ -z "$left" ] || wrong "make uninstall leaves $left"
finish
