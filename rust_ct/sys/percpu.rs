// SPDX-License-Identifier: GPL-2.0

//! Counters that each CPU has for itself.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)

use crate::{
    bindings,
    sys::call, //
};
use core::ptr::NonNull;
use kernel::{
    ffi::c_void,
    prelude::*, //
};

/// `N` counters for each possible CPU.
///
/// # Invariants
///
/// The pointer is at per-CPU memory of `N` counters.
pub(crate) struct Counters<const N: usize>(NonNull<c_void>);

// SAFETY: Each CPU writes its own counters, and reading another CPU's gives some recent value.
unsafe impl<const N: usize> Sync for Counters<N> {}
// SAFETY: The memory belongs to no thread.
unsafe impl<const N: usize> Send for Counters<N> {}

impl<const N: usize> Counters<N> {
    /// Counters at zero. Process context.
    pub(crate) fn new() -> Result<Self> {
        let memory = call::pcpu_alloc_noprof(
            size_of::<[u32; N]>(),
            align_of::<u64>(),
            false,
            bindings::GFP_KERNEL,
        );
        // INVARIANT: The memory was just allocated, zeroed.
        NonNull::new(memory).map(Self).ok_or(ENOMEM)
    }

    /// Where the counters are, for C that reads them. A per-CPU pointer.
    pub(crate) fn as_ptr(&self) -> *mut c_void {
        self.0.as_ptr()
    }

    /// Adds to counter number `i` on this CPU, in any context.
    pub(crate) fn add(&self, i: usize, value: u32) {
        if i < N {
            let counter = self.0.as_ptr().cast::<u32>().wrapping_add(i);
            // SAFETY: By the type invariant, the counter is in per-CPU memory.
            unsafe { bindings::rct_this_cpu_add(counter, value) };
        }
    }

    /// Counter number `i` of a CPU, or zero if there is no such counter or CPU.
    pub(crate) fn get(&self, cpu: u32, i: usize) -> u32 {
        if i >= N || !possible(cpu) {
            return 0;
        }
        // SAFETY: By the type invariant, there is an array of counters for each possible CPU. The
        // read races with increments by design, hence a volatile access.
        unsafe {
            bindings::rct_per_cpu_ptr(self.0.as_ptr(), cpu)
                .cast::<u32>()
                .add(i)
                .read_volatile()
        }
    }

    /// The sum of counter number `i` over all CPUs.
    pub(crate) fn sum(&self, i: usize) -> u64 {
        (0..cpus()).fold(0, |sum: u64, cpu| sum.wrapping_add(self.get(cpu, i).into()))
    }
}

impl<const N: usize> Drop for Counters<N> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the memory is from the per-CPU allocator, and no other
        // code has it.
        unsafe { bindings::free_percpu(self.0.as_ptr()) };
    }
}

/// A number above that of every possible CPU.
pub(crate) fn cpus() -> u32 {
    kernel::cpu::nr_cpu_ids()
}

/// Returns whether there may ever be a CPU of this number.
pub(crate) fn possible(cpu: u32) -> bool {
    call::rct_cpu_possible(cpu)
}
