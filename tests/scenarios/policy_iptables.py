# SPDX-License-Identifier: GPL-2.0
"""The firewalls of policy_nft in iptables and ip6tables; every flag of the matches; the targets CONNMARK and CT."""

# limit: 420
# left out of CI on: debug

import re
import socket
import struct

from netlink import (
    CREATE,
    CTTIMEOUT,
    ask,
    attribute,
    nested,
)
from policy import (
    CLIENT,
    ENDS,
    ROUTER,
    Firewall,
    Flows,
    Stream,
    Xtables,
    check_expected,
    check_rows,
    expected,
    missing,
    one_cpu,
    pair,
    set_up_stacks,
)

from lib import (
    Router,
    check,
    drop_namespaces,
    equal,
    find,
    load,
    main,
    skip,
    some,
)

STATE = "-m conntrack --ctstate"


def named(chain, name, match, target):
    return f"-A {chain} {match} -m comment --comment {name} -j {target}"


def firewall_rules(router, number):
    """The policy for one family, as iptables-save would write it."""
    chain = "FORWARD" if router else "INPUT"
    rules = [f":{chain} DROP"]
    if not router:
        rules.append("-A INPUT -i lo -j ACCEPT")
        if number == 6:
            rules.append(f"-A INPUT -p ipv6-icmp {STATE} UNTRACKED -j ACCEPT")
    rules += [
        named(chain, "established", f"{STATE} ESTABLISHED", "ACCEPT"),
        named(chain, "related", f"{STATE} RELATED", "ACCEPT"),
        named(chain, "invalid", f"{STATE} INVALID", "DROP"),
    ]
    if router:
        rules.append(named(chain, "outgoing", f"-i {CLIENT} -m state --state NEW", "ACCEPT"))
    rules += [
        named(chain, "service", f"-p tcp --dport 22 {STATE} NEW", "ACCEPT"),
        named(chain, "strangers", f"{STATE} NEW", "DROP"),
    ]
    return rules


def firewalls():
    """The same policy on a host and on the router before it, both families."""
    set_up_stacks()
    for router, ns in ((False, CLIENT), (True, ROUTER)):
        rules = Xtables(ns, {"filter": {number: firewall_rules(router, number) for number in (4, 6)}})
        for kind in some(ENDS):
            Firewall(rules, router, kind).all()
        rules.flush()


def numbered(rows, chain="FORWARD"):
    """Rules of a table of rows, each counted under its number; the marker of delivered() is not looked at."""
    first = f"-A {chain} -p 254 -j ACCEPT"
    return [first] + [f"-A {chain} {row[1]} -m comment --comment row{n}" for n, row in enumerate(rows)]


def table(net, v6, rows, **others):
    """Rows in FORWARD and lines for other tables, for one family."""
    number = 6 if v6 else 4
    tables = {name: {number: lines} for name, lines in others.items()}
    return Xtables(net.ns, {"filter": {number: numbered(rows)}, **tables}, (number,))


def read_rows(src, dst, length):
    """What each flag must say of how many of the ten packets (u: UDP, e: error, t: TCP, i: without flags)."""
    ct, of_udp, of_tcp = "-m conntrack", "-m conntrack --ctproto udp", "-m conntrack --ctproto tcp"
    half = 64 if ":" in src else 24
    acct = "-m connbytes --connbytes-mode"
    return [
        ("u1 t1", f"{ct} --ctstate NEW", 2),
        ("u2-3 t2-5", f"{ct} --ctstate ESTABLISHED", 6),
        ("e", f"{ct} --ctstate RELATED", 1),
        ("i", f"{ct} --ctstate INVALID", 1),
        ("none", f"{ct} --ctstate UNTRACKED", 0),
        ("all but e and i", f"{ct} --ctstate NEW,ESTABLISHED", 8),
        ("all but i", f"{ct} ! --ctstate INVALID", 9),
        ("none", f"{ct} --ctstate SNAT,DNAT", 0),
        ("all: none is both", f"{ct} ! --ctstate SNAT,DNAT", 10),
        ("u and e", of_udp, 4),
        ("t", of_tcp, 5),
        ("t", f"{ct} ! --ctproto udp", 5),
        ("all but i", f"{ct} --ctorigsrc {src}", 9),
        ("all but i", f"{ct} --ctorigdst {dst}/{half}", 9),
        ("all but i", f"{ct} --ctreplsrc {dst}", 9),
        ("all but i", f"{ct} --ctrepldst {src}/{half}", 9),
        ("none", f"{ct} ! --ctorigsrc {src}", 0),
        ("none", f"{ct} --ctrepldst {dst}", 0),
        ("all but i", f"{ct} ! --ctorigdst {src}", 9),
        ("all but i", f"{ct} ! --ctreplsrc {src}/{half}", 9),
        ("all but i", f"{ct} ! --ctrepldst {dst}", 9),
        ("u and e", f"{ct} --ctorigsrcport 1000", 4),
        ("all but i", f"{ct} --ctorigdstport 50:80", 9),
        ("t", f"{of_tcp} --ctreplsrcport 80", 5),
        ("u and e", f"{of_udp} --ctrepldstport 900:1000", 4),
        ("t", f"{ct} ! --ctorigdstport 53", 5),
        ("t", f"{ct} ! --ctorigsrcport 1000", 5),
        ("u and e", f"{ct} ! --ctreplsrcport 80", 4),
        ("t", f"{ct} ! --ctrepldstport 900:1000", 5),
        ("all after the first of a connection", f"{ct} --ctstatus SEEN_REPLY", 7),
        ("all after the first of a connection", f"{ct} --ctstatus CONFIRMED", 7),
        ("t3-5", f"{of_tcp} --ctstatus ASSURED", 3),
        ("none", f"{ct} --ctstatus EXPECTED", 0),
        ("all but i", f"{ct} ! --ctstatus EXPECTED", 9),
        ("the first of each connection", f"{ct} ! --ctstatus CONFIRMED,SEEN_REPLY", 2),
        ("none: a packet with a connection has no bit of none", f"{ct} --ctstatus NONE", 0),
        ("all but i", f"{ct} ! --ctstatus NONE", 9),
        ("t3 t5, for days; t4 has unacknowledged data", f"{of_tcp} --ctstatus CONFIRMED --ctexpire 3600:432000", 2),
        ("t1-2 t4, for minutes", f"{of_tcp} ! --ctexpire 3600:432000", 3),
        ("u1 u3 t1 t3 t4", f"{ct} --ctdir ORIGINAL", 5),
        ("u2 e t2 t5", f"{ct} --ctdir REPLY", 4),
        ("u3: all of it together", f"{of_udp} --ctstate ESTABLISHED --ctdir ORIGINAL --ctorigsrc {src} --ctstatus CONFIRMED", 1),
        ("u1 t1", "-m state --state NEW", 2),
        ("u2-3 t2-5", "-m state --state ESTABLISHED", 6),
        ("e", "-m state --state RELATED", 1),
        ("i", "-m state --state INVALID", 1),
        ("none", "-m state --state UNTRACKED", 0),
        ("all but i", "-m state ! --state INVALID", 9),
        ("all but i", "-m connmark --mark 0", 9),
        ("none", "-m connmark ! --mark 0", 0),
        ("u3 e", f"{of_udp} {acct} packets --connbytes 3:3 --connbytes-dir both", 2),
        ("u2-3 e", f"{of_udp} {acct} packets --connbytes 1:1 --connbytes-dir reply", 3),
        ("u3 e", f"{of_udp} {acct} bytes --connbytes {2 * length}:{2 * length} --connbytes-dir original", 2),
        ("u1-2", f"{of_udp} {acct} bytes ! --connbytes {2 * length} --connbytes-dir original", 2),
        ("u and e", f"{of_udp} {acct} avgpkt --connbytes {length}:{length} --connbytes-dir both", 4),
        ("none: it is the master's", "-m helper --helper ftp", 0),
        ("all: none has such a master", "-m helper ! --helper ftp", 10),
        ("none", "-m connlabel --label 5", 0),
        ("all", "-m connlabel ! --label 5", 10),
    ]  # fmt: skip


def flags(net, v6):
    """Every flag of the matches."""
    flows = Flows(net, v6)
    rows = read_rows(flows.src, flows.dst, flows.length)
    rules = table(net, v6, rows)
    flows.send()
    check_rows(rules.packets(), rows, "IPv6" if v6 else "IPv4")
    rules.flush()


def marks(net, v6):
    """CONNMARK with its masks, and labels: kept by the connection, restored to its packets."""
    flows = Flows(net, v6)
    kind = "IPv6" if v6 else "IPv4"
    rows = [
        ("u1", "-m conntrack --ctproto udp -m connmark --mark 0x17", 1),
        ("u2-3 e: four bits set by a mask", "-m conntrack --ctproto udp -m connmark --mark 0x5017", 3),
        ("u and e: by a mask", "-m connmark --mark 0x10/0xf0", 4),
        ("u2-3 e: restored to the packets", "-m mark --mark 0x5017", 3),
        ("t1-2: saved by a mask", "-m connmark --mark 0x2a", 2),
        ("t3-5: one bit more", "-m connmark --mark 0x12a", 3),
        ("t1-5: restored by a mask", "-m mark --mark 0x2a", 5),
        ("u and e: the label is kept", "-m connlabel --label 7", 4),
        ("t", "-m connlabel --label 127", 5),
        ("none", "-m connlabel --label 8", 0),
    ]
    new, theirs = f"{STATE} NEW", f"{STATE} ESTABLISHED --ctdir ORIGINAL"
    mangle = [
        f"-A PREROUTING -p udp --dport 53 {new} -j CONNMARK --set-mark 0x17",
        f"-A PREROUTING -p udp --dport 53 {new} -m connlabel --label 7 --set",
        "-A PREROUTING -p udp --sport 53 -j CONNMARK --set-xmark 0x5000/0xf000",
        f"-A PREROUTING -p tcp --dport 80 {new} -j MARK --set-mark 0xee2a",
        f"-A PREROUTING -p tcp --dport 80 {new} -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff",
        f"-A PREROUTING -p tcp --dport 80 {new} -j MARK --set-mark 0",
        f"-A PREROUTING -p tcp --dport 80 {new} -m connlabel --label 127 --set",
        f"-A PREROUTING -p tcp --dport 80 {theirs} -j CONNMARK --or-mark 0x100",
        "-A PREROUTING -m conntrack --ctproto udp -j CONNMARK --restore-mark",
        "-A PREROUTING -m conntrack --ctproto tcp -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff",
    ]
    rules = table(net, v6, rows, mangle=mangle)
    flows.send()
    check_rows(rules.packets(), rows, kind)
    found = [one.tail["mark"] for one in flows.entries("udp") + flows.entries("tcp")]
    equal(found, [str(0x5017), str(0x12A)], f"{kind}: the listing shows the marks")
    rules.flush()


def zones(net, v6):
    """CT --zone (by number and by mark), --zone-orig, --zone-reply, --notrack and --ctevents."""
    flows = Flows(net, v6)
    kind = "IPv6" if v6 else "IPv4"
    rows = [
        ("two packets of each of four connections", f"{STATE} NEW", 4),
        ("the same", f"{STATE} ESTABLISHED", 4),
        ("those of port 54", f"{STATE} UNTRACKED", 2),
        ("the same", "-m state --state UNTRACKED", 2),
    ]
    raw = [f"-A PREROUTING -p udp --{side} 61 -j CT --zone 1" for side in ("dport", "sport")]
    raw.append("-A PREROUTING -p udp --dport 62 -j CT --zone-orig 2")
    raw += [f"-A PREROUTING -p udp --{side} 63 -j CT --zone-reply 3" for side in ("dport", "sport")]
    raw += [f"-A PREROUTING -p udp --{side} 54 -j CT --notrack" for side in ("dport", "sport")]
    raw += [f"-A PREROUTING -p udp --{side} 64 -j MARK --set-mark 4" for side in ("dport", "sport")]
    raw += [f"-A PREROUTING -p udp --{side} 64 -j CT --zone mark" for side in ("dport", "sport")]
    raw.append("-A PREROUTING -p udp --dport 62 -j CT --ctevents new,destroy --zone-orig 2")
    rules = table(net, v6, rows, raw=raw)
    for port in (61, 62, 63, 64, 54):
        flows.a_udp(port)
        flows.b_udp(port)
    check_rows(rules.packets(), rows, kind)
    lines = {one.orig["dport"]: re.findall(r"zone\S*=\d+", one.line) for one in flows.entries("udp")}
    want = {"61": ["zone=1"], "62": ["zone-orig=2"], "63": ["zone-reply=3"], "64": ["zone=4"]}
    equal(lines, want, f"{kind}: the listing shows the zones, and nothing of what is not tracked")
    rules.flush()


def events(net):
    """CT --ctevents: a mask of events goes with the template."""
    flows = Flows(net, False)
    rows = [("one NEW", f"{STATE} NEW", 1), ("one answer", f"{STATE} ESTABLISHED", 1)]
    raw = ["-A PREROUTING -p udp --dport 71 -j CT --ctevents new,destroy,mark --expevents new"]
    rules = table(net, False, rows, raw=raw)
    flows.a_udp(71)
    flows.b_udp(71)
    check_rows(rules.packets(), rows, "a rule with --ctevents")
    rules.flush()


def helper(net, v6):
    """CT --helper: the second connection is RELATED, and xt_helper knows it."""
    kind = "IPv6" if v6 else "IPv4"
    rows = [
        ("the second connection, its first packet", f"-p tcp --dport 5001 {STATE} RELATED", 1),
        ("all of the second connection", "-m helper --helper ftp", 3),
        ("with any helper", '-m helper --helper ""', 3),
        ("with another one", "-m helper --helper irc", 0),
        ("the same by its status", "-m conntrack --ctstatus EXPECTED", 3),
        ("it has its master's mark", "-m conntrack --ctstatus EXPECTED -m connmark --mark 0x99", 3),
    ]
    raw = ["-A PREROUTING -p tcp --dport 21 -j CT --helper ftp"]
    mangle = ["-A PREROUTING -p tcp --dport 21 -j CONNMARK --set-mark 0x99"]
    rules = table(net, v6, rows, raw=raw, mangle=mangle)
    src, dst = ends = pair(v6)
    stream = Stream(net, ends)
    stream.say("s", "220 ready\r\n")
    stream.say("s", "229 Extended (|||5001|)\r\n")
    check_expected(net.ns, [expected(6, src, dst, 5001, "ftp")], f"{kind}: the data connection is expected", 300)
    Stream(net, ends, 2002, 5001)
    check_rows(rules.packets(), rows, kind)
    equal([one.tail["mark"] for one in find(net.ns, src=src, dport=5001)], ["153"], f"{kind}: the listing shows the mark")
    stream.reset()
    rules.flush()


def timeout_policy(ns, message, name, *parts):
    """Makes (0) or deletes (2) a timeout policy of nfnetlink_cttimeout; returns the error."""
    named = attribute(1, name.encode() + b"\0")
    return ask(ns, CTTIMEOUT, message, named, *parts, family=socket.AF_INET, flags=CREATE)


def timeout(net):
    """CT --timeout: a policy by name."""
    if missing("nfnetlink_cttimeout"):
        skip("CT --timeout", "nfnetlink_cttimeout.ko does not load")
        return
    times = attribute(1, struct.pack("!I", 3000)) + attribute(2, struct.pack("!I", 6000))
    made = timeout_policy(
        net.ns, 0, "patient", attribute(2, struct.pack("!H", socket.AF_INET)), attribute(3, b"\x11"),
        nested(4, times),
    )  # fmt: skip
    equal(made, 0, "a timeout policy is made")
    flows = Flows(net, False)
    rules = table(net, False, [], raw=["-A PREROUTING -p udp --dport 53 -j CT --timeout patient"])
    flows.a_udp()
    left = [one.seconds for one in flows.entries("udp")]
    check(left and 2900 <= left[0] <= 3000, "CT --timeout: unreplied for a while, it has the time of the policy", left)
    flows.b_udp()
    left = flows.as_stream()
    check(left and 5900 <= left[0] <= 6000, "CT --timeout: replied for a while, it has the time of the policy", left)
    # Up to Linux 6.18 a policy was busy then.
    equal(timeout_policy(net.ns, 2, "patient"), 0, "the policy can be deleted while a rule uses it")
    rules.flush()
    flows.a_udp()
    flows.b_udp()
    left = [one.seconds for one in flows.entries("udp")]
    check(left and left[0] <= 120, "then the connection has the tracker's time again", left)


def scenario():
    one_cpu()
    if missing("xt_conntrack", "xt_state", "nft_compat"):
        skip("iptables on the tracker's state", "its modules do not load")
        return
    firewalls()
    drop_namespaces()
    net = Router()
    load("acct=1")
    parts = {
        flags: ("xt_conntrack", "xt_state", "xt_connmark", "xt_connbytes", "xt_helper", "xt_connlabel"),
        marks: ("xt_connmark", "xt_connlabel", "xt_mark"),
        zones: ("xt_CT",),
        helper: ("xt_CT", "xt_helper"),
    }
    for v6 in some((False, True)):
        for part, needs in parts.items():
            lost = missing(*needs)
            if lost:
                skip(f"{'IPv6' if v6 else 'IPv4'}: {part.__doc__}", f"{' '.join(lost)} does not load")
            else:
                part(net, v6)
    if not missing("xt_CT"):
        events(net)
        timeout(net)


main(scenario)
