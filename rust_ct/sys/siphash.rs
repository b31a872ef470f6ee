// SPDX-License-Identifier: GPL-2.0

//! Keyed hashing.
//!
//! C header: [`include/linux/siphash.h`](srctree/include/linux/siphash.h)

use crate::bindings;
use core::mem;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// A SipHash key in static memory, to be drawn when the module is loaded.
pub(crate) struct Key([Atomic<u64>; 2]);

impl Key {
    /// A key of zeroes.
    pub(crate) const fn new() -> Self {
        Self([Atomic::new(0), Atomic::new(0)])
    }

    /// Draws the key at random. What was hashed before is not found again.
    pub(crate) fn draw(&self) {
        let mut key = [0u64; 2];
        // SAFETY: The array is valid for writes of its size.
        unsafe { bindings::get_random_bytes((&raw mut key).cast(), mem::size_of_val(&key)) };
        for (word, drawn) in self.0.iter().zip(key) {
            word.store(drawn, Relaxed);
        }
    }

    #[inline]
    fn key(&self) -> bindings::siphash_key_t {
        let [a, b] = &self.0;
        // SAFETY: The words are valid. They are written before anything is hashed that matters,
        // each by one access.
        let key = unsafe { [a.as_ptr().read_volatile(), b.as_ptr().read_volatile()] };
        bindings::siphash_key_t { key }
    }

    /// Hashes three words.
    #[inline]
    pub(crate) fn hash3(&self, a: u64, b: u64, c: u64) -> u64 {
        // SAFETY: The key is valid.
        unsafe { bindings::siphash_3u64(a, b, c, &self.key()) }
    }

    /// Hashes four words.
    #[inline]
    pub(crate) fn hash4(&self, a: u64, b: u64, c: u64, d: u64) -> u64 {
        // SAFETY: The key is valid.
        unsafe { bindings::siphash_4u64(a, b, c, d, &self.key()) }
    }
}
