// SPDX-License-Identifier: GPL-2.0

//! Walks of UDP: questions, answers and streams.

use crate::{
    checksum::proto,
    generate::walk::{
        Body,
        Side,
        Walk, //
    },
};

/// What can happen next.
#[derive(Clone, Copy, Debug)]
enum Act {
    Ask,
    Answer,
    Talk,
    Second,
    Timeout,
    OtherPort,
}

/// The flow.
struct Flow {
    ports: [u16; 2],
    /// Whether the ends make checksums.
    checksum: bool,
}

/// Walks until the case is long enough.
pub fn walk(walk: &mut Walk<'_>) {
    let mut flow = Flow {
        ports: ports(walk),
        checksum: !walk.rng.one_in(8),
    };
    flow.send(walk, Side::Client);
    while walk.has_room() && !walk.rng.one_in(12) {
        let act = walk.rng.weighted(&[
            (20, Act::Ask),
            (25, Act::Answer),
            (15, Act::Talk),
            (20, Act::Second),
            (10, Act::Timeout),
            (3, Act::OtherPort),
        ]);
        match act {
            Act::Ask => flow.send(walk, Side::Client),
            Act::Answer => flow.send(walk, Side::Server),
            Act::Talk => {
                for _ in 0..walk.rng.range(2, 6) {
                    let from = Side::any(&mut walk.rng);
                    flow.send(walk, from);
                }
            }
            // A flow of more than two seconds is a stream.
            Act::Second => {
                let seconds = walk.rng.pick(&[1, 1, 2, 2, 3, 5]);
                walk.wait(seconds);
            }
            Act::Timeout => walk.wait_around(&["udp_timeout", "udp_timeout_stream"]),
            Act::OtherPort => flow.ports = ports(walk),
        }
    }
}

/// The ports of a client and a server.
fn ports(walk: &mut Walk<'_>) -> [u16; 2] {
    let port = walk.rng.u16();
    walk.rng.weighted(&[
        (60, [port, 53]),
        (25, [port, 1000]),
        (5, [500, 500]),
        (4, [0, 53]),
        (3, [port, 0]),
        (3, [0, 0]),
    ])
}

impl Flow {
    fn send(&self, walk: &mut Walk<'_>, from: Side) {
        let [mut sport, mut dport] = self.ports;
        if from == Side::Server {
            (sport, dport) = (dport, sport);
        }
        let payload = walk.rng.weighted(&[(70, 10), (15, 60), (10, 0), (5, 1000)]);
        let payload = walk.rng.below(payload + 1) as usize;

        let right = (payload + 8) as u16;
        let mut len = right;
        let wrong = walk.is_disturbed() && walk.rng.one_in(4);
        if wrong {
            let any = walk.rng.u16();
            len = walk
                .rng
                .pick(&[0, 1, 7, 8, right - 1, right + 1, right + 8, any]);
        }

        let mut bytes = Vec::new();
        for field in [sport, dport, len, 0] {
            bytes.extend(field.to_be_bytes());
        }
        bytes.extend(walk.rng.bytes(payload));
        let mut body = Body::new(proto::UDP, bytes);
        body.sealed = self.checksum;
        body.disturbed = wrong;
        walk.send(from, body);
    }
}
