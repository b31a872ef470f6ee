#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Common parts of the scenarios: loading and unloading the tracker under test, namespaces,
# waiting with a deadline, and TAP lines (run.sh numbers them).
#
# CT          rust_ct (default) or nf_conntrack, the reference
# RUST_CT_KO  the module's file
# SLOW        whole factor by which this machine is slower than a stock kernel under TCG

set -euo pipefail

CT=${CT:-rust_ct}
SLOW=${SLOW:-1}
export CT SLOW
# Read by the scenarios.
# shellcheck disable=SC2034
LISTING=/proc/net/nf_conntrack
if [ "$CT" = rust_ct ]; then
	# shellcheck disable=SC2034
	LISTING=/proc/rust_ct
fi
# Keeps modprobe from putting nf_conntrack.ko under a consumer that rust_ct is to carry.
MODPROBE_OVERRIDE=/etc/modprobe.d/rust_ct_scenarios.conf

# ---- TAP

diag() {
	printf '%s\n' "$*" | sed 's/^/# /'
}

# check WHAT COMMAND...: ok if the command succeeds; its output is shown if not.
check() {
	local what=$1 output
	shift
	if output=$("$@" 2>&1); then
		echo "ok - $what"
	else
		echo "not ok - $what"
		diag "$* failed: $output"
	fi
}

# equal GOT WANT WHAT
equal() {
	if [ "$1" = "$2" ]; then
		echo "ok - $3"
	else
		echo "not ok - $3"
		diag "got:  $1"
		diag "want: $2"
	fi
}

skip() {
	echo "ok - $1 # SKIP $2"
}

finish() {
	echo "# end"
}

# poll SECONDS COMMAND...: until it succeeds; its last status when the scaled time is over.
poll() {
	local deadline=$((SECONDS + $1 * SLOW))
	shift
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -gt $deadline ]; then
			return 1
		fi
		sleep 0.1
	done
}

# some WORD...: all of several ways to do the same; on a slow kernel one alone, another each day,
# unless FULL=1.
some() {
	local today=$(($(date +%s) / 86400 % $#))
	if [ "${FULL:-}" = 1 ] || [ "$SLOW" -le 1 ]; then
		printf '%s\n' "$@"
	else
		printf '%s\n' "${@:today+1:1}"
	fi
}

# ---- the tracker

# ct_loaded: whether the tracker under test is in the kernel.
ct_loaded() {
	[ -d "/sys/module/$CT" ] && [ -e "/sys/module/$CT/refcnt" ]
}

# ct_insert [PARAMETER=VALUE...]: loads the tracker just so, and says what the loader said.
ct_insert() {
	if [ "$CT" = nf_conntrack ]; then
		rm -f "$MODPROBE_OVERRIDE"
		modprobe nf_conntrack "$@"
		return
	fi
	echo "install nf_conntrack /bin/true" >"$MODPROBE_OVERRIDE"
	modprobe -qa nf_defrag_ipv4 nf_defrag_ipv6 || true
	insmod "${RUST_CT_KO:?names the module\'s file}" "$@"
}

# ct_load [PARAMETER=VALUE...]: loads it with its hooks on in every namespace.
ct_load() {
	if ct_loaded; then
		ct_unload
	fi
	ct_insert enable_hooks=1 "$@"
}

# drop_holders MODULE: removes what uses a module, users of users first.
drop_holders() {
	local holder
	for holder in "/sys/module/$1/holders/"*; do
		[ -e "$holder" ] || continue
		drop_holders "${holder##*/}"
		rmmod "${holder##*/}" || return 1
	done
}

remove_once() {
	drop_holders "$1" && rmmod "$1"
}

# remove MODULE: removes it and its users. What the kernel frees in its own time holds them for a
# while: rules, namespaces, the connections of an address that was masqueraded to.
remove() {
	if ! poll 60 remove_once "$1"; then
		echo "$1 does not unload: $(grep "^$1 " /proc/modules || true)" >&2
		remove_once "$1"
	fi
}

# ct_unload: removes the tracker and its users.
ct_unload() {
	if ct_loaded; then
		remove "$CT"
	fi
	rm -f "$MODPROBE_OVERRIDE"
}

# ---- namespaces, all named rct-*

# in_ns NAMESPACE COMMAND...: without the mounts of ip netns exec, which double a command's time
# on the debug kernel; so /sys is not the namespace's, /proc is.
in_ns() {
	nsenter --net="/run/netns/$1" -- "${@:2}"
}

# ip_batch NAMESPACE LINE...: several commands of ip, in one process.
ip_batch() {
	local ns=$1
	shift
	printf '%s\n' "$@" | ip -n "$ns" -batch -
}

# link_ns A ADDRESS4 ADDRESS6 B ADDRESS4 ADDRESS6: a veth between two namespaces, named after the peer.
link_ns() {
	ip_batch "$1" "link add $4 type veth peer name $1 netns $4" \
		"addr add $2 dev $4" "addr add $3 dev $4 nodad" "link set $4 up"
	ip_batch "$4" "addr add $5 dev $1" "addr add $6 dev $1 nodad" "link set $1 up"
}

# three_ns: rct-c, the client, behind rct-r, the router, from rct-s, the server; both families.
three_ns() {
	local ns
	printf 'netns add %s\n' rct-c rct-r rct-s | ip -batch -
	for ns in rct-c rct-r rct-s; do
		ip -n $ns link set lo up
	done
	link_ns rct-c 10.1.0.2/24 fd01::2/64 rct-r 10.1.0.1/24 fd01::1/64
	link_ns rct-s 10.2.0.2/24 fd02::2/64 rct-r 10.2.0.1/24 fd02::1/64
	for ns in rct-c:1 rct-s:2; do
		ip_batch ${ns%:*} "route add default via 10.${ns#*:}.0.1" "route add default via fd0${ns#*:}::1"
	done
	in_ns rct-r sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

# drop_ns: ends what runs in our namespaces and deletes them.
drop_ns() {
	local ns pids
	for ns in $(ip netns list | awk '/^rct-/ {print $1}'); do
		pids=$(ip netns pids "$ns")
		# shellcheck disable=SC2086 # a list of numbers
		[ -z "$pids" ] || kill -9 $pids 2>/dev/null || true
		ip netns delete "$ns"
	done
}

# count NAMESPACE: connections that the tracker holds for it, unconfirmed ones included.
count() {
	local entries
	entries=$(in_ns "$1" sed -n '2s/ .*//p' /proc/net/stat/nf_conntrack)
	echo $((16#$entries))
}

# entries NAMESPACE [PATTERN]: the lines of its listing that match.
entries() {
	in_ns "$1" cat "$LISTING" | grep -E -- "${2:-}" || true
}
