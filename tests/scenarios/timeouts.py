# SPDX-License-Identifier: GPL-2.0
"""Connections have the time that their protocol and state give them, and are removed when it is over.

Default times: net/netfilter/nf_conntrack_proto_{tcp,udp,icmp,icmpv6,generic}.c.
"""

# limit: 900
# left out of CI on: debug

import time

from lib import (
    RUST,
    SLOW,
    Router,
    check,
    count,
    echo,
    equal,
    find,
    ip,
    listing,
    load,
    main,
    poll,
    skip,
    sysctl,
    tcp,
    udp,
)


def seconds_left(router, want, what, **which):
    """The only connection has that many seconds left, a few gone by since."""
    found = find(router.ns, **which)
    equal(len(found), 1, f"{what}: it is listed")
    for entry in found:
        least = max(want - 10 * SLOW, want // 2)
        check(least <= entry.seconds <= want, f"{what}: {want} s", entry.line)


def tcp_times(router):
    """Walks a connection through all states; each has its own time and name."""
    a, b = router.A4, router.B4

    def there(flags, seq, ack=0):
        return router.a, tcp(a, b, 1000, 80, flags, seq=seq, ack=ack)

    def back(flags, seq, ack):
        return router.b, tcp(b, a, 80, 1000, flags, seq=seq, ack=ack)

    walk = (
        (there("S", 100), "SYN_SENT", 120, False),
        (back("SA", 500, 101), "SYN_RECV", 60, False),
        (there("A", 101, 501), "ESTABLISHED", 432000, True),
        (there("FA", 101, 501), "FIN_WAIT", 120, True),
        (back("A", 501, 102), "CLOSE_WAIT", 60, True),
        (back("FA", 501, 102), "LAST_ACK", 30, True),
        (there("A", 102, 502), "TIME_WAIT", 120, True),
        (there("R", 102), "CLOSE", 10, True),
    )
    for (port, packet), state, seconds, assured in walk:
        port.send(packet)
        router.settle()
        entry = find(router.ns, l4="tcp", sport=1000)
        equal([one.state for one in entry], [state], f"TCP: {state}")
        equal(["ASSURED" in one.flags for one in entry], [assured], f"TCP: {state}: {'' if assured else 'not '}ASSURED")
        seconds_left(router, seconds, f"TCP: {state}", l4="tcp", sport=1000)


def udp_times(router):
    """30 s, and 120 s once it is a stream: a reply, and more than two seconds after the beginning."""
    for name, a, b in (("IPv4", router.A4, router.B4), ("IPv6", router.A6, router.B6)):
        began = time.monotonic()
        router.a.send(udp(a, b, 1000, 2000, b"x"))
        router.b.send(udp(b, a, 2000, 1000, b"x"))
        router.a.send(udp(a, b, 1000, 2000, b"x"))
        router.settle()
        if time.monotonic() - began < 1.8:
            seconds_left(router, 30, f"{name}: UDP in its first two seconds", src=a, l4="udp", sport=1000)
        while time.monotonic() - began < 2.5:
            time.sleep(0.1)
        router.b.send(udp(b, a, 2000, 1000, b"x"))
        router.settle()
        seconds_left(router, 120, f"{name}: UDP that goes on", src=a, l4="udp", sport=1000)
        check("ASSURED" in find(router.ns, src=a, l4="udp")[0].flags, f"{name}: UDP that goes on is ASSURED")


def other_times(router):
    for name, a, b in (("IPv4", router.A4, router.B4), ("IPv6", router.A6, router.B6)):
        router.a.send(echo(a, b, 9), ip(a, b, 253, b"x"))
        router.settle()
        seconds_left(router, 30, f"{name}: echo", src=a, l4="icmp" if name == "IPv4" else "icmpv6")
        seconds_left(router, 600, f"{name}: another protocol", src=a, proto=253)


def expiry(router):
    """Connections go when their time is over, without any lookup; one that is used stays until it is not."""
    # Longer than it takes to send them all, which are counted then.
    short = 5 if SLOW <= 3 else 12
    shortened = all([sysctl(f"nf_conntrack_{name}_timeout", short, router.ns) for name in ("udp", "icmp")])
    lasts = short if shortened else 30
    used = udp(router.A4, router.B4, 30000, 6, b"x")
    held = count(router.ns)
    for sport in range(300):
        router.a.send(udp(router.A4, router.B4, 20000 + sport, 5, b"x"), echo(router.A4, router.B4, 20000 + sport))
    router.a.send(used)
    began = time.monotonic()
    router.settle()
    check(count(router.ns) >= held + 601, "600 short-lived connections and one more are counted", count(router.ns))

    def over():
        router.a.send(used)
        return count(router.ns) <= held + 2  # the used one and the marker

    # The long-lived connections above run out meanwhile as well; the reference's worker sleeps up to a minute.
    check(poll(over, 110, 0.5), "the 600 are gone when their time is over", count(router.ns))
    took = time.monotonic() - began
    check(took >= lasts - 1, "and not before")
    if RUST and shortened:
        check(took <= lasts + 3 + 2 * SLOW, "and not much later", f"after {took:.1f} s")
    else:
        skip("and not much later", f"nf_conntrack's worker comes by once a minute: {took:.1f} s")
    while time.monotonic() - began < lasts + 2:
        over()
        time.sleep(0.5)
    equal([entry.line for entry in listing(router.ns) if entry.orig.get("dport") == "5"], [], "none of them is listed")
    equal(len(find(router.ns, dport=6)), 1, f"the one in use lives longer than {lasts} s")
    last = time.monotonic()
    check(poll(lambda: not find(router.ns, dport=6), lasts + 5, 0.5), "and ends when it is not used any more")
    check(time.monotonic() - last >= lasts - 2, "but not before its time")


def scenario():
    router = Router()
    load()
    tcp_times(router)
    udp_times(router)
    other_times(router)
    expiry(router)


main(scenario)
