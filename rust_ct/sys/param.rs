// SPDX-License-Identifier: GPL-2.0

//! Parameters that the kernel's own code reads and writes, see `params.c`.

use crate::sys::call;

/// Returns whether packets are tracked in every namespace, or only where a rule asks: the parameter
/// `enable_hooks`.
pub(crate) fn enable_hooks() -> bool {
    call::rct_param_enable_hooks.load() != 0
}

/// What new namespaces begin with.
pub(crate) struct BeginWith {
    /// Whether packets and bytes are counted: the parameter `acct`.
    pub(crate) acct: bool,
    /// Whether beginning and end of connections are kept: the parameter `tstamp`.
    #[cfg_attr(not(CONFIG_NF_CONNTRACK_TIMESTAMP), allow(dead_code))]
    pub(crate) timestamp: bool,
}

/// Returns what new namespaces begin with.
pub(crate) fn begin_with() -> BeginWith {
    BeginWith {
        acct: call::rct_param_acct.load() != 0,
        timestamp: call::rct_param_tstamp.load() != 0,
    }
}
