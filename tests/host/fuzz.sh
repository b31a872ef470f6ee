#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Fuzzes the pure layer for SECONDS per target, with cargo-fuzz and AddressSanitizer; ends with an error
# if anything was found.
#
# CARGO_TARGET_DIR  where to build, outside the clone (default $XDG_CACHE_HOME/rust_ct/fuzz); the corpus
#                   is kept there too, and what is found is left in its directory "found"
# FUZZ_JOBS         how many processors to build with (default: all)
set -euo pipefail

readonly CARGO_FUZZ_VERSION=0.13.1
readonly CLANG=19

die() {
	echo "tests/host/fuzz.sh: $*" >&2
	exit 1
}

seconds="${1:-}"
[[ "$seconds" =~ ^[1-9][0-9]*$ ]] || die "usage: tests/host/fuzz.sh SECONDS, got '$seconds'"

cd "$(dirname "$(readlink -f "$0")")"
cache="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/rust_ct/fuzz}"
mkdir -p "$cache"
cache=$(readlink -f "$cache")
export CARGO_TARGET_DIR="$cache/target"
export CARGO_BUILD_JOBS="${FUZZ_JOBS:-$(nproc)}"

for tool in cargo "clang-$CLANG"; do
	command -v "$tool" >/dev/null ||
		die "$tool is missing; install the packages in tests/host/packages.txt"
done
host=$(rustc -vV | sed -n 's/^host: //p')
runtime=$("clang-$CLANG" -print-file-name="libclang_rt.fuzzer-${host%%-*}.a")
[ -f "$runtime" ] || die "libFuzzer is missing; install libclang-rt-$CLANG-dev"

# Debian's rustc has no sanitizer runtime, so clang links its own.
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Zexternal-clangrt -Clinker=clang-$CLANG -Clink-arg=-fsanitize=address"
export CUSTOM_LIBFUZZER_PATH="$runtime"
export ASAN_OPTIONS="detect_odr_violation=0"

fuzz=("$cache/tools/bin/cargo-fuzz" fuzz)
if ! "${fuzz[@]}" --version 2>/dev/null | grep -qF "$CARGO_FUZZ_VERSION"; then
	echo "fuzz: building cargo-fuzz $CARGO_FUZZ_VERSION (a minute or two)"
	env -u RUSTFLAGS -u RUSTC_BOOTSTRAP cargo install --quiet --locked --force \
		--root "$cache/tools" cargo-fuzz --version "$CARGO_FUZZ_VERSION"
fi

# Makes files of the seeds, one line each: a name and bytes in hexadecimal.
plant() {
	local target=$1 name hex
	mkdir -p "$cache/corpus/$target" "$cache/found/$target"
	[ -f "fuzz/seeds/$target.txt" ] || return 0
	while read -r name hex; do
		case $name in '' | '#'*) continue ;; esac
		printf '%b' "${hex//??/\\x&}" >"$cache/corpus/$target/seed-$name"
	done <"fuzz/seeds/$target.txt"
}

# Runs a target on its corpus with some options of libFuzzer; what it says goes to its log.
run() {
	local target=$1
	shift
	plant "$target"
	"$CARGO_TARGET_DIR/$host/release/$target" "$cache/corpus/$target" \
		-artifact_prefix="$cache/found/$target/" "$@" >"$cache/$target.log" 2>&1
}

probe() {
	if run asan_probe -runs=1; then
		die "AddressSanitizer is not active: it let a read past an allocation pass"
	fi
	grep -q 'AddressSanitizer: heap-buffer-overflow' "$cache/asan_probe.log" ||
		die "the probe failed, but not by AddressSanitizer, see $cache/asan_probe.log"
	rm -rf "$cache/found/asan_probe"
	echo "fuzz: AddressSanitizer is active: it stopped the deliberate overflow"
}

hunt() {
	local target=$1 log=$cache/$1.log runs cov
	echo "fuzz: $target for $seconds s, log in $log"
	if ! run "$target" -max_total_time="$seconds" -max_len=4096 -print_final_stats=1; then
		tail -40 "$log" >&2
		die "$target found something, or could not run: see $log and $cache/found/$target"
	fi
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	cov=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
	if [ "${runs:-0}" -eq 0 ] || [ "${cov:-0}" -eq 0 ]; then
		die "$target executed nothing, see $log"
	fi
	echo "fuzz: $target: $runs executions, coverage $cov edges, nothing found"
}

echo "fuzz: building the targets, log in $cache/build.log"
if ! "${fuzz[@]}" build >"$cache/build.log" 2>&1; then
	tail -40 "$cache/build.log" >&2
	die "the targets could not be built: see $cache/build.log"
fi
probe
for file in fuzz/fuzz_targets/*.rs; do
	target=$(basename "$file" .rs)
	[ "$target" = asan_probe ] || hunt "$target"
done
