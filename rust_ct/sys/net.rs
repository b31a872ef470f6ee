// SPDX-License-Identifier: GPL-2.0

//! Network namespaces.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use crate::{
    bindings,
    sys::field::{
        field,
        Memory, //
    },
};
use core::ptr;
use kernel::ffi::c_int;

/// A function to be called for each namespace.
struct EachNet<'a>(&'a mut dyn FnMut(&Net));

// Safe, because that is all that they ask for: a namespace that is there, and where they say so, to
// be called in process context. `rct_walk_nets` hands on what it is given, to [`rust_ct_each_net`].
#[allow(
    clashing_extern_declarations,
    improper_ctypes,
    reason = "the bindings have pointers where these have references"
)]
unsafe extern "C" {
    /// The namespace that the machine starts with lives for ever.
    safe static init_net: Net;
    /// Process context.
    safe fn net_ns_barrier();
    /// Process context.
    safe fn synchronize_net();
    /// Process context.
    safe fn rct_walk_nets(each: &mut EachNet<'_>);
    /// Process context.
    pub(super) safe fn nf_queue_nf_hook_drop(net: &Net);
    /// Process context.
    pub(super) safe fn nf_defrag_ipv4_enable(net: &Net) -> c_int;
    /// Process context.
    pub(super) safe fn nf_defrag_ipv4_disable(net: &Net);
    /// Process context.
    #[cfg(CONFIG_IPV6)]
    pub(super) safe fn nf_defrag_ipv6_enable(net: &Net) -> c_int;
    /// Process context.
    #[cfg(CONFIG_IPV6)]
    pub(super) safe fn nf_defrag_ipv6_disable(net: &Net);
}

/// Calls the function of a caller of [`Net::for_each`].
#[no_mangle]
extern "C" fn rust_ct_each_net(net: &Net, each: &mut EachNet<'_>) {
    each.0(net);
}

/// A network namespace, the kernel's `struct net`.
#[repr(transparent)]
pub(crate) struct Net(Memory<bindings::net>);

impl Net {
    /// The namespace at `net`.
    ///
    /// # Safety
    ///
    /// `net` must point at a namespace that lives for `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(net: *mut bindings::net) -> &'a Self {
        // SAFETY: `Self` is a transparent wrapper, and the caller vouches for the pointer.
        unsafe { &*net.cast() }
    }

    /// The namespace that the machine starts with.
    pub(crate) fn init() -> &'static Self {
        &init_net
    }

    /// The namespace of the calling task; process context.
    pub(crate) fn with_current<R>(f: impl FnOnce(&Self) -> R) -> R {
        // SAFETY: A running task holds a reference to its namespaces, and only the task itself
        // changes them, which it does not do while it runs `f`.
        f(unsafe { Self::from_raw(bindings::rct_current_net()) })
    }

    /// Returns whether it is the namespace of the calling task; process context.
    pub(crate) fn is_current(&self) -> bool {
        Self::with_current(|own| ptr::eq(own, self))
    }

    /// Calls `f` for each namespace that is not on its way out, or has just begun to be. Process
    /// context; none comes or begins to go meanwhile.
    pub(crate) fn for_each(mut f: impl FnMut(&Self)) {
        rct_walk_nets(&mut EachNet(&mut f));
    }

    /// Waits until namespaces that have begun to go away are gone. Process context.
    pub(crate) fn wait_for_exits() {
        net_ns_barrier();
    }

    /// Waits until no packet is on a way that it began before. Process context.
    pub(crate) fn wait_for_packets() {
        synchronize_net();
    }

    /// The kernel's pointer.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::net {
        self.0.get()
    }

    /// The namespace's structure.
    pub(super) fn memory(&self) -> &Memory<bindings::net> {
        &self.0
    }

    /// The timeouts and settings of protocols. They are numbers, any of which will do; the list of
    /// GRE's keys before them is not used by anybody.
    #[inline]
    pub(crate) fn protocols(&self) -> &Memory<bindings::nf_ip_net> {
        field!(self.0, ct.nf_ct_proto as Memory<_>)
    }

    /// Returns whether this is the namespace that the machine starts with.
    pub(crate) fn is_init(&self) -> bool {
        ptr::eq(self, Self::init())
    }

    /// A random value that is this namespace's own, for hashing.
    #[inline]
    pub(crate) fn hash_mix(&self) -> u32 {
        field!(self.0, hash_mix).load()
    }

    /// The number by which user space knows the namespace.
    pub(crate) fn inum(&self) -> u32 {
        field!(self.0, ns.inum).load()
    }
}
