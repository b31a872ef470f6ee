// SPDX-License-Identifier: GPL-2.0

//! How many connections there may be: in a namespace, and in all of them together.
//!
//! A namespace is bound by its own count, as with nf_conntrack: what another namespace holds takes
//! nothing from it. The sum of all is bound if root asks for that (`total`), and then a namespace
//! is sure of a share of it (`share`), and the initial one of all that it may have.

use super::{
    positive,
    Netns,
    NETNS, //
};
use crate::{
    pure::timeout::{
        self,
        Adaptive, //
    },
    sys::{
        capability,
        net::Net,
        shared::machine_max,
        time::HZ, //
    },
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed, //
    },
};

/// How many connections all namespaces may hold together; zero if nothing binds their sum. The
/// parameter `total`.
pub(crate) static TOTAL: Atomic<u32> = Atomic::new(0);

/// How many of them a namespace is sure of, zero for [`PARTS`] of the sum. The parameter `share`.
pub(crate) static SHARE: Atomic<u32> = Atomic::new(0);

/// Which part of the sum a namespace is sure of where `share` is zero: so many may be full at once.
const PARTS: u32 = 64;

/// From which part of a namespace's limit on, in hundredths, the timeouts of unsettled connections
/// shrink; zero if they never do. The parameter `adaptive_start`.
pub(crate) static ADAPTIVE_START: Atomic<u32> = Atomic::new(0);

/// At which part nothing is left of them, as with pf(4). The parameter `adaptive_end`.
pub(crate) static ADAPTIVE_END: Atomic<u32> = Atomic::new(120);

/// What a timeout does not shrink below, in jiffies: what is begun can still be answered.
const LEAST: u32 = HZ;

/// Connections of all namespaces but the initial one, which does without it as long as it is the
/// only one.
static ELSEWHERE: Atomic<i32> = Atomic::new(0);

/// Which namespace has to make room for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// The namespace itself, which is at its limit, or above its share.
    Own,
    /// A namespace that is above its share.
    Others,
}

/// Returns whether timeouts shrink where a namespace is nearly full.
#[inline]
pub(crate) fn is_adaptive() -> bool {
    ADAPTIVE_START.load(Relaxed) != 0
}

/// How many connections a namespace is sure of, where there is a sum.
pub(crate) fn share() -> u32 {
    match SHARE.load(Relaxed) {
        0 => TOTAL.load(Relaxed) / PARTS,
        share => share,
    }
}

impl Netns {
    /// Counts a connection that is about to be made; returns which namespace has to make room for
    /// it, if any. The caller makes it, or calls [`Netns::uncount`]. Any context.
    pub(crate) fn count(&self) -> Option<Room> {
        let own = positive(self.count.fetch_add(1, Full).wrapping_add(1));
        if !self.initial {
            // Of two CPUs that count at once, one here and one in the initial namespace, one sees
            // both.
            ELSEWHERE.fetch_add(1, Full);
        }
        self.room(own)
    }

    /// Returns whether the namespace has room for the connections that it has, if need be at the
    /// cost of namespaces above their share. Any context.
    pub(crate) fn has_room(&self) -> bool {
        self.room(self.connections()) != Some(Room::Own)
    }

    /// Which namespace has to make room where this one has so many connections, if any.
    #[inline]
    fn room(&self, own: u32) -> Option<Room> {
        if own > self.limit() {
            return Some(Room::Own);
        }
        if !self.is_over_total(own) {
            return None;
        }
        Some(if self.exceeds_share(own) {
            Room::Own
        } else {
            Room::Others
        })
    }

    /// Counts a connection whose memory was given back. Any context.
    pub(crate) fn uncount(&self) {
        if !self.initial {
            ELSEWHERE.fetch_sub(1, Relaxed);
        }
        self.count.fetch_sub(1, Full);
    }

    /// How many connections there are, confirmed or not.
    pub(crate) fn connections(&self) -> u32 {
        positive(self.count.load(Relaxed))
    }

    /// Returns whether the namespace has more connections than it is sure of, and all together more
    /// than they may. Any context.
    pub(crate) fn exceeds_sum(&self) -> bool {
        let own = self.connections();
        self.exceeds_share(own) && self.is_over_total(own)
    }

    /// Returns whether all namespaces together are above their limit, where this one has `own`.
    fn is_over_total(&self, own: u32) -> bool {
        let total = TOTAL.load(Relaxed);
        total > 0 && self.sum(own) > total
    }

    /// How many connections all namespaces have, where this one has `own`.
    fn sum(&self, own: u32) -> u32 {
        let elsewhere = positive(ELSEWHERE.load(Relaxed));
        let here = if self.initial {
            own
        } else {
            NETNS.get(Net::init()).map_or(0, Self::connections)
        };
        here.saturating_add(elsewhere)
    }

    /// Returns whether so many connections are more than the namespace is sure of.
    fn exceeds_share(&self, own: u32) -> bool {
        !self.initial && own > share()
    }

    /// Returns whether the namespace has more connections than it is sure of. Any context.
    pub(crate) fn is_above_share(&self) -> bool {
        self.exceeds_share(self.connections())
    }

    /// Returns whether the namespace has so many connections that some have to be removed early:
    /// within a twentieth of its limit, or of the sum, unless that is its share. Any context.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, gc_worker(), which rounds as here.
    pub(crate) fn is_crowded(&self) -> bool {
        let own = self.connections();
        // A limit below a hundred is so small that making room for each new connection is enough.
        let near = |count: u32, max: u32| max >= 100 && count >= max / 100 * 95;
        near(own, self.limit())
            || self.exceeds_share(own) && near(self.sum(own), TOTAL.load(Relaxed))
    }

    /// What is left of the timeouts of connections that are not settled, in hundredths: by the
    /// namespace's limit, and by that of the sum, unless it is within its share. Any context.
    pub(crate) fn timeout_percent(&self) -> u32 {
        let adaptive = Adaptive {
            start: ADAPTIVE_START.load(Relaxed),
            end: ADAPTIVE_END.load(Relaxed),
        };
        let (own, total) = (self.connections(), TOTAL.load(Relaxed));
        let percent = adaptive.percent(own, self.limit());
        if total > 0 && self.exceeds_share(own) {
            percent.min(adaptive.percent(self.sum(own), total))
        } else {
            percent
        }
    }

    /// What is left of a timeout of a connection that is not settled, in jiffies. Any context.
    pub(crate) fn shrink(&self, jiffies: u32) -> u32 {
        timeout::part(jiffies, self.timeout_percent(), LEAST)
    }

    /// How many connections the namespace may hold: the `nf_conntrack_max` of the initial one, or
    /// less, by a limit of its own.
    pub(crate) fn limit(&self) -> u32 {
        let max = machine_max().load(Relaxed);
        if self.initial {
            return max;
        }
        // The owner of the namespace may write a limit just when root does: the lower one counts.
        [&self.max, &self.ceiling]
            .map(|limit| limit.load(Relaxed))
            .into_iter()
            .filter(|&limit| limit > 0)
            .fold(max, u32::min)
    }

    /// Sets the limit of the namespace, which is `net`; that of the initial one holds for each, and
    /// a limit above it is of no effect. Process context.
    ///
    /// # Errors
    ///
    /// `EPERM` if the caller is not root on the machine, within the namespace, and the limit is
    /// above the limit that root has set.
    pub(crate) fn set_limit(&self, net: &Net, max: u32) -> Result {
        if self.initial {
            machine_max().store(max, Relaxed);
            return Ok(());
        }
        let ceiling = self.ceiling.load(Relaxed);
        // Elsewhere, a set-uid program may write to what the owner has opened for it.
        if capability::is_network_admin() && net.is_current() {
            self.ceiling.store(max, Relaxed);
        } else if ceiling > 0 && max > ceiling {
            return Err(EPERM);
        }
        self.max.store(max, Relaxed);
        Ok(())
    }
}
