#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# test.sh [demo|lint|scripts|host|reference|fuzz|stock|compare|count|kunit|debug|cloud|rt|rtdebug]...:
# sets up what is needed and runs those layers of tests (default: all but demo, lint and the last
# three), prints what each of them counted and how long it took, and as the last line the sum. A
# layer that does not run counts as failed.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

cd "$TOP"

# run_layer NAME: runs it, keeps its log, and adds up its last line.
run_layer() {
	local name=$1 log=$LOGS/layer-$1.log start=$SECONDS line
	say "==== $name"
	"$TOP/scripts/test/test_layer.sh" "$name" </dev/null 2>&1 | tee "$log" || true
	line=$(tail -n 1 "$log")
	if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed ]] &&
		((BASH_REMATCH[1] + BASH_REMATCH[2] > 0)); then
		counts=("${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}")
	else
		warn "$name did not run to its end; log: $log"
		counts=(0 1)
	fi
	passed=$((passed + counts[0]))
	failed=$((failed + counts[1]))
	table+=$(printf '%-10s %6d passed %4d failed %8s' "$name" "${counts[@]}" \
		"$(duration $((SECONDS - start)))")$'\n'
}

# The long build goes on beside the tests that do not need it.
setup_debug() {
	nice "$TOP/scripts/setup/setup.sh" debug >"$LOGS/setup-debug.log" 2>&1 &
	setup_pid=$!
	trap 'kill "$setup_pid" 2>/dev/null || true; end_step_group' EXIT
}

wait_for_setup() {
	[ -n "$setup_pid" ] || return 0
	local start=$SECONDS
	say "waiting for the debug kernel"
	tail -n 0 -f --pid="$setup_pid" "$LOGS/setup-debug.log" || true
	wait "$setup_pid" || {
		tail -n 30 "$LOGS/setup-debug.log" >&2
		warn "the debug kernel could not be made, see above"
	}
	setup_pid=
	table+=$(printf '%-10s %27s %8s' "(waited)" "for the debug kernel" \
		"$(duration $((SECONDS - start)))")$'\n'
}

layers=("$@")
[ ${#layers[@]} -gt 0 ] || layers=(scripts host reference fuzz stock compare count kunit debug)
passed=0
failed=0
table=
setup_pid=
start=$SECONDS
case " ${layers[*]} " in
*' demo '* | *' stock '* | *' compare '* | *' count '* | *' lint '*) scripts/setup/setup.sh stock ;;
*) scripts/setup/setup.sh root ;;
esac
case " ${layers[*]} " in
*' kunit '* | *' debug '*) setup_debug ;;
esac
table+=$(printf '%-10s %27s %8s' "(set-up)" "" "$(duration $((SECONDS - start)))")$'\n'
for layer in "${layers[@]}"; do
	case $layer in
	kunit | debug) wait_for_setup ;;
	demo | lint | scripts | host | reference | fuzz | stock | compare | count | cloud | rt | rtdebug) ;;
	*) die "unknown layer '$layer' (demo, lint, scripts, host, reference, fuzz, stock, compare, count, kunit, debug, cloud, rt, rtdebug)" ;;
	esac
	run_layer "$layer"
done
printf '\n%s' "$table"
printf '%-10s %27s %8s\n\n' "(all)" "" "$(duration $((SECONDS - start)))"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
