// SPDX-License-Identifier: GPL-2.0

//! What the kernel keeps in each namespace for the connection tracker, `struct netns_ct`. The
//! settings there are in [`crate::object::setting`] and, if they are timeouts,
//! [`crate::object::l4proto`].
//!
//! They are where other modules look for them. Writers are sysctls and rules, at any time, so every
//! access is a volatile access of a single number.
//!
//! C header: [`include/net/netns/conntrack.h`](srctree/include/net/netns/conntrack.h)

use crate::{
    bindings,
    sys::{
        abi::Lasting,
        call,
        field::{
            field,
            Field,
            Memory,
            Mirrors, //
        },
        net::Net,
        percpu::Counters,
        pernet::Here,
        rcu::ReadSide, //
    },
};
use core::ptr;
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    }, //
};

/// The structure of a namespace.
#[inline]
fn of(net: &Net) -> &Memory<bindings::netns_ct> {
    // SAFETY: The namespace is valid, and other CPUs read and write the structure meanwhile.
    unsafe { &*(&raw mut (*net.as_ptr()).ct).cast() }
}

#[cfg(CONFIG_NF_CONNTRACK_LABELS)]
// SAFETY: The counter is a number, which Rust and C read and write by one access.
unsafe impl Mirrors<bindings::atomic_t> for Atomic<i32> {}

#[cfg(CONFIG_NF_CONNTRACK_LABELS)]
impl Net {
    /// How many rules use labels.
    fn label_users(&self) -> &Atomic<i32> {
        field!(of(self), labels_used as Atomic<i32>)
    }

    /// Whether new connections need room for labels: some rule uses them.
    pub(crate) fn labels_used(&self) -> bool {
        self.label_users().load(Relaxed) != 0
    }

    /// One more rule uses labels.
    pub(crate) fn use_labels(&self) {
        self.label_users().add(1, Relaxed);
    }

    /// One rule less uses labels.
    pub(crate) fn unuse_labels(&self) {
        self.label_users().add(-1, Relaxed);
    }
}

#[cfg(not(CONFIG_NF_CONNTRACK_LABELS))]
impl Net {
    /// This kernel has no labels.
    pub(crate) fn use_labels(&self) {}

    /// This kernel has no labels.
    pub(crate) fn unuse_labels(&self) {}
}

#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
impl Net {
    /// Returns whether there is a listener to events.
    #[inline]
    pub(crate) fn has_listener(&self) -> bool {
        // Each packet asks: an `Atomic` would call a function.
        !field!(of(self), nf_conntrack_event_cb as Field<*mut _>)
            .load()
            .is_null()
    }

    /// The listener to events, ctnetlink.
    pub(crate) fn listener<'a>(
        &self,
        _rcu: ReadSide<'a>,
    ) -> Option<&'a bindings::nf_ct_event_notifier> {
        let listener = field!(of(self), nf_conntrack_event_cb as Atomic<_>).load(Acquire);
        // SAFETY: RCU is held for `'a`, and the listener is null or a `Lasting` one.
        unsafe { listener.cast::<bindings::nf_ct_event_notifier>().as_ref() }
    }

    /// Sets the listener to events, or that there is none.
    pub(crate) fn set_listener(&self, listener: Option<Lasting<bindings::nf_ct_event_notifier>>) {
        let listener = listener.map_or(ptr::null_mut(), |listener| listener.as_ptr().cast());
        field!(of(self), nf_conntrack_event_cb as Atomic<_>).store(listener, Release);
    }
}

/// Returns whether there is a listener to events of connections, in any namespace.
#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
pub(crate) fn events_have_listener() -> bool {
    call::nf_ctnetlink_has_listener.load() != 0
}

/// Counters of a namespace that other modules read, as `struct ip_conntrack_stat`, while this
/// lives.
///
/// # Invariants
///
/// The namespace is there as long as this is, not for ever.
pub(crate) struct Published<const N: usize> {
    counters: Counters<N>,
    net: &'static Net,
}

impl<const N: usize> Published<N> {
    /// Makes counters of a namespace's state, and shows them to other modules. Process context.
    pub(crate) fn new(here: Here<'_>) -> Result<Self> {
        const { assert!(N * size_of::<u32>() >= size_of::<bindings::ip_conntrack_stat>()) };
        let counters = Counters::new()?;
        // INVARIANT: What is made of `here` is dropped before the namespace.
        // SAFETY: As above; no other code gets the reference.
        let net = unsafe { Net::from_raw(here.net().as_ptr()) };
        field!(of(net), stat).store(counters.as_ptr().cast());
        Ok(Self { counters, net })
    }
}

impl<const N: usize> core::ops::Deref for Published<N> {
    type Target = Counters<N>;

    fn deref(&self) -> &Counters<N> {
        &self.counters
    }
}

impl<const N: usize> Drop for Published<N> {
    fn drop(&mut self) {
        field!(of(self.net), stat).store(ptr::null_mut());
    }
}
