// SPDX-License-Identifier: GPL-2.0

//! Parameters that the kernel's own code reads and writes, see `params.c`.

use crate::bindings;

/// Returns whether packets are tracked in every namespace, or only where a rule asks: the parameter
/// `enable_hooks`.
pub(crate) fn enable_hooks() -> bool {
    // SAFETY: The parameter is written before the module's code runs, and never again.
    unsafe { (&raw const bindings::rct_param_enable_hooks).read() }
}

/// What new namespaces begin with.
pub(crate) struct BeginWith {
    /// Whether packets and bytes are counted: the parameter `acct`.
    pub(crate) acct: bool,
    /// Whether beginning and end of connections are kept: the parameter `tstamp`.
    pub(crate) timestamp: bool,
}

/// Returns what new namespaces begin with.
pub(crate) fn begin_with() -> BeginWith {
    // SAFETY: The parameters are bytes that the kernel writes at any time, as 0 or 1.
    let [acct, timestamp] = unsafe {
        [
            (&raw const bindings::rct_param_acct)
                .cast::<u8>()
                .read_volatile(),
            (&raw const bindings::rct_param_tstamp)
                .cast::<u8>()
                .read_volatile(),
        ]
    };
    BeginWith {
        acct: acct != 0,
        timestamp: timestamp != 0,
    }
}
