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

/// The functions of the parameters that are numbers: those that set and show each, and what they
/// do.
macro_rules! numbers {
    ($($set:ident, $get:ident: $take:path, $value:expr;)*) => {
        $(
            #[no_mangle]
            extern "C" fn $set(value: Option<Text<'_>>) -> c_int {
                set_param(value, $take)
            }

            #[no_mangle]
            extern "C" fn $get(buffer: &Page) -> c_int {
                get_param(buffer, $value)
            }
        )*
    };
}

numbers! {
    rust_ct_param_set_hashsize, rust_ct_param_get_hashsize:
        param::set_hashsize, param::hashsize();
    rust_ct_param_set_max, rust_ct_param_get_max:
        param::set_max, param::max();
    rust_ct_param_set_total, rust_ct_param_get_total:
        param::set_total, limit::TOTAL.load(Relaxed);
    rust_ct_param_set_share, rust_ct_param_get_share:
        param::set_share, limit::SHARE.load(Relaxed);
    rust_ct_param_set_netns_max, rust_ct_param_get_netns_max:
        param::set_netns_max, NETNS_MAX.load(Relaxed);
    rust_ct_param_set_adaptive_start, rust_ct_param_get_adaptive_start:
        param::set_adaptive_start, limit::ADAPTIVE_START.load(Relaxed);
    rust_ct_param_set_adaptive_end, rust_ct_param_get_adaptive_end:
        param::set_adaptive_end, limit::ADAPTIVE_END.load(Relaxed);
    rust_ct_param_set_expect_hashsize, rust_ct_param_get_expect_hashsize:
        param::set_expect_hashsize, expect::lists();
}

/// Sets `helpers`.
#[no_mangle]
extern "C" fn rust_ct_param_set_helpers(value: Option<Text<'_>>) -> c_int {
    set_param(value, param::set_helpers)
}
