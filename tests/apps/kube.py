# SPDX-License-Identifier: GPL-2.0
"""What kube-proxy asks of a tracker: its sysctls, hashsize in /sys/module, and its calls of vishvananda/netlink."""

# limit: 200

import os
import re

from apps import (
    dial,
    listen,
    main,
    neighbours,
    passes,
)

from lib import (
    SLOW,
    SYSCTL,
    check,
    equal,
    loaded,
    make_socket,
    module,
    read,
    run,
    skip,
    write,
)

# Built by kube/build.sh.
KUBE = f"{os.environ.get('RUST_CT_OUT', '/out')}/apps/kube"
CLIENT, OLD, NEW = "rct-cli", "rct-old", "rct-new"
SERVICES = {4: ("10.96.0.10", "10.1.0.2", "10.2.0.2", "10.3.0.2"), 6: ("fd96::a", "fd01::2", "fd02::2", "fd03::2")}
HASHSIZE = "/sys/module/nf_conntrack/parameters/hashsize"
# As kube-proxy's defaults have them; it writes them in this order.
SETTINGS = {
    "nf_conntrack_tcp_timeout_established": 86400,
    "nf_conntrack_tcp_timeout_close_wait": 3600,
    "nf_conntrack_tcp_be_liberal": 1,
    "nf_conntrack_udp_timeout": 60,
    "nf_conntrack_udp_timeout_stream": 150,
}


def kube(*words):
    return run(KUBE, *words)[1]


def settings():
    """conntrack-max-per-core for four processors, and the rest."""
    most = 4 * 32768
    for name, value in SETTINGS.items():
        write(f"{SYSCTL}/{name}", value)
    equal({name: int(read(f"{SYSCTL}/{name}")) for name in SETTINGS}, SETTINGS, "its timeouts hold")
    if not loaded("nf_conntrack"):
        skip("hashsize", "the tracker is built into this kernel")
        return
    write(f"{SYSCTL}/nf_conntrack_max", most)
    equal(int(read(f"{SYSCTL}/nf_conntrack_max")), most, "nf_conntrack_max holds")
    with listen(OLD, "10.2.0.2", 443) as server, dial(CLIENT, "10.2.0.2", 443) as client, server.accept()[0] as made:
        for size in (most // 8, most // 4):
            write(HASHSIZE, size)
            equal(
                [int(read(HASHSIZE)), int(read(f"{SYSCTL}/nf_conntrack_buckets"))],
                [size] * 2,
                f"hashsize is {size} when it is written",
            )
            check(passes(client, made), "and a connection goes on")


def serves(endpoint, number):
    """The service's rules, to one endpoint."""
    service = SERVICES[number][0]
    ip = {4: "ip", 6: "ip6"}[number]
    dnat = f"{ip} daddr {service} udp dport 53 dnat to {f'[{endpoint}]' if number == 6 else endpoint}:5353"
    chain = f"chain services {{\ntype nat hook prerouting priority dstnat\n{dnat}\n}}"
    run("nft", "-f", "-", text=f"add table {ip} kube\ndelete table {ip} kube\ntable {ip} kube {{\n{chain}\n}}\n")


def services(number):
    """An endpoint goes, another comes: a flow of the first goes to the second when its entry is deleted."""
    service, near, old, new = SERVICES[number]
    what = f"IPv{number}"
    with (
        make_socket(CLIENT, near, 5300) as client,
        make_socket(OLD, old, 5353) as first,
        make_socket(NEW, new, 5353) as second,
    ):
        for end in (first, second):
            end.settimeout(2 * SLOW)

        def asks():
            """Which endpoint a question comes to."""
            client.sendto(b"question", (service, 53))
            for name, end in (("old", first), ("new", second)):
                try:
                    end.sendto(b"answer", end.recvfrom(100)[1])
                    client.recv(100)
                    return name
                except TimeoutError:
                    continue
            return None

        serves(old, number)
        equal(asks(), "old", f"{what}: a service leads to its endpoint")
        text = kube("list", str(number))
        check(re.search(rf"udp.*dst={service} .*src={old} ", text), f"{what}: ConntrackTableList has the flow", text)
        serves(new, number)
        equal(asks(), "old", f"{what}: with another endpoint the flow stays where it is")
        equal(
            kube("stale", str(number), service, "53", old),
            "1\n",
            f"{what}: ConntrackDeleteFilters deletes what is stale",
        )
        equal(asks(), "new", f"{what}: and the flow goes to the new endpoint")
        equal(kube("port", str(number), "53"), "1\n", f"{what}: ConntrackDeleteFilters deletes by port")
        equal(asks(), "new", f"{what}: the next one is a new flow")


def scenario():
    check(os.access(KUBE, os.X_OK), "the program that calls vishvananda/netlink is built")
    neighbours(CLIENT, OLD, NEW)
    module("nf_conntrack")
    module("nf_conntrack_netlink")
    serves(SERVICES[4][2], 4)
    serves(SERVICES[6][2], 6)
    settings()
    for number in (4, 6):
        services(number)
        kube("create", str(number))
        near = {4: "192.0.2.1", 6: "2001:db8::1"}[number]
        text = kube("list", str(number))
        check(re.search(rf"src={near} .*mark=0x9", text), f"IPv{number}: ConntrackCreate and ConntrackUpdate", text)
    kube("flush")
    equal(kube("list", "4") + kube("list", "6"), "", "ConntrackTableFlush deletes all")


main(scenario, "golang-github-vishvananda-netlink-dev", "golang-go")
