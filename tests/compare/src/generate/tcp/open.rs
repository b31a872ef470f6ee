// SPDX-License-Identifier: GPL-2.0

//! How connections begin.

use crate::generate::{
    tcp::{
        segment::flag,
        Talk, //
    },
    walk::Side, //
};

const SYN: u8 = flag::SYN;
const ACK: u8 = flag::ACK;
const RST: u8 = flag::RST;

/// A way to begin.
#[derive(Clone, Copy, Debug)]
enum Opening {
    /// SYN, SYN-ACK, ACK.
    Plain,
    /// SYNs or SYN-ACKs are sent again.
    Repeated,
    /// The tracker does not see the SYN-ACK, or not the ACK.
    Unseen,
    /// The SYN has data, and so may the SYN-ACK.
    Data,
    /// Both ends send a SYN.
    Simultaneous,
    /// The SYN is answered with RST.
    Refused,
    /// The SYN is answered with an ACK of an older connection.
    Challenged,
    /// The SYN is answered with an ACK, then with a SYN.
    Split,
    /// The tracker was not there.
    PickedUp,
    /// Nothing follows the SYN.
    Unanswered,
    /// The SYN-ACK is the first that is seen.
    AnswerOnly,
}

impl Talk<'_, '_> {
    /// Begins a connection, or something like it.
    pub(super) fn open(&mut self) {
        let opening = self.walk.rng.weighted(&[
            (40, Opening::Plain),
            (8, Opening::Repeated),
            (6, Opening::Unseen),
            (5, Opening::Data),
            (10, Opening::Simultaneous),
            (5, Opening::Refused),
            (6, Opening::Challenged),
            (3, Opening::Split),
            (10, Opening::PickedUp),
            (2, Opening::Unanswered),
            (3, Opening::AnswerOnly),
        ]);
        // Either end may begin, so that the tuple of another connection is met from both sides.
        let a = match self.walk.rng.chance(80) {
            true => Side::Client,
            false => Side::Server,
        };
        let b = a.other();
        match opening {
            Opening::Plain => self.shake_hands(a),
            Opening::Repeated => self.open_repeated(a),
            Opening::Unseen => self.open_unseen(a),
            Opening::Data => self.open_with_data(a),
            Opening::Simultaneous => self.open_at_once(a),
            Opening::Refused => {
                self.say(a, SYN, 0);
                let ack = if self.walk.rng.chance(80) { ACK } else { 0 };
                let next = self.end(b).next;
                self.end(b).next = self.walk.rng.pick(&[0, next]);
                self.say(b, RST | ack, 0);
            }
            Opening::Challenged => self.open_challenged(a),
            Opening::Split => {
                self.say(a, SYN, 0);
                self.ack(b);
                self.say(b, SYN, 0);
                self.say(a, SYN | ACK, 0);
                self.ack(b);
            }
            Opening::PickedUp => self.pick_up(a),
            Opening::Unanswered => {
                self.say(a, SYN, 0);
                if self.walk.rng.chance(50) {
                    self.walk.wait_around(&["tcp_timeout_syn_sent"]);
                }
            }
            Opening::AnswerOnly => {
                self.say(b, SYN | ACK, 0);
                self.ack(a);
            }
        }
    }

    fn shake_hands(&mut self, a: Side) {
        self.say(a, SYN, 0);
        self.say(a.other(), SYN | ACK, 0);
        self.ack(a);
    }

    fn open_repeated(&mut self, a: Side) {
        let b = a.other();
        self.say(a, SYN, 0);
        self.repeat_slowly(a);
        if self.walk.rng.chance(20) {
            // Another attempt, as from a program that begins again.
            let next = self.end(a).next;
            self.end(a).next = self.walk.rng.near(next, 1000);
            self.say(a, SYN, 0);
        }
        self.say(b, SYN | ACK, 0);
        self.repeat_slowly(b);
        self.ack(a);
        if self.walk.rng.chance(30) {
            self.repeat(b);
            self.ack(a);
        }
    }

    /// An end says again what it said last, some seconds apart.
    pub(super) fn repeat_slowly(&mut self, side: Side) {
        let mut seconds = 1;
        for _ in 0..self.walk.rng.below(4) {
            self.walk.wait(seconds);
            self.repeat(side);
            seconds *= 2;
        }
    }

    fn open_unseen(&mut self, a: Side) {
        let b = a.other();
        self.say(a, SYN, 0);
        let answer = self.segment(b, SYN | ACK, 0);
        self.end(b).next = answer.end();
        self.agree(b, &answer);
        self.end(a).expects = answer.end();
        match self.walk.rng.chance(50) {
            // The SYN-ACK comes by another way, or only later.
            true => {
                self.ack(a);
                let payload = self.payload();
                self.say(a, ACK, payload);
                self.ack(b);
                if self.walk.rng.chance(50) {
                    self.show(b, answer);
                    self.ack(a);
                }
            }
            // The ACK does.
            false => {
                self.show(b, answer);
                let payload = self.payload();
                self.say(b, ACK, payload);
            }
        }
    }

    fn open_with_data(&mut self, a: Side) {
        let b = a.other();
        let payload = self.payload();
        self.say(a, SYN, payload);
        if self.walk.rng.chance(50) {
            // The data was not taken.
            let expects = self.end(b).expects;
            self.end(b).expects = expects.wrapping_sub(payload);
        }
        let more = self.walk.rng.below(2) * self.walk.rng.below(50);
        self.say(b, SYN | ACK, more);
        self.ack(a);
    }

    fn open_at_once(&mut self, a: Side) {
        let b = a.other();
        let second = self.segment(b, SYN, 0);
        self.say(a, SYN, 0);
        self.end(b).expects = 0;
        self.say(b, SYN, 0);
        if self.walk.rng.chance(20) {
            self.show(b, second);
        }
        self.end(b).expects = self.end(a).next;
        // What each of them now says has the same number as its SYN.
        for side in self.walk.rng.pick(&[[a, b], [b, a]]) {
            let flags = self.walk.rng.pick(&[SYN | ACK, SYN | ACK, ACK]);
            if flags & SYN != 0 {
                let next = self.end(side).next;
                self.end(side).next = next.wrapping_sub(1);
            }
            self.say(side, flags, 0);
        }
        if self.walk.rng.chance(50) {
            self.ack(a);
            self.ack(b);
        }
    }

    fn open_challenged(&mut self, a: Side) {
        let b = a.other();
        self.say(a, SYN, 0);
        // An end that thinks that it is still connected says where it is.
        let stale = self.walk.rng.u32();
        let fresh = self.end(b).expects;
        self.end(b).expects = stale;
        self.ack(b);
        self.end(b).expects = fresh;

        let next = self.end(a).next;
        let exact = self.walk.rng.near(stale, 1);
        self.end(a).next = self.walk.rng.pick(&[stale, stale, exact]);
        self.say(a, RST, 0);
        self.end(a).next = next.wrapping_sub(1);
        if self.walk.rng.chance(70) {
            self.shake_hands(a);
        }
    }

    /// The connection is there already.
    fn pick_up(&mut self, a: Side) {
        let b = a.other();
        self.end(a).expects = self.end(b).next;
        self.end(b).expects = self.end(a).next;
        self.scaled = self.walk.rng.chance(70);
        self.stamps = self.walk.rng.chance(30);
        let payload = self.walk.rng.below(2) * self.payload();
        let flags = self.walk.rng.weighted(&[
            (80, ACK),
            (5, ACK | flag::FIN),
            (5, ACK | RST),
            (5, RST),
            (5, ACK | flag::URG),
        ]);
        self.say(a, flags, payload);
        if self.walk.rng.chance(70) {
            self.ack(b);
        }
    }
}
