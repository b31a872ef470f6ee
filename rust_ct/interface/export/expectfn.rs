// SPDX-License-Identifier: GPL-2.0

//! Functions that expectations may have for the connections that they wait for, by name: other
//! modules register them, so that rules and user space can name them.
//!
//! Source: net/netfilter/nf_conntrack_helper.c, nf_ct_helper_expectfn_register() and its like.

use super::slots::{
    Slots,
    MOST, //
};
use crate::{
    bindings,
    object::{
        conn::nat,
        expect,
        table::TABLE, //
    },
    sys::{
        abi::{
            Lasting,
            Text, //
        },
        rcu::ReadSide, //
    },
};
use core::ptr;
use kernel::{
    ffi::c_void,
    prelude::*,
    sync::rcu, //
};

type Raw = bindings::nf_ct_helper_expectfn;

/// The functions that are registered.
static REGISTERED: Slots<Raw> = Slots::new();

/// nf_ct_helper_expectfn_register().
#[no_mangle]
extern "C" fn rust_ct_expectfn_register(expectfn: Lasting<Raw>) {
    if !REGISTERED.add(&expectfn) {
        pr_warn!("no more than {MOST} functions of expectations can be registered\n");
    }
}

/// nf_ct_helper_expectfn_unregister().
///
/// The pointer is compared only.
#[no_mangle]
extern "C" fn rust_ct_expectfn_unregister(expectfn: *mut Raw) {
    REGISTERED.remove(expectfn);
}

/// nf_ct_helper_expectfn_destroy(): what has that function is expected no more. NAT's module calls
/// this when its hook is gone and before it frees its list: connections that began while it went,
/// which it has not seen, forget that they are on it. Process context, sleeps.
#[no_mangle]
extern "C" fn rust_ct_expectfn_destroy(expectfn: &Raw) {
    let function = expectfn.expectfn.map_or(0, |f| f as usize);
    expect::remove_if(None, |exp| exp.function() == function);
    if nat::is_gone() {
        // A packet may have met such an expectation, or the hook, and is on its way to the table.
        // One that waits in a queue for user space is not waited for.
        rcu::synchronize_rcu();
        TABLE.for_each(None, |conn| {
            // It may be there again.
            if nat::is_gone() {
                conn.leave_nat();
            }
        });
    }
}

/// The function that `is_it` is true of, or null.
fn find(is_it: impl Fn(&Raw) -> bool) -> *const Raw {
    let guard = rcu::read_lock();
    REGISTERED
        .find(ReadSide::of(&guard), is_it)
        .map_or(ptr::null(), ptr::from_ref)
}

/// nf_ct_helper_expectfn_find_by_name().
///
/// The caller holds RCU as long as it uses the result.
#[no_mangle]
extern "C" fn rust_ct_expectfn_of_name(name: Text<'_>) -> *const Raw {
    let name = name.get();
    // SAFETY: The module that has registered the function vouches for its name.
    find(|expectfn| unsafe { CStr::from_char_ptr(expectfn.name) } == name)
}

/// nf_ct_helper_expectfn_find_by_symbol().
///
/// The function is compared only. The caller holds RCU as long as it uses the result.
#[no_mangle]
extern "C" fn rust_ct_expectfn_of_symbol(symbol: *const c_void) -> *const Raw {
    find(|expectfn| expectfn.expectfn.map_or(0, |f| f as usize) == symbol.addr())
}
