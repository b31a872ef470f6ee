// SPDX-License-Identifier: GPL-2.0

//! The tracker of ICMP and ICMPv6 queries and their answers.
//!
//! Errors do not get here: they belong to the connection that they are about, see
//! [`crate::pure::l4proto::icmp_error`].

use crate::pure::{
    l4proto::{
        Context,
        Ids,
        Input,
        L4Proto,
        Outcome, //
    },
    reason::Reason,
    timeout::Setting,
    tuple::Tuple,
    wire::{
        icmp,
        ipproto,
        Family,
        Packet,
        L4, //
    },
};

/// ICMP.
pub(crate) struct Icmp;

impl L4Proto for Icmp {
    const NUMBER: u8 = ipproto::ICMP;
    const NAME: &'static str = "icmp";
    const IDS: Ids = Ids::Icmp(Family::Ipv4, Reason::IcmpShort);
    /// Source: net/netfilter/nf_conntrack_proto_icmp.c.
    const TIMEOUTS: &'static [Setting] = &[Setting::new(c"nf_conntrack_icmp_timeout", 30)];

    type Timeouts = [u32; 1];
    type Header = ();
    type Private = ();

    #[inline(always)]
    fn read<P: Packet>(
        _pkt: &P,
        _l4: &L4,
        _family: Family,
        _verify_checksum: bool,
    ) -> Result<(), Reason> {
        Ok(())
    }

    #[inline(always)]
    fn track<C: Context>(
        _private: &mut (),
        _header: &(),
        input: &Input,
        timeouts: &Self::Timeouts,
        context: &mut C,
    ) -> Outcome {
        track(input, context.family(), &context.original(), timeouts)
    }
}

/// ICMPv6.
pub(crate) struct Icmpv6;

impl L4Proto for Icmpv6 {
    const NUMBER: u8 = ipproto::ICMPV6;
    const NAME: &'static str = "icmpv6";
    const IDS: Ids = Ids::Icmp(Family::Ipv6, Reason::Icmpv6Short);
    /// Source: net/netfilter/nf_conntrack_proto_icmpv6.c.
    const TIMEOUTS: &'static [Setting] = &[Setting::new(c"nf_conntrack_icmpv6_timeout", 30)];

    type Timeouts = [u32; 1];
    type Header = ();
    type Private = ();

    #[inline(always)]
    fn read<P: Packet>(
        _pkt: &P,
        _l4: &L4,
        _family: Family,
        _verify_checksum: bool,
    ) -> Result<(), Reason> {
        Ok(())
    }

    #[inline(always)]
    fn track<C: Context>(
        _private: &mut (),
        _header: &(),
        input: &Input,
        timeouts: &Self::Timeouts,
        context: &mut C,
    ) -> Outcome {
        track(input, context.family(), &context.original(), timeouts)
    }
}

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
