# SPDX-License-Identifier: GPL-2.0
"""Traffic control on the tracker: act_ct in a zone with NAT, force, fragments, a helper; act_connmark; act_ctinfo."""

# limit: 240
# left out of CI on: debug

from policy import (
    Nft,
    expectations,
    missing,
    one_cpu,
)
from switch import (
    FAR,
    FTP,
    MARK,
    NEAR,
    OUTSIDE,
    PORT,
    ZONE,
    Switch,
    ends,
    ports,
)

from lib import (
    Router,
    check,
    equal,
    find,
    load,
    main,
    run,
    skip,
    udp,
)

# Whoever answers from this port is taken for the one who began.
TURNED = 7000
# What a device's ingress does with IPv4: first to the tracker, with NAT as the entry has it, then by state.
COMMIT = f"action ct commit zone {ZONE} mark {MARK:#x} nat src addr {OUTSIDE}"
FILTERS = f"""
    dev ea ingress chain 0 prio 1 protocol ip flower ct_state -trk action ct zone {ZONE} nat pipe action goto chain 1
    dev ea ingress chain 1 prio 1 protocol ip flower ct_state +trk+est action mirred egress redirect dev eb
    dev ea ingress chain 1 prio 2 protocol ip flower ct_state +trk+rel action mirred egress redirect dev eb
    dev ea ingress chain 1 prio 3 protocol ip flower ip_proto tcp dst_port {FTP} ct_state +trk+new {COMMIT} helper ipv4-tcp-ftp pipe action mirred egress redirect dev eb
    dev ea ingress chain 1 prio 4 protocol ip flower ct_state +trk+new {COMMIT} pipe action mirred egress redirect dev eb
    dev ea ingress chain 1 prio 9 protocol all matchall action drop
    dev eb ingress chain 0 prio 1 protocol ip flower ct_state -trk action ct zone {ZONE} nat pipe action goto chain 1
    dev eb ingress chain 1 prio 1 protocol ip flower ip_proto udp src_port {TURNED} ct_state +trk+est action ct commit force zone {ZONE} pipe action mirred egress redirect dev ea
    dev eb ingress chain 1 prio 2 protocol ip flower ct_state +trk+est action mirred egress redirect dev ea
    dev eb ingress chain 1 prio 3 protocol ip flower ct_state +trk+rel action mirred egress redirect dev ea
    dev eb ingress chain 1 prio 9 protocol all matchall action drop
"""


def tc(net, *lines):
    """Commands of tc in the router's namespace, one process."""
    run("tc", "-batch", "-", ns=net.ns, text="".join(f"{line}\n" for line in lines))


def classes(net):
    tc(net, "qdisc add dev ea clsact", "qdisc add dev eb clsact")


def turned(switch):
    """What commits with force the other way round has an entry of its own, and the one of before goes."""
    came = switch.through("a", udp(NEAR, FAR, 1600, TURNED, b"question"))
    outside = ports(came[0])[0] if came else 0
    begun = [one.orig["src"] for one in switch.entries(l4="udp", dport=TURNED)]
    back = switch.through("b", udp(FAR, OUTSIDE, TURNED, outside, b"answer"))
    equal([ends(one) for one in back], [(FAR, NEAR, 17)], "act_ct, force: the answer comes back")
    after = [(one.orig["src"], one.orig["dst"]) for one in switch.entries(l4="udp") if str(TURNED) in (one.orig["sport"], one.orig["dport"])]
    equal((begun, after), ([NEAR], [(FAR, NEAR)]), "act_ct, force: its sender is the one who began, in the only entry")


def act_ct():
    """act_ct as a switch uses it."""
    net = Router("rct-r")
    classes(net)
    tc(net, *[f"filter add {line.strip()}" for line in FILTERS.strip().splitlines()])
    switch = Switch(net, "act_ct", offloads=True)
    switch.strangers()
    switch.translated()
    switch.related()
    switch.pings()
    switch.stream()
    switch.datagrams()
    switch.helped(expectations)
    turned(switch)
    tc(net, "qdisc del dev ea clsact", "qdisc del dev eb clsact")
    run("conntrack", "-F", ns=net.ns)
    equal(find(net.ns), [], "act_ct: the filters are gone, and the entries")
    return net


def marks(net, module, action, rule, what):
    """An action of ingress gives a packet what the mark of its connection says, before any hook has seen it."""
    rules = Nft(
        net.ns,
        f"""
        chain first {{
            type filter hook prerouting priority -400;
            udp dport {PORT} {rule} counter comment "restored"
            udp dport {PORT} counter comment "all"
        }}
        chain later {{
            type filter hook forward priority filter;
            ct state new ct mark set 0xb9000021
        }}
        """,
    )
    classes(net)
    tc(net, f"filter add dev ea ingress prio 1 protocol ip matchall action {action}")
    packet = udp(net.A4, net.B4, 3000, PORT, module.encode())
    net.b.drain()
    for _ in range(3):
        net.a.send(packet)
        check(bool(net.b.received(3, 1, lambda one: one[9:10] == b"\x11")), f"{module}: a packet comes through")
    equal(rules.packets(), {"restored": 2, "all": 3}, f"{module}: {what}")
    tc(net, "qdisc del dev ea clsact", "qdisc del dev eb clsact")
    rules.delete()
    run("conntrack", "-F", ns=net.ns)


def scenario():
    lacking = missing("act_ct", "cls_flower", "act_mirred", "cls_matchall", "act_connmark", "act_ctinfo", "act_gact", "nf_nat")
    one_cpu()
    load()
    if {"act_ct", "cls_flower", "act_mirred"} & set(lacking):
        skip("act_ct follows connections", f"this kernel does not have {' '.join(lacking)}")
        net = Router("rct-r")
    else:
        net = act_ct()
    for module, action, rule, what in (
        ("act_connmark", "connmark", "meta mark 0xb9000021", "the mark of the connection is the packet's, from its second one on"),
        ("act_ctinfo", "ctinfo dscp 0xfc000000 0x01000000", "ip dscp ef", "so is the class that the mark holds"),
    ):
        if module in lacking:
            skip(f"{module} restores", f"this kernel does not have {module}")
        else:
            marks(net, module, action, rule, what)


main(scenario)
