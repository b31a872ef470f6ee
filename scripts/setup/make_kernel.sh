#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# make_kernel.sh KIND CONFIG...: builds a kernel's object tree in /build/KIND from
# /build/source. Runs inside the build root. KIND is
#   stock  what a module for Debian's own kernel needs: its configuration, the
#          generated headers, the Rust metadata, and its Module.symvers
#   debug  the debug kernel for QEMU, with modules
#   uml    the user-mode kernel, with modules
# The CONFIGs are the fragments of debug and uml.

set -euo pipefail

kind=$1
shift
tree=/build/$kind
# shellcheck disable=SC1091
. /build/versions
cd /build/source
flags=(O="$tree" -j"${JOBS:-2}" LLVM=1)

fail() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# Kconfig drops what it cannot satisfy without a word, so ask for each line.
check_config() {
	local line option bad=
	while read -r line; do
		case $line in
		CONFIG_*=*)
			grep -qxF "$line" "$tree/.config" || bad+=" $line"
			;;
		'# CONFIG_'*' is not set')
			option=${line#'# '}
			option=${option%% *}
			! grep -q "^$option=" "$tree/.config" || bad+=" $option(unwanted)"
			;;
		esac
	done < <(cat "$@")
	[ -z "$bad" ] || fail "the $kind kernel's configuration lost these options:$bad"
}

# Applies the fragments on top of allnoconfig.
configure() {
	cat "$@" >"$tree/wanted.config"
	make "${flags[@]}" KCONFIG_ALLCONFIG="$tree/wanted.config" allnoconfig
	check_config "$@"
}

# Installs modules, and the kernel image $1, below $tree/modules as the guest
# shall see them in /usr/lib/modules/RELEASE.
install_kernel() {
	local release
	release=$(make -s "${flags[@]}" kernelrelease)
	make "${flags[@]}" INSTALL_MOD_PATH="$tree/install" modules_install
	mv "$tree/install/lib/modules/$release" "$tree/modules"
	rm -rf "$tree/install" "$tree/modules/build"
	cp "$tree/$1" "$tree/modules/vmlinuz"
	printf '%s\n' "$release" >"$tree/release"
}

case $kind in
stock)
	flags=(O="$tree" -j"${JOBS:-2}")
	cp "/usr/lib/modules/$release/config" "$tree/.config"
	# The flavour's suffix of the release: everything after the version.
	scripts/config --file "$tree/.config" --disable LOCALVERSION_AUTO \
		--set-str LOCALVERSION "${release#"$(make -s kernelversion)"}" \
		--set-str SYSTEM_TRUSTED_KEYS ""
	make "${flags[@]}" olddefconfig
	grep -qx CONFIG_RUST=y "$tree/.config" ||
		fail "Debian's kernel $release cannot be built for with Rust: see Documentation/development.md"
	make "${flags[@]}" prepare modules_prepare
	[ "$(make -s "${flags[@]}" kernelrelease)" = "$release" ] ||
		fail "the tree calls itself $(make -s "${flags[@]}" kernelrelease), not $release"
	cp "/usr/lib/modules/$release/Module.symvers" "$tree/"
	printf '%s\n' "$release" >"$tree/release"
	;;
debug)
	configure "$@"
	make "${flags[@]}" bzImage modules
	install_kernel arch/x86/boot/bzImage
	;;
uml)
	flags+=(ARCH=um)
	configure "$@"
	make "${flags[@]}" linux modules
	install_kernel linux
	;;
*)
	fail "make_kernel.sh: unknown kind '$kind' (stock, debug or uml)"
	;;
esac
