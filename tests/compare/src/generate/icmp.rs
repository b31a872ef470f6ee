// SPDX-License-Identifier: GPL-2.0

//! Walks of ICMP and ICMPv6: questions and answers, errors about flows, neighbour discovery.

use crate::{
    checksum::proto,
    generate::{
        error, gre, sctp, tcp, udp,
        walk::{
            Body,
            Side,
            Walk,
            ROUTER, //
        },
    },
    packet::{
        Addr,
        Ip, //
    },
};

/// Questions and their answers: echo, timestamp, information, address mask.
const V4: [(u8, u8); 6] = [(8, 0), (8, 0), (8, 0), (13, 14), (15, 16), (17, 18)];

/// Questions and their answers: echo, node information.
const V6: [(u8, u8); 4] = [(128, 129), (128, 129), (128, 129), (139, 140)];

/// Multicast listener and neighbour discovery, multicast router discovery.
const UNTRACKED: [u8; 10] = [130, 131, 132, 133, 134, 135, 136, 143, 151, 152];

/// All nodes of a link.
const ALL_NODES: Addr = Addr::V6([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

/// What can happen next.
#[derive(Clone, Copy, Debug)]
enum Act {
    Ask,
    Answer,
    AnyType,
    AnotherId,
    Neighbours,
    Error,
    Wait,
    Timeout,
}

/// Walks until the case is long enough.
pub fn walk(walk: &mut Walk<'_>) {
    if walk.rng.chance(45) {
        return about_a_flow(walk);
    }
    let mut question = question(walk);
    while walk.has_room() && !walk.rng.one_in(15) {
        let act = walk.rng.weighted(&[
            (30, Act::Ask),
            (30, Act::Answer),
            (10, Act::AnyType),
            (8, Act::AnotherId),
            (if walk.is_ipv6() { 10 } else { 0 }, Act::Neighbours),
            (8, Act::Error),
            (5, Act::Wait),
            (5, Act::Timeout),
        ]);
        match act {
            Act::Ask => question.send(walk, Side::Client, question.asks),
            Act::Answer => question.send(walk, Side::Server, question.answers),
            Act::AnyType => {
                let any = walk.rng.u8();
                let kind = walk.rng.below(20) as u8;
                let kind = walk
                    .rng
                    .pick(&[any, kind, 125 + kind, question.asks, question.answers]);
                let from = Side::any(&mut walk.rng);
                question.send(walk, from, kind);
            }
            Act::AnotherId => question = self::question(walk),
            Act::Neighbours => discover(walk),
            Act::Error => error::send(walk),
            Act::Wait => {
                let seconds = walk.rng.range(1, 15);
                walk.wait(seconds);
            }
            Act::Timeout => walk.wait_around(&["icmp_timeout", "icmpv6_timeout"]),
        }
    }
}

/// A flow of another protocol with many errors about it.
fn about_a_flow(walk: &mut Walk<'_>) {
    walk.expect_errors(40);
    match walk.rng.below(4) {
        0 => udp::walk(walk),
        1 => tcp::walk(walk),
        2 => sctp::walk(walk),
        _ => gre::walk(walk),
    }
    for _ in 0..walk.rng.below(4) {
        error::send(walk);
    }
}

/// A question that is asked and answered.
#[derive(Clone, Copy, Debug)]
struct Question {
    asks: u8,
    answers: u8,
    code: u8,
    id: u16,
}

fn question(walk: &mut Walk<'_>) -> Question {
    let (asks, answers) = match walk.is_ipv6() {
        true => walk.rng.pick(&V6),
        false => walk.rng.pick(&V4),
    };
    let code = walk.rng.below(3) as u8;
    Question {
        asks,
        answers,
        code: walk.rng.weighted(&[(90, 0), (10, code)]),
        id: walk.rng.u16(),
    }
}

impl Question {
    fn send(&self, walk: &mut Walk<'_>, from: Side, kind: u8) {
        let proto = proto(walk);
        let mut code = self.code;
        let disturbed = walk.is_disturbed() && walk.rng.chance(30);
        if disturbed {
            code = walk.rng.u8();
        }
        let mut bytes = vec![kind, code, 0, 0];
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(walk.rng.u16().to_be_bytes());
        let len = walk.rng.below(60) as usize;
        bytes.extend(walk.rng.bytes(len));
        let body = Body::new(proto, bytes);
        let body = if disturbed { body.disturbed() } else { body };
        walk.send(from, body);
    }
}

/// The ICMP of the case's family.
fn proto(walk: &Walk<'_>) -> u8 {
    match walk.is_ipv6() {
        true => proto::ICMPV6,
        false => proto::ICMP,
    }
}

/// A message that a link's neighbours send to each other.
fn discover(walk: &mut Walk<'_>) {
    let kind = walk.rng.pick(&UNTRACKED);
    let mut bytes = vec![kind, 0, 0, 0];
    let len = walk.rng.range(4, 40) as usize;
    bytes.extend(walk.rng.bytes(len));

    let from = walk.link_local(ROUTER);
    let to = walk.link_local(1);
    let to = walk.rng.pick(&[to, ALL_NODES]);
    let mut ip = Ip::new(from, to);
    ip.hop_limit = 255;
    let way = walk.way(Side::Client);
    walk.send_as(ip, way, Body::new(proto::ICMPV6, bytes));
}
