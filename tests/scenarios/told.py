# SPDX-License-Identifier: GPL-2.0
"""Why, and by which source: a tracepoint tells what happened, /proc/rust_ct_top which sources fill the table."""

# limit: 420
# left out of CI on: debug

import os
import re
import time

from lib import (
    BRIEF,
    LISTING,
    RUST,
    Router,
    check,
    count,
    diag,
    drop_namespaces,
    equal,
    find,
    inside,
    ip,
    ip6,
    ip_batch,
    load,
    main,
    module,
    named_counters,
    poll,
    read,
    run,
    skip,
    sysctl,
    tcp,
    times,
    udp,
    write,
)

TRACING = "/sys/kernel/tracing"
EVENTS = f"{TRACING}/events/rust_ct"
NAMES = {"ct_invalid", "ct_drop", "ct_confirm", "ct_refuse", "ct_early_drop", "ct_end", "ct_expect", "ct_expect_refuse"}
TOP = "/proc/rust_ct_top"
A4, B4, A6, B6 = Router.A4, Router.B4, Router.A6, Router.B6
LIMIT = 20
# The router's namespace.
NUMBERS = set()
ENTRIES, OTHERS, SIX = times(8_000), 300, 400
SECONDS = 3


def number_of(ns):
    """The number by which the kernel names a namespace."""
    return str(os.stat(f"/run/netns/{ns}" if ns else "/proc/self/ns/net").st_ino)


class Event(dict):
    """A line of the trace: its fields, of which the first counts if a name comes twice."""

    def __init__(self, name, text):
        super().__init__()
        self.name, self.text = name, text
        for word in text.split():
            key, found, value = word.partition("=")
            if found:
                self.setdefault(key, value)

    def has(self, **want):
        return all(self.get(key) == str(value) for key, value in want.items())


def clear():
    write(f"{TRACING}/trace", "")


def events(name=None):
    """The router's events since the trace was cleared; other namespaces track, too."""
    found = [Event(*one) for one in re.findall(r": (ct_\w+): (.*)$", read(f"{TRACING}/trace"), re.MULTILINE)]
    return [event for event in found if event["netns"] in NUMBERS and name in (None, event.name)]


def told(what, name, number=1, **want):
    """Checks that an event was traced so many times, with these fields; returns the first of them."""
    matching = lambda: [event for event in events(name) if event.has(**want)]  # noqa: E731
    poll(lambda: len(matching()) >= number, 10)
    found = matching()
    check(len(found) == number, f"{what}: {name} {' '.join(f'{key}={value}' for key, value in want.items())}", events())
    return found[0] if found else Event(name, "")


def packets(net, here):
    """INVALID packets, of which as much is traced as can be read."""
    clear()
    net.a.send(udp(A4, B4, 33, 32, b"data", length=7))
    one = told("a packet is INVALID", "ct_invalid", reason="udp_length", dev="ea", netns=here, proto=17)
    check(one.has(src=A4, dst=B4, sport=33, dport=32), "with its tuple", one.text)
    net.a.send(ip6(A6, B6, 59, b"whatever"))
    one = told("one without a transport header", "ct_invalid", reason="ipv6_no_next_header", dev="ea", netns=here)
    check(one.has(src="fd01:0000:0000:0000:0000:0000:0000:0002"), "with its addresses", one.text)
    net.b.send(tcp(B4, A4, 80, 40, "SA", seq=1, ack=1))
    told("a SYN-ACK that nobody asked for", "ct_invalid", reason="tcp_new", dev="eb", src=B4, sport=80, dport=40)
    equal([event.name for event in events()], ["ct_invalid"] * 3, "nothing else is told")


def lives(net, here):
    """Connections begin and end, for reasons."""
    clear()
    net.a.send(udp(A4, B4, 1000, 53, b"x"))
    one = told("a connection begins", "ct_confirm", reason="new", netns=here, zone=0, proto=17, src=A4, sport=1000)
    check("src=10.2.0.2 dst=10.1.0.2 sport=53 dport=1000" in one.text, "with the tuple of its answers", one.text)
    told("it expires", "ct_end", reason="expired", netns=here, sport=1000, ct=one.get("ct"))
    net.a.send(tcp(A4, B4, 1001, 80, "S", seq=1))
    told("a SYN", "ct_confirm", reason="new", proto=6, sport=1001)
    net.b.send(tcp(B4, A4, 80, 1001, "RA", seq=0, ack=2))
    told("a port is closed", "ct_end", reason="tcp_reset", sport=1001)
    net.a.send(tcp(A4, B4, 1002, 80, "S", seq=1))
    told("another SYN", "ct_confirm", sport=1002)
    run("conntrack", "-D", "-p", "tcp", "--sport", "1002", ns=net.ns)
    told("user space deletes it", "ct_end", reason="deleted", sport=1002)
    made = "-I -w 5 -t 100 -p udp -s 10.1.0.2 -d 10.2.0.2 --sport 7 --dport 8".split()
    run("conntrack", *made, ns=net.ns)
    told("user space makes one, in a zone", "ct_confirm", reason="insert", zone=5, sport=7)
    run("conntrack", "-F", ns=net.ns)
    told("user space deletes all", "ct_end", reason="flushed", zone=5, sport=7)
    equal(events("ct_invalid") + events("ct_drop"), [], "no packet was INVALID or dropped")


def established(net, sport, dport=80):
    net.a.send(tcp(A4, B4, sport, dport, "S", seq=1))
    net.b.send(tcp(B4, A4, dport, sport, "SA", seq=1, ack=2))
    net.a.send(tcp(A4, B4, sport, dport, "A", seq=2, ack=2))


def expectations(net, here):
    """A helper announces a connection, twice."""
    clear()
    for sport in (2000, 2001):
        established(net, sport, 21)
        for at, text in ((0, b"220 ready\r\n"), (11, b"227 Entering Passive Mode (10,2,0,2,19,137)\r\n")):
            net.b.send(tcp(B4, A4, 21, sport, "PA", seq=2 + at, ack=2, data=text))
    wanted = {"helper": "ftp", "netns": here, "proto": 6, "dst": B4, "dport": 5001}
    one = told("a connection is expected", "ct_expect", reason="made", **wanted)
    master = "master: src=10.1.0.2 dst=10.2.0.2 sport=2000 dport=21"
    check(master in one.text, "with the one that announces it", one.text)
    told("another one announces it, too", "ct_expect_refuse", reason="clash", helper="ftp", dport=5001)
    told("its packet is dropped", "ct_drop", reason="helper", sport=21, dport=2001)
    net.a.send(tcp(A4, B4, 2002, 5001, "S", seq=1))
    told("it comes", "ct_confirm", reason="related", sport=2002, dport=5001)
    run("conntrack", "-F", ns=net.ns)


def full(net, here):
    """A namespace is full: an old connection makes room, or the new one is refused."""
    sysctl("nf_conntrack_max", LIMIT, net.ns)
    for sport in range(LIMIT - 1):
        established(net, 3000 + sport)
    check(poll(lambda: len(find(net.ns, l4="tcp")) == LIMIT - 1, 10), "the namespace is nearly full", count(net.ns))
    clear()
    for sport in (4000, 4001):
        net.a.send(udp(A4, B4, sport, 9, b"x"))
        net.settle()
    one = told("one has to make room", "ct_early_drop", reason="unanswered", netns=here, proto=17, sport=4000)
    told("so it ends", "ct_end", reason="early_drop", sport=4000, ct=one.get("ct"))
    established(net, 3999)
    others = lambda: sum("ASSURED" in one.flags for one in find(net.ns, l4="tcp"))  # noqa: E731
    check(poll(lambda: others() == LIMIT, 10), "it is full of others", count(net.ns))
    clear()
    net.a.send(udp(A4, B4, 5000, 9, b"x"))
    told("one is refused", "ct_refuse", reason="table_full", netns=here, zone=0, sport=5000)
    told("its packet is dropped", "ct_drop", reason="table_full", dev="ea", netns=here, sport=5000)
    equal(named_counters(net.ns)["table_full"] >= 1, True, "as the counter says")
    sysctl("nf_conntrack_max", 1000, net.ns)
    run("conntrack", "-F", ns=net.ns)


def nobody_looks(net):
    """Without a look there is nothing, whatever happens."""
    write(f"{EVENTS}/enable", 0)
    clear()
    net.a.send(udp(A4, B4, 6000, 9, b"x"), udp(A4, B4, 33, 32, b"data", length=7))
    net.settle()
    equal(events(), [], "nothing is told when nobody looks")
    # A filter of the kernel's.
    write(f"{EVENTS}/ct_confirm/filter", "dport == 7777 && proto == 17")
    write(f"{EVENTS}/ct_confirm/enable", 1)
    for port in (7776, 7777):
        net.a.send(udp(A4, B4, 6001, port, b"x"))
    net.settle()
    equal([event["dport"] for event in events()], ["7777"], "one can look for a port")
    write(f"{EVENTS}/enable", 0)
    write(f"{EVENTS}/ct_confirm/filter", "0")


def tracepoints():
    if not os.path.exists(f"{TRACING}/events") and run("mount", "-t", "tracefs", "tracefs", TRACING, must=False)[0]:
        skip("tracepoints tell what happens", "this kernel has no tracefs")
        return
    net = Router()
    # All of a small table is looked at for a connection that can go.
    load("helpers=ftp:21", "hashsize=512")
    equal(set(os.listdir(EVENTS)) - {"enable", "filter"}, NAMES, "the events of the tracker")
    for name in ("udp_timeout", "udp_timeout_stream"):
        sysctl(f"nf_conntrack_{name}", SECONDS, net.ns)
    write(f"{EVENTS}/enable", 1)
    here = number_of(net.ns)
    NUMBERS.add(here)
    packets(net, here)
    if module("nf_conntrack_netlink"):
        lives(net, here)
    else:
        skip("a connection's life is told", "this kernel does not have nf_conntrack_netlink")
    expectations(net, here)
    sysctl("nf_conntrack_udp_timeout", 600, net.ns)
    full(net, here)
    nobody_looks(net)
    write(f"{EVENTS}/enable", 1)
    clear()
    net.a.send(udp(A4, B4, 6100, 53, b"x"))
    told("one more begins", "ct_confirm", sport=6100)
    net.a.sock.close()
    net.b.sock.close()
    drop_namespaces()
    told("its namespace goes", "ct_end", reason="netns_exit", netns=here, sport=6100)
    write(f"{EVENTS}/enable", 0)


def rows(kind, ns=None, text=None):
    """The lines of a kind, each as its fields."""
    lines = (text or read(TOP, ns)).splitlines()
    return [dict(word.split("=", 1) for word in line.split()[1:]) for line in lines if line.split()[0] == kind]


def within(row, number):
    """Whether a line is true of a number of entries."""
    return int(row["entries"]) - int(row["error"]) <= number <= int(row["entries"])


def fill(net):
    """One source has three quarters of the entries, many other sources share the rest, and so does an IPv6 network."""
    greedy = ENTRIES * 3 // 4
    for number in range(ENTRIES):
        dst = f"10.2.{16 + number % 128}.{number // 128 % 250 + 1}"
        src = "10.1.77.1" if number < greedy else f"10.1.{78 + number % OTHERS // 200}.{number % OTHERS % 200 + 1}"
        net.a.send(ip(src, dst, 253, b"long"))
    for number in range(SIX):
        net.a.send(ip(f"fd01::{number + 0x100:x}", B6, 253, b"long"))
    return greedy


def top():
    """The sources that fill the table, as root and as another namespace see them."""
    net = Router()
    ip_batch(None, "netns add rct-n")
    load("hashsize=32768", "max=100000")
    here = number_of(net.ns)
    began = time.monotonic()
    greedy = fill(net)
    check(poll(lambda: count(net.ns) == ENTRIES + SIX, 30), f"{ENTRIES + SIX} connections", count(net.ns))
    diag(f"filled in {time.monotonic() - began:.1f} s")

    began = time.monotonic()
    text = read(TOP)
    took = time.monotonic() - began
    diag(f"{ENTRIES + SIX} entries: read in {took * 1000:.0f} ms, {len(text)} bytes", text)
    check(took < 5, f"{ENTRIES + SIX} entries are read in less than five seconds", took)
    check(text.endswith("\n") and len(text) < 32768, "in whole lines, in a text of limited length", text[-100:])
    table = rows("table", text=text)[0]
    check(int(table["entries"]) >= ENTRIES + SIX, "all of them are seen", table)
    spaces = {one["netns"]: one for one in rows("namespace", text=text)}
    equal(spaces[here]["connections"], str(ENTRIES + SIX), "the namespace has so many")
    equal(spaces[here]["max"], "100000", "and may have so many")
    states = [one for one in rows("state", text=text) if one["netns"] == here]
    want = {"netns": here, "zone": "0", "proto": "253", "state": "UNREPLIED"}
    equal(states, [want | {"entries": str(ENTRIES + SIX), "error": "0"}], "by zone, protocol and state")

    holders = rows("holds", text=text)
    first = holders[0]
    equal((first["netns"], first["src"]), (here, "10.1.77.1"), "who holds most")
    check(within(first, greedy), f"{greedy} of them, within the error", first)
    six = [one for one in holders if one["src"] == "fd01:0000:0000:0000::/64"]
    check(six and within(six[0], SIX), f"an IPv6 network holds {SIX}, with all its addresses", holders)
    check(len(holders) <= 32, "of many sources, some are named", len(holders))
    most = int(table["entries"]) // 256
    check(all(int(one["error"]) <= most for one in holders), "no error is above the 256th part", holders)

    # The last beginnings are those of the IPv6 network, and then of a source that begins many.
    for number in range(600):
        net.a.send(udp("10.1.99.9", B4, 1024 + number, 9, b"x"))
    net.settle()
    first = rows("begins")[0]
    equal((first["netns"], first["src"]), (here, "10.1.99.9"), "who begins most, in the last seconds")
    check(float(first["per_second"]) > 10, "and how many a second", first)

    only = read(TOP, net.ns)
    seen = {one["netns"] for kind in ("namespace", "state", "holds", "begins") for one in rows(kind, text=only)}
    equal(seen, {here}, "the namespace sees itself alone")
    equal(rows("holds", text=only)[0]["src"], "10.1.77.1", "and who holds most there")
    seen = [one for kind in ("namespace", "state", "holds", "begins") for one in rows(kind, "rct-n")]
    equal(seen, [], "another one sees nothing of it")
    who_may_read(net)
    made_by_hand("rct-n")
    its_successor(net, here)


def made_by_hand(ns):
    """What user space makes begins as well: in a namespace where nothing else does, as the list is of the sources that
    begin most."""
    if not module("nf_conntrack_netlink"):
        skip("what user space makes begins as well", "this kernel does not have nf_conntrack_netlink")
        return
    run("conntrack", *"-I -t 100 -p udp -s 10.1.88.8 -d 10.2.0.2 --sport 7 --dport 8".split(), ns=ns)
    seen = [(one["netns"], one["src"]) for one in rows("begins", ns)]
    equal(seen, [(number_of(ns), "10.1.88.8")], "what user space makes begins as well")


def its_successor(net, here):
    """The kernel gives the number of a namespace that is gone to the next namespace."""
    net.a.sock.close()
    net.b.sock.close()
    drop_namespaces()
    made = {}

    def another():
        name = f"rct-s{len(made)}"
        ip_batch(None, f"netns add {name}")
        made[number_of(name)] = name
        return made.get(here)

    heir = poll(another, 1 if BRIEF else 5, 0.2)
    if not heir:
        skip("what one began that is gone is not its successor's", "no namespace got its number")
        return
    diag(f"namespaces made until one got the number: {len(made)}", rows("begins")[:1])
    equal(rows("begins", heir), [], "what one began that is gone is not its successor's")
    equal(rows("holds", heir), [], "nor what it held")


def who_may_read(net):
    for path in (TOP, "/proc/net/rust_ct_top"):
        equal(os.stat(path).st_mode, os.stat(LISTING).st_mode, f"{path} has the mode of {LISTING}")
        with inside(net.ns):
            status, text = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", path, must=False)
        check(status and "Permission denied" in text, f"{path}: not for everybody", text)


def scenario():
    if not RUST:
        skip("it is told why, and by whom", "nf_conntrack has neither tracepoints nor /proc/rust_ct_top")
        return
    tracepoints()
    top()


main(scenario)
