# SPDX-License-Identifier: GPL-2.0
"""Unloading while packets that hold a connection are in a user program's queue, or wait in a queueing discipline."""

# limit: 360
# left out of CI on: debug

import errno
import os
import time

from netlink import Queue

from lib import (
    CT,
    RUST,
    SLOW,
    Router,
    check,
    equal,
    find,
    load,
    log_mark,
    log_since,
    main,
    poll,
    run,
    udp,
    unload,
)

NUMBER = 5


def queued(router, what, chain, established):
    """A user program holds three packets when the tracker goes."""
    load()
    if established:
        router.a.send(udp(router.A4, router.B4, 1000, 2000, b"first"))
        router.b.send(udp(router.B4, router.A4, 2000, 1000, b"reply"))
        poll(lambda: find(router.ns, sport=1000), 5)
    program = Queue(router.ns, NUMBER)
    run("iptables", "-t", "mangle", "-A", chain, "-p", "udp", "-j", "NFQUEUE", "--queue-num", str(NUMBER), ns=router.ns)
    for _ in range(3):
        router.a.send(udp(router.A4, router.B4, 1000, 2000, b"hold me"))
    held = [program.take() for _ in range(3)]
    equal(len(held), 3, f"{what}: the program holds three packets")
    began = time.monotonic()
    mark = log_mark()
    status, output = unload(must=False)
    equal(status, 0, f"{what}: the tracker unloads under them")
    took = time.monotonic() - began
    check(took < 20 * SLOW, f"{what}: in {took:.1f} s", output)
    if RUST:
        complaints = [line for line in log_since(mark) if CT in line]
        print(f"# log: {complaints}")
    # 0: it was still there; ENOENT: it was dropped when the hooks went. Neither may hurt.
    answers = {program.accept(number) for number in held}
    check(answers <= {0, -errno.ENOENT}, f"{what}: a late verdict does no harm", answers)
    router.b.drain()
    router.a.send(udp(router.A4, router.B4, 1001, 2000, b"after"))
    program.accept(program.take())
    check(router.b.received(5, 1, lambda packet: packet.endswith(b"after")), f"{what}: the queue works on without a tracker")
    program.close()
    run("iptables", "-t", "mangle", "-F", chain, ns=router.ns)


def delayed(router):
    """Packets wait in a queueing discipline behind the last hook, each with its connection."""
    seconds = int(14 + 2 * SLOW)  # rust_ct speaks up after ten
    load()
    run("tc", "qdisc", "replace", "dev", "eb", "root", "netem", "delay", f"{seconds}s", ns=router.ns)
    for sport in range(50):
        router.a.send(udp(router.A4, router.B4, 3000 + sport, 2000, b"slow"))
    check(poll(lambda: len(find(router.ns, dport=2000)) == 50, 5), "50 connections whose packets wait behind the last hook")
    began = time.monotonic()
    mark = log_mark()
    status, output = unload(must=False)
    took = time.monotonic() - began
    equal(status, 0, "the tracker waits for them and unloads")
    check(not os.path.exists(f"/sys/module/{CT}"), "it is gone", output)
    print(f"# unloading took {took:.1f} s, the packets waited {seconds} s")
    if RUST:
        said = [line for line in log_since(mark) if CT in line and "waiting" in line]
        equal(len(said), 1, "the log says once what it waits for")
    got = router.b.received(seconds + 5, 50, lambda packet: packet.endswith(b"slow"))
    equal(len(got), 50, "all 50 packets arrive in the end")
    run("tc", "qdisc", "delete", "dev", "eb", "root", ns=router.ns)


def scenario():
    router = Router()
    queued(router, "new in FORWARD", "FORWARD", False)
    queued(router, "new in PREROUTING", "PREROUTING", False)
    queued(router, "established in FORWARD", "FORWARD", True)
    queued(router, "new in POSTROUTING", "POSTROUTING", False)
    delayed(router)


main(scenario)
