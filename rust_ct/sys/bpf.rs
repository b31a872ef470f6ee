// SPDX-License-Identifier: GPL-2.0

//! What BPF programs call: their verifier finds it by the module's BTF. `bpf.c` has the functions.
//!
//! C headers: [`include/linux/btf.h`](srctree/include/linux/btf.h),
//! [`include/linux/filter.h`](srctree/include/linux/filter.h)

use core::{
    cell::UnsafeCell,
    ptr, //
};
use kernel::{
    error::to_result,
    ffi::{
        c_char,
        c_int,
        c_void, //
    },
    fmt,
    prelude::*, //
};

// Safe, but for the log, because they ask for nothing but process context. `bpf.c` stays as long as
// the module.
#[allow(
    clashing_extern_declarations,
    reason = "the bindings do not have them as safe"
)]
unsafe extern "C" {
    safe fn rct_bpf_has_btf() -> bool;
    safe fn rct_bpf_register() -> c_int;
    safe fn rct_bpf_allow_writes(allow: bool);
    fn bpf_log(log: &Log, format: *const c_char, ...);
}

/// The log in which a verifier says why it refuses a program, the kernel's `struct
/// bpf_verifier_log`.
#[repr(C)]
pub(crate) struct Log(UnsafeCell<[u8; 0]>);

impl Log {
    /// Says something; a line ends with a newline. Process context.
    pub(crate) fn say(&self, text: fmt::Arguments<'_>) {
        // SAFETY: That is what this format is for, and the log is the verifier's that calls us.
        unsafe {
            bpf_log(
                self,
                c"%pA".as_char_ptr(),
                ptr::from_ref(&text).cast::<c_void>(),
            )
        };
    }
}

/// BPF programs can call the module while this lives, and may write to what it gives them. A
/// program that writes keeps the module from being unloaded.
pub(crate) struct Registered(());

impl Registered {
    /// Lets BPF programs call the functions of `bpf.c`. To be called while the module is being
    /// loaded; `None` if it was built without BTF, or with some that is of no use.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the kernel does not accept the BTF, `ENOMEM`.
    pub(crate) fn new() -> Result<Option<Self>> {
        if !rct_bpf_has_btf() {
            return Ok(None);
        }
        to_result(rct_bpf_register())?;
        rct_bpf_allow_writes(true);
        Ok(Some(Self(())))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        rct_bpf_allow_writes(false);
    }
}
