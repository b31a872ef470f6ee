// SPDX-License-Identifier: GPL-2.0

//! The GRE header (RFC 2784), and the enhanced one that PPTP uses (RFC 2637 section 4.1).

use crate::pure::wire::Packet;
use zerocopy::byteorder::big_endian::U16;
use zerocopy_derive::FromBytes;

/// Bits of [`Gre::flags_version`] that hold the version.
const VERSION: u16 = 0x7;

/// The version of the enhanced header.
const VERSION_PPTP: u16 = 1;

/// The only payload that PPTP carries (RFC 2637 section 4.1).
pub(crate) const PROTO_PPP: u16 = 0x880b;

/// What every GRE header begins with.
#[derive(Clone, Copy, Debug, FromBytes)]
#[repr(C)]
pub(crate) struct Gre {
    flags_version: U16,
    /// Ethertype of the payload.
    pub(crate) proto: U16,
}

impl Gre {
    /// Reads the header at `offset`; `None` if the packet ends before it does.
    pub(crate) fn read<P: Packet>(pkt: &P, offset: u32) -> Option<Self> {
        let bytes = pkt.read::<{ size_of::<Self>() }>(offset)?;
        Some(zerocopy::transmute!(bytes))
    }

    /// Returns whether this is the enhanced header of PPTP, which a [`Pptp`] follows.
    fn is_pptp(&self) -> bool {
        self.flags_version.get() & VERSION == VERSION_PPTP
    }
}

/// The header at `offset` of a packet of a PPTP call, whose number at the receiver may be zero;
/// `None` of plain GRE, and if the packet ends before it does.
pub(crate) fn read_call<P: Packet>(pkt: &P, offset: u32) -> Option<(Gre, Pptp)> {
    let hdr = Gre::read(pkt, offset).filter(Gre::is_pptp)?;
    Some((hdr, Pptp::read(pkt, offset)?))
}

/// Returns whether the GRE header at `offset` is that of a PPTP call.
pub(crate) fn is_call<P: Packet>(pkt: &P, offset: u32) -> bool {
    read_call(pkt, offset).is_some()
}

/// The second word of the enhanced header.
#[derive(Clone, Copy, Debug, FromBytes)]
#[repr(C)]
pub(crate) struct Pptp {
    _payload_len: U16,
    /// Names the session at the receiver.
    pub(crate) call_id: U16,
}

impl Pptp {
    /// Reads the word behind the [`Gre`] header at `offset`; `None` if the packet ends before it
    /// does.
    pub(crate) fn read<P: Packet>(pkt: &P, offset: u32) -> Option<Self> {
        let offset = offset.checked_add(size_of::<Gre>() as u32)?;
        let bytes = pkt.read::<{ size_of::<Self>() }>(offset)?;
        Some(zerocopy::transmute!(bytes))
    }
}
