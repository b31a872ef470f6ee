// SPDX-License-Identifier: GPL-2.0

//! Connections that are over, of whose end nobody could be told, as the listener had no room for
//! the event. Each namespace has a list of them, with the reference that the table had, and a
//! worker tries again until all are told of.
//!
//! The list is the kernel's `struct nf_conntrack_net_ecache`, because ctnetlink shows what is in
//! it, under its lock. Connections are in it by the link of their original direction, which is in
//! no other list any more. Lock order: the list's lock is taken with no lock of ours held; under it
//! an event is told.
//!
//! Source: net/netfilter/nf_conntrack_ecache.c, ecache_work().

use crate::{
    bindings,
    conn::{
        event::{
            Asker,
            Event, //
        },
        Candidate,
        Conn, //
    },
    netns::NETNS,
    sys::{
        lock::{
            RawGuard,
            RawLock, //
        },
        net::Net,
        nulls::{
            Head,
            Link,
            Node, //
        },
        time::HZ,
        work::{
            Job,
            Worker, //
        },
    },
    tuple::Direction, //
};
use core::{
    cell::UnsafeCell,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// The number of the list: that of no bucket, so that a reader of the table who is led here
/// notices.
const NUMBER: usize = (1 << 30) + 1;

/// How many connections one run of the worker tells of at most, in each namespace.
const STEP: u32 = 1024;

/// How soon the worker tries again, in jiffies: after the first failure ...
const PATIENCE: u32 = HZ;
/// ... and after one of its own.
const AGAIN: u32 = HZ / 100 + 1;

/// The worker, which [`crate::RustCt`] starts.
pub(crate) static WORKER: Worker<Retry> = Worker::new();

/// The list of a namespace.
///
/// # Invariants
///
/// Lock and list are initialised when it is made, and everything in the list is the link of a
/// connection's original direction, with a reference to the connection.
#[repr(transparent)]
pub(crate) struct Untold(UnsafeCell<bindings::nf_conntrack_net_ecache>);

// SAFETY: The list is covered by its lock.
unsafe impl Sync for Untold {}
// SAFETY: A list belongs to no thread.
unsafe impl Send for Untold {}

impl Untold {
    /// An empty list.
    pub(crate) fn new() -> impl PinInit<Self> {
        // SAFETY: All of the memory is initialised: with zeroes, which are right for the work that
        // we have no use for, and then the lock and the list.
        unsafe {
            pin_init::pin_init_from_closure(|this: *mut Self| {
                let raw = this.cast::<bindings::nf_conntrack_net_ecache>();
                raw.write_bytes(0, 1);
                (&raw mut (*raw).dying_list)
                    .cast::<Head>()
                    .write(Head::new(NUMBER));
                RawLock::new(&raw mut (*raw).dying_lock)
                    .init(c"rust_ct_untold", kernel::static_lock_class!());
                Ok(())
            })
        }
    }

    /// As ctnetlink knows it.
    pub(crate) fn raw(&self) -> *mut bindings::nf_conntrack_net_ecache {
        self.0.get()
    }

    fn head(&self) -> &Head {
        // SAFETY: The field is a list's beginning.
        unsafe { &*(&raw const (*self.raw()).dying_list).cast::<Head>() }
    }

    fn lock(&self) -> RawGuard {
        // SAFETY: The lock is initialised, and lives as long as `self`.
        unsafe { RawLock::new(&raw mut (*self.raw()).dying_lock) }.lock()
    }

    /// Tells whether there is nobody in the list; others may change that at any time.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.head().first(), Link::End(_))
    }

    /// Adds a connection that has left the table, with the table's reference. Any context.
    pub(crate) fn add(&self, conn: ARef<Conn>) {
        let conn = ARef::into_raw(conn);
        let guard = self.lock();
        // SAFETY: The lock is held. The connection has left the table, and so has its link.
        unsafe { self.head().add(conn.as_ref().node(Direction::Original)) };
        drop(guard);
        WORKER.ask(PATIENCE);
    }

    /// Tells of those in the list, unless nobody has room for it, or they are too many for one go.
    /// Tells whether all are told of. Process context.
    pub(crate) fn retry(&self) -> bool {
        for _ in 0..STEP {
            match self.tell_one() {
                Some(true) => (),
                Some(false) => return false,
                None => return true,
            }
            // SAFETY: Process context, and no spinlock is held.
            unsafe { bindings::rct_cond_resched() };
        }
        self.is_empty()
    }

    /// Tells of one; `None` if there is none. The listener is called under the lock, as ctnetlink
    /// may be looking at it.
    fn tell_one(&self) -> Option<bool> {
        let guard = self.lock();
        let Link::Node(node) = self.head().first() else {
            return None;
        };
        // SAFETY: By the type invariant, and the lock is held.
        let conn = unsafe { Candidate::new(node) }.conn;
        if conn.report(Event::Destroy.bit(), Asker::NOBODY).is_err() {
            return Some(false);
        }
        // SAFETY: The link is in the list, whose lock is held.
        unsafe { Node::remove(node) };
        // SAFETY: The list's reference, which it gives up.
        let conn = unsafe { ARef::from_raw(NonNull::from(conn)) };
        // The last reference may go with it, under no lock.
        drop(guard);
        drop(conn);
        Some(true)
    }
}

/// What the worker does: it tries again in all namespaces.
pub(crate) struct Retry;

impl Job for Retry {
    fn run() -> Option<u32> {
        let mut all = true;
        Net::for_each(|net| {
            // A namespace whose state is being dropped has taken itself off those that are gone
            // through, or waits until this worker has ended.
            if let Some(netns) = NETNS.get(net) {
                all &= netns.untold.retry();
            }
        });
        (!all).then_some(AGAIN)
    }
}

impl Conn {
    /// Tells of the connection's end; tells whether that worked.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_ct_delete().
    pub(crate) fn tell_end(&self, asker: Asker) -> bool {
        let told = self.report(Event::Destroy.bit(), asker).is_ok();
        // There is room again.
        if told && self.netns().is_some_and(|netns| !netns.untold.is_empty()) {
            WORKER.ask(0);
        }
        told
    }

    /// Keeps the connection, which has left the table, with the table's reference, until somebody
    /// is told of its end.
    pub(crate) fn wait_untold(conn: ARef<Self>) {
        // SAFETY: The namespace lives as long as its connection, which is in its list then.
        let net = unsafe { Net::from_raw(conn.net().as_ptr()) };
        if let Some(netns) = NETNS.get(net) {
            netns.untold.add(conn);
        }
    }
}
