// SPDX-License-Identifier: GPL-2.0

//! The IPv4 header (RFC 791).

use crate::pure::{
    reason::Reason,
    wire::{
        Family,
        Packet,
        Plain,
        L4, //
    },
};
use zerocopy::byteorder::big_endian::U16;
use zerocopy_derive::FromBytes;

/// Bits of [`Ipv4::frag`] that hold the fragment offset, in units of eight bytes.
const FRAG_OFFSET: u16 = 0x1fff;

/// Bit of [`Ipv4::frag`] that says that more fragments follow.
const FRAG_MORE: u16 = 0x2000;

/// The fixed part of an IPv4 header.
#[derive(Clone, Copy, Debug, FromBytes)]
#[repr(C)]
pub(crate) struct Ipv4 {
    version_ihl: u8,
    _tos: u8,
    _total_len: U16,
    _id: U16,
    frag: U16,
    _ttl: u8,
    /// Transport protocol.
    pub(crate) proto: u8,
    _checksum: U16,
    /// Source address.
    pub(crate) saddr: [u8; 4],
    /// Destination address.
    pub(crate) daddr: [u8; 4],
}

impl Plain for Ipv4 {
    const FAMILY: Family = Family::Ipv4;
}

impl Ipv4 {
    /// Reads the header at `offset`; `None` if the packet ends before it does.
    #[inline]
    pub(crate) fn read<P: Packet>(pkt: &P, offset: u32) -> Option<Self> {
        let bytes = pkt.read::<{ size_of::<Self>() }>(offset)?;
        Some(zerocopy::transmute!(bytes))
    }

    /// Returns whether this is the header of a fragment, be it the first one.
    ///
    /// Source: include/net/ip.h, ip_is_fragment().
    pub(crate) fn is_fragment(&self) -> bool {
        self.frag.get() & (FRAG_OFFSET | FRAG_MORE) != 0
    }

    /// The transport protocol, if its header is right behind this one, which has no options.
    #[inline(always)]
    pub(super) fn plain_proto(&self) -> Option<u8> {
        let plain = self.header_len() == size_of::<Self>() as u32;
        (plain && self.frag.get() & FRAG_OFFSET == 0).then_some(self.proto)
    }

    /// Length of the header in bytes, options included.
    fn header_len(&self) -> u32 {
        u32::from(self.version_ihl & 0xf) << 2
    }
}

/// Finds the transport header behind the IPv4 header at `nhoff`.
///
/// Version, and a length below five words, are not looked at: ip_rcv() has done so for the packet
/// itself, unless it comes from act_ct or Open vSwitch, and the packet inside an ICMP error is
/// looked up with whatever can be read.
/// Source: net/netfilter/nf_conntrack_core.c, ipv4_get_l4proto().
///
/// # Errors
///
/// As [`crate::pure::wire::l4`].
pub(crate) fn l4<P: Packet>(pkt: &P, nhoff: u32) -> Result<L4, Reason> {
    let ip = Ipv4::read(pkt, nhoff).ok_or(Reason::IpShort)?;
    if ip.frag.get() & FRAG_OFFSET != 0 {
        return Err(Reason::IpFragment);
    }
    match nhoff.checked_add(ip.header_len()) {
        // A header of no length at the packet's beginning, as act_ct may hand it on.
        Some(offset) if offset != 0 && offset <= pkt.len() => Ok(L4 {
            proto: ip.proto,
            offset,
        }),
        _ => Err(Reason::IpHeaderLength),
    }
}
