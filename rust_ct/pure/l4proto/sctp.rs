// SPDX-License-Identifier: GPL-2.0

//! The tracker of SCTP.
//!
//! The state follows the chunks, and the verification tags tell the packets of an association from
//! an attacker's (RFC 9260 section 8.5). A tag is what a sender puts into its packets, having
//! learnt it from the other end's INIT or INIT ACK; here tags are kept by the direction of the
//! packets that carry them.
//!
//! Source of all rules: net/netfilter/nf_conntrack_proto_sctp.c.

mod state;
pub(crate) mod table;

pub(crate) use state::State;

use crate::pure::{
    l4proto::{
        Action,
        Context,
        Ids,
        Input,
        L4Proto,
        Outcome,
        Shown, //
    },
    reason::Reason,
    state::Status,
    timeout::{
        slot,
        Setting, //
    },
    tuple::Direction,
    wire::{
        ipproto,
        sctp::{
            self as wire,
            chunks,
            Chunk,
            Kind,
            Kinds,
            Tag, //
        },
        Family,
        Packet,
        L4, //
    },
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes, //
};

/// No tag yet, and the tag of a packet with INIT.
const NO_TAG: Tag = [0; 4];

/// Chunks that end or answer an association, and so begin none (RFC 9260 section 8.4).
const NEVER_NEW: Kinds = Kinds::of(&[Kind::Abort, Kind::ShutdownComplete, Kind::CookieAck]);

/// Chunks that have rules of their own for the tag of their packet.
const OWN_TAG_RULE: Kinds = Kinds::of(&[
    Kind::Init,
    Kind::ShutdownComplete,
    Kind::CookieEcho,
    Kind::Abort,
    Kind::ShutdownAck,
    Kind::Heartbeat,
    Kind::HeartbeatAck,
]);

/// Bit of [`Proto::flags`]: a HEARTBEAT came with another tag than the association's.
const HEARTBEAT_TAG_FAILED: u8 = 1;

/// The private state, laid out as the kernel's `struct ip_ct_sctp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Proto {
    /// A [`State`].
    pub(crate) state: u32,
    /// The tags, by the direction of the packets that carry them.
    pub(crate) vtag: [Tag; 2],
    /// Whether an INIT was seen, by direction.
    init: [u8; 2],
    /// The direction of the HEARTBEAT with another tag.
    last_dir: u8,
    /// [`HEARTBEAT_TAG_FAILED`] or nothing.
    flags: u8,
}

const _: () = {
    assert!(size_of::<Proto>() == 16 && align_of::<Proto>() == 4);
    assert!(core::mem::offset_of!(Proto, vtag) == 4);
    assert!(core::mem::offset_of!(Proto, flags) == 15);
};

/// The timeouts, indexed by state; the first one is that of a new association.
///
/// Source: net/netfilter/nf_conntrack_proto_sctp.c, sctp_timeouts and nf_conntrack_sctp_init_net().
pub(crate) const TIMEOUTS: [Setting; 10] = [
    Setting::hidden(10),
    Setting::new(c"nf_conntrack_sctp_timeout_closed", 10),
    Setting::new(c"nf_conntrack_sctp_timeout_cookie_wait", 3),
    Setting::new(c"nf_conntrack_sctp_timeout_cookie_echoed", 3),
    Setting::new(c"nf_conntrack_sctp_timeout_established", 210),
    Setting::new(c"nf_conntrack_sctp_timeout_shutdown_sent", 3),
    Setting::new(c"nf_conntrack_sctp_timeout_shutdown_recd", 3),
    Setting::new(c"nf_conntrack_sctp_timeout_shutdown_ack_sent", 3),
    Setting::new(c"nf_conntrack_sctp_timeout_heartbeat_sent", 30),
    Setting::unnamed(0),
];

/// SCTP.
pub(crate) struct Sctp;

impl L4Proto for Sctp {
    const NUMBER: u8 = ipproto::SCTP;
    const NAME: &'static str = "sctp";
    const ALLOW_CLASH: bool = false;
    const IDS: Ids = Ids::Ports(Reason::SctpShort);
    const TIMEOUTS: &'static [Setting] = &TIMEOUTS;
    const LOCKED: bool = true;

    type Timeouts = [u32; TIMEOUTS.len()];
    type Header = wire::Sctp;
    type Private = Proto;

    #[inline(always)]
    fn read<P: Packet>(
        pkt: &P,
        l4: &L4,
        family: Family,
        verify_checksum: bool,
    ) -> Result<wire::Sctp, Reason> {
        wire::Sctp::read(pkt, l4, family, verify_checksum)
    }

    #[inline(always)]
    fn track<C: Context>(
        private: &mut Proto,
        sctp: &wire::Sctp,
        input: &Input,
        timeouts: &Self::Timeouts,
        context: &mut C,
    ) -> Outcome {
        track(
            private,
            sctp,
            context.packet(),
            context.l4(),
            input,
            timeouts,
        )
    }

    fn state(private: &Proto) -> u8 {
        // CAST: There are ten of them.
        private.state as u8
    }

    fn can_early_drop(state: u8) -> bool {
        State::from_bits(state).is_closing()
    }

    fn show(private: &Proto, _status: Status, _hz: u32) -> Shown {
        Shown::State(State::from_bits(Self::state(private)).name())
    }
}

/// Whether a chunk may move the state.
enum Effect {
    Counts,
    Ignored,
}

/// Judges a packet that [`wire::Sctp::read`] found right.
///
/// Source: net/netfilter/nf_conntrack_proto_sctp.c, nf_conntrack_sctp_packet().
pub(crate) fn track<P: Packet>(
    proto: &mut Proto,
    sctp: &wire::Sctp,
    pkt: &P,
    l4: &L4,
    input: &Input,
    timeouts: &[u32; 10],
) -> Outcome {
    let mut outcome = Outcome::of(Action::Accept);
    outcome.action = match judge(proto, sctp, pkt, l4, input, &mut outcome) {
        Ok(Some(state)) => Action::Refresh(slot(timeouts, state as usize)),
        Ok(None) => Action::Accept,
        Err(reason) => Action::Invalid(reason),
    };
    outcome
}

/// Takes the packet's chunks one by one; gives the state whose timeout now counts, or `None` if the
/// timeout is not renewed. What a chunk has moved stays moved, also if a later one is wrong.
fn judge<P: Packet>(
    proto: &mut Proto,
    sctp: &wire::Sctp,
    pkt: &P,
    l4: &L4,
    input: &Input,
    outcome: &mut Outcome,
) -> Result<Option<State>, Reason> {
    let dir = input.dir();
    if !input.confirmed() {
        *proto = Proto::begin(sctp, pkt, l4)?;
    }
    if !sctp.kinds.intersects(OWN_TAG_RULE) && sctp.tag != proto.tag(dir) {
        return Err(Reason::SctpTag);
    }

    let mut new = State::None;
    let mut ignored = false;
    for chunk in chunks(pkt, l4) {
        if let Effect::Ignored = proto.check_tag(sctp, &chunk, dir, ignored)? {
            ignored = true;
            continue;
        }

        let old = proto.state();
        new = table::next(dir, chunk.kind, old).ok_or(Reason::SctpState)?;
        proto.learn_tag(&chunk, pkt, dir, old)?;

        // An INIT that is sent again and again does not keep the association alive.
        let again = old == State::Closed && new == State::Closed && input.confirmed();
        ignored |= chunk.kind == Kind::Init && again;

        proto.state = new as u32;
        outcome.protoinfo_changed |= old != new;
        outcome.assured |= old != new && new == State::Established && !input.assured();
    }
    Ok((!ignored).then_some(new))
}

impl Proto {
    /// The state of the association.
    pub(crate) fn state(&self) -> State {
        u8::try_from(self.state).map_or(State::None, State::from_bits)
    }

    fn tag(&self, dir: Direction) -> Tag {
        let [original, reply] = self.vtag;
        match dir {
            Direction::Original => original,
            Direction::Reply => reply,
        }
    }

    fn set_tag(&mut self, dir: Direction, tag: Tag) {
        let [original, reply] = &mut self.vtag;
        match dir {
            Direction::Original => *original = tag,
            Direction::Reply => *reply = tag,
        }
    }

    /// The state before the first packet of an association, if it can be the first.
    ///
    /// Source: net/netfilter/nf_conntrack_proto_sctp.c, sctp_new().
    fn begin<P: Packet>(sctp: &wire::Sctp, pkt: &P, l4: &L4) -> Result<Self, Reason> {
        if sctp.kinds.intersects(NEVER_NEW) {
            return Err(Reason::SctpNew);
        }

        let mut proto = Self::default();
        for chunk in chunks(pkt, l4) {
            match table::next(Direction::Original, chunk.kind, State::None) {
                None | Some(State::None) => return Err(Reason::SctpNew),
                Some(_) => {}
            }
            match chunk.kind {
                Kind::Init if sctp.tag != NO_TAG => return Err(Reason::SctpTag),
                Kind::Init => {
                    let tag = chunk.init_tag(pkt).ok_or(Reason::SctpChunk)?;
                    proto.set_tag(Direction::Reply, tag);
                }
                // A second path of an association that began elsewhere.
                Kind::Heartbeat => proto.set_tag(Direction::Original, sctp.tag),
                // Out of the blue; the answer has the same tag (RFC 9260 section 8.4).
                Kind::ShutdownAck => proto.set_tag(Direction::Reply, sctp.tag),
                _ => {}
            }
        }
        Ok(proto)
    }

    /// Checks the tag of a packet by the rule of one of its chunks (RFC 9260 section 8.5.1).
    ///
    /// `ignored` says whether an earlier chunk was ignored.
    fn check_tag(
        &mut self,
        sctp: &wire::Sctp,
        chunk: &Chunk,
        dir: Direction,
        ignored: bool,
    ) -> Result<Effect, Reason> {
        let right = match chunk.kind {
            Kind::Init => sctp.tag == NO_TAG,
            Kind::Abort | Kind::ShutdownComplete if chunk.tag_reflected => {
                sctp.tag == self.tag(dir.other())
            }
            Kind::Abort | Kind::ShutdownComplete | Kind::CookieEcho => sctp.tag == self.tag(dir),
            Kind::Heartbeat | Kind::HeartbeatAck => {
                return self.check_heartbeat(sctp, chunk, dir, ignored)
            }
            _ => true,
        };
        if right {
            Ok(Effect::Counts)
        } else {
            Err(Reason::SctpTag)
        }
    }

    /// Checks the tag of a packet with a heartbeat.
    ///
    /// An end that has begun again asks with its new tag. The question passes without effect, and
    /// if it is answered, the answer's tag is the one to believe.
    fn check_heartbeat(
        &mut self,
        sctp: &wire::Sctp,
        chunk: &Chunk,
        dir: Direction,
        ignored: bool,
    ) -> Result<Effect, Reason> {
        if self.tag(dir) == NO_TAG {
            self.set_tag(dir, sctp.tag);
            return Ok(Effect::Counts);
        }
        if self.tag(dir) == sctp.tag {
            self.flags &= !HEARTBEAT_TAG_FAILED;
            return Ok(Effect::Counts);
        }
        if sctp.kinds.has(Kind::Data) || ignored {
            return Err(Reason::SctpTag);
        }

        if chunk.kind == Kind::Heartbeat {
            self.flags |= HEARTBEAT_TAG_FAILED;
            self.last_dir = dir as u8;
            return Ok(Effect::Ignored);
        }
        if self.flags & HEARTBEAT_TAG_FAILED == 0 || self.last_dir == dir as u8 {
            return Err(Reason::SctpTag);
        }
        self.flags &= !HEARTBEAT_TAG_FAILED;
        self.set_tag(dir, sctp.tag);
        self.set_tag(dir.other(), NO_TAG);
        Ok(Effect::Counts)
    }

    /// Notes the tag that an INIT or INIT ACK asks for.
    ///
    /// Both ends may send INIT at once; then only the answers that repeat a tag known already are
    /// right (RFC 9260 section 5.2.1).
    fn learn_tag<P: Packet>(
        &mut self,
        chunk: &Chunk,
        pkt: &P,
        dir: Direction,
        old: State,
    ) -> Result<(), Reason> {
        match chunk.kind {
            Kind::Init | Kind::InitAck => {}
            Kind::CookieAck => {
                // The association stands, and the INITs are of the past.
                self.init = [0; 2];
                return Ok(());
            }
            _ => return Ok(()),
        }
        let tag = chunk.init_tag(pkt).ok_or(Reason::SctpChunk)?;
        let known = self.tag(dir.other());

        let [original, reply] = &mut self.init;
        let (here, there) = match dir {
            Direction::Original => (original, reply),
            Direction::Reply => (reply, original),
        };
        let both = *here != 0 && *there != 0;

        if chunk.kind == Kind::InitAck {
            let unasked = *there == 0 && known != NO_TAG;
            if (unasked || both) && known != tag {
                return Err(Reason::SctpTag);
            }
        } else if old == State::None || known != tag {
            if both {
                *there = 0;
            }
            *here = 1;
        }
        self.set_tag(dir.other(), tag);
        Ok(())
    }
}
