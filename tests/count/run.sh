#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh TRACKER NAME [FILE]: as root in a guest whose clock counts instructions, a nanosecond each:
# how many of them a packet takes, from its making through a router's hooks to a device that drops
# it. TRACKER is none, nf_conntrack or rust_ct, whose module is FILE. Prints lines
# 'NAME|WHAT|INSTRUCTIONS'.

set -euo pipefail

tracker=$1
name=$2
export RUST_CT_KO=${3:-} CT=$tracker
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/../scenarios/lib.sh"

# How many packets are sent each time.
COUNT=20000

# One processor's sender, in the sender's namespace, and its device there.
THREAD=/proc/net/pktgen/kpktgend_0
DEVICE=/proc/net/pktgen/rct-r

# the_net: rct-c sends, rct-r is the router, behind which nobody is.
the_net() {
	ip netns add rct-c
	ip netns add rct-r
	link_ns rct-c 10.1.0.2/24 fd01::2/64 rct-r 10.1.0.1/24 fd01::1/64
	ip_batch rct-r "link add sink type dummy" "link set sink up" \
		"addr add 10.2.0.1/24 dev sink" "addr add fd02::1/64 dev sink nodad" \
		"neigh add 10.2.0.2 lladdr 02:00:00:00:00:02 dev sink" \
		"neigh add fd02::2 lladdr 02:00:00:00:00:02 dev sink"
	in_ns rct-r sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	router=$(ip -n rct-r -o link show rct-c | sed 's/.*link.ether \([^ ]*\).*/\1/')
}

# tell FILE LINE...: to the sender.
tell() {
	# shellcheck disable=SC2016 # the inner shell's
	in_ns rct-c bash -c 'file=$1; shift; for line; do echo "$line" >"$file" || exit; done' tell "$@"
}

# send COUNT LINE...: so many packets; the lines say which. Prints what each took.
send() {
	local count=$1 result
	shift
	tell $THREAD rem_device_all "add_device rct-r"
	tell $DEVICE "count $count" "clone_skb 0" "pkt_size 80" "delay 0" "dst_mac $router" "$@"
	tell /proc/net/pktgen/pgctrl start
	result=$(in_ns rct-c sed -n 's/^Result: OK: \([0-9]*\)(.*/\1/p' $DEVICE)
	echo $((result * 1000 / count))
}

# through: how many packets have left the router.
through() {
	ip -n rct-r -s -j link show sink | sed 's/.*"tx":{"bytes":[0-9]*,"packets":\([0-9]*\).*/\1/'
}

# counted WHAT LINE...: sends them, and says what one took; all must have come through.
counted() {
	local what=$1 before after
	shift
	before=$(through)
	echo "$name|$what|$(send $COUNT "$@")"
	after=$(through)
	[ $((after - before)) = $COUNT ] || {
		echo "run.sh: $((after - before)) of $COUNT packets came through the router" >&2
		exit 1
	}
}

V4=("src_min 10.1.0.2" "src_max 10.1.0.2" "dst 10.2.0.2")
V6=("src6 fd01::2" "dst6 fd02::2")
PORTS=("udp_dst_min 9" "udp_dst_max 9")
SAME=("udp_src_min 1000" "udp_src_max 1000")
EACH=("udp_src_min 2000" "udp_src_max $((2000 + COUNT))")

modprobe pktgen
# The sender may be a while ahead of the router.
sysctl -qw net.core.netdev_max_backlog=$COUNT
the_net
# The parameters of ct_load are the module's, and optional.
# shellcheck disable=SC2119
[ "$tracker" = none ] || ct_load
for family in IPv4 IPv6; do
	addresses=("${V4[@]}")
	[ $family = IPv4 ] || addresses=("${V6[@]}")
	send 10 "${addresses[@]}" "${PORTS[@]}" "${SAME[@]}" >/dev/null
	counted "UDP over $family, of one connection" "${addresses[@]}" "${PORTS[@]}" "${SAME[@]}"
	counted "UDP over $family, the first of a connection" "${addresses[@]}" "${PORTS[@]}" "${EACH[@]}"
	counted "UDP over $family, of one in $COUNT connections" "${addresses[@]}" "${PORTS[@]}" "${EACH[@]}"
done
drop_ns
[ "$tracker" = none ] || ct_unload
