# SPDX-License-Identifier: GPL-2.0
"""Set-up that cannot go on: it says why, in one line, and leaves nothing that a later run trusts.

Each case runs setup.sh with a cache of its own, a tmpfs that is gone with the case. The machine has been set up before
(mmdebstrap is there).
"""

import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

SETUP = Path(__file__).resolve().parent / "setup.sh"
# What an earlier set-up may have left when the machine went down.
STALE = "root-000000000000.new"
# A refusal that takes longer than this hangs; what is downloaded before the disk is full takes a minute.
PATIENCE = 300
PIPES = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}


def command(cache, options, unshare):
    """setup.sh root with its cache on a tmpfs of those options, in namespaces of its own."""
    line = (
        f"mount -t tmpfs -o {options} cache {cache} && mkdir {cache}/{STALE} && "
        # What it left, seen from in here, as the tmpfs is gone with the namespace.
        f'trap "echo LEFT: \\$(ls {cache})" EXIT; RUST_CT_CACHE={cache} {unshare} bash {shlex.quote(str(SETUP))} root'
    )
    return ["unshare", "--mount", "--propagation", "private", "bash", "-c", line]


def processes(cache):
    """The processes that name the cache on their command line."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(cache) in words and file.parent.name != str(os.getpid()):
            found.append(words)
    return found


class SetUp(unittest.TestCase):
    """The ways in which a person's set-up ends early."""

    def setUp(self):
        self.cache = self.enterContext(tempfile.TemporaryDirectory(prefix="rust-ct-set-up-"))

    def refused(self, says, options="size=9g", unshare=""):
        """Runs set-up, which has to fail with that line as its last, and to have made nothing."""
        done = subprocess.run(
            command(self.cache, options, unshare),
            **PIPES, timeout=PATIENCE, check=False,
        )
        *lines, left = done.stdout.splitlines()
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertRegex(lines[-1], f"^error: .*{says}", done.stdout)
        self.assertEqual([line for line in lines[:-1] if line.startswith("error: ")], [], "one line says it")
        self.nothing_to_trust(left)
        return done.stdout, left

    def nothing_to_trust(self, left):
        """What is complete has its hash as its name; what is not, .new behind it."""
        self.assertRegex(left, "^LEFT: ?")
        final = re.compile("(root|stock|cloud|rt|debug|rtdebug|kcsan|uml|umldebug)-[0-9a-f]{12}")
        complete = [name for name in left.split()[1:] if final.fullmatch(name)]
        self.assertEqual(complete, [], left)

    def test_not_root(self):
        # A user without a name in the namespace: 65534.
        self.refused("needs root: run it as root", unshare="unshare --user")

    def test_no_network(self):
        left = self.refused("does not answer for .*: is the network up", unshare="unshare --net")[1]
        self.assertNotIn(STALE, left, "what an earlier one left is gone")

    def test_no_disk(self):
        self.refused("root needs 8 GB in .*only 0 GB are free: make room, or set RUST_CT_CACHE", options="size=100m")

    def test_disk_full_on_the_way(self):
        # Room enough, but not for so many files.
        text, _ = self.refused("Debian base system failed .*the whole log: ", options="size=9g,nr_inodes=1500")
        self.assertIn("No space left on device", text)

    def test_interrupted(self):
        with subprocess.Popen(
            command(self.cache, "size=9g", ""),
            **PIPES, start_new_session=True,
            # Where the tests run in the background, the signal is ignored, and bash leaves it at that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as run:
            for line in run.stdout:
                if "Debian base system" in line:
                    break
            time.sleep(3)
            self.assertTrue(processes(self.cache), "it works")
            # As control-C does to all in the foreground.
            os.killpg(run.pid, signal.SIGINT)
            rest = run.communicate(timeout=60)[0]
        self.nothing_to_trust(rest.splitlines()[-1])
        deadline = time.monotonic() + 20
        while processes(self.cache) and time.monotonic() < deadline:
            time.sleep(0.2)
        self.assertEqual(processes(self.cache), [], "nobody works on")


if __name__ == "__main__":
    unittest.main()
