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
use core::ptr;
#[cfg(CONFIG_NF_NAT)]
use kernel::sync::rcu;

/// Returns whether NAT's module is not there, or is going. A grace period after that no other code
/// is at its list but what an expectation leads there.
#[cfg(CONFIG_NF_NAT)]
pub(crate) fn is_gone() -> bool {
    // SAFETY: The kernel's variable is there as long as the kernel; it is compared only.
    unsafe { (&raw const bindings::nf_nat_hook).read_volatile().is_null() }
}

/// There is no NAT.
#[cfg(not(CONFIG_NF_NAT))]
pub(crate) fn is_gone() -> bool {
    false
}

impl Conn {
    /// Takes the connection off NAT's list, if it is there: when it leaves the table, or at the end
    /// of its life if it was never there. Any context.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_free(), which waits for the last
    /// reference.
    #[cfg(CONFIG_NF_NAT)]
    #[inline]
    pub(crate) fn leave_nat(&self) {
        if self.is_in_nat_list() {
            self.leave_nat_list();
        }
    }

    /// Returns whether the connection is on NAT's list.
    #[cfg(CONFIG_NF_NAT)]
    #[inline]
    pub(crate) fn is_in_nat_list(&self) -> bool {
        self.status().contains(Status::SRC_NAT_DONE) && !self.is_alone()
    }

    /// The connection's link in NAT's list.
    #[cfg(CONFIG_NF_NAT)]
    fn nat_link(&self) -> *mut bindings::hlist_node {
        // SAFETY: The field is in the connection; no reference to it is made.
        unsafe { &raw mut (*self.ct()).nat_bysource }
    }

    /// Returns whether the link is a list of its own; see [`Conn::leave_nat_list`].
    #[cfg(CONFIG_NF_NAT)]
    fn is_alone(&self) -> bool {
        let link = self.nat_link();
        // SAFETY: The pointer is read by one access, and compared only.
        unsafe { (&raw const (*link).pprev).read_volatile() == &raw mut (*link).next }
    }

    /// Takes the connection off NAT's list. Its status has SRC_NAT_DONE as before: a packet that
    /// has ended it may go on, and a rule that looks for its socket asks for the bit. NAT's module
    /// may go by it as well, and remove the link once more. So the link is a list of its own now,
    /// and to remove it changes nothing else. A reader of the list that is at the link finds the
    /// end there, and looks no further for what else comes from that socket.
    #[cfg(CONFIG_NF_NAT)]
    #[inline(never)]
    fn leave_nat_list(&self) {
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
            let link = self.nat_link();
            // SAFETY: The link is in no list that is there, so that nobody else writes to it.
            unsafe {
                (&raw mut (*link).next).write_volatile(ptr::null_mut());
                (&raw mut (*link).pprev).write_volatile(&raw mut (*link).next);
                self.raise_src_nat_done();
            }
        }
        drop(guard);
    }

    /// There is no NAT.
    #[cfg(not(CONFIG_NF_NAT))]
    pub(crate) fn leave_nat(&self) {}

    /// There is no NAT.
    #[cfg(not(CONFIG_NF_NAT))]
    pub(crate) fn is_in_nat_list(&self) -> bool {
        false
    }
}
