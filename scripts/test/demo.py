#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""demo.py: the demonstration, as root in the guest; RUST_CT_KO is the module.

It loads rust_ct into the running kernel, lets real programs talk between network namespaces, and shows what rust_ct
says about them. Every line marked [x] was checked; the first that does not hold ends the demonstration with exit
status 1.
"""

import os
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests/scenarios"))
from lib import (  # noqa: E402
    MODPROBE_OVERRIDE,
    allow_reference,
    client_router_server,
    drop_namespaces,
    inside,
    loaded,
    named_counters,
    poll,
    read,
    remove,
    run,
    write,
)

CLIENT, ROUTER, SERVER = MACHINES = "client", "router", "server"
# What each family calls its rules, itself, its pings, and where client and server are.
FAMILIES = (
    ("iptables", "IPv4", "icmp .* type=8 code=0 id=[0-9]+ .* type=0", "10.1.0.2", "10.2.0.2"),
    ("ip6tables", "IPv6", "icmpv6 .* type=128 code=0 id=[0-9]+ .* type=129", "fd01::2", "fd02::2"),
)
NET_PROGRAMS = ("python3", "demo_net.py")
PICTURE = """
      client                     router                     server
      10.1.0.2  ----------  10.1.0.1 10.2.0.1  ----------  10.2.0.2
      fd01::2                fd01::1 fd02::1                fd02::2
"""
steps = []


class Untrue(Exception):
    """What had to hold does not."""


# ---- words


def step(title):
    steps.append(title)
    print(f"\n=== {len(steps)}. {title}")


def say(text):
    print(textwrap.indent(textwrap.fill(text, 96), "    "))


def quote(text):
    if text:
        print(textwrap.indent(text.rstrip("\n"), "      "), flush=True)


def show(*command, ns=None, only=""):
    """Shows a command, at the prompt of the machine that is named, if any, and what it prints."""
    print(f"    {ns or ''}# {' '.join(command)}")
    quote("\n".join(line for line in run(*command, ns=ns)[1].splitlines() if re.search(only, line)))


def must(sentence, truth, why=""):
    """The sentence holds; `why` is shown if not."""
    if not truth:
        quote(str(why))
        raise Untrue(sentence)
    print(f"    [x] {sentence}", flush=True)


def soon(question):
    return poll(question, 60, 0.2)


# ---- the little network


def url(address, port=""):
    return f"http://[{address}]{port}/" if ":" in address else f"http://{address}{port}/"


def serve(ns, what, address, *port):
    """A server that runs until its machine is switched off."""
    with inside(ns):
        subprocess.Popen([*NET_PROGRAMS, what, address, *port], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def listens(ns, address, port):
    where = f" [{address}]:{port} " if ":" in address else f" {address}:{port} "
    return soon(lambda: where in run("ss", "-Hlntu", ns=ns)[1])


def works(ns, *command):
    return run(*command, ns=ns, must=False)[0] == 0


# ---- what rust_ct says


def lines(ns, pattern):
    """The lines of /proc/rust_ct that match, as a person would look for them."""
    return [line for line in read("/proc/rust_ct", ns).splitlines() if re.search(pattern, line)]


def show_lines(ns, pattern):
    print(f"    {ns}# cat /proc/rust_ct")
    quote("\n".join(lines(ns, pattern)))


def one(sentence, ns, pattern):
    must(sentence, len(lines(ns, pattern)) == 1, "\n".join(lines(ns, "")))


def counted(command, states):
    """Packets that the client's rule for these states has counted."""
    saved = run("sh", "-c", f"{command}-save -c 2>/dev/null", ns=CLIENT)[1]
    return int(re.search(rf"^\[(\d+):.*-A INPUT .*--ctstate {states} ", saved, re.MULTILINE)[1])


# ---- the steps


def load_it():
    module = os.environ.get("RUST_CT_KO", "/out/stock/rust_ct/rust_ct.ko")
    step("The kernel, and the module")
    say("This is the kernel that Debian ships, not one of ours:")
    show("uname", "-rv")
    say(
        "Connection tracking in C (nf_conntrack.ko) is not loaded. We load rust_ct, written in Rust, in its place. "
        "The line for modprobe keeps the C module out when something asks for it."
    )
    must("no connection tracker is loaded", not loaded("nf_conntrack") and not loaded("rust_ct"))
    write(MODPROBE_OVERRIDE, "install nf_conntrack /bin/true\n")
    show("cat", MODPROBE_OVERRIDE)
    run("modprobe", "-a", "nf_defrag_ipv4", "nf_defrag_ipv6")
    show("insmod", module)
    show("cat", "/proc/modules", only="^rust_ct")
    quote([line for line in run("dmesg")[1].splitlines() if "rust_ct: " in line][-1])
    must("rust_ct is loaded, and /proc/rust_ct is there", os.access("/proc/rust_ct", os.R_OK))


def switch_on():
    step("Three machines")
    say("Three network namespaces stand for three machines, each with IPv4 and IPv6:")
    print(PICTURE)
    client_router_server(*MACHINES)
    for _, family, _, _, server in FAMILIES:
        serve(SERVER, "page", server, "80")
        serve(SERVER, "names", server)
        must(f"a web server listens on the server, {family}", listens(SERVER, server, 80))
        must("and a name server", listens(SERVER, server, 53))


def ping():
    step("Ping")
    say("The client pings the server. The router between them sees request and reply as one connection:")
    for _, _, _, _, server in FAMILIES:
        show("ping", "-c", "2", "-i", "0.3", "-q", server, ns=CLIENT)
    show_lines(ROUTER, "icmp")
    for _, family, pattern, _, _ in FAMILIES:
        one(f"the {family} ping is one connection, with its reply direction", ROUTER, f"^{family.lower()} .* {pattern} ")
    one("the client sees the same connection for itself", CLIENT, "^ipv4 .* icmp .* src=10.1.0.2 dst=10.2.0.2 ")


def ask():
    step("A question and an answer over UDP")
    for _, _, _, _, server in FAMILIES:
        show(*NET_PROGRAMS, "ask", server, "demo.example", ns=CLIENT)
    show_lines(ROUTER, " udp ")
    for _, family, _, _, _ in FAMILIES:
        one(f"{family}: one connection, replied to", ROUTER, f"^{family.lower()} .* udp +17 [0-9]+ src=.* sport=[0-9]+ dport=53 src=")


def fetch():
    step("A web page over TCP")
    with tempfile.TemporaryDirectory() as directory:
        pipe = f"{directory}/pipe"
        os.mkfifo(pipe)
        for _, family, _, _, server in FAMILIES:
            tcp = f"^{family.lower()} .* tcp "
            say(f"curl fetches {url(server)} and is made to wait before it reads the page. While the connection lives:")
            with inside(CLIENT):
                curl = subprocess.Popen(["curl", "-gsS", "-o", pipe, url(server)])
            alive = soon(lambda tcp=tcp: lines(ROUTER, rf"{tcp}.* ESTABLISHED .* dport=80 .*\[ASSURED\]"))
            must(f"{family}: the connection is ESTABLISHED in the router", alive)
            show_lines(ROUTER, tcp)
            say("Now curl reads the rest and closes. After that:")
            page = subprocess.run(["cat", pipe], stdout=subprocess.PIPE, timeout=60, check=True).stdout
            must(f"{family}: curl got the whole page, {len(page)} bytes", curl.wait(60) == 0 and len(page) == 110000)
            over = soon(lambda tcp=tcp: lines(ROUTER, f"{tcp}.* TIME_WAIT .* dport=80 "))
            must(f"{family}: the connection has closed and waits for stragglers", over)
            show_lines(ROUTER, tcp)


def guard():
    step("A firewall of three rules")
    say(
        "On the client, with the stock kernel's xt_conntrack.ko on top of rust_ct: replies come in, what makes no sense "
        "and what nobody asked for stays out."
    )
    for command, _, _, client, _ in FAMILIES:
        for states, target in (("RELATED,ESTABLISHED", "ACCEPT"), ("INVALID", "DROP"), ("NEW", "DROP")):
            show(command, "-A", "INPUT", "-m", "conntrack", "--ctstate", states, "-j", target, ns=CLIENT)
        serve(CLIENT, "page", client, "8080")
        must(f"the client now runs a web server too, at {url(client, ':8080')}", listens(CLIENT, client, 8080))
    must("xt_conntrack.ko is loaded", loaded("xt_conntrack"))
    must("nf_conntrack.ko is not", not loaded("nf_conntrack"))
    for command, _, _, inner, outer in FAMILIES:

        def rule(number, states, truth, sentence, command=command):
            count = counted(command, states)
            must(f"the {number} rule has counted {sentence}", truth(count), f"it is {count}")

        curl = ("curl", "-gsS", "-o", "/dev/null", "-m")
        must(f"the client fetches a page from {outer}: replies come in", works(CLIENT, *curl, "60", url(outer)))
        pinged = works(CLIENT, "ping", "-c", "2", "-i", "0.3", "-W", "10", "-q", outer)
        must(f"the client pings {outer}: replies come in", pinged)
        rule("first", "RELATED,ESTABLISHED", lambda count: count > 2, "them")
        rule("second", "INVALID", lambda count: count == 0, "nothing")
        rule("third", "NEW", lambda count: count == 0, "nothing")
        pinged = works(SERVER, "ping", "-c", "3", "-i", "0.3", "-W", "1", "-q", inner)
        must(f"the server pings {inner}, unasked: no answer", not pinged)
        rule("third", "NEW", lambda count: count == 3, "its three packets")
        say("The server sends four forged ping replies.")
        run(*NET_PROGRAMS, "forge", outer, inner, "4", ns=SERVER)
        rule("second", "INVALID", lambda count: count == 4, "four")
        called = works(SERVER, *curl, "2", url(inner, ":8080"))
        must(f"the server calls the web server on {inner}, unasked: no connection", not called)
        rule("third", "NEW", lambda count: count > 3, "its attempts")
        show(command, "-L", "INPUT", "-v", "-n", ns=CLIENT)


def count_up():
    step("What rust_ct has counted")
    say("Every reason for which a packet was found INVALID has a counter of its own. Those of the client that are not zero:")
    counters = named_counters(CLIENT)
    quote("\n".join(f"{name} {value}" for name, value in counters.items() if value))
    must("the eight forged replies are there by name", counters["invalid_icmp_new"] == 8, counters)


def unload_it():
    step("Unloading")
    say("The machines are switched off, and the module goes.")
    switch_off()
    status, output = remove("rust_ct", must=False)
    must("rmmod rust_ct", status == 0, output)
    must("the module is gone", not loaded("rust_ct"))
    must("/proc/rust_ct is gone", not os.path.exists("/proc/rust_ct"))
    must("/proc/net/nf_conntrack is gone", not os.path.exists("/proc/net/nf_conntrack"))
    must("no sysctl is left", not os.path.exists("/proc/sys/net/netfilter/nf_conntrack_max"))
    slabs = re.findall("^(?:rust_ct|nf_conntrack).*", read("/proc/slabinfo"), re.MULTILINE)
    must("no memory is left: its slab is gone", not slabs, slabs)
    complaints = [line for line in run("dmesg")[1].splitlines() if re.search("BUG:|WARNING:|Oops|rust_ct.*panic", line)]
    must("the kernel has not complained", not complaints, "\n".join(complaints))


def switch_off():
    for machine in MACHINES:
        drop_namespaces(machine)


def main():
    os.chdir(HERE)
    try:
        for part in (load_it, switch_on, ping, ask, fetch, guard, count_up, unload_it):
            part()
        print("\nThat was rust_ct: every line marked [x] was checked.")
        return 0
    except (Untrue, RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"\n*** The demonstration failed in step {len(steps)} ({steps[-1]}): not true: {error}")
        quote("\n".join(run("dmesg")[1].splitlines()[-5:]))
        return 1
    finally:
        switch_off()
        allow_reference()


sys.exit(main())
