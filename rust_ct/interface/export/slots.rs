// SPDX-License-Identifier: GPL-2.0

//! A few places for what other modules register.

use crate::sys::{
    abi::Lasting,
    rcu::ReadSide, //
};
use core::ptr;
use kernel::sync::atomic::{
    Atomic,
    Full,
    Relaxed, //
};

/// How many there may be of a kind. The kernel keeps them in lists without a bound, and has five of
/// each; this leaves room for modules from elsewhere, and places need no lock.
pub(super) const MOST: usize = 16;

/// What is registered of one kind.
///
/// # Invariants
///
/// A place holds null, or what stays valid until a grace period after it was taken away.
pub(super) struct Slots<T>([Atomic<*mut T>; MOST]);

impl<T> Slots<T> {
    /// Nothing.
    pub(super) const fn new() -> Self {
        Self([const { Atomic::new(ptr::null_mut()) }; MOST])
    }

    /// Registers an entry. Returns whether there was a place for it.
    pub(super) fn add(&self, new: &Lasting<T>) -> bool {
        let mut places = self.0.iter();
        places.any(|place| place.cmpxchg(ptr::null_mut(), new.as_ptr(), Full).is_ok())
    }

    /// Takes an entry away, if it is there. A reader that found it under RCU may use it until a
    /// grace period later.
    pub(super) fn remove(&self, old: *mut T) {
        let mut places = self.0.iter();
        places.any(|place| place.cmpxchg(old, ptr::null_mut(), Full).is_ok());
    }

    /// The first entry for which `is_it` returns true.
    pub(super) fn find<'a>(&self, _rcu: ReadSide<'a>, is_it: impl Fn(&T) -> bool) -> Option<&'a T> {
        let registered = self.0.iter().map(|place| place.load(Relaxed));
        // SAFETY: By the type invariant, and RCU is held for `'a`.
        let mut registered = registered.filter_map(|one| unsafe { one.as_ref::<'a>() });
        registered.find(|one| is_it(one))
    }
}
