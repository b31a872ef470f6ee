# SPDX-License-Identifier: GPL-2.0
"""FTP through a router that lets in only NEW to port 21, RELATED and ESTABLISHED.

A real server with real clients, active and passive, over both families, the helper attached in each
way; and lines that a hostile server or client could send.
"""

# limit: 420
# left out of CI on: debug

import ftplib
import os
import shutil
import socket
import struct

from policy import (
    CLIENT,
    ENDS,
    ROUTER,
    SERVER,
    Nft,
    Stream,
    check_expected,
    expectations,
    expected,
    missing,
    one_cpu,
    pair,
)

from lib import (
    FULL,
    RUST,
    SLOW,
    SYSCTL,
    Router,
    check,
    client_router_server,
    drop_namespaces,
    equal,
    find,
    grown,
    inside,
    load,
    main,
    make_socket,
    poll,
    program,
    read,
    run,
    shown,
    skip,
    some,
    write,
)

HOME, SERVED = "/tmp/rct-ftp", "/tmp/rct-ftp/pub"
CONFIG = f"""
listen=NO
listen_ipv6=YES
background=NO
anonymous_enable=YES
no_anon_password=YES
anon_root={HOME}
local_enable=NO
write_enable=YES
anon_upload_enable=YES
anon_umask=022
connect_from_port_20=YES
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
secure_chroot_dir=/tmp/rct-empty
connect_timeout=5
accept_timeout=10
"""

# The object, the rule that attaches the helper, and the name of the way.
OBJECT = ('ct helper ours { type "ftp" protocol tcp; }', 'tcp dport 21 ct helper set "ours"')
POLICY = """
    {0}
    chain mangle {{
        type filter hook prerouting priority mangle;
        {1}
        tcp dport 21 ct state new ct mark set 0x21
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        ct state established counter accept comment "established"
        ct state related ct mark 0x21 counter accept comment "data"
        ct state related counter accept comment "related"
        tcp dport 21 ct state new counter accept comment "control"
        counter drop comment "others"
    }}
"""

CURL = {
    "PASV": ["--disable-epsv"],
    "EPSV": [],
    "PORT": ["--ftp-port", "-", "--disable-eprt"],
    "EPRT": ["--ftp-port", "-"],
}


def url(away):
    return f"ftp://[{away}]" if ":" in away else f"ftp://{away}"


def set_up():
    """The server's files and its configuration."""
    for path in (HOME, SERVED, "/tmp/rct-empty", "/tmp/rct-got"):
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
    shutil.chown(SERVED, "ftp")
    with open(f"{HOME}/file", "wb") as file:
        file.write(os.urandom(50000))
    with open("/tmp/rct-vsftpd.conf", "w", encoding="ascii") as file:
        file.write(CONFIG)
    os.chown("/tmp/rct-vsftpd.conf", 0, 0)


def same(one, other):
    with open(one, "rb") as a, open(other, "rb") as b:
        return a.read() == b.read()


def accepted(before, rules, what, number=1):
    """Checks what was counted since: NEW, RELATED and ESTABLISHED; a SYN may come again on a slow machine."""
    after = grown(before, rules.packets())
    good = set(after) == {"control", "data", "established"} and after["data"] >= number
    check(good, what, after)


def curl(kind, mode, rules, way):
    """One file down; its data connection is RELATED and nothing is dropped."""
    what = f"{way}, {kind}, {mode}"
    before = rules.packets()
    got = "/tmp/rct-got/file"
    run("rm", "-f", got)
    status, text = run(
        "curl", "-gsS", "-m", str(int(30 * SLOW)), *CURL[mode], "-o", got, f"{url(ENDS[kind][1])}/file",
        ns=CLIENT, must=False,
    )  # fmt: skip
    check(not status and same(f"{HOME}/file", got), f"{what}: curl gets the file", text)
    accepted(before, rules, f"{what}: one connection is NEW, one RELATED with the mark of the first")


def lftp(kind, passive, rules, way):
    """A list, a file down and one up, each over a connection of its own."""
    what = f"{way}, {kind}, lftp, {'passive' if passive else 'active'}"
    before = rules.packets()
    for name in ("/tmp/rct-got/lftp", f"{SERVED}/up"):
        run("rm", "-f", name)
    commands = [
        f"set net:timeout {int(20 * SLOW)}; set net:max-retries 1; set ftp:ssl-allow no; set ftp:sync-mode yes",
        f"set ftp:passive-mode {'on' if passive else 'off'}; set xfer:clobber on; set ftp:use-mdtm no",
        f"get file -o /tmp/rct-got/lftp; put {HOME}/file -o pub/up; bye",
    ]
    status, text = run("lftp", "-e", "; ".join(commands), url(ENDS[kind][1]), ns=CLIENT, must=False)
    check(not status and same(f"{HOME}/file", "/tmp/rct-got/lftp"), f"{what}: it gets the file", text)
    check(os.path.exists(f"{SERVED}/up") and same(f"{HOME}/file", f"{SERVED}/up"), f"{what}: it puts one", text)
    accepted(before, rules, f"{what}: two data connections are RELATED", 2)


def login(kind):
    """A control connection of a client that we can stop anywhere."""
    with inside(CLIENT):
        session = ftplib.FTP(timeout=20 * SLOW)
        session.connect(ENDS[kind][1])
    session.login()
    return session


def stream_to(address, port):
    """A connection from the client, or None where it does not come about."""
    one = make_socket(CLIENT, next(home for home, away in ENDS.values() if away == address), 0, socket.SOCK_STREAM)
    one.settimeout(5 * SLOW)
    try:
        one.connect((address, port))
        return one
    except OSError:
        one.close()
        return None


def between(kind, rules):
    """What the tracker shows between the command and the data connection, passive and active."""
    home, away = ENDS[kind]
    session = login(kind)
    _, port = session.makepasv()
    want = [expected(6, home, away, port, "ftp")]
    check_expected(ROUTER, want, f"{kind}: after PASV or EPSV the data connection is expected", 300)
    if RUST:
        ours, theirs = (read(path, ROUTER).split(" ", 1)[1] for path in ("/proc/rust_ct_expect", "/proc/net/nf_conntrack_expect"))
        equal(ours, theirs, f"{kind}: /proc/rust_ct_expect says the same")
    before = rules.packets()
    data = stream_to(away, port)
    if not check(data, f"{kind}: it comes about"):
        return
    check_expected(ROUTER, [], f"{kind}: and is expected no more")
    session.putcmd("LIST")
    check(b"file" in data.recv(1000), f"{kind}: the list of files comes over it")
    session.getmultiline()
    data.close()
    session.getmultiline()
    after = grown(before, rules.packets())
    check(set(after) == {"data", "established"}, f"{kind}: its first packet was RELATED", after)
    marks = [one.tail["mark"] for one in find(ROUTER, dst=away, dport=port)]
    equal(marks, ["33"], f"{kind}: its entry has the mark of the first connection")

    with inside(CLIENT):
        listener = session.makeport()
    port = listener.getsockname()[1]
    want = [expected(6, away, home, port, "ftp")]
    check_expected(ROUTER, want, f"{kind}: after PORT or EPRT the server's connection is expected", 300)
    session.putcmd("LIST")
    with listener, listener.accept()[0] as data:
        check(b"file" in data.recv(1000), f"{kind}: the list of files comes over it")
    check_expected(ROUTER, [], f"{kind}: and it is expected no more")
    marks = [one.tail["mark"] for one in find(ROUTER, dst=home, dport=port)]
    equal(marks, ["33"], f"{kind}: its entry has the mark of the first connection")
    session.close()


def master_dies(kind):
    """When the first connection goes, what it announced is expected no more."""
    home, away = ENDS[kind]
    session = login(kind)
    _, port = session.makepasv()
    check_expected(ROUTER, [expected(6, home, away, port, "ftp")], f"{kind}: a data connection is expected")
    client = session.sock.getsockname()[1]
    write(f"{SYSCTL}/nf_conntrack_tcp_timeout_close", 1, ROUTER)
    session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, then
    session.close()
    gone = poll(lambda: not find(ROUTER, sport=client, dport=21), 20)
    check(gone, f"{kind}: the first connection is forgotten")
    check(poll(lambda: not expectations(ROUTER), 20), f"{kind}: the expectation went with it", expectations(ROUTER))
    write(f"{SYSCTL}/nf_conntrack_tcp_timeout_close", 10, ROUTER)


def without_helper(kind, rules):
    """Without a helper the control connection works, the data connection does not."""
    home, away = ENDS[kind]
    session = login(kind)
    _, port = session.makepasv()
    check_expected(ROUTER, [], f"{kind}: without a helper nothing is expected")
    before = rules.packets()
    data = make_socket(CLIENT, home, 0, socket.SOCK_STREAM)
    data.settimeout(2)
    try:
        data.connect((away, port))
        came = True
    except TimeoutError:
        came = False
    data.close()
    check(not came, f"{kind}: without a helper the data connection does not come about")
    after = grown(before, rules.packets())
    check(after.get("others", 0) > 0 and "data" not in after, f"{kind}: its packets are dropped", after)
    session.close()


def by_object():
    """The helper attached by an nft object: every mode of every client."""
    rules = Nft(ROUTER, POLICY.format(*OBJECT))
    for kind in some(ENDS):
        for mode in CURL:
            if kind == "IPv4" or mode.startswith("E"):
                curl(kind, mode, rules, "nft")
        for passive in (True, False):
            lftp(kind, passive, rules, "nft")
        between(kind, rules)
        master_dies(kind)
    rules.delete()


def by_iptables():
    """The helper attached by iptables."""
    if missing("xt_CT"):
        skip("the helper attached by iptables", "xt_CT.ko does not load")
        return
    rules = Nft(ROUTER, POLICY.format("", ""))
    rule = ("PREROUTING", "-p", "tcp", "--dport", "21", "-j", "CT", "--helper", "ftp")
    ways = ("IPv4", "iptables", ("PASV", "PORT")), ("IPv6", "ip6tables", ("EPSV", "EPRT"))
    for kind, command, modes in some(ways):
        run(command, "-w", "-t", "raw", "-A", *rule, ns=ROUTER)
        for mode in modes:
            curl(kind, mode, rules, "iptables")
        run(command, "-w", "-t", "raw", "-D", *rule, ns=ROUTER)
    rules.delete()


def by_parameter():
    """The helper attached by the module's parameter, and by nothing else."""
    if not RUST:
        skip("the helper attached by a parameter", "nf_conntrack has no such parameter")
        return
    load("helpers=ftp:21")
    status, text = run("modprobe", "nf_conntrack_ftp", must=False)
    check(status and "busy" in text.lower(), "nf_conntrack_ftp.ko is refused beside our helper of its name", text)
    rules = Nft(ROUTER, POLICY.format("", ""))
    for kind, modes in some((("IPv4", ("PASV", "PORT")), ("IPv6", ("EPSV", "EPRT")))):
        for mode in modes:
            curl(kind, mode, rules, "helpers=ftp:21")
        if FULL:
            for passive in (True, False):
                lftp(kind, passive, rules, "helpers=ftp:21")
            between(kind, rules)
            master_dies(kind)
    rules.delete()


def programs():
    """Real programs."""
    set_up()
    client_router_server()
    load()
    with program(SERVER, "vsftpd", "/tmp/rct-vsftpd.conf"):
        ready = poll(lambda: ":21 " in run("ss", "-Hlnt", ns=SERVER)[1], 20, 0.3)
        if not check(ready, "the FTP server is there"):
            return
        rules = Nft(ROUTER, POLICY.format("", ""))
        for kind in some(ENDS):
            without_helper(kind, rules)
        rules.delete()
        by_object()
        by_iptables()
        by_parameter()


# Lines of an FTP session: what they are, which side says what, the port that is expected then (None: nothing), and
# whether nf_conntrack does the same. {b} is the server's address in commas, {a} the client's, {x} a third host's;
# {B}, {A}, {X} the same as they are.
BOTH, OURS = True, False
LINES4 = [
    ("227 as most servers say it", [("s", "227 Entering Passive Mode ({b},19,137)\r\n")], 5001, BOTH),
    ("227 without parentheses", [("s", "227 {b},19,137\r\n")], 5001, BOTH),
    ("227 with an equals sign", [("s", "227 Passive =({b},19,137)\r\n")], 5001, BOTH),
    ("227 with a full stop", [("s", "227 Entering Passive Mode ({b},19,137).\r\n")], 5001, BOTH),
    ("229", [("s", "229 Entering Extended Passive Mode (|||5001|)\r\n")], 5001, BOTH),
    ("229 with another delimiter", [("s", "229 Extended (!!!5001!)\r\n")], 5001, BOTH),
    ("PORT", [("c", "PORT {a},19,137\r\n")], 5001, BOTH),
    ("PORT in small letters", [("c", "port {a},19,137\r\n")], 5001, BOTH),
    ("EPRT", [("c", "EPRT |1|{A}|5001|\r\n")], 5001, BOTH),
    ("the second answer replaces the first", [("s", "227 ({b},19,137)\r\n"), ("s", "227 ({b},19,138)\r\n")], 5002, BOTH),
    ("a retransmission changes nothing", [("s", "227 ({b},19,137)\r\n"), ("again", "227 ({b},19,137)\r\n")], 5001, BOTH),
    ("a line after a long one", [("s", "150 " + "x" * 1200 + "\r\n"), ("s", "227 ({b},19,137)\r\n")], 5001, BOTH),
    ("227 with somebody else's address", [("s", "227 Entering Passive Mode ({x},19,137)\r\n")], None, BOTH),
    ("227 with the client's address", [("s", "227 Entering Passive Mode ({a},19,137)\r\n")], None, BOTH),
    ("PORT with somebody else's address", [("c", "PORT {x},19,137\r\n")], None, BOTH),
    ("EPRT with somebody else's address", [("c", "EPRT |1|{X}|5001|\r\n")], None, BOTH),
    ("EPRT of the other family", [("c", "EPRT |2|fd01::2|5001|\r\n")], None, BOTH),
    ("227 said by the client", [("c", "227 ({a},19,137)\r\n")], None, BOTH),
    ("PORT said by the server", [("s", "PORT {b},19,137\r\n")], None, BOTH),
    ("a number above 255", [("s", "227 ({b},300,137)\r\n")], None, BOTH),
    ("an address with a number above 255", [("s", "227 (10,2,0,258,19,137)\r\n")], None, BOTH),
    ("too few numbers", [("s", "227 (10,2,0,2,19)\r\n")], None, BOTH),
    ("no numbers", [("s", "227 Entering Passive Mode\r\n")], None, BOTH),
    ("a letter among the numbers", [("c", "PORT {a},19,1e7\r\n")], None, BOTH),
    ("rubbish behind the numbers", [("c", "PORT {a},19,137x\r\n")], None, BOTH),
    ("229 with a port above 65535", [("s", "229 (|||70537|)\r\n")], None, BOTH),
    ("229 with port 0", [("s", "229 (|||0|)\r\n")], None, BOTH),
    ("229 with mixed delimiters", [("s", "229 (||!5001|)\r\n")], None, BOTH),
    ("in the middle of a line", [("s", "220 say "), ("s", "227 ({b},19,137)\r\n")], None, BOTH),
    ("a line that only begins like it", [("s", "2277 ({b},19,137)\r\n")], None, BOTH),
    # nf_conntrack drops the packet with a line's beginning, looks only at the first line of a packet, and takes any port.
    ("227 in two segments", [("s", "227 Passive ({b},"), ("s", "19,137)\r\n")], 5001, OURS),
    ("227 byte by byte", [("s", one) for one in "227 (@,19,137)\r\n"], 5001, OURS),
    ("PORT in two segments", [("c", "PO"), ("c", "RT {a},19,137\r\n")], 5001, OURS),
    ("the second of two lines", [("s", "150 wait\r\n227 ({b},19,137)\r\n")], 5001, OURS),
    ("two commands at once", [("c", "TYPE I\r\nPORT {a},19,137\r\n")], 5001, OURS),
    ("two halves, the second repeated", [("s", "227 ({b},"), ("s", "19,137)\r\n"), ("again", "19,137)\r\n")], 5001, OURS),
    ("227 with a port below 1024", [("s", "227 ({b},3,255)\r\n")], None, OURS),
    ("PORT with a port below 1024", [("c", "PORT {a},0,25\r\n")], None, OURS),
    ("229 with a port below 1024", [("s", "229 (|||22|)\r\n")], None, OURS),
]  # fmt: skip
LINES6 = [
    ("229", [("s", "229 Entering Extended Passive Mode (|||5001|)\r\n")], 5001, BOTH),
    ("EPRT", [("c", "EPRT |2|{A}|5001|\r\n")], 5001, BOTH),
    ("EPRT in full", [("c", "EPRT |2|{F}|5001|\r\n")], 5001, BOTH),
    ("EPRT with somebody else's address", [("c", "EPRT |2|fd01::9|5001|\r\n")], None, BOTH),
    ("EPRT of the other family", [("c", "EPRT |1|10.1.0.2|5001|\r\n")], None, BOTH),
    ("EPRT with a zone", [("c", "EPRT |2|{A}%eth0|5001|\r\n")], None, BOTH),
    ("EPRT with a broken address", [("c", "EPRT |2|fd01:::2|5001|\r\n")], None, BOTH),
    ("227, which has no room for an address", [("s", "227 (10,2,0,2,19,137)\r\n")], None, BOTH),
    ("229 in two segments", [("s", "229 Extended (|||50"), ("s", "01|)\r\n")], 5001, OURS),
    ("EPRT with a port below 1024", [("c", "EPRT |2|{A}|80|\r\n")], None, OURS),
]


def said(text, src, dst):
    """A line with the addresses of this session."""
    third = "10.2.250.2"
    commas = {key: value.replace(".", ",") for key, value in (("a", src), ("b", dst), ("x", third))}
    return text.format(**commas, A=src, B=dst, X=third, F=shown(src))


def line(net, v6, what, steps, port):
    """One row: what is said in a new session, and what is expected then."""
    src, dst = ends = pair(v6)
    stream = Stream(net, ends)
    stream.say("s", "220 ready\r\n")
    stream.say("c", "USER me\r\n")
    last = "s"
    for side, text in steps:
        if text == "@":
            for one in dst.replace(".", ","):
                stream.say(side, one)
        elif side == "again":
            stream.again(last, said(text, src, dst))
        else:
            stream.say(side, said(text, src, dst))
            last = side
    found = [(one["src"], one["dst"], one["dport"]) for one in expectations(net.ns, src)]
    way = (shown(dst), shown(src)) if last == "c" else (shown(src), shown(dst))
    want = [(*way, str(port))] if port else []
    kind = "IPv6" if v6 else "IPv4"
    equal(found, want, f"{kind} line: {what}: {'expects ' + str(port) if port else 'is refused'}")
    return stream, ends


def lines():
    """Crafted sessions, line by line."""
    drop_namespaces()
    load(*(["helpers=ftp"] if RUST else []))  # our own helper; that in C was there before
    net = Router()
    rules = Nft(net.ns, POLICY.format(*OBJECT).replace("drop", "accept"))
    for v6, rows in ((False, LINES4), (True, LINES6)):
        for what, steps, port, both in rows:
            if both or RUST:
                line(net, v6, what, steps, port)
            else:
                skip(f"{'IPv6' if v6 else 'IPv4'} line: {what}", "nf_conntrack does otherwise")
    # What is expected is let in once, and nothing else is.
    _, (src, dst) = line(net, False, "227", [("s", "227 ({b},19,137)\r\n")], 5001)
    for who, sport, port, counted, what in (
        (src, 3001, 5002, "others", "a connection to another port is not RELATED"),
        ("10.1.250.2", 3001, 5001, "others", "nor is somebody else's to this port"),
        (src, 3002, 5001, "data", "the expected one is"),
        (src, 3003, 5001, "others", "a second one is not"),
    ):
        before = rules.packets()
        Stream(net, (who, dst), sport, port, begun=False).segment("c", "S")
        after = grown(before, rules.packets())
        after.pop("established", None)  # the marker of delivered()
        equal(after, {counted: 1}, what)
    rules.delete()


def scenario():
    one_cpu()
    if missing("nft_ct"):
        skip("FTP behind a policy in nft", "nft_ct.ko does not load")
        return
    programs()
    lines()


main(scenario)
