#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The table of what bench.py has measured.

    table.py CSV

For each thing and tracker: the median of the rounds, the best, and how far apart they are, in parts of the median.
What the same packets cost without a tracker, their making for the most part, is taken off. Of what has no tracker to
take off, as more of it is better, a second table has what there is without one.
"""

import collections
import csv
import statistics
import sys

TRACKERS = ("nf_conntrack", "rust_ct")
# What is taken off where the same name was not measured without a tracker.
BARE = {"new": "original", "flood, early drop": "flood", "flood, refused": "flood"}

Cell = collections.namedtuple("Cell", "median least spread values")


def is_rate(what):
    """More of it is better, and what there is without a tracker is the most that can be."""
    return what.endswith("/s)")


def read_results(path):
    """(what, protocol, flows, accounting) -> tracker -> the values of the rounds"""
    results = collections.defaultdict(lambda: collections.defaultdict(list))
    with open(path, encoding="ascii") as file:
        for row in csv.DictReader(file):
            key = row["what"], row["protocol"], int(row["flows"]), int(row["accounting"])
            results[key][row["tracker"]].append(int(row["value"]))
    return results


def bare(results):
    """(what, protocol) -> the least without a tracker"""
    return {
        (what, protocol): min(trackers["none"])
        for (what, protocol, _, _), trackers in results.items()
        if "none" in trackers
    }


def cells(results):
    """The same keys -> tracker -> Cell, of what was measured with both trackers."""
    without = bare(results)
    found = {}
    for key, trackers in results.items():
        what, protocol, *rest = key
        if is_rate(what) or what.endswith("_least") or not all(tracker in trackers for tracker in TRACKERS):
            continue
        off = without.get((BARE.get(what, what), protocol), 0)
        found[key] = {}
        for tracker in TRACKERS:
            values = [value - off for value in trackers[tracker]]
            best = results.get((f"{what}_least", protocol, *rest), {}).get(tracker, trackers[tracker])
            median = statistics.median(values)
            spread = (max(values) - min(values)) / median if median else 0
            found[key][tracker] = Cell(median, min(best) - off, spread, values)
    return found


def order(key):
    what, protocol, flows, accounting = key
    names = ("original", "reply", "new", "delete", "memory")
    return flows, names.index(what) if what in names else len(names), what, accounting, protocol


def print_times(found):
    """What is better the less it is."""
    columns = f" | {'median':>7} {'least':>7} {'spread':>7}"
    names = "".join(f" | {tracker:^23}" for tracker in TRACKERS)
    print(f"{'ns of a packet or connection':49}{names} |     ratio of")
    print(f"{'flows':9}{'what':30}{'packets':10}" + columns * len(TRACKERS) + " | medians   least")
    for key in sorted(found, key=order):
        what, protocol, flows, accounting = key
        row = f"{flows or '':<9}{what:30}{protocol:5}{'acct' if accounting else '':5}"
        for cell in found[key].values():
            row += f" | {cell.median:7.0f} {cell.least:7.0f} {cell.spread:7.1%}"
        reference, ours = (found[key][tracker] for tracker in TRACKERS)
        for of_reference, of_ours in ((reference.median, ours.median), (reference.least, ours.least)):
            row += f" | {of_ours / of_reference:7.2f}" if of_reference else " |       -"
        print(row)


def print_rates(results):
    """What is better the more it is."""
    columns = ("none", *TRACKERS)
    print(f"{'from end to end':49}" + "".join(f" | {tracker:^23}" for tracker in columns) + " |     ratio of")
    print(" " * 49 + f" | {'median':>7} {'most':>7} {'spread':>7}" * len(columns) + " | medians    most")
    for key in sorted(results):
        if not is_rate(key[0]):
            continue
        row = f"{key[0]:39}{key[1]:10}"
        for tracker in columns:
            values = results[key][tracker]
            median = statistics.median(values)
            row += f" | {median:7.0f} {max(values):7.0f} {(max(values) - min(values)) / max(median, 1):7.1%}"
        for of in (statistics.median, max):
            reference, ours = (of(results[key][tracker]) for tracker in TRACKERS)
            row += f" | {ours / max(reference, 1):7.2f}"
        print(row)


def main(path):
    results = read_results(path)
    found = cells(results)
    if found:
        print_times(found)
    if any(is_rate(key[0]) for key in results):
        print_rates(results)


if __name__ == "__main__":
    main(*sys.argv[1:])
