// SPDX-License-Identifier: GPL-2.0

//! The halves of helpers that rewrite what they read, for NAT: each is a module of its own, which
//! registers so that rules that attach a helper can keep it.
//!
//! Source: net/netfilter/nf_conntrack_helper.c, nf_nat_helper_register() and its like.

use super::slots::{
    Slots,
    MOST, //
};
use crate::{
    bindings,
    object::helper::{
        self,
        registry,
        Helper,
        Name, //
    },
    sys::{
        abi::{
            Lasting,
            Text, //
        },
        module,
        rcu::ReadSide, //
    },
};
use kernel::{
    error::from_result,
    ffi::c_int,
    prelude::*,
    sync::rcu, //
};

type Raw = bindings::nf_conntrack_nat_helper;

/// The NAT modules that are registered.
static REGISTERED: Slots<Raw> = Slots::new();

/// nf_nat_helper_register().
#[no_mangle]
extern "C" fn rust_ct_nat_helper_register(nat: Lasting<Raw>) {
    if !REGISTERED.add(&nat) {
        pr_warn!("no more than {MOST} NAT modules of helpers can be registered\n");
    }
}

/// nf_nat_helper_unregister().
///
/// The pointer is compared only.
#[no_mangle]
extern "C" fn rust_ct_nat_helper_unregister(nat: *mut Raw) {
    REGISTERED.remove(nat);
}

/// The NAT module that is registered under a name.
fn of_name<'a>(name: &Name, rcu: ReadSide<'a>) -> Option<&'a Raw> {
    REGISTERED.find(rcu, |nat| helper::text(&nat.mod_name) == helper::text(name))
}

/// Keeps the module that is registered under a name. Returns whether there is one.
fn keep(name: &Name) -> bool {
    let guard = rcu::read_lock();
    let nat = of_name(name, ReadSide::of(&guard));
    // SAFETY: RCU is held, so the module is there.
    let kept = nat.is_some_and(|nat| unsafe { module::get(nat.module) });
    drop(guard);
    kept
}

/// nf_nat_helper_try_module_get(): keeps the NAT module of a helper, which is loaded if need be.
///
/// Process context.
#[no_mangle]
extern "C" fn rust_ct_nat_helper_get(name: Text<'_>, l3num: u16, proto: u8) -> c_int {
    from_result(|| get(name.get(), l3num, proto).map(|()| 0))
}

/// Keeps the NAT module of a helper, which is loaded if need be. Process context, sleeps.
///
/// # Errors
///
/// `ENOENT` if there is none.
pub(super) fn get(name: &CStr, l3num: u16, proto: u8) -> Result {
    let guard = rcu::read_lock();
    let found = registry::find(name.to_bytes(), l3num, proto, ReadSide::of(&guard));
    let module = found.map(Helper::nat_module);
    drop(guard);
    let module = module.ok_or(ENOENT)?;
    if keep(&module) {
        return Ok(());
    }
    let wanted = CStr::from_bytes_until_nul(&module).map_err(|_| ENOENT)?;
    module::request(c"", wanted);
    keep(&module).then_some(()).ok_or(ENOENT)
}

/// nf_nat_helper_put(): gives back one [`rust_ct_nat_helper_get`].
///
/// # Safety
///
/// Called from C with a helper whose NAT module the caller has kept.
#[no_mangle]
unsafe extern "C" fn rust_ct_nat_helper_put(helper: &Helper) {
    let guard = rcu::read_lock();
    if let Some(nat) = of_name(&helper.nat_module(), ReadSide::of(&guard)) {
        // SAFETY: The caller has kept the module.
        unsafe { module::put(nat.module) };
    }
    drop(guard);
}
