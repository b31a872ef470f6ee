// SPDX-License-Identifier: GPL-2.0

//! Events: what happens to a connection, as ctnetlink tells it to user space.
//!
//! What a packet does is noted in the connection's extension, and told when the packet leaves, all
//! at once; the end of a connection is told when it comes. An event for which the listener has no
//! room is missed, and goes along with what is told next; an end that cannot be told keeps the
//! connection, see [`crate::object::dying`].
//!
//! Only connections with the extension are told of. Without a listener nothing is noted.
//!
//! Source: net/netfilter/nf_conntrack_ecache.c.

use crate::object::conn::Conn;
#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
use crate::{
    bindings,
    object::{
        conn::ext::events::Events,
        netns_ct, //
    },
    pure::state::Status,
    sys::rcu::ReadSide, //
};
use kernel::ffi::c_int;
#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
use kernel::sync::{
    atomic::{
        Full,
        Relaxed, //
    },
    rcu, //
};

/// What happened, `enum ip_conntrack_events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Event {
    /// It has begun.
    New = 0,
    /// It has begun, and was expected.
    Related = 1,
    /// It is over.
    Destroy = 2,
    /// The first answer was seen.
    Reply = 3,
    /// It has become ASSURED.
    Assured = 4,
    /// The state that its protocol keeps has changed.
    ProtoInfo = 5,
    /// It has a helper.
    Helper = 6,
    /// Its labels have changed.
    Label = 10,
}

#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
const _: () = {
    assert!(Event::New as u32 == bindings::ip_conntrack_events_IPCT_NEW);
    assert!(Event::Related as u32 == bindings::ip_conntrack_events_IPCT_RELATED);
    assert!(Event::Destroy as u32 == bindings::ip_conntrack_events_IPCT_DESTROY);
    assert!(Event::Reply as u32 == bindings::ip_conntrack_events_IPCT_REPLY);
    assert!(Event::Assured as u32 == bindings::ip_conntrack_events_IPCT_ASSURED);
    assert!(Event::ProtoInfo as u32 == bindings::ip_conntrack_events_IPCT_PROTOINFO);
    assert!(Event::Helper as u32 == bindings::ip_conntrack_events_IPCT_HELPER);
    assert!(Event::Label as u32 == bindings::ip_conntrack_events_IPCT_LABEL);
};

impl Event {
    /// The event alone, as a bit.
    pub(crate) const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// The netlink socket that has asked for what happens, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Requester {
    /// The address of the socket; zero if there is none.
    pub(crate) portid: u32,
    /// Whether the socket wants to hear of it as well.
    pub(crate) report: c_int,
}

impl Requester {
    /// A packet, the clock, or a rule.
    pub(crate) const NOBODY: Self = Self {
        portid: 0,
        report: 0,
    };
}

/// Returns whether there is a listener to events of connections, in any namespace.
#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
pub(crate) fn has_listener() -> bool {
    netns_ct::events_have_listener()
}

/// This kernel has no events.
#[cfg(not(CONFIG_NF_CONNTRACK_EVENTS))]
pub(crate) fn has_listener() -> bool {
    false
}

/// The listener has no room for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missed;

#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
impl Conn {
    /// Notes an event, to be told when the packet leaves. Any context.
    ///
    /// Source: include/net/netfilter/nf_conntrack_ecache.h, nf_conntrack_event_cache().
    pub(crate) fn cache_event(&self, event: Event) {
        if !self.net().has_listener() {
            return;
        }
        if let Some(events) = self.part::<Events>() {
            // The time is that of the first event.
            if events.noted().load(Relaxed) == 0 {
                events.stamp();
            }
            events.set_noted(event as u32);
        }
    }

    /// Tells what was noted, and what was missed before. Softirq or process context.
    ///
    /// Source: nf_ct_deliver_cached_events().
    #[inline]
    pub(crate) fn deliver_cached(&self) {
        if self.net().has_listener() {
            self.deliver_to_listener();
        }
    }

    #[inline(never)]
    fn deliver_to_listener(&self) {
        let status = self.status();
        if !status.contains(Status::CONFIRMED) || status.contains(Status::DYING) {
            return;
        }
        let Some(events) = self.part::<Events>() else {
            return;
        };
        let missed = events.missed().load(Relaxed);
        if events.noted().load(Relaxed) == 0 && missed == 0 {
            return;
        }
        // CAST: Events are numbers below 16. What was missed may be told twice, which does no harm.
        let noted = events.noted().xchg(0, Full) as u32;
        let _ = self.notify(events, noted, missed, 0, 0);
    }

    /// Tells of events, bit by bit, at once. Any context, with no lock of the table held.
    ///
    /// Source: nf_conntrack_eventmask_report().
    ///
    /// # Errors
    ///
    /// [`Missed`] if the listener has no room: they are told with the next event.
    pub(crate) fn report_events(&self, bits: u32, requester: Requester) -> Result<(), Missed> {
        if !self.status().contains(Status::CONFIRMED) {
            return Ok(());
        }
        let Some(events) = self.part::<Events>() else {
            return Ok(());
        };
        // If it is delivered again, the first requester counts, and nothing else is delivered.
        let again = events.requester().load(Relaxed);
        let (portid, missed) = match again {
            0 => (requester.portid, events.missed().load(Relaxed)),
            _ => (again, 0),
        };
        events.stamp();
        let told = self.notify(events, bits, missed, portid, requester.report);
        if told.is_err() && bits & Event::Destroy.bit() != 0 && again == 0 {
            events.requester().store(requester.portid, Relaxed);
        }
        told
    }

    /// Source: __nf_conntrack_eventmask_report().
    fn notify(
        &self,
        events: &Events,
        bits: u32,
        missed: u32,
        portid: u32,
        report: c_int,
    ) -> Result<(), Missed> {
        if (bits | missed) & u32::from(events.wanted()) == 0 {
            return Ok(());
        }
        let guard = rcu::read_lock();
        let listener = self.net().listener(ReadSide::of(&guard));
        let Some(function) = listener.and_then(|listener| listener.ct_event) else {
            return Ok(());
        };
        let item = bindings::nf_ct_event {
            ct: self.ct(),
            portid,
            report,
        };
        // SAFETY: RCU is held, so the listener is there. The caller has a reference to the
        // connection.
        let status = unsafe { function(bits | missed, &raw const item) };
        drop(guard);
        if status < 0 {
            events.change_missed(|old| old | bits);
            return Err(Missed);
        }
        if missed != 0 {
            events.change_missed(|old| old & !missed);
        }
        Ok(())
    }
}

#[cfg(not(CONFIG_NF_CONNTRACK_EVENTS))]
impl Conn {
    /// This kernel has no events.
    pub(crate) fn cache_event(&self, _event: Event) {}

    /// This kernel has no events.
    pub(crate) fn deliver_cached(&self) {}

    /// This kernel has no events.
    pub(crate) fn report_events(&self, _bits: u32, _requester: Requester) -> Result<(), Missed> {
        Ok(())
    }
}
