# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the scripts share: where things lie, how they talk, how they wait, the names
# under which set-up keeps things in the cache, and how they step into the build
# root. To be sourced.

set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
CACHE=${RUST_CT_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/rust_ct}
# Objects and logs of this clone; several clones may share one cache.
WORK=$CACHE/work-$(printf '%s' "$TOP" | sha256sum | cut -c1-12)
LOGS=$WORK/logs
# At most this many jobs at once.
JOBS=${RUST_CT_JOBS:-$(nproc)}
export TOP WORK LOGS JOBS

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

# The process group that is waited for (run_step), ended when the script ends.
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
		bash "$TOP/scripts/setup/enter_root.sh" "$@"
}

# The kernels that the module was tested with, as X.Y.
export KERNEL_FIRST=7.3
export KERNEL_LAST=7.3

hash_of() {
	sha256sum | cut -c1-12
}

# The build root: made from the package list and the recipe.
base_root_dir() {
	local key
	key=$({
		"$TOP/scripts/setup/list_packages.sh"
		echo "$KERNEL_FIRST $KERNEL_LAST"
		cat "$TOP/scripts/setup/make_root.sh" "$TOP/scripts/guest/guest_udevd.sh"
	} | hash_of)
	printf '%s/root-%s\n' "$CACHE" "$key"
}

# root_version NAME: of the kernel in the build root: its release, its series (X.Y) or the
# kernel_version of its packages.
root_version() {
	sed -n "s/^$1=//p" "$(base_root_dir)/build/versions"
}

# Packages that a command of its own needs, and that are too many for every root, stand in
# scripts/setup/layers/NAME.txt. With LAYER=NAME in the environment, a copy of the build root
# that has them is the root of everything here.
root_dir() {
	local base key
	base=$(base_root_dir)
	[ -n "${LAYER:-}" ] || { printf '%s\n' "$base"; return; }
	key=$({
		echo "$base"
		cat "$TOP/scripts/setup/layers/$LAYER.txt"
	} | hash_of)
	printf '%s/layer-%s-%s\n' "$CACHE" "$LAYER" "$key"
}

# The kernels that there may be a tree of: Debian's (stock, and its other flavours), and ours.
KINDS="stock cloud rt debug rtdebug kcsan uml umldebug"

# configs KIND: the files that a kernel of ours is configured by, below scripts/setup.
configs() {
	case $1 in
	rtdebug | kcsan) echo common.config consumers.config debug.config "$1.config" ;;
	umldebug) echo common.config consumers.config uml.config umldebug.config ;;
	debug) echo common.config consumers.config debug.config ;;
	uml) echo common.config uml.config ;;
	esac
}

# allow_kcsan: has the kernel's target for Rust allow KCSAN, which it does not. Runs in a build root that
# forgets it.
allow_kcsan() {
	local target=/build/source/scripts/generate_rust_target.rs
	sed -i '/"supported-sanitizers"/s/"kernel-address"/&, "thread"/' "$target"
	grep -q '"thread"' "$target"
}

# mend_kasan: in user-mode Linux, __kasan_release_vmalloc() of 7.3 clears the shadow also where it is asked to
# flush the TLB only. That is asked for all between the first and the last address given up: terabytes, where
# one is of vmalloc() and the other one of the per-CPU allocator. Runs in a build root that forgets it.
mend_kasan() {
	local shadow=/build/source/mm/kasan/shadow.c
	sed -i '/^void __kasan_release_vmalloc(/,/^}/s/__memset(/if (flags \& KASAN_VMALLOC_PAGE_RANGE) &/' "$shadow"
	grep -q 'KASAN_VMALLOC_PAGE_RANGE) __memset(' "$shadow"
}

# change_for KIND: which of these two changes the kernel's source for it, if one does.
change_for() {
	case $1 in
	kcsan) echo allow_kcsan ;;
	umldebug) echo mend_kasan ;;
	esac
}

# tree_dir KIND: a kernel tree, made from the versions of kernel source and
# toolchain in the root, the configuration and the recipe.
tree_dir() {
	local key config change
	change=$(change_for "$1")
	key=$({
		cat "$(base_root_dir)/build/versions" "$TOP/scripts/setup/make_kernel.sh"
		for config in $(configs "$1"); do cat "$TOP/scripts/setup/$config"; done
		case $1 in
		cloud | rt) cat "$TOP/scripts/setup/make_flavour.sh" ;;
		esac
		[ -z "$change" ] || declare -f "$change"
	} | hash_of)
	printf '%s/%s-%s\n' "$CACHE" "$1" "$key"
}

# keep_tree TREE: what is written to TREE from now on goes to memory. Runs in the build root, where
# a function is handed by declare -f.
keep_tree() {
	local layers=/tmp/layers
	mkdir "$layers"
	mount -t tmpfs tmpfs "$layers"
	mkdir "$layers"/{upper,work}
	mount -t overlay overlay "$1" \
		-o "lowerdir=$1,upperdir=$layers/upper,workdir=$layers/work"
}

# in_root COMMAND...: runs COMMAND in the build root; what it writes there is
# forgotten. The root has
#   /src          this clone, read-only
#   /out          where this clone's objects and logs go
#   /cargo        the cache of crates
#   /build/KIND   the kernel trees that exist, read-only
in_root() {
	local kind tree binds=()
	for kind in $KINDS; do
		tree=$(tree_dir "$kind")
		[ -d "$tree" ] || continue
		binds+=(--bind "$tree:/build/$kind:ro")
		[ ! -d "$tree/modules" ] || binds+=(--bind
			"$tree/modules:/usr/lib/modules/$(cat "$tree/release"):ro")
	done
	enter_root "$(root_dir)" --scratch --bind "$TOP:/src:ro" --bind "$WORK:/out" \
		--bind "$CACHE/cargo:/cargo" "${binds[@]}" -- "$@"
}
