// SPDX-License-Identifier: GPL-2.0

//! Expectations: connections that a helper has read to come, so that they are RELATED.
//!
//! An expectation is the kernel's `struct nf_conntrack_expect`, because helpers in C fill it. It is
//! found by the destination of the packet that it waits for, and through its master, the connection
//! that announced it. It has no reference to its master: what a connection expects is removed
//! before the connection is freed. What has expired is removed by the caller that meets it, or by
//! the worker.
//!
//! # Locking
//!
//! One lock, `nf_conntrack_expect_lock`, which helpers in C take too, covers the table ([`table`]),
//! the lists of all masters and the counts. Readers of the table may hold RCU alone. Lock order:
//! the lock of expectations is taken with no lock of ours held but those of buckets, and nothing is
//! taken under it, though ctnetlink may be told of an event.
//!
//! Source: net/netfilter/nf_conntrack_expect.c.

mod table;

pub(crate) use table::{
    expect_related,
    find,
    find_expectation,
    insert,
    insert_pair,
    lists,
    remove_all,
    remove_expired,
    remove_if,
    remove_if_for,
    seek,
    set_up,
    unlink_for,
    Cursor,
    Found,
    SetUp, //
};

use crate::{
    bindings,
    object::{
        conn::{
            event::Requester,
            Conn, //
        },
        helper::{
            Helper,
            Slot, //
        },
    },
    pure::{
        mask::Mask,
        tuple::{
            Addr,
            Direction,
            Tuple, //
        },
        zone::Zone, //
    },
    sys::{
        field::{
            field,
            Field,
            Fixed,
            Memory,
            Mirrors, //
        },
        hlist::{
            Head,
            Listed,
            Node, //
        },
        lock,
        memory,
        net::Net,
        rcu::ReadSide,
        refcount::{
            counted,
            Counted, //
        },
        time, //
    },
};
use core::{
    mem::offset_of,
    ptr, //
};
use kernel::sync::rcu;

/// Stays when a connection was found by it (`NF_CT_EXPECT_PERMANENT`).
const PERMANENT: u32 = bindings::NF_CT_EXPECT_PERMANENT;
/// Waits for nothing yet (`NF_CT_EXPECT_INACTIVE`).
const INACTIVE: u32 = bindings::NF_CT_EXPECT_INACTIVE;
/// To be removed by the caller that meets it (`NF_CT_EXPECT_DEAD`).
const DEAD: u32 = bindings::NF_CT_EXPECT_DEAD;

/// Evidence that the lock of expectations is held for `'a`, and with it RCU.
#[derive(Clone, Copy)]
pub(crate) struct Held<'a>(ReadSide<'a>);

impl Held<'_> {
    /// Evidence from C code that has taken the lock.
    ///
    /// # Safety
    ///
    /// The caller must hold the lock, longer than the result is used.
    pub(crate) unsafe fn assume() -> Self {
        // SAFETY: A CPU that holds a spinlock is in a read-side critical section.
        Self(unsafe { ReadSide::assume() })
    }
}

/// Calls `f` with the lock of expectations held, softirqs off.
pub(crate) fn locked<R>(f: impl FnOnce(Held<'_>) -> R) -> R {
    let guard = lock::nf_conntrack_expect_lock.lock();
    let result = f(Held(guard.rcu()));
    drop(guard);
    result
}

/// An expectation.
///
/// # Invariants
///
/// The table has a reference to it while it is in the table. A user of it has a reference to its
/// master, or meets it in the table under the lock: its master is there then.
#[repr(transparent)]
pub(crate) struct Expect(Memory<bindings::nf_conntrack_expect>);

// SAFETY: The mask has the kernel's layout, and any bytes are one.
unsafe impl Mirrors<bindings::nf_conntrack_tuple_mask> for Fixed<Mask> {}

/// The lists of the table.
struct ByTuple;
/// The lists of masters.
pub(crate) struct ByMaster;

// SAFETY: An expectation is freed a grace period after its last reference, and the table has one.
unsafe impl Listed for ByTuple {
    type Object = Expect;
    const OFFSET: usize = offset_of!(bindings::nf_conntrack_expect, hnode);
}
// SAFETY: As above.
unsafe impl Listed for ByMaster {
    type Object = Expect;
    const OFFSET: usize = offset_of!(bindings::nf_conntrack_expect, lnode);
}
// SAFETY: The one list in a field of C's is that of a master.
unsafe impl Mirrors<bindings::hlist_head> for Head<ByMaster> {}

// SAFETY: An expectation is freed a grace period after its last reference.
counted!(unsafe Expect(nf_conntrack_expect), use_, rct_free_expect);

/// What an expectation waits for.
pub(crate) struct Wanted<'a> {
    /// The class, whose policy is the helper's.
    pub(crate) class: u32,
    /// The family of the addresses, `NFPROTO_*`.
    pub(crate) l3num: u16,
    /// The source address; any if there is none.
    pub(crate) src: Option<&'a Addr>,
    /// The source port or its like, in network order; any if there is none.
    pub(crate) src_id: Option<[u8; 2]>,
    /// The destination address.
    pub(crate) dst: &'a Addr,
    /// The destination port or its like, in network order.
    pub(crate) dst_id: [u8; 2],
    /// The transport protocol.
    pub(crate) proto: u8,
}

impl Expect {
    /// An expectation of a connection, of nothing yet. Any context.
    pub(crate) fn new(master: &Conn) -> Option<Counted<Self>> {
        let memory = memory::zeroed(size_of::<Self>(), memory::ATOMIC)?.cast::<Self>();
        let exp = memory.as_ptr().cast::<bindings::nf_conntrack_expect>();
        // SAFETY: The memory is ours, and zeroes are right for all other fields.
        unsafe {
            (*exp).timeout = time::now();
            (*exp).master = ptr::from_ref(master).cast_mut().cast();
            bindings::rct_refcount_set(&raw mut (*exp).use_, 1);
        }
        // SAFETY: The count of one is this reference.
        Some(unsafe { Counted::from_raw(memory) })
    }

    #[inline(always)]
    fn raw(&self) -> *mut bindings::nf_conntrack_expect {
        self.0.get()
    }

    /// Says what an expectation waits for, unless it is in the table already.
    ///
    /// Source: nf_ct_expect_init().
    ///
    /// # Safety
    ///
    /// The caller must have the master, as a packet does, and no other code the expectation.
    pub(crate) unsafe fn describe(&self, wanted: &Wanted<'_>, rcu: ReadSide<'_>) {
        if self.is_entered() {
            return;
        }
        let master = self.master();
        let helper = master.helper(rcu);
        let any = Addr::default();
        let family_mask = Addr::mask(wanted.l3num);
        let (src, src_mask) = wanted.src.map_or((any, any), |src| (*src, family_mask));
        let (src_id, id_mask) = wanted.src_id.map_or(([0; 2], [0; 2]), |id| (id, [0xff; 2]));
        let tuple = Tuple::of_numbers(wanted.l3num, wanted.proto)
            .with_source(src.and(&family_mask), src_id)
            .with_destination(wanted.dst.and(&family_mask), wanted.dst_id);

        field!(self.0, flags).store(0);
        field!(self.0, class).store(wanted.class);
        field!(self.0, expectfn).store(None);
        if let Some(events) = master.event_masks() {
            field!(self.0, event_mask).store(events.expect());
        }
        field!(self.0, helper).store(helper.map_or(ptr::null_mut(), Helper::as_ptr));
        field!(self.0, assign_helper).store(ptr::null_mut());
        field!(self.0, net.net).store(master.net().as_ptr());
        field!(self.0, zone as Field<Zone>).store(master.zone());
        let origin = master.tuple(Direction::Original);
        // SAFETY: The expectation is the caller's alone.
        unsafe {
            field!(self.0, master_tuple as Fixed<Tuple>).store(origin);
            field!(self.0, tuple as Fixed<Tuple>).store(tuple);
            field!(self.0, mask as Fixed<Mask>).store(Mask::new(src_mask, id_mask));
        }
    }

    /// The connection that has announced it.
    fn master(&self) -> &Conn {
        // SAFETY: By the type invariant, the master is there.
        unsafe { &*field!(self.0, master).load().cast() }
    }

    /// The namespace.
    fn net(&self) -> &Net {
        // SAFETY: A namespace waits for its connections, which outlive what they expect.
        unsafe { Net::from_raw(field!(self.0, net.net).load()) }
    }

    /// The tuple of the packet that it waits for; see [`Expect::mask`].
    pub(crate) fn tuple(&self) -> Tuple {
        field!(self.0, tuple as Fixed<Tuple>).load()
    }

    /// What of the tuple's source counts.
    pub(crate) fn mask(&self) -> Mask {
        field!(self.0, mask as Fixed<Mask>).load()
    }

    fn zone(&self) -> Zone {
        field!(self.0, zone as Field<Zone>).load()
    }

    /// `NF_CT_EXPECT_*`, as [`PERMANENT`].
    pub(crate) fn flags(&self) -> u32 {
        field!(self.0, flags).load()
    }

    /// The class, an index of the helper's policies.
    pub(crate) fn class(&self) -> usize {
        field!(self.0, class).load() as usize
    }

    fn timeout(&self) -> u32 {
        field!(self.0, timeout).load()
    }

    /// Seconds until it expires; zero if it has.
    pub(crate) fn seconds(&self) -> u32 {
        time::until(self.timeout()).max(0).unsigned_abs() / time::HZ
    }

    /// Returns whether it has expired, or was given up.
    pub(crate) fn is_expired(&self) -> bool {
        self.flags() & DEAD != 0 || time::until(self.timeout()) <= 0
    }

    /// The helper that has made it, while it is in the table: a helper first has its expectations
    /// removed, and goes a grace period later.
    pub(crate) fn helper<'a>(&self, rcu: ReadSide<'a>) -> Option<&'a Helper> {
        let helper = field!(self.0, helper as Slot);
        self.is_entered().then(|| helper.get(rcu)).flatten()
    }

    /// The helper that the expected connection is to have, in the same way.
    pub(crate) fn assign_helper<'a>(&self, rcu: ReadSide<'a>) -> Option<&'a Helper> {
        let helper = field!(self.0, assign_helper as Slot);
        self.is_entered().then(|| helper.get(rcu)).flatten()
    }

    /// What the helper calls for the expected connection.
    pub(crate) fn function(&self) -> usize {
        // CAST: To be compared only.
        field!(self.0, expectfn).load().map_or(0, |f| f as usize)
    }

    /// Gives it up: the next caller that meets it removes it. Any context, without the lock.
    ///
    /// Source: nf_ct_unexpect_related().
    pub(crate) fn mark_dead(&self) {
        locked(|_| {
            field!(self.0, flags).store(self.flags() | DEAD);
        });
    }

    /// Returns whether it is in the table. Without the lock, other CPUs may change that at any
    /// time.
    pub(crate) fn is_entered(&self) -> bool {
        !field!(self.0, hnode as Node).is_alone()
    }

    /// Returns whether it waits for a packet with a tuple.
    ///
    /// Source: nf_ct_exp_equal().
    fn waits_for(&self, tuple: &Tuple, zone: &Zone, net: &Net) -> bool {
        self.mask().matches(tuple, &self.tuple())
            && ptr::eq(net, self.net())
            && self.zone().id == zone.id
    }

    /// Returns whether the masters of two expectations have the same namespace and zone.
    fn is_beside(&self, other: &Self) -> bool {
        ptr::eq(self.net(), other.net()) && self.master().zone().id == other.master().zone().id
    }

    /// Returns whether two of them wait for the same. Source: expect_matches().
    fn equals(&self, other: &Self) -> bool {
        self.tuple() == other.tuple() && self.mask() == other.mask() && self.is_beside(other)
    }

    /// Returns whether both wait for some packet. Source: expect_clash().
    fn clashes(&self, other: &Self) -> bool {
        let both = self.mask().and(&other.mask());
        both.matches(&self.tuple(), &other.tuple()) && self.is_beside(other)
    }
}

/// What happened to an expectation, `enum ip_conntrack_expect_events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Event {
    /// It was entered.
    New = 0,
    /// It was removed.
    Destroy = 1,
}

#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
impl Expect {
    /// Tells ctnetlink of an event, if it is wanted. The lock is held, or no other code has the
    /// expectation.
    ///
    /// Source: net/netfilter/nf_conntrack_ecache.c, nf_ct_expect_event_report().
    fn report_event(&self, event: Event, requester: Requester, _held: Held<'_>) {
        let bit = 1u32 << event as u32;
        if u32::from(field!(self.0, event_mask).load()) & bit == 0 {
            return;
        }
        let guard = rcu::read_lock();
        let listener = self.net().listener(ReadSide::of(&guard));
        if let Some(function) = listener.and_then(|listener| listener.exp_event) {
            let item = bindings::nf_exp_event {
                exp: self.raw(),
                portid: requester.portid,
                report: requester.report,
            };
            // SAFETY: RCU is held, so the listener is there, and the expectation is the caller's.
            // What the listener has no room for is lost.
            let _ = unsafe { function(bit, &raw const item) };
        }
        drop(guard);
    }
}

#[cfg(not(CONFIG_NF_CONNTRACK_EVENTS))]
impl Expect {
    /// This kernel has no events.
    fn report_event(&self, _event: Event, _requester: Requester, _held: Held<'_>) {}
}
