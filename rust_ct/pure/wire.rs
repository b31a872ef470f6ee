// SPDX-License-Identifier: GPL-2.0

//! Wire formats: what the bytes of a packet mean.
//!
//! A packet is anything that implements [`Packet`]: a socket buffer in the kernel, a byte slice in
//! the tests. Headers are copied out of it before they are looked at, so it does not matter where a
//! buffer is split, and nothing here can read past its end: every read is checked, and a failed one
//! becomes a [`Reason`].
//!
//! There is one file for each kind of header. [`l4`] finds where the transport header begins.

pub(crate) mod gre;
pub(crate) mod icmp;
pub(crate) mod ipv4;
pub(crate) mod ipv6;
mod packet;
pub(crate) mod sctp;
pub(crate) mod tcp;
pub(crate) mod udp;

pub(crate) use packet::{
    Checksum,
    Family,
    Packet,
    Plain,
    L4, //
};

use self::{
    ipv4::Ipv4,
    ipv6::Ipv6, //
};
use crate::pure::reason::Reason;

/// Protocol numbers of the IPv4 protocol field and the IPv6 next header field (IANA).
pub(crate) mod ipproto {
    /// Internet Control Message Protocol (RFC 792).
    pub(crate) const ICMP: u8 = 1;
    /// Transmission Control Protocol (RFC 9293).
    pub(crate) const TCP: u8 = 6;
    /// User Datagram Protocol (RFC 768).
    pub(crate) const UDP: u8 = 17;
    /// Generic Routing Encapsulation (RFC 2784).
    pub(crate) const GRE: u8 = 47;
    /// Internet Control Message Protocol for IPv6 (RFC 4443).
    pub(crate) const ICMPV6: u8 = 58;
    /// Stream Control Transmission Protocol (RFC 9260).
    pub(crate) const SCTP: u8 = 132;
    /// Stands for all of them where packets are to be logged (`IPPROTO_RAW`).
    pub(crate) const RAW: u8 = 255;
}

/// Finds the transport header of the packet whose network header is at `nhoff`.
///
/// Also used for the packet inside an ICMP error. Source: net/netfilter/nf_conntrack_core.c,
/// get_l4proto().
///
/// # Errors
///
/// The reason for which the packet cannot be tracked: a malformed network header, or a fragment
/// other than the first, which does not carry the transport header.
pub(crate) fn l4<P: Packet>(pkt: &P, nhoff: u32, family: Family) -> Result<L4, Reason> {
    match family {
        Family::Ipv4 => ipv4::l4(pkt, nhoff),
        Family::Ipv6 => ipv6::l4(pkt, nhoff),
    }
}

/// As [`l4`], where the transport header is right behind a network header without options or
/// extension headers, as of most packets. `None` for other packets, which may have a transport
/// header all the same.
#[inline(always)]
pub(crate) fn plain_l4<P: Packet>(pkt: &P, nhoff: u32, family: Family) -> Option<L4> {
    let (proto, len) = match family {
        Family::Ipv4 => (Ipv4::read(pkt, nhoff)?.plain_proto()?, size_of::<Ipv4>()),
        Family::Ipv6 => {
            let next = Ipv6::read(pkt, nhoff)?.nexthdr;
            let plain = matches!(next, ipproto::TCP | ipproto::UDP);
            (plain.then_some(next)?, size_of::<Ipv6>())
        }
    };
    // CAST: The size of a header.
    let offset = nhoff.checked_add(len as u32)?;
    Some(L4 { proto, offset })
}
