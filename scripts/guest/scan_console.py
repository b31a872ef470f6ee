#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""scan_console.py LOG: fails, and prints the lines, when the kernel complained in the console log LOG,
or when LOG does not hold a whole run of guest_job.sh.
"""

import re
import sys

# fmt: off
COMPLAINTS = (
    "BUG[: ]", "WARNING[: ]", "Oops", "KASAN: ", "KFENCE: ", "UBSAN: ", "ODEBUG: ",
    "INFO: (possible|inconsistent|suspicious|task|trying|rcu)", "suspicious RCU",
    "possible (circular|recursive|irq|deadlock)", "inconsistent lock state",
    "bad unlock balance", "lock held when returning", "held lock freed",
    "(self-)?detected stall", "rcu_.*kthread starved", "RCU stall",
    "scheduling while atomic", "sleeping function called", "soft lockup",
    "hard LOCKUP", "hung task", "blocked for more than", "workqueue lockup",
    "unreferenced object", "new suspected memory leaks", "Call Trace",
    "general protection fault", "Kernel panic", "kernel BUG", "invalid opcode",
    "unable to handle", "refcount_t: ", "list_(add|del) corruption",
    "Objects remaining", "still has objects", "unregister_netdevice: waiting",
    "nf_conntrack_destroy", "Tainted: [A-Z ]*[DW]", "rust_kernel: panicked",
    # A checker that has switched itself off.
    "Kernel memory leak detector disabled", "Disabling lock debugging", "lockdep is turned off",
)
# Lines that speak of a checker without a complaint.
HARMLESS = (
    "KernelAddressSanitizer initialized",
    "RCU lockdep checking is enabled",
    "RCU CPU stall",
    "Kernel command line",
    "Spectre|Retbleed|MDS:|TAA:|mitigation",
)
# fmt: on


def complaints(lines):
    """The lines that are complaints."""
    bad, good = (re.compile("|".join(patterns)) for patterns in (COMPLAINTS, HARMLESS))
    return [line for line in lines if bad.search(line) and not good.search(line)]


def scan(text):
    """What is wrong with a console log."""
    if not text.strip():
        return ["it is empty: the console was not recorded"]
    missing = [f"it has no {mark} of the guest's job" for mark in ("begin", "end") if f"rust_ct guest: {mark}" not in text]
    return missing + complaints(text.splitlines())


def main(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            found = scan(log.read())
    except FileNotFoundError:
        found = ["it is absent: the console was not recorded"]
    for line in found:
        print(f"{path}: {line}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
