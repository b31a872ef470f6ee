#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the scenarios as root in the guest and prints TAP: every check is a line of its own.
#
#   run.sh [--list] [scenario ...]
#
# CT          rust_ct (default), or nf_conntrack to see whether the scenarios are right
# RUST_CT_KO  the module's file, for CT=rust_ct
# SLOW        whole factor for every time limit (default 1: the stock kernel under TCG)
# FULL        1 does everything as often on a slow kernel as on a fast one (default: a quarter)
# KEEP_GOING  0 stops after the first scenario that fails (default 1)
#
# A scenario is a file here, NAME.sh or NAME.py; the line `# limit: SECONDS` in it is its time limit.
# It prints `ok - what`, `not ok - what`, `ok - what # SKIP why`, and as its last line `# end`.
# After each one its namespaces and the tracker are removed and the kernel's log is searched.

set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=tests/scenarios/lib.sh
. "$here/lib.sh"

# What no scenario may leave in the kernel's log.
COMPLAINTS='BUG:|WARNING:|KASAN|UBSAN|Oops|general protection|RIP:|Call Trace|INFO: |possible .* locking|suspicious RCU|refcount_t|objects remaining|still has objects|unreferenced object|unregister_netdevice: waiting|ODEBUG|sleeping function|scheduling while atomic|soft lockup|hung_task|rust_kernel: panicked'

passed=0
failed=0
skipped=0
number=0

# tap LINE: numbers one check of the scenario $name, passes diagnostics on.
tap() {
	case $1 in
	'ok - '*' # SKIP '*)
		skipped=$((skipped + 1))
		number=$((number + 1))
		echo "ok $number - $name: ${1#ok - }"
		;;
	'ok - '*)
		passed=$((passed + 1))
		number=$((number + 1))
		echo "ok $number - $name: ${1#ok - }"
		;;
	'not ok - '*)
		failed=$((failed + 1))
		number=$((number + 1))
		echo "not ok $number - $name: ${1#not ok - }"
		;;
	'# end')
		ended=1
		;;
	'#'*)
		echo "$1"
		;;
	*)
		echo "# $1"
		;;
	esac
}

# clean_up: takes away what a scenario left; tells whether all of it went.
clean_up() {
	drop_ns && ct_unload
}

# kernel_log MARK: its complaints since the mark, with what follows each of them.
kernel_log() {
	dmesg | sed -n "/$1/,\$p" | grep -E -A40 -- "$COMPLAINTS" || true
}

run_one() {
	local file=$1 limit mark status complaints
	name=$(basename "${file%.*}")
	limit=$(sed -n 's/^# limit: //p' "$file")
	mark="scenario $name starts ($$ $RANDOM)"
	echo "$mark" >/dev/kmsg
	echo "# $name: at most $((limit * SLOW)) s, started at $(cut -d' ' -f1 /proc/uptime)"
	ended=0
	case $file in
	*.py) set -- python3 -B "$file" ;;
	*) set -- bash "$file" ;;
	esac
	status=0
	# The end is a line, not the end of the pipe, which servers of the scenario may still hold.
	while IFS= read -r line && [[ $line != "$mark "* ]]; do
		tap "$line"
	done < <(
		timeout -k 10 $((limit * SLOW)) "$@" 2>&1 </dev/null || status=$?
		echo "$mark $status"
	)
	status=${line#"$mark "}
	if [ "$status" = 124 ] || [ "$status" = 137 ]; then
		tap "not ok - over within $((limit * SLOW)) s"
	elif [ "$status" != 0 ] || [ $ended = 0 ]; then
		tap "not ok - ran to its end (status $status)"
	fi
	if complaints=$(clean_up 2>&1); then
		tap "ok - leaves nothing behind"
	else
		tap "not ok - leaves nothing behind"
		diag "$complaints"
	fi
	complaints=$(kernel_log "$mark")
	if [ -z "$complaints" ]; then
		tap "ok - the kernel does not complain"
	else
		tap "not ok - the kernel does not complain"
		diag "$complaints"
	fi
}

main() {
	local files=() file wanted before
	for file in "$here"/*.sh "$here"/*.py; do
		if grep -q '^# limit: ' "$file" && [ "$file" != "$here/run.sh" ]; then
			files+=("$file")
		fi
	done
	if [ "${1:-}" = --list ]; then
		for file in "${files[@]}"; do
			basename "${file%.*}"
		done
		return
	fi
	if [ $# -gt 0 ]; then
		files=()
		for wanted in "$@"; do
			file=$here/$wanted.sh
			[ -e "$file" ] || file=$here/$wanted.py
			if [ ! -e "$file" ]; then
				echo "Bail out! no scenario $wanted; run.sh --list shows them" >&2
				exit 2
			fi
			files+=("$file")
		done
	fi
	if [ "$(id -u)" != 0 ]; then
		echo "Bail out! the scenarios make namespaces and load modules: run them as root, in the guest" >&2
		exit 2
	fi
	if [ "$CT" = rust_ct ] && [ ! -r "${RUST_CT_KO:-}" ]; then
		echo "Bail out! RUST_CT_KO='${RUST_CT_KO:-}' is not a readable file; it names the module to test" >&2
		exit 2
	fi

	echo "TAP version 13"
	echo "# tracker $CT, kernel $(uname -r), $(nproc) CPUs, limits times $SLOW"
	# Marks in the log must not be rate-limited.
	echo on >/proc/sys/kernel/printk_devkmsg || true
	clean_up
	for file in "${files[@]}"; do
		before=$failed
		run_one "$file"
		if [ "${KEEP_GOING:-1}" = 0 ] && [ $failed -gt "$before" ]; then
			break
		fi
	done
	echo "1..$number"
	echo "# $passed passed, $failed failed, $skipped skipped"
	[ $failed = 0 ]
}

main "$@"
