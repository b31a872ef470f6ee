#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# apps.sh: runs programs of Debian's archive (tests/apps) in the stock guest, on nf_conntrack.ko and
# on this clone's module in its place, and prints what each of them came to; the last line is
# 'N passed, N failed', of both.
#
# APPS      names of programs (default: all)
# TRACKERS  rust_ct or nf_conntrack alone (default: both)
# SHORT     1: the program that the build root has itself, for CI
# SLOW      whole factor for every time limit (default 3)

if [ -n "${SHORT:-}" ]; then APPS=conntrack; else export LAYER=apps; fi
# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

# A program's own words for a time limit that a guest has: boot, depmod, and all programs.
timeout=${APPS_TIMEOUT:-5400}

# summary LOG: each program's counts and seconds, from the log of a guest.
summary() {
	awk '{ sub(/\r$/, "") }
		/^(not )?ok / { name = $1 == "ok" ? $4 : $5; sub(":", "", name)
			if (/# SKIP/) skipped[name]++
			else if ($1 == "ok") passed[name]++
			else failed[name]++ }
		/^# [a-z0-9_]+: took / { sub(":", "", $2); order[++n] = $2; took[$2] = $4 }
		END { for (i = 1; i <= n; i++) printf "%-14s %4d passed %3d failed %3d skipped %5d s\n", order[i],
			passed[order[i]], failed[order[i]], skipped[order[i]], took[order[i]] }' "$1"
}

for name in ${APPS:-}; do
	grep -qs '^# limit: ' "$TOP/tests/apps/$name.py" || die "APPS: tests/apps has no program '$name'"
done
"$TOP/scripts/setup/setup.sh" stock
NAME=nf_conntrack "$TOP/scripts/setup/build.sh" stock
mkdir -p "$WORK/apps"
"$TOP/scripts/test/indices.sh"
[[ " ${APPS:-kube} " != *" kube "* ]] || run_step "the program that calls as kube-proxy does" "$LOGS/apps-kube.log" \
	in_root bash /src/tests/apps/kube/build.sh /out/apps
passed=0
failed=0
table=
for tracker in ${TRACKERS:-nf_conntrack rust_ct}; do
	case $tracker in
	nf_conntrack) place= ;;
	rust_ct) place=/out/stock-nf_conntrack/rust_ct/nf_conntrack.ko ;;
	*) die "TRACKERS: '$tracker' is neither nf_conntrack nor rust_ct" ;;
	esac
	log=$LOGS/apps-$tracker-stock.log
	status=0
	# shellcheck disable=SC2086
	"$TOP/scripts/guest/guest.sh" --name "apps-$tracker" --timeout "$timeout" --cached stock \
		/src/scripts/guest/guest_pivot.sh env PLACE_KO="$place" INDICES=/out/indices SLOW="${SLOW:-3}" FULL=1 \
		python3 -B tests/apps/run.py ${APPS:-} || status=$?
	ok=$(grep -cE '^ok ' "$log" || true)
	bad=$(grep -cE '^not ok ' "$log" || true)
	# What no check has seen: the guest, or the kernel's console.
	[ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
	passed=$((passed + ok - $(grep -cE '^ok .*# SKIP' "$log" || true)))
	failed=$((failed + bad))
	table+=$tracker:$'\n'$(summary "$log")$'\n'
done
printf '\n%s\n' "$table"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
