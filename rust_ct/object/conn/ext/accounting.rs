// SPDX-License-Identifier: GPL-2.0

//! What a connection has sent and received, if packets are counted.

use crate::{
    object::conn::{
        ext::{
            Kind,
            Part, //
        },
        Conn, //
    },
    pure::tuple::Direction, //
};
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// Packets and bytes of one direction.
#[repr(C)]
struct Counter {
    packets: Atomic<i64>,
    bytes: Atomic<i64>,
}

/// Packets and bytes of both directions, `struct nf_conn_acct`.
#[repr(C)]
pub(crate) struct Accounting([Counter; 2]);

// SAFETY: That is what this extension is. What changes in it is atomic, or in an `UnsafeCell`.
unsafe impl Part for Accounting {
    const KIND: Kind = Kind::Accounting;
}

impl Accounting {
    /// Packets and bytes of a direction.
    pub(crate) fn get(&self, dir: Direction) -> (u64, u64) {
        let [original, reply] = &self.0;
        let counter = match dir {
            Direction::Original => original,
            Direction::Reply => reply,
        };
        // CAST: The kernel's counters wrap around.
        (
            counter.packets.load(Relaxed) as u64,
            counter.bytes.load(Relaxed) as u64,
        )
    }

    /// Counts packets of so many bytes. Any context.
    #[inline]
    fn add(&self, dir: Direction, packets: u32, bytes: u32) {
        let [original, reply] = &self.0;
        let counter = match dir {
            Direction::Original => original,
            Direction::Reply => reply,
        };
        counter.packets.add(packets.into(), Relaxed);
        counter.bytes.add(bytes.into(), Relaxed);
    }
}

impl Conn {
    /// What was counted, if packets are.
    #[inline(always)]
    pub(crate) fn accounting(&self) -> Option<&Accounting> {
        self.part()
    }

    /// Counts a packet of so many bytes, if packets are counted. Any context.
    #[inline(always)]
    pub(crate) fn account(&self, dir: Direction, bytes: u32) {
        self.account_many(dir, 1, bytes);
    }

    /// As [`Conn::account`], for packets that together have so many bytes.
    #[inline(always)]
    pub(crate) fn account_many(&self, dir: Direction, packets: u32, bytes: u32) {
        if let Some(accounting) = self.accounting() {
            accounting.add(dir, packets, bytes);
        }
    }
}
