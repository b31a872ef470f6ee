# SPDX-License-Identifier: GPL-2.0
"""At the limit unassured connections make room, assured ones stay, and what is refused is counted and logged."""

# limit: 360

import contextlib
import socket
import time

from lib import (
    PARAMETERS,
    RUST,
    SYSCTL,
    Router,
    check,
    count,
    equal,
    find,
    grown,
    ip_batch,
    listing,
    load,
    log_mark,
    log_since,
    main,
    make_socket,
    named_counters,
    poll,
    read,
    run,
    skip,
    statistics,
    tcp,
    udp,
    write,
)

LIMIT = 64
FLOOD = 600


def set_limit(value):
    """rust_ct's parameter, or the sysctl of the reference."""
    write(f"{PARAMETERS}/max" if RUST else f"{SYSCTL}/nf_conntrack_max", value)


def begin():
    """Loads the tracker anew, with the limit. The table is not so sparse that a search may meet none of its few entries."""
    load(*([f"max={LIMIT}"] if RUST else []), "hashsize=1024")
    if not RUST:
        set_limit(LIMIT)


def assured(router, sport):
    """One TCP connection, established."""
    a, b = router.A4, router.B4
    router.a.send(tcp(a, b, sport, 80, "S", seq=1))
    router.b.send(tcp(b, a, 80, sport, "SA", seq=1, ack=2))
    router.a.send(tcp(a, b, sport, 80, "A", seq=2, ack=2))


def flood(router, first):
    """New UDP connections, one packet each; returns how many came out on the other side."""
    router.b.drain()
    for number in range(FLOOD):
        router.a.send(udp(router.A4, router.B4, first + number, 2000, b"flood"))
    return len(router.b.received(2, FLOOD, lambda packet: packet[9] == 17))


def room_is_made():
    """Half of the table is ASSURED: a flood of new connections comes and goes in the other half."""
    router = Router()
    begin()
    half = LIMIT // 2
    for sport in range(half):
        assured(router, 1000 + sport)
    check(poll(lambda: len(find(router.ns, l4="tcp")) == half, 5), f"{half} TCP connections are there")
    equal({"ASSURED" in entry.flags for entry in find(router.ns, l4="tcp")}, {True}, "all of them ASSURED")
    before = statistics(router.ns)
    through = flood(router, 10000)
    after = grown(before, statistics(router.ns))
    equal(len(find(router.ns, l4="tcp")), half, f"a flood of {FLOOD}: every ASSURED connection survives")
    check(half <= count(router.ns) <= LIMIT, f"not more than {LIMIT} connections", count(router.ns))
    check(after.get("early_drop", 0) > 0, "unassured ones were dropped early", after)
    equal(after.get("drop", 0), FLOOD - through, "what did not come through is what was counted as dropped")
    check(
        through - after.get("early_drop", 0) <= LIMIT - half,
        "new ones came in only where others had made room",
        (through, after),
    )
    return router


def in_a_sparse_table(router):
    """A thousand buckets for each connection that there may be: each new one finds another one to make room."""
    load(*([f"max={LIMIT}"] if RUST else []), "hashsize=65536")
    if not RUST:
        set_limit(LIMIT)
    for sport in range(LIMIT // 2):
        assured(router, 1000 + sport)
    check(poll(lambda: len(find(router.ns, l4="tcp")) == LIMIT // 2, 5), f"65,536 buckets, {LIMIT // 2} TCP connections")
    through = flood(router, 30000)
    if RUST:
        equal(through, FLOOD, f"65,536 buckets: all of {FLOOD} new ones get in")
    else:
        skip(f"65,536 buckets: all of {FLOOD} new ones get in", f"nf_conntrack lets {through} in")
    equal(len(find(router.ns, l4="tcp")), LIMIT // 2, "65,536 buckets: every ASSURED connection survives")


def room_is_not_made(router):
    """All of the table is ASSURED: what is new is refused."""
    begin()
    for sport in range(LIMIT):
        assured(router, 1000 + sport)
    check(poll(lambda: len(find(router.ns, l4="tcp")) == LIMIT, 5), f"{LIMIT} ASSURED connections fill the table")
    ours = sorted(entry.key for entry in listing(router.ns))
    mark, before = log_mark(), statistics(router.ns)
    named = named_counters(router.ns) if RUST else {}
    equal(flood(router, 20000), 0, f"all of {FLOOD} more are refused")
    after = grown(before, statistics(router.ns))
    equal(after.get("drop"), FLOOD, "each counted as dropped")
    equal(after.get("early_drop", 0), 0, "none dropped early")
    if RUST:
        check(FLOOD in grown(named, named_counters(router.ns)).values(), "in /proc/rust_ct_stat too", read("/proc/rust_ct_stat"))
    equal(sorted(entry.key for entry in listing(router.ns)), ours, "the ASSURED ones are still the same")
    full = [line for line in log_since(mark) if "full" in line]
    check(1 <= len(full) <= 12, "the log says so, and not once a packet", "\n".join(log_since(mark)) or "no line")

    set_limit(LIMIT * 2)
    check(flood(router, 40000) > 0, "a higher limit lets new ones in")
    check(count(router.ns) <= LIMIT * 2, "up to the new limit", count(router.ns))


def lines_are_few():
    """Namespaces that are full share the log's lines: any user can make many."""
    what, many = "ten full namespaces", [f"rct-{number}" for number in range(10)]
    if not RUST:
        skip(f"{what} log a line or two", "nf_conntrack's limit is that of the initial namespace")
        return
    load()
    ip_batch(None, *(f"netns add {ns}" for ns in many))
    mark, began = log_mark(), time.monotonic()
    with contextlib.ExitStack() as stack:
        for ns in many:
            ip_batch(ns, "link set lo up")
            write(f"{SYSCTL}/nf_conntrack_max", 4, ns)
            stack.enter_context(make_socket(ns, "127.0.0.1", 80, socket.SOCK_STREAM)).listen(4)
            for _ in range(4):
                stack.enter_context(make_socket(ns, "127.0.0.1", 0, socket.SOCK_STREAM)).connect(("127.0.0.1", 80))
            more = stack.enter_context(make_socket(ns, "127.0.0.1"))
            for port in range(1000, 1020):
                with contextlib.suppress(OSError):
                    more.sendto(b"x", ("127.0.0.1", port))
        refused = [named_counters(ns)["table_full"] for ns in many]
    took = time.monotonic() - began
    check(min(refused) == 20, f"{what}, of 4 assured connections: each refuses 20 more", refused)
    full = [line for line in log_since(mark) if "full in netns" in line]
    check(1 <= len(full) <= 2 + took // 5, f"{what} log a line in five seconds together", f"{full} in {took:.1f} s")
    for ns in many:
        run("ip", "netns", "delete", ns)


def scenario():
    router = room_is_made()
    in_a_sparse_table(router)
    room_is_not_made(router)
    lines_are_few()


main(scenario)
