# SPDX-License-Identifier: GPL-2.0
"""Common parts of what is measured: the meter, the trackers, and how results are written down."""

import csv
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scenarios"))
from lib import SYSCTL, load, read, run, unload, write  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS") or 3)
METER = "/proc/rust_ct_meter"
TRACKERS = ("nf_conntrack", "rust_ct")
COLUMNS = ("round", "tracker", "what", "protocol", "flows", "accounting", "value")


class Results:
    """The measurements, as they are written down behind the measurements of other parts."""

    def __init__(self, path):
        # pylint: disable-next=consider-using-with
        self.file = open(path, "a", encoding="ascii")
        self.out = csv.writer(self.file, lineterminator="\n")
        if not self.file.tell():
            self.out.writerow(COLUMNS)
        self.round = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def flush(self):
        self.file.flush()

    def add(self, tracker, what, protocol, flows, accounting, value):
        self.out.writerow((self.round, tracker, what, protocol, flows, accounting, value))


def meter(line):
    """One command; returns its results, by name."""
    write(METER, f"{line}\n")
    return {name: int(value) for name, value in (result.split() for result in read(METER).splitlines())}


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
