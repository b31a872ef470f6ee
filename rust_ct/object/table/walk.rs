// SPDX-License-Identifier: GPL-2.0

//! Walks: through the whole table, which may be resized meanwhile, or through one bucket.

use super::{
    buckets::Buckets,
    Table, //
};
use crate::{
    object::{
        conn::{
            Candidate,
            Conn, //
        },
        netns::NETNS, //
    },
    pure::{
        state::Status,
        tuple::Direction, //
    },
    sys::{
        barrier,
        call,
        net::Net,
        rcu::ReadSide, //
    },
};
use core::ops::ControlFlow;
use kernel::sync::{
    aref::ARef,
    rcu, //
};

/// A place in the order of hashes, which is that of the table whatever its size.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor {
    hash: u32,
    addr: usize,
}

impl Cursor {
    /// Before everything.
    pub(crate) const BEGIN: Self = Self { hash: 0, addr: 0 };

    /// Where a connection is that was met in the table.
    fn of(candidate: &Candidate<'_>) -> Self {
        Self {
            hash: candidate.hash(),
            addr: candidate.addr(),
        }
    }

    /// Just behind this place.
    pub(crate) fn next(self) -> Option<Self> {
        match self.addr.checked_add(1) {
            Some(addr) => Some(Self { addr, ..self }),
            None => self.hash.checked_add(1).map(|hash| Self { hash, addr: 0 }),
        }
    }
}

/// The connections that a walk meets. Each of them has one link by which it does.
#[derive(Clone, Copy)]
pub(crate) enum Which {
    /// All.
    All,
    /// Those that are listed: not those that have lost a clash, and are there by their replies
    /// alone.
    Listed,
}

impl Which {
    /// Returns whether a walk is to meet a connection by this link.
    pub(crate) fn has(self, candidate: &Candidate<'_>) -> bool {
        match (self, candidate.link()) {
            (_, Direction::Original) => true,
            (Self::Listed, Direction::Reply) => false,
            (Self::All, Direction::Reply) => candidate.has_lost_clash(),
        }
    }
}

/// What came of a visit of a bucket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visit {
    /// All of it was seen.
    Whole,
    /// The visitor broke it off.
    Broken,
    /// There is no such bucket.
    End,
}

impl Table {
    /// The first of some connections of `net` at a place or behind it, and its place. No lock is
    /// held afterwards. Process context.
    ///
    /// A walk from the beginning to the end sees each connection that is in the table throughout
    /// once, whatever comes, goes, or is resized meanwhile.
    pub(crate) fn seek(
        &self,
        from: Cursor,
        which: Which,
        net: Option<&Net>,
    ) -> Option<(ARef<Conn>, Cursor)> {
        if net.is_some_and(is_empty) {
            return None;
        }
        let mut at = Some(from);
        while let Some(from) = at {
            let mut batch = Batch::<1>::new(from, which, net);
            at = self.gather(&mut batch);
            if let [Some((at, conn))] = batch.met {
                return Some((conn, at));
            }
            call::rct_cond_resched();
        }
        None
    }

    /// Calls `f` for each connection of one bucket, unless it breaks, and says whether there is a
    /// next bucket. Any context.
    pub(crate) fn visit<'a>(
        &self,
        index: usize,
        rcu: ReadSide<'a>,
        f: impl FnMut(Candidate<'a>) -> ControlFlow<()>,
    ) -> Visit {
        let Some(bucket) = self.buckets.get(rcu).and_then(|all| all.bucket(index)) else {
            return Visit::End;
        };
        // A walk that was led astray comes by again another time.
        match bucket.walk(rcu, f) {
            Some(ControlFlow::Break(())) => Visit::Broken,
            _ => Visit::Whole,
        }
    }

    /// As [`Table::visit`], of the bucket of a hash.
    #[inline]
    pub(crate) fn visit_home<'a>(
        &self,
        hash: u32,
        rcu: ReadSide<'a>,
        f: impl FnMut(Candidate<'a>) -> ControlFlow<()>,
    ) {
        if let Some(bucket) = self.buckets.get(rcu).and_then(|all| all.of(hash)) {
            bucket.walk(rcu, f);
        }
    }

    /// The number of the bucket of a hash. Any context.
    pub(crate) fn index(&self, hash: u32, rcu: ReadSide<'_>) -> usize {
        self.buckets
            .get(rcu)
            .map_or(0, |buckets| buckets.index(hash))
    }

    /// Calls `f` for each connection of `net`, or of all namespaces. Process context, sleeps.
    pub(crate) fn for_each(&self, net: Option<&Net>, mut f: impl FnMut(&Conn)) {
        let Some(_walk) = self.walk() else {
            return;
        };
        let mut at = Some(Cursor::BEGIN);
        while let Some(from) = at.filter(|_| !net.is_some_and(is_empty)) {
            let mut batch = Batch::<BATCH>::new(from, Which::All, net);
            at = self.gather(&mut batch);
            for conn in batch.conns() {
                f(conn);
            }
            drop(batch);
            call::rct_cond_resched();
        }
    }

    /// Gathers connections from where a batch begins on, as many as it has room for, of one bucket.
    /// Returns where the walk goes on. No lock is held afterwards. Process context.
    fn gather<const N: usize>(&self, batch: &mut Batch<'_, N>) -> Option<Cursor> {
        loop {
            let guard = rcu::read_lock();
            let rcu = ReadSide::of(&guard);
            let buckets = self.buckets.get(rcu)?;
            let mut is_whole = batch.take_from(buckets, rcu);
            // While the table is resized, connections that have left are there: looked for
            // afterwards.
            if let Some(next) = self.next(rcu) {
                is_whole &= batch.take_from(next, rcu);
            }
            if is_whole && self.is_current(buckets) {
                return batch.end();
            }
            batch.clear();
            drop(guard);
            self.astray();
        }
    }
}

/// Returns whether a namespace has no connections: the table is that of all namespaces, and long
/// for a namespace that has nothing in it.
fn is_empty(net: &Net) -> bool {
    NETNS.get(net).is_none_or(|netns| netns.connections() == 0)
}

/// How many connections are gathered at once: more than most buckets have.
const BATCH: usize = 16;

/// Connections of a bucket, with a reference to each: the first ones from a place on.
struct Batch<'a, const N: usize> {
    from: Cursor,
    which: Which,
    net: Option<&'a Net>,
    met: [Option<(Cursor, ARef<Conn>)>; N],
    /// There was no room for another connection.
    is_full: bool,
    /// The batch has connections before this hash; all, if there is none.
    until: Option<u32>,
}

impl<'a, const N: usize> Batch<'a, N> {
    fn new(from: Cursor, which: Which, net: Option<&'a Net>) -> Self {
        Self {
            from,
            which,
            net,
            met: [const { None }; N],
            is_full: false,
            until: None,
        }
    }

    fn clear(&mut self) {
        *self = Self::new(self.from, self.which, self.net);
    }

    fn conns(&self) -> impl Iterator<Item = &Conn> {
        self.met.iter().flatten().map(|(_, conn)| &**conn)
    }

    /// Where the next batch begins; `None` if there is none.
    fn end(&self) -> Option<Cursor> {
        let places = self.met.iter().flatten().map(|met| met.0);
        match places.max().filter(|_| self.is_full) {
            Some(last) => last.next(),
            None => self.until.map(|hash| Cursor { hash, addr: 0 }),
        }
    }

    /// Takes the connections of the bucket in which the batch begins. The batch ends with it, or
    /// with what it was to end with before. Returns whether none may have been missed.
    fn take_from(&mut self, buckets: &Buckets, rcu: ReadSide<'_>) -> bool {
        let (from, which, net) = (self.from, self.which, self.net);
        let Some(bucket) = buckets.of(from.hash) else {
            return true;
        };
        let until = [self.until, buckets.end(from.hash)];
        self.until = until.into_iter().flatten().min();
        let is_behind =
            |at: Cursor, until: Option<u32>| until.is_some_and(|until| at.hash >= until);
        for met in &mut self.met {
            met.take_if(|met| is_behind(met.0, self.until));
        }
        let walked = bucket.walk(rcu, |candidate| {
            let at = Cursor::of(&candidate);
            let is_wanted = which.has(&candidate)
                && candidate.is_of_any(net)
                && at >= from
                && !is_behind(at, self.until);
            if is_wanted && !self.has_room_for(at) {
                self.is_full = true;
            } else if is_wanted {
                if let Some(conn) = get(candidate, at, which, net) {
                    self.take(at, conn);
                }
            }
            ControlFlow::<()>::Continue(())
        });
        walked.is_some()
    }

    /// Returns whether there is room, or a connection that comes later.
    fn has_room_for(&self, at: Cursor) -> bool {
        self.met
            .iter()
            .any(|met| met.as_ref().is_none_or(|met| at < met.0))
    }

    /// Takes a connection, in the place of the last one if there is no room.
    fn take(&mut self, at: Cursor, conn: ARef<Conn>) {
        // The connection may have been moved from one bucket to the other just now.
        if self.met.iter().flatten().any(|met| met.0 == at) {
            return;
        }
        if let Some(room) = self.met.iter_mut().find(|met| met.is_none()) {
            *room = Some((at, conn));
            return;
        }
        self.is_full = true;
        let last = self.met.iter_mut().flatten().max_by_key(|met| met.0);
        if let Some(last) = last.filter(|last| at < last.0) {
            *last = (at, conn);
        }
    }
}

/// Takes a reference to a connection that was met at a place, if it still is there, and is of
/// `net`.
fn get(
    candidate: Candidate<'_>,
    at: Cursor,
    which: Which,
    net: Option<&Net>,
) -> Option<ARef<Conn>> {
    let conn = candidate.get().filter(|conn| {
        which.has(&candidate)
            && candidate.is_of_any(net)
            && Cursor::of(&candidate) == at
            && conn.status().contains(Status::CONFIRMED)
    });
    // As in a lookup: pairs with the barrier of the bit that confirmation sets.
    barrier::read();
    conn
}
