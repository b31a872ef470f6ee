#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# test_deb.sh: builds the packages of this clone, has apt install those with the built module in the build
# root, which has Debian's kernel, and purge them; nothing is booted. The short form of test_install.sh. A
# line for each check, and as the last one 'N passed, N failed'.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

export LAYER=package

# In the root, whose changes are forgotten.
# shellcheck disable=SC2317 # called by the inner shell
install_and_purge() {
	local release own left=
	release=$(sed -n 's/^release=//p' /build/versions)
	modules=/lib/modules/$release
	finds() { [[ $(modinfo -k "$release" -F filename nf_conntrack) == */"$1"/nf_conntrack.ko* ]]; }
	check() {
		if "${@:2}"; then echo "ok - $1"; else echo "not ok - $1"; fi
	}
	apt() { apt-get --yes --quiet --no-install-recommends "$@" >/tmp/apt.log 2>&1; }
	packages=(/out/deb/rust-ct-common_"${VERSION}"_all.deb /out/deb/rust-ct-modules-"${release}_${VERSION}"_amd64.deb)
	# The root has the kernel's files without its package: an empty one has that name.
	mkdir -p /tmp/image/DEBIAN
	printf '%s\n' "Package: linux-image-$release" 'Version: 1' 'Architecture: amd64' 'Maintainer: nobody' \
		'Description: nothing' >/tmp/image/DEBIAN/control
	dpkg-deb --build /tmp/image /tmp/image.deb >/dev/null && dpkg --install /tmp/image.deb >/dev/null
	own=$(cd "$modules" && find . | sort)
	check "before it, modprobe finds the kernel's own module" finds kernel/net/netfilter
	check "apt installs the packages" apt install "${packages[@]}"
	grep -E '^(rust-ct|E|W):' /tmp/apt.log | sed 's/^/    /'
	check "it says from when on connections are tracked by it" grep -q "^rust-ct: from the next boot" /tmp/apt.log
	check "modprobe finds it then" finds updates/rust-ct
	check "and the kernel's own is where it was" test -e "$modules/kernel/net/netfilter/nf_conntrack.ko.xz"
	check "modprobe loads it by the script that falls back" grep -q '^install nf_conntrack .*/rust-ct/load' <(modprobe -c)
	check "nf_nat needs it" grep -q 'nf_nat.*updates/rust-ct/nf_conntrack' "$modules/modules.dep"
	check "so is what changes the tracker without a reboot" \
		test -x /usr/sbin/rust-ct-switch -a -x /usr/libexec/rust-ct/carry
	# The root leaves out what is documentation.
	check "there is a manual page" grep -q '/man4/rust_ct.4.gz$' <(dpkg -L rust-ct-common)
	check "apt purges them" apt purge rust-ct-common "rust-ct-modules-$release"
	grep -E '^(rust-ct|E|W):' /tmp/apt.log | sed 's/^/    /'
	check "modprobe finds the kernel's own again" finds kernel/net/netfilter
	check "nothing is left with the kernel's modules" test "$own" = "$(cd "$modules" && find . | sort)"
	left=$(find /etc /usr/lib /usr/libexec /usr/share /var/lib/dpkg/info -name '*rust[-_]ct*')
	check "nor anywhere else" test -z "$left"
	[ -z "$left" ] || printf '    %s\n' "$left"
}

"$TOP/scripts/package/deb.sh"
version=${RUST_CT_VERSION:-$(sed -n 's/^rust-ct-version := //p' "$TOP/rust_ct/Makefile")}
log=$LOGS/deb-test.log
in_root env VERSION="$version" bash -c "$(declare -f install_and_purge); install_and_purge" | tee "$log"
passed=$(grep -c '^ok - ' "$log" || true)
failed=$(grep -c '^not ok - ' "$log" || true)
# What ended before its last check has failed.
[ $((passed + failed)) -eq 13 ] || failed=$((failed + 1))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
