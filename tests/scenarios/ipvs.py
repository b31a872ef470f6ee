# SPDX-License-Identifier: GPL-2.0
"""IPVS on the tracker: virtual services by NAT, direct routing and tunnel, whose connections are tracked; FTP."""

# limit: 240
# left out of CI on: debug

import shutil
import socket

from policy import (
    CLIENT,
    ENDS,
    ROUTER,
    SERVER,
    Control,
    missing,
    set_up_stacks,
)

from lib import (
    SLOW,
    check,
    equal,
    find,
    ip_batch,
    main,
    make_socket,
    run,
    shown,
    skip,
    write,
)

# The virtual address, the router's own towards the client, and services that only IPVS has.
VIRTUAL = {"IPv4": "10.1.0.1", "IPv6": "fd01::1"}
NAT_PORT, DIRECT_PORT, TUNNEL_PORT, FTP_PORT = 8080, 80, 81, 21


def at(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def service(kind, port, real_port, mode):
    """One virtual service with one real server."""
    virtual, real = VIRTUAL[kind], ENDS[kind][1]
    run("ipvsadm", "-A", "-t", at(virtual, port), "-s", "rr", ns=ROUTER)
    run("ipvsadm", "-a", "-t", at(virtual, port), "-r", at(real, real_port), mode, ns=ROUTER)


def page(kind, port, listener):
    """Asks the virtual service; returns what came back, and the client's port."""
    with make_socket(CLIENT, ENDS[kind][0], 0, socket.SOCK_STREAM) as caller:
        caller.connect((VIRTUAL[kind], port))
        with listener.accept()[0] as served:
            served.settimeout(10 * SLOW)
            caller.sendall(b"GET")
            served.recv(3)
            served.sendall(b"page" * 5000)
            got = b""
            while len(got) < 20000:
                got += caller.recv(65536)
            return got, caller.getsockname()[1]


def nat(kind):
    """NAT: the entry has the virtual address on one side and the server on the other."""
    service(kind, NAT_PORT, DIRECT_PORT, "-m")
    with make_socket(SERVER, ENDS[kind][1], DIRECT_PORT, socket.SOCK_STREAM) as listener:
        listener.listen()
        got, port = page(kind, NAT_PORT, listener)
    equal(got, b"page" * 5000, f"{kind}, NAT: the virtual service answers")
    found = find(ROUTER, l4="tcp", sport=port)
    seen = [(one.orig["dst"], one.orig["dport"], one.reply["src"], one.reply["sport"]) for one in found]
    want = (shown(VIRTUAL[kind]), str(NAT_PORT), shown(ENDS[kind][1]), str(DIRECT_PORT))
    equal(seen, [want], f"{kind}, NAT: one entry, with the virtual address and the server's")
    check("ASSURED" in found[0].flags, f"{kind}, NAT: it is ASSURED", found[0].line)


def by_itself(what, kind, port, mode):
    """A server that has the virtual address, too: what it is sent is not changed, and it answers by itself."""
    service(kind, port, port, mode)
    virtual = VIRTUAL[kind]
    with make_socket(SERVER, virtual, port, socket.SOCK_STREAM) as listener:
        listener.listen()
        got, client = page(kind, port, listener)
    equal(got, b"page" * 5000, f"{what}: the virtual service answers")
    found = find(ROUTER, l4="tcp", sport=client)
    seen = [(one.orig["dst"], one.reply["src"], "ASSURED" in one.flags) for one in found]
    equal(
        seen,
        [(shown(virtual), shown(virtual), True)],
        f"{what}: one entry, with the virtual address on both sides, ASSURED",
    )


def direct(kind):
    """Direct routing."""
    virtual = VIRTUAL[kind]
    ip_batch(
        SERVER, f"addr add {virtual}/{128 if ':' in virtual else 32} dev lo" + (" nodad" if ":" in virtual else "")
    )
    # What the server answers comes from the router's own address.
    write(f"/proc/sys/net/ipv4/conf/{SERVER}/accept_local", 1, ROUTER)
    by_itself(f"{kind}, direct routing", kind, DIRECT_PORT, "-g")


TUNNELS = {"IPv4": ("ipip", "tunl0", 4), "IPv6": ("ip6_tunnel", "ip6tnl0", 41)}


def tunnel(kind):
    """Tunnel: the server has the virtual address behind a tunnel."""
    module, device, proto = TUNNELS[kind]
    if missing(module):
        skip(f"{kind}, tunnel", f"this kernel does not have {module}")
        return
    ip_batch(SERVER, f"link set {device} up")
    if kind == "IPv4":
        write(f"/proc/sys/net/ipv4/conf/{device}/rp_filter", 0, SERVER)
    by_itself(f"{kind}, tunnel", kind, TUNNEL_PORT, "-i")
    outer = find(ROUTER, proto=proto, dst=ENDS[kind][1])
    check(
        len(outer) == 1 and "UNREPLIED" in outer[0].flags,
        f"{kind}, tunnel: and one of the tunnel",
        [one.line for one in outer],
    )


def ftp(kind):
    """ip_vs_ftp: what the server announces has the virtual address, and its data connection comes through."""
    what, virtual = f"{kind}, FTP", VIRTUAL[kind]
    service(kind, FTP_PORT, FTP_PORT, "-m")
    control = Control(kind, virtual)
    home, real = control.home, control.away
    control.says("client", control.asks)
    line = control.announcement("server", 5001)
    want = line.replace(real.replace(".", ","), virtual.replace(".", ","))
    equal(control.says("server", line), want, f"{what}, passive: the line has the virtual address")
    control.data(f"{what}, passive", (CLIENT, home), (virtual, 5001), (SERVER, real, 5001))
    found = find(ROUTER, l4="tcp", src=home, dport=5001)
    seen = [(one.orig["dst"], one.reply["src"]) for one in found]
    equal(seen, [(shown(virtual), shown(real))], f"{what}, passive: its entry has the virtual address and the server's")
    line = control.announcement("client", 5002)
    equal(control.says("client", line), line, f"{what}, active: the line comes over")
    seen = control.data(f"{what}, active", (SERVER, real, 20), (home, 5002), (CLIENT, home, 5002))
    equal(seen, virtual, f"{what}, active: the client sees the virtual address")
    equal(control.says("server", "226 done\r\n"), "226 done\r\n", f"{what}: the control connection goes on")
    found = find(ROUTER, l4="tcp", src=home, dport=FTP_PORT)
    equal([one.state for one in found], ["ESTABLISHED"], f"{what}: and is followed")
    control.close()


def scenario():
    if not shutil.which("ipvsadm"):
        skip("IPVS' connections are tracked", "this machine does not have ipvsadm")
        return
    lacking = missing("ip_vs", "ip_vs_rr", "nf_nat")
    if lacking:
        skip("IPVS' connections are tracked", f"this kernel does not have {' '.join(lacking)}")
        return
    set_up_stacks()
    missing("ip_vs")  # the tracker was loaded anew, and its users were not
    no_ftp = missing("ip_vs_ftp")
    write("/proc/sys/net/ipv4/vs/conntrack", 1, ROUTER)
    for kind in ENDS:
        nat(kind)
        direct(kind)
        tunnel(kind)
        if no_ftp:
            skip(f"{kind}, FTP", f"this kernel does not have {' '.join(no_ftp)}")
        else:
            ftp(kind)
    run("ipvsadm", "-C", ns=ROUTER)


main(scenario)
