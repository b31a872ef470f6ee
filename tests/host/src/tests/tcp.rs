// SPDX-License-Identifier: GPL-2.0

//! The TCP tracker, rule by rule.

use crate::{
    fuzz::{
        Conn,
        TUNING, //
    },
    pure::{
        l4proto::{
            seqadj::SeqAdj,
            tcp::{
                peer_flag,
                Env,
                Peer,
                Proto,
                State,
                Tcp,
                Tuning, //
            },
            Action,
            L4Proto,
            Outcome, //
        },
        reason::Reason,
        state::Status,
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
    timeouts::Timeouts, //
};

pub(super) const HZ: u32 = 250;

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const ACK: u8 = 0x10;

/// A segment without options, with a window of 4096.
pub(super) fn segment(flags: u8, seq: u32, ack: u32, len: u32) -> Segment {
    let counted = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    Segment {
        kind: Kind::from_flags(flags),
        flags,
        seq,
        end: seq.wrapping_add(len).wrapping_add(counted),
        ack,
        window: 4096,
        options: Options::default(),
    }
}

/// A connection with its namespace.
pub(super) struct Rig {
    pub(super) conn: Conn,
    pub(super) tuning: Tuning,
    pub(super) timeouts: Timeouts,
    pub(super) synproxy: bool,
    pub(super) seqadj: SeqAdj,
}

impl Rig {
    /// Nothing was seen yet.
    pub(super) fn new() -> Self {
        Self {
            conn: Conn::default(),
            tuning: TUNING,
            timeouts: Timeouts::new(HZ),
            synproxy: false,
            seqadj: SeqAdj::default(),
        }
    }

    /// An assured connection in some state, both ends at sequence number 1000.
    pub(super) fn in_window(state: State) -> Self {
        let peer = Peer {
            td_end: 1000,
            td_maxend: 1000 + 4096,
            td_maxwin: 4096,
            ..Peer::default()
        };
        let mut rig = Self::new();
        rig.conn.proto = Proto {
            seen: [peer, peer],
            state: state as u8,
            last_index: Kind::None as u8,
            last_win: 4096,
            ..Proto::default()
        };
        rig.conn.status = Status::CONFIRMED
            .with(Status::SEEN_REPLY)
            .with(Status::ASSURED);
        rig
    }

    /// A connection after its handshake; the client is at 1001, the server at 5001.
    pub(super) fn established() -> Self {
        let mut rig = Self::new();
        rig.send(Original, segment(SYN, 1000, 0, 0));
        rig.send(Reply, segment(SYN | ACK, 5000, 1001, 0));
        rig.send(Original, segment(ACK, 1001, 5001, 0));
        rig.send(Reply, segment(ACK, 5001, 1001, 0));
        assert_eq!(rig.state(), State::Established);
        assert!(rig.conn.status.contains(Status::ASSURED));
        rig
    }

    pub(super) fn send(&mut self, dir: Direction, seg: Segment) -> Outcome {
        let env = Env {
            tuning: &self.tuning,
            timeouts: &self.timeouts.tcp,
            synproxy: self.synproxy,
            seqadj: self.seqadj,
        };
        let outcome = self.conn.step(&seg, dir, &env);
        crate::fuzz::check(&self.conn.proto);
        outcome
    }

    pub(super) fn state(&self) -> State {
        self.conn.proto.state()
    }
}

/// Plays a connection: direction, flags, sequence number, acknowledgment, length; then the state
/// and the seconds until it expires.
fn play(rig: &mut Rig, steps: &[(Direction, u8, u32, u32, u32, State, u32)]) {
    for (index, &(dir, flags, seq, ack, len, state, seconds)) in steps.iter().enumerate() {
        let outcome = rig.send(dir, segment(flags, seq, ack, len));
        assert_eq!(
            outcome.action,
            Action::Refresh(seconds * HZ),
            "step {index}"
        );
        assert_eq!(rig.state(), state, "step {index}");
    }
}

/// The life of a connection: opened, used, closed by both ends.
#[test]
fn a_connection_from_syn_to_time_wait() {
    use State::*;
    let mut rig = Rig::new();
    play(
        &mut rig,
        &[
            (Original, SYN, 1000, 0, 0, SynSent, 120),
            (Reply, SYN | ACK, 5000, 1001, 0, SynRecv, 60),
            (Original, ACK, 1001, 5001, 0, Established, 432_000),
            (Original, ACK, 1001, 5001, 100, Established, 300),
            (Reply, ACK, 5001, 1101, 0, Established, 432_000),
            (Reply, ACK, 5001, 1101, 200, Established, 300),
            (Original, ACK, 1101, 5201, 0, Established, 432_000),
            (Original, FIN | ACK, 1101, 5201, 0, FinWait, 120),
            (Reply, ACK, 5201, 1102, 0, CloseWait, 60),
            (Reply, FIN | ACK, 5201, 1102, 0, LastAck, 30),
            (Original, ACK, 1102, 5202, 0, TimeWait, 120),
        ],
    );
    assert!(rig.conn.status.contains(Status::ASSURED));
}

/// Both ends open at once (RFC 9293 section 3.5, figure 7).
///
/// The first SYN of the other end does not renew the timeout, since it could be any SYN sent again.
#[test]
fn simultaneous_open() {
    use State::*;
    let mut rig = Rig::new();
    let steps = [
        (
            Original,
            segment(SYN, 1000, 0, 0),
            Action::Refresh(120 * HZ),
            SynSent,
        ),
        (Reply, segment(SYN, 5000, 0, 0), Action::Accept, SynSent2),
        (
            Original,
            segment(SYN | ACK, 1000, 5001, 0),
            Action::Refresh(60 * HZ),
            SynRecv,
        ),
        (
            Reply,
            segment(ACK, 5001, 1001, 0),
            Action::Refresh(432_000 * HZ),
            Established,
        ),
    ];
    for (index, (dir, seg, action, state)) in steps.into_iter().enumerate() {
        assert_eq!(rig.send(dir, seg).action, action, "step {index}");
        assert_eq!(rig.state(), state, "step {index}");
    }
}

/// The handshake makes a connection assured with the first ACK that follows an answer, and not
/// before.
#[test]
fn assured_after_the_handshake() {
    let mut rig = Rig::new();
    let steps = [
        (Original, segment(SYN, 1000, 0, 0), false),
        (Reply, segment(SYN | ACK, 5000, 1001, 0), false),
        (Original, segment(ACK, 1001, 5001, 0), true),
        (Original, segment(ACK, 1001, 5001, 9), false),
    ];
    for (index, (dir, seg, assured)) in steps.into_iter().enumerate() {
        assert_eq!(rig.send(dir, seg).assured, assured, "step {index}");
    }
}

/// What can begin a connection: a SYN, and an ACK where picking up is allowed.
#[test]
fn first_segments() {
    let rows = [
        (SYN, Ok(120), Ok(120)),
        (SYN | ACK, Err(Reason::TcpNew), Err(Reason::TcpNew)),
        (FIN | ACK, Err(Reason::TcpNew), Err(Reason::TcpNew)),
        (RST, Err(Reason::TcpNew), Err(Reason::TcpNew)),
        (RST | ACK, Err(Reason::TcpNew), Err(Reason::TcpNew)),
        // Not answered yet, so not with the timeout of days.
        (ACK, Ok(300), Err(Reason::TcpPickup)),
    ];
    for (flags, loose, strict) in rows {
        for (is_loose, expected) in [(true, loose), (false, strict)] {
            let mut rig = Rig::new();
            rig.tuning.loose = is_loose;
            let outcome = rig.send(Original, segment(flags, 1000, 2000, 0));
            let action = match expected {
                Ok(seconds) => Action::Refresh(seconds * HZ),
                Err(reason) => Action::Invalid(reason),
            };
            assert_eq!(outcome.action, action, "flags {flags:#x}, loose {is_loose}");
        }
    }
}

/// A connection that was picked up takes segments of any number until it is answered, and is then
/// assured.
#[test]
fn picked_up_in_the_middle() {
    let mut rig = Rig::new();
    rig.send(Original, segment(ACK, 1000, 5000, 0));
    assert_eq!(rig.state(), State::Established);
    let far = rig.send(Original, segment(ACK, 0x8000_0000, 5000, 0));
    assert_eq!(far.action, Action::Refresh(300 * HZ));
    let first_answer = rig.send(Reply, segment(ACK, 5000, 1000, 0));
    assert!(!first_answer.assured);
    let next = rig.send(Reply, segment(ACK, 5000, 1000, 0));
    assert!(next.assured);
}

/// A SYN that is sent again does not renew the timeout, a refusal ends the connection at once.
#[test]
fn unanswered_connections() {
    let mut rig = Rig::new();
    rig.send(Original, segment(SYN, 1000, 0, 0));
    assert_eq!(
        rig.send(Original, segment(SYN, 1000, 0, 0)),
        Outcome::of(Action::Accept)
    );

    let refused = rig.send(Reply, segment(RST | ACK, 0, 1001, 0));
    assert_eq!(refused.action, Action::Kill);
    assert!(refused.protoinfo_changed);
}

/// The segments of a stranger do not fit the window, each for its own reason.
#[test]
fn windows() {
    let outside = |reason| Outcome::invalid(reason);
    let ignored = Outcome::ignore;
    let rows: &[(&str, Direction, Segment, Outcome)] = &[
        (
            "data a window above the window",
            Original,
            segment(ACK, 1001 + 4096 + 4096, 5001, 0),
            outside(Reason::TcpSeqOver),
        ),
        (
            "data less than a window above the window",
            Original,
            segment(ACK, 1001 + 4096 + 4095, 5001, 0),
            ignored(Reason::TcpOvershot),
        ),
        (
            "data at the upper edge",
            Original,
            segment(ACK, 1001 + 4096, 5001, 0),
            Outcome::refresh(300 * HZ),
        ),
        (
            "data across the upper edge",
            Original,
            segment(ACK, 1001 + 4000, 5001, 4000),
            Outcome::refresh(300 * HZ),
        ),
        (
            "acknowledges one byte too many",
            Original,
            segment(ACK, 1001, 5002, 0),
            outside(Reason::TcpAckOver),
        ),
        (
            "acknowledges all that was sent",
            Original,
            segment(ACK, 1001, 5001, 0),
            Outcome::refresh(432_000 * HZ),
        ),
        (
            "data below the window",
            Original,
            segment(ACK, 1001u32.wrapping_sub(4096 + 1), 5001, 0),
            ignored(Reason::TcpSeqUnder),
        ),
        (
            "data at the lower edge",
            Original,
            segment(ACK, 1001u32.wrapping_sub(4096), 5001, 0),
            Outcome::refresh(432_000 * HZ),
        ),
        (
            "acknowledges what is long gone",
            Original,
            segment(ACK, 1001, 5001u32.wrapping_sub(66_001), 0),
            ignored(Reason::TcpAckUnder),
        ),
        (
            "acknowledges what is just not gone",
            Original,
            segment(ACK, 1001, 5001u32.wrapping_sub(66_000), 0),
            Outcome::refresh(432_000 * HZ),
        ),
    ];
    for (what, dir, seg, expected) in rows {
        assert_eq!(Rig::established().send(*dir, *seg), *expected, "{what}");
    }
}

/// A little more than the window allows passes, and its acknowledgment is believed later.
#[test]
fn overshot_data() {
    let mut rig = Rig::established();
    // Fill the window, then go on as if the receiver had more room.
    rig.send(Original, segment(ACK, 1001, 5001, 4096));
    let outcome = rig.send(Original, segment(ACK, 1001 + 4097, 5001, 100));
    assert_eq!(outcome, Outcome::ignore(Reason::TcpOvershot));
    let answer = rig.send(Reply, segment(ACK, 5001, 1001 + 4197, 0));
    assert!(matches!(answer.action, Action::Refresh(_)), "{answer:?}");
}

/// With be_liberal, only a reset can be outside the window.
#[test]
fn liberal() {
    let far = 0x4000_0000;
    let rows = [
        (segment(ACK, far, 5001, 0), Action::Refresh(432_000 * HZ)),
        (segment(ACK, 1001, far, 0), Action::Refresh(432_000 * HZ)),
        (segment(FIN | ACK, far, 5001, 0), Action::Refresh(120 * HZ)),
        (segment(RST, 4000, 0, 0), Action::Invalid(Reason::TcpRst)),
    ];
    for (seg, action) in rows {
        let mut rig = Rig::established();
        rig.tuning.be_liberal = true;
        let dir = if seg.kind == Kind::Rst {
            Reply
        } else {
            Original
        };
        assert_eq!(rig.send(dir, seg).action, action, "{seg:?}");
    }
}

fn syn_with(flags: u8, seq: u32, ack: u32, options: Options) -> Segment {
    Segment {
        options: Options {
            present: true,
            ..options
        },
        ..segment(flags, seq, ack, 0)
    }
}

fn scale(bits: u8) -> Options {
    Options {
        scale: Some(bits),
        ..Options::default()
    }
}

/// Windows are scaled if both ends have said so in their SYN, and the SYN's own window never is.
#[test]
fn window_scaling() {
    let none = Options::default();
    let rows = [
        (none, none, 4096, 4096),
        (scale(3), none, 4096, 4096),
        (none, scale(3), 4096, 4096),
        (scale(3), scale(1), 4096 << 3, 4096 << 1),
        (scale(0), scale(14), 4096, 4096 << 14),
    ];
    for (client, server, client_window, server_window) in rows {
        let mut rig = Rig::new();
        rig.send(Original, syn_with(SYN, 1000, 0, client));
        rig.send(Reply, syn_with(SYN | ACK, 5000, 1001, server));
        assert_eq!(rig.conn.proto.seen[0].td_maxwin, 4096);
        assert_eq!(rig.conn.proto.seen[1].td_maxwin, 4096);

        rig.send(Original, segment(ACK, 1001, 5001, 0));
        rig.send(Reply, segment(ACK, 5001, 1001, 0));
        let [original, reply] = rig.conn.proto.seen;
        assert_eq!(
            (original.td_maxwin, reply.td_maxwin),
            (client_window, server_window)
        );
        assert_eq!(original.td_maxend, 1001 + server_window);
        assert_eq!(reply.td_maxend, 5001 + client_window);
    }
}

/// A selective acknowledgment counts if its sender's peer can handle one.
#[test]
fn selective_acknowledgments() {
    for permitted in [false, true] {
        let options = Options {
            sack_permitted: permitted,
            ..Options::default()
        };
        let mut rig = Rig::new();
        rig.send(Original, syn_with(SYN, 1000, 0, options));
        rig.send(Reply, syn_with(SYN | ACK, 5000, 1001, options));
        rig.send(Original, segment(ACK, 1001, 5001, 0));
        rig.send(Original, segment(ACK, 1001, 5001, 100));

        // The first hundred bytes are missing, and a byte more than was sent is claimed.
        let mut seg = segment(ACK, 5001, 1001, 0);
        seg.options.sack = Some(1102);
        let outcome = rig.send(Reply, seg);
        if permitted {
            assert_eq!(outcome.action, Action::Invalid(Reason::TcpAckOver));
        } else {
            assert!(matches!(outcome.action, Action::Refresh(_)));
        }
    }
}

/// A helper that has changed lengths shifts what the other end acknowledges.
#[test]
fn shifted_sequence_numbers() {
    let rows = [(10, 1001, 5011), (-10, 1001, 4991)];
    for (offset, seq, ack) in rows {
        let mut rig = Rig::established();
        rig.seqadj = SeqAdj {
            correction_pos: 4000,
            offset_before: 0,
            offset_after: offset,
        };
        rig.send(Original, segment(ACK, seq, ack, 0));
        assert_eq!(rig.conn.proto.seen[0].td_maxack, 5001, "offset {offset}");
    }
}

/// Timeouts: each reason to shorten one holds alone, and none lengthens.
#[test]
fn shortened_timeouts() {
    // Three repetitions of an ACK.
    let mut rig = Rig::established();
    let ack = segment(ACK, 1001, 5001, 0);
    let seconds: Vec<_> = (0..5)
        .map(|_| match rig.send(Original, ack).action {
            Action::Refresh(jiffies) => jiffies / HZ,
            action => panic!("{action:?}"),
        })
        .collect();
    assert_eq!(seconds, [432_000, 432_000, 432_000, 300, 300]);

    // A closed window.
    let mut rig = Rig::established();
    let mut closed = ack;
    closed.window = 0;
    assert_eq!(rig.send(Original, closed).action, Action::Refresh(300 * HZ));

    // Data that was not acknowledged; a state with a shorter timeout keeps it.
    let mut rig = Rig::established();
    let data = segment(ACK, 1001, 5001, 10);
    assert_eq!(rig.send(Original, data).action, Action::Refresh(300 * HZ));
    let fin = segment(FIN | ACK, 1011, 5001, 0);
    assert_eq!(rig.send(Original, fin).action, Action::Refresh(120 * HZ));

    // max_retrans set to zero shortens at once.
    let mut rig = Rig::established();
    rig.tuning.max_retrans = 0;
    assert_eq!(rig.send(Original, ack).action, Action::Refresh(300 * HZ));
}

/// An ACK may be repeated more often than a byte can count.
#[test]
fn endless_repetition() {
    let mut rig = Rig::established();
    for _ in 0..1000 {
        rig.send(Original, segment(ACK, 1001, 5001, 0));
    }
    assert_eq!(rig.conn.proto.retrans, u8::MAX);
    let other = rig.send(Original, segment(ACK, 1001, 5000, 0));
    assert_eq!(rig.conn.proto.retrans, 0);
    assert_eq!(other.action, Action::Refresh(432_000 * HZ));
}

/// An ACK is a repetition if nothing in it differs from the ACK before: its direction, numbers,
/// end and window.
#[test]
fn what_is_a_repetition() {
    let ack = || segment(ACK, 1001, 5001, 0);
    let longer = Segment { end: 1002, ..ack() };
    let wider = Segment {
        window: 4097,
        ..ack()
    };
    for (what, dir, seg, repetitions) in [
        ("the same", Original, ack(), 2),
        ("another number", Original, segment(ACK, 1002, 5001, 0), 0),
        (
            "another number, to the same end",
            Original,
            Segment { seq: 1000, ..ack() },
            0,
        ),
        (
            "another acknowledgment",
            Original,
            segment(ACK, 1001, 5000, 0),
            0,
        ),
        ("another end", Original, longer, 0),
        ("another window", Original, wider, 0),
    ] {
        let mut rig = Rig::established();
        rig.send(Original, ack());
        rig.send(Original, ack());
        assert_eq!(rig.conn.proto.retrans, 1, "{what}");
        rig.send(dir, seg);
        assert_eq!(rig.conn.proto.retrans, repetitions, "{what}");
    }
    // The two ends may happen to be at the same numbers.
    let mut rig = Rig::in_window(State::Established);
    rig.send(Original, segment(ACK, 1000, 1000, 0));
    rig.send(Original, segment(ACK, 1000, 1000, 0));
    assert_eq!(rig.conn.proto.retrans, 1);
    rig.send(Reply, segment(ACK, 1000, 1000, 0));
    assert_eq!(rig.conn.proto.retrans, 0, "another direction");
}

/// A SYN opens a connection anew where the old one was closed in order, or aborted by the same end.
#[test]
fn reuse() {
    let syn = segment(SYN, 90_000, 0, 0);

    let mut rig = Rig::established();
    rig.send(Original, segment(FIN | ACK, 1001, 5001, 0));
    rig.send(Reply, segment(FIN | ACK, 5001, 1002, 0));
    rig.send(Original, segment(ACK, 1002, 5002, 0));
    assert_eq!(rig.state(), State::TimeWait);
    assert_eq!(rig.send(Original, syn).action, Action::Reuse);
    assert_eq!(rig.conn.proto, Proto::default());

    for (aborter, expected) in [(Original, Action::Reuse), (Reply, Action::Accept)] {
        let mut rig = Rig::established();
        let rst = match aborter {
            Original => segment(RST, 1001, 0, 0),
            Reply => segment(RST, 5001, 0, 0),
        };
        rig.send(aborter, rst);
        assert_eq!(rig.state(), State::Close);
        assert_eq!(
            rig.send(Original, syn).action,
            expected,
            "aborted by {aborter:?}"
        );
    }
}

/// Out of step: a SYN passes without effect, and the SYN and ACK that answers it begins the
/// connection anew.
#[test]
fn back_in_step() {
    let mut rig = Rig::established();
    let syn = syn_with(SYN, 70_000, 0, scale(5));
    assert_eq!(rig.send(Original, syn), Outcome::ignore(Reason::TcpIgnored));
    assert_eq!(rig.state(), State::Established);

    // An answer to something else does nothing.
    let wrong = rig.send(Reply, segment(SYN | ACK, 800, 70_002, 0));
    assert_eq!(wrong, Outcome::ignore(Reason::TcpIgnored));

    rig.send(Original, syn);
    rig.send(Reply, syn_with(SYN | ACK, 800, 70_001, scale(2)));
    assert_eq!(rig.state(), State::SynRecv);
    let [original, reply] = rig.conn.proto.seen;
    assert_eq!((original.td_end, original.td_scale), (70_001, 5));
    assert_eq!((reply.td_end, reply.td_scale), (801, 2));

    rig.send(Original, segment(ACK, 70_001, 801, 0));
    assert_eq!(rig.state(), State::Established);
}

/// A challenge ACK to a SYN in LAST_ACK (RFC 5961 section 4) is not the ACK of the FIN.
#[test]
fn challenge_ack_in_last_ack() {
    let mut rig = Rig::established();
    rig.send(Original, segment(FIN | ACK, 1001, 5001, 0));
    rig.send(Reply, segment(FIN | ACK, 5001, 1002, 0));
    assert_eq!(rig.state(), State::LastAck);

    rig.send(Original, segment(SYN, 70_000, 0, 0));
    let challenge = rig.send(Reply, segment(ACK, 5002, 1002, 0));
    assert_eq!(challenge, Outcome::ignore(Reason::TcpChallengeAck));
    assert_eq!(rig.state(), State::LastAck);

    // There is one challenge: the next ACK of the same end is the last ACK.
    rig.send(Reply, segment(ACK, 5002, 1002, 0));
    assert_eq!(rig.state(), State::TimeWait);
}

/// One invalid FIN or RST from each end: the connection is dead, and does not keep its timeout of
/// days.
#[test]
fn invalid_ends_lower_the_timeout() {
    let both = [(Original, FIN | ACK), (Reply, RST)];
    let any = Status::default();
    // Which end ends, with how much time left and how much to be left, in seconds.
    let rows = [
        ("both ends", both, any, 200, 150, true),
        (
            "one end twice",
            [(Original, FIN | ACK), (Original, RST)],
            any,
            200,
            150,
            false,
        ),
        (
            "no ends",
            [(Original, ACK), (Reply, ACK)],
            any,
            200,
            150,
            false,
        ),
        (
            "fixed timeout",
            both,
            Status::FIXED_TIMEOUT,
            200,
            150,
            false,
        ),
        ("two minutes left", both, any, 120, 60, true),
        ("as much left as that", both, any, 150, 150, false),
        ("less than two minutes left", both, any, 119, 60, false),
        (
            "less left than the lower timeout",
            both,
            any,
            200,
            300,
            false,
        ),
    ];
    for (what, ends, status, left, lower, lowered) in rows {
        let mut rig = Rig::in_window(State::Established);
        rig.conn.remaining = left * HZ;
        rig.timeouts.tcp[13] = lower * HZ;
        rig.conn.status = rig.conn.status.with(status);
        let [first, second] =
            ends.map(|(dir, flags)| rig.send(dir, segment(flags, 0x4000_0000, 1000, 0)));
        assert_eq!(first, Outcome::invalid(Reason::TcpSeqOver), "{what}");
        let mut expected = Outcome::invalid(Reason::TcpSeqOver);
        expected.lower_timeout = lowered.then_some(lower * HZ);
        assert_eq!(second, expected, "{what}");
    }
}

/// A closed window may be probed with one byte (RFC 9293 section 3.8.6.1).
#[test]
fn window_probes() {
    let mut rig = Rig::established();
    rig.send(Original, segment(ACK, 1001, 5001, 4096));
    let mut closed = segment(ACK, 5001, 5097, 0);
    closed.window = 0;
    rig.send(Reply, closed);
    assert_eq!(rig.conn.proto.seen[0].td_maxend, 5097 + 1);
}

/// The client of a SYN proxy may keep alive before the server has answered; other clients may not.
#[test]
fn synproxy_keepalive() {
    for (synproxy, seq, expected) in [
        (true, 1000, Action::Accept),
        (true, 1001, Action::Invalid(Reason::TcpState)),
        (false, 1000, Action::Invalid(Reason::TcpState)),
    ] {
        let mut rig = Rig::new();
        rig.synproxy = synproxy;
        rig.send(Original, segment(SYN, 1000, 0, 0));
        let outcome = rig.send(Original, segment(ACK, seq, 1, 0));
        assert_eq!(
            outcome,
            Outcome::of(expected),
            "synproxy {synproxy}, seq {seq}"
        );
    }
}

/// A reject closes the connection once, unless its timeout is fixed.
#[test]
fn set_closing() {
    let rows = [
        (State::Established, Status::CONFIRMED, Some(10 * HZ)),
        (State::Close, Status::CONFIRMED, None),
        (State::Established, Status::FIXED_TIMEOUT, None),
    ];
    for (state, status, expected) in rows {
        let mut rig = Rig::in_window(state);
        let timeouts = rig.timeouts.tcp;
        assert_eq!(rig.conn.proto.set_closing(status, &timeouts), expected);
        assert_eq!(rig.state(), State::Close);
    }
}

/// After a gap in the tracking, an established connection takes any number and tracks on from
/// there.
#[test]
fn forget_windows() {
    let mut rig = Rig::established();
    rig.conn.proto.forget_windows();
    let far = rig.send(Original, segment(ACK, 0x4000_0000, 0x5000_0000, 0));
    assert!(matches!(far.action, Action::Refresh(_)), "{far:?}");
    let above = rig.send(Original, segment(ACK, 0x4000_0000 + 5000, 0x5000_0000, 0));
    assert_eq!(above.action, Action::Invalid(Reason::TcpSeqOver));

    let mut rig = Rig::in_window(State::SynSent);
    rig.conn.proto.forget_windows();
    assert_eq!(rig.conn.proto.seen[0].td_maxwin, 4096);
}

/// The FIN of either end marks the end that has closed first.
#[test]
fn who_closed_first() {
    for (dir, seg) in [
        (Original, segment(FIN | ACK, 1001, 5001, 0)),
        (Reply, segment(FIN | ACK, 5001, 1001, 0)),
    ] {
        let mut rig = Rig::established();
        rig.send(dir, seg);
        let first: Vec<_> = rig
            .conn
            .proto
            .seen
            .iter()
            .map(|peer| peer.flags & peer_flag::CLOSE_INIT != 0)
            .collect();
        assert_eq!(first, [dir == Original, dir == Reply]);
    }
}

/// A timeout that is not shorter than the usual does not hide a timeout that is.
#[test]
fn the_first_shorter_timeout() {
    let mut rig = Rig::established();
    rig.tuning.max_retrans = 0;
    let [_, _, _, usual, ..] = &mut rig.timeouts.tcp;
    *usual = 300 * HZ;
    rig.timeouts.tcp[13] = 100 * HZ;
    let data = segment(ACK, 1001, 5001, 10);
    assert_eq!(rig.send(Original, data).action, Action::Refresh(100 * HZ));
}

/// The end that has closed first stays so, also if user space has said it before.
#[test]
fn closed_first_is_not_taken_back() {
    let mut rig = Rig::established();
    rig.conn.proto.seen[0].flags |= peer_flag::CLOSE_INIT;
    rig.send(Original, segment(FIN | ACK, 1001, 5001, 0));
    let [original, _] = rig.conn.proto.seen;
    assert_eq!(
        original.flags & peer_flag::CLOSE_INIT,
        peer_flag::CLOSE_INIT
    );
}

/// What the receiver has acknowledged, to the byte.
#[test]
fn acknowledged() {
    let rig = Rig::established();
    for (dir, seq, len, whole) in [
        (Original, 901, 100, true),
        (Original, 901, 101, false),
        (Original, 1001, 1, false),
        (Reply, 4901, 100, true),
        (Reply, 4901, 101, false),
    ] {
        let seg = segment(ACK, seq, 0, len);
        assert_eq!(
            rig.conn.proto.is_acknowledged(&seg, dir),
            whole,
            "{dir:?} {seq} {len}"
        );
    }
    assert!(!Proto::default().is_acknowledged(&segment(ACK, 0, 0, 0), Original));
}

/// What a protocol says of a private state: its number and, unless a flow table has it, its name.
#[test]
fn shown() {
    let proto = Proto {
        state: State::CloseWait as u8,
        ..Proto::default()
    };
    assert_eq!(Tcp::state(&proto), 5);
    for (status, text) in [
        (Status::ASSURED, "CLOSE_WAIT "),
        (Status::OFFLOAD, ""),
        (Status::HW_OFFLOAD, "CLOSE_WAIT "),
    ] {
        assert_eq!(
            Tcp::show(&proto, status, HZ).to_string(),
            text,
            "{status:?}"
        );
    }
}
