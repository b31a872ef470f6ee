// SPDX-License-Identifier: GPL-2.0

//! Amanda: who has files tells who saves them where to fetch them.

use crate::generate::{
    helper::{
        port,
        say,
        stream::data, //
    },
    walk::{
        Side,
        Walk, //
    },
};

/// The port of who has files.
const PORT: u16 = 10080;

/// One who saves files asks for them.
pub fn talk(walk: &mut Walk<'_>, common: u16) {
    let own = walk.rng.range(512, 1023) as u16;
    let question = "Amanda 2.4 REQ HANDLE 1 SEQ 1\nSERVICE sendbackup\n";
    say(walk, Side::Client, [own, PORT], question.as_bytes());
    for _ in 0..walk.rng.range(1, 2) {
        let mut line = "CONNECT".to_owned();
        let mut ports = Vec::new();
        for word in ["DATA", "MESG", "INDEX", "STATE"] {
            if walk.rng.chance(75) {
                let port = port(walk, common);
                line += &format!(" {word} {port}");
                ports.push(port);
            }
        }
        // What is not said as it should be.
        let line = match walk.rng.below(25) {
            0 => line.replace("CONNECT ", "CONNECT"),
            1 => line.replacen("A ", "A 0", 1),
            2 => line.replacen("G ", "G 123456", 1),
            3 => line + " DATA 7",
            _ => line + "\n",
        };
        let answer = format!("Amanda 2.4 REP HANDLE 1 SEQ 1\n{line}OPTIONS ;\n");
        say(walk, Side::Server, [PORT, own], answer.as_bytes());
        for port in ports {
            let server = walk.addr(Side::Server);
            let from = walk.rng.range(1024, 65535) as u16;
            data(walk, Side::Client, server, [from, port]);
        }
    }
}
