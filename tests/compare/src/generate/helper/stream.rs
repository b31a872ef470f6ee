// SPDX-License-Identifier: GPL-2.0

//! Connections of TCP in which something is said.

use crate::{
    checksum::proto,
    generate::{
        helper::{
            send,
            spoil, //
        },
        walk::{
            Body,
            Side,
            Walk, //
        },
    },
    packet::Addr, //
};

const SYN: u8 = 2;
const ACK: u8 = 16;
const PSH: u8 = 8;
const FIN: u8 = 1;

fn tcp(ports: [u16; 2], [seq, ack]: [u32; 2], flags: u8, data: &[u8]) -> Body {
    let mut bytes = ports.map(u16::to_be_bytes).concat();
    bytes.extend([seq, ack].map(u32::to_be_bytes).concat());
    bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(data);
    Body::new(proto::TCP, bytes)
}

/// A connection that is established.
pub struct Stream<'w, 's> {
    pub walk: &'w mut Walk<'s>,
    /// The end that has opened it.
    opener: Side,
    /// Where the opener sends to.
    to: Addr,
    /// The port of the opener.
    pub port: u16,
    /// The port of the other end.
    service: u16,
    /// The next sequence number of each end.
    next: [u32; 2],
}

impl<'w, 's> Stream<'w, 's> {
    /// The client opens a connection to a port of the server.
    pub fn to_server(walk: &'w mut Walk<'s>, service: u16) -> Self {
        let to = walk.addr(Side::Server);
        Self::open(walk, Side::Client, to, service)
    }

    /// An end opens a connection to the other end, which it finds at an address.
    pub fn open(walk: &'w mut Walk<'s>, opener: Side, to: Addr, service: u16) -> Self {
        let port = walk.rng.range(1024, 65535) as u16;
        let next = [walk.rng.u32(), walk.rng.u32()];
        let mut stream = Self {
            walk,
            opener,
            to,
            port,
            service,
            next,
        };
        stream.segment(opener, SYN, &[]);
        stream.segment(opener.other(), SYN | ACK, &[]);
        stream.segment(opener, ACK, &[]);
        stream
    }

    fn segment(&mut self, from: Side, flags: u8, data: &[u8]) {
        let (here, there) = (from as usize, from.other() as usize);
        let (ports, to) = match from == self.opener {
            true => ([self.port, self.service], self.to),
            false => ([self.service, self.port], self.walk.addr(self.opener)),
        };
        let ack = if flags & ACK != 0 {
            self.next[there]
        } else {
            0
        };
        let body = tcp(ports, [self.next[here], ack], flags, data);
        let count = data.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        self.next[here] = self.next[here].wrapping_add(count);
        send(self.walk, from, to, body.clone());
        if self.walk.rng.one_in(12) {
            // Once more.
            send(self.walk, from, to, body);
        }
    }

    /// An end says something, which may come in two parts, and the other end acknowledges it.
    pub fn say(&mut self, from: Side, data: impl AsRef<[u8]>) {
        let data = spoil(&mut self.walk.rng, data.as_ref());
        match self.walk.rng.one_in(15) {
            true => {
                let (one, two) = data.split_at(data.len() / 2);
                self.segment(from, ACK | PSH, one);
                self.segment(from, ACK | PSH, two);
            }
            false => self.segment(from, ACK | PSH, &data),
        }
        if self.walk.rng.chance(70) {
            self.segment(from.other(), ACK, &[]);
        }
    }

    /// Both ends close it.
    pub fn close(&mut self) {
        self.segment(self.opener, FIN | ACK, &[]);
        self.segment(self.opener.other(), FIN | ACK, &[]);
        self.segment(self.opener, ACK, &[]);
    }
}

/// A connection of data that an end opens, as far as it goes.
pub fn data(walk: &mut Walk<'_>, from: Side, to: Addr, [sport, dport]: [u16; 2]) {
    let back = [dport, sport];
    let [a, b] = [walk.rng.u32(), walk.rng.u32()];
    let [more_a, more_b] = [a, b].map(|seq| seq.wrapping_add(1));
    let there = [sport, dport];
    let origin = walk.addr(from);
    let steps = [
        (from, to, tcp(there, [a, 0], SYN, &[])),
        (from.other(), origin, tcp(back, [b, more_a], SYN | ACK, &[])),
        (from, to, tcp(there, [more_a, more_b], ACK, &[])),
        (from, to, tcp(there, [more_a, more_b], ACK | PSH, &[7; 20])),
    ];
    let count = walk.rng.below(5) as usize;
    for (from, to, body) in steps.into_iter().take(count) {
        send(walk, from, to, body);
    }
}
