// SPDX-License-Identifier: GPL-2.0

//! The timeout policy of a connection, or of the template that a rule has for those to come.

#[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
use crate::{
    bindings,
    object::conn::{
        ext::{
            Kind,
            Part, //
        },
        Alone, //
    },
    sys::{
        call,
        field::{
            field,
            Memory, //
        },
        memory, //
    },
};
use crate::{
    object::conn::{
        Conn,
        UniqueConn, //
    },
    sys::{
        field::Field,
        rcu::ReadSide, //
    },
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

/// Where the policy is: null, or a policy with a reference.
#[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
#[repr(transparent)]
pub(super) struct Place(Memory<bindings::nf_conn_timeout>);

#[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
// SAFETY: That is what this extension is. What changes in it is in `Memory`.
unsafe impl Part for Place {
    const KIND: Kind = Kind::Timeout;
}

/// A timeout policy.
///
/// # Invariants
///
/// It is freed a grace period after its last reference. Its description, if it has one, is one of
/// ours, and it holds as much as that says; without one, as much as the protocol of those has that
/// it is given to.
#[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
#[repr(transparent)]
pub(crate) struct TimeoutPolicy(Memory<bindings::nf_ct_timeout>);

#[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
impl TimeoutPolicy {
    /// Where it is.
    pub(crate) fn as_ptr(&self) -> *mut bindings::nf_ct_timeout {
        self.0.get()
    }

    /// The family that it is for.
    pub(crate) fn family(&self) -> u16 {
        field!(self.0, l3num).load()
    }

    /// The description of the protocol that it is for.
    #[inline]
    pub(crate) fn l4proto(&self) -> Option<&'static bindings::nf_conntrack_l4proto> {
        // SAFETY: By the type invariant; ours are static.
        unsafe { field!(self.0, l4proto).load().as_ref() }
    }
}

impl UniqueConn {
    /// Gives the connection the timeout policy of a template, if there is one and the connection
    /// has room for it. A policy that is just being removed does not count.
    ///
    /// Source: include/net/netfilter/nf_conntrack_timeout.h, nf_ct_timeout_ext_add().
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    pub(crate) fn take_policy(&mut self, template: &Conn, rcu: ReadSide<'_>) {
        let (Some(place), Some(policy)) = (self.conn().policy_place(), template.policy_of(rcu))
        else {
            return;
        };
        if call::rct_timeout_tryget(&policy.0) {
            // The reference is given back in `Last::destroy`.
            place.store(policy.as_ptr(), Relaxed);
        }
    }

    /// No rule has a policy.
    #[cfg(not(CONFIG_NF_CONNTRACK_TIMEOUT))]
    pub(crate) fn take_policy(&mut self, _template: &Conn, _rcu: ReadSide<'_>) {}
}

#[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
impl Alone<'_> {
    /// Gives a template a timeout policy, with a reference of its own.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the policy does not say what it is for; `ENOMEM` if the template has one, or
    /// there is no memory, or the policy is just being removed.
    pub(crate) fn add_policy(self, policy: &TimeoutPolicy) -> Result {
        policy.l4proto().ok_or(EINVAL)?;
        let conn = self.0;
        self.add_extension(Kind::Timeout, memory::ATOMIC)
            .ok_or(ENOMEM)?;
        let place = conn.policy_place().ok_or(ENOMEM)?;
        if !call::rct_timeout_tryget(&policy.0) {
            return Err(ENOMEM);
        }
        place.store(policy.as_ptr(), Release);
        Ok(())
    }
}

impl Conn {
    /// Where a template or connection keeps its timeout policy.
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    fn policy_place(&self) -> Option<&Atomic<*mut bindings::nf_ct_timeout>> {
        let place: &Place = self.part()?;
        Some(field!(place.0, timeout as Atomic<_>))
    }

    /// Takes the timeout policy off, whose reference is the caller's then.
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    pub(crate) fn take_policy_off(
        &self,
        _rcu: ReadSide<'_>,
    ) -> Option<NonNull<bindings::nf_ct_timeout>> {
        NonNull::new(self.policy_place()?.xchg(ptr::null_mut(), Relaxed))
    }

    /// Takes the timeout policy off if it is `policy`, or any policy if none is given. Any context.
    ///
    /// Source: net/netfilter/nf_conntrack_timeout.c, untimeout().
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    pub(crate) fn forget_policy(&self, policy: Option<NonNull<bindings::nf_ct_timeout>>) {
        let Some(place) = self.policy_place() else {
            return;
        };
        let has = place.load(Relaxed);
        let goes = !has.is_null() && policy.is_none_or(|policy| policy.as_ptr() == has);
        // The caller that takes it off gives its reference back.
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
    fn policy_of<'a>(&self, _rcu: ReadSide<'a>) -> Option<&'a TimeoutPolicy> {
        let place: &Place = self.part()?;
        let policy = field!(place.0, timeout).load().cast::<TimeoutPolicy>();
        // SAFETY: It is taken away when the policy is removed, which is freed a grace period later.
        unsafe { policy.as_ref() }
    }

    /// The timeouts of the connection's policy, in jiffies, with the `N` indices of its protocol;
    /// `None` if the namespace's are in force.
    ///
    /// Source: include/net/netfilter/nf_conntrack_timeout.h, nf_ct_timeout_lookup().
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    #[inline(always)]
    pub(crate) fn policy<'a, const N: usize>(&self, rcu: ReadSide<'a>) -> Option<&'a [Field<u32>]> {
        let policy = self.policy_of(rcu)?;
        let bytes = |l4proto: &bindings::nf_conntrack_l4proto| l4proto.ctnl_timeout.obj_size;
        let described = policy.l4proto();
        if described.is_some_and(|l4proto| usize::from(bytes(l4proto)) < size_of::<[u32; N]>()) {
            return None;
        }
        // SAFETY: By the invariant of `TimeoutPolicy`, so much is there, as long as RCU is held.
        let data: &'a [Field<u32>; N] = unsafe { &*(&raw const (*policy.as_ptr()).data).cast() };
        Some(data)
    }

    /// No rule has a policy.
    #[cfg(not(CONFIG_NF_CONNTRACK_TIMEOUT))]
    #[inline]
    pub(crate) fn policy<'a, const N: usize>(
        &self,
        _rcu: ReadSide<'a>,
    ) -> Option<&'a [Field<u32>]> {
        None
    }
}
