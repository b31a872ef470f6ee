// SPDX-License-Identifier: GPL-2.0

//! Numbers of ours that other modules read, as variables of C.

use crate::bindings;
use kernel::sync::atomic::Atomic;

/// How many connections the machine may hold: `nf_conntrack_max` of the initial namespace.
pub(crate) fn machine_max() -> &'static Atomic<u32> {
    // SAFETY: The variable is ours, and read and written by one access.
    unsafe { Atomic::from_ptr(&raw mut bindings::nf_conntrack_max) }
}
