#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Plays those of the kernel's scripts for its own TCP, net/packetdrill, that packetdrill.py can play,
# in a namespace whose rules drop what is INVALID, going in and coming out. A script that fails so has to
# fail without the rules, too, to be no failure: then it is not played right on this kernel.

# The cookies of Fast Open are those of net/packetdrill/ksft_runner.sh.
play() {
	packetdrill --mtu=1500 --tolerance_usecs=1000000 --non_fatal=packet -D TFO_COOKIE=3021b9d889017eeb \
		-D TFO_COOKIE_ZERO=b7c12350a90dc8f5 "$@" 2>&1
}

# in_namespace RULES SCRIPT: plays it behind these rules.
in_namespace() {
	# shellcheck disable=SC2016 # the inner shell's
	unshare -n sh -c 'nft "$0" && exec timeout 120 "$@"' "$1" "$self" "$2"
}

if [ $# -gt 0 ]; then
	play "$@"
	exit
fi
modprobe -q tun
self=$(realpath "$0")
cd "$(dirname "$self")/../packetdrill" || exit
none='add table inet t'
drop='table inet t {
	chain in { type filter hook input priority 0; ct state invalid drop; }
	chain out { type filter hook output priority 0; ct state invalid drop; }
}'
passed=0 failed=0 left=0
for script in *.pkt; do
	if ! why=$(play --dry_run "$script"); then
		verdict="left out: ${why##*pkt:}" left=$((left + 1))
	elif why=$(in_namespace "$drop" "$script"); then
		verdict=ok passed=$((passed + 1))
	elif in_namespace "$none" "$script" >/dev/null; then
		verdict="FAIL: $why" failed=$((failed + 1))
	else
		verdict="left out: without the rules, too: $why" left=$((left + 1))
	fi
	printf '%s: %s\n' "$script" "$(printf %s "$verdict" | tr '\n' ' ')"
done
echo "$passed scripts ok, $failed not, $left left out"
# Where all are left out, nothing was played.
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
