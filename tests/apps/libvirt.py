# SPDX-License-Identifier: GPL-2.0
"""libvirt's default network: a guest's interface on virbr0 gets an address, names, and the way out; none comes in."""

# limit: 300

import os

from apps import (
    PLACE,
    daemon,
    dial,
    entries,
    listen,
    main,
    neighbours,
    passes,
    reaches,
    seen_from,
)

from lib import (
    check,
    equal,
    ip_batch,
    poll,
    read,
    run,
)

GUEST = "rct-vm"


def virsh(*words, must=True):
    return run("virsh", "-q", "-c", "network:///system", *words, must=must)[1]


def libvirtd():
    """The daemon, which lets root in without polkit."""
    conf = f"{PLACE}/libvirtd.conf"
    with open(conf, "w", encoding="ascii") as file:
        file.write('auth_unix_rw = "none"\nauth_unix_ro = "none"\n')
    return daemon(
        "libvirtd", "--config", conf, ready=lambda: run("virsh", "-c", "network:///system", "uri", must=False)[0] == 0
    )


def lease():
    """What the network's dnsmasq gives the guest by DHCP: its address, and this machine's."""
    script = f"{PLACE}/dhcp"
    with open(script, "w", encoding="ascii") as file:
        file.write(
            '#!/bin/sh\n[ "$1" = bound ] || exit 0\nip addr add "$ip/24" dev eth0\n'
            f'ip route add default via "$router"\necho "$ip $router" >{PLACE}/lease\n'
        )
    os.chmod(script, 0o755)
    command = ("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-t", "10", "-x", "hostname:vm", "-s", script)
    status, text = run(*command, ns=GUEST, must=False)
    check(not status, "the guest gets an address by DHCP", text)
    return read(f"{PLACE}/lease").split()


def traffic(guest, machine):
    text = run("busybox", "nslookup", "vm", machine, ns=GUEST, must=False)[1]
    check(f"Address: {guest}" in text, "its name is known to the network's DNS", text)
    with listen("rct-out", "10.1.0.2", 80) as web, listen(GUEST, guest, 22):
        equal(seen_from(GUEST, web, "10.1.0.2", 80), "10.1.0.1", "who goes out is masqueraded")
        check(entries(f"src={guest}", "dst=10.1.0.1", "dport=80"), "and listed so", read("/proc/net/nf_conntrack"))
        check(not reaches("rct-out", guest, 22), "nobody outside calls the guest")
        check(reaches(None, guest, 22), "the machine itself does")


def restarts(guest):
    """An established connection of the guest outlives the daemon, and the rules that the next daemon makes anew."""
    with (
        listen("rct-out", "10.1.0.2", 443) as server,
        dial(GUEST, "10.1.0.2", 443, 10) as client,
        server.accept()[0] as made,
    ):
        check(passes(client, made), "a connection of the guest goes on while the daemon is down")
        with libvirtd():
            check(poll(lambda: "active" in virsh("net-list"), 10), "started again, it finds the network")
            check(passes(client, made), "and the connection goes on")
            with listen(GUEST, guest, 22):
                check(not reaches("rct-out", guest, 22), "nobody outside calls the guest then, either")
            virsh("net-destroy", "default")
            check(not os.path.exists("/sys/class/net/virbr0"), "taken away, the network is gone")


def scenario():
    neighbours("rct-out")
    with libvirtd():
        if "default" not in virsh("net-list", "--all"):
            virsh("net-define", "/usr/share/libvirt/networks/default.xml")
        virsh("net-start", "default")
        ip_batch(None, f"netns add {GUEST}", f"link add vnet0 type veth peer name eth0 netns {GUEST}")
        ip_batch(None, "link set dev vnet0 master virbr0", "link set dev vnet0 up")
        ip_batch(GUEST, "link set dev lo up", "link set dev eth0 up")
        guest, machine = lease()
        traffic(guest, machine)
    restarts(guest)


main(scenario, "libvirt-daemon", "libvirt-daemon-driver-network", "dnsmasq-base")
