#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""packetdrill for the kernel's nf_conntrack_packetdrill.sh, which calls it by that name; Debian has no package of it.

    packetdrill [--ip_version=ipv4|ipv6] [--mtu=BYTES] [--tolerance_usecs=N] [--non_fatal=packet] [--dry_run]
        [-D NAME=VALUE]... FILE

It plays that part of packetdrill's language which those scripts use, and many of net/packetdrill: system calls,
commands between backticks, segments that are injected (`<`) into a tun device and segments that have to come out of it
(`>`). As there,

- the network namespace is the caller's, the device is tun0, the port 8080;
- sequence numbers are relative to the first SYN of their side, but for segments that are SYNs themselves; with another
  listen() or connect(), they begin anew;
- the values of timestamps are the kernel's own, and what is injected echoes them;
- several segments are taken for one segment of the length that is expected.

Three things are not as there. What a script asserts of tcp_info (`%{ }%`) is passed over. With --non_fatal=packet a
segment that has another window is warned of and nothing else: flags, numbers, length and options are always to be
right. And a slow machine is no error: when it falls behind, the script's clock waits for it, a segment may come late,
by up to PATIENCE, and what came already and comes again meanwhile is passed over.
"""

import argparse
import ctypes
import errno
import fcntl
import os
import re
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scenarios"))
sys.dont_write_bytecode = True
from lib import FLAGS, SLOW, ip_batch, tcp  # noqa: E402

PATIENCE = 3 * SLOW
PORT = 8080
# Of the first client that the script plays.
CLIENT_PORT = 34375
# Family, the kernel's own address, that of the peer that the script plays, and what is routed there.
SIDES = {
    "ipv4": (socket.AF_INET, "192.168.0.1", "192.0.2.1", "192.0.2.0/24"),
    "ipv6": (socket.AF_INET6, "fd3d:a0b:17d6::1", "fd3d:fa7b:d17d::1", "fd3d:fa7b:d17d::/48"),
}
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000

EVENT = re.compile(
    r"(?:(?:(?P<relative>\+?)(?P<seconds>\d*\.?\d+)(?:\s*(?P<until>\.\.\.|~)\s*\+?\d*\.?\d+)?|\*)\s+)?"
    r"(?:`(?P<command>[^`]+)`"
    r"|(?P<code>%\{.*\}%)"
    r"|(?P<way>[<>])\s+(?P<segment>.+)"
    r"|(?P<call>\w+)\((?P<arguments>.*)\)\s*=\s*(?P<value>-?(?:0x[0-9a-f]+|\d+))"
    r"(?:\s+(?P<error>E[A-Z]+)\b)?(?:\s+\(.*\))?)",
    re.DOTALL,
)
SEGMENT = re.compile(
    r"(?P<flags>[SFRP.]+)\s+(?P<seq>\d+):(?P<end>\d+)\((?P<length>\d+)\)"
    r"(?:\s+ack\s+(?P<ack>\d+))?(?:\s+win\s+(?P<window>\d+))?(?:\s+<(?P<options>.+)>)?"
)
# TCP's options: the word in a script, the number, the format of what follows its length, whether that is repeated.
OPTIONS = {
    "nop": (1, ""),
    "mss": (2, "H"),
    "wscale": (3, "B"),
    "sackOK": (4, ""),
    "sack": (5, "I*"),
    "TS": (8, "II"),
    "FO": (34, "B*"),
}
# What may be set.
LEVELS = {"SOL_SOCKET", "SOL_TCP", "IPPROTO_TCP"}
NAMES = {"SO_REUSEADDR", "SO_RCVBUF", "SO_SNDBUF", "TCP_CORK", "TCP_FASTOPEN", "TCP_NODELAY", "TCP_USER_TIMEOUT"}
# How something may be sent.
MANNERS = {"0", "MSG_EOR", "MSG_MORE"}


class Wrong(Exception):
    """What ends a script."""


@dataclass
class Segment:
    """A TCP segment, as a script writes it; ack, window and options are None where it does not say what they are."""

    flags: str
    seq: int
    ack: int | None
    window: int | None
    length: int
    options: list | None

    @classmethod
    def parse(cls, text):
        """Of a script's line."""
        match = SEGMENT.fullmatch(text)
        if not match:
            raise Wrong("not of the language")
        seq, end, length = (int(match[name]) for name in ("seq", "end", "length"))
        ack, window = (int(match[name]) if match[name] else None for name in ("ack", "window"))
        # An RST need not say what it acknowledges.
        if end - seq != length or (ack is None) == ("." in match["flags"]) and (match["flags"], ack) != ("R.", None):
            raise Wrong("length or ack do not fit")
        if match["options"] == "...":
            return cls(match["flags"], seq, ack, window, length, None)
        options = [option_of(words.split()) for words in (match["options"] or "").split(",") if words]
        return cls(match["flags"], seq, ack, window, length, options)

    @classmethod
    def decode(cls, text):
        """Of a segment's bytes."""
        seq, ack, offset, bits, window = struct.unpack_from("!IIBBH", text, 4)
        flags = "".join("." if letter == "A" else letter for letter in "SFRPA" if bits & FLAGS[letter])
        head = offset >> 4 << 2
        return cls(flags, seq, ack if "." in flags else None, window, len(text) - head, decode_options(text[20:head]))

    def __str__(self):
        options = "..." if self.options is None else ",".join(" ".join(map(str, option)) for option in self.options)
        text = f"{self.flags} {self.seq}:{self.seq + self.length}({self.length})"
        text += "".join(f" {name} {value}" for name, value in (("ack", self.ack), ("win", self.window)) if value is not None)
        return f"{text} <{options}>"


def option_of(words):
    """An option of a script: its name and numbers."""
    if words[0] not in OPTIONS:
        raise Wrong("not of the language")
    if words[0] == "TS":
        return ("TS", int(words[2]), int(words[4]))
    if words[0] == "sack":
        return ("sack", *(int(end) for block in words[1:] for end in block.split(":")))
    if words[0] == "FO":
        return ("FO", *bytes.fromhex("".join(words[1:])))
    return (words[0], *map(int, words[1:]))


def format_of(form, values):
    """The format of an option that is to hold so many values, or bytes."""
    if not form.endswith("*"):
        return f"!{form}"
    many = len(values) // struct.calcsize(form[0]) if isinstance(values, bytes) else len(values)
    return f"!{many}{form[0]}"


def shifted(option, by):
    """An option with its sequence numbers moved, if it has any."""
    return ("sack", *(end + by & 0xFFFFFFFF for end in option[1:])) if option[0] == "sack" else option


def encode_options(options):
    """The bytes of options."""
    text = b""
    for name, *values in options:
        kind, form = OPTIONS[name]
        body = struct.pack(format_of(form, values), *values)
        text += bytes([kind]) if name == "nop" else bytes([kind, 2 + len(body)]) + body
    if len(text) % 4:
        raise Wrong(f"the options have {len(text)} bytes")
    return text


def decode_options(text):
    """The options of a segment."""
    names = {kind: name for name, (kind, _) in OPTIONS.items()}
    found = []
    while text:
        name = names.get(text[0], f"option {text[0]}")
        size = 1 if name == "nop" else text[1]
        body = text[2:size]
        found.append((name, *struct.unpack(format_of(OPTIONS[name][1], body), body)) if name in OPTIONS else (name,))
        text = text[size:]
    return found


def lines_of(text):
    """The lines of a script without its comments: (number of the first, text). What is open at an end goes on."""
    whole, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        line = re.sub("(^|\\s)//.*", "", line).strip()
        whole, first = (f"{whole}\n{line}", first) if whole else (line, number)
        if whole and whole.count("`") % 2 == 0 and whole.count("%{") == whole.count("}%"):
            yield first, whole
            whole = ""
    if whole:
        yield first, whole


def parse(path, defined=()):
    """A script: the options that it brings along, and its events, each with the number and the text of its line."""
    options, events = [], []
    text = Path(path).read_text(encoding="ascii")
    for name, value in (one.split("=", 1) for one in defined):
        text = re.sub(rf"\b{name}\b", value, text)
    for number, line in lines_of(text):
        if line.startswith("--") and not events:
            options += line.split()
            continue
        match = EVENT.fullmatch(line)
        event = match.groupdict() if match else {"call": line, "segment": None}
        try:
            if event["call"]:
                check_call(event)
            if event["segment"]:
                event["segment"] = Segment.parse(event["segment"])
        except Wrong as wrong:
            sys.exit(f"{path}:{number}: {line}: {wrong}")
        events.append((f"{number}: {line}", event))
    return options, events


def check_call(event):
    """Raises Wrong if a system call is not played, or not so."""
    name = event["call"]
    words = arguments_of(event) if hasattr(Player, f"call_{name}") else []
    if name == "setsockopt":
        known = len(words) == 5 and words[1] in LEVELS and words[2] in NAMES
    elif name == "getsockopt":
        known = words[1:3] == ["SOL_SOCKET", "SO_ERROR"]
    elif name in ("recv", "send"):
        known = len(words) == 4 and words[1] == "..." and words[3] in MANNERS
    elif name == "fcntl":
        known = words[1:] in (["F_GETFL"], ["F_SETFL", "O_RDWR"], ["F_SETFL", "O_RDWR|O_NONBLOCK"])
    elif name in ("read", "write"):
        known = words[1:2] == ["..."]
    else:
        known = words
    if not known:
        raise Wrong("not of the language")


def arguments_of(event):
    """The arguments of a system call."""
    return [word.strip() for word in event["arguments"].split(",")]


class Player:
    """The device, the sockets and the one connection of a script."""

    def __init__(self, version, mtu, tolerance, any_window):
        self.family, self.near, self.far, beyond = SIDES[version]
        self.tolerance, self.any_window = tolerance, any_window
        self.tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.tun, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN | IFF_NO_PI))
        nodad = "nodad" if version == "ipv6" else ""
        ip_batch(
            None,
            "link set dev lo up",
            f"link set dev tun0 mtu {mtu} up",
            f"addr add {self.near} dev tun0 {nodad}",
            f"route add {beyond} dev tun0",
        )
        # Sockets by the script's numbers of them, and which of them do not block.
        self.sockets, self.impatient = {}, set()
        self.client_port = CLIENT_PORT - 1
        self.forget(None)
        # The call that has not returned yet.
        self.pending = None
        # When the script began, and its time.
        self.begin, self.at = time.monotonic(), 0.0

    def forget(self, ports):
        """Another connection begins."""
        # Ports: the kernel's own, and the other side's.
        self.ports = ports
        # The first sequence numbers, and what the script takes for the kernel's.
        self.near_isn = self.far_isn = self.script_isn = None
        # What came: flags, length, number and acknowledgement.
        self.came = set()
        # The script's value of a timestamp -> the kernel's.
        self.timestamps = {}

    def play(self, event):
        """An event. It is not done before its time."""
        self.at = float(event["seconds"] or 0) + (self.at if event["relative"] or not event["seconds"] else 0)
        if event["way"] == ">":
            self.expect(event["segment"])
        else:
            time.sleep(max(self.begin + self.at - time.monotonic(), 0))
        # What is late by now is so for what follows, too.
        self.begin = max(self.begin, time.monotonic() - self.at)
        if event["way"] == "<":
            self.inject(event["segment"])
        elif event["command"]:
            status = subprocess.run(event["command"], shell=True, check=False).returncode
            if status:
                raise Wrong(f"status {status}")
        elif event["call"]:
            self.settle()
            if event["until"] == "...":
                self.pending = Pending(self, event)
            else:
                self.call(event)

    def settle(self):
        """Waits until the call returns that has not yet."""
        pending, self.pending = self.pending, None
        if pending:
            pending.join()

    # ---------------------------------------------------------------------------------- system calls

    def call(self, event):
        """A system call, whose value or error has to be the script's."""
        arguments, wanted = arguments_of(event), int(event["value"], 0)
        try:
            got = getattr(self, f"call_{event['call']}")(arguments, wanted), None
        except OSError as error:
            if error.errno is None:
                raise Wrong("it does not return") from error
            got = -1, errno.errorcode[error.errno]
        if got != (wanted, event["error"]):
            raise Wrong(f"returned {got}")

    def adopt(self, number, sock, waits=True):
        """A new socket of the script."""
        self.sockets[number] = sock
        self.set_waits(number, waits)
        return number

    def set_waits(self, number, waits):
        """Whether calls wait."""
        (self.impatient.discard if waits else self.impatient.add)(number)
        self.sockets[number].settimeout(PATIENCE if waits else 0)

    def call_socket(self, arguments, number):
        waits = "SOCK_NONBLOCK" not in arguments[1]
        return self.adopt(number, socket.socket(self.family, socket.SOCK_STREAM), waits)

    def call_setsockopt(self, arguments, _):
        level, name = (getattr(socket, word) for word in arguments[1:3])
        self.sockets[int(arguments[0])].setsockopt(level, name, int(arguments[3].strip("[]")))
        return 0

    def call_bind(self, arguments, _):
        self.sockets[int(arguments[0])].bind((self.near, PORT))
        return 0

    def call_listen(self, arguments, _):
        self.sockets[int(arguments[0])].listen(int(arguments[1]))
        self.client_port += 1
        self.forget((PORT, self.client_port))
        return 0

    def call_accept(self, arguments, number):
        listener = self.sockets[int(arguments[0])]
        return self.adopt(number, listener.accept()[0])

    def call_fcntl(self, arguments, _):
        number = int(arguments[0])
        if arguments[1] == "F_GETFL":
            return os.O_RDWR | (os.O_NONBLOCK if number in self.impatient else 0)
        self.set_waits(number, "O_NONBLOCK" not in arguments[2])
        return 0

    def call_connect(self, arguments, _):
        sock = self.sockets[int(arguments[0])]
        if arguments[1] == "AF_UNSPEC":
            if ctypes.CDLL(None, use_errno=True).connect(sock.fileno(), bytes(16), 16):
                raise OSError(ctypes.get_errno(), "connect")
            return 0
        self.forget(None)
        sock.connect((self.far, PORT))
        return 0

    def call_getsockopt(self, arguments, _):
        got = self.sockets[int(arguments[0])].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if got != int(arguments[3].strip("[]")):
            raise Wrong(f"it is {got}")
        return 0

    def call_write(self, arguments, _):
        manner = arguments[3] if arguments[3:] else "0"
        flags = int(getattr(socket, manner, 0))
        return self.sockets[int(arguments[0])].send(bytes(int(arguments[2])), flags)

    call_send = call_write

    def call_read(self, arguments, _):
        return len(self.sockets[int(arguments[0])].recv(int(arguments[2])))

    call_recv = call_read

    def call_shutdown(self, arguments, _):
        self.sockets[int(arguments[0])].shutdown(getattr(socket, arguments[1]))
        return 0

    def call_close(self, arguments, _):
        self.impatient.discard(int(arguments[0]))
        self.sockets.pop(int(arguments[0])).close()
        return 0

    # -------------------------------------------------------------------------------------- segments

    def inject(self, segment):
        """Sends a segment of the other side into the device."""
        syn = "S" in segment.flags
        if syn and self.far_isn is None:
            self.far_isn = segment.seq
        near, far = self.ports
        ack, options = 0, segment.options
        if segment.ack is not None:
            options = [shifted(one, self.near_isn) for one in options]
            ack = segment.ack + self.near_isn - (self.script_isn if syn else 0)
            if any(option[0] == "TS" and option[2] not in self.timestamps for option in options):
                raise Wrong("it echoes a timestamp that did not come")
            options = [("TS", one[1], self.timestamps[one[2]]) if one[0] == "TS" else one for one in options]
        packet = tcp(
            self.far,
            self.near,
            far,
            near,
            segment.flags.replace(".", "A"),
            seq=segment.seq + (0 if syn else self.far_isn or 0) & 0xFFFFFFFF,
            ack=ack & 0xFFFFFFFF,
            window=segment.window,
            data=bytes(segment.length),
            options=encode_options(options),
        )
        os.write(self.tun, packet)

    def receive(self, deadline, want):
        """The next segment of the connection that leaves the device, as it is: if it is new, or is like `want`."""
        while select.select([self.tun], [], [], max(deadline - time.monotonic(), 0))[0]:
            packet = os.read(self.tun, 65536)
            head, proto = (40, packet[6]) if packet[0] >> 4 == 6 else ((packet[0] & 15) * 4, packet[9])
            if proto != socket.IPPROTO_TCP:
                continue
            ports = struct.unpack_from("!HH", packet, head)
            segment = Segment.decode(packet[head:])
            if self.ports is None and segment.flags == "S" and ports[1] == PORT:
                self.ports = ports
            what = segment.flags, segment.length, segment.seq, segment.ack
            if ports == self.ports and (what not in self.came or what[:2] == (want.flags, want.length)):
                self.came.add(what)
                return segment
        raise Wrong("it does not come")

    def expect(self, want):
        """Waits for a segment, or for several that together are as long, and compares."""
        deadline = max(self.begin + self.at, time.monotonic()) + PATIENCE
        got = self.receive(deadline, want)
        while got.length < want.length:
            more = self.receive(deadline, want)
            if more.seq != got.seq + got.length or more.ack != got.ack:
                raise Wrong(f"{got} is followed by {more}")
            got.length += more.length
            got.flags = more.flags
        early = self.begin + self.at - time.monotonic()
        syn = "S" in got.flags
        if syn and self.near_isn is None:
            self.near_isn, self.script_isn = got.seq, want.seq
        got.seq = got.seq - (self.near_isn or 0) + (self.script_isn if syn else 0) & 0xFFFFFFFF
        if got.ack is not None and not syn:
            got.ack = got.ack - (self.far_isn or 0) & 0xFFFFFFFF
        if want.options is None:
            got.options = None
        for number, (mine, theirs) in enumerate(zip(want.options or [], got.options or [])):
            got.options[number] = shifted(theirs, -(self.far_isn or 0))
            if mine[0] == theirs[0] == "TS":
                self.timestamps[mine[1]] = theirs[1]
                got.options[number] = ("TS", mine[1], theirs[2])
        if (replace(got, window=want.window) if self.any_window or want.window is None else got) != want:
            raise Wrong(f"{got} came")
        if want.window not in (None, got.window):
            print(f"warning: {want}: window {got.window} came", file=sys.stderr)
        if early > self.tolerance:
            raise Wrong(f"it came {early:.3f} s too early")


class Pending(threading.Thread):
    """A system call that may take a while."""

    def __init__(self, player, event):
        super().__init__(daemon=True)
        self.player, self.event, self.wrong = player, event, None
        self.start()

    def run(self):
        try:
            self.player.call(self.event)
        except Wrong as wrong:
            self.wrong = wrong

    def join(self, timeout=PATIENCE):
        super().join(timeout)
        if self.wrong or self.is_alive():
            raise self.wrong or Wrong("a call before it does not return")


def main():
    parser = argparse.ArgumentParser(prog="packetdrill")
    parser.add_argument("--ip_version", choices=SIDES, default="ipv4")
    parser.add_argument("--mtu", type=int, default=1500)
    parser.add_argument("--tolerance_usecs", type=int, default=4000)
    parser.add_argument("--non_fatal", default="")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--dry_run", action="store_true")
    parser.add_argument("-D", dest="defined", action="append", default=[])
    parser.add_argument("file")
    given = parser.parse_args()
    brought, events = parse(given.file, given.defined)
    # What a script says itself holds, as far as it means anything here.
    options, _ = parser.parse_known_args([*sys.argv[1:], *brought])
    if options.dry_run:
        return
    # For net/packetdrill/set_sysctls.py.
    os.environ["PACKETDRILL_PID"] = str(os.getpid())
    player = Player(options.ip_version, options.mtu, options.tolerance_usecs / 1e6, options.non_fatal == "packet")
    for where, event in events:
        try:
            player.play(event)
            if event is events[-1][1]:
                player.settle()
        except Wrong as wrong:
            sys.exit(f"{options.file}:{where}: {wrong}")


main()
