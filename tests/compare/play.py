#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The guest's half of the comparison: plays each sequence DIRECTORY/*.seq to nf_conntrack, then to rust_ct, and
leaves the recordings beside them.

    play.py PROGRAM MODULES DIRECTORY [PATTERN]

PROGRAM  the program `compare`
MODULES  where rust_ct.ko and rust_ct_feed.ko were built; where nf_nat.ko is too, it is taken for the kernel's: it draws
         its ports from the feeder; feed_options has the feeder's parameters, if it needs any
PATTERN  of the sequences' names, if not all are meant
"""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scenarios"))
from lib import load, run, unload, write  # noqa: E402

# The clock is moved by hours: a watchdog must not take that for a stall.
WATCHES = {
    "/sys/module/rcupdate/parameters/rcu_cpu_stall_suppress": 1,
    "/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout": 300,
    "/sys/module/workqueue/parameters/watchdog_thresh": 0,
    "/proc/sys/kernel/hung_task_timeout_secs": 0,
}

# What requests, NAT and helpers need, whichever tracker carries them.
MODULES = (
    *("nf_conntrack_netlink", "nft_chain_nat", "nf_nat_ftp", "nf_nat_tftp", "nf_nat_sip", "nf_nat_irc"),
    *("nf_nat_amanda", "nf_nat_pptp", "nf_nat_h323", "nf_conntrack_sane", "nf_conntrack_snmp"),
)
# What user-mode Linux and the debug kernels do not have.
OPTIONAL = "nf_nat_snmp_basic"


def be_a_realtime_task():
    """In user-mode Linux the scheduler's own clock is jiffies. A fair task would be charged for each hour by which
    they are moved, and the scheduler cannot reckon with months."""
    write("/proc/sys/kernel/sched_rt_runtime_us", -1)
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def main(program, modules, directory, pattern="*.seq"):
    os.environ["RUST_CT_KO"] = f"{modules}/rust_ct/rust_ct.ko"
    for path, value in WATCHES.items():
        if os.path.exists(path):
            write(path, value)
    if "uml" in os.uname().release:
        be_a_realtime_task()
    options = Path(f"{modules}/feed_options")
    options = options.read_text(encoding="ascii").split() if options.exists() else []
    for tracker in ("nf_conntrack", "rust_ct"):
        load(tracker=tracker)
        run("insmod", f"{modules}/tests/compare/feeder/rust_ct_feed.ko", *options)
        if os.path.exists(f"{modules}/nf_nat.ko"):
            run("insmod", f"{modules}/nf_nat.ko")
        run("modprobe", "-a", *MODULES)
        run("modprobe", "-q", OPTIONAL, must=False)
        for sequence in sorted(Path(directory).glob(pattern)):
            print(f"# {tracker}: {sequence.stem}", flush=True)
            subprocess.run([program, "play", sequence, "-o", sequence.with_suffix(f".{tracker}")], check=True)
        unload(tracker=tracker)
        run("rmmod", "rust_ct_feed")


main(*sys.argv[1:])
