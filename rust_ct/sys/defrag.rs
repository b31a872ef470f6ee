// SPDX-License-Identifier: GPL-2.0

//! Reassembly of fragments before any hook of ours sees them.
//!
//! C headers: `include/net/netfilter/ipv4/nf_defrag_ipv4.h` and
//! `include/net/netfilter/ipv6/nf_defrag_ipv6.h`.

use crate::sys::net::{
    self,
    Net, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// Has the IPv4 fragments of `net` reassembled, once more. Process context.
pub(crate) fn enable_ipv4(net: &Net) -> Result {
    to_result(net::nf_defrag_ipv4_enable(net))
}

/// Gives back one [`enable_ipv4`]. Process context.
pub(crate) fn disable_ipv4(net: &Net) {
    net::nf_defrag_ipv4_disable(net);
}

/// Has the IPv6 fragments of `net` reassembled, once more. Process context.
#[cfg(CONFIG_IPV6)]
pub(crate) fn enable_ipv6(net: &Net) -> Result {
    to_result(net::nf_defrag_ipv6_enable(net))
}

/// Gives back one [`enable_ipv6`]. Process context.
#[cfg(CONFIG_IPV6)]
pub(crate) fn disable_ipv6(net: &Net) {
    net::nf_defrag_ipv6_disable(net);
}

/// This kernel has no IPv6.
#[cfg(not(CONFIG_IPV6))]
pub(crate) fn enable_ipv6(_net: &Net) -> Result {
    Err(EPROTO)
}

/// This kernel has no IPv6.
#[cfg(not(CONFIG_IPV6))]
pub(crate) fn disable_ipv6(_net: &Net) {}
