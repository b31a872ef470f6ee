#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# guest_pivot.sh COMMAND...: runs COMMAND, in a guest with --cached, in a mount namespace whose
# root is the cached one. guest_cached.sh changes to it by chroot: a process that enters the mount
# namespace of another process then, as containers' engines do, is at the wrong root.

set -eu

exec nsenter --mount=/proc/1/ns/mnt -- unshare --mount --propagation private -- sh -euc '
	cd /run/cached
	pivot_root . mnt
	exec chroot . sh -euc "umount -l /mnt; cd /src; exec \"\$@\"" sh "$@"
' sh "$@"
