// SPDX-License-Identifier: GPL-2.0

//! A packet as pure code sees it: bytes that can be copied out, of a family, with a transport
//! header somewhere.

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

/// A network header without options or extension headers, as that of most packets is.
pub(crate) trait Plain: Sized {
    /// The family of such packets.
    const FAMILY: Family;

    /// Where the transport header is in a packet of a protocol that begins with this header.
    #[inline(always)]
    fn l4(proto: u8) -> L4 {
        // CAST: The size of a header.
        L4 {
            proto,
            offset: size_of::<Self>() as u32,
        }
    }
}

/// What a transport header's checksum is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// The sum of the Internet protocols (RFC 1071).
    Internet,
    /// The CRC32c (RFC 9260 appendix A).
    Crc32c,
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

    /// `len` bytes from `offset` on, if the packet holds them in one piece; `None` says nothing.
    fn piece(&self, _offset: u32, _len: usize) -> Option<&[u8]> {
        None
    }

    /// Returns whether the checksum of the transport header at `l4.offset` is right, pseudo header
    /// included.
    fn checksum_ok(&self, checksum: Checksum, l4: &L4, family: Family) -> bool;

    /// Returns whether the packet stands for several segments (GSO), the only kind that may be
    /// longer than 64 KiB.
    fn is_gso(&self) -> bool {
        false
    }
}

/// Where the transport header of a packet is, and of which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct L4 {
    /// Protocol number, see [`crate::pure::wire::ipproto`].
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
