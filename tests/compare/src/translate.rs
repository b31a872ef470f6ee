// SPDX-License-Identifier: GPL-2.0

//! What the far side of NAT sees and says.
//!
//! A case is made as if there were no NAT. What answers a packet that NAT has changed is sent to
//! where that packet came from as it left, and what quotes it quotes it so.

use crate::{
    checksum::{
        self,
        proto, //
    },
    packet::{
        self,
        Addr,
        View, //
    },
};
use std::collections::BTreeMap;

/// What names a flow in one direction: addresses, what is in the place of ports, protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flow {
    src: Addr,
    dst: Addr,
    sport: u16,
    dport: u16,
    proto: u8,
}

/// How types of ICMP and ICMPv6 are asked, and answered.
const QUESTIONS: [(u8, u8, u8); 4] = [
    (proto::ICMP, 8, 0),
    (proto::ICMP, 13, 14),
    (proto::ICMP, 17, 18),
    (proto::ICMPV6, 128, 129),
];

impl Flow {
    /// That of a `struct nf_conntrack_tuple`; of ICMP the identifier is both ports.
    fn of_tuple(tuple: &[u8; 40]) -> Option<Self> {
        let port = |at: usize| u16::from_be_bytes([tuple[at], tuple[at + 1]]);
        let addr = |at: usize| match tuple[18] {
            packet::IPV4 => tuple[at..].first_chunk().map(|bytes| Addr::V4(*bytes)),
            packet::IPV6 => tuple[at..].first_chunk().map(|bytes| Addr::V6(*bytes)),
            _ => None,
        };
        let proto = tuple[38];
        let is_icmp = matches!(proto, proto::ICMP | proto::ICMPV6);
        Some(Self {
            src: addr(0)?,
            dst: addr(20)?,
            sport: port(16),
            dport: port(if is_icmp { 16 } else { 36 }),
            proto,
        })
    }

    /// That of a packet; the addresses only where its protocol has no ports.
    fn of_packet(view: &View<'_>) -> Option<Self> {
        let [sport, dport] = match view.proto {
            _ if view.fragment.is_some() => return None,
            proto::TCP | proto::UDP | proto::SCTP => [0, 2],
            proto::ICMP | proto::ICMPV6 => [4, 4],
            _ => [usize::MAX; 2],
        }
        .map(|at| match view.body.get(at..) {
            Some(bytes) => bytes.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)),
            None => Some(0),
        });
        Some(Self {
            src: view.src,
            dst: view.dst,
            sport: sport?,
            dport: dport?,
            proto: view.proto,
        })
    }

    /// The other direction.
    fn inverse(self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            sport: self.dport,
            dport: self.sport,
            proto: self.proto,
        }
    }
}

/// The connections of a case that NAT has changed.
#[derive(Debug, Default)]
pub struct Translated {
    /// What answers look like, by what the tracker saw first.
    replies: BTreeMap<Flow, Flow>,
}

impl Translated {
    /// Learns the tuples of a connection.
    pub fn learn(&mut self, tuples: &[[u8; 40]; 2]) {
        let [original, reply] = tuples.each_ref().map(Flow::of_tuple);
        if let (Some(original), Some(reply)) = (original, reply) {
            if reply == original.inverse() {
                self.replies.remove(&original);
            } else {
                self.replies.insert(original, reply);
            }
        }
    }

    /// The packet that is sent in the place of this packet.
    pub fn translate(&self, bytes: &[u8]) -> Vec<u8> {
        let translated = View::of(bytes).and_then(|view| match quote(&view) {
            Some(at) => self.error(bytes, &view, at),
            None => self.answer(bytes, &view),
        });
        translated.unwrap_or_else(|| bytes.to_vec())
    }

    /// An answer to what has changed.
    fn answer(&self, bytes: &[u8], view: &View<'_>) -> Option<Vec<u8>> {
        let of = |(proto, _, answer)| proto == view.proto && view.body.first() == Some(&answer);
        let is_icmp = matches!(view.proto, proto::ICMP | proto::ICMPV6);
        if is_icmp && !QUESTIONS.into_iter().any(of) {
            return None;
        }
        let reply = self.replies.get(&Flow::of_packet(view)?.inverse())?;
        Some(rewrite(bytes, view, *reply, |_| ()))
    }

    /// An error about what has changed, which is quoted from a place on.
    fn error(&self, bytes: &[u8], view: &View<'_>, at: usize) -> Option<Vec<u8>> {
        let inner = View::of(view.body.get(at..)?)?;
        let flow = Flow::of_packet(&inner)?;
        let left = self.replies.get(&flow)?.inverse();
        let outer = Flow {
            src: if view.src == flow.dst {
                left.dst
            } else {
                view.src
            },
            dst: if view.dst == flow.src {
                left.src
            } else {
                view.dst
            },
            sport: 0,
            dport: 0,
            proto: view.proto,
        };
        let quoted = rewrite(&view.body[at..], &inner, left, |_| ());
        Some(rewrite(bytes, view, outer, |body| {
            body[at..].copy_from_slice(&quoted);
        }))
    }
}

/// Where an ICMP error quotes a packet.
fn quote(view: &View<'_>) -> Option<usize> {
    let error = match view.proto {
        proto::ICMP => matches!(view.body.first(), Some(3 | 4 | 5 | 11 | 12)),
        proto::ICMPV6 => matches!(view.body.first(), Some(0..=127)),
        _ => false,
    };
    error.then_some(8)
}

/// A packet with the addresses and ports of a flow, and what `change` does to its body. A right
/// checksum stays right, and a wrong checksum as wrong as NAT would leave it.
fn rewrite(bytes: &[u8], view: &View<'_>, flow: Flow, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let sealed = checksum::is_sealed(view.src, view.dst, view.proto, view.body);
    let mut packet = bytes.to_vec();
    let (header, body) = packet.split_at_mut(view.offset.min(bytes.len()));
    let ports = match view.proto {
        proto::TCP | proto::UDP | proto::SCTP => vec![(0, flow.sport), (2, flow.dport)],
        proto::ICMP | proto::ICMPV6 if quote(view).is_none() => vec![(4, flow.sport)],
        _ => Vec::new(),
    };
    let mut changes = Vec::new();
    for (at, port) in ports {
        if let Some(field) = body.get_mut(at..at + 2) {
            changes.push((u16::from_be_bytes([field[0], field[1]]), port));
            field.copy_from_slice(&port.to_be_bytes());
        }
    }
    change(body);
    let place = checksum::place(view.proto);
    match place {
        _ if sealed => checksum::seal(flow.src, flow.dst, view.proto, body),
        // No checksum of UDP.
        Some((at, _)) if body.get(at..at + 2) == Some(&[0, 0]) => {}
        Some((at, covers_addresses)) => {
            if covers_addresses {
                let words = |addr: &Addr| -> Vec<u16> {
                    let pairs = addr.bytes().chunks(2);
                    pairs
                        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                        .collect()
                };
                for (old, new) in [(view.src, flow.src), (view.dst, flow.dst)] {
                    changes.extend(words(&old).into_iter().zip(words(&new)));
                }
            }
            for (old, new) in changes {
                checksum::adjust(body, at, old, new);
            }
        }
        None => {}
    }
    packet::set_addresses(header, flow.src, flow.dst);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Ip;

    const CLIENT: Addr = Addr::V4([10, 0, 0, 1]);
    const SERVER: Addr = Addr::V4([10, 0, 0, 2]);
    const NAT: Addr = Addr::V4([192, 0, 2, 1]);

    fn udp(src: Addr, dst: Addr, ports: [u16; 2]) -> Vec<u8> {
        let mut body = ports.map(u16::to_be_bytes).concat();
        body.extend([0, 10, 0, 0, 7, 7]);
        checksum::seal(src, dst, proto::UDP, &mut body);
        Ip::new(src, dst).packet(proto::UDP, &body)
    }

    fn error(src: Addr, dst: Addr, quote: &[u8]) -> Vec<u8> {
        let mut body = [&[3, 1, 0, 0, 0, 0, 0, 0][..], quote].concat();
        checksum::seal(src, dst, proto::ICMP, &mut body);
        Ip::new(src, dst).packet(proto::ICMP, &body)
    }

    fn tuple(src: Addr, dst: Addr, ports: [u16; 2], dir: u8) -> [u8; 40] {
        let mut tuple = [0; 40];
        tuple[..4].copy_from_slice(src.bytes());
        tuple[20..24].copy_from_slice(dst.bytes());
        tuple[16..18].copy_from_slice(&ports[0].to_be_bytes());
        tuple[36..38].copy_from_slice(&ports[1].to_be_bytes());
        (tuple[18], tuple[38], tuple[39]) = (packet::IPV4, proto::UDP, dir);
        tuple
    }

    #[test]
    fn answers_and_errors_are_about_what_left() {
        let mut translated = Translated::default();
        let original = tuple(CLIENT, SERVER, [1000, 53], 0);
        translated.learn(&[original, tuple(SERVER, NAT, [53, 2000], 1)]);

        let question = udp(CLIENT, SERVER, [1000, 53]);
        assert_eq!(translated.translate(&question), question);
        assert_eq!(
            translated.translate(&udp(SERVER, CLIENT, [53, 1000])),
            udp(SERVER, NAT, [53, 2000])
        );
        assert_eq!(
            translated.translate(&error(SERVER, CLIENT, &question)),
            error(SERVER, NAT, &udp(NAT, SERVER, [2000, 53]))
        );

        translated.learn(&[original, tuple(SERVER, CLIENT, [53, 1000], 1)]);
        let answer = udp(SERVER, CLIENT, [53, 1000]);
        assert_eq!(translated.translate(&answer), answer);
    }
}
