#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The first process of the user-mode kernel that uml.sh boots: mounts what programs
# expect, runs the job $1, leaves its status in /out, and switches off.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
/src/scripts/guest/guest_job.sh bash "/out/$1-job" </dev/null >/dev/console 2>&1
echo $? >"/out/$1-status"
busybox poweroff -f
