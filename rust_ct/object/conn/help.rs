// SPDX-License-Identifier: GPL-2.0

//! The extension of a connection that has a helper: the helper, what is expected, and what the
//! helper remembers. The layout is the kernel's `struct nf_conn_help`, because helpers in C use it.

use crate::{
    bindings,
    object::{
        conn::{
            ext::{
                Kind,
                Part, //
            },
            status::Flag,
            Alone,
            Conn, //
        },
        expect::{
            ByMaster,
            Held, //
        },
        helper::{
            Helper,
            KeptHelper,
            Slot,
            CLASSES, //
        },
    },
    sys::{
        field::{
            field,
            Field,
            Memory, //
        },
        hlist::Head,
        memory,
        rcu::ReadSide,
        refcount::Counted, //
    },
};
use core::ptr;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Release, //
        },
        rcu, //
    },
};

/// How many bytes a helper may remember of a connection.
const REMEMBERED: usize = 32;

/// What a connection that has a helper has besides.
///
/// # Invariants
///
/// The helper is null, or one that the connection has a reference to. What is expected, and how
/// much of it, is covered by the lock of expectations; what the helper remembers, by the lock that
/// it uses for that: with ours, the connection's.
#[repr(transparent)]
pub(crate) struct Help(Memory<bindings::nf_conn_help>);

// SAFETY: The extension is the structure that this is, all whose fields may be zero. What changes
// in it is in `Memory`.
unsafe impl Part for Help {
    const KIND: Kind = Kind::Helper;
}

impl Help {
    /// The helper.
    pub(crate) fn helper<'a>(&self, rcu: ReadSide<'a>) -> Option<&'a Helper> {
        field!(self.0, helper as Slot).get(rcu)
    }

    /// Returns whether there is a helper.
    fn is_taken(&self) -> bool {
        !field!(self.0, helper).load().is_null()
    }

    /// Sets the helper, unless there is one. A helper that is just being freed does not count.
    pub(crate) fn set_helper(&self, helper: &Helper) {
        let Some(helper) = helper.try_get() else {
            return;
        };
        let place = field!(self.0, helper as Atomic<_>);
        if place
            .cmpxchg(ptr::null_mut(), helper.as_ptr(), Full)
            .is_ok()
        {
            // The reference is the extension's now.
            let _ = Counted::into_raw(helper);
        }
    }

    /// Has no helper any more, at the end of the connection's life: its reference is the caller's.
    pub(super) fn forget_helper(&self) {
        field!(self.0, helper).store(ptr::null_mut());
    }

    /// Sets the helper of a template, for a rule that gives it back when the template is gone.
    /// Returns it for the rule.
    pub(crate) fn lend_helper(&self, kept: KeptHelper) -> *mut bindings::nf_conntrack_helper {
        let helper = kept.into_raw();
        field!(self.0, helper as Atomic<_>).store(helper, Release);
        helper
    }

    /// What the connection expects.
    pub(crate) fn expectations(&self) -> &Head<ByMaster> {
        field!(self.0, expectations as Head<ByMaster>)
    }

    /// Where it is counted how much of a class the connection expects.
    fn counter(&self, class: usize) -> Option<&Field<u8>> {
        (class < CLASSES).then(|| field!(self.0, expecting[class]))
    }

    /// How much of a class the connection expects.
    pub(crate) fn counted(&self, class: usize, _held: Held<'_>) -> u8 {
        self.counter(class).map_or(0, Field::load)
    }

    /// Counts one more expectation of a class.
    pub(crate) fn count(&self, class: usize, _held: Held<'_>) {
        if let Some(counter) = self.counter(class) {
            counter.store(counter.load().saturating_add(1));
        }
    }

    /// Counts one expectation less of a class.
    pub(crate) fn uncount(&self, class: usize, _held: Held<'_>) {
        if let Some(counter) = self.counter(class) {
            counter.store(counter.load().saturating_sub(1));
        }
    }

    /// What a helper remembers in a byte.
    pub(crate) fn byte(&self, at: usize) -> Option<u8> {
        let bytes = field!(self.0, data as Memory<[u8; REMEMBERED]>).fields();
        bytes.get(at).map(Field::load)
    }

    /// Where a helper remembers it.
    pub(crate) fn data(&self) -> *mut u8 {
        ptr::from_ref(field!(self.0, data)).cast_mut().cast()
    }
}

impl<'a> Alone<'a> {
    /// Adds the extension. `None` if it is there, or there is no memory.
    ///
    /// Source: net/netfilter/nf_conntrack_helper.c, nf_ct_helper_ext_add().
    pub(crate) fn add_help(self, gfp: memory::Gfp) -> Option<&'a Help> {
        let conn = self.0;
        self.add_extension(Kind::Helper, gfp)?;
        conn.set_status(Flag::Helper);
        conn.help()
    }

    /// Gives a new connection a helper.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and then it goes without.
    pub(crate) fn assign_helper(self, helper: &Helper) -> Result {
        let help = self.add_help(memory::ATOMIC).ok_or(ENOMEM)?;
        help.set_helper(helper);
        Ok(())
    }
}

impl Conn {
    /// The extension, if the connection has it.
    #[inline]
    pub(crate) fn help(&self) -> Option<&Help> {
        self.part()
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
