// SPDX-License-Identifier: GPL-2.0

//! Functions that expectations may have for the connections that they wait for, by name: other
//! modules register them, so that rules and user space can name them.
//!
//! Source: net/netfilter/nf_conntrack_helper.c, nf_ct_helper_expectfn_register() and its like.

use crate::{
    bindings,
    expect, //
};
use core::ptr;
use kernel::{
    ffi::{
        c_char,
        c_void, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed, //
    },
};

type Raw = bindings::nf_ct_helper_expectfn;

/// How many there may be; the kernel has five.
const MOST: usize = 16;

/// Those that are registered. Who takes one away waits for a grace period before it is freed.
static REGISTERED: [Atomic<*mut Raw>; MOST] = [const { Atomic::new(ptr::null_mut()) }; MOST];

/// nf_ct_helper_expectfn_register().
///
/// # Safety
///
/// Called from C with what is there until a grace period after it is unregistered.
#[no_mangle]
unsafe extern "C" fn rust_ct_expectfn_register(expectfn: *mut Raw) {
    let mut slots = REGISTERED.iter();
    if !slots.any(|slot| slot.cmpxchg(ptr::null_mut(), expectfn, Full).is_ok()) {
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
    let mut slots = REGISTERED.iter();
    slots.any(|slot| slot.cmpxchg(expectfn, ptr::null_mut(), Full).is_ok());
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

/// The first one that is registered of which `is_it` is true. RCU is held.
fn find(is_it: impl Fn(&Raw) -> bool) -> *mut Raw {
    let mut registered = REGISTERED.iter().map(|slot| slot.load(Relaxed));
    // SAFETY: What is registered is there until a grace period after it was taken away.
    let found = registered.find(|expectfn| unsafe { expectfn.as_ref() }.is_some_and(&is_it));
    found.unwrap_or(ptr::null_mut())
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
        find(|expectfn| CStr::from_char_ptr(expectfn.name) == name)
    }
}

/// nf_ct_helper_expectfn_find_by_symbol().
///
/// # Safety
///
/// Called from C under RCU; the function is compared only.
#[no_mangle]
unsafe extern "C" fn rust_ct_expectfn_of_symbol(symbol: *const c_void) -> *mut Raw {
    find(|expectfn| expectfn.expectfn.map_or(0, |f| f as usize) == symbol.addr())
}
