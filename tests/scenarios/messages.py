# SPDX-License-Identifier: GPL-2.0
"""Messages of the protocols that have helpers: only what must be in them. Messages of H.323 are in h323.py."""

import struct

from lib import ip, packed

# ------------------------------------------------------------------------------------ TFTP, IRC, Amanda


def tftp_read():
    """A file is asked for."""
    return b"\0\1file\0octet\0"


def dcc_send(address, port):
    """IRC: a file is offered at an address."""
    return f"PRIVMSG bob :\1DCC SEND file {int.from_bytes(packed(address))} {port} 1000\1\r\n".encode()


def amanda_request():
    return b"Amanda 2.4 REQ HANDLE 1 SEQ 1\n"


def amanda_answer(data, messages, index):
    """Three ports to connect to."""
    return f"Amanda 2.4 REP HANDLE 1 SEQ 1\nCONNECT DATA {data} MESG {messages} INDEX {index}\nOPTIONS ;\n".encode()


# -------------------------------------------------------------------------------------------------- SIP


def sip_message(address, l4, first, method, body=""):
    """A SIP message of the phone at an address."""
    host = f"[{address}]" if ":" in address else address
    lines = [
        first,
        f"Via: SIP/2.0/{l4.upper()} {host}:5060;branch=z9hG4bK776asdhds",
        "From: <sip:phone@example.org>;tag=1",
        "To: <sip:phone@example.org>",
        "Call-ID: 1234",
        f"CSeq: 1 {method}",
        f"Contact: <sip:phone@{host}:5060>",
        "Expires: 3600",
        f"Content-Length: {len(body)}",
        "",
        body,
    ]
    return "\r\n".join(lines).encode()


def sdp(address, port):
    """A session: sound is wanted at an address."""
    where = f"IN IP{6 if ':' in address else 4} {address}"
    return f"v=0\r\no=- 1 1 {where}\r\ns=-\r\nc={where}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"


# ------------------------------------------------------------------------------------------------- PPTP


def pptp_message(kind, form, *fields):
    """A PPTP control message."""
    body = struct.pack(f"!HH{form}", kind, 0, *fields)
    return struct.pack("!HHI", 8 + len(body), 1, 0x1A2B3C4D) + body


def start_request():
    return pptp_message(1, "HHIIHH64s64s", 256, 0, 1, 1, 1, 1, b"client", b"")


def start_reply():
    return pptp_message(2, "HBBIIHH64s64s", 256, 1, 0, 1, 1, 1, 1, b"server", b"")


def out_call_request(call):
    """The client wants a call, in which it will be called by this number."""
    return pptp_message(7, "HHIIIIHHHH64s64s", call, 1, 1, 1, 1, 1, 64, 0, 0, 0, b"", b"")


def out_call_reply(call, peer):
    """The server has accepted the call of that number, and will be called by a number of its own."""
    return pptp_message(8, "HHBBHIHHI", call, peer, 1, 0, 0, 64000, 64, 0, 0)


def call_disconnect(call):
    """The server has ended the call that it has this number in."""
    return pptp_message(13, "HBBHH128s", call, 1, 0, 0, 0, b"")


def gre(src, dst, call, number):
    """A GRE packet of version 1, as PPTP sends it, to the end that a number calls."""
    return ip(src, dst, 47, struct.pack("!HHHHI", 0x3001, 0x880B, 4, call, number) + b"ppp!")


# ------------------------------------------------------------------------------------------------- SNMP


def ber(tag, content):
    """A value of ASN.1, whose length fits in seven bits."""
    return bytes((tag, len(content))) + content


def snmp_message(kind, *addresses):
    """A message of SNMP version 2 about addresses; kind 2 is a response, 7 a trap."""
    name = ber(6, b"\x2b\6\1\2\1\4\x14\1\1")
    bindings = b"".join(ber(0x30, name + ber(0x40, packed(address))) for address in addresses)
    pdu = ber(0xA0 | kind, ber(2, b"\1") + ber(2, b"\0") + ber(2, b"\0") + ber(0x30, bindings))
    return ber(0x30, ber(2, b"\1") + ber(4, b"public") + pdu)
