// SPDX-License-Identifier: GPL-2.0

//! Words that are sets of bits, which everybody changes atomically, bit by bit.
//!
//! C header: [`include/linux/bitops.h`](srctree/include/linux/bitops.h)

use crate::bindings;
use kernel::sync::atomic::Atomic;

/// Sets one bit, with a full barrier. Returns whether it was not set.
#[inline]
pub(crate) fn raise(word: &Atomic<usize>, bit: u32) -> bool {
    // SAFETY: The word is changed atomically, and has this bit.
    unsafe { !bindings::rct_test_and_set_bit(bit % usize::BITS, word.as_ptr()) }
}

/// Lowers one bit.
pub(crate) fn lower(word: &Atomic<usize>, bit: u32) {
    // SAFETY: As in `raise`.
    unsafe { bindings::rct_clear_bit(bit % usize::BITS, word.as_ptr()) };
}
