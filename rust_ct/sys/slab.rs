// SPDX-License-Identifier: GPL-2.0

//! Caches of objects of one type, freed under RCU.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)

use crate::{
    bindings,
    sys::{
        call,
        field::{
            Field,
            Memory, //
        },
    },
};
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
    sync::rcu, //
};

/// What objects are aligned to: a line of the processors' caches.
pub(crate) const ALIGN: usize = 64;

/// A cache of `T`s in memory that stays a `T`'s until a grace period after it was freed
/// (`SLAB_TYPESAFE_BY_RCU`): a reader under RCU may meet a `T` that was freed and given out anew.
pub(crate) struct Cache<T> {
    /// Null until [`Cache::create`], and again when its result is dropped.
    cache: Field<Option<&'static Memory<bindings::kmem_cache>>>,
    _objects: PhantomData<fn() -> T>,
}

impl<T> Cache<T> {
    /// A cache that does not exist yet, for a `static`.
    pub(crate) const fn new() -> Self {
        Self {
            cache: Field::new(None),
            _objects: PhantomData,
        }
    }

    /// Creates the cache. Process context.
    ///
    /// `freeptr` is the offset of a pointer in a `T` that no reader looks at without owning the
    /// object: the allocator keeps its own there while the object is free.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or `EBUSY` if it is there.
    pub(crate) fn create(&'static self, name: &CStr, freeptr: usize) -> Result<Created<T>> {
        const { assert!(align_of::<T>() <= ALIGN) };
        if self.cache.load().is_some() {
            return Err(EBUSY);
        }
        let size = size_of::<T>() as c_uint;
        let cache = call::rct_cache_create(name.into(), size, ALIGN as c_uint, freeptr as c_uint);
        self.cache.store(Some(cache.ok_or(ENOMEM)?));
        Ok(Created { cache: self })
    }

    /// The cache, or null. It is written before the cache is used, and after.
    fn raw(&self) -> *mut bindings::kmem_cache {
        self.cache.load().map_or(ptr::null_mut(), Memory::get)
    }

    /// Allocates memory for a `T`, from any context: uninitialised, or as its last owner left it.
    #[inline]
    pub(crate) fn alloc(&self) -> Option<NonNull<T>> {
        let object = call::kmem_cache_alloc_noprof(self.cache.load()?, bindings::GFP_ATOMIC);
        object.map(NonNull::cast)
    }

    /// Frees an object, from any context.
    ///
    /// # Safety
    ///
    /// `object` must be from [`Cache::alloc`], and only readers under RCU may use it any more.
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
        let cache = self.cache.raw();
        self.cache.cache.store(None);
        // SAFETY: The cache was created by `create`, and has no objects.
        unsafe { bindings::kmem_cache_destroy(cache) };
    }
}
