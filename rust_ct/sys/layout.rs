// SPDX-License-Identifier: GPL-2.0

//! Whether the running kernel has the structures that this module was built with.
//!
//! A kernel without `CONFIG_MODVERSIONS` compares nothing but its version and a few options with
//! those of a module. A kernel that was configured otherwise may have the same version, and its
//! fields elsewhere.

use crate::{
    bindings,
    sys::{
        field::{
            field,
            Memory, //
        },
        net::{
            self,
            Net, //
        },
    },
};
use core::{
    mem::{
        offset_of,
        MaybeUninit, //
    },
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    ffi::{
        c_int,
        c_uint, //
    },
    sync::rcu,
    transmute::FromBytes, //
};

// What bindgen reads in the headers is of today's configuration, what the kernel crate has may be
// older.
const _: () = assert!(
    offset_of!(bindings::net, user_ns) == bindings::RUST_CT_CONST_NET_USER_NS
        && offset_of!(bindings::net, loopback_dev) == bindings::RUST_CT_CONST_NET_LOOPBACK_DEV
        && offset_of!(bindings::net, ct) == bindings::RUST_CT_CONST_NET_CT
        && offset_of!(bindings::net, gen) == bindings::RUST_CT_CONST_NET_GEN
        && offset_of!(bindings::sk_buff, _nfct) == bindings::RUST_CT_CONST_SKB_NFCT
        && offset_of!(bindings::sk_buff, users) == bindings::RUST_CT_CONST_SKB_USERS,
    "the kernel tree was configured anew, and its Rust metadata were not made anew: run 'make' there"
);

// Safe, because that is all that they ask for. The first task and namespace live for ever.
#[allow(
    clashing_extern_declarations,
    improper_ctypes,
    reason = "the bindings have pointers where these have references"
)]
unsafe extern "C" {
    safe static init_task: Memory<bindings::task_struct>;
    safe static init_user_ns: Memory<bindings::user_namespace>;
    /// With RCU held.
    safe fn dev_get_by_index_rcu(net: &Net, index: c_int) -> *mut bindings::net_device;
    /// Process context. A new buffer, or null.
    safe fn rct_skb_alloc() -> Option<NonNull<bindings::sk_buff>>;
    safe fn rct_skb_has_mac_header(skb: &Memory<bindings::sk_buff>) -> bool;
    safe fn rct_skb_has_transport_header(skb: &Memory<bindings::sk_buff>) -> bool;
}

/// A packet that no other code has.
struct NewSkb(NonNull<bindings::sk_buff>);

impl NewSkb {
    /// Process context.
    fn alloc() -> Option<Self> {
        rct_skb_alloc().map(Self)
    }

    /// Returns whether its fields are where the kernel has just written them.
    fn fits(&self) -> bool {
        // SAFETY: The buffer is ours until it is dropped. If the kernel's is the smaller one, what
        // is behind it is the slab's.
        let skb: &Memory<bindings::sk_buff> = unsafe { self.0.cast().as_ref() };
        let head = field!(skb, head).load();
        field!(skb, data).load() == head
            && !head.is_null()
            && field!(skb, len).load() == 0
            && field!(skb, users.refs.counter).load() == 1
            && !rct_skb_has_mac_header(skb)
            && !rct_skb_has_transport_header(skb)
    }
}

impl Drop for NewSkb {
    fn drop(&mut self) {
        // SAFETY: No other code has it.
        unsafe { bindings::rct_skb_free(self.0.as_ptr()) };
    }
}

/// What is at an address of the kernel's, whatever that may be; nothing if nothing is mapped there.
fn peek<T: FromBytes>(at: *const T) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: There is room for a `T`; the function copes with any address to read from.
    let status = unsafe {
        bindings::copy_from_kernel_nofault(value.as_mut_ptr().cast(), at.cast(), size_of::<T>())
    };
    // SAFETY: It was filled in, and any bytes will do.
    (status == 0).then(|| unsafe { value.assume_init() })
}

/// The beginning of `struct net`: the user namespace that it belongs to.
fn net_begins(net: &Net) -> bool {
    ptr::eq(field!(net.memory(), user_ns).load(), init_user_ns.get())
}

/// The middle of `struct net`: the loopback device has number 1.
fn net_has_loopback(net: &Net) -> bool {
    let _rcu = rcu::read_lock();
    let device = dev_get_by_index_rcu(net, bindings::LOOPBACK_IFINDEX as c_int);
    !device.is_null() && ptr::eq(field!(net.memory(), loopback_dev).load(), device)
}

/// Behind the hooks of a namespace are its settings of tracking: another module counts there how
/// many users have asked for reassembly. More than this many do not ask.
fn net_counts_users(net: &Net) -> bool {
    const MOST: c_uint = 0xffff;
    let is_count = |users: c_uint| (1..=MOST).contains(&users);
    if net::nf_defrag_ipv4_enable(net) != 0 {
        return true;
    }
    let fits = is_count(field!(net.memory(), nf.defrag_ipv4_users).load());
    net::nf_defrag_ipv4_disable(net);
    fits
}

/// The states that modules have in a namespace: how many there may be stands before them.
fn net_has_states(net: &Net) -> bool {
    /// Many more than there are modules.
    const MOST: c_uint = 4096;
    let length = field!(net.memory(), gen).load().cast::<c_uint>();
    peek(length).is_some_and(|length| (1..=MOST).contains(&length))
}

/// A task knows its namespaces, `struct task_struct`.
fn task_has_namespaces() -> bool {
    let namespaces = field!(init_task, nsproxy).load();
    let net = namespaces
        .wrapping_byte_add(offset_of!(bindings::nsproxy, net_ns))
        .cast::<usize>();
    peek(net).is_some_and(|net| net == Net::init().as_ptr().addr())
}

/// The first structure that is not what this module was built with, as far as that shows from
/// outside: in fields with known values. Process context, sleeps.
pub(crate) fn misfit() -> Option<&'static str> {
    let net = Net::init();
    let rows: [(&str, bool); 6] = [
        ("struct task_struct", task_has_namespaces()),
        ("struct net, at user_ns", net_begins(net)),
        ("struct net, at loopback_dev", net_has_loopback(net)),
        ("struct net, at nf", net_counts_users(net)),
        ("struct net, at gen", net_has_states(net)),
        (
            "struct sk_buff",
            NewSkb::alloc().is_none_or(|skb| skb.fits()),
        ),
    ];
    rows.iter().find(|(_, fits)| !fits).map(|(name, _)| *name)
}
