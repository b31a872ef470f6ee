# SPDX-License-Identifier: GPL-2.0
"""What the scenarios of switches share: packets through two ports that a switch leads through tracking itself.

The switch (traffic control, Open vSwitch) has no hooks: it hands packets to the tracker in a zone, commits what
begins behind port a, translates its source, and lets through what belongs to it.
"""

import socket
import struct

from lib import (
    RUST,
    SYSCTL,
    check,
    echo,
    equal,
    find,
    fragments4,
    icmp,
    listing,
    tcp,
    udp,
    write,
)

ZONE, MARK = 7, 0x11
# What the source becomes of what begins behind port a.
NEAR, FAR, OUTSIDE = "10.1.0.2", "10.2.0.2", "10.2.0.77"
# What may begin: UDP to this port, TCP to FTP's and HTTP's, and pings.
PORT, FTP = 53, 21


def ends(packet):
    """Source, destination, protocol of an IPv4 packet."""
    return (socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20]), packet[9])


def ports(packet):
    return struct.unpack("!HH", packet[20:24])


class Switch:
    """The two ports of a Router, without its hooks."""

    def __init__(self, net, what, offloads):
        self.net, self.what, self.offloads = net, what, offloads
        if RUST:
            # What the receiver would answer goes with its connection otherwise: nobody would be liberal.
            write(f"{SYSCTL}/nf_conntrack_tcp_rfc5961", 0, net.ns)

    def through(self, side, *packets, want=1, seconds=3):
        """Sends packets into a port; returns the IPv4 packets that came out of the other port."""
        into, out = (self.net.a, self.net.b) if side == "a" else (self.net.b, self.net.a)
        out.drain()
        into.send(*packets)
        return out.received(seconds, want, lambda packet: packet[:1] == b"\x45")

    def refused(self, side, packet):
        return not self.through(side, packet, seconds=0.5)

    def entries(self, **want):
        return [one for one in find(self.net.ns, **want) if one.tail.get("zone") == str(ZONE)]

    # Each of these functions is one promise.

    def strangers(self):
        """What begins behind port b is not let in, and leaves no entry."""
        check(self.refused("b", udp(FAR, NEAR, 4000, PORT)), f"{self.what}: a stranger stays out")
        equal(listing(self.net.ns), [], f"{self.what}: and has left no entry")

    def translated(self):
        """A UDP exchange is let out with another source, and its answer comes back to the first source."""
        came = self.through("a", udp(NEAR, FAR, 1000, PORT, b"question"))
        equal([ends(one) for one in came], [(OUTSIDE, FAR, 17)], f"{self.what}: what begins inside goes out, its source translated")
        sport = ports(came[0])[0] if came else 0
        found = self.entries(l4="udp")
        equal(len(found), 1, f"{self.what}: it has one entry in zone {ZONE}")
        equal([one.tail.get("mark") for one in found], [str(MARK)], f"{self.what}: with the mark")
        back = self.through("b", udp(FAR, OUTSIDE, PORT, sport, b"answer"))
        equal([(ends(one), ports(one)) for one in back], [((FAR, NEAR, 17), (PORT, 1000))], f"{self.what}: its answer comes back")
        check("UNREPLIED" not in self.entries(l4="udp")[0].flags, f"{self.what}: and is counted as one")
        check(self.refused("b", udp(FAR, OUTSIDE, PORT + 1, sport)), f"{self.what}: another's does not")

    def related(self):
        """An ICMP error about a packet of ours is translated, too."""
        came = self.through("a", udp(NEAR, FAR, 1001, PORT, b"question"))
        error = self.through("b", icmp(FAR, OUTSIDE, 3, 3, data=came[0][:28]) if came else b"")
        equal([ends(one) for one in error], [(FAR, NEAR, 1)], f"{self.what}: the ICMP error about it comes back")
        inner = error[0][28:] if error else b""
        equal(ends(inner) if len(inner) >= 20 else None, (NEAR, FAR, 17), f"{self.what}: with the packet as it was sent")

    def pings(self):
        came = self.through("a", echo(NEAR, FAR, 77))
        equal([ends(one) for one in came], [(OUTSIDE, FAR, 1)], f"{self.what}: a ping goes out")
        ident = struct.unpack("!H", came[0][24:26])[0] if came else 0
        back = self.through("b", echo(FAR, OUTSIDE, ident, reply=True))
        equal([ends(one) for one in back], [(FAR, NEAR, 1)], f"{self.what}: and its answer comes back")

    def session(self, dport, sport):
        """A TCP handshake from inside; returns a function that sends one segment, and the port outside."""
        came = self.through("a", tcp(NEAR, FAR, sport, dport, "S", seq=100))
        outside = ports(came[0])[0] if came else 0
        self.through("b", tcp(FAR, OUTSIDE, dport, outside, "SA", seq=500, ack=101))
        self.through("a", tcp(NEAR, FAR, sport, dport, "A", seq=101, ack=501))
        return outside

    def stream(self):
        """A TCP connection is followed, and its segments are not judged by its window."""
        outside = self.session(80, 2000)
        found = [one.state or one.flags & {"OFFLOAD"} for one in self.entries(l4="tcp", dport=80)]
        equal(found, [{"OFFLOAD"} if self.offloads else "ESTABLISHED"], f"{self.what}: a TCP connection is established")
        data = tcp(FAR, OUTSIDE, 80, outside, "PA", seq=501, ack=101, data=b"page")
        equal(len(self.through("b", data)), 1, f"{self.what}: a segment in its window comes in")
        beyond = tcp(FAR, OUTSIDE, 80, outside, "PA", seq=501 + (1 << 30), ack=101, data=b"page")
        # Open vSwitch has established connections judged liberally, and act_ct's flow table does not judge.
        equal(len(self.through("b", beyond)), 1, f"{self.what}: one far outside of it does, too")
        self.through("b", tcp(FAR, OUTSIDE, 80, outside, "R", seq=505))
        equal([one.state for one in self.entries(l4="tcp", dport=80)], ["CLOSE"], f"{self.what}: a reset ends it")

    def datagrams(self):
        """A datagram in fragments is put together for the tracker, and cut again."""
        whole = udp(NEAR, FAR, 1002, PORT, bytes(range(256)) * 10)
        came = self.through("a", *fragments4(whole, 1024, 99), want=9, seconds=1)
        data = b"".join(one[20:] for one in sorted(came, key=lambda one: struct.unpack("!H", one[6:8])[0] & 0x1FFF))
        equal({ends(one)[:2] for one in came}, {(OUTSIDE, FAR)}, f"{self.what}: fragments go out, their source translated")
        equal(data[8:], whole[28:], f"{self.what}: with all that was in them")
        equal(len(self.entries(sport=1002)), 1, f"{self.what}: they have one entry")

    def helped(self, expectations):
        """FTP's helper reads the control connection: what it announces is expected."""
        outside = self.session(FTP, 2100)
        hello = b"220 ready\r\n"
        self.through("b", tcp(FAR, OUTSIDE, FTP, outside, "PA", seq=501, ack=101, data=hello))
        said = b"227 Entering Passive Mode (10,2,0,2,20,30)\r\n"
        came = self.through("b", tcp(FAR, OUTSIDE, FTP, outside, "PA", seq=501 + len(hello), ack=101, data=said))
        equal(len(came), 1, f"{self.what}: FTP's answer comes in")
        found = [(one["dst"], one["dport"], one.get("helper")) for one in expectations(self.net.ns)]
        equal(found, [(FAR, str(20 * 256 + 30), "ftp")], f"{self.what}: what it announces is expected")
        came = self.through("a", tcp(NEAR, FAR, 2101, 20 * 256 + 30, "S", seq=100))
        equal([ends(one) for one in came], [(NEAR, FAR, 6)], f"{self.what}: it is RELATED, not NEW, whose source would be translated")
