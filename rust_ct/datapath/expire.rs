// SPDX-License-Identifier: GPL-2.0

//! Removal of connections that have expired, a few at a time.
//!
//! A lookup finds no connection that has expired, and if it finds none at all, it removes the
//! expired ones of its bucket. This worker is for those that no such lookup meets. It goes round
//! the table; one step looks at no more than [`STEP`] connections or [`STEP_BUCKETS`] buckets, for
//! no longer than [`STEP_TIME`], whatever the size of the table. Between two buckets nothing is
//! held, and other tasks may run.
//!
//! How soon the next round begins depends on how long the connections still have: on their average,
//! as in net/netfilter/nf_conntrack_core.c, gc_worker(), and on the first to expire of the
//! connections that were met and those that came since. So no connection stays for much longer than
//! its timeout, and a machine in which nothing expires is left alone.
//!
//! While there is a listener to DESTROY events, a step is over after [`BURST`] of them, and the
//! next step comes a while later: most listeners lose what does not fit into their buffer.

use crate::{
    datapath::end,
    object::{
        conn::{
            event,
            Candidate,
            Conn, //
        },
        expect,
        netns::{
            limit,
            Netns, //
        },
        table::{
            Visit,
            TABLE, //
        },
    },
    pure::{
        fate::Ended,
        state::Status, //
    },
    sys::{
        barrier, call,
        field::Field,
        rcu::ReadSide,
        time::{
            self,
            HZ, //
        },
        work::{
            Job,
            Worker, //
        },
    },
};
use core::ops::ControlFlow;
use kernel::sync::{
    atomic::{
        Atomic,
        Relaxed, //
    },
    rcu, //
};

/// How many connections one step looks at.
const STEP: u32 = 4096;
/// For how many jiffies one step goes on: ten milliseconds, as the kernel's (GC_SCAN_MAX_DURATION).
const STEP_TIME: u32 = HZ / 100;
/// How many buckets one step looks at: most are empty in a table that is not, and cost next to
/// nothing.
const STEP_BUCKETS: usize = 16384;

/// How many DESTROY events one step delivers to a listener.
const BURST: u32 = 64;
/// How many times as long as such a step the worker then waits: a listener takes longer to read an
/// event than it takes to end a connection and deliver the event.
const REST: i64 = 10;
/// How long it waits at the most, in jiffies ...
const REST_MAX: u32 = HZ / 4;
/// ... and where a namespace is full, which is not to wait for the listener of another namespace.
const REST_MAX_FULL: u32 = HZ / 100 + 1;

/// A round begins at most this often, in jiffies ...
///
/// These four are the kernel's: GC_SCAN_INTERVAL_MIN, _MAX, _CLAMP and GC_SCAN_INITIAL_COUNT, so
/// that what has expired is gone as soon as there.
const INTERVAL_MIN: u32 = HZ;
/// ... and at least this often.
const INTERVAL_MAX: u32 = 60 * HZ;
/// It begins no sooner than this for the first connection to expire, in jiffies: an expired
/// connection is gone so long afterwards at the latest, and what a round takes. So it is gone
/// within five seconds, also where a round takes most of a second.
const SOON: u32 = 4 * HZ;
/// A connection that has longer than this counts as if it had this long, in jiffies: a few TCP
/// connections with days left must not hide those that have seconds.
const REMAINING_MAX: u32 = 300 * HZ;
/// An average begins with so many connections at the longest interval, so that a few short-lived
/// connections do not keep the machine awake.
const INITIAL_COUNT: u32 = 100;

/// A packet that renews its connection by less than this, in jiffies, calls [`hasten`]: the next
/// round comes later. All of them do where timeouts shrink. Each packet reads it, for which an
/// `Atomic` would call a function.
static WATCH: Field<u32> = Field::new(0);
/// What lives for so many jiffies from now on is met in time.
static MET_IN_TIME: Atomic<u32> = Atomic::new(INTERVAL_MAX);
/// When the next round is due, in jiffies.
static DUE: Atomic<u32> = Atomic::new(0);

/// The worker, which [`crate::RustCt`] starts.
pub(crate) static WORKER: Worker = Worker::new::<Expiry>();

/// Raised when a namespace is full: until the next round, its connections that may be removed early
/// are removed.
static EARLY_DROP: Atomic<bool> = Atomic::new(false);
/// The number of the round, which a full namespace notes. A new namespace has noted zero.
static ROUND: Atomic<u32> = Atomic::new(1);

/// Where the round is. Written by the worker alone, which never runs twice at a time.
static NEXT_BUCKET: Atomic<u32> = Atomic::new(0);
static AVERAGE: Atomic<u32> = Atomic::new(INTERVAL_MAX);
static COUNT: Atomic<u32> = Atomic::new(INITIAL_COUNT);
static STARTED: Atomic<u32> = Atomic::new(0);
static FIRST: Atomic<u32> = Atomic::new(INTERVAL_MAX);

/// Lets the worker remove connections of a full namespace early. Any context. Nothing comes of it
/// where a round is just over: a namespace that stays full asks again.
pub(crate) fn request_early_drop(netns: &Netns) {
    // Otherwise the worker would look at all connections for nothing.
    if !netns.is_crowded() {
        return;
    }
    let round = ROUND.load(Relaxed);
    // Each packet reads the line that it is in.
    if netns.full_in.load(Relaxed) != round {
        netns.full_in.store(round, Relaxed);
    }
    if !EARLY_DROP.load(Relaxed) {
        EARLY_DROP.store(true, Relaxed);
    }
}

/// Returns whether a namespace was full in this round.
fn was_full(netns: &Netns) -> bool {
    netns.full_in.load(Relaxed) == ROUND.load(Relaxed)
}

/// Returns whether a connection that lives for so many jiffies is to be told to [`hasten`]. Any
/// context.
#[inline]
pub(crate) fn is_brief(jiffies: u32) -> bool {
    jiffies < WATCH.load()
}

/// A connection lives for so many jiffies from now on: has the next round begin by then, or soon.
/// Any context.
///
/// Callers that race with each other or with the worker may have it begin later than one of these
/// callers wants, but never later than it would by itself.
pub(crate) fn hasten(jiffies: u32) {
    let jiffies = jiffies.max(SOON);
    if jiffies >= MET_IN_TIME.load(Relaxed) {
        return;
    }
    MET_IN_TIME.store(jiffies, Relaxed);
    watch();
    // CAST: At most a minute.
    if due() > jiffies as i32 {
        DUE.store(time::now().wrapping_add(jiffies), Relaxed);
        WORKER.reset(jiffies);
    }
}

/// As [`hasten`], where that makes a difference: for all that give a connection a timeout, but for
/// packets that renew it. Any context.
pub(crate) fn lives_for(jiffies: u32) {
    if is_brief(jiffies) {
        hasten(jiffies);
    }
}

/// In how many jiffies the next round is due; negative if it has begun.
pub(crate) fn due() -> i32 {
    time::until(DUE.load(Relaxed))
}

/// Settles which packets call [`hasten`]. Any context.
pub(crate) fn watch() {
    let watch = match MET_IN_TIME.load(Relaxed) {
        _ if limit::is_adaptive() => u32::MAX,
        // No connection has it begin sooner.
        jiffies if jiffies <= SOON => 0,
        jiffies => jiffies,
    };
    WATCH.store(watch);
}

/// What the worker does: one step of a round.
pub(crate) struct Expiry;

impl Job for Expiry {
    fn run() -> Option<u32> {
        let mut round = Round::load();
        let began = time::boot_ns();
        Some(match round.step() {
            true => {
                round.store();
                round.rest(time::boot_ns().wrapping_sub(began))
            }
            false => {
                ROUND.fetch_add(1, Relaxed);
                EARLY_DROP.store(false, Relaxed);
                let delay = round.delay();
                Round::new().store();
                wait(delay);
                delay
            }
        })
    }
}

/// A round begins: a connection that comes from now on may enter a bucket behind it.
fn begin() {
    DUE.store(time::now(), Relaxed);
    MET_IN_TIME.store(INTERVAL_MAX, Relaxed);
    watch();
}

/// The next round begins in so many jiffies.
fn wait(jiffies: u32) {
    DUE.store(time::now().wrapping_add(jiffies), Relaxed);
    MET_IN_TIME.store(jiffies, Relaxed);
    watch();
}

/// A round in the middle.
struct Round {
    next_bucket: u32,
    /// Running average of the time that connections still have, in jiffies.
    average: u32,
    /// The number of connections in the average.
    count: u32,
    /// When the round began, in jiffies.
    started: u32,
    /// How many jiffies the first connection to expire still had.
    first: u32,
    /// How many connections this step has ended that a listener may want to be told of.
    told: u32,
    /// Whether connections are removed early from namespaces that were full.
    early_drop: bool,
}

impl Round {
    fn new() -> Self {
        Self {
            next_bucket: 0,
            average: INTERVAL_MAX,
            count: INITIAL_COUNT,
            started: time::now(),
            first: INTERVAL_MAX,
            told: 0,
            early_drop: false,
        }
    }

    fn load() -> Self {
        let next_bucket = NEXT_BUCKET.load(Relaxed);
        let started = match next_bucket {
            0 => {
                begin();
                time::now()
            }
            _ => STARTED.load(Relaxed),
        };
        Self {
            next_bucket,
            average: AVERAGE.load(Relaxed),
            count: COUNT.load(Relaxed),
            started,
            first: FIRST.load(Relaxed),
            told: 0,
            early_drop: EARLY_DROP.load(Relaxed),
        }
    }

    fn store(&self) {
        NEXT_BUCKET.store(self.next_bucket, Relaxed);
        AVERAGE.store(self.average, Relaxed);
        COUNT.store(self.count, Relaxed);
        STARTED.store(self.started, Relaxed);
        FIRST.store(self.first, Relaxed);
    }

    /// Goes on for one step; returns whether there is more.
    fn step(&mut self) -> bool {
        let mut left = STEP;
        let began = time::now();
        for _ in 0..STEP_BUCKETS {
            let guard = rcu::read_lock();
            let rcu = ReadSide::of(&guard);
            let visit = TABLE.visit(self.next_bucket as usize, rcu, |candidate| {
                self.look_at(candidate);
                left = left.saturating_sub(1);
                ControlFlow::Continue(())
            });
            drop(guard);
            if visit == Visit::End {
                return false;
            }
            self.next_bucket = self.next_bucket.saturating_add(1);
            let is_over = left == 0 || self.told >= BURST;
            if is_over || time::now().wrapping_sub(began) > STEP_TIME {
                break;
            }
            call::rct_cond_resched();
        }
        true
    }

    fn look_at(&mut self, candidate: Candidate<'_>) {
        if candidate.is_expired() {
            let is_paced = self.is_paced(candidate);
            end::overdue(candidate);
            self.told = self.told.saturating_add(is_paced.into());
            return;
        }
        let remaining = candidate.remaining();
        self.weigh(remaining);
        self.first = self.first.min(remaining);
        if candidate.status().contains(Status::HELPER) {
            if let Some(conn) = candidate.get().filter(|conn| has_settled_help(conn)) {
                expect::remove_expired(&conn);
            }
        }
        if self.early_drop {
            remove_early(candidate);
        }
    }

    /// Returns whether a listener is given time to read of the end of a connection: not where its
    /// namespace needs room, as the listener may be another namespace's, nor by a round that takes
    /// too long already.
    fn is_paced(&self, candidate: Candidate<'_>) -> bool {
        let age = time::now().wrapping_sub(self.started);
        event::has_listener() && age < INTERVAL_MAX && !self.needs_room(candidate)
    }

    /// Returns whether the namespace of a connection that was met without a reference is nearly
    /// full, or was full in this round.
    fn needs_room(&self, candidate: Candidate<'_>) -> bool {
        let is_full = |netns: &Netns| netns.is_crowded() || (self.early_drop && was_full(netns));
        let conn = candidate.get();
        conn.is_some_and(|conn| conn.netns().is_some_and(is_full))
    }

    /// In how many jiffies the next step is due, after one that took so many nanoseconds.
    fn rest(&self, ns: i64) -> u32 {
        match self.told {
            0 => 1,
            _ => {
                let most = match self.early_drop {
                    true => REST_MAX_FULL,
                    false => REST_MAX,
                };
                time::from_ns(ns.saturating_mul(REST)).clamp(1, most)
            }
        }
    }

    /// Takes the time that a connection still has into the average.
    fn weigh(&mut self, remaining: u32) {
        let remaining = i64::from(remaining.clamp(INTERVAL_MIN, REMAINING_MAX));
        self.count = self.count.saturating_add(1);
        let average = i64::from(self.average);
        let average = average + (remaining - average) / i64::from(self.count);
        // CAST: An average of numbers of this size is of this size.
        self.average = average as u32;
    }

    /// In how many jiffies the next round is to begin.
    fn delay(&self) -> u32 {
        let first = self.first.min(MET_IN_TIME.load(Relaxed)).max(SOON);
        let interval = self.average.clamp(INTERVAL_MIN, INTERVAL_MAX).min(first);
        interval
            .saturating_sub(time::now().wrapping_sub(self.started))
            .max(1)
    }
}

/// Returns whether a connection that was met in the table, and to which there is a reference now,
/// has a helper. The memory may be that of a new connection by now, to which its owner still adds
/// extensions, so that they move: until it is confirmed.
///
/// Source: net/netfilter/nf_conntrack_core.c, nf_ct_help_gc().
fn has_settled_help(conn: &Conn) -> bool {
    let status = conn.status();
    // Pairs with the barrier of the bit that confirmation sets behind the extensions.
    barrier::read();
    status.contains(Status::CONFIRMED)
        && status.contains(Status::HELPER)
        && !status.contains(Status::DYING)
}

/// Removes a connection that is not assured, or is closing, from a namespace that was full in this
/// round, and nearly is.
fn remove_early(candidate: Candidate<'_>) {
    let Some(conn) = candidate.get() else {
        return;
    };
    let is_wanted = |netns: &Netns| was_full(netns) && netns.is_crowded();
    if conn.netns().is_some_and(is_wanted) && conn.may_go() {
        end::kill_as(&conn, Ended::EarlyDrop);
    }
}
