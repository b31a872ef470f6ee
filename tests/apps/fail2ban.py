# SPDX-License-Identifier: GPL-2.0
"""fail2ban: an address banned by nftables is cut off, also on open connections; with its entries deleted, for good."""

# limit: 300

import shutil
import time

from apps import (
    PLACE,
    daemon,
    dial,
    entries,
    listen,
    main,
    neighbours,
    passes,
    reaches,
)

from lib import (
    SLOW,
    SYSCTL,
    check,
    poll,
    run,
    write,
)

BANNED, OTHER = "rct-out", "rct-other"
ADDRESS, PORT = "10.1.0.2", 443
CONFIG = f"{PLACE}/fail2ban"
LOG = f"{PLACE}/service.log"
BASE = """
table inet base {
    chain input {
        type filter hook input priority filter; policy drop
        ct state established,related accept
        iif lo accept
        tcp dport 443 ct state new accept
    }
}
"""
JAILS = f"""
[DEFAULT]
backend = polling
maxretry = 3
findtime = 600
bantime = 600
[soft]
enabled = true
filter = soft
logpath = {LOG}
action = nftables[type=multiport, name=soft, port={PORT}, protocol=tcp]
[hard]
enabled = true
filter = hard
logpath = {LOG}
action = nftables[type=allports, name=hard, protocol=tcp]
         forget[name=hard]
"""
FILES = {
    "jail.local": JAILS,
    "jail.d/defaults-debian.conf": "",
    "fail2ban.local": f"[Definition]\nlogtarget = {PLACE}/fail2ban.log\ndbfile = None\n",
    "filter.d/soft.conf": "[Definition]\nfailregex = service: soft refusal of <HOST>$\n",
    "filter.d/hard.conf": "[Definition]\nfailregex = service: hard refusal of <HOST>$\n",
    # What is said of established connections in its documentation: their entries are deleted.
    "action.d/forget.conf": "[Definition]\nactionban = conntrack -D -s <ip>\nactionunban =\n",
}


def client(*words, must=False):
    return run("fail2ban-client", "-c", CONFIG, "-s", f"{PLACE}/f2b.sock", "-p", f"{PLACE}/f2b.pid", *words, must=must)


def misbehaves(how):
    """Three lines in the service's log; returns whether the address in them is banned then."""
    with open(LOG, "a", encoding="ascii") as log:
        for _ in range(3):
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} service: {how} refusal of {ADDRESS}\n")
    return poll(lambda: ADDRESS in client("get", how, "banip")[1], 30, 0.5)


def scenario():
    neighbours(BANNED, OTHER)
    run("nft", "-f", "-", text=BASE)
    write(f"{SYSCTL}/nf_conntrack_tcp_loose", 0)
    shutil.copytree("/etc/fail2ban", CONFIG)
    for name, text in FILES.items():
        with open(f"{CONFIG}/{name}", "w", encoding="ascii") as file:
            file.write(text)
    open(LOG, "w", encoding="ascii").close()
    server = ("fail2ban-server", "-c", CONFIG, "-s", f"{PLACE}/f2b.sock", "-p", f"{PLACE}/f2b.pid", "-f", "start")
    with daemon(*server, ready=lambda: client("ping")[0] == 0), listen(None, "0.0.0.0", PORT) as web:
        first = dial(BANNED, "10.1.0.1", PORT)
        made = web.accept()[0]
        with first, made:
            for end in (first, made):
                end.settimeout(3 * SLOW)
            check(passes(first, made), "a connection stands")
            check(misbehaves("soft"), "three lines in a log ban their address", client("status", "soft")[1])
            check(not reaches(BANNED, "10.1.0.1", PORT), "the banned one opens no connection")
            check(reaches(OTHER, "10.2.0.1", PORT), "another one does")
            check(not passes(first, made), "nor does what stood go on")
            client("set", "soft", "unbanip", ADDRESS, must=True)
            for end in (first, made):
                end.settimeout(30 * SLOW)
            check(passes(first, made), "unbanned, it goes on")
            check(misbehaves("hard"), "another jail deletes the entries, too", client("status", "hard")[1])
            check(
                poll(lambda: not entries(f"src={ADDRESS}", "ESTABLISHED"), 10),
                "no entry of the address is left",
                entries("tcp"),
            )
            client("set", "hard", "unbanip", ADDRESS, must=True)
            check(poll(lambda: reaches(BANNED, "10.1.0.1", PORT), 10), "unbanned, it opens connections")
            for end in (first, made):
                end.settimeout(3 * SLOW)
            check(not passes(first, made), "but what stood is over")
        write(f"{SYSCTL}/nf_conntrack_tcp_loose", 1)


main(scenario, "fail2ban", "nftables", "conntrack")
