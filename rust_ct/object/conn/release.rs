// SPDX-License-Identifier: GPL-2.0

//! The end of a connection's life: its last reference is gone.

use crate::{
    bindings,
    object::{
        conn::{
            session,
            Conn,
            CACHE, //
        },
        expect,
        helper::{
            builtin,
            Helper, //
        },
        netns::NETNS, //
    },
    pure::{
        state::Status,
        wire::ipproto, //
    },
    sys::{
        call,
        net::Net,
        rcu::ReadSide, //
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

impl Conn {
    /// Gives the memory of a connection back that has no reference left, and its reference to its
    /// master; if that was the last one, so on.
    ///
    /// # Safety
    ///
    /// The last reference must be gone, and the connection in no table.
    pub(crate) unsafe fn destroy(this: NonNull<Self>) {
        let mut last = Some(this);
        while let Some(conn) = last {
            // SAFETY: The last reference is gone: by the contract, or because the one that its last
            // child had is. A connection leaves the table before the table's reference goes.
            last = unsafe { Self::free(conn) }.filter(|master| {
                // SAFETY: The child had a reference, which is given up.
                unsafe { bindings::rct_conntrack_put(master.as_ref().nfct().get()) }
            });
        }
    }

    /// Gives the memory of a connection or template back, and hands its reference to its master on.
    ///
    /// # Safety
    ///
    /// As [`Conn::destroy`].
    unsafe fn free(this: NonNull<Self>) -> Option<NonNull<Self>> {
        // The memory is that of a connection or of a template.
        let ct = this.as_ptr().cast::<bindings::nf_conn>();
        // SAFETY: Nobody else is left.
        let (status, ext, net, master) =
            unsafe { ((*ct).status, (*ct).ext, (*ct).ct_net.net, (*ct).master) };
        if Status::from_bits(status as u64).contains(Status::TEMPLATE) {
            // SAFETY: Templates and extensions come from kmalloc(), and a null pointer is none.
            // What a template's extensions refer to belongs to the rule that made it.
            unsafe {
                bindings::kfree(ext.cast());
                bindings::kfree(ct.cast());
            }
            return None;
        }
        // SAFETY: The connection is whole but for its references, and ours alone.
        let conn = unsafe { this.as_ref() };
        if !master.is_null() {
            conn.forget_call();
        }
        conn.leave_nat();
        if !ext.is_null() {
            conn.drop_help();
            // SAFETY: As above; a connection has a reference to its policy.
            unsafe {
                bindings::rct_timeout_put(ct);
                bindings::kfree(ext.cast());
            }
        }
        // SAFETY: The connection is from the cache, and nobody but readers under RCU is left.
        unsafe { CACHE.free(this) };
        // The memory goes before the count: whoever waits for the count finds no connection left.
        // SAFETY: A namespace waits for its count before it goes away.
        if let Some(netns) = NETNS.get(unsafe { Net::from_raw(net) }) {
            netns.uncount();
        }
        NonNull::new(master.cast())
    }

    /// Lets the calls of a master be forgotten whose GRE connection this one is, at the end of the
    /// connection's life.
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

    /// Gives back what the extension holds, at the end of the connection's life, when nobody else
    /// is left.
    fn drop_help(&self) {
        let Some(help) = self.help() else {
            return;
        };
        // A packet may have announced something after the connection left the table, or before it
        // got there.
        expect::remove_all(self);
        let guard = rcu::read_lock();
        if let Some(helper) = help.helper(ReadSide::of(&guard)) {
            if builtin::FTP.is(helper) {
                // SAFETY: Nobody else is left.
                unsafe { session::release(help) };
            }
            // SAFETY: By the invariant of `Help`, the connection has a reference, which it gives
            // up.
            drop(unsafe { ARef::from_raw(NonNull::from(helper)) });
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
        if unsafe { bindings::rct_conntrack_put(obj.as_ref().nfct().get()) } {
            // SAFETY: It was the last one: the table's, if any, is gone, so the connection is out
            // of it.
            unsafe { Self::destroy(obj) };
        }
    }
}
