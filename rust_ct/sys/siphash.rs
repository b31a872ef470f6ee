// SPDX-License-Identifier: GPL-2.0

//! Keyed hashing.
//!
//! C header: [`include/linux/siphash.h`](srctree/include/linux/siphash.h)

use crate::bindings;
use core::cell::UnsafeCell;

/// A SipHash key in static memory, drawn once.
///
/// # Invariants
///
/// The key is written by [`Key::draw`] alone, before it is shared.
pub(crate) struct Key(UnsafeCell<bindings::siphash_key_t>);

// SAFETY: By the type invariant, the key is only read once it is shared.
unsafe impl Sync for Key {}

impl Key {
    /// A key of zeroes, to be drawn.
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(bindings::siphash_key_t { key: [0; 2] }))
    }

    /// Draws the key at random.
    ///
    /// # Safety
    ///
    /// Nobody else may use the key meanwhile.
    pub(crate) unsafe fn draw(&self) {
        // SAFETY: The key is valid for writes of its size, and the caller has it alone.
        unsafe {
            bindings::get_random_bytes(self.0.get().cast(), size_of::<bindings::siphash_key_t>())
        };
    }

    /// Hashes three words.
    #[inline]
    pub(crate) fn hash3(&self, a: u64, b: u64, c: u64) -> u64 {
        // SAFETY: By the type invariant, the key is valid and not written meanwhile.
        unsafe { bindings::siphash_3u64(a, b, c, self.0.get()) }
    }

    /// Hashes four words.
    #[inline]
    pub(crate) fn hash4(&self, a: u64, b: u64, c: u64, d: u64) -> u64 {
        // SAFETY: By the type invariant, the key is valid and not written meanwhile.
        unsafe { bindings::siphash_4u64(a, b, c, d, self.0.get()) }
    }
}
