// SPDX-License-Identifier: GPL-2.0

//! The tracker of every protocol that has none of its own.
//!
//! Source: net/netfilter/nf_conntrack_core.c, generic_packet().

use crate::pure::l4proto::Outcome;

/// Every packet renews the timeout (jiffies).
pub(crate) const fn track(timeouts: &[u32; 1]) -> Outcome {
    let [timeout] = *timeouts;
    Outcome::refresh(timeout)
}
