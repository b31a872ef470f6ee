// SPDX-License-Identifier: GPL-2.0

//! Functions and variables of the kernel, and of `helpers.c`, that ask for nothing but what the
//! types of their arguments promise. Those that are about the types of another file of `sys` are
//! declared there.

#![allow(
    clashing_extern_declarations,
    improper_ctypes,
    reason = "the bindings have pointers where these have references"
)]

use crate::{
    bindings,
    sys::{
        abi::Text,
        field::{
            Field,
            Memory, //
        },
    },
};
use core::ptr::NonNull;
use kernel::{
    ffi::{
        c_int,
        c_uint,
        c_void, //
    },
    sync::atomic::Atomic, //
};

/// A clock, `enum tk_offsets`.
#[repr(u32)]
pub(super) enum Clock {
    /// Since 1970.
    Real = bindings::tk_offsets_TK_OFFS_REAL,
    /// Since the machine was started.
    Boot = bindings::tk_offsets_TK_OFFS_BOOT,
}

// Safe, because that is all that they ask for: a reference is a pointer to what its type is around,
// any other value will do, and none keeps a pointer. Rust and C read and write the variables by one
// access. The context is any, but where they say otherwise.
unsafe extern "C" {
    pub(crate) safe fn rct_refcount_tryget(count: &Memory<bindings::refcount_t>) -> bool;
    pub(crate) safe fn rct_conntrack_get(count: &Memory<bindings::nf_conntrack>);
    pub(crate) safe fn rct_conntrack_tryget(count: &Memory<bindings::nf_conntrack>) -> bool;
    pub(crate) safe fn rct_conntrack_use(count: &Memory<bindings::nf_conntrack>) -> c_uint;
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    pub(crate) safe fn rct_timeout_tryget(policy: &Memory<bindings::nf_ct_timeout>) -> bool;

    pub(super) safe fn rct_kmalloc(size: usize, gfp: bindings::gfp_t) -> *mut c_void;
    pub(super) safe fn pcpu_alloc_noprof(
        size: usize,
        align: usize,
        reserved: bool,
        gfp: bindings::gfp_t,
    ) -> *mut c_void;
    pub(super) safe fn rct_total_ram() -> usize;
    /// Process context. The allocator refuses a free pointer that is not within the size.
    pub(super) safe fn rct_cache_create(
        name: Text<'_>,
        size: c_uint,
        align: c_uint,
        freeptr: c_uint,
    ) -> Option<&'static Memory<bindings::kmem_cache>>;
    pub(super) safe fn kmem_cache_alloc_noprof(
        cache: &Memory<bindings::kmem_cache>,
        gfp: bindings::gfp_t,
    ) -> Option<NonNull<c_void>>;

    pub(super) safe fn rct_test_and_set_bit(bit: c_uint, word: &Atomic<usize>) -> bool;
    pub(super) safe fn rct_test_and_clear_bit(bit: c_uint, word: &Atomic<usize>) -> bool;
    pub(super) safe fn rct_clear_bit(bit: c_uint, word: &Atomic<usize>);
    pub(super) safe fn rct_cpu_possible(cpu: c_uint) -> bool;
    pub(super) safe fn ktime_get_with_offset(clock: Clock) -> i64;
    /// Process context.
    pub(super) safe fn capable(capability: c_int) -> bool;
    /// Any number of a family will do.
    pub(super) safe fn nf_log_is_registered(family: u8) -> bool;
    /// Process context, with no lock held.
    pub(super) safe fn rct_request_module(prefix: Text<'_>, name: Text<'_>) -> c_int;

    pub(super) safe fn get_random_u64() -> u64;
    pub(super) safe fn siphash_4u64(
        a: u64,
        b: u64,
        c: u64,
        d: u64,
        key: &bindings::siphash_key_t,
    ) -> u64;

    /// Process context.
    pub(crate) safe fn rct_cond_resched();

    #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
    pub(crate) safe static nf_ctnetlink_has_listener: Field<u8>;
    pub(super) safe static jiffies: Field<usize>;
    pub(super) safe static nf_conntrack_max: Atomic<u32>;
    pub(super) safe static rct_param_acct: Field<u8>;
    pub(super) safe static rct_param_tstamp: Field<u8>;
    pub(super) safe static rct_param_enable_hooks: Field<u8>;
}
