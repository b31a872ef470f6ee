#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# deb.sh: builds the packages of this clone for Debian's kernel of the build root, and has lintian
# look at them. They end in /out/deb of the build root, which is work-*/deb of the cache.
# RUST_CT_VERSION in the environment takes the place of the version in rust_ct/Makefile. Who
# publishes them sets DEBFULLNAME and DEBEMAIL.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

export LAYER=package
sources=(Kconfig Makefile README.md Documentation include rust_ct packaging)

"$TOP/scripts/setup/setup.sh" stock
release=$(root_version release)
version=${RUST_CT_VERSION:-$(sed -n 's/^rust-ct-version := //p' "$TOP/rust_ct/Makefile")}
maintainer="${DEBFULLNAME:-The rust_ct developers} <${DEBEMAIL:-rust_ct@localhost.localdomain}>"
suppressed=bogus-mail-host
[ -z "${DEBEMAIL:-}" ] || suppressed=
deb=$WORK/deb
tree=$deb/rust-ct-$version

# fill FILE.in FILE: writes FILE with what depends on version and kernel.
fill() {
	sed -e "s/@VERSION@/$version/g" -e "s/@RELEASE@/$release/g" \
		-e "s/@KERNEL_FIRST@/$KERNEL_FIRST/g" -e "s/@KERNEL_LAST@/$KERNEL_LAST/g" \
		-e "s/@KERNELS@/$(kernel_pattern)/g" -e "s/@MAINTAINER@/$maintainer/g" "$1" >"$2"
	rm "$1"
}

# The kernels of the tested range, as a pattern of the shell.
kernel_pattern() {
	seq -f '%.0f' "${KERNEL_FIRST#*.}" "${KERNEL_LAST#*.}" |
		sed "s/.*/${KERNEL_FIRST%.*}.&.*/" | paste -s -d '|'
}

is_clone() {
	[ "$(git -C "$TOP" rev-parse --show-toplevel 2>/dev/null)" = "$TOP" ]
}

# The files to be packed, without what was built among them. Where there is no repository, as in an
# archive of it, .gitignore says what that is.
files() {
	local pattern ignored=()
	cd "$TOP"
	if is_clone; then
		git ls-files -z --cached --others --exclude-standard -- "${sources[@]}"
	else
		while read -r pattern; do
			ignored+=(-name "${pattern%/}" -prune -o)
		done < <(grep -v '^#' .gitignore)
		find "${sources[@]}" "${ignored[@]}" -type f -print0
	fi
}

# When the last change was made.
changed() {
	if is_clone; then
		git -C "$TOP" log -1 --format=%cD
	else
		date -R -r "$TOP/rust_ct/Makefile"
	fi
}

# assemble: the source package, of what is in this clone.
assemble() {
	local file
	rm -rf "$tree"
	mkdir -p "$tree"
	files | tar -C "$TOP" --null -cf - -T - | tar -C "$tree" -xf -
	mv "$tree/packaging/debian" "$tree/debian"
	sed -i "s/^rust-ct-version := .*/rust-ct-version := $version/" "$tree/rust_ct/Makefile"
	for file in "$tree"/debian/rust-ct-modules.*; do
		mv "$file" "${file/rust-ct-modules/rust-ct-modules-$release}"
	done
	for file in "$tree"/debian/*.in "$tree"/packaging/*.in; do
		fill "$file" "${file%.in}"
	done
	printf 'rust-ct (%s) unstable; urgency=medium\n\n  * See %s.\n\n -- %s  %s\n' "$version" \
		"the log of the repository" "$maintainer" "$(changed)" >"$tree/debian/changelog"
}

# The layer is what there is to build with, by other names than Build-Depends.
build() {
	in_root env -C "/out/deb/rust-ct-$version" KDIR=/build/stock RELEASE="$release" \
		BUILT_FOR="$(root_version kernel_version)" DEB_BUILD_OPTIONS="parallel=$JOBS" \
		dpkg-buildpackage --build=binary --no-sign --no-check-builddeps
}

# Packages that are not published have no address that mail could go to.
check() {
	in_root env -C /out/deb lintian --fail-on error,warning --allow-root --tag-display-limit 0 \
		${suppressed:+--suppress-tags "$suppressed"} "rust-ct_${version}_amd64.changes"
}

mkdir -p "$deb"
exec {lock}>"$WORK/deb.lock"
flock "$lock"
assemble
run_step "packages of rust_ct $version for $release" "$LOGS/deb-build.log" build
run_step "lintian" "$LOGS/deb-lintian.log" check
cat "$LOGS/deb-lintian.log"
rm -rf "$tree"
printf 'deb: %s\n' "$deb"/*"_${version}_"*.deb
echo "lintian: clean"
