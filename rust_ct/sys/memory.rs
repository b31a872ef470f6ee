// SPDX-License-Identifier: GPL-2.0

//! The machine's memory.

use crate::bindings;
use core::ptr::NonNull;

/// How many bytes the machine has.
pub(crate) fn total() -> usize {
    // SAFETY: Reads a counter.
    unsafe { bindings::rct_total_ram() }
}

/// So many bytes of zeroes, to be freed with kfree(). Any context.
pub(crate) fn zeroed(bytes: usize) -> Option<NonNull<u8>> {
    // SAFETY: Any size will do.
    let memory =
        unsafe { bindings::__kmalloc_noprof(bytes, bindings::GFP_ATOMIC | bindings::__GFP_ZERO) };
    NonNull::new(memory.cast())
}
