# SPDX-License-Identifier: GPL-2.0
"""Messages to netfilter's subsystems over netlink and from them, and queues of packets that wait for a verdict."""

import socket
import struct

from lib import (
    SLOW,
    inside,
    packed,
)

NETLINK_NETFILTER = 12
ERROR, DONE = 2, 3
REQUEST, ACK, REPLACE, EXCL, DUMP, CREATE = 1, 4, 0x100, 0x200, 0x300, 0x400
# Subsystems (linux/netfilter/nfnetlink.h).
CTNETLINK, CTNETLINK_EXP, QUEUE, LOG, CTTIMEOUT, CTHELPER = 1, 2, 3, 4, 8, 9
# Of ctnetlink: messages that ask for entries, that delete an entry or tell its end, and the group for that; for
# expectations the first two are the same.
CT_NEW, CT_GET, CT_DELETE, GROUP_DESTROY = 0, 1, 2, 3
# enum ctattr_type
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_STATUS, CTA_PROTOINFO, CTA_TIMEOUT, CTA_MARK = 1, 2, 3, 4, 7, 8
CTA_TUPLE_MASTER, CTA_LABELS, CTA_SYNPROXY = 14, 22, 24
# enum ctattr_expect
CTA_EXPECT_MASTER, CTA_EXPECT_TUPLE, CTA_EXPECT_MASK, CTA_EXPECT_TIMEOUT, CTA_EXPECT_FN = 1, 2, 3, 4, 11
# enum ip_conntrack_status
SEEN_REPLY, ASSURED, CONFIRMED = 2, 4, 8
# IPS_SRC_NAT_DONE and IPS_DST_NAT_DONE
NAT_DONE = 0x80 | 0x100
SOL_NETLINK, BROADCAST_ERROR = 270, 4
NESTED = 0x8000


def attribute(kind, *data):
    """An attribute: of bytes, or of nested attributes."""
    text = b"".join(data)
    return struct.pack("=HH", 4 + len(text), kind) + text + b"\0" * (-len(text) % 4)


def nested(kind, *inner):
    return attribute(kind | NESTED, *inner)


def number32(value):
    return struct.pack("!I", value)


def attributes(data):
    """number -> bytes of the attributes in data."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def tuple_of(data):
    """Source, destination, protocol and ports of a nested tuple (CTA_TUPLE_ORIG and its like)."""
    parts = attributes(data)
    ip, proto = attributes(parts[1]), attributes(parts[2])
    family = socket.AF_INET if 1 in ip else socket.AF_INET6
    src, dst = (ip[1], ip[2]) if family == socket.AF_INET else (ip[3], ip[4])
    ports = [struct.unpack("!H", proto[n])[0] if n in proto else None for n in (2, 3)]
    return (socket.inet_ntop(family, src), socket.inet_ntop(family, dst), proto[1][0], *ports)


def tuple_to(kind, src, dst, proto, sport, dport):
    """The same as an attribute; src or dst may be an address or all-ones bytes."""
    first = 1 if "." in src else 3
    ip = nested(1, attribute(first, packed(src)), attribute(first + 1, packed(dst)))
    ports = nested(
        2, attribute(1, bytes([proto])), attribute(2, struct.pack("!H", sport)), attribute(3, struct.pack("!H", dport))
    )
    return nested(kind, ip, ports)


def messages(data):
    """The messages in what a socket has read: the type of each, and what is behind its header."""
    while len(data) >= 16:
        length, what = struct.unpack_from("=IH", data)
        yield what, data[16:length]
        data = data[(length + 3) & ~3 :]


def listen_for_ends(ns, room=None, reliable=False):
    """A socket that gets each connection's DESTROY event.

    Its buffer may be small; for a reliable socket ctnetlink keeps the events that did not fit.
    """
    with inside(ns):
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    if room:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    sock.setsockopt(SOL_NETLINK, BROADCAST_ERROR, int(reliable))
    sock.bind((0, 1 << (GROUP_DESTROY - 1)))
    sock.settimeout(10 * SLOW)
    return sock


class Netfilter:
    """A socket to netfilter's subsystems."""

    def __init__(self, ns):
        with inside(ns):
            self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.sock.bind((0, 0))
        self.sock.settimeout(10 * SLOW)
        self.waiting = []

    def send(self, subsystem, kind, *parts, family=socket.AF_UNSPEC, number=0, flags=0):
        """Sends one message."""
        body = struct.pack("!BBH", family, 0, number) + b"".join(parts)
        self.sock.send(struct.pack("=IHHII", 16 + len(body), subsystem << 8 | kind, REQUEST | flags, 1, 0) + body)

    def ask(self, subsystem, kind, *parts, family=socket.AF_UNSPEC, number=0, flags=0):
        """Sends one message; returns the error of its acknowledgement, 0 or negative."""
        self.send(subsystem, kind, *parts, family=family, number=number, flags=ACK | flags)
        kept = self.waiting
        self.waiting = []
        while True:
            what, data = self.message()
            if what == ERROR:
                self.waiting = kept + self.waiting
                return struct.unpack_from("=i", data)[0]
            kept.append((what, data))

    def message(self):
        """The next message: its type, and what is behind its header."""
        while not self.waiting:
            self.waiting += [one for one in messages(self.sock.recv(1 << 17)) if one[0] != DONE]
        return self.waiting.pop(0)

    def close(self):
        self.sock.close()


def ask(ns, *message, **fields):
    """One message from a socket of its own (Netfilter.ask); returns the error."""
    asks = Netfilter(ns)
    error = asks.ask(*message, **fields)
    asks.close()
    return error


def enter(ns, src, dst, proto, sport, dport, *more):
    """Enters a connection of IPv4 for ten minutes; returns the error."""
    parts = (
        tuple_to(CTA_TUPLE_ORIG, src, dst, proto, sport, dport),
        tuple_to(CTA_TUPLE_REPLY, dst, src, proto, dport, sport),
        attribute(CTA_TIMEOUT, number32(600)),
    )
    return ask(ns, CTNETLINK, CT_NEW, *parts, *more, family=socket.AF_INET, flags=CREATE | EXCL)


def dump(ns, subsystem, kind):
    """The attributes of each thing that a subsystem lists, up to an error."""
    asks, found, ended = Netfilter(ns), [], False
    asks.send(subsystem, kind, flags=DUMP)
    while not ended:
        for what, body in messages(asks.sock.recv(1 << 17)):
            ended = ended or what in (ERROR, DONE)
            found += [attributes(body[4:])] if what > DONE else []
    asks.close()
    return found


class Queue(Netfilter):
    """A program to which packets are sent, which wait for its verdict (nfnetlink_queue)."""

    PACKET, VERDICT, CONFIG = 0, 1, 2
    # Attributes of packets and verdicts (linux/netfilter/nfnetlink_queue.h).
    HEADER, PAYLOAD, CT, CT_INFO, EXP = 1, 10, 11, 12, 15
    ACCEPT = 1

    def __init__(self, ns, number=0, conntrack=False):
        super().__init__(ns)
        self.number = number
        self.configure(attribute(1, struct.pack("!BBH", 1, 0, socket.AF_INET)))  # bind
        self.configure(attribute(2, struct.pack("!IB", 0xFFFF, 2)))  # copy packets
        if conntrack:
            flags = number32(2)  # NFQA_CFG_F_CONNTRACK
            self.configure(attribute(4, flags), attribute(5, flags))

    def configure(self, *parts):
        error = self.ask(QUEUE, self.CONFIG, *parts, number=self.number)
        if error:
            raise OSError(-error, f"queue {self.number} is not configured")

    def packet(self):
        """Waits for a packet; returns its attributes."""
        what, data = self.message()
        if what != QUEUE << 8 | self.PACKET:
            raise RuntimeError(f"message {what:#x} from a queue")
        return attributes(data[4:])

    def id_of(self, packet):
        return struct.unpack_from("!I", packet[self.HEADER])[0]

    def take(self):
        """Waits for a packet and returns its number."""
        return self.id_of(self.packet())

    def accept(self, number, *parts):
        """Lets the packet go, perhaps with changes; returns the error."""
        verdict = attribute(2, struct.pack("!II", self.ACCEPT, number))
        return self.ask(QUEUE, self.VERDICT, verdict, *parts, number=self.number)
