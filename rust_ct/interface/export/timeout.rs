// SPDX-License-Identifier: GPL-2.0

//! What rules with timeout policies call.
//!
//! Source: net/netfilter/nf_conntrack_timeout.c.

use crate::{
    bindings,
    object::{
        conn::{
            ext::TimeoutPolicy,
            Alone,
            Conn, //
        },
        table::TABLE, //
    },
    sys::{
        abi::Text,
        net::Net,
        rcu::ReadSide,
        time::Throttle, //
    },
};
use core::ptr::NonNull;
use kernel::{
    error::from_result,
    ffi::c_int,
    prelude::*,
    sync::rcu, //
};

/// The lines about a policy that is not there, or is for other protocols: any namespace's rule may
/// cause them.
static WARNING: Throttle = Throttle::new();

/// nf_ct_untimeout(): a policy is in force for no connection of a namespace any more; nor is any,
/// if it is null. Process context, sleeps.
#[no_mangle]
extern "C" fn rust_ct_untimeout(net: &Net, policy: Option<NonNull<bindings::nf_ct_timeout>>) {
    TABLE.for_each(Some(net), |conn| conn.forget_policy(policy));
}

/// The module that keeps policies, if it is there.
fn hooks(_rcu: ReadSide<'_>) -> Option<&bindings::nf_ct_timeout_hooks> {
    // SAFETY: The variable is ours, and holds null or what is there until a grace period after it
    // was taken away.
    unsafe {
        (&raw const bindings::nf_ct_timeout_hook)
            .read_volatile()
            .as_ref()
    }
}

/// nf_ct_set_timeout(): gives a template the policy of a name, if it is for the protocols.
///
/// Process context.
#[no_mangle]
extern "C" fn rust_ct_set_timeout(
    net: &Net,
    template: Alone<'_>,
    l3num: u8,
    proto: u8,
    name: Text<'_>,
) -> c_int {
    let guard = rcu::read_lock();
    let result = from_result(|| {
        let hooks = hooks(ReadSide::of(&guard)).ok_or(ENOENT)?;
        let (Some(find), Some(put)) = (hooks.timeout_find_get, hooks.timeout_put) else {
            return Err(ENOENT);
        };
        let name = name.get();
        // SAFETY: RCU is held, and arguments are what the function asks for. What it gives has a
        // reference.
        let policy = unsafe { find(net.as_ptr(), name.as_char_ptr()) };
        // SAFETY: As above.
        let Some(policy) = (unsafe { policy.cast::<TimeoutPolicy>().as_ref() }) else {
            if WARNING.is_due() {
                pr_info!("there is no timeout policy \"{name}\"\n");
            }
            return Err(ENOENT);
        };
        let (family, l4proto) = (policy.family(), policy.l4proto().map_or(0, |p| p.l4proto));
        let fits = if family != l3num.into() || l4proto != proto {
            if WARNING.is_due() {
                pr_info!("timeout policy \"{name}\" is for others ({family}, {l4proto})\n");
            }
            Err(EINVAL)
        } else {
            template.add_policy(policy)
        };
        if fits.is_err() {
            // SAFETY: The reference is given back.
            unsafe { put(policy.as_ptr()) };
        }
        fits.map(|()| 0)
    });
    drop(guard);
    result
}

/// nf_ct_destroy_timeout(): takes the policy off a template, and gives it back.
///
/// # Safety
///
/// Called from C with a template that the caller has.
#[no_mangle]
unsafe extern "C" fn rust_ct_destroy_timeout(template: &Conn) {
    let guard = rcu::read_lock();
    if let Some(put) = hooks(ReadSide::of(&guard)).and_then(|hooks| hooks.timeout_put) {
        if let Some(policy) = template.take_policy_off(ReadSide::of(&guard)) {
            // SAFETY: One reference is from when the rule looked the policy up, the other was the
            // template's.
            unsafe {
                put(policy.as_ptr());
                bindings::rct_timeout_unref(policy.as_ptr());
            }
        }
    }
    drop(guard);
}
