// SPDX-License-Identifier: GPL-2.0

//! ICMP and ICMPv6 messages that belong to no connection of their own: errors about other
//! connections, and the neighbour discovery that is never tracked.

use crate::pure::{
    reason::Reason,
    tuple::{
        Addr,
        Tuple, //
    },
    wire::{
        self,
        gre,
        icmp::{
            v4,
            v6,
            Icmp, //
        },
        ipproto,
        ipv4::Ipv4,
        ipv6::Ipv6,
        Checksum,
        Family,
        Packet,
        L4, //
    },
};

/// The hop limit that no router leaves on a packet.
const HOP_LIMIT_OF_NEIGHBOUR: u8 = 255;

/// Length of an ICMPv6 redirect up to its options: header, target and destination (RFC 4861 4.5).
const REDIRECT_LEN: u32 = 40;

/// The neighbour discovery option that holds the redirected packet (RFC 4861 section 4.6.3).
const OPTION_REDIRECTED: u8 = 4;

/// Length of that option up to the packet in it.
const OPTION_REDIRECTED_LEN: u32 = 8;

/// What an ICMP or ICMPv6 message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// A query or an answer, to be tracked like any other packet.
    Query,
    /// Neighbour discovery or multicast listener discovery: not tracked, on purpose.
    Untracked,
    /// An error about a packet of some connection.
    Error(Error),
}

/// An error about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Error {
    /// The tuple to look the connection up by, the inverse of that of the packet inside the error:
    /// what is found goes in the direction of the error.
    pub(crate) lookup: Tuple,
    /// Whether the packet inside is of a PPTP call.
    pub(crate) is_call: bool,
    /// The address that the error was sent to.
    outer_daddr: Addr,
}

impl Error {
    /// Returns whether the error was sent to where packets with the tuple `found` go.
    ///
    /// An error that was not does not come from a router on the connection's way.
    /// Source: net/netfilter/nf_conntrack_proto_icmp.c, nf_conntrack_inet_error().
    pub(crate) fn is_addressed_to(&self, found: &Tuple) -> bool {
        self.outer_daddr == *found.dst()
    }
}

/// Reads the message of a packet whose network header is at `nhoff`, and whose protocol is the ICMP
/// of its `family`. Its checksum is checked if `verify_checksum` says so.
///
/// Source: nf_conntrack_icmpv4_error() in net/netfilter/nf_conntrack_proto_icmp.c and
/// nf_conntrack_icmpv6_error() in nf_conntrack_proto_icmpv6.c.
///
/// # Errors
///
/// The reason for which the packet is INVALID.
pub(crate) fn parse<P: Packet>(
    pkt: &P,
    nhoff: u32,
    family: Family,
    l4: &L4,
    verify_checksum: bool,
) -> Result<Message, Reason> {
    let (short, checksum) = match family {
        Family::Ipv4 => (Reason::IcmpShort, Reason::IcmpChecksum),
        Family::Ipv6 => (Reason::Icmpv6Short, Reason::Icmpv6Checksum),
    };

    let hdr = Icmp::read(pkt, l4.offset).ok_or(short)?;
    if verify_checksum && !pkt.checksum_ok(Checksum::Internet, l4, family) {
        return Err(checksum);
    }
    let behind = l4
        .offset
        .checked_add(size_of::<Icmp>() as u32)
        .ok_or(short)?;

    match family {
        Family::Ipv4 => parse_v4(pkt, nhoff, &hdr, behind),
        Family::Ipv6 => parse_v6(pkt, nhoff, &hdr, l4.offset, behind),
    }
}

fn parse_v4<P: Packet>(pkt: &P, nhoff: u32, hdr: &Icmp, behind: u32) -> Result<Message, Reason> {
    match hdr.kind {
        v4::DEST_UNREACHABLE
        | v4::SOURCE_QUENCH
        | v4::REDIRECT
        | v4::TIME_EXCEEDED
        | v4::PARAMETER_PROBLEM => {
            let outer = Ipv4::read(pkt, nhoff).ok_or(Reason::IpShort)?;
            error_about(pkt, behind, Family::Ipv4, Addr::v4(outer.daddr))
        }
        0..=v4::HIGHEST => Ok(Message::Query),
        _ => Err(Reason::IcmpType),
    }
}

fn parse_v6<P: Packet>(
    pkt: &P,
    nhoff: u32,
    hdr: &Icmp,
    offset: u32,
    behind: u32,
) -> Result<Message, Reason> {
    match hdr.kind {
        v6::MLD_QUERY
        | v6::MLD_REPORT
        | v6::MLD_DONE
        | v6::ROUTER_SOLICITATION
        | v6::ROUTER_ADVERTISEMENT
        | v6::NEIGHBOUR_SOLICITATION
        | v6::NEIGHBOUR_ADVERTISEMENT
        | v6::MLD2_REPORT
        | v6::MROUTER_ADVERTISEMENT
        | v6::MROUTER_SOLICITATION => Ok(Message::Untracked),
        v6::REDIRECT => parse_redirect(pkt, nhoff, hdr, offset),
        v6::FIRST_INFORMATIONAL..=u8::MAX => Ok(Message::Query),
        _ => {
            let outer = Ipv6::read(pkt, nhoff).ok_or(Reason::IpShort)?;
            error_about(pkt, behind, Family::Ipv6, Addr::v6(outer.daddr))
        }
    }
}

/// Reads a redirect at `offset`, which holds the redirected packet if its sender put it there.
///
/// A redirect that does not is left to the tracker, which finds no connection in it.
/// Source: net/netfilter/nf_conntrack_proto_icmpv6.c, nf_conntrack_icmpv6_redirect().
fn parse_redirect<P: Packet>(
    pkt: &P,
    nhoff: u32,
    hdr: &Icmp,
    offset: u32,
) -> Result<Message, Reason> {
    let outer = Ipv6::read(pkt, nhoff).ok_or(Reason::IpShort)?;
    let option = offset
        .checked_add(REDIRECT_LEN)
        .filter(|&end| end <= pkt.len())
        .ok_or(Reason::Icmpv6RedirectShort)?;

    if hdr.code != 0 {
        return Ok(Message::Query);
    }
    if outer.hop_limit != HOP_LIMIT_OF_NEIGHBOUR || !outer.saddr_is_link_local() {
        return Err(Reason::Icmpv6RedirectSender);
    }

    match pkt.read(option) {
        None | Some([_, 0]) => Err(Reason::Icmpv6RedirectOption),
        Some([OPTION_REDIRECTED, _]) => {
            let inner = option
                .checked_add(OPTION_REDIRECTED_LEN)
                .ok_or(Reason::Icmpv6RedirectOption)?;
            error_about(pkt, inner, Family::Ipv6, Addr::v6(outer.daddr))
        }
        Some(_) => Ok(Message::Query),
    }
}

/// Reads the packet at `inner` that an error sent to `outer_daddr` is about.
fn error_about<P: Packet>(
    pkt: &P,
    inner: u32,
    family: Family,
    outer_daddr: Addr,
) -> Result<Message, Reason> {
    let unreadable = |_| Reason::IcmpErrorInner;
    let l4 = wire::l4(pkt, inner, family).map_err(unreadable)?;
    let tuple = Tuple::from_packet(pkt, inner, family, &l4).map_err(unreadable)?;
    let lookup = tuple.invert().ok_or(Reason::IcmpErrorInner)?;
    Ok(Message::Error(Error {
        lookup,
        is_call: l4.proto == ipproto::GRE && gre::is_call(pkt, l4.offset),
        outer_daddr,
    }))
}
