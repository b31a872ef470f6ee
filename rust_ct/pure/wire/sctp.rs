// SPDX-License-Identifier: GPL-2.0

//! The SCTP header and its chunks (RFC 9260).

use crate::pure::{
    reason::Reason,
    wire::{
        Checksum,
        Family,
        Packet,
        L4, //
    },
};
use zerocopy::byteorder::big_endian::U16;
use zerocopy_derive::FromBytes;

/// The flag of a chunk whose sender knows no association and repeats the tag it was sent (the T
/// bit).
const FLAG_TAG_REFLECTED: u8 = 0x01;

/// A verification tag, in network order; tags are only ever compared.
pub(crate) type Tag = [u8; 4];

/// The common header.
#[derive(Clone, Copy, Debug, FromBytes)]
#[repr(C)]
struct Header {
    _sport: U16,
    _dport: U16,
    tag: Tag,
    _checksum: [u8; 4],
}

impl Header {
    fn read<P: Packet>(pkt: &P, offset: u32) -> Option<Self> {
        let bytes = pkt.read::<{ size_of::<Self>() }>(offset)?;
        Some(zerocopy::transmute!(bytes))
    }
}

/// What all chunks begin with.
#[derive(Clone, Copy, Debug, FromBytes)]
#[repr(C)]
struct ChunkHeader {
    kind: u8,
    flags: u8,
    len: U16,
}

impl ChunkHeader {
    fn read<P: Packet>(pkt: &P, offset: u32) -> Option<Self> {
        let bytes = pkt.read::<{ size_of::<Self>() }>(offset)?;
        Some(zerocopy::transmute!(bytes))
    }
}

/// The fixed part of an INIT or INIT ACK chunk, behind the chunk header (RFC 9260 section 3.3.2).
#[derive(Clone, Copy, Debug, FromBytes)]
#[repr(C)]
struct Init {
    tag: Tag,
    _window: [u8; 4],
    _streams_out: U16,
    _streams_in: U16,
    _tsn: [u8; 4],
}

impl Init {
    fn read<P: Packet>(pkt: &P, offset: u32) -> Option<Self> {
        let bytes = pkt.read::<{ size_of::<Self>() }>(offset)?;
        Some(zerocopy::transmute!(bytes))
    }
}

/// The kind of a chunk, as far as tracking tells them apart; the values are those on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Payload.
    Data = 0,
    /// Opens an association.
    Init = 1,
    /// Answers INIT.
    InitAck = 2,
    /// Asks whether a path works.
    Heartbeat = 4,
    /// Answers HEARTBEAT.
    HeartbeatAck = 5,
    /// Ends the association at once.
    Abort = 6,
    /// Ends the association in order.
    Shutdown = 7,
    /// Answers SHUTDOWN.
    ShutdownAck = 8,
    /// Reports an error.
    Error = 9,
    /// Returns the cookie of INIT ACK.
    CookieEcho = 10,
    /// Answers COOKIE ECHO.
    CookieAck = 11,
    /// Answers SHUTDOWN ACK.
    ShutdownComplete = 14,
    /// Any other.
    Other = 15,
}

impl Kind {
    const fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Data,
            1 => Self::Init,
            2 => Self::InitAck,
            4 => Self::Heartbeat,
            5 => Self::HeartbeatAck,
            6 => Self::Abort,
            7 => Self::Shutdown,
            8 => Self::ShutdownAck,
            9 => Self::Error,
            10 => Self::CookieEcho,
            11 => Self::CookieAck,
            14 => Self::ShutdownComplete,
            _ => Self::Other,
        }
    }

    /// Returns whether a chunk of this kind must be alone in its packet (RFC 9260 section 6.10).
    const fn is_alone(self) -> bool {
        matches!(self, Self::Init | Self::InitAck | Self::ShutdownComplete)
    }

    /// Returns whether a chunk of this kind must be the first in its packet.
    const fn is_first(self) -> bool {
        self.is_alone() || matches!(self, Self::CookieEcho | Self::CookieAck)
    }
}

/// A set of kinds of chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u16);

impl Kinds {
    /// The set of some kinds.
    pub(crate) const fn of<const N: usize>(kinds: &[Kind; N]) -> Self {
        let mut set = 0;
        let mut rest: &[Kind] = kinds;
        while let [kind, more @ ..] = rest {
            set |= 1 << *kind as u8;
            rest = more;
        }
        Self(set)
    }

    /// Returns whether the sets have a kind in common.
    pub(crate) const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns whether a kind is in the set.
    pub(crate) const fn has(self, kind: Kind) -> bool {
        self.intersects(Self::of(&[kind]))
    }

    fn insert(&mut self, kind: Kind) {
        self.0 |= Self::of(&[kind]).0;
    }
}

/// One chunk of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    /// What it is for.
    pub(crate) kind: Kind,
    /// The sender repeats the tag that it was sent, having none of its own.
    pub(crate) tag_reflected: bool,
    /// Length as the chunk says it, header included, padding not.
    len: u16,
    /// Where the chunk begins.
    offset: u32,
}

impl Chunk {
    /// The tag that the sender of an INIT or INIT ACK wants to be sent; `None` if the chunk is cut
    /// off.
    pub(crate) fn init_tag<P: Packet>(&self, pkt: &P) -> Option<Tag> {
        let offset = self.offset.checked_add(size_of::<ChunkHeader>() as u32)?;
        Some(Init::read(pkt, offset)?.tag)
    }
}

/// The chunks of a packet, up to the first one whose header is cut off.
///
/// Every step goes on by at least one chunk header, so there are no more steps than the packet has
/// words.
struct Chunks<'a, P: Packet> {
    pkt: &'a P,
    offset: Option<u32>,
}

impl<P: Packet> Iterator for Chunks<'_, P> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        let offset = self.offset.take()?;
        let hdr = ChunkHeader::read(self.pkt, offset)?;
        let len = hdr.len.get();
        let step = u32::from(len.max(1)).next_multiple_of(4);
        self.offset = offset.checked_add(step);
        Some(Chunk {
            kind: Kind::from_bits(hdr.kind),
            tag_reflected: hdr.flags & FLAG_TAG_REFLECTED != 0,
            len,
            offset,
        })
    }
}

/// Walks over the chunks of a packet.
pub(crate) fn chunks<'a, P: Packet>(pkt: &'a P, l4: &L4) -> impl Iterator<Item = Chunk> + 'a {
    Chunks {
        pkt,
        offset: l4.offset.checked_add(size_of::<Header>() as u32),
    }
}

/// A packet, as far as tracking needs it before it looks at the chunks one by one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sctp {
    /// The verification tag.
    pub(crate) tag: Tag,
    /// The kinds of chunks in the packet.
    pub(crate) kinds: Kinds,
}

impl Sctp {
    /// Reads the header and the kinds of the chunks of a packet, and checks its checksum if
    /// `verify_checksum` says so.
    ///
    /// Source: net/netfilter/nf_conntrack_proto_sctp.c, sctp_error() and do_basic_checks().
    ///
    /// # Errors
    ///
    /// The reason for which the packet is INVALID.
    pub(crate) fn read<P: Packet>(
        pkt: &P,
        l4: &L4,
        family: Family,
        verify_checksum: bool,
    ) -> Result<Self, Reason> {
        let hdr = Header::read(pkt, l4.offset).ok_or(Reason::SctpShort)?;
        if verify_checksum && !pkt.checksum_ok(Checksum::Crc32c, l4, family) {
            return Err(Reason::SctpChecksum);
        }
        let kinds = kinds(pkt, l4)?;
        Ok(Self {
            tag: hdr.tag,
            kinds,
        })
    }
}

/// Collects the kinds of a packet's chunks, and checks which of them may stand together.
fn kinds<P: Packet>(pkt: &P, l4: &L4) -> Result<Kinds, Reason> {
    let mut kinds = Kinds::default();
    let mut alone = false;

    for chunk in chunks(pkt, l4) {
        let first = kinds == Kinds::default();
        let misplaced = !first && (alone || chunk.kind.is_first());
        if misplaced || chunk.len == 0 {
            return Err(Reason::SctpChunk);
        }
        alone = chunk.kind.is_alone();
        kinds.insert(chunk.kind);
    }

    if kinds == Kinds::default() {
        return Err(Reason::SctpShort);
    }
    Ok(kinds)
}
