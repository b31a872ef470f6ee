// SPDX-License-Identifier: GPL-2.0

//! Extensions: what only some connections have, in a piece of memory of its own.
//!
//! Layout and places are the kernel's (`struct nf_ct_ext`), because other modules read and add
//! extensions. They are added while a connection is not confirmed and one owner has it; from then
//! on they stay where they are until the connection is freed, so that readers need no lock to find
//! them.
//!
//! Source: net/netfilter/nf_conntrack_extend.c.

use crate::{
    bindings,
    object::{
        conn::{
            Conn,
            Locked, //
            UniqueConn,
        },
        netns_ct,
        setting, //
    },
    pure::{
        l4proto::seqadj::SeqAdj,
        state::Status,
        tuple::Direction, //
    },
    sys::{
        memory::{
            self,
            Gfp, //
        },
        net::Net,
        rcu::ReadSide,
        time, //
    },
};
use core::{
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed,
        Release, //
    },
};

/// Extensions begin at multiples of this many bytes.
const ALIGN: usize = 8;

/// Where the first extension begins.
const FIRST: usize = offset_of!(bindings::nf_ct_ext, data);

/// Which extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// [`crate::object::conn::help::Help`].
    Helper,
    /// What NAT keeps, of its own.
    #[cfg(CONFIG_NF_NAT)]
    Nat,
    /// The shifts of both directions, [`SeqAdj`].
    SeqAdj,
    /// [`Accounting`].
    Accounting,
    /// [`Events`].
    #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
    Events,
    /// [`Times`].
    #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
    Times,
    /// The timeout policy of a rule, a pointer to a `struct nf_ct_timeout` or null.
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    Timeout,
    /// 128 labels that rules set.
    #[cfg(CONFIG_NF_CONNTRACK_LABELS)]
    Labels,
    /// What the SYN proxy keeps, of its own.
    #[cfg(CONFIG_NETFILTER_SYNPROXY)]
    SynProxy,
    /// What traffic control keeps, of its own.
    #[cfg(CONFIG_NET_ACT_CT)]
    ActCt,
}

impl Kind {
    /// All of them.
    const ALL: [Self; COUNT] = [
        Self::Helper,
        #[cfg(CONFIG_NF_NAT)]
        Self::Nat,
        Self::SeqAdj,
        Self::Accounting,
        #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
        Self::Events,
        #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
        Self::Times,
        #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
        Self::Timeout,
        #[cfg(CONFIG_NF_CONNTRACK_LABELS)]
        Self::Labels,
        #[cfg(CONFIG_NETFILTER_SYNPROXY)]
        Self::SynProxy,
        #[cfg(CONFIG_NET_ACT_CT)]
        Self::ActCt,
    ];

    /// The one with a number, `enum nf_ct_ext_id`.
    pub(crate) fn from_id(id: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.id() == id)
    }

    /// The number, `enum nf_ct_ext_id`.
    const fn id(self) -> usize {
        // CAST: A few.
        (match self {
            Self::Helper => bindings::nf_ct_ext_id_NF_CT_EXT_HELPER,
            #[cfg(CONFIG_NF_NAT)]
            Self::Nat => bindings::nf_ct_ext_id_NF_CT_EXT_NAT,
            Self::SeqAdj => bindings::nf_ct_ext_id_NF_CT_EXT_SEQADJ,
            Self::Accounting => bindings::nf_ct_ext_id_NF_CT_EXT_ACCT,
            #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
            Self::Events => bindings::nf_ct_ext_id_NF_CT_EXT_ECACHE,
            #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
            Self::Times => bindings::nf_ct_ext_id_NF_CT_EXT_TSTAMP,
            #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
            Self::Timeout => bindings::nf_ct_ext_id_NF_CT_EXT_TIMEOUT,
            #[cfg(CONFIG_NF_CONNTRACK_LABELS)]
            Self::Labels => bindings::nf_ct_ext_id_NF_CT_EXT_LABELS,
            #[cfg(CONFIG_NETFILTER_SYNPROXY)]
            Self::SynProxy => bindings::nf_ct_ext_id_NF_CT_EXT_SYNPROXY,
            #[cfg(CONFIG_NET_ACT_CT)]
            Self::ActCt => bindings::nf_ct_ext_id_NF_CT_EXT_ACT_CT,
        }) as usize
    }

    /// How many bytes it takes.
    const fn size(self) -> usize {
        match self {
            Self::Helper => size_of::<bindings::nf_conn_help>(),
            #[cfg(CONFIG_NF_NAT)]
            Self::Nat => size_of::<bindings::nf_conn_nat>(),
            Self::SeqAdj => size_of::<[SeqAdj; 2]>(),
            Self::Accounting => size_of::<Accounting>(),
            #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
            Self::Events => size_of::<Events>(),
            #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
            Self::Times => size_of::<Times>(),
            #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
            Self::Timeout => size_of::<*mut bindings::nf_ct_timeout>(),
            #[cfg(CONFIG_NF_CONNTRACK_LABELS)]
            Self::Labels => size_of::<bindings::nf_conn_labels>(),
            #[cfg(CONFIG_NETFILTER_SYNPROXY)]
            Self::SynProxy => size_of::<bindings::nf_conn_synproxy>(),
            #[cfg(CONFIG_NET_ACT_CT)]
            Self::ActCt => size_of::<bindings::nf_conn_act_ct_ext>(),
        }
    }
}

/// Packets and bytes of one direction.
#[repr(C)]
struct Counter {
    packets: Atomic<i64>,
    bytes: Atomic<i64>,
}

/// Packets and bytes of both directions, `struct nf_conn_acct`.
#[repr(C)]
pub(crate) struct Accounting([Counter; 2]);

impl Accounting {
    /// Packets and bytes of a direction.
    pub(crate) fn get(&self, dir: Direction) -> (u64, u64) {
        let [original, reply] = &self.0;
        let counter = match dir {
            Direction::Original => original,
            Direction::Reply => reply,
        };
        // CAST: The kernel's counters wrap around.
        (
            counter.packets.load(Relaxed) as u64,
            counter.bytes.load(Relaxed) as u64,
        )
    }

    /// Counts packets of so many bytes. Any context.
    #[inline]
    fn add(&self, dir: Direction, packets: u32, bytes: u32) {
        let [original, reply] = &self.0;
        let counter = match dir {
            Direction::Original => original,
            Direction::Reply => reply,
        };
        counter.packets.add(packets.into(), Relaxed);
        counter.bytes.add(bytes.into(), Relaxed);
    }
}

/// When the connection was confirmed and removed, in nanoseconds since 1970, `struct
/// nf_conn_tstamp`. Zero before.
#[repr(C)]
pub(crate) struct Times {
    start: Atomic<i64>,
    stop: Atomic<i64>,
}

/// Which events are reported to user space, and which wait for it, `struct nf_conntrack_ecache`.
#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
pub(crate) type Events = bindings::nf_conntrack_ecache;

/// Which events a rule wants reported, bit by bit: of the connection (`enum ip_conntrack_events`),
/// and of what it expects (`enum ip_conntrack_expect_events`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventMasks {
    conn: u16,
    expect: u16,
}

impl EventMasks {
    /// Those of a connection, and those of what it expects.
    pub(crate) const fn new(conn: u16, expect: u16) -> Self {
        Self { conn, expect }
    }

    /// Those of what the connection expects.
    #[cfg_attr(not(CONFIG_NF_CONNTRACK_EVENTS), allow(dead_code))]
    pub(crate) const fn expect(self) -> u16 {
        self.expect
    }

    /// All of them.
    const ALL: Self = Self {
        conn: u16::MAX,
        expect: u16::MAX,
    };

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.conn == 0 && self.expect == 0
    }
}

const _: () = {
    assert!(size_of::<Accounting>() == size_of::<bindings::nf_conn_acct>());
    assert!(size_of::<Times>() == 16);
    assert!(size_of::<[SeqAdj; 2]>() == size_of::<bindings::nf_conn_seqadj>());
    assert!(FIRST % ALIGN == 0);
};

/// Extensions of a new connection that are not allocated yet.
pub(crate) struct Plan {
    offsets: [u8; COUNT],
    len: u8,
}

/// How many extensions there may be.
const COUNT: usize = bindings::nf_ct_ext_id_NF_CT_EXT_NUM as usize;

impl Plan {
    /// None.
    pub(crate) const NONE: Self = Self {
        offsets: [0; COUNT],
        // CAST: Some 16 bytes.
        len: FIRST as u8,
    };

    /// One more.
    pub(crate) fn add(&mut self, kind: Kind) {
        // All that there are have room, as the kernel asserts.
        if let (Some((begin, end)), Some(offset)) = (
            place(self.len.into(), kind),
            self.offsets.get_mut(kind.id()),
        ) {
            *offset = begin;
            self.len = end;
        }
    }

    /// Returns whether there are none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        usize::from(self.len) == FIRST
    }
}

/// Where behind `len` bytes of extensions one more begins and ends, if there is room for it: places
/// are bytes.
fn place(len: usize, kind: Kind) -> Option<(u8, u8)> {
    let begin = len.checked_next_multiple_of(ALIGN)?;
    let end = begin.checked_add(kind.size())?;
    Some((u8::try_from(begin).ok()?, u8::try_from(end).ok()?))
}

/// Returns whether the settings of a namespace, or the masks of a rule, ask for events of a
/// connection.
///
/// Source: net/netfilter/nf_conntrack_ecache.c, nf_ct_ecache_ext_add().
#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
#[inline]
pub(crate) fn wants_events(net: &Net, masks: Option<EventMasks>) -> bool {
    match setting::EVENTS.get(net) {
        // Not by itself, but if a rule says which.
        0 => masks.is_some_and(|masks| !masks.is_empty()),
        1 => true,
        2 => netns_ct::events_have_listener(),
        _ => false,
    }
}

impl UniqueConn {
    /// Allocates extensions, filled with zeroes. Any context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn extend(&mut self, plan: &Plan) -> Result {
        let memory = memory::zeroed(plan.len.into(), memory::ATOMIC).ok_or(ENOMEM)?;
        let ext = memory.cast::<bindings::nf_ct_ext>().as_ptr();
        // SAFETY: The memory is ours, and as large as its header at least. Nobody else looks at
        // the extensions of a connection that has no reference.
        unsafe {
            (&raw mut (*ext).offset)
                .cast::<[u8; COUNT]>()
                .write(plan.offsets);
            (&raw mut (*ext).len).write(plan.len);
            (&raw mut (*self.conn().ct()).ext).write(ext);
        }
        Ok(())
    }

    /// Reports the events of the connection that a rule wants, or all, if it has room for them.
    ///
    /// Source: net/netfilter/nf_conntrack_ecache.c, nf_ct_ecache_ext_add().
    #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
    pub(crate) fn begin_events(&mut self, masks: Option<EventMasks>) {
        let Some(events) = self.conn().extension(Kind::Events) else {
            return;
        };
        self.conn().fill_events(events, masks);
    }

    /// Nobody can be told of events.
    #[cfg(not(CONFIG_NF_CONNTRACK_EVENTS))]
    pub(crate) fn begin_events(&mut self, _masks: Option<EventMasks>) {}

    /// Gives the connection the timeout policy of a template, if there is one and the connection
    /// has room for it. A policy that is just being removed is none.
    ///
    /// Source: include/net/netfilter/nf_conntrack_timeout.h, nf_ct_timeout_ext_add().
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    pub(crate) fn take_policy(&mut self, template: &Conn, rcu: ReadSide<'_>) {
        let (Some(place), Some(policy)) = (
            self.conn().extension(Kind::Timeout),
            template.policy_ptr(rcu),
        ) else {
            return;
        };
        // SAFETY: RCU is held: the policy's memory is there, and its counter above zero or not.
        if unsafe { bindings::rct_timeout_tryget(policy.as_ptr()) } {
            // SAFETY: The extension is a pointer, and nobody else looks at it yet. The reference is
            // given back in `Conn::destroy`.
            unsafe { place.cast().write(policy.as_ptr()) };
        }
    }

    /// No rule has a policy.
    #[cfg(not(CONFIG_NF_CONNTRACK_TIMEOUT))]
    pub(crate) fn take_policy(&mut self, _template: &Conn, _rcu: ReadSide<'_>) {}
}

impl Conn {
    /// Adds an extension of zeroes to a connection, or a template, that is not confirmed. `None` if
    /// it has it, if it is confirmed, or if there is no memory.
    ///
    /// Source: net/netfilter/nf_conntrack_extend.c, nf_ct_ext_add().
    ///
    /// # Safety
    ///
    /// The caller must have the connection or template alone, and nothing in its extensions
    /// borrowed: they may move.
    pub(crate) unsafe fn add_extension(&self, kind: Kind, gfp: Gfp) -> Option<NonNull<u8>> {
        let status = self.status();
        // Templates count as confirmed where they are given to one packet only.
        if status.contains(Status::CONFIRMED) && !status.contains(Status::TEMPLATE) {
            return None;
        }
        // SAFETY: The field is inside the connection, which is the caller's alone.
        let old = unsafe { (*self.ct()).ext };
        // SAFETY: The header of extensions that are there is valid.
        let len = match unsafe { old.as_ref() } {
            Some(_) if self.extension(kind).is_some() => return None,
            Some(ext) => ext.len.into(),
            None => FIRST,
        };
        let (offset, new_len) = place(len, kind)?;
        let end = usize::from(new_len);

        // SAFETY: Extensions are from kmalloc(), and the caller's alone.
        let memory = unsafe { memory::enlarge(old.cast(), end, gfp) }?;
        let new = memory.cast::<bindings::nf_ct_ext>().as_ptr();
        // SAFETY: The memory holds what was there, or nothing, and has room up to `end`.
        unsafe {
            let offsets = (&raw mut (*new).offset).cast::<[u8; COUNT]>();
            if old.is_null() {
                offsets.write([0; COUNT]);
            }
            offsets.cast::<u8>().add(kind.id()).write(offset);
            (&raw mut (*new).len).write(new_len);
            memory.add(len).write_bytes(0, end - len);
            (&raw mut (*self.ct()).ext).write_volatile(new);
        }
        self.extension(kind)
    }

    /// Where an extension is.
    #[inline]
    pub(super) fn extension(&self, kind: Kind) -> Option<NonNull<u8>> {
        // SAFETY: The field is inside the connection; it does not change once somebody else can
        // look at it.
        let ext = unsafe { (&raw const (*self.ct()).ext).read_volatile() };
        let ext = NonNull::new(ext)?;
        // SAFETY: The header is valid as long as the connection, and has a place for each.
        let offset = unsafe {
            (&raw const (*ext.as_ptr()).offset)
                .cast::<u8>()
                .add(kind.id())
                .read()
        };
        // SAFETY: The extension is that far from the beginning.
        (offset != 0).then(|| unsafe { ext.cast::<u8>().add(offset.into()) })
    }

    /// The events that a template wants reported.
    #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
    pub(crate) fn event_masks(&self) -> Option<EventMasks> {
        let events = self.extension(Kind::Events)?.cast::<Events>().as_ptr();
        // SAFETY: The extension is an `Events`, and that of a template does not change.
        unsafe {
            Some(EventMasks {
                conn: (&raw const (*events).ctmask).read(),
                expect: (&raw const (*events).expmask).read(),
            })
        }
    }

    /// Nobody can be told of events.
    #[cfg(not(CONFIG_NF_CONNTRACK_EVENTS))]
    pub(crate) fn event_masks(&self) -> Option<EventMasks> {
        None
    }

    /// Adds room for events to a connection or template, where the settings of its namespace, or
    /// the masks of a rule, ask for it. Returns whether all is as it should be.
    ///
    /// Source: net/netfilter/nf_conntrack_ecache.c, nf_ct_ecache_ext_add().
    ///
    /// # Safety
    ///
    /// As [`Conn::add_extension`].
    #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
    pub(crate) unsafe fn add_events(&self, masks: EventMasks, gfp: Gfp) -> bool {
        if !wants_events(self.net(), Some(masks)) {
            return true;
        }
        // SAFETY: By the contract.
        let Some(events) = (unsafe { self.add_extension(Kind::Events, gfp) }) else {
            return false;
        };
        self.fill_events(events, Some(masks));
        true
    }

    /// Nobody can be told of events.
    ///
    /// # Safety
    ///
    /// None is asked for.
    #[cfg(not(CONFIG_NF_CONNTRACK_EVENTS))]
    pub(crate) unsafe fn add_events(&self, _masks: EventMasks, _gfp: Gfp) -> bool {
        true
    }

    /// Fills the extension of events, which nobody else looks at yet.
    #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
    fn fill_events(&self, events: NonNull<u8>, masks: Option<EventMasks>) {
        let masks = masks.filter(|masks| !masks.is_empty());
        let masks = masks.unwrap_or(EventMasks::ALL);
        let events = events.cast::<Events>().as_ptr();
        // SAFETY: The extension is an `Events`, and nobody else looks at it yet.
        unsafe {
            (&raw mut (*events).ctmask).write(masks.conn);
            (&raw mut (*events).expmask).write(masks.expect);
        }
        #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
        if self.times().is_some() {
            // SAFETY: As above; the field is one counter of 64 bits.
            unsafe {
                (&raw mut (*events).timestamp)
                    .cast::<i64>()
                    .write(time::real_ns());
            }
        }
    }

    /// Where a template or connection keeps its timeout policy.
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    fn policy_place(&self) -> Option<&Atomic<*mut bindings::nf_ct_timeout>> {
        let place = self.extension(Kind::Timeout)?.cast();
        // SAFETY: The extension is a pointer, which everybody writes by one access.
        Some(unsafe { Atomic::from_ptr(place.as_ptr()) })
    }

    /// Gives a template a timeout policy, with a reference of its own.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if it has one, or there is no memory, or the policy is just being removed.
    ///
    /// # Safety
    ///
    /// As [`Conn::add_extension`]; and the policy must be one for the template's protocol.
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    pub(crate) unsafe fn add_policy(
        &self,
        policy: NonNull<bindings::nf_ct_timeout>,
        _rcu: ReadSide<'_>,
    ) -> Result {
        // SAFETY: By the contract.
        unsafe { self.add_extension(Kind::Timeout, memory::ATOMIC) }.ok_or(ENOMEM)?;
        let place = self.policy_place().ok_or(ENOMEM)?;
        // SAFETY: RCU is held: the policy's memory is there.
        if !unsafe { bindings::rct_timeout_tryget(policy.as_ptr()) } {
            return Err(ENOMEM);
        }
        place.store(policy.as_ptr(), Release);
        Ok(())
    }

    /// Takes the timeout policy off, whose reference is the caller's then.
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    pub(crate) fn take_policy_off(
        &self,
        _rcu: ReadSide<'_>,
    ) -> Option<NonNull<bindings::nf_ct_timeout>> {
        NonNull::new(self.policy_place()?.xchg(core::ptr::null_mut(), Relaxed))
    }

    /// Takes the timeout policy off if it is this one, or whatever it is if none is given. Any
    /// context.
    ///
    /// Source: net/netfilter/nf_conntrack_timeout.c, untimeout().
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    pub(crate) fn forget_policy(&self, policy: Option<NonNull<bindings::nf_ct_timeout>>) {
        let Some(place) = self.policy_place() else {
            return;
        };
        let has = place.load(Relaxed);
        let goes = !has.is_null() && policy.is_none_or(|policy| policy.as_ptr() == has);
        // Who takes it off gives its reference back.
        if goes && place.cmpxchg(has, core::ptr::null_mut(), Relaxed).is_ok() {
            // SAFETY: The connection had a reference, which it gives up.
            unsafe { bindings::rct_timeout_unref(has) };
        }
    }

    /// Returns whether a template has a timeout policy for its connections.
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    pub(crate) fn has_policy(&self) -> bool {
        self.extension(Kind::Timeout).is_some()
    }

    /// The timeout policy.
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    #[inline]
    fn policy_ptr(&self, _rcu: ReadSide<'_>) -> Option<NonNull<bindings::nf_ct_timeout>> {
        let place = self.extension(Kind::Timeout)?;
        // SAFETY: The extension is a pointer, which is taken away when the policy is removed. What
        // it points at is freed a grace period later.
        NonNull::new(unsafe { place.cast::<*mut bindings::nf_ct_timeout>().read_volatile() })
    }

    /// The timeouts of the connection's policy, in jiffies, with the indices of its protocol;
    /// `None` if the namespace's are in force.
    ///
    /// Source: include/net/netfilter/nf_conntrack_timeout.h, nf_ct_timeout_lookup().
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    #[inline]
    pub(crate) fn policy<const N: usize>(&self, rcu: ReadSide<'_>) -> Option<[u32; N]> {
        let policy = self.policy_ptr(rcu)?.as_ptr();
        // SAFETY: RCU is held. A policy for this protocol holds so many numbers, as whoever
        // attaches it to a rule has looked at.
        let data = unsafe { (&raw const (*policy).data).cast::<u32>() };
        // SAFETY: As above. Others write one number at a time.
        Some(core::array::from_fn(|i| unsafe {
            data.add(i).read_volatile()
        }))
    }

    /// No rule has a policy.
    #[cfg(not(CONFIG_NF_CONNTRACK_TIMEOUT))]
    #[inline]
    pub(crate) fn policy<const N: usize>(&self, _rcu: ReadSide<'_>) -> Option<[u32; N]> {
        None
    }

    /// What was counted, if packets are.
    #[inline]
    pub(crate) fn accounting(&self) -> Option<&Accounting> {
        let ext = self.extension(Kind::Accounting)?;
        // SAFETY: The extension is one of counters, which are atomic.
        Some(unsafe { ext.cast().as_ref() })
    }

    /// Counts a packet of so many bytes, if packets are counted. Any context.
    #[inline]
    pub(crate) fn account(&self, dir: Direction, bytes: u32) {
        self.account_many(dir, 1, bytes);
    }

    /// As [`Conn::account`], for packets that together have so many bytes.
    #[inline]
    pub(crate) fn account_many(&self, dir: Direction, packets: u32, bytes: u32) {
        if let Some(accounting) = self.accounting() {
            accounting.add(dir, packets, bytes);
        }
    }

    /// Returns whether the connection goes through a SYN proxy, or a template wants that of its
    /// connections.
    #[cfg(CONFIG_NETFILTER_SYNPROXY)]
    #[inline]
    pub(crate) fn is_proxied(&self) -> bool {
        self.extension(Kind::SynProxy).is_some()
    }

    /// There is no SYN proxy.
    #[cfg(not(CONFIG_NETFILTER_SYNPROXY))]
    #[inline]
    pub(crate) fn is_proxied(&self) -> bool {
        false
    }

    #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
    fn times(&self) -> Option<&Times> {
        let ext = self.extension(Kind::Times)?;
        // SAFETY: The extension is one of two moments, which are atomic.
        Some(unsafe { ext.cast().as_ref() })
    }

    #[cfg(not(CONFIG_NF_CONNTRACK_TIMESTAMP))]
    fn times(&self) -> Option<&Times> {
        None
    }

    /// Notes that the connection is confirmed now.
    pub(crate) fn stamp_start(&self) {
        if let Some(times) = self.times() {
            times.start.store(time::real_ns(), Relaxed);
        }
    }

    /// Notes that the connection is removed now, or was to be when it expired.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_ct_delete().
    pub(crate) fn stamp_stop(&self) {
        if let Some(times) = self.times() {
            let overdue = time::until(self.timeout()).min(0).unsigned_abs();
            let stop = time::real_ns().wrapping_sub(time::to_ns(overdue));
            times.stop.store(stop, Relaxed);
        }
    }

    /// For how many seconds the connection has been confirmed, if that is known.
    pub(crate) fn age(&self) -> Option<u64> {
        const NS_PER_S: u64 = 1_000_000_000;
        let start = self.times()?.start.load(Relaxed);
        let age = time::real_ns().wrapping_sub(start).max(0).unsigned_abs();
        Some(age / NS_PER_S)
    }
}

impl Locked<'_> {
    /// By how much the sequence numbers of both directions are shifted, if they may be.
    #[inline]
    pub(crate) fn seqadj(&mut self) -> Option<&mut [SeqAdj; 2]> {
        let ext = self.conn.extension(Kind::SeqAdj)?;
        // SAFETY: The extension is two shifts, and the lock of the connection is held, under which
        // everybody writes them.
        Some(unsafe { ext.cast().as_mut() })
    }

    /// The shift of one direction; none without the extension.
    #[inline]
    pub(crate) fn shift(&mut self, dir: Direction) -> SeqAdj {
        self.seqadj()
            .and_then(|shifts| shifts.get(dir.index()).copied())
            .unwrap_or_default()
    }
}
