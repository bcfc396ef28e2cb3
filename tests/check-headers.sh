#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# Public headers stand alone, are plain C99 and C++11, and go together with the
# kernel's in either order.

# shellcheck source=tests/common.sh
. "${srcdir:-$(dirname "$0")/..}/tests/common.sh"

make_scratch
cd "$scratch"
version=$(sed -n 's/^Version: //p' "$builddir/libvhost.pc")

kernel='#include <linux/vhost.h>
#include <linux/vhost_types.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_config.h>'

echo "$kernel" >kernel.c

set --
for h in "$srcdir"/include/vhost/*.h; do
	name=$(basename "$h" .h)
	line="#include <vhost/$name.h>"
	printf '%s\nint x_%s;\n' "$line" "only" >"$name-alone.c"
	printf '%s\n%s\n%s\nint x;\n' "$line" "$kernel" "$line" >"$name-first.c"
	printf '%s\n%s\nint x;\n' "$kernel" "$line" >"$name-last.c"
	echo "$line" >>all.h
	set -- "$@" "$name-alone.c" "$name-first.c" "$name-last.c"
done
# All of them, also in the opposite order.
sort -r all.h >reverse.h
for order in all reverse; do
	{ cat "$order.h"; echo "$kernel"; echo 'int x;'; } >"$order-first.c"
	{ echo "$kernel"; cat "$order.h"; echo 'int x;'; } >"$order-last.c"
	set -- "$@" "$order-first.c" "$order-last.c"
done
cat >version.c <<END
#include <vhost/vhost.h>
#define S_(x) #x
#define S(x) S_(x)
const char v[] = S(VHOST_VERSION_MAJOR) "." S(VHOST_VERSION_MINOR) "." S(VHOST_VERSION_PATCH);
_Static_assert(sizeof(v) == sizeof("$version") &&
	VHOST_VERSION_MAJOR == ${version%%.*}, "vhost/version.h is not $version");
END

tried=
# try COMPILER FLAGS...: every file, as that language.
try()
{
	command -v "$1" >/dev/null || { echo "note: $1 is not installed"; return; }
	tried=yes
	# Older kernel headers are no C++ by themselves: vring_init() converts void *.
	if ! "$@" -fsyntax-only kernel.c 2>/dev/null; then
		set -- "$@" -DVIRTIO_RING_NO_LEGACY
	fi
	compiler="$*"
	for f in $files; do
		"$@" -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$srcdir/include" "$f" ||
			wrong "$f with $compiler: $(tr '\n' ' ' <"$f")"
	done
}

files=$*
try gcc -std=c99 -Wstrict-prototypes -xc
try gcc -std=c17 -xc
try clang -std=c99 -Wstrict-prototypes -xc
try g++ -std=c++11 -xc++
try g++ -std=c++20 -xc++
try clang++ -std=c++11 -xc++
if [ -z "$tried" ]; then
	skip "none of gcc, clang, g++ and clang++ is installed"
fi

"$srcdir/tests/../configure" --version 2>/dev/null | grep -q " $version\$" ||
	wrong "libvhost.pc says $version, configure does not"
# shellcheck disable=SC2086 # CC may carry flags
[ -z "$version" ] || $CC -std=gnu11 -fsyntax-only -I"$srcdir/include" version.c ||
	wrong "include/vhost/version.h is not of version $version"
finish
