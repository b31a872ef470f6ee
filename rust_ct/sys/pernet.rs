// SPDX-License-Identifier: GPL-2.0

//! State that every network namespace has.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use crate::{
    bindings,
    sys::{
        field::{
            field,
            Field,
            Memory, //
        },
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
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        rcu,
        SetOnce, //
    },
};

/// The state of one namespace, made when the namespace is and dropped with it.
///
/// All functions run in process context and may sleep.
pub(crate) trait PerNet: Sized + Send + Sync + 'static {
    /// Makes the state of `net`, before any CPU can ask for it. It is dropped before `net` is.
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

/// The namespace for which a state is being made: what is made of it is dropped before it.
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
struct Room<T> {
    alive: Field<*mut T>,
    state: UnsafeCell<mem::MaybeUninit<T>>,
}

/// What the memory of a state is filled with when that is gone (`POISON_FREE`).
const POISON: u8 = 0x6b;

/// Where to find the state of a namespace.
///
/// # Invariants
///
/// `id` is zero, or the slot is registered and the generic pointer number `id` of each namespace is
/// null or at the memory of its state, which does not move.
pub(crate) struct Slot<T: PerNet> {
    id: Field<c_uint>,
    /// Whether every namespace has its state: not while the first states are made.
    complete: Atomic<bool>,
    ops: Memory<bindings::pernet_operations>,
    _state: PhantomData<T>,
}

/// What the network core calls, whatever the states are. Process context.
trait States: Sync {
    /// Makes the state of a namespace that is being born, or while every other namespace waits.
    fn init(&self, net: &Net) -> Result;

    /// Begins to take the state down.
    fn pre_exit(&self, net: &Net);

    /// Drops the state, a grace period after [`States::pre_exit`].
    fn exit(&self, net: &Net);
}

/// The slot that is, or was, registered.
static STATES: SetOnce<&'static dyn States> = SetOnce::new();

/// Makes the state of a namespace. Called by the network core, as the next two.
#[no_mangle]
extern "C" fn rust_ct_net_init(net: &Net) -> c_int {
    from_result(|| STATES.copy().ok_or(ENOENT)?.init(net).map(|()| 0))
}

/// Begins to take the state of a namespace down.
#[no_mangle]
extern "C" fn rust_ct_net_pre_exit(net: &Net) {
    if let Some(states) = STATES.copy() {
        states.pre_exit(net);
    }
}

/// Drops the state of a namespace.
#[no_mangle]
extern "C" fn rust_ct_net_exit(net: &Net) {
    if let Some(states) = STATES.copy() {
        states.exit(net);
    }
}

impl<T: PerNet> Slot<T> {
    /// An unregistered slot, for a `static`.
    pub(crate) const fn new() -> Self {
        Self {
            id: Field::new(0),
            complete: Atomic::new(false),
            ops: Memory::new(bindings::pernet_operations {
                init: Some(bindings::rct_net_init),
                pre_exit: Some(bindings::rct_net_pre_exit),
                exit: Some(bindings::rct_net_exit),
                size: {
                    // The core allocates it by kzalloc().
                    const { assert!(align_of::<Room<T>>() <= align_of::<u64>()) };
                    size_of::<Room<T>>()
                },
                ..pin_init::zeroed()
            }),
            _state: PhantomData,
        }
    }

    /// The state of `net`; `None` before it was made and after it was dropped.
    #[inline]
    pub(crate) fn get<'a>(&self, net: &'a Net) -> Option<&'a T> {
        // SAFETY: By the type invariant, the state is there. It is dropped when no user of it is
        // left in the namespace.
        unsafe { self.room(net)?.alive.load().as_ref() }
    }

    /// Returns whether every namespace has its state, but for those that have just lost it. Any
    /// context.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete.load(Acquire)
    }

    /// Calls `f` with each namespace and its state, but for those that have just lost it; not
    /// before every namespace has it. Process context, sleeps.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Net, &T)) {
        // Until then a namespace may have no room for the number, or another module's memory there.
        if !self.is_complete() {
            return;
        }
        Net::for_each(|net| {
            if let Some(state) = self.get(net) {
                f(net, state);
            }
        });
    }

    /// The memory of the state of `net`.
    #[inline]
    fn room<'a>(&self, net: &'a Net) -> Option<&'a Room<T>> {
        let id = self.id.load();
        if id == 0 {
            return None;
        }
        // SAFETY: The number is one that the network core gave us. By the type invariant, the
        // pointer is null or at the memory, which is freed when the namespace or this module goes,
        // after it was told so (`exit`).
        unsafe {
            bindings::rct_net_generic(net.as_ptr(), id)
                .cast::<Room<T>>()
                .as_ref()
        }
    }

    /// Registers the hooks number `which` of `net`, unless they are; returns whether they were not.
    /// Process context. `before` comes first, and may veto.
    pub(crate) fn get_hooks(
        &self,
        net: &Net,
        which: usize,
        points: &[Point<T>; HOOKS],
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
        if !STATES.populate(self) {
            return Err(EBUSY);
        }
        field!(self.ops, id).store(self.id.as_ptr());
        // SAFETY: The operations are complete and static, and were not registered before.
        to_result(unsafe { bindings::register_pernet_subsys(self.ops.get()) })
            .inspect_err(|_| self.id.store(0))?;
        self.complete.store(true, Release);
        Ok(Registration { slot: self })
    }
}

impl<T: PerNet> States for Slot<T> {
    fn init(&self, net: &Net) -> Result {
        // The core has written the number, and allocated the memory.
        let room = self.room(net).ok_or(ENOMEM)?;
        // SAFETY: The core does not move the memory, and no other code is at the state yet.
        unsafe { pin_init::raw_try_init(room.state.get().cast::<T>(), T::init(Here(net)))? };
        // INVARIANT: The state was just made.
        room.alive.publish(room.state.get().cast());
        let state = self.get(net).ok_or(ENOENT)?;
        T::start(state, Here(net)).inspect_err(|_| {
            // Hooks may have been there for a while, so that packets have found the state: a CPU
            // that has it from a hook leaves it. The core does not call these for a namespace that
            // has failed; it frees the memory next.
            self.pre_exit(net);
            rcu::synchronize_rcu();
            self.exit(net);
        })
    }

    fn pre_exit(&self, net: &Net) {
        if let Some(state) = self.get(net) {
            state.stop(net);
            for (which, set) in state.hooks().into_iter().enumerate() {
                if set.shut(net) {
                    state.unhooked(net, which);
                }
            }
        }
    }

    fn exit(&self, net: &Net) {
        if let (Some(room), Some(state)) = (self.room(net), self.get(net)) {
            state.exit(net);
            room.alive.store(ptr::null_mut());
            // SAFETY: The hooks are gone, and so are all CPUs that had the state from them. No CPU
            // gets it any more; the core frees the memory next.
            unsafe { (*room.state.get()).assume_init_drop() };
            if cfg!(CONFIG_KASAN) {
                // The memory is there until other modules' states are gone, too. This kernel looks
                // for mistakes: code that is at the state then is to be seen.
                // SAFETY: No CPU is at the memory, and any bytes may be in it.
                unsafe { room.state.get().write_bytes(POISON, 1) };
            }
        }
    }
}

/// Every namespace has its state while this lives.
pub(crate) struct Registration<T: PerNet> {
    slot: &'static Slot<T>,
}

impl<T: PerNet> Drop for Registration<T> {
    /// Drops the state of every namespace. Sleeps.
    fn drop(&mut self) {
        self.slot.complete.store(false, Relaxed);
        // SAFETY: The operations are those that were registered.
        unsafe { bindings::unregister_pernet_subsys(self.slot.ops.get()) };
        // Another module may get the number next.
        self.slot.id.store(0);
    }
}
