#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# selftests.sh: runs the kernel's own scripts in tools/testing/selftests/net/netfilter, and a few
# from elsewhere, in the stock guest, on nf_conntrack.ko and on rust_ct.ko: builds what they
# need, and goes on as selftests.py, which has the environment's other variables.
#
# RUST_CT_KO         a module for the stock kernel (default: this clone's, which is built)

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

work=$WORK/selftests

# collect: copies the scripts to /out/selftests and builds their helpers there; run in the root.
collect() {
	local source=/build/source/tools/testing/selftests to=/out/selftests/net program name
	mkdir -p "$to/lib"
	cp "$source/net/lib.sh" "$to/"
	cp -r "$source/net/lib/sh" "$to/lib/"
	cp -r "$source/net/netfilter" "$source/net/packetdrill" "$to/"
	cp "$source"/net/{ip_defrag.*,in_netns.sh,udpgro.sh,udpgso_bench_*.c} "$to/"
	cp -r "$source/tc-testing" "$to/"
	# From elsewhere, by a script beside the others; what needs scapy is left out.
	for name in ip_defrag udpgro; do
		printf '#!/bin/sh\ncd .. && exec ./%s.sh\n' "$name" >"$to/netfilter/$name.sh"
	done
	for name in ct ctinfo; do
		jq '[.[] | select(.plugins.requires | tostring | test("scapy") | not)]' \
			"$to/tc-testing/tc-tests/actions/$name.json" >"$to/tc-testing/$name.json"
		printf '#!/bin/sh\ncd ../tc-testing && exec ./tdc.py -f %s.json\n' "$name" \
			>"$to/netfilter/tc_$name.sh"
	done
	chmod +x "$to"/netfilter/*.sh
	for program in "$to"/*.c "$to"/netfilter/*.c; do
		gcc -O2 -Wall -D_GNU_SOURCE= -I"$source" "$program" -o "${program%.c}" \
			-lmnl -lpthread
	done
}

"$TOP/scripts/setup/setup.sh" stock
exec {lock}>"$work.lock"
flock -n "$lock" || die "selftests of this clone are running already: wait for them, or end them"
rm -rf "$work"
mkdir -p "$work"
run_step "the scripts' helpers" "$LOGS/build-selftests.log" \
	in_root bash -euc "$(declare -f collect); collect"
# Ours, for the scripts of net/packetdrill.
cp "$TOP/tests/selftests/net_packetdrill.sh" "$work/net/netfilter/"
# A copy, as a build beside the long run may replace it.
[ -n "${RUST_CT_KO:-}" ] || "$TOP/scripts/setup/build.sh" stock
cp "${RUST_CT_KO:-$WORK/stock/rust_ct/rust_ct.ko}" "$work/rust_ct.ko"
exec python3 -B "$TOP/scripts/test/selftests.py" "$work"
