# SPDX-License-Identifier: GPL-2.0
"""With enable_hooks=0 the tracker looks at packets where a rule asks for it, and nowhere else."""

# limit: 90
# left out of CI on: debug

from lib import CT, check, equal, find, hosts, insert, main, poll, run, unload

HOME, AWAY = "rct-home", "rct-away"
TARGETS = {4: "10.1.0.2", 6: "fd01::2"}
# What a family has while it is tracked: at both entrances and at both exits.
HOOKS = 4


def hooks(ns):
    """How many hooks of the tracker a namespace has."""
    return run("nft", "list", "hooks", ns=ns, must=False)[1].count(f"[{CT}]")


def nft(*commands):
    run("nft", "; ".join(commands), ns=HOME)


def rule(family, table):
    """A rule that wants to know a packet's state, in a table of its own."""
    chain = f"{family} {table} in"
    nft(
        f"add table {family} {table}",
        f"add chain {chain} {{ type filter hook input priority 0; }}",
        f"add rule {chain} ct state new counter",
    )


def tracked(families, what):
    """Checks which families are tracked at home: by hooks, and by what a ping leaves; there is no host abroad."""
    wanted = HOOKS * len(families)
    # nft gives a rule's hooks back some time after the rule has gone.
    check(poll(lambda: hooks(HOME) == wanted, 10), f"{what}: {wanted} hooks", hooks(HOME))
    for family, target in TARGETS.items():
        run("ping", "-qc1", "-W5", target, ns=HOME)
        seen = len(find(HOME, dst=target))
        check(bool(seen) == (family in families), f"{what}: IPv{family} is {'' if family in families else 'not '}tracked", seen)
        run("conntrack", "-F", ns=HOME, must=False)
    equal(hooks(AWAY), 0, f"{what}: nothing in another namespace")


def scenario():
    hosts(HOME, AWAY)
    insert("enable_hooks=0")
    tracked((), "no rule")
    rule("ip", "a")
    tracked((4,), "a rule for IPv4")
    rule("ip", "b")
    nft("delete table ip a")
    tracked((4,), "a second one, and the first gone")
    nft("delete table ip b")
    tracked((), "both gone")
    run("ip6tables", "-A", "INPUT", "-m", "conntrack", "--ctstate", "NEW", ns=HOME)
    tracked((6,), "a rule of ip6tables")
    run("ip6tables", "-F", ns=HOME)
    tracked((), "and gone")
    rule("inet", "c")
    tracked((4, 6), "a rule for both")
    nft("delete table inet c")
    tracked((), "and gone again")
    unload()


main(scenario)
