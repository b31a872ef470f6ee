#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# enter_root.sh ROOT [--scratch] [--bind SOURCE:TARGET[:ro]]... -- COMMAND...: the
# inner half of enter_root in lib.sh, already in private mount and PID
# namespaces.

set -euo pipefail

root=$1
shift
if [ "$1" = --scratch ]; then
	# What is written to the root goes to memory and is forgotten.
	shift
	layers=$root.layers
	mkdir -p "$layers"
	mount -t tmpfs tmpfs "$layers"
	mkdir "$layers"/{upper,work,root}
	mount -t overlay overlay "$layers/root" \
		-o "lowerdir=$root,upperdir=$layers/upper,workdir=$layers/work"
	root=$layers/root
fi
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
if [ -e /etc/resolv.conf ]; then
	[ -e "$root/etc/resolv.conf" ] || : >"$root/etc/resolv.conf"
	mount --bind "$(readlink -f /etc/resolv.conf)" "$root/etc/resolv.conf"
fi
# Who is behind a proxy of their own has taught the machine, not the root, to trust it.
ca=/etc/ssl/certs/ca-certificates.crt
if [ -s "$ca" ] && [ -e "$root$ca" ]; then
	mount --bind "$(readlink -f "$ca")" "$root$ca"
fi
while [ "$1" = --bind ]; do
	IFS=: read -r from to mode <<<"$2"
	mkdir -p "$root/$to"
	mount --bind "$from" "$root/$to"
	[ "$mode" != ro ] || mount -o remount,bind,ro "$root/$to"
	shift 2
done
shift
exec chroot "$root" env -i \
	PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" DEBIAN_FRONTEND=noninteractive \
	CARGO_HOME=/cargo CARGO_TARGET_DIR=/out/cargo RUST_CT_OUT=/out \
	${CI:+CI="$CI"} ${http_proxy:+http_proxy="$http_proxy"} \
	${https_proxy:+https_proxy="$https_proxy"} "$@"
