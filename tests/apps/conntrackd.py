# SPDX-License-Identifier: GPL-2.0
"""conntrackd in FTFW between two gateways that keepalived makes one: NATed transfers outlive a failover, and back."""

# limit: 300

import contextlib
import os
import threading

from apps import (
    PLACE,
    daemon,
    dial,
    listen,
    main,
    passes,
)

from lib import (
    SLOW,
    check,
    diag,
    equal,
    ip_batch,
    poll,
    read,
    run,
    write,
)

CLIENT, SERVER, FIRST, SECOND = "rct-lan", "rct-wan", "rct-g1", "rct-g2"
GATEWAYS = (FIRST, SECOND)
# Both gateways forward what was let out, and no stray segment of a connection that they do not know.
RULES = """
table ip fw {
    chain forward {
        type filter hook forward priority filter; policy drop
        ct state invalid counter drop
        ct state established,related accept
        iif "lan" oif "wan" ct state new accept
    }
    chain post {
        type nat hook postrouting priority srcnat
        oif "wan" ip saddr 10.1.0.0/24 snat to 10.2.0.1
    }
}
"""
DAEMON = """
Sync {{
    Mode FTFW {{
        ResendQueueSize 131072
        PurgeTimeout 60
        ACKWindowSize 300
    }}
    UDP {{
        IPv4_address 10.9.0.{n}
        IPv4_Destination_Address 10.9.0.{other}
        Port 3780
        Interface sync
        Checksum on
    }}
}}
General {{
    HashSize 8192
    HashLimit 65536
    LogFile {place}/conntrackd-{n}.log
    Syslog off
    LockFile {place}/conntrackd-{n}.lock
    UNIX {{
        Path {place}/conntrackd-{n}.ctl
    }}
    NetlinkBufferSize 2097152
    NetlinkBufferSizeMaxGrowth 8388608
    Filter From Userspace {{
        Protocol Accept {{
            TCP
        }}
        Address Ignore {{
            IPv4_address 127.0.0.1
            IPv4_address 10.9.0.1
            IPv4_address 10.9.0.2
        }}
    }}
}}
"""
# What conntrackd's own primary-backup.sh does.
TURNS = """#!/bin/sh
echo "$1" >>{place}/turns-{n}
ask() {{
    conntrackd -C {place}/conntrackd-{n}.conf "$1" >>{place}/turns-{n}.log 2>&1
}}
case $1 in
primary)
    ask -c
    ask -f
    ask -R
    ask -B
    ;;
backup)
    ask -t
    ask -n
    ;;
fault)
    ask -t
    ;;
esac
"""
VRRP = """
global_defs {{
    router_id gateway{n}
    script_user root
}}
vrrp_sync_group both {{
    group {{
        lan
        wan
    }}
    notify_master "{place}/turn-{n} primary"
    notify_backup "{place}/turn-{n} backup"
    notify_fault "{place}/turn-{n} fault"
}}
"""
INSTANCE = """
vrrp_instance {device} {{
    interface {device}
    state BACKUP
    virtual_router_id {number}
    priority {priority}
    advert_int 1
    virtual_ipaddress {{
        10.{number}.0.1/24
    }}
}}
"""


def topology():
    """A client and a server, each on a bridge with both gateways, and a line between these."""
    for name in (CLIENT, SERVER, *GATEWAYS):
        ip_batch(None, f"netns add {name}")
        ip_batch(name, "link set dev lo up")
    for number, (name, device) in enumerate(((CLIENT, "lan"), (SERVER, "wan")), 1):
        ip_batch(name, "link add br0 type bridge", f"addr add 10.{number}.0.2/24 dev br0", "link set dev br0 up")
        for n, gateway in enumerate(GATEWAYS, 1):
            ip_batch(
                name,
                f"link add g{n} type veth peer name {device} netns {gateway}",
                f"link set dev g{n} master br0 up",
            )
            ip_batch(gateway, f"addr add 10.{number}.0.1{n}/24 dev {device}", f"link set dev {device} up")
        ip_batch(name, f"route add default via 10.{number}.0.1")
    ip_batch(FIRST, f"link add sync type veth peer name sync netns {SECOND}")
    for n, gateway in enumerate(GATEWAYS, 1):
        ip_batch(gateway, f"addr add 10.9.0.{n}/24 dev sync", "link set dev sync up")
        write("/proc/sys/net/ipv4/ip_forward", 1, gateway)
        run("nft", "-f", "-", ns=gateway, text=RULES)
        write("/proc/sys/net/netfilter/nf_conntrack_tcp_loose", 0, gateway)


def place(name, text, **words):
    """A file of one gateway's daemons."""
    with open(f"{PLACE}/{name}", "w", encoding="ascii") as file:
        file.write(text.format(place=PLACE, **words))
    os.chmod(file.name, 0o755 if name.startswith("turn-") else 0o644)
    return file.name


def ask(n, what):
    return run("conntrackd", "-C", f"{PLACE}/conntrackd-{n}.conf", what, ns=GATEWAYS[n - 1], must=False)


def start_gateway(stack, n):
    """Gateway n's conntrackd and keepalived."""
    ns = GATEWAYS[n - 1]
    conf = place(f"conntrackd-{n}.conf", DAEMON, n=n, other=3 - n)
    stack.enter_context(daemon("conntrackd", "-C", conf, ns=ns, ready=lambda: ask(n, "-s")[0] == 0))
    place(f"turn-{n}", TURNS, n=n)
    text = VRRP + "".join(
        INSTANCE.replace("{device}", device).replace("{number}", str(number))
        for number, device in ((1, "lan"), (2, "wan"))
    )
    conf = place(f"keepalived-{n}.conf", text, n=n, priority=200 - 50 * n)
    files = [f"{option}{PLACE}/keepalived-{n}{option[1:]}" for option in ("-p", "-r", "-c")]
    stack.enter_context(
        daemon(
            "keepalived",
            "-n",
            "-l",
            "-P",
            "-f",
            conf,
            *files,
            ns=ns,
            ready=lambda: os.path.exists(f"{PLACE}/turns-{n}"),
        )
    )


def is_primary(n):
    """Whether a gateway has both addresses, and has done what a primary does."""
    text = run("ip", "-n", GATEWAYS[n - 1], "addr")[1]
    turns = read(f"{PLACE}/turns-{n}").split()
    return "10.1.0.1/24" in text and "10.2.0.1/24" in text and turns[-1:] == ["primary"]


def lines(n, port):
    """What the kernel of gateway n has of connections to a port."""
    return [
        line for line in read("/proc/net/nf_conntrack", GATEWAYS[n - 1]).splitlines() if f"dport={port} src=" in line
    ]


def transfer(one, other):
    """Ten pieces of a transfer, both ways."""
    return all(passes(one, other, os.urandom(20000)) for _ in range(10))


@contextlib.contextmanager
def under_way(one, other, what):
    """One end sends a piece every 0.2 seconds until the block ends; checks that the other end has got all of them."""
    over, sent, got = threading.Event(), [], b""

    def send():
        while not over.wait(0.2):
            # So little that all of it has room in the buffers.
            sent.append(os.urandom(100))
            one.sendall(sent[-1])

    sends = threading.Thread(target=send)
    sends.start()
    try:
        poll(lambda: len(sent) > 2, 10)
        yield
    finally:
        over.set()
        sends.join()
    want = b"".join(sent)
    with contextlib.suppress(OSError):
        while len(got) < len(want) and (piece := other.recv(65536)):
            got += piece
    check(sent and got == want, what, f"{len(got)} of {len(want)} bytes")


def fails_over(down, up, ends, what):
    """The lines of one gateway are cut, and the other gateway takes over, with the entries that it got."""
    with under_way(*ends, "of what was sent all the time until then, nothing is lost"):
        for device in ("lan", "wan"):
            run("ip", "-n", GATEWAYS[down - 1], "link", "set", "dev", device, "down")
        taken = poll(lambda: is_primary(up), 30, 0.2)
        check(taken, f"keepalived: {what}", run("ip", "-n", GATEWAYS[up - 1], "addr")[1])
        found = poll(lambda: lines(up, 443), 10)
        check(
            found and "dst=10.2.0.1" in found[0] and "[ASSURED]" in found[0],
            "it has committed the connection, with its NAT",
            found,
        )
    check(transfer(*ends), "the transfer goes on through it", read("/proc/net/nf_conntrack", GATEWAYS[up - 1]))


def scenario():
    topology()
    with contextlib.ExitStack() as stack:
        for n in (1, 2):
            start_gateway(stack, n)
        check(poll(lambda: is_primary(1), 30, 0.2), "keepalived: the gateway of higher priority has the addresses")
        server = stack.enter_context(listen(SERVER, "10.2.0.2", 443))
        client, other = (stack.enter_context(dial(CLIENT, "10.2.0.2", 443, 10)) for _ in range(2))
        (made, peer), (lost, _) = (server.accept() for _ in range(2))
        for end in (made, lost):
            stack.enter_context(end)
            end.settimeout(30 * SLOW)
        equal(peer[0], "10.2.0.1", "a transfer is NATed to the address that both gateways share")
        check(transfer(client, made) and passes(other, lost), "it goes through the first gateway")
        cached = poll(lambda: ask(2, "-e")[1].count("dport=443"), 15)
        check(cached, "the second gateway's external cache has it", ask(2, "-e")[1])
        equal(lines(2, 443), [], "and its kernel does not")

        fails_over(1, 2, (client, made), "when the first gateway's lines are cut, the second takes its addresses")
        port = other.getsockname()[1]
        run("conntrack", "-D", "-p", "tcp", "--sport", str(port), ns=SECOND)
        other.settimeout(3 * SLOW)
        lost.settimeout(3 * SLOW)
        check(not passes(other, lost), "a connection whose entry is deleted there does not go on")

        with under_way(client, made, "again nothing is lost of what was sent meanwhile"):
            for device in ("lan", "wan"):
                run("ip", "-n", FIRST, "link", "set", "dev", device, "up")
            back = poll(lambda: is_primary(1), 40, 0.2)
            check(back, "keepalived: the first gateway is back", read(f"{PLACE}/turns-1"))
        check(transfer(client, made), "the transfer goes on through it again", read("/proc/net/nf_conntrack", FIRST))
        diag(ask(1, "-s")[1])


main(scenario, "conntrackd", "keepalived")
