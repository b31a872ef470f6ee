#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# kunit.sh: loads the KUnit module in the debug guest and judges what it says. A module
# loads whatever its cases say, so the verdict comes from the console: from
# the module's own block, as the kernel's kunit.py reads it. The last line
# counts the cases. KERNEL is debug (default), rtdebug, kcsan or umldebug.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

kernel=${KERNEL:-debug}
console=$LOGS/kunit-$kernel.console
block=$WORK/kunit.ktap
shopt -s nullglob
files=("$TOP"/kunit/*_test.rs)

"$TOP/scripts/setup/build.sh" "$kernel"
status=0
"$TOP/scripts/guest/guest.sh" --name kunit --timeout 1200 "$kernel" \
	bash scripts/test/kunit_job.sh "$kernel" || status=$?
sed -n '/rust_ct kunit: begin/,/rust_ct kunit: end/p' "$console" >"$block"
grep -q 'rust_ct kunit: end' "$block" ||
	die "the KUnit module did not run to its end; console: $console"
suites=$(grep -c '# Subtest: ' "$block" || true)
result=$(in_root python3 /build/source/tools/testing/kunit/kunit.py parse /out/kunit.ktap) ||
	[ "$status" -ne 0 ] || status=1
printf '%s\n' "$result"
# count NAME: the number before or after NAME in kunit.py's last count.
count() {
	sed -nE "s/.*Testing complete\..*[ ,]$1: ([0-9]+).*/\1/p" <<<"$result" | tail -n 1
}
passed=$(count passed)
failed=$(($(count failed) + $(count crashed) + $(count errors) + 0))
if [ "$suites" -lt "${#files[@]}" ] || [ "$suites" -eq 0 ]; then
	echo "kunit: $suites suites ran, but kunit/ has ${#files[@]} of them" >&2
	status=1
fi
if [ "${passed:-0}" -eq 0 ]; then
	echo "kunit: no case passed" >&2
	status=1
fi
# A complaint of the kernel, or a suite that is missing, is a failure too.
[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
echo "kunit: $suites suites"
echo "${passed:-0} passed, $failed failed"
[ "$failed" -eq 0 ]
