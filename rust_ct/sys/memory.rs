// SPDX-License-Identifier: GPL-2.0

//! The machine's memory.

use crate::bindings;

/// How many bytes the machine has.
pub(crate) fn total() -> usize {
    // SAFETY: Reads a counter.
    unsafe { bindings::rct_total_ram() }
}
