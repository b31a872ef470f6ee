# SPDX-License-Identifier: GPL-2.0
"""Real programs through a forwarding namespace, over both families, watched in the router and at the ends.

An HTTP server and curl, a DNS-like exchange over UDP, ping, traceroute-like probes and path MTU.
"""

# limit: 360
# left out of CI on: debug

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from lib import (
    SLOW,
    Rules,
    check,
    client_router_server,
    equal,
    inside,
    listing,
    load,
    main,
    make_socket,
    poll,
    program,
    run,
    shown,
    some,
    succeeds,
)

CLIENT, ROUTER, SERVER = EVERYWHERE = "rct-c", "rct-r", "rct-s"
PAIRS = (("10.1.0.2", "10.2.0.2", "10.2.0.2"), ("fd01::2", "fd02::2", "[fd02::2]"))
# Answers each datagram with its text in capitals, as a name server answers a question.
ANSWER = """
import socket, sys
server = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
while True:
    question, sender = server.recvfrom(512)
    server.sendto(question.upper(), sender)
"""


def listed(ns, proto, state, src, dst, port, flags=""):
    """Exactly one line of the listing has all of this."""
    l3 = "ipv6     10" if ":" in src else "ipv4     2"
    src, dst = shown(src), shown(dst)
    line = (
        rf"{l3} {proto} \d+ {state}src={src} dst={dst} sport=(\d+) dport={port} "
        rf"src={dst} dst={src} sport={port} dport=\1 {flags}mark=0 zone=0 use=\d+"
    )
    return sum(bool(re.fullmatch(line, entry.line)) for entry in listing(ns)) == 1


def listening(server, host):
    return f"{host}:8000 " in run("ss", "-Hlnt", ns=SERVER)[1] and f"{host}:53 " in run("ss", "-Hlnu", ns=SERVER)[1]


@contextlib.contextmanager
def servers(directory, pairs):
    with contextlib.ExitStack() as stack:
        for _, server, _ in pairs:
            web = ("-m", "http.server", "--protocol", "HTTP/1.1", "--bind", server, "--directory", directory, "8000")
            for arguments in (web, ("-c", ANSWER, server)):
                stack.enter_context(program(SERVER, sys.executable, *arguments))
        for _, server, host in pairs:
            if not poll(lambda server=server, host=host: listening(server, host), 30):
                raise RuntimeError(f"nobody listens on {host}")
        yield


def web(directory, client, server, host):
    url, pipe = f"http://{host}:8000/file", directory / "pipe"

    def everywhere(state, flags, what):
        for ns in EVERYWHERE:
            found = poll(lambda ns=ns: listed(ns, "tcp      6", f"{state} ", client, server, 8000, flags), 10)
            check(found, f"{server}: {what} in {ns}", "\n".join(entry.line for entry in listing(ns)))

    # No process reads the pipe yet, so the connection stays open.
    with inside(CLIENT):
        curl = subprocess.Popen(["curl", "-gsS", "-o", pipe, url])
    everywhere("ESTABLISHED", r"\[ASSURED\] ", "HTTP is ESTABLISHED")
    got = subprocess.run(["cat", pipe], stdout=subprocess.PIPE, timeout=20 * SLOW, check=False).stdout
    equal(curl.wait(20 * SLOW), 0, f"{server}: curl is content")
    check(got == (directory / "file").read_bytes(), f"{server}: it got the file", f"{len(got)} bytes")
    everywhere("TIME_WAIT", r"\[ASSURED\] ", "and then in TIME_WAIT")
    succeeds(
        f"{server}: a second fetch over the same path",
        *("curl", "-gsS", "--max-time", str(40 * SLOW), "-o", "/dev/null", url),
        ns=CLIENT,
    )


def questions(client, server):
    with make_socket(CLIENT, client) as asker:
        asker.settimeout(20)
        asker.connect((server, 53))
        answers = []
        with contextlib.suppress(OSError):
            for number in range(3):
                asker.send(b"www.example.org %d" % number)
                answers.append(asker.recv(512))
    equal(answers, [b"WWW.EXAMPLE.ORG %d" % number for number in range(3)], f"{server}: three questions over UDP are answered")
    for ns in EVERYWHERE:
        check(listed(ns, "udp      17", "", client, server, 53), f"{server}: they are one entry in {ns}")


def pings(client, server):
    succeeds(f"{server}: ping", "ping", "-c3", "-i0.2", "-W5", server, ns=CLIENT)
    src, dst = shown(client), shown(server)
    line = rf"icmp.* src={src} dst={dst} type=(8|128) code=0 id=(\d+) src=.* type=(0|129) code=0 id=\2 "
    equal(sum(bool(re.search(line, entry.line)) for entry in listing(ROUTER)), 1, f"{server}: ping is one entry in the router")


def errors():
    """Errors that real stacks send: they reach the client, and the client's rules see them as RELATED."""
    rules = Rules(CLIENT)
    rules.add("filter", "INPUT", "related", "-m", "conntrack", "--ctstate", "RELATED", "--ctdir", "REPLY")
    rules.add("filter", "INPUT", "invalid", "-m", "conntrack", "--ctstate", "INVALID")
    run("ip", "link", "set", "dev", SERVER, "mtu", "1300", ns=ROUTER)
    knock = "exec 3<>/dev/udp/{}/9; echo x >&3; read -rt2 -u3"
    for command, name, target, too_big in (
        ("iptables", "IPv4", PAIRS[0][1], "fragmentation needed"),
        ("ip6tables", "IPv6", PAIRS[1][1], "packet too big"),
    ):
        for what, probe in (
            ("TTL exceeded", ("ping", "-c1", "-W2", "-t1", target)),
            (too_big, ("ping", "-c1", "-W2", "-M", "do", "-s", "1400", target)),
            ("port unreachable", ("bash", "-c", knock.format(target))),
        ):
            before = rules.packets([command])["related"]
            run(*probe, ns=CLIENT, must=False)
            equal(rules.packets([command])["related"] - before, 1, f"{what} ({name}) is RELATED")
        equal(rules.packets([command])["invalid"], 0, f"nothing of all that was INVALID ({command})")


def scenario():
    client_router_server()
    pairs = some(PAIRS)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        os.mkfifo(directory / "pipe")
        (directory / "file").write_bytes(os.urandom(100000))
        with servers(name, pairs):
            load()
            for client, server, host in pairs:
                web(directory, client, server, host)
                questions(client, server)
                pings(client, server)
    errors()


main(scenario)
