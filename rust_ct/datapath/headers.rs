// SPDX-License-Identifier: GPL-2.0

//! The headers of a packet, and the tuple that is read from them.

use crate::{
    datapath::bytes::Bytes,
    object::netns::Netns,
    pure::{
        tuple::Tuple,
        wire::{
            self,
            gre,
            ipproto,
            ipv4::Ipv4,
            Family,
            Packet,
            L4, //
        },
    },
    sys::{
        hook::{
            Place,
            State, //
        },
        skb::Skb, //
    },
};

/// A packet's headers.
#[derive(Clone, Copy)]
pub(crate) struct Headers {
    pub(super) family: Family,
    /// Offset of the network header.
    pub(super) nhoff: u32,
    pub(super) l4: L4,
}

/// Returns whether a packet is an IPv4 fragment.
pub(crate) fn is_ipv4_fragment(skb: &Skb, state: &State) -> bool {
    u32::try_from(skb.network_offset())
        .ok()
        .and_then(|nhoff| Ipv4::read(&Bytes::of(skb, state), nhoff))
        .is_some_and(|ip| ip.is_fragment())
}

/// The tuple of the packet whose network header is at an offset, with all that its namespace knows
/// of it; `None` if it cannot be tracked. Any context.
///
/// Source: net/netfilter/nf_conntrack_core.c, nf_ct_get_tuplepr().
pub(crate) fn whole_tuple(netns: &Netns, skb: &Skb, nhoff: u32, family: Family) -> Option<Tuple> {
    let (tuple, l4) = tuple_at(skb, nhoff, family)?;
    let bytes = Bytes::at(skb, Place::PostRouting);
    Some(with_call(netns, tuple, || gre::is_call(&bytes, l4.offset)))
}

/// The tuple of the packet whose network header is at an offset, and its transport header.
fn tuple_at(skb: &Skb, nhoff: u32, family: Family) -> Option<(Tuple, L4)> {
    let bytes = Bytes::at(skb, Place::PostRouting);
    let l4 = wire::l4(&bytes, nhoff, family).ok()?;
    let tuple = Tuple::from_packet(&bytes, nhoff, family, &l4).ok()?;
    Some((tuple, l4))
}

/// The sequence number of the segment in a packet; `None` if there is none. Any context.
pub(crate) fn sequence_number(skb: &Skb, family: Family) -> Option<u32> {
    const SEQ: u32 = 4;
    let bytes = Bytes::at(skb, Place::PostRouting);
    let at = bytes.l4(family)?.offset.checked_add(SEQ)?;
    Some(u32::from_be_bytes(bytes.read(at)?))
}

/// The tuple of a packet with all that is known of it: the call at the sender, if it `is_call` of
/// PPTP, as plain GRE is not.
#[inline]
pub(super) fn with_call(netns: &Netns, tuple: Tuple, is_call: impl FnOnce() -> bool) -> Tuple {
    match tuple.proto() {
        ipproto::GRE if is_call() => netns.keymap.complete(&tuple),
        _ => tuple,
    }
}
