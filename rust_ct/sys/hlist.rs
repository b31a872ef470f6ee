// SPDX-License-Identifier: GPL-2.0

//! Lists that C shares: written under a lock, read under it or under RCU.
//!
//! C headers: [`include/linux/list.h`](srctree/include/linux/list.h),
//! [`include/linux/rculist.h`](srctree/include/linux/rculist.h). The layout is theirs. For the
//! ordering see [`crate::sys::nulls`], whose lists differ in their end only.

use crate::bindings;
use core::{
    cell::UnsafeCell,
    ops::ControlFlow,
    ptr::NonNull, //
};
use kernel::sync::atomic::{
    Atomic,
    Release, //
};

/// The link from one object of a list to the next, part of the object.
#[repr(transparent)]
pub(crate) struct Node(UnsafeCell<bindings::hlist_node>);

/// The beginning of a list.
#[repr(transparent)]
pub(crate) struct Head(UnsafeCell<bindings::hlist_head>);

// SAFETY: Links are read with marked accesses, and written by those who hold the lock of the list.
unsafe impl Sync for Head {}
// SAFETY: A list belongs to no thread.
unsafe impl Send for Head {}

impl Head {
    /// An empty list.
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(bindings::hlist_head {
            first: core::ptr::null_mut(),
        }))
    }

    /// Returns whether nobody is in the list. Any context.
    pub(crate) fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    fn first(&self) -> Option<NonNull<Node>> {
        // SAFETY: The head is valid, and writers use marked accesses.
        NonNull::new(unsafe { (&raw const (*self.0.get()).first).read_volatile() }.cast())
    }

    /// Calls `f` for each node until it breaks, and hands on what it broke with. `f` may remove the
    /// node it is called for.
    ///
    /// # Safety
    ///
    /// The caller must hold the lock of the list; or RCU, if nodes live until a grace period after
    /// their removal.
    pub(crate) unsafe fn walk<R>(
        &self,
        mut f: impl FnMut(NonNull<Node>) -> ControlFlow<R>,
    ) -> Option<R> {
        let mut next = self.first();
        while let Some(node) = next {
            // SAFETY: The node is in the list, or was when RCU was taken, so it is valid.
            let link = unsafe { (&raw const (*node.as_ref().0.get()).next).read_volatile() };
            next = NonNull::new(link.cast());
            if let ControlFlow::Break(found) = f(node) {
                return Some(found);
            }
        }
        None
    }

    /// Enters a node at the beginning.
    ///
    /// # Safety
    ///
    /// The caller must hold the lock of the list. The node must be in no list, must not move, and
    /// must be valid until it is removed, and until a grace period later where readers hold RCU.
    pub(crate) unsafe fn add(&self, node: NonNull<Node>) {
        let this = self.0.get();
        // SAFETY: The caller vouches for the node, and holds the lock of the list.
        unsafe {
            let node = node.as_ref().0.get();
            let first = (*this).first;
            (*node).next = first;
            (&raw mut (*node).pprev).write_volatile(&raw mut (*this).first);
            // Readers follow the link at once: what was written to the object before is there.
            Atomic::from_ptr(&raw mut (*this).first).store(node, Release);
            if !first.is_null() {
                (&raw mut (*first).pprev).write_volatile(&raw mut (*node).next);
            }
        }
    }
}

impl Node {
    /// Removes a node from its list; it keeps its link, for readers that are at it.
    ///
    /// # Safety
    ///
    /// The node must be in a list, by [`Head::add`], whose lock the caller holds.
    pub(crate) unsafe fn remove(this: NonNull<Self>) {
        // SAFETY: The caller vouches for the node; its neighbours are valid, and the lock covers
        // them.
        unsafe {
            let node = this.as_ref().0.get();
            let (next, pprev) = ((*node).next, (*node).pprev);
            pprev.write_volatile(next);
            if !next.is_null() {
                (&raw mut (*next).pprev).write_volatile(pprev);
            }
            (&raw mut (*node).pprev).write_volatile(core::ptr::null_mut());
        }
    }

    /// Returns whether the node is in no list: it was removed, or never entered. Without the lock
    /// of the list, others may change that at any time.
    pub(crate) fn is_alone(&self) -> bool {
        // SAFETY: The field is valid, and others write it with one access.
        unsafe { (&raw const (*self.0.get()).pprev).read_volatile() }.is_null()
    }
}
