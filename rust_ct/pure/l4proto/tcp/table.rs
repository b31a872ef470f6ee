// SPDX-License-Identifier: GPL-2.0

//! How the flags of a segment move the state of a TCP connection.

use crate::pure::{
    l4proto::tcp::State,
    tuple::Direction,
    wire::tcp::Kind, //
};

/// What follows from a segment of a certain kind in a certain state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The connection goes to this state, or stays in it.
    To(State),
    /// Nothing for now: the segment may be right, and the answer will show it.
    Ignore,
    /// The segment does not fit.
    Invalid,
}

type Row = [Next; 10];

const SS: Next = Next::To(State::SynSent);
const SR: Next = Next::To(State::SynRecv);
const ES: Next = Next::To(State::Established);
const FW: Next = Next::To(State::FinWait);
const CW: Next = Next::To(State::CloseWait);
const LA: Next = Next::To(State::LastAck);
const TW: Next = Next::To(State::TimeWait);
const CL: Next = Next::To(State::Close);
const S2: Next = Next::To(State::SynSent2);
const IG: Next = Next::Ignore;
const IV: Next = Next::Invalid;

/// The rows for segments in the original direction, in the order of [`Kind::ALL`].
///
/// Source: net/netfilter/nf_conntrack_proto_tcp.c, tcp_conntracks.
#[rustfmt::skip]
const ORIGINAL: [Row; 6] = [
    //         NO  SS  SR  ES  FW  CW  LA  TW  CL  S2
    /* syn */    [SS, SS, IG, IG, IG, IG, IG, SS, SS, S2],
    /* synack */ [IV, IV, SR, IV, IV, IV, IV, IV, IV, SR],
    /* fin */    [IV, IV, FW, FW, LA, LA, LA, TW, CL, IV],
    /* ack */    [ES, IV, ES, ES, CW, CW, TW, TW, CL, IV],
    /* rst */    [IV, CL, CL, CL, CL, CL, CL, CL, CL, CL],
    /* none */   [IV, IV, IV, IV, IV, IV, IV, IV, IV, IV],
];

/// The rows for segments in the reply direction, in the order of [`Kind::ALL`].
///
/// Source: net/netfilter/nf_conntrack_proto_tcp.c, tcp_conntracks.
#[rustfmt::skip]
const REPLY: [Row; 6] = [
    //         NO  SS  SR  ES  FW  CW  LA  TW  CL  S2
    /* syn */    [IV, S2, IV, IV, IV, IV, IV, SS, IV, S2],
    /* synack */ [IV, SR, IG, IG, IG, IG, IG, IG, IG, SR],
    /* fin */    [IV, IV, FW, FW, LA, LA, LA, TW, CL, IV],
    /* ack */    [IV, IG, SR, ES, CW, CW, TW, TW, CL, IG],
    /* rst */    [IV, CL, CL, CL, CL, CL, CL, CL, CL, CL],
    /* none */   [IV, IV, IV, IV, IV, IV, IV, IV, IV, IV],
];

/// What follows from a segment of kind `kind` in direction `dir` when the connection is in `state`.
pub(crate) const fn next(dir: Direction, kind: Kind, state: State) -> Next {
    let rows = match dir {
        Direction::Original => &ORIGINAL,
        Direction::Reply => &REPLY,
    };
    // As many rows as kinds, as many columns as states.
    rows[kind as usize][state as usize]
}
