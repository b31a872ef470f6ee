// SPDX-License-Identifier: GPL-2.0

//! FTP.

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
    packet::Addr,
    rng::Rng, //
};

/// A control connection.
pub fn talk(walk: &mut Walk<'_>, common: u16) {
    let mut stream = Stream::to_server(walk, 21);
    stream.say(Side::Server, "220 ready\r\n");
    stream.say(Side::Client, "USER anonymous\r\n");
    while stream.walk.has_room() && !stream.walk.rng.one_in(6) {
        match stream.walk.rng.below(5) {
            0 | 1 => active(&mut stream, common),
            2 | 3 => passive(&mut stream, common),
            _ => stream.say(Side::Client, "NOOP\r\n"),
        }
    }
    if stream.walk.rng.chance(60) {
        stream.say(Side::Client, "QUIT\r\n");
        stream.close();
    }
}

/// An address and port as FTP says them: of the old kind only for IPv4.
fn place(rng: &mut Rng, addr: Addr, port: u16, old: bool) -> String {
    let place = match (addr, old) {
        (Addr::V4([a, b, c, d]), true) => {
            let [high, low] = port.to_be_bytes();
            format!("{a},{b},{c},{d},{high},{low}")
        }
        (Addr::V4(_), false) => format!("|1|{addr}|{port}|"),
        (Addr::V6(_), _) => format!("|2|{addr}|{port}|"),
    };
    // What is not said as it should be.
    match rng.below(25) {
        0 => place.replacen([',', '|'], " ", 1),
        1 => place[..place.len() - 1].to_owned(),
        2 => place.replace("10", "310"),
        3 => place + ",1",
        _ => place,
    }
}

/// The client says where it waits, and the server comes.
fn active(stream: &mut Stream<'_, '_>, common: u16) {
    let port = port(stream.walk, common);
    let client = stream.walk.addr(Side::Client);
    let old = !stream.walk.is_ipv6() && stream.walk.rng.chance(70);
    let said = if stream.walk.rng.one_in(20) {
        stream.walk.addr(Side::Server)
    } else {
        client
    };
    let place = place(&mut stream.walk.rng, said, port, old);
    let word = stream.walk.rng.weighted(&[(90, 0), (5, 1), (5, 2)]);
    let word = match (old, word) {
        (true, 0) => "PORT ",
        (true, 1) => "port ",
        (true, _) => "PORT",
        (false, 0) => "EPRT ",
        (false, 1) => "eprt ",
        (false, _) => "EPRT  ",
    };
    stream.say(Side::Client, format!("{word}{place}\r\n"));
    stream.say(Side::Server, "200 ok\r\n");
    let to = outside(stream.walk);
    data(stream.walk, Side::Server, to, [20, port]);
}

/// The server says where it waits, and the client comes.
fn passive(stream: &mut Stream<'_, '_>, common: u16) {
    let port = port(stream.walk, common);
    let server = stream.walk.addr(Side::Server);
    let old = !stream.walk.is_ipv6() && stream.walk.rng.chance(60);
    let answer = match old {
        true => {
            stream.say(Side::Client, "PASV\r\n");
            let place = place(&mut stream.walk.rng, server, port, true);
            format!("227 Entering Passive Mode ({place}).\r\n")
        }
        false => {
            stream.say(Side::Client, "EPSV\r\n");
            format!("229 Entering Extended Passive Mode (|||{port}|)\r\n")
        }
    };
    stream.say(Side::Server, answer);
    let from = stream.walk.rng.range(1024, 65535) as u16;
    data(stream.walk, Side::Client, server, [from, port]);
}
