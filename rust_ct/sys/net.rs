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
use kernel::ffi::c_void;

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
        // SAFETY: The initial namespace lives for ever.
        unsafe { Self::from_raw(&raw mut bindings::init_net) }
    }

    /// The namespace of the calling task; process context.
    pub(crate) fn with_current<R>(f: impl FnOnce(&Self) -> R) -> R {
        // SAFETY: A running task holds a reference to its namespaces, and only the task itself
        // changes them, which it does not do while it runs `f`.
        f(unsafe { Self::from_raw(bindings::rct_current_net()) })
    }

    /// Calls `f` for each namespace that is not on its way out, or has just begun to be. Process
    /// context; none comes or begins to go meanwhile.
    pub(crate) fn for_each<F: FnMut(&Self)>(mut f: F) {
        /// Calls the function of the caller.
        ///
        /// # Safety
        ///
        /// `f` must be at an `F`, and nobody else use it; `net` must be a namespace.
        unsafe extern "C" fn call<F: FnMut(&Net)>(net: *mut bindings::net, f: *mut c_void) {
            // SAFETY: By the contract.
            unsafe { (*f.cast::<F>())(Net::from_raw(net)) };
        }
        // SAFETY: The function is there until the call returns, and nobody else uses it.
        unsafe { bindings::rct_walk_nets(Some(call::<F>), (&raw mut f).cast()) };
    }

    /// Waits until namespaces that have begun to go away are gone. Process context.
    pub(crate) fn wait_for_exits() {
        // SAFETY: Process context is all that it asks for.
        unsafe { bindings::net_ns_barrier() };
    }

    /// Waits until no packet is on a way that it began before. Process context.
    pub(crate) fn wait_for_packets() {
        // SAFETY: Process context is all that it asks for.
        unsafe { bindings::synchronize_net() };
    }

    /// The kernel's pointer.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::net {
        self.0.get()
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
