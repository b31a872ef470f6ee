# SPDX-License-Identifier: GPL-2.0
"""Sessions through a router that is not attacked, on the machine where everything else happens: they go on all along,
also while the tracker is loaded and unloaded."""

import os
import select
import signal
import socket
import subprocess
import time

from lib import (
    client_router_server,
    diag,
    inside,
    make_socket,
    run,
)

CLIENT, ROUTER, SERVER = "keep-c", "keep-r", "keep-s"
ENDS = (("10.1.0.2", "10.2.0.2"), ("fd01::2", "fd02::2"))
# Of each family. Sessions of UDP send again when nothing comes back.
TCP, UDP = 4, 2
# What a firewall in front of servers has, but for what begins in the middle: the tracker was loaded meanwhile.
RULES = """table inet keep {{
  chain through {{ type filter hook forward priority 0; policy drop;
    ct state invalid counter drop
    ct state established,related counter accept
    ct state new {mark} counter accept
  }}
}}
"""


class Pair:
    """Two ends: the near end says something, the far end says the same."""

    def __init__(self, number, near, far, stream):
        self.number, self.near, self.far, self.stream = number, near, far, stream
        self.turn, self.sent, self.got, self.since = 0, b"", b"", 0.0
        for end in (near, far):
            end.setblocking(False)

    def say(self):
        self.turn += 1
        length = 1 + (self.turn * 997) % (3000 if self.stream else 1000)
        self.sent, self.got = (b"%08d" % self.turn * (length // 8 + 1))[:length], b""
        self.again()

    def again(self):
        """Says it; a datagram may get lost at once."""
        self.since = time.monotonic()
        try:
            self.near.send(self.sent)
        except OSError:
            if self.stream:
                raise

    def hear(self):
        """Takes what came back; returns whether that is all."""
        data = self.near.recv(65536)
        if self.stream:
            if not data:
                raise ConnectionError("closed")
            self.got += data
            if not self.sent.startswith(self.got):
                raise ConnectionError("other bytes came back")
        elif data == self.sent:
            self.got = data
        return self.got == self.sent

    def echo(self):
        data = self.far.recv(65536)
        if not data and self.stream:
            raise ConnectionError("closed")
        self.far.sendall(data)


def tcp_pair(number, home, away):
    with make_socket(SERVER, away, 7000 + number, socket.SOCK_STREAM) as listener:
        listener.listen()
        near = make_socket(CLIENT, home, 0, socket.SOCK_STREAM)
        near.connect((away, 7000 + number))
        far, _ = listener.accept()
    return Pair(number, near, far, True)


def udp_pair(number, home, away):
    near, far = make_socket(CLIENT, home), make_socket(SERVER, away, 7000 + number)
    near.connect(far.getsockname())
    far.connect(near.getsockname())
    return Pair(number, near, far, False)


def talk(board, pairs):
    """Each pair has a turn every half second."""
    ends = {end.fileno(): (pair, end is pair.near) for pair in pairs for end in (pair.near, pair.far)}
    waits = select.poll()
    for fileno in ends:
        waits.register(fileno, select.POLLIN)
    due, alive = {pair: 0.0 for pair in pairs}, set(pairs)

    def over(pair, error):
        """A datagram's socket hears of errors that it can live with; a stream does not."""
        if isinstance(error, BlockingIOError) or not pair.stream or pair not in alive:
            return
        diag(f"session {pair.number}, turn {pair.turn}: {error}")
        board.breaks()
        board.closed(pair.number)
        alive.discard(pair)
        for end in (pair.near, pair.far):
            waits.unregister(end.fileno())

    while True:
        now = time.monotonic()
        for pair in list(alive):
            try:
                if due.get(pair, now + 1) <= now:
                    del due[pair]
                    pair.say()
                elif not pair.stream and pair not in due and now > pair.since + 2:
                    pair.again()
            except OSError as error:
                over(pair, error)
        for fileno, _ in waits.poll(200):
            pair, near = ends[fileno]
            try:
                if not near:
                    pair.echo()
                elif pair.hear() and pair not in due:
                    board.heard(pair.number)
                    board.tick()
                    due[pair] = time.monotonic() + 0.5
            except OSError as error:
                over(pair, error)


class Sessions:
    """The sessions, in a process of their own, and pings beside them, which are not counted."""

    def __init__(self, board):
        client_router_server(CLIENT, ROUTER, SERVER)
        pairs = []
        for home, away in ENDS:
            pairs += [tcp_pair(len(pairs) + n, home, away) for n in range(TCP)]
            pairs += [udp_pair(len(pairs) + n, home, away) for n in range(UDP)]
        for pair in pairs:
            board.heard(pair.number)
        self.child = os.fork()
        if not self.child:
            board.mine = "sessions"
            status = 1
            try:
                talk(board, pairs)
            except BaseException as error:
                diag(f"sessions: {error!r}")
                board.breaks()
            finally:
                os._exit(status)
        with inside(CLIENT):
            self.ping = subprocess.Popen(["ping", "-q", "-i", "0.5", ENDS[0][1]], stdout=subprocess.DEVNULL)

    def rules(self, dice):
        """A firewall, of what the kernel has."""
        run("nft", "-f", "-", ns=ROUTER, text=RULES.format(mark=dice.choice(("", "ct mark set 5", "ct mark 0"))))

    def no_rules(self):
        run("nft", "flush", "ruleset", ns=ROUTER, must=False)

    def end(self):
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
        self.ping.kill()
        self.ping.wait()
