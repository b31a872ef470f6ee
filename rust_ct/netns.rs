// SPDX-License-Identifier: GPL-2.0

//! What the tracker keeps for each network namespace.

use crate::{
    stat::COUNT,
    sys::{
        hook::Set,
        netns_ct::Published,
        pernet::{
            Here,
            Slot, //
        },
        proc,
        time, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Mutex, //
    },
};

/// The states of all namespaces.
pub(crate) static NETNS: Slot<Netns> = Slot::new();

/// How many connections a namespace may hold, `nf_conntrack_max`.
pub(crate) static MAX: Atomic<u32> = Atomic::new(0);

/// At most one line about a full table is logged in this many jiffies.
const WARN_INTERVAL: u32 = 5 * time::HZ;

/// The state of one namespace.
#[pin_data]
pub(crate) struct Netns {
    /// Connections, confirmed or not.
    count: Atomic<i32>,
    /// What became of packets.
    pub(crate) stats: Published<COUNT>,
    /// When the last line about a full table was logged, in jiffies.
    warned: Atomic<u32>,
    /// The hooks of IPv4, which see packets while somebody wants them to.
    #[pin]
    pub(crate) hooks_ipv4: Set,
    /// The hooks of IPv6.
    #[pin]
    pub(crate) hooks_ipv6: Set,
    /// The files in /proc/net.
    #[pin]
    pub(crate) files: Mutex<Option<[proc::File; 3]>>,
}

impl Netns {
    /// The state of a namespace without connections. Process context.
    pub(crate) fn new(here: Here<'_>) -> impl PinInit<Self, Error> + '_ {
        try_pin_init!(Self {
            count: Atomic::new(0),
            stats: here.counters()?,
            warned: Atomic::new(time::now().wrapping_sub(WARN_INTERVAL)),
            hooks_ipv4 <- Set::new(),
            hooks_ipv6 <- Set::new(),
            files <- kernel::new_mutex!(None, "rust_ct_files"),
        })
    }

    /// Counts a connection that is about to be made; gives the number of connections with it. The
    /// caller makes it, or calls [`Netns::uncount`]. Any context.
    pub(crate) fn count(&self) -> u32 {
        let before = self.count.fetch_add(1, Full);
        before.wrapping_add(1).max(0).unsigned_abs()
    }

    /// Counts a connection whose memory was given back. Any context.
    pub(crate) fn uncount(&self) {
        self.count.fetch_sub(1, Full);
    }

    /// How many connections there are, confirmed or not.
    pub(crate) fn connections(&self) -> u32 {
        self.count.load(Relaxed).max(0).unsigned_abs()
    }

    /// Tells whether a line about a full table is due. Any context.
    pub(crate) fn may_warn(&self) -> bool {
        let (now, last) = (time::now(), self.warned.load(Relaxed));
        // Of those who come at once, one wins.
        now.wrapping_sub(last) >= WARN_INTERVAL && self.warned.cmpxchg(last, now, Relaxed).is_ok()
    }
}
