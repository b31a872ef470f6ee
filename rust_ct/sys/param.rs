// SPDX-License-Identifier: GPL-2.0

//! Parameters that the kernel's own code reads and writes, see `params.c`.

use crate::bindings;

/// Returns whether packets are tracked in every namespace, or only where a rule asks: the parameter
/// `enable_hooks`.
pub(crate) fn enable_hooks() -> bool {
    // SAFETY: The parameter is written before the module's code runs, and never again.
    unsafe { (&raw const bindings::rct_param_enable_hooks).read() }
}

/// Whether new namespaces begin with accounting, and with timestamps: the parameters `acct` and
/// `tstamp`.
pub(crate) fn begin_with() -> (bool, bool) {
    // SAFETY: The parameters are bytes that the kernel writes at any time, as 0 or 1.
    unsafe {
        (
            (&raw const bindings::rct_param_acct)
                .cast::<u8>()
                .read_volatile()
                != 0,
            (&raw const bindings::rct_param_tstamp)
                .cast::<u8>()
                .read_volatile()
                != 0,
        )
    }
}
