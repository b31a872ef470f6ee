// SPDX-License-Identifier: GPL-2.0

//! What the kernel keeps in each namespace for the connection tracker, `struct netns_ct`. The
//! settings there that are no timeouts are in [`crate::object::setting`].
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

/// Reads an array of settings.
///
/// # Safety
///
/// `from` must be valid for reads.
#[inline]
unsafe fn load<const N: usize>(from: *const [u32; N]) -> [u32; N] {
    let from = from.cast::<u32>();
    // SAFETY: The index is below `N`, and the caller vouches for the array.
    core::array::from_fn(|i| unsafe { from.add(i).read_volatile() })
}

/// Writes an array of settings.
///
/// # Safety
///
/// `to` must be valid for writes.
unsafe fn store<const N: usize>(to: *mut [u32; N], values: &[u32; N]) {
    let to = to.cast::<u32>();
    for (i, value) in values.iter().enumerate() {
        // SAFETY: The index is below `N`, and the caller vouches for the array.
        unsafe { to.add(i).write_volatile(*value) };
    }
}

/// Defines how a protocol's timeouts are read and written, in jiffies.
macro_rules! timeouts {
    ($($get:ident, $set:ident, $set_one:ident: [$len:literal] at $($field:ident).+;)*) => {
        impl Net {
            $(
                /// The timeouts, in jiffies.
                #[inline]
                pub(crate) fn $get(&self) -> [u32; $len] {
                    // SAFETY: The namespace is valid, and the field an array of this length.
                    unsafe { load((&raw const (*self.as_ptr()).ct.nf_ct_proto.$($field).+).cast()) }
                }

                /// Sets the timeouts, in jiffies.
                pub(crate) fn $set(&self, values: &[u32; $len]) {
                    // SAFETY: The namespace is valid, and the field an array of this length.
                    unsafe {
                        store((&raw mut (*self.as_ptr()).ct.nf_ct_proto.$($field).+).cast(), values)
                    };
                }

                /// Sets one of the timeouts, in jiffies. Nothing if there is none of that number.
                pub(crate) fn $set_one(&self, i: usize, value: u32) {
                    if i < $len {
                        // SAFETY: The namespace is valid, and the field an array of this length.
                        unsafe {
                            (&raw mut (*self.as_ptr()).ct.nf_ct_proto.$($field).+)
                                .cast::<u32>()
                                .add(i)
                                .write_volatile(value)
                        };
                    }
                }
            )*
        }
    };
}

timeouts! {
    tcp_timeouts, set_tcp_timeouts, set_tcp_timeout: [14] at tcp.timeouts;
    udp_timeouts, set_udp_timeouts, set_udp_timeout: [2] at udp.timeouts;
    icmp_timeouts, set_icmp_timeouts, set_icmp_timeout: [1] at icmp.timeout;
    icmpv6_timeouts, set_icmpv6_timeouts, set_icmpv6_timeout: [1] at icmpv6.timeout;
    generic_timeouts, set_generic_timeouts, set_generic_timeout: [1] at generic.timeout;
}

#[cfg(CONFIG_NF_CT_PROTO_SCTP)]
timeouts! {
    sctp_timeouts, set_sctp_timeouts, set_sctp_timeout: [10] at sctp.timeouts;
}

#[cfg(CONFIG_NF_CT_PROTO_GRE)]
timeouts! {
    gre_timeouts, set_gre_timeouts, set_gre_timeout: [2] at gre.timeouts;
}

#[cfg(CONFIG_NF_FLOW_TABLE)]
timeouts! {
    tcp_offload_timeouts, set_tcp_offload_timeouts, set_tcp_offload_timeout: [1]
        at tcp.offload_timeout;
    udp_offload_timeouts, set_udp_offload_timeouts, set_udp_offload_timeout: [1]
        at udp.offload_timeout;
}

/// Defines the timeouts of a protocol that this kernel was configured without: the namespace has no
/// room for them, so what nf_conntrack begins with holds, in seconds.
#[cfg(not(all(CONFIG_NF_CT_PROTO_SCTP, CONFIG_NF_CT_PROTO_GRE)))]
macro_rules! no_timeouts {
    ($get:ident, $set:ident, $set_one:ident: $seconds:expr, $len:literal) => {
        impl Net {
            /// The timeouts, in jiffies.
            pub(crate) fn $get(&self) -> [u32; $len] {
                let seconds: [u32; $len] = $seconds;
                seconds.map(|seconds| seconds.wrapping_mul(crate::sys::time::HZ))
            }

            /// Does nothing: there is no room for them.
            pub(crate) fn $set(&self, _values: &[u32; $len]) {}

            /// Does nothing: there is no room for it.
            pub(crate) fn $set_one(&self, _i: usize, _value: u32) {}
        }
    };
}
#[cfg(not(CONFIG_NF_CT_PROTO_SCTP))]
no_timeouts! {
    sctp_timeouts, set_sctp_timeouts, set_sctp_timeout: [10, 10, 3, 3, 210, 3, 3, 3, 30, 0], 10
}
#[cfg(not(CONFIG_NF_CT_PROTO_GRE))]
no_timeouts! { gre_timeouts, set_gre_timeouts, set_gre_timeout: [30, 180], 2 }

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

    /// Who is told of events.
    pub(crate) fn listener<'a>(
        &self,
        _rcu: ReadSide<'a>,
    ) -> Option<&'a bindings::nf_ct_event_notifier> {
        // SAFETY: RCU is held for `'a`; see above.
        unsafe { self.listener_place().load(Acquire).as_ref() }
    }

    /// Sets who is told of events; nobody, if it is null.
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

// SAFETY: The namespace is used to hide the counters only, by the one who drops them.
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
