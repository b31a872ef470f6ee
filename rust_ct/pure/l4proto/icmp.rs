// SPDX-License-Identifier: GPL-2.0

//! The tracker of ICMP and ICMPv6 queries and their answers.
//!
//! Errors do not get here: they belong to the connection that they are about, see
//! [`crate::pure::l4proto::icmp_error`].

use crate::pure::{
    l4proto::{
        Input,
        Outcome, //
    },
    reason::Reason,
    tuple::Tuple,
    wire::{
        icmp,
        ipproto,
        Family, //
    },
};

/// Judges a packet of the connection whose tuple in the original direction is `original`.
///
/// Only a query begins a connection. For ICMP every packet is asked, because a connection could
/// have come from elsewhere; for ICMPv6 only while the connection is new.
///
/// Source: nf_conntrack_icmp_packet() in net/netfilter/nf_conntrack_proto_icmp.c and
/// nf_conntrack_icmpv6_packet() in nf_conntrack_proto_icmpv6.c.
pub(crate) fn track(
    input: &Input,
    family: Family,
    original: &Tuple,
    timeouts: &[u32; 1],
) -> Outcome {
    let (own, ask) = match original.proto() {
        ipproto::ICMP => (Family::Ipv4, true),
        _ => (Family::Ipv6, !input.confirmed()),
    };

    if family != own {
        return Outcome::invalid(Reason::IcmpFamily);
    }
    if ask && !icmp::is_query(family, original.icmp_type()) {
        return Outcome::invalid(Reason::IcmpNew);
    }

    let [timeout] = *timeouts;
    Outcome::refresh(timeout)
}
