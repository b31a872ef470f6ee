// SPDX-License-Identifier: GPL-2.0

//! Another number of buckets, while packets go on.
//!
//! There are two sets of buckets for a while: the current ones and the next. Connections go over a
//! few buckets at a time, in the order of hashes, with all locks held; in between other CPUs get
//! on. A connection enters the next buckets before it leaves the current one, so a reader that
//! looks first there and then in the next ones does not miss it.

use super::{
    buckets::Buckets,
    Table, //
};
use crate::{
    object::conn::Candidate,
    sys::{
        call,
        nulls::Link,
        rcu::ReadSide,
        rcu_box::Replaced, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        barrier::{
            smp_mb,
            Write, //
        },
        rcu, //
    },
};

/// How many connections and buckets go over at a time: that takes some hundred microseconds at
/// the most, of which taking all locks is a tenth.
const SLICE: u32 = 2048;

impl Table {
    /// Gives the table another number of buckets, or a few more. Process context, sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the number is zero or above [`super::MAX_SIZE`], `ENOMEM`, `ENODEV` if there is
    /// no table (any more).
    pub(crate) fn resize(&self, size: u32) -> Result {
        let walk = self.walk().ok_or(ENODEV)?;
        let guard = rcu::read_lock();
        let old = self.buckets.get(ReadSide::of(&guard)).ok_or(ENODEV)?;
        let (old_size, side) = (old.size(), old.side());
        drop(guard);
        let new = Buckets::new(size, side.other())?;
        if new.size() == old_size {
            return Ok(());
        }
        // There are none, as `walk` is held, so there is no reader to wait for.
        drop(self.next.replace(Some(new)));
        while self.is_moving() {
            self.move_some(SLICE);
            call::rct_cond_resched();
        }
        // Waits for the readers of the old buckets: two sides are all that a reader can tell apart.
        drop(self.finish());
        drop(walk);
        Ok(())
    }

    /// Returns whether some connections are still in buckets that will be replaced. Any context.
    pub(super) fn is_moving(&self) -> bool {
        let guard = rcu::read_lock();
        let rcu = ReadSide::of(&guard);
        self.next.get(rcu).is_some()
            && self
                .buckets
                .get(rcu)
                .is_some_and(|old| self.moved.load() < old.size())
    }

    /// Moves some connections to the next buckets, if there are any: until so many were moved or
    /// buckets looked at. When all of them are there, other modules see the next buckets. Any
    /// context, with none of the table's locks held.
    pub(super) fn move_some(&self, limit: u32) {
        let guard = rcu::read_lock();
        let locks = self.locks.lock_all();
        let rcu = ReadSide::of(&guard);
        let (Some(old), Some(new)) = (self.buckets.get(rcu), self.next.get(rcu)) else {
            return;
        };
        let mut moved = self.moved.load();
        let mut done = 0u32;
        while done < limit && moved < old.size() {
            let Some(bucket) = old.bucket(moved as usize) else {
                break;
            };
            while let Link::Node(node) = bucket.head.first() {
                // SAFETY: All locks are held; what is in the list is a connection's.
                let candidate = unsafe { Candidate::new(node) };
                let Some(to) = new.bucket(new.index(candidate.hash())) else {
                    break;
                };
                // SAFETY: All locks are held, and the connection is in the one list.
                unsafe { to.head.take_over(node) };
                done = done.saturating_add(1);
            }
            moved = moved.saturating_add(1);
            done = done.saturating_add(1);
        }
        self.moved.store(moved);
        self.changed();
        if moved >= old.size() {
            new.show();
        }
        drop(locks);
        drop(guard);
    }

    /// Makes the next buckets, which have everything, the current ones. The caller holds `WALK`.
    fn finish(&self) -> Replaced<Buckets> {
        let locks = self.locks.lock_all();
        // SAFETY: A task that puts buckets into `next` holds `WALK`.
        let replaced = unsafe { self.buckets.take_over(&self.next) };
        self.moved.store(0);
        self.changed();
        drop(locks);
        replaced
    }

    /// It is decided anew where connections are. All locks are held.
    fn changed(&self) {
        // Pairs with the barrier in `lock_pair`: a CPU that reads it sees what was decided.
        smp_mb(Write);
        self.changes.store(self.changes.load().wrapping_add(1));
    }
}
