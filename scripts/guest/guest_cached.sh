#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# guest_cached.sh COMMAND...: the guest's half of guest.sh --cached. Mounts the build root a second
# time, with a cache, and runs COMMAND there. The initramfs of a stock kernel mounts it without, and
# then each start of a program takes seconds.

set -eu

root=/run/cached
mkdir "$root"
# No other program writes to it, but for what is written to be read outside, in /out.
mount -t 9p -o version=9p2000.L,trans=virtio,access=any,cache=loose,msize=262144 cached "$root"
mountpoint -q /tmp || mount -t tmpfs tmpfs /tmp
for directory in proc sys dev tmp src out; do
	mount --rbind "/$directory" "$root/$directory"
done
mount -t tmpfs tmpfs "$root/run"
# The kernel's own calls of modprobe are to see the same configuration; iptables makes them
# in here.
ln -s / "$root$root"
cat >/tmp/modprobe <<END
#!/bin/sh
exec /usr/sbin/chroot $root /usr/sbin/modprobe "\$@"
END
chmod +x /tmp/modprobe
echo /tmp/modprobe >/proc/sys/kernel/modprobe
exec chroot "$root" "$@"
