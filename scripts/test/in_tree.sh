#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# in_tree.sh: builds this clone as a part of the kernel's own tree, in net/netfilter/rust_ct, by kbuild
# with W=1, as far as the module's object: it has to be there, and without a warning. The last line is
# 'N passed, N failed'.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

log=$LOGS/in-tree.log

# in_tree: run in the build root, which forgets all of it. The stock tree is configured anew, so its
# Rust crates are compiled again. The kernel itself is not, so there is nothing to link the module with.
in_tree() {
	local tree=/build/stock home=net/netfilter/rust_ct
	keep_tree "$tree"
	cd /build/source
	mkdir "$home"
	cp -a /src/{Kconfig,Makefile,rust_ct,include,kunit,tests} "$home/"
	sed -i "/^endmenu/i source \"$home/Kconfig\"" net/netfilter/Kconfig
	echo "obj-y += rust_ct/" >>net/netfilter/Makefile
	scripts/config --file "$tree/.config" --module RUST_CT
	make O="$tree" olddefconfig
	grep -x 'CONFIG_RUST_CT=m' "$tree/.config"
	make O="$tree" -j"$JOBS" prepare modules_prepare
	echo "==== W=1"
	make O="$tree" -j"$JOBS" W=1 "$home/"
	ls -l "$tree/$home/rust_ct/rust_ct.o"
}

"$TOP/scripts/setup/setup.sh" stock
run_step "rust_ct in the kernel's tree" "$log" \
	in_root env JOBS="$JOBS" bash -euc "$(declare -f keep_tree in_tree); in_tree"
failed=0
grep -q 'LD \[M\] *net/netfilter/rust_ct/rust_ct/rust_ct.o' "$log" || {
	echo "not ok - it is a module of the kernel's tree"
	failed=1
}
if sed '1,/^==== W=1/d' "$log" | grep -i -A5 'warning: '; then
	echo "not ok - the compilers have nothing to say to W=1"
	failed=$((failed + 1))
fi
echo "$((2 - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
