// SPDX-License-Identifier: GPL-2.0

//! The private state of a connection's protocol, where the rest of the kernel reads it.
//!
//! Rules and flow tables look at some of its fields without the lock. So nobody here has a reference
//! to it: a tracker works on a copy, which is read and written word by word.

use super::{
    Conn,
    Locked, //
};
use crate::bindings;
use core::mem::MaybeUninit;
use zerocopy::FromBytes;

/// Copies `T` word by word, each by one access on either side.
///
/// # Safety
///
/// `from` must be valid for reads and `to` for writes, both aligned for `T`, whose size must be a
/// multiple of that of `W`, and whose alignment at least that of `W`.
#[inline(always)]
unsafe fn copy<T, W>(from: *const T, to: *mut T) {
    // What is between fields is copied too, and need not have a value.
    let (from, to) = (from.cast::<MaybeUninit<W>>(), to.cast::<MaybeUninit<W>>());
    for i in 0..size_of::<T>() / size_of::<W>() {
        // SAFETY: The index is within `T`, and the caller vouches for both places.
        unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
    }
}

/// Copies a private state.
///
/// # Safety
///
/// `from` must be valid for reads and `to` for writes, both aligned for `T`.
#[inline(always)]
unsafe fn copy_private<T>(from: *const T, to: *mut T) {
    const {
        assert!(size_of::<T>() <= size_of::<bindings::nf_conntrack_proto>());
        assert!(align_of::<T>() <= align_of::<bindings::nf_conntrack_proto>());
        assert!(size_of::<T>() % size_of::<u32>() == 0);
    }
    if align_of::<T>() == align_of::<usize>() {
        // SAFETY: A size is a multiple of the alignment; the caller vouches for the rest.
        unsafe { copy::<T, usize>(from, to) }
    } else if align_of::<T>() == align_of::<u32>() {
        // SAFETY: As above.
        unsafe { copy::<T, u32>(from, to) }
    } else {
        const { assert!(size_of::<T>() == 0 || align_of::<T>() >= align_of::<u32>()) }
    }
}

impl Conn {
    /// A copy of the private state, which is laid out as `T`. Without the lock, one that packets
    /// change may be of different moments in its parts.
    #[inline]
    pub(crate) fn private<T: FromBytes + Copy>(&self) -> T {
        let mut private = MaybeUninit::uninit();
        // SAFETY: The field is inside the connection, large enough and aligned as `copy_private`
        // asserts, and any bytes are a `T`.
        unsafe {
            copy_private((&raw const (*self.ct()).proto).cast(), private.as_mut_ptr());
            private.assume_init()
        }
    }

    /// Writes the private state. The caller has the lock, or a connection that is not confirmed.
    #[inline]
    pub(crate) fn set_private<T: FromBytes + Copy>(&self, private: &T) {
        // SAFETY: The field is inside the connection, large enough and aligned as `copy_private`
        // asserts.
        unsafe { copy_private(private, (&raw mut (*self.ct()).proto).cast()) };
    }
}

impl Locked<'_> {
    /// A copy of the private state, which is laid out as `T`.
    #[inline]
    pub(crate) fn private<T: FromBytes + Copy>(&self) -> T {
        self.conn.private()
    }

    /// Changes the private state, which is laid out as `T`.
    #[inline]
    pub(crate) fn change<T: FromBytes + Copy, R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut private = self.conn.private();
        let result = change(&mut private);
        self.conn.set_private(&private);
        result
    }
}
