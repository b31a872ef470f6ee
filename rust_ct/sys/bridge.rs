// SPDX-License-Identifier: GPL-2.0

//! The hooks of bridges, which nf_conntrack_bridge alone has.
//!
//! C header: `include/net/netfilter/nf_conntrack_bridge.h`.

use crate::{
    bindings,
    sys::{
        field::Memory,
        net::Net,
        rcu::ReadSide, //
    },
};
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    ffi::c_int,
    prelude::*,
    sync::Mutex, //
};

// Safe in this file: what a module has registered, met under RCU for the first function, and kept
// for the others. Process context, but for the first two, which any context may call.
#[allow(
    clashing_extern_declarations,
    improper_ctypes,
    reason = "the bindings have pointers where these have references"
)]
unsafe extern "C" {
    safe fn rct_bridge_module_get(info: NonNull<Info>) -> bool;
    safe fn rct_bridge_module_put(info: NonNull<Info>);
    safe fn rct_bridge_register(net: &Net, info: NonNull<Info>) -> c_int;
    safe fn rct_bridge_unregister(net: &Net, info: NonNull<Info>);
}

/// What the module registers, `struct nf_ct_bridge_info`.
///
/// # Invariants
///
/// It is constant, and there as long as its module, the memory of which is there until a grace
/// period after `Info` was taken away.
#[repr(transparent)]
pub(crate) struct Info(Memory<bindings::nf_ct_bridge_info>);

/// Hooks whose module stays loaded while this lives.
///
/// # Invariants
///
/// The module was kept.
pub(crate) struct Kept(NonNull<Info>);

// SAFETY: What is registered belongs to no thread.
unsafe impl Send for Kept {}

impl Kept {
    /// Keeps the module, unless it is about to go.
    pub(crate) fn new(info: &Info, _rcu: ReadSide<'_>) -> Option<Self> {
        // INVARIANT: RCU is held, so the module's memory is there, and it was kept.
        rct_bridge_module_get(info.into()).then(|| Self(info.into()))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        rct_bridge_module_put(self.0);
    }
}

/// The hooks of bridges in one namespace, registered while there is a user.
#[pin_data]
pub(crate) struct Hooks {
    #[pin]
    users: Mutex<Option<Users>>,
}

/// The users of the hooks of bridges.
struct Users {
    /// How many there are.
    count: u32,
    /// The address of the namespace.
    net: usize,
    /// The hooks, with their module.
    kept: Kept,
}

impl Hooks {
    /// None are registered.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            users <- kernel::new_mutex!(None, "rust_ct_bridge"),
        })
    }

    /// Registers the hooks in `net`, the namespace of this, unless they are. Process context.
    ///
    /// # Errors
    ///
    /// `EINVAL` if they are registered in another namespace, or the kernel's own.
    pub(crate) fn get(&self, net: &Net, kept: Kept) -> Result {
        let mut users = self.users.lock();
        match &mut *users {
            Some(users) if users.net != net.as_ptr().addr() => return Err(EINVAL),
            Some(users) => users.count = users.count.checked_add(1).ok_or(EOVERFLOW)?,
            none => {
                to_result(rct_bridge_register(net, kept.0))?;
                *none = Some(Users {
                    count: 1,
                    net: net.as_ptr().addr(),
                    kept,
                });
            }
        }
        Ok(())
    }

    /// Gives back one [`Hooks::get`]; with the last one the hooks are unregistered. Process
    /// context.
    pub(crate) fn put(&self, net: &Net) {
        let mut users = self.users.lock();
        match &mut *users {
            Some(users) if users.net != net.as_ptr().addr() => (),
            Some(Users { count: 1, kept, .. }) => {
                rct_bridge_unregister(net, kept.0);
                *users = None;
            }
            Some(users) => users.count -= 1,
            None => (),
        }
    }

    /// Unregisters the hooks even if there are users, because `net` goes. Process context.
    pub(crate) fn shut(&self, net: &Net) {
        let mut users = self.users.lock();
        if let Some(users) = users.take_if(|users| users.net == net.as_ptr().addr()) {
            rct_bridge_unregister(net, users.kept.0);
        }
    }
}
