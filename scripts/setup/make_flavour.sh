#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# make_flavour.sh FLAVOUR: another flavour (cloud, rt) of Debian's kernel of the build root, from
# Debian's packages: the kernel and its modules in /build/stock/modules, and in /build/stock what
# a module for it needs. A flavour without 9p, by which a guest here has its files, gets that as
# modules made from the same source. Runs in the build root, which forgets the rest.

set -euo pipefail

flavour=$1
tree=/build/stock
# shellcheck disable=SC1091
. /build/versions
release=${release%amd64}$flavour-amd64
modules=/usr/lib/modules/$release

apt-get install -y --no-install-recommends --download-only linux-base/trixie-backports \
	"linux-image-$release=$kernel_version" "linux-headers-$release=$kernel_version"
for deb in /var/cache/apt/archives/linux-*"$release"*.deb; do
	echo "unpacking $deb"
	dpkg-deb -x "$deb" /tmp/stage
done
# Debian's packages have them below /lib or /usr/lib.
for unpacked in /tmp/stage/{,usr/}lib/modules/"$release"; do
	[ ! -d "$unpacked" ] || mv "$unpacked" "$modules"
done
for name in vmlinuz config; do
	[ -e "$modules/$name" ] || mv "/tmp/stage/boot/$name-$release" "$modules/$name"
done
mv "/tmp/stage/usr/src/linux-headers-$release/Module.symvers" "$modules/"
rm -f "$modules/build" "$modules/source"

# make_9p: the modules of net/9p and fs/9p that the flavour was configured without.
make_9p() {
	local parts=/tmp/9p
	mkdir -p "$parts"/{net,fs} "$modules/extra"
	cp -r /build/source/net/9p "$parts/net/"
	cp -r /build/source/fs/9p "$parts/fs/"
	echo 'obj-m += net/9p/ fs/9p/' >"$parts/Kbuild"
	make -C "$tree" M="$parts" -j"${JOBS:-2}" CONFIG_NET_9P=m CONFIG_NET_9P_VIRTIO=m CONFIG_9P_FS=m modules
	find "$parts" -name '*.ko' -exec cp {} "$modules/extra/" \;
}

# As for the kernel of the build root, with this one in its place.
sed -i "s/^release=.*/release=$release/" /build/versions
bash /src/scripts/setup/make_kernel.sh stock
grep -q '^CONFIG_9P_FS=' "$modules/config" || make_9p
depmod "$release"
cp -a "$modules" "$tree/modules"
# From now on it is at its own place.
sed -i "s,/build/stock\$,/build/$flavour," "$tree/Makefile"
