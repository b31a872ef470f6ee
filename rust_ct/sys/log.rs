// SPDX-License-Identifier: GPL-2.0

//! Netfilter's log of packets.
//!
//! C header: [`include/net/netfilter/nf_log.h`](srctree/include/net/netfilter/nf_log.h)

use crate::{
    bindings,
    sys::{
        call,
        field::Memory,
        hook::{
            self,
            State, //
        },
        module,
        skb::Skb, //
    },
};

#[allow(
    clashing_extern_declarations,
    improper_ctypes,
    reason = "the bindings have pointers where these have references"
)]
unsafe extern "C" {
    safe fn rct_log_formatted(state: &State, skb: &Skb, proto: u8, text: &Formatted);
}

/// A format of C's with its arguments, `struct va_format`.
///
/// # Invariants
///
/// The arguments are those of the format, and were not read yet.
#[repr(transparent)]
pub(crate) struct Formatted(Memory<bindings::va_format>);

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

/// Writes a line about a packet: the number of its protocol, and a text of C's. As [`packet`].
pub(crate) fn formatted(skb: &Skb, state: &State, proto: u8, text: &Formatted) {
    rct_log_formatted(state, skb, proto, text);
}

/// Loads the module that writes to the kernel's log, unless there is a logger already. Process
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
