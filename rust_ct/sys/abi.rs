// SPDX-License-Identifier: GPL-2.0

//! What C hands to our functions, as types of its pointers: the function that has such an argument
//! says with it what C has promised.

use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    },
    slice, //
};
use kernel::{
    ffi::c_char,
    prelude::*,
    sync::aref::{
        ARef,
        AlwaysRefCounted, //
    },
};

/// A string.
///
/// # Invariants
///
/// It ends with a zero, and does not change for `'a`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Text<'a>(NonNull<c_char>, PhantomData<&'a CStr>);

impl<'a> Text<'a> {
    /// The string.
    pub(crate) fn get(self) -> &'a CStr {
        // SAFETY: By the type invariant.
        unsafe { CStr::from_char_ptr(self.0.as_ptr()) }
    }
}

impl<'a> From<&'a CStr> for Text<'a> {
    fn from(text: &'a CStr) -> Self {
        // INVARIANT: That is what a `CStr` is.
        Self(NonNull::from(text.to_bytes_with_nul()).cast(), PhantomData)
    }
}

/// A reference, as C has it: a pointer.
///
/// # Safety
///
/// `into_raw` must leave to the caller what `from_raw` takes.
pub(crate) unsafe trait Reference: Sized {
    /// To what it is.
    type Object;

    /// A reference that the caller has.
    ///
    /// # Safety
    ///
    /// It must be the result's from now on.
    unsafe fn from_raw(object: NonNull<Self::Object>) -> Self;

    /// Leaves the reference to the caller.
    fn into_raw(self) -> NonNull<Self::Object>;
}

// SAFETY: Both are of one reference.
unsafe impl<T: AlwaysRefCounted> Reference for ARef<T> {
    type Object = T;

    unsafe fn from_raw(object: NonNull<T>) -> Self {
        // SAFETY: As the caller says.
        unsafe { ARef::from_raw(object) }
    }

    fn into_raw(self) -> NonNull<T> {
        ARef::into_raw(self)
    }
}

/// A reference that C gives up.
///
/// # Invariants
///
/// This owns the reference.
#[repr(transparent)]
#[must_use]
pub(crate) struct Given<R: Reference>(NonNull<R::Object>);

impl<R: Reference> Given<R> {
    /// The reference.
    pub(crate) fn take(self) -> R {
        // SAFETY: By the type invariant.
        unsafe { R::from_raw(self.0) }
    }
}

impl<R: Reference> From<R> for Given<R> {
    fn from(reference: R) -> Self {
        // INVARIANT: The reference goes over.
        Self(reference.into_raw())
    }
}

/// Gives a reference to C; null, if there is none.
pub(crate) fn given<R: Reference>(reference: Option<R>) -> *mut R::Object {
    reference.map_or(ptr::null_mut(), |reference| reference.into_raw().as_ptr())
}

/// An array, as a pointer and a number: `struct rct_array`.
///
/// # Invariants
///
/// So many elements are there for `'a`; none, if it is null.
#[repr(C)]
pub(crate) struct Array<'a, T> {
    at: Option<NonNull<T>>,
    len: usize,
    _elements: PhantomData<&'a [T]>,
}

/// So many bytes.
pub(crate) type Bytes<'a> = Array<'a, u8>;

impl<'a, T> From<&'a [T]> for Array<'a, T> {
    fn from(elements: &'a [T]) -> Self {
        // INVARIANT: That is what a slice is.
        Self {
            at: Some(NonNull::from(elements).cast()),
            len: elements.len(),
            _elements: PhantomData,
        }
    }
}

impl<'a, T> Array<'a, T> {
    /// The elements.
    pub(crate) fn get(self) -> &'a [T] {
        self.given().unwrap_or(&[])
    }

    /// The elements; `None` if it is null.
    pub(crate) fn given(self) -> Option<&'a [T]> {
        // SAFETY: By the type invariant.
        let elements = |at: NonNull<T>| unsafe { slice::from_raw_parts(at.as_ptr(), self.len) };
        self.at.map(elements)
    }
}

/// What C registers with us, and takes away again.
///
/// # Invariants
///
/// It is there until a grace period after it was taken away.
#[repr(transparent)]
pub(crate) struct Lasting<T>(NonNull<T>);

impl<T> Lasting<T> {
    /// Where it is.
    pub(crate) fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T> From<&'static T> for Lasting<T> {
    fn from(object: &'static T) -> Self {
        // INVARIANT: It is always there.
        Self(object.into())
    }
}
