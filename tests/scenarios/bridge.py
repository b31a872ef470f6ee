# SPDX-License-Identifier: GPL-2.0
"""A bridge whose traffic is tracked: states in nft's bridge family, fragments, its end (nf_conntrack_bridge); the same
by the hooks of IPv4 and IPv6 (br_netfilter)."""

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
    Xtables,
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
    write,
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
# ARP goes another way there.
INET_RULES = RULES.replace("ether type arp accept", "")
XT_RULES = [
    f"-A FORWARD {match} -m conntrack --ctstate {state} -m comment --comment {comment} -j {verdict}"
    for match, state, comment, verdict in (
        ("", "ESTABLISHED", "established", "ACCEPT"),
        ("", "RELATED", "related", "ACCEPT"),
        ("", "INVALID", "invalid", "DROP"),
        ("-p tcp --dport 80", "NEW", "new", "ACCEPT"),
        ("-p udp --dport 53:54", "NEW", "new", "ACCEPT"),
        ("", "NEW", "stranger", "DROP"),
    )
]
# Whether br_netfilter shows the packets of a bridge to the hooks of IPv4 or IPv6.
CALLS = {
    "IPv4": "/proc/sys/net/bridge/bridge-nf-call-iptables",
    "IPv6": "/proc/sys/net/bridge/bridge-nf-call-ip6tables",
}


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


def stream(what, kind, rules):
    """A TCP connection that is let in, a TCP connection that is not, and packets of no connection."""
    home, away = ENDS[kind]
    before = rules.packets()
    with make_socket(SERVER, away, 80, socket.SOCK_STREAM) as listener:
        listener.listen()
        with make_socket(CLIENT, home, 0, socket.SOCK_STREAM) as caller:
            equal(caller.connect_ex((away, 80)), 0, f"{what}: a connection over the bridge is let in")
            port = caller.getsockname()[1]
            served = listener.accept()[0]
            served.settimeout(10 * SLOW)
            served.sendall(b"x" * 30000)
            got = 0
            while got < 30000:
                got += len(caller.recv(65536))
            equal([one.state for one in find(ROUTER, sport=port)], ["ESTABLISHED"], f"{what}: it is listed")
            check("ASSURED" in find(ROUTER, sport=port)[0].flags, f"{what}: and ASSURED")
            served.close()
    now = grown(before, rules.packets())
    check(now.get("established", 0) > 3, f"{what}: its packets are ESTABLISHED", now)
    with make_socket(SERVER, away, 81, socket.SOCK_STREAM) as listener:
        listener.listen()
        with make_socket(CLIENT, home, 0, socket.SOCK_STREAM) as caller:
            caller.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                caller.connect((away, 81))
            check(quiet([listener]), f"{what}: a connection to another port is not")
            equal(find(ROUTER, sport=caller.getsockname()[1]), [], f"{what}: and has left no entry")
    check(rules.packets().get("stranger", 0) > before.get("stranger", 0), f"{what}: it was counted", rules.packets())


def datagrams(what, kind, rules):
    """Large datagrams come over whole, both ways: put together for the rules, and cut again."""
    home, away = ENDS[kind]
    before = rules.packets()
    with make_socket(SERVER, away, 53) as server, make_socket(CLIENT, home, 5353) as client:
        question, answer = os.urandom(LARGE), os.urandom(LARGE)
        client.sendto(question, (away, 53))
        equal(server.recv(65536) == question, True, f"{what}: a datagram of {LARGE} bytes comes over the bridge")
        server.sendto(answer, (home, 5353))
        equal(client.recv(65536) == answer, True, f"{what}: and one comes back")
    now = grown(before, rules.packets())
    check(now == {"new": 1, "established": 1}, f"{what}: each was one packet to the rules", now)


def errors(what, kind, rules):
    """The ICMP error about a port without a socket goes with the connection."""
    home, away = ENDS[kind]
    before = rules.packets()
    with make_socket(CLIENT, home, 5454) as client:
        client.connect((away, 54))
        client.send(b"nobody is there")
        refused = error_of(client)
    equal(refused, errno.ECONNREFUSED, f"{what}: the ICMP error about a closed port comes over the bridge")
    equal(grown(before, rules.packets()), {"new": 1, "related": 1}, f"{what}: it is RELATED")


def strangers(what, kind, rules):
    """Unsolicited packets stay out."""
    home, away = ENDS[kind]
    before = rules.packets()
    with make_socket(CLIENT, home, 4000) as victim, make_socket(SERVER, away, 4001) as attacker:
        for _ in range(3):
            attacker.sendto(b"let me in", (home, 4000))
        check(quiet([victim]), f"{what}: a stranger stays out")
    equal(grown(before, rules.packets()), {"stranger": 3}, f"{what}: three packets are counted as a stranger's")


def all_of(what, rules):
    """What the rules let in and what not, over IPv4 and IPv6."""
    # Else what begins anew would go on.
    run("conntrack", "-F", ns=ROUTER)
    for kind in ENDS:
        for part in (stream, datagrams, errors, strangers):
            part(f"{kind}, {what}", kind, rules)


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


def by_the_bridge():
    """nf_conntrack_bridge."""
    lacking = missing("nf_conntrack_bridge", "nft_ct", "nft_meta_bridge")
    if "nf_conntrack_bridge" in lacking:
        skip("bridges are tracked", "this kernel does not have nf_conntrack_bridge")
        return
    all_of("nft's bridge family", Nft(ROUTER, RULES, "bridge rct"))
    users()


def untracked(what, kind, rules):
    """What the rules would not let in comes over, and nobody takes note of it."""
    home, away = ENDS[kind]
    before = rules.packets()
    with make_socket(SERVER, away, 81, socket.SOCK_STREAM) as listener:
        listener.listen()
        with make_socket(CLIENT, home, 0, socket.SOCK_STREAM) as caller:
            equal(caller.connect_ex((away, 81)), 0, f"{what}: a connection comes over")
            equal(find(ROUTER, sport=caller.getsockname()[1]), [], f"{what}: it is not tracked")
    with make_socket(SERVER, away, 55) as server, make_socket(CLIENT, home, 5555) as client:
        sent = os.urandom(LARGE)
        client.sendto(sent, (away, 55))
        equal(server.recv(65536) == sent, True, f"{what}: so does a datagram of {LARGE} bytes")
        equal(find(ROUTER, sport=5555), [], f"{what}: nor is this")
    equal(rules.packets(), before, f"{what}: the rules have seen nothing")


def by_br_netfilter():
    """br_netfilter, the older way: the tracker's usual hooks, and rules of nft and iptables that know of no bridge."""
    if missing("br_netfilter"):
        skip("bridges are tracked by br_netfilter", "this kernel does not have br_netfilter")
        return
    for call in CALLS.values():
        write(call, 1, ROUTER)
    rules = Nft(ROUTER, INET_RULES)
    all_of("br_netfilter and nft", rules)
    rules.delete()
    rules = Xtables(ROUTER, {"filter": {4: XT_RULES, 6: XT_RULES}})
    all_of("br_netfilter and iptables", rules)
    for kind, call in CALLS.items():
        write(call, 0, ROUTER)
        untracked(f"{kind}, br_netfilter, off", kind, rules)
    run("rmmod", "br_netfilter")


def scenario():
    if loaded("br_netfilter"):
        run("rmmod", "br_netfilter")
    set_up()
    by_the_bridge()
    by_br_netfilter()


main(scenario)
