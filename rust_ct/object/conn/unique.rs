// SPDX-License-Identifier: GPL-2.0

//! Connections that were just allocated.

use crate::{
    bindings,
    object::{
        conn::{
            key::Words,
            status::Flag,
            Conn,
            CACHE, //
        }, //
    },
    pure::{
        state::Status,
        tuple::{
            Direction,
            Tuple, //
        },
        zone::Zone, //
    },
    sys::{
        field::field,
        lock::Lock,
        net::Net, //
    },
};
use core::{
    mem::offset_of,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::sync::aref::ARef;

/// What a new connection begins with.
pub(crate) struct NewConn<'a> {
    /// The tuple of its first packet.
    pub(crate) original: &'a Tuple,
    /// The tuple of the answers.
    pub(crate) reply: &'a Tuple,
    /// The zone of its first packet.
    pub(crate) zone: Zone,
    /// The hash of the first packet's key.
    pub(crate) hash: u32,
}

/// A connection that was just allocated: it has no reference, and is dropped with its owner.
#[repr(transparent)]
pub(crate) struct UniqueConn(NonNull<Conn>);

/// A connection or template whose last reference is gone.
///
/// # Invariants
///
/// It is in no table, and only readers under RCU access it.
#[repr(transparent)]
pub(crate) struct Last(pub(super) NonNull<Conn>);

/// A connection or template that may get extensions.
///
/// # Invariants
///
/// No other code has it for `'a`, and nothing in its extensions is borrowed: they may move.
#[repr(transparent)]
pub(crate) struct Alone<'a>(pub(super) &'a Conn);

impl<'a> Alone<'a> {
    /// A connection or template that the caller has.
    ///
    /// # Safety
    ///
    /// As the type invariant has it.
    #[allow(dead_code)] // The tests call it.
    pub(crate) unsafe fn assume(conn: &'a Conn) -> Self {
        // INVARIANT: As the caller says.
        Self(conn)
    }

    /// The status bits now.
    pub(crate) fn status(&self) -> Status {
        self.0.status()
    }
}

impl UniqueConn {
    /// Allocates a connection of `net`, in any context. It is counted already by the caller.
    ///
    /// The memory may be that of a connection that readers are at: all that they read is written
    /// with single accesses, and without a reference they get none.
    pub(crate) fn new(net: &Net, new_conn: &NewConn<'_>) -> Option<Self> {
        let memory = CACHE.alloc()?;
        let conn = memory.as_ptr();
        // The kernel's structure comes first.
        let ct = conn.cast::<bindings::nf_conn>();

        // SAFETY: All fields are inside the memory. Only readers under RCU are there, and what they
        // read is written with volatile accesses.
        unsafe {
            Lock::init(
                &raw mut (*ct).lock,
                c"nf_conn",
                kernel::static_lock_class!(),
            );
            (&raw mut (*ct).ct_general.use_.refs.counter).write_volatile(0);
            (&raw mut (*ct).status).write_volatile(0);
            (&raw mut (*ct).timeout).write_volatile(0);
            (&raw mut (*ct).ct_net.net).write_volatile(net.as_ptr());
            (&raw mut (*ct).zone)
                .cast::<Zone>()
                .write_volatile(new_conn.zone);
            // All behind this field begins as zero. Of that, readers look at the private state.
            const REST: usize = offset_of!(bindings::nf_conn, __nfct_init_offset);
            const WORDS: usize = (size_of::<bindings::nf_conn>() - REST) / size_of::<u64>();
            const { assert!(REST % size_of::<u64>() == 0) };
            const { assert!(REST + WORDS * size_of::<u64>() == size_of::<bindings::nf_conn>()) };
            let rest = ct.byte_add(REST).cast::<u64>();
            for word in 0..WORDS {
                rest.add(word).write_volatile(0);
            }
        }
        let unique = Self(memory);
        unique.store_words(Direction::Original, new_conn.original);
        unique.store_words(Direction::Reply, new_conn.reply);
        // That of the replies is known at confirmation; a caller that ends the connection before
        // reads it.
        for dir in Direction::BOTH {
            // SAFETY: No other code has the connection.
            unsafe { unique.conn().store_hash(dir, new_conn.hash) };
        }
        Some(unique)
    }

    /// Leaves it to C, which has it already or gives it back as a `UniqueConn`.
    pub(crate) fn into_raw(self) -> NonNull<Conn> {
        let conn = self.0;
        core::mem::forget(self);
        conn
    }

    /// The connection, of which no other code knows. There is no reference yet, and none may be
    /// taken.
    pub(in super::super) fn conn(&self) -> &Conn {
        // SAFETY: The connection is initialised as far as the methods used here ask for, and ours.
        unsafe { self.0.as_ref() }
    }

    /// Lets it live for so many jiffies from [`UniqueConn::begin_timeout`] on.
    #[cfg(CONFIG_DEBUG_INFO_BTF_MODULES)]
    pub(crate) fn set_timeout(&mut self, jiffies: u64) {
        self.conn().set_timeout(jiffies);
    }

    /// Makes the span for which it lives a moment, counted from now.
    #[cfg(CONFIG_DEBUG_INFO_BTF_MODULES)]
    pub(crate) fn begin_timeout(&mut self) {
        self.conn().begin_timeout();
    }

    fn store_words(&self, dir: Direction, tuple: &Tuple) {
        let Words(words) = Words::of(&tuple.with_dir(dir));
        let to = self.conn().tuple_words(dir);
        for (to, word) in to.iter().zip(words) {
            to.store(word);
        }
    }

    /// Makes it a connection that its master expected: it is EXPECTED, so that its packets are
    /// RELATED, and it begins with the marks that rules gave the master, to which it keeps a
    /// reference.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, init_conntrack().
    pub(crate) fn follow(&mut self, master: ARef<Conn>) {
        self.conn().set_status(Flag::Expected);
        let conn = self.conn();
        field!(conn.ct, mark).store(master.mark());
        #[cfg(CONFIG_NF_CONNTRACK_SECMARK)]
        field!(conn.ct, secmark).store(master.secmark());
        field!(conn.ct, master).store(ARef::into_raw(master).as_ptr().cast());
    }

    /// As [`Conn::masters`].
    pub(crate) fn masters(&self) -> usize {
        self.conn().masters()
    }

    /// Forgets the master, to which the caller has the reference from now on.
    pub(crate) fn leave_master(&mut self) {
        let conn = self.conn();
        field!(conn.ct, master).store(ptr::null_mut());
    }

    /// The connection, to get extensions.
    pub(crate) fn alone(&mut self) -> Alone<'_> {
        // INVARIANT: No other code has it, and it is borrowed for good.
        Alone(self.conn())
    }

    /// Makes it a connection that has a reference. From now on other CPUs may get at it.
    pub(crate) fn publish(self) -> ARef<Conn> {
        let conn = self.0;
        core::mem::forget(self);
        // SAFETY: The connection is complete. The store releases all that was written before: a CPU
        // that gets a reference sees it. The count of one is this reference.
        unsafe {
            bindings::rct_conntrack_publish(conn.as_ref().nfct().get());
            ARef::from_raw(conn)
        }
    }
}

impl Drop for UniqueConn {
    fn drop(&mut self) {
        // No caller takes a reference by `conn()`. If one did, the memory is lost, not freed.
        if self.conn().use_count() == 0 {
            // INVARIANT: There is no reference, and the connection was never in a table.
            Last(self.0).destroy();
        }
    }
}
