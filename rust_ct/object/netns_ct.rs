// SPDX-License-Identifier: GPL-2.0

//! What the kernel keeps in each namespace for the connection tracker, `struct netns_ct`. The
//! settings there are in [`crate::object::setting`] and, if they are timeouts,
//! [`crate::object::l4proto`].
//!
//! They are where other modules look for them. Writers are sysctls and rules, at any time, so every
//! access is a volatile one of a single number.
//!
//! C header: [`include/net/netns/conntrack.h`](srctree/include/net/netns/conntrack.h)

use crate::{
    bindings,
    sys::{
        net::Net,
        percpu::Counters,
        pernet::Here,
        rcu::ReadSide, //
    },
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    }, //
};

#[cfg(CONFIG_NF_CONNTRACK_LABELS)]
impl Net {
    /// How many rules use labels.
    fn label_users(&self) -> &Atomic<i32> {
        // SAFETY: The namespace is valid, and the field a counter that is changed atomically.
        unsafe { Atomic::from_ptr((&raw mut (*self.as_ptr()).ct.labels_used).cast()) }
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
    /// Who is told of events of connections, ctnetlink. Whoever takes it away waits for a grace
    /// period before it is gone.
    fn listener_place(&self) -> &Atomic<*mut bindings::nf_ct_event_notifier> {
        // SAFETY: The namespace is valid, and the field a pointer that is read and written by one
        // access.
        unsafe { Atomic::from_ptr((&raw mut (*self.as_ptr()).ct.nf_conntrack_event_cb).cast()) }
    }

    /// Returns whether somebody is told of events.
    #[inline]
    pub(crate) fn has_listener(&self) -> bool {
        !self.listener_place().load(Relaxed).is_null()
    }

    /// The listener to events.
    pub(crate) fn listener<'a>(
        &self,
        _rcu: ReadSide<'a>,
    ) -> Option<&'a bindings::nf_ct_event_notifier> {
        // SAFETY: RCU is held for `'a`; see above.
        unsafe { self.listener_place().load(Acquire).as_ref() }
    }

    /// Sets the listener to events; none, if it is null.
    ///
    /// # Safety
    ///
    /// The listener must be there until a grace period after it was taken away.
    pub(crate) unsafe fn set_listener(&self, listener: *const bindings::nf_ct_event_notifier) {
        self.listener_place().store(listener.cast_mut(), Release);
    }
}

/// Whether somebody listens to events of connections, anywhere.
#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
pub(crate) fn events_have_listener() -> bool {
    // SAFETY: The kernel's variable is a byte that is valid throughout.
    unsafe {
        (&raw const bindings::nf_ctnetlink_has_listener)
            .cast::<u8>()
            .read_volatile()
            != 0
    }
}

/// Counters of a namespace that other modules read, as `struct ip_conntrack_stat`, while this
/// lives.
///
/// # Invariants
///
/// The namespace at `net` is there as long as this is.
pub(crate) struct Published<const N: usize> {
    counters: Counters<N>,
    net: *mut bindings::net,
}

// SAFETY: The namespace is used to hide the counters only, by their owner in its drop().
unsafe impl<const N: usize> Sync for Published<N> {}
// SAFETY: Neither the counters nor the namespace belong to a thread.
unsafe impl<const N: usize> Send for Published<N> {}

impl<const N: usize> Published<N> {
    /// Makes counters of a namespace's state, and shows them to other modules. Process context.
    pub(crate) fn new(here: Here<'_>) -> Result<Self> {
        let net = here.net();
        const { assert!(N * size_of::<u32>() >= size_of::<bindings::ip_conntrack_stat>()) };
        let counters = Counters::new()?;
        // SAFETY: The namespace is valid.
        unsafe {
            (&raw mut (*net.as_ptr()).ct.stat).write_volatile(counters.as_ptr().cast());
        }
        // INVARIANT: What is made of `here` is dropped before the namespace.
        Ok(Self {
            counters,
            net: net.as_ptr(),
        })
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
        // SAFETY: By the type invariant, the namespace is there.
        unsafe { (&raw mut (*self.net).ct.stat).write_volatile(core::ptr::null_mut()) };
    }
}
