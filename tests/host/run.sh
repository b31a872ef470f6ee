#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the host tests of the pure layer, and the models of the lock-free protocols; the last line
# says how many passed and failed. An argument is a part of the names of the tests to run.
#
# CARGO_TARGET_DIR   where to build, outside the clone (default $XDG_CACHE_HOME/rust_ct/host)
# PROPTEST_CASES     how many cases a property is tried with (default 4096)
# PROPTEST_RNG_SEED  seed of the properties' cases, to repeat a failed run (default: a new one)
# LOOM_MAX_PREEMPTIONS  how often the models preempt a thread (default 2; 3 takes minutes)
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")"

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/rust_ct/host}"
export PROPTEST_CASES="${PROPTEST_CASES:-4096}"
export PROPTEST_RNG_SEED="${PROPTEST_RNG_SEED:-$SRANDOM}"
export PROPTEST_DISABLE_FAILURE_PERSISTENCE=1

if ! command -v cargo >/dev/null; then
	echo "tests/host/run.sh: cargo is missing; install the packages in tests/host/packages.txt" >&2
	exit 1
fi

echo "host tests: $(rustc --version), $PROPTEST_CASES cases, PROPTEST_RNG_SEED=$PROPTEST_RNG_SEED"
status=0
passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for crate in . ../loom; do
	cargo test --locked --lib --manifest-path "$crate/Cargo.toml" -- "$@" 2>&1 | tee "$log" || status=$?
	# What cargo counted is the verdict; no count means that nothing was built.
	counts=$(sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed.*/\1 \2/p' "$log")
	if [ -z "$counts" ]; then
		echo "tests/host/run.sh: the tests of $crate were not built, see above" >&2
		exit 1
	fi
	passed=$((passed + ${counts% *}))
	failed=$((failed + ${counts#* }))
done
if [ "$passed" -eq 0 ] && [ "$failed" -eq 0 ]; then
	echo "tests/host/run.sh: no test was run" >&2
	exit 1
fi
echo "$passed passed, $failed failed"
exit "$status"
