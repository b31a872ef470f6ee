// SPDX-License-Identifier: GPL-2.0

//! Lists that are read under RCU and whose end tells which list it is.
//!
//! C headers: [`include/linux/list_nulls.h`](srctree/include/linux/list_nulls.h),
//! [`include/linux/rculist_nulls.h`](srctree/include/linux/rculist_nulls.h). The layout is theirs.
//!
//! The end of a list is not a null pointer but an odd number, the list's own. A reader whose object
//! was freed, given out anew and entered into another list under its feet notices it there: it
//! comes to the end of a list that it did not begin with, and starts again.
//!
//! # Ordering
//!
//! A reader loads each link with one volatile access and only dereferences what it got, which keeps
//! the address dependency that rcu_dereference() relies on: the pointer is never compared with one
//! that is known, so the compiler has nothing to put in its place. A writer publishes a node with
//! release ordering.

use crate::bindings;
use core::{
    cell::UnsafeCell,
    ptr::NonNull, //
};
use kernel::sync::atomic::{
    Atomic,
    Release, //
};

/// The link from one object of a list to the next, part of the object.
#[repr(transparent)]
pub(crate) struct Node(UnsafeCell<bindings::hlist_nulls_node>);

/// The beginning of a list.
#[repr(transparent)]
pub(crate) struct Head(UnsafeCell<bindings::hlist_nulls_head>);

// SAFETY: Links are read with marked accesses, and written by those who hold the lock of the list.
unsafe impl Sync for Head {}
// SAFETY: A list belongs to no thread.
unsafe impl Send for Head {}

/// What a link leads to.
#[derive(Clone, Copy)]
pub(crate) enum Link {
    /// Another object.
    Node(NonNull<Node>),
    /// The end of the list with this number.
    End(usize),
}

/// The list end with number `list`, as a link holds it.
const fn end(list: usize) -> *mut bindings::hlist_nulls_node {
    core::ptr::without_provenance_mut(list << 1 | 1)
}

impl Link {
    fn new(link: *mut bindings::hlist_nulls_node) -> Self {
        match NonNull::new(link.cast()) {
            Some(node) if link.addr() & 1 == 0 => Self::Node(node),
            _ => Self::End(link.addr() >> 1),
        }
    }
}

/// Reads a link.
///
/// # Safety
///
/// `link` must be valid for reads.
#[inline]
unsafe fn read(link: *const *mut bindings::hlist_nulls_node) -> Link {
    // SAFETY: The caller vouches for the pointer; writers use marked accesses. For the ordering see
    // the module's documentation.
    Link::new(unsafe { link.read_volatile() })
}

/// Points a link at something that readers may follow at once.
///
/// # Safety
///
/// `link` must be valid for writes.
unsafe fn publish(link: *mut *mut bindings::hlist_nulls_node, to: *mut bindings::hlist_nulls_node) {
    // SAFETY: The caller vouches for the pointer; readers use marked accesses.
    unsafe { Atomic::from_ptr(link) }.store(to, Release);
}

impl Head {
    /// An empty list with number `list`.
    pub(crate) const fn new(list: usize) -> Self {
        Self(UnsafeCell::new(bindings::hlist_nulls_head {
            first: end(list),
        }))
    }

    /// The first link of the list.
    #[inline]
    pub(crate) fn first(&self) -> Link {
        // SAFETY: The head is valid.
        unsafe { read(&raw const (*self.0.get()).first) }
    }

    /// Enters a node at the beginning.
    ///
    /// # Safety
    ///
    /// The caller must hold the lock of the list. The node must be in no list, must not move, and
    /// its memory must stay that of a node until a grace period after it was removed.
    pub(crate) unsafe fn add(&self, node: NonNull<Node>) {
        let head = self.0.get();
        // SAFETY: The head is valid, and the caller vouches for the node.
        let (node, this) = unsafe { (node.as_ref().0.get(), &raw mut (*head).first) };
        // SAFETY: `this` is valid, and nobody else writes to it.
        let first = unsafe { this.read() };

        // SAFETY: The caller has the node to itself but for readers, who may be at it if its memory
        // was a node before: hence the volatile accesses.
        unsafe {
            (&raw mut (*node).next).write_volatile(first);
            (&raw mut (*node).pprev).write_volatile(this);
        }
        // SAFETY: The head is valid for writes.
        unsafe { publish(this, node) };
        if let Link::Node(next) = Link::new(first) {
            // SAFETY: A node that is in the list is valid, and the lock of the list covers its
            // `pprev`.
            unsafe {
                (&raw mut (*next.as_ref().0.get()).pprev).write_volatile(&raw mut (*node).next)
            };
        }
    }
}

impl Node {
    /// The link to what comes after the node.
    ///
    /// # Safety
    ///
    /// `this` must be at memory that is a node's until a grace period after now; the caller holds
    /// RCU or the lock of the list.
    #[inline]
    pub(crate) unsafe fn next(this: NonNull<Self>) -> Link {
        // SAFETY: The caller vouches for the memory, and writers use marked accesses.
        unsafe { read(&raw const (*this.as_ref().0.get()).next) }
    }

    /// Removes a node from its list; it keeps its link, for readers that are at it.
    ///
    /// # Safety
    ///
    /// The node must be in a list, by [`Head::add`] or [`Node::add_alone`], whose lock the caller
    /// holds.
    pub(crate) unsafe fn remove(this: NonNull<Self>) {
        // SAFETY: The caller vouches for the node.
        let node = unsafe { this.as_ref().0.get() };
        // SAFETY: The lock of the list covers both fields.
        let (next, pprev) = unsafe { ((*node).next, (*node).pprev) };
        // SAFETY: `pprev` is at the link that leads here, which is in the head or in a node of the
        // list. A plain volatile store will do: `next` was published before.
        unsafe { pprev.write_volatile(next) };
        if let Link::Node(next) = Link::new(next) {
            // SAFETY: A node that is in the list is valid, and the lock of the list covers its
            // `pprev`.
            unsafe { (&raw mut (*next.as_ref().0.get()).pprev).write_volatile(pprev) };
        }
        // SAFETY: The lock of the list covers the field.
        unsafe { (&raw mut (*node).pprev).write_volatile(core::ptr::null_mut()) };
    }

    /// Makes a node a list of its own, which nobody can find, so that [`Node::remove`] can be
    /// called.
    ///
    /// # Safety
    ///
    /// The node must be in no list, and the caller have it to itself but for readers.
    pub(crate) unsafe fn add_alone(this: NonNull<Self>) {
        // SAFETY: The caller vouches for the node.
        unsafe {
            let node = this.as_ref().0.get();
            (&raw mut (*node).pprev).write_volatile(&raw mut (*node).next);
            (&raw mut (*node).next).write_volatile(end(0));
        }
    }
}
