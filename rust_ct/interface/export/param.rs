// SPDX-License-Identifier: GPL-2.0

//! What the kernel's code for parameters calls.

use crate::{
    bindings,
    interface::param, //
};
use kernel::{
    error::from_result,
    ffi::{
        c_char,
        c_int, //
    },
    prelude::*, //
};

/// Hands the text of a parameter on.
///
/// # Safety
///
/// `value` must be a C string or null.
unsafe fn set_param(value: *const c_char, set: fn(&CStr) -> Result) -> c_int {
    from_result(|| {
        if value.is_null() {
            return Err(EINVAL);
        }
        // SAFETY: The caller vouches for the string.
        set(unsafe { CStr::from_char_ptr(value) }).map(|()| 0)
    })
}

/// Writes the value of a parameter, and gives its length.
///
/// # Safety
///
/// `buffer` must have room for a page.
unsafe fn get_param(buffer: *mut c_char, value: u32) -> c_int {
    // SAFETY: The number and the line end take less than the length that is given.
    unsafe { bindings::scnprintf(buffer, 16, c"%u\n".as_char_ptr(), value) }
}

/// Sets `hashsize`.
///
/// # Safety
///
/// Called from the kernel's parameter code.
#[no_mangle]
unsafe extern "C" fn rust_ct_param_set_hashsize(
    value: *const c_char,
    _param: *const bindings::kernel_param,
) -> c_int {
    // SAFETY: The kernel passes a string or null.
    unsafe { set_param(value, param::set_hashsize) }
}

/// Shows `hashsize`.
///
/// # Safety
///
/// Called from the kernel's parameter code.
#[no_mangle]
unsafe extern "C" fn rust_ct_param_get_hashsize(
    buffer: *mut c_char,
    _param: *const bindings::kernel_param,
) -> c_int {
    // SAFETY: The kernel passes a page.
    unsafe { get_param(buffer, param::hashsize()) }
}

/// Sets `max`.
///
/// # Safety
///
/// Called from the kernel's parameter code.
#[no_mangle]
unsafe extern "C" fn rust_ct_param_set_max(
    value: *const c_char,
    _param: *const bindings::kernel_param,
) -> c_int {
    // SAFETY: The kernel passes a string or null.
    unsafe { set_param(value, param::set_max) }
}

/// Shows `max`.
///
/// # Safety
///
/// Called from the kernel's parameter code.
#[no_mangle]
unsafe extern "C" fn rust_ct_param_get_max(
    buffer: *mut c_char,
    _param: *const bindings::kernel_param,
) -> c_int {
    // SAFETY: The kernel passes a page.
    unsafe { get_param(buffer, param::max()) }
}

/// Sets `expect_hashsize`.
///
/// # Safety
///
/// Called from the kernel's parameter code.
#[no_mangle]
unsafe extern "C" fn rust_ct_param_set_expect_hashsize(
    value: *const c_char,
    _param: *const bindings::kernel_param,
) -> c_int {
    // SAFETY: The kernel passes a string or null.
    unsafe { set_param(value, param::set_expect_hashsize) }
}

/// Shows `expect_hashsize`.
///
/// # Safety
///
/// Called from the kernel's parameter code.
#[no_mangle]
unsafe extern "C" fn rust_ct_param_get_expect_hashsize(
    buffer: *mut c_char,
    _param: *const bindings::kernel_param,
) -> c_int {
    // SAFETY: The kernel passes a page. The variable is a number of ours, written by one access.
    unsafe {
        let size = (&raw const bindings::nf_ct_expect_hsize).read_volatile();
        get_param(buffer, size)
    }
}

/// Sets `helpers`.
///
/// # Safety
///
/// Called from the kernel's parameter code.
#[no_mangle]
unsafe extern "C" fn rust_ct_param_set_helpers(
    value: *const c_char,
    _param: *const bindings::kernel_param,
) -> c_int {
    // SAFETY: The kernel passes a string or null.
    unsafe { set_param(value, param::set_helpers) }
}
