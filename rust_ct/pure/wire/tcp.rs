// SPDX-License-Identifier: GPL-2.0

//! The TCP header (RFC 9293) and the options that tracking needs (RFC 7323, RFC 2018).

use crate::pure::{
    reason::Reason,
    wire::{
        Checksum,
        Family,
        Packet,
        L4, //
    },
};
use zerocopy::byteorder::big_endian::{
    U16,
    U32, //
};
use zerocopy_derive::FromBytes;

/// The highest window scale (RFC 7323 section 2.3).
const MAX_SCALE: u8 = 14;

/// The most bytes that options can take.
const MAX_OPTIONS: usize = 40;

/// Bytes that a timestamp takes with the customary padding (RFC 7323 appendix A).
const ALIGNED_TIMESTAMP: usize = 12;

/// What it begins with then: two times nothing, kind and length.
const TIMESTAMP: [u8; 4] = [option::NOP, option::NOP, option::TIMESTAMP, 10];

/// Bits of the flags byte.
pub(crate) mod flag {
    /// No more data from the sender.
    pub(crate) const FIN: u8 = 0x01;
    /// Synchronize sequence numbers.
    pub(crate) const SYN: u8 = 0x02;
    /// Reset the connection.
    pub(crate) const RST: u8 = 0x04;
    /// Push.
    pub(crate) const PSH: u8 = 0x08;
    /// The acknowledgment number is valid.
    pub(crate) const ACK: u8 = 0x10;
    /// The urgent pointer is valid.
    pub(crate) const URG: u8 = 0x20;
    /// Congestion was experienced (RFC 3168).
    pub(crate) const ECE: u8 = 0x40;
    /// The congestion window was reduced (RFC 3168).
    pub(crate) const CWR: u8 = 0x80;
    /// The flags that go with everything.
    pub(crate) const ANYWHERE: u8 = PSH | ECE | CWR;
}

/// The fixed part of a TCP header.
#[derive(Clone, Copy, Debug, FromBytes)]
#[repr(C)]
struct Header {
    _sport: U16,
    _dport: U16,
    seq: U32,
    ack: U32,
    data_offset: u8,
    flags: u8,
    window: U16,
    _checksum: U16,
    _urgent: U16,
}

impl Header {
    #[inline(always)]
    fn read<P: Packet>(pkt: &P, offset: u32) -> Option<Self> {
        let bytes = pkt.read::<{ size_of::<Self>() }>(offset)?;
        Some(zerocopy::transmute!(bytes))
    }

    /// Length of the header in bytes, options included.
    fn len(&self) -> u32 {
        u32::from(self.data_offset >> 4) << 2
    }
}

/// What a segment is for, as far as the state of its connection goes.
///
/// The values are the kernel's `enum tcp_bit_set`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// SYN without ACK: opens a connection.
    Syn = 0,
    /// SYN with ACK: answers a SYN.
    SynAck = 1,
    /// FIN: ends one direction.
    Fin = 2,
    /// ACK and nothing else.
    Ack = 3,
    /// RST: ends the connection.
    Rst = 4,
    /// None of these.
    None = 5,
}

impl Kind {
    /// All kinds, so that a kind is its own index.
    pub(crate) const ALL: [Self; 6] = [
        Self::Syn,
        Self::SynAck,
        Self::Fin,
        Self::Ack,
        Self::Rst,
        Self::None,
    ];

    /// The kind that the flags say.
    ///
    /// Source: net/netfilter/nf_conntrack_proto_tcp.c, get_conntrack_index().
    pub(crate) const fn from_flags(flags: u8) -> Self {
        if flags & flag::RST != 0 {
            Self::Rst
        } else if flags & flag::SYN != 0 {
            if flags & flag::ACK != 0 {
                Self::SynAck
            } else {
                Self::Syn
            }
        } else if flags & flag::FIN != 0 {
            Self::Fin
        } else if flags & flag::ACK != 0 {
            Self::Ack
        } else {
            Self::None
        }
    }
}

/// What the options of a segment say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// The segment has options, though perhaps none that matters.
    pub(crate) present: bool,
    /// The sender can handle selective acknowledgments.
    pub(crate) sack_permitted: bool,
    /// By how many bits the sender shifts its windows, at most 14, if it does.
    pub(crate) scale: Option<u8>,
    /// The highest sequence number that is acknowledged, selectively or not, if some selectively
    /// are.
    pub(crate) sack: Option<u32>,
}

/// A segment, as far as tracking needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// What the segment is for.
    pub(crate) kind: Kind,
    /// The flags, see [`flag`], but for those that go with everything.
    pub(crate) flags: u8,
    /// Sequence number of the first byte.
    pub(crate) seq: u32,
    /// Sequence number behind the last byte; SYN and FIN count as one each.
    pub(crate) end: u32,
    /// Acknowledgment number; only means something with [`flag::ACK`].
    pub(crate) ack: u32,
    /// Window, not scaled.
    pub(crate) window: u16,
    /// What the options say.
    pub(crate) options: Options,
}

impl Segment {
    /// Reads the segment of a packet, and checks its checksum if `verify_checksum` says so.
    ///
    /// Source: net/netfilter/nf_conntrack_proto_tcp.c, tcp_error() and segment_seq_plus_len().
    ///
    /// # Errors
    ///
    /// The reason for which the packet is INVALID.
    #[inline(always)]
    pub(crate) fn read<P: Packet>(
        pkt: &P,
        l4: &L4,
        family: Family,
        verify_checksum: bool,
    ) -> Result<Self, Reason> {
        let hdr = Header::read(pkt, l4.offset).ok_or(Reason::TcpShort)?;
        let payload = match l4.len(pkt).checked_sub(hdr.len()) {
            Some(payload) if hdr.len() >= size_of::<Header>() as u32 => payload,
            _ => return Err(Reason::TcpHeaderLength),
        };

        if verify_checksum {
            Self::verify(pkt, l4, family)?;
        }
        if !flags_make_sense(hdr.flags) {
            return Err(Reason::TcpFlags);
        }
        let options = read_options(pkt, l4.offset, &hdr).ok_or(Reason::TcpShort)?;
        Ok(Self::new(&hdr, payload, options))
    }

    /// The segment of a header with so many bytes behind it.
    #[inline(always)]
    fn new(hdr: &Header, payload: u32, options: Options) -> Self {
        let count = |bit| u32::from(hdr.flags & bit != 0);
        Self {
            kind: Kind::from_flags(hdr.flags),
            flags: hdr.flags & !flag::ANYWHERE,
            seq: hdr.seq.get(),
            end: hdr
                .seq
                .get()
                .wrapping_add(payload)
                .wrapping_add(count(flag::SYN))
                .wrapping_add(count(flag::FIN)),
            ack: hdr.ack.get(),
            window: hdr.window.get(),
            options,
        }
    }

    /// Verifies the checksum of a segment.
    ///
    /// # Errors
    ///
    /// The reason for which the packet is INVALID.
    #[inline(always)]
    pub(crate) fn verify<P: Packet>(pkt: &P, l4: &L4, family: Family) -> Result<(), Reason> {
        match pkt.checksum_ok(Checksum::Internet, l4, family) {
            true => Ok(()),
            false => Err(Reason::TcpChecksum),
        }
    }

    /// As [`Segment::read`], of a SYN; the checksum is not looked at. `None` for other segments,
    /// even if they can be read.
    #[inline(always)]
    pub(crate) fn read_syn<P: Packet>(pkt: &P, l4: &L4) -> Option<Self> {
        let hdr = Header::read(pkt, l4.offset)?;
        if hdr.flags & !flag::ANYWHERE != flag::SYN {
            return None;
        }
        let begin = l4.offset.checked_add(hdr.len())?;
        let payload = pkt.len().checked_sub(begin)?;
        Some(Self::new(
            &hdr,
            payload,
            read_options(pkt, l4.offset, &hdr)?,
        ))
    }

    /// As [`Segment::read`], of an ACK with data or without, whose one option is a time stamp if it
    /// has any, as of most segments; the checksum is not looked at. `None` for other segments, even
    /// if they can be read.
    #[inline(always)]
    pub(crate) fn read_plain<P: Packet>(pkt: &P, l4: &L4) -> Option<Self> {
        const LEN: u32 = size_of::<Header>() as u32;
        const STAMPED: u32 = LEN + ALIGNED_TIMESTAMP as u32;

        let hdr = Header::read(pkt, l4.offset)?;
        if hdr.flags & !flag::ANYWHERE != flag::ACK {
            return None;
        }
        let present = match hdr.len() {
            LEN => false,
            STAMPED if pkt.read(l4.offset.checked_add(LEN)?)? == TIMESTAMP => true,
            _ => return None,
        };
        let begin = l4.offset.checked_add(hdr.len())?;
        let payload = pkt.len().checked_sub(begin)?;
        Some(Self {
            kind: Kind::Ack,
            flags: flag::ACK,
            seq: hdr.seq.get(),
            end: hdr.seq.get().wrapping_add(payload),
            ack: hdr.ack.get(),
            window: hdr.window.get(),
            options: Options {
                present,
                ..Options::default()
            },
        })
    }

    /// Returns whether a flag is set.
    #[inline]
    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Returns whether a TCP could have sent these flags; PSH, ECE and CWR go with everything.
///
/// Source: net/netfilter/nf_conntrack_proto_tcp.c, tcp_valid_flags.
const fn flags_make_sense(flags: u8) -> bool {
    use flag::*;

    const SYN_URG: u8 = SYN | URG;
    const SYN_ACK: u8 = SYN | ACK;
    const RST_ACK: u8 = RST | ACK;
    const FIN_ACK: u8 = FIN | ACK;
    const FIN_ACK_URG: u8 = FIN | ACK | URG;
    const ACK_URG: u8 = ACK | URG;

    matches!(
        flags & !ANYWHERE,
        SYN | SYN_URG | SYN_ACK | RST | RST_ACK | FIN_ACK | FIN_ACK_URG | ACK | ACK_URG
    )
}

/// Kinds and lengths of options (IANA).
mod option {
    pub(super) const END: u8 = 0;
    pub(super) const NOP: u8 = 1;
    pub(super) const SCALE: u8 = 3;
    pub(super) const SACK_PERMITTED: u8 = 4;
    pub(super) const SACK: u8 = 5;
    pub(super) const TIMESTAMP: u8 = 8;
}

/// Reads the options of the segment at `offset`; `None` if the packet ends before they do.
#[inline(always)]
fn read_options<P: Packet>(pkt: &P, offset: u32, hdr: &Header) -> Option<Options> {
    let ack = hdr.ack.get();
    let mut from = offset.checked_add(size_of::<Header>() as u32)?;

    match hdr.len().checked_sub(size_of::<Header>() as u32)? as usize {
        0 => Some(Options::default()),
        // Most segments carry a timestamp and its padding: worth a read in one go.
        ALIGNED_TIMESTAMP => Some(Options::read(&pkt.read::<ALIGNED_TIMESTAMP>(from)?, ack)),
        len => {
            if let Some(options) = pkt.piece(from, len) {
                return Some(Options::read(options, ack));
            }
            let mut buf = [0; MAX_OPTIONS];
            let buf = buf.get_mut(..len)?;
            for word in buf.chunks_exact_mut(4) {
                word.copy_from_slice(&pkt.read::<4>(from)?);
                from = from.checked_add(4)?;
            }
            Some(Options::read(buf, ack))
        }
    }
}

impl Options {
    /// As [`Options::parse`], with a look at what most SYNs have.
    #[inline(always)]
    pub(crate) fn read(bytes: &[u8], ack: u32) -> Self {
        const LINUX: usize = 20;
        const WINDOWS: usize = 12;

        // The size of segments comes first, then that selective acknowledgments are permitted, a
        // timestamp, and the scale.
        let linux = |bytes: &[u8; LINUX]| match *bytes {
            [2, 4, _, _, 4, 2, 8, 10, _, _, _, _, _, _, _, _, 1, 3, 3, scale] => Some(scale),
            _ => None,
        };
        // No timestamp, and the scale comes second.
        let windows = |bytes: &[u8; WINDOWS]| match *bytes {
            [2, 4, _, _, 1, 3, 3, scale, 1, 1, 4, 2] => Some(scale),
            _ => None,
        };
        let scale = match bytes.len() {
            LINUX => bytes.first_chunk().and_then(linux),
            WINDOWS => bytes.first_chunk().and_then(windows),
            _ => None,
        };
        match scale {
            Some(scale) => Self {
                present: true,
                sack_permitted: true,
                scale: Some(scale.min(MAX_SCALE)),
                sack: None,
            },
            None => Self::parse(bytes, ack),
        }
    }

    /// Parses options; what stands behind a malformed option is not looked at.
    ///
    /// `ack` is the acknowledgment number of the segment, which selective acknowledgments are
    /// compared with.
    /// Source: net/netfilter/nf_conntrack_proto_tcp.c, tcp_options() and tcp_sack().
    #[inline(never)]
    pub(crate) fn parse(mut bytes: &[u8], ack: u32) -> Self {
        let mut options = Self {
            present: !bytes.is_empty(),
            ..Self::default()
        };

        while let [kind, rest @ ..] = bytes {
            bytes = match *kind {
                option::END => break,
                option::NOP => rest,
                kind => {
                    let Some((value, rest)) = split_option(rest) else {
                        break;
                    };
                    options.take(kind, value, ack);
                    rest
                }
            };
        }
        options
    }

    /// Notes one option.
    fn take(&mut self, kind: u8, value: &[u8], ack: u32) {
        match (kind, value) {
            (option::SACK_PERMITTED, []) => self.sack_permitted = true,
            (option::SCALE, [scale]) => self.scale = Some((*scale).min(MAX_SCALE)),
            (option::SACK, value) if self.sack.is_none() => self.sack = highest_edge(value, ack),
            _ => {}
        }
    }
}

/// Splits what follows the kind of an option into its value and what stands behind it.
fn split_option(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*len).checked_sub(2)?)
}

/// The highest right edge in a list of selectively acknowledged blocks, `ack` included; `None` if
/// it is empty or malformed.
fn highest_edge(blocks: &[u8], ack: u32) -> Option<u32> {
    if blocks.is_empty() || blocks.len() % 8 != 0 {
        return None;
    }
    let mut highest = ack;
    for block in blocks.chunks_exact(8) {
        if let [_, _, _, _, edge @ ..] = block {
            let edge = u32::from_be_bytes(*edge.first_chunk()?);
            if after(edge, highest) {
                highest = edge;
            }
        }
    }
    Some(highest)
}

/// Returns whether sequence number `a` is before `b`, modulo 2^32.
pub(crate) const fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Returns whether sequence number `a` is after `b`, modulo 2^32.
pub(crate) const fn after(a: u32, b: u32) -> bool {
    before(b, a)
}
