// SPDX-License-Identifier: GPL-2.0

//! Memory that C reads and writes while we do: fields of its structures, one by one.

use core::{
    cell::UnsafeCell,
    marker::PhantomData, //
};
use kernel::sync::atomic::{
    Atomic,
    AtomicType,
    Release, //
};

/// A value that Rust and C read and write by one access each.
///
/// # Invariants
///
/// The memory holds a `T` at all times.
#[repr(transparent)]
pub(crate) struct Field<T>(Memory<T>, PhantomData<T>);

impl<T: Copy> Field<T> {
    /// A value of ours.
    pub(crate) const fn new(value: T) -> Self {
        Self(Memory::new(value), PhantomData)
    }

    /// Where it is, for C that reads or writes it.
    pub(crate) const fn as_ptr(&self) -> *mut T {
        self.0.get()
    }

    /// What it holds now.
    #[inline(always)]
    pub(crate) fn load(&self) -> T {
        // SAFETY: By the type invariant.
        unsafe { self.0.get().read_volatile() }
    }

    /// Replaces what it holds.
    #[inline(always)]
    pub(crate) fn store(&self, value: T) {
        // SAFETY: The memory is borrowed, and made to be written while it is.
        unsafe { self.0.get().write_volatile(value) };
    }
}

impl<T> Field<*mut T> {
    /// Points it at something to which readers may follow it at once: what was written before is
    /// there. A reader of the pointer needs no more than to follow it, see [`crate::sys::nulls`].
    #[inline]
    pub(crate) fn publish(&self, value: *mut T) {
        // SAFETY: The memory is borrowed, and all code reads and writes by one access.
        unsafe { Atomic::from_ptr(self.0.get()) }.store(value, Release);
    }
}

/// A value that does not change while readers look at it.
///
/// # Invariants
///
/// As [`Field`].
#[repr(transparent)]
pub(crate) struct Fixed<T>(Field<T>);

impl<T: Copy> Fixed<T> {
    /// What it holds. A caller that cannot keep it from being written looks again.
    #[inline(always)]
    pub(crate) fn load(&self) -> T {
        self.0.load()
    }

    /// Replaces what it holds.
    ///
    /// # Safety
    ///
    /// No reader may look at it.
    #[inline(always)]
    pub(crate) unsafe fn store(&self, value: T) {
        // SAFETY: The memory is borrowed, and made to be written while it is.
        unsafe { self.0.as_ptr().write(value) };
    }
}

/// A structure of C's that C code and other CPUs read and write while it is borrowed, behind a type
/// of ours. Code that sees this field of that type can change what is in it, by [`field`].
///
/// # Invariants
///
/// The memory holds a `T` at all times.
#[repr(transparent)]
pub(crate) struct Memory<T>(UnsafeCell<T>);

// SAFETY: All that it gives is a pointer, and fields that may be shared.
unsafe impl<T> Sync for Memory<T> {}
// SAFETY: As above.
unsafe impl<T> Send for Memory<T> {}

impl<T> Memory<T> {
    /// A structure of ours, to be lent to C.
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The structure.
    #[inline(always)]
    pub(crate) const fn get(&self) -> *mut T {
        self.0.get()
    }
}

impl<T, const N: usize> Memory<[T; N]> {
    /// The elements of an array, each read and written by one access.
    #[inline(always)]
    pub(crate) fn fields(&self) -> &[Field<T>] {
        // SAFETY: By the type invariant, so many are there; a `Field` has the layout of its value.
        unsafe { core::slice::from_raw_parts(self.get().cast(), N) }
    }
}

/// A structure of ours that is never changed, for C to read.
pub(crate) struct Constant<T>(T);

// SAFETY: It is never changed, and all that it gives is a pointer.
unsafe impl<T> Sync for Constant<T> {}

impl<T> Constant<T> {
    /// A structure.
    pub(crate) const fn new(value: T) -> Self {
        Self(value)
    }

    /// Where it is.
    pub(crate) const fn as_ptr(&self) -> *const T {
        &raw const self.0
    }
}

/// A type that a field of C's may be seen as.
///
/// # Safety
///
/// A `C` in memory must be a `Self`, also while C writes to it as it does; a reference to it must
/// allow that.
pub(crate) unsafe trait Mirrors<C> {}

// SAFETY: That is what the type is for.
unsafe impl<T> Mirrors<T> for Field<T> {}
// SAFETY: As above.
unsafe impl<T> Mirrors<T> for Fixed<T> {}
// SAFETY: It gives its pointer, and fields by the types that mirror them.
unsafe impl<T> Mirrors<T> for Memory<T> {}
// SAFETY: As above; a value is an array of one.
unsafe impl<T> Mirrors<T> for Memory<[T; 1]> {}

// SAFETY: The type has the layout of its value, and C reads and writes it by one access.
unsafe impl<T: AtomicType> Mirrors<T> for Atomic<T> {}

/// The field of an object at `place`, for [`field`].
///
/// # Safety
///
/// The place must be valid as long as the object is borrowed.
#[inline(always)]
pub(crate) unsafe fn see<'a, T, C, M: Mirrors<C>>(_of: &'a Memory<T>, place: *mut C) -> &'a M {
    const { assert!(size_of::<C>() == size_of::<M>() && align_of::<C>() >= align_of::<M>()) };
    // SAFETY: The caller vouches for the place, and `Mirrors` for the type.
    unsafe { &*place.cast() }
}

/// A field of a structure in [`Memory`], as a [`Field`] or another type that mirrors it.
macro_rules! field {
    ($of:expr, $($name:ident).+ $([$index:expr] $(.$more:ident)*)? as $type:ty) => {{
        let of: &$crate::sys::field::Memory<_> = &$of;
        let raw = of.get();
        #[allow(unused_unsafe, reason = "what is loaded may be used unsafely")]
        // SAFETY: By the invariant of `Memory`, the structure is valid, and so is its field.
        let field: &$type = unsafe {
            $crate::sys::field::see(of, &raw mut (*raw).$($name).+ $([$index] $(.$more)*)?)
        };
        field
    }};
    ($of:expr, $($name:ident).+ $([$index:expr])?) => {
        $crate::sys::field::field!($of, $($name).+ $([$index])? as $crate::sys::field::Field<_>)
    };
}
pub(crate) use field;

/// Where a field of a structure in [`Memory`] is. The pointer may be followed to the whole
/// structure, as links of lists are.
macro_rules! place {
    ($of:expr, $($name:ident).+ $([$index:expr] $(.$more:ident)*)?) => {{
        let raw = $crate::sys::field::Memory::get(&$of);
        // SAFETY: By the invariant of `Memory`, the structure is valid, and so is its field.
        unsafe {
            core::ptr::NonNull::new_unchecked(&raw mut (*raw).$($name).+ $([$index] $(.$more)*)?)
        }
    }};
}
pub(crate) use place;
