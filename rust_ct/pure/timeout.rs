// SPDX-License-Identifier: GPL-2.0

//! Timeouts: how long a connection is kept after its last packet.
//!
//! Each protocol has its own, by state. A namespace, or a rule's timeout policy, holds them in
//! arrays of jiffies with the kernel's indices.

use core::ffi::CStr;

/// A timeout as users know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Name of the sysctl behind `net.netfilter.`; `None` if there is none.
    pub(crate) sysctl: Option<&'static CStr>,
    /// Default in seconds.
    pub(crate) seconds: u32,
    /// Whether a timeout policy sets it.
    pub(crate) in_policy: bool,
}

impl Setting {
    /// A timeout with a sysctl.
    pub(crate) const fn new(sysctl: &'static CStr, seconds: u32) -> Self {
        Self {
            sysctl: Some(sysctl),
            seconds,
            in_policy: true,
        }
    }

    /// A timeout that only a policy can set.
    pub(crate) const fn unnamed(seconds: u32) -> Self {
        Self {
            sysctl: None,
            seconds,
            in_policy: true,
        }
    }

    /// A timeout that cannot be set.
    pub(crate) const fn hidden(seconds: u32) -> Self {
        Self {
            sysctl: None,
            seconds,
            in_policy: false,
        }
    }
}

/// A minute in seconds.
pub(crate) const MINUTES: u32 = 60;
/// A day in seconds.
pub(crate) const DAYS: u32 = 24 * 60 * MINUTES;

/// Index of the timeout of a connection that may not have been answered, for protocols without
/// states.
pub(crate) const UNREPLIED: usize = 0;
/// Index of the timeout of a stream in both directions, for protocols without states.
pub(crate) const REPLIED: usize = 1;

/// The timeouts of a protocol, in jiffies.
pub(crate) trait Jiffies: Sized {
    /// How many there are.
    const LEN: usize;

    /// Makes each of them from its index.
    fn from_fn(timeout: impl FnMut(usize) -> u32) -> Self;

    /// All of them.
    fn as_mut_slice(&mut self) -> &mut [u32];
}

impl<const N: usize> Jiffies for [u32; N] {
    const LEN: usize = N;

    #[inline(always)]
    fn from_fn(timeout: impl FnMut(usize) -> u32) -> Self {
        core::array::from_fn(timeout)
    }

    #[inline(always)]
    fn as_mut_slice(&mut self) -> &mut [u32] {
        self
    }
}

/// How timeouts shrink in a table that fills: from `start` hundredths of the limit on, down to
/// nothing at `end`, on a line between them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adaptive {
    /// Zero if they never do.
    pub(crate) start: u32,
    /// If it is not behind the start, nothing is left of them from there on.
    pub(crate) end: u32,
}

impl Adaptive {
    /// As long as timeouts are what they are otherwise.
    pub(crate) const WHOLE: u32 = 100;

    /// What is left of a timeout where there are `count` connections of `limit`, in hundredths.
    pub(crate) fn percent(self, count: u32, limit: u32) -> u32 {
        let share = |percent: u32| u64::from(limit).saturating_mul(percent.into());
        let (start, end) = (share(self.start), share(self.end));
        let at = u64::from(count).saturating_mul(100);
        if self.start == 0 || at <= start {
            return Self::WHOLE;
        }
        let left = end.saturating_sub(at).saturating_mul(Self::WHOLE.into());
        let percent = left.checked_div(end.saturating_sub(start)).unwrap_or(0);
        // CAST: Not more than the whole.
        percent as u32
    }
}

/// So many hundredths of a timeout, but not less than `least`, unless it is shorter itself.
pub(crate) fn part(timeout: u32, percent: u32, least: u32) -> u32 {
    let part = u64::from(timeout).saturating_mul(percent.into()) / 100;
    // What is beyond the range is beyond the timeout.
    let part = u32::try_from(part).unwrap_or(u32::MAX);
    part.max(least).min(timeout)
}

/// The timeout at `index` in jiffies; zero, so that the connection expires at once, if there is
/// none.
pub(crate) fn slot<const N: usize>(timeouts: &[u32; N], index: usize) -> u32 {
    timeouts.get(index).copied().unwrap_or(0)
}
