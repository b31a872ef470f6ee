#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Times both trackers, in turn, in one kernel: rust_ct_meter.ko sends packets past the hooks.

    bench.py CSV

Run as root in a guest where time is worth something. Writes a line for each measurement to CSV: the round, the
tracker, what was measured, with how many connections, with accounting or without, and the value. scripts/test/bench.sh
has the rest.

ROUNDS  how often everything is done (default 3)
FLOWS   with how many connections (default: a thousand, 128 thousand, a million)
"""

import csv
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scenarios"))
from lib import SYSCTL, load, read, run, unload, write  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS") or 3)
FLOWS = [int(flows) for flows in (os.environ.get("FLOWS") or "1024 131072 1048576").split()]
# From so many connections on, IPv4 alone.
MANY = 500_000
# About so many packets in each direction.
PACKETS = 400_000
# Connections that a flood finds, and packets of it.
LIMIT, FLOOD = 65536, 200_000
METER = "/proc/rust_ct_meter"
TRACKERS = ("nf_conntrack", "rust_ct")


class Results:
    """The measurements of a round, as they are written down."""

    def __init__(self, out):
        self.out = csv.writer(out, lineterminator="\n")
        self.out.writerow(("round", "tracker", "what", "protocol", "flows", "accounting", "value"))
        self.round = 0

    def add(self, tracker, what, protocol, flows, accounting, value):
        self.out.writerow((self.round, tracker, what, protocol, flows, accounting, value))


def meter(line):
    """One command; returns its results, by name."""
    write(METER, f"{line}\n")
    return {name: int(value) for name, value in (result.split() for result in read(METER).splitlines())}


def free_memory():
    """Kilobytes."""
    run("sh", "-c", "sync; echo 3 >/proc/sys/vm/drop_caches")
    fields = dict(line.split(":") for line in read("/proc/meminfo").splitlines())
    return int(fields["MemFree"].split()[0])


def limit(number):
    write(f"{SYSCTL}/nf_conntrack_max", number)


def put(tracker, flows):
    """Loads a tracker that has room for so many connections, and the meter."""
    if tracker != "none":
        load(f"hashsize={max(flows, 65536)}", tracker=tracker)
        limit(2 * max(flows, 65536))
    run("insmod", os.environ["METER_KO"])


def take_away(tracker):
    run("rmmod", "rust_ct_meter")
    if tracker != "none":
        unload(tracker=tracker)


def established(results, tracker, flows):
    """Packets of connections, and making and deleting these."""
    families = (4,) if flows >= MANY else (4, 6)
    passes = max(PACKETS // flows, 2)
    for accounting, protocol, family in itertools.product((0, 1), ("udp", "tcp"), families):
        kind = f"{protocol}{family}"
        if tracker != "none":
            write(f"{SYSCTL}/nf_conntrack_acct", accounting)
        elif accounting:
            continue
        meter(f"flows {protocol} {family} {flows}")
        found = {}
        before = free_memory() if flows >= MANY else 0
        if tracker != "none":
            found.update(meter("open"))
            if before:
                found["memory"] = (before - free_memory()) * 1024 // flows
        found.update(meter(f"run {passes}"))
        if tracker != "none":
            found.update(meter("delete"))
        for what, value in found.items():
            results.add(tracker, what, kind, flows, accounting, value)


def refused(results, tracker):
    """Packets that come to nothing, and those that find the table full."""
    meter(f"flows tcp 4 {LIMIT}")
    for what in ("refused", "invalid"):
        results.add(tracker, what, "tcp4", 0, 0, meter(f"{what} {PACKETS}")[what])
    if tracker == "none":
        results.add(tracker, "flood", "tcp4", 0, 0, meter(f"flood {FLOOD}")["flood"])
        return
    limit(LIMIT)
    # First such connections as may be dropped for others, then such as may not.
    meter(f"flood {LIMIT}")
    results.add(tracker, "flood, early drop", "tcp4", LIMIT, 0, meter(f"flood {FLOOD}")["flood"])
    take_away(tracker)
    put(tracker, LIMIT)
    meter(f"flows tcp 4 {LIMIT}")
    meter("open")
    limit(LIMIT)
    results.add(tracker, "flood, refused", "tcp4", LIMIT, 0, meter(f"flood {FLOOD}")["flood"])


def timed(command):
    """Milliseconds that a program takes whose output nobody reads."""
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return round(1000 * (time.monotonic() - start))


def whole_table(results, tracker, flows):
    """What is done to all connections at once."""
    run("modprobe", "nf_conntrack_netlink")
    meter(f"flows tcp 4 {flows}")
    meter("open")
    size = f"/sys/module/{tracker}/parameters/hashsize"
    commands = {
        "list, /proc": ("cat", "/proc/net/nf_conntrack"),
        "list, ctnetlink": ("conntrack", "-L"),
        "resize": ("sh", "-c", f"echo {flows // 2} >{size}"),
        "flush": ("conntrack", "-F"),
    }
    for what, command in commands.items():
        meter("watch")
        results.add(tracker, f"{what} (ms)", "tcp4", flows, 0, timed(command))
        results.add(tracker, f"{what}, stall (us)", "tcp4", flows, 0, meter("stall")["stall"] // 1000)


def one_round(results, number):
    """Everything once; what comes first is another one each time."""
    results.round = number
    trackers = TRACKERS[:: 1 if number % 2 else -1]
    for tracker in ("none", *trackers):
        put(tracker, LIMIT)
        refused(results, tracker)
        take_away(tracker)
    for flows, tracker in itertools.product(FLOWS, ("none", *trackers)):
        if tracker == "none" and flows != FLOWS[0]:
            continue
        start = time.monotonic()
        put(tracker, flows)
        established(results, tracker, flows)
        if tracker != "none" and flows >= MANY:
            whole_table(results, tracker, flows)
        take_away(tracker)
        print(f"bench: round {number}: {tracker}, {flows} connections: {time.monotonic() - start:.0f} s", flush=True)


def main(path):
    with open(path, "w", encoding="ascii") as out:
        results = Results(out)
        for number in range(1, ROUNDS + 1):
            one_round(results, number)
            out.flush()


main(*sys.argv[1:])
