# SPDX-License-Identifier: GPL-2.0
"""The SYN proxy of nft and iptables on the tracker: connections come through it, floods leave nothing."""

# limit: 240
# left out of CI on: debug

import contextlib
import errno
import os
import socket
import struct

from policy import (
    CLIENT,
    ENDS,
    ROUTER,
    SERVER,
    Nft,
    Xtables,
    missing,
    one_cpu,
    set_up_stacks,
)

from lib import (
    FLAGS,
    SLOW,
    SYSCTL,
    Port,
    check,
    count,
    equal,
    find,
    grown,
    mac_of,
    main,
    make_socket,
    poll,
    run,
    skip,
    some,
    statistics,
    tcp,
    times,
    write,
)

OPEN, CLOSED = 80, 81
SIZE = 100000
# The attacker's sources: addresses of no host, behind the client.
FORGED = {"IPv4": "10.1.7.{}", "IPv6": "fd01::7:{}"}


def nft(hook):
    """SYNs are not tracked; what is not, or belongs to nothing, is the proxy's; the rest of that kind is dropped."""
    match = f"tcp dport {{ {OPEN}, {CLOSED} }}"
    # On a host the proxy's own SYNs come in, too.
    syn = "ct state untracked" if hook == "input" else "tcp flags syn / fin,syn,rst,ack"
    return f"""
        chain first {{
            type filter hook prerouting priority raw;
            {match} tcp flags & (fin | syn | rst | ack) == syn notrack
        }}
        chain proxy {{
            type filter hook {hook} priority filter;
            {match} ct state invalid,untracked synproxy mss 1400 wscale 7 timestamp sack-perm
            ct state invalid counter drop comment "invalid"
            {match} {syn} counter drop comment "syn"
        }}
    """


def xt():
    """The same in iptables."""
    match = f"-p tcp -m multiport --dports {OPEN},{CLOSED}"
    comment = "-m comment --comment"
    raw = [f"-A PREROUTING {match} --syn -j CT --notrack"]
    options = "--mss 1400 --wscale 7 --timestamp --sack-perm"
    rules = [
        f"-A FORWARD {match} -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY {options}",
        f"-A FORWARD -m conntrack --ctstate INVALID {comment} invalid -j DROP",
        f"-A FORWARD {match} -m conntrack --ctstate UNTRACKED {comment} syn -j DROP",
    ]
    return {"raw": {4: raw, 6: raw}, "filter": {4: rules, 6: rules}}


def segments(port, dport, sport):
    """The server's segments of a connection that passed a port, flags and sequence number of each."""
    found = []
    for packet in port.received(0.2, 1000):
        at, proto = (40, packet[6]) if packet[0] >> 4 == 6 else (20, packet[9])
        if proto == 6 and struct.unpack_from("!HH", packet, at) == (dport, sport):
            found.append((packet[at + 13], struct.unpack_from("!I", packet, at + 4)[0]))
    return found


def begun(port, dport, sport):
    """The sequence number of the server's SYN, as a port saw it, and the numbers of all that came behind it."""
    seen = segments(port, dport, sport)
    first = [seq for flags, seq in seen if flags & FLAGS["S"]]
    return (first[0] if first else None, {seq for flags, seq in seen if not flags & FLAGS["S"]})


def proxied(what, kind, where):
    """A connection comes through, data both ways; the numbers that the server began with are translated."""
    home, away = ENDS[kind]
    before = statistics(where, "synproxy")
    # What the client got, and what the server had sent, if the proxy is between them.
    near = Port(CLIENT, ROUTER, mac_of(CLIENT, ROUTER))
    far = Port(ROUTER, SERVER, mac_of(ROUTER, SERVER))
    question, answer = os.urandom(SIZE // 4), os.urandom(SIZE)
    with make_socket(SERVER, away, OPEN, socket.SOCK_STREAM) as listener:
        listener.listen()
        with make_socket(CLIENT, home, 0, socket.SOCK_STREAM) as stream:
            equal(stream.connect_ex((away, OPEN)), 0, f"{what}: a connection comes through")
            port = stream.getsockname()[1]
            with listener.accept()[0] as served:
                served.settimeout(10 * SLOW)
                ways = []
                for here, there, data in ((stream, served, question), (served, stream, answer)):
                    here.setblocking(False)
                    left, got = data, b""
                    while len(got) < len(data):
                        with contextlib.suppress(BlockingIOError):
                            left = left[here.send(left) :] if left else b""
                        there.settimeout(0.05)
                        with contextlib.suppress(TimeoutError):
                            got += there.recv(1 << 20)
                    ways.append(got == data)
                equal(ways, [True, True], f"{what}: with {len(question)} bytes there and {len(answer)} back")
                found = find(where, l4="tcp", sport=port)
                good = [one.state for one in found] == ["ESTABLISHED"] and "ASSURED" in found[0].flags
                check(good, f"{what}: it has an entry, ESTABLISHED and ASSURED", [one.line for one in found])
    told, told_later = begun(near, OPEN, port)
    if where == ROUTER:
        said, said_later = begun(far, OPEN, port)
        check(
            None not in (told, said) and told != said,
            f"{what}: the server began with another number than the proxy",
            (told, said),
        )
        shifted = {(seq - (said or 0) + (told or 0)) & 0xFFFFFFFF for seq in said_later}
        check(
            told_later and told_later <= shifted,
            f"{what}: each of its segments was shifted by the difference",
            sorted(told_later - shifted)[:5],
        )
    now = grown(before, statistics(where, "synproxy"))
    check(now.get("cookie_valid") == 1 and now.get("syn_received", 0) >= 1, f"{what}: the proxy has counted it", now)
    done = poll(
        lambda: [one.state for one in find(where, l4="tcp", sport=port)] in (["TIME_WAIT"], ["LAST_ACK"], ["CLOSE"]), 10
    )
    check(done, f"{what}: and the tracker its end", [one.line for one in find(where, l4="tcp", sport=port)])


def refused(what, kind, where):
    """What the server refuses is reset for the client, which the proxy had let in; it may come again from its port."""
    home, away = ENDS[kind]
    with make_socket(CLIENT, home, 0, socket.SOCK_STREAM) as stream:
        port = stream.getsockname()[1]
        error = stream.connect_ex((away, CLOSED))
        if not error:
            try:
                stream.sendall(b"hello")
                stream.recv(1)
            except OSError as reset:
                error = reset.errno
        check(
            error in (errno.ECONNRESET, errno.ECONNREFUSED, errno.EPIPE),
            f"{what}: a port where nobody is: the client hears so",
            error,
        )
    equal(find(where, l4="tcp", sport=port), [], f"{what}: and no entry is left")
    with make_socket(SERVER, away, CLOSED, socket.SOCK_STREAM) as listener:
        listener.listen()
        before = statistics(where, "synproxy")
        stream = make_socket(CLIENT, home, port, socket.SOCK_STREAM)
        equal(stream.connect_ex((away, CLOSED)), 0, f"{what}: it comes again from the same port, and is let in")
        served = listener.accept()[0]
        served.settimeout(10 * SLOW)
        served.sendall(b"welcome")
        equal(stream.recv(100), b"welcome", f"{what}: and is answered")
        for one in (stream, served):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            one.close()
        closed = poll(lambda: [one.state for one in find(where, l4="tcp", sport=port)] == ["CLOSE"], 5)
        check(closed, f"{what}: a reset closes the entry", [one.line for one in find(where, l4="tcp", sport=port)])
        now = grown(before, statistics(where, "synproxy"))
        check(now.get("cookie_valid") == 1, f"{what}: the proxy has counted it", now)


def flood(what, kind, rules):
    """SYNs of forged sources, and acknowledgements of what the proxy never said."""
    number = times(200)
    away = ENDS[kind][1]
    forger = Port(CLIENT, ROUTER, mac_of(ROUTER, CLIENT))
    run("conntrack", "-F", ns=ROUTER)
    before, packets, entries = statistics(ROUTER, "synproxy"), rules.packets(), count(ROUTER)
    for n in range(number):
        forger.send(tcp(FORGED[kind].format(n % 200 + 1), away, 1024 + n, OPEN, "S", seq=n))
    received = lambda: grown(before, statistics(ROUTER, "synproxy")).get("syn_received", 0)  # noqa: E731
    check(
        poll(lambda: received() >= number, 10), f"{what}: {number} SYNs of nobody are answered by the proxy", received()
    )
    for n in range(number):
        forger.send(tcp(FORGED[kind].format(n % 200 + 1), away, 1024 + n, OPEN, "A", seq=n + 1, ack=n * 77777 + 1))
    invalid = lambda: grown(before, statistics(ROUTER, "synproxy")).get("cookie_invalid", 0)  # noqa: E731
    check(poll(lambda: invalid() >= number, 10), f"{what}: {number} forged answers to it are refused", invalid())
    equal([one.line for one in find(ROUTER, l4="tcp", dport=OPEN)], [], f"{what}: none has left an entry")
    check(count(ROUTER) <= entries, f"{what}: nor anything else that counts", (entries, count(ROUTER)))
    equal(grown(packets, rules.packets()).get("syn", 0), 0, f"{what}: no SYN has passed the proxy")


def scenario():
    one_cpu()
    lacking = missing("nft_synproxy", "ipt_SYNPROXY", "ip6t_SYNPROXY", "nft_ct", "xt_CT", "xt_multiport")
    set_up_stacks()
    ways = [
        ("nft, router", ("nft_synproxy",), ROUTER, lambda: Nft(ROUTER, nft("forward"))),
        ("iptables, router", ("ipt_SYNPROXY", "ip6t_SYNPROXY", "xt_CT"), ROUTER, lambda: Xtables(ROUTER, xt())),
        ("nft, host", ("nft_synproxy",), SERVER, lambda: Nft(SERVER, nft("input"))),
    ]
    for ns in (ROUTER, SERVER):
        # What is in the midst of a connection begins none.
        write(f"{SYSCTL}/nf_conntrack_tcp_loose", 0, ns)
    for what, modules, where, make in some(ways):
        lost = set(modules) & set(lacking)
        if lost:
            skip(f"{what}: the SYN proxy", f"this kernel does not have {' '.join(sorted(lost))}")
            continue
        rules = make()
        for kind in ENDS if where == ROUTER else ("IPv4",):
            proxied(f"{kind}, {what}", kind, where)
            refused(f"{kind}, {what}", kind, where)
            if where == ROUTER:
                flood(f"{kind}, {what}", kind, rules)
        rules.delete() if isinstance(rules, Nft) else rules.flush()


main(scenario)
