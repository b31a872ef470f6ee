// SPDX-License-Identifier: GPL-2.0

//! The SCTP tracker: its table, its tags, and whole associations.

use super::build::{
    chunk,
    init,
    ipv4,
    sctp, //
};
use crate::{
    expected::sctp::{
        COLUMNS,
        NAMES,
        TABLE, //
    },
    packet::Bytes,
    pure::{
        l4proto::{
            sctp::{
                table::next,
                track,
                Proto,
                Sctp as Tracker,
                State, //
            },
            Action,
            Input,
            L4Proto,
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
            sctp::Sctp,
            Family,
            L4, //
        },
    },
    timeouts::Timeouts, //
};
use proptest::prelude::*;

const HZ: u32 = 250;

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const HEARTBEAT: u8 = 4;
const HEARTBEAT_ACK: u8 = 5;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_ACK: u8 = 8;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;
const COMPLETE: u8 = 14;

/// The flag of ABORT and SHUTDOWN COMPLETE that says whose tag it is.
const T: u8 = 1;

/// The chunks of a packet.
type Chunks = Vec<Vec<u8>>;

/// The tags that the ends ask for: packets to the client carry A, packets to the server B.
const A: u32 = 0xaaaa_0001;
const B: u32 = 0xbbbb_0002;

#[test]
fn the_table_is_the_kernels() {
    let columns: Vec<_> = COLUMNS.split(' ').collect();
    for (dir, kind, row) in TABLE {
        let cells: Vec<_> = row.split(' ').collect();
        assert_eq!(cells.len(), State::ALL.len());
        for (state, cell) in State::ALL.into_iter().zip(cells) {
            let expected = columns.iter().position(|name| *name == cell);
            let expected = expected.map(|index| State::ALL[index]);
            assert_eq!(
                next(dir, kind, state),
                expected,
                "{kind:?} {dir:?} in {state:?}"
            );
        }
    }
}

/// The names and numbers of the states are what user space knows.
#[test]
fn states_have_their_names() {
    for (index, name) in NAMES.split(' ').enumerate() {
        let state = State::from_bits(u8::try_from(index).unwrap());
        assert_eq!((state as usize, state.name()), (index, name));
    }
    for bits in 9..=u8::MAX {
        assert_eq!(State::from_bits(bits), State::None);
    }
}

/// An association without the rest of the module around it.
#[derive(Clone, Copy, Default)]
struct Rig {
    proto: Proto,
    status: Status,
}

impl Rig {
    fn send(&mut self, dir: Direction, tag: u32, chunks: &[Vec<u8>]) -> Outcome {
        let pkt = ipv4(132, &sctp(tag, chunks));
        let pkt = Bytes(&pkt);
        let l4 = L4 {
            proto: 132,
            offset: 20,
        };
        let read = match Sctp::read(&pkt, &l4, Family::Ipv4, false) {
            Ok(read) => read,
            Err(reason) => return Outcome::invalid(reason),
        };
        let input = Input {
            status: self.status,
            ctinfo: match dir {
                Original => CtInfo::New,
                Reply => CtInfo::EstablishedReply,
            },
            now: 0,
            remaining: 0,
            hz: HZ,
        };
        let timeouts = Timeouts::new(HZ).sctp;
        let outcome = track(&mut self.proto, &read, &pkt, &l4, &input, &timeouts);

        if matches!(outcome.action, Action::Invalid(_)) && !input.confirmed() {
            *self = Self::default();
            return outcome;
        }
        self.status = self.status.with(Status::CONFIRMED);
        if outcome.assured {
            self.status = self.status.with(Status::ASSURED);
        }
        outcome
    }

    /// After the handshake.
    fn established() -> Self {
        let mut rig = Self::default();
        rig.send(Original, 0, &[init(INIT, A)]);
        rig.send(Reply, A, &[init(INIT_ACK, B)]);
        rig.send(Original, B, &[one(COOKIE_ECHO)]);
        rig.send(Reply, A, &[one(COOKIE_ACK)]);
        assert_eq!(rig.proto.state(), State::Established);
        assert!(rig.status.contains(Status::ASSURED));
        rig
    }
}

fn one(kind: u8) -> Vec<u8> {
    chunk(kind, 0, b"")
}

fn data() -> Vec<u8> {
    chunk(DATA, 3, &[0; 16])
}

/// The life of an association: opened, used, closed; each step with its state, timeout and report.
#[test]
fn an_association_from_init_to_shutdown() {
    use State::*;
    let rows: &[(Direction, u32, Chunks, State, u32)] = &[
        (Original, 0, vec![init(INIT, A)], Closed, 10),
        (Reply, A, vec![init(INIT_ACK, B)], CookieWait, 3),
        (Original, B, vec![one(COOKIE_ECHO), data()], CookieEchoed, 3),
        (Reply, A, vec![one(COOKIE_ACK), data()], Established, 210),
        (Original, B, vec![data()], Established, 210),
        (Reply, A, vec![data(), data()], Established, 210),
        (Original, B, vec![one(SHUTDOWN)], ShutdownSent, 3),
        (Reply, A, vec![one(SHUTDOWN_ACK)], ShutdownAckSent, 3),
        (Original, B, vec![one(COMPLETE)], Closed, 10),
    ];
    let mut rig = Rig::default();
    for (index, (dir, tag, chunks, state, seconds)) in rows.iter().enumerate() {
        let before = rig.proto.state();
        let outcome = rig.send(*dir, *tag, chunks);
        assert_eq!(
            outcome.action,
            Action::Refresh(seconds * HZ),
            "step {index}"
        );
        assert_eq!(rig.proto.state(), *state, "step {index}");
        assert_eq!(outcome.protoinfo_changed, before != *state, "step {index}");
        assert_eq!(
            outcome.assured,
            before != Established && *state == Established
        );
    }
}

/// What can begin an association.
#[test]
fn first_packets() {
    let rows: &[(&str, u32, Chunks, Action)] = &[
        ("INIT", 0, vec![init(INIT, A)], Action::Refresh(10 * HZ)),
        (
            "INIT with a tag",
            1,
            vec![init(INIT, A)],
            Action::Invalid(Reason::SctpTag),
        ),
        (
            "INIT cut off",
            0,
            vec![one(INIT)],
            Action::Invalid(Reason::SctpChunk),
        ),
        (
            "HEARTBEAT",
            B,
            vec![one(HEARTBEAT)],
            Action::Refresh(30 * HZ),
        ),
        (
            "SHUTDOWN ACK",
            B,
            vec![one(SHUTDOWN_ACK)],
            Action::Refresh(3 * HZ),
        ),
        (
            "ABORT",
            B,
            vec![one(ABORT)],
            Action::Invalid(Reason::SctpNew),
        ),
        (
            "SHUTDOWN COMPLETE",
            B,
            vec![one(COMPLETE)],
            Action::Invalid(Reason::SctpNew),
        ),
        (
            "COOKIE ACK",
            B,
            vec![one(COOKIE_ACK)],
            Action::Invalid(Reason::SctpNew),
        ),
        ("data", B, vec![data()], Action::Invalid(Reason::SctpNew)),
        (
            "HEARTBEAT and data",
            B,
            vec![one(HEARTBEAT), data()],
            Action::Invalid(Reason::SctpNew),
        ),
    ];
    for (what, tag, chunks, action) in rows {
        assert_eq!(
            Rig::default().send(Original, *tag, chunks).action,
            *action,
            "{what}"
        );
    }
}

/// The tag tells a stranger's packet from the association's (RFC 9260 section 8.5).
#[test]
fn tags() {
    let right = |seconds| Action::Refresh(seconds * HZ);
    let wrong = Action::Invalid(Reason::SctpTag);
    let rows: &[(&str, Direction, u32, Vec<u8>, Action)] = &[
        ("data", Original, B, data(), right(210)),
        ("data, wrong", Original, B + 1, data(), wrong),
        ("data, of the other end", Original, A, data(), wrong),
        ("ABORT", Original, B, one(ABORT), right(10)),
        ("ABORT, wrong", Original, B + 1, one(ABORT), wrong),
        (
            "ABORT, reflected",
            Original,
            A,
            chunk(ABORT, T, b""),
            right(10),
        ),
        (
            "ABORT, reflected, wrong",
            Original,
            B,
            chunk(ABORT, T, b""),
            wrong,
        ),
        ("COMPLETE, wrong", Reply, B, one(COMPLETE), wrong),
        (
            "COMPLETE, reflected",
            Reply,
            B,
            chunk(COMPLETE, T, b""),
            right(210),
        ),
        (
            "COOKIE ECHO, wrong",
            Original,
            B + 1,
            one(COOKIE_ECHO),
            wrong,
        ),
        ("INIT with a tag", Original, B, init(INIT, A), wrong),
        ("SHUTDOWN, wrong", Reply, B, one(SHUTDOWN), wrong),
        (
            "SHUTDOWN ACK has any tag",
            Reply,
            77,
            one(SHUTDOWN_ACK),
            right(210),
        ),
    ];
    for (what, dir, tag, chunk, action) in rows {
        let outcome = Rig::established().send(*dir, *tag, &[chunk.clone()]);
        assert_eq!(outcome.action, *action, "{what}");
    }
}

/// An end that has begun again asks with a new tag; the question passes, and its answer settles the
/// tag.
#[test]
fn heartbeats_with_another_tag() {
    const NEW: u32 = 0xcccc_0003;
    let wrong = Action::Invalid(Reason::SctpTag);

    let mut rig = Rig::established();
    assert_eq!(
        rig.send(Original, NEW, &[one(HEARTBEAT)]).action,
        Action::Accept
    );
    assert_eq!(
        rig.send(Reply, NEW, &[one(HEARTBEAT_ACK)]).action,
        Action::Refresh(210 * HZ)
    );
    assert_eq!(
        rig.send(Reply, NEW, &[data()]).action,
        Action::Refresh(210 * HZ)
    );
    assert_eq!(rig.send(Reply, A, &[data()]).action, wrong);
    // The other tag is to be learnt anew.
    assert_eq!(
        rig.send(Original, 5, &[one(HEARTBEAT)]).action,
        Action::Refresh(210 * HZ)
    );
    assert_eq!(
        rig.send(Original, 5, &[data()]).action,
        Action::Refresh(210 * HZ)
    );

    // With data beside it, the question is a stranger's; and an answer without a question is wrong.
    let mut rig = Rig::established();
    assert_eq!(
        rig.send(Original, NEW, &[one(HEARTBEAT), data()]).action,
        wrong
    );
    assert_eq!(rig.send(Reply, NEW, &[one(HEARTBEAT_ACK)]).action, wrong);
    rig.send(Original, NEW, &[one(HEARTBEAT)]);
    assert_eq!(rig.send(Original, NEW, &[one(HEARTBEAT_ACK)]).action, wrong);
    assert_eq!(
        rig.send(Original, NEW, &[one(HEARTBEAT), one(HEARTBEAT)])
            .action,
        wrong
    );

    // A right question withdraws the stranger's.
    rig.send(Original, NEW, &[one(HEARTBEAT)]);
    rig.send(Original, B, &[one(HEARTBEAT)]);
    assert_eq!(rig.send(Reply, NEW, &[one(HEARTBEAT_ACK)]).action, wrong);
}

/// A second path: HEARTBEAT and its answer establish it.
#[test]
fn a_second_path() {
    let mut rig = Rig::default();
    rig.send(Original, B, &[one(HEARTBEAT)]);
    assert_eq!(rig.proto.state(), State::HeartbeatSent);
    let answer = rig.send(Reply, A, &[one(HEARTBEAT_ACK)]);
    assert_eq!(answer.action, Action::Refresh(210 * HZ));
    assert!(answer.assured);
    assert_eq!(
        rig.send(Original, B, &[data()]).action,
        Action::Refresh(210 * HZ)
    );
}

/// An INIT that is sent again does not renew the timeout.
#[test]
fn repeated_init() {
    let mut rig = Rig::default();
    rig.send(Original, 0, &[init(INIT, A)]);
    assert_eq!(
        rig.send(Original, 0, &[init(INIT, A)]).action,
        Action::Accept
    );
}

/// An INIT ACK must ask for the tag that is known, unless the other end has sent an INIT.
#[test]
fn tags_of_init_ack() {
    let mut rig = Rig::established();
    let outcome = rig.send(Reply, A, &[init(INIT_ACK, B + 1)]);
    assert_eq!(outcome.action, Action::Invalid(Reason::SctpTag));
    let outcome = rig.send(Reply, A, &[init(INIT_ACK, B)]);
    assert_eq!(outcome.action, Action::Refresh(210 * HZ));
}

/// Both ends open at once (tools/testing/selftests/net/netfilter/conntrack_sctp_collision.sh).
#[test]
fn collision_of_inits() {
    let mut rig = Rig::default();
    rig.send(Original, 0, &[init(INIT, A)]);
    rig.send(Reply, 0, &[init(INIT, B)]);
    rig.send(Original, B, &[init(INIT_ACK, A)]);
    // The late answer to the first INIT asks for another tag than the INIT of the same end.
    let late = rig.send(Reply, A, &[init(INIT_ACK, B + 1)]);
    assert_eq!(late.action, Action::Invalid(Reason::SctpTag));
    assert_eq!(rig.proto.vtag, [B.to_be_bytes(), A.to_be_bytes()]);
}

/// A chunk that does not fit the state makes the packet invalid.
#[test]
fn chunks_out_of_state() {
    let mut rig = Rig::default();
    rig.send(Original, B, &[one(HEARTBEAT)]);
    let outcome = rig.send(Reply, B, &[one(COOKIE_ECHO)]);
    assert_eq!(outcome.action, Action::Invalid(Reason::SctpTag));
    let outcome = rig.send(Reply, B, &[one(SHUTDOWN_ACK)]);
    assert_eq!(outcome.action, Action::Invalid(Reason::SctpState));
    assert_eq!(rig.proto.state(), State::HeartbeatSent);
}

fn any_chunk() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop_oneof![Just(A), Just(B), any::<u32>()];
    prop_oneof![
        (1..=2u8, tag).prop_map(|(kind, tag)| init(kind, tag)),
        (0..16u8, 0..2u8).prop_map(|(kind, flags)| chunk(kind, flags, &[0; 4])),
        prop::collection::vec(any::<u8>(), 0..12),
    ]
}

proptest! {
    /// Any sequence of any packets leaves the association in a state; nothing panics.
    #[test]
    fn any_sequence_is_survived(
        packets in prop::collection::vec(
            (
                any::<bool>(),
                prop_oneof![Just(0), Just(A), Just(B), any::<u32>()],
                prop::collection::vec(any_chunk(), 0..4),
            ),
            1..40,
        ),
    ) {
        let mut rig = Rig::default();
        for (reply, tag, chunks) in packets {
            let known = rig.status.contains(Status::CONFIRMED);
            let dir = if reply && known { Reply } else { Original };
            let outcome = rig.send(dir, tag, &chunks);
            prop_assert!((rig.proto.state as usize) < State::ALL.len());
            if let Action::Refresh(jiffies) = outcome.action {
                prop_assert!((HZ..=210 * HZ).contains(&jiffies), "{:?}", outcome);
            }
        }
    }
}

/// An association that begins again while it is shut down is kept for as long as one that is
/// closed.
#[test]
fn begun_again_while_shut_down() {
    for state in [State::ShutdownSent, State::ShutdownRecd] {
        let mut rig = Rig::default();
        rig.proto.state = state as u32;
        rig.status = Status::CONFIRMED.with(Status::SEEN_REPLY);
        assert_eq!(Tracker::state(&rig.proto), state as u8);
        let outcome = rig.send(Original, 0, &[init(INIT, B)]);
        assert_eq!(outcome.action, Action::Refresh(10 * HZ), "{state:?}");
        assert_eq!(Tracker::state(&rig.proto), 1);
        assert_eq!(
            Tracker::show(&rig.proto, rig.status, HZ).to_string(),
            "CLOSED "
        );
    }
}
