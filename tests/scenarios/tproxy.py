# SPDX-License-Identifier: GPL-2.0
"""Transparent proxies in nft and iptables on the tracker, and the match that asks whether a packet has a socket."""

# limit: 180
# left out of CI on: debug

import contextlib
import socket
import struct

from policy import (
    CLIENT,
    ENDS,
    ROUTER,
    SERVER,
    Nft,
    Xtables,
    missing,
    set_up_stacks,
)

from lib import (
    SLOW,
    check,
    equal,
    family,
    find,
    grown,
    inside,
    main,
    make_socket,
    run,
    shown,
    skip,
)

PORT, PROXY, MARK = 80, 5000, 1
# The router's address towards the server.
FAR = {"IPv4": "10.2.0.1", "IPv6": "fd02::1"}
# linux/in.h, linux/in6.h: level, transparent, tell the destination of a datagram.
OPTIONS = {"IPv4": (socket.IPPROTO_IP, 19, 20), "IPv6": (socket.IPPROTO_IPV6, 75, 74)}

ASKED = f"meta l4proto {{ tcp, udp }} th dport {PORT}"
TAKEN = f"meta mark set {MARK} counter accept"
NFT = f"""
    chain divert {{
        type filter hook prerouting priority mangle;
        iifname {CLIENT} meta l4proto tcp socket transparent 1 {TAKEN} comment "socket"
        iifname {CLIENT} meta nfproto ipv4 {ASKED} tproxy ip to :{PROXY} {TAKEN} comment "proxy"
        iifname {CLIENT} meta nfproto ipv6 {ASKED} tproxy ip6 to :{PROXY} {TAKEN} comment "proxy"
    }}
    chain forward {{
        type filter hook forward priority filter;
        meta l4proto {{ tcp, udp }} counter comment "forwarded"
    }}
"""


def xt():
    comment = "-m comment --comment"
    mangle = [
        "-N DIVERT",
        f"-A PREROUTING -i {CLIENT} -p tcp -m socket --transparent {comment} socket -j DIVERT",
        f"-A DIVERT -j MARK --set-mark {MARK}",
        "-A DIVERT -j ACCEPT",
        *[
            f"-A PREROUTING -i {CLIENT} -p {l4} --dport {PORT} {comment} proxy "
            f"-j TPROXY --on-port {PROXY} --tproxy-mark {MARK}"
            for l4 in ("tcp", "udp")
        ],
    ]
    forward = [f"-A FORWARD {comment} forwarded"]
    return Xtables(ROUTER, {"mangle": {4: mangle, 6: mangle}, "filter": {4: forward, 6: forward}})


def proxy_socket(kind, how, address, port):
    """A socket of the router's that may have the address of another host."""
    level, transparent, destination = OPTIONS[kind]
    with inside(ROUTER):
        made = socket.socket(family(address), how)
    made.settimeout(10 * SLOW)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(level, transparent, 1)
    made.setsockopt(level, destination, 1)
    made.bind((address, port))
    return made


def stream(what, kind, rules):
    """A TCP connection to the server ends in the proxy, which has the server's address and opens one to the server."""
    home, away = ENDS[kind]
    before = rules.packets()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(
            proxy_socket(kind, socket.SOCK_STREAM, "::" if ":" in away else "0.0.0.0", PROXY)
        )
        listener.listen()
        client = stack.enter_context(make_socket(CLIENT, home, 0, socket.SOCK_STREAM))
        equal(client.connect_ex((away, PORT)), 0, f"{what}, tcp: a connection to the server is there")
        served = stack.enter_context(listener.accept()[0])
        served.settimeout(10 * SLOW)
        equal(
            (served.getsockname()[:2], served.getpeername()[:2]),
            ((away, PORT), client.getsockname()[:2]),
            f"{what}, tcp: with the proxy, which has the server's address",
        )
        client.sendall(b"question")
        equal(served.recv(100), b"question", f"{what}, tcp: the proxy is asked")
        served.sendall(b"answer")
        equal(client.recv(100), b"answer", f"{what}, tcp: and answers")
        found = find(ROUTER, l4="tcp", sport=client.getsockname()[1])
        good = (
            len(found) == 1
            and found[0].state == "ESTABLISHED"
            and found[0].orig["dst"] == shown(away)
            and "ASSURED" in found[0].flags
        )
        check(good, f"{what}, tcp: the tracker has one entry, to the server", [one.line for one in found])
    now = grown(before, rules.packets())
    check(
        now.get("proxy", 0) >= 1 and now.get("socket", 0) >= 3,
        f"{what}, tcp: the first packet is the proxy's, the others have a socket",
        now,
    )
    check("forwarded" not in now, f"{what}, tcp: none is forwarded", now)


def datagrams(what, kind, rules):
    """A datagram to the server comes to the proxy with its destination; the answer comes from there."""
    home, away = ENDS[kind]
    level, _, destination = OPTIONS[kind]
    before = rules.packets()
    with contextlib.ExitStack() as stack:
        waits = stack.enter_context(proxy_socket(kind, socket.SOCK_DGRAM, "::" if ":" in away else "0.0.0.0", PROXY))
        client = stack.enter_context(make_socket(CLIENT, home, 0))
        client.sendto(b"question", (away, PORT))
        data, said, _, source = waits.recvmsg(100, 200)
        meant = [text for at, kind_of, text in said if (at, kind_of) == (level, destination)]
        port, address = (
            struct.unpack_from("!H", meant[0], 2)[0],
            meant[0][4:8] if level == socket.IPPROTO_IP else meant[0][8:24],
        )
        equal(
            (data, socket.inet_ntop(family(away), address), port),
            (b"question", away, PORT),
            f"{what}, udp: the proxy has a datagram to the server",
        )
        answers = stack.enter_context(proxy_socket(kind, socket.SOCK_DGRAM, away, PORT))
        answers.sendto(b"answer", source)
        came, whose = client.recvfrom(100)
        equal((came, whose[:2]), (b"answer", (away, PORT)), f"{what}, udp: the answer comes from the server's address")
        found = find(ROUTER, l4="udp", sport=client.getsockname()[1])
        good = len(found) == 1 and "UNREPLIED" not in found[0].flags
        check(good, f"{what}, udp: to the tracker they are one connection", [one.line for one in found])
    equal(grown(before, rules.packets()), {"proxy": 1}, f"{what}, udp: it was the proxy's")


NFT_SOCKET = f"""
    chain early {{
        type filter hook prerouting priority mangle;
        iifname {SERVER} meta l4proto tcp socket wildcard 0 counter comment "socket"
        iifname {SERVER} meta l4proto tcp counter comment "all"
    }}
"""


def snat(port):
    """The router's own connections leave with another source address and port."""
    return f"""
        chain after {{
            type nat hook postrouting priority srcnat;
            oifname {SERVER} meta l4proto tcp meta nfproto ipv4 snat ip to {FAR["IPv4"]}:{port}
            oifname {SERVER} meta l4proto tcp meta nfproto ipv6 snat ip6 to [{FAR["IPv6"]}]:{port}
        }}
    """


def xt_socket():
    """What the server sends is counted, and that of it which has a socket."""
    comment = "-m comment --comment"
    mangle = [
        f"-A PREROUTING -i {SERVER} -p tcp -m socket --nowildcard {comment} socket",
        f"-A PREROUTING -i {SERVER} -p tcp {comment} all",
    ]
    return Xtables(ROUTER, {"mangle": {4: mangle, 6: mangle}})


def translated(what, kind, rules):
    """The answers to a connection of the router's own have its socket, though its port was translated."""
    far, away = FAR[kind], ENDS[kind][1]
    # The server keeps a port to itself for a while.
    port = 7777 if isinstance(rules, Nft) else 7778
    nat = Nft(ROUTER, snat(port), "inet nat")
    before = rules.packets()
    with make_socket(SERVER, away, PORT, socket.SOCK_STREAM) as listener:
        listener.listen()
        with make_socket(ROUTER, far, 0, socket.SOCK_STREAM) as client:
            client.connect((away, PORT))
            served, seen = listener.accept()
            served.close()
            equal(client.recv(1), b"", f"{what}: a connection of the router's own")
            equal(seen[1], port, f"{what}: is translated")
    now = grown(before, rules.packets())
    check(now.get("all", 0) >= 2 and now.get("socket") == now.get("all"), f"{what}: its answers have its socket", now)
    nat.delete()


def scenario():
    lacking = missing("nft_tproxy", "nft_socket", "xt_TPROXY", "xt_socket", "xt_mark", "nft_nat", "nft_chain_nat")
    set_up_stacks()
    for number, everything in ((4, "0.0.0.0/0"), (6, "::/0")):
        for line in (f"rule add fwmark {MARK} lookup 100", f"route add local {everything} dev lo table 100"):
            run("ip", f"-{number}", "-n", ROUTER, *line.split())
    nat = {"nft_nat", "nft_chain_nat"}
    ways = [
        ("nft", {"nft_tproxy", "nft_socket"}, lambda: Nft(ROUTER, NFT), (stream, datagrams)),
        ("iptables", {"xt_TPROXY", "xt_socket", "xt_mark"}, xt, (stream, datagrams)),
        ("nft, NAT", {"nft_socket", *nat}, lambda: Nft(ROUTER, NFT_SOCKET), (translated,)),
        ("iptables, NAT", {"xt_socket", *nat}, xt_socket, (translated,)),
    ]
    for way, needs, make, parts in ways:
        lost = needs & set(lacking)
        if lost:
            skip(f"{way}: proxies and sockets", f"this kernel does not have {' '.join(sorted(lost))}")
            continue
        rules = make()
        for kind in ENDS:
            for part in parts:
                part(f"{kind}, {way}", kind, rules)
        rules.delete() if isinstance(rules, Nft) else rules.flush()


main(scenario)
