# SPDX-License-Identifier: GPL-2.0
"""The two trackers exclude each other, both ways round.

The second tracker is refused with a line that says why, and the first goes on as before.
"""

# limit: 270

import os
import re

from lib import RUST, check, diag, equal, hosts, insert, listing, load, loaded, log_mark, log_since, main, run, skip, succeeds, unload

WHY = "duplicate symbol|another connection tracker"
LISTINGS = {"rust_ct": "/proc/rust_ct", "nf_conntrack": "/proc/net/nf_conntrack"}


def refused(first, second):
    """Loading the second beside the first fails and changes nothing."""
    run("ping", "-qc1", "-W5", "10.1.0.2", ns="rct-c")
    before = len(listing("rct-c", LISTINGS[first]))
    mark = log_mark()
    check(insert(tracker=second, must=False)[0] != 0, f"{second} is refused beside {first}")
    why = [line for line in log_since(mark) if re.search(WHY, line)]
    check(any(f"{second}: " in line for line in why), f"the log says why {second} is refused")
    diag(*why)
    check(not loaded(second), f"{second} is not there")
    check(before, f"{first} had tracked the ping")
    equal(len(listing("rct-c", LISTINGS[first])), before, f"{first} still has its connection")
    succeeds(f"{first} goes on tracking", "ping", "-qc1", "-W5", "10.1.0.2", ns="rct-c")
    equal(len(listing("rct-c", LISTINGS[first])), before + 1, f"{first} tracked that")


def scenario():
    hosts("rct-c", "rct-r")
    if not RUST and not os.access(os.environ.get("RUST_CT_KO", ""), os.R_OK):
        skip("the trackers exclude each other", "there is no module to load beside the reference; RUST_CT_KO names it")
        return
    for first, second in (("rust_ct", "nf_conntrack"), ("nf_conntrack", "rust_ct")):
        load(tracker=first)
        refused(first, second)
        unload(tracker=first)
    check(not any(map(loaded, LISTINGS)), "both are gone in the end")
    for tracker, what in (("rust_ct", "afterwards either can be loaded"), ("nf_conntrack", "and the other one")):
        status, output = insert(tracker=tracker, must=False)
        check(status == 0, what, output)
        run("rmmod", tracker)


main(scenario)
