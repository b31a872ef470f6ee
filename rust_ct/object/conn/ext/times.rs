// SPDX-License-Identifier: GPL-2.0

//! When a connection began and ended.

#[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
use crate::object::conn::ext::{
    Kind,
    Part, //
};
use crate::{
    object::conn::Conn,
    sys::time, //
};
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// When the connection was confirmed and removed, in nanoseconds since 1970, `struct
/// nf_conn_tstamp`. Zero before.
#[repr(C)]
pub(crate) struct Times {
    start: Atomic<i64>,
    stop: Atomic<i64>,
}

#[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
// SAFETY: That is what this extension is. What changes in it is atomic, or in an `UnsafeCell`.
unsafe impl Part for Times {
    const KIND: Kind = Kind::Times;
}

impl Conn {
    #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
    pub(super) fn times(&self) -> Option<&Times> {
        self.part()
    }

    #[cfg(not(CONFIG_NF_CONNTRACK_TIMESTAMP))]
    pub(super) fn times(&self) -> Option<&Times> {
        None
    }

    /// Notes that the connection is confirmed now.
    pub(crate) fn stamp_start(&self) {
        if let Some(times) = self.times() {
            times.start.store(time::real_ns(), Relaxed);
        }
    }

    /// Notes that the connection is removed now, or was to be when it expired.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_ct_delete().
    pub(crate) fn stamp_stop(&self) {
        if let Some(times) = self.times() {
            let overdue = time::until(self.timeout()).min(0).unsigned_abs();
            let stop = time::real_ns().wrapping_sub(time::to_ns(overdue));
            times.stop.store(stop, Relaxed);
        }
    }

    /// For how many seconds the connection has been confirmed, if that is known.
    pub(crate) fn age(&self) -> Option<u64> {
        const NS_PER_S: u64 = 1_000_000_000;
        let start = self.times()?.start.load(Relaxed);
        let age = time::real_ns().wrapping_sub(start).max(0).unsigned_abs();
        Some(age / NS_PER_S)
    }
}
