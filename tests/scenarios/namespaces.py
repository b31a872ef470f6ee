# SPDX-License-Identifier: GPL-2.0
"""Each namespace sees its own connections only, and takes them along when it goes, under traffic too."""

# limit: 450
# left out of CI on: stock

import contextlib

from lib import (
    Port,
    check,
    count,
    equal,
    find,
    hosts,
    ip_batch,
    listing,
    load,
    mac_of,
    main,
    make_socket,
    module,
    poll,
    run,
    shrunk_slab_objects,
    skip,
    slab_objects,
    times,
    udp,
    unload,
)

ROUNDS = times(50, 6)
HOME = "rct-home"


def own_view():
    """The same tuple in two namespaces is two connections; a third namespace sees neither."""
    hosts("rct-x", "rct-y")
    run("ip", "netns", "add", "rct-z")
    one, two = make_socket("rct-x", "10.1.0.1", 1000), make_socket("rct-y", "10.1.0.2", 2000)
    one.sendto(b"ask", ("10.1.0.2", 2000))
    two.recv(10)
    for ns in ("rct-x", "rct-y"):
        equal([entry.orig["sport"] for entry in listing(ns)], ["1000"], f"{ns} lists the connection")
        equal(count(ns), 1, f"{ns} counts it")
    equal(listing("rct-z"), [], "a third namespace lists nothing")
    equal(count("rct-z"), 0, "and counts nothing")
    check(not find(None, sport=1000), "nor does the first namespace", listing())
    run("ip", "netns", "delete", "rct-y")
    equal(len(listing("rct-x")), 1, "one namespace's end leaves the other's connection")
    run("ip", "netns", "add", "rct-y")
    equal((listing("rct-y"), count("rct-y")), ([], 0), "a new namespace of the old name begins empty")


FLOWS = [udp("10.9.0.1", "10.9.0.2", 1000 + sport, 2000, b"x") for sport in range(200)]


def churn(turn):
    """A namespace comes, is filled with connections, and goes while packets still arrive."""
    name = f"rct-n{turn % 4}"
    run("ip", "netns", "add", name)
    ip_batch(
        HOME,
        f"link add tmp type veth peer name e0 netns {name}",
        "addr add 10.9.0.1/24 dev tmp",
        "link set dev tmp up",
    )
    ip_batch(name, "addr add 10.9.0.2/24 dev e0", "link set dev e0 up")
    port = Port(HOME, "tmp", mac_of(name, "e0"))
    sink = make_socket(name, "10.9.0.2", 2000)
    # A device that is up drops what is sent until the kernel has seen that its peer is, too.
    poll(lambda: run("ping", "-c1", "-W1", "10.9.0.2", ns=HOME, must=False)[0] == 0, 5, 0.01)
    port.send(*FLOWS)
    poll(lambda: count(name) >= len(FLOWS), 5)
    seen = count(name)
    sink.close()
    run("ip", "netns", "delete", name)
    with contextlib.suppress(OSError):  # the wire goes with the namespace, a little later
        port.send(*FLOWS)
    port.sock.close()
    run("ip", "-n", HOME, "link", "delete", "tmp", must=False)
    return seen


# All that a rule can have of the tracker.
RULES = """
    table inet rct {
        ct helper one { type "ftp" protocol tcp; }
        ct timeout two { protocol udp; l3proto ip; policy = { unreplied : 70 }; }
        ct expectation three { protocol udp; dport 9876; timeout 1m; size 3; l3proto ip; }
        chain raw { type filter hook output priority raw; udp dport 53 ct zone set 7; }
        chain rest {
            type filter hook output priority mangle;
            tcp dport 21 ct helper set "one"
            udp dport 2000 ct timeout set "two" ct expectation set "three" ct mark set 5
            ct state new counter
        }
    }
"""


def rules_go_last(is_first):
    """A namespace goes in which rules use the tracker, whose state in it is dropped before them: nf_tables, which
    was there first, drops what it has of a namespace after us. If it reads the state then, it meets poison."""
    what = "a namespace goes with its rules after the tracker's state"
    if not is_first or not module("nft_ct"):
        skip(what, "this kernel does not have nf_tables, or nft_ct")
        return
    for turn in range(3):
        hosts("rct-p", "rct-q")
        run("nft", "-f", "-", ns="rct-p", text=RULES)
        with make_socket("rct-p", "10.1.0.1", 1000) as one:
            one.sendto(b"ask", ("10.1.0.2", 2000))
        equal([entry.seconds > 40 for entry in find("rct-p", sport=1000)], [True], f"{what}: {turn}: they are in force")
        run("ip", "netns", "delete", "rct-p")
        run("ip", "netns", "delete", "rct-q")
    gone = poll(lambda: run("rmmod", "nft_ct", must=False)[0] == 0, 60, 0.5)
    check(gone, f"{what}: no rule is left")


def scenario():
    is_first = module("nf_tables")
    load()
    rules_go_last(is_first)
    own_view()
    run("ip", "netns", "add", HOME)
    before = shrunk_slab_objects() or 0
    seen = [churn(turn) for turn in range(ROUNDS)]
    check(min(seen) >= 200, f"each of {ROUNDS} namespaces tracked its flows before it went", seen)
    # What may stay are the neighbour's own pings, in pages that hold tens of connections.
    check(
        poll(lambda: (shrunk_slab_objects() or 0) < before + 100, 60, 0.5),
        "their connections went along",
        f"{sum(seen)} were made; the slab had {before} objects before and has {slab_objects()} now",
    )
    check(len(listing(HOME)) <= ROUNDS * 2, "the neighbour has no more than its own pings", listing(HOME))
    for name in ("rct-x", "rct-y", "rct-z", HOME):
        run("ip", "netns", "delete", name)
    equal(unload(must=False)[0], 0, "the tracker unloads, so no connection is left")


main(scenario)
