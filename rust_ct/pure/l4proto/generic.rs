// SPDX-License-Identifier: GPL-2.0

//! The tracker of every protocol that has none of its own.
//!
//! Source: net/netfilter/nf_conntrack_core.c, generic_packet().

use crate::pure::{
    l4proto::{
        Context,
        Ids,
        Input,
        L4Proto,
        Outcome, //
    },
    reason::Reason,
    timeout::{
        Setting,
        MINUTES, //
    },
    wire::{
        Family,
        Packet,
        L4, //
    },
};

/// Every protocol that has no tracker of its own.
pub(crate) struct Generic;

impl L4Proto for Generic {
    /// The number that stands for them, which no protocol has.
    const NUMBER: u8 = 255;
    const NAME: &'static str = "unknown";
    const IDS: Ids = Ids::None;
    /// Source: net/netfilter/nf_conntrack_proto_generic.c.
    const TIMEOUTS: &'static [Setting] =
        &[Setting::new(c"nf_conntrack_generic_timeout", 10 * MINUTES)];

    type Timeouts = [u32; 1];
    type Header = ();
    type Private = ();

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
        _private: &mut (),
        _header: &(),
        _input: &Input,
        timeouts: &Self::Timeouts,
        _context: &mut C,
    ) -> Outcome {
        track(timeouts)
    }
}

/// Every packet renews the timeout (jiffies).
pub(crate) const fn track(timeouts: &[u32; 1]) -> Outcome {
    let [timeout] = *timeouts;
    Outcome::refresh(timeout)
}
