// SPDX-License-Identifier: GPL-2.0

//! Confirmation against the end of a connection.
//!
//! Of `Table::lock_pair`, `Table::admit`, `Admission::insert`, `Admission::confirm` and
//! `Table::unlink` in rust_ct/object/table/insert.rs, `Conn::begin_dying` and
//! `Conn::set_confirmed` in rust_ct/object/conn/status.rs, `kill_for` in rust_ct/datapath/end.rs,
//! and `Conn::is_overdue` in rust_ct/object/conn.rs.
//!
//! tests/litmus/confirm+kill.litmus and confirm+overdue.litmus are the same.

use crate::kernel::{
    race,
    raise,
    smp_rmb,
    CONFIRMED,
    DYING, //
};
use loom::sync::{
    atomic::{
        AtomicUsize,
        Ordering::Relaxed, //
    },
    Mutex,
    MutexGuard, //
};

/// Where the model does less than the code.
#[derive(Clone, Copy, PartialEq)]
enum Weak {
    Nowhere,
    /// Confirmation looks for DYING before it has the locks.
    DyingUnlocked,
    /// The end looks for CONFIRMED before it has the locks.
    ConfirmedUnlocked,
    /// CONFIRMED is set by a load and a store.
    PlainConfirmed,
    /// DYING is.
    PlainDying,
    /// The hash of the replies is not read again with the locks.
    HashOnce,
    /// The link that is not needed is left as it was.
    LeftOut,
    /// No barrier between CONFIRMED and the timeout.
    Barrier,
}

/// The bucket of the first packet, that of the replies, and that of the replies after NAT.
const ORIGINAL: usize = 0;
const REPLY: usize = 1;
const NAT_REPLY: usize = 2;

/// A timeout before confirmation, and after.
const SPAN: usize = 0;
const MOMENT: usize = 1;

/// What the hash of the replies is before confirmation, and after. The module begins with that of
/// the first packet; any would do.
#[derive(Clone, Copy)]
struct Hashes {
    stale: usize,
    home: usize,
}

/// Two links, and the hash before is that of neither of their buckets.
const TWO_LINKS: Hashes = Hashes {
    stale: REPLY,
    home: NAT_REPLY,
};
/// Two links, and by the hash before there is but one bucket.
const TWO_LINKS_AFTER_ONE: Hashes = Hashes {
    stale: ORIGINAL,
    home: NAT_REPLY,
};
/// One link: the replies have the bucket of the first packet.
const ONE_LINK: Hashes = Hashes {
    stale: REPLY,
    home: ORIGINAL,
};

/// Where the link of the replies is.
const NOWHERE: usize = 0;
const IN_A_BUCKET: usize = 1;
const ALONE: usize = 2;

struct Model {
    status: AtomicUsize,
    timeout: AtomicUsize,
    reply: AtomicUsize,
    /// What confirmation finds the hash of the replies to be.
    home: usize,
    link: AtomicUsize,
    refs: AtomicUsize,
    /// Whether the connection is in a bucket.
    buckets: [Mutex<bool>; 3],
    weak: Weak,
}

/// The bucket of the first packet, and that of the replies if it is another bucket.
type Pair<'a> = (MutexGuard<'a, bool>, Option<MutexGuard<'a, bool>>);

impl Model {
    /// An unconfirmed connection, to which two have a reference.
    fn new(hashes: Hashes, weak: Weak) -> Self {
        Self {
            status: AtomicUsize::new(0),
            timeout: AtomicUsize::new(SPAN),
            reply: AtomicUsize::new(hashes.stale),
            home: hashes.home,
            link: AtomicUsize::new(NOWHERE),
            refs: AtomicUsize::new(2),
            buckets: [Mutex::new(false), Mutex::new(false), Mutex::new(false)],
            weak,
        }
    }

    fn has(&self, bit: usize) -> bool {
        self.status.load(Relaxed) & bit != 0
    }

    fn raise(&self, bit: usize, plainly: bool) -> bool {
        if !plainly {
            return raise(&self.status, bit);
        }
        let status = self.status.load(Relaxed);
        self.status.store(status | bit, Relaxed);
        status & bit == 0
    }

    fn lock_pair(&self, reply: usize) -> Pair<'_> {
        let original = self.buckets[ORIGINAL].lock().unwrap();
        let other = (reply != ORIGINAL).then(|| self.buckets[reply].lock().unwrap());
        (original, other)
    }

    fn confirm(&self) {
        let was_dying = self.has(DYING);
        let (mut original, mut reply) = self.lock_pair(self.home);
        if match self.weak {
            Weak::DyingUnlocked => was_dying,
            _ => self.has(DYING),
        } {
            return;
        }
        self.timeout.store(MOMENT, Relaxed);
        *original = true;
        if let Some(reply) = &mut reply {
            **reply = true;
            self.link.store(IN_A_BUCKET, Relaxed);
        } else if self.weak != Weak::LeftOut {
            self.link.store(ALONE, Relaxed);
        }
        self.reply.store(self.home, Relaxed);
        self.refs.fetch_add(1, Relaxed);
        self.raise(CONFIRMED, self.weak == Weak::PlainConfirmed);
    }

    fn kill(&self) {
        if !self.raise(DYING, self.weak == Weak::PlainDying) {
            return;
        }
        let was_confirmed = self.has(CONFIRMED);
        let (hash, (mut original, mut reply)) = loop {
            let hash = self.reply.load(Relaxed);
            let pair = self.lock_pair(hash);
            if self.weak == Weak::HashOnce || self.reply.load(Relaxed) == hash {
                break (hash, pair);
            }
        };
        if !match self.weak {
            Weak::ConfirmedUnlocked => was_confirmed,
            _ => self.has(CONFIRMED),
        } {
            return;
        }
        let link = self.link.swap(NOWHERE, Relaxed);
        assert!(
            *original && link != NOWHERE,
            "unlinked from a list that it is not in"
        );
        *original = false;
        if link == IN_A_BUCKET {
            assert_eq!(hash, self.home, "unlinked from a list that is not locked");
            **reply.as_mut().unwrap() = false;
        }
        drop((original, reply));
        self.refs.fetch_sub(1, Relaxed);
    }

    fn is_overdue(&self) {
        let status = self.status.load(Relaxed);
        if status & CONFIRMED == 0 || status & DYING != 0 {
            return;
        }
        smp_rmb(self.weak != Weak::Barrier);
        let timeout = self.timeout.load(Relaxed);
        assert_eq!(timeout, MOMENT, "a span was taken for a moment");
    }
}

fn against_kill(hashes: Hashes, weak: Weak) {
    let model = move || Model::new(hashes, weak);
    race(model, [Model::confirm, Model::kill], |model| {
        for bucket in &model.buckets {
            let stays = *bucket.lock().unwrap();
            assert!(!stays, "it stays in the table for ever");
        }
        let refs = model.refs.load(Relaxed);
        assert_eq!(refs, 2, "the table's reference is lost");
    });
}

/// Two end a connection of the table.
fn against_each_other(hashes: Hashes, weak: Weak) {
    let model = move || {
        let model = Model::new(hashes, weak);
        model.confirm();
        model
    };
    race(model, [Model::kill, Model::kill], |model| {
        let refs = model.refs.load(Relaxed);
        assert_eq!(refs, 2, "the table's reference is lost");
    });
}

fn against_overdue(weak: Weak) {
    let model = move || Model::new(TWO_LINKS, weak);
    race(model, [Model::confirm, Model::is_overdue], |_| ());
}

#[test]
fn whoever_is_ended_leaves_the_table_or_does_not_enter_it() {
    against_kill(TWO_LINKS, Weak::Nowhere);
}

#[test]
#[should_panic(expected = "stays in the table")]
fn dying_has_to_be_looked_for_with_the_locks() {
    against_kill(TWO_LINKS, Weak::DyingUnlocked);
}

#[test]
#[should_panic(expected = "stays in the table")]
fn confirmed_has_to_be_looked_for_with_the_locks() {
    against_kill(TWO_LINKS, Weak::ConfirmedUnlocked);
}

#[test]
#[should_panic(expected = "stays in the table")]
fn confirmed_has_to_be_set_atomically() {
    against_kill(TWO_LINKS, Weak::PlainConfirmed);
}

#[test]
#[should_panic(expected = "a list that is not locked")]
fn the_hash_of_the_replies_has_to_be_read_again() {
    against_kill(TWO_LINKS, Weak::HashOnce);
}

#[test]
fn a_stale_hash_may_lead_to_one_bucket() {
    against_kill(TWO_LINKS_AFTER_ONE, Weak::Nowhere);
}

#[test]
#[should_panic(expected = "a list that is not locked")]
fn the_hash_has_to_be_read_again_if_it_leads_to_one_bucket() {
    against_kill(TWO_LINKS_AFTER_ONE, Weak::HashOnce);
}

#[test]
fn whoever_has_one_link_leaves_the_table_or_does_not_enter_it() {
    against_kill(ONE_LINK, Weak::Nowhere);
}

#[test]
#[should_panic(expected = "stays in the table")]
fn dying_has_to_be_looked_for_with_the_one_lock() {
    against_kill(ONE_LINK, Weak::DyingUnlocked);
}

#[test]
#[should_panic(expected = "a list that it is not in")]
fn a_link_that_is_not_needed_has_to_be_a_list() {
    against_kill(ONE_LINK, Weak::LeftOut);
}

#[test]
fn one_of_two_takes_it_out_of_the_table() {
    against_each_other(TWO_LINKS, Weak::Nowhere);
}

#[test]
fn one_of_two_takes_its_one_link_out_of_the_table() {
    against_each_other(ONE_LINK, Weak::Nowhere);
}

#[test]
#[should_panic(expected = "a list that it is not in")]
fn dying_has_to_be_set_atomically() {
    against_each_other(TWO_LINKS, Weak::PlainDying);
}

#[test]
fn the_timeout_of_who_is_confirmed_is_a_moment() {
    against_overdue(Weak::Nowhere);
}

#[test]
#[should_panic(expected = "a span was taken for a moment")]
fn the_timeout_has_to_be_read_behind_confirmed() {
    against_overdue(Weak::Barrier);
}
