// SPDX-License-Identifier: GPL-2.0

//! State that every network namespace has.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use crate::{
    bindings,
    sys::{
        field::Field,
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
    mem,
    ptr, //
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

/// The memory of a state, which the network core allocates, filled with zeroes.
///
/// # Invariants
///
/// `alive` is null, or at `state` while that is there.
#[repr(C)]
struct Memory<T> {
    alive: Field<*mut T>,
    state: UnsafeCell<mem::MaybeUninit<T>>,
}

/// Where to find the state of a namespace.
///
/// # Invariants
///
/// `ops` is written by the one call of [`Slot::register`] that raises `used`. `id` is zero, or the
/// slot is registered and the generic pointer number `id` of each namespace is null or at the
/// memory of its state, which does not move.
pub(crate) struct Slot<T: PerNet> {
    used: Atomic<bool>,
    id: Field<c_uint>,
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
            id: Field::new(0),
            ops: UnsafeCell::new(mem::MaybeUninit::uninit()),
            _state: PhantomData,
        }
    }

    /// The state of `net`; `None` before it was made and after it was dropped.
    #[inline]
    pub(crate) fn get<'a>(&self, net: &'a Net) -> Option<&'a T> {
        // SAFETY: By the type invariant, the state is there. It is dropped when nobody that has it
        // is left in the namespace.
        unsafe { self.memory(net)?.alive.load().as_ref() }
    }

    /// The memory of the state of `net`.
    #[inline]
    fn memory<'a>(&self, net: &'a Net) -> Option<&'a Memory<T>> {
        let id = self.id.load();
        if id == 0 {
            return None;
        }
        // SAFETY: The number is one that the network core gave us. By the type invariant, the
        // pointer is null or at the memory, which is freed with the namespace, or when this module
        // goes.
        unsafe {
            bindings::rct_net_generic(net.as_ptr(), id)
                .cast::<Memory<T>>()
                .as_ref()
        }
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
        let zero: bindings::pernet_operations = pin_init::zeroed();
        let ops = bindings::pernet_operations {
            init: Some(init::<T>),
            pre_exit: Some(pre_exit::<T>),
            exit: Some(exit::<T>),
            id: self.id.as_ptr(),
            size: size_of::<Memory<T>>(),
            ..zero
        };
        // SAFETY: This is the one call that raised `used`.
        unsafe { (*self.ops.get()).write(ops) };
        // SAFETY: The operations are complete and static.
        to_result(unsafe { bindings::register_pernet_subsys(self.ops.get().cast()) })
            .inspect_err(|_| self.id.store(0))?;
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
    from_result(|| {
        // The core has written the number, and allocated the memory.
        let memory = T::slot().memory(net).ok_or(ENOMEM)?;
        // SAFETY: The core does not move the memory, and nobody else is at the state yet.
        unsafe { pin_init::raw_try_init(memory.state.get().cast::<T>(), T::init(Here(net)))? };
        // INVARIANT: The state was just made.
        memory.alive.publish(memory.state.get().cast());
        let state = T::slot().get(net).ok_or(ENOENT)?;
        if let Err(e) = T::start(state, Here(net)) {
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
    let slot = T::slot();
    if let (Some(memory), Some(state)) = (slot.memory(net), slot.get(net)) {
        state.exit(net);
        memory.alive.store(ptr::null_mut());
        // SAFETY: The hooks are gone, and so is everybody who had the state from them. Nobody gets
        // it any more; the core frees the memory next.
        unsafe { (*memory.state.get()).assume_init_drop() };
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
        // The number may be somebody else's next.
        self.slot.id.store(0);
    }
}
