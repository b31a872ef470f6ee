# SPDX-License-Identifier: GPL-2.0
"""The table changes its size while traffic flows: no connection is lost, none appears twice."""

# limit: 360

import os
import random

from lib import BRIEF, PARAMETERS, Router, check, equal, find, ip, listing, load, main, poll, read, statistics, udp, write

LONG = 2000
SIZES = (1024, 65536, 512, 4096, 131072, 2048)
SEED = int(os.environ.get("SEED", "1"))


def key_set(ns):
    """The long-lived connections; also checks that no line comes twice."""
    keys = [entry.key for entry in listing(ns) if entry.proto == 253]
    return keys if len(keys) == len(set(keys)) else sorted(keys)


def scenario():
    router = Router()
    load("hashsize=1024")
    print(f"# SEED={SEED}")
    dice = random.Random(SEED)
    for number in range(LONG // 2):
        router.a.send(ip(f"10.3.{number >> 8}.{number & 255}", router.B4, 253, b"long"))
        router.a.send(ip(f"fd03::{number:x}", router.B6, 253, b"long"))
    check(poll(lambda: len(key_set(router.ns)) == LONG, 20), f"{LONG} long-lived connections", len(key_set(router.ns)))
    before = set(key_set(router.ns))
    sport = 1024
    for size in SIZES:
        # The resize runs while frames wait in the router's backlog and others follow at once.
        child = os.fork()
        if not child:
            for _ in range(10 if BRIEF else 30):
                write(f"{PARAMETERS}/hashsize", size + 512 * dice.randrange(4))
            write(f"{PARAMETERS}/hashsize", size)
            os._exit(0)
        sent = 0
        while os.waitpid(child, os.WNOHANG)[0] == 0:
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
    equal(statistics(router.ns)["insert_failed"], 0, "no insertion failed")


main(scenario)
