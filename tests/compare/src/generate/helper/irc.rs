// SPDX-License-Identifier: GPL-2.0

//! IRC: a client offers files to other clients, and tells where to fetch them.

use crate::{
    generate::{
        helper::{
            outside, port,
            stream::{
                data,
                Stream, //
            },
        },
        walk::{
            Side,
            Walk, //
        },
    },
    packet::Addr, //
};

/// A client talks to its server.
pub fn talk(walk: &mut Walk<'_>, common: u16) {
    let mut stream = Stream::to_server(walk, 6667);
    stream.say(Side::Client, "NICK me\r\n");
    while stream.walk.has_room() && !stream.walk.rng.one_in(5) {
        match stream.walk.rng.below(6) {
            0 => stream.say(Side::Client, "PRIVMSG bob :hello\r\n"),
            1 => stream.say(Side::Server, ":bob PRIVMSG me :hello\r\n"),
            _ => offer(&mut stream, common),
        }
    }
    if stream.walk.rng.chance(60) {
        stream.close();
    }
}

/// A file is offered, and somebody comes.
fn offer(stream: &mut Stream<'_, '_>, common: u16) {
    let walk = &mut stream.walk;
    let port = port(walk, common);
    let addr = match walk.rng.below(12) {
        0 => walk.addr(Side::Server),
        1 => outside(walk),
        _ => walk.addr(Side::Client),
    };
    let Addr::V4(bytes) = addr else {
        return;
    };
    let number = u32::from_be_bytes(bytes);
    let word = walk.rng.weighted(&[
        (40, "SEND"),
        (20, "CHAT"),
        (10, "MOVE"),
        (10, "TSEND"),
        (10, "SCHAT"),
        (5, "send"),
        (5, "RESUME"),
    ]);
    let place = format!("{number} {port}");
    // What is not said as it should be.
    let place = match walk.rng.below(25) {
        0 => place.replace(' ', ""),
        1 => place.replace(' ', "   "),
        2 => format!("{number} 0"),
        3 => format!("{addr} {port}"),
        _ => place,
    };
    let line = format!("PRIVMSG bob :\x01DCC {word} file {place} 1000\x01\r\n");
    stream.say(Side::Client, line);
    let to = outside(stream.walk);
    let from = stream.walk.rng.range(1024, 65535) as u16;
    data(stream.walk, Side::Server, to, [from, port]);
}
