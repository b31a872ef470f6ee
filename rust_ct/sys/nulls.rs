// SPDX-License-Identifier: GPL-2.0

//! Lists that are read under RCU and whose end tells which list it is.
//!
//! C headers: [`include/linux/list_nulls.h`](srctree/include/linux/list_nulls.h),
//! [`include/linux/rculist_nulls.h`](srctree/include/linux/rculist_nulls.h). The layout is theirs.
//!
//! The end of a list is not a null pointer but an odd number, the list's own. If the object that a
//! reader is at was freed, given out anew and entered into another list, the reader notices it
//! there: it comes to the end of a list that it did not begin with, and starts again.
//!
//! # Ordering
//!
//! A reader loads each link with one volatile access and only dereferences what it got, which keeps
//! the address dependency that rcu_dereference() relies on: the pointer is never compared with a
//! known pointer, so the compiler has nothing to put in its place. A writer publishes a node with
//! release ordering.

use crate::{
    bindings,
    sys::field::{
        Field,
        Mirrors, //
    },
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::sync::barrier::{
    smp_mb,
    Write, //
};

/// The link from one object of a list to the next, part of the object.
#[repr(C)]
pub(crate) struct Node {
    next: Next,
    pprev: Field<*mut Next>,
}

/// A link to a node, or the end of a list.
type Next = Field<*mut Node>;

/// The beginning of a list.
#[repr(transparent)]
pub(crate) struct Head(Next);

/// What a link leads to.
#[derive(Clone, Copy)]
pub(crate) enum Link {
    /// Another object.
    Node(NonNull<Node>),
    /// The end of the list with this number.
    End(usize),
}

/// The number that no list of a table has.
const ALONE: usize = usize::MAX >> 1;

/// The list end with number `list`, as a link holds it.
const fn end(list: usize) -> *mut Node {
    ptr::without_provenance_mut(list << 1 | 1)
}

impl Link {
    fn new(link: *mut Node) -> Self {
        match NonNull::new(link) {
            Some(node) if link.addr() & 1 == 0 => Self::Node(node),
            _ => Self::End(link.addr() >> 1),
        }
    }
}

// SAFETY: Links are read and written by one access each, under the lock of the list or RCU.
unsafe impl Sync for Head {}
// SAFETY: A list belongs to no thread.
unsafe impl Send for Head {}

// SAFETY: As for nodes, with one pointer.
unsafe impl Mirrors<bindings::hlist_nulls_head> for Head {}

// SAFETY: Both have the same two pointers, which Rust and C read and write by one access.
unsafe impl Mirrors<bindings::hlist_nulls_node> for Node {}

impl Head {
    /// An empty list with number `list`, which is below that of `ALONE`.
    pub(crate) const fn new(list: usize) -> Self {
        Self(Field::new(end(list)))
    }

    /// What `f` finds of the first node of the list of which it finds something, for a reader,
    /// which unlinks none.
    ///
    /// # Errors
    ///
    /// The number of the list in which the search has ended.
    ///
    /// # Safety
    ///
    /// As [`Node::next`], of all nodes in the list.
    #[inline(always)]
    pub(crate) unsafe fn find<R>(
        &self,
        mut f: impl FnMut(NonNull<Node>) -> Option<R>,
    ) -> Result<R, usize> {
        let mut link = self.0.load();
        while link.addr() & 1 == 0 {
            let Some(node) = NonNull::new(link) else {
                break;
            };
            if let Some(found) = f(node) {
                return Ok(found);
            }
            // SAFETY: The caller vouches for the memory.
            link = unsafe { node.as_ref() }.next.load();
        }
        Err(link.addr() >> 1)
    }

    /// The first link of the list.
    #[inline]
    pub(crate) fn first(&self) -> Link {
        Link::new(self.0.load())
    }

    /// Enters a node at the beginning.
    ///
    /// # Safety
    ///
    /// The caller must hold the lock of the list. The node must be in no list, must not move, and
    /// its memory must stay that of a node until a grace period after it was removed.
    pub(crate) unsafe fn add(&self, node: NonNull<Node>) {
        // SAFETY: The caller vouches for the node and the lock.
        unsafe { self.enter(node) };
    }

    /// Enters a node that is in another list, and takes it out of that list afterwards: a reader
    /// that looks through the other list, then through this one, meets it. Readers that are at the
    /// node are led into this list.
    ///
    /// # Safety
    ///
    /// The caller must hold the locks of both lists. The node must be in another list, by
    /// [`Head::add`], and otherwise be as there.
    pub(crate) unsafe fn take_over(&self, node: NonNull<Node>) {
        // SAFETY: The caller vouches for the node.
        let (next, pprev) = unsafe { (node.as_ref().next.load(), node.as_ref().pprev.load()) };
        // SAFETY: The caller vouches for the node and the locks.
        unsafe { self.enter(node) };
        // A reader that sees that it has left sees it here.
        smp_mb(Write);
        // SAFETY: `pprev` is at the link of the other list that leads here, `next` is what comes
        // behind.
        unsafe { Node::close(pprev, next) };
    }

    /// Makes a node the first of the list.
    ///
    /// # Safety
    ///
    /// As [`Head::add`], but the node may be in another list.
    unsafe fn enter(&self, node: NonNull<Node>) {
        let first = self.0.load();
        // SAFETY: The caller vouches for the node. Readers may be at it if its memory was a node
        // before.
        let new = unsafe { node.as_ref() };
        new.next.store(first);
        new.pprev.store(ptr::from_ref(&self.0).cast_mut());
        self.0.publish(node.as_ptr());
        if let Link::Node(next) = Link::new(first) {
            // SAFETY: A node that is in the list is valid, and the lock of the list covers its
            // `pprev`.
            let pprev = unsafe { &next.as_ref().pprev };
            pprev.store(ptr::from_ref(&new.next).cast_mut());
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
        // SAFETY: The caller vouches for the memory.
        Link::new(unsafe { this.as_ref() }.next.load())
    }

    /// Removes a node from its list; it keeps its link, for readers that are at it.
    ///
    /// # Safety
    ///
    /// The node must be in a list, by [`Head::add`] or [`Node::add_alone`], whose lock the caller
    /// holds.
    pub(crate) unsafe fn remove(this: NonNull<Self>) {
        // SAFETY: The caller vouches for the node.
        let node = unsafe { this.as_ref() };
        let (next, pprev) = (node.next.load(), node.pprev.load());
        // SAFETY: `pprev` is at the link that leads here, `next` is what comes behind.
        unsafe { Self::close(pprev, next) };
        node.pprev.store(ptr::null_mut());
    }

    /// Closes the gap that a node leaves.
    ///
    /// # Safety
    ///
    /// `pprev` must be at the link that leads to the node, in the head or in a node of the list,
    /// `next` be the node's link, and the caller hold the lock of the list.
    unsafe fn close(pprev: *mut Next, next: *mut Node) {
        // SAFETY: The caller vouches for the link. A relaxed store will do: `next` was published
        // before.
        unsafe { &*pprev }.store(next);
        if let Link::Node(next) = Link::new(next) {
            // SAFETY: A node that is in the list is valid, and the lock of the list covers its
            // `pprev`.
            unsafe { next.as_ref() }.pprev.store(pprev);
        }
    }

    /// Makes a node a list of its own, which no reader can find, so that [`Node::remove`] can be
    /// called.
    ///
    /// # Safety
    ///
    /// The node must be in no list, and the caller have it to itself but for readers.
    pub(crate) unsafe fn add_alone(this: NonNull<Self>) {
        // SAFETY: The caller vouches for the node.
        let node = unsafe { this.as_ref() };
        node.pprev.store(ptr::from_ref(&node.next).cast_mut());
        node.next.store(end(ALONE));
    }
}
