// SPDX-License-Identifier: GPL-2.0

//! The IPv6 header and its extension headers (RFC 8200).

use crate::pure::{
    reason::Reason,
    wire::{
        Family,
        Packet,
        Plain,
        L4, //
    },
};
use zerocopy::byteorder::big_endian::{
    U16,
    U32, //
};
use zerocopy_derive::FromBytes;

/// The most extension headers that are walked, as in include/net/ipv6.h, IP6_MAX_EXT_HDRS_CNT.
const MAX_EXT_HEADERS: usize = 12;

/// Bits of [`Fragment::offset_flags`] that hold the fragment offset, in units of eight bytes.
const FRAG_OFFSET: u16 = !0x7;

/// Next header values that announce an extension header (IANA).
mod nexthdr {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const AUTH: u8 = 51;
    pub(super) const NONE: u8 = 59;
    pub(super) const DEST_OPTIONS: u8 = 60;
}

/// The fixed IPv6 header.
#[derive(Clone, Copy, Debug, FromBytes)]
#[repr(C)]
pub(crate) struct Ipv6 {
    _version_class_flow: U32,
    _payload_len: U16,
    /// Transport protocol, or number of the first extension header.
    pub(crate) nexthdr: u8,
    /// Hop limit; 255 proves that no router has forwarded the packet.
    pub(crate) hop_limit: u8,
    /// Source address.
    pub(crate) saddr: [u8; 16],
    /// Destination address.
    pub(crate) daddr: [u8; 16],
}

impl Plain for Ipv6 {
    const FAMILY: Family = Family::Ipv6;
}

impl Ipv6 {
    /// Reads the header at `offset`; `None` if the packet ends before it does.
    #[inline]
    pub(crate) fn read<P: Packet>(pkt: &P, offset: u32) -> Option<Self> {
        let bytes = pkt.read::<{ size_of::<Self>() }>(offset)?;
        Some(zerocopy::transmute!(bytes))
    }

    /// Returns whether the source address is link-local: fe80::/10, or a multicast group of that
    /// scope.
    ///
    /// Source: net/ipv6/addrconf_core.c, __ipv6_addr_type().
    pub(crate) fn saddr_is_link_local(&self) -> bool {
        let [first, second, ..] = self.saddr;
        let start = u16::from_be_bytes([first, second]);
        start & 0xffc0 == 0xfe80 || start & 0xff0f == 0xff02
    }
}

/// What all extension headers begin with.
#[derive(Clone, Copy, FromBytes)]
#[repr(C)]
struct Extension {
    nexthdr: u8,
    len: u8,
}

impl Extension {
    fn read<P: Packet>(pkt: &P, offset: u32) -> Option<Self> {
        let bytes = pkt.read::<{ size_of::<Self>() }>(offset)?;
        Some(zerocopy::transmute!(bytes))
    }
}

/// The first half of the fragment extension header (RFC 8200 section 4.5).
#[derive(Clone, Copy, FromBytes)]
#[repr(C)]
struct Fragment {
    nexthdr: u8,
    _reserved: u8,
    offset_flags: U16,
}

/// Length of the fragment extension header.
const FRAGMENT_LEN: u32 = 8;

impl Fragment {
    fn read<P: Packet>(pkt: &P, offset: u32) -> Option<Self> {
        let bytes = pkt.read::<{ size_of::<Self>() }>(offset)?;
        Some(zerocopy::transmute!(bytes))
    }
}

/// Finds the transport header behind the IPv6 header at `nhoff` and its extension headers.
///
/// Source: net/netfilter/nf_conntrack_core.c, ipv6_get_l4proto(), and net/ipv6/exthdrs_core.c,
/// ipv6_skip_exthdr(): an encapsulating security payload (ESP) counts as a transport protocol, a
/// first fragment is looked into, the number of extension headers is bounded. The version is not
/// looked at, and the last extension header may end behind the packet: then nothing can be read
/// there.
///
/// # Errors
///
/// As [`crate::pure::wire::l4`].
pub(crate) fn l4<P: Packet>(pkt: &P, nhoff: u32) -> Result<L4, Reason> {
    let ip = Ipv6::read(pkt, nhoff).ok_or(Reason::IpShort)?;

    let mut l4 = L4 {
        proto: ip.nexthdr,
        offset: nhoff
            .checked_add(size_of::<Ipv6>() as u32)
            .ok_or(Reason::IpShort)?,
    };

    for _ in 0..=MAX_EXT_HEADERS {
        match skip(pkt, &l4)? {
            Some(behind) => l4 = behind,
            None => return Ok(l4),
        }
    }
    Err(Reason::Ipv6TooManyHeaders)
}

/// Steps over the extension header at `here`; `None` if a transport header is there.
fn skip<P: Packet>(pkt: &P, here: &L4) -> Result<Option<L4>, Reason> {
    let (proto, len) = match here.proto {
        nexthdr::NONE => return Err(Reason::Ipv6NoNextHeader),
        nexthdr::FRAGMENT => {
            let hdr = Fragment::read(pkt, here.offset).ok_or(Reason::Ipv6ExtensionShort)?;
            if hdr.offset_flags.get() & FRAG_OFFSET != 0 {
                return Err(Reason::IpFragment);
            }
            (hdr.nexthdr, FRAGMENT_LEN)
        }
        nexthdr::AUTH => {
            let hdr = Extension::read(pkt, here.offset).ok_or(Reason::Ipv6ExtensionShort)?;
            (hdr.nexthdr, (u32::from(hdr.len) + 2) << 2)
        }
        nexthdr::HOP_BY_HOP | nexthdr::ROUTING | nexthdr::DEST_OPTIONS => {
            let hdr = Extension::read(pkt, here.offset).ok_or(Reason::Ipv6ExtensionShort)?;
            (hdr.nexthdr, (u32::from(hdr.len) + 1) << 3)
        }
        _ => return Ok(None),
    };

    match here.offset.checked_add(len) {
        Some(offset) => Ok(Some(L4 { proto, offset })),
        None => Err(Reason::Ipv6ExtensionShort),
    }
}
