// SPDX-License-Identifier: GPL-2.0

//! Walks of TCP: two ends that talk, as far as a tracker can tell.
//!
//! The ends know enough to say the right thing, and what they say is then made wrong at random, at
//! the borders of what a tracker looks at more than elsewhere.

mod close;
mod open;
mod segment;
mod talk;
mod wrong;

use crate::generate::walk::{
    Side,
    Walk, //
};
use segment::{
    flag,
    option,
    Segment, //
};

/// What an end knows.
#[derive(Clone, Debug)]
struct End {
    port: u16,
    /// The sequence number of what it sends next.
    next: u32,
    /// The sequence number of what it expects next; what it acknowledges.
    expects: u32,
    /// The window that it offers, in bytes.
    window: u32,
    /// By how much it would shift its windows, if it says so in its SYN.
    scale: Option<u8>,
    /// Whether its SYN permits selective acknowledgments.
    sack: bool,
    /// Whether its SYN has a timestamp.
    stamps: bool,
    /// What it sent last.
    last: Option<Segment>,
}

impl End {
    fn any(walk: &mut Walk<'_>, port: u16) -> Self {
        let scale = walk.rng.below(15) as u8;
        Self {
            port,
            next: sequence_number(walk),
            expects: 0,
            window: walk
                .rng
                .pick(&[100, 1000, 5840, 29200, 65535, 65535, 1 << 20]),
            scale: walk.rng.weighted(&[
                (30, None),
                (35, Some(7)),
                (30, Some(scale)),
                (5, Some(15)),
            ]),
            sack: walk.rng.chance(70),
            stamps: walk.rng.chance(40),
            last: None,
        }
    }

    /// By how much it shifts its windows, if both ends do.
    fn shift(&self, both: bool) -> u8 {
        match self.scale {
            Some(scale) if both => scale.min(14),
            _ => 0,
        }
    }
}

/// A sequence number to begin with: often a number that is soon to go round, or to change its sign.
fn sequence_number(walk: &mut Walk<'_>) -> u32 {
    let back = walk.rng.below(300);
    let any = walk.rng.u32();
    walk.rng.weighted(&[
        (60, any),
        (20, 0u32.wrapping_sub(back)),
        (10, (1 << 31) - back),
        (5, 0),
        (5, 1),
    ])
}

/// A connection, and what was said on it.
struct Talk<'w, 's> {
    walk: &'w mut Walk<'s>,
    ends: [End; 2],
    /// Whether windows are scaled.
    scaled: bool,
    /// Whether segments have timestamps.
    stamps: bool,
    /// How many in a hundred segments do not arrive, although the tracker sees them.
    loss: u32,
}

/// Walks until the case is long enough.
pub fn walk(walk: &mut Walk<'_>) {
    let mut talk = Talk::new(walk);
    // Some connections are of one kind only, so that what takes long is reached.
    let often = talk.walk.rng.pick(&[3, 6, 20, 100]);
    loop {
        talk.open();
        while talk.walk.has_room() && !talk.walk.rng.one_in(often) {
            talk.act();
        }
        if !talk.walk.rng.one_in(6) {
            talk.close();
        }
        for _ in 0..talk.walk.rng.below(4) {
            talk.linger();
        }
        if !talk.walk.has_room() || talk.walk.rng.chance(40) {
            break;
        }
        talk.begin_again();
    }
}

impl<'w, 's> Talk<'w, 's> {
    fn new(walk: &'w mut Walk<'s>) -> Self {
        let port = walk.rng.u16();
        let ends = [End::any(walk, port), End::any(walk, 80)];
        Self {
            ends,
            scaled: false,
            stamps: false,
            loss: walk.rng.pick(&[0, 0, 0, 5, 20]),
            walk,
        }
    }

    fn end(&mut self, side: Side) -> &mut End {
        &mut self.ends[side as usize]
    }

    /// Takes the same ports for another connection, which either end may open.
    fn begin_again(&mut self) {
        for side in [Side::Client, Side::Server] {
            let port = self.end(side).port;
            let last = self.end(side).next;
            let mut end = End::any(self.walk, port);
            end.next = match self.walk.rng.below(4) {
                0 => end.next,
                1 => last.wrapping_sub(self.walk.rng.below(100_000)),
                _ => last.wrapping_add(self.walk.rng.below(100_000)),
            };
            *self.end(side) = end;
        }
        self.scaled = false;
        self.stamps = false;
    }

    /// What an end says when it has this to say.
    fn segment(&mut self, from: Side, flags: u8, payload: u32) -> Segment {
        let other = self.end(from.other()).port;
        let (scaled, stamps) = (self.scaled, self.stamps);
        let end = self.end(from).clone();

        let syn = flags & flag::SYN != 0;
        let window = match syn {
            true => end.window,
            false => end.window >> end.shift(scaled),
        };
        let mut segment = Segment {
            sport: end.port,
            dport: other,
            seq: end.next,
            ack: if flags & flag::ACK != 0 {
                end.expects
            } else {
                0
            },
            flags,
            window: window.min(65535) as u16,
            payload,
            ..Segment::default()
        };
        if syn {
            segment.options = self.syn_options(&end, flags & flag::ACK != 0);
        } else if stamps {
            segment.options = option::stamps(&mut self.walk.rng);
        }
        segment
    }

    fn syn_options(&mut self, end: &End, answer: bool) -> Vec<u8> {
        let mut options = vec![2, 4, 5, 0xb4];
        if end.sack {
            options.extend(option::SACK_PERMITTED);
        }
        if end.stamps {
            options.extend(option::stamps(&mut self.walk.rng));
        }
        // An answer scales if the question did, mostly.
        let unasked = answer && !self.scaled && self.walk.rng.chance(90);
        if let (Some(scale), false) = (end.scale, unasked) {
            options.extend([1, 3, 3, scale]);
        }
        match self.walk.rng.below(20) {
            0 => Vec::new(),
            _ => options,
        }
    }

    /// An end says something new.
    fn say(&mut self, from: Side, flags: u8, payload: u32) {
        let segment = self.segment(from, flags, payload);
        self.end(from).next = segment.end();
        self.end(from).last = Some(segment.clone());
        self.agree(from, &segment);
        self.pass(from, segment);
    }

    /// An end acknowledges what has come.
    fn ack(&mut self, from: Side) {
        self.say(from, flag::ACK, 0);
    }

    /// An end says again what it said last.
    fn repeat(&mut self, from: Side) {
        if let Some(segment) = self.end(from).last.clone() {
            self.pass(from, segment);
        }
    }

    /// Notes what both ends have said in their SYNs.
    fn agree(&mut self, from: Side, segment: &Segment) {
        if segment.flags & flag::SYN == 0 {
            return;
        }
        let scales = segment.options.windows(2).any(|pair| pair == [3, 3]);
        let stamps = self.end(from).stamps;
        match segment.flags & flag::ACK {
            0 => (self.scaled, self.stamps) = (scales, stamps),
            _ => (self.scaled, self.stamps) = (self.scaled && scales, self.stamps && stamps),
        }
    }

    /// A segment goes past the tracker, and to the other end if it is not lost.
    fn pass(&mut self, from: Side, segment: Segment) {
        let end = segment.end();
        let in_order = segment.seq == self.end(from.other()).expects
            || segment.flags & flag::SYN != 0
            || self.walk.rng.chance(50);
        let lost = self.walk.rng.chance(self.loss);
        self.show(from, segment);
        if in_order && !lost {
            self.end(from.other()).expects = end;
        }
    }

    /// The tracker sees a segment, or what became of it on the way.
    fn show(&mut self, from: Side, segment: Segment) {
        let mut segment = segment;
        let disturbed = self.walk.is_disturbed() && self.walk.rng.chance(60);
        if disturbed {
            self.make_wrong(from, &mut segment);
        }
        let body = segment.body(&mut self.walk.rng);
        let body = if disturbed { body.disturbed() } else { body };
        self.walk.send(from, body);
    }

    /// A length of data.
    fn payload(&mut self) -> u32 {
        let most = self
            .walk
            .rng
            .weighted(&[(50, 20), (35, 100), (10, 600), (5, 1300)]);
        self.walk.rng.range(1, most)
    }
}
