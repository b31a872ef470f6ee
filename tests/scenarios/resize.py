# SPDX-License-Identifier: GPL-2.0
"""The table changes its size while traffic flows: no connection is lost, none appears twice."""

# limit: 360
# left out of CI on: stock

import contextlib
import os
import random
import signal
import time

from lib import (
    BRIEF,
    PARAMETERS,
    Router,
    check,
    diag,
    equal,
    find,
    ip,
    listing,
    load,
    main,
    poll,
    read,
    statistics,
    sysctl,
    times,
    udp,
    write,
)

LONG = 2000
SIZES = (1024, 65536, 512, 4096, 131072, 2048)
# Few buckets and many packets at once: a packet has to meet the connection that is just going over.
BURST = times(100)
SEED = int(os.environ.get("SEED", "1"))


def key_set(ns):
    """The long-lived connections; also checks that no line comes twice."""
    keys = [entry.key for entry in listing(ns) if entry.proto == 253]
    return keys if len(keys) == len(set(keys)) else sorted(keys)


@contextlib.contextmanager
def real_time(cpu):
    """On one processor, and before all tasks there but real-time tasks of a higher priority."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, cpus)


def sent_in_real_time(router, dice):
    """With PREEMPT_RT, packets that a real-time task sends, and the softirqs that it runs, take the processor away from
    the task that resizes the table, wherever it is, and do not spin until it has gone on: it cannot."""
    if "PREEMPT_RT" not in os.uname().version:
        return
    cpu = min(os.sched_getaffinity(0))
    resizer = os.fork()
    if not resizer:
        os.sched_setaffinity(0, {cpu})
        while True:
            for size in (512, 1024):
                write(f"{PARAMETERS}/hashsize", size)
    longest = 0
    try:
        with real_time(cpu):
            for _ in range(times(600, 60)):
                numbers = [dice.randrange(LONG // 2) for _ in range(BURST)]
                packets = [ip(f"10.3.{number >> 8}.{number & 255}", router.B4, 253, b"more") for number in numbers]
                began = time.monotonic()
                for packet in packets:
                    router.a.send(packet)
                longest = max(longest, time.monotonic() - began)
                # The task that resizes goes on for so long.
                time.sleep(dice.uniform(0.001, 0.01))
    finally:
        os.kill(resizer, signal.SIGKILL)
        os.waitpid(resizer, 0)
    # A sender that spins is stopped by the scheduler after most of a second: other tasks run (sched_rt_runtime_us).
    diag(f"{BURST} packets took {longest * 1000:.1f} ms at the most")
    check(longest < 0.6, "a real-time sender does not wait for who resizes", f"{longest * 1000:.1f} ms")


def scenario():
    router = Router()
    load("hashsize=1024")
    # The long-lived connections outlive a scenario that takes long.
    sysctl("nf_conntrack_generic_timeout", 6000, router.ns)
    print(f"# SEED={SEED}")
    dice = random.Random(SEED)
    for number in range(LONG // 2):
        router.a.send(ip(f"10.3.{number >> 8}.{number & 255}", router.B4, 253, b"long"))
        router.a.send(ip(f"fd03::{number:x}", router.B6, 253, b"long"))
    check(poll(lambda: len(key_set(router.ns)) == LONG, 20), f"{LONG} long-lived connections", len(key_set(router.ns)))
    before = set(key_set(router.ns))
    sport = 1024
    for size in SIZES:
        # The resize runs while frames wait in the router's backlog and more frames follow at once.
        child = os.fork()
        if not child:
            for _ in range(10 if BRIEF else 30):
                write(f"{PARAMETERS}/hashsize", size + 512 * dice.randrange(4))
            write(f"{PARAMETERS}/hashsize", size)
            os._exit(0)
        sent, over = 0, False
        # Once at least, also where the child has come to its end at once.
        while not over:
            over = os.waitpid(child, os.WNOHANG)[0] != 0
            for _ in range(50):
                sport = 1024 + (sport + 1) % 60000
                router.a.send(udp(router.A4, router.B4, sport, 2000, b"come and go"))
                sent += 1
            number = dice.randrange(LONG // 2)
            router.b.drain()
            router.b.send(ip(router.B4, f"10.3.{number >> 8}.{number & 255}", 253, b"reply"))
        router.settle()
        equal(int(read(f"{PARAMETERS}/hashsize")), size, f"{size} buckets, after {sent} packets meanwhile")
        after = key_set(router.ns)
        equal((len(after), set(after) ^ before), (LONG, set()), f"{size} buckets: the long-lived ones are all there, once each")
        replied = [entry for entry in listing(router.ns) if entry.proto == 253 and "UNREPLIED" not in entry.flags]
        check(replied, f"{size} buckets: replies find them")
        equal(find(router.ns, proto=253, src=router.B4), [], f"{size} buckets: no reply was taken for a new connection")
    sent_in_real_time(router, dice)
    equal(set(key_set(router.ns)), before, "the long-lived ones are all there after that, once each")
    equal(statistics(router.ns)["insert_failed"], 0, "no insertion failed")


main(scenario)
