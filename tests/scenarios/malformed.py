# SPDX-License-Identifier: GPL-2.0
"""Malformed packets: none is taken for a valid one, and each INVALID packet is counted under its own name.

A row says what is sent, what the rules see of it behind PRE_ROUTING, and which reason rust_ct counts.
"""

# limit: 720
# left out of CI on: stock, debug

import struct
from collections import namedtuple

from lib import (
    RUST,
    Router,
    Rules,
    check,
    checksum,
    count,
    echo,
    ends,
    equal,
    find,
    fragments4,
    fragments6,
    grown,
    icmp,
    invalid_reasons,
    ip,
    ip4,
    ip6,
    listing,
    load,
    main,
    pseudo,
    statistics,
    sysctl,
    tcp,
    tcp_segment,
    udp,
    udp_segment,
)

A4, B4, A6, B6 = Router.A4, Router.B4, Router.A6, Router.B6
PAIRS = (("IPv4", A4, B4), ("IPv6", A6, B6))

# sees: the state the rules see, None where the packet gets to no hook behind the tracker.
Row = namedtuple("Row", "what packets sees reason", defaults=("INVALID", None))


def one(what, packet, reason):
    return Row(what, [packet], "INVALID", reason)


def stopped(what, *packets):
    """What the IP layer or its reassembly keeps from the tracker."""
    return Row(what, packets, None)


def ip_rows():
    body = udp_segment(A4, B4, 1, 2, b"data")
    good = ip4(A4, B4, 17, body)
    yield stopped("IPv4: header length 4 words", ip4(A4, B4, 17, body, ihl=4))
    yield stopped("IPv4: header length beyond the packet", ip4(A4, B4, 17, b"", ihl=15))
    yield stopped("IPv4: version 5", ip4(A4, B4, 17, body, version=5))
    yield stopped("IPv4: total length below the header", ip4(A4, B4, 17, body, length=19))
    yield stopped("IPv4: total length beyond the packet", ip4(A4, B4, 17, body, length=len(good) + 1))
    yield stopped("IPv4: bad header checksum", good[:10] + b"\xde\xad" + good[12:])
    yield stopped("IPv4: 10 bytes in all", good[:10])
    # Options are looked at behind PRE_ROUTING: the packet is tracked, stopped, and never confirmed.
    yield Row("IPv4: an option with length 0", [ip4(A4, B4, 17, body, options=b"\x07\x00\0\0")], "NEW")
    yield stopped("IPv6: 39 bytes in all", ip6(A6, B6, 17, b"")[:39])
    yield stopped("IPv6: payload length beyond the packet", ip6(A6, B6, 17, b"12345678", length=9))
    yield Row("IPv4: another protocol without a byte", [ip4(A4, B4, 200)], "NEW")
    yield Row("IPv6: another protocol without a byte", [ip6(A6, B6, 200)], "NEW")


def fragment_rows():
    data = bytes(2000)
    yield stopped("IPv4: fragments without the first", *fragments4(udp(A4, B4, 11, 12, data), 800, 60)[1:])
    four = fragments4(udp(A4, B4, 11, 12, data), 800, 70)
    yield stopped("IPv4: overlapping fragments", four[0], ip4(A4, B4, 17, bytes(800), ident=70, offset=400, flags=1), *four[1:])
    yield stopped("IPv4: a fragment beyond 64 KiB", ip4(A4, B4, 17, bytes(800), ident=71, offset=65528, flags=0))
    yield stopped("IPv4: a fragment of no byte", ip4(A4, B4, 17, b"", ident=72, offset=800, flags=1))
    yield stopped("IPv6: fragments without the first", *fragments6(udp(A6, B6, 11, 12, data), 800, 60)[1:])
    six = fragments6(udp(A6, B6, 11, 12, data), 800, 70)
    overlap = ip6(A6, B6, 44, struct.pack("!BBHI", 17, 0, 400 | 1, 70) + bytes(800))
    yield stopped("IPv6: overlapping fragments", six[0], overlap, *six[1:])
    # What reassembly does not understand it hands on; the UDP header in the first of these is all zeros.
    odd = ip6(A6, B6, 44, struct.pack("!BBHI", 17, 0, 1, 73) + bytes(801))
    yield one("IPv6: a first fragment whose length is no multiple of 8", odd, "udp_length")
    yield one("IPv6: half a fragment header", ip6(A6, B6, 44, b"\x11\0\0\0"), "udp_short")


def extension_rows():
    body = udp_segment(A6, B6, 21, 22, b"data")

    def chain(kind, number, last=17, length=0):
        return b"".join(
            struct.pack("!BB", kind if left else last, length) + b"\x01\x04\0\0\0\0" for left in range(number - 1, -1, -1)
        )

    yield Row("IPv6: eight destination options headers", [ip6(A6, B6, 60, chain(60, 8) + body)], "NEW")
    yield one("IPv6: 100 destination options headers", ip6(A6, B6, 60, chain(60, 100) + body), "ipv6_too_many_headers")
    yield one("IPv6: a destination options header that points to itself", ip6(A6, B6, 60, chain(60, 1, last=60)), "ipv6_extension_short")
    yield one("IPv6: an extension header longer than the packet", ip6(A6, B6, 60, chain(60, 1, length=255) + body), "udp_short")
    yield one("IPv6: one byte of an extension header", ip6(A6, B6, 60, b"\x11"), "ipv6_extension_short")
    yield one("IPv6: an authentication header cut off", ip6(A6, B6, 51, b"\x11\x04\0\0\0\0\0\0"), "udp_short")
    yield one("IPv6: no next header", ip6(A6, B6, 59, b"whatever"), "ipv6_no_next_header")
    yield Row("IPv6: an encrypted payload is another protocol", [ip6(A6, B6, 50, b"whatever")], "NEW")


def port_rows():
    for name, a, b in PAIRS:
        for size in ends((0, 3, 4, 7)):
            yield one(f"{name}: UDP cut to {size} bytes", ip(a, b, 17, udp_segment(a, b, 31, 32)[:size]), "udp_short")
        yield one(f"{name}: UDP length 7", udp(a, b, 33, 32, b"data", length=7), "udp_length")
        yield one(f"{name}: UDP length beyond the packet", udp(a, b, 34, 32, b"data", length=100), "udp_length")
        yield one(f"{name}: UDP with a bad checksum", udp(a, b, 35, 32, b"data", check_sum=0xDEAD), "udp_checksum")
        for size in ends((0, 3, 4, 19)):
            yield one(f"{name}: TCP cut to {size} bytes", ip(a, b, 6, tcp_segment(a, b, 41, 42, "S")[:size]), "tcp_short")
        for doff in ends((0, 4, 6, 15)):
            yield one(f"{name}: TCP header of {doff} words", tcp(a, b, 43, 42, "S", doff=doff), "tcp_header_length")
        yield one(f"{name}: TCP with a bad checksum", tcp(a, b, 44, 42, "S", check_sum=0xDEAD), "tcp_checksum")
        for flags in ends(("SF", "", "SR", "FR", "F", "U", "P", "SFRPAU", "SFRPAUEC", "SAF", "SAR", "AFR", "E")):
            yield one(f"{name}: TCP flags {flags or 'none'}", tcp(a, b, 45, 42, flags), "tcp_flags")
        for flags in ends(("SA", "R", "RA", "FA")):
            yield one(f"{name}: TCP {flags} of no connection", tcp(a, b, 46, 42, flags, seq=1, ack=1), "tcp_new")
        yield one(f"{name}: SCTP cut to 4 bytes", ip(a, b, 132, b"\0\1\0\2"), "sctp_short")
        yield one(f"{name}: SCTP with a bad checksum", ip(a, b, 132, b"\0\1\0\2" + b"\0\0\0\0" + b"\1\2\3\4" + b"\1\0\0\x14" + bytes(16)), "sctp_checksum")
    for name, a, b in PAIRS:
        yield one(f"{name}: GRE for PPTP without PPP", ip(a, b, 47, b"\x20\x01\x08\x00\0\0\0\1"), "gre_protocol")


def icmp_rows():
    for name, a, b in PAIRS:
        four = name == "IPv4"
        prefix = "icmp" if four else "icmpv6"
        own = 1 if four else 58
        for size in (1, 7):
            yield one(f"{name}: ICMP cut to {size} bytes", ip(a, b, own, echo(a, b, 1)[20 if four else 40 :][:size]), f"{prefix}_short")
        yield one(f"{name}: ICMP with a bad checksum", icmp(a, b, 8 if four else 128, 0, b"\0\1\0\1", check_sum=0xDEAD), f"{prefix}_checksum")
        yield one(f"{name}: an echo reply that nobody asked for", echo(a, b, 51, reply=True), "icmp_new")
        yield one(f"{name}: a message that is neither query nor answer", icmp(a, b, 9 if four else 200), "icmp_no_counterpart")
        other = 58 if four else 1
        body = struct.pack("!BBHHH", 128 if four else 8, 0, 0, 7, 7)
        body = body[:2] + struct.pack("!H", checksum((pseudo(a, b, other, 8) if four else b"") + body)) + body[4:]
        yield one(f"{name}: the other family's ICMP", ip(a, b, other, body), "icmp_family")

        unreachable = 3 if four else 1
        known, stranger = udp(a, b, 61, 62, b"known"), udp(a, b, 63, 62, b"unknown")
        head = 20 if four else 40
        inner = {
            "nothing": (b"", "icmp_error_inner"),
            "half an IP header": (known[: head // 2], "icmp_error_inner"),
            "an IP header only": (known[:head], "icmp_error_inner"),
            "half of the ports": (known[: head + 2], "icmp_error_inner"),
            # As IPv4 it is a fragment, as IPv6 a packet of protocol 19.
            "garbage": (bytes(range(1, 200, 3)), "icmp_error_inner" if four else "icmp_error_unknown"),
            "an ICMP error": (icmp(a, b, unreachable, data=known[: head + 8]), "icmp_error_inner"),
            "a packet of no connection": (stranger[: head + 8], "icmp_error_unknown"),
        }
        if four:
            inner["a fragment"] = (ip4(a, b, 17, b"12345678", offset=8), "icmp_error_inner")
            inner["header length 4 words"] = (ip4(a, b, 17, b"12345678", ihl=4), "icmp_error_unknown")
            inner["header length beyond the end"] = (ip4(a, b, 17, b"", ihl=15), "icmp_error_inner")
        else:
            inner["a fragment"] = (ip6(a, b, 44, struct.pack("!BBHI", 17, 0, 8, 1) + b"12345678"), "icmp_error_inner")
            inner["an extension header cut off"] = (ip6(a, b, 60, b"\x11\xff"), "icmp_error_inner")
        for what, (quoted, reason) in inner.items():
            yield one(f"{name}: an ICMP error about {what}", icmp(a, b, unreachable, data=quoted), reason)
    yield one("IPv4: ICMP type 19", icmp(A4, B4, 19), "icmp_type")
    yield one("IPv4: ICMP type 255", icmp(A4, B4, 255), "icmp_type")


def redirect_rows():
    target = bytes(32)
    yield one("IPv6: a redirect from afar", icmp(A6, B6, 137, data=target, ttl=64), "icmpv6_redirect_sender")
    yield one("IPv6: a redirect cut off", icmp(A6, B6, 137, data=target[:10], ttl=255), "icmpv6_redirect_short")


def connection_rows():
    """Segments that do not fit a connection that is there: set up first, as the rows of NEW and so on."""
    for name, a, b in PAIRS:
        yield Row(f"{name}: SYN", [tcp(a, b, 71, 72, "S", seq=1000, window=1000)], "NEW")
        yield one(f"{name}: its own SYN-ACK", tcp(a, b, 71, 72, "SA", seq=1000, ack=1), "tcp_state")


def send(router, rules, seen_before, row):
    """Sends a row's packets; returns what the rules and the counters made of them."""
    command = "iptables" if row.what.startswith("IPv4") else "ip6tables"
    stat, reasons = statistics(router.ns), invalid_reasons(router.ns) if RUST else {}
    router.a.send(*row.packets, ethertype=0x0800 if command == "iptables" else 0x86DD)
    check(router.settle(), f"{row.what}: the machine is alive after it")
    now = rules.packets([command])
    seen = grown(seen_before.get(command, {}), now)
    seen_before[command] = now
    after = grown(stat, statistics(router.ns))
    named = grown(reasons, invalid_reasons(router.ns)) if RUST else {}
    return seen, after.get("invalid", 0) + after.get("icmp_error", 0), named


def judge(router, rules, seen_before, row):
    seen, invalid, named = send(router, rules, seen_before, row)
    equal(seen, {} if row.sees is None else {row.sees: len(row.packets)}, f"{row.what}: {row.sees or 'stopped before the tracker'}")
    if row.sees == "INVALID":
        equal(invalid, len(row.packets), f"{row.what}: counted once")
        if RUST:
            equal(named, {row.reason: len(row.packets)}, f"{row.what}: counted as {row.reason}")
    else:
        equal((invalid, named), (0, {}), f"{row.what}: not counted as INVALID")


def scenario():
    router = Router()
    load()
    # Left to its receiver else (the scenario rfc5961), and this is about the reasons.
    sysctl("nf_conntrack_tcp_rfc5961", 0, router.ns)
    rules = Rules(router.ns)
    # Protocol 254 over IPv4 is the marker that says when all before it is through.
    rules.states("mangle", "PREROUTING", "!", "-p", "254", families=(4,))
    # A rule with -p would not see packets whose extension headers ip6tables can not read.
    rules.states("mangle", "PREROUTING", families=(6,))
    seen_before = {}
    for rows in (ip_rows, fragment_rows, extension_rows, port_rows, icmp_rows, redirect_rows, connection_rows):
        for row in rows():
            judge(router, rules, seen_before, row)
    made = {(entry.l3, entry.proto) for entry in listing(router.ns)}
    valid = {("ipv4", 200), ("ipv6", 200), ("ipv6", 17), ("ipv6", 50), ("ipv4", 6), ("ipv6", 6), ("ipv4", 254)}
    # The short-lived connections may be over by now.
    check(("ipv4", 200) in made and made <= valid, "only the few valid packets among them made entries", made)
    check(len(find(router.ns, proto=17)) <= 1, "not more than one of them over UDP", listing(router.ns))
    check(count(router.ns) == len(listing(router.ns)), "nothing is counted that is not listed", count(router.ns))


main(scenario)
