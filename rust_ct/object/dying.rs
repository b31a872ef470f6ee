// SPDX-License-Identifier: GPL-2.0

//! The dying list of a namespace: connections that are over, but whose DESTROY event could not be
//! delivered, as the listener had no room for it.
//!
//! The list is the kernel's `struct nf_conntrack_net_ecache`, because ctnetlink shows what is in
//! it, under its lock. It has the reference that the table had. Connections are in it by the link
//! of their original direction, which is in no other list any more.
//!
//! Lock order: the list's lock is taken with no lock of the table held; under it the event of an
//! end is delivered.
//!
//! Source: net/netfilter/nf_conntrack_ecache.c, ecache_work().

use crate::{
    bindings,
    object::conn::{
        event::{
            Event,
            Requester, //
        },
        Candidate,
        Conn, //
    },
    pure::tuple::Direction,
    sys::{
        call,
        field::{
            field,
            Memory, //
        },
        lock::{
            Lock,
            RawGuard, //
        },
        nulls::{
            Head,
            Link,
            Node, //
        },
        time, //
    },
};
use core::{
    marker::PhantomPinned,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// The number of the list: that of no bucket, so that a reader of the table that is led here
/// notices.
///
/// Source: net/netfilter/nf_conntrack_ecache.c, DYING_NULLS_VAL.
const NUMBER: usize = (1 << 30) + 1;

/// How many connections one go delivers at most: some ten milliseconds with ctnetlink.
const STEP: u32 = 1024;

/// A connection that has left the table, with the table's reference.
///
/// # Invariants
///
/// Its links are in no list.
#[must_use]
pub(crate) struct Unlinked(ARef<Conn>);

impl Unlinked {
    /// What has just left the table.
    ///
    /// # Safety
    ///
    /// The links must be in no list, and no code may enter them into one.
    pub(super) unsafe fn new(conn: ARef<Conn>) -> Self {
        // INVARIANT: As the caller says.
        Self(conn)
    }

    /// The connection.
    pub(crate) fn conn(&self) -> &Conn {
        &self.0
    }
}

/// The dying list of a namespace.
///
/// # Invariants
///
/// Lock and list are initialised when it is made, and everything in the list is the link of a
/// connection's original direction, with a reference to the connection.
#[repr(transparent)]
pub(crate) struct DyingList(Memory<bindings::nf_conntrack_net_ecache>, PhantomPinned);

impl DyingList {
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
                Lock::init(
                    &raw mut (*raw).dying_lock,
                    c"rust_ct_dying",
                    kernel::static_lock_class!(),
                );
                Ok(())
            })
        }
    }

    /// As ctnetlink knows it.
    pub(crate) fn raw(&self) -> *mut bindings::nf_conntrack_net_ecache {
        self.0.get()
    }

    fn head(&self) -> &Head {
        field!(self.0, dying_list as Head)
    }

    fn lock(&self) -> RawGuard<'_> {
        field!(self.0, dying_lock as Lock).lock()
    }

    /// Returns whether the list is empty; other CPUs may change that at any time.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.head().first(), Link::End(_))
    }

    /// Adds a connection. Any context.
    pub(crate) fn add(&self, unlinked: Unlinked) {
        let conn = ARef::into_raw(unlinked.0);
        let guard = self.lock();
        // SAFETY: The lock is held. By the invariant of `Unlinked`, the link is in no list.
        unsafe { self.head().add(conn.as_ref().node(Direction::Original)) };
        drop(guard);
    }

    /// Forgets one connection without its event, because there is no room; returns whether there
    /// was one. Any context, with none of the table's locks held.
    pub(crate) fn evict(&self) -> bool {
        let guard = self.lock();
        let evicted = self.remove_first(&guard);
        // The last reference may go with it, under no lock.
        drop(guard);
        evicted.is_some()
    }

    /// Removes the first connection, if there is one, and returns the list's reference. The guard
    /// is that of the list.
    fn remove_first(&self, _guard: &RawGuard<'_>) -> Option<ARef<Conn>> {
        let Link::Node(node) = self.head().first() else {
            return None;
        };
        // SAFETY: By the type invariant, the link is that of a connection in the list, whose lock
        // is held, and which gives its reference up.
        Some(unsafe {
            Node::remove(node);
            ARef::from_raw(NonNull::from(Candidate::new(node).held()))
        })
    }

    /// Delivers the DESTROY events of the connections in the list, unless the listener has no room
    /// for one, or they are too many for one go, which ends at a time of [`time::boot_ns`] as well.
    /// Returns whether all are delivered, and adds to `told` how many were. Process context.
    pub(crate) fn deliver(&self, end: i64, told: &mut u32) -> bool {
        for _ in 0..STEP {
            if time::boot_ns() >= end {
                break;
            }
            match self.deliver_one() {
                Some(true) => *told = told.saturating_add(1),
                Some(false) => return false,
                None => return true,
            }
            call::rct_cond_resched();
        }
        self.is_empty()
    }

    /// Delivers the event of one connection; `None` if there is none. The listener is called under
    /// the lock, as ctnetlink may be looking at the connection.
    fn deliver_one(&self) -> Option<bool> {
        let guard = self.lock();
        let Link::Node(node) = self.head().first() else {
            return None;
        };
        // SAFETY: By the type invariant, and the lock is held; the list has a reference.
        let conn = unsafe { Candidate::new(node).held() };
        if conn
            .report_events(Event::Destroy.bit(), Requester::NOBODY)
            .is_err()
        {
            return Some(false);
        }
        let conn = self.remove_first(&guard);
        // The last reference may go with it, under no lock.
        drop(guard);
        drop(conn);
        Some(true)
    }
}
