// SPDX-License-Identifier: GPL-2.0

//! The private state of a TCP connection: what is known of its two ends, and of the last segment.

use super::state::State;
use crate::pure::{
    tuple::Direction,
    wire::tcp::{
        Options,
        Segment, //
    }, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes, //
};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Peer {
    /// The highest end of a segment that it sent.
    pub(crate) td_end: u32,
    /// The highest end that the other end's windows let it send.
    pub(crate) td_maxend: u32,
    /// The largest window that it offered, scaled; zero if it sent nothing yet.
    pub(crate) td_maxwin: u32,
    /// The highest acknowledgment that it sent, with [`peer_flag::MAXACK_SET`].
    pub(crate) td_maxack: u32,
    /// By how many bits it shifts its windows.
    pub(crate) td_scale: u8,
    /// See [`peer_flag`].
    pub(crate) flags: u8,
    /// Room up to the kernel's size, of no meaning.
    pub(crate) padding: [u8; 2],
}

impl Peer {
    pub(super) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// What is known of a peer from the segment it begins with.
    pub(super) fn begins(&mut self, seg: &Segment) {
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
    pub(super) fn reset(&mut self) {
        *self = Self {
            flags: self.flags & peer_flag::BE_LIBERAL,
            ..Self::default()
        };
    }
}

/// The flags of a peer that has sent these options in its SYN.
pub(super) const fn option_flags(options: &Options) -> u8 {
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
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

impl Proto {
    /// The state of the connection.
    pub(crate) const fn state(&self) -> State {
        State::from_bits(self.state)
    }

    /// The two ends: the sender in a direction, and the receiver.
    pub(super) fn ends(&mut self, dir: Direction) -> (&mut Peer, &mut Peer) {
        let [original, reply] = &mut self.seen;
        match dir {
            Direction::Original => (original, reply),
            Direction::Reply => (reply, original),
        }
    }

    /// The direction of the last segment.
    pub(super) const fn last_dir(&self) -> Direction {
        Direction::from_bits(self.last_dir)
    }
}
