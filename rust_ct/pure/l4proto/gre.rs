// SPDX-License-Identifier: GPL-2.0

//! The tracker of GRE, plain and as PPTP uses it.

use crate::pure::{
    l4proto::{
        Input,
        Outcome, //
    },
    state::Status,
    timeout::{
        slot,
        REPLIED,
        UNREPLIED, //
    },
};
use zerocopy_derive::FromBytes;

/// The private state, laid out as the kernel's `struct nf_ct_gre`.
///
/// The timeouts are kept in the connection, because the PPTP helper lengthens them.
#[derive(Clone, Copy, Debug, Default, FromBytes)]
#[repr(C)]
pub(crate) struct Proto {
    /// Timeout once packets were seen in both directions, in jiffies.
    pub(crate) stream_timeout: u32,
    /// Timeout before that, in jiffies.
    pub(crate) timeout: u32,
}

const _: () = assert!(size_of::<Proto>() == 8);

/// Judges a packet.
///
/// Source: net/netfilter/nf_conntrack_proto_gre.c, nf_conntrack_gre_packet().
pub(crate) fn track(proto: &mut Proto, input: &Input, timeouts: &[u32; 2]) -> Outcome {
    if !input.confirmed() {
        proto.stream_timeout = slot(timeouts, REPLIED);
        proto.timeout = slot(timeouts, UNREPLIED);
    }

    if !input.seen_reply() {
        return Outcome::refresh(proto.timeout);
    }

    let mut outcome = Outcome::refresh(proto.stream_timeout);
    // An entry that lost a clash is not findable in the original direction, and is to go away soon.
    outcome.assured = !input.assured() && !input.status.contains(Status::NAT_CLASH);
    outcome
}
