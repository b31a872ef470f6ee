// SPDX-License-Identifier: GPL-2.0

//! The table of confirmed connections: one for the machine, read under RCU.
//!
//! Each connection is in it twice, by the key of packets in each direction. A bucket is a list, and
//! its number is the hash scaled to the number of buckets: buckets are in the order of hashes
//! whatever the size of the table, which is what lets a [`Cursor`] go on through a table that is
//! resized meanwhile.
//!
//! # Locking
//!
//! Readers hold RCU and nothing else. A writer holds the lock of each bucket that it writes to;
//! bucket `i` has the lock `i` modulo [`LOCKS`]. Resizing holds all of them. The mutex `walk` is
//! for those who go through the whole table and sleep on the way.
//!
//! Lock order: `walk`, then the locks of [`Locks`] in its order, then nothing.

use crate::{
    bindings,
    conn::{
        event::Asker,
        Candidate,
        Conn,
        Fresh,
        Key, //
    },
    expect,
    netns::NETNS,
    stat::Stat,
    state::Status,
    sys::{
        lock::{
            Guard,
            Locks, //
        },
        net::Net,
        nulls::{
            Head,
            Link,
            Node, //
        },
        rcu::ReadSide, //
    },
    tuple::{
        Direction,
        Tuple, //
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
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        barrier::{
            smp_mb,
            Read, //
        },
        rcu, //
    },
};

/// How many locks the buckets share. They are `nf_conntrack_locks`, which ctnetlink takes too.
pub(crate) const LOCKS: usize = bindings::CONNTRACK_LOCKS as usize;

/// Buckets come in multiples of this number, a page full of them and a power of two.
pub(crate) const STEP: u32 = 512;

/// The largest number of buckets.
pub(crate) const MAX_SIZE: u32 = (i32::MAX as u32 / size_of::<Head>() as u32) / STEP * STEP;

/// A bucket refuses connections from somewhere between this length on ...
const MIN_CHAIN: u32 = 50;
/// ... and this many more: nobody knows where, so nobody can fill it up to just below.
///
/// Source: net/netfilter/nf_conntrack_core.c, MIN_CHAINLEN and MAX_CHAINLEN.
const CHAIN_SPREAD: u32 = 30;

/// The table of the machine.
pub(crate) static TABLE: Table = Table::new();

kernel::sync::global_lock! {
    // SAFETY: Initialised in `Table::set_up`, before first use.
    unsafe(uninit) static WALK: Mutex<()> = ();
}

/// The buckets of a table of one size.
struct Buckets {
    heads: KVVec<Head>,
    size: u32,
}

impl Buckets {
    /// Empty buckets, `size` of them, rounded up.
    fn new(size: u32) -> Result<KBox<Self>> {
        if !(1..=MAX_SIZE).contains(&size) {
            return Err(EINVAL);
        }
        // `MAX_SIZE` is a multiple itself.
        let size = size.wrapping_add(STEP - 1) & !(STEP - 1);
        let mut heads = KVVec::with_capacity(size as usize, GFP_KERNEL | __GFP_NOWARN)?;
        for i in 0..size as usize {
            heads.push(Head::new(i), GFP_KERNEL)?;
        }
        Ok(KBox::new(Self { heads, size }, GFP_KERNEL)?)
    }

    /// Makes them those that other modules see. All locks are held, or nobody is there yet.
    fn show(&self) {
        // SAFETY: The variables are ours. Other modules read them with the lock of a bucket held,
        // or the number alone.
        unsafe {
            (&raw mut bindings::nf_conntrack_hash)
                .write_volatile(self.heads.as_ptr().cast_mut().cast());
            (&raw mut bindings::nf_conntrack_htable_size).write_volatile(self.size);
        }
    }

    /// The number of the bucket of a hash, as reciprocal_scale().
    #[inline]
    fn index(&self, hash: u32) -> usize {
        // CAST: The upper half is below `size`.
        ((u64::from(hash) * u64::from(self.size)) >> 32) as usize
    }

    /// The smallest hash of a bucket; `None` if there is no such bucket.
    fn first_hash(&self, index: usize) -> Option<u32> {
        let size = u64::from(self.size);
        let first = ((index as u64) << 32)
            .checked_add(size.wrapping_sub(1))?
            .checked_div(size)?;
        u32::try_from(first).ok()
    }

    #[inline]
    fn bucket(&self, index: usize) -> Option<Bucket<'_>> {
        let head = self.heads.get(index)?;
        Some(Bucket { head, index })
    }
}

/// One list of the table.
#[derive(Clone, Copy)]
struct Bucket<'a> {
    head: &'a Head,
    index: usize,
}

impl<'a> Bucket<'a> {
    /// Calls `f` for each connection until it breaks. `None` if a connection was moved to another
    /// list while we were at it, so that some may have been missed.
    ///
    /// # Safety
    ///
    /// RCU or the lock of the bucket must be held for `'a`.
    #[inline]
    unsafe fn walk<R>(
        self,
        mut f: impl FnMut(Candidate<'a>) -> ControlFlow<R>,
    ) -> Option<ControlFlow<R>> {
        let mut link = self.head.first();
        loop {
            match link {
                Link::Node(node) => {
                    // SAFETY: Everything in the list is a connection's link, and RCU or the lock
                    // keeps the memory that of a connection.
                    let candidate = unsafe { Candidate::new(node) };
                    if let ControlFlow::Break(found) = f(candidate) {
                        return Some(ControlFlow::Break(found));
                    }
                    // SAFETY: As above.
                    link = unsafe { Node::next(node) };
                }
                Link::End(index) if index == self.index => return Some(ControlFlow::Continue(())),
                Link::End(_) => return None,
            }
        }
    }
}

/// What came of an attempt to enter a connection.
pub(crate) enum Place<'a> {
    /// Nobody is in the way.
    Free,
    /// Another connection has one of the tuples already.
    Taken(Candidate<'a>),
    /// One of the buckets is too crowded.
    Crowded,
}

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

/// A table of connections.
///
/// # Invariants
///
/// `buckets` is null before [`Table::set_up`] and after its result was dropped, and points at
/// [`Buckets`] in between, which are freed a grace period after they were replaced.
pub(crate) struct Table {
    buckets: Atomic<*mut Buckets>,
    locks: Locks<LOCKS>,
    /// Raised by [`Table::set_up`].
    used: Atomic<bool>,
    /// Raised while connections are moved, when a reader may miss one.
    moving: Atomic<bool>,
}

/// Two buckets whose locks are held.
pub(crate) struct Pair<'a> {
    buckets: &'a Buckets,
    original: usize,
    reply: usize,
    _guard: Guard<'a, LOCKS>,
}

impl Table {
    const fn new() -> Self {
        Self {
            buckets: Atomic::new(ptr::null_mut()),
            locks: Locks::new(&raw mut bindings::nf_conntrack_locks),
            used: Atomic::new(false),
            moving: Atomic::new(false),
        }
    }

    /// Makes the table, with `size` buckets or a few more. Process context.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the size is out of range, `ENOMEM`, and `EBUSY` if that was done before.
    pub(crate) fn set_up(&'static self, size: u32) -> Result<SetUp> {
        let buckets = Buckets::new(size)?;
        if self.used.xchg(true, Full) {
            return Err(EBUSY);
        }
        // SAFETY: This is the one call that raised `used`, and nobody takes a lock before there are
        // buckets.
        unsafe {
            self.locks
                .init(c"rust_ct_bucket", kernel::static_lock_class!());
            WALK.init();
        }
        buckets.show();
        self.buckets.store(KBox::into_raw(buckets), Release);
        Ok(SetUp { table: self })
    }

    /// Waits until nobody else goes through the whole table; `None` while there is no table.
    fn walk(&self) -> Option<kernel::sync::lock::GlobalGuard<WALK>> {
        // The mutex is initialised before the buckets are there.
        (!self.buckets.load(Acquire).is_null()).then(|| WALK.lock())
    }

    /// The buckets.
    ///
    /// # Safety
    ///
    /// The result must not be used longer than RCU is held, or one of the locks.
    #[inline]
    unsafe fn buckets<'a>(&self) -> Option<&'a Buckets> {
        // SAFETY: The field is a pointer. What it points at is read through it, in address
        // dependency.
        let buckets = unsafe { self.buckets.as_ptr().read_volatile() };
        // SAFETY: By the type invariant, they live until a grace period after they were replaced;
        // who replaces them holds all locks.
        unsafe { buckets.as_ref() }
    }

    /// The number of buckets.
    pub(crate) fn size(&self) -> u32 {
        let guard = rcu::read_lock();
        // SAFETY: RCU is held.
        let size = unsafe { self.buckets() }.map_or(0, |buckets| buckets.size);
        drop(guard);
        size
    }

    /// Finds the connection with a key, by the key's hash, and takes a reference to it. Removes
    /// what it meets that has expired. Any context.
    #[inline]
    pub(crate) fn find(
        &self,
        key: &Key<'_>,
        hash: u32,
        rcu: ReadSide<'_>,
    ) -> Option<(ARef<Conn>, Direction)> {
        self.search(key.net, hash, rcu, |candidate| {
            self.examine(candidate, key, rcu)
        })
    }

    /// As [`Table::find`], whichever direction the packets with the key go in, where the number of
    /// its zone is another one in each.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_find_get().
    pub(crate) fn find_either(
        &self,
        key: &Key<'_>,
        rcu: ReadSide<'_>,
    ) -> Option<(ARef<Conn>, Direction)> {
        self.find(key, key.hash(Direction::Original), rcu)
            .or_else(|| self.find_reply(key, rcu))
    }

    /// As [`Table::find`], for packets in the reply direction, if the number of the key's zone is
    /// another one there.
    pub(crate) fn find_reply(
        &self,
        key: &Key<'_>,
        rcu: ReadSide<'_>,
    ) -> Option<(ARef<Conn>, Direction)> {
        if !key.has_other_reply() {
            return None;
        }
        self.find(key, key.hash(Direction::Reply), rcu)
    }

    /// Tells whether a connection of the table has packets with `reply`, a tuple that the answers
    /// to `conn` might get. One that begins with the same packet as `conn` does not count: it is
    /// the same connection, of which two packets came at once, and confirmation knows what to do.
    /// Any context.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_tuple_taken().
    pub(crate) fn is_taken(&self, reply: &Tuple, conn: &Conn, rcu: ReadSide<'_>) -> bool {
        let key = Key::new(reply, conn.zone(), conn.net());
        let hash = key.hash(Direction::Reply);
        let taken = self.search(key.net, hash, rcu, |candidate| {
            if candidate.is(conn) {
                ControlFlow::Continue(())
            } else if candidate.is_expired() {
                self.remove_overdue(candidate, rcu);
                ControlFlow::Continue(())
            } else if candidate.matches(&key) && !candidate.begins_as(conn) {
                ControlFlow::Break(Some(()))
            } else {
                ControlFlow::Continue(())
            }
        });
        if let (Some(()), Some(netns)) = (taken, conn.netns()) {
            netns.stats.count(Stat::Found);
        }
        taken.is_some()
    }

    /// Calls `f` for each connection in the bucket of a hash until it breaks: with what was found,
    /// or with nothing, to begin anew. Begins anew too where it may have missed one.
    #[inline]
    fn search<R>(
        &self,
        net: &Net,
        hash: u32,
        _rcu: ReadSide<'_>,
        mut f: impl FnMut(Candidate<'_>) -> ControlFlow<Option<R>>,
    ) -> Option<R> {
        loop {
            // SAFETY: RCU is held.
            let buckets = unsafe { self.buckets()? };
            let bucket = buckets.bucket(buckets.index(hash))?;
            // SAFETY: RCU is held.
            match unsafe { bucket.walk(&mut f) } {
                Some(ControlFlow::Break(Some(found))) => return Some(found),
                // Not there, unless it is being moved to where we did not look.
                Some(ControlFlow::Continue(())) if !self.is_stale(buckets) => return None,
                Some(ControlFlow::Continue(())) => core::hint::spin_loop(),
                // It was reused while we looked at it, or led us astray.
                Some(ControlFlow::Break(None)) | None => {
                    if let Some(netns) = NETNS.get(net) {
                        netns.stats.count(Stat::SearchRestart);
                    }
                }
            }
        }
    }

    /// Tells whether connections are being moved, or were, out of these buckets, so that whoever
    /// has just looked through one of them may have missed something.
    fn is_stale(&self, buckets: &Buckets) -> bool {
        // Pairs with the barrier in `resize`: who saw that a connection was gone sees why.
        smp_mb(Read);
        // In this order: the flag is lowered after the buckets were replaced, so who sees it low
        // again sees that they were.
        if self.moving.load(Acquire) {
            return true;
        }
        // SAFETY: The field is a pointer, which is compared only.
        !ptr::eq(buckets, unsafe { self.buckets.as_ptr().read_volatile() })
    }

    /// Looks whether a connection is the one with the key: breaks with it, or with nothing if it
    /// was, until it was given out anew.
    #[inline]
    fn examine(
        &self,
        candidate: Candidate<'_>,
        key: &Key<'_>,
        rcu: ReadSide<'_>,
    ) -> ControlFlow<Option<(ARef<Conn>, Direction)>> {
        if candidate.is_expired() {
            self.remove_overdue(candidate, rcu);
            return ControlFlow::Continue(());
        }
        if !candidate.matches(key) {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(
            candidate
                .get()
                .filter(|_| candidate.matches(key))
                .map(|conn| (conn, candidate.dir())),
        )
    }

    /// Removes a connection if it has expired. Tells whether it did.
    pub(crate) fn remove_overdue(&self, candidate: Candidate<'_>, _rcu: ReadSide<'_>) -> bool {
        match candidate.get() {
            Some(conn) => conn.is_overdue() && self.kill(&conn),
            None => false,
        }
    }

    /// Takes one of the locks of the buckets, after whoever holds them all. Softirqs are off.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_lock().
    ///
    /// # Safety
    ///
    /// `lock` must be one of them, and the caller gives it back.
    pub(crate) unsafe fn take_lock(&self, lock: *mut bindings::spinlock_t) {
        // SAFETY: By the contract.
        unsafe { self.locks.take(lock) };
    }

    /// Enters a connection that user space has made, and which has no reference yet: then it has
    /// one, the caller's, beside the table's. Any context.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_hash_check_insert().
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is one with one of its tuples, `ENOSPC` if its bucket is too crowded;
    /// then it has no reference.
    pub(crate) fn insert(&self, fresh: Fresh) -> Result<ARef<Conn>, (Fresh, Error)> {
        let conn = fresh.conn();
        let hash = |dir| conn.key(dir).hash(dir);
        let (original, reply) = (hash(Direction::Original), hash(Direction::Reply));
        let Some(pair) = self.lock_pair(original, reply) else {
            return Err((fresh, ENOENT));
        };
        match pair.place(conn) {
            Place::Free => {
                conn.store_hash(Direction::Original, original);
                conn.store_hash(Direction::Reply, reply);
                let conn = fresh.publish();
                pair.enter(&conn);
                drop(pair);
                if let Some(netns) = conn.netns() {
                    netns.stats.count(Stat::Insert);
                }
                Ok(conn)
            }
            Place::Taken(_) => {
                drop(pair);
                Err((fresh, EEXIST))
            }
            Place::Crowded => {
                if let Some(netns) = conn.netns() {
                    netns.stats.count(Stat::ChainTooLong);
                }
                drop(pair);
                Err((fresh, ENOSPC))
            }
        }
    }

    /// Takes the locks of the buckets of two hashes.
    #[inline]
    pub(crate) fn lock_pair(&self, original: u32, reply: u32) -> Option<Pair<'_>> {
        let guard = rcu::read_lock();
        loop {
            // SAFETY: RCU is held, and after the loop the locks are.
            let buckets = unsafe { self.buckets()? };
            let (o, r) = (buckets.index(original), buckets.index(reply));
            let locks = self.locks.lock_pair(o, r);
            // Who replaces the buckets holds all locks: if they were not replaced before, they are
            // not now.
            if ptr::eq(buckets, self.buckets.load(Relaxed)) {
                drop(guard);
                return Some(Pair {
                    buckets,
                    original: o,
                    reply: r,
                    _guard: locks,
                });
            }
        }
    }

    /// Removes a connection from the table, and gives the table's reference back. Tells whether it
    /// was us who removed it. Any context, with none of the table's locks held.
    pub(crate) fn kill(&self, conn: &Conn) -> bool {
        self.kill_for(conn, Asker::NOBODY)
    }

    /// As [`Table::kill`], because somebody has asked for it. If nobody can be told of the
    /// connection's end, it is out of the table, but is kept until somebody can.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_ct_delete().
    pub(crate) fn kill_for(&self, conn: &Conn, asker: Asker) -> bool {
        // The one who sets the bit removes it.
        if !conn.set_status(Status::DYING) {
            return false;
        }
        conn.note_stop();
        let told = conn.tell_end(asker);
        conn.leave_helper();
        if !self.take_out(conn) {
            return false;
        }
        expect::remove_all(conn);
        // SAFETY: The table's reference, which was taken when the connection was entered.
        let last = unsafe { ARef::from_raw(ptr::NonNull::from(conn)) };
        if told {
            drop(last);
        } else {
            Conn::wait_untold(last);
        }
        told
    }

    /// Takes a connection that is dying out of its lists; tells whether it was in them.
    fn take_out(&self, conn: &Conn) -> bool {
        let hash = |dir| conn.hash(dir);
        let Some(pair) = self.lock_pair(hash(Direction::Original), hash(Direction::Reply)) else {
            return false;
        };
        // Whoever confirms it holds the lock too, and finds it dying.
        if !conn.status().contains(Status::CONFIRMED) {
            return false;
        }
        for dir in Direction::BOTH {
            // SAFETY: A confirmed connection is in the table, and DYING is set once; its buckets'
            // locks are held.
            unsafe { Node::remove(conn.node(dir)) };
        }
        drop(pair);
        true
    }

    /// The first connection of `net` at a place or behind it, met by the link of its direction
    /// `dir`, and its place. No lock is held afterwards. Process context.
    ///
    /// A walk from the beginning to the end sees each connection that is in the table throughout
    /// once, whatever comes, goes, or is resized meanwhile.
    pub(crate) fn seek(
        &self,
        from: Cursor,
        dir: Direction,
        net: Option<&Net>,
    ) -> Option<(ARef<Conn>, Cursor)> {
        // The table is all namespaces', and long for one that has nothing in it.
        let is_empty = |net| NETNS.get(net).is_none_or(|netns| netns.connections() == 0);
        if net.is_some_and(is_empty) {
            return None;
        }
        let mut from = from;
        loop {
            let guard = rcu::read_lock();
            let rcu = ReadSide::of(&guard);
            // SAFETY: RCU is held.
            let buckets = unsafe { self.buckets()? };
            let index = buckets.index(from.hash);
            let found = self.least(buckets, index, from, dir, net, rcu);
            if self.is_stale(buckets) {
                core::hint::spin_loop();
                continue;
            }
            match found {
                Least::Conn(conn, cursor) => return Some((conn, cursor)),
                Least::None => {
                    from = Cursor {
                        hash: buckets.first_hash(index.wrapping_add(1))?,
                        addr: 0,
                    };
                    drop(guard);
                    // SAFETY: Process context, and no lock is held but mutexes.
                    unsafe { bindings::rct_cond_resched() };
                }
                Least::Unknown => (),
            }
        }
    }

    /// The connection of a bucket that is at a place or next behind it.
    fn least(
        &self,
        buckets: &Buckets,
        index: usize,
        from: Cursor,
        dir: Direction,
        net: Option<&Net>,
        rcu: ReadSide<'_>,
    ) -> Least {
        let Some(bucket) = buckets.bucket(index) else {
            return Least::None;
        };
        let wanted = |candidate: &Candidate<'_>| candidate.dir() == dir && candidate.is_of_any(net);
        let mut least: Option<(Cursor, Candidate<'_>)> = None;
        // SAFETY: RCU is held.
        let walked = unsafe {
            bucket.walk(|candidate| {
                let at = Cursor::of(&candidate);
                let nearer = least.is_none_or(|(l, _)| at < l);
                if at >= from && nearer && wanted(&candidate) {
                    least = Some((at, candidate));
                }
                ControlFlow::<()>::Continue(())
            })
        };
        match (walked, least) {
            (None, _) => Least::Unknown,
            (Some(_), None) => Least::None,
            (Some(_), Some((at, candidate))) => self.claim(candidate, at, &wanted, rcu),
        }
    }

    /// Takes a reference to what [`Table::least`] found, if it still is what was found.
    fn claim(
        &self,
        candidate: Candidate<'_>,
        at: Cursor,
        wanted: &impl Fn(&Candidate<'_>) -> bool,
        _rcu: ReadSide<'_>,
    ) -> Least {
        match candidate.get() {
            Some(conn)
                if wanted(&candidate)
                    && Cursor::of(&candidate) == at
                    && conn.status().contains(Status::CONFIRMED) =>
            {
                Least::Conn(conn, at)
            }
            _ => Least::Unknown,
        }
    }

    /// Calls `f` for each connection of one bucket, unless it breaks, and says whether there is a
    /// next bucket. Any context.
    pub(crate) fn visit<'a>(
        &self,
        index: usize,
        rcu: ReadSide<'a>,
        f: impl FnMut(Candidate<'a>) -> ControlFlow<()>,
    ) -> Visit {
        let _ = rcu;
        // SAFETY: RCU is held for `'a`.
        let Some(buckets) = (unsafe { self.buckets() }) else {
            return Visit::End;
        };
        let Some(bucket) = buckets.bucket(index) else {
            return Visit::End;
        };
        // SAFETY: RCU is held for `'a`. A walk that was led astray comes by again another time.
        match unsafe { bucket.walk(f) } {
            Some(ControlFlow::Break(())) => Visit::Broken,
            _ => Visit::Whole,
        }
    }

    /// The number of the bucket of a hash. Any context.
    pub(crate) fn index(&self, hash: u32, rcu: ReadSide<'_>) -> usize {
        let _ = rcu;
        // SAFETY: RCU is held.
        unsafe { self.buckets() }.map_or(0, |buckets| buckets.index(hash))
    }

    /// Calls `f` for each connection of `net`, or of all namespaces. Process context, sleeps.
    pub(crate) fn for_each(&self, net: Option<&Net>, mut f: impl FnMut(&Conn)) {
        let Some(_walk) = self.walk() else {
            return;
        };
        let mut at = Some(Cursor::BEGIN);
        // The reply link is there even for a connection that lost a clash.
        while let Some((conn, cursor)) = at.and_then(|at| self.seek(at, Direction::Reply, net)) {
            f(&conn);
            drop(conn);
            at = cursor.next();
            // SAFETY: Process context, and no lock is held but a mutex.
            unsafe { bindings::rct_cond_resched() };
        }
    }

    /// Removes every connection of `net`, or of all namespaces. Process context, sleeps.
    pub(crate) fn kill_all(&self, net: Option<&Net>) {
        self.for_each(net, |conn| {
            self.kill(conn);
        });
    }

    /// Gives the table another number of buckets, or a few more. Process context, sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the number is zero or above [`MAX_SIZE`], `ENOMEM`.
    pub(crate) fn resize(&self, size: u32) -> Result {
        let new = Buckets::new(size)?;
        let walk = self.walk().ok_or(ENODEV)?;
        // SAFETY: The mutex keeps the buckets from being replaced.
        let old = unsafe { self.buckets() }.ok_or(ENODEV)?;
        if old.size == new.size {
            return Ok(());
        }

        let locks = self.locks.lock_all();
        self.moving.store(true, Relaxed);
        // Pairs with the barrier in `is_stale`.
        smp_mb(Full);
        for bucket in (0..old.size as usize).filter_map(|i| old.bucket(i)) {
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
        let old = self.buckets.xchg(KBox::into_raw(new), Full);
        self.moving.store(false, Release);
        drop(locks);
        drop(walk);

        rcu::synchronize_rcu();
        // SAFETY: The pointer is from `KBox::into_raw`, and a grace period has passed since it was
        // there to be found.
        drop(unsafe { KBox::from_raw(old) });
        Ok(())
    }
}

/// What [`Table::least`] found.
enum Least {
    /// A connection and where it is.
    Conn(ARef<Conn>, Cursor),
    /// Nothing more in this bucket.
    None,
    /// Something changed: look again.
    Unknown,
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

impl Pair<'_> {
    /// Looks whether there is room for a connection, and nobody with one of its tuples.
    pub(crate) fn place(&self, conn: &Conn) -> Place<'_> {
        // SAFETY: Any context will do for a random number.
        let limit = MIN_CHAIN + unsafe { bindings::get_random_u32() } % CHAIN_SPREAD;
        for (dir, index) in [
            (Direction::Original, self.original),
            (Direction::Reply, self.reply),
        ] {
            match self.look_for(&conn.key(dir), index, limit) {
                Place::Free => (),
                obstacle => return obstacle,
            }
        }
        Place::Free
    }

    /// The connection that has the tuple of the replies to `conn`.
    pub(crate) fn reply_taken(&self, conn: &Conn) -> Option<Candidate<'_>> {
        match self.look_for(&conn.key(Direction::Reply), self.reply, u32::MAX) {
            Place::Taken(candidate) => Some(candidate),
            _ => None,
        }
    }

    fn look_for(&self, key: &Key<'_>, index: usize, limit: u32) -> Place<'_> {
        let Some(bucket) = self.buckets.bucket(index) else {
            return Place::Crowded;
        };
        let mut length = 0u32;
        // SAFETY: The lock of the bucket is held.
        let walked = unsafe {
            bucket.walk(|candidate| {
                length = length.saturating_add(1);
                if candidate.matches(key) {
                    ControlFlow::Break(Place::Taken(candidate))
                } else if length > limit {
                    ControlFlow::Break(Place::Crowded)
                } else {
                    ControlFlow::Continue(())
                }
            })
        };
        match walked {
            Some(ControlFlow::Break(place)) => place,
            _ => Place::Free,
        }
    }

    /// Enters a connection, which the table takes a reference to, and confirms it.
    ///
    /// CONFIRMED comes after the links: a reader who meets the memory while it is being reused, or
    /// before both links are there, must not take it for a connection that is in the table.
    pub(crate) fn enter(&self, conn: &Conn) {
        self.link(conn, Direction::Original, self.original);
        self.link(conn, Direction::Reply, self.reply);
        self.confirmed(conn);
    }

    /// Enters a connection by its replies alone, because the tuple of its first packet is taken.
    pub(crate) fn enter_reply(&self, conn: &Conn) {
        // SAFETY: The connection is not confirmed, so neither link is in a list.
        unsafe { Node::add_alone(conn.node(Direction::Original)) };
        self.link(conn, Direction::Reply, self.reply);
        self.confirmed(conn);
    }

    fn link(&self, conn: &Conn, dir: Direction, index: usize) {
        if let Some(bucket) = self.buckets.bucket(index) {
            // SAFETY: The lock of the bucket is held. The connection is not confirmed, so its link
            // is in no list; it is removed before the memory is given back.
            unsafe { bucket.head.add(conn.node(dir)) };
        }
    }

    fn confirmed(&self, conn: &Conn) {
        // The table's reference, given back in `Table::kill`.
        let _ = ARef::into_raw(ARef::from(conn));
        conn.set_status(Status::CONFIRMED);
    }
}

/// The table is there while this lives. All connections must be out of it before it is dropped.
pub(crate) struct SetUp {
    table: &'static Table,
}

impl Drop for SetUp {
    fn drop(&mut self) {
        let buckets = self.table.buckets.xchg(ptr::null_mut(), Relaxed);
        rcu::synchronize_rcu();
        // SAFETY: The pointer is from `KBox::into_raw`, and a grace period has passed since it was
        // there to be found.
        drop(unsafe { KBox::from_raw(buckets) });
    }
}
