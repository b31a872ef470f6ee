// SPDX-License-Identifier: GPL-2.0

//! The SCTP tracker: whole associations and their tags, read from socket buffers in pieces.
//!
//! The table of transitions is in `l4proto_test`.

use crate::{
    l4proto_test::input,
    pure::{
        l4proto::{
            sctp::{
                track,
                Proto,
                State, //
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
        wire::{
            self,
            ipproto,
            sctp::Sctp,
            Family, //
        },
    },
    skbs::{
        ip,
        Buffer,
        Bytes,
        InBuffer,
        Shape, //
    },
    sys::time::HZ,
    timeouts::Timeouts, //
};
use kernel::{
    macros::kunit_tests,
    prelude::*, //
};

/// The tags that the ends ask for: packets to the client carry A, packets to the server B. N is
/// neither's.
const A: u32 = 0xaaaa_0001;
const B: u32 = 0xbbbb_0002;
const N: u32 = 0xcccc_0003;

/// A chunk: its kind, its flags, and the tag that it asks for, if it is one that asks.
type Chunk = (u8, u8, Option<u32>);

/// A packet: where it comes from, its tag, its chunks.
type Step<'a> = (Direction, u32, &'a [Chunk]);

const DATA: Chunk = (0, 3, None);
const HEARTBEAT: Chunk = (4, 0, None);
const HEARTBEAT_ACK: Chunk = (5, 0, None);
const ABORT: Chunk = (6, 0, None);
const SHUTDOWN: Chunk = (7, 0, None);
const SHUTDOWN_ACK: Chunk = (8, 0, None);
const COOKIE_ECHO: Chunk = (10, 0, None);
const COOKIE_ACK: Chunk = (11, 0, None);
const COMPLETE: Chunk = (14, 0, None);

const fn init(tag: u32) -> Chunk {
    (1, 0, Some(tag))
}

const fn init_ack(tag: u32) -> Chunk {
    (2, 0, Some(tag))
}

/// A chunk with the flag T: the tag is the sender's own (RFC 9260 section 8.5.1).
const fn reflected((kind, _, tag): Chunk) -> Chunk {
    (kind, 1, tag)
}

fn packet(dir: Direction, tag: u32, chunks: &[Chunk]) -> Bytes {
    let mut body = Bytes::new()
        .with(&[3, 232, 0, 80])
        .with(&tag.to_be_bytes())
        .with(&[0; 4]);
    for (kind, flags, asked) in chunks {
        body = match asked {
            Some(tag) => body
                .with(&[*kind, *flags, 0, 20])
                .with(&tag.to_be_bytes())
                .with(&[1; 12]),
            None => body.with(&[*kind, *flags, 0, 20]).with(&[0; 16]),
        };
    }
    ip(Family::Ipv4, dir, ipproto::SCTP, body.get())
}

/// An association, as its table would keep it.
#[derive(Default)]
struct Rig {
    proto: Proto,
    status: Status,
}

impl Rig {
    /// Gives the tracker a packet in four pieces, none of which ends where a header does.
    fn send(&mut self, dir: Direction, tag: u32, chunks: &[Chunk]) -> Result<Outcome> {
        let bytes = packet(dir, tag, chunks);
        let buffer = Buffer::shaped(bytes.get(), Shape::Mixed(26, 7, 9))?;
        let pkt = InBuffer(buffer.skb());
        let l4 = wire::l4(&pkt, 0, Family::Ipv4).map_err(|_| EINVAL)?;
        let sctp = match Sctp::read(&pkt, &l4, Family::Ipv4, true) {
            Ok(sctp) => sctp,
            Err(reason) => return Ok(Outcome::invalid(reason)),
        };
        let input = Input {
            ctinfo: match dir {
                Original => CtInfo::New,
                Reply => CtInfo::EstablishedReply,
            },
            ..input(self.status, 0)
        };
        let timeouts = Timeouts::new(HZ).sctp;
        let outcome = track(&mut self.proto, &sctp, &pkt, &l4, &input, &timeouts);
        self.status = self.status.with(Status::CONFIRMED);
        if outcome.assured {
            self.status = self.status.with(Status::ASSURED);
        }
        Ok(outcome)
    }

    /// After the handshake.
    fn established() -> Result<Self> {
        let mut rig = Self::default();
        rig.send(Original, 0, &[init(A)])?;
        rig.send(Reply, A, &[init_ack(B)])?;
        rig.send(Original, B, &[COOKIE_ECHO])?;
        rig.send(Reply, A, &[COOKIE_ACK])?;
        check_eq!(rig.proto.state(), State::Established);
        Ok(rig)
    }
}

fn refresh(seconds: u32) -> Action {
    Action::Refresh(seconds * HZ)
}

#[kunit_tests(rust_ct_sctp)]
mod tests {
    use super::*;

    /// Opened, used, closed: each state, and how long it lasts; assured once it is established.
    #[test]
    fn a_life() -> Result {
        let rows: [(Step<'_>, State, u32); 9] = [
            ((Original, 0, &[init(A)]), State::Closed, 10),
            ((Reply, A, &[init_ack(B)]), State::CookieWait, 3),
            ((Original, B, &[COOKIE_ECHO, DATA]), State::CookieEchoed, 3),
            ((Reply, A, &[COOKIE_ACK, DATA]), State::Established, 210),
            ((Original, B, &[DATA]), State::Established, 210),
            ((Reply, A, &[DATA, DATA]), State::Established, 210),
            ((Original, B, &[SHUTDOWN]), State::ShutdownSent, 3),
            ((Reply, A, &[SHUTDOWN_ACK]), State::ShutdownAckSent, 3),
            ((Original, B, &[COMPLETE]), State::Closed, 10),
        ];
        let mut rig = Rig::default();
        for (n, ((dir, tag, chunks), state, seconds)) in rows.into_iter().enumerate() {
            let outcome = rig.send(dir, tag, chunks)?;
            check_eq!(outcome.action, refresh(seconds), "step {}", n);
            check_eq!(outcome.assured, n == 3, "step {}", n);
            check_eq!(rig.proto.state(), state, "step {}", n);
        }
        Ok(())
    }

    /// Which chunks can begin an association, and with which tag.
    #[test]
    fn first_packets() -> Result {
        let new = Action::Invalid(Reason::SctpNew);
        let rows: [(&str, u32, &[Chunk], Action); 9] = [
            ("INIT", 0, &[init(A)], refresh(10)),
            (
                "INIT with a tag",
                1,
                &[init(A)],
                Action::Invalid(Reason::SctpTag),
            ),
            ("HEARTBEAT", B, &[HEARTBEAT], refresh(30)),
            ("SHUTDOWN ACK", B, &[SHUTDOWN_ACK], refresh(3)),
            ("ABORT", B, &[ABORT], new),
            ("SHUTDOWN COMPLETE", B, &[COMPLETE], new),
            ("COOKIE ACK", B, &[COOKIE_ACK], new),
            ("data", B, &[DATA], new),
            ("HEARTBEAT and data", B, &[HEARTBEAT, DATA], new),
        ];
        for (what, tag, chunks, expected) in rows {
            let found = Rig::default().send(Original, tag, chunks)?.action;
            check_eq!(found, expected, "{}", what);
        }
        Ok(())
    }

    /// The tag tells another host's packet from the association's (RFC 9260 section 8.5).
    #[test]
    fn tags() -> Result {
        let wrong = Action::Invalid(Reason::SctpTag);
        let rows = [
            ("data", Original, B, DATA, refresh(210)),
            ("data, wrong", Original, B + 1, DATA, wrong),
            ("data, of the other end", Original, A, DATA, wrong),
            ("ABORT", Original, B, ABORT, refresh(10)),
            ("ABORT, wrong", Original, B + 1, ABORT, wrong),
            (
                "ABORT, reflected",
                Original,
                A,
                reflected(ABORT),
                refresh(10),
            ),
            (
                "ABORT, reflected, wrong",
                Original,
                B,
                reflected(ABORT),
                wrong,
            ),
            ("COMPLETE, wrong", Reply, B, COMPLETE, wrong),
            (
                "COMPLETE, reflected",
                Reply,
                B,
                reflected(COMPLETE),
                refresh(210),
            ),
            ("COOKIE ECHO, wrong", Original, B + 1, COOKIE_ECHO, wrong),
            ("INIT with a tag", Original, B, init(A), wrong),
            ("SHUTDOWN, wrong", Reply, B, SHUTDOWN, wrong),
            ("SHUTDOWN ACK, any", Reply, 77, SHUTDOWN_ACK, refresh(210)),
            (
                "INIT ACK, another tag asked for",
                Reply,
                A,
                init_ack(B + 1),
                wrong,
            ),
            ("INIT ACK", Reply, A, init_ack(B), refresh(210)),
        ];
        for (what, dir, tag, chunk, expected) in rows {
            let found = Rig::established()?.send(dir, tag, &[chunk])?.action;
            check_eq!(found, expected, "{}", what);
        }
        Ok(())
    }

    /// A restarted end sends HEARTBEAT with a new tag: that passes, and the answer, from the other
    /// end and without data, settles the tag.
    #[test]
    fn heartbeats() -> Result {
        let wrong = Action::Invalid(Reason::SctpTag);
        let asked: Step<'_> = (Original, N, &[HEARTBEAT]);
        let rows: [(&str, &[Step<'_>], Action); 7] = [
            ("the question", &[asked], Action::Accept),
            (
                "its answer",
                &[asked, (Reply, N, &[HEARTBEAT_ACK])],
                refresh(210),
            ),
            (
                "the old tag, afterwards",
                &[asked, (Reply, N, &[HEARTBEAT_ACK]), (Reply, A, &[DATA])],
                wrong,
            ),
            (
                "a question with data",
                &[(Original, N, &[HEARTBEAT, DATA])],
                wrong,
            ),
            (
                "an answer without a question",
                &[(Reply, N, &[HEARTBEAT_ACK])],
                wrong,
            ),
            (
                "an answer from the one that has asked",
                &[asked, (Original, N, &[HEARTBEAT_ACK])],
                wrong,
            ),
            (
                "a question that was withdrawn",
                &[
                    asked,
                    (Original, B, &[HEARTBEAT]),
                    (Reply, N, &[HEARTBEAT_ACK]),
                ],
                wrong,
            ),
        ];
        for (what, steps, expected) in rows {
            let mut rig = Rig::established()?;
            let mut last = Action::Accept;
            for (dir, tag, chunks) in steps {
                last = rig.send(*dir, *tag, chunks)?.action;
            }
            check_eq!(last, expected, "{}", what);
        }
        Ok(())
    }

    /// A second path: HEARTBEAT and its answer establish it; and an INIT that is sent again does
    /// not renew the timeout.
    #[test]
    fn second_path_and_second_init() -> Result {
        let mut rig = Rig::default();
        rig.send(Original, B, &[HEARTBEAT])?;
        check_eq!(rig.proto.state(), State::HeartbeatSent);
        let answer = rig.send(Reply, A, &[HEARTBEAT_ACK])?;
        check_eq!((answer.action, answer.assured), (refresh(210), true));

        let mut rig = Rig::default();
        rig.send(Original, 0, &[init(A)])?;
        check_eq!(rig.send(Original, 0, &[init(A)])?.action, Action::Accept);
        Ok(())
    }

    /// Both ends open at once; the late INIT ACK asks for another tag than the INIT of the same end
    /// (RFC 9260 section 5.2.1).
    #[test]
    fn collision() -> Result {
        let mut rig = Rig::default();
        rig.send(Original, 0, &[init(A)])?;
        rig.send(Reply, 0, &[init(B)])?;
        rig.send(Original, B, &[init_ack(A)])?;
        let late = rig.send(Reply, A, &[init_ack(B + 1)])?;
        check_eq!(late.action, Action::Invalid(Reason::SctpTag));
        check_eq!(rig.proto.vtag, [B.to_be_bytes(), A.to_be_bytes()]);
        Ok(())
    }
}
