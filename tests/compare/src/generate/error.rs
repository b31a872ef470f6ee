// SPDX-License-Identifier: GPL-2.0

//! ICMP errors about earlier packets of a case.

use crate::{
    checksum::proto,
    generate::walk::{
        opposite,
        Body,
        Side,
        Walk,
        ROUTER,
        STRANGER, //
    },
    packet::{
        Addr,
        Ip,
        View, //
    },
};

/// The types of errors: destination unreachable, source quench, redirect, time exceeded, parameter
/// problem.
const V4: [u8; 5] = [3, 4, 5, 11, 12];

/// The types of errors: destination unreachable, packet too big, time exceeded, parameter problem.
const V6: [u8; 4] = [1, 2, 3, 4];

/// The type of an ICMPv6 redirect.
const REDIRECT: u8 = 137;

/// Sends an ICMP error about a packet that was sent before; nothing if there is none.
pub fn send(walk: &mut Walk<'_>) {
    let Some(about) = walk.earlier() else {
        return;
    };
    let Some(view) = View::of(&about.bytes) else {
        return;
    };
    let either = Side::any(&mut walk.rng);
    let to = match walk.rng.below(20) {
        0 => view.dst,
        1 => walk.host(STRANGER),
        2 => walk.host(ROUTER),
        _ => view.src,
    };
    let from = match walk.rng.below(10) {
        0..=2 => view.dst,
        3 => walk.addr(either),
        _ => walk.host(ROUTER),
    };
    let mut ip = Ip::new(from, to);
    let quote = quote(walk, &about.bytes);
    let bytes = match walk.is_ipv6() {
        true if walk.rng.one_in(6) => redirect(walk, &mut ip, &quote),
        true => error(walk, &V6, &quote),
        false => error(walk, &V4, &quote),
    };
    let proto = match walk.is_ipv6() {
        true => proto::ICMPV6,
        false => proto::ICMP,
    };
    walk.send_as(ip, opposite(about.step.way), Body::new(proto, bytes));
}

/// An error message of one of the types.
fn error(walk: &mut Walk<'_>, types: &[u8], quote: &[u8]) -> Vec<u8> {
    let code = match walk.rng.chance(80) {
        true => walk.rng.below(6) as u8,
        false => walk.rng.u8(),
    };
    let mut bytes = vec![walk.rng.pick(types), code, 0, 0];
    match walk.rng.chance(70) {
        true => bytes.extend([0; 4]),
        false => bytes.extend(walk.rng.bytes(4)),
    }
    bytes.extend(quote);
    bytes
}

/// An ICMPv6 redirect with the packet that was redirected (RFC 4861 section 4.5).
fn redirect(walk: &mut Walk<'_>, ip: &mut Ip, quote: &[u8]) -> Vec<u8> {
    if !walk.rng.one_in(8) {
        ip.src = walk.link_local(ROUTER);
    }
    ip.hop_limit = walk.rng.weighted(&[(90, 255), (10, 254)]);

    let code = u8::from(walk.rng.one_in(10));
    let mut bytes = vec![REDIRECT, code, 0, 0, 0, 0, 0, 0];
    bytes.extend(walk.link_local(ROUTER).bytes());
    bytes.extend(ip.dst.bytes());
    let option = walk.rng.weighted(&[(85, 4), (10, 2), (5, 0)]);
    let words = ((quote.len() + 8) / 8) as u8;
    let words = walk.rng.weighted(&[(85, words), (5, 0), (5, 1), (5, 255)]);
    bytes.extend([option, words, 0, 0, 0, 0, 0, 0]);
    bytes.extend(quote);
    if walk.rng.one_in(12) {
        bytes.truncate(walk.rng.range(8, 56) as usize);
    }
    bytes
}

/// What an error says of a packet: its beginning, and rarely not even that.
fn quote(walk: &mut Walk<'_>, packet: &[u8]) -> Vec<u8> {
    let mut quote = packet.to_vec();
    let Some(view) = View::of(packet) else {
        return quote;
    };
    let len = match walk.rng.below(10) {
        0..=3 => quote.len().min(500),
        4..=7 => view.offset + 8,
        8 => view.offset + walk.rng.index(12),
        _ => walk.rng.index(quote.len() + 1),
    };
    quote.truncate(len);

    if walk.rng.one_in(6) {
        let bits = walk.rng.range(1, 255) as u8;
        let at = match walk.rng.below(4) {
            // An address.
            0 => match view.src {
                Addr::V4(_) => walk.rng.range(12, 19) as usize,
                Addr::V6(_) => walk.rng.range(8, 39) as usize,
            },
            // A port, or what is in its place.
            1 | 2 => view.offset + walk.rng.index(8),
            // Version, length, fragment, protocol.
            _ => walk.rng.index(10),
        };
        if let Some(byte) = quote.get_mut(at) {
            *byte ^= bits;
        }
    }
    quote
}
