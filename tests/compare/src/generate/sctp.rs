// SPDX-License-Identifier: GPL-2.0

//! Walks of SCTP: associations that begin, restart, beat and end.

use crate::{
    checksum::proto,
    generate::walk::{
        Body,
        Side,
        Walk, //
    },
};

/// Types of chunks (RFC 9260 section 3.2).
mod kind {
    pub const DATA: u8 = 0;
    pub const INIT: u8 = 1;
    pub const INIT_ACK: u8 = 2;
    pub const SACK: u8 = 3;
    pub const HEARTBEAT: u8 = 4;
    pub const HEARTBEAT_ACK: u8 = 5;
    pub const ABORT: u8 = 6;
    pub const SHUTDOWN: u8 = 7;
    pub const SHUTDOWN_ACK: u8 = 8;
    pub const ERROR: u8 = 9;
    pub const COOKIE_ECHO: u8 = 10;
    pub const COOKIE_ACK: u8 = 11;
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

/// The flag of a chunk whose sender repeats the tag that it was sent.
const REFLECTED: u8 = 1;

/// The timeouts.
const TIMEOUTS: [&str; 9] = [
    "sctp_timeout_closed",
    "sctp_timeout_cookie_wait",
    "sctp_timeout_cookie_echoed",
    "sctp_timeout_established",
    "sctp_timeout_established",
    "sctp_timeout_shutdown_sent",
    "sctp_timeout_shutdown_recd",
    "sctp_timeout_shutdown_ack_sent",
    "sctp_timeout_heartbeat_sent",
];

/// A chunk.
#[derive(Clone, Debug)]
struct Chunk {
    kind: u8,
    flags: u8,
    value: Vec<u8>,
    /// The length that it says, if that is not the right length.
    len: Option<u16>,
}

impl Chunk {
    fn new(kind: u8, value: Vec<u8>) -> Self {
        Self {
            kind,
            flags: 0,
            value,
            len: None,
        }
    }

    fn append_to(&self, bytes: &mut Vec<u8>) {
        let len = self.len.unwrap_or(4 + self.value.len() as u16);
        bytes.extend([self.kind, self.flags]);
        bytes.extend(len.to_be_bytes());
        bytes.extend(&self.value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
}

/// How an association begins.
#[derive(Clone, Copy, Debug)]
enum Opening {
    Plain,
    Repeated,
    Collision,
    Heartbeat,
    Refused,
    OutOfTheBlue,
    Partial,
}

/// What happens to an association.
#[derive(Clone, Copy, Debug)]
enum Act {
    Data,
    Heartbeat,
    StrangeHeartbeat,
    Any,
    Bundle,
    Restart,
    Cookie,
    Abort,
    Wait,
}

/// An association.
struct Association<'w, 's> {
    walk: &'w mut Walk<'s>,
    ports: [u16; 2],
    /// The tag that packets to an end carry.
    tags: [u32; 2],
}

/// Walks until the case is long enough.
pub fn walk(walk: &mut Walk<'_>) {
    let ports = [walk.rng.u16(), walk.rng.pick(&[36412, 80, 0])];
    let tags = [0; 2].map(|_| walk.rng.u32());
    let mut association = Association { walk, ports, tags };
    let often = association.walk.rng.pick(&[4, 10, 40]);
    loop {
        association.open();
        while association.walk.has_room() && !association.walk.rng.one_in(often) {
            association.act();
        }
        association.close();
        let again = association.walk.rng.chance(60);
        if !association.walk.has_room() || !again {
            break;
        }
    }
}

impl Association<'_, '_> {
    fn open(&mut self) {
        let opening = self.walk.rng.weighted(&[
            (45, Opening::Plain),
            (10, Opening::Repeated),
            (10, Opening::Collision),
            (10, Opening::Heartbeat),
            (7, Opening::Refused),
            (8, Opening::OutOfTheBlue),
            (10, Opening::Partial),
        ]);
        let a = match self.walk.rng.chance(85) {
            true => Side::Client,
            false => Side::Server,
        };
        let b = a.other();
        match opening {
            Opening::Plain => self.shake_hands(a),
            Opening::Repeated => {
                for _ in 0..self.walk.rng.range(1, 3) {
                    self.init(a);
                    let seconds = self.walk.rng.pick(&[1, 3, 9, 11]);
                    self.walk.wait(seconds);
                }
                self.shake_hands(a);
            }
            Opening::Collision => {
                self.init(a);
                self.init(b);
                self.init_ack(b);
                self.init_ack(a);
                self.say(a, kind::COOKIE_ECHO);
                self.say(b, kind::COOKIE_ECHO);
                self.say(b, kind::COOKIE_ACK);
                self.say(a, kind::COOKIE_ACK);
            }
            // Another path of an association that began elsewhere.
            Opening::Heartbeat => {
                for _ in 0..self.walk.rng.range(1, 3) {
                    self.say(a, kind::HEARTBEAT);
                }
                self.say(b, kind::HEARTBEAT_ACK);
            }
            Opening::Refused => {
                self.init(a);
                self.abort(b);
            }
            Opening::OutOfTheBlue => {
                let kind = self.any_kind();
                self.say(a, kind);
                let answer =
                    self.walk
                        .rng
                        .pick(&[kind::ABORT, kind::SHUTDOWN_COMPLETE, kind::SHUTDOWN_ACK]);
                let mut chunk = self.chunk(b, answer);
                chunk.flags |= REFLECTED;
                // It repeats the tag that it was sent, which was its own.
                let tag = self.tag_to(b);
                self.send(b, tag, &[chunk]);
            }
            Opening::Partial => {
                self.init(a);
                if self.walk.rng.chance(60) {
                    self.init_ack(b);
                }
                if self.walk.rng.chance(40) {
                    self.say(a, kind::COOKIE_ECHO);
                }
            }
        }
    }

    fn shake_hands(&mut self, a: Side) {
        let b = a.other();
        self.init(a);
        self.init_ack(b);
        match self.walk.rng.chance(70) {
            true => self.say(a, kind::COOKIE_ECHO),
            false => self.bundle(a, &[kind::COOKIE_ECHO, kind::DATA]),
        }
        match self.walk.rng.chance(70) {
            true => self.say(b, kind::COOKIE_ACK),
            false => self.bundle(b, &[kind::COOKIE_ACK, kind::SACK, kind::DATA]),
        }
    }

    /// An end begins, mostly with another tag than before.
    fn init(&mut self, a: Side) {
        if self.walk.rng.chance(60) {
            self.tags[a as usize] = self.walk.rng.u32();
        }
        let chunk = self.chunk(a, kind::INIT);
        let wrong = self.walk.rng.one_in(25);
        let tag = if wrong { self.tag_to(a.other()) } else { 0 };
        self.send(a, tag, &[chunk]);
    }

    fn init_ack(&mut self, a: Side) {
        if self.walk.rng.chance(60) {
            self.tags[a as usize] = self.walk.rng.u32();
        }
        self.say(a, kind::INIT_ACK);
    }

    fn act(&mut self) {
        let act = self.walk.rng.weighted(&[
            (25, Act::Data),
            (12, Act::Heartbeat),
            (8, Act::StrangeHeartbeat),
            (12, Act::Any),
            (10, Act::Bundle),
            (7, Act::Restart),
            (4, Act::Cookie),
            (3, Act::Abort),
            (12, Act::Wait),
        ]);
        let a = Side::any(&mut self.walk.rng);
        let b = a.other();
        match act {
            Act::Data => {
                self.say(a, kind::DATA);
                self.say(b, kind::SACK);
            }
            Act::Heartbeat => {
                self.say(a, kind::HEARTBEAT);
                self.say(b, kind::HEARTBEAT_ACK);
            }
            Act::StrangeHeartbeat => self.beat_strangely(a),
            Act::Any => {
                let kind = self.any_kind();
                self.say(a, kind);
            }
            Act::Bundle => {
                let kinds: Vec<_> = (0..self.walk.rng.range(2, 5))
                    .map(|_| self.any_kind())
                    .collect();
                self.bundle(a, &kinds);
            }
            Act::Restart => self.shake_hands(a),
            Act::Cookie => {
                self.say(a, kind::COOKIE_ECHO);
                self.say(b, kind::COOKIE_ACK);
            }
            Act::Abort => self.abort(a),
            Act::Wait => self.walk.wait_around(&TIMEOUTS),
        }
    }

    /// An end that has begun again asks with another tag, and is answered or not.
    fn beat_strangely(&mut self, a: Side) {
        let b = a.other();
        let kept = self.tags;
        self.tags[b as usize] = self.walk.rng.u32();
        for _ in 0..self.walk.rng.range(1, 2) {
            self.say(a, kind::HEARTBEAT);
        }
        if self.walk.rng.chance(30) {
            self.tags[a as usize] = self.walk.rng.u32();
        }
        if self.walk.rng.chance(70) {
            self.say(b, kind::HEARTBEAT_ACK);
        }
        if self.walk.rng.chance(50) {
            self.tags = kept;
        }
    }

    fn abort(&mut self, a: Side) {
        let mut chunk = self.chunk(a, kind::ABORT);
        chunk.flags = self.walk.rng.pick(&[0, REFLECTED]);
        let tag = match chunk.flags {
            0 => self.tag_to(a.other()),
            _ => self.tag_to(a),
        };
        self.send(a, tag, &[chunk]);
    }

    fn close(&mut self) {
        let a = Side::any(&mut self.walk.rng);
        let b = a.other();
        match self.walk.rng.below(10) {
            0..=4 => {
                self.say(a, kind::SHUTDOWN);
                if self.walk.rng.chance(20) {
                    self.walk.wait_around(&TIMEOUTS);
                }
                self.say(b, kind::SHUTDOWN_ACK);
                self.say(a, kind::SHUTDOWN_COMPLETE);
            }
            5..=6 => {
                self.say(a, kind::SHUTDOWN);
                self.say(b, kind::SHUTDOWN);
                self.say(a, kind::SHUTDOWN_ACK);
                self.say(b, kind::SHUTDOWN_ACK);
                self.say(a, kind::SHUTDOWN_COMPLETE);
            }
            7 => self.abort(a),
            8 => {
                self.say(a, kind::SHUTDOWN);
                self.say(b, kind::SHUTDOWN_ACK);
                let mut complete = self.chunk(a, kind::SHUTDOWN_COMPLETE);
                complete.flags = REFLECTED;
                let tag = self.tag_to(a);
                self.send(a, tag, &[complete]);
            }
            _ => {}
        }
        if self.walk.rng.chance(30) {
            self.walk.wait_around(&TIMEOUTS);
        }
    }

    /// The tag of packets to an end.
    fn tag_to(&self, to: Side) -> u32 {
        self.tags[to as usize]
    }

    /// An end sends one chunk.
    fn say(&mut self, from: Side, kind: u8) {
        self.bundle(from, &[kind]);
    }

    /// An end sends some chunks in one packet.
    fn bundle(&mut self, from: Side, kinds: &[u8]) {
        let chunks: Vec<_> = kinds.iter().map(|&kind| self.chunk(from, kind)).collect();
        let tag = match kinds {
            [kind::INIT, ..] => 0,
            _ => self.tag_to(from.other()),
        };
        self.send(from, tag, &chunks);
    }

    fn any_kind(&mut self) -> u8 {
        match self.walk.rng.chance(85) {
            true => self.walk.rng.below(16) as u8,
            false => self.walk.rng.u8(),
        }
    }

    fn chunk(&mut self, from: Side, kind: u8) -> Chunk {
        let len = self.walk.rng.below(30) as usize;
        let mut value = match kind {
            kind::INIT | kind::INIT_ACK => {
                // Tag, window, streams both ways, number of the first chunk of data.
                let mut value = self.tags[from as usize].to_be_bytes().to_vec();
                value.extend(self.walk.rng.bytes(12));
                value
            }
            kind::DATA => self.walk.rng.bytes(12),
            kind::SACK => self.walk.rng.bytes(12),
            kind::SHUTDOWN => self.walk.rng.bytes(4),
            kind::SHUTDOWN_ACK | kind::COOKIE_ACK | kind::SHUTDOWN_COMPLETE => Vec::new(),
            _ => Vec::new(),
        };
        if matches!(
            kind,
            kind::DATA | kind::HEARTBEAT | kind::HEARTBEAT_ACK | kind::COOKIE_ECHO | kind::ERROR
        ) {
            value.extend(self.walk.rng.bytes(len));
        }
        let mut chunk = Chunk::new(kind, value);
        if kind == kind::DATA {
            chunk.flags = 3;
        }
        chunk
    }

    /// An end sends chunks with a tag, one of which may be made wrong.
    fn send(&mut self, from: Side, tag: u32, chunks: &[Chunk]) {
        let mut tag = tag;
        let mut chunks = chunks.to_vec();
        let disturbed = self.walk.is_disturbed() && self.walk.rng.chance(50);
        if disturbed {
            self.make_wrong(from, &mut tag, &mut chunks);
        }
        let [mut sport, mut dport] = self.ports;
        if from == Side::Server {
            (sport, dport) = (dport, sport);
        }
        let mut bytes = Vec::new();
        bytes.extend(sport.to_be_bytes());
        bytes.extend(dport.to_be_bytes());
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0; 4]);
        for chunk in &chunks {
            chunk.append_to(&mut bytes);
        }
        let body = Body::new(proto::SCTP, bytes);
        let body = if disturbed { body.disturbed() } else { body };
        self.walk.send(from, body);
    }

    fn make_wrong(&mut self, from: Side, tag: &mut u32, chunks: &mut Vec<Chunk>) {
        let own = self.tag_to(from);
        let rng = &mut self.walk.rng;
        let at = rng.index(chunks.len());
        match rng.below(8) {
            0..=2 => {
                let near = tag.wrapping_add(1);
                let any = rng.u32();
                *tag = rng.pick(&[0, own, near, any]);
            }
            3 => chunks[at].len = Some(rng.below(4) as u16),
            4 => {
                let right = 4 + chunks[at].value.len() as u16;
                let any = rng.u16();
                let len = rng.pick(&[right + 1, right + 4, right.saturating_sub(1), any]);
                chunks[at].len = Some(len);
            }
            5 => chunks[at].flags ^= REFLECTED,
            6 => {
                let len = rng.index(chunks[at].value.len() + 1);
                chunks[at].value.truncate(len);
            }
            _ => {
                // What must be alone is not, or twice.
                let other = rng.pick(&[kind::INIT, kind::DATA, kind::COOKIE_ECHO]);
                let value = rng.bytes(16);
                let copy = chunks[at].clone();
                let more = [copy, Chunk::new(other, value)];
                chunks.push(more[rng.index(2)].clone());
            }
        }
    }
}
