#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""How many instructions a packet takes, from its making through a router's hooks to a device that drops it.

    count.py [OTHER]

Run as root in a guest whose clock counts instructions, a nanosecond each: without a tracker, with nf_conntrack, with
rust_ct, and with the other rust_ct.ko if one is named. Prints a table: a line for each kind of packet, a column for
each tracker.
"""

import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scenarios"))
from lib import drop_namespaces, hosts, ip_batch, load, read, run, unload, write  # noqa: E402

# How many packets are sent each time.
COUNT = 20000
SENDER, ROUTER = "rct-c", "rct-r"
# One processor's sender, and its device.
THREAD, DEVICE, CONTROL = (f"/proc/net/pktgen/{name}" for name in ("kpktgend_0", ROUTER, "pgctrl"))
FAMILIES = {
    "IPv4": ("src_min 10.1.0.2", "src_max 10.1.0.2", "dst 10.2.0.2"),
    "IPv6": ("src6 fd01::2", "dst6 fd02::2"),
}
PORTS = ("udp_dst_min 9", "udp_dst_max 9")
SAME = ("udp_src_min 1000", "udp_src_max 1000")
EACH = ("udp_src_min 2000", f"udp_src_max {2000 + COUNT}")


def the_net():
    """SENDER sends to ROUTER, behind which nobody is."""
    hosts(ROUTER, SENDER)
    ip_batch(
        ROUTER,
        "link add sink type dummy",
        "link set sink up",
        "addr add 10.2.0.1/24 dev sink",
        "addr add fd02::1/64 dev sink nodad",
        "neigh add 10.2.0.2 lladdr 02:00:00:00:00:02 dev sink",
        "neigh add fd02::2 lladdr 02:00:00:00:00:02 dev sink",
    )
    for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        write(f"/proc/sys/net/{path}", 1, ROUTER)


def tell(path, *lines):
    for line in lines:
        write(path, f"{line}\n", SENDER)


def send(count, *lines):
    """So many packets; the lines say which. Returns the instructions of one."""
    router = re.search("link/ether ([^ ]*)", run("ip", "-o", "link", "show", SENDER, ns=ROUTER)[1])[1]
    tell(THREAD, "rem_device_all", f"add_device {ROUTER}")
    tell(DEVICE, f"count {count}", "clone_skb 0", "pkt_size 80", "delay 0", f"dst_mac {router}", *lines)
    tell(CONTROL, "start")
    return int(re.search(r"^Result: OK: (\d+)\(", read(DEVICE, SENDER), re.MULTILINE)[1]) * 1000 // count


def through():
    """How many packets have left the router."""
    return int(re.search(r'"tx":{"bytes":\d+,"packets":(\d+)', run("ip", "-s", "-j", "link", "show", "sink", ns=ROUTER)[1])[1])


def counted(*lines):
    """The instructions of one of COUNT packets, all of which must have come through."""
    before = through()
    instructions = send(COUNT, *lines)
    came = through() - before
    if came != COUNT:
        sys.exit(f"count.py: {came} of {COUNT} packets came through the router")
    return instructions


def one_tracker(tracker):
    """kind of packet -> instructions"""
    the_net()
    if tracker:
        load(tracker=tracker)
    found = {}
    for family, addresses in FAMILIES.items():
        packets = (*addresses, *PORTS)
        send(10, *packets, *SAME)
        found[f"UDP over {family}, of one connection"] = counted(*packets, *SAME)
        found[f"UDP over {family}, the first of a connection"] = counted(*packets, *EACH)
        found[f"UDP over {family}, of one in {COUNT} connections"] = counted(*packets, *EACH)
    drop_namespaces()
    if tracker:
        unload(tracker=tracker)
    return found


def main(other=None):
    run("modprobe", "pktgen")
    # The sender may be a while ahead of the router.
    write("/proc/sys/net/core/netdev_max_backlog", COUNT)
    columns = {"none": one_tracker(None)}
    for tracker in ("nf_conntrack", "rust_ct"):
        columns[tracker] = one_tracker(tracker)
    if other:
        os.environ["RUST_CT_KO"] = other
        columns["other"] = one_tracker("rust_ct")
    rows = [("instructions of a packet", columns)]
    rows += [(kind, [column[kind] for column in columns.values()]) for kind in columns["none"]]
    for kind, cells in rows:
        print(f"{kind:48}", *(f"{cell:>13}" for cell in cells))


main(*sys.argv[1:])
