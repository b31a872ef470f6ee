// SPDX-License-Identifier: GPL-2.0

//! Which events of a connection are reported, and which wait for it; [`crate::object::conn::event`]
//! reports them.

#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
use crate::{
    bindings,
    object::{
        conn::ext::{
            Kind,
            Part, //
        },
        netns_ct,
        setting, //
    },
    sys::{
        bits,
        field::{
            field,
            Memory,
            Mirrors, //
        },
        net::Net,
        time, //
    },
};
use crate::{
    object::conn::{
        Alone,
        Conn,
        UniqueConn, //
    },
    sys::memory::Gfp, //
};
#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
use kernel::sync::atomic::{
    Atomic,
    Full,
    Relaxed, //
};

/// Which events a rule wants reported, bit by bit: of the connection (`enum ip_conntrack_events`),
/// and of what it expects (`enum ip_conntrack_expect_events`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventMasks {
    conn: u16,
    expect: u16,
}

impl EventMasks {
    /// The events of a connection, and those of what it expects.
    pub(crate) const fn new(conn: u16, expect: u16) -> Self {
        Self { conn, expect }
    }

    /// The events of what the connection expects.
    #[cfg_attr(not(CONFIG_NF_CONNTRACK_EVENTS), allow(dead_code))]
    pub(crate) const fn expect(self) -> u16 {
        self.expect
    }

    /// All events.
    const ALL: Self = Self {
        conn: u16::MAX,
        expect: u16::MAX,
    };

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.conn == 0 && self.expect == 0
    }
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
    /// Reports the events of the connection that a rule wants, or all, if it has room for them.
    ///
    /// Source: net/netfilter/nf_conntrack_ecache.c, nf_ct_ecache_ext_add().
    #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
    pub(crate) fn begin_events(&mut self, masks: Option<EventMasks>) {
        self.conn().fill_events(masks);
    }

    /// This kernel has no events.
    #[cfg(not(CONFIG_NF_CONNTRACK_EVENTS))]
    pub(crate) fn begin_events(&mut self, _masks: Option<EventMasks>) {}
}

impl Alone<'_> {
    /// Adds room for events to a connection or template, where the settings of its namespace, or
    /// the masks of a rule, ask for it. Returns whether all is as it should be.
    ///
    /// Source: net/netfilter/nf_conntrack_ecache.c, nf_ct_ecache_ext_add().
    #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
    pub(crate) fn add_events(self, masks: EventMasks, gfp: Gfp) -> bool {
        let conn = self.0;
        if !wants_events(conn.net(), Some(masks)) {
            return true;
        }
        let added = self.add_extension(Kind::Events, gfp);
        if added.is_some() {
            conn.fill_events(Some(masks));
        }
        added.is_some()
    }

    /// This kernel has no events.
    #[cfg(not(CONFIG_NF_CONNTRACK_EVENTS))]
    pub(crate) fn add_events(self, _masks: EventMasks, _gfp: Gfp) -> bool {
        true
    }
}

impl Conn {
    /// The events that a template wants reported.
    #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
    pub(crate) fn event_masks(&self) -> Option<EventMasks> {
        let events = self.part::<Events>()?;
        Some(EventMasks {
            conn: events.wanted(),
            expect: field!(events.0, expmask).load(),
        })
    }

    /// This kernel has no events.
    #[cfg(not(CONFIG_NF_CONNTRACK_EVENTS))]
    pub(crate) fn event_masks(&self) -> Option<EventMasks> {
        None
    }

    /// Fills the extension of events, if there is one, which no other code looks at yet.
    #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
    fn fill_events(&self, masks: Option<EventMasks>) {
        let Some(events) = self.part::<Events>() else {
            return;
        };
        let masks = masks.filter(|masks| !masks.is_empty());
        let masks = masks.unwrap_or(EventMasks::ALL);
        field!(events.0, ctmask).store(masks.conn);
        field!(events.0, expmask).store(masks.expect);
        #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
        if self.times().is_some() {
            events.time().store(time::real_ns(), Relaxed);
        }
    }
}

/// Which events are reported to user space, and which wait for it, `struct nf_conntrack_ecache`. C
/// code writes to it as well, each field by atomic accesses.
#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
#[repr(transparent)]
pub(in super::super) struct Events(Memory<bindings::nf_conntrack_ecache>);

#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
// SAFETY: That is what this extension is. What changes in it is atomic, or in an `UnsafeCell`.
unsafe impl Part for Events {
    const KIND: Kind = Kind::Events;
}

#[cfg(all(CONFIG_NF_CONNTRACK_EVENTS, CONFIG_NF_CONNTRACK_TIMESTAMP))]
// SAFETY: The counter is one of 64 bits, which Rust and C read and write by one access.
unsafe impl Mirrors<bindings::local64_t> for Atomic<i64> {}

#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
impl Events {
    /// What was noted, bit by bit.
    pub(in super::super) fn noted(&self) -> &Atomic<usize> {
        field!(self.0, cache as Atomic<usize>)
    }

    /// Notes an event, a number of [`crate::object::conn::event::Event`].
    pub(in super::super) fn set_noted(&self, event: u32) {
        bits::raise(self.noted(), event);
    }

    /// What was missed, bit by bit.
    pub(in super::super) fn missed(&self) -> &Atomic<u32> {
        field!(self.0, missed as Atomic<u32>)
    }

    /// Makes of what was missed something else.
    pub(in super::super) fn change_missed(&self, change: impl Fn(u32) -> u32) {
        let missed = self.missed();
        let mut old = missed.load(Relaxed);
        while let Err(seen) = missed.cmpxchg(old, change(old), Full) {
            old = seen;
        }
    }

    /// The requester of an end that could not be delivered; zero if there is none.
    pub(in super::super) fn requester(&self) -> &Atomic<u32> {
        field!(self.0, portid as Atomic<u32>)
    }

    /// Which events are reported.
    pub(in super::super) fn wanted(&self) -> u16 {
        field!(self.0, ctmask).load()
    }

    /// When the first event was noted; zero if times are not.
    #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
    fn time(&self) -> &Atomic<i64> {
        field!(self.0, timestamp as Atomic<i64>)
    }

    /// Notes the time of an event, if times are noted at all.
    pub(in super::super) fn stamp(&self) {
        #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
        {
            if self.time().load(Relaxed) != 0 {
                self.time().store(time::real_ns(), Relaxed);
            }
        }
    }
}
