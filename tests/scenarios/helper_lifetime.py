# SPDX-License-Identifier: GPL-2.0
"""Helpers, rules and namespaces that go at the worst moment; floods of expectations stay within the limits."""

# limit: 240
# left out of CI on: stock, debug

import itertools
import os
import signal
import socket
import struct

from netlink import (
    CREATE,
    CTHELPER,
    CTNETLINK_EXP,
    Netfilter,
    Queue,
    ask,
    attribute,
    number32,
    tuple_to,
)
from policy import (
    Nft,
    Stream,
    check_expected,
    delivered,
    expectations,
    expected,
    missing,
    one_cpu,
    pair,
)

from lib import (
    CT,
    SYSCTL,
    Router,
    check,
    equal,
    find,
    grown,
    load,
    log_mark,
    log_since,
    main,
    packed,
    poll,
    read,
    remove,
    run,
    skip,
    tcp,
    times,
    udp,
    unload,
    write,
)

WATCH = """
    chain keys {
        type filter hook forward priority filter; meta l4proto 254 accept
        ct state new counter comment "new"
        ct state related counter comment "related"
    }
"""


def attached(net, helper, l4, port, more=""):
    """A rule that attaches a helper, and the counters."""
    return Nft(
        net.ns,
        f"""
        ct helper one {{ type "{helper}" protocol {l4}; }}
        chain mangle {{ type filter hook prerouting priority mangle; {l4} dport {port} ct helper set "one"; }}
        {WATCH} {more}""",
    )


def irc_stream(net):
    """A connection of the helper irc, and what sends a file on it, named by the port to fetch it from."""
    ends = pair(False)
    stream = Stream(net, ends, 2000, 6667)
    number = int.from_bytes(packed(ends[0]))
    return ends, stream, lambda port: stream.say("c", f"PRIVMSG bob :\1DCC SEND file {number} {port} 1000\1\r\n")


def ftp_stream(net):
    """A connection of the helper ftp, and what announces a data connection on it."""
    ends = pair(False)
    stream = Stream(net, ends)
    stream.say("s", "220 ready\r\n")
    return ends, stream, lambda port: stream.say("s", f"229 Extended (|||{port}|)\r\n")


def module_removed(net):
    """A helper's module is busy as long as a rule names it, and can go while connections have the helper."""
    if missing("nf_conntrack_irc"):
        skip("a helper's module is removed", "nf_conntrack_irc.ko does not load")
        return
    rules = attached(net, "irc", "tcp", 6667)
    (src, dst), stream, send_file = irc_stream(net)
    send_file(5005)
    check_expected(net.ns, [expected(6, None, src, 5005, "irc")], "who fetches the file is expected", of=src)
    check(run("rmmod", "nf_conntrack_irc", must=False)[0], "the module is busy while a rule names its helper")
    rules.delete()
    status, text = remove("nf_conntrack_irc", must=False)
    check(not status, "without the rule it can be removed, although a connection has the helper", text)
    equal(expectations(net.ns, src), [], "its expectations are gone")
    rules = Nft(net.ns, WATCH)
    check(send_file(5006) and stream.segment("s", "A"), "the connection goes on")
    equal(expectations(net.ns, src), [], "nobody looks into it any more")
    for port in (5005, 5006):
        Stream(net, (dst, src), 777, port, begun=False, inward=True).segment("c", "S")
    equal(rules.packets()["related"], 0, "nothing is RELATED any more")
    rules.delete()
    equal(run("modprobe", "nf_conntrack_irc", must=False)[0], 0, "the module loads again")
    rules = attached(net, "irc", "tcp", 6667)
    (src, _), _, send_file = irc_stream(net)
    send_file(5007)
    check_expected(net.ns, [expected(6, None, src, 5007, "irc")], "and works for a new connection", of=src)
    rules.delete()
    remove("nf_conntrack_irc")


def floods(net):
    """A connection can have as many expectations as its helper allows, all connections as many as the limit."""
    rules = attached(net, "ftp", "tcp", 21)
    (src, dst), stream, announce = ftp_stream(net)
    for port in range(6000, 6050):
        announce(port)
    want = [expected(6, src, dst, 6049, "ftp")]
    check_expected(net.ns, want, "of 50 announcements of one connection the last counts", of=src)
    stream.reset()
    rules.delete()
    if missing("nf_conntrack_irc"):
        skip("eight expectations of one connection", "nf_conntrack_irc.ko does not load")
    else:
        rules = attached(net, "irc", "tcp", 6667)
        (src, _), stream, send_file = irc_stream(net)
        for port in range(6000, 6040):
            send_file(port)
        want = [expected(6, None, src, port, "irc") for port in range(6032, 6040)]
        check_expected(net.ns, want, "of 40 files of one connection the last eight count", of=src)
        rules.delete()
        remove("nf_conntrack_irc")


def table_full(net):
    """nf_conntrack_expect_max holds for all connections together."""
    rules = attached(net, "ftp", "tcp", 21)
    before = read(f"{SYSCTL}/nf_conntrack_expect_max").strip()
    there = len(expectations(net.ns))
    write(f"{SYSCTL}/nf_conntrack_expect_max", there + 20)
    mark = log_mark()
    streams = []
    for port in range(7000, 7030):
        _, stream, announce = ftp_stream(net)
        announce(port)
        streams.append(stream)
    equal(len(expectations(net.ns)), there + 20, "of 30 connections 20 have an expectation when there is no room for more")
    told = [one for one in log_since(mark) if "expectation table full" in one]
    check(told, "the log says why")
    write(f"{SYSCTL}/nf_conntrack_expect_max", before)
    _, _, announce = ftp_stream(net)
    announce(7100)
    check("7100" in [one["dport"] for one in expectations(net.ns)], "with more room there are more")
    masters_die(net, rules, streams)
    rules.delete()


def masters_die(net, rules, streams):
    """Connections that die take their expectations along, and what comes then is NEW."""
    write(f"{SYSCTL}/nf_conntrack_tcp_timeout_close", 1, net.ns)
    for stream in streams:
        stream.reset()
    first = streams[0]
    (src, _), (dst, _) = first.ends["c"], first.ends["s"]
    gone = poll(lambda: not [one for one in find(net.ns, dport=21) if one.state == "CLOSE"], 20, 0.3)
    check(gone, "the connections are forgotten")
    left = poll(lambda: len([one for one in expectations(net.ns) if 7000 <= int(one["dport"]) < 7030]) == 0, 20, 0.3)
    check(left, "their expectations went with them", expectations(net.ns))
    before = rules.packets()
    Stream(net, (src, dst), 2222, 7000, begun=False).segment("c", "S")
    equal(grown(before, rules.packets()), {"new": 1}, "what they announced is NEW if it comes now")
    write(f"{SYSCTL}/nf_conntrack_tcp_timeout_close", 10, net.ns)


def too_late(net):
    """What comes after its time is not expected any more; neither is it listed."""
    src, dst = pair(False)
    rules = Nft(
        net.ns,
        f"""
        ct expectation soon {{ protocol udp; dport 9876; timeout 1s; size 3; l3proto ip; }}
        chain mangle {{ type filter hook prerouting priority mangle; udp dport 53 ct state new ct expectation set "soon"; }}
        {WATCH}""",
    )
    delivered(net, "a", udp(src, dst, 1000, 53))
    gone = poll(lambda: not [one for one in expectations(net.ns) if one["dport"] == "9876"], 20, 0.2)
    check(gone, "an expectation of one second is not listed after it")
    before = rules.packets()
    delivered(net, "b", udp(dst, src, 555, 9876))
    equal(grown(before, rules.packets()), {"new": 1}, "what comes then is NEW")
    rules.delete()


def namespace_deleted():
    """A namespace goes with its connections, their children and their expectations."""
    net = Router("rct-gone")
    rules = attached(net, "ftp", "tcp", 21)
    ends, _, announce = ftp_stream(net)
    announce(5001)
    Stream(net, ends, 2002, 5001)
    announce(5002)
    others = [ftp_stream(net) for _ in range(10)]
    for port, (_, _, announce) in enumerate(others, 5010):
        announce(port)
    equal(len(expectations(net.ns)), 11, "a namespace has eleven expectations and the child of one")
    equal(rules.packets()["related"], 1, "its child is RELATED")
    for port in (net.a, net.b):
        port.sock.close()
    for ns in ("rct-gone", "rct-gone-ea", "rct-gone-eb"):
        run("ip", "netns", "delete", ns)


def arrives(net, packet):
    """Whether a packet comes out at port b."""
    return bool(net.b.received(3, 1, lambda one: one[20:] == packet[20:]))


def queued(net):
    """A packet waits in a queue while the rule goes that gave it its template, its zone or its helper."""
    if missing("nft_queue"):
        skip("a packet in a queue", "nft_queue.ko does not load")
        return
    queue = Queue(net.ns)
    queues = Nft(
        net.ns,
        """chain early { type filter hook prerouting priority -250; udp dport 53 queue num 0; }
        chain late { type filter hook forward priority filter; tcp dport 21 queue num 0; }""",
        "inet rctq",
    )

    # The zone's template is on the packet, and the table with it goes.
    src, dst = pair(False)
    packet = udp(src, dst, 1000, 53)
    zone = Nft(net.ns, "chain raw { type filter hook prerouting priority raw; udp dport 53 ct zone set 7; }")
    net.b.drain()
    net.a.send(packet)
    number = queue.take()
    zone.delete()
    # The kernel drops queued packets when hooks of the namespace go; either way nothing is lost.
    status = queue.accept(number)
    check(status == -2 or arrives(net, packet), "its zone is deleted: the packet is dropped, or goes on", status)

    # The connection has a helper, but is not in the table yet.
    helper = attached(net, "ftp", "tcp", 21)
    stream = Stream(net, pair(False), begun=False)
    for what, delete in (("the helper's rule", True), ("nothing", False)):
        net.a.send(stream_syn(stream))
        number = queue.take()
        if delete:
            helper.delete()
        status = queue.accept(number)
        check(status in (0, -2), f"{what} is deleted while a packet with a helper waits", status)

    # A template of the target CT; its rule goes without any hook.
    if missing("xt_CT", "nft_compat"):
        skip("a packet with a template of xt_CT in a queue", "xt_CT.ko does not load")
    else:
        for match, target in ((("udp", "53"), ("--zone", "8")), (("udp", "53"), ("--helper", "tftp"))):
            rule = ("PREROUTING", "-p", match[0], "--dport", match[1], "-j", "CT", *target)
            run("iptables", "-w", "-t", "raw", "-A", *rule, ns=net.ns)
            src, dst = pair(False)
            packet = udp(src, dst, 1000, 53, b"\0\1file\0octet\0")
            net.b.drain()
            net.a.send(packet)
            number = queue.take()
            run("iptables", "-w", "-t", "raw", "-D", *rule, ns=net.ns)
            equal(queue.accept(number), 0, f"CT {target[0]} is deleted: the packet is let go")
            check(arrives(net, packet), f"CT {target[0]}: and goes on")
            entries = find(net.ns, src=src, dst=dst, dport=53)
            equal(len(entries), 1, f"CT {target[0]}: its connection is there")
    queues.delete()
    queue.close()


def stream_syn(stream):
    """The SYN of a connection that is not begun."""
    (src, sport), (dst, dport) = stream.ends["c"], stream.ends["s"]
    return tcp(src, dst, sport, dport, "S", seq=1000)


def cthelper(net, kind, *parts):
    """Asks nfnetlink_cthelper for something; returns the error."""
    return ask(net.ns, CTHELPER, kind, *parts, family=socket.AF_INET, flags=CREATE)


READER = """
    ct helper reader { type "reader" protocol udp; }
    chain helpers { type filter hook prerouting priority filter; udp dport 53 ct helper set "reader"; }
    chain forward { type filter hook forward priority filter; ct state established counter comment "established"; }
"""


def reader(net, most, seconds, add=cthelper):
    """User space's helper: registered, or from now on allowed so many expectations for so long; returns the error."""
    policy = attribute(1, b"reader\0") + attribute(2, number32(most)) + attribute(3, number32(seconds))
    return add(
        net,
        0,
        attribute(1, b"reader\0"),
        attribute(2, attribute(1, struct.pack("!H", socket.AF_INET)) + attribute(2, b"\x11")),
        attribute(3, number32(5)),
        attribute(4, attribute(1, number32(1)) + attribute(2, policy)),
        attribute(5, number32(0)),
        attribute(6, number32(1)),
    )


def user_space(net):
    """A helper in user space: each packet of its connections waits for it, on its way out."""
    if missing("nft_queue", "nfnetlink_cthelper"):
        skip("a helper in user space", "nft_queue.ko or nfnetlink_cthelper.ko does not load")
        return
    equal(reader(net, 1, 60), 0, "user space registers a helper")
    queue = Queue(net.ns, 5)
    rules = Nft(net.ns, READER)
    src, dst = pair(False)
    query, answer = udp(src, dst, 1000, 53), udp(dst, src, 53, 1000)
    net.b.drain()
    net.a.send(query)
    waits = queue.take()
    equal(find(net.ns, src=src), [], "while user space reads the first packet, the connection is not confirmed")
    equal(queue.accept(waits), 0, "it lets the packet go")
    check(arrives(net, query), "which goes on")
    equal(len(find(net.ns, src=src)), 1, "and its connection is confirmed")
    net.a.drain()
    net.b.send(answer)
    equal(queue.accept(queue.take()), 0, "it reads the answer as well")
    check(net.a.received(3, 1, lambda one: one[20:] == answer[20:]), "which goes on")
    equal(rules.packets().get("established"), 1, "and was ESTABLISHED")
    net.a.send(udp(src, dst, 1001, 53))
    queue.take()
    queue.close()
    check(poll(lambda: not find(net.ns, src=src, sport=1001), 5), "what it did not let go is gone with its queue")
    check(delivered(net, "a", query), "without a reader, packets go on")
    rules.delete()
    run("conntrack", "-F", ns=net.ns)
    equal(cthelper(net, 2, attribute(1, b"reader\0")), 0, "user space takes its helper back")


def policy_changes(net):
    """How much a helper in user space may expect is changed while it expects: either policy may hold for what comes."""
    lacking = missing("nft_queue", "nfnetlink_cthelper", "nf_conntrack_netlink")
    if lacking:
        skip("a helper's policy changes", f"this kernel does not have {' '.join(lacking)}")
        return
    equal(reader(net, 1, 50), 0, "a helper in user space may expect one connection for 50 s")
    queue = Queue(net.ns, 5)
    rules = Nft(net.ns, READER)
    asks = Netfilter(net.ns)

    def wants(ends, *ports):
        """The helper announces connections on a connection of its own; returns the errors."""
        src, dst = ends
        mask = tuple_to(3, "255.255.255.255", "0.0.0.0", 17, 0, 0)
        return {
            asks.ask(
                CTNETLINK_EXP,
                0,
                tuple_to(1, src, dst, 17, 1000, 53),
                tuple_to(2, src, dst, 17, 0, port),
                mask,
                attribute(4, number32(7)),
                family=socket.AF_INET,
                flags=CREATE,
            )
            for port in ports
        }

    def passes(ends):
        """A packet comes by, and is let go; returns the error."""
        net.a.send(udp(*ends, 1000, 53))
        return queue.accept(queue.take())

    def begin():
        ends = pair(False)
        equal(passes(ends), 0, "a connection of the helper begins")
        return ends

    for most, seconds in ((1, 50), (3, 200), (2, 100)):
        equal(reader(net, most, seconds), 0, f"it may expect {most} for {seconds} s")
        ends = begin()
        equal(wants(ends, *range(6000, 6005)), {0}, "it announces five")
        want = [expected(17, *ends, port, "reader/reader") for port in range(6005 - most, 6005)]
        check_expected(net.ns, want, f"of which the last {most} count", seconds, of=ends[0])

    policies = {2: 100, 4: 1000}
    masters = [begin() for _ in range(4)]
    child = os.fork()
    if not child:
        os.sched_setaffinity(0, range(os.cpu_count()))
        changer = Netfilter(net.ns)
        change = lambda _, *parts: changer.ask(CTHELPER, *parts, family=socket.AF_INET, flags=CREATE)  # noqa: E731
        for policy in itertools.cycle(policies.items()):
            if reader(net, *policy, change):
                os._exit(1)
    lives, sizes, errors = set(), set(), set()
    for port in range(7000, 7000 + times(400)):
        ends = masters[port % len(masters)]
        errors |= wants(ends, port) | {passes(ends)}
        left = [one for one in expectations(net.ns, ends[0]) if one["dport"] == str(port)]
        lives |= {min(seconds for seconds in policies.values() if int(one["seconds"]) <= seconds) for one in left}
        sizes.add(len(expectations(net.ns, ends[0])))
    equal(os.waitpid(child, os.WNOHANG), (0, 0), "its policy is changed all the time")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    equal(errors, {0}, "meanwhile all that it announces is expected")
    equal(lives, set(policies.values()), "for as long as the one policy says, or the other")
    check(max(sizes) <= max(policies), "never more than the higher policy says", sizes)
    for opened in (asks, queue):
        opened.close()
    rules.delete()
    run("conntrack", "-F", ns=net.ns)
    equal(cthelper(net, 2, attribute(1, b"reader\0")), 0, "user space takes it back")


def unloaded(net):
    """The tracker itself goes while there are masters, children and expectations."""
    rules = attached(net, "ftp", "tcp", 21)
    ends, _, announce = ftp_stream(net)
    announce(5001)
    Stream(net, ends, 2002, 5001)
    announce(5002)
    check(len(expectations(net.ns)) > 0, "there are expectations")
    rules.delete()
    status, text = unload(must=False)
    check(not status and not os.path.exists(f"/sys/module/{CT}"), f"{CT} goes, and everything with it", text)


def scenario():
    one_cpu()
    load()
    if missing("nft_ct"):
        skip("helpers' lifetimes", "nft_ct.ko does not load")
        return
    net = Router()
    module_removed(net)
    floods(net)
    table_full(net)
    too_late(net)
    namespace_deleted()
    queued(net)
    user_space(net)
    policy_changes(net)
    unloaded(net)


main(scenario)
