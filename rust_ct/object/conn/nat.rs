// SPDX-License-Identifier: GPL-2.0

//! What NAT has of a connection: it lists connections by their source, to translate those that come
//! from one socket alike. The link is the kernel's, a field of `struct nf_conn`.

#[cfg(CONFIG_NF_NAT)]
use crate::bindings;
use crate::{
    object::conn::Conn,
    pure::state::Status, //
};
#[cfg(CONFIG_NF_NAT)]
use kernel::sync::rcu;

impl Conn {
    /// Takes a connection that is over off NAT's list, if it is there, because NAT's module goes.
    /// That has all connections of the table leave the list, but a connection that has left the
    /// table may live on: while its DESTROY event waits, or as a master. At its end it would write
    /// to a list that was freed. Returns whether the connection is over. Any context.
    pub(crate) fn leave_nat_if_dying(&self) -> bool {
        let is_dying = self.status().contains(Status::DYING);
        if is_dying {
            self.leave_nat();
        }
        is_dying
    }

    /// Takes the connection off NAT's list, if it is there, at the end of its life.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_free().
    #[cfg(CONFIG_NF_NAT)]
    pub(super) fn leave_nat(&self) {
        if !self.status().contains(Status::SRC_NAT_DONE) {
            return;
        }
        let guard = rcu::read_lock();
        // The caller that lowers the bit removes the link. RCU is held before, so that the hook is
        // that of the list, or gone.
        if self.lower_src_nat_done() {
            // SAFETY: The kernel's variable holds null, or what is there until a grace period after
            // it was taken away.
            let hook = unsafe { (&raw const bindings::nf_nat_hook).read_volatile().as_ref() };
            if let Some(remove) = hook.and_then(|hook| hook.remove_nat_bysrc) {
                // SAFETY: The connection is whole but for its references. It was on the list, as
                // the bit was set, and the list is there as long as the hook is.
                unsafe { remove(self.ct()) };
            }
        }
        drop(guard);
    }

    /// There is no NAT.
    #[cfg(not(CONFIG_NF_NAT))]
    pub(super) fn leave_nat(&self) {}
}
