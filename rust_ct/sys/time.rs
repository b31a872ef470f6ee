// SPDX-License-Identifier: GPL-2.0

//! Time in jiffies.

use crate::bindings;

/// Jiffies in a second.
pub(crate) const HZ: u32 = bindings::RUST_CT_CONST_HZ;

/// Now, in jiffies; wraps around.
#[inline]
pub(crate) fn jiffies() -> usize {
    // SAFETY: `jiffies` is valid throughout, and the kernel means it to be read with a volatile
    // access while the timer interrupt writes it.
    unsafe { (&raw const bindings::jiffies).read_volatile() }
}

/// Now, in jiffies, as connections keep it; wraps around.
///
/// Source: include/net/netfilter/nf_conntrack.h, nfct_time_stamp.
#[inline]
pub(crate) fn now() -> u32 {
    // CAST: The lower half is what is wanted.
    jiffies() as u32
}

/// Jiffies from now until `deadline`; negative if it has passed.
#[inline]
pub(crate) fn until(deadline: u32) -> i32 {
    // CAST: The difference of two wrapping counters is a signed distance.
    deadline.wrapping_sub(now()) as i32
}
