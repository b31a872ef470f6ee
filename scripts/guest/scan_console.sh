#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# scan_console.sh LOG: fails, and prints the lines, when the kernel complained in
# the console log LOG, or when LOG does not hold a whole run of
# guest_job.sh.

set -euo pipefail

log=$1

complaints=(
	'BUG[: ]' 'WARNING[: ]' 'Oops' 'KASAN: ' 'KFENCE: ' 'UBSAN: ' 'ODEBUG: '
	'INFO: (possible|inconsistent|suspicious|task|trying|rcu)' 'suspicious RCU'
	'possible (circular|recursive|irq|deadlock)' 'inconsistent lock state'
	'bad unlock balance' 'lock held when returning' 'held lock freed'
	'(self-)?detected stall' 'rcu_.*kthread starved' 'RCU stall'
	'scheduling while atomic' 'sleeping function called' 'soft lockup'
	'hard LOCKUP' 'hung task' 'blocked for more than' 'workqueue lockup'
	'unreferenced object' 'new suspected memory leaks' 'Call Trace'
	'general protection fault' 'Kernel panic' 'kernel BUG' 'invalid opcode'
	'unable to handle' 'refcount_t: ' 'list_(add|del) corruption'
	'Objects remaining' 'still has objects' 'unregister_netdevice: waiting'
	'nf_conntrack_destroy' 'tainted: .*[DW]' 'rust_kernel: panicked'
)
# Lines that speak of a checker without a complaint.
harmless=(
	'KernelAddressSanitizer initialized'
	'RCU lockdep checking is enabled'
	'RCU CPU stall'
	'Kernel command line'
	'Spectre|Retbleed|MDS:|TAA:|mitigation'
)

join() {
	local IFS='|'
	printf '%s' "$*"
}

if [ ! -s "$log" ]; then
	echo "scan_console.sh: $log is empty or absent: the console was not recorded" >&2
	exit 1
fi
status=0
for mark in begin end; do
	if ! grep -qF "rust_ct guest: $mark" "$log"; then
		echo "scan_console.sh: $log has no $mark of the guest's job" >&2
		status=1
	fi
done
if grep -nE "$(join "${complaints[@]}")" "$log" | grep -vE "$(join "${harmless[@]}")"; then
	status=1
fi
exit "$status"
