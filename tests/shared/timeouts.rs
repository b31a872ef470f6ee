// SPDX-License-Identifier: GPL-2.0

//! The timeouts of all protocols, for the host tests and for KUnit.

use crate::pure::l4proto::{
    generic::Generic,
    gre::Gre,
    icmp::{
        Icmp,
        Icmpv6, //
    },
    sctp::Sctp,
    tcp::Tcp,
    udp::Udp,
    L4Proto, //
};

/// The timeouts of a namespace, in jiffies.
#[derive(Clone, Debug)]
pub(crate) struct Timeouts {
    pub(crate) tcp: [u32; 14],
    pub(crate) udp: [u32; 2],
    pub(crate) gre: [u32; 2],
    pub(crate) sctp: [u32; 10],
    pub(crate) icmp: [u32; 1],
    pub(crate) icmpv6: [u32; 1],
    pub(crate) generic: [u32; 1],
}

impl Timeouts {
    /// The defaults on a kernel with `hz` jiffies a second.
    pub(crate) fn new(hz: u32) -> Self {
        Self {
            tcp: Tcp::defaults(hz),
            udp: Udp::defaults(hz),
            gre: Gre::defaults(hz),
            sctp: Sctp::defaults(hz),
            icmp: Icmp::defaults(hz),
            icmpv6: Icmpv6::defaults(hz),
            generic: Generic::defaults(hz),
        }
    }
}
