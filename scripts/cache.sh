# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The names under which set-up keeps things in the cache. To be sourced after
# lib.sh.

# The kernels that the module was tested with, as X.Y.
export KERNEL_FIRST=7.3
export KERNEL_LAST=7.3

hash_of() {
	sha256sum | cut -c1-12
}

# The build root: made from the package list and the recipe.
root_dir() {
	local key
	key=$({
		"$TOP/scripts/list_packages.sh"
		echo "$KERNEL_FIRST $KERNEL_LAST"
		cat "$TOP/scripts/make_root.sh" "$TOP/scripts/guest_udevd.sh"
	} | hash_of)
	printf '%s/root-%s\n' "$CACHE" "$key"
}

# tree_dir KIND: a kernel tree, made from the versions of kernel source and
# toolchain in the root, the configuration and the recipe.
tree_dir() {
	local key
	key=$({
		cat "$(root_dir)/build/versions" "$TOP/scripts/make_kernel.sh"
		[ "$1" = stock ] || cat "$TOP/scripts/common.config" "$TOP/scripts/$1.config"
	} | hash_of)
	printf '%s/%s-%s\n' "$CACHE" "$1" "$key"
}

# in_root COMMAND...: runs COMMAND in the build root; what it writes there is
# forgotten. The root has
#   /src          this clone, read-only
#   /out          where this clone's objects and logs go
#   /cargo        the cache of crates
#   /build/KIND   the kernel trees that exist, read-only
in_root() {
	local kind tree binds=()
	for kind in stock debug uml; do
		tree=$(tree_dir "$kind")
		[ -d "$tree" ] || continue
		binds+=(--bind "$tree:/build/$kind:ro")
		[ ! -d "$tree/modules" ] || binds+=(--bind
			"$tree/modules:/usr/lib/modules/$(cat "$tree/release"):ro")
	done
	enter_root "$(root_dir)" --scratch --bind "$TOP:/src:ro" --bind "$WORK:/out" \
		--bind "$CACHE/cargo:/cargo" "${binds[@]}" -- "$@"
}
