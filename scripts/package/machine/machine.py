#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What the machine of test_install.sh does after it has booted.

It checks its tracker, and takes the step that the kernel's command line names.
"""

import contextlib
import glob
import io
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import time

RELEASE = os.uname().release
NAME = "nf_conntrack"
NEAR, FAR = "10.9.0.1", "10.9.0.2"
OPTIONS = "/etc/modprobe.d/machine.conf"
BUCKETS = 8192
# What rust-ct-switch is to put back beside the rules: an entry, as conntrack names it, and its translation ...
ENTRY, TO = "-p udp -s 10.8.0.1 -d 10.8.0.2 --sport 9 --dport 9", "10.8.0.9"
# ... a setting, and a module.
SETTING, SET = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established", "4321"
# One that only rust_ct has, and what the machine's sysctl.d says (test_install.sh), which is not its default.
OURS, SAID = "/proc/sys/net/netfilter/nf_conntrack_tcp_rfc5961", "0"
USER = "nf_conntrack_ftp"
# A module that rules need, and a file that says when it may be loaded.
NEEDED, REFUSES = "nft_masq", "/etc/modprobe.d/refuses.conf"
KEPT = "/run/rust-ct-switch.nft"
# The port that this machine calls, to which one of the other host a rule leads that, and who answers there: with what
# it hears.
CALLED, LED = 79, 8082
ECHO = f"""import socket
call = socket.create_server(("0.0.0.0", {LED})).accept()[0]
while data := call.recv(99):
    call.sendall(data)
"""
# A published port of a container, and what is to be read there.
WEB, PAGE = 8081, "page of the container"
DOCKER = ("containerd.service", "docker.service", "docker.socket")


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
    """Whether another host, a namespace of its own, gets a connection to that port."""
    with listen(port):
        return run("ip", "netns", "exec", "peer", "nc", "-z", "-w", "3", NEAR, str(port))[0] == 0


@contextlib.contextmanager
def peer():
    """Another host, a namespace of its own, that listens at port 8080."""
    run("ip", "netns", "add", "peer")
    run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", "peer")
    run("ip", "addr", "add", f"{NEAR}/24", "dev", "near")
    run("ip", "link", "set", "near", "up")
    run("ip", "-n", "peer", "addr", "add", f"{FAR}/24", "dev", "far")
    for device in ("far", "lo"):
        run("ip", "-n", "peer", "link", "set", device, "up")
    with subprocess.Popen(["ip", "netns", "exec", "peer", "nc", "-l", "-k", "8080"]) as server:
        wait(lambda: "8080" in run("ip", "netns", "exec", "peer", "ss", "-ltn")[1], 10)
        try:
            yield
        finally:
            server.kill()
            run("ip", "netns", "del", "peer")


@contextlib.contextmanager
def call():
    """A connection to the other host that a rule translates."""
    with subprocess.Popen(["ip", "netns", "exec", "peer", "python3", "-c", ECHO]) as server:
        wait(lambda: f":{LED} " in run("ip", "netns", "exec", "peer", "ss", "-ltn")[1], 60)
        try:
            with socket.create_connection((FAR, CALLED), 30) as calling:
                yield calling
        finally:
            server.kill()


def echoed(calling, text):
    """What the other host answers."""
    try:
        calling.sendall(text)
        return calling.recv(99)
    except OSError as error:
        return error


def firewall():
    """nftables.service has loaded its rules, and they see the state of connections; so do docker's."""
    check(run("systemctl", "is-active", "nftables.service")[1] == "active", "nftables.service is up")
    with peer():
        try:
            with socket.create_connection((FAR, 8080), 10):
                answered = True
                entries = run("conntrack", "-L", "-p", "tcp", "--dport", "8080")[1]
        except OSError as error:
            answered, entries = False, error
        check(answered, "the machine calls out: what answers comes in")
        check("ESTABLISHED" in str(entries), "conntrack lists the connection as ESTABLISHED", entries)
        check(called(22), "a new connection to an open port comes in")
        check(not called(9999), "and none to another port")
        rules = run("nft", "list", "ruleset")[1]
        counted = re.search(r"ct state established,related counter packets [1-9]", rules)
        check(counted, "the rule for answers counted them", rules)
        if run("systemctl", "is-enabled", "docker.service")[1] == "enabled":
            container()


def page():
    """What another host reads at the published port."""
    return run("ip", "netns", "exec", "peer", "busybox", "wget", "-T", "10", "-qO-", f"http://{NEAR}:{WEB}/")[1]


def container():
    """dockerd has been started by systemd, and has started its container."""
    up = run("systemctl", "is-active", "docker.service")[1]
    since = boot_usec("docker.service", "ActiveEnter") / 1e6
    check(up == "active", f"docker is up, since {since:.0f} s after the kernel began", up)
    check(wait(lambda: page() == PAGE, 180), "another host reads a container's page at its published port", page())
    address = run("docker", "inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web")[1]
    entries = run("conntrack", "-L", "-p", "tcp", "--dport", str(WEB))[1]
    listed = re.search(rf"src={FAR} dst={NEAR} \S+ dport={WEB} src={re.escape(address)} dst={FAR} sport=80 ", entries)
    check(address and listed, "conntrack lists it with the container's address in the reply", (address, entries))
    status, text = run("docker", "exec", "web", "/bin/nc", "-w", "5", FAR, "8080", "-e", "/bin/true")
    entries = run("conntrack", "-L", "-p", "tcp", "--dport", "8080", "--src", address)[1]
    check(status == 0, "the container calls another host", text)
    check(f"src={FAR} dst={NEAR} " in entries, "which sees this machine's address", entries)


def image():
    """A root directory as a tar: busybox by the names that are called, and a page."""
    name = "/root/test/busybox.tar"
    with tarfile.open(name, "w") as tar:
        tar.add("/usr/bin/busybox", "bin/busybox")
        for program in ("sh", "httpd", "nc", "true"):
            link = tarfile.TarInfo(f"bin/{program}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        member = tarfile.TarInfo("www/index.html")
        member.size = len(PAGE)
        tar.addfile(member, io.BytesIO(PAGE.encode()))
    return name


def docker_begins():
    """From now on docker is there at each boot, with a container that it starts by itself."""
    began = time.monotonic()
    status, text = run("systemctl", "enable", "--now", *DOCKER)
    check(status == 0, f"docker is started ({time.monotonic() - began:.0f} s)", text)
    run("docker", "import", image(), "box")
    options = ("--restart=always", "--stop-signal=KILL", "--name=web", f"-p{WEB}:80")
    status, text = run("docker", "run", "-d", *options, "box", "/bin/httpd", "-f", "-p", "80", "-h", "/www")
    check(status == 0, "it runs a container", text)


def docker_ends():
    run("docker", "rm", "-f", "web")
    status, text = run("systemctl", "disable", "--now", *DOCKER)
    check(status == 0, "docker is gone from the next boot on", text)


def wait(condition, seconds):
    """Whether the condition holds within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def boot_usec(unit, event):
    return int(run("systemctl", "show", "-P", f"{event}TimestampMonotonic", unit)[1] or 0)


def seconds_of(pattern):
    """When the kernel logged that, first, after it began."""
    found = re.search(rf"^\[ *([0-9.]+)\].*(?:{pattern})", log(), re.MULTILINE)
    return float(found[1]) if found else None


def before_network():
    """The firewall was there before the network; returns when it began."""
    began, there = (boot_usec("nftables.service", event) / 1e6 for event in ("InactiveExit", "ActiveEnter"))
    network = boot_usec("network-pre.target", "ActiveEnter") / 1e6
    check(0 < began <= there <= network, "the firewall was there before the network", (began, there, network))
    return began


def kernels_own():
    check(os.path.exists(f"/sys/module/{NAME}"), "a tracker is there")
    check(not os.path.exists("/proc/rust_ct"), "it is the kernel's own")
    before_network()
    firewall()


def is_early():
    """The tracker is older than systemd, which loads autofs4 first; the newest module is the first of the list."""
    names = [line.split()[0] for line in read("/proc/modules").splitlines()]
    return names.index(NAME) > names.index("autofs4")


def ours(version, where, early=False):
    check(os.path.exists("/proc/rust_ct"), "the tracker is rust_ct (/proc/rust_ct is there)")
    by_name = os.path.exists(f"/sys/module/{NAME}") and not os.path.exists("/sys/module/rust_ct")
    check(by_name, f"by the name of {NAME}")
    check(f"/updates/{where}/" in file_of_module(), f"modinfo finds it in updates/{where}", file_of_module())
    found = os.path.exists(f"/sys/module/{NAME}/version") and read(f"/sys/module/{NAME}/version").strip()
    check(found == version, f"its version is {version}", found)
    at = seconds_of("tracking connections")
    firewall_at = before_network()
    check(at and at < firewall_at, "it was there before the firewall", (at, firewall_at))
    if early:
        check(is_early(), "it was loaded from the initramfs", read("/proc/modules"))
        mounted_at = seconds_of("EXT4-fs .*mounted filesystem")
        check(at and mounted_at and at < mounted_at, "before the root was mounted", (at, mounted_at))
    else:
        loaded_at = boot_usec("systemd-modules-load.service", "ActiveEnter") / 1e6
        brought = not is_early() and 0 < loaded_at <= firewall_at
        check(brought, "systemd-modules-load brought it", (loaded_at, firewall_at))
    if os.path.exists(OPTIONS):
        check(hashsize() == BUCKETS, "options in modprobe.d hold", hashsize())
    check(read(OURS).strip() == SAID, "so does sysctl.d, for a setting that only rust_ct has", read(OURS))
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
    """The two versions of the packages, the older first."""
    return sorted((path.split("_")[1] for path in glob.glob("/root/test/rust-ct-common_*.deb")), key=len)


def left():
    """Files that the packages have left behind, but for this test's files."""
    named = ("(", "-name", "*rust-ct*", "-o", "-name", "*rust_ct*", ")")
    where = ("/usr", "/etc", "/lib/modules", "/var")
    return run("find", *where, *named, "-not", "-path", "/etc/systemd/*", "-not", "-path", "/var/log/*")[1]


def remains():
    """What rust-ct-switch leaves as it is when it refuses: which tracker, the rules but for what they
    counted, and a setting."""
    return os.path.exists("/proc/rust_ct"), run("nft", "-s", "list", "ruleset")[1], read(SETTING)


def switch(tracker):
    rules = remains()[1]
    run("conntrack", "-A", *ENTRY.split(), "-n", TO, "-t", "3000", "-m", "7")
    with peer(), call() as calling:
        check(echoed(calling, b"before") == b"before", "a translated connection is open")
        pings = ("ip", "netns", "exec", "peer", "ping", "-q", "-i", "0.1", NEAR)
        with subprocess.Popen(pings, stdout=subprocess.PIPE, text=True) as ping:
            began = time.monotonic()
            status, text = run("rust-ct-switch", tracker)
            took = time.monotonic() - began
            ping.send_signal(signal.SIGINT)
            answers = ping.communicate()[0]
        answer = echoed(calling, b"after")
        check(answer == b"after", f"and goes on, on {tracker}", (answer, run("conntrack", "-L", "-p", "tcp")[1]))
    right = status == 0 and os.path.exists("/proc/rust_ct") == (tracker == "rust_ct")
    check(right, f"rust-ct-switch {tracker} ({took:.0f} s)", text)
    sent = re.search(r"(\d+) packets transmitted, 0 received", answers)
    check(sent and int(sent[1]) > 10, "nothing came in meanwhile", answers)
    check(remains()[1] == rules, f"the rules are as before, on {tracker}", remains()[1])
    entry = run("conntrack", "-L", *ENTRY.split())[1]
    check(f"dst={TO}" in entry and "mark=7" in entry, f"an entry with a translation is as before, on {tracker}", entry)
    check(read(SETTING).strip() == SET, f"a setting is as before, on {tracker}", read(SETTING))
    check(os.path.exists(f"/sys/module/{USER}"), f"so are modules that nobody asks for, on {tracker}")
    if tracker == "rust_ct":
        check(read(OURS).strip() == SAID, "a setting that only rust_ct has is that of sysctl.d", read(OURS))


def switch_refuses(why, pattern):
    """rust-ct-switch fails, says so, and everything is as it was."""
    as_before = remains()
    status, text = run("rust-ct-switch", "rust_ct")
    check(status != 0 and re.search(pattern, text), f"rust-ct-switch refuses: {why}", text)
    check(remains() == as_before, "and tracker, rules and settings are as before", (text, as_before, remains()))


def switch_with_namespace():
    with peer():
        run("ip", "netns", "exec", "peer", "nft", "add table ip t; add chain ip t c; add rule ip t c ct state new")
        # sysfs numbers a module anew when it is loaded again.
        number = os.stat("/sys/module/nf_nat").st_ino
        switch_refuses("another namespace uses the tracker", "in use.*nothing was changed")
        check(os.stat("/sys/module/nf_nat").st_ino == number, "nf_nat, without which translations end, stayed")


def needed_loads(when):
    """From now on the module that rules need can be loaded when a command says so."""
    with open(REFUSES, "w", encoding="utf-8") as file:
        file.write(f"install {NEEDED} {when} && /sbin/modprobe --ignore-install {NEEDED}\n")


def switch_without_rules():
    """The rules are good when rust-ct-switch looks at them, and are not taken after the change: a module
    that they need cannot be loaded any more."""
    needed_loads("test ! -e /proc/rust_ct")
    switch_refuses("the rules are not taken on rust_ct", "not be put back with rust_ct.*the tracker is kernel again")
    check(os.path.exists(f"/sys/module/{USER}"), "so are modules that nobody asks for")
    firewall()
    needed_loads("false")
    as_before = remains()
    status, text = run("rust-ct-switch", "rust_ct")
    check(status != 0 and f"nft -f {KEPT}" in text, "are they taken on neither, it says where they are", text)
    with peer():
        check(not called(22), "and nothing comes in meanwhile")
    check(read(SETTING).strip() == SET, "a setting is as before all the same", read(SETTING))
    status, text = run("rust-ct-switch", "rust_ct")
    check(status != 0 and f"nft -f {KEPT}' first" in text, "called again, it says so, and keeps them", text)
    os.unlink(REFUSES)
    status, text = run("nft", "-f", KEPT)
    check(remains() == as_before, "nft puts them back, as they were", (status, text, as_before, remains()))
    firewall()


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
    run("nft", "add table ip gone; add chain ip gone c { type nat hook postrouting priority 100; }")
    run("nft", 'add rule ip gone c oifname "gone" masquerade')
    # Without its entry the connection of switch() would go to a port at which nobody listens.
    run("nft", "add table ip led; add chain ip led c { type nat hook output priority -100; }")
    run("nft", f"add rule ip led c ip daddr {FAR} tcp dport {CALLED} dnat to {FAR}:{LED}")
    check("masquerade" in remains()[1], "there is a rule that needs a module of its own", remains()[1])
    for tracker in ("rust_ct", "kernel"):
        switch(tracker)
        firewall()
    switch_with_namespace()
    switch_without_rules()
    run("nft", "delete table ip gone; delete table ip led")
    docker_begins()
    firewall()
    switch_refuses("rules are those of iptables, as docker's", "rules of iptables-nft.*reboot")


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


def not_used():
    """The kernel has refused what modprobe found."""
    kernels_own()
    found = re.findall(r"rust_ct: .*", log())
    said = [line for line in found if "is not used" in line]
    check(said, f"the log says why it is not rust_ct: {said and said[0].split('not used: ')[1]}", found)
    check(any("kernel's own" in line for line in found), "and what there is instead", found)
    if os.path.exists(OPTIONS):
        check(hashsize() == BUCKETS, "options in modprobe.d hold for it, too", hashsize())


def enforced(where):
    """The kernel takes modules only that are signed by a key that it trusts."""
    check(read("/sys/module/module/parameters/sig_enforce").strip() == "Y", "the kernel enforces signatures")
    not_used()
    check(f"/updates/{where}/" in file_of_module(), f"modprobe would find updates/{where}", file_of_module())
    signer = run("modinfo", "-F", "signer", NAME)[1]
    if where == "dkms":
        check(signer, f"whose signature is by a key that the kernel does not trust: {signer}")
        rejected = "module with unavailable key is rejected"
    else:
        check(not signer, "which is not signed", signer)
        rejected = "unsigned module is rejected"
    check(f"Loading of {rejected}" in log(), f"the kernel said: {rejected}", log())


def refused():
    not_used()
    names = [os.path.basename(path).split("_")[0] for path in debs(NEW)]
    dpkg("the packages are purged", "--purge", *names)
    check("/kernel/net/netfilter/" in file_of_module(), "modprobe will find the kernel's own", file_of_module())
    check(not left(), "nothing of them is left", left())


def off(where):
    kernels_own()
    found = re.findall(r"rust_ct: .*", log())
    check(any("rust_ct=off" in line for line in found), "as the kernel's command line asks, the log says", found)
    check(f"/updates/{where}/" in file_of_module(), f"modprobe would find updates/{where}", file_of_module())


def kernel_next():
    check("-cloud-" in RELEASE, f"it is the new kernel, {RELEASE}")
    ours(NEW, "dkms")


def kernel_old():
    kernels_own()
    found = re.findall(r"rust_ct: .*", log())
    said = any(f"none for {RELEASE}: the kernel's own" in line for line in found)
    check(said, f"the log says that there is none for {RELEASE}", found)


def remove(*packages):
    """As an administrator does it, without purge."""
    began = time.monotonic()
    status, text = run("apt-get", "-y", "remove", *packages)
    check(status == 0, f"{' and '.join(packages)} removed by apt, not purged ({time.monotonic() - began:.0f} s)", text)
    check("/kernel/net/netfilter/" in file_of_module(), "modprobe will find the kernel's own", file_of_module())
    check(os.path.exists("/proc/rust_ct"), "connections are tracked meanwhile")


def purge(*packages):
    dpkg("the packages are purged", "--purge", *packages)
    check(not left(), "nothing of them is left", left())


def trackers():
    """Of the initramfs."""
    listed = run("lsinitramfs", f"/boot/initrd.img-{RELEASE}")[1].splitlines()
    return [line for line in listed if f"/{NAME}.ko" in line]


def after():
    kernels_own()
    docker_ends()


def secure_boot():
    """The firmware checks what it starts, and the key of this machine's DKMS is enrolled."""
    check("[integrity]" in read("/sys/kernel/security/lockdown"), "the kernel is locked down by Secure Boot", log())
    command = "xz -dc $(modinfo -F filename dummy) >/tmp/dummy.ko; strip -g /tmp/dummy.ko; insmod /tmp/dummy.ko"
    status, text = run("sh", "-c", command)
    check(status != 0, f"it takes no module without a signature: {text}")
    ours(NEW, "dkms")


def dkms():
    ours(NEW, "dkms")
    # What depends on it goes with it.
    remove("rust-ct-common")


def removed():
    """What apt has removed is gone from the next boot on; dpkg still has what purges it."""
    kernels_own()
    found = re.findall(r"rust_ct: .*", log())
    check(not found, "the log has nothing of rust_ct", found)
    there = [line for line in left().splitlines() if "/dpkg/info/" not in line]
    check(not there, "nothing is left but dpkg's own files", there)
    purge("rust-ct-dkms", "rust-ct-common")


def initramfs_boot():
    ours(NEW, "rust-ct", early=True)
    remove(f"rust-ct-modules-{RELEASE}")
    own = [line for line in trackers() if "/kernel/net/netfilter/" in line]
    check(own and own == trackers(), "the initramfs was made anew, with the kernel's own", trackers())


def initramfs_removed():
    kernels_own()
    check(is_early(), "it was loaded from the initramfs", read("/proc/modules"))
    purge(f"rust-ct-modules-{RELEASE}", "rust-ct-common")


STEPS = {
    "before": before,
    "ours": first,
    "enforced": lambda: enforced("rust-ct"),
    "upgraded": upgraded,
    "refused": refused,
    "after": after,
    "dkms_off": lambda: off("dkms"),
    "dkms_enforced": lambda: enforced("dkms"),
    "secure_boot": secure_boot,
    "kernel_next": kernel_next,
    "kernel_old": kernel_old,
    "dkms": dkms,
    "removed": removed,
    "purged": kernels_own,
    "initramfs_off": lambda: off("rust-ct"),
    "initramfs_refused": lambda: enforced("rust-ct"),
    "initramfs_boot": initramfs_boot,
    "initramfs_removed": initramfs_removed,
}
STEP = re.search(r"rust_ct_step=(\S+)", read("/proc/cmdline"))[1]
OLD, NEW = versions()
try:
    STEPS[STEP]()
    print("done", flush=True)
finally:
    sys.stdout.flush()
