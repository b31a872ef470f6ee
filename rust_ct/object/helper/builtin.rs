// SPDX-License-Identifier: GPL-2.0

//! Helpers of our own, as the kernel knows them: registered like those in C, by a safe function
//! each.

use crate::{
    bindings,
    object::{
        conn::Conn,
        helper::{
            registry,
            write_text,
            Helper,
            NewHelper,
            RegisteredHelper,
            Slot, //
        },
    },
    pure::state::CtInfo,
    sys::{
        hook::Verdict,
        rcu::ReadSide,
        skb::Skb, //
    },
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// How many connections a connection with one of these helpers may expect, and for how many
/// seconds.
///
/// Source: net/netfilter/nf_conntrack_ftp.c, ftp_exp_policy; nf_conntrack_tftp.c, tftp_exp_policy.
const MAX_EXPECTED: u32 = 1;
const TIMEOUT: u32 = 5 * 60;

/// What a helper of ours does.
pub(crate) trait Builtin {
    /// The name, as rules know it.
    const NAME: &'static [u8];
    /// The transport protocol.
    const PROTO: u8;

    /// Reads a packet of a connection whose transport header is at `offset`. A hook runs.
    fn help(skb: &Skb, offset: u32, conn: &Conn, info: CtInfo, rcu: ReadSide<'_>) -> Verdict;
}

/// Where a helper of ours is while it is registered.
///
/// # Invariants
///
/// It holds null, or a helper that is registered, by us.
pub(crate) struct Place(Slot);

/// Our FTP helper. The end of a connection that has it frees what it remembers.
pub(crate) static FTP: Place = Place::new();
/// Our TFTP helper.
pub(crate) static TFTP: Place = Place::new();

impl Place {
    const fn new() -> Self {
        Self(Slot(Atomic::new(ptr::null_mut())))
    }

    /// Returns whether this is the helper.
    pub(crate) fn is(&self, helper: &Helper) -> bool {
        let Self(Slot(place)) = self;
        ptr::eq(place.load(Relaxed), helper.as_ptr())
    }

    /// The helper, if it is registered.
    #[inline]
    pub(crate) fn helper<'a>(&self, rcu: ReadSide<'a>) -> Option<&'a Helper> {
        self.0.get(rcu)
    }

    /// Registers the helper, unless it is. Process context, sleeps.
    ///
    /// # Errors
    ///
    /// `EBUSY` if another helper has its name, `ENOMEM`.
    pub(crate) fn register<B: Builtin>(&self, module: &'static ThisModule) -> Result {
        let mut new: bindings::nf_conntrack_helper = pin_init::zeroed();
        write_text(&mut new.name, B::NAME.iter().copied());
        new.l4proto = B::PROTO;
        new.help = Some(help::<B>);
        new.me = module.as_ptr();
        if let Some(policy) = new.expect_policy.first_mut() {
            policy.max_expected = MAX_EXPECTED;
            policy.timeout = TIMEOUT;
        }
        // INVARIANT: The function is there as long as the module, which unregisters the helper.
        let RegisteredHelper(helper) = registry::register_copy(&NewHelper(new))?;
        // INVARIANT: It was just registered. No other helper of its name is, so there was null.
        let Self(Slot(place)) = self;
        place.store(helper.as_ptr().cast(), Relaxed);
        Ok(())
    }

    /// Unregisters the helper, if it is registered. Process context, sleeps.
    pub(crate) fn unregister(&self) {
        let Self(Slot(place)) = self;
        let helper = place.xchg(ptr::null_mut(), Relaxed);
        if let Some(helper) = NonNull::new(helper.cast()) {
            // INVARIANT: It is registered, by us, and only this call has taken it away.
            registry::unregister(RegisteredHelper(helper));
        }
    }
}

/// Calls a helper of ours.
///
/// # Safety
///
/// Called as the function of a helper, by [`Helper::help`] or by another module, with a packet that
/// is lent, the connection that it has, and RCU held.
unsafe extern "C" fn help<B: Builtin>(
    skb: *mut bindings::sk_buff,
    protoff: c_uint,
    ct: *mut bindings::nf_conn,
    info: bindings::ip_conntrack_info,
) -> c_int {
    // CAST: There are eight.
    let Some(info) = CtInfo::from_bits(info as u8) else {
        return Verdict::ACCEPT.raw() as c_int;
    };
    // SAFETY: The caller vouches for packet and connection, and for RCU.
    let (skb, conn, rcu) = unsafe { (Skb::from_raw(skb), &*ct.cast(), ReadSide::assume()) };
    // CAST: Verdicts are bits.
    B::help(skb, protoff, conn, info, rcu).raw() as c_int
}
