// SPDX-License-Identifier: GPL-2.0

//! What each CPU has noted last.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)

use crate::{
    bindings,
    sys::{
        barrier,
        call,
        field::Field,
        percpu, //
    },
};
use core::ptr::NonNull;
use kernel::{
    ffi::c_void,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// Two words, of which the second one is not zero.
pub(crate) type Words = [u64; 2];

/// What one CPU has noted. Any bytes are such a ring.
#[repr(C)]
struct Ring<const N: usize> {
    /// How often it has, modulo 2^32.
    count: Atomic<u32>,
    notes: [[Field<u64>; 2]; N],
}

/// The last `N` notes of each possible CPU.
///
/// # Invariants
///
/// The pointer is at per-CPU memory of a [`Ring`].
pub(crate) struct Rings<const N: usize>(NonNull<c_void>);

// SAFETY: The rings are written and read by single accesses, even if other CPUs write and read.
unsafe impl<const N: usize> Sync for Rings<N> {}
// SAFETY: The memory belongs to no thread.
unsafe impl<const N: usize> Send for Rings<N> {}

impl<const N: usize> Rings<N> {
    /// Rings without notes. Process context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        const { assert!(N.is_power_of_two()) };
        let (size, align) = (size_of::<Ring<N>>(), align_of::<Ring<N>>());
        let memory = call::pcpu_alloc_noprof(size, align, false, bindings::GFP_KERNEL);
        // INVARIANT: The memory was just allocated, zeroed.
        NonNull::new(memory).map(Self).ok_or(ENOMEM)
    }

    /// Notes two words on this CPU, in the place of the oldest ones. Any context.
    #[inline]
    pub(crate) fn note(&self, [a, b]: Words) {
        // SAFETY: By the type invariant, each CPU has a ring there, as long as this is borrowed. A
        // task that is moved to another CPU from now on stays at this one's.
        let ring = unsafe { &*bindings::rct_raw_cpu_ptr(self.0.as_ptr()).cast::<Ring<N>>() };
        let count = ring.count.fetch_add(1, Relaxed);
        if let Some([first, second]) = ring.notes.get(count as usize % N) {
            // The barriers pair with those in `read`.
            second.store(0);
            barrier::write();
            first.store(a);
            barrier::write();
            second.store(b);
        }
    }

    /// What a CPU has noted, in no order: zeroes, where it has nothing yet or is writing. `None` if
    /// there is no such CPU. Any context.
    pub(crate) fn of_cpu(&self, cpu: u32) -> Option<impl Iterator<Item = Words> + Clone + '_> {
        if !percpu::possible(cpu) {
            return None;
        }
        // SAFETY: By the type invariant, the CPU has a ring there, as long as this is borrowed.
        let ring = unsafe { &*bindings::rct_per_cpu_ptr(self.0.as_ptr(), cpu).cast::<Ring<N>>() };
        Some(ring.notes.iter().map(read))
    }
}

/// The words of a note; zeroes if they may be of different notes.
fn read([first, second]: &[Field<u64>; 2]) -> Words {
    let b = second.load();
    barrier::read();
    let a = first.load();
    barrier::read();
    if second.load() == b {
        [a, b]
    } else {
        [0, 0]
    }
}

impl<const N: usize> Drop for Rings<N> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the memory is from the per-CPU allocator, and no other
        // code has it.
        unsafe { bindings::free_percpu(self.0.as_ptr()) };
    }
}
