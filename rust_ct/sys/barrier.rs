// SPDX-License-Identifier: GPL-2.0

//! Memory barriers that a packet's way can afford.
//!
//! C header: [`arch/x86/include/asm/barrier.h`](srctree/arch/x86/include/asm/barrier.h)

use core::sync::atomic::{
    compiler_fence,
    Ordering, //
};
use kernel::sync::barrier::{
    smp_mb,
    Read,
    Write, //
};

/// What is read from now on is no older than what was read before, as with smp_rmb().
///
/// On x86, where processors read in order, that is for the compiler alone, as `__smp_rmb()` is
/// there. [`smp_mb`] calls a function for it.
#[inline(always)]
pub(crate) fn read() {
    if cfg!(CONFIG_X86) {
        compiler_fence(Ordering::SeqCst);
    } else {
        smp_mb(Read);
    }
}

/// What is written from now on is seen no earlier than what was written before, as with smp_wmb().
///
/// On x86, where processors write in order, that is for the compiler alone, as above.
#[inline(always)]
pub(crate) fn write() {
    if cfg!(CONFIG_X86) {
        compiler_fence(Ordering::SeqCst);
    } else {
        smp_mb(Write);
    }
}
