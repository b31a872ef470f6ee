// SPDX-License-Identifier: GPL-2.0

//! What nf_conntrack_bridge registers, and how rules have bridges tracked.
//!
//! Source: net/netfilter/nf_conntrack_proto.c.

use super::slots::Slots;
use crate::{
    bindings,
    datapath::hooks,
    object::netns::NETNS,
    sys::{
        abi::Lasting,
        bridge::{
            Info,
            Kept, //
        },
        hook::NFPROTO_INET,
        module,
        net::Net,
        rcu::ReadSide, //
    },
};
use kernel::{
    prelude::*,
    sync::rcu, //
};

/// The family of bridges (`NFPROTO_BRIDGE`).
pub(super) const NFPROTO: u8 = bindings::NFPROTO_BRIDGE as u8;

/// The hooks of bridges. There is one such module.
static REGISTERED: Slots<Info> = Slots::new();

/// nf_ct_bridge_register().
#[no_mangle]
extern "C" fn rust_ct_bridge_register(info: Lasting<Info>) {
    if !REGISTERED.add(&info) {
        pr_warn!("the hooks of another module for bridges are not registered\n");
    }
}

/// nf_ct_bridge_unregister().
///
/// The pointer is compared only.
#[no_mangle]
extern "C" fn rust_ct_bridge_unregister(info: *mut Info) {
    REGISTERED.remove(info);
}

/// The hooks that are registered, which are kept.
fn keep() -> Option<Kept> {
    let guard = rcu::read_lock();
    let rcu = ReadSide::of(&guard);
    REGISTERED
        .find(rcu, |_| true)
        .and_then(|info| Kept::new(info, rcu))
}

/// Has what goes over bridges tracked in a namespace, once more, and with it IPv4 and IPv6. Loads
/// the module where that is needed. Process context, sleeps.
///
/// # Errors
///
/// `EPROTO` if there is no such module, or what registering hooks fails with.
pub(super) fn get(net: &Net) -> Result {
    let netns = NETNS.get(net).ok_or(ENOENT)?;
    let kept = keep().or_else(|| {
        module::request(c"", c"nf_conntrack_bridge");
        keep()
    });
    netns.hooks_bridge.get(net, kept.ok_or(EPROTO)?)?;
    hooks::get(net, NFPROTO_INET).inspect_err(|_| netns.hooks_bridge.put(net))
}

/// Gives back one [`get`]. Process context.
pub(super) fn put(net: &Net) {
    if let Some(netns) = NETNS.get(net) {
        netns.hooks_bridge.put(net);
    }
    hooks::put(net, NFPROTO_INET);
}
