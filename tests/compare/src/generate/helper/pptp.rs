// SPDX-License-Identifier: GPL-2.0

//! PPTP: calls are agreed on in a connection of TCP, and carried in GRE (RFC 2637).

use crate::generate::{
    gre,
    helper::{
        outside,
        send,
        stream::Stream, //
    },
    walk::{
        Side,
        Walk, //
    },
};

/// The kinds of messages, and how long each is behind its header.
const START_REQUEST: (u16, usize) = (1, 144);
const START_REPLY: (u16, usize) = (2, 144);
const STOP_REQUEST: (u16, usize) = (3, 4);
const STOP_REPLY: (u16, usize) = (4, 4);
const ECHO_REQUEST: (u16, usize) = (5, 4);
const ECHO_REPLY: (u16, usize) = (6, 8);
const OUT_CALL_REQUEST: (u16, usize) = (7, 156);
const OUT_CALL_REPLY: (u16, usize) = (8, 24);
const IN_CALL_REQUEST: (u16, usize) = (9, 208);
const IN_CALL_REPLY: (u16, usize) = (10, 12);
const IN_CALL_CONNECTED: (u16, usize) = (11, 16);
const CALL_CLEAR_REQUEST: (u16, usize) = (12, 4);
const CALL_DISCONNECT_NOTIFY: (u16, usize) = (13, 136);
const WAN_ERROR_NOTIFY: (u16, usize) = (14, 28);
const SET_LINK_INFO: (u16, usize) = (15, 12);

/// A message that begins with these words; what follows is zero.
fn message((kind, len): (u16, usize), words: &[u16]) -> Vec<u8> {
    let head = [16 - 4 + len as u16, 1, 0x1a2b, 0x3c4d, kind, 0];
    let words = head.iter().chain(words);
    let mut bytes: Vec<_> = words.flat_map(|word| word.to_be_bytes()).collect();
    bytes.resize(12 + len, 0);
    bytes
}

/// What a message says where it says that all is well, and where not; an error code follows.
const OK: u16 = 0x0100;
const ERROR: u16 = 0x0200;

/// A client opens a session, and calls are made in it.
pub fn talk(walk: &mut Walk<'_>) {
    let mut stream = Stream::to_server(walk, 1723);
    stream.say(Side::Client, message(START_REQUEST, &[0x0100]));
    let answer = result(stream.walk);
    stream.say(Side::Server, message(START_REPLY, &[0x0100, answer]));
    while stream.walk.has_room() && !stream.walk.rng.one_in(5) {
        match stream.walk.rng.below(8) {
            0 => {
                let from = Side::any(&mut stream.walk.rng);
                stream.say(from, message(ECHO_REQUEST, &[0, 7]));
                stream.say(from.other(), message(ECHO_REPLY, &[0, 7, OK]));
            }
            1 => {
                // A kind of message that is not due, or that there is not.
                let from = Side::any(&mut stream.walk.rng);
                let kind = stream.walk.rng.range(0, 17) as u16;
                let words = [0; 4].map(|_| stream.walk.rng.u16());
                stream.say(from, message((kind, 208), &words));
            }
            _ => call(&mut stream),
        }
    }
    if stream.walk.rng.chance(40) {
        stream.say(Side::Client, message(STOP_REQUEST, &[OK]));
        stream.say(Side::Server, message(STOP_REPLY, &[OK]));
        stream.close();
    }
}

/// Mostly that all is well.
fn result(walk: &mut Walk<'_>) -> u16 {
    walk.rng.weighted(&[(92, OK), (8, ERROR)])
}

/// A call, what goes through it, and its end.
fn call(stream: &mut Stream<'_, '_>) {
    let port = stream.port;
    let walk = &mut stream.walk;
    // NAT makes the client's port the number of its call, which the server then says.
    let own = match walk.rng.chance(50) {
        true => port,
        false => walk.rng.u16(),
    };
    let seen = walk.rng.weighted(&[(60, own), (40, port)]);
    let other = walk.rng.u16();
    let answer = result(walk);
    if walk.rng.chance(70) {
        stream.say(Side::Client, message(OUT_CALL_REQUEST, &[own, 1]));
        let words = [other, seen, answer];
        stream.say(Side::Server, message(OUT_CALL_REPLY, &words));
    } else {
        stream.say(Side::Server, message(IN_CALL_REQUEST, &[other, 1]));
        let words = [own, other, answer];
        stream.say(Side::Client, message(IN_CALL_REPLY, &words));
        stream.say(Side::Server, message(IN_CALL_CONNECTED, &[seen]));
    }
    let walk = &mut stream.walk;
    for _ in 0..walk.rng.range(1, 5) {
        match Side::any(&mut walk.rng) {
            Side::Client => {
                let body = gre::session(walk, other);
                walk.send(Side::Client, body);
            }
            Side::Server => {
                let body = gre::session(walk, seen);
                let to = outside(walk);
                send(walk, Side::Server, to, body);
            }
        }
    }
    match stream.walk.rng.below(6) {
        0 => stream.say(Side::Server, message(WAN_ERROR_NOTIFY, &[seen])),
        1 => {
            let from = Side::any(&mut stream.walk.rng);
            stream.say(from, message(SET_LINK_INFO, &[seen]));
        }
        2 | 3 => {
            stream.say(Side::Client, message(CALL_CLEAR_REQUEST, &[own]));
            let words = [other, OK];
            stream.say(Side::Server, message(CALL_DISCONNECT_NOTIFY, &words));
        }
        _ => {}
    }
}
