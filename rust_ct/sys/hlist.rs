// SPDX-License-Identifier: GPL-2.0

//! Lists that C shares: written under a lock, read under it or under RCU.
//!
//! C headers: [`include/linux/list.h`](srctree/include/linux/list.h),
//! [`include/linux/rculist.h`](srctree/include/linux/rculist.h). The layout is theirs. For the
//! ordering see [`crate::sys::nulls`], whose lists differ in their end only.

use crate::{
    bindings,
    sys::field::{
        Field,
        Mirrors, //
    },
};
use core::{
    ops::ControlFlow,
    ptr::{
        self,
        NonNull, //
    },
};

/// The link from one object of a list to the next, part of the object.
#[repr(C)]
pub(crate) struct Node {
    next: Field<*mut Node>,
    pprev: Field<*mut Field<*mut Node>>,
}

/// The beginning of a list.
#[repr(transparent)]
pub(crate) struct Head(Field<*mut Node>);

// SAFETY: Links are read and written by one access each, under the lock of the list or RCU.
unsafe impl Sync for Head {}
// SAFETY: A list belongs to no thread.
unsafe impl Send for Head {}

// SAFETY: Both have the same two pointers, which everybody reads and writes by one access.
unsafe impl Mirrors<bindings::hlist_node> for Node {}
// SAFETY: As above, with one.
unsafe impl Mirrors<bindings::hlist_head> for Head {}

impl Head {
    /// An empty list.
    pub(crate) const fn new() -> Self {
        Self(Field::new(ptr::null_mut()))
    }

    /// Returns whether nobody is in the list. Any context.
    pub(crate) fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    fn first(&self) -> Option<NonNull<Node>> {
        NonNull::new(self.0.load())
    }

    /// Calls `f` for each object until it breaks, and hands on what it broke with. `f` may remove
    /// the object it is called for.
    ///
    /// # Safety
    ///
    /// All nodes of the list must be `at` bytes into a `T`. The caller must hold the lock of the
    /// list for `'a`; or RCU, if objects live until a grace period after their removal.
    #[inline]
    pub(crate) unsafe fn walk<'a, T: 'a, R>(
        &self,
        at: usize,
        mut f: impl FnMut(&'a T) -> ControlFlow<R>,
    ) -> Option<R> {
        let mut next = self.first();
        while let Some(node) = next {
            // SAFETY: The node is in the list, or was when RCU was taken, so it is valid, and so is
            // the object that it is that far into.
            let (link, object) = unsafe { (node.as_ref(), node.byte_sub(at).cast::<T>().as_ref()) };
            next = NonNull::new(link.next.load());
            if let ControlFlow::Break(found) = f(object) {
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
        let first = self.0.load();
        // SAFETY: The caller vouches for the node, and holds the lock of the list, which keeps the
        // first one of it.
        let (new, old) = unsafe { (node.as_ref(), first.as_ref()) };
        new.next.store(first);
        new.pprev.store(ptr::from_ref(&self.0).cast_mut());
        // Readers follow the link at once: what was written to the object before is there.
        self.0.publish(node.as_ptr());
        if let Some(old) = old {
            old.pprev.store(ptr::from_ref(&new.next).cast_mut());
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
        // SAFETY: The caller vouches for the node; the lock keeps its neighbours.
        unsafe {
            let node = this.as_ref();
            let (next, pprev) = (node.next.load(), node.pprev.load());
            (*pprev).store(next);
            if let Some(next) = next.as_ref() {
                next.pprev.store(pprev);
            }
            node.pprev.store(ptr::null_mut());
        }
    }

    /// Returns whether the node is in no list: it was removed, or never entered. Without the lock
    /// of the list, others may change that at any time.
    pub(crate) fn is_alone(&self) -> bool {
        self.pprev.load().is_null()
    }
}
