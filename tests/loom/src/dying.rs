// SPDX-License-Identifier: GPL-2.0

//! Connections whose DESTROY event could not be delivered: kept, delivered again, or forgotten.
//!
//! Of `DyingList` in rust_ct/object/dying.rs, `kill_for` in rust_ct/datapath/end.rs, `Retry` in
//! rust_ct/datapath/retry.rs, and the kernel's work queue: work that is pending is not queued, and
//! is not pending any more when it runs.
//!
//! tests/litmus/dying+retry.litmus is the same.

use crate::kernel::{
    race,
    smp_mb, //
};
use loom::sync::{
    atomic::{
        AtomicBool,
        AtomicUsize,
        Ordering::{
            AcqRel,
            Relaxed, //
        }, //
    },
    Mutex, //
};

/// Where the model does less than the code.
#[derive(Clone, Copy, PartialEq)]
enum Weak {
    Nowhere,
    /// The worker is asked before the connection is in the list.
    AskFirst,
    /// The list is not locked between the event and the removal.
    Unlocked,
    /// Work is made not pending after the list was looked at.
    PendingLast,
}

/// A connection that waits, and a connection that is just being ended.
const CONNS: usize = 2;
/// How many events one go delivers.
const STEP: usize = 2;

struct Model {
    list: Mutex<Vec<usize>>,
    pending: AtomicBool,
    told: [AtomicUsize; CONNS],
    gone: [AtomicUsize; CONNS],
    has_room: bool,
    weak: Weak,
}

impl Model {
    fn ask(&self) {
        self.pending.swap(true, AcqRel);
    }

    /// A connection ends, and its DESTROY event cannot be delivered.
    fn keep(&self) {
        if self.weak == Weak::AskFirst {
            self.ask();
        }
        self.list.lock().unwrap().push(1);
        if self.weak != Weak::AskFirst {
            self.ask();
        }
    }

    /// Gives the reference of the list back.
    fn put(&self, conn: usize) {
        let gone = self.gone[conn].fetch_add(1, Relaxed);
        assert_eq!(gone, 0, "a reference is given back twice");
    }

    fn evict(&self) {
        let evicted = self.list.lock().unwrap().pop();
        if let Some(conn) = evicted {
            let told = self.told[conn].load(Relaxed);
            assert_eq!(told, 0, "told of, and counted as lost");
            self.put(conn);
        }
    }

    /// Delivers an event, and returns whether there was room; `None` if there is no event.
    fn deliver_one(&self) -> Option<bool> {
        let mut list = self.list.lock().unwrap();
        let &conn = list.last()?;
        if !self.has_room {
            return Some(false);
        }
        self.told[conn].fetch_add(1, Relaxed);
        if self.weak == Weak::Unlocked {
            drop(list);
            list = self.list.lock().unwrap();
        }
        let removed = list.pop();
        drop(list);
        if let Some(removed) = removed {
            let told = self.told[removed].load(Relaxed);
            assert_eq!(told, 1, "told of twice, or not at all");
            self.put(removed);
        }
        Some(true)
    }

    fn deliver(&self) -> bool {
        for _ in 0..STEP {
            match self.deliver_one() {
                Some(true) => (),
                Some(false) => return false,
                None => return true,
            }
        }
        self.list.lock().unwrap().is_empty()
    }

    /// The work queue runs what is pending.
    fn run(&self) {
        if !self.pending.load(Relaxed) {
            return;
        }
        if self.weak != Weak::PendingLast {
            self.pending.store(false, Relaxed);
            smp_mb(true);
        }
        let all = self.deliver();
        if self.weak == Weak::PendingLast {
            self.pending.store(false, Relaxed);
        }
        if !all {
            self.ask();
        }
    }
}

fn model(has_room: bool, weak: Weak) {
    let model = move || Model {
        list: Mutex::new(vec![0]),
        pending: AtomicBool::new(true),
        told: [AtomicUsize::new(0), AtomicUsize::new(0)],
        gone: [AtomicUsize::new(0), AtomicUsize::new(0)],
        has_room,
        weak,
    };
    race(model, [Model::keep, Model::evict, Model::run], |model| {
        let waits = !model.list.lock().unwrap().is_empty();
        let is_asked = model.pending.load(Relaxed);
        assert!(!waits || is_asked, "one waits for ever");
    });
}

#[test]
fn whoever_waits_is_told_of_or_forgotten() {
    model(true, Weak::Nowhere);
}

#[test]
fn whoever_waits_is_tried_again() {
    model(false, Weak::Nowhere);
}

#[test]
#[should_panic(expected = "waits for ever")]
fn the_worker_has_to_be_asked_behind_the_list() {
    model(true, Weak::AskFirst);
}

#[test]
#[should_panic(expected = "told of")]
fn the_event_has_to_be_delivered_under_the_lock() {
    model(true, Weak::Unlocked);
}

#[test]
#[should_panic(expected = "waits for ever")]
fn work_that_runs_has_to_be_no_longer_pending() {
    model(true, Weak::PendingLast);
}
