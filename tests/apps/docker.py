# SPDX-License-Identifier: GPL-2.0
"""dockerd: published ports, masquerading, a network with names, a restart under an established connection."""

# limit: 400

import os

from apps import (
    daemon,
    dial,
    echoed,
    entries,
    fetch,
    main,
    neighbours,
    reaches,
)
from containers import (
    DATAGRAMS,
    ECHO,
    PAGE,
    SERVES,
    WEB,
    Engine,
    image,
    mounts,
    unmount,
)

from lib import (
    check,
    equal,
    poll,
    read,
    run,
)

STATE = ("/var/lib/docker", "/var/lib/containerd")
DOCKER = Engine("docker")
CONTAINERD = "/run/containerd/containerd.sock"
COMMAND = (
    "dockerd",
    f"--containerd={CONTAINERD}",
    "--live-restore",
    "--exec-opt",
    "native.cgroupdriver=cgroupfs",
    "--storage-driver",
    "overlay2",
)


def up():
    return os.path.exists("/var/run/docker.sock") and "Server Version" in run("docker", "info", must=False)[1]


def address(name, network):
    return DOCKER("inspect", "-f", f"{{{{.NetworkSettings.Networks.{network}.IPAddress}}}}", name).strip()


def dockerd():
    return daemon(*COMMAND, ready=up, seconds=120)


def first_run():
    """Containers on the default network and on a network of their own; returns the web container's address."""
    DOCKER("import", image(), "box")
    published = ["-p", f"{WEB}:80", "-p", f"{ECHO}:90", "-p", f"{DATAGRAMS}:53/udp"]
    DOCKER("run", "-d", "--name", "web", *published, "box", "/bin/sh", "-c", SERVES)
    web = address("web", "bridge")
    DOCKER.published(web, "10.1.0.1")
    # By default no rule translates loopback.
    check(PAGE in fetch(None, "127.0.0.1", WEB), "from loopback it comes through docker-proxy")
    found = entries("dst=127.0.0.1", f"dport={WEB}", f"sport={WEB}", "[ASSURED]")
    check(found, "which has one connection at loopback", read("/proc/net/nf_conntrack"))
    found = entries(f"dst={web}", "dport=80", f"src={web}", "sport=80", "[ASSURED]")
    check(found, "and another one to the container", read("/proc/net/nf_conntrack"))
    DOCKER.leaves("web")
    DOCKER("network", "create", "own")
    for name in ("one", "two"):
        DOCKER("run", "-d", "--name", name, "--network", "own", "box", "/bin/sh", "-c", SERVES)
    DOCKER.names("one", "two", "a network of its own")
    output = DOCKER("exec", "one", "/bin/wget", "-T", "3", "-q", "-O", "-", f"http://{web}/", must=False)
    check(PAGE not in output, "a container of one network does not reach another network's", output)
    return web


def later_run(web, long):
    """The next daemon finds the containers as they are; what it does with them from then on."""
    check(echoed(long), "and after the daemon has started again")
    check(PAGE in fetch("rct-out", "10.1.0.1", WEB), "new ones come in, too")
    DOCKER.datagrams(DOCKER("inspect", "-f", "{{.State.Pid}}", "web").strip())
    DOCKER("stop", "-t", "0", "web")
    check(not reaches("rct-out", "10.1.0.1", WEB), "a stopped container's port is closed")
    found = poll(lambda: not entries("udp", f"dport={DATAGRAMS}"), 10)
    check(found, "and its UDP connections are deleted", entries("udp"))
    DOCKER("start", "web")
    equal(address("web", "bridge"), web, "started again, it has its address")
    check(poll(lambda: PAGE in fetch("rct-out", "10.1.0.1", WEB), 30, 0.5), "and is reached")
    DOCKER("rm", "-f", "web", "one", "two")
    DOCKER("network", "rm", "own")


def scenario():
    neighbours("rct-out")
    mounts(*STATE)
    try:
        # By itself, dockerd waits for it for a quarter of a minute only.
        with daemon("containerd", ready=lambda: run("ctr", "version", must=False)[0] == 0, seconds=90):
            with dockerd():
                web = first_run()
                long = dial("rct-out", "10.1.0.1", ECHO)
                check(long and echoed(long), "a connection to another published port stands")
            with long:
                check(echoed(long), "it goes on while the daemon is down")
                with dockerd():
                    later_run(web, long)
    finally:
        run("pkill", "-f", "containerd-shim", must=False)
        unmount(*STATE)


main(scenario, "docker.io", "docker-cli", "containerd", "runc")
