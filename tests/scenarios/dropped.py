# SPDX-License-Identifier: GPL-2.0
"""A packet that is dropped between PRE_ROUTING and the last hook is never confirmed.

No entry, no count, and its connection object is free again: thousands of them do not make the slab grow.
"""

# limit: 180
# left out of CI on: stock, debug

from lib import Router, Rules, check, count, equal, find, grown, listing, load, main, poll, run, shrunk_slab_objects, some, times, udp

PACKETS = times(8000)


def scenario():
    router = Router()
    load()
    rules = Rules(router.ns)
    rules.add("mangle", "FORWARD", "forward", "-p", "udp", "--dport", "1000", jump="DROP")
    rules.add("mangle", "INPUT", "input", "-p", "udp", "--dport", "1001", jump="DROP")
    rules.add("mangle", "PREROUTING", "prerouting", "-p", "udp", "--dport", "1002", jump="DROP")
    rules.add("mangle", "OUTPUT", "output", "-p", "udp", "--dport", "1003", jump="DROP")
    ends = ("IPv4", router.A4, router.B4, router.R4), ("IPv6", router.A6, router.B6, router.R6)
    for name, a, b, home in some(ends):
        places = {"forward": (b, 1000), "input": (home, 1001), "prerouting": (b, 1002)}
        for place, (target, port) in places.items():
            before = rules.packets()
            objects = shrunk_slab_objects()
            for sport in range(PACKETS):
                router.a.send(udp(a, target, 10000 + sport, port, b"drop me"))
            poll(lambda: grown(before, rules.packets()).get(place) == PACKETS, 20)
            equal(grown(before, rules.packets()), {place: PACKETS}, f"{name}: {PACKETS} new flows dropped in {place}")
            equal(listing(router.ns), [], f"{name}: none of them is listed")
            check(poll(lambda: count(router.ns) == 0, 5), f"{name}: none of them is counted", count(router.ns))
            check(
                poll(lambda: (shrunk_slab_objects() or 0) - (objects or 0) < PACKETS // 3, 20),
                f"{name}: their objects are free again",
                f"{objects} objects before, {shrunk_slab_objects()} after",
            )
        before = rules.packets()
        run("bash", "-c", f"echo x >/dev/udp/{b}/1003", ns=router.ns, must=False)
        equal(grown(before, rules.packets()), {"output": 1}, f"{name}: a local packet dropped in output")
        equal((listing(router.ns), count(router.ns)), ([], 0), f"{name}: it makes no entry either")
    for command in ("iptables", "ip6tables"):
        run(command, "-t", "mangle", "-F", "FORWARD", ns=router.ns)
    router.a.send(udp(router.A4, router.B4, 10000, 1000, b"let me through"))
    check(poll(lambda: len(find(router.ns, sport=10000)) == 1, 5), "the same packet makes an entry once it may pass")
    equal(count(router.ns), 1, "which is counted")


main(scenario)
