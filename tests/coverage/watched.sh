#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# watched.sh KERNEL NAME COMMAND...: the guest's half of coverage.sh: runs COMMAND, and keeps how often each part of the
# modules was run as /out/coverage/NAME-MODULE. Ends with COMMAND's status.

set -u

insmod "/out/$1-coverage/tests/coverage/rust_ct_coverage.ko" || exit
name=$2
shift 2
"$@"
status=$?
for file in /proc/rust_ct_coverage/*; do
	kept=/out/coverage/$name-${file##*/}
	cat "$file" >"$kept" || status=1
	# A module that was not loaded.
	[ -s "$kept" ] || rm "$kept"
done
exit "$status"
