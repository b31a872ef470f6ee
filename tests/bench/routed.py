#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What a client and a server get through a namespace that forwards, with each tracker and without one.

    routed.py CSV

Run as root in a guest. Only the namespace in the midst tracks, as a rule of its firewall asks for it. iperf3 sends by
TCP, in segments as large as they come and in such as a wire carries, and by UDP in small packets; ab asks nginx for a
page of a few bytes, with a connection for each request. scripts/test/bench.sh has the rest. In an emulated guest all
programs are slow as well, and a tracker is a small part of it.

ROUNDS  how often everything is done (default 3)
SPAN    for how many seconds each thing (default 10)
"""

import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from common import ROUNDS, TRACKERS, Results, limit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scenarios"))
from lib import (  # noqa: E402
    SYSCTL,
    client_router_server,
    drop_namespaces,
    insert,
    ip_batch,
    poll,
    program,
    read,
    run,
    unload,
)

SPAN = int(os.environ.get("SPAN") or 10)
CLIENT, ROUTER, SERVER = "rct-c", "rct-r", "rct-s"
HOST, WEB, IPERF = "10.2.0.2", 8080, 5201
# Requests that are on their way at the same time.
CLIENTS = 16
# Of a packet of UDP.
PAYLOAD = 64
ROOM = 1_048_576
# The same number of rules, with a tracker and without.
RULES = """
table ip routed {{
    chain forward {{
        type filter hook forward priority 0; policy drop;
        {}
    }}
}}
"""
TRACKED = "ct state established,related accept; ct state new accept"
BARE = "meta l4proto icmp accept; meta l4proto { tcp, udp } accept"
SITE = """
daemon off;
worker_processes 1;
pid {directory}/pid;
error_log {directory}/error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_timeout 0;
    server {{ listen {host}:{port} backlog=1024; location / {{ return 200 "hello"; }} }}
}}
"""


def listens(port):
    return poll(lambda: f"{HOST}:{port} " in run("ss", "-Hlnt", ns=SERVER)[1], 60)


def iperf(*options):
    """What iperf3 says at its end."""
    with program(SERVER, "iperf3", "-s", "-1", "-B", HOST):
        if not listens(IPERF):
            raise RuntimeError("iperf3 does not listen")
        output = run("iperf3", "-c", HOST, "-J", "-t", str(SPAN), *options, ns=CLIENT)[1]
    return json.loads(output)["end"]


def megabits():
    return round(iperf()["sum_received"]["bits_per_second"] / 1e6)


def packets():
    """Small packets of UDP that have arrived, a second."""
    received = iperf("-u", "-b", "0", "-l", str(PAYLOAD))["sum_received"]
    return round(received["bytes"] / PAYLOAD / received["seconds"])


def segments(most):
    """So many segments of TCP at most are one packet until the wire."""
    for ns in (CLIENT, SERVER):
        ip_batch(ns, f"link set dev {ROUTER} gso_max_segs {most}")


def web():
    """Connections a second, of a request each."""
    with tempfile.TemporaryDirectory() as directory:
        site = Path(directory) / "site"
        site.write_text(SITE.format(directory=directory, host=HOST, port=WEB), encoding="ascii")
        with program(SERVER, "nginx", "-e", f"{directory}/error", "-g", "user root;", "-c", str(site)) as server:
            if not listens(WEB):
                raise RuntimeError((Path(directory) / "error").read_text(encoding="ascii"))
            # The number of requests is what it keeps times of; the time is over before.
            asks = ("ab", "-q", "-r", "-t", str(SPAN), "-n", "500000", "-c", str(CLIENTS), f"http://{HOST}:{WEB}/")
            said = run(*asks, ns=CLIENT)[1]
            # With it goes the worker that it has started.
            server.terminate()
            server.wait()
    failed = re.search(r"^Failed requests: +(\d+)", said, re.M)
    rate = re.search(r"^Requests per second: +([\d.]+)", said, re.M)
    if not rate or not failed or int(failed[1]) or "Non-2xx" in said:
        raise RuntimeError(f"ab: {said}")
    return round(float(rate[1]))


def one(results, tracker):
    """Everything with one tracker."""
    if tracker != "none":
        unload(tracker=tracker)
        insert(f"hashsize={ROOM // 8}", tracker=tracker)
        limit(ROOM)
    client_router_server(CLIENT, ROUTER, SERVER)
    run("nft", "-f", "-", text=RULES.format(BARE if tracker == "none" else TRACKED), ns=ROUTER)
    results.add(tracker, "TCP (Mbit/s)", "tcp4", 0, 0, megabits())
    segments(1)
    results.add(tracker, "TCP, a segment a packet (Mbit/s)", "tcp4", 0, 0, megabits())
    segments(65535)
    results.add(tracker, "UDP, small packets (1/s)", "udp4", 0, 0, packets())
    results.add(tracker, "HTTP, connections (1/s)", "tcp4", 0, 0, web())
    # None of this is worth anything if it went past the tracker.
    if tracker != "none" and not int(read(f"{SYSCTL}/nf_conntrack_count", ROUTER)):
        raise RuntimeError(f"{tracker} has tracked nothing")
    drop_namespaces()
    if tracker != "none":
        unload(tracker=tracker)


def main(path):
    with Results(path) as results:
        for number in range(1, ROUNDS + 1):
            results.round = number
            for tracker in ("none", *TRACKERS[:: 1 if number % 2 else -1]):
                start = time.monotonic()
                one(results, tracker)
                results.flush()
                print(f"bench: round {number}: {tracker}, routed: {time.monotonic() - start:.0f} s", flush=True)


main(*sys.argv[1:])
