#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What the machine of test_install.sh does after it has booted.

It checks its tracker, and takes the step that the kernel's command line names.
"""

import glob
import os
import re
import socket
import subprocess
import sys
import time

RELEASE = os.uname().release
NAME = "nf_conntrack"
NEAR, FAR = "10.9.0.1", "10.9.0.2"
OPTIONS = "/etc/modprobe.d/machine.conf"
BUCKETS = 8192
# What rust-ct-switch is to put back beside the rules.
SETTING, SET = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established", "4321"
USER = "nf_conntrack_ftp"


def run(*command):
    """Status and what was printed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout.strip()


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def check(right, what, seen=""):
    print(f"{'ok' if right else 'not ok'} - {STEP}: {what}", flush=True)
    if not right and seen:
        print("".join(f"    {line}\n" for line in str(seen).splitlines()[-20:]), end="", flush=True)


def file_of_module():
    return run("modinfo", "-F", "filename", NAME)[1]


def log():
    return run("dmesg")[1]


def listen(port):
    server = socket.create_server(("0.0.0.0", port))
    server.settimeout(5)
    return server


def called(port):
    """Whether somebody else, in a namespace of their own, gets a connection to that port."""
    with listen(port):
        return run("ip", "netns", "exec", "peer", "nc", "-z", "-w", "3", NEAR, str(port))[0] == 0


def firewall():
    """nftables.service has loaded its rules, and they see the state of connections."""
    check(run("systemctl", "is-active", "nftables.service")[1] == "active", "nftables.service is up")
    run("ip", "netns", "add", "peer")
    run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", "peer")
    run("ip", "addr", "add", f"{NEAR}/24", "dev", "near")
    run("ip", "link", "set", "near", "up")
    run("ip", "-n", "peer", "addr", "add", f"{FAR}/24", "dev", "far")
    for device in ("far", "lo"):
        run("ip", "-n", "peer", "link", "set", device, "up")
    with subprocess.Popen(["ip", "netns", "exec", "peer", "nc", "-l", "-k", "8080"]) as server:
        for _ in range(50):
            if "8080" in run("ip", "netns", "exec", "peer", "ss", "-ltn")[1]:
                break
            time.sleep(0.2)
        try:
            with socket.create_connection((FAR, 8080), 10):
                answered = True
                entries = run("conntrack", "-L", "-p", "tcp", "--dport", "8080")[1]
        except OSError as error:
            answered, entries = False, error
        server.kill()
    check(answered, "the machine calls out: what answers comes in")
    check("ESTABLISHED" in str(entries), "conntrack lists the connection as ESTABLISHED", entries)
    check(called(22), "a new connection to an open port comes in")
    check(not called(9999), "and none to another port")
    rules = run("nft", "list", "ruleset")[1]
    counted = re.search(r"ct state established,related counter packets [1-9]", rules)
    check(counted, "the rule for answers counted them", rules)
    run("ip", "netns", "del", "peer")


def kernels_own():
    check(os.path.exists(f"/sys/module/{NAME}"), "a tracker is there")
    check(not os.path.exists("/proc/rust_ct"), "it is the kernel's own")
    firewall()


def boot_usec(unit, event):
    return int(run("systemctl", "show", "-P", f"{event}TimestampMonotonic", unit)[1] or 0)


def ours(version, where):
    check(os.path.exists("/proc/rust_ct"), "the tracker is rust_ct (/proc/rust_ct is there)")
    by_name = os.path.exists(f"/sys/module/{NAME}") and not os.path.exists("/sys/module/rust_ct")
    check(by_name, f"by the name of {NAME}")
    check(f"/updates/{where}/" in file_of_module(), f"modinfo finds it in updates/{where}", file_of_module())
    found = os.path.exists(f"/sys/module/{NAME}/version") and read(f"/sys/module/{NAME}/version").strip()
    check(found == version, f"its version is {version}", found)
    at = re.search(r"\[ *([0-9.]+)\][^\n]*tracking connections", log())
    firewall_at = boot_usec("nftables.service", "InactiveExit") / 1e6
    loaded_at = boot_usec("systemd-modules-load.service", "ActiveEnter") / 1e6
    early = at and float(at[1]) < firewall_at
    check(early, "it was there before the firewall, which is there before the network", (at, firewall_at))
    check(loaded_at <= firewall_at, "systemd-modules-load brought it", (loaded_at, firewall_at))
    if os.path.exists(OPTIONS):
        check(hashsize() == BUCKETS, "options in modprobe.d hold", hashsize())
    seen = "\n".join(re.findall(r"rust_ct: .*", log()))
    check(os.path.exists(f"/sys/kernel/btf/{NAME}"), "BPF programs find what they call, by its BTF", seen)
    firewall()


def hashsize():
    return int(read(f"/sys/module/{NAME}/parameters/hashsize"))


def dpkg(what, *arguments):
    began = time.monotonic()
    status, text = run("dpkg", *arguments)
    check(status == 0, f"{what} ({time.monotonic() - began:.0f} s)", text)
    return text


def debs(version):
    names = [f"/root/test/rust-ct-{name}_{version}_*.deb" for name in ("common", "modules-*")]
    return [path for name in names for path in glob.glob(name)]


def versions():
    """The two that the packages have, the older one first."""
    return sorted((path.split("_")[1] for path in glob.glob("/root/test/rust-ct-common_*.deb")), key=len)


def left():
    """Files that the packages have left behind, but for those of this test."""
    named = ("(", "-name", "*rust-ct*", "-o", "-name", "*rust_ct*", ")")
    where = ("/usr", "/etc", "/lib/modules", "/var")
    return run("find", *where, *named, "-not", "-path", "/etc/systemd/*", "-not", "-path", "/var/log/*")[1]


def switch(tracker):
    began = time.monotonic()
    status, text = run("rust-ct-switch", tracker)
    right = status == 0 and os.path.exists("/proc/rust_ct") == (tracker == "rust_ct")
    check(right, f"rust-ct-switch {tracker} ({time.monotonic() - began:.0f} s)", text)
    check(read(SETTING).strip() == SET, f"a setting is as before, on {tracker}", read(SETTING))
    check(os.path.exists(f"/sys/module/{USER}"), f"so are modules that nobody asks for, on {tracker}")


def before():
    kernels_own()
    with open(OPTIONS, "w", encoding="utf-8") as file:
        file.write(f"options {NAME} hashsize={BUCKETS}\n")
    text = dpkg("the packages are installed", "-i", *debs(OLD))
    check("from the next boot" in text, "they say when it begins", text)
    check("/updates/rust-ct/" in file_of_module(), "modprobe will find it", file_of_module())
    check(not os.path.exists("/proc/rust_ct"), "nothing has changed for what runs")
    run("modprobe", USER)
    with open(SETTING, "w", encoding="utf-8") as file:
        file.write(SET)
    for tracker in ("rust_ct", "kernel"):
        switch(tracker)
        firewall()


def first():
    ours(OLD, "rust-ct")
    dpkg(f"they are upgraded to {NEW}", "-i", *debs(NEW))
    check(os.path.exists("/proc/rust_ct"), "connections are tracked meanwhile")


def upgraded():
    ours(NEW, "rust-ct")
    file = file_of_module()
    with open(file, "r+b") as module:
        module.truncate(os.path.getsize(file) // 2)
    run("depmod", "-a")


def refused():
    kernels_own()
    found = re.findall(r"rust_ct: .*", log())
    check(any("is not used" in line for line in found), "the log says why it is not rust_ct", found)
    check(any("kernel's own" in line for line in found), "and what there is instead", found)
    check(hashsize() == BUCKETS, "options in modprobe.d hold for it, too", hashsize())
    names = [os.path.basename(path).split("_")[0] for path in debs(NEW)]
    dpkg("the packages are purged", "--purge", *names)
    check("/kernel/net/netfilter/" in file_of_module(), "modprobe will find the kernel's own", file_of_module())
    check(not left(), "nothing of them is left", left())


def dkms_off():
    kernels_own()
    found = re.findall(r"rust_ct: .*", log())
    check(any("rust_ct=off" in line for line in found), "as the kernel's command line asks, the log says", found)
    check("/updates/dkms/" in file_of_module(), "modprobe would find what DKMS has built", file_of_module())


def dkms():
    ours(NEW, "dkms")
    dpkg("the packages are purged", "--purge", "rust-ct-dkms", "rust-ct-common")
    check("/kernel/net/netfilter/" in file_of_module(), "modprobe will find the kernel's own", file_of_module())
    check(not left(), "nothing of them is left", left())


STEPS = {
    "before": before,
    "ours": first,
    "upgraded": upgraded,
    "refused": refused,
    "after": kernels_own,
    "dkms_off": dkms_off,
    "dkms": dkms,
    "purged": kernels_own,
}
STEP = re.search(r"rust_ct_step=(\S+)", read("/proc/cmdline"))[1]
OLD, NEW = versions()
try:
    STEPS[STEP]()
    print("done", flush=True)
finally:
    sys.stdout.flush()
