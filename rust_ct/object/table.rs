// SPDX-License-Identifier: GPL-2.0

//! The table of confirmed connections: one for the machine, read under RCU.
//!
//! Each connection is in it by the key of packets in each direction. The two keys have the same
//! hash unless NAT, a zone of one direction or the protocol makes them differ: then one link is
//! enough, that of the original direction, and a reader that meets it asks for both keys. Otherwise
//! there is a link for each. A bucket is a list, and its number is the hash scaled to the number of
//! buckets: buckets are in the order of hashes whatever the size of the table, which is what lets a
//! [`Cursor`] go on through a table that is resized meanwhile.
//!
//! The table links and unlinks, and does no more: connections are ended by
//! [`crate::datapath::end`].
//!
//! # Locking
//!
//! Readers hold RCU and nothing else. A writer holds the lock of each bucket that it writes to;
//! bucket `i` has the lock `i` modulo [`LOCKS`]. Resizing holds all of them, time and again. The
//! mutex `walk` is for callers that go through the whole table and sleep on the way.
//!
//! Lock order: `walk`, then the locks of [`Locks`] in its order, then those that the last reference
//! to a connection takes (Documentation/locking.md).

mod buckets;
mod insert;
mod lookup;
mod resize;
mod walk;

pub(crate) use buckets::{
    MAX_SIZE,
    STEP, //
};
pub(crate) use insert::{
    Admission,
    Place,
    Refusal, //
};
pub(crate) use lookup::{
    Found,
    Looked, //
};
pub(crate) use walk::{
    Cursor,
    Visit,
    Which, //
};

use self::buckets::{
    Buckets,
    Side, //
};
use crate::{
    bindings,
    sys::{
        barrier,
        field::Field,
        lock::{
            self,
            Lock,
            Locks, //
        },
        rcu::ReadSide,
        rcu_box::RcuBox, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full, //
        },
        rcu, //
    },
};

/// How many locks the buckets share. They are `nf_conntrack_locks`, which ctnetlink takes too.
pub(crate) const LOCKS: usize = bindings::CONNTRACK_LOCKS as usize;

/// The table of the machine.
pub(crate) static TABLE: Table = Table::new();

kernel::sync::global_lock! {
    // SAFETY: Initialised in `Table::set_up`, before first use.
    unsafe(uninit) static WALK: Mutex<()> = ();
}

/// A table of connections.
///
/// # Invariants
///
/// `buckets` is empty before [`Table::set_up`] and after its result was dropped. `next` has buckets
/// while the table is resized, under `WALK`; the first `moved` of `buckets` are empty then, and
/// what belongs there is in `next`. A CPU that changes where connections are holds all locks, and
/// counts `changes` up. `WALK` is initialised before there are buckets.
pub(crate) struct Table {
    buckets: RcuBox<Buckets>,
    next: RcuBox<Buckets>,
    moved: Field<u32>,
    changes: Field<u32>,
    locks: Locks<LOCKS>,
    /// Raised by [`Table::set_up`].
    used: Atomic<bool>,
}

impl Table {
    const fn new() -> Self {
        Self {
            buckets: RcuBox::new(),
            next: RcuBox::new(),
            moved: Field::new(0),
            changes: Field::new(0),
            locks: Locks::new(&lock::nf_conntrack_locks),
            used: Atomic::new(false),
        }
    }

    /// Makes the table, with `size` buckets or a few more. Process context.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the size is out of range, `ENOMEM`, and `EBUSY` if that was done before.
    pub(crate) fn set_up(&'static self, size: u32) -> Result<SetUp> {
        let buckets = Buckets::new(size, Side::One)?;
        if self.used.xchg(true, Full) {
            return Err(EBUSY);
        }
        // SAFETY: This is the one call that raised `used`, and no lock is taken before there are
        // buckets.
        unsafe {
            self.locks
                .init(c"rust_ct_bucket", kernel::static_lock_class!());
            WALK.init();
        }
        buckets.show();
        // There was none before, so there is no reader to wait for.
        drop(self.buckets.replace(Some(buckets)));
        Ok(SetUp { table: self })
    }

    /// Waits until no other task goes through the whole table; `None` while there is no table.
    /// Process context, sleeps.
    fn walk(&self) -> Option<kernel::sync::lock::GlobalGuard<WALK>> {
        // By the type invariant, the mutex is initialised if there are buckets.
        (self.size() != 0).then(|| {
            // Pairs with the exchange in `set_up`.
            barrier::read();
            WALK.lock()
        })
    }

    /// The number of buckets; zero while there is no table.
    pub(crate) fn size(&self) -> u32 {
        let guard = rcu::read_lock();
        let buckets = self.buckets.get(ReadSide::of(&guard));
        buckets.map_or(0, Buckets::size)
    }

    /// The buckets to look at after the current ones were looked at, while the table is resized.
    #[inline]
    fn next<'a>(&self, rcu: ReadSide<'a>) -> Option<&'a Buckets> {
        // Pairs with the barrier in `Head::take_over`: a reader that saw that a connection had left
        // sees the buckets that it went to, and the connection there.
        barrier::read();
        self.next.get(rcu)
    }

    /// Returns whether these are the current buckets, so that a reader that has just looked through
    /// one of them, and then into the [`Table::next`] ones, has missed nothing.
    #[inline]
    fn is_current(&self, buckets: &Buckets) -> bool {
        // Pairs with `RcuBox::take_over`: a reader that saw that there are no next buckets any more
        // sees that they are the current ones.
        barrier::read();
        self.buckets.is(buckets)
    }

    /// To be called before a search that was led into another list begins anew. Any context, with
    /// none of the table's locks held.
    ///
    /// A task that moves a connection leads readers that meet it astray, until it has left its old
    /// list: some instructions. With `CONFIG_PREEMPT_RT` a reader may have preempted that task
    /// between them: the task gets no further while the reader searches.
    ///
    /// Source: include/linux/seqlock.h, SEQCOUNT_LOCKNAME(): so do readers of nf_conntrack's
    /// `nf_conntrack_generation`.
    #[inline]
    fn astray(&self) {
        if cfg!(CONFIG_PREEMPT_RT) {
            self.locks.wait();
        }
    }

    /// Takes one of the bucket locks, once no task holds them all, for a caller that releases it
    /// and looks at `nf_conntrack_hash` meanwhile: all connections are there. Softirqs are off.
    ///
    /// Where the table is being resized, what is left is moved first, at once: ctnetlink's dump
    /// would not tell of those that went over.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_lock().
    pub(crate) fn take_lock(&self, lock: &Lock) {
        while !self.locks.take_for_caller(lock, || !self.is_moving()) {
            self.move_some(u32::MAX);
        }
    }
}

/// The table is there while this lives. All connections must be out of it before it is dropped.
pub(crate) struct SetUp {
    table: &'static Table,
}

impl Drop for SetUp {
    fn drop(&mut self) {
        // Another task may just be writing another size.
        let walk = self.table.walk();
        drop(self.table.buckets.replace(None));
        drop(walk);
    }
}
