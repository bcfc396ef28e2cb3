# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# Not installed. make bench builds them; so does make check, to keep them whole.

bench_programs = \
	bench/bench-bringup \
	bench/bench-roundtrip \
	bench/bench-virtq

EXTRA_DIST += bench/README bench/instructions.sh bench/roundtrip.sh bench/run

check_PROGRAMS += $(bench_programs)

bench: $(bench_programs)
