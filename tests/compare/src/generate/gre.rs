// SPDX-License-Identifier: GPL-2.0

//! Walks of GRE: plain tunnels, and the sessions of PPTP.

use crate::{
    checksum::proto,
    generate::walk::{
        Body,
        Side,
        Walk, //
    },
};

/// The payload of PPTP's sessions.
const PPP: u16 = 0x880b;

/// The flags of a checksum, a key and a sequence number, and of PPTP's acknowledgment.
const CHECKSUM: u16 = 0x8000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
const ACKNOWLEDGMENT: u16 = 0x0080;

/// The version of PPTP.
const VERSION_PPTP: u16 = 1;

/// Walks until the case is long enough.
pub fn walk(walk: &mut Walk<'_>) {
    let pptp = walk.rng.chance(50);
    let calls = [0; 2].map(|_| walk.rng.u16());
    while walk.has_room() && !walk.rng.one_in(15) {
        let from = match walk.rng.chance(60) {
            true => Side::Client,
            false => Side::Server,
        };
        // A packet of the other kind meets the same addresses now and then.
        let other = walk.rng.one_in(12);
        let body = match pptp != other {
            true => session(walk, calls[from as usize]),
            false => tunnel(walk),
        };
        walk.send(from, body);
        match walk.rng.below(12) {
            0 => {
                let seconds = walk.rng.range(1, 20);
                walk.wait(seconds);
            }
            1 => walk.wait_around(&["gre_timeout", "gre_timeout_stream"]),
            _ => {}
        }
    }
}

/// A packet of a plain tunnel (RFC 2784, RFC 2890).
fn tunnel(walk: &mut Walk<'_>) -> Body {
    let rng = &mut walk.rng;
    let mut flags = 0;
    for flag in [CHECKSUM, KEY, SEQUENCE] {
        if rng.chance(30) {
            flags |= flag;
        }
    }
    let disturbed = rng.one_in(12);
    if disturbed {
        // Another version, or unused flags.
        flags |= rng.pick(&[2, 7, 0x4000, 0x0800, 0x0700]);
    }
    let payload = rng.pick(&[0x0800, 0x86dd, 0x6558, 0]);
    let words = [CHECKSUM, KEY, SEQUENCE].map(|flag| usize::from(flags & flag != 0));
    let len = 4 * words.iter().sum::<usize>() + rng.below(40) as usize;
    body(walk, flags, payload, len, disturbed)
}

/// A packet of a session of PPTP (RFC 2637 section 4.1).
pub fn session(walk: &mut Walk<'_>, call: u16) -> Body {
    let rng = &mut walk.rng;
    let mut flags = KEY | VERSION_PPTP;
    for flag in [SEQUENCE, ACKNOWLEDGMENT] {
        if rng.chance(50) {
            flags |= flag;
        }
    }
    let disturbed = rng.one_in(10);
    let mut payload = PPP;
    if disturbed {
        payload = rng.pick(&[PPP, 0x0800, 0x880a]);
        flags ^= rng.pick(&[0, KEY, CHECKSUM, 2]);
    }
    let len = rng.below(40) as usize;
    let mut body = body(walk, flags, payload, 4 + len, disturbed);
    body.bytes[4..6].copy_from_slice(&(len as u16).to_be_bytes());
    body.bytes[6..8].copy_from_slice(&call.to_be_bytes());
    if disturbed && walk.rng.chance(50) {
        let len = walk.rng.below(9) as usize;
        body.bytes.truncate(len);
    }
    body
}

fn body(walk: &mut Walk<'_>, flags: u16, payload: u16, len: usize, disturbed: bool) -> Body {
    let mut bytes = flags.to_be_bytes().to_vec();
    bytes.extend(payload.to_be_bytes());
    bytes.extend(walk.rng.bytes(len));
    let body = Body::new(proto::GRE, bytes);
    match disturbed {
        true => body.disturbed(),
        false => body,
    }
}
