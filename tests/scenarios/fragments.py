# SPDX-License-Identifier: GPL-2.0
"""A packet in fragments is put together before it is tracked: one packet, one entry, whatever the order."""

# limit: 270
# left out of CI on: debug

import random

from lib import (
    Router,
    Rules,
    check,
    count,
    echo,
    equal,
    find,
    fragments4,
    fragments6,
    grown,
    listing,
    load,
    main,
    poll,
    sysctl,
    udp,
)

DATA = bytes(range(256)) * 16


def payload(pieces, name):
    """What a list of received fragments carries, put in order."""
    parts = {}
    for piece in pieces:
        if name == "IPv4":
            parts[(int.from_bytes(piece[6:8], "big") & 0x1FFF) * 8] = piece[20 : int.from_bytes(piece[2:4], "big")]
        else:
            parts[int.from_bytes(piece[42:44], "big") & 0xFFF8] = piece[48 : 40 + int.from_bytes(piece[4:6], "big")]
    return b"".join(parts[at] for at in sorted(parts))


def passes(router, rules, name, packet, pieces, what, state="NEW"):
    """Sends the pieces; the whole packet comes out on the other side and counted once."""
    head = 20 if name == "IPv4" else 40
    before = rules.packets()
    router.b.drain()
    router.a.send(*pieces)
    out = []
    poll(lambda: out.extend(router.b.received(0.2)) or payload(out, name) == packet[head:], 5)
    check(payload(out, name) == packet[head:], f"{name}: {what}: comes out whole", f"{len(out)} pieces, {len(payload(out, name))} bytes")
    equal(grown(before, rules.packets()), {state: 1}, f"{name}: {what}: counted as one packet, {state}")


def scenario():
    router = Router()
    load()
    # It is about pieces, not about time: a slow machine takes longer than 30 s to come to the reply.
    sysctl("nf_conntrack_udp_timeout", 600, router.ns)
    rules = Rules(router.ns)
    rules.states("mangle", "FORWARD")
    shuffled = random.Random(7)
    for name, a, b, cut in (("IPv4", router.A4, router.B4, fragments4), ("IPv6", router.A6, router.B6, fragments6)):
        orders = {
            "in order": lambda pieces: pieces,
            "reversed": lambda pieces: pieces[::-1],
            "shuffled": lambda pieces: shuffled.sample(pieces, len(pieces)),
            "one of them twice": lambda pieces: pieces[:1] + pieces,
        }
        for sport, (what, order) in enumerate(orders.items(), 1000):
            packet = udp(a, b, sport, 2000, DATA)
            passes(router, rules, name, packet, order(cut(packet, 1000 // 8 * 8, sport)), what)
            equal([entry.orig["dport"] for entry in find(router.ns, sport=sport, dst=b)], ["2000"], f"{name}: {what}: one entry")
        packet = echo(a, b, 5, data=DATA)
        passes(router, rules, name, packet, cut(packet, 800, 99), "an echo request in pieces")
        back = udp(b, a, 2000, 1000, DATA)
        before = rules.packets()
        router.b.send(*cut(back, 1200, 7)[::-1])
        poll(lambda: grown(before, rules.packets()), 5)
        equal(grown(before, rules.packets()), {"ESTABLISHED_REPLY": 1}, f"{name}: a reply in pieces is one packet")

        before, entries = rules.packets(), len(listing(router.ns))
        first, second, *_ = cut(udp(a, b, 3000, 2000, DATA), 800, 77)
        router.a.send(first, *cut(udp(a, b, 3001, 2000, DATA), 800, 78)[1:])
        router.settle()
        poll(lambda: grown(before, rules.packets()), 5)
        equal(grown(before, rules.packets()), {"NEW": 1}, f"{name}: pieces without a whole pass nowhere (the one is the marker)")
        equal(find(router.ns, sport=3000) + find(router.ns, sport=3001), [], f"{name}: and make no entry")
        check(len(listing(router.ns)) <= entries + 1, f"{name}: nor any other", listing(router.ns))
    check(count(router.ns) == len(listing(router.ns)), "what waits for its other pieces is not counted", count(router.ns))


main(scenario)
