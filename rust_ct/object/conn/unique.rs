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
        },
        helper::Helper, //
    },
    pure::{
        tuple::{
            Direction,
            Tuple, //
        },
        zone::Zone, //
    },
    sys::{
        lock::RawLock,
        net::Net,
        rcu::ReadSide, //
    },
};
use core::{
    cell::UnsafeCell,
    mem::offset_of,
    ptr::NonNull, //
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
pub(crate) struct UniqueConn(NonNull<Conn>);

impl UniqueConn {
    /// Allocates a connection of `net`, in any context. It is counted already by the caller.
    ///
    /// The memory may be that of a connection that readers are at: all that they read is written
    /// with single accesses, and without a reference they get none.
    pub(crate) fn new(net: &Net, new_conn: &NewConn<'_>) -> Option<Self> {
        let memory = CACHE.alloc()?;
        let conn = memory.as_ptr();
        // SAFETY: The memory is a connection's and ours.
        let ct = unsafe { UnsafeCell::raw_get(&raw const (*conn).ct) };

        // SAFETY: All fields are inside the memory. Nobody but readers is there, and what they read
        // is written with volatile accesses.
        unsafe {
            RawLock::new(&raw mut (*ct).lock).init(c"nf_conn", kernel::static_lock_class!());
            (&raw mut (*ct).ct_general.use_.refs.counter).write_volatile(0);
            (&raw mut (*ct).status).write_volatile(0);
            (&raw mut (*ct).timeout).write_volatile(0);
            (&raw mut (*ct).ct_net.net).write_volatile(net.as_ptr());
            (&raw mut (*ct).zone)
                .cast::<Zone>()
                .write_volatile(new_conn.zone);
            // All behind this field is the owner's, and begins as zero.
            let rest = offset_of!(bindings::nf_conn, __nfct_init_offset);
            ct.byte_add(rest)
                .cast::<u8>()
                .write_bytes(0, size_of::<bindings::nf_conn>() - rest);
        }
        let unique = Self(memory);
        unique.store_words(Direction::Original, new_conn.original);
        unique.store_words(Direction::Reply, new_conn.reply);
        // SAFETY: Nobody else has the connection.
        unsafe { unique.conn().store_hash(Direction::Original, new_conn.hash) };
        Some(unique)
    }

    /// Gives it to C, until [`UniqueConn::from_raw`].
    pub(crate) fn into_raw(self) -> NonNull<Conn> {
        let conn = self.0;
        core::mem::forget(self);
        conn
    }

    /// Takes it back from C.
    ///
    /// # Safety
    ///
    /// It must be from [`UniqueConn::into_raw`], and have no reference still.
    pub(crate) unsafe fn from_raw(conn: NonNull<Conn>) -> Self {
        Self(conn)
    }

    /// The connection, of which nobody else knows.
    pub(crate) fn conn(&self) -> &Conn {
        // SAFETY: The connection is initialised as far as the methods used here ask for, and ours.
        unsafe { self.0.as_ref() }
    }

    fn store_words(&self, dir: Direction, tuple: &Tuple) {
        let Words(words) = Words::of(&tuple.with_dir(dir));
        // SAFETY: The tuple is inside the connection.
        let to = unsafe { &raw mut (*self.conn().ct()).tuplehash[dir.index()].tuple }.cast::<u64>();
        for (i, word) in words.into_iter().enumerate() {
            // SAFETY: A tuple is five words, aligned as asserted above.
            unsafe { to.add(i).write_volatile(word) };
        }
    }

    /// Makes it one that its master has announced: it is EXPECTED, so that its packets are RELATED,
    /// and it begins with the marks that rules gave the master, to which it keeps a reference.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, init_conntrack().
    pub(crate) fn follow(&mut self, master: ARef<Conn>) {
        self.conn().set_status(Flag::Expected);
        // SAFETY: The fields are inside the connection, which is ours alone.
        unsafe {
            let ct = self.conn().ct();
            (&raw mut (*ct).mark).write_volatile(master.mark());
            #[cfg(CONFIG_NF_CONNTRACK_SECMARK)]
            (&raw mut (*ct).secmark).write_volatile(master.secmark());
            (&raw mut (*ct).master).write_volatile(ARef::into_raw(master).as_ptr().cast());
        }
    }

    /// Gives it a helper. What there is no memory for goes without.
    pub(crate) fn assign_helper(&mut self, helper: &Helper) {
        // SAFETY: Nobody else has the connection, and `self` is borrowed for good.
        unsafe { self.conn().assign_helper(helper) };
    }

    /// Gives it the helper of a template, if that has one. Returns whether it has.
    pub(crate) fn assign_helper_of(&mut self, template: &Conn, rcu: ReadSide<'_>) -> bool {
        // SAFETY: As above.
        unsafe { self.conn().assign_helper_of(template, rcu) }
    }

    /// Makes it a connection that has a reference. From now on others may get at it.
    pub(crate) fn publish(self) -> ARef<Conn> {
        let conn = self.0;
        core::mem::forget(self);
        // SAFETY: The connection is complete. The store releases all that was written before:
        // whoever gets a reference sees it.
        unsafe { bindings::rct_conntrack_publish(conn.as_ref().nfct()) };
        // SAFETY: The count of one is this reference.
        unsafe { ARef::from_raw(conn) }
    }
}

impl Drop for UniqueConn {
    fn drop(&mut self) {
        // SAFETY: There is no reference, and the connection was never in a table.
        unsafe { Conn::destroy(self.0) };
    }
}
