# SPDX-License-Identifier: GPL-2.0
"""packetdrill.py plays a script that is right to its end, and ends with an error at the line of one that is wrong.

Each script talks to the kernel that this runs on, in a network namespace of its own; no tracker is needed.
"""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

PLAYER = Path(__file__).resolve().parent / "packetdrill.py"

RIGHT = """\
// A server that is sent a hundred bytes, and answers with fifty.
+0 `test -e /proc/sys/net/ipv4`
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 10) = 0
+0 < S 7:7(0) win 32792 <mss 1000,nop,nop,TS val 1 ecr 0>
+0 > S. 0:0(0) ack 8 <mss 1460,nop,nop,TS val 100 ecr 1>
+.01 < . 1:1(0) ack 1 win 65535 <nop,nop,TS val 2 ecr 100>
+0 accept(3, ..., ...) = 4
+0 < P. 1:101(100) ack 1 win 257 <nop,nop,TS val 3 ecr 100>
+0 > . 1:1(0) ack 101 <nop,nop,TS val 110 ecr 3>
+0 read(4, ..., 101) = 100
+0 write(4, ..., 50) = 50
+0 > P. 1:51(50) ack 101 <nop,nop,TS val 110 ecr 3>
+0 < R. 101:101(0) ack 51 win 257
+.01 read(4, ..., 101) = -1 ECONNRESET (Connection reset by peer)
+0 close(4) = 0
"""

MORE = """\
--mss=1000

`test -e /proc/sys/net/ipv4 &&
    test -n "$PACKETDRILL_PID"`
0 socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3
+0 fcntl(3, F_GETFL) = 0x802 (flags O_RDWR|O_NONBLOCK)
+0 fcntl(3, F_SETFL, O_RDWR) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 10) = 0
+0...0.100 accept(3, ..., ...) = 4
+.1 < S 7:7(0) win SOME <mss 1000,nop,nop,sackOK>
* > S. 0:0(0) ack 8 <...>
+0 < . 1:1(0) ack 1 win 257
+.01 < . 11:21(10) ack 1 win 257
+0 > . 1:1(0) ack 1 <nop,nop,sack 11:21>
+0 %{ assert tcpi_unacked == 0, \\
      tcpi_unacked }%
+0 send(4, ..., 50, MSG_EOR) = 50
+0 > P. 1:51(50) ack 1 <nop,nop,sack 11:21>
+0 < . 1:11(10) ack 1 win 257 <nop,nop,sack 41:51>
+0 > . 51:51(0) ack 21
+0 < R. 21:21(0) win 257
+.01 getsockopt(4, SOL_SOCKET, SO_ERROR, [104], [4]) = 0
+0 close(4) = 0
+0 close(3) = 0
// Another connection.
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 10) = 0
+0 < S 70:70(0) win 32792 <mss 1000>
+0 > S. 0:0(0) ack 71 <mss 1460>
+0 < R 1:1(0) win 32792
"""

# What is wrong|what of the script|is replaced by|what is said.
WRONG = """\
a segment that does not come|close(4) = 0|> R. 51:51(0) ack 101|it does not come
another acknowledgement|(0) ack 101|(0) ack 102|. 1:1(0) ack 101
another number|> P. 1:51(50)|> P. 2:52(50)|P. 1:51(50) ack 101
another flag|> P. 1:51(50)|> . 1:51(50)|P. 1:51(50) ack 101
shorter|> P. 1:51(50)|> P. 1:50(49)|P. 1:51(50) ack 101
longer|> P. 1:51(50)|> P. 1:52(51)|it does not come
another option|<mss 1460,|<mss 1461,|mss 1460
one option less|<mss 1460,nop,nop,TS val 100 ecr 1>|<mss 1460>|mss 1460,nop,nop
another echo|TS val 110 ecr 3|TS val 110 ecr 4|TS 110 3
an echo of what was not sent|TS val 3 ecr 100|TS val 3 ecr 101|it echoes a timestamp that did not come
another window|ack 101 <nop|ack 101 win 1 <nop|. 1:1(0) ack 101
too early|+0 > S.|+.5 > S.|too early
another value|= 100|= 99|returned (100, None)
another error|ECONNRESET|EAGAIN|returned (-1, 'ECONNRESET')
a command that fails|test -e|test ! -e|status 1
no acknowledgement|S. 0:0(0) ack 8|S. 0:0(0)|length or ack do not fit
another language|close(4) = 0|epoll_create(1) = 5|not of the language
"""


def play(script, *options):
    """Plays it; returns status, and what was said."""
    with tempfile.NamedTemporaryFile("w", suffix=".pkt") as file:
        file.write(script)
        file.flush()
        done = subprocess.run(
            ["unshare", "--net", str(PLAYER), *options, file.name],
            env=dict(os.environ, SLOW="0.5"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
    return done.returncode, done.stdout


@unittest.skipUnless(Path("/dev/net/tun").exists(), "this machine has no tun devices")
class Packetdrill(unittest.TestCase):
    def test_right(self):
        self.assertEqual(play(RIGHT), (0, ""))

    def test_right_ipv6(self):
        self.assertEqual(play(RIGHT, "--ip_version=ipv6", "--mtu=1520"), (0, ""))

    def test_more_of_the_language(self):
        self.assertEqual(play(MORE, "-D", "SOME=32792"), (0, ""))
        for old, new in ("sack 11:21", "sack 11:20"), ("[104]", "[110]"), ("0x802", "0x2"):
            self.assertEqual(play(MORE.replace(old, new), "-D", "SOME=32792")[0], 1, old)

    def test_what_is_sent_again_is_passed_over(self):
        late = "+.6 < . 101:101(0) ack 51 win 257 <nop,nop,TS val 4 ecr 110>\n"
        end = "+0 close(4) = 0\n+0 > F. 51:51(0) ack 101 <nop,nop,TS val 120 ecr 4>\n"
        self.assertEqual(play(RIGHT[: RIGHT.index("+0 < R.")] + late + end), (0, ""))

    def test_another_window_is_warned_of(self):
        status, said = play(RIGHT.replace("ack 101 <nop", "ack 101 win 1 <nop", 1), "--non_fatal=packet")
        self.assertEqual(status, 0)
        self.assertIn("warning: . 1:1(0) ack 101 win 1", said)


def wrong(old, new, complaint):
    def test(self):
        self.assertIn(old, RIGHT)
        status, said = play(RIGHT.replace(old, new, 1))
        self.assertEqual(status, 1)
        self.assertIn(complaint, said)

    return test


for row in WRONG.splitlines():
    what, *columns = row.split("|")
    setattr(Packetdrill, f"test_{what}", wrong(*columns))
