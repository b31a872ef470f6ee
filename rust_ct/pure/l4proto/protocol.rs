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
