// SPDX-License-Identifier: GPL-2.0

//! What the tracker keeps for each network namespace.

use crate::{
    object::{
        conn::Conn,
        dying::{
            DyingList,
            Unlinked, //
        },
        keymap::Keymap,
        netns_ct::Published,
        stat::COUNT, //
    },
    sys::{
        bridge,
        hook::Set,
        net::Net,
        pernet::{
            Here,
            Slot, //
        },
        proc,
        shared::machine_max,
        sysctl,
        time::Throttle, //
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

/// How many connections may be expected, `nf_conntrack_expect_max`.
pub(crate) static EXPECT_MAX: Atomic<u32> = Atomic::new(0);

/// Connections of all namespaces but the initial one, which does without it as long as it is alone.
static ELSEWHERE: Atomic<i32> = Atomic::new(0);

/// Which limit there are too many connections for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The namespace's own.
    Namespace,
    /// The machine's.
    Machine,
}

/// The state of one namespace.
#[pin_data]
pub(crate) struct Netns {
    /// Connections, confirmed or not.
    count: Atomic<i32>,
    /// Whether this is the initial namespace.
    initial: bool,
    /// How many connections the namespace may hold; zero if it has no limit of its own.
    pub(crate) max: Atomic<u32>,
    /// What became of packets.
    pub(crate) stats: Published<COUNT>,
    /// The line about a full table.
    pub(crate) warning: Throttle,
    /// How many connections are expected; written under the lock of expectations.
    pub(crate) expects: Atomic<u32>,
    /// Connections that are over, but whose DESTROY event could not be delivered.
    #[pin]
    pub(crate) dying: DyingList,
    /// The calls of PPTP.
    #[pin]
    pub(crate) keymap: Keymap,
    /// The hooks of IPv4, which see packets while somebody wants them to.
    #[pin]
    pub(crate) hooks_ipv4: Set,
    /// The hooks of IPv6.
    #[pin]
    pub(crate) hooks_ipv6: Set,
    /// The hooks of bridges.
    #[pin]
    pub(crate) hooks_bridge: bridge::Hooks,
    /// The files in /proc/net.
    #[pin]
    pub(crate) files: Mutex<Option<[proc::File; 4]>>,
    /// The files in /proc/sys/net/netfilter, and in the initial namespace that in /proc/sys/net.
    #[pin]
    pub(crate) settings: Mutex<[Option<sysctl::Files>; 2]>,
}

impl Netns {
    /// The state of a namespace without connections. Process context.
    pub(crate) fn new(here: Here<'_>) -> impl PinInit<Self, Error> + '_ {
        try_pin_init!(Self {
            count: Atomic::new(0),
            initial: here.net().is_init(),
            max: Atomic::new(0),
            stats: Published::new(here)?,
            warning: Throttle::new(),
            expects: Atomic::new(0),
            dying <- DyingList::new(),
            keymap <- Keymap::new(),
            hooks_ipv4 <- Set::new(),
            hooks_ipv6 <- Set::new(),
            hooks_bridge <- bridge::Hooks::new(),
            files <- kernel::new_mutex!(None, "rust_ct_files"),
            settings <- kernel::new_mutex!([None, None], "rust_ct_settings"),
        })
    }

    /// Counts a connection that is about to be made; names the limit that it is above, if any. The
    /// caller makes it, or calls [`Netns::uncount`]. Any context.
    pub(crate) fn count(&self) -> Option<Limit> {
        let own = positive(self.count.fetch_add(1, Full).wrapping_add(1));
        if !self.initial {
            ELSEWHERE.fetch_add(1, Relaxed);
        }
        let max = self.max.load(Relaxed);
        if max > 0 && own > max {
            return Some(Limit::Namespace);
        }
        (self.machine(own) > machine_max().load(Relaxed)).then_some(Limit::Machine)
    }

    /// Counts a connection whose memory was given back. Any context.
    pub(crate) fn uncount(&self) {
        if !self.initial {
            ELSEWHERE.fetch_sub(1, Relaxed);
        }
        self.count.fetch_sub(1, Full);
    }

    /// How many connections the machine has, where the namespace has `own`.
    fn machine(&self, own: u32) -> u32 {
        let elsewhere = positive(ELSEWHERE.load(Relaxed));
        let here = if self.initial {
            own
        } else {
            NETNS.get(Net::init()).map_or(0, Self::connections)
        };
        here.saturating_add(elsewhere)
    }

    /// Returns whether so many connections are there that some have to be removed early: within a
    /// twentieth of a limit. Any context.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, gc_worker(), which rounds as here.
    pub(crate) fn is_crowded(&self) -> bool {
        let own = self.connections();
        // A limit below a hundred is so small that making room for each newcomer is enough.
        let near = |count: u32, max: u32| max >= 100 && count >= max / 100 * 95;
        near(own, self.max.load(Relaxed)) || near(self.machine(own), machine_max().load(Relaxed))
    }

    /// How many connections there are, confirmed or not.
    pub(crate) fn connections(&self) -> u32 {
        positive(self.count.load(Relaxed))
    }
}

impl Netns {
    /// How many connections the namespace may hold: its own limit, or the machine's if it has none.
    pub(crate) fn limit(&self) -> u32 {
        let own = self.max.load(Relaxed);
        if own > 0 {
            own
        } else {
            machine_max().load(Relaxed)
        }
    }

    /// Sets the limit of the namespace; that of the initial one is the machine's.
    pub(crate) fn set_limit(&self, max: u32) {
        if self.initial {
            machine_max().store(max, Relaxed);
        } else {
            self.max.store(max, Relaxed);
        }
    }
}

impl Conn {
    /// The state of the connection's namespace.
    pub(crate) fn netns(&self) -> Option<&Netns> {
        NETNS.get(self.net())
    }
}

impl Unlinked {
    /// Adds the connection to the dying list of its namespace. Returns whether there is one. Any
    /// context.
    pub(crate) fn keep(self) -> bool {
        // SAFETY: A namespace waits for its connections, this one among them, wherever it goes.
        let net = unsafe { Net::from_raw(self.conn().net().as_ptr()) };
        let Some(netns) = NETNS.get(net) else {
            return false;
        };
        netns.dying.add(self);
        true
    }
}

/// A count that is read while others change it.
fn positive(count: i32) -> u32 {
    count.max(0).unsigned_abs()
}
