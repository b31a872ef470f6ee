// SPDX-License-Identifier: GPL-2.0

//! Packets in fragments.

use crate::{
    generate::walk::Walk,
    packet,
    sequence::Packet, //
};

impl Walk<'_> {
    /// Sends a packet in one piece or in fragments.
    pub(super) fn push_or_cut(&mut self, packet: Packet) {
        let has_fragment = packet::View::of(&packet.bytes)
            .is_some_and(|view| view.fragment.is_some() || view.body.len() < 16);
        if has_fragment || !self.rng.chance(self.style.fragment) {
            self.push(packet);
            return;
        }
        for piece in self.pieces(&packet) {
            self.push(piece);
        }
    }

    /// Cuts a packet, and puts the pieces into some order.
    fn pieces(&mut self, packet: &Packet) -> Vec<Packet> {
        let units = (packet.bytes.len() / 8) as u32;
        let id = self.next_id();
        let mut cuts: Vec<u16> = (0..self.rng.range(1, 3))
            .map(|_| self.rng.range(1, units) as u16)
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut pieces = packet::fragments(&packet.bytes, &cuts, id);
        match self.rng.below(10) {
            0..=4 => {}
            5..=6 => pieces.reverse(),
            7 => {
                let by = self.rng.index(pieces.len());
                pieces.rotate_left(by);
            }
            8 => {
                // Another cut of the same overlaps.
                let cut = self.rng.range(1, units) as u16;
                let others = packet::fragments(&packet.bytes, &[cut], id);
                let at = self.rng.index(pieces.len());
                let other = self.rng.index(others.len());
                pieces.insert(at, others[other].clone());
                self.disturbed += 1;
            }
            _ => {
                let missing = self.rng.index(pieces.len());
                pieces.remove(missing);
                self.disturbed += 1;
            }
        }

        let mut packets: Vec<_> = pieces
            .into_iter()
            .map(|bytes| Packet {
                step: packet.step,
                bytes,
            })
            .collect();
        if self.rng.chance(15) {
            self.part(&mut packets);
        }
        packets
    }

    /// Lets the last piece of a packet come seconds later, or behind other packets.
    fn part(&mut self, pieces: &mut Vec<Packet>) {
        if pieces.len() < 2 {
            return;
        }
        let Some(last) = pieces.pop() else {
            return;
        };
        if self.rng.chance(50) {
            let behind = self.rng.range(1, 4);
            self.held.push((behind, last));
            return;
        }
        for piece in pieces.drain(..) {
            self.push(piece);
        }
        let seconds = self.rng.pick(&[1, 5, 28, 31, 58, 62]);
        self.wait(seconds);
        self.push(last);
    }
}
