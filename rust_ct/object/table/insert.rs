// SPDX-License-Identifier: GPL-2.0

//! How a connection gets into the table, and out of it.

use super::{
    buckets::Bucket,
    Table, //
};
use crate::{
    object::{
        conn::{
            Candidate,
            Conn,
            Dying,
            UniqueConn, //
        },
        dying::Unlinked,
        recent,
        stat::Stat,
        trace, //
    },
    pure::{
        fate::{
            Begun,
            Refused, //
        },
        state::Status,
        tuple::Direction, //
    },
    sys::{
        barrier,
        lock::Guard,
        nulls::Node,
        rcu::ReadSide,
        time::{
            self,
            HZ, //
        },
        trace as point, //
    },
};
use core::{
    ops::ControlFlow,
    ptr, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        rcu, //
    },
};

/// A bucket refuses connections from somewhere between this length on ...
const MIN_CHAIN: u32 = 50;
/// ... and this many more: no sender knows where, so none can fill it up to just below.
///
/// Source: net/netfilter/nf_conntrack_core.c, MIN_CHAINLEN and MAX_CHAINLEN.
const CHAIN_SPREAD: u32 = 30;

/// What is not inserted: what was confirmed, or is over, and templates, which a slab of the table's
/// does not hold.
const REFUSED: Status = Status::CONFIRMED.with(Status::DYING).with(Status::TEMPLATE);

/// What came of the look for a place.
pub(crate) enum Place<'a> {
    /// No connection is in the way.
    Free,
    /// Another connection has one of the tuples already.
    Taken(Candidate<'a>),
    /// One of the buckets is too crowded.
    Crowded,
}

/// Why a connection is not admitted to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It was confirmed already.
    Confirmed,
    /// It was ended before it was confirmed.
    Dying,
    /// There is no table.
    NoTable,
}

/// A connection that may be inserted: the holder has the lock of its bucket, or of both.
///
/// # Invariants
///
/// The connection is not in the table, and no other caller can insert it: that takes the lock of
/// the bucket of its original hash.
pub(crate) struct Admission<'a> {
    conn: &'a Conn,
    pair: LockedPair<'a>,
    /// The hash of the replies' key.
    reply_hash: u32,
}

/// Two buckets whose locks are held, or one.
struct LockedPair<'a> {
    original: Bucket<'a>,
    reply: Bucket<'a>,
    rcu: ReadSide<'a>,
    _guard: Guard<'a>,
}

impl Table {
    /// The buckets in which connections with these hashes are, or would be. They may be in other
    /// buckets the next moment, unless their locks are held.
    #[inline(always)]
    fn homes<'a, const N: usize>(
        &self,
        hashes: [u32; N],
        rcu: ReadSide<'a>,
    ) -> Option<[Bucket<'a>; N]> {
        let buckets = self.buckets.get(rcu)?;
        let mut homes = [buckets.of(0)?; N];
        for (home, hash) in homes.iter_mut().zip(hashes) {
            *home = buckets.of(hash)?;
        }
        if let Some(next) = self.next.get(rcu) {
            let moved = self.moved.load() as usize;
            for (home, hash) in homes.iter_mut().zip(hashes) {
                if home.index < moved {
                    *home = next.of(hash)?;
                }
            }
        }
        Some(homes)
    }

    /// Takes the locks of the buckets of two hashes. Inline, so that the pair is made where it
    /// stays.
    #[inline(always)]
    fn lock_pair<'a>(
        &'a self,
        original: u32,
        reply: u32,
        rcu: ReadSide<'a>,
    ) -> Option<LockedPair<'a>> {
        loop {
            let changes = self.changes.load();
            // Pairs with the barrier in `changed`: what is read now was not decided before.
            barrier::read();
            let (original, reply, guard) = if original == reply {
                let [home] = self.homes([original], rcu)?;
                (home, home, self.locks.lock_one(home.index))
            } else {
                let [original, reply] = self.homes([original, reply], rcu)?;
                let guard = self.locks.lock_pair(original.index, reply.index);
                (original, reply, guard)
            };
            // Changing where connections are takes all locks: if it was not done before, it is not
            // now.
            if self.changes.load() == changes {
                return Some(LockedPair {
                    original,
                    reply,
                    rcu,
                    _guard: guard,
                });
            }
        }
    }

    /// Admits an unconfirmed connection: takes the locks of its buckets. Any context, with none of
    /// the table's locks held.
    ///
    /// # Errors
    ///
    /// Why it is not to be inserted.
    #[inline]
    pub(crate) fn admit<'a>(
        &'a self,
        conn: &'a Conn,
        rcu: ReadSide<'a>,
    ) -> Result<Admission<'a>, Refusal> {
        let reply_hash = conn.hash_of_replies();
        let pair = self
            .lock_pair(conn.hash(Direction::Original), reply_hash, rcu)
            .ok_or(Refusal::NoTable)?;
        let status = conn.status();
        if status.intersects(REFUSED) {
            return Err(match status.contains(Status::CONFIRMED) {
                true => Refusal::Confirmed,
                false => Refusal::Dying,
            });
        }
        // INVARIANT: It is not CONFIRMED, nor a template, and its lock is held.
        Ok(Admission {
            conn,
            pair,
            reply_hash,
        })
    }

    /// Inserts a connection that user space or a BPF program has made, and which has no reference
    /// yet: then it has one, the caller's, beside the table's. Any context.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_hash_check_insert().
    ///
    /// # Errors
    ///
    /// `EEXIST` if a connection has one of its tuples, `ENOSPC` if its bucket is too crowded; then
    /// it has no reference.
    pub(crate) fn insert(&self, unique: UniqueConn) -> Result<ARef<Conn>, (UniqueConn, Error)> {
        // SAFETY: The connection is `unique`'s, then that of its first reference, which both are
        // given back to the caller.
        let conn = unsafe { &*ptr::from_ref(unique.conn()) };
        let reply_hash = conn.hash_of_replies();
        let guard = rcu::read_lock();
        let rcu = ReadSide::of(&guard);
        let original_hash = conn.hash(Direction::Original);
        let Some(pair) = self.lock_pair(original_hash, reply_hash, rcu) else {
            trace::conn::<point::Refused>(conn, Refused::NoTable.word());
            return Err((unique, ENOENT));
        };
        // INVARIANT: No other code has the connection.
        let admission = Admission {
            conn,
            pair,
            reply_hash,
        };
        let (error, why) = match admission.place() {
            Place::Free => {
                let published = unique.publish();
                admission.insert();
                if let Some(netns) = conn.netns() {
                    netns.stats.count(Stat::Insert);
                    netns.newcomers.note(original_hash);
                }
                recent::note(conn, rcu);
                trace::conn::<point::Confirmed>(conn, Begun::Inserted.word());
                return Ok(published);
            }
            Place::Taken(_) => (EEXIST, Refused::Taken),
            Place::Crowded => {
                count(conn, Stat::ChainTooLong);
                (ENOSPC, Refused::Crowded)
            }
        };
        drop(admission);
        trace::conn::<point::Refused>(conn, why.word());
        Err((unique, error))
    }

    /// Unlinks a connection that is dying; `None` if it was not in the table. Any context, with
    /// none of the table's locks held.
    pub(crate) fn unlink(&self, dying: Dying<'_>) -> Option<Unlinked> {
        let conn = dying.conn();
        let hash = |dir| conn.hash(dir);
        let rcu = rcu::read_lock();
        // A CPU that confirms the connection meanwhile writes the hash of its replies, with the
        // lock of the other bucket held.
        let pair = loop {
            let reply = hash(Direction::Reply);
            let pair = self.lock_pair(hash(Direction::Original), reply, ReadSide::of(&rcu))?;
            if hash(Direction::Reply) == reply {
                break pair;
            }
        };
        // A CPU that confirms it holds the lock too, and finds it dying.
        if !conn.status().contains(Status::CONFIRMED) {
            return None;
        }
        for dir in Direction::BOTH {
            // SAFETY: A confirmed connection is in the table, and there is one `Dying` of each and
            // none of a template; its buckets' locks are held.
            unsafe { Node::remove(conn.node(dir)) };
        }
        drop(pair);
        // SAFETY: The table's reference, which was taken when the connection was inserted, and its
        // links are in no list.
        Some(unsafe { Unlinked::new(ARef::from_raw(ptr::NonNull::from(conn))) })
    }
}

fn count(conn: &Conn, stat: Stat) {
    if let Some(netns) = conn.netns() {
        netns.stats.count(stat);
    }
}

impl Admission<'_> {
    /// Returns whether both directions have the same hash, and so the same bucket.
    #[inline(always)]
    fn has_one_home(&self) -> bool {
        self.reply_hash == self.conn.hash(Direction::Original)
    }

    /// Returns whether the link of the original direction is enough: a lookup of the other
    /// direction meets it. Where the zone differs for replies, no lookup of a reply takes that
    /// link, even if the hashes happen to be equal. If a host talks to itself, the link of the
    /// replies is the first in the bucket: what follows the first packet counts as an answer. A
    /// resize turns the order round, as with nf_conntrack.
    #[inline(always)]
    fn is_single(&self) -> bool {
        self.has_one_home() && !self.conn.zone().is_one_way() && !self.conn.answers_itself()
    }

    /// Looks whether there is room for the connection, and none in the table has one of its tuples.
    #[inline]
    pub(crate) fn place(&self) -> Place<'_> {
        let (original, reply) = (Direction::Original, Direction::Reply);
        // No sender knows the hash, and the part of it that its bucket does not depend on is as
        // good as random. A packet that is sent again, a second later, has another chance.
        let spread = || self.reply_hash.wrapping_add(time::now() / HZ) % CHAIN_SPREAD;
        let is_crowded = |length| length > MIN_CHAIN && length > MIN_CHAIN + spread();
        if self.has_one_home() {
            return self.look_for([original, reply], self.pair.original, is_crowded);
        }
        match self.look_for([original], self.pair.original, is_crowded) {
            Place::Free => self.look_for([reply], self.pair.reply, is_crowded),
            obstacle => obstacle,
        }
    }

    /// The connection that has the tuple of the replies.
    pub(crate) fn reply_taken(&self) -> Option<Candidate<'_>> {
        match self.look_for([Direction::Reply], self.pair.reply, |_| false) {
            Place::Taken(candidate) => Some(candidate),
            _ => None,
        }
    }

    /// Looks through one of the buckets for a connection that has one of the connection's tuples,
    /// those of these directions; the tuple of an earlier direction is preferred. `is_crowded` says
    /// whether so many of one namespace are too many.
    #[inline]
    fn look_for<'b, const N: usize>(
        &'b self,
        dirs: [Direction; N],
        bucket: Bucket<'b>,
        is_crowded: impl Fn(u32) -> bool,
    ) -> Place<'b> {
        let net = self.conn.net();
        let mut length = 0u32;
        let mut taken = [None; N];
        let walked = bucket.walk(self.pair.rcu, |candidate| {
            // What other namespaces have in the bucket is not held against this one.
            length = length.saturating_add(candidate.is_of(net).into());
            for (taken, dir) in taken.iter_mut().zip(dirs) {
                if candidate.has_key_of(self.conn, dir) {
                    *taken = taken.or(Some(candidate));
                }
            }
            match is_crowded(length) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        match taken.into_iter().flatten().next() {
            Some(candidate) => Place::Taken(candidate),
            None if matches!(walked, Some(ControlFlow::Break(()))) => Place::Crowded,
            None => Place::Free,
        }
    }

    /// Inserts the connection, which the table takes a reference to, and confirms it.
    ///
    /// CONFIRMED comes after the links: a reader that meets the memory while it is being reused, or
    /// before both links are there, must not take it for a connection that is in the table.
    #[inline(always)]
    pub(crate) fn insert(self) {
        self.link(Direction::Original, self.pair.original);
        if self.is_single() {
            self.leave_out(Direction::Reply);
        } else {
            self.link(Direction::Reply, self.pair.reply);
        }
        self.confirm();
    }

    /// Inserts the connection by its replies alone, because the tuple of its first packet is taken.
    pub(crate) fn insert_reply(self) {
        self.leave_out(Direction::Original);
        self.link(Direction::Reply, self.pair.reply);
        self.confirm();
    }

    /// Lets one of the links be in no list of the table.
    fn leave_out(&self, dir: Direction) {
        // SAFETY: By the type invariant, neither link is in a list.
        unsafe { Node::add_alone(self.conn.node(dir)) };
    }

    fn link(&self, dir: Direction, bucket: Bucket<'_>) {
        // SAFETY: The lock of the bucket is held. By the type invariant, the link is in no list; it
        // is removed before the memory is given back.
        unsafe { bucket.head.add(self.conn.node(dir)) };
    }

    fn confirm(&self) {
        // SAFETY: Its locks are held, and the connection is not in the table.
        unsafe { self.conn.store_hash(Direction::Reply, self.reply_hash) };
        // The table's reference, given back in `Table::unlink`.
        let _ = ARef::into_raw(ARef::from(self.conn));
        // SAFETY: Both links are where they stay, and the table has its reference.
        unsafe { self.conn.set_confirmed() };
    }
}
