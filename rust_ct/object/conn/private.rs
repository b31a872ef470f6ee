// SPDX-License-Identifier: GPL-2.0

//! The private state of a connection's protocol, where the rest of the kernel reads it.
//!
//! Rules and flow tables look at some of its fields without the lock. So nobody here has a reference
//! to it: a tracker works on a copy, which is read and written word by word.

use super::{
    Conn,
    Locked, //
};
use crate::{
    bindings,
    pure::l4proto::L4Proto, //
};
use core::mem::MaybeUninit;
use zerocopy::FromBytes;

/// Where the private states of all protocols are kept.
type Place = bindings::nf_conntrack_proto;

/// How many whole words a `T` has, and how many bytes they are.
const fn words<T>() -> (usize, usize) {
    let words = size_of::<T>() / size_of::<usize>();
    (words, words * size_of::<usize>())
}

/// Asserts that a `T` can be kept in a connection: in whole words, and half a one behind them.
const fn fits<T>() {
    let (_, bytes) = words::<T>();
    assert!(size_of::<T>() <= size_of::<Place>());
    assert!(align_of::<T>() <= align_of::<Place>());
    assert!(align_of::<usize>() <= align_of::<Place>());
    assert!(size_of::<T>() == bytes || size_of::<T>() == bytes + size_of::<u32>());
}

/// Copies a private state out of a connection.
///
/// # Safety
///
/// `from` must be valid for reads.
#[inline(always)]
unsafe fn load<T: FromBytes>(from: *const Place) -> T {
    const { fits::<T>() };
    let (words, bytes) = words::<T>();
    let mut private = MaybeUninit::<T>::uninit();
    let to = private.as_mut_ptr();
    for i in 0..words {
        // SAFETY: The index is within `T`, and thus within the place.
        unsafe {
            let word = from.cast::<usize>().add(i).read_volatile();
            to.cast::<usize>().add(i).write_unaligned(word);
        }
    }
    if size_of::<T>() > bytes {
        // SAFETY: Half a word of `T` is left, and thus of the place.
        unsafe {
            let half = from.byte_add(bytes).cast::<u32>().read_volatile();
            to.byte_add(bytes).cast::<u32>().write_unaligned(half);
        }
    }
    // SAFETY: All bytes are there, and any bytes are a `T`.
    unsafe { private.assume_init() }
}

/// Copies a private state into a connection.
///
/// # Safety
///
/// `to` must be valid for writes.
#[inline(always)]
unsafe fn store<T>(private: &T, to: *mut Place) {
    const { fits::<T>() };
    let (words, bytes) = words::<T>();
    // What is between fields is copied too, and need not have a value.
    let from = (&raw const *private).cast::<MaybeUninit<usize>>();
    for i in 0..words {
        // SAFETY: The index is within `T`, and thus within the place.
        unsafe {
            let word = from.add(i).read_unaligned();
            to.cast::<MaybeUninit<usize>>().add(i).write_volatile(word);
        }
    }
    if size_of::<T>() > bytes {
        // SAFETY: Half a word of `T` is left, and thus of the place.
        unsafe {
            let half = from.byte_add(bytes).cast::<MaybeUninit<u32>>();
            let to = to.byte_add(bytes).cast::<MaybeUninit<u32>>();
            to.write_volatile(half.read_unaligned());
        }
    }
}

impl Conn {
    /// A copy of the private state, which is laid out as `T`. Without the lock, one that packets
    /// change may be of different moments in its parts.
    #[inline]
    pub(crate) fn private<T: FromBytes>(&self) -> T {
        // SAFETY: The field is inside the connection.
        unsafe { load(&raw const (*self.ct()).proto) }
    }

    /// A copy of the private state of a connection of a protocol.
    pub(crate) fn private_of<P: L4Proto>(&self) -> P::Private {
        let _guard = P::LOCKED.then(|| self.lock());
        self.private()
    }

    /// Writes the private state. The caller has the lock, or a connection that is not confirmed.
    #[inline]
    pub(crate) fn set_private<T: FromBytes>(&self, private: &T) {
        // SAFETY: The field is inside the connection.
        unsafe { store(private, &raw mut (*self.ct()).proto) };
    }
}

impl Locked<'_> {
    /// A copy of the private state, which is laid out as `T`.
    #[inline]
    pub(crate) fn private<T: FromBytes>(&self) -> T {
        self.conn.private()
    }

    /// Changes the private state, which is laid out as `T`.
    #[inline]
    pub(crate) fn change<T: FromBytes, R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut private = self.conn.private();
        let result = change(&mut private);
        self.conn.set_private(&private);
        result
    }
}
