# SPDX-License-Identifier: GPL-2.0
"""Allocations that fail, on a kernel with failslab: some of all, or a single one."""

import contextlib
import os

from lib import write

FAILSLAB = "/sys/kernel/debug/failslab"
CACHES = "/sys/kernel/slab"
# What DEBUG_OBJECTS allocates from. It does not fail the caller where it finds no memory: it says so and looks no more.
SPARED = "debug_objects_cache"


def spare_the_checker():
    """Makes the failures leave out DEBUG_OBJECTS' own memory: marks all caches but its own, and lets the mark count."""
    for cache in os.listdir(CACHES):
        # Caches that share their memory refuse the mark, and one may go meanwhile.
        with contextlib.suppress(OSError):
            write(f"{CACHES}/{cache}/failslab", int(cache != SPARED))
    write(f"{FAILSLAB}/cache-filter", "Y")


@contextlib.contextmanager
def failing(percent):
    """Lets so many of the allocations that must not sleep fail, all over the kernel."""
    spare_the_checker()
    for name, value in (("verbose", 0), ("ignore-gfp-wait", "Y"), ("interval", 1), ("times", -1), ("probability", percent)):
        write(f"{FAILSLAB}/{name}", value)
    try:
        yield
    finally:
        write(f"{FAILSLAB}/probability", 0)


@contextlib.contextmanager
def one_by_one():
    """Fails the allocation whose number a task has asked for, also if it may sleep; yields that task's file."""
    spare_the_checker()
    for name, value in (("verbose", 0), ("ignore-gfp-wait", "N"), ("probability", 0), ("times", -1)):
        write(f"{FAILSLAB}/{name}", value)
    file = os.open("/proc/self/fail-nth", os.O_RDWR)
    try:
        yield file
    finally:
        os.close(file)
        write(f"{FAILSLAB}/ignore-gfp-wait", "Y")


def failing_nth(file, number, call):
    """Calls while allocation `number` of this process fails; returns what it fails with, and how many were left to go."""
    os.pwrite(file, b"%d" % number, 0)
    try:
        error = call()
        left = int(os.pread(file, 20, 0))
    finally:
        os.pwrite(file, b"0", 0)
    return error, left
