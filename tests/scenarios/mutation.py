# SPDX-License-Identifier: GPL-2.0
"""Packets of every kind, and what becomes of them when bits and pieces are changed."""

import struct

from lib import (
    Router,
    checksum,
    echo,
    fragments4,
    fragments6,
    icmp,
    ip,
    ip6,
    tcp,
    udp,
    udp_segment,
)


def corpus():
    """Valid packets of every kind, both families."""
    packets = []
    for a, b in ((Router.A4, Router.B4), (Router.A6, Router.B6)):
        quoted = udp(a, b, 1000, 2000, b"quoted")
        four = ":" not in a
        packets += [
            quoted,
            udp(b, a, 2000, 1000, b"answer" * 30),
            echo(a, b, 7),
            echo(b, a, 7, reply=True),
            icmp(b, a, 3 if four else 1, 3, data=quoted),
            icmp(b, a, 11 if four else 3, 0, data=quoted),
            icmp(a, b, 13 if four else 139, 0, data=bytes(12)),
            icmp(a, b, 9 if four else 137, 0, data=bytes(40), ttl=255),
            icmp(a, b, 9 if four else 143, 0, data=bytes(40)),
            ip(a, b, 132, b"\0\1\0\2" + bytes(8) + b"\1\0\0\x14" + bytes(16)),
            ip(a, b, 47, b"\x30\x01\x88\x0b\0\4\0\1" + bytes(8)),
            ip(a, b, 47, b"\0\0\x08\0" + bytes(20)),
            ip(a, b, 33, bytes(24)),
            ip(a, b, 253, b"other"),
        ]
        options = b"\x02\x04\x05\xb4\x04\x02\x08\x0a\0\0\0\1\0\0\0\0\x01\x03\x03\x07"
        sack = b"\x01\x01\x05\x0a\0\0\0\1\0\0\0\2"
        packets += [tcp(a, b, 1000, 80, flags, seq=1, ack=1, options=options) for flags in ("S", "SA", "A", "FA", "R")]
        packets += [tcp(b, a, 80, 1000, flags, seq=1, ack=2, options=sack, data=b"x" * 50) for flags in ("SA", "PA", "FA", "RA")]
    body = udp_segment(Router.A6, Router.B6, 1000, 2000, b"data")
    for kind in (0, 43, 60, 51, 44):
        packets.append(ip6(Router.A6, Router.B6, kind, struct.pack("!BB", 17, 0) + b"\x01\x04\0\0\0\0" + body))
        packets.append(ip6(Router.A6, Router.B6, 60, struct.pack("!BB", kind, 0) + b"\x01\x04\0\0\0\0" + bytes([17, 0, 1, 4, 0, 0, 0, 0]) + body))
    packets += fragments4(udp(Router.A4, Router.B4, 5, 6, bytes(100)), 48, 9)
    packets += fragments6(udp(Router.A6, Router.B6, 5, 6, bytes(100)), 48, 9)
    return packets


def repaired(packet):
    """The packet with the lengths and checksums that its first bytes ask for, so that it gets further."""
    packet = bytearray(packet)
    if len(packet) >= 24 and packet[0] >> 4 == 4:
        head = max(20, (packet[0] & 15) * 4)
        packet[0] = 0x40 | head // 4
        if len(packet) < head:
            return bytes(packet)
        packet[2:4] = struct.pack("!H", len(packet))
        packet[10:12] = b"\0\0"
        packet[10:12] = struct.pack("!H", checksum(bytes(packet[:head])))
        proto, addresses = packet[9], bytes(packet[12:20]) + struct.pack("!BBH", 0, packet[9], len(packet) - head)
    elif len(packet) >= 44 and packet[0] >> 4 == 6:
        head = 40
        packet[4:6] = struct.pack("!H", len(packet) - 40)
        proto, addresses = packet[6], bytes(packet[8:40]) + struct.pack("!II", len(packet) - 40, packet[6])
    else:
        return bytes(packet)
    field = {6: 16, 17: 6, 1: 2, 58: 2}.get(proto)
    if field is not None and len(packet) >= head + field + 2:
        at = head + field
        packet[at : at + 2] = b"\0\0"
        body = bytes(packet[head:])
        packet[at : at + 2] = struct.pack("!H", checksum(body if proto == 1 else addresses + body))
    return bytes(packet)


def mutated(dice, packet):
    """A few changes anywhere, the IP addresses and the version mostly spared."""
    packet = bytearray(packet)
    for _ in range(dice.choice((1, 1, 2, 3, 8))):
        at = dice.randrange(len(packet)) if packet else 0
        kind = dice.randrange(8)
        if kind == 0:
            del packet[at:]  # cut off
        elif kind == 1:
            packet += dice.randbytes(dice.randrange(1, 64))
        elif kind == 2:
            packet[at:at] = packet[at : at + dice.randrange(1, 40)]  # a piece twice
        elif kind == 3 and len(packet) > at:
            packet[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 4 and len(packet) > at:
            packet[at] ^= 1 << dice.randrange(8)
        elif len(packet) > 40:
            # The headers behind the IP header are what the tracker reads.
            at = dice.randrange(20 if packet[0] >> 4 == 4 else 40, min(len(packet), 90))
            packet[at] = dice.randrange(256)
    return bytes(packet[:1400])
