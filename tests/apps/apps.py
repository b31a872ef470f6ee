# SPDX-License-Identifier: GPL-2.0
"""Common parts of the programs: their machine, which is the guest itself, its neighbours, daemons, and traffic."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import traceback

import lib
from lib import (
    SLOW,
    check,
    diag,
    drop_namespaces,
    family,
    inside,
    ip_batch,
    loaded,
    make_socket,
    poll,
    read,
    run,
    write,
)

OURS = bool(os.environ.get("PLACE_KO"))
PLACE = tempfile.mkdtemp(prefix="apps-")
# Programs in Python are not to find our modules for theirs.
os.environ.pop("PYTHONPATH", None)


def main(program, *packages):
    """Runs one program's checks, on a machine without a tracker; says which packages they are for."""

    def scenario():
        for package in packages:
            diag(f"version {package} {run('dpkg-query', '-W', '-f', '${Version}', package)[1]}")
        for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            write(f"/proc/sys/net/{path}", 1)
        try:
            program()
            tracked_by_us()
        except Exception:
            check(False, "the program did all that was asked of it", traceback.format_exc())
        finally:
            clear()

    lib.main(scenario)


def tracked_by_us():
    """What the program brought along is the module of that name which is installed."""
    if loaded("nf_conntrack"):
        check(
            os.path.exists("/proc/rust_ct") == OURS,
            "what tracked its connections is the nf_conntrack that is installed",
        )
    else:
        diag("the tracker is built into this kernel")


def clear():
    """Takes rules and devices away."""
    run("nft", "flush", "ruleset", must=False)
    drop_namespaces(must=False)
    for line in run("ip", "-o", "link")[1].splitlines():
        name = line.split(": ")[1].split("@")[0]
        if any(word in line for word in (" veth ", "docker", "br-", "virbr", "podman")):
            run("ip", "link", "delete", name, must=False)


def neighbours(*names, ns=None):
    """Namespaces with stacks of their own, the n-th linked to this machine, which is 10.<n>.0.1 and fd0<n>::1 there."""
    for n, name in enumerate(names, 1):
        ip_batch(None, f"netns add {name}")
        # The link to the namespace that had this name before goes with it, in the kernel's own time.
        poll(lambda: run("ip", "link", "show", name, ns=ns, must=False)[0], 20)
        ip_batch(
            ns,
            f"link add {name} type veth peer name up netns {name}",
            f"addr add 10.{n}.0.1/24 dev {name}",
            f"addr add fd0{n}::1/64 dev {name} nodad",
            f"link set dev {name} up",
        )
        ip_batch(
            name,
            "link set dev lo up",
            f"addr add 10.{n}.0.2/24 dev up",
            f"addr add fd0{n}::2/64 dev up nodad",
            "link set dev up up",
            f"route add default via 10.{n}.0.1",
            f"route add default via fd0{n}::1",
        )


# ------------------------------------------------------------------------------------------ daemons


@contextlib.contextmanager
def daemon(*command, ready, seconds=60, ns=None, env=None):
    """A daemon that runs until the block ends, which begins when ready() is true; shows what it said if not."""
    process = start(*command, ns=ns, env=env)
    try:
        if not poll(lambda: ready() or process.poll() is not None, seconds, 0.3) or process.poll() is not None:
            raise RuntimeError(f"{command[0]} did not come up:\n{said(process)}")
        yield process
    except Exception:
        diag(f"{command[0]} said:", *said(process).splitlines()[-25:])
        raise
    finally:
        stop(process)


def start(*command, ns=None, env=None):
    """A program in the background, its words in a file."""
    log = tempfile.NamedTemporaryFile(dir=PLACE, prefix=f"{os.path.basename(command[0])}-", delete=False)
    with inside(ns), log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(env or {})}
        )
    process.log = log.name
    return process


def said(process):
    """What a started program has said."""
    with open(process.log, encoding="utf-8", errors="replace") as log:
        return log.read()


def stop(process, seconds=20):
    """Asks a program to end, and ends it if it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# ------------------------------------------------------------------------------------------ traffic


def made_up(sport):
    """A UDP entry that no packet made, from 192.0.2.1 to port 2 of 192.0.2.2."""
    flow = f"-p udp -s 192.0.2.1 -d 192.0.2.2 --sport {sport} --dport 2 -t 600"
    run("conntrack", "-A", *flow.split())


def dial(ns, address, port, seconds=2, near=None):
    """A TCP connection from a namespace, or None where none comes about."""
    with inside(ns):
        made = socket.socket(family(address), socket.SOCK_STREAM)
    made.settimeout(seconds * SLOW)
    try:
        if near:
            made.bind(near)
        made.connect((address, port))
        made.settimeout(10 * SLOW)
        return made
    except OSError:
        made.close()
        return None


def listen(ns, address, port):
    """A socket that listens in a namespace."""
    made = make_socket(ns, address, port, socket.SOCK_STREAM)
    made.listen(16)
    return made


def reaches(ns, address, port, seconds=2):
    """Whether a TCP connection to a listener comes about."""
    made = dial(ns, address, port, seconds)
    if made:
        made.close()
    return bool(made)


def seen_from(caller, server, address, port):
    """A connection with bytes both ways to a listening socket; returns the caller's address as the server sees it."""
    client = dial(caller, address, port, 10)
    if not client:
        return None
    with client:
        made, peer = server.accept()
        with made:
            return peer[0] if passes(client, made) else None


def passes(one, other, data=None):
    """Whether data, new if none is given, goes to a connection's other end and back, behind what was under way."""
    data = data or os.urandom(20)
    try:
        for source, sink in ((one, other), (other, one)):
            source.sendall(data)
            got = b""
            while not got.endswith(data):
                piece = sink.recv(65536)
                if not piece:
                    return False
                got += piece
        return True
    except OSError:
        return False


def crosses(what, command, one, other):
    """Checks that data crosses a connection all the time while a command runs, and that it succeeds."""
    process = start(*command)
    turns = good = 0
    while process.poll() is None:
        good += passes(one, other)
        turns += 1
    why = f"{good} of {turns} exchanges; {said(process)}"
    return check(turns and good == turns and not process.returncode, what, why)


def echoed(end, data=b"come back\n"):
    """Whether an echo server gives data back."""
    try:
        end.sendall(data)
        got = b""
        while len(got) < len(data):
            piece = end.recv(len(data) - len(got))
            if not piece:
                return False
            got += piece
        return got == data
    except OSError:
        return False


def fetch(ns, address, port, path="/"):
    """What an HTTP server answers, or nothing."""
    end = dial(ns, address, port, 10)
    if not end:
        return ""
    got = b""
    with end, contextlib.suppress(OSError):
        end.sendall(f"GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
        while piece := end.recv(65536):
            got += piece
    return got.decode(errors="replace")


def entries(*words, ns=None):
    """The lines of this machine's listing that have all of these words."""
    return [
        line for line in read("/proc/net/nf_conntrack", ns).splitlines() if all(word in line.split() for word in words)
    ]
