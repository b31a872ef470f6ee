#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Times both trackers, in turn, in one kernel: rust_ct_meter.ko sends packets past the hooks.

    bench.py CSV PART...

Run as root in a guest where time is worth something. Adds a line for each measurement to CSV: the round, the
tracker, what was measured, with how many connections, with accounting or without, and the value. scripts/test/bench.sh
has the rest, and the parts: `packets` and `table`.

ROUNDS  how often everything is done (default 3)
FLOWS   with how many connections (default: a thousand, 128 thousand, a million)
TABLE   with how many connections what concerns all of them is done (default: half a million)
"""

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

from common import ROUNDS, TRACKERS, Results, limit, meter, put, take_away

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scenarios"))
from lib import SYSCTL, inside, read, run, write  # noqa: E402

FLOWS = [int(flows) for flows in (os.environ.get("FLOWS") or "1024 131072 1048576").split()]
TABLE = int(os.environ.get("TABLE") or 524288)
# From so many connections on, IPv4 alone.
MANY = 500_000
# About so many packets in each direction.
PACKETS = 400_000
# Connections that a flood finds, and packets of it.
LIMIT, FLOOD = 65536, 200_000
# Seconds until a connection expires, in which all other connections are made.
LIFE = 5
# Seconds until all that have expired are to be gone: a round of the worker begins after a minute at the latest.
GONE = 180
NAMESPACE = "rct-bench"


def free_memory():
    """Kilobytes."""
    run("sh", "-c", "sync; echo 3 >/proc/sys/vm/drop_caches")
    fields = dict(line.split(":") for line in read("/proc/meminfo").splitlines())
    return int(fields["MemFree"].split()[0])


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
    """Packets that come to nothing, and packets that find the table full."""
    meter(f"flows tcp 4 {LIMIT}")
    for what in ("refused", "invalid"):
        results.add(tracker, what, "tcp4", 0, 0, meter(f"{what} {PACKETS}")[what])
    if tracker == "none":
        results.add(tracker, "flood", "tcp4", 0, 0, meter(f"flood {FLOOD}")["flood"])
        return
    limit(LIMIT)
    # First connections that may be dropped for new ones, then connections that may not.
    meter(f"flood {LIMIT}")
    results.add(tracker, "flood, early drop", "tcp4", LIMIT, 0, meter(f"flood {FLOOD}")["flood"])
    take_away(tracker)
    put(tracker, LIMIT)
    meter(f"flows tcp 4 {LIMIT}")
    meter("open")
    limit(LIMIT)
    results.add(tracker, "flood, refused", "tcp4", LIMIT, 0, meter(f"flood {FLOOD}")["flood"])


def milliseconds(start):
    return round(1000 * (time.monotonic() - start))


def timed(command):
    """Milliseconds that a program takes whose output is not read."""
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return milliseconds(start)


def whole_table(results, tracker):
    """What is done to all connections at once."""
    run("modprobe", "nf_conntrack_netlink")
    meter(f"flows tcp 4 {TABLE}")
    meter("open")
    size = f"/sys/module/{tracker}/parameters/hashsize"
    commands = {
        "list, /proc": ("cat", "/proc/net/nf_conntrack"),
        "list, ctnetlink": ("conntrack", "-L"),
        "resize": ("sh", "-c", f"echo {TABLE // 2} >{size}"),
        "flush": ("conntrack", "-F"),
    }
    for what, command in commands.items():
        meter("watch")
        results.add(tracker, f"{what} (ms)", "tcp4", TABLE, 0, timed(command))
        results.add(tracker, f"{what}, stall (us)", "tcp4", TABLE, 0, meter("stall")["stall"] // 1000)


def look_on(is_over):
    """Asks now and then whether something is over; returns how long that took, and how long other tasks ran, in ms."""
    meter("spare")
    start = time.monotonic()
    while not is_over(time.monotonic() - start):
        time.sleep(0.1)
    took = milliseconds(start)
    return took, meter("taken")["taken"] // 1_000_000


def expiry(results, tracker):
    """All connections expire at about the same time, and no packet comes any more."""

    def is_gone(seconds):
        if seconds > LIFE + GONE:
            raise RuntimeError(f"{tracker}: connections are still there {GONE} seconds after they have expired")
        return not int(read(f"{SYSCTL}/nf_conntrack_count"))

    # What runs without them, this program among it.
    quiet, others = look_on(lambda seconds: read(f"{SYSCTL}/nf_conntrack_count") and seconds > LIFE)
    write(f"{SYSCTL}/nf_conntrack_tcp_timeout_established", LIFE)
    meter(f"flows tcp 4 {TABLE}")
    meter("open")
    meter("watch")
    took, busy = look_on(is_gone)
    for what, value in (
        ("gone after (ms)", took - 1000 * LIFE),
        ("busy (ms)", busy - others * took // quiet),
        ("stall (us)", meter("stall")["stall"] // 1000),
    ):
        results.add(tracker, f"expiry, {what}", "tcp4", TABLE, 0, value)


def namespace(results, tracker):
    """A namespace goes, and its connections with it; without a tracker it has none."""
    run("ip", "netns", "add", NAMESPACE)
    if tracker != "none":
        with inside(NAMESPACE):
            meter(f"flows tcp 4 {TABLE}")
            meter("open")
    meter("watch")
    start = time.monotonic()
    run("ip", "netns", "delete", NAMESPACE)
    meter("gone")
    took = milliseconds(start)
    stall = meter("stall")["stall"] // 1000
    results.add(tracker, "namespace (ms)", "tcp4", TABLE, 0, took)
    # The longest is no sum, of which something could be taken off.
    if tracker != "none":
        results.add(tracker, "namespace, stall (us)", "tcp4", TABLE, 0, stall)


def packets(results, trackers):
    """What each packet takes."""
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
        take_away(tracker)
        done(results, start, f"{tracker}, {flows} connections")


def table(results, trackers):
    """What all connections together take."""
    for tracker, what in itertools.product(("none", *trackers), (whole_table, expiry, namespace)):
        if tracker == "none" and what is not namespace:
            continue
        start = time.monotonic()
        put(tracker, TABLE)
        what(results, tracker)
        take_away(tracker)
        done(results, start, f"{tracker}, {what.__name__} of {TABLE} connections")


def done(results, start, what):
    print(f"bench: round {results.round}: {what}: {time.monotonic() - start:.0f} s", flush=True)


PARTS = {"packets": packets, "table": table}


def main(path, *parts):
    with Results(path) as results:
        for number in range(1, ROUNDS + 1):
            results.round = number
            for part in parts:
                # Another tracker comes first each time.
                PARTS[part](results, TRACKERS[:: 1 if number % 2 else -1])
                results.flush()


main(*sys.argv[1:])
