# SPDX-License-Identifier: GPL-2.0
"""What is done to the tracker in a soak, each by a process of its own.

A worker is called with the board, on which it notes each step, and dice from which it draws all it does. It
goes on until the board tells it to stop. What the kernel refuses is no failure; what a worker raises is.
"""

import contextlib
import ctypes
import errno
import glob
import os
import socket
import struct
import time

import grammar
import messages
from failslab import FAILSLAB, failing, failing_nth, one_by_one
from mutation import corpus, mutated, repaired
from netlink import NETLINK_NETFILTER, SOL_NETLINK, attributes, nested
from netlink import messages as netlink_messages

from lib import (
    CLONE_NEWNET,
    CT,
    PARAMETERS,
    RUST,
    SYSCTL,
    Router,
    client_router_server,
    count,
    hosts,
    inside,
    ip4,
    ip_batch,
    make_socket,
    read,
    run,
    tcp,
    udp,
    write,
)

# A router between two bare wires, a router between two stacks, and a namespace in which entries grow old.
ATTACKED, FORWARDED, AGED = "rct-r", "rct-fr", "rct-old"
CLIENT, SERVER = "rct-fc", "rct-fs"
NETS = {}
# Within so many seconds an entry that is over has to be gone, on a machine as slow as this machine.
OLDEST = 120


def make_nets():
    """The namespaces of all workers; before they are forked."""
    NETS["router"] = Router(ATTACKED)
    client_router_server(CLIENT, FORWARDED, SERVER)
    hosts(AGED)
    write(f"{SYSCTL}/nf_conntrack_udp_timeout", 3, AGED)
    for command, proto in (("iptables", "icmp"), ("ip6tables", "icmpv6")):
        # No ICMP errors of the router's go out to the wires.
        run(command, "-A", "OUTPUT", "-p", proto, "-j", "DROP", ns=ATTACKED, must=False)


def drop_nets():
    """Lets go of what holds the namespaces."""
    router = NETS.pop("router")
    for port in (router.a, router.b):
        port.sock.close()


def refused():
    """What the kernel may refuse: by an error, by the status of a program."""
    return contextlib.suppress(OSError, RuntimeError)


# ------------------------------------------------------------------------------------------- packets


def recorded():
    """The frames of sessions that the scenario `sessions` has captured, where it has."""
    sessions = []
    for path in sorted(glob.glob(os.path.join(os.environ.get("RUST_CT_OUT", "/tmp"), "captures/*.pcap"))):
        with open(path, "rb") as file:
            data, at, frames = file.read(8 << 20), 24, []
        while at + 16 <= len(data) and len(frames) < 3000:
            length = struct.unpack_from("=I", data, at + 8)[0]
            frames.append(data[at + 30 : at + 16 + length])
            at += 16 + length
        sessions.append([frame for frame in frames if 20 <= len(frame) <= 1500])
    return [frames for frames in sessions if frames]


def source_is_near(packet):
    """Whether a recorded packet is a packet of the client's."""
    return packet[12:14] == b"\x0a\x01" if packet[0] >> 4 == 4 else packet[8:10] == b"\xfd\x01"


def flood(router, dice, number):
    """Flows of one packet, from many sources."""
    for _ in range(number):
        source = f"10.1.{dice.randrange(256)}.{dice.randrange(1, 255)}"
        sport, dport = dice.randrange(1, 65536), dice.randrange(1, 65536)
        if dice.randrange(2):
            router.a.send(udp(source, Router.B4, sport, dport, b"flood"))
        else:
            router.a.send(tcp(source, Router.B4, sport, dport, "S", seq=dice.randrange(1 << 32)))


def packets(board, dice):
    """Mutants of packets of every kind from both sides, recorded sessions, floods."""
    router, kinds, sessions = NETS["router"], corpus(), recorded()
    while True:
        deed = dice.randrange(10)
        if deed == 0:
            flood(router, dice, 50)
        elif deed == 1 and sessions:
            frames = dice.choice(sessions)
            at = dice.randrange(len(frames))
            for frame in frames[at : at + 50]:
                if dice.randrange(10) == 0:
                    frame = repaired(mutated(dice, frame))
                if frame:
                    (router.a if source_is_near(frame + bytes(40)) else router.b).send(frame)
        else:
            for _ in range(25):
                original = dice.choice(kinds)
                packet = mutated(dice, original) if dice.randrange(10) else original
                if dice.randrange(4):
                    packet = repaired(packet)
                port = dice.choice((router.a, router.b))
                port.send(packet, ethertype=0x0800 if original[0] >> 4 == 4 else 0x86DD)
        router.a.drain()
        router.b.drain()
        board.step()


# ---------------------------------------------------------------------------- helpers, expectations


def tcp_talk(router, dice, dport, lines):
    """A TCP connection from a to b, in which these lines are said: (by b, what)."""
    a, b, sport = Router.A4, Router.B4, dice.randrange(1024, 65536)
    here, there = dice.randrange(1 << 32), dice.randrange(1 << 32)
    router.a.send(tcp(a, b, sport, dport, "S", seq=here))
    router.b.send(tcp(b, a, dport, sport, "SA", seq=there, ack=here + 1))
    here, there = here + 1, there + 1
    router.a.send(tcp(a, b, sport, dport, "A", seq=here, ack=there))
    for by_b, text in lines:
        if dice.randrange(12) == 0:
            text = mutated(dice, text)
        if by_b:
            router.b.send(tcp(b, a, dport, sport, "PA", seq=there, ack=here, data=text))
            there += len(text)
        else:
            router.a.send(tcp(a, b, sport, dport, "PA", seq=here, ack=there, data=text))
            here += len(text)
        router.a.send(tcp(a, b, sport, dport, "A", seq=here, ack=there))
        router.b.send(tcp(b, a, dport, sport, "A", seq=there, ack=here))
    if dice.randrange(2):
        router.a.send(tcp(a, b, sport, dport, "R", seq=here, ack=there))


def ftp(router, dice):
    """Both ways to announce a port, and a connection to it."""
    port = dice.randrange(1024, 65536)
    passive = dice.randrange(2)
    numbers = f"{port >> 8},{port & 255}"
    lines = [(True, b"220 hi\r\n"), (False, b"USER me\r\n"), (True, b"230 in\r\n")]
    if passive:
        lines += [(False, b"PASV\r\n"), (True, f"227 Entering Passive Mode (10,2,0,2,{numbers})\r\n".encode())]
    else:
        lines += [(False, f"PORT 10,1,0,2,{numbers}\r\n".encode()), (False, f"EPRT |1|10.1.0.2|{port}|\r\n".encode())]
    tcp_talk(router, dice, 21, lines)
    if passive:
        router.a.send(tcp(Router.A4, Router.B4, dice.randrange(1024, 65536), port, "S", seq=1))
    else:
        router.b.send(tcp(Router.B4, Router.A4, 20, port, "S", seq=1))


def irc(router, dice):
    port = dice.randrange(1024, 65536)
    tcp_talk(router, dice, 6667, [(True, b":server\r\n"), (False, messages.dcc_send(Router.A4, port))])
    router.b.send(tcp(Router.B4, Router.A4, dice.randrange(1024, 65536), port, "S", seq=1))


def pptp(router, dice):
    call, peer = dice.randrange(1, 65536), dice.randrange(1, 65536)
    lines = [
        (False, messages.start_request()),
        (True, messages.start_reply()),
        (False, messages.out_call_request(call)),
        (True, messages.out_call_reply(call, peer)),
    ]
    if dice.randrange(2):
        lines.append((True, messages.call_disconnect(call)))
    tcp_talk(router, dice, 1723, lines)
    router.a.send(messages.gre(Router.A4, Router.B4, peer, 1))
    router.b.send(messages.gre(Router.B4, Router.A4, call, 1))


def datagram_talk(router, dice):
    """TFTP, Amanda, SIP, SNMP: a question, an answer, something that was announced."""
    a, b, sport, port = Router.A4, Router.B4, dice.randrange(1024, 65536), dice.randrange(1024, 65536)
    invite = messages.sip_message(a, "udp", f"INVITE sip:phone@{b} SIP/2.0", "INVITE", messages.sdp(a, port))
    taken = messages.sip_message(b, "udp", "SIP/2.0 200 OK", "INVITE", messages.sdp(b, port))
    dport, ask, answer = dice.choice(
        (
            (69, messages.tftp_read(), None),
            (10080, messages.amanda_request(), messages.amanda_answer(port, port, port)),
            (5060, invite, taken),
            (161, messages.snmp_message(2, a), messages.snmp_message(7, b)),
        )
    )
    if dice.randrange(8) == 0:
        ask = mutated(dice, ask)
    router.a.send(udp(a, b, sport, dport, ask[:1400]))
    if answer:
        router.b.send(udp(b, a, dport, sport, answer))
        router.a.send(udp(a, b, dice.randrange(1024, 65536), port, b"announced"))
    else:
        router.b.send(udp(b, a, port, sport, b"\0\3\0\1data"))


# Helper, its protocol and port, as rules assign them.
HELPED = (
    ("ftp", "tcp", 21), ("irc", "tcp", 6667), ("pptp", "tcp", 1723), ("tftp", "udp", 69), ("sip", "udp", 5060),
    ("amanda", "udp", 10080), ("snmp", "udp", 161),
)  # fmt: skip


def helper_rules(board, ns):
    """A table of rules that assign helpers; what the kernel does not have is left out."""
    chain = "add chain inet helped pre { type filter hook prerouting priority -50; }"
    run("nft", f"add table inet helped; {chain}", ns=ns, must=False)
    board.step()
    for name, proto, port in HELPED:
        text = f"""add ct helper inet helped {name} {{ type "{name}" protocol {proto}; }}
add rule inet helped pre {proto} dport {port} ct helper set "{name}"
"""
        run("nft", "-f", "-", ns=ns, text=text, must=False)
        board.step()


def helpers(board, dice):
    """Conversations of the protocols that have helpers, at times with a mistake."""
    router = NETS["router"]
    while True:
        with refused():
            helper_rules(board, ATTACKED)
        for _ in range(100):
            dice.choice((ftp, ftp, irc, pptp, datagram_talk, datagram_talk))(router, dice)
            board.step()
        if dice.randrange(2):
            run("nft", "delete", "table", "inet", "helped", ns=ATTACKED, must=False)


# ------------------------------------------------------------------------------------------- netlink


def ctnetlink(board, dice):
    """Messages of the grammar, from sockets that read or do not, also with listeners."""
    known = []
    while True:
        ns = dice.choice((ATTACKED, ATTACKED, FORWARDED))
        with inside(ns):
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        with sock, refused():
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, dice.choice((2000, 20000, 1 << 20)))
            if dice.randrange(3) == 0:
                sock.setsockopt(SOL_NETLINK, 4, 1)  # NETLINK_BROADCAST_ERROR: lost events are kept
            sock.bind((0, dice.choice((0, 0, 0x3F, 4))))
            reads = dice.randrange(4)
            for _ in range(dice.choice((5, 50, 200))):
                board.tick()
                # Connections kept for a listener without room are counted, not listed.
                if board.wanted():
                    break
                with refused():
                    sock.send(grammar.message(dice, known))
                if reads:
                    heard(sock, known, dice)
        board.step()


def heard(sock, known, dice):
    """Takes some of what a socket has; keeps tuples for later messages."""
    for _ in range(20):
        try:
            data = sock.recv(1 << 16)
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                continue
            return
        for kind, body in netlink_messages(data):
            if kind >> 8 in (1, 2) and len(body) > 24 and dice.randrange(8) == 0:
                tuple_orig = attributes(body[4:]).get(1)
                if tuple_orig:
                    known.append(nested(1, tuple_orig))
        while len(known) > 200:
            known.pop(dice.randrange(len(known)))


def tools(board, dice):
    """The program conntrack, as an administrator uses it."""
    commands = (
        ("-L",), ("-L", "expect"), ("-S",), ("-C",), ("-L", "-p", "tcp", "-o", "extended"), ("-L", "dying"),
        ("-L", "unconfirmed"), ("-U", "-p", "udp", "-m", "7"), ("-D", "-p", "udp"), ("-D", "-s", "10.1.0.2"), ("-F",),
        ("-F", "expect"), ("-L", "-z"), ("-E",), ("-E", "expect"),
        ("-I", "-p", "udp", "-s", "1.2.3.4", "-d", "4.3.2.1", "--sport", "5", "--dport", "6", "-t", "20"),
    )  # fmt: skip
    while True:
        ns = dice.choice((ATTACKED, FORWARDED))
        with refused():
            run("timeout", "3", "conntrack", *dice.choice(commands), ns=ns, must=False)
        board.step()


# --------------------------------------------------------------------------------------- /proc, sysctl


def proc(board, dice):
    """Reads of everything that can be read, whole and in pieces, also of what the tracker takes away meanwhile."""
    names = ["net/nf_conntrack", "net/stat/nf_conntrack", "net/nf_conntrack_expect", "net/stat/nf_conntrack_expect"]
    if RUST:
        names += [name.removeprefix("/proc/") for name in glob.glob("/proc/rust_ct*")]
    while True:
        # Not the files of AGED, which is never listed.
        ns = dice.choice((ATTACKED, FORWARDED, None))
        with refused(), inside(ns), open(f"/proc/{dice.choice(names)}", "rb", buffering=0) as file:
            for _ in range(dice.choice((1, 3, 100))):
                if not file.read(dice.choice((1, 7, 512, 4096, 1 << 20))):
                    break
                if dice.randrange(20) == 0:
                    file.seek(dice.choice((0, 100, 5000)))
        board.step()


# Values, in and out of range.
VALUES = ("0", "1", "2", "3", "5", "30", "60", "600", "100000", "2147483647", "4294967295", "-1", "", "x", "9" * 40)
PARAMETERS_VALUES = (
    ("total", (0, 3000, 20000)), ("share", (0, 100)), ("netns_max", (0, 200, 5000)), ("adaptive_start", (0, 50, 90)),
    ("adaptive_end", (100, 120)), ("acct", (0, 1)), ("tstamp", (0, 1)), ("max", (500, 5000, 60000)),
)  # fmt: skip


def sysctls(board, dice):
    """Every setting of two namespaces, and the sizes and limits of all."""
    usual = {}
    while True:
        deed = dice.randrange(8)
        with refused():
            if deed == 0:
                write(f"{PARAMETERS}/hashsize", dice.choice((1, 64, 256, 1024, 4096, 16384, 32768)))
            elif deed == 1:
                write(f"{SYSCTL}/nf_conntrack_buckets", dice.choice((128, 500, 2048, 8192)))
            elif deed == 2:
                write(f"{SYSCTL}/nf_conntrack_max", dice.choice((300, 1000, 3000, 20000, 65536)))
            elif deed == 3 and RUST:
                name, values = dice.choice(PARAMETERS_VALUES)
                write(f"{PARAMETERS}/{name}", dice.choice(values))
            else:
                ns = dice.choice((ATTACKED, FORWARDED))
                with inside(ns):
                    path = dice.choice(glob.glob(f"{SYSCTL}/nf_*"))
                if "log" in path:
                    continue  # the console is read
                usual.setdefault((ns, path), read(path, ns))
                write(path, dice.choice((*VALUES, usual[ns, path], usual[ns, path])), ns)
        board.step()
        time.sleep(0.02)


# --------------------------------------------------------------------------------------------- rules

RULES = (
    "ct state established,related counter accept",
    "ct state invalid counter drop",
    "ct mark set 7",
    "ct mark set meta mark counter",
    "ct label set 5",
    "ct label 5 counter",
    "ct original packets > 10 counter",
    "ct expiration < 30s counter",
    "ct status assured,seen-reply counter",
    'ct helper "ftp" counter',
    "ct count over 20 counter reject",
    "ct direction reply ct avgpkt > 100 counter",
    "udp dport 9 reject",
    "tcp dport 9 reject with tcp reset",
    "udp dport 2000 queue num 9 bypass",
    "limit rate 2/minute log prefix soak",
    "numgen random mod 4 0 counter",
    "tcp dport 83 synproxy mss 1460 wscale 7 timestamp sack-perm",
)
EARLY_RULES = (
    "notrack",
    "ct zone set 7",
    "ct original zone set 8",
    "ct reply zone set 9",
    "udp dport 1000-2000 notrack",
    "tcp dport 80 ct zone set 3",
)
NAT_RULES = (
    ("postrouting", "masquerade"),
    ("postrouting", "masquerade random"),
    ("postrouting", "ip protocol udp snat ip to 10.2.0.1-10.2.0.9"),
    ("postrouting", "tcp dport 7000-8000 snat ip to 10.2.0.1:5000-5005"),
    ("prerouting", "ip daddr 10.2.0.2 udp dport 2000-3000 dnat ip to 10.2.0.2:3000-3010"),
    ("prerouting", "ip daddr 10.9.9.9 dnat ip to 10.2.0.2"),
    ("prerouting", "tcp dport 81 redirect to :80"),
    ("output", "tcp dport 82 redirect to :80"),
)
IPTABLES = (
    ("filter", "FORWARD", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP"),
    ("filter", "FORWARD", "-m", "conntrack", "--ctstatus", "ASSURED"),
    ("mangle", "FORWARD", "-m", "connbytes", "--connbytes", "9", "--connbytes-mode", "bytes",
     "--connbytes-dir", "both"),
    ("filter", "FORWARD", "-m", "connlabel", "--label", "3", "--set"),
    ("filter", "FORWARD", "-m", "connlimit", "--connlimit-above", "5"),
    ("filter", "FORWARD", "-m", "helper", "--helper", "ftp"),
    ("mangle", "PREROUTING", "-j", "CONNMARK", "--save-mark"),
    ("mangle", "PREROUTING", "-j", "CONNMARK", "--restore-mark"),
    ("raw", "PREROUTING", "-j", "CT", "--notrack"),
    ("raw", "PREROUTING", "-j", "CT", "--zone", "4"),
    ("raw", "PREROUTING", "-p", "tcp", "--dport", "21", "-j", "CT", "--helper", "ftp"),
    ("raw", "PREROUTING", "-p", "udp", "-j", "CT", "--ctevents", "destroy"),
    ("raw", "PREROUTING", "-p", "udp", "--dport", "2000", "-j", "CT", "--timeout", "soak"),
    ("nat", "POSTROUTING", "-j", "MASQUERADE"),
    ("nat", "PREROUTING", "-d", "10.2.0.2", "-p", "tcp", "--dport", "79", "-j", "DNAT", "--to", "10.2.0.2:80"),
)


def random_table(dice):
    """Text for nft: a table with a few rules, or a flow table, of which the kernel may not have all."""
    name, priority = f"soak{dice.randrange(3)}", dice.choice((-10, 0, 5))
    lines = [f"add table inet {name}", f"delete table inet {name}", f"add table inet {name}"]
    kind = dice.randrange(5)
    if kind == 0:
        lines.append(f"add chain inet {name} c {{ type filter hook prerouting priority -300; }}")
        lines += [f"add rule inet {name} c {rule}" for rule in dice.sample(EARLY_RULES, 2)]
    elif kind == 1:
        hook, rule = dice.choice(NAT_RULES)
        at = {"postrouting": 100}.get(hook, -100)
        lines.append(f"add chain inet {name} c {{ type nat hook {hook} priority {at}; }}")
        lines.append(f"add rule inet {name} c {rule}")
    elif kind == 2:
        lines += [
            f"add ct timeout inet {name} t {{ protocol udp; l3proto ip; policy = {{ unreplied : 4, replied : 6 }}; }}",
            f"add ct expectation inet {name} e {{ protocol udp; dport 9876; timeout 3m; size 12; l3proto ip; }}",
            f"add chain inet {name} c {{ type filter hook forward priority {priority}; }}",
            f"add rule inet {name} c ip protocol udp ct timeout set t",
            f"add rule inet {name} c udp dport 2000 ct expectation set e",
        ]
    elif kind == 3:
        # Not GRE: where a packet of an offloaded connection goes the slow way, as a fragment does, 7.3.4 warns
        # (nf_flow_table_extend_ct_timeout()), with whichever tracker.
        lines += [
            f"add flowtable inet {name} f {{ hook ingress priority 0; devices = {{ ea, eb }}; }}",
            f"add chain inet {name} c {{ type filter hook forward priority {priority}; }}",
            f"add rule inet {name} c meta l4proto {{ tcp, udp }} ct state established flow add @f",
        ]
    else:
        hook = dice.choice(("prerouting", "forward", "postrouting", "input", "output"))
        lines.append(f"add chain inet {name} c {{ type filter hook {hook} priority {priority}; }}")
        lines += [f"add rule inet {name} c {rule}" for rule in dice.sample(RULES, dice.randrange(1, 4))]
    return "\n".join(lines) + "\n"


def rules(board, dice):
    """Rules that come and go."""
    while True:
        ns = dice.choice((ATTACKED, FORWARDED))
        deed = dice.randrange(10)
        with refused():
            if deed < 6:
                run("nft", "-f", "-", ns=ns, text=random_table(dice), must=False)
            elif deed < 8:
                table, chain, *rest = dice.choice(IPTABLES)
                command = dice.choice(("iptables", "ip6tables"))
                run(command, "-w", "-t", table, "-A", chain, *rest, ns=ns, must=False)
                if dice.randrange(3) == 0:
                    run(command, "-w", "-t", table, "-F", ns=ns, must=False)
            elif deed == 8:
                name = f"soak{dice.randrange(3)}"
                run("nft", "delete", "table", "inet", name, ns=ns, must=False)
            elif dice.randrange(3) == 0:
                run("nft", "flush", "ruleset", ns=ns, must=False)
        board.step()


# ------------------------------------------------------------------------------- real connections, NAT


def served_port(port, kind):
    """A socket of the server's at a port. Where an allocation fails (`memory`), bind() and listen() say that the port is
    in use, and are tried again."""
    while True:
        with refused():
            made = make_socket(SERVER, "10.2.0.2", port, kind)
            if kind == socket.SOCK_STREAM:
                made.listen(50)
            made.setblocking(False)
            return made
        time.sleep(0.1)


def clients(board, dice):
    """Short connections of two stacks through a router that may translate them."""
    listener = served_port(8080, socket.SOCK_STREAM)
    echo = served_port(2000, socket.SOCK_DGRAM)
    served = []
    while True:
        with refused(), make_socket(CLIENT, "10.1.0.2", 0, socket.SOCK_STREAM) as caller:
            caller.settimeout(0.5)
            with refused():
                caller.connect(("10.2.0.2", dice.choice((8080, 8080, 8080, 81, 9))))
                caller.send(b"x" * dice.randrange(1, 3000))
        with refused():
            while True:
                served.append(listener.accept()[0])
        while len(served) > 20:
            served.pop(0).close()
        with refused(), make_socket(CLIENT, "10.1.0.2") as sender:
            for _ in range(dice.randrange(1, 20)):
                sender.sendto(b"datagram", ("10.2.0.2", dice.choice((2000, 2000, 2500, 9))))
        with refused():
            while True:
                data, sender = echo.recvfrom(100)
                echo.sendto(data, sender)
        if dice.randrange(20) == 0:
            run("ping", "-c", "2", "-i", "0.01", "-W", "1", dice.choice(("10.2.0.2", "fd02::2")), ns=CLIENT, must=False)
        board.step()


# ------------------------------------------------------------------------- namespaces, modules, memory


def namespaces(board, dice):
    """Namespaces that come, track, and go with all they hold."""
    libc = ctypes.CDLL(None, use_errno=True)
    while True:
        name = f"rct-n{dice.randrange(3)}"
        with refused():
            if dice.randrange(3) == 0:
                # A namespace that only this process is in, and that ends as it leaves.
                home = os.open("/proc/self/ns/net", os.O_RDONLY)
                libc.unshare(CLONE_NEWNET)
                os.setns(home, CLONE_NEWNET)
                os.close(home)
            else:
                ip_batch(None, f"netns add {name}")
                ip_batch(name, "link set dev lo up")
                if dice.randrange(2):
                    run("nft", "-f", "-", ns=name, text=random_table(dice), must=False)
                with inside(name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                    for _ in range(dice.randrange(200)):
                        with refused():
                            sender.sendto(b"x", (f"127.0.{dice.randrange(256)}.1", dice.randrange(1, 65536)))
        run("ip", "netns", "delete", name, must=False)
        board.step()


MODULES = (
    "nf_nat", "nf_conntrack_netlink", "nf_conntrack_ftp", "nf_nat_ftp", "nf_conntrack_tftp", "nf_conntrack_sip",
    "nf_conntrack_irc", "nf_conntrack_pptp", "nf_conntrack_h323", "nf_conntrack_amanda", "nf_conntrack_snmp",
    "nf_conntrack_sane", "nf_conntrack_netbios_ns", "nfnetlink_cttimeout", "nfnetlink_cthelper", "xt_conntrack",
    "xt_CT", "nft_ct", "nft_nat", "nft_masq", "nf_flow_table", "nf_flow_table_inet", "nft_flow_offload", "act_ct",
    "act_connmark", "act_ctinfo", "nf_conncount", "nft_connlimit", "xt_connlimit", "nf_synproxy_core", "nft_synproxy",
    "ipt_SYNPROXY", "nf_conntrack_bridge", "openvswitch", "ip_vs", "ip_vs_ftp", "xt_cluster", "xt_CONNSECMARK",
    "nft_tproxy", "nft_socket", "sch_cake",
)  # fmt: skip


def modules(board, dice):
    """Modules that use the tracker come and go, where they are not in use; the kernel has each of them."""
    # Asked for all of them at once, as a slow kernel takes minutes to begin a program for each.
    if run("modprobe", "-qna", *MODULES, must=False)[0]:
        unknown = [name for name in MODULES if run("modprobe", "-qn", name, must=False)[0]]
        raise RuntimeError(f"this kernel does not have {' '.join(unknown)}: see scripts/setup/consumers.config")
    while True:
        command = dice.choice((("modprobe", "-q"), ("rmmod",), ("modprobe", "-qr")))
        name = dice.choice(MODULES)
        # This would take the tracker away as well, when it comes to be unused.
        if command[-1] != "-qr" or CT == "rust_ct":
            run(*command, name, must=False)
        board.step()
        time.sleep(0.1)


def memory(board, dice):
    """Memory that fails for a while, here and there; and at one place, in another size of the table."""
    if not os.path.isdir(FAILSLAB):
        while True:
            board.step()
            time.sleep(1)
    while True:
        with failing(dice.choice((1, 5, 20))):
            time.sleep(dice.uniform(0.2, 2))
        board.step()
        if dice.randrange(3) == 0:
            with one_by_one() as file:
                failing_nth(file, dice.randrange(1, 60), lambda: resized(dice.choice((b"512", b"2048", b"8192"))))
        for _ in range(dice.randrange(40)):
            time.sleep(0.2)
            board.step()


def resized(size):
    """Another size of the table; returns the error, which opening the file may have as well."""
    try:
        with open(f"{PARAMETERS}/hashsize", "wb", buffering=0) as file:
            file.write(size)
    except OSError as error:
        return error.errno
    return 0


# ----------------------------------------------------------------------------------------- what is over


def aged(board, dice):
    """Entries that are no longer looked up are gone after a bounded time, by the count; they are never listed."""
    while True:
        with inside(AGED):
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender:
            for _ in range(dice.randrange(1, 300)):
                with refused():
                    sender.sendto(b"x", (f"127.0.0.{dice.randrange(1, 255)}", dice.randrange(1, 65536)))
        waited = 0.0
        while count(AGED):
            if waited > OLDEST:
                raise RuntimeError(f"{count(AGED)} entries are there {waited:.0f} s after their end at least")
            board.step()
            time.sleep(0.5)
            waited += 0.5
        board.step()


def fragments(board, dice):
    """Pieces of packets, put together or not."""
    router = NETS["router"]
    while True:
        ident, body = dice.randrange(65536), dice.randbytes(64)
        pieces = [
            ip4(Router.A4, Router.B4, 17, body[at : at + 16], ident=ident, offset=at, flags=int(at < 48))
            for at in range(0, 64, 16)
        ]
        dice.shuffle(pieces)
        router.a.send(*pieces[: dice.randrange(1, 5)])
        board.step()
        time.sleep(0.01)


ALL = (
    packets, fragments, helpers, ctnetlink, tools, proc, sysctls, rules, clients, namespaces, modules, memory, aged,
)  # fmt: skip
WORKERS = {work.__name__: work for work in ALL}
