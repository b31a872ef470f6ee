# SPDX-License-Identifier: GPL-2.0
"""What reads the connection of a packet: xt_cluster shares flows out, CONNSECMARK keeps marks, cake sees behind NAT."""

# limit: 180
# left out of CI on: debug

import struct

from policy import (
    Nft,
    Stream,
    Xtables,
    delivered,
    missing,
    one_cpu,
    pair,
)

from lib import (
    Router,
    check,
    equal,
    find,
    grown,
    icmp,
    load,
    main,
    run,
    skip,
    udp,
)

# --------------------------------------------------------------------------------------- xt_cluster

FLOWS = 5


def cluster_rules(net, kind):
    """Two nodes, which see the same packets and count their own, and a third node that is both of them."""
    match = "-A PREROUTING ! -p 254 -m cluster --cluster-total-nodes 2 --cluster-hash-seed 0xdeadbeef"
    lines = [f"{match} --cluster-local-node {n} -m comment --comment node{n}" for n in (1, 2)]
    lines.append(f"{match} --cluster-local-nodemask 3 -m comment --comment both")
    helper = "-A PREROUTING -p tcp --dport 21 -j CT --helper ftp"
    number = int(kind[-1])
    return Xtables(net.ns, {"raw": {number: [helper]}, "mangle": {number: lines}}, (number,))


def network(kind):
    """Two addresses behind the router's ports; the first is of another network each time.

    Of an IPv6 address xt_cluster hashes no more than the first four bytes (xt_cluster_hash_ipv6).
    """
    src, dst = pair(kind == "IPv6")
    return (f"2001:{pair.last:x}::2" if kind == "IPv6" else src), dst


def cluster(net, kind):
    """Each packet of a connection, and of what belongs to it, is of the same one of two nodes."""
    v6 = kind == "IPv6"
    rules = cluster_rules(net, kind)
    shares, torn = {"node1": 0, "node2": 0}, []
    before = rules.packets()
    for _ in range(FLOWS):
        src, dst = network(kind)
        question, answer = udp(src, dst, 1000, 53), udp(dst, src, 53, 1000)
        delivered(net, "a", question)
        delivered(net, "b", answer, icmp(dst, src, *((1, 4) if v6 else (3, 3)), data=question))
        now = rules.packets()
        counted, before = grown(before, now), now
        nodes = [node for node in shares if node in counted]
        if counted.pop("both", 0) != 3 or list(counted.values()) != [3]:
            torn.append(counted)
        shares[nodes[0]] += 1
    equal(torn, [], f"{kind}, xt_cluster: question, answer and error are of one node, for each of {FLOWS} connections")
    check(min(shares.values()) > 0, f"{kind}, xt_cluster: each node has some", shares)
    # What a connection expects comes from the other side, whose address alone may be the other node's.
    masters, children, others = [], [], []
    for port in (5001, 5002):
        src, dst = network(kind)
        stream = Stream(net, (src, dst))
        stream.say("s", "220 ready\r\n")
        stream.say("c", "USER me\r\n")
        stream.say("c", f"EPRT |{2 if v6 else 1}|{src}|{port}|\r\n")
        now = rules.packets()
        masters.append([node for node in shares if now.get(node) != before.get(node)])
        Stream(net, (dst, src), 20, port, inward=True)
        before = rules.packets()
        children.append([node for node in shares if before.get(node) != now.get(node)])
        delivered(net, "b", udp(dst, src, 1000, 53))
        now = rules.packets()
        others.append([node for node in shares if before.get(node) != now.get(node)])
        before = now
    check(all(len(one) == 1 for one in masters), f"{kind}, xt_cluster: a control connection is of one node", masters)
    equal(children, masters, f"{kind}, xt_cluster: and its data connection of the same one")
    check(others != masters, f"{kind}, xt_cluster: though another connection from there is of the other", others)
    rules.flush()


# ------------------------------------------------------------------------------------- xt_CONNSECMARK

SECMARK = 4711
# A packet has a secmark by nft from its connection only, which forgets it here; nft takes no constant for a secmark.
MARKING = f"""
    chain first {{
        type filter hook prerouting priority -190;
        udp dport 53 ct state new ct secmark set numgen inc mod 1 offset {SECMARK}
        udp dport 53 ct state new meta secmark set ct secmark
        udp dport 53 ct state new ct secmark set numgen inc mod 1 offset 0
        udp dport 53 ct state new ct secmark & 0xffff == 0 counter comment "none"
    }}
    chain last {{
        type filter hook forward priority filter;
        udp dport 53 ct secmark & 0xffff == {SECMARK} counter comment "saved"
        udp sport 53 meta secmark & 0xffff == {SECMARK} counter comment "restored"
        udp sport 53 counter comment "all"
    }}
"""


def secmarks(net):
    """The mark of the first packet is saved to the connection, and its answers have it restored."""
    table = Nft(net.ns, MARKING)
    match = "-A PREROUTING -p udp -m udp"
    lines = {"saved": f"{match} --dport 53 -j CONNSECMARK --save", "restored": f"{match} --sport 53 -j CONNSECMARK --restore"}
    for without in (None, "restored", "saved"):
        mangle = [line for name, line in lines.items() if name != without]
        rules = Xtables(net.ns, {"mangle": {4: mangle}}, (4,))
        src, dst = pair(False)
        before = table.packets()
        delivered(net, "a", udp(src, dst, 1000, 53))
        for _ in range(3):
            delivered(net, "b", udp(dst, src, 53, 1000))
        want = {"none": 1, "saved": 1, "restored": 3, "all": 3}
        if without == "saved":
            del want["saved"]
        if without:
            del want["restored"]
        what = f"where it is not {without}, no mark" if without else "the first packet's mark, by each answer"
        equal(grown(before, table.packets()), want, f"CONNSECMARK: {what}")
        rules.flush()
    table.delete()


# ------------------------------------------------------------------------------------------ sch_cake

OUTSIDE = "10.2.0.77"
# Connections of the greedy host, and packets of each.
MANY, EACH = 8, 20
NAT = f"chain after {{ type nat hook postrouting priority srcnat; oifname eb snat ip to {OUTSIDE}; }}"


def before_the_modest(net, into, out, greedy, modest):
    """Sends packets of two hosts; returns how many of the greedy came before the modest's last, and all."""
    out.drain()
    for turn in range(EACH):
        into.send(*(packet(b"much", turn) for packet in greedy), modest(b"less", turn))
    total = EACH * (MANY + 1)
    came = out.received(20, total, lambda one: one[:1] == b"\x45" and one[28:32] in (b"much", b"less"))
    order = [one[28:32] for one in came]
    last = max((at for at, what in enumerate(order) if what == b"less"), default=0)
    return order[:last].count(b"much"), len(came)


def fair(what, net, ports, packets, device, nat, isolation):
    """Whether two hosts behind NAT have the line in equal parts, or each connection has."""
    qdisc = f"dev {device} root cake bandwidth 800kbit {isolation} {nat} memlimit 8mb rtt 100s"
    run("tc", "qdisc", "replace", *qdisc.split(), ns=net.ns)
    first, came = before_the_modest(net, *ports, *packets)
    run("tc", "qdisc", "del", "dev", device, "root", ns=net.ns)
    what = f"cake {nat}, {what}"
    most = EACH * MANY
    equal(came, EACH * (MANY + 1), f"{what}: all packets come through")
    if nat == "nat":
        check(first < most // 2, f"{what}: a host behind NAT with one connection has half the line", (first, most))
    else:
        check(first > most * 3 // 4, f"{what}: it has a ninth, as one of nine connections of one address", (first, most))


def cake(net):
    """cake with `nat` asks the tracker for the addresses that NAT hides, on the way out and on the way in."""
    rules = Nft(net.ns, NAT)
    (one, far), (other, _) = pair(False), pair(False)
    body = lambda text, turn: text + struct.pack("!I", turn) + bytes(900)  # noqa: E731

    def packet(src, dst, sport, dport):
        return lambda text, turn: udp(src, dst, sport, dport, body(text, turn))

    ends = [(one, 1000 + n) for n in range(MANY)] + [(other, 2000)]
    # Each has an entry, which says where its answers go.
    answers = []
    for src, sport in ends:
        delivered(net, "a", udp(src, far, sport, 53, b"begin"))
        outside = find(net.ns, src=src, sport=sport)[0].reply["dport"]
        answers.append(packet(far, OUTSIDE, 53, int(outside)))
    questions = [packet(src, far, sport, 53) for src, sport in ends]
    for nat in ("nonat", "nat"):
        fair("on the way out", net, (net.a, net.b), (questions[:-1], questions[-1]), "eb", nat, "dual-srchost")
    # On the way in the packets are asked about before they are tracked.
    run("ip", "link", "add", "in0", "type", "ifb", ns=net.ns)
    run("ip", "link", "set", "in0", "up", ns=net.ns)
    run("tc", "qdisc", "add", "dev", "eb", "ingress", ns=net.ns)
    redirect = "dev eb ingress matchall action mirred egress redirect dev in0"
    run("tc", "filter", "add", *redirect.split(), ns=net.ns)
    for nat in ("nonat", "nat"):
        fair("on the way in", net, (net.b, net.a), (answers[:-1], answers[-1]), "in0", nat, "dual-dsthost")
    run("tc", "qdisc", "del", "dev", "eb", "ingress", ns=net.ns)
    run("ip", "link", "del", "in0", ns=net.ns)
    rules.delete()


def scenario():
    one_cpu()
    parts = [
        (cluster, ("xt_cluster", "xt_CT", "nf_conntrack_ftp"), ("IPv4", "IPv6")),
        (secmarks, ("xt_CONNSECMARK", "nft_ct", "nft_numgen"), ()),
        (cake, ("sch_cake", "ifb", "act_mirred", "cls_matchall", "nft_nat", "nft_chain_nat"), ()),
    ]
    lacking = set(missing(*(name for _, needs, _ in parts for name in needs)))
    load()
    net = Router()
    for part, needs, kinds in parts:
        lost = lacking & set(needs)
        if lost:
            skip(part.__doc__, f"this kernel does not have {' '.join(sorted(lost))}")
            continue
        for kind in kinds or (None,):
            part(*((net, kind) if kind else (net,)))
        run("conntrack", "-F", ns=net.ns)


main(scenario)
