#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The small programs of the demonstration.

demo_net.py names ADDRESS         a name server that knows one name
demo_net.py ask ADDRESS NAME      asks it for that name's address, and prints the answer
demo_net.py page ADDRESS PORT     a web server with one page
demo_net.py forge FROM TO NUMBER  sends that many echo replies that no request asked for
"""

import http.server
import socket
import struct
import sys

KNOWN = {b"demo.example": "192.0.2.80"}


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def question(name):
    """A DNS question for the address of a name, without the message header (RFC 1035 section 4.1.2)."""
    labels = b"".join(bytes([len(label)]) + label for label in name.split(b"."))
    return labels + b"\0" + struct.pack("!HH", 1, 1)


def names(address):
    server = socket.socket(family(address), socket.SOCK_DGRAM)
    server.bind((address, 53))
    while True:
        message, asker = server.recvfrom(512)
        for name, value in KNOWN.items():
            if message[12:] == question(name):
                header = message[:2] + struct.pack("!5H", 0x8580, 1, 1, 0, 0)
                record = struct.pack("!3HIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(value)
                server.sendto(header + message[12:] + record, asker)


def ask(address, name):
    client = socket.socket(family(address), socket.SOCK_DGRAM)
    client.settimeout(20)
    client.connect((address, 53))
    client.send(struct.pack("!6H", 0x1234, 0x0100, 1, 0, 0, 0) + question(name.encode()))
    answer = client.recv(512)
    print(f"{name} has address {socket.inet_ntoa(answer[-4:])}")


class Page(http.server.BaseHTTPRequestHandler):
    """A page, larger than what a connection takes at once."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"hello from the server\n" * 5000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def page(address, port):
    class Server(http.server.ThreadingHTTPServer):
        address_family = family(address)

    Server((address, int(port)), Page).serve_forever()


def forge(sender, target, number):
    kind, proto = ((129, socket.IPPROTO_ICMPV6), (0, socket.IPPROTO_ICMP))[family(target) == socket.AF_INET]
    raw = socket.socket(family(target), socket.SOCK_RAW, proto)
    raw.bind((sender, 0))
    for turn in range(int(number)):
        # The kernel fills in the checksum of ICMPv6; that of ICMP is the complement of the other words' sum.
        words = [kind << 8, 0, 0x6666, turn]
        if proto == socket.IPPROTO_ICMP:
            words[1] = ~(words[2] + words[3]) & 0xFFFF
        raw.sendto(struct.pack("!4H", *words), (target, 0))


if __name__ == "__main__":
    {"names": names, "ask": ask, "page": page, "forge": forge}[sys.argv[1]](*sys.argv[2:])
