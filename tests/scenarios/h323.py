# SPDX-License-Identifier: GPL-2.0
"""Messages of an H.323 call, in PER (ITU-T X.691, aligned): only what must be in them."""

import struct

from lib import packed

# An object identifier and its length: itu-t recommendation h 2250 version 4.
H2250 = bytes((6, 0, 8, 0x91, 0x4A, 0, 4))
# An EndpointType that is a terminal, without a word about it.
TERMINAL = "0 000001 00 0 0"


def per(*parts):
    """Encodes: bits as text, where blanks do not count, and octets, which begin at the next whole octet."""
    bits = ""
    for part in parts:
        if isinstance(part, bytes):
            bits += "0" * (-len(bits) % 8) + "".join(f"{octet:08b}" for octet in part)
        else:
            bits += part.replace(" ", "")
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8)


def place(address, port):
    """An address as all of H.323 writes it, behind the bits that say of which kind it is."""
    return packed(address) + struct.pack("!H", port)


def transport_address(address, port):
    """A TransportAddress of H.225.0."""
    return "0 011 0" if ":" in address else "0 000", place(address, port)


def unicast_address(address, port):
    """A TransportAddress of H.245."""
    return "0 0 0 010 0" if ":" in address else "0 0 0 000 0", place(address, port)


def registration_request(address, calls, ras):
    """RAS: the phone at an address wants calls at one of its ports, and RAS messages at another."""
    one = b"\1"
    return per(
        "0 00011 0 000", struct.pack("!H", 0), H2250, "1",
        one, *transport_address(address, calls), one, *transport_address(address, ras),
        TERMINAL, "0 00 0", struct.pack("!BBH", 181, 0, 18),
    )  # fmt: skip


def tpkt(message):
    """A message in its envelope for TCP (RFC 1006)."""
    return struct.pack("!BBH", 3, 0, 4 + len(message)) + message


def call_proceeding(address, port):
    """Q.931: the call goes on, and its control channel is at a port."""
    element = b"\5" + per("0 0 0 0 0 001 0 1", H2250, TERMINAL, *transport_address(address, port))
    return tpkt(struct.pack("!BBHBBH", 8, 2, 0x8001, 2, 0x7E, len(element)) + element)


def open_logical_channel(address, port):
    """H.245: sound will be sent (G.711), and reports about it are wanted at a port."""
    parameters = per("0 0000100000", b"\1", *unicast_address(address, port))
    return tpkt(
        per(
            "0 00 0 0011 0 0", struct.pack("!H", 0), "0 0 0 011 0 0011", b"\x13",
            "1 0000000", bytes((len(parameters),)) + parameters,
        )
    )  # fmt: skip
