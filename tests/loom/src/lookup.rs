// SPDX-License-Identifier: GPL-2.0

//! A lookup, and the reuse of a connection's memory under its feet (SLAB_TYPESAFE_BY_RCU).
//!
//! Of `examine` in rust_ct/object/table/lookup.rs, `Candidate::half_of` and `Candidate::get`,
//! `UniqueConn::new` and `UniqueConn::publish` in rust_ct/object/conn/, and `rct_conntrack_put`.
//!
//! tests/litmus/lookup+reuse.litmus and put+reuse.litmus are the same.

use crate::kernel::{
    race,
    raise,
    CONFIRMED,
    DYING, //
};
use loom::{
    cell::UnsafeCell,
    sync::atomic::{
        fence,
        AtomicUsize,
        Ordering::{
            self,
            Acquire,
            Relaxed,
            Release, //
        }, //
    },
};

/// Where the model does less than the code.
#[derive(Clone, Copy, PartialEq)]
enum Weak {
    Nowhere,
    /// `rct_conntrack_tryget` does not acquire.
    TryGet,
    /// `UniqueConn::publish` does not release.
    Publish,
    /// The key is not read again with the reference.
    ReadAgain,
    /// `rct_conntrack_put` does not release.
    Put,
}

/// What the memory is given out as, the second time.
#[derive(Clone, Copy)]
struct Next {
    key: usize,
    is_confirmed: bool,
}

/// The key that is looked up, and another key.
const KEY: usize = 1;
const OTHER: usize = 2;

/// The memory of a connection, which is in a list at first.
struct Conn {
    is_linked: AtomicUsize,
    refs: AtomicUsize,
    status: AtomicUsize,
    key: AtomicUsize,
    /// Everything that only the owner and threads with a reference have: whose it is.
    rest: UnsafeCell<usize>,
    next: Next,
    weak: Weak,
}

impl Conn {
    fn new(next: Next, weak: Weak) -> Self {
        Self {
            is_linked: AtomicUsize::new(1),
            refs: AtomicUsize::new(1),
            status: AtomicUsize::new(CONFIRMED),
            key: AtomicUsize::new(KEY),
            rest: UnsafeCell::new(1),
            next,
            weak,
        }
    }

    /// An ordering, unless the model is weakened there.
    fn unless(&self, weak: Weak, order: Ordering) -> Ordering {
        if self.weak == weak {
            Relaxed
        } else {
            order
        }
    }

    fn matches(&self) -> bool {
        self.key.load(Relaxed) == KEY && self.status.load(Relaxed) & CONFIRMED != 0
    }

    fn try_get(&self) -> bool {
        let order = self.unless(Weak::TryGet, Acquire);
        let more = |refs| (refs != 0).then_some(refs + 1);
        self.refs.fetch_update(order, Relaxed, more).is_ok()
    }

    /// Returns whether the last reference is gone.
    fn put(&self) -> bool {
        let order = self.unless(Weak::Put, Release);
        let is_last = self.refs.fetch_sub(1, order) == 1;
        if is_last {
            fence(Acquire);
        }
        is_last
    }

    /// The memory is given out anew.
    fn reuse(&self) {
        self.refs.store(0, Relaxed);
        self.status.store(0, Relaxed);
        // SAFETY: No thread has a reference; the checker complains if a thread looks.
        self.rest.with_mut(|rest| unsafe { *rest = 2 });
        self.key.store(self.next.key, Relaxed);
        self.refs.store(1, self.unless(Weak::Publish, Release));
        if self.next.is_confirmed {
            self.is_linked.store(1, Release);
            raise(&self.status, CONFIRMED);
        }
    }

    fn find(&self) {
        let is_met = self.is_linked.load(Relaxed) == 1 && self.matches();
        if !is_met || !self.try_get() {
            return;
        }
        if self.weak == Weak::ReadAgain || self.matches() {
            let is_right = self.key.load(Relaxed) == KEY;
            assert!(is_right, "a packet goes with the connection of others");
            let is_confirmed = self.status.load(Relaxed) & CONFIRMED != 0;
            assert!(is_confirmed, "a packet goes with one that is not confirmed");
            // SAFETY: There is a reference; the checker complains if a thread writes.
            let whose = self.rest.with(|rest| unsafe { *rest });
            let may_be_next = self.next.is_confirmed && self.next.key == KEY;
            assert!(whose == 1 || may_be_next);
        }
        self.put();
    }

    /// Leaves the table, and is another connection at once.
    fn end(&self) {
        assert!(raise(&self.status, DYING));
        self.is_linked.store(0, Release);
        if self.put() {
            self.reuse();
        }
    }
}

fn model(next: Next, weak: Weak) {
    let conn = move || Conn::new(next, weak);
    race(conn, [Conn::find, Conn::end], |_| ());
}

const UNLIKE: Next = Next {
    key: OTHER,
    is_confirmed: true,
};
const ALIKE: Next = Next {
    key: KEY,
    is_confirmed: true,
};
const ALIKE_UNCONFIRMED: Next = Next {
    key: KEY,
    is_confirmed: false,
};

#[test]
fn whoever_is_found_has_the_key() {
    model(UNLIKE, Weak::Nowhere);
}

#[test]
fn whoever_is_found_is_whole() {
    model(ALIKE, Weak::Nowhere);
}

#[test]
fn whoever_is_found_is_confirmed() {
    model(ALIKE_UNCONFIRMED, Weak::Nowhere);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_reference_has_to_acquire() {
    model(UNLIKE, Weak::TryGet);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn publishing_has_to_release() {
    model(ALIKE_UNCONFIRMED, Weak::Publish);
}

#[test]
#[should_panic(expected = "the connection of others")]
fn the_key_has_to_be_read_again() {
    model(UNLIKE, Weak::ReadAgain);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn giving_a_reference_back_has_to_release() {
    model(UNLIKE, Weak::Put);
}
