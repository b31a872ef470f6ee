// SPDX-License-Identifier: GPL-2.0

//! The locks of the buckets: two of them, or all at once.
//!
//! Of `Locks` in rust_ct/sys/lock.rs.
//!
//! tests/litmus/locks+closed.litmus and locks+opened.litmus are the same.

use crate::kernel::race;
use loom::{
    cell::UnsafeCell,
    sync::{
        atomic::{
            AtomicBool,
            Ordering::{
                Acquire,
                Relaxed,
                Release, //
            }, //
        },
        Mutex,
        MutexGuard, //
    },
};

/// Where the model does less than the code.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Weak {
    Nowhere,
    /// No thread looks at the flag.
    Flag,
    /// A thread that finds the flag low does not acquire.
    FlagAcquire,
    /// The flag is lowered without release.
    FlagRelease,
    /// The thread that takes all does not take each lock once.
    Each,
}

/// Two locks, and the lock for all.
pub(crate) struct Locks {
    locks: [Mutex<()>; 2],
    all: Mutex<()>,
    closed: AtomicBool,
    weak: Weak,
}

/// One or two locks that are held.
pub(crate) type Guard<'a> = (Option<MutexGuard<'a, ()>>, MutexGuard<'a, ()>);

/// All locks are held.
pub(crate) struct AllGuard<'a> {
    locks: &'a Locks,
    _all: MutexGuard<'a, ()>,
}

impl Locks {
    pub(crate) fn new(weak: Weak) -> Self {
        Self {
            locks: [Mutex::new(()), Mutex::new(())],
            all: Mutex::new(()),
            closed: AtomicBool::new(false),
            weak,
        }
    }

    fn take(&self, i: usize) -> MutexGuard<'_, ()> {
        let order = match self.weak {
            Weak::FlagAcquire => Relaxed,
            _ => Acquire,
        };
        let taken = self.locks[i].lock().unwrap();
        if self.weak == Weak::Flag || !self.closed.load(order) {
            return taken;
        }
        drop(taken);
        let all = self.all.lock().unwrap();
        let taken = self.locks[i].lock().unwrap();
        drop(all);
        taken
    }

    pub(crate) fn lock_pair(&self, i: usize, j: usize) -> Guard<'_> {
        let (first, second) = (i.min(j), i.max(j));
        let taken = self.take(first);
        let other = (first != second).then(|| self.locks[second].lock().unwrap());
        (other, taken)
    }

    pub(crate) fn lock_all(&self) -> AllGuard<'_> {
        let all = self.all.lock().unwrap();
        self.closed.store(true, Relaxed);
        for lock in &self.locks {
            if self.weak != Weak::Each {
                drop(lock.lock().unwrap());
            }
        }
        AllGuard {
            locks: self,
            _all: all,
        }
    }
}

impl Drop for AllGuard<'_> {
    fn drop(&mut self) {
        let order = match self.locks.weak {
            Weak::FlagRelease => Relaxed,
            _ => Release,
        };
        self.locks.closed.store(false, order);
    }
}

struct Model {
    locks: Locks,
    /// What each lock covers.
    covered: [UnsafeCell<usize>; 2],
}

impl Model {
    fn count(&self, i: usize) {
        // SAFETY: The lock is held; the checker complains if another thread is there.
        self.covered[i].with_mut(|count| unsafe { *count += 1 });
    }

    fn take_pair(&self) {
        let _guard = self.locks.lock_pair(1, 0);
        self.count(0);
        self.count(1);
    }

    fn take_one(&self) {
        let _guard = self.locks.lock_pair(1, 1);
        self.count(1);
    }

    fn take_all(&self) {
        let _guard = self.locks.lock_all();
        self.count(0);
        self.count(1);
    }
}

fn model(weak: Weak) {
    let model = move || Model {
        locks: Locks::new(weak),
        covered: [UnsafeCell::new(0), UnsafeCell::new(0)],
    };
    let threads = [Model::take_pair, Model::take_one, Model::take_all];
    race(model, threads, |_| ());
}

#[test]
fn whoever_holds_all_locks_is_alone() {
    model(Weak::Nowhere);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn the_flag_has_to_be_looked_at() {
    model(Weak::Flag);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn finding_the_flag_low_has_to_acquire() {
    model(Weak::FlagAcquire);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn lowering_the_flag_has_to_release() {
    model(Weak::FlagRelease);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn each_lock_has_to_be_taken_once() {
    model(Weak::Each);
}
