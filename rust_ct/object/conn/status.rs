// SPDX-License-Identifier: GPL-2.0

//! The status bits of a connection, and which of them may be changed where.

use crate::{
    object::conn::Conn,
    pure::state::Status,
    sys::{
        bits,
        field::field,
        time, //
    },
};
use kernel::{
    prelude::*,
    sync::atomic::Atomic, //
};

/// A status bit that says nothing of where the connection is or what is in its memory, so that any
/// holder of a reference to the connection may set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// [`Status::EXPECTED`]
    Expected,
    /// [`Status::SEEN_REPLY`]
    SeenReply,
    /// [`Status::ASSURED`]
    Assured,
    /// [`Status::SEQ_ADJUST`]
    SeqAdjust,
    /// [`Status::FIXED_TIMEOUT`]
    FixedTimeout,
    /// [`Status::NAT_CLASH`]
    NatClash,
    /// [`Status::HELPER`]
    Helper,
}

impl Flag {
    const fn bit(self) -> Status {
        match self {
            Self::Expected => Status::EXPECTED,
            Self::SeenReply => Status::SEEN_REPLY,
            Self::Assured => Status::ASSURED,
            Self::SeqAdjust => Status::SEQ_ADJUST,
            Self::FixedTimeout => Status::FIXED_TIMEOUT,
            Self::NatClash => Status::NAT_CLASH,
            Self::Helper => Status::HELPER,
        }
    }
}

/// Evidence that the caller has set DYING: the caller, and no other, ends the connection.
///
/// # Invariants
///
/// There is at most one for each connection.
#[must_use]
pub(crate) struct Dying<'a>(&'a Conn);

impl<'a> Dying<'a> {
    /// The connection.
    pub(crate) fn conn(&self) -> &'a Conn {
        self.0
    }
}

impl Conn {
    /// The status bits now.
    #[inline]
    pub(crate) fn status(&self) -> Status {
        let bits = field!(self.ct, status).load();
        Status::from_bits(bits as u64)
    }

    #[inline]
    fn status_word(&self) -> &Atomic<usize> {
        field!(self.ct, status as Atomic<usize>)
    }

    /// Sets one bit, with a full barrier. Returns whether it was not set.
    #[inline]
    fn raise(&self, bit: Status) -> bool {
        bits::raise(self.status_word(), bit.bits().trailing_zeros())
    }

    /// Sets one status bit; what was done before is visible to a CPU that sees it. Returns whether
    /// it was not set. Any context.
    #[inline]
    pub(crate) fn set_status(&self, flag: Flag) -> bool {
        self.raise(flag.bit())
    }

    /// Sets DYING; `None` if another caller has, or this is a template, which is in no table
    /// whatever its status says. Any context.
    #[inline]
    pub(crate) fn begin_dying(&self) -> Option<Dying<'_>> {
        if self.status().contains(Status::TEMPLATE) {
            return None;
        }
        // INVARIANT: The bit is never lowered.
        self.raise(Status::DYING).then_some(Dying(self))
    }

    /// Lets a connection that lost a clash expire soon whatever happens, and be found by replies
    /// only.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_ct_resolve_clash_harder().
    pub(crate) fn begin_clash(&self) {
        self.store_timeout(time::now().wrapping_add(time::HZ));
        self.set_status(Flag::FixedTimeout);
        self.set_status(Flag::NatClash);
    }

    /// Lowers SRC_NAT_DONE; returns whether it was set.
    #[cfg(CONFIG_NF_NAT)]
    pub(super) fn lower_src_nat_done(&self) -> bool {
        bits::take(
            self.status_word(),
            Status::SRC_NAT_DONE.bits().trailing_zeros(),
        )
    }

    /// Sets SRC_NAT_DONE again.
    ///
    /// # Safety
    ///
    /// The connection's link in NAT's list must be in a list, or one of its own.
    #[cfg(CONFIG_NF_NAT)]
    pub(super) unsafe fn raise_src_nat_done(&self) {
        self.raise(Status::SRC_NAT_DONE);
    }

    /// Sets CONFIRMED.
    ///
    /// # Safety
    ///
    /// Its links must be in lists of the table, whose locks the caller holds, and the table must
    /// have its reference.
    #[inline]
    pub(in super::super) unsafe fn set_confirmed(&self) {
        self.raise(Status::CONFIRMED);
    }

    /// Sets and lowers status bits, but those that only the tracker or NAT may change. HELPER stays
    /// where there is one, as its packets are known by it.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, __nf_ct_change_status().
    pub(crate) fn change_status(&self, on: Status, off: Status) {
        let kept = match self.help() {
            Some(_) => Status::UNCHANGEABLE.with(Status::HELPER),
            None => Status::UNCHANGEABLE,
        };
        let (on, off) = (on.without(Status::UNCHANGEABLE), off.without(kept));
        for bit in 0..Status::BITS {
            let one = Status::from_bits(1 << bit);
            if on.contains(one) {
                self.raise(one);
            } else if off.contains(one) {
                bits::lower(self.status_word(), bit);
            }
        }
    }

    /// Sets the status bits that user space wants to be set, if it may.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_ct_change_status_common().
    ///
    /// # Errors
    ///
    /// `EBUSY` if it wants to change a bit that may not be changed, or to lower one that stays.
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
