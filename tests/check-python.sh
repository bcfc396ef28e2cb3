#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
# The library can be driven from another language, without macros or varargs.

# shellcheck source=tests/common.sh
. "${srcdir:-$(dirname "$0")/..}/tests/common.sh"

need python3
[ -z "$SANITIZE" ] || skip "python is not linked with the sanitizers' run-time"
[ -e "$libs/libvhost.so" ] || skip "no shared library was built"
[ -e "$srcdir/tests/ctypes_test.py" ] || skip "tests/ctypes_test.py is not there"
LIBVHOST=$libs/libvhost.so
PYTHONDONTWRITEBYTECODE=1
export LIBVHOST PYTHONDONTWRITEBYTECODE
exec python3 "$srcdir/tests/ctypes_test.py"
