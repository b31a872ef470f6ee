# SPDX-License-Identifier: GPL-2.0
"""conntrack: each of its commands on each of its tables, and a hundred thousand entries."""

# limit: 400

import os
import re
import time

from apps import (
    PLACE,
    dial,
    listen,
    main,
    neighbours,
    said,
    start,
    stop,
)

from lib import (
    SYSCTL,
    check,
    diag,
    equal,
    make_socket,
    module,
    poll,
    read,
    run,
    skip,
    statistics,
    write,
)
from netlink import (
    Queue,
    listen_for_ends,
)

FLOW = ("-p", "tcp", "-s", "192.0.2.1", "-d", "198.51.100.1", "--sport", "1000", "--dport", "80")
LINE = "src=192.0.2.1 dst=198.51.100.1 sport=1000 dport=80"
MANY = 100000
RULES = """
table inet t {
    chain input {
        type filter hook input priority filter
        ct state established counter
    }
}
"""
# As long as a rule asks for labels, connections have room for them.
LABELLED = """
table inet l {
    chain input {
        type filter hook input priority filter
        ct label 1 counter
    }
}
"""
NUMBER = 7
QUEUED = f"""
table inet q {{
    chain input {{
        type filter hook input priority filter
        ct state new udp dport 9 queue num {NUMBER}
    }}
}}
"""
HELPED = """
table inet f {
    ct helper ftp {
        type "ftp" protocol tcp
    }
    chain in {
        type filter hook input priority -1
        tcp dport 21 ct helper set "ftp"
    }
}
"""


def ct(*words, must=True):
    """What a command says, without what it adds on its standard error."""
    script = f'conntrack "$@" 2>{PLACE}/error || {{ cat {PLACE}/error; exit 1; }}'
    return run("sh", "-c", script, "conntrack", *words, must=must)[1]


def known(*words):
    return ct("-L", *words)


def unmarked():
    """What is listed, without what -o save does not write: time and mark."""
    return sorted(re.sub(r"^(\w+ +\d+) \d+|mark=\d+", r"\1", line) for line in known().splitlines())


def entries():
    """Create, add, get, update, list by everything, delete."""
    ct("-I", *FLOW, "--state", "ESTABLISHED", "-u", "ASSURED", "-t", "300", "-m", "5")
    text = ct("-G", *FLOW)
    check(LINE in text and "[ASSURED] mark=5" in text and "ESTABLISHED" in text, "-I makes an entry, -G shows it", text)
    check(
        run("conntrack", "-I", *FLOW, "--state", "ESTABLISHED", "-t", "300", must=False)[0], "a second -I of it fails"
    )
    check(not run("conntrack", "-A", *FLOW, "--state", "ESTABLISHED", "-t", "300", must=False)[0], "-A of it does not")
    ct("-U", *FLOW, "-m", "9", "-t", "1000")
    seconds = int(re.search(r"tcp +6 (\d+)", ct("-G", *FLOW))[1])
    check("mark=9" in ct("-G", *FLOW) and 900 < seconds <= 1000, "-U sets its mark and its time", ct("-G", *FLOW))
    four = ("-p", "udp", "-s", "192.0.2.1", "-d", "198.51.100.1", "--sport", "7", "--dport", "8")
    ct("-I", *four, "-t", "99", "--dst-nat", "10.3.0.9:99")
    check("src=10.3.0.9 dst=192.0.2.1 sport=99 dport=7" in known("-p", "udp"), "-I with --dst-nat", known("-p", "udp"))
    six = ("-p", "udp", "-s", "2001:db8::1", "-d", "2001:db8::2", "--sport", "7", "--dport", "8")
    ct("-I", *six, "-t", "99")
    ct(
        "-I",
        "-p",
        "icmp",
        "-s",
        "192.0.2.3",
        "-d",
        "198.51.100.1",
        "--icmp-type",
        "8",
        "--icmp-code",
        "0",
        "--icmp-id",
        "77",
        "-t",
        "99",
    )
    ct("-I", *four, "-t", "99", "-w", "3")
    for what, words, want in (
        ("protocol", ("-p", "icmp"), 1),
        ("source", ("-s", "192.0.2.1"), 3),
        ("a net", ("-s", "192.0.2.0/24"), 4),
        ("port", ("-p", "udp", "--dport", "8"), 3),
        ("mark", ("-m", "9"), 1),
        ("mark and mask", ("-m", "1/1"), 1),
        ("zone", ("-w", "3"), 1),
        ("state", ("-p", "tcp", "--state", "ESTABLISHED"), 1),
        ("status", ("-u", "ASSURED"), 1),
        ("NAT", ("--dst-nat",), 1),
        ("the answers' source", ("-r", "10.3.0.9"), 1),
        ("family", ("-f", "ipv6"), 1),
    ):
        equal(len(known(*words).splitlines()), want, f"-L by {what}")
    for form, want in (
        ("xml", "<flow>"),
        ("extended", "ipv4     2 tcp"),
        ("id", "id="),
        ("save", "-A "),
    ):
        check(want in known("-o", form), f"-L -o {form}", known("-o", form))
    saved = f"{PLACE}/saved"
    with open(saved, "w", encoding="ascii") as file:
        file.write(known("-o", "save"))
    before = unmarked()
    equal(int(ct("-C")), 5, "-C counts them")
    ct("-D", *FLOW)
    check(run("conntrack", "-G", *FLOW, must=False)[0], "-D deletes one")
    ct("-D", "-s", "192.0.2.0/24")
    equal(known("-f", "ipv4"), "", "-D deletes all of a net")
    ct("-F")
    ct("-R", saved)
    after = unmarked()
    equal(sorted(set(after) ^ set(before)), [], "-R brings back what -L -o save wrote")
    ct("-F")
    equal(int(ct("-C")), 0, "-F deletes all")


def extensions():
    """What connections have besides: NAT of either side, zones of one direction, labels, times."""
    os.makedirs("/etc/xtables", exist_ok=True)
    with open("/etc/xtables/connlabel.conf", "w", encoding="ascii") as file:
        file.write("1 one\n2 two\n")
    run("nft", "-f", "-", text=LABELLED)
    write(f"{SYSCTL}/nf_conntrack_timestamp", 1)
    for host, words in (
        (1, ("--dst-nat", "10.3.0.9:99")),
        (2, ("--src-nat", "10.3.0.7")),
        (3, ("--orig-zone", "5")),
        (4, ("--reply-zone", "6")),
        (5, ()),
        (6, ()),
    ):
        flow = ("-p", "udp", "-s", f"192.0.2.{host}", "-d", "198.51.100.1", "--sport", "7", "--dport", "8")
        ct("-I", *flow, "-t", "999", *words)
    for host, label in ((5, "one"), (6, "two")):
        ct("-U", "-p", "udp", "-s", f"192.0.2.{host}", "--label-add", label)
    for words, want in (
        ("--src-nat", "2"),
        ("--src-nat 10.3.0.7", "2"),
        ("--src-nat 10.3.0.9", ""),
        ("--dst-nat", "1"),
        ("--dst-nat 10.3.0.9", "1"),
        ("--dst-nat 10.3.0.7", ""),
        ("--any-nat", "12"),
        ("--any-nat 10.3.0.7", "2"),
        ("-q 10.3.0.7", "2"),
        ("--orig-zone 5", "3"),
        ("--reply-zone 6", "4"),
        ("-l one", "5"),
        ("-l two", "6"),
    ):
        text = known(*words.split())
        equal("".join(sorted(re.findall(r"src=192\.0\.2\.(\d) dst=198", text))), want, f"-L {words}")
    text = known("-o", "labels", "-s", "192.0.2.5")
    check("labels=one" in text, "-L -o labels", text)
    begun = re.search(r"\[start=(.*?)\]", known("-o", "ktimestamp", "-s", "192.0.2.6"))
    seconds = time.time() - time.mktime(time.strptime(begun[1])) if begun else None
    check(begun and -2 < seconds < 999, "-L -o ktimestamp", seconds)
    write(f"{SYSCTL}/nf_conntrack_timestamp", 0)
    ct("-F")
    run("nft", "flush", "ruleset")


def unconfirmed():
    """A connection whose first packet waits for a verdict is in no table, and there is no list of these any more."""
    run("nft", "-f", "-", text=QUEUED)
    queue = Queue(None, NUMBER)
    with make_socket("rct-out", "10.1.0.2", 900) as client:
        client.sendto(b"wait", ("10.1.0.1", 9))
        waits = queue.take()
        check(int(ct("-C")) > len(known().splitlines()), "-C counts a connection whose first packet waits", known())
        equal((known("-p", "udp"), known("unconfirmed")), ("", ""), "neither -L nor -L unconfirmed lists it")
        queue.accept(waits)
        found = poll(lambda: known("-p", "udp", "-s", "10.1.0.2", "--sport", "900"), 10)
        check(found, "-L lists it once the packet has come through", known())
    queue.close()
    run("nft", "flush", "ruleset")
    ct("-F")


def dying():
    """What has ended is kept as long as a listener which asks for that has no room for its event."""
    equal(known("dying"), "", "-L dying has nothing")
    number = 200
    with listen_for_ends(None, room=4096, reliable=True):
        ct("-R", loadable(number))
        ct("-D", "-p", "udp", "-s", "192.0.0.0/16")
        equal(known("-p", "udp", "-s", "192.0.0.0/16"), "", "-L has none of what ended unheard")
        text = known("dying")
        kept = set(map(tuple_of, text.splitlines()))
        check(
            number // 2 < len(kept) == len(text.splitlines()) and all("src=192.0." in one for one in kept),
            "-L dying lists each whose end is not delivered",
            text,
        )
    check(poll(lambda: not known("dying"), 20, 0.2), "and nothing when the listener is gone", known("dying"))


def again():
    """An entry comes and goes."""
    ct("-I", *FLOW, "--state", "ESTABLISHED", "-t", "300")
    ct("-D", *FLOW)
    return True


def tells(*words):
    """`conntrack -E`, when it listens."""
    told = start("conntrack", "-E", *words)
    poll(
        lambda: any(
            row.split()[1] == "12" and int(row.split()[3], 16) for row in read("/proc/net/netlink").splitlines()[1:]
        ),
        10,
    )
    return told


def events():
    """Events come as they happen."""
    told = tells("-o", "timestamp,id", "-p", "tcp")
    ct("-I", *FLOW, "--state", "ESTABLISHED", "-u", "ASSURED", "-t", "300")
    ct("-U", *FLOW, "-m", "3")
    ct("-D", *FLOW)
    check(
        poll(lambda: all(word in said(told) for word in ("[NEW]", "[UPDATE]", "[DESTROY]", "mark=3")), 10),
        "-E tells new, update and destroy",
        said(told),
    )
    stop(told)
    only = tells("-e", "DESTROY", "-o", "xml")
    again()
    poll(lambda: "destroy" in said(only), 10, 0.2)
    stop(only)
    check(
        'type="destroy"' in said(only) and 'type="new"' not in said(only), "-E -e DESTROY tells that alone", said(only)
    )


def expectations():
    """The table of expectations, through a connection with a helper."""
    if not module("nf_conntrack_ftp"):
        skip("expectations", "this kernel does not have nf_conntrack_ftp")
        return
    run("nft", "-f", "-", text=HELPED)
    # Before the connection is made, as without a listener it has no events.
    told = tells("expect")
    with listen(None, "10.1.0.1", 21) as server, dial("rct-out", "10.1.0.1", 21) as client, server.accept()[0] as made:
        check("helper=ftp" in known("-p", "tcp", "--dport", "21"), "a helper is shown", known("-p", "tcp"))
        # It says nothing before the first event.
        poll(lambda: (ct("-F", "expect"), announce(client, made)) and "dport=40000" in said(told), 10, 0.2)
        stop(told)
        check("dport=40000" in said(told), "-E expect tells of one", said(told))
        check("dport=40000" in ct("-L", "expect"), "-L expect", ct("-L", "expect"))
        equal(int(ct("-C", "expect")), 1, "-C expect")
        ct("-F", "expect")
        equal(int(ct("-C", "expect")), 0, "-F expect")
        # Its -G and -D of this table refuse every option that could name an expectation.
        one = (
            "-p",
            "tcp",
            "--orig-src",
            "10.1.0.2",
            "--orig-dst",
            "10.1.0.1",
            "--tuple-src",
            "10.1.0.2",
            "--tuple-dst",
            "10.1.0.1",
        )
        one += ("--mask-src", "255.255.255.255", "--mask-dst", "255.255.255.255")
        one += ("--orig-port-src", str(client.getsockname()[1]), "--orig-port-dst", "21")
        one += (
            "--tuple-port-src",
            "0",
            "--tuple-port-dst",
            "40001",
            "--mask-port-src",
            "0",
            "--mask-port-dst",
            "65535",
        )
        ct("-I", "expect", "-t", "99", *one)
        text = ct("-L", "expect")
        check("master-src=10.1.0.2" in text and "helper=ftp" in text, "-I expect", text)
        ct("-F", "expect")
    stop(told)


def announce(client, made):
    """An answer to PASV."""
    for source, sink, line in (
        (made, client, b"220 ready"),
        (client, made, b"PASV"),
        (made, client, b"227 Entering Passive Mode (10,1,0,1,156,64)"),
    ):
        source.sendall(line + b"\r\n")
        sink.recv(100)


def statistic():
    text = ct("-S")
    equal(
        len(re.findall("^cpu=", text, re.MULTILINE)),
        len(read("/proc/net/stat/nf_conntrack").splitlines()) - 1,
        "-S has a line for each processor",
    )
    got = {
        name: sum(map(int, re.findall(rf"\b{name}=(\d+)", text)))
        for name in ("found", "invalid", "insert_failed", "drop", "early_drop")
    }
    total = statistics()
    equal(got, {name: total[name] for name in got}, "and the sums are those of /proc")


def loadable(number):
    """A file for -R: half of its entries are from 192.0.0.0/24."""
    lines = f"{PLACE}/many"
    with open(lines, "w", encoding="ascii") as file:
        for n in range(number):
            net, host, port = n % 2, n // 250 % 200, n % 250 + 1
            file.write(
                f"-A -p udp -s 192.0.{net}.{host + 1} -d 198.51.100.{n // 50000 + 1} --sport {port}"
                f" --dport {n % 60000 + 1} -t 3000 -u SEEN_REPLY\n"
            )
    return lines


def many():
    """A hundred thousand: loaded, counted, listed, filtered, deleted by a filter, flushed."""
    if int(read(f"{SYSCTL}/nf_conntrack_max")) < 2 * MANY:
        write(f"{SYSCTL}/nf_conntrack_max", 2 * MANY)
    lines = loadable(MANY)
    for what, command, holds in (
        ("-R loads them", ("-R", lines), lambda text: True),
        ("-C counts them", ("-C",), lambda text: int(text) >= MANY),
        (
            "-L lists each once",
            ("-L", "-p", "udp"),
            lambda text: len(set(map(tuple_of, text.splitlines()))) == len(text.splitlines()) == MANY,
        ),
        (
            "-L -s finds half of them",
            ("-L", "-p", "udp", "-s", "192.0.0.0/24"),
            lambda text: len(text.splitlines()) == MANY // 2,
        ),
        (
            "-D -s deletes that half",
            ("-D", "-p", "udp", "-s", "192.0.0.0/24"),
            lambda text: len(text.splitlines()) == MANY // 2,
        ),
        ("-L has the rest", ("-L", "-p", "udp"), lambda text: len(text.splitlines()) == MANY // 2),
        ("-F deletes them", ("-F",), lambda text: int(ct("-C")) < 10),
    ):
        begun = time.monotonic()
        text = ct(*command)
        diag(f"{what}: {time.monotonic() - begun:.1f} s")
        check(holds(text), f"a hundred thousand: {what}", text[:300])


def tuple_of(line):
    """The original tuple of a listed line."""
    return line[line.index("src=") : line.index("src=", line.index("src=") + 4)]


def scenario():
    neighbours("rct-out")
    module("nf_conntrack")
    module("nf_nat")
    entries()
    extensions()
    events()
    statistic()
    unconfirmed()
    dying()
    run("nft", "-f", "-", text=RULES)
    expectations()
    run("nft", "flush", "ruleset")
    many()


main(scenario, "conntrack")
