// SPDX-License-Identifier: GPL-2.0

//! State that every network namespace has.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use crate::{
    bindings,
    sys::{
        hook::{
            Point,
            Set,
            HOOKS, //
        },
        net::Net, //
    },
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full, //
        },
        rcu, //
    },
};

/// The state of one namespace, made when the namespace is and dropped with it.
///
/// All functions run in process context and may sleep.
pub(crate) trait PerNet: Sized + Send + Sync + 'static {
    /// Where the states are found.
    fn slot() -> &'static Slot<Self>;

    /// Makes the state of `net`, before anybody can ask for it. It is dropped before `net` is.
    fn init(net: Here<'_>) -> impl PinInit<Self, Error>;

    /// Called once the state of `net` is in its place. If it fails, the state is dropped.
    fn start(&self, here: Here<'_>) -> Result;

    /// The hooks that may be registered in the namespace. They are unregistered when it begins to
    /// go away.
    fn hooks(&self) -> [&Set; 2];

    /// Called when the hooks number `which` were unregistered because `net` goes away.
    fn unhooked(&self, net: &Net, which: usize);

    /// Called when `net` begins to go away, before the hooks are unregistered.
    fn stop(&self, net: &Net);

    /// Called a grace period after the hooks were unregistered, before the state is dropped.
    fn exit(&self, net: &Net);
}

/// The namespace whose state is being made: what is made of it is dropped before it.
#[derive(Clone, Copy)]
pub(crate) struct Here<'a>(&'a Net);

impl<'a> Here<'a> {
    /// The namespace.
    pub(crate) fn net(self) -> &'a Net {
        self.0
    }
}

/// Where to find the state of a namespace.
///
/// # Invariants
///
/// `id` and `ops` are written by the one call of [`Slot::register`] that raises `used`. While it is
/// registered, the generic pointer number `id` of each namespace is null or at the state of the
/// namespace, which does not move.
pub(crate) struct Slot<T: PerNet> {
    used: Atomic<bool>,
    id: UnsafeCell<c_uint>,
    ops: UnsafeCell<mem::MaybeUninit<bindings::pernet_operations>>,
    _state: PhantomData<T>,
}

// SAFETY: By the type invariant, writes do not race with each other; a `T` may be shared itself.
unsafe impl<T: PerNet> Sync for Slot<T> {}

impl<T: PerNet> Slot<T> {
    /// An unregistered slot, for a `static`.
    pub(crate) const fn new() -> Self {
        Self {
            used: Atomic::new(false),
            id: UnsafeCell::new(0),
            ops: UnsafeCell::new(mem::MaybeUninit::uninit()),
            _state: PhantomData,
        }
    }

    /// The state of `net`; `None` before it was made and after it was dropped.
    #[inline]
    pub(crate) fn get<'a>(&self, net: &'a Net) -> Option<&'a T> {
        // SAFETY: The field is valid. It is written once, before any namespace has a state.
        let id = unsafe { self.id.get().read_volatile() };
        if id == 0 {
            return None;
        }
        // SAFETY: The number is one that the network core gave us.
        let state = unsafe { bindings::rct_net_generic(net.as_ptr(), id) };
        // SAFETY: By the type invariant, the pointer is null or at the state: `init` fills the
        // memory before the namespace or this module is visible to anybody else, and it is freed
        // when nobody is left in the namespace.
        unsafe { state.cast::<T>().as_ref() }
    }

    /// Registers the hooks number `which` of `net`, unless they are; returns whether they were not.
    /// Process context. `before` comes first, and may veto.
    pub(crate) fn get_hooks(
        &self,
        net: &Net,
        which: usize,
        points: &[Point; HOOKS],
        before: impl FnOnce() -> Result,
    ) -> Result<bool> {
        let state = self.get(net).ok_or(ENOENT)?;
        let set = *state.hooks().get(which).ok_or(EINVAL)?;
        // SAFETY: Set and state are where the namespace keeps them. They do not move, and live
        // until `exit`, a grace period after `pre_exit` unregistered the hooks; `net` lives longer.
        unsafe { set.get(net, points, state, before) }
    }

    /// Gives back one use of the hooks number `which` of `net`; returns whether they were
    /// unregistered. Process context.
    pub(crate) fn put_hooks(&self, net: &Net, which: usize) -> bool {
        self.get(net)
            .and_then(|state| state.hooks().get(which).map(|set| set.put(net)))
            .unwrap_or(false)
    }

    /// Makes the state of every namespace, present and future. Process context.
    ///
    /// # Errors
    ///
    /// `EBUSY` if that was tried before, or what making a state fails with.
    pub(crate) fn register(&'static self) -> Result<Registration<T>> {
        if self.used.xchg(true, Full) {
            return Err(EBUSY);
        }
        // SAFETY: All fields are integers, pointers that may be null, and options of functions.
        let zero: bindings::pernet_operations = unsafe { mem::zeroed() };
        let ops = bindings::pernet_operations {
            init: Some(init::<T>),
            pre_exit: Some(pre_exit::<T>),
            exit: Some(exit::<T>),
            id: self.id.get(),
            size: size_of::<T>(),
            ..zero
        };
        // SAFETY: This is the one call that raised `used`.
        unsafe { (*self.ops.get()).write(ops) };
        // SAFETY: The operations are complete and static.
        to_result(unsafe { bindings::register_pernet_subsys(self.ops.get().cast()) })?;
        Ok(Registration { slot: self })
    }
}

/// Makes the state of a namespace.
///
/// # Safety
///
/// Called by the network core alone, with `net` being born, or with every other namespace waiting.
unsafe extern "C" fn init<T: PerNet>(net: *mut bindings::net) -> c_int {
    // SAFETY: The network core hands over a valid namespace.
    let net = unsafe { Net::from_raw(net) };
    // SAFETY: `id` was written before the operations were registered.
    let state = unsafe { bindings::rct_net_generic(net.as_ptr(), *T::slot().id.get()) }.cast::<T>();

    from_result(|| {
        // SAFETY: The core allocated `size_of::<T>()` bytes there for us, and does not move them.
        unsafe { pin_init::raw_try_init(state, T::init(Here(net)))? };
        // SAFETY: The state was just made.
        if let Err(e) = T::start(unsafe { &*state }, Here(net)) {
            // Hooks may have been there for a while, so that packets have found the state.
            // SAFETY: The core does not call them for a namespace that has failed. In between,
            // whoever has the state from a hook leaves it; the core frees the memory next.
            unsafe {
                pre_exit::<T>(net.as_ptr());
                rcu::synchronize_rcu();
                exit::<T>(net.as_ptr());
            }
            return Err(e);
        }
        Ok(0)
    })
}

/// Begins to take the state of a namespace down.
///
/// # Safety
///
/// Called by the network core alone, after [`init`].
unsafe extern "C" fn pre_exit<T: PerNet>(net: *mut bindings::net) {
    // SAFETY: The network core hands over a valid namespace.
    let net = unsafe { Net::from_raw(net) };
    if let Some(state) = T::slot().get(net) {
        state.stop(net);
        for (which, set) in state.hooks().into_iter().enumerate() {
            if set.shut(net) {
                state.unhooked(net, which);
            }
        }
    }
}

/// Drops the state of a namespace.
///
/// # Safety
///
/// Called by the network core alone, a grace period after [`pre_exit`].
unsafe extern "C" fn exit<T: PerNet>(net: *mut bindings::net) {
    // SAFETY: The network core hands over a valid namespace.
    let net = unsafe { Net::from_raw(net) };
    if let Some(state) = T::slot().get(net) {
        state.exit(net);
        // SAFETY: The hooks are gone, and so is everybody who had the state from them; the core
        // frees the memory next.
        unsafe { core::ptr::from_ref(state).cast_mut().drop_in_place() };
    }
}

/// Every namespace has its state while this lives.
pub(crate) struct Registration<T: PerNet> {
    slot: &'static Slot<T>,
}

impl<T: PerNet> Drop for Registration<T> {
    /// Drops the state of every namespace. Sleeps.
    fn drop(&mut self) {
        // SAFETY: The operations are those that were registered.
        unsafe { bindings::unregister_pernet_subsys(self.slot.ops.get().cast()) };
    }
}
