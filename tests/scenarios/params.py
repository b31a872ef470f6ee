# SPDX-License-Identifier: GPL-2.0
"""Parameters that make no sense are refused with a line that says what would be right, at load and later."""

# limit: 270
# left out of CI on: debug

import re

from lib import CT, PARAMETERS, RUST, SYSCTL, check, diag, equal, insert, load, log_mark, log_since, main, read, run, skip, some, unload, write

SIZES = "from [01] to [0-9]+"
LIMITS = "from 1 to [0-9]+"
LISTS = "number of lists from 0 to [0-9]+"
CONNECTIONS = "number of connections from 0 to 2147483647"
# Numbers of hundredths, from the least to the most.
ADAPTIVE = (("adaptive_start", 0, 100), ("adaptive_end", 1, 1000))


def parameter(name):
    return read(f"{PARAMETERS}/{name}").rstrip("\n")


def said(mark, pattern):
    """Whether the log since the mark matches, and its lines."""
    lines = log_since(mark)
    return any(re.search(pattern, line) for line in lines), "\n".join(lines)


def not_loaded(name, value):
    """Loading with it fails; returns the log's mark."""
    mark = log_mark()
    check(insert(f"{name}={value}", must=False)[0] != 0, f"{name}={value} is refused at load")
    unload()
    return mark


def refused(name, value, right):
    """Loading with it fails, and one line of the log names it, its value, and what is right."""
    mark = not_loaded(name, value)
    what = f"{name}={value}: the log names it and says what is right, in one line"
    if not RUST:
        skip(what, "the reference says nothing")
        return
    lines = [line for line in log_since(mark) if CT in line]
    pattern = f"rust_ct: {name}={re.escape(value)}: must be .*{right}"
    equal(len([line for line in lines if re.search(pattern, line)]), 1, what)
    diag(*lines)


def refused_later(name, value, right):
    """Writing it fails and changes nothing."""
    before, mark, what = parameter(name), log_mark(), f"writing '{value}' to {name}"
    try:
        write(f"{PARAMETERS}/{name}", f"{value}\n")
        check(False, f"{what} is refused")
    except OSError:
        check(True, f"{what} is refused")
    equal(parameter(name), before, f"{what} changes nothing")
    if RUST:
        found, lines = said(mark, f"rust_ct: .*{name}.*{right}")
        check(found, f"{what}: the log says what is right", lines)


def taken(name, value, reads):
    """Loading with it works, and it reads back so."""
    status, output = insert(f"{name}={value}", must=False)
    check(status == 0, f"{name}={value} is taken", output)
    equal(parameter(name), reads, f"{name}={value} reads as {reads}")
    unload()


def hundredths(least, most):
    """What the log says is right."""
    return f"number of hundredths from {least} to {most}"


def wrong(least, most):
    """What is no number from the least to the most."""
    return (str(least - 1), str(most + 1), "x", "")


def at_load():
    for value in some(["-1", "x", "1x", "99999999999999999999", ""]):
        refused("hashsize", value, SIZES)
    for value in some(["-1", "x", "1x", "99999999999999999999", ""]):
        refused("expect_hashsize", value, LISTS)
    if RUST:
        refused("hashsize", "4294967295", SIZES)
        refused("expect_hashsize", "4294967295", LISTS)
        for value in some(["0", "-1", "x", "1x", "4294967295", "99999999999999999999", ""]):
            refused("max", value, LIMITS)
        for value in some(["http:80", "ftp:0", "ftp:65536", "ftp:21,", "ftp:1:2:3:4:5:6:7:8:9"]):
            refused("helpers", value, "list of ftp and tftp")
        for name in ("total", "share", "netns_max"):
            for value in some(wrong(0, 2147483647)):
                refused(name, value, CONNECTIONS)
        for name, least, most in ADAPTIVE:
            for value in some(wrong(least, most)):
                refused(name, value, hundredths(least, most))
    for value in ("maybe", "2", "-1"):
        found, lines = said(not_loaded("enable_hooks", value), "enable_hooks")
        check(found, f"enable_hooks={value}: the log names it", lines)
    taken("hashsize", "1", "512")
    taken("hashsize", "1000", "1024")
    taken("hashsize", "0x1000", "4096")
    taken("expect_hashsize", "1024", "1024")
    status, output = insert("hashsize=1000", must=False)
    check(status == 0, "the limit that goes with hashsize=1000 is eight times what it is rounded up to", output)
    equal(read("/proc/sys/net/nf_conntrack_max"), "8192\n", "nf_conntrack_max is 8192")
    unload()


def in_new_namespaces():
    """What they begin with."""
    load("acct=1", "tstamp=1")
    run("ip", "netns", "add", "rct-a")
    for name in ("acct", "timestamp"):
        equal(read(f"{SYSCTL}/nf_conntrack_{name}", "rct-a"), "1\n", f"{name} is on from the beginning")
    run("ip", "netns", "delete", "rct-a")
    unload()


def set_later(name, value, reads, what, then):
    try:
        write(f"{PARAMETERS}/{name}", f"{value}\n")
        check(True, what)
    except OSError as error:
        check(False, what, error)
    equal(parameter(name), reads, then)


def later():
    load("hashsize=2048")
    for value in ("0", "-1", "x", "4294967295", "1 2", ""):
        refused_later("hashsize", value, LIMITS)
    set_later("hashsize", "3000", "3072", "a good size is taken later", "and rounded up to a page of pointers")
    if RUST:
        for value in ("0", "-1", "x", "4294967295", ""):
            refused_later("max", value, LIMITS)
        set_later("max", "77", "77", "a good limit is taken later", "and reads back")
        for name in some(["total", "share", "netns_max"]):
            for value in ("-1", "x", "4294967295", ""):
                refused_later(name, value, CONNECTIONS)
            set_later(name, "99", "99", f"a good {name} is taken later", "and reads back")
            set_later(name, "0", "0", "so is none", "and reads back")
        for name, least, most in ADAPTIVE:
            for value in wrong(least, most):
                refused_later(name, value, hundredths(least, most))
            for value in (most, least):
                set_later(name, str(value), str(value), f"{name} may be {value}", "and reads back")


def from_another_namespace():
    """Its root does not decide for all."""
    run("ip", "netns", "add", "rct-n")
    try:
        write(f"{PARAMETERS}/hashsize", "4096\n", "rct-n")
        check(False, "another namespace can not resize the table")
    except OSError:
        check(True, "another namespace can not resize the table")


def scenario():
    unload()
    at_load()
    in_new_namespaces()
    later()
    from_another_namespace()


main(scenario)
