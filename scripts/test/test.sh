#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# test.sh [demo|lint|scripts|host|reference|fuzz|stock|stalls|compare|count|kunit|debug|soak|umldebug|
#         cloud|rt|rtdebug|kcsan|apps|selftests|install]... [beside LAYER...]:
# sets up what is needed and runs those layers of tests (default: all but demo, lint, soak and those
# behind it), prints what each of them counted and how long it took, and as the last line the sum. A
# layer that does not run counts as failed. Layers behind `beside` run while those before it do, which
# leave a processor idle; what they print comes when the layers before it have ended.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

cd "$TOP"

LAYERS="demo lint scripts host reference fuzz stock stalls compare count kunit debug soak"
LAYERS+=" umldebug cloud rt rtdebug kcsan apps selftests install"

# run_layer NAME: runs it, keeps its log, and adds up its last line.
run_layer() {
	local log=$LOGS/layer-$1.log start=$SECONDS status=0
	say "==== $1"
	"$TOP/scripts/test/test_layer.sh" "$1" </dev/null 2>&1 | tee "$log" || status=$?
	add_up "$1" $((SECONDS - start)) "$status"
}

# add_up NAME SECONDS STATUS: a row of the table, from the last line of the layer's log. A layer that ended
# with a STATUS has failed, whatever it counted.
add_up() {
	local name=$1 log=$LOGS/layer-$1.log line
	line=$(tail -n 1 "$log")
	if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed ]] &&
		((BASH_REMATCH[1] + BASH_REMATCH[2] > 0)); then
		counts=("${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}")
		[ "$3" -eq 0 ] || [ "${counts[1]}" -gt 0 ] || {
			warn "$name ended with status $3; log: $log"
			counts[1]=1
		}
	else
		warn "$name did not run to its end; log: $log"
		counts=(0 1)
	fi
	passed=$((passed + counts[0]))
	failed=$((failed + counts[1]))
	[ "${counts[1]}" -eq 0 ] || say_failures "$name" "$log"
	table+=$(printf '%-10s %6d passed %4d failed %8s' "$name" "${counts[@]}" \
		"$(duration "$2")")$'\n'
}

# say_failures NAME LOG: keeps for the end of what is printed what did not hold in a layer, with what is said about
# it, and the last lines of its log.
say_failures() {
	failures+="$1:"$'\n'
	failures+=$(grep -m 10 -A 2 -E '^ *not ok |FAIL|WARNING|ERROR|BUG:|error:' "$2"; tail -n 8 "$2")$'\n'
}

# run_quietly NAME...: runs them behind each other, and keeps what each prints, how long it took and
# with which status it ended.
run_quietly() {
	local name start status
	for name; do
		# It looks at the KUnit module if the debug kernel is there.
		[ "$name" != lint ] || [ -z "$setup_pid" ] || tail -f --pid="$setup_pid" /dev/null
		start=$SECONDS status=0
		"$TOP/scripts/test/test_layer.sh" "$name" </dev/null >"$LOGS/layer-$name.log" 2>&1 || status=$?
		echo $((SECONDS - start)) "$status" >"$LOGS/layer-$name.seconds"
	done
}

# In a process group of its own, which is ended as a whole. What another run has left is not to
# count where they do not come to their end.
start_beside() {
	local name
	say "beside the others: ${beside[*]}"
	for name in "${beside[@]}"; do
		: >"$LOGS/layer-$name.log"
		echo 0 1 >"$LOGS/layer-$name.seconds"
	done
	set -m
	run_quietly "${beside[@]}" &
	beside_pid=$!
	set +m
	renice -n 5 -g "$beside_pid" >/dev/null
}

# Waits for them, prints, and adds up.
end_beside() {
	local name seconds status
	say "waiting for what runs beside: ${beside[*]}"
	wait "$beside_pid" || true
	beside_pid=
	for name in "${beside[@]}"; do
		say "==== $name"
		cat "$LOGS/layer-$name.log"
		read -r seconds status <"$LOGS/layer-$name.seconds"
		add_up "$name" "$seconds" "$status"
	done
}

end_background() {
	[ -z "$setup_pid" ] || kill "$setup_pid" 2>/dev/null || true
	[ -z "$beside_pid" ] || kill -- "-$beside_pid" 2>/dev/null || true
	end_step_group
}

# The long build goes on beside the tests that do not need it.
setup_debug() {
	nice "$TOP/scripts/setup/setup.sh" debug >"$LOGS/setup-debug.log" 2>&1 &
	setup_pid=$!
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

# know LAYER...: dies of a layer that there is not.
know() {
	local layer
	for layer; do
		[[ " $LAYERS " == *" $layer "* ]] || die "unknown layer '$layer' (${LAYERS// /, })"
	done
}

layers=()
while [ $# -gt 0 ] && [ "$1" != beside ]; do
	layers+=("$1")
	shift
done
beside=("${@:2}")
[ ${#layers[@]} -gt 0 ] || layers=(scripts host reference fuzz stock stalls compare count kunit debug)
know "${layers[@]}" "${beside[@]}"
passed=0
failed=0
failures=
table=
setup_pid=
beside_pid=
trap end_background EXIT
start=$SECONDS
case " ${layers[*]} ${beside[*]} " in
*' demo '* | *' stock '* | *' stalls '* | *' compare '* | *' count '* | *' lint '* | \
	*' apps '* | *' selftests '* | *' install '*) scripts/setup/setup.sh stock ;;
*) scripts/setup/setup.sh root ;;
esac
case " ${layers[*]} " in
*' kunit '* | *' debug '* | *' soak '*) setup_debug ;;
esac
table+=$(printf '%-10s %27s %8s' "(set-up)" "" "$(duration $((SECONDS - start)))")$'\n'
[ ${#beside[@]} -eq 0 ] || start_beside
for layer in "${layers[@]}"; do
	case $layer in
	kunit | debug | soak) wait_for_setup ;;
	esac
	run_layer "$layer"
done
[ -z "$beside_pid" ] || end_beside
[ -z "$failures" ] || printf '\nWhat failed, as far as it fits here:\n%s' "$failures"
printf '\n%s' "$table"
printf '%-10s %27s %8s\n\n' "(all)" "" "$(duration $((SECONDS - start)))"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
