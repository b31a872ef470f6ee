// SPDX-License-Identifier: GPL-2.0

//! The tracker of GRE, plain and as PPTP uses it.

use crate::pure::{
    l4proto::{
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
        Setting,
        MINUTES,
        REPLIED,
        UNREPLIED, //
    },
    wire::{
        ipproto,
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

/// The private state, laid out as the kernel's `struct nf_ct_gre`.
///
/// The timeouts are kept in the connection, because the PPTP helper lengthens them.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Proto {
    /// Timeout once packets were seen in both directions, in jiffies.
    pub(crate) stream_timeout: u32,
    /// Timeout before that, in jiffies.
    pub(crate) timeout: u32,
}

const _: () = assert!(size_of::<Proto>() == 8);

/// The timeouts. Source: net/netfilter/nf_conntrack_proto_gre.c, gre_timeouts.
pub(crate) const TIMEOUTS: [Setting; 2] = [
    Setting::new(c"nf_conntrack_gre_timeout", 30),
    Setting::new(c"nf_conntrack_gre_timeout_stream", 3 * MINUTES),
];

/// GRE.
pub(crate) struct Gre;

impl L4Proto for Gre {
    const NUMBER: u8 = ipproto::GRE;
    const NAME: &'static str = "gre";
    const IDS: Ids = Ids::Call;
    const TIMEOUTS: &'static [Setting] = &TIMEOUTS;

    type Timeouts = [u32; TIMEOUTS.len()];
    type Header = ();
    type Private = Proto;

    #[inline(always)]
    fn read<P: Packet>(
        _pkt: &P,
        _l4: &L4,
        _family: Family,
        _verify_checksum: bool,
    ) -> Result<(), Reason> {
        Ok(())
    }

    #[inline(always)]
    fn track<C: Context>(
        private: &mut Proto,
        _header: &(),
        input: &Input,
        timeouts: &Self::Timeouts,
        _context: &mut C,
    ) -> Outcome {
        track(private, input, timeouts)
    }

    fn show(private: &Proto, _status: Status, hz: u32) -> Shown {
        // There are jiffies in a second.
        match (
            private.timeout.checked_div(hz),
            private.stream_timeout.checked_div(hz),
        ) {
            (Some(timeout), Some(stream_timeout)) => Shown::Timeouts {
                timeout,
                stream_timeout,
            },
            _ => Shown::Nothing,
        }
    }
}

/// Judges a packet.
///
/// Source: net/netfilter/nf_conntrack_proto_gre.c, nf_conntrack_gre_packet().
pub(crate) fn track(proto: &mut Proto, input: &Input, timeouts: &[u32; 2]) -> Outcome {
    if !input.confirmed() {
        proto.stream_timeout = slot(timeouts, REPLIED);
        proto.timeout = slot(timeouts, UNREPLIED);
    }

    if !input.seen_reply() {
        return Outcome::refresh(proto.timeout);
    }

    let mut outcome = Outcome::refresh(proto.stream_timeout);
    // An entry that lost a clash is not findable in the original direction, and is to go away soon.
    outcome.assured = !input.assured() && !input.status.contains(Status::NAT_CLASH);
    outcome
}
