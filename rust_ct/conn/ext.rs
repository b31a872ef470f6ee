// SPDX-License-Identifier: GPL-2.0

//! Extensions: what only some connections have, in a piece of memory of its own.
//!
//! Layout and places are the kernel's (`struct nf_ct_ext`), because other modules read and add
//! extensions. They are added while a connection is not confirmed, by who has it alone; from then
//! on they stay where they are until the connection is freed, so that readers need no lock to find
//! them.
//!
//! Source: net/netfilter/nf_conntrack_extend.c.

use crate::{
    bindings,
    conn::{
        Conn,
        Fresh,
        Locked, //
    },
    l4proto::tcp::SeqAdj,
    sys::{
        memory,
        rcu::ReadSide,
        time, //
    },
    tuple::Direction, //
};
use core::{
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// Extensions begin at multiples of this many bytes.
const ALIGN: usize = 8;

/// Where the first extension begins.
const FIRST: usize = offset_of!(bindings::nf_ct_ext, data);

/// Which extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// [`Accounting`].
    Accounting,
    /// The shifts of both directions, [`SeqAdj`].
    SeqAdj,
    /// [`Times`].
    #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
    Times,
    /// [`Events`].
    #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
    Events,
    /// The timeout policy of a rule, a pointer to a `struct nf_ct_timeout` or null.
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    Timeout,
    /// 128 labels that rules set.
    #[cfg(CONFIG_NF_CONNTRACK_LABELS)]
    Labels,
}

impl Kind {
    /// The number, `enum nf_ct_ext_id`.
    const fn id(self) -> usize {
        // CAST: A few.
        (match self {
            Self::Accounting => bindings::nf_ct_ext_id_NF_CT_EXT_ACCT,
            Self::SeqAdj => bindings::nf_ct_ext_id_NF_CT_EXT_SEQADJ,
            #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
            Self::Times => bindings::nf_ct_ext_id_NF_CT_EXT_TSTAMP,
            #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
            Self::Events => bindings::nf_ct_ext_id_NF_CT_EXT_ECACHE,
            #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
            Self::Timeout => bindings::nf_ct_ext_id_NF_CT_EXT_TIMEOUT,
            #[cfg(CONFIG_NF_CONNTRACK_LABELS)]
            Self::Labels => bindings::nf_ct_ext_id_NF_CT_EXT_LABELS,
        }) as usize
    }

    /// How many bytes it takes.
    const fn size(self) -> usize {
        match self {
            Self::Accounting => size_of::<Accounting>(),
            Self::SeqAdj => size_of::<[SeqAdj; 2]>(),
            #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
            Self::Times => size_of::<Times>(),
            #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
            Self::Events => size_of::<Events>(),
            #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
            Self::Timeout => size_of::<*mut bindings::nf_ct_timeout>(),
            #[cfg(CONFIG_NF_CONNTRACK_LABELS)]
            Self::Labels => size_of::<bindings::nf_conn_labels>(),
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

    /// Counts a packet of so many bytes. Any context.
    #[inline]
    fn add(&self, dir: Direction, bytes: u32) {
        let [original, reply] = &self.0;
        let counter = match dir {
            Direction::Original => original,
            Direction::Reply => reply,
        };
        counter.packets.add(1, Relaxed);
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
    /// All of them.
    const ALL: Self = Self {
        conn: u16::MAX,
        expect: u16::MAX,
    };

    /// Tells whether there are none.
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
        let offset = usize::from(self.len).next_multiple_of(ALIGN);
        let end = offset.saturating_add(kind.size());
        // All that there are fit into a byte, as the kernel asserts.
        if let (Ok(end), Some(place)) = (u8::try_from(end), self.offsets.get_mut(kind.id())) {
            // CAST: It is below `end`.
            *place = offset as u8;
            self.len = end;
        }
    }

    /// Tells whether there are none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        usize::from(self.len) == FIRST
    }
}

impl Fresh {
    /// Allocates extensions, filled with zeroes. Any context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn extend(&self, plan: &Plan) -> Result {
        let memory = memory::zeroed(plan.len.into()).ok_or(ENOMEM)?;
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
    pub(crate) fn report(&self, masks: Option<EventMasks>) {
        let Some(events) = self.conn().extension(Kind::Events) else {
            return;
        };
        let masks = masks.filter(|masks| !masks.is_empty());
        let masks = masks.unwrap_or(EventMasks::ALL);
        let events = events.cast::<Events>().as_ptr();
        // SAFETY: The extension is an `Events`, and nobody else looks at it yet.
        unsafe {
            (&raw mut (*events).ctmask).write(masks.conn);
            (&raw mut (*events).expmask).write(masks.expect);
        }
        #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
        if self.conn().times().is_some() {
            // SAFETY: As above; the field is one counter of 64 bits.
            unsafe {
                (&raw mut (*events).timestamp)
                    .cast::<i64>()
                    .write(time::real_ns());
            }
        }
    }

    /// Nobody can be told of events.
    #[cfg(not(CONFIG_NF_CONNTRACK_EVENTS))]
    pub(crate) fn report(&self, _masks: Option<EventMasks>) {}

    /// Gives the connection the timeout policy of a template, if there is one and the connection
    /// has room for it. A policy that is just being removed is none.
    ///
    /// Source: include/net/netfilter/nf_conntrack_timeout.h, nf_ct_timeout_ext_add().
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    pub(crate) fn take_policy(&self, template: &Conn, rcu: ReadSide<'_>) {
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
    pub(crate) fn take_policy(&self, _template: &Conn, _rcu: ReadSide<'_>) {}
}

impl Conn {
    /// Where an extension is.
    #[inline]
    fn extension(&self, kind: Kind) -> Option<NonNull<u8>> {
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

    /// Tells whether a template has a timeout policy for its connections.
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
        if let Some(accounting) = self.accounting() {
            accounting.add(dir, bytes);
        }
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
    pub(crate) fn note_start(&self) {
        if let Some(times) = self.times() {
            times.start.store(time::real_ns(), Relaxed);
        }
    }

    /// Notes that the connection is removed now, or was to be when it expired.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_ct_delete().
    pub(crate) fn note_stop(&self) {
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
