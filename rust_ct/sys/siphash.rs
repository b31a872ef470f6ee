// SPDX-License-Identifier: GPL-2.0

//! Keyed hashing.
//!
//! C header: [`include/linux/siphash.h`](srctree/include/linux/siphash.h)

use crate::{
    bindings,
    sys::{
        call,
        field::Field, //
    },
};

/// A SipHash key in static memory, to be drawn when the module is loaded.
pub(crate) struct Key([Field<u64>; 2]);

impl Key {
    /// A key of zeroes.
    pub(crate) const fn new() -> Self {
        Self([Field::new(0), Field::new(0)])
    }

    /// Draws the key at random. What was hashed before is not found again.
    pub(crate) fn draw(&self) {
        for word in &self.0 {
            word.store(call::get_random_u64());
        }
    }

    /// The words of the key, for a hash of our own.
    #[inline]
    pub(crate) fn words(&self) -> [u64; 2] {
        let [a, b] = &self.0;
        [a.load(), b.load()]
    }

    #[inline]
    fn key(&self) -> bindings::siphash_key_t {
        // They are written before anything is hashed that matters.
        bindings::siphash_key_t { key: self.words() }
    }

    /// Hashes four words.
    #[inline]
    pub(crate) fn hash4(&self, a: u64, b: u64, c: u64, d: u64) -> u64 {
        call::siphash_4u64(a, b, c, d, &self.key())
    }
}
