// SPDX-License-Identifier: GPL-2.0

//! What happens on open connections.

use crate::generate::{
    tcp::{
        segment::{
            flag,
            option,
            Segment, //
        },
        Talk, //
    },
    walk::Side, //
};

const SYN: u8 = flag::SYN;
const ACK: u8 = flag::ACK;
const RST: u8 = flag::RST;
const PSH: u8 = flag::PSH;

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Act {
    Data,
    Ack,
    KeepAlive,
    ZeroWindow,
    Unanswered,
    Repeated,
    Sack,
    Syn,
    Rst,
    Idle,
    Beyond,
    Unseen,
    Window,
    AnyFlags,
}

impl Talk<'_, '_> {
    /// Does something.
    pub(super) fn act(&mut self) {
        let act = self.walk.rng.weighted(&[
            (24, Act::Data),
            (10, Act::Ack),
            (5, Act::KeepAlive),
            (5, Act::ZeroWindow),
            (4, Act::Unanswered),
            (5, Act::Repeated),
            (6, Act::Sack),
            (5, Act::Syn),
            (6, Act::Rst),
            (7, Act::Idle),
            (4, Act::Beyond),
            (3, Act::Unseen),
            (4, Act::Window),
            (2, Act::AnyFlags),
        ]);
        let a = Side::any(&mut self.walk.rng);
        match act {
            Act::Data => self.send_data(a),
            Act::Ack => self.ack(a),
            Act::KeepAlive => self.keep_alive(a),
            Act::ZeroWindow => self.close_window(a),
            Act::Unanswered => self.go_unanswered(a),
            Act::Repeated => {
                self.send_data(a);
                self.repeat_slowly(a);
            }
            Act::Sack => self.acknowledge_selectively(a),
            Act::Syn => self.interrupt_with_syn(a),
            Act::Rst => self.interrupt_with_rst(a),
            Act::Idle => self.idle(),
            Act::Beyond => self.go_beyond(a),
            Act::Unseen => self.acknowledge_unseen(a),
            Act::Window => {
                let window = self.walk.rng.pick(&[1, 500, 4000, 65535, 1 << 18]);
                self.end(a).window = window;
                self.ack(a);
            }
            Act::AnyFlags => {
                let flags = self.walk.rng.u8();
                let mut segment = self.segment(a, flags, 0);
                segment.reserved = self.walk.rng.below(16) as u8;
                self.show(a, segment);
            }
        }
    }

    fn send_data(&mut self, a: Side) {
        for _ in 0..self.walk.rng.range(1, 4) {
            let payload = self.payload();
            let flags = self.walk.rng.pick(&[ACK, ACK | PSH, ACK | PSH, ACK | 0xc8]);
            self.say(a, flags, payload);
        }
        if self.walk.rng.chance(80) {
            self.ack(a.other());
        }
    }

    /// One byte, or none, that was sent before, so that the other end answers.
    fn keep_alive(&mut self, a: Side) {
        let mut segment = self.segment(a, ACK, 0);
        segment.seq = segment.seq.wrapping_sub(1);
        segment.payload = self.walk.rng.below(2);
        for _ in 0..self.walk.rng.range(1, 4) {
            self.show(a, segment.clone());
            if self.walk.rng.chance(80) {
                self.ack(a.other());
            }
            if self.walk.rng.chance(30) {
                self.walk.wait(75);
            }
        }
    }

    /// An end has no room, and the other end asks again and again.
    fn close_window(&mut self, a: Side) {
        let b = a.other();
        let window = self.end(a).window;
        self.end(a).window = 0;
        self.ack(a);
        for _ in 0..self.walk.rng.below(4) {
            let mut probe = self.segment(b, ACK, 1);
            let old = self.walk.rng.below(2);
            probe.seq = probe.seq.wrapping_sub(old);
            self.show(b, probe);
            self.ack(a);
            if self.walk.rng.chance(30) {
                self.walk.wait_around(&["tcp_timeout_max_retrans"]);
            }
        }
        if self.walk.rng.chance(80) {
            self.end(a).window = window;
            self.ack(a);
        }
    }

    /// The same segment again and again, without an answer.
    fn go_unanswered(&mut self, a: Side) {
        let payload = self.walk.rng.below(2) * self.payload();
        self.say(a, ACK, payload);
        let times = match self.walk.rng.one_in(150) {
            // More often than a byte can count.
            true => self.walk.rng.range(253, 260),
            false => self.walk.rng.range(1, 8),
        };
        for _ in 0..times {
            self.repeat(a);
        }
        if self.walk.rng.chance(40) {
            self.walk
                .wait_around(&["tcp_timeout_max_retrans", "tcp_timeout_unacknowledged"]);
        }
    }

    /// A segment is lost, and the segments behind it are acknowledged by themselves.
    fn acknowledge_selectively(&mut self, a: Side) {
        let b = a.other();
        let payload = self.payload();
        let lost = self.segment(a, ACK, payload);
        if self.walk.rng.chance(50) {
            self.show(a, lost.clone());
        }
        self.end(a).next = lost.end();
        let left = lost.end();
        let expects = self.end(b).expects;
        for _ in 0..self.walk.rng.range(1, 3) {
            let payload = self.payload();
            self.say(a, ACK, payload);
            self.end(b).expects = expects;
            let right = self.end(a).next;
            let options = self.sack_options(left, right);
            let mut ack = self.segment(b, ACK, 0);
            ack.options.extend(options);
            self.show(b, ack);
        }
        if self.walk.rng.chance(80) {
            self.show(a, lost);
            self.end(b).expects = self.end(a).next;
            self.ack(b);
        }
    }

    /// Selective acknowledgments, and such as do not say what they should.
    fn sack_options(&mut self, left: u32, right: u32) -> Vec<u8> {
        let rng = &mut self.walk.rng;
        let near = rng.near(right, 2);
        let any = rng.u32();
        let mut options = match rng.below(10) {
            0..=4 => option::sack(&[(left, right)]),
            5 => option::sack(&[(left, left.wrapping_add(1)), (left, right)]),
            6 => option::sack(&[(left, near), (right, left), (left, left)]),
            7 => option::sack(&[(left, any)]),
            8 => option::sack(&[(any, right), (left, right)]),
            _ => option::sack(&[]),
        };
        match rng.below(12) {
            // A length that is too short, too long, no multiple, or zero.
            0 => {
                let len = rng.pick(&[0, 1, 2, 3, 9, 11, 40, 255]);
                options[3] = len;
            }
            1 => options.truncate(rng.range(3, 9) as usize),
            2 => options.insert(0, 0),
            3 => {
                // Something unknown before it.
                let len = rng.below(6) as u8;
                options.splice(0..2, [254, len, 0, 0]);
            }
            _ => {}
        }
        options
    }

    /// A SYN comes although the connection is open, and may be answered.
    fn interrupt_with_syn(&mut self, a: Side) {
        let b = a.other();
        let kept = self.ends.clone();
        let next = self.end(a).next;
        let near = self.walk.rng.near(next, 70_000);
        let any = self.walk.rng.u32();
        self.end(a).next = self.walk.rng.pick(&[next, near, any]);
        let syn = self.segment(a, SYN, 0);
        self.show(a, syn.clone());

        match self.walk.rng.below(10) {
            // The other end says where it is; the end that began again ends that.
            0..=2 => {
                self.ack(b);
                let mut rst = self.segment(a, RST, 0);
                rst.seq = kept[b as usize].expects;
                self.show(a, rst);
            }
            // The tracker was wrong: both ends open the connection.
            3..=6 => {
                let next = self.walk.rng.u32();
                self.end(b).next = self.walk.rng.pick(&[next, kept[b as usize].next]);
                self.end(b).expects = syn.end();
                self.end(a).next = syn.end();
                self.say(b, SYN | ACK, 0);
                self.ack(a);
                return;
            }
            7 => {
                let mut rst = self.segment(b, RST | ACK, 0);
                rst.ack = syn.end();
                self.show(b, rst);
            }
            8 => self.say(b, SYN | ACK, 0),
            _ => {}
        }
        self.ends = kept;
    }

    /// An RST of some kind comes, which need not end the connection.
    fn interrupt_with_rst(&mut self, a: Side) {
        let segment = self.rst(a);
        self.show(a, segment);
        if self.walk.rng.chance(40) {
            // A challenge ACK, and the answer to it.
            self.ack(a.other());
            if self.walk.rng.chance(50) {
                let exact = self.segment(a, RST, 0);
                self.show(a, exact);
            }
        }
    }

    /// An RST: exact, in the window, outside, without numbers.
    pub(super) fn rst(&mut self, a: Side) -> Segment {
        let flags = self.walk.rng.pick(&[RST, RST | ACK]);
        let mut segment = self.segment(a, flags, 0);
        let window = self.end(a.other()).window;
        let inside = self.walk.rng.below(window.max(1));
        let any = self.walk.rng.u32();
        segment.seq = match self.walk.rng.below(10) {
            0..=3 => segment.seq,
            4 => 0,
            5 => segment.seq.wrapping_add(inside),
            6 => segment.seq.wrapping_add(window),
            7 => segment.seq.wrapping_sub(1),
            8 => segment.seq.wrapping_sub(inside),
            _ => any,
        };
        if self.walk.rng.one_in(4) {
            segment.ack = self.walk.rng.pick(&[0, 0, any]);
        }
        segment
    }

    /// Nothing is said for some time.
    fn idle(&mut self) {
        match self.walk.rng.below(10) {
            0..=4 => {
                let seconds = self.walk.rng.range(1, 100);
                self.walk.wait(seconds);
            }
            5..=7 => self.walk.wait_around(&[
                "tcp_timeout_syn_recv",
                "tcp_timeout_max_retrans",
                "tcp_timeout_unacknowledged",
            ]),
            _ if self.walk.rng.one_in(3) => self.walk.wait_around(&["tcp_timeout_established"]),
            _ => self.walk.wait(7200),
        }
    }

    /// Data at the end of the window, and beyond.
    fn go_beyond(&mut self, a: Side) {
        let b = a.other();
        let window = self.end(b).window;
        let payload = self.payload();
        let mut segment = self.segment(a, ACK, payload);
        let edge = self.end(b).expects.wrapping_add(window);
        let seq = self.walk.rng.near(edge, 2);
        let far = seq.wrapping_add(window);
        let back = seq.wrapping_sub(payload);
        segment.seq = self.walk.rng.pick(&[seq, seq, back, back, far]);
        let end = segment.end();
        self.show(a, segment);
        if self.walk.rng.chance(50) {
            self.end(b).expects = end;
            self.ack(b);
        }
    }

    /// An acknowledgment of what the tracker has not seen, or of what is long gone.
    fn acknowledge_unseen(&mut self, a: Side) {
        let next = self.end(a.other()).next;
        let expects = self.end(a).expects;
        let window = self.end(a).window.max(66_000);
        let ahead = self.walk.rng.range(1, 3000);
        let border = self.walk.rng.near(next.wrapping_sub(window), 2);
        self.end(a).expects =
            self.walk
                .rng
                .pick(&[next.wrapping_add(1), next.wrapping_add(ahead), border]);
        let payload = self.walk.rng.below(2) * self.payload();
        self.say(a, ACK, payload);
        self.end(a).expects = expects;
    }
}
