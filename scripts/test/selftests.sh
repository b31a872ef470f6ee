#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# selftests.sh: runs the kernel's own scripts in tools/testing/selftests/net/netfilter, and a few
# from elsewhere, in the stock guest, on nf_conntrack.ko and on rust_ct.ko: builds what they
# need, and goes on as selftests.py, which has the environment's other variables.
#
# RUST_CT_KO         a module for the stock kernel (default: this clone's, which is built)
# SHORT              1: some scripts that are done soon and need nothing but the build root, for CI

if [ -n "${SHORT:-}" ]; then
	export SELFTESTS="conntrack_dump_flush conntrack_reverse_clash conntrack_vrf nf_nat_edemux
		nft_conntrack_helper nft_synproxy xt_string"
else
	export LAYER=selftests
fi
# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

work=$WORK/selftests

# collect: copies the scripts to /out/selftests and builds their helpers there; run in the root.
collect() {
	local source=/build/source/tools/testing/selftests to=/out/selftests/net program name
	mkdir -p "$to/lib"
	cp "$source/net/lib.sh" "$to/"
	cp -r "$source/net/lib/sh" "$to/lib/"
	cp -r "$source"/net/{netfilter,packetdrill,forwarding,openvswitch} "$to/"
	cp "$source"/net/{ip_defrag.*,in_netns.sh,udpgro.sh,udpgro_fwd.sh,udpgso_bench_*.c,big_tcp.sh} "$to/"
	cp "$source"/net/{fcnal-test.sh,nettest.c} "$to/"
	cp -r "$source/tc-testing" "$source/wireguard" "$to/"
	# Scripts of other folders, each by a script beside those of netfilter.
	beside ip_defrag . ./ip_defrag.sh
	beside udpgro . ./udpgro.sh
	beside udpgro_fwd . ./udpgro_fwd.sh
	beside big_tcp . ./big_tcp.sh
	# What of them has to do with connections.
	beside fcnal . ./fcnal-test.sh -t use_cases
	beside openvswitch openvswitch ./openvswitch.sh ct_connect_v4 nat_connect_v4 nat_related_v4
	beside tc_actions forwarding env TC_HIT_TIMEOUT=5000 \
		TESTS="'mirred_egress_to_ingress_test mirred_egress_to_ingress_tcp_test'" ./tc_actions.sh
	# It sleeps by reading from its input, which does not end. Debian's wg does not take addresses away from a peer.
	sed -i '/allowed-ips -192/,/^} < <(/d' "$to/wireguard/netns.sh"
	beside wireguard wireguard "bash -c './netns.sh < <(exec sleep infinity)'"
	# nf_nat has a function that bpf_nf calls.
	for name in bpf_nf xdp_flowtable xdp_synproxy; do
		beside "$name" bpf "sh -c 'modprobe nf_nat && exec ./test_progs -a $name'"
	done
	for name in ct ctinfo connmark; do
		beside "tc_$name" tc-testing ./tdc.py -f "tc-tests/actions/$name.json"
	done
	chmod +x "$to"/netfilter/*.sh
	for program in "$to"/*.c "$to"/netfilter/*.c; do
		gcc -O2 -Wall -D_GNU_SOURCE= -I"$source" "$program" -o "${program%.c}" \
			-lmnl -lpthread
	done
}

# beside NAME FOLDER COMMAND...: makes NAME a script that runs COMMAND in FOLDER of net.
beside() {
	printf '#!/bin/sh\ncd ../%s && exec %s\n' "$2" "${*:3}" >"/out/selftests/net/netfilter/$1.sh"
}

"$TOP/scripts/setup/setup.sh" stock
exec {lock}>"$work.lock"
flock -n "$lock" || die "selftests of this clone are running already: wait for them, or end them"
rm -rf "$work"
mkdir -p "$work"
run_step "the scripts' helpers" "$LOGS/build-selftests.log" \
	in_root bash -euc "$(declare -f collect beside); collect"
[ -n "${SHORT:-}" ] || run_step "the programs of BPF" "$LOGS/build-selftests-bpf.log" \
	in_root bash /src/tests/selftests/build_bpf.sh /out/selftests/bpf /out/selftests/net
# Ours, for the scripts of net/packetdrill.
cp "$TOP/tests/selftests/net_packetdrill.sh" "$work/net/netfilter/"
# A copy, as a build beside the long run may replace it.
[ -n "${RUST_CT_KO:-}" ] || "$TOP/scripts/setup/build.sh" stock
cp "${RUST_CT_KO:-$WORK/stock/rust_ct/rust_ct.ko}" "$work/rust_ct.ko"
exec python3 -B "$TOP/scripts/test/selftests.py" "$work"
