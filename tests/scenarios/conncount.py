# SPDX-License-Identifier: GPL-2.0
"""Rules that count connections (nft `ct count`, xt_connlimit): what is over the limit is refused, what ends makes room."""

# limit: 240
# left out of CI on: debug

import contextlib
import errno
import socket
import time

from policy import (
    CLIENT,
    ENDS,
    ROUTER,
    SERVER,
    Nft,
    Xtables,
    missing,
    set_up_stacks,
)

from lib import (
    SYSCTL,
    check,
    client_router_server,
    diag,
    drop_namespaces,
    equal,
    find,
    ip_batch,
    main,
    make_socket,
    poll,
    program,
    read,
    remove,
    run,
    skip,
    some,
    times,
    write,
)

LIMIT = 3
PORT = 80
# Another address of the client's.
SECOND = {"IPv4": "10.1.0.3", "IPv6": "fd01::3"}

NFT_ALL = f"""
    chain forward {{
        type filter hook forward priority filter;
        tcp dport {PORT} ct state new ct count over {LIMIT} counter reject with tcp reset comment "over"
    }}
"""
NFT_EACH = f"""
    set each4 {{ type ipv4_addr; flags dynamic; }}
    set each6 {{ type ipv6_addr; flags dynamic; }}
    chain forward {{
        type filter hook forward priority filter;
        tcp dport {PORT} ct state new add @each4 {{ ip saddr ct count over {LIMIT} }} counter reject with tcp reset comment "over"
        tcp dport {PORT} ct state new add @each6 {{ ip6 saddr ct count over {LIMIT} }} counter reject with tcp reset comment "over"
    }}
"""


def xt_rules(mask4, mask6):
    """The same by xt_connlimit, for all together or for each address."""
    rule = (
        f"-A FORWARD -p tcp --dport {PORT} -m conntrack --ctstate NEW -m connlimit --connlimit-above {LIMIT} "
        "--connlimit-mask {} --connlimit-saddr -m comment --comment over -j REJECT --reject-with tcp-reset"
    )
    return Xtables(ROUTER, {"filter": {4: [rule.format(mask4)], 6: [rule.format(mask6)]}})


class Callers:
    """Connections of the client's to the server, which stay open."""

    def __init__(self, kind, source=None):
        self.source, self.target = source or ENDS[kind][0], ENDS[kind][1]
        self.open = []

    def call(self):
        """Opens a connection; returns 0, or why it was refused."""
        stream = make_socket(CLIENT, self.source, 0, socket.SOCK_STREAM)
        error = stream.connect_ex((self.target, PORT))
        if error:
            stream.close()
        else:
            self.open.append(stream)
        return error

    def reset(self):
        """Resets the oldest connection; returns its port."""
        stream = self.open.pop(0)
        port = stream.getsockname()[1]
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        stream.close()
        return port

    def hang_up(self):
        """Resets the oldest connection, and waits until the router knows."""
        port = self.reset()
        gone = poll(lambda: [one.state for one in find(ROUTER, sport=port)] in (["CLOSE"], []), 10)
        # The count looks once a jiffy at most for what has ended (nf_conncount.c, __nf_conncount_add()).
        time.sleep(0.05)
        return gone

    def port(self):
        """The oldest connection's port."""
        return self.open[0].getsockname()[1]

    def close(self):
        while self.open:
            self.hang_up()


def deleted(port):
    """Deletes a connection's entry by ctnetlink; returns whether it is gone."""
    run("conntrack", "-D", "-p", "tcp", "--sport", str(port), ns=ROUTER, must=False)
    return not find(ROUTER, sport=port)


def limited(what, kind, rules, each):
    """The limit holds; a connection that ends makes room, and so does an entry that is deleted."""
    callers, others = Callers(kind), Callers(kind, SECOND[kind])
    what = f"{kind}, {what}"
    before = rules.packets().get("over", 0)
    equal([callers.call() for _ in range(LIMIT)], [0] * LIMIT, f"{what}: {LIMIT} connections are let in")
    equal(callers.call(), errno.ECONNREFUSED, f"{what}: one more is refused")
    check(rules.packets().get("over", 0) > before, f"{what}: the rule has counted it", rules.packets())
    want = 0 if each else errno.ECONNREFUSED
    equal(others.call(), want, f"{what}: {'another address is let in' if each else 'so is one of another address'}")
    check(callers.hang_up(), f"{what}: one ends")
    equal(callers.call(), 0, f"{what}: and makes room for one")
    equal(callers.call(), errno.ECONNREFUSED, f"{what}: for no more than one")
    check(deleted(callers.port()), f"{what}: an entry is deleted")
    equal(callers.call(), 0, f"{what}: and makes room, too")
    equal(callers.call(), errno.ECONNREFUSED, f"{what}: for no more than one")
    callers.close()
    others.close()


def expired(what, kind):
    """Entries that have run out make room: the count's own garbage collection finds them gone."""
    callers, what = Callers(kind), f"{kind}, {what}"
    usual = read(f"{SYSCTL}/nf_conntrack_tcp_timeout_established", ROUTER).strip()
    write(f"{SYSCTL}/nf_conntrack_tcp_timeout_established", 2, ROUTER)
    equal([callers.call() for _ in range(LIMIT + 1)], [0] * LIMIT + [errno.ECONNREFUSED], f"{what}: {LIMIT} connections, and no more")
    held = [stream.getsockname()[1] for stream in callers.open]
    # The kernel's worker may sleep for a minute; a look-up finds what has run out gone.
    check(poll(lambda: not any(find(ROUTER, sport=port) for port in held), 90), f"{what}: their entries run out")
    equal([callers.call() for _ in range(LIMIT + 1)], [0] * LIMIT + [errno.ECONNREFUSED], f"{what}: and make room for as many")
    write(f"{SYSCTL}/nf_conntrack_tcp_timeout_established", usual, ROUTER)
    callers.close()


def dying(what, kind):
    """Connections end, and all entries are deleted again and again, while others are counted."""
    callers, what, errors = Callers(kind), f"{kind}, {what}", []
    with program(ROUTER, "sh", "-c", "while :; do conntrack -F; conntrack -L; done"):
        for _ in range(times(400)):
            errors.append(callers.call())
            if len(callers.open) == LIMIT:
                callers.reset()
    number = errors.count(0)
    diag(f"{what}: {number} of {len(errors)} were let in")
    # An ACK whose entry is gone begins one, so that it may be what is refused.
    known = {0, errno.ECONNREFUSED, errno.ECONNRESET}
    check(set(errors) <= known, f"{what}: while entries go each is let in or refused", set(errors))
    check(number > LIMIT, f"{what}: and those that go make room", number)
    # The last of these programs may be about to delete what comes next.
    check(poll(lambda: not run("ip", "netns", "pids", ROUTER)[1], 10), f"{what}: nobody deletes entries any more")
    while callers.open:
        callers.reset()
    # Of what has ended the count takes no more than nine at a time.
    check(poll(lambda: not callers.call(), 5), f"{what}: when all are gone there is room")
    time.sleep(0.05)
    errors = [callers.call() for _ in range(LIMIT)]
    equal(errors, [0] * (LIMIT - 1) + [errno.ECONNREFUSED], f"{what}: for {LIMIT}, and no more")
    callers.close()


def goes_as_a_whole(what, kind, make):
    """A namespace goes with its rules, and with all that they count, whose ends are in other namespaces."""
    drop_namespaces()
    client_router_server()
    make()
    callers, what = Callers(kind), f"{kind}, {what}"
    with listener(kind):
        errors = [callers.call() for _ in range(LIMIT + 1)]
        equal(errors, [0] * LIMIT + [errno.ECONNREFUSED], f"{what}: {LIMIT} connections, and no more")
        states = [one.state for one in find(ROUTER, dport=PORT)]
        equal(states, ["ESTABLISHED"] * LIMIT, f"{what}: they are open when the router goes")
        run("ip", "netns", "delete", ROUTER)
        # It does not unload while a rule is there; and of what it has not given back its caches complain.
        status, output = remove("nf_conncount", must=False, seconds=10)
        check(not status, f"{what}: it is gone, with its rules and all that they counted", output)
    for stream in callers.open:
        stream.close()


def listener(kind):
    """The server, for more than are ever waiting."""
    made = make_socket(SERVER, ENDS[kind][1], PORT, socket.SOCK_STREAM)
    made.listen(4096)
    return made


def scenario():
    lacking = missing("nft_connlimit", "xt_connlimit", "nft_reject_inet", "ipt_REJECT", "ip6t_REJECT", "nft_ct")
    set_up_stacks()
    ip_batch(CLIENT, *(f"addr add {address}/{64 if ':' in address else 24} dev {ROUTER}" + (" nodad" if ":" in address else "") for address in SECOND.values()))
    ways = [
        ("nft, all together", "nft_connlimit", lambda: Nft(ROUTER, NFT_ALL), False),
        ("nft, each address", "nft_connlimit", lambda: Nft(ROUTER, NFT_EACH), True),
        ("xt_connlimit, all together", "xt_connlimit", lambda: xt_rules(0, 0), False),
        ("xt_connlimit, each address", "xt_connlimit", lambda: xt_rules(32, 128), True),
    ]
    with contextlib.ExitStack() as stack:
        for kind in ENDS:
            stack.enter_context(listener(kind))
        for what, module, make, each in some(ways):
            if module in lacking:
                skip(f"{what}: the limit holds", f"this kernel does not have {module}")
                continue
            rules = make()
            for kind in ENDS:
                limited(what, kind, rules, each)
                expired(what, kind)
                dying(what, kind)
            rules.delete() if isinstance(rules, Nft) else rules.flush()
            run("conntrack", "-F", ns=ROUTER)
    for what, module, make, _ in some(ways):
        for kind in ENDS if module not in lacking else ():
            goes_as_a_whole(what, kind, make)


main(scenario)
