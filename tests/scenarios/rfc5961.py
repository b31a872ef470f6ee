# SPDX-License-Identifier: GPL-2.0
"""TCP segments that do not fit are left to the end that they go to (nf_conntrack_tcp_rfc5961), and change nothing.

Each part is played with the setting on, which only rust_ct has, and off, where both trackers say INVALID.
"""

# limit: 240
# left out of CI on: debug

import contextlib
import errno
import select
import socket
import time

from messages import dcc_send
from netlink import (
    ASSURED,
    CONFIRMED,
    CTA_PROTOINFO,
    CTA_STATUS,
    CTA_SYNPROXY,
    SEEN_REPLY,
    attribute,
    enter,
    nested,
    number32,
)
from policy import (
    CLIENT,
    ENDS,
    ROUTER,
    SERVER,
    Nft,
    Stream,
    delivered,
    expectations,
    missing,
    one_cpu,
    pair,
)

from lib import (
    RUST,
    SHORT,
    SLOW,
    SYSCTL,
    Port,
    Router,
    check,
    client_router_server,
    drop_namespaces,
    equal,
    find,
    grown,
    invalid_reasons,
    ip_batch,
    load,
    mac_of,
    main,
    make_socket,
    packed,
    read,
    run,
    skip,
    some,
    statistics,
    sysctl,
    tcp,
)

SETTING = "nf_conntrack_tcp_rfc5961"
# CTA_PROTOINFO_TCP and CTA_PROTOINFO_TCP_STATE, and a state of it.
PROTOINFO_TCP, TCP_STATE, ESTABLISHED = 1, 1, 3
FAR = 0x40000000
TCP_REPAIR = 19
# Numbers of the ends behind the handshake of a Stream.
C, S = 1001, 5001
# What, its sender, flags, sequence number, acknowledgment, whether its receiver may answer or take it.
ROWS = (
    ("an ACK above the window", "s", "A", S + FAR, C, True),
    ("an ACK of what was not sent", "s", "A", S, C + FAR, True),
    ("data above the window", "c", "PA", C + FAR, S, True),
    ("data with such an ACK", "c", "PA", C, S + FAR, True),
    ("a SYN of the server", "s", "S", 90000, 0, True),
    ("a SYN-ACK of the client", "c", "SA", 90000, S, True),
    ("a FIN that acknowledges what was not sent", "s", "FA", S, C + FAR, True),
    ("an RST of that kind", "s", "RA", S, C + 1, True),
    ("an RST below the window", "s", "R", S - 1, 0, False),
    ("an RST above the window", "s", "R", S + FAR, 0, False),
)
KEYS = """
    chain keys {
        type filter hook forward priority filter; meta l4proto 254 accept
        ct state invalid counter drop comment "invalid"
        ct state established counter comment "established"
    }
"""
SOURCE = 'chain after { type nat hook postrouting priority srcnat; oifname "eb" masquerade; }'
IRC = """
    ct helper irc { type "irc" protocol tcp; }
    chain early { type filter hook prerouting priority mangle; tcp dport 6667 ct helper set "irc"; }
"""
OUTSIDE = {4: "10.2.0.1", 6: "fd02::1"}


def left(entry):
    """What an entry says, but for its seconds."""
    return entry.state, entry.flags, entry.orig, entry.reply, entry.tail


def rows(net, on, v6):
    """Each segment passes or is INVALID, and its connection stays as it was."""
    ends = pair(v6)
    (a, b), what = ends, f"{'IPv6' if v6 else 'IPv4'}, {'on' if on else 'off'}"
    rules = Nft(net.ns, KEYS)
    Stream(net, ends, 2000, 80)
    some_rows = ROWS[::3] if v6 else ROWS
    seen, wants = rules.packets(), {}
    for name, side, flags, seq, ack, wanted in some_rows:
        src, dst, ports = (a, b, (2000, 80)) if side == "c" else (b, a, (80, 2000))
        segment = tcp(src, dst, *ports, flags, seq=seq, ack=ack, data=b"x" if "P" in flags else b"")
        (before,), stat = find(net.ns, src=a, sport=2000), statistics(net.ns)
        named = invalid_reasons(net.ns) if RUST else {}
        came = bool(delivered(net, "a" if side == "c" else "b", segment))
        passes = on and wanted
        state = "established" if passes else "invalid"
        wants[state] = wants.get(state, 0) + 1
        got = came, grown(stat, statistics(net.ns)).get("invalid", 0)
        equal(got, (passes, int(not passes)), f"{what}: {name} {'passes' if passes else 'is INVALID'}")
        if passes:
            equal(grown(named, invalid_reasons(net.ns)), {"tcp_rfc5961": 1}, f"{what}: {name}: by its name")
            (after,) = find(net.ns, src=a, sport=2000)
            same = left(after) == left(before) and before.seconds - 5 <= after.seconds <= before.seconds
            check(same, f"{what}: {name} changes nothing", f"{before.line}\n{after.line}")
    equal(grown(seen, rules.packets()), wants, f"{what}: what they are to rules")
    rules.delete()


def translated(net, on, v6):
    """Nothing of a connection leaves untranslated, without a rule for what is INVALID."""
    (a, b), outside = pair(v6), OUTSIDE[6 if v6 else 4]
    what = f"{'IPv6' if v6 else 'IPv4'}, {'on' if on else 'off'}, masquerade"
    rules = Nft(net.ns, SOURCE)
    at = slice(8, 40) if v6 else slice(12, 20)
    delivered(net, "a", tcp(a, b, 3000, 80, "S", seq=C - 1))
    delivered(net, "b", tcp(b, outside, 80, 3000, "SA", seq=S - 1, ack=C))
    delivered(net, "a", tcp(a, b, 3000, 80, "A", seq=C, ack=S))
    came = delivered(net, "a", tcp(a, b, 3000, 80, "PA", seq=C + FAR, ack=S, data=b"x"))
    seen = packed(outside if on else a) + packed(b)
    equal([one[at] for one in came], [seen], f"{what}: data of the client above the window: who the server sees")
    answer = tcp(b, outside, 80, 3000, "A", seq=S, ack=C + FAR)
    came = delivered(net, "b", answer, back=not on)
    seen = packed(b) + packed(a) if on else packed(outside) + packed(b)
    who = "the client gets" if on else "the router resets"
    equal([one[at] for one in came], [seen], f"{what}: {who} what the server answers")
    rules.delete()


def entered(net, on):
    """A connection that user space has entered is judged as if packets had begun it, behind a SYN proxy as well."""
    (a, b), rules = pair(False), Nft(net.ns, KEYS)
    # As conntrackd does where it takes over.
    state = (
        attribute(CTA_STATUS, number32(SEEN_REPLY | ASSURED | CONFIRMED)),
        nested(CTA_PROTOINFO, nested(PROTOINFO_TCP, attribute(TCP_STATE, bytes([ESTABLISHED])))),
    )
    proxy = nested(CTA_SYNPROXY, *(attribute(number, number32(1)) for number in (1, 2, 3)))
    for port, more, passes in ((5000, (), on), (5001, (proxy,), False)):
        if more and missing("nf_synproxy_core"):
            skip("behind a SYN proxy nothing passes", "nf_synproxy_core.ko does not load")
            continue
        what = f"{'on' if on else 'off'}, entered by user space{' with a SYN proxy' if more else ''}"
        equal(enter(net.ns, a, b, socket.IPPROTO_TCP, port, 80, *state, *more), 0, f"{what}: it is")
        # The first segment of each end says where its numbers are.
        said = (("a", tcp(a, b, port, 80, "A", seq=C, ack=S)), ("b", tcp(b, a, 80, port, "A", seq=S, ack=C)))
        check(all([delivered(net, side, segment) for side, segment in said]), f"{what}: its segments pass")
        before, named = rules.packets(), invalid_reasons(net.ns) if RUST else {}
        came = bool(delivered(net, "b", tcp(b, a, 80, port, "A", seq=S + FAR, ack=C)))
        equal(came, passes, f"{what}: an ACK above the window {'passes' if passes else 'is INVALID'}")
        equal(grown(before, rules.packets()), {"established" if passes else "invalid": 1}, f"{what}: what it is to rules")
        if passes:
            equal(grown(named, invalid_reasons(net.ns)), {"tcp_rfc5961": 1}, f"{what}: by its name")
    rules.delete()
    run("conntrack", "-D", "-p", "tcp", "-s", a, "--dport", "80", ns=net.ns)


def overheard(net, on):
    """A helper does not read a segment outside the window; below it, it does as with nf_conntrack where the switch is off."""
    if missing("nf_conntrack_irc"):
        skip("a helper does not read it", "nf_conntrack_irc.ko does not load")
        return
    rules = Nft(net.ns, IRC)
    ends = pair(False)
    stream = Stream(net, ends, 2000, 6667)
    offer, what = dcc_send(ends[0], 5005), f"helper, {'on' if on else 'off'}"
    # First, as the tracker notes for the namespace that there was such a segment.
    below = dcc_send(ends[0], 5006)
    came = stream.segment("c", "PA", below, stream.next["c"] - FAR)
    opened = len(expectations(net.ns, ends[0]))
    equal((came, opened), (True, int(not on)), f"{what}: below the window it {'opens nothing' if on else 'is read'}")
    came = stream.segment("c", "PA", offer, stream.next["c"] + FAR)
    equal((came, len(expectations(net.ns, ends[0]))), (True, opened), f"{what}: what does not fit opens nothing")
    stream.segment("c", "PA", offer)
    equal(len(expectations(net.ns, ends[0])), opened + 1, f"{what}: what does, does")
    rules.delete()


def lost(kind, on):
    """The server has lost a connection, and calls from the same port: the client hears so, if the SYN gets through."""
    home, away = ENDS[kind]
    what = f"{kind}, {'on' if on else 'off'}: a SYN on a connection that one end has lost"
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(make_socket(SERVER, away, 80, socket.SOCK_STREAM))
        listener.listen()
        client = stack.enter_context(make_socket(CLIENT, home, 0, socket.SOCK_STREAM))
        client.connect((away, 80))
        served = listener.accept()[0]
        listener.close()
        # Closed so, a socket says nothing.
        served.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        served.close()
        again = stack.enter_context(make_socket(SERVER, away, 80, socket.SOCK_STREAM))
        again.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            again.connect(client.getsockname()[:2])
        told = bool(select.select([client], [], [], (10 if on else 0.5) * SLOW)[0])
        equal(told, on, f"{what}: {'is answered, and the other one is told' if on else 'is dropped'}")
        if told:
            error = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            equal(error, errno.ECONNRESET, f"{what}: by a reset")
            select.select([], [again], [], 10 * SLOW)
            error = again.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            equal(error, errno.ECONNREFUSED, f"{what}: the next SYN begins another connection, which nobody wants")


def challenged(on):
    """A server answers an RST in its window with a challenge ACK while the connection opens."""
    stranger, away, what = "10.1.0.77", ENDS["IPv4"][1], f"{'on' if on else 'off'}: an RST in SYN_RECV"
    client = Port(CLIENT, ROUTER, mac_of(ROUTER, CLIENT))
    ip_batch(ROUTER, f"neigh replace {stranger} lladdr {client.mac.hex(':')} dev {CLIENT}")
    sport = 7001 + on

    def answers(flags, seconds):
        head, port = packed(away) + packed(stranger), sport.to_bytes(2)
        ours = lambda got: (got[12:20], got[22:24], got[33]) == (head, port, flags)  # noqa: E731
        return client.received(seconds, 1, lambda got: len(got) >= 40 and ours(got))

    with make_socket(SERVER, away, 81, socket.SOCK_STREAM) as listener:
        listener.listen()
        client.send(tcp(stranger, away, sport, 81, "S", seq=C - 1))
        (answer,) = answers(0x12, 10)
        there = int.from_bytes(answer[24:28]) + 1
        client.send(tcp(stranger, away, sport, 81, "RA", seq=C + 1, ack=there + 99))
        came = answers(0x10, 10 if on else 0.3)
        equal(len(came), int(on), f"{what}: {'gets its challenge ACK' if on else 'is dropped'}")
        client.send(tcp(stranger, away, sport, 81, "A", seq=C, ack=there))
        listener.accept()[0].close()
        check(True, f"{what}: the connection opens")


def families(both):
    """Both families; in CI one family alone, another each day."""
    at = int(time.time()) // 86400 % 2
    return list(both)[at : at + 1] if SHORT else some(both)


def switches(ns):
    """The setting on, if there is one, then off."""
    if RUST:
        equal(read(f"{SYSCTL}/{SETTING}", ns).strip(), "1", f"{SETTING} is on in {ns}, as in each namespace")
        yield True
        sysctl(SETTING, 0, ns)
    else:
        skip("segments are left to their receivers", "nf_conntrack does not have the setting")
    yield False


def scenario():
    load("acct=1")
    one_cpu()
    net = Router()
    without_nat = missing("nft_chain_nat", "nft_masq")
    if without_nat:
        skip("nothing leaves untranslated", f"{' '.join(without_nat)}: not on this kernel")
    for on in switches(net.ns):
        for v6 in families((False, True)):
            rows(net, on, v6)
            if not without_nat:
                translated(net, on, v6)
        entered(net, on)
        overheard(net, on)
    drop_namespaces()
    client_router_server()
    rules = Nft(ROUTER, KEYS)
    for on in switches(ROUTER):
        for kind in families(ENDS):
            lost(kind, on)
        before = rules.packets()
        challenged(on)
        check(on or grown(before, rules.packets()).get("invalid"), "what was dropped was INVALID", rules.packets())


main(scenario)
