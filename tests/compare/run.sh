#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The guest's half of the comparison: plays each sequence DIR/*.seq to nf_conntrack, then
# to rust_ct, and leaves the recordings beside them.
#
#   run.sh PROGRAM MODULES DIR
#
# PROGRAM  the program `compare`
# MODULES  where rust_ct.ko and rust_ct_feed.ko were built
# DIR      where the sequences are

set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
program=$1
modules=$2
directory=$3
export RUST_CT_KO=$modules/rust_ct/rust_ct.ko

# The clock is moved by hours: who watches it must not take that for a stall.
for watch in rcupdate/parameters/rcu_cpu_stall_suppress:1 \
	rcupdate/parameters/rcu_cpu_stall_timeout:300 workqueue/parameters/watchdog_thresh:0; do
	file=/sys/module/${watch%:*}
	[ ! -w "$file" ] || echo "${watch#*:}" >"$file"
done
[ ! -w /proc/sys/kernel/hung_task_timeout_secs ] || echo 0 >/proc/sys/kernel/hung_task_timeout_secs

for CT in nf_conntrack rust_ct; do
	export CT
	# shellcheck source=tests/scenarios/lib.sh
	. "$here/../scenarios/lib.sh"
	# shellcheck disable=SC2119 # no parameters
	ct_load
	insmod "$modules/tests/compare/feeder/rust_ct_feed.ko"
	for sequence in "$directory"/*.seq; do
		echo "# $CT: $(basename "$sequence" .seq)"
		"$program" play "$sequence" -o "${sequence%.seq}.$CT"
	done
	rmmod rust_ct_feed
	ct_unload
done
