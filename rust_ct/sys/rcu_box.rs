// SPDX-License-Identifier: GPL-2.0

//! One object that readers find under RCU, and that may be replaced by another one.

use crate::sys::rcu::ReadSide;
use core::ptr;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        rcu, //
    },
};

/// Holds an object, or none. Readers find it under RCU.
///
/// # Invariants
///
/// The pointer is null or from `KBox::into_raw`. What it pointed at is dropped a grace period after
/// it was replaced, or was taken over by another box and replaced there.
pub(crate) struct RcuBox<T>(Atomic<*mut T>);

impl<T: Send + Sync> RcuBox<T> {
    /// Nothing is in it yet.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(ptr::null_mut()))
    }

    /// The object, as long as RCU is held.
    #[inline]
    pub(crate) fn get<'a>(&self, _rcu: ReadSide<'a>) -> Option<&'a T> {
        // SAFETY: By the type invariant, the object is there until a grace period after it was
        // replaced, and none ends within `'a`. What the pointer leads to is read in address
        // dependency.
        unsafe { self.0.as_ptr().read_volatile().as_ref() }
    }

    /// Returns whether the object is `object`.
    #[inline]
    pub(crate) fn is(&self, object: &T) -> bool {
        // SAFETY: The field is a pointer, which is compared only.
        ptr::eq(object, unsafe { self.0.as_ptr().read_volatile() })
    }

    /// Puts another object in the place, or none. Fully ordered.
    pub(crate) fn replace(&self, new: Option<KBox<T>>) -> Replaced<T> {
        let new = new.map_or(ptr::null_mut(), KBox::into_raw);
        // INVARIANT: The exchange gives the old pointer to this caller alone.
        Replaced(self.0.xchg(new, Full))
    }

    /// Puts what is in `other` in the place, before `other` is empty. Fully ordered.
    ///
    /// # Safety
    ///
    /// No other caller may put anything into `other` meanwhile.
    pub(crate) unsafe fn take_over(&self, other: &Self) -> Replaced<T> {
        let new = other.0.load(Relaxed);
        let old = self.0.xchg(new, Full);
        // INVARIANT: By the safety requirement this is `new`, which has its place here.
        other.0.xchg(ptr::null_mut(), Full);
        // INVARIANT: The exchange gives the old pointer to this caller alone.
        Replaced(old)
    }
}

/// What was in an [`RcuBox`]. Readers may still be at it.
///
/// # Invariants
///
/// The pointer is null or from `KBox::into_raw`, and in no [`RcuBox`] any more.
#[must_use]
pub(crate) struct Replaced<T>(*mut T);

impl<T> Drop for Replaced<T> {
    /// Waits for the readers, and drops the object. Process context, sleeps.
    fn drop(&mut self) {
        if !self.0.is_null() {
            rcu::synchronize_rcu();
            // SAFETY: By the type invariant; and a grace period has passed since it was to be
            // found.
            drop(unsafe { KBox::from_raw(self.0) });
        }
    }
}
