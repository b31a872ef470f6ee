// SPDX-License-Identifier: GPL-2.0

//! Evidence that the caller is in a read-side critical section of RCU.

use core::marker::PhantomData;
use kernel::sync::rcu;

/// RCU is held for `'a`: by a guard of ours, or by the kernel around a function that it calls.
///
/// # Invariants
///
/// No grace period that begins within `'a` ends within it.
#[derive(Clone, Copy)]
pub(crate) struct ReadSide<'a>(PhantomData<&'a rcu::Guard>);

impl<'a> ReadSide<'a> {
    /// Evidence from a guard.
    #[inline]
    pub(crate) fn of(_guard: &'a rcu::Guard) -> Self {
        // INVARIANT: The guard lives for `'a`.
        Self(PhantomData)
    }

    /// Evidence from the kernel's promise to call a function under RCU.
    ///
    /// # Safety
    ///
    /// The caller must have been called under RCU, which is held for `'a`.
    #[inline]
    pub(crate) unsafe fn assume() -> Self {
        // INVARIANT: As the caller says.
        Self(PhantomData)
    }
}
