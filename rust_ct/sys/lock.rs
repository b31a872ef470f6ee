// SPDX-License-Identifier: GPL-2.0

//! Spinlocks that softirqs take too: one, and many that can be held all at once.
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)

use crate::bindings;
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        LockClassKey, //
    },
    types::NotThreadSafe, //
};

/// Initialises a spinlock.
///
/// # Safety
///
/// `lock` must be valid, and nobody may use it.
unsafe fn init(
    lock: *mut bindings::spinlock_t,
    name: &'static CStr,
    class: Pin<&'static LockClassKey>,
) {
    // SAFETY: The caller vouches for the lock; name and class are static.
    unsafe { bindings::__spin_lock_init(lock, name.as_char_ptr(), class.as_ptr()) };
}

/// A spinlock that is a field of a C object.
pub(crate) struct RawLock(*mut bindings::spinlock_t);

impl RawLock {
    /// The lock at `lock`.
    ///
    /// # Safety
    ///
    /// `lock` must be valid as long as the result is used, and initialised before it is taken.
    #[inline]
    pub(crate) unsafe fn new(lock: *mut bindings::spinlock_t) -> Self {
        Self(lock)
    }

    /// Initialises the lock.
    ///
    /// # Safety
    ///
    /// Nobody else may use the lock.
    #[inline]
    pub(crate) unsafe fn init(&self, name: &'static CStr, class: Pin<&'static LockClassKey>) {
        // SAFETY: The lock is valid by the contract of `new`, and nobody but the caller uses it.
        unsafe { init(self.0, name, class) };
    }

    /// Takes the lock, with softirqs off.
    #[inline]
    pub(crate) fn lock(self) -> RawGuard {
        // SAFETY: The lock is valid and initialised by the contract of `new`.
        unsafe { bindings::rct_spin_lock_bh(self.0) };
        RawGuard(self.0, NotThreadSafe)
    }
}

/// A [`RawLock`] that is held.
pub(crate) struct RawGuard(*mut bindings::spinlock_t, NotThreadSafe);

impl Drop for RawGuard {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The lock is held.
        unsafe { bindings::rct_spin_unlock_bh(self.0) };
    }
}

/// Softirqs are off on this CPU while this lives, and the task does not sleep.
pub(crate) struct BhOff(NotThreadSafe);

impl BhOff {
    #[inline]
    pub(crate) fn new() -> Self {
        // SAFETY: May be called in any context but hard interrupts.
        unsafe { bindings::rct_local_bh_disable() };
        Self(NotThreadSafe)
    }
}

impl Drop for BhOff {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: Softirqs were switched off by `new`.
        unsafe { bindings::rct_local_bh_enable() };
    }
}

/// `N` spinlocks, to be taken in pairs or all at once.
///
/// Lock order: `all`, then the lock with the smaller number, then the one with the larger.
///
/// All at once is done without holding `N` locks: `all` is taken, `closed` raised, and each lock
/// taken and released once, after which nobody holds a lock without having seen the flag. Whoever
/// takes a lock and sees the flag releases it and waits for `all` first.
///
/// # Invariants
///
/// `locks` points at so many locks, for ever. They are initialised before anything else is called.
pub(crate) struct Locks<const N: usize> {
    locks: *mut [bindings::spinlock_t; N],
    all: UnsafeCell<MaybeUninit<bindings::spinlock_t>>,
    closed: Atomic<bool>,
}

// SAFETY: Locks are for everybody.
unsafe impl<const N: usize> Sync for Locks<N> {}

impl<const N: usize> Locks<N> {
    /// Locks to be initialised, which other modules may know.
    pub(crate) const fn new(locks: *mut [bindings::spinlock_t; N]) -> Self {
        Self {
            locks,
            all: UnsafeCell::new(MaybeUninit::uninit()),
            closed: Atomic::new(false),
        }
    }

    /// Initialises the locks.
    ///
    /// # Safety
    ///
    /// Must be called before anything else, with nobody else there. What `new` was given must be
    /// valid for ever.
    pub(crate) unsafe fn init(
        &'static self,
        name: &'static CStr,
        class: Pin<&'static LockClassKey>,
    ) {
        for i in 0..N {
            // SAFETY: The lock is valid, and nobody uses it.
            unsafe { init(self.raw(i), name, class) };
        }
        // SAFETY: The lock is valid, and nobody uses it.
        unsafe {
            init(
                self.all.get().cast(),
                c"rust_ct_all",
                kernel::static_lock_class!(),
            )
        };
    }

    #[inline]
    fn raw(&self, i: usize) -> *mut bindings::spinlock_t {
        // The remainder keeps the pointer inside whatever the caller says.
        self.locks
            .cast::<bindings::spinlock_t>()
            .wrapping_add(i % N)
    }

    /// Takes a lock, after whoever holds them all. Softirqs are off.
    ///
    /// # Safety
    ///
    /// `lock` must be one of the locks, and the caller must release it.
    #[inline]
    pub(crate) unsafe fn take(&self, lock: *mut bindings::spinlock_t) {
        // SAFETY: By the type invariant, the lock is initialised.
        unsafe { bindings::spin_lock(lock) };
        // The flag is lowered with release ordering: whoever sees it low sees what was done under
        // `all`.
        if self.closed.load(Acquire) {
            // SAFETY: The locks are initialised, and taken in order: `all` first.
            unsafe {
                bindings::spin_unlock(lock);
                bindings::spin_lock(self.all.get().cast());
                bindings::spin_lock(lock);
                bindings::spin_unlock(self.all.get().cast());
            }
        }
    }

    /// Takes the locks number `i` and `j` modulo `N`, which may be the same.
    #[inline]
    pub(crate) fn lock_pair(&self, i: usize, j: usize) -> Guard<'_, N> {
        let (i, j) = (i % N, j % N);
        let (first, second) = (i.min(j), i.max(j));
        let bh = BhOff::new();
        // SAFETY: The lock is one of ours, which the guard gives back.
        unsafe { self.take(self.raw(first)) };
        if first != second {
            // SAFETY: The lock is initialised; whoever holds all locks waits for the first one.
            unsafe { bindings::rct_spin_lock_nested(self.raw(second)) };
        }
        Guard {
            locks: self,
            first,
            second: (first != second).then_some(second),
            _bh: bh,
        }
    }

    /// Takes all locks.
    pub(crate) fn lock_all(&self) -> AllGuard<'_, N> {
        let bh = BhOff::new();
        // SAFETY: By the type invariant, the lock is initialised.
        unsafe { bindings::spin_lock(self.all.get().cast()) };
        self.closed.store(true, Relaxed);
        for i in 0..N {
            // SAFETY: By the type invariant, the lock is initialised. Unlocking releases the flag
            // to the next one that takes it.
            unsafe {
                bindings::spin_lock(self.raw(i));
                bindings::spin_unlock(self.raw(i));
            }
        }
        AllGuard {
            locks: self,
            _bh: bh,
        }
    }
}

/// One or two of [`Locks`] that are held.
pub(crate) struct Guard<'a, const N: usize> {
    locks: &'a Locks<N>,
    first: usize,
    second: Option<usize>,
    _bh: BhOff,
}

impl<const N: usize> Drop for Guard<'_, N> {
    #[inline]
    fn drop(&mut self) {
        if let Some(second) = self.second {
            // SAFETY: The lock is held.
            unsafe { bindings::spin_unlock(self.locks.raw(second)) };
        }
        // SAFETY: The lock is held.
        unsafe { bindings::spin_unlock(self.locks.raw(self.first)) };
    }
}

/// All of [`Locks`] are held.
pub(crate) struct AllGuard<'a, const N: usize> {
    locks: &'a Locks<N>,
    _bh: BhOff,
}

impl<const N: usize> Drop for AllGuard<'_, N> {
    fn drop(&mut self) {
        self.locks.closed.store(false, Release);
        // SAFETY: The lock is held.
        unsafe { bindings::spin_unlock(self.locks.all.get().cast()) };
    }
}
