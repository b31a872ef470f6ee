#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# add_btf.sh KDIR MODULE: gives a module that was built for the kernel tree KDIR the BTF by which
# BPF programs find what they call (bpf.c), as kbuild does where the tree has a vmlinux; its base is
# that of the kernel's image, which is installed. Where that cannot be had, a line says why, and the
# module goes without.

set -euo pipefail

kdir=$1
module=$2
release=$(cat "$kdir/include/config/kernel.release")
source=$kdir
[ ! -e "$kdir/source" ] || source=$kdir/source

without() {
	echo "  BTF [M] skipped: $*; BPF programs cannot call $module"
	exit 0
}

# number OFFSET BYTES: a number of the image's header (Documentation/arch/x86/boot.rst).
number() {
	od -An "-tu$2" -j"$1" -N"$2" "$image" | tr -d ' '
}

unpack() {
	case $1 in
	ZSTD) if command -v zstd >/dev/null; then zstd -dqc; else openssl zstd -d; fi ;;
	XZ) xz -dc ;;
	GZIP) gzip -dc ;;
	*) return 1 ;;
	esac
}

# extract FILE: writes the BTF of the image to FILE. Behind what is packed there is its length.
extract() {
	local begin length format
	begin=$((($(number 497 1) + 1) * 512 + $(number 584 4)))
	length=$(number 588 4)
	format=$(sed -nE 's/^CONFIG_KERNEL_(ZSTD|XZ|GZIP)=y$/\1/p' "$kdir/include/config/auto.conf")
	tail -c "+$((begin + 1))" "$image" | head -c "$((length - 4))" | unpack "$format" >"$1.vmlinux"
	objcopy --dump-section ".BTF=$1" "$1.vmlinux" /dev/null
}

grep -qs '^CONFIG_DEBUG_INFO_BTF_MODULES=y' "$kdir/include/config/auto.conf" || exit 0
! objdump -h "$module" | grep ' \.BTF ' >/dev/null || exit 0
command -v pahole >/dev/null || without "pahole is missing"
for tool in "$source/scripts/gen-btf.sh" "$kdir/tools/bpf/resolve_btfids/resolve_btfids"; do
	[ -r "$tool" ] || without "$tool is missing"
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
image=
for image in "/boot/vmlinuz-$release" "/usr/lib/modules/$release/vmlinuz" ''; do
	[ ! -r "$image" ] || break
done
if [ -n "$image" ]; then
	base=$scratch/base
	extract "$base" 2>"$scratch/log" || without "the BTF of $image cannot be read"
elif [ "$release" = "$(uname -r)" ] && [ -r /sys/kernel/btf/vmlinux ]; then
	base=/sys/kernel/btf/vmlinux
else
	without "the image of kernel $release is not installed"
fi

# The flags are those of scripts/Makefile.btf, but for --distill_base: with a base of its own, the
# types of connections would have other numbers once it is loaded.
cp "$module" "$scratch/module.ko"
env PAHOLE=pahole OBJCOPY=objcopy RESOLVE_BTFIDS="$kdir/tools/bpf/resolve_btfids/resolve_btfids" \
	RESOLVE_BTFIDS_FLAGS="" PAHOLE_FLAGS="--lang_exclude=rust
	--btf_features=encode_force,var,float,enum64,decl_tag,type_tag,optimized_func,consistent_func" \
	sh "$source/scripts/gen-btf.sh" --btf_base "$base" "$scratch/module.ko" >"$scratch/log" 2>&1 || {
	tail -n 3 "$scratch/log"
	without "it could not be made"
}
mv "$scratch/module.ko" "$module"
echo "  BTF [M] $module"
