// SPDX-License-Identifier: GPL-2.0

//! Ports that NAT drew at random: what was drawn need not be the same in two recordings, all else
//! has to be.

use crate::{
    checksum::{
        self,
        proto, //
    },
    packet::View,
    record::proto_of,
    recording::Outcome,
};
use std::collections::BTreeMap;

/// `IPS_SRC_NAT`.
const SRC_NAT: u32 = 1 << 4;

/// The ports that were drawn in a case: those of the first recording by those of the second.
#[derive(Clone, Debug, Default)]
pub struct Drawn(BTreeMap<u16, u16>);

impl Drawn {
    /// Returns whether any was drawn.
    pub fn is_any(&self) -> bool {
        !self.0.is_empty()
    }

    /// What the second recording says of a packet, with the ports of the first one, which may have
    /// been drawn for this packet.
    pub fn rename(&mut self, a: &Outcome, b: &Outcome) -> Outcome {
        let mut renamed = b.clone();
        for tuple in &mut renamed.record.tuples {
            self.rename_tuple(tuple);
        }
        self.learn(a, &renamed);
        for tuple in &mut renamed.record.tuples {
            self.rename_tuple(tuple);
        }
        if self.is_any() {
            renamed.packet = self.rename_packet(&b.packet);
        }
        renamed
    }

    /// Learns a port from connections that differ in nothing else.
    fn learn(&mut self, a: &Outcome, b: &Outcome) {
        let [of_a, of_b] = [&a.record, &b.record];
        let Some(place) = port_place(proto_of(of_a)) else {
            return;
        };
        let port = |tuple: &[u8; 40], at: usize| u16::from_be_bytes([tuple[at], tuple[at + 1]]);
        let (mut reply, other) = (of_a.tuples[1], of_b.tuples[1]);
        let own = port(&of_a.tuples[0], 16);
        let [first, second] = [port(&reply, place), port(&other, place)];
        // A port that was kept was not drawn.
        if first == second || [first, second].contains(&own) {
            return;
        }
        reply[place..place + 2].copy_from_slice(&second.to_be_bytes());
        let both = of_a.status & of_b.status & SRC_NAT != 0;
        if both && reply == other && of_a.tuples[0] == of_b.tuples[0] {
            self.0.insert(second, first);
        }
    }

    fn rename_tuple(&self, tuple: &mut [u8; 40]) {
        let places: &[usize] = match port_place(tuple[38]) {
            // The type and code of ICMP are no port.
            Some(16) => &[16],
            Some(_) => &[16, 36],
            None => &[],
        };
        for &at in places {
            self.rename_port(tuple, at);
        }
    }

    /// Renames the port at a place, if it is there and was drawn; gives what it was and is.
    fn rename_port(&self, bytes: &mut [u8], at: usize) -> Option<[u16; 2]> {
        let field = bytes.get_mut(at..at + 2)?;
        let old = u16::from_be_bytes([field[0], field[1]]);
        let new = *self.0.get(&old)?;
        field.copy_from_slice(&new.to_be_bytes());
        Some([old, new])
    }

    fn rename_packet(&self, packet: &[u8]) -> Vec<u8> {
        let Some(view) = View::of(packet) else {
            return packet.to_vec();
        };
        let quoted = quoted(&view);
        let (begin, inner) = quoted.unwrap_or((0, view.proto));
        let places: &[usize] = match inner {
            proto::TCP | proto::UDP | proto::SCTP => &[0, 2],
            proto::ICMP | proto::ICMPV6 => &[4],
            _ => &[],
        };
        let mut body = view.body.to_vec();
        for place in places {
            let Some([old, new]) = self.rename_port(&mut body, begin + place) else {
                continue;
            };
            if let Some((at, _)) = checksum::place(inner) {
                checksum::adjust(&mut body, begin + at, old, new);
            }
        }
        let sealed = checksum::is_sealed(view.src, view.dst, view.proto, view.body);
        if sealed && (quoted.is_some() || view.proto == proto::SCTP) {
            checksum::seal(view.src, view.dst, view.proto, &mut body);
        }
        [packet.get(..view.offset).unwrap_or(packet), &body].concat()
    }
}

/// Where the reply's tuple has what source NAT may draw.
fn port_place(proto: u8) -> Option<usize> {
    match proto {
        proto::TCP | proto::UDP | proto::SCTP => Some(36),
        proto::ICMP | proto::ICMPV6 => Some(16),
        _ => None,
    }
}

/// Where behind an ICMP error's header the transport header that it quotes begins, and of what
/// protocol that is.
fn quoted(view: &View<'_>) -> Option<(usize, u8)> {
    let error = match view.proto {
        proto::ICMP => matches!(view.body.first(), Some(3 | 4 | 5 | 11 | 12)),
        _ => matches!(view.body.first(), Some(0..=127)),
    };
    let quote = View::of(view.body.get(8..).filter(|_| error)?)?;
    Some((8 + quote.offset, quote.proto))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        format::Record,
        packet::{
            Addr,
            Ip, //
        },
    };
    use zerocopy::FromZeros;

    const HOSTS: [Addr; 2] = [Addr::V4([192, 0, 2, 1]), Addr::V4([10, 0, 0, 2])];

    /// A packet of UDP from a port, and the record of its connection.
    fn sent(port: u16) -> Outcome {
        let mut record = Record::new_zeroed();
        record.status = SRC_NAT;
        record.tuples[0][38] = proto::UDP;
        record.tuples[1][38] = proto::UDP;
        record.tuples[1][36..38].copy_from_slice(&port.to_be_bytes());
        let mut body = [&port.to_be_bytes()[..], &[0, 53, 0, 12, 0, 0, 1, 2, 3, 4]].concat();
        checksum::seal(HOSTS[0], HOSTS[1], proto::UDP, &mut body);
        Outcome {
            packet: Ip::new(HOSTS[0], HOSTS[1]).packet(proto::UDP, &body),
            ..Outcome::new(record)
        }
    }

    /// An ICMP error about the answer to a packet.
    fn error(about: &[u8]) -> Vec<u8> {
        let view = View::of(about).unwrap();
        let mut body = view.body.to_vec();
        body.swap(0, 2);
        body.swap(1, 3);
        let quote = Ip::new(HOSTS[1], HOSTS[0]).packet(proto::UDP, &body);
        let mut body = [&[3, 1, 0, 0, 0, 0, 0, 0][..], &quote].concat();
        checksum::seal(HOSTS[0], HOSTS[1], proto::ICMP, &mut body);
        Ip::new(HOSTS[0], HOSTS[1]).packet(proto::ICMP, &body)
    }

    #[test]
    fn a_drawn_port_is_the_only_difference() {
        let (a, b) = (sent(2000), sent(3000));
        let mut drawn = Drawn::default();
        assert_eq!(drawn.rename(&a, &b), a);
        assert_eq!(drawn.rename_packet(&error(&b.packet)), error(&a.packet));

        let mut other = sent(3000);
        other.record.tuples[1][20] = 1;
        let mut drawn = Drawn::default();
        assert_ne!(drawn.rename(&a, &other), a);
        // The port that the packet had already.
        assert_ne!(drawn.rename(&a, &sent(0)), a);
        assert!(!drawn.is_any());
    }
}
