// SPDX-License-Identifier: GPL-2.0

//! Another number of buckets, while packets go on.

use super::{
    buckets::Buckets,
    Table, //
};
use crate::{
    object::conn::Candidate,
    sys::{
        nulls::{
            Link,
            Node, //
        },
        rcu::ReadSide, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Full,
            Relaxed,
            Release, //
        },
        barrier::smp_mb,
        rcu, //
    },
};

impl Table {
    /// Gives the table another number of buckets, or a few more. Process context, sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the number is zero or above [`super::MAX_SIZE`], `ENOMEM`.
    pub(crate) fn resize(&self, size: u32) -> Result {
        let new = Buckets::new(size)?;
        let walk = self.walk().ok_or(ENODEV)?;
        let guard = rcu::read_lock();
        let old = self.buckets.get(ReadSide::of(&guard)).ok_or(ENODEV)?;
        if old.size() == new.size() {
            return Ok(());
        }

        let locks = self.locks.lock_all();
        self.moving.store(true, Relaxed);
        // Pairs with the barrier in `is_stale`.
        smp_mb(Full);
        for bucket in old.all() {
            while let Link::Node(node) = bucket.head.first() {
                // SAFETY: All locks are held; what is in the list is a connection's.
                let candidate = unsafe { Candidate::new(node) };
                let Some(to) = new.bucket(new.index(candidate.hash())) else {
                    break;
                };
                // SAFETY: All locks are held, and the connection is in the one list, then in the
                // other.
                unsafe {
                    Node::remove(node);
                    to.head.add(node);
                }
            }
        }
        new.show();
        let replaced = self.buckets.replace(Some(new));
        self.moving.store(false, Release);
        drop(locks);
        drop(guard);
        drop(walk);
        // Waits for those who read the old buckets.
        drop(replaced);
        Ok(())
    }
}
