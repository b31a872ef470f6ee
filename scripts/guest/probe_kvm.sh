#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# probe_kvm.sh: succeeds when /dev/kvm works, that is, when the stock kernel boots with
# it as far as missing its disk. A device that exists may still hang, so
# nothing less is believed. The answer is kept until the machine boots again.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

answer=$CACHE/kvm-$(cat /proc/sys/kernel/random/boot_id)
if [ ! -e "$answer" ]; then
	result=no
	if [ -c /dev/kvm ] && [ -w /dev/kvm ]; then
		say "guest: trying /dev/kvm (at most 30 seconds)"
		release=$(sed -n 's/^release=//p' "$(root_dir)/build/versions")
		"$TOP/scripts/setup/root.sh" timeout --foreground --kill-after=5 30 \
			qemu-system-x86_64 -accel kvm -cpu host -smp 2 -m 512M -nodefaults \
			-display none -serial stdio -no-reboot \
			-kernel "/usr/lib/modules/$release/vmlinuz" \
			-append 'console=ttyS0 panic=-1' </dev/null >"$LOGS/kvm.log" 2>&1 || true
		! grep -q 'Unable to mount root' "$LOGS/kvm.log" || result=yes
	fi
	[ "$result" = yes ] || say "guest: /dev/kvm does not work here, using QEMU's TCG"
	rm -f "$CACHE"/kvm-*
	echo "$result" >"$answer"
fi
grep -qx yes "$answer"
