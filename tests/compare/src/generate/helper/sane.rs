// SPDX-License-Identifier: GPL-2.0

//! SANE: a scanner tells at which port a picture is to be fetched.

use crate::generate::{
    helper::{
        port,
        stream::{
            data,
            Stream, //
        },
    },
    walk::{
        Side,
        Walk, //
    },
};

/// The number of the request for a picture, SANE_NET_START, and of another one.
const START: u32 = 7;
const CANCEL: u32 = 8;

/// Pictures are asked for.
pub fn talk(walk: &mut Walk<'_>, common: u16) {
    let mut stream = Stream::to_server(walk, 6566);
    while stream.walk.has_room() && !stream.walk.rng.one_in(4) {
        let request = stream.walk.rng.weighted(&[(80, START), (20, CANCEL)]);
        stream.say(Side::Client, [request, 0].map(u32::to_be_bytes).concat());
        let port = port(stream.walk, common);
        // Whether it did not succeed; what should be zero; the order of bytes of the data.
        let status = stream.walk.rng.weighted(&[(90, 0), (10, 3)]);
        let zero = stream.walk.rng.weighted(&[(95, 0), (5, 1)]);
        let answer = [0, status, zero, port, 0x1234, 0];
        stream.say(Side::Server, answer.map(u16::to_be_bytes).concat());
        let server = stream.walk.addr(Side::Server);
        let from = stream.walk.rng.range(1024, 65535) as u16;
        data(stream.walk, Side::Client, server, [from, port]);
    }
    if stream.walk.rng.chance(60) {
        stream.close();
    }
}
