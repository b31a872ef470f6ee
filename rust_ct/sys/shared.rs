// SPDX-License-Identifier: GPL-2.0

//! Numbers of ours that other modules read, as variables of C.

use crate::sys::call;
use kernel::sync::atomic::Atomic;

/// How many connections each namespace may hold that has no limit of its own: `nf_conntrack_max`
/// of the initial one.
pub(crate) fn machine_max() -> &'static Atomic<u32> {
    &call::nf_conntrack_max
}
