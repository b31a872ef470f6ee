# SPDX-License-Identifier: GPL-2.0
"""NAT through each helper of the kernel's: what is announced is rewritten, expected, RELATED, and translated.

A client is hidden behind another address, or a server is in reach at another (c_helpers has the same without NAT).
"""

# limit: 240
# left out of CI on: debug

import re
import struct

from h323 import (
    call_proceeding,
    open_logical_channel,
    registration_request,
)
from messages import (
    amanda_answer,
    amanda_request,
    call_disconnect,
    dcc_send,
    gre,
    out_call_reply,
    out_call_request,
    sdp,
    sip_message,
    snmp_message,
    start_reply,
    start_request,
    tftp_read,
)
from policy import (
    Nft,
    Xtables,
    check_expected,
    expectations,
    expected,
    missing,
    one_cpu,
    pair,
)
from translation import (
    Talk,
    came,
)

from lib import (
    Router,
    check,
    equal,
    find,
    load,
    main,
    remove,
    skip,
    some,
    tcp,
)


class Behind:
    """A helper attached to a port, and NAT between a pair of its own, the inner address behind port a.

    The inner address's net is `hidden` behind another address, to which ports may be given, or the inner address is
    `served` at that address. What is RELATED to the connections that are helped, and translated, is counted.
    """

    def __init__(self, net, helper, l4, port, v6=False, served=False, ports="", others=(), xt=False):
        self.net, self.helper, self.v6 = net, helper, v6
        self.inner, self.far = pair(v6)
        self.second = self.inner[:-1] + "3"
        # Longer than the inner address, as the payload is to change its length.
        self.outer = f"2001:db8::{pair.last}:200" if v6 else f"192.0.2.{pair.last}"
        self.what = f"{helper} over {l4.upper()} and {'IPv6' if v6 else 'IPv4'}, {'served' if served else 'hidden'}"
        l3 = "ip6" if v6 else "ip"
        related = 'ct state related ct status snat,dnat ct helper "{0}" counter comment "{0}"'
        rules = "\n".join(related.format(name) for name in (helper, *others))
        inside = f"{self.inner[:-1]}0/{112 if v6 else 24}"
        target = f"[{self.outer}]" if v6 and ports else self.outer
        if served:
            nat = f"type nat hook prerouting priority dstnat; {l3} daddr {self.outer} dnat {l3} to {self.inner}"
        else:
            hidden = f"{l3} saddr {inside} meta l4proto {l4} snat {l3} to {target}{ports}"
            nat = f"type nat hook postrouting priority srcnat; {hidden}"
        given = f"""
            ct helper one {{ type "{helper}" protocol {l4}; l3proto {l3}; }}
            chain mangle {{ type filter hook prerouting priority mangle; {l4} dport {port} ct helper set "one"; }}
        """
        self.raw = None
        if xt:
            self.what += ", CT --helper"
            line, given = f"-A PREROUTING -p {l4} --dport {port} -j CT --helper {helper}", ""
            number = 6 if v6 else 4
            self.raw = Xtables(net.ns, {"raw": {number: [line]}}, (number,))
        self.table = Nft(
            net.ns,
            f"""
            {given}
            chain nat {{ {nat}; }}
            chain keys {{ type filter hook forward priority filter;
                {rules}
            }}""",
        )

    def delete(self):
        self.table.delete()
        if self.raw:
            self.raw.flush()

    def heard(self, talk, side, said, want, what):
        """What a side says arrives as this at the other side."""
        equal(talk.say(side, said), want, f"{self.what}: {what}")

    def chosen(self, talk, side, said, around, what):
        """What a side says arrives with a port that has been chosen, a higher one; returns it."""
        heard = (talk.say(side, said) or b"").decode()
        match = re.match(re.escape(around[0]) + r"(\d+)" + re.escape(around[1]), heard)
        port = int(match[1]) if match else 0
        check(port > 5000 and heard.encode() != said, f"{self.what}: {what}", heard)
        return port

    def expects(self, want, what):
        check_expected(self.net.ns, want, f"{self.what}: {what}", of=self.outer)

    def related(self, number, what, to=None):
        equal(self.table.packets()[to or self.helper], number, f"{self.what}: {what}")

    def fine(self, *talks):
        """Whether everything that was said arrived, where it was to, in order."""
        wrong = [one for talk in talks for one in talk.wrong]
        equal(wrong, [], f"{self.what}: all that is said arrives, in order, from whom was asked")

    def reached(self, l4, caller, asked, at, what, sees=None, ports="ba"):
        """A connection to what was announced gets to the end that it is meant for, which sees the caller as `sees`."""
        talk = Talk(self.net, l4, caller, None, asked=asked, ports=ports)
        if l4 == "udp":
            talk.say("c", b"question")
            talk.say("s", b"answer")
        got = (talk.own.get("s"), talk.sees.get("s"))
        good = got == (at, sees or caller) and not talk.wrong
        check(good, f"{self.what}: {what}", (got, (at, sees or caller), talk.wrong))


def ftp(net, v6):
    """A server that is served says where it waits for data."""
    here = Behind(net, "ftp", "tcp", 21, v6, served=True)
    talk = Talk(net, "tcp", (here.far, 2000), (here.inner, 21), asked=(here.outer, 21), ports="ba")
    here.heard(talk, "s", "220 ready\r\n", b"220 ready\r\n", "the server is there")

    def waits(address):
        if v6:
            return b"229 Extended (|||5001|)\r\n"
        return f"227 Entering Passive Mode ({address.replace('.', ',')},19,137)\r\n".encode()

    here.heard(talk, "s", waits(here.inner), waits(here.outer), "the client hears where it can reach it")
    here.heard(talk, "s", "200 more\r\n", b"200 more\r\n", "the next line arrives")
    here.expects([expected(6, here.far, here.outer, 5001, "ftp")], "the data connection is expected")
    here.reached("tcp", (here.far, 3000), (here.outer, 5001), (here.inner, 5001), "it gets to the server")
    here.related(1, "and is RELATED")
    here.fine(talk)
    return here


def tftp_hidden(net, v6, xt=False):
    """The client has another port outside: data for that port gets to it."""
    here = Behind(net, "tftp", "udp", 69, v6, ports=":4000-4003", xt=xt)
    talk = Talk(net, "udp", (here.inner, 3000), (here.far, 69))
    here.heard(talk, "c", tftp_read(), tftp_read(), "a file is asked for")
    port = talk.sees["s"][1]
    check(talk.sees["s"][0] == here.outer and 4000 <= port <= 4003, f"{here.what}: from another port", talk.sees)
    here.expects([expected(17, here.far, here.outer, port, "tftp")], "data is expected there, from any port")
    what = "it gets to who asked, at its own port"
    here.reached("udp", (here.far, 777), (here.outer, port), (here.inner, 3000), what)
    here.related(1, "and is RELATED")
    here.fine(talk)
    return here


def tftp_xt(net, v6):
    """The same with a helper that a rule of iptables gives."""
    return tftp_hidden(net, v6, xt=True)


def tftp_served(net, v6):
    here = Behind(net, "tftp", "udp", 69, v6, served=True)
    talk = Talk(net, "udp", (here.far, 3000), (here.inner, 69), asked=(here.outer, 69), ports="ba")
    here.heard(talk, "c", tftp_read(), tftp_read(), "a file is asked for")
    want = expected(17, here.inner, here.far, 3000, "tftp")
    check_expected(net.ns, [want], f"{here.what}: data is expected of the server", of=here.inner)
    what = "it comes from the address that was asked"
    here.reached("udp", (here.inner, 777), (here.far, 3000), (here.far, 3000), what, sees=(here.outer, 777), ports="ab")
    here.related(1, "and is RELATED")
    here.fine(talk)
    return here


def acknowledged(here, talk):
    """What the server has, but for a gap, is counted as the client counts, behind a message that got longer."""
    for data in (b"gap", b"above"):
        talk.send("c", data)
    (src, sport), (dst, dport) = talk.own["s"], talk.sees["s"]
    end = talk.heard["s"]
    sack = struct.pack("!BBBBII", 1, 1, 5, 10, end - 5, end)
    segment = tcp(src, dst, sport, dport, "A", seq=talk.next["s"], ack=end - 8, options=sack)
    got = [(one.ack, *struct.unpack("!II", one.options[4:]), one.whole) for one in came(here.net, "b", segment)]
    end = talk.next["c"]
    want = [(end - 8, end - 5, end, True)]
    equal(got, want, f"{here.what}: a selective acknowledgement says what the client has sent")


def irc(net, v6):
    """Two hidden clients offer files at the same port."""
    here = Behind(net, "irc", "tcp", 6667)
    one, two = (Talk(net, "tcp", (address, 2000), (here.far, 6667)) for address in (here.inner, here.second))
    said, want = dcc_send(here.inner, 5005), dcc_send(here.outer, 5005)
    here.heard(one, "c", said, want, "a file is offered at the outer address")
    text = want.decode().split("5005")
    port = here.chosen(two, "c", dcc_send(here.second, 5005), text, "a second client's, at another port")
    here.expects([expected(6, None, here.outer, at, "irc") for at in (5005, port)], "who fetches them is expected")
    for talk in (one, two):
        here.heard(talk, "c", "PING\r\n", b"PING\r\n", "the next line arrives")
        here.heard(talk, "s", "PONG\r\n", b"PONG\r\n", "and its answer")
    acknowledged(here, one)
    for asked, address in ((5005, here.inner), (port, here.second)):
        what = f"who calls {'its' if address == here.second else 'the first'} port gets to who offered it"
        here.reached("tcp", (net.B4, 777), (here.outer, asked), (address, 5005), what, sees=(here.far, 777))
    here.related(2, "and is RELATED, and seen as the server")
    here.fine(one, two)
    return here


def amanda_hidden(net, v6):
    """Two sessions of a hidden client: the ports of the second are taken, and other ports are announced."""
    here = Behind(net, "amanda", "udp", 10080, v6)
    one, two = (Talk(net, "udp", (here.inner, sport), (here.far, 10080)) for sport in (900, 901))
    answer = amanda_answer(5010, 5011, 5012)
    for talk in (one, two):
        here.heard(talk, "c", amanda_request(), amanda_request(), "asked for")
    here.heard(one, "s", answer, answer, "answered")
    want = [expected(6, here.inner, here.far, port, "amanda") for port in (5010, 5011, 5012)]
    check_expected(net.ns, want, f"{here.what}: three connections are expected", of=here.inner)
    # The kernel's helper reads less of the rest when a port gets longer, so only the first is looked at.
    begins = answer.decode().split("5010")[0]
    port = here.chosen(two, "s", answer, [begins, ""], "answered again with a port that is free")
    for asked, at in ((5011, 5011), (port, 5010)):
        what = f"who calls {'a changed' if asked == port else 'a'} port is seen at the outer address"
        seen = (here.outer, 700)
        here.reached("tcp", (here.inner, 700), (here.far, asked), (here.far, at), what, sees=seen, ports="ab")
    here.related(2, "and is RELATED")
    here.fine(one, two)
    return here


def amanda_served(net, v6):
    here = Behind(net, "amanda", "udp", 10080, v6, served=True)
    talk = Talk(net, "udp", (here.far, 900), (here.inner, 10080), asked=(here.outer, 10080), ports="ba")
    here.heard(talk, "c", amanda_request(), amanda_request(), "asked for")
    answer = amanda_answer(5010, 5011, 5012)
    here.heard(talk, "s", answer, answer, "answered")
    want = [expected(6, here.far, here.outer, port, "amanda") for port in (5010, 5011, 5012)]
    here.expects(want, "three connections are expected")
    here.reached("tcp", (here.far, 700), (here.outer, 5011), (here.inner, 5011), "who calls one gets to who is served")
    here.related(1, "and is RELATED")
    here.fine(talk)
    return here


def sip_over(net, v6, l4, proto):
    """Two hidden phones: one registers and is called; both want sound."""
    here = Behind(net, "sip", l4, 5060, v6)
    phone = Talk(net, l4, (here.inner, 5060), (here.far, 5060))
    message = lambda address, *said: sip_message(address, l4, *said)  # noqa: E731

    def exchanged(side, what, *said):
        """A message that names the phone names the outer address outside."""
        near, far = message(here.inner, *said), message(here.outer, *said)
        here.heard(phone, side, *((near, far) if side == "c" else (far, near)), what)

    def invite(address, port):
        return message(address, "INVITE sip:other@example.org SIP/2.0", "INVITE", sdp(address, port))

    calls = lambda flags: expected(proto, here.far, here.outer, 5060, "sip/signalling", flags)  # noqa: E731
    exchanged("c", "a registration names the outer address", "REGISTER sip:example.org SIP/2.0", "REGISTER")
    here.expects([calls("PERMANENT,INACTIVE")], "calls to it are expected, once it is done")
    exchanged("s", "its answer names the phone", "SIP/2.0 200 OK", "REGISTER")
    here.expects([calls("PERMANENT")], "calls to it are expected")
    said, want = invite(here.inner, 7000), invite(here.outer, 7000)
    here.heard(phone, "c", said, want, "a call wants sound at the outer address")
    media = [expected(17, here.far, here.outer, port, "sip/audio") for port in (7000, 7001)]
    here.expects([calls("PERMANENT"), *media], "RTP and RTCP are expected there")
    exchanged("s", "the answer names the phone", "SIP/2.0 180 Ringing", "INVITE")
    other = Talk(net, l4, (here.second, 5061), (here.far, 5060))
    got = other.say("c", invite(here.second, 7010)) or b""
    where = re.findall(rb"c=IN IP. (\S+)|m=audio (\d+)", got)
    equal(where, [(here.outer.encode(), b""), (b"", b"7010")], f"{here.what}: a second phone's call does so, too")
    for port, at in ((7000, (here.inner, 7000)), (7001, (here.inner, 7001)), (7011, (here.second, 7011))):
        here.reached("udp", (here.far, 9000), (here.outer, port), at, f"sound for port {port} gets to its phone")
    here.reached(l4, (here.far, 5070), (here.outer, 5060), (here.inner, 5060), "a call gets to the phone")
    here.related(4, "all are RELATED")
    here.fine(phone, other)
    return here


def sip_udp(net, v6):
    return sip_over(net, v6, "udp", 17)


def sip_tcp(net, v6):
    return sip_over(net, v6, "tcp", 6)


def h323(net, v6):
    """A phone that is hidden registers, is called, and opens a channel."""
    here = Behind(net, "RAS", "udp", 1719, others=("Q.931", "H.245"))
    phone, keeper, outer = here.inner, here.far, here.outer
    ras = Talk(net, "udp", (phone, 1719), (keeper, 1719))
    said = registration_request(phone, 1720, 1719), registration_request(outer, 1720, 1719)
    here.heard(ras, "c", *said, "a registration names the outer address, twice")
    calls = expected(6, keeper, outer, 1720, "RAS", "PERMANENT")
    here.expects([calls], "calls to it are expected there")
    called = Talk(net, "tcp", (keeper, 2000), (phone, 1720), asked=(outer, 1720), ports="ba")
    here.related(1, "a call is RELATED")
    said = call_proceeding(phone, 3000), call_proceeding(outer, 3000)
    here.heard(called, "s", *said, "it names the outer address, too")
    here.expects([calls, expected(6, keeper, outer, 3000, "Q.931")], "its control channel is expected there")
    control = Talk(net, "tcp", (keeper, 2001), (phone, 3000), asked=(outer, 3000), ports="ba")
    here.related(1, "and RELATED", "Q.931")
    said = open_logical_channel(phone, 5001), open_logical_channel(outer, 5001)
    here.heard(control, "s", *said, "a channel is wanted at the outer address")
    media = [expected(17, keeper, outer, port, "H.245") for port in (5000, 5001)]
    here.expects([calls, *media], "RTP and RTCP are expected there")
    for port in (5000, 5001):
        here.reached("udp", (keeper, 9000), (outer, port), (phone, port), f"what is for port {port} gets to the phone")
    here.related(2, "and is RELATED", "H.245")
    here.fine(ras, called, control)
    return here


def call_ids(packets):
    """The addresses of GRE packets, and their call IDs."""
    return [(one.src, one.dst, struct.unpack("!H", one.body[6:8])[0]) for one in packets]


def pptp(net, v6):
    """Two hidden clients have the same call ID: outside each has another, the port of its control connection."""
    here = Behind(net, "pptp", "tcp", 1723, ports=":4000-4003")
    inner, far, outer = here.inner, here.far, here.outer
    talks = []

    def call(source, destination, key, other):
        ends = {"src": source, "dst": destination, "srckey": f"{key:#x}", "dstkey": f"{other:#x}"}
        return {"l3": "2", "proto": "47", "helper": "pptp", **ends}

    for client, own, first in ((inner, 0x2222, "client"), (here.second, 0x3333, "server")):
        talk = Talk(net, "tcp", (client, 2000), (far, 1723))
        talks.append(talk)
        number = talk.sees["s"][1]
        what = f"the {'first' if first == 'client' else 'second'} client"
        here.heard(talk, "c", start_request(), start_request(), f"{what} begins a session")
        here.heard(talk, "s", start_reply(), start_reply(), f"{what} has one")
        said = out_call_request(0x1111), out_call_request(number)
        here.heard(talk, "c", *said, f"{what} wants a call, its number is its outer port")
        said = out_call_reply(own, number), out_call_reply(own, 0x1111)
        here.heard(talk, "s", *said, f"{what} is told its own number")
        want = [call(client, far, 0x1111, own), call(far, outer, own, number)]
        check_expected(net.ns, want, f"{here.what}: the call of {what} is expected, both ways", of=far)
        out = lambda: call_ids(came(net, "a", gre(client, far, own, 1)))  # noqa: E731, B023
        back = lambda: call_ids(came(net, "b", gre(far, outer, number, 1)))  # noqa: E731, B023
        got = (out(), back()) if first == "client" else (back(), out())[::-1]
        want = ([(outer, far, own)], [(far, client, 0x1111)])
        equal(got, want, f"{here.what}: it goes out and comes back, begun by the {first}")
        if first == "client":
            check_expected(net.ns, [], f"{here.what}: and is expected no more", of=far)
    here.related(2, "both were RELATED")
    here.heard(talks[0], "s", call_disconnect(0x2222), call_disconnect(0x1111), "a call is ended")
    left = {one.orig["src"] for one in find(net.ns, proto=47) if far in one.orig.values()}
    equal(left, {far}, f"{here.what}: it is forgotten, and the other one is not")
    here.fine(*talks)
    return here


def snmp_hidden(net, v6):
    """What names the client's address names the outer address, in either direction: so the module has it."""
    here = Behind(net, "snmp", "udp", 161)
    talk = Talk(net, "udp", (here.inner, 1000), (here.far, 161))
    for side, kind, what in (("c", 0, "a question names the outer address"), ("s", 2, "and so does its answer")):
        said, want = (snmp_message(kind, here.far, address) for address in (here.inner, here.outer))
        here.heard(talk, side, said, want, what)
    here.fine(talk)
    return here


def snmp_trap(net, v6):
    here = Behind(net, "snmp_trap", "udp", 162)
    talk = Talk(net, "udp", (here.inner, 1000), (here.far, 162))
    said, want = snmp_message(7, here.inner, here.far, here.inner), snmp_message(7, here.outer, here.far, here.outer)
    here.heard(talk, "c", said, want, "a trap names the outer address, wherever it named the inner one")
    equal(talk.say("c", said[:-1]), None, f"{here.what}: one that is cut off is dropped")
    return here


# NAT's module, the helper's, and what is said: with which families.
BOTH, IPV4 = (False, True), (False,)
EXCHANGES = [
    ("nf_nat_ftp", "nf_conntrack_ftp", [(ftp, BOTH)]),
    ("nf_nat_tftp", "nf_conntrack_tftp", [(tftp_hidden, BOTH), (tftp_xt, BOTH), (tftp_served, BOTH)]),
    ("nf_nat_irc", "nf_conntrack_irc", [(irc, IPV4)]),
    ("nf_nat_amanda", "nf_conntrack_amanda", [(amanda_hidden, BOTH), (amanda_served, BOTH)]),
    ("nf_nat_sip", "nf_conntrack_sip", [(sip_udp, BOTH), (sip_tcp, BOTH)]),
    ("nf_nat_h323", "nf_conntrack_h323", [(h323, IPV4)]),
    ("nf_nat_pptp", "nf_conntrack_pptp", [(pptp, IPV4)]),
    ("nf_nat_snmp_basic", "nf_conntrack_snmp", [(snmp_hidden, IPV4), (snmp_trap, IPV4)]),
]
# Helpers whose expectations call a function of NAT's module, and go with it.
GO = {"nf_nat_sip": "sip", "nf_nat_h323": "RAS"}


def scenario():
    one_cpu()
    lacking = missing("nf_nat", "nft_chain_nat", "nft_nat", "nft_ct", *(name for row in EXCHANGES for name in row[:2]))
    if {"nf_nat", "nft_chain_nat", "nft_nat", "nft_ct"} & set(lacking):
        skip("NAT through helpers", f"no module {' '.join(lacking)}")
        return
    net = Router()
    load()
    missing(*(name for row in EXCHANGES for name in row[:2]))  # load() has unloaded them
    for nat, helper, exchanges in EXCHANGES:
        if {nat, helper} & set(lacking):
            skip(f"{nat} translates", f"this kernel does not have {' '.join({nat, helper} & set(lacking))}")
            continue
        for exchange, families in exchanges:
            for v6 in some(families):
                exchange(net, v6).delete()
        status, text = remove(nat, must=False)
        check(not status, f"{nat} can be removed although connections and expectations know it", text)
        if nat in GO:
            left = [one for one in expectations(net.ns) if one["helper"].split("/")[0] == GO[nat]]
            equal(left, [], f"{nat}: the expectations that call it went with it")


main(scenario)
