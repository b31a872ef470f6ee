// SPDX-License-Identifier: GPL-2.0

//! The status bits of a connection, and who may change which.

use crate::{
    bindings,
    conn::Conn,
    state::Status, //
};
use kernel::prelude::*;

impl Conn {
    /// The status bits now.
    #[inline]
    pub(crate) fn status(&self) -> Status {
        // SAFETY: The field is valid, and others change it atomically.
        let bits = unsafe { (&raw const (*self.ct()).status).read_volatile() };
        Status::from_bits(bits as u64)
    }

    #[inline]
    fn status_word(&self) -> *mut usize {
        // SAFETY: The field is inside the connection.
        unsafe { &raw mut (*self.ct()).status }
    }

    /// Sets one status bit; what was done before is visible to who sees it. Tells whether it was
    /// not set.
    pub(crate) fn set_status(&self, bit: Status) -> bool {
        // SAFETY: The field is a word that is changed atomically.
        unsafe { !bindings::rct_test_and_set_bit(bit.bits().trailing_zeros(), self.status_word()) }
    }

    /// Sets and lowers status bits, but those that only the tracker or NAT may change.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, __nf_ct_change_status().
    pub(crate) fn change_status(&self, on: Status, off: Status) {
        let (on, off) = (
            on.without(Status::UNCHANGEABLE),
            off.without(Status::UNCHANGEABLE),
        );
        for bit in 0..Status::BITS {
            let one = Status::from_bits(1 << bit);
            if on.contains(one) {
                self.set_status(one);
            } else if off.contains(one) {
                // SAFETY: The field is a word that is changed atomically.
                unsafe { bindings::rct_clear_bit(bit, self.status_word()) };
            }
        }
    }

    /// Sets the status bits that user space wants to be set, if it may.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_ct_change_status_common().
    ///
    /// # Errors
    ///
    /// `EBUSY` if it wants a bit otherwise that nobody may change, or lower one that stays.
    pub(crate) fn ask_status(&self, wanted: Status) -> Result {
        let is = self.status();
        let (raised, lowered) = (wanted.without(is), is.without(wanted));
        let never = Status::EXPECTED.with(Status::CONFIRMED).with(Status::DYING);
        let stays = never.with(Status::SEEN_REPLY).with(Status::ASSURED);
        if raised.intersects(never) || lowered.intersects(stays) {
            return Err(EBUSY);
        }
        self.change_status(wanted, Status::default());
        Ok(())
    }
}
