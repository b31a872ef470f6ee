// SPDX-License-Identifier: GPL-2.0

//! How the chunks of a packet move the state of an SCTP association.

use crate::pure::{
    l4proto::sctp::State,
    tuple::Direction,
    wire::sctp::Kind, //
};

type Row = [Option<State>; 9];

const CL: Option<State> = Some(State::Closed);
const CW: Option<State> = Some(State::CookieWait);
const CE: Option<State> = Some(State::CookieEchoed);
const ES: Option<State> = Some(State::Established);
const SS: Option<State> = Some(State::ShutdownSent);
const SR: Option<State> = Some(State::ShutdownRecd);
const SA: Option<State> = Some(State::ShutdownAckSent);
const HS: Option<State> = Some(State::HeartbeatSent);
const IV: Option<State> = None;

/// The rows for chunks in the original direction, in the order of [`row_of`].
///
/// Source: net/netfilter/nf_conntrack_proto_sctp.c, sctp_conntracks.
#[rustfmt::skip]
const ORIGINAL: [Row; 11] = [
    //                       NO  CL  CW  CE  ES  SS  SR  SA  HS
    /* init */              [CL, CL, CW, CE, ES, CL, CL, SA, CW],
    /* init ack */          [CL, CL, CW, CE, ES, SS, SR, SA, CL],
    /* abort */             [CL, CL, CL, CL, CL, CL, CL, CL, CL],
    /* shutdown */          [CL, CL, CW, CE, SS, SS, SR, SA, CL],
    /* shutdown ack */      [SA, CL, CW, CE, ES, SA, SA, SA, SA],
    /* error */             [CL, CL, CW, CE, ES, SS, SR, SA, CL],
    /* cookie echo */       [CL, CL, CE, CE, ES, SS, SR, SA, CL],
    /* cookie ack */        [CL, CL, CW, ES, ES, SS, SR, SA, CL],
    /* shutdown complete */ [CL, CL, CW, CE, ES, SS, SR, CL, CL],
    /* heartbeat */         [HS, CL, CW, CE, ES, SS, SR, SA, HS],
    /* heartbeat ack */     [CL, CL, CW, CE, ES, SS, SR, SA, HS],
];

/// The rows for chunks in the reply direction, in the order of [`row_of`].
///
/// Source: net/netfilter/nf_conntrack_proto_sctp.c, sctp_conntracks.
#[rustfmt::skip]
const REPLY: [Row; 11] = [
    //                       NO  CL  CW  CE  ES  SS  SR  SA  HS
    /* init */              [IV, CL, CW, CE, ES, SS, SR, SA, IV],
    /* init ack */          [IV, CW, CW, CE, ES, SS, SR, SA, IV],
    /* abort */             [IV, CL, CL, CL, CL, CL, CL, CL, IV],
    /* shutdown */          [IV, CL, CW, CE, SR, SS, SR, SA, IV],
    /* shutdown ack */      [IV, CL, CW, CE, ES, SA, SA, SA, IV],
    /* error */             [IV, CL, CW, CL, ES, SS, SR, SA, IV],
    /* cookie echo */       [IV, CL, CE, CE, ES, SS, SR, SA, IV],
    /* cookie ack */        [IV, CL, CW, ES, ES, SS, SR, SA, IV],
    /* shutdown complete */ [IV, CL, CW, CE, ES, SS, SR, CL, IV],
    /* heartbeat */         [IV, CL, CW, CE, ES, SS, SR, SA, HS],
    /* heartbeat ack */     [IV, CL, CW, CE, ES, SS, SR, SA, ES],
];

/// The row of a kind of chunk; `None` for those that do not move the state.
const fn row_of(kind: Kind) -> Option<usize> {
    Some(match kind {
        Kind::Init => 0,
        Kind::InitAck => 1,
        Kind::Abort => 2,
        Kind::Shutdown => 3,
        Kind::ShutdownAck => 4,
        Kind::Error => 5,
        Kind::CookieEcho => 6,
        Kind::CookieAck => 7,
        Kind::ShutdownComplete => 8,
        Kind::Heartbeat => 9,
        Kind::HeartbeatAck => 10,
        Kind::Data | Kind::Other => return None,
    })
}

/// The state that follows on a chunk of kind `kind` in direction `dir` in `state`; `None` if it
/// does not fit.
pub(crate) fn next(dir: Direction, kind: Kind, state: State) -> Option<State> {
    let Some(row) = row_of(kind) else {
        return Some(state);
    };
    let rows = match dir {
        Direction::Original => &ORIGINAL,
        Direction::Reply => &REPLY,
    };
    rows.get(row)
        .and_then(|row| row.get(state as usize))
        .copied()
        .unwrap_or(IV)
}
