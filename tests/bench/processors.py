#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Times packets of established connections that two processors send at once, with each tracker and without one.

    processors.py CSV

Run as root in a guest with two processors. The kernel threads of rust_ct_meter.ko, each bound to its processor, send
the packets of one connection each, and always the same ones; scripts/test/bench.sh has the rest. Where the processors
are emulated, everything takes longer but for what they do to each other: what counts is how the trackers compare.

ROUNDS  how often everything is done (default 3)
"""

import statistics
import sys
import time

from common import ROUNDS, TRACKERS, Results, meter, put, take_away

CASES = {
    "alone": "one processor",
    "connection": "two, same connection",
    "bucket": "two, same bucket",
    "other": "two, other buckets",
}
# So many that some are in the same bucket of 65,536.
FLOWS = 2048
# Each case so often, for so many milliseconds.
TIMES, SPAN = 5, 300


def one(results, tracker, protocol):
    """All cases of one kind of packets."""
    meter(f"flows {protocol} 4 {FLOWS}")
    if tracker != "none":
        meter("open")
    values = {case: [] for case in CASES}
    # In turn, so that something else on the machine meets them all.
    for _ in range(TIMES):
        for case, found in values.items():
            found.append(meter(f"together {case} {SPAN}")[case])
    for case, found in values.items():
        what = CASES[case]
        results.add(tracker, what, f"{protocol}4", FLOWS, 0, round(statistics.median(found)))
        results.add(tracker, f"{what}_least", f"{protocol}4", FLOWS, 0, min(found))
    if tracker != "none":
        meter("delete")


def main(path):
    with Results(path) as results:
        for number in range(1, ROUNDS + 1):
            results.round = number
            for tracker in ("none", *TRACKERS[:: 1 if number % 2 else -1]):
                start = time.monotonic()
                put(tracker, FLOWS)
                for protocol in ("udp", "tcp"):
                    one(results, tracker, protocol)
                take_away(tracker)
                results.flush()
                print(f"bench: round {number}: {tracker}, processors: {time.monotonic() - start:.0f} s", flush=True)


main(*sys.argv[1:])
