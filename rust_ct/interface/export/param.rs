// SPDX-License-Identifier: GPL-2.0

//! What the kernel's code for parameters calls.

use crate::{
    bindings,
    interface::param,
    object::{
        expect,
        netns::{
            limit,
            NETNS_MAX, //
        },
    },
    sys::{
        abi::Text,
        field::Field, //
    },
};
use core::ptr;
use kernel::{
    error::from_result,
    ffi::c_int,
    page::PAGE_SIZE,
    prelude::*,
    sync::atomic::Relaxed, //
};

/// Where the value of a parameter is shown.
type Page = Field<[u8; PAGE_SIZE]>;

/// Hands the text of a parameter on.
fn set_param(value: Option<Text<'_>>, set: fn(&CStr) -> Result) -> c_int {
    from_result(|| set(value.ok_or(EINVAL)?.get()).map(|()| 0))
}

/// Writes the value of a parameter, and gives its length.
fn get_param(buffer: &Page, value: u32) -> c_int {
    let buffer = ptr::from_ref(buffer).cast_mut().cast();
    // SAFETY: The number and the line end take less than the length that is given, and that less
    // than a page.
    unsafe { bindings::scnprintf(buffer, 16, c"%u\n".as_char_ptr(), value) }
}

/// Sets `hashsize`.
#[no_mangle]
extern "C" fn rust_ct_param_set_hashsize(value: Option<Text<'_>>) -> c_int {
    set_param(value, param::set_hashsize)
}

/// Shows `hashsize`.
#[no_mangle]
extern "C" fn rust_ct_param_get_hashsize(buffer: &Page) -> c_int {
    get_param(buffer, param::hashsize())
}

/// Sets `max`.
#[no_mangle]
extern "C" fn rust_ct_param_set_max(value: Option<Text<'_>>) -> c_int {
    set_param(value, param::set_max)
}

/// Shows `max`.
#[no_mangle]
extern "C" fn rust_ct_param_get_max(buffer: &Page) -> c_int {
    get_param(buffer, param::max())
}

/// Sets `total`.
#[no_mangle]
extern "C" fn rust_ct_param_set_total(value: Option<Text<'_>>) -> c_int {
    set_param(value, param::set_total)
}

/// Shows `total`.
#[no_mangle]
extern "C" fn rust_ct_param_get_total(buffer: &Page) -> c_int {
    get_param(buffer, limit::TOTAL.load(Relaxed))
}

/// Sets `share`.
#[no_mangle]
extern "C" fn rust_ct_param_set_share(value: Option<Text<'_>>) -> c_int {
    set_param(value, param::set_share)
}

/// Shows `share`.
#[no_mangle]
extern "C" fn rust_ct_param_get_share(buffer: &Page) -> c_int {
    get_param(buffer, limit::SHARE.load(Relaxed))
}

/// Sets `netns_max`.
#[no_mangle]
extern "C" fn rust_ct_param_set_netns_max(value: Option<Text<'_>>) -> c_int {
    set_param(value, param::set_netns_max)
}

/// Shows `netns_max`.
#[no_mangle]
extern "C" fn rust_ct_param_get_netns_max(buffer: &Page) -> c_int {
    get_param(buffer, NETNS_MAX.load(Relaxed))
}

/// Sets `expect_hashsize`.
#[no_mangle]
extern "C" fn rust_ct_param_set_expect_hashsize(value: Option<Text<'_>>) -> c_int {
    set_param(value, param::set_expect_hashsize)
}

/// Shows `expect_hashsize`.
#[no_mangle]
extern "C" fn rust_ct_param_get_expect_hashsize(buffer: &Page) -> c_int {
    get_param(buffer, expect::lists())
}

/// Sets `helpers`.
#[no_mangle]
extern "C" fn rust_ct_param_set_helpers(value: Option<Text<'_>>) -> c_int {
    set_param(value, param::set_helpers)
}
