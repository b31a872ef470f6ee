#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# setup.sh [root|stock|cloud|rt|debug|rtdebug|kcsan|uml|umldebug]...: makes what is named and not in the
# cache yet. Each thing lies in the cache under the hash of what it is made from, is built
# under a temporary name, and is renamed when it is complete.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/lib.sh"

check_machine() {
	[ "$(id -u)" -eq 0 ] || die "set-up needs root: run it as root (it makes a" \
		"build root with mmdebstrap and enters it with chroot)"
	[ "$(uname -m)" = x86_64 ] || die "set-up knows x86_64 machines only, this one" \
		"is $(uname -m)"
	command -v apt-get >/dev/null || die "set-up needs Debian 12 or 13: no apt-get here"
}

# check_disk GIGABYTES WHAT: enough room in the cache.
check_disk() {
	local free
	free=$(($(df -Pk "$CACHE" | awk 'NR == 2 { print $4 }') / 1048576))
	[ "$free" -ge "$1" ] || die "$2 needs $1 GB in $CACHE, and only $free GB are free:" \
		"make room, or set RUST_CT_CACHE to a directory on another disk"
}

install_tools() {
	command -v mmdebstrap >/dev/null && command -v python3 >/dev/null && command -v xz >/dev/null && return
	run_step "package lists of this machine" "$LOGS/apt-update.log" apt-get update
	run_step "mmdebstrap, python3 and xz" "$LOGS/apt-install.log" env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y --no-install-recommends mmdebstrap debian-archive-keyring \
		python3 xz-utils
}

# make_once NAME DIRECTORY GIGABYTES COMMAND...: runs COMMAND with a new directory
# as its last argument, and calls that DIRECTORY when it succeeded.
make_once() {
	local name=$1 final=$2 size=$3 new=$2.new lock
	shift 3
	[ ! -d "$final" ] || return 0
	exec {lock}>"$CACHE/$name.lock"
	flock -n "$lock" || { say "another set-up makes $name, waiting for it"
		flock "$lock"; }
	if [ ! -d "$final" ]; then
		check_disk "$size" "$name"
		# What is left of an interrupted set-up, or was not used for a week.
		rm -rf "$CACHE/$name"-*.new
		find "$CACHE" -maxdepth 1 -name "$name-*" -mtime +7 -exec rm -rf {} +
		mkdir -p "$new"
		"$@" "$new"
		mv "$new" "$final"
	fi
	exec {lock}>&-
}

make_root() {
	bash "$TOP/scripts/setup/make_root.sh" "$1" "$LOGS"
}

# make_layer ROOT: a copy of the build root with the packages of the layer.
make_layer() {
	local packages
	packages=$(sed 's/#.*//' "$TOP/scripts/setup/layers/$LAYER.txt")
	run_step "layer $LAYER: copy of the build root" "$LOGS/layer-$LAYER-copy.log" \
		cp -a --reflink=auto "$(base_root_dir)/." "$1"
	# No package is to start its service in here.
	printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
	chmod +x "$1/usr/sbin/policy-rc.d"
	# shellcheck disable=SC2086
	run_step "layer $LAYER: packages" "$LOGS/layer-$LAYER.log" \
		enter_root "$1" -- apt-get install -y --no-install-recommends $packages
}

# make_kernel KIND TREE
make_kernel() {
	local kind=$1 tree=$2 config files=() scratch=() change
	for config in $(configs "$kind"); do files+=("/src/scripts/setup/$config"); done
	case $kind in
	rtdebug | kcsan | umldebug)
		# To make_kernel.sh it is a debug or user-mode kernel, of another configuration: of an option
		# that two files name, the last line holds.
		[ "$kind" = umldebug ] && kind=uml || kind=debug
		for config in $(configs "$1"); do cat "$TOP/scripts/setup/$config"; done |
			tac | awk '{ name = $1 == "#" ? $2 : $1; sub("=.*", "", name) } name ~ /^CONFIG_/ && !seen[name]++' |
			tac >"$tree/merged.config"
		files=("/build/$kind/merged.config")
		;;
	esac
	change=$(change_for "$1")
	[ -z "$change" ] || scratch=(--scratch) change="$(declare -f "$change"); $change"
	run_step "$1 kernel tree" "$LOGS/kernel-$1.log" \
		enter_root "$(base_root_dir)" "${scratch[@]}" --bind "$TOP:/src:ro" --bind "$tree:/build/$kind" -- \
		env JOBS="$JOBS" nice bash -euc "${change:-:}; exec bash /src/scripts/setup/make_kernel.sh \"\$@\"" \
		make_kernel "$kind" "${files[@]}"
	# It was made at another one's place, and is at its own from now on.
	[ "$kind" = "$1" ] || sed -i "s,/build/$kind\$,/build/$1," "$tree/Makefile"
}

# make_flavour FLAVOUR TREE
make_flavour() {
	run_step "$1 kernel, and its tree" "$LOGS/kernel-$1.log" \
		enter_root "$(base_root_dir)" --scratch --bind "$TOP:/src:ro" --bind "$2:/build/stock" -- \
		env JOBS="$JOBS" nice bash /src/scripts/setup/make_flavour.sh "$1"
}

check_machine
mkdir -p "$CACHE" "$CACHE/cargo" "$WORK" "$LOGS"
touch "$WORK"
install_tools
find "$CACHE" -maxdepth 1 -name 'work-*' -mtime +7 -exec rm -rf {} +
for thing in "${@:-root}"; do
	make_once root "$(base_root_dir)" 8 make_root
	[ -z "${LAYER:-}" ] || make_once "layer-$LAYER" "$(root_dir)" 6 make_layer
	touch -c "$(base_root_dir)" "$(root_dir)"
	case $thing in
	root) ;;
	stock) make_once stock "$(tree_dir stock)" 1 make_kernel stock ;;
	cloud | rt) make_once "$thing" "$(tree_dir "$thing")" 2 make_flavour "$thing" ;;
	debug | rtdebug | kcsan) make_once "$thing" "$(tree_dir "$thing")" 4 make_kernel "$thing" ;;
	uml | umldebug) make_once "$thing" "$(tree_dir "$thing")" 3 make_kernel "$thing" ;;
	*) die "setup.sh: unknown thing '$thing' (root, stock, cloud, rt, debug, rtdebug, kcsan, uml or umldebug)" ;;
	esac
	[ "$thing" = root ] || touch -c "$(tree_dir "$thing")"
done
