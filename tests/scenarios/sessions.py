# SPDX-License-Identifier: GPL-2.0
"""Real programs over a bad line, each behind a firewall that lets in what the tracker calls theirs.

What passes the router is captured to $RUST_CT_OUT/captures, for the comparison with nf_conntrack.
"""

# limit: 480
# left out of CI on: debug

import contextlib
import os
import random
import signal
import socket
import subprocess
import time

from lib import (
    SLOW,
    SYSCTL,
    Rules,
    check,
    client_router_server,
    diag,
    equal,
    find,
    grown,
    inside,
    ip_batch,
    listing,
    load,
    main,
    make_socket,
    module,
    poll,
    program,
    run,
    skip,
    times,
    write,
)

CLIENT, ROUTER, SERVER = "rct-c", "rct-r", "rct-s"
ENDS = {"IPv4": ("10.1.0.2", "10.2.0.2", "10.1.0.1"), "IPv6": ("fd01::2", "fd02::2", "fd01::1")}
# What the bad line draws from.
SEED = int(os.environ.get("SEED") or random.randrange(1 << 32))
CAPTURES = os.path.join(os.environ.get("RUST_CT_OUT", "/tmp"), "captures")


@contextlib.contextmanager
def captured(name):
    """Captures what passes between client and router; what is interrupted leaves no capture."""
    os.makedirs(CAPTURES, exist_ok=True)
    path, part = f"{CAPTURES}/{name}.pcap", f"{CAPTURES}/{name}.part"
    with inside(ROUTER):
        dump = subprocess.Popen(
            ["tcpdump", "-i", CLIENT, "-s", "0", "--immediate-mode", "-U", "-w", part, "-Z", "root"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    dump.stderr.readline()  # it is listening
    try:
        yield
    finally:
        time.sleep(0.5)
        dump.send_signal(signal.SIGINT)
        dump.wait(20)
    os.rename(part, path)
    check(os.path.getsize(path) > 100, f"{name}: the session was captured", path)


@contextlib.contextmanager
def bad_line(*qualities):
    """Gives the router's devices, to the client and to the server, a bad line."""
    for seed, device in enumerate((CLIENT, SERVER), SEED):
        run("tc", "qdisc", "add", "dev", device, "root", "netem", *qualities, "seed", str(seed), ns=ROUTER)
    try:
        yield
    finally:
        for device in (CLIENT, SERVER):
            run("tc", "qdisc", "del", "dev", device, "root", ns=ROUTER)


def page(kind, rules):
    """A web page of a megabyte comes through loss, reordering and duplication, INVALID dropped."""
    home, away, _ = ENDS[kind]
    url = f"http://{f'[{away}]' if ':' in away else away}:8080/page"
    with program(SERVER, "python3", "-m", "http.server", "8080", "--bind", away, "--directory", "/tmp/rct-www"):
        check(
            poll(lambda: run("curl", "-gs", "-o", "/dev/null", url, ns=CLIENT, must=False)[0] == 0, 20),
            f"{kind}: the web server answers",
        )
        before = rules.packets()
        quality = ("delay", "10ms", "5ms", "loss", "2%", "reorder", "20%", "duplicate", "2%")
        with bad_line(*quality), captured(f"page-{kind}"):
            for turn in range(times(4) or 1):
                status, text = run(
                    "curl", "-gs", "-m", str(60 * SLOW), "-o", "/tmp/rct-page", "-w", "%{size_download}", url,
                    ns=CLIENT, must=False,
                )
                equal((status, text), (0, "1000000"), f"{kind}: page {turn + 1} comes through {' '.join(quality)}")
        after = grown(before, rules.packets())
        diag(f"{kind}: {after}")
        check(after.get("theirs", 0) > 100, f"{kind}: what came in was theirs", after)
        states = {entry.state for entry in find(ROUTER, l4="tcp", dst=away)}
        check(states <= {"TIME_WAIT", "CLOSE", "LAST_ACK", "CLOSE_WAIT"} and states, f"{kind}: the connections are closed", states)


def connect(away, port):
    """A connection from client to server, accepted."""
    listener = make_socket(SERVER, away, port, socket.SOCK_STREAM)
    listener.listen()
    home = next(ends[0] for ends in ENDS.values() if ends[1] == away)
    stream = make_socket(CLIENT, home, 0, socket.SOCK_STREAM)
    stream.connect((away, port))
    served, _ = listener.accept()
    served.settimeout(10 * SLOW)
    listener.close()
    return stream, served


def idle(kind):
    """A connection that says nothing for longer than its timeout goes on when it is picked up."""
    away = ENDS[kind][1]
    write(f"{SYSCTL}/nf_conntrack_tcp_timeout_established", 2, ROUTER)
    with captured(f"idle-{kind}"):
        stream, served = connect(away, 7000)
        stream.sendall(b"first")
        equal(served.recv(10), b"first", f"{kind}: a connection is there")
        port = stream.getsockname()[1]
        gone = poll(lambda: not find(ROUTER, l4="tcp", sport=port), 15)
        check(gone, f"{kind}: the tracker has forgotten the idle one")
        # A slow machine takes its time to list what comes.
        write(f"{SYSCTL}/nf_conntrack_tcp_timeout_established", 432000, ROUTER)
        served.sendall(b"second")
        equal(stream.recv(10), b"second", f"{kind}: the side that did not begin says something, which passes")
        picked = find(ROUTER, l4="tcp", dport=port)
        check(picked and picked[0].state == "ESTABLISHED", f"{kind}: it was picked up, as begun by that side", listing(ROUTER))
    stream.close()
    served.close()


def half_open(kind):
    """A SYN that is not answered is SYN_SENT and UNREPLIED."""
    home, away, _ = ENDS[kind]
    command = "ip6tables" if kind == "IPv6" else "iptables"
    run(command, "-w", "-A", "INPUT", "-p", "tcp", "--dport", "7001", "-j", "DROP", ns=SERVER)
    with captured(f"half-open-{kind}"):
        stream = make_socket(CLIENT, home, 0, socket.SOCK_STREAM)
        stream.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            stream.connect((away, 7001))
        port = stream.getsockname()[1]
        found = poll(lambda: find(ROUTER, l4="tcp", sport=port), 5)
        time.sleep(1.5 * SLOW)  # the SYN comes again
    check(found and found[0].state == "SYN_SENT" and "UNREPLIED" in found[0].flags, f"{kind}: half open", found)
    stream.close()


def refused(kind):
    """A storm of connections to a closed port, each answered by a reset."""
    home, away, _ = ENDS[kind]
    number = times(200)
    with captured(f"refused-{kind}"):
        answers = 0
        for _ in range(number):
            stream = make_socket(CLIENT, home, 0, socket.SOCK_STREAM)
            try:
                stream.connect((away, 7002))
            except ConnectionRefusedError:
                answers += 1
            stream.close()
    equal(answers, number, f"{kind}: each of {number} connections is refused at once: the resets come in")
    states = {entry.state for entry in find(ROUTER, l4="tcp", dport=7002)}
    check(states <= {"CLOSE"}, f"{kind}: none of them is open in the tracker", states)


def traceroute(kind, rules):
    """The way to the server, hop by hop: the errors come in as RELATED."""
    _, away, hop = ENDS[kind]
    before = rules.packets()
    with captured(f"traceroute-{kind}"):
        _, text = run("traceroute", "-n", "-q", "1", "-w", str(3 * SLOW), "-m", "4", away, ns=CLIENT)
    hops = [line.split()[1] for line in text.splitlines()[1:] if len(line.split()) > 1]
    equal(hops, [hop, away], f"{kind}: traceroute sees the router and the server")
    check(grown(before, rules.packets()).get("related", 0) >= 2, f"{kind}: by errors that were RELATED", text)


def path_mtu(kind, rules):
    """A packet too large for the second line is announced by an error that comes in as RELATED."""
    home, away, _ = ENDS[kind]
    run("ip", "link", "set", "dev", SERVER, "mtu", "1300", ns=ROUTER)
    level, option = (socket.IPPROTO_IPV6, 23) if kind == "IPv6" else (socket.IPPROTO_IP, 10)
    before = rules.packets()
    with captured(f"path-mtu-{kind}"):
        sender = make_socket(CLIENT, home, 7003)
        sender.setsockopt(level, option, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
        sender.connect((away, 7003))

        def too_large():
            try:
                sender.send(b"x" * 1380)
            except OSError as error:
                return error.errno == 90  # EMSGSIZE
            return False

        check(poll(too_large, 10, 0.3), f"{kind}: the sender learns that its packets are too large")
    check(grown(before, rules.packets()).get("related", 0) > 0, f"{kind}: by an error that was RELATED")
    run("ip", "link", "set", "dev", SERVER, "mtu", "1500", ns=ROUTER)
    sender.close()


def ping(kind, rules):
    """Ping, both ways of it: the echo that we asked for comes in, and the entry knows both."""
    home, away, _ = ENDS[kind]
    before = rules.packets()
    with captured(f"ping-{kind}"):
        run("ping", "-n", "-c", "5", "-i", "0.2", "-s", "1000", away, ns=CLIENT)
    name = "icmpv6" if kind == "IPv6" else "icmp"
    found = [entry for entry in find(ROUTER, l4=name, src=home, dst=away) if "UNREPLIED" not in entry.flags]
    equal(len(found), 1, f"{kind}: five echoes are one connection")
    check(grown(before, rules.packets()).get("theirs", 0) >= 5, f"{kind}: the answers were theirs")


def sctp(kind):
    """An SCTP association is followed from its beginning to its end."""
    if not module("sctp"):
        skip(f"{kind}: an SCTP association", "this kernel has no sctp.ko")
        return
    home, away, _ = ENDS[kind]
    family = socket.AF_INET6 if kind == "IPv6" else socket.AF_INET
    with captured(f"sctp-{kind}"):
        with inside(SERVER):
            listener = socket.socket(family, socket.SOCK_STREAM, 132)
        listener.bind((away, 7004))
        listener.listen()
        listener.settimeout(10 * SLOW)
        with inside(CLIENT):
            stream = socket.socket(family, socket.SOCK_STREAM, 132)
        stream.settimeout(10 * SLOW)
        stream.bind((home, 0))
        stream.connect((away, 7004))
        served, _ = listener.accept()
        stream.sendall(b"x" * 20000)
        got = 0
        while got < 20000:
            got += len(served.recv(65536))
        found = find(ROUTER, l4="sctp", dport=7004)
        check(
            [entry.state for entry in found] == ["ESTABLISHED"] and "ASSURED" in found[0].flags,
            f"{kind}: the association is ESTABLISHED and ASSURED",
            [entry.line for entry in listing(ROUTER)],
        )
        for one in (stream, served, listener):
            one.close()
        states = poll(lambda: [e.state for e in find(ROUTER, l4="sctp", dport=7004) if e.state != "ESTABLISHED"], 10)
        check(states and states[0].startswith(("SHUTDOWN", "CLOSED")), f"{kind}: and then it shuts down", states)


def tunnel():
    """A GRE tunnel between client and server is one connection, whatever is in it."""
    if not module("ip_gre"):
        skip("a GRE tunnel", "this kernel has no ip_gre.ko")
        return
    for ns, here, there, inner in ((CLIENT, "10.1.0.2", "10.2.0.2", 1), (SERVER, "10.2.0.2", "10.1.0.2", 2)):
        ip_batch(
            ns,
            f"link add rct-gre type gre local {here} remote {there}",
            "link set rct-gre up",
            f"addr add 10.9.0.{inner}/30 dev rct-gre",
        )
    with captured("gre"):
        run("ping", "-n", "-c", "5", "-i", "0.2", "10.9.0.2", ns=CLIENT)
    found = find(ROUTER, l4="gre")
    check(
        len(found) == 1 and "ASSURED" in found[0].flags and found[0].orig["srckey"] == "0x0",
        "the tunnel is one connection, and ASSURED",
        [entry.line for entry in found],
    )


def scenario():
    diag(f"SEED={SEED}")
    client_router_server()
    for ns, device in ((CLIENT, ROUTER), (SERVER, ROUTER)):
        # Segments as a line carries them, not bundles.
        run("ip", "link", "set", "dev", device, "gso_max_segs", "1", "gro_max_size", "1500", ns=ns)
    load()
    os.makedirs("/tmp/rct-www", exist_ok=True)
    with open("/tmp/rct-www/page", "wb") as file:
        file.write(os.urandom(1000000))
    rules = Rules(CLIENT)
    rules.add("filter", "INPUT", "theirs", "-m", "conntrack", "--ctstate", "ESTABLISHED", jump="ACCEPT")
    rules.add("filter", "INPUT", "related", "-m", "conntrack", "--ctstate", "RELATED", jump="ACCEPT")
    rules.add("filter", "INPUT", "neighbours", "-p", "ipv6-icmp", "-m", "conntrack", "--ctstate", "UNTRACKED", jump="ACCEPT", families=[6])
    rules.add("filter", "INPUT", "rest", "!", "-i", "lo", jump="DROP", families=[4, 6])
    router = Rules(ROUTER)
    router.add("filter", "FORWARD", "invalid", "-m", "conntrack", "--ctstate", "INVALID", jump="DROP")
    for kind in ENDS:
        ping(kind, rules)
        page(kind, rules)
        idle(kind)
        half_open(kind)
        refused(kind)
        traceroute(kind, rules)
        path_mtu(kind, rules)
        sctp(kind)
    run("iptables", "-w", "-I", "INPUT", "-p", "gre", "-j", "ACCEPT", ns=CLIENT)
    run("iptables", "-w", "-I", "INPUT", "-i", "rct-gre", "-j", "ACCEPT", ns=CLIENT)
    tunnel()


main(scenario)
