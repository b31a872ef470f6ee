#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# lint.sh: checks the form of the sources, each check with a verdict of its own:
# rustfmt and clippy as the kernel has them set, checkpatch, shellcheck, and
# the lines between the layers. The last line counts the checks.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

cd "$TOP"

# sources NAME...: the files of the clone whose names match, without build results.
sources() {
	local name args=()
	for name in "$@"; do
		args+=(-o -name "$name")
	done
	find . \( -name .git -o -name target \) -prune -o -type f \
		\( "${args[@]:1}" \) -print | sort
}

# Each file by itself, through standard input, so that none is left out for not
# being reached from a crate's root; rustfmt --check does not fail there.
check_rustfmt() {
	# shellcheck disable=SC2016,SC2046
	in_root sh -c 'cd /src; status=0
		for file; do
			rustfmt --emit stdout --edition 2021 \
				--config-path /build/source/.rustfmt.toml <"$file" |
				diff -u --label "$file" "$file" --label formatted - ||
				status=1
		done
		exit $status' sh $(sources '*.rs')
}

# clippy takes rustc's place for a whole build, with the kernel's set of lints.
check_clippy() {
	local kind=$1 log=$LOGS/clippy-$1.log
	shift
	rm -rf "$WORK/clippy-$kind"
	mkdir -p "$WORK/clippy-$kind"
	in_root make -C /src -j"$JOBS" CLIPPY=1 KDIR="/build/$kind" MO="/out/clippy-$kind" \
		"$@" modules >"$log" 2>&1 || { grep -A12 -E '^(warning|error)' "$log"; return 1; }
	! grep -A12 -E '^(warning|error)' "$log"
}

check_clippy_compare() {
	in_root env CARGO_TARGET_DIR=/out/clippy-compare CARGO_BUILD_JOBS="$JOBS" \
		cargo clippy --quiet --locked --all-targets \
		--manifest-path /src/tests/compare/Cargo.toml -- -D warnings
}

check_checkpatch() {
	# shellcheck disable=SC2016,SC2046
	in_root sh -c 'cd /src && perl /build/source/scripts/checkpatch.pl --no-tree \
		--strict --quiet --terse --no-summary --show-types -f "$@"' sh \
		$(sources '*.c' '*.h' '*.rs' Makefile Kconfig '*.mk')
}

check_shellcheck() {
	# shellcheck disable=SC2016,SC2046
	in_root sh -c 'cd /src && shellcheck -x "$@"' sh .ci/run packaging/files/load \
		packaging/files/rust-ct-switch packaging/files/refresh-initramfs packaging/files/keep-index packaging/files/carry \
		packaging/debian/*.p* \
		$(sources '*.sh')
}

# lint NAME COMMAND...: one check.
lint() {
	local name=$1 log=$LOGS/lint-$1.log start=$SECONDS
	shift
	if "$@" >"$log" 2>&1; then
		say "lint: $name: clean ($(duration $((SECONDS - start))))"
		passed=$((passed + 1))
	else
		cat "$log"
		say "lint: $name: not clean, the whole log: $log"
		failed=$((failed + 1))
	fi
}

"$TOP/scripts/setup/setup.sh" stock
mkdir -p "$LOGS"
passed=0
failed=0
lint layers scripts/lint/layers.py
lint layers-self-test scripts/lint/layers.py --self-test
lint exports scripts/lint/check_exports.sh
lint shellcheck check_shellcheck
lint rustfmt check_rustfmt
lint checkpatch check_checkpatch
lint clippy check_clippy stock CONFIG_RUST_CT_FEED=m
lint clippy-compare check_clippy_compare
# The KUnit module exists for kernels with KUnit only.
if [ -d "$(tree_dir debug)" ]; then
	lint clippy-kunit check_clippy debug CONFIG_RUST_CT_KUNIT_TEST=m
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
