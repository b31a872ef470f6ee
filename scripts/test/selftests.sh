#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# selftests.sh: runs the kernel's own scripts in tools/testing/selftests/net/netfilter in the
# stock guest, on nf_conntrack.ko and on rust_ct.ko, and prints a table of both; see
# Documentation/selftests.md. The last line is 'N passed, N failed': a script passes that does
# on rust_ct what it does on nf_conntrack, or better.
#
# SELFTESTS          names of scripts (default: all but those of LEFT_OUT)
# SELFTESTS_LIMIT    seconds for each script (default: 300, more for some)
# SELFTESTS_TIMEOUT  seconds for a guest (default 5400)
# RUST_CT_KO         a module for the stock kernel (default: this clone's, which is built)
# TRACKERS           nf_conntrack alone, for a look at the scripts (default: both)
# SLOW               whole factor for every limit but the guest's (default 2)

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

SOURCE=/build/source/tools/testing/selftests
# Guests for one tracker: a script that ends one does not keep the rest from running.
BOOTS=3
trackers=${TRACKERS:-nf_conntrack rust_ct}
work=$WORK/selftests
table=$LOGS/selftests.table
slow=${SLOW:-2}

# left_out NAME: why it is not run unless asked for by name; nothing if it is.
left_out() {
	case $1 in
	nft_concat_range) echo "hours under TCG; sets only, no connection tracking" ;;
	nft_concat_range_perf) echo "a measurement, which skips itself on slow machines" ;;
	nf_conntrack_packetdrill) echo "needs packetdrill, which Debian lacks" ;;
	nft_offload) echo "needs CONFIG_FAIL_FUNCTION, which Debian's kernel lacks" ;;
	ipvs) echo "needs ipvsadm, which is not in the root" ;;
	esac
}

# collect: copies the scripts to /out/selftests and builds their helpers there; run in the root.
collect() {
	local from=$SOURCE/net to=/out/selftests/net source
	mkdir -p "$to/lib"
	cp "$from/lib.sh" "$to/"
	cp -r "$from/lib/sh" "$to/lib/"
	cp -r "$from/netfilter" "$to/"
	for source in "$to"/netfilter/*.c; do
		gcc -O2 -Wall -D_GNU_SOURCE= -I"$SOURCE" "$source" -o "${source%.c}" \
			-lmnl -lpthread
	done
}

# programs: the files of all programs whose names occur in the scripts, theirs and ours, and of
# what they are linked with. That is more than they call, and cannot miss one.
programs() {
	local file
	cat /out/selftests/net/{,lib/sh/,netfilter/}*.sh /src/tests/{selftests,scenarios}/*.sh \
		/src/scripts/guest/scan_console.sh |
		grep -ohE '[A-Za-z0-9_.+-]+' | sort -u |
		while read -r name; do type -P -- "$name" || true; done |
		while read -r file; do
			echo "$file"
			ldd "$file" 2>/dev/null | grep -o '/[^ ]*' || true
		done | sed -E 's,^/(lib|bin|sbin),/usr/\1,' | sort -u
}

# make_guest_root RELEASE: /out/selftests/root.tar, a root directory with the programs and the
# kernel's modules for networks; run in the root.
make_guest_root() {
	local to=/out/selftests/root modules=usr/lib/modules/$1
	mkdir -p "$to"/{run,tmp,var,root,usr/{bin,sbin,lib,lib64}}
	ln -s usr/{bin,sbin,lib,lib64} "$to/"
	ln -s /run "$to/var/run"
	programs | xargs cp -L --parents --target-directory "$to"
	cp -a /etc "$to/"
	cd /
	# libgcc_s is what a thread that is cancelled asks for, by name.
	cp -aL --parents usr/lib/x86_64-linux-gnu/libgcc_s.so.1 "$to"
	cp -a --parents usr/lib/x86_64-linux-gnu/xtables usr/share/iproute2 "$modules"/modules.* \
		"$modules"/kernel/{net,lib,crypto,arch/x86/crypto,drivers/net/vxlan} \
		"$modules"/kernel/drivers/net/*.ko* "$to/"
	tar -C "$to" -cf "$to.tar" .
	rm -rf "$to"
}

prepare() {
	local release
	"$TOP/scripts/setup/setup.sh" stock
	release=$(cat "$(tree_dir stock)/release")
	rm -rf "$work"
	mkdir -p "$work"
	run_step "the scripts' helpers" "$LOGS/build-selftests.log" \
		in_root bash -euc "SOURCE=$SOURCE; $(declare -f collect); collect"
	run_step "the guest's programs" "$LOGS/root-selftests.log" in_root bash -euc \
		"$(declare -f programs make_guest_root); make_guest_root $release"
	[[ $trackers == *rust_ct* ]] || return 0
	# A copy, as a build beside the long run may replace it.
	[ -n "${RUST_CT_KO:-}" ] || "$TOP/scripts/setup/build.sh" stock
	cp "${RUST_CT_KO:-$WORK/stock/rust_ct/rust_ct.ko}" "$work/rust_ct.ko"
}

# choose: fills `names` with what is to be run.
choose() {
	local file name
	read -ra names <<<"${SELFTESTS:-}"
	for name in "${names[@]}"; do
		[ -e "$work/net/netfilter/$name.sh" ] || die "selftests: no script $name"
	done
	[ ${#names[@]} -eq 0 ] || return 0
	for file in "$work"/net/netfilter/*.sh; do
		name=$(basename "$file" .sh)
		[ "$name" = lib ] || [ -n "$(left_out "$name")" ] || names+=("$name")
	done
}

# result TRACKER NAME: its line, without the first three words; nothing if it has none.
result() {
	sed -n "s/^selftest end $2 //p" "$work/$1.results" | tail -n 1
}

# boot TRACKER ROUND NAME...: one guest; its results are added to the tracker's.
boot() {
	local tracker=$1 guest=selftests-$1-$2 status=0 log running
	shift 2
	"$TOP/scripts/guest/guest.sh" --name "$guest" --timeout "${SELFTESTS_TIMEOUT:-5400}" stock \
		env CT="$tracker" RUST_CT_KO=/out/selftests/rust_ct.ko SLOW="$slow" \
		${SELFTESTS_LIMIT:+SELFTESTS_LIMIT="$SELFTESTS_LIMIT"} \
		bash tests/selftests/run.sh /out/selftests "$@" || status=$?
	log=$LOGS/$guest-stock.log
	grep '^selftest ' "$log" >"$work/$guest.lines" || true
	grep '^selftest end ' "$work/$guest.lines" >>"$work/$tracker.results" || true
	running=$(awk '/begin/ { name = $3 } /end/ { name = "" } END { print name }' \
		"$work/$guest.lines")
	if [ -n "$running" ]; then
		echo "selftest end $running fail 0 the guest ended in it (status $status)" \
			>>"$work/$tracker.results"
	elif [ "$status" -eq 99 ] && ! grep -q ' the kernel complains' "$work/$guest.lines"; then
		warn "selftests: a complaint outside of every script: ${log%.log}.console"
		echo "$tracker" >>"$work/complaints"
	fi
}

# run_tracker TRACKER: runs all of `names`, in further guests what one did not come to.
run_tracker() {
	local round name left=("${names[@]}") before
	: >"$work/$1.results"
	for ((round = 1; round <= BOOTS && ${#left[@]} > 0; round++)); do
		before=${#left[@]}
		boot "$1" "$round" "${left[@]}"
		left=()
		for name in "${names[@]}"; do
			[ -n "$(result "$1" "$name")" ] || left+=("$name")
		done
		[ ${#left[@]} -lt "$before" ] || break
	done
	for name in "${left[@]}"; do
		echo "selftest end $name fail 0 not run: no guest came to it" >>"$work/$1.results"
	done
}

# grade VERDICT: higher is better. An xfail is a pass to kselftest, too.
grade() {
	case $1 in
	pass | xfail) echo 2 ;;
	skip) echo 1 ;;
	*) echo 0 ;;
	esac
}

# row NAME: one line of the table; counts.
row() {
	local reference ours ref_word ref_time ref_why our_word our_time our_why outcome
	reference=$(result nf_conntrack "$1")
	ours=$(result rust_ct "$1")
	read -r ref_word ref_time ref_why <<<"$reference"
	read -r our_word our_time our_why <<<"$ours"
	if [ "$our_word" = not-yet ]; then
		outcome='not yet'
		not_yet=$((not_yet + 1))
		missing+=("$1: $our_why")
		our_why="$(wc -w <<<"$our_why") symbols missing, below"
	elif [ "$ref_word" = skip ] && [ "$our_word" = skip ]; then
		outcome=skipped
		skipped=$((skipped + 1))
	elif [ "$(grade "$our_word")" -ge "$(grade "$ref_word")" ]; then
		outcome=ok
		[ "$our_word" != fail ] || outcome='ok, both'
		passed=$((passed + 1))
	else
		outcome=WORSE
		failed=$((failed + 1))
	fi
	printf '%-25s %-6s %4ss   %-8s %4ss   %-8s %s\n' "$1" "$ref_word" "$ref_time" \
		"$our_word" "$our_time" "$outcome" "${our_why:-$ref_why}"
}

# baseline_row NAME: for nf_conntrack alone.
baseline_row() {
	local word time why
	read -r word time why <<<"$(result nf_conntrack "$1")"
	printf '%-25s %-6s %4ss   %s\n' "$1" "$word" "$time" "$why"
}

print_table() {
	local name why
	if [[ $trackers == *rust_ct* ]]; then
		printf '%-25s %-14s %-16s\n' script nf_conntrack rust_ct
		for name in "${names[@]}"; do
			row "$name"
		done
		[ ${#missing[@]} -eq 0 ] || printf '\nWhat the tracker does not export yet:\n'
		for name in "${missing[@]}"; do
			fold -s -w 100 <<<"$name"
		done
	else
		printf '%-25s %-14s\n' script nf_conntrack
		for name in "${names[@]}"; do
			baseline_row "$name"
		done
	fi
	[ -z "${SELFTESTS:-}" ] || return 0
	for name in "$work"/net/netfilter/*.sh; do
		name=$(basename "$name" .sh)
		why=$(left_out "$name")
		[ -z "$why" ] || printf '%-25s left out: %s\n' "$name" "$why"
	done
}

prepare
names=()
choose
# Side by side, as each of them leaves a processor idle.
for tracker in $trackers; do
	say "selftests: ${#names[@]} scripts on $tracker"
	run_tracker "$tracker" &
done
wait
passed=0
failed=0
skipped=0
not_yet=0
missing=()
print_table >"$table"
cat "$table"
say "selftests: the table: $table; what the scripts said: $work/TRACKER/NAME.log"
if [[ $trackers != *rust_ct* ]]; then
	exit 0
fi
# Where no script was running, there is no row to put it to.
! grep -qx rust_ct "$work/complaints" 2>/dev/null || failed=$((failed + 1))
echo "selftests: $not_yet not yet, $skipped skipped on both"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
