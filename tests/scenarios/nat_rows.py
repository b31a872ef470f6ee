# SPDX-License-Identifier: GPL-2.0
"""Every way to translate that nft and iptables have, row by row: what goes out, what comes back, errors about both.

And two clients that share an address, ports that run out, a way back to the sender, entries that are deleted.
"""

# limit: 300
# left out of CI on: debug

import socket
import struct
import typing

from netlink import (
    CT_DELETE,
    CTNETLINK,
    ask,
    tuple_to,
)
from policy import (
    Nft,
    Xtables,
    missing,
    one_cpu,
    pair,
)
from translation import (
    Packet,
    Talk,
    bracketed,
    came,
    sctp,
)

from lib import (
    Router,
    check,
    echo,
    equal,
    find,
    icmp,
    ip,
    ip_batch,
    load,
    main,
    poll,
    run,
    shown,
    skip,
    some,
    statistics,
    tcp,
    udp,
)


class Row(typing.NamedTuple):
    """A rule at PRE_ROUTING or POST_ROUTING by nft, and by iptables; None where that program does not have it."""

    what: str
    hook: str
    nft: str | None
    xt: str | None
    # What becomes of the source or the destination: a name of Place, and ports, or None where they stay.
    address: str | None = None
    ports: range | None = None
    # Of eight at once: what differs among them, and what holds.
    differ: str | None = None
    holds: typing.Callable | None = None


FOUR, EIGHT = range(2000, 2004), range(2000, 2008)

ONE = [
    Row("snat", "post", "snat {l3} to {outer}", "SNAT --to-source {outer}", "outer"),
    Row("snat to a port", "post", "snat {l3} to {outer_}:2000", "SNAT --to-source {outer_}:2000", "outer", FOUR[:1]),
    Row(
        "snat to ports", "post",
        "snat {l3} to {outer_}:2000-2003", "SNAT --to-source {outer_}:2000-2003", "outer", FOUR,
    ),
    Row("snat to addresses", "post", "snat {l3} to {outers}", "SNAT --to-source {outers}", "outers"),
    Row("masquerade", "post", "masquerade", "MASQUERADE", "router"),
    Row("masquerade to ports", "post", "masquerade to :2000-2003", "MASQUERADE --to-ports 2000-2003", "router", FOUR),
    Row(
        "snat of a net", "post",
        "snat {l3} prefix to {l3} saddr map {{ {client_net} : {outer_net} }}", "NETMAP --to {outer_net}", "outer",
    ),
    Row("dnat", "pre", "dnat {l3} to {server}", "DNAT --to-destination {server}", "server"),
    Row(
        "dnat to a port", "pre",
        "dnat {l3} to {server_}:2000", "DNAT --to-destination {server_}:2000", "server", FOUR[:1],
    ),
    Row(
        "dnat to ports", "pre",
        "dnat {l3} to {server_}:2000-2003", "DNAT --to-destination {server_}:2000-2003", "server", FOUR,
    ),
    Row("dnat to addresses", "pre", "dnat {l3} to {servers}", "DNAT --to-destination {servers}", "servers"),
    Row(
        "dnat by a map", "pre",
        "dnat {l3} to {l3} daddr . th dport map {{ {outer} . 80 : {server} . 2000 }}", None, "server", FOUR[:1],
    ),
    Row(
        "dnat of a net", "pre",
        "dnat {l3} prefix to {l3} daddr map {{ {outer_net} : {server_net} }}", "NETMAP --to {server_net}", "server",
    ),
]  # fmt: skip


def sources(ends):
    return [one[0] for one in ends]


def targets(ends):
    return [one[1] for one in ends]


def stay(before, after):
    """The ports are the same."""
    return [port for _, port in sources(before)] == [port for _, port in sources(after)]


def others(before, after):
    """The ports are others (one may be the same by chance)."""
    return not stay(before, after) and all(port >= 1024 for _, port in sources(after))


def one_each(before, after):
    """Each has one of the eight ports."""
    return {port for _, port in sources(after)} == set(EIGHT)


def shifted(before, after):
    """Each port has the one at its place in the range."""
    return [port for _, port in targets(after)] == list(EIGHT)


def scattered(before, after):
    """They get to several of the eight ports."""
    return 1 < len({port for _, port in targets(after)} & set(EIGHT)) == len({port for _, port in targets(after)})


def several_sources(before, after):
    """The client has several addresses."""
    return len({address for address, _ in sources(after)}) > 1


def one_source(before, after):
    """The client has one address."""
    return len({address for address, _ in sources(after)}) == 1


def several_targets(before, after):
    """The clients get to several servers."""
    return len({address for address, _ in targets(after)}) > 1


def eight(what, hook, nft, xt, differ, holds):
    return Row(what, hook, nft, xt, differ=differ, holds=holds)


MANY = [
    eight("snat", "post", "snat {l3} to {outer}", "SNAT --to-source {outer}", "sport", stay),
    eight("snat random", "post", "snat {l3} to {outer} random", "SNAT --to-source {outer} --random", "sport", others),
    eight(
        "snat fully-random", "post",
        "snat {l3} to {outer} fully-random", "SNAT --to-source {outer} --random-fully", "sport", others,
    ),
    eight("masquerade random", "post", "masquerade random", "MASQUERADE --random", "sport", others),
    eight("masquerade fully-random", "post", "masquerade fully-random", "MASQUERADE --random-fully", "sport", others),
    eight(
        "snat to ports", "post",
        "snat {l3} to {outer_}:2000-2007", "SNAT --to-source {outer_}:2000-2007", "sport", one_each,
    ),
    eight(
        "snat to ports fully-random", "post", "snat {l3} to {outer_}:2000-2007 fully-random",
        "SNAT --to-source {outer_}:2000-2007 --random-fully", "sport", one_each,
    ),
    eight(
        "snat to addresses", "post",
        "snat {l3} to {outers}", "SNAT --to-source {outers}", "server", several_sources,
    ),
    eight(
        "snat to addresses persistent", "post",
        "snat {l3} to {outers} persistent", "SNAT --to-source {outers} --persistent", "server", one_source,
    ),
    eight(
        "dnat to addresses", "pre",
        "dnat {l3} to {servers}", "DNAT --to-destination {servers}", "client", several_targets,
    ),
    eight(
        "dnat to ports random", "pre", "dnat {l3} to {server_}:2000-2007 random",
        "DNAT --to-destination {server_}:2000-2007 --random", "sport", scattered,
    ),
    eight(
        "dnat to ports in their order", "pre", None, "DNAT --to-destination {server_}:2000-2007/80", "dport", shifted,
    ),
]  # fmt: skip

OWN = [
    Row("redirect", "pre", "redirect", "REDIRECT", ports=range(80, 81)),
    Row("redirect to ports", "pre", "redirect to :2000-2003", "REDIRECT --to-ports 2000-2003", ports=FOUR),
    Row(
        "redirect to ports random", "pre",
        "redirect to :2000-2003 random", "REDIRECT --to-ports 2000-2003 --random", ports=FOUR,
    ),
]  # fmt: skip

MODULES = {
    "nft": {"snat": "nft_nat", "dnat": "nft_nat", "masquerade": "nft_masq", "redirect": "nft_redir"},
    "iptables": {
        "SNAT": "xt_nat",
        "DNAT": "xt_nat",
        "MASQUERADE": "xt_MASQUERADE",
        "NETMAP": "xt_NETMAP",
        "REDIRECT": "xt_REDIRECT",
    },
}


class Place:
    """Addresses that a row has to itself: a client, a server, and a net that either may be part of."""

    def __init__(self, v6):
        self.v6, self.l3 = v6, "ip6" if v6 else "ip"
        self.client, self.server = pair(v6)
        self.outer = f"fd03::{pair.last}:2" if v6 else f"198.18.{pair.last}.2"
        self.near, self.router = ("fd01::1", "fd02::1") if v6 else ("10.1.0.1", "10.2.0.1")
        for name in ("client", "server", "outer"):
            net = getattr(self, name)[:-1]
            setattr(self, f"{name}_", bracketed(f"{net}2"))
            setattr(self, f"{name}s", f"{net}2-{net}5")
            setattr(self, f"{name}_net", f"{net}0/{112 if v6 else 24}")

    def all(self, name, number=4):
        """Some addresses of the net of a name's address."""
        return [f"{getattr(self, name)[:-1]}{n}" for n in range(2, 2 + number)]

    def may_be(self, name):
        """The addresses that a name of Row stands for."""
        return self.all(name[:-1]) if name.endswith("s") else [getattr(self, name)]


class Translation:
    """The rules of some rows, each at a Place of its own, by nft or by iptables."""

    def __init__(self, net, way, rows):
        self.net = net
        made = [(row.hook, place.l3, rule) for row, place in rows for rule in self.rules(way, row, place)]
        if way == "nft":
            text = ""
            for hook, priority in (("pre", "dstnat"), ("post", "srcnat")):
                rules = "\n".join(rule for at, _, rule in made if at == hook)
                text += f"chain {hook} {{ type nat hook {hook}routing priority {priority};\n{rules}\n}}\n"
            self.table = Nft(net.ns, text)
        else:
            lines = {4: [], 6: []}
            for hook, l3, rule in made:
                lines[6 if l3 == "ip6" else 4].append(f"-A {hook.upper()}ROUTING {rule}")
            self.table = Xtables(net.ns, {"nat": lines})

    @staticmethod
    def rules(way, row, place):
        """A rule for all protocols, or one each for TCP and UDP."""
        protos = ["tcp", "udp"] if row.ports or row.differ else [""]
        if way == "nft":
            match = f"saddr {place.client_net}" if row.hook == "post" else f"daddr {place.outer}"
            target = row.nft.format(**vars(place))
            return [f"{place.l3} {match} {proto and f'meta l4proto {proto} '}{target}" for proto in protos]
        match = f"-s {place.client_net}" if row.hook == "post" else f"-d {place.outer}"
        target = row.xt.format(**vars(place))
        return [f"{match} {proto and f'-p {proto} '}-j {target}" for proto in protos]

    def delete(self):
        if isinstance(self.table, Nft):
            self.table.delete()
        else:
            for command in self.table.commands:
                run(command, "-w", "-t", "nat", "-F", ns=self.net.ns)


def asked_of(row, place):
    """The address that the client asks: one that becomes the server's, or the server's own."""
    return place.outer if row.hook == "pre" else place.server


class One:
    """What a row does with a datagram, errors about it, a TCP connection, and other protocols."""

    def __init__(self, net, what, row, place):
        self.net, self.what, self.row, self.place = net, f"{what}: {row.what}", row, place
        self.asked = asked_of(row, place)

    def fits(self, ends):
        """Whether the packet that came out has one end as the row gives it, and the other end as it was."""
        changed, other = ends if self.row.hook == "post" else ends[::-1]
        port, kept = (1000, (self.place.server, 80)) if self.row.hook == "post" else (80, (self.place.client, 1000))
        ports = self.row.ports or [port]
        return other == kept and changed[0] in self.place.may_be(self.row.address) and changed[1] in ports

    def exchange(self, l4):
        """A question and its answer."""
        talk = Talk(self.net, l4, (self.place.client, 1000), None, asked=(self.asked, 80))
        if l4 == "udp":
            talk.say("c", b"question")
            talk.say("s", b"answer")
        outside = (talk.sees.get("s"), talk.own.get("s"))
        good = not talk.wrong and self.fits(outside)
        check(good, f"{self.what}: {l4.upper()} goes out as it says, and the answer comes back", (outside, talk.wrong))
        return outside

    def errors(self, outside):
        """ICMP errors about what was sent, from a router on the way, and about what was answered, from the client."""
        place, net = self.place, self.net
        hop = net.B6 if place.v6 else net.B4
        exceeded, closed = ((3, 0), (1, 4)) if place.v6 else ((11, 0), (3, 3))
        (src, sport), (dst, dport) = outside
        found = came(net, "b", icmp(hop, src, *exceeded, data=udp(src, dst, sport, dport, b"question")))
        inner = [(one.src, one.dst, Packet(one.body[8:]).ends) for one in found]
        # What comes from behind a changed destination comes from the address that was asked.
        want = (hop if self.row.hook == "post" else self.asked, place.client, ((place.client, 1000), (self.asked, 80)))
        equal(inner, [want], f"{self.what}: an error about what was sent comes back to the client, about what it sent")
        answer = udp(self.asked, place.client, 80, 1000, b"answer")
        found = came(net, "a", icmp(place.client, self.asked, *closed, data=answer))
        inner = [(one.src, one.dst, Packet(one.body[8:]).ends) for one in found]
        want = (src, dst, ((dst, dport), (src, sport)))
        equal(inner, [want], f"{self.what}: an error about the answer goes out to the server, about what it sent")

    def other(self, what, there, back):
        """A packet of another protocol, and its answer."""
        place, asked = self.place, self.asked
        out = came(self.net, "a", there(place.client, asked))
        ends = [(one.src, one.dst) for one in out]
        changed = ends[0][self.row.hook == "pre"] if len(ends) == 1 else None
        answers = came(self.net, "b", back(*ends[0][::-1])) if changed else []
        heard = [(one.src, one.dst) for one in answers]
        good = changed in place.may_be(self.row.address) and heard == [(asked, place.client)]
        good = good and all(one.whole for one in out + answers)
        check(good, f"{self.what}: {what} goes out as it says, and the answer comes back", (ends, heard))

    def rest(self):
        """What keeps its numbers, or has none."""
        self.other("a ping", lambda *ends: echo(*ends, 77), lambda *ends: echo(*ends, 77, reply=True))
        init, answer = (lambda *ends: sctp(*ends, 1000, 80, 0, 1, 5)), (lambda *ends: sctp(*ends, 80, 1000, 5, 2, 6))
        self.other("SCTP", init, answer)
        there, back = (lambda *ends: ip(*ends, 253, b"there")), (lambda *ends: ip(*ends, 253, b"back"))
        self.other("a protocol without ports", there, back)

    def all(self, way):
        """Errors and other protocols only by nft: what is done with them does not depend on what made the rule."""
        outside = self.exchange("udp")
        self.exchange("tcp")
        if way == "nft" and None not in outside:
            self.errors(outside)
        if way == "nft" and not self.row.ports:
            self.rest()


def many(net, what, row, place):
    """What a row does with eight packets at once, and their answers."""
    before = []
    for n, (client, server) in enumerate(zip(place.all("client", 8), place.all("server", 8))):
        source = (client if row.differ == "client" else place.client, 3000 + n)
        target = server if row.differ == "server" else asked_of(row, place)
        before.append((source, (target, 80 + n if row.differ == "dport" else 80)))

    def sent(side, ends):
        datagrams = [udp(src, dst, sport, dport, b"%d" % n) for n, ((src, sport), (dst, dport)) in enumerate(ends)]
        return sorted(came(net, side, *datagrams), key=lambda one: one.data)

    out = sent("a", before)
    after = [one.ends for one in out]
    back = sent("b", [ends[::-1] for ends in after])
    answers = [one.ends[::-1] for one in back]
    good = len(after) == 8 and row.holds(before, after) and all(one.whole for one in out + back)
    check(good, f"{what}: {row.what}, eight at once: {row.holds.__doc__.lower().strip('.')}", (before, after))
    equal(answers, before, f"{what}: {row.what}, eight at once: each has its answer")


def own(net, what, row, place):
    """A connection that the router itself gets, and refuses: the client hears it from the address that it has asked."""
    found = came(net, "a", tcp(place.client, place.outer, 1000, 80, "S", seq=7), back=True)
    heard = [one.ends for one in found if one.proto == 6]
    want = [((place.outer, 80), (place.client, 1000))]
    equal(heard, want, f"{what}: {row.what}: the client has an answer of whom it asked")
    came(net, "a", udp(place.client, place.outer, 1000, 80))
    entry = [one.reply for one in find(net.ns, l4="udp", src=place.client, sport=1000)]
    good = len(entry) == 1 and entry[0]["src"] == shown(place.near) and int(entry[0]["sport"]) in row.ports
    check(good, f"{what}: {row.what}: the router itself has got it", entry)


def rows(net, lacking):
    """All rows, by nft and by iptables, both families, each with a Place of its own."""
    for way in some(("nft", "iptables")):
        made = []
        for do, table in ((One, ONE), (many, MANY), (own, OWN)):
            for row in table:
                rule = row.nft if way == "nft" else row.xt
                if rule is None:
                    continue
                needs = MODULES[way][rule.split()[0]]
                if needs in lacking:
                    skip(f"{way}: {row.what}", f"this kernel does not have {needs}")
                else:
                    made += [(do, row, Place(v6)) for v6 in (False, True)]
        rules = Translation(net, way, [(row, place) for _, row, place in made])
        for do, row, place in made:
            what = f"{'IPv6' if place.v6 else 'IPv4'}, {way}"
            if do is One:
                One(net, what, row, place).all(way)
            else:
                do(net, what, row, place)
        rules.delete()


# ------------------------------------------------------------------------------------ what has no row


def snat(net, place, to, of=""):
    """A rule about what the clients of a place become."""
    rule = f"{of} {place.l3} saddr {place.client_net} snat {place.l3} to {to}"
    return Nft(net.ns, f"chain post {{ type nat hook postrouting priority srcnat; {rule}; }}")


def shared_numbers(net, v6, what):
    """Two clients behind one address ping with the same identifier."""
    place = Place(v6)
    rules = snat(net, place, place.outer)
    clients = place.all("client", 2)
    out = [came(net, "a", echo(client, place.server, 99)) for client in clients]
    idents = [struct.unpack("!H", one[0].body[4:6])[0] if one else None for one in out]
    good = idents[0] == 99 and idents[1] not in (None, 99)
    check(good, f"{what}: two clients ping with one number: the second is given another", idents)
    back = [came(net, "b", echo(place.server, place.outer, ident or 0, reply=True)) for ident in idents]
    got = [(one[0].dst, struct.unpack("!H", one[0].body[4:6])[0]) if one else None for one in back]
    equal(got, [(client, 99) for client in clients], f"{what}: both have their answers, with the number that they know")
    # Connections of a protocol without ports cannot be told apart.
    out = [came(net, "a", ip(client, place.server, 253, b"who")) for client in clients]
    equal([len(one) for one in out], [1, 0], f"{what}: a protocol without ports has room for one of them")
    rules.delete()


def hairpin(net, v6, what):
    """A client reaches a server of its own net by the router's outer address, and the answer finds its way back."""
    place = Place(v6)
    inner = place.all("client", 2)[1]
    inward = f"{place.l3} daddr {place.router} tcp dport 80 dnat {place.l3} to {bracketed(inner)}:8080"
    rules = Nft(
        net.ns,
        f"""
        chain pre {{ type nat hook prerouting priority dstnat; {inward}; }}
        chain post {{ type nat hook postrouting priority srcnat; oifname "ea" {place.l3} daddr {inner} masquerade; }}
        """,
    )
    talk = Talk(net, "tcp", (place.client, 1000), None, asked=(place.router, 80), ports="aa")
    got = (talk.sees.get("s"), talk.own.get("s"))
    equal(got, ((place.near, 1000), (inner, 8080)), f"{what}: hairpin: the server sees the router")
    got = (talk.say("c", "GET"), talk.say("s", "page"))
    equal(got, (b"GET", b"page"), f"{what}: hairpin: question and answer arrive")
    equal(talk.wrong, [], f"{what}: hairpin: by the address that was asked, and in order")
    rules.delete()


class Last:
    """Three ports for a client's connections to one server; a fourth connection has none."""

    def __init__(self, net, v6, l4, what):
        self.net, self.l4, self.what = net, l4, f"{what}: three ports for {l4.upper()}"
        self.place = place = Place(v6)
        self.rules = snat(net, place, f"{place.outer_}:2000-2002", f"meta l4proto {l4}")

    def ask(self, sport, seq=1000, server=None, flags="S"):
        """The port that a connection from `sport` has outside, or None."""
        ends = (self.place.client, server or self.place.server, sport, 80)
        found = came(self.net, "a", udp(*ends) if self.l4 == "udp" else tcp(*ends, flags, seq=seq))
        return found[0].sport if found else None

    def all(self):
        net, place, what = self.net, self.place, self.what
        ports = [self.ask(3000 + n) for n in range(3)]
        equal(sorted(map(str, ports)), ["2000", "2001", "2002"], f"{what}: three connections have them")
        before = statistics(net.ns)["insert_failed"]
        equal(self.ask(3003), None, f"{what}: the fourth to the same server is dropped")
        equal(find(net.ns, src=place.client, sport=3003), [], f"{what}: and leaves no entry")
        equal(statistics(net.ns)["insert_failed"] - before, 1, f"{what}: but is counted")
        other = self.ask(3003, server=place.all("server", 2)[1])
        check(other in range(2000, 2003), f"{what}: one to another server goes out", other)
        equal([self.ask(3000 + n, flags="S") for n in range(3)], ports, f"{what}: those who have them keep them")
        if self.l4 == "tcp":
            # The last few tries for a port look whether its connection is over.
            came(net, "b", tcp(place.server, place.outer, 80, ports[1], "SA", seq=7, ack=1001))
            self.ask(3001, seq=1001, flags="R")
            equal([one.state for one in find(net.ns, src=place.client, sport=3001)], ["CLOSE"], f"{what}: one is over")
            equal(self.ask(3003, seq=1), None, f"{what}: who begins at an older number does not take its port")
            equal(self.ask(3003, seq=500000), ports[1], f"{what}: who begins at a later one does")
        else:
            run("conntrack", "-D", "-p", "udp", "-s", place.client, "--sport", "3001", ns=net.ns)
            equal(self.ask(3003), ports[1], f"{what}: one is deleted, and the fourth has its port")
        equal(find(net.ns, src=place.client, dst=place.server, sport=3001), [], f"{what}: which has no entry any more")
        self.rules.delete()


# Which entry conntrack -D deletes: what the options are, and options with the addresses of a Place.
DELETED = [
    ("its original tuple", "-s {client} -d {server} --sport 1000 --dport 80"),
    ("its reply tuple", "-r {server} -q {outer} --reply-port-src 80 --reply-port-dst 1000"),
    ("an address of each", "-s {client} -q {outer}"),
    ("its source, as a changed one", "-s {client} --src-nat"),
]
KEPT = [
    ("its reply tuple, taken for the original one", "-s {server} -d {outer} --sport 80 --dport 1000"),
    ("its source, as one that was not changed", "-s {client} -q {client}"),
    ("its source, with a changed destination", "-s {client} --dst-nat"),
]


def deleted_by_reply(net, place):
    """Deletes an entry by ctnetlink, by its reply tuple and nothing else; returns the error."""
    reply = tuple_to(2, place.server, place.outer, socket.IPPROTO_UDP, 80, 1000)
    return ask(net.ns, CTNETLINK, CT_DELETE, reply, family=socket.AF_INET6 if place.v6 else socket.AF_INET)


def deleted(net, v6, what):
    """A connection keeps its translation whatever the rules say; once its entry is deleted they are asked anew."""
    place = Place(v6)
    other = place.all("outer", 2)[1]

    def seen():
        found = came(net, "a", udp(place.client, place.server, 1000, 80))
        return [one.src for one in found]

    def by(options):
        options = options.format(**vars(place)).split()
        return run("conntrack", "-D", "-f", "ipv6" if v6 else "ipv4", "-p", "udp", *options, ns=net.ns, must=False)[0]

    for name, options in [*DELETED, ("its reply tuple, by ctnetlink", None)]:
        snat(net, place, place.outer)
        equal(seen(), [place.outer], f"{what}: deleted: a connection is translated")
        rules = snat(net, place, other)
        for other_name, wrong in KEPT if options is DELETED[0][1] else ():
            check(by(wrong), f"{what}: deleted: by {other_name} it is not found")
        equal(seen(), [place.outer], f"{what}: deleted: it stays so when the rule is another")
        gone = by(options) if options else deleted_by_reply(net, place)
        equal(gone, 0, f"{what}: deleted: by {name} it is found")
        equal(seen(), [other], f"{what}: deleted: its next packet is judged anew")
        rules.delete()
        run("conntrack", "-D", "-f", "ipv6" if v6 else "ipv4", "-s", place.client, ns=net.ns)


def device_gone(net):
    """What was masqueraded goes with the device that it leaves by; what was not stays."""
    Nft(net.ns, 'chain post { type nat hook postrouting priority srcnat; oifname "eb" udp dport 53 masquerade; }')
    places = [Place(v6) for v6 in (False, True)]
    for place in places:
        came(net, "a", *[udp(place.client, place.server, 1000, port) for port in (53, 54)])
    found = [len(find(net.ns, src=place.client)) for place in places]
    equal(found, [2, 2], "two connections of each family, one of them masqueraded")
    ip_batch(net.ns, "link set dev eb down")
    for place in places:
        what = f"{'IPv6' if place.v6 else 'IPv4'}: "
        gone = poll(lambda place=place: not find(net.ns, src=place.client, dport=53), 10)
        check(gone, f"{what}a masqueraded connection goes with the device")
        equal(len(find(net.ns, src=place.client, dport=54)), 1, f"{what}one that was not translated stays")


def scenario():
    one_cpu()
    wanted = {one for table in MODULES.values() for one in table.values()}
    lacking = missing("nf_nat", "nft_chain_nat", *sorted(wanted))
    if {"nf_nat", "nft_chain_nat", "nft_nat", "nft_masq"} & set(lacking):
        skip("NAT", f"no module {' '.join(lacking)}")
        return
    net = Router()
    load()
    rows(net, lacking)
    for v6 in some((False, True)):
        what = "IPv6" if v6 else "IPv4"
        shared_numbers(net, v6, what)
        hairpin(net, v6, what)
        for l4 in ("udp", "tcp"):
            Last(net, v6, l4, what).all()
        deleted(net, v6, what)
    device_gone(net)


main(scenario)
