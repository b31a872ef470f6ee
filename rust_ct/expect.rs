// SPDX-License-Identifier: GPL-2.0

//! Expectations: connections that a helper has read to come, so that they are RELATED.
//!
//! An expectation is the kernel's `struct nf_conntrack_expect`, because helpers in C fill it. It is
//! found by the destination of the packet that it waits for, and through its master, the connection
//! that announced it. It has no reference to its master: who frees a connection removes what it
//! expects first. What has expired is removed by who meets it, or by the worker.
//!
//! # Locking
//!
//! One lock, `nf_conntrack_expect_lock`, which helpers in C take too, covers the table, the lists
//! of all masters and the counts. Readers of the table may hold RCU alone. Lock order: the lock of
//! expectations is taken with no lock of ours held, and nothing is taken under it, though ctnetlink
//! may be told of an event.
//!
//! Source: net/netfilter/nf_conntrack_expect.c.

use crate::{
    bindings,
    conn::{
        event::Asker,
        help::Help,
        Conn, //
    },
    helper::Helper,
    mask::Mask,
    netns::{
        EXPECT_MAX,
        NETNS, //
    },
    stat::Stat,
    state::Status,
    sys::{
        hlist::{
            Head,
            Node, //
        },
        lock::{
            RawGuard,
            RawLock, //
        },
        memory,
        net::Net,
        rcu::ReadSide,
        siphash,
        time::{
            self,
            Throttle, //
        }, //
    },
    tuple::{
        Addr,
        Direction,
        Tuple, //
    },
    zone::Zone, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem::offset_of,
    ops::ControlFlow,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu, //
    },
};

/// Stays when a connection was found by it (`NF_CT_EXPECT_PERMANENT`).
const PERMANENT: u32 = 0x1;
/// Waits for nothing yet (`NF_CT_EXPECT_INACTIVE`).
const INACTIVE: u32 = 0x2;
/// To be removed by who meets it (`NF_CT_EXPECT_DEAD`).
const DEAD: u32 = 0x8;

/// Anybody's expectation for the same tuple is in the way, not the master's own alone
/// (`NF_CT_EXP_F_SKIP_MASTER`).
const SKIP_MASTER: u32 = 0x1;

/// How many expectations of a class a master has at most where no helper says less
/// (`NF_CT_EXPECT_MAX_CNT`).
const MOST: u32 = 255;

/// The key of the table, drawn when it is made.
static KEY: siphash::Key = siphash::Key::new();

/// The line about a full table.
static WARNING: Throttle = Throttle::new();

/// The lists of the table; null while there is none.
static HEADS: Atomic<*mut Heads> = Atomic::new(ptr::null_mut());

/// The lists of the table.
struct Heads(KVVec<Head>);

/// The table of expectations is there while this lives. All of them must be out of it before it is
/// dropped.
pub(crate) struct SetUp(());

/// The number of lists for a machine with so many, a page full of them or more.
const STEP: usize = 512;

/// Makes the table, with room for so many lists or a few more. Process context.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn set_up(size: u32) -> Result<SetUp> {
    let size = (size as usize).max(1).next_multiple_of(STEP);
    let mut heads = KVVec::with_capacity(size, GFP_KERNEL)?;
    for _ in 0..size {
        heads.push(Head::new(), GFP_KERNEL)?;
    }
    KEY.draw();
    let heads = KBox::new(Heads(heads), GFP_KERNEL)?;
    // SAFETY: Both are variables of ours that other modules read while they are on top of us, which
    // none is yet.
    unsafe {
        (&raw mut bindings::nf_ct_expect_hash).write_volatile(heads.0.as_ptr().cast_mut().cast());
        // CAST: At most some thousands.
        (&raw mut bindings::nf_ct_expect_hsize).write_volatile(size as u32);
    }
    HEADS.store(KBox::into_raw(heads), Relaxed);
    Ok(SetUp(()))
}

impl Drop for SetUp {
    fn drop(&mut self) {
        let heads = HEADS.xchg(ptr::null_mut(), Relaxed);
        rcu::synchronize_rcu();
        if !heads.is_null() {
            // SAFETY: The pointer is from `KBox::into_raw`, and a grace period has passed since it
            // was there to be found.
            drop(unsafe { KBox::from_raw(heads) });
        }
    }
}

/// The list that an expectation for a tuple is in.
fn list(net: &Net, tuple: &Tuple) -> Option<&'static Head> {
    let heads = HEADS.load(Relaxed);
    // SAFETY: The table is there as long as namespaces are tracked, and who gets here was asked by
    // one of their packets, or by a module on top of us.
    let heads = unsafe { heads.as_ref()? };
    let [a, b] = tuple.dst().words64();
    let [m, n] = tuple.dst_id();
    let [p, q] = tuple.l3num().to_ne_bytes();
    let rest = u64::from_ne_bytes([m, n, p, q, tuple.proto(), 0, 0, 0]);
    let hash = KEY.hash4(a, b, rest, net.hash_mix().into());
    // CAST: The upper half of the product is below the number of lists.
    let index = ((u128::from(hash) * heads.0.len() as u128) >> 64) as usize;
    heads.0.get(index)
}

/// Evidence that the lock of expectations is held for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Held<'a>(PhantomData<&'a RawGuard>);

impl Held<'_> {
    /// Evidence from a caller in C who has taken the lock.
    ///
    /// # Safety
    ///
    /// The caller must hold the lock, longer than the result is used.
    pub(crate) unsafe fn assume() -> Self {
        Self(PhantomData)
    }
}

/// Calls `f` with the lock of expectations held, softirqs off.
pub(crate) fn locked<R>(f: impl FnOnce(Held<'_>) -> R) -> R {
    // SAFETY: The lock is a variable of ours, initialised where it is defined.
    let guard = unsafe { RawLock::new(&raw mut bindings::nf_conntrack_expect_lock) }.lock();
    let result = f(Held(PhantomData));
    drop(guard);
    result
}

/// An expectation.
///
/// # Invariants
///
/// The table has a reference to it while it is in the table. It is used by who has a reference to
/// its master, or meets it in the table under the lock: its master is there then.
#[repr(transparent)]
pub(crate) struct Expect(UnsafeCell<bindings::nf_conntrack_expect>);

// SAFETY: What changes in an expectation that others can see is covered by the lock, or written by
// one access.
unsafe impl Sync for Expect {}
// SAFETY: An expectation belongs to no thread.
unsafe impl Send for Expect {}

// SAFETY: The counter is that of the expectation, which lives until it is zero.
unsafe impl AlwaysRefCounted for Expect {
    fn inc_ref(&self) {
        // SAFETY: A reference exists.
        unsafe { bindings::rct_refcount_inc(&raw mut (*self.raw()).use_) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        let exp = obj.as_ptr().cast::<bindings::nf_conntrack_expect>();
        // SAFETY: The caller has a reference, which it gives up; after the last one, nobody but
        // readers under RCU is left.
        unsafe {
            if bindings::rct_refcount_put(&raw mut (*exp).use_) {
                bindings::rct_free_expect(exp);
            }
        }
    }
}

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
    pub(crate) fn new(master: &Conn) -> Option<ARef<Self>> {
        let memory = memory::zeroed(size_of::<Self>(), memory::ATOMIC)?.cast::<Self>();
        let exp = memory.as_ptr().cast::<bindings::nf_conntrack_expect>();
        // SAFETY: The memory is ours, and zeroes are right for all other fields.
        unsafe {
            (*exp).timeout = time::now();
            (*exp).master = ptr::from_ref(master).cast_mut().cast();
            bindings::rct_refcount_set(&raw mut (*exp).use_, 1);
        }
        // SAFETY: The count of one is this reference.
        Some(unsafe { ARef::from_raw(memory) })
    }

    fn raw(&self) -> *mut bindings::nf_conntrack_expect {
        self.0.get()
    }

    /// Says what an expectation that is not in the table waits for. The caller has its master, as a
    /// packet does.
    ///
    /// Source: nf_ct_expect_init().
    pub(crate) fn describe(&self, wanted: &Wanted<'_>, rcu: ReadSide<'_>) {
        let master = self.master();
        let helper = master.helper(rcu);
        let any = Addr::default();
        let family_mask = Addr::mask(wanted.l3num);
        let (src, src_mask) = wanted.src.map_or((any, any), |src| (*src, family_mask));
        let (src_id, id_mask) = wanted.src_id.map_or(([0; 2], [0; 2]), |id| (id, [0xff; 2]));
        let tuple = Tuple::of_numbers(wanted.l3num, wanted.proto)
            .with_source(src.and(&family_mask), src_id)
            .with_destination(wanted.dst.and(&family_mask), wanted.dst_id);

        let exp = self.raw();
        // SAFETY: The expectation is not in the table, so it is the caller's alone.
        unsafe {
            (*exp).flags = 0;
            (*exp).class = wanted.class;
            (*exp).expectfn = None;
            if let Some(events) = master.event_masks() {
                (*exp).event_mask = events.expect();
            }
            (*exp).helper = helper.map_or(ptr::null_mut(), Helper::raw);
            (*exp).assign_helper = ptr::null_mut();
            (*exp).net.net = master.net().as_ptr();
            (&raw mut (*exp).zone).cast::<Zone>().write(master.zone());
            (&raw mut (*exp).master_tuple)
                .cast::<Tuple>()
                .write(master.tuple(Direction::Original));
            (&raw mut (*exp).tuple).cast::<Tuple>().write(tuple);
            (&raw mut (*exp).mask)
                .cast::<Mask>()
                .write(Mask::new(src_mask, id_mask));
        }
    }

    /// The connection that has announced it.
    fn master(&self) -> &Conn {
        // SAFETY: By the type invariant, the master is there.
        unsafe { &*(*self.raw()).master.cast() }
    }

    /// The namespace.
    fn net(&self) -> &Net {
        // SAFETY: A namespace waits for its connections, which outlive what they expect.
        unsafe { Net::from_raw((&raw const (*self.raw()).net.net).read_volatile()) }
    }

    /// The tuple of the packet that it waits for; see [`Expect::mask`].
    pub(crate) fn tuple(&self) -> Tuple {
        // SAFETY: Any bytes are a tuple, and it does not change in the table.
        unsafe { (&raw const (*self.raw()).tuple).cast::<Tuple>().read() }
    }

    /// What of the tuple's source counts.
    pub(crate) fn mask(&self) -> Mask {
        // SAFETY: Any bytes are a mask, and it does not change in the table.
        unsafe { (&raw const (*self.raw()).mask).cast::<Mask>().read() }
    }

    fn zone(&self) -> Zone {
        // SAFETY: Any bytes are a zone, and it does not change in the table.
        unsafe { (&raw const (*self.raw()).zone).cast::<Zone>().read() }
    }

    /// `NF_CT_EXPECT_*`, as [`PERMANENT`].
    pub(crate) fn flags(&self) -> u32 {
        // SAFETY: The field is valid, and others write it with one access.
        unsafe { (&raw const (*self.raw()).flags).read_volatile() }
    }

    /// The class, an index of the helper's policies.
    pub(crate) fn class(&self) -> usize {
        // SAFETY: The field is valid, and does not change in the table.
        unsafe { (*self.raw()).class as usize }
    }

    fn timeout(&self) -> u32 {
        // SAFETY: The field is valid, and others write it with one access.
        unsafe { (&raw const (*self.raw()).timeout).read_volatile() }
    }

    /// Seconds until it expires; zero if it has.
    pub(crate) fn seconds(&self) -> u32 {
        time::until(self.timeout()).max(0).unsigned_abs() / time::HZ
    }

    /// Tells whether it has expired, or was given up.
    pub(crate) fn is_expired(&self) -> bool {
        self.flags() & DEAD != 0 || time::until(self.timeout()) <= 0
    }

    /// The helper that has made it.
    pub(crate) fn helper<'a>(&self, rcu: ReadSide<'a>) -> Option<&'a Helper> {
        // SAFETY: The field is valid. A helper is freed a grace period after what it expects was
        // removed.
        unsafe { Helper::from_raw((&raw const (*self.raw()).helper).read_volatile(), rcu) }
    }

    /// The helper that the expected connection is to have.
    pub(crate) fn assign_helper<'a>(&self, rcu: ReadSide<'a>) -> Option<&'a Helper> {
        // SAFETY: As above.
        unsafe {
            Helper::from_raw(
                (&raw const (*self.raw()).assign_helper).read_volatile(),
                rcu,
            )
        }
    }

    /// What the helper calls for the expected connection.
    pub(crate) fn function(&self) -> usize {
        // SAFETY: The field is valid, and does not change in the table. CAST: To be compared only.
        unsafe { (*self.raw()).expectfn.map_or(0, |f| f as usize) }
    }

    /// Lets the helper look at the expected connection, which was just made.
    pub(crate) fn introduce(&self, child: &Conn) {
        // SAFETY: The field is valid, and does not change in the table.
        if let Some(function) = unsafe { (*self.raw()).expectfn } {
            // SAFETY: The child has the caller's reference, and a reference to the master. The
            // function is there: who removes it removes expectations that have it, and waits for a
            // grace period.
            unsafe { function(ptr::from_ref(child).cast_mut().cast(), self.raw()) };
        }
    }

    /// Gives it up: who meets it removes it. Any context, without the lock.
    ///
    /// Source: nf_ct_unexpect_related().
    pub(crate) fn give_up(&self) {
        locked(|_| {
            let flags = self.flags() | DEAD;
            // SAFETY: The lock covers the field, and readers read it with one access.
            unsafe { (&raw mut (*self.raw()).flags).write_volatile(flags) };
        });
    }

    fn hash_node(&self) -> NonNull<Node> {
        // SAFETY: The link is inside the expectation, and has the layout of a node.
        unsafe { NonNull::new_unchecked((&raw mut (*self.raw()).hnode).cast()) }
    }

    fn master_node(&self) -> NonNull<Node> {
        // SAFETY: As above.
        unsafe { NonNull::new_unchecked((&raw mut (*self.raw()).lnode).cast()) }
    }

    /// The expectation that a link in the table belongs to.
    ///
    /// # Safety
    ///
    /// The link must have been met in the table, under the lock or RCU, held for `'a`.
    unsafe fn of_hash_node<'a>(node: NonNull<Node>) -> &'a Self {
        const AT: usize = offset_of!(bindings::nf_conntrack_expect, hnode);
        // SAFETY: The link is that far into the expectation.
        unsafe { node.byte_sub(AT).cast::<Self>().as_ref() }
    }

    /// The expectation that a link in its master's list belongs to.
    ///
    /// # Safety
    ///
    /// The link must have been met in a master's list, under the lock, held for `'a`.
    unsafe fn of_master_node<'a>(node: NonNull<Node>) -> &'a Self {
        const AT: usize = offset_of!(bindings::nf_conntrack_expect, lnode);
        // SAFETY: The link is that far into the expectation.
        unsafe { node.byte_sub(AT).cast::<Self>().as_ref() }
    }

    /// Tells whether it waits for a packet with a tuple.
    ///
    /// Source: nf_ct_exp_equal().
    fn waits_for(&self, tuple: &Tuple, zone: &Zone, net: &Net) -> bool {
        self.mask().matches(tuple, &self.tuple())
            && ptr::eq(net, self.net())
            && self.zone().id == zone.id
    }

    /// Tells whether two of them have masters in one namespace and zone.
    fn is_beside(&self, other: &Self) -> bool {
        ptr::eq(self.net(), other.net()) && self.master().zone().id == other.master().zone().id
    }

    /// Tells whether two of them wait for the same. Source: expect_matches().
    fn equals(&self, other: &Self) -> bool {
        self.tuple() == other.tuple() && self.mask() == other.mask() && self.is_beside(other)
    }

    /// Tells whether both wait for some packet. Source: expect_clash().
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
    /// Tells ctnetlink of an event, if somebody wants to hear of it. The lock is held, or nobody
    /// else has it.
    ///
    /// Source: net/netfilter/nf_conntrack_ecache.c, nf_ct_expect_event_report().
    fn tell(&self, event: Event, asker: Asker, _held: Held<'_>) {
        let bit = 1u32 << event as u32;
        // SAFETY: The field is valid, and does not change in the table.
        if u32::from(unsafe { (*self.raw()).event_mask }) & bit == 0 {
            return;
        }
        let guard = rcu::read_lock();
        let listener = self.net().listener(ReadSide::of(&guard));
        if let Some(function) = listener.and_then(|listener| listener.exp_event) {
            let item = bindings::nf_exp_event {
                exp: self.raw(),
                portid: asker.portid,
                report: asker.report,
            };
            // SAFETY: RCU is held, so the listener is there, and the expectation is the caller's.
            // What nobody has room for is lost.
            let _ = unsafe { function(bit, &raw const item) };
        }
        drop(guard);
    }
}

#[cfg(not(CONFIG_NF_CONNTRACK_EVENTS))]
impl Expect {
    /// Nobody can be told of events.
    fn tell(&self, _event: Event, _asker: Asker, _held: Held<'_>) {}
}

/// Removes an expectation from the table, unless it was.
pub(crate) fn unlink(exp: &Expect, held: Held<'_>) {
    unlink_for(exp, Asker::NOBODY, held);
}

/// As [`unlink`], because somebody has asked for it.
///
/// Source: nf_ct_unlink_expect_report().
pub(crate) fn unlink_for(exp: &Expect, asker: Asker, held: Held<'_>) {
    // SAFETY: The lock is held, which covers the link.
    if unsafe { exp.hash_node().as_ref() }.is_alone() {
        return;
    }
    // SAFETY: The expectation is in both lists, whose lock is held.
    unsafe {
        Node::remove(exp.hash_node());
        Node::remove(exp.master_node());
    }
    if let Some(help) = exp.master().help() {
        help.uncount(exp.class(), held);
    }
    if let Some(netns) = NETNS.get(exp.net()) {
        netns.expects.fetch_sub(1, Relaxed);
        netns.stats.count(Stat::ExpectDelete);
    }
    exp.tell(Event::Destroy, asker, held);
    // SAFETY: The table's reference, which was taken when the expectation was entered.
    drop(unsafe { ARef::from_raw(NonNull::from(exp)) });
}

/// Calls `f` for each expectation in the list of a packet's tuple, until it breaks.
fn walk<'a, R>(
    net: &Net,
    tuple: &Tuple,
    _held: Held<'a>,
    mut f: impl FnMut(&'a Expect) -> ControlFlow<R>,
) -> Option<R> {
    // SAFETY: The lock is held.
    unsafe { list(net, tuple)?.walk(|node| f(Expect::of_hash_node(node))) }
}

/// Calls `f` for each expectation of a master, the youngest first.
fn walk_master<'a>(help: &Help, _held: Held<'a>, mut f: impl FnMut(&'a Expect)) {
    // SAFETY: The lock is held.
    unsafe {
        help.expectations().walk::<()>(|node| {
            f(Expect::of_master_node(node));
            ControlFlow::Continue(())
        })
    };
}

/// Finds the expectation for a packet with a tuple. Any context.
///
/// Source: __nf_ct_expect_find().
pub(crate) fn find<'a>(
    net: &Net,
    zone: &Zone,
    tuple: &Tuple,
    rcu: ReadSide<'a>,
) -> Option<&'a Expect> {
    let _ = rcu;
    if NETNS.get(net)?.expects.load(Relaxed) == 0 {
        return None;
    }
    // SAFETY: RCU is held for `'a`, and expectations are freed a grace period after their removal.
    unsafe {
        list(net, tuple)?.walk(|node| {
            let exp: &'a Expect = Expect::of_hash_node(node);
            if !exp.is_expired() && exp.waits_for(tuple, zone, net) {
                ControlFlow::Break(exp)
            } else {
                ControlFlow::Continue(())
            }
        })
    }
}

/// Takes a reference to an expectation that was met under RCU, unless the last one is gone.
pub(crate) fn try_get(exp: &Expect) -> Option<ARef<Expect>> {
    // SAFETY: The expectation's memory is there; the counter is changed atomically.
    if !unsafe { bindings::rct_refcount_tryget(&raw mut (*exp.raw()).use_) } {
        return None;
    }
    // SAFETY: The reference is the one just taken.
    Some(unsafe { ARef::from_raw(NonNull::from(exp)) })
}

/// Finds the expectation that a new connection's first packet fulfils, with a reference to its
/// master; it is removed, unless it is permanent or `keep` says so. Any context.
///
/// Source: nf_ct_find_expectation().
pub(crate) fn claim(
    net: &Net,
    zone: &Zone,
    tuple: &Tuple,
    keep: bool,
) -> Option<(ARef<Expect>, ARef<Conn>)> {
    locked(|held| {
        let exp = walk(net, tuple, held, |exp| {
            if exp.is_expired() {
                unlink(exp, held);
            } else if exp.flags() & INACTIVE == 0 && exp.waits_for(tuple, zone, net) {
                return ControlFlow::Break(exp);
            }
            ControlFlow::Continue(())
        })?;
        let status = exp.master().status();
        // Nobody has heard the announcement yet, or its sender is on its way out.
        if !status.contains(Status::CONFIRMED) || status.contains(Status::DYING) {
            return None;
        }
        let master = exp.master().try_get()?;
        let found = ARef::from(exp);
        if exp.flags() & PERMANENT == 0 && !keep {
            unlink(exp, held);
        }
        Some((found, master))
    })
}

/// Enters an expectation into the table, whose master the caller has. Any context.
///
/// # Errors
///
/// `ESHUTDOWN` if the master has no helper, `EALREADY` or `EBUSY` if the packet is expected
/// already, `EMFILE` if there is no room, `EINVAL` if the class is none.
pub(crate) fn relate(exp: &Expect, flags: u32) -> Result {
    relate_for(exp, flags, Asker::NOBODY)
}

/// As [`relate`], because somebody has asked for it.
///
/// Source: nf_ct_expect_related_report().
///
/// # Errors
///
/// As [`relate`].
pub(crate) fn relate_for(exp: &Expect, flags: u32, asker: Asker) -> Result {
    locked(|held| {
        let help = exp.master().help().ok_or(ESHUTDOWN)?;
        make_place(exp, help, flags, held)?;
        help.count(exp.class(), held);
        enter(exp, help, held);
        exp.tell(Event::New, asker, held);
        Ok(())
    })
}

/// Expects a connection that a master has announced. Any context. `None` if there is no room or no
/// memory for it.
pub(crate) fn announce(master: &Conn, wanted: &Wanted<'_>, rcu: ReadSide<'_>) -> Option<()> {
    let exp = Expect::new(master)?;
    exp.describe(wanted, rcu);
    relate(&exp, 0).ok()
}

/// Enters two expectations of one master into the table, or none. Any context.
///
/// Source: nf_ct_expect_related_pair().
///
/// # Errors
///
/// As [`relate`].
pub(crate) fn relate_pair(pair: [&Expect; 2], flags: u32) -> Result {
    let [first, second] = pair;
    locked(|held| {
        let help = first.master().help().ok_or(EINVAL)?;
        if !ptr::eq(first.master(), second.master()) {
            return Err(EINVAL);
        }
        make_place(first, help, flags, held)?;
        help.count(first.class(), held);
        make_place(second, help, flags, held).inspect_err(|_| help.uncount(first.class(), held))?;
        help.count(second.class(), held);
        enter(first, help, held);
        enter(second, help, held);
        first.tell(Event::New, Asker::NOBODY, held);
        second.tell(Event::New, Asker::NOBODY, held);
        Ok(())
    })
}

/// Looks whether there is a place for an expectation, and clears it of what it replaces.
///
/// Source: __nf_ct_expect_check().
fn make_place(exp: &Expect, help: &Help, flags: u32, held: Held<'_>) -> Result {
    let guard = rcu::read_lock();
    let rcu = ReadSide::of(&guard);
    let policy = match help.helper(rcu) {
        Some(helper) => helper.policy(exp.class()).ok_or(EINVAL)?.max_expected,
        None => MOST,
    };
    // SAFETY: The lock is held, which covers the link.
    let entered = !unsafe { exp.hash_node().as_ref() }.is_alone();
    if exp.flags() & DEAD != 0 || entered {
        return Err(EINVAL);
    }

    let tuple = exp.tuple();
    let obstacle = walk(exp.net(), &tuple, held, |other| {
        let own = ptr::eq(exp.master(), other.master());
        if other.is_expired() {
            unlink(other, held);
        } else if (own || flags & SKIP_MASTER != 0) && other.equals(exp) {
            if !own || other.class() != exp.class() {
                return ControlFlow::Break(Err(EALREADY));
            }
            unlink(other, held);
            return ControlFlow::Break(Ok(()));
        } else if other.clashes(exp) {
            return ControlFlow::Break(Err(EBUSY));
        }
        ControlFlow::Continue(())
    });
    obstacle.unwrap_or(Ok(()))?;

    if u32::from(help.counted(exp.class(), held)) >= policy {
        evict(help, exp.class(), policy, held);
    }
    let netns = NETNS.get(exp.net()).ok_or(ENOENT)?;
    if netns.expects.load(Relaxed) >= EXPECT_MAX.load(Relaxed) {
        warn_full();
        return Err(EMFILE);
    }
    Ok(())
}

/// Makes room among what a master expects of a class: by what has expired, else by the oldest.
///
/// Source: evict_oldest_expect().
fn evict(help: &Help, class: usize, max: u32, held: Held<'_>) {
    let mut oldest = None;
    walk_master(help, held, |exp| {
        if exp.is_expired() {
            unlink(exp, held);
        } else if exp.class() == class {
            oldest = Some(exp);
        }
    });
    if u32::from(help.counted(class, held)) >= max {
        if let Some(exp) = oldest {
            unlink(exp, held);
        }
    }
}

/// Source: nf_ct_expect_insert().
fn enter(exp: &Expect, help: &Help, _held: Held<'_>) {
    let guard = rcu::read_lock();
    let policy = help
        .helper(ReadSide::of(&guard))
        .and_then(|helper| helper.policy(exp.class()));
    let Some(list) = list(exp.net(), &exp.tuple()) else {
        return;
    };
    if let Some(policy) = policy {
        let jiffies = policy.timeout.wrapping_mul(time::HZ);
        let timeout = exp.timeout().wrapping_add(jiffies);
        // SAFETY: The expectation is not in the table yet.
        unsafe { (&raw mut (*exp.raw()).timeout).write_volatile(timeout) };
    }
    // The table's reference, given back in `unlink`.
    let _ = ARef::into_raw(ARef::from(exp));
    // SAFETY: The lock is held, and the expectation in no list. It is freed a grace period after
    // its last reference.
    unsafe {
        help.expectations().add(exp.master_node());
        list.add(exp.hash_node());
    }
    if let Some(netns) = NETNS.get(exp.net()) {
        netns.expects.fetch_add(1, Relaxed);
        netns.stats.count(Stat::ExpectCreate);
    }
}

fn warn_full() {
    if WARNING.is_due() {
        pr_warn!(
            "expectation table full ({}); see net.netfilter.nf_conntrack_expect_max\n",
            EXPECT_MAX.load(Relaxed)
        );
    }
}

/// Removes all that a connection expects. Any context, without the lock.
///
/// Source: nf_ct_remove_expectations().
pub(crate) fn remove_all(conn: &Conn) {
    remove_of(conn, |_| true);
}

/// Removes what a connection expects that has expired. Any context, without the lock.
///
/// Source: nf_ct_expectation_gc().
pub(crate) fn remove_expired(conn: &Conn) {
    remove_of(conn, Expect::is_expired);
}

fn remove_of(conn: &Conn, goes: impl Fn(&Expect) -> bool) {
    // Who enters one has the connection, so that it cannot be missed at the connection's end.
    let Some(help) = conn.help().filter(|help| !help.expectations().is_empty()) else {
        return;
    };
    locked(|held| {
        walk_master(help, held, |exp| {
            if goes(exp) {
                unlink(exp, held);
            }
        });
    });
}

/// Removes the expectations that `goes` is true of, of a namespace or of all. Any context, without
/// the lock.
pub(crate) fn remove_if(net: Option<&Net>, goes: impl FnMut(&Expect) -> bool) {
    remove_if_for(net, Asker::NOBODY, goes);
}

/// As [`remove_if`], because somebody has asked for it.
///
/// Source: nf_ct_expect_iterate_net() and nf_ct_expect_iterate_destroy().
pub(crate) fn remove_if_for(
    net: Option<&Net>,
    asker: Asker,
    mut goes: impl FnMut(&Expect) -> bool,
) {
    // SAFETY: The table is there as long as modules are on top of us.
    let Some(heads) = (unsafe { HEADS.load(Relaxed).as_ref() }) else {
        return;
    };
    locked(|held| {
        for head in heads.0.iter() {
            // SAFETY: The lock is held.
            unsafe {
                head.walk::<()>(|node| {
                    let exp = Expect::of_hash_node(node);
                    if net.is_none_or(|net| ptr::eq(net, exp.net())) && goes(exp) {
                        unlink_for(exp, asker, held);
                    }
                    ControlFlow::Continue(())
                })
            };
        }
    });
}

/// A place in the table, for those who list it.
#[derive(Clone, Copy)]
pub(crate) struct Cursor {
    list: usize,
    skip: usize,
}

impl Cursor {
    /// Before everything.
    pub(crate) const BEGIN: Self = Self { list: 0, skip: 0 };

    /// Behind what is at this place.
    pub(crate) fn next(self) -> Self {
        Self {
            skip: self.skip.saturating_add(1),
            ..self
        }
    }
}

/// The expectation of a namespace at a place or behind it, and its place. What comes and goes
/// meanwhile in the same list may be seen twice or not. Any context.
pub(crate) fn seek(from: Cursor, net: &Net) -> Option<(ARef<Expect>, Cursor)> {
    let guard = rcu::read_lock();
    // SAFETY: The table is there as long as a namespace has files.
    let heads = unsafe { HEADS.load(Relaxed).as_ref()? };
    let mut at = from;
    while let Some(head) = heads.0.get(at.list) {
        let mut skip = at.skip;
        // SAFETY: RCU is held.
        let found = unsafe {
            head.walk(|node| {
                let exp = Expect::of_hash_node(node);
                if exp.is_expired() || !ptr::eq(net, exp.net()) {
                    return ControlFlow::Continue(());
                }
                match skip.checked_sub(1) {
                    Some(left) => skip = left,
                    None => {
                        return try_get(exp).map_or(ControlFlow::Continue(()), ControlFlow::Break)
                    }
                }
                ControlFlow::Continue(())
            })
        };
        if let Some(exp) = found {
            return Some((exp, at));
        }
        at = Cursor {
            list: at.list.saturating_add(1),
            skip: 0,
        };
    }
    drop(guard);
    None
}
