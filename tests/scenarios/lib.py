# SPDX-License-Identifier: GPL-2.0
"""Common parts of the scenarios, and of what else runs a tracker in the guest.

The tracker under test is named by the environment: CT is rust_ct or nf_conntrack, RUST_CT_KO the
module's file, SLOW the factor by which this machine is slower than a stock kernel under TCG.
Checks are printed as TAP lines without numbers; run.py numbers them.
"""

import contextlib
import errno
import os
import re
import select
import signal
import socket
import struct
import subprocess
import time
import traceback

CT = os.environ.get("CT", "rust_ct")
RUST = CT == "rust_ct"
SLOW = float(os.environ.get("SLOW", "1"))
# CI, see run.py.
SHORT = bool(os.environ.get("SHORT"))
FULL = os.environ.get("FULL") == "1" or SLOW <= 1
# CI on the debug kernel: each kind of thing once.
BRIEF = os.environ.get("SHORT") == "debug" and not FULL
LISTING = "/proc/rust_ct" if RUST else "/proc/net/nf_conntrack"
PARAMETERS = f"/sys/module/{CT}/parameters"
SYSCTL = "/proc/sys/net/netfilter"

# ---------------------------------------------------------------------------------------------- TAP


def diag(*lines):
    """Prints diagnostics, one '#' line each; what is very long is cut."""
    for text in lines:
        rows = str(text).splitlines()
        for line in rows[:30]:
            print(f"# {line[:600]}", flush=True)
        if len(rows) > 30:
            print(f"# ... and {len(rows) - 30} lines more", flush=True)


def check(truth, what, why=""):
    """One check: `what` is what holds, `why` is shown where it does not."""
    print(f"{'ok' if truth else 'not ok'} - {what}", flush=True)
    if not truth and why != "":
        diag(why)
    return bool(truth)


def equal(got, want, what):
    """Checks that got == want and shows both where not."""
    return check(got == want, what, f"got:  {got!r}\nwant: {want!r}")


def succeeds(what, *command, ns=None):
    """Checks that a command succeeds; its output is shown if not."""
    status, output = run(*command, ns=ns, must=False)
    return check(status == 0, what, f"{' '.join(command)} failed: {output}")


def skip(what, why):
    """A check that does not apply to this tracker; never counted as passed."""
    print(f"ok - {what} # SKIP {why}", flush=True)


def main(scenario):
    """Runs the scenario; run.py takes a missing last line for a death on the way."""
    try:
        scenario()
    except Exception:
        check(False, "the scenario ran to its end", traceback.format_exc())
    print("# end", flush=True)


def times(number, brief=None):
    """How often something is repeated: a quarter of it on a slow kernel, unless FULL=1; half of it at most with SHORT,
    and as often as `brief` says in CI on the debug kernel."""
    if BRIEF and brief is not None:
        return brief
    if not FULL:
        return number // 4
    return number // 2 if SHORT else number


def some(options):
    """All of several ways to do the same; on a slow kernel one way alone, another each day, unless FULL=1."""
    options = list(options)
    today = int(time.time()) // 86400 % len(options)
    return options if FULL else options[today : today + 1]


def ends(values):
    """All of several values of one kind; in CI on a slow kernel the first and the last."""
    return (values[0], values[-1]) if BRIEF else values


def poll(question, seconds, pause=0.05):
    """Asks until the answer is true or the (scaled) time is over; returns the last answer."""
    deadline = time.monotonic() + seconds * SLOW
    while True:
        answer = question()
        if answer or time.monotonic() > deadline:
            return answer
        time.sleep(pause)


# ------------------------------------------------------------------------------------ commands, log


def run(*command, ns=None, must=True, text=None):
    """Runs a command, in a namespace if one is named; returns (status, output of both streams)."""
    with inside(ns):
        done = subprocess.run(
            command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    if must and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}")
    return done.returncode, done.stdout


def ip_batch(ns, *lines):
    """Several commands of ip, in one process."""
    command = ["ip", *(["-n", ns] if ns else []), "-batch", "-"]
    run(*command, text="".join(f"{line}\n" for line in lines))


# Keeps modprobe from putting nf_conntrack.ko under a consumer that rust_ct is to carry.
MODPROBE_OVERRIDE = "/etc/modprobe.d/rust_ct_scenarios.conf"


def loaded(name=CT):
    """Whether a module is in the kernel, and not built in."""
    return os.path.exists(f"/sys/module/{name}/refcnt")


def insert(*parameters, tracker=CT, must=True):
    """Loads the tracker just so; returns (status, what the loader said)."""
    allow_reference()
    if tracker == "nf_conntrack":
        return run("modprobe", "nf_conntrack", *parameters, must=must)
    write(MODPROBE_OVERRIDE, "install nf_conntrack /bin/true\n")
    run("modprobe", "-qa", "nf_defrag_ipv4", "nf_defrag_ipv6", must=False)
    return run("insmod", os.environ["RUST_CT_KO"], *parameters, must=must)


def allow_reference():
    with contextlib.suppress(FileNotFoundError):
        os.unlink(MODPROBE_OVERRIDE)


def load(*parameters, tracker=CT):
    """Loads the tracker with its hooks on in every namespace."""
    unload(tracker=tracker)
    insert("enable_hooks=1", *parameters, tracker=tracker)


def unload(must=True, tracker=CT, seconds=60):
    """Unloads the tracker and what uses it; returns (status, output)."""
    done = remove(tracker, must, seconds) if loaded(tracker) else (0, "")
    allow_reference()
    return done


def remove_once(name):
    holders = f"/sys/module/{name}/holders"
    for holder in os.listdir(holders) if os.path.isdir(holders) else ():
        # It may have gone as a user of another one.
        done = remove_once(holder) if loaded(holder) else (0, "")
        if done[0]:
            return done
    return run("rmmod", name, must=False)


def remove(name, must=True, seconds=60):
    """Removes a module and its users, users of users first; returns (status, output).

    What the kernel frees in its own time holds them for a while: rules, namespaces, the connections
    of an address that was masqueraded to.
    """
    deadline = time.monotonic() + seconds * SLOW
    status, output = remove_once(name)
    while status and time.monotonic() < deadline:
        time.sleep(0.1)
        status, output = remove_once(name)
    if status and must:
        raise RuntimeError(f"{name} does not unload: {output}")
    return status, output


def all_marks():
    """Keeps the kernel from dropping marks in its log for being many; its command line may have said so already."""
    with contextlib.suppress(OSError):
        write("/proc/sys/kernel/printk_devkmsg", "on")


def log_mark(what="scenario mark"):
    """Leaves a line in the kernel log to read from; returns it."""
    mark = f"{what} {time.monotonic_ns()}"
    with open("/dev/kmsg", "w", encoding="ascii") as log:
        log.write(mark + "\n")  # without its end the line waits for the next line
    return mark


def log_since(mark):
    """The kernel log's lines after a mark."""
    lines = run("dmesg")[1].splitlines()
    at = [i for i, line in enumerate(lines) if mark in line]
    if not at:
        raise RuntimeError(f"'{mark}' is not in the kernel log any more")
    return lines[at[-1] + 1 :]


def module(name):
    """Loads a module of the kernel; returns whether it has it."""
    return run("modprobe", "-q", name, must=False)[0] == 0


@contextlib.contextmanager
def program(ns, *command, output=subprocess.DEVNULL):
    """A program in the background, ended afterwards."""
    with inside(ns):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


# --------------------------------------------------------------------------------------- namespaces

CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def inside(ns):
    """Puts this (single-threaded) process into a network namespace for a while; None is home."""
    if ns is None:
        yield
        return
    with open("/proc/self/ns/net", "rb") as home, open(f"/run/netns/{ns}", "rb") as there:
        os.setns(there.fileno(), CLONE_NEWNET)
        try:
            yield
        finally:
            os.setns(home.fileno(), CLONE_NEWNET)


def read(path, ns=None):
    """The whole text of a file as seen from a namespace."""
    with inside(ns), open(path, encoding="ascii") as file:
        return file.read()


def write(path, text, ns=None):
    """Writes a proc or sys file as seen from a namespace."""
    with inside(ns), open(path, "w", encoding="ascii") as file:
        file.write(str(text))


def sysctl(name, value, ns):
    """Sets a conntrack sysctl where the tracker has it; returns whether it did."""
    try:
        write(f"{SYSCTL}/{name}", value, ns)
        return True
    except FileNotFoundError:
        return False


# ---------------------------------------------------------------------------------- what it tracked


class Entry:
    """One line of the listing (format: reference for /proc/net/nf_conntrack, ct_seq_show)."""

    def __init__(self, line):
        self.line = line.rstrip("\n")
        words = self.line.split()
        self.l3, self.l3num, self.l4, self.proto = words[0], int(words[1]), words[2], int(words[3])
        rest = words[4:]
        # A connection that a flow table has taken over shows no timeout.
        self.seconds = int(rest.pop(0)) if rest[0].isdigit() else None
        self.state = rest.pop(0) if rest[0].isupper() else None
        self.orig, self.reply, self.flags, self.tail = {}, {}, set(), {}
        side = self.orig
        for word in rest:
            if word.startswith("["):
                self.flags.add(word.strip("[]"))
                continue
            key, value = word.split("=", 1)
            if key == "src" and "src" in side:
                side = self.reply
            if key in ("mark", "secctx", "zone", "use", "delta-time"):
                self.tail[key] = value
            else:
                side[key] = value

    @property
    def key(self):
        """What tells a connection from all other connections of a namespace."""
        return (self.l3, self.proto) + tuple(sorted(self.orig.items()))


def listing(ns=None, path=None):
    """All connections of a namespace."""
    return [Entry(line) for line in read(path or LISTING, ns).splitlines()]


def shown(address):
    """An address as the listing writes it: IPv6 in full (%pI6)."""
    if family(address) == socket.AF_INET:
        return address
    digits = packed(address).hex()
    return ":".join(digits[at : at + 4] for at in range(0, 32, 4))


def find(ns, **want):
    """Connections of a namespace whose original tuple (or l4=, l3=, proto=) has these values."""
    want = {key: shown(value) if key in ("src", "dst") else value for key, value in want.items()}
    found = []
    for entry in listing(ns):
        have = dict(entry.orig, l3=entry.l3, l4=entry.l4, proto=entry.proto)
        if all(str(have.get(key)) == str(value) for key, value in want.items()):
            found.append(entry)
    return found


def statistics(ns=None, of="nf_conntrack"):
    """/proc/net/stat/nf_conntrack, or its like: entries of the namespace, the other columns added over CPUs."""
    rows = read(f"/proc/net/stat/{of}", ns).splitlines()
    names = rows[0].split()
    total = dict.fromkeys(names, 0)
    for row in rows[1:]:
        for name, value in zip(names, row.split()):
            total[name] = int(value, 16) if name == "entries" else total[name] + int(value, 16)
    return total


def named_counters(ns=None):
    """/proc/rust_ct_stat: name -> value."""
    return {name: int(value) for name, value in map(str.split, read("/proc/rust_ct_stat", ns).splitlines())}


def invalid_reasons(ns=None):
    """The invalid_<reason> counters of /proc/rust_ct_stat, the prefix taken off."""
    return {
        name.removeprefix("invalid_"): value
        for name, value in named_counters(ns).items()
        if name.startswith("invalid_")
    }


def grown(before, after):
    """The counters that grew, and by how much."""
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}


def count(ns=None):
    """How many connections the tracker holds for a namespace, unconfirmed ones included."""
    return statistics(ns)["entries"]


# Own slab names hold the module's name; a merged slab would be invisible, SLAB_TYPESAFE_BY_RCU forbids merging.
SLABS = ("rust_ct", "rust_ct_conn", "nf_conntrack") if RUST else ("nf_conntrack",)


def slab_objects():
    """Objects that the tracker's connection slab has pages for, or None where it has none."""
    for line in read("/proc/slabinfo").splitlines():
        words = line.split()
        if words[0] in SLABS:
            return int(words[2])
    return None


def shrunk_slab_objects():
    """The same once the slab has given its empty pages back, of which it keeps some for each processor and node."""
    for name in SLABS:
        if os.path.exists(f"/sys/kernel/slab/{name}"):
            write(f"/sys/kernel/slab/{name}/shrink", 1)
    return slab_objects()


# ------------------------------------------------------------------------------------------ packets


def ones_sum(data):
    """The Internet checksum (RFC 1071) of data, not yet complemented."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def checksum(data):
    return ~ones_sum(data) & 0xFFFF


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def packed(address):
    return socket.inet_pton(family(address), address)


def pseudo(src, dst, proto, length):
    """The pseudo header that TCP, UDP and ICMPv6 checksums begin with."""
    if family(src) == socket.AF_INET:
        return packed(src) + packed(dst) + struct.pack("!BBH", 0, proto, length)
    return packed(src) + packed(dst) + struct.pack("!II", length, proto)


def ip4(src, dst, proto, payload=b"", *, ident=1, flags=0, offset=0, ttl=64, ihl=5, version=4, length=None, options=b""):
    """An IPv4 packet; offset in bytes, flags 1 = more fragments, 2 = don't fragment."""
    length = 20 + len(options) + len(payload) if length is None else length
    frag = flags << 13 | offset // 8
    head = struct.pack("!BBHHHBBH", version << 4 | (ihl + len(options) // 4), 0, length, ident, frag, ttl, proto, 0)
    head += packed(src) + packed(dst) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ip6(src, dst, proto, payload=b"", *, hops=64, length=None):
    """An IPv6 packet; proto is the first next-header value."""
    length = len(payload) if length is None else length
    return struct.pack("!IHBB", 6 << 28, length & 0xFFFF, proto, hops) + packed(src) + packed(dst) + payload


def ip(src, dst, proto, payload=b"", *, ttl=64):
    """A plain packet of the family that src belongs to."""
    if family(src) == socket.AF_INET:
        return ip4(src, dst, proto, payload, ttl=ttl)
    return ip6(src, dst, proto, payload, hops=ttl)


def udp_segment(src, dst, sport, dport, data=b"", *, length=None, check_sum=None):
    length = 8 + len(data) if length is None else length
    head = struct.pack("!HHHH", sport, dport, length & 0xFFFF, 0)
    if check_sum is None:
        check_sum = checksum(pseudo(src, dst, 17, 8 + len(data)) + head + data) or 0xFFFF
    return head[:6] + struct.pack("!H", check_sum) + data


def udp(src, dst, sport, dport, data=b"", *, ttl=64, **fields):
    return ip(src, dst, 17, udp_segment(src, dst, sport, dport, data, **fields), ttl=ttl)


FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32, "E": 64, "C": 128}


def tcp_segment(src, dst, sport, dport, flags, *, seq=0, ack=0, window=8192, data=b"", doff=5, options=b"", check_sum=None):
    bits = sum(FLAGS[letter] for letter in flags)
    doff += len(options) // 4
    head = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, doff << 4, bits, window, 0, 0)
    head += options
    if check_sum is None:
        check_sum = checksum(pseudo(src, dst, 6, len(head) + len(data)) + head + data)
    return head[:16] + struct.pack("!H", check_sum) + head[18:] + data


def tcp(src, dst, sport, dport, flags, *, ttl=64, **fields):
    return ip(src, dst, 6, tcp_segment(src, dst, sport, dport, flags, **fields), ttl=ttl)


def icmp(src, dst, kind, code=0, rest=b"\0\0\0\0", data=b"", *, ttl=64, check_sum=None):
    """ICMP or ICMPv6 by the family; rest is the second word (id and sequence, or MTU, or unused)."""
    proto = 1 if family(src) == socket.AF_INET else 58
    body = struct.pack("!BBH", kind, code, 0) + rest + data
    if check_sum is None:
        check_sum = checksum((b"" if proto == 1 else pseudo(src, dst, 58, len(body))) + body)
    return ip(src, dst, proto, body[:2] + struct.pack("!H", check_sum) + body[4:], ttl=ttl)


def echo(src, dst, ident, sequence=1, *, reply=False, data=b"ping"):
    request, answer = (8, 0) if family(src) == socket.AF_INET else (128, 129)
    return icmp(src, dst, answer if reply else request, 0, struct.pack("!HH", ident, sequence), data)


def fragments4(packet, size, ident):
    """Cuts an IPv4 packet into fragments with size bytes of payload each (a multiple of 8)."""
    src, dst = (socket.inet_ntop(socket.AF_INET, packet[i : i + 4]) for i in (12, 16))
    body = packet[20:]
    return [
        ip4(src, dst, packet[9], body[at : at + size], ident=ident, offset=at, flags=int(at + size < len(body)))
        for at in range(0, len(body), size)
    ]


def fragments6(packet, size, ident):
    """Cuts an IPv6 packet without extension headers into fragments (RFC 8200 section 4.5)."""
    src, dst = (socket.inet_ntop(socket.AF_INET6, packet[i : i + 16]) for i in (8, 24))
    body = packet[40:]
    return [
        ip6(src, dst, 44, struct.pack("!BBHI", packet[6], 0, at | int(at + size < len(body)), ident) + body[at : at + size])
        for at in range(0, len(body), size)
    ]


# --------------------------------------------------------------------------------------------- wire

ETH_P_ALL = 3


class Port:
    """One end of a wire: raw frames in and out of a veth, without a stack behind it."""

    def __init__(self, ns, device, peer_mac):
        self.ns = ns
        with inside(ns):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.sock.bind((device, ETH_P_ALL))
            self.mac = self.sock.getsockname()[4]
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.sock.setblocking(False)
        self.peer = peer_mac

    def frame(self, packet, ethertype=None):
        """The frame around a packet, its type from the version nibble."""
        if ethertype is None:
            ethertype = 0x86DD if packet[:1] and packet[0] >> 4 == 6 else 0x0800
        return self.peer + self.mac + struct.pack("!H", ethertype) + packet

    def send(self, *packets, ethertype=None):
        for packet in packets:
            self.send_frame(self.frame(packet, ethertype))

    def send_frame(self, frame):
        while True:
            try:
                self.sock.send(frame)
                return
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.ENOBUFS):
                    raise
                select.select([], [self.sock], [], 1)

    def received(self, seconds=0.0, want=1, accept=lambda packet: True):
        """Packets (without frame) that came in: until `want` packets are accepted or the time is over."""
        deadline = time.monotonic() + seconds * SLOW
        found = []
        while len(found) < want:
            left = deadline - time.monotonic()
            if not select.select([self.sock], [], [], max(left, 0))[0]:
                break
            data, address = self.sock.recvfrom(65535)
            if address[2] != 4 and accept(data[14:]):  # 4: PACKET_OUTGOING, our own
                found.append(data[14:])
        return found

    def drain(self):
        """Forgets what came in so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.sock.recv(65535)


def mac_of(ns, device):
    """The hardware address of a device, as six bytes."""
    with inside(ns), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as asks:
        asks.bind((device, 0))
        return asks.getsockname()[4]


class Router:
    """Two bare ports, a and b, and between them a namespace that forwards and tracks.

    Behind a lie 10.1.0.0/16, fd01::/64 and everything unknown, behind b 10.2.0.0/16 and fd02::/64.
    """

    A4, B4, R4, A6, B6, R6 = "10.1.0.2", "10.2.0.2", "10.1.0.1", "fd01::2", "fd02::2", "fd01::1"

    def __init__(self, name="rct-r", mtu=1500):
        self.ns = name
        sides = ((1, "ea"), (2, "eb"))
        ip_batch(None, f"netns add {name}", *[f"netns add {name}-{side}" for _, side in sides])
        setup = ["link set dev lo up"]
        for number, side in sides:
            ns, near, far = f"{name}-{side}", f"02:00:00:00:0{number}:01", f"02:00:00:00:0{number}:02"
            write("/proc/sys/net/ipv6/conf/all/disable_ipv6", 1, ns)
            peer = f"peer name {side} address {near} mtu {mtu} netns {name}"
            ip_batch(ns, f"link add e0 address {far} mtu {mtu} type veth {peer}", "link set dev e0 up")
            setup += [
                f"link set dev {side} up",
                f"addr add 10.{number}.0.1/30 dev {side}",
                f"addr add fd0{number}::1/126 dev {side} nodad",
                f"neigh replace 10.{number}.0.2 lladdr {far} dev {side}",
                f"neigh replace fd0{number}::2 lladdr {far} dev {side}",
                f"route add 10.{number}.0.0/16 via 10.{number}.0.2",
                f"route add fd0{number}::/64 via fd0{number}::2",
            ]
        ip_batch(name, *setup, "route add default via 10.1.0.2", "route add default via fd01::2")
        self.a, self.b = (Port(f"{name}-{side}", "e0", mac_of(name, side)) for _, side in sides)
        for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            write(f"/proc/sys/net/{path}", 1, name)
        for device in ("all", "ea", "eb"):
            write(f"/proc/sys/net/ipv4/conf/{device}/rp_filter", 0, name)
            write(f"/proc/sys/net/ipv4/conf/{device}/send_redirects", 0, name)

    def fill(self, first, last):
        """Connections of protocol 253 (600 s), one packet each, numbered by their source address from 10.16.0.0 on."""
        head = middle = tail = None
        for number in range(first, last):
            if head is None or number % 65536 == 0:
                frame = self.a.frame(ip4(f"10.{16 + number // 65536}.0.0", self.B4, 253, b"long", ident=0xFFFF))
                head, middle, tail = frame[:18], frame[20:28], frame[30:]
            low = number % 65536
            # Source and identification change against each other, so that the checksum stays.
            self.a.send_frame(head + struct.pack("!H", 0xFFFF - low) + middle + struct.pack("!H", low) + tail)

    def settle(self):
        """Waits until what was sent has gone through: a marked packet sent last has come out."""
        marker = ip(self.A4, self.B4, 254, os.urandom(8))
        self.b.drain()
        self.a.send(marker)
        return bool(self.b.received(5, 1, lambda packet: packet[20:] == marker[20:]))


def hosts(*names):
    """Namespaces with stacks of their own, each linked to the first.

    The first is 10.<n>.0.1 and fd0<n>::1 towards the n-th other namespace, which is 10.<n>.0.2 and fd0<n>::2.
    """
    ip_batch(None, *[f"netns add {name}" for name in names])
    first = ["link set dev lo up"]
    for n, name in enumerate(names[1:], 1):
        first += [
            f"link add {name} type veth peer name {names[0]} netns {name}",
            f"addr add 10.{n}.0.1/24 dev {name}",
            f"addr add fd0{n}::1/64 dev {name} nodad",
            f"link set dev {name} up",
        ]
    ip_batch(names[0], *first)
    for n, name in enumerate(names[1:], 1):
        ip_batch(
            name,
            "link set dev lo up",
            f"addr add 10.{n}.0.2/24 dev {names[0]}",
            f"addr add fd0{n}::2/64 dev {names[0]} nodad",
            f"link set dev {names[0]} up",
        )


def client_router_server(client="rct-c", router="rct-r", server="rct-s"):
    """The client behind the router from the server; both families."""
    hosts(router, client, server)
    for n, name in enumerate((client, server), 1):
        ip_batch(name, f"route add default via 10.{n}.0.1", f"route add default via fd0{n}::1")
    for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        write(f"/proc/sys/net/{path}", 1, router)


def drop_namespaces(prefix="rct-", must=True):
    """Ends what runs in the namespaces whose names begin so, and deletes them."""
    for line in run("ip", "netns", "list")[1].splitlines():
        name = line.split()[0]
        if not name.startswith(prefix):
            continue
        for process in run("ip", "netns", "pids", name, must=must)[1].split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        run("ip", "netns", "delete", name, must=must)


def make_socket(ns, address, port=0, kind=socket.SOCK_DGRAM):
    """A socket of a namespace, bound to an address."""
    with inside(ns):
        made = socket.socket(family(address), kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.settimeout(10 * SLOW)
    return made


# -------------------------------------------------------------------------------------------- rules


class Rules:
    """Counting rules in a namespace, both families, read as name -> packets."""

    def __init__(self, ns, families=(4, 6)):
        self.ns = ns
        self.commands = [{4: "iptables", 6: "ip6tables"}[number] for number in families]

    def add(self, table, chain, name, *match, jump=None, families=None):
        commands = self.commands if families is None else [{4: "iptables", 6: "ip6tables"}[n] for n in families]
        for command in commands:
            rule = ["-w", "-t", table, "-A", chain, *match, "-m", "comment", "--comment", name]
            run(command, *rule, *(["-j", jump] if jump else []), ns=self.ns)

    def states(self, table, chain, *which, families=None):
        """One rule for each state that a packet can have."""
        for name, match in STATES.items():
            self.add(table, chain, name, *which, "-m", "conntrack", *match, families=families)

    def packets(self, commands=None):
        """name -> packets, the families added."""
        total = {}
        for command in commands or self.commands:
            # Its warnings would come in the midst of a line.
            for line in run("sh", "-c", f"{command}-save -c 2>/dev/null", ns=self.ns)[1].splitlines():
                match = re.match(r'\[(\d+):\d+\] -A .*--comment "?([^" ]+)"?', line)
                if match:
                    total[match[2]] = total.get(match[2], 0) + int(match[1])
        return total


STATES = {
    "NEW": ("--ctstate", "NEW"),
    "ESTABLISHED": ("--ctstate", "ESTABLISHED", "--ctdir", "ORIGINAL"),
    "ESTABLISHED_REPLY": ("--ctstate", "ESTABLISHED", "--ctdir", "REPLY"),
    "RELATED": ("--ctstate", "RELATED", "--ctdir", "ORIGINAL"),
    "RELATED_REPLY": ("--ctstate", "RELATED", "--ctdir", "REPLY"),
    "INVALID": ("--ctstate", "INVALID"),
    "UNTRACKED": ("--ctstate", "UNTRACKED"),
}
