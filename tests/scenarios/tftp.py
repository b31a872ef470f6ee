# SPDX-License-Identifier: GPL-2.0
"""TFTP through a router that lets in only NEW to port 69, RELATED and ESTABLISHED: a real server and client."""

# limit: 180
# left out of CI on: debug

import os
import shutil

from policy import (
    CLIENT,
    ENDS,
    ROUTER,
    SERVER,
    Nft,
    expectations,
    missing,
)

from lib import (
    RUST,
    SLOW,
    check,
    client_router_server,
    equal,
    find,
    grown,
    load,
    main,
    poll,
    program,
    run,
    skip,
    some,
)

HOME, GOT = "/tmp/rct-tftp", "/tmp/rct-tftp-got"
FETCH = f"cd {GOT} && timeout {{}} tftp -m binary {{}} -c get file"
OBJECT = ('ct helper ours { type "tftp" protocol udp; }', 'udp dport 69 ct helper set "ours"')
POLICY = """
    {0}
    chain mangle {{
        type filter hook prerouting priority mangle;
        {1}
        udp dport 69 ct state new ct mark set 0x69
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        ct state established counter accept comment "established"
        ct state related ct mark 0x69 counter accept comment "data"
        udp dport 69 ct state new counter accept comment "control"
        counter drop comment "dropped"
    }}
"""


def same(one, other):
    with open(one, "rb") as a, open(other, "rb") as b:
        return a.read() == b.read()


def transfer(kind, rules, way):
    """One file down and one up; the answers of the server are RELATED."""
    what = f"{way}, {kind}"
    for path in (f"{GOT}/file", f"{HOME}/up"):
        run("rm", "-f", path)
    for command, result in (("get file", f"{GOT}/file"), ("put mine up", f"{HOME}/up")):
        before = rules.packets()
        script = f"cd {GOT} && timeout {int(30 * SLOW)} tftp -m binary {ENDS[kind][1]} -c {command}"
        status, text = run("bash", "-c", script, ns=CLIENT, must=False)
        good = not status and os.path.exists(result) and same(f"{HOME}/file", result)
        check(good, f"{what}: tftp {command}", text)
        after = grown(before, rules.packets())
        # What the server still sends to the client that got no answer is dropped.
        good = set(after) - {"dropped"} == {"control", "data", "established"}
        check(good, f"{what}: {command}: the request is NEW, the answer RELATED with its mark", after)
    equal(expectations(ROUTER), [], f"{what}: nothing is expected any more")
    home, away = ENDS[kind]
    marks = {one.tail["mark"] for one in find(ROUTER, src=away, dst=home)}
    check("105" in marks, f"{what}: the second connection has the mark of the first", marks)


def refused(kind, rules):
    """Without a helper the answer does not come in."""
    before = rules.packets()
    run("bash", "-c", FETCH.format(4 * SLOW, ENDS[kind][1]), ns=CLIENT, must=False)
    after = grown(before, rules.packets())
    check(after.get("dropped", 0) > 0 and "data" not in after, f"{kind}: without a helper the answer is dropped", after)


def scenario():
    if missing("nft_ct"):
        skip("TFTP behind a policy in nft", "nft_ct.ko does not load")
        return
    for path in (HOME, GOT):
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        os.chmod(path, 0o777)
    with open(f"{HOME}/file", "wb") as file:
        file.write(os.urandom(20000))
    shutil.copy(f"{HOME}/file", f"{GOT}/mine")
    os.chmod(f"{HOME}/file", 0o644)
    client_router_server()
    load()
    servers = [
        program(SERVER, "in.tftpd", "-L", "-c", "-p", "-s", "-u", "nobody", *option, "-a", address, HOME)
        for option, address in ((("-4",), "10.2.0.2:69"), (("-6",), "[fd02::2]:69"))
    ]
    with servers[0], servers[1]:
        ready = poll(lambda: run("ss", "-Hlnu", ns=SERVER)[1].count(":69 ") == 2, 20, 0.3)
        if not check(ready, "the TFTP servers are there", run("ss", "-Hlnu", ns=SERVER)[1]):
            return
        for kind, (_, away) in ENDS.items():
            # The server does not answer the very first request.
            answers = poll(lambda: not run("bash", "-c", FETCH.format(30 * SLOW, away), ns=CLIENT, must=False)[0], 60)
            check(answers, f"{kind}: the server answers when there are no rules")
        rules = Nft(ROUTER, POLICY.format("", ""))
        refused("IPv4", rules)
        rules = Nft(ROUTER, POLICY.format(*OBJECT))
        for kind in some(ENDS):
            transfer(kind, rules, "nft")
        rules.delete()
        if RUST:
            load("helpers=tftp:69")
            rules = Nft(ROUTER, POLICY.format("", ""))
            for kind in ENDS:
                transfer(kind, rules, "helpers=tftp:69")
            rules.delete()
        else:
            skip("the helper attached by a parameter", "nf_conntrack has no such parameter")


main(scenario)
