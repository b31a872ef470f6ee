#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# compare.sh: plays the same packets to nf_conntrack and to rust_ct, and compares what each
# made of every one; see Documentation/comparison.md. The last line is
# 'N passed, N failed', where a case is one, and the listing of a batch.
#
# PACKETS  so many of each family (default 20000); half as many each of nat and helpers, where the
#          player looks after each, and a fifth of ctnetlink, where two of three steps are requests
# FAMILY   only these families (default: all)
# SEED     of the generators (default: drawn, and printed)
# PCAP     capture files, in the place of generated packets and of the sessions that the
#          scenario `sessions` has captured in this clone
# KERNEL   stock (default), debug, or uml: user-mode Linux, at native speed
# RFC5961  1: with nf_conntrack_tcp_rfc5961 on, which only rust_ct has. Else it is off, but for a
#          tenth of the packets of the family tcp, which are played with it beside all families
# ROUNDS   how often a case that differs is played before it counts (default 4)
# SHRINK   0: a case that differs is not made smaller
# LONG_WAY 1: the module has no straight way (Documentation/data-path.md)

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

# How often a case is played, if the clock keeps ticking into it.
ROUNDS=${ROUNDS:-4}
FAMILIES="tcp tcp6 udp udp6 icmp icmpv6 sctp gre other mixed nat helpers ctnetlink"

kernel=${KERNEL:-stock}
# A boot of user-mode Linux plays no more than this: with each packet the clock is moved by minutes,
# and a year or two is enough.
PIECE=100000
[ "$kernel" = uml ] || PIECE=1000000000
# Without kprobes NAT draws its ports by chance, but for the copy of nf_nat.ko that build() makes.
[ "$kernel" != debug ] || FAMILIES=${FAMILIES/ nat helpers/}
seed=${SEED:-$SRANDOM}
packets=${PACKETS:-20000}
directory=compare-$kernel
work=$WORK/$directory

# compare ARGUMENT...: the program, in the root.
compare() {
	in_root /out/compare/release/compare "$@"
}

build() {
	"$TOP/scripts/setup/build.sh" "$kernel" CONFIG_RUST_CT_FEED=m \
		${LONG_WAY:+RUST_CT_LONG_WAY="$LONG_WAY"}
	run_step "the program compare" "$LOGS/build-compare.log" \
		in_root env CARGO_TARGET_DIR=/out/compare CARGO_BUILD_JOBS="$JOBS" \
		cargo build --release --locked --manifest-path /src/tests/compare/Cargo.toml
	[ "$kernel" != uml ] || fit_uml
}

# fit_uml: beside our modules, a copy of nf_nat.ko that draws its ports from the feeder, and where
# the feeder finds what user-mode Linux does not export.
fit_uml() {
	sed -n 's/^\([0-9a-f]*\) . irq_stat$/irq_stat_at=0x\1/p' "$(tree_dir uml)/System.map" >"$WORK/uml/feed_options"
	[ -s "$WORK/uml/feed_options" ] || die "compare: no irq_stat in $(tree_dir uml)/System.map"
	in_root objcopy --redefine-sym get_random_u16=rct_feed_get_random_u16 \
		--redefine-sym __get_random_u32_below=rct_feed_get_random_u32_below \
		"/usr/lib/modules/$(cat "$(tree_dir uml)/release")/kernel/net/netfilter/nf_nat.ko" \
		/out/uml/nf_nat.ko
}

# play_uml SUBDIRECTORY: as play. Each sequence has a boot of its own.
play_uml() {
	local sequence
	for sequence in "$work/$1"/*.seq; do
		UML_TIMEOUT=${COMPARE_TIMEOUT:-2400} UML_MEMORY=${UML_MEMORY:-1G} \
			"$TOP/scripts/guest/uml.sh" --bare "$(printf ' %q' python3 -B tests/compare/play.py \
				/out/compare/release/compare /out/uml "/out/$directory/$1" \
				"$(basename "$sequence")")" || return 1
	done
}

# play SUBDIRECTORY: both recordings of each sequence there.
play() {
	[ "$kernel" != uml ] || { play_uml "$1"; return; }
	# A clock source that is watched is looked at twice in each second that went by. A grace
	# period that is asked for begins before the clock is moved, or RCU takes it for stalled.
	# nft and ip are started for each batch with rules.
	"$TOP/scripts/guest/guest.sh" --name compare --cached --cpus 1 --append tsc=reliable \
		--append rcutree.kthread_prio=1 --timeout "${COMPARE_TIMEOUT:-$((1800 + packets / 8))}" \
		"$kernel" tests/compare/play.py /out/compare/release/compare "/out/$kernel" \
		"/out/$directory/$1"
}

# make_of_captures NAME OPTION FILE...: a sequence of captures.
make_of_captures() {
	local name=$1 option=$2 capture files=()
	shift 2
	mkdir -p "$work/captures"
	for capture; do
		cp "$capture" "$work/captures/"
		files+=("/out/$directory/captures/$(basename "$capture")")
	done
	say "compare: $# captures"
	# An empty option is none.
	compare pcap --split ${option:+"$option"} "${files[@]}" -o "/out/$directory/1/$name.seq"
}

# generate FAMILY COUNT: so many packets of a family, in sequences of PIECE at the most.
generate() {
	local left=$2 piece number=0
	while [ "$left" -gt 0 ]; do
		piece=$((left < PIECE ? left : PIECE))
		compare generate --seed "$((seed + number * 1000))" --family "$1" --packets "$piece" \
			-o "/out/$directory/1/$1$([ "$number" -eq 0 ] || echo "-$number").seq"
		left=$((left - piece))
		number=$((number + 1))
	done
}

make_sequences() {
	local family sessions count
	if [ -n "${PCAP:-}" ]; then
		# shellcheck disable=SC2086 # a list of files
		make_of_captures pcap "" $PCAP
		[ "${RFC5961:-0}" = 0 ] || switch_on pcap
		return
	fi
	shopt -s nullglob
	sessions=("$WORK"/captures/*.pcap)
	shopt -u nullglob
	# A sender on the same machine leaves checksums to its device.
	[ ${#sessions[@]} -eq 0 ] || make_of_captures sessions --verified "${sessions[@]}"
	say "compare: SEED=$seed PACKETS=$packets FAMILY=${FAMILY:-all}"
	for family in ${FAMILY:-$FAMILIES}; do
		case $family in
		nat | helpers) count=$((packets / 2)) ;;
		ctnetlink) count=$((packets / 5)) ;;
		*) count=$packets ;;
		esac
		generate "$family" "$count"
	done
	if [ "${RFC5961:-0}" != 0 ]; then
		for family in "$work"/1/*.seq; do
			switch_on "$(basename "$family" .seq)"
		done
	elif [ -z "${FAMILY:-}" ]; then
		compare generate --seed "$((seed + 1))" --family tcp --packets "$((packets / 10))" \
			-o "/out/$directory/1/rfc5961.seq"
		switch_on rfc5961
	fi
}

# switch_on NAME: has a sequence played with nf_conntrack_tcp_rfc5961 on.
switch_on() {
	compare rfc5961 "/out/$directory/1/$1.seq" -o "/out/$directory/on.seq"
	mv "$work/on.seq" "$work/1/$1.seq"
}

# judge ROUND: compares the recordings of a round; the cases that differ are the next round, and are
# played again. In the last round they count: they have differed each time.
judge() {
	local sequence name status again
	mkdir -p "$work/$(($1 + 1))"
	for sequence in "$work/$1"/*.seq; do
		name=$(basename "$sequence" .seq)
		again=(--again "/out/$directory/$(($1 + 1))/$name.seq")
		[ "$1" -lt "$ROUNDS" ] || again=(--last)
		status=0
		compare diff "/out/$directory/$1/$name.seq" "/out/$directory/$1/$name.nf_conntrack" \
			"/out/$directory/$1/$name.rust_ct" "${again[@]}" >"$work/$1/$name.diff" || status=$?
		cat "$work/$1/$name.diff"
		case $status in
		0 | 1 | 3) count "$work/$1/$name.diff" ;;
		*) die "compare: $name could not be compared (status $status)" ;;
		esac
		[ "$status" -ne 1 ] || [ -n "$worst" ] || worst=$1/$name
	done
	# A round's recordings are large.
	rm -f "$work/$1"/*.nf_conntrack "$work/$1"/*.rust_ct
}

# shrink SEQUENCE CASE: plays ever smaller versions of a case that differs, and shows the
# smallest one that still does.
shrink() {
	local sequence=$1 case=$2 small=/out/$directory/small.seq status turn
	say "compare: making case $case smaller"
	for turn in 1 2 3 4 5 6 7 8; do
		rm -rf "$work/shrink"
		mkdir -p "$work/shrink"
		compare candidates "$sequence" "$case" -o "/out/$directory/shrink/c.seq"
		play shrink >"$work/shrink.log" 2>&1 || { warn "compare: see $work/shrink.log"; return; }
		status=0
		compare pick "/out/$directory/shrink/c.seq" "/out/$directory/shrink/c.nf_conntrack" \
			"/out/$directory/shrink/c.rust_ct" -o "$small" || status=$?
		[ "$status" -eq 0 ] || break
		say "  turn $turn: $(stat -c %s "$work/small.seq") bytes"
		sequence=$small
	done
	compare show "$sequence" --case "$case"
	say "compare: kept in $work/${sequence#"/out/$directory/"}"
}

# count LOG: adds up its last line.
count() {
	local line
	line=$(tail -n 1 "$1")
	[[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed ]] || die "compare: no count in $1"
	passed=$((passed + BASH_REMATCH[1]))
	failed=$((failed + BASH_REMATCH[2]))
}

build
rm -rf "$work"
mkdir -p "$work/1"
make_sequences
passed=0
failed=0
worst=
for ((round = 1; round <= ROUNDS; round++)); do
	ls "$work/$round"/*.seq >/dev/null 2>&1 || break
	[ "$round" -eq 1 ] || say "compare: some cases differ, and are played again"
	play "$round"
	judge "$round"
done
if [ -n "$worst" ] && [ "${SHRINK:-1}" = 1 ]; then
	case=$(sed -nE 's/^case ([^ ,]+),.*/\1/p' "$work/$worst.diff" | head -n 1)
	[ -z "$case" ] || shrink "/out/$directory/$worst.seq" "$case"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
