// SPDX-License-Identifier: GPL-2.0

//! The end of a connection's life: its last reference is gone.

use crate::{
    bindings,
    object::{
        conn::{
            Conn,
            Last,
            CACHE, //
        },
        expect,
        helper::Helper, //
    },
    pure::{
        state::Status,
        wire::ipproto, //
    },
    sys::{
        call,
        field::field,
        rcu::ReadSide,
        refcount::Counted, //
    },
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::sync::{
    aref::{
        ARef,
        AlwaysRefCounted, //
    },
    rcu, //
};

impl Last {
    /// The connection.
    pub(super) fn conn(&self) -> &Conn {
        // SAFETY: By the type invariant, the memory is that of a connection until `free`.
        unsafe { self.0.as_ref() }
    }

    /// Gives the memory back, and the connection's reference to its master; if that was the last
    /// reference to it, the master is destroyed in turn: [`super::MASTERS`] at the most.
    pub(crate) fn destroy(self) {
        let mut last = Some(self);
        while let Some(conn) = last {
            last = conn.free().and_then(put);
        }
    }

    /// Gives the memory of a connection or template back, and hands its reference to its master on.
    fn free(self) -> Option<ARef<Conn>> {
        let conn = self.conn();
        if conn.status().contains(Status::TEMPLATE) {
            // What a template's extensions refer to belongs to the rule that made it.
            // SAFETY: Templates and extensions come from kmalloc(), and a null pointer is none.
            unsafe {
                bindings::kfree(field!(conn.ct, ext).load().cast());
                bindings::kfree(conn.ct().cast());
            }
            return None;
        }
        let netns = conn.netns();
        let master = NonNull::new(field!(conn.ct, master).load().cast::<Conn>());
        if master.is_some() {
            conn.forget_call();
        }
        conn.leave_nat();
        self.drop_help();
        // SAFETY: As above; a connection has a reference to its policy, and is from the cache.
        unsafe {
            if !field!(conn.ct, ext).load().is_null() {
                bindings::rct_timeout_put(conn.ct());
                bindings::kfree(field!(conn.ct, ext).load().cast());
            }
            CACHE.free(self.0);
        }
        // The memory goes before the count: a caller that waits for the count finds no connection
        // left, and the namespace waits.
        if let Some(netns) = netns {
            netns.uncount();
        }
        // SAFETY: The connection had a reference, which is handed on.
        master.map(|master| unsafe { ARef::from_raw(master) })
    }

    /// Gives back what the extension of helpers holds.
    fn drop_help(&self) {
        let Some(help) = self.conn().help() else {
            return;
        };
        // A packet may have announced something after the connection left the table, or before it
        // got there.
        expect::remove_all(self.conn());
        let guard = rcu::read_lock();
        self.drop_session(ReadSide::of(&guard));
        if let Some(helper) = help.helper(ReadSide::of(&guard)) {
            help.forget_helper();
            // SAFETY: By the invariant of `Help`, the connection had a reference, which it gives
            // up.
            drop(unsafe { Counted::from_raw(NonNull::from(helper)) });
        }
        drop(guard);
    }
}

/// Gives a reference up; returns the connection if it was the last reference.
fn put(conn: ARef<Conn>) -> Option<Last> {
    let conn = ARef::into_raw(conn);
    // INVARIANT: After the last reference there is no user left. A connection leaves the table
    // before the table's reference goes.
    // SAFETY: The reference is there until it is given up here.
    unsafe { bindings::rct_conntrack_put(conn.as_ref().nfct().get()) }.then_some(Last(conn))
}

impl Conn {
    /// Forgets the calls of the master, if this is a GRE connection, at the end of its life.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, destroy_gre_conntrack().
    fn forget_call(&self) {
        let Some(master) = self.master().filter(|_| self.proto() == ipproto::GRE) else {
            return;
        };
        let guard = rcu::read_lock();
        let helper = master.helper(ReadSide::of(&guard));
        if let (Some(true), Some(netns)) = (helper.map(Helper::cares_for_ends), self.netns()) {
            netns.keymap.remove(ptr::from_ref(master).addr());
        }
        drop(guard);
    }
}

// SAFETY: The counter is that of the connection, which lives until it is zero.
unsafe impl AlwaysRefCounted for Conn {
    fn inc_ref(&self) {
        call::rct_conntrack_get(self.nfct());
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller has a reference, which it gives up.
        if let Some(last) = put(unsafe { ARef::from_raw(obj) }) {
            last.destroy();
        }
    }
}
