// SPDX-License-Identifier: GPL-2.0

//! The bytes of a packet on its way, for pure code to read.

use crate::{
    pure::wire::{
        self,
        Checksum,
        Family,
        Packet,
        L4, //
    },
    sys::{
        hook::{
            Place,
            State, //
        },
        skb::Skb, //
    },
};

/// The bytes of a packet, for pure code to read.
pub(crate) struct Bytes<'a> {
    skb: &'a Skb,
    hook: u8,
}

impl<'a> Bytes<'a> {
    /// The bytes of a packet at a place where no hook of ours runs.
    pub(crate) fn at(skb: &'a Skb, place: Place) -> Self {
        Self {
            skb,
            hook: place as u8,
        }
    }

    /// The bytes of a packet at a hook.
    pub(crate) fn of(skb: &'a Skb, state: &State) -> Self {
        Self {
            skb,
            hook: state.hook(),
        }
    }

    /// The transport header, if there is one that can be tracked.
    pub(crate) fn l4(&self, family: Family) -> Option<L4> {
        let nhoff = u32::try_from(self.skb.network_offset()).ok()?;
        wire::l4(self, nhoff, family).ok()
    }
}

impl Packet for Bytes<'_> {
    #[inline]
    fn len(&self) -> u32 {
        self.skb.len()
    }

    #[inline]
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.skb.read(offset)
    }

    #[inline]
    fn piece(&self, offset: u32, len: usize) -> Option<&[u8]> {
        let (bytes, _) = self.skb.linear_bytes();
        bytes.get(offset as usize..)?.get(..len)
    }

    #[inline(always)]
    fn checksum_ok(&self, checksum: Checksum, l4: &L4, family: Family) -> bool {
        match checksum {
            Checksum::Internet => {
                let nfproto = family.nfproto();
                self.skb
                    .checksum_ok(self.hook, l4.offset, l4.proto, nfproto)
            }
            Checksum::Crc32c => self.skb.crc32c_ok(l4.offset),
        }
    }

    fn is_gso(&self) -> bool {
        self.skb.is_gso()
    }
}

/// As [`Bytes`], for a caller that reads headers in the linear part of the packet, and has another
/// way where they are not there.
pub(crate) struct Linear<'a> {
    pkt: Bytes<'a>,
    len: u32,
    bytes: &'a [u8],
}

impl<'a> Linear<'a> {
    /// The bytes of a packet at a hook.
    #[inline(always)]
    pub(crate) fn of(skb: &'a Skb, state: &State) -> Self {
        let (bytes, len) = skb.linear_bytes();
        Self {
            pkt: Bytes::of(skb, state),
            len,
            bytes,
        }
    }
}

impl Packet for Linear<'_> {
    #[inline(always)]
    fn len(&self) -> u32 {
        self.len
    }

    /// As of [`Bytes`], but `None` too where the linear part does not hold them.
    #[inline(always)]
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let begin = offset as usize;
        self.bytes
            .get(begin..begin.checked_add(N)?)?
            .first_chunk()
            .copied()
    }

    #[inline(always)]
    fn piece(&self, offset: u32, len: usize) -> Option<&[u8]> {
        self.bytes.get(offset as usize..)?.get(..len)
    }

    #[inline(always)]
    fn checksum_ok(&self, checksum: Checksum, l4: &L4, family: Family) -> bool {
        self.pkt.checksum_ok(checksum, l4, family)
    }

    fn is_gso(&self) -> bool {
        self.pkt.is_gso()
    }
}
