// SPDX-License-Identifier: GPL-2.0

//! The table of expectations, and the lists of all masters: how an expectation enters, is found,
//! and is removed. See [`super`] for the lock.

use super::{
    locked,
    ByMaster,
    ByTuple,
    Event,
    Expect,
    Held,
    Wanted,
    DEAD,
    INACTIVE,
    PERMANENT, //
};
use crate::{
    bindings,
    object::{
        conn::{
            event::Requester,
            help::Help,
            Conn, //
        },
        helper::{
            Helper,
            Slot, //
        },
        netns::{
            EXPECT_MAX,
            NETNS, //
        },
        stat::Stat,
        trace, //
    },
    pure::{
        fate::NotExpected,
        state::Status,
        tuple::Tuple,
        zone::Zone, //
    },
    sys::{
        field::field,
        hlist::Head,
        net::Net,
        rcu::ReadSide,
        rcu_box::RcuBox,
        refcount::Counted,
        siphash,
        time::{
            self,
            Throttle, //
        },
        trace::{
            self as point,
            Point, //
        },
    },
};
use core::{
    ops::ControlFlow,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        rcu, //
    },
};

/// An equal expectation of any master is in the way, not the master's own alone
/// (`NF_CT_EXP_F_SKIP_MASTER`).
const SKIP_MASTER: u32 = bindings::NF_CT_EXP_F_SKIP_MASTER;

/// How many expectations of a class a master has at most where no helper says less
/// (`NF_CT_EXPECT_MAX_CNT`).
const MOST: u32 = 255;

/// The key of the table, drawn when it is made.
static KEY: siphash::Key = siphash::Key::new();

/// The line about a full table.
static WARNING: Throttle = Throttle::new();

/// The lists of the table; none while there is no table.
static HEADS: RcuBox<Heads> = RcuBox::new();

/// The lists of the table.
struct Heads(KVVec<Head<ByTuple>>);

/// The table of expectations is there while this lives. All of them must be out of it before it is
/// dropped.
pub(crate) struct SetUp(());

/// The number of lists for a machine with so many, a page full of them or more.
const STEP: usize = 512;

/// Makes the table, with room for so many lists or a few more. Process context.
///
/// # Errors
///
/// `ENOMEM`, and `EBUSY` if that was done before.
pub(crate) fn set_up(size: u32) -> Result<SetUp> {
    static USED: Atomic<bool> = Atomic::new(false);
    let size = (size as usize).max(1).next_multiple_of(STEP);
    let mut heads = KVVec::with_capacity(size, GFP_KERNEL)?;
    for _ in 0..size {
        heads.push(Head::new(), GFP_KERNEL)?;
    }
    let heads = KBox::new(Heads(heads), GFP_KERNEL)?;
    if USED.xchg(true, Full) {
        return Err(EBUSY);
    }
    KEY.draw();
    // SAFETY: Both are variables of ours that other modules read while they are on top of us, which
    // none is yet.
    unsafe {
        (&raw mut bindings::nf_ct_expect_hash).write_volatile(heads.0.as_ptr().cast_mut().cast());
        // CAST: At most some thousands.
        (&raw mut bindings::nf_ct_expect_hsize).write_volatile(size as u32);
    }
    // There were no lists before, so there is no reader to wait for.
    drop(HEADS.replace(Some(heads)));
    Ok(SetUp(()))
}

/// How many lists the table has.
pub(crate) fn lists() -> u32 {
    // SAFETY: The variable is ours, and written by one access.
    unsafe { (&raw const bindings::nf_ct_expect_hsize).read_volatile() }
}

impl Drop for SetUp {
    fn drop(&mut self) {
        drop(HEADS.replace(None));
    }
}

/// The list that an expectation for a tuple is in.
fn list<'a>(net: &Net, tuple: &Tuple, rcu: ReadSide<'a>) -> Option<&'a Head<ByTuple>> {
    let heads = HEADS.get(rcu)?;
    let [a, b] = tuple.dst().words64();
    let [m, n] = tuple.dst_id();
    let [p, q] = tuple.l3num().to_ne_bytes();
    let rest = u64::from_ne_bytes([m, n, p, q, tuple.proto(), 0, 0, 0]);
    let hash = KEY.hash4(a, b, rest, net.hash_mix().into());
    // CAST: The upper half of the product is below the number of lists.
    let index = ((u128::from(hash) * heads.0.len() as u128) >> 64) as usize;
    heads.0.get(index)
}

/// Removes an expectation from the table, unless it was.
pub(crate) fn unlink(exp: &Expect, held: Held<'_>) {
    unlink_for(exp, Requester::NOBODY, held);
}

/// As [`unlink`], on behalf of a requester.
///
/// Source: nf_ct_unlink_expect_report().
pub(crate) fn unlink_for(exp: &Expect, requester: Requester, held: Held<'_>) {
    if !exp.is_entered() {
        return;
    }
    // SAFETY: The expectation is in both lists, whose lock is held.
    unsafe {
        Head::<ByTuple>::remove(exp);
        Head::<ByMaster>::remove(exp);
    }
    if let Some(help) = exp.master().help() {
        help.uncount(exp.class(), held);
    }
    if let Some(netns) = NETNS.get(exp.net()) {
        netns.expects.fetch_sub(1, Relaxed);
        netns.stats.count(Stat::ExpectDelete);
    }
    exp.report_event(Event::Destroy, requester, held);
    // SAFETY: The table's reference, which was taken when the expectation was entered.
    drop(unsafe { Counted::from_raw(NonNull::from(exp)) });
}

/// Calls `f` for each expectation in the list of a packet's tuple, until it breaks.
fn walk<'a, R>(
    net: &Net,
    tuple: &Tuple,
    held: Held<'a>,
    f: impl FnMut(&'a Expect) -> ControlFlow<R>,
) -> Option<R> {
    list(net, tuple, held.0)?.walk(held.0, f)
}

/// Calls `f` for each expectation of a master, the youngest first.
fn walk_master<'a>(help: &Help, held: Held<'a>, mut f: impl FnMut(&'a Expect)) {
    help.expectations().walk(held.0, |exp| {
        f(exp);
        ControlFlow::<()>::Continue(())
    });
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
    if NETNS.get(net)?.expects.load(Relaxed) == 0 {
        return None;
    }
    list(net, tuple, rcu)?.walk(rcu, |exp| {
        if !exp.is_expired() && exp.waits_for(tuple, zone, net) {
            ControlFlow::Break(exp)
        } else {
            ControlFlow::Continue(())
        }
    })
}

/// An expectation that a packet has fulfilled: what it names is there in the same section of RCU.
///
/// # Invariants
///
/// The expectation was in the table within the section.
pub(crate) struct Found<'a> {
    exp: Counted<Expect>,
    rcu: ReadSide<'a>,
}

impl<'a> Found<'a> {
    /// The helper that the expected connection is to have.
    pub(crate) fn assign_helper(&self) -> Option<&'a Helper> {
        let exp: &Expect = &self.exp;
        field!(exp.0, assign_helper as Slot).get(self.rcu)
    }

    /// Lets the helper look at the expected connection, which was just made.
    pub(crate) fn introduce(&self, child: &Conn) {
        let exp: &Expect = &self.exp;
        if let Some(function) = field!(exp.0, expectfn).load() {
            // SAFETY: The child has the caller's reference, and a reference to the master. By the
            // type invariant the function is there: a module that removes it removes expectations
            // that have it, and its code goes a grace period later.
            unsafe { function(ptr::from_ref(child).cast_mut().cast(), exp.raw()) };
        }
    }
}

/// Finds the expectation that a new connection's first packet fulfils, with a reference to its
/// master; it is removed, unless it is permanent or `keep` says so. Any context.
///
/// Source: nf_ct_find_expectation().
pub(crate) fn find_expectation<'a>(
    net: &Net,
    zone: &Zone,
    tuple: &Tuple,
    keep: bool,
    rcu: ReadSide<'a>,
) -> Option<(Found<'a>, ARef<Conn>)> {
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
        // The announcement was not sent yet, or its connection is about to end.
        if !status.contains(Status::CONFIRMED) || status.contains(Status::DYING) {
            return None;
        }
        // INVARIANT: It is in the table, and RCU is held.
        let found = Found {
            exp: exp.try_get()?,
            rcu,
        };
        let master = exp.master().try_get()?;
        if exp.flags() & PERMANENT == 0 && !keep {
            unlink(exp, held);
        }
        Some((found, master))
    })
}

/// Enters an expectation into the table. Any context.
///
/// Source: nf_ct_expect_related_report().
///
/// # Errors
///
/// `ESHUTDOWN` if the master has no helper, `EALREADY` or `EBUSY` if the packet is expected
/// already, `EMFILE` if there is no room, `EINVAL` if the class is none.
///
/// # Safety
///
/// The caller must have the master, as a packet does.
pub(crate) unsafe fn insert(exp: &Expect, flags: u32, requester: Requester) -> Result {
    locked(|held| {
        let help = exp.master().help().ok_or(ESHUTDOWN)?;
        make_place(exp, help, flags, held)?;
        help.count(exp.class(), held);
        enter(exp, help, held);
        exp.report_event(Event::New, requester, held);
        Ok(())
    })
    .inspect_err(|&error| tell_of_refusal(exp, error))
}

/// Tells of an expectation.
#[inline(always)]
fn tell<P: Point>(exp: &Expect, word: &'static str) {
    let helper = || {
        let guard = rcu::read_lock();
        Some(exp.master().helper(ReadSide::of(&guard))?.name())
    };
    trace::expectation::<P>(|| exp.tuple(), exp.master(), helper, word);
}

/// Tells of an expectation that was refused with an error of [`insert`].
fn tell_of_refusal(exp: &Expect, error: Error) {
    let why = match error {
        ESHUTDOWN => NotExpected::NoHelper,
        EALREADY => NotExpected::Already,
        EBUSY => NotExpected::Clash,
        EMFILE => NotExpected::Full,
        _ => NotExpected::Unfit,
    };
    tell::<point::NotExpected>(exp, why.word());
}

/// Expects a connection that a master has announced. Any context. `None` if there is no room or no
/// memory for it.
pub(crate) fn expect_related(master: &Conn, wanted: &Wanted<'_>, rcu: ReadSide<'_>) -> Option<()> {
    let exp = Expect::new(master)?;
    // SAFETY: The caller has the master, and no other code has the expectation.
    unsafe {
        exp.describe(wanted, rcu);
        insert(&exp, 0, Requester::NOBODY).ok()
    }
}

/// Enters two expectations of one master into the table, or none. Any context.
///
/// Source: nf_ct_expect_related_pair().
///
/// # Errors
///
/// As [`insert`]; `EINVAL` also if they are the same, or have two masters.
///
/// # Safety
///
/// The caller must have the masters, as a packet does.
pub(crate) unsafe fn insert_pair(pair: [&Expect; 2], flags: u32) -> Result {
    let [first, second] = pair;
    locked(|held| {
        let help = first.master().help().ok_or(EINVAL)?;
        if ptr::eq(first, second) || !ptr::eq(first.master(), second.master()) {
            return Err(EINVAL);
        }
        make_place(first, help, flags, held)?;
        help.count(first.class(), held);
        make_place(second, help, flags, held).inspect_err(|_| help.uncount(first.class(), held))?;
        help.count(second.class(), held);
        enter(first, help, held);
        enter(second, help, held);
        first.report_event(Event::New, Requester::NOBODY, held);
        second.report_event(Event::New, Requester::NOBODY, held);
        Ok(())
    })
    .inspect_err(|&error| {
        tell_of_refusal(first, error);
        tell_of_refusal(second, error);
    })
}

/// Looks whether there is a place for an expectation, and clears it of what it replaces.
///
/// Source: __nf_ct_expect_check().
fn make_place(exp: &Expect, help: &Help, flags: u32, held: Held<'_>) -> Result {
    let policy = match help.helper(held.0) {
        Some(helper) => helper.policy(exp.class()).ok_or(EINVAL)?.max_expected,
        None => MOST,
    };
    if exp.flags() & DEAD != 0 || exp.is_entered() {
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
fn enter(exp: &Expect, help: &Help, held: Held<'_>) {
    let policy = help
        .helper(held.0)
        .and_then(|helper| helper.policy(exp.class()));
    let Some(list) = list(exp.net(), &exp.tuple(), held.0) else {
        return;
    };
    if let Some(policy) = policy {
        let jiffies = policy.timeout.wrapping_mul(time::HZ);
        let timeout = exp.timeout().wrapping_add(jiffies);
        field!(exp.0, timeout).store(timeout);
    }
    // The table's reference, given back in `unlink`. The caller has one, so there is one to be had.
    let Some(reference) = exp.try_get() else {
        return;
    };
    let _ = Counted::into_raw(reference);
    // SAFETY: The lock is held, and the expectation in no list. It is freed a grace period after
    // its last reference.
    unsafe {
        help.expectations().add(exp);
        list.add(exp);
    }
    if let Some(netns) = NETNS.get(exp.net()) {
        netns.expects.fetch_add(1, Relaxed);
        netns.stats.count(Stat::ExpectCreate);
    }
    tell::<point::Expected>(exp, "made");
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
    // The lock is taken though nothing may be expected: a CPU that is just removing the last
    // expectation is not done with the connection yet, and has no reference.
    if let Some(help) = conn.help() {
        remove_of(help, |_| true);
    }
}

/// Removes what a connection expects that has expired. Any context, without the lock.
///
/// Source: nf_ct_expectation_gc().
pub(crate) fn remove_expired(conn: &Conn) {
    // What comes meanwhile has not expired, and the caller keeps the connection.
    if let Some(help) = conn.help().filter(|help| !help.expectations().is_empty()) {
        remove_of(help, Expect::is_expired);
    }
}

fn remove_of(help: &Help, goes: impl Fn(&Expect) -> bool) {
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
    remove_if_for(net, Requester::NOBODY, goes);
}

/// As [`remove_if`], on behalf of a requester.
///
/// Source: nf_ct_expect_iterate_net() and nf_ct_expect_iterate_destroy().
pub(crate) fn remove_if_for(
    net: Option<&Net>,
    requester: Requester,
    mut goes: impl FnMut(&Expect) -> bool,
) {
    locked(|held| {
        for head in HEADS
            .get(held.0)
            .into_iter()
            .flat_map(|heads| heads.0.iter())
        {
            head.walk(held.0, |exp| {
                if net.is_none_or(|net| ptr::eq(net, exp.net())) && goes(exp) {
                    unlink_for(exp, requester, held);
                }
                ControlFlow::<()>::Continue(())
            });
        }
    });
}

/// A place in the table, for a caller that lists it.
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
pub(crate) fn seek(from: Cursor, net: &Net) -> Option<(Counted<Expect>, Cursor)> {
    let guard = rcu::read_lock();
    let rcu = ReadSide::of(&guard);
    let heads = HEADS.get(rcu)?;
    let mut at = from;
    while let Some(head) = heads.0.get(at.list) {
        let mut skip = at.skip;
        let found = head.walk(rcu, |exp| {
            if exp.is_expired() || !ptr::eq(net, exp.net()) {
                return ControlFlow::Continue(());
            }
            match skip.checked_sub(1) {
                Some(left) => skip = left,
                None => {
                    return exp
                        .try_get()
                        .map_or(ControlFlow::Continue(()), ControlFlow::Break)
                }
            }
            ControlFlow::Continue(())
        });
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
