// SPDX-License-Identifier: GPL-2.0

//! Words that are sets of bits, which Rust and C change atomically, bit by bit.
//!
//! C header: [`include/linux/bitops.h`](srctree/include/linux/bitops.h)

use crate::sys::call;
use kernel::sync::atomic::Atomic;

/// Sets one bit, with a full barrier. Returns whether it was not set.
#[inline]
pub(crate) fn raise(word: &Atomic<usize>, bit: u32) -> bool {
    !call::rct_test_and_set_bit(bit, word)
}

/// Lowers one bit, with a full barrier. Returns whether it was set.
pub(crate) fn take(word: &Atomic<usize>, bit: u32) -> bool {
    call::rct_test_and_clear_bit(bit, word)
}

/// Lowers one bit.
pub(crate) fn lower(word: &Atomic<usize>, bit: u32) {
    call::rct_clear_bit(bit, word);
}
