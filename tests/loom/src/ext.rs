// SPDX-License-Identifier: GPL-2.0

//! The extensions of a connection that a lookup has found: CONFIRMED says that they have their
//! final place.
//!
//! Of `examine` in rust_ct/object/table/lookup.rs, `Conn::extension` and `Alone::add_extension` in
//! rust_ct/object/conn/ext.rs, which moves them and frees the place where they were, and
//! `Admission::confirm` in rust_ct/object/table/insert.rs.
//!
//! tests/litmus/ext+confirmed.litmus, ext+link.litmus and ext+reference.litmus are the same.

use crate::kernel::{
    dereference,
    race,
    raise,
    smp_rmb,
    CONFIRMED,
    DYING, //
};
use loom::{
    cell::UnsafeCell,
    sync::atomic::{
        fence,
        AtomicUsize,
        Ordering::{
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
    /// No read barrier between CONFIRMED and the extensions.
    Barrier,
    /// Nor is the link followed in address dependency.
    Dependency,
}

/// The places where extensions are: those of the first connection, and those of the second
/// before and after they move.
const FIRST: usize = 0;
const BEFORE: usize = 1;
const AFTER: usize = 2;

/// The memory of a connection, and of extensions. All connections that it is have the same key.
struct Conn {
    link: AtomicUsize,
    refs: AtomicUsize,
    status: AtomicUsize,
    ext: AtomicUsize,
    places: [UnsafeCell<bool>; 3],
    weak: Weak,
}

impl Conn {
    /// Memory that is free.
    fn free(weak: Weak) -> Self {
        Self {
            link: AtomicUsize::new(0),
            refs: AtomicUsize::new(0),
            status: AtomicUsize::new(0),
            ext: AtomicUsize::new(FIRST),
            places: [
                UnsafeCell::new(true),
                UnsafeCell::new(true),
                UnsafeCell::new(true),
            ],
            weak,
        }
    }

    /// A connection that is in the table.
    fn confirmed(weak: Weak) -> Self {
        Self {
            link: AtomicUsize::new(1),
            refs: AtomicUsize::new(1),
            status: AtomicUsize::new(CONFIRMED),
            ..Self::free(weak)
        }
    }

    fn free_place(&self, place: usize) {
        // SAFETY: No thread is there; the checker complains if a thread is.
        self.places[place].with_mut(|is_there| unsafe { *is_there = false });
    }

    /// Leaves the table, and is another connection at once.
    fn end(&self) {
        assert!(raise(&self.status, DYING));
        self.link.store(0, Release);
        if self.put() {
            self.begin();
        }
    }

    /// Returns whether the memory is free then.
    fn put(&self) -> bool {
        let is_last = self.refs.fetch_sub(1, Release) == 1;
        if is_last {
            fence(Acquire);
            self.free_place(self.ext.load(Relaxed));
        }
        is_last
    }

    /// A connection begins, gets one more extension, and is confirmed.
    fn begin(&self) {
        self.refs.store(0, Relaxed);
        self.status.store(0, Relaxed);
        self.ext.store(BEFORE, Relaxed);
        self.refs.store(1, Release);

        self.ext.store(AFTER, Relaxed);
        self.free_place(BEFORE);

        self.link.store(1, Release);
        self.refs.fetch_add(1, Relaxed);
        raise(&self.status, CONFIRMED);
    }

    fn find(&self) {
        let link = match self.weak {
            Weak::Dependency => self.link.load(Relaxed),
            _ => dereference(&self.link),
        };
        let matches = || self.status.load(Relaxed) & CONFIRMED != 0;
        let more = |refs| (refs != 0).then_some(refs + 1);
        if link == 0 || !matches() || self.refs.fetch_update(Acquire, Relaxed, more).is_err() {
            return;
        }
        if matches() {
            smp_rmb(self.weak == Weak::Nowhere);
            let place = self.ext.load(Relaxed);
            assert_ne!(
                place, BEFORE,
                "the extensions were read where they no longer are"
            );
            // SAFETY: By the reference; the checker complains if a thread frees it.
            let is_there = self.places[place].with(|is_there| unsafe { *is_there });
            assert!(is_there);
        }
        self.put();
    }
}

/// A connection comes into the table.
fn first_use(weak: Weak) {
    let conn = move || Conn::free(weak);
    race(conn, [Conn::find, Conn::begin], |_| ());
}

/// A connection goes, and a connection with the same key begins in its memory.
fn reuse(weak: Weak) {
    let conn = move || Conn::confirmed(weak);
    race(conn, [Conn::find, Conn::end], |_| ());
}

#[test]
fn extensions_of_the_next_connection_are_where_they_stay() {
    reuse(Weak::Nowhere);
}

/// What lookups were like without the barrier.
#[test]
#[should_panic(expected = "no longer are")]
fn a_lookup_has_to_read_confirmed_before_the_extensions() {
    reuse(Weak::Barrier);
}

/// A reader that came by the link that the owner made has all that the owner did before.
#[test]
fn the_link_orders_the_extensions_where_memory_is_not_reused() {
    first_use(Weak::Barrier);
}

#[test]
#[should_panic(expected = "no longer are")]
fn the_reference_does_not_order_the_extensions() {
    first_use(Weak::Dependency);
}
