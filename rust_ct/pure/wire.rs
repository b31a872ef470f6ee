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
pub(crate) mod sctp;
pub(crate) mod tcp;
pub(crate) mod udp;

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

/// Address family of a packet, with the number that netfilter uses for it (`NFPROTO_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Family {
    /// IPv4, `NFPROTO_IPV4`.
    Ipv4 = 2,
    /// IPv6, `NFPROTO_IPV6`.
    Ipv6 = 10,
}

impl Family {
    /// The family that a netfilter protocol number stands for; `None` for families that are not
    /// tracked.
    pub(crate) const fn from_nfproto(nfproto: u16) -> Option<Self> {
        match nfproto {
            2 => Some(Self::Ipv4),
            10 => Some(Self::Ipv6),
            _ => None,
        }
    }

    /// The netfilter protocol number (`NFPROTO_*`), in host order.
    pub(crate) const fn nfproto(self) -> u16 {
        match self {
            Self::Ipv4 => 2,
            Self::Ipv6 => 10,
        }
    }
}

/// A packet whose bytes can be copied out.
///
/// Offsets count from the same origin as in `skb_copy_bits`: the start of the packet's data, which
/// at the IP layer is the network header.
pub(crate) trait Packet {
    /// Number of bytes in the packet, linear or not.
    fn len(&self) -> u32;

    /// Copies `N` bytes from `offset` on; `None` if the packet does not hold all of them.
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;

    /// Returns whether the checksum of the transport header at `l4.offset` is right, pseudo header
    /// included.
    ///
    /// Only called for a protocol that has a checksum: TCP, UDP, ICMP, ICMPv6, and SCTP with its
    /// CRC32c.
    fn checksum_ok(&self, l4: &L4, family: Family) -> bool;

    /// Returns whether the packet stands for several segments (GSO), the only kind that may be
    /// longer than 64 KiB.
    fn is_gso(&self) -> bool {
        false
    }
}

/// Where the transport header of a packet is, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct L4 {
    /// Protocol number, see [`ipproto`].
    pub(crate) proto: u8,
    /// Offset of the transport header in bytes. It may lie behind the packet's end, where an IPv6
    /// extension header says so.
    pub(crate) offset: u32,
}

impl L4 {
    /// Number of bytes from the transport header to the end of the packet.
    pub(crate) fn len<P: Packet>(&self, pkt: &P) -> u32 {
        pkt.len().saturating_sub(self.offset)
    }
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
