# SPDX-License-Identifier: GPL-2.0
"""What container engines have in common: an image made of busybox, and the checks of a container's network."""

import io
import os
import tarfile

from apps import (
    PLACE,
    echoed,
    entries,
    fetch,
    listen,
)

from lib import (
    SLOW,
    check,
    equal,
    make_socket,
    poll,
    read,
    run,
)

PAGE = "page of the container"
# A web server, and an echo server.
SERVES = "httpd -p 80 -h /www; exec nc -ll -p 90 -e /bin/cat"
# The outer ends of published ports.
WEB, ECHO, DATAGRAMS = 8080, 9090, 5353


def image():
    """A root directory as a tar: busybox under the names that are called."""
    file = f"{PLACE}/busybox.tar"
    with tarfile.open(file, "w") as tar:
        tar.add("/usr/bin/busybox", "bin/busybox")
        for name in ("sh", "cat", "httpd", "nc", "nslookup", "wget", "ip"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for name, text in (("www/index.html", PAGE), ("etc/passwd", "root:x:0:0:root:/:/bin/sh\n")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return file


def mounts(*directories):
    """Cgroups, and memory where an engine keeps its layers."""
    if "cgroup.controllers" not in os.listdir("/sys/fs/cgroup"):
        run("mount", "-t", "cgroup2", "none", "/sys/fs/cgroup")
    for directory in directories:
        os.makedirs(directory, exist_ok=True)
        run("mount", "-t", "tmpfs", "none", directory)


def unmount(*directories):
    for line in reversed(read("/proc/mounts").splitlines()):
        where = line.split()[1]
        if any(where == directory or where.startswith(f"{directory}/") for directory in directories):
            run("umount", "-l", where, must=False)


class Engine:
    """An engine's command line, and the checks of what it has started."""

    def __init__(self, *command):
        self.command = command

    def __call__(self, *words, must=True):
        return run(*self.command, *words, must=must)[1]

    def published(self, address, here):
        """The published ports, from another host, and from the machine itself, where `here` is translated."""
        poll(lambda: PAGE in fetch("rct-out", "10.1.0.1", WEB), 30, 0.5)
        check(PAGE in fetch("rct-out", "10.1.0.1", WEB), "another host fetches a page from the published port")
        found = entries(f"dport={WEB}", "src=10.1.0.2", f"src={address}", "sport=80", "[ASSURED]")
        check(
            found, "its connection is listed with the container's address in its reply", read("/proc/net/nf_conntrack")
        )
        check(PAGE in fetch(None, here, WEB), f"the machine itself fetches it from {here}")
        found = entries(f"dst={here}", f"dport={WEB}", f"src={address}", "sport=80", "[ASSURED]")
        check(found, "and that is listed with the container's address in its reply", read("/proc/net/nf_conntrack"))

    def leaves(self, container, port=7777):
        """A container calls another host, which sees this machine's address."""
        with listen("rct-out", "10.1.0.2", port) as server:
            self("exec", "-d", container, "/bin/nc", "10.1.0.2", str(port), "-e", "/bin/cat")
            server.settimeout(30 * SLOW)
            made, peer = server.accept()
            with made:
                equal(peer[0], "10.1.0.1", "what a container calls sees this machine's address")
                check(echoed(made), "and data goes both ways")
                found = entries(f"dport={port}", "dst=10.1.0.1", "[ASSURED]")
                check(found, "the connection is listed with its masquerade", read("/proc/net/nf_conntrack"))

    def datagrams(self, process):
        """A UDP flow to a published port of the container that has this process."""
        run("ip", "netns", "attach", "rct-in", process)
        with make_socket("rct-in", "0.0.0.0", 53) as server, make_socket("rct-out", "10.1.0.2", 5300) as client:
            client.sendto(b"question", ("10.1.0.1", DATAGRAMS))
            server.sendto(b"answer", server.recvfrom(100)[1])
            equal(client.recv(100), b"answer", "UDP to a published port is answered")
        check(entries("udp", f"dport={DATAGRAMS}"), "and listed")
        run("ip", "netns", "delete", "rct-in")

    def names(self, one, other, network):
        """Names of a network of its own, and what it keeps apart."""
        output = ""

        def asked():
            nonlocal output
            output = self("exec", one, "/bin/wget", "-q", "-O", "-", f"http://{other}/", must=False)
            return PAGE in output

        check(poll(asked, 30, 1), f"a container of {network} fetches a page from another by its name", output)
