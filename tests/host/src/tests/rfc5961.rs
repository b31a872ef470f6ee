// SPDX-License-Identifier: GPL-2.0

//! What passes for its receiver to judge (`nf_conntrack_tcp_rfc5961`), and what stays INVALID: the
//! rows of Documentation/rfc5961.md.

use super::tcp::{
    segment,
    Rig,
    ACK,
    FIN,
    HZ,
    RST,
    SYN, //
};
use crate::{
    fuzz::{
        self,
        Conn, //
    },
    pure::{
        l4proto::{
            tcp::{
                Env,
                State, //
            },
            Action,
            Outcome, //
        },
        reason::Reason::{
            self,
            TcpAckOver,
            TcpNew,
            TcpPickup,
            TcpRfc5961,
            TcpRst,
            TcpSeqOver,
            TcpState, //
        },
        tuple::Direction::{
            self,
            Original,
            Reply, //
        }, //
    },
};
use proptest::prelude::*;

/// What becomes of a segment that is INVALID with nf_conntrack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It goes with its connection.
    Passes,
    /// It begins another connection.
    Begins,
    /// It is INVALID here as well.
    Stays,
}
use Fate::{
    Begins,
    Passes,
    Stays, //
};

/// Further away than any window.
const FAR: u32 = 0x4000_0000;

/// The receiver may take nothing of a segment that passes by, nor of one below its window, which
/// nf_conntrack lets through, too.
#[test]
fn overheard() {
    let rows = [
        (Outcome::pass_by(Reason::TcpRfc5961), true),
        (Outcome::of(Action::PassBy), true),
        (Outcome::ignore(Reason::TcpSeqUnder), true),
        (Outcome::ignore(TcpSeqOver), false),
        (Outcome::of(Action::Accept), false),
        (Outcome::refresh(1), false),
    ];
    for (outcome, expected) in rows {
        assert_eq!(outcome.is_overheard(), expected, "{outcome:?}");
    }
}

/// The client has sent a SYN, and is at 1001.
fn syn_sent() -> Rig {
    let mut rig = Rig::new();
    rig.send(Original, segment(SYN, 1000, 0, 0));
    rig
}

/// Both ends have sent a SYN; the server is at 5001.
fn syn_sent2() -> Rig {
    let mut rig = syn_sent();
    rig.send(Reply, segment(SYN, 5000, 0, 0));
    assert_eq!(rig.state(), State::SynSent2);
    rig
}

/// The server has answered the SYN.
fn syn_recv() -> Rig {
    let mut rig = syn_sent();
    rig.send(Reply, segment(SYN | ACK, 5000, 1001, 0));
    assert_eq!(rig.state(), State::SynRecv);
    rig
}

/// The client has sent another SYN in an established connection.
fn open_syn() -> Rig {
    let mut rig = Rig::established();
    rig.send(Original, segment(SYN, 70_000, 0, 0));
    rig
}

/// Flags, sequence number, acknowledgment, bytes.
type Seg = (u8, u32, u32, u32);

type Row = (&'static str, fn() -> Rig, Direction, Seg, Reason, Fate);

/// Sends a segment to a connection of each kind, and compares.
fn judge(rows: &[Row]) {
    for (what, begin, dir, seg, reason, fate) in rows {
        let mut off = begin();
        off.conn.remaining = 1000 * HZ;
        let (mut on, met) = (begin(), off.conn);
        on.conn = Conn {
            leaves_to_receiver: true,
            ..met
        };
        let (flags, seq, ack, len) = *seg;
        let seg = segment(flags, seq, ack, len);
        let usual = off.send(*dir, seg);
        assert_eq!(usual, Outcome::invalid(*reason), "{what}");

        let outcome = on.send(*dir, seg);
        on.conn.leaves_to_receiver = false;
        match fate {
            Passes => {
                // No timeout is renewed or lowered, nothing is accounted or reported.
                assert_eq!(outcome, Outcome::pass_by(TcpRfc5961), "{what}");
                assert_eq!(on.conn, met, "{what}");
            }
            Begins => assert_eq!(outcome, Outcome::of(Action::Reuse), "{what}"),
            Stays => {
                assert_eq!(outcome, usual, "{what}");
                assert_eq!(on.conn, off.conn, "{what}");
            }
        }
    }
}

#[test]
#[rustfmt::skip]
fn while_a_connection_opens() {
    let more = 1002;
    let most = 1001 + 65_535;
    judge(&[
        // A receiver that has seen more than the tracker takes these, any other sends an RST.
        ("ACK in SYN_SENT", syn_sent, Original, (ACK, 1001, 5001, 9), TcpState, Passes),
        ("FIN in SYN_SENT", syn_sent, Original, (FIN | ACK, 1001, 5001, 0), TcpState, Passes),
        ("SYN/ACK of the client", syn_sent, Original, (SYN | ACK, 1000, 1, 0), TcpState, Passes),
        ("FIN of an old server", syn_sent, Reply, (FIN | ACK, 5001, 77, 0), TcpState, Passes),
        // The answer to an old SYN/ACK.
        ("RST of the client", syn_sent, Original, (RST, 1001 + FAR, 0, 0), TcpSeqOver, Passes),
        // Fast Open: the tracker has not seen all that the SYN has carried.
        ("SYN/ACK of more", syn_sent, Reply, (SYN | ACK, 5000, more, 0), TcpAckOver, Passes),
        ("SYN/ACK of the most", syn_sent, Reply, (SYN | ACK, 5000, most, 0), TcpAckOver, Passes),
        ("SYN/ACK of another", syn_sent, Reply, (SYN | ACK, 5000, most + 1, 0), TcpAckOver, Stays),
        ("RST to more", syn_sent, Reply, (RST | ACK, 0, more + 1, 0), TcpAckOver, Passes),
        ("RST to another SYN", syn_sent, Reply, (RST | ACK, 0, 1001 + FAR, 0), TcpAckOver, Stays),
        // Both open at once.
        ("ACK in SYN_SENT2", syn_sent2, Original, (ACK, 1001, 5001, 0), TcpState, Passes),
        ("FIN in SYN_SENT2", syn_sent2, Original, (FIN | ACK, 1001, 5001, 0), TcpState, Passes),
        ("its FIN in SYN_SENT2", syn_sent2, Reply, (FIN | ACK, 5001, 1001, 0), TcpState, Passes),
        ("another SYN", syn_sent2, Reply, (SYN, 5000 + FAR, 0, 0), TcpSeqOver, Passes),
        ("SYN/ACK of another", syn_sent2, Reply, (SYN | ACK, 5000, 9000, 0), TcpAckOver, Passes),
        ("far another", syn_sent2, Reply, (SYN | ACK, 5000, 1001 + FAR, 0), TcpAckOver, Passes),
        // The client has the SYN/ACK, or has lost it and goes by what is acknowledged.
        ("SYN in SYN_RECV", syn_recv, Reply, (SYN, 5000, 0, 0), TcpState, Passes),
        ("RST to the SYN", syn_recv, Reply, (RST | ACK, 5001 + FAR, 1001, 0), TcpSeqOver, Passes),
        // The server answers an RST in its window with a challenge ACK, whatever it acknowledges.
        ("RST with wrong ACK", syn_recv, Original, (RST | ACK, 1002, 5101, 0), TcpAckOver, Passes),
        ("RST above the window", syn_recv, Original, (RST, 101_001, 0, 0), TcpSeqOver, Stays),
        ("RST below the window", syn_recv, Original, (RST, 1000, 0, 0), TcpRst, Stays),
    ]);
}

#[test]
#[rustfmt::skip]
fn in_an_established_connection() {
    let open = Rig::established;
    judge(&[
        // Answered with an ACK.
        ("SYN of the server", open, Reply, (SYN, 90_000, 0, 0), TcpState, Passes),
        ("SYN/ACK of the client", open, Original, (SYN | ACK, 90_000, 1, 0), TcpState, Passes),
        ("data above the window", open, Original, (ACK, 1001 + FAR, 5001, 100), TcpSeqOver, Passes),
        ("ACK above the window", open, Reply, (ACK, 5001 + FAR, 1001, 0), TcpSeqOver, Passes),
        ("FIN above the window", open, Reply, (FIN | ACK, 5001 + FAR, 1001, 0), TcpSeqOver, Passes),
        ("ACK of what was not sent", open, Reply, (ACK, 5001, 1002, 0), TcpAckOver, Passes),
        ("data, and such an ACK", open, Original, (ACK, 1001, 5001 + FAR, 100), TcpAckOver, Passes),
        ("FIN, and such an ACK", open, Original, (FIN | ACK, 1001, 5002, 0), TcpAckOver, Passes),
        // An RST is judged by its number alone.
        ("RST, such an ACK", open, Reply, (RST | ACK, 5001, 1002, 0), TcpAckOver, Passes),
        ("RST near, such an ACK", open, Reply, (RST | ACK, 5100, 1002, 0), TcpAckOver, Passes),
        ("RST below the window", open, Reply, (RST, 5000, 0, 0), TcpRst, Stays),
        ("RST with an ACK there", open, Reply, (RST | ACK, 5000, 1001, 0), TcpRst, Stays),
        ("RST above the window", open, Reply, (RST, 5001 + FAR, 0, 0), TcpSeqOver, Stays),
        ("RST of number 0", open, Reply, (RST, 0, 0, 0), TcpRst, Stays),
        // Unless it answers a SYN, or may do so.
        ("RST to some SYN", open, Reply, (RST | ACK, 0, 70_001, 0), TcpRst, Passes),
        ("RST to that SYN", open_syn, Reply, (RST | ACK, 5001 + FAR, 1001, 0), TcpSeqOver, Passes),
    ]);
}

#[test]
#[rustfmt::skip]
fn while_a_connection_closes() {
    let fin_wait = || Rig::in_window(State::FinWait);
    let close_wait = || Rig::in_window(State::CloseWait);
    let last_ack = || Rig::in_window(State::LastAck);
    let time_wait = || Rig::in_window(State::TimeWait);
    let close = || Rig::in_window(State::Close);
    let none = || Rig::in_window(State::None);
    let syn = (SYN, 90_000, 0, 0);
    let syn_ack = (SYN | ACK, 90_000, 1, 0);
    let far = (ACK, 1000 + FAR, 1000, 10);
    let end = (FIN | ACK, 1000, 1001, 0);
    judge(&[
        ("SYN in FIN_WAIT", fin_wait, Reply, syn, TcpState, Passes),
        ("SYN in CLOSE_WAIT", close_wait, Reply, syn, TcpState, Passes),
        ("SYN in LAST_ACK", last_ack, Reply, syn, TcpState, Passes),
        ("SYN/ACK in FIN_WAIT", fin_wait, Original, syn_ack, TcpState, Passes),
        ("SYN/ACK in CLOSE_WAIT", close_wait, Original, syn_ack, TcpState, Passes),
        ("SYN/ACK in LAST_ACK", last_ack, Original, syn_ack, TcpState, Passes),
        ("SYN/ACK in TIME_WAIT", time_wait, Original, syn_ack, TcpState, Passes),
        ("SYN/ACK in CLOSE", close, Original, syn_ack, TcpState, Passes),
        ("data in FIN_WAIT", fin_wait, Reply, far, TcpSeqOver, Passes),
        ("data in CLOSE_WAIT", close_wait, Reply, far, TcpSeqOver, Passes),
        ("data in LAST_ACK", last_ack, Reply, far, TcpSeqOver, Passes),
        ("data in TIME_WAIT", time_wait, Reply, far, TcpSeqOver, Passes),
        ("data in CLOSE", close, Reply, far, TcpSeqOver, Passes),
        ("FIN in FIN_WAIT", fin_wait, Reply, end, TcpAckOver, Passes),
        ("FIN in TIME_WAIT", time_wait, Reply, end, TcpAckOver, Passes),
        // As a SYN of the opening end does.
        ("SYN in CLOSE", close, Reply, syn, TcpState, Begins),
        // User space has entered it, without a state.
        ("SYN in NONE", none, Reply, syn, TcpState, Stays),
        ("FIN in NONE", none, Reply, end, TcpState, Passes),
        ("RST in NONE", none, Reply, (RST, 0, 0, 0), TcpState, Passes),
    ]);
}

/// What be_liberal lets through counts as it does there; the rest passes as ever.
#[test]
fn beside_be_liberal() {
    let liberal = || {
        let mut rig = Rig::established();
        rig.tuning.be_liberal = true;
        rig
    };
    for leaves_to_receiver in [false, true] {
        let mut rig = liberal();
        rig.conn.leaves_to_receiver = leaves_to_receiver;
        assert_eq!(
            rig.send(Original, segment(FIN | ACK, 1001 + FAR, 5001, 0))
                .action,
            Action::Refresh(120 * HZ)
        );
        assert_eq!(rig.state(), State::FinWait);
    }
    judge(&[
        (
            "SYN of the server",
            liberal,
            Reply,
            (SYN, 90_000, 0, 0),
            TcpState,
            Passes,
        ),
        (
            "RST below the window",
            liberal,
            Reply,
            (RST, 4000, 0, 0),
            TcpRst,
            Stays,
        ),
    ]);
}

/// What cannot begin a connection begins none.
#[test]
fn nothing_begins_by_it() {
    let strict = || {
        let mut rig = Rig::new();
        rig.tuning.loose = false;
        rig
    };
    for (flags, reason) in [
        (SYN | ACK, TcpNew),
        (FIN | ACK, TcpNew),
        (RST, TcpNew),
        (RST | ACK, TcpNew),
        (ACK, TcpPickup),
    ] {
        judge(&[(
            "first",
            strict,
            Original,
            (flags, 1000, 2000, 0),
            reason,
            Stays,
        )]);
    }
}

/// What both ends of a connection that was lost on one side say to each other gets through, and the
/// tracker is in step with them in the end.
#[test]
fn a_lost_end_comes_back() {
    let begin = || {
        let mut rig = Rig::established();
        rig.conn.leaves_to_receiver = true;
        rig
    };
    // The server has lost it, and opens another connection from the same port.
    let mut rig = begin();
    let syn = segment(SYN, 90_000, 0, 0);
    assert_eq!(rig.send(Reply, syn).action, Action::PassBy);
    let challenge = rig.send(Original, segment(ACK, 1001, 5001, 0));
    assert!(
        matches!(challenge.action, Action::Refresh(_)),
        "{challenge:?}"
    );
    rig.send(Reply, segment(RST, 5001, 0, 0));
    assert_eq!(rig.state(), State::Close);

    // The client has, and its SYN is answered by a server that has not.
    let mut rig = begin();
    rig.send(Original, segment(SYN, 70_000, 0, 0));
    let challenge = rig.send(Reply, segment(ACK, 5001, 1001, 0));
    assert!(
        matches!(challenge.action, Action::Refresh(_)),
        "{challenge:?}"
    );
    rig.send(Original, segment(RST, 1001, 0, 0));
    assert_eq!(rig.state(), State::Close);
}

proptest! {
    /// A stranger that does not know the numbers changes nothing, whatever it sends.
    #[test]
    fn a_stranger_changes_nothing(
        reply in any::<bool>(),
        flags in prop::sample::select(vec![ACK, FIN | ACK, SYN | ACK, SYN]),
        seq in FAR..3 * (FAR / 2),
        ack in FAR..3 * (FAR / 2),
        len in 0..1000u32,
    ) {
        let (dir, flags) = match (reply, flags) {
            // These two are remembered, with nf_conntrack too: the tracker may be out of step.
            (false, SYN) => (Reply, SYN),
            (true, flags) if flags == SYN | ACK => (Original, flags),
            (true, flags) => (Reply, flags),
            (false, flags) => (Original, flags),
        };
        let mut rig = Rig::established();
        rig.conn.leaves_to_receiver = true;
        let met = rig.conn;
        let outcome = rig.send(dir, segment(flags, 1001 + seq, 5001 + ack, len));
        prop_assert_eq!(outcome, Outcome::pass_by(TcpRfc5961));
        prop_assert_eq!(rig.conn, met);
    }

    /// Whatever came before, a segment is judged as with nf_conntrack, or was INVALID there and
    /// changes nothing.
    #[test]
    fn else_all_is_as_with_nf_conntrack(
        segments in prop::collection::vec(
            (
                any::<bool>(),
                prop::sample::select(vec![ACK, SYN, SYN | ACK, FIN | ACK, RST, RST | ACK]),
                prop_oneof![Just(0), -3..3i32, -70_000..70_000i32, any::<i32>()],
                prop_oneof![Just(0), -3..3i32, -70_000..70_000i32, any::<i32>()],
                0..3000u32,
            ),
            1..40,
        ),
        be_liberal in prop::bool::weighted(0.1),
        ignore_invalid_rst in prop::bool::weighted(0.1),
        opened in any::<bool>(),
    ) {
        let mut rig = if opened { Rig::established() } else { Rig::new() };
        rig.conn.leaves_to_receiver = true;
        rig.conn.remaining = 1000 * HZ;
        rig.tuning.be_liberal = be_liberal;
        rig.tuning.ignore_invalid_rst = ignore_invalid_rst;
        for (reply, flags, seq, ack, len) in segments {
            let dir = if reply && rig.conn.status.contains(crate::pure::state::Status::CONFIRMED) {
                Reply
            } else {
                Original
            };
            let proto = rig.conn.proto;
            let (from, to) = (proto.seen[dir.index()], proto.seen[(!dir).index()]);
            let seg = segment(
                flags,
                from.td_end.wrapping_add_signed(seq),
                to.td_end.wrapping_add_signed(ack),
                len,
            );
            let env = Env {
                tuning: &rig.tuning,
                timeouts: &rig.timeouts.tcp,
                synproxy: false,
                seqadj: rig.seqadj,
            };
            fuzz::passes_by_or_is_the_same(&rig.conn, &seg, dir, &env);
            rig.conn.step(&seg, dir, &env);
        }
    }
}
