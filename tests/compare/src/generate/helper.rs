// SPDX-License-Identifier: GPL-2.0

//! Walks of protocols whose helpers read, and with NAT rewrite, what is said.

mod amanda;
mod ftp;
mod h323;
mod irc;
mod pptp;
mod sane;
mod sip;
mod snmp;
mod stream;
mod tftp;

use crate::{
    checksum::proto,
    generate::walk::{
        Body,
        Side,
        Walk, //
    },
    packet::{
        Addr,
        Ip, //
    },
    rng::Rng,
    sequence::Rule, //
};

/// What gives connections a helper. SNMP's traps get the helper of its questions, which hands both
/// to nf_nat_snmp_basic: a helper of their own is there only where that module is.
const HELPERS: [&str; 10] = [
    "tcp dport 21 ct helper set \"ftp\"",
    "udp dport 69 ct helper set \"tftp\"",
    "udp dport 5060 ct helper set \"sip\"",
    "tcp dport 6667 ct helper set \"irc\"",
    "udp dport 10080 ct helper set \"amanda\"",
    "tcp dport 1723 ct helper set \"pptp\"",
    "udp dport 1719 ct helper set \"RAS\"",
    "tcp dport 1720 ct helper set \"Q.931\"",
    "tcp dport 6566 ct helper set \"sane\"",
    "udp dport { 161, 162 } ct helper set \"snmp\"",
];

/// Rules that change the sources of what clients send, of IPv4 and of IPv6: to the addresses that
/// end with 1, which are the device's, and with 7.
const MASQUERADE: [&str; 2] = ["masquerade"; 2];
const SNAT: [&str; 2] = ["snat ip to 192.0.2.7", "snat ip6 to 2001:db8:ffff::7"];

/// The rules that give connections a helper, and some of NAT that draw no ports: ports would be in
/// what is said.
pub fn rules(rng: &mut Rng) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut push = |chain: &str, text: &str| {
        rules.push(Rule {
            chain: chain.to_owned(),
            text: text.to_owned(),
        });
    };
    for text in HELPERS {
        for chain in ["early", "local"] {
            push(chain, text);
        }
    }
    let [v4, v6] = rng.pick(&[MASQUERADE, SNAT, ["", ""]]);
    let matches = rng.pick(&["", "ct direction original ", "meta l4proto { tcp, udp } "]);
    for (family, action) in [("ipv4", v4), ("ipv6", v6)] {
        if !action.is_empty() {
            let text = format!("meta nfproto {family} {matches}{action}");
            push("postrouting", &text);
        }
    }
    if rng.chance(30) {
        let text = "meta nfproto ipv4 tcp dport { 21, 1723, 6667 } dnat ip to 198.51.100.5";
        push("prerouting", text);
        push("output", text);
    }
    if rng.chance(15) {
        push("prerouting", "udp dport { 69, 5060, 10080 } redirect");
    }
    rules
}

/// What is said by one protocol; the port is the one that several sessions of a case say.
type Talk = fn(&mut Walk<'_>, u16);

/// Walks until the case is long enough.
pub fn walk(walk: &mut Walk<'_>) {
    walk.hold_still();
    // NAT takes another port for the second session that says the same port.
    let common = walk.rng.range(1024, 65535) as u16;
    while walk.has_room() {
        let all: [(u32, Talk); 9] = [
            (4, ftp::talk),
            (2, |walk, _| tftp::talk(walk)),
            (2, |walk, _| sip::talk(walk)),
            (2, amanda::talk),
            (5, h323::talk),
            (2, sane::talk),
            // For IPv4 only.
            (4, irc::talk),
            (7, |walk, _| pptp::talk(walk)),
            (1, |walk, _| snmp::talk(walk)),
        ];
        let talks = if walk.is_ipv6() { &all[..6] } else { &all[..] };
        walk.rng.weighted(talks)(walk, common);
        if walk.rng.chance(60) {
            break;
        }
    }
}

/// A port that is said: now and then the one that other sessions of the case say.
fn port(walk: &mut Walk<'_>, common: u16) -> u16 {
    match walk.rng.one_in(4) {
        true => common,
        false => walk.rng.range(1023, 65535) as u16,
    }
}

/// What is said, now and then not as it should be: it ends early, goes on, or has another byte.
fn spoil(rng: &mut Rng, data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    let at = rng.index(data.len());
    match rng.below(40) {
        0 => data.truncate(at),
        1 => data.extend(rng.bytes(at % 9 + 1)),
        2 | 3 => data[at] = rng.u8(),
        _ => {}
    }
    data
}

/// The last byte of the address that clients have outside with these rules; zero if their own.
pub fn outside_of(rules: &[Rule]) -> u8 {
    let has = |text: &str| rules.iter().any(|rule| rule.text.ends_with(text));
    match (has(MASQUERADE[0]), has(SNAT[0])) {
        (true, _) => 1,
        (_, true) => 7,
        _ => 0,
    }
}

/// Where a client is to be found from the far side; now and then that is wrong.
fn outside(walk: &mut Walk<'_>) -> Addr {
    let own = walk.addr(Side::Client);
    let last = match walk.rng.one_in(4) {
        true => walk.rng.pick(&[0, 1, 7]),
        false => walk.outside,
    };
    match (own, last) {
        (_, 0) => own,
        (Addr::V4(_), last) => Addr::V4([192, 0, 2, last]),
        (Addr::V6(_), last) => {
            let mut bytes = [0; 16];
            bytes[..6].copy_from_slice(&[0x20, 1, 0xd, 0xb8, 0xff, 0xff]);
            bytes[15] = last;
            Addr::V6(bytes)
        }
    }
}

/// Sends a body to a client's outside, or to the server.
fn send(walk: &mut Walk<'_>, from: Side, to: Addr, body: Body) {
    let ip = Ip::new(walk.addr(from), to);
    let way = walk.way(from);
    walk.send_as(ip, way, body);
}

fn udp(ports: [u16; 2], data: &[u8]) -> Body {
    let mut bytes = ports.map(u16::to_be_bytes).concat();
    bytes.extend(((data.len() + 8) as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(data);
    Body::new(proto::UDP, bytes)
}

/// Sends a datagram to the other end, now and then not as it should be.
fn say(walk: &mut Walk<'_>, from: Side, ports: [u16; 2], data: &[u8]) {
    let data = spoil(&mut walk.rng, data);
    walk.send(from, udp(ports, &data));
}
