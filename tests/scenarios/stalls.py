# SPDX-License-Identifier: GPL-2.0
"""For how long packets of one namespace stand still while much is done to the table: resized, filled, emptied, expired.

A probe sends a packet of an established flow through the router each millisecond, with real-time priority, and waits for
it to come out. The table is filled by the kernel's packet generator.
"""

# limit: 600
# left out of CI on: stock, debug

import contextlib
import os
import signal
import struct
import time

from lib import (
    PARAMETERS,
    RUST,
    SYSCTL,
    Router,
    check,
    count,
    diag,
    inside,
    load,
    main,
    module,
    poll,
    run,
    shrunk_slab_objects,
    slab_objects,
    sysctl,
    times,
    udp,
    write,
)

MANY = times(200_000)
LARGE, SMALL = 262_144, 16_384
# An emulated processor is some twenty times as slow as a real processor, and stands still by itself now and then.
BOUND = 0.1


@contextlib.contextmanager
def probe(router, what, gaps):
    """Probes while something is done; adds the longest gap, in seconds, to `gaps`."""
    heard, said = os.pipe()
    child = os.fork()
    if not child:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
        longest, sent, over = 0.0, 0, []
        signal.signal(signal.SIGTERM, lambda *_: over.append(1))
        packet = udp(router.A4, router.B4, 7, 7, b"probe")
        router.b.drain()
        last = time.monotonic()
        while not over:
            router.a.send(packet)
            router.b.received(10, 1, lambda got: got[-5:] == b"probe")
            now = time.monotonic()
            longest, last, sent = max(longest, now - last), now, sent + 1
            time.sleep(0.001)
        os.write(said, struct.pack("dI", longest, sent))
        os._exit(0)
    time.sleep(0.2)
    began = time.monotonic()
    try:
        yield
    finally:
        took = time.monotonic() - began
        time.sleep(0.2)
        os.kill(child, signal.SIGTERM)
        longest, sent = struct.unpack("dI", os.read(heard, 16))
        os.waitpid(child, 0)
        os.close(heard)
        os.close(said)
    gaps[what] = longest
    diag(f"{what}: took {took * 1000:.0f} ms, longest gap {longest * 1000:.1f} ms of {sent} probes")


def by_pktgen(router, number):
    """One packet each of so many UDP flows, by the kernel's packet generator."""
    with inside(f"{router.ns}-ea"):
        write("/proc/net/pktgen/kpktgend_0", "rem_device_all")
        write("/proc/net/pktgen/kpktgend_0", "add_device e0")
        for line in (
            f"count {number}", "clone_skb 0", "pkt_size 60", "delay 0", "dst_mac 02:00:00:00:01:01", f"dst {router.B4}",
            "src_min 10.32.0.0", "src_max 10.39.255.255", "udp_src_min 9", "udp_src_max 9", "udp_dst_min 9", "udp_dst_max 9",
        ):
            write("/proc/net/pktgen/e0", line)
        write("/proc/net/pktgen/pgctrl", "start")


def fill(router, number):
    """So many connections of one packet; returns how many there are then."""
    if module("pktgen"):
        by_pktgen(router, number)
    else:
        router.fill(0, number)
    poll(lambda: count(router.ns) >= number, 60)
    return count(router.ns)


def scenario():
    router = Router()
    load(f"hashsize={LARGE}")
    write(f"{SYSCTL}/nf_conntrack_max", 4 * MANY, router.ns)
    for name in ("udp_timeout", "udp_timeout_stream"):
        sysctl(f"nf_conntrack_{name}", 600, router.ns)
    gaps = {}
    with probe(router, "nothing is done", gaps):
        time.sleep(3)
    with probe(router, f"{MANY} connections begin", gaps):
        made = fill(router, MANY)
    check(made >= MANY * 9 // 10, f"the table holds {MANY}", made)
    for size in (SMALL, LARGE) * 3:
        with probe(router, f"resized to {size}", gaps):
            write(f"{PARAMETERS}/hashsize", size)
    with probe(router, "flushed", gaps):
        run("conntrack", "-F", ns=router.ns)
    other = Router("rct-o")
    write(f"{SYSCTL}/nf_conntrack_max", 4 * MANY, other.ns)
    made = fill(other, MANY)
    check(made >= MANY * 9 // 10, f"another namespace holds {MANY}", made)
    before = slab_objects()
    with probe(router, "another namespace is deleted", gaps):
        run("ip", "netns", "delete", other.ns)
        # The slab keeps some pages, and to shrink it is a gap of its own.
        poll(lambda: before - slab_objects() > made * 8 // 10, 60)
    check(poll(lambda: before - shrunk_slab_objects() > made * 9 // 10, 60), "what it held is gone", shrunk_slab_objects())
    bad = {what: f"{gap * 1000:.1f} ms" for what, gap in gaps.items() if gap > BOUND}
    check(not bad or not RUST, f"no gap is longer than {BOUND * 1000:.0f} ms", bad)


main(scenario)
