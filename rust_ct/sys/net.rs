// SPDX-License-Identifier: GPL-2.0

//! Network namespaces.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use crate::bindings;
use core::ptr;
use kernel::types::Opaque;

/// A network namespace, the kernel's `struct net`.
#[repr(transparent)]
pub(crate) struct Net(Opaque<bindings::net>);

// SAFETY: A namespace is shared by all CPUs. What is read here never changes while it lives, or is
// read with volatile accesses.
unsafe impl Sync for Net {}

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

    /// The kernel's pointer.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::net {
        self.0.get()
    }

    /// Tells whether this is the namespace that the machine starts with.
    pub(crate) fn is_init(&self) -> bool {
        ptr::eq(self, Self::init())
    }

    /// A random value that is this namespace's own, for hashing.
    #[inline]
    pub(crate) fn hash_mix(&self) -> u32 {
        // SAFETY: The field is valid and constant while the namespace lives.
        unsafe { (*self.as_ptr()).hash_mix }
    }

    /// The number by which user space knows the namespace.
    pub(crate) fn inum(&self) -> u32 {
        // SAFETY: The field is valid and constant while the namespace lives.
        unsafe { (*self.as_ptr()).ns.inum }
    }
}
