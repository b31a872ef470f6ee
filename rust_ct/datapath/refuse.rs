// SPDX-License-Identifier: GPL-2.0

//! A packet that goes on without a connection, or not at all: it is counted, logged and traced.

use crate::{
    datapath::{
        bytes::Bytes,
        headers::whole_tuple, //
    },
    object::{
        netns::Netns,
        setting,
        stat::Stat,
        trace, //
    },
    pure::{
        fate::Refused,
        reason::Reason,
        tuple::Tuple,
        wire::{
            ipproto,
            Family, //
        },
    },
    sys::{
        hook::{
            State,
            Verdict, //
        },
        log,
        skb::Skb,
        trace::{
            Dropped,
            Invalid, //
        },
    },
};

/// Why a packet goes on without a connection, or not at all.
pub(super) enum Refusal {
    /// It is INVALID: rules decide.
    Invalid(Reason),
    /// It is an ICMP error that is INVALID.
    Error(Reason),
    /// It is dropped, because a tracker says so.
    Drop(Reason),
    /// It is dropped, because its connection is refused.
    Refused(Refused),
}

/// What becomes of a packet whose connection was not found, or refuses it.
#[cold]
#[inline(never)]
pub(super) fn refuse(netns: &Netns, skb: &Skb, state: &State, refusal: &Refusal) -> Verdict {
    let (stats, net) = (&netns.stats, state.net());
    let tuple = || readable_tuple(netns, skb, state);
    match *refusal {
        Refusal::Invalid(reason) => {
            stats.count(Stat::Invalid);
            remark(netns, skb, state, reason);
            trace::packet::<Invalid>(skb, Some(state), net, tuple, reason.name());
            Verdict::ACCEPT
        }
        Refusal::Error(reason) => {
            stats.count(Stat::Error);
            remark(netns, skb, state, reason);
            trace::packet::<Invalid>(skb, Some(state), net, tuple, reason.name());
            Verdict::ACCEPT
        }
        Refusal::Drop(reason) => {
            stats.count(Stat::Invalid);
            stats.count(Stat::Drop);
            remark(netns, skb, state, reason);
            trace::packet::<Dropped>(skb, Some(state), net, tuple, reason.name());
            Verdict::DROP
        }
        Refusal::Refused(why) => {
            stats.count(Stat::Drop);
            trace::packet::<Dropped>(skb, Some(state), net, tuple, why.word());
            Verdict::DROP
        }
    }
}

/// The tuple of a packet, as far as it can be read: without ports, where there are none.
fn readable_tuple(netns: &Netns, skb: &Skb, state: &State) -> Option<Tuple> {
    let family = Family::from_nfproto(state.nfproto().into())?;
    let nhoff = u32::try_from(skb.network_offset()).ok()?;
    whole_tuple(netns, skb, nhoff, family).or_else(|| {
        let tuple = Tuple::of_addresses(&Bytes::of(skb, state), nhoff, family)?;
        Some(tuple.with_proto(transport(skb, state).unwrap_or(tuple.proto())))
    })
}

/// Counts a reason for which a packet is INVALID, dropped or without effect, and logs it if that is
/// asked for. No lock is held.
pub(super) fn remark(netns: &Netns, skb: &Skb, state: &State, reason: Reason) {
    netns.stats.count_reason(reason);
    let wanted = setting::LOG_INVALID.get(state.net());
    if wanted == 0 {
        return;
    }
    let proto = transport(skb, state).unwrap_or(0);
    if wanted == ipproto::RAW || wanted == proto {
        log::packet(skb, state, proto, reason.name(), reason.describe());
    }
}

/// The number of a packet's transport protocol, as far as it can be told.
fn transport(skb: &Skb, state: &State) -> Option<u8> {
    let family = Family::from_nfproto(state.nfproto().into())?;
    Some(Bytes::of(skb, state).l4(family)?.proto)
}
