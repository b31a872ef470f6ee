// SPDX-License-Identifier: GPL-2.0

//! Counters of what became of packets.

use crate::{
    bindings::ip_conntrack_stat,
    pure::{
        payload::ftp::Refused,
        reason::Reason, //
    },
    sys::percpu::Counters, //
};

/// What is counted, in the order of the kernel's `struct ip_conntrack_stat`, which other modules
/// read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Stat {
    /// NAT found a tuple taken.
    Found,
    /// A packet could not be tracked.
    Invalid,
    /// User space, or a BPF program, entered a connection.
    Insert,
    /// A connection could not be confirmed.
    InsertFailed,
    /// Two connections that began at once became one.
    ClashResolve,
    /// A packet was dropped by tracking.
    Drop,
    /// A connection was removed to make room.
    EarlyDrop,
    /// An ICMP error could not be tracked.
    Error,
    /// A packet began a connection that was expected.
    ExpectNew,
    /// A connection was expected.
    ExpectCreate,
    /// An expectation ended.
    ExpectDelete,
    /// A lookup met a connection that was moved, and began again.
    SearchRestart,
    /// A connection could not be confirmed because its place in the table was crowded.
    ChainTooLong,
    /// A new connection was refused because the namespace had too many. Not in the kernel's
    /// structure.
    Full,
    /// A connection whose DESTROY event could not be delivered was forgotten, to make room. Not in
    /// the kernel's structure.
    EventLost,
    /// A packet renewed a timeout by less than it is otherwise, because the namespace is nearly
    /// full. Not in the kernel's structure.
    TimeoutShrunk,
}

impl Stat {
    /// All of them with the names that /proc/rust_ct_stat uses.
    pub(crate) const ALL: [(Self, &'static str); 16] = [
        (Self::Found, "found"),
        (Self::Invalid, "invalid"),
        (Self::Insert, "insert"),
        (Self::InsertFailed, "insert_failed"),
        (Self::ClashResolve, "clash_resolve"),
        (Self::Drop, "drop"),
        (Self::EarlyDrop, "early_drop"),
        (Self::Error, "icmp_error"),
        (Self::ExpectNew, "expect_new"),
        (Self::ExpectCreate, "expect_create"),
        (Self::ExpectDelete, "expect_delete"),
        (Self::SearchRestart, "search_restart"),
        (Self::ChainTooLong, "chain_too_long"),
        (Self::Full, "table_full"),
        (Self::EventLost, "event_lost"),
        (Self::TimeoutShrunk, "timeout_shrunk"),
    ];
}

/// How many counters there are: those above, then one for each reason, then one for each
/// announcement of FTP that was refused.
pub(crate) const COUNT: usize = Stat::ALL.len() + Reason::COUNT + Refused::COUNT;

// Other modules find counters by position.
const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(ip_conntrack_stat, found) == Stat::Found as usize * 4);
    assert!(offset_of!(ip_conntrack_stat, drop) == Stat::Drop as usize * 4);
    assert!(offset_of!(ip_conntrack_stat, error) == Stat::Error as usize * 4);
    assert!(offset_of!(ip_conntrack_stat, chaintoolong) == Stat::ChainTooLong as usize * 4);
    assert!(size_of::<ip_conntrack_stat>() == Stat::Full as usize * 4);
};

/// The counters of a namespace.
pub(crate) type Stats = Counters<COUNT>;

impl Stats {
    /// Counts one event. Any context.
    pub(crate) fn count(&self, stat: Stat) {
        self.add(stat as usize, 1);
    }

    /// Counts a packet that is INVALID, dropped or without effect for a reason. Any context.
    pub(crate) fn count_reason(&self, reason: Reason) {
        self.add(Self::index_of(reason), 1);
    }

    /// Counts an announcement of FTP that opens nothing. Any context.
    pub(crate) fn count_refused(&self, refused: Refused) {
        self.add(Self::index_of_refused(refused), 1);
    }

    /// The refusals are counted behind the reasons.
    fn index_of_refused(refused: Refused) -> usize {
        (Stat::ALL.len() + Reason::COUNT).wrapping_add(refused.index())
    }

    /// The reasons are counted behind the rest.
    fn index_of(reason: Reason) -> usize {
        Stat::ALL.len().wrapping_add(reason.index())
    }

    /// How often something happened on a CPU.
    pub(crate) fn on_cpu(&self, cpu: u32, stat: Stat) -> u32 {
        self.get(cpu, stat as usize)
    }

    /// How often something happened.
    pub(crate) fn total(&self, stat: Stat) -> u64 {
        self.sum(stat as usize)
    }

    /// How often a packet was INVALID, dropped or without effect for a reason.
    pub(crate) fn total_reason(&self, reason: Reason) -> u64 {
        self.sum(Self::index_of(reason))
    }

    /// How often an announcement of FTP was refused.
    pub(crate) fn total_refused(&self, refused: Refused) -> u64 {
        self.sum(Self::index_of_refused(refused))
    }
}
