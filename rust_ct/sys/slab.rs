// SPDX-License-Identifier: GPL-2.0

//! Caches of objects of one type, freed under RCU.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)

use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    ffi::c_uint,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu, //
    },
};

/// A cache of `T`s in memory that stays a `T`'s until a grace period after it was freed
/// (`SLAB_TYPESAFE_BY_RCU`): a reader under RCU may meet a `T` that was freed and given out anew.
pub(crate) struct Cache<T> {
    /// Null until [`Cache::create`], and again when its result is dropped.
    cache: Atomic<*mut bindings::kmem_cache>,
    _objects: PhantomData<fn() -> T>,
}

impl<T> Cache<T> {
    /// A cache that does not exist yet, for a `static`.
    pub(crate) const fn new() -> Self {
        Self {
            cache: Atomic::new(ptr::null_mut()),
            _objects: PhantomData,
        }
    }

    /// Creates the cache. Process context.
    ///
    /// `freeptr` is the offset of a pointer in a `T` that no reader looks at without owning the
    /// object: the allocator keeps its own there while the object is free.
    pub(crate) fn create(&'static self, name: &CStr, freeptr: usize) -> Result<Created<T>> {
        let mut args = bindings::kmem_cache_args {
            align: align_of::<T>() as c_uint,
            freeptr_offset: freeptr as c_uint,
            use_freeptr_offset: true,
            ..Default::default()
        };
        // SAFETY: The name is copied or outlives the call, and the arguments are complete.
        let cache = unsafe {
            bindings::__kmem_cache_create_args(
                name.as_char_ptr(),
                size_of::<T>() as c_uint,
                &mut args,
                bindings::RUST_CT_CONST_SLAB_FLAGS,
            )
        };
        if cache.is_null() {
            return Err(ENOMEM);
        }
        self.cache.store(cache, Relaxed);
        Ok(Created { cache: self })
    }

    fn raw(&self) -> *mut bindings::kmem_cache {
        // SAFETY: The field is valid. A volatile read is enough: it is written before the cache is
        // used, and after.
        unsafe { self.cache.as_ptr().read_volatile() }
    }

    /// Allocates memory for a `T`, from any context: uninitialised, or as its last owner left it.
    #[inline]
    pub(crate) fn alloc(&self) -> Option<NonNull<T>> {
        let cache = self.raw();
        if cache.is_null() {
            return None;
        }
        // SAFETY: The cache exists.
        let object = unsafe { bindings::kmem_cache_alloc_noprof(cache, bindings::GFP_ATOMIC) };
        NonNull::new(object.cast())
    }

    /// Frees an object, from any context.
    ///
    /// # Safety
    ///
    /// `object` must be from [`Cache::alloc`], and nobody but readers under RCU may use it any
    /// more.
    #[inline]
    pub(crate) unsafe fn free(&self, object: NonNull<T>) {
        // SAFETY: An object of the cache exists, so the cache does, and the caller owns the object.
        unsafe { bindings::kmem_cache_free(self.raw(), object.as_ptr().cast()) };
    }
}

/// The cache exists while this lives. All objects must have been freed before it is dropped.
pub(crate) struct Created<T: 'static> {
    cache: &'static Cache<T>,
}

impl<T> Drop for Created<T> {
    fn drop(&mut self) {
        // Objects are freed after a grace period, through call_rcu().
        rcu::rcu_barrier();
        let cache = self.cache.cache.xchg(ptr::null_mut(), Relaxed);
        // SAFETY: The cache was created by `create`, and has no objects.
        unsafe { bindings::kmem_cache_destroy(cache) };
    }
}
