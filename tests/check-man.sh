#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# Man pages are free of what mandoc warns about, and their examples work. An
# example is a literal display that begins with #include: a whole program. It is
# compiled; it is run, and must exit with 0, when the line before its .Bd is
#	.\" run
# An example that talks to a device takes its address as its argument, and is not
# marked so, unless EXAMPLE_ADDRESS is set in the environment of the test.

# shellcheck source=tests/common.sh
. "${srcdir:-$(dirname "$0")/..}/tests/common.sh"

make_scratch
set --
for page in "$srcdir"/man/*.[1-8]; do
	[ -e "$page" ] || continue
	case $(head -n 1 "$page") in
	.so*) ;;
	*) set -- "$@" "$page" ;;
	esac
done
[ $# -gt 0 ] || skip "there are no man pages"

cd "$scratch"
for page; do
	awk -v stem="$(basename "$page")" '
	function plain(s) {
		gsub(/\\&/, "", s)
		gsub(/\\e/, "\001", s)
		gsub(/\\\(aq/, "\047", s)
		gsub(/\\\(dq/, "\"", s)
		gsub(/\\\(ha/, "^", s)
		gsub(/\\\(ti/, "~", s)
		gsub(/\\\(rs/, "\001", s)
		gsub(/\\-/, "-", s)
		gsub(/\001/, "\\", s)
		return s
	}
	/^\.Bd.*-literal/ { on = 1; n = 0; file = ""; marked = (before ~ /^\.\\" run/); next }
	/^\.Ed/ { if (file != "") close(file); on = 0; file = "" }
	{ before = $0 }
	on && ++n == 1 && /^#include/ {
		file = stem "-" ++count ".c"
		if (marked)
			print "" > (file ".run")
		print "#line " NR " \"" stem "\"" > file
	}
	file != "" { print plain($0) > file }' "$page"
done

# The README's program is held to the same.
awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$srcdir/README.md" >README.c

if [ -e "$libs/libvhost.so" ]; then
	link="-L$libs -lvhost"
else
	link="$libs/libvhost.a"
fi
LD_LIBRARY_PATH=$libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH

compiled=0
ran=0
for c in ./*.c; do
	[ -e "$c" ] || continue
	exe=${c%.c}
	# shellcheck disable=SC2086 # flags are words
	if ! $CC -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror $SANITIZE -I"$srcdir/include" "$c" -o "$exe" $link; then
		wrong "example does not compile: $c"
		continue
	fi
	compiled=$((compiled + 1))
	if [ -e "$c.run" ] || [ -n "${EXAMPLE_ADDRESS:-}" ]; then
		status=0
		timeout 20 "$exe" ${EXAMPLE_ADDRESS:+"$EXAMPLE_ADDRESS"} </dev/null >"$exe.out" 2>&1 || status=$?
		if [ "$status" -ne 0 ]; then
			cat "$exe.out"
			wrong "example exits with $status: $c"
		fi
		ran=$((ran + 1))
	fi
done
echo "$# pages; $compiled examples compiled, $ran run"

if command -v mandoc >/dev/null; then
	mandoc -T lint -W warning "$@" || wrong "mandoc finds fault with the pages"
elif [ "$failures" -eq 0 ]; then
	skip "mandoc is not installed; the examples were compiled"
fi
finish
