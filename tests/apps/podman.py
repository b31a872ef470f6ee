# SPDX-License-Identifier: GPL-2.0
"""podman with netavark: published ports, masquerading, a network with names by aardvark-dns, a reload."""

# limit: 400

from apps import (
    dial,
    echoed,
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
    poll,
)

STATE = ("/var/lib/containers",)
PODMAN = Engine("podman", "--cgroup-manager=cgroupfs", "--events-backend=file", "--storage-driver=overlay")


def scenario():
    neighbours("rct-out")
    mounts(*STATE)
    try:
        PODMAN("import", image(), "box")
        published = ["-p", f"{WEB}:80", "-p", f"{ECHO}:90", "-p", f"{DATAGRAMS}:53/udp"]
        PODMAN("run", "-d", "--cgroups=disabled", "--name", "web", *published, "box", "/bin/sh", "-c", SERVES)
        web = PODMAN("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web").strip()
        PODMAN.published(web, "127.0.0.1")
        PODMAN.leaves("web")
        PODMAN.datagrams(PODMAN("inspect", "-f", "{{.State.Pid}}", "web").strip())
        PODMAN("network", "create", "own")
        for name in ("one", "two"):
            PODMAN(
                "run", "-d", "--cgroups=disabled", "--name", name, "--network", "own", "box", "/bin/sh", "-c", SERVES
            )
        PODMAN.names("one", "two", "a network of its own")
        with dial("rct-out", "10.1.0.1", ECHO) as long:
            check(echoed(long), "a connection to another published port stands")
            PODMAN("network", "reload", "web")
            check(echoed(long), "it goes on after the network's rules are made anew")
        check(PAGE in fetch("rct-out", "10.1.0.1", WEB), "new ones come in, too")
        PODMAN("stop", "-t", "0", "web")
        check(not reaches("rct-out", "10.1.0.1", WEB), "a stopped container's port is closed")
        PODMAN("start", "web")
        check(poll(lambda: PAGE in fetch("rct-out", "10.1.0.1", WEB), 30, 0.5), "started again, it is reached")
    finally:
        PODMAN("rm", "-f", "-t", "0", "-a", must=False)
        PODMAN("network", "rm", "own", must=False)
        unmount(*STATE)


main(scenario, "podman", "netavark", "aardvark-dns", "crun")
