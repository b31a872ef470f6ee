// SPDX-License-Identifier: GPL-2.0

//! What there is to say about a transport protocol.

use crate::pure::{
    l4proto::{
        Context,
        Ids,
        Input,
        Outcome,
        Shown, //
    },
    reason::Reason,
    state::Status,
    timeout::{
        Jiffies,
        Setting, //
    },
    wire::{
        Checksum,
        Family,
        Packet,
        L4, //
    },
};
use zerocopy::{
    FromBytes,
    Immutable,
    IntoBytes, //
};

/// A transport protocol, or all that have no tracker of their own.
pub(crate) trait L4Proto {
    /// The number (IANA).
    const NUMBER: u8;

    /// The name, as in /proc/net/nf_conntrack.
    const NAME: &'static str;

    /// Whether two connections that begin at once may be merged at confirmation.
    const ALLOW_CLASH: bool = true;

    /// What its tuples hold.
    const IDS: Ids;

    /// The timeouts, with the kernel's indices.
    const TIMEOUTS: &'static [Setting];

    /// The timeout of a connection that a flow table handles.
    const OFFLOAD_TIMEOUT: Option<Setting> = None;

    /// Whether the private state changes once a connection is confirmed, and so has to be locked.
    const LOCKED: bool = false;

    /// How many bytes the private state has of the end that sends in the original direction, which
    /// it begins with, and then of the other one.
    const END: usize = 0;

    /// As many numbers as there are timeouts, in jiffies.
    type Timeouts: Jiffies;

    /// What the tracker reads of a packet.
    type Header;

    /// What the tracker keeps of a connection, laid out as the kernel has it.
    type Private: Copy + FromBytes + IntoBytes + Immutable;

    /// Reads the header of a packet, and checks it; its checksum if `verify_checksum` says so.
    ///
    /// # Errors
    ///
    /// The reason for which the packet is INVALID.
    fn read<P: Packet>(
        pkt: &P,
        l4: &L4,
        family: Family,
        verify_checksum: bool,
    ) -> Result<Self::Header, Reason>;

    /// Judges a packet.
    fn track<C: Context>(
        private: &mut Self::Private,
        header: &Self::Header,
        input: &Input,
        timeouts: &Self::Timeouts,
        context: &mut C,
    ) -> Outcome;

    /// As [`L4Proto::read`], of what most packets of the protocol are, but for the checksum. `None`
    /// of others, whatever there is to read of them.
    #[inline(always)]
    fn read_plain<P: Packet>(_pkt: &P, _l4: &L4) -> Option<Self::Header> {
        None
    }

    /// Returns whether the checksum of a packet is right, of which [`L4Proto::read_plain`] has read
    /// the header.
    #[inline(always)]
    fn verify<P: Packet>(pkt: &P, _header: &Self::Header, l4: &L4, family: Family) -> bool {
        pkt.checksum_ok(Checksum::Internet, l4, family)
    }

    /// As [`L4Proto::track`], of a packet that only lets a confirmed connection live on, for so
    /// many jiffies, and perhaps changes the private state in what nobody is told of. `None` of
    /// others: then the private state is as good as lost, and [`L4Proto::track`] is to be asked.
    ///
    /// `timeout` gives the timeout of an index, in jiffies. Of a protocol that keeps something of
    /// each [`L4Proto::END`], the private state begins with the sender's.
    #[inline(always)]
    fn renew<C: Context>(
        _private: &mut Self::Private,
        _header: &Self::Header,
        _input: &Input,
        _timeout: impl Fn(usize) -> u32,
        _context: &mut C,
    ) -> Option<u32> {
        None
    }

    /// The number of the state that a private state says; zero where there are none.
    fn state(_private: &Self::Private) -> u8 {
        0
    }

    /// Returns whether a connection in a state may be removed early although it is assured, because
    /// it is closing.
    fn can_early_drop(_state: u8) -> bool {
        false
    }

    /// What is shown of a connection with a status, where there are `hz` jiffies in a second.
    fn show(_private: &Self::Private, _status: Status, _hz: u32) -> Shown {
        Shown::Nothing
    }

    /// The timeouts that a namespace begins with, where there are `hz` jiffies in a second.
    fn defaults(hz: u32) -> Self::Timeouts {
        Self::Timeouts::from_fn(|i| {
            let seconds = Self::TIMEOUTS.get(i).map_or(0, |setting| setting.seconds);
            seconds.saturating_mul(hz)
        })
    }
}
