#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# prepare_tree.sh KVER: makes what the headers of Debian's kernel KVER lack for Rust, from the
# source of the same version: a prepared tree, in /var/cache/rust-ct/KVER. It is made once; a tree
# that is complete has the file rust-ct.complete. Says every 20 seconds how long it takes.

set -euo pipefail

kver=$1
# Callers of this run Kbuild, which sets these.
unset KERNELRELEASE MAKEFLAGS
cache=/var/cache/rust-ct
tree=$cache/$kver
log=$cache/$kver.log
headers=/lib/modules/$kver/build
series=$(sed -nE 's/^([0-9]+\.[0-9]+).*/\1/p' <<<"$kver")
source=/usr/src/linux-source-$series.tar.xz
# A tree while it is made, in megabytes.
ROOM=${RUST_CT_ROOM:-1200}

fail() {
	rm -rf "$tree"
	printf 'rust-ct: %s keeps its own nf_conntrack: %s\n' "$kver" "$*" >&2
	exit 1
}

package_version() {
	# shellcheck disable=SC2016 # dpkg's variable
	dpkg-query -W -f '${Version}' "$1" 2>/dev/null || true
}

# Megabytes.
free() {
	echo "$(($(df -Pk "$cache" | awk 'NR == 2 { print $4 }') / 1024))"
}

check() {
	local tool built here version
	[ -e "$headers/.config" ] || fail "its headers are not installed (linux-headers-$kver)"
	[ -e "$source" ] || fail "its source is not installed (linux-source-$series)"
	version=$(package_version "linux-headers-$kver")
	[ "$(package_version "linux-source-$series")" = "$version" ] ||
		fail "its version is $version, and that of linux-source-$series is" \
			"$(package_version "linux-source-$series"): install the same one"
	for tool in make gcc flex bison bc xz rustc bindgen pahole; do
		command -v "$tool" >/dev/null || fail "$tool is missing"
	done
	# Names of what Rust exports depend on the compiler.
	built=$(sed -n 's/^CONFIG_RUSTC_VERSION_TEXT="\(.*\)"$/\1/p' "$headers/.config")
	here=$(rustc --version)
	[ "$built" = "$here" ] || fail "it was built by '$built', and rustc here is '$here'"
	[ "$(free)" -ge "$ROOM" ] ||
		fail "there is no room for $ROOM MB in $cache"
}

# What no module of ours needs is not even unpacked; the names of options are.
unpack() {
	local top=linux-source-$series
	mkdir -p "$tree"
	echo "unpacking $source"
	tar -C "$tree" --strip-components=1 --anchored --wildcards \
		--exclude="$top/Documentation/*.rst" --exclude="$top/Documentation/devicetree/bindings" \
		--exclude="$top/sound/*.[ch]" --exclude="$top/fs/*.c" --exclude="$top/net/*.c" \
		--exclude="$top/drivers/*.c" --exclude="$top/drivers/gpu/*.h" \
		--exclude="$top/tools/testing" --exclude="$top/tools/perf" -xf "$source"
}

# As scripts/setup/make_kernel.sh does for the build root.
prepare() {
	cd "$tree"
	cp "$headers/.config" .config
	# The flavour's suffix of the release: everything after the version.
	scripts/config --disable LOCALVERSION_AUTO --set-str SYSTEM_TRUSTED_KEYS "" \
		--set-str LOCALVERSION "${kver#"$(make -s kernelversion)"}"
	make olddefconfig
	grep -qx CONFIG_RUST=y .config || { echo "the configuration lost CONFIG_RUST"; return 1; }
	make -j"$(nproc)" prepare modules_prepare
	[ "$(make -s kernelrelease)" = "$kver" ] || { echo "the tree calls itself $(make -s kernelrelease)"
		return 1; }
	cp "$headers/Module.symvers" .
	rm -rf drivers fs sound net Documentation samples
}

# The line of the log that says most. Where there is no room, there is none for a log.
why() {
	[ "$(free)" -ge 5 ] || { echo "no space is left in $cache"
		return; }
	{ grep -m 1 -i 'no space left' "$log" || grep -m 1 -iE 'error|not found' "$log" ||
		tail -n 1 "$log"; } | cut -c1-200
}

# What a tree is made from: another version of any of these makes another tree.
stamp() {
	package_version "linux-headers-$kver"
	echo
	rustc --version 2>/dev/null || true
	cksum <"$0"
}

# Drops the trees of kernels that are gone.
clean() {
	local old
	for old in "$cache"/*/; do
		old=${old%/}
		[ -e "/lib/modules/${old##*/}/build" ] || rm -rf "$old" "$old.log"
	done
}

# The process group that makes the tree, ended when this is.
job=
end_job() {
	[ -z "$job" ] || kill -TERM -- "-$job" 2>/dev/null || true
}
trap end_job EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$cache"
exec {lock}>"$cache/lock"
flock --nonblock "$lock" || {
	echo "rust-ct: $kver: waiting for another $0, which has $cache/lock"
	flock "$lock"
}
clean
[ "$(cat "$tree/rust-ct.complete" 2>/dev/null)" != "$(stamp)" ] || exit 0
rm -rf "$tree"
check
echo "rust-ct: $kver: making what its headers lack for Rust, in some minutes"
set -m
{ unpack && prepare; } >"$log" 2>&1 </dev/null {lock}>&- &
job=$!
set +m
start=$SECONDS
next=20
while kill -0 "$job" 2>/dev/null; do
	sleep 1
	[ $((SECONDS - start)) -ge $next ] || continue
	echo "rust-ct: $kver: $next seconds, $(tail -n 1 "$log" | cut -c1-50)"
	next=$((next + 20))
done
wait "$job" || fail "$(why) (see $log)"
job=
sync -f "$tree" || fail "$tree cannot be written"
stamp >"$tree/rust-ct.complete"
echo "rust-ct: $kver: made in $((SECONDS - start)) seconds"
