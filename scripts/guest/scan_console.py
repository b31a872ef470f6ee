#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""scan_console.py LOG: fails, and prints the lines, when the kernel complained in the console log LOG,
or when LOG does not hold a whole run of guest_job.sh.
"""

import itertools
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


# A report of KCSAN: its first line and its last one, the head of each of the two stacks, a function on it.
RACE, RACE_ENDS = re.compile("BUG: KCSAN: "), re.compile("={40}")
ACCESS = re.compile(r"(read|write|assert no).* to 0x[0-9a-f]+ of \d+ bytes by ")
FRAME = re.compile(r"(\S+)\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[(\w+)\])?$")
# Whose accesses are looked at, and the kernel's functions that access what they are handed.
OURS = re.compile("rust_ct")
HANDED = re.compile("rust_helper_|_*mem(cpy|move|set|cmp)")


def is_ours(report):
    """Whether one of the two accesses of KCSAN's report is the tracker's."""
    head = False
    for line in report:
        frame = FRAME.search(line)
        if ACCESS.search(line):
            head = True
        elif frame and head:
            head = bool(HANDED.match(frame[1]))
            if frame[2] and OURS.match(frame[2]):
                return True
    return False


def without_races_of_others(lines):
    """The lines but for the first one of KCSAN's reports of races between others: the kernel has many. What another
    processor says meanwhile is kept."""
    kept = []
    for at, line in enumerate(lines):
        if RACE.search(line):
            report = itertools.takewhile(lambda line: not RACE_ENDS.search(line), lines[at + 1 :])
            if not is_ours(report):
                continue
        kept.append(line)
    return kept


def complaints(lines):
    """The lines that are complaints."""
    bad, good = (re.compile("|".join(patterns)) for patterns in (COMPLAINTS, HARMLESS))
    return [line for line in without_races_of_others(lines) if bad.search(line) and not good.search(line)]


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
