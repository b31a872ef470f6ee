// SPDX-License-Identifier: GPL-2.0

//! Numbers of ours that other modules read, as variables of C.

use crate::sys::call;
use kernel::sync::atomic::Atomic;

/// How many connections the machine may hold: `nf_conntrack_max` of the initial namespace.
pub(crate) fn machine_max() -> &'static Atomic<u32> {
    &call::nf_conntrack_max
}
