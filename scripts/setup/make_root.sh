#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# make_root.sh ROOT LOGDIR: makes the build root, a Debian 13 in the directory
# ROOT with the toolchain, the test programs, a stock kernel from backports and
# that kernel's source. Uses Debian's archive only, by the mirror that this
# machine's own apt uses, or RUST_CT_MIRROR and RUST_CT_SECURITY_MIRROR.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/lib.sh"

SUITE=trixie
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

root=$1
logs=$2

# Prints the URI, the suite and the component of every deb source here.
apt_sources() {
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' | sort -u
}

# A mirror+file: source names a file with one mirror a line.
resolve_mirror() {
	local uri=$1
	case $uri in
	mirror+file:*) sed -n 's/[[:space:]].*//; /^http/{p;q}' "${uri#mirror+file:}" ;;
	*) printf '%s\n' "${uri%/}" ;;
	esac
}

find_mirrors() {
	local uri
	mirror=${RUST_CT_MIRROR:-}
	security=${RUST_CT_SECURITY_MIRROR:-}
	if [ -z "$mirror" ]; then
		uri=$(apt_sources | awk '$2 ~ /^(bookworm|trixie|stable)$/ &&
			$3 == "main" && $1 !~ /security/ && !n++ { print $1 }')
		[ -n "$uri" ] || die "this machine's apt sources name no Debian 12 or 13" \
			"archive: set RUST_CT_MIRROR to the URL of one"
		mirror=$(resolve_mirror "$uri")
	fi
	if [ -z "$security" ]; then
		uri=$(apt_sources | awk '$2 ~ /^(bookworm|trixie|stable)-security$/ &&
			!n++ { print $1 }')
		security=${uri:+$(resolve_mirror "$uri")}
		security=${security:-${mirror%/}-security}
	fi
}

# check_archive URL SUITE: the archive answers and has the suite.
check_archive() {
	local out
	out=$(mktemp)
	/usr/lib/apt/apt-helper download-file "$1/dists/$2/InRelease" "$out" \
		>/dev/null 2>&1 || { rm -f "$out"
		die "the archive $1 does not answer for $2: is the network up?" \
			"(RUST_CT_MIRROR names another)"; }
	rm -f "$out"
}

write_sources() {
	printf 'deb %s main\n' "$mirror $SUITE" "$mirror $SUITE-updates" \
		"$security $SUITE-security" "$mirror $SUITE-backports"
}

bootstrap() {
	local proxy
	proxy=$(apt-config dump --format '%v' Acquire::http::Proxy)
	write_sources | mmdebstrap --variant=minbase --keyring="$KEYRING" \
		${proxy:+--aptopt="Acquire::http::Proxy \"$proxy\""} \
		--dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--include=ca-certificates "$SUITE" "$root" -
}

in_root() {
	enter_root "$root" -- "$@"
}

# Chooses series (X.Y of linux-source-X.Y), release and package version of the
# kernel: the newest tested one, or the newest of all.
choose_kernel() {
	local offered tested package
	offered=$(in_root apt-cache pkgnames linux-source- |
		sed -nE 's/^linux-source-([0-9]+\.[0-9]+)$/\1/p' | sort -V)
	tested=$(for series in $offered; do
		[ "$(printf '%s\n' "$KERNEL_FIRST" "$series" "$KERNEL_LAST" |
			sort -V | sed -n 2p)" != "$series" ] || echo "$series"
	done | tail -n 1)
	series=${tested:-$(tail -n 1 <<<"$offered")}
	[ -n "$series" ] || die "the archive $mirror offers no linux-source package"
	[ -n "$tested" ] || warn "the archive offers no kernel of the tested range" \
		"$KERNEL_FIRST to $KERNEL_LAST (only: ${offered//$'\n'/ });" \
		"going on with the untested $series"
	kernel_version=$(in_root apt-cache show "linux-source-$series" |
		sed -n 's/^Version: //p' | sort -V | tail -n 1)
	release=
	for package in $(in_root apt-cache pkgnames "linux-image-$series" |
		grep -E '^linux-image-[0-9.]+(\+|-)[^-]*-?amd64$'); do
		if in_root apt-cache show "$package=$kernel_version" >/dev/null 2>&1; then
			release=${package#linux-image-}
		fi
	done
	[ -n "$release" ] || die "the archive $mirror has linux-source-$series" \
		"$kernel_version but no linux-image of that version"
}

install_packages() {
	local packages
	packages=$("$TOP/scripts/setup/list_packages.sh")
	# shellcheck disable=SC2086
	in_root apt-get install -y --no-install-recommends $packages
	in_root apt-get clean
}

# The kernel's packages are unpacked rather than installed: nobody boots this root
# on a machine of its own, so an initramfs would be made for nothing. Only the
# solver knows in which packages image, modules and symbols lie.
unpack_kernel() {
	local stage=$root/build/stage modules=$root/usr/lib/modules/$release deb
	in_root apt-get install -y --no-install-recommends --download-only \
		"linux-base/$SUITE-backports" "linux-source-$series=$kernel_version" \
		"linux-image-$release=$kernel_version" \
		"linux-headers-$release=$kernel_version"
	for deb in "$root"/var/cache/apt/archives/linux-*"$release"*.deb \
		"$root/var/cache/apt/archives/linux-source-$series"_*.deb; do
		echo "unpacking $deb"
		dpkg-deb -x "$deb" "$stage"
	done
	in_root apt-get clean

	mkdir -p "$root/usr/lib/modules" "$root/build/source"
	[ ! -d "$stage/lib/modules" ] || mv "$stage/lib/modules/$release" "$modules"
	[ ! -d "$stage/usr/lib/modules" ] || mv "$stage/usr/lib/modules/$release" "$modules"
	for name in vmlinuz config; do
		[ -e "$modules/$name" ] || mv "$stage/boot/$name-$release" "$modules/$name"
	done
	mv "$stage/usr/src/linux-headers-$release/Module.symvers" "$modules/"
	rm -f "$modules/build" "$modules/source"
	in_root depmod "$release"
	echo "unpacking linux-source-$series.tar.xz"
	tar -C "$root/build/source" --strip-components=1 -xf \
		"$stage/usr/src/linux-source-$series.tar.xz"
	rm -rf "$stage"
}

# What virtme-ng's init calls in the guest, in place of a systemd.
install_guest_tools() {
	local bin=$root/usr/local/bin
	install -m 755 "$TOP/scripts/guest/guest_udevd.sh" "$bin/udevd"
	ln -s /bin/true "$bin/udevadm"
	ln -s /bin/busybox "$bin/poweroff"
}

# Everything that a kernel tree built in this root depends on.
write_versions() {
	# shellcheck disable=SC2016
	cat >"$root/build/versions" <<-END
		series=$series
		release=$release
		kernel_version=$kernel_version
		toolchain="$(in_root dpkg-query -W -f '${Package}=${Version},' \
			rustc rust-src bindgen clang lld gcc pahole)"
	END
}

find_mirrors
check_archive "$mirror" "$SUITE"
check_archive "$mirror" "$SUITE-backports"
check_archive "$security" "$SUITE-security"

run_step "build root: Debian base system" "$logs/root-base.log" bootstrap
mkdir -p "$root"/{src,out,cargo,build/{stock,debug,uml}}
run_step "build root: package lists" "$logs/root-update.log" in_root apt-get update
choose_kernel
say "kernel $release, from linux-source-$series $kernel_version"
run_step "build root: toolchain and test programs" "$logs/root-packages.log" \
	install_packages
run_step "build root: kernel and its source" "$logs/root-kernel.log" unpack_kernel
install_guest_tools
write_versions
