# SPDX-License-Identifier: GPL-2.0
"""Allocations fail while everything is used: what is lost is packets, never memory or the machine.

Needs a kernel with failslab, the debug one: KASAN, lockdep and kmemleak look on.
"""

# limit: 300

import collections
import contextlib
import ctypes
import errno
import itertools
import os
import random
import socket

from failslab import FAILSLAB, failing, failing_nth, one_by_one

from lib import CLONE_NEWNET, PARAMETERS, RUST, SLOW, check, diag, equal, grown, hosts, load, main, make_socket, named_counters, poll, read, run, skip, times, unload

HOME, AWAY = "rct-home", "rct-away"
RULES = """table inet rct {
  ct helper rct-ftp { type "ftp" protocol tcp; }
  chain pre { type filter hook prerouting priority -100; tcp dport 2121 ct helper set "rct-ftp"; ct mark set 7; }
  chain in { type filter hook input priority 0; ct state established,related accept; ct label 3 counter; }
}"""


def each_allocation(what, samples, call, undo=lambda: None, ours=True):
    """Makes each of the allocations of a call fail, or as many as that: it fails or copes, and can be done afterwards.

    With what it fails is looked at where the call is ours.
    """
    many = 1_000_000
    with one_by_one() as file:
        error, left = failing_nth(file, many, call)
        if not check(not error, f"{what} works", errno.errorcode.get(error)):
            return
        undo()
        total = many - left
        numbers = random.sample(range(1, total + 1), min(samples, total))
        errors = collections.Counter()
        for number in numbers:
            error, _ = failing_nth(file, number, call)
            errors[errno.errorcode.get(error, "none")] += 1
            if not error:
                undo()
    diag(f"{what}: {total} allocations, of which {len(numbers)} failed: {dict(errors)}")
    if ours:
        good = errors["ENOMEM"] and set(errors) <= {"ENOMEM", "none"}
        check(good, f"{what} without memory fails for that reason, or copes", errors)
    else:
        check(set(errors) - {"none"}, f"{what} fails without memory, or copes here and there", errors)
    check(not call(), f"afterwards {what} works")
    undo()


LIBC = ctypes.CDLL(None, use_errno=True)


def waiting():
    """What may sleep for memory, and gets none: a new namespace, another size of the table.

    Loading the module is not among them: the kernel itself prints a stack when a slab cache can not be made.
    """
    load("hashsize=1024")
    home = os.open("/proc/self/ns/net", os.O_RDONLY)

    def unshare():
        return ctypes.get_errno() if LIBC.unshare(CLONE_NEWNET) else 0

    # Nearly all of it is the kernel's own code, parts of which have other words than ENOMEM.
    each_allocation("a new namespace", 30, unshare, lambda: os.setns(home, CLONE_NEWNET), ours=False)
    os.close(home)

    size = os.open(f"{PARAMETERS}/hashsize", os.O_WRONLY)
    sizes = itertools.cycle((b"2048", b"1024"))

    def resize():
        try:
            os.pwrite(size, next(sizes), 0)
        except OSError as error:
            return error.errno
        return 0

    # Some twenty, of which few must not fail.
    each_allocation("another size of the table", 100, resize)
    os.close(size)


def session(port, lines, patience=0.5):
    """A control connection that says some lines; what fails, or takes longer, fails."""
    with contextlib.suppress(OSError):
        listener = make_socket(HOME, "10.1.0.1", port, socket.SOCK_STREAM)
        listener.listen()
        listener.settimeout(patience)
        client = make_socket(AWAY, "10.1.0.2", 0, socket.SOCK_STREAM)
        client.settimeout(patience)
        try:
            client.connect(("10.1.0.1", port))
            served, _ = listener.accept()
            served.settimeout(patience)
            served.sendall(b"220 hello\r\n")
            # A helper reads from the second segment on, where it knows that a line begins.
            for line in [b"USER me\r\n", *lines]:
                client.sendall(line)
                served.recv(4096)
            served.close()
        finally:
            client.close()
            listener.close()


def datagrams(number):
    """So many flows of one packet each."""
    sender = make_socket(AWAY, "10.1.0.2")
    for _ in range(number):
        with contextlib.suppress(OSError):
            sender.sendto(b"x", ("10.1.0.1", random.randrange(1024, 65536)))
    sender.close()


def short_of_memory(rounds):
    """Sessions, flows, rules and listings, of whose allocations one in five fails."""
    with failing(20):
        for _ in range(rounds):
            port = random.randrange(1024, 65536)
            session(2121, [f"PORT 10,1,0,2,{port >> 8},{port & 255}\r\n".encode() for _ in range(4)])
            datagrams(50)
            run("nft", "flush", "ruleset", ns=AWAY, must=False)
            run("nft", "-f", "-", ns=AWAY, text=RULES, must=False)
            with contextlib.suppress(OSError):
                read("/proc/net/nf_conntrack", HOME)
                read("/proc/net/nf_conntrack_expect", HOME)
        run("ip", "netns", "add", "rct-more", must=False)
        run("ip", "netns", "delete", "rct-more", must=False)


def scenario():
    if not os.path.isdir(FAILSLAB):
        skip("allocations fail", "this kernel has no failslab")
        return
    seed = int.from_bytes(os.urandom(4), "little")
    random.seed(seed)
    diag(f"seed {seed}")
    if RUST:
        waiting()
    hosts(HOME, AWAY)
    load(*(["helpers=ftp:2121"] if RUST else []))
    run("nft", "-f", "-", ns=HOME, text=RULES)
    before = named_counters(HOME) if RUST else {}
    after = {}
    # Where ARP finds no memory nothing arrives for a while: then it is tried again.
    for _ in range(4):
        short_of_memory(times(40))
        if RUST:
            after = grown(before, named_counters(HOME))
            diag(after)
        if not RUST or after.get("drop", 0) > 0:
            break
    if RUST:
        check(after.get("drop", 0) > 0, "some packets found no memory", after)

    def announced():
        session(2121, [b"PORT 10,1,0,2,100,1\r\n"], 5 * SLOW)
        return "dport=25601" in read("/proc/net/nf_conntrack_expect", HOME)

    check(poll(announced, 20), "afterwards all is as before", read("/proc/net/nf_conntrack", HOME))
    for ns in (HOME, AWAY):
        run("nft", "flush", "ruleset", ns=ns)
    unload()
    equal(poll(lambda: not os.path.exists("/proc/net/nf_conntrack_expect"), 10), True, "the tracker goes, and nothing of it is left")


main(scenario)
