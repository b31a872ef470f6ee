// SPDX-License-Identifier: GPL-2.0

//! H.323: a phone registers with its gatekeeper (RAS), is called (Q.931), and opens channels
//! (H.245).
//!
//! Messages are written in PER (ITU-T X.691, aligned), with little more than what must be in them.

use crate::{
    generate::{
        helper::{
            outside,
            port,
            say,
            send,
            stream::Stream,
            udp, //
        },
        walk::{
            Side,
            Walk, //
        },
    },
    packet::Addr, //
};

/// The port of RAS.
const RAS: u16 = 1719;
/// The port of calls.
const CALLS: u16 = 1720;

/// An object identifier and its length: itu-t recommendation h 2250 version 4.
const H2250: [u8; 7] = [6, 0, 8, 0x91, 0x4a, 0, 4];
/// An EndpointType that is a terminal, without a word about it.
const TERMINAL: &str = "0 000001 00 0 0";

/// What is written so far.
#[derive(Default)]
struct Per {
    bytes: Vec<u8>,
    /// How many bits of the last byte are free.
    free: u32,
}

impl Per {
    /// Writes bits, between which blanks do not count.
    fn bits(mut self, text: &str) -> Self {
        for bit in text.bytes().filter(|byte| *byte != b' ') {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            self.free -= 1;
            if let Some(last) = self.bytes.last_mut() {
                *last |= (bit - b'0') << self.free;
            }
        }
        self
    }

    /// Writes octets, which begin at the next whole octet.
    fn octets(mut self, octets: &[u8]) -> Self {
        self.bytes.extend(octets);
        self.free = 0;
        self
    }

    /// Writes a number of 16 bits.
    fn word(self, word: u16) -> Self {
        self.octets(&word.to_be_bytes())
    }

    /// Writes a TransportAddress of H.225.0.
    fn transport(self, (addr, port): (Addr, u16)) -> Self {
        let kind = match addr {
            Addr::V4(_) => "0 000",
            Addr::V6(_) => "0 011 0",
        };
        self.bits(kind).octets(addr.bytes()).word(port)
    }

    /// Writes a TransportAddress of H.245.
    fn unicast(self, (addr, port): (Addr, u16)) -> Self {
        let kind = match addr {
            Addr::V4(_) => "0 0 0 000 0",
            Addr::V6(_) => "0 0 0 010 0",
        };
        self.bits(kind).octets(addr.bytes()).word(port)
    }
}

/// RAS: a phone wants calls at one place, and RAS messages at another.
fn registration_request(calls: (Addr, u16), ras: (Addr, u16)) -> Vec<u8> {
    let head = Per::default().bits("0 00011 0 000").word(0).octets(&H2250);
    let calls = head.bits("1").octets(&[1]).transport(calls);
    let ras = calls.octets(&[1]).transport(ras);
    let vendor = ras.bits(TERMINAL).bits("0 00 0").octets(&[181, 0, 0, 18]);
    vendor.bytes
}

/// RAS: it will get them there, and has a name of one letter.
fn registration_confirm(calls: (Addr, u16)) -> Vec<u8> {
    let head = Per::default().bits("0 00100 0 000").word(0).octets(&H2250);
    let calls = head.octets(&[1]).transport(calls);
    calls.bits("0000000").octets(&[0, b'A']).bytes
}

/// RAS: it wants no calls any more.
fn unregistration_request(calls: (Addr, u16)) -> Vec<u8> {
    let head = Per::default().bits("0 00110 0 000").word(0);
    head.octets(&[1]).transport(calls).bytes
}

/// A message in its envelope for TCP (RFC 1006).
fn tpkt(message: &[u8]) -> Vec<u8> {
    let [high, low] = (message.len() as u16 + 4).to_be_bytes();
    [&[3, 0, high, low], message].concat()
}

/// A message of Q.931 that has nothing but an element for H.323.
fn q931(kind: u8, element: Per) -> Vec<u8> {
    let [high, low] = (element.bytes.len() as u16 + 1).to_be_bytes();
    let head = [8, 2, 0x80, 1, kind, 0x7e, high, low, 5];
    tpkt(&[&head[..], &element.bytes].concat())
}

/// Q.931: a call for a place; the caller's control channel is at another.
fn setup(control: (Addr, u16), called: (Addr, u16)) -> Vec<u8> {
    let head = Per::default().bits("0 0 0 0 0 000 0 1001000");
    let ends = head.octets(&H2250).transport(control).bits(TERMINAL);
    let called = ends.transport(called).bits("0");
    q931(5, called.octets(&[7; 16]).bits("0 00 0 00"))
}

/// Q.931: the call goes on, or it rings; the control channel is at a place.
fn proceeding(rings: bool, control: (Addr, u16)) -> Vec<u8> {
    let (kind, choice) = if rings { (1, "011") } else { (2, "001") };
    let head = Per::default().bits("0 0 0 0 0").bits(choice).bits("0 1");
    let end = head.octets(&H2250).bits(TERMINAL);
    q931(kind, end.transport(control))
}

/// Q.931: the call is taken.
fn connect(control: (Addr, u16)) -> Vec<u8> {
    let head = Per::default().bits("0 0 0 0 0 010 0 1").octets(&H2250);
    let ends = head.transport(control).bits(TERMINAL);
    q931(7, ends.octets(&[7; 16]))
}

/// H.245: sound will be sent (G.711), and reports about it are wanted at a place.
fn open_logical_channel(reports: (Addr, u16)) -> Vec<u8> {
    let parameters = Per::default().bits("0 0000100000").octets(&[1]);
    let parameters = parameters.unicast(reports).bytes;
    let head = Per::default().bits("0 00 0 0011 0 0").word(0);
    let sound = head.bits("0 0 0 011 0 0011").octets(&[0x13]);
    let behind = sound.bits("1 0000000").octets(&[parameters.len() as u8]);
    tpkt(&behind.octets(&parameters).bytes)
}

/// A phone registers and is called, or calls.
pub fn talk(walk: &mut Walk<'_>, common: u16) {
    let calls = port(walk, common);
    if walk.rng.chance(25) {
        let to = walk.addr(Side::Server);
        return call(walk, Side::Client, to, CALLS, common);
    }
    let client = walk.addr(Side::Client);
    let seen = outside(walk);
    let request = registration_request((client, calls), (client, RAS));
    say(walk, Side::Client, [RAS, RAS], &request);
    if walk.rng.chance(70) {
        let confirm = registration_confirm((seen, calls));
        say(walk, Side::Server, [RAS, RAS], &confirm);
    }
    for _ in 0..walk.rng.range(0, 2) {
        call(walk, Side::Server, seen, calls, common);
    }
    if walk.rng.chance(40) {
        let request = unregistration_request((client, calls));
        say(walk, Side::Client, [RAS, RAS], &request);
    }
}

/// A call from an end to the other end, which it finds at a place.
fn call(walk: &mut Walk<'_>, from: Side, to: Addr, service: u16, common: u16) {
    let control = port(walk, common);
    let mut stream = Stream::open(walk, from, to, service);
    let (caller, called) = (stream.walk.addr(from), stream.walk.addr(from.other()));
    let other = stream.walk.rng.range(1024, 65535) as u16;
    if stream.walk.rng.chance(60) {
        stream.say(from, setup((caller, other), (to, service)));
    }
    let message = match stream.walk.rng.below(3) {
        0 => connect((called, control)),
        kind => proceeding(kind == 1, (called, control)),
    };
    stream.say(from.other(), message);
    if stream.walk.rng.chance(40) {
        stream.close();
    }
    let mut stream = Stream::open(walk, from, to, control);
    for _ in 0..stream.walk.rng.range(0, 2) {
        let speaker = Side::any(&mut stream.walk.rng);
        let sound = port(stream.walk, common);
        let at = (stream.walk.addr(speaker), sound);
        stream.say(speaker, open_logical_channel(at));
        let to = match speaker {
            Side::Client => outside(stream.walk),
            Side::Server => at.0,
        };
        for port in [sound & !1, sound | 1] {
            if stream.walk.rng.chance(60) {
                let body = udp([sound, port], &[0x80; 12]);
                send(stream.walk, speaker.other(), to, body);
            }
        }
    }
}
