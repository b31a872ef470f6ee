// SPDX-License-Identifier: GPL-2.0

//! The tracker of TCP.
//!
//! The tracker stands between two machines and sees what each of them sends, which need not be what
//! the other one receives. It guesses the state of the connection from the flags ([`table`]), and
//! checks that each segment lies in the window that the receiver has opened ([`window`]), so that a
//! stranger who cannot see the connection cannot move it.
//!
//! A segment that could put the tracker right where it is out of step with both ends passes without
//! effect and is remembered; the answer to it shows who was right.
//!
//! Source of all rules: net/netfilter/nf_conntrack_proto_tcp.c.

pub(crate) mod table;
mod window;

use crate::pure::{
    l4proto::{
        Action,
        Input,
        Outcome, //
    },
    reason::Reason,
    state::Status,
    timeout::{
        slot,
        TCP_RETRANS,
        TCP_UNACK, //
    },
    tuple::Direction,
    wire::tcp::{
        before,
        Kind,
        Options,
        Segment, //
    },
};
use table::Next;

/// How long a connection must have left for an invalid FIN or RST to shorten it, in seconds.
const LONG_LEFT: u32 = 120;

/// The state of a connection, the kernel's `enum tcp_conntrack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum State {
    /// Nothing was seen yet.
    None = 0,
    /// A SYN was seen.
    SynSent = 1,
    /// The SYN was answered with SYN and ACK.
    SynRecv = 2,
    /// The answer was acknowledged.
    Established = 3,
    /// A FIN was seen in one direction.
    FinWait = 4,
    /// That FIN was acknowledged.
    CloseWait = 5,
    /// FINs were seen in both directions.
    LastAck = 6,
    /// The second FIN was acknowledged.
    TimeWait = 7,
    /// An RST was seen.
    Close = 8,
    /// A SYN was answered with a SYN: both ends open at once.
    SynSent2 = 9,
}

impl State {
    /// All states, so that a state is its own index.
    pub(crate) const ALL: [Self; 10] = [
        Self::None,
        Self::SynSent,
        Self::SynRecv,
        Self::Established,
        Self::FinWait,
        Self::CloseWait,
        Self::LastAck,
        Self::TimeWait,
        Self::Close,
        Self::SynSent2,
    ];

    /// The state with this number; [`State::None`] for a number that is none's.
    pub(crate) const fn from_bits(bits: u8) -> Self {
        match bits {
            1 => Self::SynSent,
            2 => Self::SynRecv,
            3 => Self::Established,
            4 => Self::FinWait,
            5 => Self::CloseWait,
            6 => Self::LastAck,
            7 => Self::TimeWait,
            8 => Self::Close,
            9 => Self::SynSent2,
            _ => Self::None,
        }
    }

    /// The name, as in /proc/net/nf_conntrack.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::Established => "ESTABLISHED",
            Self::FinWait => "FIN_WAIT",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::SynSent2 => "SYN_SENT2",
        }
    }

    /// Returns whether at least one end has said that it is done (tcp_can_early_drop()).
    pub(crate) const fn is_closing(self) -> bool {
        matches!(
            self,
            Self::FinWait | Self::CloseWait | Self::LastAck | Self::TimeWait | Self::Close
        )
    }
}

/// Bits of [`Peer::flags`] and [`Proto::last_flags`], the kernel's `IP_CT_TCP_FLAG_*`.
pub(crate) mod peer_flag {
    /// The peer scales its windows.
    pub(crate) const WINDOW_SCALE: u8 = 0x01;
    /// The peer understands selective acknowledgments.
    pub(crate) const SACK_PERM: u8 = 0x02;
    /// The peer was the first to send a FIN.
    pub(crate) const CLOSE_INIT: u8 = 0x04;
    /// The peer's windows are not known well enough to hold it to them.
    pub(crate) const BE_LIBERAL: u8 = 0x08;
    /// The peer has sent data that was not acknowledged yet.
    pub(crate) const DATA_UNACKNOWLEDGED: u8 = 0x10;
    /// [`super::Peer::td_maxack`] is set.
    pub(crate) const MAXACK_SET: u8 = 0x20;
    /// Only in `last_flags`: a SYN passed in LAST_ACK, and may be answered by a challenge ACK.
    pub(crate) const EXP_CHALLENGE_ACK: u8 = 0x40;
    /// Only in `last_flags`: both ends opened at once.
    pub(crate) const SIMULTANEOUS_OPEN: u8 = 0x80;
}

/// What one end has sent, laid out as the kernel's `struct ip_ct_tcp_state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Peer {
    /// The highest end of a segment that it sent.
    pub(crate) td_end: u32,
    /// The highest end that the other one's windows let it send.
    pub(crate) td_maxend: u32,
    /// The largest window that it offered, scaled; zero if it sent nothing yet.
    pub(crate) td_maxwin: u32,
    /// The highest acknowledgment that it sent, with [`peer_flag::MAXACK_SET`].
    pub(crate) td_maxack: u32,
    /// By how many bits it shifts its windows.
    pub(crate) td_scale: u8,
    /// See [`peer_flag`].
    pub(crate) flags: u8,
}

impl Peer {
    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// What is known of a peer from the segment it begins with.
    fn begins(&mut self, seg: &Segment) {
        self.td_end = seg.end;
        self.td_maxend = seg.end;
        self.td_maxwin = u32::from(seg.window).max(1);
        self.take_options(&seg.options);
    }

    /// Notes the options of a SYN. Without any, what was known before stands.
    fn take_options(&mut self, options: &Options) {
        if options.present {
            self.td_scale = options.scale.unwrap_or(0);
            self.flags = self.flags & peer_flag::BE_LIBERAL | option_flags(options);
        }
    }

    /// Forgets everything but that it is to be treated liberally.
    fn reset(&mut self) {
        *self = Self {
            flags: self.flags & peer_flag::BE_LIBERAL,
            ..Self::default()
        };
    }
}

/// The flags of a peer that has sent these options in its SYN.
const fn option_flags(options: &Options) -> u8 {
    let mut flags = 0;
    if options.scale.is_some() {
        flags |= peer_flag::WINDOW_SCALE;
    }
    if options.sack_permitted {
        flags |= peer_flag::SACK_PERM;
    }
    flags
}

/// The private state, laid out as the kernel's `struct ip_ct_tcp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Proto {
    /// The two ends, by the direction in which they send.
    pub(crate) seen: [Peer; 2],
    /// A [`State`].
    pub(crate) state: u8,
    /// The direction of the last segment that counted or was remembered.
    pub(crate) last_dir: u8,
    /// How often the last ACK was repeated.
    pub(crate) retrans: u8,
    /// The [`Kind`] of the last segment that counted or was remembered.
    pub(crate) last_index: u8,
    /// Its sequence number.
    pub(crate) last_seq: u32,
    /// Its acknowledgment number.
    pub(crate) last_ack: u32,
    /// Its end.
    pub(crate) last_end: u32,
    /// Its window, not scaled.
    pub(crate) last_win: u16,
    /// The window scale of a SYN that passed without effect.
    pub(crate) last_wscale: u8,
    /// The flags of its sender, see [`peer_flag`].
    pub(crate) last_flags: u8,
}

const _: () = {
    assert!(size_of::<Peer>() == 20 && size_of::<Proto>() == 60);
    assert!(core::mem::offset_of!(Peer, td_scale) == 16);
    assert!(core::mem::offset_of!(Proto, state) == 40);
    assert!(core::mem::offset_of!(Proto, last_index) == 43);
    assert!(core::mem::offset_of!(Proto, last_seq) == 44);
    assert!(core::mem::offset_of!(Proto, last_win) == 56);
    assert!(core::mem::offset_of!(Proto, last_flags) == 59);
};

/// What a namespace may set, see Documentation/networking/nf_conntrack-sysctl.rst. Its defaults are
/// those of the namespace's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// `tcp_loose`: a connection may be picked up in its middle.
    pub(crate) loose: bool,
    /// `tcp_be_liberal`: segments outside the window pass, but for resets.
    pub(crate) be_liberal: bool,
    /// `tcp_ignore_invalid_rst`: a reset below what was acknowledged passes.
    pub(crate) ignore_invalid_rst: bool,
    /// `tcp_max_retrans`: how many repetitions shorten the timeout.
    pub(crate) max_retrans: u8,
}

/// By how much a helper has shifted the sequence numbers of one direction, laid out as the kernel's
/// `struct nf_ct_seqadj`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct SeqAdj {
    /// The sequence number of the last change.
    pub(crate) correction_pos: u32,
    /// The shift before it.
    pub(crate) offset_before: i32,
    /// The shift after it.
    pub(crate) offset_after: i32,
}

impl SeqAdj {
    /// Notes that what follows the segment with a sequence number is shifted by so many bytes more:
    /// the data of the segment has become so much longer. A retransmission of it is no second
    /// change.
    ///
    /// Source: net/netfilter/nf_conntrack_seqadj.c, nf_ct_seqadj_set().
    pub(crate) const fn shift_from(&mut self, seq: u32, by: i32) {
        if self.offset_before == self.offset_after || before(self.correction_pos, seq) {
            self.correction_pos = seq;
            self.offset_before = self.offset_after;
            self.offset_after = self.offset_after.wrapping_add(by);
        }
    }

    /// Shifts everything by so many bytes, from the beginning on.
    ///
    /// Source: net/netfilter/nf_conntrack_seqadj.c, nf_ct_seqadj_init().
    pub(crate) const fn shift_all(&mut self, by: i32) {
        self.offset_before = by;
        self.offset_after = by;
    }

    /// The shift at an acknowledgment number, which counts the shift already
    /// (nf_ct_seq_adjust() in net/netfilter/nf_conntrack_seqadj.c).
    pub(crate) const fn offset_of_ack(&self, ack: u32) -> u32 {
        // CAST: The shift is subtracted modulo 2^32, so its sign does not matter.
        self.offset(ack.wrapping_sub(self.offset_before as u32))
    }

    /// The shift at a sequence number (nf_ct_seq_offset() in net/netfilter/nf_conntrack_seqadj.c).
    pub(crate) const fn offset(&self, seq: u32) -> u32 {
        // CAST: The shift is added modulo 2^32, so its sign does not matter.
        if before(self.correction_pos, seq) {
            self.offset_after as u32
        } else {
            self.offset_before as u32
        }
    }
}

/// What the tracker of TCP may know beyond [`Input`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Env<'a> {
    /// What the namespace has set.
    pub(crate) tuning: &'a Tuning,
    /// Timeouts in jiffies, as [`crate::pure::timeout::TCP`].
    pub(crate) timeouts: &'a [u32; 14],
    /// The connection goes through a SYN proxy.
    pub(crate) synproxy: bool,
    /// The shift of the direction opposite to the packet's; all zero without a helper.
    pub(crate) seqadj: SeqAdj,
}

/// How a segment is to be taken.
enum Plan {
    /// If it lies in the window, the connection goes from one state to another.
    Check(State, State),
    /// The connection goes from one state to another, and the window does not matter.
    Take(State, State),
    /// It moves nothing.
    Done(Outcome),
}

/// Judges a segment.
///
/// Source: net/netfilter/nf_conntrack_proto_tcp.c, nf_conntrack_tcp_packet().
pub(crate) fn track(proto: &mut Proto, seg: &Segment, input: &Input, env: &Env<'_>) -> Outcome {
    if !input.confirmed() {
        if let Err(reason) = proto.begin(seg, env.tuning) {
            return Outcome::invalid(reason);
        }
    }

    let (old, new) = match plan(proto, seg, input, env) {
        Plan::Done(outcome) => return outcome,
        Plan::Take(old, new) => (old, new),
        Plan::Check(old, new) => match window::check(proto, seg, input.dir(), env) {
            window::Verdict::Inside => (old, new),
            window::Verdict::Ignored(reason) => return Outcome::ignore(reason),
            window::Verdict::Outside(reason) => return outside(proto, seg, input, env, reason),
        },
    };

    proto.advance(seg, input.dir(), old, new);
    settle(proto, seg, input, env, old, new)
}

impl Proto {
    /// The state of the connection.
    pub(crate) const fn state(&self) -> State {
        State::from_bits(self.state)
    }

    /// The two ends: who sends in a direction, and who receives.
    fn ends(&mut self, dir: Direction) -> (&mut Peer, &mut Peer) {
        let [original, reply] = &mut self.seen;
        match dir {
            Direction::Original => (original, reply),
            Direction::Reply => (reply, original),
        }
    }

    /// Who sends in a direction.
    const fn sender(&self, dir: Direction) -> &Peer {
        self.receiver(dir.other())
    }

    /// Who receives in a direction.
    const fn receiver(&self, dir: Direction) -> &Peer {
        let [original, reply] = &self.seen;
        match dir {
            Direction::Original => reply,
            Direction::Reply => original,
        }
    }

    /// Returns whether either end has a flag.
    const fn either_has(&self, flag: u8) -> bool {
        let [original, reply] = &self.seen;
        original.has(flag) || reply.has(flag)
    }

    /// Returns whether the last segment was of this kind.
    const fn last_was(&self, kind: Kind) -> bool {
        self.last_index == kind as u8
    }

    /// The direction of the last segment.
    const fn last_dir(&self) -> Direction {
        Direction::from_bits(self.last_dir)
    }

    /// Notes kind and direction of a segment.
    fn note(&mut self, seg: &Segment, dir: Direction) {
        self.last_index = seg.kind as u8;
        self.last_dir = dir as u8;
    }

    /// Starts over with the first segment of a connection.
    ///
    /// Source: net/netfilter/nf_conntrack_proto_tcp.c, tcp_new().
    fn begin(&mut self, seg: &Segment, tuning: &Tuning) -> Result<(), Reason> {
        let Next::To(state) = table::next(Direction::Original, seg.kind, State::None) else {
            return Err(Reason::TcpNew);
        };
        let picked_up = state != State::SynSent;
        if picked_up && !tuning.loose {
            return Err(Reason::TcpPickup);
        }

        let mut original = Peer::default();
        let mut reply = Peer::default();
        original.begins(seg);
        if picked_up {
            // What was agreed on at the beginning is not known, so assume the best.
            original.td_scale = 0;
            original.td_maxend = original.td_end.wrapping_add(original.td_maxwin);
            original.flags = peer_flag::SACK_PERM | peer_flag::BE_LIBERAL;
            reply.flags = original.flags;
        }
        *self = Self {
            seen: [original, reply],
            last_index: Kind::None as u8,
            ..Self::default()
        };
        Ok(())
    }

    /// Moves the connection to a new state.
    fn advance(&mut self, seg: &Segment, dir: Direction, old: State, new: State) {
        self.note(seg, dir);
        self.state = new as u8;
        if old != new && new == State::FinWait {
            let (sender, _) = self.ends(dir);
            sender.flags |= peer_flag::CLOSE_INIT;
        }
    }

    /// Remembers a segment that passes without effect, so that its answer can be recognised.
    fn remember(&mut self, seg: &Segment, dir: Direction, old: State) {
        self.note(seg, dir);
        self.last_seq = seg.seq;
        self.last_end = seg.end;
        self.last_win = seg.window;

        match (seg.kind, dir) {
            (Kind::Syn, Direction::Original) => {
                self.last_wscale = seg.options.scale.unwrap_or(0);
                self.last_flags = option_flags(&seg.options);
                if old == State::LastAck {
                    self.last_flags |= peer_flag::EXP_CHALLENGE_ACK;
                }
            }
            (Kind::Ack, Direction::Reply) if old == State::SynSent => self.last_ack = seg.ack,
            _ => {}
        }
    }

    /// Returns whether a segment acknowledges a SYN of the other end that passed without effect:
    /// both ends are in step with each other, and only the tracker is not.
    fn answers_remembered_syn(&self, seg: &Segment, dir: Direction) -> bool {
        seg.kind == Kind::SynAck
            && self.last_was(Kind::Syn)
            && self.last_dir() != dir
            && seg.ack == self.last_end
    }

    /// Begins again with the remembered SYN, which a segment in direction `dir` has answered.
    fn resynchronise(&mut self, dir: Direction) {
        self.last_flags &= !peer_flag::EXP_CHALLENGE_ACK;
        let syn = Peer {
            td_end: self.last_end,
            td_maxend: self.last_end,
            td_maxwin: u32::from(self.last_win).max(1),
            td_scale: self.last_wscale,
            flags: self.last_flags,
            ..*self.receiver(dir)
        };
        let (sender, receiver) = self.ends(dir);
        sender.reset();
        *receiver = syn;
    }

    /// The timeout of the state that the connection is in now, in jiffies.
    fn timeout(&self, kind: Kind, env: &Env<'_>) -> u32 {
        let state = self.state();
        let usual = slot(env.timeouts, state as usize);
        let shorter = [
            (self.retrans >= env.tuning.max_retrans, TCP_RETRANS),
            (kind == Kind::Rst && state == State::Established, TCP_UNACK),
            (self.either_has(peer_flag::DATA_UNACKNOWLEDGED), TCP_UNACK),
            (self.last_win == 0, TCP_RETRANS),
        ];
        shorter
            .into_iter()
            .filter(|&(holds, _)| holds)
            .map(|(_, index)| slot(env.timeouts, index))
            .find(|&timeout| timeout < usual)
            .unwrap_or(usual)
    }

    /// Restarts the tracking of windows: segments may have passed while no hook was there.
    ///
    /// Source: net/netfilter/nf_conntrack_proto.c, nf_ct_tcp_fixup().
    pub(crate) fn forget_windows(&mut self) {
        if self.state() == State::Established {
            let [original, reply] = &mut self.seen;
            original.td_maxwin = 0;
            reply.td_maxwin = 0;
        }
    }

    /// Closes the connection of a segment that was rejected with an RST; gives the new timeout in
    /// jiffies, if it is to change, and then the new state is to be reported.
    ///
    /// Source: net/netfilter/nf_conntrack_proto_tcp.c, nf_conntrack_tcp_set_closing().
    pub(crate) fn set_closing(&mut self, status: Status, timeouts: &[u32; 14]) -> Option<u32> {
        let old = self.state();
        self.state = State::Close as u8;
        let changes = old != State::Close && !status.contains(Status::FIXED_TIMEOUT);
        changes.then(|| slot(timeouts, State::Close as usize))
    }
}

/// Decides what a segment means for the state, before its window is looked at.
fn plan(proto: &mut Proto, seg: &Segment, input: &Input, env: &Env<'_>) -> Plan {
    let dir = input.dir();
    let old = proto.state();

    match table::next(dir, seg.kind, old) {
        Next::Invalid if is_synproxy_keepalive(proto, seg, dir, env) => {
            Plan::Done(Outcome::of(Action::Accept))
        }
        Next::Invalid => Plan::Done(Outcome::invalid(Reason::TcpState)),
        Next::Ignore => plan_unclear(proto, seg, dir, old),
        Next::To(State::SynSent) if old >= State::TimeWait => {
            if is_over(proto, dir) {
                Plan::Done(Outcome::of(Action::Reuse))
            } else {
                plan_unclear(proto, seg, dir, old)
            }
        }
        Next::To(State::TimeWait) if is_challenge_ack(proto, seg, dir) => {
            proto.last_flags &= !peer_flag::EXP_CHALLENGE_ACK;
            Plan::Done(Outcome::ignore(Reason::TcpChallengeAck))
        }
        Next::To(State::SynSent2) => {
            proto.last_flags |= peer_flag::SIMULTANEOUS_OPEN;
            Plan::Check(old, State::SynSent2)
        }
        Next::To(State::SynRecv) if completes_simultaneous_open(proto, seg, dir) => {
            Plan::Check(old, State::Established)
        }
        Next::To(State::Close) if seg.kind == Kind::Rst => plan_reset(proto, seg, input, env),
        Next::To(new) => Plan::Check(old, new),
    }
}

/// Plans for a segment that can be right although it does not fit: the tracker may be out of step.
fn plan_unclear(proto: &mut Proto, seg: &Segment, dir: Direction, old: State) -> Plan {
    if proto.answers_remembered_syn(seg, dir) {
        proto.resynchronise(dir);
        return Plan::Check(State::SynSent, State::SynRecv);
    }
    proto.remember(seg, dir, old);
    Plan::Done(Outcome::ignore(Reason::TcpIgnored))
}

/// Plans for an RST, the one segment with which a stranger could do the most harm.
fn plan_reset(proto: &Proto, seg: &Segment, input: &Input, env: &Env<'_>) -> Plan {
    let dir = input.dir();
    let old = proto.state();
    let receiver = proto.receiver(dir);

    // The ports may be in use again already, so that nothing here is up to date. A closing
    // connection can be lost to lack of room at any time, so nothing is lost by believing the
    // segment.
    if old.is_closing() {
        return Plan::Take(old, State::Close);
    }

    // What the receiver has acknowledged is the least that an honest sender can number an RST with,
    // if no SYN has passed since then that may have begun another connection.
    if receiver.has(peer_flag::MAXACK_SET) && !proto.last_was(Kind::Syn) {
        let established = old == State::Established && input.assured();
        let answers_syn = seg.seq == 0 && !established;

        if !answers_syn && before(seg.seq, receiver.td_maxack) && !env.tuning.ignore_invalid_rst {
            return Plan::Done(Outcome::invalid(Reason::TcpRst));
        }
        if !established || seg.seq == receiver.td_maxack || follows_last_ack(proto, seg, dir) {
            return Plan::Check(old, State::Close);
        }
        // In the window, but not exact: the receiver may answer with a challenge ACK and go on.
        return Plan::Check(old, old);
    }

    if answers_remembered(proto, seg, input) {
        Plan::Take(old, State::Close)
    } else {
        Plan::Check(old, State::Close)
    }
}

/// Returns whether an RST comes right behind the last ACK of the same end.
fn follows_last_ack(proto: &Proto, seg: &Segment, dir: Direction) -> bool {
    proto.last_was(Kind::Ack) && proto.last_dir() == dir && seg.seq == proto.last_end
}

/// Returns whether an RST answers a segment that passed without effect, or the challenge ACK that
/// did.
fn answers_remembered(proto: &Proto, seg: &Segment, input: &Input) -> bool {
    let dir = input.dir();
    let to_syn = input.seen_reply() && proto.last_was(Kind::Syn) && proto.last_dir() != dir;
    let to_ack = !input.assured() && proto.last_was(Kind::Ack);
    let to_challenge = proto.state() == State::SynSent
        && proto.last_was(Kind::Ack)
        && proto.last_dir() == Direction::Reply;

    ((to_syn || to_ack) && seg.ack == proto.last_end) || (to_challenge && seg.seq == proto.last_ack)
}

/// Returns whether a closed connection may make way for a new one that `dir` opens: it was closed
/// in order, or aborted by the same end.
fn is_over(proto: &Proto, dir: Direction) -> bool {
    proto.either_has(peer_flag::CLOSE_INIT)
        || (proto.last_dir() == dir && proto.last_was(Kind::Rst))
}

/// Returns whether an ACK answers the SYN that passed in LAST_ACK (RFC 5961 section 4), and not the
/// FIN.
fn is_challenge_ack(proto: &Proto, seg: &Segment, dir: Direction) -> bool {
    proto.state() == State::LastAck
        && seg.kind == Kind::Ack
        && proto.last_dir() != dir
        && proto.last_was(Kind::Syn)
        && proto.last_flags & peer_flag::EXP_CHALLENGE_ACK != 0
}

/// Returns whether an ACK is the last of a simultaneous open, which the table cannot tell from a
/// repeated SYN.
fn completes_simultaneous_open(proto: &Proto, seg: &Segment, dir: Direction) -> bool {
    dir == Direction::Reply
        && seg.kind == Kind::Ack
        && proto.last_flags & peer_flag::SIMULTANEOUS_OPEN != 0
}

/// Returns whether a client of a SYN proxy keeps alive a connection whose SYN to the server was
/// lost.
fn is_synproxy_keepalive(proto: &Proto, seg: &Segment, dir: Direction, env: &Env<'_>) -> bool {
    env.synproxy
        && proto.state() == State::SynSent
        && seg.kind == Kind::Ack
        && dir == Direction::Original
        && proto.last_dir() == Direction::Original
        && proto.sender(dir).td_end.wrapping_sub(1) == seg.seq
}

/// The outcome of a segment outside the window.
///
/// Where the tracker has lost step, both ends close the connection with segments that it finds
/// invalid. So after one FIN or RST from each side, the connection does not keep its long timeout.
/// Source: net/netfilter/nf_conntrack_proto_tcp.c, nf_tcp_handle_invalid().
fn outside(
    proto: &mut Proto,
    seg: &Segment,
    input: &Input,
    env: &Env<'_>,
    reason: Reason,
) -> Outcome {
    let mut outcome = Outcome::invalid(reason);
    let ends = matches!(seg.kind, Kind::Fin | Kind::Rst);
    if !ends || !input.assured() || input.status.contains(Status::FIXED_TIMEOUT) {
        return outcome;
    }

    let other_ended =
        proto.last_dir() != input.dir() && (proto.last_was(Kind::Fin) || proto.last_was(Kind::Rst));
    if !other_ended {
        proto.note(seg, input.dir());
        return outcome;
    }

    let lowered = slot(env.timeouts, TCP_UNACK);
    if input.remaining >= input.hz.saturating_mul(LONG_LEFT) && input.remaining > lowered {
        outcome.lower_timeout = Some(lowered);
    }
    outcome
}

/// The outcome of a segment that has moved the connection from one state to another.
fn settle(
    proto: &Proto,
    seg: &Segment,
    input: &Input,
    env: &Env<'_>,
    old: State,
    new: State,
) -> Outcome {
    let mut timeout = proto.timeout(seg.kind, env);
    let mut outcome = Outcome::refresh(timeout);
    outcome.protoinfo_changed = old != new;

    if input.seen_reply() {
        outcome.assured = !input.assured()
            && matches!(old, State::SynRecv | State::Established)
            && new == State::Established;
        return outcome;
    }

    outcome.action = match seg.kind {
        // The only answer is a refusal.
        Kind::Rst => Action::Kill,
        // A SYN that is sent again and again does not keep the connection, or the address
        // translation that goes with it, alive.
        Kind::Syn if old == State::SynSent => Action::Accept,
        _ => {
            // Picked up, and not answered yet: too little for the long timeout.
            if new == State::Established {
                timeout = timeout.min(slot(env.timeouts, TCP_UNACK));
            }
            Action::Refresh(timeout)
        }
    };
    outcome
}
