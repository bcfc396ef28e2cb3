# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# Not installed. make bench builds them; so does make check, to keep them whole.

bench_programs = \
	bench/bench-backend \
	bench/bench-bringup \
	bench/bench-net \
	bench/bench-roundtrip \
	bench/bench-vdpa \
	bench/bench-virtq \
	bench/bench-vring

EXTRA_DIST += bench/README bench/backend-calls.sh bench/backend-peers.sh \
	bench/bringup-calls.sh bench/frames.sh bench/guest.sh bench/half.h \
	bench/instructions.sh bench/mapping.sh bench/roundtrip.sh bench/run \
	bench/vring-instructions.sh

check_PROGRAMS += $(bench_programs)

bench: $(bench_programs)
