// SPDX-License-Identifier: GPL-2.0

//! Entry points of the fuzz targets: any bytes are a packet, a sequence of segments, or what is
//! said on a control connection of FTP.

use crate::{
    packet::{
        Bytes,
        Linear, //
    },
    pure::{
        l4proto::{
            gre,
            icmp_error::{
                self,
                Message, //
            },
            sctp,
            seqadj,
            tcp::{
                self,
                Tcp, //
            },
            udp::{
                self,
                Udp, //
            },
            Action,
            Beginning,
            Input,
            Outcome,
            Plain, //
        },
        payload::{
            ftp,
            tftp, //
        },
        reason::Reason,
        state::{
            CtInfo,
            Status, //
        },
        timeout::slot,
        tuple::{
            Addr,
            Direction,
            Tuple, //
        },
        wire::{
            self,
            ipproto,
            sctp::Sctp,
            tcp::{
                flag,
                Kind,
                Options,
                Segment, //
            },
            Family,
            Packet,
            L4, //
        },
    },
    timeouts::Timeouts, //
};

const HZ: u32 = 250;

/// Reads a packet in every way that the module does; what is claimed in the documentation must
/// hold.
///
/// The first byte chooses the family and whether checksums are verified, the rest is the packet.
pub fn packet(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let pkt = Bytes(bytes);
    let verify = choice & 2 != 0;
    let family = match choice & 1 {
        0 => Family::Ipv4,
        _ => Family::Ipv6,
    };

    if let Some(plain) = wire::plain_l4(&pkt, 0, family) {
        assert_eq!(wire::l4(&pkt, 0, family), Ok(plain));
    }
    let Ok(l4) = wire::l4(&pkt, 0, family) else {
        return;
    };
    // An IPv6 extension header may say that it goes on behind the packet.
    assert!(family == Family::Ipv6 || l4.offset as usize <= bytes.len());

    if let Ok(tuple) = Tuple::from_packet(&pkt, 0, family, &l4) {
        invert_twice(&tuple);
    }
    match icmp_error::parse(&pkt, 0, family, &l4, verify) {
        Ok(Message::Error(error)) => invert_twice(&error.lookup),
        Ok(Message::Query | Message::Untracked) | Err(_) => {}
    }
    track(&pkt, &l4, family, verify);
}

fn invert_twice(tuple: &Tuple) {
    if let Some(inverse) = tuple.invert() {
        let twice = inverse.invert().expect("an answer has a query");
        assert_eq!(twice, *tuple);
        assert_eq!(twice.dir(), tuple.dir());
    }
}

/// Gives a packet to its tracker, as the first of a connection and as an answer.
fn track(pkt: &Bytes<'_>, l4: &L4, family: Family, verify: bool) {
    let timeouts = Timeouts::new(HZ);
    for input in [first(), answer()] {
        match l4.proto {
            ipproto::TCP => {
                let read = Segment::read(pkt, l4, family, verify);
                let first = Tcp::read_first(pkt, l4);
                assert_eq!(Tcp::read_first(&Linear(pkt.0, pkt.0.len()), l4), first);
                for linear in [0, l4.offset as usize + 20] {
                    let found = Tcp::read_first(&Linear(pkt.0, linear), l4);
                    assert!(found.is_none() || found == first);
                }
                let plain = Tcp::read_plain(pkt, l4);
                for plain in plain.into_iter().chain(first) {
                    let verified = || Tcp::verify(pkt, &plain, l4, family);
                    let verified = if verify { verified() } else { Ok(()) };
                    assert_eq!(read, verified.map(|()| plain));
                }
                if let Ok(seg) = read {
                    let env = env(&timeouts);
                    judge_tcp(&mut tcp::Proto::default(), &seg, &input, &env);
                }
                shift(pkt, l4);
            }
            ipproto::UDP => {
                let read = udp::check(pkt, l4, family, verify).map(|_| ());
                let plain = Udp::read_plain(pkt, l4);
                for plain in plain.into_iter().chain(Udp::read_first(pkt, l4)) {
                    let verified = || Udp::verify(pkt, &plain, l4, family);
                    assert_eq!(read, if verify { verified() } else { Ok(()) });
                }
                if read.is_ok() {
                    judge_udp(&mut udp::Proto::default(), &input, &timeouts.udp);
                }
            }
            ipproto::SCTP => {
                if let Ok(sctp) = Sctp::read(pkt, l4, family, verify) {
                    let mut proto = sctp::Proto::default();
                    sctp::track(&mut proto, &sctp, pkt, l4, &input, &timeouts.sctp);
                    sctp::track(&mut proto, &sctp, pkt, l4, &answer(), &timeouts.sctp);
                }
            }
            ipproto::GRE => {
                gre::track(&mut gre::Proto::default(), &input, &timeouts.gre);
            }
            _ => {}
        }
    }
}

/// Judges a segment. If it only renews its connection, or is a SYN that begins a connection, that
/// is what the tracker finds.
pub(crate) fn judge_tcp(
    proto: &mut tcp::Proto,
    seg: &Segment,
    input: &Input,
    env: &tcp::Env<'_>,
) -> Outcome {
    let mut plain = proto.seen_by(input.dir());
    let timeout = |index| slot(env.timeouts, index);
    let shift = env.seqadj.offset(seg.ack.wrapping_sub(1));
    let renewed = tcp::renew(
        &mut plain,
        seg,
        input,
        shift,
        env.tuning.max_retrans,
        timeout,
    );
    let plain = plain.seen_by(input.dir());
    let outcome = tcp::track(proto, seg, input, env);
    if let Some(jiffies) = renewed {
        assert_eq!((Outcome::refresh(jiffies), &plain), (outcome, &*proto));
    }
    if begins(input) && is_plain_syn(seg) {
        let begun = tcp::begin(seg, timeout);
        assert_eq!(outcome_of(&begun), outcome);
        assert_eq!(begun.private, *proto);
    }
    outcome
}

/// Returns whether a packet is the first of a connection.
fn begins(input: &Input) -> bool {
    let settled = input.confirmed() || input.seen_reply() || input.assured();
    !settled && input.dir() == Direction::Original
}

/// Returns whether [`Segment::read_syn`] reads a segment.
fn is_plain_syn(seg: &Segment) -> bool {
    seg.flags == flag::SYN
}

/// The outcome of a packet that begins a connection so.
fn outcome_of<P>(begun: &Beginning<P>) -> Outcome {
    Outcome {
        protoinfo_changed: begun.protoinfo_changed,
        ..Outcome::refresh(begun.jiffies)
    }
}

/// As [`judge_tcp`], for a packet of UDP.
pub(crate) fn judge_udp(proto: &mut udp::Proto, input: &Input, timeouts: &[u32; 2]) -> Outcome {
    let before = *proto;
    let renewed = udp::renew(proto, input, |index| slot(timeouts, index));
    let outcome = udp::track(proto, input, timeouts);
    if let Some(jiffies) = renewed {
        assert_eq!((Outcome::refresh(jiffies), before), (outcome, *proto));
    }
    if begins(input) {
        let begun = udp::begin(input.now, input.hz, |index| slot(timeouts, index));
        assert_eq!(outcome_of(&begun), outcome);
        assert_eq!(begun.private, *proto);
    }
    outcome
}

/// Shifts the numbers of a segment: each lies in the packet, and is what is there.
fn shift(pkt: &Bytes<'_>, l4: &L4) {
    let shift = seqadj::SeqAdj {
        correction_pos: 1 << 31,
        offset_before: -1,
        offset_after: 1,
    };
    let edits = seqadj::edits(pkt, l4, &shift, &shift);
    for edit in edits.iter().flat_map(|edits| edits.get()) {
        assert_eq!(pkt.read(edit.offset), Some(edit.old.to_be_bytes()));
    }
}

fn first() -> Input {
    Input {
        status: Status::default(),
        ctinfo: CtInfo::New,
        now: 0,
        remaining: 0,
        hz: HZ,
    }
}

fn answer() -> Input {
    Input {
        status: Status::CONFIRMED.with(Status::SEEN_REPLY),
        ctinfo: CtInfo::EstablishedReply,
        ..first()
    }
}

/// What a namespace begins with.
pub(crate) const TUNING: tcp::Tuning = tcp::Tuning {
    loose: true,
    be_liberal: false,
    ignore_invalid_rst: false,
    max_retrans: 3,
};

fn env(timeouts: &Timeouts) -> tcp::Env<'_> {
    tcp::Env {
        tuning: &TUNING,
        timeouts: &timeouts.tcp,
        synproxy: false,
        seqadj: seqadj::SeqAdj::default(),
    }
}

/// Plays a sequence of segments on one connection, as nf_conntrack does, and with segments left
/// to their receivers that they may want; eleven bytes make a segment.
pub fn tcp_sequence(data: &[u8]) {
    let timeouts = Timeouts::new(HZ);
    let env = env(&timeouts);
    for leaves_to_receiver in [false, true] {
        let mut conn = Conn {
            remaining: timeouts.tcp[tcp::State::Established as usize],
            leaves_to_receiver,
            ..Conn::default()
        };
        for bytes in data.chunks_exact(STEP) {
            let bytes = bytes.first_chunk().expect("an exact chunk");
            let (seg, dir) = segment(bytes, &conn.proto);
            if leaves_to_receiver {
                passes_by_or_is_the_same(&conn, &seg, dir, &env);
            }
            conn.step(&seg, dir, &env);
            check(&conn.proto);
        }
    }
}

/// Gives a segment to a connection that leaves segments to their receivers, and to a copy of it as
/// it is with nf_conntrack: both make the same of it, or the second finds it INVALID, and it
/// changes nothing in the first.
pub(crate) fn passes_by_or_is_the_same(
    conn: &Conn,
    seg: &Segment,
    dir: Direction,
    env: &tcp::Env<'_>,
) {
    let (mut on, mut off) = (*conn, *conn);
    (on.leaves_to_receiver, off.leaves_to_receiver) = (true, false);
    let met = on;
    let [outcome, usual] = [&mut on, &mut off].map(|conn| conn.step(seg, dir, env));
    off.leaves_to_receiver = true;

    if outcome.action == Action::PassBy {
        let Action::Invalid(reason) = usual.action else {
            panic!("{seg:?} is not INVALID else, but {usual:?}");
        };
        use Reason::*;
        let listed = [TcpState, TcpRst, TcpSeqOver, TcpAckOver];
        assert!(
            listed.contains(&reason),
            "{seg:?} is INVALID for {reason:?}"
        );
        assert_eq!(outcome, Outcome::pass_by(TcpRfc5961));
        assert_eq!(on, met, "{seg:?} changes nothing");
        return;
    }
    if outcome.action == Action::Reuse && usual.action == Action::Invalid(Reason::TcpState) {
        assert_eq!(
            (seg.kind, met.proto.state()),
            (Kind::Syn, tcp::State::Close)
        );
        assert_eq!(outcome, Outcome::of(Action::Reuse));
        return;
    }
    assert_eq!(
        (outcome, on),
        (usual, off),
        "{seg:?} is as with nf_conntrack"
    );

    // A second look on its way out finds that it is of the connection, if it counts at all.
    let counts = matches!(outcome.action, Action::Refresh(_))
        || matches!(
            outcome.log,
            Some(Reason::TcpSeqUnder | Reason::TcpAckUnder | Reason::TcpOvershot)
        );
    let sane = |conn: &Conn| conn.proto.seen.iter().all(|peer| peer.td_maxwin < 1 << 31);
    if counts && sane(&met) && sane(&on) {
        let again = on.step(seg, dir, env);
        assert_ne!(again.action, Action::PassBy, "{seg:?} at {met:?}");
    }
}

/// Bytes to a segment in [`tcp_sequence`].
const STEP: usize = 11;

/// Makes a segment of some bytes, near the numbers that the connection is at, so that many are in
/// the window.
fn segment(bytes: &[u8; STEP], proto: &tcp::Proto) -> (Segment, Direction) {
    let [choice, flags, seq @ .., scale] = *bytes;
    let [seq_low, seq_high, ack_low, ack_high, len_low, len_high, win_low, win_high] = seq;
    let word = |low, high| u16::from_le_bytes([low, high]);
    let dir = Direction::from_bits(choice & 1);

    let [original, reply] = proto.seen;
    let (sender, receiver) = match dir {
        Direction::Original => (original, reply),
        Direction::Reply => (reply, original),
    };
    // CAST: Small distances to either side, widened with their sign.
    let near = |base: u32, low, high| base.wrapping_add(i32::from(word(low, high) as i16) as u32);
    let far = |low, high| u32::from(word(low, high)) << 16;

    let seq = match (choice >> 1) & 3 {
        0 => sender.td_end,
        1 => near(sender.td_end, seq_low, seq_high),
        2 => near(receiver.td_maxack, seq_low, seq_high),
        _ => far(seq_low, seq_high),
    };
    let ack = match (choice >> 3) & 3 {
        0 => receiver.td_end,
        1 => near(receiver.td_end, ack_low, ack_high),
        2 => proto.last_end,
        _ => far(ack_low, ack_high),
    };
    let seg = Segment {
        kind: Kind::from_flags(flags),
        flags,
        seq,
        end: seq.wrapping_add(u32::from(word(len_low, len_high))),
        ack,
        window: word(win_low, win_high),
        options: Options {
            present: choice & 0x20 != 0,
            sack_permitted: choice & 0x40 != 0,
            scale: (choice & 0x80 != 0).then_some(scale % 15),
            sack: (scale & 0x80 != 0).then(|| near(ack, win_low, len_low)),
        },
    };
    (seg, dir)
}

/// A TCP connection without the rest of the module around it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Conn {
    pub(crate) proto: tcp::Proto,
    pub(crate) status: Status,
    /// Jiffies until it expires.
    pub(crate) remaining: u32,
    /// What its receiver may want is not INVALID (`tcp_rfc5961`).
    pub(crate) leaves_to_receiver: bool,
}

impl Conn {
    /// Gives a segment to the tracker, and does with the connection what the module would do.
    pub(crate) fn step(&mut self, seg: &Segment, dir: Direction, env: &tcp::Env<'_>) -> Outcome {
        let input = Input {
            status: self.status,
            ctinfo: match dir {
                Direction::Original if self.status.contains(Status::SEEN_REPLY) => {
                    CtInfo::Established
                }
                Direction::Original => CtInfo::New,
                Direction::Reply => CtInfo::EstablishedReply,
            },
            now: 0,
            remaining: self.remaining,
            hz: HZ,
        };
        let met = self.proto;
        let mut outcome = judge_tcp(&mut self.proto, seg, &input, env);
        if self.leaves_to_receiver {
            outcome = tcp::reconsider(&mut self.proto, &met, seg, &input, outcome);
        }
        if outcome.action == Action::PassBy {
            return outcome;
        }

        let over = matches!(outcome.action, Action::Reuse | Action::Kill);
        let refused = matches!(outcome.action, Action::Invalid(_)) && !input.confirmed();
        if over || refused {
            *self = Self {
                remaining: self.remaining,
                leaves_to_receiver: self.leaves_to_receiver,
                ..Self::default()
            };
            return outcome;
        }
        self.status = self.status.with(Status::CONFIRMED);
        if outcome.assured {
            self.status = self.status.with(Status::ASSURED);
        }
        if dir == Direction::Reply && !matches!(outcome.action, Action::Invalid(_)) {
            self.status = self.status.with(Status::SEEN_REPLY);
        }
        outcome
    }
}

/// What holds of every private state that the tracker leaves.
pub(crate) fn check(proto: &tcp::Proto) {
    assert!(
        usize::from(proto.state) < tcp::State::ALL.len(),
        "state {} is none",
        proto.state
    );
    assert!(
        usize::from(proto.last_index) < Kind::ALL.len(),
        "kind {} is none",
        proto.last_index
    );
    assert!(proto.last_dir <= 1, "direction {} is none", proto.last_dir);
    for peer in &proto.seen {
        assert!(
            peer.td_scale <= 14,
            "window scale {} is too high",
            peer.td_scale
        );
    }
}

/// Plays a control connection of FTP: what is announced must be true of the segment.
///
/// The first byte says whether the rest is any segments, or a stream and where it is cut.
pub fn ftp(data: &[u8]) {
    match data.split_first() {
        Some((0, rest)) => ftp_segments(rest),
        Some((dir, rest)) => ftp_cuts(Direction::from_bits(dir & 1), rest),
        None => {}
    }
}

/// Plays segments, each with a byte of choices and a byte of its length before it.
fn ftp_segments(mut rest: &[u8]) {
    let mut session = ftp::Session::new();
    let mut next = [u32::MAX - 100; 2];
    while let [choice, len, tail @ ..] = rest {
        let (segment, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = tail;
        let dir = Direction::from_bits(choice & 1);
        let next = &mut next[dir.index()];
        let distance = u32::from(choice >> 3);
        let seq = match (choice >> 1) & 3 {
            0 => *next,
            1 => next.wrapping_sub(distance),
            2 => next.wrapping_add(distance),
            _ => {
                session.begin(dir, *next);
                *next
            }
        };
        *next = seq.wrapping_add(u32::from(*len));
        ftp_feed(&mut session, dir, seq, segment);
        let _ = tftp::read(&Bytes(segment), distance);
    }
}

/// Plays a stream in one piece and in several, which must be the same. Before it there are the
/// number of the pieces and their lengths.
fn ftp_cuts(dir: Direction, data: &[u8]) {
    let Some((count, rest)) = data.split_first() else {
        return;
    };
    let (cuts, stream) = rest.split_at(usize::from(*count).min(rest.len()));
    let mut session = ftp::Session::new();
    session.begin(dir, 0);
    let whole = ftp_feed(&mut { session }, dir, 0, stream);
    if whole.len() == ftp::MOST_EVENTS {
        return;
    }

    let mut seq = 0;
    let mut rest = stream;
    let mut pieces = Vec::new();
    for len in cuts
        .iter()
        .map(|len| usize::from(*len))
        .chain([stream.len()])
    {
        let (piece, tail) = rest.split_at(len.min(rest.len()));
        pieces.extend(ftp_feed(&mut session, dir, seq, piece));
        seq += piece.len() as u32;
        rest = tail;
    }
    assert_eq!(pieces, whole);
}

/// Gives a segment to a session. Returns what is announced, without where it is written: what is
/// written there announces the same.
fn ftp_feed(
    session: &mut ftp::Session,
    dir: Direction,
    seq: u32,
    segment: &[u8],
) -> Vec<Result<ftp::Announced, ftp::Refused>> {
    let mut outcomes = Vec::new();
    session.feed(dir, seq, &Bytes(segment), 0, |event| {
        assert_eq!(event.kind.dir(), dir);
        outcomes.push(event.outcome.map(|announced| {
            if let Some(text) = announced.text {
                let begin = text.seq.wrapping_sub(seq) as usize;
                ftp_again(announced, &segment[begin..][..text.len as usize]);
            }
            let bare = ftp::Announced {
                text: None,
                ..announced
            };
            ftp_check(&bare);
            bare
        }));
    });
    assert!(outcomes.len() <= ftp::MOST_EVENTS);
    outcomes
}

/// Announces with a line made here what is written in a segment.
fn ftp_again(announced: ftp::Announced, text: &[u8]) {
    let blank: &[u8] = match announced.kind {
        ftp::Kind::Epsv => b" (",
        _ => b" ",
    };
    let line = [announced.kind.name().as_bytes(), blank, text, b"\n"].concat();
    let dir = announced.kind.dir();
    let mut session = ftp::Session::new();
    session.begin(dir, 0);
    let mut again = None;
    session.feed(dir, 0, &Bytes(&line), 0, |event| again = Some(event));
    let again = again.and_then(|event| event.outcome.ok());
    let found = again.map(|again| (again.kind, again.address, again.port));
    assert_eq!(
        found,
        Some((announced.kind, announced.address, announced.port))
    );
}

/// Asks what an announcement opens: never a low port, and without `loose` no foreign address.
fn ftp_check(announced: &ftp::Announced) {
    let client = Addr::v4([1, 2, 3, 4]);
    let server = Addr::v4([5, 6, 7, 8]);
    let original = Tuple::new(Family::Ipv4, ipproto::TCP, client, server);
    let tuples = [original, original.invert().expect("TCP has answers")];
    let strict = ftp::check(announced, &tuples, false);
    let loose = ftp::check(announced, &tuples, true);
    if let Ok(expected) = strict {
        assert!(!expected.foreign);
        assert_eq!(loose, strict);
    }
    assert!(loose.is_ok_and(|expected| expected.port >= 1024) || loose.is_err());
}
