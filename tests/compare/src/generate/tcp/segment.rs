// SPDX-License-Identifier: GPL-2.0

//! A TCP segment and its options.

use crate::{
    checksum::proto,
    generate::walk::Body,
    rng::Rng, //
};

/// Flags of a segment.
pub mod flag {
    /// The sender has no more to send.
    pub const FIN: u8 = 0x01;
    /// The sender begins.
    pub const SYN: u8 = 0x02;
    /// The sender ends the connection at once.
    pub const RST: u8 = 0x04;
    /// The receiver is to pass data on.
    pub const PSH: u8 = 0x08;
    /// There is an acknowledgment.
    pub const ACK: u8 = 0x10;
    /// There is urgent data.
    pub const URG: u8 = 0x20;
}

/// Options of a segment.
pub mod option {
    use crate::rng::Rng;

    /// Selective acknowledgments are permitted.
    pub const SACK_PERMITTED: [u8; 4] = [1, 1, 4, 2];

    /// A timestamp, aligned as most systems do.
    pub fn stamps(rng: &mut Rng) -> Vec<u8> {
        let mut option = vec![1, 1, 8, 10];
        option.extend(rng.bytes(8));
        option
    }

    /// Selective acknowledgments of these blocks.
    pub fn sack(blocks: &[(u32, u32)]) -> Vec<u8> {
        let mut option = vec![1, 1, 5, 2 + 8 * blocks.len() as u8];
        for (left, right) in blocks {
            option.extend(left.to_be_bytes());
            option.extend(right.to_be_bytes());
        }
        option
    }
}

/// A segment.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Flags.
    pub flags: u8,
    /// The four bits behind the length of the header.
    pub reserved: u8,
    /// The length of the header in words, if it is not the right length.
    pub doff: Option<u8>,
    /// Window.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options.
    pub options: Vec<u8>,
    /// Length of the data.
    pub payload: u32,
}

impl Segment {
    /// The sequence number behind it.
    pub fn end(&self) -> u32 {
        let syn = u32::from(self.flags & flag::SYN != 0);
        let fin = u32::from(self.flags & flag::FIN != 0);
        self.seq
            .wrapping_add(self.payload)
            .wrapping_add(syn)
            .wrapping_add(fin)
    }

    /// The bytes.
    pub fn body(&self, rng: &mut Rng) -> Body {
        let mut options = self.options.clone();
        options.truncate(40);
        options.resize(options.len().next_multiple_of(4), 0);
        let doff = self.doff.unwrap_or((5 + options.len() / 4) as u8);

        let mut bytes = Vec::new();
        bytes.extend(self.sport.to_be_bytes());
        bytes.extend(self.dport.to_be_bytes());
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        bytes.extend([(doff << 4) | self.reserved, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(self.urgent.to_be_bytes());
        bytes.extend(&options);
        // What the data is does not matter.
        let fill = rng.u8();
        bytes.resize(bytes.len() + self.payload as usize, fill);
        Body::new(proto::TCP, bytes)
    }
}
