#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# make_image.sh DIRECTORY: makes the disk of a Debian machine, DIRECTORY/disk.img: Debian 13 with
# systemd, its kernel from backports as the build root has it, nftables, docker, and what DKMS needs.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
SIZE=7G

directory=$1
tree=$directory/tree
root=$(base_root_dir)
release=$(root_version release)

packages() {
	sed 's/#.*//' "$TOP/scripts/package/image.txt" | tr -s '[:space:]' '\n' | grep .
	printf '%s\n' "linux-base/trixie-backports" "linux-image-$release" \
		"linux-headers-$release" "linux-source-$(root_version series)"
}

# An initramfs of what this machine has, as making a large one takes minutes where nothing is
# accelerated.
configure_initramfs() {
	# shellcheck disable=SC2016 # mmdebstrap's variable
	printf '%s\n' 'mkdir -p "$1/etc/initramfs-tools/conf.d"' \
		'printf "MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\n" >"$1/etc/initramfs-tools/conf.d/small"' \
		'printf "virtio_pci\nvirtio_blk\next4\n" >"$1/etc/initramfs-tools/modules"'
}

bootstrap() {
	local proxy
	proxy=$(apt-config dump --format '%v' Acquire::http::Proxy)
	mmdebstrap --variant=minbase --keyring="$KEYRING" \
		${proxy:+--aptopt="Acquire::http::Proxy \"$proxy\""} \
		--dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--essential-hook="$(configure_initramfs)" \
		--include="ca-certificates $(packages | tr '\n' ' ')" \
		trixie "$tree" - <"$root/etc/apt/sources.list"
}

# What makes a machine of it that tells on its console what it does.
configure() {
	echo machine >"$tree/etc/hostname"
	echo '/dev/vda / ext4 rw 0 1' >"$tree/etc/fstab"
	rm -f "$tree/etc/resolv.conf"
	# No user is there to log in, and nothing is to be fetched behind the test's back.
	enter_root "$tree" -- systemctl mask getty.target serial-getty@ttyS0.service \
		apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
		e2scrub_reap.service fstrim.timer systemd-timesyncd.service \
		systemd-firstboot.service
	enter_root "$tree" -- systemctl enable nftables.service
	# The step before enables it.
	enter_root "$tree" -- systemctl disable docker.service docker.socket containerd.service
}

write_disk() {
	truncate -s "$SIZE" "$directory/disk.img"
	mke2fs -q -t ext4 -L root -d "$tree" "$directory/disk.img"
	rm -rf --one-file-system "$tree" "$tree.layers"
}

mkdir -p "$directory"
run_step "system image: packages" "$LOGS/image-packages.log" bootstrap
run_step "system image: settings" "$LOGS/image-configure.log" configure
run_step "system image: disk" "$LOGS/image-disk.log" write_disk
