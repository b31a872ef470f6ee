// SPDX-License-Identifier: GPL-2.0

//! How segments are made wrong.

use crate::generate::{
    tcp::{
        segment::{
            flag,
            Segment, //
        },
        Talk, //
    },
    walk::Side, //
};

/// What is made wrong.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    Seq,
    Ack,
    Window,
    Flag,
    AnyFlags,
    Options,
    HeaderLength,
    Payload,
    Urgent,
}

impl Talk<'_, '_> {
    /// Makes something wrong about a segment of an end.
    pub(super) fn make_wrong(&mut self, from: Side, segment: &mut Segment) {
        let wrong = self.walk.rng.weighted(&[
            (28, Wrong::Seq),
            (22, Wrong::Ack),
            (12, Wrong::Window),
            (10, Wrong::Flag),
            (5, Wrong::AnyFlags),
            (8, Wrong::Options),
            (4, Wrong::HeaderLength),
            (6, Wrong::Payload),
            (5, Wrong::Urgent),
        ]);
        let other = self.ends[from.other() as usize].clone();
        let rng = &mut self.walk.rng;
        match wrong {
            Wrong::Seq => {
                let window = other.window;
                let far = rng.pick(&[1 << 31, (1 << 31) - 1, 1 << 30, 100_000, 66_000]);
                let off = rng.pick(&[1, 2, 100, window, window, far]);
                let off = rng.near(off, 1);
                segment.seq = match rng.chance(50) {
                    true => segment.seq.wrapping_add(off),
                    false => segment.seq.wrapping_sub(off),
                };
            }
            Wrong::Ack => {
                let border = rng.near(other.next, 1);
                let low = rng.near(other.next.wrapping_sub(66_000), 1);
                let off = rng.pick(&[1, 2, 1000, 1 << 20, 1 << 31]);
                segment.ack = match rng.below(6) {
                    0 => border,
                    1 => low,
                    2 => segment.ack.wrapping_add(off),
                    3 => segment.ack.wrapping_sub(off),
                    4 => 0,
                    _ => rng.u32(),
                };
            }
            Wrong::Window => {
                let any = rng.u16();
                segment.window = rng.pick(&[0, 0, 1, u16::MAX, any]);
            }
            Wrong::Flag => {
                let bit = rng.below(8);
                segment.flags ^= 1 << bit;
            }
            Wrong::AnyFlags => {
                segment.flags = rng.u8();
                segment.reserved = rng.below(16) as u8;
            }
            Wrong::Options => self.make_options_wrong(segment),
            Wrong::HeaderLength => {
                let doff = rng.below(16) as u8;
                segment.doff = Some(doff);
            }
            Wrong::Payload => segment.payload = rng.pick(&[0, 1, 2, 500, 1200]),
            Wrong::Urgent => {
                segment.urgent = rng.u16();
                segment.flags ^= flag::URG;
            }
        }
    }

    fn make_options_wrong(&mut self, segment: &mut Segment) {
        let rng = &mut self.walk.rng;
        match rng.below(5) {
            0 => {
                let len = rng.below(41) as usize;
                segment.options = rng.bytes(len);
            }
            1 => {
                let len = rng.index(segment.options.len() + 1);
                segment.options.truncate(len);
            }
            2 if !segment.options.is_empty() => {
                let at = rng.index(segment.options.len());
                segment.options[at] = rng.u8();
            }
            3 => {
                let kind = rng.pick(&[2, 3, 4, 5, 8, 30]);
                let len = rng.pick(&[0, 1, 2, 3, 4, 10, 40, 255]);
                segment.options.extend([kind, len, 15, 0]);
            }
            _ => {
                let scale = rng.pick(&[0, 13, 14, 15, 255]);
                segment.options.extend([3, 3, scale, 1, 4, 2, 0, 0]);
            }
        }
    }
}
