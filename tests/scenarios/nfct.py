# SPDX-License-Identifier: GPL-2.0
"""The program nfct: timeout policies that rules use by name, and helpers that conntrackd runs in user space."""

# limit: 180
# left out of CI on: debug

import contextlib
import os
import re
import shutil
import tempfile

from policy import (
    CLIENT,
    ROUTER,
    SERVER,
    Control,
    Flows,
    Nft,
    Stream,
    Xtables,
    check_expected,
    delivered,
    expectations,
    expected,
    missing,
    one_cpu,
    set_up_stacks,
)

from lib import (
    SLOW,
    SYSCTL,
    Router,
    check,
    drop_namespaces,
    echo,
    equal,
    find,
    grown,
    load,
    main,
    poll,
    program,
    read,
    run,
    skip,
    write,
)

# ---------------------------------------------------------------------------------- timeout policies

# Protocol, states and seconds, the sysctl of the first.
POLICIES = {
    "udp": ({"unreplied": 70, "replied": 170}, "udp_timeout"),
    "tcp": ({"syn_sent": 50, "established": 900, "close": 7}, "tcp_timeout_syn_sent"),
    "icmp": ({"timeout": 45}, "icmp_timeout"),
}


def nfct(ns, *words, must=True):
    return run("nfct", *words, ns=ns, must=must)


def named(states):
    return [word for state, seconds in states.items() for word in (state, str(seconds))]


def values(text):
    """What nfct shows of a policy: state -> seconds."""
    return {name.lower(): int(seconds) for name, seconds in re.findall(r"\.([A-Za-z_0-9]+) = (\d+)", text)}


def left(net, want, **entry):
    """Whether what is found has about so many seconds."""
    found = find(net.ns, **entry)
    return len(found) == 1 and want - 10 * SLOW < found[0].seconds <= want, [one.line for one in found]


def policies(net):
    """Policies are made, shown, used by CT --timeout, and deleted while they are used."""
    for proto, (states, setting) in POLICIES.items():
        nfct(net.ns, "add", "timeout", f"slow-{proto}", "inet", proto, *named(states))
        shows = values(nfct(net.ns, "get", "timeout", f"slow-{proto}")[1])
        check(states.items() <= shows.items(), f"{proto}: a policy is shown as it was made", shows)
        before = int(read(f"{SYSCTL}/nf_conntrack_{setting}", net.ns))
        shows = values(nfct(net.ns, "default-get", "timeout", "inet", proto)[1])
        equal(shows.get(next(iter(states))), before, f"{proto}: the default is shown as the tracker has it")
        nfct(net.ns, "default-set", "timeout", "inet", proto, next(iter(states)), "31")
        equal(int(read(f"{SYSCTL}/nf_conntrack_{setting}", net.ns)), 31, f"{proto}: and is set for the tracker")
        write(f"{SYSCTL}/nf_conntrack_{setting}", before, net.ns)
    rules = Xtables(
        net.ns, {"raw": {4: [f"-A PREROUTING -p {proto} -j CT --timeout slow-{proto}" for proto in POLICIES]}}, (4,)
    )
    flows = Flows(net, False)
    flows.a_udp()
    check(*with_name(left(net, 70, l4="udp", src=flows.src), "udp: an unreplied connection has the policy's time"))
    flows.b_udp()
    flows.a_udp()
    src, dst = flows.pair
    delivered(net, "a", echo(src, dst, 7))
    check(*with_name(left(net, 45, l4="icmp", src=src), "icmp: a ping has the policy's time"))
    stream = Stream(net, flows.pair, 2000, 80, begun=False)
    stream.segment("c", "S")
    check(*with_name(left(net, 50, l4="tcp", src=src), "tcp: a SYN has the policy's time"))
    stream.segment("s", "SA")
    stream.segment("c", "A")
    check(*with_name(left(net, 900, l4="tcp", src=src), "tcp: an established connection has, too"))
    for proto in POLICIES:
        status, text = nfct(net.ns, "delete", "timeout", f"slow-{proto}", must=False)
        # Up to Linux 6.18 a policy was busy then.
        equal(status, 0, f"{proto}: a policy is deleted while a rule and a connection use it {text.strip()}")
    equal(values(nfct(net.ns, "list", "timeout")[1]), {}, "none is listed any more")
    flows.a_udp()
    stream.say("c", "data")
    stream.segment("s", "A")
    check(*with_name(left(net, 432000, l4="tcp", src=src), "tcp: then it has the tracker's time again"))
    check(flows.entries("udp")[0].seconds <= 120, "udp: so has the other", flows.entries("udp")[0].line)
    rules.flush()


def with_name(result, what):
    """The arguments of a check of left()."""
    return result[0], what, result[1]


# ------------------------------------------------------------------------------ helpers in user space

CONFIG = """
Helper {{
    Type ftp inet tcp {{ QueueNum 0 QueueLen 1024 Policy ftp {{ ExpectMax 1 ExpectTimeout 300 }} }}
}}
General {{
    HashSize 1024
    HashLimit 4096
    LockFile {0}/lock
    LogFile {0}/log
    Syslog off
    UNIX {{ Path {0}/control }}
}}
"""

RULES = """
    ct helper ftp { type "ftp" protocol tcp; l3proto ip; }
    chain helpers {
        type filter hook prerouting priority filter;
        ip version 4 tcp dport 21 ct helper set "ftp"
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established counter accept comment "established"
        ct state related ct helper "ftp" counter accept comment "data"
        ct state related counter accept comment "related"
        tcp dport 21 ct state new counter accept comment "control"
    }
"""


@contextlib.contextmanager
def conntrackd(ns):
    """conntrackd with its helpers, in a namespace."""
    place = tempfile.mkdtemp(prefix="rct-conntrackd-")
    with open(f"{place}/conf", "w", encoding="ascii") as file:
        file.write(CONFIG.format(place))
    try:
        with program(ns, "conntrackd", "-C", f"{place}/conf") as daemon:
            poll(lambda: os.path.exists(f"{place}/control") or daemon.poll() is not None, 20)
            log = read(f"{place}/log") if os.path.exists(f"{place}/log") else ""
            check(daemon.poll() is None, "conntrackd runs", log)
            yield daemon
    finally:
        shutil.rmtree(place)


def related(what, control, rules, *ends):
    """A data connection is let in, as RELATED."""
    before = rules.packets()
    control.data(what, *ends)
    now = grown(before, rules.packets())
    check(now.get("data", 0) >= 1 and "established" in now, f"{what}: it was RELATED", now)


def helped(rules):
    """A passive and an active data connection, both announced in lines that only conntrackd has read."""
    control = Control("IPv4")
    home, away = control.home, control.away
    line = control.announcement("server", 5001)
    equal(control.says("server", line), line, "passive: the line comes over")
    want = expected(6, home, away, 5001, "ftp/ftp")  # by its policy, too
    check_expected(ROUTER, [want], "passive: what it announces is expected", 300, of=home)
    related("passive", control, rules, (CLIENT, home), (away, 5001), (SERVER, away, 5001))
    line = control.announcement("client", 5002)
    equal(control.says("client", line), line, "active: the line comes over")
    related("active", control, rules, (SERVER, away), (home, 5002), (CLIENT, home, 5002))
    found = find(ROUTER, l4="tcp", src=home, dport=21)
    equal([one.state for one in found], ["ESTABLISHED"], "the control connection is followed")
    control.close()


def helpers():
    """User space's helper is added by nfct and run by conntrackd."""
    lacking = missing("nfnetlink_cthelper", "nfnetlink_queue", "nft_ct", "nf_conntrack_netlink")
    if lacking:
        skip("helpers in user space", f"this kernel does not have {' '.join(lacking)}")
        return
    set_up_stacks()
    missing("nfnetlink_cthelper", "nf_conntrack_netlink")  # the tracker was loaded anew, and its users were not
    nfct(ROUTER, "add", "helper", "ftp", "inet", "tcp")
    listed = nfct(ROUTER, "list", "helper")[1]
    check(".name = ftp" in listed, "nfct lists the helper that it has added", listed)
    with conntrackd(ROUTER):
        rules = Nft(ROUTER, RULES)
        helped(rules)
        equal(expectations(ROUTER), [], "nothing is expected any more")
        rules.delete()
        run("conntrack", "-F", ns=ROUTER)
    status, text = nfct(ROUTER, "delete", "helper", "ftp", "inet", "tcp", must=False)
    equal(status, 0, f"nfct takes it away {text.strip()}")


def scenario():
    if not shutil.which("nfct") or not shutil.which("conntrackd"):
        skip("nfct and conntrackd", "this machine does not have them")
        return
    one_cpu()
    lacking = missing("nfnetlink_cttimeout", "xt_CT", "nft_compat")
    if lacking:
        skip("timeout policies", f"this kernel does not have {' '.join(lacking)}")
    else:
        load()
        missing("nfnetlink_cttimeout")
        policies(Router())
        drop_namespaces()
    helpers()


main(scenario)
