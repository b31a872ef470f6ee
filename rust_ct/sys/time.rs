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

/// Now, in nanoseconds since 1970. Any context.
pub(crate) fn real_ns() -> i64 {
    // SAFETY: May be called anywhere.
    unsafe { bindings::ktime_get_with_offset(bindings::tk_offsets_TK_OFFS_REAL) }
}

/// So many jiffies in nanoseconds.
pub(crate) fn to_ns(jiffies: u32) -> i64 {
    const NS_PER_JIFFY: i64 = 1_000_000_000 / HZ as i64;
    i64::from(jiffies).wrapping_mul(NS_PER_JIFFY)
}
