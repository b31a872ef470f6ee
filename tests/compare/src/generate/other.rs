// SPDX-License-Identifier: GPL-2.0

//! Walks of protocols that have no tracker of their own.

use crate::{
    checksum::proto,
    generate::{
        udp,
        walk::{
            Body,
            Side,
            Walk, //
        },
    },
};

/// Protocols: IGMP, IP in IP, DCCP, IPv6, RSVP, ESP, AH, OSPF, PIM, IPComp, VRRP, UDP-Lite, and
/// unused numbers.
const PROTOS: [u8; 14] = [2, 4, 33, 41, 46, 50, 51, 89, 103, 108, 112, 136, 253, 255];

/// What is an extension header over IPv6, or ends their chain, and a protocol like any other over
/// IPv4; and the ICMP of the other family.
const STRANGE: [u8; 8] = [
    proto::HOP_BY_HOP,
    proto::ROUTING,
    proto::FRAGMENT,
    proto::AUTH,
    proto::NONE,
    proto::DEST_OPTIONS,
    proto::ICMP,
    proto::ICMPV6,
];

/// Walks until the case is long enough.
pub fn walk(walk: &mut Walk<'_>) {
    let mut number = number(walk);
    while walk.has_room() && !walk.rng.one_in(12) {
        let from = match walk.rng.chance(60) {
            true => Side::Client,
            false => Side::Server,
        };
        let len = walk.rng.pick(&[0, 1, 3, 4, 8, 20, 60]);
        let mut bytes = walk.rng.bytes(len);
        // Not every length of an extension header goes beyond the packet.
        if let (true, Some(len)) = (walk.rng.chance(60), bytes.get_mut(1)) {
            *len = walk.rng.below(3) as u8;
        }
        walk.send(from, Body::new(number, bytes));
        match walk.rng.below(12) {
            0 => {
                let seconds = walk.rng.range(1, 300);
                walk.wait(seconds);
            }
            1 => walk.wait_around(&["generic_timeout"]),
            2 => number = self::number(walk),
            _ => {}
        }
    }
    // Something with a tracker beside it.
    if walk.rng.one_in(10) {
        udp::walk(walk);
    }
}

/// A protocol number.
fn number(walk: &mut Walk<'_>) -> u8 {
    let any = loop {
        let any = walk.rng.u8();
        // The IP layer reads hop-by-hop options itself.
        if any != proto::HOP_BY_HOP || !walk.is_ipv6() {
            break any;
        }
    };
    let common = walk.rng.pick(&PROTOS);
    let strange = match walk.rng.pick(&STRANGE) {
        proto::HOP_BY_HOP if walk.is_ipv6() => proto::NONE,
        strange => strange,
    };
    walk.rng.weighted(&[(60, common), (25, strange), (15, any)])
}
