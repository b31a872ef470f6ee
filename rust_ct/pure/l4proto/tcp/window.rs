// SPDX-License-Identifier: GPL-2.0

//! Whether a TCP segment lies in the window that its receiver has opened.
//!
//! The method is that of Guido van Rooij, "Real Stateful TCP Packet Filtering in IP Filter" (2000),
//! with the bounds moved so that a segment need only touch the window (RFC 9293 section 3.10.7.4).
//! With `sack` for the highest selective acknowledgment, or the ordinary one if there is none:
//!
//! - data may not begin above what the receiver has room for: `seq <= sender.td_maxend`
//! - data may not end below what the receiver can still want:
//!   `end >= sender.td_end - receiver.td_maxwin`
//! - what was not seen cannot be acknowledged: `sack <= receiver.td_end`
//! - what was acknowledged long ago need not be again: `sack >= receiver.td_end - MAXACKWINDOW`
//!
//! Source: net/netfilter/nf_conntrack_proto_tcp.c, tcp_in_window().

use crate::pure::{
    l4proto::tcp::{
        peer_flag,
        Peer,
        Proto,
        State, //
    },
    reason::Reason,
    tuple::Direction,
    wire::tcp::{
        after,
        before,
        flag,
        Kind,
        Segment, //
    },
};

/// The least distance up to which old acknowledgments are let through, in bytes.
const MAX_ACK_WINDOW: u32 = 66000;

/// What the window says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The segment is in the window, or the window is not enforced: go on.
    Inside,
    /// The segment passes without effect.
    Ignored(Reason),
    /// The segment is INVALID.
    Outside(Reason),
}

/// The numbers of a segment, as the receiver of it sees them.
struct Edges {
    seq: u32,
    end: u32,
    ack: u32,
    sack: u32,
}

/// Checks a segment against the window, and moves the window with it if it is inside.
///
/// The sender's end is that of direction `sender`, whatever the direction of the segment. `shift`
/// is that of the sequence number of the other direction that is acknowledged.
#[inline(always)]
pub(super) fn check(
    proto: &mut Proto,
    sender: Direction,
    seg: &Segment,
    dir: Direction,
    shift: u32,
    be_liberal: bool,
) -> Verdict {
    let state = proto.state();
    let (sender, receiver) = proto.ends(sender);
    let mut edges = Edges::of(seg, receiver, shift);

    if start(sender, receiver, seg, dir, state, &edges) {
        return Verdict::Inside;
    }
    edges.mend(seg, sender, receiver, state);

    let verdict = edges.judge(sender, receiver);
    if verdict != Verdict::Inside {
        let liberal = be_liberal || sender.has(peer_flag::BE_LIBERAL);
        return if liberal { Verdict::Inside } else { verdict };
    }

    edges.update(seg, sender, receiver);
    if seg.kind == Kind::Ack {
        edges.count_repetition(seg, dir, proto);
    }
    Verdict::Inside
}

/// Begins the window of a sender whose first segment this is; returns whether that was all there is
/// to check.
#[inline(always)]
fn start(
    sender: &mut Peer,
    receiver: &mut Peer,
    seg: &Segment,
    dir: Direction,
    state: State,
    edges: &Edges,
) -> bool {
    let opening = matches!(state, State::SynSent | State::SynRecv);

    if sender.td_maxwin == 0 {
        if seg.has(flag::SYN) {
            start_with_syn(sender, receiver, seg, dir);
            // Without an ACK, both ends open at once.
            return !seg.has(flag::ACK);
        }
        start_in_the_middle(sender, receiver, seg, edges);
    } else if seg.has(flag::SYN) && opening && after(edges.end, sender.td_end) {
        // RFC 9293 section 3.4.3: an end may begin again with a higher sequence number.
        start_with_syn(sender, receiver, seg, dir);
        return dir == Direction::Reply && !seg.has(flag::ACK);
    }
    false
}

#[cold]
#[inline(never)]
fn start_with_syn(sender: &mut Peer, receiver: &mut Peer, seg: &Segment, dir: Direction) {
    sender.begins(seg);

    // RFC 7323 section 2.2: windows are scaled only if both ends have said so.
    let both = sender.has(peer_flag::WINDOW_SCALE) && receiver.has(peer_flag::WINDOW_SCALE);
    if dir == Direction::Reply && !both {
        sender.td_scale = 0;
        receiver.td_scale = 0;
    }
}

#[cold]
#[inline(never)]
fn start_in_the_middle(sender: &mut Peer, receiver: &mut Peer, seg: &Segment, edges: &Edges) {
    sender.td_end = edges.end;
    sender.td_maxwin = scaled(seg, sender).max(1);
    sender.td_maxend = edges.end.wrapping_add(sender.td_maxwin);

    if receiver.td_maxwin == 0 {
        // The other end was not seen at all: believe what is acknowledged to it.
        receiver.td_end = edges.sack;
        receiver.td_maxend = edges.sack;
    } else if edges.sack == receiver.td_end.wrapping_add(1) {
        // Most likely the answer to a keep-alive, which has one byte of old data.
        receiver.td_end = edges.sack;
    }
}

/// The window of a segment in bytes; that of a SYN is never scaled (RFC 7323 section 2.2).
#[inline(always)]
fn scaled(seg: &Segment, sender: &Peer) -> u32 {
    let window = u32::from(seg.window);
    if seg.has(flag::SYN) {
        window
    } else {
        window.wrapping_shl(u32::from(sender.td_scale))
    }
}

impl Edges {
    #[inline(always)]
    fn of(seg: &Segment, receiver: &Peer, shift: u32) -> Self {
        let sack = match seg.options.sack {
            Some(sack) if receiver.has(peer_flag::SACK_PERM) => sack,
            _ => seg.ack,
        };
        Self {
            seq: seg.seq,
            end: seg.end,
            ack: seg.ack.wrapping_sub(shift),
            sack: sack.wrapping_sub(shift),
        }
    }

    /// Fills in what a segment does not say, or says wrongly as some systems do.
    #[inline(always)]
    fn mend(&mut self, seg: &Segment, sender: &Peer, receiver: &Peer, state: State) {
        let reset = seg.has(flag::RST);
        if !seg.has(flag::ACK) || (reset && self.ack == 0) {
            self.ack = receiver.td_end;
            self.sack = receiver.td_end;
        }
        if reset && self.seq == 0 && state == State::SynSent {
            self.seq = sender.td_end;
            self.end = sender.td_end;
        }
    }

    /// Compares the segment with the bounds.
    #[inline(always)]
    fn judge(&self, sender: &mut Peer, receiver: &Peer) -> Verdict {
        let lowest_end = sender
            .td_end
            .wrapping_sub(receiver.td_maxwin)
            .wrapping_sub(1);
        let lowest_ack = receiver
            .td_end
            .wrapping_sub(sender.td_maxwin.max(MAX_ACK_WINDOW))
            .wrapping_sub(1);
        let end_ok = after(self.end, lowest_end);
        let ack_new_enough = after(self.sack, lowest_ack);
        let ack_seen = before(self.sack, receiver.td_end.wrapping_add(1));

        if before(self.seq, sender.td_maxend.wrapping_add(1)) {
            return if !ack_seen {
                Verdict::Outside(Reason::TcpAckOver)
            } else if receiver.td_maxwin != 0 && !end_ok {
                Verdict::Ignored(Reason::TcpSeqUnder)
            } else if !ack_new_enough {
                Verdict::Ignored(Reason::TcpAckUnder)
            } else {
                Verdict::Inside
            };
        }

        let overshot = self.end.wrapping_sub(sender.td_maxend).wrapping_add(1);
        let little = receiver.td_maxwin != 0 && overshot <= receiver.td_maxwin;
        if little && end_ok && ack_new_enough && ack_seen {
            // The receiver may take it although it did not offer the room, and then acknowledge it:
            // note the end, or no later acknowledgment would be accepted.
            sender.td_end = self.end;
            sender.flags |= peer_flag::DATA_UNACKNOWLEDGED;
            return Verdict::Ignored(Reason::TcpOvershot);
        }
        Verdict::Outside(Reason::TcpSeqOver)
    }

    /// Moves the windows of both ends with a segment that is inside.
    #[inline(always)]
    fn update(&self, seg: &Segment, sender: &mut Peer, receiver: &mut Peer) {
        let window = scaled(seg, sender);
        let offered = window.wrapping_add(self.sack.wrapping_sub(self.ack));
        sender.td_maxwin = sender.td_maxwin.max(offered);

        if after(self.end, sender.td_end) {
            sender.td_end = self.end;
            sender.flags |= peer_flag::DATA_UNACKNOWLEDGED;
        }
        if seg.has(flag::ACK)
            && (!sender.has(peer_flag::MAXACK_SET) || after(self.ack, sender.td_maxack))
        {
            sender.td_maxack = self.ack;
            sender.flags |= peer_flag::MAXACK_SET;
        }

        let beyond = self.end.wrapping_sub(sender.td_maxend);
        if receiver.td_maxwin != 0 && after(self.end, sender.td_maxend) {
            receiver.td_maxwin = receiver.td_maxwin.wrapping_add(beyond);
        }
        let room = self.sack.wrapping_add(window);
        if after(room, receiver.td_maxend.wrapping_sub(1)) {
            // A closed window may be probed with one byte.
            receiver.td_maxend = room.wrapping_add(u32::from(window == 0));
        }
        if self.ack == receiver.td_end {
            receiver.flags &= !peer_flag::DATA_UNACKNOWLEDGED;
        }
    }

    /// Counts how often an ACK is the same as the one before it.
    #[inline(always)]
    fn count_repetition(&self, seg: &Segment, dir: Direction, proto: &mut Proto) {
        let same = proto.last_dir() == dir
            && proto.last_seq == self.seq
            && proto.last_ack == self.ack
            && proto.last_end == self.end
            && proto.last_win == seg.window;
        if same {
            proto.retrans = proto.retrans.saturating_add(1);
            return;
        }
        proto.last_dir = dir as u8;
        proto.last_seq = self.seq;
        proto.last_ack = self.ack;
        proto.last_end = self.end;
        proto.last_win = seg.window;
        proto.retrans = 0;
    }
}
