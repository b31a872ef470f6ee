// SPDX-License-Identifier: GPL-2.0

//! Netfilter's log of packets.
//!
//! C header: [`include/net/netfilter/nf_log.h`](srctree/include/net/netfilter/nf_log.h)

use crate::{
    bindings,
    sys::{
        call,
        hook::{
            self,
            State, //
        },
        module,
        skb::Skb, //
    },
};

/// Writes a line about a packet: the number of its protocol, `name` and `text`. Any context; the
/// caller holds no lock that a listener takes to look at the packet's connection.
pub(crate) fn packet(skb: &Skb, state: &State, proto: u8, name: &str, text: &str) {
    hook::rct_log_packet(
        state,
        skb,
        proto,
        name.as_bytes().into(),
        text.as_bytes().into(),
    );
}

/// Loads the module that writes to the kernel's log, unless somebody listens already. Process
/// context, sleeps.
///
/// Source: net/netfilter/nf_conntrack_standalone.c, nf_conntrack_log_invalid_sysctl().
pub(crate) fn load_logger() {
    for family in 0..bindings::NFPROTO_NUMPROTO as u8 {
        if call::nf_log_is_registered(family) {
            return;
        }
    }
    // Without it, nothing is logged, as before.
    let _: bool = module::request(c"", c"nf_log_syslog");
}
