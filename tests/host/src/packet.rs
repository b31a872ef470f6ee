// SPDX-License-Identifier: GPL-2.0

//! Packets in memory.

use crate::pure::wire::{
    ipproto,
    Checksum,
    Family,
    Packet,
    L4, //
};

/// A packet in one piece, whose network header is at the beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Packet for Bytes<'_> {
    fn len(&self) -> u32 {
        u32::try_from(self.0.len()).expect("a packet has less than 4 GiB")
    }

    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.0.get(offset as usize..)?.first_chunk().copied()
    }

    fn checksum_ok(&self, _: Checksum, l4: &L4, family: Family) -> bool {
        let Some(body) = self.0.get(l4.offset as usize..) else {
            return false;
        };
        match l4.proto {
            ipproto::SCTP => sctp_checksum_ok(body),
            ipproto::ICMP => fold(sum(body)) == 0xffff,
            _ => fold(sum(body) + self.pseudo_header(l4, family)) == 0xffff,
        }
    }
}

/// A packet of which so many bytes are in one piece, and nothing is read of the rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear<'a>(pub(crate) &'a [u8], pub(crate) usize);

impl Packet for Linear<'_> {
    fn len(&self) -> u32 {
        Bytes(self.0).len()
    }

    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.piece(offset, N)?.first_chunk().copied()
    }

    fn piece(&self, offset: u32, len: usize) -> Option<&[u8]> {
        self.0.get(..self.1)?.get(offset as usize..)?.get(..len)
    }

    fn checksum_ok(&self, checksum: Checksum, l4: &L4, family: Family) -> bool {
        Bytes(self.0).checksum_ok(checksum, l4, family)
    }
}

impl Bytes<'_> {
    /// The sum of the addresses, the length and the protocol (RFC 9293 section 3.1, RFC 8200
    /// section 8.1).
    pub(crate) fn pseudo_header(&self, l4: &L4, family: Family) -> u64 {
        let addrs = match family {
            Family::Ipv4 => 12..20,
            Family::Ipv6 => 8..40,
        };
        sum(self.0.get(addrs).unwrap_or(&[])) + u64::from(l4.len(self)) + u64::from(l4.proto)
    }
}

/// The sum of 16-bit words in network order (RFC 1071), not folded.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    bytes
        .chunks(2)
        .map(|word| {
            let second = word.get(1).copied().unwrap_or(0);
            u64::from(u16::from_be_bytes([word[0], second]))
        })
        .sum()
}

/// Folds a sum to 16 bits, carrying round.
pub(crate) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).expect("folded")
}

/// Compares the checksum of an SCTP packet, which counts as zero for its own making (RFC 9260 6.8).
fn sctp_checksum_ok(body: &[u8]) -> bool {
    let (Some(head), Some(found), Some(chunks)) = (body.get(..8), body.get(8..12), body.get(12..))
    else {
        return false;
    };
    let bytes = head.iter().chain(&[0; 4]).chain(chunks);
    crc32c(bytes.copied()).to_le_bytes() == *found
}

/// The CRC32c (Castagnoli) of some bytes (RFC 9260 appendix A).
pub(crate) fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let step = |crc: u32, byte: u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            let feedback = if crc & 1 != 0 { 0x82f6_3b78 } else { 0 };
            (crc >> 1) ^ feedback
        })
    };
    !bytes.fold(!0, step)
}
