// SPDX-License-Identifier: GPL-2.0

//! What a packet is to its connection, and what a connection has been through.

use crate::pure::tuple::Direction;

/// What a packet is to its connection: the kernel's `enum ip_conntrack_info`.
///
/// It travels in the low three bits of the socket buffer's `_nfct`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum CtInfo {
    /// Part of a connection that has seen packets in both directions; original direction.
    Established = 0,
    /// Begins a connection that was expected, or is an ICMP error about a connection; original
    /// direction.
    Related = 1,
    /// Begins a connection, or repeats the beginning before an answer came.
    New = 2,
    /// Part of a connection; reply direction.
    EstablishedReply = 3,
    /// An ICMP error about a connection; reply direction.
    RelatedReply = 4,
    /// Not tracked, on purpose.
    Untracked = 7,
}

impl CtInfo {
    /// The variant with this value; `None` for a value that the kernel gives to none.
    pub(crate) const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Established,
            1 => Self::Related,
            2 => Self::New,
            3 => Self::EstablishedReply,
            4 => Self::RelatedReply,
            7 => Self::Untracked,
            _ => return None,
        })
    }

    /// The value in `_nfct`.
    pub(crate) const fn bits(self) -> u8 {
        self as u8
    }

    /// The direction of the packet, as CTINFO2DIR() in include/net/netfilter/nf_conntrack.h gives
    /// it.
    pub(crate) const fn direction(self) -> Direction {
        match self {
            Self::Established | Self::Related | Self::New => Direction::Original,
            Self::EstablishedReply | Self::RelatedReply | Self::Untracked => Direction::Reply,
        }
    }
}

/// A snapshot of a connection's status bits, the kernel's `enum ip_conntrack_status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status(u64);

impl Status {
    /// Another connection had announced this one.
    pub(crate) const EXPECTED: Self = Self(1 << 0);
    /// Packets were seen in both directions.
    pub(crate) const SEEN_REPLY: Self = Self(1 << 1);
    /// Not to be removed early to make room.
    pub(crate) const ASSURED: Self = Self(1 << 2);
    /// In the table: its first packet has left the machine or reached a socket.
    pub(crate) const CONFIRMED: Self = Self(1 << 3);
    /// The source is translated in the original direction.
    pub(crate) const SRC_NAT: Self = Self(1 << 4);
    /// The destination is translated in the original direction.
    pub(crate) const DST_NAT: Self = Self(1 << 5);
    /// TCP sequence numbers are adjusted.
    pub(crate) const SEQ_ADJUST: Self = Self(1 << 6);
    /// It was decided whether the source is translated.
    pub(crate) const SRC_NAT_DONE: Self = Self(1 << 7);
    /// It was decided whether the destination is translated.
    pub(crate) const DST_NAT_DONE: Self = Self(1 << 8);
    /// Taken out of the table.
    pub(crate) const DYING: Self = Self(1 << 9);
    /// Packets do not renew the timeout.
    pub(crate) const FIXED_TIMEOUT: Self = Self(1 << 10);
    /// A template of a rule, not a connection.
    pub(crate) const TEMPLATE: Self = Self(1 << 11);
    /// Entered in the reply direction only, because the original one was taken.
    pub(crate) const NAT_CLASH: Self = Self(1 << 12);
    /// Has the helper extension.
    pub(crate) const HELPER: Self = Self(1 << 13);
    /// Handled by a flow table.
    pub(crate) const OFFLOAD: Self = Self(1 << 14);
    /// Handled by hardware.
    pub(crate) const HW_OFFLOAD: Self = Self(1 << 15);

    /// Bits that only the tracker, or NAT, may change (`IPS_UNCHANGEABLE_MASK`).
    pub(crate) const UNCHANGEABLE: Self = Self::EXPECTED
        .with(Self::CONFIRMED)
        .with(Self::SRC_NAT)
        .with(Self::DST_NAT)
        .with(Self::SEQ_ADJUST)
        .with(Self::SRC_NAT_DONE)
        .with(Self::DST_NAT_DONE)
        .with(Self::DYING)
        .with(Self::TEMPLATE)
        .with(Self::NAT_CLASH)
        .with(Self::OFFLOAD)
        .with(Self::HW_OFFLOAD);

    /// How many bits there are (`__IPS_MAX_BIT`).
    pub(crate) const BITS: u32 = 16;

    /// A snapshot with the bits of the kernel's status word.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits of the kernel's status word.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// Returns whether all bits of `other` are set.
    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether any bit of `other` is set.
    pub(crate) const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits that are in both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The bits but those of `other`.
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The bits of both.
    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
