// SPDX-License-Identifier: GPL-2.0

//! How a case goes.

use crate::rng::Rng;

/// How often what happens in a case, in a hundred packets.
#[derive(Clone, Debug)]
pub(super) struct Style {
    /// Something that should not.
    pub(super) disturb: u32,
    /// An ICMP error about an earlier packet.
    pub(super) error: u32,
    /// The packet is cut into fragments.
    pub(super) fragment: u32,
    /// The packet has IP options or extension headers.
    pub(super) extend: u32,
    /// A rule gives it a mark.
    pub(super) mark: u32,
    /// A rule gives it a template with [`Style::zone`].
    pub(super) zoned: u32,
    /// Number, directions and flags.
    pub(super) zone: (u16, u8, u8),
    /// The timeout policy of the template.
    pub(super) policy: u8,
}

impl Style {
    /// That of a case.
    pub(super) fn any(rng: &mut Rng) -> Self {
        Self {
            disturb: rng.pick(&[0, 0, 5, 10, 20, 30, 50]),
            error: rng.pick(&[0, 0, 0, 0, 3, 10]),
            fragment: rng.weighted(&[(85, 0), (10, 5), (5, 60)]),
            extend: rng.weighted(&[(80, 0), (15, 10), (5, 100)]),
            mark: rng.weighted(&[(80, 0), (10, 20), (10, 100)]),
            zoned: rng.weighted(&[(85, 0), (5, 50), (10, 100)]),
            zone: (
                rng.pick(&[0, 1, 2, 1000, u16::MAX]),
                rng.pick(&[3, 3, 1, 2]),
                rng.pick(&[0, 0, 1]),
            ),
            policy: rng.weighted(&[(70, 0), (10, 1), (10, 30), (10, 200)]) as u8,
        }
    }
}
