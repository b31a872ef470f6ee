#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# guest_job.sh COMMAND...: the guest's half of guest.sh. Runs COMMAND, asks kmemleak
# what is lost where the kernel has it, and marks beginning and end on
# the console.

set -u

kmemleak=/sys/kernel/debug/kmemleak
kcsan=/sys/module/kcsan/parameters

mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug
mountpoint -q /tmp || mount -t tmpfs tmpfs /tmp
ip link set lo up
# No name server answers in the guest, so no program shall wait for it.
sed -i 's/^hosts:.*/hosts: files/' /etc/nsswitch.conf
# KCSAN watches one access in fifty, for as long as an emulated processor needs for a packet: by its own
# settings, one in two thousand for 40 us, another processor hardly ever comes by.
if [ -w "$kcsan/skip_watch" ]; then
	echo 100 >"$kcsan/skip_watch"
	echo 300 | tee "$kcsan/udelay_task" >"$kcsan/udelay_interrupt"
fi
# What the boot left behind is not ours.
[ ! -w "$kmemleak" ] || echo clear >"$kmemleak"

echo "rust_ct guest: begin" >/dev/kmsg
cd /src || exit 125
export RUST_CT_OUT=/out
"$@" 2>&1
status=$?

if [ -w "$kmemleak" ]; then
	# An object counts as lost when it is older than five seconds and two
	# scans found nothing that points to it.
	sleep 6
	echo scan >"$kmemleak"
	sleep 1
	echo scan >"$kmemleak"
	cat "$kmemleak" >/dev/console
fi
echo "rust_ct guest: end" >/dev/kmsg
sleep 0.5
exit "$status"
