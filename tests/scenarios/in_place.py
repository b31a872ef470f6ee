# SPDX-License-Identifier: GPL-2.0
"""Built as nf_conntrack.ko the module replaces the kernel's: modprobe, its options, /sys/module, and back again."""

# limit: 180
# left out of CI on: debug

import os

from place import (
    NAME,
    PLACE,
    install,
    uninstall,
)
from policy import (
    CLIENT,
    ENDS,
    ROUTER,
    SERVER,
    Nft,
)

from lib import (
    RUST,
    SYSCTL,
    check,
    client_router_server,
    drop_namespaces,
    equal,
    loaded,
    main,
    make_socket,
    module,
    read,
    remove,
    run,
    skip,
    unload,
    write,
)

PARAMETERS = f"/sys/module/{NAME}/parameters"
# Rounded up to a page of buckets.
BUCKETS = 8192
# The reference's parameters, and what they hold after a load without options.
DEFAULTS = {"acct": "N", "enable_hooks": "N", "tstamp": "N"}
RULES = """
    chain forward {
        type filter hook forward priority filter;
        ct state established counter
    }
"""


def lsmod():
    """name -> the modules that use it."""
    return {row.split()[0]: row.split()[3].rstrip(",").split(",") for row in read("/proc/modules").splitlines()}


def exchange():
    """A question and its answer through the router; returns whether it came back."""
    near, far = ENDS["IPv4"]
    with make_socket(SERVER, far, 53) as server, make_socket(CLIENT, near, 5300) as client:
        client.sendto(b"question", (far, 53))
        server.sendto(b"answer", server.recvfrom(100)[1])
        return client.recv(100) == b"answer"


def entries():
    return [line for line in read("/proc/net/nf_conntrack", ROUTER).splitlines() if "dport=53" in line]


def stands():
    """The module came with what needs it, by nf_conntrack's name and with its options."""
    equal(run("modinfo", "-F", "filename", NAME)[1].strip(), f"{PLACE}/{NAME}.ko", "modprobe finds it in the other's place")
    for consumer in ("nft_ct", "nf_conntrack_netlink", "xt_conntrack", "nf_nat"):
        check(module(consumer), f"{consumer} loads")
    check(os.path.exists("/proc/rust_ct"), "what it brought along is this module")
    check({"nft_ct", "nf_nat"} <= set(lsmod().get(NAME, ())), f"/proc/modules names {NAME}, and who uses it", lsmod().get(NAME))
    check("rust_ct" not in lsmod(), "and no other tracker")
    equal(read(f"{PARAMETERS}/hashsize").strip(), str(BUCKETS), "its options in modprobe.d hold")
    equal({name: read(f"{PARAMETERS}/{name}").strip() for name in DEFAULTS}, DEFAULTS, "other parameters begin as the other's")
    write(f"{PARAMETERS}/hashsize", 2 * BUCKETS)
    equal(read(f"{SYSCTL}/nf_conntrack_buckets").strip(), str(2 * BUCKETS), "hashsize in /sys/module is written, as kube-proxy does")
    check(os.path.exists(f"{PARAMETERS}/expect_hashsize"), "expect_hashsize is there")
    if os.path.exists("/sys/kernel/btf/vmlinux"):
        check(os.path.exists(f"/sys/kernel/btf/{NAME}"), "BPF programs find it by its BTF")


def tracks():
    """As the other, it tracks where a rule asks."""
    client_router_server()
    check(exchange(), "packets go through without a rule")
    equal(entries(), [], "and are not tracked")
    rules = Nft(ROUTER, RULES)
    check(exchange(), "they go through with a rule that asks for their state")
    equal(len(entries()), 1, "and are tracked")
    status, text = run("conntrack", "-L", ns=ROUTER)
    check(not status and "dport=53" in text, "conntrack lists them", text)
    rules.delete()
    drop_namespaces()


def scenario():
    file = os.environ.get("IN_PLACE_KO")
    if not RUST or not file:
        skip("the module stands in nf_conntrack's place", "the modules of this kernel are where nothing can be added" if RUST else "this is nf_conntrack")
        return
    unload()
    try:
        install(file, f"options {NAME} hashsize={BUCKETS}", os.environ.get("INDICES"))
        stands()
        tracks()
        status, text = remove(NAME, must=False)
        check(not status, "it is unloaded, with all that uses it", text)
    finally:
        drop_namespaces()
        if loaded(NAME):
            remove(NAME, must=False)
        uninstall()
    check(module("nft_ct") and loaded(NAME), "taken away, the kernel's own is back")
    check(not os.path.exists("/proc/rust_ct"), "and nothing of this one")
    remove(NAME)


main(scenario)
