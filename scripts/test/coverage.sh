#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# coverage.sh: which lines of the pure layer its host tests never run, the comparison with the kernel's own C among them.
# Prints the part of each file that was run, and the lines that were not.
#
# PROPTEST_CASES     how many cases a property is tried with (default 512)
# PROPTEST_RNG_SEED  seed of the properties' cases (default: drawn, and printed)

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

seed=${PROPTEST_RNG_SEED:-$SRANDOM}
work=$WORK/coverage
log=$LOGS/coverage-build.log

"$TOP/scripts/setup/setup.sh" root
in_root env CARGO_TARGET_DIR=/out/coverage bash /src/tests/host/reference.sh --build /build/source
run_step "the host tests, to be watched" "$log" \
	in_root env CARGO_TARGET_DIR=/out/coverage CARGO_BUILD_JOBS="$JOBS" RCT_REFERENCE=/out/coverage/reference \
	RUSTFLAGS="-C instrument-coverage" LLVM_PROFILE_FILE=/dev/null \
	cargo test --locked --lib --no-run --manifest-path /src/tests/host/Cargo.toml
# Cargo says which program it has made.
program=$(sed -n 's/^ *Executable .*(\(.*\))$/\1/p' "$log")
[ -n "$program" ] || die "coverage: cargo named no program; log: $log"

rm -rf "$work/counts"
say "coverage: PROPTEST_RNG_SEED=$seed"
in_root env LLVM_PROFILE_FILE=/out/coverage/counts/%p.profraw RCT_SELFTESTS=/build/source/tools/testing/selftests \
	PROPTEST_CASES="${PROPTEST_CASES:-512}" PROPTEST_RNG_SEED="$seed" PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 \
	"$program" --quiet
in_root bash -c 'llvm-profdata merge --sparse /out/coverage/counts/*.profraw -o /out/coverage/counts/all'
in_root llvm-cov export --format=lcov --instr-profile=/out/coverage/counts/all "$program" /src/rust_ct/pure \
	>"$work/lcov"
python3 -B "$TOP/tests/host/uncovered.py" "$work/lcov" "$TOP"
