# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the scripts share: where things lie, how they talk, how they wait, and
# how they step into the build root. To be sourced.

set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
CACHE=${RUST_CT_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/rust_ct}
# Objects and logs of this clone; several clones may share one cache.
WORK=$CACHE/work-$(printf '%s' "$TOP" | sha256sum | cut -c1-12)
export LOGS=$WORK/logs
# At most this many jobs at once.
export JOBS=${RUST_CT_JOBS:-$(nproc)}

say() {
	printf '[%s] %s\n' "$(date +%H:%M:%S)" "$*"
}

warn() {
	say "warning: $*" >&2
}

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# duration SECONDS: prints it as 1m05s.
duration() {
	printf '%dm%02ds' $(($1 / 60)) $(($1 % 60))
}

# The process group that run_step waits for, ended when the script ends.
STEP_GROUP=

end_step_group() {
	[ -z "$STEP_GROUP" ] || kill -TERM -- "-$STEP_GROUP" 2>/dev/null || true
}
trap end_step_group EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# run_step NAME LOG COMMAND...: runs COMMAND with its output in LOG, says every
# 20 seconds how long it takes and what it does, and ends the script with the
# log's tail and name when it fails. Not to be called in a condition.
run_step() {
	local name=$1 log=$2 start=$SECONDS status=0 last
	shift 2
	mkdir -p "$(dirname "$log")"
	say "$name"
	set -m
	"$@" >"$log" 2>&1 </dev/null &
	STEP_GROUP=$!
	set +m
	while kill -0 "$STEP_GROUP" 2>/dev/null; do
		sleep 1
		if (((SECONDS - start) % 20 == 19)); then
			last=$(tail -c 400 "$log" | tr -cd '[:print:]\n' | tail -n 1)
			say "  $name: $(duration $((SECONDS - start))), ${last:0:60}"
		fi
	done
	wait "$STEP_GROUP" || status=$?
	STEP_GROUP=
	if [ "$status" -ne 0 ]; then
		tail -n 25 "$log" >&2
		die "$name failed (status $status); the whole log: $log"
	fi
	say "  $name: done in $(duration $((SECONDS - start)))"
}

# enter_root ROOT [--scratch] [--bind SOURCE:TARGET[:ro]]... -- COMMAND...: runs
# COMMAND in the root directory ROOT, in mount and PID namespaces of its own, so
# that no mount and no process outlives it; with --scratch ROOT stays as it is,
# whatever is written to it.
enter_root() {
	unshare --mount --pid --fork --kill-child --propagation private -- \
		bash "$TOP/scripts/enter_root.sh" "$@"
}
