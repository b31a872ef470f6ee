# SPDX-License-Identifier: GPL-2.0
"""iptstate: the connections that it shows, by state, address and totals, and those of an address alone."""

# limit: 200

from apps import (
    dial,
    listen,
    main,
    made_up,
    neighbours,
)

from lib import (
    check,
    equal,
    run,
)

RULES = "table inet t {\nchain input {\ntype filter hook input priority filter\nct state established counter\n}\n}\n"


def shown(*words):
    """What one look says, on a terminal, whose width it wants to know."""
    command = " ".join(("stty cols 120 rows 50; TERM=vt100 iptstate --single", *words))
    return run("script", "-q", "-c", command, "/dev/null")[1]


def scenario():
    neighbours("rct-out")
    run("nft", "-f", "-", text=RULES)
    with listen(None, "10.1.0.1", 80), dial("rct-out", "10.1.0.1", 80):
        text = shown()
        rows = [row.split() for row in text.splitlines() if "10.1.0.1:80 " in row]
        check(
            rows and rows[0][0].startswith("10.1.0.2:") and "ESTABLISHED" in rows[0],
            "it shows an established connection",
            text,
        )
        made_up(1)
        text = shown("-t")
        check("192.0.2.1:1" in text, "and one of UDP", text)
        check("total" in text.lower(), "it counts them", text)
        text = shown("-d", "192.0.2.2")
        equal(["10.1.0.1:80" in text, "192.0.2.2:2" in text], [False, True], "by an address it shows those of it alone")


main(scenario, "iptstate")
