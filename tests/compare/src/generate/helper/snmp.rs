// SPDX-License-Identifier: GPL-2.0

//! SNMP, whose messages NAT changes where they say addresses (nf_nat_snmp_basic).

use crate::{
    generate::{
        helper::{
            outside,
            say, //
        },
        walk::{
            Side,
            Walk, //
        },
    },
    packet::Addr, //
};

/// The ports of questions, and of traps.
const QUESTIONS: u16 = 161;
const TRAPS: u16 = 162;

/// Kinds of messages of version 2.
const GET: u8 = 0;
const RESPONSE: u8 = 2;
const TRAP: u8 = 7;

/// A value of ASN.1, whose length fits in seven bits.
fn ber(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, content.len() as u8], content].concat()
}

/// A message about addresses.
fn message(version: u8, kind: u8, addresses: &[Addr]) -> Vec<u8> {
    let name = ber(6, b"\x2b\x06\x01\x02\x01\x04\x14\x01\x01");
    let values = addresses.iter().map(|addr| {
        let value = ber(0x40, addr.bytes());
        ber(0x30, &[&name[..], &value].concat())
    });
    let values: Vec<_> = values.flatten().collect();
    let numbers = [ber(2, &[1]), ber(2, &[0]), ber(2, &[0])].concat();
    let body = ber(0xa0 | kind, &[numbers, ber(0x30, &values)].concat());
    let head = [ber(2, &[version]), ber(4, b"public")].concat();
    ber(0x30, &[head, body].concat())
}

/// A question and its answer, or a trap.
pub fn talk(walk: &mut Walk<'_>) {
    let port = walk.rng.range(1024, 65535) as u16;
    let addresses = [walk.addr(Side::Client), walk.addr(Side::Server)];
    // The kernel knows numbers 0 and 1 here.
    let version = walk.rng.weighted(&[(90, 1), (5, 0), (5, 3)]);
    if walk.rng.chance(40) {
        let trap = message(version, TRAP, &addresses);
        say(walk, Side::Client, [port, TRAPS], &trap);
        return;
    }
    let question = message(version, GET, &addresses);
    say(walk, Side::Client, [port, QUESTIONS], &question);
    let seen = [outside(walk), addresses[1]];
    let answer = message(version, RESPONSE, &seen);
    say(walk, Side::Server, [QUESTIONS, port], &answer);
}
