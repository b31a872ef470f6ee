// SPDX-License-Identifier: GPL-2.0

//! The machine's memory.

use crate::bindings;
use core::ptr::NonNull;

/// How many bytes the machine has.
pub(crate) fn total() -> usize {
    // SAFETY: Reads a counter.
    unsafe { bindings::rct_total_ram() }
}

/// How memory may be asked for, `GFP_*`.
pub(crate) type Gfp = bindings::gfp_t;

/// In any context.
pub(crate) const ATOMIC: Gfp = bindings::GFP_ATOMIC;
/// In process context, where the caller may sleep.
pub(crate) const KERNEL: Gfp = bindings::GFP_KERNEL;

/// So many bytes of zeroes, to be freed by [`free`] or kfree().
pub(crate) fn zeroed(bytes: usize, gfp: Gfp) -> Option<NonNull<u8>> {
    // SAFETY: Any size will do.
    let memory = unsafe { bindings::__kmalloc_noprof(bytes, gfp | bindings::__GFP_ZERO) };
    NonNull::new(memory.cast())
}

/// Makes memory larger, or allocates it where there is none; what is new in it is of no meaning.
/// `None` if there is no memory: what was there stays as it is.
///
/// # Safety
///
/// `memory` must be null or from kmalloc(), and nobody else may use it.
pub(crate) unsafe fn enlarge(memory: *mut u8, bytes: usize, gfp: Gfp) -> Option<NonNull<u8>> {
    // SAFETY: The caller vouches for the memory.
    let memory = unsafe { bindings::rct_krealloc(memory.cast(), bytes, gfp) };
    NonNull::new(memory.cast())
}

/// Frees memory.
///
/// # Safety
///
/// `memory` must be from kmalloc(), and nobody may use it any more.
pub(crate) unsafe fn free(memory: NonNull<u8>) {
    // SAFETY: The caller vouches for the memory.
    unsafe { bindings::kfree(memory.as_ptr().cast()) };
}
