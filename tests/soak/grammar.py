# SPDX-License-Identifier: GPL-2.0
"""Messages of ctnetlink and its neighbours, made from what their attributes are, and sometimes not quite so."""

import struct

from netlink import (
    ACK,
    CREATE,
    CTHELPER,
    CTNETLINK,
    CTNETLINK_EXP,
    CTTIMEOUT,
    DUMP,
    EXCL,
    NESTED,
    REPLACE,
    REQUEST,
    attribute,
)

# Protocols that have a tracker, and some that have none.
PROTOCOLS = (6, 17, 1, 58, 132, 47, 33, 253, 0, 255)

ADDRESSES4 = (b"\x0a\x01\0\x02", b"\x0a\x02\0\x02", b"\x7f\0\0\x01", b"\0\0\0\0", b"\xff" * 4)
ADDRESSES6 = (b"\xfd\x01" + bytes(13) + b"\2", b"\xfd\x02" + bytes(13) + b"\2", bytes(16), b"\xff" * 16)
HELPERS = (
    "ftp", "tftp", "sip", "irc", "pptp", "amanda", "snmp", "RAS", "Q.931", "netbios-ns", "soak", "",
    "x" * 15, "x" * 200,
)  # fmt: skip

# An attribute is a number's width, a list of texts, ("bytes", lengths), or its own attributes.
IP = {1: ADDRESSES4, 2: ADDRESSES4, 3: ADDRESSES6, 4: ADDRESSES6}
PROTO = {1: "proto", 2: 2, 3: 2, 4: 2, 5: 1, 6: 1, 7: 2, 8: 1, 9: 1}
TUPLE = {1: IP, 2: PROTO, 3: 2}
TCP_FLAGS = ("bytes", (2,))
PROTOINFO = {
    1: {1: 1, 2: 1, 3: 1, 4: TCP_FLAGS, 5: TCP_FLAGS},
    2: {1: 1, 2: 4, 3: 4, 4: 8},
    3: {1: 1, 2: 4, 3: 4},
}
NAT = {1: ADDRESSES4, 2: ADDRESSES4, 3: {1: 2, 2: 2}, 4: ADDRESSES6, 5: ADDRESSES6}
COUNTERS = {1: 8, 2: 8, 3: 4, 4: 4}
SEQADJ = {1: 4, 2: 4, 3: 4}
HELP = {1: HELPERS, 2: ("bytes", (0, 4, 24, 32, 100))}
LABELS = ("bytes", (4, 16, 32))
CONNECTION = {
    1: TUPLE, 2: TUPLE, 3: 4, 4: PROTOINFO, 5: HELP, 6: NAT, 7: 4, 8: 4, 9: COUNTERS, 10: COUNTERS, 11: 4, 12: 4,
    13: NAT,
    14: TUPLE, 15: SEQADJ, 16: SEQADJ, 17: 4, 18: 2, 19: {1: HELPERS}, 20: {1: 8, 2: 8}, 21: 4, 22: LABELS, 23: LABELS,
    24: {1: 4, 2: 4, 3: 4}, 25: {1: 4, 2: 4}, 26: 4, 27: 8,
}  # fmt: skip
FUNCTIONS = ("nat-follow-master", "sip", "")
EXPECTATION = {
    1: TUPLE, 2: TUPLE, 3: TUPLE, 4: 4, 5: 4, 6: HELPERS, 7: 2, 8: 4, 9: 4, 10: {1: 4, 2: TUPLE}, 11: FUNCTIONS,
}  # fmt: skip
POLICY = {number: 4 for number in range(1, 15)}
TIMEOUT = {1: ("soak", "soak2", ""), 2: 2, 3: "proto", 4: POLICY}
HELPER = {
    1: HELPERS, 2: TUPLE, 3: 4, 4: {1: {1: HELPERS, 2: 4, 3: 4}, 2: {1: HELPERS, 2: 4, 3: 4}, 5: 4}, 5: 4, 6: 4,
}  # fmt: skip
# Subsystem -> its commands, and the attributes of their messages.
SUBSYSTEMS = {
    CTNETLINK: (range(9), CONNECTION),
    CTNETLINK_EXP: (range(5), EXPECTATION),
    CTTIMEOUT: (range(6), TIMEOUT),
    CTHELPER: (range(4), HELPER),
}


def number(dice, width):
    """A number of so many bytes: often a small number, or a number at the edge."""
    top = (1 << 8 * width) - 1
    value = dice.choice((0, 1, 2, 3, 8, 60, 80, 1000, top, top >> 1, (top >> 1) + 1, dice.randint(0, top)))
    return (value & top).to_bytes(width, "big")


def value(dice, kind, depth):
    """What an attribute has in it."""
    if isinstance(kind, dict):
        return b"".join(some_of(dice, kind, depth + 1))
    if kind == "proto":
        return bytes((dice.choice(PROTOCOLS),))
    if isinstance(kind, int):
        return number(dice, kind)
    if kind[0] == "bytes":
        return dice.randbytes(dice.choice(kind[1]))
    chosen = dice.choice(kind)
    return chosen if isinstance(chosen, bytes) else chosen.encode() + b"\0" * dice.randrange(2)


def some_of(dice, kinds, depth=0):
    """Attributes out of some: the first are there more often. One attribute in many is not as it should be."""
    for kind, inner in kinds.items():
        # Inside of a tuple all is needed for it to be a tuple.
        if dice.random() < (0.35 if depth == 0 and kind > 1 else 0.8):
            yield one(dice, kind, inner, depth)
        if dice.random() < 0.01:
            yield one(dice, kind, inner, depth)
    if dice.random() < 0.03:
        yield attribute(dice.randrange(1 << 14), dice.randbytes(dice.randrange(40)))


def one(dice, kind, inner, depth):
    """An attribute; now and then of another length, with another content, or nested although it is none."""
    data = value(dice, inner, depth) if depth < 6 else b""
    mistake = dice.randrange(60)
    if mistake == 0:
        data = data[: dice.randrange(len(data) + 1)]
    elif mistake == 1:
        data += dice.randbytes(dice.randrange(1, 80))
    elif mistake == 2:
        data = dice.randbytes(len(data))
    nested = isinstance(inner, dict)
    if mistake == 3:
        nested = not nested
    made = attribute(kind | (NESTED if nested else 0), data)
    if mistake == 4:
        made = struct.pack("=H", dice.choice((0, 1, 3, len(made) + 4, 0xFFFF))) + made[2:]
    return made


def message(dice, known):
    """A message, with one of `known`, tuples as attributes, in it half of the time."""
    subsystem = dice.choices(list(SUBSYSTEMS), (10, 5, 1, 1))[0]
    commands, kinds = SUBSYSTEMS[subsystem]
    command = dice.choice(commands)
    parts = list(some_of(dice, kinds))
    if known and dice.randrange(2):
        parts = [dice.choice(known), *(part for part in parts if dice.randrange(3) == 0)]
    elif command == 2 and dice.randrange(20):
        command = 1  # or all would be deleted again and again
    flags = REQUEST | ACK
    for flag in (CREATE, EXCL, REPLACE):
        flags |= flag if dice.random() < 0.4 else 0
    if dice.random() < 0.15:
        flags |= DUMP
    family = dice.choice((2, 2, 2, 10, 10, 0, 7, 255))
    body = struct.pack("!BBH", family, dice.choice((0, 0, 0, 1)), dice.choice((0, 0, 1, 0xFFFF))) + b"".join(parts)
    length = 16 + len(body)
    if dice.randrange(40) == 0:
        body = body[: dice.randrange(len(body) + 1)]
        length = dice.choice((16 + len(body), length, 16, 0, 20))
    return struct.pack("=IHHII", length, subsystem << 8 | command, flags, dice.randrange(1 << 16), 0) + body
