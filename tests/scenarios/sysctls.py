# SPDX-License-Identifier: GPL-2.0
"""Every file below net.netfilter answers to whatever is written to it as nf_conntrack's does; what differs is named here."""

# limit: 420
# left out of CI on: debug

import contextlib
import errno
import os

from lib import (
    CT,
    RUST,
    SYSCTL,
    Router,
    check,
    count,
    diag,
    equal,
    find,
    inside,
    load,
    log_mark,
    log_since,
    main,
    poll,
    read,
    run,
    skip,
    tcp,
    udp,
    unload,
    write,
)

CHILD = "rct-n"
ALIAS = "/proc/sys/net/nf_conntrack_max"
# What people and scripts write, and what they should not.
TRIALS = (
    ["1", "0", "2", "3", "30", "255", "256", "-1", "-0", "+5", "007", "0x10", " 7 ", "7\n8", "7 8", "5 junk", "junk"]
    + ["1.5", "", "\n", "8589934", "21474837", "2147483647", "2147483648", "4294967295", "4294967296", "9" * 30]
)
# The table is made anew with each of these, so that they are few and small.
BUCKETS = ["0", "-1", "junk", "1", "1000", "4096"]
# Settings of other modules, and what nf_conntrack does not have (the scenario rfc5961 does).
NAMELESS = ("nf_conntrack_frag6_", "nf_log", "nf_hooks_", "nf_conntrack_tcp_rfc5961")

# (file, namespace): what is meant to differ, and why.
INTENDED = {
    ("nf_conntrack_max", CHILD): "a namespace may have a limit of its own (Documentation/differences.md)",
}


def name_of(number):
    """The name of an error."""
    return errno.errorcode.get(number, str(number))


def attempt(path, text):
    """Writes to a file in one go; what came of it."""
    try:
        file = os.open(path, os.O_WRONLY)
    except OSError as error:
        return name_of(error.errno)
    try:
        return os.write(file, text.encode())
    except OSError as error:
        return name_of(error.errno)
    finally:
        os.close(file)


def value_of(path):
    """What a file reads as."""
    with open(path, encoding="ascii") as file:
        return file.read().rstrip("\n")


def try_file(path, trials):
    """Mode and value of a file, and what each trial does to it; it is left as it was."""
    usual = value_of(path)
    answers = {"mode": oct(os.stat(path).st_mode & 0o7777), "default": usual}
    for text in trials:
        answers[text] = (attempt(path, text), value_of(path))
        with contextlib.suppress(OSError):
            attempt(path, usual)
    return answers


def files():
    """The tracker's files, by name."""
    return [name for name in sorted(os.listdir(SYSCTL)) if not name.startswith(NAMELESS)]


def answers():
    """What each file of the first namespace and of another answers."""
    found = {}
    for ns in (None, CHILD):
        with inside(ns):
            for name in files():
                trials = BUCKETS if name == "nf_conntrack_buckets" else TRIALS
                trials = [] if name == "nf_conntrack_count" else trials
                found[name, ns] = try_file(f"{SYSCTL}/{name}", trials)
            if ns is None:
                found["net.nf_conntrack_max", ns] = try_file(ALIAS, TRIALS)
            else:
                found["net.nf_conntrack_max", ns] = {"exists": os.path.exists(ALIAS)}
    return found


def of_reference():
    """The same of nf_conntrack."""
    load(tracker="nf_conntrack")
    try:
        return answers()
    finally:
        unload(tracker="nf_conntrack")


def compared():
    """Both answer alike, file by file."""
    unload()
    run("ip", "netns", "add", CHILD)
    reference = of_reference()
    load()
    ours = answers()
    equal(sorted(map(str, ours)), sorted(map(str, reference)), "the same files are there")
    check(len(reference) > 70, "and they are many", len(reference))
    for key, want in reference.items():
        name, ns = key
        got = ours.get(key, {})
        what = f"{name}{f' in {ns}' if ns else ''}: {len(want)} answers"
        if key in INTENDED and RUST:
            check(got != want, f"{what} differ: {INTENDED[key]}", got)
        else:
            wrong = {text: (got.get(text), want[text]) for text in want if got.get(text) != want[text]}
            check(not wrong, f"{what} are the reference's", "\n".join(f"{t!r}: got {g}, want {w}" for t, (g, w) in wrong.items()))


def per_namespace():
    """What is set in one namespace is set there only; a new namespace begins with the defaults."""
    for name, value in (("nf_conntrack_udp_timeout", "77"), ("nf_conntrack_tcp_loose", "0"), ("nf_conntrack_acct", "1")):
        before = value_of(f"{SYSCTL}/{name}")
        write(f"{SYSCTL}/{name}", value, CHILD)
        equal(value_of(f"{SYSCTL}/{name}"), before, f"{name} of another namespace leaves ours alone")
        write(f"{SYSCTL}/{name}", value)
        run("ip", "netns", "add", "rct-new")
        equal(read(f"{SYSCTL}/{name}", "rct-new").strip(), before, f"{name}: a new namespace begins with the default")
        write(f"{SYSCTL}/{name}", before)
        run("ip", "netns", "delete", "rct-new")


def in_force(router):
    """A setting is in force for the next packet."""
    a, b = router.A4, router.B4
    write(f"{SYSCTL}/nf_conntrack_udp_timeout", 300, router.ns)
    router.a.send(udp(a, b, 1000, 53, b"x"))
    found = poll(lambda: find(router.ns, sport=1000), 5)
    check(found and 290 <= int(found[0].seconds) <= 300, "udp_timeout of 300 s", found)
    write(f"{SYSCTL}/nf_conntrack_tcp_loose", 0, router.ns)
    router.a.send(tcp(a, b, 1001, 80, "A", seq=1, ack=1))
    router.a.send(udp(a, b, 1002, 53, b"x"))
    poll(lambda: find(router.ns, sport=1002), 5)
    equal(find(router.ns, sport=1001), [], "tcp_loose=0: nothing is picked up in the middle")
    write(f"{SYSCTL}/nf_conntrack_acct", 1, router.ns)
    write(f"{SYSCTL}/nf_conntrack_timestamp", 1, router.ns)
    router.a.send(udp(a, b, 1003, 53, b"12345"))
    router.b.send(udp(b, a, 53, 1003, b"1234567890"))
    poll(lambda: "[UNREPLIED]" not in line_of(router, 1003) and line_of(router, 1003), 5)
    line = line_of(router, 1003)
    check("packets=1 bytes=33 " in line and "packets=1 bytes=38 " in line, "acct=1: packets and bytes in the listing", line)
    check("delta-time=" in line, "timestamp=1: and the age", line)
    check("packets=" not in line_of(router, 1000), "but not of who was there before", line_of(router, 1000))


def line_of(router, sport):
    """The line of the listing with a source port."""
    text = read("/proc/net/nf_conntrack", router.ns)
    return next((line for line in text.splitlines() if f"sport={sport} " in line), "")


def logged(router):
    """INVALID packets are logged where that is asked for, with the reason."""
    if not RUST:
        skip("log_invalid names the reason", "the reference has its own words")
        return
    # A kernel with another logger built in does not load this logger by itself.
    run("modprobe", "nf_log_syslog")
    write("/proc/sys/net/netfilter/nf_log_all_netns", 1)
    bad = tcp(router.A4, router.B4, 2000, 80, "SF", seq=1)
    for wanted, expected in ((0, 0), (6, 1), (17, 0), (255, 1)):
        write(f"{SYSCTL}/nf_conntrack_log_invalid", wanted, router.ns)
        mark = log_mark()
        router.a.send(bad, udp(router.A4, router.B4, 2001, 53, b"x"))
        poll(lambda: find(router.ns, sport=2001), 5)
        lines = [line for line in log_since(mark) if "nf_ct_proto_6: tcp_flags: " in line]
        equal(len(lines), expected, f"log_invalid={wanted}: {expected} lines for one packet")
        if lines:
            check("SRC=" in lines[0] and "SPT=2000" in lines[0], "with the packet in it", lines[0])
    write(f"{SYSCTL}/nf_conntrack_log_invalid", 0, router.ns)


def own_limit(router):
    """A limit of a namespace binds it; the first namespace's binds each that has none."""
    if not RUST:
        skip("a namespace's own limit binds it", "the reference has one limit for each of them")
        return
    usual = value_of(f"{SYSCTL}/nf_conntrack_max")
    equal(read(f"{SYSCTL}/nf_conntrack_max", router.ns).strip(), usual, "a namespace shows the first one's limit at first")
    write(f"{SYSCTL}/nf_conntrack_max", 50, router.ns)
    for port in range(200):
        router.a.send(udp(router.A4, router.B4, 10000 + port, 2000, b"x"))
    router.settle()
    there = count(router.ns)
    check(20 < there <= 50, "a namespace with a limit of 50 has no more", there)
    equal(value_of(f"{SYSCTL}/nf_conntrack_max"), usual, "which changes nothing for the others")
    write(f"{SYSCTL}/nf_conntrack_max", 100000, router.ns)
    write(f"{SYSCTL}/nf_conntrack_max", 80)
    for port in range(300):
        router.a.send(udp(router.A4, router.B4, 20000 + port, 2000, b"x"))
    router.settle()
    there = count(router.ns)
    check(50 < there <= 80, "the first one's limit of 80 holds where the namespace's is higher", there)
    write(f"{SYSCTL}/nf_conntrack_max", usual)


def scenario():
    compared()
    per_namespace()
    load()
    router = Router()
    in_force(router)
    logged(router)
    own_limit(router)
    diag(f"tracker {CT}")


main(scenario)
