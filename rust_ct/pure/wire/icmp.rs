// SPDX-License-Identifier: GPL-2.0

//! The ICMP and ICMPv6 headers (RFC 792, RFC 4443), which share their layout, and their message
//! types.

use crate::pure::wire::{
    Family,
    Packet, //
};
use zerocopy::byteorder::big_endian::U16;
use zerocopy_derive::FromBytes;

/// ICMP message types (IANA, as in include/uapi/linux/icmp.h).
pub(crate) mod v4 {
    /// Echo reply.
    pub(crate) const ECHO_REPLY: u8 = 0;
    /// Destination unreachable, an error.
    pub(crate) const DEST_UNREACHABLE: u8 = 3;
    /// Source quench, an error.
    pub(crate) const SOURCE_QUENCH: u8 = 4;
    /// Redirect, an error.
    pub(crate) const REDIRECT: u8 = 5;
    /// Echo request.
    pub(crate) const ECHO_REQUEST: u8 = 8;
    /// Time exceeded, an error.
    pub(crate) const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem, an error.
    pub(crate) const PARAMETER_PROBLEM: u8 = 12;
    /// Timestamp request.
    pub(crate) const TIMESTAMP_REQUEST: u8 = 13;
    /// Timestamp reply.
    pub(crate) const TIMESTAMP_REPLY: u8 = 14;
    /// Information request.
    pub(crate) const INFO_REQUEST: u8 = 15;
    /// Information reply.
    pub(crate) const INFO_REPLY: u8 = 16;
    /// Address mask request.
    pub(crate) const ADDRESS_REQUEST: u8 = 17;
    /// Address mask reply.
    pub(crate) const ADDRESS_REPLY: u8 = 18;
    /// The highest type known; RFC 1122 section 3.2.2 wants higher ones discarded.
    pub(crate) const HIGHEST: u8 = ADDRESS_REPLY;
}

/// ICMPv6 message types (IANA, as in include/uapi/linux/icmpv6.h and include/net/ndisc.h).
pub(crate) mod v6 {
    /// Echo request; all types below [`FIRST_INFORMATIONAL`] are errors.
    pub(crate) const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub(crate) const ECHO_REPLY: u8 = 129;
    /// Multicast listener query.
    pub(crate) const MLD_QUERY: u8 = 130;
    /// Multicast listener report, version 1.
    pub(crate) const MLD_REPORT: u8 = 131;
    /// Multicast listener done.
    pub(crate) const MLD_DONE: u8 = 132;
    /// Router solicitation.
    pub(crate) const ROUTER_SOLICITATION: u8 = 133;
    /// Router advertisement.
    pub(crate) const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Neighbour solicitation.
    pub(crate) const NEIGHBOUR_SOLICITATION: u8 = 135;
    /// Neighbour advertisement.
    pub(crate) const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    /// Redirect.
    pub(crate) const REDIRECT: u8 = 137;
    /// Node information query (RFC 4620).
    pub(crate) const NODE_INFO_QUERY: u8 = 139;
    /// Node information reply (RFC 4620).
    pub(crate) const NODE_INFO_REPLY: u8 = 140;
    /// Multicast listener report, version 2.
    pub(crate) const MLD2_REPORT: u8 = 143;
    /// Multicast router advertisement (RFC 4286).
    pub(crate) const MROUTER_ADVERTISEMENT: u8 = 151;
    /// Multicast router solicitation (RFC 4286).
    pub(crate) const MROUTER_SOLICITATION: u8 = 152;
    /// The lowest type that is not an error (RFC 4443 section 2.1).
    pub(crate) const FIRST_INFORMATIONAL: u8 = 128;
}

/// The eight bytes that every ICMP and ICMPv6 message begins with.
#[derive(Clone, Copy, Debug, FromBytes)]
#[repr(C)]
pub(crate) struct Icmp {
    /// Message type, see [`v4`] and [`v6`].
    pub(crate) kind: u8,
    /// Code, whose meaning depends on the type.
    pub(crate) code: u8,
    _checksum: U16,
    /// Identifier of a query, which its reply repeats.
    pub(crate) id: U16,
    _sequence: U16,
}

impl Icmp {
    /// Reads the header at `offset`; `None` if the packet ends before it does.
    pub(crate) fn read<P: Packet>(pkt: &P, offset: u32) -> Option<Self> {
        let bytes = pkt.read::<{ size_of::<Self>() }>(offset)?;
        Some(zerocopy::transmute!(bytes))
    }
}

/// The message type that answers the query `kind`, and the query that `kind` answers.
///
/// `None` for a message that is neither: it begins no connection and belongs to none.
/// Source: `invmap` in net/netfilter/nf_conntrack_proto_icmp.c and nf_conntrack_proto_icmpv6.c.
pub(crate) const fn counterpart(family: Family, kind: u8) -> Option<u8> {
    Some(match (family, kind) {
        (Family::Ipv4, v4::ECHO_REQUEST) => v4::ECHO_REPLY,
        (Family::Ipv4, v4::ECHO_REPLY) => v4::ECHO_REQUEST,
        (Family::Ipv4, v4::TIMESTAMP_REQUEST) => v4::TIMESTAMP_REPLY,
        (Family::Ipv4, v4::TIMESTAMP_REPLY) => v4::TIMESTAMP_REQUEST,
        (Family::Ipv4, v4::INFO_REQUEST) => v4::INFO_REPLY,
        (Family::Ipv4, v4::INFO_REPLY) => v4::INFO_REQUEST,
        (Family::Ipv4, v4::ADDRESS_REQUEST) => v4::ADDRESS_REPLY,
        (Family::Ipv4, v4::ADDRESS_REPLY) => v4::ADDRESS_REQUEST,
        (Family::Ipv6, v6::ECHO_REQUEST) => v6::ECHO_REPLY,
        (Family::Ipv6, v6::ECHO_REPLY) => v6::ECHO_REQUEST,
        (Family::Ipv6, v6::NODE_INFO_QUERY) => v6::NODE_INFO_REPLY,
        (Family::Ipv6, v6::NODE_INFO_REPLY) => v6::NODE_INFO_QUERY,
        _ => return None,
    })
}

/// Returns whether a message of this type asks for an answer, and so may begin a connection.
pub(crate) const fn is_query(family: Family, kind: u8) -> bool {
    match family {
        Family::Ipv4 => matches!(
            kind,
            v4::ECHO_REQUEST | v4::TIMESTAMP_REQUEST | v4::INFO_REQUEST | v4::ADDRESS_REQUEST
        ),
        Family::Ipv6 => matches!(kind, v6::ECHO_REQUEST | v6::NODE_INFO_QUERY),
    }
}
