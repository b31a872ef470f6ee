# SPDX-License-Identifier: GPL-2.0
"""The kernel's own helper modules load on the tracker, are attached by a rule, and do their work.

For each protocol a hand-written exchange must make its expectations, and what it announces is RELATED.
"""

# limit: 300
# left out of CI on: debug

import contextlib
import os
import random
import socket
import struct

from h323 import (
    call_proceeding,
    open_logical_channel,
    registration_request,
    tpkt,
)
from messages import (
    amanda_answer,
    amanda_request,
    dcc_send,
    gre,
    out_call_reply,
    out_call_request,
    sdp,
    sip_message,
    start_reply,
    start_request,
    tftp_read,
)
from policy import (
    Nft,
    Stream,
    check_expected,
    delivered,
    expectations,
    expected,
    one_cpu,
    pair,
)

from lib import (
    CT,
    RUST,
    Router,
    check,
    equal,
    inside,
    ip_batch,
    load,
    main,
    remove,
    run,
    skip,
    tcp,
    udp,
)

# Module, and the helpers that it registers: name, protocol, families.
HELPERS = [
    ("nf_conntrack_ftp", [("ftp", "tcp", "ip ip6")]),
    ("nf_conntrack_tftp", [("tftp", "udp", "ip ip6")]),
    ("nf_conntrack_irc", [("irc", "tcp", "ip")]),
    ("nf_conntrack_sane", [("sane", "tcp", "ip ip6")]),
    ("nf_conntrack_amanda", [("amanda", "udp", "ip ip6")]),
    ("nf_conntrack_sip", [("sip", "udp", "ip ip6"), ("sip", "tcp", "ip ip6")]),
    ("nf_conntrack_pptp", [("pptp", "tcp", "ip")]),
    ("nf_conntrack_netbios_ns", [("netbios-ns", "udp", "ip")]),
    ("nf_conntrack_snmp", [("snmp", "udp", "ip")]),
    ("nf_conntrack_h323", [("RAS", "udp", "ip ip6"), ("Q.931", "tcp", "ip ip6"), ("H.245", "udp", "ip ip6")]),
]
# rust_ct may have these of its own, under the same names.
OWN = ("nf_conntrack_ftp", "nf_conntrack_tftp") if RUST else ()
PARAMETERS = {"nf_conntrack_netbios_ns": ["timeout=60"]}


def modules(net):
    """Each module loads on top of the tracker, and a rule finds its helpers; returns the modules that do."""
    loaded = []
    for name, helpers in HELPERS:
        if run("modinfo", name, must=False)[0]:
            skip(f"{name} loads", "this kernel does not have it")
            continue
        status, text = run("modprobe", name, *PARAMETERS.get(name, ()), must=False)
        if status and name in OWN:
            skip(f"{name} loads", "rust_ct has a helper of that name itself")
            continue
        if not check(not status, f"{name} loads", text):
            continue
        loaded.append(name)
        check(os.path.exists(f"/sys/module/{CT}/holders/{name}"), f"{name} stands on {CT}")
        objects, rules = [], []
        for helper, l4, families in helpers:
            for l3 in families.split():
                objects.append(f'ct helper h{len(rules)} {{ type "{helper}" protocol {l4}; l3proto {l3}; }}')
                rules.append(f'ct helper set "h{len(rules)}"')
        chain = "chain c { type filter hook prerouting priority mangle;\n" + "\n".join(rules) + "\n}"
        with not_refused(f"{name}: rules attach {', '.join(' '.join(one) for one in helpers)}"):
            Nft(net.ns, "\n".join([*objects, chain]))
    return loaded


@contextlib.contextmanager
def not_refused(what):
    """A check that what is done inside is not refused."""
    try:
        yield
        check(True, what)
    except RuntimeError as error:
        check(False, what, error)


class Watched:
    """A Router with one helper attached to a port, counting what is RELATED to its connections, and to `others`."""

    def __init__(self, net, helper, l4, port, v6=False, others=()):
        self.net, self.helper = net, helper
        self.what = f"{helper} over {l4.upper()} and {'IPv6' if v6 else 'IPv4'}"
        rules = [f'ct state related ct helper "{name}" counter comment "{name}"' for name in (helper, *others)]
        self.src, self.dst = self.pair = pair(v6)
        self.address = self.src
        self.table = Nft(
            net.ns,
            f"""
            ct helper one {{ type "{helper}" protocol {l4}; l3proto {"ip6" if v6 else "ip"}; }}
            chain mangle {{ type filter hook prerouting priority mangle; {l4} dport {port} ct helper set "one"; }}
            chain local {{ type filter hook output priority mangle; {l4} dport {port} ct helper set "one"; }}
            chain keys {{
                type filter hook forward priority filter;
                {"; ".join(rules)}
            }}
            chain input {{
                type filter hook input priority filter;
                ct state related ct helper "{helper}" counter comment "local"
            }}""",
        )

    def expects(self, want, what, seconds=None):
        check_expected(self.net.ns, want, f"{self.what}: {what}", seconds, self.address)

    def related(self, number, what, to=None):
        equal(self.table.packets()[to or self.helper], number, f"{self.what}: {what}")


def ftp(net, v6):
    watched = Watched(net, "ftp", "tcp", 21, v6)
    stream = Stream(net, watched.pair)
    stream.say("s", "220 ready\r\n")
    stream.say("s", "229 Extended (|||5001|)\r\n")
    watched.expects([expected(6, *watched.pair, 5001, "ftp")], "the data connection is expected", 300)
    Stream(net, watched.pair, 2000, 5001, begun=False).segment("c", "S")
    watched.related(1, "and RELATED")
    stream.reset()
    return watched


def tftp(net, v6):
    watched = Watched(net, "tftp", "udp", 69, v6)
    delivered(net, "a", udp(*watched.pair, 3000, 69, tftp_read()))
    watched.expects([expected(17, watched.dst, watched.src, 3000, "tftp")], "the answer is expected from any port", 300)
    delivered(net, "b", udp(watched.dst, watched.src, 4000, 3000, b"\0\3\0\1data"))
    watched.related(1, "and RELATED")
    return watched


def irc(net, v6):
    watched = Watched(net, "irc", "tcp", 6667)
    stream = Stream(net, watched.pair, 2000, 6667)
    stream.say("c", dcc_send(watched.src[:-1] + "3", 5005))
    watched.expects([], "a file from somebody else's address is not expected")
    stream.say("c", dcc_send(watched.src, 5005))
    watched.expects([expected(6, None, watched.src, 5005, "irc")], "who fetches the file is expected", 300)
    delivered(net, "b", tcp(net.B4, watched.src, 777, 5005, "S"))
    watched.related(1, "and RELATED, wherever it comes from")
    return watched


def sane(net, v6):
    watched = Watched(net, "sane", "tcp", 6566, v6)
    stream = Stream(net, watched.pair, 2000, 6566)
    stream.say("s", struct.pack("!IHH", 0, 0, 5006))
    watched.expects([], "an answer that nobody asked for is not looked at")
    stream.say("c", struct.pack("!II", 7, 0))
    stream.say("s", struct.pack("!IHH", 0, 0, 5007))
    watched.expects([expected(6, *watched.pair, 5007, "sane")], "the port of the answer to START is expected", 300)
    Stream(net, watched.pair, 2001, 5007, begun=False).segment("c", "S")
    watched.related(1, "and RELATED")
    return watched


def amanda(net, v6):
    watched = Watched(net, "amanda", "udp", 10080, v6)
    delivered(net, "a", udp(*watched.pair, 900, 10080, amanda_request()))
    delivered(net, "b", udp(watched.dst, watched.src, 10080, 900, amanda_answer(5010, 5011, 5012)))
    want = [expected(6, *watched.pair, port, "amanda") for port in (5010, 5011, 5012)]
    watched.expects(want, "the three connections of the answer are expected", 180)
    for port in (5010, 5011, 5012):
        Stream(net, watched.pair, 2000 + port, port, begun=False).segment("c", "S")
    watched.related(3, "and RELATED")
    return watched


class SipUdp:
    """What a phone behind port a and its registrar say in datagrams."""

    def __init__(self, net, pair):
        self.net, (self.src, self.dst) = net, pair

    def say(self, side, text):
        ends = (self.src, self.dst) if side == "c" else (self.dst, self.src)
        delivered(self.net, "a" if side == "c" else "b", udp(*ends, 5060, 5060, text))

    def call(self, port):
        """A call to the phone, from a port of the registrar."""
        delivered(self.net, "b", udp(self.dst, self.src, port, 5060, b"OPTIONS sip:phone SIP/2.0\r\n"))


class SipTcp(Stream):
    """The same in a stream."""

    def __init__(self, net, pair):
        super().__init__(net, pair, 5060, 5060)

    def call(self, port):
        ends = (self.ends["s"][0], self.ends["c"][0])
        Stream(self.net, ends, port, 5060, begun=False, inward=True).segment("c", "S")


def sip_over(net, v6, l4, proto, talk):
    """A phone registers, calls, and is called."""
    watched = Watched(net, "sip", l4, 5060, v6)
    src, dst = watched.pair
    phone = talk(net, watched.pair)
    message = lambda *said: sip_message(src, l4, *said)  # noqa: E731
    phone.say("c", message("REGISTER sip:example.org SIP/2.0", "REGISTER"))
    calls = lambda flags: expected(proto, dst, src, 5060, "sip/signalling", flags)  # noqa: E731
    watched.expects([calls("PERMANENT,INACTIVE")], "calls to who registers are expected, once it is done", 180)
    phone.say("s", message("SIP/2.0 200 OK", "REGISTER"))
    watched.expects([calls("PERMANENT")], "calls are expected for as long as it is registered", 3600)
    phone.say("c", message("INVITE sip:other@example.org SIP/2.0", "INVITE", sdp(src, 7000)))
    media = [expected(17, dst, src, port, "sip/audio") for port in (7000, 7001)]
    watched.expects([calls("PERMANENT"), *media], "RTP and RTCP of a call are expected")
    delivered(net, "b", udp(dst, src, 9000, 7000, b"rtp"), udp(dst, src, 9001, 7001, b"rtcp"))
    watched.related(2, "both are RELATED")
    watched.expects([calls("PERMANENT")], "what is permanent stays")
    for port in (5070, 5071):
        phone.call(port)
    watched.related(4, "calls are RELATED, one and another")
    return watched


def sip(net, v6):
    sip_over(net, v6, "udp", 17, SipUdp).table.delete()
    return sip_over(net, v6, "tcp", 6, SipTcp)


def pptp(net, v6):
    watched = Watched(net, "pptp", "tcp", 1723)
    src, dst = watched.pair
    stream = Stream(net, watched.pair, 2000, 1723)
    stream.say("c", start_request())
    stream.say("s", start_reply())
    stream.say("c", out_call_request(0x1111))
    stream.say("s", out_call_reply(0x2222, 0x1111))

    def call(one, other, source, key):
        return {"l3": "2", "proto": "47", "src": one, "dst": other, "srckey": source, "dstkey": key, "helper": "pptp"}

    want = [call(src, dst, "0x1111", "0x2222"), call(dst, src, "0x2222", "0x1111")]
    watched.expects(want, "the call is expected, both ways", 300)
    delivered(net, "a", gre(src, dst, 0x2222, 1))
    watched.related(1, "its first packet is RELATED")
    watched.expects([], "and once it is there, it is expected no more")
    delivered(net, "b", gre(dst, src, 0x1111, 1))
    watched.related(1, "the answer belongs to it")
    return watched


def broadcast(net, helper, port, seconds):
    """What a host asks by broadcast may be answered by any host on its link."""
    watched = Watched(net, helper, "udp", port)
    watched.address = "10.1.77.1"
    with inside(net.ns), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
        asks.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        asks.bind(("10.1.77.1", port))
        asks.sendto(b"who is there", ("10.1.77.255", port))
        want = [expected(17, "10.1.77.255", "10.1.77.1", port, helper, "PERMANENT", port)]
        watched.expects(want, "answers from the link are expected", seconds)
        net.a.send(*[udp(f"10.1.77.{host}", "10.1.77.1", port, port, b"I am") for host in (7, 8)])
        net.a.send(udp("10.1.78.9", "10.1.77.1", port, port, b"so am I"))
        net.settle()
        equal(watched.table.packets()["local"], 2, f"{watched.what}: those of two hosts are RELATED, a stranger's is not")
    return watched


def netbios_ns(net, v6):
    return broadcast(net, "netbios-ns", 137, 60)


def snmp(net, v6):
    return broadcast(net, "snmp", 161, 30)


def h323(net, v6):
    """A phone registers, is called, and opens channels: each channel is announced in the channel before it."""
    watched = Watched(net, "RAS", "udp", 1719, v6, ("Q.931", "H.245"))
    phone, keeper = watched.pair
    delivered(net, "a", udp(phone, keeper, 1719, 1719, registration_request(phone, 1720, 1719)))
    calls = expected(6, keeper, phone, 1720, "RAS", "PERMANENT")
    watched.expects([calls], "calls to who registers are expected", 240)
    called = Stream(net, (keeper, phone), 2000, 1720, inward=True)
    watched.related(1, "a call is RELATED")
    called.say("s", call_proceeding(phone, 3000))
    watched.expects([calls, expected(6, keeper, phone, 3000, "Q.931")], "its control channel is expected", 240)
    control = Stream(net, (keeper, phone), 2001, 3000, inward=True)
    watched.related(1, "and RELATED", "Q.931")
    control.say("c", open_logical_channel(keeper, 5001))
    media = [expected(17, phone, keeper, port, "H.245") for port in (5000, 5001)]
    watched.expects([calls, *media], "RTP and RTCP of a channel are expected", 240)
    delivered(net, "a", udp(phone, keeper, 9000, 5000, b"rtp"), udp(phone, keeper, 9001, 5001, b"rtcp"))
    watched.related(2, "both are RELATED", "H.245")
    h323_garbage(watched, called, control)
    return watched


def h323_garbage(watched, *streams):
    """What makes no sense to the three decoders does no harm."""
    seed = int.from_bytes(os.urandom(4))
    octets = random.Random(seed).randbytes
    for stream in streams:
        for size in (1, 4, 5, 40, 400):
            stream.say("c", tpkt(octets(size)))
    for size in (1, 4, 40, 400):
        delivered(watched.net, "a", udp(*watched.pair, 1719, 1719, octets(size)))
    check(all(one.segment("s", "A") for one in streams), f"{watched.what}: garbage does no harm (seed {seed})")


EXCHANGES = {
    "nf_conntrack_ftp": (ftp, (False, True)),
    "nf_conntrack_tftp": (tftp, (False, True)),
    "nf_conntrack_irc": (irc, (False,)),
    "nf_conntrack_sane": (sane, (False, True)),
    "nf_conntrack_amanda": (amanda, (False, True)),
    "nf_conntrack_sip": (sip, (False, True)),
    "nf_conntrack_pptp": (pptp, (False,)),
    "nf_conntrack_netbios_ns": (netbios_ns, (False,)),
    "nf_conntrack_snmp": (snmp, (False,)),
    "nf_conntrack_h323": (h323, (False, True)),
}


def names_of(name):
    """The names of the helpers of a module."""
    return [helper for helper, _, _ in dict(HELPERS)[name]]


def scenario():
    one_cpu()
    net = Router()
    ip_batch(net.ns, "addr add 10.1.77.1/24 brd + dev ea", "neigh replace 10.1.77.7 lladdr 02:00:00:00:01:02 dev ea")
    load()
    loaded = modules(net)
    for name in loaded:
        exchange, families = EXCHANGES[name]
        for v6 in families:
            exchange(net, v6).table.delete()
            # With its module gone nothing of it is expected any more.
        status, text = remove(name, must=False)
        check(not status, f"{name} can be removed although connections used it", text)
        left = [one for one in expectations(net.ns) if one.get("helper", "").split("/")[0] in names_of(name)]
        equal(left, [], f"{name}: its expectations went with it")


main(scenario)
