#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# coverage.sh: which lines of the module no test ever runs. The host tests of the pure layer, with the comparison with
# the kernel's own C; in user-mode Linux with KASAN and two processors KUnit, the scenarios in full and ten minutes of
# soak; on the stock kernel in QEMU the scenarios once more, as it has tracepoints, BPF and modules that the other lacks.
# Prints the lines of Rust that were not run, and the part of each file that was. Whether the tests pass is another
# command's business (make test-umldebug, test-stock, soak): here a failure is a warning, as of the scenario `stalls`,
# whose bounds are in milliseconds and which this module is too slow for.
#
# PARTS              of "host kunit scenarios soak stock" (default: all)
# MINUTES            of soak (default 10)
# SCENARIOS          only these
# PROPTEST_CASES     how many cases a property is tried with (default 512)
# PROPTEST_RNG_SEED  seed of the properties' cases, and of the soak (default: drawn, and printed)

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

seed=${PROPTEST_RNG_SEED:-$SRANDOM}
parts=${PARTS:-host kunit scenarios soak stock}
work=$WORK/coverage
kept=$work/kept

# counted NAME OBJECT: writes NAME.lcov of NAME's profiles; OBJECT describes what they count.
counted() {
	in_root bash -c "llvm-profdata merge --sparse /out/coverage/kept/$1-*.profraw -o /out/coverage/$1.profdata"
	in_root llvm-cov export --format=lcov --instr-profile="/out/coverage/$1.profdata" "$2" >"$work/$1.lcov"
}

host() {
	local log=$LOGS/coverage-build.log program
	in_root env CARGO_TARGET_DIR=/out/coverage-host bash /src/tests/host/reference.sh --build /build/source
	run_step "the host tests, to be watched" "$log" \
		in_root env CARGO_TARGET_DIR=/out/coverage-host CARGO_BUILD_JOBS="$JOBS" RCT_REFERENCE=/out/coverage-host/reference \
		RUSTFLAGS="-C instrument-coverage" LLVM_PROFILE_FILE=/dev/null \
		cargo test --locked --lib --no-run --manifest-path /src/tests/host/Cargo.toml
	# Cargo says which program it has made.
	program=$(sed -n 's/^ *Executable .*(\(.*\))$/\1/p' "$log")
	[ -n "$program" ] || die "coverage: cargo named no program; log: $log"
	in_root env LLVM_PROFILE_FILE=/out/coverage/kept/host-%p.profraw \
		RCT_SELFTESTS=/build/source/tools/testing/selftests \
		PROPTEST_CASES="${PROPTEST_CASES:-512}" PROPTEST_RNG_SEED="$seed" PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 \
		"$program" --quiet || warn "coverage: not all host tests passed"
	counted host "$program"
}

# guest NAME KIND SECONDS OBJECT COMMAND...: runs COMMAND on that kernel, with the module that OBJECT is of.
guest() {
	local name=$1 kind=$2 file
	"$TOP/scripts/guest/guest.sh" --name "coverage-$name" --timeout "$3" --cached "$kind" \
		tests/coverage/watched.sh "$kind" "$name" "${@:5}" ||
		warn "coverage: not all of $name passed, see $LOGS/coverage-$name-$kind.log"
	# It was not loaded if there is no file: it is a mistake if there is none at all.
	for file in "$work/$name"-*; do
		[ -e "$file" ] || {
			warn "coverage: $name did not come to its end, and is not counted"
			complete=
			return
		}
		python3 -B "$TOP/tests/coverage/raw.py" "$file" "$kept/${file##*/}.profraw"
	done
	counted "$name" "/out/$kind-coverage/$4_main.o"
}

kunit() {
	guest kunit umldebug 600 kunit/rust_ct_kunit bash scripts/test/kunit_job.sh umldebug-coverage
}

# module NAME KIND SECONDS VARIABLE=VALUE... COMMAND...: the same, with what the scenarios and the soak are told.
module() {
	guest "$1" "$2" "$3" rust_ct/rust_ct \
		env CT=rust_ct RUST_CT_KO="/out/$2-coverage/rust_ct/rust_ct.ko" SLOW=4 "${@:4}"
}

scenarios() {
	# shellcheck disable=SC2086
	module scenarios umldebug 7200 FULL=1 python3 -B tests/scenarios/run.py ${SCENARIOS:-}
}

stock() {
	# shellcheck disable=SC2086
	module stock stock 7200 FULL=0 python3 -B tests/scenarios/run.py ${SCENARIOS:-}
}

soak() {
	local minutes=${MINUTES:-10}
	module soak umldebug "$(awk -v minutes="$minutes" 'BEGIN { print int(minutes * 60 * 1.2) + 1200 }')" \
		SLOW=2 FULL=0 MINUTES="$minutes" SEED="$seed" WITHOUT= python3 -B tests/soak/soak.py
}

for part in $parts; do
	case $part in
	host | kunit | scenarios | soak | stock) ;;
	*) die "coverage: unknown part '$part' (host, kunit, scenarios, soak or stock)" ;;
	esac
done
rm -rf "$work"
mkdir -p "$kept"
complete=1
say "coverage: PROPTEST_RNG_SEED=$seed"
"$TOP/scripts/setup/setup.sh" root
for part in $parts; do
	case $part in
	kunit | scenarios | soak) COVERAGE=1 "$TOP/scripts/setup/build.sh" umldebug ;;
	stock) COVERAGE=1 "$TOP/scripts/setup/build.sh" stock ;;
	esac
	"$part"
done
python3 -B "$TOP/tests/coverage/uncovered.py" "$TOP" "$work"/*.lcov
[ -n "$complete" ]
