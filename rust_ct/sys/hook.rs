// SPDX-License-Identifier: GPL-2.0

//! Netfilter hooks.
//!
//! C header: [`include/linux/netfilter.h`](srctree/include/linux/netfilter.h)

use crate::{
    bindings,
    sys::{
        abi::Bytes,
        field::Memory,
        net::{
            self,
            Net, //
        },
        rcu::ReadSide,
        skb::Skb, //
    },
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::to_result,
    ffi::{
        c_uint,
        c_void, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Release, //
        },
        rcu,
        Mutex, //
    },
};

// Safe, because that is all that they ask for: the state of a hook that runs, and its packet. Rust
// and C read and write the variable with marked accesses.
#[allow(
    clashing_extern_declarations,
    improper_ctypes,
    reason = "the bindings have pointers where these have references"
)]
unsafe extern "C" {
    safe static nf_ct_hook: Atomic<*mut bindings::nf_ct_hook>;
    safe fn rct_leaves_l3_master(state: &State) -> bool;
    pub(super) safe fn rct_log_packet(
        state: &State,
        skb: &Skb,
        proto: u8,
        name: Bytes<'_>,
        text: Bytes<'_>,
    );
}

/// What becomes of a packet after a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict(u32);

impl Verdict {
    /// It is thrown away.
    pub(crate) const DROP: Self = Self(bindings::NF_DROP);
    /// It goes on to the next hook.
    pub(crate) const ACCEPT: Self = Self(bindings::NF_ACCEPT);

    /// What another module has decided, `NF_*` with what belongs to it.
    pub(crate) const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// As the kernel wants it.
    pub(crate) const fn raw(self) -> u32 {
        self.0
    }
}

/// Netfilter's family that stands for IPv4 and IPv6 at once.
pub(crate) const NFPROTO_INET: u8 = bindings::NFPROTO_INET as u8;

/// The priority of tracking: behind reassembly and the raw table, before everything that asks for a
/// state.
pub(crate) const PRI_CONNTRACK: i32 = bindings::nf_ip_hook_priorities_NF_IP_PRI_CONNTRACK;
/// The priority of confirmation: behind everything that may still drop the packet.
pub(crate) const PRI_LAST: i32 = bindings::nf_ip_hook_priorities_NF_IP_PRI_LAST;

/// Where on a packet's way a hook is called, `enum nf_inet_hooks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Place {
    /// Just arrived.
    PreRouting = bindings::nf_inet_hooks_NF_INET_PRE_ROUTING as u8,
    /// For a socket of this machine.
    LocalIn = bindings::nf_inet_hooks_NF_INET_LOCAL_IN as u8,
    /// From a socket of this machine.
    LocalOut = bindings::nf_inet_hooks_NF_INET_LOCAL_OUT as u8,
    /// About to leave.
    PostRouting = bindings::nf_inet_hooks_NF_INET_POST_ROUTING as u8,
}

/// The circumstances in which a hook is called, the kernel's `struct nf_hook_state`.
#[repr(transparent)]
pub(crate) struct State(bindings::nf_hook_state);

impl State {
    /// The state at `state`.
    ///
    /// # Safety
    ///
    /// `state` must be valid and constant for `'a`, as it is while a hook runs, and RCU held.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(state: *const bindings::nf_hook_state) -> &'a Self {
        // SAFETY: `Self` is a transparent wrapper, and the caller vouches for the pointer.
        unsafe { &*state.cast() }
    }

    /// Calls `f` with a packet and the same without socket and outgoing device, for a caller that
    /// may not have filled in devices and socket; the packet says which device it is at.
    pub(crate) fn with_bare<R>(&self, skb: &mut Skb, f: impl FnOnce(&mut Skb, &Self) -> R) -> R {
        let dev = skb.dev().map_or(ptr::null(), ptr::from_ref);
        let state = Self(bindings::nf_hook_state {
            hook: self.0.hook,
            pf: self.0.pf,
            net: self.0.net,
            in_: dev.cast_mut().cast(),
            ..Default::default()
        });
        f(skb, &state)
    }

    /// Evidence that RCU is held, as it is while a hook runs.
    #[inline]
    pub(crate) fn rcu(&self) -> ReadSide<'_> {
        // SAFETY: By the contract of `from_raw`.
        unsafe { ReadSide::assume() }
    }

    /// The number of the hook, `NF_INET_*`.
    #[inline]
    pub(crate) fn hook(&self) -> u8 {
        self.0.hook
    }

    /// Returns whether the hook is the one at `place`.
    #[inline]
    pub(crate) fn is_at(&self, place: Place) -> bool {
        self.hook() == place as u8
    }

    /// The family, `NFPROTO_*`.
    #[inline]
    pub(crate) fn nfproto(&self) -> u8 {
        self.0.pf
    }

    /// The namespace that the packet is in.
    #[inline]
    pub(crate) fn net(&self) -> &Net {
        // SAFETY: The namespace of a hook that runs lives at least until the hook returns.
        unsafe { Net::from_raw(self.0.net) }
    }

    /// The device that the packet is to leave by, if that is known.
    pub(super) fn out(&self) -> Option<&Memory<bindings::net_device>> {
        // SAFETY: The device of a hook that runs lives at least until the hook returns.
        unsafe { self.0.out.cast::<Memory<_>>().as_ref() }
    }

    /// Returns whether the packet leaves through a device that stands for a VRF: it will pass
    /// POST_ROUTING once more, through the device below.
    #[inline]
    pub(crate) fn leaves_through_vrf(&self) -> bool {
        self.is_at(Place::PostRouting) && rct_leaves_l3_master(self)
    }
}

/// A function to be called by a hook.
///
/// It runs with RCU held, in softirq context or, for packets of this machine, in process context.
pub(crate) trait Hook {
    /// What the hook is registered with: the state of its namespace.
    type Data: Sync;

    /// Judges a packet.
    fn run(data: &Self::Data, skb: &mut Skb, state: &State) -> Verdict;
}

/// One hook to be registered: where, in which order, and what it calls.
///
/// # Invariants
///
/// `hook` is to be called with a `T`.
pub(crate) struct Point<T> {
    nfproto: u8,
    place: Place,
    priority: i32,
    hook: bindings::nf_hookfn,
    _data: PhantomData<fn(&T)>,
}

impl<T> Point<T> {
    /// A hook of family `nfproto` at `place`; smaller priorities run first.
    pub(crate) const fn new<H: Hook<Data = T>>(nfproto: u8, place: Place, priority: i32) -> Self {
        Self {
            nfproto,
            place,
            priority,
            hook: Some(trampoline::<H>),
            _data: PhantomData,
        }
    }
}

/// Calls a [`Hook`] from C.
///
/// # Safety
///
/// `data` must point at an `H::Data`, and `skb` and `state` must be those of a hook that runs.
unsafe extern "C" fn trampoline<H: Hook>(
    data: *mut c_void,
    skb: *mut bindings::sk_buff,
    state: *const bindings::nf_hook_state,
) -> c_uint {
    // SAFETY: `Set::get` put `data` there, and its caller keeps it alive for a grace period longer
    // than the hook is registered. Netfilter lends the buffer and the state for the call.
    let (data, skb, state) = unsafe {
        (
            &*data.cast::<H::Data>(),
            Skb::from_raw(skb),
            State::from_raw(state),
        )
    };
    H::run(data, skb, state).raw()
}

/// How many hooks a family has.
pub(crate) const HOOKS: usize = 4;

/// The hooks of one family in one namespace, registered while there is a user.
///
/// # Invariants
///
/// `ops` is written with `users` locked and zero only, which means that the hooks are not
/// registered. While they are, the set does not move.
#[pin_data]
pub(crate) struct Set {
    #[pin]
    users: Mutex<u32>,
    ops: Memory<[bindings::nf_hook_ops; HOOKS]>,
}

impl Set {
    /// A set that is not registered.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            users <- kernel::new_mutex!(0, "rust_ct_hooks"),
            ops: Memory::new(core::array::from_fn(|_| Default::default())),
        })
    }

    /// Registers the hooks at `points` in `net`, to be called with `data`, unless they are; process
    /// context. Returns whether they were not. `before` comes first, and may veto.
    ///
    /// # Safety
    ///
    /// The set must not move. Set and `data` must live until a grace period after the hooks are
    /// unregistered, and `net` as long as they are registered.
    pub(super) unsafe fn get<T>(
        &self,
        net: &Net,
        points: &[Point<T>; HOOKS],
        data: *const T,
        before: impl FnOnce() -> Result,
    ) -> Result<bool> {
        let mut users = self.users.lock();
        if *users > 0 {
            *users = users.checked_add(1).ok_or(EOVERFLOW)?;
            return Ok(false);
        }
        before()?;

        let ops = points.each_ref().map(|point| bindings::nf_hook_ops {
            hook: point.hook,
            priv_: data.cast_mut().cast(),
            pf: point.nfproto,
            hooknum: point.place as c_uint,
            priority: point.priority,
            ..Default::default()
        });
        let place = self.ops.get();
        // SAFETY: `users` is locked and zero: no CPU reads the operations but one that lists hooks,
        // which finds there what was there before. They are complete, and stay where they are by
        // the caller's promise.
        to_result(unsafe {
            place.write(ops);
            bindings::nf_register_net_hooks(net.as_ptr(), place.cast(), HOOKS as c_uint)
        })?;
        *users = 1;
        Ok(true)
    }

    /// Gives back one use of the hooks; with the last use they are unregistered. Returns whether
    /// they were. Process context. A packet may be in a hook until a grace period later.
    pub(super) fn put(&self, net: &Net) -> bool {
        let mut users = self.users.lock();
        match *users {
            0 => false,
            1 => {
                self.unregister(net);
                *users = 0;
                true
            }
            _ => {
                *users -= 1;
                false
            }
        }
    }

    /// Unregisters the hooks even if there are users. Returns whether they were registered. Process
    /// context.
    pub(super) fn shut(&self, net: &Net) -> bool {
        let mut users = self.users.lock();
        let registered = *users > 0;
        if registered {
            self.unregister(net);
            *users = 0;
        }
        registered
    }

    fn unregister(&self, net: &Net) {
        // SAFETY: `users` is locked and above zero: the operations are those that `get` registered.
        unsafe {
            bindings::nf_unregister_net_hooks(net.as_ptr(), self.ops.get().cast(), HOOKS as c_uint)
        };
    }
}

/// The kernel's slot for the one connection tracker, `nf_ct_hook`, filled while this lives.
pub(crate) struct Tracker(());

impl Tracker {
    /// Publishes `hook` as the machine's connection tracker.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there is a tracker already.
    pub(crate) fn publish(hook: &'static bindings::nf_ct_hook) -> Result<Self> {
        nf_ct_hook
            .cmpxchg(ptr::null_mut(), ptr::from_ref(hook).cast_mut(), Full)
            .map_err(|_| EBUSY)?;
        Ok(Self(()))
    }
}

impl Drop for Tracker {
    /// Takes the tracker back, and waits until no CPU is in one of its functions.
    fn drop(&mut self) {
        nf_ct_hook.store(ptr::null_mut(), Release);
        rcu::synchronize_rcu();
    }
}

/// Drops the packets of `net` that wait in a queue of user space. Process context.
pub(crate) fn drop_queued(net: &Net) {
    net::nf_queue_nf_hook_drop(net);
}
