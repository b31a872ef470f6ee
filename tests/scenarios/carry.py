# SPDX-License-Identifier: GPL-2.0
"""What rust-ct-switch carries over: after the tracker was loaded anew connections go on, translated ones too, where the
rules let nothing in that begins one."""

# limit: 200

import socket
import struct
import tempfile
from pathlib import Path

from lib import (
    Router,
    check,
    diag,
    echo,
    equal,
    family,
    find,
    load,
    main,
    read,
    run,
    sysctl,
    tcp,
    udp,
    unload,
    write,
)

CARRY = str(Path(__file__).resolve().parents[2] / "packaging/files/carry")
RULES = """
table ip n {
    chain pre {
        type nat hook prerouting priority -100
        iifname "ea" tcp dport 8080 dnat to 10.2.0.2:8000
        iifname "ea" tcp dport 8081 dnat to 10.2.0.2:8001
        iifname "ea" ip daddr 10.2.0.2 tcp dport 82 dnat to 10.2.0.2:8002
    }
    chain post {
        type nat hook postrouting priority 100
        oifname "eb" tcp dport { 81, 8001 } snat to 10.2.0.1:4000-4010
        oifname "eb" tcp dport 83 snat to 10.1.0.2:5000-5010
        oifname "eb" meta l4proto { udp, icmp } snat to 10.2.0.1
    }
}
table ip6 n {
    chain pre {
        type nat hook prerouting priority -100
        iifname "ea" tcp dport 8080 dnat to [fd02::2]:8000
    }
    chain post {
        type nat hook postrouting priority 100
        oifname "eb" tcp dport 8000 snat to [fd02::1]:4000-4010
    }
}
"""
FILTER = """
table inet f {
    chain forward {
        type filter hook forward priority 0
        ct state established accept
        ip protocol 254 accept
        %s
        drop
    }
}
"""
# Factors of 128 for windows (RFC 7323, section 2.2).
SCALE = b"\x03\x03\x07\x01"
# In no window.
FAR = 0x40000000


def ends(packet):
    """Source, destination and ports, or an echo's identifier twice, of a packet as bytes."""
    if packet[0] >> 4 == 4:
        l4, addresses, at = packet[9], (packet[12:16], packet[16:20]), 20
    else:
        l4, addresses, at = packet[6], (packet[8:24], packet[24:40]), 40
    version = socket.AF_INET if at == 20 else socket.AF_INET6
    src, dst = (socket.inet_ntop(version, one) for one in addresses)
    if l4 in (1, 58):
        return src, dst, *struct.unpack_from("!HH", packet, at + 4)
    return src, dst, *struct.unpack_from("!HH", packet, at)


class Talk:
    """A connection from a to b through the router: each packet is sent on one side, and read on the other."""

    def __init__(self, net, what, l4, dst, dport=0):
        self.net, self.what, self.l4 = net, what, l4
        self.near = net.A4 if family(dst) == socket.AF_INET else net.A6, dst, 1000, dport
        self.far = None

    def packet(self, towards, back, **fields):
        src, dst, sport, dport = towards
        if self.l4 == "tcp":
            return tcp(src, dst, sport, dport, **fields)
        if self.l4 == "udp":
            return udp(src, dst, sport, dport, b"data")
        return echo(src, dst, sport, 1, reply=back)

    def forth(self, **fields):
        """Returns whether it came out at b; notes between which ends it does there."""
        self.net.b.drain()
        self.net.a.send(self.packet(self.near, False, **fields))
        got = self.net.b.received(0.5, 1, lambda one: one[0] >> 4 == 6 and one[6] == 6 or one[9] in (1, 6, 17))
        self.far = ends(got[0]) if got else self.far
        return bool(got)

    def back(self, **fields):
        """Returns whether it came out at a, from whom a had sent to."""
        src, dst, sport, dport = self.far
        self.net.a.drain()
        ports = (sport, dport) if self.l4 == "icmp" else (dport, sport)
        self.net.b.send(self.packet((dst, src, *ports), True, **fields))
        near = self.near if self.l4 == "icmp" else self.near[:2] + (self.near[3], self.near[2])
        is_it = lambda one: ends(one)[:3] == (near[1], near[0], near[2])  # noqa: E731
        return bool(self.net.a.received(0.5, 1, is_it))

    def begin(self):
        if self.l4 != "tcp":
            return self.forth() and self.back()
        began = self.forth(flags="S", seq=99, options=SCALE) and self.back(flags="SA", seq=999, ack=100, options=SCALE)
        return began and self.forth(flags="A", seq=100, ack=1000, window=300)

    def go_on(self):
        if self.l4 != "tcp":
            return self.forth() and self.back()
        there = self.forth(flags="A", seq=100, ack=1000, window=300)
        return there and self.back(flags="A", seq=1000, ack=100, window=300)

    def out_of_window(self):
        """Whether data far out of the window comes out, of each end."""
        return [
            self.forth(flags="PA", seq=100 + FAR, ack=1000, window=300, data=b"x"),
            self.back(flags="PA", seq=1000 + FAR, ack=100, window=300, data=b"x"),
        ]


def rules(net, begun):
    """A connection may begin before, and none afterwards."""
    run("nft", "-f", "-", ns=net.ns, text=f"flush ruleset\n{RULES}{FILTER % ('ct state new accept' if begun else '')}")


def scenario():
    load()
    net = Router("rct-r")
    rules(net, True)
    talks = [
        Talk(net, "TCP", "tcp", net.B4, 80),
        Talk(net, "TCP with SNAT to another port", "tcp", net.B4, 81),
        Talk(net, "TCP with DNAT to another port", "tcp", net.R4, 8080),
        Talk(net, "TCP with both", "tcp", net.R4, 8081),
        Talk(net, "TCP with DNAT of the port alone", "tcp", net.B4, 82),
        Talk(net, "TCP with SNAT of the port alone", "tcp", net.B4, 83),
        Talk(net, "TCP, IPv6, with both", "tcp", net.R6, 8080),
        Talk(net, "TCP, IPv6", "tcp", net.B6, 80),
        Talk(net, "UDP with SNAT", "udp", net.B4, 53),
        Talk(net, "an echo with SNAT", "icmp", net.B4),
    ]
    for talk in talks:
        check(talk.begin(), f"{talk.what}: it begins")
    before = [talk.far for talk in talks]
    # Else what does not fit would be left to its receiver.
    sysctl("nf_conntrack_tcp_rfc5961", 0, net.ns)
    for talk in (talks[0], talks[7]):
        equal(talk.out_of_window(), [False, False], f"{talk.what}: nothing out of the window comes through")
    run("conntrack", "-U", "-p", "tcp", "--dport", "81", "-m", "7", ns=net.ns)
    others = ("-p udp --sport 9 --dport 9 -w 5 -m 9", "-p 253", "-p gre --srckey 1 --dstkey 2")
    for other in others:
        run("conntrack", "-I", "-s", "10.3.0.1", "-d", "10.3.0.2", "-t", "300", *other.split(), ns=net.ns)
    number = len(talks) + len(others)
    with tempfile.TemporaryDirectory() as directory:
        file = f"{directory}/entries"
        run("sh", CARRY, "save", file, ns=net.ns)
        text = read(file)
        diag(text)
        run("nft", "flush", "ruleset", ns=net.ns)
        unload()
        load()
        sysctl("nf_conntrack_tcp_loose", 0, net.ns)
        sysctl("nf_conntrack_tcp_rfc5961", 0, net.ns)
        equal(find(net.ns), [], "nothing is known when the tracker is loaded anew")
        write(file, "-A -p nothing\n" + text)
        # One of them has come back by itself.
        run("conntrack", "-I", "-s", "10.3.0.1", "-d", "10.3.0.2", "-t", "300", *others[1].split(), ns=net.ns)
        text = run("sh", CARRY, "restore", file, ns=net.ns)[1]
        equal(text.strip(), str(number - 1), "the others are put back, behind a line that conntrack refuses")
    rules(net, False)
    for talk, far in zip(talks, before):
        check(talk.go_on(), f"{talk.what}: it goes on", [one.line for one in find(net.ns)])
        equal(talk.far, far, f"{talk.what}: translated as before")
        if talk.l4 == "tcp":
            # conntrack enters them so, as it does not save windows and their factors.
            equal(talk.out_of_window(), [True, True], f"{talk.what}: the window is judged liberally")
    marks = sorted(one.tail["mark"] for one in find(net.ns))
    equal(marks, ["0"] * (number - 2) + ["7", "9"], "each has its mark")
    equal([one.tail.get("zone") for one in find(net.ns, dport=9)], ["5"], "and its zone")
    check(not Talk(net, "", "tcp", net.B4, 90).begin(), "none begins")


main(scenario)
