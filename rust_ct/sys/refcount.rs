// SPDX-License-Identifier: GPL-2.0

//! Structures of C's that count their references in a `refcount_t`.
//!
//! C header: [`include/linux/refcount.h`](srctree/include/linux/refcount.h)

use crate::{
    bindings,
    sys::{
        abi::Reference,
        call,
        field::Memory, //
    },
};
use core::{
    mem::ManuallyDrop,
    ops::Deref,
    ptr::NonNull,
    sync::atomic::{
        AtomicI32,
        Ordering, //
    }, //
};

/// Takes a reference to a connection, unless the last reference is gone, as with
/// refcount_inc_not_zero().
///
/// Each packet does: on x86 no function is called for it.
#[inline(always)]
pub(crate) fn try_get_conntrack(nfct: &Memory<bindings::nf_conntrack>) -> bool {
    if !cfg!(CONFIG_X86) {
        return call::rct_conntrack_tryget(nfct);
    }
    const { assert!(size_of::<bindings::nf_conntrack>() == size_of::<AtomicI32>()) };
    // SAFETY: The structure is a `refcount_t` and nothing else, a number that Rust and C read and
    // write atomically.
    let count = unsafe { AtomicI32::from_ptr(nfct.get().cast()) };
    let mut old = count.load(Ordering::Relaxed);
    // Saturation is left to C, which warns of it.
    while (1..i32::MAX).contains(&old) {
        let new = old.wrapping_add(1);
        match count.compare_exchange_weak(old, new, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(now) => old = now,
        }
    }
    old != 0 && call::rct_conntrack_tryget(nfct)
}

/// An object that counts its references, and that readers under RCU may meet when the last one is
/// gone: unlike with the kernel's `AlwaysRefCounted`, a `&Self` is no evidence of one.
///
/// # Safety
///
/// The object must live until its count is zero, and the count may be read until a grace period
/// later.
pub(crate) unsafe trait MaybeGone {
    /// Takes a reference, unless the last one is gone. Any context.
    fn try_inc(&self) -> bool;

    /// Gives one reference back. Any context.
    ///
    /// # Safety
    ///
    /// The caller must have it, and not use it any more.
    unsafe fn dec(object: NonNull<Self>);
}

/// A reference to such an object.
///
/// # Invariants
///
/// The reference is this one's.
pub(crate) struct Counted<T: MaybeGone>(NonNull<T>);

// SAFETY: The object belongs to no task, and any task may give the reference back.
unsafe impl<T: MaybeGone + Send + Sync> Send for Counted<T> {}

impl<T: MaybeGone> Counted<T> {
    /// Takes a reference to an object that was met under RCU, or to which there is one.
    pub(crate) fn get(object: &T) -> Option<Self> {
        // INVARIANT: It was just taken.
        object.try_inc().then(|| Self(object.into()))
    }

    /// A reference that the caller has.
    ///
    /// # Safety
    ///
    /// It must be this one's from now on.
    pub(crate) unsafe fn from_raw(object: NonNull<T>) -> Self {
        // INVARIANT: As the caller says.
        Self(object)
    }

    /// Leaves the reference to the caller.
    pub(crate) fn into_raw(self) -> NonNull<T> {
        ManuallyDrop::new(self).0
    }
}

// SAFETY: Both are of one reference.
unsafe impl<T: MaybeGone> Reference for Counted<T> {
    type Object = T;

    unsafe fn from_raw(object: NonNull<T>) -> Self {
        // SAFETY: As the caller says.
        unsafe { Counted::from_raw(object) }
    }

    fn into_raw(self) -> NonNull<T> {
        Counted::into_raw(self)
    }
}

impl<T: MaybeGone> Deref for Counted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariant.
        unsafe { self.0.as_ref() }
    }
}

impl<T: MaybeGone> Drop for Counted<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { T::dec(self.0) };
    }
}

/// Makes a type around [`Memory`](crate::sys::field::Memory) [`MaybeGone`], and gives it `try_get`.
///
/// The user of the macro promises that the structure lives until the count is zero, and that the
/// function may free it then, so that a reader that meets it under RCU may look at the count until
/// a grace period later.
macro_rules! counted {
    (unsafe $type:ident($raw:ident), $field:ident, $free:ident) => {
        impl $type {
            /// Takes a reference, unless the last one is gone. The object was met under RCU, or
            /// there is a reference.
            pub(crate) fn try_get(&self) -> Option<$crate::sys::refcount::Counted<Self>> {
                $crate::sys::refcount::Counted::get(self)
            }
        }

        // SAFETY: The counter is that of the object, which lives until it is zero.
        unsafe impl $crate::sys::refcount::MaybeGone for $type {
            fn try_inc(&self) -> bool {
                let count =
                    $crate::sys::field::field!(self.0, $field as $crate::sys::field::Memory<_>);
                $crate::sys::call::rct_refcount_tryget(count)
            }

            unsafe fn dec(object: core::ptr::NonNull<Self>) {
                let object = object.as_ptr().cast::<$crate::bindings::$raw>();
                // SAFETY: The caller has a reference, which it gives up; after the last one, nobody
                // but readers under RCU is left.
                unsafe {
                    if $crate::bindings::rct_refcount_put(&raw mut (*object).$field) {
                        $crate::bindings::$free(object);
                    }
                }
            }
        }
    };
}
pub(crate) use counted;
