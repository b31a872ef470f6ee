// SPDX-License-Identifier: GPL-2.0

//! IP options and extension headers.

use crate::{
    checksum::proto,
    generate::walk::Walk,
    packet::{
        Extension,
        Ip, //
    },
};

impl Walk<'_> {
    /// Gives a header options or extension headers.
    pub(super) fn extend(&mut self, ip: &mut Ip) {
        if !self.ipv6 {
            ip.options = match self.rng.below(3) {
                0 => vec![1, 1, 1, 0],
                // Router alert.
                1 => vec![0x94, 4, 0, 0],
                _ => vec![1; 4 * self.rng.range(1, 10) as usize],
            };
            return;
        }
        let count = self.rng.weighted(&[(60, 1), (25, 2), (10, 4), (5, 14)]);
        for index in 0..count {
            let extension = self.extension(index == 0);
            ip.extensions.push(extension);
        }
    }

    fn extension(&mut self, first: bool) -> Extension {
        let kind = self.rng.weighted(&[
            (if first { 40 } else { 0 }, proto::HOP_BY_HOP),
            (40, proto::DEST_OPTIONS),
            (30, proto::ROUTING),
            (15, proto::AUTH),
            // An atomic fragment.
            (5, proto::FRAGMENT),
        ]);
        let words = self.rng.weighted(&[(80, 0), (15, 1), (5, 3)]);
        let body = match kind {
            proto::HOP_BY_HOP | proto::DEST_OPTIONS => {
                let padding = 4 + 8 * words;
                let mut body = vec![words, 1, padding];
                body.resize(3 + usize::from(padding), 0);
                body
            }
            proto::ROUTING => {
                let mut body = vec![words, self.rng.pick(&[0, 2, 4]), self.rng.below(2) as u8];
                body.resize(7 + 8 * usize::from(words), 0);
                body
            }
            proto::AUTH => {
                // Its length counts words of four bytes, less two.
                let mut body = vec![4, 0, 0];
                body.extend(self.rng.bytes(20));
                body
            }
            _ => {
                let mut body = vec![0, 0, 0];
                body.extend(self.rng.bytes(4));
                body
            }
        };
        let mut extension = Extension { kind, body };
        // A header that is longer than the packet. The IP layer reads hop-by-hop options itself.
        if kind != proto::HOP_BY_HOP && kind != proto::FRAGMENT && self.rng.one_in(25) {
            extension.body[0] = self.rng.pick(&[20, 200, 255]);
        }
        extension
    }
}
