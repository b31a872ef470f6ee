#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Everything that can be done to the tracker, all at once, from a seed; what must hold is looked at all along.

Run as root in a guest, by scripts/test/soak.sh. Documentation/trust.md says what runs and what is looked at.

MINUTES   how long (default 10)
SEED      of all that is drawn (default: a new one, printed)
WITHOUT   workers that are left out, by their names
CT, RUST_CT_KO, SLOW, FULL  as in tests/scenarios/run.py

The last line is 'N passed, N failed'; each check that failed has a line `not ok` of its own.
"""

import os
import random
import re
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scenarios"))
sys.path.insert(0, str(HERE.parents[1] / "scripts/guest"))
from netlink import CT_GET, CTA_TUPLE_MASTER, CTA_TUPLE_ORIG, CTNETLINK, dump, tuple_of  # noqa: E402
from scan_console import complaints  # noqa: E402
from sessions_alive import Sessions  # noqa: E402
from shared import Board, Stopped  # noqa: E402
from workers import ATTACKED, FORWARDED, WORKERS, drop_nets, make_nets  # noqa: E402

from lib import (  # noqa: E402
    CT,
    PARAMETERS,
    RUST,
    SLOW,
    all_marks,
    count,
    diag,
    drop_namespaces,
    equal,
    listing,
    load,
    log_mark,
    log_since,
    poll,
    read,
    run,
    unload,
)

MINUTES = float(os.environ.get("MINUTES", "10"))
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
WITHOUT = os.environ.get("WITHOUT", "").split()
# Seconds for which the tracker stays loaded, and after which all stand still for what must hold then.
EPOCH, LOOK = 60 * SLOW, 20 * SLOW


def ended_child(child):
    """The child and its status, if it has ended."""
    done = os.waitpid(child, os.WNOHANG)
    return done if done[0] else None


def slabs():
    """The tracker's slabs."""
    return [line.split()[0] for line in read("/proc/slabinfo").splitlines() if re.match("rust_ct|nf_conntrack", line)]


def masters(ns):
    """How many connections there are at least, and at most, that are over and still counted, as a connection in the
    listing was announced by them."""
    entries = dump(ns, CTNETLINK, CT_GET)
    listed = {tuple_of(entry[CTA_TUPLE_ORIG]) for entry in entries}
    of = [tuple_of(entry[CTA_TUPLE_MASTER]) for entry in entries if CTA_TUPLE_MASTER in entry]
    # Another connection may have the tuple of a connection that is over.
    return len(set(of) - listed), len(of)


def few_uses(entries):
    """Whether entries are held no more than once each by others: an entry that an expectation made holds its master."""
    uses = [int(entry.tail["use"]) for entry in entries if "use" in entry.tail]
    # An entry that is not used has the fewest.
    return sum(uses) - min(uses, default=0) * len(uses) <= len(uses)


class Soak:
    """One run."""

    def __init__(self):
        self.began = time.monotonic()
        self.until = self.began + 60 * MINUTES
        self.passed = self.failed = self.epochs = 0
        self.names = [name for name in WORKERS if name not in WITHOUT]
        self.board = Board([*self.names, "sessions"])
        self.children = {}
        self.said = self.began
        self.mark = log_mark("soak starts")

    # ---------------------------------------------------------------------------------- what is looked at

    def check(self, truth, what, why=""):
        """One check: only what does not hold has a line, with the seed of the epoch."""
        self.passed += bool(truth)
        self.failed += not truth
        if not truth:
            print(f"not ok - epoch {self.epochs}, {self.minutes():.1f} min: {what}", flush=True)
            diag(why)
        return truth

    def minutes(self):
        return (time.monotonic() - self.began) / 60

    def progress(self, now=False):
        """A line each minute."""
        if not now and time.monotonic() < self.said + 60:
            return
        self.said = time.monotonic()
        done = " ".join(f"{name} {steps}" for name, steps in self.board.steps().items())
        checked = f"{self.passed} passed, {self.failed} failed"
        print(f"# {self.minutes():.1f} min, epoch {self.epochs}, {checked}: {done}", flush=True)

    def look(self):
        """What must hold while everything goes on."""
        for name, child in list(self.children.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                del self.children[name]
                self.check(False, f"the worker {name} goes on", f"status {status}")
        late, broken = self.board.sessions_late(), self.board.broken()
        self.check(not late and not broken, "each established session is alive", f"{late} late, {broken} broken")
        try:
            found = complaints(log_since(self.mark))
        except RuntimeError:
            found = []  # it was too much for the log; the console is read afterwards
        self.check(not found, "the kernel does not complain", "\n".join(found))
        self.mark = log_mark("soak goes on")

    def look_still(self):
        """What must hold while nothing goes on in the namespaces that are attacked."""
        moving = self.board.hold(list(self.children), 60 * SLOW, self.progress)
        if not self.check(not moving, "every worker stands still when told to", moving):
            return
        for ns in (ATTACKED, FORWARDED):
            entries, seen = [], []

            def agree():
                entries[:] = listing(ns, "/proc/net/nf_conntrack")
                seen[:] = [count(ns), len(entries), *masters(ns)]
                return seen[2] <= seen[0] - seen[1] <= seen[3]

            agreed = poll(agree, 20, 1)
            if not agreed:
                # A master's master that is over is counted as well, until nothing listed leads to it.
                diag(f"{ns}: {seen}, flushed")
                run("conntrack", "-F", ns=ns)
                agreed = poll(agree, 20, 1)
            self.check(agreed, f"{ns}: what is counted is what is listed, or a master of it", seen)
            # Packets on their way hold entries as well, but not for long.
            held = poll(lambda: few_uses(listing(ns, "/proc/net/nf_conntrack")), 20, 1)
            self.check(held, f"{ns}: an entry is held by what is known to use it", [one.line for one in entries[:50]])
        self.board.let_go()

    # -------------------------------------------------------------------------------------------- epochs

    def epoch(self, sessions):
        """Loads the tracker, has all workers at it, unloads it."""
        dice = random.Random(f"{SEED} {self.epochs}")
        parameters = [f"hashsize={dice.choice((256, 1024, 4096, 16384))}"]
        if RUST:
            parameters += dice.choice(([], ["max=3000"], ["max=20000"], ["total=20000"], ["adaptive_start=60"]))
        diag(f"epoch {self.epochs}: {' '.join(parameters)}")
        load(*parameters)
        sessions.rules(dice)
        make_nets()
        for name in self.names:
            self.children[name] = self.board.fork(name, WORKERS[name], random.Random(f"{SEED} {self.epochs} {name}"))
        end = min(time.monotonic() + EPOCH, self.until)
        looked = time.monotonic()
        while time.monotonic() < end:
            time.sleep(1)
            self.progress()
            if time.monotonic() > looked + LOOK or time.monotonic() > end - 2:
                self.look()
                self.look_still()
                looked = time.monotonic()
        self.end_workers()
        self.leave(sessions)

    def end_workers(self):
        self.board.stop()
        for name, child in self.children.items():
            ended, status = poll(lambda: ended_child(child), 60, 0.2) or (0, 0)
            if not ended:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            self.check(ended and not status, f"the worker {name} ends when told to", f"status {status}")
        self.children = {}

    def leave(self, sessions):
        """The tracker goes, and nothing of it is left."""
        sessions.no_rules()
        drop_nets()
        drop_namespaces()
        status, output = unload(must=False, seconds=30)
        if not self.check(status == 0, "the tracker is unloaded", output):
            raise Stopped
        self.check(poll(lambda: not slabs(), 10), "no object of it is left", slabs())
        self.check(not os.path.exists(PARAMETERS), "nothing of it is left in /sys")
        self.look()

    def run(self):
        diag(f"soak: {CT}, kernel {os.uname().release}, {os.cpu_count()} CPUs, {MINUTES:g} minutes, SEED={SEED}")
        run("modprobe", "-qa", "nf_defrag_ipv4", "nf_defrag_ipv6", must=False)
        sessions = Sessions(self.board)
        try:
            while time.monotonic() < self.until:
                self.epochs += 1
                self.epoch(sessions)
        except Stopped:
            pass
        finally:
            sessions.end()
            self.progress(now=True)
        done = self.board.steps()
        # In less an emulated kernel may not have come to a worker's first step.
        if MINUTES >= 10:
            for name in self.names:
                self.check(done[name], f"the worker {name} has done something")
        drop_namespaces("keep-")
        equal(self.failed, 0, f"{self.minutes():.1f} minutes from SEED={SEED}, {self.epochs} epochs: everything held")
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return self.failed != 0


if __name__ == "__main__":
    all_marks()
    sys.exit(Soak().run())
