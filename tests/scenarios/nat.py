# SPDX-License-Identifier: GPL-2.0
"""The kernel's own NAT on the tracker: masquerade, dnat, redirect, its helper of FTP, and its end."""

# limit: 180
# left out of CI on: debug

import contextlib
import errno
import socket
import struct

from policy import (
    CLIENT,
    ENDS,
    ROUTER,
    SERVER,
    Nft,
    missing,
    set_up_stacks,
)

from netlink import listen_for_ends

from lib import (
    PARAMETERS,
    RUST,
    SLOW,
    check,
    drop_namespaces,
    equal,
    find,
    grown,
    ip_batch,
    main,
    make_socket,
    module,
    packed,
    poll,
    read,
    remove,
    run,
    shown,
    skip,
    some,
    sysctl,
    write,
)

MODULES = ("nf_nat", "nft_chain_nat", "nft_masq", "nft_nat", "nft_redir", "nf_nat_ftp")
# The router's addresses, towards the client and towards the server.
NEAR = {"IPv4": "10.1.0.1", "IPv6": "fd01::1"}
FAR = {"IPv4": "10.2.0.1", "IPv6": "fd02::1"}
# Another client, whose address is longer than the router's.
NEIGHBOUR = {"IPv4": "10.1.0.200", "IPv6": "fd01::2000"}
# An address of no host behind the router.
NOWHERE = {"IPv4": "10.9.9.9", "IPv6": "fd09::9"}

RULES = f"""
    ct helper ftp {{ type "ftp" protocol tcp; }}
    chain helpers {{
        type filter hook prerouting priority filter;
        tcp dport {{ 21, 55 }} ct helper set "ftp"
    }}
    chain before {{
        type nat hook prerouting priority dstnat;
        iifname {CLIENT} ip daddr {NEAR["IPv4"]} udp dport 8080 dnat ip to {ENDS["IPv4"][1]}:80
        iifname {CLIENT} ip6 daddr {NEAR["IPv6"]} udp dport 8080 dnat ip6 to [{ENDS["IPv6"][1]}]:80
        iifname {CLIENT} udp dport 81 redirect to :8081
        iifname {CLIENT} tcp dport 82 redirect to :8082
    }}
    chain after {{
        type nat hook postrouting priority srcnat;
        oifname {SERVER} udp dport != 55 masquerade
        oifname {SERVER} tcp dport != 55 masquerade
    }}
    chain forward {{
        type filter hook forward priority filter;
        ct state related icmp type destination-unreachable ct status snat counter comment "error"
        ct state related icmpv6 type destination-unreachable ct status snat counter comment "error"
        ct state related tcp dport != 21 ct status dnat counter comment "data"
    }}
"""


class Talk:
    """A question over UDP and its answer: what each side saw of the other."""

    def __init__(self, source, target, server, dport=None):
        """The server's own address and port are `server` where the router answers for another."""
        with contextlib.ExitStack() as stack:
            asks = stack.enter_context(make_socket(CLIENT, *source))
            ns, *where = server or (SERVER, *target)
            answers = stack.enter_context(make_socket(ns, *where))
            asks.sendto(b"question", target)
            _, self.seen = answers.recvfrom(100)
            answers.sendto(b"answer", self.seen)
            _, self.source = asks.recvfrom(100)
            self.seen, self.source = self.seen[:2], self.source[:2]


def masquerade(kind):
    """The server sees the router; two clients with one port are told apart."""
    home, away = ENDS[kind]
    talk = Talk((home, 1000), (away, 53), None)
    equal(talk.seen, (FAR[kind], 1000), f"{kind}: masquerade: the server sees the router, and the client's port")
    equal(talk.source, (away, 53), f"{kind}: masquerade: the client sees the server")
    entries = find(ROUTER, src=home, dport=53)
    answers = {"src": shown(away), "dst": shown(FAR[kind]), "sport": "53", "dport": "1000"}
    good = len(entries) == 1 and answers.items() <= entries[0].reply.items()
    check(good, f"{kind}: masquerade: the listing shows what the answers look like", [one.line for one in entries])
    other = Talk((NEIGHBOUR[kind], 1000), (away, 53), None)
    check(
        other.seen[0] == FAR[kind] and other.seen[1] != 1000,
        f"{kind}: masquerade: a second client with that port is given another",
        other.seen,
    )
    again = Talk((NEIGHBOUR[kind], 1000), (away, 54), None)
    equal(again.seen, other.seen, f"{kind}: masquerade: and keeps it towards another server's port")


def destinations(kind):
    """dnat and redirect."""
    home, away = ENDS[kind]
    talk = Talk((home, 1001), (NEAR[kind], 8080), (SERVER, away, 80))
    equal(talk.seen, (FAR[kind], 1001), f"{kind}: dnat: the server behind the router gets it, masqueraded as well")
    equal(talk.source, (NEAR[kind], 8080), f"{kind}: dnat: the answer comes from whom was asked")
    talk = Talk((home, 1002), (NOWHERE[kind], 81), (ROUTER, NEAR[kind], 8081))
    equal(talk.seen, (home, 1002), f"{kind}: redirect: the router itself gets it")
    equal(talk.source, (NOWHERE[kind], 81), f"{kind}: redirect: the answer comes from whom was asked")


def original(kind):
    """A proxy behind a redirection is told where its client was going (SO_ORIGINAL_DST)."""
    home, away = NOWHERE[kind], (NEAR[kind], 8082)
    level, size = (socket.SOL_IP, 16) if kind == "IPv4" else (socket.IPPROTO_IPV6, 28)

    def ask(one, room=size):
        try:
            return one.getsockopt(level, 80, room)
        except OSError as error:
            return errno.errorcode[error.errno]

    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(make_socket(ROUTER, *away, socket.SOCK_STREAM))
        proxy.listen()
        client = stack.enter_context(make_socket(CLIENT, ENDS[kind][0], 0, socket.SOCK_STREAM))
        client.connect((home, 82))
        served = stack.enter_context(proxy.accept()[0])
        begins = struct.pack("=H", proxy.family) + struct.pack("!H", 82)
        want = begins + packed(home) + bytes(8) if kind == "IPv4" else begins + bytes(4) + packed(home) + bytes(4)
        equal(ask(served), want, f"{kind}: redirect: the proxy is told where the client was going")
        equal(ask(served, size - 1), "EINVAL", f"{kind}: redirect: not where it has no room for that")
        equal(ask(client), begins + want[4:], f"{kind}: redirect: the client's own is where it was going as well")
        equal(ask(proxy), "ENOENT", f"{kind}: redirect: a socket without a connection has none")
        with make_socket(ROUTER, NEAR[kind]) as datagrams:
            equal(ask(datagrams), "ENOPROTOOPT", f"{kind}: redirect: nor has one of UDP")


def error(kind, rules):
    """An ICMP error about a translated packet is translated back."""
    home, away = ENDS[kind]
    before = rules.packets()
    with make_socket(CLIENT, home, 1003) as asks:
        asks.connect((away, 9))
        asks.send(b"to a closed port")
        try:
            asks.recv(100)
            came = "an answer"
        except OSError as refused:
            came = type(refused).__name__
    equal(came, "ConnectionRefusedError", f"{kind}: an ICMP error gets to the socket that it is about")
    check(grown(before, rules.packets()).get("error"), f"{kind}: it was RELATED, to a connection with snat")


def tcp(kind):
    """Two clients with one port over TCP."""
    home, away = ENDS[kind]
    with contextlib.ExitStack() as stack:
        listens = stack.enter_context(make_socket(SERVER, away, 80, socket.SOCK_STREAM))
        listens.listen()
        seen = []
        for source in (home, NEIGHBOUR[kind]):
            client = stack.enter_context(make_socket(CLIENT, source, 2000, socket.SOCK_STREAM))
            client.connect((away, 80))
            server, peer = listens.accept()
            stack.enter_context(server)
            seen.append(peer[:2])
            client.sendall(b"there")
            server.sendall(server.recv(5) + b" and back")
            equal(client.recv(14), b"there and back", f"{kind}: TCP from {source} goes there and back")
    check(
        seen[0] == (FAR[kind], 2000) and seen[1][0] == FAR[kind] and seen[1][1] != 2000,
        f"{kind}: TCP: two clients with one port come from two of the router's",
        seen,
    )


def numbers(address, port):
    """An address and a port as an FTP client names them."""
    if ":" in address:
        return f"EPRT |2|{address}|{port}|"
    return f"PORT {address.replace('.', ',')},{port >> 8},{port & 255}"


def line(stream):
    """What a side has said, up to the end of its line."""
    text = b""
    while not text.endswith(b"\r\n"):
        got = stream.recv(100)
        if not got:
            raise RuntimeError(f"the connection ended behind {text!r}")
        text += got
    return text.decode().strip()


def ftp(kind, rules):
    """An active data connection from behind NAT: the command is rewritten, and what follows it adjusted."""
    source, away = NEIGHBOUR[kind], ENDS[kind][1]
    before = rules.packets()
    with contextlib.ExitStack() as stack:
        listens = stack.enter_context(make_socket(SERVER, away, 21, socket.SOCK_STREAM))
        listens.listen()
        client = stack.enter_context(make_socket(CLIENT, source, 0, socket.SOCK_STREAM))
        waits = stack.enter_context(make_socket(CLIENT, source, 3000, socket.SOCK_STREAM))
        waits.listen()
        client.connect((away, 21))
        server = stack.enter_context(listens.accept()[0])
        server.settimeout(10 * SLOW)
        client.sendall(b"USER anonymous\r\n")
        line(server)
        said = numbers(source, 3000)
        client.sendall(f"{said}\r\n".encode())
        heard = line(server)
        want = numbers(shown(FAR[kind]), 3000)
        equal(heard, want, f"{kind}: FTP: the server hears the router's address")
        check(len(heard) != len(said), f"{kind}: FTP: which is not as long as the client's")
        server.sendall(b"200 yes\r\n")
        equal(line(client), "200 yes", f"{kind}: FTP: the answer arrives")
        for number in range(3):
            client.sendall(f"NOOP {number}\r\n".encode())
            equal(line(server), f"NOOP {number}", f"{kind}: FTP: line {number} behind it arrives")
        data = stack.enter_context(make_socket(SERVER, away, 0, socket.SOCK_STREAM))
        data.connect((FAR[kind], 3000))
        taken, _ = waits.accept()
        stack.enter_context(taken)
        data.sendall(b"what was asked for")
        equal(taken.recv(100), b"what was asked for", f"{kind}: FTP: the data gets to the client")
        seqadj = [one.line for one in find(ROUTER, src=source, dport=21)]
        check(len(seqadj) == 1, f"{kind}: FTP: one control connection", seqadj)
    check(grown(before, rules.packets()).get("data"), f"{kind}: FTP: its packets are RELATED, with dnat")


def address_gone(kind):
    """A masqueraded connection goes with the address that it was given; other connections stay."""
    home, away = ENDS[kind]
    # On a slow kernel it takes longer than the 30 s that they would have.
    sysctl("nf_conntrack_udp_timeout", 600, ROUTER)
    Talk((home, 1004), (away, 55), None)
    Talk((home, 1005), (away, 56), None)
    length = 64 if kind == "IPv6" else 24
    ip_batch(ROUTER, f"addr del {FAR[kind]}/{length} dev {SERVER}")
    check(poll(lambda: not find(ROUTER, src=home, dport=56), 10), f"{kind}: a masqueraded connection goes with its address")
    equal(len(find(ROUTER, src=home, dport=55)), 1, f"{kind}: one that was not translated stays")
    sysctl("nf_conntrack_udp_timeout", 30, ROUTER)
    nodad = " nodad" if kind == "IPv6" else ""
    ip_batch(ROUTER, f"addr add {FAR[kind]}/{length} dev {SERVER}{nodad}")


def announce(home, away, port):
    """A data connection that NAT has only looked at, and holds its control connection, which is deleted."""
    with contextlib.ExitStack() as stack:
        listens = stack.enter_context(make_socket(SERVER, away, 55, socket.SOCK_STREAM))
        listens.listen()
        client = stack.enter_context(make_socket(CLIENT, home, 0, socket.SOCK_STREAM))
        waits = stack.enter_context(make_socket(CLIENT, home, port, socket.SOCK_STREAM))
        waits.listen()
        client.connect((away, 55))
        server = stack.enter_context(listens.accept()[0])
        server.settimeout(10 * SLOW)
        client.sendall(f"{numbers(home, port)}\r\n".encode())
        line(server)
        data = stack.enter_context(make_socket(SERVER, away, 0, socket.SOCK_STREAM))
        data.connect((home, port))
        stack.enter_context(waits.accept()[0])
        run("conntrack", "-D", "-p", "tcp", "--dport", "55", ns=ROUTER)


def waiting(port):
    """Whether the DESTROY event of the connection to a port waits."""
    return f"dport={port}" in run("conntrack", "-L", "dying", ns=ROUTER, must=False)[1]


def fill(home, away):
    """So many connections end that a listener which does not read has no room for more."""
    with make_socket(CLIENT, home, 1009) as sender:
        for port in range(6000, 6040):
            with contextlib.suppress(OSError):
                sender.sendto(b"x", (away, port))
    run("conntrack", "-D", "-p", "udp", "-s", home, "--sport", "1009", ns=ROUTER)


@contextlib.contextmanager
def queued(home, away):
    """A packet waits in a device's queue, and has a connection that NAT has translated and that was deleted."""
    run("tc", "qdisc", "add", "dev", SERVER, "root", "netem", "delay", "1000s", ns=ROUTER)
    with make_socket(CLIENT, home, 1010) as sender:
        sender.sendto(b"x", (away, 60))
    check(poll(lambda: find(ROUTER, src=home, sport=1010), 10), "a packet waits in a queue")
    run("conntrack", "-D", "-p", "udp", "-s", home, "--sport", "1010", ns=ROUTER)
    equal(find(ROUTER, src=home, sport=1010), [], "its connection is deleted")
    yield
    run("tc", "qdisc", "delete", "dev", SERVER, "root", ns=ROUTER)


def outlive(home, away, go):
    """NAT goes and comes again while two data connections hold their deleted masters: the first is in the table, the
    DESTROY event of the second is still to be delivered. A third is held by a packet in a queue. None is on a list of
    NAT's any more: KASAN looks.

    nf_conntrack leaves all on lists that are freed, and writes there.
    """
    announce(home, away, 3001)
    with listen_for_ends(ROUTER, room=2048, reliable=True):
        announce(home, away, 3002)
        fill(home, away)
        run("conntrack", "-D", "-p", "tcp", "--dport", "3002", ns=ROUTER)
        check(waiting(3002), "the end of a data connection waits to be told")
        with queued(home, away):
            go()
            equal(len(find(ROUTER, src=away, dport=3001)), 1, "a data connection stays")
            check(waiting(3002), "the end of the other one waits still")
            # NAT's new lists are not to be where its old lists were.
            write(f"{PARAMETERS}/hashsize", str(4 * int(read(f"{PARAMETERS}/hashsize"))))
            check(module("nf_nat"), "NAT is loaded again")
    check(poll(lambda: not waiting(3002), 10), "when the listener is gone, that one goes, and its master")
    run("conntrack", "-D", "-p", "tcp", "--dport", "3001", ns=ROUTER)
    equal(find(ROUTER, src=away, dport=3001), [], "the other one goes, and its master")


def end(rules):
    """NAT is unloaded: what it has translated goes, what it has only looked at stays, until its namespace goes."""
    home, away = ENDS["IPv4"]
    # On a slow machine NAT takes its time to go, and nothing is to end by itself meanwhile.
    closing = [f"tcp_timeout_{state}" for state in ("fin_wait", "close_wait", "last_ack", "time_wait", "close")]
    for name in ("udp_timeout", "udp_timeout_stream", *closing):
        sysctl(f"nf_conntrack_{name}", 600, ROUTER)
    Talk((home, 1006), (away, 55), None)
    Talk((home, 1007), (away, 57), None)

    def go():
        rules.delete()
        remove("nf_nat")
        equal(find(ROUTER, src=home, sport=1007), [], "with NAT goes what it has translated")
        equal(len(find(ROUTER, src=home, sport=1006)), 1, "what it has not stays")

    if RUST:
        outlive(home, away, go)
    else:
        go()


def nat():
    if missing(*MODULES):
        skip("NAT", f"no module {' '.join(missing(*MODULES))}")
        return
    set_up_stacks()
    check(module("nf_nat_ftp"), "nf_nat_ftp.ko loads")  # the kernel does not load it by itself
    for one in NEIGHBOUR.values():
        ip_batch(CLIENT, f"addr add {one}/64 dev {ROUTER} nodad" if ":" in one else f"addr add {one}/24 dev {ROUTER}")
    rules = Nft(ROUTER, RULES)
    for kind in some(ENDS):
        masquerade(kind)
        destinations(kind)
        original(kind)
        error(kind, rules)
        tcp(kind)
        ftp(kind, rules)
        address_gone(kind)
    end(rules)
    drop_namespaces()


main(nat)
