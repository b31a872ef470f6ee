# SPDX-License-Identifier: GPL-2.0
"""What the scenarios of NAT share: packets as they come out of a Router, and talks between two ends through it."""

import socket
import struct

from policy import delivered

from lib import (
    FLAGS,
    family,
    ip,
    ones_sum,
    pseudo,
    tcp,
    udp,
)

TCP, UDP, SCTP = 6, 17, 132


def crc32c(data):
    """The checksum of SCTP (RFC 9260, appendix A)."""
    total = 0xFFFFFFFF
    for octet in data:
        total ^= octet
        for _ in range(8):
            total = total >> 1 ^ (0x82F63B78 if total & 1 else 0)
    return total ^ 0xFFFFFFFF


def sctp(src, dst, sport, dport, tag, chunk, first):
    """An SCTP packet with an INIT (chunk 1) or an INIT ACK (2), whose sender will be known by the tag `first`."""
    ports, rest = struct.pack("!HHI", sport, dport, tag), struct.pack("!BBHIIHHI", chunk, 0, 20, first, 65536, 1, 1, 1)
    return ip(src, dst, SCTP, ports + struct.pack("<I", crc32c(ports + bytes(4) + rest)) + rest)


class Packet:
    """A packet that came out of a Router: its two ends, and what is in it."""

    def __init__(self, data):
        if data[0] >> 4 == 6:
            self.proto, size, addresses = data[6], 16, data[8:40]
            body = data[40 : 40 + struct.unpack("!H", data[4:6])[0]]
        else:
            self.proto, size, addresses = data[9], 4, data[12:20]
            body = data[(data[0] & 15) * 4 : struct.unpack("!H", data[2:4])[0]]
        kind = socket.AF_INET6 if size == 16 else socket.AF_INET
        self.src, self.dst = (socket.inet_ntop(kind, addresses[at : at + size]) for at in (0, size))
        self.body, self.sport, self.dport, self.data = body, None, None, body
        if self.proto in (TCP, UDP, SCTP) and len(body) >= 8:  # as much as an ICMP error quotes
            self.sport, self.dport = struct.unpack("!HH", body[:4])
            self.data = body[8:]
        if self.proto == TCP and len(body) >= 20:
            self.seq, self.ack = struct.unpack("!II", body[4:12])
            self.flags, self.options = body[13], body[20 : (body[12] >> 4) * 4]
            self.data = body[(body[12] >> 4) * 4 :]

    @property
    def ends(self):
        return ((self.src, self.sport), (self.dst, self.dport))

    @property
    def whole(self):
        """Whether its checksum is right, or left to the device, as after a helper has changed it."""
        if self.proto == SCTP:
            return struct.unpack("<I", self.body[8:12])[0] == crc32c(self.body[:8] + bytes(4) + self.body[12:])
        if self.proto not in (TCP, UDP):
            return True
        head = pseudo(self.src, self.dst, self.proto, len(self.body))
        at = {TCP: 16, UDP: 6}[self.proto]
        left = struct.unpack("!H", self.body[at : at + 2])[0] == ones_sum(head)
        return left or ones_sum(head + self.body) == 0xFFFF


def came(net, side, *packets, back=False):
    """delivered(), with what came out as Packets, but for what the router's own stack multicasts."""
    found = [Packet(one) for one in delivered(net, side, *packets, back=back)]
    return [one for one in found if not one.dst.startswith("ff")]


class Talk:
    """A client and a server behind the ports of a Router: each takes what comes to it, and answers its sender.

    They are behind the two `ports`. The client asks the address `asked`, if that is not the server's own; a server
    that is None is the end that this gets to. What does not fit is kept in `wrong`.
    """

    def __init__(self, net, l4, client, server, asked=None, ports="ab"):
        self.net, self.l4 = net, l4
        self.ports = dict(zip("cs", ports))
        self.own = {"c": client, "s": server} if server else {"c": client}
        self.sees = {"c": asked or server}
        self.next = {"c": 1000, "s": 5000}
        self.heard, self.wrong = {}, []
        if l4 == "tcp":
            self.send("c", b"", "S")
            self.send("s", b"", "SA")
            self.send("c", b"", "A")

    def packet(self, side, data, flags, options=b""):
        ends = (*self.own[side], *self.sees[side])
        src, sport, dst, dport = ends
        if self.l4 == "udp":
            return udp(src, dst, sport, dport, data)
        ack = self.heard.get(side, 0) if "A" in flags else 0
        return tcp(src, dst, sport, dport, flags, seq=self.next[side], ack=ack, data=data, options=options)

    def send(self, side, data=b"", flags="PA", options=b""):
        """Sends a datagram or a segment; returns what arrived of it, a Packet, or None."""
        other = "s" if side == "c" else "c"
        if side not in self.sees:
            self.wrong.append(f"{side} has heard nothing that it could answer")
            return None
        back = self.ports[side] == self.ports[other]
        found = came(self.net, self.ports[side], self.packet(side, data, flags, options), back=back)
        found = [one for one in found if one.proto in (TCP, UDP)]
        if self.l4 == "tcp":
            self.next[side] += len(data) + ("S" in flags) + ("F" in flags)
        if len(found) != 1:
            self.wrong.append(f"{len(found)} packets came of one of {side}'s ({flags} {data[:60]!r})")
            return None
        self.arrived(other, found[0])
        return found[0]

    def arrived(self, side, one):
        """A side takes a packet: it is for it, is in order, answers what it has said, and has a right checksum."""
        if self.own.setdefault(side, (one.dst, one.dport)) != (one.dst, one.dport):
            self.wrong.append(f"{side} is {self.own[side]}, and got what is for {one.dst} {one.dport}")
        if self.sees.setdefault(side, (one.src, one.sport)) != (one.src, one.sport):
            self.wrong.append(f"{side} talks with {self.sees[side]}, and hears {one.src} {one.sport}")
        if not one.whole:
            self.wrong.append(f"{side} got a wrong checksum")
        if self.l4 == "tcp":
            if self.heard.setdefault(side, one.seq) != one.seq:
                self.wrong.append(f"{side} waits for {self.heard[side]}, and got {one.seq}")
            if one.flags & FLAGS["A"] and one.ack != self.next[side]:
                self.wrong.append(f"{side} has sent up to {self.next[side]}, and {one.ack} was acknowledged")
            self.heard[side] += len(one.data) + bool(one.flags & FLAGS["S"]) + bool(one.flags & FLAGS["F"])

    def say(self, side, data):
        """What arrives of some data."""
        one = self.send(side, data.encode() if isinstance(data, str) else data)
        return one.data if one else None


def bracketed(address):
    """An address as it stands before a port."""
    return f"[{address}]" if family(address) == socket.AF_INET6 else address
