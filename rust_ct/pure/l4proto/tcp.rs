// SPDX-License-Identifier: GPL-2.0

//! The tracker of TCP.
//!
//! The tracker stands between two machines and sees what each of them sends, which need not be what
//! the other machine receives. It guesses the state of the connection from the flags ([`table`]),
//! and checks that each segment lies in the window that the receiver has opened ([`window`]), so
//! that an attacker that cannot see the connection cannot move it.
//!
//! A segment that could put the tracker right where it is out of step with both ends passes without
//! effect and is remembered; the answer to it shows whether the tracker was wrong.
//!
//! Source of all rules: net/netfilter/nf_conntrack_proto_tcp.c.

mod env;
mod private;
mod receiver;
mod state;
pub(crate) mod table;
mod window;

pub(crate) use env::{
    Env,
    Tuning, //
};
pub(crate) use private::{
    peer_flag,
    Peer,
    Proto, //
};
pub(crate) use state::State;

use crate::pure::{
    l4proto::{
        Action,
        Beginning,
        Context,
        Ids,
        Input,
        L4Proto,
        Outcome,
        Plain,
        Shown, //
    },
    reason::Reason,
    state::Status,
    timeout::{
        slot,
        Setting,
        DAYS,
        MINUTES, //
    },
    tuple::Direction,
    wire::{
        ipproto,
        tcp::{
            before,
            Kind,
            Segment, //
        },
        Family,
        Packet,
        L4, //
    },
};
use core::mem::offset_of;
use private::option_flags;
use receiver::Fate;
use table::Next;

/// How long a connection must have left for an invalid FIN or RST to shorten it, in seconds.
const LONG_LEFT: u32 = 120;

/// Index in [`TIMEOUTS`] of the timeout after too many retransmissions (`TCP_CONNTRACK_RETRANS`).
const RETRANS: usize = 12;
/// Index in [`TIMEOUTS`] of the timeout while data is not acknowledged (`TCP_CONNTRACK_UNACK`).
const UNACK: usize = 13;

/// The timeouts, indexed by state; the first one is that of a new connection.
///
/// Source: net/netfilter/nf_conntrack_proto_tcp.c, tcp_timeouts and nf_conntrack_tcp_init_net().
pub(crate) const TIMEOUTS: [Setting; 14] = [
    Setting::hidden(2 * MINUTES),
    Setting::new(c"nf_conntrack_tcp_timeout_syn_sent", 2 * MINUTES),
    Setting::new(c"nf_conntrack_tcp_timeout_syn_recv", MINUTES),
    Setting::new(c"nf_conntrack_tcp_timeout_established", 5 * DAYS),
    Setting::new(c"nf_conntrack_tcp_timeout_fin_wait", 2 * MINUTES),
    Setting::new(c"nf_conntrack_tcp_timeout_close_wait", MINUTES),
    Setting::new(c"nf_conntrack_tcp_timeout_last_ack", 30),
    Setting::new(c"nf_conntrack_tcp_timeout_time_wait", 2 * MINUTES),
    Setting::new(c"nf_conntrack_tcp_timeout_close", 10),
    Setting::unnamed(2 * MINUTES),
    Setting::hidden(0),
    Setting::hidden(0),
    Setting::new(c"nf_conntrack_tcp_timeout_max_retrans", 5 * MINUTES),
    Setting::new(c"nf_conntrack_tcp_timeout_unacknowledged", 5 * MINUTES),
];

/// TCP.
pub(crate) struct Tcp;

impl L4Proto for Tcp {
    const NUMBER: u8 = ipproto::TCP;
    const NAME: &'static str = "tcp";
    const ALLOW_CLASH: bool = false;
    const IDS: Ids = Ids::Ports(Reason::TcpShort);
    const TIMEOUTS: &'static [Setting] = &TIMEOUTS;
    /// Source: net/netfilter/nf_conntrack_proto_tcp.c, nf_conntrack_tcp_init_net().
    const OFFLOAD_TIMEOUT: Option<Setting> = Some(Setting::new(c"nf_flowtable_tcp_timeout", 30));
    const LOCKED: bool = true;

    type Timeouts = [u32; TIMEOUTS.len()];
    type Header = Segment;
    type Private = Proto;

    #[inline(always)]
    fn read<P: Packet>(
        pkt: &P,
        l4: &L4,
        family: Family,
        verify_checksum: bool,
    ) -> Result<Segment, Reason> {
        Segment::read(pkt, l4, family, verify_checksum)
    }

    #[inline(always)]
    fn track<C: Context>(
        private: &mut Proto,
        segment: &Segment,
        input: &Input,
        timeouts: &Self::Timeouts,
        context: &mut C,
    ) -> Outcome {
        let env = Env {
            tuning: &context.tuning(),
            timeouts,
            synproxy: context.synproxy(),
            seqadj: context.shift(input.dir().other()),
        };
        let outcome = track(private, segment, input, &env);
        // No segment that fits gets further than this comparison.
        match outcome.action {
            Action::Invalid(_) if context.leaves_to_receiver() => {
                reconsider(private, &context.met(), segment, input, outcome)
            }
            _ => outcome,
        }
    }

    fn state(private: &Proto) -> u8 {
        private.state
    }

    fn can_early_drop(state: u8) -> bool {
        State::from_bits(state).is_closing()
    }

    /// A flow table does not keep the state up to date, so that it is not shown.
    fn show(private: &Proto, status: Status, _hz: u32) -> Shown {
        if status.contains(Status::OFFLOAD) {
            Shown::Nothing
        } else {
            Shown::State(private.state().name())
        }
    }
}

impl Plain for Tcp {
    const END: usize = size_of::<Peer>();

    #[inline(always)]
    fn read_plain<P: Packet>(pkt: &P, l4: &L4) -> Option<Segment> {
        Segment::read_plain(pkt, l4)
    }

    #[inline(always)]
    fn read_first<P: Packet>(pkt: &P, l4: &L4) -> Option<Segment> {
        Segment::read_syn(pkt, l4)
    }

    #[inline(always)]
    fn verify<P: Packet>(pkt: &P, _seg: &Segment, l4: &L4, family: Family) -> Result<(), Reason> {
        Segment::verify(pkt, l4, family)
    }

    #[inline(always)]
    fn renew<C: Context>(
        private: &mut Proto,
        segment: &Segment,
        input: &Input,
        timeout: impl Fn(usize) -> u32,
        context: &mut C,
    ) -> Option<u32> {
        let shift = context.offset(input.dir().other(), segment.ack.wrapping_sub(1));
        renew(
            private,
            segment,
            input,
            shift,
            context.max_retrans(),
            timeout,
        )
    }

    /// Not the sender's end, which lies in another line of the cache.
    #[inline(always)]
    fn take_over(old: &mut Proto, new: &Proto) -> impl Iterator<Item = (usize, u32)> {
        const RECEIVER: usize = size_of::<Peer>();
        let ([old_sender, old_receiver], [sender, receiver]) = (&mut old.seen, &new.seen);
        old_sender.td_maxwin = sender.td_maxwin;
        old_sender.td_maxack = sender.td_maxack;
        old_receiver.td_maxend = receiver.td_maxend;
        old_receiver.td_maxwin = receiver.td_maxwin;
        old.last_seq = new.last_seq;
        old.last_ack = new.last_ack;
        old.last_end = new.last_end;
        [
            (offset_of!(Peer, td_maxwin), sender.td_maxwin),
            (offset_of!(Peer, td_maxack), sender.td_maxack),
            (RECEIVER + offset_of!(Peer, td_maxend), receiver.td_maxend),
            (RECEIVER + offset_of!(Peer, td_maxwin), receiver.td_maxwin),
            (offset_of!(Proto, last_seq), new.last_seq),
            (offset_of!(Proto, last_ack), new.last_ack),
            (offset_of!(Proto, last_end), new.last_end),
        ]
        .into_iter()
    }

    #[inline(always)]
    fn begin(
        syn: &Segment,
        _now: usize,
        _hz: u32,
        timeout: impl Fn(usize) -> u32,
    ) -> Beginning<Proto> {
        begin(syn, timeout)
    }
}

/// How a segment is to be taken.
enum Plan {
    /// If it lies in the window, the connection goes from one state to another.
    Check(State, State),
    /// The connection goes from one state to another, and the window does not matter.
    Take(State, State),
    /// The segment moves nothing.
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
        Plan::Check(old, new) => {
            let shift = env.seqadj.offset(seg.ack.wrapping_sub(1));
            match window::check(
                proto,
                input.dir(),
                seg,
                input.dir(),
                shift,
                env.tuning.be_liberal,
            ) {
                window::Verdict::Inside => (old, new),
                window::Verdict::Ignored(reason) => return Outcome::ignore(reason),
                window::Verdict::Outside(reason) => return outside(proto, seg, input, env, reason),
            }
        }
    };

    proto.advance(seg, input.dir(), old, new);
    settle(proto, seg, input, env, old, new)
}

/// As [`track`], of an ACK in the window of an established connection, which renews it for so many
/// jiffies. `None` for other segments; what has become of `proto` then is of no use.
///
/// `proto` is as the sender sees it, see [`Proto::seen_by`]. `shift` is that of the other
/// direction's sequence number that is acknowledged. Whether segments outside the window pass is
/// not asked.
#[inline(always)]
pub(crate) fn renew(
    proto: &mut Proto,
    seg: &Segment,
    input: &Input,
    shift: u32,
    max_retrans: u8,
    timeout: impl Fn(usize) -> u32,
) -> Option<u32> {
    /// The sender's end is the first one.
    const SENDER: Direction = Direction::Original;
    const OLD: State = State::Established;
    // So `plan` has nothing to look at but the window, and `settle` nothing to tell.
    const {
        let next = [
            table::next(Direction::Original, Kind::Ack, OLD),
            table::next(Direction::Reply, Kind::Ack, OLD),
        ];
        assert!(matches!(next, [Next::To(OLD), Next::To(OLD)]));
    }
    let settled = input.confirmed() && input.seen_reply() && input.assured();
    if !settled || proto.state() != OLD || seg.kind != Kind::Ack {
        return None;
    }
    let dir = input.dir();
    // A sender without a window yet begins one.
    if proto.sender(SENDER).td_maxwin == 0 {
        return None;
    }
    match window::check(proto, SENDER, seg, dir, shift, false) {
        window::Verdict::Inside => (),
        _ => return None,
    }
    proto.advance(seg, dir, OLD, OLD);
    Some(proto.timeout(Kind::Ack, max_retrans, timeout))
}

/// As [`track`], of a SYN that begins a connection.
///
/// Nothing is known of either end, so that it is in the window whatever it says, and says how far
/// the other end may go: what [`window::check`] makes of it. No ACK has said a window, so that the
/// timeout after too many retransmissions counts where it is shorter, however many are too many.
#[inline(always)]
pub(crate) fn begin(syn: &Segment, timeout: impl Fn(usize) -> u32) -> Beginning<Proto> {
    const {
        let next = table::next(Direction::Original, Kind::Syn, State::None);
        assert!(matches!(next, Next::To(State::SynSent)));
    }
    let (mut original, mut reply) = (Peer::default(), Peer::default());
    original.begins(syn);
    reply.td_maxend = u32::from(syn.window).max(1);
    let private = Proto {
        seen: [original, reply],
        state: State::SynSent as u8,
        last_dir: Direction::Original as u8,
        last_index: Kind::Syn as u8,
        ..Proto::default()
    };
    Beginning {
        private,
        jiffies: private.timeout(Kind::Syn, u8::MAX, timeout),
        protoinfo_changed: true,
    }
}

/// Looks again at a segment that [`track`] has judged. What it refused goes with its connection if
/// the receiver may answer or take it, and then the private state is `met` again, what the segment
/// met.
#[inline(always)]
pub(crate) fn reconsider(
    proto: &mut Proto,
    met: &Proto,
    seg: &Segment,
    input: &Input,
    outcome: Outcome,
) -> Outcome {
    let reason = match outcome.action {
        Action::Invalid(reason) if input.confirmed() => reason,
        _ => return outcome,
    };
    // Copies, so that a segment that fits needs no memory for what is lent here.
    let other = match receiver::fate(*met, *seg, input.dir(), reason) {
        Fate::Refused => return outcome,
        Fate::PassesBy => Outcome::pass_by(Reason::TcpRfc5961),
        Fate::Begins => Outcome::of(Action::Reuse),
    };
    *proto = *met;
    other
}

impl Proto {
    /// The same with the end first that sends in a direction; and back.
    pub(crate) const fn seen_by(self, dir: Direction) -> Self {
        let [original, reply] = self.seen;
        match dir {
            Direction::Original => self,
            Direction::Reply => Self {
                seen: [reply, original],
                ..self
            },
        }
    }

    /// The end that sends in a direction.
    const fn sender(&self, dir: Direction) -> &Peer {
        self.receiver(dir.other())
    }

    /// The end that receives in a direction.
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

    /// Returns whether it is known what the receiver of a direction has acknowledged: it has, and
    /// no SYN has passed since then that may have begun another connection.
    const fn has_acknowledged(&self, dir: Direction) -> bool {
        self.receiver(dir).has(peer_flag::MAXACK_SET) && !self.last_was(Kind::Syn)
    }

    /// Returns whether the receiver of a segment has acknowledged all of it.
    pub(crate) fn is_acknowledged(&self, seg: &Segment, dir: Direction) -> bool {
        let receiver = self.receiver(dir);
        receiver.has(peer_flag::MAXACK_SET) && !before(receiver.td_maxack, seg.end)
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

    /// The timeout of the state that the connection is in now, in jiffies. `timeout` gives that of
    /// an index.
    #[inline(always)]
    fn timeout(&self, kind: Kind, max_retrans: u8, timeout: impl Fn(usize) -> u32) -> u32 {
        let state = self.state();
        let usual = timeout(state as usize);
        let shorter = [
            (self.retrans >= max_retrans, RETRANS),
            (kind == Kind::Rst && state == State::Established, UNACK),
            (self.either_has(peer_flag::DATA_UNACKNOWLEDGED), UNACK),
            (self.last_win == 0, RETRANS),
        ];
        for (holds, index) in shorter {
            if holds {
                // Read once: it may be written meanwhile.
                let other = timeout(index);
                if other < usual {
                    return other;
                }
            }
        }
        usual
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

/// Plans for an RST, the segment with which an attacker that cannot see the connection could do the
/// most harm.
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

    // What the receiver has acknowledged is the least that an honest sender can number an RST with.
    if proto.has_acknowledged(dir) {
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

    let lowered = slot(env.timeouts, UNACK);
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
    let mut timeout = proto.timeout(seg.kind, env.tuning.max_retrans, |index| {
        slot(env.timeouts, index)
    });
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
                timeout = timeout.min(slot(env.timeouts, UNACK));
            }
            Action::Refresh(timeout)
        }
    };
    outcome
}
