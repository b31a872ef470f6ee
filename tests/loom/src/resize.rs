// SPDX-License-Identifier: GPL-2.0

//! A table that gets other buckets, twice in a row, while other threads look up and unlink.
//!
//! Of `Table::resize`, `Table::move_some` and `Table::finish` in rust_ct/object/table/resize.rs,
//! `Table::search` in lookup.rs there, `Table::next` and `Table::is_current` in table.rs,
//! `Table::homes` and `Table::lock_pair` in insert.rs, `Head::take_over` in rust_ct/sys/nulls.rs,
//! and `RcuBox` in rust_ct/sys/rcu_box.rs.
//!
//! tests/litmus/resize+leave.litmus, resize+finish.litmus and resize+changes.litmus are the same.

use crate::{
    kernel::{
        dereference,
        race,
        smp_rmb, //
    },
    locks::{
        self,
        Locks, //
    },
};
use loom::{
    cell::UnsafeCell,
    sync::{
        atomic::{
            fence,
            AtomicUsize,
            Ordering::{
                AcqRel,
                Acquire,
                Relaxed,
                Release, //
            }, //
        },
        Mutex,
        RwLock, //
    },
};

/// Where the model does less than the code.
#[derive(Clone, Copy, PartialEq)]
enum Weak {
    Nowhere,
    /// No barrier between the current bucket and the next buckets.
    NextBarrier,
    /// No barrier between the next buckets and the question whether the current buckets still are.
    CurrentBarrier,
    /// No thread asks whether the current buckets still are.
    IsCurrent,
    /// A connection leaves the old list before it enters the new list.
    LeaveFirst,
    /// No write barrier before it leaves.
    Close,
    /// The next buckets are taken away before they are the current buckets.
    EmptyFirst,
    /// Lists of both sides have the same numbers.
    Sides,
    /// The old buckets are given back at once.
    GracePeriod,
    /// No thread compares `changes`.
    Changes,
    /// `changes` is read without acquire.
    ChangesAcquire,
    /// `changes` is written without release.
    ChangesRelease,
}

/// Two pieces of memory for buckets: the third buckets are where the first were.
const SETS: usize = 2;
/// The buckets that a set has at the most.
const BUCKETS: usize = 2;
/// The connection that is looked for; the other connection is in its way.
const WANTED: usize = 0;
const OTHER: usize = 1;

/// What a link leads to. Zero is what memory has that is not buckets.
const fn node(conn: usize) -> usize {
    (conn + 1) * 2
}

#[derive(Clone, Copy, PartialEq)]
enum Walked {
    Found,
    End,
    Astray,
}

struct Table {
    buckets: AtomicUsize,
    next: AtomicUsize,
    heads: [[AtomicUsize; BUCKETS]; SETS],
    nodes: [AtomicUsize; 2],
    /// Complains if a set is made or given back while a thread is at it.
    memory: [UnsafeCell<()>; SETS],
    rcu: RwLock<()>,
    /// All locks; covers whether what was in the current buckets has moved.
    has_moved: Mutex<bool>,
    is_entered: AtomicUsize,
    weak: Weak,
}

impl Table {
    /// A table with one bucket, and so many connections in it, the wanted connection last.
    fn new(conns: usize, weak: Weak) -> Self {
        let none = || [AtomicUsize::new(0), AtomicUsize::new(0)];
        let table = Self {
            buckets: AtomicUsize::new(1),
            next: AtomicUsize::new(0),
            heads: [none(), none()],
            nodes: none(),
            memory: [UnsafeCell::new(()), UnsafeCell::new(())],
            rcu: RwLock::new(()),
            has_moved: Mutex::new(false),
            is_entered: AtomicUsize::new(0),
            weak,
        };
        let mut first = table.end(0, 0);
        for conn in 0..conns {
            table.nodes[conn].store(first, Relaxed);
            first = node(conn);
        }
        table.write_memory(0, true);
        table.heads[0][0].store(first, Relaxed);
        table
    }

    /// The end of a list.
    fn end(&self, set: usize, bucket: usize) -> usize {
        let side = match self.weak {
            Weak::Sides => 0,
            _ => set << 4,
        };
        (side | bucket) << 1 | 1
    }

    /// The bucket of a connection: the first set has one bucket, the other set has two.
    fn index(set: usize, conn: usize) -> usize {
        match conn {
            WANTED => set,
            _ => 0,
        }
    }

    fn walk(&self, buckets: usize) -> Walked {
        let set = buckets - 1;
        let bucket = Self::index(set, WANTED);
        // SAFETY: RCU is held; the checker complains if the memory is written to.
        self.memory[set].with(|_| ());
        let mut link = self.heads[set][bucket].load(Relaxed);
        loop {
            match link {
                0 => panic!("a list is in memory that has none"),
                _ if link == node(WANTED) => return Walked::Found,
                _ if link == self.end(set, bucket) => return Walked::End,
                _ if link & 1 != 0 => return Walked::Astray,
                _ => link = self.nodes[link / 2 - 1].load(Relaxed),
            }
        }
    }

    /// Returns whether the wanted connection is found; `None` if that takes more than a few rounds.
    fn search(&self) -> Option<bool> {
        let _rcu = self.rcu.read().unwrap();
        for _ in 0..3 {
            let current = dereference(&self.buckets);
            let mut walked = self.walk(current);
            if walked == Walked::End {
                smp_rmb(self.weak != Weak::NextBarrier);
                let next = dereference(&self.next);
                if next != 0 {
                    walked = self.walk(next);
                }
            }
            match walked {
                Walked::Found => return Some(true),
                Walked::Astray => continue,
                Walked::End => smp_rmb(self.weak != Weak::CurrentBarrier),
            }
            if self.weak == Weak::IsCurrent || self.buckets.load(Relaxed) == current {
                return Some(false);
            }
        }
        None
    }

    /// Memory becomes buckets, or is given back.
    fn write_memory(&self, set: usize, are_buckets: bool) {
        self.memory[set].with_mut(|_| ());
        for bucket in 0..BUCKETS {
            let end = if are_buckets {
                self.end(set, bucket)
            } else {
                0
            };
            self.heads[set][bucket].store(end, Relaxed);
        }
    }

    fn take_over(&self, from: &AtomicUsize, to: &AtomicUsize, conn: usize) {
        let link = &self.nodes[conn];
        let next = link.load(Relaxed);
        if self.weak == Weak::LeaveFirst {
            from.store(next, Release);
        }
        link.store(to.load(Relaxed), Relaxed);
        to.store(node(conn), Release);
        match self.weak {
            Weak::LeaveFirst => (),
            Weak::Close => from.store(next, Relaxed),
            _ => {
                fence(Release);
                from.store(next, Relaxed);
            }
        }
    }

    /// Ends the connection that is in the way, and begins another in its memory, which has the
    /// same bucket and is first in it.
    fn reuse(&self) {
        let link = &self.nodes[OTHER];
        let has_moved = self.has_moved.lock().unwrap();
        let head = &self.heads[usize::from(*has_moved)][0];
        head.store(link.load(Relaxed), Release);
        drop(has_moved);

        let has_moved = self.has_moved.lock().unwrap();
        let head = &self.heads[usize::from(*has_moved)][0];
        link.store(head.load(Relaxed), Relaxed);
        head.store(node(OTHER), Release);
    }

    /// Enters the wanted connection, and says so.
    fn enter(&self) {
        let has_moved = self.has_moved.lock().unwrap();
        let set = usize::from(*has_moved);
        let head = &self.heads[set][Self::index(set, WANTED)];
        self.nodes[WANTED].store(head.load(Relaxed), Relaxed);
        head.store(node(WANTED), Release);
        drop(has_moved);
        self.is_entered.store(1, Release);
    }

    /// Resizes from one set to the other set.
    fn resize(&self, from: usize, to: usize) {
        self.write_memory(to, true);
        self.next.swap(to + 1, AcqRel);
        let mut has_moved = self.has_moved.lock().unwrap();
        for head in &self.heads[from] {
            loop {
                let link = head.load(Relaxed);
                if link & 1 != 0 {
                    break;
                }
                let conn = link / 2 - 1;
                self.take_over(head, &self.heads[to][Self::index(to, conn)], conn);
            }
        }
        *has_moved = true;
        drop(has_moved);

        let has_moved = self.has_moved.lock().unwrap();
        if self.weak == Weak::EmptyFirst {
            self.next.swap(0, AcqRel);
        }
        self.buckets.swap(to + 1, AcqRel);
        self.next.swap(0, AcqRel);
        drop(has_moved);
        if self.weak != Weak::GracePeriod {
            // Waits for readers of the old buckets; readers that begin now see the new buckets.
            drop(self.rcu.write().unwrap());
        }
        self.write_memory(from, false);
    }
}

/// A thread looks up a connection that is there throughout; `mover` resizes meanwhile.
fn readers(conns: usize, weak: Weak, mover: fn(&Table)) {
    race(move || Table::new(conns, weak), [mover, look], |_| ());
}

fn look(table: &Table) {
    assert_ne!(table.search(), Some(false), "a connection is missed");
}

fn once(table: &Table) {
    table.resize(0, 1);
}

fn twice(table: &Table) {
    table.resize(0, 1);
    table.resize(1, 0);
}

#[test]
fn nobody_is_missed() {
    readers(1, Weak::Nowhere, once);
}

#[test]
fn nobody_is_missed_behind_another() {
    readers(2, Weak::Nowhere, once);
}

#[test]
fn nobody_is_missed_behind_memory_that_is_reused() {
    let table = || Table::new(2, Weak::Nowhere);
    race(table, [once, look, Table::reuse], |_| ());
}

#[test]
fn nobody_is_missed_who_entered_before() {
    let later: fn(&Table) = |table| {
        if table.is_entered.load(Acquire) == 1 {
            look(table);
        }
    };
    let table = || Table::new(0, Weak::Nowhere);
    race(table, [once, later, Table::enter], |_| ());
}

#[test]
fn nobody_is_missed_when_resized_twice() {
    readers(1, Weak::Nowhere, twice);
}

#[test]
fn nobody_is_missed_behind_another_when_resized_twice() {
    readers(2, Weak::Nowhere, twice);
}

#[test]
#[should_panic(expected = "a connection is missed")]
fn the_next_buckets_have_to_be_read_behind_the_current_bucket() {
    readers(1, Weak::NextBarrier, once);
}

#[test]
#[should_panic(expected = "a connection is missed")]
fn the_current_buckets_have_to_be_read_again_behind_the_next_ones() {
    readers(1, Weak::CurrentBarrier, once);
}

#[test]
#[should_panic(expected = "a connection is missed")]
fn the_current_buckets_have_to_be_asked_for_again() {
    readers(1, Weak::IsCurrent, once);
}

#[test]
#[should_panic(expected = "a connection is missed")]
fn a_connection_has_to_enter_before_it_leaves() {
    readers(1, Weak::LeaveFirst, once);
}

#[test]
#[should_panic(expected = "a connection is missed")]
fn leaving_has_a_barrier_before_it() {
    readers(1, Weak::Close, once);
}

#[test]
#[should_panic(expected = "a connection is missed")]
fn the_next_buckets_have_to_stay_until_they_are_the_current_ones() {
    readers(1, Weak::EmptyFirst, once);
}

#[test]
#[should_panic(expected = "a connection is missed")]
fn the_sides_have_to_differ() {
    readers(2, Weak::Sides, once);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn old_buckets_have_to_stay_for_a_grace_period() {
    readers(2, Weak::GracePeriod, twice);
}

/// The writers: which list a connection is in, and under which locks.
struct Writers {
    buckets: AtomicUsize,
    next: AtomicUsize,
    moved: AtomicUsize,
    changes: AtomicUsize,
    locks: Locks,
    /// Whether it is in its list of the first, second or third buckets.
    lists: [UnsafeCell<bool>; 3],
    weak: Weak,
}

/// The number of the bucket in each, and how many there are.
const INDEX: [usize; 3] = [1, 0, 1];
const SIZE: [usize; 3] = [2, 1, 2];

impl Writers {
    fn new(weak: Weak) -> Self {
        Self {
            buckets: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            moved: AtomicUsize::new(0),
            changes: AtomicUsize::new(0),
            locks: Locks::new(locks::Weak::Nowhere),
            lists: [
                UnsafeCell::new(true),
                UnsafeCell::new(false),
                UnsafeCell::new(false),
            ],
            weak,
        }
    }

    fn home(&self) -> usize {
        let current = self.buckets.load(Relaxed);
        let next = self.next.load(Relaxed);
        if next != 0 && INDEX[current] < self.moved.load(Relaxed) {
            next
        } else {
            current
        }
    }

    /// Takes it out of the table, unless that takes more than two rounds.
    fn unlink(&self) {
        for _ in 0..2 {
            let changes = self.changes.load(match self.weak {
                Weak::ChangesAcquire => Relaxed,
                _ => Acquire,
            });
            let list = self.home();
            let _guard = self.locks.lock_pair(INDEX[list], 0);
            if self.weak == Weak::Changes || self.changes.load(Relaxed) == changes {
                assert!(self.replace(list, false), "it is not where it has its home");
                return;
            }
        }
    }

    /// Its lock is held: has it in a list or not, and returns whether it was.
    fn replace(&self, list: usize, is_there: bool) -> bool {
        // SAFETY: The lock is held; the checker complains if another thread is there.
        self.lists[list].with_mut(|place| unsafe { core::mem::replace(&mut *place, is_there) })
    }

    fn changed(&self) {
        let changes = self.changes.load(Relaxed);
        self.changes.store(
            changes + 1,
            match self.weak {
                Weak::ChangesRelease => Relaxed,
                _ => Release,
            },
        );
    }

    fn resize(&self, from: usize, to: usize) {
        self.next.swap(to, AcqRel);

        let all = self.locks.lock_all();
        let was_there = self.replace(from, false);
        self.replace(to, was_there);
        self.moved.store(SIZE[from], Relaxed);
        self.changed();
        drop(all);

        let all = self.locks.lock_all();
        self.buckets.swap(to, AcqRel);
        self.next.swap(0, AcqRel);
        self.moved.store(0, Relaxed);
        self.changed();
        drop(all);
    }
}

fn writers(weak: Weak, mover: fn(&Writers)) {
    let table = move || Writers::new(weak);
    race(table, [mover, Writers::unlink], |_| ());
}

#[test]
fn a_writer_finds_the_home() {
    writers(Weak::Nowhere, |table| table.resize(0, 1));
}

#[test]
fn a_writer_finds_the_home_when_resized_twice() {
    writers(Weak::Nowhere, |table| {
        table.resize(0, 1);
        table.resize(1, 2);
    });
}

#[test]
#[should_panic(expected = "not where it has its home")]
fn changes_have_to_be_compared() {
    writers(Weak::Changes, |table| table.resize(0, 1));
}

#[test]
#[should_panic(expected = "not where it has its home")]
fn reading_changes_has_to_acquire() {
    writers(Weak::ChangesAcquire, |table| {
        table.resize(0, 1);
        table.resize(1, 2);
    });
}

#[test]
#[should_panic(expected = "not where it has its home")]
fn writing_changes_has_to_release() {
    writers(Weak::ChangesRelease, |table| {
        table.resize(0, 1);
        table.resize(1, 2);
    });
}
