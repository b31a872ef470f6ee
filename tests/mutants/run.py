#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Would the tests notice? Puts each small mistake into the pure layer, and runs its tests.

    run.py [PART ...]

All mutants are compiled at once (src/main.rs), and each of them is a run of the tests: of a few cases
of each property first, and of more where those find nothing. If it is in a function with which
constants are made, and is still there, it has a build of its own. With arguments, only those
whose file, function or mistake contains PART.

The last line says how many were caught; a survivor that equivalent.txt does not explain is a failure,
as is a line of it that explains nothing.

CARGO_TARGET_DIR   where to build (default $XDG_CACHE_HOME/rust_ct/mutants)
RCT_REFERENCE      where tests/host/reference.sh has compiled the kernel's own trackers, or nothing
RCT_SELFTESTS      where the kernel's selftests are, with RCT_REFERENCE
JOBS               how many runs at once (default 1)
SEED               seed of the properties' cases (default: a new one)
"""

import concurrent.futures
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rust_ct/mutants"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", CACHE))
COPY = TARGET / "copy"
JOBS = int(os.environ.get("JOBS", "1"))
SEED = os.environ.get("SEED") or str(random.SystemRandom().randrange(1 << 32))
# How many cases a property has in each round; mutants that are caught are not in the next round.
ROUNDS = (16, 512, 4096)
ENVIRONMENT = dict(
    os.environ,
    CARGO_TARGET_DIR=str(TARGET),
    RUSTFLAGS="--cap-lints=allow",
    # For const_eval_select().
    RUSTC_BOOTSTRAP="1",
    PROPTEST_RNG_SEED=SEED,
    PROPTEST_MAX_SHRINK_ITERS="0",
    PROPTEST_DISABLE_FAILURE_PERSISTENCE="1",
)


class Mutant:
    """A line of what src/main.rs prints."""

    def __init__(self, line):
        number, how, self.file, self.function, self.what = line.rstrip("\n").split("\t")
        self.number, self.built = int(number), how == "build"
        self.key = f"{self.file}\t{self.function}\t{self.what}"

    def __str__(self):
        return f"{self.file}: {self.function}: {self.what}"


def add_features(lib):
    """What mutant.rs needs of the compiler."""
    text = lib.read_text(encoding="utf-8")
    lib.write_text("#![feature(const_eval_select, core_intrinsics)]\n" + text, encoding="utf-8")


def make_copy():
    """Lays out the host crate with all mutants in it; returns them."""
    shutil.rmtree(COPY, ignore_errors=True)
    tests = ("host/src", "host/Cargo.toml", "host/Cargo.lock", "host/build.rs", "expected", "shared")
    for part in [*(f"tests/{name}" for name in tests), "Documentation/why-dropped.md"]:
        source, target = TOP / part, COPY / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    (COPY / "rust_ct").mkdir()
    shutil.copy(TOP / "rust_ct/pure.rs", COPY / "rust_ct/pure.rs")
    with open(COPY / "tests/host/src/lib.rs", "a", encoding="utf-8") as lib:
        lib.write("\n" + (HERE / "mutant.rs").read_text(encoding="utf-8"))
    add_features(COPY / "tests/host/src/lib.rs")
    tool = ["cargo", "run", "--quiet", "--locked", "--manifest-path", HERE / "Cargo.toml", "--"]
    others = [TOP / "tests" / part for part in ("host/src", "expected", "shared")]
    tool += [TOP / "rust_ct/pure", COPY / "rust_ct/pure", *others]
    listed = subprocess.run(tool, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [Mutant(line) for line in listed.splitlines()]


def build(number=0):
    """Builds the tests of that mutant; returns the program, or None where the compiler refuses it."""
    command = ["cargo", "test", "--no-run", "--lib", "--locked", "--manifest-path", COPY / "tests/host/Cargo.toml"]
    environment = dict(ENVIRONMENT, RCT_MUTANT_BUILT=str(number))
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        if not number:
            sys.exit(f"{done.stderr}\ntests/mutants/run.py: the mutants do not compile, see above")
        return None
    # Cargo names it as seen from here.
    return Path(done.stderr.rsplit("(", 1)[1].split(")")[0]).resolve()


def verdict(program, number, cases, limit=None):
    """Runs the tests; returns what caught the mutant, or None."""
    environment = dict(ENVIRONMENT, RCT_MUTANT=str(number), PROPTEST_CASES=str(cases))
    # What never ends may also take memory without end.
    command = ["sh", "-c", 'ulimit -v 4000000; exec "$@"', "sh", program, "--test-threads=1"]
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "time"
    if not done.returncode:
        return None
    output = done.stdout.decode(errors="replace")
    tests = [line.split()[1] for line in output.splitlines() if line.startswith("test ") and " ... " in line]
    return tests[-1] if tests else f"status {done.returncode}"


def write_log(mutants, caught):
    """What caught each of them, or SURVIVED."""
    with open(TARGET / "mutants.log", "w", encoding="utf-8") as log:
        log.writelines(f"{mutant.key}\t{caught.get(mutant.number, 'SURVIVED')}\n" for mutant in mutants)


def explained():
    """The lines of equivalent.txt: what tells a mutant from all other mutants -> the reason."""
    reasons = {}
    for line in (HERE / "equivalent.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            key, reason = line.rsplit("\t", 1)
            reasons[key] = reason
    return reasons


def main(parts):
    started = time.monotonic()
    mutants = make_copy()
    for part in parts:
        if not any(part in mutant.key for mutant in mutants):
            sys.exit(f"tests/mutants/run.py: no mutant has '{part}' in its file, function or mistake")
    chosen = [mutant for mutant in mutants if not parts or any(part in mutant.key for part in parts)]
    program = build()
    print(f"mutants: {len(chosen)} of {len(mutants)}, SEED={SEED}", flush=True)
    caught, left = {}, chosen
    for cases in ROUNDS:
        before = time.monotonic()
        if (failed := verdict(program, 0, cases)) is not None:
            sys.exit(f"tests/mutants/run.py: without any mutant, {failed} fails")
        limit = 5 + 20 * (time.monotonic() - before)
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            for mutant, by in zip(left, pool.map(lambda one: verdict(program, one.number, cases, limit), left)):
                if by:
                    caught[mutant.number] = by
        # A mutant that took too long beside others may come to its end alone.
        for mutant in left:
            if caught.get(mutant.number) == "time":
                caught[mutant.number] = verdict(program, mutant.number, cases, limit)
                if not caught[mutant.number]:
                    del caught[mutant.number]
        left = [mutant for mutant in left if mutant.number not in caught]
        took = time.monotonic() - started
        print(f"with {cases} cases: {len(caught)} caught, {len(left)} left, after {took:.0f} s", flush=True)
        write_log(chosen, caught)
    for mutant in left:
        if mutant.built:
            own = build(mutant.number)
            by = "the compiler" if own is None else verdict(own, 0, ROUNDS[1], limit)
            if by:
                caught[mutant.number] = by
    left = [mutant for mutant in left if mutant.number not in caught]
    write_log(chosen, caught)

    reasons = explained()
    unexplained = [mutant for mutant in left if mutant.key not in reasons]
    survived, keys = {mutant.key for mutant in left}, {mutant.key for mutant in chosen}
    known = {mutant.key for mutant in mutants}
    stale = [key for key in reasons if key not in known or (key in keys and key not in survived)]
    for mutant in left:
        print(f"survived{', as it should' if mutant.key in reasons else ''}: {mutant}")
    for key in stale:
        print(f"equivalent.txt explains what is caught, or not there: {key}")
    equivalent = len(left) - len(unexplained)
    print(f"{len(chosen)} mutants: {len(caught)} caught, {equivalent} equivalent, {len(unexplained)} survived")
    print(f"{len(chosen) - len(unexplained)} passed, {len(unexplained) + len(stale)} failed")
    return bool(unexplained or stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
