// SPDX-License-Identifier: GPL-2.0

//! Structures of C's that count their references in a `refcount_t`.

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
