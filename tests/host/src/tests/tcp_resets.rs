// SPDX-License-Identifier: GPL-2.0

//! Resets: which of them close a TCP connection, and which are INVALID.

use super::tcp::{
    segment,
    Rig,
    ACK,
    HZ,
    RST,
    SYN, //
};
use crate::pure::{
    l4proto::{
        tcp::State,
        Action,
        Outcome, //
    },
    reason::Reason,
    tuple::Direction::{
        Original,
        Reply, //
    },
};

/// A reset in an established connection closes it only if it is exact; a near one leaves it to the
/// ends.
#[test]
fn resets() {
    let kept = Outcome::refresh(300 * HZ);
    let mut closed = Outcome::refresh(10 * HZ);
    closed.protoinfo_changed = true;
    let rows = [
        ("exact", 5001, false, closed, State::Close),
        ("in the window", 5100, false, kept, State::Established),
        (
            "below what was acknowledged",
            5000,
            false,
            Outcome::invalid(Reason::TcpRst),
            State::Established,
        ),
        (
            "below, and that is ignored",
            5000,
            true,
            kept,
            State::Established,
        ),
        (
            "a window above the window",
            5001 + 4096 + 4096,
            false,
            Outcome::invalid(Reason::TcpSeqOver),
            State::Established,
        ),
        (
            "zero",
            0,
            false,
            Outcome::invalid(Reason::TcpRst),
            State::Established,
        ),
    ];
    for (what, seq, ignore_invalid, expected, state) in rows {
        let mut rig = Rig::established();
        rig.tuning.ignore_invalid_rst = ignore_invalid;
        let outcome = rig.send(Reply, segment(RST, seq, 0, 0));
        assert_eq!(outcome, expected, "{what}");
        assert_eq!(rig.state(), state, "{what}");
    }
}

/// A reset of number 0 may answer a SYN, one of number 1 does not.
#[test]
fn a_reset_that_answers_a_syn() {
    for (seq, state) in [(0, State::Close), (1, State::SynRecv)] {
        let mut rig = Rig::new();
        rig.send(Original, segment(SYN, 1000, 0, 0));
        rig.send(Reply, segment(SYN | ACK, 5000, 1001, 0));
        rig.send(Original, segment(RST, seq, 0, 0));
        assert_eq!(rig.state(), state, "{seq}");
    }
}

/// A reset right behind the sender's last data closes, also if the data is not acknowledged.
#[test]
fn reset_behind_data() {
    let mut rig = Rig::established();
    rig.send(Reply, segment(ACK, 5001, 1001, 19));
    rig.send(Reply, segment(RST, 5020, 0, 0));
    assert_eq!(rig.state(), State::Close);
}

/// In a closing connection any reset is believed: the ports may be in use again.
#[test]
fn resets_while_closing() {
    for state in State::ALL.into_iter().filter(|state| state.is_closing()) {
        let mut rig = Rig::in_window(state);
        rig.send(Original, segment(RST, 0xdead_beef, 0, 0));
        assert_eq!(rig.state(), State::Close, "{state:?}");
    }
}

/// Out of step: a reset that answers the SYN ends the connection that both ends have lost.
#[test]
fn reset_to_a_remembered_syn() {
    let mut rig = Rig::established();
    rig.send(Original, segment(SYN, 70_000, 0, 0));
    rig.send(Reply, segment(RST | ACK, 0, 70_001, 0));
    assert_eq!(rig.state(), State::Close);
}

/// A challenge ACK to a SYN that reuses ports, and the reset that answers it: the old connection is
/// gone.
#[test]
fn reset_after_a_challenge_ack() {
    let mut rig = Rig::new();
    rig.send(Original, segment(SYN, 70_000, 0, 0));
    let challenge = rig.send(Reply, segment(ACK, 5002, 1002, 0));
    assert_eq!(challenge, Outcome::ignore(Reason::TcpIgnored));
    let reset = rig.send(Original, segment(RST, 1002, 0, 0));
    assert!(matches!(reset.action, Action::Refresh(_)), "{reset:?}");
    assert_eq!(rig.state(), State::Close);
}
