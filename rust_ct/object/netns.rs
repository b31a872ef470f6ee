// SPDX-License-Identifier: GPL-2.0

//! What the tracker keeps for each network namespace.

pub(crate) mod limit;
mod newcomers;

use self::newcomers::Newcomers;
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
        sysctl,
        time::{
            self,
            Throttle, //
        }, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    },
};

/// The states of all namespaces.
pub(crate) static NETNS: Slot<Netns> = Slot::new();

/// How many connections may be expected, `nf_conntrack_expect_max`.
pub(crate) static EXPECT_MAX: Atomic<u32> = Atomic::new(0);

/// The limit of namespaces to come, but for the initial one; zero if the initial one's limit holds
/// for them. The parameter `netns_max`.
pub(crate) static NETNS_MAX: Atomic<u32> = Atomic::new(0);

/// The state of one namespace.
#[pin_data]
pub(crate) struct Netns {
    /// Connections, confirmed or not.
    count: Atomic<i32>,
    /// Whether this is the initial namespace.
    initial: bool,
    /// When this was made, in jiffies.
    since: usize,
    /// How many connections the namespace may hold; zero if it has no limit of its own.
    pub(crate) max: Atomic<u32>,
    /// The highest limit that its owner may set; zero if root has set none.
    ceiling: Atomic<u32>,
    /// Whether a TCP segment is left to its receiver where that may answer or take it, `1` or `0`;
    /// `nf_conntrack_tcp_rfc5961`.
    pub(crate) rfc5961: Atomic<u32>,
    /// Whether a segment of which its receiver may take nothing has met a connection that has a
    /// helper, `1` or `0`.
    overheard: Atomic<u32>,
    /// What became of packets.
    pub(crate) stats: Published<COUNT>,
    /// What the last thorough search for a connection that can be removed has shown, see
    /// [`Outlook`].
    ///
    /// [`Outlook`]: crate::pure::evict::Outlook
    pub(crate) outlook: Atomic<u32>,
    /// Where its last connections are.
    pub(crate) newcomers: Newcomers,
    /// The round of the worker that ends connections, in which a connection was last refused for
    /// want of room.
    pub(crate) full_in: Atomic<u32>,
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
    /// The hooks of IPv4, which see packets while a rule or a module wants them to.
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
    pub(crate) files: Mutex<Option<[proc::File; 5]>>,
    /// The files in /proc/sys/net/netfilter, and in the initial namespace that in /proc/sys/net.
    #[pin]
    pub(crate) settings: Mutex<[Option<sysctl::Files>; 2]>,
}

impl Netns {
    /// The state of a namespace without connections. Process context.
    pub(crate) fn new(here: Here<'_>) -> impl PinInit<Self, Error> + '_ {
        let initial = here.net().is_init();
        let begins_with = if initial { 0 } else { NETNS_MAX.load(Relaxed) };
        try_pin_init!(Self {
            count: Atomic::new(0),
            initial,
            since: time::jiffies(),
            max: Atomic::new(begins_with),
            ceiling: Atomic::new(begins_with),
            rfc5961: Atomic::new(1),
            overheard: Atomic::new(0),
            stats: Published::new(here)?,
            outlook: Atomic::new(0),
            newcomers: Newcomers::new(),
            full_in: Atomic::new(0),
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

    /// Returns whether no TCP segment is INVALID that its receiver may answer or take.
    pub(crate) fn leaves_to_receiver(&self) -> bool {
        self.rfc5961.load(Relaxed) != 0
    }

    /// Notes that a segment of which its receiver may take nothing goes with a connection that has
    /// a helper.
    pub(crate) fn note_overheard(&self) {
        self.overheard.store(1, Relaxed);
    }

    /// Returns whether a packet on its way may be one that no helper is to believe.
    /// The CPU that has the packet sees what was noted for it, as it was handed on.
    pub(crate) fn has_overheard(&self) -> bool {
        self.overheard.load(Relaxed) != 0
    }
}

impl Netns {
    /// For how long the namespace has been there, or this module, in jiffies.
    pub(crate) fn age(&self) -> usize {
        time::jiffies().wrapping_sub(self.since)
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
        // SAFETY: A namespace waits for its connections, this one included, wherever it goes.
        let net = unsafe { Net::from_raw(self.conn().net().as_ptr()) };
        let Some(netns) = NETNS.get(net) else {
            return false;
        };
        netns.dying.add(self);
        true
    }
}

/// A count that is read while other CPUs change it.
fn positive(count: i32) -> u32 {
    count.max(0).unsigned_abs()
}
