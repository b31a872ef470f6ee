// SPDX-License-Identifier: GPL-2.0

//! The extension of a connection that has a helper: who helps, what is expected, and what the
//! helper remembers. The layout is the kernel's `struct nf_conn_help`, because helpers in C use it.

use crate::{
    bindings,
    conn::{
        ext::Kind,
        Conn,
        Locked, //
    },
    expect::{
        self,
        Held, //
    },
    helper::{
        self,
        Helper, //
    },
    payload::ftp::Session,
    state::Status,
    sys::{
        hlist::Head,
        memory,
        rcu::ReadSide, //
    },
    wire::ipproto, //
};
use core::{
    cell::UnsafeCell,
    ptr, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        rcu, //
    },
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

    /// Tells whether there is a helper.
    fn is_taken(&self) -> bool {
        // SAFETY: The field is valid, and others write it with one access.
        !unsafe { (&raw const (*self.raw()).helper).read_volatile() }.is_null()
    }

    /// Sets the helper, of a connection that nobody else has or that has none. One that is just
    /// being freed is none.
    pub(crate) fn set_helper(&self, helper: &Helper) {
        if let Some(helper) = helper.try_get() {
            let raw = ARef::into_raw(helper).as_ptr().cast();
            // SAFETY: The field is valid, and readers read it with one access.
            unsafe { (&raw mut (*self.raw()).helper).write_volatile(raw) };
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
        (class < helper::CLASSES).then(|| first.wrapping_add(class))
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

    /// Where our FTP helper keeps the pointer to what it remembers.
    fn session(&self) -> *mut *mut Session {
        self.data().cast()
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

    /// Tells whether the connection has a helper.
    pub(crate) fn has_helper(&self) -> bool {
        self.help().is_some_and(Help::is_taken)
    }

    /// Adds the extension to a connection or template that nobody else has yet. `None` if it has
    /// it, or there is no memory.
    ///
    /// Source: net/netfilter/nf_conntrack_helper.c, nf_ct_helper_ext_add().
    pub(crate) fn add_help(&self, gfp: memory::Gfp) -> Option<&Help> {
        self.add_extension(Kind::Helper, gfp)?;
        self.set_status(Status::HELPER);
        self.help()
    }

    /// Gives a new connection a helper. What there is no memory for goes without.
    pub(crate) fn assign_helper(&self, helper: &Helper) {
        if let Some(help) = self.add_help(memory::ATOMIC) {
            help.set_helper(helper);
        }
    }

    /// Tells the helper that the connection is over; called when it leaves the table.
    ///
    /// Source: net/netfilter/nf_conntrack_helper.c, nf_ct_helper_destroy().
    pub(crate) fn leave_helper(&self) {
        let Some(help) = self.help() else {
            return;
        };
        let guard = rcu::read_lock();
        if let Some(helper) = help.helper(ReadSide::of(&guard)) {
            helper.destroy(self);
        }
        drop(guard);
    }

    /// Lets the calls of a master be forgotten whose GRE connection this one is, at the end of the
    /// connection's life.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, destroy_gre_conntrack().
    pub(super) fn forget_call(&self) {
        let Some(master) = self.master().filter(|_| self.proto() == ipproto::GRE) else {
            return;
        };
        let guard = rcu::read_lock();
        let helper = master.helper(ReadSide::of(&guard));
        if let (Some(true), Some(netns)) = (helper.map(Helper::cares_for_ends), self.netns()) {
            netns.keymap.remove(ptr::from_ref(master).addr());
        }
        drop(guard);
    }

    /// Gives back what the extension holds, at the end of the connection's life, when nobody else
    /// is left.
    pub(super) fn drop_help(&self) {
        let Some(help) = self.help() else {
            return;
        };
        // A packet may have announced something after the connection left the table, or before it
        // got there.
        expect::remove_all(self);
        let guard = rcu::read_lock();
        let helper = help.helper(ReadSide::of(&guard));
        if helper.is_some_and(|helper| helper::FTP.is(helper)) {
            // SAFETY: Our helper has put null there, or what it has from `KBox::into_raw`.
            let session = unsafe { help.session().read() };
            if !session.is_null() {
                // SAFETY: As above, and nobody else is left.
                drop(unsafe { KBox::from_raw(session) });
            }
        }
        if let Some(helper) = helper {
            // SAFETY: By the type invariant, the connection has a reference, which it gives up.
            drop(unsafe { ARef::from_raw(ptr::NonNull::from(helper)) });
        }
        drop(guard);
    }
}

impl Conn {
    /// Makes what our FTP helper is to remember of the connection, unless it is there; `None`
    /// without memory. No lock is held.
    pub(crate) fn begin_ftp(&self) -> Option<()> {
        let place = self.help()?.session();
        // SAFETY: The place is valid, and is written by one access.
        if !unsafe { place.read_volatile() }.is_null() {
            return Some(());
        }
        let mut new = Some(KBox::new(Session::new(), GFP_ATOMIC).ok()?);
        let locked = self.lock();
        // SAFETY: Our helper has put null there, or a session, and the lock of the connection is
        // held.
        unsafe {
            if (*place).is_null() {
                place.write_volatile(new.take().map_or(ptr::null_mut(), KBox::into_raw));
            }
        }
        drop(locked);
        Some(())
    }
}

impl Locked<'_> {
    /// What our FTP helper remembers of the connection, since [`Conn::begin_ftp`].
    pub(crate) fn ftp(&mut self) -> Option<&mut Session> {
        let place = self.conn.help()?.session();
        // SAFETY: Our helper has put null there, or a session, and the lock of the connection is
        // held.
        unsafe { (*place).as_mut() }
    }
}
