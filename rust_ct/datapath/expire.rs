// SPDX-License-Identifier: GPL-2.0

//! Removal of connections that have expired, a few at a time.
//!
//! A lookup removes what it meets that has expired, so nothing is found that should be gone. This
//! worker is for what no lookup meets. It goes round the table; one step looks at no more than
//! [`STEP`] connections or [`STEP_BUCKETS`] buckets, whatever the size of the table, and how soon
//! the next round begins depends on how long the connections still have, as in
//! net/netfilter/nf_conntrack_core.c, gc_worker().

use crate::{
    datapath::end,
    object::{
        conn::{
            Candidate,
            Conn, //
        },
        expect,
        netns::Netns,
        table::{
            Visit,
            TABLE, //
        },
    },
    pure::state::Status,
    sys::{
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
    barrier::{
        smp_mb,
        Read, //
    },
    rcu, //
};

/// How many connections one step looks at.
///
/// The kernel breaks off after ten milliseconds (GC_SCAN_MAX_DURATION), or a few hundred removals.
/// A count does as well: looking at a connection is a cache miss or two, and ending one is in the
/// order of a microsecond, so a step stays within that time even if all have expired.
const STEP: u32 = 4096;
/// How many buckets one step looks at: most are empty in a table that is not, and cost next to
/// nothing.
const STEP_BUCKETS: usize = 16384;

/// A round begins at most this often, in jiffies ...
///
/// These four are the kernel's: GC_SCAN_INTERVAL_MIN, _MAX, _CLAMP and GC_SCAN_INITIAL_COUNT, so
/// that what has expired is gone as soon as there.
const INTERVAL_MIN: u32 = HZ;
/// ... and at least this often.
const INTERVAL_MAX: u32 = 60 * HZ;
/// A connection that has longer than this counts as if it had this long, in jiffies: a few TCP
/// connections with days left must not hide those that have seconds.
const REMAINING_MAX: u32 = 300 * HZ;
/// An average begins with so many connections at the longest interval, so that a few short-lived
/// ones do not keep the machine awake.
const INITIAL_COUNT: u32 = 100;

/// The worker, which [`crate::RustCt`] starts.
pub(crate) static WORKER: Worker = Worker::new::<Expiry>();

/// Raised when a namespace is full: connections that may be removed early are, until the next
/// round.
static EARLY_DROP: Atomic<bool> = Atomic::new(false);

/// Where the round is. Written by the worker alone, which never runs twice at a time.
static NEXT_BUCKET: Atomic<u32> = Atomic::new(0);
static AVERAGE: Atomic<u32> = Atomic::new(INTERVAL_MAX);
static COUNT: Atomic<u32> = Atomic::new(INITIAL_COUNT);
static STARTED: Atomic<u32> = Atomic::new(0);

/// Lets the worker remove connections early in namespaces that are nearly full. Any context.
pub(crate) fn request_early_drop() {
    if !EARLY_DROP.load(Relaxed) {
        EARLY_DROP.store(true, Relaxed);
    }
}

/// What the worker does: one step of a round.
pub(crate) struct Expiry;

impl Job for Expiry {
    fn run() -> Option<u32> {
        let mut round = Round::load();
        Some(match round.step() {
            true => {
                round.store();
                1
            }
            false => {
                EARLY_DROP.store(false, Relaxed);
                let delay = round.delay();
                Round::new().store();
                delay
            }
        })
    }
}

/// A round in the middle.
struct Round {
    next_bucket: u32,
    /// Running average of the time that connections still have, in jiffies.
    average: u32,
    /// Over how many the average is.
    count: u32,
    /// When the round began, in jiffies.
    started: u32,
    /// Whether connections are removed early from namespaces that are nearly full.
    early_drop: bool,
}

impl Round {
    fn new() -> Self {
        Self {
            next_bucket: 0,
            average: INTERVAL_MAX,
            count: INITIAL_COUNT,
            started: time::now(),
            early_drop: false,
        }
    }

    fn load() -> Self {
        let next_bucket = NEXT_BUCKET.load(Relaxed);
        let started = match next_bucket {
            0 => time::now(),
            _ => STARTED.load(Relaxed),
        };
        Self {
            next_bucket,
            average: AVERAGE.load(Relaxed),
            count: COUNT.load(Relaxed),
            started,
            early_drop: EARLY_DROP.load(Relaxed),
        }
    }

    fn store(&self) {
        NEXT_BUCKET.store(self.next_bucket, Relaxed);
        AVERAGE.store(self.average, Relaxed);
        COUNT.store(self.count, Relaxed);
        STARTED.store(self.started, Relaxed);
    }

    /// Goes on for one step; returns whether there is more.
    fn step(&mut self) -> bool {
        let mut left = STEP;
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
            if left == 0 {
                break;
            }
        }
        true
    }

    fn look_at(&mut self, candidate: Candidate<'_>) {
        if candidate.is_expired() {
            end::overdue(candidate);
            return;
        }
        self.weigh(candidate.remaining());
        if candidate.status().contains(Status::HELPER) {
            if let Some(conn) = candidate.get().filter(|conn| has_settled_help(conn)) {
                expect::remove_expired(&conn);
            }
        }
        if self.early_drop {
            remove_early(candidate);
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
        let interval = self.average.clamp(INTERVAL_MIN, INTERVAL_MAX);
        interval
            .saturating_sub(time::now().wrapping_sub(self.started))
            .max(1)
    }
}

/// Returns whether a connection that was met in the table, and to which there is a reference now,
/// has a helper. It may be another connection than the one that was met, whose owner is just adding
/// extensions, so that they move: until it is confirmed.
///
/// Source: net/netfilter/nf_conntrack_core.c, nf_ct_help_gc().
fn has_settled_help(conn: &Conn) -> bool {
    let status = conn.status();
    // Pairs with the barrier of the bit that confirmation sets behind the extensions.
    smp_mb(Read);
    status.contains(Status::CONFIRMED)
        && status.contains(Status::HELPER)
        && !status.contains(Status::DYING)
}

/// Removes a connection that is not assured, or is closing, from a namespace that is nearly full.
fn remove_early(candidate: Candidate<'_>) {
    let Some(conn) = candidate.get() else {
        return;
    };
    let status = conn.status();
    if conn.netns().is_some_and(Netns::is_crowded)
        && status.contains(Status::CONFIRMED)
        && !status.contains(Status::DYING)
        && (!status.contains(Status::ASSURED) || conn.is_closing())
    {
        end::kill(&conn);
    }
}
