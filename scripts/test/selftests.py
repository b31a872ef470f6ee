#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""selftests.py DIRECTORY: the guests of selftests.sh, and the table of what the scripts came to on both trackers.

The last line is 'N passed, N failed': a script passes that does on rust_ct what it does on nf_conntrack, or better,
by its parts where it fails on both; see Documentation/selftests.md.

SELFTESTS          names of scripts (default: all but those of LEFT_OUT)
SELFTESTS_LIMIT    seconds for each script (default: 300, more for some)
SELFTESTS_TIMEOUT  seconds for a guest (default 5400)
TRACKERS           nf_conntrack alone, for a look at the scripts (default: both)
SLOW               whole factor for every limit but the guest's (default 2)
"""

import concurrent.futures
import os
import re
import subprocess
import sys
from pathlib import Path

# Guests for one tracker: a script that ends its guest does not keep the rest from running.
BOOTS = 3
# Why a script is not run unless asked for by name.
LEFT_OUT = {
    "nft_concat_range": "hours under TCG; sets only, no connection tracking",
    "nft_concat_range_perf": "a measurement, which skips itself on slow machines",
    "nft_offload": "needs CONFIG_NETDEVSIM and CONFIG_FAIL_FUNCTION, which Debian's kernel lacks",
}
# Higher is better. An xfail is a pass to kselftest, too.
GRADES = {"pass": 2, "xfail": 2, "skip": 1}
# A part of a script that has passed, as TAP, the kernel's test_progs, and net_packetdrill.sh write it.
PART = re.compile(r"^(?:ok \d+ (?!.*# SKIP)(.+)|\s*#\d+/\d+ +(\S+):OK|(\S+\.pkt): ok)\s*$", re.M)
TOP, LOGS = (Path(os.environ[name]) for name in ("TOP", "LOGS"))
BOTH = ("nf_conntrack", "rust_ct")


def boot(tracker, number, names):
    """One guest: returns name -> (verdict, seconds, reason), and whether its kernel complained outside of scripts."""
    guest = f"selftests-{tracker}-{number}"
    log = LOGS / f"{guest}-stock.log"
    # Where the guest is not even set up, that of the run before would be read.
    log.unlink(missing_ok=True)
    settings = {"CT": tracker, "RUST_CT_KO": "/out/selftests/rust_ct.ko", "SLOW": os.environ.get("SLOW", "2")}
    settings["SELFTESTS_LIMIT"] = os.environ.get("SELFTESTS_LIMIT", "")
    status = subprocess.run(
        [TOP / "scripts/guest/guest.sh", "--name", guest, "--timeout", os.environ.get("SELFTESTS_TIMEOUT", "5400")]
        + ["--cached", "stock", "env", *(f"{key}={value}" for key, value in settings.items())]
        + ["python3", "-B", "tests/selftests/run.py", "/out/selftests", *names],
        check=False,
    ).returncode
    found, running = {}, None
    if not log.exists():
        return found, False
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if match := re.match("selftest begin (.*)", line):
            running = match[1]
        elif match := re.match(r"selftest end (\S+) (\S+) (\d+) ?(.*)", line):
            found[match[1]], running = match.groups()[1:], None
    if running:
        found[running] = ("fail", "0", f"the guest ended in it (status {status})")
    scripts_complained = any(reason.startswith("the kernel complains") for _, _, reason in found.values())
    complained = status == 99 and not running and not scripts_complained
    if complained:
        print(f"selftests: a complaint outside of every script: {LOGS}/{guest}-stock.console", file=sys.stderr)
    return found, complained


def run_tracker(tracker, names):
    """Runs all scripts, in further guests those that a guest did not come to; returns what boot does."""
    results, complained, left = {}, False, names
    for number in range(1, BOOTS + 1):
        found, bad = boot(tracker, number, left)
        results.update(found)
        complained |= bad
        left = [name for name in left if name not in results]
        if not found or not left:
            break
    results.update((name, ("not run", "0", "no guest came to it")) for name in left)
    return results, complained


def passing(log):
    """The parts of a script that have passed, by its log."""
    if not log.exists():
        return set()
    return {next(filter(None, found.groups())) for found in PART.finditer(log.read_text(errors="replace"))}


def outcome(reference, ours, parts):
    """What a script's two verdicts come to; parts has those that have passed on each."""
    if "not run" in (reference, ours):
        return "NOT RUN"
    # Those few pass on nf_conntrack, if they are run at all.
    if os.environ.get("SHORT") and GRADES.get(reference, 0) < GRADES["pass"]:
        return "BROKEN"
    if reference == ours == "skip":
        return "skipped"
    if ours not in GRADES and reference not in GRADES:
        if not parts[0]:
            return "failed"
        return "ok, parts" if parts[0] <= parts[1] else "WORSE"
    return "ok" if GRADES.get(ours, 0) >= GRADES.get(reference, 0) else "WORSE"


def table(directory, results, trackers, names):
    """The table's lines, and the outcomes."""
    lines, outcomes = [f"{'script':25} " + "  ".join(f"{tracker:14}" for tracker in trackers)], []
    for name in names:
        rows = [results[tracker][name] for tracker in trackers]
        line = f"{name:25} " + "  ".join(f"{verdict:8} {seconds:>4}s" for verdict, seconds, _ in rows)
        reason = rows[-1][2] or rows[0][2]
        if len(rows) == 2:
            parts = [passing(Path(directory, tracker, f"{name}.log")) for tracker in trackers]
            outcomes.append(outcome(rows[0][0], rows[1][0], parts))
            reason = " ".join((reason, *(f"lost: {part}" for part in sorted(parts[0] - parts[1]))))
            line += f"  {outcomes[-1]:8}"
        lines.append(f"{line}  {reason}".rstrip())
    return lines, outcomes


def main(directory):
    scripts = sorted(path.stem for path in Path(directory, "net/netfilter").glob("*.sh") if path.stem != "lib")
    names = os.environ.get("SELFTESTS", "").split()
    unknown = set(names) - set(scripts)
    if unknown:
        sys.exit(f"selftests: no script {', '.join(unknown)}")
    names, left_out = (names, {}) if names else ([name for name in scripts if name not in LEFT_OUT], LEFT_OUT)
    trackers = os.environ.get("TRACKERS", "").split() or BOTH
    # Side by side, as each of them leaves a processor idle.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = dict(zip(trackers, pool.map(lambda tracker: run_tracker(tracker, names), trackers)))
    lines, outcomes = table(directory, {tracker: results for tracker, (results, _) in done.items()}, trackers, names)
    lines += [f"{name:25} left out: {why}" for name, why in left_out.items() if name in scripts]
    (LOGS / "selftests.table").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(*lines, sep="\n")
    print(f"selftests: the table: {LOGS}/selftests.table; what the scripts said: {directory}/TRACKER/NAME.log")
    if len(trackers) < 2:
        return 0
    # Where no script was running, there is no row to put it to.
    failed = sum(outcomes.count(bad) for bad in ("WORSE", "NOT RUN", "BROKEN")) + done["rust_ct"][1]
    passed = sum(one.startswith("ok") for one in outcomes)
    print(f"selftests: on both, {outcomes.count('skipped')} skipped and {outcomes.count('failed')} failed without parts")
    print(f"{passed} passed, {failed} failed")
    return failed != 0


sys.exit(main(*sys.argv[1:]))
