#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The guest's half of `make selftests`: runs scripts of the kernel's tools/testing/selftests/net/netfilter on one
tracker, and prints for each

    selftest begin NAME
    selftest end NAME VERDICT SECONDS [WHY]

VERDICT is pass, xfail (the race that the script is after did not come up), skip or fail.

    run.py DIRECTORY NAME...

DIRECTORY        has net/netfilter/ with the scripts and their built helpers; what each script says goes to
                 DIRECTORY/$CT/NAME.log
CT, RUST_CT_KO   as for the scenarios
SLOW             whole factor by which the guest is slower than a stock kernel under TCG
SELFTESTS_LIMIT  seconds for every script (default: 300, more for some; times SLOW)
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/scenarios"), str(TOP / "scripts/guest")]
from lib import CT, all_marks, drop_namespaces, insert, loaded, poll, run, unload, write  # noqa: E402
from scan_console import complaints  # noqa: E402

WORK = Path("/tmp/selftests")
# The kernel's true taint, behind what the scripts are shown.
TRUE_PROC = Path("/tmp/selftests-proc")
SLOW = int(os.environ.get("SLOW", "1"))
LIMITS = {
    **dict.fromkeys(("nft_flowtable", "nft_queue", "conntrack_resize", "net_packetdrill"), 900),
    **dict.fromkeys(("openvswitch", "wireguard"), 1200),
    **dict.fromkeys(("nft_nat", "nft_nat_zones", "nft_fib", "nft_audit", "fcnal"), 600),
    "nft_concat_range": 3600,
}
# Before seconds that a script gives a program however slow the machine is; they are multiplied.
HASTY = {
    "netfilter/ipvs": r"\btimeout |\bsleep (?=0\.)",
    "netfilter/nf_conntrack_packetdrill": "PDRILL_TIMEOUT=",
    "fcnal-test": r" -w(?=\d)",
    "forwarding/tc_actions": r"\bncat -w(?=1 )",
    "openvswitch/openvswitch": r"\bWAIT_TIMEOUT=| -w (?=\d)",
    "udpgro_fwd": r" -[CR] (?=\d)",
    "wireguard/netns": r" -W | -N 1 -t ",
}
# kselftest's exit codes.
VERDICTS = {0: "pass", 2: "xfail", 4: "skip"}
# The lines that say most.
TELLING = {"skip": "skip|not|could", "fail": "fail|error|not ok|taint"}


def limit(name):
    """How many seconds it may take."""
    return int(os.environ.get("SELFTESTS_LIMIT") or LIMITS.get(name, 300)) * SLOW


def show_no_taint():
    """Some scripts look for new taint and skip if there is any before.

    A module from outside the kernel's tree taints it, so they are shown a zero; one_script looks at the truth.
    """
    TRUE_PROC.mkdir(exist_ok=True)
    run("mount", "-t", "proc", "proc", str(TRUE_PROC))
    write("/tmp/selftests-taint", "0\n")
    run("mount", "--bind", "/tmp/selftests-taint", "/proc/sys/kernel/tainted")


def taint():
    """What counts of it: without O and E, for a module that is not the kernel's own."""
    return int((TRUE_PROC / "sys/kernel/tainted").read_text()) & ~0x3000


def give_time(name, before):
    """Multiplies the seconds in a script that are behind what matches."""
    path = WORK / f"net/{name}.sh"
    longer = lambda match: f"{match[1]}{float(match[2]) * 10 * SLOW:g}"  # noqa: E731
    path.write_text(re.sub(rf"({before})([\d.]+)", longer, path.read_text()))


def links():
    return set(os.listdir("/sys/class/net"))


def clean_up(session, links_before):
    """Takes away what a script left; returns what of it stays.

    That is processes, namespaces, links, rules, the tracker with all that uses it, and br_netfilter, which would
    change what bridges do.
    """
    run("pkill", "-9", "-s", str(session), must=False)
    drop_namespaces("", must=False)
    for link in links() - links_before:
        run("ip", "link", "delete", link, must=False)
    if loaded("nf_tables"):
        run("nft", "flush", "ruleset", must=False)
    # A connection whose other end is gone holds its namespace for some two minutes.
    status, left = unload(must=False, seconds=120)
    if loaded("br_netfilter") and not poll(lambda: run("rmmod", "br_netfilter", must=False)[0] == 0, 20):
        status, left = 1, f"{left}br_netfilter does not unload"
    return left.strip() or "of which nothing is known" if status else ""


def telling(verdict, log):
    """The line of the log that says most, short."""
    pattern = TELLING.get(verdict)
    if not pattern:
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    found = [line for line in lines if re.search(pattern, line, re.I) and not re.match("PASS|OK|ok ", line)]
    return re.sub("[^ -~]", " ", (found or lines[-1:])[0][:90])


def judge(name, status, log, left, tainted):
    """Verdict and reason, after the script and the cleaning up."""
    kernel = run("dmesg")[1]
    verdict = VERDICTS.get(status, "fail")
    why = f"not over within {limit(name)} s" if status in (124, 137, -9) else telling(verdict, log)
    missing = sorted(set(re.findall(": Unknown symbol ([A-Za-z0-9_]+) ", kernel)))
    found = complaints(kernel.splitlines())
    if found or tainted:
        verdict, why = "fail", f"the kernel complains: {(found or [''])[0]}"
    elif left:
        verdict, why = "fail", f"leaves something behind: {left.splitlines()[-1]}"
    elif missing:
        # What it came to without them is no verdict.
        verdict, why = "fail", f"unknown symbols: {' '.join(missing)}"
    with log.open("a", encoding="utf-8") as file:
        file.write(f"---- exit status {status}\n---- clean_up: {left}\n---- the kernel's log:\n{kernel}")
    return verdict, why


def one_script(name, logs):
    """Runs a script; returns verdict, seconds and reason."""
    start, taint_before, links_before = time.monotonic(), taint(), links()
    run("dmesg", "--clear")
    status, said = insert("enable_hooks=0", must=False)
    if status:
        return "fail", 0, f"{CT} does not load: {' '.join(said.split())}"
    log = logs / f"{name}.log"
    with log.open("wb") as output:
        # A session of its own, so that what it leaves running can be found.
        script = subprocess.Popen(
            ["timeout", "--kill-after=30", str(limit(name)), f"./{name}.sh"],
            cwd=WORK / "net/netfilter",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        status = script.wait()
    seconds = int(time.monotonic() - start)
    left = clean_up(script.pid, links_before)
    verdict, why = judge(name, status, log, left, taint() != taint_before)
    return verdict, seconds, why


def main(directory, *names):
    logs = Path(directory) / CT
    logs.mkdir(parents=True, exist_ok=True)
    shutil.copytree(f"{directory}/net", WORK / "net", symlinks=True)
    for name, before in HASTY.items():
        give_time(name, before)
    # Debian has no packetdrill.
    (WORK / "bin").mkdir()
    (WORK / "bin/packetdrill").symlink_to(TOP / "tests/selftests/packetdrill.py")
    # libbpf looks for the kernel's configuration where Debian's package has it.
    release = os.uname().release
    Path(f"/boot/config-{release}").symlink_to(f"/usr/lib/modules/{release}/config")
    show_no_taint()
    # What the scripts go by: fewer rounds, and longer waits, for a slow machine.
    os.environ.update(KSFT_MACHINE_SLOW="yes", WAIT_TIMEOUT=str(60 * SLOW), PATH=f"{WORK}/bin:{os.environ['PATH']}")
    all_marks()
    unload()
    for name in names:
        print(f"selftest begin {name}", flush=True)
        print("selftest end", name, *one_script(name, logs), flush=True)


main(*sys.argv[1:])
