# SPDX-License-Identifier: GPL-2.0
"""Thousands of mutated packets from both sides: the machine stays alive and the listing stays sound.

SEED and PACKETS choose another run; the seed is printed.
"""

# limit: 900

import os
import random
import struct

from lib import (
    Router,
    Rules,
    check,
    checksum,
    count,
    echo,
    equal,
    find,
    fragments4,
    fragments6,
    icmp,
    ip,
    ip6,
    listing,
    load,
    main,
    poll,
    run,
    tcp,
    times,
    udp,
    udp_segment,
)

PACKETS = int(os.environ.get("PACKETS", str(times(20000))))
SEED = int(os.environ.get("SEED", str(random.SystemRandom().randrange(1 << 32))))


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


def alive(router, number):
    """A clean exchange still works in the middle of it."""
    router.settle()
    port = 40000 + number % 20000
    router.b.drain()
    router.a.send(udp(router.A4, router.B4, port, 999, b"alive"))
    there = router.b.received(5, 1, lambda packet: packet.endswith(b"alive"))
    return there and len(find(router.ns, sport=port, dport=999)) == 1


def sound(entry):
    """A line that a connection can have."""
    sides = (entry.orig, entry.reply)
    ports = [int(side[name]) for side in sides for name in ("sport", "dport") if name in side]
    return (
        all("src" in side and "dst" in side for side in sides)
        and all(0 <= port <= 65535 for port in ports)
        and 0 <= entry.seconds <= 432000
        and entry.orig["src"] == entry.reply["dst"]
        and entry.orig["dst"] == entry.reply["src"]
    )


def scenario():
    print(f"# SEED={SEED} PACKETS={PACKETS}")
    router = Router()
    load()
    # What cannot be routed to b goes back out of a: frames that nobody takes there, and no errors from the router.
    Rules(router.ns).states("mangle", "FORWARD")
    for command, proto in (("iptables", "icmp"), ("ip6tables", "icmpv6")):
        run(command, "-A", "OUTPUT", "-p", proto, "-j", "DROP", ns=router.ns)
    dice, packets = random.Random(SEED), corpus()
    for number in range(PACKETS):
        original = dice.choice(packets)
        packet = mutated(dice, original)
        if dice.randrange(4):
            packet = repaired(packet)
        if number % 40 == 0:
            packet = original  # keeps connections alive that the mutants can hit
        port = dice.choice((router.a, router.b))
        port.send(packet, ethertype=0x0800 if original[0] >> 4 == 4 else 0x86DD)
        if number % 2000 == 1999:
            check(alive(router, number), f"alive after {number + 1} packets")
    entries = listing(router.ns)
    check(len(entries) > 50, f"{len(entries)} connections came of it")
    bad = [entry.line for entry in entries if not sound(entry)]
    equal(bad, [], "every line of the listing is sound")
    check(poll(lambda: count(router.ns) == len(listing(router.ns)), 10), "what is counted is what is listed", (count(router.ns), len(listing(router.ns))))


main(scenario)
