// SPDX-License-Identifier: GPL-2.0

//! The TCP tracker: windows, resets, retransmissions, reuse, with both sides of each boundary.
//!
//! The table of transitions is in `l4proto_test`. What is here is a part of what
//! tests/host/src/tests/tcp.rs has, as the kernel's compiler and configuration make it.

use crate::{
    l4proto_test::input,
    pure::{
        l4proto::{
            seqadj::SeqAdj,
            tcp::{
                self,
                Env,
                State,
                Tuning, //
            },
            Action,
            Input,
            Outcome, //
        },
        reason::Reason,
        state::{
            CtInfo,
            Status, //
        },
        tuple::Direction::{
            self,
            Original,
            Reply, //
        },
        wire::tcp::{
            Kind,
            Options,
            Segment, //
        },
    },
    sys::time::HZ,
    timeouts::Timeouts, //
};
use kernel::{
    macros::kunit_tests,
    prelude::*, //
};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The window of every segment, without scale.
const WINDOW: u32 = 4096;
/// Further back than this an acknowledgment is too old (MAXACKWINDOW in
/// net/netfilter/nf_conntrack_proto_tcp.c).
const MAX_ACK_WINDOW: u32 = 66_000;
/// Five days while all is acknowledged, and less while data is not, in seconds.
const ESTABLISHED: u32 = 432_000;
const UNACKNOWLEDGED: u32 = 300;

/// A segment: flags, sequence number, acknowledgment, octets of data.
type Seg = (u8, u32, u32, u32);
/// Segments, and where they come from.
type Steps = [(Direction, Seg)];

fn segment((flags, seq, ack, len): Seg) -> Segment {
    let counted = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    Segment {
        kind: Kind::from_flags(flags),
        flags,
        seq,
        end: seq.wrapping_add(len).wrapping_add(counted),
        ack,
        window: WINDOW as u16, // CAST: Fits.
        options: Options::default(),
    }
}

/// The settings of a new namespace.
const TUNING: Tuning = Tuning {
    loose: true,
    be_liberal: false,
    ignore_invalid_rst: false,
    max_retrans: 3,
};

/// A connection, as its table would keep it.
struct Rig {
    proto: tcp::Proto,
    status: Status,
    tuning: Tuning,
    timeouts: Timeouts,
}

impl Rig {
    fn new() -> Self {
        Self {
            proto: tcp::Proto::default(),
            status: Status::from_bits(0),
            tuning: TUNING,
            timeouts: Timeouts::new(HZ),
        }
    }

    /// After the handshake; the client is at 1001, the server at 5001.
    fn established() -> Self {
        let mut rig = Self::new();
        rig.send(Original, (SYN, 1000, 0, 0));
        rig.send(Reply, (SYN | ACK, 5000, 1001, 0));
        rig.send(Original, (ACK, 1001, 5001, 0));
        rig.send(Reply, (ACK, 5001, 1001, 0));
        rig
    }

    fn send(&mut self, dir: Direction, seg: Seg) -> Outcome {
        let ctinfo = match dir {
            Original if self.status.contains(Status::SEEN_REPLY) => CtInfo::Established,
            Original => CtInfo::New,
            Reply => CtInfo::EstablishedReply,
        };
        let input = Input {
            ctinfo,
            ..input(self.status, 0)
        };
        let env = Env {
            tuning: &self.tuning,
            timeouts: &self.timeouts.tcp,
            synproxy: false,
            seqadj: SeqAdj::default(),
        };
        let outcome = tcp::track(&mut self.proto, &segment(seg), &input, &env);
        self.status = self.status.with(Status::CONFIRMED);
        if outcome.assured {
            self.status = self.status.with(Status::ASSURED);
        }
        if dir == Reply && !matches!(outcome.action, Action::Invalid(_)) {
            self.status = self.status.with(Status::SEEN_REPLY);
        }
        outcome
    }
}

fn refresh(seconds: u32) -> Action {
    Action::Refresh(seconds * HZ)
}

#[kunit_tests(rust_ct_tcp)]
mod tests {
    use super::*;

    /// Opened, used, closed by both ends: each state, and how long it lasts.
    #[test]
    fn a_life() -> Result {
        let rows = [
            (Original, (SYN, 1000, 0, 0), State::SynSent, 120),
            (Reply, (SYN | ACK, 5000, 1001, 0), State::SynRecv, 60),
            (
                Original,
                (ACK, 1001, 5001, 0),
                State::Established,
                ESTABLISHED,
            ),
            (
                Original,
                (ACK, 1001, 5001, 100),
                State::Established,
                UNACKNOWLEDGED,
            ),
            (Reply, (ACK, 5001, 1101, 0), State::Established, ESTABLISHED),
            (Original, (FIN | ACK, 1101, 5001, 0), State::FinWait, 120),
            (Reply, (ACK, 5001, 1102, 0), State::CloseWait, 60),
            (Reply, (FIN | ACK, 5001, 1102, 0), State::LastAck, 30),
            (Original, (ACK, 1102, 5002, 0), State::TimeWait, 120),
        ];
        let mut rig = Rig::new();
        for (n, (dir, seg, state, seconds)) in rows.into_iter().enumerate() {
            let outcome = rig.send(dir, seg);
            check_eq!(outcome.action, refresh(seconds), "step {}", n);
            check_eq!(outcome.assured, n == 2, "step {}", n);
            check_eq!(rig.proto.state(), state, "step {}", n);
        }
        Ok(())
    }

    /// Which segments can begin a connection, where picking up is allowed (`loose`) and where not.
    #[test]
    fn first_segments() -> Result {
        let (new, pickup) = (Action::Invalid(Reason::TcpNew), Reason::TcpPickup);
        let rows = [
            (SYN, refresh(120), refresh(120)),
            (ACK, refresh(UNACKNOWLEDGED), Action::Invalid(pickup)),
            (SYN | ACK, new, new),
            (FIN | ACK, new, new),
            (RST, new, new),
        ];
        for (flags, loose, strict) in rows {
            for (is_loose, expected) in [(true, loose), (false, strict)] {
                let mut rig = Rig::new();
                rig.tuning.loose = is_loose;
                let found = rig.send(Original, (flags, 1000, 2000, 0)).action;
                check_eq!(found, expected, "flags {}, loose {}", flags, is_loose);
            }
        }
        Ok(())
    }

    /// The four edges of the window, each from both sides.
    #[test]
    fn windows() -> Result {
        let over = 1001 + 2 * WINDOW;
        let under = 1001u32.wrapping_sub(WINDOW);
        let old = 5001u32.wrapping_sub(MAX_ACK_WINDOW);
        let (fits, waits) = (Outcome::refresh, UNACKNOWLEDGED * HZ);
        let all = fits(ESTABLISHED * HZ);
        let rows = [
            (
                "a window above",
                (ACK, over, 5001, 0),
                Outcome::invalid(Reason::TcpSeqOver),
            ),
            (
                "less than that",
                (ACK, over - 1, 5001, 0),
                Outcome::ignore(Reason::TcpOvershot),
            ),
            ("upper edge", (ACK, 1001 + WINDOW, 5001, 0), fits(waits)),
            ("across it", (ACK, 1001 + 4000, 5001, 4000), fits(waits)),
            (
                "below",
                (ACK, under - 1, 5001, 0),
                Outcome::ignore(Reason::TcpSeqUnder),
            ),
            ("lower edge", (ACK, under, 5001, 0), all),
            (
                "not sent yet",
                (ACK, 1001, 5002, 0),
                Outcome::invalid(Reason::TcpAckOver),
            ),
            ("sent", (ACK, 1001, 5001, 0), all),
            (
                "long gone",
                (ACK, 1001, old - 1, 0),
                Outcome::ignore(Reason::TcpAckUnder),
            ),
            ("just not gone", (ACK, 1001, old, 0), all),
        ];
        for (what, seg, expected) in rows {
            check_eq!(Rig::established().send(Original, seg), expected, "{}", what);
        }
        Ok(())
    }

    /// With `be_liberal` all but a reset may be outside of the window.
    #[test]
    fn liberal() -> Result {
        let far = 0x4000_0000;
        let rows = [
            (Original, (ACK, far, 5001, 0), refresh(ESTABLISHED)),
            (Original, (ACK, 1001, far, 0), refresh(ESTABLISHED)),
            (Original, (FIN | ACK, far, 5001, 0), refresh(120)),
            (Reply, (RST, 4000, 0, 0), Action::Invalid(Reason::TcpRst)),
        ];
        for (dir, seg, expected) in rows {
            let mut rig = Rig::established();
            rig.tuning.be_liberal = true;
            check_eq!(rig.send(dir, seg).action, expected, "{:?}", seg);
        }
        Ok(())
    }

    /// A reset closes if it is exact; a reset in the window leaves it to the ends; one from below
    /// is invalid, unless `ignore_invalid_rst` is set.
    #[test]
    fn resets() -> Result {
        let invalid = Action::Invalid;
        let rows = [
            ("exact", 5001, false, refresh(10), State::Close),
            (
                "in the window",
                5100,
                false,
                refresh(300),
                State::Established,
            ),
            (
                "below",
                5000,
                false,
                invalid(Reason::TcpRst),
                State::Established,
            ),
            (
                "below, ignored",
                5000,
                true,
                refresh(300),
                State::Established,
            ),
            (
                "above",
                5001 + 2 * WINDOW,
                false,
                invalid(Reason::TcpSeqOver),
                State::Established,
            ),
        ];
        for (what, seq, ignored, action, state) in rows {
            let mut rig = Rig::established();
            rig.tuning.ignore_invalid_rst = ignored;
            check_eq!(rig.send(Reply, (RST, seq, 0, 0)).action, action, "{}", what);
            check_eq!(rig.proto.state(), state, "{}", what);
        }
        Ok(())
    }

    /// `max_retrans` retransmissions shorten the timeout, fewer do not, and another segment
    /// restores it.
    #[test]
    fn retransmissions() -> Result {
        for limit in [0, 1, 3, 200] {
            let mut rig = Rig::established();
            rig.tuning.max_retrans = limit;
            for n in 0..=u32::from(limit) {
                let expected = match n == u32::from(limit) {
                    true => refresh(UNACKNOWLEDGED),
                    false => refresh(ESTABLISHED),
                };
                let found = rig.send(Original, (ACK, 1001, 5001, 0)).action;
                check_eq!(found, expected, "{} of {}", n, limit);
            }
            let other = rig.send(Original, (ACK, 1001, 5000, 0)).action;
            let expected = if limit == 0 {
                UNACKNOWLEDGED
            } else {
                ESTABLISHED
            };
            check_eq!(other, refresh(expected), "another, limit {}", limit);
        }
        Ok(())
    }

    /// A SYN begins a connection anew where the old one was closed in order or aborted by the same
    /// end; elsewhere it passes, and a challenge ACK that answers it (RFC 5961) does not count.
    #[test]
    fn reuse_and_challenges() -> Result {
        let syn = (SYN, 90_000, 0, 0);
        let fins = [
            (Original, (FIN | ACK, 1001, 5001, 0)),
            (Reply, (FIN | ACK, 5001, 1002, 0)),
            (Original, (ACK, 1002, 5002, 0)),
        ];
        let rows: [(&str, &Steps, Action); 5] = [
            ("in use", &[], Action::Accept),
            ("the last ACK is out", &fins[..2], Action::Accept),
            ("closed", &fins, Action::Reuse),
            (
                "aborted by the same end",
                &[(Original, (RST, 1001, 0, 0))],
                Action::Reuse,
            ),
            (
                "aborted by the other end",
                &[(Reply, (RST, 5001, 0, 0))],
                Action::Accept,
            ),
        ];
        for (what, before, expected) in rows {
            let mut rig = Rig::established();
            for (dir, seg) in before {
                rig.send(*dir, *seg);
            }
            check_eq!(rig.send(Original, syn).action, expected, "{}", what);
        }

        let mut rig = Rig::established();
        for (dir, seg) in &fins[..2] {
            rig.send(*dir, *seg);
        }
        rig.send(Original, syn);
        let challenge = rig.send(Reply, (ACK, 5002, 1002, 0));
        check_eq!(challenge, Outcome::ignore(Reason::TcpChallengeAck));
        check_eq!(rig.proto.state(), State::LastAck);
        rig.send(Reply, (ACK, 5002, 1002, 0));
        check_eq!(rig.proto.state(), State::TimeWait);
        Ok(())
    }
}
