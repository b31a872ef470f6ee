# SPDX-License-Identifier: GPL-2.0
"""What the workers of a soak and the process that looks after them tell each other, in shared memory."""

import contextlib
import mmap
import os
import signal
import struct
import time
import traceback

from lib import diag

# Commands to all.
GO, HOLD, STOP = 0, 1, 2
# Of each process: steps done, whether it stands still.
ROOM = struct.calcsize("=QQ")
# How many sessions there are room for; each has when it was last heard of, in milliseconds.
SESSIONS = 64
# After how many seconds of silence a session counts as dead.
SILENCE = 150


class Stopped(Exception):
    """Told to stop."""


class Board:
    """Shared memory: a command, a row for each process, a time for each session."""

    def __init__(self, names):
        self.names = names
        self.memory = mmap.mmap(-1, 64 + ROOM * len(names) + 8 * SESSIONS + 8)
        self.times = 64 + ROOM * len(names)
        self.mine = None

    def _get(self, at):
        return struct.unpack_from("=Q", self.memory, at)[0]

    def _set(self, at, value):
        struct.pack_into("=Q", self.memory, at, value)

    def _row(self, name):
        return 64 + ROOM * self.names.index(name)

    # ------------------------------------------------------------------------------ for a worker

    def tick(self):
        """One more step is done."""
        row = self._row(self.mine)
        self._set(row, self._get(row) + 1)

    def wanted(self):
        """Whether a worker is to stand still, or to stop."""
        return self._get(0) != GO

    def step(self):
        """Waits while all are to stand still, and ends the worker when it is to stop; if not, one more step is done."""
        row = self._row(self.mine)
        while self._get(0) == HOLD:
            self._set(row + 8, 1)
            time.sleep(0.05)
        self._set(row + 8, 0)
        if self._get(0) == STOP:
            raise Stopped
        # Not before: to be stopped is no deed.
        self.tick()

    def fork(self, name, work, *arguments):
        """Has a process do work until it is told to stop."""
        self._set(0, GO)
        self._set(self._row(name) + 8, 0)
        child = os.fork()
        if child:
            return child
        status = 1
        try:
            self.mine = name
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)
            with contextlib.suppress(Stopped):
                while True:
                    self._go_on(work, *arguments)
            status = 0
        except BaseException:
            diag(f"{name}: {traceback.format_exc()}")
        finally:
            os._exit(status)

    def _go_on(self, work, *arguments):
        """Works until the kernel refuses what the worker does not expect to be refused: where an allocation fails
        (`memory`), opening a file or a socket may. It begins anew, unless it has not come one step further."""
        before = self.steps()[self.mine]
        try:
            work(self, *arguments)
        except OSError as error:
            if self.steps()[self.mine] == before:
                raise
            diag(f"{self.mine} begins anew: {error!r}")

    # ---------------------------------------------------------------------- for the process above them

    def steps(self):
        return {name: self._get(self._row(name)) for name in self.names}

    def moving(self, workers):
        """Which of some workers do not stand still."""
        return [name for name in workers if not self._get(self._row(name) + 8)]

    def hold(self, workers, seconds, meanwhile):
        """Has workers stand still; returns the workers that do not."""
        self._set(0, HOLD)
        deadline = time.monotonic() + seconds
        while self.moving(workers) and time.monotonic() < deadline:
            time.sleep(0.1)
            meanwhile()
        moving = self.moving(workers)
        if moving:
            self.let_go()
        return moving

    def let_go(self):
        self._set(0, GO)

    def stop(self):
        self._set(0, STOP)

    # -------------------------------------------------------------------------------------- sessions

    def heard(self, session):
        self._set(self.times + 8 * session, int(time.monotonic() * 1000))

    def closed(self, session):
        self._set(self.times + 8 * session, 0)

    def breaks(self):
        """A session has ended that should not."""
        at = self.times + 8 * SESSIONS
        self._set(at, self._get(at) + 1)

    def broken(self):
        return self._get(self.times + 8 * SESSIONS)

    def sessions_late(self):
        """Which sessions were not heard of for too long."""
        now = time.monotonic() * 1000
        times = [self._get(self.times + 8 * number) for number in range(SESSIONS)]
        return [number for number, heard in enumerate(times) if heard and now - heard > SILENCE * 1000]
