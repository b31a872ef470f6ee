# SPDX-License-Identifier: GPL-2.0
"""Firewalls in nft that rely on the tracker's state; every key of `ct`, read and written; its objects."""

# limit: 420
# left out of CI on: debug

import re
import tempfile

from policy import (
    CLIENT,
    ENDS,
    ROUTER,
    Firewall,
    Flows,
    Nft,
    Stream,
    check_expected,
    check_rows,
    delivered,
    expected,
    missing,
    numbered,
    one_cpu,
    pair,
    set_up_stacks,
)

from lib import (
    SLOW,
    SYSCTL,
    Router,
    check,
    drop_namespaces,
    equal,
    find,
    load,
    main,
    poll,
    program,
    skip,
    some,
    udp,
    write,
)

NEIGHBOURS = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"

HOST = f"""
    chain input {{
        type filter hook input priority filter; policy drop;
        iifname lo accept
        ct state untracked {NEIGHBOURS}
        ct state vmap {{ established : jump theirs, related : jump related, invalid : jump invalid, new : jump strangers }}
        counter comment "leftover"
    }}
    chain theirs {{ counter accept comment "established"; }}
    chain related {{ counter accept comment "related"; }}
    chain invalid {{ counter drop comment "invalid"; }}
    chain strangers {{
        tcp dport 22 counter accept comment "service"
        counter drop comment "strangers"
    }}
"""

FORWARD = f"""
    chain forward {{
        type filter hook forward priority filter; policy drop;
        ct state established counter accept comment "established"
        ct state related counter accept comment "related"
        ct state invalid counter drop comment "invalid"
        iifname {CLIENT} ct state new counter accept comment "outgoing"
        oifname {CLIENT} tcp dport 22 ct state new counter accept comment "service"
        ct state new counter drop comment "strangers"
        counter drop comment "leftover"
    }}
"""


def firewalls():
    """The same policy on a host and on the router before it, both families."""
    set_up_stacks()
    for router, ns, text in ((False, CLIENT, HOST), (True, ROUTER, FORWARD)):
        rules = Nft(ns, text)
        for kind in some(ENDS):
            Firewall(rules, router, kind).all()
        equal(rules.packets()["leftover"], 0, f"{'router' if router else 'host'}: no packet without one of the states")
        rules.delete()


def read_rows(src, dst, length):
    """What each key must say of how many of the ten packets (u: UDP, e: error, t: TCP, i: without flags)."""
    l3, proto, addr = ("ipv6", 10, "ip6") if ":" in src else ("ipv4", 2, "ip")
    of_udp, of_tcp = "ct original protocol udp", "ct original protocol tcp"
    return [
        ("u1 t1", "ct state new", 2),
        ("u2-3 t2-5", "ct state established", 6),
        ("e", "ct state related", 1),
        ("i", "ct state invalid", 1),
        ("none", "ct state untracked", 0),
        ("all but e and i", "ct state { new, established }", 8),
        ("u1 u3 t1 t3 t4", "ct direction original", 5),
        ("u2 e t2 t5", "ct direction reply", 4),
        ("all after the first of a connection", "ct status seen-reply", 7),
        ("all after the first of a connection", "ct status confirmed", 7),
        ("t3-5", f"{of_tcp} ct status assured", 3),
        ("none", "ct status expected,snat,dnat,dying", 0),
        ("all but i", "ct mark 0", 9),
        ("none", "ct mark != 0", 0),
        ("u2-3, within its two minutes", f"{of_udp} ct state established ct expiration 1s-120s", 2),
        ("t3 t5, for days; t4 has unacknowledged data", f"{of_tcp} ct status confirmed ct expiration > 1h", 2),
        ("all but i", f"ct original l3proto {l3}", 9),
        ("all but i", f"ct reply l3proto {l3}", 9),
        ("u and e", of_udp, 4),
        ("t", "ct reply protocol tcp", 5),
        ("all but i", f"ct original {addr} saddr {src}", 9),
        ("all but i", f"ct original {addr} daddr {dst}", 9),
        ("all but i", f"ct reply {addr} saddr {dst}", 9),
        ("all but i", f"ct reply {addr} daddr {src}", 9),
        ("none", f"ct reply {addr} daddr {dst}", 0),
        ("u and e", f"{of_udp} ct original proto-src 1000", 4),
        ("t", f"{of_tcp} ct original proto-dst 80", 5),
        ("t", f"{of_tcp} ct reply proto-src 80", 5),
        ("u and e", f"{of_udp} ct reply proto-dst 1000", 4),
        ("all but i", "ct zone 0", 9),
        ("all but i", "ct original zone 0", 9),
        ("all but i", "ct reply zone 0", 9),
        ("u1-2", f"{of_udp} ct original packets 1", 2),
        ("u2-3 e", f"{of_udp} ct reply packets 1", 3),
        ("u3 e", f"{of_udp} ct packets 3", 2),
        ("u3 e", f"{of_udp} ct original bytes {2 * length}", 2),
        ("u3 e", f"{of_udp} ct bytes {3 * length}", 2),
        ("u and e", f"{of_udp} ct avgpkt {length}", 4),
        ("u and e", f"{of_udp} ct original avgpkt {length}", 4),
        ("u2-3 e", f"{of_udp} ct reply avgpkt {length}", 3),
        ("t4-5, the greatest of its packets being ten bytes longer", f"{of_tcp} ct original packets 3", 2),
        ("all but i", "ct id != 0", 9),
        ("none: it is the master's", 'ct helper "ftp"', 0),
        ("none", "ct label 5", 0),
    ]


def keys_read(net, v6):
    """Every key of `ct`, read."""
    flows = Flows(net, v6)
    rows = read_rows(flows.src, flows.dst, flows.length)
    kind = "IPv6" if v6 else "IPv4"
    # Without `ip` or `ip6` the addresses are keys of their own, which only a table of one family has.
    plain = [
        ("all but i", f"ct original saddr {flows.src}", 9),
        ("all but i", f"ct reply saddr {flows.dst}", 9),
        ("all but i", f"ct original daddr {flows.dst}", 9),
        ("all but i", f"ct reply daddr {flows.src}", 9),
    ]
    chain = "chain keys {{ type filter hook forward priority filter; meta l4proto 254 accept\n{}\n}}"
    ids = "set ids { typeof ct id; flags dynamic; size 64; }\n"
    tables = [
        Nft(net.ns, ids + chain.format(numbered(rows) + "\nadd @ids { ct id }")),
        Nft(net.ns, chain.format(numbered(plain)), ("ip6" if v6 else "ip") + " plain"),
    ]
    flows.send()
    check_rows(tables[0].packets(), rows, kind)
    check_rows(tables[1].packets(), plain, f"{kind} table")
    elements = re.search(r"elements = \{([^}]*)\}", tables[0].listed())
    equal(len(elements[1].split(",")) if elements else 0, 2, f"{kind}: two connections have two ct ids")
    for table in tables:
        table.delete()


def keys_set(net, v6):
    """Mark and label, written, kept by the connection and restored to its packets."""
    flows = Flows(net, v6)
    kind = "IPv6" if v6 else "IPv4"
    rows = [
        ("u and e: the mark is kept", "ct original protocol udp ct mark 0x17", 4),
        ("u and e: each packet has it restored", "ct original protocol udp meta mark 0x17", 4),
        ("t: saved from the first packet", "ct original protocol tcp ct mark & 0xff == 0x2a", 5),
        ("t3-5: one bit more from the ACK on", "ct original protocol tcp ct mark 0x12a", 3),
        ("t3-5: restored to the packets", "meta mark 0x12a", 3),
        ("u and e: the label is kept", "ct label 7", 4),
        ("t: another label", "ct label 127", 5),
        ("none", "ct label 8", 0),
        ("i has no mark", "meta mark 0", 1),
    ]
    table = Nft(
        net.ns,
        """
        chain mangle {
            type filter hook prerouting priority mangle; meta l4proto 254 accept
            udp dport 53 ct state new ct mark set 0x17 ct label set 7
            tcp dport 80 ct state new meta mark set 0x2a ct mark set meta mark ct label set 127
            tcp dport 80 ct state established ct direction original ct mark set ct mark | 0x100
            meta mark set ct mark
        }
        chain keys { type filter hook forward priority filter; meta l4proto 254 accept
        """
        + numbered(rows)
        + "\n}",
    )
    flows.send()
    check_rows(table.packets(), rows, kind)
    marks = [one.tail["mark"] for one in flows.entries("udp") + flows.entries("tcp")]
    equal(marks, ["23", "298"], f"{kind}: the listing shows the marks")
    table.delete()


# nft takes no constant for a secmark, and compares it with none without a mask.
SECMARKS = """
    chain mangle {
        type filter hook prerouting priority mangle; meta l4proto 254 accept
        th dport { 21, 53 } ct state new ct secmark set meta length
        meta secmark set ct secmark
    }
"""


def secmarks(net, v6):
    """Secmark, read and written: kept by the connection, restored to its packets, given to what is RELATED."""
    flows = Flows(net, v6)
    kind = "IPv6" if v6 else "IPv4"
    rows = [
        ("u and e: kept", f"ct original protocol udp ct secmark & 0xff == {flows.length}", 4),
        ("u and e: each packet has it restored", f"ct original protocol udp meta secmark & 0xff == {flows.length}", 4),
        ("t: none", "ct original protocol tcp ct secmark & 0xff == 0", 5),
    ]
    chain = "chain keys {{ type filter hook forward priority filter; meta l4proto 254 accept\n{}\n}}"
    table = Nft(net.ns, SECMARKS + chain.format(numbered(rows)))
    flows.send()
    check_rows(table.packets(), rows, kind)
    rows = [("it has its master's, from the first packet on", f"ct status expected ct secmark & 0xff == {flows.length}", 3)]
    helper = """
        ct helper ours { type "ftp" protocol tcp; }
        chain helpers { type filter hook prerouting priority mangle; tcp dport 21 ct helper set "ours"; }
    """
    table = Nft(net.ns, SECMARKS + helper + chain.format(numbered(rows)))
    ends = pair(v6)
    stream = Stream(net, ends)
    stream.say("s", "220 ready\r\n")
    stream.say("s", "229 Extended (|||5001|)\r\n")
    Stream(net, ends, 2002, 5001)
    check_rows(table.packets(), rows, kind)
    stream.reset()
    table.delete()


def zones(net, v6):
    """Zones written before tracking: equal tuples are different connections, by direction as well."""
    flows = Flows(net, v6)
    kind = "IPv6" if v6 else "IPv4"
    ttl = "ip6 hoplimit" if v6 else "ip ttl"
    rows = [
        ("the two of one zone", "ct zone 1", 2),
        ("the three of the other", "ct zone 2", 3),
        ("those of the zone for one direction", "ct original zone 3", 2),
        ("and none in the other direction", "ct reply zone 3", 0),
        ("one NEW for each zone", "ct state new", 3),
    ]
    table = Nft(
        net.ns,
        f"""
        chain raw {{
            type filter hook prerouting priority raw;
            {ttl} 33 ct zone set 1
            {ttl} 34 ct zone set 2
            {ttl} 35 ct original zone set 3
        }}
        chain keys {{ type filter hook forward priority filter; meta l4proto 254 accept
        {numbered(rows)}
        }}""",
    )
    for ttl in (33, 34, 35):
        flows.a_udp(ttl=ttl)
    for ttl in (33, 34, 64):
        flows.b_udp(ttl=ttl)
    flows.a_udp(ttl=34)
    check_rows(table.packets(), rows, kind)
    lines = [one.line for one in flows.entries("udp")]
    found = sorted(re.findall(r"zone\S*=\d+", " ".join(lines)))
    equal(found, ["zone-orig=3", "zone=1", "zone=2"], f"{kind}: the listing shows the zones")
    check(not any("UNREPLIED" in line for line in lines), f"{kind}: each of them was answered", lines)
    table.delete()


def notrack(net, v6):
    """What is not to be tracked is UNTRACKED and leaves no entry."""
    flows = Flows(net, v6)
    kind = "IPv6" if v6 else "IPv4"
    rows = [("both ways", "ct state untracked", 2), ("none", "ct state new", 0), ("none", "ct state invalid", 0)]
    rows.append(("none: there is no connection", "ct mark 0", 0))
    table = Nft(
        net.ns,
        f"""
        chain raw {{
            type filter hook prerouting priority raw;
            udp dport 54 notrack
            udp sport 54 notrack
        }}
        chain keys {{ type filter hook forward priority filter; meta l4proto 254 accept
        {numbered(rows)}
        }}""",
    )
    flows.a_udp(54)
    flows.b_udp(54)
    check_rows(table.packets(), rows, kind)
    equal(flows.entries("udp"), [], f"{kind}: no entry")
    table.delete()


def events(net):
    """The mask of events of a connection: of two connections only one has a NEW event."""
    if missing("nf_conntrack_netlink"):
        skip("ct event set: one connection tells of its beginning", "there is no nf_conntrack_netlink.ko to listen to it")
        return
    table = Nft(
        net.ns,
        """chain mangle { type filter hook prerouting priority mangle;
        udp dport 70 ct event set new
        udp dport 71 ct event set destroy
        }""",
    )
    with tempfile.TemporaryFile("w+") as heard:
        with program(net.ns, "stdbuf", "-oL", "conntrack", "-E", "-p", "udp", output=heard):

            def told():
                heard.seek(0)
                return heard.read()

            flows = Flows(net, False)
            # The listener takes its time to begin, so there are new connections until it tells of one of them.
            others = iter(range(2000, 65536))
            check(poll(lambda: flows.a_udp(next(others)) and "[NEW]" in told(), 20, 0.3), "the listener is there")
            for port in range(100, 110):
                delivered(net, "a", udp(*flows.pair, port, 71), udp(*flows.pair, port, 70))
            poll(lambda: told().count("dport=70 ") >= 10, 10)
            lines = [line for line in told().splitlines() if "[NEW]" in line]
    equal(sum("dport=70 " in line for line in lines), 10, "ct event set new: ten beginnings are told")
    equal(sum("dport=71 " in line for line in lines), 0, "ct event set destroy: none is told")
    table.delete()


def timeouts(net, v6):
    """The object ct timeout: a policy of its own for the connections that a rule gives it."""
    flows = Flows(net, v6)
    kind, l3 = ("IPv6", "ip6") if v6 else ("IPv4", "ip")
    table = Nft(
        net.ns,
        f"""
        ct timeout patient {{
            protocol udp; l3proto {l3}
            policy = {{ unreplied : 3000s, replied : 6000s }}
        }}
        ct timeout hasty {{
            protocol tcp; l3proto {l3}
            policy = {{ established : 4000s, close : 1s }}
        }}
        chain mangle {{
            type filter hook prerouting priority mangle;
            udp dport 53 ct timeout set "patient"
            tcp dport 80 ct timeout set "hasty"
        }}""",
    )
    get = lambda l4: [one.seconds for one in flows.entries(l4)]  # noqa: E731
    flows.a_udp()
    check(2900 <= get("udp")[0] <= 3000, f"{kind}: unreplied, it has the time of its policy", get("udp"))
    flows.b_udp()
    left = flows.as_stream()
    check(5900 <= left[0] <= 6000, f"{kind}: replied for a while, it has the time of its policy", left)
    Stream(net, flows.pair, 2000, 80)
    check(3900 <= get("tcp")[0] <= 4000, f"{kind}: ESTABLISHED by a policy for TCP", get("tcp"))
    table.delete()
    flows.a_udp()
    flows.b_udp()
    check(get("udp")[0] <= 120, f"{kind}: with the object gone, it has the tracker's time again", get("udp"))


def rejected(net, v6):
    """The kernel answers a segment of an established connection with a reset: it is over for the tracker as well."""
    kind = "IPv6" if v6 else "IPv4"
    ends = pair(v6)
    # Ten seconds are not enough for a slow kernel.
    patience = int(100 * SLOW)
    write(f"{SYSCTL}/nf_conntrack_tcp_timeout_close", patience, net.ns)
    streams = {port: Stream(net, ends, 2000, port) for port in (80, 81)}
    table = Nft(
        net.ns,
        """
        chain forward {
            type filter hook forward priority filter;
            tcp dport 80 counter reject with tcp reset comment "rejected"
        }""",
    )
    for stream in streams.values():
        stream.say("c", "question")
    entries = [find(net.ns, l4="tcp", src=ends[0], dport=port) for port in streams]
    seen = [[one.state for one in found] for found in entries]
    equal(seen, [["CLOSE"], ["ESTABLISHED"]], f"{kind}: it is over, and the other one goes on")
    left = [one.seconds for one in entries[0]]
    check(left and left[0] <= patience, f"{kind}: for as long as one that was reset", left)
    equal(table.counted(), {"rejected": 1}, f"{kind}: a segment of one of two connections was rejected")
    streams[80].say("s", "answer")
    late = [one.state for one in find(net.ns, l4="tcp", src=ends[0], dport=80)]
    equal(late, ["CLOSE"], f"{kind}: a late answer changes nothing")
    table.delete()


def helper_object(net, v6):
    """The object ct helper: the second connection is RELATED, and knows the helper and the mark of the first."""
    kind = "IPv6" if v6 else "IPv4"
    rows = [
        ("the second connection, its first packet", "tcp dport 5001 ct state related", 1),
        ("all of the second connection", 'ct helper "ftp"', 3),
        ("the same", "ct status expected", 3),
        ("it has its master's mark", "ct status expected ct mark 0x99", 3),
        ("its answers are ESTABLISHED", "tcp sport 5001 ct state established", 1),
        ("the first connection does not count", 'tcp dport 21 ct helper "ftp"', 0),
    ]
    table = Nft(
        net.ns,
        f"""
        ct helper ours {{ type "ftp" protocol tcp; }}
        chain mangle {{
            type filter hook prerouting priority mangle;
            tcp dport 21 ct helper set "ours"
            tcp dport 21 ct state new ct mark set 0x99
        }}
        chain keys {{ type filter hook forward priority filter; meta l4proto 254 accept
        {numbered(rows)}
        }}""",
    )
    src, dst = ends = pair(v6)
    stream = Stream(net, ends)
    stream.say("s", "220 ready\r\n")
    line = "229 Extended (|||5001|)\r\n" if v6 else f"227 Passive ({dst.replace('.', ',')},19,137)\r\n"
    stream.say("s", line)
    check_expected(net.ns, [expected(6, src, dst, 5001, "ftp")], f"{kind}: the data connection is expected", 300)
    Stream(net, ends, 2002, 5001)
    check_expected(net.ns, [], f"{kind}: and once it is there, no more")
    check_rows(table.packets(), rows, kind)
    children = [one.tail["mark"] for one in find(net.ns, src=src, dport=5001)]
    equal(children, ["153"], f"{kind}: the listing shows the second connection with the mark")
    stream.reset()
    table.delete()


def expectation_object(net, v6):
    """The object ct expectation: a rule says what comes back, without any protocol."""
    kind = "IPv6" if v6 else "IPv4"
    flows = Flows(net, v6)
    rows = [
        ("from there, to the port that was named", "ct state related", 1),
        ("the same", "ct status expected", 1),
    ]
    table = Nft(
        net.ns,
        f"""
        ct expectation back {{ protocol udp; dport 9876; timeout 100s; size 3; l3proto {"ip6" if v6 else "ip"}; }}
        chain mangle {{
            type filter hook prerouting priority mangle;
            udp dport 53 ct state new ct expectation set "back"
        }}
        chain keys {{ type filter hook forward priority filter; meta l4proto 254 accept
        {numbered(rows)}
        }}""",
    )
    flows.a_udp()
    want = [expected(17, flows.dst, flows.src, 9876, "nft_ct_expect")]
    check_expected(net.ns, want, f"{kind}: a packet back is expected", 100)
    delivered(net, "b", udp(flows.dst, flows.src, 555, 9875))
    delivered(net, "b", udp(flows.dst, flows.src, 555, 9876))
    check_rows(table.packets(), rows, kind)
    check_expected(net.ns, [], f"{kind}: and once it is there, no more")
    table.delete()


def scenario():
    one_cpu()
    if missing("nf_tables"):
        skip("nft", "this kernel has no nf_tables.ko")
        return
    firewalls()
    drop_namespaces()
    if missing("nft_ct"):
        skip("the keys of ct", "nft_ct.ko does not load")
        return
    net = Router()
    load()
    for v6 in some((False, True)):
        for part in (keys_read, keys_set, secmarks, zones, notrack, timeouts, rejected, helper_object, expectation_object):
            part(net, v6)
    events(net)


main(scenario)
