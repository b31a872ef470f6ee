# SPDX-License-Identifier: GPL-2.0
"""The kernel's ctnetlink on the tracker, by the program `conntrack`: lists, changes, events."""

# limit: 240
# left out of CI on: debug

import errno
import re
import socket
import struct
import tempfile

from netlink import (
    CREATE,
    CT_DELETE,
    CT_GET,
    CT_NEW,
    CTA_EXPECT_FN,
    CTA_EXPECT_MASK,
    CTA_EXPECT_MASTER,
    CTA_EXPECT_TIMEOUT,
    CTA_EXPECT_TUPLE,
    CTA_STATUS,
    CTA_TUPLE_MASTER,
    CTA_TUPLE_ORIG,
    CTNETLINK,
    CTNETLINK_EXP,
    EXCL,
    NAT_DONE,
    ask,
    attribute,
    dump,
    enter,
    listen_for_ends,
    messages,
    number32,
    tuple_of,
    tuple_to,
)
from policy import (
    Nft,
    Stream,
    Xtables,
    delivered,
    missing,
    one_cpu,
    pair,
)

from lib import (
    RUST,
    Router,
    check,
    count,
    echo,
    equal,
    find,
    listing,
    main,
    poll,
    program,
    run,
    shown,
    skip,
    some,
    statistics,
    tcp,
    times,
    udp,
    unload,
)

FTP = """
    ct helper ftp { type "ftp" protocol tcp; }
    chain helpers { type filter hook prerouting priority filter; tcp dport 21 ct helper set "ftp"; }
"""


def conntrack(net, *command):
    """Lines of the program `conntrack`, without its own remark."""
    text = run("conntrack", *command, ns=net.ns)[1]
    return [line.strip() for line in text.splitlines() if not line.startswith("conntrack v")]


def kept(net):
    """How many connections are kept that are not in the table any more."""
    return count(net.ns) - len(listing(net.ns))


def words(line):
    """What a line of `conntrack` says, in an order of its own and without what changes by itself."""
    return sorted(word for word in line.split() if not re.match(r"use=|\d+$", word))


class Events:
    """The events that `conntrack -E` shows from now on."""

    def __init__(self, net, *options):
        self.net, self.options = net, options

    def __enter__(self):
        self.file = tempfile.NamedTemporaryFile("w+", encoding="ascii")
        self.program = program(self.net.ns, "conntrack", "-E", *self.options, output=self.file)
        self.program.__enter__()
        # It listens when a flow of its own is shown.
        src, dst = pair(False)
        if "expect" not in self.options:
            poll(lambda: delivered(self.net, "a", udp(src, dst, 1, 1)) and conntrack(self.net, "-D", "-s", src) and self.lines(src), 20, 0.3)
        else:
            poll(lambda: "conntrack" in run("ss", "-f", "netlink", ns=self.net.ns, must=False)[1], 20, 0.3)
        return self

    def __exit__(self, *ended):
        self.program.__exit__(*ended)
        self.file.close()

    def lines(self, address):
        """Events about an address."""
        with open(self.file.name, encoding="ascii") as file:
            lines = [line.strip() for line in file if line.endswith("\n")]
        return [line for line in lines if re.search(rf"(src|dst)={re.escape(address)} ", line)]

    def summary(self, address, number):
        """What kinds of events came, with state and flags, once there are so many."""
        poll(lambda: len(self.lines(address)) >= number, 10)
        found = []
        for line in self.lines(address):
            kind, flags = line.split("]")[0].strip("[ "), re.findall(r"\[(UNREPLIED|ASSURED)\]", line)
            state = re.search(r"\b([A-Z_]{5,}) (?:src|\[)", line.split("]", 1)[1])
            found.append(" ".join([kind, *([state[1]] if state else []), *flags]))
        return found


def lists(net, v6):
    """What is listed is what /proc shows; one connection; how many; of one namespace only."""
    kind = "IPv6" if v6 else "IPv4"
    family = ["-f", "ipv6" if v6 else "ipv4"]
    src, dst = pair(v6)
    delivered(net, "a", udp(src, dst, 1000, 53), echo(src, dst, 7))
    delivered(net, "b", udp(dst, src, 53, 1000))
    Stream(net, (src, dst), 2000, 80)
    lines = conntrack(net, "-L", *family)
    own = [line for line in lines if f"src={src} " in line]
    equal(len(own), 3, f"{kind}: conntrack -L lists a UDP, a TCP and an ICMP connection")
    proc = [one for one in listing(net.ns) if one.orig.get("src") == shown(src)]
    flags = lambda text: sorted(re.findall(r"ASSURED|UNREPLIED|ESTABLISHED|mark=\d+", text))  # noqa: E731
    equal(
        sorted((line.split()[0], flags(line)) for line in own),
        sorted((one.l4, flags(one.line)) for one in proc),
        f"{kind}: with states, flags and marks as /proc shows them",
    )
    one = conntrack(net, "-G", "-p", "udp", "-s", src, "-d", dst, "--sport", "1000", "--dport", "53")
    equal([words(line) for line in one], [words(line) for line in own if line.startswith("udp")], f"{kind}: -G finds one")
    equal(int(conntrack(net, "-C")[0]), count(net.ns), f"{kind}: -C counts as /proc does")
    before = statistics(net.ns)
    made = ["-p", "tcp", "-s", dst, "-d", src, "--sport", "5", "--dport", "6"]
    conntrack(net, "-I", *made, "--state", "ESTABLISHED", "-t", "600", "-u", "SEEN_REPLY,ASSURED", "-m", "9")
    entries = find(net.ns, src=dst, dst=src, sport=5)
    check(
        len(entries) == 1 and entries[0].state == "ESTABLISHED" and "ASSURED" in entries[0].flags
        and entries[0].tail["mark"] == "9" and 500 < entries[0].seconds <= 600,
        f"{kind}: -I makes one",
        [entry.line for entry in entries],
    )  # fmt: skip
    equal(statistics(net.ns)["insert"] - before["insert"], 1, f"{kind}: which is counted as inserted")
    status, text = run("conntrack", "-I", *made, "--state", "ESTABLISHED", "-t", "600", ns=net.ns, must=False)
    check(status and "exists" in text, f"{kind}: a second time it is there already", text)
    check(delivered(net, "b", tcp(dst, src, 5, 6, "A", seq=1, ack=1)), f"{kind}: a packet of it passes")
    equal(len(find(net.ns, src=dst, sport=5)), 1, f"{kind}: and belongs to it")
    conntrack(net, "-U", *made, "-m", "11", "-t", "300")
    entry = find(net.ns, src=dst, sport=5)[0]
    check(entry.tail["mark"] == "11" and 200 < entry.seconds <= 300, f"{kind}: -U changes mark and timeout", entry.line)
    conntrack(net, "-D", *made)
    equal(find(net.ns, src=dst, sport=5), [], f"{kind}: -D removes it")
    conntrack(net, "-D", "-s", src)
    equal(find(net.ns, src=src), [], f"{kind}: -D removes all of a source")


def events(net, v6):
    """A UDP and a TCP connection have their events, in order, and once."""
    kind = "IPv6" if v6 else "IPv4"
    with Events(net) as told:
        src, dst = pair(v6)
        for _ in range(2):
            delivered(net, "a", udp(src, dst, 1000, 53))
            delivered(net, "b", udp(dst, src, 53, 1000))
        conntrack(net, "-D", "-s", src)
        want = ["NEW UNREPLIED", "UPDATE", "DESTROY"]
        equal(told.summary(src, 3), want, f"{kind}: events of a UDP connection")
        src, dst = pair(v6)
        stream = Stream(net, (src, dst), 2000, 80)
        stream.say("c", "question")
        stream.segment("s", "FA")
        stream.segment("c", "FA")
        stream.segment("s", "A")
        conntrack(net, "-D", "-s", src)
        want = [
            "NEW SYN_SENT UNREPLIED",
            "UPDATE SYN_RECV",
            "UPDATE ESTABLISHED ASSURED",
            "UPDATE FIN_WAIT ASSURED",
            "UPDATE LAST_ACK ASSURED",
            "UPDATE TIME_WAIT ASSURED",
            "DESTROY ASSURED",
        ]
        got = [line.replace("DESTROY TIME_WAIT", "DESTROY") for line in told.summary(src, 7)]
        equal(got, want, f"{kind}: events of a TCP connection")
        src, dst = pair(v6)
        net.a.send(tcp(src, dst, 1, 1, "S", seq=1))
        net.settle()
        delivered(net, "b", tcp(dst, src, 1, 1, "RA", ack=2))
        equal(told.summary(src, 2)[-1].split()[0], "DESTROY", f"{kind}: a refused connection: its end is told")


def expected(net):
    """A connection's expectations are listed, have events, and are flushed."""
    rules = Nft(net.ns, FTP)
    src, dst = pair(False)
    with Events(net, "expect") as told:
        stream = Stream(net, (src, dst), 40000, 21)
        # The kernel's helper reads a line only behind another line.
        stream.say("s", "220 there\r\n")
        stream.say("c", "USER me\r\n")
        stream.say("c", f"PORT {src.replace('.', ',')},20,1\r\n")
        lines = conntrack(net, "-L", "expect")
        check(any("dport=5121" in line and f"dst={src}" in line for line in lines), "an expectation is listed", lines)
        conntrack(net, "-F", "expect")
        equal([line for line in conntrack(net, "-L", "expect") if "dport" in line], [], "and flushed")
        equal([one.split()[0] for one in told.summary(src, 2)], ["NEW", "DESTROY"], "its events are told")
    entries = [line for line in conntrack(net, "-L", "-p", "tcp", "-s", src) if "helper=ftp" in line]
    equal(len(entries), 1, "its master is listed with the helper")
    rules.delete()


def masked(net):
    """CT --expevents: which connections, with one event, none or all, have events of their expectations."""
    if missing("xt_CT"):
        skip("CT --expevents", "xt_CT.ko does not load")
        return
    masks = {21: "--expevents new", 22: "--ctevents new", 23: ""}
    raw = [f"-A PREROUTING -p tcp --dport {port} -j CT --helper ftp {mask}" for port, mask in masks.items()]
    src, _ = ends = pair(False)
    with Events(net, "expect") as told:
        # Without a listener a rule's mask is forgotten (nf_ct_ecache_ext_add).
        rules = Xtables(net.ns, {"raw": {4: raw}}, (4,))
        for port in masks:
            stream = Stream(net, ends, 40000, port)
            stream.say("s", "220 there\r\n")
            stream.say("s", f"229 Extended (|||{5000 + port}|)\r\n")
            conntrack(net, "-F", "expect")
        poll(lambda: any("DESTROY" in line for line in told.lines(src)), 10)
        found = [(line.split()[0].strip("[]"), re.search(r"dport=(\d+)", line)[1]) for line in told.lines(src)]
    want = [("NEW", "5021"), ("NEW", "5023"), ("DESTROY", "5023")]
    equal(found, want, "CT --expevents: what is told of an expectation goes by its connection")
    rules.flush()


def masters(net):
    """Each connection has announced the next one, by what user space says: rust_ct allows eight above one."""
    (src, dst), others = pair(False), count(net.ns)
    done = []
    for port in range(7001, 7011):
        above = [tuple_to(CTA_TUPLE_MASTER, src, dst, socket.IPPROTO_UDP, port - 1, 53)] if port > 7001 else []
        done.append(enter(net.ns, src, dst, socket.IPPROTO_UDP, port, 53, *above))
    equal(done, [0] * 9 + [-errno.EMLINK if RUST else 0], "a line of masters: where it ends")
    before = count(net.ns)
    for port in range(7001, 7009):
        conntrack(net, "-D", "-p", "udp", "--sport", str(port))
    equal(count(net.ns), before, "masters that are over are kept by who follows")
    conntrack(net, "-D", "-p", "udp", "-s", src)
    check(poll(lambda: count(net.ns) <= others, 10), "with the last one all go", count(net.ns))


def named(net):
    """User space announces a connection, and what is to be called for it by a name that a module has registered."""
    lacking = missing("nf_nat")
    if lacking:
        skip("the function of an expectation", "nf_nat.ko does not load")
        return
    rules = Nft(net.ns, FTP)
    src, dst = pair(False)
    Stream(net, (src, dst), 40000, 21)

    def announce(name, port):
        tcp_tuple = lambda kind, *ends: tuple_to(kind, *ends[:2], socket.IPPROTO_TCP, *ends[2:])  # noqa: E731
        return ask(
            net.ns,
            CTNETLINK_EXP,
            CT_NEW,
            tcp_tuple(CTA_EXPECT_MASTER, src, dst, 40000, 21),
            tcp_tuple(CTA_EXPECT_TUPLE, src, dst, 0, port),
            tcp_tuple(CTA_EXPECT_MASK, "255.255.255.255", "255.255.255.255", 0, 0xFFFF),
            attribute(CTA_EXPECT_TIMEOUT, number32(300)),
            attribute(CTA_EXPECT_FN, name),
            family=socket.AF_INET,
            flags=CREATE | EXCL,
        )

    equal(announce(b"nobody's\0", 5001), -errno.EINVAL, "an expectation with a function that nobody has registered")
    equal(announce(b"nat-follow-master\0", 5002), 0, "an expectation with nf_nat's function")
    shown_names = [one.get(CTA_EXPECT_FN) for one in dump(net.ns, CTNETLINK_EXP, CT_GET)]
    equal(shown_names, [b"nat-follow-master\0"], "the function is listed by its name")
    check(delivered(net, "a", tcp(src, dst, 40001, 5002, "S", seq=1)), "the connection comes")
    entries = [one for one in dump(net.ns, CTNETLINK, CT_GET) if tuple_of(one[CTA_TUPLE_ORIG])[4] == 5002]
    status = [struct.unpack("!I", one[CTA_STATUS])[0] & NAT_DONE for one in entries]
    equal(status, [NAT_DONE], "the function is called for it: nf_nat has set it up, without a rule of NAT")
    equal(dump(net.ns, CTNETLINK_EXP, CT_GET), [], "and expected no more")
    rules.delete()


def flush(net):
    """Everything at once."""
    src, dst = pair(False)
    delivered(net, "a", *(udp(src, dst, port, 53) for port in range(2000, 2000 + times(400))))
    check(count(net.ns) >= times(400), "there are many", count(net.ns))
    conntrack(net, "-F")
    equal([one.line for one in listing(net.ns)], [], "conntrack -F removes them all")


def hard_of_hearing(net):
    """A socket that wants to hear of each connection's end, and has room for a few only."""
    return listen_for_ends(net.ns, room=4096, reliable=True)


def ends_heard(ears, want):
    """How many ends of connections a socket has heard of, once there are so many."""
    heard = 0
    while heard < want:
        try:
            heard += [what for what, _ in messages(ears.recv(65536))].count(CTNETLINK << 8 | CT_DELETE)
        except TimeoutError:
            break
        except OSError:  # ENOBUFS: an event was lost, and is sent again
            continue
    return heard


def reliable(net):
    """A reliable listener gets every DESTROY event, though they come faster than it reads."""
    number = times(400)
    with hard_of_hearing(net) as ears:
        src, dst = pair(False)
        delivered(net, "a", *(udp(src, dst, port, 53) for port in range(3000, 3000 + number)))
        conntrack(net, "-D", "-s", src)
        equal(find(net.ns, src=src), [], "many connections are removed at once")
        check(kept(net) > number // 2, f"of {number}, those are kept whose end nobody has heard of", kept(net))
        dying = conntrack(net, "-L", "dying")
        check(len([line for line in dying if f"src={src} " in line]) > number // 2, "conntrack -L dying shows them", len(dying))
        equal(ends_heard(ears, number), number, "each end is heard, once there is room")
        check(poll(lambda: kept(net) == 0, 10), "and then they are gone", kept(net))
        # Again, with a listener that does not read: the connections go when it goes.
        delivered(net, "a", *(udp(src, dst, port, 53) for port in range(3000, 3000 + number)))
        conntrack(net, "-D", "-s", src)
        check(kept(net) > number // 2, "again they are kept", kept(net))
    check(poll(lambda: kept(net) == 0, 20), "they go when the listener does", kept(net))


def end(net):
    """The tracker goes while DESTROY events cannot be delivered."""
    with hard_of_hearing(net):
        src, dst = pair(False)
        delivered(net, "a", *(udp(src, dst, port, 53) for port in range(4000, 4000 + times(200))))
        conntrack(net, "-D", "-s", src)
        check(kept(net) > times(200) // 2, "ends wait to be told", kept(net))
        status, text = unload(must=False)
    equal((status, text.strip()), (0, ""), "the tracker unloads meanwhile")


def ctnetlink():
    one_cpu()
    if missing("nf_conntrack_netlink"):
        skip("ctnetlink", "nf_conntrack_netlink.ko does not load")
        return
    net = Router()
    for v6 in some((False, True)):
        lists(net, v6)
        events(net, v6)
    expected(net)
    masked(net)
    masters(net)
    named(net)
    flush(net)
    reliable(net)
    end(net)


main(ctnetlink)
