// SPDX-License-Identifier: GPL-2.0

//! The UDP header (RFC 768).

use crate::pure::wire::Packet;
use zerocopy::byteorder::big_endian::U16;
use zerocopy_derive::FromBytes;

/// A UDP header.
#[derive(Clone, Copy, Debug, FromBytes)]
#[repr(C)]
pub(crate) struct Udp {
    _sport: U16,
    _dport: U16,
    /// Length of header and data in bytes; zero in a packet that is longer than 64 KiB.
    pub(crate) len: U16,
    /// Checksum; zero if the sender made none.
    pub(crate) checksum: U16,
}

impl Udp {
    /// Reads the header at `offset`; `None` if the packet ends before it does.
    #[inline]
    pub(crate) fn read<P: Packet>(pkt: &P, offset: u32) -> Option<Self> {
        let bytes = pkt.read::<{ size_of::<Self>() }>(offset)?;
        Some(zerocopy::transmute!(bytes))
    }
}

/// The ports that TCP, UDP and SCTP all begin with.
#[derive(Clone, Copy, Debug, FromBytes)]
#[repr(C)]
pub(crate) struct Ports {
    /// Source port.
    pub(crate) sport: U16,
    /// Destination port.
    pub(crate) dport: U16,
}

impl Ports {
    /// Reads the ports at `offset`; `None` if the packet ends before they do.
    #[inline]
    pub(crate) fn read<P: Packet>(pkt: &P, offset: u32) -> Option<Self> {
        let bytes = pkt.read::<{ size_of::<Self>() }>(offset)?;
        Some(zerocopy::transmute!(bytes))
    }
}
