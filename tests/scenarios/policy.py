# SPDX-License-Identifier: GPL-2.0
"""What the scenarios about rules share: counted nft rules, expectations, crafted sessions, a real firewall."""

import contextlib
import errno
import os
import re
import select
import socket

from lib import (
    CT,
    SLOW,
    Port,
    Rules,
    check,
    client_router_server,
    equal,
    find,
    grown,
    icmp,
    ip,
    listing,
    load,
    mac_of,
    make_socket,
    module,
    poll,
    read,
    run,
    shown,
    tcp,
    udp,
)

CLIENT, ROUTER, SERVER = "rct-c", "rct-r", "rct-s"
ENDS = {"IPv4": ("10.1.0.2", "10.2.0.2"), "IPv6": ("fd01::2", "fd02::2")}


def one_cpu():
    """Keeps this process, and so the packets that it sends, on one processor: they stay in order."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def missing(*names):
    """The modules, of some, that this kernel does not have, or that do not load on this tracker."""
    if not os.path.isdir(f"/sys/module/{CT}"):
        load()  # a module that is loaded first would bring nf_conntrack along
    return [name for name in names if not module(name)]


# ---------------------------------------------------------------------------------------- nft rules


class Nft:
    """One nft table `inet rct` in a namespace; its counters are read by the comments of their rules."""

    def __init__(self, ns, text, name="inet rct"):
        self.ns, self.name = ns, name
        run("nft", "-f", "-", ns=ns, text=f"add table {name}\ndelete table {name}\ntable {name} {{\n{text}\n}}\n")

    def listed(self):
        """The rules as nft lists them."""
        return run("nft", "list", "table", *self.name.split(), ns=self.ns)[1]

    def counted(self, what=1):
        """comment -> packets (1) or bytes (2); rules of one comment are added."""
        total = {}
        for match in re.finditer(r'counter packets (\d+) bytes (\d+).* comment "([^"]+)"', self.listed()):
            total[match[3]] = total.get(match[3], 0) + int(match[what])
        return total

    def packets(self):
        return self.counted()

    def delete(self):
        run("nft", "delete", "table", *self.name.split(), ns=self.ns)


def numbered(rows):
    """Rules of a table of rows (what, match, ...), each counted under its number."""
    return "\n".join(f'{row[1]} counter comment "row{n}"' for n, row in enumerate(rows))


def check_rows(got, rows, prefix):
    """Checks what each row (what, match, want) has counted."""
    for n, (what, match, want) in enumerate(rows):
        equal(got.get(f"row{n}"), want, f"{prefix}: {what}: {match if isinstance(match, str) else ' '.join(match)}")


# -------------------------------------------------------------------------------------- iptables rules


class Xtables(Rules):
    """Rules of iptables and ip6tables in a namespace, all of a table at once: table -> lines of iptables-save."""

    def __init__(self, ns, tables, families=(4, 6)):
        super().__init__(ns, families)
        for command, number in zip(self.commands, families):
            text = "".join(f"*{table}\n" + "\n".join(lines[number]) + "\nCOMMIT\n" for table, lines in tables.items())
            run(f"{command}-restore", ns=ns, text=text)

    def flush(self):
        for command in self.commands:
            text = "".join(f"*{table}\n" + ":PREROUTING ACCEPT\nCOMMIT\n" for table in ("raw", "mangle"))
            run(f"{command}-restore", ns=self.ns, text=text + "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\nCOMMIT\n")


# ------------------------------------------------------------------------------------- expectations

EXPECT_LINE = re.compile(
    r"(?P<seconds>\d+) l3proto = (?P<l3>\d+) proto=(?P<proto>\d+) src=(?P<src>\S+) dst=(?P<dst>\S+) "
    r"(?:sport=(?P<sport>\d+) dport=(?P<dport>\d+) |srckey=(?P<srckey>\S+) dstkey=(?P<dstkey>\S+) )"
    r"(?P<flags>(?:PERMANENT)?,?(?:INACTIVE)?,?(?:USERSPACE)?) ?(?P<helper>\S*)"
)


def expectations(ns, of=None):
    """The expectations of a namespace, or of an address in it, a dictionary for each line."""
    found = []
    for line in read("/proc/net/nf_conntrack_expect", ns).splitlines():
        match = EXPECT_LINE.fullmatch(line)
        if not match:
            raise RuntimeError(f"no line of nf_conntrack_expect: {line!r}")
        one = {key: value for key, value in match.groupdict().items() if value}
        if of is None or shown(of) in (one["src"], one["dst"]):
            found.append(one)
    return found


def expected(proto, src, dst, dport, helper, flags=None, sport=0):
    """An expectation as expectations() shows it, without its seconds; src None is any address."""
    v6 = ":" in dst
    want = {
        "l3": "10" if v6 else "2",
        "proto": str(proto),
        "src": shown(src or ("::" if v6 else "0.0.0.0")),
        "dst": shown(dst),
        "sport": str(sport),
        "dport": str(dport),
    }
    if flags:
        want["flags"] = flags
    if helper:
        want["helper"] = helper
    return want


def check_expected(ns, want, what, seconds=None, of=None):
    """Checks that the expectations of a namespace, or of an address, are these, and how long they have."""
    have = expectations(ns, of)
    left = [int(one.pop("seconds")) for one in have]
    key = lambda one: sorted(one.items())  # noqa: E731
    good = equal(sorted(have, key=key), sorted(want, key=key), what)
    if seconds and want:
        check(all(seconds - 60 * SLOW <= one <= seconds for one in left), f"{what}, for {seconds} seconds", left)
    return good


def error_of(asks):
    """The error that a socket gets instead of an answer, or None."""
    try:
        asks.recv(100)
    except OSError as error:
        return error.errno
    return None


# --------------------------------------------------------------------------------- crafted sessions


def pair(v6):
    """Addresses behind port a and port b of a Router, that were not used before."""
    pair.last += 1
    return (f"fd01::{pair.last}:2", f"fd02::{pair.last}:2") if v6 else (f"10.1.{pair.last}.2", f"10.2.{pair.last}.2")


pair.last = 0


def delivered(net, side, *packets, back=False):
    """Sends packets into port a or b of a Router; returns the packets that came out of the other, or came `back`.

    A marked packet is sent behind them, so nothing is waited for that does not come (see one_cpu).
    """
    ends = [(net.a, net.A4), (net.b, net.B4)]
    (into, src), (out, dst) = ends if side == "a" else ends[::-1]
    if back:
        out, dst = into, src
    marker = ip(src, dst, 254, os.urandom(8))
    out.drain()
    into.send(*packets, marker)
    came = []
    while True:
        found = out.received(10, 1, lambda packet: packet[20:] == marker[20:] or packet[:1] in (b"\x45", b"\x60"))
        if not found:
            raise RuntimeError("the router forwards nothing")
        if found[0][20:] == marker[20:]:
            return came
        came.append(found[0])


class Stream:
    """A TCP connection of crafted segments through a Router, from c to s.

    c is behind port a and s behind port b, or if it is `inward` the other way round.
    """

    def __init__(self, net, pair, sport=40000, dport=21, begun=True, inward=False):
        self.net = net
        self.ports = dict(zip("cs", "ba" if inward else "ab"))
        self.ends = {"c": (pair[0], sport), "s": (pair[1], dport)}
        self.next = {"c": 1000, "s": 5000}
        if begun:
            self.begin()

    def segment(self, side, flags, data=b"", seq=None):
        """Sends one segment; returns whether it came through."""
        other = "s" if side == "c" else "c"
        (src, sport), (dst, dport) = self.ends[side], self.ends[other]
        at = self.next[side] if seq is None else seq
        ack = self.next[other] if "A" in flags else 0
        packet = tcp(src, dst, sport, dport, flags, seq=at, ack=ack, data=data)
        if seq is None:
            self.next[side] += len(data) + ("S" in flags) + ("F" in flags)
        return bool(delivered(self.net, self.ports[side], packet))

    def begin(self):
        self.segment("c", "S")
        self.segment("s", "SA")
        self.segment("c", "A")

    def say(self, side, data):
        """A line, or a part of a line, in one segment."""
        return self.segment(side, "PA", data.encode() if isinstance(data, str) else data)

    def again(self, side, data):
        """The last such segment once more, as a retransmission."""
        return self.segment(side, "PA", data.encode(), self.next[side] - len(data))

    def reset(self):
        self.segment("c", "RA")



class Flows:
    """What is sent for the tables of keys: ten packets of a UDP and a TCP connection, an error, a forgery."""

    def __init__(self, net, v6):
        self.net, self.v6 = net, v6
        self.pair = self.src, self.dst = pair(v6)
        self.length = 60 if v6 else 40

    def entries(self, l4):
        """What is listed of these flows."""
        return [one for one in listing(self.net.ns) if one.l4 == l4 and shown(self.src) in one.orig.values()]

    def a_udp(self, dport=53, ttl=64):
        return delivered(self.net, "a", udp(self.src, self.dst, 1000, dport, b"x" * 12, ttl=ttl))

    def b_udp(self, dport=53, ttl=64):
        return delivered(self.net, "b", udp(self.dst, self.src, dport, 1000, b"x" * 12, ttl=ttl))

    def as_stream(self):
        """More of an answered UDP connection, until it is a stream (two seconds), as its time shows."""
        poll(lambda: self.a_udp() and self.entries("udp")[0].seconds > 3000, 10, 0.3)
        return [one.seconds for one in self.entries("udp")]

    def send(self):
        """UDP there, back, there; an error about it; TCP: SYN, SYN/ACK, ACK, data, ACK; a segment without flags."""
        self.a_udp()
        self.b_udp()
        self.a_udp()
        error = (1, 4) if self.v6 else (3, 3)
        delivered(
            self.net, "b", icmp(self.dst, self.src, *error, data=udp(self.src, self.dst, 1000, 53, b"x" * 12))
        )
        stream = Stream(self.net, self.pair, 2000, 80)
        stream.say("c", "x" * 10)
        stream.segment("s", "A")
        delivered(self.net, "a", tcp(self.src, self.dst, 2001, 80, ""))


# ------------------------------------------------------------------------------- sockets that speak FTP


class Control:
    """A control connection of FTP, without FTP's programs: client and server say what a helper is to read."""

    def __init__(self, kind, target=None):
        self.home, self.away = ENDS[kind]
        with make_socket(SERVER, self.away, 21, socket.SOCK_STREAM) as listener:
            listener.listen()
            self.client = make_socket(CLIENT, self.home, 0, socket.SOCK_STREAM)
            self.client.connect((target or self.away, 21))
            self.server, seen = listener.accept()
        self.server.settimeout(10 * SLOW)
        self.seen = seen[0]
        v6 = kind == "IPv6"
        number = "|||{0}|" if v6 else f"{self.away.replace('.', ',')},{{1}}"
        self.passive = f"22{'9' if v6 else '7'} Entering Passive Mode ({number})\r\n"
        self.active = f"EPRT |2|{self.home}|{{0}}|\r\n" if v6 else f"PORT {self.home.replace('.', ',')},{{1}}\r\n"
        self.asks = "EPSV\r\n" if v6 else "PASV\r\n"
        self.says("server", "220 ready\r\n")
        self.says("client", "USER me\r\n")

    def announcement(self, side, port):
        """The line in which a side says where it waits."""
        return (self.active if side == "client" else self.passive).format(port, f"{port >> 8},{port & 255}")

    def says(self, side, line):
        """A line of one side; returns what the other side reads."""
        here, there = (self.client, self.server) if side == "client" else (self.server, self.client)
        here.sendall(line.encode())
        return there.recv(1000).decode()

    def data(self, what, caller, target, listener):
        """A data connection; returns the caller's address, as the listener saw it."""
        with make_socket(*listener, kind=socket.SOCK_STREAM) as waits:
            waits.listen()
            with make_socket(*caller, kind=socket.SOCK_STREAM) as calls:
                equal(calls.connect_ex(target), 0, f"{what}: the data connection is let in")
                served, seen = waits.accept()
                with served:
                    served.sendall(b"file")
                    equal(calls.recv(100), b"file", f"{what}: and the file comes over")
        return seen[0]

    def close(self):
        self.client.close()
        self.server.close()


# ----------------------------------------------------------------------------------- a real firewall


def set_up_stacks():
    """Client, router and server with stacks of their own; the tracker counts packets."""
    client_router_server()
    load("acct=1")


class Firewall:
    """The policy of a firewall as its rules count it, for a host (the client) or the router before it.

    `rules` counts outgoing (NEW from inside, on a router only), established, related, invalid, service
    (NEW to TCP port 22 inside) and strangers (all other NEW).
    """

    def __init__(self, rules, router, kind):
        self.rules, self.router = rules, router
        self.home, self.away = ENDS[kind]
        self.what = f"{kind} {'router' if router else 'host'}"
        self.port = 5002 if router else 5001  # the router has seen what the host said
        self.before = rules.packets()

    def counted(self, host, router, what):
        """Checks what was counted since the last time."""
        now = self.rules.packets()
        equal(grown(self.before, now), router if self.router else host, f"{self.what}: {what}")
        self.before = now

    def questions(self):
        """UDP answers come in, and each packet is counted."""
        with make_socket(SERVER, self.away, 53) as server, make_socket(CLIENT, self.home, self.port) as client:
            answers = []
            for turn in range(5):
                client.sendto(b"question %d" % turn, (self.away, 53))
                server.sendto(b"answer %d" % turn, server.recvfrom(100)[1])
                answers.append(client.recv(100))
            equal(answers, [b"answer %d" % n for n in range(5)], f"{self.what}: five answers come in")
        self.counted({"established": 5}, {"outgoing": 1, "established": 9}, "five questions and answers are counted")

    def refusal(self):
        """The ICMP error about a packet of ours comes in as RELATED."""
        with make_socket(CLIENT, self.home, self.port) as client:
            client.connect((self.away, 9))
            client.send(b"nobody is there")
            refused = error_of(client)
        equal(refused, errno.ECONNREFUSED, f"{self.what}: the ICMP error about a closed port comes in")
        self.counted({"related": 1}, {"outgoing": 1, "related": 1}, "it is counted as RELATED")

    def rejection(self):
        """The same of a TCP connection, which the server's firewall rejects by an ICMP error."""
        command = "iptables" if "." in self.away else "ip6tables"
        rule = ("INPUT", "-p", "tcp", "--dport", "81", "-j", "REJECT")
        run(command, "-w", "-A", *rule, ns=SERVER)
        with make_socket(CLIENT, self.home, 0, socket.SOCK_STREAM) as caller:
            equal(
                caller.connect_ex((self.away, 81)), errno.ECONNREFUSED, f"{self.what}: the ICMP error about a SYN comes in"
            )
        run(command, "-w", "-D", *rule, ns=SERVER)
        now = self.rules.packets()
        got = grown(self.before, now)
        self.before = now
        # On a slow machine the SYN may have been sent twice.
        names = {"outgoing", "related"} if self.router else {"related"}
        check(set(got) == names and len(set(got.values())) == 1, f"{self.what}: it is counted as RELATED", got)

    def stream(self):
        """A TCP connection to outside works; the tracker and the rules count the same packets."""
        with make_socket(SERVER, self.away, 80, socket.SOCK_STREAM) as listener:
            listener.listen()
            with make_socket(CLIENT, self.home, 0, socket.SOCK_STREAM) as stream:
                stream.connect((self.away, 80))
                port = stream.getsockname()[1]
                with listener.accept()[0] as served:
                    served.settimeout(10 * SLOW)
                    stream.sendall(b"GET")
                    served.recv(3)
                    served.sendall(b"x" * 30000)
                    got = 0
                    while got < 30000:
                        got += len(stream.recv(65536))
                equal((got, stream.recv(1)), (30000, b""), f"{self.what}: a page comes in over TCP, and its end")
        self.all_counted((port, 80), {"outgoing", "established"} if self.router else {"established"}, "all its packets")

    def all_counted(self, ports, names, what):
        """Waits for the end of a TCP connection, then compares the rules' counters with the tracker's own.

        Both `ports` name it: another connection may have been given the same source port before.
        On a slow machine a SYN may come twice, so each is not counted exactly, but all together are.
        """
        it = {"l4": "tcp", "sport": ports[0], "dport": ports[1]}
        over = poll(lambda: [one.state for one in find(ROUTER, **it)] == ["TIME_WAIT"], 10)
        check(over, f"{self.what}: it is over", [one.line for one in find(ROUTER, l4="tcp")])
        entry = find(ROUTER if self.router else CLIENT, **it)[0]
        sides = (entry.orig, entry.reply) if self.router else (entry.reply if "service" not in names else entry.orig,)
        packets = sum(int(one["packets"]) for one in sides)
        now = self.rules.packets()
        got = grown(self.before, now)
        self.before = now
        check(
            set(got) == names and sum(got.values()) == packets,
            f"{self.what}: {what} are counted as {' and '.join(sorted(names))}, as many as by the tracker",
            f"rules {got}, tracker {packets}",
        )

    def service(self):
        """What the policy offers is in reach."""
        with make_socket(CLIENT, self.home, 22, socket.SOCK_STREAM) as listener:
            listener.listen()
            with make_socket(SERVER, self.away, 0, socket.SOCK_STREAM) as caller:
                caller.connect((self.home, 22))
                port = caller.getsockname()[1]
                listener.accept()[0].close()
                equal(caller.recv(1), b"", f"{self.what}: a stranger reaches the service that is offered")
        self.all_counted((port, 22), {"service", "established"}, "its packets")

    def strangers(self):
        """Unsolicited packets stay out."""
        with make_socket(CLIENT, self.home, 4000) as victim, make_socket(SERVER, self.away, self.port) as attacker:
            for _ in range(7):
                attacker.sendto(b"let me in", (self.home, 4000))
            check(not select.select([victim], [], [], 0.5)[0], f"{self.what}: UDP from a stranger stays out")
        self.counted({"strangers": 7}, {"strangers": 7}, "seven packets are counted as strangers'")
        with make_socket(CLIENT, self.home, 23, socket.SOCK_STREAM) as listener:
            listener.listen()
            with make_socket(SERVER, self.away, 0, socket.SOCK_STREAM) as caller:
                caller.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    caller.connect((self.home, 23))
                held = not select.select([listener], [caller], [], 0.5)[0]
                check(held, f"{self.what}: TCP from a stranger stays out")
        now = self.rules.packets()
        equal(list(grown(self.before, now)), ["strangers"], f"{self.what}: its SYNs are counted as strangers'")
        self.before = now

    def forgeries(self):
        """What belongs to no connection and begins none is INVALID."""
        home, away = self.home, self.away
        forger = Port(SERVER, ROUTER, mac_of(ROUTER, SERVER))
        inner = tcp(home, away, 999, 999, "S")
        unreachable = (3, 1) if "." in home else (1, 3)
        with make_socket(CLIENT, home, 22, socket.SOCK_STREAM) as listener:
            listener.listen()
            forger.send(
                tcp(away, home, 80, 1234, "SA", seq=1, ack=1),
                tcp(away, home, 80, 1234, "R", seq=1),
                tcp(away, home, 1234, 22, "S", check_sum=0xBAD),
                tcp(away, home, 1234, 22, ""),
                icmp(away, home, *unreachable, data=inner),
            )
            check(not select.select([listener], [], [], 0.5)[0], f"{self.what}: forgeries stay out")
        self.counted({"invalid": 5}, {"invalid": 5}, "five forgeries are counted as INVALID")

    def all(self):
        self.questions()
        self.refusal()
        self.rejection()
        self.stream()
        self.service()
        self.strangers()
        self.forgeries()
