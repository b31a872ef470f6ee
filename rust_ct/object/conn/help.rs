// SPDX-License-Identifier: GPL-2.0

//! The extension of a connection that has a helper: the helper, what is expected, and what the
//! helper remembers. The layout is the kernel's `struct nf_conn_help`, because helpers in C use it.

use crate::{
    bindings,
    object::{
        conn::{
            ext::Kind,
            status::Flag,
            Conn, //
        },
        expect::Held,
        helper::{
            Helper,
            CLASSES, //
        },
    },
    sys::{
        hlist::Head,
        memory,
        rcu::ReadSide, //
    },
};
use core::{
    cell::UnsafeCell,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::sync::{
    aref::ARef,
    atomic::{
        Atomic,
        Full, //
    },
    rcu, //
};

/// What a connection that has a helper has besides.
///
/// # Invariants
///
/// The helper is null, or one that the connection has a reference to. What is expected, and how
/// much of it, is covered by the lock of expectations; what the helper remembers, by the lock that
/// it uses for that: with ours, the connection's.
#[repr(transparent)]
pub(crate) struct Help(UnsafeCell<bindings::nf_conn_help>);

impl Help {
    fn raw(&self) -> *mut bindings::nf_conn_help {
        self.0.get()
    }

    /// The helper.
    pub(crate) fn helper<'a>(&self, rcu: ReadSide<'a>) -> Option<&'a Helper> {
        // SAFETY: By the type invariant, and a helper is freed a grace period after its last
        // reference.
        unsafe { Helper::from_raw((&raw const (*self.raw()).helper).read_volatile(), rcu) }
    }

    /// Returns whether there is a helper.
    fn is_taken(&self) -> bool {
        // SAFETY: The field is valid, and others write it with one access.
        !unsafe { (&raw const (*self.raw()).helper).read_volatile() }.is_null()
    }

    /// Sets the helper, unless there is one. One that is just being freed is none.
    pub(crate) fn set_helper(&self, helper: &Helper) {
        let Some(helper) = helper.try_get() else {
            return;
        };
        // SAFETY: The field is a pointer that everybody reads and writes by one access.
        let place = unsafe { Atomic::from_ptr((&raw mut (*self.raw()).helper).cast()) };
        let new: *mut Helper = ARef::into_raw(helper).as_ptr();
        if place.cmpxchg(ptr::null_mut(), new, Full).is_err() {
            if let Some(new) = NonNull::new(new) {
                // SAFETY: The reference that was just taken.
                drop(unsafe { ARef::from_raw(new) });
            }
        }
    }

    /// What the connection expects.
    pub(crate) fn expectations(&self) -> &Head {
        // SAFETY: The field is valid, and has the layout of a list.
        unsafe { &*(&raw const (*self.raw()).expectations).cast() }
    }

    /// Where it is counted how much of a class the connection expects.
    fn counter(&self, class: usize) -> Option<*mut u8> {
        // SAFETY: The field is valid, an array of so many bytes.
        let first = unsafe { (&raw mut (*self.raw()).expecting).cast::<u8>() };
        (class < CLASSES).then(|| first.wrapping_add(class))
    }

    /// How much of a class the connection expects.
    pub(crate) fn counted(&self, class: usize, _held: Held<'_>) -> u8 {
        // SAFETY: The counter is valid, and the lock is held.
        self.counter(class).map_or(0, |counter| unsafe { *counter })
    }

    /// Counts one more of a class.
    pub(crate) fn count(&self, class: usize, _held: Held<'_>) {
        if let Some(counter) = self.counter(class) {
            // SAFETY: The counter is valid, and the lock is held.
            unsafe { *counter = (*counter).saturating_add(1) };
        }
    }

    /// Counts one less of a class.
    pub(crate) fn uncount(&self, class: usize, _held: Held<'_>) {
        if let Some(counter) = self.counter(class) {
            // SAFETY: The counter is valid, and the lock is held.
            unsafe { *counter = (*counter).saturating_sub(1) };
        }
    }

    /// What a helper in C remembers.
    pub(crate) fn data(&self) -> *mut u8 {
        // SAFETY: The field is valid.
        unsafe { (&raw mut (*self.raw()).data).cast() }
    }
}

impl Conn {
    /// The extension, if the connection has it.
    #[inline]
    pub(crate) fn help(&self) -> Option<&Help> {
        let ext = self.extension(Kind::Helper)?;
        // SAFETY: The extension is a `Help`.
        Some(unsafe { ext.cast().as_ref() })
    }

    /// The helper, if the connection or template has one.
    #[inline]
    pub(crate) fn helper<'a>(&self, rcu: ReadSide<'a>) -> Option<&'a Helper> {
        self.help()?.helper(rcu)
    }

    /// Returns whether the connection has a helper.
    pub(crate) fn has_helper(&self) -> bool {
        self.help().is_some_and(Help::is_taken)
    }

    /// Adds the extension to a connection or template that nobody else has yet. `None` if it has
    /// it, or there is no memory.
    ///
    /// Source: net/netfilter/nf_conntrack_helper.c, nf_ct_helper_ext_add().
    ///
    /// # Safety
    ///
    /// As [`Conn::add_extension`].
    pub(crate) unsafe fn add_help(&self, gfp: memory::Gfp) -> Option<&Help> {
        // SAFETY: By the contract.
        unsafe { self.add_extension(Kind::Helper, gfp) }?;
        self.set_status(Flag::Helper);
        self.help()
    }

    /// Gives a new connection a helper. What there is no memory for goes without.
    ///
    /// # Safety
    ///
    /// As [`Conn::add_extension`].
    pub(crate) unsafe fn assign_helper(&self, helper: &Helper) {
        // SAFETY: By the contract.
        if let Some(help) = unsafe { self.add_help(memory::ATOMIC) } {
            help.set_helper(helper);
        }
    }

    /// Gives a new connection the helper of a template, if that has one. Returns whether it has.
    ///
    /// Source: __nf_ct_try_assign_helper(), for a connection that is new.
    ///
    /// # Safety
    ///
    /// As [`Conn::add_extension`].
    pub(crate) unsafe fn assign_helper_of(&self, template: &Conn, rcu: ReadSide<'_>) -> bool {
        let helper = template.helper(rcu);
        if let Some(helper) = helper {
            // SAFETY: By the contract.
            unsafe { self.assign_helper(helper) };
        }
        helper.is_some()
    }

    /// Tells the helper that the connection is over; called when it leaves the table.
    ///
    /// Source: net/netfilter/nf_conntrack_helper.c, nf_ct_helper_destroy().
    pub(crate) fn destroy_helper(&self) {
        let Some(help) = self.help() else {
            return;
        };
        let guard = rcu::read_lock();
        if let Some(helper) = help.helper(ReadSide::of(&guard)) {
            helper.destroy(self);
        }
        drop(guard);
    }
}
