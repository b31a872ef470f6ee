# SPDX-License-Identifier: GPL-2.0
"""scan_console.py finds each kind of complaint, by a line as the kernel prints it, and lets an ordinary log pass."""

import unittest

from scan_console import scan

COMPLAINTS = """\
KASAN|BUG: KASAN: slab-use-after-free in rust_ct_get+0x12/0x80 [rust_ct]
WARN_ON|WARNING: CPU: 1 PID: 77 at net/netfilter/core.c:12 nf_hook+0x1/0x2
WARN_ON, new format|WARNING: net/netfilter/core.c:12 at nf_hook+0x1/0x2, CPU#1: ping/77
oops|Oops: general protection fault, probably for non-canonical address
null pointer|BUG: kernel NULL pointer dereference, address: 0000000000000008
BUG()|kernel BUG at rust/helpers/bug.c:7!
panic|Kernel panic - not syncing: Fatal exception in interrupt
Rust panic|rust_kernel: panicked at rust_ct/object/table.rs:12:3
lock inversion|WARNING: possible irq lock inversion dependency detected
lock recursion|WARNING: possible recursive locking detected
lock state|WARNING: inconsistent lock state
lock left held|WARNING: lock held when returning to user space!
suspicious RCU|WARNING: suspicious RCU usage
RCU stall|rcu: INFO: rcu_preempt self-detected stall on CPU
RCU stall of others|rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
atomic scheduling|BUG: scheduling while atomic: insmod/80/0x00000201
atomic sleep|BUG: sleeping function called from invalid context at mm/slab.h:12
hung task|INFO: task rmmod:99 blocked for more than 120 seconds.
soft lockup|watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [rmmod:99]
workqueue|BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 35s!
leak|unreferenced object 0xffff888003a1e000 (size 256):
leak count|kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
slab left|BUG rust_ct_conn (Tainted: G O): Objects remaining on __kmem_cache_shutdown()
refcount|refcount_t: underflow; use-after-free.
call trace|Call Trace:
debug objects|ODEBUG: free active (active state 0) object: 00000000 object type: timer_list
list|list_del corruption. prev->next should be ffff, but was dead
device|unregister_netdevice: waiting for lo to become free. Usage count = 2
warned before|CPU: 0 UID: 0 PID: 234 Comm: compare Tainted: G        W  O     N  7.3.4-rustct-uml #1 VOLUNTARY
kmemleak is off|kmemleak: Kernel memory leak detector disabled
lockdep goes off|Disabling lock debugging due to kernel taint
lockdep is off|INFO: lockdep is turned off.
preemption|BUG: using smp_processor_id() in preemptible [00000000] code: insmod/80
"""

# A whole run, with a line in it.
RUN = """\
[    0.000000] rcu: 	RCU lockdep checking is enabled.
[    0.000000] kasan: KernelAddressSanitizer initialized (generic)
[    0.000000] Lock dependency validator: Copyright (c) 2006 Red Hat, Inc.
[    0.900000] kmemleak: Kernel memory leak detector initialized
[    9.000000] rust_ct guest: begin
[   10.000000] {}
[   19.000000] rust_ct guest: end
"""


# What KCSAN says of two accesses, by the two stacks from their tops.
RACE = """\
[   20.680914] ==================================================================
[   20.681624] BUG: KCSAN: data-race in {} / {}
[   20.681844]
[   20.682028] write to 0xffff88807dd1ad68 of 4 bytes by interrupt on cpu 1:
{}
[   20.693262]
[   20.693414] read (marked) to 0xffff88807dd1ad68 of 4 bytes by task 0 on cpu 1:
{}
[   20.695427]
[   20.695498] Reported by Kernel Concurrency Sanitizer on:
[   20.696374] CPU: 1 UID: 0 PID: 0 Comm: swapper/1 Not tainted 7.3.4-rustct-kcsan #2 PREEMPT
[   20.697017] =================================================================="""
# Whether it is ours, and the two stacks.
RACES = (
    (False, ["tick_nohz_handler", "hrtimer_interrupt"], ["tick_nohz_idle_got_tick"]),
    (False, ["sock_wfree", "nf_hook_slow", "resolve [rust_ct]"], ["tick_nohz_idle_got_tick"]),
    (False, ["timekeeping_advance"], ["ktime_get_with_offset", "refresh [rust_ct]"]),
    (True, ["refresh [rust_ct]"], ["nf_nat_setup_info [nf_nat]"]),
    (True, ["nf_nat_setup_info [nf_nat]"], ["refresh [rust_ct]", "nf_hook_slow"]),
    (False, ["nf_nat_setup_info [nf_nat]"], ["nf_ct_delete [nf_conntrack]"]),
    (True, ["tick_nohz_handler"], ["rust_helper_atomic_read", "count [rust_ct]"]),
    (True, ["__memcpy", "store [rust_ct_kunit]"], ["tick_nohz_idle_got_tick"]),
)


def race(*stacks):
    frames = [[name.partition(" ") for name in stack] for stack in stacks]
    text = ["\n".join(f"[   20.683]  {name}+0x1e5/0x2b0 {module}".rstrip() for name, _, module in stack) for stack in frames]
    return RACE.format(*(stack[0][0] for stack in frames), *text)


class ScanConsole(unittest.TestCase):
    def test_an_ordinary_run(self):
        self.assertEqual(scan(RUN.format("rust_ct: loaded, 65536 buckets")), [])

    def test_a_module_from_elsewhere(self):
        self.assertEqual(scan(RUN.format("PID: 9 Comm: insmod Tainted: G           O     N  7.3.4 #1 Debian")), [])

    def test_an_empty_log(self):
        self.assertTrue(scan("\n"))

    def test_races(self):
        for ours, *stacks in RACES:
            found = scan(RUN.format(race(*stacks)))
            self.assertEqual(len(found), int(ours), (stacks, found))
            for line in found:
                self.assertIn("BUG: KCSAN: ", line)

    def test_a_complaint_behind_a_race_of_others(self):
        found = scan(RUN.format(race(*RACES[0][1:]) + "\nCall Trace:"))
        self.assertEqual(found, ["Call Trace:"])

    def test_a_complaint_within_a_race_of_others(self):
        text = race(*RACES[0][1:]).replace("Reported by", "WARNING: at nf_hook\nReported by")
        self.assertEqual(len(scan(RUN.format(text))), 1)

    def test_a_job_that_never_began(self):
        self.assertTrue(scan("[    0.000000] Linux version 7.3.4"))

    def test_a_job_that_never_ended(self):
        self.assertTrue(scan("[    9.000000] rust_ct guest: begin"))


def complaint(line):
    def test(self):
        self.assertEqual(scan(RUN.format(line)), [f"[   10.000000] {line}"])

    return test


for row in COMPLAINTS.splitlines():
    what, text = row.split("|", 1)
    setattr(ScanConsole, f"test_{what}", complaint(text))
