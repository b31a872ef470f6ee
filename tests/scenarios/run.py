#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs the scenarios as root in the guest and prints TAP: every check is a line of its own.

    run.py [--list] [scenario ...]

CT          rust_ct (default), or nf_conntrack to see whether the scenarios are right
RUST_CT_KO  the module's file, for CT=rust_ct
IN_PLACE_KO the same module, built as nf_conntrack.ko, or nothing
INDICES     what depmod made of the modules with IN_PLACE_KO (scripts/test/indices.sh), or nothing: it runs here
SLOW        whole factor for every time limit (default 1: the stock kernel under TCG)
FULL        1 does everything as often on a slow kernel as on a fast one (default: a quarter)
SHORT       stock or debug: leaves out what CI leaves out on that kernel, and repeats half as often with FULL=1; on
            debug without FULL=1 it does each kind of thing once (default: all)
KEEP_GOING  0 stops after the first scenario that fails (default 1)

A scenario is a file here, NAME.py; the line `# limit: SECONDS` in it is its time limit. A line
`# left out of CI on: stock, debug` names the kernels on which CI has no time for it.
It prints `ok - what`, `not ok - what`, `ok - what # SKIP why`, and as its last line `# end`.
After each scenario its namespaces and the tracker are removed and the kernel's log is searched.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from lib import CT, RUST, all_marks, diag, drop_namespaces, log_mark, log_since, run, unload

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "scripts/guest"))
from scan_console import COMPLAINTS, without_races_of_others  # noqa: E402

SLOW = int(os.environ.get("SLOW", "1"))
# What no scenario may leave in the kernel's log.
COMPLAINT = re.compile("|".join([*COMPLAINTS, "RIP:", "INFO: "]))


class Tap:
    """The checks of all scenarios, numbered."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def line(self, name, text):
        """One line of a scenario: a check is numbered and counted, the rest is passed on."""
        match = re.match("(ok|not ok) - (.*)", text)
        if not match:
            print(text if text.startswith("#") else f"# {text}", flush=True)
            return
        if match[1] == "not ok":
            self.failed += 1
        elif " # SKIP " in text:
            self.skipped += 1
        else:
            self.passed += 1
        print(f"{match[1]} {self.number()} - {name}: {match[2]}", flush=True)

    def number(self):
        return self.passed + self.failed + self.skipped


def limit_of(file):
    """A scenario's time limit in seconds; None for a file that is no scenario."""
    found = re.search("^# limit: ([0-9]+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return int(found[1]) * SLOW if found else None


def is_left_out(file):
    """Whether CI has no time for a scenario on this kernel, and this is CI."""
    found = re.search("^# left out of CI on: (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return found and os.environ.get("SHORT") in found[1].split(", ")


def uptime():
    """Seconds that the machine has been up."""
    return float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])


def clean_up():
    """Takes away what a scenario left; returns what went wrong."""
    try:
        drop_namespaces()
        unload()
    except RuntimeError as error:
        return str(error)
    return None


def kernel_complaints(mark):
    """The kernel's complaints since the mark, with what follows each of them."""
    try:
        lines = log_since(mark)
    except RuntimeError:
        # Races of others have filled it: all that is left came after the mark. The console is read afterwards.
        lines = run("dmesg")[1].splitlines()
    lines = without_races_of_others(lines)
    shown = {after for at, line in enumerate(lines) if COMPLAINT.search(line) for after in range(at, at + 41)}
    return [line for at, line in enumerate(lines) if at in shown]


def run_one(tap, file):
    name, limit, mark = file.stem, limit_of(file), log_mark(f"scenario {file.stem} starts")
    started = uptime()
    print(f"# {name}: at most {limit} s, started at {started}", flush=True)
    # The end is a line, not the end of the pipe, which servers of the scenario may still hold.
    command = ["sh", "-c", '"$@"; echo; echo "$0 $?"', mark, "timeout", "-k", "10", str(limit), sys.executable, "-B", str(file)]
    ended, status, last = False, "none", None
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for text in process.stdout:
            text = text.rstrip("\n")
            if text.startswith(f"{mark} "):
                status = text.rsplit(" ", 1)[1]
                break
            if text == "# end":
                ended = True
            elif text:
                tap.line(name, text)
    if status in ("124", "137"):
        tap.line(name, f"not ok - over within {limit} s")
    elif status != "0" or not ended:
        tap.line(name, f"not ok - ran to its end (status {status})")
    print(f"# {name}: took {uptime() - started:.0f} s", flush=True)
    for what, found in (
        ("leaves nothing behind", clean_up()),
        ("the kernel does not complain", "\n".join(kernel_complaints(mark))),
    ):
        tap.line(name, f"{'not ok' if found else 'ok'} - {what}")
        if found:
            diag(found)


def main(names, here=HERE):
    """Runs those scenarios of a directory, or all of them; returns whether any failed."""
    os.environ["PYTHONPATH"] = str(HERE)
    files = [file for file in sorted(here.glob("*.py")) if limit_of(file)]
    if names == ["--list"]:
        print(*[file.stem for file in files], sep="\n")
        return 0
    unknown = set(names) - {file.stem for file in files}
    if unknown:
        sys.exit(f"Bail out! no scenario {', '.join(unknown)}; run.py --list shows them")
    if os.getuid():
        sys.exit("Bail out! the scenarios make namespaces and load modules: run them as root, in the guest")
    if RUST and not os.access(os.environ.get("RUST_CT_KO", ""), os.R_OK):
        sys.exit("Bail out! RUST_CT_KO is no readable file; it names the module to test")
    print(f"TAP version 13\n# tracker {CT}, kernel {os.uname().release}, {os.cpu_count()} CPUs, limits times {SLOW}")
    all_marks()
    clean_up()
    tap = Tap()
    left_out = [] if names else [file for file in files if is_left_out(file)]
    for file in [here / f"{name}.py" for name in names] or files:
        if file in left_out:
            continue
        before = tap.failed
        run_one(tap, file)
        if os.environ.get("KEEP_GOING") == "0" and tap.failed > before:
            break
    if left_out:
        print("# left out, as CI has no time for them:", *[file.stem for file in left_out])
    print(f"1..{tap.number()}\n# {tap.passed} passed, {tap.failed} failed, {tap.skipped} skipped")
    return tap.failed != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
