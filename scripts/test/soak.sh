#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# soak.sh: does everything that can be done to the tracker, all at once and for long, and looks at what must hold
# (tests/soak, Documentation/trust.md). A line each minute; the last one is 'N passed, N failed'. The log is kept as
# work-*/logs/soak-KERNEL.log.
#
# HOURS    how long (default: ten minutes), or MINUTES
# SEED     of all that is drawn (default: drawn, and printed)
# CPUS     how many processors (default: two to four, by the seed)
# KERNEL   debug (default), stock, kcsan, or umldebug: user-mode Linux with KASAN, where an hour does as much as many
#          under emulation
# WITHOUT  what is left out, names of workers
# CT       rust_ct (default), or nf_conntrack to see whether the soak is right

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

kernel=${KERNEL:-debug}
seed=${SEED:-$SRANDOM}
minutes=${MINUTES:-$(awk -v hours="${HOURS:-0.1667}" 'BEGIN { print hours * 60 }')}
cpus=${CPUS:-$((2 + seed % 3))}
case $kernel in
debug | kcsan) slow=6 ;;
stock) slow=3 ;;
umldebug) slow=2 ;;
*) die "soak: unknown kernel '$kernel' (debug, stock, kcsan or umldebug)" ;;
esac

"$TOP/scripts/setup/build.sh" "$kernel"
"$TOP/scripts/guest/guest.sh" --name soak --cpus "$cpus" --cached \
	--timeout "$(awk -v minutes="$minutes" 'BEGIN { print int(minutes * 60 * 1.2) + 1200 }')" "$kernel" \
	env CT="${CT:-rust_ct}" RUST_CT_KO="/out/$kernel/rust_ct/rust_ct.ko" SLOW=$slow FULL=0 \
	MINUTES="$minutes" SEED="$seed" WITHOUT="${WITHOUT:-}" python3 -B tests/soak/soak.py
