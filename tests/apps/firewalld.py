# SPDX-License-Identifier: GPL-2.0
"""firewalld: zones, masquerading, a helper, and a reload under traffic."""

# limit: 300

import contextlib
import os
import shutil

from apps import (
    PLACE,
    crosses,
    daemon,
    dial,
    entries,
    listen,
    main,
    neighbours,
    passes,
    reaches,
    seen_from,
)

from lib import (
    check,
    equal,
    module,
    read,
    run,
)

# Inside, where this machine is 10.1.0.1, and outside, where it is 10.2.0.1.
INSIDE, OUTSIDE = "rct-in", "rct-out"
BUS = "/run/dbus/system_bus_socket"

# firewall-cmd waits less long for an answer than a slow machine takes.
RELOAD = ("sh", "-c", "firewall-cmd -q --reload || until firewall-cmd -q --state; do sleep 1; done")


def firewall(*words, must=True):
    return run("firewall-cmd", "-q", *words, must=must)[1]


def running():
    return run("firewall-cmd", "--state", must=False)[0] == 0


def configure():
    """An internal zone that may go out, with masquerading, and an external one that may call a web server here."""
    for words in (
        ("--zone=internal", f"--add-interface={INSIDE}"),
        ("--zone=external", f"--add-interface={OUTSIDE}"),
        ("--zone=external", "--add-service=http"),
        ("--zone=internal", "--add-service=ftp"),
        ("--zone=external", "--add-forward-port=port=8022:proto=tcp:toport=22:toaddr=10.1.0.2"),
        ("--new-policy=out",),
        ("--policy=out", "--add-ingress-zone=internal"),
        ("--policy=out", "--add-egress-zone=external"),
        ("--policy=out", "--set-target=ACCEPT"),
    ):
        firewall("--permanent", *words)
    run(*RELOAD)


def zones():
    """Which zone may call which."""
    with listen(None, "10.2.0.1", 80) as web, listen(None, "10.2.0.1", 8080), listen(INSIDE, "10.1.0.2", 80):
        equal(seen_from(OUTSIDE, web, "10.2.0.1", 80), "10.2.0.2", "a service of the external zone is reached")
        check(not reaches(OUTSIDE, "10.2.0.1", 8080), "another port is not")
        check(not reaches(OUTSIDE, "10.1.0.2", 80), "nor is a host of the internal zone")


def masquerade():
    """Out with this machine's address, in by a forwarded port."""
    with listen(OUTSIDE, "10.2.0.2", 80) as web:
        equal(seen_from(INSIDE, web, "10.2.0.2", 80), "10.2.0.1", "who goes out is masqueraded")
        check(entries("src=10.1.0.2", "dst=10.2.0.1", "dport=80"), "and listed so", read("/proc/net/nf_conntrack"))
    with listen(INSIDE, "10.1.0.2", 22) as shell:
        check(seen_from(OUTSIDE, shell, "10.2.0.1", 8022), "a forwarded port leads to the host inside")
        check(entries("dport=8022", "src=10.1.0.2", "sport=22"), "and is listed so", read("/proc/net/nf_conntrack"))


def helper():
    """The zone's FTP service gives connections the helper, and what it announces comes in."""
    if not module("nf_conntrack_ftp"):
        return
    with (
        listen(None, "10.1.0.1", 21) as server,
        listen(None, "10.1.0.1", 40000) as data,
        listen(None, "10.1.0.1", 40001),
    ):
        client = dial(INSIDE, "10.1.0.1", 21)
        made = server.accept()[0]
        with client, made:
            check(not reaches(INSIDE, "10.1.0.1", 40000), "before FTP announces a port it is closed")
            # A line is looked at if the end of the line before was seen.
            for source, sink, line in (
                (made, client, b"220 ready"),
                (client, made, b"PASV"),
                (made, client, b"227 Entering Passive Mode (10,1,0,1,156,64)"),
            ):
                source.sendall(line + b"\r\n")
                sink.recv(100)
            status, text = run("conntrack", "-L", "expect")
            check(not status and "dport=40000" in text, "its answer to PASV is an expectation", text)
            check(seen_from(INSIDE, data, "10.1.0.1", 40000), "the announced port is open")
            check(not reaches(INSIDE, "10.1.0.1", 40001), "and no other")


def reloads():
    """An established, masqueraded connection outlives reloads, which data crosses all the time."""
    with (
        listen(OUTSIDE, "10.2.0.2", 443) as server,
        dial(INSIDE, "10.2.0.2", 443) as client,
        server.accept()[0] as made,
    ):
        check(passes(client, made), "a masqueraded connection stands")
        for turn in range(2):
            crosses(f"data crosses reload {turn + 1}", RELOAD, client, made)
        check(passes(client, made), "it goes on afterwards")
        with listen(None, "10.2.0.1", 8080):
            check(not reaches(OUTSIDE, "10.2.0.1", 8080), "what was closed is closed again")


def scenario():
    neighbours(INSIDE, OUTSIDE)
    os.makedirs("/run/dbus", exist_ok=True)
    with contextlib.ExitStack() as stack:
        bus = ("dbus-daemon", "--system", "--nofork", "--nopidfile")
        stack.enter_context(daemon(*bus, ready=lambda: os.path.exists(BUS)))
        # What was configured before is not this machine's.
        conf = shutil.copytree("/etc/firewalld", f"{PLACE}/firewalld", ignore=shutil.ignore_patterns("*.xml"))
        stack.enter_context(
            daemon("firewalld", "--nofork", "--nopid", "--system-config", conf, ready=running, seconds=90)
        )
        configure()
        zones()
        masquerade()
        helper()
        reloads()


main(scenario, "firewalld", "python3-nftables", "dbus-daemon")
