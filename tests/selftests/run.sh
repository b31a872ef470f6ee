#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The guest's half of `make selftests`: runs scripts of the kernel's
# tools/testing/selftests/net/netfilter on one tracker, and prints for each
#
#   selftest begin NAME
#   selftest end NAME VERDICT SECONDS [WHY]
#
# VERDICT is pass, xfail (the race that the script is after did not come up), skip, fail, or
# not-yet: a module that the script asked for wants symbols that the tracker lacks.
#
#   run.sh DIRECTORY NAME...
#
# DIRECTORY        has net/netfilter/ with the scripts and their built helpers, and root.tar with
#                  the programs; what each script says goes to DIRECTORY/$CT/NAME.log
# CT, RUST_CT_KO   as for the scenarios
# SLOW             whole factor by which the guest is slower than a stock kernel under TCG
# SELFTESTS_LIMIT  seconds for every script (default: 300, more for some; times SLOW)

set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=tests/scenarios/lib.sh
. "$here/../scenarios/lib.sh"

# move_to_memory ARGUMENT...: goes on with this script in a root directory in memory, made from
# root.tar. The guest's disk is a directory of the host by way of 9p, without a cache: from there
# `ip link` takes seconds.
move_to_memory() {
	local root=/tmp/selftests-root mount
	mkdir "$root"
	mount -t tmpfs tmpfs "$root"
	tar -C "$root" -xf "$1/root.tar"
	for mount in proc sys dev src out; do
		mkdir -p "$root/$mount"
		mount --rbind "/$mount" "$root/$mount"
	done
	# The kernel's own calls of modprobe go there as well; iptables wants the name inside.
	ln -s / "$root$root"
	cat >"$root/modprobe" <<-END
		#!$root/usr/bin/busybox sh
		exec $root/usr/bin/busybox chroot $root /usr/sbin/modprobe "\$@"
	END
	chmod +x "$root/modprobe"
	echo "$root/modprobe" >/proc/sys/kernel/modprobe
	exec env IN_MEMORY=1 chroot "$root" bash "$here/run.sh" "$@"
}

work=/tmp/selftests
# The kernel's true taint, behind what the scripts are shown.
true_proc=/tmp/selftests-proc

# limit NAME: how many seconds it may take.
limit() {
	local seconds=300
	case $1 in
	nft_flowtable | nft_queue | conntrack_resize) seconds=900 ;;
	nft_nat | nft_nat_zones | nft_fib | nft_audit) seconds=600 ;;
	nft_concat_range) seconds=3600 ;;
	esac
	echo $((${SELFTESTS_LIMIT:-$seconds} * SLOW))
}

# show_no_taint: some scripts look for new taint and skip if there is any before. A module from
# outside the kernel's tree taints it, so they are shown a zero; one_script looks at the truth.
show_no_taint() {
	mkdir -p "$true_proc"
	mount -t proc proc "$true_proc"
	echo 0 >/tmp/selftests-taint
	mount --bind /tmp/selftests-taint /proc/sys/kernel/tainted
}

# taint: what counts of it: without O and E, for a module that is not the kernel's own.
taint() {
	echo $(($(<"$true_proc/sys/kernel/tainted") & ~0x3000))
}

links() {
	ls /sys/class/net
}

# kill_leftovers SESSION: ends what runs in the script's session or in any namespace.
kill_leftovers() {
	local ns pids
	pkill -9 -s "$1" || true
	for ns in $(ip netns list | awk '{print $1}'); do
		pids=$(ip netns pids "$ns")
		# shellcheck disable=SC2086 # a list of numbers
		[ -z "$pids" ] || kill -9 $pids 2>/dev/null || true
		ip netns delete "$ns"
	done
}

# clean_up SESSION: takes away what a script left: processes, namespaces, links, rules, the
# tracker with all that uses it, and br_netfilter, which would change what bridges do.
clean_up() {
	local link status=0
	kill_leftovers "$1"
	for link in $(links); do
		grep -qx "$link" <<<"$links_before" || ip link delete "$link" 2>/dev/null || true
	done
	[ ! -d /sys/module/nf_tables ] || nft flush ruleset
	ct_unload || status=1
	[ ! -d /sys/module/br_netfilter ] || poll 20 rmmod br_netfilter || status=1
	return $status
}

# complaints: what the kernel complained of since its log was cleared.
complaints() {
	local log=/tmp/selftests-dmesg
	{
		echo "rust_ct guest: begin"
		dmesg
		echo "rust_ct guest: end"
	} >"$log"
	/src/scripts/guest/scan_console.sh "$log" || true
}

missing_symbols() {
	dmesg | sed -nE 's/.*: Unknown symbol ([A-Za-z0-9_]+) .*/\1/p' | sort -u | tr '\n' ' '
}

# verdict STATUS: in words, as kselftest has its exit codes.
verdict() {
	case $1 in
	0) echo pass ;;
	2) echo xfail ;;
	4) echo skip ;;
	*) echo fail ;;
	esac
}

# reason VERDICT LOG: the line that says most, short and without tabs.
reason() {
	local pattern line
	case $1 in
	skip) pattern='skip|not|could' ;;
	fail) pattern='fail|error|not ok|taint' ;;
	*) return 0 ;;
	esac
	line=$(grep -aiE "$pattern" "$2" | grep -avE '^(PASS|OK|ok )' | head -n 1) || true
	[ -n "$line" ] || line=$(tail -n 1 "$2")
	tr -c '[:print:]' ' ' <<<"${line:0:90}"
}

# judge NAME STATUS SECONDS TAINT: after the script and the cleaning up.
judge() {
	local log=$logs/$1.log what why found symbols
	what=$(verdict "$2")
	case $2 in
	124 | 137) why="not over within $(limit "$1") s" ;;
	*) why=$(reason "$what" "$log") ;;
	esac
	symbols=$(missing_symbols)
	if [ -n "$symbols" ]; then
		# What it came to without them is no verdict.
		why="${symbols% }"
		what=not-yet
	fi
	dmesg >>"$log"
	found=$(complaints)
	if [ -n "$found" ] || [ "$(taint)" != "$4" ]; then
		what=fail
		why="the kernel complains: $(head -n 1 <<<"$found")"
	elif [ -n "$left" ]; then
		what=fail
		why="leaves something behind: $(tail -n 1 <<<"$left")"
	fi
	echo "selftest end $1 $what $3 $why"
}

# one_script NAME
one_script() {
	local name=$1 start=$SECONDS status=0 session taint_before
	echo "selftest begin $name"
	taint_before=$(taint)
	dmesg --clear
	links_before=$(links)
	left=
	if ! left=$(ct_insert enable_hooks=0 2>&1); then
		echo "selftest end $name fail 0 $CT does not load: ${left//$'\n'/ }"
		return
	fi
	cd "$work/net/netfilter"
	# A session of its own, so that what it leaves running can be found.
	setsid timeout --kill-after=30 "$(limit "$name")" "./$name.sh" \
		>"$logs/$name.log" 2>&1 </dev/null &
	session=$!
	wait $session || status=$?
	local seconds=$((SECONDS - start))
	if left=$(clean_up $session 2>&1); then
		left=
	else
		left=${left:-of which nothing is known}
	fi
	{
		echo "---- exit status $status after $seconds s"
		[ -z "$left" ] || printf -- '---- clean_up:\n%s\n' "$left"
		echo "---- the kernel's log:"
	} >>"$logs/$name.log"
	judge "$name" $status $seconds "$taint_before"
}

main() {
	local name
	[ -n "${IN_MEMORY:-}" ] || move_to_memory "$@"
	logs=$1/$CT
	mkdir -p "$logs" "$work"
	cp -r "$1/net" "$work/"
	shift
	show_no_taint
	# What the scripts go by: fewer rounds, and longer waits, for a slow machine.
	export KSFT_MACHINE_SLOW=yes
	export WAIT_TIMEOUT=$((60 * SLOW))
	echo on >/proc/sys/kernel/printk_devkmsg || true
	ct_unload
	for name; do
		one_script "$name"
	done
}

main "$@"
