# SPDX-License-Identifier: GPL-2.0
"""prometheus-node-exporter: its metrics of the tracker are what /proc says, by the time and by the processor."""

# limit: 200

import re

from apps import (
    daemon,
    fetch,
    listen,
    main,
    made_up,
    neighbours,
    reaches,
)

from lib import (
    Port,
    SYSCTL,
    check,
    echo,
    equal,
    mac_of,
    poll,
    read,
    run,
    statistics,
    udp,
    write,
)

# Metric -> column of /proc/net/stat/nf_conntrack.
COUNTERS = {
    "found": "found",
    "invalid": "invalid",
    "ignore": "ignore",
    "insert": "insert",
    "insert_failed": "insert_failed",
    "drop": "drop",
    "early_drop": "early_drop",
    "search_restart": "search_restart",
}
# What the test makes happen. The kernel does not count ignore any more, and search_restart is a race.
MOVED = ("found", "invalid", "insert", "insert_failed", "drop", "early_drop")
# Two connections to port 7 would have the same reply.
RULES = """
table inet t {
    chain input {
        type filter hook input priority filter
        ct state invalid counter
    }
    chain nat {
        type nat hook input priority srcnat
        udp dport 7 snat ip to 10.1.0.9:5555
    }
}
"""
COMMAND = (
    "prometheus-node-exporter",
    "--collector.disable-defaults",
    "--collector.conntrack",
    "--web.listen-address=127.0.0.1:9100",
)


def metrics():
    """name -> value of what it exports of the tracker."""
    text = fetch(None, "127.0.0.1", 9100, "/metrics")
    return {match[1]: float(match[2]) for match in re.finditer(r"^node_nf_conntrack_(\w+) (\S+)$", text, re.MULTILINE)}


def entries_now():
    return float(read(f"{SYSCTL}/nf_conntrack_count"))


def one_too_many(port):
    """The second connection finds its address and port taken, and is dropped."""
    port.send(*[udp("10.1.0.2", "10.1.0.1", 3000 + n, 7) for n in range(2)])


def table_full(port):
    """New connections take the place of others; in a small table nf_conntrack finds one for most of them."""
    write("/sys/module/nf_conntrack/parameters/hashsize", 512)
    limit = read(f"{SYSCTL}/nf_conntrack_max")
    write(f"{SYSCTL}/nf_conntrack_max", int(entries_now()))
    port.send(*[udp("10.1.0.2", "10.1.0.1", 2000 + n, 9) for n in range(50)])
    poll(lambda: statistics()["early_drop"], 5)
    write(f"{SYSCTL}/nf_conntrack_max", limit)


def scenario():
    neighbours("rct-out")
    run("nft", "-f", "-", text=RULES)
    with daemon(*COMMAND, ready=metrics), listen(None, "10.1.0.1", 80):
        reaches("rct-out", "10.1.0.1", 80)
        equal(
            metrics().get("entries_limit"), float(read(f"{SYSCTL}/nf_conntrack_max")), "the limit is nf_conntrack_max"
        )
        # Its own questions are connections, too.
        low, got, high = entries_now(), metrics().get("entries"), entries_now()
        check(low <= got <= high, "it counts as many connections as there are", (low, got, high))
        for port in range(1, 51):
            made_up(port)
        low, got, high = entries_now(), metrics().get("entries"), entries_now()
        check(50 < low <= got <= high, "and fifty more", (low, got, high))
        # An unsolicited answer is INVALID.
        port = Port("rct-out", "up", mac_of(None, "rct-out"))
        port.send(*[echo("10.1.0.2", "10.1.0.1", 77, n, reply=True) for n in range(5)])
        check(poll(lambda: metrics().get("stat_invalid", 0) >= 5, 5), "five invalid packets are counted", metrics())
        one_too_many(port)
        table_full(port)
        moved = poll(lambda: all(metrics().get(f"stat_{name}") for name in MOVED), 10)
        check(moved, f"none of these is zero: {', '.join(MOVED)}", metrics())
        total, got = statistics(), metrics()
        for metric, column in COUNTERS.items():
            equal(got.get(f"stat_{metric}"), float(total[column]), f"{metric} is the sum over all processors")


main(scenario, "prometheus-node-exporter")
