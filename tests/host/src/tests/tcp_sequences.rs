// SPDX-License-Identifier: GPL-2.0

//! Properties of the TCP tracker over whole sequences of segments.

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
    fuzz,
    pure::{
        l4proto::{
            tcp::{
                peer_flag,
                Proto,
                State, //
            },
            Action, //
        },
        reason::Reason,
        state::Status,
        tuple::Direction::{
            self,
            Original,
            Reply, //
        },
        wire::tcp::{
            before,
            Options,
            Segment, //
        },
    },
};
use proptest::prelude::*;

/// One end of a connection that follows the rules.
#[derive(Clone, Copy, Debug)]
struct End {
    /// Sequence number of the next byte to send.
    next: u32,
    /// Sequence number up to which the other end has offered room.
    limit: u32,
    /// The window that this end offers from its next segment on.
    window: u16,
    scale: u8,
}

/// Two ends that follow the rules, with the tracker between them.
struct Talk {
    rig: Rig,
    ends: [End; 2],
}

impl Talk {
    /// Opens a connection from anywhere in the sequence space.
    fn open(start: [u32; 2], window: [u16; 2], scale: [u8; 2]) -> Self {
        let end = |index: usize| End {
            next: start[index].wrapping_add(1),
            limit: start[index].wrapping_add(1),
            window: window[index],
            scale: scale[index],
        };
        let mut talk = Self {
            rig: Rig::new(),
            ends: [end(0), end(1)],
        };
        let syn = |index: usize, flags, ack| Segment {
            window: window[index],
            options: Options {
                present: true,
                sack_permitted: true,
                scale: Some(scale[index]),
                sack: None,
            },
            ..segment(flags, start[index], ack, 0)
        };
        talk.rig.send(Original, syn(0, SYN, 0));
        talk.rig
            .send(Reply, syn(1, SYN | ACK, start[0].wrapping_add(1)));
        talk.say(Original, ACK, 0);
        talk.say(Reply, ACK, 0);
        talk
    }

    /// How many bytes an end may send now.
    fn room(&self, dir: Direction) -> u32 {
        let from = self.ends[dir.index()];
        if before(from.next, from.limit) {
            from.limit.wrapping_sub(from.next)
        } else {
            0
        }
    }

    /// The next segment of an end, with as much of `len` as there is room for; all that was sent to
    /// it is acknowledged.
    fn next_segment(&self, dir: Direction, flags: u8, len: u32) -> Segment {
        let (from, to) = (self.ends[dir.index()], self.ends[(!dir).index()]);
        Segment {
            window: from.window,
            ..segment(flags, from.next, to.next, len.min(self.room(dir)))
        }
    }

    fn say(&mut self, dir: Direction, flags: u8, len: u32) -> (Segment, Action) {
        let seg = self.next_segment(dir, flags, len);
        let action = self.rig.send(dir, seg).action;
        let from = &mut self.ends[dir.index()];
        from.next = seg.end;
        let offered = seg.ack.wrapping_add(u32::from(seg.window) << from.scale);
        let to = &mut self.ends[(!dir).index()];
        if before(to.limit, offered) {
            to.limit = offered;
        }
        (seg, action)
    }
}

/// A connection from anywhere, with windows scaled by at most `max_scale` bits.
fn open(max_scale: u8) -> impl Strategy<Value = Talk> {
    let edge = prop_oneof![Just(0xffff_ff00), Just(0x7fff_ff00), any::<u32>()];
    let starts = [edge.clone(), edge];
    let windows = [1000..=u16::MAX, 1000..=u16::MAX];
    (starts, windows, [0..=max_scale, 0..=max_scale])
        .prop_map(|(start, window, scale)| Talk::open(start, window, scale))
        .no_shrink()
}

impl std::fmt::Debug for Talk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x?} {:x?}", self.ends, self.rig.conn)
    }
}

/// What an end does next.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Send(u32),
    Repeat,
    SetWindow(u16),
}

fn deeds() -> impl Strategy<Value = Vec<(Direction, Deed)>> {
    let dir = prop_oneof![Just(Original), Just(Reply)];
    let deed = prop_oneof![
        4 => (0..70_000u32).prop_map(Deed::Send),
        1 => Just(Deed::Repeat),
        1 => (0..=u16::MAX).prop_map(Deed::SetWindow),
    ];
    prop::collection::vec((dir, deed), 1..60)
}

proptest! {
    /// Two ends that follow the rules are never found invalid or ignored, wherever in the sequence
    /// space they are, whatever their windows and scales; and they end in TIME_WAIT.
    #[test]
    fn the_honest_always_pass(mut talk in open(14), deeds in deeds()) {
        prop_assert_eq!(talk.rig.state(), State::Established);
        prop_assert!(talk.rig.conn.status.contains(Status::ASSURED));

        let mut last = None;
        for (dir, deed) in deeds {
            let action = match deed {
                Deed::Send(len) => {
                    let (seg, action) = talk.say(dir, ACK, len);
                    last = Some((dir, seg));
                    action
                }
                Deed::Repeat => match last {
                    Some((dir, seg)) => talk.rig.send(dir, seg).action,
                    None => continue,
                },
                // A window may grow, or shrink by what was received (RFC 9293 section 3.8.6).
                Deed::SetWindow(window) => {
                    let end = &mut talk.ends[dir.index()];
                    end.window = end.window.max(window);
                    continue;
                }
            };
            prop_assert!(matches!(action, Action::Refresh(_)), "{:?}: {:?}", talk, action);
            prop_assert_eq!(talk.rig.state(), State::Established);
        }

        for (dir, flags, state) in [
            (Original, FIN | ACK, State::FinWait),
            (Reply, ACK, State::CloseWait),
            (Reply, FIN | ACK, State::LastAck),
            (Original, ACK, State::TimeWait),
        ] {
            let (_, action) = talk.say(dir, flags, 0);
            prop_assert!(matches!(action, Action::Refresh(_)), "{:?}: {:?}", talk, action);
            prop_assert_eq!(talk.rig.state(), state);
        }
    }

    /// A stranger that does not know the numbers moves nothing: neither state nor windows. (With a
    /// scale above 12, a window can be a large part of all numbers.)
    #[test]
    fn a_blind_stranger_moves_nothing(
        mut talk in open(12),
        dir in prop_oneof![Just(Original), Just(Reply)],
        flags in prop_oneof![Just(ACK), Just(FIN | ACK), Just(RST), Just(RST | ACK)],
        distance in 0x3000_0000..0x5000_0000u32,
        len in 0..1000u32,
    ) {
        talk.say(Reply, ACK, 100);
        talk.say(Original, ACK, 100);
        let before = talk.rig.conn;

        let mut seg = talk.next_segment(dir, flags, len);
        seg.seq = seg.seq.wrapping_add(distance);
        seg.end = seg.end.wrapping_add(distance);
        let action = talk.rig.send(dir, seg).action;

        prop_assert_eq!(action, Action::Invalid(Reason::TcpSeqOver));
        prop_assert_eq!(talk.rig.conn.proto.seen, before.proto.seen);
        prop_assert_eq!(talk.rig.conn.proto.state, before.proto.state);
    }

    /// In an assured connection only the exact reset closes; any other leaves the state as it was.
    #[test]
    fn only_the_exact_reset_closes(
        mut talk in open(14),
        seq in any::<u32>(),
        near in any::<bool>(),
    ) {
        talk.say(Reply, ACK, 100);
        talk.say(Original, ACK, 0);
        let exact = talk.ends[1].next;
        let seq = if near { exact.wrapping_add(seq % 64).wrapping_sub(32) } else { seq };

        talk.rig.send(Reply, segment(RST, seq, 0, 0));
        let expected = if seq == exact { State::Close } else { State::Established };
        prop_assert_eq!(talk.rig.state(), expected);
    }

    /// Windows go forward only: what an end may send never falls below what was acknowledged to it,
    /// and nothing noted is taken back, whatever either end sends, as long as it is no SYN.
    #[test]
    fn windows_never_shrink(
        mut talk in open(14),
        segments in prop::collection::vec(
            (any::<bool>(), any::<[i16; 2]>(), 0..3000u32, any::<u16>(), any::<bool>()),
            1..60,
        ),
    ) {
        for (reply, [seq_off, ack_off], len, window, sacked) in segments {
            let dir = if reply { Reply } else { Original };
            let old = talk.rig.conn.proto;
            let (from, to) = (old.seen[dir.index()], old.seen[(!dir).index()]);

            // CAST: Small distances to either side, widened with their sign.
            let seq = from.td_end.wrapping_add(i32::from(seq_off) as u32);
            let ack = to.td_end.wrapping_add(i32::from(ack_off) as u32);
            let mut seg = segment(ACK, seq, ack, len);
            seg.window = window;
            seg.options.sack = sacked.then(|| ack.wrapping_add(500));
            // Data beyond the window is noted as the last data, whatever was noted before.
            if talk.rig.send(dir, seg).log != Some(Reason::TcpOvershot) {
                not_shrunk(&old, &talk.rig.conn.proto)?;
            }
        }
    }

    /// Any sequence of any segments leaves a private state that makes sense; nothing panics.
    #[test]
    fn any_sequence_is_survived(data in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzz::tcp_sequence(&data);
    }

    /// A connection never gets a timeout above that of its state.
    #[test]
    fn timeouts_are_bounded(mut talk in open(14), deeds in deeds()) {
        for (dir, deed) in deeds {
            if let Deed::Send(len) = deed {
                let (_, action) = talk.say(dir, ACK, len);
                if let Action::Refresh(jiffies) = action {
                    let usual = talk.rig.timeouts.tcp[talk.rig.state() as usize];
                    prop_assert!((HZ..=usual).contains(&jiffies));
                }
            }
        }
    }
}

fn not_shrunk(old: &Proto, new: &Proto) -> Result<(), TestCaseError> {
    for index in [0, 1] {
        let (was, is) = (old.seen[index], new.seen[index]);
        prop_assert!(!before(is.td_end, was.td_end), "end: {:x?} {:x?}", was, is);
        prop_assert!(
            !before(is.td_maxend, was.td_maxend),
            "maxend: {:x?} {:x?}",
            was,
            is
        );
        prop_assert!(
            is.td_maxwin >= was.td_maxwin,
            "maxwin: {:x?} {:x?}",
            was,
            is
        );

        let peer = new.seen[1 - index];
        if peer.flags & peer_flag::MAXACK_SET != 0 {
            let shrunk = before(is.td_maxend, peer.td_maxack);
            prop_assert!(
                !shrunk,
                "below what was acknowledged: {:x?} {:x?}",
                is,
                peer
            );
        }
    }
    Ok(())
}
