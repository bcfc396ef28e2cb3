#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# The functions that the shared library exports are those that its map lists,
# those that the public headers declare, and those that the man pages describe.

# shellcheck source=tests/common.sh
. "${srcdir:-$(dirname "$0")/..}/tests/common.sh"

need gcc awk comm
[ -e "$libs/libvhost.so" ] || skip "no shared library was built"
make_scratch
cd "$scratch"

# shellcheck disable=SC2086 # NM may carry flags
$NM -D --defined-only "$libs/libvhost.so" |
	awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort -u >exported

# Between "global:" and "local:" or "}".
tr '\n' ' ' <"$srcdir/lib/libvhost.map" | sed 's|/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/||g' |
	sed 's/[;{}]/\n/g' | awk '
		/local:/ { on = 0 }
		/global:/ { on = 1; sub(/.*global:/, "") }
		on && NF == 1 { print $1 }
		/^ *LIBVHOST_/ { on = 0 }' | sort -u >mapped

# The compiler reads the headers: -aux-info writes a prototype a line, with the
# file it comes from. What is static inline is not exported.
for h in "$srcdir"/include/vhost/*.h; do
	echo "#include <vhost/$(basename "$h")>"
done >all.c
gcc -std=gnu11 -fsyntax-only -I"$srcdir/include" -aux-info protos all.c
awk '/include\/vhost\/[a-z0-9_-]*\.h:/ && / extern / {
	if (match($0, /vhost_[A-Za-z0-9_]* \(/))
		print substr($0, RSTART, RLENGTH - 2)
}' protos | sort -u >declared

# name_of FILE: the names in NAME. fn_of FILE: the functions in SYNOPSIS.
name_of()
{
	awk '/^\.Sh/ { on = ($2 == "NAME") } on && $1 == ".Nm" { print $2 }' "$1"
}
fn_of()
{
	awk '/^\.Sh/ { on = ($2 == "SYNOPSIS") }
	     on && ($1 == ".Fn" || $1 == ".Fo") && $2 ~ /^vhost_/ { print $2 }' "$1"
}

: >named
: >described
for page in "$srcdir"/man/*.3; do
	[ -e "$page" ] || continue
	case $(head -n 1 "$page") in
	.so*) ;;
	*)
		name_of "$page" >>named
		fn_of "$page" >>described
		;;
	esac
done
sort -u -o named named
sort -u -o described described

# A page by its own name for each function: the page itself or a .so link to it.
: >paged
while read -r fn; do
	page=$srcdir/man/$fn.3
	[ -e "$page" ] || continue
	target=$(sed -n '1s/^\.so man3\///p' "$page")
	if [ -n "$target" ]; then
		[ -e "$srcdir/man/$target" ] || { wrong "man/$fn.3 leads to man/$target, which is not there"; continue; }
		page=$srcdir/man/$target
	fi
	name_of "$page" | grep -qx "$fn" || { wrong "$(basename "$page") does not name $fn, to which man/$fn.3 leads"; continue; }
	echo "$fn" >>paged
done <exported

# differ FILE WHAT: what is exported and what FILE has must be the same names.
differ()
{
	comm -23 exported "$1" >lacking
	comm -13 exported "$1" >beyond
	while read -r fn; do wrong "$fn is exported but $2"; done <lacking
	while read -r fn; do wrong "$fn is not exported but $3"; done <beyond
}

[ -s exported ] || die "the library exports nothing"
differ mapped "is not in lib/libvhost.map by name" "is in lib/libvhost.map"
differ declared "no header declares it" "a header declares it"
differ described "no page has it in its SYNOPSIS" "a page has it in its SYNOPSIS"
grep '^vhost_' named >named.fn || :
differ named.fn "no page names it" "a page of section 3 names it"
differ paged "man/ has no page by its name (run man/update)" "paged"
echo "$(wc -l <exported) functions"
finish
