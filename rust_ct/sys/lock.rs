// SPDX-License-Identifier: GPL-2.0

//! Spinlocks that softirqs take too: one, and many that can be held all at once.
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)

use crate::{
    bindings,
    sys::{
        field::{
            Memory,
            Mirrors, //
        },
        rcu::ReadSide, //
    },
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

// Safe, because that is all that they ask for: a lock that is initialised, as [`Lock`] is, or that
// is held, and given up. The variables are where C defines them, initialised or for
// [`Locks::init`].
#[allow(
    clashing_extern_declarations,
    improper_ctypes,
    reason = "the bindings have pointers where these have references"
)]
unsafe extern "C" {
    #[link_name = "rust_helper_spin_lock"]
    safe fn spin_lock(lock: &Lock);
    safe fn rct_spin_lock_nested(lock: &Lock);
    // The kernel's function itself, where there is one.
    #[cfg_attr(
        all(CONFIG_SMP, not(CONFIG_PREEMPT_RT), not(CONFIG_INLINE_SPIN_LOCK_BH)),
        link_name = "_raw_spin_lock_bh"
    )]
    safe fn rct_spin_lock_bh(lock: &Lock);
    #[link_name = "rust_helper_spin_unlock"]
    safe fn spin_unlock(lock: Held<'_>);
    #[cfg_attr(
        all(CONFIG_SMP, not(CONFIG_PREEMPT_RT), not(CONFIG_INLINE_SPIN_UNLOCK_BH)),
        link_name = "_raw_spin_unlock_bh"
    )]
    safe fn rct_spin_unlock_bh(lock: Held<'_>);
    /// Any context but hard interrupts.
    safe fn rct_local_bh_disable();
    pub(crate) safe static nf_conntrack_locks: [Lock; bindings::CONNTRACK_LOCKS as usize];
    pub(crate) safe static nf_conntrack_expect_lock: Lock;
}

/// A spinlock, also as a field of a C object.
///
/// # Invariants
///
/// It is initialised before it is taken.
#[repr(transparent)]
pub(crate) struct Lock(Memory<bindings::spinlock_t>);

// SAFETY: It gives nothing but the pointer.
unsafe impl Mirrors<bindings::spinlock_t> for Lock {}

impl Lock {
    /// A lock to be initialised.
    const fn new() -> Self {
        Self(Memory::new(pin_init::zeroed()))
    }

    /// Initialises the lock at `lock`.
    ///
    /// # Safety
    ///
    /// `lock` must be valid, and not in use.
    #[inline]
    pub(crate) unsafe fn init(
        lock: *mut bindings::spinlock_t,
        name: &'static CStr,
        class: Pin<&'static LockClassKey>,
    ) {
        // SAFETY: The caller vouches for the lock; name and class are static.
        unsafe { bindings::__spin_lock_init(lock, name.as_char_ptr(), class.as_ptr()) };
    }

    /// Takes the lock, with softirqs off.
    #[inline]
    pub(crate) fn lock(&self) -> RawGuard<'_> {
        rct_spin_lock_bh(self);
        RawGuard(self, NotThreadSafe)
    }

    /// Takes the lock. Softirqs are off.
    #[inline]
    fn take(&self) -> Taken<'_> {
        spin_lock(self);
        Taken(self, NotThreadSafe)
    }

    /// As [`Lock::take`], with another lock held.
    #[inline]
    fn take_nested(&self) -> Taken<'_> {
        rct_spin_lock_nested(self);
        Taken(self, NotThreadSafe)
    }
}

/// A [`Lock`] that is held, and released by the function that this is given to.
#[repr(transparent)]
struct Held<'a>(&'a Lock);

/// A [`Lock`] that is held, with softirqs off for it.
pub(crate) struct RawGuard<'a>(&'a Lock, NotThreadSafe);

impl RawGuard<'_> {
    /// Evidence that the holder of a spinlock is in a read-side critical section of RCU, too.
    ///
    /// Source: Documentation/RCU/rcu_dereference.rst and include/linux/rcupdate.h,
    /// rcu_read_lock(): where a spinlock may be preempted, rt_spin_lock() takes RCU.
    pub(crate) fn rcu(&self) -> ReadSide<'_> {
        // SAFETY: As above, as long as the guard is borrowed.
        unsafe { ReadSide::assume() }
    }
}

impl Drop for RawGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        // INVARIANT: The lock is held.
        rct_spin_unlock_bh(Held(self.0));
    }
}

/// A [`Lock`] that is held.
struct Taken<'a>(&'a Lock, NotThreadSafe);

impl Drop for Taken<'_> {
    #[inline]
    fn drop(&mut self) {
        // INVARIANT: The lock is held.
        spin_unlock(Held(self.0));
    }
}

/// Softirqs are off on this CPU while this lives, and the task does not sleep.
///
/// With `CONFIG_PREEMPT_RT` that is said of the task only: softirqs may run in other tasks of the
/// CPU in the meantime, and a spinlock may sleep. To keep other tasks out takes a lock in any case.
pub(crate) struct BhOff(NotThreadSafe);

impl BhOff {
    #[inline]
    pub(crate) fn new() -> Self {
        rct_local_bh_disable();
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
/// Lock order: `all`, then the lock with the smaller number, then the lock with the larger.
///
/// All at once is done without holding `N` locks: `all` is taken, `closed` raised, and each lock
/// taken and released once, after which no CPU holds a lock without having seen the flag. A CPU
/// that takes a lock and sees the flag releases it and waits for `all` first.
///
/// # Invariants
///
/// The locks are initialised before anything else is called.
pub(crate) struct Locks<const N: usize> {
    locks: &'static [Lock; N],
    all: Lock,
    closed: Atomic<bool>,
}

impl<const N: usize> Locks<N> {
    /// Locks to be initialised, which other modules may know.
    pub(crate) const fn new(locks: &'static [Lock; N]) -> Self {
        Self {
            locks,
            all: Lock::new(),
            closed: Atomic::new(false),
        }
    }

    /// Initialises the locks.
    ///
    /// # Safety
    ///
    /// Must be called before anything else, when no other code uses the locks.
    pub(crate) unsafe fn init(
        &'static self,
        name: &'static CStr,
        class: Pin<&'static LockClassKey>,
    ) {
        // SAFETY: The locks are valid, and not in use.
        unsafe {
            for lock in self.locks {
                Lock::init(lock.0.get(), name, class);
            }
            let class = kernel::static_lock_class!();
            Lock::init(self.all.0.get(), c"rust_ct_all", class);
        }
    }

    #[inline]
    fn get(&self, i: usize) -> &'static Lock {
        // The remainder keeps it inside whatever the caller says.
        &self.locks[i % N]
    }

    /// Takes a lock, after a holder of all locks has released them. Softirqs are off.
    #[inline]
    fn take<'a>(&'a self, lock: &'a Lock) -> Taken<'a> {
        let taken = lock.take();
        // The flag is lowered with release ordering: a CPU that sees it low sees what was done
        // under `all`.
        if !self.closed.load(Acquire) {
            return taken;
        }
        drop(taken);
        // In order: `all` first.
        let all = self.all.take();
        let taken = lock.take();
        drop(all);
        taken
    }

    /// Takes one of the locks, after a holder of all locks has released them, for a caller that
    /// releases it. If `is_wanted` does not hold under it, releases it and returns false. Softirqs
    /// are off.
    pub(crate) fn take_for_caller(&self, lock: &Lock, is_wanted: impl FnOnce() -> bool) -> bool {
        let taken = self.take(lock);
        let is_wanted = is_wanted();
        if is_wanted {
            core::mem::forget(taken);
        }
        is_wanted
    }

    /// Takes lock number `i` modulo `N`.
    #[inline]
    pub(crate) fn lock_one(&self, i: usize) -> Guard<'_> {
        let bh = BhOff::new();
        Guard {
            _second: None,
            _first: self.take(self.get(i)),
            _bh: bh,
        }
    }

    /// Takes the locks number `i` and `j` modulo `N`, which may be the same.
    #[inline]
    pub(crate) fn lock_pair(&self, i: usize, j: usize) -> Guard<'_> {
        let (i, j) = (i % N, j % N);
        let (first, second) = (i.min(j), i.max(j));
        let bh = BhOff::new();
        let taken = self.take(self.get(first));
        Guard {
            // A CPU that takes all locks waits for the first one.
            _second: (first != second).then(|| self.get(second).take_nested()),
            _first: taken,
            _bh: bh,
        }
    }

    /// Waits for the holder of all locks, and gives it this task's priority where a lock has such.
    /// Any context, with none of the locks held.
    pub(crate) fn wait(&self) {
        if self.closed.load(Relaxed) {
            let bh = BhOff::new();
            drop(self.all.take());
            drop(bh);
        }
    }

    /// Takes all locks.
    pub(crate) fn lock_all(&self) -> AllGuard<'_> {
        let bh = BhOff::new();
        let all = self.all.take();
        self.closed.store(true, Relaxed);
        for lock in self.locks {
            // Unlocking releases the flag to the next CPU that takes the lock.
            drop(lock.take());
        }
        AllGuard {
            closed: &self.closed,
            _all: all,
            _bh: bh,
        }
    }
}

/// One or two of [`Locks`] that are held, to be released in this order.
pub(crate) struct Guard<'a> {
    _second: Option<Taken<'a>>,
    _first: Taken<'a>,
    _bh: BhOff,
}

/// All of [`Locks`] are held; the one for all is released behind the flag.
pub(crate) struct AllGuard<'a> {
    closed: &'a Atomic<bool>,
    _all: Taken<'a>,
    _bh: BhOff,
}

impl Drop for AllGuard<'_> {
    fn drop(&mut self) {
        self.closed.store(false, Release);
    }
}
