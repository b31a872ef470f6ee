# SPDX-License-Identifier: GPL-2.0
"""Packets that user space gets with their connections (nfnetlink_queue, nfnetlink_log); what verdicts change."""

# limit: 180
# left out of CI on: debug

import struct

from netlink import (
    ASSURED,
    CONFIRMED,
    CTA_LABELS,
    CTA_MARK,
    CTA_STATUS,
    CTA_TIMEOUT,
    CTA_TUPLE_ORIG,
    CTA_TUPLE_REPLY,
    LOG,
    SEEN_REPLY,
    Netfilter,
    Queue,
    attribute,
    attributes,
    nested,
    number32,
    tuple_of,
    tuple_to,
)
from policy import (
    Nft,
    Stream,
    Xtables,
    delivered,
    expectations,
    missing,
    one_cpu,
    pair,
)

from lib import (
    Router,
    check,
    equal,
    find,
    icmp,
    load,
    main,
    shown,
    skip,
    tcp,
    udp,
)

NUMBER = 7
# enum ip_conntrack_info
ESTABLISHED, RELATED, NEW, ESTABLISHED_REPLY, RELATED_REPLY = range(5)

QUEUED = f"""
    chain forward {{
        type filter hook forward priority filter;
        meta l4proto != 254 queue num {NUMBER}
    }}
"""


def conversation(kind):
    """Packets of one connection, what user space gets with each, and the port that each goes into."""
    src, dst = pair(kind == "IPv6")
    there, back = (src, dst, 17, 1000, 53), (dst, src, 17, 53, 1000)
    question, answer = udp(src, dst, 1000, 53, b"question"), udp(dst, src, 53, 1000, b"answer")
    error = icmp(dst, src, *((1, 4) if kind == "IPv6" else (3, 3)), data=question)
    return [
        ("the first packet is new, and its connection not confirmed", "a", question, (there, back, 0, NEW)),
        ("the answer is a reply", "b", answer, (there, back, CONFIRMED | SEEN_REPLY, ESTABLISHED_REPLY)),
        ("the next one is established", "a", question, (there, back, CONFIRMED | SEEN_REPLY, ESTABLISHED)),
        ("an ICMP error is related", "b", error, (there, back, CONFIRMED | SEEN_REPLY, RELATED_REPLY)),
    ]


def described(packet, ct=Queue.CT, info=Queue.CT_INFO):
    """The tuple, the reply's, the status and the packet's place in its connection, as user space gets them."""
    if ct not in packet:
        return None
    parts = attributes(packet[ct])
    status = struct.unpack("!I", parts[CTA_STATUS])[0]
    place = struct.unpack("!I", packet[info])[0]
    return (
        tuple_of(parts[CTA_TUPLE_ORIG]),
        tuple_of(parts[CTA_TUPLE_REPLY]),
        status & (SEEN_REPLY | ASSURED | CONFIRMED),
        place,
    )


class Connections(Queue):
    """A queue whose packets come with their connections."""

    def __init__(self, net):
        super().__init__(net.ns, NUMBER, conntrack=True)
        self.net = net

    def through(self, side, packet, *changes):
        """Sends a packet, and lets it go with some changes; returns what it came with, and what came out."""
        into, out = (self.net.a, self.net.b) if side == "a" else (self.net.b, self.net.a)
        out.drain()
        into.send(packet)
        came = self.packet()
        error = self.accept(self.id_of(came), *changes)
        if error:
            raise OSError(-error, "no verdict")
        # What the router itself says goes to many (ff02::/16).
        found = out.received(3, 1, lambda one: one[:1] == b"\x45" or one[:1] == b"\x60" and one[24] != 0xFF)
        return came, found[0] if found else b""


def comes_with(net, kind):
    """Each packet comes with its connection, as it was before the packet is let go."""
    program = Connections(net)
    rules = Nft(net.ns, QUEUED)
    rows = conversation(kind)
    for what, side, packet, want in rows:
        came, out = program.through(side, packet)
        equal(described(came), want, f"{kind}, queue: {what}")
        check(
            len(out) == len(packet) and out[40:] == packet[40:], f"{kind}, queue: it goes on as it was", (out, packet)
        )
    rules.delete()
    raw = Nft(net.ns, f"chain first {{ type filter hook prerouting priority raw; udp dport 53 notrack; }}\n{QUEUED}")
    equal(
        described(program.through("a", rows[0][2])[0]),
        None,
        f"{kind}, queue: what is not tracked comes without a connection",
    )
    raw.delete()
    program.close()


class Log(Netfilter):
    """A program that gets packets and their connections (nfnetlink_log)."""

    PACKET, CONFIG = 0, 1
    PREFIX, CT, CT_INFO = 10, 18, 19

    def __init__(self, ns):
        super().__init__(ns)
        for part in (
            attribute(1, b"\1"),  # bind
            attribute(2, struct.pack("!IBB", 0xFFFF, 2, 0)),  # copy packets
            attribute(5, number32(1)),  # each at once
            attribute(6, struct.pack("!H", 4)),  # NFULNL_CFG_F_CONNTRACK
        ):
            error = self.ask(LOG, self.CONFIG, part, number=NUMBER)
            if error:
                raise OSError(-error, "the log is not configured")

    def packet(self):
        """Waits for a packet; returns its attributes."""
        return attributes(self.message()[1][4:])


def logged(net, kind):
    """The log shows connections in the same way, by nft and by iptables."""
    program = Log(net.ns)
    for what, make in (
        (
            "nft",
            lambda: Nft(
                net.ns,
                "chain forward { type filter hook forward priority filter; "
                f'meta l4proto != 254 log prefix "nft" group {NUMBER}; }}',
            ),
        ),
        (
            "iptables",
            lambda: Xtables(
                net.ns,
                {
                    "filter": {
                        n: [f"-A FORWARD ! -p 254 -j NFLOG --nflog-group {NUMBER} --nflog-prefix iptables"]
                        for n in (4, 6)
                    }
                },
            ),
        ),
    ):
        if what == "iptables" and missing("xt_NFLOG"):
            skip(f"{kind}, log, iptables", "this kernel does not have xt_NFLOG")
            continue
        rules = make()
        for row, side, packet, want in conversation(kind):
            delivered(net, side, packet)
            came = program.packet()
            equal(came.get(Log.PREFIX), what.encode() + b"\0", f"{kind}, log, {what}: a packet is shown")
            equal(described(came, Log.CT, Log.CT_INFO), want, f"{kind}, log, {what}: {row}")
        rules.delete() if what == "nft" else rules.flush()
    program.close()


def changed(net, kind):
    """A verdict changes mark, time, labels and status of the packet's connection, confirmed or not."""
    program = Connections(net)
    labelled = """
    chain labels {
        type filter hook postrouting priority filter;
        ct label 5 counter comment "label"
        ct mark 77 counter comment "mark"
    }
    """
    rules = Nft(net.ns, f"{QUEUED}\n{labelled}")
    label = attribute(CTA_LABELS, (1 << 5).to_bytes(16, "little"))
    changes = [attribute(CTA_MARK, number32(77)), attribute(CTA_TIMEOUT, number32(1000)), label]
    for what, first in (("the first packet's", True), ("an established one's", False)):
        src, dst = pair(kind == "IPv6")
        packet = udp(src, dst, 1000, 53, b"question")
        if not first:
            program.through("a", packet)
            program.through("b", udp(dst, src, 53, 1000, b"answer"))
        before = rules.packets()
        program.through("a", packet, nested(Queue.CT, *changes))
        entry = find(net.ns, l4="udp", src=src)[0]
        equal(entry.tail["mark"], "77", f"{kind}: a verdict marks {what} connection")
        check(900 < entry.seconds <= 1000, f"{kind}: it sets the time of {what} connection", entry.line)
        now = rules.packets()
        equal(
            (now["label"] - before["label"], now["mark"] - before["mark"]),
            (1, 1),
            f"{kind}: {what} label and mark are there in the next chain",
        )
        came, _ = program.through("a", packet)
        parts = attributes(came[Queue.CT])
        equal(
            (parts.get(CTA_MARK), parts.get(CTA_LABELS)),
            (number32(77), (1 << 5).to_bytes(16, "little")),
            f"{kind}: the next packet comes with {what} mark and label",
        )
    program.through("a", packet, nested(Queue.CT, attribute(CTA_STATUS, number32(CONFIRMED | SEEN_REPLY | ASSURED))))
    check("ASSURED" in find(net.ns, l4="udp", src=src)[0].flags, f"{kind}: a verdict makes it ASSURED")
    rules.delete()
    program.close()


def announced(net, kind):
    """A verdict announces a connection, which is RELATED then."""
    program = Connections(net)
    src, dst = ends = pair(kind == "IPv6")
    rules = Nft(
        net.ns,
        f"""
        ct helper ftp {{ type "ftp" protocol tcp; }}
        chain helpers {{ type filter hook prerouting priority filter; tcp dport 21 ct helper set "ftp"; }}
        chain forward {{
            type filter hook forward priority filter;
            ct state related counter comment "related"
            tcp dport 21 tcp flags & syn == 0 queue num {NUMBER}
        }}
        """,
    )
    stream = Stream(net, ends, begun=False)
    stream.segment("c", "S")
    stream.segment("s", "SA")
    # From this address, and any port of it.
    mask = tuple_to(3, *(("ffff:" * 7 + "ffff", "::") if kind == "IPv6" else ("255.255.255.255", "0.0.0.0")), 6, 0, 0)
    wanted = nested(Queue.EXP, tuple_to(2, src, dst, 6, 0, 7777), mask, attribute(4, number32(60)))
    program.through("a", next_segment(stream, b"hello\n"), nested(Queue.CT), wanted)
    found = [(one["src"], one["dst"], one["dport"]) for one in expectations(net.ns, src)]
    equal(found, [(shown(src), shown(dst), "7777")], f"{kind}: a verdict announces a connection")
    Stream(net, ends, 2002, 7777)
    equal(rules.packets()["related"], 1, f"{kind}: which is RELATED")
    equal(expectations(net.ns, src), [], f"{kind}: and expected no more")
    rules.delete()
    program.close()


def next_segment(stream, data):
    """The client's next segment, made and not sent."""
    (src, sport), (dst, dport) = stream.ends["c"], stream.ends["s"]
    return tcp(src, dst, sport, dport, "PA", seq=stream.next["c"], ack=stream.next["s"], data=data)


def replaced(net):
    """A verdict replaces a translated segment by a longer one: what comes behind it is shifted."""
    if missing("nft_nat", "nft_chain_nat"):
        skip("a replaced segment", "this kernel does not have nft_nat")
        return
    program = Connections(net)
    src, dst = ends = pair(False)
    outside = "10.2.0.77"
    # Segments of a connection with a helper may change their length.
    rules = Nft(
        net.ns,
        f"""
        ct helper ftp {{ type "ftp" protocol tcp; }}
        chain helpers {{ type filter hook prerouting priority filter; tcp dport 21 ct helper set "ftp"; }}
        chain forward {{
            type filter hook forward priority filter;
            tcp flags psh / syn,psh ct direction original queue num {NUMBER}
        }}
        chain after {{ type nat hook postrouting priority srcnat; ip saddr {src} snat ip to {outside}; }}
        """,
    )
    stream = Stream(net, ends, begun=False)
    stream.segment("c", "S")
    delivered(net, "b", tcp(dst, outside, 21, 40000, "SA", seq=5000, ack=1001))
    stream.next["s"] = 5001
    short, long = b"hello\n", b"hello to all of you\n"
    longer = next_segment(stream, long)
    _, out = program.through("a", next_segment(stream, short), nested(Queue.CT), attribute(Queue.PAYLOAD, longer))
    equal(out[40:], long, "a verdict replaces a segment by a longer one")
    stream.next["c"] += len(short)
    _, out = program.through("a", next_segment(stream, b"more\n"))
    sequence = lambda packet, at=4: struct.unpack_from("!I", packet, 20 + at)[0] if packet else None  # noqa: E731
    equal(sequence(out), 1001 + len(long), "the segment behind it is shifted")
    back = delivered(net, "b", tcp(dst, outside, 21, 40000, "A", seq=5001, ack=1001 + len(long) + 5))
    equal([sequence(one, 8) for one in back], [1001 + len(short) + 5], "and the acknowledgement of both shifted back")
    equal([one.state for one in find(net.ns, src=src)], ["ESTABLISHED"], "the tracker follows it")
    rules.delete()
    program.close()


def scenario():
    lacking = missing("nfnetlink_queue", "nft_queue", "nf_conntrack_netlink", "nft_ct")
    if lacking:
        skip("user space is given packets and their connections", f"this kernel does not have {' '.join(lacking)}")
        return
    one_cpu()
    load()
    net = Router()
    missing("nf_conntrack_netlink")  # the tracker was loaded anew, and its users were not
    no_log = missing("nfnetlink_log", "nft_log")
    for kind in ("IPv4", "IPv6"):
        comes_with(net, kind)
        changed(net, kind)
        announced(net, kind)
        if no_log:
            skip(f"{kind}: the log shows connections", f"this kernel does not have {' '.join(no_log)}")
        else:
            logged(net, kind)
    replaced(net)


main(scenario)
