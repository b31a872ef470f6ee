// SPDX-License-Identifier: GPL-2.0

//! How connections end, and what comes afterwards.

use crate::generate::{
    tcp::{
        segment::flag,
        Talk, //
    },
    walk::Side, //
};

const SYN: u8 = flag::SYN;
const ACK: u8 = flag::ACK;
const FIN_ACK: u8 = flag::FIN | flag::ACK;

/// A way to end.
#[derive(Clone, Copy, Debug)]
enum Closing {
    /// FIN, ACK, FIN, ACK.
    Plain,
    /// FIN, FIN with ACK, ACK.
    Short,
    /// Both FINs at once.
    AtOnce,
    /// One end goes on.
    Half,
    /// FINs are sent again.
    Repeated,
    /// RST.
    Reset,
    /// Data, and RST right behind it.
    Train,
    /// A new SYN meets the last FIN.
    Overtaken,
    /// FINs or RSTs that the tracker cannot place.
    Outside,
}

/// What can come afterwards.
#[derive(Clone, Copy, Debug)]
enum Late {
    Ack,
    Again,
    Rst,
    Data,
    Wait,
    Syn,
}

impl Talk<'_, '_> {
    /// Ends the connection.
    pub(super) fn close(&mut self) {
        let closing = self.walk.rng.weighted(&[
            (30, Closing::Plain),
            (12, Closing::Short),
            (10, Closing::AtOnce),
            (8, Closing::Half),
            (8, Closing::Repeated),
            (12, Closing::Reset),
            (5, Closing::Train),
            (10, Closing::Overtaken),
            (5, Closing::Outside),
        ]);
        let a = Side::any(&mut self.walk.rng);
        let b = a.other();
        match closing {
            Closing::Plain => {
                self.finish(a);
                self.finish(b);
            }
            Closing::Short => {
                self.say(a, FIN_ACK, 0);
                self.say(b, FIN_ACK, 0);
                self.ack(a);
            }
            Closing::AtOnce => {
                let expects = self.end(b).expects;
                self.say(a, FIN_ACK, 0);
                self.end(b).expects = expects;
                self.say(b, FIN_ACK, 0);
                self.end(b).expects = self.end(a).next;
                self.ack(a);
                self.ack(b);
            }
            Closing::Half => {
                self.finish(a);
                for _ in 0..self.walk.rng.range(1, 4) {
                    let payload = self.payload();
                    self.say(b, ACK, payload);
                    self.ack(a);
                }
                self.wait_closing();
                self.finish(b);
            }
            Closing::Repeated => {
                self.say(a, FIN_ACK, 0);
                self.repeat_slowly(a);
                self.ack(b);
                self.say(b, FIN_ACK, 0);
                self.repeat_slowly(b);
                self.ack(a);
            }
            Closing::Reset => {
                let segment = self.rst(a);
                self.show(a, segment);
            }
            Closing::Train => {
                let payload = self.payload();
                self.say(a, ACK, payload);
                let segment = self.segment(a, flag::RST, 0);
                self.show(a, segment);
            }
            Closing::Overtaken => self.overtake(a),
            Closing::Outside => self.end_outside(a),
        }
    }

    /// An end has no more to send, and the other end says that it knows.
    fn finish(&mut self, a: Side) {
        let payload = self.walk.rng.below(2) * self.walk.rng.below(100);
        self.say(a, FIN_ACK, payload);
        if self.walk.rng.chance(20) {
            self.wait_closing();
        }
        self.ack(a.other());
    }

    fn wait_closing(&mut self) {
        self.walk.wait_around(&[
            "tcp_timeout_fin_wait",
            "tcp_timeout_close_wait",
            "tcp_timeout_last_ack",
        ]);
    }

    /// The last ACK is lost, and the end that waits for it gets a SYN.
    fn overtake(&mut self, a: Side) {
        let b = a.other();
        self.finish(a);
        self.say(b, FIN_ACK, 0);
        let kept = self.ends.clone();
        for opener in self.walk.rng.pick(&[[a, a], [b, a], [a, b]]) {
            let next = self.end(opener).next;
            self.end(opener).next = self.walk.rng.near(next, 100_000);
            let syn = self.segment(opener, SYN, 0);
            self.show(opener, syn);
            if self.walk.rng.chance(60) {
                // The challenge ACK has the numbers of the old connection.
                self.ends.clone_from(&kept);
                self.ack(opener.other());
            }
            if self.walk.rng.chance(50) {
                let rst = self.rst(opener);
                self.show(opener, rst);
            }
            self.ends.clone_from(&kept);
        }
        if self.walk.rng.chance(50) {
            self.ack(a);
        }
    }

    /// Both ends end the connection with numbers that mean nothing to the tracker.
    fn end_outside(&mut self, a: Side) {
        for side in [a, a.other(), a] {
            let flags = self.walk.rng.pick(&[FIN_ACK, flag::RST, flag::RST | ACK]);
            let mut segment = self.segment(side, flags, 0);
            let far = self.walk.rng.u32() / 2 + (1 << 24);
            segment.seq = segment.seq.wrapping_add(far);
            self.show(side, segment);
        }
    }

    /// Something comes although the connection is over.
    pub(super) fn linger(&mut self) {
        let late = self.walk.rng.weighted(&[
            (20, Late::Ack),
            (20, Late::Again),
            (15, Late::Rst),
            (10, Late::Data),
            (30, Late::Wait),
            (8, Late::Syn),
        ]);
        let a = Side::any(&mut self.walk.rng);
        match late {
            Late::Ack => self.ack(a),
            Late::Again => self.repeat(a),
            Late::Rst => {
                let segment = self.rst(a);
                self.show(a, segment);
            }
            Late::Data => {
                let payload = self.payload();
                self.say(a, ACK, payload);
            }
            Late::Wait => self.walk.wait_around(&[
                "tcp_timeout_time_wait",
                "tcp_timeout_time_wait",
                "tcp_timeout_close",
                "tcp_timeout_close",
                "tcp_timeout_last_ack",
                "tcp_timeout_unacknowledged",
            ]),
            Late::Syn => {
                let syn = self.segment(a, SYN, 0);
                self.show(a, syn);
            }
        }
    }
}
