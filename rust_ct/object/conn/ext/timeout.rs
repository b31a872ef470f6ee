// SPDX-License-Identifier: GPL-2.0

//! The timeout policy of a connection, or of the template that a rule has for those to come.

#[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
use crate::{
    bindings,
    object::conn::ext::{
        Kind,
        Part, //
    },
    sys::{
        field::Field,
        memory, //
    },
};
use crate::{
    object::conn::{
        Conn,
        UniqueConn, //
    },
    sys::rcu::ReadSide, //
};
#[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
use core::ptr::{
    self,
    NonNull, //
};
#[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed,
        Release, //
    },
};

/// Where the policy is, `struct nf_conn_timeout`: null, or a policy with a reference.
#[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
#[repr(transparent)]
pub(super) struct Place(Atomic<*mut bindings::nf_ct_timeout>);

#[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
// SAFETY: That is what this extension is. What changes in it is atomic, or in an `UnsafeCell`.
unsafe impl Part for Place {
    const KIND: Kind = Kind::Timeout;
}

impl UniqueConn {
    /// Gives the connection the timeout policy of a template, if there is one and the connection
    /// has room for it. A policy that is just being removed is none.
    ///
    /// Source: include/net/netfilter/nf_conntrack_timeout.h, nf_ct_timeout_ext_add().
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    pub(crate) fn take_policy(&mut self, template: &Conn, rcu: ReadSide<'_>) {
        let (Some(place), Some(policy)) = (self.conn().policy_place(), template.policy_ptr(rcu))
        else {
            return;
        };
        // SAFETY: RCU is held: the policy's memory is there, and its counter above zero or not.
        if unsafe { bindings::rct_timeout_tryget(policy.as_ptr()) } {
            // The reference is given back in `Conn::destroy`.
            place.store(policy.as_ptr(), Relaxed);
        }
    }

    /// No rule has a policy.
    #[cfg(not(CONFIG_NF_CONNTRACK_TIMEOUT))]
    pub(crate) fn take_policy(&mut self, _template: &Conn, _rcu: ReadSide<'_>) {}
}

impl Conn {
    /// Where a template or connection keeps its timeout policy.
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    fn policy_place(&self) -> Option<&Atomic<*mut bindings::nf_ct_timeout>> {
        self.part::<Place>().map(|place| &place.0)
    }

    /// Gives a template a timeout policy, with a reference of its own.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if it has one, or there is no memory, or the policy is just being removed.
    ///
    /// # Safety
    ///
    /// As [`Conn::add_extension`]; and the policy must be one for the template's protocol.
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    pub(crate) unsafe fn add_policy(
        &self,
        policy: NonNull<bindings::nf_ct_timeout>,
        _rcu: ReadSide<'_>,
    ) -> Result {
        // SAFETY: By the contract.
        unsafe { self.add_extension(Kind::Timeout, memory::ATOMIC) }.ok_or(ENOMEM)?;
        let place = self.policy_place().ok_or(ENOMEM)?;
        // SAFETY: RCU is held: the policy's memory is there.
        if !unsafe { bindings::rct_timeout_tryget(policy.as_ptr()) } {
            return Err(ENOMEM);
        }
        place.store(policy.as_ptr(), Release);
        Ok(())
    }

    /// Takes the timeout policy off, whose reference is the caller's then.
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    pub(crate) fn take_policy_off(
        &self,
        _rcu: ReadSide<'_>,
    ) -> Option<NonNull<bindings::nf_ct_timeout>> {
        NonNull::new(self.policy_place()?.xchg(ptr::null_mut(), Relaxed))
    }

    /// Takes the timeout policy off if it is this one, or whatever it is if none is given. Any
    /// context.
    ///
    /// Source: net/netfilter/nf_conntrack_timeout.c, untimeout().
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    pub(crate) fn forget_policy(&self, policy: Option<NonNull<bindings::nf_ct_timeout>>) {
        let Some(place) = self.policy_place() else {
            return;
        };
        let has = place.load(Relaxed);
        let goes = !has.is_null() && policy.is_none_or(|policy| policy.as_ptr() == has);
        // Whoever takes it off gives its reference back.
        if goes && place.cmpxchg(has, ptr::null_mut(), Relaxed).is_ok() {
            // SAFETY: The connection had a reference, which it gives up.
            unsafe { bindings::rct_timeout_unref(has) };
        }
    }

    /// Returns whether a template has a timeout policy for its connections.
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    pub(crate) fn has_policy(&self) -> bool {
        self.extension(Kind::Timeout).is_some()
    }

    /// The timeout policy.
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    #[inline]
    fn policy_ptr(&self, _rcu: ReadSide<'_>) -> Option<NonNull<bindings::nf_ct_timeout>> {
        // It is taken away when the policy is removed, which is freed a grace period later.
        let place = self.policy_place()?.as_ptr();
        // SAFETY: The place is valid, and everybody reads and writes it by one access.
        NonNull::new(unsafe { place.read_volatile() })
    }

    /// The timeouts of the connection's policy, in jiffies, with the indices of its protocol;
    /// `None` if the namespace's are in force.
    ///
    /// Source: include/net/netfilter/nf_conntrack_timeout.h, nf_ct_timeout_lookup().
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    #[inline]
    pub(crate) fn policy<const N: usize>(&self, rcu: ReadSide<'_>) -> Option<[u32; N]> {
        let policy = self.policy_ptr(rcu)?.as_ptr();
        // SAFETY: RCU is held. The description, if the policy has one, is one of ours.
        let described = unsafe { (*policy).l4proto.as_ref() };
        let bytes = |l4proto: &bindings::nf_conntrack_l4proto| l4proto.ctnl_timeout.obj_size;
        if described.is_some_and(|l4proto| usize::from(bytes(l4proto)) < size_of::<[u32; N]>()) {
            return None;
        }
        // SAFETY: RCU is held, and a policy holds as much as its description says; without one, as
        // much as its protocol has.
        let data: &[Field<u32>; N] = unsafe { &*(&raw const (*policy).data).cast() };
        Some(core::array::from_fn(|i| data[i].load()))
    }

    /// No rule has a policy.
    #[cfg(not(CONFIG_NF_CONNTRACK_TIMEOUT))]
    #[inline]
    pub(crate) fn policy<const N: usize>(&self, _rcu: ReadSide<'_>) -> Option<[u32; N]> {
        None
    }
}
