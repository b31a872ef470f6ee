// SPDX-License-Identifier: GPL-2.0

//! What goes wrong with packets on their way.

use crate::{
    checksum::proto,
    format::{
        STEP_DROP,
        STEP_VERIFIED,
        WAY_IN,
        WAY_OUT,
        WAY_THROUGH, //
    },
    generate::walk::{
        Body,
        Walk, //
    },
    rng::Rng,
    sequence::Packet,
};

/// What can happen to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    /// The tracker does not see it.
    Lost,
    /// A rule drops it.
    Dropped,
    /// It comes twice.
    Twice,
    /// It comes behind other packets.
    Later,
    /// Its checksum is wrong.
    BadChecksum,
    /// It ends early.
    Cut,
    /// A bit of it is wrong.
    Flipped,
    /// Another packet comes that has come before.
    Old,
    /// It takes another way.
    OtherWay,
    /// It is in another zone.
    OtherZone,
    /// The device says that its checksum is right.
    Verified,
}

impl Mishap {
    /// Some mishap.
    pub(super) fn any(rng: &mut Rng) -> Self {
        rng.weighted(&[
            (18, Self::Lost),
            (18, Self::Dropped),
            (14, Self::Twice),
            (14, Self::Later),
            (8, Self::BadChecksum),
            (5, Self::Cut),
            (6, Self::Flipped),
            (12, Self::Old),
            (2, Self::OtherWay),
            (2, Self::OtherZone),
            (2, Self::Verified),
        ])
    }

    /// Does to a body what comes before its checksum is made.
    pub(super) fn befall_body(self, rng: &mut Rng, body: &mut Body) {
        match self {
            Self::Cut => {
                let len = rng.index(body.bytes.len().min(40) + 1);
                body.bytes.truncate(len);
            }
            Self::Flipped => {
                let at = rng.index(body.bytes.len().min(24));
                let bit = rng.below(8);
                if let Some(byte) = body.bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            _ => {}
        }
    }

    /// Does to a body what comes afterwards.
    pub(super) fn befall_checksum(self, rng: &mut Rng, body: &mut Body) {
        if self != Self::BadChecksum {
            return;
        }
        let at = match body.proto {
            proto::TCP => 16,
            proto::UDP => 6,
            proto::SCTP => 8,
            proto::ICMP | proto::ICMPV6 => 2,
            _ => 4,
        };
        let bits = rng.range(1, 255) as u8;
        if let Some(byte) = body.bytes.get_mut(at) {
            *byte ^= bits;
        }
    }

    /// Does to a packet what changes the step around it, or the packet as a whole.
    pub(super) fn befall_packet(self, walk: &mut Walk<'_>, packet: &mut Packet) {
        match self {
            Self::Dropped => packet.step.flags |= STEP_DROP,
            Self::Verified => packet.step.flags |= STEP_VERIFIED,
            Self::OtherWay => {
                packet.step.way = walk.rng.pick(&[WAY_IN, WAY_THROUGH, WAY_OUT]);
            }
            Self::OtherZone => {
                packet.step.zone = walk.rng.pick(&[0, 1, 5]);
                packet.step.zone_dir = walk.rng.pick(&[0, 1, 2, 3]);
            }
            Self::Old => {
                if let Some(old) = walk.earlier() {
                    *packet = old;
                    packet.step.flags = 0;
                }
            }
            _ => {}
        }
    }
}
