# SPDX-License-Identifier: GPL-2.0
"""Open vSwitch on the tracker: ct() in a zone with commit, mark, label and NAT, fragments, a helper, limits of a zone."""

# limit: 300
# left out of CI on: debug

import contextlib
import os
import shutil
import tempfile

from policy import (
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
)

from lib import (
    Router,
    check,
    equal,
    find,
    load,
    main,
    poll,
    program,
    run,
    skip,
    udp,
)

# What goes there is of another zone, without NAT, mark and label.
PLAIN = 7000
LABEL = 0x0102030405060708
COMMIT = f"commit,zone={ZONE},nat(src={OUTSIDE}),exec(set_field:{MARK:#x}->ct_mark,set_field:{LABEL:#x}->ct_label)"
# To the tracker first, with NAT as the entry has it, then by state.
FLOWS = f"""
    table=0,priority=10,ip,ct_state=-trk,actions=ct(table=1,zone={ZONE},nat)
    table=1,priority=20,ip,in_port=ea,ct_state=+trk+est,actions=output:eb
    table=1,priority=20,ip,in_port=ea,ct_state=+trk+rel,actions=output:eb
    table=1,priority=20,ip,in_port=eb,ct_state=+trk+est,ct_label={LABEL:#x},actions=output:ea
    table=1,priority=20,udp,in_port=eb,tp_src={PLAIN},actions=ct(table=2,zone={ZONE + 1})
    table=2,ip,ct_state=+trk+est,ct_label=0,actions=output:ea
    table=1,priority=20,ip,in_port=eb,ct_state=+trk+rel,actions=output:ea
    table=1,priority=15,tcp,in_port=ea,tp_dst={FTP},ct_state=+trk+new,actions=ct({COMMIT},alg=ftp),output:eb
    table=1,priority=15,udp,in_port=ea,tp_dst={PLAIN},ct_state=+trk+new,actions=ct(commit,zone={ZONE + 1}),output:eb
    table=1,priority=10,ip,in_port=ea,ct_state=+trk+new,actions=ct({COMMIT}),output:eb
"""

@contextlib.contextmanager
def vswitch(net):
    """Open vSwitch's two daemons in the router's namespace; yields a function that runs one of its tools."""
    place = tempfile.mkdtemp(prefix="ovs-")
    os.environ.update(OVS_RUNDIR=place, OVS_LOGDIR=place, OVS_DBDIR=place, OVS_SYSCONFDIR=place)
    socket, control = f"unix:{place}/db.sock", f"{place}/control"
    run("ovsdb-tool", "create", f"{place}/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")

    def ask(tool, *words, must=True):
        where = {"ovs-vsctl": [f"--db={socket}", "--timeout=60"], "ovs-appctl": ["-t", control]}.get(tool, [])
        return run(tool, *where, *words, ns=net.ns, must=must)[1]

    database = ("ovsdb-server", f"--remote=p{socket}", "--unixctl=none", f"{place}/conf.db")
    try:
        with program(net.ns, *database):
            poll(lambda: os.path.exists(f"{place}/db.sock"), 10)
            ask("ovs-vsctl", "--no-wait", "init")
            with program(net.ns, "ovs-vswitchd", "--log-file=/dev/null", f"--unixctl={control}", socket):
                yield ask
                ask("ovs-vsctl", "del-br", "br0", must=False)
    finally:
        shutil.rmtree(place)


def other_zone(switch):
    """A connection of another zone, where an answer has to be of it as well."""
    what = "Open vSwitch, another zone"
    came = switch.through("a", udp(NEAR, FAR, 1700, PLAIN, b"question"))
    equal([ends(one) for one in came], [(NEAR, FAR, 17)], f"{what}: what begins inside goes out as it is")
    zones = [one.tail.get("zone") for one in find(switch.net.ns, l4="udp", dport=PLAIN)]
    equal(zones, [str(ZONE + 1)], f"{what}: its entry is there alone")
    back = switch.through("b", udp(FAR, NEAR, PLAIN, 1700, b"answer"))
    equal([ends(one) for one in back], [(FAR, NEAR, 17)], f"{what}: its answer comes back")


def limits(net, ask):
    """A zone's limit: what is over it is not committed."""
    what = "Open vSwitch: a limit of two"
    ask("ovs-appctl", "dpctl/ct-set-limits", f"zone={ZONE},limit=2")
    run("conntrack", "-F", ns=net.ns)
    for sport in (5000, 5001, 5002):
        net.a.send(udp(NEAR, FAR, sport, PORT, b"question"))
    net.b.received(1, 3, lambda one: one[9:10] == b"\x11")
    poll(lambda: len(find(net.ns, l4="udp")) >= 2, 3)
    equal(len(find(net.ns, l4="udp")), 2, f"{what}: the third connection of the zone is refused")
    check(f"zone={ZONE},limit=2,count=2" in ask("ovs-appctl", "dpctl/ct-get-limits", f"zone={ZONE}"), f"{what}: it is counted")


def scenario():
    if not shutil.which("ovs-vswitchd"):
        skip("Open vSwitch follows connections", "this machine does not have ovs-vswitchd")
        return
    lacking = missing("openvswitch", "nf_nat")
    if lacking:
        skip("Open vSwitch follows connections", f"this kernel does not have {' '.join(lacking)}")
        return
    one_cpu()
    load()
    net = Router("rct-r")
    with vswitch(net) as ask:
        ask("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "fail-mode=secure")
        for device in ("ea", "eb"):
            ask("ovs-vsctl", "add-port", "br0", device)
        for flow in FLOWS.strip().splitlines():
            ask("ovs-ofctl", "add-flow", "br0", flow.strip())
        switch = Switch(net, "Open vSwitch", offloads=False)
        switch.strangers()
        switch.translated()
        switch.related()
        switch.pings()
        switch.stream()
        switch.datagrams()
        switch.helped(expectations)
        other_zone(switch)
        limits(net, ask)


main(scenario)
