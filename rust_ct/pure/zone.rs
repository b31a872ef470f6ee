// SPDX-License-Identifier: GPL-2.0

//! Zones: connections with equal tuples in different zones are different connections.

use crate::pure::tuple::Direction;

/// A connection tracking zone, laid out as the kernel's `struct nf_conntrack_zone`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Zone {
    /// Number of the zone.
    pub(crate) id: u16,
    /// [`Zone::FLAG_MARK`] or nothing.
    pub(crate) flags: u8,
    /// The directions that the zone applies to, [`Zone::DIR_ORIGINAL`] and [`Zone::DIR_REPLY`].
    pub(crate) dir: u8,
}

const _: () = assert!(size_of::<Zone>() == 4 && align_of::<Zone>() == 2);

impl Zone {
    /// Number of the zone of packets that no rule put elsewhere.
    pub(crate) const DEFAULT_ID: u16 = 0;
    /// Flag of a template: the packet's mark is the number of the zone (`NF_CT_FLAG_MARK`).
    pub(crate) const FLAG_MARK: u8 = 1;
    /// The zone applies in the original direction.
    pub(crate) const DIR_ORIGINAL: u8 = 1 << 0;
    /// The zone applies in the reply direction.
    pub(crate) const DIR_REPLY: u8 = 1 << 1;

    /// The zone of packets that no rule put elsewhere, as `nf_ct_zone_dflt`.
    pub(crate) const DEFAULT: Self = Self {
        id: Self::DEFAULT_ID,
        flags: 0,
        dir: Self::DIR_ORIGINAL | Self::DIR_REPLY,
    };

    /// The number of the zone for packets of a direction.
    ///
    /// Source: include/net/netfilter/nf_conntrack_zones.h, nf_ct_zone_id().
    pub(crate) const fn id(&self, dir: Direction) -> u16 {
        if self.applies_to(dir) {
            self.id
        } else {
            Self::DEFAULT_ID
        }
    }

    /// Returns whether the zone applies in a direction.
    pub(crate) const fn applies_to(&self, dir: Direction) -> bool {
        let bit = match dir {
            Direction::Original => Self::DIR_ORIGINAL,
            Direction::Reply => Self::DIR_REPLY,
        };
        self.dir & bit != 0
    }

    /// Returns whether the number of the zone differs between the directions.
    pub(crate) const fn is_one_way(&self) -> bool {
        self.id(Direction::Original) != self.id(Direction::Reply)
    }

    /// Returns whether packets of a direction are in the same zone here and there.
    ///
    /// Source: include/net/netfilter/nf_conntrack_zones.h, nf_ct_zone_equal().
    pub(crate) const fn equal(&self, other: &Self, dir: Direction) -> bool {
        self.id(dir) == other.id(dir)
    }

    /// The zone that a packet with this mark is in, when a template with this zone is attached to
    /// it.
    ///
    /// Source: include/net/netfilter/nf_conntrack_zones.h, nf_ct_zone_tmpl().
    pub(crate) const fn of_packet(&self, mark: u32) -> Self {
        if self.flags & Self::FLAG_MARK == 0 {
            return *self;
        }
        Self {
            // CAST: The zone is the lower half of the mark, as in nf_ct_zone_init().
            id: mark as u16,
            flags: 0,
            dir: self.dir,
        }
    }
}
