# SPDX-License-Identifier: GPL-2.0
"""Flow tables of nft on the tracker: translated connections leave the slow path, come back, and end meanwhile."""

# limit: 240
# left out of CI on: debug

import socket
import threading
import time

from policy import (
    CLIENT,
    ENDS,
    ROUTER,
    SERVER,
    Nft,
    missing,
    set_up_stacks,
)

from lib import (
    SLOW,
    SYSCTL,
    check,
    equal,
    find,
    grown,
    main,
    make_socket,
    poll,
    run,
    shown,
    skip,
    write,
)

# The router's addresses: what the client asks, and what the server sees.
NEAR = {"IPv4": "10.1.0.1", "IPv6": "fd01::1"}
FAR = {"IPv4": "10.2.0.1", "IPv6": "fd02::1"}
ASKED, PORT = 8080, 80
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}

FLOWS = f"""
    flowtable fast {{
        hook ingress priority filter;
        devices = {{ {CLIENT}, {SERVER} }};
        counter;
    }}
    chain forward {{
        type filter hook forward priority filter;
        meta l4proto {{ tcp, udp }} counter comment "slow"
        meta l4proto {{ tcp, udp }} ct state established flow add @fast
    }}
"""
NAT = f"""
    chain before {{
        type nat hook prerouting priority dstnat;
        ip daddr {NEAR["IPv4"]} meta l4proto {{ tcp, udp }} th dport {ASKED} dnat ip to {ENDS["IPv4"][1]}:{PORT}
        ip6 daddr {NEAR["IPv6"]} meta l4proto {{ tcp, udp }} th dport {ASKED} dnat ip6 to [{ENDS["IPv6"][1]}]:{PORT}
    }}
    chain after {{
        type nat hook postrouting priority srcnat;
        oifname {SERVER} masquerade
    }}
"""


class Talk:
    """A conversation between client and server, both ends of which the router translates."""

    def __init__(self, kind, l4, sport=0):
        home, away = ENDS[kind]
        self.l4 = l4
        self.far = make_socket(SERVER, away, PORT, KINDS[l4])
        self.near = make_socket(CLIENT, home, sport, KINDS[l4])
        if l4 == "tcp":
            with self.far as listener:
                listener.listen()
                self.near.connect((NEAR[kind], ASKED))
                self.far, seen = listener.accept()
            self.far.settimeout(10 * SLOW)
        else:
            self.near.connect((NEAR[kind], ASKED))
            self.near.send(b"begin")
            _, seen = self.far.recvfrom(100)
            self.far.connect(seen)
            self.far.send(b"begin")
            self.near.recv(100)
        self.seen = seen[0]
        self.port = self.near.getsockname()[1]

    def exchange(self, number=1):
        """Questions and answers; returns how many came over."""
        came = 0
        for n in range(number):
            for here, there in ((self.near, self.far), (self.far, self.near)):
                here.send(b"%d" % n)
                came += there.recv(100) == b"%d" % n
        return came

    def entry(self):
        """The entry, or None."""
        found = find(ROUTER, l4=self.l4, sport=self.port)
        return found[0] if len(found) == 1 else None

    def offloaded(self):
        entry = self.entry()
        return bool(entry) and "OFFLOAD" in entry.flags

    def returned(self):
        """Waits until the flow has left the table; returns the entry."""
        poll(lambda: not self.offloaded(), 10, 0.2)
        return self.entry()

    def close(self, reset=False):
        for one in (self.near, self.far):
            if reset:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            one.close()


def packets(entry):
    return int(entry.orig["packets"]) + int(entry.reply["packets"])


def fast(kind, l4, rules):
    """Once there was an answer, nothing of a connection comes to the forward chain any more."""
    what = f"{kind}, {l4}"
    talk = Talk(kind, l4)
    equal(talk.seen, FAR[kind], f"{what}: the server sees the router")
    talk.exchange(2)
    entry = talk.entry()
    check(
        entry and "OFFLOAD" in entry.flags and entry.seconds is None,
        f"{what}: the listing shows it offloaded",
        entry and entry.line,
    )
    listed = run("conntrack", "-L", "-f", kind.lower(), "-p", l4, "--sport", str(talk.port), ns=ROUTER)[1]
    check(
        "[OFFLOAD]" in listed and f"src={FAR[kind]}" not in listed.split("[OFFLOAD]")[1],
        f"{what}: so does conntrack -L",
        listed,
    )
    before, slow = packets(entry), rules.packets()
    equal(talk.exchange(50), 100, f"{what}: a hundred packets come over")
    equal(grown(slow, rules.packets()), {}, f"{what}: none of them through the forward chain")
    check(packets(talk.entry()) >= before + 100, f"{what}: the entry has counted them", talk.entry().line)
    return talk


def patience(seconds):
    """How long a flow stays in the table when nothing is said; counts for each from its next packet on."""
    for l4 in KINDS:
        write(f"{SYSCTL}/nf_flowtable_{l4}_timeout", seconds, ROUTER)


def idle(kind, talks, rules):
    """What is silent comes back to the tracker, with its time; what it says then is offloaded anew."""
    patience(1)
    for talk in talks:
        talk.exchange()
    # The flow table gives a connection a day, and the tracker no more than it had.
    for talk, least, most in zip(talks, (80000, 60), (86400, 120)):
        what = f"{kind}, {talk.l4}: silent for a while"
        entry = talk.returned()
        check(
            entry and entry.seconds is not None and least < entry.seconds <= most,
            f"{what}, it has the tracker's time again",
            entry and entry.line,
        )
        equal(entry.state, "ESTABLISHED" if talk.l4 == "tcp" else None, f"{what}, and the state it had")
        # What it says now is in the table still when it is looked at.
        patience(30)
        slow = rules.packets()
        equal(talk.exchange(5), 10, f"{what}, it goes on")
        now = grown(slow, rules.packets())
        check(now and talk.offloaded() and now["slow"] < 5, f"{what}, and is offloaded anew", now)


def kept(kind):
    """An entry whose time would be over stays as long as there is traffic in the flow table."""
    for name in ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"):
        write(f"{SYSCTL}/{name}", 1, ROUTER)
    talk = Talk(kind, "udp")
    talk.exchange(2)
    patience(5)
    first = talk.entry()
    end, came = time.monotonic() + 3, 0
    while time.monotonic() < end:
        came += talk.exchange()
        time.sleep(0.2)
    entry = talk.entry()
    good = entry and "OFFLOAD" in entry.flags and packets(entry) >= packets(first) + came
    check(good, f"{kind}: an entry with a second of time stays while its flow is used", entry and entry.line)
    patience(1)
    talk.exchange()
    talk.close()
    check(poll(lambda: not talk.entry(), 15, 0.3), f"{kind}: and goes when it is not")
    write(f"{SYSCTL}/nf_conntrack_udp_timeout", 30, ROUTER)
    write(f"{SYSCTL}/nf_conntrack_udp_timeout_stream", 120, ROUTER)


def ended(kind, rules):
    """Connections that end in the flow table are over for the tracker, too."""
    patience(3)
    talks = {what: Talk(kind, "tcp") for what in ("ends", "is reset")}
    for what, talk in talks.items():
        talk.exchange(2)
        check(talk.offloaded(), f"{kind}: a connection is offloaded that {what} then", talk.entry())
        slow = rules.packets()
        talk.close(what == "is reset")
        time.sleep(0.2 * SLOW)
        equal(grown(slow, rules.packets()), {}, f"{kind}: the forward chain does not see that it {what}")
    for what, talk in talks.items():
        entry = talk.returned()
        good = entry and entry.state == "CLOSE" and entry.seconds <= 10
        check(good, f"{kind}: the tracker knows that it {what}, and keeps it for ten seconds", entry and entry.line)
    again = Talk(kind, "tcp", talk.port)
    check(
        again.exchange(2) == 4 and again.offloaded(),
        f"{kind}: another one from the same port takes its place",
        again.entry(),
    )
    again.close(True)
    again = Talk(kind, "tcp", talk.port)
    check(
        again.exchange(2) == 4 and again.offloaded(),
        f"{kind}: and one more, while the flow is still in the table",
        again.entry(),
    )
    again.close(True)


def deleted(kind, talk):
    """An entry that is deleted takes its flow along."""
    check(talk.offloaded(), f"{kind}: an entry is offloaded that is deleted then", talk.entry())
    old = packets(talk.entry())
    run("conntrack", "-D", "-f", kind.lower(), "-p", "udp", "--sport", str(talk.port), ns=ROUTER)
    equal(talk.entry(), None, f"{kind}: an offloaded entry is deleted")
    equal(talk.exchange(3), 6, f"{kind}: its connection goes on")
    entry = talk.entry()
    check(entry and packets(entry) < old, f"{kind}: with another entry", entry and entry.line)


def removed(kind, rules):
    """The flow table goes while a connection is busy in it."""
    talk = Talk(kind, "tcp")
    talk.exchange(2)
    check(talk.offloaded(), f"{kind}: a busy connection is offloaded", talk.entry())
    stop, sent, got = threading.Event(), [0], [0]

    def pump():
        while not stop.is_set():
            talk.near.sendall(b"x" * 2000)
            sent[0] += 2000
            while got[0] < sent[0]:
                got[0] += len(talk.far.recv(65536))

    thread = threading.Thread(target=pump)
    thread.start()
    try:
        check(poll(lambda: sent[0] > 20000, 10), f"{kind}: it is busy", sent)
        rules.delete()
        before = sent[0]
        check(
            poll(lambda: sent[0] > before + 20000, 10), f"{kind}: the table is removed, and it goes on", (before, sent)
        )
    finally:
        stop.set()
        thread.join()
    equal(got, sent, f"{kind}: nothing of it is lost")
    entry = talk.entry()
    good = entry and "OFFLOAD" not in entry.flags and entry.state == "ESTABLISHED" and entry.seconds > 400000
    check(
        good and entry.reply["dst"] == shown(FAR[kind]),
        f"{kind}: its entry is the tracker's again",
        entry and entry.line,
    )
    talk.close()


def scenario():
    lacking = missing("nf_flow_table", "nf_flow_table_inet", "nft_flow_offload", "nft_masq", "nft_nat", "nft_chain_nat")
    if lacking:
        skip("flow tables take connections over", f"this kernel does not have {' '.join(lacking)}")
        return
    set_up_stacks()
    missing("nf_flow_table")  # the tracker was loaded anew, and its users were not
    Nft(ROUTER, NAT, "inet nat")
    for kind in ENDS:
        rules = Nft(ROUTER, FLOWS)
        patience(30)
        talks = [fast(kind, l4, rules) for l4 in KINDS]
        idle(kind, talks, rules)
        deleted(kind, talks[1])
        if kind == "IPv4":
            kept(kind)  # the same for both
        ended(kind, rules)
        removed(kind, rules)
        for talk in talks:
            talk.close()
    # A connection that is in a flow table when its namespace goes.
    Nft(ROUTER, FLOWS)
    last = Talk("IPv4", "tcp")
    last.exchange(2)
    check(last.offloaded(), "one is offloaded when its namespace goes")


main(scenario)
