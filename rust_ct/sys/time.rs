// SPDX-License-Identifier: GPL-2.0

//! Time in jiffies.

use crate::{
    bindings,
    sys::call, //
};
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// Jiffies in a second.
pub(crate) const HZ: u32 = bindings::RUST_CT_CONST_HZ;

/// Now, in jiffies; wraps around.
#[inline]
pub(crate) fn jiffies() -> usize {
    call::jiffies.load()
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
    between(now(), deadline)
}

/// Jiffies from a moment until `deadline`; negative if it came before.
#[inline]
pub(crate) fn between(moment: u32, deadline: u32) -> i32 {
    // CAST: The difference of two wrapping counters is a signed distance.
    deadline.wrapping_sub(moment) as i32
}

/// Lets a line be logged at most once in five seconds.
pub(crate) struct Throttle {
    /// When the last line was logged, in jiffies; zero before the first.
    last: Atomic<u32>,
}

impl Throttle {
    /// As between the lines of net_ratelimit(), which the kernel uses for the same lines.
    const INTERVAL: u32 = 5 * HZ;

    /// No line was logged yet.
    pub(crate) const fn new() -> Self {
        Self {
            last: Atomic::new(0),
        }
    }

    /// Returns whether a line is due. Any context.
    pub(crate) fn is_due(&self) -> bool {
        let (now, last) = (now(), self.last.load(Relaxed));
        let due = last == 0 || now.wrapping_sub(last) >= Self::INTERVAL;
        // Of callers that come at once, one wins.
        due && self.last.cmpxchg(last, now, Relaxed).is_ok()
    }
}

/// Now, in nanoseconds since 1970. Any context.
pub(crate) fn real_ns() -> i64 {
    call::ktime_get_with_offset(call::Clock::Real)
}

/// Now, in nanoseconds since the machine was started. Any context.
pub(crate) fn boot_ns() -> i64 {
    call::ktime_get_with_offset(call::Clock::Boot)
}

const NS_PER_JIFFY: i64 = 1_000_000_000 / HZ as i64;

/// So many jiffies in nanoseconds.
pub(crate) fn to_ns(jiffies: u32) -> i64 {
    i64::from(jiffies).wrapping_mul(NS_PER_JIFFY)
}

/// So many nanoseconds in jiffies, rounded down; zero if they are negative.
pub(crate) fn from_ns(ns: i64) -> u32 {
    u32::try_from(ns / NS_PER_JIFFY).unwrap_or(if ns < 0 { 0 } else { u32::MAX })
}
