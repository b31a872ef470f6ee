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
    object::expect, //
};
use kernel::{
    ffi::{
        c_char,
        c_void, //
    },
    prelude::*, //
};

type Raw = bindings::nf_ct_helper_expectfn;

/// Those that are registered.
static REGISTERED: Slots<Raw> = Slots::new();

/// nf_ct_helper_expectfn_register().
///
/// # Safety
///
/// Called from C with what is there until a grace period after it is unregistered.
#[no_mangle]
unsafe extern "C" fn rust_ct_expectfn_register(expectfn: *mut Raw) {
    // SAFETY: By the contract.
    if !unsafe { REGISTERED.add(expectfn) } {
        pr_warn!("no more than {MOST} functions of expectations can be registered\n");
    }
}

/// nf_ct_helper_expectfn_unregister().
///
/// # Safety
///
/// Called from C; the pointer is compared only.
#[no_mangle]
unsafe extern "C" fn rust_ct_expectfn_unregister(expectfn: *mut Raw) {
    REGISTERED.remove(expectfn);
}

/// nf_ct_helper_expectfn_destroy(): what has that function is expected no more.
///
/// # Safety
///
/// Called from C with what is, or was, registered.
#[no_mangle]
unsafe extern "C" fn rust_ct_expectfn_destroy(expectfn: *const Raw) {
    // SAFETY: The caller vouches for the pointer.
    let function = unsafe { (*expectfn).expectfn.map_or(0, |f| f as usize) };
    expect::remove_if(None, |exp| exp.function() == function);
}

/// nf_ct_helper_expectfn_find_by_name().
///
/// # Safety
///
/// Called from C under RCU, with a string.
#[no_mangle]
unsafe extern "C" fn rust_ct_expectfn_of_name(name: *const c_char) -> *mut Raw {
    // SAFETY: The caller vouches for the string, and who has registered for the names.
    unsafe {
        let name = CStr::from_char_ptr(name);
        REGISTERED.find(|expectfn| CStr::from_char_ptr(expectfn.name) == name)
    }
}

/// nf_ct_helper_expectfn_find_by_symbol().
///
/// # Safety
///
/// Called from C under RCU; the function is compared only.
#[no_mangle]
unsafe extern "C" fn rust_ct_expectfn_of_symbol(symbol: *const c_void) -> *mut Raw {
    REGISTERED.find(|expectfn| expectfn.expectfn.map_or(0, |f| f as usize) == symbol.addr())
}
