// SPDX-License-Identifier: GPL-2.0

//! Modules of the kernel.
//!
//! C headers: [`include/linux/module.h`](srctree/include/linux/module.h),
//! [`include/linux/kmod.h`](srctree/include/linux/kmod.h)

use crate::{
    bindings,
    sys::call, //
};
use kernel::prelude::*;

/// Loads the module with an alias, and waits for it. Returns whether modprobe found a module that
/// loads. Process context, sleeps, with no lock held.
pub(crate) fn request(prefix: &'static CStr, name: &CStr) -> bool {
    call::rct_request_module(prefix.into(), name.into()) == 0
}

/// Keeps a module from being unloaded; returns whether it was there to be kept. Any context.
///
/// # Safety
///
/// `module` must be null, for code that is never unloaded, or point at a module whose memory is
/// there.
pub(crate) unsafe fn get(module: *mut bindings::module) -> bool {
    // SAFETY: The caller vouches for the module.
    unsafe { bindings::try_module_get(module) }
}

/// Gives back one [`get`]. Any context.
///
/// # Safety
///
/// The caller must have kept the module by [`get`].
pub(crate) unsafe fn put(module: *mut bindings::module) {
    // SAFETY: The caller vouches for the module.
    unsafe { bindings::module_put(module) };
}
