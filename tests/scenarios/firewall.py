# SPDX-License-Identifier: GPL-2.0
"""A firewall of three rules on the state lets replies in and keeps strangers out; its counters are exact."""

# limit: 270
# left out of CI on: debug

import contextlib
import errno
import select
import socket

from lib import (
    SLOW,
    Port,
    Rules,
    check,
    equal,
    grown,
    hosts,
    load,
    mac_of,
    main,
    make_socket,
    tcp,
)

INSIDE, OUTSIDE = "rct-h", "rct-o"


def asked(rules, home, away):
    """Replies to what the host asks are let in: UDP, an ICMP error, TCP."""
    server, client = make_socket(OUTSIDE, away, 53), make_socket(INSIDE, home, 5353)
    before = rules.packets()
    for turn in range(5):
        client.sendto(b"question %d" % turn, (away, 53))
        question, sender = server.recvfrom(100)
        server.sendto(question.replace(b"question", b"answer"), sender)
        equal(client.recv(100), b"answer %d" % turn, f"{home}: answer {turn} comes in")
    equal(grown(before, rules.packets()), {"replies": 5}, f"{home}: five answers, counted as replies")

    client.connect((away, 9))
    before = rules.packets()
    client.send(b"nobody is there")
    try:
        client.recv(1)
        refused = None
    except OSError as error:
        refused = error.errno
    equal(refused, errno.ECONNREFUSED, f"{home}: the ICMP error about a closed port comes in")
    equal(grown(before, rules.packets()), {"replies": 1}, f"{home}: one ICMP error, counted as reply")

    listener = make_socket(OUTSIDE, away, 80, socket.SOCK_STREAM)
    listener.listen()
    stream = make_socket(INSIDE, home, 0, socket.SOCK_STREAM)
    before = rules.packets()
    stream.connect((away, 80))
    served, _ = listener.accept()
    served.settimeout(10 * SLOW)
    stream.sendall(b"GET")
    equal(served.recv(3), b"GET", f"{home}: TCP goes out")
    served.sendall(b"x" * 100000)
    got = 0
    while got < 100000:
        got += len(stream.recv(65536))
    equal(got, 100000, f"{home}: 100,000 bytes come in over TCP")
    counted = grown(before, rules.packets())
    equal(list(counted), ["replies"], f"{home}: all of them counted as replies")
    for one in (server, client, listener, stream, served):
        one.close()


def stranger(rules, home, away):
    """Unsolicited packets stay out: UDP to an open port, TCP to a listening one, forgeries."""
    victim = make_socket(INSIDE, home, 4000)
    attacker = make_socket(OUTSIDE, away, 4001)
    before = rules.packets()
    for _ in range(7):
        attacker.sendto(b"let me in", (home, 4000))
    check(not select.select([victim], [], [], 1)[0], f"{home}: UDP from a stranger stays out")
    equal(grown(before, rules.packets()), {"strangers": 7}, f"{home}: seven packets, counted as strangers")

    listener = make_socket(INSIDE, home, 22, socket.SOCK_STREAM)
    listener.listen()
    caller = make_socket(OUTSIDE, away, 0, socket.SOCK_STREAM)
    caller.setblocking(False)
    before = rules.packets()
    with contextlib.suppress(BlockingIOError):
        caller.connect((home, 22))
    check(not select.select([listener], [caller], [], 2)[0], f"{home}: TCP from a stranger stays out")
    caller.close()
    equal(list(grown(before, rules.packets())), ["strangers"], f"{home}: its SYNs are counted as strangers")

    forger = Port(OUTSIDE, INSIDE, mac_of(INSIDE, OUTSIDE))
    before = rules.packets()
    forger.send(
        tcp(away, home, 80, 1234, "SA", seq=1, ack=1),
        tcp(away, home, 80, 1234, "R", seq=1),
        tcp(away, home, 1234, 22, "S", check_sum=0xBAD),
        tcp(away, home, 1234, 22, ""),
    )
    check(not select.select([listener], [], [], 0.5)[0], f"{home}: forgeries stay out")
    equal(grown(before, rules.packets()), {"invalid": 4}, f"{home}: four forgeries, counted as invalid")
    for one in (victim, attacker, listener):
        one.close()


def scenario():
    hosts(INSIDE, OUTSIDE)
    load()
    rules = Rules(INSIDE)
    rules.add("filter", "INPUT", "replies", "-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", jump="ACCEPT")
    rules.add("filter", "INPUT", "invalid", "-m", "conntrack", "--ctstate", "INVALID", jump="DROP")
    rules.add("filter", "INPUT", "strangers", "-m", "conntrack", "--ctstate", "NEW", jump="DROP")
    for home, away in (("10.1.0.1", "10.1.0.2"), ("fd01::1", "fd01::2")):
        asked(rules, home, away)
        stranger(rules, home, away)


main(scenario)
