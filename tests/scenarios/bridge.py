# SPDX-License-Identifier: GPL-2.0
"""A bridge whose traffic is tracked (nf_conntrack_bridge): states in nft's bridge family, fragments, its end."""

# limit: 240
# left out of CI on: debug

import contextlib
import errno
import os
import select
import socket

from policy import (
    CLIENT,
    ROUTER,
    SERVER,
    Nft,
    error_of,
    missing,
)

from lib import (
    SLOW,
    check,
    equal,
    find,
    grown,
    ip_batch,
    load,
    loaded,
    main,
    make_socket,
    poll,
    run,
    skip,
)

ENDS = {"IPv4": ("10.3.0.2", "10.3.0.3"), "IPv6": ("fd03::2", "fd03::3")}
# What does not fit into one frame.
LARGE = 4000

RULES = """
    chain forward {
        type filter hook forward priority filter; policy drop;
        ether type arp accept
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        ct state established counter accept comment "established"
        ct state related counter accept comment "related"
        ct state invalid counter drop comment "invalid"
        tcp dport 80 ct state new counter accept comment "new"
        udp dport { 53, 54 } ct state new counter accept comment "new"
        ct state new counter drop comment "stranger"
    }
"""


def set_up():
    """Two hosts in one subnet, between them a bridge in a namespace that has no address there."""
    ip_batch(None, *[f"netns add {name}" for name in (ROUTER, CLIENT, SERVER)])
    ip_batch(ROUTER, "link add br0 type bridge", "link set br0 up")
    for n, name in ((2, CLIENT), (3, SERVER)):
        ip_batch(
            ROUTER,
            f"link add {name} type veth peer name e0 netns {name}",
            f"link set {name} master br0",
            f"link set {name} up",
        )
        ip_batch(
            name,
            "link set lo up",
            f"addr add 10.3.0.{n}/24 dev e0",
            f"addr add fd03::{n}/64 dev e0 nodad",
            "link set e0 up",
        )
    load()


def quiet(sockets):
    """Whether nothing comes into any of them for a while."""
    return not select.select(sockets, [], [], 0.5 * min(SLOW, 4))[0]


def stream(kind, rules):
    """A TCP connection that is let in, a TCP connection that is not, and packets of no connection."""
    home, away = ENDS[kind]
    before = rules.packets()
    with make_socket(SERVER, away, 80, socket.SOCK_STREAM) as listener:
        listener.listen()
        with make_socket(CLIENT, home, 0, socket.SOCK_STREAM) as caller:
            equal(caller.connect_ex((away, 80)), 0, f"{kind}: a connection over the bridge is let in")
            port = caller.getsockname()[1]
            served = listener.accept()[0]
            served.settimeout(10 * SLOW)
            served.sendall(b"x" * 30000)
            got = 0
            while got < 30000:
                got += len(caller.recv(65536))
            equal([one.state for one in find(ROUTER, sport=port)], ["ESTABLISHED"], f"{kind}: it is listed")
            check("ASSURED" in find(ROUTER, sport=port)[0].flags, f"{kind}: and ASSURED")
            served.close()
    now = grown(before, rules.packets())
    check(now.get("established", 0) > 3, f"{kind}: its packets are ESTABLISHED", now)
    with make_socket(SERVER, away, 81, socket.SOCK_STREAM) as listener:
        listener.listen()
        with make_socket(CLIENT, home, 0, socket.SOCK_STREAM) as caller:
            caller.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                caller.connect((away, 81))
            check(quiet([listener]), f"{kind}: a connection to another port is not")
            equal(find(ROUTER, sport=caller.getsockname()[1]), [], f"{kind}: and has left no entry")
    check(rules.packets().get("stranger", 0) > before.get("stranger", 0), f"{kind}: it was counted", rules.packets())


def datagrams(kind, rules):
    """Large datagrams come over whole, both ways: put together for the rules, and cut again."""
    home, away = ENDS[kind]
    before = rules.packets()
    with make_socket(SERVER, away, 53) as server, make_socket(CLIENT, home, 5353) as client:
        question, answer = os.urandom(LARGE), os.urandom(LARGE)
        client.sendto(question, (away, 53))
        equal(server.recv(65536) == question, True, f"{kind}: a datagram of {LARGE} bytes comes over the bridge")
        server.sendto(answer, (home, 5353))
        equal(client.recv(65536) == answer, True, f"{kind}: and one comes back")
    now = grown(before, rules.packets())
    check(now == {"new": 1, "established": 1}, f"{kind}: each was one packet to the rules", now)


def errors(kind, rules):
    """The ICMP error about a port without a socket goes with the connection."""
    home, away = ENDS[kind]
    before = rules.packets()
    with make_socket(CLIENT, home, 5454) as client:
        client.connect((away, 54))
        client.send(b"nobody is there")
        refused = error_of(client)
    equal(refused, errno.ECONNREFUSED, f"{kind}: the ICMP error about a closed port comes over the bridge")
    equal(grown(before, rules.packets()), {"new": 1, "related": 1}, f"{kind}: it is RELATED")


def strangers(kind, rules):
    """Unsolicited packets stay out."""
    home, away = ENDS[kind]
    before = rules.packets()
    with make_socket(CLIENT, home, 4000) as victim, make_socket(SERVER, away, 4001) as attacker:
        for _ in range(3):
            attacker.sendto(b"let me in", (home, 4000))
        check(quiet([victim]), f"{kind}: a stranger stays out")
    equal(grown(before, rules.packets()), {"stranger": 3}, f"{kind}: three packets are counted as a stranger's")


def users():
    """The rules of a namespace keep the module; when they are gone, or the namespace is, it can go."""
    status, _ = run("rmmod", "nf_conntrack_bridge", must=False)
    check(status, "the module stays while rules of a bridge use it")
    run("ip", "netns", "add", "rct-x")
    Nft("rct-x", RULES, "bridge rct")
    run("ip", "netns", "delete", "rct-x")
    run("nft", "flush", "ruleset", ns=ROUTER)

    def goes():
        return not run("rmmod", "nf_conntrack_bridge", must=False)[0]

    check(poll(goes, 20, 0.5), "it goes when the rules of one namespace are flushed, and another one is gone")


def scenario():
    lacking = missing("nf_conntrack_bridge", "nft_ct", "nft_meta_bridge")
    if "nf_conntrack_bridge" in lacking:
        skip("bridges are tracked", "this kernel does not have nf_conntrack_bridge")
        return
    if loaded("br_netfilter"):
        run("rmmod", "br_netfilter")  # the other way, by the hooks of IPv4 and IPv6
    set_up()
    rules = Nft(ROUTER, RULES, "bridge rct")
    for kind in ENDS:
        stream(kind, rules)
        datagrams(kind, rules)
        errors(kind, rules)
        strangers(kind, rules)
    users()


main(scenario)
