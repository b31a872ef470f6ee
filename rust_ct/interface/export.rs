// SPDX-License-Identifier: GPL-2.0

//! What the rest of the kernel calls: the functions behind `exports.c` and `params.c`, and those of
//! `struct nf_ct_hook`.
//!
//! Here are those of the hook, of hooks in namespaces and of PPTP's calls; there is a file for each
//! other group.
//!
//! Each turns pointers into what they stand for, and calls safe code.

mod attributes;
mod ctnetlink;
mod expect;
mod expectfn;
mod helper;
pub(crate) mod l4proto;
mod nat_helper;
pub(crate) mod origdst;
mod param;
mod rules;
mod seqadj;
mod slots;
mod table;
#[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
mod timeout;

use crate::{
    bindings,
    datapath::{
        confirm,
        hooks,
        lookup,
        packet, //
    },
    object::{
        conn::{
            self,
            event::Event,
            Attached,
            Conn,
            Key, //
        },
        l4proto::Storage,
        netns::NETNS, //
    },
    pure::{
        l4proto::tcp::{
            self,
            Tcp, //
        },
        state::{
            CtInfo,
            Status, //
        },
        tuple::{
            Direction,
            Tuple, //
        },
        wire::{
            ipproto,
            Family, //
        },
        zone::Zone, //
    },
    sys::{
        field::Fixed,
        hook::Verdict,
        net::Net,
        rcu::ReadSide,
        siphash,
        skb::Skb, //
    },
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    error::from_result,
    ffi::c_int, //
};

/// The tracker of connections, as the kernel's core knows it.
pub(crate) static CT_HOOK: bindings::nf_ct_hook = bindings::nf_ct_hook {
    update: Some(update),
    destroy: Some(rust_ct_destroy),
    get_tuple_skb: Some(get_tuple_skb),
    attach: Some(attach),
    set_closing: Some(set_closing),
    confirm: Some(confirm_skb),
    get_id: Some(get_id),
};

/// The key of the numbers by which user space knows connections, drawn when the module is loaded.
pub(crate) static ID_KEY: siphash::Key = siphash::Key::new();

/// The connection of a kernel's pointer to one.
///
/// # Safety
///
/// The caller must have a reference to the connection, or template, for `'a`.
unsafe fn conn<'a>(nfct: *const bindings::nf_conntrack) -> &'a Conn {
    // SAFETY: `struct nf_conntrack` is the first field of `struct nf_conn`, which is that of a
    // `Conn`. CAST: See above.
    unsafe { &*nfct.cast() }
}

/// A packet comes back from user space, with the verdict that it may go on. It was tracked before,
/// and its connection stays what it was; see [`confirm::reinject`].
///
/// # Safety
///
/// Called by the kernel with a packet that it owns, under RCU.
unsafe extern "C" fn update(_net: *mut bindings::net, skb: *mut bindings::sk_buff) -> c_int {
    // SAFETY: The kernel lends the packet, and calls under RCU.
    let (skb, rcu) = unsafe { (Skb::from_raw(skb), ReadSide::assume()) };
    // CAST: Verdicts are bits.
    confirm::reinject(skb, rcu).raw() as c_int
}

/// nf_ct_destroy(): the last reference to a connection or template is gone.
///
/// # Safety
///
/// Called by the kernel when the counter has become zero.
#[no_mangle]
unsafe extern "C" fn rust_ct_destroy(nfct: *mut bindings::nf_conntrack) {
    if let Some(conn) = NonNull::new(nfct.cast::<Conn>()) {
        // SAFETY: The last reference is gone; that of the table is one.
        unsafe { Conn::destroy(conn) };
    }
}

/// The tuple of the packets that answer this one, for a queue that wants to be fair to connections.
///
/// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_get_tuple_skb().
///
/// # Safety
///
/// Called by the kernel with a packet that it owns, under RCU, and room for a tuple.
unsafe extern "C" fn get_tuple_skb(
    tuple: *mut bindings::nf_conntrack_tuple,
    skb: *const bindings::sk_buff,
) -> bool {
    // SAFETY: The kernel lends the packet, and nobody writes to it meanwhile. It calls under RCU.
    let (skb, rcu) = unsafe { (Skb::from_raw(skb.cast_mut()), ReadSide::assume()) };

    let found = match conn::attached(skb) {
        Attached::Conn(conn, info) => Some(conn.tuple(info.direction())),
        Attached::Template(_) | Attached::Untracked | Attached::Nothing => look_up(skb, rcu),
    };
    let Some(found) = found else {
        return false;
    };
    // SAFETY: There is room for a tuple, whose layout is that of ours.
    unsafe { tuple.cast::<Tuple>().write(found) };
    true
}

/// The tuple of the other direction of the connection that an IPv4 packet without one belongs to.
fn look_up(skb: &Skb, rcu: ReadSide<'_>) -> Option<Tuple> {
    let net = skb.dev_net()?;
    let tuple = packet::tuple(skb, Family::Ipv4)?;
    let key = Key::new(&tuple, Zone::DEFAULT, net);
    let (conn, dir) = lookup::find(&key, key.hash(Direction::Original), rcu)?;
    Some(conn.tuple(dir.other()))
}

/// The kernel answers a packet with one of its own, like an ICMP error or a reset: that goes with
/// the same connection.
///
/// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_attach().
///
/// # Safety
///
/// Called by the kernel with packets that it owns.
unsafe extern "C" fn attach(answer: *mut bindings::sk_buff, skb: *const bindings::sk_buff) {
    // SAFETY: The kernel lends both packets, which are two.
    let (answer, skb) = unsafe { (Skb::from_raw(answer), Skb::from_raw(skb.cast_mut())) };
    if let Attached::Conn(conn, info) = conn::attached(skb) {
        let info = match info.direction() {
            Direction::Original => CtInfo::RelatedReply,
            Direction::Reply => CtInfo::Related,
        };
        conn::attach(answer, conn.into(), info);
    }
}

/// The kernel has answered a packet with a reset: its connection is over.
///
/// Source: net/netfilter/nf_conntrack_proto_tcp.c, nf_conntrack_tcp_set_closing().
///
/// # Safety
///
/// Called by the kernel with a connection that a packet holds.
unsafe extern "C" fn set_closing(nfct: *mut bindings::nf_conntrack) {
    // SAFETY: The packet holds a reference. The kernel calls in a hook, under RCU.
    let (conn, rcu) = unsafe { (conn(nfct), ReadSide::assume()) };
    let status = conn.status();
    if !status.contains(Status::CONFIRMED) || conn.proto() != ipproto::TCP {
        return;
    }
    let timeouts = Tcp::in_force(conn, conn.net(), rcu);
    let timeout = conn
        .lock()
        .change(|tcp: &mut tcp::Proto| tcp.set_closing(status, &timeouts));
    if let Some(jiffies) = timeout {
        conn.refresh(jiffies);
        conn.cache_event(Event::ProtoInfo);
    }
}

/// Confirms the connection of a packet that reaches a socket past our hooks, through a bridge.
///
/// # Safety
///
/// Called by the kernel with a packet that it owns, under RCU.
unsafe extern "C" fn confirm_skb(skb: *mut bindings::sk_buff) -> c_int {
    // SAFETY: The kernel lends the packet.
    let skb = unsafe { Skb::from_raw(skb) };
    let netns = match conn::attached(skb) {
        // SAFETY: The namespace lives as long as its connection, which the packet holds.
        Attached::Conn(conn, _) => NETNS.get(unsafe { Net::from_raw(conn.net().as_ptr()) }),
        _ => None,
    };
    match netns {
        // CAST: Verdicts are bits.
        Some(netns) => confirm::confirm(netns, skb).raw() as c_int,
        None => Verdict::ACCEPT.raw() as c_int,
    }
}

/// The number by which user space knows a connection.
///
/// # Safety
///
/// Called by the kernel with a connection that a packet holds.
unsafe extern "C" fn get_id(nfct: *const bindings::nf_conntrack) -> u32 {
    // SAFETY: The packet holds a reference.
    unsafe { conn(nfct) }.id(&ID_KEY)
}

/// nf_ct_netns_get(): see [`hooks::get`].
///
/// Process context.
#[no_mangle]
extern "C" fn rust_ct_netns_get(net: &Net, nfproto: u8) -> c_int {
    from_result(|| hooks::get(net, nfproto).map(|()| 0))
}

/// nf_ct_netns_put(): see [`hooks::put`].
///
/// Process context.
#[no_mangle]
extern "C" fn rust_ct_netns_put(net: &Net, nfproto: u8) {
    hooks::put(net, nfproto);
}

/// nf_ct_gre_keymap_add(): see [`crate::object::keymap::Keymap::add`].
#[no_mangle]
extern "C" fn rust_ct_gre_keymap_add(
    conn: &Conn,
    original: &Fixed<Tuple>,
    reply: &Fixed<Tuple>,
) -> bool {
    let is_over = || conn.status().contains(Status::DYING);
    let master = ptr::from_ref(conn).addr();
    conn.netns().is_some_and(|netns| {
        netns
            .keymap
            .add(master, is_over, &original.load(), &reply.load())
    })
}

/// nf_ct_gre_keymap_destroy(): see [`crate::object::keymap::Keymap::remove`].
#[no_mangle]
extern "C" fn rust_ct_gre_keymap_destroy(conn: &Conn) {
    if let Some(netns) = conn.netns() {
        netns.keymap.remove(ptr::from_ref(conn).addr());
    }
}
