// SPDX-License-Identifier: GPL-2.0

//! Which of the segments that the tracker refuses are for their receiver to judge.
//!
//! A TCP answers most of what does not fit, and its answer is what brings two ends back in step: a
//! segment out of the window or with a SYN is answered with an ACK that says where the receiver is
//! (RFC 9293 section 3.10.7.4, RFC 5961), an acknowledgment in SYN-SENT that is none with an RST.
//! What it does nothing with is an RST that is out of its window.
//!
//! Row by row: Documentation/rfc5961.md.

use crate::pure::{
    l4proto::tcp::{
        Proto,
        State, //
    },
    reason::Reason,
    tuple::Direction,
    wire::tcp::{
        flag,
        Kind,
        Segment, //
    },
};

/// The most that a SYN can carry, in bytes: what is acknowledged beyond that is of another SYN.
const SYN_DATA: u32 = 65_535;

/// What becomes of a segment that was refused.
pub(super) enum Fate {
    /// No end of the connection does anything with it: it is INVALID.
    Refused,
    /// The receiver may answer or take it: it goes with the connection.
    PassesBy,
    /// It begins another connection, as a SYN of the other direction does.
    Begins,
}

/// What becomes of a segment that was refused for a reason, as far as `met` tells, the private
/// state that the segment met.
#[cold]
#[inline(never)]
pub(super) fn fate(met: Proto, seg: Segment, dir: Direction, reason: Reason) -> Fate {
    let is_of_another_syn = reason == Reason::TcpAckOver
        && met.state() == State::SynSent
        && dir == Direction::Reply
        && seg.ack.wrapping_sub(met.receiver(dir).td_end) > SYN_DATA;

    match (seg.kind, met.state()) {
        // No end has the connection any more.
        (Kind::Syn, State::Close) => Fate::Begins,
        // No end is known to have it.
        (Kind::Syn, State::None) => Fate::Refused,
        // A SYN is all that the receiver has sent, and this is the answer to another SYN.
        (Kind::SynAck | Kind::Rst, _) if is_of_another_syn => Fate::Refused,
        // The window is looked at first, and no receiver answers an RST that is out of it. A
        // receiver that has sent another SYN since, unseen, goes by what is acknowledged.
        (Kind::Rst, _)
            if met.has_acknowledged(dir)
                && reason != Reason::TcpAckOver
                && !(seg.seq == 0 && seg.has(flag::ACK)) =>
        {
            Fate::Refused
        }
        _ => Fate::PassesBy,
    }
}
