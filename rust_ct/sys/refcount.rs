// SPDX-License-Identifier: GPL-2.0

//! Structures of C's that count their references in a `refcount_t`.
//!
//! C header: [`include/linux/refcount.h`](srctree/include/linux/refcount.h)

use crate::{
    bindings,
    sys::{
        call,
        field::Memory, //
    },
};
use core::sync::atomic::{
    AtomicI32,
    Ordering, //
};

/// Takes a reference to a connection, unless the last one is gone, as with
/// refcount_inc_not_zero().
///
/// Each packet does: on x86 no function is called for it.
#[inline(always)]
pub(crate) fn try_get_conntrack(nfct: &Memory<bindings::nf_conntrack>) -> bool {
    if !cfg!(CONFIG_X86) {
        return call::rct_conntrack_tryget(nfct);
    }
    const { assert!(size_of::<bindings::nf_conntrack>() == size_of::<AtomicI32>()) };
    // SAFETY: The structure is a `refcount_t` and nothing else, a number that everybody reads and
    // writes atomically.
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

/// Makes a type around [`Memory`](crate::sys::field::Memory) one whose references are counted, and
/// gives it `try_get`.
///
/// Whoever uses it promises that the structure lives until the count is zero, and that the function
/// may free it then, so that whoever meets it under RCU may look at the count until a grace period
/// later.
macro_rules! counted {
    (unsafe $type:ident($raw:ident), $field:ident, $free:ident) => {
        impl $type {
            /// Takes a reference, unless the last one is gone. The object was met under RCU, or
            /// there is a reference.
            pub(crate) fn try_get(&self) -> Option<kernel::sync::aref::ARef<Self>> {
                let count =
                    $crate::sys::field::field!(self.0, $field as $crate::sys::field::Memory<_>);
                let taken = $crate::sys::call::rct_refcount_tryget(count);
                // SAFETY: The reference is the one just taken.
                taken.then(|| unsafe { kernel::sync::aref::ARef::from_raw(self.into()) })
            }
        }

        // SAFETY: The counter is that of the object, which lives until it is zero.
        unsafe impl kernel::sync::aref::AlwaysRefCounted for $type {
            fn inc_ref(&self) {
                let count =
                    $crate::sys::field::field!(self.0, $field as $crate::sys::field::Memory<_>);
                $crate::sys::call::rct_refcount_inc(count);
            }

            unsafe fn dec_ref(obj: core::ptr::NonNull<Self>) {
                let object = obj.as_ptr().cast::<$crate::bindings::$raw>();
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
