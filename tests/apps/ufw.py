# SPDX-License-Identifier: GPL-2.0
"""ufw: its policy, an allowed port, a limited one, routes, masquerading by before.rules, a reload under traffic."""

# limit: 300

from apps import (
    crosses,
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
    read,
    run,
    write,
)

INSIDE, OUTSIDE = "rct-in", "rct-out"
BEFORE = "/etc/ufw/before.rules"
MASQUERADE = f"*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -s 10.1.0.0/24 -o {OUTSIDE} -j MASQUERADE\nCOMMIT\n"


def ufw(*words):
    return run("ufw", *words)[1]


def configure(rules):
    write(BEFORE, MASQUERADE + rules)
    ufw("default", "deny", "incoming")
    ufw("default", "deny", "routed")
    ufw("allow", "80/tcp")
    ufw("limit", "22/tcp")
    ufw("route", "allow", "in", "on", INSIDE, "out", "on", OUTSIDE)
    ufw("--force", "enable")
    check("Status: active" in ufw("status"), "it is active")


def ports():
    with listen(None, "10.2.0.1", 80) as web, listen(None, "10.2.0.1", 8080):
        equal(seen_from(OUTSIDE, web, "10.2.0.1", 80), "10.2.0.2", "an allowed port is reached")
        check(not reaches(OUTSIDE, "10.2.0.1", 8080), "another is not")
    with listen(None, "fd02::1", 80) as web:
        equal(seen_from(OUTSIDE, web, "fd02::1", 80), "fd02::2", "an allowed port is reached over IPv6")
    with listen(OUTSIDE, "10.2.0.2", 80) as web:
        check(seen_from(None, web, "10.2.0.2", 80), "answers to this machine come in")
    with listen(None, "10.2.0.1", 22):
        got = [reaches(OUTSIDE, "10.2.0.1", 22, 1) for _ in range(7)]
        equal(got, [True] * 5 + [False] * 2, "a limited port takes five connections in half a minute")


def routes():
    with listen(OUTSIDE, "10.2.0.2", 80) as web:
        equal(seen_from(INSIDE, web, "10.2.0.2", 80), "10.2.0.1", "an allowed route is masqueraded")
        check(entries("src=10.1.0.2", "dst=10.2.0.1", "dport=80"), "and listed so", read("/proc/net/nf_conntrack"))
    with listen(INSIDE, "10.1.0.2", 80):
        check(not reaches(OUTSIDE, "10.1.0.2", 80), "the other way is closed")


def reloads():
    """An established connection outlives a reload."""
    with (
        listen(OUTSIDE, "10.2.0.2", 443) as server,
        dial(INSIDE, "10.2.0.2", 443) as client,
        server.accept()[0] as made,
    ):
        crosses("data crosses a reload", ("ufw", "reload"), client, made)
        check(passes(client, made), "it goes on afterwards")


def scenario():
    neighbours(INSIDE, OUTSIDE)
    rules = read(BEFORE)
    try:
        configure(rules)
        ports()
        routes()
        reloads()
    finally:
        run("ufw", "disable", must=False)
        write(BEFORE, rules)


main(scenario, "ufw", "iptables")
