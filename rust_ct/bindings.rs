// SPDX-License-Identifier: GPL-2.0

//! Generated bindings of kernel headers.
//!
//! Only `sys`, and the files of `object` and `interface/export` that hold kernel objects, use this
//! module; everything else goes through their safe wrappers.

#![allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]

use pin_init::MaybeZeroable;

// The kernel crate's types come first, so that both sides speak of the same `sk_buff` and `net`.
pub use kernel::{
    bindings::*,
    ffi, //
};

include!(concat!(env!("RUST_CT_OBJ"), "/bindings_generated.rs"));
