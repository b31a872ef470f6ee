// SPDX-License-Identifier: GPL-2.0

//! The machine's memory.

use crate::{
    bindings,
    sys::call, //
};
use core::{
    mem::{
        self,
        MaybeUninit, //
    },
    ptr::NonNull, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// How many bytes the machine has.
pub(crate) fn total() -> usize {
    call::rct_total_ram()
}

/// How memory may be asked for, `GFP_*`.
pub(crate) type Gfp = bindings::gfp_t;

/// In any context.
pub(crate) const ATOMIC: Gfp = bindings::GFP_ATOMIC;
/// In process context, where the caller may sleep.
pub(crate) const KERNEL: Gfp = bindings::GFP_KERNEL;

/// So many bytes of zeroes, to be freed by kfree().
pub(crate) fn zeroed(bytes: usize, gfp: Gfp) -> Option<NonNull<u8>> {
    NonNull::new(call::rct_kmalloc(bytes, gfp | bindings::__GFP_ZERO).cast())
}

/// Makes memory larger, or allocates it where there is none; what is new in it is of no meaning.
/// `None` if there is no memory: what was there stays as it is.
///
/// # Safety
///
/// `memory` must be null or from kmalloc(), and not in use by other code.
pub(crate) unsafe fn enlarge(memory: *mut u8, bytes: usize, gfp: Gfp) -> Option<NonNull<u8>> {
    // SAFETY: The caller vouches for the memory.
    let memory = unsafe { bindings::rct_krealloc(memory.cast(), bytes, gfp) };
    NonNull::new(memory.cast())
}

/// A place for a value, in memory that begins as zeroes: nothing is in it then. What is in it is
/// not dropped with it.
///
/// # Invariants
///
/// `value` is initialised where `there` is set.
#[repr(C)]
pub(crate) struct Late<T> {
    there: bool,
    value: MaybeUninit<T>,
}

impl<T> Late<T> {
    /// What is in it.
    pub(crate) fn get(&mut self) -> Option<&mut T> {
        // SAFETY: By the type invariant.
        self.there.then(|| unsafe { self.value.assume_init_mut() })
    }

    /// Takes what is in it out.
    pub(crate) fn take(&mut self) -> Option<T> {
        // SAFETY: By the type invariant, and it is not read once more.
        mem::take(&mut self.there).then(|| unsafe { self.value.assume_init_read() })
    }

    /// Drops what is in it, and puts a value into it.
    pub(crate) fn put(&mut self, value: T) -> &mut T {
        drop(self.take());
        self.there = true;
        self.value.write(value)
    }
}

/// Allocates empty lists, `wanted` of them rounded up to a full page, and returns them with their
/// number. The end of each is null, or its number as [`crate::sys::nulls`] has it. To be freed by
/// kvfree(). Process context. `None` if there is no memory, or if they are too many.
pub(crate) fn lists(wanted: u32, numbered: bool) -> Option<(NonNull<usize>, u32)> {
    const STEP: u32 = PAGE_SIZE as u32 / size_of::<usize>() as u32;
    const MOST: u32 = i32::MAX as u32 / size_of::<usize>() as u32;

    let size = wanted.max(1).checked_next_multiple_of(STEP)?;
    if size > MOST {
        return None;
    }
    let mut lists = KVVec::with_capacity(size as usize, GFP_KERNEL).ok()?;
    for i in 0..size as usize {
        let end = if numbered { i << 1 | 1 } else { 0 };
        lists.push(end, GFP_KERNEL).ok()?;
        if i % STEP as usize == 0 {
            call::rct_cond_resched();
        }
    }
    let (lists, ..) = lists.into_raw_parts();
    Some((NonNull::new(lists)?, size))
}
