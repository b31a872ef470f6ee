// SPDX-License-Identifier: GPL-2.0

//! Lists that C shares: written under a lock, read under it or under RCU.
//!
//! C headers: [`include/linux/list.h`](srctree/include/linux/list.h),
//! [`include/linux/rculist.h`](srctree/include/linux/rculist.h). The layout is theirs. For the
//! ordering see [`crate::sys::nulls`], whose lists differ in their end only.

use crate::{
    bindings,
    sys::{
        field::{
            Field,
            Mirrors, //
        },
        rcu::ReadSide, //
    },
};
use core::{
    marker::PhantomData,
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

/// A kind of lists: what is in them, and where its link is.
///
/// # Safety
///
/// `OFFSET` must be where a `bindings::hlist_node` is in an `Object`, the memory of which is freed
/// a grace period after the link was removed, or later.
pub(crate) unsafe trait Listed {
    /// What is in the lists.
    type Object;
    /// How many bytes into it the link is.
    const OFFSET: usize;
}

/// The beginning of a list of a kind.
///
/// # Invariants
///
/// All that is in it are links of that kind's objects.
#[repr(transparent)]
pub(crate) struct Head<K: Listed>(Field<*mut Node>, PhantomData<fn() -> K>);

// SAFETY: Links are read and written by one access each, under the lock of the list or RCU.
unsafe impl<K: Listed> Sync for Head<K> {}
// SAFETY: A list belongs to no thread.
unsafe impl<K: Listed> Send for Head<K> {}

// SAFETY: Both have the same two pointers, which Rust and C read and write by one access.
unsafe impl Mirrors<bindings::hlist_node> for Node {}

/// The link of an object.
fn link<K: Listed>(object: &K::Object) -> *const Node {
    ptr::from_ref(object).wrapping_byte_add(K::OFFSET).cast()
}

impl<K: Listed> Head<K> {
    /// An empty list.
    pub(crate) const fn new() -> Self {
        Self(Field::new(ptr::null_mut()), PhantomData)
    }

    /// Returns whether the list is empty. Any context.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load().is_null()
    }

    /// Calls `f` for each object until it breaks, and hands on what it broke with. `f` may remove
    /// the object it is called for, if the lock of the list is held.
    #[inline]
    pub(crate) fn walk<'a, R>(
        &self,
        _rcu: ReadSide<'a>,
        mut f: impl FnMut(&'a K::Object) -> ControlFlow<R>,
    ) -> Option<R>
    where
        K::Object: 'a,
    {
        let mut next = NonNull::new(self.0.load());
        while let Some(node) = next {
            // SAFETY: By the type invariant, and the contract of `Listed`: the node is in the list,
            // or was when RCU was taken, so it is valid, and so is the object around it.
            let (link, object) = unsafe {
                let object = node.byte_sub(K::OFFSET).cast::<K::Object>();
                (node.as_ref(), object.as_ref())
            };
            next = NonNull::new(link.next.load());
            if let ControlFlow::Break(found) = f(object) {
                return Some(found);
            }
        }
        None
    }

    /// Enters an object at the beginning.
    ///
    /// # Safety
    ///
    /// The caller must hold the lock of the list. The object must be in no list of this kind, and
    /// must not move or be freed until it is removed.
    pub(crate) unsafe fn add(&self, object: &K::Object) {
        let first = self.0.load();
        // SAFETY: The object has a link there, and the lock of the list keeps its first object.
        let (new, old) = unsafe { (&*link::<K>(object), first.as_ref()) };
        new.next.store(first);
        new.pprev.store(ptr::from_ref(&self.0).cast_mut());
        // Readers follow the link at once: what was written to the object before is there.
        self.0.publish(link::<K>(object).cast_mut());
        if let Some(old) = old {
            old.pprev.store(ptr::from_ref(&new.next).cast_mut());
        }
    }

    /// Removes an object from its list; it keeps its link, for readers that are at it.
    ///
    /// # Safety
    ///
    /// The object must be in a list of this kind, whose lock the caller holds.
    pub(crate) unsafe fn remove(object: &K::Object) {
        // SAFETY: The object has a link there; the lock keeps its neighbours.
        unsafe {
            let node = &*link::<K>(object);
            let (next, pprev) = (node.next.load(), node.pprev.load());
            (*pprev).store(next);
            if let Some(next) = next.as_ref() {
                next.pprev.store(pprev);
            }
            node.pprev.store(ptr::null_mut());
        }
    }
}

impl Node {
    /// Returns whether the node is in no list: it was removed, or never entered. Without the lock
    /// of the list, other CPUs may change that at any time.
    pub(crate) fn is_alone(&self) -> bool {
        self.pprev.load().is_null()
    }
}
