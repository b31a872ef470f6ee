// SPDX-License-Identifier: GPL-2.0

//! TFTP.

use crate::generate::{
    helper::{
        outside,
        say,
        send,
        udp, //
    },
    walk::{
        Side,
        Walk, //
    },
};

/// A file is read or written.
pub fn talk(walk: &mut Walk<'_>) {
    let port = walk.rng.range(1024, 65535) as u16;
    let other = walk.rng.range(1024, 65535) as u16;
    let opcode = walk.rng.weighted(&[(60, 1), (30, 2), (10, 3)]);
    let question = [&[0, opcode][..], b"name\0octet\0"].concat();
    say(walk, Side::Client, [port, 69], &question);
    let mut to = outside(walk);
    for block in 1..walk.rng.range(2, 5) as u8 {
        let data = udp([other, port], &[0, 3, 0, block]);
        send(walk, Side::Server, to, data);
        walk.send(Side::Client, udp([port, other], &[0, 4, 0, block]));
        if walk.rng.one_in(5) {
            to = outside(walk);
        }
    }
}
