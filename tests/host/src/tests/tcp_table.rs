// SPDX-License-Identifier: GPL-2.0

//! The TCP state table, cell by cell, as a table and through the tracker.

use super::tcp::{
    segment,
    Rig, //
};
use crate::{
    expected::tcp::{
        COLUMNS,
        NAMES,
        TABLE, //
    },
    pure::{
        l4proto::{
            tcp::{
                table::{
                    next,
                    Next, //
                },
                State, //
            },
            Action, //
        },
        reason::Reason,
        tuple::Direction,
        wire::tcp::Kind, //
    },
};

fn cell(name: &str) -> Next {
    match name {
        "IV" => Next::Invalid,
        "IG" => Next::Ignore,
        _ => {
            let column = COLUMNS.split(' ').position(|column| column == name);
            Next::To(State::ALL[column.unwrap()])
        }
    }
}

/// Every cell: direction, kind, state, what follows.
fn cells() -> impl Iterator<Item = (Direction, Kind, State, Next)> {
    TABLE.iter().flat_map(|&(dir, kind, row)| {
        let cells = State::ALL.into_iter().zip(row.split(' ').map(cell));
        cells.map(move |(state, next)| (dir, kind, state, next))
    })
}

#[test]
fn the_table_is_the_kernels() {
    assert_eq!(cells().count(), 2 * 6 * 10);
    for (dir, kind, state, expected) in cells() {
        assert_eq!(
            next(dir, kind, state),
            expected,
            "{kind:?} {dir:?} in {state:?}"
        );
    }
}

/// The flags of a segment of a kind.
fn flags(kind: Kind) -> u8 {
    match kind {
        Kind::Syn => 0x02,
        Kind::SynAck => 0x12,
        Kind::Fin => 0x11,
        Kind::Ack => 0x10,
        Kind::Rst => 0x04,
        Kind::None => 0x08,
    }
}

/// Where nothing was remembered and every segment is in the window, the tracker does what the table
/// says.
#[test]
fn the_tracker_follows_the_table() {
    for (dir, kind, state, expected) in cells() {
        let mut rig = Rig::in_window(state);
        let outcome = rig.send(dir, segment(flags(kind), 1000, 1000, 0));
        let what = format!("{kind:?} {dir:?} in {state:?}: {outcome:?}");

        // A SYN opens a closed connection again only if it is known to be over.
        let unsure = expected == Next::To(State::SynSent) && state >= State::TimeWait;
        match expected {
            Next::Invalid => {
                assert_eq!(outcome.action, Action::Invalid(Reason::TcpState), "{what}");
                assert_eq!(rig.state(), state, "{what}");
            }
            Next::To(_) if unsure => {
                assert_eq!(outcome.log, Some(Reason::TcpIgnored), "{what}");
                assert_eq!(rig.state(), state, "{what}");
            }
            Next::Ignore => {
                assert_eq!(outcome.action, Action::Accept, "{what}");
                assert_eq!(outcome.log, Some(Reason::TcpIgnored), "{what}");
                assert_eq!(rig.state(), state, "{what}");
            }
            Next::To(new) => {
                assert!(matches!(outcome.action, Action::Refresh(_)), "{what}");
                assert_eq!(rig.state(), new, "{what}");
                assert_eq!(outcome.protoinfo_changed, new != state, "{what}");
            }
        }
    }
}

/// The names and numbers of the states are what user space knows.
#[test]
fn states_have_their_names() {
    for (index, name) in NAMES.split(' ').enumerate() {
        let state = State::from_bits(u8::try_from(index).unwrap());
        assert_eq!(state as usize, index);
        assert_eq!(state.name(), name);
        assert_eq!(State::ALL[index], state);
    }
    for bits in 10..=u8::MAX {
        assert_eq!(State::from_bits(bits), State::None);
    }
}
