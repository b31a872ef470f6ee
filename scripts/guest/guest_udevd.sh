#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Stands in for udevd in the guest, where the real one's cold plug of every
# device takes a minute without KVM. virtme-init starts it, and wants the names
# of the virtio ports through which the guest's job talks.

modprobe -q virtio_console
modprobe -q virtio_rng
mkdir -p /dev/virtio-ports
tries=50
while [ "$tries" -gt 0 ]; do
	for port in /sys/class/virtio-ports/*; do
		[ ! -e "$port/name" ] ||
			ln -sf "/dev/${port##*/}" "/dev/virtio-ports/$(cat "$port/name")"
	done
	[ ! -e /dev/virtio-ports/virtme.ret ] || exit 0
	tries=$((tries - 1))
	sleep 0.1
done
