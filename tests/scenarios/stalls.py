# SPDX-License-Identifier: GPL-2.0
"""For how long packets of one namespace stand still while a table is resized, filled, emptied, or expires.

A probe sends a packet of an established flow through the router each millisecond, with real-time priority, and waits for
it to come out. The table is filled by the kernel's packet generator.

With CLOCK=instructions (scripts/test/test_layer.sh stalls) the processor's clock counts the instructions that it
executes, a nanosecond each, so that a gap is what was executed in it, and the bounds are narrow. Otherwise the
machine's own gaps are among them.
"""

# limit: 900
# left out of CI on: stock, debug

import contextlib
import functools
import os
import signal
import socket
import struct
import tempfile
import time

from lib import (
    PARAMETERS,
    RUST,
    SLOW,
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
    program,
    read,
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
COUNTED = os.environ.get("CLOCK") == "instructions"
# Seconds, of which one millisecond is the probe's own pause. While connections begin, the kernel itself handles
# incoming packets for two milliseconds without a pause (net.core.netdev_budget_usecs), and does so again while the
# jiffy, of four milliseconds here, is not over (kernel/softirq.c, MAX_SOFTIRQ_TIME).
BOUND, FILL = (0.002, 0.007) if COUNTED else (0.1, 0.1)
# Seconds after which connections end that are to end together.
TOGETHER = 20


@contextlib.contextmanager
def probe(router, what, bound):
    """Probes while something is done; checks that no gap was longer than `bound`, in seconds."""
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
    found = f"longest gap {longest * 1000:.2f} ms of {sent} probes"
    diag(f"{what}: took {took * 1000:.0f} ms, {found}")
    if RUST:
        check(longest <= bound, f"{what}: no gap is longer than {bound * 1000} ms", found)


def by_pktgen(router, first, last):
    """One packet of each of the UDP flows with these numbers, by the kernel's packet generator."""
    base = struct.unpack("!I", socket.inet_aton("10.32.0.0"))[0]
    low, high = (socket.inet_ntoa(struct.pack("!I", base + number)) for number in (first, last - 1))
    with inside(f"{router.ns}-ea"):
        write("/proc/net/pktgen/kpktgend_0", "rem_device_all")
        write("/proc/net/pktgen/kpktgend_0", "add_device e0")
        for line in (
            f"count {last - first}", "clone_skb 0", "pkt_size 60", "delay 0", "dst_mac 02:00:00:00:01:01", f"dst {router.B4}",
            f"src_min {low}", f"src_max {high}", "udp_src_min 9", "udp_src_max 9", "udp_dst_min 9", "udp_dst_max 9",
        ):
            write("/proc/net/pktgen/e0", line)
        write("/proc/net/pktgen/pgctrl", "start")


@functools.cache
def has_pktgen():
    """Asked once: while modprobe is read from the disk, a clock of instructions may jump ahead by minutes."""
    return module("pktgen")


def fill(router, first=0, last=MANY, lasting=600):
    """Connections of one packet with these numbers, with that timeout in seconds."""
    for name in ("udp_timeout", "udp_timeout_stream", "generic_timeout"):
        sysctl(f"nf_conntrack_{name}", lasting, router.ns)
    if has_pktgen():
        by_pktgen(router, first, last)
    else:
        router.fill(first, last)


def filled(router):
    """Checks that most of them are there; returns how many are."""
    poll(lambda: count(router.ns) >= MANY, 5)
    made = count(router.ns)
    check(made >= MANY * 9 // 10, f"the table holds {MANY}", made)
    return made


def fill_for_one_moment(router):
    """All of them, whose timeouts end within the same second; returns how many there are, and when the last ends."""
    end = time.monotonic() + TOGETHER * SLOW
    piece, last = MANY // 40, 0.0
    for first in range(0, MANY, piece):
        lasting = max(1, round(end - time.monotonic()))
        fill(router, first, first + piece, lasting)
        last = max(last, time.monotonic() + lasting)
    return filled(router), last


def is_listened_to(ns):
    """Whether a socket is in one of netfilter's groups (protocol 12)."""
    rows = [row.split() for row in read("/proc/net/netlink", ns).splitlines()[1:]]
    return any(row[1] == "12" and int(row[3], 16) for row in rows)


@contextlib.contextmanager
def listener(ns):
    """Reads of the connections that end, from before this begins; yields the file with a line for each of them."""
    with tempfile.NamedTemporaryFile() as heard:
        with program(ns, "conntrack", "-E", "-e", "DESTROY", "-b", "16777216", output=heard):
            check(poll(lambda: is_listened_to(ns), 20), "the listener is there", read("/proc/net/netlink", ns))
            yield heard


def lines(heard):
    """How many lines a file has."""
    with open(heard.name, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def flush(router, beside):
    """A full table is flushed."""
    fill(router)
    filled(router)
    with probe(router, f"flushed, {beside} a listener", BOUND):
        run("conntrack", "-F", ns=router.ns)


def expire(router, beside):
    """A full table whose connections end together; returns how many, and how many seconds later most are gone."""
    made, end = fill_for_one_moment(router)
    with probe(router, f"expired, {beside} a listener", BOUND):
        check(poll(lambda: count(router.ns) < MANY // 100, 6 * TOGETHER), "they have ended", count(router.ns))
    late = time.monotonic() - end
    diag(f"expired, {beside} a listener: gone {late:.1f} s after their time")
    return made, late


def scenario():
    router, other = Router(), Router("rct-o")
    load(f"hashsize={LARGE}")
    # The other tracker has one limit, of the first namespace.
    for ns in (router.ns, other.ns) if RUST else (None,):
        write(f"{SYSCTL}/nf_conntrack_max", 4 * MANY, ns)
    has_pktgen()
    with probe(router, "nothing is done", BOUND):
        time.sleep(3)
    with probe(router, f"{MANY} connections begin", FILL):
        fill(router)
    filled(router)
    for size in (SMALL, LARGE) * 3:
        with probe(router, f"resized to {size}", BOUND):
            write(f"{PARAMETERS}/hashsize", size)
    flush(router, "without")
    _, late = expire(router, "without")
    if RUST:
        check(late < 5 * SLOW, "what has expired is gone five seconds later", late)
    with listener(router.ns) as heard:
        flush(router, "with")
        poll(lambda: lines(heard) >= MANY, 20, 2)
        before = lines(heard)
        made, _ = expire(router, "with")
        poll(lambda: lines(heard) - before >= made, 20, 2)
        told = lines(heard) - before
    diag(f"a listener reads of {told} connections that expire, of {made}")
    if RUST:
        check(told >= made, "a listener that reads, reads of all that expire", f"{told} of {made}")
    fill(other)
    made = filled(other)
    before = slab_objects()
    with probe(router, "another namespace is deleted", BOUND):
        run("ip", "netns", "delete", other.ns)
        # The slab keeps some pages, and to shrink it is a gap of its own.
        poll(lambda: before - slab_objects() > made * 8 // 10, 60)
    check(poll(lambda: before - shrunk_slab_objects() > made * 9 // 10, 60), "what it held is gone", shrunk_slab_objects())


main(scenario)
