# SPDX-License-Identifier: GPL-2.0
"""Loaded and unloaded again and again under traffic: nothing is lost on the wire, nothing is left behind."""

# limit: 900
# left out of CI on: stock

import contextlib
import glob
import itertools
import os
import re
import signal
import subprocess
import time

from lib import (
    CT,
    LISTING,
    PARAMETERS,
    RUST,
    SLOW,
    SYSCTL,
    check,
    count,
    diag,
    equal,
    hosts,
    inside,
    load,
    log_mark,
    log_since,
    main,
    make_socket,
    poll,
    read,
    remove,
    run,
    skip,
    times,
    unload,
    write,
)

ROUNDS = times(100, 6)
LEFT, RIGHT = "rct-left", "rct-right"
INSERT = ("insmod", os.environ["RUST_CT_KO"]) if RUST else ("modprobe", "nf_conntrack")


def traces(ns):
    """What of the tracker can be seen from a namespace."""
    seen = []
    with inside(ns):
        for path in ("/proc/net/nf_conntrack", "/proc/net/stat/nf_conntrack", "/proc/net/nf_conntrack_expect", "/proc/rust_ct", "/proc/rust_ct_stat", "/proc/rust_ct_expect", "/proc/rust_ct_top"):
            if os.path.lexists(path):
                seen.append(path)
        # nf_defrag_ipv6 has sysctls of its own, frag6.
        seen += [path for path in glob.glob("/proc/sys/net/netfilter/nf_conntrack*") if "_frag6_" not in path]
        seen += [path for path in ("/proc/sys/net/nf_conntrack_max",) if os.path.exists(path)]
    with open("/proc/slabinfo", encoding="ascii") as slabs:
        seen += [f"slab {line.split()[0]}" for line in slabs if re.match(r"nf_conntrack|rust_ct", line)]
    seen += [f"module {line.split()[0]}" for line in read("/proc/modules").splitlines() if line.startswith(f"{CT} ")]
    return seen


def hooks(ns):
    """The tracker's hooks, as nft lists them."""
    return [line.strip() for line in run("nft", "list", "hooks", ns=ns, must=False)[1].splitlines() if f"[{CT}]" in line]


def traffic():
    """Programs that talk all the time, over both families; returns them."""
    with inside(LEFT):
        pings = [
            subprocess.Popen(["ping", "-q", "-i", "0.02", target], stdout=subprocess.PIPE, text=True)
            for target in ("10.1.0.2", "fd01::2")
        ]
    sender, receiver = make_socket(LEFT, "10.1.0.1", 0), make_socket(RIGHT, "10.1.0.2", 2000)
    child = os.fork()
    if not child:
        receiver.setblocking(False)
        while True:
            for _ in range(20):
                with make_socket(LEFT, "10.1.0.1") as fresh:
                    fresh.sendto(b"new", ("10.1.0.2", 2000))
            time.sleep(0.02)
            try:
                while True:
                    receiver.recv(10)
            except BlockingIOError:
                pass
    sender.close()
    receiver.close()
    return pings, child


def rounds():
    """Loads, waits until it tracks, unloads; returns how often it tracked something."""
    tracked = 0
    for turn in range(ROUNDS):
        run(*INSERT, "enable_hooks=1")
        tracked += bool(poll(lambda: count(LEFT) > 0 and count(RIGHT) > 0, 10, 0.02))
        if turn == 0:
            check(traces(LEFT) and os.path.exists(LISTING), "while it is loaded it can be seen", traces(LEFT))
            found = hooks(LEFT)
            check(len(found) == 8, "its eight hooks are there", "\n".join(found))
        with inside(LEFT), open(LISTING, "rb") as half_read:
            half_read.read(10)
            status, output = run("rmmod", CT, must=False)
            if status:
                check(False, f"round {turn}: it unloads", output)
                return tracked
    return tracked


def writes(said):
    """Writes one size after another, by both names, as soon as they are there; a byte for each that was taken."""
    os.set_blocking(said, False)
    for size in itertools.cycle((512, 16384, 1024)):
        for path in (f"{PARAMETERS}/hashsize", f"{SYSCTL}/nf_conntrack_buckets"):
            with contextlib.suppress(OSError):
                write(path, size)
                os.write(said, b".")


def resized_meanwhile():
    """A process writes its size all the time while it is loaded and unloaded; the runner looks at the kernel's log."""
    what = "unloaded while its size is written"
    if not RUST:
        skip(what, "nf_conntrack.ko warns, and frees what is in use")
        return
    heard, said = os.pipe()
    child = os.fork()
    if not child:
        writes(said)
    os.close(said)
    rounds, taken = times(40, 4), 0
    for turn in range(rounds):
        run(*INSERT, "enable_hooks=1")
        # So that it goes at another moment of a resize each time.
        time.sleep(0.05 + 0.0007 * turn)
        taken += len(os.read(heard, 1 << 16))
        remove(CT)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(heard)
    check(taken >= rounds, f"{rounds} times {what}", f"written {taken} times")


def scenario():
    hosts(LEFT, RIGHT)
    # What they need stays loaded, so that only the tracker comes and goes.
    load()
    unload()
    before = traces(LEFT)
    pings, child = traffic()
    began = time.monotonic()
    mark = log_mark()
    tracked = rounds()
    diag(f"{ROUNDS} rounds in {time.monotonic() - began:.0f} s")
    equal(tracked, ROUNDS, f"{ROUNDS} times loaded, it tracked each time")
    equal(traces(LEFT), before, "nothing is left of it: proc, sysctl, slab, module")
    equal(traces(None), before, "nor in the first namespace")
    equal(hooks(LEFT), [], "no hook is left")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for ping in pings:
        ping.send_signal(signal.SIGINT)
        report = ping.communicate(timeout=10 * SLOW)[0]
        numbers = re.search(r"(\d+) packets transmitted, (\d+) received", report)
        # The last echo may still be on its way when ping ends.
        check(numbers and int(numbers[1]) - int(numbers[2]) <= 1, f"{ping.args[-1]}: no ping was lost", report)
        check(numbers and int(numbers[1]) >= ROUNDS, f"{ping.args[-1]}: there were pings all the time", report)
    if RUST:
        lines = [line for line in log_since(mark) if "rust_ct" in line]
        check(len(lines) <= 4 * ROUNDS, "the log stays readable", f"{len(lines)} lines")
    resized_meanwhile()


main(scenario)
