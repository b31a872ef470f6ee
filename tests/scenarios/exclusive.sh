#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The two trackers exclude each other: the second one is refused with a line that says why, and the
# first one goes on as before. Both ways round.
#
# limit: 270

# The parameters of ct_load are the module's, and optional.
# shellcheck disable=SC2119
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"

WHY='duplicate symbol|another connection tracker'

# refused FIRST SECOND COMMAND...: loading the second beside the first fails and changes nothing.
refused() {
	local first=$1 second=$2 mark="exclusive $RANDOM$RANDOM" before
	shift 2
	in_ns rct-c ping -qc1 -W5 10.1.0.1 >/dev/null
	before=$(entries rct-c)
	echo "$mark" >/dev/kmsg
	if "$@" 2>/dev/null; then
		echo "not ok - $second is refused beside $first"
		rmmod "$second"
	else
		echo "ok - $second is refused beside $first"
	fi
	check "the log says why $second is refused" grep -qE "$second: .*($WHY)" <(dmesg | sed "1,/$mark/d")
	diag "$(dmesg | sed "1,/$mark/d" | grep -E "$WHY")"
	[ ! -e "/sys/module/$second" ] && echo "ok - $second is not there" || echo "not ok - $second is not there"
	[ -n "$before" ] || echo "not ok - $first had tracked the ping"
	equal "$(entries rct-c | wc -l)" "$(wc -l <<<"$before")" "$first still has its connection"
	check "$first goes on tracking" in_ns rct-c ping -qc1 -W5 10.1.0.1
	equal "$(entries rct-c | wc -l)" "$(($(wc -l <<<"$before") + 1))" "$first tracked that"
}

# reference COMMAND...: with nf_conntrack.ko as what is to be loaded.
insert_reference() {
	modprobe --ignore-install nf_conntrack
}

insert_rust() {
	modprobe -qa nf_defrag_ipv4 nf_defrag_ipv6 || true
	insmod "$RUST_CT_KO"
}

ip netns add rct-c
ip netns add rct-r
link_ns rct-c 10.1.0.2/24 fd01::2/64 rct-r 10.1.0.1/24 fd01::1/64

if [ "$CT" = nf_conntrack ] && [ ! -r "${RUST_CT_KO:-}" ]; then
	skip "the trackers exclude each other" "there is no module to load beside the reference; RUST_CT_KO names it"
	finish
	exit
fi

# LISTING goes with the tracker that is loaded.
# shellcheck disable=SC2034
{
	CT=rust_ct LISTING=/proc/rust_ct
	ct_load
	refused rust_ct nf_conntrack insert_reference
	ct_unload
	CT=nf_conntrack LISTING=/proc/net/nf_conntrack
	ct_load
	refused nf_conntrack rust_ct insert_rust
	ct_unload
}
for module in rust_ct nf_conntrack; do
	if [ -e /sys/module/$module ]; then
		echo "not ok - both are gone in the end"
	fi
done
check "afterwards either can be loaded" insert_rust
rmmod rust_ct
check "and the other one" insert_reference
rmmod nf_conntrack
finish
