// SPDX-License-Identifier: GPL-2.0

//! What NAT has of a connection: it lists connections by their source, to translate those that come
//! from one socket alike. The link is the kernel's, a field of `struct nf_conn`.

use crate::object::conn::Conn;
#[cfg(CONFIG_NF_NAT)]
use crate::{
    bindings,
    pure::state::Status, //
};
#[cfg(CONFIG_NF_NAT)]
use kernel::sync::rcu;

impl Conn {
    /// Takes the connection off NAT's list, if it is there, at the end of its life, when nobody
    /// else is left.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_free().
    #[cfg(CONFIG_NF_NAT)]
    pub(super) fn leave_nat(&self) {
        if !self.status().contains(Status::SRC_NAT_DONE) {
            return;
        }
        let guard = rcu::read_lock();
        // SAFETY: The kernel's variable holds null, or what is there until a grace period after it
        // was taken away.
        let hook = unsafe { (&raw const bindings::nf_nat_hook).read_volatile().as_ref() };
        if let Some(remove) = hook.and_then(|hook| hook.remove_nat_bysrc) {
            // SAFETY: The connection is whole but for its references. NAT has it on its list until
            // it lowers the bit, as it does for all before its module goes.
            unsafe { remove(self.ct()) };
        }
        drop(guard);
    }

    /// There is no NAT.
    #[cfg(not(CONFIG_NF_NAT))]
    pub(super) fn leave_nat(&self) {}
}
